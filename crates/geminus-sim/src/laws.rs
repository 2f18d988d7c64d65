//! What must hold, whatever goes wrong. Each law is a function of its name; each is looked at in virtual time, when
//! something happens and when time has passed.

mod active;
mod change;

use geminus_core::ha::{Beat, Cause, GroupReport, Standing};

use crate::machine::Machine;
use crate::nemesis::{Fault, Kind};
use crate::shape::{Shape, number};
use crate::time::{MS, Nanos, nanos};
use crate::world::World;

/// A law that was broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The function of this name says what it is.
    pub law: &'static str,
    /// When.
    pub at: Nanos,
    /// By what.
    pub what: String,
}

/// What the laws remember.
#[derive(Debug)]
pub(crate) struct Laws {
    /// The first that was broken.
    pub(crate) broken: Option<Violation>,
    nodes: Vec<OfNode>,
    groups: Vec<OfGroup>,
    pairs: Vec<OfPair>,
    /// Faults that may still have consequences.
    credits: Vec<Credit>,
    /// Changes of hands that were looked at.
    pub(crate) changes: u64,
}

#[derive(Debug, Clone)]
struct OfNode {
    /// When its daemon died last, or was stopped.
    silent_since: Option<Nanos>,
    /// What its clock showed then.
    silent_from: Nanos,
    /// By group: it was told to leave its data plane alone, for an upgrade, and nobody has taken it up since.
    detached: Vec<bool>,
    /// Its daemon was told so.
    detaches: bool,
    /// By partner: the newest heartbeat, and how long the daemon had been away in its life by then.
    heard: Vec<Option<(Nanos, Nanos)>>,
    /// By partner: whether anything came since the daemon was started.
    met: Vec<bool>,
    /// When a reach target last answered a daemon of it.
    reached: Option<Nanos>,
    started: Nanos,
    /// It was away for long and has not asked since.
    owes_question: bool,
    /// What it announces.
    announced: Vec<u8>,
    /// By group: why it last became active, and when.
    causes: Vec<Option<(Cause, Nanos)>>,
    /// By reach target: whether it is in reach, and since when that is so.
    targets: Vec<(bool, Nanos)>,
}

#[derive(Debug, Clone, Default)]
struct OfGroup {
    dual: Option<Dual>,
    /// Since when there is none, or more than one.
    not_one: Option<Nanos>,
}

/// Two own the addresses.
#[derive(Debug, Clone, Copy)]
struct Dual {
    since: Nanos,
    /// Since when, of that, both daemons run.
    both_run: Option<Nanos>,
    /// By end: when it heard the other claim the group since then.
    heard: [Option<Nanos>; 2],
}

#[derive(Debug, Clone, Copy, Default)]
struct OfPair {
    /// Since when both daemons run and a path carries every frame in both directions.
    sound: Option<Nanos>,
    /// As `sound`, for their machines alone.
    reachable: Option<Nanos>,
}

/// A fault may change hands once; one that loses most frames, once for each time that it can look like a death.
#[derive(Debug, Clone)]
struct Credit {
    fault: u32,
    ends: Nanos,
    /// How often it may.
    times: u32,
    /// How often it did, by group.
    used: Vec<u32>,
}

/// So long after the last fault exactly one is active for each group, at the latest: twice the detection, the 100 ms that
/// two may both believe it, and, for a backup that waits for a primary that is not ready, its patience.
pub fn settled_within(shape: &Shape) -> Nanos {
    2 * shape.detection() + 100 * MS
}

/// So long after a fault a change of hands may still be its consequence: the lease that is waited for, the time alone.
fn aftermath(shape: &Shape) -> Nanos {
    settled_within(shape) + 2 * nanos(shape.lease) + nanos(shape.alone_after)
}

impl Laws {
    pub(crate) fn new(shape: &Shape) -> Self {
        let of_node = |index: usize| OfNode {
            silent_since: Some(0),
            silent_from: shape.nodes[index].shown,
            detaches: false,
            detached: vec![false; shape.groups.len()],
            heard: vec![None; shape.peers(index).len()],
            met: vec![false; shape.peers(index).len()],
            reached: None,
            started: 0,
            owes_question: false,
            announced: Vec::new(),
            causes: vec![None; shape.groups.len()],
            targets: vec![(true, 0); shape.targets as usize],
        };
        Self {
            broken: None,
            nodes: (0..shape.nodes.len()).map(of_node).collect(),
            groups: vec![OfGroup::default(); shape.groups.len()],
            pairs: vec![OfPair::default(); shape.pairs.len()],
            // To be started changes hands as well, once for each node.
            credits: (0..shape.nodes.len())
                .map(|node| Credit {
                    fault: u32::MAX,
                    ends: shape.nodes[node].starts + aftermath(shape),
                    times: 1,
                    used: vec![0; shape.groups.len()],
                })
                .collect(),
            changes: 0,
        }
    }

    pub(crate) fn daemon_started(&mut self, index: usize, now: Nanos) {
        let node = &mut self.nodes[index];
        node.started = now;
        node.reached = None;
        node.owes_question = false;
        node.detaches = false;
        node.announced.clear();
        node.met.fill(false);
        node.heard.fill(None);
    }

    /// The daemon asks its partner, by a probe or in a heartbeat.
    pub(crate) fn daemon_asked(&mut self, index: usize, _now: Nanos) {
        self.nodes[index].owes_question = false;
    }

    pub(crate) fn target_answered(&mut self, index: usize, now: Nanos) {
        self.nodes[index].reached = Some(now);
    }

    pub(crate) fn detached(&mut self, index: usize) {
        self.nodes[index].detaches = true;
    }
}

impl<M: Machine> World<M> {
    /// A law is broken.
    pub(crate) fn violate(&mut self, law: &'static str, what: impl FnOnce() -> String) {
        if self.laws.broken.is_none() {
            self.laws.broken = Some(Violation { law, at: self.now, what: what() });
        }
    }

    /// Both ends of a group: primary, backup.
    pub(crate) fn ends(&self, group: usize) -> [usize; 2] {
        [self.shape.groups[group].primary, self.shape.groups[group].backup]
    }

    /// What is looked at after every event.
    pub(crate) fn watch(&mut self) {
        self.watch_pairs();
        self.watch_targets();
        for group in 0..self.shape.groups.len() {
            let ends = self.ends(group);
            let own = ends.map(|node| self.nodes[node].owns(group, self.now));
            self.watch_group(group, own);
            self.at_most_one_active_while_a_path_works(group);
            self.exactly_one_active_after_faults_end(group, own);
            self.boot_together_ends_in_one_active(group, own);
        }
        for node in 0..self.nodes.len() {
            self.a_dead_daemon_s_plane_yields_by_itself(node);
        }
    }

    fn watch_pairs(&mut self) {
        let now = self.now;
        for pair in 0..self.shape.pairs.len() {
            let ends = self.shape.pairs[pair].nodes;
            let nodes = ends.map(|node| &self.nodes[node]);
            let path_is_sound = self.wires[pair].iter().enumerate().any(|(path, wires)| {
                nodes.iter().all(|node| node.is_linked(path)) && wires.iter().all(|wire| wire.is_sound())
            });
            let machines = nodes.iter().all(|node| node.machine_runs() && node.plane.attached);
            let daemons =
                nodes.iter().all(|node| node.daemon_runs() && node.plight.starved.worst().is_none());
            let of = &mut self.laws.pairs[pair];
            let keep = |holds: bool, since: Option<Nanos>| holds.then(|| since.unwrap_or(now));
            of.reachable = keep(path_is_sound && machines, of.reachable);
            of.sound = keep(path_is_sound && machines && daemons, of.sound);
        }
    }

    fn watch_group(&mut self, group: usize, own: [bool; 2]) {
        let now = self.now;
        let ends = self.ends(group);
        let runs = |node: usize| {
            let node = &self.nodes[node];
            node.daemon_runs() && node.plight.starved.worst().is_none()
        };
        let both_run = own == [true; 2] && ends.into_iter().all(runs);
        let of = &mut self.laws.groups[group];
        of.dual = match (own, of.dual) {
            ([true, true], None) => Some(Dual { since: now, both_run: None, heard: [None; 2] }),
            ([true, true], dual) => dual,
            _ => None,
        };
        if let Some(dual) = &mut of.dual {
            if both_run {
                dual.both_run.get_or_insert(now);
            } else {
                (dual.both_run, dual.heard) = (None, [None; 2]);
            }
        }
        of.not_one = match own {
            [true, false] | [false, true] => None,
            _ => Some(of.not_one.unwrap_or(now)),
        };
    }

    /// Something of a partner came to a daemon; `said`: what and when, if it is a heartbeat.
    pub(crate) fn heard_from(&mut self, index: usize, peer: usize, said: Option<(Nanos, &Beat)>) {
        let now = self.now;
        let away = self.nodes[index].absence(now);
        self.laws.nodes[index].met[peer] = true;
        let pair = self.nodes[index].peers[peer].pair;
        let Some((sent, beat)) = said else { return };
        self.laws.nodes[index].heard[peer] = Some((now, away));
        // Who speaks unasked need not be asked.
        self.laws.nodes[index].owes_question = false;
        for group in 0..self.shape.groups.len() {
            if self.shape.groups[group].pair == pair {
                let end = usize::from(self.shape.groups[group].backup == index);
                let claims = |report: &GroupReport| {
                    report.number == number(group) && report.standing == Standing::Active
                };
                if beat.groups.iter().any(claims)
                    && let Some(dual) = &mut self.laws.groups[group].dual
                    && dual.both_run.is_some_and(|since| sent > since)
                {
                    dual.heard[end].get_or_insert(now);
                }
            }
        }
    }

    /// The daemon runs again after so long.
    pub(crate) fn daemon_was_away(&mut self, index: usize, late: Nanos) {
        // The patience of the machine is by its own clock.
        let believed = self.shape.detection() * 103 / 100;
        // What came at the moment of its return it takes for an answer; it cannot know how long that was under way.
        let now = self.now;
        let of = &mut self.laws.nodes[index];
        if late > believed && !of.heard.iter().flatten().any(|&(heard, _)| heard == now) {
            of.owes_question = true;
        }
    }

    pub(crate) fn daemon_thawed(&mut self, index: usize, stood: Nanos) {
        if let Some(daemon) = &mut self.nodes[index].daemon {
            daemon.absent += stood;
        }
    }

    pub(crate) fn fault_began(&mut self, fault: u32) {
        let Fault { at, until, kind } = &self.faults[fault as usize];
        let times = match kind {
            Kind::Lose { often: 500.., .. } | Kind::LoseAll { often: 300.., .. } | Kind::Burst { .. } => {
                1 + ((until - at) / self.shape.detection()) as u32
            }
            _ => 1,
        };
        let (ends, used) = (until + aftermath(&self.shape), vec![0; self.shape.groups.len()]);
        self.laws.credits.push(Credit { fault, ends, times, used });
    }

    fn watch_targets(&mut self) {
        let now = self.now;
        for (node, of) in self.nodes.iter().zip(&mut self.laws.nodes) {
            for (target, (reached, since)) in of.targets.iter_mut().enumerate() {
                let reaches = node.reaches(target);
                if *reached != reaches {
                    (*reached, *since) = (reaches, now);
                }
            }
        }
    }

    /// Why and when a node last became active for a group.
    pub(crate) fn became_active_by(&self, index: usize, group: usize) -> Option<(Cause, Nanos)> {
        self.laws.nodes[index].causes[group].clone()
    }

    /// Whether a node is active for a group because an operator said so.
    fn was_ordered(&self, index: usize, group: usize) -> bool {
        matches!(self.laws.nodes[index].causes[group], Some((Cause::Order, _)))
    }

    fn other(&self, index: usize, group: usize) -> usize {
        let [primary, backup] = self.ends(group);
        if primary == index { backup } else { primary }
    }
}
