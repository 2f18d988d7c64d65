//! Geminus in a real kernel: the real binary in network namespaces, real clients, real servers.
//!
//! One code for the demonstration and for the tests of floor 4. [`site::Site`] builds client, router, switch,
//! dispatcher and content hosts; [`traffic`] asks and counts; the binary under test is a path, never a library.
//! Traffic stays inside namespaces that the run made, uses documentation addresses only and ends by itself; every
//! thing made is written in a ledger ([`undo`]) and undone, also after a signal or, by the next run, after a crash.

pub mod agents;
pub mod amiss;
pub mod balanced;
pub mod balancer;
pub mod counterparts;
pub mod demo;
pub mod faults;
pub mod frames;
pub mod guide;
pub mod kernel;
pub mod loads;
pub mod measure;
pub mod namespace;
mod nginx;
pub mod observer;
pub mod pair;
pub mod process;
pub mod report;
pub mod site;
pub mod traffic;
pub mod twins;
pub mod undo;
pub mod versus;
pub mod wire;

pub use nginx::{HTTP, PAGE_BYTES, SLOW_BYTES, SLOW_BYTES_PER_SECOND, UNEXPOSED};
