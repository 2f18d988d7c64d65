//! What the kernel of this host says of its load.

use std::fs::File;
use std::io::Read as _;

use geminus_core::agent::Seen;
use geminus_core::agent::proc_text::{cpu, memory, overflows, pressure};

/// Most that is read of one file: `/proc/net/netstat` has 6 KiB, and of `/proc/stat` the first line is enough.
const LONGEST: u64 = 64 << 10;

/// Looks; what the kernel does not have is left out.
pub(super) fn seen(custom: Vec<(String, u16)>) -> Seen {
    Seen {
        cpu: cpu(&text("/proc/stat")),
        memory: memory(&text("/proc/meminfo")),
        psi_cpu: pressure(&text("/proc/pressure/cpu")),
        psi_memory: pressure(&text("/proc/pressure/memory")),
        psi_io: pressure(&text("/proc/pressure/io")),
        overflows: overflows(&text("/proc/net/netstat")),
        custom,
    }
}

/// The beginning of a file; nothing if it cannot be read.
fn text(path: &str) -> String {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(LONGEST).read_to_end(&mut bytes));
    if read.is_err() {
        bytes.clear();
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_very_machine_is_read() {
        let seen = seen(vec![("jobs".to_owned(), 7)]);
        assert!(seen.cpu.is_some() && seen.memory.is_some() && seen.overflows.is_some(), "{seen:?}");
        assert_eq!(seen.custom.len(), 1);
        assert_eq!(text("/nonexistent"), "");
    }
}
