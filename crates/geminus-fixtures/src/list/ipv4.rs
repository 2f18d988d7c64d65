//! The IPv4 header.

use super::{WEB, frame4, shop4, syn};
use crate::fixture::{Expected, Fixture, drop, pass, to};
use crate::frame::{IPV4, Tcp, V4, ethernet};
use crate::ground::{MAIL4, NODE_MAC, ROUTER_MAC, SHOP4};

pub(super) fn list() -> Vec<Fixture> {
    let good = || to("ring", WEB);
    let mut list = vec![
        plain("a SYN goes by the ring", |_| (), good()),
        plain("a packet that may be fragmented goes on", |ip| ip.fragment = 0, good()),
        plain("the reserved fragment bit changes nothing", |ip| ip.fragment = 0xc000, good()),
        plain("the type of service is kept", |ip| ip.tos = 0xff, good()),
        plain("TTL 0 is dropped", |ip| ip.ttl = 0, drop("ttl-expired")),
        plain("TTL 1 is dropped", |ip| ip.ttl = 1, drop("ttl-expired")),
        plain("TTL 2 goes on", |ip| ip.ttl = 2, good()),
        plain("TTL 255 goes on", |ip| ip.ttl = 255, good()),
        plain("a first fragment is dropped", |ip| ip.fragment = 0x2000, drop("fragment")),
        plain("a middle fragment is dropped", |ip| ip.fragment = 0x2010, drop("fragment")),
        plain("a last fragment is dropped", |ip| ip.fragment = 0x0010, drop("fragment")),
        plain("a fragment at the farthest offset is dropped", |ip| ip.fragment = 0x1fff, drop("fragment")),
        plain(
            "a fragment that must not be fragmented is dropped",
            |ip| ip.fragment = 0x6000,
            drop("fragment"),
        ),
        plain("a total length of 0 is dropped", |ip| ip.total_length = Some(0), drop("bad-length")),
        plain(
            "a total length within the header is dropped",
            |ip| ip.total_length = Some(19),
            drop("bad-length"),
        ),
        plain(
            "a total length of the header alone is dropped",
            |ip| ip.total_length = Some(20),
            drop("truncated-transport"),
        ),
        plain(
            "a total length that cuts the TCP header is dropped",
            |ip| ip.total_length = Some(39),
            drop("truncated-transport"),
        ),
        plain(
            "a total length past the end by one is dropped",
            |ip| ip.total_length = Some(41),
            drop("bad-length"),
        ),
        plain("a total length of 65535 is dropped", |ip| ip.total_length = Some(65_535), drop("bad-length")),
        plain("a router alert is kept", |ip| ip.options = vec![0x94, 4, 0, 0], good()),
        plain("padding options are kept", |ip| ip.options = vec![1; 8], good()),
        plain(
            "nonsense in the options is nobody's business here",
            |ip| ip.options = vec![7, 255, 0, 0],
            good(),
        ),
        Fixture::new(
            "padding behind the packet is kept",
            frame4(&[shop4().tcp(&syn()), vec![0xee; 6]].concat()),
            good(),
        ),
        Fixture::new("a wrong header checksum is the receiver's to find", wrong_checksum(), good()),
        Fixture::new("IPv6 in an IPv4 frame is dropped", versioned(0x65), drop("bad-header")),
        Fixture::new("IP version 0 is dropped", versioned(0x05), drop("bad-header")),
        Fixture::new("IP version 15 is dropped", versioned(0xf5), drop("bad-header")),
        from("a cluster address", SHOP4, drop("source-is-cluster")),
        from("another cluster's address", MAIL4, drop("source-is-cluster")),
        from("this network", [0, 0, 0, 0], drop("martian")),
        from("a host of this network", [0, 1, 2, 3], drop("martian")),
        from("the loopback", [127, 0, 0, 1], drop("martian")),
        from("a group", [224, 0, 0, 1], drop("martian")),
        from("a reserved address", [240, 0, 0, 1], drop("martian")),
        from("everybody", [255, 255, 255, 255], drop("martian")),
        from("the neighbour of a martian", [223, 255, 255, 255], good()),
        from("the neighbour of the loopback", [128, 0, 0, 1], good()),
        from("a private address", [10, 0, 0, 1], good()),
        Fixture::new("a packet to the node itself is passed", to_node(), pass("not-cluster")),
    ];
    for words in 0..16_u8 {
        let said = format!("a header length of {words} words");
        let expected = match words {
            0..=4 => drop("bad-header"),
            5 => good(),
            // The TCP header is in the way and no longer whole.
            6..=10 => drop("truncated-transport"),
            _ => drop("bad-length"),
        };
        list.push(Fixture::new(
            format!("{said} where there are 5 gets its verdict"),
            versioned(0x40 | words),
            expected,
        ));
        if words > 5 {
            let ip = V4 { options: vec![1; usize::from(words - 5) * 4], ..shop4() };
            list.push(Fixture::new(
                format!("{said} with as many options goes on"),
                frame4(&ip.tcp(&syn())),
                good(),
            ));
        }
    }
    for (name, protocol) in [
        ("IGMP", 2),
        ("IP in IP", 4),
        ("GRE", 47),
        ("ESP", 50),
        ("AH", 51),
        ("SCTP", 132),
        ("ICMPv6", 58),
        ("protocol 0", 0),
        ("protocol 255", 255),
    ] {
        let frame = frame4(&shop4().carry(protocol, &[0; 40]));
        list.push(Fixture::new(format!("{name} in IPv4 is dropped"), frame, drop("other-transport")));
    }
    list
}

fn plain(name: &str, change: fn(&mut V4), expected: Expected) -> Fixture {
    let mut ip = shop4();
    change(&mut ip);
    Fixture::new(format!("IPv4: {name}"), frame4(&ip.tcp(&syn())), expected)
}

fn from(name: &str, source: [u8; 4], expected: Expected) -> Fixture {
    let verdict = expected.reason;
    let frame = frame4(&V4::new(source, SHOP4).tcp(&Tcp::new(40_000, 80, crate::frame::SYN)));
    Fixture::new(format!("IPv4 from {name}: {verdict}"), frame, expected)
}

fn versioned(version_ihl: u8) -> Vec<u8> {
    frame4(&V4 { version_ihl: Some(version_ihl), ..shop4() }.tcp(&syn()))
}

fn wrong_checksum() -> Vec<u8> {
    let mut frame = frame4(&shop4().tcp(&syn()));
    frame[24] ^= 0x10;
    frame
}

fn to_node() -> Vec<u8> {
    ethernet(NODE_MAC, ROUTER_MAC, IPV4, &V4::new([203, 0, 113, 9], [198, 51, 100, 11]).tcp(&syn()))
}
