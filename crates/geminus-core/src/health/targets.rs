//! Which targets the servers of a node are checked by.

use std::net::IpAddr;

use super::Target;
use crate::model::{Check, Cluster, Ports, Server, Service, Site, Via};
use crate::plan::server_identity;

/// One server behind one service, and how it is checked.
#[derive(Debug, Clone)]
pub(super) struct Checked<'a> {
    /// [`server_identity`].
    pub(super) identity: u64,
    pub(super) target: Target,
    pub(super) check: &'a Check,
}

/// Every checked server of the clusters that a node may be active for, in the order of the site.
pub(super) fn of_site<'a>(site: &'a Site, node: &'a str) -> impl Iterator<Item = Checked<'a>> {
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
    let of_family = |address: &&IpAddr| address.is_ipv4() == server.address.is_ipv4();
    let port = match service.ports {
        Ports::Exact(port) => port,
        // The configuration demands a port where the advisor needs one; an echo request has none.
        Ports::Range(..) | Ports::Any => 0,
    };
    Target {
        server: server.address,
        addresses: match check.via {
            // Where the cluster has no address of the server's family, it can only be asked by its own.
            Via::Path => cluster.addresses.iter().filter(of_family).copied().collect(),
            Via::Server => Vec::new(),
        },
        port: check.port.unwrap_or(port),
        protocol: service.protocol,
        advisor: check.advisor.clone(),
        connect: check.connect,
        timeout: check.timeout,
    }
}
