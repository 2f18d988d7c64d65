//! How many are active, and when.

use super::settled_within;
use crate::machine::Machine;
use crate::shape::name;
use crate::time::{MS, Nanos, nanos};
use crate::world::World;

impl<M: Machine> World<M> {
    /// Two own the addresses for no longer than 100 ms (two heartbeats, where these are slower) while both daemons run and
    /// some path carries every frame in both directions; and no longer than 20 ms after both have heard, by whatever
    /// path, what the other said since.
    pub(super) fn at_most_one_active_while_a_path_works(&mut self, group: usize) {
        let now = self.now;
        let Some(dual) = self.laws.groups[group].dual else { return };
        let pair = self.shape.groups[group].pair;
        let heal = self.shape.heal();
        let lasts = |since: Nanos| (now - since) as f64 / MS as f64;
        if let Some(sound) = self.laws.pairs[pair].sound {
            let since = sound.max(dual.since);
            if now - since > heal {
                self.violate("at_most_one_active_while_a_path_works", || {
                    format!("both own group {} for {:.1} ms, and a path works", group + 1, lasts(since))
                });
            }
        }
        if let [Some(first), Some(second)] = dual.heard
            && now - first.max(second) > 20 * MS
        {
            self.violate("at_most_one_active_while_a_path_works", || {
                let group = group + 1;
                format!("both own group {group} for {:.1} ms and have heard each other", lasts(dual.since))
            });
        }
    }

    /// [`settled_within`] the end of the last fault exactly one owns the addresses, and from then on there is never none,
    /// and never two, for longer than 100 ms (two heartbeats, where these are slower).
    pub(super) fn exactly_one_active_after_faults_end(&mut self, group: usize, own: [bool; 2]) {
        let heal = self.shape.heal();
        let Some(since) = self.laws.groups[group].not_one else { return };
        let due = self.peace + settled_within(&self.shape);
        let since = since.max(due.saturating_sub(heal));
        if self.now >= due && self.now - since > heal {
            let count = own.iter().filter(|owns| **owns).count();
            self.violate("exactly_one_active_after_faults_end", || {
                format!("{count} own group {} although the last fault is over", group + 1)
            });
        }
    }

    /// Where nothing goes wrong, a detection and 200 ms after the second of two was started exactly one is active.
    pub(super) fn boot_together_ends_in_one_active(&mut self, group: usize, own: [bool; 2]) {
        let heal = self.shape.heal();
        let starts = self.ends(group).map(|node| self.shape.nodes[node].starts);
        let due = starts[0].max(starts[1]) + self.shape.detection() + 200 * MS;
        // Looked at once: with the first event after it.
        let first = self.faults.first().map_or(Nanos::MAX, |fault| fault.at);
        if self.now < due || self.now > due + crate::world::TICK || first <= self.now {
            return;
        }
        if own[0] == own[1] && self.laws.groups[group].not_one.is_some_and(|since| since + heal < due) {
            self.violate("boot_together_ends_in_one_active", || {
                format!("{} own group {} after the start", if own[0] { "two" } else { "none" }, group + 1)
            });
        }
    }

    /// A daemon that is dead or stopped keeps the addresses for no longer than its lease, by its node's clock.
    pub(super) fn a_dead_daemon_s_plane_yields_by_itself(&mut self, index: usize) {
        let now = self.now;
        let node = &self.nodes[index];
        let shown = node.clock.read(now);
        if node.plight.off > 0 || node.daemon.is_some() && node.plight.stopped == 0 {
            self.laws.nodes[index].silent_since = None;
            return;
        }
        if self.laws.nodes[index].silent_since.is_none() {
            self.laws.nodes[index].silent_since = Some(now);
            self.laws.nodes[index].silent_from = shown;
        }
        let of = &self.laws.nodes[index];
        if shown.saturating_sub(of.silent_from) <= nanos(self.shape.lease) {
            return;
        }
        let owned = |&group: &usize| !of.detached[group] && node.owns(group, now);
        if let Some(group) = (0..self.shape.groups.len()).find(owned) {
            self.violate("a_dead_daemon_s_plane_yields_by_itself", || {
                format!("{} owns group {} with nobody to renew its lease", name(index), group + 1)
            });
        }
    }

    /// A machine has done what is due when it was called often enough.
    pub(crate) fn the_machine_comes_to_rest(&mut self, index: usize) {
        self.violate("the_machine_comes_to_rest", || {
            format!("{} wants to be called again and again", name(index))
        });
    }
}
