//! Faults, and what becomes of a site that meets them.

pub mod cut;
