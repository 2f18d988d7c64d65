//! What is different between two sites, one line each, for the operator who changed it.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::path::PathBuf;
use std::time::Duration;

use super::orders;
use crate::model::{
    Affinity, Announce, Cluster, Ha, Path, Recovery, Select, Server, Service, Site, Unexposed,
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
    let ours = |site: &'_ Site| -> Vec<Cluster> {
        site.clusters.iter().filter(|cluster| cluster.is_of(node)).cloned().collect()
    };
    let (before, after) = (ours(before), ours(after));
    let name = |cluster: &Cluster| format!("cluster {}", cluster.name);
    compare(&before, &after, name, &mut changes, of_clusters);
    changes
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
    let file = |path: &Option<PathBuf>| {
        path.as_ref().map_or_else(|| "none".to_owned(), |path| path.display().to_string())
    };
    let (old, new) = (before.timers, after.timers);
    let settings = [
        ("heartbeat", ms(old.heartbeat), ms(new.heartbeat)),
        ("suspect", old.suspect.to_string(), new.suspect.to_string()),
        ("probes", old.probes.to_string(), new.probes.to_string()),
        ("confirm", ms(old.confirm), ms(new.confirm)),
        ("port of partners", before.port.to_string(), after.port.to_string()),
        ("announce", announce(before.announce), announce(after.announce)),
        ("key file of heartbeats", file(&before.key_file), file(&after.key_file)),
        ("other key file of heartbeats", file(&before.also_accept), file(&after.also_accept)),
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
        Some(Affinity { prefix4, prefix6, timeout, .. }) => {
            format!("/{prefix4} or /{prefix6} for {} ms", timeout.as_millis())
        }
    };
    differs(place, "affinity", affinity(&before.affinity), affinity(&after.affinity), changes);
    let name = |server: &Server| format!("{place}: server {}", server.name);
    compare(&before.servers, &after.servers, name, changes, |old, new, changes| {
        let place = format!("{place}: server {}", new.name);
        differs(&place, "address", old.address, new.address, changes);
        differs(&place, "weight", old.weight, new.weight, changes);
    });
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
}
