//! What Geminus decides, without a clock, a socket, a file or a random source: they are arguments.

pub mod agent;
pub mod announce;
pub mod config;
pub mod director;
pub mod ha;
pub mod health;
pub mod journal;
pub mod key;
pub mod limits;
pub mod manager;
pub mod model;
pub mod neighbour;
pub mod plan;
pub mod replication;
pub mod ring;
pub mod wire;
