//! The tables at one moment: what everything here reads and writes.

use std::time::Duration;

use geminus_packet::flow::{Bucket, Note};
use geminus_packet::tables::{GROUPS, Globals, LAYOUT, Tables, Ticks};

use super::Kind;
use crate::plan::TicksPerSecond;

/// Tables, and what time it is for them.
#[derive(Debug)]
pub struct Ground<'t, T> {
    pub(super) tables: &'t T,
    pub(super) globals: &'t Globals,
    pub(super) now: Ticks,
    rate: u64,
    /// One bit for each group that this node forwards for.
    forwards: u64,
}

impl<'t, T: Tables> Ground<'t, T> {
    /// None while the tables are not filled yet. `now` is on the clock that the tables' times are on, which runs at `rate`.
    pub fn new(tables: &'t T, rate: TicksPerSecond, now: Ticks) -> Option<Self> {
        let globals = tables.globals()?;
        if globals.layout.load() != LAYOUT || globals.flow_mask.load() == 0 {
            return None;
        }
        let rate = u64::from(rate.0.max(1));
        let deadline = |group: &u32| tables.group(*group).is_some_and(|group| group.deadline.load() > now.0);
        let forwards = (0..GROUPS).filter(deadline).fold(0, |bits, group| bits | 1 << group);
        Some(Self { tables, globals, now, rate, forwards })
    }

    /// Whether this node forwards the packets of a group's clusters.
    pub(super) const fn forwards(&self, group: u8) -> bool {
        (self.forwards >> (group & 63)) & 1 != 0
    }

    pub(super) fn buckets(&self, kind: Kind) -> u64 {
        1 + match kind {
            Kind::Flow => self.globals.flow_mask.load(),
            Kind::Client => self.globals.affinity_mask.load(),
        }
    }

    pub(super) fn bucket(&self, kind: Kind, number: u32) -> Option<&'t Bucket> {
        match kind {
            Kind::Flow => self.tables.flows(number),
            Kind::Client => self.tables.affinity(number),
        }
    }

    /// Number of the bucket that a hash belongs to.
    pub(super) fn bucket_of(&self, kind: Kind, hash: u64) -> u32 {
        (hash & (self.buckets(kind) - 1)) as u32
    }

    /// How long ago the last packet of an entry came.
    pub(super) fn age(&self, note: Note) -> Duration {
        Duration::from_millis(u64::from(note.age(self.now.0 as u32)) * 1000 / self.rate)
    }

    /// Ticks in a span.
    pub(super) fn ticks(&self, span: Duration) -> u32 {
        let ticks = span.as_millis().min(u128::from(u32::MAX)) as u64 * self.rate / 1000;
        // Twice as far back would be ahead.
        ticks.min(u64::from(u32::MAX / 2)) as u32
    }

    /// The time of an entry whose last packet came so long ago.
    pub(super) fn seen(&self, age: Duration) -> u32 {
        (self.now.0 as u32).wrapping_sub(self.ticks(age))
    }
}
