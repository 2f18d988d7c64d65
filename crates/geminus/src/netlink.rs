//! What the kernel says about links, addresses, routes and proxies, and the three changes `geminus host` makes.
//!
//! Blocking and in the network namespace of the process: one request, its answers, done.

use std::io;
use std::net::IpAddr;

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage,
    NetlinkPayload,
};
use netlink_packet_route::address::{AddressAttribute, AddressFlags, AddressMessage, CacheInfo};
use netlink_packet_route::link::{
    LinkAttribute, LinkFlags, LinkInfo, LinkLayerType, LinkMessage, LinkXdp, State, XdpAttached,
};
use netlink_packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourFlags, NeighbourMessage,
};
use netlink_packet_route::route::{RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteType};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr};

/// One interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Link {
    /// The kernel's number for it.
    pub(crate) index: u32,
    /// Its name.
    pub(crate) name: String,
    /// Whether an operator switched it on.
    pub(crate) up: bool,
    /// Whether the other end answers; no state known counts as yes.
    pub(crate) carrier: bool,
    /// Whether it speaks Ethernet.
    pub(crate) ethernet: bool,
    /// Largest packet, bytes.
    pub(crate) mtu: u32,
    /// Kind of a virtual interface: `veth`, `bridge`, …
    pub(crate) kind: Option<String>,
    /// XDP programs on it.
    pub(crate) xdp: Vec<Attached>,
}

/// An XDP program on an interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Attached {
    /// `native`, `generic` or `offload`.
    pub(crate) mode: &'static str,
    /// The kernel's id of the program.
    pub(crate) program: u32,
}

/// An address on an interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Placed {
    /// Index of the interface.
    pub(crate) link: u32,
    /// The address.
    pub(crate) address: IpAddr,
    /// Leading bits of its network.
    pub(crate) prefix: u8,
    /// Whether duplicate address detection keeps it from being used.
    pub(crate) blocked: bool,
}

/// An address for which neighbour solicitations are answered by proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Proxied {
    /// Index of the interface.
    pub(crate) link: u32,
    /// The address.
    pub(crate) address: IpAddr,
}

/// Where a packet would leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Departure {
    /// Index of the interface.
    pub(crate) link: u32,
    /// The router, if there is one.
    pub(crate) gateway: Option<IpAddr>,
}

/// A socket for requests.
#[derive(Debug)]
pub(crate) struct Netlink {
    socket: Socket,
    sequence: u32,
}

impl Netlink {
    /// Opens a socket in the network namespace of the calling thread.
    pub(crate) fn open() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        Ok(Self { socket, sequence: 0 })
    }

    /// Every interface.
    pub(crate) fn links(&mut self) -> io::Result<Vec<Link>> {
        let answers = self.request(RouteNetlinkMessage::GetLink(LinkMessage::default()), NLM_F_DUMP)?;
        Ok(answers.into_iter().filter_map(link).collect())
    }

    /// Every address of both families.
    pub(crate) fn addresses(&mut self) -> io::Result<Vec<Placed>> {
        let answers = self.request(RouteNetlinkMessage::GetAddress(AddressMessage::default()), NLM_F_DUMP)?;
        Ok(answers.into_iter().filter_map(placed).collect())
    }

    /// Every proxied IPv6 address.
    pub(crate) fn proxies(&mut self) -> io::Result<Vec<Proxied>> {
        let mut message = NeighbourMessage::default();
        message.header.family = AddressFamily::Inet6;
        message.header.flags = NeighbourFlags::Proxy;
        let answers = self.request(RouteNetlinkMessage::GetNeighbour(message), NLM_F_DUMP)?;
        Ok(answers.into_iter().filter_map(proxied).collect())
    }

    /// Where a packet from one address to another would leave; without a source, from any address.
    pub(crate) fn departure(&mut self, source: Option<IpAddr>, destination: IpAddr) -> io::Result<Departure> {
        let mut message = RouteMessage::default();
        let bits = width(destination);
        message.header = RouteHeader {
            address_family: family(destination),
            destination_prefix_length: bits,
            source_prefix_length: if source.is_some() { bits } else { 0 },
            ..RouteHeader::default()
        };
        message.attributes.push(RouteAttribute::Destination(destination.into()));
        message.attributes.extend(source.map(|source| RouteAttribute::Source(source.into())));
        let answers = self.request(RouteNetlinkMessage::GetRoute(message), 0)?;
        let answer = answers.into_iter().find_map(departure);
        answer.unwrap_or_else(|| Err(io::Error::other("the kernel answered without a route")))
    }

    /// Puts an address on an interface as a host address that no duplicate detection delays. IPv6 addresses are
    /// deprecated from the start, so that the host never chooses one as the source of a connection of its own
    /// (RFC 6724 section 5, rule 3) while bound sockets and replies use it as ever (RFC 4862 section 5.5.4).
    pub(crate) fn add_address(&mut self, link: u32, address: IpAddr) -> io::Result<()> {
        let mut message = host_address(link, address);
        if address.is_ipv6() {
            let mut lifetime = CacheInfo::default();
            lifetime.ifa_preferred = 0;
            lifetime.ifa_valid = u32::MAX;
            message.attributes.push(AddressAttribute::Flags(AddressFlags::Nodad));
            message.attributes.push(AddressAttribute::CacheInfo(lifetime));
        }
        self.request(RouteNetlinkMessage::NewAddress(message), NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL)
            .map(drop)
    }

    /// Takes such an address away.
    pub(crate) fn remove_address(&mut self, link: u32, address: IpAddr) -> io::Result<()> {
        let message = host_address(link, address);
        self.request(RouteNetlinkMessage::DelAddress(message), NLM_F_ACK).map(drop)
    }

    /// Switches an interface on or off.
    pub(crate) fn set_up(&mut self, link: u32, up: bool) -> io::Result<()> {
        let mut message = LinkMessage::default();
        message.header.index = link;
        message.header.flags = if up { LinkFlags::Up } else { LinkFlags::empty() };
        message.header.change_mask = LinkFlags::Up;
        self.request(RouteNetlinkMessage::SetLink(message), NLM_F_ACK).map(drop)
    }

    fn request(&mut self, message: RouteNetlinkMessage, flags: u16) -> io::Result<Vec<RouteNetlinkMessage>> {
        self.sequence += 1;
        let mut header = NetlinkHeader::default();
        header.flags = NLM_F_REQUEST | flags;
        header.sequence_number = self.sequence;
        let mut message = NetlinkMessage::new(header, NetlinkPayload::from(message));
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        self.socket.send(&bytes, 0)?;
        let mut answers = Vec::new();
        // Only a dump has more than one part; its end is a message of its own, as is that of a change.
        let one = flags & (NLM_F_DUMP | NLM_F_ACK) == 0;
        while !self.receive(one, &mut answers)? {}
        Ok(answers)
    }

    /// Reads one datagram; whether it was the last.
    fn receive(&mut self, one: bool, answers: &mut Vec<RouteNetlinkMessage>) -> io::Result<bool> {
        let (datagram, _) = self.socket.recv_from_full()?;
        let mut rest = datagram.as_slice();
        while !rest.is_empty() {
            let message = NetlinkMessage::<RouteNetlinkMessage>::deserialize(rest)
                .map_err(|error| unreadable(&error))?;
            // Parts of a datagram are aligned to four bytes (NLMSG_ALIGN).
            let length = (message.header.length as usize).next_multiple_of(4);
            rest = rest.get(length..).unwrap_or_default();
            if message.header.sequence_number != self.sequence {
                continue;
            }
            match message.payload {
                NetlinkPayload::Done(_) => return Ok(true),
                NetlinkPayload::Error(error) => return error.code.map_or(Ok(true), |_| Err(error.to_io())),
                NetlinkPayload::InnerMessage(inner) => answers.push(inner),
                _ => {}
            }
        }
        Ok(one && !answers.is_empty())
    }
}

fn unreadable(error: &dyn std::fmt::Display) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the kernel's answer is unreadable: {error}"))
}

fn family(address: IpAddr) -> AddressFamily {
    if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 }
}

/// Bits of an address of this family.
pub(crate) const fn width(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn host_address(link: u32, address: IpAddr) -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header.family = family(address);
    message.header.prefix_len = width(address);
    message.header.index = link;
    message.attributes = vec![AddressAttribute::Local(address), AddressAttribute::Address(address)];
    message
}

fn link(message: RouteNetlinkMessage) -> Option<Link> {
    let RouteNetlinkMessage::NewLink(message) = message else { return None };
    let mut link = Link {
        index: message.header.index,
        name: String::new(),
        up: message.header.flags.contains(LinkFlags::Up),
        carrier: true,
        ethernet: message.header.link_layer_type == LinkLayerType::Ether,
        mtu: 0,
        kind: None,
        xdp: Vec::new(),
    };
    for attribute in message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => link.name = name,
            LinkAttribute::Mtu(mtu) => link.mtu = mtu,
            LinkAttribute::OperState(state) => link.carrier = matches!(state, State::Up | State::Unknown),
            LinkAttribute::LinkInfo(infos) => link.kind = infos.into_iter().find_map(kind),
            LinkAttribute::Xdp(parts) => link.xdp = attached(&parts),
            _ => {}
        }
    }
    Some(link)
}

fn kind(info: LinkInfo) -> Option<String> {
    match info {
        LinkInfo::Kind(kind) => Some(kind.to_string()),
        _ => None,
    }
}

/// The kernel names the one program and its mode, or, with several, each by its own attribute.
fn attached(parts: &[LinkXdp]) -> Vec<Attached> {
    let mut programs: Vec<Attached> = parts
        .iter()
        .filter_map(|part| match part {
            LinkXdp::DrvProgId(program) => Some(Attached { mode: "native", program: *program }),
            LinkXdp::SkbProgId(program) => Some(Attached { mode: "generic", program: *program }),
            LinkXdp::HwProgId(program) => Some(Attached { mode: "offload", program: *program }),
            _ => None,
        })
        .collect();
    if programs.is_empty() {
        programs.extend(the_only(parts));
    }
    programs.sort_unstable();
    programs
}

fn the_only(parts: &[LinkXdp]) -> Option<Attached> {
    let mode = parts.iter().find_map(|part| match part {
        LinkXdp::Attached(XdpAttached::Driver) => Some("native"),
        LinkXdp::Attached(XdpAttached::SocketBuffer) => Some("generic"),
        LinkXdp::Attached(XdpAttached::Hardware) => Some("offload"),
        _ => None,
    })?;
    let program = parts.iter().find_map(|part| match part {
        LinkXdp::ProgId(program) => Some(*program),
        _ => None,
    });
    Some(Attached { mode, program: program.unwrap_or_default() })
}

fn placed(message: RouteNetlinkMessage) -> Option<Placed> {
    let RouteNetlinkMessage::NewAddress(message) = message else { return None };
    // On a point-to-point link `Address` is the other end; `Local` is ours.
    let local = message.attributes.iter().find_map(|attribute| match attribute {
        AddressAttribute::Local(address) => Some(*address),
        _ => None,
    });
    let address = local.or_else(|| {
        message.attributes.iter().find_map(|attribute| match attribute {
            AddressAttribute::Address(address) => Some(*address),
            _ => None,
        })
    })?;
    let blocked = message.attributes.iter().any(|attribute| match attribute {
        AddressAttribute::Flags(flags) => flags.intersects(AddressFlags::Tentative | AddressFlags::Dadfailed),
        _ => false,
    });
    Some(Placed { link: message.header.index, address, prefix: message.header.prefix_len, blocked })
}

fn proxied(message: RouteNetlinkMessage) -> Option<Proxied> {
    let RouteNetlinkMessage::NewNeighbour(message) = message else { return None };
    let address = message.attributes.iter().find_map(|attribute| match attribute {
        NeighbourAttribute::Destination(NeighbourAddress::Inet6(address)) => Some(IpAddr::V6(*address)),
        _ => None,
    })?;
    // A kernel that ignores the filter sends the neighbours themselves as well.
    let proxy = message.header.flags.contains(NeighbourFlags::Proxy);
    proxy.then_some(Proxied { link: message.header.ifindex, address })
}

fn departure(message: RouteNetlinkMessage) -> Option<io::Result<Departure>> {
    let RouteNetlinkMessage::NewRoute(message) = message else { return None };
    if message.header.kind != RouteType::Unicast {
        let kind = format!("{:?}", message.header.kind).to_lowercase();
        return Some(Err(io::Error::other(format!("the route is of type {kind}"))));
    }
    let link = message.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Oif(link) => Some(*link),
        _ => None,
    })?;
    let gateway = message.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Gateway(RouteAddress::Inet(address)) => Some(IpAddr::V4(*address)),
        RouteAttribute::Gateway(RouteAddress::Inet6(address)) => Some(IpAddr::V6(*address)),
        _ => None,
    });
    Some(Ok(Departure { link, gateway }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_program_is_named_with_its_mode() {
        let parts = [LinkXdp::Attached(XdpAttached::SocketBuffer), LinkXdp::ProgId(7)];
        assert_eq!(attached(&parts), [Attached { mode: "generic", program: 7 }]);
    }

    #[test]
    fn two_programs_are_both_named() {
        let parts = [
            LinkXdp::Attached(XdpAttached::Multiple),
            LinkXdp::SkbProgId(8),
            LinkXdp::HwProgId(9),
            LinkXdp::ProgId(0),
        ];
        let expected = [Attached { mode: "generic", program: 8 }, Attached { mode: "offload", program: 9 }];
        assert_eq!(attached(&parts), expected);
    }

    #[test]
    fn no_program_is_none() {
        assert_eq!(attached(&[LinkXdp::Attached(XdpAttached::None)]), []);
    }

    #[test]
    fn the_loopback_is_found_where_this_runs() {
        let mut netlink = Netlink::open().expect("a netlink socket needs no privilege");
        let links = netlink.links().expect("links");
        assert!(links.iter().any(|link| link.name == "lo" && !link.ethernet), "{links:?}");
        netlink.addresses().expect("addresses");
    }
}
