//! Services that share their clients, and servers that clients do not come back to.

use geminus_packet::tables::{Server, Tables};

use super::Family;
use crate::entries::{relate, server_entry};
use crate::fixture::{Expected, Fixture, Step, namesake, other, same, to};
use crate::frame::{ACK, SYN};

const HOMES: [&str; 3] = ["home1", "home2", "home3"];

/// Ports 1032 and 1128 share their clients, and each host is a server of both.
const SHARED: fn(&dyn Tables) =
    |tables| HOMES.iter().for_each(|&name| relate(tables, &[(1032, name), (1128, name)]));

/// Clients of port 1032 have `home1`, and of its circle so many come before its namesake of port 1128.
fn far_apart(tables: &dyn Tables, between: &[(u16, &'static str)]) {
    SHARED(tables);
    relate(tables, &[&[(1032, "home1")], between, &[(1128, "home1")]].concat());
    for name in ["home2", "home3"] {
        let entry = server_entry(tables, 1032, name);
        entry.from.store(entry.from.load() | Server::DOWN);
    }
}

const BETWEEN: [(u16, &str); 7] =
    [(80, "web1"), (80, "web2"), (80, "web3"), (87, "turn1"), (87, "turn2"), (87, "turn3"), (86, "busy")];

pub(super) fn list() -> Vec<Fixture> {
    Family::BOTH.into_iter().flat_map(of).collect()
}

fn of(family: Family) -> Vec<Fixture> {
    let named = |name: &str| format!("{}: {name}", family.name());
    let visit =
        |port| vec![Step::Frame(family.tcp(40_000, port, SYN)), Step::Frame(family.tcp(40_000, port, ACK))];
    let shared = |then: &[Step]| [&[Step::Write(SHARED)][..], &visit(1032), then].concat();
    let syn = |port| family.tcp(41_000, port, SYN);
    let anyone = || to("turn", &HOMES);
    let closed = |name: &str, close: fn(&dyn Tables)| {
        Fixture::new(named(name), syn(1128), anyone()).after(shared(&[Step::Write(close)]))
    };
    let loose = |expected: Expected, steps: Vec<Step>, name: &str| {
        Fixture::new(named(name), family.tcp(41_000, 1032, SYN), expected).after(steps)
    };
    vec![
        Fixture::new(
            named("a client of one service comes to the same host in another that shares its clients"),
            syn(1128),
            namesake("affinity"),
        )
        .after(shared(&[])),
        Fixture::new(
            named("a client of the second service comes to the same host in the first"),
            syn(1032),
            namesake("affinity"),
        )
        .after([&[Step::Write(SHARED)][..], &visit(1128)].concat()),
        Fixture::new(
            named("a client comes back to the service that it came from"),
            syn(1032),
            same("affinity"),
        )
        .after(shared(&[])),
        Fixture::new(
            named("a client that came to two services comes back to the first"),
            syn(1032),
            namesake("affinity"),
        )
        .after(shared(&visit(1128))),
        Fixture::new(named("the eighth of a circle is found"), syn(1128), namesake("affinity"))
            .after([&[Step::Write(|tables| far_apart(tables, &BETWEEN[..6]))][..], &visit(1032)].concat()),
        Fixture::new(named("nobody is looked for further than that"), syn(1128), anyone())
            .after([&[Step::Write(|tables| far_apart(tables, &BETWEEN))][..], &visit(1032)].concat()),
        closed("a host that is a server of one service alone is not one of the other", |tables| {
            for name in HOMES {
                let entry = server_entry(tables, 1032, name);
                entry.kin.store(entry.kin.load() & u64::from(u32::MAX));
            }
        }),
        closed("a client does not come to a host that is gone in the other service", |tables| {
            for name in HOMES {
                let entry = server_entry(tables, 1032, name);
                entry.kin.store(entry.kin.load() & u64::from(u32::MAX) | 1 << 52);
            }
        }),
        Fixture::new(
            named("a client whose own server began anew is not known to the other service"),
            syn(1128),
            anyone(),
        )
        .after(shared(&[Step::RenewLast])),
        Fixture::new(
            named("a client does not come to a host that is down in the other service"),
            syn(1128),
            other("turn"),
        )
        .after([&[Step::Write(SHARED)][..], &visit(1128), &[Step::MarkLast(Server::DOWN)]].concat()),
        loose(
            other("turn"),
            [visit(1032), vec![Step::MarkLast(Server::LOOSE)]].concat(),
            "clients do not come back to a server that does not want them to",
        ),
        loose(
            other("turn"),
            vec![
                Step::Frame(family.tcp(40_000, 1032, SYN)),
                Step::MarkLast(Server::LOOSE),
                Step::Frame(family.tcp(40_000, 1032, ACK)),
            ],
            "a client of a server that does not want it back is not remembered",
        ),
        Fixture::new(
            named("a flow of a server that does not want its clients back is remembered all the same"),
            family.tcp(40_000, 1032, ACK),
            same("established"),
        )
        .after(vec![
            Step::Frame(family.tcp(40_000, 1032, SYN)),
            Step::MarkLast(Server::LOOSE),
            Step::Frame(family.tcp(40_000, 1032, ACK)),
        ]),
    ]
}
