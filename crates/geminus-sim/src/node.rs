//! One dispatcher: its clock, its data plane, its daemon, and what has befallen them.

use std::collections::VecDeque;

use geminus_core::ha::{Adopted, GroupReport, Input, PathId, Role, Standing};

use crate::machine::Machine;
use crate::shape::{Shape, number};
use crate::time::{Clock, Nanos, length, nanos};
use crate::wire::Troubles;

/// A dispatcher.
#[derive(Debug)]
pub struct Node<M> {
    /// What it takes for time.
    pub clock: Clock,
    /// What its kernel does by itself.
    pub plane: Plane,
    /// What decides; none while it is dead.
    pub daemon: Option<Daemon<M>>,
    /// Its partners, in the order in which it knows them.
    pub peers: Vec<Peer>,
    /// What has befallen it.
    pub plight: Plight,
    /// Which configuration it is given.
    pub edition: u64,
    /// Daemons that it had so far.
    pub lives: u32,
    /// When its machine last came to a stand.
    pub froze: Nanos,
    /// When it last went on.
    pub thawed: Nanos,
    /// Frames that came while the machine stood still and that its network card kept.
    pub kept: Vec<u32>,
}

/// A partner of a node.
#[derive(Debug, Clone, Copy)]
pub struct Peer {
    /// Who.
    pub node: usize,
    /// Which pair the two are.
    pub pair: usize,
    /// Which partner this node is to that one.
    pub back: usize,
}

/// What has befallen a node: how many faults of each kind are in force.
#[derive(Debug, Clone, Default)]
pub struct Plight {
    /// The machine is without power.
    pub off: u32,
    /// The machine stands still, its clock with it.
    pub frozen: u32,
    /// Its network card keeps what comes while the machine stands still.
    pub keeps: u32,
    /// Nobody starts the daemon.
    pub down: u32,
    /// The daemon is stopped by a signal.
    pub stopped: u32,
    /// The interface has no carrier: the first path and the reach targets are out of reach.
    pub unlinked: u32,
    /// The hardware addresses of the servers are not known.
    pub cold: u32,
    /// The daemon is woken as much too late as this.
    pub starved: Troubles<Nanos>,
    /// Cuts to each reach target.
    pub unreached: Vec<u32>,
}

/// What the program in the kernel has: it outlives the daemon and dies with the machine.
#[derive(Debug, Clone)]
pub struct Plane {
    /// Whether the program is attached.
    pub attached: bool,
    /// Its groups, by index.
    pub words: Vec<Words>,
}

/// What the program knows of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Words {
    /// What the clock shows when the lease is over.
    pub deadline: Nanos,
    /// Whether it answers for the addresses.
    pub owns: bool,
    /// What it tells who asks.
    pub standing: Standing,
    /// What it tells who asks.
    pub epoch: u64,
}

impl Words {
    /// Nothing was written yet.
    pub const NONE: Self = Self { deadline: 0, owns: false, standing: Standing::Starting, epoch: 0 };
}

/// A running daemon.
#[derive(Debug)]
pub struct Daemon<M> {
    /// The machine under test.
    pub machine: M,
    /// Which of the node's daemons it is: its session.
    pub life: u32,
    /// When it was started.
    pub started: Nanos,
    /// What was heard and not yet looked at.
    pub inbox: VecDeque<Input>,
    /// The wake-up that is on its way.
    pub wake: Nanos,
    /// How long it did not run altogether when it wanted to.
    pub absent: Nanos,
    /// By partner and path: the session that is listened to and what was heard of it.
    pub windows: Vec<Vec<Window>>,
}

/// What was heard of one session by one path: nothing is heard twice.
#[derive(Debug, Clone, Copy, Default)]
pub struct Window {
    session: u32,
    newest: u64,
    seen: u64,
}

impl Window {
    /// Whether a frame is neither of an earlier session nor heard before.
    pub const fn admits(&mut self, session: u32, sequence: u64) -> bool {
        if session > self.session {
            *self = Self { session, newest: sequence, seen: 1 };
            return true;
        }
        if session < self.session {
            return false;
        }
        if sequence > self.newest {
            let ahead = sequence - self.newest;
            self.seen = if ahead < 64 { self.seen << ahead | 1 } else { 1 };
            self.newest = sequence;
            return true;
        }
        let behind = self.newest - sequence;
        if behind >= 64 || self.seen >> behind & 1 == 1 {
            return false;
        }
        self.seen |= 1 << behind;
        true
    }
}

impl<M: Machine> Node<M> {
    /// A node that is about to be started.
    pub fn new(shape: &Shape, index: usize, now: Nanos) -> Self {
        let of = &shape.nodes[index];
        let peers = shape.peers(index);
        let back = |other| shape.peers(other).iter().position(|&(node, _)| node == index);
        let peer = |&(node, pair)| Some(Peer { node, pair, back: back(node)? });
        Self {
            clock: Clock::new(now, of.shown, of.gain),
            plane: Plane::new(shape.groups.len()),
            daemon: None,
            peers: peers.iter().filter_map(peer).collect(),
            plight: Plight { unreached: vec![0; shape.targets as usize], ..Plight::default() },
            edition: 0,
            lives: 0,
            froze: 0,
            thawed: 0,
            kept: Vec::new(),
        }
    }

    /// Whether the kernel runs.
    pub const fn machine_runs(&self) -> bool {
        self.plight.off == 0 && self.plight.frozen == 0
    }

    /// Whether the daemon runs.
    pub const fn daemon_runs(&self) -> bool {
        self.machine_runs() && self.plight.stopped == 0 && self.daemon.is_some()
    }

    /// How long ago its daemon wanted to be called.
    pub fn late(&self, now: Nanos) -> Nanos {
        let due = self.daemon.as_ref().and_then(|daemon| daemon.machine.poll_timeout());
        due.map_or(0, |due| self.clock.since(nanos(due.elapsed()), now))
    }

    /// How long its daemon did not run altogether although it wanted to.
    pub fn absence(&self, now: Nanos) -> Nanos {
        self.daemon.as_ref().map_or(0, |daemon| daemon.absent) + self.late(now)
    }

    /// Whether it answers for the addresses of a group.
    pub fn owns(&self, group: usize, now: Nanos) -> bool {
        let words = &self.plane.words[group];
        words.owns && self.forwards(group, now)
    }

    /// Whether it forwards what comes for a group.
    pub fn forwards(&self, group: usize, now: Nanos) -> bool {
        let words = &self.plane.words[group];
        self.machine_runs() && self.plane.attached && self.clock.read(now) < words.deadline
    }

    /// Whether a frame can leave or reach it by this path.
    pub const fn is_linked(&self, path: usize) -> bool {
        path != 0 || self.plight.unlinked == 0
    }

    /// Whether a reach target could answer it.
    pub fn reaches(&self, target: usize) -> bool {
        self.plight.unlinked == 0 && self.plight.off == 0 && self.plight.unreached[target] == 0
    }

    /// What the program answers who asks for the groups of a pair. The asker knows the roles.
    pub fn reports(&self, shape: &Shape, pair: usize, asker: usize, now: Nanos) -> Vec<GroupReport> {
        let shown = self.clock.read(now);
        let groups = shape.groups.iter().enumerate().filter(|(_, group)| group.pair == pair);
        let report = |(index, group): (usize, &crate::shape::GroupShape)| {
            let words = &self.plane.words[index];
            GroupReport {
                number: number(index),
                role: if group.primary == asker { Role::Backup } else { Role::Primary },
                standing: words.standing,
                epoch: words.epoch,
                // Whole milliseconds are on the wire.
                lease: length(words.deadline.saturating_sub(shown).next_multiple_of(crate::time::MS)),
                leaving: false,
            }
        };
        groups.map(report).collect()
    }

    /// What a new daemon finds in the kernel.
    pub fn adopted(&self, shape: &Shape, index: usize, now: Nanos) -> Vec<Adopted> {
        let shown = self.clock.read(now);
        let is_of = |group: &crate::shape::GroupShape| group.primary == index || group.backup == index;
        let of_node = shape.groups.iter().zip(&self.plane.words).enumerate();
        let found =
            of_node.filter(|(_, (group, words))| self.plane.attached && is_of(group) && words.epoch > 0);
        let adopted = |(group, (_, words)): (usize, (_, &Words))| Adopted {
            group: number(group),
            lease: length(words.deadline.saturating_sub(shown)),
            epoch: words.epoch,
            standing: words.standing,
        };
        found.map(adopted).collect()
    }
}

impl<M: Machine> Daemon<M> {
    /// A daemon that has just been started.
    pub fn new(machine: M, shape: &Shape, peers: &[Peer], life: u32, now: Nanos) -> Self {
        let windows = |peer: &Peer| vec![Window::default(); shape.pairs[peer.pair].paths];
        Self {
            machine,
            life,
            started: now,
            inbox: VecDeque::new(),
            wake: Nanos::MAX,
            absent: 0,
            windows: peers.iter().map(windows).collect(),
        }
    }

    /// Whether a heartbeat is heard for the first time.
    pub fn admits(&mut self, path: PathId, session: u32, sequence: u64) -> bool {
        self.windows[path.peer][path.path].admits(session, sequence)
    }
}

impl Plane {
    /// An empty one.
    pub fn new(groups: usize) -> Self {
        Self { attached: true, words: vec![Words::NONE; groups] }
    }

    /// What the daemon writes. Returns what was there before.
    pub fn set(&mut self, group: usize, words: Words) -> Words {
        std::mem::replace(&mut self.words[group], words)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_heard_twice_and_nothing_of_an_earlier_session() {
        let mut window = Window::default();
        assert!(window.admits(1, 5) && !window.admits(1, 5));
        assert!(window.admits(1, 9) && window.admits(1, 7) && !window.admits(1, 7));
        assert!(window.admits(1, 900) && !window.admits(1, 8));
        assert!(window.admits(2, 1) && !window.admits(1, 901) && !window.admits(2, 1));
    }
}
