//! Who has the address? Asked a hundred times a second from a machine of its own, so that nobody learns by it; whoever
//! answers, holds the address.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow};
use socket2::Socket;

use super::packet_socket;
use crate::namespace::{Namespace, index_of};
use crate::traffic::{Pace, Stop};

/// A hardware address.
pub(crate) type Mac = [u8; 6];

const EVERY: Duration = Duration::from_millis(10);
const ARP: u16 = 0x0806;

/// Asks until stopped.
#[derive(Debug)]
pub(super) struct Asker {
    stop: Arc<Stop>,
    thread: JoinHandle<Result<Vec<Asked>>>,
}

/// One question and who answered it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Asked {
    /// When, on the clock of the trial.
    pub(super) at: Duration,
    /// Everybody who answered before the next question.
    pub(super) holders: Vec<Mac>,
}

impl Asker {
    /// Begins to ask for `address` out of `eth0` of a machine of the LAN.
    pub(super) fn start(from: &Namespace, own: Ipv4Addr, address: Ipv4Addr, clock: Instant) -> Result<Self> {
        let stop = Arc::new(Stop::default());
        let thread = from.inside(|| {
            let mac = hardware_address(from, "eth0")?;
            let socket = packet_socket::open(ARP, index_of("eth0")?)?;
            let stop = Arc::clone(&stop);
            let question = question(mac, own, address);
            Ok(std::thread::spawn(move || ask(&socket, &question, address, own, clock, &stop)))
        })?;
        Ok(Self { stop, thread })
    }

    pub(super) fn stop(self) -> Result<Vec<Asked>> {
        self.stop.tell();
        self.thread.join().map_err(|_| anyhow!("the asker panicked"))?
    }
}

fn ask(
    socket: &Socket,
    question: &[u8],
    address: Ipv4Addr,
    own: Ipv4Addr,
    clock: Instant,
    stop: &Stop,
) -> Result<Vec<Asked>> {
    let mut asked = Vec::new();
    let mut pace = Pace::every(EVERY);
    socket.set_nonblocking(true)?;
    while !stop.told() {
        let at = clock.elapsed();
        socket.send(question).context("cannot ask who has the address")?;
        pace.wait();
        let mut holders = Vec::new();
        while let Some(mac) = next_answer(socket, address, own)? {
            if !holders.contains(&mac) {
                holders.push(mac);
            }
        }
        asked.push(Asked { at, holders });
    }
    Ok(asked)
}

/// The sender of the next answer in the queue; none: the queue is empty.
fn next_answer(mut socket: &Socket, address: Ipv4Addr, own: Ipv4Addr) -> Result<Option<Mac>> {
    let mut frame = [0; 128];
    loop {
        match std::io::Read::read(&mut socket, &mut frame) {
            Ok(length) => {
                if let Some(mac) = answer(&frame[..length], address, own) {
                    return Ok(Some(mac));
                }
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return Ok(None),
            Err(error) => return Err(error).context("cannot receive who has the address"),
        }
    }
}

/// An ARP request (RFC 826) from everybody's point of view a broadcast.
fn question(mac: Mac, own: Ipv4Addr, address: Ipv4Addr) -> Vec<u8> {
    let mut frame = [[0xff; 6], mac].concat();
    frame.extend([0x08, 0x06, 0, 1, 0x08, 0, 6, 4, 0, 1]);
    frame.extend(mac);
    frame.extend(own.octets());
    frame.extend([0; 6]);
    frame.extend(address.octets());
    frame
}

/// Who says in this frame, to us, that it has the address.
fn answer(frame: &[u8], address: Ipv4Addr, own: Ipv4Addr) -> Option<Mac> {
    let (operation, sender, said, to) =
        (frame.get(20..22)?, frame.get(22..28)?, frame.get(28..32)?, frame.get(38..42)?);
    let ours = operation == [0, 2] && said == address.octets() && to == own.octets();
    if ours { sender.try_into().ok() } else { None }
}

/// The hardware address of a device in this namespace.
pub(super) fn hardware_address(namespace: &Namespace, device: &str) -> Result<Mac> {
    let output = namespace.run("ip", &["-o", "link", "show", "dev", device])?;
    let mut words = output.split_whitespace().skip_while(|word| *word != "link/ether").skip(1);
    words.next().and_then(parse_mac).with_context(|| format!("{device} has no hardware address"))
}

fn parse_mac(text: &str) -> Option<Mac> {
    let bytes: Option<Vec<u8>> = text.split(':').map(|byte| u8::from_str_radix(byte, 16).ok()).collect();
    bytes?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const US: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 23);
    const IT: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 80);
    const MAC: Mac = [2, 0, 0, 0, 0, 7];

    fn reply(to: Ipv4Addr) -> Vec<u8> {
        let mut frame = question(MAC, IT, to);
        frame[21] = 2;
        frame
    }

    #[test]
    fn only_an_answer_to_us_about_the_address_names_a_holder() {
        assert_eq!(answer(&reply(US), IT, US), Some(MAC));
        assert_eq!(answer(&reply(IT), IT, US), None, "a gratuitous reply answers nobody");
        assert_eq!(answer(&question(MAC, IT, US), IT, US), None);
        assert_eq!(answer(&reply(US)[..30], IT, US), None);
    }

    #[test]
    fn a_hardware_address_is_six_bytes() {
        assert_eq!(parse_mac("02:00:00:00:00:07"), Some(MAC));
        assert_eq!(parse_mac("02:00"), None);
    }
}
