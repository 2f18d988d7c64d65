//! ARP.

use crate::fixture::{Expected, Fixture, Step, answer, pass};
use crate::frame::{self, Arp, Mac, SERVICE_VLAN, VLAN, ethernet, tagged};
use crate::ground::{MAIL4, NODE_MAC, ROUTER_MAC, SHOP4, STRANGER_MAC};

const ROUTER4: [u8; 4] = [198, 51, 100, 1];
const BROADCAST: Mac = [0xff; 6];

pub(super) fn list() -> Vec<Fixture> {
    let request = request(ROUTER4, SHOP4);
    let reply = reply(ROUTER4, SHOP4);
    let padded = |frame: &[u8]| [frame, &[0xaa; 18]].concat();
    let claim = || pass("arp-other").noting(&["claimed-by-other"]);
    let mut list = vec![
        Fixture::new(
            "who-has for a cluster address is answered",
            request.clone(),
            answer("arp", reply.clone()),
        ),
        Fixture::new("padding of a who-has is sent back", padded(&request), answer("arp", padded(&reply))),
        Fixture::new(
            "who-has in a VLAN is answered in it",
            tagged(&request, &[(VLAN, 7)]),
            answer("arp", tagged(&reply, &[(VLAN, 7)])),
        ),
        Fixture::new(
            "who-has in two VLANs is answered in both",
            tagged(&request, &[(SERVICE_VLAN, 7), (VLAN, 8)]),
            answer("arp", tagged(&reply, &[(SERVICE_VLAN, 7), (VLAN, 8)])),
        ),
        Fixture::new(
            "who-has is answered though the cluster answers no echo",
            self::request(ROUTER4, MAIL4),
            answer("arp", self::reply(ROUTER4, MAIL4)),
        ),
        Fixture::new(
            "who-has sent to the node alone is answered",
            from_router(NODE_MAC, asks(ROUTER4, SHOP4)),
            answer("arp", reply.clone()),
        ),
        Fixture::new(
            "an ARP probe is told that the address is taken",
            self::request([0; 4], SHOP4),
            answer("arp", self::reply([0; 4], SHOP4)),
        ),
        Fixture::new(
            "who-has for another address is passed",
            self::request(ROUTER4, [198, 51, 100, 11]),
            pass("arp-other"),
        ),
        Fixture::new(
            "an ARP reply is passed",
            from_router(NODE_MAC, Arp { operation: 2, ..asks(ROUTER4, SHOP4) }),
            pass("arp-other"),
        ),
        Fixture::new(
            "reverse ARP is passed",
            from_router(BROADCAST, Arp { operation: 3, ..asks(ROUTER4, SHOP4) }),
            pass("arp-other"),
        ),
        Fixture::new(
            "a gratuitous ARP request for a cluster address is a claim",
            stranger(asks(SHOP4, SHOP4)),
            claim(),
        ),
        Fixture::new(
            "a gratuitous ARP reply for a cluster address is a claim",
            stranger(Arp { operation: 2, ..asks(SHOP4, SHOP4) }),
            claim(),
        ),
        Fixture::new(
            "an ARP reply in the name of a cluster address is a claim",
            stranger(Arp { operation: 2, ..asks(SHOP4, ROUTER4) }),
            claim(),
        ),
        Fixture::new(
            "a who-has for another in the name of a cluster address is a claim",
            stranger(asks(MAIL4, ROUTER4)),
            claim(),
        ),
        Fixture::new(
            "the node's own announcement is no claim",
            ethernet(BROADCAST, NODE_MAC, frame::ARP, &own_announcement().bytes()),
            pass("arp-other"),
        ),
        Fixture::new("who-has while not active is passed", request.clone(), pass("not-active"))
            .after(vec![Step::Yield]),
        Fixture::new("who-has after the lease lapsed is passed", request.clone(), pass("not-active"))
            .after(vec![Step::Lapse]),
        Fixture::new("a claim while not active is none", stranger(asks(SHOP4, SHOP4)), pass("not-active"))
            .after(vec![Step::Yield]),
        Fixture::new("ARP that is cut is passed", request[..41].to_vec(), pass("too-short")),
        Fixture::new("ARP without a byte is passed", request[..14].to_vec(), pass("too-short")),
    ];
    let wrong = [
        ("hardware type 6", 15, 6),
        ("protocol type 0x0801", 17, 1),
        ("hardware addresses of 8 bytes", 18, 8),
        ("protocol addresses of 16 bytes", 19, 16),
        ("protocol addresses of no bytes", 19, 0),
    ];
    list.extend(wrong.map(|(name, at, byte)| {
        let mut frame = request.clone();
        frame[at] = byte;
        Fixture::new(format!("ARP with {name} is passed"), frame, not_ours())
    }));
    list
}

fn not_ours() -> Expected {
    pass("arp-other")
}

fn asks(sender: [u8; 4], target: [u8; 4]) -> Arp {
    Arp { operation: 1, sender_mac: ROUTER_MAC, sender, target_mac: [0; 6], target }
}

fn own_announcement() -> Arp {
    Arp { operation: 2, sender_mac: NODE_MAC, sender: SHOP4, target_mac: BROADCAST, target: SHOP4 }
}

fn from_router(to: Mac, arp: Arp) -> Vec<u8> {
    ethernet(to, ROUTER_MAC, frame::ARP, &arp.bytes())
}

fn stranger(arp: Arp) -> Vec<u8> {
    let arp = Arp { sender_mac: STRANGER_MAC, ..arp };
    ethernet(BROADCAST, STRANGER_MAC, frame::ARP, &arp.bytes())
}

fn request(sender: [u8; 4], target: [u8; 4]) -> Vec<u8> {
    from_router(BROADCAST, asks(sender, target))
}

/// Where is the shop?
pub(super) fn asked() -> Vec<u8> {
    request(ROUTER4, SHOP4)
}

/// It is at this hardware address.
pub(super) fn told(mac: Mac) -> Vec<u8> {
    let arp = Arp { operation: 2, sender_mac: mac, sender: SHOP4, target_mac: ROUTER_MAC, target: ROUTER4 };
    ethernet(ROUTER_MAC, mac, frame::ARP, &arp.bytes())
}

/// Another says that it is the shop.
pub(super) fn claimed(by: Mac) -> Vec<u8> {
    let arp = Arp { operation: 2, sender_mac: by, sender: SHOP4, target_mac: BROADCAST, target: SHOP4 };
    ethernet(BROADCAST, by, frame::ARP, &arp.bytes())
}

fn reply(asker: [u8; 4], asked: [u8; 4]) -> Vec<u8> {
    let arp =
        Arp { operation: 2, sender_mac: NODE_MAC, sender: asked, target_mac: ROUTER_MAC, target: asker };
    ethernet(ROUTER_MAC, NODE_MAC, frame::ARP, &arp.bytes())
}
