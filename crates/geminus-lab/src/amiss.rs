//! Ways to set a content host up wrong for direct return, each with the name that it is to be given.

use anyhow::{Context as _, Result};

use crate::HTTP;
use crate::site::{CLUSTER, Family, Machine};

/// One of them: what is done to a host, and what undoes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Amiss {
    /// In words, after "a host that".
    pub what: &'static str,
    /// The name of the finding.
    pub finding: &'static str,
    wrong: Vec<String>,
    right: Vec<String>,
}

impl Amiss {
    fn new(what: &'static str, finding: &'static str, wrong: &[&str], right: &[&str]) -> Self {
        let lines = |lines: &[&str]| lines.iter().map(|line| (*line).to_owned()).collect();
        Self { what, finding, wrong: lines(wrong), right: lines(right) }
    }

    /// Sets a host up wrong.
    ///
    /// # Errors
    /// When a command fails there.
    pub fn make(&self, host: &Machine) -> Result<()> {
        run(host, &self.wrong)
    }

    /// Sets it up right again.
    ///
    /// # Errors
    /// When a command fails there.
    pub fn mend(&self, host: &Machine) -> Result<()> {
        run(host, &self.right)
    }
}

/// Those that commands make, for a cluster address of this family.
pub fn ways(family: Family) -> Vec<Amiss> {
    let cluster = CLUSTER.of(family);
    let (length, ip, forwarding) = match family {
        Family::V4 => (32, "ip", "net.ipv4.ip_forward"),
        Family::V6 => (128, "ip6", "net.ipv6.conf.all.forwarding"),
    };
    // Duplicate address detection is off wherever a site is.
    let [delete, add] = ["del", "add"].map(|verb| format!("ip address {verb} {cluster}/{length} dev lo"));
    let (forward, dont) = (format!("sysctl -qw {forwarding}=1"), format!("sysctl -qw {forwarding}=0"));
    let drop = format!("nft add rule inet amiss input {ip} daddr {cluster} tcp dport {HTTP} drop");
    let chain = "nft add chain inet amiss input { type filter hook input priority 0 ; }";
    vec![
        Amiss::new("lacks the cluster address", "no-address", &[&delete], &[&add]),
        Amiss::new(
            "lacks the cluster address and forwards what is not its own",
            "no-address",
            &[&forward, &delete],
            &[&add, &dont],
        ),
        answering(family),
        Amiss::new(
            "filters what is addressed to the cluster",
            "filtered",
            &["nft add table inet amiss", chain, &drop],
            &["nft delete table inet amiss"],
        ),
    ]
}

/// IPv4 answers for every address of the machine unless told otherwise, IPv6 for those of the very interface.
fn answering(family: Family) -> Amiss {
    let arp = |value| {
        ["all", "eth0"].map(|interface| format!("sysctl -qw net.ipv4.conf.{interface}.arp_ignore={value}"))
    };
    let (wrong, right) = match family {
        Family::V4 => (arp("0").to_vec(), arp("1").to_vec()),
        Family::V6 => {
            let address = format!("{}/128 dev eth0", CLUSTER.v6);
            (vec![format!("ip address add {address} nodad")], vec![format!("ip address del {address}")])
        }
    };
    Amiss { what: "answers for the cluster address", finding: "answers-arp", wrong, right }
}

fn run(host: &Machine, lines: &[String]) -> Result<()> {
    for line in lines {
        let (program, words) = line.split_once(' ').context("a command has words")?;
        host.namespace.run(program, &words.split_whitespace().collect::<Vec<_>>())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_put_back_as_it_was_taken() {
        for (family, prefix) in [(Family::V4, "/32"), (Family::V6, "/128")] {
            let way = ways(family).remove(0);
            let address = format!("{}{prefix}", CLUSTER.of(family));
            assert_eq!(way.wrong, [format!("ip address del {address} dev lo")]);
            assert!(way.right[0].starts_with(&format!("ip address add {address}")), "{way:?}");
        }
    }
}
