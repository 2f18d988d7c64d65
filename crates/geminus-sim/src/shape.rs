//! What a site looks like in one schedule: who is there, what leads from whom to whom, how patient everybody is.

use std::time::Duration;

use geminus_core::ha::{Config, GroupConfig, PeerConfig, Role};
use geminus_core::model::{Recovery, Timers};

use crate::random::Random;
use crate::time::{MS, Nanos, length, nanos};

/// A site.
#[derive(Debug, Clone)]
pub struct Shape {
    /// Its dispatchers.
    pub nodes: Vec<NodeShape>,
    /// Those that are partners, and how many paths lead from one to the other.
    pub pairs: Vec<PairShape>,
    /// Its groups; the first has number 1.
    pub groups: Vec<GroupShape>,
    /// As in the configuration.
    pub timers: Timers,
    /// As in the configuration.
    pub lease: Duration,
    /// As in the configuration.
    pub recovery: Recovery,
    /// As in the configuration.
    pub stable: Duration,
    /// As in the configuration.
    pub alone_after: Duration,
    /// How many reach targets there are.
    pub targets: u32,
    /// How long a frame travels at least, and how much longer it may, when nothing is wrong.
    pub delay: [Nanos; 2],
    /// How long a copy of all flows takes.
    pub copying: Nanos,
}

/// A dispatcher.
#[derive(Debug, Clone)]
pub struct NodeShape {
    /// Millionths that its clock gains.
    pub gain: i64,
    /// What its clock shows when the schedule begins.
    pub shown: Nanos,
    /// When it is started.
    pub starts: Nanos,
}

/// Two partners.
#[derive(Debug, Clone, Copy)]
pub struct PairShape {
    /// Who.
    pub nodes: [usize; 2],
    /// How many paths.
    pub paths: usize,
}

/// A group.
#[derive(Debug, Clone, Copy)]
pub struct GroupShape {
    /// Active in normal times.
    pub primary: usize,
    /// Takes over.
    pub backup: usize,
    /// Which pair the two are.
    pub pair: usize,
}

/// The most that a clock gains or loses, in millionths.
pub const MOST_GAIN: u64 = 20_000;

impl Shape {
    /// Two nodes, a primary and a backup of one group, nothing unusual.
    pub fn plain(timers: Timers, paths: usize) -> Self {
        let node = NodeShape { gain: 0, shown: 0, starts: 0 };
        Self {
            nodes: vec![node.clone(), node],
            pairs: vec![PairShape { nodes: [0, 1], paths }],
            groups: vec![GroupShape { primary: 0, backup: 1, pair: 0 }],
            timers,
            lease: timers.heartbeat * 20,
            recovery: Recovery::Auto,
            stable: timers.heartbeat * 20,
            alone_after: timers.heartbeat * 60,
            targets: 1,
            delay: [MS / 10, MS / 10],
            copying: 100 * MS,
        }
    }

    /// A site as a seed has it.
    pub fn random(random: &mut Random) -> Self {
        let timers = match random.below(16) {
            0..10 => Timers::DEFAULT,
            10..12 => Timers::FAST,
            12 => timers(20, 3, 6, 20),
            13 => timers(50, 5, 5, 100),
            14 => timers(100, 2, 3, 100),
            _ => timers(30, 4, 20, 40),
        };
        let beat = nanos(timers.heartbeat);
        let node = |random: &mut Random| NodeShape {
            gain: random.below(2 * MOST_GAIN + 1) as i64 - MOST_GAIN as i64,
            shown: random.below(1 << 45),
            starts: if random.thousandths(700) { random.below(beat) } else { random.below(20 * beat) },
        };
        let (count, pairs) = match random.below(16) {
            0 => (3, vec![[0, 1], [1, 2], [0, 2]]),
            1 => (3, vec![[0, 1], [1, 2]]),
            _ => (2, vec![[0, 1]]),
        };
        let nodes = (0..count).map(|_| node(random)).collect();
        let paths = |random: &mut Random| random.one(&[1, 2, 2, 2, 3]);
        let pairs: Vec<_> =
            pairs.into_iter().map(|nodes| PairShape { nodes, paths: paths(random) }).collect();
        let groups = groups(&pairs, random);
        Self {
            nodes,
            pairs,
            groups,
            timers,
            lease: timers.heartbeat * random.one(&[20, 20, 30, 60]),
            recovery: if random.thousandths(700) { Recovery::Auto } else { Recovery::Manual },
            stable: timers.heartbeat * random.one(&[4, 10, 20, 30]),
            alone_after: timers.heartbeat * random.one(&[30, 60, 80]),
            targets: random.one(&[0, 1, 1, 2, 3]),
            delay: [random.between(MS / 20, MS), random.between(0, beat / 20)],
            copying: random.between(10 * MS, 8 * beat),
        }
    }

    /// What a node is told. `edition`: which configuration; editions differ in their digests and, the odd ones, in their
    /// patience.
    pub fn config(&self, node: usize, edition: u64) -> Config {
        let peers = self.peers(node);
        let group = |(index, group): (usize, &GroupShape)| {
            let role = match node {
                node if node == group.primary => Role::Primary,
                node if node == group.backup => Role::Backup,
                _ => return None,
            };
            let peer = peers.iter().position(|&(_, pair)| pair == group.pair)?;
            let number = number(index);
            Some(GroupConfig { number, role, peer, name: format!("g{number}") })
        };
        let mut timers = self.timers;
        if edition % 2 == 1 {
            timers.suspect += 1;
        }
        Config {
            node: name(node),
            peers: peers
                .iter()
                .map(|&(other, pair)| PeerConfig { name: name(other), paths: self.pairs[pair].paths })
                .collect(),
            groups: self.groups.iter().enumerate().filter_map(group).collect(),
            timers,
            lease: self.lease,
            recovery: self.recovery,
            stable: self.stable,
            alone_after: self.alone_after,
            reach_targets: self.targets,
            digest: 0xd1e5 + edition,
        }
    }

    /// The partners of a node, in the order in which it knows them, and which pair it is with each.
    pub fn peers(&self, node: usize) -> Vec<(usize, usize)> {
        let other = |(index, pair): (usize, &PairShape)| match pair.nodes {
            [a, b] if a == node => Some((b, index)),
            [a, b] if b == node => Some((a, index)),
            _ => None,
        };
        self.pairs.iter().enumerate().filter_map(other).collect()
    }

    /// From the last sign of life to the takeover, whatever the edition.
    pub fn detection(&self) -> Nanos {
        nanos(self.timers.detection() + self.timers.heartbeat)
    }

    /// How long two may be active although they hear each other: 100 ms, or two heartbeats where these are slower.
    pub fn heal(&self) -> Nanos {
        (100 * MS).max(2 * nanos(self.timers.heartbeat))
    }
}

/// The number of a group, by its index.
pub const fn number(group: usize) -> u8 {
    group as u8 + 1
}

/// The name of a node, by its index.
pub fn name(node: usize) -> String {
    ["alpha", "beta", "gamma", "delta"].get(node).map_or_else(|| format!("node{node}"), |&name| name.into())
}

const fn timers(heartbeat: u64, suspect: u32, probes: u32, confirm: u64) -> Timers {
    let (heartbeat, confirm) = (length(heartbeat * MS), length(confirm * MS));
    Timers { heartbeat, suspect, probes, confirm }
}

/// One or two groups for each pair: with two, each is primary of one.
fn groups(pairs: &[PairShape], random: &mut Random) -> Vec<GroupShape> {
    let mut groups = Vec::new();
    for (pair, &PairShape { nodes: [a, b], .. }) in pairs.iter().enumerate() {
        groups.push(GroupShape { primary: a, backup: b, pair });
        if random.thousandths(400) {
            groups.push(GroupShape { primary: b, backup: a, pair });
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partners_agree_on_the_pair_and_have_opposite_roles_in_its_groups() {
        for seed in 0..200 {
            let shape = Shape::random(&mut Random::new(seed));
            for (index, group) in shape.groups.iter().enumerate() {
                let of = |node| {
                    let config = shape.config(node, 0);
                    let found = config.groups.into_iter().find(|g| g.number == number(index)).unwrap();
                    (found.role, config.peers[found.peer].name.clone())
                };
                assert_eq!(of(group.primary), (Role::Primary, name(group.backup)));
                assert_eq!(of(group.backup), (Role::Backup, name(group.primary)));
            }
        }
    }

    #[test]
    fn a_pair_shares_at_most_two_groups() {
        for seed in 0..200 {
            let shape = Shape::random(&mut Random::new(seed));
            for pair in 0..shape.pairs.len() {
                let shared = shape.groups.iter().filter(|group| group.pair == pair).count();
                assert!((1..=2).contains(&shared));
            }
        }
    }
}
