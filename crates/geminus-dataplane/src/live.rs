//! The tables that the program reads now, for threads that write a word in them without going through the data plane.
//!
//! While the program moves from one set of tables to another, both are written: whichever the next packet meets says the
//! same.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use geminus_core::plan::TicksPerSecond;
use geminus_packet::tables::{GROUPS, Tables as _, Ticks};

use crate::mapped::MappedTables;

/// Tables and clock, shared by every handle of one data plane.
#[derive(Debug)]
pub(crate) struct Live {
    /// In use: one, but for a moment two. Held for a few words' time only.
    tables: Mutex<Vec<Arc<MappedTables>>>,
    pub(crate) clock: KernelClock,
}

impl Live {
    pub(crate) fn new(tables: Arc<MappedTables>, clock: KernelClock) -> Self {
        Self { tables: Mutex::new(vec![tables]), clock }
    }

    pub(crate) fn tables(&self) -> MutexGuard<'_, Vec<Arc<MappedTables>>> {
        // Words are whole at any time, whatever became of the thread that wrote some of them.
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// These too, from now on, and they begin with what the groups of the others say.
    pub(crate) fn add(&self, next: &Arc<MappedTables>) {
        let mut tables = self.tables();
        if let Some(last) = tables.last() {
            carry_groups(last, next);
        }
        tables.push(Arc::clone(next));
    }

    /// These alone, from now on; they say once more what the others say, if there are any.
    pub(crate) fn keep(&self, only: &Arc<MappedTables>) {
        let mut tables = self.tables();
        if let Some(first) = tables.first().filter(|first| !Arc::ptr_eq(first, only)) {
            carry_groups(first, only);
        }
        *tables = vec![Arc::clone(only)];
    }
}

/// What the groups say.
pub(crate) fn carry_groups(from: &MappedTables, to: &MappedTables) {
    for group in 0..GROUPS {
        if let (Some(from), Some(to)) = (from.group(group), to.group(group)) {
            to.state.store(from.state.load());
            to.deadline.store(from.deadline.load());
        }
    }
}

/// What time it is in the kernel, without asking it: its coarse clock advances with the monotonic one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct KernelClock {
    at: Instant,
    ticks: u64,
    monotonic: Duration,
    /// As the kernel rounds it (`include/linux/jiffies.h`, `TICK_NSEC`).
    tick_nanos: u64,
}

impl KernelClock {
    /// `ticks` and `monotonic` were read at `at`.
    pub(crate) const fn new(at: Instant, ticks: Ticks, monotonic: Duration, rate: TicksPerSecond) -> Self {
        let rate = rate.0 as u64;
        Self { at, ticks: ticks.0, monotonic, tick_nanos: (1_000_000_000 + rate / 2) / rate }
    }

    /// The coarse clock then.
    pub(crate) fn ticks(&self, then: Instant) -> u64 {
        self.ticks + nanos(then.saturating_duration_since(self.at)) / self.tick_nanos
    }

    /// The tick that a lease of this length ends with; 0 for none at all.
    pub(crate) fn deadline(&self, lease: Duration, now: Instant) -> u64 {
        if lease.is_zero() { 0 } else { self.ticks(now) + nanos(lease).div_ceil(self.tick_nanos) }
    }

    /// How long it is until a tick.
    pub(crate) fn until(&self, tick: u64, now: Instant) -> Duration {
        Duration::from_nanos(tick.saturating_sub(self.ticks(now)).saturating_mul(self.tick_nanos))
    }

    /// When a frame was stamped by the program; none if it was not, or in what is the future.
    pub(crate) fn stamped(&self, stamp: u64, now: Instant) -> Option<Instant> {
        if stamp == 0 {
            return None;
        }
        let stamp = Duration::from_nanos(stamp);
        let at = match stamp.checked_sub(self.monotonic) {
            Some(later) => self.at.checked_add(later)?,
            None => self.at.checked_sub(self.monotonic - stamp)?,
        };
        (at <= now).then_some(at)
    }
}

fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOOT: Duration = Duration::from_secs(1_000_000);

    fn clock(rate: u32) -> (Instant, KernelClock) {
        let at = Instant::now();
        (at, KernelClock::new(at, Ticks(5_000), BOOT, TicksPerSecond(rate)))
    }

    #[test]
    fn a_lease_lasts_at_least_what_was_asked_and_at_most_a_tick_more() {
        for rate in [100, 250, 300, 512, 1000] {
            let (at, clock) = clock(rate);
            for after in [0, 1, 3, 999, 86_400_000] {
                let now = at + Duration::from_millis(after);
                for lease in [1, 50, 5_000, 60_000].map(Duration::from_millis) {
                    let left = clock.until(clock.deadline(lease, now), now);
                    assert!(left >= lease && left <= lease + Duration::from_millis(11), "{rate} {left:?}");
                }
            }
        }
    }

    #[test]
    fn no_lease_is_no_tick_at_all() {
        let (at, clock) = clock(250);
        assert_eq!(clock.deadline(Duration::ZERO, at), 0);
        assert_eq!(clock.until(0, at), Duration::ZERO);
    }

    #[test]
    fn a_stamp_is_a_moment_of_the_same_clock() {
        let (at, clock) = clock(250);
        let now = at + Duration::from_secs(2);
        let stamp = nanos(BOOT + Duration::from_millis(1_500));
        assert_eq!(clock.stamped(stamp, now), Some(at + Duration::from_millis(1_500)));
        assert_eq!(clock.stamped(0, now), None, "not stamped");
        assert_eq!(clock.stamped(nanos(BOOT + Duration::from_secs(3)), now), None, "not yet");
    }

    #[test]
    fn a_year_at_300_ticks_a_second_is_not_off_by_seconds() {
        let (at, clock) = clock(300);
        let year = 31_536_000;
        let passed = clock.ticks(at + Duration::from_secs(year)) - 5_000;
        assert_eq!(
            passed,
            year * 1_000_000_000 / 3_333_333,
            "ticks of the length that the kernel gives them"
        );
    }
}
