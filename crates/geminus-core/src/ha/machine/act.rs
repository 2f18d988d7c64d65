//! What a group's next step does to the node: its data plane, its announcements, what it says.

use super::super::group::{Move, YIELD};
use super::super::{Cause, Effect, HaEvent, Instant, Standing};
use super::Ha;

impl Ha {
    pub(super) fn step(&mut self, at: usize, step: Move, now: Instant) {
        let seen = self.seen_epoch(at);
        let lease = self.config.lease;
        let group = &mut self.groups[at];
        match step {
            Move::Activate(cause) => {
                group.epoch = group.epoch.max(seen) + 1;
                group.count_hand_over(now);
                self.own(at, cause, now);
                self.speak_again(now);
            }
            Move::Resume(cause) => {
                self.own(at, cause, now);
                self.speak_again(now);
            }
            Move::Renew => {
                let asked = group.asking.take().is_some();
                group.renew(lease, self.config.timers.heartbeat, now);
                let set = group.set(now);
                self.effects.push_back(set);
                if asked {
                    self.tell_owned(None);
                }
            }
            Move::Yield(cause) => {
                let duel = group.duel.take();
                group.owns = false;
                group.lease_until = now + YIELD;
                group.asking = None;
                group.count_hand_over(now);
                if cause == Cause::PartnerClaims {
                    let began = duel.unwrap_or(now);
                    let event =
                        HaEvent::Duel { group: group.config.number, won: false, lasted: now.since(began) };
                    self.tell(event);
                }
                self.change(at, Standing::Yielding, cause, now);
                let set = self.groups[at].set(now);
                self.effects.push_back(set);
                self.tell_owned(None);
                self.speak_again(now);
            }
            Move::Release(standing, cause) => {
                let was_active = group.standing == Standing::Active;
                group.owns = false;
                group.lease_until = now;
                group.asking = None;
                group.listening = now;
                self.change(at, standing, cause, now);
                let set = self.groups[at].set(now);
                self.effects.push_back(set);
                self.tell_owned(None);
                if was_active {
                    self.groups[at].count_hand_over(now);
                    self.speak_again(now);
                }
            }
            Move::Call(standing, cause) => {
                // Whoever comes from suspicion listens anew before it concludes that nobody is active.
                group.listening = now;
                self.change(at, standing, cause, now);
                let set = self.groups[at].set(now);
                self.effects.push_back(set);
                if standing == Standing::Suspecting {
                    self.speak(now);
                }
            }
            Move::Isolated => {
                group.held_back = true;
                let event = HaEvent::Isolated { group: group.config.number };
                self.tell(event);
            }
            Move::DuelBegins => group.duel = Some(now),
            Move::DuelWon => {
                let lasted = group.duel.take().map(|began| now.since(began)).unwrap_or_default();
                let number = group.config.number;
                self.tell(HaEvent::Duel { group: number, won: true, lasted });
                self.tell_owned(Some(number));
            }
        }
    }

    fn own(&mut self, at: usize, cause: Cause, now: Instant) {
        let (lease, heartbeat) = (self.config.lease, self.config.timers.heartbeat);
        let group = &mut self.groups[at];
        group.owns = true;
        group.asking = None;
        group.duel = None;
        group.renew(lease, heartbeat, now);
        self.change(at, Standing::Active, cause, now);
        let set = self.groups[at].set(now);
        // The data plane first: nothing stands between the decision and the write.
        self.effects.push_back(set);
        self.tell_owned(None);
    }

    fn change(&mut self, at: usize, standing: Standing, cause: Cause, now: Instant) {
        let group = &mut self.groups[at];
        let event = HaEvent::Changed {
            group: group.config.number,
            name: group.config.name.clone(),
            from: group.standing,
            to: standing,
            cause: cause.clone(),
            lasted: now.since(group.since),
            epoch: group.epoch,
        };
        group.held_back = false;
        group.duel = None;
        group.standing = standing;
        group.since = now;
        group.because = cause;
        self.tell(event);
    }

    /// The highest epoch that the partner was heard to have.
    fn seen_epoch(&self, at: usize) -> u64 {
        let group = &self.groups[at].config;
        let Some(partner) = self.partners.get(group.peer) else { return 0 };
        let said = partner.said.get(&group.number).map_or(0, |(said, _)| said.epoch);
        let shown = partner.shown.get(&group.number).map_or(0, |(shown, _)| shown.epoch);
        said.max(shown)
    }

    /// Tells whose addresses are announced, if that changed or neighbours are to be told again.
    pub(super) fn tell_owned(&mut self, again: Option<u8>) {
        let owned: Vec<_> = self
            .groups
            .iter()
            .filter(|group| group.standing == Standing::Active && group.asking.is_none())
            .map(|group| group.config.number)
            .collect();
        if owned != self.owned || again.is_some() {
            self.owned.clone_from(&owned);
            self.effects.push_back(Effect::Own { groups: owned, again });
        }
    }
}
