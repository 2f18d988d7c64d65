//! The tables of high availability: `[ha]` and `[hooks]`.

use super::{HOUR, Key, Kind, Literal, MINUTE, Presence, Table, Word, milliseconds, seconds};

const OF_PROFILE: Presence = Presence::Otherwise("that of the profile");

pub(super) static HA: Table = Table {
    noun: "[ha]",
    header: "[ha]",
    doc: "A node owns its cluster addresses by a lease that its daemon renews; two nodes that share clusters listen to \
          each other and take over from each other. May be left out.",
    keys: &[
        Key {
            name: "lease",
            kind: seconds(1, MINUTE),
            presence: Presence::Default(Literal::Text("5s")),
            doc: "How long the data plane stays active after the daemon last renewed it: a restart within this time \
                  costs nothing, a daemon dead for longer gives the addresses up.",
            example: "lease = \"5s\"",
            also: &["grace", "grace_period"],
        },
        Key {
            name: "profile",
            kind: Kind::Word {
                words: &[
                    Word {
                        word: "default",
                        doc: "a heartbeat every 50 ms, 3 missed are suspicious, 10 probes in 50 ms confirm it: 200 ms \
                              from the last sign of life to the takeover",
                    },
                    Word {
                        word: "fast",
                        doc: "a heartbeat every 10 ms, 3 missed, 10 probes in 15 ms: 45 ms",
                    },
                ],
                reserved: &[],
            },
            presence: Presence::Default(Literal::Text("default")),
            doc: "When silence is noticed, and when it is believed.",
            example: "profile = \"default\"",
            also: &["mode", "timers"],
        },
        Key {
            name: "heartbeat",
            kind: milliseconds(5, 5000),
            presence: OF_PROFILE,
            doc: "Time between heartbeats.",
            example: "heartbeat = \"50ms\"",
            also: &["interval", "advert_int", "hello"],
        },
        Key {
            name: "suspect",
            kind: Kind::Integer { min: 2, max: 20 },
            presence: OF_PROFILE,
            doc: "Heartbeats missed on every path before the partner is suspected.",
            example: "suspect = 3",
            also: &["misses", "fall"],
        },
        Key {
            name: "probes",
            kind: Kind::Integer { min: 3, max: 50 },
            presence: OF_PROFILE,
            doc: "Probes sent on every path to confirm a suspicion; the partner's kernel answers them.",
            example: "probes = 10",
            also: &["retries"],
        },
        Key {
            name: "confirm",
            kind: milliseconds(5, 5000),
            presence: OF_PROFILE,
            doc: "How long their answers are waited for, from the first probe on.",
            example: "confirm = \"50ms\"",
            also: &["wait"],
        },
        Key {
            name: "port",
            kind: Kind::Integer { min: 1, max: u16::MAX as u32 },
            presence: Presence::Default(Literal::Integer(4870)),
            doc: "UDP port of heartbeats and probes, and TCP port of replication, on the addresses of every path.",
            example: "port = 4870",
            also: &["udp_port"],
        },
        Key {
            name: "paths",
            kind: Kind::Pairs,
            presence: Presence::Otherwise("the node addresses"),
            doc: "Pairs of addresses that partners hear each other by: of the node that comes first in the file, then \
                  of the other. Two paths that share no cable, such as a direct one, keep a failed switch from looking \
                  like a dead partner.",
            example: "paths = [[\"198.51.100.11\", \"198.51.100.12\"]]",
            also: &["path", "links"],
        },
        Key {
            name: "reach",
            kind: Kind::Addresses,
            presence: Presence::Otherwise("none"),
            doc: "Addresses that tell whether a node is still on the network, such as the routers': a standby that \
                  reaches more of them takes over.",
            example: "reach = [\"198.51.100.1\"]",
            also: &["targets", "reach_targets", "track", "ping"],
        },
        Key {
            name: "recovery",
            kind: Kind::Word {
                words: &[
                    Word {
                        word: "auto",
                        doc: "yes, once flows are replicated and it has been well for `stable`",
                    },
                    Word { word: "manual", doc: "no, `geminus takeover` does it" },
                ],
                reserved: &[],
            },
            presence: Presence::Default(Literal::Text("auto")),
            doc: "Whether a returned primary takes over again by itself.",
            example: "recovery = \"auto\"",
            also: &["failback", "preempt", "nopreempt"],
        },
        Key {
            name: "stable",
            kind: milliseconds(100, 1000 * HOUR),
            presence: Presence::Default(Literal::Text("10s")),
            doc: "How long a returned primary must have been well before it takes over again.",
            example: "stable = \"10s\"",
            also: &["preempt_delay", "hold_down", "holddown"],
        },
        Key {
            name: "alone_after",
            kind: seconds(1, HOUR),
            presence: Presence::Default(Literal::Text("40s")),
            doc: "How long a node that has heard nobody, and reaches no target, waits before it goes active alone. The \
                  default is longer than a switch port is mute after its link came up.",
            example: "alone_after = \"40s\"",
            also: &["startup_delay", "boot_delay"],
        },
        Key {
            name: "announce",
            kind: Kind::Word {
                words: &[
                    Word {
                        word: "gratuitous",
                        doc: "gratuitous ARP and unsolicited neighbour advertisements name the new hardware address",
                    },
                    Word {
                        word: "virtual-mac",
                        doc: "the cluster addresses have a hardware address of their own that moves with them",
                    },
                ],
                reserved: &[],
            },
            presence: Presence::Default(Literal::Text("gratuitous")),
            doc: "How neighbours learn of a takeover.",
            example: "announce = \"gratuitous\"",
            also: &["garp", "use_vmac"],
        },
        Key {
            name: "key_file",
            kind: Kind::Path,
            presence: Presence::Otherwise("the site's key"),
            doc: "File with the secret of heartbeats and replication: 32 bytes as 64 hexadecimal digits.",
            example: "key_file = \"/etc/geminus/ha.key\"",
            also: &["key", "secret", "auth_pass"],
        },
        Key {
            name: "also_accept",
            kind: Kind::Path,
            presence: Presence::Otherwise("no other key"),
            doc: "File with another secret that is accepted, while keys are changed: first both nodes accept the new \
                  one, then they use it, then they forget the old one.",
            example: "also_accept = \"/etc/geminus/ha.key.old\"",
            also: &["old_key", "new_key"],
        },
    ],
    reserved: &[],
};

/// A hook for one event.
macro_rules! hook {
    ($event:literal, $doc:literal) => {
        Key {
            name: $event,
            kind: Kind::Command,
            presence: Presence::Otherwise("nothing is started"),
            doc: $doc,
            example: concat!($event, " = [\"/etc/geminus/page\", \"now\"]"),
            also: &[],
        }
    };
}

pub(super) static HOOKS: Table = Table {
    noun: "[hooks]",
    header: "[hooks]",
    doc: "Programs started when something happens: a list of the program, by its absolute path, and its arguments. No \
          shell reads it. May differ from node to node and may be left out.",
    keys: &[
        Key {
            name: "timeout",
            kind: seconds(1, 5 * MINUTE),
            presence: Presence::Default(Literal::Text("10s")),
            doc: "How long a program may run; after that it is killed.",
            example: "timeout = \"10s\"",
            also: &["limit"],
        },
        hook!("go-active", "This node has become active for clusters."),
        hook!("go-standby", "This node is active for them no more."),
        hook!("partner-up", "A partner is heard: for the first time, or again."),
        hook!("partner-down", "A partner is not heard any more."),
        hook!("path-up", "Something comes by a path again."),
        hook!("path-down", "Nothing comes by a path any more."),
        hook!(
            "server-up",
            "A server is up again: its checks are good; where nobody checks, it answers for its address."
        ),
        hook!(
            "server-down",
            "A server is down: its checks fail; where nobody checks, it does not answer for its address."
        ),
        hook!("pool-empty", "No server of a pool is up any more."),
        hook!("pool-full", "The main pool is past the bound of a rule: new flows go to another."),
        hook!("config-differs", "A partner has another configuration."),
        hook!("address-claimed", "Another machine answers for a cluster address."),
        hook!("duel", "Both partners were active for the same clusters; one of them has yielded."),
    ],
    reserved: &[],
};
