//! In which order the members take their slots.

use super::shares::shares;
use super::slot_set::SlotSet;

/// Sequence of members, one per slot, spread as evenly as can be: after any number of turns everybody's count is less
/// than one from what is due by then. Empty if there are no members.
pub(super) fn turns(slots: u32, weights: &[u16]) -> Vec<u16> {
    let divisor = weights.iter().copied().fold(0, greatest_common_divisor);
    let round: u32 =
        weights.iter().map(|&weight| u32::from(weight)).sum::<u32>().checked_div(divisor.into()).unwrap_or(0);
    if round <= slots {
        // The weights come out even after one round of turns, which is all that has to be found.
        let shares: Vec<_> = weights.iter().map(|&weight| u32::from(weight / divisor)).collect();
        repeated(fair_turns(&shares), slots as usize)
    } else {
        fair_turns(&shares(slots, weights))
    }
}

/// Rounds of turns one after the other, the last one cut short.
fn repeated(round: Vec<u16>, length: usize) -> Vec<u16> {
    let mut turns = round;
    turns.reserve_exact(length - turns.len());
    while !turns.is_empty() && turns.len() < length {
        // What is there is always whole rounds, so it can be doubled.
        turns.extend_from_within(..turns.len().min(length - turns.len()));
    }
    turns
}

fn greatest_common_divisor(mut one: u16, mut other: u16) -> u16 {
    while other != 0 {
        (one, other) = (other, one % other);
    }
    one
}

/// A turn for each unit of the shares, earliest deadline first: of `t` turns in all, a member with share `s` may take
/// its `k`-th (from 0) from `floor(k * t / s)` on and takes it before `ceil((k + 1) * t / s)`. Since the shares sum up
/// to `t` such a schedule exists (Tijdeman, "The chairman assignment problem", 1980), and earliest deadline first finds
/// one whenever it exists.
fn fair_turns(shares: &[u32]) -> Vec<u16> {
    let total = shares.iter().sum();
    let mut demands: Vec<_> = shares.iter().map(|&share| Demand::new(total, share)).collect();
    let mut released = Calendar::new(total, shares.len());
    let mut due = Calendar::new(total, shares.len());
    for (member, _) in (0..=u16::MAX).zip(shares).filter(|(_, share)| **share > 0) {
        released.add(0, member);
    }
    let mut turns = Vec::with_capacity(total as usize);
    for turn in 0..total {
        while let Some(member) = released.take(turn) {
            due.add(demands[usize::from(member)].deadline() - 1, member);
        }
        let member = due.take_earliest(turn).expect("by any turn no fewer are released than taken");
        turns.push(member);
        let demand = &mut demands[usize::from(member)];
        demand.next_turn();
        if demand.release < total {
            released.add(demand.release.max(turn + 1), member);
        }
    }
    turns
}

/// When a member may take its next turn. Goes from turn to turn without a division.
struct Demand {
    /// `floor(k * total / share)`.
    release: u32,
    /// `k * total % share`.
    remainder: u32,
    share: u32,
    gap: u32,
    gap_remainder: u32,
}

impl Demand {
    /// A share of 0 demands nothing and is never asked.
    fn new(total: u32, share: u32) -> Self {
        let gap = total.checked_div(share).unwrap_or(total);
        let gap_remainder = total.checked_rem(share).unwrap_or(0);
        Self { release: 0, remainder: 0, share, gap, gap_remainder }
    }

    fn next_turn(&mut self) {
        self.release += self.gap;
        self.remainder += self.gap_remainder;
        if self.remainder >= self.share {
            self.remainder -= self.share;
            self.release += 1;
        }
    }

    /// The release of the turn after it, rounded up instead of down.
    fn deadline(&self) -> u32 {
        let remainder = self.remainder + self.gap_remainder;
        self.release + self.gap + u32::from(remainder > 0) + u32::from(remainder > self.share)
    }
}

/// Members by turn: a list per turn, linked through the members, each of which is in one at most.
struct Calendar {
    first: Vec<u16>,
    next: Vec<u16>,
    /// Turns with a list that is not empty.
    turns: SlotSet,
}

const NOBODY: u16 = u16::MAX;

impl Calendar {
    fn new(turns: u32, members: usize) -> Self {
        let first = vec![NOBODY; turns as usize];
        Self { first, next: vec![NOBODY; members], turns: SlotSet::empty(turns) }
    }

    fn add(&mut self, turn: u32, member: u16) {
        self.next[usize::from(member)] = self.first[turn as usize];
        self.first[turn as usize] = member;
        self.turns.insert(turn);
    }

    fn take(&mut self, turn: u32) -> Option<u16> {
        let member = self.first[turn as usize];
        if member == NOBODY {
            return None;
        }
        let rest = self.next[usize::from(member)];
        self.first[turn as usize] = rest;
        if rest == NOBODY {
            self.turns.remove(turn);
        }
        Some(member)
    }

    /// The first member from `turn` on. The way to it is no longer than the gap between two turns of that member, so
    /// all ways together are no longer than turns times members, at 64 turns a step.
    fn take_earliest(&mut self, turn: u32) -> Option<u16> {
        self.turns.first_from(turn).and_then(|turn| self.take(turn))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_members_take_turns() {
        assert_eq!(turns(7, &[5, 5, 5]), [0, 1, 2, 0, 1, 2, 0]);
        assert_eq!(turns(3, &[]), []);
    }

    #[test]
    fn a_heavy_member_alternates_with_the_light_ones() {
        assert_eq!(turns(11, &[400, 100, 100, 100, 100]), [0, 1, 0, 2, 0, 3, 0, 4, 0, 1, 0]);
    }

    #[test]
    fn a_round_longer_than_the_ring_becomes_a_round_of_shares() {
        assert_eq!(turns(5, &[9, 1, 10]), [2, 0, 2, 2, 0]);
    }

    #[test]
    fn a_member_without_a_share_gets_no_turn() {
        assert_eq!(fair_turns(&[2, 0, 2]), [0, 2, 0, 2]);
    }

    #[test]
    fn nobody_is_a_whole_turn_from_its_due() {
        for shares in [vec![1, 2, 3, 5, 240], vec![125, 126], vec![50, 50, 50, 50, 51], vec![1; 251]] {
            let slots = shares.iter().sum::<u32>();
            let mut taken = vec![0; shares.len()];
            for (turn, member) in (1..).zip(fair_turns(&shares)) {
                taken[usize::from(member)] += 1;
                for (share, taken) in shares.iter().zip(&taken) {
                    let due = f64::from(turn) * f64::from(*share) / f64::from(slots);
                    assert!((due - f64::from(*taken)).abs() < 1.0, "{taken} of {share} after {turn} turns");
                }
            }
        }
    }
}
