//! Laws of the plan: what a change of the site does to the packets that meet the tables, on the real packet path.

mod census;
mod clients;
mod given_up;
mod ground;
mod interleaved;
mod killed;
mod moved;
mod pair;
mod pools;
mod random_changes;
mod ruled;

use std::collections::HashMap;

use geminus_packet::tables::{Server as ServerEntry, Tables as _};

use self::ground::{Node, Sent, cluster, flow, server, service, site};
use super::*;
use crate::model::{Affinity, Ports, Select, Server, Service, Unexposed};

/// Flows of most laws.
const FLOWS: u16 = 600;

/// One cluster with one service of these servers, all of weight 1.
fn shop(servers: &[&str]) -> Site {
    site(vec![cluster("shop", 80, vec![service(80, servers)])])
}

/// A node with this site and so many established flows to its first cluster's port 80, and where they go.
fn busy(site: Site) -> (Node, HashMap<u16, String>) {
    let node = Node::new(site);
    let flows = (0..FLOWS).map(|n| (n, node.establish(flow(80, n, 80)))).collect();
    (node, flows)
}

/// Asserts that the flows of all servers but these go on where they were, and those of these elsewhere.
#[track_caller]
fn assert_only_these_moved(node: &Node, flows: &HashMap<u16, String>, gone: &[&str]) {
    for (&n, server) in flows {
        match node.send(&flow(80, n, 80).segment()) {
            Sent::To(now, "established") => {
                assert_eq!(&now, server, "flow {n}");
                assert!(!gone.contains(&server.as_str()), "flow {n} still goes to {server}, which is gone");
            }
            Sent::To(now, path) => {
                assert!(
                    gone.contains(&server.as_str()),
                    "flow {n} to {server} lost its server: {path} to {now}"
                );
                assert!(!gone.contains(&now.as_str()), "flow {n} goes to {now}, which is gone");
            }
            other => panic!("flow {n}: {other:?}"),
        }
    }
}

#[test]
fn equal_sites_written_in_any_order_give_equal_choices() {
    let services = |order: &[usize]| {
        let all = [
            service(80, &["web1", "web2", "web3", "web4"]),
            service(443, &["web2", "web3"]),
            Service { select: Select::RoundRobin, ..service(8080, &["web1", "web2", "web3"]) },
        ];
        order.iter().map(|&at| all[at].clone()).collect::<Vec<_>>()
    };
    let one = site(vec![cluster("shop", 80, services(&[0, 1, 2])), cluster("mail", 81, services(&[0]))]);
    let mut other =
        site(vec![cluster("mail", 81, services(&[0])), cluster("shop", 80, services(&[2, 0, 1]))]);
    other.clusters.iter_mut().flat_map(|c| &mut c.services).for_each(|service| service.servers.reverse());
    let nodes = [Node::new(one), Node::new(other)];
    for n in 0..2000 {
        for (address, port) in [(80, 80), (80, 443), (80, 8080), (81, 80)] {
            let [one, other] = nodes.each_ref().map(|node| node.send(&flow(address, n, port).syn()));
            assert_eq!(one, other, "flow {n} to {address} port {port}");
        }
    }
}

#[test]
fn removing_a_server_moves_only_its_own_flows() {
    let (mut node, flows) = busy(shop(&["web1", "web2", "web3", "web4"]));
    node.apply(shop(&["web1", "web2", "web4"])).unwrap();
    assert_only_these_moved(&node, &flows, &["web3"]);
}

#[test]
fn removing_a_server_moves_hardly_anybody_else_even_without_memory() {
    let names: Vec<_> = (1..=10).map(|n| format!("web{n}")).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let mut large = shop(&names);
    large.clusters[0].services[0].ring_slots = 65_537;
    let mut less = large.clone();
    less.clusters[0].services[0].servers.remove(4);
    let (before, after) = (Node::new(large), Node::new(less));
    let mut moved = 0;
    let flows = 20_000;
    for n in 0..flows {
        let (Sent::To(one, _), Sent::To(other, _)) =
            (before.send(&flow(80, n, 80).syn()), after.send(&flow(80, n, 80).syn()))
        else {
            panic!("flow {n} is dropped");
        };
        moved += u32::from(one != other && one != "web5");
    }
    assert!(moved * 100 <= u32::from(flows), "{moved} of {flows} flows of other servers moved");
}

#[test]
fn a_drained_server_keeps_its_flows_and_gets_no_new_one() {
    let (mut node, flows) = busy(shop(&["web1", "web2", "web3"]));
    node.wish("web2", Override { drained: true, ..Override::default() });
    node.reload().unwrap();
    assert_only_these_moved(&node, &flows, &[]);
    assert!((0..FLOWS).all(|n| node.send(&flow(80, 10_000 + n, 80).syn()).server() != "web2"));
    node.wish("web2", Override::default());
    node.reload().unwrap();
    assert_only_these_moved(&node, &flows, &[]);
    assert!((0..FLOWS).any(|n| node.send(&flow(80, 20_000 + n, 80).syn()).server() == "web2"));
}

#[test]
fn weight_zero_is_a_drain() {
    let (mut node, flows) = busy(shop(&["web1", "web2", "web3"]));
    let mut site = shop(&["web1", "web2", "web3"]);
    site.clusters[0].services[0].servers[1].weight = 0;
    node.apply(site).unwrap();
    assert_only_these_moved(&node, &flows, &[]);
    assert!((0..FLOWS).all(|n| node.send(&flow(80, 10_000 + n, 80).syn()).server() != "web2"));
}

#[test]
fn a_service_whose_every_server_is_drained_keeps_its_flows_and_takes_no_new_one() {
    let (mut node, flows) = busy(shop(&["web1", "web2"]));
    for name in ["web1", "web2"] {
        node.wish(name, Override { drained: true, ..Override::default() });
    }
    node.reload().unwrap();
    assert_only_these_moved(&node, &flows, &[]);
    assert_eq!(node.send(&flow(80, 10_000, 80).syn()), Sent::Dropped("no-server"));
}

#[test]
fn a_changed_weight_moves_no_flow_and_changes_the_share_of_new_ones() {
    let (mut node, flows) = busy(shop(&["web1", "web2", "web3"]));
    node.wish("web1", Override { drained: false, weight: Some(8), ..Override::default() });
    node.reload().unwrap();
    assert_only_these_moved(&node, &flows, &[]);
    let new = (0..2000).filter(|n| node.send(&flow(80, 10_000 + n, 80).syn()).server() == "web1").count();
    assert!((1500..1700).contains(&new), "{new} of 2000 new flows for 8 of 10 shares");
}

#[test]
fn an_added_server_takes_no_flow_and_gets_its_share_of_new_ones() {
    let (mut node, flows) = busy(shop(&["web1", "web2", "web3"]));
    node.apply(shop(&["web1", "web2", "web3", "web4"])).unwrap();
    assert_only_these_moved(&node, &flows, &[]);
    let new = (0..2000).filter(|n| node.send(&flow(80, 10_000 + n, 80).syn()).server() == "web4").count();
    assert!((400..600).contains(&new), "{new} of 2000 new flows for 1 of 4 shares");
}

#[test]
fn a_reload_of_the_same_site_writes_nothing() {
    let mut site = shop(&["web1", "web2", "web3"]);
    site.clusters[0]
        .services
        .push(Service { ports: Ports::Range(8000, 8099), ..service(0, &["web1", "web9"]) });
    site.clusters[0].services.push(Service { ports: Ports::Any, ..service(0, &["web7"]) });
    site.clusters.push(cluster("mail", 81, vec![service(25, &["mx"])]));
    let (mut node, _) = busy(site);
    node.wish("web2", Override { drained: true, weight: Some(7), ..Override::default() });
    node.reload().unwrap();
    let before = node.snapshot();
    let graces = node.reload().unwrap();
    assert_eq!(before.difference(&node.snapshot(), 0), None);
    assert_eq!(graces, 0, "nobody has to be waited for");
}

#[test]
fn what_is_installed_is_found_again() {
    let mut site = shop(&["web1", "web2", "web3"]);
    site.clusters.push(cluster("mail", 81, vec![service(25, &["mx"]), service(110, &["mx"])]));
    let (mut node, flows) = busy(site);
    node.wish("web2", Override { drained: true, until: Some(KernelMs(86_400_000_000)), weight: Some(7) });
    node.wish("mx", Override { drained: false, weight: Some(1000), ..Override::default() });
    node.reload().unwrap();
    let before = node.snapshot();
    let adopted = Planner::adopt(&node.tables, &node.sizes);
    assert_eq!(adopted.overrides(&node.tables), node.overrides);
    assert_eq!(adopted.links(&node.tables, &node.site), node.links);
    assert_eq!(ground::inventory(&adopted), ground::inventory(&node.planner));
    node.planner = adopted;
    node.reload().unwrap();
    // Ports and addresses are written once more, to the other half; nothing else is.
    let after = node.snapshot();
    let moved = before.difference(&after, 0).unwrap_or_default();
    assert!(moved.is_empty() || moved.starts_with("settings"), "{moved}");
    assert_eq!(before.without_halves().difference(&after.without_halves(), 0), None);
    assert_only_these_moved(&node, &flows, &[]);
    let before = node.snapshot();
    node.reload().unwrap();
    assert_eq!(before.difference(&node.snapshot(), 0), None, "and from then on nothing is");
}

#[test]
fn a_new_daemon_knows_the_ways_of_the_old_one() {
    let (node, flows) = busy(shop(&["web1", "web2", "web3"]));
    let mut heir = Node { links: HashMap::new(), planner: Planner::adopt(&node.tables, &node.sizes), ..node };
    heir.reload().unwrap();
    assert_only_these_moved(&heir, &flows, &[]);
}

#[test]
fn a_site_that_does_not_fit_is_refused_and_nothing_is_written() {
    let small = shop(&["web1", "web2"]);
    let names: Vec<_> = (1..100).map(|n| format!("s{n}")).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let many = |count: u16| (1..=count).map(|port| service(port, &["web1"])).collect::<Vec<_>>();
    let ranges = |count: u16| {
        let range = |n| Service { ports: Ports::Range(n * 10, n * 10 + 5), ..service(0, &["web1"]) };
        (1..=count).map(range).collect::<Vec<_>>()
    };
    let mut wide = shop(&["web1", "web2"]);
    wide.clusters[0].services[0].ring_slots = 65_537;
    let mut addressed = shop(&["web1", "web2"]);
    addressed.clusters[0].addresses =
        (0..4000_u32).map(|n| IpAddr::V4((u32::from_be_bytes([198, 18, 0, 0]) + n).into())).collect();
    let cases = [
        ("service", site(vec![cluster("shop", 80, many(40))])),
        ("server", shop(&names)),
        ("ring", wide),
        ("range", site(vec![cluster("shop", 80, ranges(14)), cluster("mail", 81, ranges(14))])),
        ("address", addressed),
    ];
    for (table, too_large) in cases {
        let (mut node, flows) = busy(small.clone());
        node.grow_all_but(table);
        let before = node.snapshot();
        let inventory = ground::inventory(&node.planner);
        assert_eq!(node.apply(too_large).err(), Some(PlanError::Full(table)));
        assert_eq!(before.difference(&node.snapshot(), 0), None, "{table}");
        assert_eq!(inventory, ground::inventory(&node.planner), "{table}");
        node.apply(small.clone()).unwrap();
        assert_eq!(before.difference(&node.snapshot(), 0), None, "{table}");
        assert_only_these_moved(&node, &flows, &[]);
    }
}

#[test]
fn a_reused_number_is_never_found_under_an_old_flow() {
    let (mut node, mut flows) = busy(shop(&["web1", "web2", "web3"]));
    for round in 0..20 {
        let (old, new) = (format!("web{}", round + 3), format!("web{}", round + 4));
        node.apply(shop(&["web1", "web2"])).unwrap();
        let number = *node.planner.free_servers.last().expect("one was just given up");
        node.apply(shop(&["web1", "web2", &new])).unwrap();
        assert_eq!(node.name(number), new, "the newcomer has the number of the one that left");
        assert_only_these_moved(&node, &flows, &[&old]);
        // Those that moved are remembered where they are now; others come to the new server.
        flows = (0..FLOWS).map(|n| (n, node.establish(flow(80, n + 1000 * round, 80)))).collect();
        flows.retain(|_, server| *server == new);
        assert!(!flows.is_empty());
        flows = flows.into_iter().map(|(n, server)| (n + 1000 * round, server)).collect();
    }
}

#[test]
fn generations_begin_again_without_ever_being_zero() {
    let (mut node, _) = busy(shop(&["web1", "web2"]));
    node.apply(shop(&["web1"])).unwrap();
    let number = *node.planner.free_servers.last().expect("one was just given up");
    let entry = node.tables.server(number).expect("it is there");
    entry.interface.store(0xffff << 48);
    node.apply(shop(&["web1", "web2"])).unwrap();
    let entry = node.tables.server(number).expect("it is there");
    assert_eq!(ServerEntry::generation(entry.link.load()), 1);
    let server = node.establish(flow(80, 1, 80));
    assert_eq!(node.send(&flow(80, 1, 80).segment()), Sent::To(server, "established"));
}

#[test]
fn clusters_and_services_may_change_places() {
    let mut site = shop(&["web1", "web2", "web3"]);
    site.clusters[0].services.push(service(443, &["tls"]));
    site.clusters.push(cluster("mail", 81, vec![service(80, &["mx"])]));
    site.clusters.push(cluster("media", 82, vec![service(80, &["video"])]));
    let (mut node, flows) = busy(site.clone());
    for turn in 0..6 {
        site.clusters.rotate_left(1);
        site.clusters.swap(0, turn % 3);
        site.clusters.iter_mut().for_each(|cluster| cluster.services.reverse());
        node.apply(site.clone()).unwrap();
        assert_only_these_moved(&node, &flows, &[]);
        for (address, port, server) in [(80, 443, "tls"), (81, 80, "mx"), (82, 80, "video")] {
            assert_eq!(node.send(&flow(address, turn as u16, port).syn()).server(), server);
        }
        assert_eq!(node.send(&flow(81, 5, 443).syn()), Sent::Dropped("unexposed"));
    }
}

#[test]
fn a_renamed_clusters_flows_go_on_by_the_ring_to_the_same_servers() {
    let (mut node, flows) = busy(shop(&["web1", "web2", "web3"]));
    let mut site = shop(&["web1", "web2", "web3"]);
    site.clusters[0].name = "store".into();
    node.apply(site).unwrap();
    for (n, server) in flows {
        assert_eq!(node.send(&flow(80, n, 80).segment()), Sent::To(server, "unknown"), "flow {n}");
    }
}

#[test]
fn a_server_with_another_address_is_another_server() {
    let (mut node, flows) = busy(shop(&["web1", "web2", "web3"]));
    let mut site = shop(&["web1", "web2", "web3"]);
    site.clusters[0].services[0].servers[1].address = "192.0.2.222".parse().unwrap();
    node.apply(site).unwrap();
    for (n, server) in flows {
        let sent = node.send(&flow(80, n, 80).segment());
        if server == "web2" {
            assert!(matches!(sent, Sent::To(_, "unknown")), "flow {n}: {sent:?}");
        } else {
            assert_eq!(sent, Sent::To(server, "established"), "flow {n}");
        }
    }
}

#[test]
fn one_way_found_is_written_without_an_apply() {
    let mut node = Node::without_links(shop(&["web1", "web2"]));
    assert_eq!(node.send(&flow(80, 1, 80).syn()), Sent::Dropped("unresolved"));
    node.find("web1");
    assert_eq!(node.send(&flow(80, 2, 80).syn()), Sent::To("web1".into(), "ring"));
    // What is no longer known is kept: a stale hardware address loses less than none.
    node.links.clear();
    node.reload().unwrap();
    assert_eq!(node.send(&flow(80, 3, 80).syn()), Sent::To("web1".into(), "ring"));
}

#[test]
fn what_the_operator_wants_is_done_alike_alone_and_with_everything() {
    let mut site = shop(&["web1", "web2", "web3"]);
    site.clusters.push(cluster("mail", 81, vec![service(80, &["web1", "mx"])]));
    let (mut whole, _) = busy(site.clone());
    let (mut alone, flows) = busy(site);
    for (name, wish) in [
        ("web1", Override { drained: true, ..Override::default() }),
        ("web2", Override { drained: false, weight: Some(50), ..Override::default() }),
        ("mx", Override { drained: false, weight: Some(0), ..Override::default() }),
        ("web1", Override::default()),
    ] {
        whole.wish(name, wish);
        whole.reload().unwrap();
        let servers = alone.wish(name, wish);
        alone.adjust(servers).unwrap();
        assert_eq!(whole.snapshot().difference(&alone.snapshot(), 0), None, "{name}: {wish:?}");
        assert_only_these_moved(&alone, &flows, &[]);
    }
}

#[test]
fn settings_of_a_cluster_change_with_it() {
    let mut site = shop(&["web1"]);
    let (mut node, _) = busy(site.clone());
    assert_eq!(node.send(&flow(80, 1, 81).syn()), Sent::Dropped("unexposed"));
    site.clusters[0].unexposed = Unexposed::Pass;
    node.apply(site.clone()).unwrap();
    assert_eq!(node.send(&flow(80, 1, 81).syn()), Sent::Passed("unexposed-pass"));
    site.clusters[0].primary = "beta".into();
    node.apply(site.clone()).unwrap();
    assert_eq!(
        node.send(&flow(80, 1, 80).syn()),
        Sent::Passed("not-cluster"),
        "another node's cluster is not ours"
    );
    site.clusters[0].primary = ground::NODE.into();
    site.clusters[0].services[0].affinity =
        Some(Affinity { prefix4: 32, prefix6: 64, timeout: std::time::Duration::from_secs(60), group: None });
    node.apply(site).unwrap();
    let home = node.establish(flow(80, 7, 80));
    let again = ground::Flow { source_port: 5, ..flow(80, 7, 80) };
    assert_eq!(node.send(&again.syn()), Sent::To(home, "affinity"));
}

#[test]
fn a_server_has_one_name_in_a_service_and_its_own_number_in_each() {
    let node =
        Node::new(site(vec![cluster("shop", 80, vec![service(80, &["web1"]), service(443, &["web1"])])]));
    let numbers: Vec<_> = node.planner.places().map(|(number, _)| number).collect();
    assert_eq!(numbers.len(), 2);
    assert_eq!(server("web1").address, node.site.clusters[0].services[1].servers[0].address);
}
