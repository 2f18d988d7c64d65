//! The packet path of Geminus: one frame and the tables in, one verdict out.
//!
//! This crate is compiled twice from the same source: into the XDP program (`geminus-ebpf`, target `bpfel-unknown-none`)
//! and into the host, where `cargo test`, `geminus explain` and the simulator run it. It has no clock, no I/O, no
//! allocation; the time is an argument ([`tables::Ticks`]), the frame and the tables are traits ([`frame::Frame`],
//! [`tables::Tables`]).
//!
//! Read in this order: [`mod@dispatch`] (the path), `balance` (which server), [`flow`] (the flow table), [`journal`]
//! (what was remembered lately), `answer` (ARP, neighbour discovery, echo), [`twin`] (what partners tell each other), [`tables`] (what lies in shared memory),
//! [`verdict`] (every reason there is).
#![no_std]
#![cfg_attr(target_arch = "bpf", allow(internal_features))]
#![cfg_attr(target_arch = "bpf", feature(asm_experimental_arch, core_intrinsics))]

#[cfg(any(feature = "std", test))]
extern crate std;

mod answer;
mod balance;
pub mod dispatch;
pub mod flow;
pub mod frame;
pub mod hash;
#[cfg(feature = "std")]
pub mod heap;
pub mod journal;
pub mod packet;
pub mod probe;
pub mod tables;
pub mod twin;
pub mod verdict;
pub mod wire;
pub mod word;

pub use dispatch::{dispatch, dispatch_twin};
