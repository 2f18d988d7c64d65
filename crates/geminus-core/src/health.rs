//! Whether servers are well: what is to be checked, what checks said, and what follows.
//!
//! [`Health`] knows targets, not servers: equal ones are checked once, however many services have them. It decides when
//! each is asked and by which cluster address, makes states of readings, asks for a second look where the clients' road
//! fails, and says what changed. What that means for pools and weights is the director's.

mod judge;
mod look;
mod outage;
mod probe;
mod targets;
mod watch;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

pub use self::judge::State;
pub use self::look::{Finding, LOOK_AGAIN, LOOKS, SILENCE_LOOK, Spot};
pub use self::outage::{RETURN_PATIENCE, Story};
pub use self::probe::{Diagnosis, Fault, FaultKind, Good, Probe, Question, Reading, Target};
pub use self::watch::ANSWER_GRACE;

use self::judge::Bounds;
use self::look::Looks;
use self::outage::Outage;
use self::targets::{Wanted, wanted};
use self::watch::{Asked, Pace, Watch};
use crate::director::Instant;
use crate::model::Site;

/// How long news of a target that went down may be held back until it is known whether it is the only one.
const STORY_PATIENCE: Duration = Duration::from_secs(3);

/// Checks that are under way at once; more wait for their turn here, where it is known who waits and for how long. Half of the
/// slots of the clients' road, and 128 MiB of what servers can make this machine hold.
pub const CHECKS: usize = 2_048;

/// How often it is told that checks wait for each other.
const CROWD_AGAIN: Duration = Duration::from_secs(60);

/// How often a certificate that expires is warned of.
pub const CERTIFICATE_AGAIN: Duration = Duration::from_secs(24 * 3600);

/// A target's number: it keeps it as long as it is in the site.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TargetNumber(u32);

/// What the machine wants, and what it has to say.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Make this check.
    Probe(Probe),
    /// Look why.
    Diagnose(Question),
    /// Something else is held of this target from now on.
    Changed {
        /// Which.
        target: TargetNumber,
        /// What.
        state: State,
    },
    /// The first check of this target was good: what was taken for well is known to be.
    Proven(TargetNumber),
    /// The clients' road to a server, which the data plane's frames take as well, was tried by a check.
    Road {
        /// The server's own address.
        server: IpAddr,
        /// When.
        tried: Instant,
        /// Whether anything came back; nothing comes back from a hardware address that is not the server's.
        answered: bool,
    },
    /// Something is to be told.
    Notice(Notice),
}

/// What is to be told.
#[derive(Debug, Clone, PartialEq)]
pub enum Notice {
    /// Targets went down.
    Story(Story),
    /// A target that was told of as down is up; it was down for so long.
    Up(TargetNumber, Duration),
    /// Nothing has been heard of whoever makes the checks for so long.
    AdvisorsSilent(Duration),
    /// They are heard again.
    AdvisorsBack,
    /// The checks of a target cannot be made, or come to nothing, for this machine's own reason.
    Blind(TargetNumber),
    /// So many targets wait for their turn, the first of them for so long: longer than the time between two of its checks.
    Crowd(usize, Duration),
    /// A certificate expires in so many seconds, or has.
    Certificate(TargetNumber, i64),
    /// A finding of the second look appeared, changed or went.
    Finding(Finding),
}

/// What is known of one target.
#[derive(Debug, Clone, PartialEq)]
pub struct TargetView<'a> {
    /// The target.
    pub target: &'a Arc<Target>,
    /// What is held of it.
    pub state: State,
    /// Since when.
    pub since: Instant,
    /// How many readings in a row say otherwise.
    pub contrary: u32,
    /// How many of them it takes.
    pub needed: u32,
    /// Whether it has to be well for long before it is up again, because it changed too often.
    pub damped: bool,
    /// How long its good checks take, smoothed.
    pub latency: Option<Duration>,
    /// What the last failed check found, while that matters.
    pub fault: Option<&'a Fault>,
    /// Seconds until the certificate expires that it showed last.
    pub certificate: Option<i64>,
}

/// The machine.
#[derive(Debug)]
pub struct Health {
    watches: BTreeMap<TargetNumber, Watch>,
    numbers: HashMap<Arc<Target>, TargetNumber>,
    of_server: HashMap<u64, TargetNumber>,
    last_number: u32,
    /// When something is to be done with each target.
    due: BTreeSet<(Instant, TargetNumber)>,
    /// Who is due and waits until fewer checks are under way: whoever has waited longest comes first.
    line: BTreeSet<(Instant, TargetNumber)>,
    /// When it was last told that they wait for long.
    crowd_told: Option<Instant>,
    asked: HashMap<u64, TargetNumber>,
    last_probe: u64,
    looks: Looks,
    outage: Outage,
    /// How many targets are not down.
    served: usize,
    /// When anything was last heard of whoever makes the checks: also what came too late to count.
    heard: Instant,
    /// Whether it was told that nothing is: until a reading comes in time.
    silent: bool,
    /// Whether this node's own link is down.
    cut_off: bool,
    /// When it last came back.
    linked: Instant,
    certificate_days: u16,
    own_address: Option<IpAddr>,
    seed: u64,
    actions: VecDeque<Action>,
}

impl Health {
    /// Nothing to check yet. `seed` spreads the checks; any number will do.
    pub fn new(seed: u64) -> Self {
        Self {
            watches: BTreeMap::new(),
            numbers: HashMap::new(),
            of_server: HashMap::new(),
            last_number: 0,
            due: BTreeSet::new(),
            line: BTreeSet::new(),
            crowd_told: None,
            asked: HashMap::new(),
            last_probe: 0,
            looks: Looks::default(),
            outage: Outage::default(),
            served: 0,
            heard: Instant::START,
            silent: false,
            cut_off: false,
            linked: Instant::START,
            certificate_days: 0,
            own_address: None,
            seed,
            actions: VecDeque::new(),
        }
    }

    /// Checks exactly the servers of the node's clusters from now on. What is held of targets that stay the same stays; of
    /// new ones, those of servers that `down` says yes to begin as down, the others as well, and all are asked soon.
    pub fn configure(&mut self, site: &Site, node: &str, down: impl Fn(u64) -> bool, now: Instant) {
        self.certificate_days = site.health.certificate_days;
        self.own_address = site.nodes.iter().find(|one| one.name == node).map(|node| node.address);
        let was_down: HashSet<u64> = self
            .of_server
            .iter()
            .filter(|(_, number)| {
                self.watches.get(number).is_some_and(|watch| watch.judge.state() == State::Down)
            })
            .map(|(&identity, _)| identity)
            .collect();
        let damping = site.health.damping;
        let wanted = wanted(site, node, |identity| was_down.contains(&identity) || down(identity), damping);
        self.of_server.clear();
        let kept: HashSet<_> = wanted.iter().map(|one| &one.target).collect();
        self.forget(|target| kept.contains(target));
        let fresh = wanted.iter().filter(|one| !self.numbers.contains_key(&one.target)).count();
        let mut begun = 0;
        for Wanted { target, servers, pace, bounds, down } in wanted {
            let number = match self.numbers.get(&target) {
                Some(&number) => {
                    self.keep(number, bounds, pace, now);
                    number
                }
                None => {
                    let origin = now + pace.period() * begun / u32::try_from(fresh).unwrap_or(u32::MAX);
                    begun += 1;
                    self.add(
                        target,
                        bounds,
                        pace,
                        if down { State::Down } else { State::Checking },
                        [now, origin],
                    )
                }
            };
            self.of_server.extend(servers.into_iter().map(|identity| (identity, number)));
        }
        let own = self.own_address;
        let looked_at: Vec<_> = self
            .watches
            .iter()
            .filter(|(_, watch)| Some(watch.target.server) != own)
            .map(|(&number, watch)| (number, Arc::clone(&watch.target)))
            .collect();
        self.looks.want(&looked_at, now);
    }

    /// The target that a server is checked by, by [`crate::plan::server_identity`]; none: it is not checked.
    pub fn target_of(&self, server: u64) -> Option<TargetNumber> {
        self.of_server.get(&server).copied()
    }

    /// What is held of a target.
    pub fn state(&self, target: TargetNumber) -> Option<State> {
        self.watches.get(&target).map(|watch| watch.judge.state())
    }

    /// Whether a target is down, and for all that is known this node's own network may be the reason.
    pub fn is_doubtful(&self, target: TargetNumber) -> bool {
        self.outage.doubts(target)
    }

    /// How long a target's good checks take, smoothed.
    pub fn latency(&self, target: TargetNumber) -> Option<Duration> {
        self.watches.get(&target)?.latency
    }

    /// What is known of a target.
    pub fn view(&self, target: TargetNumber) -> Option<TargetView<'_>> {
        let watch = self.watches.get(&target)?;
        let state = watch.judge.state();
        let matters = state == State::Down || watch.judge.contrary() > 0 || watch.own_faults > 0;
        Some(TargetView {
            target: &watch.target,
            state,
            since: watch.judge.since(),
            contrary: watch.judge.contrary(),
            needed: if state == State::Down { watch.bounds.rise } else { watch.bounds.fall },
            damped: watch.judge.is_damped(),
            latency: watch.latency,
            fault: watch.fault.as_ref().filter(|_| matters),
            certificate: watch.certificate,
        })
    }

    /// What the second look found of a target, by cluster address.
    pub fn findings(&self, target: TargetNumber) -> Vec<(IpAddr, Diagnosis)> {
        let watch = self.watches.get(&target);
        watch.map_or_else(Vec::new, |watch| self.looks.findings(target, &watch.target).collect())
    }

    /// How many targets there are.
    pub fn targets(&self) -> usize {
        self.watches.len()
    }

    /// Whether nothing is heard of whoever makes the checks.
    pub const fn is_silent(&self) -> bool {
        self.silent
    }

    /// What came of a check.
    pub fn probed(&mut self, reading: Reading, now: Instant) {
        // Whoever answers late is heard: what is wrong is told of the targets whose checks come to nothing.
        self.heard = now;
        // Of a check that was given up, which is told by then.
        let Some(number) = self.asked.remove(&reading.number) else { return };
        let Some(watch) = self.watches.get_mut(&number) else { return };
        let asked = watch.asked.take();
        let from = asked.map_or(now, |asked| asked.at);
        // Whoever asked did not run meanwhile, and looked too late.
        let was_late = watch.target.was_late(&reading);
        if !was_late && std::mem::take(&mut self.silent) {
            self.actions.push_back(Action::Notice(Notice::AdvisorsBack));
        }
        if self.cut_off || from < self.linked {
            return self.plan_next(number, asked, now);
        }
        if was_late {
            self.could_not_ask(number, looked_late());
            return self.plan_next(number, asked, now);
        }
        let answered = match &reading.outcome {
            Ok(_) => Some(true),
            Err(fault) if fault.kind.is_silence() => Some(false),
            Err(_) => None,
        };
        if let (Some(answered), Some(Asked { by: Some(_), at: tried, .. })) = (answered, asked) {
            self.actions.push_back(Action::Road { server: watch.target.server, tried, answered });
        }
        match reading.outcome {
            Err(fault) if fault.kind == FaultKind::Own => self.could_not_ask(number, fault),
            Err(fault) => self.failed(number, fault, asked, now),
            Ok(good) => self.good(number, &good, reading.took, from, now),
        }
        self.plan_next(number, asked, now);
    }

    /// Whether this node's own link is up. While it is not, nobody is asked, and whatever was asked says nothing: servers
    /// keep the state that they had.
    pub fn link(&mut self, is_up: bool, now: Instant) {
        if std::mem::replace(&mut self.cut_off, !is_up) && is_up {
            self.linked = now;
        }
    }

    /// What came of a second look.
    pub fn diagnosed(&mut self, spot: Spot, found: Diagnosis, now: Instant) {
        if self.cut_off {
            return self.looks.drop_question(spot);
        }
        let changes = self.looks.answered(spot, found, now);
        self.actions.extend(changes.into_iter().map(|finding| Action::Notice(Notice::Finding(finding))));
    }

    /// Nothing has been heard of whoever makes the checks for so long.
    pub fn advisors_silent(&mut self, silence: Duration) {
        if !std::mem::replace(&mut self.silent, true) {
            self.notice(Notice::AdvisorsSilent(silence));
        }
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(&(due, number)) = self.due.first().filter(|&&(due, _)| due <= now) {
            self.due.remove(&(due, number));
            let Some(watch) = self.watches.get_mut(&number) else { continue };
            match watch.asked.take() {
                Some(asked) => self.unanswered(number, asked, now),
                None if self.cut_off || watch.is_late(now) => self.plan_next(number, None, now),
                None => drop(self.line.insert((due, number))),
            }
        }
        self.ask_in_turn(now);
        let nobody_up = self.served == 0;
        let watches = &self.watches;
        let hosts = |numbers: &mut dyn Iterator<Item = TargetNumber>| {
            let hosts: HashSet<_> =
                numbers.filter_map(|one| Some(watches.get(&one)?.target.server)).collect();
            hosts.len()
        };
        let stories = self.outage.handle_timeout(nobody_up, hosts, now);
        self.tell(stories);
        if self.cut_off {
            return self.looks.postpone(now);
        }
        let watches = &self.watches;
        while let Some(question) =
            self.looks.poll(|number| watches.get(&number).map(|watch| &watch.target), now)
        {
            self.actions.push_back(Action::Diagnose(question));
        }
    }

    /// When [`Self::handle_timeout`] wants to be called, if ever.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let due = self.due.first().map(|&(due, _)| due);
        let line = self.line.first().filter(|_| self.has_room()).map(|&(due, _)| due);
        [due, line, self.looks.poll_timeout(), self.outage.poll_timeout()].into_iter().flatten().min()
    }

    /// The next thing to do or to say.
    pub fn poll(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    fn add(
        &mut self,
        target: Target,
        bounds: Bounds,
        pace: Pace,
        state: State,
        times: [Instant; 2],
    ) -> TargetNumber {
        self.last_number += 1;
        let number = TargetNumber(self.last_number);
        let is_here = Some(target.server) == self.own_address;
        let target = Arc::new(target);
        self.numbers.insert(Arc::clone(&target), number);
        let watch = Watch::new(target, bounds, pace, state, is_here, times);
        self.due.insert((watch.due, number));
        self.served += usize::from(watch.counts());
        self.watches.insert(number, watch);
        number
    }

    fn keep(&mut self, number: TargetNumber, bounds: Bounds, pace: Pace, now: Instant) {
        let Some(watch) = self.watches.get_mut(&number) else { return };
        watch.bounds = bounds;
        let waits = self.line.contains(&(watch.due, number));
        if watch.set_pace(pace) && watch.asked.is_none() && !waits {
            self.due.remove(&(watch.due, number));
            watch.due = watch.due.min(now + pace.interval);
            self.due.insert((watch.due, number));
        }
    }

    /// Watches those targets no more that are not wanted.
    fn forget(&mut self, wanted: impl Fn(&Target) -> bool) {
        let gone: Vec<_> = self
            .watches
            .iter()
            .filter(|(_, watch)| !wanted(&watch.target))
            .map(|(&number, _)| number)
            .collect();
        for number in gone {
            let Some(watch) = self.watches.remove(&number) else { continue };
            self.numbers.remove(&watch.target);
            self.due.remove(&(watch.due, number));
            self.line.remove(&(watch.due, number));
            if let Some(asked) = watch.asked {
                self.asked.remove(&asked.number);
            }
            self.outage.forget(number);
            self.served -= usize::from(watch.counts());
        }
    }

    /// Asks whoever has waited longest, as long as there is room.
    fn ask_in_turn(&mut self, now: Instant) {
        self.tell_crowd(now);
        while (self.cut_off || self.has_room())
            && let Some((_, number)) = self.line.pop_first()
        {
            if self.cut_off { self.plan_next(number, None, now) } else { self.ask(number, now) }
        }
    }

    fn has_room(&self) -> bool {
        self.asked.len() < CHECKS
    }

    /// Says so if somebody waits for longer than the time between two of its checks.
    fn tell_crowd(&mut self, now: Instant) {
        let Some(&(since, number)) = self.line.first().filter(|_| !self.cut_off) else { return };
        let waited = now.since(since);
        let is_long = self.watches.get(&number).is_some_and(|watch| watch.is_late(now));
        if is_long && self.crowd_told.is_none_or(|told| now.since(told) >= CROWD_AGAIN) {
            self.crowd_told = Some(now);
            self.notice(Notice::Crowd(self.line.len(), waited));
        }
    }

    fn ask(&mut self, number: TargetNumber, now: Instant) {
        let Some(watch) = self.watches.get_mut(&number) else { return };
        self.last_probe += 1;
        let by = watch.ask(self.last_probe, now);
        self.due.insert((watch.due, number));
        self.asked.insert(self.last_probe, number);
        let target = Arc::clone(&watch.target);
        self.actions.push_back(Action::Probe(Probe { number: self.last_probe, target, by }));
    }

    fn plan_next(&mut self, number: TargetNumber, asked: Option<Asked>, now: Instant) {
        let seed = self.seed;
        let Some(watch) = self.watches.get_mut(&number) else { return };
        self.due.remove(&(watch.due, number));
        watch.settle(asked, seed.wrapping_add(watch.chance(number)), now);
        self.due.insert((watch.due, number));
    }

    /// Nobody said anything: that says nothing of the target, but something of whoever should have. If nothing at all was heard
    /// since, it is told of everybody at once; else of the target.
    fn unanswered(&mut self, number: TargetNumber, asked: Asked, now: Instant) {
        self.asked.remove(&asked.number);
        if self.heard < asked.at {
            self.advisors_silent(now.since(self.heard.max(asked.at)));
        } else if !self.cut_off && asked.at >= self.linked {
            self.could_not_ask(number, looked_late());
        }
        self.plan_next(number, None, now);
    }

    fn could_not_ask(&mut self, number: TargetNumber, fault: Fault) {
        let Some(watch) = self.watches.get_mut(&number) else { return };
        watch.own_faults = watch.own_faults.saturating_add(1);
        watch.fault = Some(fault);
        if watch.own_faults == watch.bounds.fall {
            self.notice(Notice::Blind(number));
        }
    }

    fn failed(&mut self, number: TargetNumber, fault: Fault, asked: Option<Asked>, now: Instant) {
        let Some(watch) = self.watches.get_mut(&number) else { return };
        watch.fault = Some(fault);
        watch.own_faults = 0;
        let from = asked.map_or(now, |asked| asked.at);
        if watch.judge.state() != State::Down && watch.judge.contrary() == 0 {
            watch.contrary_from = from;
        }
        let changed = watch.judge.hear(false, &watch.bounds, now);
        if !watch.is_here {
            self.outage.bad();
        }
        if let Some(by) = asked.and_then(|asked| asked.by) {
            self.looks.fails(Spot { server: watch.target.server, by }, number, now);
        }
        if changed.is_some() {
            self.went_down(number, now);
        }
    }

    fn went_down(&mut self, number: TargetNumber, now: Instant) {
        self.actions.push_back(Action::Changed { target: number, state: State::Down });
        let Some(watch) = self.watches.get(&number) else { return };
        self.served -= usize::from(!watch.is_here);
        let story = if watch.proven && !watch.is_here {
            let patience = watch.patience().min(STORY_PATIENCE);
            self.outage.down(number, watch.contrary_from, patience, self.served == 0, now)
        } else {
            // It was never well, or is here: nothing that happened to this node's network took it away.
            Some(Story::Down(number))
        };
        self.tell(story);
    }

    fn good(&mut self, number: TargetNumber, good: &Good, took: Duration, from: Instant, now: Instant) {
        let Some(watch) = self.watches.get_mut(&number) else { return };
        watch.own_faults = 0;
        watch.proven = true;
        watch.advance();
        watch.learn_latency(took);
        let since = watch.judge.since();
        let unproven = watch.judge.state() == State::Checking;
        let changed = watch.judge.hear(true, &watch.bounds, now);
        if unproven {
            self.actions.push_back(Action::Proven(number));
        }
        if watch.judge.is_well() {
            let findings = self.looks.recovers(number, &watch.target, now);
            self.actions.extend(findings.into_iter().map(|one| Action::Notice(Notice::Finding(one))));
        }
        let is_here = watch.is_here;
        if !is_here {
            let stories = self.outage.good(from, now);
            self.tell(stories);
        }
        if changed.is_some() {
            self.served += usize::from(!is_here);
            self.actions.push_back(Action::Changed { target: number, state: State::Up });
            if self.outage.up(number) {
                self.notice(Notice::Up(number, now.since(since)));
            }
        }
        self.certificate(number, good.certificate, now);
    }

    fn certificate(&mut self, number: TargetNumber, seconds: Option<i64>, now: Instant) {
        let Some(watch) = self.watches.get_mut(&number) else { return };
        watch.certificate = seconds;
        let limit = i64::from(self.certificate_days) * 24 * 3600;
        let Some(seconds) = seconds.filter(|&seconds| seconds < limit) else { return };
        if watch.certificate_told.is_none_or(|told| now.since(told) >= CERTIFICATE_AGAIN) {
            watch.certificate_told = Some(now);
            self.notice(Notice::Certificate(number, seconds));
        }
    }

    fn tell(&mut self, stories: impl IntoIterator<Item = Story>) {
        self.actions.extend(stories.into_iter().map(|story| Action::Notice(Notice::Story(story))));
    }

    fn notice(&mut self, notice: Notice) {
        self.actions.push_back(Action::Notice(notice));
    }
}

/// What came of a check was looked at when its time was long over.
fn looked_late() -> Fault {
    let words = "this machine looked at what came of the check too late to know: it has too little computing time left \
                 for its checks; see what else runs on it, or lengthen connect and timeout";
    Fault { kind: FaultKind::Own, words: words.to_owned() }
}
