//! The site as it is wanted: what every other part of Geminus works from.
//!
//! A [`Site`] is made by [`crate::config`] and cannot be wrong in itself: names are unique, addresses belong to one
//! cluster, ports of one cluster do not contradict each other. Nothing here knows where the model came from.

mod balance;

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

pub use self::balance::{
    Advisor, Agents, Check, Condition, DAYS, DnsRecord, Health, Http, MAIN_POOL, Manager, OnDown, Prefix,
    Rule, Via, Window,
};

/// Everything the configuration says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Site {
    /// File with the site's 32-byte secret in hexadecimal; none: the node makes a key of its own.
    pub key_file: Option<PathBuf>,
    /// The dispatchers, in the order of the file.
    pub nodes: Vec<Node>,
    /// High availability.
    pub ha: Ha,
    /// How health is judged.
    pub health: Health,
    /// How readings become weights.
    pub manager: Manager,
    /// How agents on content hosts are heard.
    pub agents: Agents,
    /// Sizes of the kernel tables.
    pub tables: Tables,
    /// How long an idle flow is remembered.
    pub timeouts: Timeouts,
    /// The clusters, in the order of the file.
    pub clusters: Vec<Cluster>,
}

/// One dispatcher.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Unique name; the host name unless `geminus run --node` says otherwise.
    pub name: String,
    /// The node's own address, never a cluster address.
    pub address: IpAddr,
    /// The interface that faces clients and servers.
    pub interface: String,
}

/// High-availability settings. A single node needs the lease only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ha {
    /// How long the data plane stays active after the daemon last renewed it. Default 5 s, 1 s to 60 s.
    pub lease: Duration,
    /// When silence is noticed, and when it is believed. Default [`Timers::DEFAULT`].
    pub timers: Timers,
    /// UDP port of heartbeats and echoes, and TCP port of replication, on every path address. Default 4870.
    pub port: u16,
    /// Where partners hear each other; at least one for each pair of partners. Default: their node addresses.
    pub paths: Vec<Path>,
    /// Addresses that tell whether a node is still on the network.
    pub reach: Vec<IpAddr>,
    /// Whether a returned primary takes over again by itself.
    pub recovery: Recovery,
    /// How long a returned primary must have been well before it takes over again. Default 10 s.
    pub stable: Duration,
    /// How long a node that has heard nobody, and reaches no target, waits before it goes active alone. Default 40 s:
    /// longer than a switch port is mute after its link came up.
    pub alone_after: Duration,
    /// How neighbours learn of a takeover.
    pub announce: Announce,
    /// File with the secret of heartbeats and replication; none: they use the site's key.
    pub key_file: Option<PathBuf>,
    /// File with another secret that is accepted, while keys are changed.
    pub also_accept: Option<PathBuf>,
    /// Programs started when something happens.
    pub hooks: Hooks,
}

/// When silence is noticed, and when it is believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timers {
    /// Time between heartbeats. 5 ms to 5 s.
    pub heartbeat: Duration,
    /// Heartbeats missed on every path before the partner is suspected. 2 to 20.
    pub suspect: u32,
    /// Probes sent on every path to confirm a suspicion. 3 to 50.
    pub probes: u32,
    /// How long the answers to them are waited for, from the first probe on. 5 ms to 5 s.
    pub confirm: Duration,
}

impl Timers {
    /// Noticed after 150 ms, believed after 200 ms.
    pub const DEFAULT: Self = Self {
        heartbeat: Duration::from_millis(50),
        suspect: 3,
        probes: 10,
        confirm: Duration::from_millis(50),
    };
    /// Noticed after 30 ms, believed after 45 ms: the half interval that a death falls into on average included, a
    /// takeover is felt as 43 ms.
    pub const FAST: Self = Self {
        heartbeat: Duration::from_millis(10),
        suspect: 3,
        probes: 10,
        confirm: Duration::from_millis(15),
    };

    /// From the last sign of life to the takeover.
    pub fn detection(&self) -> Duration {
        self.heartbeat * self.suspect + self.confirm
    }
}

/// A way between two nodes: heartbeats travel between these addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path {
    /// Names of the two nodes.
    pub nodes: [String; 2],
    /// Their addresses on this path, in the same order and of the same family.
    pub addresses: [IpAddr; 2],
}

/// Whether a returned primary takes over again by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Recovery {
    /// Yes, once replication is complete and it has been well for [`Ha::stable`].
    #[default]
    Auto,
    /// No; `geminus takeover` does it.
    Manual,
}

/// How neighbours learn of a takeover.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Announce {
    /// Gratuitous ARP and unsolicited neighbour advertisements name the new hardware address.
    #[default]
    Gratuitous,
    /// The cluster addresses have a hardware address of their own that moves with them.
    VirtualMac,
}

/// Programs started when something happens.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Hooks {
    /// How long one may run. Default 10 s.
    pub timeout: Duration,
    /// By event: the program and its arguments, no shell.
    pub commands: std::collections::BTreeMap<String, Vec<String>>,
}

/// The events that a program can be started for.
pub const HOOK_EVENTS: [&str; 13] = [
    "go-active",
    "go-standby",
    "partner-up",
    "partner-down",
    "path-up",
    "path-down",
    "server-up",
    "server-down",
    "pool-empty",
    "pool-full",
    "config-differs",
    "address-claimed",
    "duel",
];

impl Default for Ha {
    fn default() -> Self {
        Self {
            lease: Duration::from_secs(5),
            timers: Timers::DEFAULT,
            port: 4870,
            paths: Vec::new(),
            reach: Vec::new(),
            recovery: Recovery::Auto,
            stable: Duration::from_secs(10),
            alone_after: Duration::from_secs(40),
            announce: Announce::Gratuitous,
            key_file: None,
            also_accept: None,
            hooks: Hooks { timeout: Duration::from_secs(10), ..Hooks::default() },
        }
    }
}

/// All clusters with the same primary and backup: they fail over together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Its number, the same on every dispatcher; 0 on each node are the clusters it has for itself alone.
    pub number: u8,
    /// Name of the node that is active in normal times.
    pub primary: String,
    /// Name of the node that takes over.
    pub backup: String,
    /// Indices of its clusters in [`Site::clusters`].
    pub clusters: Vec<usize>,
}

impl Site {
    /// The groups of clusters that have a backup, by number.
    ///
    /// Numbers follow from the names of the nodes alone, so that a cluster more or less renumbers nothing and partners
    /// agree: all ordered pairs of nodes, in the order of their names, from 1. With more nodes than that leaves room for
    /// ([`crate::limits::NODES_NUMBERED`]), the pairs there are.
    pub fn groups(&self) -> Vec<Group> {
        let mut names: Vec<_> = self.nodes.iter().map(|node| node.name.as_str()).collect();
        names.sort_unstable();
        let mut groups = std::collections::BTreeMap::<(&str, &str), Vec<usize>>::new();
        for (index, cluster) in self.clusters.iter().enumerate() {
            if let Some(backup) = &cluster.backup {
                groups.entry((&cluster.primary, backup)).or_default().push(index);
            }
        }
        let place = |name: &str| names.binary_search(&name).unwrap_or_default();
        let number = |at: usize, primary: &str, backup: &str| {
            let (first, second) = (place(primary), place(backup));
            let of_pair = first * (names.len() - 1) + second - usize::from(second > first);
            if names.len() <= crate::limits::NODES_NUMBERED { of_pair } else { at }
        };
        let group = |(at, ((primary, backup), clusters)): (usize, ((&str, &str), Vec<usize>))| Group {
            number: u8::try_from(number(at, primary, backup) + 1).unwrap_or(u8::MAX),
            primary: primary.to_owned(),
            backup: backup.to_owned(),
            clusters,
        };
        groups.into_iter().enumerate().map(group).collect()
    }

    /// Number of a cluster's group: 0 if it has no backup.
    pub fn group_of(&self, cluster: usize) -> u8 {
        self.groups().iter().find(|group| group.clusters.contains(&cluster)).map_or(0, |group| group.number)
    }
}

impl Cluster {
    /// Whether a node may be active for it.
    pub fn is_of(&self, node: &str) -> bool {
        self.primary == node || self.backup.as_deref() == Some(node)
    }
}

/// Sizes of the kernel tables, in entries; powers of two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tables {
    /// Flows remembered. Default 1 Mi, 64 Ki to 64 Mi; 16 bytes each.
    pub flows: u32,
    /// Half-open flows remembered. Default `flows / 16`, at least 16 Ki; 16 bytes each.
    pub provisional: u32,
    /// Affinity records. Default 64 Ki; 16 bytes each.
    pub affinity: u32,
    /// Whether the 5-tuple of every flow is kept for `geminus flows`; 40 bytes each.
    pub tuples: bool,
}

/// How long an idle flow keeps its slot against a newcomer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// An established TCP flow. Default 15 min.
    pub tcp: Duration,
    /// A TCP flow whose client sent FIN: the download may go on for long. Default 5 min.
    pub tcp_fin: Duration,
    /// A TCP flow whose client sent RST. Default 10 s.
    pub tcp_rst: Duration,
    /// A UDP flow. Default 5 min.
    pub udp: Duration,
    /// A flow of which only the first packet was seen. Default 3 s.
    pub first: Duration,
}

/// A named set of addresses that clients use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cluster {
    /// Unique name.
    pub name: String,
    /// At least one; each unique in the site.
    pub addresses: Vec<IpAddr>,
    /// Name of the node that is active in normal times.
    pub primary: String,
    /// Name of the node that takes over; none: nobody does.
    pub backup: Option<String>,
    /// What happens to a packet for a port without a service.
    pub unexposed: Unexposed,
    /// Whether echo requests are answered.
    pub ping: bool,
    /// The services, in the order of the file.
    pub services: Vec<Service>,
}

/// What happens to a packet for a port without a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Unexposed {
    /// Dropped and counted.
    #[default]
    Drop,
    /// Given to the dispatcher's own stack.
    Pass,
}

/// One port (or range, or any) and protocol of a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// Transport protocol.
    pub protocol: Protocol,
    /// Which ports. Within a cluster and protocol an exact port wins over a range and a range over any; ranges do not
    /// overlap.
    pub ports: Ports,
    /// Forwarding method.
    pub method: Method,
    /// How the server of a new flow is chosen.
    pub select: Select,
    /// Whether a client stays with its server.
    pub affinity: Option<Affinity>,
    /// Slots of the ring: a prime. Default 65 537, 251 to 1 048 573.
    pub ring_slots: u32,
    /// At least one; names and addresses unique within the service, over all its pools.
    pub servers: Vec<Server>,
    /// How its servers are checked; none: they are not. Default: [`Advisor::Tcp`] where it is TCP and has an exact port.
    pub check: Option<Check>,
    /// What becomes of the flows of a server that is declared down.
    pub on_down: OnDown,
    /// Whether the manager sets the weights of its servers. Default: no.
    pub managed: bool,
    /// Names of its further pools, of 1, 2, …; pool 0 is the main one and has no name.
    pub pools: Vec<String>,
    /// Which pool new flows go to; none that holds: the main one.
    pub rules: Vec<Rule>,
    /// The pool that takes the new flows while no server of the pool in force is up.
    pub sorry: Option<u8>,
    /// The only clients that are served; empty: all.
    pub allow: Vec<Prefix>,
    /// Clients that are not served, also where `allow` names them.
    pub deny: Vec<Prefix>,
}

impl Service {
    /// A service with everything at its default, and no check.
    pub fn new(protocol: Protocol, ports: Ports, servers: Vec<Server>) -> Self {
        Self {
            protocol,
            ports,
            method: Method::Mac,
            select: Select::Hash,
            affinity: None,
            ring_slots: 65_537,
            servers,
            check: None,
            on_down: OnDown::Rehash,
            managed: false,
            pools: Vec::new(),
            rules: Vec::new(),
            sorry: None,
            allow: Vec::new(),
            deny: Vec::new(),
        }
    }
}

/// Transport protocol of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Protocol {
    /// RFC 9293, protocol number 6.
    Tcp,
    /// RFC 768, protocol number 17.
    Udp,
}

/// Ports of a service, host byte order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Ports {
    /// One port, 1 to 65 535.
    Exact(u16),
    /// First and last port, both included; first < last.
    Range(u16, u16),
    /// Every port that no other service of the cluster and protocol claims.
    Any,
}

/// Forwarding method.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Method {
    /// The destination MAC is rewritten; the server is on the same link and has the cluster address on `lo`.
    Mac,
}

/// How the server of a new flow is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Select {
    /// By the keyed hash of the flow.
    Hash,
    /// In turn, by weight.
    RoundRobin,
    /// Of two servers that the hash names, the one with fewer active flows for its weight.
    LeastConnections,
}

/// Whether and how long a client stays with its server.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Affinity {
    /// Leading bits of an IPv4 source that make one client, 0 to 32. Default 32.
    pub prefix4: u8,
    /// Leading bits of an IPv6 source that make one client, 0 to 128. Default 64.
    pub prefix6: u8,
    /// How long after its last new flow a client is remembered. Default 5 min.
    pub timeout: Duration,
    /// Services of one cluster that name the same group have the same servers, prefixes and timeout, and a client that one of
    /// them knows is known to all.
    pub group: Option<String>,
}

/// A content host's endpoint behind a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// Unique within its service; the same name in several services is the same host to `drain` and `weight`.
    pub name: String,
    /// Where it is reached; its MAC is resolved by this address.
    pub address: IpAddr,
    /// Share of new flows, 0 to 1000. Default 1. 0: no new flows.
    pub weight: u16,
    /// Its pool: 0 the main one, else as [`Service::pools`] counts from 1.
    pub pool: u8,
    /// Whether the manager leaves its weight alone. Default: no.
    pub fixed: bool,
    /// Whether clients that it served come back to it, where the service has affinity. Default: yes.
    pub sticky: bool,
    /// When it gets no new flows.
    pub maintenance: Vec<Window>,
}

impl Server {
    /// A server with everything at its default.
    pub fn new(name: impl Into<String>, address: IpAddr) -> Self {
        Self {
            name: name.into(),
            address,
            weight: 1,
            pool: 0,
            fixed: false,
            sticky: true,
            maintenance: Vec::new(),
        }
    }
}

impl Protocol {
    /// The protocol number of the IP header.
    pub const fn number(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
        }
    }

    /// The word used in configuration and output.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
}

impl std::fmt::Display for Ports {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Exact(port) => write!(f, "{port}"),
            Self::Range(first, last) => write!(f, "{first}-{last}"),
            Self::Any => f.write_str("any"),
        }
    }
}
