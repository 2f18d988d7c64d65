//! The words of each path to a partner that the heartbeat thread writes.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use geminus_core::plan;
use geminus_packet::tables::{MAC_BITS, PARTNER, PARTNER_FORWARDS, PathEntry, Tables as _, mac_word};
use geminus_packet::verdict::Counter;
use geminus_packet::word::Word;

use crate::live::Live;

/// What the program is to know of a path beside what the configuration says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Conversation {
    /// This node's session.
    pub own_session: u64,
    /// The partner's session; 0: not known.
    pub session: u64,
    /// Heartbeats of the session up to this counter are not looked at any more.
    pub floor: u64,
    /// Answers to probes up to this number are not waited for any more.
    pub probe_floor: u64,
    /// Sessions that the partner had before; 0: none.
    pub past: [u64; 4],
}

/// Writes what the program is to know of the paths. No system call, nothing that waits for anybody.
#[derive(Debug, Clone)]
pub struct Paths(Arc<Live>);

impl Paths {
    pub(crate) const fn new(live: Arc<Live>) -> Self {
        Self(live)
    }

    /// What the program is to know of the path between these addresses; false if the tables have no such path.
    pub fn set(&self, own: IpAddr, remote: IpAddr, known: &Conversation) -> bool {
        let mut found = false;
        for tables in self.0.tables().iter() {
            let entry = plan::path_entry(&**tables, own, remote).and_then(|index| tables.path(index));
            if let Some(entry) = entry {
                write(entry, known);
                found = true;
            }
        }
        found
    }

    /// Partners on the link of the node's own interface, at most two: whether this node is a server of clusters that the
    /// partner may be active for, and the partner's hardware address. A frame from there is not balanced again.
    pub fn set_partners(&self, partners: [Option<([u8; 6], bool)>; 2]) {
        let words = partners.map(|partner| match partner {
            Some((mac, forwards)) => {
                mac_word(mac) & MAC_BITS | PARTNER | if forwards { PARTNER_FORWARDS } else { 0 }
            }
            None => 0,
        });
        for tables in self.0.tables().iter() {
            if let Some(globals) = tables.globals() {
                globals.partners.iter().zip(words).for_each(|(word, value)| word.store(value));
            }
        }
    }

    /// When a frame came, by the stamp that the program put into it; none if it did not.
    pub fn arrival(&self, stamp: u64, now: Instant) -> Option<Instant> {
        self.0.clock.stamped(stamp, now)
    }

    /// Packets seen for this reason so far, on all CPUs.
    pub fn seen(&self, reason: Counter) -> u64 {
        let tables = self.0.tables();
        let Some(tables) = tables.last() else { return 0 };
        (0..tables.sizes().cpus)
            .filter_map(|cpu| tables.reasons(cpu)?.packets.get(usize::from(reason.0)))
            .map(Word::load)
            .sum()
    }
}

/// The session comes after its floor: between the two words the old session's frames would be let through, which its
/// reader refuses.
fn write(entry: &PathEntry, known: &Conversation) {
    entry.own_session.store(known.own_session);
    entry.probe_floor.store(known.probe_floor);
    for (word, past) in entry.past.iter().zip(known.past) {
        word.store(past);
    }
    if entry.session.load() != known.session {
        entry.session.store(0);
    }
    entry.floor.store(known.floor);
    entry.session.store(known.session);
}
