//! How the kernel would send to an address: `ip route get`, rules and all.

use std::io;
use std::net::IpAddr;

use geminus_core::neighbour::Route;
use netlink_packet_route::route::{RouteAddress, RouteAttribute, RouteMessage, RouteType, RouteVia};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use netlink_sys::Socket;

use super::netlink::{ask, request_socket};

/// Looks routes up, one system call pair each.
#[derive(Debug)]
pub(crate) struct Lookups {
    socket: Socket,
}

impl Lookups {
    pub(crate) fn open() -> io::Result<Self> {
        Ok(Self { socket: request_socket()? })
    }

    /// The route to an address; whatever stands against it means that there is none.
    pub(crate) fn route(&self, to: IpAddr) -> Route {
        let (family, bits) = match to {
            IpAddr::V4(_) => (AddressFamily::Inet, 32),
            IpAddr::V6(_) => (AddressFamily::Inet6, 128),
        };
        let mut request = RouteMessage::default();
        request.header.address_family = family;
        request.header.destination_prefix_length = bits;
        request.attributes.push(RouteAttribute::Destination(to.into()));
        let answers = ask(&self.socket, RouteNetlinkMessage::GetRoute(request), 0).unwrap_or_default();
        let route = answers.iter().find_map(|answer| match answer {
            RouteNetlinkMessage::NewRoute(route) => Some(route),
            _ => None,
        });
        route.map_or(Route::Unreachable, read)
    }
}

fn read(route: &RouteMessage) -> Route {
    match route.header.kind {
        RouteType::Local => return Route::Local,
        RouteType::Unicast => {}
        _ => return Route::Unreachable,
    }
    let mut interface = None;
    let mut gateway = None;
    let mut source = None;
    for attribute in &route.attributes {
        match attribute {
            RouteAttribute::Oif(index) => interface = Some(*index),
            RouteAttribute::Gateway(address) => gateway = address_of(address),
            RouteAttribute::Via(RouteVia::Inet(address)) => gateway = Some((*address).into()),
            RouteAttribute::Via(RouteVia::Inet6(address)) => gateway = Some((*address).into()),
            RouteAttribute::PrefSource(address) => source = address_of(address),
            _ => {}
        }
    }
    match (interface, gateway) {
        (None, _) => Route::Unreachable,
        (Some(interface), Some(gateway)) => Route::Via { interface, gateway },
        (Some(interface), None) => Route::OnLink { interface, source },
    }
}

fn address_of(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(address) => Some((*address).into()),
        RouteAddress::Inet6(address) => Some((*address).into()),
        _ => None,
    }
}
