//! What a fault does when it begins, and what is undone when it ends.

use geminus_core::ha::Input;

use super::{Event, World};
use crate::machine::Machine;
use crate::nemesis::{Fault, Kind};
use crate::shape::{name, number as number_of};
use crate::time::MS;

/// The longest that a change of the carrier takes to be known: netlink's notice, with room.
const NOTICE: u64 = 5 * MS;

impl<M: Machine> World<M> {
    /// A fault begins.
    pub(super) fn begin(&mut self, number: u32) {
        let Fault { kind, .. } = self.faults[number as usize].clone();
        self.note(|| format!("---- {kind:?} begins"));
        self.fault_began(number);
        match kind {
            Kind::StopDaemon { node } => self.nodes[node].plight.stopped += 1,
            Kind::KillDaemon { node } => self.kill(node),
            Kind::KillWithPlane { node } => {
                self.kill(node);
                self.nodes[node].plane = crate::node::Plane::new(self.shape.groups.len());
                self.nodes[node].plane.attached = false;
                self.clients.forget(node);
            }
            Kind::EndDaemon { node } => self.leave(node, false),
            Kind::Upgrade { node } => self.leave(node, true),
            Kind::PowerOff { node } => {
                self.kill(node);
                self.nodes[node].plight.off += 1;
            }
            Kind::Freeze { node, keeps } => {
                let now = self.now;
                let node = &mut self.nodes[node];
                if node.plight.frozen == 0 {
                    node.froze = now;
                }
                node.plight.frozen += 1;
                node.plight.keeps += u32::from(keeps);
                node.clock.stop(now);
            }
            Kind::Isolate { node } => {
                self.nodes[node].plight.stopped += 1;
                self.cut_off(node, true);
            }
            Kind::Starve { node, late } => self.nodes[node].plight.starved.begin(number, late),
            Kind::Unlink { node } => {
                self.nodes[node].plight.unlinked += 1;
                self.notice(node);
            }
            Kind::Cold { node } => {
                self.nodes[node].plight.cold += 1;
                self.notice(node);
            }
            Kind::Unreach { node, target } => self.nodes[node].plight.unreached[target] += 1,
            Kind::CutOneWay { pair, path, from } => self.wires[pair][path][from].cuts += 1,
            Kind::CutPath { pair, path } => self.wires[pair][path].iter_mut().for_each(|wire| wire.cuts += 1),
            Kind::CutAll { pair } => self.wires[pair].iter_mut().flatten().for_each(|wire| wire.cuts += 1),
            Kind::Lose { pair, path, often } => {
                self.wires[pair][path].iter_mut().for_each(|wire| wire.loss.begin(number, often));
            }
            Kind::LoseAll { pair, often } => {
                self.wires[pair].iter_mut().flatten().for_each(|wire| wire.loss.begin(number, often));
            }
            Kind::Burst { pair, path, length } => {
                self.wires[pair][path].iter_mut().for_each(|wire| wire.bursts.begin(number, length));
            }
            Kind::Hold { pair, path, most } => {
                self.wires[pair][path].iter_mut().for_each(|wire| wire.held.begin(number, most));
            }
            Kind::Repeat { pair, path, often } => {
                self.wires[pair][path].iter_mut().for_each(|wire| wire.twice.begin(number, often));
            }
            Kind::Order { node, group, force } => {
                self.give(node, Input::Takeover { group: number_of(group), force });
            }
            Kind::Reload { pair, edition } => {
                let [node, _] = self.shape.pairs[pair].nodes;
                self.reload(node, edition);
            }
        }
    }

    /// A fault ends.
    pub(super) fn end(&mut self, number: u32) {
        let Fault { kind, .. } = self.faults[number as usize].clone();
        self.note(|| format!("---- {kind:?} ends"));
        match kind {
            Kind::StopDaemon { node } => {
                self.nodes[node].plight.stopped -= 1;
                self.wake(node);
            }
            Kind::KillDaemon { node }
            | Kind::KillWithPlane { node }
            | Kind::EndDaemon { node }
            | Kind::Upgrade { node } => {
                self.nodes[node].plight.down -= 1;
                if self.nodes[node].plight.down == 0 {
                    self.finish(node);
                    self.start_daemon(node);
                }
            }
            Kind::PowerOff { node } => {
                self.nodes[node].plight.off -= 1;
                self.nodes[node].plight.down -= 1;
                if self.nodes[node].plight.off == 0 {
                    self.power_on(node);
                    if self.nodes[node].plight.frozen > 0 {
                        self.nodes[node].clock.stop(self.now);
                    }
                }
                self.start_daemon(node);
            }
            Kind::Freeze { node, keeps } => self.thaw(node, keeps),
            Kind::Isolate { node } => {
                self.nodes[node].plight.stopped -= 1;
                self.cut_off(node, false);
                self.wake(node);
            }
            Kind::Starve { node, .. } => self.nodes[node].plight.starved.end(number),
            Kind::Unlink { node } => {
                self.nodes[node].plight.unlinked -= 1;
                self.notice(node);
            }
            Kind::Cold { node } => {
                self.nodes[node].plight.cold -= 1;
                self.notice(node);
            }
            Kind::Unreach { node, target } => self.nodes[node].plight.unreached[target] -= 1,
            Kind::CutOneWay { pair, path, from } => self.wires[pair][path][from].cuts -= 1,
            Kind::CutPath { pair, path } => self.wires[pair][path].iter_mut().for_each(|wire| wire.cuts -= 1),
            Kind::CutAll { pair } => self.wires[pair].iter_mut().flatten().for_each(|wire| wire.cuts -= 1),
            Kind::Lose { pair, path, .. }
            | Kind::Burst { pair, path, .. }
            | Kind::Hold { pair, path, .. }
            | Kind::Repeat { pair, path, .. } => self.relieve(pair, Some(path), number),
            Kind::LoseAll { pair, .. } => self.relieve(pair, None, number),
            Kind::Order { .. } => {}
            Kind::Reload { pair, edition } => {
                let nodes = self.shape.pairs[pair].nodes;
                // Where reloads of the pair overlapped, the last that ends is what both have.
                nodes.into_iter().for_each(|node| self.reload(node, edition));
            }
        }
    }

    fn relieve(&mut self, pair: usize, path: Option<usize>, fault: u32) {
        for (index, wires) in self.wires[pair].iter_mut().enumerate() {
            if path.is_none_or(|path| path == index) {
                for wire in wires {
                    wire.loss.end(fault);
                    wire.bursts.end(fault);
                    wire.held.end(fault);
                    wire.twice.end(fault);
                }
            }
        }
    }

    fn kill(&mut self, index: usize) {
        self.nodes[index].plight.down += 1;
        self.nodes[index].daemon = None;
    }

    /// The daemon is asked to leave and may take its time; nobody starts another before the fault ends.
    fn leave(&mut self, index: usize, keep: bool) {
        self.nodes[index].plight.down += 1;
        if keep {
            self.laws.detached(index);
        }
        self.give(index, Input::Stop { keep });
    }

    /// A daemon that has not left by the end of its fault is killed, as a supervisor would.
    fn finish(&mut self, index: usize) {
        self.nodes[index].daemon = None;
    }

    fn cut_off(&mut self, index: usize, off: bool) {
        let peers = self.nodes[index].peers.clone();
        for peer in peers {
            for wire in self.wires[peer.pair].iter_mut().flatten() {
                if off { wire.cuts += 1 } else { wire.cuts -= 1 }
            }
        }
        for cuts in &mut self.nodes[index].plight.unreached {
            if off { *cuts += 1 } else { *cuts -= 1 }
        }
    }

    fn notice(&mut self, index: usize) {
        let at = self.now + self.random.below(NOTICE);
        self.queue.push(at, Event::Learn { node: index });
    }

    fn reload(&mut self, index: usize, edition: u64) {
        self.nodes[index].edition = edition;
        self.give(index, Input::Config(self.shape.config(index, edition)));
    }

    /// The machine goes on as if nothing had been; what its network card kept comes in first.
    fn thaw(&mut self, index: usize, keeps: bool) {
        let now = self.now;
        let node = &mut self.nodes[index];
        let stood = now - node.froze;
        node.plight.frozen -= 1;
        node.plight.keeps -= u32::from(keeps);
        if node.plight.frozen > 0 {
            return;
        }
        node.thawed = now;
        if node.plight.off == 0 {
            node.clock.go(now);
        }
        self.daemon_thawed(index, stood);
        // The daemon runs once all of them are there.
        self.nodes[index].plight.stopped += 1;
        for frame in std::mem::take(&mut self.nodes[index].kept) {
            self.arrive(frame);
        }
        self.nodes[index].plight.stopped -= 1;
        self.note(|| format!("{} goes on", name(index)));
        self.wake(index);
    }
}
