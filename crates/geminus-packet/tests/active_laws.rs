//! Laws of the count of active flows, and of the choice by it.

use geminus_fixtures::entries;
use geminus_fixtures::frame::{self, ACK, FIN, RST, SYN, Tcp, Udp, V4, ethernet};
use geminus_fixtures::ground::{self, CLIENT4, NODE_MAC, ROUTER_MAC, SHOP4};
use geminus_fixtures::stage::{Home as _, HostHome, Stage};
use geminus_packet::tables::{Server, Service, Ticks};

const WEB: [&str; 3] = ["web1", "web2", "web3"];

fn stage(buckets: u32) -> Stage<HostHome> {
    let sizes = ground::sizes(&ground::site(), buckets, 1);
    Stage::new(HostHome::new(&sizes, Ticks(1 << 20)), &sizes)
}

/// A segment of the n-th flow to port 80.
fn segment(flow: u32, flags: u8) -> Vec<u8> {
    let ip = V4::new([10, 1, (flow >> 16) as u8, (flow >> 8) as u8], SHOP4);
    let tcp = Tcp::new(1024 + (flow & 0xff) as u16, 80, flags);
    ethernet(NODE_MAC, ROUTER_MAC, frame::IPV4, &ip.tcp(&tcp))
}

/// Active flows of each server of port 80.
fn active(stage: &Stage<HostHome>) -> [u64; 3] {
    WEB.map(|name| Server::flows(entries::server_entry(stage.home.tables(), 80, name).active.load()))
}

fn sum(stage: &Stage<HostHome>) -> u64 {
    active(stage).iter().sum()
}

/// What is active after each of these segments of one flow.
fn course(flags: &[u8]) -> Vec<u64> {
    let mut stage = stage(1);
    let each = flags.iter().map(|&flags| {
        stage.run(&segment(7, flags));
        sum(&stage)
    });
    each.collect()
}

#[test]
fn a_flow_is_active_from_its_second_packet_to_its_end() {
    assert_eq!(course(&[SYN, SYN, ACK, ACK, FIN | ACK, ACK]), [0, 0, 1, 1, 0, 0]);
    assert_eq!(course(&[SYN, ACK, RST, RST]), [0, 1, 0, 0]);
    assert_eq!(course(&[ACK, ACK, RST]), [0, 1, 0]);
}

#[test]
fn a_flow_ends_once() {
    assert_eq!(course(&[SYN, ACK, FIN | ACK, FIN | ACK, RST]), [0, 1, 0, 0, 0]);
    assert_eq!(course(&[SYN, ACK, RST, FIN | ACK]), [0, 1, 0, 0]);
}

#[test]
fn a_flow_that_ends_with_its_second_packet_never_was_active() {
    assert_eq!(course(&[SYN, FIN | ACK, ACK, RST]), [0, 0, 0, 0]);
    assert_eq!(course(&[SYN, RST]), [0, 0]);
}

#[test]
fn a_port_used_again_is_another_flow() {
    assert_eq!(course(&[SYN, ACK, FIN | ACK, SYN, ACK]), [0, 1, 0, 0, 1]);
    assert_eq!(course(&[SYN, ACK, RST, SYN, ACK, FIN | ACK]), [0, 1, 0, 0, 1, 0]);
}

#[test]
fn a_udp_flow_is_active_until_it_is_counted_again() {
    let mut stage = stage(1);
    let ip = V4::new(CLIENT4, SHOP4);
    let datagram = ethernet(NODE_MAC, ROUTER_MAC, frame::IPV4, &ip.udp(&Udp::new(40_000, 53)));
    let counts = [0, 1, 1].map(|_| {
        stage.run(&datagram);
        ["dns1", "dns2"].map(|name| entries::server_entry(stage.home.tables(), 53, name).active.load())
    });
    assert_eq!(counts.map(|[one, two]| one + two), [0, 1, 1]);
}

#[test]
fn what_user_space_counts_meanwhile_brings_a_count_below_nothing_which_is_nothing() {
    let mut stage = stage(1);
    for flags in [SYN, ACK] {
        stage.run(&segment(7, flags));
    }
    for name in WEB {
        entries::load(stage.home.tables(), 80, name, 0, 1);
    }
    stage.run(&segment(7, FIN | ACK));
    assert_eq!(active(&stage), [0; 3]);
    let words = WEB.map(|name| entries::server_entry(stage.home.tables(), 80, name).active.load());
    assert!(words.contains(&u64::MAX), "{words:?}");
    assert_eq!([0, 1, 1 << 40, u64::MAX, 1 << 63].map(Server::flows), [0, 1, 1 << 40, 0, 0]);
}

#[test]
fn a_packet_that_is_only_asked_about_is_no_flow() {
    let mut stage = stage(1);
    stage.run(&segment(7, SYN));
    stage.home.tables.dry = true;
    stage.run(&segment(7, ACK));
    assert_eq!(sum(&stage), 0);
    stage.home.tables.dry = false;
    stage.run(&segment(7, ACK));
    stage.home.tables.dry = true;
    stage.run(&segment(7, FIN | ACK));
    assert_eq!(sum(&stage), 1);
}

/// Flows under way at most in the simulations below; each server has room for all of them.
const FLOWS: u32 = 6000;

/// How many flows each server has in the end when one of them takes `slow` times as long for each as the others.
fn with_a_slow_server(least: bool, slow: u32) -> [u64; 3] {
    let mut stage = stage(4096);
    if least {
        entries::select(stage.home.tables(), 80, Service::LEAST);
    }
    let slowest = entries::server(stage.home.tables(), 80, "web1");
    let mut ends = std::collections::BTreeMap::<u32, Vec<u32>>::new();
    for flow in 0..FLOWS * 2 {
        let seen = stage.run(&segment(flow, SYN));
        let [(server, _)] = seen.sent[..] else { panic!("{seen:?}") };
        stage.run(&segment(flow, ACK));
        let lasts = if server == slowest { 500 * slow } else { 500 };
        ends.entry(flow + lasts).or_default().push(flow);
        for over in ends.remove(&flow).into_iter().flatten() {
            stage.run(&segment(over, FIN | ACK));
        }
    }
    active(&stage)
}

#[test]
fn a_slow_server_gets_fewer_new_flows() {
    let by_hash = with_a_slow_server(false, 4);
    let by_flows = with_a_slow_server(true, 4);
    // By hash it has four times as many flows as the others; a choice of two brings that near to one.
    assert!(by_hash[0] * 10 > by_hash[1] * 30, "{by_hash:?}");
    assert!(by_flows[0] * 10 < by_flows[1] * 17, "{by_flows:?}");
}

#[test]
fn equal_servers_have_equally_many_flows() {
    let spread = |flows: [u64; 3]| {
        let (least, most) = (flows.iter().min().copied(), flows.iter().max().copied());
        most.expect("three") - least.expect("three")
    };
    let (by_hash, by_flows) = (with_a_slow_server(false, 1), with_a_slow_server(true, 1));
    assert!(spread(by_flows) <= 10, "{by_flows:?}");
    assert!(spread(by_hash) > spread(by_flows), "{by_hash:?}, {by_flows:?}");
}

#[test]
fn flows_follow_the_weights_in_force() {
    let mut stage = stage(4096);
    entries::select(stage.home.tables(), 80, Service::LEAST);
    for (name, weight) in WEB.into_iter().zip([3, 4, 5]) {
        entries::load(stage.home.tables(), 80, name, 0, weight);
    }
    for flow in 0..3000 {
        for flags in [SYN, ACK] {
            stage.run(&segment(flow, flags));
        }
    }
    let [one, two, three] = active(&stage).map(|flows| flows as f64);
    for share in [one / 750.0, two / 1000.0, three / 1250.0] {
        assert!((0.99..1.01).contains(&share), "{one}, {two}, {three}");
    }
}
