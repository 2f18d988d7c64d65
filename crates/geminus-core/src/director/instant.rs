//! Time as the machines see it.

use std::ops::{Add, AddAssign};
use std::time::Duration;

use crate::plan::KernelMs;

/// A moment on a clock that only goes forward: time since an arbitrary start, the same for every input of one machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Instant(Duration);

impl Instant {
    /// The arbitrary start.
    pub const START: Self = Self(Duration::ZERO);

    /// The moment this long after the start.
    pub const fn from_start(elapsed: Duration) -> Self {
        Self(elapsed)
    }

    /// How long after the start it is.
    pub const fn elapsed(self) -> Duration {
        self.0
    }

    /// How long after `earlier` it is; zero if it is not later.
    pub const fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

/// What the kernel's monotonic clock said at [`Instant::START`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct KernelStart(pub Duration);

impl KernelStart {
    /// A moment of the kernel's clock; one before the start is the start.
    pub(super) const fn moment(self, then: KernelMs) -> Instant {
        Instant(Duration::from_millis(then.0).saturating_sub(self.0))
    }

    /// What the kernel's clock says at a moment.
    pub(super) fn at(self, now: Instant) -> KernelMs {
        KernelMs(0) + self.0.saturating_add(now.0)
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    fn add(self, later: Duration) -> Self {
        Self(self.0.saturating_add(later))
    }
}

impl AddAssign<Duration> for Instant {
    fn add_assign(&mut self, later: Duration) {
        *self = *self + later;
    }
}
