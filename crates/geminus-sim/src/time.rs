//! Virtual time, and the clocks that nodes read instead of it.

use std::time::Duration;

use geminus_core::ha::Instant;

/// Nanoseconds of virtual time since the schedule began, or a length of it.
pub type Nanos = u64;

/// A millisecond.
pub const MS: Nanos = 1_000_000;
/// A second.
pub const SECOND: Nanos = 1000 * MS;

/// A length as the machine under test wants it.
pub const fn length(nanos: Nanos) -> Duration {
    Duration::from_nanos(nanos)
}

/// A length of the machine under test.
pub const fn nanos(length: Duration) -> Nanos {
    length.as_nanos() as Nanos
}

/// What a node's clock shows, as the machine under test wants it.
pub const fn instant(local: Nanos) -> Instant {
    Instant::from_start(Duration::from_nanos(local))
}

/// The clock of one node: it may run fast or slow, and stands still with its machine.
#[derive(Debug, Clone)]
pub struct Clock {
    /// When it was last set going or stopped.
    at: Nanos,
    /// What it showed then.
    shown: Nanos,
    /// Millionths that it gains.
    gain: i64,
    runs: bool,
}

impl Clock {
    /// A clock that shows `shown` at `now`, and gains so many millionths.
    pub const fn new(now: Nanos, shown: Nanos, gain: i64) -> Self {
        Self { at: now, shown, gain, runs: true }
    }

    /// What it shows.
    pub const fn read(&self, now: Nanos) -> Nanos {
        if !self.runs {
            return self.shown;
        }
        let passed = now - self.at;
        let gained = passed as i128 * self.gain as i128 / 1_000_000;
        (self.shown as i128 + passed as i128 + gained) as Nanos
    }

    /// When it will show `shown`, not before; `now` if it does already. It must run.
    pub const fn when(&self, shown: Nanos, now: Nanos) -> Nanos {
        let shows = self.read(now);
        if shown <= shows {
            return now;
        }
        let left = (shown - shows) as u128 * 1_000_000;
        // One more, because the reading rounds down.
        now + left.div_ceil((1_000_000 + self.gain) as u128) as Nanos + 1
    }

    /// How long ago it showed `shown`, had it run since; 0 if it has not yet.
    pub const fn since(&self, shown: Nanos, now: Nanos) -> Nanos {
        let passed = self.read(now).saturating_sub(shown);
        (passed as u128 * 1_000_000 / (1_000_000 + self.gain) as u128) as Nanos
    }

    /// It stands still from now on.
    pub const fn stop(&mut self, now: Nanos) {
        self.shown = self.read(now);
        self.at = now;
        self.runs = false;
    }

    /// It goes on.
    pub const fn go(&mut self, now: Nanos) {
        self.at = now;
        self.runs = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fast_clock_gains_and_a_stopped_one_waits() {
        let mut clock = Clock::new(10 * MS, 0, 20_000);
        assert_eq!(clock.read(110 * MS), 102 * MS);
        clock.stop(110 * MS);
        assert_eq!(clock.read(500 * MS), 102 * MS);
        clock.go(500 * MS);
        assert_eq!(clock.read(600 * MS), 204 * MS);
    }

    #[test]
    fn at_the_time_that_a_clock_says_it_shows_at_least_what_was_asked() {
        for gain in [-20_000, -7, 0, 3, 19_999] {
            let clock = Clock::new(0, 5, gain);
            for wanted in [6, 1_000_003, 49_999_999, 50 * MS, 7 * SECOND + 1] {
                let at = clock.when(wanted, 0);
                assert!(clock.read(at) >= wanted && clock.read(at) < wanted + 4, "{gain} {wanted}");
            }
        }
    }
}
