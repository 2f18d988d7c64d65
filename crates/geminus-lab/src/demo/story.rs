//! Everything the demonstration found out: what the report is made from.

use std::time::Duration;

use crate::measure::Carried;
use crate::pair::Topology;
use crate::site::Family;
use crate::traffic::Answer;
use crate::traffic::crowd::Toll;

use super::promise::Promise;
use super::sampler::Samples;

/// The whole demonstration.
#[derive(Debug, Clone, Default)]
pub struct Story {
    /// Where it was played.
    pub about: About,
    /// The promises, in the order of the scenes.
    pub promises: Vec<Promise>,
    /// Answers to new connections.
    pub arrivals: Vec<Answer>,
    /// Answers on connections that were open all the time.
    pub stayers: Vec<Answer>,
    /// What happened when.
    pub marks: Vec<Mark>,
    /// Who got how many of the new flows.
    pub shares: Vec<Share>,
    /// What the switch carried while replies were heavy.
    pub carried: Vec<(Family, Carried)>,
    /// Losses over the restart.
    pub restart: Restart,
    /// Requests of all kinds that were answered, and lost.
    pub requests: (u64, u64),
    /// Processor time and memory.
    pub cost: Samples,
    /// A dispatcher died and came back, once for each act.
    pub takeovers: Vec<Takeover>,
}

/// A dispatcher died and came back, as it was seen from outside.
#[derive(Debug, Clone, Default)]
pub struct Takeover {
    /// How the site was laid out.
    pub topology: Option<Topology>,
    /// What it is called.
    pub figure: &'static str,
    /// What there is to see, in a sentence or two.
    pub lead: &'static str,
    /// Where the clients' packets went.
    pub served: Vec<Served>,
    /// Who answered for the addresses.
    pub held: Vec<Held>,
    /// What clients felt.
    pub felt: Vec<Felt>,
    /// What happened when.
    pub marks: Vec<Mark>,
    /// From the first packet to the last.
    pub length: Duration,
    /// Requests of `wrk` that were answered, and that failed.
    pub requests: (u64, u64),
    /// Connections that waited and were used again.
    pub connections: u64,
    /// How many of them were lost.
    pub connections_lost: u64,
}

/// What one dispatcher got from clients of one cluster.
#[derive(Debug, Clone, PartialEq)]
pub struct Served {
    /// The dispatcher.
    pub node: &'static str,
    /// The cluster.
    pub cluster: &'static str,
    /// At the end of each interval, packets a second in it.
    pub packets_per_second: Vec<(Duration, f64)>,
}

/// One dispatcher answered for the addresses of one cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    /// The cluster.
    pub cluster: &'static str,
    /// The dispatcher.
    pub node: &'static str,
    /// From its first answer.
    pub from: Duration,
    /// To its last.
    pub until: Duration,
}

/// What a client felt of one thing that happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Felt {
    /// The cluster it asked.
    pub cluster: &'static str,
    /// In which family.
    pub family: Family,
    /// Of what.
    pub phase: &'static str,
    /// The longest time without an answer.
    pub gap: Duration,
    /// Numbered packets lost.
    pub lost: usize,
}

/// Where the demonstration was played.
#[derive(Debug, Clone, Default)]
pub struct About {
    /// Version of the daemon.
    pub version: String,
    /// Release of the kernel.
    pub kernel: String,
    /// Processors.
    pub processors: usize,
    /// `native` or `generic`.
    pub mode: String,
    /// Name of the dispatcher.
    pub node: String,
    /// When, for people.
    pub date: String,
    /// How long it took.
    pub took: Duration,
    /// Kernel memory of the tables, bytes.
    pub tables: u64,
    /// Content hosts with their weights.
    pub servers: Vec<(String, u16)>,
}

/// Something that happened to the site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// When, on the clock of the answers.
    pub at: Duration,
    /// What, in a few words.
    pub what: &'static str,
}

/// A server's part of the new flows.
#[derive(Debug, Clone, PartialEq)]
pub struct Share {
    /// Address family of the cluster.
    pub family: Family,
    /// The server.
    pub server: String,
    /// What its weight promises, 0 to 1.
    pub wanted: f64,
    /// What it got, 0 to 1.
    pub measured: f64,
}

/// The daemon was killed and came back.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Restart {
    /// Time without a daemon.
    pub away: Duration,
    /// Numbered packets sent meanwhile.
    pub sent: u64,
    /// Numbered packets lost.
    pub lost: u64,
}

impl Takeover {
    /// The same with the connections that waited, as they were at the end.
    pub(super) fn with(self, toll: &Toll) -> Self {
        let (connections, connections_lost) = (toll.connections as u64, toll.lost.len() as u64);
        Self { connections, connections_lost, ..self }
    }
}

impl Story {
    /// Adds an act.
    pub(super) fn add(&mut self, promise: Promise, takeover: Option<Takeover>) {
        self.promises.push(promise);
        if let Some(takeover) = takeover {
            self.requests.0 += takeover.requests.0;
            self.requests.1 += takeover.requests.1;
            self.takeovers.push(takeover);
        }
    }

    /// Whether every promise was kept.
    pub fn kept(&self) -> bool {
        self.promises.iter().all(Promise::kept)
    }

    /// How many were.
    pub fn kept_count(&self) -> usize {
        self.promises.iter().filter(|promise| promise.kept()).count()
    }
}
