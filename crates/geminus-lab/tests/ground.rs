//! The ground the other laws stand on, without a balancer: the site, its servers and its clients.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::sync::Arc;
use std::time::Duration;

use geminus_lab::site::{CLUSTER, Family, Site};
use geminus_lab::traffic::echo::{ECHO, EchoServers, PacketProbe};
use geminus_lab::traffic::keepers::{self, Keepers};
use geminus_lab::traffic::probe::{self, PortState};
use geminus_lab::traffic::visitors::{self, Visitors};
use geminus_lab::traffic::{Recorder, cluster, rate};
use geminus_lab::{HTTP, UNEXPOSED};

fn site_without_balancer(hosts: u8) -> Site {
    let site = Site::builder().content_hosts(hosts).build().unwrap();
    for host in &site.hosts {
        site.accept_cluster(host).unwrap();
    }
    site.route_cluster_to(&site.hosts[0]).unwrap();
    site
}

#[test]
fn every_content_host_answers_with_its_name_on_both_families() {
    let site = Site::builder().build().unwrap();
    for host in &site.hosts {
        for family in Family::BOTH {
            let target = (host.addresses.of(family), HTTP).into();
            let tally = visitors::count(&site.client, target, 5, 2).unwrap();
            assert_eq!((tally.of(&host.name), tally.lost), (5, vec![]));
        }
    }
}

#[test]
fn a_routed_cluster_carries_every_kind_of_traffic_on_both_families() {
    let site = site_without_balancer(1);
    let targets = Family::BOTH.map(|family| cluster(family, HTTP));
    let recorder = Arc::new(Recorder::begin());
    let keepers = Keepers::start(&site.client, &targets, 5, &recorder).unwrap();
    let visitors = Visitors::start(&site.client, &targets, 50, &recorder).unwrap();
    let _echo = EchoServers::start(&site.hosts, &Family::BOTH.map(|family| CLUSTER.of(family))).unwrap();
    let echo_targets = Family::BOTH.map(|family| cluster(family, ECHO));
    let packets = PacketProbe::start(&site.client, &echo_targets, 8, 500).unwrap();
    let rate = rate::measure(&site.client, targets[1], "/page", 8, Duration::from_secs(1)).unwrap();
    let (packets, visitors, kept) =
        (packets.stop().unwrap(), visitors.stop().unwrap(), keepers.stop().unwrap());
    assert_eq!((packets.lost(), packets.moved_flows, visitors.lost.len(), rate.errors), (0, 0, 0, 0));
    assert_eq!(keepers::losses(&kept), Vec::<String>::new());
    assert_eq!(keepers::by_server(&kept).get("web1"), Some(&10));
    assert!(
        packets.sent > 100 && rate.requests > 100 && visitors.answered() > 20,
        "{packets:?} {rate:?} {visitors:?}"
    );
}

#[test]
fn a_lost_server_is_noticed_by_keepers_visitors_and_packet_probe() {
    let site = site_without_balancer(1);
    let recorder = Arc::new(Recorder::begin());
    let target = cluster(Family::V4, HTTP);
    let keepers = Keepers::start(&site.client, &[target], 2, &recorder).unwrap();
    let echo = EchoServers::start(&site.hosts, &[CLUSTER.of(Family::V4)]).unwrap();
    let packets = PacketProbe::start(&site.client, &[cluster(Family::V4, ECHO)], 4, 500).unwrap();
    site.switch.run("ip", &["link", "set", "web1", "down"]).unwrap();
    let visit = visitors::count(&site.client, target, 1, 1).unwrap();
    assert_eq!((visit.answered(), visit.lost.len()), (0, 1));
    assert_eq!(keepers::losses(&keepers.stop().unwrap()).len(), 2);
    assert!(packets.stop().unwrap().lost() > 0);
    drop(echo);
}

#[test]
fn a_probe_tells_open_from_refused_from_silent() {
    let site = site_without_balancer(1);
    let patience = Duration::from_millis(300);
    let host = &site.hosts[0];
    for family in Family::BOTH {
        let address = host.addresses.of(family);
        let tcp = |port: u16| probe::tcp(&site.client, (address, port).into(), patience).unwrap();
        assert_eq!((tcp(UNEXPOSED), tcp(81)), (PortState::Open, PortState::Refused));
        let udp = |port: u16| probe::udp(&site.client, (address, port).into(), patience).unwrap();
        assert_eq!(udp(81), PortState::Refused);
        let gone = (CLUSTER.of(family), 82).into();
        site.switch.run("ip", &["link", "set", "web1", "down"]).unwrap();
        assert_eq!(probe::tcp(&site.client, gone, patience).unwrap(), PortState::Silent);
        site.switch.run("ip", &["link", "set", "web1", "up"]).unwrap();
    }
}

#[test]
fn a_site_leaves_nothing_behind() {
    let site = Site::builder().content_hosts(1).build().unwrap();
    let (folder, names) =
        (site.folder().to_owned(), [site.client.name().to_owned(), site.switch.name().to_owned()]);
    assert!(names.iter().all(|name| std::path::Path::new("/run/netns").join(name).exists()));
    drop(site);
    assert!(names.iter().all(|name| !std::path::Path::new("/run/netns").join(name).exists()));
    assert!(!folder.exists());
}
