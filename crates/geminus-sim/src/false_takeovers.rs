//! How often a standby takes over from a partner that lives, because frames were lost: the real detector on lossy paths,
//! for as many days as wanted.

use std::time::Duration;

use geminus_core::ha::Instant;
use geminus_core::ha::detect::{Detector, Life};
use geminus_core::model::Timers;

use crate::random::Random;

/// The most that a frame travels, in millionths of a second. Each takes its own time: a heartbeat that comes just when
/// patience ends comes before the end as often as after it.
const DELAY: u64 = 400;

/// What was counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FalseTakeovers {
    /// The partner was suspected.
    pub suspicions: u64,
    /// It was believed to be gone.
    pub takeovers: u64,
}

impl FalseTakeovers {
    /// One standby watches one active over so many paths, each of which loses each frame with this probability, in each
    /// direction by itself.
    pub fn count(days: u64, loss: f64, paths: usize, timers: Timers, seed: u64) -> Self {
        let threads = std::thread::available_parallelism().map_or(1, |threads| threads.get() as u64);
        let share = |thread: u64| days / threads + u64::from(thread < days % threads);
        std::thread::scope(|scope| {
            let work = |thread| {
                scope.spawn(move || Self::days(share(thread), loss, paths, timers, seed ^ thread << 40))
            };
            let threads: Vec<_> = (0..threads).map(work).collect();
            let counted =
                threads.into_iter().map(|thread| thread.join().expect("the detector does not panic"));
            counted.fold(Self::default(), |sum, one| Self {
                suspicions: sum.suspicions + one.suspicions,
                takeovers: sum.takeovers + one.takeovers,
            })
        })
    }

    fn days(days: u64, loss: f64, paths: usize, timers: Timers, seed: u64) -> Self {
        let mut watch = Watch {
            detector: Detector::new(timers, paths, Instant::START),
            random: Random::new(seed),
            lost: (loss * 2f64.powi(64)) as u64,
            paths,
            suspected: false,
            arrivals: Vec::new(),
            counted: Self::default(),
        };
        let beats = days * 86_400_000_000 / timers.heartbeat.as_micros() as u64;
        for beat in 1..=beats {
            watch.beat(beat, timers.heartbeat);
        }
        watch.counted
    }
}

#[derive(Debug)]
struct Watch {
    detector: Detector,
    random: Random,
    /// A frame is lost if the next number is below.
    lost: u64,
    paths: usize,
    suspected: bool,
    arrivals: Vec<(Instant, usize)>,
    counted: FalseTakeovers,
}

impl Watch {
    /// Lets everything happen until a beat of the partner arrives, and then the beat.
    fn beat(&mut self, beat: u64, heartbeat: Duration) {
        let sent = Instant::from_start(Duration::from_micros(beat * heartbeat.as_micros() as u64));
        self.arrivals.clear();
        for path in 0..self.paths {
            if self.comes() {
                let arrives = sent + self.travels();
                self.arrivals.push((arrives, path));
            }
        }
        self.arrivals.sort_unstable();
        for at in 0..self.arrivals.len() {
            let (arrives, path) = self.arrivals[at];
            self.run(arrives);
            self.detector.beat(path, beat, beat == 1, arrives);
        }
        if self.detector.life() == Life::Alive {
            self.suspected = false;
        }
    }

    fn run(&mut self, until: Instant) {
        while self.detector.poll_timeout() < until {
            let now = self.detector.poll_timeout();
            self.detector.handle_timeout(now);
            self.note();
            while let Some((path, probe)) = self.detector.poll_probe(now) {
                // There and back.
                if self.comes() && self.comes() {
                    let arrives = now + self.travels() + self.travels();
                    self.detector.answer(path, probe, arrives);
                }
            }
        }
    }

    fn note(&mut self) {
        match self.detector.life() {
            Life::Suspect { .. } if !self.suspected => {
                self.suspected = true;
                self.counted.suspicions += 1;
            }
            Life::Gone { .. } => {
                self.counted.takeovers += 1;
                // The standby took over and was put right: it begins anew.
                self.detector.beat(0, u64::MAX, true, self.detector.poll_timeout());
                self.suspected = false;
            }
            _ => {}
        }
    }

    const fn travels(&mut self) -> Duration {
        Duration::from_micros(self.random.below(DELAY))
    }

    const fn comes(&mut self) -> bool {
        self.random.next() >= self.lost
    }
}

/// False takeovers a day by `86400/Δ · q^k · (1-q) · r^(n·paths)` with `q = p^paths` and `r = 1-(1-p)²`: k heartbeats of Δ
/// missed on every path, after one that came, and no answer to n probes on each.
pub fn formula(loss: f64, paths: usize, timers: Timers) -> f64 {
    let missed = loss.powi(paths as i32);
    let unanswered = 1.0 - (1.0 - loss) * (1.0 - loss);
    let probes = (timers.probes as usize * paths) as i32;
    86_400.0 / timers.heartbeat.as_secs_f64()
        * missed.powi(timers.suspect as i32)
        * (1.0 - missed)
        * unanswered.powi(probes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_loss_nobody_is_suspected() {
        let counted = FalseTakeovers::days(1, 0.0, 1, Timers::DEFAULT, 1);
        assert_eq!(counted, FalseTakeovers::default());
    }

    #[test]
    fn where_loss_is_heavy_the_count_is_near_the_formula_and_not_above_it() {
        let timers = Timers { probes: 3, ..Timers::DEFAULT };
        let counted = FalseTakeovers::days(2, 0.3, 1, timers, 1);
        let wanted = formula(0.3, 1, timers) * 2.0;
        let ratio = counted.takeovers as f64 / wanted;
        // A heartbeat that comes while the probes are out refutes the suspicion too, which the formula leaves out.
        assert!((0.45..1.05).contains(&ratio), "{counted:?}, {wanted} by the formula");
    }
}
