//! The kernel's tables, mapped into this process.
#![allow(unsafe_code, reason = "maps kernel memory and hands out references into it")]

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd};
use std::path::Path;
use std::ptr::NonNull;

use aya::maps::MapData;
use geminus_core::plan::{PlanError, Sources};
use geminus_packet::flow::Bucket;
use geminus_packet::heap::Sizes;
use geminus_packet::journal::Journal;
use geminus_packet::tables::{
    Address, AddressBucket, EndpointBucket, GROUPS, Globals, Group, PATHS, PathEntry, Range, ReasonCounters,
    RingLine, Server, ServerCounters, Service, SourceKey, Tables, Tuple,
};
use geminus_packet::verdict::Counter;

use crate::client_table::ClientTable;
use crate::object::SOURCES;

/// One mapped array. The entries are made of atomic words only, so that shared references are right although the kernel
/// program writes them too.
#[derive(Debug)]
pub(crate) struct Mapping<T> {
    first: NonNull<T>,
    entries: u32,
    bytes: usize,
}

// SAFETY: the memory belongs to the mapping until it is dropped, and the entries are atomics.
unsafe impl<T: Sync> Send for Mapping<T> {}
// SAFETY: as above.
unsafe impl<T: Sync> Sync for Mapping<T> {}

impl<T> Mapping<T> {
    pub(crate) fn new(map: BorrowedFd<'_>, entries: u32) -> io::Result<Self> {
        // SAFETY: asks for nothing but a number.
        let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) } as usize;
        let bytes = (entries as usize * size_of::<T>()).next_multiple_of(page);
        // SAFETY: a new shared mapping of a file descriptor that is open; the kernel checks its length.
        let memory = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                bytes,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                map.as_raw_fd(),
                0,
            )
        };
        if memory == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let first = NonNull::new(memory.cast::<T>()).expect("a successful mapping is not at address 0");
        Ok(Self { first, entries, bytes })
    }

    pub(crate) fn get(&self, index: u32) -> Option<&T> {
        if index >= self.entries {
            return None;
        }
        // SAFETY: within the mapping, which is page-aligned and lives as long as `self`; any bytes are a valid entry.
        Some(unsafe { self.first.add(index as usize).as_ref() })
    }
}

impl<T> Drop for Mapping<T> {
    fn drop(&mut self) {
        // SAFETY: the mapping is this one's own and no reference outlives it.
        unsafe { libc::munmap(self.first.as_ptr().cast(), self.bytes) };
    }
}

macro_rules! mapped {
    ($($field:ident: $entry:ty = $map:literal, $entries:expr;)*) => {
        /// Every table of one installation.
        #[derive(Debug)]
        pub struct MappedTables { $($field: Mapping<$entry>,)* sources: ClientTable, sizes: Sizes }

        /// Names of the maps in the object.
        pub const MAPS: &[&str] = &[$($map),*];

        /// Entries of a map, for tables of these sizes.
        pub fn entries(map: &str, sizes: &Sizes) -> Option<u32> {
            $(if map == $map { let f: fn(&Sizes) -> u32 = $entries; return Some(f(sizes)); })*
            None
        }

        /// Bytes of one entry of a map.
        pub fn entry_size(map: &str) -> Option<usize> {
            $(if map == $map { return Some(size_of::<$entry>()); })*
            None
        }

        impl MappedTables {
            /// Maps the tables of these sizes; `map` finds each by its name.
            pub fn new<'m>(
                sizes: &Sizes,
                map: impl Fn(&'static str) -> io::Result<BorrowedFd<'m>>,
            ) -> io::Result<Self> {
                Ok(Self {
                    $($field: { let f: fn(&Sizes) -> u32 = $entries; Mapping::new(map($map)?, f(sizes))? },)*
                    sources: ClientTable::new(map(SOURCES)?)?,
                    sizes: *sizes,
                })
            }
        }
    };
}

mapped! {
    globals: Globals = "GLOBALS", |_| 1;
    addresses: AddressBucket = "ADDRESSES", |s| s.address_buckets;
    endpoints: EndpointBucket = "ENDPOINTS", |s| s.endpoint_buckets;
    ranges: Range = "RANGES", |s| s.ranges;
    services: Service = "SERVICES", |s| s.services;
    ring: RingLine = "RING", |s| s.ring_lines;
    servers: Server = "SERVERS", |s| s.servers;
    groups: Group = "GROUPS", |_| GROUPS;
    paths: PathEntry = "PATHS", |_| PATHS;
    flows: Bucket = "FLOWS", |s| s.flow_buckets;
    provisional: Bucket = "PROVISIONAL", |s| s.provisional_buckets;
    affinity: Bucket = "AFFINITY", |s| s.affinity_buckets;
    tuples: Tuple = "TUPLES", |s| s.tuples;
    journals: Journal = "JOURNAL", |s| s.cpus;
    reasons: ReasonCounters = "REASONS_SEEN", |s| s.cpus;
    sent: ServerCounters = "SENT", |s| s.servers * s.cpus;
}

/// Maps the tables of these sizes that are pinned in a folder.
pub(crate) fn from_pins(sizes: &Sizes, folder: &Path) -> io::Result<MappedTables> {
    let mut maps = HashMap::new();
    for name in MAPS.iter().chain([&SOURCES]) {
        maps.insert(*name, MapData::from_pin(folder.join(name)).map_err(io::Error::other)?);
    }
    MappedTables::new(sizes, |name| Ok(maps.get(name).ok_or(io::ErrorKind::NotFound)?.fd().as_fd()))
}

impl MappedTables {
    /// Their sizes.
    pub fn sizes(&self) -> &Sizes {
        &self.sizes
    }

    /// Packets by reason of one CPU.
    pub fn reasons(&self, cpu: u32) -> Option<&ReasonCounters> {
        self.reasons.get(cpu)
    }

    /// What each CPU remembered lately.
    pub fn journals(&self) -> impl Iterator<Item = &Journal> {
        (0..self.sizes.cpus).filter_map(|cpu| self.journals.get(cpu))
    }

    /// What one CPU sent to one server.
    pub fn sent(&self, cpu: u32, server: u32) -> Option<&ServerCounters> {
        if server >= self.sizes.servers { None } else { self.sent.get(cpu * self.sizes.servers + server) }
    }
}

/// As the host's packet path sees them: to be asked, not to be written.
impl Tables for MappedTables {
    fn globals(&self) -> Option<&Globals> {
        self.globals.get(0)
    }
    fn addresses(&self, bucket: u32) -> Option<&AddressBucket> {
        self.addresses.get(bucket)
    }
    fn endpoints(&self, bucket: u32) -> Option<&EndpointBucket> {
        self.endpoints.get(bucket)
    }
    fn range(&self, index: u32) -> Option<&Range> {
        self.ranges.get(index)
    }
    fn service(&self, index: u32) -> Option<&Service> {
        self.services.get(index)
    }
    fn ring_line(&self, index: u32) -> Option<&RingLine> {
        self.ring.get(index)
    }
    fn server(&self, index: u32) -> Option<&Server> {
        self.servers.get(index)
    }
    fn source(&self, service: u32, client: Address) -> u64 {
        self.sources.find(service, client)
    }
    fn group(&self, index: u32) -> Option<&Group> {
        self.groups.get(index)
    }
    fn path(&self, index: u32) -> Option<&PathEntry> {
        self.paths.get(index)
    }
    fn flows(&self, bucket: u32) -> Option<&Bucket> {
        self.flows.get(bucket)
    }
    fn provisional(&self, bucket: u32) -> Option<&Bucket> {
        self.provisional.get(bucket)
    }
    fn affinity(&self, bucket: u32) -> Option<&Bucket> {
        self.affinity.get(bucket)
    }
    fn tuple(&self, slot: u32) -> Option<&Tuple> {
        self.tuples.get(slot)
    }
    fn journal(&self) -> Option<&Journal> {
        None
    }
    fn stamp(&self) -> u64 {
        0
    }
    fn count(&self, _: Counter) {}
    fn count_server(&self, _: u32, _: u64, _: bool) {}
    fn dry(&self) -> bool {
        true
    }
}

impl Sources for MappedTables {
    fn lay_down(&self, key: SourceKey, value: u64) -> Result<(), PlanError> {
        self.sources.set(key, value)
    }
    fn take_up(&self, key: SourceKey) {
        self.sources.remove(key);
    }
    fn laid_down(&self) -> Vec<(SourceKey, u64)> {
        self.sources.list()
    }
}
