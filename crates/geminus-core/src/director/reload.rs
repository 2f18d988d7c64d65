//! What a new configuration may change while everything runs, and what it may not.

use super::orders::Refusal;
use crate::model::{Node, Site};

/// Refuses a site that this process cannot change to.
pub(super) fn check(running: &Site, wanted: &Site, node: &Node) -> Result<(), Refusal> {
    let Some(same) = wanted.nodes.iter().find(|wanted| wanted.name == node.name) else {
        let message = format!("the new configuration has no node {}", node.name);
        return Err(Refusal::new(message, "put the node back, or stop geminus on this machine"));
    };
    let fixed = [
        ("the node's interface", node.interface.clone(), same.interface.clone()),
        ("key_file", path(running), path(wanted)),
    ];
    match fixed.into_iter().find(|(_, before, after)| before != after) {
        None => Ok(()),
        Some((what, before, after)) => {
            let message = format!("{what} cannot change from {before} to {after} while geminus runs");
            Err(Refusal::new(message, "restart geminus to change it; nothing has changed"))
        }
    }
}

fn path(site: &Site) -> String {
    site.key_file.as_ref().map_or_else(|| "none".to_owned(), |path| path.display().to_string())
}
