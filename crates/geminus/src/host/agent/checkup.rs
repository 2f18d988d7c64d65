//! What `geminus host check` would say, every few seconds.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use crate::failure::Failure;
use crate::host::agent::CHECKUP;
use crate::host::agent::args::AgentArgs;
use crate::host::findings::{Finding, Grade, findings};
use crate::host::seen::{LOOPBACK, Network, Seen};
use crate::host::setup::open;
use crate::host::wanted::{Port, Wanted, cluster_addresses};

/// What is looked for.
#[derive(Debug, Clone)]
struct Matter {
    clusters: Vec<IpAddr>,
    ports: Vec<Port>,
    interface: Option<String>,
}

/// Looks on a thread of its own every now and then.
#[derive(Debug)]
pub(super) struct Checkup {
    matter: Matter,
    found: Arc<Mutex<Vec<String>>>,
    running: Option<tokio::task::JoinHandle<()>>,
    next: tokio::time::Instant,
}

impl Checkup {
    pub(super) fn new(args: &AgentArgs) -> Self {
        let (clusters, ports) = (args.clusters.clone(), args.ports.clone());
        let matter = Matter { clusters, ports, interface: args.interface.clone() };
        Self { matter, found: Arc::default(), running: None, next: tokio::time::Instant::now() }
    }

    /// What the last look found, the worst first; begins another when it is time.
    pub(super) fn found(&mut self) -> Vec<String> {
        let now = tokio::time::Instant::now();
        let busy = self.running.as_ref().is_some_and(|running| !running.is_finished());
        if now >= self.next && !busy {
            self.next = now + CHECKUP;
            let (matter, found) = (self.matter.clone(), Arc::clone(&self.found));
            self.running = Some(tokio::task::spawn_blocking(move || {
                let lines = look(&matter).unwrap_or_else(|failure| vec![failure.error.message]);
                *found.lock().unwrap_or_else(PoisonError::into_inner) = lines;
            }));
        }
        self.found.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn look(matter: &Matter) -> Result<Vec<String>, Failure> {
    let mut netlink = open()?;
    let network = Network::read(&mut netlink)?;
    let named = cluster_addresses(&matter.clusters)?;
    let addresses = if named.is_empty() { on_loopback(&network) } else { named };
    if addresses.is_empty() {
        let line = "no cluster address is on lo: geminus host setup --address CLUSTER".to_owned();
        return Ok(vec![line]);
    }
    let interface = network.facing(matter.interface.as_deref(), &addresses)?;
    let wanted = Wanted { addresses, interface, ports: matter.ports.clone(), clients: Vec::new() };
    let seen = Seen::read(&mut netlink, network, &wanted)?;
    Ok(lines(&findings(&wanted, &seen)))
}

/// Every address on `lo` that could be a cluster's.
fn on_loopback(network: &Network) -> Vec<IpAddr> {
    let here = network.addresses.iter().filter(|placed| network.name(placed.link) == LOOPBACK);
    here.map(|placed| placed.address).filter(|address| cluster_addresses(&[*address]).is_ok()).collect()
}

/// The findings that are to be told, those that do harm first.
fn lines(findings: &[Finding]) -> Vec<String> {
    let of = |grade| findings.iter().filter(move |finding| finding.grade == grade);
    of(Grade::Wrong).chain(of(Grade::Doubtful)).map(|finding| finding.message.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::findings::sample::{ip, placed, seen, wanted};
    use crate::host::sysctl::Sysctl;

    #[test]
    fn what_is_wrong_comes_before_what_is_doubtful_and_what_is_right_is_not_told() {
        let mut seen = seen();
        assert_eq!(lines(&findings(&wanted(), &seen)), Vec::<String>::new());
        seen.network.links[1].mtu = 1400;
        seen.settings.insert(Sysctl::v4("all", "arp_announce"), "0".into());
        seen.settings.insert(Sysctl::v4("eth0", "arp_announce"), "0".into());
        let told = lines(&findings(&wanted(), &seen));
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(told[0].contains("arp_announce") && told[1].contains("MTU"), "{told:?}");
    }

    #[test]
    fn what_is_on_lo_and_not_its_own_is_a_cluster_address() {
        let mut network = seen().network;
        network.addresses.push(placed(1, "127.0.0.1", 8));
        network.addresses.push(placed(1, "::1", 128));
        let found = on_loopback(&network);
        assert!(found.contains(&ip("198.51.100.80")) && !found.contains(&ip("127.0.0.1")), "{found:?}");
        assert!(!found.contains(&ip("::1")));
    }

    #[test]
    fn a_look_at_this_very_machine_says_something_or_nothing_but_does_not_fail() {
        let matter = Matter {
            clusters: vec![ip("198.51.100.80")],
            ports: Vec::new(),
            interface: Some("lo".to_owned()),
        };
        let failure = look(&matter).expect_err("lo faces nobody");
        assert_eq!(failure.error.message, "lo faces nobody");
    }
}
