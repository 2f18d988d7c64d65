//! UDP echo: a probe that numbers every packet and misses every one that does not come back.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow};
use rustix::net::sockopt::set_socket_recv_buffer_size_force;

use super::probe::any_address;
use super::{Pace, Stop};
use crate::namespace::Namespace;
use crate::site::{Family, Machine};

/// The port of the echo service.
pub const ECHO: u16 = 9000;
/// Large enough to hold all packets of a second during which this thread does not run.
const RECEIVE_BUFFER: usize = 8 << 20;

/// Echo servers, each answering with its name.
#[derive(Debug)]
pub struct EchoServers {
    stop: Arc<Stop>,
    threads: Vec<JoinHandle<()>>,
}

impl EchoServers {
    /// Starts one on each host and for each address; the answer comes from the address that was asked.
    ///
    /// # Errors
    /// When a host does not have the address.
    pub fn start(hosts: &[Machine], addresses: &[IpAddr]) -> Result<Self> {
        let mut servers = Self { stop: Arc::new(Stop::default()), threads: Vec::new() };
        for host in hosts {
            host.namespace.inside(|| {
                for &address in addresses {
                    let socket = socket((address, ECHO).into())
                        .with_context(|| format!("no echo on {address} of {}", host.name))?;
                    socket.set_read_timeout(Some(Duration::from_millis(100)))?;
                    let (stop, name) = (Arc::clone(&servers.stop), host.name.clone());
                    servers.threads.push(std::thread::spawn(move || answer(&socket, &name, &stop)));
                }
                Ok(())
            })?;
        }
        Ok(servers)
    }
}

impl Drop for EchoServers {
    fn drop(&mut self) {
        self.stop.tell();
        for thread in self.threads.drain(..) {
            // A panic there has already been printed, and dropping has nobody to tell.
            let _ = thread.join();
        }
    }
}

fn answer(socket: &UdpSocket, name: &str, stop: &Stop) {
    let mut packet = [0; 64];
    while !stop.told() {
        let Ok((length, from)) = socket.recv_from(&mut packet) else { continue };
        let number = packet.get(..8.min(length)).unwrap_or_default();
        let _ = socket.send_to(&[number, name.as_bytes()].concat(), from);
    }
}

/// A stream of numbered packets over several flows.
#[derive(Debug)]
pub struct PacketProbe {
    stop: Arc<Stop>,
    thread: JoinHandle<Result<Packets>>,
}

/// What became of the packets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Packets {
    /// Packets sent.
    pub sent: u64,
    /// Packets whose answer came.
    pub answered: u64,
    /// Answers by server.
    pub by_server: BTreeMap<String, u64>,
    /// Flows that more than one server answered.
    pub moved_flows: u64,
    /// When each lost packet was sent, since the probe began; at most a hundred.
    pub lost_at: Vec<Duration>,
    /// The longest time between two packets sent: the probe's own hiccup, in which it could have seen no loss.
    pub longest_gap: Duration,
}

impl Packets {
    /// Packets without an answer.
    pub const fn lost(&self) -> u64 {
        self.sent - self.answered
    }
}

impl PacketProbe {
    /// Sends `per_second` packets over `flows` flows to each target, until stopped.
    ///
    /// # Errors
    /// When the sockets cannot be opened.
    pub fn start(from: &Namespace, targets: &[SocketAddr], flows: usize, per_second: u32) -> Result<Self> {
        let stop = Arc::new(Stop::default());
        let thread = from.inside(|| {
            let flows = targets
                .iter()
                .flat_map(|&target| std::iter::repeat_n(target, flows))
                .map(Flow::open)
                .collect::<Result<Vec<_>>>()?;
            let stop = Arc::clone(&stop);
            let every = Duration::from_secs(1) / (per_second.max(1) * targets.len().max(1) as u32);
            Ok(std::thread::spawn(move || probe(flows, every, &stop)))
        })?;
        Ok(Self { stop, thread })
    }

    /// Ends it and waits for the last answers.
    ///
    /// # Errors
    /// When a socket failed or the probe's thread panicked.
    pub fn stop(self) -> Result<Packets> {
        self.stop.tell();
        self.thread.join().map_err(|_| anyhow!("the packet probe panicked"))?
    }
}

#[derive(Debug)]
struct Flow {
    socket: UdpSocket,
    servers: BTreeMap<String, u64>,
}

fn probe(mut flows: Vec<Flow>, every: Duration, stop: &Stop) -> Result<Packets> {
    let begun = Instant::now();
    let mut pace = Pace::every(every);
    let mut sent_at: Vec<Duration> = Vec::new();
    let mut back = Vec::new();
    while !stop.told() {
        pace.wait();
        let count = flows.len();
        let number = sent_at.len();
        flows[number % count].send(number as u64)?;
        sent_at.push(begun.elapsed());
        flows[(number + count / 2) % count].receive(&mut back)?;
    }
    // An answer on this site takes well below a millisecond; the rest is for a busy machine.
    for _ in 0..25 {
        std::thread::sleep(Duration::from_millis(20));
        for flow in &mut flows {
            flow.receive(&mut back)?;
        }
    }
    Ok(count(&flows, &sent_at, &back))
}

fn count(flows: &[Flow], sent_at: &[Duration], back: &[u64]) -> Packets {
    let mut answered = vec![false; sent_at.len()];
    for &number in back {
        if let Some(seen) = answered.get_mut(number as usize) {
            *seen = true;
        }
    }
    let mut packets = Packets {
        sent: sent_at.len() as u64,
        answered: answered.iter().filter(|&&seen| seen).count() as u64,
        moved_flows: flows.iter().filter(|flow| flow.servers.len() > 1).count() as u64,
        lost_at: sent_at
            .iter()
            .zip(&answered)
            .filter(|(_, seen)| !**seen)
            .map(|(at, _)| *at)
            .take(100)
            .collect(),
        longest_gap: sent_at.windows(2).map(|two| two[1] - two[0]).max().unwrap_or_default(),
        ..Packets::default()
    };
    for (server, count) in flows.iter().flat_map(|flow| &flow.servers) {
        *packets.by_server.entry(server.clone()).or_default() += count;
    }
    packets
}

impl Flow {
    fn open(to: SocketAddr) -> Result<Self> {
        let socket = socket(any_address(to))?;
        socket.connect(to).with_context(|| format!("no way to {to}"))?;
        socket.set_nonblocking(true)?;
        Ok(Self { socket, servers: BTreeMap::new() })
    }

    fn send(&self, number: u64) -> Result<()> {
        match self.socket.send(&number.to_be_bytes()) {
            Ok(_) => Ok(()),
            // ICMP about an earlier packet; that one is missed by its number.
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => Ok(()),
            Err(error) => Err(error).context("cannot send a probe"),
        }
    }

    fn receive(&mut self, back: &mut Vec<u64>) -> Result<()> {
        let mut packet = [0; 64];
        loop {
            match self.socket.recv(&mut packet) {
                Ok(length) => {
                    let Some((number, name)) = packet[..length].split_first_chunk() else { continue };
                    back.push(u64::from_be_bytes(*number));
                    *self.servers.entry(String::from_utf8_lossy(name).into_owned()).or_default() += 1;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::ConnectionRefused => {}
                Err(error) => return Err(error).context("cannot receive a probe's answer"),
            }
        }
    }
}

/// A UDP socket with a receive buffer that no busy second can overflow.
pub(super) fn socket(at: SocketAddr) -> Result<UdpSocket> {
    let socket =
        UdpSocket::bind(at).with_context(|| format!("cannot bind {} {at}", Family::of(at.ip()).name()))?;
    set_socket_recv_buffer_size_force(&socket, RECEIVE_BUFFER).context("cannot enlarge a receive buffer")?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_without_an_answer_is_lost_and_dated() {
        let at = [1, 2, 9].map(Duration::from_millis);
        let packets = count(&[], &at, &[0, 2, 2, 77]);
        assert_eq!((packets.sent, packets.answered, packets.lost()), (3, 2, 1));
        assert_eq!(packets.lost_at, [Duration::from_millis(2)]);
        assert_eq!(packets.longest_gap, Duration::from_millis(7));
    }
}
