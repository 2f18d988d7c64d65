//! Laws of pools: each has a ring of its own, and one word says which is in force.

use geminus_packet::tables::Tables as _;

use super::ground::{Flow, Node, Sent, cluster, flow, service, site};
use super::*;
use crate::model::{Condition, OnDown, Prefix, Rule};

/// A shop of web1 to web3, with a pool `spare` of web4 and web5 and a pool `sorry` of web6.
fn pooled() -> Site {
    let mut shop = service(80, &["web1", "web2", "web3", "web4", "web5", "web6"]);
    shop.pools = vec!["spare".into(), "sorry".into()];
    for (server, pool) in shop.servers.iter_mut().zip([0, 0, 0, 1, 1, 2]) {
        server.pool = pool;
    }
    site(vec![cluster("shop", 80, vec![shop, service(443, &["web1"])])])
}

const MAIN: [&str; 3] = ["web1", "web2", "web3"];
const SPARE: [&str; 2] = ["web4", "web5"];

fn use_pool(node: &mut Node, pool: u8) {
    let service = service_identity(&node.site.clusters[0], &node.site.clusters[0].services[0]);
    node.rulings.use_pool(service, pool);
    node.change(&Changed { servers: Vec::new(), services: vec![service] }).unwrap();
}

/// Every server that new flows of the first service go to.
fn served_by(node: &Node, first: u16) -> Vec<String> {
    let mut names: Vec<_> =
        (0..200).map(|n| node.send(&flow(80, first + n, 80).syn()).server().to_owned()).collect();
    names.sort();
    names.dedup();
    names
}

#[test]
fn new_flows_go_to_the_pool_in_force_and_those_that_are_there_stay() {
    let (mut node, flows) = busy(pooled());
    assert_eq!(served_by(&node, 10_000), MAIN);
    use_pool(&mut node, 1);
    assert_only_these_moved(&node, &flows, &[]);
    assert_eq!(served_by(&node, 20_000), SPARE);
    use_pool(&mut node, 2);
    assert_eq!(served_by(&node, 30_000), ["web6"]);
    use_pool(&mut node, 0);
    assert_eq!(served_by(&node, 40_000), MAIN);
    assert_only_these_moved(&node, &flows, &[]);
}

#[test]
fn a_server_keeps_its_flows_when_it_changes_its_pool() {
    let (mut node, flows) = busy(pooled());
    let mut site = pooled();
    site.clusters[0].services[0].servers[0].pool = 1;
    node.apply(site).unwrap();
    assert_only_these_moved(&node, &flows, &[]);
    assert_eq!(served_by(&node, 10_000), MAIN[1..]);
}

#[test]
fn a_pool_that_is_empty_takes_no_flow_and_the_others_are_as_they_were() {
    let (mut node, _) = busy(pooled());
    let servers = node.rule("web6", Ruling { down: Some(OnDown::Rehash), ..Ruling::default() });
    node.adjust(servers).unwrap();
    assert_eq!(served_by(&node, 10_000), MAIN);
    use_pool(&mut node, 2);
    assert_eq!(node.send(&flow(80, 20_000, 80).syn()), Sent::Dropped("no-server"));
}

#[test]
fn clients_of_a_rule_are_served_from_its_pool_whatever_is_in_force() {
    let mut site = pooled();
    // Of the flows of these tests, numbers 256 and on to 511 come from here.
    let prefix = Prefix { address: "203.0.1.0".parse().unwrap(), bits: 24 };
    site.clusters[0].services[0].rules = vec![Rule { when: Condition::From(vec![prefix]), pool: 1 }];
    let mut node = Node::new(site.clone());
    for in_force in [0, 1, 2] {
        use_pool(&mut node, in_force);
        assert_eq!(served_by(&node, 256), SPARE, "{in_force}");
    }
    use_pool(&mut node, 0);
    assert_eq!(served_by(&node, 1000), MAIN);
    // The main pool may be a rule's too.
    site.clusters[0].services[0].rules[0].pool = 0;
    let mut node = Node::new(site);
    use_pool(&mut node, 2);
    assert_eq!(served_by(&node, 256), MAIN);
    assert_eq!(served_by(&node, 2000), ["web6"]);
}

/// Every server that new flows of clients of the prefix of [`with_rule`] go to, each time other flows.
fn clients_served_by(node: &Node, round: u16) -> Vec<String> {
    let flows = (256..456).map(|n| Flow { source_port: 1024 + round, ..flow(80, n, 80) });
    let mut names: Vec<_> = flows.map(|flow| node.send(&flow.syn()).server().to_owned()).collect();
    names.sort();
    names.dedup();
    names
}

/// Clients of a prefix are served from `spare`, and nobody else is; `sorry` is for hard times.
fn with_rule() -> Site {
    let mut site = pooled();
    let prefix = Prefix { address: "203.0.1.0".parse().unwrap(), bits: 24 };
    let shop = &mut site.clusters[0].services[0];
    shop.rules = vec![Rule { when: Condition::From(vec![prefix]), pool: 1 }];
    shop.sorry = Some(2);
    site
}

fn all(node: &mut Node, names: &[&str], down: Option<OnDown>) {
    let mut servers = Vec::new();
    for name in names {
        servers.extend(node.rule(name, Ruling { down, ..Ruling::default() }));
    }
    node.adjust(servers).unwrap();
}

#[test]
fn clients_of_a_pool_without_a_server_get_those_of_the_pool_in_force_else_the_sorry_pools() {
    let mut node = Node::new(with_rule());
    let gone = Some(OnDown::Rehash);
    all(&mut node, &["web4"], gone);
    assert_eq!(clients_served_by(&node, 0), ["web5"], "one is enough");
    all(&mut node, &SPARE, gone);
    assert_eq!(clients_served_by(&node, 1), MAIN);
    use_pool(&mut node, 2);
    assert_eq!(clients_served_by(&node, 2), ["web6"], "that which is in force stands in");
    use_pool(&mut node, 0);
    assert_eq!(clients_served_by(&node, 3), MAIN);
    all(&mut node, &["web2"], gone);
    assert_eq!(clients_served_by(&node, 4), ["web1", "web3"], "what becomes of it, becomes of its guests");
    all(&mut node, &MAIN, gone);
    assert_eq!(clients_served_by(&node, 5), ["web6"]);
    all(&mut node, &["web6"], gone);
    let nobody = Flow { source_port: 9, ..flow(80, 256, 80) };
    assert_eq!(node.send(&nobody.syn()), Sent::Dropped("no-server"));
    all(&mut node, &SPARE, None);
    assert_eq!(clients_served_by(&node, 6), SPARE);
    assert_eq!(node.send(&flow(80, 1000, 80).syn()), Sent::Dropped("no-server"), "no rule is about others");
}

#[test]
fn whoever_stands_in_for_a_pool_does_so_for_the_next_daemon_too() {
    let mut node = Node::new(with_rule());
    all(&mut node, &SPARE, Some(OnDown::Rehash));
    let before = node.snapshot();
    node.planner = Planner::adopt(&node.tables, &node.sizes);
    node.rulings = node.planner.rulings(&node.tables, &node.site);
    node.reload().unwrap();
    assert_eq!(before.without_halves().difference(&node.snapshot().without_halves(), 0), None);
    assert_eq!(clients_served_by(&node, 0), MAIN);
    node.apply(site(Vec::new())).unwrap();
    assert!(node.planner.room.fits(&[node.sizes.ring_lines]), "every line is free again");
}

#[test]
fn a_drained_pool_of_clients_is_stood_in_for_too() {
    let mut node = Node::new(with_rule());
    let mut servers = node.wish("web4", Override { drained: true, ..Override::default() });
    servers.extend(node.rule("web5", Ruling { maintenance: true, ..Ruling::default() }));
    node.adjust(servers).unwrap();
    assert_eq!(clients_served_by(&node, 0), MAIN);
}

#[test]
fn a_pool_goes_with_its_ring_and_its_entry() {
    let (mut node, flows) = busy(pooled());
    use_pool(&mut node, 1);
    let before = (node.planner.free_services.len(), node.planner.services.len());
    assert_eq!(before.1, 4, "two services, two pools");
    let mut plain = pooled();
    let shop = &mut plain.clusters[0].services[0];
    (shop.pools, shop.servers) = (Vec::new(), shop.servers[..3].to_vec());
    node.apply(plain).unwrap();
    assert_eq!((node.planner.free_services.len(), node.planner.services.len()), (before.0 + 2, 2));
    assert_only_these_moved(&node, &flows, &[]);
    assert_eq!(served_by(&node, 10_000), MAIN, "what was in force is gone");
    node.apply(site(Vec::new())).unwrap();
    assert!(node.planner.room.fits(&[node.sizes.ring_lines]), "every line is free again");
}

#[test]
fn the_next_daemon_reads_which_pool_is_in_force() {
    let (mut node, _) = busy(pooled());
    for pool in [2, 1, 0] {
        use_pool(&mut node, pool);
        let adopted = Planner::adopt(&node.tables, &node.sizes);
        assert_eq!(adopted.rulings(&node.tables, &node.site), node.rulings, "{pool}");
        // Written in another order, it is still the pool of that name.
        let mut other = node.site.clone();
        let shop = &mut other.clusters[0].services[0];
        shop.pools.reverse();
        let service = service_identity(&other.clusters[0], &other.clusters[0].services[0]);
        assert_eq!(adopted.rulings(&node.tables, &other).pool(service), [0, 2, 1][usize::from(pool)]);
    }
}

#[test]
fn tables_have_room_for_every_pool() {
    let site = pooled();
    let with = sizes(&site, 1);
    let mut without = site.clone();
    without.clusters[0].services[0].pools.clear();
    assert_eq!(with.ring_lines - sizes(&without, 1).ring_lines, 2 * 2 * lines(251));
    let mut node = Node::with(site, &with);
    for name in MAIN.iter().chain(&SPARE) {
        node.rule(name, Ruling { weight: Some(9), ..Ruling::default() });
    }
    node.reload().unwrap();
    assert_eq!(served_by(&node, 0), MAIN);
}

#[test]
fn the_servers_of_a_host_are_a_circle_where_services_share_clients() {
    let affinity = |group: Option<&str>| {
        Some(Affinity {
            prefix4: 32,
            prefix6: 64,
            timeout: std::time::Duration::from_secs(60),
            group: group.map(str::to_owned),
        })
    };
    let sharing = |port, group| Service { affinity: affinity(group), ..service(port, &["web1", "web2"]) };
    let mut node = Node::new(site(vec![cluster(
        "shop",
        80,
        vec![
            sharing(80, Some("cart")),
            sharing(443, Some("cart")),
            sharing(8080, None),
            sharing(81, Some("other")),
        ],
    )]));
    let home = node.establish(flow(80, 7, 80));
    for n in 0..20 {
        let again = Flow { source_port: 5 + n, ..flow(80, 7, 443) };
        assert_eq!(node.send(&again.syn()), Sent::To(home.clone(), "affinity"), "{n}");
    }
    for port in [8080, 81] {
        let other = node.send(&flow(80, 7, port).syn());
        assert!(matches!(other, Sent::To(_, "ring")), "{port} shares nothing: {other:?}");
    }
    let circle = |node: &Node, name: &str| -> Vec<(u64, u64)> {
        let numbers = node.identities(name).into_iter().map(|id| node.planner.server_number(id).unwrap());
        numbers
            .map(|number| node.tables.server(number).unwrap().kin.load())
            .map(|kin| (kin & 0xffff_ffff, kin >> 32))
            .collect()
    };
    let web1 = circle(&node, "web1");
    let numbers: Vec<u64> = node
        .identities("web1")
        .into_iter()
        .map(|id| node.planner.server_number(id).unwrap().into())
        .collect();
    assert_eq!([web1[0].1, web1[1].1, web1[2].1, web1[3].1], [numbers[1], numbers[0], 0, 0]);
    // Each says which service it belongs to.
    let cluster = node.site.clusters[0].clone();
    for (service, (number, _)) in cluster.services.iter().zip(web1) {
        assert_eq!(u64::from(node.planner.services[&service_identity(&cluster, service)]), number);
    }
    // One of the two leaves, and nobody points at it any more.
    let mut site = node.site.clone();
    site.clusters[0].services.remove(1);
    node.apply(site).unwrap();
    assert!(circle(&node, "web1").iter().all(|(_, next)| *next == 0));
}
