//! A partner's frames as bytes: what they say, that they are the partner's, and that they are new.
//!
//! [`geminus_packet::twin`] has the frame up to its body, which the program in the kernel reads too. Here is the body of a
//! heartbeat ([`body`]), its tag, and the [`Channel`] to one partner that makes and opens frames.
//!
//! No clock says whether a frame is new. Each start of a daemon draws a random *session*, and counts its frames in it. A
//! session is adopted only when one of its frames names this daemon's own session and one of its newest frames: a
//! recording of yesterday cannot. Every heartbeat names what its sender heard last, so two daemons know each other after
//! one frame in each direction and one more back.

mod body;
mod channel;
#[cfg(test)]
mod tests;

pub use self::body::{NEWEST, Proof};
pub use self::channel::{Channel, Opened, Refused};
