//! Whose flows are counted, and what becomes of a server that is drained: until its last flow ends, or its time is over.

use std::collections::BTreeMap;
use std::time::Duration;

use super::fleet::Drain;
use super::{Director, Effect, Instant, ServerCount};
use crate::journal::EventKind;
use crate::model::{Condition, OnDown, Rule, Select, Service};
use crate::plan::{KernelMs, Override, Ruling, Rulings};

/// Time between two counts.
pub const COUNT_INTERVAL: Duration = Duration::from_secs(1);

/// So many ends of passes over the flow table after its first count a drained server is known to have no flow: a pass that was
/// begun meanwhile is over then. Until then its entry may say less than the truth, of flows that a partner began.
const SURE_PASSES: u64 = 2;

/// Whose flows are counted.
#[derive(Debug, Default)]
pub(super) struct Counting {
    servers: Vec<u64>,
    due: Option<Instant>,
    /// The drained servers whose time is not over, and when it is.
    deadlines: BTreeMap<u64, Instant>,
}

impl Counting {
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.due.into_iter().chain(self.deadlines.values().copied()).min()
    }
}

/// Whether a service needs the flows of a server in this pool counted.
fn is_counted(service: &Service, pool: u8) -> bool {
    let by_rule = |rule: &Rule| match rule.when {
        Condition::Active(_) => pool == 0,
        Condition::Rate(_) => pool == 0 || pool == rule.pool,
        Condition::From(_) | Condition::During(_) => false,
    };
    service.managed || service.select == Select::LeastConnections || service.rules.iter().any(by_rule)
}

/// Whether a server's flows were given up because its drain was over, and not because of its health.
pub(super) fn was_released(wish: Override, before: Ruling, now: KernelMs) -> bool {
    let over = wish.drained && wish.until.is_some_and(|until| until <= now);
    over && before.down == Some(OnDown::Rehash)
}

impl Director {
    /// The site or the drains are others: others are counted.
    pub(super) fn recount(&mut self, now: Instant) {
        let mut servers = Vec::new();
        let mut deadlines = BTreeMap::new();
        for roster in &self.care.fleet.rosters {
            let service = roster.service(&self.site);
            for (member, server) in roster.servers(&self.site) {
                let drained = self.overrides.get(member.identity).drained;
                let waits = drained && !(member.drain.empty_told && member.drain.deadline.is_none());
                if waits || is_counted(service, server.pool) {
                    servers.push(member.identity);
                }
                if let Some(deadline) = member.drain.deadline.filter(|_| drained && !member.drain.released) {
                    deadlines.insert(member.identity, deadline);
                }
            }
        }
        self.care.fleet.forget_tallies(&servers.iter().copied().collect());
        let counting = &mut self.care.counting;
        counting.due = (!servers.is_empty()).then(|| counting.due.unwrap_or(now));
        counting.servers = servers;
        counting.deadlines = deadlines;
    }

    pub(super) fn counted(&mut self, counts: &[ServerCount], now: Instant) {
        self.care.fleet.counted(&self.site, counts, now);
        let mut emptied = Vec::new();
        for count in counts.iter().filter(|count| self.overrides.get(count.identity).drained) {
            let Some(member) = self.care.fleet.member_mut(count.identity) else { continue };
            let from = *member.drain.counted_from.get_or_insert(count.passes);
            let is_sure = count.passes >= from + SURE_PASSES;
            if count.active == 0 && is_sure && !member.drain.empty_told {
                emptied.push(count.identity);
            }
        }
        let told = !emptied.is_empty();
        for identity in emptied {
            if let Some(member) = self.care.fleet.member_mut(identity) {
                member.drain.empty_told = true;
            }
            let message = format!("{} is drained and has no open flow left", self.called_member(identity));
            self.tell_bounded(EventKind::ServerDrainedEmpty, message, now);
        }
        if told {
            self.recount(now);
        }
    }

    pub(super) fn count_timeout(&mut self, now: Instant) {
        if self.care.counting.due.is_some_and(|due| due <= now) {
            self.care.counting.due = Some(now + COUNT_INTERVAL);
            self.effects.push_back(Effect::Count(self.care.counting.servers.clone()));
        }
        let over: Vec<_> = self
            .care
            .counting
            .deadlines
            .iter()
            .filter(|&(_, deadline)| *deadline <= now)
            .map(|(&identity, _)| identity)
            .collect();
        for identity in over {
            self.care.counting.deadlines.remove(&identity);
            let Some(member) = self.care.fleet.member_mut(identity) else { continue };
            member.drain.released = true;
            let left = member.tally.map_or(String::new(), |tally| format!(" ({} were left)", tally.active));
            let name = self.called_member(identity);
            let message = format!("{name} is drained and its time is over: its flows go to others{left}");
            self.tell_bounded(EventKind::ServerReleased, message, now);
        }
    }

    /// What the tables remember of drains, at a start. `last`: what was found in the last run.
    pub(super) fn remember_drains(&mut self, last: &Rulings, now: Instant) {
        for member in self.care.fleet.rosters.iter_mut().flat_map(|roster| &mut roster.members) {
            let wish = self.overrides.get(member.identity);
            let before = last.server(member.identity);
            let deadline = wish.until.filter(|_| wish.drained).map(|until| self.kernel_start.moment(until));
            let released = was_released(wish, before, self.kernel_start.at(now));
            let empty_told = wish.drained && before.emptied;
            member.drain = Drain { deadline, released, empty_told, counted_from: None };
        }
    }

    /// The drains of these servers are others than before.
    pub(super) fn drains_changed(&mut self, servers: &[u64], now: Instant) {
        for &identity in servers {
            let Override { drained, until, .. } = self.overrides.get(identity);
            let Some(member) = self.care.fleet.member_mut(identity) else { continue };
            let deadline = until.filter(|_| drained).map(|until| self.kernel_start.moment(until));
            let empty_told =
                drained && member.drain.empty_told && member.tally.is_some_and(|one| one.active == 0);
            member.drain = Drain { deadline, released: false, empty_told, counted_from: None };
            if !drained {
                member.leaving = false;
            }
        }
        self.recount(now);
    }

    /// A server as it is called in what is told.
    fn called_member(&self, identity: u64) -> String {
        let fleet = &self.care.fleet;
        let Some((roster, place)) = fleet.place(identity) else {
            return "a server that was removed".to_owned();
        };
        format!("server {} of {}", roster.service(&self.site).servers[place].name, roster.name)
    }
}
