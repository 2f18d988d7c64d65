//! The judgement on a content host: what is right, what is not, and the command that mends it. Pure.

use std::net::IpAddr;

use serde::Serialize;

use crate::host::seen::{LOOPBACK, Seen, Way};
use crate::host::sockets::Listener;
use crate::host::sysctl::Sysctl;
use crate::host::wanted::{Port, Wanted};
use crate::netlink::{Placed, width};

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    /// How it is.
    pub(crate) grade: Grade,
    /// What it is about: `address`, `arp`, `listener`, ….
    pub(crate) about: &'static str,
    /// One line: the thing and how it is.
    pub(crate) message: String,
    /// The command, or the act, that mends it.
    pub(crate) mend: Option<String>,
}

/// How a thing is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Grade {
    /// As it should be.
    Ok,
    /// It may do harm, or could not be judged.
    Doubtful,
    /// It does harm.
    Wrong,
}

/// A host whose interface takes less cannot take what the dispatcher forwards unchanged from an Ethernet.
const USUAL_MTU: u32 = 1500;

/// Every judgement, in the order of the way of a packet: interface, address, silence, service, reply.
pub(crate) fn findings(wanted: &Wanted, seen: &Seen) -> Vec<Finding> {
    let mut all = interface(wanted, seen);
    all.extend(loopback(seen));
    for address in &wanted.addresses {
        all.extend(on_loopback(*address, seen));
        all.extend(elsewhere(*address, seen));
    }
    if wanted.addresses.iter().any(IpAddr::is_ipv4) {
        all.push(arp_ignore(wanted, seen));
        all.push(arp_announce(wanted, seen));
    }
    for address in wanted.addresses.iter().filter(|address| address.is_ipv6()) {
        all.extend(solicited(*address, wanted, seen));
    }
    for address in &wanted.addresses {
        all.extend(wanted.ports.iter().map(|port| service(*address, *port, seen)));
    }
    all.extend(seen.ways.iter().map(|way| reply(way, wanted, seen)));
    all.extend(reverse_path(wanted, seen));
    all
}

fn ok(about: &'static str, message: String) -> Finding {
    Finding { grade: Grade::Ok, about, message, mend: None }
}

fn wrong(about: &'static str, message: String, mend: String) -> Finding {
    Finding { grade: Grade::Wrong, about, message, mend: Some(mend) }
}

fn doubtful(about: &'static str, message: String, mend: String) -> Finding {
    Finding { grade: Grade::Doubtful, ..wrong(about, message, mend) }
}

fn interface(wanted: &Wanted, seen: &Seen) -> Vec<Finding> {
    let name = &wanted.interface;
    let Some(link) = seen.network.link(name) else {
        let message = format!("there is no interface {name}");
        return vec![wrong("interface", message, "name one that exists with --interface".to_owned())];
    };
    let mut found = Vec::new();
    found.push(if !link.up {
        wrong("interface", format!("{name} is down"), format!("ip link set dev {name} up"))
    } else if !link.carrier {
        let mend = "connect the cable, or the other end of the virtual link".to_owned();
        wrong("interface", format!("{name} is up but has no carrier"), mend)
    } else {
        ok("interface", format!("{name} is up"))
    });
    found.push(if link.mtu < USUAL_MTU {
        let message =
            format!("the MTU of {name} is {}: larger packets from the dispatcher are lost", link.mtu);
        doubtful(
            "mtu",
            message,
            format!("ip link set dev {name} mtu {USUAL_MTU}, or the same MTU on the dispatcher"),
        )
    } else {
        ok("mtu", format!("the MTU of {name} is {}", link.mtu))
    });
    if wanted.addresses.iter().any(IpAddr::is_ipv6) {
        found.extend(ipv6_disabled(name, seen));
    }
    found
}

/// IPv6 switched off on an interface that needs it.
pub(crate) fn ipv6_disabled(link: &str, seen: &Seen) -> Option<Finding> {
    let setting = Sysctl::v6(link, "disable_ipv6");
    match seen.settings.get(&setting).map(String::as_str) {
        Some("0") => None,
        Some(_) => {
            Some(wrong("ipv6", format!("IPv6 is switched off on {link}"), format!("sysctl -w {setting}=0")))
        }
        None => {
            let message = format!("{link} has no IPv6: the kernel does not have it");
            Some(wrong("ipv6", message, "start the kernel without ipv6.disable=1".to_owned()))
        }
    }
}

fn loopback(seen: &Seen) -> Option<Finding> {
    let up = seen.network.link(LOOPBACK).is_some_and(|link| link.up);
    (!up).then(|| wrong("interface", "lo is down".to_owned(), "ip link set dev lo up".to_owned()))
}

fn on_loopback(address: IpAddr, seen: &Seen) -> Vec<Finding> {
    let mut found = Vec::new();
    let here: Vec<&Placed> =
        seen.places(address).filter(|placed| seen.network.name(placed.link) == LOOPBACK).collect();
    if address.is_ipv6() {
        found.extend(ipv6_disabled(LOOPBACK, seen));
    }
    if here.is_empty() {
        let message = format!("{address} is not on lo: packets for it are not taken");
        found.push(wrong("address", message, add_command(address)));
    }
    for placed in here {
        found.push(if placed.prefix != width(address) {
            too_wide(placed)
        } else if placed.blocked {
            let message = format!("{address} on lo failed duplicate address detection: it is not used");
            let mend = format!("ip address del {address}/{} dev lo; {}", placed.prefix, add_command(address));
            wrong("address", message, mend)
        } else {
            ok("address", format!("{address} is on lo"))
        });
    }
    found
}

/// An address on `lo` makes its whole network local: nobody else of it can be reached.
pub(crate) fn too_wide(placed: &Placed) -> Finding {
    let Placed { address, prefix, .. } = placed;
    let message = format!("{address} is on lo as /{prefix}: the rest of that network cannot be reached");
    let mend = format!("ip address del {address}/{prefix} dev lo; {}", add_command(*address));
    wrong("address", message, mend)
}

/// The command that adds the address as [`crate::netlink::Netlink::add_address`] does.
fn add_command(address: IpAddr) -> String {
    if address.is_ipv4() {
        format!("ip address add {address}/32 dev lo")
    } else {
        format!("ip address add {address}/128 dev lo nodad preferred_lft 0")
    }
}

/// The cluster address on another interface: the host answers for it there, whatever the settings are.
pub(crate) fn elsewhere(address: IpAddr, seen: &Seen) -> Vec<Finding> {
    let asked = if address.is_ipv4() { "ARP requests" } else { "neighbour solicitations" };
    seen.places(address)
        .map(|placed| (seen.network.name(placed.link), placed.prefix))
        .filter(|(link, _)| link != LOOPBACK)
        .map(|(link, prefix)| {
            let message = format!("{address} is on {link}, where this host answers {asked} for it");
            wrong("address", message, format!("ip address del {address}/{prefix} dev {link}"))
        })
        .collect()
}

/// The kernel takes the larger of `all` and the interface's own (`IN_DEV_MAXCONF`). 1 and 2 answer only for addresses of
/// the interface; 3 still answers for this one, since it is of global scope; 4 to 7 are undefined and answer; 8 answers
/// for nothing, not even the host's own address (`arp_ignore()` in net/ipv4/arp.c).
fn arp_ignore(wanted: &Wanted, seen: &Seen) -> Finding {
    let name = &wanted.interface;
    let mend =
        || format!("sysctl -w {}=1 {}=1", Sysctl::v4("all", "arp_ignore"), Sysctl::v4(name, "arp_ignore"));
    match effective("arp_ignore", wanted, seen) {
        value @ (1 | 2) => {
            ok("arp", format!("ARP requests for addresses on lo are not answered (arp_ignore {value})"))
        }
        value @ 8.. => {
            let message = format!("{name} answers no ARP request at all (arp_ignore {value})");
            wrong("arp", message, mend())
        }
        value => {
            let message = format!("{name} answers ARP requests for addresses on lo (arp_ignore {value})");
            wrong("arp", message, mend())
        }
    }
}

fn arp_announce(wanted: &Wanted, seen: &Seen) -> Finding {
    let name = &wanted.interface;
    match effective("arp_announce", wanted, seen) {
        value @ 2.. => {
            ok("arp", format!("own ARP requests never name a cluster address (arp_announce {value})"))
        }
        value => {
            let message =
                format!("own ARP requests from {name} may name a cluster address (arp_announce {value})");
            let (all, own) = (Sysctl::v4("all", "arp_announce"), Sysctl::v4(name, "arp_announce"));
            wrong("arp", message, format!("sysctl -w {all}=2 {own}=2"))
        }
    }
}

/// The value that the kernel uses where it takes the larger of two.
fn effective(setting: &str, wanted: &Wanted, seen: &Seen) -> i64 {
    let value = |scope: &str| seen.number(&Sysctl::v4(scope, setting));
    value("all").max(value(&wanted.interface))
}

/// A solicitation is answered for addresses of the interface it came in by, and, on a router, for proxied ones
/// (`ndisc_recv_ns()` in net/ipv6/ndisc.c).
fn solicited(address: IpAddr, wanted: &Wanted, seen: &Seen) -> Vec<Finding> {
    let proxied: Vec<String> = seen
        .proxies
        .iter()
        .filter(|proxied| proxied.address == address)
        .map(|proxied| seen.network.name(proxied.link))
        .collect();
    if proxied.is_empty() && !seen.has(&wanted.interface, address) {
        return vec![ok("nd", format!("neighbour solicitations for {address} are not answered"))];
    }
    proxied.iter().map(|link| proxy(address, link, seen)).collect()
}

fn proxy(address: IpAddr, link: &str, seen: &Seen) -> Finding {
    let on = |scope: &str, name: &str| seen.number(&Sysctl::v6(scope, name)) != 0;
    let mend = format!("ip -6 neigh del proxy {address} dev {link}");
    if on(link, "forwarding") && (on("all", "proxy_ndp") || on(link, "proxy_ndp")) {
        wrong("nd", format!("{link} answers neighbour solicitations for {address} by proxy"), mend)
    } else {
        let message =
            format!("{address} is a proxied neighbour on {link}: answered as soon as proxy_ndp is on");
        doubtful("nd", message, mend)
    }
}

fn service(address: IpAddr, port: Port, seen: &Seen) -> Finding {
    let there: Vec<&Listener> = seen.listeners.iter().filter(|listener| listener.port == port).collect();
    let listens = |wanted: IpAddr| there.iter().any(|listener| listener.address == wanted);
    if listens(address) {
        return ok("listener", format!("{port} of {address} has a listener"));
    }
    if listens(any(address)) {
        return ok("listener", format!("{port} of {address} has a listener, on every address"));
    }
    let end = std::net::SocketAddr::new(address, port.number);
    let mend = format!("make the service listen on {end}");
    let dual = seen.taken.iter().find(|(taken, other, _)| (*taken, *other) == (address, port));
    match dual.map(|(_, _, taken)| *taken) {
        Some(Some(true)) => {
            ok("listener", format!("{port} of {address} has a listener, on every IPv6 and IPv4 address"))
        }
        Some(Some(false)) => {
            wrong("listener", format!("{port} listens on every IPv6 address but on no IPv4 address"), mend)
        }
        Some(None) => {
            let message = format!("{port} listens on the IPv6 wildcard; whether for IPv4 too cannot be told");
            doubtful("listener", message, "look again as root, with the address on lo".to_owned())
        }
        None if there.is_empty() => wrong("listener", format!("nothing listens on {port}"), mend),
        None => {
            let others: Vec<String> = there.iter().map(|listener| listener.address.to_string()).collect();
            wrong("listener", format!("{port} listens only on {}, not on {address}", others.join(", ")), mend)
        }
    }
}

const fn any(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(_) => IpAddr::V6(std::net::Ipv6Addr::UNSPECIFIED),
    }
}

fn reply(way: &Way, wanted: &Wanted, seen: &Seen) -> Finding {
    let Way { from, client, departure } = way;
    match departure {
        Err(why) => {
            let message = format!("replies from {from} find no way to {client}: {why}");
            let tool = if from.is_ipv4() { "ip route" } else { "ip -6 route" };
            wrong("reply", message, format!("{tool} add default via ROUTER dev {}", wanted.interface))
        }
        Ok(departure) => {
            let gateway =
                departure.gateway.map(|gateway| format!(" by router {gateway}")).unwrap_or_default();
            let link = seen.network.name(departure.link);
            ok("reply", format!("replies from {from} to {client} leave through {link}{gateway}"))
        }
    }
}

/// Strict reverse-path filtering drops what comes in by another interface than the way back leaves by (RFC 3704). The
/// kernel takes the larger of `all` and the interface's own: 1 is strict, 2 is loose. IPv6 has none.
fn reverse_path(wanted: &Wanted, seen: &Seen) -> Option<Finding> {
    if effective("rp_filter", wanted, seen) != 1 {
        return None;
    }
    let name = &wanted.interface;
    let astray = seen.ways.iter().filter(|way| way.from.is_ipv4()).find_map(|way| {
        let link = seen.network.name(way.departure.as_ref().ok()?.link);
        (link != *name).then_some((way.client, link))
    });
    let (client, link) = astray?;
    let message =
        format!("strict rp_filter on {name} drops packets of {client}: the way back is through {link}");
    Some(wrong("rp-filter", message, format!("sysctl -w {}=2", Sysctl::v4(name, "rp_filter"))))
}

#[cfg(test)]
pub(crate) mod sample;

#[cfg(test)]
mod tests;
