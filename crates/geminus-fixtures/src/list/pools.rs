//! Pools: who gets the new flows of a service.

use geminus_packet::tables::Tables;

use super::{Family, WEB};
use crate::entries::use_pool;
use crate::fixture::{Fixture, Step, drop, same, to};
use crate::frame::{ACK, SYN};

/// Port 80 has the servers of port 86.
const BUSY: fn(&dyn Tables) = |tables| use_pool(tables, 80, 86);

pub(super) fn list() -> Vec<Fixture> {
    Family::BOTH.into_iter().flat_map(of).collect()
}

fn of(family: Family) -> Vec<Fixture> {
    let named = |name: &str| format!("{}: {name}", family.name());
    let tcp = |from, port, flags| family.tcp(from, port, flags);
    let step = |from, port, flags| Step::Frame(family.tcp(from, port, flags));
    vec![
        Fixture::new(named("new flows go to the pool in force"), tcp(40_000, 80, SYN), to("ring", &["busy"]))
            .after(vec![Step::Write(BUSY)]),
        Fixture::new(named("the first entry of all may be a pool"), tcp(40_000, 86, SYN), to("ring", WEB))
            .after(vec![Step::Write(|tables| use_pool(tables, 86, 80))]),
        Fixture::new(
            named("later segments of unknown flows go to the pool in force"),
            tcp(40_000, 80, ACK),
            to("unknown", &["busy"]),
        )
        .after(vec![Step::Write(BUSY)]),
        Fixture::new(
            named("a flow stays where it is when another pool comes into force"),
            tcp(40_000, 80, ACK),
            same("established"),
        )
        .after(vec![step(40_000, 80, SYN), step(40_000, 80, ACK), Step::Write(BUSY)]),
        Fixture::new(
            named("a SYN again goes where it went when another pool comes into force"),
            tcp(40_000, 80, SYN),
            same("repeated"),
        )
        .after(vec![step(40_000, 80, SYN), Step::Write(BUSY)]),
        Fixture::new(
            named("a returning client keeps its server whichever pool is in force"),
            tcp(41_000, 1128, SYN),
            same("affinity"),
        )
        .after(vec![
            step(40_000, 1128, SYN),
            step(40_000, 1128, ACK),
            Step::Write(|tables| use_pool(tables, 1128, 86)),
        ]),
        Fixture::new(
            named("a new client goes to the pool in force in turn"),
            tcp(40_000, 1128, SYN),
            to("turn", &["busy"]),
        )
        .after(vec![Step::Write(|tables| use_pool(tables, 1128, 86))]),
        Fixture::new(named("a pool without a server has none"), tcp(40_000, 80, SYN), drop("no-server"))
            .after(vec![Step::Write(|tables| use_pool(tables, 80, 85))]),
        Fixture::new(
            named("a service without a server has one in another pool"),
            tcp(40_000, 85, SYN),
            to("ring", &["busy"]),
        )
        .after(vec![Step::Write(|tables| use_pool(tables, 85, 86))]),
        Fixture::new(
            named("the main pool in force again has the new flows"),
            tcp(40_000, 80, SYN),
            to("ring", WEB),
        )
        .after(vec![
            Step::Write(BUSY),
            Step::Write(|tables| crate::entries::service_entry(tables, 80).pool.store(0)),
        ]),
    ]
}
