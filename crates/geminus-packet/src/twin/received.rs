//! What the program does with a partner's frame.

use crate::answer::{TTL, adjusted, turn_around};
use crate::frame::Frame;
use crate::packet::{Packet, Step};
use crate::tables::{Address, AddressFacts, Globals, GroupState, PATHS, PathEntry, PathFacts, Tables, Ticks};
use crate::verdict::{Answer, Drop, Pass, Verdict};
use crate::wire::{Ipv4, Ipv6, TwinExchange, TwinHead, TwinWord, Udp, number};
use crate::word::{is_less, is_zero, opaque};

use super::{
    BODY_AT, EXCHANGE_BYTES, First, GroupTold, Kind, LONGEST, SHORTEST_BEAT, STAMP_AT, VERSION, answer_gate,
    gate,
};

/// An IPv4 packet to an address of this node's own: passed unless it is on the partners' port of an address at which paths
/// end; then either refused or, with none, written to `packet`.
#[inline(always)]
pub(crate) fn v4<F: Frame>(
    frame: &F,
    facts: AddressFacts,
    at: usize,
    packet: &mut Packet,
) -> Option<Verdict> {
    let Some(ip) = frame.get::<Ipv4>(at) else { return Some(Verdict::pass(Pass::Truncated)) };
    let fragment = u16::from_be_bytes(ip.fragment);
    // Only the first fragment tells its ports.
    if ip.protocol != number::UDP || fragment & 0x1fff != 0 {
        return Some(Verdict::pass(Pass::NotCluster));
    }
    let udp_at = at + usize::from(ip.version_ihl & 15) * 4;
    let Some(udp) = frame.get::<Udp>(udp_at) else { return Some(Verdict::pass(Pass::NotCluster)) };
    let port = facts.port().to_be_bytes();
    let [from_high, from_low, to_high, to_low] = udp.ports;
    if [to_high, to_low] != port || facts.paths() == 0 {
        return Some(Verdict::pass(Pass::NotCluster));
    }
    let length = usize::from(u16::from_be_bytes(udp.length));
    let total = usize::from(u16::from_be_bytes(ip.total_length));
    let wrong = [from_high, from_low] != port
        || ip.version_ihl != 0x45
        || fragment & 0x2000 != 0
        || total != size_of::<Ipv4>() + length
        || at + total > frame.length();
    if wrong {
        return Some(Verdict::drop(Drop::TwinShape));
    }
    let [a, b, c, d, e, f, g, h] = ip.addresses;
    *packet = arrived(Address::v4([a, b, c, d]), Address::v4([e, f, g, h]), facts, udp_at, length);
    None
}

/// As [`v4`], of an IPv6 packet. What stands behind extension headers is not a partner's.
#[inline(always)]
pub(crate) fn v6<F: Frame>(
    frame: &F,
    facts: AddressFacts,
    at: usize,
    packet: &mut Packet,
) -> Option<Verdict> {
    let Some(ip) = frame.get::<Ipv6>(at) else { return Some(Verdict::pass(Pass::Truncated)) };
    if ip.next_header != number::UDP {
        return Some(Verdict::pass(Pass::NotCluster));
    }
    let udp_at = at + size_of::<Ipv6>();
    let Some(udp) = frame.get::<Udp>(udp_at) else { return Some(Verdict::pass(Pass::NotCluster)) };
    let port = facts.port().to_be_bytes();
    let [from_high, from_low, to_high, to_low] = udp.ports;
    if [to_high, to_low] != port || facts.paths() == 0 {
        return Some(Verdict::pass(Pass::NotCluster));
    }
    let length = usize::from(u16::from_be_bytes(udp.length));
    let wrong = [from_high, from_low] != port
        || ip.version_class_label[0] >> 4 != 6
        || usize::from(u16::from_be_bytes(ip.payload_length)) != length
        || udp_at + length > frame.length();
    if wrong {
        return Some(Verdict::drop(Drop::TwinShape));
    }
    *packet = arrived(Address::v6(ip.source), Address::v6(ip.destination), facts, udp_at, length);
    None
}

#[inline(always)]
const fn arrived(
    source: Address,
    destination: Address,
    facts: AddressFacts,
    udp_at: usize,
    length: usize,
) -> Packet {
    let payload = length.wrapping_sub(size_of::<Udp>()) as u32;
    Packet {
        source,
        destination,
        facts,
        place: udp_at as u32,
        ports: payload,
        protocol: number::UDP,
        at: 0,
        step: Step::TWIN,
    }
}

/// A frame on the partners' port: where its UDP header starts and how long its payload is, `packet` says.
#[inline(always)]
pub(crate) fn received<F: Frame, T: Tables>(
    frame: &mut F,
    tables: &T,
    globals: &Globals,
    packet: &Packet,
    now: Ticks,
) -> Verdict {
    frame.refresh();
    let Some(path) = path_of(tables, packet) else { return Verdict::drop(Drop::TwinStranger) };
    let at = udp_at(packet) + size_of::<Udp>();
    let payload = packet.ports as usize;
    let Some(head) = frame.get::<TwinHead>(at) else { return Verdict::drop(Drop::TwinShape) };
    let [first, session, counter, gate_told, _] = head.words;
    let first = First(u64::from_le_bytes(first));
    let (session, counter) = (u64::from_le_bytes(session), u64::from_le_bytes(counter));
    let gate_told = u64::from_le_bytes(gate_told);
    if !first.is_twin() || payload < BODY_AT || session == 0 {
        return Verdict::drop(Drop::TwinShape);
    }
    if first.version() != VERSION {
        return Verdict::drop(Drop::TwinVersion);
    }
    let Some(key) = key_of(path, first) else { return Verdict::drop(Drop::TwinKey) };
    const BEAT: u8 = Kind::Beat as u8;
    const PROBE: u8 = Kind::Probe as u8;
    const ANSWER: u8 = Kind::Answer as u8;
    match first.kind() {
        BEAT | PROBE => {
            let is_beat = first.kind() == BEAT;
            let fits = if is_beat {
                (SHORTEST_BEAT..=LONGEST).contains(&payload)
            } else {
                payload == EXCHANGE_BYTES
            };
            if !fits {
                return Verdict::drop(Drop::TwinShape);
            }
            if gate(key, first, session, counter) != gate_told {
                return Verdict::drop(Drop::TwinForged);
            }
            if session == path.own_session.load() {
                return Verdict::drop(Drop::TwinReflected);
            }
            if is_beat {
                beat(frame, tables, path, at, session, counter)
            } else {
                probe(frame, tables, globals, packet, path, key, now)
            }
        }
        ANSWER if payload == EXCHANGE_BYTES => {
            let Some(exchange) = frame.get::<TwinExchange>(at) else {
                return Verdict::drop(Drop::TwinShape);
            };
            let [.., a, b, c, d] = exchange.words;
            let body = [a, b, c, d].map(u64::from_le_bytes);
            if answer_gate(key, first, session, counter, body) != gate_told {
                return Verdict::drop(Drop::TwinForged);
            }
            if session != path.own_session.load() || counter <= path.probe_floor.load() {
                return Verdict::drop(Drop::TwinUnasked);
            }
            stamp(frame, tables, at);
            Verdict::pass(Pass::TwinAnswer)
        }
        _ => Verdict::drop(Drop::TwinShape),
    }
}

/// Where a frame's UDP header starts: the mask, which no frame needs, is how the verifier knows a bound.
#[inline(always)]
const fn udp_at(packet: &Packet) -> usize {
    packet.place as usize & 0xff
}

/// A place whose bytes are checked anew. The compiler leaves out a check that an earlier one implies, and then the verifier
/// sees another pointer than the one that was checked.
#[inline(always)]
fn anew(at: usize) -> usize {
    opaque(at as u64) as usize
}

/// The path that a frame came by.
#[inline(always)]
fn path_of<'t, T: Tables>(tables: &'t T, packet: &Packet) -> Option<&'t PathEntry> {
    let (paths, own, remote) = (packet.facts.paths(), packet.destination, packet.source);
    let mut number = 0;
    while number < PATHS {
        if paths >> number & 1 != 0 {
            let path = tables.path(number)?;
            let differs = path.remote[1].load() ^ remote.low
                | path.remote[0].load() ^ remote.high
                | path.own[1].load() ^ own.low
                | path.own[0].load() ^ own.high;
            if differs == 0 && path.facts.load() != 0 {
                return Some(path);
            }
        }
        number += 1;
    }
    None
}

/// The key that a frame says it was made with, if it is one of ours.
#[inline(always)]
fn key_of(path: &PathEntry, first: First) -> Option<[u64; 2]> {
    let ids = PathFacts(path.facts.load()).keys();
    let [one, other] = ids.map(|id| opaque(u64::from(id ^ first.key())));
    if one != 0 && other != 0 {
        return None;
    }
    // Without a branch: all that follows would be verified once for each key.
    let key = &path.gates[(is_zero(one) ^ 1) as usize & 1];
    Some([key[0].load(), key[1].load()])
}

/// Leaves in a frame when it came.
#[inline(always)]
fn stamp<F: Frame, T: Tables>(frame: &mut F, tables: &T, at: usize) {
    if tables.dry() {
        return;
    }
    if let Some(place) = frame.get_mut::<TwinWord>(anew(at + STAMP_AT)) {
        place.word = tables.stamp().to_le_bytes();
    }
}

/// Heartbeats of a session not known yet that a path lets through in a second.
const UNKNOWN_PER_SECOND: u64 = 20;
const SECOND: u64 = 1_000_000_000;

/// A heartbeat through the gate.
#[inline(always)]
fn beat<F: Frame, T: Tables>(
    frame: &mut F,
    tables: &T,
    path: &PathEntry,
    at: usize,
    session: u64,
    counter: u64,
) -> Verdict {
    if session == path.session.load() {
        if counter <= path.floor.load() {
            return Verdict::drop(Drop::TwinReplayed);
        }
    } else {
        let [a, b, c, d] = [0, 1, 2, 3].map(|at: usize| path.past[at].load() == session);
        if a | b | c | d {
            return Verdict::drop(Drop::TwinReplayed);
        }
        if !has_token(tables, path) {
            return Verdict::drop(Drop::TwinFlood);
        }
    }
    stamp(frame, tables, at);
    Verdict::pass(Pass::TwinBeat)
}

/// Takes one of the tokens that a path gets twenty of in a second. CPUs that take at once may share one.
#[inline(always)]
fn has_token<T: Tables>(tables: &T, path: &PathEntry) -> bool {
    let (now, due) = (tables.stamp(), path.tokens.load());
    if due > now + SECOND - SECOND / UNKNOWN_PER_SECOND {
        return false;
    }
    if !tables.dry() {
        let from = if due > now { due } else { now };
        path.tokens.store(from + SECOND / UNKNOWN_PER_SECOND);
    }
    true
}

/// A probe through the gate: sent back as its answer.
#[inline(always)]
fn probe<F: Frame, T: Tables>(
    frame: &mut F,
    tables: &T,
    globals: &Globals,
    packet: &Packet,
    path: &PathEntry,
    key: [u64; 2],
    now: Ticks,
) -> Verdict {
    let udp_at = udp_at(packet);
    let [one, two] = PathFacts(path.facts.load()).groups();
    let [a, b] = told(tables, globals, one, now);
    let [c, d] = told(tables, globals, two, now);
    let Some(exchange) = frame.get_mut::<TwinExchange>(anew(udp_at + size_of::<Udp>())) else {
        return Verdict::drop(Drop::TwinShape);
    };
    let [first, session, counter, ..] = exchange.words;
    let first = First(u64::from_le_bytes(first)).answered();
    let (session, counter) = (u64::from_le_bytes(session), u64::from_le_bytes(counter));
    let gate = answer_gate(key, first, session, counter, [a, b, c, d]);
    let words = [first.0, session, counter, gate, 0, a, b, c, d];
    exchange.words = words.map(u64::to_le_bytes);
    if packet.source.is_v4() {
        turn_v4(frame, udp_at);
    } else {
        turn_v6(frame, udp_at, packet, &words);
    }
    frame.refresh();
    turn_around(frame);
    Verdict::answer(Answer::Probe)
}

/// What this node is for a group, as [`GroupTold::words`]; zeros for group 0. Without a branch.
#[inline(always)]
fn told<T: Tables>(tables: &T, globals: &Globals, number: u8, now: Ticks) -> [u64; 2] {
    const HIGHEST: u64 = u64::MAX >> 1;
    let Some(group) = tables.group(u32::from(number)) else { return [0, 0] };
    let said = (is_zero(opaque(u64::from(number))) ^ 1).wrapping_neg();
    let state = GroupState::from_word(group.state.load());
    let (now, deadline) = (now.0 & HIGHEST, group.deadline.load() & HIGHEST);
    let runs = opaque(is_less(now, opaque(deadline))).wrapping_neg();
    let left = opaque(deadline.wrapping_sub(now) & runs);
    // At most what is as good as for ever, so that the product below holds.
    let left = (left | opaque(is_zero(left >> 32) ^ 1).wrapping_neg()) & u64::from(u32::MAX);
    let lease = left.wrapping_mul(globals.tick.load()).wrapping_add(0xffff) >> 16;
    let told = GroupTold { number, standing: state.standing, epoch: state.epoch, lease };
    told.words().map(|word| word & said)
}

/// Turns an IPv4 datagram around. Its UDP checksum is left out, as RFC 768 allows: the gate says more.
#[inline(always)]
fn turn_v4<F: Frame>(frame: &mut F, udp_at: usize) {
    if let Some(udp) = frame.get_mut::<Udp>(anew(udp_at)) {
        udp.checksum = [0, 0];
    }
    if let Some(ip) = frame.get_mut::<Ipv4>(anew(udp_at - size_of::<Ipv4>())) {
        let [a, b, c, d, e, f, g, h] = ip.addresses;
        ip.addresses = [e, f, g, h, a, b, c, d];
        let (was, is) = ([ip.ttl, ip.protocol], [TTL, ip.protocol]);
        ip.ttl = TTL;
        ip.checksum = adjusted(ip.checksum, was, is);
    }
}

/// Turns an IPv6 datagram around; its UDP checksum is made anew, because it must not be left out (RFC 8200 section 8.1).
#[inline(always)]
fn turn_v6<F: Frame>(frame: &mut F, udp_at: usize, packet: &Packet, words: &[u64; 9]) {
    if let Some(ip) = frame.get_mut::<Ipv6>(anew(udp_at - size_of::<Ipv6>())) {
        core::mem::swap(&mut ip.source, &mut ip.destination);
        ip.hop_limit = TTL;
    }
    if let Some(udp) = frame.get_mut::<Udp>(anew(udp_at)) {
        let length = (size_of::<Udp>() + EXCHANGE_BYTES) as u16;
        let mut sum = u64::from(length.to_be()) * 2 + u64::from(u16::from(number::UDP).to_be());
        sum += u64::from(u32::from_le_bytes(udp.ports));
        let addresses = [packet.source, packet.destination];
        for address in addresses {
            sum += halves(address.high) + halves(address.low);
        }
        for word in words {
            sum += halves(*word);
        }
        udp.checksum = checksum(sum);
    }
}

/// The sum of the two halves of a word: all that the ones' complement sum of its 16-bit words needs (RFC 1071 section 2).
#[inline(always)]
const fn halves(word: u64) -> u64 {
    (word & 0xffff_ffff) + (word >> 32)
}

/// The checksum of a sum of 32-bit words in the header's own byte order; one of zeros would say that there is none.
#[inline(always)]
fn checksum(sum: u64) -> [u8; 2] {
    let sum = (sum & 0xffff) + (sum >> 16 & 0xffff) + (sum >> 32 & 0xffff);
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = (sum & 0xffff) + (sum >> 16);
    let checksum = opaque(!sum & 0xffff);
    ((checksum | is_zero(checksum).wrapping_neg()) as u16).to_le_bytes()
}
