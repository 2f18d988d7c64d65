//! The interface of a node, where it is on this machine.

use std::collections::HashSet;
use std::net::IpAddr;

use geminus_core::model::{Node, Site};
use geminus_core::plan::{self, NodePath};
use serde::Serialize;

use crate::ability;
use crate::failure::Failure;
use crate::netlink::{Attached, Link, Netlink, Placed};

/// What there is and what it can do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Interface {
    /// The node it belongs to.
    pub(crate) node: String,
    /// Its name.
    pub(crate) name: String,
    /// What was found under that name.
    pub(crate) found: Option<Found>,
    /// What is odd or wrong about it.
    pub(crate) remarks: Vec<Remark>,
}

/// An interface that exists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Found {
    pub(crate) driver: Option<String>,
    pub(crate) xdp: Xdp,
    pub(crate) mtu: u32,
    pub(crate) up: bool,
    pub(crate) carrier: bool,
    pub(crate) ethernet: bool,
    pub(crate) programs: Vec<Program>,
}

/// An XDP program that is there already.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Program {
    pub(crate) mode: &'static str,
    pub(crate) id: u32,
}

/// How XDP can run on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Xdp {
    /// In the driver.
    Native,
    /// Behind the driver only.
    Generic,
    /// The kernel does not say and the driver is not known.
    Unknown,
}

/// Something to know before `geminus run`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Remark {
    /// Whether `geminus run` would fail or forward nothing.
    pub(crate) wrong: bool,
    /// One line: the thing and the way out.
    pub(crate) message: String,
}

/// Which node was meant, and how sure that is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Meant<'a> {
    /// This machine, by `--node` or by its host name.
    Here(&'a Node),
    /// The only node there is; it may be another machine.
    Perhaps(&'a Node),
    /// Nobody can tell.
    Unknown,
}

/// Drivers with XDP of their own in Linux 6.1, for kernels that do not say.
const NATIVE_DRIVERS: [&str; 27] = [
    "amazon_ena",
    "bnxt_en",
    "cpsw",
    "ena",
    "enetc",
    "fec",
    "gve",
    "hv_netvsc",
    "i40e",
    "iavf",
    "ice",
    "igb",
    "igc",
    "ixgbe",
    "ixgbevf",
    "mlx4_en",
    "mlx5_core",
    "mvneta",
    "mvpp2",
    "nfp",
    "qede",
    "sfc",
    "stmmac",
    "tsnep",
    "tun",
    "veth",
    "virtio_net",
];

/// A packet that fits one page with headroom and the kernel's trailer; most drivers refuse native XDP above it.
const ONE_PAGE_MTU: u32 = 3498;

/// Which node this machine is.
///
/// # Errors
///
/// `--node` names none of them.
pub(crate) fn meant<'a>(site: &'a Site, named: Option<&str>, host: &str) -> Result<Meant<'a>, Failure> {
    let find = |name: &str| site.nodes.iter().find(|node| node.name == name);
    if let Some(name) = named {
        let names: Vec<&str> = site.nodes.iter().map(|node| node.name.as_str()).collect();
        return find(name).map(Meant::Here).ok_or_else(|| {
            Failure::no(format!("the configuration has no node {name}"))
                .hint(format!("it has {}", names.join(", ")))
        });
    }
    Ok(match (find(host), site.nodes.as_slice()) {
        (Some(node), _) => Meant::Here(node),
        (None, [only]) => Meant::Perhaps(only),
        (None, _) => Meant::Unknown,
    })
}

/// Looks at the interface of a node, which may be another machine if this one is `called` otherwise.
pub(crate) fn look(site: &Site, node: &Node, called: Option<&str>) -> Result<Interface, Failure> {
    let here = called.is_none();
    let read = Netlink::open().and_then(|mut netlink| Ok((netlink.links()?, netlink.addresses()?)));
    let (links, addresses) =
        read.map_err(|error| Failure::no(format!("cannot read the interfaces: {error}")))?;
    let found = links.iter().find(|link| link.name == node.interface).map(|link| {
        let driver = driver(link);
        // A kernel that cannot tell is no obstacle: the driver's name is the next best.
        let native = ability::native(link.index).unwrap_or_default();
        found(link, driver, native)
    });
    let names: Vec<&str> = links.iter().map(|link| link.name.as_str()).filter(|name| *name != "lo").collect();
    let mut remarks = remarks(&node.interface, found.as_ref(), here, &names);
    match called {
        None => remarks.extend(misplaced(site, node, &links, &addresses)),
        Some(host) => {
            let message = format!("this host is called {host}: to be {0} it takes --node {0}", node.name);
            remarks.push(Remark { wrong: false, message });
        }
    }
    Ok(Interface { node: node.name.clone(), name: node.interface.clone(), found, remarks })
}

/// The driver by the device tree of the kernel, which may show another network namespace: its index must agree.
fn driver(link: &Link) -> Option<String> {
    let device = std::path::Path::new("/sys/class/net").join(&link.name);
    let index = std::fs::read_to_string(device.join("ifindex")).ok()?;
    let driver = std::fs::read_link(device.join("device/driver")).ok();
    let driver = driver.filter(|_| index.trim() == link.index.to_string());
    driver.and_then(|path| path.file_name().map(|name| name.to_string_lossy().into_owned()))
}

fn found(link: &Link, driver: Option<String>, native: Option<bool>) -> Found {
    let driver = driver.or_else(|| link.kind.clone());
    let known = driver.as_deref().is_some_and(|driver| NATIVE_DRIVERS.contains(&driver));
    Found {
        xdp: match native {
            Some(true) => Xdp::Native,
            Some(false) => Xdp::Generic,
            None if known => Xdp::Native,
            None => Xdp::Unknown,
        },
        driver,
        mtu: link.mtu,
        up: link.up,
        carrier: link.carrier,
        ethernet: link.ethernet,
        programs: link.xdp.iter().map(|Attached { mode, program }| Program { mode, id: *program }).collect(),
    }
}

fn remarks(name: &str, found: Option<&Found>, here: bool, others: &[&str]) -> Vec<Remark> {
    let wrong = |message: String| Remark { wrong: here, message };
    let odd = |message: String| Remark { wrong: false, message };
    let Some(found) = found else {
        let there = if others.is_empty() { "there is none besides lo".to_owned() } else { others.join(", ") };
        return vec![wrong(format!("this machine has no interface {name}: it has {there}"))];
    };
    let mut remarks = Vec::new();
    if !found.ethernet {
        remarks.push(wrong(format!(
            "{name} is no Ethernet: frames cannot be forwarded by their hardware address"
        )));
    }
    if !found.up {
        remarks.push(odd(format!("{name} is down: ip link set dev {name} up")));
    } else if !found.carrier {
        remarks.push(odd(format!("{name} has no carrier: connect its other end")));
    }
    match found.xdp {
        Xdp::Native if found.mtu > ONE_PAGE_MTU => {
            let message = format!("with an MTU of {} most drivers refuse native XDP", found.mtu);
            remarks.push(odd(format!("{message}: at most {ONE_PAGE_MTU}, or run --generic")));
        }
        Xdp::Native => {}
        Xdp::Generic => remarks.push(odd(format!("{name} runs XDP behind the driver only, which is slower"))),
        Xdp::Unknown => {
            remarks.push(odd(format!(
                "whether the driver of {name} runs XDP cannot be told: `geminus run` tries"
            )));
        }
    }
    for Program { mode, id } in &found.programs {
        let message = format!("an XDP program is on {name} already ({mode}, id {id})");
        remarks.push(odd(format!(
            "{message}: one of geminus is adopted, another is replaced with --force only"
        )));
    }
    remarks
}

/// The node address is an address of the machine, a cluster address is none: the data plane answers for it, and on any
/// interface but `lo` the kernel would answer as well.
fn misplaced(site: &Site, node: &Node, links: &[Link], placed: &[Placed]) -> Vec<Remark> {
    let mut remarks = Vec::new();
    let Node { name, address, interface } = node;
    if placed.iter().all(|placed| placed.address != *address) {
        let message = format!("{address}, the address of node {name}, is not an address of this machine");
        remarks.push(Remark { wrong: true, message: format!("{message}: add it to {interface}") });
    }
    for NodePath { partner, own, .. } in plan::paths_of(site, name) {
        if own != *address && placed.iter().all(|placed| placed.address != own) {
            let message = format!("{own}, the end of a path to {partner}, is not an address of this machine");
            remarks
                .push(Remark { wrong: true, message: format!("{message}: add it, or mend `paths` in [ha]") });
        }
    }
    let of_clusters: HashSet<IpAddr> =
        site.clusters.iter().flat_map(|one| one.addresses.iter().copied()).collect();
    for Placed { link, address, prefix, .. } in
        placed.iter().filter(|placed| of_clusters.contains(&placed.address))
    {
        let link = links.iter().find(|one| one.index == *link).map(|link| link.name.as_str());
        if let Some(link) = link.filter(|link| *link != "lo") {
            let message =
                format!("the cluster address {address} is on {link}, where the kernel answers for it too");
            let message = format!("{message}: ip address del {address}/{prefix} dev {link}");
            remarks.push(Remark { wrong: false, message });
        }
    }
    remarks
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link() -> Link {
        Link {
            index: 2,
            name: "eth0".into(),
            up: true,
            carrier: true,
            ethernet: true,
            mtu: 1500,
            kind: None,
            xdp: vec![],
        }
    }

    fn remarked(link: &Link, native: Option<bool>) -> Vec<Remark> {
        remarks("eth0", Some(&found(link, Some("virtio_net".into()), native)), true, &[])
    }

    #[test]
    fn an_interface_in_order_needs_no_remark() {
        assert_eq!(remarked(&link(), Some(true)), []);
        assert_eq!(remarked(&link(), None), []);
    }

    #[test]
    fn an_interface_that_does_not_exist_is_wrong_only_where_this_machine_is_meant() {
        let of = |here| remarks("eth9", None, here, &["eth0", "eth1"]).remove(0);
        assert_eq!(of(true).message, "this machine has no interface eth9: it has eth0, eth1");
        assert_eq!((of(true).wrong, of(false).wrong), (true, false));
    }

    #[test]
    fn each_oddity_is_one_remark() {
        let odd = [
            (Link { up: false, ..link() }, Some(true), "is down"),
            (Link { carrier: false, ..link() }, Some(true), "no carrier"),
            (Link { ethernet: false, ..link() }, Some(true), "no Ethernet"),
            (Link { mtu: 9000, ..link() }, Some(true), "MTU of 9000"),
            (link(), Some(false), "behind the driver"),
            (Link { xdp: vec![Attached { mode: "native", program: 7 }], ..link() }, Some(true), "id 7"),
        ];
        for (link, native, part) in odd {
            let remarks = remarked(&link, native);
            assert_eq!(remarks.len(), 1, "{remarks:?}");
            assert!(remarks[0].message.contains(part), "{remarks:?}");
        }
    }

    #[test]
    fn the_node_address_must_be_here_and_a_cluster_address_must_not() {
        let site =
            geminus_core::config::parse(super::super::tests::SITE, "geminus.toml").expect("a sound file");
        let placed = |link, address: &str| Placed {
            link,
            address: address.parse().expect("an address"),
            prefix: 24,
            blocked: false,
        };
        let links = [Link { index: 1, name: "lo".into(), ethernet: false, ..link() }, link()];
        let remarked = |placed: &[Placed]| misplaced(&site, &site.nodes[0], &links, placed);
        assert_eq!(remarked(&[placed(2, "198.51.100.11"), placed(1, "198.51.100.80")]), []);
        let remarks = remarked(&[placed(2, "198.51.100.80")]);
        assert_eq!(remarks.iter().map(|remark| remark.wrong).collect::<Vec<_>>(), [true, false]);
        assert!(remarks[1].message.ends_with("ip address del 198.51.100.80/24 dev eth0"), "{remarks:?}");
    }

    #[test]
    fn the_ends_of_paths_must_be_here() {
        let text = include_str!("../../../../../examples/pair.toml");
        let site = geminus_core::config::parse(text, "geminus.toml").expect("a sound file");
        let placed = |address: &str| Placed {
            link: 2,
            address: address.parse().expect("an address"),
            prefix: 24,
            blocked: false,
        };
        let remarked = |placed: &[Placed]| misplaced(&site, &site.nodes[1], &[link()], placed);
        assert_eq!(remarked(&[placed("198.51.100.12"), placed("203.0.113.2")]), []);
        let remarks = remarked(&[placed("198.51.100.12"), placed("203.0.113.1")]);
        assert_eq!(remarks.len(), 1, "{remarks:?}");
        assert!(
            remarks[0].wrong && remarks[0].message.starts_with("203.0.113.2, the end of a path to alpha")
        );
    }

    #[test]
    fn the_kernel_knows_better_than_the_list_of_drivers() {
        let xdp = |driver: &str, native| found(&link(), Some(driver.into()), native).xdp;
        assert_eq!(xdp("veth", Some(false)), Xdp::Generic);
        assert_eq!(xdp("veth", None), Xdp::Native);
        assert_eq!(xdp("e1000", Some(true)), Xdp::Native);
        assert_eq!(xdp("e1000", None), Xdp::Unknown);
    }
}
