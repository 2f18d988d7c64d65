//! Services that share their clients.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::{address, all_servers, bound, conflict, text};
use crate::config::finding::{Problem, Quoted, Report};
use crate::config::read::{At, Node};
use crate::config::scalar::Scalar;
use crate::limits;

/// Reports services of one affinity group that cannot share.
pub(super) fn check(cluster: &str, node: &Node, report: &mut Report<'_>) {
    let mut groups: BTreeMap<&str, Vec<(usize, &Node)>> = BTreeMap::new();
    for service in node.list("service") {
        if let Some(group) = service.table("affinity").and_then(|affinity| text(affinity, "group")) {
            groups.entry(group.value).or_default().push((group.at, service));
        }
    }
    for (name, members) in groups {
        group(cluster, name, &members, report);
    }
}

fn group(cluster: &str, name: &str, members: &[(usize, &Node)], report: &mut Report<'_>) {
    let Some(((first_at, first), others)) = members.split_first() else { return };
    let (group, cluster) = (Quoted(name), Quoted(cluster));
    if others.is_empty() {
        let problem =
            Problem::new(format!("only one service of cluster {cluster} is in the affinity group {group}"));
        report.warn(*first_at, problem.hint("a second one shares its clients, or the group is of no use"));
    }
    let what = format!("services in the affinity group {group} of cluster {cluster}");
    bound(&what, limits::SERVICES_PER_GROUP, members.iter().map(|(at, _)| *at), report);
    for (at, other) in others {
        let differs = [
            ("servers", servers(first) == servers(other)),
            ("`prefix`", said(first, "prefix") == said(other, "prefix")),
            ("`prefix6`", said(first, "prefix6") == said(other, "prefix6")),
            ("`timeout`", said(first, "timeout") == said(other, "timeout")),
        ];
        let differs: Vec<_> = differs.iter().filter(|(_, same)| !same).map(|(what, _)| *what).collect();
        if !differs.is_empty() {
            let first = report.position(*first_at);
            let message = format!(
                "services of the affinity group {group} of cluster {cluster} differ in {}",
                differs.join(", ")
            );
            conflict(report, *at, message, format!("as in the first, at {first}"));
        }
    }
}

fn said<'a>(service: &'a Node, key: &str) -> Option<&'a Scalar> {
    service.table("affinity").and_then(|affinity| affinity.one(key)).map(|value| &value.value)
}

/// Names and addresses in a fixed order.
fn servers(service: &Node) -> Vec<(Option<&str>, Option<IpAddr>)> {
    let mut all: Vec<_> = all_servers(service)
        .map(|server| {
            let name = text(server, "name").map(|At { value, .. }| value);
            (name, address(server, "address").map(|address| address.value))
        })
        .collect();
    all.sort_unstable();
    all
}
