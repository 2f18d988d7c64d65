//! Two dispatchers that are twins: takeover and its manners.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test that cannot go on fails, and figures are told"
)]

use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

use geminus_lab::faults::cut::{Cuts, Loss, Way};
use geminus_lab::faults::intruder::{Flood, forged, record};
use geminus_lab::faults::relay::{Manners, Relay};
use geminus_lab::faults::{self, ground::Ground};
use geminus_lab::frames;
use geminus_lab::observer::{Observer, holders};
use geminus_lab::pair::{SHOP, Topology};
use geminus_lab::site::{Family, Second, second_address};
use geminus_lab::traffic::keepers::losses;
use geminus_lab::traffic::probe;
use geminus_lab::twins::{SETTLED, Twin, Twins};
use geminus_lab::wire::{Wire, mac_of};

const PATIENCE: Duration = Duration::from_millis(400);

/// Whether one dispatcher's kernel hears another on a way.
fn hears(twins: &Twins, second: Second, way: Way, family: Family) -> bool {
    let to = match way {
        Way::Lan => twins.machine(Twin::Beta).addresses.of(family),
        Way::Second => second_address(second, 1).of(family),
    };
    probe::echo(&twins.machine(Twin::Alpha).namespace, to, PATIENCE).unwrap()
}

#[test]
fn every_way_between_dispatchers_can_be_cut_alone_and_heals() {
    for (topology, second) in [(Topology::Pair, Second::Cable), (Topology::PairAcrossRouter, Second::Router)]
    {
        let twins = Twins::prepare(topology, |_| {}).unwrap();
        let cuts = Cuts::of(&twins).unwrap();
        let seen = || {
            let ways = Way::BOTH.into_iter();
            ways.map(|way| Family::BOTH.map(|family| hears(&twins, second, way, family))).collect::<Vec<_>>()
        };
        assert_eq!(seen(), [[true, true], [true, true]], "{topology:?}");
        cuts.mute(Twin::Beta, Way::Lan).unwrap();
        assert_eq!(seen(), [[false, false], [true, true]], "{topology:?}");
        cuts.unmute(Twin::Beta, Way::Lan).unwrap();
        cuts.mute(Twin::Alpha, Way::Second).unwrap();
        assert_eq!(seen(), [[true, true], [false, false]], "{topology:?}");
        cuts.isolate(Twin::Alpha).unwrap();
        assert_eq!(seen(), [[false, false], [false, false]], "{topology:?}");
        cuts.rejoin(Twin::Alpha).unwrap();
        assert_eq!(seen(), [[true, true], [true, true]], "{topology:?}");
    }
}

#[test]
fn lost_heartbeats_are_those_of_one_sender_on_one_way() {
    let twins = Twins::prepare(Topology::Pair, |_| {}).unwrap();
    let cuts = Cuts::of(&twins).unwrap();
    // Each sends ten datagrams to the other on both ways; who hears how many?
    let heard = || {
        let mut counts = Vec::new();
        for (from, way) in Twin::BOTH.into_iter().flat_map(|from| Way::BOTH.map(|way| (from, way))) {
            let (sender, receiver) = (&twins.machine(from).namespace, &twins.machine(from.other()).namespace);
            let address = |twin: Twin| match way {
                Way::Lan => twins.machine(twin).addresses.of(Family::V4),
                Way::Second => second_address(Second::Cable, twin.place() as u8).of(Family::V6),
            };
            let ends = frames::Ends {
                macs: (mac_of(sender, way.device()).unwrap(), mac_of(receiver, way.device()).unwrap()),
                addresses: (address(from), address(from.other())),
                ports: (4870, 4870),
            };
            let (out, into) =
                (Wire::at(sender, way.device()).unwrap(), Wire::at(receiver, way.device()).unwrap());
            into.wait_at_most(Duration::from_millis(100)).unwrap();
            for _ in 0..10 {
                assert!(out.send(&frames::datagram(&ends, b"any heartbeat").unwrap()).unwrap());
            }
            let (mut buffer, mut count) = ([0; geminus_lab::wire::FRAME], 0);
            while let Some(frame) = into.receive(&mut buffer).unwrap() {
                count += u32::from(frames::udp_port(frame) == Some(4870));
            }
            counts.push(count);
        }
        counts
    };
    assert_eq!(heard(), [10, 10, 10, 10]);
    cuts.lose(&Loss::one_way(&[Way::Second], Twin::Alpha)).unwrap();
    assert_eq!(heard(), [10, 0, 10, 10]);
    cuts.lose(&Loss::all(&Way::BOTH)).unwrap();
    assert_eq!(heard(), [0, 0, 0, 0]);
    cuts.lose(&[]).unwrap();
    assert_eq!(heard(), [10, 10, 10, 10]);
}

#[test]
fn the_backup_takes_over_when_the_active_dies() {
    let twins = Twins::start(Topology::Pair, |_| {}).unwrap();
    let cuts = Cuts::of(&twins).unwrap();
    let keepers = twins.keep(twins.shop(), 10).unwrap();
    let observer = Observer::start(&twins.site, twins.shop()).unwrap();
    let probes = twins.probe(twins.shop(), 500).unwrap();
    std::thread::sleep(Duration::from_millis(500));
    cuts.isolate(Twin::Alpha).unwrap();
    twins
        .wait_until("beta active", SETTLED, |twins| twins.who_is_active(SHOP).contains(&Twin::Beta))
        .unwrap();
    std::thread::sleep(Duration::from_secs(1));
    for (probe, family) in probes.into_iter().zip(Family::BOTH) {
        let course = probe.stop().unwrap();
        let gap = course.longest_gap();
        println!("{}: gap {gap:?}, {} of {} lost", family.name(), course.lost(), course.sent.len());
        assert!(gap < Duration::from_secs(2), "{}: {gap:?}", family.name());
        assert_eq!(course.moved_flows, 0, "{}", family.name());
    }
    assert_eq!(losses(&keepers.stop().unwrap()), Vec::<String>::new());
    assert_eq!(observer.stop().unwrap().more_than_one(), Duration::ZERO);
    let beta = mac_of(&twins.machine(Twin::Beta).namespace, "eth0").unwrap();
    let found = holders(&twins.site, twins.shop(), PATIENCE).unwrap();
    assert_eq!(found.into_iter().collect::<Vec<_>>(), Family::BOTH.map(|family| (family, beta)));
}

/// A case of the fault list; its bounds are those of `faults/bounds.rs`.
fn holds(id: &str) {
    for figure in faults::expect(id, &Ground::quick().unwrap()).unwrap() {
        println!("{id} {}: {}", figure.what, figure.value);
    }
}

#[test]
fn a_silent_death_is_found_in_time_with_both_profiles() {
    holds("A1");
}

#[test]
fn a_daemon_that_returns_within_its_lease_costs_no_packet() {
    holds("A3");
}

#[test]
fn a_daemon_that_never_returns_is_followed_at_the_end_of_its_lease() {
    holds("A4");
}

#[test]
fn a_daemon_that_was_stopped_asks_before_it_claims() {
    holds("A5");
}

#[test]
fn one_path_of_two_is_an_alarm_and_no_takeover() {
    holds("A8");
}

#[test]
fn all_paths_cut_lose_no_connection_and_heal() {
    holds("A9");
}

#[test]
fn forged_heartbeats_change_nothing() {
    holds("A15");
}

#[test]
fn a_planned_switch_over_loses_no_packet() {
    holds("A25");
}

#[test]
fn in_mutual_mode_only_the_clusters_of_the_dead_node_move() {
    holds("A27");
}

#[test]
fn a_dispatcher_that_is_a_server_keeps_its_flows_in_both_directions() {
    holds("A28");
}

#[test]
fn partners_with_different_files_say_so_and_go_on() {
    holds("A36");
}

#[test]
fn the_file_of_every_topology_is_accepted() {
    for topology in [
        Topology::Pair,
        Topology::Mutual,
        Topology::Collocated,
        Topology::TwoBoxes,
        Topology::PairAcrossRouter,
    ] {
        let twins = Twins::prepare(topology, |file| {
            file.set("profile", "\"fast\"").set("recovery", "\"manual\"").set("lease", "\"2s\"");
            file.set("stable", "\"1s\"").set("alone_after", "\"8s\"");
            let many =
                (0..1000).map(|place| IpAddr::from(Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 1, place)));
            file.clusters[0].addresses.extend(many);
        })
        .unwrap();
        let file = twins.site.folder().join("alpha.toml").display().to_string();
        let said = twins
            .machine(Twin::Alpha)
            .namespace
            .run(&twins.of(Twin::Alpha).binary().display().to_string(), &["check", "--node", "alpha", &file]);
        assert!(said.is_ok(), "{topology:?}: {said:?}");
    }
}

#[test]
fn a_relay_delays_reorders_and_repeats_and_gives_the_wire_back() {
    let twins = Twins::prepare(Topology::Pair, |_| {}).unwrap();
    let cuts = Cuts::of(&twins).unwrap();
    let place = cuts.place(Way::Second);
    // Numbered frames from alpha's end of the cable, and what beta's end hears.
    let (out, into) = (
        Wire::at(&twins.machine(Twin::Alpha).namespace, "eth1").unwrap(),
        Wire::at(&twins.machine(Twin::Beta).namespace, "eth1").unwrap(),
    );
    into.wait_at_most(Duration::from_millis(200)).unwrap();
    let template = forged(&twins, Twin::Beta, Way::Second, 1, 3).unwrap().remove(0);
    let exchange = || {
        let begun = Instant::now();
        for number in 0..100_u8 {
            let mut frame = template.clone();
            *frame.last_mut().unwrap() = number;
            assert!(out.send(&frame).unwrap());
        }
        let (mut buffer, mut heard, mut first) = ([0; geminus_lab::wire::FRAME], Vec::new(), None);
        while let Some(frame) = into.receive(&mut buffer).unwrap() {
            if frames::udp_port(frame) == Some(4870) {
                heard.push(*frame.last().unwrap());
                first.get_or_insert_with(|| begun.elapsed());
            }
        }
        (heard, first.unwrap())
    };
    let in_order: Vec<u8> = (0..100).collect();
    assert_eq!(exchange().0, in_order);
    let manners = Manners {
        delay: Duration::from_millis(50),
        jitter: Duration::from_millis(40),
        twice: 50,
        bursts: None,
    };
    let relay = Relay::start(&cuts, &[Way::Second], manners).unwrap();
    let (heard, first) = exchange();
    assert!(first >= Duration::from_millis(50), "{first:?}");
    assert!((120..=180).contains(&heard.len()), "{}", heard.len());
    assert!(heard.windows(2).any(|two| two[0] > two[1]), "out of order: {heard:?}");
    assert_eq!(relay.stop().unwrap(), heard.len() as u64);
    assert_eq!(exchange().0, in_order);
    // A recorder hears what a flood sends.
    let recorder = {
        let place = place.clone();
        std::thread::spawn(move || record(&place, Twin::Alpha, Duration::from_millis(300)))
    };
    std::thread::sleep(Duration::from_millis(100));
    assert!(out.send(&template).unwrap());
    assert_eq!(recorder.join().unwrap().unwrap(), std::slice::from_ref(&template));
    let flood = Flood::start(place, Twin::Beta, vec![template], 10_000).unwrap();
    std::thread::sleep(Duration::from_secs(1));
    let flooded = flood.stop().unwrap();
    println!("{flooded:?}");
    assert!(flooded.frames > 1000 && flooded.per_second < 15_000.0, "{flooded:?}");
}
