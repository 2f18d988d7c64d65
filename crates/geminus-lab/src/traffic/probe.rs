//! Is a port open, shut or silent?

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use anyhow::{Context as _, Result};
use rustix::net::{AddressFamily, SocketType, ipproto};

use crate::namespace::Namespace;

/// What a port says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PortState {
    /// It accepts or answers.
    Open,
    /// It says no: a reset, or ICMP unreachable.
    Refused,
    /// It says nothing.
    Silent,
}

/// One connection attempt.
///
/// # Errors
/// When the attempt fails for a reason that says nothing about the port.
pub fn tcp(from: &Namespace, to: SocketAddr, patience: Duration) -> Result<PortState> {
    from.inside(|| match TcpStream::connect_timeout(&to, patience) {
        Ok(_) => Ok(PortState::Open),
        Err(error) => state_of(&error).with_context(|| format!("cannot probe tcp {to}: {error}")),
    })
}

/// One datagram, and whether anything comes back.
///
/// # Errors
/// When the attempt fails for a reason that says nothing about the port.
pub fn udp(from: &Namespace, to: SocketAddr, patience: Duration) -> Result<PortState> {
    from.inside(|| {
        let socket = UdpSocket::bind(any_address(to)).context("cannot open a UDP socket")?;
        socket.connect(to)?;
        socket.set_read_timeout(Some(patience))?;
        socket.send(b"probe")?;
        match socket.recv(&mut [0; 64]) {
            Ok(_) => Ok(PortState::Open),
            Err(error) => state_of(&error).with_context(|| format!("cannot probe udp {to}: {error}")),
        }
    })
}

/// One echo request, and whether it is answered.
///
/// # Errors
/// When the request cannot be sent.
pub fn echo(from: &Namespace, to: IpAddr, patience: Duration) -> Result<bool> {
    // ICMP type 8 and ICMPv6 type 128; the kernel fills in checksum and identifier.
    let (family, protocol, request) = match to {
        IpAddr::V4(_) => (AddressFamily::INET, ipproto::ICMP, 8),
        IpAddr::V6(_) => (AddressFamily::INET6, ipproto::ICMPV6, 128),
    };
    from.sysctl("ipv4/ping_group_range", "0 2147483647")?;
    from.inside(|| {
        let socket = rustix::net::socket(family, SocketType::DGRAM, Some(protocol))
            .context("cannot open a ping socket")?;
        let socket = UdpSocket::from(socket);
        socket.set_read_timeout(Some(patience))?;
        socket.connect(SocketAddr::new(to, 0))?;
        socket.send(&[request, 0, 0, 0, 0, 0, 0, 1, b'g', b'e', b'm', b'i', b'n', b'u', b's', 0])?;
        Ok(socket.recv(&mut [0; 64]).is_ok())
    })
}

/// The unspecified address of the same family, any port.
pub(super) fn any_address(of: SocketAddr) -> SocketAddr {
    match of {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    }
}

fn state_of(error: &std::io::Error) -> Option<PortState> {
    match error.kind() {
        ErrorKind::ConnectionRefused
        | ErrorKind::ConnectionReset
        | ErrorKind::HostUnreachable
        | ErrorKind::NetworkUnreachable => Some(PortState::Refused),
        ErrorKind::TimedOut | ErrorKind::WouldBlock => Some(PortState::Silent),
        _ => None,
    }
}
