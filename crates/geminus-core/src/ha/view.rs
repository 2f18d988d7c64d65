//! What the machine shows: to operators, to the data plane's reader, to the journal.

use std::time::Duration;

use super::{Instant, ReachScore, Role, Standing};

/// Everything there is to see.
#[derive(Debug, Clone, PartialEq)]
pub struct HaView {
    /// The groups, in the order of their numbers.
    pub groups: Vec<GroupView>,
    /// The partners, in the order of the configuration.
    pub peers: Vec<PeerView>,
    /// This node's reach targets.
    pub reach: ReachScore,
    /// Wake-ups that came later than a heartbeat.
    pub late: u64,
    /// The latest of them.
    pub latest: Duration,
}

/// One group.
#[derive(Debug, Clone, PartialEq)]
pub struct GroupView {
    /// Its number.
    pub number: u8,
    /// What this node is for it in normal times.
    pub role: Role,
    /// What it is now.
    pub standing: Standing,
    /// Since when.
    pub since: Instant,
    /// Why, in words.
    pub because: String,
    /// Raised at every takeover.
    pub epoch: u64,
    /// What is left of its lease: so long does the data plane go on by itself.
    pub lease: Duration,
    /// What the partner says it is; none: it says nothing.
    pub partner: Option<Standing>,
    /// If this node is to take over by itself later: why it has not yet, in words.
    pub waiting: Option<String>,
}

/// One partner.
#[derive(Debug, Clone, PartialEq)]
pub struct PeerView {
    /// Its name.
    pub name: String,
    /// `unheard`, `alive`, `suspect`, `mute` (its program answers, its daemon does not) or `gone`.
    pub state: &'static str,
    /// Its paths.
    pub paths: Vec<PathView>,
    /// What it reaches.
    pub reach: ReachScore,
    /// Whether it can forward.
    pub fit: bool,
    /// How far replication is, as this node sees it.
    pub sync: SyncView,
    /// Whether its configuration is ours; none: not heard.
    pub same_config: Option<bool>,
}

/// One path.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PathView {
    /// When the last frame came.
    pub heard: Option<Instant>,
    /// Whether frames come now.
    pub up: bool,
    /// Whether the partner hears us by it.
    pub heard_by_peer: bool,
    /// Part of the last heartbeats that did not come, 0 to 1.
    pub loss: f64,
    /// Round trip of the last answered probe.
    pub round_trip: Option<Duration>,
}

/// How far replication with a partner is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SyncView {
    /// Not connected.
    #[default]
    Down,
    /// A whole table is being copied; percent.
    Copying(u8),
    /// Both remember the same flows, but for what is on its way.
    Complete,
}

/// Why a group changed hands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// Neither heartbeat nor echo by any path.
    Silence {
        /// Since when nothing came.
        silent: Duration,
        /// Probes that were not answered.
        probes: u32,
    },
    /// The partner's program answers, its daemon does not, and its lease has run out.
    LeaseOver,
    /// The partner gave it up.
    Goodbye,
    /// This node reaches more targets.
    Reach {
        /// How many.
        ours: u32,
        /// How many the partner reaches.
        theirs: u32,
    },
    /// An operator ordered it.
    Order,
    /// The returned primary takes it again.
    Recovery,
    /// Both are up, nobody is active, and it is this node's.
    Boot,
    /// Nobody was heard.
    Alone,
    /// The lease of the daemon before was still running.
    Resumed,
    /// The partner claims it with a higher epoch.
    PartnerClaims,
    /// This node cannot forward.
    Unfit,
    /// This node leaves.
    Stopping,
    /// This node did not run for so long.
    Paused(Duration),
}

/// Something happened.
#[derive(Debug, Clone, PartialEq)]
pub enum HaEvent {
    /// A group's standing changed.
    Changed {
        /// Number of the group.
        group: u8,
        /// Clusters of the group.
        name: String,
        /// From.
        from: Standing,
        /// To.
        to: Standing,
        /// Why.
        cause: Cause,
        /// How long the earlier standing lasted.
        lasted: Duration,
        /// The epoch now.
        epoch: u64,
    },
    /// Both were active; the loser yields, the winner announces again.
    Duel {
        /// Number of the group.
        group: u8,
        /// Whether this node goes on.
        won: bool,
        /// How long both were, as far as this node saw.
        lasted: Duration,
    },
    /// A partner is heard: for the first time, or again.
    PeerUp {
        /// Index of the partner.
        peer: usize,
    },
    /// A partner is not heard any more.
    PeerDown {
        /// Index of the partner.
        peer: usize,
        /// Whether its program still answers.
        mute: bool,
    },
    /// Nothing comes by a path any more.
    PathDown {
        /// Index of the partner.
        peer: usize,
        /// Number of the path.
        path: usize,
    },
    /// Something comes by a path again.
    PathUp {
        /// Index of the partner.
        peer: usize,
        /// Number of the path.
        path: usize,
    },
    /// The partner's configuration differs.
    ConfigDiffers {
        /// Index of the partner.
        peer: usize,
    },
    /// It does not differ any more.
    ConfigAgrees {
        /// Index of the partner.
        peer: usize,
    },
    /// The number of reach targets that answer changed.
    Reach {
        /// Before.
        from: ReachScore,
        /// Now.
        to: ReachScore,
    },
    /// This node cannot tell whether the partner is dead or itself is off the network, and holds back.
    Isolated {
        /// Number of the group.
        group: u8,
    },
    /// This node did not run for so long; it accuses nobody and asks before it claims.
    Paused(Duration),
    /// An order cannot be carried out.
    Refused {
        /// Number of the group.
        group: u8,
        /// Why.
        why: String,
        /// The way out.
        hint: String,
    },
}

impl std::fmt::Display for Cause {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Silence { silent, probes } => {
                write!(f, "the partner is silent for {} ms, {probes} probes unanswered", silent.as_millis())
            }
            Self::LeaseOver => f.write_str("the partner's daemon is dead and its lease is over"),
            Self::Goodbye => f.write_str("the partner gave it up"),
            Self::Reach { ours, theirs } => {
                write!(f, "this node reaches {ours} targets, the partner {theirs}")
            }
            Self::Order => f.write_str("an operator ordered it"),
            Self::Recovery => f.write_str("the returned primary took it again"),
            Self::Boot => f.write_str("nobody was active"),
            Self::Alone => f.write_str("no partner is heard"),
            Self::Resumed => f.write_str("the lease of the daemon before was still running"),
            Self::PartnerClaims => f.write_str("the partner is active"),
            Self::Unfit => f.write_str("this node cannot forward"),
            Self::Stopping => f.write_str("this node stops"),
            Self::Paused(pause) => write!(f, "this node did not run for {} ms", pause.as_millis()),
        }
    }
}
