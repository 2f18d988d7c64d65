//! What nodes that share clusters need of each other, and of the network between them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;

use super::{Owner, Owners, address, bound, claimed_before, conflict, text};
use crate::config::build;
use crate::config::finding::{FindingKind, Problem, Quoted, Report};
use crate::config::quantity::duration_text;
use crate::config::read::{At, Node, Slot, as_address};
use crate::limits;

/// The nodes of the file, by their place in it, and which of them share clusters.
struct Partners<'a> {
    nodes: Vec<(&'a str, Option<At<IpAddr>>)>,
    /// Where a `backup` joins the two first.
    pairs: BTreeMap<(usize, usize), usize>,
    /// Where each group of clusters begins, in the order of the file.
    groups: Vec<usize>,
    /// Whether every role in the file is sound, so that nobody is missing here.
    certain: bool,
}

/// Reports whatever keeps nodes from taking over from each other.
pub(super) fn check(root: &Node, owners: &Owners<'_>, report: &mut Report<'_>) {
    let partners = Partners::of(root);
    common_key(root, &partners, report);
    bound("groups of clusters with one primary and backup", limits::GROUPS, partners.groups.clone(), report);
    let Some(ha) = root.table("ha") else { return };
    match ha.slot("paths") {
        Slot::Absent => own_addresses(&partners, report),
        Slot::Pairs(pairs) => paths(pairs, &partners, owners, report),
        _ => {}
    }
    reach(ha, owners, report);
    timers(ha, report);
}

impl<'a> Partners<'a> {
    fn of(root: &'a Node) -> Self {
        let nodes: Vec<_> = root
            .named("node")
            .iter()
            .map(|(name, node)| (name.value.as_str(), address(node, "address")))
            .collect();
        let number = |name: &str| nodes.iter().position(|(known, _)| *known == name);
        let (mut pairs, mut groups, mut seen) = (BTreeMap::new(), Vec::new(), BTreeSet::new());
        let mut certain = true;
        for (_, cluster) in root.named("cluster") {
            if matches!(cluster.slot("backup"), Slot::Absent) {
                continue;
            }
            let role = |key: &str| text(cluster, key).and_then(|name| Some((number(name.value)?, name.at)));
            match (role("primary"), role("backup")) {
                (Some((primary, _)), Some((backup, at))) if primary != backup => {
                    pairs.entry((primary.min(backup), primary.max(backup))).or_insert(at);
                    if seen.insert((primary, backup)) {
                        groups.push(at);
                    }
                }
                _ => certain = false,
            }
        }
        Self { nodes, pairs, groups, certain }
    }

    /// The nodes that have a partner, in the order of the file.
    fn members(&self) -> BTreeSet<usize> {
        self.pairs.keys().flat_map(|&(one, other)| [one, other]).collect()
    }
}

/// The node that takes over finds the server that the other one chose only with the same key.
fn common_key(root: &Node, partners: &Partners<'_>, report: &mut Report<'_>) {
    let has_key = root.table("site").is_none_or(|site| !matches!(site.slot("key_file"), Slot::Absent));
    if let (Some(at), false) = (partners.groups.first(), has_key) {
        let problem = Problem::new("a cluster has a `backup`, and [site] has no `key_file`");
        let hint = "two nodes choose the same servers with the same key only: add key_file = \"/etc/geminus/site.key\"";
        report.error(*at, FindingKind::Missing, problem.hint(hint));
    }
}

/// Without `paths`, partners hear each other by their node addresses.
fn own_addresses(partners: &Partners<'_>, report: &mut Report<'_>) {
    let mut paths_of = vec![0; partners.nodes.len()];
    for (&(one, other), &at) in &partners.pairs {
        let ((one_name, Some(first)), (other_name, Some(second))) =
            (partners.nodes[one], partners.nodes[other])
        else {
            continue;
        };
        if first.value.is_ipv4() != second.value.is_ipv4() {
            let (one, other) = (Quoted(one_name), Quoted(other_name));
            let message =
                format!("nodes {one} and {other} have addresses of two families, so no path joins them");
            conflict(
                report,
                at,
                message,
                "add `paths` to [ha], or give the nodes addresses of one family".to_string(),
            );
        }
        for node in [one, other] {
            paths_of[node] += 1;
            if paths_of[node] == limits::PATHS + 1 {
                let message = format!(
                    "node {} has more than {} partners",
                    Quoted(partners.nodes[node].0),
                    limits::PATHS
                );
                let hint = "let fewer nodes share clusters with it";
                report.error(at, FindingKind::Limit, Problem::new(message).hint(hint));
            }
        }
    }
}

fn paths(
    pairs: &[At<[At<IpAddr>; 2]>],
    partners: &Partners<'_>,
    owners: &Owners<'_>,
    report: &mut Report<'_>,
) {
    let members: Vec<_> = partners.members().into_iter().collect();
    let Some(first) = pairs.first() else { return };
    match members[..] {
        [one, other] => ends(pairs, [partners.nodes[one].0, partners.nodes[other].0], owners, report),
        _ if !partners.certain => {}
        [] => {
            let problem =
                Problem::new("`paths` join two nodes that share clusters, and no cluster has a `backup`");
            report.error(
                first.at,
                FindingKind::Conflict,
                problem.hint("add a `backup` to a cluster, or remove `paths`"),
            );
        }
        _ => {
            let message =
                format!("`paths` join two nodes that share clusters, and {} nodes do", members.len());
            let hint = "remove `paths`: the nodes hear each other by their node addresses";
            report.error(first.at, FindingKind::Conflict, Problem::new(message).hint(hint));
        }
    }
    bound("paths", limits::PATHS, pairs.iter().map(|pair| pair.at), report);
}

/// The ends of each path belong to these two nodes, in this order.
fn ends(pairs: &[At<[At<IpAddr>; 2]>], nodes: [&str; 2], owners: &Owners<'_>, report: &mut Report<'_>) {
    let mut claims = HashMap::new();
    for At { value: ends, at } in pairs {
        let [one, other] = ends.map(|end| end.value);
        if one == other {
            let hint =
                format!("an address of node {}, then one of node {}", Quoted(nodes[0]), Quoted(nodes[1]));
            conflict(report, *at, format!("both ends of a path are {one}"), hint);
            continue;
        }
        if one.is_ipv4() != other.is_ipv4() {
            let message = format!("the path from {one} to {other} has ends of two families");
            conflict(report, *at, message, "both IPv4 or both IPv6".to_string());
        }
        for (end, (node, partner)) in ends.iter().zip([(nodes[0], nodes[1]), (nodes[1], nodes[0])]) {
            if misplaced(*end, node, partner, [one, other], owners, report) {
                break;
            }
            if let Some(first) = claimed_before(&mut claims, *end) {
                let first = report.position(first);
                let message = format!("a second path ends at {}", end.value);
                conflict(
                    report,
                    end.at,
                    message,
                    format!("first at {first}; a path has two addresses of its own"),
                );
            }
        }
    }
}

/// Whether the end of a path was reported as somebody else's.
fn misplaced(
    end: At<IpAddr>,
    node: &str,
    partner: &str,
    path: [IpAddr; 2],
    owners: &Owners<'_>,
    report: &mut Report<'_>,
) -> bool {
    let Some(owner) = owners.get(&end.value) else { return false };
    let address = end.value;
    let (message, hint) = match owner.value {
        Owner::Node(name) if name == node => return false,
        Owner::Node(name) if name == partner => {
            let message = format!(
                "the path has {address} of node {} where node {} belongs",
                Quoted(name),
                Quoted(node)
            );
            (message, format!("the other way round: [\"{}\", \"{}\"]", path[1], path[0]))
        }
        owner => {
            let message = format!("the end {address} of a path is an address of {owner}");
            (message, format!("an address of node {} belongs there", Quoted(node)))
        }
    };
    conflict(report, end.at, message, hint);
    true
}

/// What a node asks whether it is still on the network must be somebody else, and somebody who does not move.
fn reach(ha: &Node, owners: &Owners<'_>, report: &mut Report<'_>) {
    let ends: HashMap<IpAddr, usize> =
        ha.pairs("paths").iter().flat_map(|pair| pair.value).map(|end| (end.value, end.at)).collect();
    let mut claims = HashMap::new();
    for target in ha.many("reach").iter().filter_map(as_address) {
        let address = target.value;
        let another = "an address that is neither a node's nor a cluster's, such as a router's".to_string();
        if let Some(owner) = owners.get(&address) {
            conflict(
                report,
                target.at,
                format!("the reach target {address} is an address of {}", owner.value),
                another,
            );
        } else if let Some(end) = ends.get(&address) {
            let message =
                format!("the reach target {address} is the end of a path, at {}", report.position(*end));
            conflict(report, target.at, message, another);
        } else if let Some(first) = claimed_before(&mut claims, target) {
            let first = report.position(first);
            conflict(
                report,
                target.at,
                format!("{address} is a reach target twice"),
                format!("first at {first}"),
            );
        }
    }
    bound("reach targets", limits::REACH, ha.many("reach").iter().map(|target| target.at), report);
}

/// Timers of which each is possible and which are not possible together.
fn timers(ha: &Node, report: &mut Report<'_>) {
    let Some(timers) = build::timers(ha) else { return };
    let place = |keys: &[&str]| keys.iter().find_map(|key| ha.one(key)).map_or(ha.at, |value| value.at);
    let sending = limits::PROBE_SPACING * timers.probes;
    if timers.confirm < sending {
        let message = format!(
            "{} probes take {}, and `confirm` is {}",
            timers.probes,
            duration_text(sending),
            duration_text(timers.confirm)
        );
        let hint = format!("confirm = \"{}\", or fewer `probes`", duration_text(sending));
        conflict(report, place(&["confirm", "probes"]), message, hint);
    }
    let (detection, lease) = (timers.detection(), build::duration(ha, "lease"));
    if let Some(lease) = lease.filter(|lease| *lease <= detection) {
        let message = format!(
            "a silent partner is believed dead after {}, and the `lease` is {}",
            duration_text(detection),
            duration_text(lease)
        );
        let hint = "a longer `lease`, or a smaller `heartbeat`, `suspect` or `confirm`".to_string();
        conflict(report, place(&["heartbeat", "suspect", "confirm", "lease"]), message, hint);
    }
}
