//! What the packet path remembered lately: one ring a CPU, so that user space tells partners of new flows without looking
//! at whole tables.
//!
//! Only the CPU that a ring belongs to writes it. A reader is never waited for: what it did not fetch in time is
//! overwritten, and it learns how much it missed. Each entry carries its number, so that a reader sees whether it was
//! overwritten, or not yet written where stores become visible in another order.

use crate::word::Word;

/// Entries that a ring keeps.
pub const JOURNAL_ENTRIES: usize = 4096;

/// Bits of an entry that hold its number, above slot and table.
const NUMBER_SHIFT: u32 = 33;
const AFFINITY: u64 = 1 << 32;

/// One CPU's ring. 64 bytes and 32 KiB.
#[repr(C, align(64))]
#[derive(Debug)]
pub struct Journal {
    /// Entries ever written.
    head: Word,
    /// Keeps the head's cache line apart.
    _apart: [Word; 7],
    entries: [Word; JOURNAL_ENTRIES],
}

impl Default for Journal {
    fn default() -> Self {
        Self {
            head: Word::new(0),
            _apart: [const { Word::new(0) }; 7],
            entries: [const { Word::new(0) }; JOURNAL_ENTRIES],
        }
    }
}

/// Which way of which table was written: its bucket times [`crate::flow::WAYS`] plus its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Slot {
    /// Of the flow table.
    Flow(u32),
    /// Of the affinity table.
    Client(u32),
}

/// How far a reader is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Reading {
    /// The entry to be read next.
    pub next: u64,
    /// Entries that were overwritten before they were read, by this reading alone.
    pub missed: u64,
}

impl Journal {
    /// Notes that a slot was written. For the CPU alone that the ring belongs to.
    #[inline(always)]
    pub fn note(&self, slot: Slot) {
        let at = self.head.load();
        let place = match slot {
            Slot::Flow(slot) => u64::from(slot),
            Slot::Client(slot) => u64::from(slot) | AFFINITY,
        };
        self.entries[at as usize & (JOURNAL_ENTRIES - 1)].store(place | number(at));
        self.head.store(at.wrapping_add(1));
    }

    /// Entries ever written: where a reader begins that wants none of those before.
    pub fn written(&self) -> u64 {
        self.head.load()
    }

    /// Visits every entry from `since` on, in the order of writing, and tells where to go on. A slot may have been written
    /// again since, and may come twice. A reader that is further than the ring (of tables made anew) begins again.
    pub fn read(&self, since: u64, mut visit: impl FnMut(Slot)) -> Reading {
        let head = self.head.load();
        let since = if since > head { 0 } else { since };
        let mut next = since.max(head.saturating_sub(JOURNAL_ENTRIES as u64));
        let mut missed = next - since;
        while next < head {
            let word = self.entries[next as usize & (JOURNAL_ENTRIES - 1)].load();
            if (word ^ number(next)) >> NUMBER_SHIFT == 0 {
                let slot = word as u32;
                visit(if word & AFFINITY == 0 { Slot::Flow(slot) } else { Slot::Client(slot) });
            } else if self.head.load() - next >= JOURNAL_ENTRIES as u64 {
                missed += 1;
            } else {
                // The head was seen before the entry was, which will be there at the next reading.
                break;
            }
            next += 1;
        }
        Reading { next, missed }
    }
}

/// The number of an entry where it stands in its word: never that of an entry that was not written.
#[inline(always)]
const fn number(at: u64) -> u64 {
    at.wrapping_add(1) << NUMBER_SHIFT
}
