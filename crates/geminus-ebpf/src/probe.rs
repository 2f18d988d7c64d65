//! The way of checks: a marked packet to a server leaves as a client's to the cluster address, and its answer comes back as
//! one from the server. Decides nothing: [`ProbeEntry`] does.

use aya_ebpf::bindings::{BPF_F_MARK_MANGLED_0, BPF_F_PSEUDO_HDR, BPF_F_RECOMPUTE_CSUM};
use aya_ebpf::helpers::bpf_csum_diff;
use aya_ebpf::macros::{classifier, map};
use aya_ebpf::maps::Array;
use aya_ebpf::programs::TcContext;
use geminus_packet::probe::{Note, ProbeEntry, Return, Seen, slot};
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
    if let Some(slot) = slot(mark) {
        let _ = out(&ctx, slot);
    }
    NEXT
}

/// One packet into the machine.
#[classifier]
pub fn geminus_probe_in(ctx: TcContext) -> i32 {
    match back(&ctx) {
        Some(Return::OwnName) => DROP,
        _ => NEXT,
    }
}

#[inline(always)]
fn out(ctx: &TcContext, slot: u32) -> Option<()> {
    let entry = PROBES.get(slot)?;
    let seen = seen(ctx, IP_AT, is_ipv6(ctx)?, Way::Out)?;
    if !entry.leaves(&seen) {
        return None;
    }
    if let Some(place) = RETURNS.get(seen.index()?) {
        place.store(u64::from(slot) + 1);
    }
    rewrite(ctx, &seen, Way::Out, [entry.cluster[0].load(), entry.cluster[1].load()])?;
    let mac = entry.mac.load();
    if mac != 0 {
        ctx.store(0, &geminus_packet::tables::word_mac(mac), 0).ok()?;
    }
    Some(())
}

#[inline(always)]
fn back(ctx: &TcContext) -> Option<Return> {
    let is_ipv6 = is_ipv6(ctx)?;
    if let Some((note, at)) = report(ctx, is_ipv6) {
        let sent = seen(ctx, at, is_ipv6, Way::Out)?;
        entry_of(&sent)?.reported(&sent, note);
        return None;
    }
    let seen = seen(ctx, IP_AT, is_ipv6, Way::In)?;
    let entry = entry_of(&seen)?;
    let what = entry.returns(&seen);
    if what == Return::Answer {
        rewrite(ctx, &seen, Way::In, [entry.server[0].load(), entry.server[1].load()])?;
    }
    Some(what)
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
