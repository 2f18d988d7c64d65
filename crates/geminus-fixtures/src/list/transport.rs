//! TCP and UDP headers.

use super::{Family, WEB, syn};
use crate::fixture::{Fixture, drop, to};
use crate::frame::{ACK, FIN, RST, SYN, TCP, Tcp, UDP, Udp};

const DNS: &[&str] = &["dns1", "dns2"];

pub(super) fn list() -> Vec<Fixture> {
    Family::BOTH.into_iter().flat_map(|family| [tcp(family), udp(family)].concat()).collect()
}

fn tcp(family: Family) -> Vec<Fixture> {
    let named = |name: &str| format!("{}: {name}", family.name());
    let mut list = vec![
        Fixture::new(
            named("TCP without a byte is dropped"),
            family.carry(TCP, &[]),
            drop("truncated-transport"),
        ),
        Fixture::new(
            named("TCP of 19 bytes is dropped"),
            family.carry(TCP, &[0; 19]),
            drop("truncated-transport"),
        ),
        Fixture::new(
            named("a TCP header that goes on in the padding is dropped"),
            [family.carry(TCP, &[0x50; 12]), vec![0x50; 40]].concat(),
            drop("truncated-transport"),
        ),
        Fixture::new(
            named("TCP with all options there can be goes on"),
            family.segment(&Tcp { options: vec![1; 40], ..syn() }),
            to("ring", WEB),
        ),
        Fixture::new(
            named("TCP with payload goes on"),
            family.segment(&Tcp { payload: b"GET / HTTP/1.1".to_vec(), ..Tcp::new(40_000, 80, ACK | 8) }),
            to("unknown", WEB),
        ),
        Fixture::new(
            named("a SYN with data goes by the ring"),
            family.segment(&Tcp { payload: b"fast open".to_vec(), ..syn() }),
            to("ring", WEB),
        ),
    ];
    for words in 0..16 {
        let expected = if words == 5 { to("ring", WEB) } else { drop("bad-transport") };
        list.push(Fixture::new(
            named(&format!("a TCP header of {words} words where there are 5 gets its verdict")),
            family.segment(&Tcp { data_offset: Some(words), ..syn() }),
            expected,
        ));
    }
    let flags = [
        ("no flag at all is a later segment", 0, "unknown"),
        ("ACK is a later segment", ACK, "unknown"),
        ("SYN and ACK is a later segment", SYN | ACK, "unknown"),
        ("FIN alone is a later segment", FIN, "unknown"),
        ("FIN and ACK is a later segment", FIN | ACK, "unknown"),
        ("RST is a later segment", RST, "unknown"),
        ("RST and ACK is a later segment", RST | ACK, "unknown"),
        ("SYN and RST is no beginning", SYN | RST, "unknown"),
        ("PSH and URG is a later segment", 0x28, "unknown"),
        ("every flag is no beginning", 0xff, "unknown"),
        ("SYN begins a flow", SYN, "ring"),
        ("SYN and FIN begins a flow", SYN | FIN, "ring"),
        ("SYN with congestion bits begins a flow", SYN | 0xc0, "ring"),
        ("SYN and URG begins a flow", SYN | 0x20, "ring"),
    ];
    list.extend(
        flags.map(|(name, flags, path)| {
            Fixture::new(named(name), family.tcp(40_000, 80, flags), to(path, WEB))
        }),
    );
    list
}

fn udp(family: Family) -> Vec<Fixture> {
    let named = |name: &str| format!("{}: {name}", family.name());
    let long = |length| family.datagram(&Udp { length: Some(length), ..Udp::new(40_000, 53) });
    vec![
        Fixture::new(named("a datagram goes by the ring"), family.udp(40_000, 53), to("ring", DNS)),
        Fixture::new(
            named("UDP without a byte is dropped"),
            family.carry(UDP, &[]),
            drop("truncated-transport"),
        ),
        Fixture::new(
            named("UDP of 7 bytes is dropped"),
            family.carry(UDP, &[0; 7]),
            drop("truncated-transport"),
        ),
        Fixture::new(
            named("a UDP header that goes on in the padding is dropped"),
            [family.carry(UDP, &[0; 4]), vec![0; 40]].concat(),
            drop("truncated-transport"),
        ),
        Fixture::new(named("a UDP length of 0 is dropped"), long(0), drop("bad-transport")),
        Fixture::new(named("a UDP length of 7 is dropped"), long(7), drop("bad-transport")),
        Fixture::new(named("a UDP length of 8 goes on"), long(8), to("ring", DNS)),
        Fixture::new(named("a UDP length past the end by one is dropped"), long(14), drop("bad-transport")),
        Fixture::new(named("a UDP length of 65535 is dropped"), long(65_535), drop("bad-transport")),
        Fixture::new(
            named("a datagram without payload goes on"),
            family.datagram(&Udp { payload: vec![], ..Udp::new(40_000, 53) }),
            to("ring", DNS),
        ),
    ]
}
