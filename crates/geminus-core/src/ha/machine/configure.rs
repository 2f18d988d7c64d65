//! Another configuration: groups and partners of the same name go on where they are.

use super::super::group::Group;
use super::super::partner::Partner;
use super::super::{Config, Effect, HaEvent, Instant, Standing};
use super::Ha;

impl Ha {
    pub(super) fn configure(&mut self, config: Config, now: Instant) {
        let mut partners = std::mem::take(&mut self.partners);
        let mut groups = std::mem::take(&mut self.groups);
        let names: Vec<_> = partners.iter().map(|partner| partner.config.name.clone()).collect();
        for of in &config.groups {
            let name = &config.peers[of.peer].name;
            let same = |group: &Group| {
                group.config.role == of.role && names.get(group.config.peer).is_some_and(|peer| peer == name)
            };
            let found = groups.iter().position(same).map(|at| groups.swap_remove(at));
            let mut group = found.unwrap_or_else(|| Group::new(of.clone(), now));
            if group.config.number != of.number {
                self.effects.push_back(given_up(&group));
                group.renew_at = now;
            }
            group.config = of.clone();
            self.groups.push(group);
        }
        for group in &groups {
            self.effects.push_back(given_up(group));
        }
        for of in &config.peers {
            let found = partners.iter().position(|partner| partner.config.name == of.name);
            let mut partner = found
                .map_or_else(|| Partner::new(of.clone(), config.timers, now), |at| partners.swap_remove(at));
            partner.detector.configure(config.timers, of.paths);
            partner.config = of.clone();
            self.partners.push(partner);
        }
        self.reach.configure(config.reach_targets, now);
        let told: Vec<_> = self.partners.iter().map(|partner| partner.digest).collect();
        for (peer, theirs) in told.into_iter().enumerate() {
            let agreed = theirs.map(|theirs| theirs == self.config.digest);
            match (agreed, theirs.map(|theirs| theirs == config.digest)) {
                (Some(true), Some(false)) => self.tell(HaEvent::ConfigDiffers { peer }),
                (Some(false), Some(true)) => self.tell(HaEvent::ConfigAgrees { peer }),
                _ => {}
            }
        }
        self.config = config;
        self.tell_owned(None);
        self.speak(now);
    }
}

/// What the data plane is to say of a group that this node has no part in any more.
fn given_up(group: &Group) -> Effect {
    Effect::Set {
        group: group.config.number,
        lease: std::time::Duration::ZERO,
        owns: false,
        standing: Standing::Standby,
        epoch: group.epoch,
    }
}
