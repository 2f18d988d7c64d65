//! What comes of messages that no partner sends.

use std::time::Duration;

use geminus_packet::flow::State;
use proptest::prelude::*;

use super::ground::{Pair, flow, shop};
use super::{ALPHA, BETA, Broken};
use crate::replication::wire::{Message, NO_COPY, VERSION, write_flows};
use crate::replication::{Kind, Record};

/// The messages with which alpha begins, up to its first flows.
fn beginnings() -> Vec<Vec<u8>> {
    let mut pair = Pair::new(&shop());
    (0..50).for_each(|n| drop(pair.establish(ALPHA, flow(n))));
    pair.connect();
    pair.until_complete();
    pair.said
}

#[test]
fn nothing_is_heard_before_the_partner_has_said_who_it_is() {
    for message in beginnings() {
        if matches!(Message::read(&message), Ok(Message::Hello(_))) {
            continue;
        }
        let mut pair = Pair::new(&shop());
        pair.connect();
        pair.hear(BETA, &message);
        assert_eq!(pair.broken, [Broken::Garbled { partner: "alpha".into() }]);
        assert!(pair.nodes[BETA].flows().is_empty());
    }
}

#[test]
fn another_version_is_refused_by_its_number() {
    let mut hello = beginnings().remove(0);
    assert!(matches!(Message::read(&hello), Ok(Message::Hello(_))));
    // Whatever a later version says after its number.
    hello.truncate(11);
    hello[9..11].copy_from_slice(&(VERSION + 1).to_le_bytes());
    let mut pair = Pair::new(&shop());
    pair.connect();
    pair.hear(BETA, &hello);
    assert_eq!(pair.broken, [Broken::Version { partner: "alpha".into(), theirs: VERSION + 1 }]);
}

#[test]
fn a_record_of_a_server_that_was_never_named_ends_the_session() {
    let mut pair = Pair::new(&shop());
    pair.connect();
    pair.hear(BETA, &beginnings()[0]);
    let record = Record {
        hash: 1,
        server: 77,
        state: State::Established,
        pinned: false,
        kind: Kind::Flow,
        first_hand: true,
        age: Duration::ZERO,
    };
    let mut message = Vec::new();
    write_flows(1, NO_COPY, std::iter::once(&record), &mut message);
    pair.hear(BETA, &message);
    assert_eq!(pair.broken, [Broken::Garbled { partner: "alpha".into() }]);
    assert!(pair.nodes[BETA].flows().is_empty());
}

/// A message as alpha sends it, with a few bytes changed, cut off or added.
fn garbled() -> impl Strategy<Value = Vec<u8>> {
    let changes = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8);
    let real = (prop::sample::select(beginnings()), changes, prop::option::of(any::<prop::sample::Index>()));
    let real = real.prop_map(|(mut message, changes, cut)| {
        for (at, byte) in changes {
            let at = at.index(message.len());
            message[at] = byte;
        }
        if let Some(cut) = cut {
            message.truncate(cut.index(message.len() + 1));
        }
        message
    });
    let noise = (0_u8..12, prop::collection::vec(any::<u8>(), 0..200))
        .prop_map(|(kind, body)| std::iter::once(kind).chain(body).collect());
    prop_oneof![real, noise]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_garbled_message_ends_the_session_and_nothing_else(
        first in any::<bool>(),
        messages in prop::collection::vec(garbled(), 1..12),
    ) {
        let mut pair = if first { Pair::new(&shop()) } else { Pair::complete(&shop()) };
        pair.nodes[BETA].set_active(1, false);
        if first {
            pair.connect();
        }
        for message in &messages {
            pair.hear(BETA, message);
        }
        prop_assert!(pair.broken.iter().all(|broken| broken.to_string().contains("alpha")
            || broken.to_string().contains("has another")));
        // Whatever it was: both go on, and meet again.
        pair.disconnect();
        pair.connect();
        pair.until_complete();
        let server = pair.establish(ALPHA, flow(9));
        pair.steps(3);
        prop_assert_eq!(pair.remembers(BETA, flow(9)).expect("known").0, format!("{server}:80"));
    }
}
