//! Who gets which server, by rule: pools, windows, lists, shared affinity, the lighter of two. Real clients, real time.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::time::{Duration, Instant};

use geminus_api::ServerState;
use geminus_lab::HTTP;
use geminus_lab::balanced::{Balanced, is_well};
use geminus_lab::balancer::counted;
use geminus_lab::site::{CLIENT, Family};
use geminus_lab::traffic::cluster;
use geminus_lab::traffic::echo::{ECHO, PacketProbe};
use geminus_lab::traffic::probe::{self, PortState};

/// Wide: nothing here promises a time.
const SOON: Duration = Duration::from_secs(10);

/// A site whose third host is a pool of its own, `spare`, with keys of the service and sections after its pool.
fn with_spare(keys: &str, further: &str) -> Balanced {
    let mut balanced = Balanced::prepare(3).unwrap();
    let (spare, _) = balanced.wanted.servers.pop().unwrap();
    balanced.wanted.udp.clear();
    balanced.wanted.keys = keys.to_owned();
    balanced.wanted.further = format!(
        "[[cluster.shop.service.pool]]\nname = \"spare\"\nservers = [{{ name = \"{}\", address = \"{}\" }}]\n{further}\n\
         [health]\ndamping = \"0s\"\n",
        spare.name, spare.addresses.v4
    );
    start(balanced)
}

fn start(mut balanced: Balanced) -> Balanced {
    balanced.balancer.configure(&balanced.wanted).unwrap();
    balanced.balancer.start().unwrap();
    for host in &balanced.site.hosts {
        balanced.wait_for(&host.name, "up", SOON, is_well).unwrap();
    }
    balanced
}

fn rule(condition: &str) -> String {
    format!("[[cluster.shop.service.rule]]\n{condition}\npool = \"spare\"")
}

/// The servers of the main pool die, and are known to be dead.
fn kill_main(balanced: &mut Balanced) {
    for name in ["web1", "web2"] {
        balanced.site.kill_http(name).unwrap();
    }
    for name in ["web1", "web2"] {
        balanced.wait_for(name, "down", SOON, |server| server.state == ServerState::Down).unwrap();
    }
}

/// Waits until the next visitors get the spare pool, or until they do not.
fn wait_for_pool(balanced: &Balanced, is_spare: bool) {
    let begun = Instant::now();
    loop {
        let tally = balanced.come_all(10).unwrap();
        match (tally.of("web3"), is_spare) {
            (20, true) | (0, false) => return,
            _ if begun.elapsed() > SOON => panic!("{tally:?}: {}", balanced.balancer.last_words()),
            _ => std::thread::sleep(Duration::from_millis(50)),
        }
    }
}

#[test]
fn a_window_that_is_open_puts_its_pool_in_force() {
    let mut balanced = with_spare("", &rule("during = \"daily 00:00-24:00\""));
    wait_for_pool(&balanced, true);
    balanced.wanted.further =
        balanced.wanted.further.replace("during = \"daily 00:00-24:00\"", "active = 1000000");
    balanced.apply().unwrap();
    wait_for_pool(&balanced, false);
}

#[test]
fn clients_that_got_the_sorry_pool_leave_it_when_the_main_one_is_back() {
    let mut balanced = with_spare("sorry = \"spare\"\naffinity = { prefix = 0, prefix6 = 0 }", "");
    wait_for_pool(&balanced, false);
    kill_main(&mut balanced);
    wait_for_pool(&balanced, true);
    let host = balanced.site.hosts[0].clone();
    balanced.site.serve_http(&host).unwrap();
    wait_for_pool(&balanced, false);
}

#[test]
fn a_window_does_not_keep_the_sorry_pool_away() {
    // In three days: not now, whatever the zone.
    let days = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    // 1970-01-01 was a Thursday.
    let today = usize::try_from((now / 86_400 + 3) % 7).unwrap();
    let later = days[(today + 3) % 7];
    let mut balanced = with_spare("sorry = \"spare\"", &rule(&format!("during = \"{later} 10:00-11:00\"")));
    wait_for_pool(&balanced, false);
    kill_main(&mut balanced);
    wait_for_pool(&balanced, true);
    let host = balanced.site.hosts[0].clone();
    balanced.site.serve_http(&host).unwrap();
    wait_for_pool(&balanced, false);
}

#[test]
fn a_server_in_maintenance_gets_no_new_flow_and_cuts_nobody() {
    let mut balanced = start(Balanced::prepare(2).unwrap());
    let keepers = balanced.keep(10).unwrap();
    let entry = |name: &str| format!("name = \"{name}\"");
    let plain = balanced.wanted.text();
    let text =
        plain.replace(&entry("web2"), &format!("{}, maintenance = [\"daily 00:00-24:00\"]", entry("web2")));
    assert_ne!(plain, text);
    balanced.balancer.write(&text).unwrap();
    balanced.balancer.tell(&["reload"]).unwrap();
    balanced.wait_for("web2", "resting", SOON, |server| server.state == ServerState::Resting).unwrap();
    assert_eq!(balanced.come_all(50).unwrap().of("web2"), 0);
    // Also in the eyes of a daemon that starts within the window.
    balanced.balancer.stop().unwrap();
    balanced.balancer.start().unwrap();
    balanced.wait_for("web2", "resting", SOON, |server| server.state == ServerState::Resting).unwrap();
    assert_eq!(balanced.come_all(50).unwrap().of("web2"), 0);
    balanced.balancer.write(&plain).unwrap();
    balanced.balancer.tell(&["reload"]).unwrap();
    balanced.wait_for("web2", "up", SOON, is_well).unwrap();
    assert!(balanced.come_all(50).unwrap().of("web2") > 0);
    drop(keepers);
}

#[test]
fn too_many_flows_go_to_the_second_pool_until_there_are_fewer() {
    let balanced = with_spare("", &rule("active = 30"));
    assert_eq!(balanced.come_all(5).unwrap().of("web3"), 0);
    let keepers = balanced.keep(40).unwrap();
    wait_for_pool(&balanced, true);
    let kept = keepers.stop().unwrap();
    assert!(kept.iter().filter(|one| one.server == "web3").count() < kept.len(), "{kept:?}");
    wait_for_pool(&balanced, false);
}

#[test]
fn only_clients_of_the_lists_are_served() {
    let mut balanced = Balanced::prepare(2).unwrap();
    balanced.wanted.keys = format!("deny = [\"{}\"]", CLIENT.v4);
    let mut balanced = start(balanced);
    let state = |balanced: &Balanced, family| {
        probe::tcp(&balanced.site.client, cluster(family, HTTP), Duration::from_millis(700)).unwrap()
    };
    assert_eq!(state(&balanced, Family::V4), PortState::Silent);
    assert_eq!(state(&balanced, Family::V6), PortState::Open);
    // A list of who is served, on which the client is in one family only.
    balanced.wanted.keys = format!("allow = [\"{}/32\", \"2001:db8:ffff::/48\"]", CLIENT.v4);
    balanced.apply().unwrap();
    assert_eq!(state(&balanced, Family::V4), PortState::Open);
    assert_eq!(state(&balanced, Family::V6), PortState::Silent);
}

#[test]
fn services_of_one_group_give_a_client_the_same_server() {
    let mut balanced = Balanced::prepare(4).unwrap();
    // The lab's visitors come from many addresses: here they are one client.
    let keys = "affinity = { group = \"visit\", prefix = 0, prefix6 = 0 }";
    balanced.wanted.keys = keys.to_owned();
    balanced.wanted.udp_keys = keys.to_owned();
    let balanced = start(balanced);
    for family in Family::BOTH {
        let tally = balanced.come(family, 20).unwrap();
        let served: Vec<_> = balanced.site.hosts.iter().filter(|host| tally.of(&host.name) > 0).collect();
        assert_eq!(served.len(), 1, "{tally:?}");
        let probe = PacketProbe::start(&balanced.site.client, &[cluster(family, ECHO)], 16, 200).unwrap();
        std::thread::sleep(Duration::from_millis(500));
        let packets = probe.stop().unwrap();
        let others: Vec<_> = packets.by_server.keys().filter(|name| **name != served[0].name).collect();
        assert!(packets.answered > 0 && others.is_empty(), "{} is not alone: {packets:?}", served[0].name);
    }
}

#[test]
fn the_lighter_of_two_candidates_gets_the_flow() {
    let mut balanced = Balanced::prepare(2).unwrap();
    balanced.wanted.keys = "select = \"least-connections\"".to_owned();
    balanced.wanted.servers[1].1 = 3;
    let balanced = start(balanced);
    let chosen = || counted(&balanced.balancer.status().unwrap(), "forward", Some("least"));
    let before = chosen();
    let keepers = balanced.keep(40).unwrap();
    assert!(chosen() - before >= 80, "every one of them was chosen so");
    let kept = keepers.stop().unwrap();
    let of = |name: &str| kept.iter().filter(|one| one.server == name).count();
    assert_eq!(of("web1") + of("web2"), kept.len(), "{kept:?}");
    // A quarter, as the weights say.
    assert!((10..=30).contains(&of("web1")), "{} and {}", of("web1"), of("web2"));
}
