//! The `geminus` binary.
fn main() {}
