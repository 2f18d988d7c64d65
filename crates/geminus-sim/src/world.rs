//! A whole site in one thread: events in the order of virtual time, and what they do.

mod faults;
mod frames;

use geminus_core::ha::{Effect, HaEvent, Input, PathId, SyncView};

use crate::clients::Clients;
use crate::laws::Laws;
use crate::machine::Machine;
use crate::nemesis::Fault;
use crate::node::{Daemon, Node, Plane, Words};
use crate::queue::Queue;
use crate::random::Random;
use crate::shape::{Shape, name};
use crate::time::{Clock, MS, Nanos, SECOND, instant, nanos};
use crate::wire::Wire;

/// How often replication looks for what is new, and laws that watch the time are looked at.
pub const TICK: Nanos = 20 * MS;

/// How often reach targets are asked, at least.
const ASKING: Nanos = 200 * MS;

/// Calls of one wake-up before the machine is said to spin: far more than a wake-up has reasons.
const RESTLESS: u32 = 200;

/// What happens.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Event {
    /// A daemon wakes up.
    Wake { node: usize, life: u32 },
    /// A frame comes to the end of its wire.
    Arrive { frame: u32 },
    /// A fault begins.
    Begin { fault: u32 },
    /// A fault ends.
    End { fault: u32 },
    /// A node is started for the first time.
    Start { node: usize },
    /// A node asks its reach targets, as it does from time to time.
    AskTargets { node: usize },
    /// A reach target's answer comes.
    Reached { node: usize, target: u32 },
    /// A daemon learns what its interface and its servers are like.
    Learn { node: usize },
    /// See [`TICK`].
    Tick,
}

/// A site in motion.
#[derive(Debug)]
pub struct World<M> {
    /// What time it is.
    pub now: Nanos,
    /// What the site looks like.
    pub shape: Shape,
    /// Its dispatchers.
    pub nodes: Vec<Node<M>>,
    /// By pair, path and direction.
    pub(crate) wires: Vec<Vec<[Wire; 2]>>,
    /// What replication has come to, by pair.
    pub(crate) replicas: Vec<Replica>,
    /// Clients and servers.
    pub(crate) clients: Clients,
    /// What must hold.
    pub(crate) laws: Laws,
    /// What goes wrong.
    pub(crate) faults: Vec<Fault>,
    /// When the last fault is over.
    pub(crate) peace: Nanos,
    queue: Queue<Event>,
    random: Random,
    frames: frames::Frames,
    trace: Option<Vec<String>>,
}

/// What replication between two partners has come to.
#[derive(Debug, Clone)]
pub(crate) struct Replica {
    pub(crate) sync: SyncView,
    /// Sessions of the two daemons.
    lives: [u32; 2],
    /// When the copy of everything is done.
    done: Nanos,
    /// Since when nothing came through.
    stalled: Option<Nanos>,
}

impl<M: Machine> World<M> {
    /// A site before anybody was started. `traced`: what happens is written down.
    pub fn new(
        shape: Shape,
        faults: Vec<Fault>,
        peace: Nanos,
        clients: Clients,
        random: Random,
        traced: bool,
    ) -> Self {
        let nodes = (0..shape.nodes.len()).map(|index| Node::new(&shape, index, 0)).collect();
        let [delay, jitter] = shape.delay;
        let path = |_| [Wire::new(delay, jitter), Wire::new(delay, jitter)];
        let wires = shape.pairs.iter().map(|pair| (0..pair.paths).map(path).collect()).collect();
        let replica = Replica { sync: SyncView::Down, lives: [0; 2], done: 0, stalled: None };
        let mut world = Self {
            now: 0,
            nodes,
            wires,
            replicas: vec![replica; shape.pairs.len()],
            clients,
            laws: Laws::new(&shape),
            peace,
            queue: Queue::new(),
            random,
            frames: frames::Frames::default(),
            trace: traced.then(Vec::new),
            faults,
            shape,
        };
        world.schedule();
        world
    }

    fn schedule(&mut self) {
        for (fault, Fault { at, until, .. }) in (0..).zip(&self.faults) {
            self.queue.push(*at, Event::Begin { fault });
            self.queue.push(*until, Event::End { fault });
        }
        for node in 0..self.nodes.len() {
            let starts = self.shape.nodes[node].starts;
            self.queue.push(starts, Event::Start { node });
            self.queue.push(starts + MS, Event::AskTargets { node });
        }
        self.queue.push(TICK, Event::Tick);
    }

    /// Lets everything happen until that time, or until a law is broken.
    pub fn run(&mut self, until: Nanos) {
        while self.laws.broken.is_none()
            && let Some((at, event)) = self.queue.pop()
            && at <= until
        {
            self.now = at;
            self.happen(event);
            self.watch();
        }
    }

    /// How many events there were.
    pub const fn events(&self) -> u64 {
        self.queue.count()
    }

    /// What was written down.
    pub fn take_trace(&mut self) -> Vec<String> {
        self.trace.take().unwrap_or_default()
    }

    /// Writes down.
    pub(crate) fn note(&mut self, line: impl FnOnce() -> String) {
        if let Some(lines) = &mut self.trace {
            lines.push(format!("{:10.4}  {}", self.now as f64 / SECOND as f64, line()));
        }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Wake { node, life } => {
                let now = self.now;
                if let Some(daemon) = &mut self.nodes[node].daemon
                    && daemon.life == life
                    && daemon.wake <= now
                {
                    daemon.wake = Nanos::MAX;
                    self.wake(node);
                }
            }
            Event::Arrive { frame } => self.arrive(frame),
            Event::Begin { fault } => self.begin(fault),
            Event::End { fault } => self.end(fault),
            Event::Start { node } => self.start_daemon(node),
            Event::AskTargets { node } => {
                self.ask_targets(node);
                let often = (4 * nanos(self.shape.timers.heartbeat)).min(ASKING);
                self.queue.push(self.now + often, Event::AskTargets { node });
            }
            Event::Reached { node, target } => self.reached(node, target),
            Event::Learn { node } => self.learn(node),
            Event::Tick => {
                self.replicate();
                self.talk_to_servers();
                self.queue.push(self.now + TICK, Event::Tick);
            }
        }
    }

    /// Starts a daemon if nothing stands against it and none runs.
    pub(crate) fn start_daemon(&mut self, index: usize) {
        let now = self.now;
        let node = &mut self.nodes[index];
        let started = now >= self.shape.nodes[index].starts;
        if !started || node.daemon.is_some() || node.plight.off > 0 || node.plight.down > 0 {
            return;
        }
        node.lives += 1;
        node.plane.attached = true;
        let adopted = node.adopted(&self.shape, index, now);
        let resumes = adopted.iter().any(|words| !words.lease.is_zero());
        let config = self.shape.config(index, node.edition);
        let machine = M::start(config, &adopted, instant(node.clock.read(now)));
        node.daemon = Some(Daemon::new(machine, &self.shape, &node.peers, node.lives, now));
        self.note(|| format!("{} starts{}", name(index), if resumes { ", adopting" } else { "" }));
        self.laws.daemon_started(index, now);
        let learns = now + self.random.below(2 * MS);
        self.queue.push(learns, Event::Learn { node: index });
        self.call(index, now);
    }

    /// The daemon wants to run at that time, and does so when it is let.
    pub(crate) fn call(&mut self, index: usize, at: Nanos) {
        let (now, random) = (self.now, &mut self.random);
        let node = &mut self.nodes[index];
        let late = node.plight.starved.worst().map_or(0, |most| random.below(most));
        let Some(daemon) = &mut node.daemon else { return };
        let at = at.max(now) + late;
        if at < daemon.wake {
            daemon.wake = at;
            self.queue.push(at, Event::Wake { node: index, life: daemon.life });
        }
    }

    /// A daemon has reason to run: at once, unless it is starved.
    fn nudge(&mut self, index: usize) {
        let now = self.now;
        let node = &mut self.nodes[index];
        if node.plight.starved.worst().is_some() {
            self.call(index, now);
        } else {
            self.wake(index);
        }
    }

    /// Something for a daemon to look at, if there is one.
    pub(crate) fn give(&mut self, index: usize, input: Input) {
        if let Some(daemon) = &mut self.nodes[index].daemon {
            daemon.inbox.push_back(input);
            self.nudge(index);
        }
    }

    /// The daemon runs, if it can: what it heard first, then what the clock says.
    pub(crate) fn wake(&mut self, index: usize) {
        let now = self.now;
        let heartbeat = nanos(self.shape.timers.heartbeat);
        let node = &mut self.nodes[index];
        let (runs, local) = (node.daemon_runs(), node.clock.read(now));
        if !runs {
            return;
        }
        let late = node.late(now);
        // The machine's patience is by its own clock; where the two readings differ it gets the benefit.
        if late > heartbeat * 103 / 100 {
            if let Some(daemon) = &mut node.daemon {
                daemon.absent += late;
            }
            self.daemon_was_away(index, late);
        }
        while let Some(daemon) = &mut self.nodes[index].daemon
            && let Some(input) = daemon.inbox.pop_front()
        {
            daemon.machine.handle(input, instant(local));
            self.carry_out(index);
        }
        let mut calls = 0;
        while let Some(daemon) = &mut self.nodes[index].daemon
            && daemon.machine.poll_timeout().is_some_and(|due| due <= instant(local))
        {
            daemon.machine.handle_timeout(instant(local));
            self.carry_out(index);
            calls += 1;
            if calls > RESTLESS {
                return self.the_machine_comes_to_rest(index);
            }
        }
        let node = &self.nodes[index];
        if let Some(daemon) = &node.daemon
            && let Some(due) = daemon.machine.poll_timeout()
        {
            let at = node.clock.when(nanos(due.elapsed()), now);
            self.call(index, at);
        }
    }

    fn carry_out(&mut self, index: usize) {
        while let Some(daemon) = &mut self.nodes[index].daemon
            && let Some(effect) = daemon.machine.poll_effect()
        {
            self.effect(index, effect);
        }
    }

    fn effect(&mut self, index: usize, effect: Effect) {
        let now = self.now;
        match effect {
            Effect::Send { path, beat } => {
                if beat.asks {
                    self.laws.daemon_asked(index, now);
                }
                self.send_beat(index, path, beat);
            }
            Effect::Probe { path, probe } => {
                self.laws.daemon_asked(index, now);
                self.send_probe(index, path, probe);
            }
            Effect::ProbeReach => self.ask_targets(index),
            Effect::Set { group, lease, owns, standing, epoch } => {
                let group = usize::from(group) - 1;
                let node = &mut self.nodes[index];
                let deadline = if lease.is_zero() { 0 } else { node.clock.read(now) + nanos(lease) };
                let after = Words { deadline, owns, standing, epoch };
                let owned = node.owns(group, now);
                let before = node.plane.set(group, after);
                if (before.owns, before.standing, before.epoch) != (owns, standing, epoch) {
                    self.note(|| {
                        let owns = if owns { "owns" } else { "does not own" };
                        let (name, group) = (name(index), group + 1);
                        format!("{name} {owns} group {group}: {standing:?}, epoch {epoch}, lease {lease:?}")
                    });
                }
                self.plane_was_written(index, group, &before, &after, owned);
            }
            Effect::Own { groups, again } => {
                self.note(|| format!("{} announces {groups:?}, again {again:?}", name(index)));
                self.no_announcement_before_the_partner_was_asked(index, &groups, again);
            }
            Effect::Tell(event) => self.told(index, &event),
            Effect::Left => {
                self.note(|| format!("{} has left", name(index)));
                self.nodes[index].daemon = None;
            }
        }
    }

    fn told(&mut self, index: usize, event: &HaEvent) {
        self.note(|| format!("{} tells {event:?}", name(index)));
        if let HaEvent::Changed { group, from, to, cause, epoch, .. } = event {
            self.changed(index, usize::from(*group) - 1, [*from, *to], cause, *epoch);
        }
    }

    /// What the node itself can see: its interface and its servers.
    fn learn(&mut self, index: usize) {
        let plight = &self.nodes[index].plight;
        let input = Input::Fit { link: plight.unlinked == 0, warm: plight.cold == 0 };
        self.give(index, input);
    }

    fn ask_targets(&mut self, index: usize) {
        let node = &self.nodes[index];
        if !node.daemon_runs() || node.plight.unlinked > 0 {
            return;
        }
        for target in 0..node.plight.unreached.len() {
            if self.nodes[index].plight.unreached[target] == 0 {
                let at = self.now + self.random.between(MS / 10, MS);
                self.queue.push(at, Event::Reached { node: index, target: target as u32 });
            }
        }
    }

    fn reached(&mut self, index: usize, target: u32) {
        let node = &self.nodes[index];
        if node.machine_runs() && node.plight.unlinked == 0 {
            self.laws.target_answered(index, self.now);
            let arrived = instant(node.clock.read(self.now));
            self.give(index, Input::Reached { target, arrived });
        }
    }

    /// Whether a frame could go both ways between two partners right now, loss aside.
    pub(crate) fn connected(&self, pair: usize) -> bool {
        let [a, b] = self.shape.pairs[pair].nodes;
        let both = |path: usize| self.nodes[a].is_linked(path) && self.nodes[b].is_linked(path);
        let passes =
            |(path, wires): (usize, &[Wire; 2])| both(path) && wires.iter().all(|wire| wire.cuts == 0);
        self.wires[pair].iter().enumerate().any(passes)
    }

    /// Replication: connected, copied, complete; and flows that go over.
    fn replicate(&mut self) {
        let patience = 4 * nanos(self.shape.timers.heartbeat);
        for pair in 0..self.replicas.len() {
            let nodes = self.shape.pairs[pair].nodes;
            let lives = nodes.map(|node| self.nodes[node].daemon.as_ref().map_or(0, |daemon| daemon.life));
            let runs = nodes.iter().all(|&node| self.nodes[node].daemon_runs()) && self.connected(pair);
            let now = self.now;
            let replica = &mut self.replicas[pair];
            let before = replica.sync;
            if lives != replica.lives {
                (replica.lives, replica.sync, replica.stalled) = (lives, SyncView::Down, None);
            }
            if runs {
                replica.stalled = None;
                match replica.sync {
                    SyncView::Down => {
                        replica.sync = SyncView::Copying(0);
                        replica.done = now + self.shape.copying;
                    }
                    SyncView::Copying(_) if now >= replica.done => replica.sync = SyncView::Complete,
                    SyncView::Copying(_) | SyncView::Complete => {}
                }
            } else if now - *replica.stalled.get_or_insert(now) > patience {
                replica.sync = SyncView::Down;
            }
            let sync = replica.sync;
            if runs && sync == SyncView::Complete {
                self.clients.replicate(nodes, now);
            }
            if sync != before {
                self.note(|| format!("{} and {}: {sync:?}", name(nodes[0]), name(nodes[1])));
                for node in nodes {
                    let peer = self.nodes[node].peers.iter().position(|peer| peer.pair == pair);
                    if let Some(peer) = peer {
                        self.give(node, Input::Sync { peer, sync });
                    }
                }
            }
        }
    }

    /// The clock of a node that was without power begins anew, and its tables are empty.
    pub(crate) fn power_on(&mut self, index: usize) {
        let shown = self.random.below(1 << 30);
        let node = &mut self.nodes[index];
        node.clock = Clock::new(self.now, shown, self.shape.nodes[index].gain);
        node.plane = Plane::new(self.shape.groups.len());
        self.clients.forget(index);
    }

    /// Whose turn it is at the other end of a path, and which direction leads there.
    pub(crate) fn across(&self, index: usize, path: PathId) -> Option<(usize, usize, PathId, usize)> {
        let peer = self.nodes[index].peers.get(path.peer)?;
        let direction = usize::from(self.shape.pairs[peer.pair].nodes[1] == index);
        Some((peer.node, peer.pair, PathId { peer: peer.back, path: path.path }, direction))
    }

    pub(crate) fn arrived_at(&self, index: usize) -> geminus_core::ha::Instant {
        instant(self.nodes[index].clock.read(self.now))
    }

    /// How long a schedule goes on after the last fault: until the site must have settled and a returned primary may
    /// have taken over again.
    pub fn settling(shape: &Shape) -> Nanos {
        crate::laws::settled_within(shape) + nanos(shape.stable) + shape.copying + 2 * shape.detection()
    }
}
