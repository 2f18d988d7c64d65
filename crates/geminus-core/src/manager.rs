//! From readings to weights.
//!
//! Each cycle every managed server of a pool is compared with the others: by the flows it holds for its weight, by those it
//! got for its weight, by how long its advisor's checks take, by the load its agent reports. Each comparison names the
//! weight that would make it equal to the others; their mean by [`Manager::proportions`] is gone towards, slowly
//! ([`Manager::smoothing`]), within bounds, and told when it is worth a new ring ([`Manager::sensitivity`]).
//! `docs/design/manager.md` argues the law and its figures.
//!
//! [`Manager::proportions`]: crate::model::Manager::proportions
//! [`Manager::smoothing`]: crate::model::Manager::smoothing
//! [`Manager::sensitivity`]: crate::model::Manager::sensitivity

mod comparison;
mod evidence;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use self::comparison::{Means, wishes};
use self::evidence::Evidence;
use crate::model;

/// Most of the units that one of the configuration's weights is divided into.
pub const UNIT: u16 = 100;

/// What a weight may change by in one cycle, as a factor: a reading that lies does little harm before the next.
const STEP: f64 = 1.25;

/// A weight that turns round goes on at this part of its pace; one that stays on its way gains [`GAIN`] with each cycle. Readings
/// that are late make a weight swing, and this is what ends the swing, whatever they are late by.
const TURN: f64 = 0.5;

/// See [`TURN`].
const GAIN: f64 = 1.15;

/// For so many cycles it has to go on its way before it gains: longer than reports are late.
const STEADY: u32 = 10;

/// Nearer to where it is to be than this, as the logarithm of a factor, a weight gains no pace.
const NEAR: f64 = 0.2;

/// A weight that rested for so many cycles sets out at full pace again: what it turned round for is over.
const RESTED: u32 = 300;

/// The slowest pace.
const SLOWEST: f64 = 1.0 / 32.0;

/// What is known of one server when a cycle begins.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Readings {
    /// [`crate::plan::server_identity`].
    pub identity: u64,
    /// The configured weight, or the one an operator ordered. 0: it gets nothing, and is not managed.
    pub configured: u16,
    /// Whether its weight is left alone.
    pub fixed: bool,
    /// Whether it gets new flows. One that does not is compared with nobody, and keeps what it had.
    pub serving: bool,
    /// Flows it holds.
    pub active: Option<u64>,
    /// Flows it got since the last cycle.
    pub new: Option<u64>,
    /// How long its checks take, smoothed, in microseconds.
    pub latency: Option<u64>,
    /// The load its agent reported since the last cycle, 0 to 1 000 and above. None: nothing new; what was reported before
    /// counts once only, or it would push for as long as it is late.
    pub load: Option<u16>,
}

/// One server's weight after a cycle.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Weight {
    /// Whose.
    pub identity: u64,
    /// The weight, in [`Pool::unit`]s.
    pub weight: u16,
    /// What each input alone would have made of it, in the same units: active flows, new flows, latency, load. None: the input
    /// said nothing.
    pub wishes: [Option<u16>; 4],
}

/// The weights of one pool after a cycle.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Pool {
    /// How many units make one of the configuration's weights.
    pub unit: u16,
    /// Of every server, in the order of its readings.
    pub weights: Vec<Weight>,
    /// Whether a weight differs from the one before by more than the sensitivity: the others are not worth a new ring.
    pub changed: bool,
}

/// Keeps the weights of every managed server.
#[derive(Debug)]
pub struct Manager {
    settings: model::Manager,
    servers: BTreeMap<u64, State>,
}

/// One server's weight on its way.
#[derive(Debug, Clone, Copy)]
struct State {
    /// Of the configured weight, exactly: 1 is all of it.
    factor: f64,
    /// How fast it goes, 1 at most.
    pace: f64,
    /// For how many cycles it has been on its way, or at rest.
    steady: u32,
    /// Which way it goes, or went last: negative, 0 or positive.
    heading: f64,
    /// Whether it is on its way.
    going: bool,
    /// What speaks for setting out.
    evidence: Evidence,
    /// What it was told to be, in units.
    told: u16,
    /// The configured weight that both are of.
    configured: u16,
    /// Those units.
    unit: u16,
}

impl Manager {
    /// Knows nobody yet.
    pub fn new(settings: model::Manager) -> Self {
        Self { settings, servers: BTreeMap::new() }
    }

    /// Other settings from the next cycle on; weights go on from where they are.
    pub fn configure(&mut self, settings: model::Manager) {
        self.settings = settings;
    }

    /// Forgets every server but these.
    pub fn retain(&mut self, keep: impl Fn(u64) -> bool) {
        self.servers.retain(|&identity, _| keep(identity));
    }

    /// A server's weight from an earlier life of the daemon, in units of its pool.
    pub fn remember(&mut self, identity: u64, configured: u16, weight: u16, unit: u16) {
        if configured == 0 || unit == 0 {
            return;
        }
        let factor = f64::from(weight) / (f64::from(configured) * f64::from(unit));
        let bound = f64::from(self.settings.bound.max(1));
        let factor = factor.clamp(1.0 / bound, bound);
        self.servers.insert(identity, State { factor, told: weight, ..State::new(configured, unit) });
    }

    /// How many units make one of the configuration's weights in a pool of these servers.
    pub fn unit(&self, pool: &[Readings]) -> u16 {
        unit(pool, self.settings.bound)
    }

    /// One cycle of one pool: its servers in the order of the configuration, each once.
    pub fn cycle(&mut self, pool: &[Readings]) -> Pool {
        let unit = self.unit(pool);
        let mut states: Vec<State> = pool.iter().map(|server| self.state(server, unit)).collect();
        let factors: Vec<f64> = states.iter().map(|state| state.factor).collect();
        let means = Means::of(pool, &factors);
        let all: Vec<_> =
            pool.iter().zip(&factors).map(|(server, &factor)| wishes(server, factor, &means)).collect();
        let servers = pool.iter().filter(|server| is_managed(server)).count();
        for ((server, state), wishes) in pool.iter().zip(&mut states).zip(&all) {
            if is_managed(server) {
                self.step(state, wishes, servers);
            }
        }
        self.keep_the_sum(pool, &mut states);
        self.tell(pool, &states, &all, unit)
    }

    /// Where a server is on its way: at the beginning if it is new, fixed, or has another configured weight.
    fn state(&self, server: &Readings, unit: u16) -> State {
        let known = self.servers.get(&server.identity);
        match known {
            Some(state) if !server.fixed && state.configured == server.configured => *state,
            _ => State::new(server.configured, unit),
        }
    }

    /// One step towards what the inputs wish for, by their proportions; those that say nothing leave theirs to the others.
    fn step(&self, state: &mut State, wishes: &[Option<f64>; 4], servers: usize) {
        let (mut sum, mut parts) = (0.0, 0.0);
        for (wish, &proportion) in wishes.iter().zip(&self.settings.proportions) {
            if let Some(wish) = wish {
                sum += f64::from(proportion) * wish.ln();
                parts += f64::from(proportion);
            }
        }
        if parts == 0.0 {
            return;
        }
        let far = sum / parts - state.factor.ln();
        if let Some(far) = state.sets_out(far, servers) {
            let way = state.pace * 100.0 / f64::from(self.settings.smoothing.max(100));
            state.factor *= (far * way).exp().clamp(1.0 / STEP, STEP);
        }
    }

    /// Managed servers that serve share what they have by configuration: else all of them could drift together, and those
    /// with fixed weights would get more or less for it.
    fn keep_the_sum(&self, pool: &[Readings], states: &mut [State]) {
        let bound = f64::from(self.settings.bound.max(1));
        let managed = |(server, _): &(&Readings, &mut State)| is_managed(server);
        let (mut configured, mut now) = (0.0, 0.0);
        for (server, state) in pool.iter().zip(states.iter_mut()).filter(managed) {
            configured += f64::from(server.configured);
            now += f64::from(server.configured) * state.factor;
        }
        let scale = if now > 0.0 { configured / now } else { 1.0 };
        for (_, state) in pool.iter().zip(states.iter_mut()).filter(managed) {
            state.factor = (state.factor * scale).clamp(1.0 / bound, bound);
        }
    }

    fn tell(&mut self, pool: &[Readings], states: &[State], all: &[[Option<f64>; 4]], unit: u16) -> Pool {
        let sensitivity = f64::from(self.settings.sensitivity) / 100.0;
        let differs = |(server, state): (&Readings, &State)| {
            let told = state.told_in(unit);
            let wanted = in_units(server.configured, state.factor, unit);
            let worth = f64::from(told) * sensitivity;
            state.unit != unit || (is_managed(server) && f64::from(told.abs_diff(wanted)) > worth)
        };
        let changed = pool.iter().zip(states).any(differs);
        let mut weights = Vec::with_capacity(pool.len());
        for ((server, state), wishes) in pool.iter().zip(states).zip(all) {
            let exact = |factor: f64| in_units(server.configured, factor, unit);
            let weight = if changed { exact(state.factor) } else { state.told };
            self.servers.insert(server.identity, State { told: weight, unit, ..*state });
            let wishes = wishes.map(|wish| wish.map(exact));
            weights.push(Weight { identity: server.identity, weight, wishes });
        }
        Pool { unit, weights, changed }
    }
}

impl State {
    /// All of the configured weight, at rest.
    fn new(configured: u16, unit: u16) -> Self {
        Self {
            factor: 1.0,
            pace: 1.0,
            steady: 0,
            heading: 0.0,
            going: false,
            evidence: Evidence::NONE,
            told: in_units(configured, 1.0, unit),
            configured,
            unit,
        }
    }

    /// How far it is off, if it goes this cycle: one on its way goes until its readings cannot tell that it is not there, one
    /// at rest sets out when there is evidence enough.
    fn sets_out(&mut self, far: f64, servers: usize) -> Option<f64> {
        self.steady = self.steady.saturating_add(1);
        if self.going {
            self.going = far * self.heading > 0.0 && self.evidence.is_plain(far);
            if !self.going {
                self.steady = 0;
            } else if far.abs() > NEAR && self.steady > STEADY {
                self.pace = (self.pace * GAIN).min(1.0);
            }
            return self.going.then_some(far);
        }
        let far = self.evidence.hear(far, servers)?;
        if self.steady > RESTED {
            self.pace = 1.0;
        } else if far * self.heading < 0.0 {
            self.pace = (self.pace * TURN).max(SLOWEST);
        }
        self.going = true;
        self.heading = far.signum();
        self.steady = 0;
        Some(far)
    }

    /// What it was told to be, in other units.
    fn told_in(&self, unit: u16) -> u16 {
        let told = u32::from(self.told) * u32::from(unit) / u32::from(self.unit.max(1));
        u16::try_from(told).unwrap_or(u16::MAX)
    }
}

/// Whether a cycle changes a server's weight.
const fn is_managed(server: &Readings) -> bool {
    server.serving && !server.fixed && server.configured > 0
}

/// How many units make one of the configuration's weights: as many as fit where the largest is at its bound.
fn unit(pool: &[Readings], bound: u16) -> u16 {
    let most = pool.iter().map(|server| server.configured).max().unwrap_or(1).max(1);
    let room = u32::from(u16::MAX) / (u32::from(most) * u32::from(bound.max(1)));
    u16::try_from(room).unwrap_or(u16::MAX).clamp(1, UNIT)
}

/// A weight in units; at least one of them, unless the configuration says 0.
fn in_units(configured: u16, factor: f64, unit: u16) -> u16 {
    if configured == 0 {
        return 0;
    }
    let exact = f64::from(configured) * factor * f64::from(unit);
    exact.round().clamp(1.0, f64::from(u16::MAX)) as u16
}
