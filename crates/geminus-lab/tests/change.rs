//! What an operator changes while clients are there.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::time::Duration;

use geminus_lab::balanced::{Balanced, expect_progress};
use geminus_lab::site::Family;
use geminus_lab::traffic::cluster;
use geminus_lab::traffic::keepers::{Download, by_server};
use geminus_lab::{HTTP, SLOW_BYTES};

/// Long enough for every keeper to ask several times.
const A_WHILE: Duration = Duration::from_millis(1200);

#[test]
fn a_drained_server_gets_no_new_flow_and_keeps_its_old_ones() {
    let balanced = Balanced::start(3).unwrap();
    let keepers = balanced.keep(15).unwrap();
    let downloads: Vec<Download> = (0..4)
        .flat_map(|_| Family::BOTH)
        .map(|family| Download::start(balanced.client(), cluster(family, HTTP), "/slow").unwrap())
        .collect();
    std::thread::sleep(Duration::from_millis(300));
    let before = keepers.look();
    assert!(by_server(&before).contains_key("web2"), "thirty connections and none on web2");
    balanced.balancer.tell(&["drain", "web2"]).unwrap();
    assert_eq!(balanced.come_all(600).unwrap().of("web2"), 0);
    assert!(downloads.into_iter().all(|download| download.finish().unwrap().body == SLOW_BYTES));
    expect_progress(&before, &keepers.look()).unwrap();
    balanced.balancer.tell(&["undrain", "web2"]).unwrap();
    assert!(balanced.come_all(100).unwrap().of("web2") > 0);
    expect_progress(&before, &keepers.stop().unwrap()).unwrap();
    balanced.expect_quiet_log().unwrap();
}

#[test]
fn a_server_joins_under_load_and_no_open_connection_moves() {
    let mut balanced = Balanced::prepare(4).unwrap();
    let spare = balanced.wanted.servers.pop().unwrap();
    balanced.balancer.configure(&balanced.wanted).unwrap();
    balanced.balancer.start().unwrap();
    let (keepers, probe) = (balanced.keep(20).unwrap(), balanced.probe(500).unwrap());
    let before = keepers.look();
    assert_eq!(balanced.come_all(100).unwrap().of("web4"), 0);
    balanced.wanted.servers.push(spare);
    balanced.apply().unwrap();
    let tally = balanced.come_all(400).unwrap();
    assert!(tally.of("web4") > 100, "{tally:?}");
    std::thread::sleep(A_WHILE);
    // A keeper that another server answers counts as lost.
    expect_progress(&before, &keepers.stop().unwrap()).unwrap();
    let packets = probe.stop().unwrap();
    assert_eq!((packets.lost(), packets.moved_flows), (0, 0), "{packets:?}");
    balanced.expect_quiet_log().unwrap();
}

#[test]
fn removing_a_server_moves_only_its_own_flows() {
    let mut balanced = Balanced::start(3).unwrap();
    let keepers = balanced.keep(20).unwrap();
    let before = keepers.look();
    let (gone, _) = balanced.wanted.servers.pop().unwrap();
    balanced.apply().unwrap();
    let tally = balanced.come_all(200).unwrap();
    assert_eq!(tally.of(&gone.name), 0);
    std::thread::sleep(A_WHILE);
    let after = keepers.stop().unwrap();
    let others = |which: &[geminus_lab::traffic::keepers::Kept]| -> Vec<_> {
        let stays = before.iter().zip(which).filter(|(old, _)| old.server != gone.name);
        stays.map(|(_, new)| new.clone()).collect()
    };
    expect_progress(&others(&before), &others(&after)).unwrap();
    balanced.expect_quiet_log().unwrap();
}

#[test]
fn another_weight_is_in_force_until_the_configured_one_is_asked_for() {
    let balanced = Balanced::start(2).unwrap();
    balanced.balancer.tell(&["weight", "web1", "0"]).unwrap();
    assert_eq!(balanced.come_all(200).unwrap().of("web1"), 0);
    balanced.balancer.tell(&["weight", "web1", "9"]).unwrap();
    let share = balanced.come_all(500).unwrap().of("web1");
    assert!(share > 820, "{share} of 1000");
    balanced.balancer.tell(&["weight", "web1", "default"]).unwrap();
    let share = balanced.come_all(500).unwrap().of("web1");
    assert!((400..600).contains(&share), "{share} of 1000");
}

#[test]
fn a_configuration_with_a_mistake_changes_nothing() {
    let balanced = Balanced::start(2).unwrap();
    let keepers = balanced.keep(5).unwrap();
    let (before, digest) = (keepers.look(), balanced.balancer.status().unwrap().config_digest);
    let mut wrong = balanced.wanted.clone();
    wrong.servers[0].1 = 5;
    wrong.servers[1].0.name = "web1".to_owned();
    balanced.balancer.configure(&wrong).unwrap();
    let said = balanced.balancer.ask(&["reload"]).unwrap();
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.error.contains("web1"), "{said:?}");
    assert_eq!(balanced.balancer.status().unwrap().config_digest, digest);
    balanced.come_all(100).unwrap();
    std::thread::sleep(A_WHILE);
    expect_progress(&before, &keepers.stop().unwrap()).unwrap();
}

#[test]
fn a_verb_says_no_with_exit_code_1_and_wrong_use_with_2() {
    let balanced = Balanced::start(1).unwrap();
    let code = |arguments: &[&str]| balanced.balancer.ask(arguments).unwrap().code;
    assert_eq!(code(&["drain", "nobody"]), Some(1));
    assert_eq!(code(&["drain"]), Some(2));
    assert_eq!(code(&["status"]), Some(0));
}
