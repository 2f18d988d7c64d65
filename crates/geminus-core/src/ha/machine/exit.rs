//! The end of a daemon: with a hand-over, or with a data plane that goes on.

use std::time::Duration;

use super::super::detect::Life;
use super::super::{Effect, Instant, Standing};
use super::Ha;
use crate::director::DETACH_LEASE;

/// A planned exit waits so long for the partner to take over.
const EXIT_PATIENCE: Duration = Duration::from_secs(1);

/// After the partner took over, an exit forwards what still comes for so long: its first announcements are heard by then.
const EXIT_LINGER: Duration = Duration::from_millis(300);

/// An exit under way.
#[derive(Debug, Clone, Copy)]
pub(super) struct Leaving {
    by: Instant,
    /// When the last group was seen in the partner's hands.
    handed: Option<Instant>,
}

impl Ha {
    pub(super) fn stop(&mut self, keep: bool, now: Instant) {
        if self.leaving.is_some() {
            return;
        }
        // Who cannot forward has nothing to keep, and its partner is told so: it hands over instead.
        if keep && self.link {
            for group in &mut self.groups {
                if group.leased(now) && group.owns {
                    group.lease_until = now + DETACH_LEASE;
                    self.effects.push_back(Effect::Set {
                        group: group.config.number,
                        lease: DETACH_LEASE,
                        owns: true,
                        standing: Standing::Active,
                        epoch: group.epoch,
                    });
                }
            }
            self.speak(now);
            return self.leave();
        }
        self.leaving = Some(Leaving { by: now + EXIT_PATIENCE, handed: None });
        for group in &mut self.groups {
            group.leaving = true;
        }
        self.settle(now);
        self.speak_again(now);
    }

    pub(super) fn leave(&mut self) {
        self.left = true;
        self.effects.push_back(Effect::Left);
    }

    /// Whether an exit has nothing more to wait for; sets when to look again.
    pub(super) fn may_leave(&mut self, now: Instant) -> bool {
        let Some(mut leaving) = self.leaving else { return false };
        let to_hand_over = self.groups.iter().filter(|group| group.leased(now));
        let mut waits = false;
        let mut any = false;
        for group in to_hand_over {
            let Some(partner) = self.partners.get(group.config.peer) else { continue };
            if partner.detector.life() != Life::Alive || !partner.fit {
                continue;
            }
            any = true;
            let taken = partner.said.get(&group.config.number);
            waits |= !taken.is_some_and(|(said, _)| said.standing == Standing::Active);
        }
        if !any || leaving.by <= now {
            return true;
        }
        if waits {
            self.want(leaving.by);
            return false;
        }
        let until = *leaving.handed.get_or_insert(now) + EXIT_LINGER;
        self.leaving = Some(leaving);
        self.want(until);
        until <= now
    }
}
