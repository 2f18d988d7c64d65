//! Clients and servers.

use crate::machine::Machine;
use crate::time::Nanos;
use crate::world::World;

/// Clients.
#[derive(Debug, Default)]
pub struct Clients {}

impl Clients {
    pub(crate) fn replicate(&mut self, _nodes: [usize; 2], _now: Nanos) {}
    pub(crate) fn forget(&mut self, _node: usize) {}
}

impl<M: Machine> World<M> {
    pub(crate) fn talk_to_servers(&mut self) {}
}
