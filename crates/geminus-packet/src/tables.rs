//! The tables that the packet path reads, entry by entry, as they lie in shared memory.
//!
//! Every entry is made of [`Word`]s, so that user space writes through its mapping what the program reads, a word at a
//! time and without a system call. What must change together lies in one word. User space fills what nobody points at,
//! then stores the one word that points at it ([`Globals::half`], [`Service::ring`], [`Server::link`]).
//!
//! The static tables (addresses, endpoints, ranges) exist twice; [`Globals::half`] says which half is read.

mod partner;

pub use partner::{GroupState, PATHS, PathEntry, PathFacts};

use crate::flow::Bucket;
use crate::hash::HashKey;
use crate::journal::Journal;
use crate::verdict::{Counter, REASONS};
use crate::wire::Mac;
use crate::word::Word;

/// Raised when the meaning of any table changes; a program adopts pinned tables of its own layout only.
pub const LAYOUT: u64 = 0x4745_4d31_0000_0005;

/// A point on the kernel's coarse clock: jiffies since boot, suspended time not counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticks(pub u64);

/// What the packet path may ask of the tables. `None` where the index is out of range.
pub trait Tables {
    /// The one entry of settings.
    fn globals(&self) -> Option<&Globals>;
    /// Bucket of cluster addresses, both halves counted through.
    fn addresses(&self, bucket: u32) -> Option<&AddressBucket>;
    /// Bucket of exact ports, both halves counted through.
    fn endpoints(&self, bucket: u32) -> Option<&EndpointBucket>;
    /// Port range, both halves counted through.
    fn range(&self, index: u32) -> Option<&Range>;
    /// Service.
    fn service(&self, index: u32) -> Option<&Service>;
    /// Line of [`RING_LINE_SLOTS`] ring slots.
    fn ring_line(&self, index: u32) -> Option<&RingLine>;
    /// Server.
    fn server(&self, index: u32) -> Option<&Server>;
    /// What is laid down of a client of a service, by the longest prefix; 0: nothing. See [`Source`].
    fn source(&self, service: u32, client: Address) -> u64;
    /// Failover group.
    fn group(&self, index: u32) -> Option<&Group>;
    /// Path to a partner.
    fn path(&self, index: u32) -> Option<&PathEntry>;
    /// Bucket of the flow table.
    fn flows(&self, bucket: u32) -> Option<&Bucket>;
    /// Bucket of the provisional table.
    fn provisional(&self, bucket: u32) -> Option<&Bucket>;
    /// Bucket of the affinity table.
    fn affinity(&self, bucket: u32) -> Option<&Bucket>;
    /// Who has the slot of the flow table with this number: the cold side.
    fn tuple(&self, slot: u32) -> Option<&Tuple>;
    /// What the CPU at hand remembered lately; none where nothing may be written.
    fn journal(&self) -> Option<&Journal>;
    /// Nanoseconds on the monotonic clock: of frames from a partner alone, for it costs more than the coarse clock.
    fn stamp(&self) -> u64;
    /// Counts one packet, unless [`dry`](Self::dry).
    fn count(&self, counter: Counter);
    /// Counts one packet to a server and, if it begins a remembered flow, the flow; unless [`dry`](Self::dry).
    fn count_server(&self, server: u32, bytes: u64, begins: bool);
    /// Whether nothing may be written: the packet is only asked about.
    fn dry(&self) -> bool;
}

/// Settings that every packet needs.
#[repr(C)]
#[derive(Debug, Default)]
pub struct Globals {
    /// [`LAYOUT`]; anything else: not filled yet.
    pub layout: Word,
    /// Which half of the static tables is read: 0 or 1.
    pub half: Word,
    /// How each half is indexed.
    pub index: [StaticIndex; 2],
    /// Our hardware address in the lower 48 bits, first byte lowest.
    pub mac: Word,
    /// Hardware addresses of partners on the same link in the lower 48 bits; [`PARTNER`], [`PARTNER_FORWARDS`]; 0: none.
    /// Never that of a router.
    pub partners: [Word; 2],
    /// Buckets of the flow table less one.
    pub flow_mask: Word,
    /// Buckets of the provisional table less one.
    pub provisional_mask: Word,
    /// Buckets of the affinity table less one.
    pub affinity_mask: Word,
    /// A flow's time is written anew when it is older than so many ticks.
    pub refresh: Word,
    /// Idle ticks after which an entry gives way to a newcomer, by [`crate::flow::State`].
    pub timeouts: [Word; 8],
    /// Entries of the server table: the stride of the per-CPU counters.
    pub servers: Word,
    /// [`KEEP_TUPLES`].
    pub flags: Word,
    /// So many ticks before the end of a lease the node stops to answer for the addresses: it is not renewed, so the partner
    /// is about to.
    pub hand_over: Word,
    /// Milliseconds that a tick of the coarse clock lasts, times 65 536.
    pub tick: Word,
    /// Always 0, which the verifier does not know: [`crate::packet::Packet::blurred`].
    pub nothing: Word,
    /// What marks a frame that is only asked about; random, known to user space alone.
    pub question: [Word; 2],
    /// The site's keyed hash.
    pub key: HashKey,
}

/// Flag of [`Globals::flags`]: the 5-tuple of each flow is kept in the cold side.
pub const KEEP_TUPLES: u64 = 1;

/// Flag of [`Globals::partners`]: the word names a partner.
pub const PARTNER: u64 = 1 << 48;
/// Flag of [`Globals::partners`]: this node is a server of clusters that the partner may be active for. A frame for a
/// cluster address that comes from the partner is then this node's own, whatever this node would choose.
pub const PARTNER_FORWARDS: u64 = 1 << 49;

/// How one half of the static tables is indexed. The seeds are chosen so that every bucket holds all that falls into it.
#[repr(C)]
#[derive(Debug, Default)]
pub struct StaticIndex {
    /// Mixed into the hash of an address.
    pub address_seed: Word,
    /// First bucket (lower 32 bits) and 64 less the binary logarithm of their number (upper 32 bits).
    pub address_place: Word,
    /// Mixed into the hash of an endpoint.
    pub endpoint_seed: Word,
    /// As [`address_place`](Self::address_place).
    pub endpoint_place: Word,
}

/// An address as two words: an IPv6 address as it stands in the header, read as little-endian words; an IPv4 address
/// in `low` with `high` = [`Address::V4`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Address {
    /// First eight bytes of IPv6.
    pub high: u64,
    /// Last eight bytes of IPv6, or the four of IPv4.
    pub low: u64,
}

impl Address {
    /// `high` of every IPv4 address: as IPv6 it would be a multicast address.
    pub const V4: u64 = u64::MAX;

    /// An IPv4 address as it stands in the header.
    #[inline(always)]
    pub const fn v4(bytes: [u8; 4]) -> Self {
        Self { high: Self::V4, low: u32::from_le_bytes(bytes) as u64 }
    }

    /// An IPv6 address as it stands in the header.
    #[inline(always)]
    pub const fn v6(bytes: [u8; 16]) -> Self {
        let whole = u128::from_le_bytes(bytes);
        Self { high: whole as u64, low: (whole >> 64) as u64 }
    }

    /// Whether it is an IPv4 address.
    #[inline(always)]
    pub const fn is_v4(self) -> bool {
        self.high == Self::V4
    }

    /// Bucket within a half of `1 << (64 - shift)` buckets.
    #[inline(always)]
    pub const fn bucket(self, seed: u64, shift: u32) -> u32 {
        spread(self.low ^ self.high.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ seed, shift)
    }
}

/// Fibonacci hashing with one fold before, so that every input bit reaches the upper bits.
#[inline(always)]
const fn spread(x: u64, shift: u32) -> u32 {
    let x = (x ^ (x >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
    let x = (x ^ (x >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
    (x >> (shift & 63)) as u32
}

/// Entries of one bucket of a static table.
pub const STATIC_WAYS: usize = 4;

/// One cache line pair of cluster addresses.
#[repr(C)]
#[derive(Debug, Default)]
pub struct AddressBucket {
    /// In no order; an unused entry has [`AddressEntry::facts`] 0.
    pub entries: [AddressEntry; STATIC_WAYS],
}

/// One cluster address.
#[repr(C)]
#[derive(Debug, Default)]
pub struct AddressEntry {
    /// [`Address::high`].
    pub high: Word,
    /// [`Address::low`].
    pub low: Word,
    /// See [`AddressFacts`]; 0: unused.
    pub facts: Word,
    /// First port range of the cluster (31 bits) and the half that the entry is in (1 bit): a packet stays with the half
    /// that it began with.
    pub ports: Word,
}

/// What is known of a cluster address, in one word: cluster (32 bits), group (8), flags (8), ranges (8), and a set bit.
/// Of an address of this node's own, that paths to partners end at ([`NODE`](Self::NODE)): in the place of the cluster,
/// the paths that end there (16 bits, one each) and the port of the partners' frames (16).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AddressFacts(pub u64);

impl AddressFacts {
    /// Flag: packets for ports without a service go to the machine's own stack.
    pub const PASS_UNEXPOSED: u8 = 1;
    /// Flag: echo requests are answered.
    pub const PING: u8 = 2;
    /// Flag: not a cluster's but this node's own address, at which paths to partners end.
    pub const NODE: u8 = 4;

    /// `ranges` is their number.
    pub const fn new(cluster: u32, group: u8, flags: u8, ranges: u8) -> Self {
        Self(cluster as u64 | (group as u64) << 32 | (flags as u64) << 40 | (ranges as u64) << 48 | 1 << 56)
    }

    /// Of an address of this node's own: bit n of `paths` is set if entry n of the table of paths ends there; `port` is
    /// that of the partners' frames.
    pub const fn node(paths: u16, port: u16) -> Self {
        Self::new(paths as u32 | (port as u32) << 16, 0, Self::NODE, 0)
    }

    /// Number of the cluster.
    #[inline(always)]
    pub const fn cluster(self) -> u32 {
        self.0 as u32
    }

    /// Of an address of this node's own: one bit for each path that ends there.
    #[inline(always)]
    pub const fn paths(self) -> u16 {
        self.0 as u16
    }

    /// Of an address of this node's own: port of the partners' frames, host byte order.
    #[inline(always)]
    pub const fn port(self) -> u16 {
        (self.0 >> 16) as u16
    }

    /// Number of the failover group.
    #[inline(always)]
    pub const fn group(self) -> u8 {
        (self.0 >> 32) as u8
    }

    /// Whether a flag is set.
    #[inline(always)]
    pub const fn has(self, flag: u8) -> bool {
        (self.0 >> 40) as u8 & flag != 0
    }

    /// How many port ranges the cluster has.
    #[inline(always)]
    pub const fn ranges(self) -> u8 {
        (self.0 >> 48) as u8
    }
}

/// One cache line of exact ports.
#[repr(C)]
#[derive(Debug, Default)]
pub struct EndpointBucket {
    /// In no order.
    pub entries: [EndpointEntry; STATIC_WAYS],
}

/// One exact port of a cluster.
#[repr(C)]
#[derive(Debug, Default)]
pub struct EndpointEntry {
    /// See [`Endpoint::key`]; 0: unused.
    pub key: Word,
    /// Number of the service.
    pub service: Word,
}

/// A port of a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Endpoint {
    /// Number of the cluster.
    pub cluster: u32,
    /// Protocol number of the IP header.
    pub protocol: u8,
    /// Host byte order.
    pub port: u16,
}

impl Endpoint {
    /// All of it in one word, never 0.
    #[inline(always)]
    pub const fn key(self) -> u64 {
        (self.cluster as u64) << 32 | (self.protocol as u64) << 16 | self.port as u64
    }

    /// Bucket within a half of `1 << (64 - shift)` buckets.
    #[inline(always)]
    pub const fn bucket(self, seed: u64, shift: u32) -> u32 {
        spread(self.key() ^ seed, shift)
    }
}

/// A range of ports of a cluster; the first that fits is taken.
#[repr(C)]
#[derive(Debug, Default)]
pub struct Range {
    /// First port (16 bits), last port (16), protocol (8).
    pub ports: Word,
    /// Number of the service.
    pub service: Word,
}

/// Ranges per cluster that the packet path looks at.
pub const RANGES_PER_CLUSTER: usize = 16;

impl Range {
    /// The word of a range.
    pub const fn word(protocol: u8, first: u16, last: u16) -> u64 {
        first as u64 | (last as u64) << 16 | (protocol as u64) << 32
    }

    /// Whether the range has this port.
    #[inline(always)]
    pub fn has(&self, protocol: u8, port: u16) -> bool {
        let word = self.ports.load();
        (word >> 32) as u8 == protocol && word as u16 <= port && port <= (word >> 16) as u16
    }
}

/// One service. 64 bytes.
#[repr(C)]
#[derive(Debug, Default)]
pub struct Service {
    /// First ring line (lower 32 bits) and number of slots (upper 32); 0: no server may get new flows.
    pub ring: Word,
    /// What the service is called, hashed; the same on every dispatcher. 0: unused.
    pub identity: Word,
    /// What its ring was built from, hashed; for user space.
    pub ring_digest: Word,
    /// Flows given out in turn.
    pub turn: Word,
    /// [`Service::AFFINITY`], [`Service::TURN`], [`Service::LEAST`], [`Service::SOURCES`]; its own number (32 bits) above
    /// them.
    pub select: Word,
    /// Ticks a client is remembered (32 bits), IPv4 prefix (8), IPv6 prefix (8).
    pub affinity: Word,
    /// What clients are remembered under: `identity`, or what it shares with other services of its cluster.
    pub clients: Word,
    /// One more than the number of the service entry whose ring new flows are chosen from; 0: its own. A pool has an entry of
    /// its own, without a port, of which nothing but the ring is read. One word, so that a switch is between two packets.
    pub pool: Word,
}

impl Service {
    /// Flag of `select`: clients stay with their server.
    pub const AFFINITY: u64 = 1;
    /// Flag of `select`: flows are given out in turn.
    pub const TURN: u64 = 2;
    /// Flag of `select`: of two candidates, the one with fewer active flows for its weight.
    pub const LEAST: u64 = 4;
    /// Flag of `select`: clients are looked up by [`Tables::source`].
    pub const SOURCES: u64 = 8;
}

/// Slots of one line of a ring.
pub const RING_LINE_SLOTS: u32 = 16;

/// One cache line of ring slots: two to a word, the lower first; each the number of a server, 0: none.
#[repr(C)]
#[derive(Debug, Default)]
pub struct RingLine {
    /// The slots.
    pub pairs: [Word; 8],
}

/// What [`Tables::source`] says of a client: the kind in the upper 32 bits, the number of a service entry in the lower.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Source;

impl Source {
    /// It is not served.
    pub const DENY: u64 = 1 << 32;
    /// It is served, from the pool in force.
    pub const ALLOW: u64 = 2 << 32;
    /// It is served from the pool whose service entry is in the lower half.
    pub const POOL: u64 = 3 << 32;
}

/// Clients of a service: the key of what [`Tables::source`] says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceKey {
    /// Number of the service entry.
    pub service: u32,
    /// The first address as 16 bytes; an IPv4 address in the last four, behind ten of 0 and two of 0xff (RFC 4291, 2.5.5.2).
    pub address: [u8; 16],
    /// Leading bits of it that count: of an IPv4 address 96 more than are written. With fewer than 96, IPv4 addresses may be
    /// among them: those of IPv6 alone are what is left beside an entry for `::ffff:0:0/96`.
    pub bits: u8,
}

impl SourceKey {
    /// The 16 bytes of an address.
    #[inline(always)]
    pub const fn bytes(client: Address) -> [u8; 16] {
        let whole = if client.is_v4() {
            0xffff_u128 << 80 | (client.low as u128 & 0xffff_ffff) << 96
        } else {
            client.high as u128 | (client.low as u128) << 64
        };
        whole.to_le_bytes()
    }

    /// Bytes of [`data`](Self::data).
    pub const DATA: usize = 20;
    /// Leading bits of [`data`](Self::data) that the service's number takes: all of them count.
    pub const SERVICE_BITS: u32 = 32;

    /// The key of the kernel's table, a trie of longest prefixes: the service's number, its most significant byte first, then
    /// the address. Of it [`SERVICE_BITS`](Self::SERVICE_BITS) and [`bits`](Self::bits) count.
    #[inline(always)]
    pub const fn data(service: u32, address: [u8; 16]) -> [u8; Self::DATA] {
        let [s0, s1, s2, s3] = service.to_be_bytes();
        let [a0, a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11, a12, a13, a14, a15] = address;
        [s0, s1, s2, s3, a0, a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11, a12, a13, a14, a15]
    }

    /// Whether a client is one of them.
    pub fn has(&self, client: Address) -> bool {
        let difference = u128::from_be_bytes(self.address) ^ u128::from_be_bytes(Self::bytes(client));
        self.bits == 0 || difference.leading_zeros() >= u32::from(self.bits)
    }
}

/// Servers in a circle of [`Server::kin`]: one for each service that shares clients.
pub const KIN: u32 = 8;

/// One server of one service. 64 bytes: what each packet needs comes first. Number 0 is nobody.
#[repr(C)]
#[derive(Debug, Default)]
pub struct Server {
    /// Its hardware address in the lower 48 bits, first byte lowest; its generation in the upper 16, 0: unused.
    pub link: Word,
    /// The hardware address to send from in the lower 48 bits; flags in the upper 16.
    pub from: Word,
    /// What the server is called within which service, hashed; for user space.
    pub identity: Word,
    /// Interface (32 bits); for user space: what the operator wants (16 bits), the generation it last had (16).
    pub interface: Word,
    /// Active flows: one more with each flow remembered, one less with each that its client ends; counted anew by user
    /// space every now and then, which what happens meanwhile may bring below 0 ([`Server::flows`]).
    pub active: Word,
    /// Its weight in force, for [`Service::LEAST`].
    pub weight: Word,
    /// The service entry it belongs to (lower 32 bits; said of every server, and of one of a further pool it is the one with
    /// the port) and the next of the servers that share its clients (upper 32 bits), in a circle of at most [`KIN`]; 0: none.
    pub kin: Word,
    /// For user space: what health and the manager last said of it (24 bits), and when its drain ends, in milliseconds of the
    /// monotonic clock (40 bits; 0: never).
    pub ruling: Word,
}

impl Server {
    /// Flag of `from`: its hardware address is known.
    pub const RESOLVED: u64 = 1 << 48;
    /// Flag of `from`: it may not get new flows.
    pub const DRAINING: u64 = 1 << 49;
    /// Flag of `from`: it is this machine.
    pub const LOCAL: u64 = 1 << 50;
    /// Flag of `from`: it is down, and no new flow gets it.
    pub const DOWN: u64 = 1 << 51;
    /// Flag of `from`: a client's segment of a TCP flow that an older generation of it had is answered by a reset.
    pub const RESETS: u64 = 1 << 52;
    /// Flag of `from`: clients do not come back to it.
    pub const LOOSE: u64 = 1 << 53;

    /// Active flows in an `active` word, which reads as a great number when it is below 0.
    #[inline(always)]
    pub const fn flows(active: u64) -> u64 {
        active & (active >> 63).wrapping_sub(1)
    }

    /// Generation in a `link` word.
    #[inline(always)]
    pub const fn generation(link: u64) -> u16 {
        (link >> 48) as u16
    }

    /// All that a frame to it needs, read once. The link comes last: whoever gives the entry up takes that away first, so if
    /// its generation is one that was known before, all of it is of the same server.
    #[inline(always)]
    pub fn hop(&self) -> Hop {
        let (from, interface) = (self.from.load(), self.interface.load());
        Hop { from, interface: interface as u32, link: self.link.load() }
    }
}

/// Where frames to a server go. What was judged of it is what is written: the entry may be given up meanwhile.
#[derive(Debug, Clone, Copy)]
pub struct Hop {
    /// [`Server::link`].
    pub link: u64,
    /// [`Server::from`].
    pub from: u64,
    /// The interface it is reached by, as the kernel counts them.
    pub interface: u32,
}

impl Hop {
    /// To nobody.
    pub const NONE: Self = Self { link: 0, from: 0, interface: 0 };

    /// Whether the server was of this generation.
    #[inline(always)]
    pub const fn is_of(&self, generation: u16) -> bool {
        Server::generation(self.link) == generation
    }
}

/// Bits of a word that hold a hardware address.
pub const MAC_BITS: u64 = (1 << 48) - 1;

/// A hardware address in the lower 48 bits of a word, first byte lowest.
#[inline(always)]
pub const fn mac_word(mac: Mac) -> u64 {
    u64::from_le_bytes([mac[0], mac[1], mac[2], mac[3], mac[4], mac[5], 0, 0])
}

/// The hardware address in the lower 48 bits of a word.
#[inline(always)]
pub const fn word_mac(word: u64) -> Mac {
    let b = word.to_le_bytes();
    [b[0], b[1], b[2], b[3], b[4], b[5]]
}

/// One failover group.
#[repr(C)]
#[derive(Debug, Default)]
pub struct Group {
    /// The node is active for the group's clusters until this tick.
    pub deadline: Word,
    /// See [`GroupState`].
    pub state: Word,
    /// The hardware address that moves with the group in the lower 48 bits; 0: it answers by the node's own.
    pub mac: Word,
}

/// Failover groups of a site.
pub const GROUPS: u32 = 64;

/// The cold side of one flow slot: who has it. Written once, not all at once; a reader checks it against the hot side
/// ([`crate::flow::Tag`]). 40 bytes.
#[repr(C)]
#[derive(Debug, Default)]
pub struct Tuple {
    /// Source, then destination: [`Address::high`], [`Address::low`].
    pub addresses: [Word; 4],
    /// [`crate::hash::ports_word`].
    pub ports: Word,
}

/// Packets by reason, of one CPU.
#[repr(C)]
#[derive(Debug)]
pub struct ReasonCounters {
    /// By [`Counter`].
    pub packets: [Word; REASONS],
}

/// What one CPU sent to one server.
#[repr(C)]
#[derive(Debug, Default)]
pub struct ServerCounters {
    /// Packets.
    pub packets: Word,
    /// Bytes, frame headers included.
    pub bytes: Word,
    /// Flows remembered.
    pub flows: Word,
}

impl Default for ReasonCounters {
    fn default() -> Self {
        Self { packets: [const { Word::new(0) }; REASONS] }
    }
}
