//! The BPF object that this binary carries.

/// The object, aligned as the ELF parser wants it.
pub static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/geminus.bpf.o"));

/// Name of the packet program in the object.
pub const PROGRAM: &str = "geminus";
/// Name of the program for interfaces that lead to partners alone.
pub const TWIN_PROGRAM: &str = "geminus_twin";
/// Name of the program that reads the kernel's clocks.
pub const CLOCK_PROGRAM: &str = "geminus_clock";
/// Name of the map that [`CLOCK_PROGRAM`] writes.
pub const CLOCK_MAP: &str = "CLOCK";
/// Name of the map that says what is laid down of clients: the one table that is not an array and cannot be mapped.
pub const SOURCES: &str = "SOURCES";
/// Name of the program that passes everything.
pub const PASS_PROGRAM: &str = "geminus_pass";
/// Name of the program that turns marked packets into clients'.
pub const PROBE_OUT_PROGRAM: &str = "geminus_probe_out";
/// Name of the program that turns their answers back.
pub const PROBE_IN_PROGRAM: &str = "geminus_probe_in";
/// Name of the map of checks under way.
pub const PROBES_MAP: &str = "PROBES";
/// Name of the map that finds the check of an answer.
pub const RETURNS_MAP: &str = "RETURNS";
