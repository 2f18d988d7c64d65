//! Servers that are down, and what their clients are told; frames that one of them sends back.

use geminus_core::model::OnDown;
use geminus_packet::tables::Server;

use super::{Family, frame4, frame6, in_frame};
use crate::fixture::{Expected, Fixture, Step, answer, drop, other, same};
use crate::frame::{self, ACK, FIN, RST, SYN, Tcp, V4, V6, ethernet, tagged};
use crate::ground::{CLIENT4, CLIENT6, NODE_MAC, ROUTER_MAC, SHOP4, SHOP6};
use crate::twin::{OWN4, OWN6};

/// TCP's PSH.
const PSH: u8 = 8;
/// IPv6's destination options.
const DESTINATION_OPTIONS: u8 = 60;

pub(super) fn list() -> Vec<Fixture> {
    let both = |family| [closed(family), declared(family), reset(family), looped(family)].concat();
    Family::BOTH.into_iter().flat_map(both).chain(shapes()).collect()
}

/// No new flow, while those there are stay.
fn closed(family: Family) -> Vec<Fixture> {
    let named = |name: &str| format!("{}: {name}", family.name());
    let tcp = |flags| family.tcp(40_000, 80, flags);
    let udp = || Step::Frame(family.udp(40_000, 53));
    let is_down = || Step::MarkLast(Server::DOWN);
    let after = |flags: &[u8]| {
        flags.iter().map(|&flags| Step::Frame(tcp(flags))).chain([is_down()]).collect::<Vec<_>>()
    };
    let aside = |path| other(path).noting(&["stepped-aside"]);
    vec![
        Fixture::new(named("a server that is down gets no new flow"), tcp(SYN), aside("ring"))
            .after([after(&[SYN]), vec![Step::Seconds(3600)]].concat()),
        Fixture::new(named("a SYN again leaves a server that is down"), tcp(SYN), aside("ring"))
            .after(after(&[SYN])),
        Fixture::new(named("a flow stays with a server that is down"), tcp(ACK), same("established"))
            .after(after(&[SYN, ACK])),
        Fixture::new(
            named("a SYN within a flow stays with a server that is down"),
            tcp(SYN),
            same("established"),
        )
        .after(after(&[SYN, ACK])),
        Fixture::new(
            named("a flow that began before its server went down is promoted"),
            tcp(ACK),
            same("promoted"),
        )
        .after(after(&[SYN])),
        Fixture::new(
            named("a port used again after FIN leaves a server that is down"),
            tcp(SYN),
            aside("ring"),
        )
        .after(after(&[SYN, ACK, FIN | ACK])),
        Fixture::new(
            named("a UDP flow leaves a server that is down"),
            family.udp(40_000, 53),
            other("ring").noting(&["released", "stepped-aside"]),
        )
        .after(vec![udp(), udp(), is_down()]),
        Fixture::new(
            named("a UDP flow that left a server that is down stays where it went"),
            family.udp(40_000, 53),
            same("promoted"),
        )
        .after(vec![udp(), udp(), is_down(), udp()]),
        Fixture::new(
            named("a UDP flow's second datagram leaves a server that is down"),
            family.udp(40_000, 53),
            aside("ring"),
        )
        .after(vec![udp(), is_down()]),
        Fixture::new(
            named("a returning client leaves a server that is down"),
            family.tcp(41_000, 1128, SYN),
            other("turn"),
        )
        .after(vec![
            Step::Frame(family.tcp(40_000, 1128, SYN)),
            Step::Frame(family.tcp(40_000, 1128, ACK)),
            is_down(),
        ]),
        Fixture::new(
            named("a flow whose only server is down is dropped"),
            family.tcp(40_001, 81, SYN),
            drop("servers-down"),
        )
        .after(vec![Step::Frame(family.tcp(40_000, 81, SYN)), is_down()]),
        Fixture::new(
            named("a later segment whose only server is down is dropped"),
            family.tcp(40_001, 81, ACK),
            drop("servers-down"),
        )
        .after(vec![Step::Frame(family.tcp(40_000, 81, SYN)), is_down()]),
        Fixture::new(
            named("this machine gets no new flow while it is down"),
            family.tcp(40_001, 82, SYN),
            drop("servers-down"),
        )
        .after(vec![Step::Frame(family.tcp(40_000, 82, SYN)), is_down()]),
    ]
}

/// What health says of a server, from its word to the packet.
fn declared(family: Family) -> Vec<Fixture> {
    let named = |name: &str| format!("{}: {name}", family.name());
    let tcp = |flags| family.tcp(40_000, 80, flags);
    let udp = || family.udp(40_000, 53);
    let known = |then: &[Step]| [&[Step::Frame(tcp(SYN)), Step::Frame(tcp(ACK))], then].concat();
    let down = |what| Step::DeclareLast(Some(what));
    let gone = |path| other(path).noting(&["server-gone"]);
    let talk = |then: &[Step]| [&[Step::Frame(udp()), Step::Frame(udp())], then].concat();
    vec![
        Fixture::new(
            named("rehash: a flow of a server declared down goes elsewhere"),
            tcp(ACK),
            gone("unknown"),
        )
        .after(known(&[down(OnDown::Rehash)])),
        Fixture::new(
            named("rehash: a UDP flow of a server declared down goes elsewhere"),
            udp(),
            gone("ring"),
        )
        .after(talk(&[down(OnDown::Rehash)])),
        Fixture::new(named("keep: a flow of a server declared down stays"), tcp(ACK), same("established"))
            .after(known(&[down(OnDown::Keep)])),
        Fixture::new(
            named("keep: a UDP flow of a server declared down goes elsewhere"),
            udp(),
            other("ring").noting(&["released"]),
        )
        .after(talk(&[down(OnDown::Keep)])),
        Fixture::new(named("keep: a server declared down gets no new flow"), tcp(SYN), other("ring"))
            .after(known(&[Step::Frame(tcp(FIN | ACK)), down(OnDown::Keep)])),
        Fixture::new(named("reset: a flow of a server declared down is reset"), tcp(ACK), told(family))
            .after(known(&[down(OnDown::Reset)])),
        Fixture::new(
            named("reset: a UDP flow of a server declared down goes elsewhere"),
            udp(),
            gone("ring"),
        )
        .after(talk(&[down(OnDown::Reset)])),
        Fixture::new(
            named("a flow that began while its server was down stays where it began"),
            tcp(ACK),
            same("established"),
        )
        .after(known(&[down(OnDown::Rehash), Step::Frame(tcp(ACK)), Step::Frame(tcp(ACK))])),
        Fixture::new(named("a server that is up again has its share again"), tcp(SYN), same("ring"))
            .after(vec![Step::Frame(tcp(SYN)), down(OnDown::Rehash), Step::DeclareLast(None)]),
        Fixture::new(
            named("a service whose only server is declared down has none"),
            family.tcp(40_001, 81, SYN),
            drop("no-server"),
        )
        .after(vec![Step::Frame(family.tcp(40_000, 81, SYN)), down(OnDown::Rehash)]),
    ]
}

/// A flow of the shop's port 80 whose server has gone down, and resets.
fn given_up(family: Family) -> Vec<Step> {
    vec![
        Step::Frame(family.tcp(40_000, 80, SYN)),
        Step::Frame(family.tcp(40_000, 80, ACK)),
        Step::MarkLast(Server::DOWN | Server::RESETS),
        Step::RenewLast,
    ]
}

/// What a client's segment without payload is answered by.
fn told(family: Family) -> Expected {
    answer("reset", reset_frame(family, 2, 0, RST))
}

fn reset_frame(family: Family, sequence: u32, acknowledgement: u32, flags: u8) -> Vec<u8> {
    let segment = Tcp { sequence, acknowledgement, window: 0, ..Tcp::new(80, 40_000, flags) };
    match family {
        Family::V4 => {
            let ip = V4 { ttl: 64, identification: 0, ..V4::new(SHOP4, CLIENT4) };
            ethernet(ROUTER_MAC, NODE_MAC, frame::IPV4, &ip.tcp(&segment))
        }
        Family::V6 => {
            let ip = V6 { hop_limit: 64, ..V6::new(SHOP6, CLIENT6) };
            ethernet(ROUTER_MAC, NODE_MAC, frame::IPV6, &ip.tcp(&segment))
        }
    }
}

fn reset(family: Family) -> Vec<Fixture> {
    let named = |name: &str| format!("{}: {name}", family.name());
    let tcp = |flags| family.tcp(40_000, 80, flags);
    let gone = |path, notes: &[&'static str]| other(path).noting(notes);
    let segment = |flags, payload: &[u8], options: &[u8]| {
        family.segment(&Tcp {
            payload: payload.to_vec(),
            options: options.to_vec(),
            ..Tcp::new(40_000, 80, flags)
        })
    };
    // What a segment says that acknowledges nothing is acknowledged, and its FIN as one more.
    let acknowledged = |number| answer("reset", reset_frame(family, 0, number, RST | ACK));
    let filled = |bytes: &[u8]| {
        // Of what was behind the header six bytes stay, as nothing, where the frame would be shorter than any on a wire.
        let filling = if family == Family::V4 { bytes.len().min(6) / 6 * 6 } else { 0 };
        answer("reset", [reset_frame(family, 2, 0, RST), vec![0; filling]].concat())
    };
    let alone = |flags| segment(flags, b"", b"");
    vec![
        Fixture::new(named("a segment for a server that resets is answered"), tcp(ACK), told(family))
            .after(given_up(family)),
        Fixture::new(named("a FIN for a server that resets is answered"), tcp(FIN | ACK), told(family))
            .after(given_up(family)),
        Fixture::new(
            named("what a segment says is not said back in a reset"),
            segment(ACK | PSH, &[0xaa; 1000], b""),
            filled(&[0xaa; 1000]),
        )
        .after(given_up(family)),
        Fixture::new(
            named("a reset has no options"),
            segment(ACK, b"", &[1, 1, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8]),
            filled(&[0; 12]),
        )
        .after(given_up(family)),
        Fixture::new(
            named("a segment with less behind it than a reset would be filled with"),
            segment(ACK | PSH, b"hello", b""),
            filled(b"hello"),
        )
        .after(given_up(family)),
        Fixture::new(
            named("a bare segment that acknowledges nothing is acknowledged itself"),
            alone(PSH),
            acknowledged(1),
        )
        .after(given_up(family)),
        Fixture::new(
            named("a FIN that acknowledges nothing is acknowledged itself"),
            alone(FIN),
            acknowledged(2),
        )
        .after(given_up(family)),
        Fixture::new(
            named("five bytes that acknowledge nothing are acknowledged themselves"),
            segment(PSH | FIN, b"hello", b""),
            acknowledged(7),
        )
        .after(given_up(family)),
        Fixture::new(
            named("a reset is not answered by one"),
            tcp(RST),
            gone("unknown", &["server-gone", "stepped-aside"]),
        )
        .after(given_up(family)),
        Fixture::new(
            named("a SYN of a flow that would be reset begins anew"),
            tcp(SYN),
            gone("ring", &["server-gone", "stepped-aside"]),
        )
        .after(given_up(family)),
        Fixture::new(named("a flow is reset once"), tcp(ACK), gone("unknown", &["stepped-aside"]))
            .after([given_up(family), vec![Step::Frame(tcp(ACK))]].concat()),
        Fixture::new(
            named("a flow whose server resets is not, while its generation is the same"),
            tcp(ACK),
            same("established"),
        )
        .after(vec![
            Step::Frame(tcp(SYN)),
            Step::Frame(tcp(ACK)),
            Step::MarkLast(Server::DOWN | Server::RESETS),
        ]),
        Fixture::new(
            named("a flow of an older generation of a server that does not reset goes elsewhere"),
            tcp(ACK),
            gone("unknown", &["server-gone", "stepped-aside"]),
        )
        .after(vec![
            Step::Frame(tcp(SYN)),
            Step::Frame(tcp(ACK)),
            Step::MarkLast(Server::DOWN),
            Step::RenewLast,
        ]),
        Fixture::new(
            named("a UDP flow is not reset"),
            family.udp(40_000, 53),
            gone("ring", &["server-gone", "stepped-aside"]),
        )
        .after(vec![
            Step::Frame(family.udp(40_000, 53)),
            Step::Frame(family.udp(40_000, 53)),
            Step::MarkLast(Server::DOWN | Server::RESETS),
            Step::RenewLast,
        ]),
        Fixture::new(
            named("a tagged segment is answered with its tag"),
            tagged(&tcp(ACK), &[(frame::VLAN, 7)]),
            answer("reset", tagged(&reset_frame(family, 2, 0, RST), &[(frame::VLAN, 7)])),
        )
        .after(given_up(family)),
        Fixture::new(
            named("a segment with two tags is answered with both"),
            tagged(&tcp(ACK), &[(frame::SERVICE_VLAN, 8), (frame::VLAN, 7)]),
            answer(
                "reset",
                tagged(&reset_frame(family, 2, 0, RST), &[(frame::SERVICE_VLAN, 8), (frame::VLAN, 7)]),
            ),
        )
        .after(given_up(family)),
        Fixture::new(named("nobody is reset while not active"), tcp(ACK), crate::fixture::pass("not-active"))
            .after([given_up(family), vec![Step::Yield]].concat()),
    ]
}

/// Headers that a reset has not.
fn shapes() -> Vec<Fixture> {
    let filled = || {
        let mut frame = reset_frame(Family::V4, 2, 0, RST);
        frame.extend([0; 6]);
        answer("reset", frame)
    };
    let segment = Tcp::new(40_000, 80, ACK);
    let optioned = V4 { options: vec![1; 40], ..V4::new(CLIENT4, SHOP4) };
    let extended = V6::new(CLIENT6, SHOP6)
        .with(DESTINATION_OPTIONS, &[0, 1, 1, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])
        .with(DESTINATION_OPTIONS, &[0, 0, 1, 4, 0, 0, 0, 0]);
    let padded = [Family::V4.tcp(40_000, 80, ACK), vec![0xee; 6]].concat();
    vec![
        Fixture::new("IPv4: a reset has no IP options", frame4(&optioned.tcp(&segment)), filled())
            .after(given_up(Family::V4)),
        Fixture::new(
            "IPv6: a reset has no extension headers",
            frame6(&extended.tcp(&segment)),
            told(Family::V6),
        )
        .after(given_up(Family::V6)),
        Fixture::new(
            "IPv4: a reset is as long as the shortest frame, and filled with nothing",
            padded,
            filled(),
        )
        .after(given_up(Family::V4)),
        Fixture::new(
            "IPv6: what acknowledges nothing is measured behind its extension headers",
            frame6(&extended.tcp(&Tcp { payload: b"hello".to_vec(), ..Tcp::new(40_000, 80, PSH) })),
            answer("reset", reset_frame(Family::V6, 0, 6, RST | ACK)),
        )
        .after(given_up(Family::V6)),
        Fixture::new(
            "IPv4: what acknowledges nothing is measured behind its options",
            frame4(&optioned.tcp(&Tcp { payload: b"hello".to_vec(), ..Tcp::new(40_000, 80, PSH) })),
            answer("reset", [reset_frame(Family::V4, 0, 6, RST | ACK), vec![0; 6]].concat()),
        )
        .after(given_up(Family::V4)),
    ]
}

/// Frames of this node's own that a content host has sent back.
fn looped(family: Family) -> Vec<Fixture> {
    let named = |name: &str| format!("{}: {name}", family.name());
    let syn = Tcp::new(40_000, 80, SYN);
    let (syn, echo) = match family {
        Family::V4 => {
            let ip = V4::new(OWN4, SHOP4);
            (in_frame(frame::IPV4, &ip.tcp(&syn)), in_frame(frame::IPV4, &ip.icmp(8, 0, &[0; 8])))
        }
        Family::V6 => {
            let ip = V6::new(OWN6, SHOP6);
            (in_frame(frame::IPV6, &ip.tcp(&syn)), in_frame(frame::IPV6, &ip.icmp(128, 0, &[0; 8])))
        }
    };
    vec![
        Fixture::new(named("what this node itself has sent is not balanced again"), syn, drop("looped-back")),
        Fixture::new(named("an echo request of this node's own is not answered"), echo, drop("looped-back")),
    ]
}
