//! From which address of its own this machine would talk to somebody by an interface.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

use socket2::{Domain, Protocol, Socket, Type};

/// Any port: nothing is sent.
const DISCARD: u16 = 9;

/// Somebody on the link, whoever that is.
const ON_LINK: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);

/// The address that packets to `to` leave from by an interface, as the kernel chooses; where it knows no way there by that
/// interface, of IPv6 the address that is good for the link alone. None: the interface has no address of the family.
///
/// # Errors
/// When the interface is not there.
pub(super) fn source_to(to: IpAddr, index: u32, name: &str) -> io::Result<Option<IpAddr>> {
    let on_link = match to {
        IpAddr::V4(_) => None,
        IpAddr::V6(_) => Some(SocketAddrV6::new(ON_LINK, DISCARD, 0, index).into()),
    };
    // Whoever is a server too has the cluster address on lo: to itself it would talk from that, to the next address not.
    let asked = [Some((to, DISCARD).into()), Some((next(to), DISCARD).into()), on_link];
    for somebody in asked.into_iter().flatten() {
        let chosen = chosen(somebody, name)?;
        if chosen.is_some_and(|own| own != to) {
            return Ok(chosen);
        }
    }
    Ok(None)
}

/// The address that the kernel chooses; a socket keeps its first one, so each question has a socket of its own.
fn chosen(to: SocketAddr, name: &str) -> io::Result<Option<IpAddr>> {
    let socket = match Socket::new(Domain::for_address(to), Type::DGRAM, Some(Protocol::UDP)) {
        // A kernel without the family.
        Err(error) if error.raw_os_error() == Some(libc::EAFNOSUPPORT) => return Ok(None),
        other => other?,
    };
    socket.bind_device(Some(name.as_bytes()))?;
    if socket.connect(&to.into()).is_err() {
        return Ok(None);
    }
    let own = socket.local_addr()?.as_socket().map(|own| own.ip());
    Ok(own.filter(|own| !own.is_unspecified() && !own.is_loopback()))
}

/// The address beside another.
fn next(to: IpAddr) -> IpAddr {
    match to {
        IpAddr::V4(to) => Ipv4Addr::from_bits(to.to_bits() ^ 1).into(),
        IpAddr::V6(to) => Ipv6Addr::from_bits(to.to_bits() ^ 1).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_interface_lends_the_loopback_address_or_one_that_it_has_not() {
        for to in ["192.0.2.80", "2001:db8::80"] {
            let to = to.parse().expect("an address");
            assert_eq!(source_to(to, 1, "lo").unwrap().filter(IpAddr::is_loopback), None);
            assert_eq!(source_to(to, u32::MAX, "nowhere").unwrap_err().raw_os_error(), Some(libc::ENODEV));
        }
    }
}
