//! The second look: what is wrong with a server's set-up, by cluster address.
//!
//! Of one server and one cluster address one question at a time is under way, so that the answer needs no name. Questions
//! about what fails take a second each where nobody answers, and so they are few at a time however much fails: some places are
//! for what began to fail just now, so that a mistake is named also while a thousand others are dead; the others go in turn
//! to whoever has waited longest, so that nobody is forgotten.

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

/// How long an answer is waited for: ten times as long as a look takes, and longer than a driver is busy with large tables.
/// What comes no sooner went with the thread that was to look.
const LOOK_PATIENCE: Duration = Duration::from_secs(10);

/// Looks at what fails that are under way at once: each is six packets to one host, and two of the slots of the clients' road.
pub const LOOKS: usize = 16;

/// So many of them are for what began to fail within [`FRESH`]: with a look of a second at a dead host, each of four mistakes
/// a second is named within two.
const FRESH_LOOKS: usize = 4;

/// How long it is news that something fails: as long as it takes until it would be asked about again.
const FRESH: Duration = LOOK_AGAIN;

/// One server and one cluster address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Spot {
    /// The server's own address.
    pub server: IpAddr,
    /// The cluster address.
    pub by: IpAddr,
}

/// A question under way.
#[derive(Debug)]
struct Asked {
    /// About which target; none: about silence.
    about: Option<TargetNumber>,
    /// When it is given up.
    until: Instant,
    place: Place,
}

/// Of which places a question under way has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Of those for what began to fail just now.
    Fresh,
    /// Of those for whoever has waited longest.
    Line,
    /// Of none: who only listens for a claim is no burden.
    Free,
}

#[derive(Debug)]
struct Look {
    /// Any target of the server that is checked by the address.
    target: Arc<Target>,
    /// When it is asked about next, at the soonest.
    due: Instant,
    /// The targets that fail by the address.
    failing: Vec<TargetNumber>,
    turn: usize,
    /// Since when something fails of which nobody was asked yet.
    fresh: Option<Instant>,
    /// The question under way.
    asked: Option<Asked>,
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

/// Everything that is looked at. A spot is in `asked` while a question about it is under way, else in `line` while something
/// fails there, else in `calm`.
#[derive(Debug, Default)]
pub(super) struct Looks {
    looks: BTreeMap<Spot, Look>,
    /// When each is looked at for silence.
    calm: BTreeSet<(Instant, Spot)>,
    /// When each may be asked about: whoever has waited longest comes first.
    line: BTreeSet<(Instant, Spot)>,
    /// Those of the line that began to fail just now.
    fresh: BTreeSet<(Instant, Spot)>,
    /// When each question is given up.
    asked: BTreeSet<(Instant, Spot)>,
    fresh_asked: usize,
    line_asked: usize,
    /// The last moment that was given to a spot which is well again.
    recovered: Instant,
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
        let known: Vec<_> = self.looks.keys().copied().collect();
        for spot in known {
            self.change(spot, |look| {
                look.failing.retain(|number| live.contains(number));
                look.found.retain(|number, _| number.is_none_or(|number| live.contains(&number)));
            });
            if !wanted.contains_key(&spot) {
                let _ = self.end_question(spot);
                self.take_out(spot);
                self.looks.remove(&spot);
            }
        }
        let fresh = wanted.keys().filter(|spot| !self.looks.contains_key(spot)).count();
        let mut begun = 0;
        // What is new is looked at soon, however many there are beside it.
        let pause = silence_look(fresh);
        for (spot, target) in wanted {
            if let Some(look) = self.looks.get_mut(&spot) {
                look.target = Arc::clone(target);
                continue;
            }
            begun += 1;
            let after = pause * begun / u32::try_from(fresh).unwrap_or(u32::MAX);
            let due = together(now + after, TOGETHER_CALM);
            let (target, failing, found) = (Arc::clone(target), Vec::new(), BTreeMap::new());
            let look =
                Look { target, due, failing, turn: 0, fresh: None, asked: None, found, doubted: false };
            self.looks.insert(spot, look);
            self.put_in(spot);
        }
    }

    /// A target fails by an address; if it did not before, that is looked at as soon as may be.
    pub(super) fn fails(&mut self, spot: Spot, number: TargetNumber, now: Instant) {
        if self.looks.get(&spot).is_none_or(|look| look.failing.contains(&number)) {
            return;
        }
        let since = together(now, TOGETHER_CALM);
        self.change(spot, |look| {
            look.failing.push(number);
            look.turn = look.failing.len() - 1;
            look.fresh = Some(since);
            // Whoever waits already keeps its place.
            look.due = look.due.min(since);
        });
    }

    /// A target is well again by all its addresses.
    pub(super) fn recovers(&mut self, number: TargetNumber, target: &Target, now: Instant) -> Vec<Finding> {
        let latest = now + silence_look(self.looks.len());
        let mut gone = Vec::new();
        for &by in &target.addresses {
            let spot = Spot { server: target.server, by };
            let Some(look) = self.looks.get_mut(&spot) else { continue };
            if let Some(before) = look.found.remove(&Some(number)) {
                gone.push(Finding { spot, target: Some(number), before: Some(before), now: None });
            }
            if !look.failing.contains(&number) {
                continue;
            }
            let is_last = look.failing.len() == 1;
            // A host that comes back may have been set up anew: it is looked at for silence soon, one after the other, and
            // never later than if it had been well all along.
            if is_last {
                self.recovered = (self.recovered + SILENCE_EACH).clamp(now, latest);
            }
            let due = together(self.recovered, TOGETHER_CALM);
            self.change(spot, |look| {
                look.failing.retain(|one| *one != number);
                if is_last {
                    look.due = due;
                }
            });
        }
        gone
    }

    /// The answer to a question; returns what is different now.
    pub(super) fn answered(&mut self, spot: Spot, found: Diagnosis, now: Instant) -> Vec<Finding> {
        let Some(Asked { about, .. }) = self.end_question(spot) else { return Vec::new() };
        let Some(look) = self.looks.get_mut(&spot) else { return Vec::new() };
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
        changes
    }

    /// The answer to a question does not count.
    pub(super) fn drop_question(&mut self, spot: Spot) {
        let _ = self.end_question(spot);
    }

    /// What is due now is due a little later.
    pub(super) fn postpone(&mut self, now: Instant) {
        self.give_up(now);
        let due = |queue: &BTreeSet<(Instant, Spot)>| queue.first().filter(|(due, _)| *due <= now).copied();
        while let Some((_, spot)) = due(&self.calm).or_else(|| due(&self.line)) {
            self.change(spot, |look| {
                look.due = together(now + LOOK_SPACING, TOGETHER_CALM);
                look.fresh = None;
            });
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let line = self.line.first().filter(|_| self.line_asked < LOOKS - FRESH_LOOKS);
        let fresh = self.fresh.last().filter(|_| self.fresh_asked < FRESH_LOOKS);
        [self.calm.first(), self.asked.first(), line, fresh].into_iter().flatten().map(|&(due, _)| due).min()
    }

    /// The next question that is due, if any. `targets` says what a number stands for.
    pub(super) fn poll<'a>(
        &mut self,
        targets: impl Fn(TargetNumber) -> Option<&'a Arc<Target>>,
        now: Instant,
    ) -> Option<Question> {
        self.give_up(now);
        let (spot, place) = self.next(now)?;
        let pause = silence_look(self.looks.len());
        self.take_out(spot);
        let look = self.looks.get_mut(&spot)?;
        let about = look.failing.get(look.turn % look.failing.len().max(1)).copied();
        look.turn = look.turn.wrapping_add(1);
        look.fresh = None;
        let target = about.and_then(&targets).unwrap_or(&look.target);
        let question = Question { target: Arc::clone(target), by: spot.by, failed: about.is_some() };
        let others = u32::try_from(look.failing.len()).unwrap_or(u32::MAX).max(1);
        let next = match about {
            Some(_) => now + (LOOK_AGAIN / others).max(LOOK_SPACING),
            None => now + pause,
        };
        look.due = together(next, TOGETHER_CALM);
        let until = now + LOOK_PATIENCE;
        look.asked = Some(Asked { about, until, place });
        self.asked.insert((until, spot));
        self.count(place, 1);
        Some(question)
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

    /// Who is asked about now, and of which places it has one.
    fn next(&mut self, now: Instant) -> Option<(Spot, Place)> {
        let due = |&&(due, _): &&(Instant, Spot)| due <= now;
        if let Some(&(_, spot)) = self.calm.first().filter(due) {
            return Some((spot, Place::Free));
        }
        if self.line_asked < LOOKS - FRESH_LOOKS
            && let Some(&(_, spot)) = self.line.first().filter(due)
        {
            return Some((spot, Place::Line));
        }
        // If the newest is no news any more, nobody is.
        if self.fresh.last().is_some_and(|&(since, _)| now.since(since) > FRESH) {
            self.fresh.clear();
        }
        let has_room = self.fresh_asked < FRESH_LOOKS;
        let &(_, spot) = self.fresh.last().filter(due).filter(|_| has_room)?;
        Some((spot, Place::Fresh))
    }

    /// Questions that nobody answers are asked again.
    fn give_up(&mut self, now: Instant) {
        while let Some(&(_, spot)) = self.asked.first().filter(|(until, _)| *until <= now) {
            let _ = self.end_question(spot);
        }
    }

    /// The question about a spot is under way no more.
    fn end_question(&mut self, spot: Spot) -> Option<Asked> {
        let asked = self.looks.get_mut(&spot)?.asked.take()?;
        self.asked.remove(&(asked.until, spot));
        self.count(asked.place, -1);
        self.put_in(spot);
        Some(asked)
    }

    fn count(&mut self, place: Place, more: isize) {
        let places = match place {
            Place::Fresh => &mut self.fresh_asked,
            Place::Line => &mut self.line_asked,
            Place::Free => return,
        };
        *places = places.saturating_add_signed(more);
    }

    fn put_off(&mut self, spot: Spot, due: Instant) {
        self.change(spot, |look| look.due = together(due, TOGETHER_CALM));
    }

    /// Changes what decides when a spot is looked at.
    fn change(&mut self, spot: Spot, how: impl FnOnce(&mut Look)) {
        self.take_out(spot);
        if let Some(look) = self.looks.get_mut(&spot) {
            how(look);
        }
        self.put_in(spot);
    }

    /// Puts a spot where it waits, unless a question about it is under way.
    fn put_in(&mut self, spot: Spot) {
        let Some(look) = self.looks.get(&spot).filter(|look| look.asked.is_none()) else { return };
        if look.failing.is_empty() {
            self.calm.insert((look.due, spot));
            return;
        }
        self.line.insert((look.due, spot));
        self.fresh.extend(look.fresh.map(|since| (since, spot)));
    }

    fn take_out(&mut self, spot: Spot) {
        let Some(look) = self.looks.get(&spot) else { return };
        self.calm.remove(&(look.due, spot));
        self.line.remove(&(look.due, spot));
        if let Some(since) = look.fresh {
            self.fresh.remove(&(since, spot));
        }
    }
}
