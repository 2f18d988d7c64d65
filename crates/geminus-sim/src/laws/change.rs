//! Who becomes active, and why.

use geminus_core::ha::{Cause, Standing, SyncView};

use crate::machine::Machine;
use crate::node::Words;
use crate::shape::name;
use crate::time::{MS, Nanos, nanos};
use crate::world::World;

/// What the machine waits for before it believes a score of reach targets, all in all and with room: a target's silence,
/// the score's settling, the standby's hesitation.
const REACH_MEMORY: Nanos = 1500 * MS;

impl<M: Machine> World<M> {
    /// A daemon says that a group's standing changed.
    pub(crate) fn changed(
        &mut self,
        index: usize,
        group: usize,
        [_, to]: [Standing; 2],
        cause: &Cause,
        epoch: u64,
    ) {
        if to != Standing::Active {
            return;
        }
        self.laws.changes += 1;
        self.laws.nodes[index].causes[group] = Some((cause.clone(), self.now));
        self.a_node_that_did_not_run_accuses_nobody(index, group, cause);
        self.nobody_claims_at_boot_having_heard_nobody(index, group, cause);
        self.a_returned_primary_takes_back_only_when_synchronised_and_stable(index, group, cause);
        self.equal_reach_changes_nothing(index, group, cause);
        self.one_role_change_per_fault(index, group, cause);
        if *cause != Cause::Resumed && epoch <= self.nodes[index].plane.words[group].epoch {
            self.violate("an_epoch_never_goes_back", || {
                format!("{} takes group {} over with the old epoch {epoch}", name(index), group + 1)
            });
        }
    }

    /// The data plane of a node was written to.
    pub(crate) fn plane_was_written(
        &mut self,
        index: usize,
        group: usize,
        before: &Words,
        after: &Words,
        owned: bool,
    ) {
        let now = self.now;
        self.an_epoch_never_goes_back(index, group, before, after);
        let left = after.deadline.saturating_sub(self.nodes[index].clock.read(now));
        let lease = nanos(self.shape.lease);
        if left <= lease {
            self.laws.nodes[index].detached[group] = false;
        } else if self.laws.nodes[index].detaches {
            self.laws.nodes[index].detached[group] = true;
        } else if after.owns {
            self.violate("a_dead_daemon_s_plane_yields_by_itself", || {
                format!("{} takes a lease of {} ms", name(index), left / MS)
            });
        }
        let owns = self.nodes[index].owns(group, now);
        if owns && !owned {
            self.a_standby_waits_for_the_lease_while_the_program_answers(index, group);
            let ordered = self.was_ordered(index, group);
            if self.laws.nodes[index].owes_question && !ordered {
                self.violate("no_announcement_before_the_partner_was_asked", || {
                    format!(
                        "{} owns group {} again after a pause and has asked nobody",
                        name(index),
                        group + 1
                    )
                });
            }
        }
    }

    /// A partner is dead only if it was silent for the time of a detection in which this node's daemon ran.
    fn a_node_that_did_not_run_accuses_nobody(&mut self, index: usize, group: usize, cause: &Cause) {
        if !matches!(cause, Cause::Silence { .. }) {
            return;
        }
        let now = self.now;
        let pair = self.shape.groups[group].pair;
        let Some(peer) = self.nodes[index].peers.iter().position(|peer| peer.pair == pair) else { return };
        let away = self.nodes[index].absence(now);
        let Some((heard, away_then)) = self.laws.nodes[index].heard[peer] else { return };
        let ran = (now - heard).saturating_sub(away.saturating_sub(away_then));
        // By its own clock, which may be fast; what came in between two looks may have been looked at with the later.
        let wanted = nanos(self.shape.timers.detection()) * 97 / 100;
        if ran < wanted {
            self.violate("a_node_that_did_not_run_accuses_nobody", || {
                let (name, group, ran) = (name(index), group + 1, ran as f64 / MS as f64);
                format!("{name} takes group {group} over for a silence of which it saw {ran:.1} ms")
            });
        }
    }

    /// A daemon that started without a lease, heard nobody and reached nothing is not active before `alone_after`.
    fn nobody_claims_at_boot_having_heard_nobody(&mut self, index: usize, group: usize, cause: &Cause) {
        if matches!(cause, Cause::Resumed | Cause::Order) {
            return;
        }
        let pair = self.shape.groups[group].pair;
        let Some(peer) = self.nodes[index].peers.iter().position(|peer| peer.pair == pair) else { return };
        let of = &self.laws.nodes[index];
        let waited = (self.now - of.started) * 103 / 100;
        if !of.met[peer] && of.reached.is_none() && waited < nanos(self.shape.alone_after) {
            self.violate("nobody_claims_at_boot_having_heard_nobody", || {
                format!("{} claims group {} and has heard nobody", name(index), group + 1)
            });
        }
    }

    /// The primary that was away takes over again by itself only when both remember the same flows, and not before it has
    /// been up for `stable`.
    fn a_returned_primary_takes_back_only_when_synchronised_and_stable(
        &mut self,
        index: usize,
        group: usize,
        cause: &Cause,
    ) {
        if *cause != Cause::Recovery {
            return;
        }
        let pair = self.shape.groups[group].pair;
        let sync = self.replicas[pair].sync;
        let up = (self.now - self.laws.nodes[index].started) * 103 / 100;
        if sync != SyncView::Complete || up < nanos(self.shape.stable) {
            self.violate("a_returned_primary_takes_back_only_when_synchronised_and_stable", || {
                format!("{} takes group {} back, {sync:?}, up for {} ms", name(index), group + 1, up / MS)
            });
        }
    }

    /// Reach changes hands only to who reached more, as far as both could know: a target counts for who reached it at any
    /// time in [`REACH_MEMORY`], and against who did not.
    fn equal_reach_changes_nothing(&mut self, index: usize, group: usize, cause: &Cause) {
        let Cause::Reach { ours, theirs } = *cause else { return };
        let node = &self.nodes[index];
        // Who stood still remembers what was before.
        let stood = node.thawed > 0 && node.thawed + REACH_MEMORY > self.now;
        let horizon = if stood { node.froze } else { self.now }.saturating_sub(REACH_MEMORY);
        let at_best = |node: usize| {
            let targets = &self.laws.nodes[node].targets;
            targets.iter().filter(|(reached, since)| *reached || *since >= horizon).count()
        };
        let at_worst = |node: usize| {
            let targets = &self.laws.nodes[node].targets;
            targets.iter().filter(|(reached, since)| *reached && *since < horizon).count()
        };
        let possible = at_best(index) > at_worst(self.other(index, group));
        if ours <= theirs || !possible {
            self.violate("equal_reach_changes_nothing", || {
                format!("{} takes group {} over with {ours} targets to {theirs}", name(index), group + 1)
            });
        }
    }

    /// The epoch of a group never falls while a data plane lives.
    fn an_epoch_never_goes_back(&mut self, index: usize, group: usize, before: &Words, after: &Words) {
        if after.epoch < before.epoch {
            self.violate("an_epoch_never_goes_back", || {
                let (name, group) = (name(index), group + 1);
                format!("{name} writes epoch {} of group {group} after {}", after.epoch, before.epoch)
            });
        }
    }

    /// Besides the start and a returned primary, a group changes hands at most once for each fault, while or soon after
    /// it is in force.
    fn one_role_change_per_fault(&mut self, index: usize, group: usize, cause: &Cause) {
        if matches!(cause, Cause::Recovery | Cause::Resumed | Cause::Boot) {
            return;
        }
        let now = self.now;
        self.laws.credits.retain(|credit| credit.ends >= now);
        // The one that lapses first is used first.
        let free = self.laws.credits.iter_mut().filter(|credit| credit.used[group] < credit.times);
        match free.min_by_key(|credit| (credit.ends, credit.fault)) {
            Some(credit) => credit.used[group] += 1,
            None => self.violate("one_role_change_per_fault", || {
                format!("{} takes group {} over ({cause}) and nothing has happened", name(index), group + 1)
            }),
        }
    }

    /// Who takes over from a node whose daemon is dead or stopped and whose program answers does so when the lease ends,
    /// and not 100 ms before.
    fn a_standby_waits_for_the_lease_while_the_program_answers(&mut self, index: usize, group: usize) {
        let now = self.now;
        let other = self.other(index, group);
        let partner = &self.nodes[other];
        let pair = self.shape.groups[group].pair;
        let ordered = self.was_ordered(index, group);
        let silent =
            self.laws.nodes[other].silent_since.is_some_and(|since| now - since > self.shape.detection());
        let answers =
            self.laws.pairs[pair].reachable.is_some_and(|since| now - since > 2 * self.shape.detection());
        if ordered || !silent || !answers || !partner.owns(group, now) {
            return;
        }
        let left = partner.plane.words[group].deadline - partner.clock.read(now);
        if left > 100 * MS {
            self.violate("a_standby_waits_for_the_lease_while_the_program_answers", || {
                let (name, group, left) = (name(index), group + 1, left / MS);
                format!(
                    "{name} takes group {group} over, {left} ms before the lease of a silent partner ends"
                )
            });
        }
    }

    /// A daemon that did not run for longer than a detection asks before it owns or announces anything it did not before,
    /// unless an operator ordered it.
    pub(crate) fn no_announcement_before_the_partner_was_asked(
        &mut self,
        index: usize,
        groups: &[u8],
        again: Option<u8>,
    ) {
        let of = &mut self.laws.nodes[index];
        let ordered = |group: &u8| matches!(of.causes[usize::from(*group) - 1], Some((Cause::Order, _)));
        let fresh = |group: &u8| !of.announced.contains(group) && !ordered(group);
        let news = again.is_some() || groups.iter().any(fresh);
        groups.clone_into(&mut of.announced);
        if of.owes_question && news && !groups.is_empty() {
            self.violate("no_announcement_before_the_partner_was_asked", || {
                format!("{} announces {groups:?} after a pause and has asked nobody", name(index))
            });
        }
    }
}
