//! How many of the reach targets answer.

use std::time::Duration;

use super::{Instant, ReachScore};

/// A target that did not answer for so long is not reached: three questions of the driver's schedule and some room.
const PATIENCE: Duration = Duration::from_millis(700);

/// How long a score must stand before it is believed.
const SETTLING: Duration = Duration::from_millis(100);

/// The reach targets of this node.
#[derive(Debug, Clone)]
pub(super) struct Reach {
    answered: Vec<Option<Instant>>,
    score: ReachScore,
    /// Which of them counted when it was looked last.
    good: Vec<bool>,
    /// Until this a target that counted before is not to blame for its silence.
    excused: Vec<Instant>,
    changed: Instant,
    began: Instant,
}

impl Reach {
    pub(super) fn new(targets: u32, now: Instant) -> Self {
        let score = ReachScore { up: 0, total: targets, settled: false };
        let (answered, good) = (vec![None; targets as usize], vec![false; targets as usize]);
        let excused = vec![Instant::START; targets as usize];
        Self { answered, score, good, excused, changed: now, began: now }
    }

    pub(super) fn configure(&mut self, targets: u32, now: Instant) {
        if self.score.total != targets {
            *self = Self::new(targets, now);
        }
    }

    pub(super) const fn score(&self) -> ReachScore {
        self.score
    }

    /// Whether this node is on the network, as far as the targets tell: whether any answered since then. None where none
    /// answered before either, or there are none.
    pub(super) fn tells_since(&self, since: Instant) -> Option<bool> {
        let newest = self.answered.iter().flatten().max().copied()?;
        (newest + PATIENCE > since).then_some(newest > since)
    }

    pub(super) fn reached(&mut self, target: u32, arrived: Instant) {
        if let Some(answered) = self.answered.get_mut(target as usize) {
            *answered = Some(answered.map_or(arrived, |before| before.max(arrived)));
        }
    }

    /// This node did not run until now: no target is to blame.
    pub(super) fn excuse(&mut self, now: Instant) {
        if self.answered.iter().any(Option::is_none) {
            // A target that was never heard had no time to answer either.
            self.began = now;
            self.score.settled = false;
        }
        for (excused, _) in self.excused.iter_mut().zip(&self.good).filter(|(_, good)| **good) {
            *excused = now;
        }
    }

    /// This node did not run for long: its score is an old one, and is believed again once it has stood anew.
    pub(super) const fn doubt(&mut self, now: Instant) {
        self.changed = now;
        self.score.settled = false;
    }

    /// Counts anew; returns the score before if it is another now.
    pub(super) fn handle_timeout(&mut self, now: Instant) -> Option<ReachScore> {
        let believed = self.believed().map(|until| until.is_some_and(|until| until > now)).collect();
        self.good = believed;
        let up = self.good.iter().filter(|good| **good).count() as u32;
        let before = self.score;
        if up != before.up {
            self.score.up = up;
            self.score.settled = false;
            self.changed = now;
            return Some(before);
        }
        // At the start silence is only believed once every target had its time.
        let heard_out = self.began + PATIENCE <= now;
        self.score.settled = heard_out && self.changed + SETTLING <= now;
        None
    }

    pub(super) fn poll_timeout(&self, now: Instant) -> Option<Instant> {
        if self.score.total == 0 {
            return None;
        }
        let silence = self.believed().flatten().filter(|&due| due > now).min();
        let settling = (!self.score.settled)
            .then(|| (self.changed + SETTLING).max(self.began + PATIENCE))
            .filter(|&due| due > now);
        [silence, settling].into_iter().flatten().min()
    }

    /// Until when each target counts; none: it never answered.
    fn believed(&self) -> impl Iterator<Item = Option<Instant>> {
        let until = |(answered, excused): (&Option<Instant>, &Instant)| {
            answered.map(|answered| answered.max(*excused) + PATIENCE)
        };
        self.answered.iter().zip(&self.excused).map(until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Instant {
        Instant::from_start(Duration::from_millis(ms))
    }

    #[test]
    fn a_target_counts_while_it_answers_and_a_score_is_believed_once_it_stands() {
        let mut reach = Reach::new(2, at(0));
        reach.reached(0, at(10));
        assert_eq!(reach.handle_timeout(at(10)).map(|before| before.up), Some(0));
        assert_eq!(reach.score(), ReachScore { up: 1, total: 2, settled: false });
        reach.reached(0, at(600));
        assert_eq!(reach.handle_timeout(at(700)), None);
        assert!(reach.score().settled);
        assert_eq!(reach.handle_timeout(at(1_299)), None);
        assert_eq!(reach.handle_timeout(at(1_300)).map(|before| before.up), Some(1));
        assert_eq!(reach.score(), ReachScore { up: 0, total: 2, settled: false });
        reach.handle_timeout(at(1_400));
        assert!(reach.score().settled);
    }

    #[test]
    fn a_node_that_did_not_run_blames_no_target_and_praises_none() {
        let mut reach = Reach::new(2, at(0));
        reach.reached(0, at(10));
        reach.handle_timeout(at(10));
        reach.excuse(at(30_000));
        assert_eq!(reach.handle_timeout(at(30_000)), None);
        assert_eq!(reach.score().up, 1, "neither lost the one nor found the other");
    }

    #[test]
    fn an_excuse_is_no_answer() {
        let mut reach = Reach::new(1, at(0));
        reach.reached(0, at(1_000));
        reach.handle_timeout(at(1_000));
        reach.excuse(at(1_300));
        reach.handle_timeout(at(1_300));
        assert_eq!(reach.tells_since(at(1_200)), Some(false), "nobody answered since");
        assert_eq!(reach.score().up, 1, "and nobody is to blame yet");
    }

    #[test]
    fn a_score_from_before_a_long_pause_is_not_believed_before_it_has_stood_again() {
        let mut reach = Reach::new(1, at(0));
        reach.reached(0, at(10));
        reach.handle_timeout(at(10));
        reach.handle_timeout(at(700));
        assert!(reach.score().settled);
        reach.excuse(at(5_000));
        reach.doubt(at(5_000));
        reach.handle_timeout(at(5_099));
        assert!(!reach.score().settled);
        reach.handle_timeout(at(5_100));
        assert!(reach.score().settled);
    }

    #[test]
    fn silence_is_not_believed_of_targets_that_had_no_time_to_answer() {
        let mut reach = Reach::new(1, at(0));
        reach.handle_timeout(at(10));
        reach.excuse(at(5_000));
        reach.handle_timeout(at(5_000));
        assert!(!reach.score().settled, "this node did not run since it began to ask");
        reach.handle_timeout(at(5_700));
        assert!(reach.score().settled);
    }
}
