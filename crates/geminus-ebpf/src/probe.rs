//! The way of checks: a marked packet to a server leaves as a client's to the cluster address, and its answer comes back as
//! one from the server. Decides nothing: [`ProbeEntry`] does.

use aya_ebpf::bindings::{BPF_F_MARK_MANGLED_0, BPF_F_PSEUDO_HDR, BPF_F_RECOMPUTE_CSUM};
use aya_ebpf::helpers::bpf_csum_diff;
use aya_ebpf::macros::{classifier, map};
use aya_ebpf::maps::Array;
use aya_ebpf::programs::TcContext;
use geminus_packet::probe::{Leave, Note, ProbeEntry, Return, Seen, slot};
use geminus_packet::tables::{MAC_BITS, word_mac};
use geminus_packet::word::Word;

use crate::maps::MAPPABLE;

/// Checks under way.
#[map]
static PROBES: Array<ProbeEntry> = Array::with_max_entries(1, MAPPABLE);

/// The slot of the check that last used a protocol and port of our own, plus 1.
#[map]
static RETURNS: Array<Word> = Array::with_max_entries(1, 0);

/// To whoever is next (`TCX_NEXT`, and `TC_ACT_UNSPEC` of a filter).
const NEXT: i32 = -1;
/// To nobody (`TCX_DROP`, and `TC_ACT_SHOT` of a filter).
const DROP: i32 = 2;

/// Places in an Ethernet frame without a tag, and in IP headers.
const SENDER_AT: usize = 6;
const TYPE_AT: usize = 12;
const IP_AT: usize = 14;
const V4_LENGTH: usize = 20;
const V6_LENGTH: usize = 40;

const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;
const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMP: u8 = 1;
const ICMP6: u8 = 58;

/// Types of echo: request and reply, of ICMP and ICMPv6.
const ECHO: [u8; 2] = [8, 0];
const ECHO_6: [u8; 2] = [128, 129];

/// Types of messages about a packet that did not arrive: unreachable and time exceeded, of ICMP and ICMPv6.
const FAILED: [u8; 2] = [3, 11];
const FAILED_6: [u8; 2] = [1, 3];

/// Codes of unreachable that mean the port.
const PORT: u8 = 3;
const PORT_6: u8 = 4;

/// Which way a packet goes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Out,
    In,
}

/// One packet out of the machine.
#[classifier]
pub fn geminus_probe_out(ctx: TcContext) -> i32 {
    // SAFETY: the kernel gave the context, and the mark is a field of it.
    let mark = unsafe { (*ctx.skb.skb).mark };
    match slot(mark) {
        Some(slot) => out(&ctx, slot).unwrap_or(NEXT),
        None => NEXT,
    }
}

/// One packet into the machine.
#[classifier]
pub fn geminus_probe_in(ctx: TcContext) -> i32 {
    back(&ctx).unwrap_or(NEXT)
}

#[inline(always)]
fn out(ctx: &TcContext, slot: u32) -> Option<i32> {
    let entry = PROBES.get(slot)?;
    let seen = seen(ctx, IP_AT, is_ipv6(ctx)?, Way::Out)?;
    match entry.leaves(&seen) {
        Leave::Clients => {}
        Leave::Late => return Some(DROP),
        Leave::Other => return None,
    }
    if let Some(place) = RETURNS.get(seen.index()?) {
        place.store(u64::from(slot) + 1);
    }
    let cluster = both(&entry.cluster);
    if entry.crosses() {
        entry.crossed(address(ctx, seen.is_ipv6, Way::In)?);
        // It was counted as one that took the road: half of the way is none.
        if cross(ctx, &seen, both(&entry.source), cluster).is_none() {
            return Some(DROP);
        }
    } else {
        rewrite(ctx, &seen, Way::Out, cluster)?;
    }
    let mac = entry.mac.load();
    if mac != 0 {
        ctx.store(0, &word_mac(mac), 0).ok()?;
    }
    Some(NEXT)
}

#[inline(always)]
fn back(ctx: &TcContext) -> Option<i32> {
    let is_ipv6 = is_ipv6(ctx)?;
    if let Some((note, at)) = report(ctx, is_ipv6) {
        let sent = seen(ctx, at, is_ipv6, Way::Out)?;
        entry_of(&sent)?.reported(&sent, note);
        return None;
    }
    let seen = seen(ctx, IP_AT, is_ipv6, Way::In)?;
    let entry = entry_of(&seen)?;
    let server = both(&entry.server);
    if entry.crosses() {
        let mac = u64::from_le(ctx.load(SENDER_AT).ok()?) & MAC_BITS;
        let what = entry.returns_across(&seen, address(ctx, is_ipv6, Way::Out)?, mac);
        return match what {
            Return::Answer if cross(ctx, &seen, server, both(&entry.socket)).is_none() => Some(DROP),
            Return::OwnName => Some(DROP),
            Return::Answer | Return::Other => None,
        };
    }
    match entry.returns(&seen) {
        Return::Answer => rewrite(ctx, &seen, Way::In, server).map(|()| NEXT),
        Return::OwnName => Some(DROP),
        Return::Other => None,
    }
}

#[inline(always)]
fn both(words: &[Word; 2]) -> [u64; 2] {
    [words[0].load(), words[1].load()]
}

/// The address in the IP header that is the other host's if the packet goes this way.
#[inline(always)]
fn address(ctx: &TcContext, is_ipv6: bool, way: Way) -> Option<[u64; 2]> {
    let at = IP_AT + address_at(is_ipv6, way);
    if is_ipv6 { ctx.load(at).ok() } else { Some([u64::from(ctx.load::<u32>(at).ok()?), 0]) }
}

/// The check that last used the packet's protocol and port of our own.
#[inline(always)]
fn entry_of(seen: &Seen) -> Option<&'static ProbeEntry> {
    let slot = RETURNS.get(seen.index()?)?.load().checked_sub(1)?;
    PROBES.get(slot as u32)
}

#[inline(always)]
fn is_ipv6(ctx: &TcContext) -> Option<bool> {
    match u16::from_be(ctx.load::<u16>(TYPE_AT).ok()?) {
        IPV4 => Some(false),
        IPV6 => Some(true),
        _ => None,
    }
}

/// What an ICMP message says of a packet that it quotes, and where its IP header is.
#[inline(always)]
fn report(ctx: &TcContext, is_ipv6: bool) -> Option<(Note, usize)> {
    let (protocol_at, icmp, at) =
        if is_ipv6 { (IP_AT + 6, ICMP6, IP_AT + V6_LENGTH) } else { (IP_AT + 9, ICMP, IP_AT + V4_LENGTH) };
    if ctx.load::<u8>(protocol_at).ok()? != icmp {
        return None;
    }
    let [kind, code] = ctx.load::<[u8; 2]>(at).ok()?;
    let ([unreachable, exceeded], port) = if is_ipv6 { (FAILED_6, PORT_6) } else { (FAILED, PORT) };
    let note = if kind == exceeded {
        Note::ForwardedOn
    } else if kind != unreachable {
        return None;
    } else if code == port {
        Note::Refused
    } else {
        Note::Unreachable
    };
    Some((note, at + 8))
}

/// A packet of one of the protocols that checks use, with its IP header there; none: any other, or a fragment, or one with
/// options.
#[inline(always)]
fn seen(ctx: &TcContext, ip_at: usize, is_ipv6: bool, way: Way) -> Option<Seen> {
    let (protocol, address, at) = if is_ipv6 {
        let protocol = ctx.load::<u8>(ip_at + 6).ok()?;
        (protocol, ctx.load(ip_at + address_at(true, way)).ok()?, ip_at + V6_LENGTH)
    } else {
        let header: [u32; 5] = ctx.load(ip_at).ok()?;
        let [first, fragment, third, source, destination] = header.map(u32::to_be);
        // Version 4, five words; no more fragments, offset 0.
        if first >> 24 != 0x45 || fragment & 0x3fff != 0 {
            return None;
        }
        let address = if way == Way::Out { destination } else { source };
        ((third >> 16) as u8, [u64::from(address.to_be()), 0], ip_at + V4_LENGTH)
    };
    let (own, port) = match protocol {
        TCP | UDP => {
            let [source, destination] = ctx.load::<[u16; 2]>(at).ok()?.map(u16::from_be);
            if way == Way::Out { (source, destination) } else { (destination, source) }
        }
        ICMP | ICMP6 => {
            let [kind, code] = ctx.load::<[u8; 2]>(at).ok()?;
            let [request, reply] = if is_ipv6 { ECHO_6 } else { ECHO };
            if code != 0 || kind != if way == Way::Out { request } else { reply } {
                return None;
            }
            (u16::from_be(ctx.load::<u16>(at + 4).ok()?), 0)
        }
        _ => return None,
    };
    Some(Seen { is_ipv6, protocol, address, own, port })
}

/// Where in the IP header the other host's address is.
#[inline(always)]
const fn address_at(is_ipv6: bool, way: Way) -> usize {
    match (is_ipv6, way) {
        (false, Way::In) => 12,
        (false, Way::Out) => 16,
        (true, Way::In) => 8,
        (true, Way::Out) => 24,
    }
}

/// Puts another address in the place of the other host's, and the checksums right: also one that the card is still to
/// complete. A UDP checksum of 0 stays 0.
#[inline(always)]
fn rewrite(ctx: &TcContext, seen: &Seen, way: Way, to: [u64; 2]) -> Option<()> {
    let header = IP_AT + if seen.is_ipv6 { V6_LENGTH } else { V4_LENGTH };
    let pseudo = u64::from(BPF_F_PSEUDO_HDR);
    let (checksum, flags) = match seen.protocol {
        TCP => (header + 16, pseudo),
        UDP => (header + 6, pseudo | u64::from(BPF_F_MARK_MANGLED_0)),
        ICMP6 => (header + 2, pseudo),
        _ => (0, 0),
    };
    let at = IP_AT + address_at(seen.is_ipv6, way);
    if seen.is_ipv6 {
        let (mut from, mut to) = (seen.address, to);
        // IPv6 has no checksum of its own that makes up for the address in what the card counted: the store does.
        ctx.store(at, &to, u64::from(BPF_F_RECOMPUTE_CSUM)).ok()?;
        // SAFETY: both are 16 readable bytes.
        let difference =
            unsafe { bpf_csum_diff(from.as_mut_ptr().cast(), 16, to.as_mut_ptr().cast(), 16, 0) };
        ctx.l4_csum_replace(checksum, 0, difference as u64, flags).ok()
    } else {
        let [from, to] = [seen.address[0] as u32, to[0] as u32];
        ctx.store(at, &to, 0).ok()?;
        ctx.l3_csum_replace(IP_AT + 10, from.into(), to.into(), 4).ok()?;
        if checksum != 0 {
            ctx.l4_csum_replace(checksum, from.into(), to.into(), flags | 4).ok()?;
        }
        Some(())
    }
}

/// Makes a packet of one family the same packet of the other, between these addresses.
#[inline(always)]
fn cross(ctx: &TcContext, seen: &Seen, source: [u64; 2], destination: [u64; 2]) -> Option<()> {
    if seen.is_ipv6 {
        to_ipv4(ctx, seen.protocol, [source[0] as u32, destination[0] as u32])
    } else {
        to_ipv6(ctx, seen.protocol, [source[0], source[1], destination[0], destination[1]])
    }
}

/// RFC 7915, section 4, of a packet without options.
#[inline(always)]
fn to_ipv6(ctx: &TcContext, protocol: u8, to: [u64; 4]) -> Option<()> {
    let length = u32::from(u16::from_be(ctx.load(IP_AT + 2).ok()?)).checked_sub(V4_LENGTH as u32)?;
    let hops = u32::from(ctx.load::<u8>(IP_AT + 8).ok()?);
    let next = if protocol == ICMP { ICMP6 } else { protocol };
    // Words as they are summed: put together of smaller ones, they would lie where the verifier wants none.
    let from = [ctx.load(IP_AT + 12).ok()?, 0, 0, 0];
    carry_checksum(ctx, protocol, IP_AT + V4_LENGTH, length, [from, to])?;
    ctx.change_proto(IPV6.to_be(), 0).ok()?;
    ctx.store(TYPE_AT, &IPV6.to_be(), 0).ok()?;
    let first = [0x6000_0000_u32.to_be(), (length << 16 | u32::from(next) << 8 | hops).to_be()];
    ctx.store(IP_AT, &first, u64::from(BPF_F_RECOMPUTE_CSUM)).ok()?;
    ctx.store(IP_AT + 8, &to, u64::from(BPF_F_RECOMPUTE_CSUM)).ok()
}

/// RFC 7915, section 5, of a packet without extension headers.
#[inline(always)]
fn to_ipv4(ctx: &TcContext, protocol: u8, to: [u32; 2]) -> Option<()> {
    let second = u32::from_be(ctx.load::<u32>(IP_AT + 4).ok()?);
    let (length, hops) = (second >> 16, second & 0xff);
    let protocol4 = if protocol == ICMP6 { ICMP } else { protocol };
    let from: [u64; 4] = ctx.load(IP_AT + 8).ok()?;
    let total = length + V4_LENGTH as u32;
    // One datagram of its own, which nobody may divide: it needs no number.
    let first = [(0x4500_0000 | total & 0xffff).to_be(), 0x4000_u32.to_be()];
    let third = hops << 24 | u32::from(protocol4) << 16;
    let sum = [first[0], first[1], third.to_be(), to[0], to[1]].map(u64::from).iter().sum::<u64>();
    let checksum = u32::from(u16::from_be(!folded(sum)));
    let addresses = [u64::from(to[0]) | u64::from(to[1]) << 32, 0, 0, 0];
    carry_checksum(ctx, protocol, IP_AT + V6_LENGTH, length, [from, addresses])?;
    ctx.change_proto(IPV4.to_be(), 0).ok()?;
    ctx.store(TYPE_AT, &IPV4.to_be(), 0).ok()?;
    let header = [first[0], first[1], (third | checksum).to_be(), to[0], to[1]];
    ctx.store(IP_AT, &header, u64::from(BPF_F_RECOMPUTE_CSUM)).ok()
}

/// A sum of 32-bit words as the Internet checksum's sum of 16-bit words (RFC 1071), in the order that they are in memory.
#[inline(always)]
const fn folded(sum: u64) -> u16 {
    let sum = (sum & 0xffff_ffff) + (sum >> 32);
    let sum = (sum & 0xffff) + (sum >> 16 & 0xffff) + (sum >> 32);
    let sum = (sum & 0xffff) + (sum >> 16);
    ((sum & 0xffff) + (sum >> 16)) as u16
}

/// Puts a checksum right of what is `at` and so long, between other addresses and of the other family; type of an echo too.
/// Length and protocol count the same in both pseudo headers, but ICMP has none over IPv4.
#[inline(always)]
fn carry_checksum(
    ctx: &TcContext,
    protocol: u8,
    at: usize,
    length: u32,
    [mut from, mut to]: [[u64; 4]; 2],
) -> Option<()> {
    let mut flags = u64::from(BPF_F_PSEUDO_HDR);
    let place = match protocol {
        TCP => at + 16,
        UDP => {
            let place = at + 6;
            if ctx.load::<u16>(place).ok()? == 0 {
                // RFC 8200, section 8.1: over IPv6 there is always one.
                return None;
            }
            flags |= u64::from(BPF_F_MARK_MANGLED_0);
            place
        }
        _ => {
            let [request, reply] = ECHO;
            let [request6, reply6] = ECHO_6;
            let kind = ctx.load::<u8>(at).ok()?;
            let pseudo = u64::from(length.to_be()) | u64::from(u32::from(ICMP6).to_be()) << 32;
            let (other, of_from, of_to) = if protocol == ICMP {
                let other = if kind == request { request6 } else { reply6 };
                from = [0; 4];
                (other, 0, pseudo)
            } else {
                let other = if kind == request6 { request } else { reply };
                to = [0; 4];
                (other, pseudo, 0)
            };
            ctx.store(at, &other, u64::from(BPF_F_RECOMPUTE_CSUM)).ok()?;
            let place = at + 2;
            let [kind, other] = [kind, other].map(|kind| u64::from(u32::from_ne_bytes([kind, 0, 0, 0])));
            replace(ctx, place, [of_from, kind, 0, 0], [of_to, other, 0, 0], flags)?;
            place
        }
    };
    replace(ctx, place, from, to, flags)
}

/// Makes a checksum one over other words.
#[inline(always)]
fn replace(ctx: &TcContext, place: usize, mut from: [u64; 4], mut to: [u64; 4], flags: u64) -> Option<()> {
    let length = size_of::<[u64; 4]>() as u32;
    // SAFETY: both are 32 readable bytes.
    let difference =
        unsafe { bpf_csum_diff(from.as_mut_ptr().cast(), length, to.as_mut_ptr().cast(), length, 0) };
    ctx.l4_csum_replace(place, 0, difference as u64, flags).ok()
}
