//! Thousands of connections that mostly wait: a few threads open them, one thread has them all.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow};

use super::http::{Connection, Lost, Response, whole};
use super::{PATIENCE, Stop};
use crate::namespace::Namespace;
use crate::site::{CLIENTS, Family, client_address};

/// Threads that open connections.
const OPENERS: usize = 8;
/// How long between looks for answers.
const LOOK: Duration = Duration::from_millis(10);
/// In how many parts a round is asked, so that it is no burst.
const PARTS: usize = 20;

/// Connections that have each had one answer.
#[derive(Debug)]
pub struct Crowd {
    members: Vec<Member>,
}

#[derive(Debug)]
struct Member {
    stream: TcpStream,
    server: String,
    asked: Option<Instant>,
    buffer: Vec<u8>,
    lost: Option<Lost>,
}

/// What became of a crowd.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Toll {
    /// Connections in all.
    pub connections: usize,
    /// Answers since they were opened.
    pub answers: u64,
    /// One line for each connection that was reset, stalled for longer than a client waits, or moved.
    pub lost: Vec<String>,
    /// How many of those each server had.
    pub lost_by: BTreeMap<String, usize>,
    /// The longest wait for an answer.
    pub slowest: Duration,
}

impl Toll {
    /// Connections that were lost although their server was not this one.
    pub fn lost_beside(&self, server: &str) -> usize {
        self.lost_by.iter().filter(|(name, _)| *name != server).map(|(_, count)| count).sum()
    }
}

impl Crowd {
    /// Opens `count` connections to each target, from all of the client's addresses, and asks once on each.
    ///
    /// # Errors
    /// When one is refused or has no answer.
    pub fn open(from: &Namespace, targets: &[SocketAddr], count: usize) -> Result<Self> {
        let wanted: Vec<(IpAddr, SocketAddr)> = targets
            .iter()
            .flat_map(|&target| (0..count).map(move |i| (client_of(target, i), target)))
            .collect();
        let part = wanted.len().div_ceil(OPENERS).max(1);
        let parts: Vec<Result<Vec<Member>>> = std::thread::scope(|scope| {
            let open = |part| scope.spawn(move || from.inside(|| open_all(part)));
            let threads: Vec<_> = wanted.chunks(part).map(open).collect();
            let join = |thread: std::thread::ScopedJoinHandle<'_, _>| {
                thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            };
            threads.into_iter().map(join).collect()
        });
        let members = parts.into_iter().collect::<Result<Vec<_>>>()?.into_iter().flatten().collect();
        Ok(Self { members })
    }

    /// Connections by server.
    pub fn servers(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for member in &self.members {
            *counts.entry(member.server.clone()).or_default() += 1;
        }
        counts
    }

    /// Adds the connections of another.
    pub fn join(&mut self, other: Self) {
        self.members.extend(other.members);
    }

    /// Asks once on every connection, spread over a time, and waits until each has answered or is lost.
    pub fn use_all(&mut self, over: Duration) -> Toll {
        let mut toll = Toll::default();
        let stop = Stop::default();
        self.round(over, &stop, &mut toll);
        self.wait(&mut toll);
        self.finish(toll)
    }

    /// Goes on asking, once in `every` on each connection, until stopped.
    pub fn live(mut self, every: Duration) -> LiveCrowd {
        let stop = Arc::new(Stop::default());
        let told = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let mut toll = Toll::default();
            while !told.told() {
                self.round(every, &told, &mut toll);
            }
            self.wait(&mut toll);
            self.finish(toll)
        });
        LiveCrowd { stop, thread }
    }

    /// Asks on every connection once, in parts that fill `every`.
    fn round(&mut self, every: Duration, stop: &Stop, toll: &mut Toll) {
        let part = self.members.len().div_ceil(PARTS).max(1);
        let begun = Instant::now();
        for (number, first) in (1_u32..).zip((0..self.members.len()).step_by(part)) {
            if stop.told() {
                return;
            }
            let last = (first + part).min(self.members.len());
            self.members[first..last].iter_mut().for_each(Member::ask);
            let until = begun + every * number / PARTS as u32;
            loop {
                self.look(toll);
                if Instant::now() >= until {
                    break;
                }
                std::thread::sleep(LOOK);
            }
        }
        if self.members.is_empty() {
            std::thread::sleep(every);
        }
    }

    /// Until nothing is waited for any more.
    fn wait(&mut self, toll: &mut Toll) {
        while self.members.iter().any(|member| member.asked.is_some()) {
            self.look(toll);
            std::thread::sleep(LOOK);
        }
    }

    fn look(&mut self, toll: &mut Toll) {
        for member in self.members.iter_mut().filter(|member| member.asked.is_some()) {
            if let Some(waited) = member.look() {
                toll.answers += 1;
                toll.slowest = toll.slowest.max(waited);
            }
        }
    }

    fn finish(&self, mut toll: Toll) -> Toll {
        toll.connections = self.members.len();
        for member in self.members.iter().filter(|member| member.lost.is_some()) {
            *toll.lost_by.entry(member.server.clone()).or_default() += 1;
        }
        toll.lost = self
            .members
            .iter()
            .filter_map(|member| {
                let lost = member.lost.as_ref()?;
                let peer =
                    member.stream.peer_addr().map_or_else(|_| "somewhere".to_owned(), |to| to.to_string());
                Some(format!("a connection to {peer} on {}: {lost}", member.server))
            })
            .collect();
        toll
    }
}

/// A crowd that goes on asking.
#[derive(Debug)]
pub struct LiveCrowd {
    stop: Arc<Stop>,
    thread: JoinHandle<Toll>,
}

impl LiveCrowd {
    /// Ends it; whoever still waits is waited for.
    ///
    /// # Errors
    /// When its thread panicked.
    pub fn stop(self) -> Result<Toll> {
        self.stop.tell();
        self.thread.join().map_err(|_| anyhow!("a crowd's thread panicked"))
    }
}

impl Member {
    fn open(from: IpAddr, to: SocketAddr) -> Result<Self> {
        let mut connection = Connection::open_from(from, to, PATIENCE)
            .map_err(anyhow::Error::from)
            .with_context(|| format!("cannot open a connection from {from} to {to}"))?;
        let first = connection.get("/", false).with_context(|| format!("no first answer of {to}"))?;
        let (stream, buffer) = connection.into_parts();
        stream.set_nonblocking(true)?;
        Ok(Self { stream, server: first.server, asked: None, buffer, lost: None })
    }

    fn ask(&mut self) {
        if self.lost.is_some() || self.asked.is_some() {
            return;
        }
        match self.stream.write_all(b"GET / HTTP/1.1\r\nHost: crowd\r\n\r\n") {
            Ok(()) => self.asked = Some(Instant::now()),
            Err(error) => self.lost = Some(error.into()),
        }
    }

    /// How long an answer was waited for, if it came.
    fn look(&mut self) -> Option<Duration> {
        let asked = self.asked?;
        let outcome = self.read();
        match outcome {
            Ok(Some(response)) if response.server == self.server => {
                self.asked = None;
                return Some(asked.elapsed());
            }
            Ok(Some(response)) => self.lost = Some(Lost::Other(format!("answered by {}", response.server))),
            Ok(None) if asked.elapsed() > PATIENCE => self.lost = Some(Lost::Silence),
            Ok(None) => return None,
            Err(lost) => self.lost = Some(lost),
        }
        self.asked = None;
        None
    }

    fn read(&mut self) -> Result<Option<Response>, Lost> {
        let mut chunk = [0; 2048];
        match self.stream.read(&mut chunk) {
            Ok(0) => Err(Lost::Closed),
            Ok(length) => {
                self.buffer.extend_from_slice(&chunk[..length]);
                whole(&mut self.buffer)
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

fn open_all(wanted: &[(IpAddr, SocketAddr)]) -> Result<Vec<Member>> {
    wanted.iter().map(|&(from, to)| Member::open(from, to)).collect()
}

/// One client address has too few ports for everybody.
fn client_of(target: SocketAddr, number: usize) -> IpAddr {
    client_address((number % CLIENTS as usize) as u8).of(Family::of(target.ip()))
}
