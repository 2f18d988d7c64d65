//! The data plane in user space's hands: loads, pins and attaches the program, applies table plans, reads counters.
//!
//! The only crate that needs the BPF tool chain. Nothing here decides: what the tables say is
//! [`geminus_core::plan`]'s, what becomes of a packet is `geminus-packet`'s.

mod attach;
mod client_table;
mod count;
mod explain;
mod leases;
mod live;
pub mod mapped;
pub mod object;
mod open;
mod paths;
mod pins;
mod plane;
mod probes;
pub mod program;
mod reading;
mod release;
mod replica;

pub use attach::{AttachError, Attached, Mode, Wish};
pub use explain::{Asked, Question};
pub use leases::{GroupReading, Leases};
pub use open::{OpenError, OpenOptions};
pub use paths::{Conversation, Paths};
pub use plane::{ApplyError, DataPlane, Info};
pub use probes::{ProbeError, Probes, Slot, Slots, TcMode};
pub use reading::{CounterReading, Fill, FlowReading, Sent};
pub use replica::{JournalReader, LiveTables};
