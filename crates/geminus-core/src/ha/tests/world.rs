//! Two nodes, a perfect wire that can be cut, and a clock that only the tests move.

use std::time::Duration;

use super::super::*;
use crate::model::Timers;

pub(super) const DELAY: Duration = Duration::from_micros(200);
pub(super) const TICK: Duration = Duration::from_millis(1);

/// One node of the harness: machine, data plane, and what came out.
pub(super) struct Node {
    pub(super) ha: Option<Ha>,
    /// Whether the machine (program and all) is there.
    pub(super) powered: bool,
    pub(super) stopped: bool,
    pub(super) session: u64,
    pub(super) plane: Plane,
    pub(super) told: Vec<(u64, HaEvent)>,
    pub(super) announced: Vec<u64>,
    pub(super) left: bool,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Plane {
    pub(super) until: Instant,
    pub(super) owns: bool,
    pub(super) standing: Standing,
    pub(super) epoch: u64,
}

pub(super) struct World {
    pub(super) now: Instant,
    pub(super) nodes: [Node; 2],
    pub(super) wire: Vec<(Instant, usize, Input)>,
    /// By sender and path.
    pub(super) cut: [[bool; 2]; 2],
    pub(super) config: [Config; 2],
}

pub(super) const NAMES: [&str; 2] = ["alpha", "beta"];

pub(super) fn config(node: usize) -> Config {
    Config {
        node: NAMES[node].into(),
        peers: vec![PeerConfig { name: NAMES[1 - node].into(), paths: 2 }],
        groups: vec![GroupConfig {
            number: 1,
            role: if node == 0 { Role::Primary } else { Role::Backup },
            peer: 0,
            name: "shop".into(),
        }],
        timers: Timers::DEFAULT,
        lease: Duration::from_secs(5),
        recovery: Recovery::Auto,
        stable: Duration::from_secs(2),
        alone_after: Duration::from_secs(40),
        reach_targets: 0,
        digest: 7,
    }
}

impl World {
    pub(super) fn new(change: impl Fn(&mut Config)) -> Self {
        let config = [0, 1].map(|node| {
            let mut config = config(node);
            change(&mut config);
            config
        });
        let node = |_| Node {
            ha: None,
            powered: true,
            stopped: false,
            session: 0,
            plane: Plane { until: Instant::START, owns: false, standing: Standing::Standby, epoch: 0 },
            told: Vec::new(),
            announced: Vec::new(),
            left: false,
        };
        Self {
            now: Instant::from_start(Duration::from_secs(1)),
            nodes: [0, 1].map(node),
            wire: Vec::new(),
            cut: [[false; 2]; 2],
            config,
        }
    }

    /// Both started and settled: alpha is active, replication complete.
    pub(super) fn settled() -> Self {
        Self::settled_with(|_| ())
    }

    pub(super) fn settled_with(change: impl Fn(&mut Config)) -> Self {
        let mut world = Self::new(change);
        world.start(0);
        world.start(1);
        world.run(1_000);
        assert_eq!(world.active(), [true, false]);
        world.tell(0, Input::Sync { peer: 0, sync: SyncView::Complete });
        world.tell(1, Input::Sync { peer: 0, sync: SyncView::Complete });
        world.run(200);
        world.nodes.iter_mut().for_each(|node| node.told.clear());
        world
    }

    /// Starts the daemon of a node, over whatever its data plane says.
    pub(super) fn start(&mut self, node: usize) {
        let of = &mut self.nodes[node];
        let adopted = Adopted {
            group: 1,
            lease: of.plane.until.since(self.now),
            epoch: of.plane.epoch,
            standing: of.plane.standing,
        };
        of.session += 1;
        (of.powered, of.stopped, of.left) = (true, false, false);
        let mut ha = Ha::new(self.config[node].clone(), &[adopted], self.now);
        ha.handle(Input::Fit { link: true, warm: true }, self.now);
        of.ha = Some(ha);
        self.carry_out(node);
    }

    pub(super) fn kill(&mut self, node: usize) {
        self.nodes[node].ha = None;
    }

    pub(super) fn power_off(&mut self, node: usize) {
        self.nodes[node].powered = false;
        self.nodes[node].ha = None;
        self.nodes[node].plane.until = Instant::START;
    }

    pub(super) fn tell(&mut self, node: usize, input: Input) {
        let now = self.now;
        self.nodes[node].ha.as_mut().expect("it runs").handle(input, now);
        self.carry_out(node);
    }

    pub(super) fn cut_all(&mut self, cut: bool) {
        self.cut = [[cut; 2]; 2];
    }

    pub(super) fn run(&mut self, ms: u64) {
        for _ in 0..ms {
            self.now += TICK;
            for node in 0..2 {
                if self.nodes[node].ha.is_none() || self.nodes[node].stopped {
                    continue;
                }
                let (mine, rest) = std::mem::take(&mut self.wire)
                    .into_iter()
                    .partition::<Vec<_>, _>(|(when, to, _)| *to == node && *when <= self.now);
                self.wire = rest;
                let now = self.now;
                let ha = self.nodes[node].ha.as_mut().expect("it runs");
                for (_, _, input) in mine {
                    ha.handle(input, now);
                }
                if ha.poll_timeout().is_some_and(|due| due <= now) {
                    ha.handle_timeout(now);
                }
                self.carry_out(node);
            }
        }
    }

    pub(super) fn carry_out(&mut self, node: usize) {
        let now = self.now;
        while let Some(effect) = self.nodes[node].ha.as_mut().and_then(Ha::poll_effect) {
            let other = 1 - node;
            match effect {
                Effect::Send { path, beat } => {
                    if !self.cut[node][path.path] && self.nodes[other].powered && self.nodes[node].powered {
                        let session = self.nodes[node].session;
                        let arrived = now + DELAY;
                        let path = PathId { peer: 0, path: path.path };
                        self.wire.push((arrived, other, Input::Beat { session, path, arrived, beat }));
                    }
                }
                Effect::Probe { path, probe } => {
                    let way = path.path;
                    if self.cut[node][way] || self.cut[other][way] || !self.nodes[other].powered {
                        continue;
                    }
                    let (there, arrived) = (now + DELAY, now + DELAY + DELAY);
                    let plane = self.nodes[other].plane;
                    let role = self.config[other].groups[0].role;
                    let report = GroupReport {
                        number: 1,
                        role,
                        standing: plane.standing,
                        epoch: plane.epoch,
                        lease: if plane.owns { plane.until.since(there) } else { Duration::ZERO },
                        leaving: false,
                    };
                    self.wire.push((
                        arrived,
                        node,
                        Input::Answer { path, arrived, probe, reports: vec![report] },
                    ));
                }
                Effect::Set { lease, owns, standing, epoch, .. } => {
                    assert!(epoch >= self.nodes[node].plane.epoch, "an epoch never goes back");
                    self.nodes[node].plane = Plane { until: now + lease, owns, standing, epoch };
                }
                Effect::Own { groups, .. } => {
                    if !groups.is_empty() {
                        self.nodes[node].announced.push(now.elapsed().as_millis() as u64);
                    }
                }
                Effect::Tell(event) => {
                    self.nodes[node].told.push((now.elapsed().as_millis() as u64, event));
                }
                Effect::Left => self.nodes[node].left = true,
                Effect::ProbeReach => {}
            }
        }
    }

    /// Who owns the addresses.
    pub(super) fn active(&self) -> [bool; 2] {
        [0, 1].map(|node| {
            let of = &self.nodes[node];
            of.powered && of.plane.owns && self.now < of.plane.until
        })
    }

    /// Runs until that node owns the addresses; how long that took.
    pub(super) fn until_active(&mut self, node: usize, most: u64) -> u64 {
        for ms in 0..most {
            if self.active()[node] {
                return ms;
            }
            self.run(1);
        }
        panic!("{} is not active after {most} ms: {:?}", NAMES[node], self.nodes[node].told)
    }

    pub(super) fn changes(&self, node: usize) -> Vec<(Standing, Standing)> {
        let change = |(_, event): &(u64, HaEvent)| match event {
            HaEvent::Changed { from, to, .. } => Some((*from, *to)),
            _ => None,
        };
        self.nodes[node].told.iter().filter_map(change).collect()
    }
}
