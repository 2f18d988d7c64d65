//! Laws of the ring over random sets of members.

use std::collections::{BTreeMap, BTreeSet};

use geminus_core::ring::{Member, Ring, RingKey, build, build_in_turn, digest};
use proptest::prelude::*;
use proptest::sample::{Index, select};

type Set = BTreeMap<String, u16>;

fn set() -> impl Strategy<Value = Set> {
    let name = prop_oneof!["web[0-9]{1,3}", "[a-c]{0,3}", any::<String>()];
    let weight = prop_oneof![Just(0_u16), 1..=3_u16, 0..=1000_u16, Just(1000), any::<u16>(), Just(u16::MAX)];
    proptest::collection::btree_map(name, weight, 0..40)
}

fn set_with_weight() -> impl Strategy<Value = Set> {
    set().prop_filter("somebody has weight", |set| set.values().any(|&weight| weight > 0))
}

fn slots() -> impl Strategy<Value = u32> {
    select(vec![251, 257, 1021, 4093])
}

fn key() -> impl Strategy<Value = RingKey> {
    any::<[u8; 32]>().prop_map(|secret| RingKey::from_site_key(&secret))
}

fn members(set: &Set) -> Vec<Member<'_>> {
    set.iter().map(|(name, &weight)| Member { name, weight }).collect()
}

fn by_name<'a>(ring: &Ring, members: &[Member<'a>]) -> Vec<&'a str> {
    ring.slots.iter().map(|&member| members[usize::from(member)].name).collect()
}

fn both(key: &RingKey, slots: u32, members: &[Member<'_>]) -> [Ring; 2] {
    [build(key, slots, members), build_in_turn(slots, members)]
}

proptest! {
    #[test]
    fn the_order_of_members_does_not_matter(
        key in key(), slots in slots(), (set, order) in set().prop_flat_map(|set| {
            let order: Vec<usize> = (0..set.len()).collect();
            (Just(set), Just(order).prop_shuffle())
        })
    ) {
        let sorted = members(&set);
        let shuffled: Vec<_> = order.iter().map(|&at| sorted[at]).collect();
        for (one, other) in both(&key, slots, &sorted).iter().zip(&both(&key, slots, &shuffled)) {
            prop_assert_eq!(by_name(one, &sorted), by_name(other, &shuffled));
        }
        prop_assert_eq!(digest(&key, slots, &sorted), digest(&key, slots, &shuffled));
    }

    #[test]
    fn a_member_of_weight_zero_is_as_good_as_absent(key in key(), slots in slots(), set in set()) {
        let present = members(&set);
        let absent: Vec<_> = present.iter().copied().filter(|member| member.weight > 0).collect();
        for (one, other) in both(&key, slots, &present).iter().zip(&both(&key, slots, &absent)) {
            prop_assert_eq!(by_name(one, &present), by_name(other, &absent));
        }
        prop_assert_eq!(digest(&key, slots, &present), digest(&key, slots, &absent));
    }

    #[test]
    fn nobody_with_weight_is_an_empty_ring(key in key(), slots in slots(), names in any::<BTreeSet<String>>()) {
        let set: Set = names.into_iter().map(|name| (name, 0)).collect();
        for ring in both(&key, slots, &members(&set)) {
            prop_assert!(ring.slots.is_empty());
        }
    }

    #[test]
    fn one_member_takes_all(key in key(), slots in slots(), name in any::<String>(), weight in 1..=u16::MAX) {
        for ring in both(&key, slots, &[Member { name: "idle", weight: 0 }, Member { name: &name, weight }]) {
            prop_assert_eq!(ring.slots, vec![1; slots as usize]);
        }
    }

    #[test]
    fn shares_are_within_one_per_cent_of_weights(key in key(), slots in slots(), set in set_with_weight()) {
        let members = members(&set);
        let sum: f64 = members.iter().map(|member| f64::from(member.weight)).sum();
        for ring in both(&key, slots, &members) {
            prop_assert_eq!(ring.slots.len(), slots as usize);
            for (index, member) in (0..).zip(&members) {
                let count = ring.slots.iter().filter(|&&slot| slot == index).count() as f64;
                let ideal = f64::from(slots) * f64::from(member.weight) / sum;
                let distance = (count - ideal).abs();
                prop_assert!(distance <= 0.01 * f64::from(slots), "{member:?}: {count} slots for {ideal}");
                prop_assert!(distance <= 0.01 * ideal || ideal < 1000.0, "{member:?}: {count} slots for {ideal}");
            }
        }
    }

    #[test]
    fn the_heaviest_of_one_name_counts(key in key(), slots in slots(), weight in 1..=999_u16) {
        let twice = [("b", 1), ("a", weight), ("a", 1000)].map(|(name, weight)| Member { name, weight });
        let once = [("b", 1), ("a", 1000)].map(|(name, weight)| Member { name, weight });
        for (one, other) in both(&key, slots, &twice).iter().zip(&both(&key, slots, &once)) {
            prop_assert_eq!(by_name(one, &twice), by_name(other, &once));
            prop_assert!(!one.slots.contains(&1), "the lighter of the two has no slot");
        }
        prop_assert_eq!(digest(&key, slots, &twice), digest(&key, slots, &once));
    }

    #[test]
    fn another_input_has_another_digest(
        key in key(), other in key(), slots in slots(), set in set_with_weight(), at in any::<Index>()
    ) {
        let members = members(&set);
        let this = digest(&key, slots, &members);
        prop_assume!(key != other);
        prop_assert_ne!(this, digest(&other, slots, &members));
        prop_assert_ne!(this, digest(&key, 65_537, &members));

        let mut heavier = members.clone();
        heavier[at.index(members.len())].weight ^= 1;
        prop_assert_ne!(this, digest(&key, slots, &heavier));

        let mut joined = members.clone();
        joined.push(Member { name: "a name too long to be in the set", weight: 1 });
        prop_assert_ne!(this, digest(&key, slots, &joined));
    }
}

#[test]
fn names_do_not_run_into_each_other_in_the_digest() {
    let key = RingKey::from_site_key(&[0; 32]);
    let of = |names: [&str; 2]| digest(&key, 251, &names.map(|name| Member { name, weight: 1 }));
    assert_ne!(of(["a", "bc"]), of(["ab", "c"]));
}

#[test]
fn the_key_is_not_shown() {
    assert_eq!(format!("{:?}", RingKey::from_site_key(&[0xAB; 32])), "RingKey(..)");
}

#[test]
#[should_panic(expected = "the slots of a ring are a prime number up to 1048573, not 65536")]
fn a_ring_of_another_size_than_a_prime_is_refused() {
    build(&RingKey::from_site_key(&[0; 32]), 65_536, &[Member { name: "web1", weight: 1 }]);
}

#[test]
#[should_panic(expected = "a ring has at most 65535 members, not 65536")]
fn more_members_than_an_index_can_name_are_refused() {
    let name = "web1";
    build(&RingKey::from_site_key(&[0; 32]), 251, &vec![Member { name, weight: 1 }; 65_536]);
}
