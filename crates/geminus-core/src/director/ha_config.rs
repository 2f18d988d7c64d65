//! What high availability needs to know of a site, seen from one node.

use std::net::IpAddr;

use crate::config;
use crate::ha::{Config, GroupConfig, PeerConfig, Role};
use crate::model::{Group, Site};

/// Clusters of a group that its name in messages lists; the rest is counted.
const NAMED: usize = 3;

/// Another node that shares clusters with this one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partner {
    /// Its name.
    pub name: String,
    /// Its own address.
    pub address: IpAddr,
    /// The paths to it, in the order of the configuration: this node's address and the partner's.
    pub paths: Vec<[IpAddr; 2]>,
}

/// What the machine works with on a node; none where no cluster of the node has a backup.
pub fn ha_config(site: &Site, node: &str) -> Option<Config> {
    let partners = partners(site, node);
    let groups: Vec<_> =
        groups(site, node).iter().filter_map(|group| group_config(site, node, group, &partners)).collect();
    let first = |digest: [u8; 32]| digest.iter().take(8).fold(0, |word, byte| word << 8 | u64::from(*byte));
    (!groups.is_empty()).then(|| Config {
        node: node.to_owned(),
        peers: partners
            .into_iter()
            .map(|partner| PeerConfig { name: partner.name, paths: partner.paths.len() })
            .collect(),
        groups,
        timers: site.ha.timers,
        lease: site.ha.lease,
        recovery: site.ha.recovery,
        stable: site.ha.stable,
        alone_after: site.ha.alone_after,
        reach_targets: u32::try_from(site.ha.reach.len()).unwrap_or(u32::MAX),
        digest: first(config::digest(site)),
    })
}

/// The partners of a node, in the order of the configuration: that of [`Config::peers`].
pub fn partners(site: &Site, node: &str) -> Vec<Partner> {
    let groups = groups(site, node);
    let shares = |name: &str| groups.iter().any(|group| other(group, node) == name);
    let paths = |partner: &str| {
        let ours_first = |path: &crate::model::Path| {
            let [one, two] = &path.nodes;
            let [first, second] = path.addresses;
            if one == node && two == partner {
                Some([first, second])
            } else if one == partner && two == node {
                Some([second, first])
            } else {
                None
            }
        };
        site.ha.paths.iter().filter_map(ours_first).collect()
    };
    site.nodes
        .iter()
        .filter(|partner| shares(&partner.name))
        .map(|partner| Partner {
            name: partner.name.clone(),
            address: partner.address,
            paths: paths(&partner.name),
        })
        .collect()
}

/// The cluster addresses of each group that a node has a role in.
pub fn group_addresses(site: &Site, node: &str) -> Vec<(u8, Vec<IpAddr>)> {
    let addresses = |group: &Group| {
        let of_cluster = |&index: &usize| site.clusters[index].addresses.iter().copied();
        group.clusters.iter().flat_map(of_cluster).collect()
    };
    groups(site, node).iter().map(|group| (group.number, addresses(group))).collect()
}

/// The groups that a node has a role in.
pub(super) fn groups(site: &Site, node: &str) -> Vec<Group> {
    site.groups().into_iter().filter(|group| group.primary == node || group.backup == node).collect()
}

fn other<'a>(group: &'a Group, node: &str) -> &'a str {
    if group.primary == node { &group.backup } else { &group.primary }
}

fn group_config(site: &Site, node: &str, group: &Group, partners: &[Partner]) -> Option<GroupConfig> {
    let peer = partners.iter().position(|partner| partner.name == other(group, node))?;
    let role = if group.primary == node { Role::Primary } else { Role::Backup };
    Some(GroupConfig { number: group.number, role, peer, name: name(site, group) })
}

/// The names of a group's clusters, as far as they fit a line.
fn name(site: &Site, group: &Group) -> String {
    let names: Vec<_> =
        group.clusters.iter().take(NAMED).map(|&index| site.clusters[index].name.as_str()).collect();
    match group.clusters.len().saturating_sub(NAMED) {
        0 => names.join(", "),
        more => format!("{} and {more} more", names.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site(clusters: &str) -> Site {
        let text = format!(
            r#"
            [site]
            key_file = "/etc/geminus/site.key"
            [node.alpha]
            address = "198.51.100.11"
            interface = "eth0"
            [node.beta]
            address = "198.51.100.12"
            interface = "eth0"
            [ha]
            reach = ["198.51.100.1"]
            {clusters}
            "#
        );
        config::parse(&text, "site.toml").expect("a sound site")
    }

    fn cluster(name: &str, last: u8, primary: &str, backup: Option<&str>) -> String {
        let backup = backup.map_or_else(String::new, |backup| format!("backup = \"{backup}\""));
        format!(
            r#"
            [cluster.{name}]
            addresses = ["198.51.100.{last}"]
            primary = "{primary}"
            {backup}
            [[cluster.{name}.service]]
            port = 80
            servers = [{{ name = "web1", address = "198.51.100.21" }}]
            "#
        )
    }

    #[test]
    fn a_node_without_a_partner_has_no_machine() {
        let site = site(&cluster("shop", 80, "alpha", None));
        assert_eq!(ha_config(&site, "alpha"), None);
        assert_eq!(ha_config(&site, "beta"), None);
        assert_eq!(partners(&site, "alpha"), []);
    }

    #[test]
    fn both_nodes_mean_the_same_group_and_path_from_their_own_side() {
        let clusters =
            cluster("shop", 80, "alpha", Some("beta")) + &cluster("mail", 81, "beta", Some("alpha"));
        let site = site(&clusters);
        let (alpha, beta) = (ha_config(&site, "alpha").expect("one"), ha_config(&site, "beta").expect("one"));
        let roles = |config: &Config| -> Vec<_> {
            config.groups.iter().map(|group| (group.number, group.role, group.name.clone())).collect()
        };
        let (mut ours, mut theirs) = (roles(&alpha), roles(&beta));
        ours.sort();
        theirs.sort();
        for ((number, role, name), (same, opposite, also)) in ours.iter().zip(&theirs) {
            assert_eq!((number, name), (same, also));
            assert_ne!(role, opposite);
        }
        assert_eq!((alpha.digest, alpha.reach_targets), (beta.digest, 1));
        let ours = &partners(&site, "alpha")[0];
        let theirs = &partners(&site, "beta")[0];
        assert_eq!((ours.name.as_str(), theirs.name.as_str()), ("beta", "alpha"));
        assert_eq!(ours.paths.len(), alpha.peers[0].paths);
        let swapped: Vec<_> = theirs.paths.iter().map(|&[own, partner]| [partner, own]).collect();
        assert_eq!(ours.paths, swapped);
        assert_eq!(ours.paths[0][0].to_string(), "198.51.100.11");
    }

    #[test]
    fn a_group_is_called_by_its_clusters() {
        let of = |count: u8| {
            let clusters: String =
                (0..count).map(|n| cluster(&format!("c{n}"), 80 + n, "alpha", Some("beta"))).collect();
            ha_config(&site(&clusters), "alpha").expect("one").groups[0].name.clone()
        };
        assert_eq!(of(1), "c0");
        assert_eq!(of(3), "c0, c1, c2");
        assert_eq!(of(5), "c0, c1, c2 and 2 more");
    }

    #[test]
    fn every_address_is_of_its_group() {
        let clusters = cluster("shop", 80, "alpha", Some("beta")) + &cluster("own", 81, "alpha", None);
        let site = site(&clusters);
        let groups = group_addresses(&site, "alpha");
        assert_eq!(groups.len(), 1);
        assert_eq!(groups[0].1, site.clusters[0].addresses);
        assert_eq!(groups[0].0, site.group_of(0));
    }
}
