//! What a node and its partners are to each other: the standing of groups, and the paths.

use crate::word::Word;

/// What a node is for a group, in one word: epoch (48 bits), number of the standing (8), quiet (the highest bit).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct GroupState {
    /// Raised at every takeover; 48 bits.
    pub epoch: u64,
    /// Number of the standing as partners tell it each other: 1 starting, 2 standby, 3 suspecting, 4 active, 5 yielding;
    /// 0: nothing is said.
    pub standing: u8,
    /// Whether the node forwards but leaves ARP, neighbour solicitations and echo to the partner.
    pub quiet: bool,
}

impl GroupState {
    /// Bits of an epoch.
    pub const EPOCH_BITS: u64 = (1 << 48) - 1;
    const QUIET: u64 = 1 << 63;

    /// The word of the state.
    #[inline(always)]
    pub const fn word(self) -> u64 {
        let quiet = if self.quiet { Self::QUIET } else { 0 };
        self.epoch & Self::EPOCH_BITS | (self.standing as u64) << 48 | quiet
    }

    /// The state of a word.
    #[inline(always)]
    pub const fn from_word(word: u64) -> Self {
        Self { epoch: word & Self::EPOCH_BITS, standing: (word >> 48) as u8, quiet: word & Self::QUIET != 0 }
    }
}

/// Paths to partners that a node may have.
pub const PATHS: u32 = 16;

/// One path to a partner: what the program needs to answer its probes and to tell its frames from others'. 192 bytes.
///
/// User space writes every word but [`tokens`](Self::tokens); [`facts`](Self::facts) last, or first with 0 when a path
/// goes away.
#[repr(C)]
#[derive(Debug, Default)]
pub struct PathEntry {
    /// See [`PathFacts`]; 0: unused.
    pub facts: Word,
    /// This node's address: [`Address::high`](super::Address::high), [`Address::low`](super::Address::low).
    pub own: [Word; 2],
    /// The partner's address.
    pub remote: [Word; 2],
    /// The two keys of the gate that are accepted, by [`PathFacts::keys`]; the first is also this node's own. They are of
    /// this pair of nodes and no other, or what one partner says could be sent to another as ours.
    pub gates: [[Word; 2]; 2],
    /// This node's session: that of its probes and so of the answers to them.
    pub own_session: Word,
    /// The partner's session, once a heartbeat of it was authenticated; 0: unknown.
    pub session: Word,
    /// Heartbeats of the session whose counter is not above this came before.
    pub floor: Word,
    /// Answers to probes whose number is not above this are not waited for.
    pub probe_floor: Word,
    /// Sessions that the partner had before; 0: none.
    pub past: [Word; 4],
    /// Written by the program: when the next heartbeat of an unknown session would be due, if they came evenly, in
    /// nanoseconds of [`Tables::stamp`](super::Tables::stamp).
    pub tokens: Word,
    /// Left for what comes.
    pub reserved: [Word; 6],
}

/// What is fixed about a path, in one word: port (16 bits), number of the path (8), the two keys' ids (8 each), the
/// two groups shared with the partner (8 each; 0: none), and a set bit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PathFacts(pub u64);

impl PathFacts {
    /// `port` is in host byte order. The two ids of `keys` differ; where there is one key only, it is there twice. Of
    /// groups there are none, one or two.
    pub const fn new(port: u16, number: u8, keys: [u8; 2], groups: [u8; 2]) -> Self {
        let keys = (keys[0] as u64) << 24 | (keys[1] as u64) << 32;
        let groups = (groups[0] as u64) << 40 | (groups[1] as u64) << 48;
        Self(port as u64 | (number as u64) << 16 | keys | groups | 1 << 56)
    }

    /// Port of the partners' frames, host byte order.
    #[inline(always)]
    pub const fn port(self) -> u16 {
        self.0 as u16
    }

    /// Number of the path to its partner.
    #[inline(always)]
    pub const fn number(self) -> u8 {
        (self.0 >> 16) as u8
    }

    /// Ids of the keys of [`PathEntry::gates`].
    #[inline(always)]
    pub const fn keys(self) -> [u8; 2] {
        [(self.0 >> 24) as u8, (self.0 >> 32) as u8]
    }

    /// The groups shared with the partner.
    #[inline(always)]
    pub const fn groups(self) -> [u8; 2] {
        [(self.0 >> 40) as u8, (self.0 >> 48) as u8]
    }
}
