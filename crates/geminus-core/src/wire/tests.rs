//! Two channels and somebody between them.

use std::time::Duration;

use geminus_packet::twin::{BODY_AT, STAMP_AT, TAG_BYTES};
use proptest::prelude::*;

use super::*;
use crate::ha::{Beat, GroupReport, Heard, ReachScore, Role, Standing, SyncView};
use crate::key::{HaKey, HaKeys};

fn keys(own: u8, accepted: Option<u8>) -> HaKeys {
    HaKeys::new(HaKey::new([own; 32]), accepted.map(|key| HaKey::new([key; 32]))).expect("they differ")
}

fn pair() -> (Channel, Channel) {
    (Channel::new(&keys(1, None), "alpha", "beta", 11), Channel::new(&keys(1, None), "beta", "alpha", 22))
}

fn beat(sequence: u64) -> Beat {
    Beat {
        sequence,
        interval: Duration::from_millis(50),
        heard: vec![Heard { sequence: 7, ago: Duration::from_millis(13) }, Heard::default()],
        groups: vec![GroupReport {
            number: 2,
            role: Role::Primary,
            standing: Standing::Active,
            epoch: 9,
            lease: Duration::from_millis(4_990),
            leaving: true,
        }],
        reach: ReachScore { up: 1, total: 2, settled: true },
        fit: true,
        asks: false,
        sync: SyncView::Copying(43),
        digest: 0x0123_4567_89ab_cdef,
    }
}

/// Both have adopted each other.
fn acquainted() -> (Channel, Channel) {
    let (mut alpha, mut beta) = pair();
    for sequence in 1..=2 {
        let said = alpha.seal(0, &beat(sequence));
        beta.open(&said).expect("good");
        let said = beta.seal(0, &beat(sequence));
        alpha.open(&said).expect("good");
    }
    assert!(alpha.adopted().is_some() && beta.adopted().is_some());
    (alpha, beta)
}

#[test]
fn two_daemons_know_each_other_after_one_frame_each_way_and_one_back() {
    let (mut alpha, mut beta) = pair();
    let hello = alpha.seal(0, &beat(1));
    assert_eq!(beta.open(&hello), Ok(Opened::Hello));
    let said = beta.seal(0, &beat(1));
    assert!(matches!(alpha.open(&said), Ok(Opened::Beat { session: 22, .. })));
    let said = alpha.seal(1, &beat(2));
    assert_eq!(beta.open(&said), Ok(Opened::Beat { session: 11, beat: beat(2), stamp: 0 }));
}

#[test]
fn a_restarted_daemon_is_known_after_one_frame_each_way_and_one_back_by_whatever_path_works() {
    for paths in 1..=4 {
        let (_, mut beta) = acquainted();
        // One path of several works: only every so manyth frame arrives.
        let mut alpha = Channel::new(&keys(1, None), "alpha", "beta", 33);
        let arriving = |from: &mut Channel, to: &mut Channel| {
            let frames: Vec<_> = (0..paths).map(|path| from.seal(path, &beat(9))).collect();
            to.open(&frames[0])
        };
        assert_eq!(arriving(&mut alpha, &mut beta), Ok(Opened::Hello), "{paths} paths");
        assert!(
            matches!(arriving(&mut beta, &mut alpha), Ok(Opened::Beat { session: 22, .. })),
            "{paths} paths"
        );
        assert!(
            matches!(arriving(&mut alpha, &mut beta), Ok(Opened::Beat { session: 33, .. })),
            "{paths} paths"
        );
    }
}

#[test]
fn a_flood_of_recordings_delays_who_asks_and_does_not_keep_it_out() {
    let mut before = Channel::new(&keys(1, None), "alpha", "beta", 77);
    let recorded: Vec<_> = (1..=50).map(|sequence| before.seal(0, &beat(sequence))).collect();
    let (_, mut beta) = acquainted();
    let mut alpha = Channel::new(&keys(1, None), "alpha", "beta", 33);
    for said in &recorded {
        let _ = beta.open(&alpha.seal(0, &beat(1)));
        let _ = beta.open(said);
        let _ = alpha.open(&beta.seal(0, &beat(1)));
    }
    assert_eq!(beta.adopted().map(|(session, _)| session), Some(33));
}

#[test]
fn a_replayed_frame_is_never_accepted() {
    let (mut alpha, mut beta) = acquainted();
    let said: Vec<_> = (3..200).map(|sequence| alpha.seal(0, &beat(sequence))).collect();
    let mut order: Vec<_> = (0..said.len()).collect();
    order.chunks_mut(8).for_each(<[usize]>::reverse);
    for &at in &order {
        assert!(matches!(beta.open(&said[at]), Ok(Opened::Beat { .. })), "late by a few is no crime");
    }
    for frame in &said {
        assert_eq!(beta.open(frame), Err(Refused::Replayed));
    }
}

#[test]
fn a_recorded_boot_is_never_accepted() {
    let (mut alpha, mut beta) = pair();
    let mut recorded = Vec::new();
    for sequence in 1..50 {
        let said = alpha.seal(0, &beat(sequence));
        let _ = beta.open(&said);
        recorded.push(said);
        let said = beta.seal(0, &beat(sequence));
        let _ = alpha.open(&said);
    }
    // Beta starts anew, and hears yesterday's alpha all day long.
    let mut beta = Channel::new(&keys(1, None), "beta", "alpha", 33);
    for round in 0..20 {
        for said in &recorded {
            assert_eq!(beta.open(said), Ok(Opened::Hello));
        }
        beta.seal(0, &beat(round + 1));
    }
    assert_eq!(beta.adopted(), None);
    // Today's alpha starts anew too and is adopted in spite of it.
    let mut alpha = Channel::new(&keys(1, None), "alpha", "beta", 44);
    for sequence in 1..10 {
        let said = alpha.seal(0, &beat(sequence));
        let _ = beta.open(&said);
        let _ = beta.open(&recorded[sequence as usize]);
        let said = beta.seal(0, &beat(sequence));
        let _ = alpha.open(&said);
    }
    assert_eq!(beta.adopted().map(|(session, _)| session), Some(44));
    for said in &recorded {
        assert!(!matches!(beta.open(said), Ok(Opened::Beat { .. })));
    }
}

#[test]
fn a_session_that_is_over_does_not_come_back() {
    let (mut alpha, mut beta) = acquainted();
    let said = alpha.seal(0, &beat(3));
    let kept = alpha.seal(0, &beat(4));
    beta.open(&said).expect("good");
    let mut restarted = Channel::new(&keys(1, None), "alpha", "beta", 55);
    for sequence in 1..4 {
        let said = restarted.seal(0, &beat(sequence));
        let _ = beta.open(&said);
        let said = beta.seal(0, &beat(sequence));
        let _ = restarted.open(&said);
    }
    assert_eq!(beta.adopted().map(|(session, _)| session), Some(55));
    assert_eq!(beta.open(&kept), Err(Refused::Replayed));
}

#[test]
fn a_forged_frame_is_never_accepted() {
    let (mut alpha, mut beta) = acquainted();
    let good = alpha.seal(0, &beat(3));
    for at in (0..good.len()).filter(|at| !(STAMP_AT..BODY_AT).contains(at)) {
        for bit in 0..8 {
            let mut bad = good.clone();
            bad[at] ^= 1 << bit;
            assert!(beta.open(&bad).is_err(), "bit {bit} of byte {at}");
        }
    }
    for length in 0..good.len() {
        assert!(beta.open(&good[..length]).is_err());
    }
    let mut other = Channel::new(&keys(2, None), "alpha", "beta", 11);
    let said = other.seal(0, &beat(3));
    assert!(matches!(beta.open(&said), Err(Refused::OtherKey(_))));
    assert!(matches!(beta.open(&good), Ok(Opened::Beat { .. })), "and the good one still is");
}

#[test]
fn a_frame_of_our_own_or_of_a_namesake_is_named() {
    let (mut alpha, mut beta) = acquainted();
    let own = alpha.seal(0, &beat(3));
    assert_eq!(alpha.open(&own), Err(Refused::Reflected));
    // The keys are of the two names, so a namesake on the partner's path has another.
    let mut namesake = Channel::new(&keys(1, None), "beta", "beta", 77);
    let said = namesake.seal(0, &beat(1));
    assert_eq!(beta.open(&said), Err(Refused::Forged));
    let mut both = Channel::new(&keys(1, None), "beta", "alpha", 78);
    let said = both.seal(0, &beat(1));
    assert_eq!(beta.open(&said), Err(Refused::SameName));
}

#[test]
fn a_probe_is_answered_to_whoever_asked() {
    let (mut alpha, _) = pair();
    let probe = alpha.probe(1, 5);
    assert_eq!(alpha.open(&probe), Err(Refused::Malformed), "that is the program's business");
    let mut words = [0_u64; 4];
    words[0] = 2 | 4 << 8 | 9 << 16;
    words[1] = 4_000;
    let head = geminus_packet::twin::Head::from_bytes(&probe).expect("long enough");
    let first = geminus_packet::twin::First::new(geminus_packet::twin::Kind::Answer, 1, head.first.key());
    let key = keys(1, None).own().between("alpha", "beta").gate_key();
    let answered = |session: u64| {
        let gate = geminus_packet::twin::answer_gate(key, first, session, 5, words);
        let mut payload =
            geminus_packet::twin::Head { first, session, counter: 5, gate, stamp: 99 }.bytes().to_vec();
        words.iter().for_each(|word| payload.extend(word.to_le_bytes()));
        payload
    };
    let Ok(Opened::Answer { probe: 5, reports, stamp: 99 }) = alpha.open(&answered(11)) else {
        panic!("a good answer")
    };
    assert_eq!(reports.len(), 1);
    assert_eq!((reports[0].number, reports[0].standing, reports[0].epoch), (2, Standing::Active, 9));
    assert_eq!(alpha.open(&answered(12)), Err(Refused::Replayed), "another daemon asked that");
}

#[test]
fn keys_rotate_without_a_missed_beat() {
    let (mut alpha, mut beta) = acquainted();
    let mut sequence = 10;
    let mut talk = |alpha: &mut Channel, beta: &mut Channel| {
        for _ in 0..3 {
            sequence += 1;
            let said = alpha.seal(0, &beat(sequence));
            assert!(matches!(beta.open(&said), Ok(Opened::Beat { .. })));
            let said = beta.seal(0, &beat(sequence));
            assert!(matches!(alpha.open(&said), Ok(Opened::Beat { .. })));
        }
    };
    talk(&mut alpha, &mut beta);
    // The new key is accepted by one, then by both; spoken by one, then by both; the old one is given up by both.
    for (own, accepted) in [(1, Some(2)), (2, Some(1)), (2, None)] {
        alpha.set_keys(&keys(own, accepted));
        talk(&mut alpha, &mut beta);
        beta.set_keys(&keys(own, accepted));
        talk(&mut alpha, &mut beta);
    }
}

#[test]
fn an_unknown_field_is_ignored() {
    let mut bytes = Vec::new();
    body::write(&mut bytes, Proof { session: 1, counter: 2 }, "alpha", &beat(1));
    let plain = body::read(&bytes).expect("good");
    bytes[0] = 2;
    bytes.extend([200, 3, 0, 1, 2, 3]);
    assert_eq!(body::read(&bytes), Ok(plain), "of a newer version that may be read");
    bytes[1] = 2;
    assert_eq!(body::read(&bytes), Err(body::Unread::Version(2)), "of one that may not");
}

#[test]
fn the_longest_beat_there_can_be_fits_its_frame() {
    let (mut alpha, _) = pair();
    let mut long = beat(u64::MAX);
    long.heard = vec![Heard { sequence: u64::MAX, ago: Duration::from_secs(65) }; 16];
    long.groups = vec![long.groups[0]; 16];
    let mut named = Channel::new(&keys(1, None), &"a".repeat(crate::limits::NAME_BYTES), "beta", 5);
    assert!(named.seal(0, &long).len() <= geminus_packet::twin::LONGEST);
    assert!(alpha.seal(0, &long).len() > BODY_AT + TAG_BYTES);
}

proptest! {
    #[test]
    fn no_bytes_are_the_end_of_it(bytes in prop::collection::vec(any::<u8>(), 0..1100)) {
        let (_, mut beta) = acquainted();
        prop_assert!(beta.open(&bytes).is_err());
        let _ = body::read(&bytes);
    }

    #[test]
    fn a_garbled_frame_is_refused(at in 0usize..200, with in 1u8..) {
        let (mut alpha, mut beta) = acquainted();
        let mut said = alpha.seal(0, &beat(3));
        let at = at % said.len();
        if !(STAMP_AT..BODY_AT).contains(&at) {
            said[at] ^= with;
            prop_assert!(beta.open(&said).is_err());
        }
    }
}
