//! Laws of the flow table: who is found, who gives way, and what races may do.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use geminus_fixtures::random::Random;
use geminus_packet::flow::{Bucket, Entry, Found, MAX_SERVERS, Remembered, State, Tag, Timeouts, WAYS};

/// Draws of the law that no flow is found under another's tag.
const DRAWS: u64 = 10_000_000;

/// Buckets of a table whose buckets' numbers and stored tags are together a whole hash.
const BUCKETS: u64 = 1 << 12;

/// Idle ticks by state.
struct Spans([u32; 8]);

impl Timeouts for Spans {
    fn timeout(&self, state: u8) -> u32 {
        self.0[usize::from(state)]
    }
}

/// Free, first, established, closing, reset, datagrams, client, claimed.
const SPANS: Spans = Spans([1, 100, 10_000, 5000, 300, 8000, 20_000, 50]);

const NOW: u32 = 1_000_000;

fn entry(tag: Tag, server: u32) -> Entry {
    Entry { tag, server, generation: 1, state: State::Established, pinned: 0 }
}

/// The tag of the n-th flow of a test about one bucket: all bits differ, the eight extra ones too.
fn flow(n: u64) -> Tag {
    Tag(Random::new(n).next() & !(0xff << 12) | (n & 0xff) << 12)
}

fn table(buckets: u64) -> Vec<Bucket> {
    (0..buckets).map(|_| Bucket::default()).collect()
}

fn held(bucket: &Bucket) -> Vec<Found> {
    (0..WAYS).filter_map(|way| bucket.way(way)).collect()
}

/// A table with every way taken, and who is in it.
fn full_table(random: &mut Random) -> (Vec<Bucket>, HashMap<u64, u32>) {
    let table = table(BUCKETS);
    let mut flows = HashMap::new();
    while flows.len() < BUCKETS as usize * WAYS {
        let (tag, server) = (Tag(random.next()), 1 + random.below(MAX_SERVERS as usize) as u32);
        let bucket = &table[tag.bucket(BUCKETS - 1) as usize];
        if held(bucket).len() == WAYS {
            continue;
        }
        assert!(matches!(bucket.remember(&entry(tag, server), NOW, &SPANS, false), Remembered::In(_)));
        flows.insert(tag.0, server);
    }
    (table, flows)
}

#[test]
fn no_flow_is_found_under_anothers_tag() {
    let mut random = Random::new(1);
    let (table, flows) = full_table(&mut random);
    for _ in 0..DRAWS {
        let tag = Tag(random.next());
        let found = table[tag.bucket(BUCKETS - 1) as usize].find(tag).map(|found| found.server);
        assert_eq!(found, flows.get(&tag.0).copied(), "tag {:#x}", tag.0);
    }
}

#[test]
fn every_flow_is_found_under_its_own_tag_with_its_own_server() {
    let (table, flows) = full_table(&mut Random::new(2));
    for (&tag, &server) in &flows {
        let found = table[Tag(tag).bucket(BUCKETS - 1) as usize].find(Tag(tag)).expect("it was remembered");
        assert_eq!(
            (found.server, found.note.generation(), found.note.state()),
            (server, 1, State::Established as u8)
        );
    }
}

#[test]
fn a_tag_that_differs_in_one_bit_is_another_flows() {
    let (table, flows) = full_table(&mut Random::new(3));
    for (&tag, _) in flows.iter().take(4000) {
        for bit in 0..64 {
            let other = Tag(tag ^ 1 << bit);
            if !flows.contains_key(&other.0) {
                assert_eq!(table[other.bucket(BUCKETS - 1) as usize].find(other), None, "{tag:#x} bit {bit}");
            }
        }
    }
}

#[test]
fn the_whole_hash_can_be_had_back_from_a_slot() {
    for buckets in [BUCKETS, BUCKETS << 4] {
        let table = table(buckets);
        let mut random = Random::new(4);
        for _ in 0..20_000 {
            let tag = Tag(random.next());
            let number = tag.bucket(buckets - 1);
            let bucket = &table[number as usize];
            bucket.remember(&entry(tag, 7), NOW, &SPANS, false);
            let found = bucket.find(tag).expect("just remembered");
            assert_eq!(bucket.tag(&found, number), tag);
            assert!(bucket.holds(found.way as usize, tag));
        }
    }
}

#[test]
fn what_is_remembered_is_what_is_found() {
    for server in [1, 2, MAX_SERVERS - 1, MAX_SERVERS] {
        for generation in [1, 2, u16::MAX] {
            for state in State::ALL.into_iter().filter(|state| !matches!(state, State::Free | State::Claimed))
            {
                for pinned in [0, 1] {
                    let bucket = Bucket::default();
                    let entry = Entry { tag: flow(9), server, generation, state, pinned };
                    bucket.remember(&entry, NOW, &SPANS, false);
                    let Found { server: found, note, .. } = bucket.find(flow(9)).expect("just remembered");
                    assert_eq!((found, note.generation(), note.state()), (server, generation, state as u8));
                    assert_eq!((note.pinned(), note.age(NOW + 5)), (pinned == 1, 5));
                }
            }
        }
    }
}

#[test]
fn a_flow_that_is_remembered_again_keeps_its_way() {
    let bucket = Bucket::default();
    for n in 0..WAYS as u64 {
        bucket.remember(&entry(flow(n), 1), NOW + n as u32, &SPANS, false);
    }
    for n in 0..WAYS as u64 {
        let way = bucket.find(flow(n)).expect("there is room for all").way;
        let again = Entry { state: State::Closing, ..entry(flow(n), 2) };
        assert_eq!(bucket.remember(&again, NOW + 50, &SPANS, true), Remembered::In(way));
        let found = bucket.find(flow(n)).expect("it is still there");
        assert_eq!((found.way, found.server, found.note.state()), (way, 2, State::Closing as u8));
    }
    assert_eq!(held(&bucket).len(), WAYS);
}

#[test]
fn a_flow_that_comes_back_after_others_have_left_is_found() {
    // All orders in which three flows may come, go and come back in one bucket.
    let mut random = Random::new(5);
    for _ in 0..20_000 {
        let bucket = Bucket::default();
        let mut here = [false; 5];
        for _ in 0..24 {
            let n = random.below(here.len());
            if here[n] {
                bucket.forget(&bucket.find(flow(n as u64)).expect("a flow that is here is found"));
            } else {
                let remembered = bucket.remember(&entry(flow(n as u64), n as u32 + 1), NOW, &SPANS, false);
                assert!(matches!(remembered, Remembered::In(_)), "there is room for all");
            }
            here[n] = !here[n];
            for (n, is_here) in here.into_iter().enumerate() {
                let found = bucket.find(flow(n as u64)).map(|found| found.server);
                assert_eq!(found, is_here.then_some(n as u32 + 1), "flow {n}, here: {here:?}");
            }
        }
    }
}

/// What stands in a way before a newcomer comes.
#[derive(Debug, Clone, Copy)]
struct Tenant {
    tag: Tag,
    age: u32,
    state: State,
    pinned: u64,
}

impl Tenant {
    fn expired(&self) -> bool {
        self.age >= SPANS.0[self.state as usize]
    }

    /// How readily it gives way: expired before living, then by age.
    fn rank(&self) -> (bool, u32) {
        (self.expired(), self.age)
    }
}

#[test]
fn the_own_way_then_a_free_one_then_the_oldest_expired_then_the_oldest() {
    let states =
        [State::First, State::Established, State::Closing, State::Reset, State::Datagrams, State::Client];
    let mut random = Random::new(6);
    for round in 0..60_000_u64 {
        let bucket = Bucket::default();
        let count = if random.below(3) == 0 { random.below(WAYS + 1) } else { WAYS };
        let mut tenants = Vec::new();
        for n in 0..count as u64 {
            let (state, pinned) = (random.one(&states), random.below(3).min(1) as u64 ^ 1);
            let span = SPANS.0[state as usize];
            let any = random.below(40_000) as u32;
            let age = random.one(&[0, 1, span - 1, span, span + 1, span * 2, any]);
            let tenant = Tenant { tag: flow(round << 8 | n), age, state, pinned };
            let entry = Entry { tag: tenant.tag, server: 1, generation: 1, state, pinned };
            bucket.remember(&entry, NOW.wrapping_sub(age), &Spans([u32::MAX; 8]), false);
            tenants.push(tenant);
        }
        assert_eq!(held(&bucket).len(), count);
        let spare_pinned = random.below(2) == 0;
        let comes_back = count > 0 && random.below(8) == 0;
        let newcomer = if comes_back { tenants[random.below(count)].tag } else { flow(round << 8 | 99) };
        let remembered = bucket.remember(&entry(newcomer, 9), NOW, &SPANS, spare_pinned);
        let gone: Vec<_> = tenants
            .iter()
            .filter(|tenant| tenant.tag != newcomer && bucket.find(tenant.tag).is_none())
            .collect();
        let may_go = |tenant: &&Tenant| tenant.expired() || !spare_pinned || tenant.pinned == 0;
        let case = format!("{tenants:?}, spare {spare_pinned}, {remembered:?}, gone {gone:?}");
        if comes_back || count < WAYS {
            assert!(matches!(remembered, Remembered::In(_)) && gone.is_empty(), "{case}");
            continue;
        }
        let Some(best) = tenants.iter().filter(may_go).map(Tenant::rank).max() else {
            assert!(remembered == Remembered::Not && gone.is_empty(), "{case}");
            continue;
        };
        let [victim] = gone[..] else { panic!("{case}") };
        assert_eq!(victim.rank(), best, "{case}");
        let was_alive = matches!(remembered, Remembered::Evicting(_));
        assert_eq!(was_alive, !victim.expired(), "{case}");
        assert_eq!(bucket.find(newcomer).map(|found| found.server), Some(9), "{case}");
    }
}

#[test]
fn a_pinned_flow_keeps_its_way_where_pinned_flows_are_spared() {
    let bucket = Bucket::default();
    for n in 0..WAYS as u64 {
        let pinned = Entry { state: State::First, pinned: 1, ..entry(flow(n), 1) };
        bucket.remember(&pinned, NOW, &SPANS, true);
    }
    assert_eq!(bucket.remember(&entry(flow(100), 2), NOW + 99, &SPANS, true), Remembered::Not);
    assert!((0..WAYS as u64).all(|n| bucket.find(flow(n)).is_some()));
    // Its time over, it is like any other.
    assert!(matches!(bucket.remember(&entry(flow(100), 2), NOW + 100, &SPANS, true), Remembered::In(_)));
    // And where nobody is spared, it is like any other at once.
    assert!(matches!(bucket.remember(&entry(flow(101), 2), NOW + 100, &SPANS, false), Remembered::In(_)));
}

#[test]
fn a_way_that_is_being_written_is_neither_found_nor_taken_until_its_writer_is_given_up() {
    let bucket = Bucket::default();
    for n in 0..WAYS as u64 {
        bucket.remember(&Entry { state: State::Claimed, ..entry(flow(n), 1) }, NOW, &SPANS, false);
    }
    assert!((0..WAYS as u64).all(|n| bucket.find(flow(n)).is_none()));
    assert!(held(&bucket).is_empty());
    let newcomer = entry(flow(100), 2);
    assert_eq!(bucket.remember(&newcomer, NOW + 49, &SPANS, false), Remembered::Not);
    assert!(matches!(bucket.remember(&newcomer, NOW + 50, &SPANS, false), Remembered::In(_)));
    assert_eq!(bucket.find(flow(100)).map(|found| found.server), Some(2));
}

#[test]
fn the_loser_of_a_race_changes_nothing() {
    let bucket = Bucket::default();
    bucket.remember(&entry(flow(1), 5), NOW, &SPANS, false);
    let seen = bucket.find(flow(1)).expect("just remembered");
    bucket.touch(&seen, Some(State::Closing), NOW + 10);
    let now = bucket.find(flow(1)).expect("touching keeps it");
    assert_eq!((now.note.state(), now.note.age(NOW + 10)), (State::Closing as u8, 0));
    // Both act on what they saw before.
    bucket.touch(&seen, Some(State::Reset), NOW + 20);
    bucket.forget(&seen);
    assert_eq!(bucket.find(flow(1)), Some(now));
    // Another flow took the way meanwhile.
    let taken = Bucket::default();
    for n in 0..WAYS as u64 {
        taken.remember(&entry(flow(n), 1), NOW + n as u32, &SPANS, false);
    }
    let evicted = taken.find(flow(0)).expect("there is room for all");
    taken.remember(&entry(flow(50), 2), NOW + 9, &SPANS, false);
    taken.touch(&evicted, Some(State::Reset), NOW + 11);
    taken.forget(&evicted);
    let newcomer = taken.find(flow(50)).expect("what was seen of the old flow does not hit the new one");
    assert_eq!(
        (newcomer.server, newcomer.note.state(), newcomer.note.age(NOW + 9)),
        (2, State::Established as u8, 0)
    );
}

#[test]
fn time_wraps_around() {
    for start in [u32::MAX - 5, u32::MAX, 0, 1 << 31, (1 << 31) - 3] {
        let bucket = Bucket::default();
        for n in 0..WAYS as u64 {
            bucket.remember(&entry(flow(n), 1), start.wrapping_add(n as u32), &SPANS, false);
        }
        let now = start.wrapping_add(20);
        for n in 0..WAYS as u64 {
            let age = bucket.find(flow(n)).expect("there is room for all").note.age(now);
            assert_eq!(age, 20 - n as u32);
        }
        assert!(matches!(bucket.remember(&entry(flow(50), 2), now, &SPANS, false), Remembered::Evicting(_)));
        assert!(bucket.find(flow(0)).is_none(), "the oldest goes, wherever zero lies between");
        let later = now.wrapping_add(SPANS.0[State::Established as usize]);
        assert!(matches!(bucket.remember(&entry(flow(51), 2), later, &SPANS, false), Remembered::In(_)));
        assert!(bucket.find(flow(1)).is_none());
    }
}

#[test]
fn a_flow_seen_in_the_future_was_seen_just_now() {
    let bucket = Bucket::default();
    bucket.remember(&entry(flow(1), 1), NOW + 3, &SPANS, false);
    let found = bucket.find(flow(1)).expect("just remembered");
    assert_eq!([NOW, NOW + 3, NOW + 4].map(|now| found.note.age(now)), [0, 0, 1]);
    assert_eq!(found.note.age(NOW.wrapping_sub(1 << 30)), 0);
}

/// The server, generation and state that a flow has in the tests of races: whatever else is found is another's.
fn of(n: u64) -> (u32, u16, State) {
    let states = [State::First, State::Established, State::Closing, State::Datagrams];
    (1 + n as u32 * 7919 % MAX_SERVERS, 1 + n as u16 * 257, states[n as usize % states.len()])
}

#[test]
fn whoever_writes_at_once_a_flow_is_never_found_with_anothers_server() {
    const FLOWS: usize = 48;
    const OPERATIONS: u64 = 400_000;
    let bucket = Bucket::default();
    let clock = AtomicU64::new(u64::from(NOW));
    let hits = AtomicU64::new(0);
    let work = |seed: u64| {
        let mut random = Random::new(seed);
        for _ in 0..OPERATIONS {
            let n = random.below(FLOWS) as u64;
            let (server, generation, state) = of(n);
            let now = clock.fetch_add(1, Ordering::Relaxed) as u32;
            match bucket.find(flow(n)) {
                Some(found) => {
                    hits.fetch_add(1, Ordering::Relaxed);
                    let note = found.note;
                    let seen = (found.server, note.generation(), note.state(), note.pinned());
                    assert_eq!(seen, (server, generation, state as u8, n % 2 == 1), "flow {n}");
                    match random.below(8) {
                        0 => bucket.forget(&found),
                        1..4 => {
                            bucket.touch(&found, None, now);
                        }
                        _ => (),
                    }
                }
                None => {
                    let entry = Entry { tag: flow(n), server, generation, state, pinned: n % 2 };
                    bucket.remember(&entry, now, &SPANS, n.is_multiple_of(3));
                }
            }
        }
    };
    thread::scope(|scope| {
        for seed in 1..=4 {
            scope.spawn(move || work(seed));
        }
    });
    assert!(hits.into_inner() > OPERATIONS / 10, "the flows meet");
    // Nothing is stuck: every way can be had by a newcomer.
    let now = clock.into_inner() as u32 + 1_000_000;
    for n in 0..WAYS as u64 {
        assert!(matches!(bucket.remember(&entry(flow(100 + n), 1), now, &SPANS, false), Remembered::In(_)));
    }
    assert!((0..WAYS as u64).all(|n| bucket.find(flow(100 + n)).is_some()));
}

#[test]
fn however_many_cpus_see_a_flow_it_stays() {
    const PACKETS: u32 = 200_000;
    let bucket = Bucket::default();
    for n in 0..WAYS as u64 {
        bucket.remember(&entry(flow(n), n as u32 + 1), NOW, &SPANS, false);
    }
    let is_over = AtomicBool::new(false);
    let touch = |seed: u64| {
        let mut random = Random::new(seed);
        for at in 0..PACKETS {
            let n = random.below(WAYS) as u64;
            let found = bucket.find(flow(n)).expect("nobody forgets it");
            assert_eq!(found.server, n as u32 + 1);
            let state = random.one(&[None, Some(State::Established), Some(State::Closing)]);
            bucket.touch(&found, state, NOW + at);
        }
        is_over.store(true, Ordering::Relaxed);
    };
    thread::scope(|scope| {
        scope.spawn(|| touch(1));
        scope.spawn(|| touch(2));
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                // A reader that scans sees every flow at every moment.
                assert_eq!(held(&bucket).len(), WAYS);
            }
        });
    });
}

#[test]
fn several_writers_of_one_flow_leave_it_found() {
    // Whoever loses is not remembered; whoever wins is found, and no stale copy hides it afterwards.
    let mut random = Random::new(7);
    for round in 0..3000 {
        let bucket = Bucket::default();
        let others = random.below(6) as u64;
        for n in 0..others {
            bucket.remember(&entry(flow(n + 1), 1), NOW, &SPANS, false);
        }
        let one = entry(flow(200), 3);
        thread::scope(|scope| {
            scope.spawn(|| bucket.remember(&one, NOW, &SPANS, false));
            bucket.remember(&one, NOW, &SPANS, false);
        });
        assert_eq!(bucket.find(flow(200)).map(|found| found.server), Some(3), "round {round}");
        while let Some(found) = bucket.find(flow(200)) {
            bucket.forget(&found);
        }
        bucket.remember(&one, NOW, &SPANS, false);
        assert_eq!(bucket.find(flow(200)).map(|found| found.server), Some(3), "round {round}, come back");
    }
}
