//! What the daemon finds out about servers, and what becomes of their clients: real checks by the clients' road.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::net::TcpListener;
use std::time::{Duration, Instant};

use geminus_api::{ServerState, ServerStatus};
use geminus_lab::HTTP;
use geminus_lab::amiss::{self, Amiss};
use geminus_lab::balanced::{Balanced, expect_progress, is_well};
use geminus_lab::balancer::Wanted;
use geminus_lab::faults::{self, ground::Ground};
use geminus_lab::site::{CLIENT, CLUSTER, Family, Machine, ROUTER};

/// Wide: what is promised is measured elsewhere, on a machine that does nothing else.
const SOON: Duration = Duration::from_secs(10);

/// The server behind the service that is checked.
fn server(balanced: &Balanced, name: &str) -> ServerStatus {
    balanced.checked(name).unwrap()
}

fn wait_until(
    balanced: &Balanced,
    name: &str,
    what: &str,
    is_so: impl Fn(&ServerStatus) -> bool,
) -> ServerStatus {
    balanced.wait_for(name, what, SOON, is_so).unwrap()
}

/// One server suffers many fates in a row here.
const UNDAMPED: &str = "[health]\ndamping = \"0s\"\n";

/// A site of which every server was found well.
fn checked(content_hosts: u8) -> Balanced {
    checked_as(content_hosts, |_| ())
}

/// The same with another configuration.
fn checked_as(content_hosts: u8, change: impl FnOnce(&mut Wanted)) -> Balanced {
    let mut balanced = Balanced::prepare(content_hosts).unwrap();
    balanced.wanted.further = UNDAMPED.to_owned();
    change(&mut balanced.wanted);
    balanced.balancer.configure(&balanced.wanted).unwrap();
    balanced.balancer.start().unwrap();
    for host in &balanced.site.hosts {
        wait_until(&balanced, &host.name, "up", is_well);
    }
    balanced
}

#[test]
fn servers_are_found_well_by_the_clients_road_and_nobody_else_is_disturbed() {
    let balanced = checked(3);
    let seen = server(&balanced, "web1");
    let check = seen.check.as_ref().unwrap();
    assert_eq!((check.advisor.as_str(), check.via.as_str()), ("tcp", "path"));
    assert!(check.latency_ms.is_some(), "{check:?}");
    // The checks are addressed to the cluster: nothing of them is seen at the servers' own addresses.
    let host = &balanced.site.hosts[0].namespace;
    host.feed("nft", &["-f", "-"], &counter()).unwrap();
    std::thread::sleep(Duration::from_secs(2));
    let counted = host.run("nft", &["list", "table", "inet", "seen"]).unwrap();
    let packets = |name: &str| -> u64 {
        let at = counted.find(&format!("counter {name}")).unwrap_or_else(|| panic!("{counted}"));
        let rest = &counted[at..];
        rest.split("packets ").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap()
    };
    assert!(packets("to_cluster") >= 2, "{counted}");
    assert_eq!(packets("to_own"), 0, "{counted}");
    balanced.come_all(100).unwrap();
    balanced.expect_quiet_log().unwrap();
}

fn counter() -> String {
    let cluster = CLUSTER.v4;
    format!(
        "table inet seen {{\n\
         counter to_cluster {{ }}\n\
         counter to_own {{ }}\n\
         chain input {{\n\
         type filter hook input priority 0\n\
         tcp dport {HTTP} ip daddr {cluster} counter name to_cluster\n\
         tcp dport {HTTP} ip daddr != {cluster} counter name to_own\n\
         }}\n}}\n"
    )
}

#[test]
fn a_killed_server_gets_no_new_flow_and_nobody_elses_is_lost() {
    let mut balanced = checked(3);
    let keepers = balanced.keep(20).unwrap();
    balanced.site.kill_http("web2").unwrap();
    let down = wait_until(&balanced, "web2", "down", |server| server.state == ServerState::Down);
    assert!(down.because.is_some(), "{down:?}");
    let tally = balanced.come_all(100).unwrap();
    assert_eq!(tally.of("web2"), 0, "{tally:?}");
    let before = keepers.look();
    std::thread::sleep(Duration::from_millis(500));
    let after = keepers.stop().unwrap();
    let others = |all: &[geminus_lab::traffic::keepers::Kept]| {
        all.iter().filter(|one| one.server != "web2").cloned().collect::<Vec<_>>()
    };
    expect_progress(&others(&before), &others(&after)).unwrap();
    let host = balanced.site.hosts[1].clone();
    balanced.site.serve_http(&host).unwrap();
    wait_until(&balanced, "web2", "up again", is_well);
    assert!(balanced.come_all(100).unwrap().of("web2") > 0);
}

/// Sets a host up wrong, waits until the daemon names it, sets it up right, waits until all is well.
fn expect_named(balanced: &Balanced, host: &Machine, way: &Amiss) {
    way.make(host).unwrap();
    wait_until(balanced, &host.name, &format!("found as one that {}", way.what), |server| {
        server.findings.iter().chain(&server.because).any(|line| line.contains(way.finding))
    });
    way.mend(host).unwrap();
    wait_until(balanced, &host.name, "well again", is_well);
}

#[test]
fn every_way_of_setting_a_host_up_wrong_is_named() {
    let balanced = checked(3);
    for way in amiss::ways(Family::V4) {
        expect_named(&balanced, &balanced.site.hosts[1], &way);
    }
}

#[test]
fn a_service_that_is_bound_elsewhere_or_not_running_is_told_apart() {
    let mut balanced = checked(3);
    let host = balanced.site.hosts[1].clone();
    balanced.site.kill_http("web2").unwrap();
    wait_until(&balanced, "web2", "found without its service", |server| {
        server.because.iter().chain(&server.findings).any(|line| line.contains("service-down"))
    });
    let own = host.addresses.of(Family::V4);
    let listener = host.namespace.inside(|| Ok(TcpListener::bind((own, HTTP))?)).unwrap();
    wait_until(&balanced, "web2", "found bound elsewhere", |server| {
        server.findings.iter().any(|line| line.contains("not-bound"))
    });
    drop(listener);
    balanced.site.serve_http(&host).unwrap();
    wait_until(&balanced, "web2", "well again", is_well);
}

#[test]
fn a_server_that_falls_silent_is_down_and_its_host_is_named() {
    let balanced = checked(3);
    let host = &balanced.site.hosts[1];
    host.namespace.ip("link set eth0 down\n").unwrap();
    wait_until(&balanced, "web2", "down and its host named", |server| {
        server.state == ServerState::Down
            && server.because.iter().chain(&server.findings).any(|line| line.contains("host-down"))
    });
    assert_eq!(balanced.come_all(100).unwrap().of("web2"), 0);
    // An interface that goes down loses its addresses and routes of IPv6.
    let (own, router) = (host.addresses.v6, ROUTER.v6);
    let back =
        format!("link set eth0 up\naddress add {own}/64 dev eth0 nodad\nroute add ::/0 via {router}\n");
    host.namespace.ip(&back).unwrap();
    wait_until(&balanced, "web2", "up again", |server| server.state == ServerState::Up);
}

/// Everything that comes to a host by IP is dropped, or is not any more.
fn silence(host: &Machine, is_silent: bool) {
    let table =
        "table inet silence { chain falls { type filter hook prerouting priority -400; policy drop; }; }\n";
    let lines = if is_silent { table } else { "delete table inet silence\n" };
    host.namespace.feed("nft", &["-f", "-"], lines).unwrap();
}

#[test]
fn clients_of_a_silent_server_are_reset_where_the_service_says_so() {
    let keys = "on_down = \"reset\"\ncheck = { tcp = true, profile = \"fast\" }";
    let balanced = checked_as(3, |wanted| wanted.keys = keys.to_owned());
    let keepers = balanced.keep(30).unwrap();
    let host = balanced.site.hosts[1].clone();
    silence(&host, true);
    wait_until(&balanced, "web2", "down", |server| server.state == ServerState::Down);
    std::thread::sleep(Duration::from_secs(3));
    let kept = keepers.stop().unwrap();
    let (its, others): (Vec<_>, Vec<_>) = kept.iter().partition(|one| one.server == "web2");
    assert!(!its.is_empty(), "{kept:?}");
    assert!(its.iter().all(|one| one.lost.as_ref().is_some_and(|how| how.contains("reset"))), "{its:?}");
    assert!(others.iter().all(|one| one.lost.is_none()), "{others:?}");
}

#[test]
fn clients_of_a_server_that_is_silent_for_a_moment_are_kept_where_the_service_says_so() {
    let keys = "on_down = \"keep\"\ncheck = { tcp = true, profile = \"fast\" }";
    let balanced = checked_as(3, |wanted| wanted.keys = keys.to_owned());
    let keepers = balanced.keep(30).unwrap();
    let host = balanced.site.hosts[1].clone();
    silence(&host, true);
    wait_until(&balanced, "web2", "down", |server| server.state == ServerState::Down);
    let before = keepers.look();
    silence(&host, false);
    wait_until(&balanced, "web2", "up again", |server| server.state == ServerState::Up);
    std::thread::sleep(Duration::from_secs(2));
    expect_progress(&before, &keepers.stop().unwrap()).unwrap();
}

#[test]
fn servers_with_addresses_of_ipv6_are_checked_by_the_clusters_of_ipv6() {
    let balanced = checked_as(2, |wanted| wanted.known_by = Family::V6);
    for way in amiss::ways(Family::V6) {
        expect_named(&balanced, &balanced.site.hosts[1], &way);
    }
    balanced.come_all(50).unwrap();
}

#[test]
fn one_server_entry_is_checked_by_the_cluster_addresses_of_both_families() {
    for [own, other] in [Family::BOTH, [Family::V6, Family::V4]] {
        let balanced = checked_as(2, |wanted| wanted.known_by = own);
        let cluster = CLUSTER.of(other).to_string();
        for way in amiss::ways(other) {
            expect_named(&balanced, &balanced.site.hosts[1], &way);
        }
        amiss::ways(other)[0].make(&balanced.site.hosts[1]).unwrap();
        wait_until(&balanced, "web2", "down for what it lacks", |server| {
            server.state == ServerState::Down && server.findings.iter().any(|line| line.contains(&cluster))
        });
    }
}

/// The same services in a cluster for each family.
fn a_cluster_for_each_family(text: &str) -> String {
    let (node, rest) = text.split_once("[cluster.shop]").unwrap();
    let (shop, health) = rest.split_once("[health]").unwrap();
    let both = format!("\"{}\", \"{}\"", CLUSTER.v4, CLUSTER.v6);
    let clusters = Family::BOTH.map(|family| {
        let one = shop.replace(&both, &format!("\"{}\"", CLUSTER.of(family)));
        format!(
            "[cluster.{0}]{1}\n",
            family.name(),
            one.replace("cluster.shop.", &format!("cluster.{}.", family.name()))
        )
    });
    format!("{node}{}[health]{health}", clusters.concat())
}

/// A server of the cluster of one family.
fn server_of(balanced: &Balanced, family: Family, name: &str) -> ServerStatus {
    let status = balanced.balancer.status().unwrap();
    let cluster = status.clusters.into_iter().find(|cluster| cluster.name == family.name()).unwrap();
    let mut servers = cluster.services.into_iter().flat_map(|service| service.servers);
    servers.find(|server| server.name == name && server.check.is_some()).unwrap()
}

#[test]
fn a_server_that_lacks_the_address_of_the_other_family_gets_no_flows_of_that_family_alone() {
    for [own, other] in [Family::BOTH, [Family::V6, Family::V4]] {
        let mut balanced = Balanced::prepare(2).unwrap();
        balanced.wanted.known_by = own;
        balanced.wanted.further = UNDAMPED.to_owned();
        balanced.balancer.write(&a_cluster_for_each_family(&balanced.wanted.text())).unwrap();
        balanced.balancer.start().unwrap();
        let expect = |what: &str, is_so: &dyn Fn(&ServerStatus) -> bool| {
            let begun = Instant::now();
            while !is_so(&server_of(&balanced, other, "web2")) {
                let seen = server_of(&balanced, other, "web2");
                assert!(begun.elapsed() < SOON, "{}: web2 is not {what}: {seen:?}", other.name());
                std::thread::sleep(Duration::from_millis(20));
            }
        };
        expect("up", &is_well);
        let (host, lacks) = (&balanced.site.hosts[1], &amiss::ways(other)[0]);
        lacks.make(host).unwrap();
        let words = format!("no-address: the host takes nothing for {}", CLUSTER.of(other));
        expect("down and its address named", &|server| {
            server.state == ServerState::Down && server.findings.iter().any(|line| line.contains(&words))
        });
        let tally = balanced.come(other, 100).unwrap();
        assert_eq!((tally.of("web2"), tally.lost.len()), (0, 0), "{tally:?}");
        let tally = balanced.come(own, 100).unwrap();
        assert!(tally.of("web2") > 0 && tally.lost.is_empty(), "{tally:?}");
        assert!(is_well(&server_of(&balanced, own, "web2")));
        lacks.mend(host).unwrap();
        expect("up again", &is_well);
        assert!(balanced.come(other, 100).unwrap().of("web2") > 0);
    }
}

#[test]
fn a_collocated_server_is_checked_and_does_not_hide_the_others() {
    let mut balanced = Balanced::prepare(2).unwrap();
    let own = balanced.dispatcher().clone();
    balanced.wanted.servers.push((own.clone(), 1));
    balanced.balancer.configure(&balanced.wanted).unwrap();
    balanced.balancer.start().unwrap();
    wait_until(&balanced, &own.name, "down without the address", |server| {
        server.because.as_ref().is_some_and(|because| because.contains("is not an address of this machine"))
    });
    balanced.balancer.set_up_host(&own).unwrap();
    for name in ["web1", "web2", &own.name] {
        wait_until(&balanced, name, "up", is_well);
    }
    let host = balanced.site.hosts[1].clone();
    expect_named(&balanced, &host, &amiss::ways(Family::V4)[0]);
    assert!(balanced.come_all(100).unwrap().of(&own.name) > 0);
}

#[test]
fn a_drain_and_its_end_outlive_the_daemon() {
    let mut balanced = checked(2);
    let end_of = |balanced: &Balanced, name: &str| server(balanced, name).release_in_seconds;
    balanced.balancer.tell(&["drain", "web1", "--deadline", "10m"]).unwrap();
    let before = end_of(&balanced, "web1").unwrap();
    balanced.balancer.kill().unwrap();
    balanced.balancer.start().unwrap();
    let seen = server(&balanced, "web1");
    assert_eq!(seen.state, ServerState::Draining);
    let after = seen.release_in_seconds.unwrap();
    assert!(after > 0.0 && after < before, "{before} s before, {after} s after");
    // One whose end comes while nobody runs.
    balanced.balancer.tell(&["drain", "web2", "--deadline", "1s"]).unwrap();
    balanced.balancer.kill().unwrap();
    std::thread::sleep(Duration::from_millis(1200));
    balanced.balancer.start().unwrap();
    wait_until(&balanced, "web2", "released", |server| server.state == ServerState::Released);
    let told = |balanced: &Balanced| {
        let events = balanced.balancer.events().unwrap();
        events
            .iter()
            .filter(|event| event.kind == "server-released" && event.message.contains("web2"))
            .count()
    };
    // Once for each of its services, TCP and UDP.
    assert_eq!(told(&balanced), 2);
    balanced.balancer.kill().unwrap();
    balanced.balancer.start().unwrap();
    assert_eq!((server(&balanced, "web2").state, told(&balanced)), (ServerState::Released, 0));
    balanced.balancer.tell(&["undrain", "web2"]).unwrap();
    wait_until(&balanced, "web2", "up again", is_well);
}

#[test]
fn clients_of_a_pool_that_died_get_others_and_a_hook_and_explain_say_so() {
    let mut balanced = Balanced::prepare(3).unwrap();
    let told = balanced.site.folder().join("told");
    let (near, _) = balanced.wanted.servers.pop().unwrap();
    balanced.wanted.udp.clear();
    balanced.wanted.further = format!(
        "[[cluster.shop.service.pool]]\nname = \"near\"\nservers = [{{ name = \"{}\", address = \"{}\" }}]\n\
         [[cluster.shop.service.rule]]\nfrom = [\"203.0.113.0/24\"]\npool = \"near\"\n\
         [health]\ndamping = \"0s\"\n\
         [hooks]\nserver-down = [\"/bin/sh\", \"-c\", \"env | grep GEMINUS_ >> {}\"]\n",
        near.name,
        near.addresses.v4,
        told.display()
    );
    balanced.balancer.configure(&balanced.wanted).unwrap();
    balanced.balancer.start().unwrap();
    for name in ["web1", "web2", "web3"] {
        wait_until(&balanced, name, "up", is_well);
    }
    let explained = |balanced: &Balanced| {
        let (client, cluster) = (format!("{}:40000", CLIENT.v4), format!("{}:{HTTP}", CLUSTER.v4));
        balanced.balancer.tell(&["explain", "tcp", &client, &cluster]).unwrap()
    };
    assert!(explained(&balanced).contains("pool near"), "{}", explained(&balanced));
    assert_eq!(balanced.come(Family::V4, 50).unwrap().of("web3"), 50);
    balanced.site.kill_http("web3").unwrap();
    wait_until(&balanced, "web3", "down", |server| server.state == ServerState::Down);
    assert_eq!(balanced.come(Family::V4, 50).unwrap().of("web3"), 0);
    let said = explained(&balanced);
    assert!(said.contains("no server of that gets new flows, so the main pool stands in"), "{said}");
    let begun = Instant::now();
    let hook = loop {
        let hook = std::fs::read_to_string(&told).unwrap_or_default();
        if hook.contains("GEMINUS_REASON") || begun.elapsed() > SOON {
            break hook;
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    for line in ["GEMINUS_SERVER=web3", "GEMINUS_CLUSTERS=shop", "GEMINUS_SERVICES=shop/tcp/80"] {
        assert!(hook.lines().any(|told| told == line), "{line}: {hook}");
    }
    assert_eq!(hook.matches("GEMINUS_EVENT=server-down").count(), 1, "{hook}");
}

/// A case of the fault list; its bounds are those of `faults/bounds.rs`.
fn holds(id: &str) {
    faults::expect(id, &Ground::quick().unwrap()).unwrap();
}

#[test]
fn a_drain_cuts_nobody_and_ends_with_the_last_connection_or_at_its_deadline() {
    holds("C3");
}

#[test]
fn a_server_that_is_added_takes_its_share_and_nobody_elses_connections() {
    holds("C4");
}

#[test]
fn four_hostile_servers_take_nothing_from_the_good_one_among_them() {
    holds("C5");
}
