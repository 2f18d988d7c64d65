//! What the manager is told, and what becomes of the weights it finds right.

use super::{Director, Instant, ServerCount};

/// The manager, where a service wants it.
#[derive(Debug, Default)]
pub(super) struct Weights {}

impl Weights {
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        None
    }
}

impl Director {
    pub(super) fn change_weights(&mut self, _now: Instant) {}

    pub(super) fn weights_timeout(&mut self, _now: Instant) {}

    pub(super) fn weigh_counts(&mut self, _counts: &[ServerCount], _now: Instant) {}
}
