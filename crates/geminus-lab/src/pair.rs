//! What a site with two dispatchers is made of, and the one configuration file that both read.
//!
//! ```text
//!   client ── router ──┬── switch ──┬── alpha ─┐
//!                      │            ├── beta  ─┘ a cable, or a network each behind the router
//!                      │            ├── observer
//!                      │            └── web1 … webN
//! ```

use std::fmt::Write as _;
use std::net::IpAddr;
use std::path::PathBuf;

use crate::HTTP;
use crate::site::{Addresses, CLUSTER, Family, MAIL, Machine, ROUTER, Second, SiteBuilder, second_address};
use crate::traffic::echo::ECHO;

/// How roles and machines are spread over the site.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Topology {
    /// One cluster, `shop`, primary `alpha`, backup `beta`; a cable between the two.
    Pair,
    /// Besides `shop` a cluster `mail`, primary `beta`, backup `alpha`.
    Mutual,
    /// As `Pair`, and `beta` is itself a server of the cluster.
    Collocated,
    /// As `Mutual`, and the two dispatchers are the only servers.
    TwoBoxes,
    /// As `Pair`, but the second way leads through the router.
    PairAcrossRouter,
}

/// A site's configuration file.
#[derive(Debug, Clone)]
pub struct SiteFile {
    /// The dispatchers.
    pub nodes: Vec<Machine>,
    /// The secret that they share.
    pub key_file: PathBuf,
    /// `[ha]`.
    pub ha: HaLines,
    /// The clusters.
    pub clusters: Vec<ClusterLines>,
    /// Any other sections, as TOML.
    pub further: String,
}

/// The section `[ha]`.
#[derive(Debug, Clone, Default)]
pub struct HaLines {
    /// Pairs of addresses that heartbeats travel between.
    pub paths: Vec<[IpAddr; 2]>,
    /// Addresses that tell whether a node is on the network.
    pub reach: Vec<IpAddr>,
    /// Any other key with its value as TOML: `("profile", "\"fast\"")`. The last one of a name counts.
    pub keys: Vec<(&'static str, String)>,
}

/// One cluster.
#[derive(Debug, Clone)]
pub struct ClusterLines {
    /// Its name.
    pub name: &'static str,
    /// What clients use.
    pub addresses: Vec<IpAddr>,
    /// Name of the primary.
    pub primary: String,
    /// Name of the backup; none: nobody is.
    pub backup: Option<String>,
    /// Servers of every service with their weights.
    pub servers: Vec<(Machine, u16)>,
    /// Further keys of the TCP service, as TOML: `check = { http = "/" }`. Empty: the defaults.
    pub keys: String,
}

/// The cluster that every topology has.
pub const SHOP: &str = "shop";
/// The cluster that `beta` is primary of.
pub const MAIL_NAME: &str = "mail";

impl Topology {
    /// The site, not built yet.
    pub fn builder(self, content_hosts: u8) -> SiteBuilder {
        let second = if self == Self::PairAcrossRouter { Second::Router } else { Second::Cable };
        crate::site::Site::builder()
            .content_hosts(if self == Self::TwoBoxes { 0 } else { content_hosts })
            .dispatchers(["alpha", "beta"])
            .second(second)
            .observer()
    }

    /// The clusters' names and addresses.
    pub fn clusters(self) -> Vec<(&'static str, Addresses)> {
        let mut clusters = vec![(SHOP, CLUSTER)];
        if self.is_mutual() {
            clusters.push((MAIL_NAME, MAIL));
        }
        clusters
    }

    /// Places of the dispatchers that are servers too.
    pub const fn collocated(self) -> &'static [usize] {
        match self {
            Self::Pair | Self::Mutual | Self::PairAcrossRouter => &[],
            Self::Collocated => &[1],
            Self::TwoBoxes => &[0, 1],
        }
    }

    const fn is_mutual(self) -> bool {
        matches!(self, Self::Mutual | Self::TwoBoxes)
    }

    /// Where heartbeats travel: on the LAN, and on the second way.
    pub fn paths(self, nodes: &[Machine], second: Family) -> Vec<[IpAddr; 2]> {
        let way = if self == Self::PairAcrossRouter { Second::Router } else { Second::Cable };
        let beside = [0, 1].map(|place| second_address(way, place).of(second));
        vec![[nodes[0].addresses.v4.into(), nodes[1].addresses.v4.into()], beside]
    }

    /// The file that both dispatchers read. The second path speaks IPv6 on the cable, so that every site has both.
    pub fn file(self, nodes: &[Machine], hosts: &[Machine], key_file: PathBuf) -> SiteFile {
        let second = if self == Self::PairAcrossRouter { Family::V4 } else { Family::V6 };
        let servers = hosts.iter().chain(self.collocated().iter().map(|&place| &nodes[place]));
        let servers: Vec<_> = servers.map(|machine| (machine.clone(), 1)).collect();
        let cluster = |(name, addresses): (&'static str, Addresses)| {
            let (primary, backup) = if name == SHOP { (0, 1) } else { (1, 0) };
            ClusterLines {
                name,
                addresses: Family::BOTH.map(|family| addresses.of(family)).to_vec(),
                primary: nodes[primary].name.clone(),
                backup: Some(nodes[backup].name.clone()),
                servers: servers.clone(),
                keys: String::new(),
            }
        };
        SiteFile {
            nodes: nodes.to_vec(),
            key_file,
            ha: HaLines { paths: self.paths(nodes, second), reach: vec![ROUTER.v4.into()], keys: Vec::new() },
            clusters: self.clusters().into_iter().map(cluster).collect(),
            further: String::new(),
        }
    }
}

impl SiteFile {
    /// Sets a key of `[ha]`; `value` is TOML.
    pub fn set(&mut self, key: &'static str, value: impl Into<String>) -> &mut Self {
        self.ha.keys.retain(|(known, _)| *known != key);
        self.ha.keys.push((key, value.into()));
        self
    }

    /// The file.
    pub fn text(&self) -> String {
        let mut text = format!("[site]\nkey_file = \"{}\"\n", self.key_file.display());
        for node in &self.nodes {
            let _ = write!(
                text,
                "\n[node.{}]\naddress = \"{}\"\ninterface = \"eth0\"\n",
                node.name, node.addresses.v4
            );
        }
        text.push_str("\n[ha]\n");
        let paths = self.ha.paths.iter().map(|[one, other]| format!("[\"{one}\", \"{other}\"]"));
        let _ = writeln!(text, "paths = [{}]", paths.collect::<Vec<_>>().join(", "));
        let _ = writeln!(text, "reach = [{}]", quoted(&self.ha.reach));
        for (key, value) in &self.ha.keys {
            let _ = writeln!(text, "{key} = {value}");
        }
        for cluster in &self.clusters {
            text.push_str(&cluster.text());
        }
        text.push_str(&self.further);
        text
    }
}

impl ClusterLines {
    fn text(&self) -> String {
        let mut text = format!(
            "\n[cluster.{}]\naddresses = [{}]\nprimary = \"{}\"\n",
            self.name,
            quoted(&self.addresses),
            self.primary
        );
        if let Some(backup) = &self.backup {
            let _ = writeln!(text, "backup = \"{backup}\"");
        }
        for (port, protocol) in [(HTTP, "tcp"), (ECHO, "udp")] {
            let keys = if protocol == "tcp" { self.keys.as_str() } else { "" };
            let _ = write!(
                text,
                "\n[[cluster.{}.service]]\nport = {port}\nprotocol = \"{protocol}\"\nmethod = \"mac\"\n{keys}\nservers = [\n",
                self.name
            );
            for (server, weight) in &self.servers {
                let _ = writeln!(
                    text,
                    "  {{ name = \"{}\", address = \"{}\", weight = {weight} }},",
                    server.name, server.addresses.v4
                );
            }
            text.push_str("]\n");
        }
        text
    }
}

fn quoted(addresses: &[IpAddr]) -> String {
    addresses.iter().map(|address| format!("\"{address}\"")).collect::<Vec<_>>().join(", ")
}
