//! What Geminus decides, without a clock, a socket, a file or a random source: they are arguments.

pub mod model;
