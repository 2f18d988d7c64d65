//! What a configuration would make of this machine. Pure.

use std::net::IpAddr;

use geminus_core::model::{Affinity, Check, Method, Select, Service, Site};
use geminus_core::plan;
use serde::Serialize;

use crate::figures::span;
use crate::verbs::check::partners::{Availability, availability};

/// The whole site in figures.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Outlook {
    /// The dispatchers.
    pub(crate) nodes: Vec<Dispatcher>,
    /// Clusters.
    pub(crate) clusters: usize,
    /// Cluster addresses.
    pub(crate) addresses: usize,
    /// Each service.
    pub(crate) services: Vec<Line>,
    /// Servers, counted once for each service.
    pub(crate) servers: usize,
    /// Who takes over from whom; none where nobody does.
    pub(crate) availability: Option<Availability>,
    /// Kernel memory.
    pub(crate) memory: Memory,
}

/// One dispatcher.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Dispatcher {
    pub(crate) name: String,
    pub(crate) address: IpAddr,
    pub(crate) interface: String,
}

/// One service of one cluster.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Line {
    pub(crate) cluster: String,
    pub(crate) addresses: Vec<IpAddr>,
    pub(crate) primary: String,
    pub(crate) backup: Option<String>,
    pub(crate) protocol: &'static str,
    pub(crate) ports: String,
    pub(crate) method: &'static str,
    pub(crate) select: &'static str,
    pub(crate) affinity: Option<String>,
    /// How its servers are checked; none: they are not.
    pub(crate) check: Option<Checked>,
    /// What becomes of the flows of a server that is down.
    pub(crate) on_down: &'static str,
    /// Who sets the weights.
    pub(crate) weights: &'static str,
    /// Names of its further pools.
    pub(crate) pools: Vec<String>,
    /// Rules that choose between them.
    pub(crate) rules: usize,
    pub(crate) ring_slots: u32,
    /// Servers of all its pools.
    pub(crate) servers: usize,
    /// Servers of weight 0: they get no new flow.
    pub(crate) idle_servers: usize,
}

/// How the servers of a service are checked.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Checked {
    pub(crate) advisor: &'static str,
    pub(crate) via: &'static str,
    /// The port that is asked; none: the service's.
    pub(crate) port: Option<u16>,
    /// Seconds between checks while nothing changes.
    pub(crate) interval: f64,
    pub(crate) fall: u32,
    pub(crate) rise: u32,
}

/// Kernel memory of the tables, bytes, and the entries that the configuration chooses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Memory {
    pub(crate) flow_entries: u32,
    pub(crate) flows: u64,
    /// The 5-tuples for `geminus flows`; little where they are not kept.
    pub(crate) tuples: u64,
    pub(crate) provisional_entries: u32,
    pub(crate) provisional: u64,
    pub(crate) affinity_entries: u32,
    pub(crate) affinity: u64,
    pub(crate) rings: u64,
    pub(crate) rest: u64,
    pub(crate) total: u64,
}

/// What the site comes to on a machine with this many CPUs.
pub(crate) fn outlook(site: &Site, cpus: u32) -> Outlook {
    let services: Vec<Line> = site
        .clusters
        .iter()
        .flat_map(|cluster| {
            cluster.services.iter().map(|service| Line {
                cluster: cluster.name.clone(),
                addresses: cluster.addresses.clone(),
                primary: cluster.primary.clone(),
                backup: cluster.backup.clone(),
                ..line(service)
            })
        })
        .collect();
    Outlook {
        nodes: site
            .nodes
            .iter()
            .map(|node| Dispatcher {
                name: node.name.clone(),
                address: node.address,
                interface: node.interface.clone(),
            })
            .collect(),
        clusters: site.clusters.len(),
        addresses: site.clusters.iter().map(|cluster| cluster.addresses.len()).sum(),
        servers: services.iter().map(|service| service.servers).sum(),
        services,
        availability: availability(site),
        memory: memory(site, cpus),
    }
}

fn line(service: &Service) -> Line {
    Line {
        cluster: String::new(),
        addresses: Vec::new(),
        primary: String::new(),
        backup: None,
        protocol: service.protocol.word(),
        ports: service.ports.to_string(),
        method: match service.method {
            Method::Mac => "mac",
        },
        select: match service.select {
            Select::Hash => "hash",
            Select::RoundRobin => "round-robin",
            Select::LeastConnections => "least-connections",
        },
        affinity: service.affinity.as_ref().map(affinity),
        check: service.check.as_ref().map(checked),
        on_down: service.on_down.word(),
        weights: if service.managed { "managed" } else { "fixed" },
        pools: service.pools.clone(),
        rules: service.rules.len(),
        ring_slots: service.ring_slots,
        servers: service.servers.len(),
        idle_servers: service.servers.iter().filter(|server| server.weight == 0).count(),
    }
}

fn affinity(affinity: &Affinity) -> String {
    let Affinity { prefix4, prefix6, timeout, group } = affinity;
    let group = group.iter().map(|group| format!(",{group}")).collect::<String>();
    format!("source/{prefix4},{prefix6},{}{group}", span(timeout.as_secs_f64()))
}

fn checked(check: &Check) -> Checked {
    Checked {
        advisor: check.advisor.word(),
        via: check.via.word(),
        port: check.port,
        interval: check.interval.as_secs_f64(),
        fall: check.fall,
        rise: check.rise,
    }
}

fn memory(site: &Site, cpus: u32) -> Memory {
    let weight = plan::memory(&plan::sizes(site, cpus));
    Memory {
        flow_entries: site.tables.flows,
        flows: weight.flows,
        tuples: weight.tuples,
        provisional_entries: site.tables.provisional,
        provisional: weight.provisional,
        affinity_entries: site.tables.affinity,
        affinity: weight.affinity,
        rings: weight.rings,
        rest: weight.rest,
        total: weight.total(),
    }
}

/// CPUs that the kernel may ever run, from a list such as `0-3,8` (`/sys/devices/system/cpu/possible`): per-CPU tables
/// have a part for each.
pub(crate) fn possible_cpus(list: &str) -> Option<u32> {
    let mut highest = None;
    for part in list.trim().split(',') {
        let last = part.rsplit('-').next()?.parse::<u32>().ok()?;
        highest = highest.max(Some(last));
    }
    highest.map(|highest| highest + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn possible_cpus_are_counted_to_the_highest() {
        let lists = ["0-1\n", "0", "0-3,8-11", "", "x", "0-"].map(possible_cpus);
        assert_eq!(lists, [Some(2), Some(1), Some(12), None, None, None]);
    }
}
