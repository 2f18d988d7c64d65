//! Things that are sound alone, compared with each other.

mod advisors;
mod agents;
mod groups;
mod pairs;
mod pools;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;

use super::finding::{FindingKind, Problem, Quoted, Report};
use super::nearest::nearest;
use super::read::{At, Node, Slot, as_address};
use super::scalar::{self, Scalar};
use crate::limits;
use crate::model::Ports;

/// Whose an address is.
#[derive(Clone, Copy)]
enum Owner<'a> {
    Node(&'a str),
    Cluster(&'a str),
}

impl std::fmt::Display for Owner<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Node(name) => write!(f, "node {}", Quoted(name)),
            Self::Cluster(name) => write!(f, "cluster {}", Quoted(name)),
        }
    }
}

type Owners<'a> = HashMap<IpAddr, At<Owner<'a>>>;

/// Reports everything in the file that contradicts something else in it.
pub(super) fn site(root: &Node, report: &mut Report<'_>) {
    let owners = owners(root, report);
    roles(root, report);
    pairs::check(root, &owners, report);
    for (name, cluster) in root.named("cluster") {
        ports(&name.value, cluster, report);
        for service in cluster.list("service") {
            servers(&name.value, service, &owners, report);
            advisors::check(&name.value, service, report);
            pools::check(service, report);
        }
        groups::check(&name.value, cluster, report);
    }
    agents::check(root, report);
    advisors::pace(root, report);
    lonely_keys(root, report);
    bounds(root, report);
}

fn address(node: &Node, key: &str) -> Option<At<IpAddr>> {
    node.one(key).and_then(as_address)
}

fn text<'a>(node: &'a Node, key: &str) -> Option<At<&'a str>> {
    match node.one(key)? {
        At { value: Scalar::Text(text), at } => Some(At { value: text, at: *at }),
        _ => None,
    }
}

fn number(node: &Node, key: &str) -> Option<At<u32>> {
    match node.one(key)? {
        At { value: Scalar::Number(number), at } => Some(At { value: *number, at: *at }),
        _ => None,
    }
}

fn conflict(report: &mut Report<'_>, at: usize, message: String, hint: String) {
    report.error(at, FindingKind::Conflict, Problem::new(message).hint(hint));
}

/// Who has which address; each address may have one owner in the site.
fn owners<'a>(root: &'a Node, report: &mut Report<'_>) -> Owners<'a> {
    let nodes = root.named("node").iter().filter_map(|(name, node)| {
        address(node, "address").map(|address| (address, Owner::Node(&name.value)))
    });
    let clusters = root.named("cluster").iter().flat_map(|(name, cluster)| {
        let addresses = cluster.many("addresses").iter().filter_map(as_address);
        addresses.map(|address| (address, Owner::Cluster(&name.value)))
    });
    let mut all: Vec<_> = nodes.chain(clusters).collect();
    all.sort_by_key(|(address, _)| address.at);
    let mut owners = Owners::with_capacity(all.len());
    for (address, owner) in all {
        match owners.entry(address.value) {
            Entry::Vacant(free) => {
                free.insert(At { value: owner, at: address.at });
            }
            Entry::Occupied(taken) => {
                let first = report.position(taken.get().at);
                let message = format!(
                    "the address {} of {owner} is already that of {}",
                    address.value,
                    taken.get().value
                );
                conflict(report, address.at, message, format!("first at {first}"));
            }
        }
    }
    owners
}

/// Who is active for a cluster, and who takes over.
fn roles(root: &Node, report: &mut Report<'_>) {
    let Slot::Named(nodes) = root.slot("node") else { return };
    // Where the name of a node was refused, a role may well mean that one.
    if nodes.is_empty() || nodes.iter().any(|(name, _)| scalar::name(&name.value).is_err()) {
        return;
    }
    for (name, cluster) in root.named("cluster") {
        let primary = text(cluster, "primary");
        if let (Slot::Absent, [first, _, ..]) = (cluster.slot("primary"), &nodes[..]) {
            let message = format!("cluster {} has no `primary`", Quoted(&name.value));
            let hint = format!("the site has {} nodes: add primary = \"{}\"", nodes.len(), first.0.value);
            report.error(cluster.at, FindingKind::Missing, Problem::new(message).hint(hint));
        }
        if let Some(primary) = primary {
            is_node("primary", primary, nodes, report);
        }
        let Some(backup) = text(cluster, "backup") else { continue };
        if let [_] = &nodes[..] {
            let problem =
                Problem::new(format!("`backup` is {}, and the site has one node", Quoted(backup.value)));
            let hint = "a second [node.NAME] takes over: add it, or remove `backup`";
            report.error(backup.at, FindingKind::UnknownName, problem.hint(hint));
        } else if is_node("backup", backup, nodes, report)
            && primary.is_some_and(|primary| primary.value == backup.value)
        {
            let message = format!(
                "cluster {} has node {} as `primary` and `backup`",
                Quoted(&name.value),
                Quoted(backup.value)
            );
            let mut others =
                nodes.iter().map(|(name, _)| name.value.as_str()).filter(|name| *name != backup.value);
            let hint = others.next().map_or(String::new(), |other| format!("such as backup = \"{other}\""));
            conflict(report, backup.at, message, hint);
        }
    }
}

/// Whether a role names a node; reported if not.
fn is_node(key: &str, role: At<&str>, nodes: &[(At<String>, Node)], report: &mut Report<'_>) -> bool {
    let names = || nodes.iter().map(|(name, _)| name.value.as_str());
    let known = names().any(|name| name == role.value);
    if !known {
        let message = format!("`{key}` is {}, which is no node", Quoted(role.value));
        let hint = match nearest(role.value, names()) {
            Some(meant) => format!("did you mean \"{meant}\""),
            None => format!("the nodes are {}", some(names())),
        };
        report.error(role.at, FindingKind::UnknownName, Problem::new(message).hint(hint));
    }
    known
}

/// A few names for a hint.
fn some<'a>(names: impl Iterator<Item = &'a str>) -> String {
    const SHOWN: usize = 8;
    let mut names: Vec<_> = names.take(SHOWN + 1).map(|name| format!("\"{name}\"")).collect();
    if names.len() > SHOWN {
        names[SHOWN] = "…".to_string();
    }
    names.join(", ")
}

/// The ports that the services of a cluster claim, by protocol.
#[derive(Default)]
struct Claims {
    exact: HashMap<u16, usize>,
    ranges: Vec<(u16, u16, usize)>,
    any: Option<usize>,
}

/// An exact port, any, or a port of a range may be claimed once for each protocol.
fn ports(cluster: &str, node: &Node, report: &mut Report<'_>) {
    let mut claims: HashMap<&'static str, Claims> = HashMap::new();
    for service in node.list("service") {
        let Some(At { value: Scalar::Ports(ports), at }) = service.one("port") else { continue };
        let Some(At { value: Scalar::Word(protocol), .. }) = service.one("protocol") else { continue };
        let claims = claims.entry(protocol).or_default();
        if let Some(first) = claims.claim(*ports, *at) {
            let first = report.position(first);
            let cluster = Quoted(cluster);
            let (message, hint) = match ports {
                Ports::Exact(_) | Ports::Any => {
                    (format!("cluster {cluster} has a second service for {protocol} port {ports}"), "first")
                }
                Ports::Range(..) => (
                    format!("{protocol} ports {ports} of cluster {cluster} overlap another range"),
                    "that one is",
                ),
            };
            conflict(report, *at, message, format!("{hint} at {first}"));
        }
    }
}

impl Claims {
    /// Where the ports were claimed before, or none: they are this service's now.
    fn claim(&mut self, ports: Ports, at: usize) -> Option<usize> {
        match ports {
            Ports::Exact(port) => claimed_before(&mut self.exact, At { value: port, at }),
            Ports::Any => {
                let before = self.any;
                self.any = before.or(Some(at));
                before
            }
            Ports::Range(first, last) => self.claim_range(first, last, at),
        }
    }

    /// Ranges are kept sorted and apart, so only the neighbours can overlap.
    fn claim_range(&mut self, first: u16, last: u16, at: usize) -> Option<usize> {
        let next = self.ranges.partition_point(|(_, end, _)| *end < first);
        match self.ranges.get(next) {
            Some((start, _, taken)) if *start <= last => Some(*taken),
            _ => {
                self.ranges.insert(next, (first, last, at));
                None
            }
        }
    }
}

/// The servers of all pools of a service, the main one first.
fn all_servers(service: &Node) -> impl Iterator<Item = &Node> {
    service.list("servers").iter().chain(service.list("pool").iter().flat_map(|pool| pool.list("servers")))
}

fn servers(cluster: &str, service: &Node, owners: &Owners<'_>, report: &mut Report<'_>) {
    let many = all_servers(service).count();
    let mut names: HashMap<String, usize> = HashMap::with_capacity(many);
    let mut addresses: HashMap<IpAddr, usize> = HashMap::with_capacity(many);
    for server in all_servers(service) {
        let address = address(server, "address");
        if let Some(address) = address {
            no_cluster_address(address, owners, report);
            if let Some(first) = claimed_before(&mut addresses, address) {
                let first = report.position(first);
                let message = format!("the service has a second server at {}", address.value);
                conflict(report, address.at, message, format!("first at {first}; its share is its weight"));
                continue;
            }
        }
        let name = match (server.slot("name"), address) {
            (Slot::Absent, Some(address)) => Some(At { value: address.value.to_string(), at: address.at }),
            _ => text(server, "name").map(|name| At { value: name.value.to_string(), at: name.at }),
        };
        if let Some(name) = name {
            own_name(&name, &mut names, report);
        }
    }
    odd_service(cluster, service, report);
    idle_keys(service, report);
}

fn no_cluster_address(address: At<IpAddr>, owners: &Owners<'_>, report: &mut Report<'_>) {
    if let Some(At { value: owner @ Owner::Cluster(_), at }) = owners.get(&address.value) {
        let at = report.position(*at);
        let message = format!("the server {} is an address of {owner}", address.value);
        conflict(report, address.at, message, format!("a server has an address of its own; see {at}"));
    }
}

fn own_name(name: &At<String>, names: &mut HashMap<String, usize>, report: &mut Report<'_>) {
    if let Some(first) = claimed_before(names, name.clone()) {
        let first = report.position(first);
        let message = format!("the service has a second server {}", Quoted(&name.value));
        conflict(report, name.at, message, format!("first at {first}"));
    }
}

/// Where a thing was claimed before, or none: it is claimed now.
fn claimed_before<T: Eq + std::hash::Hash>(claims: &mut HashMap<T, usize>, claim: At<T>) -> Option<usize> {
    match claims.entry(claim.value) {
        Entry::Occupied(taken) => Some(*taken.get()),
        Entry::Vacant(free) => {
            free.insert(claim.at);
            None
        }
    }
}

/// A service that is allowed and hardly meant.
fn odd_service(cluster: &str, service: &Node, report: &mut Report<'_>) {
    let servers = service.list("servers");
    let idle = |server: &Node| number(server, "weight").is_some_and(|weight| weight.value == 0);
    if !servers.is_empty() && servers.iter().all(idle) {
        let message = format!("every server of a service of cluster {} has weight 0", Quoted(cluster));
        report.warn(service.at, Problem::new(message).hint("no new flow is served"));
    }
    if let Some(ring) = number(service, "ring")
        && (ring.value as usize) < servers.len() * SLOTS_FOR_BALANCE
    {
        let message = format!("a ring of {} slots is small for {} servers", ring.value, servers.len());
        let hint = format!("{SLOTS_FOR_BALANCE} slots a server keep the balance within a percent");
        report.warn(ring.at, Problem::new(message).hint(hint));
    }
}

/// Keys of a server that say something about what its service does not do.
fn idle_keys(service: &Node, report: &mut Report<'_>) {
    let managed = matches!(service.one("weights"), Some(At { value: Scalar::Word("managed"), .. }));
    let remembers = !matches!(service.slot("affinity"), Slot::Absent);
    for server in all_servers(service) {
        if let (false, Some(At { value: Scalar::Flag(true), at })) = (managed, server.one("fixed")) {
            let problem = Problem::new("`fixed` on a server of a service whose weights are not managed");
            report.warn(*at, problem.hint("weights = \"managed\" in the service, or leave it out"));
        }
        if let (false, Some(At { value: Scalar::Flag(false), at })) = (remembers, server.one("sticky")) {
            let problem = Problem::new("`sticky` on a server of a service without `affinity`");
            report.warn(*at, problem.hint("no client comes back there anyway: leave it out"));
        }
    }
}

/// Slots a server needs for Maglev's balance (Eisenbud and others, "Maglev", NSDI 2016, section 5.3).
const SLOTS_FOR_BALANCE: usize = 100;

/// Several nodes choose alike only with the same key. Nodes that share clusters must: [`pairs`] has an error for them.
fn lonely_keys(root: &Node, report: &mut Report<'_>) {
    let nodes = root.named("node");
    let keyed = root.table("site").is_some_and(|site| !matches!(site.slot("key_file"), Slot::Absent));
    let share =
        root.named("cluster").iter().any(|(_, cluster)| !matches!(cluster.slot("backup"), Slot::Absent));
    if let ([_, second, ..], false, false) = (nodes, keyed, share) {
        let message = format!("{} nodes and no `key_file`: each chooses servers in its own way", nodes.len());
        report.warn(second.0.at, Problem::new(message).hint("add key_file to [site]"));
    }
}

/// What the site may have of each thing; the position is that of the first one too many.
fn bounds(root: &Node, report: &mut Report<'_>) {
    let clusters = root.named("cluster");
    let services = || clusters.iter().flat_map(|(_, cluster)| cluster.list("service"));
    let heads = |nodes: &[(At<String>, Node)]| nodes.iter().map(|(name, _)| name.at).collect::<Vec<_>>();
    bound("nodes in the site", limits::NODES, heads(root.named("node")), report);
    bound("clusters in the site", limits::CLUSTERS, heads(clusters), report);
    let addresses = clusters.iter().flat_map(|(_, cluster)| cluster.many("addresses"));
    bound("cluster addresses in the site", limits::ADDRESSES, addresses.map(|address| address.at), report);
    let rings = services().flat_map(|service| [service.at].into_iter().chain(pools::places(service)));
    bound("services and pools in the site", limits::SERVICES, rings, report);
    let servers = services().flat_map(all_servers);
    bound("servers in the site", limits::SERVERS, servers.map(|server| server.at), report);
    for service in services() {
        let servers = all_servers(service).map(|server| server.at);
        bound("servers in one service", limits::SERVERS_PER_SERVICE, servers, report);
        pools::bounds(service, report);
    }
    let prefixes = services().flat_map(pools::prefixes);
    bound("prefixes in the site", limits::PREFIXES, prefixes.map(|prefix| prefix.at), report);
    for (_, cluster) in clusters {
        let ports = cluster.list("service").iter().filter_map(|service| service.one("port"));
        let wide = ports.filter(|port| !matches!(port.value, Scalar::Ports(Ports::Exact(_))));
        bound("ranges of ports in one cluster", limits::RANGES_PER_CLUSTER, wide.map(|port| port.at), report);
    }
    ring_slots(services(), report);
}

fn bound(what: &str, limit: usize, places: impl IntoIterator<Item = usize>, report: &mut Report<'_>) {
    let mut beyond = places.into_iter().skip(limit);
    if let Some(at) = beyond.next() {
        let message = format!("{} {what}", limit + 1 + beyond.count());
        report.error(at, FindingKind::Limit, Problem::new(message).hint(format!("at most {limit}")));
    }
}

fn ring_slots<'a>(services: impl Iterator<Item = &'a Node>, report: &mut Report<'_>) {
    let mut total = 0;
    let mut first_beyond = None;
    for service in services {
        let Some(ring) = number(service, "ring") else { continue };
        total += u64::from(ring.value) * (1 + service.list("pool").len() as u64);
        if total > limits::RING_SLOTS && first_beyond.is_none() {
            first_beyond = Some(ring.at);
        }
    }
    if let Some(at) = first_beyond {
        let problem = Problem::new(format!("the rings of the site have {total} slots"));
        let hint = format!(
            "at most {}: a smaller `ring`, such as 4093, suits services of few servers",
            limits::RING_SLOTS
        );
        report.error(at, FindingKind::Limit, problem.hint(hint));
    }
}
