//! The tables of health and weights for the whole site: `[health]`, `[manager]`, `[agents]`.

use super::{HOUR, Key, Kind, Literal, MINUTE, Presence, Table, milliseconds, seconds};

pub(super) static HEALTH: Table = Table {
    noun: "[health]",
    header: "[health]",
    doc: "How health is judged, for every service of the site. May be left out.",
    keys: &[
        Key {
            name: "panic_below",
            kind: Kind::Integer { min: 0, max: 100 },
            presence: Presence::Default(Literal::Integer(50)),
            doc: "Below so many percent of healthy weight in a pool, its servers get flows whatever their health: what is \
                  left would fall over. 0: never.",
            example: "panic_below = 50",
            also: &["panic_threshold", "panic", "quorum"],
        },
        Key {
            name: "slow_start",
            kind: milliseconds(0, 1000 * HOUR),
            presence: Presence::Default(Literal::Text("0s")),
            doc: "How long the weight of a recovered server grows, from a tenth to the whole. `\"0s\"`: at once.",
            example: "slow_start = \"30s\"",
            also: &["slowstart", "warmup", "warm_up"],
        },
        Key {
            name: "damping",
            kind: milliseconds(0, 1000 * HOUR),
            presence: Presence::Default(Literal::Text("30s")),
            doc: "The third change of a server within this time, and every further, makes the next come no sooner than \
                  so long after it. `\"0s\"`: no damping.",
            example: "damping = \"30s\"",
            also: &["flap_damping", "dampening", "hold_down"],
        },
        Key {
            name: "certificate_days",
            kind: Kind::Integer { min: 0, max: 3650 },
            presence: Presence::Default(Literal::Integer(14)),
            doc: "A certificate that expires within so many days is warned of. 0: only one that has expired.",
            example: "certificate_days = 14",
            also: &["cert_days", "certificate_expiry", "expiry"],
        },
    ],
    reserved: &[],
};

pub(super) static MANAGER: Table = Table {
    noun: "[manager]",
    header: "[manager]",
    doc: "How readings become weights, for the services with `weights = \"managed\"`. May be left out.",
    keys: &[
        Key {
            name: "interval",
            kind: milliseconds(500, 5 * 60 * 1000),
            presence: Presence::Default(Literal::Text("2s")),
            doc: "Time between two cycles.",
            example: "interval = \"2s\"",
            also: &["cycle", "period"],
        },
        Key {
            name: "proportions",
            kind: Kind::Table(&PROPORTIONS),
            presence: Presence::Empty,
            doc: "How much each input counts.",
            example: "proportions = { active = 20, new = 10, latency = 40, load = 30 }",
            also: &["proportion", "inputs"],
        },
        Key {
            name: "sensitivity",
            kind: Kind::Integer { min: 0, max: 100 },
            presence: Presence::Default(Literal::Integer(5)),
            doc: "Percent that a weight must differ by before it is changed.",
            example: "sensitivity = 5",
            also: &["threshold"],
        },
        Key {
            name: "smoothing",
            kind: Kind::Integer { min: 100, max: 1000 },
            presence: Presence::Default(Literal::Integer(200)),
            doc: "How slowly a weight goes from the old value to the new, in hundredths: 100 is at once, 200 half of \
                  the way in each cycle.",
            example: "smoothing = 200",
            also: &["smooth", "smoothing_index"],
        },
        Key {
            name: "bound",
            kind: Kind::Integer { min: 1, max: 100 },
            presence: Presence::Default(Literal::Integer(10)),
            doc: "A managed weight stays between the configured one divided and multiplied by this.",
            example: "bound = 10",
            also: &["weight_bound", "max_factor"],
        },
    ],
    reserved: &[],
};

pub(super) static PROPORTIONS: Table = Table {
    noun: "`proportions`",
    header: "proportions",
    doc: "How much each input of the manager counts, in percent: \
          `proportions = { active = 20, new = 10, latency = 40, load = 30 }` in `[manager]`. Together they are 100.",
    keys: &[
        Key {
            name: "active",
            kind: Kind::Integer { min: 0, max: 100 },
            presence: Presence::Default(Literal::Integer(20)),
            doc: "The active flows of a server.",
            example: "active = 20",
            also: &["active_flows", "connections"],
        },
        Key {
            name: "new",
            kind: Kind::Integer { min: 0, max: 100 },
            presence: Presence::Default(Literal::Integer(10)),
            doc: "The new flows it gets.",
            example: "new = 10",
            also: &["new_flows", "new_connections"],
        },
        Key {
            name: "latency",
            kind: Kind::Integer { min: 0, max: 100 },
            presence: Presence::Default(Literal::Integer(40)),
            doc: "How long its checks take.",
            example: "latency = 40",
            also: &["advisor", "port"],
        },
        Key {
            name: "load",
            kind: Kind::Integer { min: 0, max: 100 },
            presence: Presence::Default(Literal::Integer(30)),
            doc: "The load that its agent reports.",
            example: "load = 30",
            also: &["agent", "system"],
        },
    ],
    reserved: &[],
};

pub(super) static AGENTS: Table = Table {
    noun: "[agents]",
    header: "[agents]",
    doc: "How agents on content hosts (`geminus host agent`) are heard. May be left out.",
    keys: &[
        Key {
            name: "enabled",
            kind: Kind::Flag,
            presence: Presence::Otherwise("`true` where `[agents]` or `[site]` has a `key_file`"),
            doc: "Whether they are heard at all.",
            example: "enabled = true",
            also: &["on", "listen"],
        },
        Key {
            name: "port",
            kind: Kind::Integer { min: 1, max: u16::MAX as u32 },
            presence: Presence::Default(Literal::Integer(4871)),
            doc: "UDP port on the node addresses.",
            example: "port = 4871",
            also: &["udp_port"],
        },
        Key {
            name: "timeout",
            kind: seconds(1, 5 * MINUTE),
            presence: Presence::Default(Literal::Text("5s")),
            doc: "How long after its last report an agent is lost.",
            example: "timeout = \"5s\"",
            also: &["lost_after", "ttl"],
        },
        Key {
            name: "key_file",
            kind: Kind::Path,
            presence: Presence::Otherwise("their secret is derived from the site's key"),
            doc: "File with the agents' secret, 32 bytes as 64 hexadecimal digits: content hosts need not have the site's \
                  key.",
            example: "key_file = \"/etc/geminus/agents.key\"",
            also: &["key", "secret"],
        },
    ],
    reserved: &[],
};
