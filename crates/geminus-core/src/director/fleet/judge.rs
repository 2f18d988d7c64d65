//! From what is held of each server to what its pool makes of it: panic, the pool in force, weights, and the rulings.

use std::time::Duration;

use super::{Facts, Fleet, Hold, Member, Roster};
use crate::director::told::News;
use crate::director::view::ServerState;
use crate::director::{Instant, hours};
use crate::health::State;
use crate::journal::EventKind;
use crate::model::{Condition, OnDown, Server, Service, Site};
use crate::plan::{Ruling, Rulings};

/// A recovered server's weight grows in so many steps.
pub(in crate::director) const SLOW_STEPS: u32 = 10;

/// The finest unit of weights: tenths, for a slow start.
const FINEST: u16 = 10;

/// A rule about flows that holds does so for this long at least: flows that are over within a second would put its pool in
/// force and out of it by turns.
const HOLDS_FOR: Duration = Duration::from_secs(10);

/// A rule about flows holds until there are fewer than so many percent of what it names.
const HOLDS_UNTIL_PERCENT: u64 = 90;

/// What counts of one member while its roster is judged.
#[derive(Debug, Clone, Copy)]
struct Standing {
    pool: u8,
    /// Its weight by configuration and operator; 0: it gets no new flows whatever its health.
    weight: u16,
    well: bool,
    /// Tenths of its weight.
    tenths: u16,
    managed: Option<u16>,
}

impl Fleet {
    /// Judges what has changed; returns what is to be told.
    pub(in crate::director) fn judge(&mut self, facts: &Facts<'_>, now: Instant) -> Vec<News> {
        self.due(now);
        let mut news = Vec::new();
        for number in std::mem::take(&mut self.dirty) {
            let roster = &mut self.rosters[number];
            let step = roster.judge(facts, &mut self.rulings, &mut self.changed, &mut news, now);
            self.step_at(number, step);
        }
        news
    }
}

impl Roster {
    /// Returns when it has to be judged again because of the time alone.
    fn judge(
        &mut self,
        facts: &Facts<'_>,
        rulings: &mut Rulings,
        changed: &mut bool,
        news: &mut Vec<News>,
        now: Instant,
    ) -> Option<Instant> {
        let service = self.service(facts.site);
        let mut step = None;
        let mut standings = Vec::with_capacity(self.members.len());
        for (member, server) in self.members.iter_mut().zip(&service.servers) {
            if let Some(told) = member.rest(server, facts, &self.name) {
                news.push(told);
            }
            let (standing, due) = member.standing(server, facts, now);
            step = step.into_iter().chain(due).min();
            standings.push(standing);
        }
        self.judge_pools(&standings);
        let (mut wanted, because) = self.wanted_pool(service, facts, news, now);
        // What was in force in the last run stays so until the time is known.
        if facts.time.is_none() && self.is_timed(facts) {
            wanted = self.in_force;
        }
        let sorry = self.sorry(service, wanted);
        let because =
            if sorry.is_some() { format!("no server of {} is up", self.pool_name(wanted)) } else { because };
        let coming = sorry.unwrap_or(wanted);
        self.stand_in(service, coming, sorry.map(|sorry| (wanted, sorry)));
        self.tell_pools(facts.site, news);
        self.switch(coming, because, rulings, changed, news, now);
        self.rule(service, &standings, facts, rulings, changed, now);
        step
    }

    /// How much of each pool is well.
    fn judge_pools(&mut self, standings: &[Standing]) {
        for (number, pool) in (0..).zip(&mut self.pools) {
            let counts = standings.iter().filter(|one| one.pool == number && one.weight > 0);
            let (mut all, mut well) = (0_u64, 0_u64);
            pool.up = 0;
            for one in counts {
                all += u64::from(one.weight);
                if one.well {
                    well += u64::from(one.weight);
                    pool.up += 1;
                }
            }
            // A pool that nobody is to get flows of is not ill.
            let percent = (well * 100).checked_div(all).unwrap_or(100);
            pool.healthy_percent = u8::try_from(percent).unwrap_or(100);
        }
    }

    /// The pool of the first rule that holds, and why.
    fn wanted_pool(
        &mut self,
        service: &Service,
        facts: &Facts<'_>,
        news: &mut Vec<News>,
        now: Instant,
    ) -> (u8, String) {
        let flows = self.flows(facts.site, 0);
        let mut wanted = None;
        for (place, rule) in service.rules.iter().enumerate() {
            let Hold { holds: before, since, .. } = self.holds[place];
            let is_new = before && now.since(since) < HOLDS_FOR;
            let still = |bound: u64, count: u64| match before {
                true => is_new || count.saturating_mul(100) >= bound.saturating_mul(HOLDS_UNTIL_PERCENT),
                false => count > bound,
            };
            let (holds, words) = match &rule.when {
                Condition::From(_) => continue,
                Condition::During(window) => (
                    facts.time.map_or(before, |time| hours::holds(window, time)),
                    format!("it is between {} and {}", hours::clock(window.from), hours::clock(window.to)),
                ),
                &Condition::Active(bound) => {
                    let count = flows.map(|(active, _)| active);
                    let words = format!(
                        "the main pool has {} active flows, more than {bound}",
                        count.unwrap_or_default()
                    );
                    (count.map_or(before, |count| still(bound, count)), words)
                }
                &Condition::Rate(bound) => {
                    // While it holds, those that come are the rule's pool's: else it would end itself.
                    let its = self.flows(facts.site, rule.pool).filter(|_| before && rule.pool != 0);
                    let count = flows.map(|(_, rate)| rate + its.map_or(0, |(_, rate)| rate));
                    let words = format!(
                        "{} new flows a second come, more than {bound} are the main pool's",
                        count.unwrap_or_default()
                    );
                    (count.map_or(before, |count| still(bound, count)), words)
                }
            };
            if holds != before {
                self.holds[place] = Hold { holds, since: now, ..self.holds[place].clone() };
            }
            let overflow = !matches!(rule.when, Condition::During(_));
            if holds != before && overflow {
                let reason = if matches!(rule.when, Condition::Active(_)) { "active" } else { "rate" };
                let (kind, words) = match holds {
                    true => (EventKind::PoolFull, words.as_str()),
                    false => (EventKind::PoolRelieved, "the main pool has room again"),
                };
                let about = self.about_pool(facts.site, 0, reason);
                news.push(News::new(kind, format!("{}: {words}", self.name)).about(about));
            }
            if holds && wanted.is_none() {
                wanted = Some((rule.pool, words));
            }
        }
        wanted.unwrap_or_default()
    }

    /// The sorry pool, if the wanted one has no server left and it has.
    fn sorry(&self, service: &Service, wanted: u8) -> Option<u8> {
        let up = |pool: u8| self.pools.get(usize::from(pool)).is_some_and(|pool| pool.up > 0);
        service.sorry.filter(|&sorry| sorry != wanted && !up(wanted) && up(sorry))
    }

    /// Whose servers clients get instead of those of a pool of which none is up: where the sorry pool is in force, its own
    /// for all of them; else those that stand in for clients whom a rule gives to it.
    fn stand_in(&mut self, service: &Service, in_force: u8, sorry_for: Option<(u8, u8)>) {
        let stand_in = |number: u8| {
            let sorry = sorry_for.filter(|&(wanted, _)| wanted == number).map(|(_, sorry)| sorry);
            sorry.or_else(|| {
                service.stand_in(number, in_force, |pool| {
                    self.pools.get(usize::from(pool)).is_some_and(|pool| pool.up > 0)
                })
            })
        };
        let all: Vec<_> = (0..).zip(&self.pools).map(|(number, _)| stand_in(number)).collect();
        for (pool, stand_in) in self.pools.iter_mut().zip(all) {
            pool.stand_in = stand_in;
        }
    }

    /// Says which pools lost their last server or too many of them.
    fn tell_pools(&mut self, site: &Site, news: &mut Vec<News>) {
        let (service, panic_below) = (self.service(site), site.health.panic_below);
        for number in 0..self.pools.len() {
            let number = u8::try_from(number).unwrap_or(u8::MAX);
            let name = format!("{} of {}", self.pool_name(number), self.name);
            let served = service.servers.iter().any(|server| server.pool == number && server.weight > 0);
            let stand_in = self.pools[usize::from(number)].stand_in.map(|pool| self.pool_name(pool));
            let pool = &mut self.pools[usize::from(number)];
            let healthy = pool.healthy_percent;
            let empty = served && pool.up == 0;
            let panic = healthy < panic_below && stand_in.is_none();
            let (was_empty, was_panic) =
                (std::mem::replace(&mut pool.empty, empty), std::mem::replace(&mut pool.panic, panic));
            let up = pool.up;
            let (reason, what) = match (panic, stand_in) {
                (true, _) => ("panic", "; all of them get flows, whatever their checks say".to_owned()),
                (_, Some(stand_in)) => ("stand-in", format!("; {stand_in} takes its flows")),
                _ => ("dropped", "; new flows to it are dropped".to_owned()),
            };
            match (was_empty, empty) {
                (false, true) => {
                    let about = self.about_pool(site, number, reason);
                    let message = format!("no server of {name} is up{what}");
                    news.push(News::new(EventKind::PoolEmpty, message).about(about));
                }
                (true, false) => {
                    let message = format!("{} of {name} up again", servers(up));
                    news.push(News::new(EventKind::PoolFilled, message));
                }
                _ => {}
            }
            // That nobody is left has been said.
            match (was_panic && !was_empty, panic && !empty) {
                (false, true) => {
                    let message = format!("{healthy} % of {name} is well, less than {panic_below} %{what}");
                    news.push(News::new(EventKind::PoolPanic, message));
                }
                (true, false) if !empty => {
                    let message =
                        format!("{healthy} % of {name} is well: those that are not get nothing again");
                    news.push(News::new(EventKind::PoolCalm, message));
                }
                _ => {}
            }
        }
    }

    fn switch(
        &mut self,
        wanted: u8,
        because: String,
        rulings: &mut Rulings,
        changed: &mut bool,
        news: &mut Vec<News>,
        now: Instant,
    ) {
        if wanted != self.in_force {
            let why = if because.is_empty() { "no rule holds any more".to_owned() } else { because.clone() };
            let message = format!("{}: new flows go to {}: {why}", self.name, self.pool_name(wanted));
            news.push(News::new(EventKind::PoolSwitched, message));
            self.in_force = wanted;
            self.since = now;
        }
        self.because = because;
        if rulings.pool(self.identity) != self.in_force {
            rulings.use_pool(self.identity, self.in_force);
            *changed = true;
        }
    }

    fn is_timed(&self, facts: &Facts<'_>) -> bool {
        self.service(facts.site).rules.iter().any(|rule| matches!(rule.when, Condition::During(_)))
    }

    /// Makes the rulings of what was judged.
    fn rule(
        &mut self,
        service: &Service,
        standings: &[Standing],
        facts: &Facts<'_>,
        rulings: &mut Rulings,
        changed: &mut bool,
        now: Instant,
    ) {
        for (number, pool) in (0..).zip(&mut self.pools) {
            let of_pool = || standings.iter().filter(move |one| one.pool == number);
            let slow = of_pool().any(|one| one.tenths < FINEST && one.weight > 0);
            let managed = of_pool().any(|one| one.managed.is_some());
            let heaviest = of_pool().map(|one| one.weight).max().unwrap_or_default().max(1);
            let tenths = crate::limits::WEIGHT_MAX / heaviest;
            pool.unit = match (managed, slow) {
                (true, _) => pool.managed_unit,
                (false, true) => tenths.clamp(1, FINEST),
                (false, false) => 1,
            };
        }
        for ((member, server), one) in self.members.iter_mut().zip(&service.servers).zip(standings) {
            let pool = &self.pools[usize::from(server.pool)];
            let wish = facts.overrides.get(member.identity);
            // Also of a server that gets nothing now: with this it comes back, and a next daemon goes on.
            let configured = wish.weight.unwrap_or(server.weight);
            let managed = member.managed_of(configured);
            let full = managed.unwrap_or(configured.saturating_mul(pool.unit));
            let weight = slowed(full, one.tenths);
            let released = wish.drained && member.drain.released;
            let down = match (released, !one.well && !pool.panic) {
                (true, _) => Some(OnDown::Rehash),
                // Nobody else answers either: there is no better place for its flows.
                (_, true) if member.target.is_some_and(|target| facts.health.is_doubtful(target)) => {
                    Some(OnDown::Keep)
                }
                (_, true) => Some(service.on_down),
                _ => None,
            };
            let ruling = Ruling {
                weight: (pool.unit > 1 || managed.is_some() || weight != configured).then_some(weight),
                down,
                maintenance: member.maintenance,
                leaving: member.leaving,
                slowed: one.tenths < FINEST,
                emptied: wish.drained && member.drain.empty_told,
            };
            if rulings.server(member.identity) != ruling {
                rulings.rule(member.identity, ruling);
                *changed = true;
            }
            member.weight = ruling.weight_of(server, wish);
            let state = member.state_now(facts, wish.drained, pool.panic);
            if std::mem::replace(&mut member.state, state) != state {
                member.since = now;
            }
        }
    }
}

impl Member {
    /// Whether it is in maintenance now; what is to be told if that is new.
    fn rest(&mut self, server: &Server, facts: &Facts<'_>, service: &str) -> Option<News> {
        let time = facts.time?;
        let window = server.maintenance.iter().find(|window| hours::holds(window, time));
        let before = std::mem::replace(&mut self.maintenance, window.is_some());
        let name = format!("server {} of {service}", server.name);
        match (before, window) {
            (false, Some(window)) => {
                let end = hours::clock(window.to);
                let message = format!("{name} is in maintenance until {end}: no new flows");
                Some(News::new(EventKind::ServerResting, message))
            }
            (true, None) => {
                let message = format!("{name} gets new flows again: its maintenance is over");
                Some(News::new(EventKind::ServerRested, message))
            }
            _ => None,
        }
    }

    /// What counts of it, and when that changes by time alone.
    fn standing(&mut self, server: &Server, facts: &Facts<'_>, now: Instant) -> (Standing, Option<Instant>) {
        let resting = self.maintenance || self.leaving;
        let state = self.target.and_then(|target| facts.health.state(target));
        let (tenths, step) = self.tenths_at(facts.site.health.slow_start, now);
        self.tenths = tenths;
        let weight = if resting { 0 } else { facts.overrides.get(self.identity).weight_of(server) };
        let well = state != Some(State::Down);
        let managed = self.managed_of(weight);
        (Standing { pool: server.pool, weight, well, tenths, managed }, step)
    }

    /// What the manager made of a configured weight.
    fn managed_of(&self, configured: u16) -> Option<u16> {
        self.managed.filter(|managed| managed.of == configured).map(|managed| managed.weight)
    }

    /// How much of its weight a server that came up has by now, and when that is more.
    fn tenths_at(&mut self, slow_start: Duration, now: Instant) -> (u16, Option<Instant>) {
        let Some(risen) = self.risen.filter(|_| !slow_start.is_zero()) else { return (FINEST, None) };
        let steps = SLOW_STEPS - 1;
        let passed = now.since(risen).as_nanos() * u128::from(steps) / slow_start.as_nanos();
        if passed >= u128::from(steps) {
            self.risen = None;
            return (FINEST, None);
        }
        let passed = u32::try_from(passed).unwrap_or(steps);
        // Rounded up, so that the step is behind it when it comes.
        let next = risen + slow_start * (passed + 1) / steps + Duration::from_nanos(1);
        (u16::try_from(passed + 1).unwrap_or(FINEST), Some(next))
    }

    fn state_now(&self, facts: &Facts<'_>, drained: bool, panic: bool) -> ServerState {
        let held = self.target.and_then(|target| facts.health.state(target));
        match (drained, held) {
            (true, _) if self.drain.released => ServerState::Released,
            (true, _) => ServerState::Drained,
            (_, Some(State::Down)) if !panic => ServerState::Down,
            _ if self.maintenance || self.leaving => ServerState::Resting,
            (_, None) => ServerState::Unchecked,
            (_, Some(State::Checking)) => ServerState::Checking,
            (_, Some(State::Up)) => ServerState::Up,
            (_, Some(State::Down)) => ServerState::Panic,
        }
    }

    /// Percent of its weight that are in force while it starts slowly.
    pub(in crate::director) fn slow_start(&self) -> Option<u8> {
        self.risen.filter(|_| self.tenths < FINEST).and_then(|_| u8::try_from(self.tenths * 10).ok())
    }
}

/// So many tenths of a weight; never nothing of something.
fn slowed(weight: u16, tenths: u16) -> u16 {
    let part = u32::from(weight) * u32::from(tenths) / u32::from(FINEST);
    u16::try_from(part).unwrap_or(u16::MAX).max(weight.min(1))
}

fn servers(number: usize) -> String {
    match number {
        1 => "1 server is".to_owned(),
        number => format!("{number} servers are"),
    }
}
