//! High availability: who is active for which group of clusters, decided without a clock, a socket or a random source.
//!
//! One [`Ha`] is one node. What its partners say, what its own network shows and what operators want goes in; heartbeats,
//! probes, leases and announcements come out. The driver is the daemon's heartbeat thread or the simulator; both call
//! [`Ha::handle`] for each input, [`Ha::handle_timeout`] when [`Ha::poll_timeout`] says so, and carry out what
//! [`Ha::poll_effect`] gives until it gives nothing. Before `handle_timeout` they pass on every frame that has already
//! arrived: a late look is no silence.
//!
//! Only groups with a backup are in here. A cluster without one is the node's own, and [`crate::director`] holds its lease.

mod beat;
pub mod detect;
mod group;
mod machine;
mod partner;
mod reach;
mod view;

#[cfg(test)]
mod tests;

use std::time::Duration;

pub use self::beat::{Beat, GroupReport, Heard, ReachScore};
pub use self::group::MARGIN as TAKEOVER_MARGIN;
pub use self::machine::Ha;
pub use self::view::{Cause, GroupView, HaEvent, HaView, PathView, PeerView, SyncView};
pub use crate::director::Instant;
use crate::model::{Recovery, Timers};

/// What one node needs to know of the site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Name of this node.
    pub node: String,
    /// Its partners.
    pub peers: Vec<PeerConfig>,
    /// The groups it has a role in.
    pub groups: Vec<GroupConfig>,
    /// When silence is noticed, and when it is believed.
    pub timers: Timers,
    /// How long the data plane stays active after the last renewal.
    pub lease: Duration,
    /// Whether a returned primary takes over again by itself.
    pub recovery: Recovery,
    /// How long it must have been well before.
    pub stable: Duration,
    /// How long a node that heard nobody and reaches nobody waits before it goes active.
    pub alone_after: Duration,
    /// How many reach targets there are.
    pub reach_targets: u32,
    /// First eight bytes of the configuration's digest.
    pub digest: u64,
}

/// One partner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerConfig {
    /// Its name.
    pub name: String,
    /// How many paths lead to it; they are numbered from 0 in the order of the configuration.
    pub paths: usize,
}

/// One group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupConfig {
    /// Its number in the site and in the data plane, from 1.
    pub number: u8,
    /// What this node is for it in normal times.
    pub role: Role,
    /// Index of the other one in [`Config::peers`].
    pub peer: usize,
    /// What it is called in messages: the names of its clusters.
    pub name: String,
}

/// What the data plane still says of a group when the daemon starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Adopted {
    /// Number of the group.
    pub group: u8,
    /// What is left of its lease.
    pub lease: Duration,
    /// Its epoch.
    pub epoch: u64,
    /// What the daemon before was for it; a group that is not [`Standing::Active`] is not resumed.
    pub standing: Standing,
}

/// What a node is for a group in normal times.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// It takes over.
    Backup,
    /// It is active.
    Primary,
}

impl Role {
    /// The word used in output.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Backup => "backup",
            Self::Primary => "primary",
        }
    }
}

/// What a node is for a group right now. The numbers are on the wire and in the data plane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Standing {
    /// It listens for its partner before it claims anything.
    Starting = 1,
    /// The partner is active, as far as is known.
    Standby = 2,
    /// The partner is silent, and it is being found out whether it is dead.
    Suspecting = 3,
    /// It owns the addresses.
    Active = 4,
    /// It has given the addresses up and forwards what still comes.
    Yielding = 5,
}

impl Standing {
    /// The word used in output.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Standby => "standby",
            Self::Suspecting => "suspecting",
            Self::Active => "active",
            Self::Yielding => "yielding",
        }
    }

    /// The standing with this number.
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::Starting),
            2 => Some(Self::Standby),
            3 => Some(Self::Suspecting),
            4 => Some(Self::Active),
            5 => Some(Self::Yielding),
            _ => None,
        }
    }
}

/// A path to a partner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PathId {
    /// Index in [`Config::peers`].
    pub peer: usize,
    /// Number of the path to that partner.
    pub path: usize,
}

/// What the machine hears. Only frames that were authenticated come here.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// A partner's daemon spoke. Each beat once for each path it came by.
    Beat {
        /// The sender's run: another one after each start of its daemon.
        session: u64,
        /// By which path it came.
        path: PathId,
        /// When it came, which is not when it was looked at.
        arrived: Instant,
        /// What it says.
        beat: Beat,
    },
    /// A partner's program answered [`Effect::Probe`].
    Answer {
        /// By which path it came.
        path: PathId,
        /// When it came.
        arrived: Instant,
        /// Which probe it answers.
        probe: u64,
        /// What the partner's data plane says of the groups that the two share.
        reports: Vec<GroupReport>,
    },
    /// A reach target answered.
    Reached {
        /// Which.
        target: u32,
        /// When the answer came.
        arrived: Instant,
    },
    /// Somebody speaks from a partner's address and does not have this node's key.
    Stranger,
    /// Whether this node can serve: its interface has a carrier and the program is attached (`link`); its servers'
    /// hardware addresses are known (`warm`).
    Fit {
        /// Whether it can forward at all.
        link: bool,
        /// Whether it knows where to.
        warm: bool,
    },
    /// Whether a partner and this node remember the same flows.
    Sync {
        /// Index of the partner.
        peer: usize,
        /// How far.
        sync: SyncView,
    },
    /// An operator wants this node to be active for a group. Refusals come out as [`HaEvent::Refused`].
    Takeover {
        /// Number of the group.
        group: u8,
        /// Also where flows may be lost because replication is not complete.
        force: bool,
    },
    /// Leave: hand over, then [`Effect::Left`]. With `keep` the data plane goes on and nothing is handed over.
    Stop {
        /// Whether the data plane goes on.
        keep: bool,
    },
    /// The site changed. Groups and partners of the same name go on where they are.
    Config(Config),
}

/// What the driver does.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Say this by that path.
    Send {
        /// Which path.
        path: PathId,
        /// What.
        beat: Beat,
    },
    /// Ask the partner's program by that path.
    Probe {
        /// Which path.
        path: PathId,
        /// Number of the probe, never used twice.
        probe: u64,
    },
    /// Ask every reach target once, now. Besides, the driver asks them on their own schedule.
    ProbeReach,
    /// Write this into the data plane's group, now.
    Set {
        /// Number of the group.
        group: u8,
        /// For how long from now on it forwards; zero: not at all.
        lease: Duration,
        /// Whether it also answers for the addresses.
        owns: bool,
        /// What others are told.
        standing: Standing,
        /// Epoch of the group.
        epoch: u64,
    },
    /// The addresses of these groups are ours, and exactly these: announce what is new. With `again` announce all.
    Own {
        /// Numbers of the groups.
        groups: Vec<u8>,
        /// Group whose neighbours may have heard somebody else meanwhile.
        again: Option<u8>,
    },
    /// Something happened.
    Tell(HaEvent),
    /// [`Input::Stop`] is done.
    Left,
}
