//! Laws of a manager whose readings scatter, because clients come by chance.

use super::*;

/// Numbers from a seed: SplitMix64.
struct Lots(u64);

impl Lots {
    fn part(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// About normal: of mean 0 and scatter 1.
    fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.part()).sum::<f64>() - 6.0
    }

    /// So many things that have nothing to do with each other, as often as they happen.
    fn count(&mut self, mean: f64) -> u64 {
        (mean + mean.sqrt() * self.normal()).round().max(0.0) as u64
    }
}

/// A pool of alike servers under clients who come by chance; the last may become slow.
struct Chance {
    manager: Manager,
    lots: Lots,
    weights: Vec<f64>,
    /// Flows that a server holds, on average.
    flows: f64,
    /// How many times slower than the others the last one is.
    slowness: f64,
    /// Whether there are agents.
    load: bool,
}

impl Chance {
    fn new(servers: usize, flows: f64, seed: u64) -> Self {
        Self {
            manager: Manager::new(defaults()),
            lots: Lots(seed),
            weights: vec![1.0; servers],
            flows,
            slowness: 1.0,
            load: true,
        }
    }

    /// So many cycles; how many of them wanted a new ring.
    fn run(&mut self, cycles: usize) -> usize {
        (0..cycles).filter(|_| self.cycle()).count()
    }

    fn cycle(&mut self) -> bool {
        let last = self.weights.len() - 1;
        let mean = self.weights.iter().sum::<f64>() / self.weights.len() as f64;
        let readings: Vec<_> = (0..=last)
            .map(|at| {
                let slowness = if at == last { self.slowness } else { 1.0 };
                let asked = self.weights[at] / mean;
                let checks = 1.0 + 0.35 * self.lots.normal();
                Readings {
                    identity: at as u64 + 1,
                    configured: 1,
                    fixed: false,
                    serving: true,
                    active: Some(self.lots.count(self.flows * asked * slowness)),
                    new: Some(self.lots.count(self.flows * 40.0 * asked)),
                    latency: Some((8_000.0 * slowness * checks.max(0.1)) as u64),
                    load: self
                        .load
                        .then(|| (500.0 * asked * slowness + 40.0 * self.lots.normal()).max(0.0) as u16),
                }
            })
            .collect();
        let pool = self.manager.cycle(&readings);
        self.weights = pool.weights.iter().map(|weight| f64::from(weight.weight)).collect();
        pool.changed
    }

    /// The last server's weight beside the mean.
    fn last(&self) -> f64 {
        let mean = self.weights.iter().sum::<f64>() / self.weights.len() as f64;
        self.weights[self.weights.len() - 1] / mean
    }
}

/// At the default interval of two seconds.
const HOUR: usize = 1800;

#[test]
fn chance_alone_makes_few_rings_in_an_hour() {
    for flows in [1.0, 4.0, 20.0, 400.0] {
        for seed in 1..=5 {
            for load in [true, false] {
                let mut pool = Chance { load, ..Chance::new(5, flows, seed) };
                let rings = pool.run(HOUR);
                assert!(rings <= 3, "{rings} rings with {flows} flows a server, seed {seed}, agents: {load}");
                assert!((0.85..=1.15).contains(&pool.last()), "{:?}", pool.weights);
            }
        }
    }
}

#[test]
fn a_thousand_servers_are_no_thousand_times_the_chance() {
    let mut pool = Chance::new(1000, 4.0, 1);
    let rings = pool.run(HOUR / 6);
    assert!(rings <= 2, "{rings} rings in ten minutes");
}

#[test]
fn a_server_that_becomes_slow_after_an_hour_of_chance_gets_a_quarter_less_within_two_minutes() {
    for flows in [4.0, 20.0, 400.0] {
        for seed in 1..=5 {
            let mut pool = Chance::new(5, flows, seed);
            pool.run(HOUR);
            pool.slowness = 3.0;
            pool.run(60);
            assert!(
                pool.last() < 0.75,
                "{} of the mean with {flows} flows a server, seed {seed}",
                pool.last()
            );
        }
    }
}

#[test]
fn one_absurd_reading_after_an_hour_moves_nothing() {
    let mut pool = Chance::new(5, 20.0, 7);
    pool.run(HOUR);
    let before = pool.last();
    pool.slowness = 50.0;
    assert!(!pool.cycle());
    pool.slowness = 1.0;
    pool.run(5);
    assert!((pool.last() - before).abs() < 0.01);
}
