//! What a content host is wanted for.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::Serialize;

use crate::failure::Failure;

/// Cluster addresses, where their packets come in, and which services answer them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// The cluster addresses, each once.
    pub(crate) addresses: Vec<IpAddr>,
    /// The interface that faces the dispatcher.
    pub(crate) interface: String,
    /// Ports on which something must listen.
    pub(crate) ports: Vec<Port>,
    /// Clients whose way back is looked up.
    pub(crate) clients: Vec<IpAddr>,
}

/// A port of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
pub(crate) struct Port {
    /// The number.
    pub(crate) number: u16,
    /// The protocol.
    pub(crate) transport: Transport,
}

/// Protocol of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Transport {
    /// TCP
    Tcp,
    /// UDP
    Udp,
}

/// A client of no real network (RFC 5737, RFC 3849): its way back is the way to everywhere else.
const ELSEWHERE4: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
const ELSEWHERE6: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0xffff, 0, 0, 0, 0, 1));

/// The addresses, each once; refuses what can be no cluster address.
pub(crate) fn cluster_addresses(addresses: &[IpAddr]) -> Result<Vec<IpAddr>, Failure> {
    let mut each = Vec::with_capacity(addresses.len());
    for address in addresses {
        if let Some(what) = impossible(*address) {
            let message = format!("{address} is {what}, not a cluster address");
            return Err(Failure::wrong(message).hint("give the address that clients use"));
        }
        if !each.contains(address) {
            each.push(*address);
        }
    }
    Ok(each)
}

fn impossible(address: IpAddr) -> Option<&'static str> {
    if address.is_unspecified() {
        return Some("the unspecified address");
    }
    if address.is_loopback() {
        return Some("a loopback address");
    }
    if address.is_multicast() {
        return Some("a multicast address");
    }
    match address {
        IpAddr::V4(four) if four.is_broadcast() => Some("the broadcast address"),
        IpAddr::V4(four) if four.is_link_local() => Some("a link-local address"),
        IpAddr::V6(six) if six.is_unicast_link_local() => Some("a link-local address"),
        IpAddr::V6(six) if six.to_ipv4_mapped().is_some() => Some("an IPv4 address in IPv6 clothes"),
        _ => None,
    }
}

impl Wanted {
    /// The clients of an address's family; a far one where none was given.
    pub(crate) fn clients_of(&self, address: IpAddr) -> Vec<IpAddr> {
        let same = |client: &&IpAddr| client.is_ipv4() == address.is_ipv4();
        let clients: Vec<IpAddr> = self.clients.iter().filter(same).copied().collect();
        if clients.is_empty() { vec![elsewhere(address)] } else { clients }
    }
}

/// Somebody far away, of the same family.
pub(crate) const fn elsewhere(address: IpAddr) -> IpAddr {
    if address.is_ipv4() { ELSEWHERE4 } else { ELSEWHERE6 }
}

impl Transport {
    /// The word for it.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} port {}", self.transport.word(), self.number)
    }
}

impl FromStr for Port {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (number, transport) = match text.split_once('/') {
            None | Some((_, "tcp")) => (text.trim_end_matches("/tcp"), Transport::Tcp),
            Some((number, "udp")) => (number, Transport::Udp),
            Some((_, other)) => {
                return Err(format!("{other} is no protocol of a service, expected tcp or udp"));
            }
        };
        let number = number.parse().ok().filter(|number| *number > 0);
        let number = number
            .ok_or_else(|| "expected a port from 1 to 65535, with /udp where it is not tcp".to_owned())?;
        Ok(Self { number, transport })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_tcp_unless_it_says_otherwise() {
        let port = |text: &str| text.parse::<Port>().map(|port| port.to_string());
        assert_eq!(port("80").as_deref(), Ok("tcp port 80"));
        assert_eq!(port("80/tcp").as_deref(), Ok("tcp port 80"));
        assert_eq!(port("53/udp").as_deref(), Ok("udp port 53"));
        for text in ["", "0", "70000", "53/sctp", "/udp", "-1"] {
            assert!(port(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_can_be_no_cluster_address_is_wrong_use() {
        for text in [
            "127.0.0.1",
            "::1",
            "0.0.0.0",
            "224.0.0.1",
            "ff02::1",
            "fe80::1",
            "169.254.0.1",
            "::ffff:192.0.2.1",
        ] {
            let address = text.parse().expect("an address");
            assert!(cluster_addresses(&[address]).is_err(), "{text}");
        }
    }

    #[test]
    fn an_address_given_twice_is_one() {
        let address: IpAddr = "198.51.100.80".parse().expect("an address");
        assert_eq!(cluster_addresses(&[address, address]).expect("fine"), [address]);
    }
}
