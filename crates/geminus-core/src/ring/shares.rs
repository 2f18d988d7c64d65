//! How many slots each member gets.

use std::cmp::Reverse;

/// Members with an ideal share below one slot are lifted to one if all of them together are at most the ring's slots
/// divided by this: a light member beside many heavy ones is not forgotten, and the heavy ones lose at most 0.5 %.
const LIFTED_PART: u32 = 200;

/// Slots per member: the ideal share rounded down, what remains to the greatest remainders (Hamilton's apportionment;
/// the earlier member wins a tie). Sums up to `slots` unless there are no members.
pub(super) fn shares(slots: u32, weights: &[u16]) -> Vec<u32> {
    let mut ascending: Vec<usize> = (0..weights.len()).collect();
    ascending.sort_by_key(|&member| weights[member]);
    let (lifted, others) = ascending.split_at(lifted(slots, weights, &ascending));

    let sum: u64 = others.iter().map(|&member| u64::from(weights[member])).sum();
    let rest = slots - lifted.len() as u32;
    let ideal_times_sum = |member: usize| u64::from(rest) * u64::from(weights[member]);

    let mut shares = vec![1; weights.len()];
    let mut remaining = rest;
    for &member in others {
        // At most `rest`, which is 32 bits wide.
        shares[member] = (ideal_times_sum(member) / sum) as u32;
        remaining -= shares[member];
    }
    let mut by_remainder = others.to_vec();
    by_remainder.sort_unstable_by_key(|&member| (Reverse(ideal_times_sum(member) % sum), member));
    for &member in &by_remainder[..remaining.min(others.len() as u32) as usize] {
        shares[member] += 1;
    }
    shares
}

/// How many of the lightest members get one slot although less is due to them.
fn lifted(slots: u32, weights: &[u16], ascending: &[usize]) -> usize {
    let mut left = u64::from(slots);
    let mut sum: u64 = weights.iter().map(|&weight| u64::from(weight)).sum();
    let mut count = 0;
    for &member in ascending {
        let weight = u64::from(weights[member]);
        if left * weight >= sum {
            return count;
        }
        count += 1;
        if count > (slots / LIFTED_PART) as usize {
            return 0;
        }
        left -= 1;
        sum -= weight;
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_the_ideal_one_rounded_down_or_up() {
        assert_eq!(shares(10, &[1, 1, 1]), [4, 3, 3]);
        assert_eq!(shares(11, &[7, 2, 1]), [8, 2, 1]);
        assert_eq!(shares(65_537, &[1000, 500]), [43_691, 21_846]);
        assert_eq!(shares(7, &[1000]), [7]);
        assert_eq!(shares(7, &[]), []);
    }

    #[test]
    fn a_light_member_beside_many_heavy_ones_gets_one_slot() {
        let mut weights = vec![1000; 100];
        weights.push(1);
        assert_eq!(shares(65_537, &weights)[100], 1);
    }

    #[test]
    fn a_crowd_of_light_members_does_not_rob_the_heavy_one() {
        let mut weights = vec![1; 300];
        weights.push(1000);
        let shares = shares(251, &weights);
        assert_eq!(shares[300], 193, "251 * 1000 / 1300 is 193.07");
        assert_eq!(shares.iter().sum::<u32>(), 251);
    }

    #[test]
    fn more_members_than_slots_share_what_there_is() {
        let shares = shares(5, &[1; 9]);
        assert_eq!(shares, [1, 1, 1, 1, 1, 0, 0, 0, 0]);
    }
}
