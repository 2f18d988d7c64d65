//! What is measured: every path through the program, how it is brought about, and what has to come back.

use geminus_packet::verdict::{Answer, Counter, Drop, Pass, Path as Chosen};

use crate::feeder::{Flows, Traffic};
use crate::frame::{self, ACK, Family, SYN};
use crate::stage::{DNS, IN_TURN, LIGHTEST, LISTED, SHUT, STICKY, WEB};

/// XDP actions, `include/uapi/linux/bpf.h`.
pub(crate) const DROP: usize = 1;
pub(crate) const PASS: usize = 2;
pub(crate) const TX: usize = 3;
pub(crate) const REDIRECT: usize = 4;

/// Runs of one batch: long enough that the kernel's whole nanoseconds do not matter, short enough that some are quiet.
pub(crate) const BATCH: u32 = 1 << 16;
/// A batch that has to be made room for in the provisional table: a quarter of it.
pub(crate) const SMALL_BATCH: u32 = 1 << 14;
/// Flow numbers that no other batch had: as many as there are.
const EVER_NEW: u64 = 1 << 32;

/// Which tables a path is measured in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Tables {
    /// Default size, few flows.
    Default,
    /// Default size, no flows but those of the last batch.
    Fresh,
    /// The same without the cold side.
    Bare,
    /// Default size, every slot taken.
    Full,
    /// Default size, as many flows as slots.
    Tight,
    /// Twice the default size, as many flows of IPv4 TCP as the default size has slots.
    Wide4,
    /// The same with IPv6 TCP.
    Wide6,
    /// The same with IPv4 UDP.
    WideUdp,
}

/// A stream before the one that is measured.
#[derive(Debug, Clone)]
pub(crate) enum Before {
    /// Nothing.
    Nothing,
    /// The same numbers in this stream, just before each batch.
    EachBatch(Box<Traffic>),
    /// Half-open flows are forgotten just before each batch.
    Forgotten,
}

/// One measured path.
#[derive(Debug, Clone)]
pub(crate) struct Path {
    pub(crate) name: &'static str,
    pub(crate) tables: Tables,
    pub(crate) traffic: Traffic,
    pub(crate) batch: u32,
    /// Each batch goes on where the last one ended; else each starts at flow 0.
    pub(crate) goes_on: bool,
    pub(crate) before: Before,
    /// The XDP action of every frame.
    pub(crate) action: usize,
    /// The reason that every frame is counted for, and the least share of them where a few are meant to go another way.
    pub(crate) reason: Counter,
    pub(crate) share: f64,
    /// What becomes of the frame.
    pub(crate) output: Output,
    /// At most so many nanoseconds are promised.
    pub(crate) target: Option<u64>,
    /// Whether the quick set has it.
    pub(crate) quick: bool,
}

/// What becomes of a frame.
#[derive(Debug, Clone)]
pub(crate) enum Output {
    /// Nothing.
    Same,
    /// It goes to one of the servers, otherwise the same.
    ToServer,
    /// Exactly this.
    Exactly(Vec<u8>),
}

fn stream(frame: Vec<u8>, family: Family, count: u64, address_bits: u64) -> Traffic {
    Traffic { frame, flows: Some(Flows { family, count, address_bits }), opening: false, rewritten: false }
}

fn still(frame: Vec<u8>, rewritten: bool) -> Traffic {
    Traffic { frame, flows: None, opening: false, rewritten }
}

/// The established flows that each of the tables starts with.
pub(crate) fn residents(tables: Tables) -> Vec<Traffic> {
    let many = |frame, family| stream(frame, family, 1 << 20, 16);
    let few = |frame, family| stream(frame, family, 1 << 16, 16);
    let (tcp4, tcp6) = (frame::tcp(Family::V4, WEB, ACK), frame::tcp(Family::V6, WEB, ACK));
    let udp4 = frame::udp(Family::V4, DNS);
    match tables {
        Tables::Default => vec![
            few(tcp4, Family::V4),
            few(tcp6, Family::V6),
            few(udp4, Family::V4),
            sticky(ACK, 1 << CLIENT_BITS),
        ],
        Tables::Fresh | Tables::Bare => vec![],
        Tables::Full => vec![stream(tcp4, Family::V4, 1 << 21, 16)],
        Tables::Tight | Tables::Wide4 => vec![many(tcp4, Family::V4)],
        Tables::Wide6 => vec![many(tcp6, Family::V6)],
        Tables::WideUdp => vec![many(udp4, Family::V4)],
    }
}

/// Clients with a server of their own.
const CLIENT_BITS: u64 = 12;

fn sticky(flags: u8, count: u64) -> Traffic {
    stream(frame::tcp(Family::V4, STICKY, flags), Family::V4, count, CLIENT_BITS)
}

fn forwarded(name: &'static str, tables: Tables, traffic: Traffic, reason: Chosen) -> Path {
    Path {
        name,
        tables,
        traffic,
        batch: BATCH,
        goes_on: true,
        before: Before::Nothing,
        action: TX,
        reason: reason.counter(),
        share: 0.999,
        output: Output::ToServer,
        target: None,
        quick: false,
    }
}

fn ended(name: &'static str, traffic: Traffic, action: usize, reason: Counter) -> Path {
    let path = forwarded(name, Tables::Default, traffic, Chosen::Ring);
    Path { action, reason, output: Output::Same, ..path }
}

fn answered(name: &'static str, question: Vec<u8>, answer: Vec<u8>, reason: Answer) -> Path {
    Path { output: Output::Exactly(answer), ..ended(name, still(question, true), TX, reason.counter()) }
}

/// What a program without tables of ours is fed.
pub(crate) fn yardstick(name: &'static str, flows: u64) -> Path {
    let traffic = stream(frame::tcp(Family::V4, WEB, ACK), Family::V4, flows, 16);
    forwarded(name, Tables::Default, traffic, Chosen::Established)
}

/// Every path, in the order of the report.
pub(crate) fn paths() -> Vec<Path> {
    [established(), beginning(), others()].concat()
}

fn established() -> Vec<Path> {
    let tcp4 = || frame::tcp(Family::V4, WEB, ACK);
    let tcp6 = || frame::tcp(Family::V6, WEB, ACK);
    let udp4 = || frame::udp(Family::V4, DNS);
    let at = |name, tables, frame, family, count, target, quick| Path {
        target,
        quick,
        ..forwarded(name, tables, stream(frame, family, count, 16), Chosen::Established)
    };
    let of_many = |name, tables, frame, family| Path {
        // A few buckets of eight overflow where there are half as many flows as slots.
        share: 0.9,
        ..at(name, tables, frame, family, 1 << 20, Some(210), true)
    };
    let tight = forwarded(
        "established, IPv4 TCP, 1 Mi flows in 1 Mi slots",
        Tables::Tight,
        stream(tcp4(), Family::V4, 1 << 20, 16),
        Chosen::Established,
    );
    vec![
        at("established, IPv4 TCP, 1 flow", Tables::Default, tcp4(), Family::V4, 1, Some(65), true),
        at("established, IPv6 TCP, 1 flow", Tables::Default, tcp6(), Family::V6, 1, Some(65), true),
        at("established, IPv4 UDP, 1 flow", Tables::Default, udp4(), Family::V4, 1, Some(65), true),
        at("established, IPv4 TCP, 64 Ki flows", Tables::Default, tcp4(), Family::V4, 1 << 16, None, true),
        at("established, IPv6 TCP, 64 Ki flows", Tables::Default, tcp6(), Family::V6, 1 << 16, None, false),
        at("established, IPv4 UDP, 64 Ki flows", Tables::Default, udp4(), Family::V4, 1 << 16, None, false),
        of_many("established, IPv4 TCP, 1 Mi flows", Tables::Wide4, tcp4(), Family::V4),
        of_many("established, IPv6 TCP, 1 Mi flows", Tables::Wide6, tcp6(), Family::V6),
        Path {
            quick: false,
            ..of_many("established, IPv4 UDP, 1 Mi flows", Tables::WideUdp, udp4(), Family::V4)
        },
        Path { share: 0.0, ..tight },
    ]
}

/// A flow given out by the hash, and one given to the lighter of two candidates, where all else is the same.
pub(crate) const HASH: &str = "first packet, IPv4 TCP, empty table";
pub(crate) const LEAST: &str = "first packet, least-connections, empty table";

fn beginning() -> Vec<Path> {
    let first = |family| stream(frame::tcp(family, WEB, SYN), family, EVER_NEW, 16);
    let second = |family| stream(frame::tcp(family, WEB, ACK), family, EVER_NEW, 16);
    let new = |name, tables, traffic, reason, quick| Path {
        target: Some(200),
        quick,
        ..forwarded(name, tables, traffic, reason)
    };
    let emptied = |path: Path| Path { batch: SMALL_BATCH, before: Before::Forgotten, ..path };
    let after = |path: Path, first: Traffic| Path {
        batch: SMALL_BATCH,
        before: Before::EachBatch(Box::new(first)),
        share: 0.99,
        ..path
    };
    let datagram = || stream(frame::udp(Family::V4, DNS), Family::V4, EVER_NEW, 16);
    let (syn4, syn6) = (first(Family::V4), first(Family::V6));
    let full = |path: Path| Path { tables: Tables::Full, ..path };
    let promoted = |name, family, quick| {
        after(new(name, Tables::Fresh, second(family), Chosen::Promoted, quick), first(family))
    };
    vec![
        emptied(new(HASH, Tables::Default, syn4.clone(), Chosen::Ring, true)),
        new("first packet, IPv4 TCP, full table", Tables::Default, syn4.clone(), Chosen::Ring, true),
        new("first packet, IPv6 TCP, full table", Tables::Default, syn6, Chosen::Ring, false),
        new("first packet, IPv4 UDP, full table", Tables::Default, datagram(), Chosen::Ring, false),
        promoted("second packet (promotion), IPv4 TCP, free slot", Family::V4, true),
        promoted("second packet (promotion), IPv6 TCP, free slot", Family::V6, false),
        Path {
            tables: Tables::Bare,
            ..promoted("second packet (promotion), IPv4 TCP, free slot, no cold side", Family::V4, false)
        },
        full(promoted("second packet (promotion), IPv4 TCP, full table", Family::V4, true)),
        after(
            forwarded("first packet again (SYN repeated)", Tables::Default, syn4.clone(), Chosen::Repeated),
            syn4,
        ),
        forwarded(
            "SYN of an established flow, 64 Ki flows",
            Tables::Default,
            stream(frame::tcp(Family::V4, WEB, SYN), Family::V4, 1 << 16, 16),
            Chosen::Established,
        ),
        Path {
            target: Some(200),
            ..forwarded(
                "first packet, client with affinity",
                Tables::Default,
                sticky(SYN, EVER_NEW),
                Chosen::Affinity,
            )
        },
        // A full bucket spares newcomers whose server is not the ring's: those after them would take the ring's.
        emptied(new(
            "first packet, round-robin, empty table",
            Tables::Default,
            stream(frame::tcp(Family::V4, IN_TURN, SYN), Family::V4, EVER_NEW, 16),
            Chosen::Turn,
            false,
        )),
        emptied(new(
            LEAST,
            Tables::Default,
            stream(frame::tcp(Family::V4, LIGHTEST, SYN), Family::V4, EVER_NEW, 16),
            Chosen::Least,
            true,
        )),
        emptied(new(
            "first packet, client looked up in a list",
            Tables::Default,
            stream(frame::tcp(Family::V4, LISTED, SYN), Family::V4, EVER_NEW, 16),
            Chosen::Ring,
            false,
        )),
    ]
}

fn others() -> Vec<Path> {
    let tcp = |family| frame::tcp(family, WEB, ACK);
    let elsewhere = |name, family| Path {
        target: Some(40),
        quick: true,
        ..ended(name, still(frame::to_other(tcp(family), family), false), PASS, Pass::NotCluster.counter())
    };
    let shut = stream(frame::tcp(Family::V4, SHUT, SYN), Family::V4, EVER_NEW, 16);
    vec![
        elsewhere("not a cluster address, IPv4", Family::V4),
        elsewhere("not a cluster address, IPv6", Family::V6),
        ended("port without a service, drop", shut, DROP, Drop::Unexposed.counter()),
        answered("ARP answer", frame::arp_request(), frame::arp_reply(), Answer::Arp),
        answered(
            "neighbour solicitation answer",
            frame::solicitation(),
            frame::advertisement(),
            Answer::Neighbour,
        ),
        answered("echo answer, IPv4", frame::echo(Family::V4), frame::echo_reply(Family::V4), Answer::Echo),
        answered("echo answer, IPv6", frame::echo(Family::V6), frame::echo_reply(Family::V6), Answer::Echo6),
    ]
}
