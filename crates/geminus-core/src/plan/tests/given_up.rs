//! An entry that is given up while a packet is under way that found it by what is remembered: nothing but the generation
//! tells such a packet, for it may have come after the grace began.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use super::ground::{self, Flow, Node, cluster, flow, service, site};
use super::interleaved::Watched;
use super::*;
use crate::model::Affinity;

/// The server that goes.
const GONE: &str = "web2";

fn shop(servers: &[&str]) -> Cluster {
    let affinity = Affinity { prefix4: 32, prefix6: 64, timeout: Duration::from_secs(60), group: None };
    cluster("shop", 80, vec![Service { affinity: Some(affinity), ..service(80, servers) }])
}

/// The site with the server, without it, and with another cluster whose server gets its entry.
fn sites() -> [Site; 3] {
    let left = || shop(&["web1", "web3"]);
    let news = cluster("news", 83, vec![service(119, &["nntp"])]);
    [site(vec![shop(&["web1", GONE, "web3"])]), site(vec![left()]), site(vec![left(), news])]
}

/// A node of the first site, and packets that it has the server's number for: of a flow, the first of one again, the second
/// of one, and the first of another of its client.
fn node() -> (Node, [(&'static str, Vec<u8>); 4]) {
    let [site, _, third] = sites();
    let sizes = Sizes { services: 8, servers: 16, ring_lines: 200, ..sizes(&third, 1) };
    let node = Node::with(site, &sizes);
    let of_gone = |node: &Node, flow: &Flow| node.send(&flow.syn()).server() == GONE;
    let mut flows = (0..).map(|n| flow(80, n, 80)).filter(|flow| of_gone(&node, flow));
    let (kept, begun) = (flows.next().expect("the ring has it"), flows.next().expect("twice"));
    node.send(&kept.segment());
    let next = Flow { source_port: kept.source_port + 1, ..kept };
    let packets = [
        ("established", kept.segment()),
        ("repeated", begun.syn()),
        ("promoted", begun.segment()),
        ("affinity", next.syn()),
    ];
    (node, packets)
}

/// What becomes of a packet that begins when the server is in no ring any more, and before whose access number `at` its entry
/// is given up, and given to somebody else if there is a third site. And how many accesses there were.
fn met(sites: &[Site], packet: usize, at: u64) -> (Sent, u64) {
    let (Node { tables, mut planner, overrides, rulings, mut links, .. }, packets) = node();
    sites.iter().for_each(|site| links.extend(ground::links(site)));
    let everyone =
        Site { clusters: sites.iter().flat_map(|site| site.clusters.clone()).collect(), ..sites[0].clone() };
    let wanted = |site| ground::wanted(site, &overrides, &rulings, &links);
    let (begin, begun) = mpsc::channel();
    let (go_on, goes_on) = mpsc::channel();
    let (end, ended) = mpsc::channel();
    thread::scope(|scope| {
        let (tables, wanted) = (&tables, &wanted);
        scope.spawn(move || {
            let grace = || {
                begin.send(()).expect("the packet waits");
                goes_on.recv().expect("the packet comes to its end");
            };
            planner.apply(tables, &wanted(&sites[1]), grace).expect("the site fits");
            for site in &sites[2..] {
                planner.apply(tables, &wanted(site), || ()).expect("the site fits");
            }
            end.send(()).expect("the packet waits");
        });
        begun.recv().expect("a server goes, so there is a grace");
        let watched = Watched::new(tables, |access| {
            if access == at {
                go_on.send(()).expect("the writer waits");
                ended.recv().expect("the writer comes to its end");
            }
        });
        let sent = ground::send(&watched, &everyone, &packets[packet].1);
        let _ = go_on.send(());
        (sent, watched.accesses())
    })
}

#[test]
fn an_entry_given_up_between_any_two_looks_of_a_packet_gives_no_frame_to_anybody_else() {
    let [first, second, third] = sites();
    for (number, (path, _)) in node().1.into_iter().enumerate() {
        for sites in [&[first.clone(), second.clone()][..], &[first.clone(), second.clone(), third.clone()]] {
            let (undisturbed, accesses) = met(sites, number, u64::MAX);
            assert_eq!(undisturbed, Sent::To(GONE.into(), path), "until the entry is given up");
            for at in 0..accesses {
                match met(sites, number, at).0 {
                    Sent::To(name, _) if ["web1", GONE, "web3"].contains(&name.as_str()) => {}
                    Sent::Dropped("unresolved") => {}
                    other => panic!("{path}, given up before look {at} of {accesses}: {other:?}"),
                }
            }
        }
    }
}

#[test]
fn the_next_server_gets_the_entry_of_the_one_that_went() {
    let [_, second, third] = sites();
    let (mut node, _) = node();
    let gone = node.planner.server_number(node.identities(GONE)[0]);
    node.apply(second).unwrap();
    node.apply(third).unwrap();
    assert!(gone.is_some());
    assert_eq!(gone, node.planner.server_number(node.identities("nntp")[0]));
}
