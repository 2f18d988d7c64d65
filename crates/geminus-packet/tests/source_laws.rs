//! Laws of what is laid down of clients.

use geminus_fixtures::entries;
use geminus_fixtures::frame::{self, ACK, SYN, Tcp, V4, V6, ethernet};
use geminus_fixtures::ground::{self, CLIENT4, CLIENT6, NODE_MAC, ROUTER_MAC, SHOP4, SHOP6};
use geminus_fixtures::stage::{Home as _, HostHome, Stage};
use geminus_packet::tables::{Address, Service, Source, SourceKey, Ticks};

/// A stage whose port 80 looks its clients up.
fn stage() -> Stage<HostHome> {
    let sizes = ground::sizes(&ground::site(), 1, 1);
    let stage = Stage::new(HostHome::new(&sizes, Ticks(1 << 20)), &sizes);
    entries::select(stage.home.tables(), 80, Service::SOURCES);
    stage
}

fn lay_down(stage: &Stage<HostHome>, port: u16, address: [u8; 16], bits: u8, value: u64) {
    let service = entries::service(stage.home.tables(), port);
    let mut sources = stage.home.tables.sources.write().expect("nobody else writes");
    sources.insert(SourceKey { service, address, bits }, value);
}

fn v4(address: [u8; 4]) -> [u8; 16] {
    SourceKey::bytes(Address::v4(address))
}

fn segment4(from: [u8; 4], port: u16, flags: u8) -> Vec<u8> {
    let ip = V4::new(from, SHOP4);
    ethernet(NODE_MAC, ROUTER_MAC, frame::IPV4, &ip.tcp(&Tcp::new(40_000, port, flags)))
}

fn segment6(from: [u8; 16], port: u16, flags: u8) -> Vec<u8> {
    let ip = V6::new(from, SHOP6);
    ethernet(NODE_MAC, ROUTER_MAC, frame::IPV6, &ip.tcp(&Tcp::new(40_000, port, flags)))
}

/// The one reason that moved, and the server if there is one.
fn run(stage: &mut Stage<HostHome>, frame: &[u8]) -> (&'static str, Option<String>) {
    let seen = stage.run(frame);
    let [(reason, 1)] = seen.moved[..] else { panic!("{seen:?}") };
    (reason, seen.sent.first().map(|&(server, _)| stage.server(server).name.clone()))
}

#[test]
fn a_denied_client_is_not_served() {
    let mut stage = stage();
    lay_down(&stage, 80, v4(CLIENT4), 128, Source::DENY);
    lay_down(&stage, 80, CLIENT6, 128, Source::DENY);
    for flags in [SYN, ACK] {
        assert_eq!(run(&mut stage, &segment4(CLIENT4, 80, flags)), ("denied", None));
        assert_eq!(run(&mut stage, &segment6(CLIENT6, 80, flags)), ("denied", None));
    }
    let [a, b, c, d] = CLIENT4;
    assert_eq!(run(&mut stage, &segment4([a, b, c, d + 1], 80, SYN)).0, "ring");
    let mut neighbour = CLIENT6;
    neighbour[15] ^= 1;
    assert_eq!(run(&mut stage, &segment6(neighbour, 80, SYN)).0, "ring");
}

#[test]
fn what_is_laid_down_of_one_service_is_not_of_another() {
    let mut stage = stage();
    lay_down(&stage, 86, v4(CLIENT4), 128, Source::DENY);
    assert_eq!(run(&mut stage, &segment4(CLIENT4, 80, SYN)).0, "ring");
    // Nobody is looked up of a service that does not say so.
    assert_eq!(run(&mut stage, &segment4(CLIENT4, 86, SYN)).0, "ring");
    entries::select(stage.home.tables(), 86, Service::SOURCES);
    assert_eq!(run(&mut stage, &segment4([203, 0, 113, 10], 86, SYN)).0, "ring");
    assert_eq!(run(&mut stage, &segment4(CLIENT4, 86, ACK)).0, "promoted");
    lay_down(&stage, 86, v4([203, 0, 113, 11]), 128, Source::DENY);
    assert_eq!(run(&mut stage, &segment4([203, 0, 113, 11], 86, SYN)).0, "denied");
}

#[test]
fn a_flow_that_is_there_stays_when_its_client_is_denied() {
    let mut stage = stage();
    for flags in [SYN, ACK] {
        run(&mut stage, &segment4(CLIENT4, 80, flags));
    }
    lay_down(&stage, 80, v4(CLIENT4), 128, Source::DENY);
    assert_eq!(run(&mut stage, &segment4(CLIENT4, 80, ACK)).0, "established");
}

#[test]
fn the_longest_prefix_decides() {
    let mut stage = stage();
    lay_down(&stage, 80, [0; 16], 0, Source::DENY);
    lay_down(&stage, 80, v4([203, 0, 113, 0]), 96 + 24, Source::ALLOW);
    lay_down(&stage, 80, v4([203, 0, 113, 128]), 96 + 25, Source::DENY);
    lay_down(&stage, 80, v4([203, 0, 113, 200]), 128, Source::ALLOW);
    for (last, served) in [(0, true), (9, true), (127, true), (128, false), (199, false), (200, true)] {
        let (reason, _) = run(&mut stage, &segment4([203, 0, 113, last], 80, SYN));
        assert_eq!(reason == "ring", served, "{last}: {reason}");
    }
    assert_eq!(run(&mut stage, &segment4([203, 0, 112, 9], 80, SYN)).0, "denied");
    assert_eq!(run(&mut stage, &segment6(CLIENT6, 80, SYN)).0, "denied");
}

#[test]
fn a_client_goes_to_the_pool_that_is_laid_down_for_it_whichever_is_in_force() {
    let mut stage = stage();
    let busy = u64::from(entries::service(stage.home.tables(), 86));
    lay_down(&stage, 80, v4([203, 0, 113, 0]), 96 + 24, Source::POOL | busy);
    let first = u64::from(entries::service(stage.home.tables(), 80));
    lay_down(&stage, 80, v4([203, 0, 113, 77]), 128, Source::POOL | first);
    assert_eq!(run(&mut stage, &segment4(CLIENT4, 80, SYN)), ("ring", Some("busy".into())));
    assert_eq!(run(&mut stage, &segment4(CLIENT4, 80, ACK)), ("promoted", Some("busy".into())));
    assert_ne!(run(&mut stage, &segment4([203, 0, 112, 9], 80, SYN)).1, Some("busy".into()));
    entries::use_pool(stage.home.tables(), 80, 81);
    assert_eq!(run(&mut stage, &segment4([203, 0, 113, 1], 80, SYN)).1, Some("busy".into()));
    assert_ne!(run(&mut stage, &segment4([203, 0, 113, 77], 80, SYN)).1, Some("far".into()));
    assert_eq!(run(&mut stage, &segment4([203, 0, 112, 10], 80, SYN)).1, Some("far".into()));
}

#[test]
fn the_keys_of_the_kernels_trie_agree_with_prefixes_bit_by_bit() {
    let service = 0x0102_0304;
    let common = |one: [u8; SourceKey::DATA], two: [u8; SourceKey::DATA]| {
        let differs = one.iter().zip(two).position(|(one, two)| *one != two);
        differs.map_or(SourceKey::DATA as u32 * 8, |at| at as u32 * 8 + (one[at] ^ two[at]).leading_zeros())
    };
    for client in [Address::v4(CLIENT4), Address::v6(CLIENT6)] {
        let bytes = SourceKey::bytes(client);
        for bit in 0..128_u32 {
            let mut other = bytes;
            other[bit as usize / 8] ^= 0x80 >> (bit % 8);
            let length = common(SourceKey::data(service, bytes), SourceKey::data(service, other));
            assert_eq!(length, SourceKey::SERVICE_BITS + bit);
            for bits in 0..=128 {
                let key = SourceKey { service, address: other, bits };
                assert_eq!(
                    key.has(client),
                    SourceKey::SERVICE_BITS + u32::from(bits) <= length,
                    "{bits}, {bit}"
                );
            }
        }
        let other = common(SourceKey::data(service, bytes), SourceKey::data(service + 1, bytes));
        assert!(other < SourceKey::SERVICE_BITS);
    }
}
