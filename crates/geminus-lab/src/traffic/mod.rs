//! Clients that count: every request and every packet has an outcome.

pub mod crowd;
pub mod echo;
pub mod http;
pub mod keepers;
pub mod probe;
pub mod rate;
pub mod steady;
pub mod visitors;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::site::{CLUSTER, Family};
use crate::undo::lock;

/// A request without an answer for this long is lost, whatever comes later.
pub const PATIENCE: Duration = Duration::from_secs(3);

/// The cluster's address and a port in one family.
pub fn cluster(family: Family, port: u16) -> SocketAddr {
    SocketAddr::new(CLUSTER.of(family), port)
}

/// One answered request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// When, since the recorder began.
    pub at: Duration,
    /// Which server.
    pub server: String,
}

/// Answers in the order in which they came, from any number of clients.
#[derive(Debug)]
pub struct Recorder {
    begun: Instant,
    answers: Mutex<Vec<Answer>>,
}

impl Recorder {
    /// Begins now.
    #[must_use]
    pub fn begin() -> Self {
        Self { begun: Instant::now(), answers: Mutex::new(Vec::new()) }
    }

    /// Time since it began.
    pub fn now(&self) -> Duration {
        self.begun.elapsed()
    }

    /// Everything so far.
    pub fn answers(&self) -> Vec<Answer> {
        lock(&self.answers).clone()
    }

    fn record(&self, server: &str) {
        lock(&self.answers).push(Answer { at: self.now(), server: server.to_owned() });
    }
}

/// What a client met.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// Answers by server.
    pub by_server: BTreeMap<String, u64>,
    /// One line for each request that was lost.
    pub lost: Vec<String>,
    /// When each of those requests began.
    pub lost_at: Vec<Instant>,
    /// The longest wait for an answer.
    pub slowest: Duration,
}

impl Tally {
    /// Answers in all.
    pub fn answered(&self) -> u64 {
        self.by_server.values().sum()
    }

    /// Answers of one server.
    pub fn of(&self, server: &str) -> u64 {
        self.by_server.get(server).copied().unwrap_or(0)
    }

    /// Adds what another client met.
    pub fn add(&mut self, other: Self) {
        for (server, count) in other.by_server {
            *self.by_server.entry(server).or_default() += count;
        }
        self.lost.extend(other.lost);
        self.lost_at.extend(other.lost_at);
        self.slowest = self.slowest.max(other.slowest);
    }

    fn answer(&mut self, server: &str, waited: Duration) {
        match self.by_server.get_mut(server) {
            Some(count) => *count += 1,
            None => drop(self.by_server.insert(server.to_owned(), 1)),
        }
        self.slowest = self.slowest.max(waited);
    }
}

/// Told once, seen by every thread of a client.
#[derive(Debug, Default)]
pub(crate) struct Stop(AtomicBool);

impl Stop {
    pub(crate) fn tell(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    pub(crate) fn told(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Beats at a steady rate. After a pause it goes on from now instead of catching up with a burst.
#[derive(Debug)]
pub(crate) struct Pace {
    every: Duration,
    next: Instant,
}

impl Pace {
    pub(crate) fn every(every: Duration) -> Self {
        Self { every, next: Instant::now() }
    }

    /// Sleeps until the next beat.
    pub(crate) fn wait(&mut self) {
        let now = Instant::now();
        if let Some(early) = self.next.checked_duration_since(now) {
            std::thread::sleep(early);
            self.next += self.every;
        } else {
            self.next = now + self.every;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tallies_add_up() {
        let mut sum = Tally::default();
        sum.answer("web1", Duration::from_millis(2));
        let mut other = Tally::default();
        other.answer("web1", Duration::from_millis(9));
        other.answer("web2", Duration::from_millis(1));
        other.lost.push("reset".to_owned());
        sum.add(other);
        assert_eq!((sum.of("web1"), sum.of("web2"), sum.of("web3"), sum.answered()), (2, 1, 0, 3));
        assert_eq!((sum.lost.len(), sum.slowest), (1, Duration::from_millis(9)));
    }
}
