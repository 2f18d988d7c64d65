//! The control plane of one node as one machine: what is heard goes in, what is to be done comes out.
//!
//! The driver calls [`Director::handle`] for each input and [`Director::handle_timeout`] when [`Director::poll_timeout`]
//! says so, and after either carries out what [`Director::poll_effect`] gives until it gives nothing.

pub mod frame;
mod instant;
mod pace;

pub use instant::Instant;
pub(crate) use pace::Pace;
