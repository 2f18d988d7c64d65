//! What is laid down of clients of a service.

use geminus_packet::tables::{Address, SourceKey};

use super::Family;
use crate::fixture::{Fixture, Laid, Step, drop, same, to};
use crate::frame::{ACK, SYN};
use crate::ground::{CLIENT4, CLIENT6};

pub(super) fn list() -> Vec<Fixture> {
    Family::BOTH.into_iter().flat_map(of).collect()
}

/// The client's address as the tables have it, with bit number `bit` turned, and so many bits of it.
fn clients(family: Family, bits: u8, bit: Option<u32>) -> ([u8; 16], u8) {
    let (address, before) = match family {
        Family::V4 => (Address::v4(CLIENT4), 96),
        Family::V6 => (Address::v6(CLIENT6), 0),
    };
    let turned = bit.map_or(0, |bit| 1 << (127 - before - bit));
    let kept = u128::MAX.checked_shl(128 - before - u32::from(bits)).unwrap_or(0);
    let address = (u128::from_be_bytes(SourceKey::bytes(address)) ^ turned) & kept;
    (address.to_be_bytes(), before as u8 + bits)
}

fn of(family: Family) -> Vec<Fixture> {
    let named = |name: &str| format!("{}: {name}", family.name());
    let whole = if family == Family::V4 { 32 } else { 128 };
    let lay = |port, bits, bit, laid| Step::LayDown { port, clients: clients(family, bits, bit), laid };
    let tcp = |port, flags| family.tcp(40_000, port, flags);
    let step = |port, flags| Step::Frame(family.tcp(40_000, port, flags));
    let web: &[&'static str] = super::WEB;
    vec![
        Fixture::new(named("a denied client gets no new flow"), tcp(80, SYN), drop("denied"))
            .after(vec![lay(80, whole, None, Laid::Deny)]),
        Fixture::new(named("a denied client's later segment is dropped"), tcp(80, ACK), drop("denied"))
            .after(vec![lay(80, whole, None, Laid::Deny)]),
        Fixture::new(named("a denied client's datagram is dropped"), family.udp(40_000, 53), drop("denied"))
            .after(vec![lay(53, whole, None, Laid::Deny)]),
        Fixture::new(named("a denied client's neighbour is served"), tcp(80, SYN), to("ring", web))
            .after(vec![lay(80, whole, Some(whole as u32 - 1), Laid::Deny)]),
        Fixture::new(named("a denied network's client is denied"), tcp(80, SYN), drop("denied"))
            .after(vec![lay(80, 20, None, Laid::Deny)]),
        Fixture::new(
            named("the client of a network beside a denied one is served"),
            tcp(80, SYN),
            to("ring", web),
        )
        .after(vec![lay(80, 20, Some(19), Laid::Deny)]),
        Fixture::new(named("nobody is served"), tcp(80, SYN), drop("denied")).after(vec![lay(
            80,
            0,
            None,
            Laid::Deny,
        )]),
        Fixture::new(named("a client of one service is denied by it alone"), tcp(80, SYN), to("ring", web))
            .after(vec![lay(80, whole, Some(3), Laid::Deny), lay(86, whole, None, Laid::Deny)]),
        Fixture::new(
            named("a client that is allowed in a denied network is served"),
            tcp(80, SYN),
            to("ring", web),
        )
        .after(vec![lay(80, 0, None, Laid::Deny), lay(80, 16, None, Laid::Allow)]),
        Fixture::new(
            named("a client that is denied in an allowed network is not"),
            tcp(80, SYN),
            drop("denied"),
        )
        .after(vec![
            lay(80, 0, None, Laid::Deny),
            lay(80, 16, None, Laid::Allow),
            lay(80, whole, None, Laid::Deny),
        ]),
        Fixture::new(
            named("a client has the pool that is laid down for it"),
            tcp(80, SYN),
            to("ring", &["busy"]),
        )
        .after(vec![lay(80, 24, None, Laid::Pool(86))]),
        Fixture::new(
            named("a client has the pool that is laid down for it though another is in force"),
            tcp(80, SYN),
            to("ring", &["busy"]),
        )
        .after(vec![
            lay(80, 24, None, Laid::Pool(86)),
            Step::Write(|tables| crate::entries::use_pool(tables, 80, 81)),
        ]),
        Fixture::new(named("an allowed client has the pool in force"), tcp(80, SYN), to("ring", &["far"]))
            .after(vec![
                lay(80, 24, None, Laid::Allow),
                Step::Write(|tables| crate::entries::use_pool(tables, 80, 81)),
            ]),
        Fixture::new(
            named("the pool that is laid down for a client may be the first entry of all"),
            tcp(86, SYN),
            to("ring", web),
        )
        .after(vec![lay(86, 24, None, Laid::Pool(80))]),
        Fixture::new(named("a flow stays when its client is denied"), tcp(80, ACK), same("established"))
            .after(vec![step(80, SYN), step(80, ACK), lay(80, whole, None, Laid::Deny)]),
        Fixture::new(
            named("a returning client keeps its server though another pool is laid down for it"),
            family.tcp(41_000, 1128, SYN),
            same("affinity"),
        )
        .after(vec![step(1128, SYN), step(1128, ACK), lay(1128, whole, None, Laid::Pool(86))]),
        Fixture::new(
            named("a returning client that is denied is not served"),
            family.tcp(41_000, 1128, SYN),
            drop("denied"),
        )
        .after(vec![step(1128, SYN), step(1128, ACK), lay(1128, whole, None, Laid::Deny)]),
    ]
}
