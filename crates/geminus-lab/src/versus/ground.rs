//! The ground on which both are measured: client – router – switch – two nodes, and a machine that only watches.

use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::namespace::Namespace;
use crate::site::{CLUSTER, Machine, Site};

use super::asker::{Mac, hardware_address};

/// Index of the node that is active in normal times.
pub(super) const ALPHA: usize = 0;
/// Index of the node that takes over.
pub(super) const BETA: usize = 1;

/// Site, nodes and watcher.
#[derive(Debug)]
pub(super) struct Ground {
    pub(super) site: Site,
    /// Their hardware addresses on the LAN.
    pub(super) macs: [Mac; 2],
}

impl Ground {
    /// Builds a site of `content_hosts` content hosts and one machine more, which watches.
    pub(super) fn build(content_hosts: u8) -> Result<Self> {
        let site = Site::builder().content_hosts(content_hosts + 1).dispatchers(["alpha", "beta"]).build()?;
        let mac = |node: usize| hardware_address(&site.dispatchers[node].namespace, "eth0");
        let macs = [mac(ALPHA)?, mac(BETA)?];
        Ok(Self { site, macs })
    }

    pub(super) fn node(&self, node: usize) -> &Machine {
        &self.site.dispatchers[node]
    }

    /// The machine that asks who has the address.
    pub(super) fn watcher(&self) -> Result<&Machine> {
        self.site.hosts.last().context("the ground has a watcher")
    }

    pub(super) fn client(&self) -> &Namespace {
        &self.site.client
    }

    /// The node's ports forward nothing, in neither direction.
    pub(super) fn block(&self, node: usize) -> Result<()> {
        self.set_port(node, "0")
    }

    pub(super) fn unblock(&self, node: usize) -> Result<()> {
        self.set_port(node, "3")
    }

    fn set_port(&self, node: usize, state: &str) -> Result<()> {
        let port = &self.node(node).name;
        self.site.switch.run("bridge", &["link", "set", "dev", port, "state", state]).map(drop)
    }

    /// The node's LAN interface loses its carrier.
    pub(super) fn pull_cable(&self, node: usize) -> Result<()> {
        self.site.switch.ip(&format!("link set {} down\n", self.node(node).name))
    }

    pub(super) fn plug_in(&self, node: usize) -> Result<()> {
        self.site.switch.ip(&format!("link set {} up\n", self.node(node).name))
    }

    /// Nothing gets from one node to the other any more; everything else does.
    pub(super) fn cut_one_way(&self, from: usize, to: usize) -> Result<()> {
        self.filter(&format!("    {} drop\n", self.between(from, to)))
    }

    /// Loses this share of the frames between the nodes, in each direction, independently of each other.
    pub(super) fn lose(&self, percent: u32) -> Result<()> {
        let lose =
            |from, to| format!("    {} numgen random mod 100 < {percent} drop\n", self.between(from, to));
        self.filter(&(lose(ALPHA, BETA) + &lose(BETA, ALPHA)))
    }

    /// Ends cuts and loss.
    pub(super) fn mend(&self) -> Result<()> {
        self.site.switch.run("nft", &["delete", "table", "bridge", TABLE]).map(drop)
    }

    fn between(&self, from: usize, to: usize) -> String {
        format!("iifname \"{}*\" oifname \"{}*\"", self.node(from).name, self.node(to).name)
    }

    fn filter(&self, rules: &str) -> Result<()> {
        let text = format!(
            "table bridge {TABLE} {{\n  chain between {{\n    type filter hook forward priority 0; policy accept;\n{rules}  }}\n}}\n"
        );
        self.site.switch.feed("nft", &["-f", "-"], &text).map(drop)
    }

    /// Waits until the address answers an echo request.
    pub(super) fn wait_for_answer(&self, limit: Duration) -> Result<()> {
        let begun = std::time::Instant::now();
        let patience = Duration::from_millis(100);
        while !crate::traffic::probe::echo(self.client(), CLUSTER.v4.into(), patience)? {
            anyhow::ensure!(begun.elapsed() < limit, "the address does not answer within {limit:?}");
        }
        Ok(())
    }
}

const TABLE: &str = "versus";
