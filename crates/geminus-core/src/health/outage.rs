//! One story or many: whether servers died, or this node's own network did.
//!
//! A server that goes down is told of as soon as another one answers a check that was begun after its first failed one: then
//! the network is there. Until then the news is held back for a moment; if nobody answers, and nobody is up any more, it was
//! this node's own network.

use std::collections::BTreeSet;
use std::time::Duration;

use super::TargetNumber;
use crate::director::Instant;

/// How long after the first answer servers may take to be up again before they are told of as down.
pub const RETURN_PATIENCE: Duration = Duration::from_secs(10);

/// What is told of targets that went down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Story {
    /// This one, for itself.
    Down(TargetNumber),
    /// All of them at once.
    AllSilent(usize),
    /// After that, one of them answers.
    HeardAgain,
}

#[derive(Debug, Clone, Copy)]
struct Held {
    number: TargetNumber,
    /// When the first check of it that failed was begun.
    failed_from: Instant,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Outage {
    held: Vec<Held>,
    until: Option<Instant>,
    /// The beginning of the latest check that was good.
    good_from: Option<Instant>,
    /// Told of together, and not up since.
    together: BTreeSet<TargetNumber>,
    silent: bool,
    /// When the rest of those is told of one by one.
    rest: Option<Instant>,
    /// Whether a check failed after the last good one.
    failing: bool,
}

impl Outage {
    /// A check that was begun then was good.
    pub(super) fn good(&mut self, from: Instant, now: Instant) -> Vec<Story> {
        self.good_from = self.good_from.max(Some(from));
        self.failing = false;
        let mut stories = Vec::new();
        if std::mem::take(&mut self.silent) {
            stories.push(Story::HeardAgain);
            self.rest = Some(now + RETURN_PATIENCE);
        }
        let (out, held) = self.held.iter().partition(|held| held.failed_from < from);
        self.held = held;
        let out: Vec<Held> = out;
        stories.extend(out.into_iter().map(|held| Story::Down(held.number)));
        if self.held.is_empty() {
            self.until = None;
        }
        stories
    }

    /// A check was not good.
    pub(super) const fn bad(&mut self) {
        self.failing = true;
    }

    /// A target went down that was up; it can be told of at once, or is held back for `patience`; after the `last` one
    /// there is nothing to wait for.
    pub(super) fn down(
        &mut self,
        number: TargetNumber,
        failed_from: Instant,
        patience: Duration,
        last: bool,
        now: Instant,
    ) -> Option<Story> {
        if self.good_from.is_some_and(|good| good > failed_from) {
            return Some(Story::Down(number));
        }
        self.held.push(Held { number, failed_from });
        self.until = if last { Some(now) } else { self.until.max(Some(now + patience)) };
        None
    }

    /// A target is up again; whether it had been told of as down.
    pub(super) fn up(&mut self, number: TargetNumber) -> bool {
        let held = self.held.len();
        self.held.retain(|held| held.number != number);
        held == self.held.len() && !self.together.remove(&number)
    }

    /// Whether a target is down and it is not known yet whether that is its own fault.
    pub(super) fn doubts(&self, number: TargetNumber) -> bool {
        self.held.iter().any(|held| held.number == number) || self.together.contains(&number)
    }

    /// A target is watched no more.
    pub(super) fn forget(&mut self, number: TargetNumber) {
        self.up(number);
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        [self.until, self.rest].into_iter().flatten().min()
    }

    /// Ends what is over. `nobody_up`: no target at all is; `hosts`: how many hosts these targets are on.
    pub(super) fn handle_timeout(
        &mut self,
        nobody_up: bool,
        hosts: impl Fn(&mut dyn Iterator<Item = TargetNumber>) -> usize,
        now: Instant,
    ) -> Vec<Story> {
        let mut stories = Vec::new();
        if self.until.take_if(|until| *until <= now).is_some() {
            let held = std::mem::take(&mut self.held);
            if nobody_up && (self.silent || !self.together.is_empty()) {
                self.together.extend(held.iter().map(|held| held.number));
            } else if nobody_up && hosts(&mut held.iter().map(|held| held.number)) > 1 {
                self.together.extend(held.iter().map(|held| held.number));
                self.silent = true;
                stories.push(Story::AllSilent(held.len()));
            } else {
                stories.extend(held.into_iter().map(|held| Story::Down(held.number)));
            }
        }
        if self.rest.take_if(|rest| *rest <= now).is_some() {
            if nobody_up && self.failing && !self.together.is_empty() {
                // One answer got through, and then none: it is the same outage.
                if !std::mem::replace(&mut self.silent, true) {
                    stories.push(Story::AllSilent(self.together.len()));
                }
            } else {
                stories.extend(std::mem::take(&mut self.together).into_iter().map(Story::Down));
            }
        }
        stories
    }
}
