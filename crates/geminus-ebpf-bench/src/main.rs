//! The kernel's side of the measurement: what a repeated test-run runs.
//!
//! A repeated test-run gives a program its own output back. So it runs [`feed`], which writes the header afresh, enters
//! the program under test by a tail call from a function of its own, so that control comes back, and counts what came
//! back. The other programs stand in the same slot to be measured against.
#![no_std]
#![no_main]

mod case;

use aya_ebpf::EbpfContext as _;
use aya_ebpf::bindings::{xdp_action, xdp_md};
use aya_ebpf::helpers::{bpf_redirect, bpf_tail_call};
use aya_ebpf::macros::{map, xdp};
use aya_ebpf::maps::{Array, ProgramArray};
use aya_ebpf::programs::XdpContext;

use case::{
    ACTIONS, ADDRESS_BITS, Case, FIRST_PORT, INTERFACE, MASK, NEXT, PLACE, PLACE_V4, PLACE_V6, PORTS,
    REWRITE, SOURCE, STRIDE, SUMMED, TEMPLATE_WORDS, TWICE,
};

const V4_IDENTIFICATION: usize = 18;
/// Source and destination address.
const V4_ADDRESSES: usize = 26;
const V4_PORTS: usize = 34;
const V4_SEQUENCE: usize = 38;
const V4_FLAGS: usize = 47;
/// Lower half of the source address.
const V6_SOURCE: usize = 30;
const V6_PORTS: usize = 54;
const V6_SEQUENCE: usize = 58;
const V6_FLAGS: usize = 67;
const SYN: u8 = 2;
const ACK: u8 = 16;
const IPV4: u16 = 0x0800_u16.to_be();
const IPV6: u16 = 0x86dd_u16.to_be();

/// What to feed.
#[map]
static CASE: Array<Case> = Array::with_max_entries(1, 0);

/// The program under test.
#[map]
static SLOT: ProgramArray = ProgramArray::with_max_entries(1, 0);

/// What came back, by XDP action.
#[map]
static ACTIONS_SEEN: Array<[u64; ACTIONS]> = Array::with_max_entries(1, 0);

/// Feeds the program in the slot one frame of the case.
#[xdp]
pub fn feed(ctx: XdpContext) -> u32 {
    let (Some(case), Some(seen)) = (CASE.get_ptr_mut(0), ACTIONS_SEEN.get_ptr_mut(0)) else {
        return xdp_action::XDP_ABORTED;
    };
    // SAFETY: the maps gave the pointers, and nobody else touches their entries while a test-run goes on.
    let (case, seen) = unsafe { (&mut *case, &mut *seen) };
    if write_headers(&ctx, case).is_none() {
        return xdp_action::XDP_ABORTED;
    }
    let action = enter(ctx.as_ptr().cast());
    seen[action as usize & (ACTIONS - 1)] += 1;
    action
}

/// Tail-calls the slot. A function of its own: what the callee returns is returned here.
#[inline(never)]
fn enter(ctx: *mut xdp_md) -> u32 {
    let action = xdp_action::XDP_ABORTED;
    // SAFETY: the context is the program's own. What follows the call runs only if the slot is empty; the volatile read
    // forbids to conclude that the result is always the one written here.
    unsafe {
        bpf_tail_call(ctx.cast(), (&raw const SLOT).cast_mut().cast(), 0);
        (&raw const action).read_volatile()
    }
}

#[inline(always)]
fn write_headers(ctx: &XdpContext, case: &mut Case) -> Option<()> {
    let mut at = 0;
    while at < TEMPLATE_WORDS && (at as u64) < case[REWRITE] {
        put(ctx, at * 8, case[at])?;
        at += 1;
    }
    if case[REWRITE] == 0 {
        put(ctx, 0, case[0])?;
        put(ctx, 8, case[1] as u32)?;
    }
    let twice = case[TWICE] & 1;
    let number = (case[NEXT] >> twice).wrapping_mul(case[STRIDE]) & case[MASK];
    let flags = if case[NEXT] & 1 == 0 { SYN } else { ACK };
    case[NEXT] += 1;
    let in_address = number & ((1 << (case[ADDRESS_BITS] & 31)) - 1);
    let port = (FIRST_PORT + (number >> (case[ADDRESS_BITS] & 31))) as u16;
    let ports = case[PORTS] as u32 | u32::from(port.to_be());
    match case[PLACE] {
        PLACE_V4 => {
            put(ctx, V4_IDENTIFICATION, !(in_address as u16))?;
            put(ctx, V4_ADDRESSES, case[SOURCE] | (in_address & 0xffff) << 16)?;
            if twice != 0 {
                put(ctx, V4_FLAGS, flags)?;
            }
            if case[SUMMED] != 0 {
                put(ctx, V4_SEQUENCE, complement(port, in_address))?;
            }
            put(ctx, V4_PORTS, ports)
        }
        PLACE_V6 => {
            put(ctx, V6_SOURCE, case[SOURCE] | (in_address & 0xffff) << 48)?;
            if twice != 0 {
                put(ctx, V6_FLAGS, flags)?;
            }
            if case[SUMMED] != 0 {
                put(ctx, V6_SEQUENCE, complement(port, in_address))?;
            }
            put(ctx, V6_PORTS, ports)
        }
        _ => Some(()),
    }
}

/// What makes up for port and address in a sum of 16-bit words.
#[inline(always)]
fn complement(port: u16, in_address: u64) -> u32 {
    !(u32::from(port.to_be()) | (in_address as u32) << 16)
}

/// A pointer into the frame, checked.
#[inline(always)]
fn at<T>(ctx: &XdpContext, at: usize) -> Option<*mut T> {
    let start = ctx.data() + at;
    (start + size_of::<T>() <= ctx.data_end()).then_some(start as *mut T)
}

#[inline(always)]
fn put<T>(ctx: &XdpContext, place: usize, value: T) -> Option<()> {
    // SAFETY: checked to lie in the frame.
    unsafe { at::<T>(ctx, place)?.write_unaligned(value) };
    Some(())
}

#[inline(always)]
fn get<T: Copy>(ctx: &XdpContext, place: usize) -> Option<T> {
    // SAFETY: checked to lie in the frame.
    Some(unsafe { at::<T>(ctx, place)?.read_unaligned() })
}

/// Sends frames of the case out of an interface, where live frames go in.
#[xdp]
pub fn source(ctx: XdpContext) -> u32 {
    let Some(case) = CASE.get_ptr_mut(0) else { return xdp_action::XDP_ABORTED };
    // SAFETY: the map gave the pointer, and nobody else touches its entry while a test-run goes on.
    let case = unsafe { &mut *case };
    if write_headers(&ctx, case).is_none() {
        return xdp_action::XDP_ABORTED;
    }
    // SAFETY: takes two numbers.
    unsafe { bpf_redirect(case[INTERFACE] as u32, 0) as u32 }
}

/// Frames that came to the end of the line.
#[map]
static ARRIVED: Array<u64> = Array::with_max_entries(1, 0);

/// Counts and drops: the end of the line.
#[xdp]
pub fn sink(_ctx: XdpContext) -> u32 {
    if let Some(arrived) = ARRIVED.get_ptr_mut(0) {
        // SAFETY: the map gave the pointer, and all frames arrive on one CPU.
        unsafe { *arrived += 1 };
    }
    xdp_action::XDP_DROP
}

/// Returns at once: what every other figure is net of.
#[xdp]
pub fn empty(_ctx: XdpContext) -> u32 {
    xdp_action::XDP_PASS
}

/// The least that can be called MAC forwarding: is it IP, then swap the two hardware addresses and send.
#[xdp]
pub fn rewrite(ctx: XdpContext) -> u32 {
    try_rewrite(&ctx).unwrap_or(xdp_action::XDP_PASS)
}

#[inline(always)]
fn try_rewrite(ctx: &XdpContext) -> Option<u32> {
    let ether_type: u16 = get(ctx, 12)?;
    let version: u8 = get(ctx, 14)?;
    match ether_type {
        IPV4 if version == 0x45 => get::<[u8; 20]>(ctx, 14).map(|_| ())?,
        IPV6 if version >> 4 == 6 => get::<[u8; 40]>(ctx, 14).map(|_| ())?,
        _ => return None,
    }
    let destination: [u8; 6] = get(ctx, 0)?;
    let source: [u8; 6] = get(ctx, 6)?;
    put(ctx, 0, source)?;
    put(ctx, 6, destination)?;
    Some(xdp_action::XDP_TX)
}

/// As many cache lines as a flow table of 2 Mi slots has.
#[map]
static LINES: Array<[u64; 8]> = Array::with_max_entries(1 << 19, 0);

/// Reads one of these lines, another for each flow: what a packet pays at least for being remembered.
#[xdp]
pub fn recall(ctx: XdpContext) -> u32 {
    try_recall(&ctx).unwrap_or(xdp_action::XDP_ABORTED)
}

#[inline(always)]
fn try_recall(ctx: &XdpContext) -> Option<u32> {
    let source: u32 = get(ctx, V4_ADDRESSES)?;
    let ports: u32 = get(ctx, V4_PORTS)?;
    let mixed = (u64::from(source) << 32 | u64::from(ports)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let line = LINES.get_ptr((mixed >> 45) as u32)?;
    // SAFETY: the map gave the pointer; volatile, because nothing is done with what is read.
    unsafe { line.cast::<u64>().read_volatile() };
    Some(xdp_action::XDP_TX)
}

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo) -> ! {
    loop {}
}

/// Helpers are open to GPL-compatible programs only.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
