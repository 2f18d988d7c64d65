//! Where the fixtures are played: the site, its key, how its servers are reached.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::LazyLock;

use geminus_core::config;
use geminus_core::key::SiteKey;
use geminus_core::model::Site;
use geminus_core::plan::{self, Link, TicksPerSecond};
use geminus_packet::heap::Sizes;

use crate::frame::Mac;

/// The dispatcher.
pub const NODE: &str = "alpha";
/// Its hardware address.
pub const NODE_MAC: Mac = [2, 0, 0, 0, 1, 1];
/// Its hardware address on [`FAR_INTERFACE`].
pub const FAR_MAC: Mac = [2, 0, 0, 0, 1, 7];
/// The machine that clients' packets come from.
pub const ROUTER_MAC: Mac = [2, 0, 0, 0, 2, 1];
/// The other dispatcher, where there is one.
pub const PARTNER_MAC: Mac = [2, 0, 0, 0, 1, 2];
/// A machine that has nothing to do with it.
pub const STRANGER_MAC: Mac = [2, 0, 0, 0, 9, 9];
/// The interface that frames come in by: a test-run's is the loopback's.
pub const INTERFACE: u32 = 1;
/// Another interface.
pub const FAR_INTERFACE: u32 = 7;

/// A client.
pub const CLIENT4: [u8; 4] = [203, 0, 113, 9];
/// A client.
pub const CLIENT6: [u8; 16] = [0x20, 1, 0xd, 0xb8, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9];
/// Of cluster `shop`.
pub const SHOP4: [u8; 4] = [198, 51, 100, 80];
/// Of cluster `shop`.
pub const SHOP6: [u8; 16] = cluster6(0x80);
/// Of cluster `mail`.
pub const MAIL4: [u8; 4] = [198, 51, 100, 81];
/// Of cluster `mail`.
pub const MAIL6: [u8; 16] = cluster6(0x81);
/// Of cluster `media`.
pub const MEDIA4: [u8; 4] = [198, 51, 100, 82];
/// Of cluster `media`.
pub const MEDIA6: [u8; 16] = cluster6(0x82);

/// The address of the one server that nobody knows the way to.
pub const LOST: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 66));

/// Ticks that the kernel's clock is taken to have, so that tables in both homes say the same.
pub const TICKS: TicksPerSecond = TicksPerSecond(250);

const fn cluster6(last: u8) -> [u8; 16] {
    [0x20, 1, 0xd, 0xb8, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, last]
}

/// The site.
pub fn site() -> Site {
    static SITE: LazyLock<Site> =
        LazyLock::new(|| match config::parse(include_str!("site.toml"), "site.toml") {
            Ok(site) => site,
            Err(errors) => panic!("{errors}"),
        });
    SITE.clone()
}

/// Its secret.
pub fn key() -> SiteKey {
    SiteKey::new(*b"the fixtures' secret, 32 bytes..")
}

/// The hardware address of a server.
pub fn server_mac(address: IpAddr) -> Mac {
    let [.., last] = match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => address.octets(),
    };
    [2, 0, 0, 0, 3, last]
}

/// How a server address is reached.
pub fn link(address: IpAddr) -> Link {
    let mac = server_mac(address);
    match address {
        IpAddr::V4(address) if address.octets() == [198, 51, 100, 11] => Link::Local,
        IpAddr::V4(address) if address.octets()[0] == 192 => {
            Link::Remote { mac, source: FAR_MAC, interface: FAR_INTERFACE }
        }
        _ => Link::Remote { mac, source: NODE_MAC, interface: INTERFACE },
    }
}

/// How every server of a site is reached, but for [`LOST`].
pub fn links(site: &Site) -> HashMap<IpAddr, Link> {
    let services = site.clusters.iter().flat_map(|cluster| &cluster.services);
    let addresses = services.flat_map(|service| &service.servers).map(|server| server.address);
    addresses.filter(|&address| address != LOST).map(|address| (address, link(address))).collect()
}

/// Tables for the site whose flow, provisional and affinity tables have so many buckets each; one is enough to fill.
pub fn sizes(site: &Site, buckets: u32, cpus: u32) -> Sizes {
    let ways = geminus_packet::flow::WAYS as u32;
    Sizes {
        flow_buckets: buckets,
        provisional_buckets: buckets,
        affinity_buckets: buckets,
        tuples: buckets * ways,
        ..plan::sizes(site, cpus)
    }
}
