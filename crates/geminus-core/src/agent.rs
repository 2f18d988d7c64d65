//! What an agent on a content host says of it, how that is known to be its word and new, and what its load is.
//!
//! [`Speaker`] makes an agent's frames, [`Hearing`] judges them at a dispatcher; [`Gauge`] makes one number of what the
//! host's kernel and its own programs say ([`proc_text`], [`custom`]). `docs/design/agent.md` argues both.

mod bucket;
pub mod custom;
pub mod frame;
mod hearing;
pub mod key_file;
mod load;
pub mod proc_text;
mod speaker;
#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::time::Duration;

pub use self::hearing::{Counts, EPOCH, Heard, Hearing, Refused};
pub use self::load::{AVERAGED, Gauge, HELD, LOAD_MOST, Load, Seen};
pub use self::speaker::{Answer, Speaker};

/// One authentic and new report.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// The host: the address that servers have in the site.
    pub host: IpAddr,
    /// How loaded it is: 0 idle, 1 000 all it has to give; above: more than that is asked of it.
    pub load: u16,
    /// It is about to stop and wants no new flows. Whoever said so and is not heard any more still wants none: only a
    /// report that says otherwise ends it.
    pub leaving: bool,
    /// The time between its reports, where it says so.
    pub every: Option<Duration>,
    /// What the load is made of, by name: `cpu`, `memory`, `psi-cpu`, `psi-memory`, `psi-io`, `listen-overflows`, and whatever
    /// the host's own programs say; each 0 to 1 000 as the load is, or a plain count.
    pub parts: Vec<(String, u32)>,
    /// What `geminus host check` finds wrong with the set-up there, one line each; at most 8.
    pub findings: Vec<String>,
}

impl Report {
    /// Whether one that is lost on the way is enough for its agent to count as lost: half the `timeout` is less than the time
    /// between two.
    pub fn is_seldom(&self, timeout: Duration) -> bool {
        self.every.is_some_and(|every| every > timeout / 2)
    }
}
