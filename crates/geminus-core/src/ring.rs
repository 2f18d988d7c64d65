//! The ring of a service: hash slot → server.
//!
//! Maglev hashing (Eisenbud et al., "Maglev: A Fast and Reliable Software Network Load Balancer", NSDI 2016, section
//! 3.4) with integer weights. A ring is a pure function of the site's key, the number of slots and the *set* of
//! (name, weight) pairs. Two dispatchers with one configuration therefore agree without talking, and a restarted one
//! agrees with its former self, because nothing of an earlier ring goes into the next.
//!
//! A ring is made in three steps, one file each:
//!
//! 1. [`shares`]: how many slots each member gets; exact, so balance is not a matter of luck;
//! 2. [`turns`]: in which order the members take them, nobody ever a whole turn ahead of or behind its share;
//! 3. [`walk`]: which slot a member takes at its turn, the next free one of its own keyed permutation.
//!
//! For `select = "round-robin"` step 2 *is* the ring ([`build_in_turn`]). Measurements and the rejected ways are in
//! `docs/design/ring.md`.

mod prime;
mod shares;
mod slot_set;
mod turns;
mod walk;

use std::cmp::Reverse;
use std::fmt;

pub use self::prime::{is_prime, nearest_primes};
use crate::limits;

/// Members of one ring: their indices are 16 bits wide and the greatest value is kept to say "free".
pub const MAX_MEMBERS: usize = u16::MAX as usize;

/// One member of a ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member<'a> {
    /// What the member is known by on every dispatcher; unique within the ring.
    pub name: &'a str,
    /// Share of the slots; 0 takes no slot.
    pub weight: u16,
}

/// The secret that places members on rings, so that a client cannot choose its server by choosing its port.
#[derive(Clone, PartialEq, Eq)]
pub struct RingKey([u8; 32]);

/// Slot → member.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ring {
    /// Index of each slot's member in the members as given; empty if nobody has weight.
    pub slots: Vec<u16>,
}

/// A member that takes slots.
#[derive(Debug, Clone, Copy)]
struct Taker<'a> {
    name: &'a str,
    weight: u16,
    index: u16,
}

impl RingKey {
    /// The key of all rings of the site with this secret. The secret cannot be had from it, and it is independent of
    /// keys derived from the secret for other purposes.
    pub fn from_site_key(secret: &[u8; 32]) -> Self {
        Self(blake3::derive_key("geminus 2026-01 ring of a service", secret))
    }
}

impl fmt::Debug for RingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RingKey(..)")
    }
}

/// The ring for `select = "hash"`.
///
/// The member of a slot depends on the set of (name, weight) only: neither on the order of `members` nor on members of
/// weight 0. Of members with one name the heaviest counts.
///
/// - Balance: each member has its ideal share `slots * weight / sum` rounded down or up. The one exception are members
///   whose ideal share is less than one slot: while they are at most half a per cent of the slots in number, each gets
///   one. From 251 slots on a share is therefore within 1 % of the ring of its ideal.
/// - Disruption: when one of N equal members goes or comes, its own 1/N of the slots moves and, at 65 537 slots and up to
///   100 members, well under 1 % more. Smaller rings move more.
///
/// # Panics
///
/// If `slots` is not a prime of at most [`limits::RING_MAX`], as the configuration has it, or there are more than
/// [`MAX_MEMBERS`] members.
pub fn build(key: &RingKey, slots: u32, members: &[Member<'_>]) -> Ring {
    assert_size(slots);
    let takers = takers(members);
    let turns = turns_of(&takers, slots);
    let walks = takers.iter().map(|taker| walk::Walk::new(key, slots, taker.name)).collect();
    Ring { slots: named(walk::fill(slots, walks, turns), &takers) }
}

/// The ring for `select = "round-robin"`: walked by a counter in steps of [`round_robin_stride`], it gives every member
/// its turn.
///
/// In any run of `n` turns, `n` up to `slots` and across the ring's end too, a member's count is less than 3 from
/// `n * weight / sum` (less than 2 in a run from slot 0), provided no member's ideal share is below one slot. Equal
/// members simply take turns. Shares are as exact as those of [`build`]; a slot drawn by hash is therefore as well
/// balanced, but the ring of another set of members has little in common with this one.
///
/// # Panics
///
/// Like [`build`].
pub fn build_in_turn(slots: u32, members: &[Member<'_>]) -> Ring {
    assert_size(slots);
    let takers = takers(members);
    Ring { slots: named(turns_of(&takers, slots), &takers) }
}

/// How far a round-robin service's counter goes per new flow: one slot, whatever the ring's size.
///
/// A ring of [`build_in_turn`] is laid out in the order of turns, and neighbouring slots share a cache line. A ring of
/// [`build`] is not meant to be walked: its sequence is random at *every* stride (measured in `docs/design/ring.md`),
/// so there, too, no other stride would be better.
pub const fn round_robin_stride(_slots: u32) -> u32 {
    1
}

/// Digest of what a ring is built from: equal digests, equal rings.
///
/// It does not depend on the order of `members` nor on members of weight 0. It speaks of *names*: a caller that stores
/// something else in its slots, such as the numbers of servers, adds the map from names to numbers to what it compares;
/// so does one that uses both [`build`] and [`build_in_turn`] for a service.
///
/// # Panics
///
/// If there are more than [`MAX_MEMBERS`] members.
pub fn digest(key: &RingKey, slots: u32, members: &[Member<'_>]) -> u64 {
    let mut hasher = blake3::Hasher::new_keyed(&key.0);
    hasher.update(b"digest");
    hasher.update(&slots.to_le_bytes());
    for taker in takers(members) {
        hasher.update(&(taker.name.len() as u64).to_le_bytes());
        hasher.update(taker.name.as_bytes());
        hasher.update(&taker.weight.to_le_bytes());
    }
    leading_u64(hasher.finalize().as_bytes(), 0)
}

fn assert_size(slots: u32) {
    let fits = slots <= limits::RING_MAX && is_prime(slots);
    assert!(fits, "the slots of a ring are a prime number up to {}, not {slots}", limits::RING_MAX);
}

/// The members with weight in their canonical order, which is that of the bytes of their names.
fn takers<'a>(members: &[Member<'a>]) -> Vec<Taker<'a>> {
    assert!(members.len() <= MAX_MEMBERS, "a ring has at most {MAX_MEMBERS} members, not {}", members.len());
    let mut takers: Vec<_> = (0..=u16::MAX)
        .zip(members)
        .filter(|(_, member)| member.weight > 0)
        .map(|(index, &Member { name, weight })| Taker { name, weight, index })
        .collect();
    takers.sort_unstable_by_key(|taker| (taker.name, Reverse(taker.weight), taker.index));
    takers.dedup_by_key(|taker| taker.name);
    takers
}

fn turns_of(takers: &[Taker<'_>], slots: u32) -> Vec<u16> {
    let weights: Vec<_> = takers.iter().map(|taker| taker.weight).collect();
    turns::turns(slots, &weights)
}

/// From positions in the canonical order to indices of the members as given.
fn named(mut slots: Vec<u16>, takers: &[Taker<'_>]) -> Vec<u16> {
    for slot in &mut slots {
        *slot = takers[usize::from(*slot)].index;
    }
    slots
}

/// Eight bytes of a digest from `start` on, as a little-endian number on every machine.
fn leading_u64(digest: &[u8; 32], start: usize) -> u64 {
    let bytes = digest[start..].first_chunk().expect("a digest has 32 bytes and start is 0 or 8");
    u64::from_le_bytes(*bytes)
}

const _: () = assert!(
    is_prime(limits::RING_MIN) && is_prime(limits::RING_MAX) && limits::SERVERS_PER_SERVICE <= MAX_MEMBERS,
    "every ring within the site's limits can be built"
);
