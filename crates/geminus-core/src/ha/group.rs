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

use std::borrow::Cow;
use std::time::Duration;

use super::detect::Life;
use super::{Cause, GroupConfig, GroupReport, Instant, ReachScore, Role, Standing, SyncView};
use crate::model::Recovery;

/// For so long a node that gave a group up forwards what still comes: neighbours are told again and again meanwhile.
pub(super) const YIELD: Duration = Duration::from_millis(2_500);

/// So long before a mute partner's lease ends this node takes over: its announcements are heard before the end.
pub const MARGIN: Duration = Duration::from_millis(40);

/// How long a start waits for the hardware addresses of the servers.
const WARM_PATIENCE: Duration = Duration::from_secs(2);

/// How long the standby must reach more before it takes over.
const REACH_HOLD: Duration = Duration::from_millis(100);

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

    /// What is due now, and when to look again. Everything about time that is remembered is remembered here.
    pub(super) fn next(&mut self, ground: &Ground<'_>, sight: &Sight<'_>, now: Instant) -> Next {
        let next = match self.standing {
            Standing::Starting => self.starting(ground, sight, now),
            Standing::Standby => self.standby(ground, sight, now),
            Standing::Suspecting => self.suspecting(ground, sight, now),
            Standing::Active => self.active(ground, sight, now),
            Standing::Yielding => self.yielding(ground, sight, now),
        };
        self.waiting.clone_from(&next.waiting);
        next
    }

    fn starting(&self, ground: &Ground<'_>, sight: &Sight<'_>, now: Instant) -> Next {
        let ours = self.owns && self.leased(now);
        if ground.leaving {
            // The daemon before left a lease, and this one does not stay long enough to know whether it still counts.
            return if ours { Next::step(Move::Yield(Cause::Stopping)) } else { Next::default() };
        }
        let heard_out = self.listening + ground.detection;
        let warm_by = self.listening + WARM_PATIENCE;
        let is_warm = ground.warm || warm_by <= now;
        let able = ground.link && is_warm;
        let unable = if ground.link {
            Next::wait(warm_by, "the servers' hardware addresses are being asked for")
        } else {
            Next::hold("this node cannot forward")
        };
        match sight.life {
            Life::Alive => {
                let Some((said, came)) = sight.said else {
                    // The partner knows nothing of the group: it is not active for it.
                    return if able { Next::step(Move::Activate(Cause::Boot)) } else { unable };
                };
                if came < self.listening {
                    return Next::wait(heard_out, "the partner is asked");
                }
                match said.standing {
                    Standing::Active if ours && self.outranks(ground, &said, sight.name) => {
                        Next::step(Move::Resume(Cause::Resumed))
                    }
                    Standing::Active => Next::step(Move::Release(Standing::Standby, Cause::PartnerClaims)),
                    _ if ours => Next::step(Move::Resume(Cause::Resumed)),
                    // Its daemon was started anew within its lease and will go on.
                    Standing::Starting if !said.lease.is_zero() && sight.fit => {
                        Next::step(Move::Call(Standing::Standby, Cause::PartnerClaims))
                    }
                    _ if !able => unable,
                    _ if self.config.role == Role::Primary || !sight.fit || said.leaving => {
                        Next::step(Move::Activate(Cause::Boot))
                    }
                    _ => {
                        let patience = self.listening + ground.detection * 2 + WARM_PATIENCE;
                        if patience <= now {
                            Next::step(Move::Activate(Cause::Boot))
                        } else {
                            Next::wait(patience, "the primary is there and goes first")
                        }
                    }
                }
            }
            Life::Suspect { .. } => Next::hold("the partner is asked"),
            Life::Mute { .. } if self.is_history(sight.shown) => Next::hold("the partner is asked"),
            Life::Mute { .. } => match sight.shown {
                Some((shown, came)) if shown.owns() && came + shown.lease > now => {
                    let theirs = !ours || !self.outranks(ground, &shown, sight.name);
                    if theirs && !ours && heard_out > now {
                        // A daemon that lives speaks in a moment; there is no need to suspect it first.
                        Next::wait(heard_out, "the partner is asked")
                    } else if theirs {
                        Next::step(Move::Release(Standing::Standby, Cause::PartnerClaims))
                    } else {
                        Next::step(Move::Resume(Cause::Resumed))
                    }
                }
                _ if ours => Next::step(Move::Resume(Cause::Resumed)),
                _ if heard_out > now => Next::wait(heard_out, "the partner is asked"),
                _ if able => Next::step(Move::Activate(Cause::Boot)),
                _ => unable,
            },
            Life::Gone { .. } | Life::Unheard if heard_out > now => {
                Next::wait(heard_out, "the partner is asked")
            }
            Life::Gone { .. } | Life::Unheard if ours => Next::step(Move::Resume(Cause::Resumed)),
            Life::Gone { .. } | Life::Unheard if ground.stranger_until > Some(now) => {
                let mut next = Next::hold(
                    "somebody speaks from the partner's address with a key that this node does not have",
                );
                next.wake = ground.stranger_until;
                next
            }
            Life::Gone { .. } | Life::Unheard if !able => unable,
            Life::Gone { .. } | Life::Unheard => {
                let alone = self.since + ground.alone_after;
                if ground.reach.up > 0 || alone <= now {
                    Next::step(Move::Activate(Cause::Alone))
                } else {
                    Next::wait(alone, "neither the partner nor a reach target is heard")
                }
            }
        }
    }

    fn standby(&mut self, ground: &Ground<'_>, sight: &Sight<'_>, now: Instant) -> Next {
        if ground.leaving {
            return Next::default();
        }
        match sight.life {
            Life::Alive => {}
            Life::Unheard => return Next::step(Move::Call(Standing::Starting, Cause::Boot)),
            Life::Suspect { .. } | Life::Mute { .. } | Life::Gone { .. } => {
                self.well_since = None;
                self.better_since = None;
                let silent = now.since(sight.silent_since);
                let cause = Cause::Silence { silent, probes: sight.unanswered };
                return Next::step(Move::Call(Standing::Suspecting, cause));
            }
        }
        if !ground.link {
            self.well_since = None;
            return Next::hold("this node cannot forward");
        }
        let Some((said, _)) = sight.said else { return self.nobody_is(ground, now) };
        if self.is_history(sight.said) {
            return Next::hold("the partner is asked");
        }
        match said.standing {
            Standing::Active if said.leaving || !sight.fit => Next::step(Move::Activate(Cause::Goodbye)),
            Standing::Active => {
                self.listening = now;
                self.under_an_active(ground, sight, now)
            }
            Standing::Yielding => Next::step(Move::Activate(Cause::Goodbye)),
            Standing::Starting if !said.lease.is_zero() && sight.fit => {
                Next::hold("the partner's daemon starts within its lease")
            }
            _ if !sight.fit || said.leaving => Next::step(Move::Activate(Cause::Goodbye)),
            _ if self.config.role == Role::Primary => Next::step(Move::Activate(Cause::Boot)),
            Standing::Starting => {
                let patience = self.listening + ground.detection * 2 + WARM_PATIENCE;
                if patience <= now {
                    Next::step(Move::Activate(Cause::Boot))
                } else {
                    Next::wait(patience, "the primary is there and goes first")
                }
            }
            Standing::Standby | Standing::Suspecting => self.nobody_is(ground, now),
        }
    }

    /// The partner is there and not active, and this node is not the one to go first.
    fn nobody_is(&self, ground: &Ground<'_>, now: Instant) -> Next {
        let patience = self.listening + ground.detection;
        if patience <= now {
            Next::step(Move::Activate(Cause::Boot))
        } else {
            Next::wait(patience, "the partner goes first")
        }
    }

    /// The partner is active and well: is there a reason to take over nevertheless?
    fn under_an_active(&mut self, ground: &Ground<'_>, sight: &Sight<'_>, now: Instant) -> Next {
        let (ours, theirs) = (ground.reach, sight.reach);
        // An old word of the partner is no reason: it may have regained its targets, or died, which is another matter.
        let recent = sight.said.is_some_and(|(_, came)| came + ground.heartbeat * 2 > now);
        let better = ours.settled && theirs.settled && ours.up > theirs.up && sight.two_way && recent;
        self.better_since = if better { self.better_since.or(Some(now)) } else { None };
        if let Some(since) = self.better_since {
            if since + REACH_HOLD <= now {
                return Next::step(Move::Activate(Cause::Reach { ours: ours.up, theirs: theirs.up }));
            }
            return Next::wait(since + REACH_HOLD, "this node reaches more targets");
        }
        if self.config.role != Role::Primary {
            return Next::default();
        }
        if ground.recovery == Recovery::Manual {
            return Next::hold("recovery is manual: `geminus takeover` takes it back");
        }
        let lacking = if !sight.two_way {
            Some(Cow::Borrowed("no path works in both directions"))
        } else if sight.sync != SyncView::Complete {
            Some(match sight.sync {
                SyncView::Copying(percent) => format!("replication is at {percent} %").into(),
                _ => "replication is not connected".into(),
            })
        } else if !sight.same_config {
            Some("the configurations differ".into())
        } else if !ground.warm {
            Some("the servers' hardware addresses are being asked for".into())
        } else if ours.up < theirs.up {
            Some("the partner reaches more targets".into())
        } else {
            None
        };
        if let Some(lacking) = lacking {
            self.well_since = None;
            return Next::hold(lacking);
        }
        let since = *self.well_since.get_or_insert(now);
        let due = since + self.stability(ground);
        if due <= now {
            Next::step(Move::Activate(Cause::Recovery))
        } else {
            Next::wait(due, "takes it back when it has been well for long enough")
        }
    }

    fn suspecting(&self, ground: &Ground<'_>, sight: &Sight<'_>, now: Instant) -> Next {
        if ground.leaving {
            return Next::default();
        }
        match sight.life {
            Life::Alive => Next::step(Move::Call(Standing::Standby, Cause::PartnerClaims)),
            Life::Unheard => Next::step(Move::Call(Standing::Starting, Cause::Boot)),
            Life::Suspect { .. } => Next::hold("the partner is asked"),
            _ if !ground.link => Next::hold("this node cannot forward"),
            Life::Mute { .. } if self.is_history(sight.shown) => Next::hold("the partner is asked"),
            Life::Mute { .. } => {
                let Some((shown, came)) = sight.shown.filter(|(shown, _)| shown.owns()) else {
                    return Next::step(Move::Activate(Cause::LeaseOver));
                };
                let over = came + shown.lease.saturating_sub(MARGIN);
                if over <= now {
                    Next::step(Move::Activate(Cause::LeaseOver))
                } else {
                    Next::wait(over, "the partner's program answers: its lease is waited for")
                }
            }
            Life::Gone { asked } => {
                let cause =
                    Cause::Silence { silent: now.since(sight.silent_since), probes: sight.unanswered };
                match sight.we_are_on_the_network {
                    None | Some(true) => Next::step(Move::Activate(cause)),
                    Some(false) if asked + ground.alone_after <= now => Next::step(Move::Activate(cause)),
                    Some(false) => {
                        let mut next = Next::wait(
                            asked + ground.alone_after,
                            "no reach target answers either: this node may be off the network itself",
                        );
                        next.step = (!self.held_back).then_some(Move::Isolated);
                        next
                    }
                }
            }
        }
    }

    fn active(&self, ground: &Ground<'_>, sight: &Sight<'_>, now: Instant) -> Next {
        let alive = sight.life == Life::Alive;
        let said = sight.said.filter(|_| alive);
        if let Some((said, came)) = said {
            let claims = said.standing == Standing::Active && self.duel.is_none_or(|began| came >= began);
            if claims && !self.outranks(ground, &said, sight.name) {
                return Next::step(Move::Yield(Cause::PartnerClaims));
            }
            // What was on its way when this node took over is no claim against it.
            if claims && self.duel.is_none() && came >= self.since + ground.heartbeat * 2 {
                return Next::step(Move::DuelBegins);
            }
            if self.duel.is_some() && said.standing != Standing::Active {
                return Next::step(Move::DuelWon);
            }
        }
        if ground.leaving {
            return Next::step(Move::Yield(Cause::Stopping));
        }
        if let Some(asking) = self.asking {
            return self.asking(ground, sight, asking, now);
        }
        // A node that cannot forward gives up to one that can, and keeps what nobody could take.
        if !ground.link && alive && sight.fit {
            return Next::step(Move::Release(Standing::Standby, Cause::Unfit));
        }
        if self.renew_at <= now { Next::step(Move::Renew) } else { Next::at(self.renew_at) }
    }

    /// After a pause: the partner may have taken over meanwhile.
    fn asking(&self, ground: &Ground<'_>, sight: &Sight<'_>, asking: Instant, now: Instant) -> Next {
        if !self.leased(now) {
            let pause = now.since(asking);
            return Next::step(Move::Release(Standing::Starting, Cause::Paused(pause)));
        }
        let answered = sight.said.is_some_and(|(_, came)| came >= asking);
        let heard_out = asking + ground.detection;
        match sight.life {
            Life::Alive if answered => Next::step(Move::Renew),
            Life::Gone { .. } | Life::Unheard if heard_out <= now => Next::step(Move::Renew),
            Life::Mute { .. } => match sight.shown.filter(|(_, came)| *came >= asking) {
                Some((shown, _)) if shown.owns() && !self.outranks(ground, &shown, sight.name) => {
                    Next::step(Move::Yield(Cause::PartnerClaims))
                }
                Some(_) => Next::step(Move::Renew),
                None => Next::at(heard_out.min(self.lease_until).max(now + ground.heartbeat)),
            },
            _ => Next::at(if heard_out > now { heard_out.min(self.lease_until) } else { self.lease_until }),
        }
    }

    fn yielding(&self, ground: &Ground<'_>, sight: &Sight<'_>, now: Instant) -> Next {
        let taken = sight.life == Life::Alive
            && sight.said.is_some_and(|(said, _)| match said.standing {
                Standing::Active => true,
                // Its daemon was started anew within its lease and will go on.
                Standing::Starting => !said.lease.is_zero() && sight.fit,
                _ => false,
            });
        if !taken && !ground.leaving && ground.link {
            let failed = self.since.max(self.resumed) + ground.detection * 2;
            let gone = matches!(sight.life, Life::Gone { .. } | Life::Unheard);
            if gone || failed <= now && sight.life == Life::Alive {
                let silent = now.since(sight.silent_since);
                let cause = Cause::Silence { silent, probes: sight.unanswered };
                return Next::step(Move::Activate(if gone { cause } else { Cause::Boot }));
            }
            if self.lease_until > now {
                return Next::at(failed.max(now + ground.heartbeat).min(self.lease_until));
            }
        }
        if self.lease_until <= now && !ground.leaving {
            return Next::step(Move::Release(Standing::Standby, self.because.clone()));
        }
        Next::at(self.lease_until)
    }
}

impl GroupReport {
    /// Whether whoever says this answers for the addresses.
    pub fn owns(&self) -> bool {
        !self.lease.is_zero() && matches!(self.standing, Standing::Active | Standing::Starting)
    }
}

impl Next {
    fn step(step: Move) -> Self {
        Self { step: Some(step), ..Self::default() }
    }

    fn at(wake: Instant) -> Self {
        Self { wake: Some(wake), ..Self::default() }
    }

    fn wait(wake: Instant, why: &'static str) -> Self {
        Self { wake: Some(wake), waiting: Some(why.into()), ..Self::default() }
    }

    fn hold(why: impl Into<Cow<'static, str>>) -> Self {
        Self { waiting: Some(why.into()), ..Self::default() }
    }
}
