//! Partners' frames, handing over, and what a partner sends to this node as its server.

use super::{Family, WEB};
use crate::fixture::{Expected, Fixture, Outcome, Step, answer, drop, pass, to};
use crate::frame::{ACK, IPV4, IPV6, SYN, Tcp, Udp, V4, V6, VLAN, ethernet, tagged};
use crate::ground::{CLIENT4, CLIENT6, NODE_MAC, PARTNER_MAC, ROUTER_MAC, STRANGER_MAC};
use crate::twin::{
    self, COLLOCATED, ENDING, EXCHANGE, FLOODED, FLOOR, GROUP_MAC, KEY, KEY_ID, NEXT_KEY, NEXT_KEY_ID,
    OWN_SESSION, OWN4, OWN6, PAST_SESSION, PORT, PROBE_FLOOR, Payload, QUIET, REMOTE4, REMOTE6, SESSION,
    TOLD, VIRTUAL, answer4, answer6, datagram, frame4, frame6, from_partner, sent_by, stamped,
};

pub(super) fn list() -> Vec<Fixture> {
    let mut list = Vec::new();
    for family in Family::BOTH {
        list.extend(probes(family));
        list.extend(beats(family));
        list.extend(answers(family));
        list.extend(refused(family));
        list.extend(handing_over(family));
        list.extend(moving_address(family));
        list.extend(bounced(family));
    }
    list.extend(shapes());
    list.extend(not_theirs());
    list
}

fn frame(family: Family, payload: &Payload) -> Vec<u8> {
    match family {
        Family::V4 => frame4(payload),
        Family::V6 => frame6(payload),
    }
}

fn fixture(family: Family, name: &str, payload: &Payload, expected: Expected) -> Fixture {
    Fixture::new(format!("{}: {name}", family.name()), frame(family, payload), expected)
}

/// Passed on, with the time when it came.
fn heard(reason: &'static str, frame: &[u8]) -> Expected {
    Expected { outcome: Outcome::Becomes(stamped(frame)), ..pass(reason) }
}

fn probes(family: Family) -> Vec<Fixture> {
    let told = |asked: &Payload| {
        let told = Payload::answer(asked, TOLD);
        match family {
            Family::V4 => answer4(&told),
            Family::V6 => answer6(&told),
        }
    };
    let of = |name: &str, asked: Payload| fixture(family, name, &asked, answer("twin-probe", told(&asked)));
    let asked = Payload::probe();
    let tag = |frame: &[u8]| tagged(frame, &[(VLAN, 7)]);
    let pad = |frame: Vec<u8>| [frame, vec![0x55; 6]].concat();
    vec![
        of("a probe is answered", asked.clone()),
        of("a probe of a session nobody knows is answered", Payload { session: 5, ..asked.clone() }),
        of("a probe is answered again", Payload { counter: 0, ..asked.clone() }),
        of("a probe by another path's number is answered by it", Payload { path: 200, ..asked.clone() }),
        of(
            "a probe under the next key is answered under it",
            Payload { key: NEXT_KEY, key_id: NEXT_KEY_ID, ..asked.clone() },
        ),
        of("what a probe says besides is not sent back", Payload { body: vec![0xee; 32], ..asked.clone() }),
        Fixture::new(
            format!("{}: a probe in a VLAN is answered in it", family.name()),
            tag(&frame(family, &asked)),
            answer("twin-probe", tag(&told(&asked))),
        ),
        Fixture::new(
            format!("{}: padding of a probe is sent back", family.name()),
            pad(frame(family, &asked)),
            answer("twin-probe", pad(told(&asked))),
        ),
        of("a probe is answered whatever becomes of the node's own clusters", asked).after(vec![Step::Lapse]),
    ]
}

fn beats(family: Family) -> Vec<Fixture> {
    let of =
        |name: &str, beat: Payload| fixture(family, name, &beat, heard("twin-beat", &frame(family, &beat)));
    let beat = Payload::beat();
    let long = |length: usize| Payload { body: vec![0xbe; length - 40], ..Payload::beat() };
    vec![
        of("a heartbeat is passed on", beat.clone()),
        of(
            "a heartbeat under the next key is passed on",
            Payload { key: NEXT_KEY, key_id: NEXT_KEY_ID, ..beat.clone() },
        ),
        of(
            "a heartbeat that comes late is told by its counter",
            Payload { counter: u64::MAX, ..beat.clone() },
        ),
        of("a heartbeat of a new session is passed on", Payload { session: 9, counter: 0, ..beat.clone() }),
        of("the shortest heartbeat is passed on", long(56)),
        of("the longest heartbeat is passed on", long(1024)),
        fixture(
            family,
            "a heartbeat that came before is dropped",
            &Payload { counter: FLOOR, ..beat.clone() },
            drop("twin-replayed"),
        ),
        fixture(
            family,
            "a heartbeat of long ago is dropped",
            &Payload { counter: 0, ..beat.clone() },
            drop("twin-replayed"),
        ),
        fixture(
            family,
            "a heartbeat of a session before is dropped",
            &Payload { session: PAST_SESSION, counter: u64::MAX, ..beat.clone() },
            drop("twin-replayed"),
        ),
        fixture(
            family,
            "a heartbeat of this node's own is dropped",
            &Payload { session: OWN_SESSION, ..beat.clone() },
            drop("twin-reflected"),
        ),
        fixture(
            family,
            "a heartbeat of one more new session is dropped",
            &Payload { session: 9, ..beat.clone() },
            drop("twin-flood"),
        )
        .after(vec![Step::Write(FLOODED)]),
        fixture(
            family,
            "a flood does not stop heartbeats of the known session",
            &beat,
            heard("twin-beat", &frame(family, &beat)),
        )
        .after(vec![Step::Write(FLOODED)]),
        fixture(family, "a heartbeat that is too short is dropped", &long(55), drop("twin-shape")),
        fixture(family, "a heartbeat that is too long is dropped", &long(1025), drop("twin-shape")),
    ]
}

fn answers(family: Family) -> Vec<Fixture> {
    let awaited = Payload::awaited();
    let unasked = |name: &str, payload: Payload| fixture(family, name, &payload, drop("twin-unasked"));
    vec![
        fixture(family, "an answer is passed on", &awaited, heard("twin-answer", &frame(family, &awaited))),
        unasked(
            "an answer that came too late is dropped",
            Payload { counter: PROBE_FLOOR, ..awaited.clone() },
        ),
        unasked("an answer to the daemon before is dropped", Payload { session: 3, ..awaited.clone() }),
        unasked(
            "an answer to the partner's own probe is dropped",
            Payload { session: SESSION, ..awaited.clone() },
        ),
        fixture(
            family,
            "an answer that is too long is dropped",
            &Payload { body: vec![0; EXCHANGE - 39], ..awaited.clone() },
            drop("twin-shape"),
        ),
        fixture(
            family,
            "a probe of this node's own is not answered",
            &Payload { session: OWN_SESSION, ..Payload::probe() },
            drop("twin-reflected"),
        ),
    ]
}

/// What is refused of every kind.
fn refused(family: Family) -> Vec<Fixture> {
    let mut list = Vec::new();
    for (kind, good) in
        [("heartbeat", Payload::beat()), ("probe", Payload::probe()), ("answer", Payload::awaited())]
    {
        let mut of = |what: &str, payload: Payload, reason| {
            let name = format!("a {kind} {what} is dropped").replace("a answer", "an answer");
            list.push(fixture(family, &name, &payload, drop(reason)));
        };
        of("under another key", Payload { key: [KEY[0], KEY[1] ^ 1], ..good.clone() }, "twin-forged");
        of("under the one key by the other's name", Payload { key: NEXT_KEY, ..good.clone() }, "twin-forged");
        of("under a key of another name", Payload { key_id: KEY_ID ^ 0x80, ..good.clone() }, "twin-key");
        of("of a later version", Payload { version: 2, ..good.clone() }, "twin-version");
        of("of an earlier version", Payload { version: 0, ..good.clone() }, "twin-version");
        of("of another product", Payload { magic: 0x4745_4d31, ..good.clone() }, "twin-shape");
        of("of no session", Payload { session: 0, ..good.clone() }, "twin-shape");
        of("cut short", Payload { body: vec![1; 15], ..good.clone() }, "twin-shape");
    }
    for kind in [0, 4, 255] {
        let payload = Payload { kind, ..Payload::probe() };
        list.push(fixture(
            family,
            &format!("a frame of kind {kind} is dropped"),
            &payload,
            drop("twin-shape"),
        ));
    }
    let mut changed = frame(family, &Payload::awaited());
    let last = changed.len() - 1;
    changed[last] ^= 1;
    list.push(Fixture::new(
        format!("{}: an answer whose last bit was changed is dropped", family.name()),
        changed,
        drop("twin-forged"),
    ));
    list
}

/// Frames on the partners' port that are not as a partner makes them.
fn shapes() -> Vec<Fixture> {
    let v4 = V4::new(REMOTE4, OWN4);
    let v6 = V6::new(REMOTE6, OWN6);
    let probe = || datagram(Payload::probe().bytes());
    let of4 = |name: &str, ip: &V4, udp: &Udp| {
        Fixture::new(format!("IPv4: {name}"), from_partner(IPV4, &ip.udp(udp)), drop("twin-shape"))
    };
    let of6 = |name: &str, ip: &V6, udp: &Udp| {
        Fixture::new(format!("IPv6: {name}"), from_partner(IPV6, &ip.udp(udp)), drop("twin-shape"))
    };
    let cut = |frame: Vec<u8>| frame[..frame.len() - 1].to_vec();
    let stranger4 = V4::new([198, 51, 100, 13], OWN4);
    let stranger6 = V6::new(OWN6, OWN6);
    let is_a = "on the partners' port";
    vec![
        of4("options in a probe", &V4 { options: vec![1; 4], ..v4.clone() }, &probe()),
        of4("the first fragment of a probe", &V4 { fragment: 0x2000, ..v4.clone() }, &probe()),
        of4("a probe from another port", &v4, &Udp { source: PORT + 1, ..probe() }),
        of6("a probe from another port", &v6, &Udp { source: PORT + 1, ..probe() }),
        of4("a probe whose UDP length is short", &v4, &Udp { length: Some(70), ..probe() }),
        of6("a probe whose UDP length is short", &v6, &Udp { length: Some(70), ..probe() }),
        of4("a probe whose UDP length is none", &v4, &Udp { length: Some(0), ..probe() }),
        of4("a probe whose IP length is long", &V4 { total_length: Some(104), ..v4.clone() }, &probe()),
        of6("a probe whose IP length is long", &V6 { payload_length: Some(84), ..v6.clone() }, &probe()),
        of4("a probe of version 5", &V4 { version_ihl: Some(0x55), ..v4.clone() }, &probe()),
        of6("a probe of version 5", &V6 { version_class_label: 0x5000_0000, ..v6.clone() }, &probe()),
        of4("nothing at all on the partners' port", &v4, &datagram(vec![])),
        of6("nothing at all on the partners' port", &v6, &datagram(vec![])),
        of4("nothing, not even a UDP header's length", &v4, &Udp { length: Some(4), ..datagram(vec![]) }),
        Fixture::new("IPv4: a cut probe", cut(frame4(&Payload::probe())), drop("twin-shape")),
        Fixture::new("IPv6: a cut probe", cut(frame6(&Payload::probe())), drop("twin-shape")),
        Fixture::new(
            format!("IPv4: a stranger {is_a}"),
            from_partner(IPV4, &stranger4.udp(&probe())),
            drop("twin-stranger"),
        ),
        Fixture::new(
            format!("IPv6: the node itself {is_a}"),
            from_partner(IPV6, &stranger6.udp(&probe())),
            drop("twin-stranger"),
        ),
        Fixture::new(
            "IPv4: a partner whose path was taken away",
            frame4(&Payload::probe()),
            drop("twin-stranger"),
        )
        .after(vec![Step::Write(|tables| {
            tables.path(0).into_iter().for_each(|path| path.facts.store(0));
        })]),
    ]
}

/// What else comes to an address of the node's own: nothing of it changes.
fn not_theirs() -> Vec<Fixture> {
    let v4 = V4::new(REMOTE4, OWN4);
    let v6 = V6::new(REMOTE6, OWN6);
    let pass4 = |name: &str, packet: Vec<u8>| {
        Fixture::new(format!("IPv4: {name}"), from_partner(IPV4, &packet), pass("not-cluster"))
    };
    let pass6 = |name: &str, packet: Vec<u8>| {
        Fixture::new(format!("IPv6: {name}"), from_partner(IPV6, &packet), pass("not-cluster"))
    };
    let probe = datagram(Payload::probe().bytes());
    let elsewhere = Udp { destination: PORT + 1, ..probe.clone() };
    vec![
        pass4("a datagram to the node is passed", v4.udp(&elsewhere)),
        pass6("a datagram to the node is passed", v6.udp(&elsewhere)),
        pass4("a connection to the node is passed", v4.tcp(&Tcp::new(40_000, PORT, SYN))),
        pass6("a connection to the node is passed", v6.tcp(&Tcp::new(40_000, PORT, SYN))),
        pass4("an echo to the node is passed", v4.icmp(8, 0, &[0; 4])),
        pass6("an echo to the node is passed", v6.icmp(128, 0, &[0; 4])),
        pass6("a solicitation of the node is passed", v6.icmp(135, 0, &[&[0; 4][..], &OWN6].concat())),
        pass4("a later fragment to the node is passed", V4 { fragment: 3, ..v4.clone() }.udp(&probe)),
        pass6("a datagram behind an extension header is passed", v6.clone().with(60, &[0; 8]).udp(&probe)),
        pass4("half a UDP header to the node is passed", v4.carry(17, &[0x13, 6, 0x13, 6])),
        pass6("half a UDP header to the node is passed", v6.carry(17, &[0x13, 6, 0x13, 6])),
        Fixture::new(
            "IPv4: a partner's frame to another address is passed",
            from_partner(IPV4, &V4::new(REMOTE4, [198, 51, 100, 14]).udp(&probe)),
            pass("not-cluster"),
        ),
        Fixture::new(
            "IPv4: a partner's port of a cluster address is a port like others",
            from_partner(IPV4, &V4::new(REMOTE4, crate::ground::SHOP4).udp(&probe)),
            drop("unexposed"),
        ),
    ]
}

/// A node that leaves the addresses to its partner goes on forwarding.
fn handing_over(family: Family) -> Vec<Fixture> {
    let quiet = || vec![Step::Write(QUIET)];
    let loud = || vec![Step::Write(QUIET), Step::Write(twin::LOUD)];
    let syn = family.tcp(40_000, 80, SYN);
    let name = |what: &str| format!("{}: {what}", family.name());
    let (echo, asked) = match family {
        Family::V4 => (
            ethernet(NODE_MAC, ROUTER_MAC, IPV4, &V4::new(CLIENT4, crate::ground::SHOP4).icmp(8, 0, &[0; 4])),
            super::arp::asked(),
        ),
        Family::V6 => (
            ethernet(
                NODE_MAC,
                ROUTER_MAC,
                IPV6,
                &V6::new(CLIENT6, crate::ground::SHOP6).icmp(128, 0, &[0; 4]),
            ),
            super::neighbour::asked(),
        ),
    };
    let claimed = match family {
        Family::V4 => super::arp::claimed(STRANGER_MAC),
        Family::V6 => super::neighbour::claimed(STRANGER_MAC),
    };
    let other = if family == Family::V4 { "arp-other" } else { "neighbour-other" };
    let note = if family == Family::V4 { "claimed-by-other" } else { "advertised-by-other" };
    let ending = || vec![Step::Write(ENDING)];
    let mut list = vec![
        Fixture::new(name("at the end of its lease a node forwards"), syn.clone(), to("ring", WEB))
            .after(ending()),
        Fixture::new(
            name("at the end of its lease a node does not say where an address is"),
            asked.clone(),
            pass("quiet"),
        )
        .after(ending()),
        Fixture::new(name("a quiet node forwards"), syn.clone(), to("ring", WEB)).after(quiet()),
        Fixture::new(name("a node that is quiet no more forwards"), syn, to("ring", WEB)).after(loud()),
        Fixture::new(name("a quiet node does not say where an address is"), asked, pass("quiet"))
            .after(quiet()),
        Fixture::new(name("a quiet node answers no echo"), echo, pass("quiet")).after(quiet()),
        Fixture::new(name("another claims the address"), claimed.clone(), pass(other).noting(&[note])),
        Fixture::new(name("another claims the address of a quiet node"), claimed.clone(), pass(other))
            .after(quiet()),
        Fixture::new(name("another claims the address of a standby"), claimed, pass(other))
            .after(vec![Step::Yield]),
    ];
    let by = match family {
        Family::V4 => super::arp::claimed,
        Family::V6 => super::neighbour::claimed,
    };
    let known = || vec![Step::Write(COLLOCATED)];
    list.extend([
        Fixture::new(name("a partner claims the address"), by(PARTNER_MAC), pass(other)).after(known()),
        Fixture::new(name("this node's own claim comes back"), by(NODE_MAC), pass(other)),
        Fixture::new(
            name("another than the partner claims it"),
            by(STRANGER_MAC),
            pass(other).noting(&[note]),
        )
        .after(known()),
        Fixture::new(
            name("one that is no partner any more claims it"),
            by(PARTNER_MAC),
            pass(other).noting(&[note]),
        )
        .after(vec![Step::Write(COLLOCATED), Step::Write(twin::APART)]),
    ]);
    list
}

/// A group whose hardware address moves with it.
fn moving_address(family: Family) -> Vec<Fixture> {
    let name = |what: &str| format!("{}: {what}", family.name());
    let with = |steps: &[Step]| [&[Step::Write(VIRTUAL)], steps].concat();
    let syn = family.tcp(40_000, 80, SYN);
    let to_group = [&GROUP_MAC[..], &syn[6..]].concat();
    let (asked, told, claimed, reason, other) = match family {
        Family::V4 => {
            let claimed = super::arp::claimed(GROUP_MAC);
            (super::arp::asked(), super::arp::told(GROUP_MAC), claimed, "arp", "arp-other")
        }
        Family::V6 => {
            let claimed = super::neighbour::claimed(GROUP_MAC);
            (
                super::neighbour::asked(),
                super::neighbour::told(GROUP_MAC),
                claimed,
                "neighbour",
                "neighbour-other",
            )
        }
    };
    vec![
        Fixture::new(name("the group's own hardware address is told"), asked, answer(reason, told))
            .after(with(&[])),
        Fixture::new(
            name("a frame to the group's hardware address is ours"),
            to_group.clone(),
            to("ring", WEB),
        )
        .after(with(&[])),
        Fixture::new(name("a frame to the node's hardware address still is"), syn, to("ring", WEB))
            .after(with(&[])),
        Fixture::new(
            name("a frame to another group's hardware address is not"),
            to_group,
            pass("other-host"),
        ),
        Fixture::new(
            name("what the partner announced by the group's hardware address is no claim"),
            claimed,
            pass(other),
        )
        .after(with(&[])),
    ]
}

/// What a partner sends to this node as its server.
fn bounced(family: Family) -> Vec<Fixture> {
    let name = |what: &str| format!("{}: {what}", family.name());
    let known = || vec![Step::Write(COLLOCATED)];
    let by_partner = |flags| sent_by(PARTNER_MAC, &family.tcp(40_000, 80, flags));
    vec![
        Fixture::new(
            name("what the partner forwards is this node's own"),
            by_partner(SYN),
            pass("from-partner"),
        )
        .after(known()),
        Fixture::new(
            name("what the partner forwards is this node's own, of a flow remembered too"),
            by_partner(ACK),
            pass("from-partner"),
        )
        .after(vec![
            Step::Frame(family.tcp(40_000, 80, SYN)),
            Step::Frame(family.tcp(40_000, 80, ACK)),
            Step::Write(COLLOCATED),
        ]),
        Fixture::new(
            name("what the partner forwards to a standby is passed"),
            by_partner(SYN),
            pass("not-active"),
        )
        .after(vec![Step::Write(COLLOCATED), Step::Yield]),
        Fixture::new(
            name("what others send is balanced beside a partner"),
            family.tcp(40_000, 80, SYN),
            to("ring", WEB),
        )
        .after(known()),
        Fixture::new(
            name("what a partner sends that forwards nothing here is balanced"),
            by_partner(SYN),
            to("ring", WEB),
        )
        .after(vec![Step::Write(|tables| {
            if let Some(globals) = tables.globals() {
                globals.partners[0].store(twin::partner_word() | geminus_packet::tables::PARTNER);
            }
        })]),
        Fixture::new(
            name("a second partner's frame is this node's own"),
            by_partner(SYN),
            pass("from-partner"),
        )
        .after(vec![Step::Write(|tables| {
            use geminus_packet::tables::{PARTNER, PARTNER_FORWARDS};
            if let Some(globals) = tables.globals() {
                globals.partners[0].store(5 | PARTNER);
                globals.partners[1].store(twin::partner_word() | PARTNER | PARTNER_FORWARDS);
            }
        })]),
    ]
}
