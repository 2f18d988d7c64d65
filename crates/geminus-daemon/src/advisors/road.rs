//! By which road a server is asked, and sockets that take it.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

use geminus_core::health::{Fault, FaultKind, Good};
use geminus_dataplane::{ProbeError, Probes, Slot};
use geminus_packet::probe::{Asked, Note, Over};
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use super::bounds::{FAREWELLS, LOAD_AGAIN, RECEIVED};
use super::echo::Echo;
use super::look::Claims;
use super::program::Users;
use super::source::source_to;
use super::tls::Tls;
use super::words::{fault, of_socket, own};
use super::{Place, Way};
use crate::kernel::give_memory_back;

/// Packets of a check by the clients' road get no further than the next host: one that does not have the cluster address
/// and forwards what is not its own sends nothing back to the dispatchers, from where it could reach another server.
const HOPS: u32 = 1;

/// What the thread asks with.
pub(super) struct Means {
    /// The programs of the clients' road; none: not loaded yet, or not now.
    probes: RefCell<Option<Probes>>,
    /// When they may be tried again, and why they failed.
    refused: RefCell<Option<(Instant, String)>>,
    pub(super) echo: Echo,
    pub(super) tls: Tls,
    pub(super) programs: Users,
    /// Turns of connections that servers may close first.
    pub(super) farewells: Arc<Semaphore>,
    pub(super) claims: Claims,
    /// Interfaces, and whether of IPv4, that have no address of a family from which servers would be asked.
    without_address: RefCell<BTreeSet<(String, bool)>>,
    nonce: Cell<u64>,
}

/// A server, and how it is asked.
#[derive(Debug)]
pub(super) struct Aim {
    /// Where sockets are connected to.
    pub(super) address: IpAddr,
    pub(super) road: Road,
}

#[derive(Debug)]
pub(super) enum Road {
    /// As everything that this machine sends.
    Plain,
    /// As a client's packets.
    Clients(Slot),
}

impl Means {
    pub(super) fn new() -> Self {
        Self {
            probes: RefCell::new(None),
            refused: RefCell::new(None),
            echo: Echo::new(),
            tls: Tls::new(),
            programs: Users::new(),
            farewells: Arc::new(Semaphore::new(FAREWELLS)),
            claims: Claims::default(),
            without_address: RefCell::default(),
            nonce: Cell::new(random()),
        }
    }

    /// A number that nobody foresees.
    pub(super) fn nonce(&self) -> u64 {
        // SplitMix64: one look at the system's source of chance is enough for what only strangers must not guess.
        let next = self.nonce.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        self.nonce.set(next);
        let mixed = (next ^ next >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    /// How to ask `server` by the cluster address `by`, or by its own.
    pub(super) fn aim(
        &self,
        server: IpAddr,
        by: Option<IpAddr>,
        way: &Way,
        over: Over,
    ) -> Result<Aim, Fault> {
        let Some(by) = by else { return Ok(Aim { address: server, road: Road::Plain }) };
        match &way.place {
            Place::Here => {
                on_this_machine(by)?;
                Ok(Aim { address: by, road: Road::Plain })
            }
            Place::Behind(router) => Err(fault(
                FaultKind::Unreachable,
                format!("{server} is behind the router {router}: clients' packets for {by} do not get there"),
            )),
            Place::Link { name, macs, index } => {
                let mut source = None;
                if server.is_ipv4() != by.is_ipv4() {
                    source = self.source(by, *index, name)?;
                    if source.is_none() {
                        return Ok(Aim { address: server, road: Road::Plain });
                    }
                }
                let mac = macs.map(|[_, mac]| mac.0);
                let slot = self.slot(name, &Asked { server, cluster: by, source, over, mac })?;
                Ok(Aim { address: server, road: Road::Clients(slot) })
            }
        }
    }

    /// The address that packets for `by` leave from where the server's own is of another family; none: there is none, and
    /// the server is asked by its own. That is said once.
    fn source(&self, by: IpAddr, index: u32, name: &str) -> Result<Option<IpAddr>, Fault> {
        let source = source_to(by, index, name)
            .map_err(|error| own(format!("no address of {name} can be had to ask for {by} from: {error}")))?;
        let key = (name.to_owned(), by.is_ipv4());
        let mut without = self.without_address.borrow_mut();
        if source.is_some() {
            without.remove(&key);
        } else if without.insert(key) {
            let family = if by.is_ipv4() { "IPv4" } else { "IPv6" };
            tracing::info!(
                "{name} has no {family} address: servers behind it are not checked by the clients' road for {by}, \
                 but at their own addresses"
            );
        }
        Ok(source)
    }

    fn slot(&self, interface: &str, asked: &Asked) -> Result<Slot, Fault> {
        let mut probes = self.probes.borrow_mut();
        if let Some((until, cause)) = &*self.refused.borrow()
            && Instant::now() < *until
        {
            return Err(own(cause));
        }
        let attached = match &mut *probes {
            Some(probes) => probes.attach(interface),
            none => Probes::load().and_then(|loaded| {
                // What it took to read the programs is many times what they take.
                give_memory_back();
                none.insert(loaded).attach(interface)
            }),
        };
        if let Err(error @ ProbeError::NoInterface { .. }) = attached {
            return Err(own(error));
        }
        if let Err(error) = attached {
            let cause = error.to_string();
            tracing::warn!(%error, "checks cannot go by the clients' road");
            *self.refused.borrow_mut() = Some((Instant::now() + LOAD_AGAIN, cause.clone()));
            return Err(own(cause));
        }
        let slot = probes.as_ref().and_then(|probes| probes.slots().take(asked));
        slot.ok_or_else(|| own("too many checks are under way"))
    }

    /// An interface may have gone and come back: what was attached to it went with it.
    pub(super) fn forget_attachment(&self, interface: &str) {
        if let Some(probes) = &mut *self.probes.borrow_mut() {
            probes.detach(interface);
        }
    }
}

impl Aim {
    /// Connects by TCP. Whoever drops the connection resets it: a thousand checks a second leave no ports behind that wait.
    pub(super) async fn connect(&self, port: u16) -> Result<TcpStream, Fault> {
        const WHAT: &str = "a TCP handshake";
        let socket = self.socket(Type::STREAM, Protocol::TCP).map_err(own)?;
        socket.set_linger(Some(Duration::ZERO)).map_err(own)?;
        socket.set_tcp_nodelay(true).map_err(own)?;
        match socket.connect(&SocketAddr::new(self.address, port).into()) {
            Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => {
                return Err(of_socket(&error, WHAT));
            }
            _ => {}
        }
        let stream = TcpStream::from_std(socket.into()).map_err(own)?;
        stream.writable().await.map_err(own)?;
        match stream.take_error() {
            Ok(None) => Ok(stream),
            Ok(Some(error)) | Err(error) => Err(of_socket(&error, WHAT)),
        }
    }

    /// A UDP socket that talks to nobody else.
    pub(super) fn datagrams(&self, port: u16) -> Result<tokio::net::UdpSocket, Fault> {
        let socket = self.socket(Type::DGRAM, Protocol::UDP).map_err(own)?;
        let to = SocketAddr::new(self.address, port);
        socket.connect(&to.into()).map_err(|error| of_socket(&error, "an answer"))?;
        tokio::net::UdpSocket::from_std(socket.into()).map_err(own)
    }

    fn socket(&self, kind: Type, protocol: Protocol) -> io::Result<Socket> {
        let domain = Domain::for_address((self.address, 0).into());
        let socket = Socket::new_raw(domain, kind.nonblocking().cloexec(), Some(protocol))?;
        socket.set_recv_buffer_size(RECEIVED)?;
        if let Road::Clients(slot) = &self.road {
            mark(SockRef::from(&socket), self.address, slot.mark())?;
        }
        Ok(socket)
    }

    /// What else came of a check that failed, where that says more than the failure.
    pub(super) fn explained(&self, by: Option<IpAddr>, failure: Fault) -> Fault {
        let (Road::Clients(slot), Some(by)) = (&self.road, by) else { return failure };
        let server = self.address;
        if slot.has(Note::OwnName) {
            let words = if server.is_ipv4() == by.is_ipv4() {
                format!("answers come from {server}, not from {by}, which no client takes")
            } else {
                format!(
                    "answers come from another address of {server}'s host than {by}, which no client takes"
                )
            };
            fault(FaultKind::Unexpected, words)
        } else if slot.has(Note::ForwardedOn) {
            let words = format!("{server} does not have {by}: it forwards its packets on");
            fault(FaultKind::Unreachable, words)
        } else if slot.has(Note::Refused) {
            fault(
                FaultKind::Refused,
                format!("expected an answer, got a refusal: {by} has nobody at the port"),
            )
        } else if slot.has(Note::Unreachable) {
            fault(FaultKind::Unreachable, format!("expected an answer, got word that {by} cannot be reached"))
        } else {
            failure
        }
    }

    /// False: the server said something, but no packet took the road that it was to take. What was found says nothing of
    /// what clients find.
    pub(super) fn was_taken(&self, outcome: &Result<Good, Fault>) -> bool {
        use FaultKind::{ConnectTimeout, Own, Timeout, Unreachable};
        match (&self.road, outcome) {
            (Road::Plain, _) => true,
            (Road::Clients(_), Err(fault))
                if matches!(fault.kind, ConnectTimeout | Timeout | Unreachable | Own) =>
            {
                true
            }
            (Road::Clients(slot), _) => slot.counted()[0] > 0,
        }
    }
}

/// Packets of this socket to `address` take the road of clients.
pub(super) fn mark(socket: SockRef<'_>, address: IpAddr, mark: u32) -> io::Result<()> {
    socket.set_mark(mark)?;
    match address {
        IpAddr::V4(_) => socket.set_ttl_v4(HOPS),
        IpAddr::V6(_) => socket.set_unicast_hops_v6(HOPS),
    }
}

/// A collocated server takes clients' packets only if the cluster address is its own too.
fn on_this_machine(by: IpAddr) -> Result<(), Fault> {
    match UdpSocket::bind((by, 0)) {
        Ok(_) => Ok(()),
        Err(error) if error.raw_os_error() == Some(libc::EADDRNOTAVAIL) => Err(fault(
            FaultKind::Unreachable,
            format!("{by} is not an address of this machine, which is a server: add it to lo"),
        )),
        Err(error) => Err(own(error)),
    }
}

fn random() -> u64 {
    let mut bytes = [0; 8];
    match rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty()) {
        Ok(_) => u64::from_ne_bytes(bytes),
        // Without chance, answers can be guessed by whoever could see the questions anyway.
        Err(_) => std::process::id().into(),
    }
}
