//! One node: its partners, its groups, its beats.

mod act;
mod configure;
mod exit;

use std::collections::VecDeque;
use std::time::Duration;

use self::exit::Leaving;
use super::detect::Life;
use super::group::{Ground, Group, Move, Sight};
use super::partner::Partner;
use super::reach::Reach;
use super::{
    Adopted, Beat, Cause, Config, Effect, GroupView, HaEvent, HaView, Heard, Input, Instant, PathId, Role,
    Standing, SyncView,
};

/// So long after somebody without the key spoke from a partner's address, that may be a partner with the wrong key.
const STRANGER_PATIENCE: Duration = Duration::from_secs(3);

/// A claim is said again so soon, for what was lost.
const REPEATS: [Duration; 2] = [Duration::from_millis(2), Duration::from_millis(6)];

/// Steps that one look at a group may lead to; no chain of standings is longer.
const STEPS: u32 = 6;

/// The machine.
#[derive(Debug)]
pub struct Ha {
    config: Config,
    partners: Vec<Partner>,
    groups: Vec<Group>,
    reach: Reach,
    /// When somebody without the key last spoke from a partner's address.
    stranger: Option<Instant>,
    began: Instant,
    link: bool,
    warm: bool,
    sequence: u64,
    next_beat: Instant,
    /// Beats out of turn.
    extra: VecDeque<Instant>,
    /// When this machine wants to be called next: later is a pause.
    due: Instant,
    wake: Option<Instant>,
    leaving: Option<Leaving>,
    left: bool,
    owned: Vec<u8>,
    late: u64,
    latest: Duration,
    effects: VecDeque<Effect>,
}

impl Ha {
    /// A node whose data plane says `adopted`.
    pub fn new(config: Config, adopted: &[Adopted], now: Instant) -> Self {
        let partner = |peer: &super::PeerConfig| Partner::new(peer.clone(), config.timers, now);
        let group = |of: &super::GroupConfig| {
            let mut group = Group::new(of.clone(), now);
            if let Some(found) = adopted.iter().find(|adopted| adopted.group == of.number) {
                group.epoch = found.epoch;
                group.owns = found.standing == Standing::Active;
                // What is left of a lease that was being given up is nobody's claim: the partner need not wait for it.
                group.lease_until = if group.owns { now + found.lease } else { now };
            }
            group
        };
        let mut machine = Self {
            partners: config.peers.iter().map(partner).collect(),
            groups: config.groups.iter().map(group).collect(),
            reach: Reach::new(config.reach_targets, now),
            stranger: None,
            config,
            began: now,
            link: true,
            warm: false,
            sequence: 0,
            next_beat: now,
            extra: VecDeque::new(),
            due: now,
            wake: None,
            leaving: None,
            left: false,
            owned: Vec::new(),
            late: 0,
            latest: Duration::ZERO,
            effects: VecDeque::new(),
        };
        machine.settle(now);
        machine
    }

    /// Takes one input in. What follows from it is decided by [`Self::handle_timeout`], which is due at once.
    pub fn handle(&mut self, input: Input, now: Instant) {
        if self.left {
            return;
        }
        self.notice_a_pause(now);
        match input {
            Input::Beat { session, path, arrived, beat } => self.beat(session, path, arrived, &beat, now),
            Input::Answer { path, arrived, probe, reports } => {
                if let Some(partner) = self.partners.get_mut(path.peer)
                    && let Some(left) = partner.detector.answer(path.path, probe, arrived)
                {
                    for mut report in reports {
                        let ours = self.groups.iter().find(|group| group.config.number == report.number);
                        let Some(ours) = ours else { continue };
                        report.role = match ours.config.role {
                            Role::Primary => Role::Backup,
                            Role::Backup => Role::Primary,
                        };
                        partner.see(report, left, arrived);
                    }
                }
            }
            Input::Stranger => self.stranger = Some(now),
            Input::Reached { target, arrived } => self.reach.reached(target, arrived),
            Input::Fit { link, warm } => {
                let changed = self.link != link;
                (self.link, self.warm) = (link, warm);
                if changed {
                    // Said at once, but after everything was taken in: a carrier that flapped is no news.
                    self.extra.push_front(now);
                }
            }
            Input::Sync { peer, sync } => {
                if let Some(partner) = self.partners.get_mut(peer) {
                    partner.our_sync = sync;
                }
            }
            Input::Takeover { group, force } => self.takeover(group, force, now),
            Input::Stop { keep } => self.stop(keep, now),
            Input::Config(config) => self.configure(config, now),
        }
        // Nothing is concluded before everything that came was taken in: after a pause the first of many frames tells of a
        // time long gone.
        self.due = self.due.min(now);
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.left {
            return;
        }
        self.notice_a_pause(now);
        for peer in 0..self.partners.len() {
            let before = self.partners[peer].detector.life();
            for change in self.partners[peer].detector.handle_timeout(now) {
                self.path_changed(peer, change.path, change.up);
            }
            let after = self.partners[peer].detector.life();
            let asks = matches!(after, Life::Suspect { .. } | Life::Gone { .. });
            if asks && std::mem::discriminant(&before) != std::mem::discriminant(&after) {
                self.effects.push_back(Effect::ProbeReach);
            }
        }
        self.settle(now);
        if self.next_beat <= now || self.extra.front().is_some_and(|due| *due <= now) {
            self.speak(now);
        }
        self.set_due(now);
    }

    /// When [`Self::handle_timeout`] wants to be called, if ever.
    pub fn poll_timeout(&self) -> Option<Instant> {
        (!self.left).then_some(self.due)
    }

    /// The next thing to do.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// Everything there is to see.
    pub fn view(&self, now: Instant) -> HaView {
        let group = |group: &Group| GroupView {
            number: group.config.number,
            role: group.config.role,
            standing: group.standing,
            since: group.since,
            because: group.because.to_string(),
            epoch: group.epoch,
            lease: group.lease_until.since(now),
            partner: self.partners.get(group.config.peer).and_then(|partner| {
                let alive = partner.detector.life() == Life::Alive;
                partner.said.get(&group.config.number).filter(|_| alive).map(|(said, _)| said.standing)
            }),
            waiting: group.waiting.as_ref().map(|why| why.clone().into_owned()),
        };
        HaView {
            groups: self.groups.iter().map(group).collect(),
            peers: self.partners.iter().map(|partner| partner.view(self.config.digest)).collect(),
            reach: self.reach.score(),
            late: self.late,
            latest: self.latest,
        }
    }

    /// What a node is for a group now.
    pub fn standing(&self, group: u8) -> Option<Standing> {
        self.groups.iter().find(|of| of.config.number == group).map(|of| of.standing)
    }

    /// A wake-up that comes late tells about this node and about nobody else.
    fn notice_a_pause(&mut self, now: Instant) {
        let late = now.since(self.due);
        if late <= self.config.timers.heartbeat {
            return;
        }
        self.late += 1;
        self.latest = self.latest.max(late);
        self.due = now;
        self.next_beat = now;
        self.reach.excuse(now);
        for partner in &mut self.partners {
            partner.detector.excuse(now);
        }
        if late < self.config.timers.detection() {
            return;
        }
        self.effects.push_back(Effect::Tell(HaEvent::Paused(late)));
        self.partners.iter_mut().for_each(|partner| partner.detector.doubt(now));
        self.reach.doubt(now);
        self.effects.push_back(Effect::ProbeReach);
        for group in self.groups.iter_mut() {
            group.listening = now;
            group.wake_up(now);
            if group.standing == Standing::Active {
                group.asking = Some(now);
            }
        }
        self.tell_owned(None);
    }

    fn beat(&mut self, session: u64, path: PathId, arrived: Instant, beat: &Beat, now: Instant) {
        let Some(partner) = self.partners.get_mut(path.peer) else { return };
        let fresh = partner.is_fresh(session);
        let change = partner.detector.beat(path.path, beat.sequence, fresh, arrived);
        let known = partner.digest;
        let news = partner.hear(session, beat, arrived);
        if let Some(change) = change {
            self.path_changed(path.peer, change.path, change.up);
        }
        if !news {
            return;
        }
        let ours = self.config.digest;
        match (known.map(|theirs| theirs == ours), beat.digest == ours) {
            (None | Some(true), false) => self.tell(HaEvent::ConfigDiffers { peer: path.peer }),
            (Some(false), true) => self.tell(HaEvent::ConfigAgrees { peer: path.peer }),
            _ => {}
        }
        let partner = &self.partners[path.peer];
        let losing = self.groups.iter().filter(|group| group.standing == Standing::Active).any(|group| {
            let said = partner.said.get(&group.config.number);
            said.is_some_and(|(said, _)| said.standing == Standing::Active && said.epoch <= group.epoch)
        });
        let rested = partner.answered.is_none_or(|last| now.since(last) >= self.config.timers.heartbeat / 5);
        if (losing || beat.asks) && rested {
            self.partners[path.peer].answered = Some(now);
            self.extra.push_front(now);
        }
    }

    fn path_changed(&mut self, peer: usize, path: usize, up: bool) {
        self.tell(if up { HaEvent::PathUp { peer, path } } else { HaEvent::PathDown { peer, path } });
    }

    fn takeover(&mut self, number: u8, force: bool, now: Instant) {
        let Some(at) = self.groups.iter().position(|group| group.config.number == number) else {
            return self.refuse(
                number,
                "this node has no part in the group",
                "geminus status lists what it has",
            );
        };
        let group = &self.groups[at];
        let Some(partner) = self.partners.get(group.config.peer) else { return };
        let alive = partner.detector.life() == Life::Alive;
        if group.standing == Standing::Active {
            return self.refuse(number, "this node is active for it already", "nothing is to be done");
        }
        if self.leaving.is_some() {
            return self.refuse(number, "this node is leaving", "start it again first");
        }
        if !self.link {
            return self.refuse(
                number,
                "this node cannot forward",
                "see its interface and the program in `geminus status`",
            );
        }
        if alive && !partner.two_way() {
            return self.refuse(
                number,
                "the partner does not hear this node by any path, so both would be active",
                "mend a path: `geminus status` shows them",
            );
        }
        if alive && partner.sync() != SyncView::Complete && !force {
            return self.refuse(
                number,
                "replication is not complete, so connections may be lost",
                "wait for it (`geminus status`), or say --force",
            );
        }
        self.step(at, Move::Activate(Cause::Order), now);
    }

    fn refuse(&mut self, group: u8, why: &str, hint: &str) {
        self.tell(HaEvent::Refused { group, why: why.to_owned(), hint: hint.to_owned() });
    }

    /// Looks at every group until nothing is due, and notes when to look again.
    fn settle(&mut self, now: Instant) {
        self.tell_lives(now);
        if let Some(from) = self.reach.handle_timeout(now) {
            self.tell(HaEvent::Reach { from, to: self.reach.score() });
        }
        self.wake = self.reach.poll_timeout(now);
        for at in 0..self.groups.len() {
            for _ in 0..STEPS {
                let (next, wake) = self.look(at, now);
                if let Some(wake) = wake {
                    self.want(wake);
                }
                let Some(next) = next else { break };
                self.step(at, next, now);
            }
        }
        if self.leaving.is_some() && !self.left && self.may_leave(now) {
            for at in 0..self.groups.len() {
                if self.groups[at].leased(now) {
                    self.step(at, Move::Release(Standing::Standby, Cause::Stopping), now);
                }
            }
            self.speak(now);
            return self.leave();
        }
        self.set_due(now);
    }

    fn want(&mut self, at: Instant) {
        self.wake = Some(self.wake.map_or(at, |wake| wake.min(at)));
    }

    fn set_due(&mut self, now: Instant) {
        let detectors = self.partners.iter().map(|partner| partner.detector.poll_timeout());
        let others = [self.wake, self.extra.front().copied()].into_iter().flatten();
        let due = detectors.chain(others).fold(self.next_beat, Instant::min);
        self.due = due.max(now);
        let mut probes = Vec::new();
        for (peer, partner) in self.partners.iter_mut().enumerate() {
            while let Some((path, probe)) = partner.detector.poll_probe(now) {
                probes.push(Effect::Probe { path: PathId { peer, path }, probe });
            }
        }
        self.effects.extend(probes);
    }

    /// What a group does next, and when to look again.
    fn look(&mut self, at: usize, now: Instant) -> (Option<Move>, Option<Instant>) {
        let ground = Ground {
            node: &self.config.node,
            link: self.link,
            warm: self.warm,
            leaving: self.leaving.is_some(),
            reach: self.reach.score(),
            heartbeat: self.config.timers.heartbeat,
            detection: self.config.timers.detection(),
            recovery: self.config.recovery,
            stable: self.config.stable,
            alone_after: self.config.alone_after,
            stranger_until: self.stranger.map(|last| last + STRANGER_PATIENCE),
        };
        let group = &mut self.groups[at];
        let Some(partner) = self.partners.get(group.config.peer) else { return (None, None) };
        let on_the_network = match partner.detector.life() {
            Life::Gone { asked } => self.reach.tells_since(asked),
            _ => None,
        };
        let sight: Sight<'_> =
            partner.sight(group.config.number, self.config.digest, self.began, on_the_network);
        let next = group.next(&ground, &sight, now);
        (next.step, next.wake.filter(|wake| *wake > now))
    }

    fn tell_lives(&mut self, now: Instant) {
        // A partner's program answers at once; its daemon is heard once it has proved to speak now.
        let early = now.since(self.began) < self.config.timers.detection();
        for peer in 0..self.partners.len() {
            let partner = &mut self.partners[peer];
            let life = partner.detector.life();
            if early && matches!(life, Life::Mute { .. }) {
                continue;
            }
            let event = match (partner.told, life) {
                (Life::Unheard | Life::Gone { .. } | Life::Mute { .. }, Life::Alive) => {
                    Some(HaEvent::PeerUp { peer })
                }
                (Life::Unheard | Life::Alive | Life::Gone { .. }, Life::Mute { .. }) => {
                    Some(HaEvent::PeerDown { peer, mute: true })
                }
                (Life::Unheard | Life::Alive | Life::Mute { .. }, Life::Gone { .. }) => {
                    Some(HaEvent::PeerDown { peer, mute: false })
                }
                _ => None,
            };
            // Suspicion is no news of its own: what was told last stands until it is confirmed or refuted.
            if !matches!(life, Life::Suspect { .. }) {
                partner.told = life;
            }
            if let Some(event) = event {
                self.tell(event);
            }
        }
    }

    fn tell(&mut self, event: HaEvent) {
        self.effects.push_back(Effect::Tell(event));
    }

    /// Says now, and twice again soon, what must not be lost.
    fn speak_again(&mut self, now: Instant) {
        self.speak(now);
        self.extra.extend(REPEATS.map(|after| now + after));
    }

    /// Says on every path how things are.
    fn speak(&mut self, now: Instant) {
        while self.extra.front().is_some_and(|due| *due <= now) {
            self.extra.pop_front();
        }
        self.sequence += 1;
        self.next_beat = now + self.config.timers.heartbeat;
        for peer in 0..self.partners.len() {
            let partner = &self.partners[peer];
            let beat = Beat {
                sequence: self.sequence,
                interval: self.config.timers.heartbeat,
                heard: (0..partner.config.paths)
                    .map(|path| Heard {
                        sequence: partner.detector.sequence(path),
                        ago: partner.detector.heard_by(path).map_or(Duration::ZERO, |heard| now.since(heard)),
                    })
                    .collect(),
                groups: self
                    .groups
                    .iter()
                    .filter(|group| group.config.peer == peer)
                    .map(|group| group.report(now))
                    .collect(),
                reach: self.reach.score(),
                fit: self.link,
                asks: matches!(partner.detector.life(), Life::Suspect { .. }),
                sync: partner.our_sync,
                digest: self.config.digest,
            };
            for path in 0..partner.config.paths {
                let path = PathId { peer, path };
                self.effects.push_back(Effect::Send { path, beat: beat.clone() });
            }
        }
    }
}
