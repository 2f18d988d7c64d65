//! Fixtures by rule: every length of a frame, every value of a byte.

use crate::fixture::{Expected, Fixture, answer, drop, pass, to};
use crate::frame::{ACK, SYN, Tcp, Udp, V4, V6, VLAN, ethernet, tagged};
use crate::ground::{CLIENT4, CLIENT6, NODE_MAC, ROUTER_MAC, SHOP4, SHOP6};

/// The longest frame that is cut.
const LONGEST: usize = 120;

/// Every frame of a few kinds, cut after every byte up to `LONGEST`; each is told by where its headers end.
pub fn cuts() -> Vec<Fixture> {
    let syn = Tcp { options: vec![1; 40], payload: vec![9; 60], ..Tcp::new(40_000, 80, SYN) };
    let datagram = Udp { payload: vec![9; 120], ..Udp::new(40_000, 53) };
    let v4 = V4::new(CLIENT4, SHOP4);
    let v6 = V6::new(CLIENT6, SHOP6);
    let optioned = V4 { options: vec![1; 40], ..v4.clone() };
    let extended = v6.clone().with(0, &[0, 0, 1, 4, 0, 0, 0, 0]).with(60, &[0; 8]);
    let frame4 = |packet: &[u8]| ethernet(NODE_MAC, ROUTER_MAC, 0x0800, packet);
    let frame6 = |packet: &[u8]| ethernet(NODE_MAC, ROUTER_MAC, 0x86dd, packet);
    let kinds = [
        ("IPv4 with TCP", frame4(&v4.tcp(&syn)), 34),
        ("IPv4 with UDP", frame4(&v4.udp(&datagram)), 34),
        ("IPv4 with options", frame4(&optioned.tcp(&syn)), 34),
        ("IPv4 echo", frame4(&v4.icmp(8, 0, &[7; 120])), 34),
        ("IPv4 in a VLAN", tagged(&frame4(&v4.tcp(&syn)), &[(VLAN, 7)]), 38),
        ("IPv6 with TCP", frame6(&v6.tcp(&syn)), 54),
        ("IPv6 with UDP", frame6(&v6.udp(&datagram)), 54),
        ("IPv6 with extension headers", frame6(&extended.tcp(&syn)), 54),
        ("IPv6 echo", frame6(&v6.icmp(128, 0, &[7; 120])), 54),
        ("IPv6 in two VLANs", tagged(&frame6(&v6.tcp(&syn)), &[(VLAN, 7), (VLAN, 8)]), 62),
    ];
    let mut cuts = Vec::new();
    for (kind, frame, headers_end) in kinds {
        assert!(frame.len() > LONGEST, "a cut frame is always too short for what its header says");
        for length in 0..=LONGEST {
            let expected = if length < headers_end { pass("too-short") } else { drop("bad-length") };
            cuts.push(Fixture::new(
                format!("{kind} cut after {length} bytes"),
                frame[..length].to_vec(),
                expected,
            ));
        }
    }
    cuts
}

/// A TCP segment whose packet is cut after every byte, while the header says so.
pub fn honest_cuts() -> Vec<Fixture> {
    let segment = Tcp { payload: vec![9; 30], ..Tcp::new(40_000, 80, SYN) };
    let web = || to("ring", &["web1", "web2", "web3"]);
    let expected = |transport: usize| match transport {
        0..20 => drop("truncated-transport"),
        _ => web(),
    };
    let mut cuts = Vec::new();
    for transport in 0..=50 {
        let v4 = V4 { total_length: Some(20 + transport as u16), ..V4::new(CLIENT4, SHOP4) };
        let v6 = V6 { payload_length: Some(transport as u16), ..V6::new(CLIENT6, SHOP6) };
        let frame4 = ethernet(NODE_MAC, ROUTER_MAC, 0x0800, &v4.tcp(&segment)[..20 + transport]);
        let frame6 = ethernet(NODE_MAC, ROUTER_MAC, 0x86dd, &v6.tcp(&segment)[..40 + transport]);
        cuts.push(Fixture::new(format!("IPv4 with {transport} bytes of TCP"), frame4, expected(transport)));
        cuts.push(Fixture::new(format!("IPv6 with {transport} bytes of TCP"), frame6, expected(transport)));
    }
    cuts
}

/// Every protocol number there is.
pub fn protocols() -> Vec<Fixture> {
    let mut protocols = Vec::new();
    for protocol in 0..=255 {
        // As TCP it is an ACK for port 80, as UDP a datagram for port 80 of length 80, as ICMP an echo reply.
        let mut payload = vec![0; 80];
        payload[..14].copy_from_slice(&[0, 0, 0, 80, 0, 80, 0, 0, 0, 0, 0, 0, 0x50, ACK]);
        let frame4 =
            ethernet(NODE_MAC, ROUTER_MAC, 0x0800, &V4::new(CLIENT4, SHOP4).carry(protocol, &payload));
        let frame6 =
            ethernet(NODE_MAC, ROUTER_MAC, 0x86dd, &V6::new(CLIENT6, SHOP6).carry(protocol, &payload));
        protocols.push(Fixture::new(format!("IPv4 protocol {protocol}"), frame4, protocol4(protocol)));
        protocols.push(Fixture::new(format!("IPv6 protocol {protocol}"), frame6, protocol6(protocol)));
    }
    protocols
}

fn protocol4(protocol: u8) -> Expected {
    match protocol {
        1 => drop("icmp-other"),
        6 => to("unknown", &["web1", "web2", "web3"]),
        17 => drop("unexposed"),
        _ => drop("other-transport"),
    }
}

fn protocol6(protocol: u8) -> Expected {
    match protocol {
        6 => to("unknown", &["web1", "web2", "web3"]),
        17 => drop("unexposed"),
        // Type 0 is an error: all below 128 are.
        58 => drop("icmp-error"),
        // Eight bytes, then protocol 0 once more: hop-by-hop options where they may not stand.
        0 | 60 => drop("bad-extension"),
        // An offset of 80.
        44 => drop("fragment"),
        // A routing header with 80 segments left.
        43 => drop("source-routed"),
        _ => drop("other-transport"),
    }
}

/// An echo of every length up to a few hundred bytes, and the answer it must get.
pub fn echoes() -> Vec<Fixture> {
    let mut echoes = Vec::new();
    for length in 0..300_usize {
        let rest: Vec<u8> = (0..4 + length).map(|at| (at * at + length * 7 + 1) as u8).collect();
        let v4 = V4::new(CLIENT4, SHOP4);
        let v6 = V6::new(CLIENT6, SHOP6);
        let back4 = V4 { ttl: 64, ..V4::new(SHOP4, CLIENT4) };
        let back6 = V6 { hop_limit: 64, ..V6::new(SHOP6, CLIENT6) };
        let frame = |ether_type, packet: Vec<u8>| ethernet(NODE_MAC, ROUTER_MAC, ether_type, &packet);
        let told = |ether_type, packet: Vec<u8>| ethernet(ROUTER_MAC, NODE_MAC, ether_type, &packet);
        let expected = answer("echo", told(0x0800, back4.icmp(0, 0, &rest)));
        echoes.push(Fixture::new(
            format!("IPv4 echo, {length}"),
            frame(0x0800, v4.icmp(8, 0, &rest)),
            expected,
        ));
        let expected = answer("echo6", told(0x86dd, back6.icmp(129, 0, &rest)));
        echoes.push(Fixture::new(
            format!("IPv6 echo, {length}"),
            frame(0x86dd, v6.icmp(128, 0, &rest)),
            expected,
        ));
    }
    echoes
}

/// Every one of them.
pub fn all() -> Vec<Fixture> {
    [cuts(), honest_cuts(), protocols(), echoes()].concat()
}
