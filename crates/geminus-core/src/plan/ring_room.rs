//! Which lines of the ring table are free.

use std::collections::BTreeMap;

/// Free runs of lines, by their first line; neighbours are always merged.
#[derive(Debug, Clone)]
pub(super) struct RingRoom {
    free: BTreeMap<u32, u32>,
}

impl RingRoom {
    /// All lines free.
    pub(super) fn new(lines: u32) -> Self {
        Self { free: BTreeMap::from([(0, lines)]) }
    }

    /// Takes a run that is known to be in use.
    pub(super) fn take(&mut self, first: u32, count: u32) {
        let Some((&start, &length)) = self.free.range(..=first).next_back() else { return };
        let end = start + length;
        if count == 0 || first + count > end {
            return;
        }
        self.free.remove(&start);
        self.insert(start, first - start);
        self.insert(first + count, end - first - count);
    }

    /// Reserves a run: the first that is long enough.
    pub(super) fn reserve(&mut self, count: u32) -> Option<u32> {
        if count == 0 {
            return Some(0);
        }
        let first = self.free.iter().find(|&(_, &length)| length >= count).map(|(&first, _)| first)?;
        self.take(first, count);
        Some(first)
    }

    /// Gives a run back.
    pub(super) fn give(&mut self, first: u32, count: u32) {
        if count == 0 {
            return;
        }
        let (mut first, mut count) = (first, count);
        if let Some((&before, &length)) = self.free.range(..first).next_back()
            && before + length == first
        {
            self.free.remove(&before);
            (first, count) = (before, count + length);
        }
        if let Some(length) = self.free.remove(&(first + count)) {
            count += length;
        }
        self.free.insert(first, count);
    }

    /// Whether runs of these lengths can all be reserved, in this order.
    pub(super) fn fits(&self, counts: &[u32]) -> bool {
        let mut trial = self.clone();
        counts.iter().all(|&count| trial.reserve(count).is_some())
    }

    fn insert(&mut self, first: u32, count: u32) {
        if count > 0 {
            self.free.insert(first, count);
        }
    }
}
