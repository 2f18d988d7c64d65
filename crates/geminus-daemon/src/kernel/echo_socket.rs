//! Raw sockets for echo requests and their answers.

use std::io;
use std::net::UdpSocket;
use std::os::fd::AsFd as _;

use super::calls;

/// Types of messages.
pub(crate) const ECHO_REQUEST: u8 = 8;
/// See [`ECHO_REQUEST`].
pub(crate) const ECHO_REPLY: u8 = 0;
/// See [`ECHO_REQUEST`].
pub(crate) const ECHO_REQUEST_6: u8 = 128;
/// See [`ECHO_REQUEST`].
pub(crate) const ECHO_REPLY_6: u8 = 129;

/// A socket that hears echo replies and nothing else. What it hears over IPv4 begins with the IP header, what it hears over
/// IPv6 does not; the kernel fills in the checksum of ICMPv6 (RFC 3542 section 3.1).
pub(crate) fn echo_socket(is_ipv4: bool) -> io::Result<UdpSocket> {
    if is_ipv4 { ipv4() } else { ipv6() }
}

fn ipv4() -> io::Result<UdpSocket> {
    /// `SOL_RAW` and its one option (`include/uapi/linux/icmp.h`): kinds of messages that are kept away, one bit each.
    const SOL_RAW: i32 = 255;
    const ICMP_FILTER: i32 = 1;
    let socket = calls::socket(libc::AF_INET, libc::SOCK_RAW, libc::IPPROTO_ICMP)?;
    let others = !(1_u32 << ECHO_REPLY);
    calls::set_option(socket.as_fd(), SOL_RAW, ICMP_FILTER, &others.to_ne_bytes())?;
    Ok(socket.into())
}

fn ipv6() -> io::Result<UdpSocket> {
    /// `ICMPV6_FILTER` (`include/uapi/linux/icmpv6.h`): kinds of messages that are kept away, one bit each.
    const ICMPV6_FILTER: i32 = 1;
    let socket = calls::socket(libc::AF_INET6, libc::SOCK_RAW, libc::IPPROTO_ICMPV6)?;
    let mut others = [u32::MAX; 8];
    others[usize::from(ECHO_REPLY_6) / 32] &= !(1 << (ECHO_REPLY_6 % 32));
    let bytes: Vec<u8> = others.iter().flat_map(|word| word.to_ne_bytes()).collect();
    calls::set_option(socket.as_fd(), libc::IPPROTO_ICMPV6, ICMPV6_FILTER, &bytes)?;
    Ok(socket.into())
}
