//! The tables of a cluster: `[cluster.NAME]`, its services, pools, rules and servers.

use super::check::CHECK;
use super::{HOUR, Key, Kind, Literal, Presence, Reserved, Table, Word, seconds};
use crate::limits;

pub(super) static CLUSTER: Table = Table {
    noun: "cluster",
    header: "[cluster.NAME]",
    doc: "A named set of addresses that clients use; what DNS points at.",
    keys: &[
        Key {
            name: "addresses",
            kind: Kind::Addresses,
            presence: Presence::Required,
            doc: "IPv4 and IPv6 addresses, each in one cluster only. The data plane answers for them: they are on no \
                  interface of the dispatcher.",
            example: "addresses = [\"198.51.100.80\"]",
            also: &["address", "vip", "vips", "ip", "ips", "virtual_ipaddress"],
        },
        Key {
            name: "primary",
            kind: Kind::NodeName,
            presence: Presence::Otherwise("the node, if the file has only one"),
            doc: "Name of the node that is active in normal times.",
            example: "primary = \"alpha\"",
            also: &["node", "master", "owner"],
        },
        Key {
            name: "backup",
            kind: Kind::NodeName,
            presence: Presence::Otherwise("nobody takes over"),
            doc: "Name of the node that takes over. Clusters of the same primary and backup fail over together.",
            example: "backup = \"beta\"",
            also: &["standby", "secondary", "slave"],
        },
        Key {
            name: "unexposed",
            kind: Kind::Word {
                words: &[
                    Word { word: "drop", doc: "dropped and counted" },
                    Word { word: "pass", doc: "given to the dispatcher's own stack" },
                ],
                reserved: &[],
            },
            presence: Presence::Default(Literal::Text("drop")),
            doc: "What happens to a packet for a port without a service.",
            example: "unexposed = \"drop\"",
            also: &["default_action"],
        },
        Key {
            name: "ping",
            kind: Kind::Flag,
            presence: Presence::Default(Literal::Flag(true)),
            doc: "Whether echo requests are answered.",
            example: "ping = true",
            also: &["echo", "icmp"],
        },
        Key {
            name: "service",
            kind: Kind::List(&SERVICE),
            presence: Presence::Required,
            doc: "The services.",
            example: "[[cluster.NAME.service]]",
            also: &["services", "ports", "listener"],
        },
    ],
    reserved: &[],
};

pub(super) static SERVICE: Table = Table {
    noun: "a service",
    header: "[[cluster.NAME.service]]",
    doc: "One port, range of ports or any port, and its protocol. Within a cluster an exact port wins over a range and a \
          range over any; ranges do not overlap.",
    keys: &[
        Key {
            name: "port",
            kind: Kind::Ports,
            presence: Presence::Required,
            doc: "A number, a range such as `\"8000-8099\"`, or `\"any\"`.",
            example: "port = 80",
            also: &["ports", "dport", "listen"],
        },
        Key {
            name: "protocol",
            kind: Kind::Word {
                words: &[Word { word: "tcp", doc: "TCP" }, Word { word: "udp", doc: "UDP" }],
                reserved: &[],
            },
            presence: Presence::Default(Literal::Text("tcp")),
            doc: "The transport protocol.",
            example: "protocol = \"tcp\"",
            also: &["proto", "transport"],
        },
        Key {
            name: "method",
            kind: Kind::Word {
                words: &[Word {
                    word: "mac",
                    doc: "the destination MAC is rewritten: the server is on the same link and has the cluster \
                          address on `lo` (`geminus host setup`)",
                }],
                reserved: &[
                    Reserved { name: "ipip", doc: "encapsulation in IP" },
                    Reserved { name: "gue", doc: "encapsulation in UDP" },
                    Reserved { name: "nat", doc: "address translation" },
                ],
            },
            presence: Presence::Default(Literal::Text("mac")),
            doc: "How a packet gets to its server. One server entry serves both families of its cluster: the MAC is \
                  resolved by whichever family the server's address has.",
            example: "method = \"mac\"",
            also: &["forward", "forwarding", "lb_kind", "mode"],
        },
        Key {
            name: "select",
            kind: Kind::Word {
                words: &[
                    Word { word: "hash", doc: "by the keyed hash of the flow" },
                    Word { word: "round-robin", doc: "in turn, by weight" },
                    Word {
                        word: "least-connections",
                        doc: "of two servers that the hash names, the one with fewer active flows for its weight",
                    },
                ],
                reserved: &[],
            },
            presence: Presence::Default(Literal::Text("hash")),
            doc: "How the server of a new flow is chosen.",
            example: "select = \"hash\"",
            also: &["scheduler", "algorithm", "lb_algo", "balance"],
        },
        Key {
            name: "check",
            kind: Kind::Table(&CHECK),
            presence: Presence::Otherwise("`{ tcp = true }` for TCP and one port, else none"),
            doc: "How its servers are checked.",
            example: "check = { http = \"/health\" }",
            also: &["health_check", "healthcheck", "health", "advisor", "monitor"],
        },
        Key {
            name: "on_down",
            kind: Kind::Word {
                words: &[
                    Word { word: "rehash", doc: "they go to another server, by the hash" },
                    Word {
                        word: "keep",
                        doc: "TCP flows stay with it; UDP flows and clients of `affinity` are released",
                    },
                    Word {
                        word: "reset",
                        doc: "clients of TCP flows get a reset with their next segment; UDP flows and clients of \
                              `affinity` are released",
                    },
                ],
                reserved: &[],
            },
            presence: Presence::Default(Literal::Text("rehash")),
            doc: "What becomes of the flows of a server that is declared down.",
            example: "on_down = \"reset\"",
            also: &["on-down", "on_failure", "on_marked_down"],
        },
        Key {
            name: "weights",
            kind: Kind::Word {
                words: &[
                    Word { word: "fixed", doc: "as this file and `geminus weight` say" },
                    Word {
                        word: "managed",
                        doc: "as the manager finds, from flows, latency and reported load",
                    },
                ],
                reserved: &[],
            },
            presence: Presence::Default(Literal::Text("fixed")),
            doc: "Who sets the weights of its servers.",
            example: "weights = \"managed\"",
            also: &["managed"],
        },
        Key {
            name: "affinity",
            kind: Kind::Table(&AFFINITY),
            presence: Presence::Otherwise("each flow is chosen for itself"),
            doc: "Whether a client stays with its server.",
            example: "affinity = { by = \"source\", timeout = \"5m\" }",
            also: &["sticky", "stickiness", "persistence", "persistence_timeout"],
        },
        Key {
            name: "ring",
            kind: Kind::Prime { min: limits::RING_MIN, max: limits::RING_MAX },
            presence: Presence::Default(Literal::Integer(65_537)),
            doc: "Slots of the Maglev ring, a prime. A hundred for each server keep the balance within a percent.",
            example: "ring = 65537",
            also: &["slots", "ring_size", "maglev"],
        },
        Key {
            name: "servers",
            kind: Kind::List(&SERVER),
            presence: Presence::Required,
            doc: "The content hosts; names and addresses are unique within the service.",
            example: "servers = [{ address = \"198.51.100.21\" }]",
            also: &["server", "backend", "backends", "real_server", "real_servers", "upstream", "members"],
        },
        Key {
            name: "pool",
            kind: Kind::List(&POOL),
            presence: Presence::Otherwise("the main one only"),
            doc: "Further pools of servers, for rules and for `sorry`. Names and addresses are unique over all pools.",
            example: "[[cluster.NAME.service.pool]]",
            also: &["pools"],
        },
        Key {
            name: "rule",
            kind: Kind::List(&RULE),
            presence: Presence::Otherwise("new flows go to the main pool"),
            doc: "Which pool new flows go to. The first rule that holds decides, those about clients before all others.",
            example: "[[cluster.NAME.service.rule]]",
            also: &["rules", "acl", "use_backend"],
        },
        Key {
            name: "sorry",
            kind: Kind::Name,
            presence: Presence::Otherwise("nobody"),
            doc: "Name of the pool that takes the new flows while no server of the pool in force is up. Clients of `affinity` do not come back to it, nor to a pool that `active` or `rate` put in force.",
            example: "sorry = \"away\"",
            also: &["sorry_server", "fallback"],
        },
        Key {
            name: "allow",
            kind: Kind::Prefixes,
            presence: Presence::Otherwise("every client"),
            doc: "The only clients that are served, as prefixes or addresses.",
            example: "allow = [\"203.0.113.0/24\", \"2001:db8:c::/48\"]",
            also: &["allowed", "whitelist", "permit"],
        },
        Key {
            name: "deny",
            kind: Kind::Prefixes,
            presence: Presence::Otherwise("no client"),
            doc: "Clients that are not served, also where `allow` has them.",
            example: "deny = [\"203.0.113.66\"]",
            also: &["denied", "blacklist", "block", "reject"],
        },
    ],
    reserved: &[],
};

pub(super) static AFFINITY: Table = Table {
    noun: "`affinity`",
    header: "affinity",
    doc: "Keeps a client with its server for a while: `affinity = { timeout = \"5m\" }` in a service, every key of it optional.",
    keys: &[
        Key {
            name: "by",
            kind: Kind::Word {
                words: &[Word { word: "source", doc: "the leading bits of the client's address" }],
                reserved: &[],
            },
            presence: Presence::Default(Literal::Text("source")),
            doc: "What makes a client.",
            example: "by = \"source\"",
            also: &["type", "key"],
        },
        Key {
            name: "prefix",
            kind: Kind::Integer { min: 0, max: 32 },
            presence: Presence::Default(Literal::Integer(32)),
            doc: "Leading bits of an IPv4 source that make one client.",
            example: "prefix = 32",
            also: &["prefix4", "mask", "netmask"],
        },
        Key {
            name: "prefix6",
            kind: Kind::Integer { min: 0, max: 128 },
            presence: Presence::Default(Literal::Integer(64)),
            doc: "Leading bits of an IPv6 source that make one client.",
            example: "prefix6 = 64",
            also: &["mask6"],
        },
        Key {
            name: "timeout",
            kind: seconds(1, 12 * HOUR),
            presence: Presence::Default(Literal::Text("5m")),
            doc: "How long after its last new flow a client is remembered.",
            example: "timeout = \"5m\"",
            also: &["ttl", "time"],
        },
        Key {
            name: "group",
            kind: Kind::Name,
            presence: Presence::Otherwise("each service for itself"),
            doc: "Services of one cluster that name the same group know each other's clients. They have the same servers, \
                  `prefix`, `prefix6` and `timeout`.",
            example: "group = \"cart\"",
            also: &["across", "cross_port", "crossport"],
        },
    ],
    reserved: &[],
};

pub(super) static SERVER: Table = Table {
    noun: "a server",
    header: "servers",
    doc: "The content hosts behind a service: `servers = [{ address = \"198.51.100.21\" }, …]`, one table each.",
    keys: &[
        Key {
            name: "name",
            kind: Kind::Name,
            presence: Presence::Otherwise("the address"),
            doc: "The same name in several services is the same host to `geminus drain` and `geminus weight`.",
            example: "name = \"web1\"",
            also: &["id", "host"],
        },
        Key {
            name: "address",
            kind: Kind::Address,
            presence: Presence::Required,
            doc: "Where it is reached. A node's own address makes that node collocated: it serves its share itself.",
            example: "address = \"198.51.100.21\"",
            also: &["ip", "addr", "addresses"],
        },
        Key {
            name: "weight",
            kind: Kind::Integer { min: 0, max: limits::WEIGHT_MAX as u32 },
            presence: Presence::Default(Literal::Integer(1)),
            doc: "Share of new flows. 0: no new flows.",
            example: "weight = 10",
            also: &["share"],
        },
        Key {
            name: "fixed",
            kind: Kind::Flag,
            presence: Presence::Default(Literal::Flag(false)),
            doc: "Whether the manager leaves its weight alone.",
            example: "fixed = true",
            also: &["fixed_weight", "fixedweight"],
        },
        Key {
            name: "sticky",
            kind: Kind::Flag,
            presence: Presence::Default(Literal::Flag(true)),
            doc: "Whether clients that it served come back to it, where the service has `affinity`.",
            example: "sticky = false",
            also: &["stickiness"],
        },
        Key {
            name: "maintenance",
            kind: Kind::Windows,
            presence: Presence::Otherwise("none"),
            doc: "When it gets no new flows: days and times of the dispatcher's local clock.",
            example: "maintenance = [\"sun 03:00-05:00\", \"daily 02:00-02:30\"]",
            also: &["downtime", "window", "windows"],
        },
    ],
    reserved: &[],
};

pub(super) static POOL: Table = Table {
    noun: "a pool",
    header: "[[cluster.NAME.service.pool]]",
    doc: "A further pool of servers of the service above it.",
    keys: &[
        Key {
            name: "name",
            kind: Kind::Name,
            presence: Presence::Required,
            doc: "What rules and `sorry` call it; not `main`, which is the one of the service's own `servers`.",
            example: "name = \"overflow\"",
            also: &["id", "pool"],
        },
        Key {
            name: "servers",
            kind: Kind::List(&SERVER),
            presence: Presence::Required,
            doc: "Its content hosts.",
            example: "servers = [{ address = \"198.51.100.41\" }]",
            also: &["server", "backends", "members"],
        },
    ],
    reserved: &[],
};

pub(super) static RULE: Table = Table {
    noun: "a rule",
    header: "[[cluster.NAME.service.rule]]",
    doc: "Which pool new flows of the service above it go to, and when. It has exactly one condition: `from`, `during`, \
          `active` or `rate`. Flows that there are stay where they are.",
    keys: &[
        Key {
            name: "from",
            kind: Kind::Prefixes,
            presence: Presence::Otherwise("–"),
            doc: "The client's address is in one of these prefixes; of several rules the longest prefix decides. While no \
                  server of the pool gets new flows, its clients get those of the pool in force, else those of `sorry`.",
            example: "from = [\"203.0.113.0/24\"]",
            also: &["source", "src", "clients", "client"],
        },
        Key {
            name: "during",
            kind: Kind::Window,
            presence: Presence::Otherwise("–"),
            doc: "It is this time, by the dispatcher's local clock. Clients of `affinity` stay with their servers.",
            example: "during = \"mon-fri 22:00-06:00\"",
            also: &["time", "when", "hours"],
        },
        Key {
            name: "active",
            kind: Kind::Integer { min: 1, max: limits::RULE_BOUND },
            presence: Presence::Otherwise("–"),
            doc: "The main pool has more active flows than this, until it has fewer than nine tenths of it; for ten seconds at least.",
            example: "active = 1000",
            also: &["active_flows", "connections", "max_connections"],
        },
        Key {
            name: "rate",
            kind: Kind::Integer { min: 1, max: limits::RULE_BOUND },
            presence: Presence::Otherwise("–"),
            doc: "The main pool gets more new flows a second than this, until it and the pool of the rule together get fewer than nine tenths of it; for ten seconds at least.",
            example: "rate = 500",
            also: &["new_flows", "per_second", "cps"],
        },
        Key {
            name: "pool",
            kind: Kind::Name,
            presence: Presence::Required,
            doc: "Name of a pool of the service; `\"main\"` is the one of its own `servers`.",
            example: "pool = \"overflow\"",
            also: &["to", "use"],
        },
    ],
    reserved: &[],
};
