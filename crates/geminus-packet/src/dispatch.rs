//! The packet path, from the first byte to the verdict.

use crate::answer;
use crate::balance::{balance, refused_source};
use crate::frame::Frame;
use crate::packet::{Packet, Step};
use crate::tables::{
    Address, AddressFacts, Globals, GroupState, Hop, LAYOUT, MAC_BITS, PARTNER, PARTNER_FORWARDS, Tables,
    Ticks, mac_word, word_mac,
};
use crate::twin;
use crate::verdict::{Answer, Drop, Kind, Pass, Verdict};
use crate::wire::{Ethernet, Extension, Icmp, Ipv4, Ipv6, Mac, Tcp, Udp, Vlan, number};
use crate::word::{is_zero, opaque};

pub(crate) const TCP_FIN: u8 = 1;
const TCP_SYN: u8 = 2;
pub(crate) const TCP_RST: u8 = 4;
pub(crate) const TCP_ACK: u8 = 16;

/// IPv6 extension headers that a packet may have.
const MAX_EXTENSIONS: u32 = 4;
/// VLAN tags that a frame may have.
const MAX_TAGS: u32 = 2;

/// Decides what becomes of a frame and, where it is answered or forwarded, rewrites it. Counts everything.
#[inline(always)]
pub fn dispatch<F: Frame, T: Tables>(frame: &mut F, tables: &T, now: Ticks) -> Verdict {
    let mut hop = Hop::NONE;
    let verdict = decide(frame, tables, now, &mut hop);
    tables.count(verdict.counter());
    if !matches!(verdict.kind(), Kind::Forward) {
        return verdict;
    }
    frame.refresh();
    // MAC forwarding: the two addresses of the frame, nothing else.
    if let Some(ethernet) = frame.get_mut::<Ethernet>(0) {
        ethernet.destination = word_mac(hop.link);
        ethernet.source = word_mac(hop.from);
    }
    verdict
}

#[inline(always)]
fn decide<F: Frame, T: Tables>(frame: &mut F, tables: &T, now: Ticks, hop: &mut Hop) -> Verdict {
    let Some(globals) = tables.globals() else { return Verdict::pass(Pass::NotConfigured) };
    if globals.layout.load() != LAYOUT {
        return Verdict::pass(Pass::NotConfigured);
    }
    let Some((destination, ether_type, at)) = link(frame) else { return Verdict::pass(Pass::Truncated) };
    let mut packet = Packet::NONE;
    let early = match ether_type {
        number::ETHER_IPV4 => v4(frame, tables, globals, destination, at, now, &mut packet),
        number::ETHER_IPV6 => v6(frame, tables, globals, destination, at, now, &mut packet),
        number::ETHER_ARP => Some(answer::arp(frame, tables, globals, at, now)),
        _ => Some(Verdict::pass(Pass::OtherProtocol)),
    };
    match early {
        Some(verdict) => verdict,
        None if matches!(packet.step, Step::TWIN) => {
            twin::received(frame, tables, globals, &packet.blurred(globals.nothing.load()), now)
        }
        None => {
            let verdict = balance(tables, globals, &packet, frame.length() as u64, now, hop);
            if verdict != Verdict::answer(Answer::Reset) {
                return verdict;
            }
            answer::reset(frame, &packet, globals.nothing.load())
        }
    }
}

/// Decides what becomes of a frame on an interface that is there for partners alone; none: it is not one of theirs. Counts
/// what it decides.
#[inline(always)]
pub fn dispatch_twin<F: Frame, T: Tables>(frame: &mut F, tables: &T, now: Ticks) -> Option<Verdict> {
    let globals = tables.globals()?;
    if globals.layout.load() != LAYOUT {
        return None;
    }
    let (_, ether_type, at) = link(frame)?;
    let mut packet = Packet::NONE;
    let early = match ether_type {
        number::ETHER_IPV4 => {
            let [.., e, f, g, h] = frame.get::<Ipv4>(at)?.addresses;
            let (facts, _) = known_address(tables, globals, Address::v4([e, f, g, h]))?;
            if facts.has(AddressFacts::NODE) { twin::v4(frame, facts, at, &mut packet) } else { return None }
        }
        number::ETHER_IPV6 => {
            let (facts, _) = known_address(tables, globals, Address::v6(frame.get::<Ipv6>(at)?.destination))?;
            if facts.has(AddressFacts::NODE) { twin::v6(frame, facts, at, &mut packet) } else { return None }
        }
        _ => return None,
    };
    let verdict = match early {
        Some(verdict) if matches!(verdict.kind(), Kind::Pass) => return None,
        Some(verdict) => verdict,
        None => twin::received(frame, tables, globals, &packet.blurred(globals.nothing.load()), now),
    };
    tables.count(verdict.counter());
    Some(verdict)
}

/// The receiver's hardware address, the EtherType behind all tags, and where what it names starts.
#[inline(always)]
fn link<F: Frame>(frame: &F) -> Option<(Mac, u16, usize)> {
    let ethernet = frame.get::<Ethernet>(0)?;
    let destination = ethernet.destination;
    let mut ether_type = u16::from_be_bytes(ethernet.ether_type);
    let mut at = Ethernet::LENGTH;
    let mut tags = 0;
    while tags < MAX_TAGS && (ether_type == number::ETHER_VLAN || ether_type == number::ETHER_SERVICE_VLAN) {
        let tag = frame.get::<Vlan>(at)?;
        ether_type = u16::from_be_bytes(tag.ether_type);
        at += size_of::<Vlan>();
        tags += 1;
    }
    Some((destination, ether_type, at))
}

/// Looks a cluster address up: what is known of it, and where its cluster's ports are.
#[inline(always)]
pub(crate) fn cluster_address<T: Tables>(
    tables: &T,
    globals: &Globals,
    address: Address,
) -> Option<(AddressFacts, u32)> {
    known_address(tables, globals, address).filter(|(facts, _)| !facts.has(AddressFacts::NODE))
}

/// Looks an address up that is a cluster's or this node's own.
#[inline(always)]
pub(crate) fn known_address<T: Tables>(
    tables: &T,
    globals: &Globals,
    address: Address,
) -> Option<(AddressFacts, u32)> {
    let index = &globals.index[globals.half.load() as usize & 1];
    let place = index.address_place.load();
    let bucket = address.bucket(index.address_seed.load(), (place >> 32) as u32);
    for entry in &tables.addresses((place as u32).wrapping_add(bucket))?.entries {
        if entry.low.load() == address.low && entry.high.load() == address.high {
            let facts = entry.facts.load();
            if facts != 0 {
                return Some((AddressFacts(facts), entry.ports.load() as u32));
            }
        }
    }
    None
}

/// Whether this node is active for a cluster address right now.
#[inline(always)]
pub(crate) fn is_active<T: Tables>(tables: &T, facts: AddressFacts, now: Ticks) -> bool {
    tables.group(u32::from(facts.group())).is_some_and(|group| now.0 < group.deadline.load())
}

/// Why this node does not answer for a cluster address right now; none: it does. At the very end of a lease nobody renews
/// it leaves that to its partner already: two never answer at once, and what still comes is forwarded to the end.
#[inline(always)]
pub(crate) fn silence<T: Tables>(
    tables: &T,
    globals: &Globals,
    facts: AddressFacts,
    now: Ticks,
) -> Option<Pass> {
    match tables.group(u32::from(facts.group())) {
        Some(group) if now.0 < group.deadline.load() => {
            let ends = group.deadline.load().wrapping_sub(now.0) <= globals.hand_over.load();
            (ends || GroupState::from_word(group.state.load()).quiet).then_some(Pass::Quiet)
        }
        _ => Some(Pass::NotActive),
    }
}

/// The hardware address by which a cluster address is answered for: the group's, if it has one, else the node's.
#[inline(always)]
pub(crate) fn own_mac<T: Tables>(tables: &T, globals: &Globals, facts: AddressFacts) -> u64 {
    let of_group = tables.group(u32::from(facts.group())).map_or(0, |group| group.mac.load() & MAC_BITS);
    // Without a branch: what follows would be verified once for either.
    of_group | globals.mac.load() & MAC_BITS & is_zero(opaque(of_group)).wrapping_neg()
}

/// Whether this node leaves it to its partner to answer for a cluster address, if it is active at all.
#[inline(always)]
fn is_quiet<T: Tables>(tables: &T, facts: AddressFacts) -> bool {
    let group = tables.group(u32::from(facts.group()));
    group.is_some_and(|group| GroupState::from_word(group.state.load()).quiet)
}

/// What stands before balancing: the node is active and the frame is ours to handle.
#[inline(always)]
fn ours<F: Frame, T: Tables>(
    frame: &F,
    tables: &T,
    globals: &Globals,
    facts: AddressFacts,
    destination: Mac,
    now: Ticks,
) -> Option<Verdict> {
    if !is_active(tables, facts, now) {
        return Some(Verdict::pass(Pass::NotActive));
    }
    let to = mac_word(destination);
    if to == globals.mac.load() & MAC_BITS || to == own_mac(tables, globals, facts) {
        let sent_here = globals.partners[0].load() != 0 && is_from_partner(frame, globals);
        return sent_here.then_some(Verdict::pass(Pass::FromPartner));
    }
    Some(if destination[0] & 1 != 0 { Verdict::drop(Drop::GroupMac) } else { Verdict::pass(Pass::OtherHost) })
}

/// Whether a frame comes from a partner that chose this machine as its server. Both nodes may be active for a moment; what
/// one has decided the other does not decide again, or a packet could go to and fro for ever.
#[inline(always)]
fn is_from_partner<F: Frame>(frame: &F, globals: &Globals) -> bool {
    let Some(ethernet) = frame.get::<Ethernet>(0) else { return false };
    let from = mac_word(ethernet.source) | PARTNER | PARTNER_FORWARDS;
    globals.partners[0].load() == from || globals.partners[1].load() == from
}

#[inline(always)]
fn v4<F: Frame, T: Tables>(
    frame: &mut F,
    tables: &T,
    globals: &Globals,
    to: Mac,
    at: usize,
    now: Ticks,
    packet: &mut Packet,
) -> Option<Verdict> {
    let length = frame.length();
    let Some(ip) = frame.get::<Ipv4>(at) else { return Some(Verdict::pass(Pass::Truncated)) };
    let [a, b, c, d, e, f, g, h] = ip.addresses;
    let destination = Address::v4([e, f, g, h]);
    let Some((facts, place)) = known_address(tables, globals, destination) else {
        return Some(Verdict::pass(Pass::NotCluster));
    };
    if facts.has(AddressFacts::NODE) {
        return twin::v4(frame, facts, at, packet);
    }
    if let Some(verdict) = ours(frame, tables, globals, facts, to, now) {
        return Some(verdict);
    }
    let header = usize::from(ip.version_ihl & 15) * 4;
    if ip.version_ihl >> 4 != 4 || header < size_of::<Ipv4>() {
        return Some(Verdict::drop(Drop::BadHeader));
    }
    let total = usize::from(u16::from_be_bytes(ip.total_length));
    if total < header || at + total > length {
        return Some(Verdict::drop(Drop::BadLength));
    }
    // More fragments, or an offset.
    if u16::from_be_bytes(ip.fragment) & 0x3fff != 0 {
        return Some(Verdict::drop(Drop::Fragment));
    }
    let payload = total - header;
    let transport = at + header;
    if ip.protocol == number::ICMP {
        return Some(echo4(frame, tables, globals, Address::v4([a, b, c, d]), facts, at, transport, payload));
    }
    if ip.ttl <= 1 {
        return Some(Verdict::drop(Drop::TtlExpired));
    }
    let (source, protocol) = (Address::v4([a, b, c, d]), ip.protocol);
    *packet = Packet {
        source,
        destination,
        facts,
        place,
        ports: 0,
        protocol,
        at: places(at, transport),
        step: Step::SEGMENT,
    };
    ports(frame, transport, payload, packet)
}

#[inline(always)]
fn v6<F: Frame, T: Tables>(
    frame: &mut F,
    tables: &T,
    globals: &Globals,
    to: Mac,
    at: usize,
    now: Ticks,
    packet: &mut Packet,
) -> Option<Verdict> {
    let length = frame.length();
    let Some(ip) = frame.get::<Ipv6>(at) else { return Some(Verdict::pass(Pass::Truncated)) };
    let (source, destination) = (Address::v6(ip.source), Address::v6(ip.destination));
    let mut next = ip.next_header;
    if ip.destination[0] == 0xff {
        let solicitation = next == number::ICMPV6;
        return Some(if solicitation {
            answer::neighbour(frame, tables, globals, at, now)
        } else {
            Verdict::pass(Pass::NotCluster)
        });
    }
    let Some((facts, place)) = known_address(tables, globals, destination) else {
        return Some(Verdict::pass(Pass::NotCluster));
    };
    if facts.has(AddressFacts::NODE) {
        return twin::v6(frame, facts, at, packet);
    }
    if let Some(verdict) = ours(frame, tables, globals, facts, to, now) {
        return Some(verdict);
    }
    if ip.version_class_label[0] >> 4 != 6 {
        return Some(Verdict::drop(Drop::BadHeader));
    }
    let hop_limit = ip.hop_limit;
    let end = at + size_of::<Ipv6>() + usize::from(u16::from_be_bytes(ip.payload_length));
    if end > length {
        return Some(Verdict::drop(Drop::BadLength));
    }
    let mut transport = at + size_of::<Ipv6>();
    let mut extensions = 0;
    loop {
        let is_extension = matches!(
            next,
            number::HOP_BY_HOP | number::DESTINATION_OPTIONS | number::ROUTING | number::FRAGMENT
        );
        if !is_extension {
            break;
        }
        if extensions >= MAX_EXTENSIONS {
            return Some(Verdict::drop(Drop::TooManyExtensions));
        }
        match extension(frame, next, extensions, transport) {
            Ok((after, bytes)) => {
                next = after;
                transport += bytes;
            }
            Err(drop) => return Some(Verdict::drop(drop)),
        }
        extensions += 1;
    }
    if transport > end {
        return Some(Verdict::drop(Drop::BadExtension));
    }
    let payload = end - transport;
    if next == number::ICMPV6 {
        return Some(icmp6(frame, tables, globals, source, facts, at, transport, payload, now));
    }
    if hop_limit <= 1 {
        return Some(Verdict::drop(Drop::TtlExpired));
    }
    *packet = Packet {
        source,
        destination,
        facts,
        place,
        ports: 0,
        protocol: next,
        at: places(at, transport),
        step: Step::SEGMENT,
    };
    ports(frame, transport, payload, packet)
}

/// Where the headers start: [`Packet::at`].
#[inline(always)]
const fn places(ip: usize, transport: usize) -> u32 {
    ip as u32 | (transport as u32) << 16
}

/// Next header and length of an extension header.
#[inline(always)]
fn extension<F: Frame>(frame: &F, kind: u8, before: u32, at: usize) -> Result<(u8, usize), Drop> {
    let Some(header) = frame.get::<Extension>(at) else { return Err(Drop::BadExtension) };
    match kind {
        number::FRAGMENT => {
            // An atomic fragment (RFC 6946) is a whole packet: offset 0 and no more to come.
            let rest = u16::from_be_bytes([header.third, header.fourth]) & 0xfff9;
            if rest != 0 {
                return Err(Drop::Fragment);
            }
            Ok((header.next_header, 8))
        }
        // RFC 8200 section 4.1: hop-by-hop options stand right behind the IPv6 header.
        number::HOP_BY_HOP if before > 0 => Err(Drop::BadExtension),
        number::ROUTING if header.fourth != 0 => Err(Drop::SourceRouted),
        _ => Ok((header.next_header, (usize::from(header.length) + 1) * 8)),
    }
}

/// Ports of a TCP or UDP packet, and what it does to its flow.
#[inline(always)]
fn ports<F: Frame>(frame: &F, at: usize, payload: usize, packet: &mut Packet) -> Option<Verdict> {
    match packet.protocol {
        number::TCP => {
            let Some(tcp) = frame.get::<Tcp>(at) else {
                return Some(Verdict::drop(Drop::TruncatedTransport));
            };
            if payload < size_of::<Tcp>() {
                return Some(Verdict::drop(Drop::TruncatedTransport));
            }
            let header = usize::from(tcp.data_offset >> 4) * 4;
            if header < size_of::<Tcp>() || header > payload {
                return Some(Verdict::drop(Drop::BadTransport));
            }
            packet.ports = u32::from_le_bytes(tcp.ports);
            packet.step = if tcp.flags & TCP_RST != 0 {
                Step::RST
            } else if tcp.flags & (TCP_SYN | TCP_ACK) == TCP_SYN {
                Step::SYN
            } else if tcp.flags & TCP_FIN != 0 {
                Step::FIN
            } else {
                Step::SEGMENT
            };
            None
        }
        number::UDP => {
            let Some(udp) = frame.get::<Udp>(at) else {
                return Some(Verdict::drop(Drop::TruncatedTransport));
            };
            if payload < size_of::<Udp>() {
                return Some(Verdict::drop(Drop::TruncatedTransport));
            }
            let length = usize::from(u16::from_be_bytes(udp.length));
            if length < size_of::<Udp>() || length > payload {
                return Some(Verdict::drop(Drop::BadTransport));
            }
            packet.ports = u32::from_le_bytes(udp.ports);
            packet.step = Step::DATAGRAM;
            None
        }
        _ => Some(Verdict::drop(Drop::OtherTransport)),
    }
}

#[inline(always)]
#[allow(
    clippy::too_many_arguments,
    reason = "inlined into the program; a struct would live on its 512-byte stack"
)]
fn echo4<F: Frame, T: Tables>(
    frame: &mut F,
    tables: &T,
    globals: &Globals,
    source: Address,
    facts: AddressFacts,
    ip: usize,
    at: usize,
    payload: usize,
) -> Verdict {
    let Some(icmp) = frame.get::<Icmp>(at) else { return Verdict::drop(Drop::TruncatedTransport) };
    if payload < size_of::<Icmp>() {
        return Verdict::drop(Drop::TruncatedTransport);
    }
    match icmp.kind {
        8 if facts.has(AddressFacts::PING) => match refused_source(tables, globals, source) {
            Some(drop) => Verdict::drop(drop),
            None if is_quiet(tables, facts) => Verdict::pass(Pass::Quiet),
            None => answer::echo4(frame, ip, at),
        },
        8 => Verdict::drop(Drop::EchoRefused),
        // Unreachable, source quench, time exceeded, parameter problem: RFC 792.
        3 | 4 | 11 | 12 => Verdict::drop(Drop::IcmpError),
        _ => Verdict::drop(Drop::IcmpOther),
    }
}

#[inline(always)]
#[allow(
    clippy::too_many_arguments,
    reason = "inlined into the program; a struct would live on its 512-byte stack"
)]
fn icmp6<F: Frame, T: Tables>(
    frame: &mut F,
    tables: &T,
    globals: &Globals,
    source: Address,
    facts: AddressFacts,
    ip: usize,
    at: usize,
    payload: usize,
    now: Ticks,
) -> Verdict {
    let Some(icmp) = frame.get::<Icmp>(at) else { return Verdict::drop(Drop::TruncatedTransport) };
    if payload < size_of::<Icmp>() {
        return Verdict::drop(Drop::TruncatedTransport);
    }
    match icmp.kind {
        128 if facts.has(AddressFacts::PING) => match refused_source(tables, globals, source) {
            Some(drop) => Verdict::drop(drop),
            None if is_quiet(tables, facts) => Verdict::pass(Pass::Quiet),
            None => answer::echo6(frame, ip, at),
        },
        128 => Verdict::drop(Drop::EchoRefused),
        // RFC 4443 section 2.1: error messages have types below 128.
        0..=127 => Verdict::drop(Drop::IcmpError),
        135 if at == ip + size_of::<Ipv6>() => answer::neighbour(frame, tables, globals, ip, now),
        _ => Verdict::drop(Drop::IcmpOther),
    }
}
