//! The ground the other laws stand on, without a balancer: the site, its servers and its clients.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::sync::Arc;
use std::time::Duration;

use geminus_lab::kernel::{RunStatistics, runs_of};
use geminus_lab::site::{CLUSTER, Family, Site};
use geminus_lab::traffic::crowd::Crowd;
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

#[test]
fn run_statistics_count_what_a_program_in_the_kernel_sees() {
    let site = Site::builder().content_hosts(1).build().unwrap();
    let listing = site.switch.run("ip", &["-j", "-d", "link", "show", "dev", "alpha"]).unwrap();
    let listing: serde_json::Value = serde_json::from_str(&listing).unwrap();
    let program = u32::try_from(listing[0]["xdp"]["prog"]["id"].as_u64().unwrap()).unwrap();
    let _statistics = RunStatistics::enable().unwrap();
    let before = runs_of(program).unwrap();
    // The port's program sees what the dispatcher sends: its answers.
    for family in Family::BOTH {
        let dispatcher = site.dispatchers[0].addresses.of(family);
        assert!((0..5).all(|_| probe::echo(&site.client, dispatcher, Duration::from_secs(1)).unwrap()));
    }
    let after = runs_of(program).unwrap();
    assert!(
        after.count >= before.count + 10 && after.nanoseconds > before.nanoseconds,
        "{before:?} {after:?}"
    );
}

/// A demonstration whose geminus does nothing for a minute, caught while its whole site stands.
struct Hanging {
    lab: std::process::Child,
    folder: tempfile::TempDir,
}

impl Hanging {
    fn start() -> Self {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let geminus = folder.path().join("geminus");
        std::fs::write(&geminus, "#!/bin/sh\nexec sleep 60\n").unwrap();
        std::fs::set_permissions(&geminus, std::fs::Permissions::from_mode(0o755)).unwrap();
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_geminus-lab"));
        command
            .arg("demo")
            .arg("--geminus")
            .arg(&geminus)
            .arg("--report")
            .arg(folder.path().join("report.html"));
        let lab = command.stdout(std::process::Stdio::null()).spawn().unwrap();
        let hanging = Self { lab, folder };
        let begun = std::time::Instant::now();
        while !hanging.geminus_runs() {
            assert!(begun.elapsed() < Duration::from_secs(20), "the site does not stand");
            std::thread::sleep(Duration::from_millis(20));
        }
        hanging
    }

    fn geminus_runs(&self) -> bool {
        let running = std::process::Command::new("ip")
            .args(["netns", "pids", &self.namespace("web1")])
            .output()
            .unwrap();
        // nginx and the verb that hangs.
        String::from_utf8_lossy(&running.stdout).split_whitespace().count() >= 2
    }

    fn namespace(&self, machine: &str) -> String {
        format!("gml{}-0-{machine}", self.lab.id())
    }

    fn leftovers(&self) -> Vec<String> {
        let prefix = format!("gml{}-", self.lab.id());
        let namespaces = std::fs::read_dir("/run/netns").unwrap().flatten();
        let mut left: Vec<String> = namespaces
            .filter_map(|entry| entry.file_name().into_string().ok())
            .filter(|name| name.starts_with(&prefix))
            .collect();
        let folder = std::env::temp_dir().join(format!("geminus-lab-{}", self.lab.id()));
        left.extend(folder.exists().then(|| folder.display().to_string()));
        left
    }

    fn end_by(&mut self, signal: &str) -> std::process::ExitStatus {
        let pid = self.lab.id().to_string();
        std::process::Command::new("kill").args([signal, &pid]).status().unwrap();
        self.lab.wait().unwrap()
    }
}

#[test]
fn an_interrupted_demonstration_leaves_nothing_behind() {
    for (signal, code) in [("-INT", 130), ("-TERM", 143)] {
        let mut hanging = Hanging::start();
        assert_eq!(hanging.end_by(signal).code(), Some(code));
        assert_eq!(hanging.leftovers(), Vec::<String>::new());
        assert!(!hanging.folder.path().join("report.html").exists());
    }
}

#[test]
fn what_a_killed_demonstration_left_is_swept_by_the_next_site() {
    let mut hanging = Hanging::start();
    hanging.end_by("-KILL");
    assert!(hanging.leftovers().len() > 5, "{:?}", hanging.leftovers());
    drop(Site::builder().content_hosts(1).build().unwrap());
    assert_eq!(hanging.leftovers(), Vec::<String>::new());
}

#[test]
fn a_crowd_notices_a_server_that_is_gone_and_only_its_own_connections() {
    let site = site_without_balancer(1);
    let target = cluster(Family::V4, HTTP);
    let mut crowd = Crowd::open(&site.client, &[target, cluster(Family::V6, HTTP)], 300).unwrap();
    assert_eq!(crowd.servers().get("web1"), Some(&600));
    let toll = crowd.use_all(Duration::from_secs(1));
    assert_eq!((toll.connections, toll.answers, toll.lost.len()), (600, 600, 0));
    let live = crowd.live(Duration::from_millis(500));
    std::thread::sleep(Duration::from_secs(2));
    site.hosts[0].namespace.ip(&format!("addr del {}/32 dev lo\n", CLUSTER.v4)).unwrap();
    std::thread::sleep(Duration::from_secs(1));
    let toll = live.stop().unwrap();
    assert!(toll.answers > 1200, "{}", toll.answers);
    assert_eq!(toll.lost.len(), 300, "{:?}", toll.lost.first());
    assert!(toll.lost.iter().all(|line| line.contains("198.51.100.80")), "{:?}", toll.lost.first());
}
