//! From the checked tree to the model.
//!
//! Only a tree without an error comes here; none is returned only where the description of the keys and this file
//! disagree, and the laws over whole files hold that they do not.

mod ha;

use std::net::IpAddr;
use std::time::Duration;

pub(super) use self::ha::timers;

use super::read::{At, Node, Slot};
use super::scalar::Scalar;
use crate::model::{
    Affinity, Cluster, Method, Node as Dispatcher, Ports, Protocol, Select, Server, Service, Site, Tables,
    Timeouts, Unexposed,
};

/// Fewest half-open flows remembered by default: a small flow table must not make a SYN flood cheap.
const PROVISIONAL_MIN: u32 = 16 << 10;

/// Half-open flows are this much rarer than flows by default.
const FLOWS_PER_PROVISIONAL: u32 = 16;

/// The site that a tree without an error says.
pub(super) fn site(root: &Node) -> Option<Site> {
    let nodes: Vec<_> = root.named("node").iter().map(dispatcher).collect::<Option<_>>()?;
    let first = &nodes.first()?.name;
    let clusters: Vec<_> =
        root.named("cluster").iter().map(|named| cluster(named, first)).collect::<Option<_>>()?;
    Some(Site {
        key_file: ha::path(root.table("site")?, "key_file"),
        health: crate::model::Health::default(),
        manager: crate::model::Manager::default(),
        agents: crate::model::Agents::default(),
        ha: ha::ha(root, &nodes, &clusters)?,
        tables: tables(root.table("tables")?)?,
        timeouts: timeouts(root.table("timeouts")?)?,
        clusters,
        nodes,
    })
}

fn text(node: &Node, key: &str) -> Option<String> {
    match &node.one(key)?.value {
        Scalar::Text(text) => Some(text.clone()),
        _ => None,
    }
}

fn word(node: &Node, key: &str) -> Option<&'static str> {
    match node.one(key)?.value {
        Scalar::Word(word) => Some(word),
        _ => None,
    }
}

fn flag(node: &Node, key: &str) -> Option<bool> {
    match node.one(key)?.value {
        Scalar::Flag(flag) => Some(flag),
        _ => None,
    }
}

fn number(node: &Node, key: &str) -> Option<u32> {
    match node.one(key)?.value {
        Scalar::Number(number) => Some(number),
        _ => None,
    }
}

/// A duration, if it is there and sound.
pub(super) fn duration(node: &Node, key: &str) -> Option<Duration> {
    match node.one(key)?.value {
        Scalar::Duration(duration) => Some(duration),
        _ => None,
    }
}

fn address(value: &At<Scalar>) -> Option<IpAddr> {
    match value.value {
        Scalar::Address(address) => Some(address),
        _ => None,
    }
}

fn dispatcher((name, node): &(At<String>, Node)) -> Option<Dispatcher> {
    Some(Dispatcher {
        name: name.value.clone(),
        address: node.one("address").and_then(address)?,
        interface: text(node, "interface")?,
    })
}

fn tables(node: &Node) -> Option<Tables> {
    let flows = number(node, "flows")?;
    Some(Tables {
        flows,
        provisional: number(node, "provisional")
            .unwrap_or_else(|| (flows / FLOWS_PER_PROVISIONAL).max(PROVISIONAL_MIN)),
        affinity: number(node, "affinity")?,
        tuples: flag(node, "tuples")?,
    })
}

fn timeouts(node: &Node) -> Option<Timeouts> {
    Some(Timeouts {
        tcp: duration(node, "tcp")?,
        tcp_fin: duration(node, "tcp_fin")?,
        tcp_rst: duration(node, "tcp_rst")?,
        udp: duration(node, "udp")?,
        first: duration(node, "first")?,
    })
}

fn cluster((name, node): &(At<String>, Node), first_node: &str) -> Option<Cluster> {
    Some(Cluster {
        name: name.value.clone(),
        addresses: node.many("addresses").iter().map(address).collect::<Option<_>>()?,
        primary: text(node, "primary").unwrap_or_else(|| first_node.to_string()),
        backup: text(node, "backup"),
        unexposed: match word(node, "unexposed")? {
            "drop" => Unexposed::Drop,
            "pass" => Unexposed::Pass,
            _ => return None,
        },
        ping: flag(node, "ping")?,
        services: node.list("service").iter().map(service).collect::<Option<_>>()?,
    })
}

fn service(node: &Node) -> Option<Service> {
    Some(Service {
        protocol: match word(node, "protocol")? {
            "tcp" => Protocol::Tcp,
            "udp" => Protocol::Udp,
            _ => return None,
        },
        ports: ports(node)?,
        method: match word(node, "method")? {
            "mac" => Method::Mac,
            _ => return None,
        },
        select: match word(node, "select")? {
            "hash" => Select::Hash,
            "round-robin" => Select::RoundRobin,
            _ => return None,
        },
        affinity: match node.slot("affinity") {
            Slot::Table(affinity_of) => Some(affinity(affinity_of)?),
            _ => None,
        },
        ring_slots: number(node, "ring")?,
        ..Service::new(
            Protocol::Tcp,
            ports(node)?,
            node.list("servers").iter().map(server).collect::<Option<_>>()?,
        )
    })
}

fn ports(node: &Node) -> Option<Ports> {
    match node.one("port")?.value {
        Scalar::Ports(ports) => Some(ports),
        _ => None,
    }
}

fn affinity(node: &Node) -> Option<Affinity> {
    match word(node, "by")? {
        "source" => Some(Affinity {
            prefix4: number(node, "prefix")?.try_into().ok()?,
            prefix6: number(node, "prefix6")?.try_into().ok()?,
            timeout: duration(node, "timeout")?,
            group: None,
        }),
        _ => None,
    }
}

fn server(node: &Node) -> Option<Server> {
    let address = node.one("address").and_then(address)?;
    let name = text(node, "name").unwrap_or_else(|| address.to_string());
    Some(Server { weight: number(node, "weight")?.try_into().ok()?, ..Server::new(name, address) })
}
