//! What came of a scene, as figures and as a table.

use std::fmt::Write as _;

use super::scene::{Scene, Way};
use crate::time::{MS, Nanos};

/// What came of a scene.
#[derive(Debug, Clone, PartialEq)]
pub struct Figures {
    /// How long requests took that came while it counted, in order; those not answered at the end: until then.
    answered: Vec<Nanos>,
    /// What part of its time each host worked.
    pub worked: Vec<f64>,
    /// The weights after each cycle, by host; nothing where nobody manages them.
    pub weights: Vec<Vec<f64>>,
    /// Segments that did not come to the host of their flow.
    pub strayed: u64,
}

impl Figures {
    pub(super) fn new(
        mut answered: Vec<Nanos>,
        worked: Vec<f64>,
        weights: Vec<Vec<f64>>,
        strayed: u64,
    ) -> Self {
        answered.sort_unstable();
        Self { answered, worked, weights, strayed }
    }

    /// How many requests came.
    pub const fn requests(&self) -> usize {
        self.answered.len()
    }

    /// So many thousandths of the requests took no longer, in milliseconds.
    pub fn percentile(&self, thousandths: usize) -> f64 {
        let at = (self.answered.len() * thousandths).div_ceil(1000).saturating_sub(1);
        self.answered.get(at).map_or(0.0, |&took| took as f64 / MS as f64)
    }

    /// How much more than the mean the busiest host worked; 1: all alike.
    pub fn imbalance(&self) -> f64 {
        let mean = self.worked.iter().sum::<f64>() / self.worked.len() as f64;
        self.worked.iter().fold(0.0, |most: f64, &worked| most.max(worked)) / mean
    }

    /// The mean of each host's weights.
    pub fn mean_weights(&self) -> Vec<f64> {
        let hosts = self.weights.first().map_or(0, Vec::len);
        (0..hosts).map(|host| self.of(host).sum::<f64>() / self.weights.len() as f64).collect()
    }

    /// Between a host's greatest and least weight, as a part of their mean; of the host of which that is most.
    pub fn swing(&self) -> f64 {
        let of = |(host, mean): (usize, f64)| {
            let (most, least) = (self.of(host).fold(0.0, f64::max), self.of(host).fold(f64::MAX, f64::min));
            (most - least) / mean
        };
        self.mean_weights().into_iter().enumerate().map(of).fold(0.0, f64::max)
    }

    /// How many times a new ring was wanted.
    pub fn changes(&self) -> usize {
        self.weights.windows(2).filter(|pair| pair[0] != pair[1]).count()
    }

    fn of(&self, host: usize) -> impl Iterator<Item = f64> + '_ {
        self.weights.iter().map(move |weights| weights[host])
    }
}

/// Every scene by every way, as a table.
pub fn table(scenes: &[Scene], seed: u64) -> String {
    let mut text =
        "| hosts | asked for | balanced by | p50 | p99 | busiest / mean | weights | swing | new rings |\n\
                    |---|---|---|---|---|---|---|---|---|\n"
            .to_owned();
    for scene in scenes {
        for way in Way::ALL {
            let figures = scene.play(way, seed);
            let weights: Vec<_> =
                figures.mean_weights().iter().map(|weight| format!("{weight:.1}")).collect();
            let managed = |figure: String| if way.is_managed() { figure } else { "–".to_owned() };
            let _ = writeln!(
                text,
                "| {} | {} % | {} | {} | {} | {:.2} | {} | {} | {} |",
                scene.name,
                scene.asked,
                way.name(),
                milliseconds(figures.percentile(500)),
                milliseconds(figures.percentile(990)),
                figures.imbalance(),
                managed(weights.join(" ")),
                managed(format!("{:.0} %", figures.swing() * 100.0)),
                managed(figures.changes().to_string()),
            );
        }
    }
    text
}

fn milliseconds(time: f64) -> String {
    if time < 10_000.0 { format!("{time:.0} ms") } else { format!("{:.0} s", time / 1000.0) }
}
