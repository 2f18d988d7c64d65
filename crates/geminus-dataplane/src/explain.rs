//! One packet asked about: through the loaded program by test-run and through the host build, on the same tables. Neither
//! counts nor remembers it.

use std::net::{IpAddr, SocketAddr};

use geminus_packet::frame::SliceFrame;
use geminus_packet::tables::{Tables as _, Ticks};
use geminus_packet::verdict::Verdict;
use geminus_packet::wire::number;

use crate::plane::DataPlane;
use crate::program::ProgramFailure;

/// The packet asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Question {
    /// Protocol number of the IP header: TCP, UDP, or either ICMP for an echo request.
    pub protocol: u8,
    /// Sender.
    pub source: SocketAddr,
    /// Receiver; of the same family.
    pub destination: SocketAddr,
    /// TCP: whether it is a SYN, else an ACK.
    pub first: bool,
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// In the loaded program.
    pub kernel: Verdict,
    /// In the host build.
    pub host: Verdict,
    /// Whether both left the same bytes.
    pub same_bytes: bool,
    /// Seen from now, the lease in ticks that the packet met.
    pub at: Ticks,
}

impl DataPlane {
    /// Asks both homes of the packet path about one packet.
    ///
    /// # Errors
    /// If the loaded program cannot be run.
    pub fn explain(&self, question: &Question) -> Result<Asked, ProgramFailure> {
        let tables = &*self.opened.tables;
        let globals = tables.globals().ok_or(ProgramFailure::Foreign("settings"))?;
        let frame = question.frame(self.options.mac);
        let mark =
            [globals.question[0].load().to_ne_bytes(), globals.question[1].load().to_ne_bytes()].concat();
        let run = self.opened.loaded.run(&frame, &mark)?;
        let (answer, kernel_frame) =
            run.frame.split_at_checked(mark.len()).ok_or(ProgramFailure::Foreign("answer"))?;
        let word = answer.iter().take(8).rev().fold(0, |word, byte| word << 8 | u64::from(*byte));
        let kernel = Verdict::from_word(word).ok_or(ProgramFailure::Foreign("verdict"))?;
        let (at, _) = self.opened.loaded.clock()?;
        let mut host_frame = SliceFrame::new(frame);
        let host = geminus_packet::dispatch(&mut host_frame, tables, at);
        Ok(Asked { kernel, host, same_bytes: kernel_frame == host_frame.bytes(), at })
    }
}

impl Question {
    /// The packet in a frame to `to`, from a locally administered address.
    pub fn frame(&self, to: [u8; 6]) -> Vec<u8> {
        let mut frame = Vec::with_capacity(80);
        frame.extend_from_slice(&to);
        frame.extend_from_slice(&[2, 0, 0, 0, 0, 1]);
        let payload = self.payload();
        match (self.source.ip(), self.destination.ip()) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                frame.extend_from_slice(&number::ETHER_IPV4.to_be_bytes());
                frame.extend_from_slice(&[0x45, 0]);
                frame.extend_from_slice(&(20 + payload.len() as u16).to_be_bytes());
                frame.extend_from_slice(&[0, 0, 0x40, 0, 64, self.protocol, 0, 0]);
                frame.extend_from_slice(&source.octets());
                frame.extend_from_slice(&destination.octets());
            }
            (source, destination) => {
                let octets = |ip| match ip {
                    IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
                    IpAddr::V6(ip) => ip.octets(),
                };
                frame.extend_from_slice(&number::ETHER_IPV6.to_be_bytes());
                frame.extend_from_slice(&[0x60, 0, 0, 0]);
                frame.extend_from_slice(&(payload.len() as u16).to_be_bytes());
                frame.extend_from_slice(&[self.protocol, 64]);
                frame.extend_from_slice(&octets(source));
                frame.extend_from_slice(&octets(destination));
            }
        }
        frame.extend_from_slice(&payload);
        frame
    }

    fn payload(&self) -> Vec<u8> {
        let mut payload = Vec::with_capacity(24);
        match self.protocol {
            number::ICMP => payload.extend_from_slice(&[8, 0, 0xf7, 0xff, 0, 0, 0, 0]),
            number::ICMPV6 => payload.extend_from_slice(&[128, 0, 0, 0, 0, 0, 0, 0]),
            protocol => {
                payload.extend_from_slice(&self.source.port().to_be_bytes());
                payload.extend_from_slice(&self.destination.port().to_be_bytes());
                if protocol == number::TCP {
                    let flags = if self.first { 0x02 } else { 0x10 };
                    payload.extend_from_slice(&[0, 0, 0, 1, 0, 0, 0, 0, 0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
                } else {
                    payload.extend_from_slice(&[0, 8, 0, 0]);
                }
            }
        }
        payload
    }
}
