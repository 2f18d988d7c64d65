//! The one description of the file: parser, hints, JSON Schema and `docs/config.md` all read it.

mod balance;
mod check;
mod cluster;
mod ha;

use std::time::Duration;

use self::balance::{AGENTS, HEALTH, MANAGER, PROPORTIONS};
use self::check::CHECK;
use self::cluster::{AFFINITY, CLUSTER, POOL, RULE, SERVER, SERVICE};
use self::ha::{HA, HOOKS};
use super::text::Text;

pub(super) use self::check::ADVISORS;

/// A table of the file.
pub(super) struct Table {
    /// What one is called in a message; the header itself where there can be only one.
    pub(super) noun: &'static str,
    /// How it is written.
    pub(super) header: &'static str,
    /// What it is for.
    pub(super) doc: &'static str,
    /// What it may hold.
    pub(super) keys: &'static [Key],
    /// What a later version will let it hold.
    pub(super) reserved: &'static [Reserved],
}

impl Table {
    /// Where a key of it belongs, for a hint.
    pub(super) fn place(&self) -> &'static str {
        if self.header.starts_with('[') { self.header } else { self.noun }
    }

    pub(super) fn index(&self, name: &str) -> Option<usize> {
        self.keys.iter().position(|key| key.name == name)
    }
}

/// A key of a table.
pub(super) struct Key {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) presence: Presence,
    /// What it says, as Markdown.
    pub(super) doc: &'static str,
    /// How it is written, with `NAME` for the name of the cluster around it.
    pub(super) example: &'static str,
    /// What other products and hasty people call it.
    pub(super) also: &'static [&'static str],
}

/// What a key holds.
pub(super) enum Kind {
    /// The name of a thing: letters, digits, `-`, `_`, `.`.
    Name,
    /// The name of a node of this file.
    NodeName,
    /// The name of a network interface.
    Interface,
    /// An absolute path.
    Path,
    /// An IPv4 or IPv6 address.
    Address,
    /// One or more addresses.
    Addresses,
    /// One or more pairs of addresses.
    Pairs,
    /// A program by its absolute path, and its arguments.
    Command,
    /// A time with its unit.
    Duration { min: Duration, max: Duration },
    /// A number of table entries, a power of two.
    Size { min: u32, max: u32 },
    /// A prime.
    Prime { min: u32, max: u32 },
    /// A whole number.
    Integer { min: u32, max: u32 },
    /// `true` or `false`.
    Flag,
    /// One of a few words, and words that a later version will know.
    Word { words: &'static [Word], reserved: &'static [Reserved] },
    /// A port, a range or any.
    Ports,
    /// `true` and nothing else.
    Yes,
    /// A text of a check.
    Text(Text),
    /// One or more texts of a check.
    Texts(Text),
    /// Good status codes: a number, a range, or a list of these.
    Statuses,
    /// One or more prefixes or addresses.
    Prefixes,
    /// A part of the week.
    Window,
    /// One or more parts of the week.
    Windows,
    /// One table.
    Table(&'static Table),
    /// Tables by name.
    Named(&'static Table),
    /// A list of tables.
    List(&'static Table),
}

impl Kind {
    /// Whether it is written in brackets.
    pub(super) fn is_list(&self) -> bool {
        matches!(
            self,
            Self::Addresses
                | Self::Pairs
                | Self::Command
                | Self::Texts(_)
                | Self::Statuses
                | Self::Prefixes
                | Self::Windows
                | Self::List(_)
        )
    }
}

/// One of the words a key may hold.
pub(super) struct Word {
    pub(super) word: &'static str,
    pub(super) doc: &'static str,
}

/// A key or word of a later version.
pub(super) struct Reserved {
    pub(super) name: &'static str,
    pub(super) doc: &'static str,
}

/// What happens where a key is absent.
pub(super) enum Presence {
    /// The file is refused.
    Required,
    /// This is meant.
    Default(Literal),
    /// It is read as an empty table: every key of it at its default.
    Empty,
    /// Said in words: the reader of the value works it out.
    Otherwise(&'static str),
}

/// A value as it stands in a file.
#[derive(Clone, Copy)]
pub(super) enum Literal {
    Text(&'static str),
    Integer(u32),
    Flag(bool),
}

impl std::fmt::Display for Literal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Text(text) => write!(f, "\"{text}\""),
            Self::Integer(number) => write!(f, "{number}"),
            Self::Flag(flag) => write!(f, "{flag}"),
        }
    }
}

const fn seconds(from: u64, to: u64) -> Kind {
    Kind::Duration { min: Duration::from_secs(from), max: Duration::from_secs(to) }
}

const fn milliseconds(from: u64, to: u64) -> Kind {
    Kind::Duration { min: Duration::from_millis(from), max: Duration::from_millis(to) }
}

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const KI: u32 = 1 << 10;
const MI: u32 = 1 << 20;

/// The file itself.
pub(super) static FILE: Table = Table {
    noun: "the file",
    header: "",
    doc: "",
    keys: &[
        Key {
            name: "site",
            kind: Kind::Table(&SITE),
            presence: Presence::Empty,
            doc: "What all dispatchers share.",
            example: "[site]",
            also: &["global", "general"],
        },
        Key {
            name: "node",
            kind: Kind::Named(&NODE),
            presence: Presence::Required,
            doc: "The dispatchers.",
            example: "[node.alpha]",
            also: &["dispatcher", "director"],
        },
        Key {
            name: "ha",
            kind: Kind::Table(&HA),
            presence: Presence::Empty,
            doc: "When a node takes over from its partner.",
            example: "[ha]",
            also: &["high_availability", "failover", "vrrp"],
        },
        Key {
            name: "hooks",
            kind: Kind::Table(&HOOKS),
            presence: Presence::Empty,
            doc: "Programs started when something happens.",
            example: "[hooks]",
            also: &["notify", "scripts", "events"],
        },
        Key {
            name: "health",
            kind: Kind::Table(&HEALTH),
            presence: Presence::Empty,
            doc: "How health is judged.",
            example: "[health]",
            also: &["checks", "monitor"],
        },
        Key {
            name: "manager",
            kind: Kind::Table(&MANAGER),
            presence: Presence::Empty,
            doc: "How readings become weights.",
            example: "[manager]",
            also: &["weights", "balance"],
        },
        Key {
            name: "agents",
            kind: Kind::Table(&AGENTS),
            presence: Presence::Empty,
            doc: "How agents on content hosts are heard.",
            example: "[agents]",
            also: &["agent", "metric_server", "metrics"],
        },
        Key {
            name: "tables",
            kind: Kind::Table(&TABLES),
            presence: Presence::Empty,
            doc: "Sizes of the kernel tables.",
            example: "[tables]",
            also: &["maps", "memory"],
        },
        Key {
            name: "timeouts",
            kind: Kind::Table(&TIMEOUTS),
            presence: Presence::Empty,
            doc: "How long an idle flow is remembered.",
            example: "[timeouts]",
            also: &["timers"],
        },
        Key {
            name: "cluster",
            kind: Kind::Named(&CLUSTER),
            presence: Presence::Required,
            doc: "The addresses that clients use.",
            example: "[cluster.shop]",
            also: &["vip", "virtual_server", "frontend"],
        },
    ],
    reserved: &[Reserved { name: "announce", doc: "announcing cluster addresses to routers" }],
};

static SITE: Table = Table {
    noun: "[site]",
    header: "[site]",
    doc: "What all dispatchers of the site share. May be left out.",
    keys: &[Key {
        name: "key_file",
        kind: Kind::Path,
        presence: Presence::Otherwise("the node makes a key of its own"),
        doc: "File with the site's secret: 32 bytes as 64 hexadecimal digits. It keys the hash that chooses servers, \
              so dispatchers that share clusters need the same one.",
        example: "key_file = \"/etc/geminus/site.key\"",
        also: &["key", "secret", "secret_file"],
    }],
    reserved: &[],
};

static NODE: Table = Table {
    noun: "node",
    header: "[node.NAME]",
    doc: "One dispatcher. `geminus run` takes the node whose name is the host name, unless `--node` says otherwise.",
    keys: &[
        Key {
            name: "address",
            kind: Kind::Address,
            presence: Presence::Required,
            doc: "The node's own address, never a cluster address.",
            example: "address = \"198.51.100.11\"",
            also: &["ip", "addr", "addresses", "nfa"],
        },
        Key {
            name: "interface",
            kind: Kind::Interface,
            presence: Presence::Required,
            doc: "The interface that faces clients and servers.",
            example: "interface = \"eth0\"",
            also: &["iface", "dev", "device", "nic"],
        },
    ],
    reserved: &[],
};

static TABLES: Table = Table {
    noun: "[tables]",
    header: "[tables]",
    doc: "Sizes of the kernel tables, in entries of 16 bytes. A size is a power of two, written as a number or as text \
          with `Ki` or `Mi`. May be left out.",
    keys: &[
        Key {
            name: "flows",
            kind: Kind::Size { min: 64 * KI, max: 64 * MI },
            presence: Presence::Default(Literal::Text("1Mi")),
            doc: "Flows remembered. A full table is no failure: the hash still sends a flow to its server.",
            example: "flows = \"1Mi\"",
            also: &["connections", "conntrack"],
        },
        Key {
            name: "provisional",
            kind: Kind::Size { min: 16 * KI, max: 64 * MI },
            presence: Presence::Otherwise("a sixteenth of `flows`, at least 16Ki"),
            doc: "Half-open flows remembered: those of which only the first packet was seen.",
            example: "provisional = \"64Ki\"",
            also: &["half_open", "syn"],
        },
        Key {
            name: "affinity",
            kind: Kind::Size { min: KI, max: 16 * MI },
            presence: Presence::Default(Literal::Text("64Ki")),
            doc: "Clients remembered for services with `affinity`.",
            example: "affinity = \"64Ki\"",
            also: &["sticky", "persistence"],
        },
        Key {
            name: "tuples",
            kind: Kind::Flag,
            presence: Presence::Default(Literal::Flag(true)),
            doc: "Whether addresses and ports of every flow are kept for `geminus flows`, in 40 more bytes each.",
            example: "tuples = false",
            also: &["cold"],
        },
    ],
    reserved: &[],
};

static TIMEOUTS: Table = Table {
    noun: "[timeouts]",
    header: "[timeouts]",
    doc: "How long an idle flow keeps its slot against a newcomer. May be left out.",
    keys: &[
        Key {
            name: "tcp",
            kind: seconds(1, 12 * HOUR),
            presence: Presence::Default(Literal::Text("15m")),
            doc: "An established TCP flow.",
            example: "tcp = \"15m\"",
            also: &["established"],
        },
        Key {
            name: "tcp_fin",
            kind: seconds(1, 12 * HOUR),
            presence: Presence::Default(Literal::Text("5m")),
            doc: "A TCP flow whose client sent FIN. With direct return the server's side is not seen, and its download \
                  may go on for long.",
            example: "tcp_fin = \"5m\"",
            also: &["fin", "closing"],
        },
        Key {
            name: "tcp_rst",
            kind: seconds(1, HOUR),
            presence: Presence::Default(Literal::Text("10s")),
            doc: "A TCP flow whose client sent RST.",
            example: "tcp_rst = \"10s\"",
            also: &["rst", "reset"],
        },
        Key {
            name: "udp",
            kind: seconds(1, 12 * HOUR),
            presence: Presence::Default(Literal::Text("5m")),
            doc: "A UDP flow.",
            example: "udp = \"5m\"",
            also: &[],
        },
        Key {
            name: "first",
            kind: seconds(1, MINUTE),
            presence: Presence::Default(Literal::Text("3s")),
            doc: "A flow of which only the first packet was seen.",
            example: "first = \"3s\"",
            also: &["syn", "provisional", "half_open"],
        },
    ],
    reserved: &[],
};

/// Every table, in the order of the reference.
pub(super) static ALL: [&Table; 18] = [
    &FILE,
    &SITE,
    &NODE,
    &HA,
    &HOOKS,
    &HEALTH,
    &MANAGER,
    &PROPORTIONS,
    &AGENTS,
    &TABLES,
    &TIMEOUTS,
    &CLUSTER,
    &SERVICE,
    &CHECK,
    &AFFINITY,
    &SERVER,
    &POOL,
    &RULE,
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::scalar::{Raw, interpret};

    #[test]
    fn a_default_and_an_example_are_what_the_key_may_hold() {
        for key in ALL.iter().flat_map(|table| table.keys) {
            if let Presence::Default(literal) = key.presence {
                assert!(interpret(key, literal.into()).is_ok(), "{}", key.name);
            }
            let example: toml::Table = key.example.parse().unwrap();
            match example.get(key.name) {
                Some(toml::Value::String(text)) => {
                    assert!(interpret(key, Raw::Text(text)).is_ok(), "{}", key.name)
                }
                Some(toml::Value::Integer(number)) => {
                    assert!(interpret(key, Raw::Integer(Some((*number).into()))).is_ok(), "{}", key.name);
                }
                Some(toml::Value::Boolean(flag)) => {
                    assert!(interpret(key, Raw::Flag(*flag)).is_ok(), "{}", key.name)
                }
                Some(toml::Value::Array(_) | toml::Value::Table(_)) => {}
                other => assert!(key.example.starts_with("[["), "{}: {other:?}", key.name),
            }
        }
    }

    #[test]
    fn every_event_has_a_hook_and_every_hook_an_event() {
        let hooks = HOOKS.keys.iter().filter(|key| matches!(key.kind, Kind::Command));
        let mut hooks: Vec<_> = hooks.map(|key| key.name).collect();
        let mut events = crate::model::HOOK_EVENTS.to_vec();
        hooks.sort_unstable();
        events.sort_unstable();
        assert_eq!(hooks, events);
        assert_eq!(HOOKS.keys.len(), events.len() + 1, "and how long they may run");
    }

    #[test]
    fn what_a_key_is_also_called_is_the_name_of_no_other_key_of_its_table() {
        for table in ALL {
            let mut names: Vec<_> =
                table.keys.iter().flat_map(|key| key.also.iter().chain([&key.name])).collect();
            names.extend(table.reserved.iter().map(|reserved| &reserved.name));
            let all = names.len();
            names.sort();
            names.dedup();
            assert_eq!(names.len(), all, "{}", table.noun);
        }
    }
}
