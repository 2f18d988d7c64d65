//! The published types of the control API, of `--json` output and of events.
//!
//! One request and its answer are one line of JSON each on the daemon's Unix socket. Adding a field or a variant keeps
//! [`VERSION`]; changing or removing one raises it. Readers ignore fields they do not know.

mod health;
mod twin;

use std::net::{IpAddr, SocketAddr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use self::health::{CheckStatus, LoadStatus, PoolStatus, PoolsStatus, WeightStatus, WishesStatus};
pub use self::twin::{
    Failover, HeartbeatStatus, PartnerStatus, PathStatus, ReachScore, ReachStatus, Replicated, Role,
    Standing, SyncStatus, TakeoverQuery,
};

/// Version of every type in this crate.
pub const VERSION: u32 = 1;

/// One line from the client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Call {
    /// [`VERSION`] of the client.
    pub version: u32,
    /// What is asked.
    #[serde(flatten)]
    pub request: Request,
}

/// What a client may ask.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "verb", rename_all = "kebab-case")]
pub enum Request {
    /// The whole node: answered by [`Status`].
    Status,
    /// Every server: answered by [`Servers`].
    Servers,
    /// Remembered flows: answered by [`Flows`].
    Flows(FlowsQuery),
    /// The path of one packet: answered by [`Explanation`].
    Explain(ExplainQuery),
    /// No new flows to a server, in every service or in one cluster: answered by [`Changed`].
    Drain(ServerQuery),
    /// The opposite of `Drain`: answered by [`Changed`].
    Undrain(ServerQuery),
    /// Another weight until told otherwise; `None` returns to the configured one: answered by [`Changed`].
    Weight(WeightQuery),
    /// Makes the node active, once it is safe, for what its partner is active for: answered by [`Changed`].
    Takeover(TakeoverQuery),
    /// Reads the configuration again and applies the difference: answered by [`Changed`].
    Reload,
    /// Past events, then, if asked, each new one as it happens: answered by [`Event`] lines.
    Events(EventsQuery),
}

/// One line from the daemon. `Events` is answered by any number of lines.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Reply {
    /// [`VERSION`] of the daemon.
    pub version: u32,
    /// What came of it.
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// What came of a request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[allow(clippy::large_enum_variant)]
pub enum Outcome {
    /// Answer to `status`.
    Status(Status),
    /// Answer to `servers`.
    Servers(Servers),
    /// Answer to `flows`.
    Flows(Flows),
    /// Answer to `explain`.
    Explanation(Explanation),
    /// Answer to everything that changes something.
    Changed(Changed),
    /// One event.
    Event(Event),
    /// The request was understood and refused, or not understood.
    Error(ApiError),
}

/// Why a request failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ApiError {
    /// One line: the thing and the cause.
    pub message: String,
    /// One line: the way out.
    pub hint: Option<String>,
    /// Further lines, such as every error of a configuration.
    #[serde(default)]
    pub details: Vec<String>,
}

/// Which flows `flows` shows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FlowsQuery {
    /// At most this many; the daemon caps it at 100 000.
    pub limit: Option<u32>,
    /// Only flows of the server with this name.
    pub server: Option<String>,
    /// Only flows of this cluster.
    pub cluster: Option<String>,
    /// Only flows of this client.
    pub client: Option<IpAddr>,
}

/// The packet to explain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ExplainQuery {
    /// `tcp`, `udp` or `icmp`.
    pub protocol: String,
    /// Sender; port 0 for `icmp`.
    pub source: SocketAddr,
    /// Receiver; port 0 for `icmp`.
    pub destination: SocketAddr,
    /// Whether it is the first packet of a TCP connection (SYN); otherwise a later one (ACK).
    pub first: bool,
}

/// Which server a `drain` or `undrain` means.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ServerQuery {
    /// Name of the server.
    pub server: String,
    /// Only in this cluster.
    pub cluster: Option<String>,
    /// Of a `drain`: after so many seconds its flows go to other servers; none: they end by themselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release_after_seconds: Option<u64>,
}

/// Which weight for which server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WeightQuery {
    /// Name of the server.
    pub server: String,
    /// Only in this cluster.
    pub cluster: Option<String>,
    /// 0 to 1000, or none for the configured one.
    pub weight: Option<u16>,
}

/// Which events.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EventsQuery {
    /// Keep the connection and send what happens.
    pub follow: bool,
    /// Only events with a greater number.
    pub after: Option<u64>,
}

/// The whole node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Status {
    /// Name of the node.
    pub node: String,
    /// The node's own address.
    pub address: IpAddr,
    /// `geminus` version of the daemon.
    pub daemon_version: String,
    /// Process id of the daemon.
    pub pid: u32,
    /// Seconds since the daemon started.
    pub uptime_seconds: f64,
    /// Path of the configuration.
    pub config: String,
    /// First 16 hexadecimal digits of the digest of the running configuration.
    pub config_digest: String,
    /// The data plane.
    pub data_plane: DataPlane,
    /// Every cluster.
    pub clusters: Vec<ClusterStatus>,
    /// Every partner; empty where no cluster of the node has a backup.
    #[serde(default)]
    pub partners: Vec<PartnerStatus>,
    /// The node's reach targets; none where it has no partner.
    #[serde(default)]
    pub reach: Option<ReachStatus>,
    /// The node's own heartbeats; none where it has no partner.
    #[serde(default)]
    pub heartbeats: Option<HeartbeatStatus>,
    /// How agents on content hosts are heard; none: they are not.
    #[serde(default)]
    pub agents: Option<AgentsStatus>,
    /// Packets by what became of them; only reasons that moved, in a fixed order.
    pub counters: Vec<Counter>,
}

/// Agents' reports, by what became of them since they are heard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AgentsStatus {
    /// Address and UDP port they are heard at.
    pub at: SocketAddr,
    /// Believed.
    pub accepted: u64,
    /// Their sender was asked to show that it speaks now: with each start of an agent, or of this dispatcher, one.
    pub challenged: u64,
    /// Refused: from an address that is no server of the site.
    pub unknown: u64,
    /// Refused: not to be understood, or naming another host than the one they came from.
    pub malformed: u64,
    /// Refused: more than are listened to.
    pub flood: u64,
    /// Refused: made with another key.
    pub wrong_key: u64,
    /// Refused: sent again, or overtaken by newer ones.
    pub replayed: u64,
}

/// The program in the kernel and its tables.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DataPlane {
    /// Interface it is attached to.
    pub interface: String,
    /// `native` or `generic`.
    pub mode: String,
    /// Kernel's id of the program.
    pub program_id: u32,
    /// First 16 hexadecimal digits of the digest of the loaded program.
    pub program_digest: String,
    /// Whether this daemon found the program running when it started.
    pub adopted: bool,
    /// Kernel memory of all tables, bytes.
    pub memory_bytes: u64,
    /// Flow table: slots and slots in use.
    pub flows: Fill,
    /// Provisional table.
    pub provisional: Fill,
    /// Affinity table.
    pub affinity: Fill,
}

/// How full a table is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Fill {
    /// Slots in use by entries that have not expired.
    pub used: u64,
    /// All slots.
    pub slots: u64,
}

/// One cluster.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ClusterStatus {
    /// Name.
    pub name: String,
    /// Addresses that clients use.
    pub addresses: Vec<IpAddr>,
    /// What the node is for this cluster right now.
    pub state: ClusterState,
    /// Why, in words.
    pub because: String,
    /// What the node is for it in normal times.
    #[serde(default)]
    pub role: Role,
    /// What it is right now, in full.
    #[serde(default)]
    pub standing: Standing,
    /// Seconds since its standing changed; none: it has no role.
    #[serde(default)]
    pub since_seconds: Option<f64>,
    /// Number of its group, which fails over together; 0: it has no backup.
    #[serde(default)]
    pub group: u8,
    /// Raised at every takeover of the group.
    #[serde(default)]
    pub epoch: u64,
    /// Name of the other node of its group; none: it has no backup, or the node has no role.
    #[serde(default)]
    pub partner: Option<String>,
    /// What the partner says it is; none: it says nothing.
    #[serde(default)]
    pub partner_standing: Option<Standing>,
    /// Why the node has not taken it over yet, where it will by itself.
    #[serde(default)]
    pub waiting: Option<String>,
    /// Whether the other node could take over now; none: it has no backup, or the node has no role.
    #[serde(default)]
    pub failover: Option<Failover>,
    /// Milliseconds until the data plane yields by itself unless the daemon renews.
    pub lease_remaining_ms: u64,
    /// Its services.
    pub services: Vec<ServiceStatus>,
}

/// What a node is for a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ClusterState {
    /// Owns the addresses.
    Active,
    /// Watches.
    Standby,
}

/// One service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ServiceStatus {
    /// `tcp` or `udp`.
    pub protocol: String,
    /// A port, `FIRST-LAST`, or `any`.
    pub ports: String,
    /// `hash`, `round-robin` or `least-connections`.
    pub select: String,
    /// Forwarding method.
    pub method: String,
    /// Its pools, and the one in force.
    #[serde(default)]
    pub pools: PoolsStatus,
    /// Its servers.
    pub servers: Vec<ServerStatus>,
}

/// Every server of every service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Servers {
    /// In the order of the configuration.
    pub servers: Vec<ServerRow>,
}

/// One server with the service it is behind.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ServerRow {
    /// Name of the cluster.
    pub cluster: String,
    /// `tcp` or `udp`.
    pub protocol: String,
    /// A port, `FIRST-LAST`, or `any`.
    pub ports: String,
    /// The server itself.
    #[serde(flatten)]
    pub server: ServerStatus,
}

/// One server of one service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ServerStatus {
    /// Name.
    pub name: String,
    /// Where it is reached.
    pub address: IpAddr,
    /// What it may get.
    pub state: ServerState,
    /// Why it is not simply up, in words; none in the usual case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub because: Option<String>,
    /// What is wrong with its set-up, and the way out: one line each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<String>,
    /// Its pool; none: the main one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool: Option<String>,
    /// What its checks say; none: it is not checked.
    #[serde(default)]
    pub check: Option<CheckStatus>,
    /// Weight in force, in the configuration's units, rounded up.
    pub weight: u16,
    /// The same, exactly, and what made it.
    #[serde(default)]
    pub weights: WeightStatus,
    /// Weight in the configuration.
    pub configured_weight: u16,
    /// Hardware address, none while unresolved.
    pub mac: Option<String>,
    /// How loaded its host is; none: no agent reports.
    #[serde(default)]
    pub load: Option<LoadStatus>,
    /// Active flows, where they are counted: for least connections, the manager or a rule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active: Option<u64>,
    /// New flows a second, where they are counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_second: Option<u64>,
    /// Seconds until its flows go to other servers, of a drained one with a deadline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release_in_seconds: Option<f64>,
    /// Remembered flows that have not expired.
    pub flows: u64,
    /// Flows begun since the server was added.
    pub flows_begun: u64,
    /// Packets forwarded to it.
    pub packets: u64,
    /// Bytes forwarded to it, frame headers included.
    pub bytes: u64,
}

/// What a server may get.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ServerState {
    /// New and old flows.
    Up,
    /// New and old flows, and its checks have not said anything yet.
    Checking,
    /// New and old flows although its checks fail: too little of its pool is well.
    Panic,
    /// Old flows only: an operator drained it, or its weight is 0.
    Draining,
    /// Old flows only: maintenance, or its agent said that it is about to stop.
    Resting,
    /// Nothing: drained, and its time is over.
    Released,
    /// Nothing new: its checks fail.
    Down,
    /// Nothing yet: its hardware address is not known.
    Unresolved,
}

impl ServerState {
    /// Whether new flows go to it.
    pub const fn takes_new_flows(self) -> bool {
        matches!(self, Self::Up | Self::Checking | Self::Panic)
    }

    /// The word used in output.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Checking => "checking",
            Self::Panic => "panic",
            Self::Draining => "draining",
            Self::Resting => "resting",
            Self::Released => "released",
            Self::Down => "down",
            Self::Unresolved => "unresolved",
        }
    }
}

/// Remembered flows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Flows {
    /// The flows, newest packet first.
    pub flows: Vec<FlowRow>,
    /// How many matched the query, shown or not.
    pub matched: u64,
}

/// One remembered flow.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FlowRow {
    /// `tcp` or `udp`; empty where 5-tuples are not kept.
    pub protocol: String,
    /// Sender; none where 5-tuples are not kept.
    pub client: Option<SocketAddr>,
    /// Cluster address and port; none where 5-tuples are not kept.
    pub destination: Option<SocketAddr>,
    /// Name of the cluster.
    pub cluster: String,
    /// Name of the server that has it.
    pub server: String,
    /// `established`, `closing` or `reset`.
    pub state: String,
    /// Whether the server differs from the ring's choice when the flow began.
    pub pinned: bool,
    /// Seconds since its last packet, coarse.
    pub idle_seconds: f64,
}

/// The path of one packet through the loaded program and through the same code in the daemon.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Explanation {
    /// What the kernel program did.
    pub kernel: Path,
    /// What the host build of the same code did on the same tables.
    pub host: Path,
    /// The path in words, one step each.
    pub steps: Vec<String>,
}

/// What became of a packet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Path {
    /// `pass`, `drop`, `answer`, `forward`.
    pub verdict: String,
    /// Name of the counter it moves.
    pub reason: String,
    /// Name of the server, if it was forwarded.
    pub server: Option<String>,
}

/// What a change did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Changed {
    /// One line for each thing that is different now; empty: nothing was.
    pub changes: Vec<String>,
}

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Event {
    /// Counts up from 1 in this daemon's life.
    pub number: u64,
    /// Milliseconds since the Unix epoch, for people; nothing decides by it.
    pub unix_ms: u64,
    /// What kind: `started`, `active`, `reloaded`, `server-drained`, ….
    pub kind: String,
    /// One line in words.
    pub message: String,
}

/// One counter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Counter {
    /// `pass`, `drop`, `answer`, `forward` or `note` (beside the verdict).
    pub class: String,
    /// Name of the reason.
    pub reason: String,
    /// What it means, one line.
    pub meaning: String,
    /// Packets.
    pub packets: u64,
}
