//! One flow on the wire: 16 bytes.

use std::time::Duration;

use geminus_packet::flow::{MAX_SERVERS, State};

/// Bytes of a record.
pub(super) const RECORD_BYTES: usize = 16;

const SERVER_BITS: u32 = 20;
const STATE_SHIFT: u32 = 20;
const PINNED: u64 = 1 << 23;
const CLIENT: u64 = 1 << 24;
const FIRST_HAND: u64 = 1 << 25;
const AGE_SHIFT: u32 = 32;
const UNUSED: u64 = 0x3f << 26;

/// Which table a record is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The flow table.
    Flow,
    /// The affinity table.
    Client,
}

/// What is said of one flow, or of one client.
///
/// Two little-endian words: the whole hash; and, from the lowest bit, server (20 bits), state (3), pinned, client,
/// first hand (1 each), 0 (6), age in milliseconds (32).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record {
    /// The whole hash.
    pub hash: u64,
    /// Its server, by the sender's number.
    pub server: u32,
    /// What it is in.
    pub state: State,
    /// Whether its server is not the ring's choice.
    pub pinned: bool,
    /// Of which table.
    pub kind: Kind,
    /// Whether the sender itself forwards the flow's packets, or did when it said so; else it has it from others.
    pub first_hand: bool,
    /// How long ago its last packet came.
    pub age: Duration,
}

impl Record {
    pub(super) fn write(&self, into: &mut Vec<u8>) {
        let flag = |set: bool, bit: u64| if set { bit } else { 0 };
        let age = u64::from(u32::try_from(self.age.as_millis()).unwrap_or(u32::MAX));
        let word = u64::from(self.server)
            | (self.state as u64) << STATE_SHIFT
            | flag(self.pinned, PINNED)
            | flag(self.kind == Kind::Client, CLIENT)
            | flag(self.first_hand, FIRST_HAND)
            | age << AGE_SHIFT;
        into.extend_from_slice(&self.hash.to_le_bytes());
        into.extend_from_slice(&word.to_le_bytes());
    }

    /// None where no sender writes such words.
    pub(super) fn read(bytes: &[u8; RECORD_BYTES]) -> Option<Self> {
        let (hash, word) = bytes.split_at(8);
        let hash = u64::from_le_bytes(hash.try_into().ok()?);
        let word = u64::from_le_bytes(word.try_into().ok()?);
        let record = Self {
            hash,
            server: (word & ((1 << SERVER_BITS) - 1)) as u32,
            state: State::ALL[(word >> STATE_SHIFT) as usize & 7],
            pinned: word & PINNED != 0,
            kind: if word & CLIENT == 0 { Kind::Flow } else { Kind::Client },
            first_hand: word & FIRST_HAND != 0,
            age: Duration::from_millis(word >> AGE_SHIFT),
        };
        let fits = match record.kind {
            Kind::Flow => {
                matches!(record.state, State::Established | State::Closing | State::Reset | State::Datagrams)
            }
            Kind::Client => record.state == State::Client,
        };
        (fits && word & UNUSED == 0 && (1..=MAX_SERVERS).contains(&record.server)).then_some(record)
    }

    /// Whether its connection has ended, as far as the client's side tells.
    pub(super) const fn is_ending(&self) -> bool {
        matches!(self.state, State::Closing | State::Reset)
    }
}
