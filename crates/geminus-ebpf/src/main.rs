//! The kernel's home of the packet path: map statics, pointer arithmetic, verdict to XDP action. Decides nothing.
#![no_std]
#![no_main]

mod maps;
mod probe;
mod xdp_frame;

use aya_ebpf::bindings::xdp_action;
use aya_ebpf::helpers::{bpf_jiffies64, bpf_ktime_get_ns, bpf_redirect};
use aya_ebpf::macros::{map, xdp};
use aya_ebpf::maps::Array;
use aya_ebpf::programs::XdpContext;
use geminus_packet::tables::Ticks;
use geminus_packet::verdict::{Kind, Verdict};

use maps::KernelTables;
use xdp_frame::XdpFrame;

/// One frame.
#[xdp]
pub fn geminus(ctx: XdpContext) -> u32 {
    let mut frame = XdpFrame::new(&ctx);
    let globals = maps::globals();
    let tables = KernelTables { globals, question: frame.question(globals) };
    // SAFETY: takes nothing and reads a counter.
    let now = Ticks(unsafe { bpf_jiffies64() });
    let verdict = geminus_packet::dispatch(&mut frame, &tables, now);
    if tables.question != 0 {
        frame.tell(verdict);
    }
    match verdict.kind() {
        Kind::Pass | Kind::Local => xdp_action::XDP_PASS,
        Kind::Drop => xdp_action::XDP_DROP,
        Kind::Answer => xdp_action::XDP_TX,
        Kind::Forward => {
            let interface = verdict.target().interface;
            if interface == 0 || interface == ctx.ingress_ifindex() as u32 {
                xdp_action::XDP_TX
            } else {
                // SAFETY: takes two numbers.
                unsafe { bpf_redirect(interface, 0) as u32 }
            }
        }
    }
}

/// One frame on an interface that leads to partners alone: theirs are answered or kept away, all else passes.
#[xdp]
pub fn geminus_twin(ctx: XdpContext) -> u32 {
    let mut frame = XdpFrame::new(&ctx);
    let tables = KernelTables { globals: maps::globals(), question: 0 };
    // SAFETY: takes nothing and reads a counter.
    let now = Ticks(unsafe { bpf_jiffies64() });
    match geminus_packet::dispatch_twin(&mut frame, &tables, now).map(Verdict::kind) {
        Some(Kind::Drop) => xdp_action::XDP_DROP,
        Some(Kind::Answer) => xdp_action::XDP_TX,
        Some(Kind::Pass | Kind::Local | Kind::Forward) | None => xdp_action::XDP_PASS,
    }
}

/// Where `geminus_clock` leaves what it read: jiffies and nanoseconds of the monotonic clock.
#[map]
static CLOCK: Array<[u64; 2]> = Array::with_max_entries(1, maps::MAPPABLE);

/// Reads the two clocks at once; user space runs it by test-run to know what a jiffy is.
#[xdp]
pub fn geminus_clock(_ctx: XdpContext) -> u32 {
    if let Some(clock) = CLOCK.get_ptr_mut(0) {
        // SAFETY: the map gave the pointer; only one test-run at a time writes it.
        unsafe { *clock = [bpf_jiffies64(), bpf_ktime_get_ns()] };
    }
    xdp_action::XDP_PASS
}

/// Lets everything through: for the far end of a veth pair, which takes frames sent by XDP only with a program of its own.
#[xdp]
pub fn geminus_pass(_ctx: XdpContext) -> u32 {
    xdp_action::XDP_PASS
}

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo) -> ! {
    loop {}
}

/// Helpers are open to GPL-compatible programs only.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
