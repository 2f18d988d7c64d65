//! What the director makes of checks: who is asked, who is judged anew, and what is told.

use std::net::IpAddr;
use std::time::Duration;

use super::counts::was_released;
use super::fleet::{Facts, Fleet};
use super::told::News;
use super::{About, Director, Effect, Instant, TimeOfDay, words};
use crate::health::{
    Action, CHECKS, Diagnosis, Finding, Health, Notice, Reading, Spot, State, Story, TargetNumber,
};
use crate::journal::EventKind;
use crate::plan::Rulings;

/// Everything that is known of servers beyond the way to them.
#[derive(Debug)]
pub(super) struct Care {
    pub(super) health: Health,
    pub(super) fleet: Fleet,
    pub(super) agents: super::agents::Agents,
    pub(super) counting: super::counts::Counting,
    pub(super) weights: super::weights::Weights,
    pub(super) time: Option<TimeOfDay>,
}

impl Care {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            health: Health::new(seed),
            fleet: Fleet::default(),
            agents: super::agents::Agents::default(),
            counting: super::counts::Counting::default(),
            weights: super::weights::Weights::default(),
            time: None,
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        [
            self.health.poll_timeout(),
            self.fleet.poll_timeout(),
            self.agents.poll_timeout(),
            self.counting.poll_timeout(),
            self.weights.poll_timeout(),
        ]
        .into_iter()
        .flatten()
        .min()
    }
}

macro_rules! facts {
    ($director:expr) => {
        Facts {
            site: &$director.site,
            health: &$director.care.health,
            overrides: &$director.overrides,
            time: $director.care.time,
        }
    };
}

impl Director {
    /// The servers of the site in force are checked, weighed and counted from now on. `last`: what was found in the last
    /// run, at a start.
    pub(super) fn begin_care(&mut self, last: &Rulings, now: Instant) {
        let kernel_now = self.kernel_start.at(now);
        let down = |identity| {
            let before = last.server(identity);
            before.down.is_some() && !was_released(self.overrides.get(identity), before, kernel_now)
        };
        self.care.health.link(self.ports.own().is_some_and(|port| port.up), now);
        self.care.health.configure(&self.site, &self.node.name, down, now);
        self.care.fleet = Fleet::of(&facts!(self), &self.node.name, last, now);
        self.remember_drains(last, now);
        self.recount(now);
        self.begin_weights(last, now);
    }

    /// The same for another site: what is known of servers that stay is kept.
    pub(super) fn change_care(&mut self, now: Instant) {
        self.care.health.configure(&self.site, &self.node.name, |_| false, now);
        let facts = facts!(self);
        self.care.fleet.change(&facts, &self.node.name, now);
        let hosts = self.care.fleet.hosts();
        self.hooked_silent.retain(|host| hosts.contains_key(host));
        self.agents_changed(now);
        self.recount(now);
        self.change_weights(now);
    }

    pub(super) fn probed(&mut self, reading: Reading, now: Instant) {
        self.care.health.probed(reading, now);
    }

    pub(super) fn diagnosed(&mut self, server: IpAddr, by: IpAddr, found: Diagnosis, now: Instant) {
        self.care.health.diagnosed(Spot { server, by }, found, now);
    }

    pub(super) fn time_of_day(&mut self, time: TimeOfDay) {
        if self.care.time.replace(time) != Some(time) {
            self.care.fleet.time_changed();
        }
    }

    pub(super) fn care_timeout(&mut self, now: Instant) {
        self.care.health.handle_timeout(now);
        self.agents_timeout(now);
        self.count_timeout(now);
        self.weights_timeout(now);
    }

    /// After every input: what follows from it for servers and pools.
    pub(super) fn turn_care(&mut self, now: Instant) {
        let mut notices = Vec::new();
        while let Some(action) = self.care.health.poll() {
            match action {
                Action::Probe(probe) => self.effects.push_back(Effect::Probe(probe)),
                Action::Diagnose(question) => self.effects.push_back(Effect::Diagnose(question)),
                Action::Changed { target, state } => {
                    self.care.fleet.target_changed(target, state == State::Up, now);
                }
                Action::Proven(target) => self.care.fleet.target_known(target),
                Action::Road { server, tried, answered: true } => self.neighbours.proven(server, tried, now),
                Action::Road { server, answered: false, .. } => self.neighbours.doubt(server, now),
                Action::Notice(notice) => {
                    if let Notice::Story(Story::Down(target)) = notice {
                        self.care.fleet.target_known(target);
                    }
                    notices.push(notice);
                }
            }
        }
        let facts = facts!(self);
        let news = self.care.fleet.judge(&facts, now);
        // First what happened to servers, then what that means for their pools.
        for notice in notices {
            self.tell_health(notice, now);
        }
        for one in news {
            self.tell_news_bounded(one, now);
        }
    }

    fn tell_health(&mut self, notice: Notice, now: Instant) {
        let about = match notice {
            Notice::Story(Story::Down(target)) => self.about_target(target, self.fault_word(target)),
            Notice::Up(target, _) => self.about_target(target, None),
            _ => About::default(),
        };
        let told = match notice {
            Notice::Story(Story::Down(target)) => Some((EventKind::ServerDown, self.down_told(target))),
            Notice::Story(Story::AllSilent(number)) => {
                Some((EventKind::ServersAllSilent, all_silent(number)))
            }
            Notice::Story(Story::HeardAgain) => {
                let message = "servers answer checks again: this node's network is back";
                Some((EventKind::ServersHeard, message.to_owned()))
            }
            Notice::Up(target, down) => {
                let message = format!("{} is up again after {}", self.called(target), words::time(down));
                Some((EventKind::ServerUp, message))
            }
            Notice::AdvisorsSilent(silence) => Some((EventKind::AdvisorsSilent, advisors_silent(silence))),
            Notice::AdvisorsBack => Some((EventKind::AdvisorsBack, "checks have results again".to_owned())),
            Notice::Blind(target) => {
                let why = self.fault_words(target).unwrap_or_default();
                let message =
                    format!("{} cannot be checked: {why}; its last state stays", self.called(target));
                Some((EventKind::CheckImpossible, message))
            }
            Notice::Crowd(targets, waited) => Some((EventKind::CheckImpossible, crowd(targets, waited))),
            Notice::Certificate(target, seconds) => {
                let message = format!("{}: its certificate {}", self.called(target), expires(seconds));
                Some((EventKind::CertificateExpires, message))
            }
            Notice::Finding(finding) => self.finding_told(&finding),
        };
        if let Some((kind, message)) = told {
            self.tell_news_bounded(News::new(kind, message).about(about), now);
        }
    }

    /// The servers that a target stands for, as one phrase.
    fn called(&self, target: TargetNumber) -> String {
        let places = self.care.fleet.of_target(target);
        let Some(&first) = places.first() else { return "a server that was removed".to_owned() };
        let (roster, _) = self.care.fleet.at(first);
        let server = &roster.service(&self.site).servers[first.1];
        let more = match places.len() - 1 {
            0 => String::new(),
            more => format!(" (and {})", words::count(more, "more service", "more services")),
        };
        format!("server {} of {}{more}", server.name, roster.name)
    }

    fn down_told(&self, target: TargetNumber) -> String {
        let mut message = format!("{} is down", self.called(target));
        if let Some(why) = self.fault_words(target) {
            message.push_str(&format!(": {why}"));
        }
        for (by, found) in self.care.health.findings(target) {
            message.push_str(&format!("; {}", finding_words(found, by)));
        }
        message
    }

    /// Why a target is down in one word: what the second look found, else what the last check did.
    fn fault_word(&self, target: TargetNumber) -> Option<&'static str> {
        let found = self.care.health.findings(target).into_iter().map(|(_, found)| found);
        let mut found = found.filter(|&found| found != Diagnosis::Nothing).map(Diagnosis::word);
        found.next().or_else(|| Some(self.care.health.view(target)?.fault?.kind.word()))
    }

    /// Why the last check of a target failed.
    pub(super) fn fault_words(&self, target: TargetNumber) -> Option<String> {
        let view = self.care.health.view(target)?;
        let fault = view.fault?;
        let word = fault.kind.word();
        Some(if fault.words.is_empty() { word.to_owned() } else { format!("{word}: {}", fault.words) })
    }

    fn finding_told(&self, finding: &Finding) -> Option<(EventKind, String)> {
        let Spot { server, by } = finding.spot;
        let name = match finding.target {
            Some(target) => self.called(target),
            None => {
                format!("server {}", self.names.get(&server).cloned().unwrap_or_else(|| server.to_string()))
            }
        };
        let of_setup = |found: Option<Diagnosis>| found.filter(|&found| is_of_setup(found));
        match (of_setup(finding.before), of_setup(finding.now)) {
            (_, Some(found)) => {
                Some((EventKind::SetupFault, format!("{name} ({server}): {}", finding_words(found, by))))
            }
            (Some(before), None) => {
                let message = format!("{name} ({server}): {} for {by} is mended", before.word());
                Some((EventKind::SetupMended, message))
            }
            (None, None) => None,
        }
    }
}

/// Whether it is the host's set-up for direct return that is wrong, and not the service or the host as such.
const fn is_of_setup(found: Diagnosis) -> bool {
    matches!(found, Diagnosis::NoAddress | Diagnosis::NotBound | Diagnosis::AnswersArp | Diagnosis::Filtered)
}

/// What is wrong, and the way out.
pub(super) fn finding_words(found: Diagnosis, by: IpAddr) -> String {
    let word = found.word();
    let what = match found {
        Diagnosis::Nothing => return format!("{word} for {by}"),
        Diagnosis::NoAddress => format!(
            "the host takes nothing for {by}: the address is not on lo, rp_filter or a firewall drops it, or no \
             route leads back (geminus host check there says which); run geminus host setup --address {by} there"
        ),
        Diagnosis::NotBound => format!(
            "the service does not listen on {by}: bind it to that address or to every address; \
             geminus host check --address {by} there says more"
        ),
        Diagnosis::AnswersArp => format!(
            "the host answers ARP or neighbour solicitation for {by} and takes clients away from the dispatcher; \
             run geminus host setup --address {by} there"
        ),
        Diagnosis::Filtered => format!(
            "the service answers at the server's own address but not at {by}: a filter on the way or on the host; \
             geminus host check --address {by} there says more"
        ),
        Diagnosis::ServiceDown => "the host answers, the service does not: start it".to_owned(),
        Diagnosis::HostDown => {
            "the host does not answer at all, not even for its hardware address".to_owned()
        }
    };
    format!("{word}: {what}")
}

fn all_silent(servers: usize) -> String {
    format!(
        "all checks fail at once, of {} that were well: this node's own network is the likely reason; \
         their pools go on as if they were well",
        words::count(servers, "target", "targets")
    )
}

fn crowd(targets: usize, waited: Duration) -> String {
    format!(
        "too many checks hang at once: {CHECKS} are under way and {targets} wait for their turn, the first for {}; \
         every server is judged, but late: a shorter timeout of those that hang helps",
        words::time(waited)
    )
}

fn advisors_silent(silence: Duration) -> String {
    format!(
        "no check has had a result for {}: servers keep the state they had, and nothing new is known of them",
        words::time(silence)
    )
}

fn expires(seconds: i64) -> String {
    let days = seconds.unsigned_abs() / (24 * 3600);
    match seconds {
        ..0 => format!("expired {} ago", words::count(usize::try_from(days).unwrap_or(0), "day", "days")),
        _ => format!("expires in {}", words::count(usize::try_from(days).unwrap_or(0), "day", "days")),
    }
}
