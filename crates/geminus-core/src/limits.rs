//! Every bound of the site, with its reason.
//!
//! The bounds are wide of any real site and narrow enough that a file within all of them fits the kernel tables.

/// Bytes of a configuration file: a site at every other limit is about 20 MiB of text.
pub const CONFIG_BYTES: usize = 32 << 20;

/// Findings reported from one file: nobody reads more, and a hostile file cannot fill the memory with them.
pub const FINDINGS: usize = 1000;

/// Dispatchers of a site: a pair today, a rack's worth of equal-cost paths one day.
pub const NODES: usize = 64;

/// Up to so many dispatchers every ordered pair of them has a group number of its own: 56 of the 63 there are.
pub const NODES_NUMBERED: usize = 8;

/// Clusters of a site: each has a lease group look-up and a counter block in the kernel.
pub const CLUSTERS: usize = 4096;

/// Cluster addresses of a site: an announcement round of this many, paced, still ends within seconds.
pub const ADDRESSES: usize = 16_384;

/// Services of a site: each has a ring of its own.
pub const SERVICES: usize = 16_384;

/// Servers of one service: above it, the default ring cannot give each its share within a tenth.
pub const SERVERS_PER_SERVICE: usize = 4096;

/// Servers of all services: each has a table entry, a counter block and a hardware address kept fresh.
pub const SERVERS: usize = 262_144;

/// Services of one cluster with a range of ports or any port: the packet path looks at each of them.
pub const RANGES_PER_CLUSTER: usize = geminus_packet::tables::RANGES_PER_CLUSTER;

/// Ring slots of all services: a default ring for each cluster there can be. 2 GiB of kernel memory at four bytes each
/// and twice the room, for a ring is replaced by one beside it.
pub const RING_SLOTS: u64 = CLUSTERS as u64 * 65_537;

/// Bytes of a name: fits one column of `geminus servers` and an event line.
pub const NAME_BYTES: usize = 64;

/// Bytes of an interface name: the kernel's `IFNAMSIZ` less the terminating zero (`include/uapi/linux/if.h`).
pub const INTERFACE_BYTES: usize = 15;

/// Smallest weight-carrying ring: the largest prime below 2^8.
pub const RING_MIN: u32 = 251;

/// Largest ring: the largest prime below 2^20, 4 MiB of slots.
pub const RING_MAX: u32 = 1_048_573;

/// Largest weight of a server.
pub const WEIGHT_MAX: u16 = 1000;

/// Groups of clusters with a backup: the data plane has a lease for each, and one for the clusters without.
pub const GROUPS: usize = geminus_packet::tables::GROUPS as usize - 1;

/// Paths that end at one node: the data plane looks at each of them.
pub const PATHS: usize = 16;

/// Reach targets: each is asked several times a second by every node.
pub const REACH: usize = 16;

/// Further pools of one service: numbered in eight bits, 0 is the main one.
pub const POOLS_PER_SERVICE: usize = u8::MAX as usize;

/// Rules of one service: each is looked at whenever one of them may have changed.
pub const RULES_PER_SERVICE: usize = 256;

/// Largest bound of a rule, of flows or of flows a second: more than any flow table holds.
pub const RULE_BOUND: u32 = 1_000_000_000;

/// Prefixes of all rules, `allow` and `deny` of a site: each is an entry of the kernel's look-up, and some become two.
pub const PREFIXES: usize = 65_536;

/// Services of one affinity group: the packet path walks from server to server through them.
pub const SERVICES_PER_GROUP: usize = 8;

/// Times of maintenance of one server.
pub const WINDOWS: usize = 32;

/// Checks a second above which a site is warned: ten times the thousand that a dispatcher is built to make beside its
/// other work.
pub const CHECKS_A_SECOND: u64 = 10_000;

/// Bytes of a path, a header's value or a datagram of a check.
pub const CHECK_TEXT: usize = 1024;

/// Bytes of what is looked for in an answer.
pub const CHECK_PHRASE: usize = 256;

/// Further headers of a check.
pub const CHECK_HEADERS: usize = 32;

/// Words of a hook or of the program of a check: what takes more belongs into a script.
pub const COMMAND_WORDS: usize = 64;

/// Time between two probes of one path, at least: closer ones are lost together.
pub const PROBE_SPACING: std::time::Duration = std::time::Duration::from_millis(1);

/// Lines of a difference between two configurations: who sees so many has taken the wrong file.
pub const DIFFERENCES: usize = 100;
