//! A server beside the others of its pool: what each input would make of its weight.

use super::{Readings, is_managed};

/// What a comparison may say at most, as a factor of the mean: one absurd reading is one voice.
const MOST: f64 = 8.0;

/// What differs by less than this part is the same.
const ALIKE: f64 = 0.1;

/// Added to every latency, in microseconds: below it, differences are the noise of a busy machine.
const QUICK: f64 = 1_000.0;

/// Added to every load: an idle server is not infinitely better than a nearly idle one.
const IDLE: f64 = 50.0;

/// Added to flows for each weight: few flows say little.
const FEW: f64 = 5.0;

/// The mean of each input over the managed servers that have it. None: too few have it for a comparison.
pub(super) struct Means {
    active: Option<f64>,
    new: Option<f64>,
    latency: Option<f64>,
    load: Option<f64>,
    /// Flows that one of the configuration's weights has on average, below which `FEW` rules.
    weight: f64,
}

impl Means {
    pub(super) fn of(pool: &[Readings], factors: &[f64]) -> Self {
        let managed =
            || pool.iter().zip(factors).filter(|(server, _)| server.serving && server.configured > 0);
        // By weight: a server that gets twice the flows says twice as much of what a flow meets.
        let mean = |of: &dyn Fn(&Readings, f64) -> Option<f64>| {
            let (mut sum, mut weights, mut servers) = (0.0, 0.0, 0);
            for (server, &factor) in managed() {
                let weight = f64::from(server.configured) * factor;
                if let Some(value) = of(server, weight) {
                    sum += value * weight;
                    weights += weight;
                    servers += 1;
                }
            }
            (servers >= 2).then_some(sum / weights)
        };
        let all: f64 = managed().map(|(server, &factor)| f64::from(server.configured) * factor).sum();
        let servers = managed().count().max(1) as f64;
        Self {
            active: mean(&|server, weight| server.active.map(|flows| flows as f64 / weight)),
            new: mean(&|server, weight| server.new.map(|flows| flows as f64 / weight)),
            latency: mean(&|server, _| server.latency.map(|latency| latency as f64)),
            load: mean(&|server, _| server.load.map(|load| f64::from(load.min(10_000)))),
            weight: all / servers,
        }
    }
}

/// The factor of its configured weight that each input wishes a server to have: active flows, new flows, latency, load.
///
/// Flows held for a weight, and latency, say how slow a server is whatever its weight is: their wish is of the configured
/// weight. New flows for a weight, and load, say how far what it gets is from what it should get: theirs is of the weight it
/// has.
pub(super) fn wishes(server: &Readings, factor: f64, means: &Means) -> [Option<f64>; 4] {
    if !is_managed(server) {
        return [None; 4];
    }
    let weight = f64::from(server.configured) * factor;
    let few = FEW / means.weight.max(f64::MIN_POSITIVE);
    let flows = |flows: Option<u64>, mean: Option<f64>| Some(against(mean?, flows? as f64 / weight, few));
    [
        flows(server.active, means.active),
        flows(server.new, means.new).map(|ratio| factor * ratio),
        means.latency.zip(server.latency).map(|(mean, latency)| against(mean, latency as f64, QUICK)),
        means
            .load
            .zip(server.load)
            .map(|(mean, load)| factor * against(mean, f64::from(load.min(10_000)), IDLE)),
    ]
}

/// How much better than the mean a reading is where less is better, as a factor; 1 if they are alike.
fn against(mean: f64, reading: f64, floor: f64) -> f64 {
    let ratio = (mean + floor) / (reading + floor);
    if (1.0 - ALIKE..=1.0 / (1.0 - ALIKE)).contains(&ratio) { 1.0 } else { ratio.clamp(1.0 / MOST, MOST) }
}
