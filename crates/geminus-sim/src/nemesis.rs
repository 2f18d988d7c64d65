//! What goes wrong: faults of every kind, each bounded in time, from a seed.

use std::fmt;

use crate::random::Random;
use crate::shape::Shape;
use crate::time::{MS, Nanos, SECOND, nanos};

/// One fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// When it begins.
    pub at: Nanos,
    /// When it ends.
    pub until: Nanos,
    /// What it is.
    pub kind: Kind,
}

/// What can go wrong. `node`, `pair`, `path`, `group`, `target` are indices in the [`Shape`].
#[allow(missing_docs, reason = "each variant says what its fields are")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// SIGSTOP, and SIGCONT at the end.
    StopDaemon { node: usize },
    /// SIGKILL; the data plane goes on. Started again at the end.
    KillDaemon { node: usize },
    /// The daemon and its data plane go. Started again at the end, with empty tables.
    KillWithPlane { node: usize },
    /// A polite end: goodbye. Started again at the end.
    EndDaemon { node: usize },
    /// An upgrade: the daemon leaves and the data plane goes on. Started again at the end.
    Upgrade { node: usize },
    /// The power goes. Started again at the end.
    PowerOff { node: usize },
    /// The machine stands still, its clock with it. `keeps`: its network card keeps what comes.
    Freeze { node: usize, keeps: bool },
    /// The daemon does not run and the network does not reach the node; its kernel goes on.
    Isolate { node: usize },
    /// The daemon is woken too late.
    Starve { node: usize, late: Nanos },
    /// The interface loses its carrier.
    Unlink { node: usize },
    /// The hardware addresses of the servers are forgotten.
    Cold { node: usize },
    /// The node does not reach one of the targets.
    Unreach { node: usize, target: usize },
    /// Nothing travels from the first (`from`: index in the pair) to the other by one path.
    CutOneWay { pair: usize, path: usize, from: usize },
    /// Nothing travels by one path.
    CutPath { pair: usize, path: usize },
    /// Nothing travels by any path.
    CutAll { pair: usize },
    /// Frames are lost out of a thousand, on one path in both directions.
    Lose { pair: usize, path: usize, often: u32 },
    /// Frames are lost out of a thousand, on every path.
    LoseAll { pair: usize, often: u32 },
    /// Times of silence on one path.
    Burst { pair: usize, path: usize, length: Nanos },
    /// Frames are held up and overtake each other.
    Hold { pair: usize, path: usize, most: Nanos },
    /// Frames come twice.
    Repeat { pair: usize, path: usize, often: u32 },
    /// `geminus takeover`.
    Order { node: usize, group: usize, force: bool },
    /// Another configuration: at once on the first node, at the end on the second.
    Reload { pair: usize, edition: u64 },
}

/// How faults follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// Many at once.
    Dense,
    /// One at a time, and time to settle after each.
    Sparse,
    /// None: only a start.
    Calm,
}

/// The faults of a schedule, in the order of their beginning, and when the last is over.
pub fn plan(shape: &Shape, manner: Manner, random: &mut Random) -> (Vec<Fault>, Nanos) {
    let beat = nanos(shape.timers.heartbeat);
    let mut faults = Vec::new();
    let mut at = if random.thousandths(500) { 30 * beat } else { random.below(20 * beat) };
    match manner {
        Manner::Calm => {}
        Manner::Dense => {
            // Both ends of a fault are steps: more than a hundred of them.
            let span = random.between(80 * beat, 160 * beat);
            let begins = at;
            for _ in 0..random.between(50, 90) {
                let fault = fault(shape, begins + random.below(span), random);
                faults.push(fault);
            }
            faults.sort_by_key(|fault| fault.at);
        }
        Manner::Sparse => {
            let mut left = random.between(3, 8);
            while left > 0 {
                let next = fault(shape, at, random);
                at = next.until + random.between(2 * beat, 2 * nanos(shape.lease));
                faults.push(next);
                left -= 1;
            }
        }
    }
    let ends = faults.iter().map(|fault| fault.until);
    let end = ends.chain(shape.nodes.iter().map(|node| node.starts)).max().unwrap_or(at);
    (faults, end)
}

fn fault(shape: &Shape, at: Nanos, random: &mut Random) -> Fault {
    let beat = nanos(shape.timers.heartbeat);
    // Short against a heartbeat, about a detection, longer than a lease.
    let lasts = match random.below(8) {
        0 | 1 => random.between(MS, 2 * beat),
        2..5 => random.between(beat, 8 * beat),
        5 | 6 => random.between(5 * beat, 25 * beat),
        _ => random.between(15 * beat, nanos(shape.lease) + 20 * beat),
    };
    Fault { at, until: at + lasts, kind: kind(shape, random) }
}

fn kind(shape: &Shape, random: &mut Random) -> Kind {
    let beat = nanos(shape.timers.heartbeat);
    let node = random.below(shape.nodes.len() as u64) as usize;
    let pair = random.below(shape.pairs.len() as u64) as usize;
    let path = random.below(shape.pairs[pair].paths as u64) as usize;
    let group = random.below(shape.groups.len() as u64) as usize;
    let from = random.below(2) as usize;
    match random.below(36) {
        0..3 => Kind::StopDaemon { node },
        3..5 => Kind::KillDaemon { node },
        5 => Kind::KillWithPlane { node },
        6 => Kind::EndDaemon { node },
        7 => Kind::Upgrade { node },
        8..10 => Kind::PowerOff { node },
        10..12 => Kind::Freeze { node, keeps: random.thousandths(500) },
        12 => Kind::Isolate { node },
        13..15 => Kind::Starve { node, late: random.between(MS, 4 * beat) },
        15 => Kind::Unlink { node },
        16 => Kind::Cold { node },
        17..20 if shape.targets > 0 => {
            Kind::Unreach { node, target: random.below(u64::from(shape.targets)) as usize }
        }
        17..22 => Kind::CutOneWay { pair, path, from },
        22..24 => Kind::CutPath { pair, path },
        24..26 => Kind::CutAll { pair },
        26 => Kind::Lose { pair, path, often: random.one(&[100, 300, 500, 900]) },
        27 | 28 => Kind::LoseAll { pair, often: random.one(&[10, 100, 300, 500]) },
        29 => Kind::Burst { pair, path, length: random.between(MS, 6 * beat) },
        30 => Kind::Hold { pair, path, most: random.between(MS, 4 * beat) },
        31 => Kind::Repeat { pair, path, often: random.one(&[100, 500, 1000]) },
        32..34 => {
            let GroupEnds { primary, backup } = ends(shape, group);
            let node = if from == 0 { primary } else { backup };
            Kind::Order { node, group, force: random.thousandths(300) }
        }
        _ => Kind::Reload { pair, edition: random.below(4) },
    }
}

struct GroupEnds {
    primary: usize,
    backup: usize,
}

fn ends(shape: &Shape, group: usize) -> GroupEnds {
    GroupEnds { primary: shape.groups[group].primary, backup: shape.groups[group].backup }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = |at: Nanos| at as f64 / SECOND as f64;
        write!(f, "{:9.4} to {:9.4} s  {:?}", seconds(self.at), seconds(self.until), self.kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dense_schedule_has_more_than_a_hundred_steps_and_every_fault_ends() {
        for seed in 0..100 {
            let mut random = Random::new(seed);
            let shape = Shape::random(&mut random);
            let (faults, end) = plan(&shape, Manner::Dense, &mut random);
            assert!(faults.len() * 2 >= 100);
            assert!(faults.iter().all(|fault| fault.at <= fault.until && fault.until <= end));
            assert!(faults.is_sorted_by_key(|fault| fault.at));
        }
    }

    #[test]
    fn a_sparse_schedule_lets_each_fault_end_before_the_next() {
        for seed in 0..100 {
            let mut random = Random::new(seed);
            let shape = Shape::random(&mut random);
            let (faults, _) = plan(&shape, Manner::Sparse, &mut random);
            assert!(!faults.is_empty() && faults.windows(2).all(|two| two[0].until < two[1].at));
        }
    }
}
