//! Who listens where: `/proc/net/tcp` and its three relatives.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use socket2::{Domain, Protocol, Socket, Type};

use crate::host::wanted::{Port, Transport};

/// A socket that takes new connections or datagrams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Listener {
    /// Protocol and port.
    pub(crate) port: Port,
    /// The address it is bound to; unspecified: every address.
    pub(crate) address: IpAddr,
}

/// Every listener of the network namespace.
pub(crate) fn listeners() -> io::Result<Vec<Listener>> {
    let mut all = Vec::new();
    let files = [
        ("/proc/net/tcp", Transport::Tcp),
        ("/proc/net/tcp6", Transport::Tcp),
        ("/proc/net/udp", Transport::Udp),
        ("/proc/net/udp6", Transport::Udp),
    ];
    for (path, transport) in files {
        match std::fs::read_to_string(path) {
            Ok(text) => all.extend(parse(&text, transport)),
            // A kernel without IPv6 has no such file.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(all)
}

/// Whether a listener already takes what comes for this address and port; none if it cannot be told. The table does not
/// say whether an IPv6 wildcard takes IPv4 as well (`IPV6_V6ONLY`), but trying to bind does; nothing is sent and nothing
/// listens.
pub(crate) fn is_taken(address: IpAddr, port: Port) -> Option<bool> {
    let (kind, protocol) = match port.transport {
        Transport::Tcp => (Type::STREAM, Protocol::TCP),
        Transport::Udp => (Type::DGRAM, Protocol::UDP),
    };
    let socket = Socket::new(Domain::for_address(SocketAddr::new(address, 0)), kind, Some(protocol)).ok()?;
    if port.transport == Transport::Tcp {
        // Old connections in TIME_WAIT do not count, a listener does.
        socket.set_reuse_address(true).ok()?;
    }
    match socket.bind(&SocketAddr::new(address, port.number).into()) {
        Ok(()) => Some(false),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => Some(true),
        Err(_) => None,
    }
}

/// The listeners of one file (`tcp4_seq_show` and `udp4_seq_show` in the kernel).
fn parse(text: &str, transport: Transport) -> Vec<Listener> {
    text.lines().skip(1).filter_map(|line| listener(line, transport)).collect()
}

fn listener(line: &str, transport: Transport) -> Option<Listener> {
    // TCP_LISTEN; a UDP socket without a peer is in TCP_CLOSE.
    let waiting = match transport {
        Transport::Tcp => "0A",
        Transport::Udp => "07",
    };
    let mut words = line.split_whitespace().skip(1);
    let (local, _peer, state) = (words.next()?, words.next()?, words.next()?);
    if state != waiting {
        return None;
    }
    let (address, number) = local.split_once(':')?;
    let number = u16::from_str_radix(number, 16).ok()?;
    Some(Listener { port: Port { number, transport }, address: address_of(address)? })
}

/// Each 32-bit word of the address is printed as the number it is in memory, whatever the machine's byte order.
fn address_of(digits: &str) -> Option<IpAddr> {
    let word = |index: usize| {
        let digits = digits.get(index * 8..index * 8 + 8)?;
        u32::from_str_radix(digits, 16).ok().map(u32::to_ne_bytes)
    };
    match digits.len() {
        8 => Some(IpAddr::V4(Ipv4Addr::from(word(0)?))),
        32 => {
            let mut octets = [0; 16];
            for (index, part) in octets.chunks_exact_mut(4).enumerate() {
                part.copy_from_slice(&word(index)?);
            }
            Some(IpAddr::V6(Ipv6Addr::from(octets)).to_canonical())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, UdpSocket};

    use super::*;

    #[cfg(target_endian = "little")]
    #[test]
    fn only_sockets_that_wait_are_listeners() {
        let tcp = "\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 506433C6:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1 0 100 0 0 10 0
   1: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 2 1 0 100 0 0 10 0
   2: 506433C6:0050 097100CB:9C40 01 00000000:00000000 00:00000000 00000000     0        0 3 1 0 100 0 0 10 0
";
        let found: Vec<String> =
            parse(tcp, Transport::Tcp).iter().map(|one| format!("{} {}", one.address, one.port)).collect();
        assert_eq!(found, ["198.51.100.80 tcp port 80", "0.0.0.0 tcp port 22"]);
    }

    #[cfg(target_endian = "little")]
    #[test]
    fn a_mapped_address_is_the_address_it_maps() {
        assert_eq!(
            address_of("0000000000000000FFFF0000506433C6"),
            Some("198.51.100.80".parse().expect("v4"))
        );
        assert_eq!(
            address_of("B80D0120000001000000000080000000"),
            Some("2001:db8:1::80".parse().expect("v6"))
        );
        assert_eq!(address_of("00000000000000000000000000000000"), Some("::".parse().expect("any")));
        assert_eq!(address_of("zz"), None);
    }

    #[test]
    fn a_listener_of_this_process_is_found_and_takes_its_port() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let datagram = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        let ports = [
            (listener.local_addr().expect("bound"), Transport::Tcp),
            (datagram.local_addr().expect("bound"), Transport::Udp),
        ];
        let all = listeners().expect("listeners");
        for (end, transport) in ports {
            let port = Port { number: end.port(), transport };
            assert!(all.contains(&Listener { port, address: end.ip() }), "{port}");
            assert_eq!(is_taken(end.ip(), port), Some(true), "{port}");
        }
    }
}
