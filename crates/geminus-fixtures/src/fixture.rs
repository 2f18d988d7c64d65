//! What a fixture is.

use geminus_core::model::{OnDown, Site};
use geminus_packet::tables::Tables;
use geminus_packet::verdict::Class;

use crate::snapshot::Memory;

/// One frame and what must become of it.
#[derive(Debug, Clone)]
pub struct Fixture {
    /// What it shows.
    pub name: String,
    /// What happened before, on tables that say the [ground](crate::ground)'s site and remember nothing.
    pub before: Vec<Step>,
    /// The frame.
    pub frame: Vec<u8>,
    /// What must become of it.
    pub expected: Expected,
}

/// Something that happens.
#[derive(Debug, Clone)]
pub enum Step {
    /// A frame came; what became of it is not looked at.
    Frame(Vec<u8>),
    /// The node's lease lapsed just now.
    Lapse,
    /// The node never was active.
    Yield,
    /// The node is active again.
    Lead,
    /// The tables were made for another program.
    OtherLayout,
    /// So many seconds passed.
    Seconds(u32),
    /// Writers are in every way of a table and do not come out.
    Claim(Memory),
    /// This was written into the tables.
    Write(fn(&dyn Tables)),
    /// The site changed.
    Reload(fn(&mut Site)),
    /// The server that the last forwarded frame went to is drained.
    DrainLast,
    /// The server that the last forwarded frame went to is taken out of the site.
    RemoveLast,
    /// The way to the server that nobody knew is known now.
    FindLost,
    /// Something is laid down of clients of one of the shop's services, which looks its clients up from now on.
    LayDown {
        /// Port of the service.
        port: u16,
        /// The clients: an address as the tables have it, and how many leading bits of it count.
        clients: ([u8; 16], u8),
        /// What.
        laid: Laid,
    },
    /// The server that the last forwarded frame went to has these flags from now on.
    MarkLast(u64),
    /// The server that the last forwarded frame went to is declared down, and this becomes of its flows; none: up again.
    DeclareLast(Option<OnDown>),
    /// A server of one of the shop's services has so many active flows for its weight.
    Load {
        /// Port of the service.
        port: u16,
        /// Name of the server.
        name: &'static str,
        /// Active flows.
        active: u64,
        /// Weight in force.
        weight: u64,
    },
    /// The server that the last forwarded frame went to begins another generation.
    RenewLast,
}

/// What is laid down of clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Laid {
    /// They are not served.
    Deny,
    /// They are served, from the pool in force.
    Allow,
    /// They are served by the servers of the shop's service on this port.
    Pool(u16),
}

/// What must become of a frame. No other counter may move.
#[derive(Debug, Clone)]
pub struct Expected {
    /// Class of the verdict.
    pub class: Class,
    /// Name of its reason.
    pub reason: &'static str,
    /// What else is counted.
    pub notes: Vec<&'static str>,
    /// The frame afterwards.
    pub outcome: Outcome,
}

/// A frame afterwards.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// As it was.
    Unchanged,
    /// These bytes.
    Becomes(Vec<u8>),
    /// As it was, and this server's own.
    Local(&'static str),
    /// Addressed to one of these servers and else as it was.
    To(Vec<&'static str>),
    /// Addressed to the server that the last forwarded frame went to.
    Same,
    /// Addressed to another server than the one that the last forwarded frame went to.
    Other,
    /// Addressed to another service's server of the same name as the one that the last forwarded frame went to.
    Namesake,
}

impl Fixture {
    /// A frame that meets tables that remember nothing.
    pub fn new(name: impl Into<String>, frame: Vec<u8>, expected: Expected) -> Self {
        Self { name: name.into(), before: Vec::new(), frame, expected }
    }

    /// The same after something else.
    pub fn after(mut self, before: Vec<Step>) -> Self {
        self.before = before;
        self
    }
}

impl Expected {
    const fn new(class: Class, reason: &'static str, outcome: Outcome) -> Self {
        Self { class, reason, notes: Vec::new(), outcome }
    }

    /// And these are counted too.
    pub fn noting(mut self, notes: &[&'static str]) -> Self {
        self.notes = notes.to_vec();
        self
    }
}

/// Given to the machine's own stack.
pub const fn pass(reason: &'static str) -> Expected {
    Expected::new(Class::Pass, reason, Outcome::Unchanged)
}

/// Given to the machine's own stack as this server.
pub const fn local(server: &'static str) -> Expected {
    Expected::new(Class::Pass, "collocated", Outcome::Local(server))
}

/// Dropped.
pub const fn drop(reason: &'static str) -> Expected {
    Expected::new(Class::Drop, reason, Outcome::Unchanged)
}

/// Answered with these bytes.
pub const fn answer(reason: &'static str, bytes: Vec<u8>) -> Expected {
    Expected::new(Class::Answer, reason, Outcome::Becomes(bytes))
}

/// Sent to one of these servers.
pub fn to(path: &'static str, servers: &[&'static str]) -> Expected {
    Expected::new(Class::Forward, path, Outcome::To(servers.to_vec()))
}

/// Sent where the last frame before went.
pub const fn same(path: &'static str) -> Expected {
    Expected::new(Class::Forward, path, Outcome::Same)
}

/// Sent elsewhere than the last frame before.
pub const fn other(path: &'static str) -> Expected {
    Expected::new(Class::Forward, path, Outcome::Other)
}

/// Sent to the host that the last frame before went to, as a server of another service.
pub const fn namesake(path: &'static str) -> Expected {
    Expected::new(Class::Forward, path, Outcome::Namesake)
}
