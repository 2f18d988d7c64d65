//! A packet socket on one interface; the only unsafe code of the comparison.
#![allow(unsafe_code, reason = "no safe wrapper makes a link-layer socket address")]

use std::mem::size_of;

use anyhow::{Context as _, Result};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

/// Opens a socket for whole frames of one Ethernet protocol on the interface with this index, in the calling thread's
/// network namespace. What is sent leaves there, what comes in there is received.
pub(super) fn open(ethertype: u16, interface: u32) -> Result<Socket> {
    let wire_order = ethertype.to_be();
    let socket = Socket::new(Domain::PACKET, Type::RAW, Some(Protocol::from(i32::from(wire_order))))
        .context("cannot open a packet socket")?;
    socket.bind(&address(wire_order, interface)?).context("cannot bind a packet socket")?;
    Ok(socket)
}

fn address(protocol: u16, interface: u32) -> Result<SockAddr> {
    let link = libc::sockaddr_ll {
        sll_family: libc::AF_PACKET as libc::sa_family_t,
        sll_protocol: protocol,
        sll_ifindex: i32::try_from(interface).context("an interface index beyond the kernel's")?,
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 0,
        sll_addr: [0; 8],
    };
    // SAFETY: the storage is larger than a `sockaddr_ll` and aligned for every address; family and length are those of
    // what is written.
    let made = unsafe {
        SockAddr::try_init(|storage, length| {
            storage.cast::<libc::sockaddr_ll>().write(link);
            *length = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
            Ok(())
        })
    };
    Ok(made.context("cannot make a link-layer address")?.1)
}
