//! Which slot a member takes at its turn.

use super::slot_set::SlotSet;
use super::{RingKey, leading_u64};

/// A member's own permutation of the slots: the `j`-th is `offset + skip * shuffled(j)` modulo the number of slots, a
/// prime, with a keyed offset and a keyed skip from 1 on.
///
/// Maglev has `j` itself where this has `shuffled(j)`. Then two members whose skips are as 2 to 3, or nearly so, meet
/// again and again, and about one key in 500 has a few members of which one that leaves moves several per cent of the
/// slots beyond its own (`docs/design/ring.md`).
///
/// The remainder costs no division (Lemire, Kaser, Kurz, "Faster remainder by direct computation", 2019): the fraction
/// of `number / slots`, in 2^-64, is `number` times that of `1 / slots` rounded up, and `slots` times the fraction is
/// the remainder. That is exact while the rounding error, `number` at most, is below `2^64 / slots`: here `number` is
/// below 2^41 and `slots` below 2^20.
pub(super) struct Walk {
    /// Fraction of `offset / slots`.
    offset: u64,
    /// Fraction of `skip / slots`.
    skip: u64,
    slots: u32,
    next: usize,
}

impl Walk {
    pub(super) fn new(key: &RingKey, slots: u32, name: &str) -> Self {
        let digest = *blake3::keyed_hash(&key.0, name.as_bytes()).as_bytes();
        let offset = leading_u64(&digest, 0) % u64::from(slots);
        let skip = 1 + leading_u64(&digest, 8) % u64::from(slots - 1);
        let unit = u64::MAX / u64::from(slots) + 1;
        Self { offset: unit.wrapping_mul(offset), skip: unit.wrapping_mul(skip), slots, next: 0 }
    }

    fn at(&self, shuffled: u32) -> u32 {
        let fraction = self.skip.wrapping_mul(u64::from(shuffled)).wrapping_add(self.offset);
        // The upper half of a product with `slots` is below `slots`.
        ((u128::from(fraction) * u128::from(self.slots)) >> 64) as u32
    }

    /// The next slot of the permutation that is not taken, of which there must be one.
    fn next_free(&mut self, shuffled: &[u32], taken: &SlotSet) -> u32 {
        for (passed, number) in (1..).zip(&shuffled[self.next..]) {
            let slot = self.at(*number);
            if !taken.has(slot) {
                self.next += passed;
                return slot;
            }
        }
        unreachable!("there are as many turns as slots, and a slot passed is a slot taken")
    }
}

/// The numbers below `slots` in an order that has nothing to do with arithmetic modulo `slots`; always the same.
///
/// Multiplications by odd numbers and shifts mix all numbers of as many bits one to one; those too great fall out.
fn shuffled(slots: u32) -> Vec<u32> {
    let bits = u32::BITS - (slots - 1).leading_zeros();
    let (mask, half) = (u32::MAX >> (u32::BITS - bits), bits.div_ceil(2));
    let mix = |number: u32, odd: u32| {
        let product = number.wrapping_mul(odd) & mask;
        product ^ (product >> half)
    };
    let mut order = vec![0; mask as usize + 1];
    let mut length = 0;
    for number in 0..=mask {
        let mixed = mix(mix(mix(number, 0x9E37_79B1), 0x85EB_CA77), 0xC2B2_AE3D);
        // Written always and kept by advancing: as a branch it would be mispredicted every other time.
        order[length] = mixed;
        length += usize::from(mixed < slots);
    }
    order.truncate(length);
    order
}

/// Slot → member: turn by turn each takes the next slot of its walk that is free.
pub(super) fn fill(slots: u32, mut walks: Vec<Walk>, turns: &[u16]) -> Vec<u16> {
    if walks.len() < 2 {
        return turns.to_vec();
    }
    let shuffled = shuffled(slots);
    let mut taken = SlotSet::empty(slots);
    let mut owners = vec![0; turns.len()];
    for &member in turns {
        let slot = walks[usize::from(member)].next_free(&shuffled, &taken);
        taken.insert(slot);
        owners[slot as usize] = member;
    }
    owners
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_walk_comes_by_every_slot_once() {
        let key = RingKey::from_site_key(&[7; 32]);
        for slots in [2, 3, 251, 65_537] {
            let shuffled = shuffled(slots);
            for name in ["", "web1", "web2"] {
                let mut walk = Walk::new(&key, slots, name);
                let mut taken = SlotSet::empty(slots);
                for _ in 0..slots {
                    let slot = walk.next_free(&shuffled, &SlotSet::empty(slots));
                    assert!(slot < slots && !taken.has(slot), "slot {slot} of {slots}, {name}");
                    taken.insert(slot);
                }
            }
        }
    }

    #[test]
    fn a_remainder_without_a_division_is_the_remainder() {
        for slots in [2, 3, 251, 65_537, 1_048_573] {
            let unit = u64::MAX / u64::from(slots) + 1;
            for (offset, skip) in [(0, 1), (slots - 1, slots - 1), (slots / 3, slots / 2), (1, slots - 1)] {
                let of = |part: u32| unit.wrapping_mul(part.into());
                let walk = Walk { offset: of(offset), skip: of(skip), slots, next: 0 };
                for number in [0, 1, slots / 7, slots / 2, slots - 2, slots - 1] {
                    let sum = u64::from(skip) * u64::from(number) + u64::from(offset);
                    assert_eq!(u64::from(walk.at(number)), sum % u64::from(slots), "{sum} % {slots}");
                }
            }
        }
    }
}
