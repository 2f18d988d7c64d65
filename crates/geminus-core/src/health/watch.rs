//! One target under watch: when it is asked next, by which address, and what it last said.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::judge::{Bounds, Judge, State};
use super::{Fault, Target, TargetNumber};
use crate::director::Instant;

/// How long after its timeout a check is waited for: what takes longer was not asked by anybody who ran.
pub const ANSWER_GRACE: Duration = Duration::from_millis(500);

/// A settled target is asked at the points of a grid that is this much finer than its interval, percent, and up to the rest
/// later: the time between two checks is nine tenths of the interval to all of it, and the even spread of the grids stays.
const GRID_PERCENT: u32 = 95;

/// How far the latency follows one reading: a quarter of the way.
const LATENCY_WEIGHT: u32 = 4;

/// A check under way.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked {
    pub(super) number: u64,
    pub(super) at: Instant,
    pub(super) by: Option<IpAddr>,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Watch {
    pub(super) target: Arc<Target>,
    pub(super) judge: Judge,
    pub(super) bounds: Bounds,
    interval: Duration,
    fast_interval: Duration,
    /// A point of its grid.
    origin: Instant,
    /// Which of the addresses is next.
    turn: usize,
    /// How often it was asked.
    rounds: u64,
    pub(super) asked: Option<Asked>,
    /// When something is to be done: to ask, or to give the answer up.
    pub(super) due: Instant,
    /// Good readings, smoothed.
    pub(super) latency: Option<Duration>,
    /// What the last failed check found.
    pub(super) fault: Option<Fault>,
    /// How many checks in a row could not be made, or came to nothing, for a reason of this machine's own.
    pub(super) own_faults: u32,
    /// Seconds until the certificate expires, as last seen.
    pub(super) certificate: Option<i64>,
    pub(super) certificate_told: Option<Instant>,
    /// When the check was begun that was the first to say otherwise.
    pub(super) contrary_from: Instant,
    /// Whether it was ever well.
    pub(super) proven: bool,
    /// It is on this node: whatever it says, it says nothing of the network.
    pub(super) is_here: bool,
}

/// Who is due within so long of each other is asked at once: whoever asks wakes up no more often than this, however many there
/// are.
const TOGETHER: Duration = Duration::from_millis(5);

/// The same where nothing is in a hurry. A multiple of [`TOGETHER`]: both are asked in one turn.
pub(super) const TOGETHER_CALM: Duration = Duration::from_millis(10);

/// An interval that has so many of them or more is in no hurry.
const CALM_TURNS: u32 = 100;

/// The first moment not before this one at which anybody is asked, of turns that are so far apart.
pub(super) fn together(due: Instant, turn: Duration) -> Instant {
    let turn = turn.as_nanos();
    let turns = due.elapsed().as_nanos().div_ceil(turn);
    Instant::from_start(Duration::from_nanos(u64::try_from(turns * turn).unwrap_or(u64::MAX)))
}

/// How often a target is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pace {
    pub(super) interval: Duration,
    pub(super) fast_interval: Duration,
}

impl Pace {
    /// The time between two points of the grid.
    pub(super) fn period(&self) -> Duration {
        self.interval * GRID_PERCENT / 100
    }

    /// How far apart the moments are at which it is asked while it is settled.
    fn turn(&self) -> Duration {
        if self.interval >= TOGETHER_CALM * CALM_TURNS { TOGETHER_CALM } else { TOGETHER }
    }
}

impl Watch {
    /// A target that is first asked at `origin`.
    pub(super) fn new(
        target: Arc<Target>,
        bounds: Bounds,
        pace: Pace,
        state: State,
        is_here: bool,
        [now, origin]: [Instant; 2],
    ) -> Self {
        Self {
            target,
            judge: Judge::new(state, now),
            bounds,
            interval: pace.interval,
            fast_interval: pace.fast_interval,
            origin,
            turn: 0,
            rounds: 0,
            asked: None,
            due: together(origin, pace.turn()),
            latency: None,
            fault: None,
            own_faults: 0,
            certificate: None,
            certificate_told: None,
            contrary_from: now,
            proven: false,
            is_here,
        }
    }

    /// Whether it is up as far as this node's network lets anybody say.
    pub(super) fn counts(&self) -> bool {
        !self.is_here && self.judge.state() != State::Down
    }

    /// Whether it is another.
    pub(super) fn set_pace(&mut self, pace: Pace) -> bool {
        let before = self.pace();
        self.interval = pace.interval;
        self.fast_interval = pace.fast_interval;
        before != pace
    }

    const fn pace(&self) -> Pace {
        Pace { interval: self.interval, fast_interval: self.fast_interval }
    }

    /// The cluster address it is asked by next; none: its own.
    pub(super) fn by(&self) -> Option<IpAddr> {
        self.target.addresses.get(self.turn % self.target.addresses.len().max(1)).copied()
    }

    /// Begins a check.
    pub(super) fn ask(&mut self, number: u64, now: Instant) -> Option<IpAddr> {
        let by = self.by();
        self.rounds += 1;
        self.asked = Some(Asked { number, at: now, by });
        self.due = now + self.target.timeout + ANSWER_GRACE;
        by
    }

    /// What decides how far its next check is put off. Those of neighbours on the grid are far apart and fill the room
    /// evenly (a golden-ratio sequence), where chance would heap them up.
    pub(super) fn chance(&self, number: TargetNumber) -> u64 {
        let of_target = u64::from(number.0).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        of_target.wrapping_add(self.rounds.wrapping_mul(0xd134_2543_de82_ef95))
    }

    /// When it is asked again. `chance` is any number.
    pub(super) fn settle(&mut self, asked: Option<Asked>, chance: u64, now: Instant) {
        self.due = match asked {
            Some(asked) if self.judge.is_moving(&self.bounds) => {
                let early = part(self.fast_interval / 10, chance);
                together(now.max(asked.at + (self.fast_interval - early)), TOGETHER)
            }
            _ => {
                let late = part(self.interval * (100 - GRID_PERCENT) / 100, chance);
                together(self.next_point(now) + late, self.pace().turn())
            }
        };
    }

    /// Whether the moment it was due at is so long ago that whoever asks did not run.
    pub(super) fn is_late(&self, now: Instant) -> bool {
        now.since(self.due) > self.interval
    }

    /// The next point of the grid after now.
    fn next_point(&self, now: Instant) -> Instant {
        let period = self.pace().period().max(Duration::from_millis(1));
        let passed = now.since(self.origin).as_nanos() / period.as_nanos();
        let ahead = period.as_nanos() * (passed + 1);
        self.origin + Duration::from_nanos(u64::try_from(ahead).unwrap_or(u64::MAX))
    }

    /// How long it takes at most until another target, asked as often, has failed as well if it has the same reason.
    pub(super) fn patience(&self) -> Duration {
        self.interval * self.bounds.fall + self.target.timeout
    }

    /// The next address after a good check, the same one again after a failed one.
    pub(super) const fn advance(&mut self) {
        self.turn = self.turn.wrapping_add(1);
    }

    pub(super) fn learn_latency(&mut self, took: Duration) {
        self.latency = Some(match self.latency {
            None => took,
            Some(before) => (before * (LATENCY_WEIGHT - 1) + took) / LATENCY_WEIGHT,
        });
    }
}

/// Some part of a time.
pub(super) fn part(time: Duration, chance: u64) -> Duration {
    let nanos = (u128::from(chance) * time.as_nanos()) >> 64;
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}
