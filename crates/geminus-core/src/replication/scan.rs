//! A walk over both tables, a few buckets at a time.

use geminus_packet::flow::{Found, WAYS};
use geminus_packet::tables::Tables;

use super::{Ground, Kind};

/// Where a walk is: buckets of the flow table, then those of the affinity table.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Scan {
    next: u64,
}

impl Scan {
    /// Visits the next buckets, at most so many, for as long as `more` says yes before each. False at the end.
    pub(super) fn walk<T: Tables>(
        &mut self,
        ground: &Ground<'_, T>,
        buckets: u64,
        mut more: impl FnMut() -> bool,
        mut visit: impl FnMut(Kind, u64, Found),
    ) -> bool {
        let flows = ground.buckets(Kind::Flow);
        let all = flows + ground.buckets(Kind::Client);
        let end = self.next.saturating_add(buckets).min(all);
        while self.next < end && more() {
            let (kind, number) = if self.next < flows {
                (Kind::Flow, self.next as u32)
            } else {
                (Kind::Client, (self.next - flows) as u32)
            };
            self.next += 1;
            let Some(bucket) = ground.bucket(kind, number) else { continue };
            for found in (0..WAYS).filter_map(|way| bucket.way(way)) {
                visit(kind, bucket.tag(&found, number).0, found);
            }
        }
        self.next < all
    }

    /// As [`walk`](Self::walk), of the flow table alone. False at its end.
    pub(crate) fn walk_flows<T: Tables>(
        &mut self,
        ground: &Ground<'_, T>,
        buckets: u64,
        mut visit: impl FnMut(Found),
    ) -> bool {
        let flows = ground.buckets(Kind::Flow);
        self.walk(ground, buckets.min(flows.saturating_sub(self.next)), || true, |_, _, found| visit(found));
        self.next < flows
    }

    /// How far it is, in thousandths.
    pub(super) fn progress(&self, ground: &Ground<'_, impl Tables>) -> u16 {
        let all = ground.buckets(Kind::Flow) + ground.buckets(Kind::Client);
        (self.next.saturating_mul(1000) / all).min(1000) as u16
    }

    /// Buckets visited since the walk was there.
    pub(super) const fn steps_from(&self, before: Self) -> u64 {
        self.next - before.next
    }

    /// Buckets of a walk.
    pub(super) fn all(ground: &Ground<'_, impl Tables>) -> u64 {
        ground.buckets(Kind::Flow) + ground.buckets(Kind::Client)
    }
}
