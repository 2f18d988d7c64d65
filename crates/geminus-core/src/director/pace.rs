//! How fast things may leave: so many at once, then a pause.

use std::time::Duration;

use super::Instant;

/// At most `burst` things in each window of `window` time.
#[derive(Debug, Clone)]
pub(crate) struct Pace {
    burst: u32,
    window: Duration,
    began: Option<Instant>,
    taken: u32,
}

impl Pace {
    pub(crate) const fn new(burst: u32, window: Duration) -> Self {
        Self { burst, window, began: None, taken: 0 }
    }

    /// Whether one more may leave now; if so it counts.
    pub(crate) fn take(&mut self, now: Instant) -> bool {
        if self.began.is_none_or(|began| now.since(began) >= self.window) {
            self.began = Some(now);
            self.taken = 0;
        }
        let may = self.taken < self.burst;
        self.taken += u32::from(may);
        may
    }

    /// The earliest moment at which `take` says yes.
    pub(crate) fn open_at(&self) -> Instant {
        match self.began {
            Some(began) if self.taken >= self.burst => began + self.window,
            _ => Instant::START,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Instant {
        Instant::from_start(Duration::from_millis(ms))
    }

    #[test]
    fn a_burst_leaves_at_once_and_the_rest_waits_for_the_next_window() {
        let mut pace = Pace::new(3, Duration::from_millis(10));
        let left = (0..5).filter(|_| pace.take(at(7))).count();
        assert_eq!(left, 3);
        assert_eq!(pace.open_at(), at(17));
        assert!(!pace.take(at(16)));
        assert!(pace.take(at(17)));
    }

    #[test]
    fn an_idle_pace_is_open() {
        let mut pace = Pace::new(1, Duration::from_millis(10));
        assert_eq!(pace.open_at(), Instant::START);
        assert!(pace.take(at(0)));
        assert!(pace.take(at(10)));
    }
}
