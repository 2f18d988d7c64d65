//! The sockets between partners.
//!
//! Frames are read with packet sockets, which come before the machine's own packet filter and need no route back. They
//! are sent by UDP, which finds its way as everything else of the machine does; where its own filter forbids that, past
//! it. The UDP sockets hear nothing: they are there to send, and to keep the port from being answered as closed.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr, SocketAddrV6, UdpSocket};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use geminus_core::neighbour::Mac;

use super::TwinPath;
use super::datagram::{self, Datagram, IPV4, IPV6, TRAFFIC_CLASS, TTL};
use crate::kernel::calls::{self, Instruction};

/// Longest frame that is read: the longest heartbeat in IPv6 and a VLAN tag, with room.
const FRAME: usize = 1280;

/// Frames read from one socket in one go: all that ever wait, and an end to what a flood can hold up.
const GO: usize = 256;

/// `SO_PRIORITY` of what keeps the network together (`tc-prio(8)`).
const PRIORITY: i32 = 6;

/// Every socket of the paths.
#[derive(Debug)]
pub(super) struct Net {
    port: u16,
    paths: Vec<Way>,
    listeners: BTreeMap<(u32, bool), OwnedFd>,
    senders: BTreeMap<IpAddr, UdpSocket>,
    raw: OwnedFd,
    /// What was told to be amiss, so that it is told once.
    told: Vec<String>,
}

/// One path, and what is known of its other end.
#[derive(Debug)]
struct Way {
    path: TwinPath,
    /// Where the partner's frames come from.
    mac: Option<Mac>,
    /// Whether they pass no router.
    same_link: bool,
    /// Whether the machine's own packet filter keeps heartbeats from leaving.
    filtered: bool,
}

impl Net {
    /// No path yet.
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            port: 0,
            paths: Vec::new(),
            listeners: BTreeMap::new(),
            senders: BTreeMap::new(),
            raw: calls::packet_sender()?,
            told: Vec::new(),
        })
    }

    /// These paths, from now on. What could not be opened is tried again by [`mend`](Self::mend).
    pub(super) fn configure(&mut self, paths: &[TwinPath], port: u16) {
        let mut before = std::mem::take(&mut self.paths);
        let way = |path: &TwinPath| match before.iter().position(|way| way.path == *path) {
            Some(at) => before.swap_remove(at),
            None => Way { path: path.clone(), mac: None, same_link: false, filtered: false },
        };
        self.paths = paths.iter().map(way).collect();
        if self.port != port {
            self.port = port;
            self.listeners.clear();
            self.senders.clear();
        }
        let wanted: Vec<_> = self.paths.iter().map(|way| listener_of(&way.path)).collect();
        self.listeners.retain(|key, _| wanted.contains(key));
        self.senders.retain(|own, _| paths.iter().any(|path| path.own == *own));
    }

    /// Opens what is not open; returns what is amiss and was not told yet.
    pub(super) fn mend(&mut self) -> Vec<String> {
        let mut amiss = Vec::new();
        for way in &self.paths {
            let TwinPath { own, remote, interface, .. } = way.path;
            // The driver says so.
            if interface == 0 {
                continue;
            }
            let key = listener_of(&way.path);
            if let std::collections::btree_map::Entry::Vacant(place) = self.listeners.entry(key) {
                match listen(key, self.port) {
                    Ok(socket) => drop(place.insert(socket)),
                    Err(error) => amiss.push(format!("the path to {remote} cannot be heard: {error}")),
                }
            }
            if let std::collections::btree_map::Entry::Vacant(place) = self.senders.entry(own) {
                match sender(own, interface, self.port) {
                    Ok(socket) => drop(place.insert(socket)),
                    Err(error) => amiss.push(format!(
                        "{own} port {} cannot be used for heartbeats to {remote}: {error}",
                        self.port
                    )),
                }
            }
        }
        amiss.retain(|line| !self.told.contains(line));
        self.told.extend(amiss.iter().cloned());
        amiss
    }

    /// What is to be watched.
    pub(super) fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.listeners.values().map(OwnedFd::as_fd)
    }

    /// Reads every datagram that came by a path and was not read; `hear` gets the number of the path in the order of the
    /// configuration. Returns how many came from elsewhere.
    pub(super) fn drain(&self, mut hear: impl FnMut(usize, &Datagram<'_>)) -> u64 {
        let mut foreign = 0;
        let mut buffer = [0; FRAME];
        for ((interface, _), socket) in &self.listeners {
            for _ in 0..GO {
                let length = match calls::receive_frame(socket.as_fd(), &mut buffer) {
                    Ok((length, _)) => length.min(FRAME),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    // ENETDOWN comes once when an interface goes down; the socket lives on.
                    Err(_) => continue,
                };
                let Some(datagram) = datagram::read(&buffer[..length], self.port) else { continue };
                match self.path_of(*interface, &datagram) {
                    Some(path) => hear(path, &datagram),
                    None if self.is_ours(datagram.to) => foreign += 1,
                    None => {}
                }
            }
        }
        foreign
    }

    fn path_of(&self, interface: u32, datagram: &Datagram<'_>) -> Option<usize> {
        let is = |path: &TwinPath| {
            path.interface == interface && path.remote == datagram.from && path.own == datagram.to
        };
        self.paths.iter().position(|way| is(&way.path))
    }

    fn is_ours(&self, address: IpAddr) -> bool {
        self.paths.iter().any(|way| way.path.own == address)
    }

    /// Sends by a path. What cannot be sent is lost, as it may be on the way; a filter of this machine's own is passed by.
    /// Returns what is to be told of it.
    pub(super) fn send(&mut self, path: usize, payload: &[u8]) -> Option<String> {
        let way = self.paths.get_mut(path)?;
        let TwinPath { own, remote, interface, .. } = way.path;
        let sent = match self.senders.get(&own) {
            Some(socket) => socket.send_to(payload, socket_address(remote, self.port, interface)),
            None => return None,
        };
        let refused = sent.is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied);
        let news = refused && !way.filtered;
        way.filtered = refused;
        if refused {
            let mac = way.mac.unwrap_or(Mac::BROADCAST).0;
            if let Some((ethertype, packet)) = datagram::packet(own, remote, self.port, payload) {
                // As lost as on the way.
                drop(calls::send_packet(self.raw.as_fd(), interface, ethertype, mac, &packet));
            }
        }
        news.then(|| {
            format!(
                "the packet filter of this machine drops heartbeats to {remote}: they are sent past it; let UDP port {} \
                 out",
                self.port
            )
        })
    }

    /// An authenticated frame came from there; whether that is news.
    pub(super) fn met(&mut self, path: usize, mac: Mac, same_link: bool) -> bool {
        let Some(way) = self.paths.get_mut(path) else { return false };
        let mac = Some(mac);
        let news = (way.mac, way.same_link) != (mac, same_link);
        (way.mac, way.same_link) = (mac, same_link);
        news
    }

    /// The hardware address of a partner on the link of this interface, as far as it was heard.
    pub(super) fn neighbour(&self, peer: usize, interface: u32) -> Option<Mac> {
        let here = |way: &&Way| {
            way.path.id.peer == peer && way.path.interface == interface && way.same_link && way.mac.is_some()
        };
        self.paths.iter().find(here)?.mac
    }
}

/// One socket hears all paths of an interface and a family.
fn listener_of(path: &TwinPath) -> (u32, bool) {
    (path.interface, path.own.is_ipv4())
}

fn listen((interface, is_ipv4): (u32, bool), port: u16) -> io::Result<OwnedFd> {
    if is_ipv4 {
        calls::packet_socket(IPV4, interface, &ipv4_filter(port))
    } else {
        calls::packet_socket(IPV6, interface, &ipv6_filter(port))
    }
}

/// Load a half-word or a byte at a place in the frame, a half-word at one after the index register; the length of the IP
/// header into the index register; jump if equal, if any bit is set; return.
const LDH: u16 = 0x28;
const LDB: u16 = 0x30;
const LDH_X: u16 = 0x48;
const LDX_MSH: u16 = 0xb1;
const JEQ: u16 = 0x15;
const JSET: u16 = 0x45;
const RET: u16 = 0x06;
const UDP: u32 = 17;

/// UDP over IPv4, no later fragment, to the port.
fn ipv4_filter(port: u16) -> [Instruction; 9] {
    [
        (LDB, 0, 0, 23),
        (JEQ, 0, 6, UDP),
        (LDH, 0, 0, 20),
        (JSET, 4, 0, 0x1fff),
        (LDX_MSH, 0, 0, 14),
        (LDH_X, 0, 0, 16),
        (JEQ, 0, 1, port.into()),
        (RET, 0, 0, FRAME as u32),
        (RET, 0, 0, 0),
    ]
}

/// UDP over IPv6 without extension headers, to the port.
fn ipv6_filter(port: u16) -> [Instruction; 6] {
    [
        (LDB, 0, 0, 20),
        (JEQ, 0, 3, UDP),
        (LDH, 0, 0, 56),
        (JEQ, 0, 1, port.into()),
        (RET, 0, 0, FRAME as u32),
        (RET, 0, 0, 0),
    ]
}

fn sender(own: IpAddr, interface: u32, port: u16) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind(socket_address(own, port, interface))?;
    socket.set_nonblocking(true)?;
    calls::deafen(socket.as_fd())?;
    let (class, ttl) = (i32::from(TRAFFIC_CLASS).to_ne_bytes(), i32::from(TTL).to_ne_bytes());
    let set = |level, name, value: &[u8]| calls::set_option(socket.as_fd(), level, name, value);
    if own.is_ipv4() {
        set(libc::IPPROTO_IP, libc::IP_TTL, &ttl)?;
        set(libc::IPPROTO_IP, libc::IP_TOS, &class)?;
    } else {
        set(libc::IPPROTO_IPV6, libc::IPV6_UNICAST_HOPS, &ttl)?;
        set(libc::IPPROTO_IPV6, libc::IPV6_TCLASS, &class)?;
    }
    // After the class, which sets a priority of its own.
    set(libc::SOL_SOCKET, libc::SO_PRIORITY, &PRIORITY.to_ne_bytes())?;
    Ok(socket)
}

/// A link-local address means nothing without its interface.
fn socket_address(address: IpAddr, port: u16, interface: u32) -> SocketAddr {
    match address {
        IpAddr::V6(address) if address.is_unicast_link_local() => {
            SocketAddrV6::new(address, port, 0, interface).into()
        }
        other => (other, port).into(),
    }
}
