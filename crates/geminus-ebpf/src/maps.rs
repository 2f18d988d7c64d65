//! The tables as BPF maps. Sizes here are the smallest; the loader sets the real ones.

use aya_ebpf::helpers::{bpf_get_smp_processor_id, bpf_ktime_get_ns};
use aya_ebpf::macros::map;
use aya_ebpf::maps::lpm_trie::Key;
use aya_ebpf::maps::{Array, LpmTrie};
use geminus_packet::flow::Bucket;
use geminus_packet::journal::Journal;
use geminus_packet::tables::{
    Address, AddressBucket, EndpointBucket, Globals, Group, PathEntry, Range, ReasonCounters, RingLine,
    Server, ServerCounters, Service, SourceKey, Tables, Tuple,
};
use geminus_packet::verdict::{Counter, REASONS};

/// `BPF_F_MMAPABLE`: user space maps the table and reads and writes it without system calls.
pub const MAPPABLE: u32 = 1 << 10;

macro_rules! maps {
    ($($name:ident: $entry:ty),* $(,)?) => {
        $(#[map] static $name: Array<$entry> = Array::with_max_entries(1, MAPPABLE);)*
    };
}

maps! {
    GLOBALS: Globals,
    ADDRESSES: AddressBucket,
    ENDPOINTS: EndpointBucket,
    RANGES: Range,
    SERVICES: Service,
    RING: RingLine,
    SERVERS: Server,
    GROUPS: Group,
    PATHS: PathEntry,
    FLOWS: Bucket,
    PROVISIONAL: Bucket,
    AFFINITY: Bucket,
    TUPLES: Tuple,
    JOURNAL: Journal,
    REASONS_SEEN: ReasonCounters,
    SENT: ServerCounters,
}

/// What is laid down of clients: [`SourceKey::data`] by the longest prefix. Without entries made beforehand, as the kernel
/// demands of a trie.
#[map]
static SOURCES: LpmTrie<[u8; SourceKey::DATA], u64> = LpmTrie::with_max_entries(1, 0);

/// The maps, and whether the frame at hand is only asked about.
pub struct KernelTables {
    /// The settings, looked up once.
    pub globals: Option<&'static Globals>,
    /// Not 0: nothing may be counted or remembered.
    pub question: u64,
}

/// The settings.
#[inline(always)]
pub fn globals() -> Option<&'static Globals> {
    GLOBALS.get(0)
}

impl Tables for KernelTables {
    #[inline(always)]
    fn globals(&self) -> Option<&Globals> {
        self.globals
    }
    #[inline(always)]
    fn addresses(&self, bucket: u32) -> Option<&AddressBucket> {
        ADDRESSES.get(bucket)
    }
    #[inline(always)]
    fn endpoints(&self, bucket: u32) -> Option<&EndpointBucket> {
        ENDPOINTS.get(bucket)
    }
    #[inline(always)]
    fn range(&self, index: u32) -> Option<&Range> {
        RANGES.get(index)
    }
    #[inline(always)]
    fn service(&self, index: u32) -> Option<&Service> {
        SERVICES.get(index)
    }
    #[inline(always)]
    fn ring_line(&self, index: u32) -> Option<&RingLine> {
        RING.get(index)
    }
    #[inline(always)]
    fn server(&self, index: u32) -> Option<&Server> {
        SERVERS.get(index)
    }
    #[inline(always)]
    fn source(&self, service: u32, client: Address) -> u64 {
        let key = Key::new(SourceKey::DATA as u32 * 8, SourceKey::data(service, SourceKey::bytes(client)));
        SOURCES.get(key).copied().unwrap_or(0)
    }
    #[inline(always)]
    fn group(&self, index: u32) -> Option<&Group> {
        GROUPS.get(index)
    }
    #[inline(always)]
    fn path(&self, index: u32) -> Option<&PathEntry> {
        PATHS.get(index)
    }
    #[inline(always)]
    fn flows(&self, bucket: u32) -> Option<&Bucket> {
        FLOWS.get(bucket)
    }
    #[inline(always)]
    fn provisional(&self, bucket: u32) -> Option<&Bucket> {
        PROVISIONAL.get(bucket)
    }
    #[inline(always)]
    fn affinity(&self, bucket: u32) -> Option<&Bucket> {
        AFFINITY.get(bucket)
    }
    #[inline(always)]
    fn tuple(&self, slot: u32) -> Option<&Tuple> {
        TUPLES.get(slot)
    }
    #[inline(always)]
    fn journal(&self) -> Option<&Journal> {
        if self.question != 0 { None } else { JOURNAL.get(cpu()) }
    }
    #[inline(always)]
    fn stamp(&self) -> u64 {
        // SAFETY: takes nothing and reads a clock.
        unsafe { bpf_ktime_get_ns() }
    }
    #[inline(always)]
    fn count(&self, counter: Counter) {
        if self.question != 0 {
            return;
        }
        if let Some(seen) = REASONS_SEEN.get(cpu()) {
            let packets = &seen.packets[usize::from(counter.0) & (REASONS - 1)];
            // One CPU, one packet at a time: no atomic addition is needed.
            packets.store(packets.load() + 1);
        }
    }
    #[inline(always)]
    fn count_server(&self, server: u32, bytes: u64, begins: bool) {
        if self.question != 0 {
            return;
        }
        let stride = self.globals.map_or(0, |globals| globals.servers.load() as u32);
        if let Some(sent) = SENT.get(cpu().wrapping_mul(stride).wrapping_add(server)) {
            sent.packets.store(sent.packets.load() + 1);
            sent.bytes.store(sent.bytes.load() + bytes);
            if begins {
                sent.flows.store(sent.flows.load() + 1);
            }
        }
    }
    #[inline(always)]
    fn dry(&self) -> bool {
        self.question != 0
    }
}

#[inline(always)]
fn cpu() -> u32 {
    // SAFETY: takes nothing and reads a per-CPU number.
    unsafe { bpf_get_smp_processor_id() }
}
