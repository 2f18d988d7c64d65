//! A whole site in one thread on a virtual clock: dispatchers with the real [`geminus_core::ha::Ha`] and the real
//! [`geminus_packet::dispatch()`], the paths between them, clients and servers, faults of every kind, and the laws that hold
//! whatever goes wrong.
//!
//! Everything comes from one number, the seed of a [`schedule::Schedule`], and is the same each time. Read in this order:
//! [`mod@world`] (what happens), [`nemesis`] (what goes wrong), [`mod@laws`] (what must hold), `docs/design/simulation.md`.

pub mod campaign;
pub mod clients;
pub mod false_takeovers;
pub mod laws;
pub mod loads;
pub mod machine;
pub mod nemesis;
pub mod node;
pub mod queue;
pub mod random;
pub mod schedule;
pub mod shape;
pub mod time;
pub mod wire;
pub mod world;

pub use machine::Machine;
pub use schedule::{Outcome, Schedule};
