//! What is remembered of a flow, and for how long.

use super::{Family, WEB};
use crate::fixture::{Fixture, Step, drop, other, same, to};
use crate::frame::{ACK, FIN, RST, SYN};
use crate::snapshot::Memory;
use geminus_core::model::Site;

/// Ways of the one bucket that the fixtures' tables have.
const WAYS: u16 = 8;

pub(super) fn list() -> Vec<Fixture> {
    Family::BOTH.into_iter().flat_map(|family| [life(family), end(family), memory(family)].concat()).collect()
}

/// The flow of most fixtures.
#[derive(Clone, Copy)]
struct Flow(Family, u16);

impl Flow {
    fn frame(self, flags: u8) -> Vec<u8> {
        self.0.tcp(self.1, 80, flags)
    }

    fn step(self, flags: u8) -> Step {
        Step::Frame(self.frame(flags))
    }

    /// SYN and first segment, and then.
    fn established(self, then: &[Step]) -> Vec<Step> {
        [&[self.step(SYN), self.step(ACK)], then].concat()
    }
}

fn life(family: Family) -> Vec<Fixture> {
    let named = |name: &str| format!("{}: {name}", family.name());
    let flow = Flow(family, 40_000);
    let datagram = |port| Step::Frame(family.udp(port, 53));
    vec![
        Fixture::new(named("a SYN again goes where it went"), flow.frame(SYN), same("repeated"))
            .after(vec![flow.step(SYN)]),
        Fixture::new(named("the second packet of a flow is promoted"), flow.frame(ACK), same("promoted"))
            .after(vec![flow.step(SYN)]),
        Fixture::new(named("the second packet may be a FIN"), flow.frame(FIN | ACK), same("promoted"))
            .after(vec![flow.step(SYN)]),
        Fixture::new(
            named("the second packet may be a RST and is not remembered"),
            flow.frame(RST),
            same("repeated"),
        )
        .after(vec![flow.step(SYN)]),
        Fixture::new(
            named("a flow whose first packet was followed by RST begins anew"),
            flow.frame(SYN),
            to("ring", WEB),
        )
        .after(vec![flow.step(SYN), flow.step(RST)]),
        Fixture::new(named("the third packet finds its flow"), flow.frame(ACK), same("established"))
            .after(flow.established(&[])),
        Fixture::new(
            named("a flow stays where it is when the second packet comes after other flows"),
            flow.frame(ACK),
            to("promoted", WEB),
        )
        .after(vec![flow.step(SYN), Flow(family, 40_001).step(SYN), Flow(family, 40_002).step(SYN)]),
        Fixture::new(
            named("a flow that began elsewhere goes by the ring"),
            flow.frame(ACK),
            to("unknown", WEB),
        ),
        Fixture::new(named("a flow that began elsewhere is promoted too"), flow.frame(ACK), same("promoted"))
            .after(vec![flow.step(ACK)]),
        Fixture::new(
            named("a RST of an unknown flow is not remembered"),
            flow.frame(ACK),
            to("unknown", WEB),
        )
        .after(vec![flow.step(RST)]),
        Fixture::new(named("a first datagram again is promoted"), family.udp(40_000, 53), same("promoted"))
            .after(vec![datagram(40_000)]),
        Fixture::new(named("a third datagram finds its flow"), family.udp(40_000, 53), same("established"))
            .after(vec![datagram(40_000), datagram(40_000)]),
        Fixture::new(
            named("ports of TCP and UDP are different flows"),
            family.tcp(40_000, 80, ACK),
            to("unknown", WEB),
        )
        .after(vec![datagram(40_000), datagram(40_000)]),
        Fixture::new(
            named("an idle flow keeps its server while nobody wants its place"),
            flow.frame(ACK),
            same("established"),
        )
        .after(flow.established(&[Step::Seconds(30 * 3600)])),
        Fixture::new(
            named("a first packet that was long ago still counts"),
            flow.frame(ACK),
            same("promoted"),
        )
        .after(vec![flow.step(SYN), Step::Seconds(3600)]),
    ]
}

fn end(family: Family) -> Vec<Fixture> {
    let named = |name: &str| format!("{}: {name}", family.name());
    let flow = Flow(family, 40_000);
    let after = |then: &[Step]| flow.established(then);
    let gone = |fixture: Fixture| {
        let expected = fixture.expected.clone().noting(&["server-gone"]);
        Fixture { expected, ..fixture }
    };
    let lodger: fn(&mut Site) = |site| {
        let mut server = site.clusters[0].services[0].servers[0].clone();
        (server.name, server.address) = ("lodger".into(), "198.51.100.40".parse().expect("an address"));
        site.clusters[0].services[0].servers.push(server);
    };
    vec![
        Fixture::new(named("a FIN goes with its flow"), flow.frame(FIN | ACK), same("established"))
            .after(after(&[])),
        Fixture::new(named("what follows a FIN goes with its flow"), flow.frame(ACK), same("established"))
            .after(after(&[flow.step(FIN | ACK)])),
        Fixture::new(named("a RST goes with its flow"), flow.frame(RST), same("established"))
            .after(after(&[])),
        Fixture::new(named("what follows a RST goes with its flow"), flow.frame(ACK), same("established"))
            .after(after(&[flow.step(RST)])),
        Fixture::new(named("a port used again after FIN is a newcomer"), flow.frame(SYN), to("ring", WEB))
            .after(after(&[flow.step(FIN | ACK)])),
        Fixture::new(named("a port used again after RST is a newcomer"), flow.frame(SYN), to("ring", WEB))
            .after(after(&[flow.step(RST)])),
        Fixture::new(named("a SYN within a flow goes with it"), flow.frame(SYN), same("established"))
            .after(after(&[])),
        Fixture::new(named("a flow of a drained server stays"), flow.frame(ACK), same("established"))
            .after(after(&[Step::DrainLast])),
        Fixture::new(
            named("a flow that began before the drain is promoted"),
            flow.frame(ACK),
            same("promoted"),
        )
        .after(vec![flow.step(SYN), Step::DrainLast]),
        Fixture::new(named("a SYN again after the drain goes elsewhere"), flow.frame(SYN), other("ring"))
            .after(vec![flow.step(SYN), Step::DrainLast]),
        Fixture::new(
            named("a SYN within a flow of a drained server goes with it"),
            flow.frame(SYN),
            same("established"),
        )
        .after(after(&[Step::DrainLast])),
        Fixture::new(
            named("a port used again after FIN leaves a drained server"),
            flow.frame(SYN),
            other("ring"),
        )
        .after(after(&[flow.step(FIN | ACK), Step::DrainLast])),
        Fixture::new(
            named("a port used again after RST leaves a drained server"),
            flow.frame(SYN),
            other("ring"),
        )
        .after(after(&[flow.step(RST), Step::DrainLast])),
        Fixture::new(
            named("the download after a FIN stays with a drained server"),
            flow.frame(ACK),
            same("established"),
        )
        .after(after(&[flow.step(FIN | ACK), Step::DrainLast])),
        gone(
            Fixture::new(
                named("a flow of a removed server goes by the ring"),
                flow.frame(ACK),
                other("unknown"),
            )
            .after(after(&[Step::RemoveLast])),
        ),
        gone(
            Fixture::new(
                named("a SYN of a removed server's flow goes by the ring"),
                flow.frame(SYN),
                other("ring"),
            )
            .after(after(&[Step::RemoveLast])),
        ),
        gone(
            Fixture::new(
                named("a removed server's successor has none of its flows"),
                flow.frame(ACK),
                to("unknown", &["web1", "web2", "web3", "lodger"]),
            )
            .after(after(&[Step::RemoveLast, Step::Reload(lodger)])),
        ),
        Fixture::new(
            named("a first packet's removed server is not remembered"),
            flow.frame(ACK),
            other("unknown"),
        )
        .after(vec![flow.step(SYN), Step::RemoveLast]),
        Fixture::new(named("a flow stays when a server is added"), flow.frame(ACK), same("established"))
            .after(after(&[Step::Reload(lodger)])),
        Fixture::new(named("a flow stays when another cluster goes"), flow.frame(ACK), same("established"))
            .after(after(&[Step::Reload(|site| site.clusters.truncate(1))])),
        Fixture::new(
            named("a flow stays when clusters and services change places"),
            flow.frame(ACK),
            same("established"),
        )
        .after(after(&[Step::Reload(shuffle)])),
        gone(
            Fixture::new(
                named("a flow of a service that is gone is shut out"),
                flow.frame(ACK),
                drop("unexposed"),
            )
            .after(after(&[Step::Reload(|site| site.clusters[0].services.clear())])),
        ),
    ]
}

fn shuffle(site: &mut Site) {
    site.clusters.reverse();
    site.clusters.iter_mut().for_each(|cluster| cluster.services.reverse());
}

/// Tables that are full.
fn memory(family: Family) -> Vec<Fixture> {
    let named = |name: &str| format!("{}: {name}", family.name());
    let flow = Flow(family, 40_000);
    let others = |count: u16| (1..=count).map(|at| Flow(family, 41_000 + at));
    let established = |count| others(count).flat_map(|flow| flow.established(&[]));
    let full: Vec<_> = established(WAYS).chain([flow.step(SYN)]).collect();
    let first_full: Vec<_> = others(WAYS).map(|flow| flow.step(SYN)).collect();
    let expired: Vec<_> = established(WAYS).chain([Step::Seconds(25 * 3600), flow.step(SYN)]).collect();
    let turn = |port| family.tcp(port, 87, SYN);
    vec![
        Fixture::new(
            named("a flow more than there is room evicts one"),
            flow.frame(ACK),
            same("promoted").noting(&["flow-evicted"]),
        )
        .after(full.clone()),
        Fixture::new(
            named("the flow that was idle the longest is the one evicted"),
            Flow(family, 41_001).frame(ACK),
            to("unknown", WEB),
        )
        .after(
            established(1)
                .chain([Step::Seconds(9)])
                .chain(established(WAYS).skip(2))
                .chain(flow.established(&[]))
                .collect(),
        ),
        Fixture::new(
            named("a flow that was idle for too long makes room without ado"),
            flow.frame(ACK),
            same("promoted"),
        )
        .after(expired),
        Fixture::new(
            named("a first packet more than there is room evicts one"),
            flow.frame(SYN),
            to("ring", WEB).noting(&["first-evicted"]),
        )
        .after(first_full.clone()),
        Fixture::new(
            named("first packets that were long ago make room without ado"),
            flow.frame(SYN),
            to("ring", WEB),
        )
        .after([first_full, vec![Step::Seconds(61)]].concat()),
        Fixture::new(
            named("a flow that finds no place goes where it went all the same"),
            flow.frame(ACK),
            same("promoted").noting(&["flow-not-remembered"]),
        )
        .after(vec![flow.step(SYN), Step::Claim(Memory::Flows)]),
        Fixture::new(
            named("a first packet that finds no place goes by the ring"),
            flow.frame(SYN),
            to("ring", WEB).noting(&["first-not-remembered"]),
        )
        .after(vec![Step::Claim(Memory::Provisional)]),
        Fixture::new(
            named("a turn that cannot be remembered is not taken"),
            turn(40_000),
            to("ring", &["turn1", "turn2", "turn3"]).noting(&["first-not-remembered"]),
        )
        .after(vec![Step::Claim(Memory::Provisional)]),
    ]
}
