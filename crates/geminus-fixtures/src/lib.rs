//! Packets and the verdicts they must get: one list for both homes of the packet path.
//!
//! A [`Fixture`](fixture::Fixture) is data: what happened before, one frame, what becomes of it, which counters move.
//! [`list::all`] has every one; [`sweep`] has those that are made by rule (a frame cut at every byte). A
//! [`Stage`](stage::Stage) plays them on any [`Home`](stage::Home): the host build ([`stage::HostHome`]) or, in the
//! privileged tests of `geminus-dataplane`, the program in the kernel.
//!
//! What is expected is written down or computed here ([`checksum`], [`frame`]), never with code of the packet path.

pub mod checksum;
pub mod entries;
pub mod fixture;
pub mod frame;
pub mod ground;
pub mod list;
pub mod random;
pub mod snapshot;
pub mod stage;
pub mod sweep;
pub mod twin;
