//! Neighbour discovery.

use crate::fixture::{Fixture, Step, answer, drop, pass};
use crate::frame::{IPV6, Mac, V6, VLAN, ethernet, tagged};
use crate::ground::{CLIENT6, MAIL6, NODE_MAC, ROUTER_MAC, SHOP6, STRANGER_MAC};

const SOLICITATION: u8 = 135;
const ADVERTISEMENT: u8 = 136;
const ROUTER6: [u8; 16] = [0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
const NOBODY: [u8; 16] = [0; 16];
const ALL_NODES: [u8; 16] = [0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
const ALL_NODES_MAC: Mac = [0x33, 0x33, 0, 0, 0, 1];
const SOURCE_OPTION: [u8; 8] = option(1, ROUTER_MAC);

pub(super) fn list() -> Vec<Fixture> {
    let asked = solicitation(ROUTER6, SHOP6, &SOURCE_OPTION);
    let told = advertisement(ROUTER6, ROUTER_MAC, SHOP6, 0x60);
    let told_all = advertisement(ALL_NODES, ALL_NODES_MAC, SHOP6, 0x20);
    let nonce = [14, 1, 1, 2, 3, 4, 5, 6];
    let two_options = [SOURCE_OPTION, nonce].concat();
    let with = |change: fn(&mut V6)| changed(SHOP6, &SOURCE_OPTION, change);
    let mut cut_short = told.clone();
    cut_short.truncate(86);
    let ok = |bytes: &[u8]| answer("neighbour", bytes.to_vec());
    vec![
        Fixture::new("a solicitation is answered", asked.clone(), ok(&told)),
        Fixture::new(
            "a solicitation in a VLAN is answered in it",
            tagged(&asked, &[(VLAN, 7)]),
            ok(&tagged(&told, &[(VLAN, 7)])),
        ),
        Fixture::new(
            "a solicitation of one address of a cluster is answered for it",
            solicitation(ROUTER6, MAIL6, &SOURCE_OPTION),
            ok(&advertisement(ROUTER6, ROUTER_MAC, MAIL6, 0x60)),
        ),
        Fixture::new("a solicitation sent to the address itself is answered", unicast(NODE_MAC), ok(&told)),
        Fixture::new(
            "a solicitation to the address in another's frame is passed",
            unicast(STRANGER_MAC),
            pass("other-host"),
        ),
        Fixture::new(
            "duplicate address detection is told that the address is taken",
            solicitation(NOBODY, SHOP6, &[]),
            ok(&told_all),
        ),
        Fixture::new(
            "duplicate address detection with a nonce is told so too",
            solicitation(NOBODY, SHOP6, &nonce),
            ok(&told_all),
        ),
        Fixture::new(
            "a solicitation without an option is answered in a longer frame",
            solicitation(ROUTER6, SHOP6, &[]),
            ok(&cut_short),
        ),
        Fixture::new(
            "what follows the first option is left behind the answer",
            solicitation(ROUTER6, SHOP6, &two_options),
            ok(&[&told[..], &nonce].concat()),
        ),
        Fixture::new(
            "traffic class and flow label of a solicitation are not kept",
            with(|ip| ip.version_class_label = 0x6ab1_2345),
            ok(&told),
        ),
        Fixture::new(
            "a solicitation for another address is passed",
            solicitation(ROUTER6, other(), &SOURCE_OPTION),
            pass("neighbour-other"),
        ),
        Fixture::new("a solicitation while not active is passed", asked.clone(), pass("not-active"))
            .after(vec![Step::Yield]),
        Fixture::new(
            "a solicitation from beyond the link is dropped",
            with(|ip| ip.hop_limit = 254),
            drop("bad-neighbour"),
        ),
        Fixture::new("a solicitation with a code is dropped", coded(1), drop("bad-neighbour")),
        Fixture::new(
            "a solicitation without its whole target is dropped",
            with(|ip| ip.payload_length = Some(23)),
            drop("bad-neighbour"),
        ),
        Fixture::new(
            "a solicitation that claims to be longer than its frame is dropped",
            with(|ip| ip.payload_length = Some(33)),
            drop("bad-neighbour"),
        ),
        Fixture::new("a solicitation cut in its target is passed", asked[..77].to_vec(), pass("too-short")),
        Fixture::new(
            "a solicitation cut in its ICMPv6 header is passed",
            asked[..61].to_vec(),
            pass("too-short"),
        ),
        Fixture::new(
            "an advertisement to all is passed",
            group(ADVERTISEMENT, CLIENT6),
            pass("neighbour-other"),
        ),
        Fixture::new("a router advertisement is passed", group(134, CLIENT6), pass("neighbour-other")),
        Fixture::new("a group membership report is passed", membership(), pass("not-cluster")),
        Fixture::new(
            "an advertisement to a cluster address is dropped",
            to_shop(ADVERTISEMENT),
            drop("icmp-other"),
        ),
        Fixture::new(
            "a solicitation behind an extension header is dropped",
            behind_extension(),
            drop("icmp-other"),
        ),
    ]
}

const fn option(kind: u8, mac: Mac) -> [u8; 8] {
    [kind, 1, mac[0], mac[1], mac[2], mac[3], mac[4], mac[5]]
}

fn other() -> [u8; 16] {
    let mut other = SHOP6;
    other[15] = 0x99;
    other
}

fn header(source: [u8; 16], destination: [u8; 16]) -> V6 {
    V6 { hop_limit: 255, ..V6::new(source, destination) }
}

/// Type, code and flags aside, every message here is a target and options.
fn body(target: [u8; 16], options: &[u8]) -> Vec<u8> {
    [&[0; 4][..], &target, options].concat()
}

/// The group that a target's solicitations go to, RFC 4291 section 2.7.1.
fn solicited_group(target: [u8; 16]) -> [u8; 16] {
    [0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, target[13], target[14], target[15]]
}

fn solicited_mac(target: [u8; 16]) -> Mac {
    [0x33, 0x33, 0xff, target[13], target[14], target[15]]
}

fn solicitation(source: [u8; 16], target: [u8; 16], options: &[u8]) -> Vec<u8> {
    let packet = header(source, solicited_group(target)).icmp(SOLICITATION, 0, &body(target, options));
    ethernet(solicited_mac(target), ROUTER_MAC, IPV6, &packet)
}

fn changed(target: [u8; 16], options: &[u8], change: fn(&mut V6)) -> Vec<u8> {
    let mut ip = header(ROUTER6, solicited_group(target));
    change(&mut ip);
    ethernet(solicited_mac(target), ROUTER_MAC, IPV6, &ip.icmp(SOLICITATION, 0, &body(target, options)))
}

fn coded(code: u8) -> Vec<u8> {
    let packet =
        header(ROUTER6, solicited_group(SHOP6)).icmp(SOLICITATION, code, &body(SHOP6, &SOURCE_OPTION));
    ethernet(solicited_mac(SHOP6), ROUTER_MAC, IPV6, &packet)
}

fn advertisement(asker: [u8; 16], to: Mac, target: [u8; 16], flags: u8) -> Vec<u8> {
    advertised(NODE_MAC, (asker, to), target, flags)
}

fn advertised(mac: Mac, (asker, to): ([u8; 16], Mac), target: [u8; 16], flags: u8) -> Vec<u8> {
    let mut rest = body(target, &option(2, mac));
    rest[0] = flags;
    ethernet(to, mac, IPV6, &header(target, asker).icmp(ADVERTISEMENT, 0, &rest))
}

/// It is at this hardware address.
pub(super) fn told(mac: Mac) -> Vec<u8> {
    advertised(mac, (ROUTER6, ROUTER_MAC), SHOP6, 0x60)
}

/// Where is the shop?
pub(super) fn asked() -> Vec<u8> {
    solicitation(ROUTER6, SHOP6, &SOURCE_OPTION)
}

/// Another says that it is the shop.
pub(super) fn claimed(by: Mac) -> Vec<u8> {
    let mut rest = body(SHOP6, &option(2, by));
    rest[0] = 0x20;
    ethernet(ALL_NODES_MAC, by, IPV6, &header(SHOP6, ALL_NODES).icmp(ADVERTISEMENT, 0, &rest))
}

fn unicast(to: Mac) -> Vec<u8> {
    ethernet(
        to,
        ROUTER_MAC,
        IPV6,
        &header(ROUTER6, SHOP6).icmp(SOLICITATION, 0, &body(SHOP6, &SOURCE_OPTION)),
    )
}

fn group(kind: u8, target: [u8; 16]) -> Vec<u8> {
    ethernet(ALL_NODES_MAC, ROUTER_MAC, IPV6, &header(ROUTER6, ALL_NODES).icmp(kind, 0, &body(target, &[])))
}

fn membership() -> Vec<u8> {
    let group = [0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x16];
    let packet = header(ROUTER6, group).with(0, &[0, 0, 5, 2, 0, 0, 1, 0]).icmp(143, 0, &[0; 4]);
    ethernet([0x33, 0x33, 0, 0, 0, 0x16], ROUTER_MAC, IPV6, &packet)
}

fn to_shop(kind: u8) -> Vec<u8> {
    ethernet(NODE_MAC, ROUTER_MAC, IPV6, &header(ROUTER6, SHOP6).icmp(kind, 0, &body(SHOP6, &SOURCE_OPTION)))
}

fn behind_extension() -> Vec<u8> {
    let ip = header(ROUTER6, SHOP6).with(60, &[0, 0, 1, 4, 0, 0, 0, 0]);
    ethernet(NODE_MAC, ROUTER_MAC, IPV6, &ip.icmp(SOLICITATION, 0, &body(SHOP6, &SOURCE_OPTION)))
}
