//! The tables in other threads' hands: whoever replicates them follows when the data plane moves to others.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use geminus_core::plan::TicksPerSecond;
use geminus_packet::journal::Slot;
use geminus_packet::tables::Ticks;

use crate::live::KernelClock;
use crate::mapped::MappedTables;

/// The tables in force, for threads beside the one that owns the data plane.
#[derive(Debug)]
pub struct LiveTables {
    tables: Mutex<Arc<MappedTables>>,
    clock: KernelClock,
    rate: TicksPerSecond,
}

impl LiveTables {
    pub(crate) fn new(tables: &Arc<MappedTables>, rate: TicksPerSecond, clock: KernelClock) -> Self {
        Self { tables: Mutex::new(Arc::clone(tables)), clock, rate }
    }

    /// The tables in force.
    pub fn current(&self) -> Arc<MappedTables> {
        Arc::clone(&self.lock())
    }

    /// The kernel's coarse clock.
    pub fn now(&self) -> Ticks {
        Ticks(self.clock.ticks(Instant::now()))
    }

    /// How fast that clock runs.
    pub const fn rate(&self) -> TicksPerSecond {
        self.rate
    }

    /// From now on these are in force.
    pub(crate) fn replace(&self, tables: &Arc<MappedTables>) {
        *self.lock() = Arc::clone(tables);
    }

    /// The lock is held for a few instructions, and nothing in between can panic.
    fn lock(&self) -> std::sync::MutexGuard<'_, Arc<MappedTables>> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads what the packet path remembered lately, over all CPUs.
#[derive(Debug)]
pub struct JournalReader {
    tables: Arc<MappedTables>,
    next: Vec<u64>,
}

impl JournalReader {
    /// Begins now: what was noted before is not visited.
    pub fn begin(tables: &Arc<MappedTables>) -> Self {
        let next = tables.journals().map(geminus_packet::journal::Journal::written).collect();
        Self { tables: Arc::clone(tables), next }
    }

    /// The tables that are read.
    pub const fn tables(&self) -> &Arc<MappedTables> {
        &self.tables
    }

    /// Visits what was noted since; returns how much was overwritten before it was read.
    pub fn read(&mut self, mut visit: impl FnMut(Slot)) -> u64 {
        let mut missed = 0;
        for (journal, next) in self.tables.journals().zip(&mut self.next) {
            let reading = journal.read(*next, &mut visit);
            *next = reading.next;
            missed += reading.missed;
        }
        missed
    }
}
