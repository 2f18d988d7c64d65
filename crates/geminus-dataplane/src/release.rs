//! The few questions to the kernel that aya has no call for.
#![allow(
    unsafe_code,
    reason = "raw system calls: interface names, bpf links of others, netlink, memory barriers"
)]

use std::ffi::CString;
use std::io;
use std::mem;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};

use aya_obj::generated::{bpf_attr, bpf_cmd, bpf_link_info, bpf_link_type};

/// Index of an interface in this network namespace.
pub(crate) fn interface_index(name: &str) -> Option<u32> {
    let name = CString::new(name).ok()?;
    // SAFETY: a terminated string that outlives the call.
    match unsafe { libc::if_nametoindex(name.as_ptr()) } {
        0 => None,
        index => Some(index),
    }
}

/// Returns when no program that was running when it was called still is: `MEMBARRIER_CMD_GLOBAL` waits for an RCU grace
/// period, and XDP programs run within RCU read sections (`kernel/sched/membarrier.c`).
pub(crate) fn wait_for_running_programs() {
    const MEMBARRIER_CMD_GLOBAL: libc::c_int = 1;
    // SAFETY: touches no memory.
    let done = unsafe { libc::syscall(libc::SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0) };
    if done != 0 {
        // Not on kernels with `nohz_full` CPUs: a program runs for microseconds, so a pause of many ticks is long enough.
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}

/// Removes whatever XDP program is attached to an interface.
pub(crate) fn foreign(interface: u32) -> io::Result<()> {
    for link in xdp_links_of(interface)? {
        let mut attr = zeroed();
        attr.link_detach.link_fd = link.as_raw_fd() as u32;
        bpf(bpf_cmd::BPF_LINK_DETACH, &mut attr)?;
    }
    detach_by_netlink(interface)
}

fn xdp_links_of(interface: u32) -> io::Result<Vec<OwnedFd>> {
    let mut links = Vec::new();
    let mut id = 0;
    loop {
        let mut attr = zeroed();
        attr.__bindgen_anon_6.__bindgen_anon_1.start_id = id;
        match bpf(bpf_cmd::BPF_LINK_GET_NEXT_ID, &mut attr) {
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => return Ok(links),
            other => other?,
        };
        // SAFETY: the kernel wrote the next id there.
        id = unsafe { attr.__bindgen_anon_6.next_id };
        let mut attr = zeroed();
        attr.__bindgen_anon_6.__bindgen_anon_1.link_id = id;
        let Ok(fd) = bpf(bpf_cmd::BPF_LINK_GET_FD_BY_ID, &mut attr) else { continue };
        // SAFETY: a descriptor that the kernel just made for us.
        let link = unsafe { OwnedFd::from_raw_fd(fd) };
        // SAFETY: plain data, for which zeros are valid.
        let mut info: bpf_link_info = unsafe { mem::zeroed() };
        let mut attr = zeroed();
        attr.info.bpf_fd = link.as_raw_fd() as u32;
        attr.info.info_len = size_of::<bpf_link_info>() as u32;
        attr.info.info = &raw mut info as u64;
        bpf(bpf_cmd::BPF_OBJ_GET_INFO_BY_FD, &mut attr)?;
        // SAFETY: every part of the union is plain numbers; those of an XDP link mean something only if it is one.
        let on = unsafe { info.__bindgen_anon_1.xdp.ifindex };
        if info.type_ == bpf_link_type::BPF_LINK_TYPE_XDP as u32 && on == interface {
            links.push(link);
        }
    }
}

fn zeroed() -> bpf_attr {
    // SAFETY: plain data, for which zeros are valid and what the kernel wants in unused parts.
    unsafe { mem::zeroed() }
}

fn bpf(command: bpf_cmd, attr: &mut bpf_attr) -> io::Result<i32> {
    // SAFETY: the attributes are as large as said and outlive the call; pointers in them are the callers' own.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, &raw mut *attr, size_of::<bpf_attr>()) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result as i32) }
}

/// `ip link set dev … xdp off`: RTM_SETLINK with IFLA_XDP { IFLA_XDP_FD = -1 }.
fn detach_by_netlink(interface: u32) -> io::Result<()> {
    const IFLA_XDP: u16 = 43;
    const IFLA_XDP_FD: u16 = 1;
    let mut message = Vec::new();
    message.extend_from_slice(&44_u32.to_ne_bytes());
    message.extend_from_slice(&libc::RTM_SETLINK.to_ne_bytes());
    message.extend_from_slice(&((libc::NLM_F_REQUEST | libc::NLM_F_ACK) as u16).to_ne_bytes());
    message.extend_from_slice(&[0; 8]);
    // struct ifinfomsg: family, padding, type, index, flags, change.
    message.extend_from_slice(&[0; 4]);
    message.extend_from_slice(&interface.to_ne_bytes());
    message.extend_from_slice(&[0; 8]);
    message.extend_from_slice(&12_u16.to_ne_bytes());
    message.extend_from_slice(&(IFLA_XDP | libc::NLA_F_NESTED as u16).to_ne_bytes());
    message.extend_from_slice(&8_u16.to_ne_bytes());
    message.extend_from_slice(&IFLA_XDP_FD.to_ne_bytes());
    message.extend_from_slice(&(-1_i32).to_ne_bytes());
    // SAFETY: makes a descriptor.
    let fd =
        unsafe { libc::socket(libc::AF_NETLINK, libc::SOCK_RAW | libc::SOCK_CLOEXEC, libc::NETLINK_ROUTE) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: just made, nobody else's.
    let socket = unsafe { OwnedFd::from_raw_fd(fd) };
    let mut answer = [0_u8; 512];
    // SAFETY: both buffers are as long as said.
    let received = unsafe {
        if libc::send(socket.as_raw_fd(), message.as_ptr().cast(), message.len(), 0) < 0 {
            return Err(io::Error::last_os_error());
        }
        libc::recv(socket.as_raw_fd(), answer.as_mut_ptr().cast(), answer.len(), 0)
    };
    if received < 20 {
        return Err(io::Error::last_os_error());
    }
    // struct nlmsgerr follows the header: 0 or a negative error number.
    let error = i32::from_ne_bytes([answer[16], answer[17], answer[18], answer[19]]);
    if error == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(-error)) }
}
