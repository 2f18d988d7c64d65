//! Which targets the servers of a node are checked by.

use std::collections::HashMap;
use std::time::Duration;

use super::Target;
use super::judge::Bounds;
use super::watch::Pace;
use crate::model::{Check, Cluster, Ports, Server, Service, Site, Via};
use crate::plan::server_identity;

/// A target, the servers that are checked by it, and how often it is asked: where services want different things, the
/// shortest intervals and the fewest readings.
pub(super) struct Wanted {
    pub(super) target: Target,
    pub(super) servers: Vec<u64>,
    pub(super) pace: Pace,
    pub(super) bounds: Bounds,
    /// Whether any of its servers was down.
    pub(super) down: bool,
}

/// Every target of a node's clusters. `down` says which servers are.
pub(super) fn wanted(site: &Site, node: &str, down: impl Fn(u64) -> bool, damping: Duration) -> Vec<Wanted> {
    let mut places: HashMap<Target, usize> = HashMap::new();
    let mut all: Vec<Wanted> = Vec::new();
    for Checked { identity, target, check } in of_site(site, node) {
        let down = down(identity);
        let (pace, bounds) = asked_for(check, damping);
        match places.get(&target) {
            Some(&place) => {
                let one = &mut all[place];
                one.servers.push(identity);
                one.down |= down;
                one.pace.interval = one.pace.interval.min(pace.interval);
                one.pace.fast_interval = one.pace.fast_interval.min(pace.fast_interval);
                one.bounds.rise = one.bounds.rise.min(bounds.rise);
                one.bounds.fall = one.bounds.fall.min(bounds.fall);
            }
            None => {
                places.insert(target.clone(), all.len());
                all.push(Wanted { target, servers: vec![identity], pace, bounds, down });
            }
        }
    }
    all
}

fn asked_for(check: &Check, damping: Duration) -> (Pace, Bounds) {
    let pace = Pace { interval: check.interval, fast_interval: check.fast_interval };
    (pace, Bounds { rise: check.rise.max(1), fall: check.fall.max(1), damping })
}

/// One server behind one service, and how it is checked.
#[derive(Debug, Clone)]
struct Checked<'a> {
    /// [`server_identity`].
    identity: u64,
    target: Target,
    check: &'a Check,
}

/// Every checked server of the clusters that a node may be active for, in the order of the site.
fn of_site<'a>(site: &'a Site, node: &'a str) -> impl Iterator<Item = Checked<'a>> {
    let ours = site.clusters.iter().filter(move |cluster| cluster.is_of(node));
    let services = ours.flat_map(|cluster| cluster.services.iter().map(move |service| (cluster, service)));
    services.flat_map(|(cluster, service)| {
        let checked = move |server| {
            let check = service.check.as_ref()?;
            let identity = server_identity(cluster, service, server);
            Some(Checked { identity, target: target(cluster, service, server, check), check })
        };
        service.servers.iter().filter_map(checked)
    })
}

fn target(cluster: &Cluster, service: &Service, server: &Server, check: &Check) -> Target {
    let port = match service.ports {
        Ports::Exact(port) => port,
        // The configuration demands a port where the advisor needs one; an echo request has none.
        Ports::Range(..) | Ports::Any => 0,
    };
    Target {
        server: server.address,
        addresses: match check.via {
            // Of both families: one server entry serves both.
            Via::Path => cluster.addresses.clone(),
            Via::Server => Vec::new(),
        },
        port: check.port.unwrap_or(port),
        protocol: service.protocol,
        advisor: check.advisor.clone(),
        connect: check.connect,
        timeout: check.timeout,
    }
}
