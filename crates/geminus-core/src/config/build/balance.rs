//! Health, manager and agents, from the tree to the model.

use super::ha::path;
use super::{duration, flag, number};
use crate::config::read::{Node, Slot};
use crate::model::{Agents, Health, Manager};

pub(super) fn health(node: &Node) -> Option<Health> {
    Some(Health {
        panic_below: number(node, "panic_below")?.try_into().ok()?,
        slow_start: duration(node, "slow_start")?,
        damping: duration(node, "damping")?,
        certificate_days: number(node, "certificate_days")?.try_into().ok()?,
    })
}

pub(super) fn manager(node: &Node) -> Option<Manager> {
    let proportions = node.table("proportions")?;
    let mut shares = [0; 4];
    for (share, input) in shares.iter_mut().zip(["active", "new", "latency", "load"]) {
        *share = number(proportions, input)?.try_into().ok()?;
    }
    Some(Manager {
        interval: duration(node, "interval")?,
        proportions: shares,
        sensitivity: number(node, "sensitivity")?.try_into().ok()?,
        smoothing: number(node, "smoothing")?.try_into().ok()?,
        bound: number(node, "bound")?.try_into().ok()?,
    })
}

pub(super) fn agents(root: &Node) -> Option<Agents> {
    let node = root.table("agents")?;
    Some(Agents {
        enabled: agents_are_heard(root)?,
        port: number(node, "port")?.try_into().ok()?,
        timeout: duration(node, "timeout")?,
        key_file: path(node, "key_file"),
    })
}

/// As the file says, else where there is a key to know them by.
pub(in crate::config) fn agents_are_heard(root: &Node) -> Option<bool> {
    let has_key =
        |table: &str| root.table(table).is_some_and(|node| !matches!(node.slot("key_file"), Slot::Absent));
    match root.table("agents")?.slot("enabled") {
        Slot::Absent => Some(has_key("agents") || has_key("site")),
        _ => flag(root.table("agents")?, "enabled"),
    }
}
