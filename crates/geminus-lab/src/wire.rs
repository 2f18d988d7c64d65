//! Frames as they are on a wire: heard and sent at one interface, beside the kernel's own stack.
#![allow(unsafe_code, reason = "binding a packet socket to an interface has no safe wrapper")]

use std::io::{ErrorKind, Read as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::time::Duration;

use anyhow::{Context as _, Result};
use socket2::{Domain, Socket, Type};

use crate::namespace::{Namespace, index_of};

/// Longest frame that is read.
pub const FRAME: usize = 2048;
/// Room for the frames of a second in which the reader does not run.
const RECEIVE_BUFFER: usize = 16 << 20;

/// One end of a wire. It sees what comes in at the interface before any filter does, and not what it sends itself.
#[derive(Debug)]
pub struct Wire(Socket);

impl Wire {
    /// Listens and sends at an interface of a namespace.
    ///
    /// # Errors
    /// When there is no such interface or the process lacks the capability.
    pub fn at(namespace: &Namespace, device: &str) -> Result<Self> {
        namespace.inside(|| Self::here(device)).with_context(|| format!("cannot listen at {device}"))
    }

    /// The same in the calling thread's namespace.
    fn here(device: &str) -> Result<Self> {
        let index = index_of(device)?;
        let socket = Socket::new(Domain::from(libc::AF_PACKET), Type::from(libc::SOCK_RAW), None)?;
        // A small buffer loses frames; being refused a large one is no reason not to listen.
        let _ = rustix::net::sockopt::set_socket_recv_buffer_size_force(&socket, RECEIVE_BUFFER);
        ignore_outgoing(&socket)?;
        bind(&socket, index)?;
        Ok(Self(socket))
    }

    /// How long [`Self::receive`] waits.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn wait_at_most(&self, time: Duration) -> Result<()> {
        Ok(self.0.set_read_timeout(Some(time))?)
    }

    /// Puts a frame on the wire. A full queue loses it, as a wire may.
    ///
    /// # Errors
    /// When the interface is gone.
    pub fn send(&self, frame: &[u8]) -> Result<bool> {
        match (&self.0).write(frame) {
            Ok(_) => Ok(true),
            Err(error) if is_loss(&error) => Ok(false),
            Err(error) => Err(error).context("cannot send a frame"),
        }
    }

    /// The next frame, none if none came in time.
    ///
    /// # Errors
    /// When the interface is gone.
    pub fn receive<'a>(&self, buffer: &'a mut [u8; FRAME]) -> Result<Option<&'a [u8]>> {
        match (&self.0).read(buffer) {
            Ok(length) => Ok(Some(&buffer[..length])),
            Err(error) if is_loss(&error) || error.kind() == ErrorKind::TimedOut => Ok(None),
            Err(error) => Err(error).context("cannot receive a frame"),
        }
    }
}

/// The hardware address of an interface of a namespace.
///
/// # Errors
/// When there is no such interface.
pub fn mac_of(namespace: &Namespace, device: &str) -> Result<[u8; 6]> {
    let text = namespace.run("ip", &["-o", "link", "show", "dev", device])?;
    let mac = text.split_whitespace().skip_while(|word| *word != "link/ether").nth(1).and_then(parse_mac);
    mac.with_context(|| format!("{device} has no hardware address"))
}

fn parse_mac(text: &str) -> Option<[u8; 6]> {
    let bytes: Vec<u8> = text.split(':').map_while(|part| u8::from_str_radix(part, 16).ok()).collect();
    bytes.try_into().ok()
}

/// What a wire does too: nothing came, the queue is full, or the link is down just now.
fn is_loss(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted | ErrorKind::NetworkDown)
        || error.raw_os_error() == Some(libc::ENOBUFS)
}

fn bind(socket: &Socket, index: u32) -> std::io::Result<()> {
    // SAFETY: `sockaddr_ll` is plain data; all zero is a valid value.
    let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    address.sll_family = libc::AF_PACKET as u16;
    address.sll_protocol = (libc::ETH_P_ALL as u16).to_be();
    address.sll_ifindex = index.cast_signed();
    // SAFETY: the pointer and the length describe the live local `address`.
    let result = unsafe {
        libc::bind(
            socket.as_raw_fd(),
            (&raw const address).cast(),
            size_of::<libc::sockaddr_ll>() as libc::socklen_t,
        )
    };
    if result < 0 { Err(std::io::Error::last_os_error()) } else { Ok(()) }
}

fn ignore_outgoing(socket: &Socket) -> std::io::Result<()> {
    /// include/uapi/linux/if_packet.h
    const PACKET_IGNORE_OUTGOING: i32 = 23;
    let yes: i32 = 1;
    // SAFETY: the pointer and the length describe the live local `yes`.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_PACKET,
            PACKET_IGNORE_OUTGOING,
            (&raw const yes).cast(),
            size_of::<i32>() as libc::socklen_t,
        )
    };
    if result < 0 { Err(std::io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hardware_address_has_six_bytes() {
        assert_eq!(parse_mac("02:00:5e:10:00:ff"), Some([2, 0, 0x5e, 0x10, 0, 0xff]));
        assert_eq!(parse_mac("02:00:5e"), None);
    }
}
