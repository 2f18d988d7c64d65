//! The few words the lab speaks to `bpf(2)`; the only unsafe code of the crate.
//!
//! `XDP_TX` on a veth needs an XDP program on the peer end too, so the switch's ports get a program of two
//! instructions. The kernel's own run-time statistics tell what the balancer's program costs under real traffic.
#![allow(
    unsafe_code,
    reason = "bpf(2) has no safe wrapper without linking the data plane, which the lab must not do"
)]

use std::io;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};

use anyhow::{Context as _, Result};

// Numbers of include/uapi/linux/bpf.h and if_link.h.
const BPF_PROG_LOAD: i64 = 5;
const BPF_PROG_GET_FD_BY_ID: i64 = 13;
const BPF_OBJ_GET_INFO_BY_FD: i64 = 15;
const BPF_LINK_CREATE: i64 = 28;
const BPF_ENABLE_STATS: i64 = 32;
const BPF_PROG_TYPE_XDP: u32 = 6;
const BPF_XDP: u32 = 37;
const BPF_STATS_RUN_TIME: u32 = 0;
const XDP_FLAGS_DRV_MODE: u32 = 1 << 2;

/// A loaded XDP program that passes every frame.
#[derive(Debug)]
pub struct PassProgram(OwnedFd);

/// An attached program; detached when dropped.
#[derive(Debug)]
pub struct Attached(#[allow(dead_code, reason = "held for its drop")] OwnedFd);

/// While it lives the kernel counts runs and run time of every BPF program.
#[derive(Debug)]
pub struct RunStatistics(#[allow(dead_code, reason = "held for its drop")] OwnedFd);

/// How often a program ran and how long, since it was loaded, while statistics were on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Runs {
    /// Runs: packets seen.
    pub count: u64,
    /// Nanoseconds in all.
    pub nanoseconds: u64,
}

impl PassProgram {
    /// Loads it.
    ///
    /// # Errors
    /// When the kernel refuses, mostly for want of a capability.
    pub fn load() -> Result<Self> {
        #[repr(C)]
        #[derive(Default)]
        struct Load {
            program_type: u32,
            instruction_count: u32,
            instructions: u64,
            license: u64,
            log_level: u32,
            log_size: u32,
            log_buffer: u64,
            kernel_version: u32,
            flags: u32,
            name: [u8; 16],
        }
        // r0 = XDP_PASS; exit
        let instructions: [u64; 2] = [0x0000_0002_0000_00b7, 0x0000_0000_0000_0095];
        let mut load = Load {
            program_type: BPF_PROG_TYPE_XDP,
            instruction_count: 2,
            instructions: instructions.as_ptr().addr() as u64,
            license: c"GPL".as_ptr().addr() as u64,
            name: *b"lab_pass\0\0\0\0\0\0\0\0",
            ..Load::default()
        };
        let fd = bpf(BPF_PROG_LOAD, &mut load).context("cannot load the pass program")?;
        Ok(Self(owned(fd)))
    }

    /// Attaches it in native mode to the interface with this index in the calling thread's network namespace.
    ///
    /// # Errors
    /// When the hook is occupied or the driver has no native XDP.
    pub fn attach(&self, interface: u32) -> Result<Attached> {
        #[repr(C)]
        struct Create {
            program: u32,
            interface: u32,
            attach_type: u32,
            flags: u32,
            rest: [u64; 6],
        }
        let program = self.0.as_raw_fd().cast_unsigned();
        let mut create =
            Create { program, interface, attach_type: BPF_XDP, flags: XDP_FLAGS_DRV_MODE, rest: [0; 6] };
        let fd = bpf(BPF_LINK_CREATE, &mut create).context("cannot attach the pass program")?;
        Ok(Attached(owned(fd)))
    }
}

impl RunStatistics {
    /// Turns statistics on until the value is dropped.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn enable() -> Result<Self> {
        let mut kind = BPF_STATS_RUN_TIME;
        let fd = bpf(BPF_ENABLE_STATS, &mut kind).context("cannot turn on BPF run statistics")?;
        Ok(Self(owned(fd)))
    }
}

/// Run statistics of the program with this id.
///
/// # Errors
/// When there is no such program.
pub fn runs_of(program_id: u32) -> Result<Runs> {
    /// `struct bpf_prog_info` up to what is read here; field names of the kernel.
    #[repr(C)]
    struct Info {
        before: [u8; 192],
        run_time_ns: u64,
        run_cnt: u64,
    }
    #[repr(C)]
    struct GetInfo {
        fd: u32,
        length: u32,
        info: u64,
    }
    let mut get_fd = [program_id, 0, 0, 0];
    let fd = owned(bpf(BPF_PROG_GET_FD_BY_ID, &mut get_fd).context("cannot open the program")?);
    let mut info = Info { before: [0; 192], run_time_ns: 0, run_cnt: 0 };
    let pointer = &raw mut info;
    // The kernel writes to `info` through this integer.
    let address = pointer.expose_provenance() as u64;
    let mut get =
        GetInfo { fd: fd.as_raw_fd().cast_unsigned(), length: size_of::<Info>() as u32, info: address };
    bpf(BPF_OBJ_GET_INFO_BY_FD, &mut get).context("cannot read the program's statistics")?;
    // SAFETY: `pointer` comes from the live local `info`; the volatile read sees what the kernel wrote.
    let info = unsafe { pointer.read_volatile() };
    Ok(Runs { count: info.run_cnt, nanoseconds: info.run_time_ns })
}

fn bpf<T>(command: i64, attributes: &mut T) -> io::Result<i32> {
    // SAFETY: `attributes` is a live `repr(C)` prefix of `union bpf_attr` with its true size; every address inside it
    // points at a value that the caller keeps alive across the call.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, &raw mut *attributes, size_of::<T>()) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result as i32) }
}

fn owned(fd: i32) -> OwnedFd {
    // SAFETY: `fd` was just returned by bpf(2) and nobody else has it.
    unsafe { OwnedFd::from_raw_fd(fd) }
}
