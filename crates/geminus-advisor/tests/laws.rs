//! What holds for every protocol, whatever a server says and in whatever pieces.
#![allow(missing_docs, unreachable_pub, dead_code, reason = "a test")]

mod transcripts;

use std::sync::LazyLock;

use geminus_core::model::{Advisor, Protocol};
use proptest::prelude::*;
use transcripts::{Played, play, streams};

/// Every transcript with its advisor.
static CASES: LazyLock<Vec<(Advisor, Vec<u8>)>> =
    LazyLock::new(|| transcripts::all().into_iter().map(|case| (case.advisor, case.server)).collect());

fn in_pieces(advisor: &Advisor, server: &[u8], sizes: &[usize]) -> Played {
    let mut sizes = sizes.iter().copied().cycle();
    let mut rest = server;
    let pieces = std::iter::from_fn(|| {
        let size = sizes.next().unwrap_or(1).min(rest.len());
        let (piece, behind) = rest.split_at(size);
        rest = behind;
        (!piece.is_empty()).then_some(piece)
    });
    play(advisor, Protocol::Tcp, pieces)
}

fn is_safe(played: &Played) -> bool {
    played.outcome.as_ref().err().is_none_or(|fault| {
        let words = &fault.words;
        (1..=200).contains(&words.len()) && words.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic())
    })
}

#[test]
fn every_transcript_ends_the_same_a_byte_at_a_time() {
    assert!(CASES.len() > 100);
    for (advisor, server) in CASES.iter() {
        let whole = play(advisor, Protocol::Tcp, [server.as_slice()]);
        assert_eq!(in_pieces(advisor, server, &[1]), whole, "{}", advisor.word());
    }
}

#[test]
fn every_transcript_that_ends_too_early_is_a_fault_or_good_already() {
    for (advisor, server) in CASES.iter() {
        let whole = play(advisor, Protocol::Tcp, [server.as_slice()]);
        for end in 0..server.len().min(400) {
            let played = play(advisor, Protocol::Tcp, [&server[..end]]);
            assert!(is_safe(&played), "{:?}", played.outcome);
            assert!(played.outcome.is_err() || whole.outcome.is_ok(), "{} at {end}", advisor.word());
        }
    }
}

fn a_transcript() -> impl Strategy<Value = (Advisor, Vec<u8>)> {
    (0..CASES.len()).prop_map(|at| CASES[at].clone())
}

/// A transcript in which some bytes are others, some are left out, and some are said again.
fn a_mutated_transcript() -> impl Strategy<Value = (Advisor, Vec<u8>)> {
    let changes = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..4_u8), 1..6);
    (a_transcript(), changes).prop_map(|((advisor, mut server), changes)| {
        for (at, byte, kind) in changes {
            if server.is_empty() {
                break;
            }
            let at = at.index(server.len());
            match kind {
                0 => server[at] = byte,
                1 => server.insert(at, byte),
                2 => drop(server.remove(at)),
                _ => server.extend_from_within(at..),
            }
        }
        (advisor, server)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn the_same_bytes_in_other_pieces_end_the_same(
        (advisor, server) in a_mutated_transcript(),
        sizes in prop::collection::vec(1..60_usize, 1..8),
    ) {
        let whole = play(&advisor, Protocol::Tcp, [server.as_slice()]);
        prop_assert_eq!(&in_pieces(&advisor, &server, &sizes), &whole);
        prop_assert!(is_safe(&whole), "{:?}", whole.outcome);
    }

    #[test]
    fn any_bytes_end_in_a_fault_or_a_good_one_and_are_told_safely(
        at in 0..13_usize,
        server in prop::collection::vec(any::<u8>(), 0..400),
        sizes in prop::collection::vec(1..60_usize, 1..8),
    ) {
        let advisor = &streams()[at];
        let whole = play(advisor, Protocol::Tcp, [server.as_slice()]);
        prop_assert_eq!(&in_pieces(advisor, &server, &sizes), &whole);
        prop_assert!(is_safe(&whole), "{:?}", whole.outcome);
    }

    #[test]
    fn any_datagram_is_told_safely(
        at in any::<prop::sample::Index>(),
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..5),
    ) {
        let messages = transcripts::messages();
        let mut message = messages[at.index(messages.len())].0.clone();
        for (at, byte) in flips {
            let at = at.index(message.len());
            message[at] = byte;
        }
        let played = play(&transcripts::dns(), Protocol::Udp, [message.as_slice()]);
        prop_assert!(is_safe(&played), "{:?}", played.outcome);
    }

    #[test]
    fn any_name_can_be_asked_for(name in "\\PC{0,300}") {
        let advisor = Advisor::Dns { name, record: geminus_core::model::DnsRecord::Soa };
        let played = play(&advisor, Protocol::Tcp, [&b"\x00\x0c\x12\x34\x81\x80\0\0\0\0\0\0\0\0"[..]]);
        prop_assert!(played.said.len() <= 2 + 12 + 255 + 4);
        prop_assert!(is_safe(&played), "{:?}", played.outcome);
    }

    #[test]
    fn any_certificate_is_read_or_told_safely(der in prop::collection::vec(any::<u8>(), 0..300), now: i64) {
        if let Err(fault) = geminus_advisor::expires_in(&der, now) {
            prop_assert!(fault.words.len() <= 200 && fault.words.is_ascii());
        }
    }
}
