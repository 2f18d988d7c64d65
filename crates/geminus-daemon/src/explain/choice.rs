//! Who may be chosen for a new flow of a client, and who not, in words.

use std::net::IpAddr;

use geminus_core::director::{Director, ServerState};
use geminus_core::model::{Cluster, Condition, Prefix, Service};
use geminus_core::plan::{server_identity, service_identity};

/// Servers that are named one by one as not to be had.
const NAMED: usize = 5;

/// What is laid down of the client, the pool that its new flows go to, and its servers that get none.
pub(super) fn steps(
    director: &Director,
    cluster: &Cluster,
    service: &Service,
    client: IpAddr,
) -> Vec<String> {
    if let Some(refused) = refused(service, client) {
        return vec![refused];
    }
    let mut steps = Vec::new();
    let pool = match pool_of(service, client) {
        Some((prefix, pool)) => {
            steps.push(format!("{client} is in {prefix}: its new flows go to pool {}", name(service, pool)));
            pool
        }
        None => match director.pool_view(service_identity(cluster, service)) {
            Some(view) if !view.because.is_empty() => {
                let pool = name(service, view.in_force);
                steps.push(format!("new flows go to pool {pool}: {}", view.because));
                view.in_force
            }
            Some(view) => view.in_force,
            None => 0,
        },
    };
    steps.extend(without_flows(director, cluster, service, pool));
    steps
}

/// Why a client is not served, if it is not.
fn refused(service: &Service, client: IpAddr) -> Option<String> {
    if let Some(prefix) = longest(&service.deny, client) {
        return Some(format!("{client} is in {prefix}, which the service denies"));
    }
    let listed = service.allow.is_empty() || longest(&service.allow, client).is_some();
    (!listed).then(|| format!("{client} is in none of the prefixes that the service allows"))
}

/// The pool of the rule whose prefix is the longest, if one has the client; of equal ones the first.
fn pool_of(service: &Service, client: IpAddr) -> Option<(Prefix, u8)> {
    let mut best: Option<(Prefix, u8)> = None;
    for rule in &service.rules {
        let Condition::From(prefixes) = &rule.when else { continue };
        if let Some(prefix) = longest(prefixes, client)
            && best.is_none_or(|(other, _)| prefix.bits > other.bits)
        {
            best = Some((prefix, rule.pool));
        }
    }
    best
}

fn longest(prefixes: &[Prefix], client: IpAddr) -> Option<Prefix> {
    prefixes.iter().filter(|prefix| has(prefix, client)).max_by_key(|prefix| prefix.bits).copied()
}

/// Whether an address is in a prefix.
fn has(prefix: &Prefix, client: IpAddr) -> bool {
    let (difference, width) = match (prefix.address, client) {
        (IpAddr::V4(first), IpAddr::V4(client)) => {
            (u128::from(first.to_bits() ^ client.to_bits()), u32::BITS)
        }
        (IpAddr::V6(first), IpAddr::V6(client)) => (first.to_bits() ^ client.to_bits(), u128::BITS),
        _ => return false,
    };
    difference.checked_shr(width - u32::from(prefix.bits).min(width)).unwrap_or(0) == 0
}

fn name(service: &Service, pool: u8) -> &str {
    let further = usize::from(pool).checked_sub(1);
    further.and_then(|at| service.pools.get(at)).map_or("main", String::as_str)
}

/// The servers of a pool that get no new flows, and why.
fn without_flows(director: &Director, cluster: &Cluster, service: &Service, pool: u8) -> Vec<String> {
    let mut steps = Vec::new();
    let mut more = 0;
    for server in service.servers.iter().filter(|server| server.pool == pool) {
        let Some(view) = director.server_view(server_identity(cluster, service, server)) else { continue };
        let takes = matches!(
            view.state,
            ServerState::Up | ServerState::Checking | ServerState::Unchecked | ServerState::Panic
        );
        if takes {
            continue;
        }
        if steps.len() == NAMED {
            more += 1;
            continue;
        }
        let why = if view.reason.is_empty() { String::new() } else { format!(": {}", view.reason) };
        steps.push(format!("server {} is {} and gets no new flow{why}", server.name, view.state.word()));
    }
    if more > 0 {
        steps.push(format!("and {more} more servers of the pool get no new flow"));
    }
    steps
}

#[cfg(test)]
mod tests {
    use geminus_core::model::{Ports, Protocol, Rule};

    use super::*;

    fn prefix(text: &str) -> Prefix {
        let (address, bits) = text.split_once('/').expect("a prefix");
        Prefix { address: address.parse().expect("an address"), bits: bits.parse().expect("bits") }
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn a_prefix_has_what_begins_like_it_and_nothing_of_the_other_family() {
        assert!(has(&prefix("203.0.113.0/24"), ip("203.0.113.255")));
        assert!(!has(&prefix("203.0.113.0/24"), ip("203.0.114.0")));
        assert!(has(&prefix("0.0.0.0/0"), ip("203.0.113.1")) && !has(&prefix("0.0.0.0/0"), ip("::")));
        assert!(has(&prefix("2001:db8::/32"), ip("2001:db8:ffff::1")));
        assert!(has(&prefix("203.0.113.9/32"), ip("203.0.113.9")));
        assert!(!has(&prefix("203.0.113.9/32"), ip("203.0.113.8")));
    }

    #[test]
    fn deny_wins_over_allow_and_the_longest_prefix_over_the_first_rule() {
        let mut service = Service::new(Protocol::Tcp, Ports::Exact(80), Vec::new());
        service.pools = vec!["wide".into(), "narrow".into()];
        let rule = |text: &str, pool| Rule { when: Condition::From(vec![prefix(text)]), pool };
        service.rules = vec![rule("203.0.0.0/16", 1), rule("203.0.113.0/24", 2)];
        assert_eq!(pool_of(&service, ip("203.0.113.9")).map(|(_, pool)| pool), Some(2));
        assert_eq!(pool_of(&service, ip("203.0.1.9")).map(|(_, pool)| pool), Some(1));
        assert_eq!(pool_of(&service, ip("198.51.100.1")), None);
        service.allow = vec![prefix("203.0.0.0/16")];
        service.deny = vec![prefix("203.0.113.0/28")];
        assert!(refused(&service, ip("203.0.113.9")).is_some_and(|words| words.contains("denies")));
        assert!(refused(&service, ip("198.51.100.1")).is_some_and(|words| words.contains("allows")));
        assert_eq!(refused(&service, ip("203.0.113.99")), None);
    }
}
