//! Ethernet and VLAN tags.

use super::{Family, WEB, frame4, in_frame, shop4, syn};
use crate::fixture::{Fixture, drop, pass, to};
use crate::frame::{IPV4, IPV6, SERVICE_VLAN, SYN, Tcp, Udp, V4, V6, VLAN, ethernet, tagged};
use crate::ground::{CLIENT4, CLIENT6, ROUTER_MAC, SHOP6, STRANGER_MAC};

pub(super) fn list() -> Vec<Fixture> {
    let plain = frame4(&shop4().tcp(&syn()));
    let plain6 = Family::V6.tcp(40_000, 80, SYN);
    let to_mac = |mac: [u8; 6]| ethernet(mac, ROUTER_MAC, IPV4, &shop4().tcp(&syn()));
    let tags = |frame: &[u8], tags: &[(u16, u16)]| tagged(frame, tags);
    let mut list = vec![
        Fixture::new("no frame at all is passed", vec![], pass("too-short")),
        Fixture::new("a frame of 13 bytes is passed", plain[..13].to_vec(), pass("too-short")),
        Fixture::new("an Ethernet header alone is passed", plain[..14].to_vec(), pass("too-short")),
        Fixture::new("IPv4 for another address is passed", to_other4(), pass("not-cluster")),
        Fixture::new("IPv6 for another address is passed", to_other6(), pass("not-cluster")),
        Fixture::new("IPv4 multicast is passed", multicast4(), pass("not-cluster")),
        Fixture::new("IPv6 multicast is passed", multicast6(), pass("not-cluster")),
        Fixture::new("a frame to another machine is passed", to_mac(STRANGER_MAC), pass("other-host")),
        Fixture::new("IPv6 to another machine is passed", v6_to(STRANGER_MAC), pass("other-host")),
        Fixture::new("a frame to everybody is dropped", to_mac([0xff; 6]), drop("group-mac")),
        Fixture::new("a frame to an IPv4 group is dropped", to_mac([1, 0, 0x5e, 0, 0, 1]), drop("group-mac")),
        Fixture::new(
            "a frame to an IPv6 group is dropped",
            v6_to([0x33, 0x33, 0, 0, 0, 1]),
            drop("group-mac"),
        ),
        Fixture::new("one VLAN tag is kept", tags(&plain, &[(VLAN, 7)]), to("ring", WEB)),
        Fixture::new("one VLAN tag on IPv6 is kept", tags(&plain6, &[(VLAN, 7)]), to("ring", WEB)),
        Fixture::new("a priority tag is kept", tags(&plain, &[(VLAN, 0x6000)]), to("ring", WEB)),
        Fixture::new("one service tag is kept", tags(&plain, &[(SERVICE_VLAN, 7)]), to("ring", WEB)),
        Fixture::new(
            "service and customer tag are kept",
            tags(&plain, &[(SERVICE_VLAN, 7), (VLAN, 8)]),
            to("ring", WEB),
        ),
        Fixture::new(
            "two customer tags on IPv6 are kept",
            tags(&plain6, &[(VLAN, 7), (VLAN, 8)]),
            to("ring", WEB),
        ),
        Fixture::new(
            "three VLAN tags are passed",
            tags(&plain, &[(SERVICE_VLAN, 7), (VLAN, 8), (VLAN, 9)]),
            pass("other-protocol"),
        ),
        Fixture::new(
            "a cut VLAN tag is passed",
            tags(&plain, &[(VLAN, 7)])[..17].to_vec(),
            pass("too-short"),
        ),
        Fixture::new(
            "a VLAN tag and nothing behind it is passed",
            tags(&plain, &[(VLAN, 7)])[..18].to_vec(),
            pass("too-short"),
        ),
        Fixture::new(
            "a second VLAN tag that is cut is passed",
            tags(&plain, &[(VLAN, 7), (VLAN, 8)])[..21].to_vec(),
            pass("too-short"),
        ),
        Fixture::new(
            "a large frame goes on whole",
            frame4(&shop4().tcp(&Tcp { payload: vec![7; 1460], ..syn() })),
            to("ring", WEB),
        ),
    ];
    let others = [
        ("LLDP", 0x88cc),
        ("MPLS", 0x8847),
        ("PPPoE", 0x8864),
        ("a length instead of a type", 0x0026),
        ("IPX", 0x8137),
    ];
    list.extend(others.map(|(name, ether_type)| {
        let frame = in_frame(ether_type, &shop4().tcp(&syn()));
        Fixture::new(format!("{name} is passed"), frame, pass("other-protocol"))
    }));
    list
}

fn to_other4() -> Vec<u8> {
    frame4(&V4::new(CLIENT4, [198, 51, 100, 83]).tcp(&syn()))
}

fn to_other6() -> Vec<u8> {
    let mut other = SHOP6;
    other[15] = 0x83;
    in_frame(IPV6, &V6::new(CLIENT6, other).tcp(&syn()))
}

fn multicast4() -> Vec<u8> {
    ethernet([1, 0, 0x5e, 0, 0, 1], ROUTER_MAC, IPV4, &V4::new(CLIENT4, [224, 0, 0, 1]).udp(&Udp::new(1, 2)))
}

fn multicast6() -> Vec<u8> {
    let group = [0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
    ethernet([0x33, 0x33, 0, 0, 0, 1], ROUTER_MAC, IPV6, &V6::new(CLIENT6, group).udp(&Udp::new(1, 2)))
}

fn v6_to(mac: [u8; 6]) -> Vec<u8> {
    ethernet(mac, ROUTER_MAC, IPV6, &V6::new(CLIENT6, SHOP6).tcp(&syn()))
}
