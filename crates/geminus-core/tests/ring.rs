//! The ring at its default size: fixed rings, balance, disruption and turns.

use std::thread;

use geminus_core::ring::{Member, Ring, RingKey, build, build_in_turn, digest, round_robin_stride};

const SLOTS: u32 = 65_537;

fn key(number: u8) -> RingKey {
    RingKey::from_site_key(&[number; 32])
}

fn names(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("web{number}")).collect()
}

fn equal(names: &[String]) -> Vec<Member<'_>> {
    names.iter().map(|name| Member { name, weight: 10 }).collect()
}

fn weighted<'a>(names: &'a [String], weights: &[u16]) -> Vec<Member<'a>> {
    names.iter().zip(weights).map(|(name, &weight)| Member { name, weight }).collect()
}

fn counts(ring: &Ring, members: &[Member<'_>]) -> Vec<u32> {
    let mut counts = vec![0; members.len()];
    ring.slots.iter().for_each(|&member| counts[usize::from(member)] += 1);
    counts
}

/// Part of the slots whose member has another name in the other ring.
fn moved(old: (&Ring, &[Member<'_>]), new: (&Ring, &[Member<'_>])) -> f64 {
    let name = |(ring, members): (&Ring, &[Member<'_>]), slot: usize| {
        members[usize::from(ring.slots[slot])].name.to_owned()
    };
    let slots = old.0.slots.len();
    (0..slots).filter(|&slot| name(old, slot) != name(new, slot)).count() as f64 / slots as f64
}

/// What has to move at least: the sum of what the gainers gain.
fn due(old: &[Member<'_>], new: &[Member<'_>]) -> f64 {
    let share = |members: &[Member<'_>], name: &str| {
        let sum: f64 = members.iter().map(|member| f64::from(member.weight)).sum();
        members.iter().find(|member| member.name == name).map_or(0.0, |member| f64::from(member.weight) / sum)
    };
    new.iter().map(|member| (share(new, member.name) - share(old, member.name)).max(0.0)).sum()
}

#[test]
fn a_ring_is_the_same_on_every_machine_and_in_every_version() {
    let fingerprint = |ring: &Ring| {
        let bytes: Vec<u8> = ring.slots.iter().flat_map(|slot| slot.to_le_bytes()).collect();
        blake3::hash(&bytes).to_hex()[..16].to_owned()
    };
    let ten = names(10);
    let hundred = names(100);
    let weights: Vec<u16> = (0..100).map(|number| number * 10).collect();
    let rings = [
        build(&key(1), SLOTS, &equal(&names(1))),
        build(&key(1), SLOTS, &equal(&ten)),
        build(&key(2), SLOTS, &equal(&ten)),
        build(&key(1), 251, &equal(&ten)),
        build(&key(1), 1_048_573, &weighted(&ten, &[1, 2, 3, 4, 5, 6, 7, 8, 9, 1000])),
        build(&key(1), SLOTS, &weighted(&hundred, &weights)),
        build_in_turn(SLOTS, &equal(&ten)),
        build_in_turn(SLOTS, &weighted(&hundred, &weights)),
    ];
    assert_eq!(rings.each_ref().map(fingerprint), GOLDEN);
    assert_eq!(digest(&key(1), SLOTS, &equal(&ten)), GOLDEN_DIGEST);
}

/// A change of any of these makes dispatchers of two versions disagree about every flow: it needs a reason, a line for
/// operators in `CHANGELOG.md` and an upgrade of both at once.
const GOLDEN: [&str; 8] = [
    "6fc56ad68c6d3e2e",
    "ee15747f0540ec08",
    "a6691cfb2fb713d7",
    "40e82a684cea2d62",
    "0f93040d8d257b8d",
    "53c9703bc5c4e022",
    "7917bc5dda25098d",
    "2f7ca046ad8b7a9f",
];
const GOLDEN_DIGEST: u64 = 6_320_250_983_608_197_303;

#[test]
fn balance_is_exact_to_the_slot() {
    let hundred = names(100);
    let random: Vec<u16> = (0..100u32).map(|number| (1 + number * number * 7919 % 1000) as u16).collect();
    let geometric: Vec<u16> = (0..100).map(|number| 1000 >> (number % 10)).collect();
    for weights in [vec![1; 100], vec![1000; 3], vec![1000, 1], random, geometric] {
        let members = weighted(&hundred[..weights.len()], &weights);
        let sum: f64 = weights.iter().map(|&weight| f64::from(weight)).sum();
        for ring in [build(&key(1), SLOTS, &members), build_in_turn(SLOTS, &members)] {
            for (member, count) in members.iter().zip(counts(&ring, &members)) {
                let ideal = f64::from(SLOTS) * f64::from(member.weight) / sum;
                assert!((f64::from(count) - ideal).abs() < 1.0, "{member:?}: {count} slots for {ideal}");
            }
        }
    }
}

#[test]
fn a_light_member_beside_many_heavy_ones_is_not_starved() {
    let names = names(1000);
    let mut weights = vec![1000; 1000];
    weights[999] = 1;
    let members = weighted(&names, &weights);
    assert_eq!(counts(&build(&key(1), SLOTS, &members), &members)[999], 1);
    assert_eq!(counts(&build_in_turn(SLOTS, &members), &members)[999], 1);
}

#[test]
fn leaving_or_joining_moves_at_most_one_share_and_one_per_cent() {
    let run = |number: u8| {
        for count in [2, 3, 4, 5, 6, 8, 10, 14, 20, 33, 50, 75, 100] {
            let names = names(count);
            let all = equal(&names);
            let whole = build(&key(number), SLOTS, &all);
            for gone in [0, count / 2, count - 1] {
                let mut fewer = all.clone();
                fewer.remove(gone);
                let without = build(&key(number), SLOTS, &fewer);
                // Who moves when one leaves moves back when it joins.
                let moved = moved((&whole, &all), (&without, &fewer));
                assert!(moved >= 0.999 / count as f64, "{count} members, {gone} gone: only {moved}");
                assert!(moved <= 1.0 / count as f64 + 0.01, "{count} members, {gone} gone: {moved}");
            }
        }
    };
    thread::scope(|scope| {
        for number in [1, 2, 3] {
            scope.spawn(move || run(number));
        }
    });
}

#[test]
fn a_smaller_ring_moves_more_but_not_much() {
    for (slots, needless) in [(1021, 0.07), (4093, 0.03), (16_381, 0.015)] {
        for count in [3, 5, 10, 20] {
            let names = names(count);
            let all = equal(&names);
            for number in 0..10 {
                let whole = build(&key(number), slots, &all);
                let without = build(&key(number), slots, &all[1..]);
                let moved = moved((&whole, &all), (&without, &all[1..]));
                assert!(moved <= 1.0 / count as f64 + needless, "{slots} slots, {count} members: {moved}");
            }
        }
    }
}

#[test]
fn another_weight_moves_little_more_than_it_must() {
    for count in [2, 10, 100] {
        let names = names(count);
        let old = equal(&names);
        let before = build(&key(1), SLOTS, &old);
        for weight in [0, 5, 9, 11, 20, 1000] {
            let mut new = old.clone();
            new[count / 2].weight = weight;
            let moved = moved((&before, &old), (&build(&key(1), SLOTS, &new), &new));
            let due = due(&old, &new);
            assert!(moved >= due - 0.001, "{count} members, weight {weight}: {moved} moved, {due} due");
            assert!(moved <= due + 0.01, "{count} members, weight {weight}: {moved} moved, {due} due");
        }
    }
}

#[test]
fn weights_that_mean_the_same_shares_make_the_same_ring() {
    let names = names(7);
    let small = weighted(&names, &[1, 2, 3, 4, 5, 6, 7]);
    let large = weighted(&names, &[100, 200, 300, 400, 500, 600, 700]);
    assert_eq!(build(&key(1), SLOTS, &small), build(&key(1), SLOTS, &large));
}

#[test]
fn keys_decide_where_a_member_is_found() {
    let names = names(10);
    let members = equal(&names);
    let rings = [1, 2, 3].map(|number| build(&key(number), SLOTS, &members));
    for (one, other) in [(0, 1), (1, 2), (0, 2)] {
        let moved = moved((&rings[one], &members), (&rings[other], &members));
        assert!(
            (moved - 0.9).abs() < 0.02,
            "two random choices of ten differ in nine of ten cases, not in {moved}"
        );
    }
}

#[test]
fn the_greatest_number_of_members_fits() {
    let names = names(geminus_core::ring::MAX_MEMBERS);
    let members = equal(&names);
    let ring = build(&key(1), SLOTS, &members);
    let counts = counts(&ring, &members);
    assert_eq!(counts.iter().filter(|&&count| count == 2).count(), 2);
    assert_eq!(counts.iter().filter(|&&count| count == 1).count(), names.len() - 2);
}

/// Greatest distance of any member's count from `run * weight / sum` over all runs of that many turns of a walk.
fn unevenness(ring: &Ring, stride: u32, run: usize, members: &[Member<'_>]) -> f64 {
    let slots = ring.slots.len();
    let at = |turn: usize| usize::from(ring.slots[(turn as u64 * u64::from(stride) % slots as u64) as usize]);
    let sum: f64 = members.iter().map(|member| f64::from(member.weight)).sum();
    let due: Vec<f64> = members.iter().map(|member| run as f64 * f64::from(member.weight) / sum).collect();
    let mut counts = vec![0_i32; members.len()];
    (0..run).for_each(|turn| counts[at(turn)] += 1);
    let distance = |counts: &[i32], member: usize| (f64::from(counts[member]) - due[member]).abs();
    let mut worst = (0..members.len()).map(|member| distance(&counts, member)).fold(0.0, f64::max);
    for turn in 0..slots {
        let (leaves, enters) = (at(turn), at(turn + run));
        counts[leaves] -= 1;
        counts[enters] += 1;
        worst = worst.max(distance(&counts, leaves)).max(distance(&counts, enters));
    }
    worst
}

#[test]
fn in_every_run_of_turns_shares_follow_weights_to_three_turns() {
    let names = names(100);
    let random: Vec<u16> = (0..100u32).map(|number| (1 + number * number * 7919 % 100) as u16).collect();
    let one_heavy: Vec<u16> = (0..100).map(|number| if number == 50 { 99 } else { 1 }).collect();
    for weights in [vec![1; 100], vec![3, 2, 1], vec![1000, 1], random, one_heavy] {
        let members = weighted(&names[..weights.len()], &weights);
        let ring = build_in_turn(SLOTS, &members);
        let sum: usize = weights.iter().map(|&weight| usize::from(weight)).sum();
        for run in [1, 7, weights.len(), sum, 10 * sum, 30_000] {
            let worst = unevenness(&ring, round_robin_stride(SLOTS), run, &members);
            assert!(worst < 3.0, "{} members, runs of {run}: {worst}", members.len());
        }
    }
}

#[test]
fn equal_members_are_chosen_strictly_in_turn() {
    let names = names(9);
    let ring = build_in_turn(SLOTS, &equal(&names));
    assert!(ring.slots.windows(9).all(|turns| (0..9).all(|member| turns.contains(&member))));
}
