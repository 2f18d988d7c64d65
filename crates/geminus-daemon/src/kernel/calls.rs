//! The calls that no safe wrapper offers: packet and raw sockets, the groups of a peer, the heap's unused rest, a thread
//! that the scheduler prefers.
#![allow(
    unsafe_code,
    reason = "AF_PACKET, raw sockets, classic BPF filters, SO_PEERGROUPS, AsyncFd, scheduling and locked memory have no \
              safe wrapper"
)]

use std::io;
use std::mem::{size_of, zeroed};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use netlink_sys::Socket;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// One instruction of classic BPF: operation, jump if true, jump if false, operand.
pub(crate) type Instruction = (u16, u8, u8, u32);

/// A socket whose readiness to be read is watched.
pub(super) fn watched<T: OneDescriptor>(socket: T) -> io::Result<AsyncFd<T>> {
    // SAFETY: the type owns one descriptor, open and the same until it is dropped, which `AsyncFd` does last.
    Ok(unsafe { AsyncFd::register_with_interest(socket, Interest::READABLE) }?)
}

/// Owns one descriptor for life.
pub(super) trait OneDescriptor: AsRawFd {}

impl OneDescriptor for OwnedFd {}
impl OneDescriptor for Socket {}

/// A non-blocking packet socket for whole frames of one Ethernet protocol, from one interface or (0) from all, that
/// `filter` lets pass.
pub(crate) fn packet_socket(ethertype: u16, interface: u32, filter: &[Instruction]) -> io::Result<OwnedFd> {
    let socket = socket(libc::AF_PACKET, libc::SOCK_RAW, 0)?;
    attach(&socket, filter)?;
    let address = link_address(ethertype, interface);
    // SAFETY: the address is a whole `sockaddr_ll`, and its length is given.
    check(unsafe {
        libc::bind(socket.as_raw_fd(), (&raw const address).cast(), size_of::<libc::sockaddr_ll>() as u32)
    })?;
    Ok(socket)
}

/// A non-blocking packet socket that hears nothing; the kernel makes the Ethernet header of what it sends.
pub(crate) fn packet_sender() -> io::Result<OwnedFd> {
    socket(libc::AF_PACKET, libc::SOCK_DGRAM, 0)
}

/// A non-blocking socket for one protocol of IP itself. Protocol 0 of a packet socket receives nothing.
pub(crate) fn socket(family: i32, kind: i32, protocol: i32) -> io::Result<OwnedFd> {
    let kind = kind | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // SAFETY: no pointer is passed.
    let fd = check(unsafe { libc::socket(family, kind, protocol) })?;
    // SAFETY: the call succeeded, so `fd` is a new descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Sets an option of a socket to a value of these bytes.
pub(crate) fn set_option(socket: BorrowedFd<'_>, level: i32, name: i32, value: &[u8]) -> io::Result<()> {
    // SAFETY: the value is readable for the length given.
    check(unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            name,
            value.as_ptr().cast(),
            value.len() as libc::socklen_t,
        )
    })?;
    Ok(())
}

/// A socket takes nothing in from now on, and sends as before.
pub(crate) fn deafen(socket: BorrowedFd<'_>) -> io::Result<()> {
    const RETURN: u16 = 0x06;
    attach(&socket, &[(RETURN, 0, 0, 0)])
}

/// The calling thread runs before all that are not of real time, also when it wakes. Its own children do not.
pub(crate) fn run_before_others(priority: i32) -> io::Result<()> {
    let parameter = libc::sched_param { sched_priority: priority };
    let policy = libc::SCHED_FIFO | libc::SCHED_RESET_ON_FORK;
    // SAFETY: 0 is the calling thread; the parameter outlives the call.
    check(unsafe { libc::sched_setscheduler(0, policy, &raw const parameter) })?;
    Ok(())
}

/// What is in memory now stays there; what comes in later of the same mappings does too.
pub(crate) fn stay_in_memory() -> io::Result<()> {
    const MCL_ONFAULT: i32 = 4;
    // SAFETY: takes no pointer.
    check(unsafe { libc::mlockall(libc::MCL_CURRENT | MCL_ONFAULT) })?;
    Ok(())
}

/// Receives one frame; returns its length in `buffer` and the index of the interface it came in by.
pub(crate) fn receive_frame(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<(usize, u32)> {
    // SAFETY: `sockaddr_ll` is plain data for which all zeroes is a value.
    let mut from: libc::sockaddr_ll = unsafe { zeroed() };
    let mut length = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
    // SAFETY: buffer and address are writable for the lengths given; the kernel writes no more than that.
    let received = unsafe {
        libc::recvfrom(
            socket.as_raw_fd(),
            buffer.as_mut_ptr().cast(),
            buffer.len(),
            0,
            (&raw mut from).cast(),
            &raw mut length,
        )
    };
    let received = usize::try_from(received).map_err(|_| io::Error::last_os_error())?;
    Ok((received, u32::try_from(from.sll_ifindex).unwrap_or(0)))
}

/// Sends one whole frame out of an interface.
pub(crate) fn send_frame(socket: BorrowedFd<'_>, interface: u32, frame: &[u8]) -> io::Result<()> {
    let ethertype = frame.get(12..14).map_or(0, |bytes| u16::from_be_bytes([bytes[0], bytes[1]]));
    let address = link_address(ethertype, interface);
    // SAFETY: frame and address are readable for the lengths given.
    let sent = unsafe {
        libc::sendto(
            socket.as_raw_fd(),
            frame.as_ptr().cast(),
            frame.len(),
            0,
            (&raw const address).cast(),
            size_of::<libc::sockaddr_ll>() as u32,
        )
    };
    if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Sends one packet to a hardware address by an interface; the kernel puts the Ethernet header before it.
pub(crate) fn send_packet(
    socket: BorrowedFd<'_>,
    interface: u32,
    ethertype: u16,
    mac: [u8; 6],
    packet: &[u8],
) -> io::Result<()> {
    let mut address = link_address(ethertype, interface);
    address.sll_addr[..mac.len()].copy_from_slice(&mac);
    // SAFETY: packet and address are readable for the lengths given.
    let sent = unsafe {
        libc::sendto(
            socket.as_raw_fd(),
            packet.as_ptr().cast(),
            packet.len(),
            0,
            (&raw const address).cast(),
            size_of::<libc::sockaddr_ll>() as u32,
        )
    };
    if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// The supplementary groups of the process at the other end of a Unix socket, at most 256 of them.
pub(crate) fn peer_groups(socket: BorrowedFd<'_>) -> io::Result<Vec<u32>> {
    let mut groups = [0u32; 256];
    let mut length = size_of::<[u32; 256]>() as libc::socklen_t;
    // SAFETY: the array is writable for the length given; the kernel writes no more and returns what it wrote.
    check(unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERGROUPS,
            groups.as_mut_ptr().cast(),
            &raw mut length,
        )
    })?;
    Ok(groups[..length as usize / size_of::<u32>()].to_vec())
}

/// Gives the heap that a large configuration took while it was parsed back to the system; glibc would keep it for ever.
pub(crate) fn give_memory_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: takes no pointer; it may be called at any time from any thread.
    unsafe {
        libc::malloc_trim(0);
    }
}

fn attach(socket: &impl AsRawFd, filter: &[Instruction]) -> io::Result<()> {
    let mut code: Vec<_> =
        filter.iter().map(|&(code, jt, jf, k)| libc::sock_filter { code, jt, jf, k }).collect();
    let program = libc::sock_fprog { len: filter.len() as u16, filter: code.as_mut_ptr() };
    // SAFETY: the program points at `code`, which outlives the call; the kernel copies and checks it.
    check(unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ATTACH_FILTER,
            (&raw const program).cast(),
            size_of::<libc::sock_fprog>() as u32,
        )
    })?;
    Ok(())
}

fn link_address(ethertype: u16, interface: u32) -> libc::sockaddr_ll {
    // SAFETY: `sockaddr_ll` is plain data for which all zeroes is a value.
    let mut address: libc::sockaddr_ll = unsafe { zeroed() };
    address.sll_family = libc::AF_PACKET as u16;
    address.sll_protocol = ethertype.to_be();
    address.sll_ifindex = i32::try_from(interface).unwrap_or(0);
    address.sll_halen = 6;
    address
}

fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}
