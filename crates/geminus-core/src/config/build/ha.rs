//! High availability, from the tree to the model.

use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;

use super::{address, duration, number, word};
use crate::config::read::{Node, Slot};
use crate::config::scalar::Scalar;
use crate::model::{Announce, Cluster, HOOK_EVENTS, Ha, Hooks, Node as Dispatcher, Path, Recovery, Timers};

pub(super) fn ha(root: &Node, nodes: &[Dispatcher], clusters: &[Cluster]) -> Option<Ha> {
    let ha = root.table("ha")?;
    Some(Ha {
        lease: duration(ha, "lease")?,
        timers: timers(ha)?,
        port: number(ha, "port")?.try_into().ok()?,
        paths: paths(ha, nodes, clusters),
        reach: ha.many("reach").iter().map(address).collect::<Option<_>>()?,
        recovery: match word(ha, "recovery")? {
            "auto" => Recovery::Auto,
            "manual" => Recovery::Manual,
            _ => return None,
        },
        stable: duration(ha, "stable")?,
        alone_after: duration(ha, "alone_after")?,
        announce: match word(ha, "announce")? {
            "gratuitous" => Announce::Gratuitous,
            "virtual-mac" => Announce::VirtualMac,
            _ => return None,
        },
        key_file: path(ha, "key_file"),
        also_accept: path(ha, "also_accept"),
        hooks: hooks(root.table("hooks")?)?,
    })
}

/// The timers of the profile, less those that the file says itself.
pub(in crate::config) fn timers(ha: &Node) -> Option<Timers> {
    let profile = match word(ha, "profile")? {
        "default" => Timers::DEFAULT,
        "fast" => Timers::FAST,
        _ => return None,
    };
    Some(Timers {
        heartbeat: duration(ha, "heartbeat").unwrap_or(profile.heartbeat),
        suspect: number(ha, "suspect").unwrap_or(profile.suspect),
        probes: number(ha, "probes").unwrap_or(profile.probes),
        confirm: duration(ha, "confirm").unwrap_or(profile.confirm),
    })
}

pub(super) fn path(node: &Node, key: &str) -> Option<PathBuf> {
    match &node.one(key)?.value {
        Scalar::Path(path) => Some(path.clone()),
        _ => None,
    }
}

/// The paths of the file, or one from node address to node address for each two partners.
fn paths(ha: &Node, nodes: &[Dispatcher], clusters: &[Cluster]) -> Vec<Path> {
    let mut sharing = HashSet::new();
    for cluster in clusters {
        if let (one, Some(other)) = (cluster.primary.as_str(), cluster.backup.as_deref()) {
            sharing.extend([(one, other), (other, one)]);
        }
    }
    let later = |number: usize| nodes.iter().skip(number + 1);
    let mut partners = nodes
        .iter()
        .enumerate()
        .flat_map(|(number, one)| later(number).map(move |other| [one, other]))
        .filter(|[one, other]| sharing.contains(&(one.name.as_str(), other.name.as_str())));
    let path =
        |nodes: [&Dispatcher; 2], addresses| Path { nodes: nodes.map(|node| node.name.clone()), addresses };
    match ha.slot("paths") {
        Slot::Pairs(pairs) => {
            let Some(nodes) = partners.next() else { return Vec::new() };
            pairs.iter().map(|pair| path(nodes, pair.value.map(|end| end.value))).collect()
        }
        _ => partners.map(|nodes| path(nodes, nodes.map(|node| node.address))).collect(),
    }
}

fn hooks(node: &Node) -> Option<Hooks> {
    let mut commands = BTreeMap::new();
    for event in HOOK_EVENTS {
        if let Some(Scalar::Command(words)) = node.one(event).map(|command| &command.value) {
            commands.insert(event.to_string(), words.clone());
        }
    }
    Some(Hooks { timeout: duration(node, "timeout")?, commands })
}
