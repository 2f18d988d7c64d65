//! The kernel's own view of links, addresses, routes and neighbours, as it changes.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv6Addr};

use geminus_core::director::{Input, Interface};
use geminus_core::neighbour::{Evidence, Mac};
use netlink_packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::address::{AddressAttribute, AddressFlags, AddressMessage};
use netlink_packet_route::link::{LinkAttribute, LinkFlags, LinkLayerType, LinkMessage};
use netlink_packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourFlags, NeighbourMessage, NeighbourState,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use netlink_sys::constants::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::calls;

/// Links, neighbours, addresses, routes and rules of both families (`RTNLGRP_*` of `linux/rtnetlink.h`).
const GROUPS: [u32; 8] = [1, 3, 5, 7, 8, 9, 11, 19];

/// `RTM_NEWROUTE`, `RTM_DELROUTE`, `RTM_NEWRULE`, `RTM_DELRULE`: that they came is all there is to know.
const ROUTING: [u16; 4] = [24, 25, 32, 33];

/// Bytes the kernel may queue for us; beyond it drops, tells us, and we read everything anew.
const QUEUE: usize = 1 << 20;

/// Longest datagram; the kernel fills dumps up to 32 KiB.
const DATAGRAM: usize = 64 << 10;

/// Datagrams read in one go before others get their turn.
const GO: usize = 256;

/// Something the kernel said.
#[derive(Debug)]
pub(crate) enum Heard {
    /// An input for the director.
    Input(Input),
    /// The kernel had more to say than fits: everything has to be read anew.
    Overrun,
}

/// A subscription to the kernel's changes, and dumps on demand.
#[derive(Debug)]
pub(crate) struct Netlink {
    changes: AsyncFd<Socket>,
    /// What a datagram is read into; empty while one is.
    buffer: Vec<u8>,
    /// Usable link-local addresses; an interface may have several.
    link_locals: BTreeMap<(u32, Ipv6Addr), ()>,
}

impl Netlink {
    pub(crate) fn open() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.bind_auto()?;
        socket.set_non_blocking(true)?;
        socket.set_rx_buf_sz(QUEUE as libc::c_int)?;
        for group in GROUPS {
            socket.add_membership(group)?;
        }
        let changes = calls::watched(socket)?;
        Ok(Self { changes, link_locals: BTreeMap::new(), buffer: vec![0; DATAGRAM] })
    }

    /// Waits until there may be something to read.
    pub(crate) async fn readable(&self) {
        // An error of readiness is found again, and handled, when reading.
        drop(self.changes.readable().await);
    }

    /// What was said and not yet read.
    pub(crate) fn heard(&mut self) -> Vec<Heard> {
        let mut heard = Vec::new();
        let mut buffer = std::mem::take(&mut self.buffer);
        for _ in 0..GO {
            let mut space = &mut buffer[..];
            match self.changes.try_io(Interest::READABLE, |socket| socket.recv(&mut space, 0)) {
                Ok(length) => {
                    let messages = Messages(&buffer[..length]);
                    messages.for_each(|message| self.message(message, &mut heard));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => heard.push(Heard::Overrun),
                Err(error) => {
                    tracing::debug!(%error, "netlink message not received");
                    break;
                }
            }
        }
        self.buffer = buffer;
        heard
    }

    /// Every interface of the machine.
    pub(crate) fn interfaces() -> io::Result<Vec<Interface>> {
        let messages = dump(RouteNetlinkMessage::GetLink(LinkMessage::default()))?;
        let interface = |message: &RouteNetlinkMessage| match message {
            RouteNetlinkMessage::NewLink(link) => interface(link),
            _ => None,
        };
        Ok(messages.iter().filter_map(interface).collect())
    }

    /// Makes an interface take frames to another hardware address than its own, besides. It stays until the interface goes.
    pub(crate) fn accept_mac(interface: u32, mac: Mac) -> io::Result<()> {
        let mut entry = NeighbourMessage::default();
        entry.header.family = AddressFamily::Bridge;
        entry.header.ifindex = interface;
        entry.header.state = NeighbourState::Permanent;
        entry.header.flags = NeighbourFlags::Own;
        entry.attributes.push(NeighbourAttribute::LinkLayerAddress(mac.0.to_vec()));
        let request = RouteNetlinkMessage::NewNeighbour(entry);
        match ask(&request_socket()?, request, NLM_F_ACK | NLM_F_CREATE) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            other => other.map(drop),
        }
    }

    /// Every usable link-local address of the machine.
    pub(crate) fn link_locals(&mut self) -> io::Result<Vec<Input>> {
        let mut request = AddressMessage::default();
        request.header.family = AddressFamily::Inet6;
        let messages = dump(RouteNetlinkMessage::GetAddress(request))?;
        let before = std::mem::take(&mut self.link_locals);
        for message in &messages {
            if let RouteNetlinkMessage::NewAddress(address) = message
                && let Some((interface, address)) = link_local(address)
            {
                self.link_locals.insert((interface, address), ());
            }
        }
        let interfaces: std::collections::BTreeSet<_> =
            before.keys().chain(self.link_locals.keys()).map(|&(interface, _)| interface).collect();
        Ok(interfaces.into_iter().map(|interface| self.link_local_of(interface)).collect())
    }

    /// Every address of the machine, with the index of the interface that has it.
    pub(crate) fn addresses() -> io::Result<Vec<(IpAddr, u32)>> {
        let messages = dump(RouteNetlinkMessage::GetAddress(AddressMessage::default()))?;
        let own = |message: &RouteNetlinkMessage| {
            let RouteNetlinkMessage::NewAddress(message) = message else { return None };
            // Of a point-to-point interface the plain address is the other end's.
            let local = message.attributes.iter().find_map(|attribute| match attribute {
                AddressAttribute::Local(address) => Some(*address),
                _ => None,
            });
            let plain = message.attributes.iter().find_map(|attribute| match attribute {
                AddressAttribute::Address(address) => Some(*address),
                _ => None,
            });
            Some((local.or(plain)?, message.header.index))
        };
        Ok(messages.iter().filter_map(own).collect())
    }

    /// The kernel's whole neighbour table.
    pub(crate) fn neighbours() -> io::Result<Vec<Input>> {
        let messages = dump(RouteNetlinkMessage::GetNeighbour(NeighbourMessage::default()))?;
        let input = |message: &RouteNetlinkMessage| match message {
            RouteNetlinkMessage::NewNeighbour(neighbour) => neighbour_input(neighbour, true),
            _ => None,
        };
        Ok(messages.iter().filter_map(input).collect())
    }

    fn message(&mut self, bytes: &[u8], heard: &mut Vec<Heard>) {
        if ROUTING.contains(&u16::from_ne_bytes([bytes[4], bytes[5]])) {
            // A full table that flaps must not cost a parse for each route.
            if !matches!(heard.last(), Some(Heard::Input(Input::RoutesChanged))) {
                heard.push(Heard::Input(Input::RoutesChanged));
            }
            return;
        }
        let Ok(message) = NetlinkMessage::<RouteNetlinkMessage>::deserialize(bytes) else { return };
        let NetlinkPayload::InnerMessage(message) = message.payload else { return };
        let inputs = match message {
            RouteNetlinkMessage::NewLink(link) => vec![interface(&link).map(Input::Interface)],
            RouteNetlinkMessage::DelLink(link) if is_whole(&link) => {
                vec![Some(Input::InterfaceGone(link.header.index))]
            }
            RouteNetlinkMessage::NewAddress(address) => self.address(&address, true),
            RouteNetlinkMessage::DelAddress(address) => self.address(&address, false),
            RouteNetlinkMessage::NewNeighbour(neighbour) => vec![neighbour_input(&neighbour, true)],
            RouteNetlinkMessage::DelNeighbour(neighbour) => vec![neighbour_input(&neighbour, false)],
            _ => vec![],
        };
        heard.extend(inputs.into_iter().flatten().map(Heard::Input));
    }

    fn address(&mut self, address: &AddressMessage, present: bool) -> Vec<Option<Input>> {
        let changed = match (link_local(address), present) {
            (Some(key), true) => self.link_locals.insert(key, ()).is_none().then_some(key.0),
            (Some(key), false) => self.link_locals.remove(&key).map(|()| key.0),
            (None, _) => None,
        };
        let link_local = changed.map(|interface| self.link_local_of(interface));
        vec![link_local, Some(Input::RoutesChanged)]
    }

    fn link_local_of(&self, interface: u32) -> Input {
        let range = (interface, Ipv6Addr::UNSPECIFIED)..;
        let first = self.link_locals.range(range).next().filter(|((of, _), ())| *of == interface);
        Input::LinkLocal { interface, address: first.map(|(&(_, address), ())| address) }
    }
}

/// The messages of one datagram, headers included.
struct Messages<'a>(&'a [u8]);

impl<'a> Iterator for Messages<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let length = u32::from_ne_bytes(self.0.get(..4)?.try_into().ok()?) as usize;
        let message = self.0.get(..length).filter(|message| message.len() >= 16)?;
        self.0 = self.0.get(length.next_multiple_of(4)..).unwrap_or(&[]);
        Some(message)
    }
}

/// Sends one request and returns the messages that answer it.
pub(super) fn ask(
    socket: &Socket,
    request: RouteNetlinkMessage,
    flags: u16,
) -> io::Result<Vec<RouteNetlinkMessage>> {
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | flags;
    header.sequence_number = 1;
    let mut message = NetlinkMessage::new(header, NetlinkPayload::InnerMessage(request));
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    socket.send_to(&bytes, &SocketAddr::new(0, 0), 0)?;

    let many = flags & NLM_F_DUMP != 0;
    let mut buffer = vec![0; DATAGRAM];
    let mut answers = Vec::new();
    loop {
        let mut space = &mut buffer[..];
        let length = socket.recv(&mut space, 0)?;
        for bytes in Messages(&buffer[..length]) {
            let Ok(message) = NetlinkMessage::<RouteNetlinkMessage>::deserialize(bytes) else { continue };
            match message.payload {
                NetlinkPayload::InnerMessage(answer) => answers.push(answer),
                NetlinkPayload::Error(error) if error.code.is_some() => return Err(error.to_io()),
                NetlinkPayload::Done(_) | NetlinkPayload::Error(_) => return Ok(answers),
                _ => {}
            }
        }
        if !many {
            return Ok(answers);
        }
    }
}

/// A socket for requests, on which nothing arrives but their answers.
pub(super) fn request_socket() -> io::Result<Socket> {
    let mut socket = Socket::new(NETLINK_ROUTE)?;
    socket.bind_auto()?;
    Ok(socket)
}

fn dump(request: RouteNetlinkMessage) -> io::Result<Vec<RouteNetlinkMessage>> {
    ask(&request_socket()?, request, NLM_F_DUMP)
}

/// Bridges and others send link messages of their own family that say nothing about the link itself.
fn is_whole(link: &LinkMessage) -> bool {
    link.header.interface_family == AddressFamily::Unspec
}

fn interface(link: &LinkMessage) -> Option<Interface> {
    let name = link.attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::IfName(name) => Some(name.clone()),
        _ => None,
    });
    let mac = link.attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::Address(bytes) if link.header.link_layer_type == LinkLayerType::Ether => {
            bytes.as_slice().try_into().ok().map(Mac)
        }
        _ => None,
    });
    let up = link.header.flags.contains(LinkFlags::Up | LinkFlags::LowerUp);
    name.filter(|_| is_whole(link)).map(|name| Interface { index: link.header.index, name, mac, up })
}

/// Interface and address, if it is a link-local address that may be used as a source.
fn link_local(address: &AddressMessage) -> Option<(u32, Ipv6Addr)> {
    let mut flags = AddressFlags::empty();
    let mut found = None;
    for attribute in &address.attributes {
        match attribute {
            AddressAttribute::Address(IpAddr::V6(address)) => found = Some(*address),
            AddressAttribute::Flags(all) => flags = *all,
            _ => {}
        }
    }
    let usable = !flags.intersects(AddressFlags::Tentative | AddressFlags::Dadfailed);
    found
        .filter(|address| usable && address.is_unicast_link_local())
        .map(|found| (address.header.index, found))
}

fn neighbour_input(neighbour: &NeighbourMessage, present: bool) -> Option<Input> {
    let address = neighbour.attributes.iter().find_map(|attribute| match attribute {
        NeighbourAttribute::Destination(NeighbourAddress::Inet(address)) => Some(IpAddr::V4(*address)),
        NeighbourAttribute::Destination(NeighbourAddress::Inet6(address)) => Some(IpAddr::V6(*address)),
        _ => None,
    })?;
    let mac = neighbour.attributes.iter().find_map(|attribute| match attribute {
        NeighbourAttribute::LinkLayerAddress(bytes) => bytes.as_slice().try_into().ok().map(Mac),
        _ => None,
    });
    let evidence = match neighbour.header.state {
        NeighbourState::Permanent => Some(Evidence::Static),
        NeighbourState::Reachable => Some(Evidence::Confirmed),
        NeighbourState::Stale | NeighbourState::Delay | NeighbourState::Probe => Some(Evidence::Stale),
        _ => None,
    };
    let known = mac.zip(evidence).filter(|_| present);
    Some(Input::KernelNeighbour { interface: neighbour.header.ifindex, address, known })
}
