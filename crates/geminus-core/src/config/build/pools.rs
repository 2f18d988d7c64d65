//! Pools, their servers and rules, from the tree to the model.

use super::{number as integer, prefixes, server, text};
use crate::config::read::{At, Node};
use crate::config::scalar::Scalar;
use crate::model::{Condition, MAIN_POOL, Rule, Server};

/// The names of the further pools, in the order of the file.
pub(super) fn names(service: &Node) -> Option<Vec<String>> {
    service.list("pool").iter().map(|pool| text(pool, "name")).collect()
}

/// The number of the pool of this name: 0 the main one.
pub(super) fn number(pools: &[String], name: &str) -> Option<u8> {
    let place = pools.iter().position(|pool| pool == name).map(|place| place + 1);
    place.or((name == MAIN_POOL).then_some(0))?.try_into().ok()
}

/// The servers of the main pool, then those of the others.
pub(super) fn servers(service: &Node) -> Option<Vec<Server>> {
    let mut servers: Vec<_> =
        service.list("servers").iter().map(|node| server(node, 0)).collect::<Option<_>>()?;
    for (pool, number) in service.list("pool").iter().zip(1..=u8::MAX) {
        for node in pool.list("servers") {
            servers.push(server(node, number)?);
        }
    }
    Some(servers)
}

pub(super) fn rules(service: &Node, pools: &[String]) -> Option<Vec<Rule>> {
    service.list("rule").iter().map(|rule| self::rule(rule, pools)).collect()
}

fn rule(rule: &Node, pools: &[String]) -> Option<Rule> {
    let from = prefixes(rule, "from");
    let when = if !from.is_empty() {
        Condition::From(from)
    } else if let Some(At { value: Scalar::Window(window), .. }) = rule.one("during") {
        Condition::During(*window)
    } else if let Some(bound) = integer(rule, "active") {
        Condition::Active(bound.into())
    } else {
        Condition::Rate(integer(rule, "rate")?.into())
    };
    Some(Rule { when, pool: number(pools, &text(rule, "pool")?)? })
}
