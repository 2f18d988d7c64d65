//! One group: who is active for it. One arm for each standing and each thing that can be seen of the partner.
//!
//! ```text
//!                nobody heard and nothing reached: waits
//!                         ┌────────┐
//!                         ▼        │
//!      start ────────► Starting ───┘
//!                       │    │  ours by role, resumed, or alone
//!      partner active   │    └────────────────────────────┐
//!                       ▼                                 ▼
//!        ┌─────────► Standby ── goodbye, reach, order, ► Active ◄──────────────┐
//!        │            │  ▲      recovery, nobody is      │  ▲                 │
//!        │    silence │  │ heard                         │  │ partner failed  │
//!        │            ▼  │                  duel lost,   ▼  │ to take it      │
//!        │         Suspecting               stopping   Yielding ──────────────┘
//!        │            │   gone, or mute and its lease over │
//!        │            └─────────► Active                   │ what was on its way is forwarded
//!        └─────────────────────────────────────────────────┘
//! ```

mod decide;

use std::borrow::Cow;
use std::time::Duration;

pub use self::decide::MARGIN;
use super::detect::Life;
use super::{Cause, Effect, GroupConfig, GroupReport, Instant, ReachScore, Standing, SyncView};
use crate::model::Recovery;

/// For so long a node that gave a group up forwards what still comes: neighbours are told again and again meanwhile.
pub(super) const YIELD: Duration = Duration::from_millis(2_500);

/// Hand-overs are forgotten after this time without one.
const FORGOTTEN: Duration = Duration::from_secs(600);

/// Each hand-over doubles the wait for the next recovery, so many times at most.
const DOUBLINGS: u32 = 5;

/// What the node as a whole shows to each of its groups.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ground<'a> {
    pub(super) node: &'a str,
    pub(super) link: bool,
    pub(super) warm: bool,
    pub(super) leaving: bool,
    pub(super) reach: ReachScore,
    pub(super) heartbeat: Duration,
    pub(super) detection: Duration,
    pub(super) recovery: Recovery,
    pub(super) stable: Duration,
    pub(super) alone_after: Duration,
    /// Until when somebody who speaks from a partner's address may be a partner with the wrong key.
    pub(super) stranger_until: Option<Instant>,
}

/// What is seen of the partner.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sight<'a> {
    pub(super) name: &'a str,
    pub(super) life: Life,
    /// What its daemon last said of the group, and when that came.
    pub(super) said: Option<(GroupReport, Instant)>,
    /// What its program last said of the group, and when that came.
    pub(super) shown: Option<(GroupReport, Instant)>,
    pub(super) fit: bool,
    pub(super) reach: ReachScore,
    /// Whether each hears the other by the same path.
    pub(super) two_way: bool,
    pub(super) same_config: bool,
    /// How far replication is, by the worse of both accounts.
    pub(super) sync: SyncView,
    /// Since when nothing came from it.
    pub(super) silent_since: Instant,
    pub(super) unanswered: u32,
    /// Whether a reach target answered since the partner was asked; none: that says nothing here.
    pub(super) we_are_on_the_network: Option<bool>,
}

/// What a group does next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Move {
    /// Own the addresses under a new epoch.
    Activate(Cause),
    /// Go on owning them under the same epoch.
    Resume(Cause),
    /// Prolong the lease.
    Renew,
    /// Forward what still comes, own nothing.
    Yield(Cause),
    /// Own nothing, forward nothing.
    Release(Standing, Cause),
    /// Another word for the same: nothing is written but the word.
    Call(Standing, Cause),
    /// Say once that it holds back.
    Isolated,
    /// The duel with the partner was seen.
    DuelBegins,
    /// The partner gave way.
    DuelWon,
}

/// What is due, and when to look again.
#[derive(Debug, Default)]
pub(super) struct Next {
    pub(super) step: Option<Move>,
    pub(super) wake: Option<Instant>,
    /// Why a node that could take over does not yet.
    pub(super) waiting: Option<Cow<'static, str>>,
}

/// One group of this node.
#[derive(Debug, Clone)]
pub(super) struct Group {
    pub(super) config: GroupConfig,
    pub(super) standing: Standing,
    pub(super) since: Instant,
    pub(super) because: Cause,
    pub(super) epoch: u64,
    /// Until when the data plane forwards by itself.
    pub(super) lease_until: Instant,
    pub(super) owns: bool,
    /// The lease is renewed at this time while the group is active.
    pub(super) renew_at: Instant,
    /// After a pause, until the partner was asked: nothing is renewed or announced.
    pub(super) asking: Option<Instant>,
    /// When the present listening began.
    pub(super) listening: Instant,
    /// When this node last ran again after a pause: what the partner said before is history.
    resumed: Instant,
    /// The partner was told that this node does not want it.
    pub(super) leaving: bool,
    pub(super) duel: Option<Instant>,
    well_since: Option<Instant>,
    better_since: Option<Instant>,
    pub(super) held_back: bool,
    hand_overs: u32,
    handed_over: Option<Instant>,
    pub(super) waiting: Option<Cow<'static, str>>,
}

impl Group {
    pub(super) const fn new(config: GroupConfig, now: Instant) -> Self {
        Self {
            config,
            standing: Standing::Starting,
            since: now,
            because: Cause::Boot,
            epoch: 0,
            lease_until: Instant::START,
            owns: false,
            renew_at: now,
            asking: None,
            listening: now,
            resumed: Instant::START,
            leaving: false,
            duel: None,
            well_since: None,
            better_since: None,
            held_back: false,
            hand_overs: 0,
            handed_over: None,
            waiting: None,
        }
    }

    /// Whether the data plane still forwards for it.
    pub(super) fn leased(&self, now: Instant) -> bool {
        now < self.lease_until
    }

    /// What this node says of the group.
    pub(super) fn report(&self, now: Instant) -> GroupReport {
        GroupReport {
            number: self.config.number,
            role: self.config.role,
            standing: self.standing,
            epoch: self.epoch,
            lease: self.lease_until.since(now),
            leaving: self.leaving,
        }
    }

    /// Whether this node's claim goes before the partner's: by epoch, role and name, so that both agree.
    pub(super) fn outranks(&self, ground: &Ground<'_>, theirs: &GroupReport, their_name: &str) -> bool {
        (self.epoch, self.config.role, ground.node) > (theirs.epoch, theirs.role, their_name)
    }

    /// Remembers a hand-over, which makes the next recovery wait longer.
    pub(super) fn count_hand_over(&mut self, now: Instant) {
        let recent = self.handed_over.is_some_and(|last| now.since(last) < FORGOTTEN);
        self.hand_overs = if recent { self.hand_overs + 1 } else { 1 };
        self.handed_over = Some(now);
        self.well_since = None;
        self.better_since = None;
    }

    /// It did not run until now: nothing that was seen before has lasted until now.
    pub(super) const fn wake_up(&mut self, now: Instant) {
        self.resumed = now;
        self.well_since = None;
        self.better_since = None;
    }

    /// Whether a word of the partner is from before a pause of this node. The next one, or the detector's suspicion, comes
    /// before anything is concluded.
    fn is_history(&self, word: Option<(GroupReport, Instant)>) -> bool {
        word.is_some_and(|(_, came)| came < self.resumed)
    }

    /// How long the partner must have been well before this node takes back.
    pub(super) fn stability(&self, ground: &Ground<'_>) -> Duration {
        ground.stable * (1 << self.hand_overs.saturating_sub(1).min(DOUBLINGS))
    }

    pub(super) fn renew(&mut self, lease: Duration, heartbeat: Duration, now: Instant) {
        self.lease_until = now + lease;
        self.renew_at = now + heartbeat;
    }

    /// What the data plane is to say.
    pub(super) fn set(&self, now: Instant) -> Effect {
        Effect::Set {
            group: self.config.number,
            lease: self.lease_until.since(now),
            owns: self.owns,
            standing: self.standing,
            epoch: self.epoch,
        }
    }
}

impl GroupReport {
    /// Whether whoever says this answers for the addresses.
    pub fn owns(&self) -> bool {
        !self.lease.is_zero() && matches!(self.standing, Standing::Active | Standing::Starting)
    }
}
