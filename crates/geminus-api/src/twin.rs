//! What a node tells of its partners and of its part in high availability.

use std::net::IpAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a node is for a cluster in normal times.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// It is active.
    Primary,
    /// It takes over.
    Backup,
    /// The cluster is of other nodes.
    #[default]
    None,
}

/// What a node is for a cluster right now, in full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// It listens for its partner, or learns its servers' hardware addresses, before it claims anything.
    Starting,
    /// Somebody else is active, as far as is known.
    #[default]
    Standby,
    /// The partner is silent, and it is being found out whether it is dead.
    Suspecting,
    /// It owns the addresses.
    Active,
    /// It has given the addresses up and forwards what still comes.
    Yielding,
}

impl Standing {
    /// The word used in output and in JSON.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Standby => "standby",
            Self::Suspecting => "suspecting",
            Self::Active => "active",
            Self::Yielding => "yielding",
        }
    }
}

/// Whether the clusters of a group would go on if the node that is active for them died now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Failover {
    /// Whether they would, and no connection would be lost.
    pub ready: bool,
    /// Why not; or, although they would, what is not as it should be.
    pub because: Option<String>,
}

/// One partner.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PartnerStatus {
    /// Its name.
    pub name: String,
    /// `unheard`, `alive`, `suspect`, `mute` (its program answers, its daemon does not) or `gone`.
    pub state: String,
    /// Its own address.
    pub address: IpAddr,
    /// The paths to it, in the order of the configuration.
    pub paths: Vec<PathStatus>,
    /// What it reaches, as it says.
    pub reach: ReachScore,
    /// Whether it can forward at all, as it says.
    pub fit: bool,
    /// How far replication is.
    pub sync: SyncStatus,
    /// Whether its configuration is ours; none: not heard.
    pub same_config: Option<bool>,
    /// What differs, one line each, where that is known.
    #[serde(default)]
    pub differences: Vec<String>,
}

/// One path to a partner.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PathStatus {
    /// Its number, from 0.
    pub number: u32,
    /// Address of this node.
    pub local: IpAddr,
    /// Address of the partner.
    pub remote: IpAddr,
    /// Whether heartbeats come.
    pub up: bool,
    /// Seconds since the last frame came; none: never.
    pub heard_seconds: Option<f64>,
    /// Whether the partner hears us by it.
    pub heard_by_peer: bool,
    /// Part of the last heartbeats that did not come, 0 to 1.
    pub loss: f64,
    /// Round trip of the last probe that was answered, in milliseconds.
    pub round_trip_ms: Option<f64>,
}

/// How far replication with a partner is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SyncStatus {
    /// `down` (not connected), `copying` (the whole table is on its way) or `complete`.
    pub state: String,
    /// Per cent of the table; 0 while `down`, 100 when `complete`.
    pub percent: u8,
    /// This node's address and the partner's that it goes between; none: not connected.
    #[serde(default)]
    pub path: Option<[IpAddr; 2]>,
    /// What was counted since it was connected.
    #[serde(default)]
    pub counted: Replicated,
}

/// Flows and affinity records that went between two partners.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Replicated {
    /// Sent.
    pub sent: u64,
    /// Of these, known to have arrived.
    pub acknowledged: u64,
    /// Waiting or under way.
    pub pending: u64,
    /// Of those sent, not taken by the partner: other configuration, a server given up, no room.
    pub refused: u64,
    /// Received.
    pub received: u64,
    /// Of these, written into the table.
    pub written: u64,
    /// Of these, not taken because the table knew as much or more.
    pub kept: u64,
    /// Of these, not taken because this node's configuration does not have the server.
    pub unknown: u64,
    /// Of these, not taken because their server was given up since.
    pub gone: u64,
    /// Of these, not taken for want of room.
    pub full: u64,
    /// Whole copies beyond the first.
    pub copies: u64,
    /// Milliseconds from a flow's promotion to the partner's acknowledgement, the last time.
    pub lag_ms: f64,
    /// The same, 99 of the last 100 were quicker.
    pub lag_p99_ms: f64,
}

/// How many reach targets answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct ReachScore {
    /// So many.
    pub up: u32,
    /// Of so many.
    pub total: u32,
}

/// This node's reach targets.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct ReachStatus {
    /// So many answer.
    pub up: u32,
    /// Of so many.
    pub total: u32,
    /// Their addresses.
    pub targets: Vec<IpAddr>,
}

/// How punctual this node's own heartbeat thread is.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct HeartbeatStatus {
    /// Wake-ups that came later than a heartbeat.
    pub late: u64,
    /// The latest of them, in milliseconds.
    pub latest_ms: f64,
}

/// For which cluster a `takeover` is meant.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TakeoverQuery {
    /// Every cluster of its group moves with it; none: every group that the node has a role in.
    pub cluster: Option<String>,
    /// Also where connections may be lost because replication is not complete.
    #[serde(default)]
    pub force: bool,
}
