//! What two partners have in common.

use std::collections::HashMap;

use crate::model::Site;
use crate::plan::server_identity;

/// The servers of the clusters that two nodes stand in for each other for, by identity, with the number of the group.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Shared(HashMap<u64, u8>);

impl Shared {
    /// What `node` and `partner` have in common.
    pub fn of(site: &Site, node: &str, partner: &str) -> Self {
        let mut shared = HashMap::new();
        for group in site.groups() {
            let pair = [group.primary.as_str(), group.backup.as_str()];
            if pair != [node, partner] && pair != [partner, node] {
                continue;
            }
            for cluster in group.clusters.iter().map(|&index| &site.clusters[index]) {
                for service in &cluster.services {
                    for server in &service.servers {
                        shared.insert(server_identity(cluster, service, server), group.number);
                    }
                }
            }
        }
        Self(shared)
    }

    /// Number of the group of a server that both have.
    pub(super) fn group(&self, identity: u64) -> Option<u8> {
        self.0.get(&identity).copied()
    }

    /// How many servers.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is nothing to replicate.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
