//! What was really on the wire, and what it cost.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::read_to_string;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::site::{self, CLUSTER, Family, Site};

/// Packets and their bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Volume {
    /// Frames.
    pub packets: u64,
    /// Bytes of the frames.
    pub bytes: u64,
}

/// What the switch carried for the cluster in one family, TCP and UDP only.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Carried {
    /// Client to cluster, router to dispatcher.
    pub requests_in: Volume,
    /// Client to cluster, dispatcher to a server.
    pub requests_out: Volume,
    /// Cluster to client, into the dispatcher: must stay 0.
    pub replies_in: Volume,
    /// Cluster to client, out of the dispatcher: must stay 0.
    pub replies_out: Volume,
    /// Cluster to client, server to router.
    pub replies_direct: Volume,
}

/// Puts counters in the switch, where no machine on the LAN can hide a frame from them.
///
/// # Errors
/// When nftables is missing.
pub fn count_in_switch(site: &Site) -> Result<()> {
    let rules: String = site.dispatchers.iter().map(rules_at).collect();
    site.switch.feed("nft", &["-f", "-"], &table(&rules)).map(drop)
}

/// What the switch carried since its counters were put in place.
///
/// # Errors
/// When there are none.
pub fn carried(site: &Site, family: Family) -> Result<Carried> {
    let counters = parse(&site.switch.run("nft", &["-j", "list", "counters"])?)?;
    let of = |name: &str| {
        let name = format!("{name}_{}", suffix(family));
        counters.get(&name).copied().with_context(|| format!("the switch has no counter {name}"))
    };
    Ok(Carried {
        requests_in: of("requests_in")?,
        requests_out: of("requests_out")?,
        replies_in: of("replies_in")?,
        replies_out: of("replies_out")?,
        replies_direct: of("replies_direct")?,
    })
}

impl Carried {
    /// What was carried since an earlier reading.
    #[must_use]
    pub fn since(self, earlier: Self) -> Self {
        Self {
            requests_in: self.requests_in.since(earlier.requests_in),
            requests_out: self.requests_out.since(earlier.requests_out),
            replies_in: self.replies_in.since(earlier.replies_in),
            replies_out: self.replies_out.since(earlier.replies_out),
            replies_direct: self.replies_direct.since(earlier.replies_direct),
        }
    }
}

impl Volume {
    /// The sum of two.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self { packets: self.packets + other.packets, bytes: self.bytes + other.bytes }
    }

    fn since(self, earlier: Self) -> Self {
        Self { packets: self.packets - earlier.packets, bytes: self.bytes - earlier.bytes }
    }
}

const NAMES: [&str; 5] = ["requests_in", "requests_out", "replies_in", "replies_out", "replies_direct"];

const fn suffix(family: Family) -> &'static str {
    match family {
        Family::V4 => "v4",
        Family::V6 => "v6",
    }
}

fn table(rules: &str) -> String {
    let mut text = "table bridge lab {\n".to_owned();
    for (name, family) in NAMES.iter().flat_map(|name| Family::BOTH.map(|family| (name, family))) {
        let _ = writeln!(text, "  counter {name}_{} {{}}", suffix(family));
    }
    text.push_str("  chain ports {\n    type filter hook forward priority 0; policy accept;\n");
    for family in Family::BOTH {
        let from = source(family);
        let _ = writeln!(
            text,
            "    oifname \"router\" iifname \"web*\" {from} counter name replies_direct_{}",
            suffix(family)
        );
    }
    text.push_str(rules);
    text.push_str("  }\n}\n");
    text
}

/// What a server answers the dispatcher's own checks is no client's reply.
fn rules_at(dispatcher: &site::Machine) -> String {
    let port = &dispatcher.name;
    let mut text = String::new();
    for family in Family::BOTH {
        let (from, to, suffix) = (source(family), destination(family), suffix(family));
        let own = dispatcher.addresses.of(family);
        let word = match family {
            Family::V4 => "ip",
            Family::V6 => "ip6",
        };
        let from_clients_view = format!("{from} {word} daddr != {own}");
        for (direction, what, name) in [
            ("oifname", &to, "requests_in"),
            ("iifname", &to, "requests_out"),
            ("oifname", &from_clients_view, "replies_in"),
            ("iifname", &from, "replies_out"),
        ] {
            let _ = writeln!(text, "    {direction} \"{port}\" {what} counter name {name}_{suffix}");
        }
    }
    text
}

fn source(family: Family) -> String {
    match family {
        Family::V4 => format!("ip saddr {} meta l4proto {{ tcp, udp }}", CLUSTER.v4),
        Family::V6 => format!("ip6 saddr {} meta l4proto {{ tcp, udp }}", CLUSTER.v6),
    }
}

fn destination(family: Family) -> String {
    source(family).replace("saddr", "daddr")
}

fn parse(listing: &str) -> Result<BTreeMap<String, Volume>> {
    let listing: Value = serde_json::from_str(listing).context("nft printed something that is no JSON")?;
    let entries = listing.get("nftables").and_then(Value::as_array).context("nft listed nothing")?;
    let counters = entries.iter().filter_map(|entry| entry.get("counter"));
    Ok(counters
        .filter_map(|counter| {
            let number = |key: &str| counter.get(key)?.as_u64();
            let name = counter.get("name")?.as_str()?.to_owned();
            Some((name, Volume { packets: number("packets")?, bytes: number("bytes")? }))
        })
        .collect())
}

/// What a process has used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Time on a CPU, all threads.
    pub cpu: Duration,
    /// Resident memory of its own, bytes: without mapped files and tables.
    pub own_memory: u64,
    /// Resident memory in all, bytes.
    pub resident: u64,
}

impl Usage {
    /// Reads it.
    ///
    /// # Errors
    /// When the process is gone.
    pub fn of(pid: u32) -> Result<Self> {
        let status = read_to_string(format!("/proc/{pid}/status"))
            .with_context(|| format!("process {pid} is gone"))?;
        let kibibytes = |key: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(key))?;
            line.trim_start_matches(':').split_whitespace().next()?.parse::<u64>().ok()
        };
        Ok(Self {
            cpu: cpu_of(pid)?,
            own_memory: kibibytes("RssAnon").unwrap_or(0) * 1024,
            resident: kibibytes("VmRSS").unwrap_or(0) * 1024,
        })
    }
}

/// The scheduler's own nanoseconds: `/proc/PID/stat` counts in steps of 10 ms, which is more than an idle daemon uses.
fn cpu_of(pid: u32) -> Result<Duration> {
    let tasks =
        std::fs::read_dir(format!("/proc/{pid}/task")).with_context(|| format!("process {pid} is gone"))?;
    let run_time = |task: std::fs::DirEntry| {
        let text = read_to_string(task.path().join("schedstat")).ok()?;
        text.split_whitespace().next()?.parse::<u64>().ok()
    };
    Ok(Duration::from_nanos(tasks.flatten().filter_map(run_time).sum()))
}

/// Time that all CPUs together were busy, and time that passed for all of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Machine {
    /// Clock ticks spent on anything.
    busy: u64,
    /// Clock ticks in all.
    all: u64,
}

impl Machine {
    /// Reads it.
    ///
    /// # Errors
    /// When `/proc/stat` is not as the kernel documents it.
    pub fn read() -> Result<Self> {
        let stat = read_to_string("/proc/stat")?;
        let first = stat.lines().next().context("/proc/stat is empty")?;
        let ticks: Vec<u64> =
            first.split_whitespace().skip(1).filter_map(|field| field.parse().ok()).collect();
        // user nice system idle iowait irq softirq steal; guest time is in user already.
        let all: u64 = ticks.iter().take(8).sum();
        let idle: u64 = ticks.iter().skip(3).take(2).sum();
        Ok(Self { busy: all - idle, all })
    }

    /// Share of the whole machine that was busy since an earlier reading, 0 to 1.
    pub fn busy_since(self, earlier: Self) -> f64 {
        let all = self.all.saturating_sub(earlier.all);
        if all == 0 { 0.0 } else { self.busy.saturating_sub(earlier.busy) as f64 / all as f64 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_read_by_name() {
        let listing = r#"{"nftables": [{"metainfo": {"version": "1"}},
            {"counter": {"family": "bridge", "name": "replies_in_v6", "table": "lab", "packets": 3, "bytes": 210}}]}"#;
        let counters = parse(listing).unwrap();
        assert_eq!(counters["replies_in_v6"], Volume { packets: 3, bytes: 210 });
    }

    #[test]
    fn this_process_uses_memory_and_time() {
        let usage = Usage::of(std::process::id()).unwrap();
        assert!(usage.cpu > Duration::ZERO && usage.resident >= usage.own_memory && usage.own_memory > 0);
    }
}
