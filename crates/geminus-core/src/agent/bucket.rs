//! How often something may happen.

use std::time::Duration;

use crate::director::Instant;

/// So many at once, and so many a second in the long run.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bucket {
    rate: u32,
    burst: u32,
    /// Millionths of one.
    left: u64,
    at: Instant,
}

const WHOLE: u64 = 1_000_000;

impl Bucket {
    /// A full one.
    pub(super) const fn new(rate: u32, burst: u32) -> Self {
        Self { rate, burst, left: burst as u64 * WHOLE, at: Instant::START }
    }

    /// Whether it may happen once more.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        let passed = now.since(self.at).min(Duration::from_secs(3600));
        // A rate of one a second is one millionth in a microsecond.
        let micros = u64::try_from(passed.as_micros()).unwrap_or(u64::MAX);
        if micros > 0 {
            self.left = (self.left + micros * u64::from(self.rate)).min(u64::from(self.burst) * WHOLE);
            self.at = now;
        }
        let may = self.left >= WHOLE;
        if may {
            self.left -= WHOLE;
        }
        may
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_and_then_the_rate() {
        let mut bucket = Bucket::new(10, 20);
        let mut taken = |from: u64, to: u64| {
            (from..to).filter(|&ms| bucket.take(Instant::from_start(Duration::from_millis(ms)))).count()
        };
        assert_eq!(taken(1, 11), 10, "of ten in ten milliseconds");
        assert_eq!(taken(11, 1011), 20, "what was left of the burst, and ten of the second");
        assert_eq!(taken(1011, 2011), 10);
        assert_eq!(taken(10_000, 10_100), 20 + 1 - 1);
    }
}
