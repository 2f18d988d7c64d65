//! Two dispatchers remember the same flows: what one learns, the other knows before it has to.
//!
//! One [`Session`] is one connection to one partner. It is pure: whole messages come in and go out, time and tables are
//! arguments. The driver carries the messages through an authenticated, encrypted, ordered stream, and gives nothing
//! in that did not come out of it; the daemon does so over TCP and Noise.
//!
//! ```text
//!   journals ──promoted()──► pending ─┐
//!   table ────whole copy────────────► ├─ send() ─► Names, Flows ─► receive() ─► the partner's table
//!   table ────slow sweep────────────► ┘                 ◄──── Ack ────
//! ```
//!
//! - A flow is 16 bytes on the wire ([`Record`]): its whole hash, its server by the sender's number, state, age. What a
//!   number stands for is said before it is used: server identity and generation ([`crate::plan::server_identity`]).
//! - When partners meet, each copies its whole table to the other; what is promoted meanwhile is sent beside it.
//! - What waits is bounded. If it overflows, or the journal was overwritten, the whole table is copied again.
//! - The sweep visits every entry once a minute and sends those that had a packet since, so that a long-lived flow does
//!   not age on the standby.
//! - Who takes what is a table of six rows: [`Session::receive`].

mod bindings;
mod ground;
mod incoming;
mod insert;
mod outgoing;
mod record;
mod scan;
mod session;
mod shared;
mod wire;

#[cfg(test)]
mod tests;

pub use self::bindings::Servers;
pub use self::ground::Ground;
pub use self::record::{Kind, Record};
pub(crate) use self::scan::Scan;
pub use self::session::{Broken, Event, Numbers, Session, Setup};
pub use self::shared::Shared;
pub use self::wire::{MESSAGE_BYTES, VERSION};

/// Bounds of replication, each with its reason.
pub mod limits {
    use std::time::Duration;

    /// Bytes of flows that are under way without an acknowledgement: 8 ms of a gigabit link, and as long again to insert.
    pub const WINDOW: usize = 1 << 20;
    /// Of these, what copies and sweeps may take: new flows find room.
    pub const COPY_WINDOW: usize = WINDOW / 2;
    /// New flows that wait to be sent; more, and the whole table is copied again. 1 MiB.
    pub const PENDING: usize = 1 << 16;
    /// Records of one message: about 32 KiB, so that an acknowledgement is never far.
    pub const RECORDS: usize = 2048;
    /// A side that has nothing to say says so this often.
    pub const KEEP_ALIVE: Duration = Duration::from_millis(500);
    /// A partner that says nothing for so long hangs. A dead network or machine is noticed earlier, by the kernel, because
    /// keep-alives are not acknowledged; so this may be long enough for a machine that gives the other side no time.
    pub const SILENCE: Duration = Duration::from_secs(10);
    /// The sweep visits every entry in this time: well below every time-out that is minutes.
    pub const SWEEP: Duration = Duration::from_secs(60);
    /// Bytes of configuration lines that are kept of a partner: a site of thousands of services; beyond it the difference
    /// is not shown line by line.
    pub const LINES: usize = 4 << 20;
    /// Batches whose lag is remembered.
    pub const LAGS: usize = 256;
    /// How often the server table is read anew because a partner named a server that is not in it.
    pub const LOOK_AGAIN: Duration = Duration::from_millis(500);
}
