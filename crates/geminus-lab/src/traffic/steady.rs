//! A steady stream of numbered packets to one address: which were lost, and for how long nobody answered.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow};

use super::echo::socket;
use super::probe::any_address;
use super::{Pace, Stop};
use crate::namespace::Namespace;
use crate::undo::lock;

/// How long the last answers are waited for; on this site they take well below a millisecond.
const LAST_ANSWERS: Duration = Duration::from_millis(300);

/// The stream. One thread sends, one receives, so that a busy receiver delays no packet.
#[derive(Debug)]
pub struct Steady {
    stop: Arc<Stop>,
    sender: JoinHandle<Result<Vec<Instant>>>,
    receiver: JoinHandle<()>,
    heard: Arc<Mutex<Heard>>,
}

#[derive(Debug, Default)]
struct Heard {
    numbers: Vec<u64>,
    /// By flow, who answered.
    servers: Vec<BTreeSet<String>>,
}

/// What became of a stream.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Course {
    /// When each packet was sent.
    pub sent: Vec<Instant>,
    /// Whether its answer came.
    pub answered: Vec<bool>,
    /// Flows that more than one server answered.
    pub moved_flows: usize,
}

/// A time in which nobody answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    /// When the last packet before it was sent that had an answer.
    pub from: Instant,
    /// From there to the first packet that had an answer again.
    pub length: Duration,
    /// Packets lost in it.
    pub lost: usize,
}

impl Steady {
    /// Sends `per_second` packets over `flows` flows until stopped.
    ///
    /// # Errors
    /// When the sockets cannot be opened.
    pub fn start(from: &Namespace, to: SocketAddr, flows: usize, per_second: u32) -> Result<Self> {
        let stop = Arc::new(Stop::default());
        let heard = Arc::new(Mutex::new(Heard { servers: vec![BTreeSet::new(); flows], ..Heard::default() }));
        let sockets = from.inside(|| (0..flows).map(|_| open(to)).collect::<Result<Vec<_>>>())?;
        let sockets = Arc::new(sockets);
        let receiver = {
            let (sockets, stop, heard) = (Arc::clone(&sockets), Arc::clone(&stop), Arc::clone(&heard));
            std::thread::spawn(move || receive(&sockets, &stop, &heard))
        };
        let sender = {
            let stop = Arc::clone(&stop);
            let every = Duration::from_secs(1) / per_second.max(1);
            std::thread::spawn(move || send(&sockets, every, &stop))
        };
        Ok(Self { stop, sender, receiver, heard })
    }

    /// Ends it and waits for the last answers.
    ///
    /// # Errors
    /// When a socket failed or a thread panicked.
    pub fn stop(self) -> Result<Course> {
        self.stop.tell();
        let sent = self.sender.join().map_err(|_| anyhow!("the stream's sender panicked"))??;
        self.receiver.join().map_err(|_| anyhow!("the stream's receiver panicked"))?;
        let heard = lock(&self.heard);
        let mut answered = vec![false; sent.len()];
        for &number in &heard.numbers {
            if let Some(seen) = answered.get_mut(number as usize) {
                *seen = true;
            }
        }
        let moved_flows = heard.servers.iter().filter(|servers| servers.len() > 1).count();
        Ok(Course { sent, answered, moved_flows })
    }
}

impl Course {
    /// Packets without an answer.
    pub fn lost(&self) -> usize {
        self.answered.iter().filter(|&&seen| !seen).count()
    }

    /// Every time in which nobody answered, in order. One lost packet is one already.
    pub fn gaps(&self) -> Vec<Gap> {
        let mut gaps = Vec::new();
        let mut place = 0;
        while place < self.answered.len() {
            if self.answered[place] {
                place += 1;
                continue;
            }
            let first = place;
            while place < self.answered.len() && !self.answered[place] {
                place += 1;
            }
            let from = self.sent[first.saturating_sub(1)];
            // A stream that ends in silence has a gap up to its end.
            let until = self.sent[place.min(self.sent.len() - 1)];
            gaps.push(Gap { from, length: until - from, lost: place - first });
        }
        gaps
    }

    /// The longest of them.
    pub fn longest_gap(&self) -> Duration {
        self.gaps().iter().map(|gap| gap.length).max().unwrap_or_default()
    }

    /// The longest time between two packets sent: the stream's own hiccup, in which it could have seen no loss.
    pub fn longest_hiccup(&self) -> Duration {
        self.sent.windows(2).map(|two| two[1] - two[0]).max().unwrap_or_default()
    }
}

fn open(to: SocketAddr) -> Result<UdpSocket> {
    let socket = socket(any_address(to))?;
    socket.connect(to).with_context(|| format!("no way to {to}"))?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

fn send(sockets: &[UdpSocket], every: Duration, stop: &Stop) -> Result<Vec<Instant>> {
    let mut pace = Pace::every(every);
    let mut sent = Vec::new();
    while !stop.told() {
        pace.wait();
        let number = sent.len();
        sent.push(Instant::now());
        match sockets[number % sockets.len()].send(&(number as u64).to_be_bytes()) {
            Ok(_) => {}
            // ICMP about an earlier packet, or a full queue: the packet is missed by its number.
            Err(error) if is_loss(&error) => {}
            Err(error) => return Err(error).context("cannot send a packet of the stream"),
        }
    }
    Ok(sent)
}

fn is_loss(error: &std::io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionRefused
            | ErrorKind::HostUnreachable
            | ErrorKind::NetworkUnreachable
            | ErrorKind::WouldBlock
    )
}

fn receive(sockets: &[UdpSocket], stop: &Stop, heard: &Mutex<Heard>) {
    let mut ended = None;
    loop {
        let mut quiet = true;
        for (flow, socket) in sockets.iter().enumerate() {
            let mut packet = [0; 64];
            while let Ok(length) = socket.recv(&mut packet) {
                quiet = false;
                let Some((number, name)) = packet[..length].split_first_chunk() else { continue };
                let mut heard = lock(heard);
                heard.numbers.push(u64::from_be_bytes(*number));
                if !heard.servers[flow].contains(&*String::from_utf8_lossy(name)) {
                    heard.servers[flow].insert(String::from_utf8_lossy(name).into_owned());
                }
            }
        }
        if stop.told() && ended.get_or_insert_with(Instant::now).elapsed() > LAST_ANSWERS {
            return;
        }
        if quiet {
            // Numbers tell what is lost; when an answer came is of no interest.
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn course(answered: &[bool]) -> Course {
        let begun = Instant::now();
        let sent = (0..answered.len()).map(|i| begun + Duration::from_millis(i as u64)).collect();
        Course { sent, answered: answered.to_vec(), moved_flows: 0 }
    }

    #[test]
    fn a_gap_is_measured_from_the_last_answer_to_the_next() {
        let course = course(&[true, true, false, false, true, false, true]);
        let gaps = course.gaps();
        assert_eq!(
            gaps.iter().map(|gap| (gap.length.as_millis(), gap.lost)).collect::<Vec<_>>(),
            [(3, 2), (2, 1)]
        );
        assert_eq!((course.lost(), course.longest_gap()), (3, Duration::from_millis(3)));
    }

    #[test]
    fn a_stream_that_ends_in_silence_has_a_gap_to_its_end() {
        assert_eq!(course(&[true, false, false]).longest_gap(), Duration::from_millis(2));
        assert_eq!(course(&[true, true]).longest_gap(), Duration::ZERO);
        assert_eq!(course(&[]).gaps(), []);
    }
}
