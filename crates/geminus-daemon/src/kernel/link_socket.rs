//! Frames of our own: ARP and neighbour discovery, sent and heard beside the kernel's.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::task::{Context, Poll};

use geminus_core::director::frame;
use geminus_core::director::{Claim, Input};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::calls::{self, Instruction};

/// Load a half-word, a word, a byte at a place in the frame; accumulator to index register; jump if equal; return.
const LDH: u16 = 0x28;
const LDW: u16 = 0x20;
const LDB: u16 = 0x30;
const TAX: u16 = 0x07;
const JEQ: u16 = 0x15;
const JEQ_X: u16 = 0x1d;
const RET: u16 = 0x06;

/// Replies, and requests in which somebody announces itself (sender and target address are the same).
const ARP_CLAIMS: [Instruction; 8] = [
    (LDH, 0, 0, 20),
    (JEQ, 4, 0, 2),
    (LDW, 0, 0, 28),
    (TAX, 0, 0, 0),
    (LDW, 0, 0, 38),
    (JEQ_X, 0, 1, 0),
    (RET, 0, 0, FRAME as u32),
    (RET, 0, 0, 0),
];

/// ICMPv6 neighbour advertisements without extension headers.
const ADVERTISEMENTS: [Instruction; 6] = [
    (LDB, 0, 0, 20),
    (JEQ, 0, 3, 58),
    (LDB, 0, 0, 54),
    (JEQ, 0, 1, 136),
    (RET, 0, 0, FRAME as u32),
    (RET, 0, 0, 0),
];

/// Longest frame that is read; an advertisement with one option has 86 bytes.
const FRAME: usize = 256;

/// Frames read in one go before others get their turn: a storm of claims must not delay the lease.
const GO: usize = 512;

/// Sends and hears frames on all interfaces.
#[derive(Debug)]
pub(crate) struct LinkSocket {
    arp: AsyncFd<OwnedFd>,
    advertisements: AsyncFd<OwnedFd>,
}

impl LinkSocket {
    /// Needs `CAP_NET_RAW`.
    pub(crate) fn open() -> io::Result<Self> {
        let open = |ethertype: i32, filter: &[Instruction]| {
            calls::watched(calls::packet_socket(ethertype as u16, 0, filter)?)
        };
        Ok(Self {
            arp: open(libc::ETH_P_ARP, &ARP_CLAIMS)?,
            advertisements: open(libc::ETH_P_IPV6, &ADVERTISEMENTS)?,
        })
    }

    /// Sends one frame. A full queue or an interface that just went away loses it, as the wire may.
    pub(crate) fn send(&self, interface: u32, frame: &[u8]) {
        if let Err(error) = calls::send_frame(self.arp.as_fd(), interface, frame) {
            tracing::debug!(interface, %error, "frame not sent");
        }
    }

    /// Waits until there may be something to read.
    pub(crate) async fn readable(&self) {
        std::future::poll_fn(|context: &mut Context<'_>| {
            let arp = self.arp.poll_read_ready(context).is_ready();
            let advertisements = self.advertisements.poll_read_ready(context).is_ready();
            if arp || advertisements { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    /// What was heard and not yet read.
    pub(crate) fn heard(&self) -> Vec<Input> {
        let mut inputs = Vec::new();
        for socket in [&self.arp, &self.advertisements] {
            drain(socket, &mut inputs);
        }
        inputs
    }
}

fn drain(socket: &AsyncFd<OwnedFd>, inputs: &mut Vec<Input>) {
    let mut buffer = [0; FRAME];
    for _ in 0..GO {
        match socket.try_io(Interest::READABLE, |fd| calls::receive_frame(fd.as_fd(), &mut buffer)) {
            Ok((length, interface)) => {
                let claim = frame::claim(&buffer[..length.min(FRAME)]);
                inputs.extend(claim.map(|claim: Claim| Input::Claim { interface, claim }));
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
            // ENETDOWN is reported once when an interface goes down; the socket lives on.
            Err(error) => tracing::debug!(%error, "frame not received"),
        }
    }
}
