//! Laws of the count of active flows.

use super::super::Census;
use super::ground::{NOW, Node, flow};
use super::*;

/// So few buckets at once that a whole count takes many calls.
const FEW: u64 = 100;

fn count(node: &Node, buckets: u64) -> u32 {
    let mut census = Census::default();
    let rate = TicksPerSecond(250);
    (1..).find(|_| census.go_on(&node.tables, rate, NOW, buckets, node.sizes.servers)).expect("it ends")
}

fn active(node: &Node, name: &str) -> u64 {
    node.entry(name).active.load()
}

fn held(flows: &HashMap<u16, String>, name: &str) -> u64 {
    flows.values().filter(|server| *server == name).count() as u64
}

#[test]
fn a_count_says_who_has_how_many_however_many_calls_it_takes() {
    let (node, flows) = busy(shop(&["web1", "web2", "web3"]));
    for (buckets, calls) in [(u64::MAX, 1), (FEW, (1_u64 << 10).div_ceil(FEW))] {
        for name in ["web1", "web2", "web3"] {
            node.entry(name).active.store(12_345);
        }
        assert_eq!(u64::from(count(&node, buckets)), calls);
        for name in ["web1", "web2", "web3"] {
            assert_eq!(active(&node, name), held(&flows, name), "{name}");
        }
    }
}

#[test]
fn flows_that_ended_or_begun_only_or_were_idle_or_given_up_do_not_count() {
    let (mut node, flows) = busy(shop(&["web1", "web2"]));
    let mut left = held(&flows, "web1");
    for (&n, _) in flows.iter().filter(|(_, server)| *server == "web1").take(10) {
        let mut end = flow(80, n, 80).segment();
        end[47] |= 1;
        node.send(&end);
        left -= 1;
    }
    for n in 0..50 {
        node.send(&flow(80, 20_000 + n, 80).syn());
    }
    count(&node, u64::MAX);
    assert_eq!(active(&node, "web1"), left);
    let servers = node.rule("web2", Ruling { down: Some(crate::model::OnDown::Rehash), ..Ruling::default() });
    node.adjust(servers).unwrap();
    count(&node, u64::MAX);
    assert_eq!((active(&node, "web1"), active(&node, "web2")), (left, 0));
    geminus_fixtures::snapshot::age(&node.tables, &node.sizes, NOW.0 as u32, 250 * 3600 + 1);
    count(&node, u64::MAX);
    assert_eq!(active(&node, "web1"), 0);
}
