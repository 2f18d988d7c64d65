//! What Geminus decides, without a clock, a socket, a file or a random source: they are arguments.

pub mod announce;
pub mod config;
pub mod director;
pub mod journal;
pub mod limits;
pub mod key;
pub mod model;
pub mod plan;
pub mod neighbour;
pub mod ring;
