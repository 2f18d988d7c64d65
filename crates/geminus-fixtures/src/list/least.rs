//! Services whose new flows go to the one of two candidates that has fewer.

use geminus_packet::tables::{Server, Service, Tables, Ticks};

use super::{Family, WEB};
use crate::entries::{select, server_entry};
use crate::fixture::{Fixture, Step, same, to};
use crate::frame::{ACK, SYN};
use crate::ground;
use crate::snapshot::Memory;
use crate::stage::{HostHome, Stage};

/// Ports 80 and 53 give new flows to the one of two with fewer.
const LEAST: fn(&dyn Tables) = |tables| {
    select(tables, 80, Service::LEAST);
    select(tables, 53, Service::LEAST);
};

pub(super) fn list() -> Vec<Fixture> {
    Family::BOTH.into_iter().flat_map(of).collect()
}

/// A flow to port 80 and its two candidates: the ring's own, and the other.
#[derive(Clone, Copy)]
struct Pair {
    from: u16,
    own: &'static str,
    other: &'static str,
}

impl Pair {
    /// The first flow whose candidates differ.
    fn of(family: Family) -> Self {
        let sizes = ground::sizes(&ground::site(), 1, 1);
        let mut stage = Stage::new(HostHome::new(&sizes, Ticks(1 << 20)), &sizes);
        stage.take(&Step::Write(LEAST));
        let mut goes_to = |from| {
            let seen = stage.run(&family.tcp(from, 80, SYN));
            stage.take(&Step::Write(forget));
            let [(server, _)] = seen.sent[..] else { panic!("{seen:?}") };
            let own = WEB.iter().find(|name| **name == stage.server(server).name).expect("of port 80");
            stage.take(&burden(own, 1, 1));
            let seen = stage.run(&family.tcp(from, 80, SYN));
            stage.take(&Step::Write(forget));
            stage.take(&burden(own, 0, 1));
            let [(server, _)] = seen.sent[..] else { panic!("{seen:?}") };
            let other = WEB.iter().find(|name| **name == stage.server(server).name).expect("of port 80");
            Self { from, own, other }
        };
        (40_000..).map(&mut goes_to).find(|pair| pair.own != pair.other).expect("two of three do")
    }
}

fn forget(tables: &dyn Tables) {
    let bucket = tables.provisional(0).expect("there is one");
    for found in (0..geminus_packet::flow::WAYS).filter_map(|way| bucket.way(way)) {
        bucket.forget(&found);
    }
}

const fn burden(name: &'static str, active: u64, weight: u64) -> Step {
    Step::Load { port: 80, name, active, weight }
}

fn of(family: Family) -> Vec<Fixture> {
    let named = |name: &str| format!("{}: {name}", family.name());
    let Pair { from, own, other } = Pair::of(family);
    let tcp = |flags| family.tcp(from, 80, flags);
    let step = |flags| Step::Frame(tcp(flags));
    let given = |name: &str, of_own: (u64, u64), of_other: (u64, u64), to_other: bool| {
        let who: &[&'static str] = if to_other { &[other] } else { &[own] };
        let before =
            vec![Step::Write(LEAST), burden(own, of_own.0, of_own.1), burden(other, of_other.0, of_other.1)];
        Fixture::new(named(name), tcp(SYN), to("least", who)).after(before)
    };
    let laden = |then: &[Step]| [&[Step::Write(LEAST), burden(own, 5, 1)], then].concat();
    vec![
        given("of two candidates with equally many flows, the ring's own", (7, 1), (7, 1), false),
        given("of two candidates, the one with fewer flows", (8, 1), (7, 1), true),
        given("of two candidates, the ring's own with fewer flows", (7, 1), (8, 1), false),
        given("flows count for the weight", (20, 10), (3, 1), false),
        given("flows count for the weight of the other too", (3, 1), (20, 10), true),
        given("a weight of 0 counts as 1", (2, 0), (1, 0), true),
        given("fewer than no flows are none", (u64::MAX, 1), (0, 1), false),
        given("fewer than no flows are none, of the other too", (0, 1), (u64::MAX - 4, 1), false),
        given("millions of flows for great weights are compared", (1 << 40, 1023), (1 << 40, 1022), false),
        Fixture::new(
            named("what was given to the lighter candidate stays there"),
            tcp(ACK),
            same("promoted"),
        )
        .after(laden(&[step(SYN), burden(own, 0, 1), burden(other, 9, 1)])),
        Fixture::new(
            named("a SYN again goes to the lighter candidate of before"),
            tcp(SYN),
            same("repeated"),
        )
        .after(laden(&[step(SYN), burden(own, 0, 1), burden(other, 9, 1)])),
        Fixture::new(
            named("a later segment of an unknown flow has one candidate"),
            tcp(ACK),
            to("unknown", &[own]),
        )
        .after(laden(&[])),
        Fixture::new(
            named("a lighter candidate that cannot be remembered is not taken"),
            tcp(SYN),
            to("ring", &[own]).noting(&["first-not-remembered"]),
        )
        .after(laden(&[Step::Claim(Memory::Provisional)])),
        Fixture::new(named("a candidate that is down is none"), tcp(SYN), to("ring", &[own])).after(laden(
            &[Step::Write(match other {
                "web1" => |tables| close(tables, "web1"),
                "web2" => |tables| close(tables, "web2"),
                _ => |tables| close(tables, "web3"),
            })],
        )),
        Fixture::new(
            named("a flow that is over is one less, and the next goes there"),
            family.tcp(from, 80, SYN),
            to("least", &[own]),
        )
        .after(vec![Step::Write(LEAST), step(SYN), step(ACK), step(crate::frame::FIN | ACK)]),
        Fixture::new(
            named("a datagram goes to one of two candidates"),
            family.udp(from, 53),
            to("least", &["dns1", "dns2"]),
        )
        .after(vec![Step::Write(LEAST)]),
    ]
}

fn close(tables: &dyn Tables, name: &str) {
    let entry = server_entry(tables, 80, name);
    entry.from.store(entry.from.load() | Server::DOWN);
}
