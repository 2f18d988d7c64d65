//! What the manager is told, and what becomes of the weights it finds right.

use std::collections::HashMap;

use super::agents::Agents;
use super::fleet::{Managed, Member, Roster};
use super::view::{ServerState, WishesView};
use super::{Director, Instant};
use crate::health::Health;
use crate::manager::{Manager, Pool, Readings, Weight};
use crate::model::Server;
use crate::plan::{Overrides, Rulings};

/// The manager, where a service wants it.
#[derive(Debug, Default)]
pub(super) struct Weights {
    manager: Option<Manager>,
    due: Option<Instant>,
    /// The last cycle.
    last: Option<Instant>,
    /// All flows of each server so far, at the last cycle that knew of new ones.
    totals: HashMap<u64, u64>,
}

/// Where readings come from.
struct Sources<'a> {
    health: &'a Health,
    agents: &'a Agents,
    overrides: &'a Overrides,
    totals: &'a HashMap<u64, u64>,
    last: Option<Instant>,
}

impl Weights {
    pub(super) const fn poll_timeout(&self) -> Option<Instant> {
        self.due
    }
}

impl Director {
    /// Weights go on from those of the last run.
    pub(super) fn begin_weights(&mut self, last: &Rulings, now: Instant) {
        self.change_weights(now);
        let care = &mut self.care;
        let Some(manager) = &mut care.weights.manager else { return };
        let totals = HashMap::new();
        let sources = Sources {
            health: &care.health,
            agents: &care.agents,
            overrides: &self.overrides,
            totals: &totals,
            last: None,
        };
        for roster in &mut care.fleet.rosters {
            let service = roster.service(&self.site);
            for number in (0..roster.pools.len()).filter(|_| service.managed) {
                let readings = sources.of_pool(roster, &service.servers, number);
                let unit = manager.unit(&readings);
                let mut weights = HashMap::new();
                for one in &readings {
                    let ruling = last.server(one.identity);
                    // A weight that was not yet whole is nobody's finding, and a fixed one is the configuration's.
                    let Some(weight) = ruling.weight.filter(|_| !ruling.slowed && !one.fixed) else {
                        continue;
                    };
                    manager.remember(one.identity, one.configured, weight, unit);
                    weights.insert(one.identity, Managed { weight, of: one.configured });
                }
                if !weights.is_empty() {
                    roster.manage(number, unit, &weights);
                }
            }
        }
    }

    /// Another site: the manager goes on with the servers that stay, by its new settings.
    pub(super) fn change_weights(&mut self, now: Instant) {
        let managed = |roster: &Roster| roster.service(&self.site).managed;
        let weights = &mut self.care.weights;
        let settings = self.site.manager;
        if !self.care.fleet.rosters.iter().any(managed) {
            *weights = Weights::default();
            return;
        }
        let fleet = &self.care.fleet;
        match &mut weights.manager {
            Some(manager) => {
                manager.configure(settings);
                manager.retain(|identity| fleet.place(identity).is_some());
            }
            manager => *manager = Some(Manager::new(settings)),
        }
        let next = now + settings.interval;
        weights.due = Some(weights.due.map_or(next, |due| due.min(next)));
        weights.totals.retain(|&identity, _| fleet.place(identity).is_some());
    }

    pub(super) fn weights_timeout(&mut self, now: Instant) {
        let care = &mut self.care;
        let weights = &mut care.weights;
        let Some(manager) = weights.manager.as_mut().filter(|_| weights.due.is_some_and(|due| due <= now))
        else {
            return;
        };
        weights.due = Some(now + self.site.manager.interval);
        let sources = Sources {
            health: &care.health,
            agents: &care.agents,
            overrides: &self.overrides,
            totals: &weights.totals,
            last: weights.last,
        };
        let mut changed = Vec::new();
        let mut totals = Vec::new();
        for (place, roster) in care.fleet.rosters.iter_mut().enumerate() {
            let service = roster.service(&self.site);
            for number in (0..roster.pools.len()).filter(|_| service.managed) {
                let readings = sources.of_pool(roster, &service.servers, number);
                let pool = manager.cycle(&readings);
                roster.wish(&service.servers, number, &pool);
                if pool.changed {
                    let managed = |(one, weight): (&Readings, &Weight)| {
                        (one.identity, Managed { weight: weight.weight, of: one.configured })
                    };
                    let weights = readings.iter().zip(&pool.weights).map(managed).collect();
                    roster.manage(number, pool.unit, &weights);
                    changed.push(place);
                }
            }
            if service.managed {
                let tallies = roster.members.iter().filter_map(|one| Some((one.identity, one.tally?)));
                totals.extend(tallies.map(|(identity, tally)| (identity, tally.total)));
            }
        }
        weights.totals.extend(totals);
        weights.last = Some(now);
        care.fleet.judge_again(changed);
    }
}

impl Sources<'_> {
    /// The readings of a pool, in the order of the configuration.
    fn of_pool(&self, roster: &Roster, servers: &[Server], pool: usize) -> Vec<Readings> {
        let members = roster.members.iter().zip(servers);
        members
            .filter(|(_, server)| usize::from(server.pool) == pool)
            .map(|(member, server)| self.of_server(member, server))
            .collect()
    }

    fn of_server(&self, member: &Member, server: &Server) -> Readings {
        // What was known at the last cycle has had its effect.
        let is_new = |at: Instant| self.last.is_none_or(|last| at > last);
        let tally = member.tally.filter(|tally| is_new(tally.at));
        let total = self.totals.get(&member.identity);
        let report = self.agents.report_since(server.address, self.last);
        let latency = member.target.and_then(|target| self.health.latency(target));
        Readings {
            identity: member.identity,
            configured: self.overrides.get(member.identity).weight.unwrap_or(server.weight),
            fixed: server.fixed,
            serving: is_serving(member),
            active: tally.map(|tally| tally.active),
            new: tally.zip(total).map(|(tally, total)| tally.total.saturating_sub(*total)),
            latency: latency.map(|latency| u64::try_from(latency.as_micros()).unwrap_or(u64::MAX)),
            load: report.map(|report| report.load),
        }
    }
}

/// Whether it gets as much as its weight says: one that starts slowly gets less, and is compared with nobody.
fn is_serving(member: &Member) -> bool {
    let served = match member.state {
        ServerState::Up | ServerState::Checking | ServerState::Unchecked => true,
        // Who is down and gets flows all the same looks idle, and must not get more of them.
        ServerState::Panic
        | ServerState::Down
        | ServerState::Resting
        | ServerState::Drained
        | ServerState::Released => false,
    };
    served && member.slow_start().is_none()
}

impl Roster {
    /// What each input said, for whoever asks why a weight is what it is.
    fn wish(&mut self, servers: &[Server], pool: usize, found: &Pool) {
        let exact = |wish: Option<u16>| wish.map(|wish| f64::from(wish) / f64::from(found.unit.max(1)));
        let members = self.members.iter_mut().zip(servers);
        let of_pool = members.filter(|(_, server)| usize::from(server.pool) == pool);
        for ((member, _), weight) in of_pool.zip(&found.weights) {
            let [active, new, latency, load] = weight.wishes.map(exact);
            member.wishes = WishesView { active, new, latency, load };
        }
    }

    fn manage(&mut self, pool: usize, unit: u16, weights: &HashMap<u64, Managed>) {
        self.pools[pool].managed_unit = unit;
        for member in &mut self.members {
            if let Some(&weight) = weights.get(&member.identity) {
                member.managed = Some(weight);
            }
        }
    }
}
