//! What there is on the machine, as far as a content host is concerned. Reading only.

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;

use crate::failure::Failure;
use crate::host::sockets::{Listener, is_taken, listeners};
use crate::host::sysctl::Sysctl;
use crate::host::wanted::{Port, Wanted, elsewhere};
use crate::netlink::{Departure, Link, Netlink, Placed, Proxied, width};

/// Name of the loopback interface; the kernel makes one of this name in every network namespace.
pub(crate) const LOOPBACK: &str = "lo";

/// Interfaces, addresses and the way out: enough to choose an interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Network {
    /// Every interface.
    pub(crate) links: Vec<Link>,
    /// Every address.
    pub(crate) addresses: Vec<Placed>,
    /// Index of the interface of the way to everywhere, for IPv4 and IPv6.
    pub(crate) outward: (Option<u32>, Option<u32>),
}

/// Everything that the judgement needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    /// Interfaces and addresses.
    pub(crate) network: Network,
    /// IPv6 addresses answered for by proxy.
    pub(crate) proxies: Vec<Proxied>,
    /// Settings; without one that the kernel does not have.
    pub(crate) settings: BTreeMap<Sysctl, String>,
    /// The way from a cluster address back to a client.
    pub(crate) ways: Vec<Way>,
    /// Who listens.
    pub(crate) listeners: Vec<Listener>,
    /// Whether a wanted port of an IPv4 cluster address is taken, where only an IPv6 wildcard listens.
    pub(crate) taken: Vec<(IpAddr, Port, Option<bool>)>,
}

/// The way of a reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Way {
    /// The cluster address it comes from.
    pub(crate) from: IpAddr,
    /// The client.
    pub(crate) client: IpAddr,
    /// Where it leaves, or why it cannot.
    pub(crate) departure: Result<Departure, String>,
}

impl Network {
    /// Looks.
    pub(crate) fn read(netlink: &mut Netlink) -> Result<Self, Failure> {
        let links = netlink.links().map_err(|error| cannot_read("the interfaces", &error))?;
        let addresses = netlink.addresses().map_err(|error| cannot_read("the addresses", &error))?;
        let mut outward = |towards: &str| {
            let towards = elsewhere(towards.parse().expect("an address of the family"));
            netlink.departure(None, towards).ok().map(|way| way.link)
        };
        let outward = (outward("0.0.0.0"), outward("::"));
        Ok(Self { links, addresses, outward })
    }

    /// The interface of this name.
    pub(crate) fn link(&self, name: &str) -> Option<&Link> {
        self.links.iter().find(|link| link.name == name)
    }

    /// Name of the interface with this index.
    pub(crate) fn name(&self, index: u32) -> String {
        let link = self.links.iter().find(|link| link.index == index);
        link.map_or_else(|| format!("interface {index}"), |link| link.name.clone())
    }

    /// The interface that faces the dispatcher: the named one; else the one whose network has the cluster address, since
    /// the dispatcher shares a link with its servers; else the one of the default route; else the only one.
    pub(crate) fn facing(&self, named: Option<&str>, addresses: &[IpAddr]) -> Result<String, Failure> {
        let names = || self.others().map(|link| link.name.as_str()).collect::<Vec<_>>().join(", ");
        if let Some(name) = named {
            if name == LOOPBACK {
                return Err(Failure::wrong("lo faces nobody").hint(format!("there is {}", names())));
            }
            let link = self.link(name).map(|link| link.name.clone());
            return link.ok_or_else(|| {
                Failure::no(format!("there is no interface {name}")).hint(format!("there is {}", names()))
            });
        }
        let chosen =
            self.neighbouring(addresses).or_else(|| self.leading_out(addresses)).or_else(|| self.only());
        chosen.map(|link| link.name.clone()).ok_or_else(|| {
            Failure::wrong("which interface faces the dispatcher cannot be told")
                .hint(format!("name it with --interface: there is {}", names()))
        })
    }

    fn others(&self) -> impl Iterator<Item = &Link> {
        self.links.iter().filter(|link| link.name != LOOPBACK)
    }

    fn neighbouring(&self, addresses: &[IpAddr]) -> Option<&Link> {
        let near = |placed: &&Placed| {
            // A host address is the network of nobody else.
            placed.prefix < width(placed.address)
                && addresses.iter().any(|address| same_network(*address, placed.address, placed.prefix))
        };
        let links = self.addresses.iter().filter(near).map(|placed| placed.link);
        links.filter_map(|index| self.others().find(|link| link.index == index)).next()
    }

    fn leading_out(&self, addresses: &[IpAddr]) -> Option<&Link> {
        let (four, six) = self.outward;
        let first_is_four = addresses.first().is_some_and(IpAddr::is_ipv4);
        let index = if first_is_four { four.or(six) } else { six.or(four) }?;
        self.others().find(|link| link.index == index)
    }

    fn only(&self) -> Option<&Link> {
        let mut up = self.others().filter(|link| link.up && link.ethernet);
        up.next().filter(|_| up.next().is_none())
    }
}

impl Seen {
    /// Looks at everything.
    pub(crate) fn read(netlink: &mut Netlink, network: Network, wanted: &Wanted) -> Result<Self, Failure> {
        let proxies = netlink.proxies().map_err(|error| cannot_read("the proxied neighbours", &error))?;
        let settings = settings(&network, &proxies, wanted)?;
        let ways = ways(netlink, &network, wanted);
        // Where nobody asks, a busy host's hundred thousand connections need not be read.
        let listeners = if wanted.ports.is_empty() { Ok(Vec::new()) } else { listeners() };
        let listeners = listeners.map_err(|error| cannot_read("the listening sockets", &error))?;
        let taken = taken(&listeners, wanted);
        Ok(Self { network, proxies, settings, ways, listeners, taken })
    }

    /// A setting as a number; 0 where the kernel does not have it.
    pub(crate) fn number(&self, setting: &Sysctl) -> i64 {
        self.settings.get(setting).and_then(|value| value.parse().ok()).unwrap_or(0)
    }

    /// Whether the address is on this interface.
    pub(crate) fn has(&self, link: &str, address: IpAddr) -> bool {
        self.places(address).any(|placed| self.network.name(placed.link) == link)
    }

    /// Everywhere the address is.
    pub(crate) fn places(&self, address: IpAddr) -> impl Iterator<Item = &Placed> {
        self.network.addresses.iter().filter(move |placed| placed.address == address)
    }
}

/// Whether two addresses share their leading bits.
fn same_network(one: IpAddr, other: IpAddr, prefix: u8) -> bool {
    let shift = |width: u8| u32::from(width.saturating_sub(prefix));
    match (one, other) {
        (IpAddr::V4(one), IpAddr::V4(other)) => {
            (one.to_bits() ^ other.to_bits()).checked_shr(shift(32)).unwrap_or(0) == 0
        }
        (IpAddr::V6(one), IpAddr::V6(other)) => {
            (one.to_bits() ^ other.to_bits()).checked_shr(shift(128)).unwrap_or(0) == 0
        }
        _ => false,
    }
}

fn settings(
    network: &Network,
    proxies: &[Proxied],
    wanted: &Wanted,
) -> Result<BTreeMap<Sysctl, String>, Failure> {
    let mut names = Vec::new();
    for scope in ["all", &wanted.interface] {
        names.extend(["arp_ignore", "arp_announce", "rp_filter"].map(|name| Sysctl::v4(scope, name)));
    }
    names.extend([LOOPBACK, &wanted.interface].map(|scope| Sysctl::v6(scope, "disable_ipv6")));
    names.push(Sysctl::v6("all", "proxy_ndp"));
    for proxied in proxies {
        let scope = network.name(proxied.link);
        names.extend(["forwarding", "proxy_ndp"].map(|name| Sysctl::v6(&scope, name)));
    }
    let mut settings = BTreeMap::new();
    for name in names {
        if let Some(value) = name.read().map_err(|error| cannot_read(&name.to_string(), &error))? {
            settings.insert(name, value);
        }
    }
    Ok(settings)
}

fn ways(netlink: &mut Netlink, network: &Network, wanted: &Wanted) -> Vec<Way> {
    let mut ways = Vec::new();
    for from in &wanted.addresses {
        // The kernel looks up only for sources it has; a missing address is a finding of its own.
        let source =
            Some(*from).filter(|from| network.addresses.iter().any(|placed| placed.address == *from));
        for client in wanted.clients_of(*from) {
            let departure = netlink.departure(source, client).map_err(|error| in_words(&error));
            ways.push(Way { from: *from, client, departure });
        }
    }
    ways
}

/// The words of an error without its number.
fn in_words(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_lowercase()
}

fn taken(listeners: &[Listener], wanted: &Wanted) -> Vec<(IpAddr, Port, Option<bool>)> {
    let mut taken = Vec::new();
    for address in wanted.addresses.iter().filter(|address| address.is_ipv4()) {
        for port in &wanted.ports {
            let wildcard =
                |one: &Listener| one.port == *port && one.address.is_ipv6() && one.address.is_unspecified();
            if listeners.iter().any(wildcard) {
                taken.push((*address, *port, is_taken(*address, *port)));
            }
        }
    }
    taken
}

/// A part of the machine cannot be read.
pub(crate) fn cannot_read(what: &str, error: &io::Error) -> Failure {
    Failure::no(format!("cannot read {what}: {error}"))
        .hint("run as root in the network namespace of the service")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::findings::sample;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn networks_are_compared_by_their_prefix() {
        assert!(same_network(ip("198.51.100.80"), ip("198.51.100.21"), 24));
        assert!(!same_network(ip("198.51.101.80"), ip("198.51.100.21"), 24));
        assert!(same_network(ip("203.0.113.1"), ip("198.51.100.21"), 0));
        assert!(same_network(ip("2001:db8:1::80"), ip("2001:db8:1::21"), 64));
        assert!(!same_network(ip("2001:db8:1::80"), ip("198.51.100.21"), 0));
    }

    #[test]
    fn the_interface_of_the_addresss_network_wins_over_the_way_out() {
        let mut network = sample::seen().network;
        network.outward = (Some(3), None);
        assert_eq!(network.facing(None, &[ip("198.51.100.80")]), Ok("eth0".to_owned()));
        assert_eq!(network.facing(None, &[ip("203.0.113.80")]), Ok("eth1".to_owned()));
        network.outward = (None, None);
        assert_eq!(network.facing(None, &[ip("203.0.113.80")]).expect_err("two").exit.code(), 2);
        network.links.retain(|link| link.name != "eth1");
        assert_eq!(network.facing(None, &[ip("203.0.113.80")]), Ok("eth0".to_owned()));
    }

    #[test]
    fn an_interface_that_does_not_exist_is_named_with_those_that_do() {
        let failure = sample::seen().network.facing(Some("eth9"), &[]).expect_err("there is none");
        assert_eq!(failure.error.message, "there is no interface eth9");
        assert_eq!(failure.error.hint.as_deref(), Some("there is eth0, eth1"));
    }
}
