//! From small tables to large ones.

use geminus_fixtures::snapshot::{Memory, Snapshot};
use geminus_packet::flow::WAYS;
use geminus_packet::heap::HeapTables;
use geminus_packet::tables::Tables as _;

use super::ground::{Flow, NOW, Node, cluster, flow, service, site};
use super::*;
use crate::model::Affinity;

/// A node that remembers a lot: flows and where they went, flows of which only the first packet came, and flows that
/// clients have not begun yet.
struct Lively {
    node: Node,
    established: Vec<(Flow, String)>,
    half_open: Vec<(Flow, String)>,
    clients: Vec<(Flow, String)>,
}

fn lively() -> Lively {
    let sticky = Service {
        select: Select::RoundRobin,
        affinity: Some(Affinity {
            prefix4: 32,
            prefix6: 64,
            timeout: std::time::Duration::from_secs(600),
            group: None,
        }),
        ..service(443, &["web1", "web2", "web3"])
    };
    let turns = Service { select: Select::RoundRobin, ..service(80, &["web1", "web2", "web3"]) };
    let mut site = site(vec![cluster("shop", 80, vec![turns, sticky])]);
    (site.tables.flows, site.tables.provisional, site.tables.affinity) = (1 << 15, 1 << 15, 1 << 15);
    let node = Node::new(site);
    let established: Vec<_> =
        (0..800).map(|n| flow(80, n, 80)).map(|flow| (flow, node.establish(flow))).collect();
    let half_open: Vec<_> = (1000..1400)
        .map(|n| flow(80, n, 80))
        .map(|flow| (flow, node.send(&flow.syn()).server().to_owned()))
        .collect();
    let clients: Vec<_> = (2000..2200)
        .map(|n| flow(80, n, 443))
        .map(|flow| (Flow { source_port: 9, ..flow }, node.establish(flow)))
        .collect();
    Lively { node, established, half_open, clients }
}

/// Larger tables with the same site, written in another order so that every server has another number.
fn larger(node: &Node) -> Node {
    let mut site = node.site.clone();
    site.clusters[0].services.reverse();
    site.clusters[0].services.iter_mut().for_each(|service| service.servers.reverse());
    site.clusters.insert(0, cluster("first", 99, vec![service(1, &["x", "y"])]));
    let mut sizes = node.sizes;
    (sizes.flow_buckets, sizes.tuples) = (sizes.flow_buckets * 4, sizes.tuples * 4);
    (sizes.provisional_buckets, sizes.affinity_buckets) =
        (sizes.provisional_buckets * 2, sizes.affinity_buckets * 2);
    Node::with(site, &sizes)
}

fn carried(node: &Node, next: &Node) -> Carried {
    carry((&node.tables, &node.sizes), (&next.tables, &next.sizes), NOW.0 as u32)
}

#[test]
fn every_flow_half_open_flow_and_client_moves_along() {
    let Lively { node, established, half_open, clients } = lively();
    let next = larger(&node);
    assert_ne!(
        ground::inventory(&node.planner).1,
        ground::inventory(&next.planner).1,
        "servers have other numbers"
    );
    let moved = carried(&node, &next);
    assert_eq!(moved, Carried { flows: 1000, left: 0 });
    for (flow, server) in established {
        assert_eq!(next.send(&flow.segment()), Sent::To(server, "established"));
    }
    for (flow, server) in half_open {
        assert_eq!(next.send(&flow.segment()), Sent::To(server, "promoted"));
    }
    for (flow, server) in clients {
        assert_eq!(next.send(&flow.syn()), Sent::To(server, "affinity"));
    }
}

#[test]
fn ages_states_and_leases_move_along() {
    let Lively { node, established, .. } = lively();
    geminus_fixtures::snapshot::age(&node.tables, &node.sizes, NOW.0 as u32, 5000);
    node.send(&established[0].0.segment());
    node.tables.group(0).unwrap().deadline.store(12_345);
    let next = larger(&node);
    carried(&node, &next);
    assert_eq!(next.tables.group(0).unwrap().deadline.load(), 12_345);
    let facts = |node: &Node| {
        let ways = geminus_fixtures::snapshot::ways(&node.tables, &node.sizes, NOW.0 as u32);
        let mut facts: Vec<_> =
            ways.iter().map(|way| (way.memory as u8, way.tag, way.state, way.pinned, way.seen)).collect();
        facts.sort_unstable();
        facts
    };
    assert_eq!(facts(&node), facts(&next));
}

#[test]
fn the_cold_side_moves_along() {
    let Lively { node, established, .. } = lively();
    let next = larger(&node);
    carried(&node, &next);
    let tuples = |node: &Node| {
        let ways = geminus_fixtures::snapshot::ways(&node.tables, &node.sizes, NOW.0 as u32);
        let flows = ways.iter().filter(|way| way.memory == Memory::Flows);
        let tuple = |bucket: u32, way: u32| {
            let tuple = node.tables.tuple(bucket * WAYS as u32 + way).expect("one a slot");
            [0, 1, 2, 3]
                .map(|at| tuple.addresses[at].load())
                .into_iter()
                .chain([tuple.ports.load()])
                .collect()
        };
        let mut tuples: Vec<(u64, Vec<u64>)> =
            flows.map(|way| (way.tag, tuple(way.bucket, way.way))).collect();
        tuples.sort_unstable();
        tuples
    };
    assert_eq!(tuples(&node), tuples(&next));
    assert_eq!(tuples(&next).len(), established.len() + 200);
}

#[test]
fn moving_twice_moves_what_came_meanwhile_and_nothing_twice() {
    let Lively { node, .. } = lively();
    let next = larger(&node);
    carried(&node, &next);
    let before = next.snapshot();
    assert_eq!(carried(&node, &next).flows, 0);
    assert_eq!(before.difference(&next.snapshot(), 0), None);
    // A packet still met the old tables.
    let late = flow(80, 5000, 80);
    let server = node.establish(late);
    assert_eq!(carried(&node, &next).flows, 1);
    assert_eq!(next.send(&late.segment()), Sent::To(server, "established"));
}

#[test]
fn a_flow_that_went_on_in_the_new_tables_is_not_put_back() {
    let Lively { node, established, .. } = lively();
    let next = larger(&node);
    carried(&node, &next);
    let (flow, server) = &established[3];
    let fin = |flow: &Flow| {
        let mut frame = flow.segment();
        frame[47] |= 1;
        frame
    };
    assert_eq!(next.send(&fin(flow)), Sent::To(server.clone(), "established"));
    let before: Snapshot = next.snapshot();
    carried(&node, &next);
    assert_eq!(before.difference(&next.snapshot(), 0), None);
}

#[test]
fn flows_of_servers_that_are_no_longer_wanted_are_left() {
    let Lively { node, established, .. } = lively();
    let mut next = larger(&node);
    let mut site = next.site.clone();
    let services = site.clusters.iter_mut().flat_map(|cluster| &mut cluster.services);
    services.for_each(|service| service.servers.retain(|server| server.name != "web2"));
    next.tables = HeapTables::new(&next.sizes);
    next.planner = Planner::adopt(&next.tables, &next.sizes);
    next.apply(site).unwrap();
    let moved = carried(&node, &next);
    assert!(moved.left > 0 && moved.flows + moved.left == 1000, "{moved:?}");
    for (flow, server) in established {
        match next.send(&flow.segment()) {
            Sent::To(now, "established") => assert_eq!(now, server),
            Sent::To(now, path) => assert!(server == "web2" && now != "web2" && path == "unknown"),
            other => panic!("{other:?}"),
        }
    }
}
