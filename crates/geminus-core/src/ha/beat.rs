//! What partners tell each other, many times a second and on every path.

use std::time::Duration;

use super::{Role, Standing, SyncView};

/// One heartbeat's meaning; the wire format gives it its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Beat {
    /// Counts this node's heartbeats; the same on every path.
    pub sequence: u64,
    /// Time between heartbeats of the sender.
    pub interval: Duration,
    /// What the sender last heard by each path, in the order of the paths.
    pub heard: Vec<Heard>,
    /// The groups that the two share.
    pub groups: Vec<GroupReport>,
    /// How many reach targets the sender reaches.
    pub reach: ReachScore,
    /// Whether the sender can forward at all.
    pub fit: bool,
    /// Whether the sender has not heard the receiver for a while and asks to hear it at once.
    pub asks: bool,
    /// How far replication is.
    pub sync: SyncView,
    /// First eight bytes of the digest of the sender's configuration.
    pub digest: u64,
}

/// What was last heard by one path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Heard {
    /// Sequence of the newest heartbeat; 0: none.
    pub sequence: u64,
    /// How long ago it came; at most 65 s.
    pub ago: Duration,
}

/// What a node says of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GroupReport {
    /// Number of the group.
    pub number: u8,
    /// What the sender is for it in normal times.
    pub role: Role,
    /// What it is now.
    pub standing: Standing,
    /// Raised at every takeover.
    pub epoch: u64,
    /// What is left of the sender's lease: so long does its data plane go on by itself.
    pub lease: Duration,
    /// Whether the sender wants to be rid of it.
    pub leaving: bool,
}

/// How many reach targets answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ReachScore {
    /// How many.
    pub up: u32,
    /// Of how many.
    pub total: u32,
    /// Whether that has been so long enough to be believed.
    pub settled: bool,
}
