//! Pools of a service, the rules that choose one, and the clients they are about.

use std::collections::HashMap;

use super::{bound, claimed_before, conflict, some, text};
use crate::config::finding::{FindingKind, Problem, Quoted, Report};
use crate::config::nearest::nearest;
use crate::config::read::{At, Node};
use crate::config::scalar::Scalar;
use crate::limits;
use crate::model::{MAIN_POOL, Prefix};

/// The keys of which a rule has exactly one.
const CONDITIONS: [&str; 4] = ["from", "during", "active", "rate"];

/// Reports pools that cannot be told apart, rules that lead nowhere, and clients that are claimed twice.
pub(super) fn check(service: &Node, report: &mut Report<'_>) {
    names(service, report);
    for rule in service.list("rule") {
        condition(rule, report);
        if let Some(pool) = text(rule, "pool") {
            is_pool("pool", pool, service, report);
        }
    }
    if let Some(pool) = text(service, "sorry") {
        is_pool("sorry", pool, service, report);
    }
    unused(service, report);
    clients(service, report);
}

fn names(service: &Node, report: &mut Report<'_>) {
    let mut claims = HashMap::new();
    for name in service.list("pool").iter().filter_map(|pool| text(pool, "name")) {
        if name.value == MAIN_POOL {
            let message = format!("a further pool is called `{MAIN_POOL}`");
            conflict(report, name.at, message, "that is the one of the service's own `servers`".to_string());
        } else if let Some(first) = claimed_before(&mut claims, name) {
            let first = report.position(first);
            let message = format!("the service has a second pool {}", Quoted(name.value));
            conflict(report, name.at, message, format!("first at {first}"));
        }
    }
}

/// Exactly one condition, and none about the main pool that leads to the main pool.
fn condition(rule: &Node, report: &mut Report<'_>) {
    let mut written = rule.written().filter(|(key, _)| CONDITIONS.contains(key));
    let Some((first, _)) = written.next() else {
        let problem =
            Problem::new("a rule has no condition").hint("one of `from`, `during`, `active` and `rate`");
        report.error(rule.at, FindingKind::Missing, problem);
        return;
    };
    for (other, at) in written {
        let message = format!("a rule has the conditions `{first}` and `{other}`");
        conflict(report, at.unwrap_or(rule.at), message, "a rule for each".to_string());
    }
    if let (Some(pool), "active" | "rate") = (text(rule, "pool"), first)
        && pool.value == MAIN_POOL
    {
        let message = format!("`{first}` is about the pool `{MAIN_POOL}`, and the rule leads to it");
        conflict(report, pool.at, message, "name a further pool".to_string());
    }
}

fn is_pool(key: &str, name: At<&str>, service: &Node, report: &mut Report<'_>) {
    let pools = service.list("pool");
    let known = || pools.iter().filter_map(|pool| text(pool, "name")).map(|name| name.value);
    // Where the name of a pool was refused, that one may well be meant.
    if name.value == MAIN_POOL || known().any(|pool| pool == name.value) || known().count() < pools.len() {
        return;
    }
    let hint = match nearest(name.value, known().chain([MAIN_POOL])) {
        Some(meant) => format!("did you mean \"{meant}\""),
        None if pools.is_empty() => "add it: [[cluster.NAME.service.pool]]".to_string(),
        None => format!("the pools are {}", some(known().chain([MAIN_POOL]))),
    };
    let message = format!("`{key}` is {}, which is no pool of the service", Quoted(name.value));
    report.error(name.at, FindingKind::UnknownName, Problem::new(message).hint(hint));
}

fn unused(service: &Node, report: &mut Report<'_>) {
    let leads_to = |name: &str| {
        let rules = service.list("rule").iter().filter_map(|rule| text(rule, "pool"));
        rules.chain(text(service, "sorry")).any(|pool| pool.value == name)
    };
    for name in service.list("pool").iter().filter_map(|pool| text(pool, "name")) {
        if !leads_to(name.value) {
            let message = format!("no rule and no `sorry` leads to the pool {}", Quoted(name.value));
            report.warn(name.at, Problem::new(message).hint("nobody is sent there"));
        }
    }
}

fn listed<'a>(node: &'a Node, key: &str) -> impl Iterator<Item = At<Prefix>> + 'a {
    node.many(key).iter().filter_map(|value| match value.value {
        Scalar::Prefix(prefix) => Some(At { value: prefix, at: value.at }),
        _ => None,
    })
}

/// A prefix decides one thing: which pool, or whether at all.
fn clients(service: &Node, report: &mut Report<'_>) {
    let mut rules = HashMap::new();
    for prefix in service.list("rule").iter().flat_map(|rule| listed(rule, "from")) {
        twice(&mut rules, prefix, "is in two rules, or twice in one", report);
    }
    let mut lists = HashMap::new();
    for prefix in listed(service, "allow") {
        twice(&mut lists, prefix, "is allowed twice", report);
    }
    for prefix in listed(service, "deny") {
        twice(&mut lists, prefix, "is denied, and denied or allowed before", report);
    }
}

fn twice(claims: &mut HashMap<Prefix, usize>, prefix: At<Prefix>, what: &str, report: &mut Report<'_>) {
    if let Some(first) = claimed_before(claims, prefix) {
        let first = report.position(first);
        conflict(report, prefix.at, format!("{} {what}", prefix.value), format!("first at {first}"));
    }
}

/// Where each pool begins.
pub(super) fn places(service: &Node) -> impl Iterator<Item = usize> {
    service.list("pool").iter().map(|pool| pool.at)
}

/// All prefixes of a service.
pub(super) fn prefixes(service: &Node) -> impl Iterator<Item = At<Prefix>> {
    let rules = service.list("rule").iter().flat_map(|rule| listed(rule, "from"));
    listed(service, "allow").chain(listed(service, "deny")).chain(rules)
}

/// What one service may have of each thing.
pub(super) fn bounds(service: &Node, report: &mut Report<'_>) {
    bound("further pools in one service", limits::POOLS_PER_SERVICE, places(service), report);
    let rules = service.list("rule").iter().map(|rule| rule.at);
    bound("rules in one service", limits::RULES_PER_SERVICE, rules, report);
    for server in super::all_servers(service) {
        let windows = server.many("maintenance").iter().map(|window| window.at);
        bound("times of maintenance of one server", limits::WINDOWS, windows, report);
    }
    if let Some(check) = service.table("check") {
        let headers = check.many("headers").iter().map(|header| header.at);
        bound("further headers of one check", limits::CHECK_HEADERS, headers, report);
    }
}
