//! One number for how loaded a host is.
//!
//! Each thing that a host can run out of is brought to one scale: 0 nothing of it is used, 1 000 nothing is left. The load
//! is the greatest of them, for a host is as loaded as its scarcest part: the mean of a full processor and an idle disk
//! would say that half the host is free. `docs/design/agent.md` argues each part.

use std::collections::VecDeque;
use std::time::Duration;

use super::proc_text::{Cpu, Memory};
use crate::director::Instant;

/// Most that a load is: twice of what the host has to give is asked of it. Beyond that nobody needs to know.
pub const LOAD_MOST: u16 = 2000;

/// The processors' work is averaged over so long: less is noise, more is late.
pub const AVERAGED: Duration = Duration::from_secs(3);

/// How long a queue that overflowed keeps the host saturated: as long as pressure is averaged by the kernel.
pub const HELD: Duration = Duration::from_secs(10);

/// Thousandths of memory in use that are no load: caches, pools and heaps that a service keeps whether it works or not.
const MEMORY_FREE_OF_CHARGE: u64 = 800;

/// Stalls for memory count so much more than those for processors and disks: a host that waits for memory a fifth of its
/// time gets nothing else done.
const MEMORY_STALL: u64 = 5;

const ALL: u64 = 1000;

/// What was read of a host at one moment; none: the kernel does not say.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Seen {
    /// Of `/proc/stat`.
    pub cpu: Option<Cpu>,
    /// Of `/proc/meminfo`.
    pub memory: Option<Memory>,
    /// Of `/proc/pressure/cpu`, thousandths.
    pub psi_cpu: Option<u16>,
    /// Of `/proc/pressure/memory`, thousandths.
    pub psi_memory: Option<u16>,
    /// Of `/proc/pressure/io`, thousandths.
    pub psi_io: Option<u16>,
    /// Of `/proc/net/netstat`.
    pub overflows: Option<u64>,
    /// What the host's own programs say, by name: 0 to [`LOAD_MOST`].
    pub custom: Vec<(String, u16)>,
}

/// What a host's load is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Load {
    /// 0 to [`LOAD_MOST`].
    pub load: u16,
    /// What it is made of, as [`super::Report::parts`].
    pub parts: Vec<(String, u32)>,
}

/// Makes the load out of what is read of a host every now and then.
#[derive(Debug, Default)]
pub struct Gauge {
    /// The looks at the processors of the last [`AVERAGED`], and the one before them.
    looks: VecDeque<(Instant, Cpu)>,
    overflows: Option<u64>,
    overflowed: Option<Instant>,
}

impl Gauge {
    /// The load, by what was read now.
    pub fn look(&mut self, seen: &Seen, now: Instant) -> Load {
        let busy = seen.cpu.and_then(|cpu| self.busy(cpu, now));
        let overflows = seen.overflows.map(|overflows| self.overflows(overflows, now));
        let mut parts = Vec::new();
        let mut load = 0;
        let mut add = |name: &str, told: Option<u64>, counts: u64| {
            if let Some(told) = told {
                parts.push((name.to_owned(), u32::try_from(told).unwrap_or(u32::MAX)));
                load = load.max(counts);
            }
        };
        let psi = |share: Option<u16>| share.map(u64::from);
        let cpu_asked = busy.map(|busy| busy + busy * psi(seen.psi_cpu).unwrap_or(0) / ALL);
        add("cpu", busy, cpu_asked.unwrap_or(0));
        let used = seen.memory.map(used);
        add("memory", used, used.map_or(0, scarcity));
        add("psi-cpu", psi(seen.psi_cpu), 0);
        add("psi-memory", psi(seen.psi_memory), psi(seen.psi_memory).unwrap_or(0) * MEMORY_STALL);
        add("psi-io", psi(seen.psi_io), psi(seen.psi_io).unwrap_or(0));
        let held = self.overflowed.is_some_and(|then| now.since(then) < HELD);
        add("listen-overflows", overflows, if held { ALL } else { 0 });
        for (name, value) in &seen.custom {
            add(name, Some(u64::from(*value)), u64::from(*value));
        }
        let load = u16::try_from(load).unwrap_or(LOAD_MOST).min(LOAD_MOST);
        Load { load, parts }
    }

    /// Thousandths of the processors' time in which they worked; none: it is the first look.
    fn busy(&mut self, cpu: Cpu, now: Instant) -> Option<u64> {
        while self.looks.get(1).is_some_and(|(then, _)| now.since(*then) >= AVERAGED) {
            self.looks.pop_front();
        }
        if self.looks.back().is_some_and(|(_, last)| last.total > cpu.total || last.busy > cpu.busy) {
            // Processors went offline, or the machine was moved: what was is no measure.
            self.looks.clear();
        }
        let before = self.looks.front().map(|(_, before)| *before);
        self.looks.push_back((now, cpu));
        let before = before?;
        let (busy, total) = (cpu.busy - before.busy, cpu.total - before.total);
        (total > 0).then(|| (u128::from(busy) * u128::from(ALL) / u128::from(total)) as u64)
    }

    /// How many connections were refused since the look before.
    fn overflows(&mut self, overflows: u64, now: Instant) -> u64 {
        let before = self.overflows.replace(overflows);
        let new = before.map_or(0, |before| overflows.saturating_sub(before));
        if new > 0 {
            self.overflowed = Some(now);
        }
        new
    }
}

/// Thousandths of memory that new work cannot have.
fn used(memory: Memory) -> u64 {
    let free =
        u128::from(memory.available.min(memory.total)) * u128::from(ALL) / u128::from(memory.total.max(1));
    ALL - u64::try_from(free).unwrap_or(ALL)
}

/// How near the end of memory is.
fn scarcity(used: u64) -> u64 {
    used.saturating_sub(MEMORY_FREE_OF_CHARGE) * ALL / (ALL - MEMORY_FREE_OF_CHARGE)
}
