//! The groups' words in the hands of the thread that renews them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use geminus_packet::tables::{Group, GroupState, Tables as _, word_mac};

use crate::live::Live;

/// Writes and reads what the program takes for true of each group. No system call, nothing that waits for anybody.
#[derive(Debug, Clone)]
pub struct Leases(Arc<Live>);

/// What the data plane says of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct GroupReading {
    /// How long it forwards from now on; zero: not at all.
    pub lease: Duration,
    /// Whether it answers for the addresses, while it forwards.
    pub owns: bool,
    /// Number of the standing ([`geminus_core::ha::Standing`]); 0: nobody said.
    pub standing: u8,
    /// Epoch of the group.
    pub epoch: u64,
}

impl Leases {
    pub(crate) const fn new(live: Arc<Live>) -> Self {
        Self(live)
    }

    /// From now on the program forwards for `lease`, answers for the addresses if `owns`, and tells partners the rest.
    pub fn set(&self, group: u8, lease: Duration, owns: bool, standing: u8, epoch: u64) {
        let deadline = self.0.clock.deadline(lease, Instant::now());
        let state = GroupState { epoch, standing, quiet: !owns };
        for tables in self.0.tables().iter() {
            if let Some(words) = tables.group(group.into()) {
                write(words, deadline, state);
            }
        }
    }

    /// From now on the program forwards for `lease`; what is said of the group stays.
    pub fn renew(&self, group: u8, lease: Duration) {
        let deadline = self.0.clock.deadline(lease, Instant::now());
        for tables in self.0.tables().iter() {
            if let Some(words) = tables.group(group.into()) {
                words.deadline.store(deadline);
            }
        }
    }

    /// The hardware address by which the program answers for a group; none: the node's own.
    pub fn mac(&self, group: u8) -> Option<[u8; 6]> {
        let tables = self.0.tables();
        let word = tables.last().and_then(|tables| tables.group(group.into())).map(|words| words.mac.load());
        word.filter(|word| *word != 0).map(word_mac)
    }

    /// What the data plane says of a group.
    pub fn read(&self, group: u8) -> GroupReading {
        let tables = self.0.tables();
        let Some(words) = tables.last().and_then(|tables| tables.group(group.into())) else {
            return GroupReading::default();
        };
        let state = GroupState::from_word(words.state.load());
        GroupReading {
            lease: self.0.clock.until(words.deadline.load(), Instant::now()),
            owns: !state.quiet,
            standing: state.standing,
            epoch: state.epoch,
        }
    }
}

/// Whoever gives a group up stops forwarding first and says so then; whoever takes it says so first.
fn write(words: &Group, deadline: u64, state: GroupState) {
    if deadline == 0 {
        words.deadline.store(0);
        words.state.store(state.word());
    } else {
        words.state.store(state.word());
        words.deadline.store(deadline);
    }
}
