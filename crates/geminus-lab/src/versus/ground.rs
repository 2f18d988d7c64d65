//! What stands between the nodes and can be cut: the same for everybody, because it knows nothing of what runs on them.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use crate::frames::Mac;
use crate::namespace::Namespace;
use crate::site::{CLUSTER, Site};
use crate::traffic::probe;
use crate::twins::Twin;
use crate::wire::mac_of;

/// The client, the wires, and who is who on the LAN.
#[derive(Debug)]
pub(super) struct Ground {
    pub(super) client: Namespace,
    /// The switch, and the cable between the nodes; in both a node's port has the node's name.
    ways: [Namespace; 2],
    macs: [Mac; 2],
}

impl Ground {
    pub(super) fn of(site: &Site) -> Result<Self> {
        let cable = site.cable.as_ref().context("the nodes have no cable")?.clone();
        let mac = |twin: Twin| mac_of(&site.dispatchers[twin.place()].namespace, "eth0");
        let macs = [mac(Twin::Alpha)?, mac(Twin::Beta)?];
        Ok(Self { client: site.client.clone(), ways: [site.switch.clone(), cable], macs })
    }

    /// A node's hardware address on the LAN.
    pub(super) fn mac(&self, node: Twin) -> Mac {
        self.macs[node.place()]
    }

    /// The node's ports forward nothing, in neither direction.
    pub(super) fn block(&self, node: Twin) -> Result<()> {
        self.set_ports(node, "0")
    }

    pub(super) fn unblock(&self, node: Twin) -> Result<()> {
        self.set_ports(node, "3")
    }

    fn set_ports(&self, node: Twin, state: &str) -> Result<()> {
        for way in &self.ways {
            way.run("bridge", &["link", "set", "dev", node.name(), "state", state])?;
        }
        Ok(())
    }

    /// The node's LAN interface loses its carrier.
    pub(super) fn pull(&self, node: Twin) -> Result<()> {
        self.ways[0].ip(&format!("link set {} down\n", node.name()))
    }

    pub(super) fn plug(&self, node: Twin) -> Result<()> {
        self.ways[0].ip(&format!("link set {} up\n", node.name()))
    }

    /// Nothing gets from one node to the other any more, on no way; everything else does.
    pub(super) fn cut_one_way(&self, from: Twin) -> Result<()> {
        self.filter(&between(from, "drop"))
    }

    /// Loses this share of the frames between the nodes on every way, in each direction, independently of each other.
    pub(super) fn lose(&self, percent: u32) -> Result<()> {
        let lose = format!("numgen random mod 100 < {percent} drop");
        self.filter(&Twin::BOTH.map(|from| between(from, &lose)).concat())
    }

    /// Ends cuts and loss.
    pub(super) fn mend(&self) -> Result<()> {
        self.filter("")
    }

    fn filter(&self, rules: &str) -> Result<()> {
        // Declared first, so that there is something to forget.
        let text = format!(
            "table bridge versus {{}}\ndelete table bridge versus\ntable bridge versus {{\n  chain between {{\n    \
             type filter hook forward priority 0; policy accept;\n{rules}  }}\n}}\n"
        );
        for way in &self.ways {
            way.feed("nft", &["-f", "-"], &text)?;
        }
        Ok(())
    }

    /// Waits until the address answers an echo request.
    pub(super) fn wait_for_answer(&self, limit: Duration) -> Result<()> {
        let (begun, address) = (Instant::now(), IpAddr::V4(CLUSTER.v4));
        while !probe::echo(&self.client, address, Duration::from_millis(100))? {
            ensure!(begun.elapsed() < limit, "the address does not answer within {limit:?}");
        }
        Ok(())
    }
}

fn between(from: Twin, verdict: &str) -> String {
    format!("    iifname \"{}\" oifname \"{}\" {verdict}\n", from.name(), from.other().name())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_one_way_cut_has_one_direction() {
        assert_eq!(between(Twin::Alpha, "drop"), "    iifname \"alpha\" oifname \"beta\" drop\n");
    }
}
