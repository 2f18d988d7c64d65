//! What a group does next: one arm for each standing and each thing that can be seen of the partner.

use std::borrow::Cow;
use std::time::Duration;

use super::super::detect::Life;
use super::super::{Cause, Instant, Role, Standing, SyncView};
use super::{Ground, Group, Move, Next, Sight};
use crate::model::Recovery;

/// So long before a mute partner's lease ends this node takes over: its announcements are heard before the end.
pub const MARGIN: Duration = Duration::from_millis(40);

/// How long a start waits for the hardware addresses of the servers.
const WARM_PATIENCE: Duration = Duration::from_secs(2);

/// How long the standby must reach more before it takes over.
const REACH_HOLD: Duration = Duration::from_millis(100);

impl Group {
    /// What is due now, and when to look again. Everything about time that is remembered is remembered here.
    pub(in crate::ha) fn next(&mut self, ground: &Ground<'_>, sight: &Sight<'_>, now: Instant) -> Next {
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
                    _ => self.primary_first(ground, now),
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
            Standing::Starting => self.primary_first(ground, now),
            Standing::Standby | Standing::Suspecting => self.nobody_is(ground, now),
        }
    }

    /// The primary starts, and has its time before this node takes what nobody has.
    fn primary_first(&self, ground: &Ground<'_>, now: Instant) -> Next {
        let patience = self.listening + ground.detection * 2 + WARM_PATIENCE;
        if patience <= now {
            Next::step(Move::Activate(Cause::Boot))
        } else {
            Next::wait(patience, "the primary is there and goes first")
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
