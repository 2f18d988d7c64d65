//! Whether servers are well: what is to be checked, what checks said, and what follows.

mod probe;

pub use self::probe::{Diagnosis, Fault, FaultKind, Good, Probe, Question, Reading, Target};
