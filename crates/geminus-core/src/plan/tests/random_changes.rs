//! A thousand random changes in a row: nothing leaks, and no flow to a server that stays is lost.

use std::collections::{BTreeMap, HashSet};

use geminus_fixtures::random::Random;

use super::ground::{Flow, Node, cluster, flow, inventory, service, site};
use super::*;
use crate::model::{Affinity, OnDown, Prefix};

const CHANGES: u32 = 1000;
/// Cluster addresses there are to have.
const ADDRESSES: [u8; 5] = [80, 81, 82, 83, 84];
/// Ports that packets come for.
const KNOCKS: [u16; 8] = [80, 443, 8000, 8005, 8009, 8010, 25, 5];

/// Where a flow went: cluster, identity of the server, its name.
type Home = (u64, String);

fn any_service(random: &mut Random, cluster: &Cluster) -> Option<Service> {
    let ports = random.one(&[
        Ports::Exact(80),
        Ports::Exact(443),
        Ports::Exact(8005),
        Ports::Range(8000, 8009),
        Ports::Any,
    ]);
    if cluster.services.iter().any(|service| service.ports == ports) {
        return None;
    }
    let names: Vec<_> = (0..1 + random.below(5)).map(|_| format!("s{}", random.below(12))).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect::<HashSet<_>>().into_iter().collect();
    let mut made = service(1, &names);
    made.servers.sort_by(|one, other| one.name.cmp(&other.name));
    made.servers.iter_mut().for_each(|server| server.weight = random.one(&[1, 1, 1, 2, 10, 0]));
    if random.below(3) == 0 {
        made.pools = vec!["spare".into()];
        made.servers.iter_mut().for_each(|server| server.pool = random.one(&[0, 0, 1]));
    }
    made.ring_slots = random.one(&[251, 257, 509]);
    made.select = random.one(&[Select::Hash, Select::Hash, Select::RoundRobin]);
    made.affinity = (random.below(3) == 0).then(|| Affinity {
        prefix4: 24,
        prefix6: 48,
        timeout: std::time::Duration::from_secs(60),
        group: None,
    });
    Some(Service { ports, ..made })
}

/// One change that leaves the site valid.
fn change(site: &mut Site, random: &mut Random) {
    let clusters = site.clusters.len();
    let at = random.below(clusters.max(1));
    match random.below(14) {
        0 | 1 => {
            let used: HashSet<_> =
                site.clusters.iter().flat_map(|cluster| &cluster.addresses).copied().collect();
            let name = format!("c{}", random.below(8));
            let made = cluster(&name, random.one(&ADDRESSES), Vec::new());
            if !used.contains(&made.addresses[0]) && site.clusters.iter().all(|cluster| cluster.name != name)
            {
                site.clusters.insert(random.below(clusters + 1), made);
            }
        }
        2 if clusters > 0 => drop(site.clusters.remove(at)),
        _ if clusters == 0 => (),
        3 => site.clusters.rotate_left(at),
        4..7 => {
            if let Some(made) = any_service(random, &site.clusters[at]) {
                let services = &mut site.clusters[at].services;
                services.insert(random.below(services.len() + 1), made);
            }
        }
        7 => {
            let services = &mut site.clusters[at].services;
            if !services.is_empty() {
                services.remove(random.below(services.len()));
            }
        }
        8 => site.clusters[at].services.reverse(),
        9 => {
            let cluster = &mut site.clusters[at];
            (cluster.ping, cluster.unexposed) =
                (random.below(2) == 0, random.one(&[Unexposed::Drop, Unexposed::Pass]));
        }
        _ => change_servers(&mut site.clusters[at].services, random),
    }
}

fn change_servers(services: &mut [Service], random: &mut Random) {
    if services.is_empty() {
        return;
    }
    let service = &mut services[random.below(services.len())];
    let at = random.below(service.servers.len());
    match random.below(8) {
        5 => {
            service.pools = if service.pools.is_empty() { vec!["spare".into()] } else { Vec::new() };
            let pools = service.pools.len();
            service.servers.iter_mut().for_each(|server| server.pool = random.below(pools + 1) as u8);
        }
        6 => {
            let address = IpAddr::from([203, 0, random.below(256) as u8, 0]);
            service.deny =
                if service.deny.is_empty() { vec![Prefix { address, bits: 17 }] } else { Vec::new() };
        }
        0 => {
            let made = server(&format!("s{}", random.below(12)));
            if service.servers.iter().all(|server| server.name != made.name) {
                service.servers.insert(at, made);
            }
        }
        1 if service.servers.len() > 1 => drop(service.servers.remove(at)),
        2 => service.servers[at].weight = random.one(&[0, 1, 5, 1000]),
        3 => service.servers.reverse(),
        4 => service.ring_slots = random.one(&[251, 257, 509]),
        _ => service.select = random.one(&[Select::Hash, Select::RoundRobin]),
    }
}

/// The service that the site has for a packet, found as the configuration explains it.
fn service_for<'a>(site: &'a Site, flow: &Flow) -> Option<(&'a Cluster, Option<&'a Service>)> {
    let address = IpAddr::from(flow.destination);
    let cluster = site.clusters.iter().find(|cluster| cluster.addresses.contains(&address))?;
    let of = |fits: &dyn Fn(Ports) -> bool| cluster.services.iter().find(|service| fits(service.ports));
    let service = of(&|ports| ports == Ports::Exact(flow.port))
        .or_else(|| {
            of(&|ports| matches!(ports, Ports::Range(first, last) if (first..=last).contains(&flow.port)))
        })
        .or_else(|| of(&|ports| ports == Ports::Any));
    Some((cluster, service))
}

/// Every server of a service by its identity, and the weight in force, which is 0 in a pool that is not.
fn servers(node: &Node, cluster: &Cluster, service: &Service) -> Vec<(u64, String, u16)> {
    let in_force = node.rulings.pool(service_identity(cluster, service));
    // What was ruled of a pool that is gone is ruled of the main one.
    let in_force = if usize::from(in_force) > service.pools.len() { 0 } else { in_force };
    let of = |server: &Server| {
        let identity = server_identity(cluster, service, server);
        let weight = node.rulings.server(identity).weight_of(server, node.overrides.get(identity));
        (identity, server.name.clone(), if server.pool == in_force { weight } else { 0 })
    };
    service.servers.iter().map(of).collect()
}

/// Whether a service serves nobody from where a packet comes.
fn denies(service: &Service, flow: &Flow) -> bool {
    let has = |prefix: &Prefix| {
        let IpAddr::V4(address) = prefix.address else { panic!("an IPv4 prefix") };
        (u32::from(address) ^ u32::from_be_bytes(flow.source)) >> (32 - prefix.bits) == 0
    };
    service.deny.iter().any(has)
}

/// Something is found of a server or of a service; the servers that lost their flows by it.
fn find(node: &mut Node, random: &mut Random) -> Vec<u64> {
    let downs = [None, None, Some(OnDown::Keep), Some(OnDown::Rehash), Some(OnDown::Reset)];
    let ruling = Ruling {
        weight: random.one(&[None, None, Some(1), Some(40_000)]),
        down: random.one(&downs),
        maintenance: random.below(12) == 0,
        leaving: random.below(12) == 0,
        slowed: random.below(6) == 0,
        emptied: random.below(6) == 0,
    };
    let lost = node.rule(&format!("s{}", random.below(12)), ruling);
    for cluster in &node.site.clusters {
        for service in &cluster.services {
            if random.below(8) == 0 {
                node.rulings.use_pool(service_identity(cluster, service), random.below(2) as u8);
            }
        }
    }
    if ruling.down.is_some_and(|down| down != OnDown::Keep) { lost } else { Vec::new() }
}

/// What becomes of a first packet is what the site says; where it went, if it went anywhere.
fn knock(node: &Node, flow: Flow) -> Option<Home> {
    let sent = node.send(&flow.syn());
    let Some((cluster, service)) = service_for(&node.site, &flow) else {
        assert_eq!(sent, Sent::Passed("not-cluster"));
        return None;
    };
    let Some(service) = service else {
        let shut = match cluster.unexposed {
            Unexposed::Drop => Sent::Dropped("unexposed"),
            Unexposed::Pass => Sent::Passed("unexposed-pass"),
        };
        assert_eq!(sent, shut, "{flow:?}");
        return None;
    };
    if denies(service, &flow) {
        assert_eq!(sent, Sent::Dropped("denied"), "{flow:?}");
        return None;
    }
    let servers = servers(node, cluster, service);
    let may = servers.iter().filter(|(.., weight)| *weight > 0);
    let Sent::To(name, _) = &sent else {
        assert!(may.count() == 0 && sent == Sent::Dropped("no-server"), "{flow:?}: {sent:?} of {servers:?}");
        return None;
    };
    let home = may.clone().find(|(_, known, _)| known == name);
    let home = home.unwrap_or_else(|| panic!("{flow:?} went to {name}, which may not have it: {servers:?}"));
    Some((home.0, home.1.clone()))
}

/// Nothing is held that the site does not need, and a new daemon would find just what there is.
fn assert_no_leak(node: &Node) {
    let services: Vec<_> = node.site.clusters.iter().flat_map(|cluster| &cluster.services).collect();
    let servers: usize = services.iter().map(|service| service.servers.len()).sum();
    let planner = &node.planner;
    let entries: usize = services.iter().map(|service| 1 + service.pools.len()).sum();
    assert_eq!(planner.services.len(), entries);
    assert_eq!(planner.servers.len(), servers);
    assert_eq!(planner.free_services.len() + entries, node.sizes.services as usize);
    let laid_down: usize = services.iter().map(|service| service.deny.len()).sum();
    assert_eq!(node.tables.laid_down().len(), laid_down);
    assert_eq!(planner.free_servers.len() + servers + 1, node.sizes.servers as usize);
    assert_eq!(planner.places().count(), servers);
    assert_eq!(inventory(planner), inventory(&Planner::adopt(&node.tables, &node.sizes)));
}

#[test]
fn a_thousand_changes_leak_nothing_and_lose_no_flow_to_a_server_that_stays() {
    let mut random = Random::new(20_260_101);
    let sizes = Sizes { ring_lines: 4000, services: 64, servers: 256, ..sizes(&site(Vec::new()), 1) };
    let mut node = Node::empty(&sizes);
    let mut flows: BTreeMap<(u8, u16, u16), Home> = BTreeMap::new();
    let mut followed = 0_u32;
    for round in 0..CHANGES {
        let mut next = node.site.clone();
        for _ in 0..1 + random.below(3) {
            change(&mut next, &mut random);
        }
        if random.below(4) == 0 {
            let wish = Override {
                drained: random.below(2) == 0,
                until: random.one(&[None, Some(KernelMs(1)), Some(KernelMs(1 << 39))]),
                weight: random.one(&[None, None, Some(0), Some(7)]),
            };
            node.wish(&format!("s{}", random.below(12)), wish);
        }
        let mut lost = Vec::new();
        if random.below(3) == 0 {
            lost = find(&mut node, &mut random);
        }
        node.apply(next).unwrap_or_else(|error| panic!("change {round}: {error}"));
        if random.below(50) == 0 {
            node.planner = Planner::adopt(&node.tables, &sizes);
            node.reload().unwrap();
        }
        assert_no_leak(&node);
        flows.retain(|&(address, n, port), (identity, name)| {
            let flow = flow(address, n, port);
            if !node.planner.servers.contains_key(identity) || lost.contains(identity) {
                return false;
            }
            let Some((cluster, Some(service))) = service_for(&node.site, &flow) else { return false };
            if !servers(&node, cluster, service).iter().any(|(known, ..)| known == identity) {
                return false;
            }
            let sent = node.send(&flow.segment());
            assert_eq!(sent, Sent::To(name.clone(), "established"), "change {round}, {flow:?}");
            followed += 1;
            true
        });
        for _ in 0..6 {
            let key = (random.one(&ADDRESSES), random.below(60_000) as u16, random.one(&KNOCKS));
            let flow = flow(key.0, key.1, key.2);
            let Some(home) = knock(&node, flow) else { continue };
            assert_eq!(
                node.send(&flow.segment()),
                Sent::To(home.1.clone(), "promoted"),
                "change {round}, {flow:?}"
            );
            if flows.len() < 400 {
                flows.insert(key, home);
            }
        }
    }
    assert!(followed > 5000, "{followed} times a flow was followed through a change");
    node.apply(site(Vec::new())).unwrap();
    assert_no_leak(&node);
    assert!(node.planner.room.fits(&[sizes.ring_lines]), "every ring line is free again");
}
