//! Echo requests of checks: one socket for all of a family, and whoever waits is found by the answer's identifier.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::rc::Rc;

use geminus_core::health::Fault;
use socket2::SockRef;
use tokio::net::UdpSocket;
use tokio::sync::oneshot;
use tokio::task::spawn_local;

use super::road::{Aim, Road, mark};
use super::words::{of_socket, own};
use crate::kernel::echo_socket::{ECHO_REPLY, ECHO_REPLY_6, ECHO_REQUEST, ECHO_REQUEST_6, echo_socket};

/// Longest answer that is read: an IP header with options, ours, and room.
const ANSWER: usize = 128;

/// Time to live of what is not to stay on the link.
const FAR: u32 = 64;

/// The sockets, and who waits.
pub(super) struct Echo {
    sockets: [RefCell<Option<Rc<UdpSocket>>>; 2],
    waiting: Rc<RefCell<Waiting>>,
}

#[derive(Default)]
struct Waiting {
    last: u16,
    by_identifier: HashMap<u16, Asked>,
}

struct Asked {
    address: IpAddr,
    nonce: u64,
    answered: oneshot::Sender<()>,
}

/// Waits no more when it is dropped.
struct Turn {
    waiting: Rc<RefCell<Waiting>>,
    identifier: u16,
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.waiting.borrow_mut().by_identifier.remove(&self.identifier);
    }
}

impl Echo {
    pub(super) fn new() -> Self {
        Self { sockets: [RefCell::new(None), RefCell::new(None)], waiting: Rc::default() }
    }

    /// Asks once and waits for the answer, for ever.
    pub(super) async fn ask(&self, aim: &Aim, nonce: u64) -> Result<(), Fault> {
        const WHAT: &str = "an echo";
        let socket = self.socket(aim.address.is_ipv4()).map_err(own)?;
        let (answered, answer) = oneshot::channel();
        let turn = self.turn(Asked { address: aim.address, nonce, answered })?;
        let request = request(aim.address.is_ipv4(), turn.identifier, nonce);
        send(&socket, aim, &request).map_err(|error| of_socket(&error, WHAT))?;
        answer.await.map_err(|_| own("nobody listens for echoes any more"))
    }

    fn turn(&self, asked: Asked) -> Result<Turn, Fault> {
        let mut waiting = self.waiting.borrow_mut();
        let Waiting { last, by_identifier } = &mut *waiting;
        for _ in 0..=u16::MAX {
            *last = last.wrapping_add(1);
            if let std::collections::hash_map::Entry::Vacant(place) = by_identifier.entry(*last) {
                place.insert(asked);
                return Ok(Turn { waiting: Rc::clone(&self.waiting), identifier: *last });
            }
        }
        Err(own("too many echoes are awaited"))
    }

    fn socket(&self, is_ipv4: bool) -> io::Result<Rc<UdpSocket>> {
        let mut place = self.sockets[usize::from(is_ipv4)].borrow_mut();
        if let Some(socket) = &*place {
            return Ok(Rc::clone(socket));
        }
        let socket = Rc::new(UdpSocket::from_std(echo_socket(is_ipv4)?)?);
        drop(spawn_local(hear(Rc::clone(&socket), is_ipv4, Rc::clone(&self.waiting))));
        *place = Some(Rc::clone(&socket));
        Ok(socket)
    }
}

/// The mark is the socket's, and so is the time to live: both are set for each packet, which has left when this returns.
fn send(socket: &UdpSocket, aim: &Aim, request: &[u8]) -> io::Result<()> {
    let options = SockRef::from(socket);
    match (&aim.road, aim.address) {
        (Road::Clients(slot), address) => mark(options, address, slot.mark())?,
        (Road::Plain, IpAddr::V4(_)) => options.set_mark(0).and_then(|()| options.set_ttl_v4(FAR))?,
        (Road::Plain, IpAddr::V6(_)) => {
            options.set_mark(0).and_then(|()| options.set_unicast_hops_v6(FAR))?
        }
    }
    socket.try_send_to(request, (aim.address, 0).into()).map(drop)
}

async fn hear(socket: Rc<UdpSocket>, is_ipv4: bool, waiting: Rc<RefCell<Waiting>>) {
    let mut buffer = [0; ANSWER];
    loop {
        // Errors are about requests that did not arrive; whoever waits is told by the time.
        let Ok((length, from)) = socket.recv_from(&mut buffer).await else { continue };
        let Some((identifier, nonce)) = answer(is_ipv4, &buffer[..length]) else { continue };
        let mut waiting = waiting.borrow_mut();
        let asked = waiting.by_identifier.get(&identifier);
        if asked.is_some_and(|asked| asked.address == from.ip() && asked.nonce == nonce)
            && let Some(asked) = waiting.by_identifier.remove(&identifier)
        {
            // It gave up just now.
            let _ = asked.answered.send(());
        }
    }
}

/// Type, code, checksum, identifier, sequence number, and what an answer must repeat.
fn request(is_ipv4: bool, identifier: u16, nonce: u64) -> Vec<u8> {
    let mut message = vec![if is_ipv4 { ECHO_REQUEST } else { ECHO_REQUEST_6 }, 0, 0, 0];
    message.extend(identifier.to_be_bytes());
    message.extend([0, 1]);
    message.extend(nonce.to_le_bytes());
    if is_ipv4 {
        let sum = checksum(&message).to_be_bytes();
        message[2..4].copy_from_slice(&sum);
    }
    message
}

/// Identifier and nonce of an answer.
fn answer(is_ipv4: bool, packet: &[u8]) -> Option<(u16, u64)> {
    let header = if is_ipv4 { usize::from(packet.first()? & 15) * 4 } else { 0 };
    let message = packet.get(header..)?;
    let reply = if is_ipv4 { ECHO_REPLY } else { ECHO_REPLY_6 };
    if message.get(..2)? != [reply, 0] {
        return None;
    }
    let identifier = u16::from_be_bytes(message.get(4..6)?.try_into().ok()?);
    Some((identifier, u64::from_le_bytes(message.get(8..16)?.try_into().ok()?)))
}

/// RFC 1071, of an even number of bytes.
fn checksum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks_exact(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])));
    let sum: u32 = words.sum();
    let sum = (sum & 0xffff) + (sum >> 16);
    !((sum & 0xffff) + (sum >> 16)) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONCE: u64 = 0x0123_4567_89ab_cdef;

    #[test]
    fn an_answer_names_who_asked_and_what_was_said() {
        for is_ipv4 in [true, false] {
            let mut packet = request(is_ipv4, 0xabcd, NONCE);
            packet[0] = if is_ipv4 { ECHO_REPLY } else { ECHO_REPLY_6 };
            if is_ipv4 {
                packet = [&[0x46; 24][..], &packet].concat();
            }
            assert_eq!(answer(is_ipv4, &packet), Some((0xabcd, NONCE)));
            for end in 0..packet.len() {
                assert_eq!(answer(is_ipv4, &packet[..end]), None, "cut at {end}");
            }
        }
    }

    #[test]
    fn a_request_is_no_answer_and_its_checksum_is_right() {
        let request = request(true, 7, NONCE);
        assert_eq!(checksum(&request), 0);
        assert_eq!(answer(true, &[&[0x45; 20][..], &request].concat()), None);
    }
}
