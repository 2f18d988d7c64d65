//! Frames between partners: heartbeats, probes and what the program answers.

use geminus_core::ha::{Beat, GroupReport, Input, PathId};

use super::{Event, World};
use crate::machine::Machine;
use crate::time::Nanos;

/// A frame on its way.
#[derive(Debug, Clone)]
pub(crate) struct Frame {
    from: usize,
    to: usize,
    /// As the receiver numbers it.
    path: PathId,
    pair: usize,
    /// Which daemon of the sender, or of the asker where it is an answer.
    life: u32,
    sent: Nanos,
    body: Body,
}

#[derive(Debug, Clone)]
enum Body {
    Beat(Beat),
    Probe(u64),
    Answer(u64, Vec<GroupReport>),
}

/// The frames on their way, by number.
#[derive(Debug, Default)]
pub(super) struct Frames {
    frames: Vec<Option<Frame>>,
    free: Vec<u32>,
}

impl Frames {
    fn put(&mut self, frame: Frame) -> u32 {
        match self.free.pop() {
            Some(number) => {
                self.frames[number as usize] = Some(frame);
                number
            }
            None => {
                self.frames.push(Some(frame));
                self.frames.len() as u32 - 1
            }
        }
    }

    fn take(&mut self, number: u32) -> Option<Frame> {
        let frame = self.frames.get_mut(number as usize)?.take();
        self.free.push(number);
        frame
    }
}

impl<M: Machine> World<M> {
    pub(super) fn send_beat(&mut self, index: usize, path: PathId, beat: Beat) {
        let life = self.nodes[index].lives;
        self.send(index, path, life, Body::Beat(beat));
    }

    pub(super) fn send_probe(&mut self, index: usize, path: PathId, probe: u64) {
        let life = self.nodes[index].lives;
        self.send(index, path, life, Body::Probe(probe));
    }

    fn send(&mut self, from: usize, path: PathId, life: u32, body: Body) {
        let Some((to, pair, at, direction)) = self.across(from, path) else { return };
        if !self.nodes[from].is_linked(path.path) {
            return;
        }
        let wire = &mut self.wires[pair][path.path][direction];
        let [first, second] = wire.carry(self.now, &mut self.random);
        let frame = Frame { from, to, path: at, pair, life, sent: self.now, body };
        if let Some(again) = second {
            let number = self.frames.put(frame.clone());
            self.queue.push(again, Event::Arrive { frame: number });
        }
        if let Some(arrives) = first {
            let number = self.frames.put(frame);
            self.queue.push(arrives, Event::Arrive { frame: number });
        }
    }

    /// A frame comes to the end of its wire.
    pub(super) fn arrive(&mut self, number: u32) {
        let Some(frame) = self.frames.frames.get(number as usize).and_then(Option::as_ref) else { return };
        let node = &mut self.nodes[frame.to];
        if node.plight.off == 0 && node.plight.frozen > 0 && node.plight.keeps > 0 {
            node.kept.push(number);
            return;
        }
        let heard = node.machine_runs() && node.plane.attached && node.is_linked(frame.path.path);
        let Some(frame) = self.frames.take(number).filter(|_| heard) else { return };
        self.hear(frame);
    }

    fn hear(&mut self, frame: Frame) {
        let Frame { from, to, path, pair, life, sent, body } = frame;
        let now = self.now;
        match body {
            Body::Probe(probe) => {
                let reports = self.nodes[to].reports(&self.shape, pair, from, now);
                self.send(to, path, life, Body::Answer(probe, reports));
            }
            Body::Answer(probe, reports) => {
                let arrived = self.arrived_at(to);
                if self.nodes[to].daemon.as_ref().is_some_and(|daemon| daemon.life == life) {
                    self.heard_from(to, path.peer, None);
                    self.give(to, Input::Answer { path, arrived, probe, reports });
                }
            }
            Body::Beat(beat) => {
                let arrived = self.arrived_at(to);
                let daemon = self.nodes[to].daemon.as_mut();
                if daemon.is_some_and(|daemon| daemon.admits(path, life, beat.sequence)) {
                    self.heard_from(to, path.peer, Some((sent, &beat)));
                    self.give(to, Input::Beat { session: u64::from(life), path, arrived, beat });
                }
            }
        }
    }
}
