//! Content hosts that are not alike, clients that come as they like, and what the ways of balancing make of it.
//!
//! Real are the packet path that gives each request its server, the tables and rings that the real plan fills, the count of
//! active flows in the flow table, and [`geminus_core::manager::Manager`]. Modelled are the hosts (so many workers and a
//! queue), the checks (short requests in the same queue), and the agents (how busy a host was, told late or not at all).
//! Everything comes from one seed.

mod dispatcher;
pub mod figures;
mod host;
pub mod scene;
mod story;

pub use figures::Figures;
pub use scene::{Liar, Road, Scene, Turn, Way};
