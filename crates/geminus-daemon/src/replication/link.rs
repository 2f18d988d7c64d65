//! One TCP connection to a partner, from the first packet on.

use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use rustix::net::sockopt::{set_tcp_nodelay, set_tcp_user_timeout, socket_error};
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, connect, ipproto, socket_with};

use super::noise::{Channel, Handshake, Secret, Untrusted, first_frame};

/// A peer that acknowledges nothing for so long is gone, milliseconds.
const USER_TIMEOUT_MS: u32 = 3000;
/// Read from one connection before the others have their turn.
const READ_AT_ONCE: usize = 256 << 10;
/// Written ahead of the socket: what waits beyond it waits where it is bounded.
const OUTBOX: usize = 128 << 10;

/// Why a connection ended.
#[derive(Debug)]
pub(super) enum Ended {
    /// The network, or the partner, closed it.
    Closed(io::Error),
    /// The other side does not know the secret.
    Untrusted,
}

impl From<Untrusted> for Ended {
    fn from(_: Untrusted) -> Self {
        Self::Untrusted
    }
}

impl From<io::Error> for Ended {
    fn from(error: io::Error) -> Self {
        Self::Closed(error)
    }
}

#[derive(Debug)]
enum Phase {
    /// The kernel is connecting; then this secret is spoken with.
    Connecting(Secret),
    Handshake(Handshake),
    Open(Channel),
    /// Nothing is heard or said any more.
    Over,
}

/// One TCP connection.
#[derive(Debug)]
pub(super) struct Link {
    stream: TcpStream,
    phase: Phase,
    inbox: Vec<u8>,
    outbox: Vec<u8>,
    /// Of the outbox, what the socket has taken.
    taken: usize,
}

impl Link {
    /// Begins to connect from one address of a path to the other.
    pub(super) fn connect(from: IpAddr, to: SocketAddr, secret: Secret) -> io::Result<Self> {
        let family = if to.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(family, SocketType::STREAM, flags, Some(ipproto::TCP))?;
        bind(&socket, &SocketAddr::new(from, 0))?;
        match connect(&socket, &to) {
            Ok(()) | Err(rustix::io::Errno::INPROGRESS) => {}
            Err(error) => return Err(error.into()),
        }
        Self::new(socket.into(), Phase::Connecting(secret))
    }

    /// Takes a connection that somebody made from a partner's address.
    pub(super) fn accepted(stream: TcpStream, secrets: Vec<Secret>) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        Self::new(stream, Phase::Handshake(Handshake::Responder(secrets)))
    }

    fn new(stream: TcpStream, phase: Phase) -> io::Result<Self> {
        set_tcp_nodelay(&stream, true)?;
        set_tcp_user_timeout(&stream, USER_TIMEOUT_MS)?;
        Ok(Self { stream, phase, inbox: Vec::new(), outbox: Vec::new(), taken: 0 })
    }

    /// Whether the other side has answered with the secret.
    pub(super) const fn is_open(&self) -> bool {
        matches!(self.phase, Phase::Open(_))
    }

    /// Whether the network has yet to say something.
    pub(super) const fn is_connecting(&self) -> bool {
        matches!(self.phase, Phase::Connecting(_))
    }

    /// Whether the socket is to be asked when it takes more.
    pub(super) fn wants_to_write(&self) -> bool {
        self.is_connecting() || self.taken < self.outbox.len()
    }

    /// Whether another message may be written now.
    pub(super) fn has_room(&self) -> bool {
        self.is_open() && self.outbox.len() - self.taken < OUTBOX
    }

    /// Reads what has come and hears every whole message; true if there may be more.
    pub(super) fn read<E: From<Ended>>(
        &mut self,
        mut hear: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<bool, E> {
        if self.is_connecting() {
            return Ok(false);
        }
        let mut read = 0;
        let mut chunk = [0; 16 << 10];
        while read < READ_AT_ONCE {
            match self.stream.read(&mut chunk) {
                Ok(0) => return Err(Ended::Closed(io::ErrorKind::UnexpectedEof.into()).into()),
                Ok(length) => {
                    read += length;
                    self.inbox.extend_from_slice(&chunk[..length]);
                    self.hear_frames(&mut hear)?;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Ended::Closed(error).into()),
            }
        }
        Ok(true)
    }

    /// What remains in the inbox is less than one frame.
    fn hear_frames<E: From<Ended>>(
        &mut self,
        hear: &mut impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut heard = 0;
        loop {
            let longest = if self.is_open() { Channel::longest() } else { Handshake::longest() };
            let Some((frame, length)) =
                first_frame(&self.inbox[heard..], longest).map_err(|error| E::from(error.into()))?
            else {
                break;
            };
            match std::mem::replace(&mut self.phase, Phase::Over) {
                Phase::Open(mut channel) => {
                    hear(channel.open(frame).map_err(|error| E::from(error.into()))?)?;
                    self.phase = Phase::Open(channel);
                }
                Phase::Handshake(handshake) => {
                    let opened = handshake.hear(frame, &mut self.outbox);
                    self.phase = Phase::Open(opened.map_err(|error| E::from(error.into()))?);
                }
                Phase::Connecting(_) | Phase::Over => return Err(Ended::Untrusted.into()),
            }
            heard += length;
        }
        self.inbox.drain(..heard);
        Ok(())
    }

    /// Says one message; only while there [is room](Self::has_room).
    pub(super) fn say(&mut self, message: &[u8]) -> Result<(), Ended> {
        match &mut self.phase {
            Phase::Open(channel) => Ok(channel.seal(message, &mut self.outbox)?),
            _ => Ok(()),
        }
    }

    /// Gives the socket what it takes.
    pub(super) fn write(&mut self) -> Result<(), Ended> {
        if let Phase::Connecting(secret) = self.phase {
            socket_error(&self.stream)?.map_err(io::Error::from)?;
            if self.stream.peer_addr().is_err() {
                return Ok(());
            }
            self.phase = Phase::Handshake(Handshake::initiate(&secret, &mut self.outbox)?);
        }
        while self.taken < self.outbox.len() {
            match self.stream.write(&self.outbox[self.taken..]) {
                Ok(length) => self.taken += length,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.outbox.drain(..std::mem::take(&mut self.taken));
                    return Ok(());
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        self.outbox.clear();
        self.taken = 0;
        Ok(())
    }
}

impl From<rustix::io::Errno> for Ended {
    fn from(error: rustix::io::Errno) -> Self {
        Self::Closed(error.into())
    }
}

impl AsFd for Link {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

/// Listens on an address of a path.
pub(super) fn listen(on: SocketAddr) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(on)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// How long a side has to show that it knows the secret.
pub(super) const HANDSHAKE: Duration = Duration::from_secs(2);
