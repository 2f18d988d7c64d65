//! What is different between two sites, one line each, for the operator who changed it.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::path::PathBuf;
use std::time::Duration;

use super::orders;
use crate::config::words;
use crate::model::{
    Affinity, Agents, Announce, Cluster, Ha, Health, Manager, Path, Prefix, Recovery, Select, Server,
    Service, Site, Unexposed,
};
use crate::plan::{Overrides, server_identity};

/// Every difference that the node's data plane sees.
pub(super) fn of_sites(before: &Site, after: &Site, node: &str) -> Vec<String> {
    let mut changes = Vec::new();
    let ms = |time: Duration| format!("{} ms", time.as_millis());
    let mut setting = |what: &str, old: String, new: String| {
        if old != new {
            changes.push(format!("{what} {old} -> {new}"));
        }
    };
    setting("lease", ms(before.ha.lease), ms(after.ha.lease));
    let (old, new) = (before.tables, after.tables);
    setting("flow table slots", old.flows.to_string(), new.flows.to_string());
    setting("provisional table slots", old.provisional.to_string(), new.provisional.to_string());
    setting("affinity table slots", old.affinity.to_string(), new.affinity.to_string());
    setting("5-tuples kept", old.tuples.to_string(), new.tuples.to_string());
    let (old, new) = (before.timeouts, after.timeouts);
    setting("timeout of tcp flows", ms(old.tcp), ms(new.tcp));
    setting("timeout after fin", ms(old.tcp_fin), ms(new.tcp_fin));
    setting("timeout after rst", ms(old.tcp_rst), ms(new.tcp_rst));
    setting("timeout of udp flows", ms(old.udp), ms(new.udp));
    setting("timeout of first packets", ms(old.first), ms(new.first));

    of_ha(&before.ha, &after.ha, &mut changes);
    of_balance(before, after, &mut changes);
    let ours = |site: &'_ Site| -> Vec<Cluster> {
        site.clusters.iter().filter(|cluster| cluster.is_of(node)).cloned().collect()
    };
    let (before, after) = (ours(before), ours(after));
    let name = |cluster: &Cluster| format!("cluster {}", cluster.name);
    compare(&before, &after, name, &mut changes, of_clusters);
    changes
}

/// How health is judged, weights are found and agents heard.
fn of_balance(before: &Site, after: &Site, changes: &mut Vec<String>) {
    let ms = |time: Duration| format!("{} ms", time.as_millis());
    let days = |health: &Health| format!("{} days", health.certificate_days);
    let shares = |manager: &Manager| manager.proportions.map(|share| share.to_string()).join("/");
    let heard = |agents: &Agents| if agents.enabled { "yes" } else { "no" }.to_owned();
    let (old, new) = (&before.health, &after.health);
    let health = [
        ("panic below", format!("{} %", old.panic_below), format!("{} %", new.panic_below)),
        ("slow start", ms(old.slow_start), ms(new.slow_start)),
        ("damping", ms(old.damping), ms(new.damping)),
        ("certificates warned of before", days(old), days(new)),
    ];
    let (old, new) = (&before.manager, &after.manager);
    let manager = [
        ("cycle of the manager", ms(old.interval), ms(new.interval)),
        ("proportions of the manager", shares(old), shares(new)),
        ("sensitivity of the manager", format!("{} %", old.sensitivity), format!("{} %", new.sensitivity)),
        ("smoothing of the manager", old.smoothing.to_string(), new.smoothing.to_string()),
        ("bound of the manager", old.bound.to_string(), new.bound.to_string()),
    ];
    let (old, new) = (&before.agents, &after.agents);
    let agents = [
        ("agents heard", heard(old), heard(new)),
        ("port of agents", old.port.to_string(), new.port.to_string()),
        ("timeout of agents", ms(old.timeout), ms(new.timeout)),
        ("key file of agents", file(old.key_file.as_ref()), file(new.key_file.as_ref())),
    ];
    for (what, old, new) in health.into_iter().chain(manager).chain(agents) {
        if old != new {
            changes.push(format!("{what} {old} -> {new}"));
        }
    }
}

fn file(path: Option<&PathBuf>) -> String {
    path.map_or_else(|| "none".to_owned(), |path| path.display().to_string())
}

/// What high availability works with, but for the lease.
fn of_ha(before: &Ha, after: &Ha, changes: &mut Vec<String>) {
    let ms = |time: Duration| format!("{} ms", time.as_millis());
    let recovery = |recovery: Recovery| match recovery {
        Recovery::Auto => "auto".to_owned(),
        Recovery::Manual => "manual".to_owned(),
    };
    let announce = |announce: Announce| match announce {
        Announce::Gratuitous => "gratuitous".to_owned(),
        Announce::VirtualMac => "virtual-mac".to_owned(),
    };
    let (old, new) = (before.timers, after.timers);
    let settings = [
        ("heartbeat", ms(old.heartbeat), ms(new.heartbeat)),
        ("suspect", old.suspect.to_string(), new.suspect.to_string()),
        ("probes", old.probes.to_string(), new.probes.to_string()),
        ("confirm", ms(old.confirm), ms(new.confirm)),
        ("port of partners", before.port.to_string(), after.port.to_string()),
        ("announce", announce(before.announce), announce(after.announce)),
        ("key file of heartbeats", file(before.key_file.as_ref()), file(after.key_file.as_ref())),
        ("other key file of heartbeats", file(before.also_accept.as_ref()), file(after.also_accept.as_ref())),
        ("recovery", recovery(before.recovery), recovery(after.recovery)),
        ("stable", ms(before.stable), ms(after.stable)),
        ("alone_after", ms(before.alone_after), ms(after.alone_after)),
    ];
    for (what, old, new) in settings {
        if old != new {
            changes.push(format!("{what} {old} -> {new}"));
        }
    }
    let path = |path: &Path| format!("path {} - {}", path.addresses[0], path.addresses[1]);
    compare(&before.paths, &after.paths, path, changes, |_, _, _| ());
    compare(&before.reach, &after.reach, |target| format!("reach target {target}"), changes, |_, _, _| ());
    if before.hooks != after.hooks {
        changes.push("hooks changed".to_owned());
    }
}

/// Every server of this name that something else is wanted of.
pub(super) fn of_overrides(
    site: &Site,
    node: &str,
    name: &str,
    before: &Overrides,
    after: &Overrides,
) -> Vec<String> {
    let mut changes = Vec::new();
    for (cluster, service, server) in orders::servers(site, node).filter(|(.., server)| server.name == name) {
        let identity = server_identity(cluster, service, server);
        let (old, new) = (before.get(identity), after.get(identity));
        let place = format!("{}: server {}", service_name(cluster, service), server.name);
        if old.drained != new.drained {
            let word = if new.drained { "gets no new flows" } else { "gets new flows again" };
            changes.push(format!("{place} {word}"));
        }
        if old.weight != new.weight {
            let weight = |wish: Option<u16>| wish.unwrap_or(server.weight);
            changes.push(format!("{place} weight {} -> {}", weight(old.weight), weight(new.weight)));
        }
    }
    changes
}

fn of_clusters(before: &Cluster, after: &Cluster, changes: &mut Vec<String>) {
    let place = format!("cluster {}", after.name);
    differs(&place, "primary", &before.primary, &after.primary, changes);
    let backup = |cluster: &Cluster| cluster.backup.clone().unwrap_or_else(|| "none".to_owned());
    differs(&place, "backup", backup(before), backup(after), changes);
    differs(&place, "ping", before.ping, after.ping, changes);
    let word = |unexposed| match unexposed {
        Unexposed::Drop => "drop",
        Unexposed::Pass => "pass",
    };
    differs(&place, "unexposed", word(before.unexposed), word(after.unexposed), changes);
    let added = after.addresses.iter().filter(|address| !before.addresses.contains(address));
    changes.extend(added.map(|address| format!("{place}: address {address} added")));
    let removed = before.addresses.iter().filter(|address| !after.addresses.contains(address));
    changes.extend(removed.map(|address| format!("{place}: address {address} removed")));
    let name = |service: &Service| service_name(after, service);
    compare(&before.services, &after.services, name, changes, |old, new, changes| {
        of_services(&service_name(after, new), old, new, changes);
    });
}

fn of_services(place: &str, before: &Service, after: &Service, changes: &mut Vec<String>) {
    let select = |select| match select {
        Select::Hash => "hash",
        Select::RoundRobin => "round-robin",
        Select::LeastConnections => "least-connections",
    };
    differs(place, "select", select(before.select), select(after.select), changes);
    differs(place, "ring slots", before.ring_slots, after.ring_slots, changes);
    let affinity = |affinity: &Option<Affinity>| match affinity {
        None => "none".to_owned(),
        Some(Affinity { prefix4, prefix6, timeout, group }) => {
            let group = group.iter().map(|group| format!(" in group {group}")).collect::<String>();
            format!("/{prefix4} or /{prefix6} for {} ms{group}", timeout.as_millis())
        }
    };
    differs(place, "affinity", affinity(&before.affinity), affinity(&after.affinity), changes);
    let check = |service: &Service| words::check(service.check.as_ref());
    differs(place, "check", check(before), check(after), changes);
    differs(place, "on_down", before.on_down.word(), after.on_down.word(), changes);
    let weights = |service: &Service| if service.managed { "managed" } else { "fixed" };
    differs(place, "weights", weights(before), weights(after), changes);
    of_pools(place, before, after, changes);
    let name = |server: &Server| format!("{place}: server {}", server.name);
    compare(&before.servers, &after.servers, name, changes, |old, new, changes| {
        of_servers(&name(new), (before, old), (after, new), changes);
    });
}

/// Pools, the rules between them, and clients.
fn of_pools(place: &str, before: &Service, after: &Service, changes: &mut Vec<String>) {
    let pool = |pool: &String| format!("{place}: pool {pool}");
    compare(&before.pools, &after.pools, pool, changes, |_, _, _| ());
    let rules = |service: &Service| -> Vec<String> {
        service.rules.iter().map(|rule| words::rule(service, rule)).collect()
    };
    let (old, new) = (rules(before), rules(after));
    let rule = |rule: &String| format!("{place}: rule {rule}");
    let told = changes.len();
    compare(&old, &new, rule, changes, |_, _, _| ());
    if old != new && changes.len() == told {
        changes.push(format!("{place}: rules in another order"));
    }
    let sorry =
        |service: &Service| service.sorry.map_or("none", |sorry| words::pool(service, sorry)).to_owned();
    differs(place, "sorry", sorry(before), sorry(after), changes);
    let allowed = |client: &Prefix| format!("{place}: allowed {client}");
    compare(&before.allow, &after.allow, allowed, changes, |_, _, _| ());
    let denied = |client: &Prefix| format!("{place}: denied {client}");
    compare(&before.deny, &after.deny, denied, changes, |_, _, _| ());
}

fn of_servers(
    place: &str,
    before: (&Service, &Server),
    after: (&Service, &Server),
    changes: &mut Vec<String>,
) {
    let ((service, old), (new_service, new)) = (before, after);
    differs(place, "address", old.address, new.address, changes);
    differs(place, "weight", old.weight, new.weight, changes);
    differs(place, "pool", words::pool(service, old.pool), words::pool(new_service, new.pool), changes);
    differs(place, "fixed", old.fixed, new.fixed, changes);
    differs(place, "sticky", old.sticky, new.sticky, changes);
    let maintenance = |server: &Server| match &server.maintenance[..] {
        [] => "none".to_owned(),
        windows => words::windows(windows),
    };
    differs(place, "maintenance", maintenance(old), maintenance(new), changes);
}

/// Compares things of the same name; others were added or removed.
fn compare<T>(
    before: &[T],
    after: &[T],
    name: impl Fn(&T) -> String,
    changes: &mut Vec<String>,
    differences: impl Fn(&T, &T, &mut Vec<String>),
) {
    let mut old: BTreeMap<String, &T> = before.iter().map(|thing| (name(thing), thing)).collect();
    for new in after {
        match old.remove(&name(new)) {
            Some(old) => differences(old, new, changes),
            None => changes.push(format!("{} added", name(new))),
        }
    }
    changes.extend(old.keys().map(|name| format!("{name} removed")));
}

fn differs<T: PartialEq + Display>(place: &str, what: &str, old: T, new: T, changes: &mut Vec<String>) {
    if old != new {
        changes.push(format!("{place}: {what} {old} -> {new}"));
    }
}

fn service_name(cluster: &Cluster, service: &Service) -> String {
    format!("cluster {}: service {} {}", cluster.name, service.protocol.word(), service.ports)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    const MUTUAL: &str = include_str!("../../../../examples/mutual.toml");

    #[test]
    fn every_setting_of_high_availability_that_changes_is_named() {
        let site = |text: &str| config::parse(text, "f").unwrap_or_else(|errors| panic!("{errors}"));
        let before = site(MUTUAL);
        let after = MUTUAL
            .replace("profile = \"fast\"", "port = 4872\nannounce = \"virtual-mac\"\nrecovery = \"manual\"\nstable = \"1m\"")
            .replace("[ha]", "[hooks]\nduel = [\"/bin/true\"]\n[ha]\nkey_file = \"/k\"\nalso_accept = \"/o\"\nalone_after = \"1m\"")
            .replace("  [\"2001:db8:2::1\", \"2001:db8:2::2\"],\n", "")
            .replace("\"198.51.100.1\", ", "")
            .replace("primary = \"beta\"\nbackup = \"alpha\"", "primary = \"beta\"");
        assert_eq!(
            of_sites(&before, &site(&after), "beta"),
            [
                "heartbeat 10 ms -> 50 ms",
                "confirm 15 ms -> 50 ms",
                "port of partners 4870 -> 4872",
                "announce gratuitous -> virtual-mac",
                "key file of heartbeats none -> /k",
                "other key file of heartbeats none -> /o",
                "recovery auto -> manual",
                "stable 10000 ms -> 60000 ms",
                "alone_after 40000 ms -> 60000 ms",
                "path 2001:db8:2::1 - 2001:db8:2::2 removed",
                "reach target 198.51.100.1 removed",
                "hooks changed",
                "cluster mail: backup alpha -> none",
            ]
        );
        let alpha = of_sites(&before, &site(&after), "alpha");
        assert_eq!(
            alpha.last().map(String::as_str),
            Some("cluster mail removed"),
            "it is not alpha's any more"
        );
    }
    #[test]
    fn every_setting_of_balance_that_changes_is_named() {
        let site = |text: &str| config::parse(text, "f").unwrap_or_else(|errors| panic!("{errors}"));
        let before = site(MUTUAL);
        let balance = "[health]\npanic_below = 0\nslow_start = \"5s\"\ndamping = \"0s\"\ncertificate_days = 7\n\
            [manager]\ninterval = \"1s\"\nproportions = { active = 100, new = 0, latency = 0, load = 0 }\n\
            sensitivity = 1\nsmoothing = 100\nbound = 2\n\
            [agents]\nenabled = false\nport = 4000\ntimeout = \"9s\"\nkey_file = \"/a\"\n[ha]";
        let service = "port = 443\non_down = \"keep\"\nweights = \"managed\"\nsorry = \"away\"\n\
            check = { ping = true }\naffinity = { group = \"cart\" }\nallow = [\"203.0.113.0/24\"]\n\
            deny = [\"203.0.113.9\"]\n";
        let tail = "[[cluster.shop.service.pool]]\nname = \"away\"\nservers = [{ address = \"198.51.100.41\" }]\n\
            [[cluster.shop.service.rule]]\nrate = 5\npool = \"away\"\n\
            [[cluster.shop.service.rule]]\nduring = \"daily 01:00-02:00\"\npool = \"away\"\n\n[cluster.mail]";
        let server = "\"198.51.100.22\", fixed = true, sticky = false, maintenance = [\"sun 03:00-05:00\"]";
        let text = MUTUAL
            .replace("[ha]", balance)
            .replace("port = 443\n", service)
            .replace("[cluster.mail]", tail)
            .replace("\"198.51.100.22\"", server);
        let after = site(&text);
        let place = "cluster shop: service tcp 443";
        let times = "interval 500ms, fast_interval 250ms, connect 300ms, timeout 1s, fall 3, rise 2";
        let expected = [
            "panic below 50 % -> 0 %".to_owned(),
            "slow start 0 ms -> 5000 ms".to_owned(),
            "damping 30000 ms -> 0 ms".to_owned(),
            "certificates warned of before 14 days -> 7 days".to_owned(),
            "cycle of the manager 2000 ms -> 1000 ms".to_owned(),
            "proportions of the manager 20/10/40/30 -> 100/0/0/0".to_owned(),
            "sensitivity of the manager 5 % -> 1 %".to_owned(),
            "smoothing of the manager 200 -> 100".to_owned(),
            "bound of the manager 10 -> 2".to_owned(),
            "agents heard yes -> no".to_owned(),
            "port of agents 4871 -> 4000".to_owned(),
            "timeout of agents 5000 ms -> 9000 ms".to_owned(),
            "key file of agents none -> /a".to_owned(),
            format!("{place}: affinity none -> /32 or /64 for 300000 ms in group cart"),
            format!("{place}: check tcp via path, {times} -> ping via path, {times}"),
            format!("{place}: on_down rehash -> keep"),
            format!("{place}: weights fixed -> managed"),
            format!("{place}: pool away added"),
            format!("{place}: rule rate 5 to pool away added"),
            format!("{place}: rule during daily 01:00-02:00 to pool away added"),
            format!("{place}: sorry none -> away"),
            format!("{place}: allowed 203.0.113.0/24 added"),
            format!("{place}: denied 203.0.113.9/32 added"),
            format!("{place}: server web2: fixed false -> true"),
            format!("{place}: server web2: sticky true -> false"),
            format!("{place}: server web2: maintenance none -> sun 03:00-05:00"),
            format!("{place}: server 198.51.100.41 added"),
        ];
        assert_eq!(of_sites(&before, &after, "beta"), expected);
        let mut turned = after.clone();
        turned.clusters[0].services[0].rules.reverse();
        assert_eq!(of_sites(&after, &turned, "beta"), [format!("{place}: rules in another order")]);
    }
}
