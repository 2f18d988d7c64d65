//! A thousand numbered questions a second to the address; the longest run without an answer is what a client felt.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow};
use rustix::net::{AddressFamily, SocketType, ipproto};

use crate::namespace::Namespace;
use crate::traffic::echo::ECHO;
use crate::traffic::{Pace, Stop};

const EVERY: Duration = Duration::from_millis(1);
/// An answer may be this late; the site's own delay is well below a millisecond.
const LATE: Duration = Duration::from_millis(300);

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Question {
    /// ICMP echo: whoever owns the address answers.
    Ping,
    /// UDP echo: a content host answers.
    Echo,
}

/// Asks until stopped.
#[derive(Debug)]
pub(super) struct Pulse {
    stop: Arc<Stop>,
    sender: JoinHandle<Result<Vec<Duration>>>,
    receiver: JoinHandle<Result<Vec<u64>>>,
}

/// When each question was sent and whether it was answered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Beats {
    sent_at: Vec<Duration>,
    answered: Vec<bool>,
}

/// The longest time without an answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Gap {
    /// From the last question answered before to the first answered after.
    pub(super) length: Duration,
    /// Questions without an answer, in all.
    pub(super) lost: u64,
    /// Whether answers came again.
    pub(super) over: bool,
    /// The longest time within it in which the client did not even ask: by so much it may be too long.
    pub(super) unasked: Duration,
}

impl Pulse {
    pub(super) fn start(from: &Namespace, to: Ipv4Addr, what: Question, clock: Instant) -> Result<Self> {
        let socket = what.socket(from, to)?;
        let receiving = socket.try_clone()?;
        let stop = Arc::new(Stop::default());
        let (first, second) = (Arc::clone(&stop), Arc::clone(&stop));
        Ok(Self {
            stop,
            sender: std::thread::spawn(move || send(&socket, what, clock, &first)),
            receiver: std::thread::spawn(move || receive(&receiving, what, &second)),
        })
    }

    pub(super) fn stop(self) -> Result<Beats> {
        self.stop.tell();
        let sent_at = self.sender.join().map_err(|_| anyhow!("the pulse panicked"))??;
        let back = self.receiver.join().map_err(|_| anyhow!("the pulse's receiver panicked"))??;
        Ok(Beats::new(sent_at, &back))
    }
}

impl Question {
    fn socket(self, from: &Namespace, to: Ipv4Addr) -> Result<UdpSocket> {
        from.sysctl("ipv4/ping_group_range", "0 2147483647")?;
        from.inside(|| {
            let socket = match self {
                Self::Ping => {
                    let socket =
                        rustix::net::socket(AddressFamily::INET, SocketType::DGRAM, Some(ipproto::ICMP))
                            .context("cannot open a ping socket")?;
                    UdpSocket::from(socket)
                }
                Self::Echo => UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).context("no socket")?,
            };
            rustix::net::sockopt::set_socket_recv_buffer_size_force(&socket, 4 << 20)?;
            socket.set_read_timeout(Some(LATE))?;
            let port = if self == Self::Ping { 0 } else { ECHO };
            socket.connect(SocketAddr::new(IpAddr::V4(to), port))?;
            Ok(socket)
        })
    }

    /// The packet with this number; the kernel fills in checksum and identifier of an echo request.
    fn packet(self, number: u64) -> Vec<u8> {
        let header: &[u8] = if self == Self::Ping { &[8, 0, 0, 0, 0, 0, 0, 1] } else { &[] };
        [header, &number.to_be_bytes()].concat()
    }

    fn number(self, packet: &[u8]) -> Option<u64> {
        let body = if self == Self::Ping { packet.get(8..)? } else { packet };
        body.first_chunk().copied().map(u64::from_be_bytes)
    }
}

fn send(socket: &UdpSocket, what: Question, clock: Instant, stop: &Stop) -> Result<Vec<Duration>> {
    let mut sent_at = Vec::new();
    let mut pace = Pace::every(EVERY);
    while !stop.told() {
        pace.wait();
        sent_at.push(clock.elapsed());
        match socket.send(&what.packet(sent_at.len() as u64 - 1)) {
            Ok(_) => {}
            // An ICMP error about an earlier one, or no neighbour yet: this one is missed by its number.
            Err(error) if is_about_the_way(error.kind()) => {}
            Err(error) => return Err(error).context("cannot send a pulse"),
        }
    }
    Ok(sent_at)
}

const fn is_about_the_way(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::ConnectionRefused | ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable)
}

/// Receives until the sender has stopped and nothing has come for a while.
fn receive(socket: &UdpSocket, what: Question, stop: &Stop) -> Result<Vec<u64>> {
    let mut back = Vec::new();
    let mut packet = [0; 128];
    loop {
        match socket.recv(&mut packet) {
            Ok(length) => back.extend(what.number(&packet[..length])),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                if stop.told() {
                    return Ok(back);
                }
            }
            Err(error) if is_about_the_way(error.kind()) => {}
            Err(error) => return Err(error).context("cannot receive a pulse"),
        }
    }
}

impl Gap {
    fn lengthen(&mut self, length: Duration, unasked: Duration) {
        if length > self.length {
            (self.length, self.unasked) = (length, unasked);
        }
    }
}

impl Beats {
    fn new(sent_at: Vec<Duration>, back: &[u64]) -> Self {
        let mut answered = vec![false; sent_at.len()];
        for &number in back {
            if let Some(seen) = answered.get_mut(number as usize) {
                *seen = true;
            }
        }
        Self { sent_at, answered }
    }

    /// The longest run without an answer among the questions sent from `then` to `end`. A sender that paused is no
    /// gap: only questions without an answer are.
    pub(super) fn gap_between(&self, then: Duration, end: Duration) -> Gap {
        let mut gap = Gap { over: true, ..Gap::default() };
        let (mut last, mut missing, mut latest, mut unasked) = (None, 0, then, Duration::ZERO);
        let within = |at: &Duration| (then..end).contains(at);
        for (&at, &answered) in self.sent_at.iter().zip(&self.answered).filter(|(at, _)| within(at)) {
            unasked = unasked.max(at - latest);
            latest = at;
            if answered {
                let silence = if missing > 0 { at - last.unwrap_or(then) } else { Duration::ZERO };
                gap.lengthen(silence, unasked);
                (last, missing, unasked) = (Some(at), 0, Duration::ZERO);
            } else {
                missing += 1;
                gap.lost += 1;
            }
        }
        if missing > 0 {
            gap.lengthen(latest - last.unwrap_or(then), unasked);
            // The very last question may simply have been cut off by the end of the trial.
            gap.over = missing <= 5;
        }
        gap
    }

    /// Questions sent.
    pub(super) fn sent(&self) -> u64 {
        self.sent_at.len() as u64
    }

    /// The sender's longest pause: within it the method is blind.
    pub(super) fn longest_pause(&self) -> Duration {
        self.sent_at.windows(2).map(|two| two[1] - two[0]).max().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn beats(back: &[u64]) -> Beats {
        Beats::new([0, 1, 2, 10, 11, 12, 13].map(Duration::from_millis).to_vec(), back)
    }

    #[test]
    fn a_pause_of_the_sender_is_no_gap() {
        let gap = beats(&[0, 1, 2, 3, 4, 5, 6]).gap_between(Duration::ZERO, Duration::MAX);
        assert_eq!(gap, Gap { over: true, ..Gap::default() });
    }

    #[test]
    fn a_gap_reaches_from_answer_to_answer() {
        let gap = beats(&[0, 1, 2, 5, 6]).gap_between(Duration::ZERO, Duration::MAX);
        assert_eq!(
            gap,
            Gap { length: Duration::from_millis(10), lost: 2, over: true, unasked: Duration::from_millis(8) }
        );
    }

    #[test]
    fn silence_from_the_beginning_counts_from_there() {
        let gap = beats(&[4, 5, 6]).gap_between(Duration::from_millis(1), Duration::MAX);
        assert_eq!((gap.length, gap.lost), (Duration::from_millis(10), 3));
    }

    #[test]
    fn a_number_comes_back_as_it_went() {
        for what in [Question::Ping, Question::Echo] {
            assert_eq!(what.number(&what.packet(258)), Some(258));
        }
        assert_eq!(Question::Ping.number(&[0; 9]), None);
    }
}
