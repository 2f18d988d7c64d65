//! Echo and the rest of ICMP.

use super::{frame4, frame6, shop4, shop6};
use crate::fixture::{Fixture, Step, answer, drop, pass};
use crate::frame::{ICMP, ICMPV6, IPV4, IPV6, V4, V6, VLAN, ethernet, tagged};
use crate::ground::{CLIENT4, CLIENT6, MAIL4, MAIL6, NODE_MAC, ROUTER_MAC, SHOP4, SHOP6};

/// Identifier and sequence number of an echo.
const PING: [u8; 4] = [0x4d, 0x31, 0, 1];

pub(super) fn list() -> Vec<Fixture> {
    let mut list = Vec::new();
    for length in [0, 1, 2, 7, 56, 1399, 1400] {
        let data: Vec<u8> = (0..length).map(|at: u32| (at * 37 + 11) as u8).collect();
        list.push(answered4(format!("an IPv4 echo of {length} bytes is answered"), &shop4(), &data));
        list.push(answered6(format!("an IPv6 echo of {length} bytes is answered"), &shop6(), &data));
    }
    let record_route = [&[7, 39, 4][..], &[0; 37]].concat();
    list.extend([
        answered4("an echo with options keeps them", &V4 { options: vec![0x94, 4, 0, 0], ..shop4() }, b"x"),
        answered4(
            "an echo with all options there can be keeps them",
            &V4 { options: record_route, ..shop4() },
            b"xyz",
        ),
        answered4("an echo keeps its type of service", &V4 { tos: 0xb8, ..shop4() }, b"x"),
        answered4("an echo that may be fragmented is answered", &V4 { fragment: 0, ..shop4() }, b"x"),
        answered4("an IPv4 echo at the end of its life is answered", &V4 { ttl: 1, ..shop4() }, b"x"),
        answered4("an IPv4 echo with a life of 255 is answered", &V4 { ttl: 255, ..shop4() }, b"x"),
        answered6("an IPv6 echo at the end of its life is answered", &V6 { hop_limit: 1, ..shop6() }, b"x"),
        answered6(
            "an IPv6 echo keeps class and label",
            &V6 { version_class_label: 0x6b81_2345, ..shop6() },
            b"x",
        ),
        answered6(
            "an echo behind destination options keeps them",
            &shop6().with(60, &[0, 0, 1, 4, 0, 0, 0, 0]),
            b"odd",
        ),
        answered6("an echo in an atomic fragment is answered in one", &shop6().with(44, &[0; 8]), b"odd"),
        zeros(),
        in_vlan(),
        padded(),
        Fixture::new(
            "an IPv4 echo is refused where the cluster says so",
            echo4(&V4::new(CLIENT4, MAIL4)),
            drop("echo-refused"),
        ),
        Fixture::new(
            "an IPv6 echo is refused where the cluster says so",
            echo6(&V6::new(CLIENT6, MAIL6)),
            drop("echo-refused"),
        ),
        Fixture::new(
            "an IPv4 echo in the cluster's own name is dropped",
            echo4(&V4::new(SHOP4, SHOP4)),
            drop("source-is-cluster"),
        ),
        Fixture::new(
            "an IPv6 echo in another cluster's name is dropped",
            echo6(&V6::new(MAIL6, SHOP6)),
            drop("source-is-cluster"),
        ),
        Fixture::new(
            "an IPv4 echo from everybody is dropped",
            echo4(&V4::new([255; 4], SHOP4)),
            drop("martian"),
        ),
        Fixture::new(
            "an IPv6 echo from a group is dropped",
            echo6(&V6::new(group(), SHOP6)),
            drop("martian"),
        ),
        Fixture::new("an echo while not active is passed", echo4(&shop4()), pass("not-active"))
            .after(vec![Step::Yield]),
        Fixture::new(
            "a fragmented echo is dropped",
            echo4(&V4 { fragment: 0x2000, ..shop4() }),
            drop("fragment"),
        ),
        Fixture::new(
            "an IPv4 echo without its sequence number is dropped",
            frame4(&shop4().carry(ICMP, &[8, 0, 0, 0, 1, 2, 3])),
            drop("truncated-transport"),
        ),
        Fixture::new(
            "an IPv6 echo without its sequence number is dropped",
            frame6(&shop6().carry(ICMPV6, &[128, 0, 0, 0, 1, 2, 3])),
            drop("truncated-transport"),
        ),
        Fixture::new(
            "an IPv4 echo whose sequence number is padding is dropped",
            frame4(&[shop4().carry(ICMP, &[8, 0, 0, 0, 1, 2]), vec![0; 30]].concat()),
            drop("truncated-transport"),
        ),
        Fixture::new(
            "an IPv6 echo whose sequence number is padding is dropped",
            frame6(&[shop6().carry(ICMPV6, &[128, 0, 0, 0, 1, 2]), vec![0; 30]].concat()),
            drop("truncated-transport"),
        ),
        Fixture::new(
            "ICMP without a byte is dropped",
            frame4(&shop4().carry(ICMP, &[])),
            drop("truncated-transport"),
        ),
        Fixture::new(
            "ICMPv6 without a byte is dropped",
            frame6(&shop6().carry(ICMPV6, &[])),
            drop("truncated-transport"),
        ),
    ]);
    for (kind, reason) in [
        (3, "icmp-error"),
        (4, "icmp-error"),
        (11, "icmp-error"),
        (12, "icmp-error"),
        (0, "icmp-other"),
        (5, "icmp-other"),
        (13, "icmp-other"),
        (17, "icmp-other"),
    ] {
        let quoted = V4::new(SHOP4, CLIENT4).carry(6, &[0, 80, 0x9c, 0x40, 0, 0, 0, 1]);
        let frame = frame4(&shop4().icmp(kind, 1, &[&[0; 4][..], &quoted].concat()));
        list.push(Fixture::new(format!("ICMP of type {kind} is dropped"), frame, drop(reason)));
    }
    for (kind, reason) in [
        (1, "icmp-error"),
        (2, "icmp-error"),
        (3, "icmp-error"),
        (4, "icmp-error"),
        (127, "icmp-error"),
        (129, "icmp-other"),
        (133, "icmp-other"),
        (137, "icmp-other"),
        (255, "icmp-other"),
    ] {
        let quoted = V6::new(SHOP6, CLIENT6).carry(6, &[0, 80, 0x9c, 0x40, 0, 0, 0, 1]);
        let frame = frame6(&shop6().icmp(kind, 0, &[&[0; 4][..], &quoted].concat()));
        list.push(Fixture::new(format!("ICMPv6 of type {kind} is dropped"), frame, drop(reason)));
    }
    list
}

fn group() -> [u8; 16] {
    let mut group = CLIENT6;
    group[0] = 0xff;
    group
}

fn echo4(ip: &V4) -> Vec<u8> {
    frame4(&ip.icmp(8, 0, &PING))
}

fn echo6(ip: &V6) -> Vec<u8> {
    frame6(&ip.icmp(128, 0, &PING))
}

/// A request and the answer that it must get: from the one asked to the one who asks, with a life of its own.
fn exchange4(ip: &V4, rest: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let back = V4 { source: ip.destination, destination: ip.source, ttl: 64, ..ip.clone() };
    (frame4(&ip.icmp(8, 0, rest)), ethernet(ROUTER_MAC, NODE_MAC, IPV4, &back.icmp(0, 0, rest)))
}

fn exchange6(ip: &V6, rest: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let back = V6 { source: ip.destination, destination: ip.source, hop_limit: 64, ..ip.clone() };
    (frame6(&ip.icmp(128, 0, rest)), ethernet(ROUTER_MAC, NODE_MAC, IPV6, &back.icmp(129, 0, rest)))
}

fn answered4(name: impl Into<String>, ip: &V4, data: &[u8]) -> Fixture {
    let (asked, told) = exchange4(ip, &[&PING, data].concat());
    Fixture::new(name, asked, answer("echo", told))
}

fn answered6(name: impl Into<String>, ip: &V6, data: &[u8]) -> Fixture {
    let (asked, told) = exchange6(ip, &[&PING, data].concat());
    Fixture::new(name, asked, answer("echo6", told))
}

/// The answer is zeros but for its checksum, which an incremental update gets wrong.
fn zeros() -> Fixture {
    let (asked, told) = exchange4(&shop4(), &[0; 12]);
    Fixture::new("an echo of zeros only is answered with a right checksum", asked, answer("echo", told))
}

fn in_vlan() -> Fixture {
    let (asked, told) = exchange4(&shop4(), &PING);
    let tag = |frame: &[u8]| tagged(frame, &[(VLAN, 7)]);
    Fixture::new("an echo in a VLAN is answered in it", tag(&asked), answer("echo", tag(&told)))
}

fn padded() -> Fixture {
    let (asked, told) = exchange4(&shop4(), &PING);
    let pad = |frame: Vec<u8>| [frame, vec![0x55; 18]].concat();
    Fixture::new("padding of an echo is sent back and not summed", pad(asked), answer("echo", pad(told)))
}
