//! What happens: requests come and are answered, checks are made, agents report, the manager has its cycles.

use std::collections::HashMap;

use super::Figures;
use super::dispatcher::{ACK, Dispatcher, FIN, Heard, SYN};
use super::host::{Host, Job, LOOK};
use super::scene::{Scene, Way};
use crate::queue::Queue;
use crate::random::Random;
use crate::time::{MS, Nanos, SECOND, nanos};

/// What a usual host works on a request, on average; how long is exponentially distributed.
const WORK: Nanos = 20 * MS;
/// What it works on a check.
const CHECK: Nanos = 2 * MS;
/// Time between two checks of a host.
const CHECKING: Nanos = 500 * MS;
/// A check that took longer has failed, and says nothing of how long it takes.
const TIMEOUT: Nanos = SECOND;
/// The latency follows one check by one part of so many, as health has it.
const LATENCY_WEIGHT: Nanos = 4;
/// What a request takes on the network, both ways.
const WAY: Nanos = MS / 5;

#[derive(Debug, Clone, Copy)]
enum Event {
    /// A client comes.
    Come,
    /// A worker of a host is done with a job.
    Done { host: usize, job: Job },
    /// A host is checked.
    Check { host: usize },
    /// An agent looks at its host.
    Look { host: usize },
    /// Its report comes.
    Heard { host: usize, load: u16 },
    /// A cycle of the manager's.
    Cycle,
    /// A host becomes slower.
    Turn { host: usize, slowness: u32 },
    /// From now on it counts.
    Settled,
}

/// A scene in motion.
pub(super) struct Story<'a> {
    scene: &'a Scene,
    random: Random,
    lots: Random,
    queue: Queue<Event>,
    dispatcher: Dispatcher,
    hosts: Vec<Host>,
    heard: Vec<Heard>,
    next_flow: u32,
    /// Which host has a flow and since when, from its first segment to its last.
    flows: HashMap<u32, (usize, Nanos)>,
    counts_from: Nanos,
    worked_before: Vec<f64>,
    answered: Vec<Nanos>,
    weights: Vec<Vec<f64>>,
    strayed: u64,
}

impl<'a> Story<'a> {
    pub(super) fn new(scene: &'a Scene, way: Way, seed: u64) -> Self {
        let random = Random::new(seed);
        let mut story = Self {
            scene,
            lots: random.fork(1),
            random,
            queue: Queue::new(),
            dispatcher: Dispatcher::new(scene, way),
            hosts: scene.hosts.iter().map(|&power| Host::new(power)).collect(),
            heard: vec![Heard::default(); scene.hosts.len()],
            next_flow: 0,
            flows: HashMap::new(),
            counts_from: scene.settling * SECOND,
            worked_before: vec![0.0; scene.hosts.len()],
            answered: Vec::new(),
            weights: Vec::new(),
            strayed: 0,
        };
        story.schedule();
        story
    }

    fn schedule(&mut self) {
        self.queue.push(0, Event::Come);
        self.queue.push(nanos(self.scene.manager.interval), Event::Cycle);
        self.queue.push(self.counts_from, Event::Settled);
        if let Some(turn) = self.scene.turn {
            self.queue.push(turn.at * SECOND, Event::Turn { host: turn.host, slowness: turn.slowness });
        }
        for host in 0..self.hosts.len() {
            // Nobody looks at all hosts at the same moment.
            let part = host as u64 * 97 % 100;
            self.queue.push(CHECKING * part / 100, Event::Check { host });
            self.queue.push(LOOK * part / 100, Event::Look { host });
        }
    }

    /// To its end.
    pub(super) fn tell(mut self) -> Figures {
        let end = (self.scene.settling + self.scene.counted) * SECOND;
        while let Some((now, event)) = self.queue.pop()
            && now <= end
        {
            self.happen(event, now);
        }
        // Who still waits has waited so long at least: to leave them out would flatter the slowest host.
        let waiting = self.flows.values().filter(|(_, came)| *came >= self.counts_from);
        self.answered.extend(waiting.map(|(_, came)| end - came));
        let mut worked = self.all_worked(end);
        for (worked, before) in worked.iter_mut().zip(&self.worked_before) {
            *worked = (*worked - before) / (end - self.counts_from) as f64;
        }
        Figures::new(self.answered, worked, self.weights, self.strayed)
    }

    fn happen(&mut self, event: Event, now: Nanos) {
        match event {
            Event::Come => self.come(now),
            Event::Done { host, job } => self.done(host, job, now),
            Event::Check { host } => {
                self.give(host, Job { flow: None, came: now, work: CHECK }, now);
                self.queue.push(now + CHECKING, Event::Check { host });
            }
            Event::Look { host } => self.look(host, now),
            Event::Heard { host, load } => self.heard[host].load = Some(load),
            Event::Cycle => {
                if let Some(weights) = self.dispatcher.cycle(&self.heard, now)
                    && now >= self.counts_from
                {
                    self.weights.push(weights);
                }
                self.heard.iter_mut().for_each(|heard| heard.load = None);
                self.queue.push(now + nanos(self.scene.manager.interval), Event::Cycle);
            }
            Event::Turn { host, slowness } => self.hosts[host].turn(slowness),
            Event::Settled => self.worked_before = self.all_worked(now),
        }
    }

    fn come(&mut self, now: Nanos) {
        let can: u32 = self.scene.hosts.iter().map(|power| power.thousandths()).sum();
        let per_second = f64::from(can) / 1000.0 * SECOND as f64 / WORK as f64;
        let apart = SECOND as f64 / (per_second * f64::from(self.scene.asked) / 100.0);
        self.queue.push(now + exponential(&mut self.random, apart), Event::Come);
        let work = exponential(&mut self.random, WORK as f64);
        let flow = self.next_flow;
        self.next_flow += 1;
        let chosen = self.dispatcher.forward(flow, SYN, now);
        let confirmed = self.dispatcher.forward(flow, ACK, now);
        match chosen {
            Some(host) if confirmed == chosen => {
                self.flows.insert(flow, (host, now));
                self.give(host, Job { flow: Some(flow), came: now, work }, now);
            }
            _ => self.strayed += 1,
        }
    }

    fn give(&mut self, host: usize, job: Job, now: Nanos) {
        if let Some(length) = self.hosts[host].take(job, now) {
            self.queue.push(now + length, Event::Done { host, job });
        }
    }

    fn done(&mut self, host: usize, job: Job, now: Nanos) {
        let took = now - job.came + WAY;
        match job.flow {
            Some(flow) => {
                let host = self.flows.remove(&flow).map(|(host, _)| host);
                if self.dispatcher.forward(flow, FIN, now) != host {
                    self.strayed += 1;
                }
                if job.came >= self.counts_from {
                    self.answered.push(took);
                }
            }
            None if took <= TIMEOUT => {
                let latency = &mut self.heard[host].latency;
                *latency = Some(
                    latency.map_or(took, |before| (before * (LATENCY_WEIGHT - 1) + took) / LATENCY_WEIGHT),
                );
            }
            None => {}
        }
        if let Some((job, length)) = self.hosts[host].finish(now) {
            self.queue.push(now + length, Event::Done { host, job });
        }
    }

    fn look(&mut self, host: usize, now: Nanos) {
        let load = self.hosts[host].look(now);
        let load = self.scene.liar.filter(|liar| liar.host == host).map_or(load, |liar| liar.load);
        let road = self.scene.road;
        let is_lost = self.lots.below(100) < u64::from(road.lost);
        if host >= road.mute && !is_lost {
            let late = nanos(self.scene.manager.interval) * u64::from(road.late);
            self.queue.push(now + WAY + late, Event::Heard { host, load });
        }
        self.queue.push(now + LOOK, Event::Look { host });
    }

    fn all_worked(&mut self, now: Nanos) -> Vec<f64> {
        self.hosts.iter_mut().map(|host| host.worked(now)).collect()
    }
}

/// A time of this mean, as between things that have nothing to do with each other.
fn exponential(random: &mut Random, mean: f64) -> Nanos {
    // Above 0 and at most 1, 53 bits of it.
    let part = ((random.next() >> 11) + 1) as f64 / (1_u64 << 53) as f64;
    (-part.ln() * mean) as Nanos
}
