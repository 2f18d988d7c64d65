//! A content host on which everything is right, to break in one place at a time.

use std::net::IpAddr;

use crate::host::seen::{Network, Seen, Way};
use crate::host::sockets::Listener;
use crate::host::sysctl::Sysctl;
use crate::host::wanted::{Port, Transport, Wanted};
use crate::netlink::{Departure, Link, Placed};

pub(crate) const HTTP: Port = Port { number: 80, transport: Transport::Tcp };

pub(crate) fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

pub(crate) fn wanted() -> Wanted {
    Wanted {
        addresses: vec![ip("198.51.100.80"), ip("2001:db8:1::80")],
        interface: "eth0".into(),
        ports: vec![HTTP],
        clients: vec![],
    }
}

pub(crate) fn placed(link: u32, address: &str, prefix: u8) -> Placed {
    Placed { link, address: ip(address), prefix, blocked: false }
}

pub(crate) fn listener(address: &str) -> Listener {
    Listener { port: HTTP, address: ip(address) }
}

fn link(index: u32, name: &str, mtu: u32) -> Link {
    Link {
        index,
        name: name.into(),
        up: true,
        carrier: true,
        ethernet: name != "lo",
        mtu,
        kind: None,
        xdp: vec![],
    }
}

fn way(from: &str, client: &str, gateway: &str) -> Way {
    let departure = Ok(Departure { link: 2, gateway: Some(ip(gateway)) });
    Way { from: ip(from), client: ip(client), departure }
}

pub(crate) fn seen() -> Seen {
    let settings = [
        (Sysctl::v4("all", "arp_ignore"), "1"),
        (Sysctl::v4("eth0", "arp_ignore"), "1"),
        (Sysctl::v4("all", "arp_announce"), "2"),
        (Sysctl::v4("eth0", "arp_announce"), "2"),
        (Sysctl::v4("all", "rp_filter"), "0"),
        (Sysctl::v4("eth0", "rp_filter"), "1"),
        (Sysctl::v6("lo", "disable_ipv6"), "0"),
        (Sysctl::v6("eth0", "disable_ipv6"), "0"),
    ];
    Seen {
        network: Network {
            links: vec![link(1, "lo", 65_536), link(2, "eth0", 1500), link(3, "eth1", 1500)],
            addresses: vec![
                placed(1, "127.0.0.1", 8),
                placed(1, "198.51.100.80", 32),
                placed(1, "2001:db8:1::80", 128),
                placed(2, "198.51.100.21", 24),
                placed(2, "2001:db8:1::21", 64),
            ],
            outward: (Some(2), Some(2)),
        },
        proxies: vec![],
        settings: settings.map(|(name, value)| (name, value.to_owned())).into_iter().collect(),
        ways: vec![
            way("198.51.100.80", "192.0.2.1", "198.51.100.1"),
            way("2001:db8:1::80", "2001:db8:ffff::1", "2001:db8:1::1"),
        ],
        listeners: vec![listener("0.0.0.0"), listener("::")],
        taken: vec![],
    }
}
