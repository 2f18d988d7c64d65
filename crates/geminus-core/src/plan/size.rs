//! How large the tables have to be, and what they weigh.

use geminus_packet::flow::WAYS;
use geminus_packet::heap::Sizes;
use geminus_packet::journal::Journal;
use geminus_packet::tables::{
    AddressBucket, EndpointBucket, GROUPS, Globals, Group, PATHS, PathEntry, RING_LINE_SLOTS, Range,
    ReasonCounters, RingLine, Server, ServerCounters, Service, Tuple,
};

use crate::model::{Condition, Ports, Site};

/// Sizes of the tables for a site, with room to grow by half before they have to be made anew. `cpus`: possible CPUs.
pub fn sizes(site: &Site, cpus: u32) -> Sizes {
    // Its own, and a path ends at one address of the node at hand, whichever that is.
    let mut addresses = 1 + site.ha.paths.len().min(PATHS as usize) as u32;
    let mut endpoints = 0;
    let mut ranges = 0;
    let mut services = 0;
    let mut servers = 0;
    let mut lines = 0;
    let mut longest = 0;
    let mut sources = 0;
    for cluster in &site.clusters {
        addresses += cluster.addresses.len() as u32;
        for service in &cluster.services {
            let pools = 1 + service.pools.len() as u32;
            services += pools;
            servers += service.servers.len() as u32;
            let ring = service.ring_slots.div_ceil(RING_LINE_SLOTS);
            lines += ring * pools;
            longest = longest.max(ring);
            let of_rules = service.rules.iter().map(|rule| match &rule.when {
                Condition::From(prefixes) => prefixes.len(),
                _ => 0,
            });
            // Where only some are allowed, each family has an entry for the rest.
            sources += (of_rules.sum::<usize>() + service.allow.len() + service.deny.len() + 2) as u32;
            match service.ports {
                Ports::Exact(_) => endpoints += 1,
                Ports::Range(..) | Ports::Any => ranges += 1,
            }
        }
    }
    let flow_buckets = site.tables.flows / WAYS as u32;
    Sizes {
        address_buckets: static_buckets(addresses) * 2,
        endpoint_buckets: static_buckets(endpoints) * 2,
        ranges: roomy(ranges).max(16) * 2,
        services: roomy(services).max(16),
        // While a ring is replaced, the old and the new one stand beside each other; so a site whose rings all change at
        // once wants twice the room. Half as much again and two rings are enough for changes a few services at a time.
        ring_lines: lines * 2 + longest * 2,
        servers: roomy(servers + 1).max(64),
        flow_buckets,
        provisional_buckets: (site.tables.provisional / WAYS as u32).max(LEAST_BUCKETS),
        affinity_buckets: (site.tables.affinity / WAYS as u32).max(LEAST_BUCKETS),
        tuples: if site.tables.tuples { site.tables.flows } else { 1 },
        // Without a switch between two of them, both the old and the new entries are there for a moment.
        sources: (sources * 2).max(LEAST_SOURCES),
        cpus,
    }
}

/// Fewer would not keep the whole hash of a flow, which moving to larger tables needs ([`geminus_packet::flow::Bucket::tag`]).
const LEAST_BUCKETS: u32 = 1 << 12;

/// The trie takes memory for what is in it alone, so room costs nothing.
const LEAST_SOURCES: u32 = 1 << 14;

const fn roomy(entries: u32) -> u32 {
    entries + entries / 2
}

/// Buckets of one half of a static table: an eighth full, so that a seed is found that overfills none.
fn static_buckets(entries: u32) -> u32 {
    (roomy(entries) * 2).max(16).next_power_of_two()
}

/// Kernel memory of the tables, bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// Flow table.
    pub flows: u64,
    /// Its cold side.
    pub tuples: u64,
    /// Provisional table.
    pub provisional: u64,
    /// Affinity table.
    pub affinity: u64,
    /// Rings.
    pub rings: u64,
    /// Everything else: addresses, services, servers, journals, counters.
    pub rest: u64,
}

impl Memory {
    /// All of it.
    pub const fn total(&self) -> u64 {
        self.flows + self.tuples + self.provisional + self.affinity + self.rings + self.rest
    }
}

/// What tables of these sizes weigh.
pub fn memory(sizes: &Sizes) -> Memory {
    const fn table<T>(entries: u32) -> u64 {
        entries as u64 * size_of::<T>() as u64
    }
    let bucket = |buckets: u32| u64::from(buckets) * size_of::<geminus_packet::flow::Bucket>() as u64;
    Memory {
        flows: bucket(sizes.flow_buckets),
        tuples: table::<Tuple>(sizes.tuples),
        provisional: bucket(sizes.provisional_buckets),
        affinity: bucket(sizes.affinity_buckets),
        rings: table::<RingLine>(sizes.ring_lines),
        rest: table::<Globals>(1)
            + table::<AddressBucket>(sizes.address_buckets)
            + table::<EndpointBucket>(sizes.endpoint_buckets)
            + table::<Range>(sizes.ranges)
            + table::<Service>(sizes.services)
            + table::<Server>(sizes.servers)
            + table::<Group>(GROUPS)
            + table::<PathEntry>(PATHS)
            + table::<Journal>(sizes.cpus)
            + table::<ReasonCounters>(sizes.cpus)
            + table::<ServerCounters>(sizes.servers * sizes.cpus),
    }
}
