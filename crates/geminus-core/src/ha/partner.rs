//! What is known of one partner.

use std::collections::BTreeMap;

use super::detect::{Detector, Life};
use super::group::Sight;
use super::{Beat, GroupReport, Heard, Instant, PathView, PeerConfig, PeerView, ReachScore, SyncView};
use crate::model::Timers;

/// One partner.
#[derive(Debug, Clone)]
pub(super) struct Partner {
    pub(super) config: PeerConfig,
    pub(super) detector: Detector,
    session: Option<u64>,
    /// Newest sequence of that session.
    sequence: u64,
    /// What it last heard by each path, and when it said so.
    heard: Vec<(Heard, Instant)>,
    pub(super) said: BTreeMap<u8, (GroupReport, Instant)>,
    pub(super) shown: BTreeMap<u8, (GroupReport, Instant)>,
    pub(super) fit: bool,
    pub(super) reach: ReachScore,
    /// Its account of replication.
    its_sync: SyncView,
    /// Ours.
    pub(super) our_sync: SyncView,
    pub(super) digest: Option<u64>,
    /// The life that was last told.
    pub(super) told: Life,
    /// When it was last answered out of turn.
    pub(super) answered: Option<Instant>,
}

impl Partner {
    pub(super) fn new(config: PeerConfig, timers: Timers, now: Instant) -> Self {
        Self {
            detector: Detector::new(timers, config.paths, now),
            config,
            session: None,
            sequence: 0,
            heard: Vec::new(),
            said: BTreeMap::new(),
            shown: BTreeMap::new(),
            fit: true,
            reach: ReachScore::default(),
            its_sync: SyncView::Down,
            our_sync: SyncView::Down,
            digest: None,
            told: Life::Unheard,
            answered: None,
        }
    }

    /// Notes a beat; whether it says anything that was not known.
    pub(super) fn hear(&mut self, session: u64, beat: &Beat, arrived: Instant) -> bool {
        if self.session != Some(session) {
            self.session = Some(session);
            self.sequence = 0;
            self.said.clear();
        }
        if beat.sequence <= self.sequence {
            return false;
        }
        self.sequence = beat.sequence;
        self.heard = beat.heard.iter().map(|&heard| (heard, arrived)).collect();
        self.said = beat.groups.iter().map(|&report| (report.number, (report, arrived))).collect();
        self.fit = beat.fit;
        self.reach = beat.reach;
        self.its_sync = beat.sync;
        self.digest = Some(beat.digest);
        true
    }

    /// Notes what its program answered to a probe that left then. Answers overtake each other: one that was perhaps given
    /// before the newest claim does not refute it.
    pub(super) fn see(&mut self, report: GroupReport, left: Instant, arrived: Instant) {
        let refuted =
            self.shown.get(&report.number).is_some_and(|(shown, came)| shown.owns() && left < *came);
        if !refuted || report.owns() {
            self.shown.insert(report.number, (report, arrived));
        }
    }

    /// Whether a session is another than the one heard last.
    pub(super) fn is_fresh(&self, session: u64) -> bool {
        self.session != Some(session)
    }

    /// Whether it hears this node by a path.
    fn hears_us(&self, path: usize) -> bool {
        let patience = self.detector.path_patience();
        self.detector.is_up(path)
            && self.heard.get(path).is_some_and(|(heard, _)| heard.sequence > 0 && heard.ago <= patience)
    }

    /// Whether some path works in both directions.
    pub(super) fn two_way(&self) -> bool {
        (0..self.config.paths).any(|path| self.hears_us(path))
    }

    /// How far replication is, by the worse of both accounts.
    pub(super) fn sync(&self) -> SyncView {
        match (self.our_sync, self.its_sync) {
            (SyncView::Complete, SyncView::Complete) => SyncView::Complete,
            (SyncView::Down, _) | (_, SyncView::Down) => SyncView::Down,
            (SyncView::Copying(ours), SyncView::Copying(theirs)) => SyncView::Copying(ours.min(theirs)),
            (SyncView::Copying(percent), SyncView::Complete)
            | (SyncView::Complete, SyncView::Copying(percent)) => SyncView::Copying(percent),
        }
    }

    /// What one group sees of it.
    pub(super) fn sight(
        &self,
        group: u8,
        digest: u64,
        began: Instant,
        we_are_on_the_network: Option<bool>,
    ) -> Sight<'_> {
        let newest_answer = match self.detector.life() {
            Life::Mute { answered } => Some(answered),
            _ => None,
        };
        Sight {
            name: &self.config.name,
            life: self.detector.life(),
            said: self.said.get(&group).copied(),
            shown: self.shown.get(&group).copied(),
            fit: self.fit,
            reach: self.reach,
            two_way: self.two_way(),
            same_config: self.digest.is_none_or(|theirs| theirs == digest),
            sync: self.sync(),
            silent_since: self.detector.heard().max(newest_answer).unwrap_or(began),
            unanswered: self.detector.unanswered(),
            we_are_on_the_network,
        }
    }

    /// What is shown of it.
    pub(super) fn view(&self, digest: u64) -> PeerView {
        let path = |path| PathView {
            heard: self.detector.heard_by(path),
            up: self.detector.is_up(path),
            heard_by_peer: self.hears_us(path),
            loss: self.detector.loss(path),
            round_trip: self.detector.round_trip(path),
        };
        PeerView {
            name: self.config.name.clone(),
            state: self.detector.life().word(),
            paths: (0..self.config.paths).map(path).collect(),
            reach: self.reach,
            fit: self.fit,
            sync: self.sync(),
            same_config: self.digest.map(|theirs| theirs == digest),
        }
    }
}
