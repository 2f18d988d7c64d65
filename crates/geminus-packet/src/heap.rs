//! Tables on the heap: the host's home of the packet path, for tests and the simulator.

use std::boxed::Box;
use std::vec::Vec;

use crate::flow::Bucket;
use crate::journal::Journal;
use crate::tables::{
    Address, AddressBucket, EndpointBucket, GROUPS, Globals, Group, PATHS, PathEntry, Range, ReasonCounters,
    RingLine, Server, ServerCounters, Service, SourceKey, Tables, Tuple,
};
use crate::verdict::Counter;
use crate::word::Word;

/// How many entries each table has. The same sizes make the kernel's tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sizes {
    /// Buckets of cluster addresses, both halves.
    pub address_buckets: u32,
    /// Buckets of exact ports, both halves.
    pub endpoint_buckets: u32,
    /// Port ranges, both halves.
    pub ranges: u32,
    /// Services.
    pub services: u32,
    /// Ring lines.
    pub ring_lines: u32,
    /// Servers, number 0 (nobody) included.
    pub servers: u32,
    /// Buckets of the flow table, a power of two.
    pub flow_buckets: u32,
    /// Buckets of the provisional table, a power of two.
    pub provisional_buckets: u32,
    /// Buckets of the affinity table, a power of two.
    pub affinity_buckets: u32,
    /// Cold entries: one a flow slot, or 1.
    pub tuples: u32,
    /// Prefixes of clients that something is laid down of.
    pub sources: u32,
    /// CPUs that count.
    pub cpus: u32,
}

/// Tables on the heap.
#[derive(Debug)]
pub struct HeapTables {
    globals: Box<Globals>,
    addresses: Vec<AddressBucket>,
    endpoints: Vec<EndpointBucket>,
    ranges: Vec<Range>,
    services: Vec<Service>,
    ring: Vec<RingLine>,
    servers: Vec<Server>,
    groups: Vec<Group>,
    paths: Vec<PathEntry>,
    flows: Vec<Bucket>,
    provisional: Vec<Bucket>,
    affinity: Vec<Bucket>,
    tuples: Vec<Tuple>,
    journal: Box<Journal>,
    reasons: Box<ReasonCounters>,
    sent: Vec<ServerCounters>,
    /// What is laid down of clients.
    pub sources: std::sync::RwLock<std::collections::BTreeMap<SourceKey, u64>>,
    /// What the monotonic clock says, in nanoseconds.
    pub stamp: Word,
    /// Nothing is written while set.
    pub dry: bool,
}

fn empty<T: Default>(entries: u32) -> Vec<T> {
    let mut table = Vec::new();
    table.resize_with(entries as usize, T::default);
    table
}

impl HeapTables {
    /// Empty tables; the packet path passes everything until they are filled.
    pub fn new(sizes: &Sizes) -> Self {
        Self {
            globals: Box::default(),
            addresses: empty(sizes.address_buckets),
            endpoints: empty(sizes.endpoint_buckets),
            ranges: empty(sizes.ranges),
            services: empty(sizes.services),
            ring: empty(sizes.ring_lines),
            servers: empty(sizes.servers),
            groups: empty(GROUPS),
            paths: empty(PATHS),
            flows: empty(sizes.flow_buckets),
            provisional: empty(sizes.provisional_buckets),
            affinity: empty(sizes.affinity_buckets),
            tuples: empty(sizes.tuples),
            journal: Box::default(),
            reasons: Box::default(),
            sent: empty(sizes.servers),
            sources: std::sync::RwLock::default(),
            stamp: Word::new(0),
            dry: false,
        }
    }

    /// What was remembered lately: as many CPUs as there are, here one.
    pub fn journals(&self) -> impl Iterator<Item = &Journal> {
        std::iter::once(&*self.journal)
    }

    /// Packets counted for a reason.
    pub fn counted(&self, counter: Counter) -> u64 {
        self.reasons.packets[usize::from(counter.0)].load()
    }

    /// Packets, bytes and flows counted for a server.
    pub fn sent(&self, server: u32) -> [u64; 3] {
        self.sent
            .get(server as usize)
            .map_or([0; 3], |sent| [sent.packets.load(), sent.bytes.load(), sent.flows.load()])
    }
}

impl Tables for HeapTables {
    fn globals(&self) -> Option<&Globals> {
        Some(&self.globals)
    }
    fn addresses(&self, bucket: u32) -> Option<&AddressBucket> {
        self.addresses.get(bucket as usize)
    }
    fn endpoints(&self, bucket: u32) -> Option<&EndpointBucket> {
        self.endpoints.get(bucket as usize)
    }
    fn range(&self, index: u32) -> Option<&Range> {
        self.ranges.get(index as usize)
    }
    fn service(&self, index: u32) -> Option<&Service> {
        self.services.get(index as usize)
    }
    fn ring_line(&self, index: u32) -> Option<&RingLine> {
        self.ring.get(index as usize)
    }
    fn server(&self, index: u32) -> Option<&Server> {
        self.servers.get(index as usize)
    }
    fn source(&self, service: u32, client: Address) -> u64 {
        let sources = self.sources.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        let of_service = sources.iter().filter(|(key, _)| key.service == service && key.has(client));
        of_service.max_by_key(|(key, _)| key.bits).map_or(0, |(_, &value)| value)
    }
    fn group(&self, index: u32) -> Option<&Group> {
        self.groups.get(index as usize)
    }
    fn path(&self, index: u32) -> Option<&PathEntry> {
        self.paths.get(index as usize)
    }
    fn flows(&self, bucket: u32) -> Option<&Bucket> {
        self.flows.get(bucket as usize)
    }
    fn provisional(&self, bucket: u32) -> Option<&Bucket> {
        self.provisional.get(bucket as usize)
    }
    fn affinity(&self, bucket: u32) -> Option<&Bucket> {
        self.affinity.get(bucket as usize)
    }
    fn tuple(&self, slot: u32) -> Option<&Tuple> {
        self.tuples.get(slot as usize)
    }
    fn journal(&self) -> Option<&Journal> {
        (!self.dry).then_some(&*self.journal)
    }
    fn stamp(&self) -> u64 {
        self.stamp.load()
    }
    fn count(&self, counter: Counter) {
        if !self.dry {
            self.reasons.packets[usize::from(counter.0)].fetch_add(1);
        }
    }
    fn count_server(&self, server: u32, bytes: u64, begins: bool) {
        if self.dry {
            return;
        }
        if let Some(sent) = self.sent.get(server as usize) {
            sent.packets.fetch_add(1);
            sent.bytes.fetch_add(bytes);
            sent.flows.fetch_add(u64::from(begins));
        }
    }
    fn dry(&self) -> bool {
        self.dry
    }
}
