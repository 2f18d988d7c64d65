//! Which service a packet is for, and the state of its servers.

use super::{Family, WEB, frame4, frame6};
use crate::fixture::{Expected, Fixture, Step, drop, local, other, pass, same, to};
use crate::frame::{ACK, SYN, Tcp, Udp, V4, V6};
use crate::ground::{self, CLIENT4, CLIENT6, MAIL4, MAIL6, MEDIA4, MEDIA6};
use crate::stage::{HostHome, Stage};
use geminus_core::model::{Ports, Site};
use geminus_packet::tables::Ticks;

pub(super) fn list() -> Vec<Fixture> {
    let mut list = Vec::new();
    for family in Family::BOTH {
        list.extend(ports(family));
        list.extend(other_clusters(family));
        list.extend(servers(family));
    }
    list
}

/// Ports of the shop.
fn ports(family: Family) -> Vec<Fixture> {
    let tcp = |name: &str, port, expected: Expected| {
        Fixture::new(format!("{}: {name}", family.name()), family.tcp(40_000, port, SYN), expected)
    };
    let udp = |name: &str, port, expected: Expected| {
        Fixture::new(format!("{}: {name}", family.name()), family.udp(40_000, port), expected)
    };
    vec![
        tcp("an exact port has its service", 80, to("ring", WEB)),
        tcp("a port beside an exact one is shut", 79, drop("unexposed")),
        tcp("port 0 is shut", 0, drop("unexposed")),
        tcp("port 65535 is shut", 65_535, drop("unexposed")),
        tcp("the first port of a range has its service", 8000, to("ring", &["ranged"])),
        tcp("a port within a range has its service", 8042, to("ring", &["ranged"])),
        tcp("the last port of a range has its service", 8099, to("ring", &["ranged"])),
        tcp("the port before a range is shut", 7999, drop("unexposed")),
        tcp("the port behind a range is shut", 8100, drop("unexposed")),
        tcp("an exact port within a range wins", 8080, to("ring", &["exact"])),
        tcp("a TCP packet to a port of UDP is shut out", 53, drop("unexposed")),
        tcp("a TCP packet to a range of UDP is shut out", 6000, drop("unexposed")),
        udp("a UDP packet to a port of TCP is shut out", 80, drop("unexposed")),
        udp("a UDP packet to a range of TCP is shut out", 8000, drop("unexposed")),
        udp("a range of UDP has its service", 6001, to("ring", &["stream"])),
        udp("the port behind a range of UDP is shut", 6002, drop("unexposed")),
    ]
}

/// Clusters that pass what they do not expose, or have a service for every port.
fn other_clusters(family: Family) -> Vec<Fixture> {
    let (mail, media) = ((MAIL4, MAIL6), (MEDIA4, MEDIA6));
    let tcp = |name: &str, to, port, expected: Expected| {
        Fixture::new(format!("{}: {name}", family.name()), syn_to(family, to, port), expected)
    };
    vec![
        tcp("a cluster that passes has its own services all the same", mail, 25, to("ring", &["mx"])),
        tcp("what it does not expose is passed", mail, 80, pass("unexposed-pass")),
        Fixture::new(
            format!("{}: UDP that it does not expose is passed", family.name()),
            datagram_to(family, mail, 25),
            pass("unexposed-pass"),
        ),
        tcp("any port means every port", media, 4711, to("ring", &["anyone"])),
        tcp("any port means the first", media, 1, to("ring", &["anyone"])),
        tcp("any port means the last", media, 65_535, to("ring", &["anyone"])),
        tcp("a range wins over any port", media, 5000, to("ring", &["ranged"])),
        tcp("an exact port wins over a range and any port", media, 5005, to("ring", &["exact"])),
        tcp("the ports of one cluster are not another's", media, 80, to("ring", &["anyone"])),
        Fixture::new(
            format!("{}: any port of TCP is no port of UDP", family.name()),
            datagram_to(family, media, 4711),
            drop("unexposed"),
        ),
    ]
}

/// A service and the state of its servers.
fn servers(family: Family) -> Vec<Fixture> {
    let named = |name: &str| format!("{}: {name}", family.name());
    let syn = |from, port| family.tcp(from, port, SYN);
    let frame = |from, port| Step::Frame(family.tcp(from, port, SYN));
    let aside = to("ring", &["here"]).noting(&["stepped-aside"]);
    vec![
        Fixture::new(
            named("a server behind another interface is sent there"),
            syn(40_000, 81),
            to("ring", &["far"]),
        ),
        Fixture::new(
            named("a server that is this machine has the packet as it is"),
            syn(40_000, 82),
            local("alpha"),
        ),
        Fixture::new(
            named("a flow of this machine stays with it"),
            family.tcp(40_000, 82, ACK),
            local("alpha"),
        )
        .after(vec![frame(40_000, 82), Step::Frame(family.tcp(40_000, 82, ACK))]),
        Fixture::new(
            named("a server that nobody knows the way to gets nothing"),
            syn(40_000, 83),
            drop("unresolved"),
        ),
        Fixture::new(
            named("a later segment for a server that nobody knows the way to is dropped"),
            family.tcp(40_000, 83, ACK),
            drop("unresolved"),
        ),
        Fixture::new(
            named("a server whose way was found gets its flows"),
            syn(40_000, 83),
            to("ring", &["lost"]),
        )
        .after(vec![Step::FindLost]),
        Fixture::new(
            named("the flows of an unresolved server step aside"),
            syn(lost_port(family), 84),
            aside,
        ),
        Fixture::new(
            named("a flow that stepped aside stays there"),
            family.tcp(lost_port(family), 84, ACK),
            same("promoted"),
        )
        .after(vec![frame(lost_port(family), 84), Step::FindLost]),
        Fixture::new(named("a service without weight has no server"), syn(40_000, 85), drop("no-server")),
        Fixture::new(
            named("a later segment of a service without weight has no server"),
            family.tcp(40_000, 85, ACK),
            drop("no-server"),
        ),
        Fixture::new(
            named("a server without weight gets no new flow"),
            syn(40_000, 86),
            to("ring", &["busy"]),
        ),
        Fixture::new(named("a drained server gets no new flow"), syn(40_000, 80), other("ring")).after(vec![
            frame(40_000, 80),
            Step::Seconds(3600),
            Step::DrainLast,
        ]),
        Fixture::new(named("in turn, the first"), syn(40_000, 87), to("turn", &["turn1", "turn2", "turn3"])),
        Fixture::new(named("in turn, the next is another"), syn(40_001, 87), other("turn"))
            .after(vec![frame(40_000, 87)]),
        Fixture::new(
            named("in turn, the same SYN again goes where it went"),
            syn(40_000, 87),
            same("repeated"),
        )
        .after(vec![frame(40_000, 87)]),
        Fixture::new(
            named("a later segment has no turn"),
            family.tcp(40_000, 87, ACK),
            to("unknown", &["turn1", "turn2", "turn3"]),
        ),
        Fixture::new(named("nothing is balanced while not active"), syn(40_000, 80), pass("not-active"))
            .after(vec![Step::Yield]),
        Fixture::new(
            named("nothing is balanced once the lease has lapsed"),
            syn(40_000, 80),
            pass("not-active"),
        )
        .after(vec![Step::Lapse]),
        Fixture::new(
            named("not even a flow that is remembered"),
            family.tcp(40_000, 80, ACK),
            pass("not-active"),
        )
        .after(vec![frame(40_000, 80), Step::Frame(family.tcp(40_000, 80, ACK)), Step::Lapse]),
        Fixture::new(named("tables of another program say nothing"), syn(40_000, 80), pass("not-configured"))
            .after(vec![Step::OtherLayout]),
        Fixture::new(named("a cluster that is gone is nobody's"), syn(40_000, 80), pass("not-cluster"))
            .after(vec![Step::Reload(|site| drop_cluster(site, "shop"))]),
        Fixture::new(
            named("clusters have their own ports when another is gone"),
            syn_to(family, (MEDIA4, MEDIA6), 5005),
            to("ring", &["exact"]),
        )
        .after(vec![Step::Reload(|site| drop_cluster(site, "shop"))]),
        Fixture::new(named("a service that is gone is shut"), syn(40_000, 80), drop("unexposed")).after(
            vec![Step::Reload(|site| {
                site.clusters[0].services.retain(|service| service.ports != Ports::Exact(80))
            })],
        ),
    ]
}

fn drop_cluster(site: &mut Site, name: &str) {
    site.clusters.retain(|cluster| cluster.name != name);
}

fn syn_to(family: Family, to: ([u8; 4], [u8; 16]), port: u16) -> Vec<u8> {
    let syn = Tcp::new(40_000, port, SYN);
    match family {
        Family::V4 => frame4(&V4::new(CLIENT4, to.0).tcp(&syn)),
        Family::V6 => frame6(&V6::new(CLIENT6, to.1).tcp(&syn)),
    }
}

fn datagram_to(family: Family, to: ([u8; 4], [u8; 16]), port: u16) -> Vec<u8> {
    let datagram = Udp::new(40_000, port);
    match family {
        Family::V4 => frame4(&V4::new(CLIENT4, to.0).udp(&datagram)),
        Family::V6 => frame6(&V6::new(CLIENT6, to.1).udp(&datagram)),
    }
}

/// The first port from which a flow to port 84 belongs to the server that nobody knows the way to, and has another near.
fn lost_port(family: Family) -> u16 {
    let sizes = ground::sizes(&ground::site(), 1, 1);
    let [mut lost, mut found] = [(); 2].map(|()| Stage::new(HostHome::new(&sizes, Ticks(1 << 20)), &sizes));
    found.take(&Step::FindLost);
    let goes_to = |stage: &mut Stage<HostHome>, port: u16, name: &str| {
        let seen = stage.run(&family.tcp(port, 84, SYN));
        seen.sent.iter().any(|&(server, _)| stage.server(server).name == name)
    };
    let steps_aside = |port: &u16| goes_to(&mut found, *port, "lost") && goes_to(&mut lost, *port, "here");
    (40_000..).find(steps_aside).expect("half of all flows are")
}
