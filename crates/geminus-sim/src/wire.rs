//! One direction of one path: what becomes of a frame on its way.

use crate::random::Random;
use crate::time::{MS, Nanos};

/// One direction of one path.
#[derive(Debug, Clone, Default)]
pub struct Wire {
    /// How long a frame travels, at least.
    pub delay: Nanos,
    /// How much longer it may.
    pub jitter: Nanos,
    /// Cuts in force: with any, nothing comes through.
    pub cuts: u32,
    /// Frames lost out of a thousand, each by itself, by the faults in force.
    pub loss: Troubles<u32>,
    /// Times without any frame, as long on average as the times between them (Gilbert-Elliott), by the faults in force.
    pub bursts: Troubles<Nanos>,
    /// Frames held up by as much as this, by the faults in force; frames overtake each other then.
    pub held: Troubles<Nanos>,
    /// Frames that come twice out of a thousand, by the faults in force.
    pub twice: Troubles<u32>,
    silent: bool,
    turns: Nanos,
}

/// The faults of one kind that are in force, by their numbers.
#[derive(Debug, Clone)]
pub struct Troubles<T>(Vec<(u32, T)>);

impl<T> Default for Troubles<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: Copy + Ord> Troubles<T> {
    /// A fault begins.
    pub fn begin(&mut self, fault: u32, value: T) {
        self.0.push((fault, value));
    }

    /// A fault ends.
    pub fn end(&mut self, fault: u32) {
        self.0.retain(|&(number, _)| number != fault);
    }

    /// The worst.
    pub fn worst(&self) -> Option<T> {
        self.0.iter().map(|&(_, value)| value).max()
    }
}

impl Wire {
    /// A wire that works.
    pub fn new(delay: Nanos, jitter: Nanos) -> Self {
        Self { delay, jitter, ..Self::default() }
    }

    /// Whether every frame comes through, and in time.
    pub fn is_sound(&self) -> bool {
        self.cuts == 0 && self.loss.0.is_empty() && self.bursts.0.is_empty() && self.held.0.is_empty()
    }

    /// When a frame that leaves now arrives, once or twice or not at all.
    pub fn carry(&mut self, now: Nanos, random: &mut Random) -> [Option<Nanos>; 2] {
        if self.cuts > 0
            || self.loss.worst().is_some_and(|often| random.thousandths(often))
            || self.bursts.worst().is_some_and(|length| self.in_a_burst(length, now, random))
        {
            return [None; 2];
        }
        let twice = self.twice.worst().is_some_and(|often| random.thousandths(often));
        [Some(self.arrival(now, random)), twice.then(|| self.arrival(now, random))]
    }

    fn arrival(&self, now: Nanos, random: &mut Random) -> Nanos {
        let held = self.held.worst().map_or(0, |most| random.below(most));
        now + self.delay + random.below(self.jitter) + held
    }

    fn in_a_burst(&mut self, length: Nanos, now: Nanos, random: &mut Random) -> bool {
        if self.turns + 8 * length < now {
            // The first burst of this fault.
            (self.silent, self.turns) = (false, now);
        }
        while self.turns <= now {
            self.silent = !self.silent;
            self.turns += random.between(MS, 2 * length);
        }
        self.silent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn carried(wire: &mut Wire) -> usize {
        let mut random = Random::new(3);
        (0..1000).filter(|n| wire.carry(n * MS, &mut random)[0].is_some()).count()
    }

    #[test]
    fn a_sound_wire_loses_nothing_and_a_cut_one_everything() {
        let mut wire = Wire::new(MS, MS);
        assert!(wire.is_sound());
        assert_eq!(carried(&mut wire), 1000);
        wire.cuts = 1;
        assert!(!wire.is_sound());
        assert_eq!(carried(&mut wire), 0);
    }

    #[test]
    fn losses_are_as_frequent_as_asked_for_and_end_with_their_fault() {
        let mut wire = Wire::new(MS, 0);
        wire.loss.begin(1, 300);
        wire.loss.begin(2, 100);
        assert!((650..750).contains(&carried(&mut wire)));
        wire.loss.end(1);
        assert!((870..930).contains(&carried(&mut wire)));
        wire.loss.end(2);
        assert_eq!(carried(&mut wire), 1000);
    }

    #[test]
    fn bursts_lose_many_frames_one_after_another() {
        let mut wire = Wire::new(MS, 0);
        wire.bursts.begin(1, 50 * MS);
        let mut random = Random::new(3);
        let came: Vec<_> = (0..1000).map(|n| wire.carry(n * MS, &mut random)[0].is_some()).collect();
        let changes = came.windows(2).filter(|two| two[0] != two[1]).count();
        assert!((5..60).contains(&changes), "{changes}");
        assert!((250..750).contains(&came.iter().filter(|came| **came).count()));
    }

    #[test]
    fn a_frame_held_up_may_be_overtaken() {
        let mut wire = Wire::new(MS, 0);
        wire.held.begin(1, 100 * MS);
        let mut random = Random::new(3);
        let arrivals: Vec<_> = (0..50).filter_map(|n| wire.carry(n * MS, &mut random)[0]).collect();
        assert!(arrivals.windows(2).any(|two| two[0] > two[1]));
    }
}
