//! From the checked tree to the model.
//!
//! Only a tree without an error comes here; none is returned only where the description of the keys and this file
//! disagree, and the laws over whole files hold that they do not.

mod balance;
mod check;
mod ha;
mod pools;

use std::net::IpAddr;
use std::time::Duration;

pub(super) use self::balance::agents_are_heard;
pub(super) use self::check::timing;
pub(super) use self::ha::timers;

use super::read::{At, Node, Slot};
use super::scalar::Scalar;
use crate::model::{
    Affinity, Cluster, Method, Node as Dispatcher, OnDown, Ports, Prefix, Protocol, Select, Server, Service,
    Site, Tables, Timeouts, Unexposed,
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
        health: balance::health(root.table("health")?)?,
        manager: balance::manager(root.table("manager")?)?,
        agents: balance::agents(root)?,
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
    let protocol = match word(node, "protocol")? {
        "tcp" => Protocol::Tcp,
        "udp" => Protocol::Udp,
        _ => return None,
    };
    let ports = ports(node)?;
    let pools = pools::names(node)?;
    Some(Service {
        protocol,
        ports,
        method: match word(node, "method")? {
            "mac" => Method::Mac,
            _ => return None,
        },
        select: match word(node, "select")? {
            "hash" => Select::Hash,
            "round-robin" => Select::RoundRobin,
            "least-connections" => Select::LeastConnections,
            _ => return None,
        },
        affinity: match node.slot("affinity") {
            Slot::Table(affinity_of) => Some(affinity(affinity_of)?),
            _ => None,
        },
        ring_slots: number(node, "ring")?,
        servers: pools::servers(node)?,
        check: check::check(node, protocol, ports)?,
        on_down: match word(node, "on_down")? {
            "rehash" => OnDown::Rehash,
            "keep" => OnDown::Keep,
            "reset" => OnDown::Reset,
            _ => return None,
        },
        managed: match word(node, "weights")? {
            "fixed" => false,
            "managed" => true,
            _ => return None,
        },
        rules: pools::rules(node, &pools)?,
        sorry: match text(node, "sorry") {
            Some(name) => Some(pools::number(&pools, &name)?),
            None => None,
        },
        pools,
        allow: prefixes(node, "allow"),
        deny: prefixes(node, "deny"),
    })
}

fn prefixes(node: &Node, key: &str) -> Vec<Prefix> {
    let prefix = |value: &At<Scalar>| match value.value {
        Scalar::Prefix(prefix) => Some(prefix),
        _ => None,
    };
    node.many(key).iter().filter_map(prefix).collect()
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
            group: text(node, "group"),
        }),
        _ => None,
    }
}

fn server(node: &Node, pool: u8) -> Option<Server> {
    let address = node.one("address").and_then(address)?;
    let window = |value: &At<Scalar>| match value.value {
        Scalar::Window(window) => Some(window),
        _ => None,
    };
    Some(Server {
        name: text(node, "name").unwrap_or_else(|| address.to_string()),
        address,
        weight: number(node, "weight")?.try_into().ok()?,
        pool,
        fixed: flag(node, "fixed")?,
        sticky: flag(node, "sticky")?,
        maintenance: node.many("maintenance").iter().filter_map(window).collect(),
    })
}
