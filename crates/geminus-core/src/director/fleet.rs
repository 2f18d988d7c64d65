//! The servers of the node by service and pool, and what is found of each.

mod build;
mod judge;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::net::IpAddr;
use std::time::Duration;

use super::view::{ServerState, WishesView};
use super::{Instant, ServerCount, TimeOfDay};
use crate::health::{Health, TargetNumber};
use crate::model::{Rule, Server, Service, Site};
use crate::plan::{Overrides, Rulings};

pub(super) use self::build::translated;

/// What the fleet is judged by.
#[derive(Debug, Clone, Copy)]
pub(super) struct Facts<'a> {
    pub(super) site: &'a Site,
    pub(super) health: &'a Health,
    pub(super) overrides: &'a Overrides,
    /// None: not known yet.
    pub(super) time: Option<TimeOfDay>,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Fleet {
    pub(super) rosters: Vec<Roster>,
    /// Where each server stands: its roster, and its place there.
    places: HashMap<u64, (usize, usize)>,
    by_service: HashMap<u64, usize>,
    by_host: HashMap<IpAddr, Vec<(usize, usize)>>,
    by_target: HashMap<TargetNumber, Vec<(usize, usize)>>,
    /// The rosters that have to be judged anew.
    dirty: BTreeSet<usize>,
    /// When each roster has to be judged anew.
    steps: BTreeSet<(Instant, usize)>,
    /// The rosters that the time of day matters to.
    timed: Vec<usize>,
    /// What is found.
    rulings: Rulings,
    changed: bool,
}

/// One service.
#[derive(Debug)]
pub(super) struct Roster {
    pub(super) identity: u64,
    /// Indices of the cluster in the site and of the service in the cluster.
    pub(super) place: (usize, usize),
    /// As it is called in what is told.
    pub(super) name: String,
    pub(super) members: Vec<Member>,
    /// The main one first.
    pub(super) pools: Vec<Pool>,
    /// Of each rule, whether it holds.
    pub(super) holds: Vec<Hold>,
    pub(super) in_force: u8,
    pub(super) since: Instant,
    pub(super) because: String,
    /// When it is judged anew because of the time alone.
    step: Option<Instant>,
}

/// Whether a rule holds, and which: another one at its place begins anew.
#[derive(Debug, Clone)]
pub(super) struct Hold {
    pub(super) rule: Rule,
    pub(super) holds: bool,
    /// Since when.
    pub(super) since: Instant,
}

/// One pool of a service.
#[derive(Debug, Clone, Default)]
pub(super) struct Pool {
    /// Empty: the main one.
    pub(super) name: String,
    /// Too little of it is well: health is ignored.
    pub(super) panic: bool,
    /// No server of it is up and gets new flows.
    pub(super) empty: bool,
    /// The pool whose servers its clients get meanwhile.
    pub(super) stand_in: Option<u8>,
    pub(super) up: usize,
    pub(super) healthy_percent: u8,
    /// How many units make one of the configured weight.
    pub(super) unit: u16,
    /// How many of the manager's do.
    pub(super) managed_unit: u16,
}

/// One server behind a service.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) identity: u64,
    /// None: it is not checked.
    pub(super) target: Option<TargetNumber>,
    pub(super) state: ServerState,
    pub(super) since: Instant,
    /// Since when it starts slowly.
    pub(super) risen: Option<Instant>,
    /// How much of its weight it has meanwhile.
    pub(super) tenths: u16,
    pub(super) maintenance: bool,
    /// Its agent said that it is about to stop.
    pub(super) leaving: bool,
    pub(super) drain: Drain,
    pub(super) tally: Option<Tally>,
    /// What the manager finds right.
    pub(super) managed: Option<Managed>,
    /// What each of the manager's inputs alone would have made of its weight in the last cycle.
    pub(super) wishes: WishesView,
    /// The weight in force, in the units of its pool.
    pub(super) weight: u16,
}

/// A weight that the manager found right.
#[derive(Debug, Clone, Copy)]
pub(super) struct Managed {
    /// In [`Pool::managed_unit`]s.
    pub(super) weight: u16,
    /// The weight by configuration or order that it was found for.
    pub(super) of: u16,
}

/// What is still to come of a drain.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Drain {
    /// When its flows are given up.
    pub(super) deadline: Option<Instant>,
    /// They were.
    pub(super) released: bool,
    /// It has no flow left, and that was told.
    pub(super) empty_told: bool,
    /// How many passes over the flow table had ended when its flows were first counted.
    pub(super) counted_from: Option<u64>,
}

/// Flows of one server, as last counted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tally {
    pub(super) active: u64,
    pub(super) total: u64,
    /// New ones a second.
    pub(super) rate: u64,
    pub(super) at: Instant,
}

impl Roster {
    pub(super) fn service<'a>(&self, site: &'a Site) -> &'a Service {
        &site.clusters[self.place.0].services[self.place.1]
    }

    /// Its members and what the site says of them.
    pub(super) fn servers<'a>(&'a self, site: &'a Site) -> impl Iterator<Item = (&'a Member, &'a Server)> {
        self.members.iter().zip(&self.service(site).servers)
    }

    /// As a pool is called in what is told.
    pub(super) fn pool_name(&self, pool: u8) -> String {
        match self.pools.get(usize::from(pool)).map_or("", |pool| pool.name.as_str()) {
            "" => "the main pool".to_owned(),
            name => format!("pool {name}"),
        }
    }

    /// Active and new flows of a pool, as far as they were counted.
    pub(super) fn flows(&self, site: &Site, pool: u8) -> Option<(u64, u64)> {
        let of_pool = self.servers(site).filter(|(_, server)| server.pool == pool);
        of_pool
            .filter_map(|(member, _)| member.tally)
            .map(|tally| (tally.active, tally.rate))
            .reduce(|sum, one| (sum.0 + one.0, sum.1 + one.1))
    }
}

impl Fleet {
    /// What is found, if it is something else than when this was asked last.
    pub(super) fn take_rulings(&mut self) -> Option<&Rulings> {
        std::mem::take(&mut self.changed).then_some(&self.rulings)
    }

    /// A server's roster, and its place there.
    pub(super) fn place(&self, server: u64) -> Option<(&Roster, usize)> {
        let &(roster, place) = self.places.get(&server)?;
        Some((&self.rosters[roster], place))
    }

    pub(super) fn member_mut(&mut self, server: u64) -> Option<&mut Member> {
        let &(roster, place) = self.places.get(&server)?;
        self.dirty.insert(roster);
        Some(&mut self.rosters[roster].members[place])
    }

    pub(super) fn roster(&self, service: u64) -> Option<&Roster> {
        self.by_service.get(&service).map(|&roster| &self.rosters[roster])
    }

    /// Where the servers stand that are checked by a target.
    pub(super) fn of_target(&self, target: TargetNumber) -> &[(usize, usize)] {
        self.by_target.get(&target).map_or(&[], Vec::as_slice)
    }

    /// Where the servers of a host stand.
    pub(super) fn of_host(&self, host: IpAddr) -> &[(usize, usize)] {
        self.by_host.get(&host).map_or(&[], Vec::as_slice)
    }

    pub(super) fn at(&self, (roster, place): (usize, usize)) -> (&Roster, &Member) {
        let roster = &self.rosters[roster];
        (roster, &roster.members[place])
    }

    /// Something else is held of a target: whoever is checked by it is judged anew, and starts slowly if it came up.
    pub(super) fn target_changed(&mut self, target: TargetNumber, up: bool, now: Instant) {
        for &(roster, place) in self.by_target.get(&target).into_iter().flatten() {
            self.rosters[roster].members[place].risen = up.then_some(now);
            self.dirty.insert(roster);
        }
    }

    /// What was taken for well is known to be, or what is down is known to be down by itself.
    pub(super) fn target_known(&mut self, target: TargetNumber) {
        let rosters = self.by_target.get(&target).into_iter().flatten().map(|&(roster, _)| roster);
        self.dirty.extend(rosters);
    }

    /// An agent said whether its host is about to stop; whether that is news.
    pub(super) fn set_leaving(&mut self, host: IpAddr, leaving: bool) -> bool {
        let mut news = false;
        for &(roster, place) in self.by_host.get(&host).into_iter().flatten() {
            let member = &mut self.rosters[roster].members[place];
            if std::mem::replace(&mut member.leaving, leaving) != leaving {
                self.dirty.insert(roster);
                news = true;
            }
        }
        news
    }

    /// Flows are counted of these servers alone: what was counted of others is of the past.
    pub(super) fn forget_tallies(&mut self, counted: &HashSet<u64>) {
        for member in self.rosters.iter_mut().flat_map(|roster| &mut roster.members) {
            member.tally = member.tally.filter(|_| counted.contains(&member.identity));
        }
    }

    /// It is another time of day.
    pub(super) fn time_changed(&mut self) {
        self.dirty.extend(&self.timed);
    }

    /// The operator wants something else of these servers.
    pub(super) fn wishes_changed(&mut self, servers: impl Iterator<Item = u64>) {
        let rosters = servers.filter_map(|server| self.places.get(&server)).map(|&(roster, _)| roster);
        self.dirty.extend(rosters);
    }

    /// The weights of these rosters are others.
    pub(super) fn judge_again(&mut self, rosters: impl IntoIterator<Item = usize>) {
        self.dirty.extend(rosters);
    }

    /// All is to be judged anew.
    pub(super) fn all_changed(&mut self) {
        self.dirty.extend(0..self.rosters.len());
    }

    /// Takes a count in; the rosters that rules count flows of are judged anew.
    pub(super) fn counted(&mut self, site: &Site, counts: &[ServerCount], now: Instant) {
        for count in counts {
            let Some(&(roster, place)) = self.places.get(&count.identity) else { continue };
            let roster_of = &mut self.rosters[roster];
            let rules = !roster_of.service(site).rules.is_empty();
            let tally = &mut roster_of.members[place].tally;
            *tally = Some(Tally::after(tally.as_ref(), count, now));
            if rules {
                self.dirty.insert(roster);
            }
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.steps.first().map(|&(due, _)| due)
    }

    fn due(&mut self, now: Instant) {
        while let Some(&(due, roster)) = self.steps.first().filter(|&&(due, _)| due <= now) {
            self.steps.remove(&(due, roster));
            self.rosters[roster].step = None;
            self.dirty.insert(roster);
        }
    }

    fn step_at(&mut self, roster: usize, due: Option<Instant>) {
        if let Some(before) = self.rosters[roster].step.take() {
            self.steps.remove(&(before, roster));
        }
        self.rosters[roster].step = due;
        self.steps.extend(due.map(|due| (due, roster)));
    }

    /// What the site says of the servers, by their addresses: those that an agent may speak for.
    pub(super) fn hosts(&self) -> BTreeMap<IpAddr, usize> {
        self.by_host.iter().map(|(&host, places)| (host, places.len())).collect()
    }
}

impl Tally {
    fn after(before: Option<&Self>, count: &ServerCount, now: Instant) -> Self {
        let rate = before.map_or(0, |before| {
            let passed = now.since(before.at).max(Duration::from_millis(1));
            let new = u128::from(count.total.saturating_sub(before.total));
            u64::try_from(new * 1000 / passed.as_millis().max(1)).unwrap_or(u64::MAX)
        });
        Self { active: count.active, total: count.total, rate, at: now }
    }
}
