//! A daemon that is killed in the middle of an apply leaves tables that forward, and that the next one puts in order.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use super::ground::{self, Flow, Node, cluster, flow, service, site};
use super::interleaved::Watched;
use super::*;

/// Accesses of an apply between two deaths: most of them are ring lines, which nobody points at.
const STRIDE: u64 = 3;

fn before() -> Site {
    site(vec![
        cluster("shop", 80, vec![service(80, &["web1", "web2", "web3"]), service(443, &["tls"])]),
        cluster("mail", 81, vec![service(25, &["mx"])]),
    ])
}

fn after() -> Site {
    site(vec![
        cluster("news", 83, vec![service(119, &["nntp1", "nntp2"])]),
        cluster("shop", 80, vec![service(8443, &["tls"]), service(80, &["web1", "web3", "web4"])]),
    ])
}

fn sizes_of_both() -> Sizes {
    Sizes {
        flow_buckets: 64,
        provisional_buckets: 64,
        affinity_buckets: 16,
        tuples: 512,
        services: 16,
        servers: 64,
        ring_lines: 300,
        ..sizes(&before(), 1)
    }
}

/// A node with flows to the shop, and where they went.
fn busy() -> (Node, Vec<(Flow, String)>) {
    let node = Node::with(before(), &sizes_of_both());
    let flows = (0..40).map(|n| flow(80, n, 80)).map(|flow| (flow, node.establish(flow))).collect();
    (node, flows)
}

/// Applies a site and dies before the access of this number; false if it came to its end before.
fn die(node: &mut Node, next: &Site, at: u64) -> bool {
    node.links.extend(ground::links(next));
    let Node { tables, planner, overrides, rulings, links, .. } = node;
    let wanted = ground::wanted(next, overrides, rulings, links);
    let watched = Watched::new(tables, |access| {
        if access == at {
            resume_unwind(Box::new("killed"));
        }
    });
    catch_unwind(AssertUnwindSafe(|| planner.apply(&watched, &wanted, || ()).unwrap())).is_err()
}

/// What a new daemon makes of the tables that say anything.
fn heir(node: Node, site: Site) -> Node {
    let planner = Planner::adopt(&node.tables, &node.sizes);
    let links = planner.links(&node.tables, &site);
    let mut heir = Node { planner, links, ..node };
    heir.apply(site).unwrap();
    heir
}

/// Asserts that a node says its site and nothing else.
#[track_caller]
fn assert_in_order(node: &Node, flows: &[(Flow, String)], kept: &[&str], at: u64) {
    for (flow, server) in flows {
        let sent = node.send(&flow.segment());
        if kept.contains(&server.as_str()) {
            assert_eq!(sent, Sent::To(server.clone(), "established"), "killed before access {at}");
        } else {
            assert!(
                matches!(&sent, Sent::To(now, "unknown") if now != server),
                "killed before access {at}: {sent:?}"
            );
        }
    }
    let mut fresh = Node::empty(&node.sizes);
    fresh.apply(node.site.clone()).unwrap();
    for address in [80, 81, 83] {
        for (n, port) in [80, 443, 8443, 25, 119, 5].into_iter().enumerate() {
            let syn = flow(address, 1000 + n as u16, port).syn();
            assert_eq!(node.send(&syn), fresh.send(&syn), "killed before access {at}");
        }
    }
    let [old, new] = [ground::inventory(&node.planner), ground::inventory(&fresh.planner)];
    let lengths = |(services, servers, free_services, free_servers, _): &ground::Inventory| {
        [services.len(), servers.len(), free_services.len(), free_servers.len()]
    };
    assert_eq!(lengths(&old), lengths(&new), "killed before access {at}");
}

/// Every ring line can be had back.
#[track_caller]
fn assert_no_line_is_lost(mut node: Node, at: u64) {
    node.apply(site(Vec::new())).unwrap();
    assert!(
        node.planner.room.fits(&[node.sizes.ring_lines]),
        "killed before access {at}: {:?}",
        node.planner.room
    );
}

#[test]
fn the_next_daemon_finishes_what_the_killed_one_began() {
    let mut at = 0;
    loop {
        let (mut node, flows) = busy();
        if !die(&mut node, &after(), at) {
            break;
        }
        let node = heir(node, after());
        assert_in_order(&node, &flows, &["web1", "web3"], at);
        assert_no_line_is_lost(node, at);
        at += STRIDE;
    }
    assert!(at > 50, "{at} accesses");
}

#[test]
fn the_next_daemon_undoes_what_the_killed_one_began_if_it_is_told_so() {
    let mut at = 0;
    loop {
        let (mut node, flows) = busy();
        if !die(&mut node, &after(), at) {
            break;
        }
        // Servers that were given up already are new again; those of the old site that were not keep their flows.
        let lost: Vec<_> =
            flows.iter().filter(|(_, server)| server == "web2").map(|(flow, _)| *flow).collect();
        let node = heir(node, before());
        let others: Vec<_> = flows.iter().filter(|(_, server)| server != "web2").cloned().collect();
        assert_in_order(&node, &others, &["web1", "web3"], at);
        for flow in lost {
            assert_eq!(
                node.send(&flow.segment()).server(),
                "web2",
                "killed before access {at}: the ring says so too"
            );
        }
        assert_no_line_is_lost(node, at);
        at += STRIDE;
    }
}

#[test]
fn packets_are_forwarded_while_nobody_is_there() {
    let mut at = 0;
    loop {
        let (mut node, flows) = busy();
        let killed = die(&mut node, &after(), at);
        for (flow, server) in &flows {
            let sent = ground::run(&node.tables, &flow.segment());
            let reason = sent.0.reason().expect("every verdict has one").name;
            let kept = server != "web2";
            assert!(
                reason == "established" || !kept && reason == "unknown",
                "killed before access {at}: {reason}"
            );
        }
        if !killed {
            break;
        }
        at += STRIDE;
    }
}

#[test]
fn a_node_killed_while_its_tables_were_empty_passes_everything_until_they_are_full() {
    let sizes = sizes_of_both();
    let mut at = 0;
    loop {
        let mut node = Node::empty(&sizes);
        let killed = die(&mut node, &before(), at);
        let sent = ground::run(&node.tables, &flow(80, 1, 80).syn()).0;
        let reason = sent.reason().expect("every verdict has one").name;
        assert_eq!(reason, if killed { "not-configured" } else { "ring" }, "killed before access {at}");
        if !killed {
            break;
        }
        let node = heir(node, before());
        assert_in_order(&node, &[], &[], at);
        assert_no_line_is_lost(node, at);
        at += 1;
    }
}
