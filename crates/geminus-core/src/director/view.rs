//! What is shown of servers and pools.

use std::time::Duration;

use super::agents::seldom_words;
use super::checks::finding_words;
use super::fleet::{Member, Pool, Roster};
use super::{Director, Instant};
use crate::health::{State, TargetNumber, TargetView};
use crate::model::{Condition, Server};

/// What a server is at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ServerState {
    /// Its checks are good.
    Up,
    /// Its checks fail; it gets nothing.
    Down,
    /// It gets flows, and its checks have not said anything yet.
    Checking,
    /// It is not checked, and gets flows.
    Unchecked,
    /// Its checks fail, and it gets flows all the same: too little of its pool is well.
    Panic,
    /// No new flows for now: maintenance, or its agent said that it is about to stop.
    Resting,
    /// No new flows: an operator said so.
    Drained,
    /// Drained, and its time is over: its flows have gone to others.
    Released,
}

impl ServerState {
    /// The word used in output.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
            Self::Checking => "checking",
            Self::Unchecked => "unchecked",
            Self::Panic => "panic",
            Self::Resting => "resting",
            Self::Drained => "drained",
            Self::Released => "released",
        }
    }
}

/// Everything that is known of one server behind one service.
#[derive(Debug, Clone, PartialEq)]
pub struct ServerView {
    /// What it is.
    pub state: ServerState,
    /// Since when.
    pub since: Instant,
    /// Why, in words; empty: there is nothing to say.
    pub reason: String,
    /// How long its checks take, smoothed; none: not checked, or no check was good so far.
    pub latency: Option<Duration>,
    /// Its weight, and what made it.
    pub weight: WeightView,
    /// Flows of it that are remembered and live, when they are counted.
    pub active: Option<u64>,
    /// New flows a second, when they are counted.
    pub rate: Option<u64>,
    /// How loaded its host is, 0 to 1 000 and above, while its agent reports.
    pub load: Option<u16>,
    /// What the load is made of, as its agent says.
    pub load_parts: Vec<(String, u32)>,
    /// What is wrong with its set-up, and the way out: one line each.
    pub findings: Vec<String>,
    /// Seconds until the certificate that it shows expires, negative if it has; none: it showed none.
    pub certificate: Option<i64>,
    /// How many of its checks failed, or were good, since it was last otherwise.
    pub readings: u32,
    /// When a drained server's flows go to others; none: never.
    pub deadline: Option<Instant>,
}

/// A weight, and what made it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct WeightView {
    /// In force, in units that are the same for all servers of its pool. 0: no new flows.
    pub in_force: u16,
    /// How many of these units make one of the configuration's; more than 1 while weights are finer than those.
    pub unit: u16,
    /// As the configuration says.
    pub configured: u16,
    /// As an operator ordered.
    pub ordered: Option<u16>,
    /// As the manager finds right, in the units of `in_force`; none: it does not care for this server.
    pub managed: Option<u16>,
    /// What the manager's inputs said of it.
    pub wishes: WishesView,
    /// Percent of it in force while a recovered server starts slowly; none: it does not.
    pub slow_start: Option<u8>,
}

/// What each input of the manager alone would have made of a weight in its last cycle, in the configuration's weights. None:
/// the input said nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct WishesView {
    /// The flows that it holds.
    pub active: Option<f64>,
    /// The flows that it got.
    pub new: Option<f64>,
    /// How long its checks take.
    pub latency: Option<f64>,
    /// The load that its agent reports.
    pub load: Option<f64>,
}

/// Which pool of a service gets its new flows, and how its pools are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceView {
    /// Index of the pool in force: 0 the main one.
    pub in_force: u8,
    /// Since when.
    pub since: Instant,
    /// Why, in words: the rule that holds, or the sorry pool.
    pub because: String,
    /// Its pools, the main one first.
    pub pools: Vec<PoolView>,
    /// The first rule that holds, those about clients left out; none: none does.
    pub rule: Option<Condition>,
}

/// How one pool is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolView {
    /// Its name; empty: the main one.
    pub name: String,
    /// Servers that are up and get new flows.
    pub up: usize,
    /// All of its servers.
    pub servers: usize,
    /// Percent of its weight that is healthy; drained and resting servers do not count.
    pub healthy: u8,
    /// Whether health is ignored in it, because too little of it is well.
    pub panic: bool,
    /// Index of the pool whose servers its clients get while none of its own is up.
    pub stand_in: Option<u8>,
    /// Active flows of all its servers, when they are counted.
    pub active: Option<u64>,
    /// New flows a second to all its servers, when they are counted.
    pub rate: Option<u64>,
}

impl Director {
    /// What is known of a server, by [`crate::plan::server_identity`]; none: it is not one of this node's.
    pub fn server_view(&self, identity: u64) -> Option<ServerView> {
        let (roster, place) = self.care.fleet.place(identity)?;
        let (member, server) = (&roster.members[place], &roster.service(&self.site).servers[place]);
        let target = member.target.and_then(|target| self.care.health.view(target));
        let report = self.care.agents.report(server.address);
        let ordered = self.overrides.get(identity).weight;
        let pool = &roster.pools[usize::from(server.pool)];
        let mut findings = self.findings_of(member.target);
        let timeout = self.site.agents.timeout;
        let seldom = report.filter(|report| report.is_seldom(timeout));
        findings.extend(seldom.map(|report| format!("its agent {}", seldom_words(report, timeout))));
        findings.extend(report.into_iter().flat_map(|report| report.findings.iter().cloned()));
        Some(ServerView {
            state: member.state,
            since: self.since_of(member, target.as_ref()),
            reason: self.reason_of(roster, member, server, target.as_ref()),
            latency: target.as_ref().and_then(|target| target.latency),
            weight: WeightView {
                in_force: member.weight,
                unit: pool.unit,
                configured: server.weight,
                ordered,
                managed: member.managed.map(|managed| managed.weight),
                wishes: member.wishes,
                slow_start: member.slow_start(),
            },
            active: member.tally.map(|tally| tally.active),
            rate: member.tally.map(|tally| tally.rate),
            load: report.map(|report| report.load),
            load_parts: report.map_or_else(Vec::new, |report| report.parts.clone()),
            findings,
            certificate: target.as_ref().and_then(|target| target.certificate),
            readings: target.as_ref().map_or(0, |target| target.contrary),
            deadline: member.drain.deadline.filter(|_| !member.drain.released),
        })
    }

    /// How the pools of a service are, by [`crate::plan::service_identity`]; none: it is not one of this node's.
    pub fn pool_view(&self, service: u64) -> Option<ServiceView> {
        let roster = self.care.fleet.roster(service)?;
        let of_site = roster.service(&self.site);
        let pool = |(number, pool): (u8, &Pool)| {
            let flows = roster.flows(&self.site, number);
            PoolView {
                name: pool.name.clone(),
                up: pool.up,
                servers: of_site.servers.iter().filter(|server| server.pool == number).count(),
                healthy: pool.healthy_percent,
                panic: pool.panic,
                stand_in: pool.stand_in,
                active: flows.map(|(active, _)| active),
                rate: flows.map(|(_, rate)| rate),
            }
        };
        let holds = of_site.rules.iter().zip(&roster.holds).find(|(_, hold)| hold.holds);
        Some(ServiceView {
            in_force: roster.in_force,
            since: roster.since,
            because: roster.because.clone(),
            pools: (0..).zip(&roster.pools).map(pool).collect(),
            rule: holds.map(|(rule, _)| rule.when.clone()),
        })
    }

    /// Whether checks have results: if not, every state is that of before.
    pub const fn advisors_silent(&self) -> bool {
        self.care.health.is_silent()
    }

    fn findings_of(&self, target: Option<TargetNumber>) -> Vec<String> {
        let found = target.map_or_else(Vec::new, |target| self.care.health.findings(target));
        found.into_iter().map(|(by, found)| finding_words(found, by)).collect()
    }

    /// Since when a server is what it is: where its checks say so, since they do.
    fn since_of(&self, member: &Member, target: Option<&TargetView<'_>>) -> Instant {
        match (member.state, target) {
            (ServerState::Up | ServerState::Down | ServerState::Checking, Some(target)) => {
                target.since.max(member.since)
            }
            _ => member.since,
        }
    }

    fn reason_of(
        &self,
        roster: &Roster,
        member: &Member,
        server: &Server,
        target: Option<&TargetView<'_>>,
    ) -> String {
        let mut reasons = Vec::new();
        match member.state {
            ServerState::Drained => reasons.push("an operator drained it".to_owned()),
            ServerState::Released => reasons.push("it was drained and its time is over".to_owned()),
            ServerState::Panic => {
                let percent = roster.pools[usize::from(server.pool)].healthy_percent;
                let pool = roster.pool_name(server.pool);
                reasons.push(format!("only {percent} % of {pool} is well, so health is ignored there"));
            }
            ServerState::Up
            | ServerState::Down
            | ServerState::Checking
            | ServerState::Unchecked
            | ServerState::Resting => {}
        }
        if member.maintenance {
            reasons.push("maintenance".to_owned());
        }
        if member.leaving {
            reasons.push("its agent says that it is about to stop".to_owned());
        }
        if self.care.agents.is_lost(server.address) {
            reasons.push("its agent does not report any more".to_owned());
        }
        if let Some(target) = target {
            reasons.extend(reason_of_checks(target));
            reasons.extend(member.target.and_then(|target| self.fault_words(target)));
        }
        reasons.join("; ")
    }
}

/// How far a change is under way.
fn reason_of_checks(target: &TargetView<'_>) -> Option<String> {
    let TargetView { contrary, needed, .. } = *target;
    match (target.state, contrary) {
        (State::Down, _) if target.damped => {
            Some("it changed too often: it is up again once it was well for long without a break".to_owned())
        }
        (_, 0) => None,
        (State::Down, _) => Some(format!("{contrary} of {needed} good checks")),
        (State::Up | State::Checking, _) => Some(format!("{contrary} of {needed} failed checks")),
    }
}
