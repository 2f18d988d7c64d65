//! What the figures were measured on.

use std::fs;
use std::process::Command;

use anyhow::{Context as _, Result};
use serde::Serialize;

/// The machine, as the kernel describes it.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Machine {
    pub(crate) processor: String,
    pub(crate) cpus: usize,
    pub(crate) virtual_machine: bool,
    /// Level and size of each cache of one CPU.
    pub(crate) caches: Vec<String>,
    pub(crate) memory_gib: f64,
    pub(crate) kernel: String,
    /// What the kernel does about branch prediction, which every indirect call and return pays for.
    pub(crate) branch_mitigations: String,
    pub(crate) jit: bool,
    /// The day, as the clock has it.
    pub(crate) date: String,
    /// The commit, with a star if files were changed since.
    pub(crate) commit: String,
    /// What else ran when the measurement began: processes waiting for a CPU, on average of a minute.
    pub(crate) load: String,
}

impl Machine {
    /// Looks at the machine as it is now.
    pub(crate) fn look() -> Result<Self> {
        let cpus = fs::read_to_string("/proc/cpuinfo").context("cannot read /proc/cpuinfo")?;
        let field = |key: &str| {
            cpus.lines().find(|line| line.starts_with(key)).and_then(|line| line.split_once(": "))
        };
        let memory = fs::read_to_string("/proc/meminfo")?;
        let kibibytes: f64 =
            memory.split_whitespace().nth(1).and_then(|number| number.parse().ok()).unwrap_or(0.0);
        Ok(Self {
            processor: field("model name").map_or("?", |(_, name)| name).trim().to_owned(),
            cpus: cpus.lines().filter(|line| line.starts_with("processor")).count(),
            virtual_machine: field("flags").is_some_and(|(_, flags)| flags.contains(" hypervisor")),
            caches: caches(),
            memory_gib: kibibytes / f64::from(1 << 20),
            kernel: line_of("/proc/sys/kernel/osrelease"),
            branch_mitigations: line_of("/sys/devices/system/cpu/vulnerabilities/spectre_v2"),
            jit: line_of("/proc/sys/net/core/bpf_jit_enable") != "0",
            date: said_by("date", &["-u", "+%Y-%m-%d"]),
            commit: said_by("git", &["describe", "--always", "--dirty=*", "--abbrev=10"]),
            load: line_of("/proc/loadavg").split_whitespace().next().unwrap_or("?").to_owned(),
        })
    }
}

fn caches() -> Vec<String> {
    let of = |index: u32| {
        let folder = format!("/sys/devices/system/cpu/cpu0/cache/index{index}");
        let level = fs::read_to_string(format!("{folder}/level")).ok()?;
        let size = fs::read_to_string(format!("{folder}/size")).ok()?;
        let kind = fs::read_to_string(format!("{folder}/type")).ok()?;
        (kind.trim() != "Instruction").then(|| format!("L{} {}", level.trim(), size.trim()))
    };
    (0..5).filter_map(of).collect()
}

/// A file of one line, or a question mark where there is none.
fn line_of(file: &str) -> String {
    fs::read_to_string(file).map_or_else(|_| "?".to_owned(), |text| text.trim().to_owned())
}

fn said_by(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().ok().filter(|output| output.status.success());
    output.map_or_else(|| "?".to_owned(), |output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
