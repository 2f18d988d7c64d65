//! Echo requests to the addresses that tell whether this node is on the network.

use std::io;
use std::net::{IpAddr, UdpSocket};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::time::Duration;

use geminus_core::ha::Instant;

use super::datagram::checksum;
use crate::kernel::echo_socket::{ECHO_REPLY, ECHO_REPLY_6, ECHO_REQUEST, ECHO_REQUEST_6, echo_socket};

/// How often each target is asked.
const EVERY: Duration = Duration::from_millis(200);

/// How often a target is asked that did not answer: a lost question must not count for more than it is.
const URGENT: Duration = Duration::from_millis(50);

/// So many questions in a row are urgent; a target that answers none of them is not there.
const URGENT_MOST: u32 = 16;

/// Longest answer that is read: an IP header with options, ours, and room.
const ANSWER: usize = 256;

/// Answers read in one go: what all targets send in a few rounds.
const GO: usize = 64;

/// The targets and the sockets to ask them by.
#[derive(Debug)]
pub(super) struct Reach {
    targets: Vec<Target>,
    ipv4: Option<UdpSocket>,
    ipv6: Option<UdpSocket>,
    /// Random: what an answer must repeat, so that nobody answers who was not asked.
    secret: u64,
    sequence: u16,
}

#[derive(Debug)]
struct Target {
    address: IpAddr,
    due: Instant,
    /// Questions on the schedule since the last answer.
    unanswered: u32,
}

impl Target {
    /// When it is asked again after it was asked now.
    const fn pause(&self) -> Duration {
        match self.unanswered {
            0 | 1 => EVERY,
            2..=URGENT_MOST => URGENT,
            _ => EVERY,
        }
    }
}

impl Reach {
    pub(super) const fn new(secret: u64) -> Self {
        Self { targets: Vec::new(), ipv4: None, ipv6: None, secret, sequence: 0 }
    }

    /// These targets, from now on, asked one after the other.
    pub(super) fn configure(&mut self, targets: &[IpAddr], now: Instant) {
        let gap = EVERY / u32::try_from(targets.len()).unwrap_or(1).max(1);
        let target =
            |(at, &address): (usize, &IpAddr)| Target { address, due: now + gap * at as u32, unanswered: 0 };
        self.targets = targets.iter().enumerate().map(target).collect();
    }

    /// Opens what is not open; returns what is amiss.
    pub(super) fn mend(&mut self) -> Option<String> {
        let is_wanted = |v4: bool| self.targets.iter().any(|target| target.address.is_ipv4() == v4);
        let (v4, v6) = (is_wanted(true), is_wanted(false));
        let opened = match (&self.ipv4, &self.ipv6) {
            (None, _) if v4 => echo_socket(true).map(|socket| self.ipv4 = Some(socket)),
            (_, None) if v6 => echo_socket(false).map(|socket| self.ipv6 = Some(socket)),
            _ => return None,
        };
        opened.err().map(|error| format!("reach targets cannot be asked: {error}"))
    }

    /// What is to be watched.
    pub(super) fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.ipv4.iter().chain(&self.ipv6).map(UdpSocket::as_fd)
    }

    /// When [`handle_timeout`](Self::handle_timeout) wants to be called, if ever.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.targets.iter().map(|target| target.due).min()
    }

    /// Asks who is to be asked now.
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        for at in 0..self.targets.len() {
            if self.targets[at].due <= now {
                let target = &mut self.targets[at];
                target.unanswered = target.unanswered.saturating_add(1);
                let pause = target.pause();
                // Late is late: what was not asked meanwhile is not asked in one lump.
                target.due = (target.due + pause).max(now + pause / 2);
                self.ask(at);
            }
        }
    }

    /// Asks all, now.
    pub(super) fn ask_all(&mut self) {
        (0..self.targets.len()).for_each(|at| self.ask(at));
    }

    fn ask(&mut self, at: usize) {
        let address = self.targets[at].address;
        let socket = if address.is_ipv4() { &self.ipv4 } else { &self.ipv6 };
        if let Some(socket) = socket {
            let request = request(address.is_ipv4(), self.sequence, self.secret, at as u32);
            // As lost as on the way.
            drop(socket.send_to(&request, (address, 0)));
        }
        self.sequence = self.sequence.wrapping_add(1);
    }

    /// Reads every answer that came and was not read; `hear` gets the number of the target.
    pub(super) fn drain(&mut self, mut hear: impl FnMut(u32)) {
        let targets = &mut self.targets;
        let mut buffer = [0; ANSWER];
        for socket in self.ipv4.iter().chain(&self.ipv6) {
            for _ in 0..GO {
                match socket.recv_from(&mut buffer) {
                    Ok((length, from)) => {
                        let target = answer(from.is_ipv4(), &buffer[..length.min(ANSWER)], self.secret);
                        let Some(at) = target else { continue };
                        let asked = targets.get_mut(at as usize).filter(|target| target.address == from.ip());
                        if let Some(target) = asked {
                            target.unanswered = 0;
                            hear(at);
                        }
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    // An error of the network about an earlier request.
                    Err(_) => {}
                }
            }
        }
    }
}

/// An echo request: type, code, checksum, identifier, sequence, secret, number of the target. The kernel fills in the
/// checksum of ICMPv6 (RFC 3542 section 3.1).
fn request(is_ipv4: bool, sequence: u16, secret: u64, target: u32) -> Vec<u8> {
    let mut message = vec![if is_ipv4 { ECHO_REQUEST } else { ECHO_REQUEST_6 }, 0, 0, 0];
    message.extend((secret as u16).to_be_bytes());
    message.extend(sequence.to_be_bytes());
    message.extend(secret.to_le_bytes());
    message.extend(target.to_le_bytes());
    if is_ipv4 {
        let sum = checksum(&[&message]).to_be_bytes();
        message[2..4].copy_from_slice(&sum);
    }
    message
}

/// The number of the target that an answer to [`request`] is about. A raw socket of IPv4 gives the IP header too, one of
/// IPv6 does not.
fn answer(is_ipv4: bool, packet: &[u8], secret: u64) -> Option<u32> {
    let header = if is_ipv4 { usize::from(packet.first()? & 15) * 4 } else { 0 };
    let message = packet.get(header..)?;
    let reply = if is_ipv4 { ECHO_REPLY } else { ECHO_REPLY_6 };
    let repeated = message.get(8..16)? == secret.to_le_bytes();
    let target = u32::from_le_bytes(message.get(16..20)?.try_into().ok()?);
    (message[0] == reply && message[1] == 0 && repeated).then_some(target)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_that_misses_one_is_asked_more_often_for_a_while() {
        let at = |ms: u64| Instant::from_start(Duration::from_millis(ms));
        let mut reach = Reach::new(1);
        reach.configure(&["192.0.2.1".parse().unwrap()], at(0));
        let mut asked = Vec::new();
        for ms in 0..3_000 {
            if reach.poll_timeout().is_some_and(|due| due <= at(ms)) {
                reach.handle_timeout(at(ms));
                asked.push(ms);
            }
        }
        assert_eq!(asked[..5], [0, 200, 250, 300, 350]);
        assert_eq!(asked[asked.len() - 1] - asked[asked.len() - 2], 200, "it is not there");
        reach.targets[0].unanswered = 0;
        reach.handle_timeout(reach.poll_timeout().unwrap());
        assert_eq!(reach.targets[0].pause(), EVERY);
    }

    const SECRET: u64 = 0x0123_4567_89ab_cdef;

    fn echoed(is_ipv4: bool, mut request: Vec<u8>) -> Vec<u8> {
        request[0] = if is_ipv4 { ECHO_REPLY } else { ECHO_REPLY_6 };
        let header: &[u8] = if is_ipv4 { &[0x46; 24] } else { &[] };
        [header, &request].concat()
    }

    #[test]
    fn an_answer_names_its_target_and_only_whoever_was_asked_can_give_it() {
        for is_ipv4 in [true, false] {
            let packet = echoed(is_ipv4, request(is_ipv4, 7, SECRET, 3));
            assert_eq!(answer(is_ipv4, &packet, SECRET), Some(3));
            assert_eq!(answer(is_ipv4, &packet, SECRET + 1), None, "of another daemon");
            for end in 0..packet.len() {
                assert_eq!(answer(is_ipv4, &packet[..end], SECRET), None, "cut at {end}");
            }
        }
    }

    #[test]
    fn a_request_is_no_answer() {
        let packet = [&[0x45; 20][..], &request(true, 7, SECRET, 3)].concat();
        assert_eq!(answer(true, &packet, SECRET), None);
        assert_eq!(checksum(&[&packet[20..]]), 0, "and its checksum is right");
    }

    #[test]
    fn targets_are_asked_in_turn_and_never_in_one_lump_after_a_pause() {
        let at = |ms| Instant::from_start(Duration::from_millis(ms));
        let target = |last| IpAddr::from([192, 0, 2, last]);
        let mut reach = Reach::new(SECRET);
        reach.configure(&[target(1), target(2)], at(0));
        assert_eq!(reach.poll_timeout(), Some(at(0)));
        reach.handle_timeout(at(0));
        assert_eq!(reach.poll_timeout(), Some(at(100)));
        reach.targets.iter_mut().for_each(|target| target.unanswered = 0);
        reach.handle_timeout(at(5_000));
        assert_eq!(reach.poll_timeout(), Some(at(5_100)), "once, not twenty-five times");
        let before = reach.sequence;
        reach.ask_all();
        assert_eq!(reach.sequence, before + 2);
    }
}
