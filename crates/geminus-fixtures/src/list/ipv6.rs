//! The IPv6 header and what follows it.

use super::{WEB, frame6, shop6, syn};
use crate::fixture::{Expected, Fixture, drop, to};
use crate::frame::{SYN, Tcp, V6};
use crate::ground::{CLIENT6, MAIL6, SHOP6};

const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const DESTINATION: u8 = 60;

/// Eight bytes of options that mean nothing.
const PADN: [u8; 8] = [0, 0, 1, 4, 0, 0, 0, 0];
/// Sixteen.
const LONG: [u8; 16] = [0, 1, 1, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
/// A routing header of type 4 (segment routing) that is at its end.
const ROUTED: [u8; 8] = [0, 0, 4, 0, 0, 0, 0, 0];
/// One that is not.
const ROUTING_ON: [u8; 8] = [0, 0, 4, 1, 0, 0, 0, 0];
/// The farthest length a header can claim.
const ENDLESS: [u8; 8] = [0, 255, 1, 4, 0, 0, 0, 0];
const JUMBO: [u8; 8] = [0, 0, 0xc2, 4, 0, 1, 0, 0];

pub(super) fn list() -> Vec<Fixture> {
    let good = || to("ring", WEB);
    let with = |name: &str, headers: &[(u8, &[u8])], expected: Expected| {
        let ip = headers.iter().fold(shop6(), |ip, (kind, bytes)| ip.with(*kind, bytes));
        Fixture::new(format!("IPv6: {name}"), frame6(&ip.tcp(&syn())), expected)
    };
    let many = |count| vec![(DESTINATION, &PADN[..]); count];
    let fragment = |third: u8, fourth: u8| [0, 0, third, fourth, 0, 0, 0, 7];
    let mut list = vec![
        plain("a SYN goes by the ring", |_| (), good()),
        plain("traffic class and flow label are kept", |ip| ip.version_class_label = 0x6fff_ffff, good()),
        plain("hop limit 0 is dropped", |ip| ip.hop_limit = 0, drop("ttl-expired")),
        plain("hop limit 1 is dropped", |ip| ip.hop_limit = 1, drop("ttl-expired")),
        plain("hop limit 2 goes on", |ip| ip.hop_limit = 2, good()),
        plain("version 4 is dropped", |ip| ip.version_class_label = 0x4000_0000, drop("bad-header")),
        plain("version 0 is dropped", |ip| ip.version_class_label = 0, drop("bad-header")),
        plain("version 7 is dropped", |ip| ip.version_class_label = 0x7000_0000, drop("bad-header")),
        plain(
            "a payload length of 0 is dropped",
            |ip| ip.payload_length = Some(0),
            drop("truncated-transport"),
        ),
        plain(
            "a payload length that cuts the TCP header is dropped",
            |ip| ip.payload_length = Some(19),
            drop("truncated-transport"),
        ),
        plain(
            "a payload length past the end by one is dropped",
            |ip| ip.payload_length = Some(21),
            drop("bad-length"),
        ),
        plain(
            "a payload length of 65535 is dropped",
            |ip| ip.payload_length = Some(65_535),
            drop("bad-length"),
        ),
        with("hop-by-hop options are kept", &[(HOP_BY_HOP, &PADN)], good()),
        with("destination options are kept", &[(DESTINATION, &PADN)], good()),
        with("longer destination options are kept", &[(DESTINATION, &LONG)], good()),
        with("a routing header at its end is kept", &[(ROUTING, &ROUTED)], good()),
        with(
            "a routing header with segments left is dropped",
            &[(ROUTING, &ROUTING_ON)],
            drop("source-routed"),
        ),
        with("an atomic fragment is a whole packet", &[(FRAGMENT, &fragment(0, 0))], good()),
        with(
            "the reserved bits of an atomic fragment change nothing",
            &[(FRAGMENT, &fragment(0, 6))],
            good(),
        ),
        with("a first fragment is dropped", &[(FRAGMENT, &fragment(0, 1))], drop("fragment")),
        with("a middle fragment is dropped", &[(FRAGMENT, &fragment(1, 1))], drop("fragment")),
        with("a last fragment is dropped", &[(FRAGMENT, &fragment(0, 8))], drop("fragment")),
        with(
            "a fragment behind options is dropped",
            &[(HOP_BY_HOP, &PADN), (FRAGMENT, &fragment(1, 0))],
            drop("fragment"),
        ),
        with(
            "options, routing and atomic fragment together are kept",
            &[(HOP_BY_HOP, &PADN), (DESTINATION, &LONG), (ROUTING, &ROUTED), (FRAGMENT, &[0; 8])],
            good(),
        ),
        with("four extension headers are kept", &many(4), good()),
        with("five extension headers are dropped", &many(5), drop("too-many-extensions")),
        with("six extension headers are dropped", &many(6), drop("too-many-extensions")),
        with(
            "hop-by-hop options behind others are dropped",
            &[(DESTINATION, &PADN), (HOP_BY_HOP, &PADN)],
            drop("bad-extension"),
        ),
        with(
            "hop-by-hop options twice are dropped",
            &[(HOP_BY_HOP, &PADN), (HOP_BY_HOP, &PADN)],
            drop("bad-extension"),
        ),
        with(
            "an extension header past the end is dropped",
            &[(DESTINATION, &ENDLESS)],
            drop("bad-extension"),
        ),
        with("a jumbogram's option is nothing special", &[(HOP_BY_HOP, &JUMBO)], good()),
        Fixture::new("IPv6: a jumbogram is dropped", jumbogram(), drop("bad-extension")),
        Fixture::new(
            "IPv6: an extension header cut by the frame is dropped",
            cut_extension(2),
            drop("bad-extension"),
        ),
        Fixture::new(
            "IPv6: an extension header that is not there is dropped",
            cut_extension(0),
            drop("bad-extension"),
        ),
        Fixture::new(
            "IPv6: an extension header in the padding is dropped",
            extension_in_padding(),
            drop("bad-extension"),
        ),
        Fixture::new(
            "IPv6: padding behind the packet is kept",
            frame6(&[shop6().tcp(&syn()), vec![0xee; 6]].concat()),
            good(),
        ),
        from("a cluster address", SHOP6, drop("source-is-cluster")),
        from("another cluster's address", MAIL6, drop("source-is-cluster")),
        from("nobody", [0; 16], drop("martian")),
        from("the loopback", loopback(), drop("martian")),
        from("a group", first(0xff), drop("martian")),
        from("a link-local address", first(0xfe), good()),
        from("the neighbour of the loopback", [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2], good()),
    ];
    for (name, protocol) in [
        ("nothing", 59),
        ("ESP", 50),
        ("AH", 51),
        ("mobility", 135),
        ("IPv4", 4),
        ("ICMP", 1),
        ("SCTP", 132),
        ("protocol 255", 255),
    ] {
        let frame = frame6(&shop6().carry(protocol, &[0; 40]));
        list.push(Fixture::new(format!("{name} in IPv6 is dropped"), frame, drop("other-transport")));
    }
    list
}

fn plain(name: &str, change: fn(&mut V6), expected: Expected) -> Fixture {
    let mut ip = shop6();
    change(&mut ip);
    Fixture::new(format!("IPv6: {name}"), frame6(&ip.tcp(&syn())), expected)
}

fn from(name: &str, source: [u8; 16], expected: Expected) -> Fixture {
    let verdict = expected.reason;
    let frame = frame6(&V6::new(source, SHOP6).tcp(&Tcp::new(40_000, 80, SYN)));
    Fixture::new(format!("IPv6 from {name}: {verdict}"), frame, expected)
}

fn loopback() -> [u8; 16] {
    let mut loopback = [0; 16];
    loopback[15] = 1;
    loopback
}

fn first(byte: u8) -> [u8; 16] {
    let mut address = CLIENT6;
    address[0] = byte;
    address
}

/// RFC 2675: payload length 0, the real one in an option.
fn jumbogram() -> Vec<u8> {
    let ip = V6 { payload_length: Some(0), ..shop6() }.with(HOP_BY_HOP, &JUMBO);
    frame6(&ip.tcp(&syn()))
}

/// An extension header of which only the first bytes came, and the length says so.
fn cut_extension(bytes: u16) -> Vec<u8> {
    let ip = V6 { payload_length: Some(bytes), ..shop6() }.with(DESTINATION, &PADN);
    let mut frame = frame6(&ip.tcp(&syn()));
    frame.truncate(54 + usize::from(bytes));
    frame
}

fn extension_in_padding() -> Vec<u8> {
    let ip = V6 { payload_length: Some(4), ..shop6() }.with(DESTINATION, &PADN);
    frame6(&ip.tcp(&syn()))
}
