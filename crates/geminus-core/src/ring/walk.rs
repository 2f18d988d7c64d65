//! Which slot a member takes at its turn.

use super::slot_set::SlotSet;
use super::{RingKey, leading_u64};

/// A member's own permutation of the slots: it begins at a keyed offset and goes round in keyed skips. The number of
/// slots is a prime, so that any skip from 1 on comes by all of them.
///
/// Maglev walks all steps one after the other. Then two members whose skips are as 2 to 3, or nearly so, meet again and
/// again, and with one key in some hundreds a member of a few that leaves moves 1 to 5 % of the slots beyond its own.
/// Here the walk is cut into runs of [`RUN`] steps, walked in an order that has nothing to do with arithmetic from a keyed
/// one on; no two members meet for longer than a run (`docs/design/ring.md`).
///
/// A place on the ring is a fraction of the circle in 2^-64, which wraps round by itself: a step is one addition. A
/// fraction times `slots` is the slot, which is exact (Lemire, Kaser, Kurz, "Faster remainder by direct computation",
/// 2019): the fraction of one slot is rounded up, the error of `n` slots is at most `n`, and `n` is below
/// `offset + skip * slots < 2^41` where `2^64 / slots > 2^44` would be too much.
pub(super) struct Walk {
    offset: u64,
    skip: u64,
    here: u64,
    left_of_run: u32,
    next_run: u32,
}

/// What all walks on a ring have in common.
struct Course {
    slots: u32,
    /// First step and number of steps of each run, in the order in which they are walked, over and over.
    runs: Vec<(u32, u32)>,
}

/// Steps of a run. Longer runs are hardly faster, and runs of 256 let twice the disruption through for a few keys.
const RUN: u32 = 32;

impl Walk {
    pub(super) fn new(key: &RingKey, slots: u32, name: &str) -> Self {
        let digest = *blake3::keyed_hash(&key.0, name.as_bytes()).as_bytes();
        // A remainder is below its divisor, which is 32 bits wide.
        let below = |start, bound: u32| (leading_u64(&digest, start) % u64::from(bound)) as u32;
        Self::of(below(0, slots), 1 + below(8, slots - 1), below(16, slots.div_ceil(RUN)), slots)
    }

    fn of(offset: u32, skip: u32, next_run: u32, slots: u32) -> Self {
        let one_slot = u64::MAX / u64::from(slots) + 1;
        let fraction = |place: u32| one_slot.wrapping_mul(place.into());
        Self { offset: fraction(offset), skip: fraction(skip), here: 0, left_of_run: 0, next_run }
    }

    /// The next slot of the walk that is not taken, of which there must be one.
    fn next_free(&mut self, course: &Course, taken: &SlotSet) -> u32 {
        let (mut here, mut left) = (self.here, self.left_of_run);
        let slot = loop {
            if left == 0 {
                (here, left) = self.begin_run(course);
            }
            // The upper half of a product with `slots` is below `slots`.
            let slot = ((u128::from(here) * u128::from(course.slots)) >> 64) as u32;
            here = here.wrapping_add(self.skip);
            left -= 1;
            if !taken.has(slot) {
                break slot;
            }
        };
        (self.here, self.left_of_run) = (here, left);
        slot
    }

    fn begin_run(&mut self, course: &Course) -> (u64, u32) {
        let (first, steps) = course.runs[self.next_run as usize];
        self.next_run += 1;
        if self.next_run as usize == course.runs.len() {
            self.next_run = 0;
        }
        (self.offset.wrapping_add(self.skip.wrapping_mul(first.into())), steps)
    }
}

impl Course {
    fn new(slots: u32) -> Self {
        let runs = shuffled(slots.div_ceil(RUN)).map(|run| (run * RUN, RUN.min(slots - run * RUN))).collect();
        Self { slots, runs }
    }
}

/// The numbers below `end` in disorder, always the same: multiplications by odd numbers and shifts mix all numbers of
/// as many bits one to one, and those too great fall out.
fn shuffled(end: u32) -> impl Iterator<Item = u32> {
    let bits = end.next_power_of_two().ilog2().max(1);
    let (mask, half) = ((1 << bits) - 1, bits.div_ceil(2));
    let mix = move |number: u32, odd: u32| {
        let product = number.wrapping_mul(odd) & mask;
        product ^ (product >> half)
    };
    let mixed = move |number| mix(mix(mix(number, 0x9E37_79B1), 0x85EB_CA77), 0xC2B2_AE3D);
    (0..=mask).map(mixed).filter(move |&number| number < end)
}

/// Slot → member: turn by turn each takes the next slot of its walk that is free.
pub(super) fn fill(slots: u32, mut walks: Vec<Walk>, turns: Vec<u16>) -> Vec<u16> {
    if walks.len() < 2 {
        return turns;
    }
    let course = Course::new(slots);
    let mut taken = SlotSet::empty(slots);
    let mut owners = vec![0; turns.len()];
    for member in turns {
        let slot = walks[usize::from(member)].next_free(&course, &taken);
        taken.insert(slot);
        owners[slot as usize] = member;
    }
    owners
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first `count` slots of a walk that finds none taken.
    fn slots_of(mut walk: Walk, course: &Course, count: u32) -> Vec<u32> {
        let taken = SlotSet::empty(course.slots);
        (0..count).map(|_| walk.next_free(course, &taken)).collect()
    }

    #[test]
    fn a_walk_comes_by_every_slot_once() {
        let key = RingKey::from_site_key(&[7; 32]);
        for slots in [2, 3, 61, 67, 251, 65_537] {
            for name in ["", "web1", "web2"] {
                let mut walked = slots_of(Walk::new(&key, slots, name), &Course::new(slots), slots);
                walked.sort_unstable();
                assert!(walked.into_iter().eq(0..slots), "{slots} slots, {name}");
            }
        }
    }

    #[test]
    fn a_step_without_a_division_goes_where_the_remainder_is() {
        for slots in [2, 3, 251, 65_537, 1_048_573] {
            let course = Course::new(slots);
            let runs = slots.div_ceil(RUN);
            let steps = course.runs.iter().cycle().flat_map(|&(first, steps)| first..first + steps);
            for (offset, skip) in [(0, 1), (slots - 1, slots - 1), (slots / 3, slots / 2), (1, slots - 1)] {
                let next_run = skip % runs;
                let steps_before: u32 = course.runs[..next_run as usize].iter().map(|(_, steps)| steps).sum();
                let walk = Walk::of(offset, skip, next_run, slots);
                let steps = steps.clone().skip(steps_before as usize);
                for (step, slot) in steps.zip(slots_of(walk, &course, slots)) {
                    let place = u64::from(offset) + u64::from(skip) * u64::from(step);
                    assert_eq!(
                        u64::from(slot),
                        place % u64::from(slots),
                        "{offset} + {skip} * {step}, {slots} slots"
                    );
                }
            }
        }
    }

    #[test]
    fn disorder_has_every_number_once() {
        for end in [1, 2, 3, 5, 64, 1025] {
            let mut numbers: Vec<_> = shuffled(end).collect();
            numbers.sort_unstable();
            assert!(numbers.into_iter().eq(0..end), "{end}");
        }
    }
}
