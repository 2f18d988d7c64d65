//! Every fixture, by what it is about.

mod affinity;
mod arp;
mod down;
mod echo;
mod flows;
mod ipv4;
mod ipv6;
mod least;
mod link;
mod neighbour;
mod pools;
mod services;
mod shared;
mod sources;
mod transport;
mod twin;

use crate::fixture::Fixture;
use crate::frame::{self, Tcp, Udp, V4, V6, ethernet};
use crate::ground::{CLIENT4, CLIENT6, NODE_MAC, ROUTER_MAC, SHOP4, SHOP6};

/// All of them.
pub fn all() -> Vec<Fixture> {
    let mut all = Vec::new();
    let lists = [
        link::list,
        arp::list,
        neighbour::list,
        echo::list,
        ipv4::list,
        ipv6::list,
        transport::list,
        services::list,
        flows::list,
        affinity::list,
        shared::list,
        down::list,
        pools::list,
        least::list,
        sources::list,
        twin::list,
    ];
    for list in lists {
        all.extend(list());
    }
    all
}

/// The servers of the shop's port 80.
const WEB: &[&str] = &["web1", "web2", "web3"];

/// IPv4 or IPv6, where a fixture is the same in both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Family {
    V4,
    V6,
}

impl Family {
    const BOTH: [Self; 2] = [Self::V4, Self::V6];

    const fn name(self) -> &'static str {
        match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        }
    }

    /// A TCP segment from the client to the shop.
    fn tcp(self, from: u16, to: u16, flags: u8) -> Vec<u8> {
        self.segment(&Tcp::new(from, to, flags))
    }

    fn segment(self, segment: &Tcp) -> Vec<u8> {
        match self {
            Self::V4 => in_frame(frame::IPV4, &shop4().tcp(segment)),
            Self::V6 => in_frame(frame::IPV6, &shop6().tcp(segment)),
        }
    }

    /// A UDP datagram from the client to the shop.
    fn udp(self, from: u16, to: u16) -> Vec<u8> {
        self.datagram(&Udp::new(from, to))
    }

    fn datagram(self, datagram: &Udp) -> Vec<u8> {
        match self {
            Self::V4 => in_frame(frame::IPV4, &shop4().udp(datagram)),
            Self::V6 => in_frame(frame::IPV6, &shop6().udp(datagram)),
        }
    }

    /// Something from the client to the shop.
    fn carry(self, protocol: u8, payload: &[u8]) -> Vec<u8> {
        match self {
            Self::V4 => in_frame(frame::IPV4, &shop4().carry(protocol, payload)),
            Self::V6 => in_frame(frame::IPV6, &shop6().carry(protocol, payload)),
        }
    }
}

/// A frame from the router to the node.
fn in_frame(ether_type: u16, packet: &[u8]) -> Vec<u8> {
    ethernet(NODE_MAC, ROUTER_MAC, ether_type, packet)
}

/// A frame with IPv4 from the router to the node.
fn frame4(packet: &[u8]) -> Vec<u8> {
    in_frame(frame::IPV4, packet)
}

/// A frame with IPv6 from the router to the node.
fn frame6(packet: &[u8]) -> Vec<u8> {
    in_frame(frame::IPV6, packet)
}

/// From the client to the shop.
fn shop4() -> V4 {
    V4::new(CLIENT4, SHOP4)
}

/// From the client to the shop.
fn shop6() -> V6 {
    V6::new(CLIENT6, SHOP6)
}

/// A SYN from the client to the shop's port 80.
fn syn() -> Tcp {
    Tcp::new(40_000, 80, frame::SYN)
}
