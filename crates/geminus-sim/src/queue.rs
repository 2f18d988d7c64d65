//! What is still to happen, in order.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use crate::time::Nanos;

/// Events in the order of their times; those of one time in the order in which they were put in.
#[derive(Debug)]
pub struct Queue<E> {
    heap: BinaryHeap<Item<E>>,
    count: u64,
}

#[derive(Debug)]
struct Item<E> {
    at: Nanos,
    number: u64,
    event: E,
}

impl<E> Queue<E> {
    /// Nothing to happen.
    pub fn new() -> Self {
        Self { heap: BinaryHeap::with_capacity(256), count: 0 }
    }

    /// This happens at that time.
    pub fn push(&mut self, at: Nanos, event: E) {
        self.count += 1;
        self.heap.push(Item { at, number: self.count, event });
    }

    /// What happens next, and when.
    pub fn pop(&mut self) -> Option<(Nanos, E)> {
        self.heap.pop().map(|item| (item.at, item.event))
    }

    /// How many events were put in.
    pub const fn count(&self) -> u64 {
        self.count
    }
}

impl<E> Default for Queue<E> {
    fn default() -> Self {
        Self::new()
    }
}

impl<E> PartialEq for Item<E> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<E> Eq for Item<E> {}

impl<E> PartialOrd for Item<E> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<E> Ord for Item<E> {
    /// The earliest is the greatest, because the heap gives the greatest first.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.number).cmp(&(self.at, self.number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_in_the_order_of_time_and_then_of_entry() {
        let mut queue = Queue::new();
        for (at, event) in [(5, 'c'), (1, 'a'), (5, 'd'), (2, 'b')] {
            queue.push(at, event);
        }
        let order: Vec<_> = std::iter::from_fn(|| queue.pop()).collect();
        assert_eq!(order, [(1, 'a'), (2, 'b'), (5, 'c'), (5, 'd')]);
    }
}
