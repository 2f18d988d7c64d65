//! What the data plane does while its daemon comes and goes, and what a daemon does when it is not alone.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use geminus_lab::HTTP;
use geminus_lab::balanced::{Balanced, expect_progress};
use geminus_lab::kernel::PassProgram;
use geminus_lab::site::Family;
use geminus_lab::traffic::cluster;
use geminus_lab::traffic::probe::{self, PortState};

const PATIENCE: Duration = Duration::from_millis(400);
/// A lease is 5 s; a machine with other things to do may take longer to show that it lapsed.
const LEASE_LAPSED: Duration = Duration::from_secs(15);

#[test]
fn a_killed_daemon_is_followed_by_one_that_adopts_and_nothing_is_lost() {
    let mut balanced = Balanced::start(3).unwrap();
    let (keepers, probe) = (balanced.keep(20).unwrap(), balanced.probe(500).unwrap());
    let (before, old) = (keepers.look(), balanced.balancer.status().unwrap());
    balanced.balancer.kill().unwrap();
    balanced.come_all(100).unwrap();
    balanced.balancer.start().unwrap();
    let new = balanced.balancer.status().unwrap();
    assert!(new.data_plane.adopted);
    let moved =
        |status: &geminus_api::Status| status.counters.iter().map(|counter| counter.packets).sum::<u64>();
    assert!(moved(&new) > moved(&old), "counters go on");
    assert!(new.data_plane.flows.used >= 40, "flows go on: {:?}", new.data_plane.flows);
    // Past the lease of the first daemon only the second one's renewals keep it active.
    std::thread::sleep(Duration::from_secs(6));
    balanced.come_all(100).unwrap();
    expect_progress(&before, &keepers.stop().unwrap()).unwrap();
    let packets = probe.stop().unwrap();
    assert_eq!((packets.lost(), packets.moved_flows), (0, 0), "{packets:?}");
    balanced.expect_quiet_log().unwrap();
}

#[test]
fn a_dead_daemon_yields_when_its_lease_lapses() {
    let mut balanced = Balanced::start(2).unwrap();
    balanced.balancer.kill().unwrap();
    balanced.come_all(50).unwrap();
    let begun = Instant::now();
    for family in Family::BOTH {
        // Not answered any more; what the dispatcher's own stack says to a packet that is not for it does not matter.
        while probe::tcp(balanced.client(), cluster(family, HTTP), PATIENCE).unwrap() == PortState::Open {
            assert!(begun.elapsed() < LEASE_LAPSED, "still forwards {:?} after its death", begun.elapsed());
            std::thread::sleep(Duration::from_millis(100));
        }
    }
    balanced.balancer.start().unwrap();
    balanced.come_all(50).unwrap();
}

#[test]
fn a_daemon_that_leaves_cleanly_leaves_nothing_behind() {
    let mut balanced = Balanced::start(1).unwrap();
    balanced.come_all(20).unwrap();
    balanced.balancer.stop().unwrap();
    for family in Family::BOTH {
        let state = probe::tcp(balanced.client(), cluster(family, HTTP), PATIENCE).unwrap();
        assert_ne!(state, PortState::Open, "{}", family.name());
    }
    let link = balanced.dispatcher().namespace.run("ip", &["-d", "link", "show", "dev", "eth0"]).unwrap();
    assert!(!link.contains("xdp"), "{link}");
    assert_eq!(pinned(&balanced.site.bpffs()), Vec::<PathBuf>::new());
    balanced.balancer.start().unwrap();
    assert!(!balanced.balancer.status().unwrap().data_plane.adopted);
    balanced.come_all(20).unwrap();
    balanced.expect_quiet_log().unwrap();
}

/// Everything pinned below a folder; folders themselves hold nothing.
fn pinned(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().flatten().map(|entry| entry.path());
    entries
        .flat_map(|path| if path.is_dir() { pinned(&path) } else { vec![path] })
        .filter(|path| !is_iterator(path))
        .collect()
}

/// The kernel puts two files of its own into every bpffs.
fn is_iterator(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "debug")
}

#[test]
fn a_detached_daemon_leaves_the_data_plane_forwarding() {
    let mut balanced = Balanced::prepare(2).unwrap();
    balanced.balancer.start_with(&["--detach"]).unwrap();
    let keepers = balanced.keep(10).unwrap();
    let before = keepers.look();
    balanced.balancer.stop().unwrap();
    balanced.come_all(100).unwrap();
    balanced.balancer.start_with(&["--detach"]).unwrap();
    assert!(balanced.balancer.status().unwrap().data_plane.adopted);
    balanced.come_all(100).unwrap();
    expect_progress(&before, &keepers.stop().unwrap()).unwrap();
    balanced.expect_quiet_log().unwrap();
}

#[test]
fn fifty_restarts_and_a_hundred_reloads_lose_no_packet() {
    let mut balanced = Balanced::prepare(3).unwrap();
    balanced.balancer.start_with(&["--detach"]).unwrap();
    let (keepers, probe) = (balanced.keep(15).unwrap(), balanced.probe(600).unwrap());
    let before = keepers.look();
    for restart in 0..50_u16 {
        if restart % 2 == 0 {
            balanced.balancer.kill().unwrap();
        } else {
            balanced.balancer.stop().unwrap();
        }
        balanced.balancer.start_with(&["--detach"]).unwrap();
        // Every reload changes something: the weight of one server, then that of another.
        balanced.wanted.servers[0].1 = 1 + restart % 3;
        balanced.apply().unwrap();
        balanced.wanted.servers[1].1 = 1 + restart % 2;
        balanced.balancer.configure(&balanced.wanted).unwrap();
        balanced.balancer.hang_up().unwrap();
        balanced.come_all(5).unwrap();
    }
    expect_progress(&before, &keepers.stop().unwrap()).unwrap();
    let packets = probe.stop().unwrap();
    assert_eq!((packets.lost(), packets.moved_flows), (0, 0), "{packets:?}");
    assert!(packets.sent > 10_000, "{packets:?}");
    balanced.expect_quiet_log().unwrap();
}

#[test]
fn a_second_daemon_on_the_same_site_is_refused() {
    let balanced = Balanced::start(1).unwrap();
    let second = balanced.balancer.launch(&[]).unwrap();
    let status = second.wait(Duration::from_secs(10)).unwrap();
    assert_eq!(status.code(), Some(1), "{}", second.log());
    balanced.come_all(50).unwrap();
    assert_eq!(balanced.balancer.status().unwrap().pid, balanced.balancer.process().unwrap().pid());
}

#[test]
fn a_foreign_xdp_program_is_not_replaced() {
    let mut balanced = Balanced::prepare(1).unwrap();
    let namespace = balanced.dispatcher().namespace.clone();
    let foreign =
        namespace.inside(|| PassProgram::load()?.attach(geminus_lab::namespace::index_of("eth0")?)).unwrap();
    let refused = balanced.balancer.launch(&[]).unwrap();
    let status = refused.wait(Duration::from_secs(10)).unwrap();
    assert_eq!(status.code(), Some(1), "{}", refused.log());
    let link = namespace.run("ip", &["-d", "link", "show", "dev", "eth0"]).unwrap();
    assert!(link.contains("lab_pass"), "{link}");
    drop(foreign);
    balanced.balancer.start().unwrap();
    balanced.come_all(20).unwrap();
}

#[test]
fn a_daemon_that_cannot_start_says_why_in_one_line_and_changes_nothing() {
    let mut balanced = Balanced::prepare(1).unwrap();
    let right = balanced.wanted.clone();
    let refused = |balanced: &Balanced, text: &str, arguments: &[&str]| {
        balanced.balancer.write(text).unwrap();
        let before = balanced.balancer.log().len();
        let process = balanced.balancer.launch(arguments).unwrap();
        let status = process.wait(Duration::from_secs(10)).unwrap();
        assert!(matches!(status.code(), Some(1 | 2)), "{status} {}", process.log());
        let said = balanced.balancer.log()[before..].to_owned();
        let link = balanced.dispatcher().namespace.run("ip", &["-d", "link", "show", "dev", "eth0"]).unwrap();
        assert!(!link.contains("xdp"), "{link}");
        assert_eq!(pinned(&balanced.site.bpffs()), Vec::<PathBuf>::new());
        assert!(!said.contains("panicked"), "{said}");
        said
    };
    let no_interface = refused(&balanced, &right.text().replace("eth0", "eth9"), &[]);
    assert!(no_interface.contains("eth9"), "{no_interface}");
    let server_is_cluster = right.text().replace("198.51.100.21", "198.51.100.80");
    let contradiction = refused(&balanced, &server_is_cluster, &[]);
    assert!(contradiction.contains("198.51.100.80"), "{contradiction}");
    let nowhere = balanced.site.folder().display().to_string();
    let no_bpffs = refused(&balanced, &right.text(), &["--bpffs", &nowhere]);
    assert!(no_bpffs.contains("mount -t bpf"), "{no_bpffs}");
    balanced.balancer.configure(&right).unwrap();
    balanced.balancer.start().unwrap();
    balanced.come_all(20).unwrap();
}
