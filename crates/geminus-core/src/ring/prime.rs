//! Primes: with a prime number of slots every skip walks through all of them.

use crate::limits;

/// Whether `number` is a prime.
pub const fn is_prime(number: u32) -> bool {
    if number < 4 {
        return number >= 2;
    }
    if number.is_multiple_of(2) {
        return false;
    }
    let mut divisor = 3;
    while divisor <= number / divisor {
        if number.is_multiple_of(divisor) {
            return false;
        }
        divisor += 2;
    }
    true
}

/// The greatest prime not above `number` and the least not below it, among the primes a ring's size may have
/// ([`limits::RING_MIN`] to [`limits::RING_MAX`]); twice the same if `number` is one of them or outside their range.
pub fn nearest_primes(number: u32) -> (u32, u32) {
    let number = number.clamp(limits::RING_MIN, limits::RING_MAX);
    let below = (limits::RING_MIN..=number).rev().find(|&candidate| is_prime(candidate));
    let above = (number..=limits::RING_MAX).find(|&candidate| is_prime(candidate));
    (below.unwrap_or(limits::RING_MIN), above.unwrap_or(limits::RING_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prime_is_a_number_with_two_divisors() {
        let sieved = |limit: usize| {
            let mut prime = vec![true; limit];
            prime[..2].fill(false);
            for number in 2..limit {
                (2 * number..limit).step_by(number).for_each(|multiple| prime[multiple] = false);
            }
            prime
        };
        for (number, prime) in (0..).zip(sieved(20_000)) {
            assert_eq!(is_prime(number), prime, "{number}");
        }
    }

    #[test]
    fn great_numbers_are_judged_right() {
        assert!(
            is_prime(4_294_967_291) && is_prime(2_147_483_647) && is_prime(1_048_573) && is_prime(65_537)
        );
        assert!(!is_prime(u32::MAX) && !is_prime(65_521 * 65_521) && !is_prime(1_048_575));
    }

    #[test]
    fn the_nearest_primes_enclose_the_number_and_are_sizes_of_rings() {
        for (number, nearest) in [
            (65_536, (65_521, 65_537)),
            (65_537, (65_537, 65_537)),
            (252, (251, 257)),
            (0, (251, 251)),
            (1_048_570, (1_048_559, 1_048_571)),
            (u32::MAX, (1_048_573, 1_048_573)),
        ] {
            assert_eq!(nearest_primes(number), nearest, "{number}");
        }
    }
}
