//! Who is measured: a product on both nodes, and what may be done to it.

use std::time::Duration;

use anyhow::Result;

use crate::site::Site;
use crate::twins::Twin;

/// A product that moves an address between two nodes.
pub(super) trait Contender {
    /// Where it runs.
    fn site(&self) -> &Site;

    /// Its name in the tables, with its timers.
    fn name(&self) -> String;

    /// What else a reader must know to repeat it, one line.
    fn method(&self) -> String;

    /// How long the backup takes, by the configuration, to believe that the active is dead.
    fn detection(&self) -> Duration;

    /// How long an address stays with a node whose daemon is gone and whose kernel lives, by the configuration.
    fn grace(&self) -> Duration;

    /// Whether content hosts answer behind the address too.
    fn has_servers(&self) -> bool;

    /// Starts both nodes and waits until the first is active and the second ready to take over.
    fn start(&mut self) -> Result<()>;

    /// Ends both nodes and leaves nothing of them on the ground.
    fn reset(&mut self) -> Result<()>;

    /// Stops a node as an operator does; returns at once.
    fn leave(&mut self, node: Twin) -> Result<()>;

    /// Kills all processes of a node.
    fn kill(&mut self, node: Twin) -> Result<()>;

    /// Stops all processes of a node as SIGSTOP does.
    fn freeze(&mut self, node: Twin) -> Result<()>;

    /// Lets them go on.
    fn thaw(&mut self, node: Twin) -> Result<()>;

    /// How often a node has become active since the start.
    fn promotions(&self, node: Twin) -> Result<u64>;
}
