//! The second look: what is wrong with a server's set-up, by cluster address.
//!
//! Of one server and one cluster address one question at a time is under way, so that the answer needs no name.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::watch::{TOGETHER_CALM, together};
use super::{Diagnosis, Question, Target, TargetNumber};
use crate::director::Instant;

/// Time between two looks at a target that is down.
pub const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// Time between two looks whether a server that is well keeps silent on ARP, while they are not very many.
pub const SILENCE_LOOK: Duration = Duration::from_secs(4);

/// Each server and cluster address stretches that for everyone to this much at least: 125 looks a second are enough, and of
/// 500 each still has its look in [`SILENCE_LOOK`].
const SILENCE_EACH: Duration = Duration::from_millis(8);

/// Time between two looks at a server of which several targets are down, at least.
const LOOK_SPACING: Duration = Duration::from_millis(500);

/// How long an answer is waited for.
const LOOK_PATIENCE: Duration = Duration::from_secs(3);

/// One server and one cluster address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Spot {
    /// The server's own address.
    pub server: IpAddr,
    /// The cluster address.
    pub by: IpAddr,
}

#[derive(Debug)]
struct Look {
    /// Any target of the server that is checked by the address.
    target: Arc<Target>,
    due: Instant,
    /// The targets that fail by the address.
    failing: Vec<TargetNumber>,
    turn: usize,
    /// About which target the question under way is, and since when it is; no target: about silence.
    asked: Option<(Option<TargetNumber>, Instant)>,
    /// What was found, by target; no target: what holds for all of them.
    found: BTreeMap<Option<TargetNumber>, Diagnosis>,
    /// A host that was known to answer for the address kept silent once: an answer may have been lost.
    doubted: bool,
}

/// A finding appeared, changed or went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Finding {
    /// Where.
    pub spot: Spot,
    /// With which target; none: whichever service.
    pub target: Option<TargetNumber>,
    /// What was known before.
    pub before: Option<Diagnosis>,
    /// What is known now; none: it is well.
    pub now: Option<Diagnosis>,
}

/// How often each of so many spots is looked at for silence.
fn silence_look(spots: usize) -> Duration {
    SILENCE_LOOK.max(SILENCE_EACH * u32::try_from(spots).unwrap_or(u32::MAX))
}

/// Everything that is looked at.
#[derive(Debug, Default)]
pub(super) struct Looks {
    looks: BTreeMap<Spot, Look>,
    due: BTreeSet<(Instant, Spot)>,
}

impl Looks {
    /// Looks at exactly the spots of these targets from now on.
    pub(super) fn want(&mut self, targets: &[(TargetNumber, Arc<Target>)], now: Instant) {
        let mut wanted = BTreeMap::new();
        for (_, target) in targets {
            for &by in &target.addresses {
                wanted.entry(Spot { server: target.server, by }).or_insert(target);
            }
        }
        let live: BTreeSet<_> = targets.iter().map(|&(number, _)| number).collect();
        self.looks.retain(|spot, look| {
            look.failing.retain(|number| live.contains(number));
            look.found.retain(|number, _| number.is_none_or(|number| live.contains(&number)));
            wanted.contains_key(spot)
        });
        self.due.retain(|(_, spot)| wanted.contains_key(spot));
        let fresh = wanted.keys().filter(|spot| !self.looks.contains_key(spot)).count();
        let mut begun = 0;
        let pause = silence_look(wanted.len());
        for (spot, target) in wanted {
            if let Some(look) = self.looks.get_mut(&spot) {
                look.target = Arc::clone(target);
                continue;
            }
            begun += 1;
            let after = pause * begun / u32::try_from(fresh).unwrap_or(u32::MAX);
            let due = together(now + after, TOGETHER_CALM);
            let (target, failing, found) = (Arc::clone(target), Vec::new(), BTreeMap::new());
            let look = Look { target, due, failing, turn: 0, asked: None, found, doubted: false };
            self.looks.insert(spot, look);
            self.due.insert((due, spot));
        }
    }

    /// A target fails by an address; if it did not before, that is looked at now.
    pub(super) fn fails(&mut self, spot: Spot, number: TargetNumber, now: Instant) {
        let Some(look) = self.looks.get_mut(&spot).filter(|look| !look.failing.contains(&number)) else {
            return;
        };
        look.failing.push(number);
        look.turn = look.failing.len() - 1;
        if look.asked.is_none() {
            self.put_off(spot, now);
        }
    }

    /// A target is well again by all its addresses.
    pub(super) fn recovers(&mut self, number: TargetNumber, target: &Target) -> Vec<Finding> {
        let mut gone = Vec::new();
        for &by in &target.addresses {
            let spot = Spot { server: target.server, by };
            let Some(look) = self.looks.get_mut(&spot) else { continue };
            look.failing.retain(|one| *one != number);
            if let Some(before) = look.found.remove(&Some(number)) {
                gone.push(Finding { spot, target: Some(number), before: Some(before), now: None });
            }
        }
        gone
    }

    /// The answer to a question; returns what is different now.
    pub(super) fn answered(&mut self, spot: Spot, found: Diagnosis, now: Instant) -> Vec<Finding> {
        let Some(look) = self.looks.get_mut(&spot) else { return Vec::new() };
        let Some((about, _)) = look.asked.take() else { return Vec::new() };
        // A target that came up meanwhile has nothing to explain.
        let about = about.filter(|number| look.failing.contains(number));
        let claimed = look.found.contains_key(&None);
        if about.is_none() && claimed && found == Diagnosis::Nothing && !look.doubted {
            look.doubted = true;
            self.put_off(spot, now + LOOK_SPACING);
            return Vec::new();
        }
        look.doubted = false;
        let mut changes = Vec::new();
        let mut set = |key: Option<TargetNumber>, value: Option<Diagnosis>| {
            let before = match value {
                Some(value) => look.found.insert(key, value),
                None => look.found.remove(&key),
            };
            if before != value {
                changes.push(Finding { spot, target: key, before, now: value });
            }
        };
        match (about, found) {
            (_, Diagnosis::AnswersArp) => set(None, Some(found)),
            (None, _) => set(None, None),
            (Some(number), Diagnosis::Nothing) => {
                set(Some(number), None);
                set(None, None);
            }
            (Some(number), _) => set(Some(number), Some(found)),
        }
        let unseen = look.failing.iter().any(|&number| !look.found.contains_key(&Some(number)));
        if unseen && about.is_none() {
            self.put_off(spot, now);
        }
        changes
    }

    /// The answer to a question does not count.
    pub(super) fn drop_question(&mut self, spot: Spot) {
        if let Some(look) = self.looks.get_mut(&spot) {
            look.asked = None;
        }
    }

    /// What is due now is due a little later.
    pub(super) fn postpone(&mut self, now: Instant) {
        while let Some(&(_, spot)) = self.due.first().filter(|(due, _)| *due <= now) {
            self.put_off(spot, now + LOOK_SPACING);
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.due.first().map(|&(due, _)| due)
    }

    /// The next question that is due, if any. `targets` says what a number stands for.
    pub(super) fn poll<'a>(
        &mut self,
        targets: impl Fn(TargetNumber) -> Option<&'a Arc<Target>>,
        now: Instant,
    ) -> Option<Question> {
        let pause = silence_look(self.looks.len());
        loop {
            let &(_, spot) = self.due.first().filter(|(due, _)| *due <= now)?;
            let look = self.looks.get_mut(&spot)?;
            if let Some((_, since)) = look.asked.filter(|&(_, since)| now.since(since) < LOOK_PATIENCE) {
                self.put_off(spot, since + LOOK_PATIENCE);
                continue;
            }
            let failing = look.failing.get(look.turn % look.failing.len().max(1)).copied();
            look.turn = look.turn.wrapping_add(1);
            look.asked = Some((failing, now));
            let target = failing.and_then(&targets).unwrap_or(&look.target);
            let question = Question { target: Arc::clone(target), by: spot.by, failed: failing.is_some() };
            let others = u32::try_from(look.failing.len()).unwrap_or(u32::MAX).max(1);
            let next = match failing {
                Some(_) => now + (LOOK_AGAIN / others).max(LOOK_SPACING),
                None => now + pause,
            };
            self.put_off(spot, next);
            return Some(question);
        }
    }

    /// What is known of a server by its addresses, as far as it concerns a target.
    pub(super) fn findings(
        &self,
        number: TargetNumber,
        target: &Target,
    ) -> impl Iterator<Item = (IpAddr, Diagnosis)> + '_ {
        let server = target.server;
        target.addresses.clone().into_iter().flat_map(move |by| {
            let look = self.looks.get(&Spot { server, by });
            let known = look.map(|look| [None, Some(number)].map(|key| look.found.get(&key).copied()));
            known.into_iter().flatten().flatten().map(move |found| (by, found))
        })
    }

    fn put_off(&mut self, spot: Spot, due: Instant) {
        if let Some(look) = self.looks.get_mut(&spot) {
            self.due.remove(&(look.due, spot));
            look.due = together(due, TOGETHER_CALM);
            self.due.insert((look.due, spot));
        }
    }
}
