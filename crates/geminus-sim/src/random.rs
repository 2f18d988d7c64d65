//! Numbers from a seed.

use crate::time::Nanos;

/// SplitMix64 (Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014).
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// The sequence of a seed.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Another sequence of the same seed, for another purpose: what one of them is asked changes none of the other.
    pub fn fork(&self, purpose: u64) -> Self {
        let mut other = Self(self.0 ^ purpose.wrapping_mul(0xd6e8_feb8_6659_fd93));
        Self(other.next())
    }

    /// The next number.
    pub const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`; 0 if that is 0.
    pub const fn below(&mut self, bound: u64) -> u64 {
        ((self.next() as u128 * bound as u128) >> 64) as u64
    }

    /// A time from `least` to `most`.
    pub const fn between(&mut self, least: Nanos, most: Nanos) -> Nanos {
        least + self.below(most.saturating_sub(least) + 1)
    }

    /// True so often out of a thousand.
    pub const fn thousandths(&mut self, often: u32) -> bool {
        self.below(1000) < often as u64
    }

    /// One of these.
    pub fn one<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len() as u64) as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_one_sequence_and_each_purpose_its_own() {
        let (mut a, mut b) = (Random::new(7), Random::new(7));
        assert_eq!(
            (0..9).map(|_| a.next()).collect::<Vec<_>>(),
            (0..9).map(|_| b.next()).collect::<Vec<_>>()
        );
        assert_ne!(Random::new(7).fork(1).next(), Random::new(7).fork(2).next());
    }

    #[test]
    fn a_time_lies_between_its_bounds_and_reaches_both() {
        let mut random = Random::new(1);
        let drawn: Vec<_> = (0..200).map(|_| random.between(3, 5)).collect();
        assert!(drawn.iter().all(|time| (3..=5).contains(time)));
        assert!(drawn.contains(&3) && drawn.contains(&5));
    }
}
