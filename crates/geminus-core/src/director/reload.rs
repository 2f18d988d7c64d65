//! What a new configuration may change while everything runs, and what it may not.

use super::orders::Refusal;
use crate::model::{Node, Site};

/// Refuses a site that this process cannot change to.
pub(super) fn check(running: &Site, wanted: &Site, node: &Node) -> Result<(), Refusal> {
    let Some(same) = wanted.nodes.iter().find(|wanted| wanted.name == node.name) else {
        let message = format!("the new configuration has no node {}", node.name);
        return Err(Refusal::new(message, "put the node back, or stop geminus on this machine"));
    };
    let tables = (running.tables, wanted.tables);
    let fixed = [
        ("the node's interface", node.interface.clone(), same.interface.clone()),
        ("the node's address", node.address.to_string(), same.address.to_string()),
        ("key_file", path(running), path(wanted)),
        ("the size of the flow table", tables.0.flows.to_string(), tables.1.flows.to_string()),
        (
            "the size of the provisional table",
            tables.0.provisional.to_string(),
            tables.1.provisional.to_string(),
        ),
        ("the size of the affinity table", tables.0.affinity.to_string(), tables.1.affinity.to_string()),
        ("whether 5-tuples are kept", tables.0.tuples.to_string(), tables.1.tuples.to_string()),
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
