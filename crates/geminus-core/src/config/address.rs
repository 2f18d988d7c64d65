//! Addresses that a packet on the wire can have as its destination.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::finding::{FindingKind, Problem, Quoted};
use super::scalar::Refusal;

fn refuse(problem: Problem) -> Refusal {
    (FindingKind::Value, problem)
}

/// Reads an address of a cluster, node or server.
pub(super) fn usable(text: &str) -> Result<IpAddr, Refusal> {
    let address = text.parse::<IpAddr>().map_err(|_| refuse(unreadable(text)))?;
    let unusable = match address {
        IpAddr::V4(v4) => unusable_v4(v4),
        IpAddr::V6(v6) => unusable_v6(v6),
    };
    match unusable {
        None => Ok(address),
        Some((what, way_out)) => Err(refuse(Problem::new(format!("{address} is {what}")).hint(way_out))),
    }
}

/// Text that is no address: what it is instead, where that can be told.
fn unreadable(text: &str) -> Problem {
    let problem = Problem::new(format!("{} is no address", Quoted(text)));
    if let Ok(socket) = text.parse::<SocketAddr>() {
        return problem.hint(format!("the port is the service's: \"{}\"", socket.ip()));
    }
    if let Some((address, _)) = text.split_once('/')
        && let Ok(address) = address.parse::<IpAddr>()
    {
        return problem.hint(format!("without a prefix length: \"{address}\""));
    }
    if let Some((address, _)) = text.split_once('%')
        && address.parse::<Ipv6Addr>().is_ok()
    {
        return problem.hint("without a zone: use a global or unique local address");
    }
    if let Some(inner) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'))
        && inner.parse::<Ipv6Addr>().is_ok()
    {
        return problem.hint(format!("without brackets: \"{inner}\""));
    }
    if text.trim() != text && text.trim().parse::<IpAddr>().is_ok() {
        return problem.hint(format!("without blanks: \"{}\"", text.trim()));
    }
    if let Some(plain) = without_leading_zeros(text) {
        return problem.hint(format!("without leading zeros: \"{plain}\""));
    }
    if looks_like_a_host_name(text) {
        return problem.hint("host names are not looked up: write the address");
    }
    problem.hint("such as \"198.51.100.80\" or \"2001:db8::80\"")
}

fn without_leading_zeros(text: &str) -> Option<Ipv4Addr> {
    let numbers: Option<Vec<u8>> = text.split('.').take(5).map(|number| number.parse().ok()).collect();
    <[u8; 4]>::try_from(numbers?).ok().map(Ipv4Addr::from)
}

fn looks_like_a_host_name(text: &str) -> bool {
    text.chars().any(|character| character.is_ascii_alphabetic())
        && text.chars().all(|character| character.is_ascii_alphanumeric() || matches!(character, '-' | '.'))
}

const ANOTHER: &str = "use an address of the network that clients and servers are on";

fn unusable_v4(v4: Ipv4Addr) -> Option<(&'static str, &'static str)> {
    match v4.octets() {
        _ if v4.is_unspecified() => Some(("the unspecified address", ANOTHER)),
        [0, ..] => Some(("in 0.0.0.0/8, which no packet is sent to", ANOTHER)),
        _ if v4.is_loopback() => Some(("a loopback address", ANOTHER)),
        _ if v4.is_multicast() => Some(("a multicast address", ANOTHER)),
        _ if v4.is_broadcast() => Some(("the broadcast address", ANOTHER)),
        _ => None,
    }
}

fn unusable_v6(v6: Ipv6Addr) -> Option<(&'static str, &'static str)> {
    match v6.segments() {
        _ if v6.is_unspecified() => Some(("the unspecified address", ANOTHER)),
        _ if v6.is_loopback() => Some(("a loopback address", ANOTHER)),
        _ if v6.is_multicast() => Some(("a multicast address", ANOTHER)),
        [0, 0, 0, 0, 0, 0xffff, ..] => Some(("an IPv4 address in IPv6 form", "write the IPv4 address")),
        // RFC 4291 2.5.6: the same address on every link, so it names no host without a zone.
        _ if v6.is_unicast_link_local() => {
            Some(("a link-local address", "use a global or unique local address"))
        }
        _ => None,
    }
}
