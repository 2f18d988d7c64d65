//! A set of slots or turns.

/// A bit for each: 8 KiB for 65 537, which stays in the first-level cache where the slots themselves do not.
pub(super) struct SlotSet(Vec<u64>);

impl SlotSet {
    /// The empty subset of `0..slots`.
    pub(super) fn empty(slots: u32) -> Self {
        Self(vec![0; slots.div_ceil(u64::BITS) as usize])
    }

    pub(super) fn has(&self, slot: u32) -> bool {
        self.0[(slot / u64::BITS) as usize] >> (slot % u64::BITS) & 1 == 1
    }

    pub(super) fn insert(&mut self, slot: u32) {
        self.0[(slot / u64::BITS) as usize] |= 1 << (slot % u64::BITS);
    }

    pub(super) fn remove(&mut self, slot: u32) {
        self.0[(slot / u64::BITS) as usize] &= !(1 << (slot % u64::BITS));
    }

    /// The least element not below `slot`.
    pub(super) fn first_from(&self, slot: u32) -> Option<u32> {
        let start = slot / u64::BITS;
        let masked = self.0.get(start as usize)? & (u64::MAX << (slot % u64::BITS));
        if masked != 0 {
            return Some(start * u64::BITS + masked.trailing_zeros());
        }
        let words = self.0.iter().enumerate().skip(start as usize + 1);
        let (at, word) = words.into_iter().find(|(_, word)| **word != 0)?;
        Some(at as u32 * u64::BITS + word.trailing_zeros())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_in_the_set_from_its_insertion_to_its_removal() {
        let mut set = SlotSet::empty(251);
        for slot in [0, 63, 64, 250] {
            assert!(!set.has(slot));
            set.insert(slot);
            assert!(set.has(slot));
            set.remove(slot);
            assert!(!set.has(slot));
        }
    }

    #[test]
    fn the_first_slot_from_a_slot_on_is_found_across_words() {
        let mut set = SlotSet::empty(251);
        assert_eq!(set.first_from(0), None);
        for slot in [5, 63, 200] {
            set.insert(slot);
        }
        for (from, first) in
            [(0, Some(5)), (5, Some(5)), (6, Some(63)), (63, Some(63)), (64, Some(200)), (201, None)]
        {
            assert_eq!(set.first_from(from), first, "from {from}");
        }
        assert_eq!(set.first_from(300), None);
    }
}
