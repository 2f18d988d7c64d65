//! Answers given in place: ARP, neighbour solicitation and echo for addresses that live in no interface, and resets for
//! servers that are down.

use crate::dispatch::{TCP_ACK, TCP_FIN, TCP_RST, cluster_address, own_mac, silence};
use crate::frame::Frame;
use crate::packet::Packet;
use crate::tables::{Address, AddressFacts, Globals, MAC_BITS, PARTNER, Tables, Ticks, mac_word, word_mac};
use crate::verdict::{Answer, Drop, Note, Pass, Verdict};
use crate::wire::{
    Arp, Ethernet, Filling, Icmp, Ipv4, Ipv6, LinkLayerOption, Mac, NeighbourTarget, Tcp, number,
};
use crate::word::{blurred, is_zero, opaque};

/// Time to live and hop limit of what the node sends itself.
pub(crate) const TTL: u8 = 64;
/// Types of RFC 4861 sections 4.3 and 4.4.
const SOLICITATION: u8 = 135;
const ADVERTISEMENT: u8 = 136;
/// Hop limit of neighbour discovery: RFC 4861 section 7.1.1.
const ND_HOP_LIMIT: u8 = 255;
/// Solicited and override: RFC 4861 section 4.4.
const SOLICITED: u8 = 0x40;
const OVERRIDE: u8 = 0x20;
/// ff02::1 and the hardware address it is sent to.
const ALL_NODES: [u8; 16] = [0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
const ALL_NODES_MAC: Mac = [0x33, 0x33, 0, 0, 0, 1];

/// ARP whose header starts at `at`.
#[inline(always)]
pub(crate) fn arp<F: Frame, T: Tables>(
    frame: &mut F,
    tables: &T,
    globals: &Globals,
    at: usize,
    now: Ticks,
) -> Verdict {
    let Some(arp) = frame.get::<Arp>(at) else { return Verdict::pass(Pass::Truncated) };
    if arp.hardware != [0, 1] || arp.protocol != [8, 0] || arp.lengths != [6, 4] {
        return Verdict::pass(Pass::ArpOther);
    }
    let from = arp.sender_mac;
    if mac_word(from) != globals.mac.load() & MAC_BITS
        && arp.sender != [0; 4]
        && let Some((facts, _)) = cluster_address(tables, globals, Address::v4(arp.sender))
        && silence(tables, globals, facts, now).is_none()
        && is_foreign(from, tables, globals, facts)
    {
        tables.count(Note::ClaimedByOther.counter());
        return Verdict::pass(Pass::ArpOther);
    }
    if arp.operation != [0, 1] {
        return Verdict::pass(Pass::ArpOther);
    }
    let Some((facts, _)) = cluster_address(tables, globals, Address::v4(arp.target)) else {
        return Verdict::pass(Pass::ArpOther);
    };
    if let Some(reason) = silence(tables, globals, facts, now) {
        return Verdict::pass(reason);
    }
    let us = word_mac(own_mac(tables, globals, facts));
    let Some(arp) = frame.get_mut::<Arp>(at) else { return Verdict::pass(Pass::Truncated) };
    let asker = arp.sender_mac;
    let (sender, target) = (arp.sender, arp.target);
    arp.operation = [0, 2];
    arp.sender_mac = us;
    arp.sender = target;
    arp.target_mac = asker;
    arp.target = sender;
    address(frame, asker, us);
    Verdict::answer(Answer::Arp)
}

/// What may be a neighbour solicitation or advertisement: ICMPv6 right behind the IPv6 header that starts at `at`.
#[inline(always)]
pub(crate) fn neighbour<F: Frame, T: Tables>(
    frame: &mut F,
    tables: &T,
    globals: &Globals,
    at: usize,
    now: Ticks,
) -> Verdict {
    let icmp_at = at + size_of::<Ipv6>();
    let target_at = icmp_at + size_of::<Icmp>();
    let option_at = target_at + size_of::<NeighbourTarget>();
    let Some(icmp) = frame.get::<Icmp>(icmp_at) else { return Verdict::pass(Pass::Truncated) };
    if icmp.kind != SOLICITATION && icmp.kind != ADVERTISEMENT {
        return Verdict::pass(Pass::NeighbourOther);
    }
    let (kind, code) = (icmp.kind, icmp.code);
    let Some(asked) = frame.get::<NeighbourTarget>(target_at) else { return Verdict::pass(Pass::Truncated) };
    let target = asked.target;
    let Some((facts, _)) = cluster_address(tables, globals, Address::v6(target)) else {
        return Verdict::pass(Pass::NeighbourOther);
    };
    if kind == ADVERTISEMENT {
        if let Some(ethernet) = frame.get::<Ethernet>(0)
            && silence(tables, globals, facts, now).is_none()
            && is_foreign(ethernet.source, tables, globals, facts)
        {
            tables.count(Note::AdvertisedByOther.counter());
        }
        return Verdict::pass(Pass::NeighbourOther);
    }
    if let Some(reason) = silence(tables, globals, facts, now) {
        return Verdict::pass(reason);
    }
    let Some(ip) = frame.get::<Ipv6>(at) else { return Verdict::pass(Pass::Truncated) };
    let payload = usize::from(u16::from_be_bytes(ip.payload_length));
    let bad = ip.hop_limit != ND_HOP_LIMIT || code != 0 || payload < option_at - icmp_at;
    if bad || icmp_at + payload > frame.length() {
        return Verdict::drop(Drop::BadNeighbour);
    }
    // A solicitation for duplicate address detection comes from nobody: everybody is told that the address is taken.
    let asker = ip.source;
    let nobody = asker == [0; 16];
    let us = word_mac(own_mac(tables, globals, facts));
    let Some(ethernet) = frame.get::<Ethernet>(0) else { return Verdict::pass(Pass::Truncated) };
    let to_mac = if nobody { ALL_NODES_MAC } else { ethernet.source };
    let to = if nobody { ALL_NODES } else { asker };
    let advertised = option_at + size_of::<LinkLayerOption>();
    if frame.length() < advertised && !frame.grow_back(advertised - frame.length()) {
        return Verdict::drop(Drop::NoRoom);
    }
    let flags = if nobody { OVERRIDE } else { SOLICITED | OVERRIDE };
    let length = (advertised - icmp_at) as u16;
    let (Some(option), Some(total)) =
        (frame.get_mut::<LinkLayerOption>(option_at), Some(length.to_be_bytes()))
    else {
        return Verdict::drop(Drop::NoRoom);
    };
    *option = LinkLayerOption { kind: 2, length: 1, mac: us };
    let Some(ip) = frame.get_mut::<Ipv6>(at) else { return Verdict::drop(Drop::NoRoom) };
    ip.version_class_label = [0x60, 0, 0, 0];
    ip.payload_length = total;
    ip.hop_limit = ND_HOP_LIMIT;
    ip.source = target;
    ip.destination = to;
    let mut sum = sum16(&target) + sum16(&to) + u32::from(length) + u32::from(number::ICMPV6);
    sum += sum16(&target) + sum_option(us) + u32::from(u16::from_be_bytes([136, 0]));
    sum += u32::from(u16::from_be_bytes([flags, 0]));
    let Some(icmp) = frame.get_mut::<Icmp>(icmp_at) else { return Verdict::drop(Drop::NoRoom) };
    *icmp = Icmp { kind: 136, code: 0, checksum: folded(sum), rest: [flags, 0, 0, 0] };
    address(frame, to_mac, us);
    Verdict::answer(Answer::Neighbour)
}

/// Whether a hardware address is neither this node's nor a partner's.
#[inline(always)]
fn is_foreign<T: Tables>(mac: Mac, tables: &T, globals: &Globals, facts: AddressFacts) -> bool {
    let mac = mac_word(mac);
    let node = mac ^ globals.mac.load() & MAC_BITS;
    let group = mac ^ own_mac(tables, globals, facts);
    let [one, two] =
        [0, 1].map(|at: usize| globals.partners[at].load() & (MAC_BITS | PARTNER) ^ (mac | PARTNER));
    opaque(is_zero(node) | is_zero(group) | is_zero(one) | is_zero(two)) == 0
}

/// An echo request whose IPv4 header starts at `ip` and whose ICMP header starts at `at`.
#[inline(always)]
pub(crate) fn echo4<F: Frame>(frame: &mut F, ip: usize, at: usize) -> Verdict {
    let Some(icmp) = frame.get_mut::<Icmp>(at) else { return Verdict::drop(Drop::TruncatedTransport) };
    icmp.kind = 0;
    // A message of zeros only has the checksum ffff; of anything else, 0000 and ffff are the same number.
    icmp.checksum = match adjusted(icmp.checksum, [8, 0], [0, 0]) {
        [0, 0] => [0xff, 0xff],
        checksum => checksum,
    };
    let Some(header) = frame.get_mut::<Ipv4>(ip) else { return Verdict::drop(Drop::BadLength) };
    let [a, b, c, d, e, f, g, h] = header.addresses;
    header.addresses = [e, f, g, h, a, b, c, d];
    let (was, is) = ([header.ttl, header.protocol], [TTL, header.protocol]);
    header.ttl = TTL;
    header.checksum = adjusted(header.checksum, was, is);
    turn_around(frame);
    Verdict::answer(Answer::Echo)
}

/// An echo request whose IPv6 header starts at `ip` and whose ICMPv6 header starts at `at`.
#[inline(always)]
pub(crate) fn echo6<F: Frame>(frame: &mut F, ip: usize, at: usize) -> Verdict {
    let Some(icmp) = frame.get_mut::<Icmp>(at) else { return Verdict::drop(Drop::TruncatedTransport) };
    icmp.kind = 129;
    icmp.checksum = adjusted(icmp.checksum, [128, 0], [129, 0]);
    let Some(header) = frame.get_mut::<Ipv6>(ip) else { return Verdict::drop(Drop::BadLength) };
    core::mem::swap(&mut header.source, &mut header.destination);
    header.hop_limit = TTL;
    turn_around(frame);
    Verdict::answer(Answer::Echo6)
}

/// Answers a TCP segment by a reset that makes its sender give the connection up: RFC 9293, section 3.5.2. Where its headers
/// start, `packet` says. Options and extension headers go, and all that was said.
#[inline(always)]
pub(crate) fn reset<F: Frame>(frame: &mut F, packet: &Packet, nothing: u64) -> Verdict {
    frame.refresh();
    // First of all: later the compiler would know that there is room for it, and the verifier would not.
    turn_around(frame);
    let is_v4 = packet.source.is_v4();
    let [ip_at, tcp_at] = blurred([u64::from(packet.at & 0xffff), u64::from(packet.at >> 16)], nothing);
    // The masks, which no frame needs, are how the verifier knows a bound.
    let (ip_at, tcp_at) = (ip_at as usize & 0x1f, tcp_at as usize & 0x3fff);
    let Some(&told) = frame.get::<Tcp>(tcp_at) else { return Verdict::drop(Drop::TruncatedTransport) };
    let turned = if is_v4 { reset4(frame, ip_at) } else { reset6(frame, ip_at) };
    // Sum of the pseudo header, where the packet ended and where the answer's TCP header starts; what fills it up.
    let [sum, end, reply_at, filling] = blurred(turned, nothing);
    if sum == 0 {
        return Verdict::drop(Drop::BadLength);
    }
    let said = u32::from_be_bytes(told.sequence).wrapping_add(
        (end as u32)
            .wrapping_sub(tcp_at as u32 + u32::from(told.data_offset >> 4) * 4)
            .wrapping_add(u32::from(told.flags & TCP_FIN)),
    );
    let (sequence, acknowledgement, flags) = if told.flags & TCP_ACK != 0 {
        (told.acknowledgement, [0; 4], TCP_RST)
    } else {
        ([0; 4], said.to_be_bytes(), TCP_RST | TCP_ACK)
    };
    let [a, b, c, d] = told.ports;
    let ports = [c, d, a, b];
    let head = u16::from_be_bytes([(size_of::<Tcp>() as u8 / 4) << 4, flags]);
    let sum = sum as u32 + sum_pair(ports) + sum_pair(sequence) + sum_pair(acknowledgement) + u32::from(head);
    let reply_at = reply_at as usize & 0x3f;
    let Some(tcp) = frame.get_mut::<Tcp>(reply_at) else { return Verdict::drop(Drop::BadLength) };
    let [data_offset, flags] = head.to_be_bytes();
    *tcp = Tcp {
        ports,
        sequence,
        acknowledgement,
        data_offset,
        flags,
        window: [0; 2],
        checksum: folded(sum),
        urgent: [0; 2],
    };
    frame.cut(reply_at + size_of::<Tcp>() + filling as usize);
    Verdict::answer(Answer::Reset)
}

/// Bytes of a TCP segment that is a header only.
const SEGMENT: u8 = size_of::<Tcp>() as u8;

/// Makes the IPv4 header that of a reset: the sum of its pseudo header, where the packet ended, where TCP starts, and how many
/// bytes of what the frame had behind it fill it up.
#[inline(always)]
fn reset4<F: Frame>(frame: &mut F, at: usize) -> [u64; 4] {
    let Some(ip) = frame.get_mut::<Ipv4>(at) else { return [0; 4] };
    let end = at as u64 + u64::from(u16::from_be_bytes(ip.total_length));
    let [a, b, c, d, e, f, g, h] = ip.addresses;
    let addresses = sum_pair([a, b, c, d]) + sum_pair([e, f, g, h]);
    let lengths = [0, size_of::<Ipv4>() as u8 + SEGMENT];
    let rest = [[0x45, 0], lengths, [0x40, 0], [TTL, number::TCP]];
    let sum = rest.into_iter().fold(addresses, |sum, word| sum + u32::from(u16::from_be_bytes(word)));
    *ip = Ipv4 {
        version_ihl: 0x45,
        tos: 0,
        total_length: lengths,
        identification: [0; 2],
        // Not to be fragmented, so that no identification is needed: RFC 6864.
        fragment: [0x40, 0],
        ttl: TTL,
        protocol: number::TCP,
        checksum: folded(sum),
        addresses: [e, f, g, h, a, b, c, d],
    };
    let tcp_at = at + size_of::<Ipv4>();
    let filling = match frame.get_mut::<Filling>(tcp_at + size_of::<Tcp>()) {
        Some(filling) => {
            filling.bytes = [0; 6];
            size_of::<Filling>()
        }
        None => 0,
    };
    let pseudo = addresses + u32::from(number::TCP) + u32::from(SEGMENT);
    [u64::from(pseudo), end, tcp_at as u64, filling as u64]
}

/// As [`reset4`], of an IPv6 header.
#[inline(always)]
fn reset6<F: Frame>(frame: &mut F, at: usize) -> [u64; 4] {
    let Some(ip) = frame.get_mut::<Ipv6>(at) else { return [0; 4] };
    let tcp_at = at + size_of::<Ipv6>();
    let end = tcp_at as u64 + u64::from(u16::from_be_bytes(ip.payload_length));
    let (source, destination) = (ip.source, ip.destination);
    *ip = Ipv6 {
        version_class_label: [0x60, 0, 0, 0],
        payload_length: [0, SEGMENT],
        next_header: number::TCP,
        hop_limit: TTL,
        source: destination,
        destination: source,
    };
    let pseudo = sum16(&source) + sum16(&destination) + u32::from(number::TCP) + u32::from(SEGMENT);
    [u64::from(pseudo), end, tcp_at as u64, 0]
}

/// Sends a frame back to where it came from.
#[inline(always)]
pub(crate) fn turn_around<F: Frame>(frame: &mut F) {
    if let Some(ethernet) = frame.get_mut::<Ethernet>(0) {
        core::mem::swap(&mut ethernet.source, &mut ethernet.destination);
    }
}

#[inline(always)]
fn address<F: Frame>(frame: &mut F, to: Mac, from: Mac) {
    if let Some(ethernet) = frame.get_mut::<Ethernet>(0) {
        ethernet.destination = to;
        ethernet.source = from;
    }
}

/// A checksum after one 16-bit word changed: RFC 1624 equation 3.
#[inline(always)]
pub(crate) const fn adjusted(checksum: [u8; 2], was: [u8; 2], is: [u8; 2]) -> [u8; 2] {
    let sum = !u16::from_be_bytes(checksum) as u32
        + !u16::from_be_bytes(was) as u32
        + u16::from_be_bytes(is) as u32;
    folded(sum)
}

/// The checksum of a sum of 16-bit words: RFC 1071.
#[inline(always)]
const fn folded(sum: u32) -> [u8; 2] {
    let once = (sum & 0xffff) + (sum >> 16);
    let twice = (once & 0xffff) + (once >> 16);
    (!(twice as u16)).to_be_bytes()
}

#[inline(always)]
const fn sum16(bytes: &[u8; 16]) -> u32 {
    let mut sum = 0;
    let mut at = 0;
    while at < 16 {
        sum += u16::from_be_bytes([bytes[at], bytes[at + 1]]) as u32;
        at += 2;
    }
    sum
}

#[inline(always)]
const fn sum_pair(bytes: [u8; 4]) -> u32 {
    u16::from_be_bytes([bytes[0], bytes[1]]) as u32 + u16::from_be_bytes([bytes[2], bytes[3]]) as u32
}

#[inline(always)]
const fn sum_option(mac: Mac) -> u32 {
    u16::from_be_bytes([2, 1]) as u32
        + u16::from_be_bytes([mac[0], mac[1]]) as u32
        + u16::from_be_bytes([mac[2], mac[3]]) as u32
        + u16::from_be_bytes([mac[4], mac[5]]) as u32
}
