//! What a cluster is for its clients and for everybody else: forwarding, direct return, protection.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::time::Duration;

use geminus_api::{Explanation, Flows};
use geminus_lab::balanced::Balanced;
use geminus_lab::balancer::counted;
use geminus_lab::site::{CLIENT, CLUSTER, Family};
use geminus_lab::traffic::probe::{self, PortState};
use geminus_lab::traffic::{cluster, rate, visitors};
use geminus_lab::{HTTP, UNEXPOSED, measure};

const PATIENCE: Duration = Duration::from_millis(400);

#[test]
fn every_server_answers_for_the_cluster_on_both_families() {
    let balanced = Balanced::start(3).unwrap();
    for host in &balanced.site.hosts {
        balanced.balancer.check_host(host).unwrap();
    }
    for family in Family::BOTH {
        let tally = balanced.come(family, 300).unwrap();
        assert_eq!(tally.lost, Vec::<String>::new());
        assert!(balanced.site.hosts.iter().all(|host| tally.of(&host.name) > 50), "{tally:?}");
    }
    balanced.expect_quiet_log().unwrap();
}

#[test]
fn new_flows_follow_the_weights_on_both_families() {
    let mut balanced = Balanced::prepare(3).unwrap();
    for (weight, (_, wanted)) in [10, 20, 30].into_iter().zip(&mut balanced.wanted.servers) {
        *wanted = weight;
    }
    balanced.balancer.configure(&balanced.wanted).unwrap();
    balanced.balancer.start().unwrap();
    for family in Family::BOTH {
        let tally = balanced.come(family, 3000).unwrap();
        assert_eq!(tally.lost, Vec::<String>::new());
        for (server, promised) in [("web1", 1.0 / 6.0), ("web2", 2.0 / 6.0), ("web3", 3.0 / 6.0)] {
            let share = tally.of(server) as f64 / 3000.0;
            // Five standard deviations of a draw of 3000 and the 1 % that the ring may be off.
            assert!((share - promised).abs() < 0.056, "{server} {share} on {}", family.name());
        }
    }
}

#[test]
fn replies_bypass_the_dispatcher_on_both_families() {
    let balanced = Balanced::start(3).unwrap();
    for family in Family::BOTH {
        let before = measure::carried(&balanced.site, family).unwrap();
        let rate =
            rate::measure(balanced.client(), cluster(family, HTTP), "/page", 16, Duration::from_secs(2))
                .unwrap();
        let carried = measure::carried(&balanced.site, family).unwrap().since(before);
        assert_eq!(rate.errors, 0);
        assert_eq!((carried.replies_in.packets, carried.replies_out.packets), (0, 0), "{}", family.name());
        assert!(
            carried.requests_in.packets >= rate.requests && carried.requests_out.packets >= rate.requests
        );
        assert!(carried.replies_direct.bytes > 10 * carried.requests_in.bytes, "{carried:?}");
    }
    assert_eq!(counted(&balanced.balancer.status().unwrap(), "drop", None), 0);
    balanced.expect_quiet_log().unwrap();
}

#[test]
fn a_large_upload_arrives_whole() {
    let balanced = Balanced::start(2).unwrap();
    let file = balanced.site.folder().join("upload");
    std::fs::write(&file, vec![b'u'; 900 * 1024]).unwrap();
    let data = format!("@{}", file.display());
    for family in Family::BOTH {
        let url = format!("http://{}/", cluster(family, HTTP));
        let arguments =
            ["-sS", "-g", "-m", "10", "--data-binary", &data, "-w", "%{http_code} %{size_upload}", &url];
        let said = balanced.client().run("curl", &arguments).unwrap();
        assert!(said.ends_with("200 921600"), "{said}");
    }
}

#[test]
fn an_unexposed_port_is_shut_and_every_drop_is_counted() {
    let balanced = Balanced::start(1).unwrap();
    let client = balanced.client();
    let before = counted(&balanced.balancer.status().unwrap(), "drop", Some("unexposed"));
    for family in Family::BOTH {
        let direct = (balanced.site.hosts[0].addresses.of(family), UNEXPOSED).into();
        assert_eq!(probe::tcp(client, direct, PATIENCE).unwrap(), PortState::Open);
        for port in [22, UNEXPOSED] {
            assert_eq!(probe::tcp(client, cluster(family, port), PATIENCE).unwrap(), PortState::Silent);
            assert_eq!(probe::udp(client, cluster(family, port), PATIENCE).unwrap(), PortState::Silent);
        }
    }
    let after = counted(&balanced.balancer.status().unwrap(), "drop", Some("unexposed"));
    assert_eq!(after - before, 8);
}

#[test]
fn a_plain_server_on_the_node_address_is_undisturbed() {
    let mut balanced = Balanced::prepare(2).unwrap();
    let name = balanced.dispatcher().name.clone();
    let expect_undisturbed = |balanced: &Balanced, when: &str| {
        for family in Family::BOTH {
            let own = (balanced.dispatcher().addresses.of(family), HTTP).into();
            let tally = visitors::count(balanced.client(), own, 50, 4).unwrap();
            assert_eq!((tally.of(&name), tally.lost), (50, vec![]), "{when}");
        }
    };
    expect_undisturbed(&balanced, "before");
    balanced.balancer.start().unwrap();
    expect_undisturbed(&balanced, "while it runs");
    balanced.balancer.kill().unwrap();
    expect_undisturbed(&balanced, "after kill -9");
    balanced.balancer.start().unwrap();
    balanced.balancer.stop().unwrap();
    expect_undisturbed(&balanced, "after it left");
}

#[test]
fn the_cluster_address_answers_ping_and_is_on_no_interface_of_the_dispatcher() {
    let balanced = Balanced::start(1).unwrap();
    for family in Family::BOTH {
        let address = CLUSTER.of(family);
        assert!((0..3).all(|_| probe::echo(balanced.client(), address, Duration::from_secs(2)).unwrap()));
        let addresses = balanced.dispatcher().namespace.run("ip", &["-o", "addr", "show"]).unwrap();
        assert!(!addresses.contains(&address.to_string()), "{addresses}");
    }
}

#[test]
fn explain_names_the_server_that_answers() {
    let balanced = Balanced::start(3).unwrap();
    for (family, first) in [(Family::V4, 40_000_u16), (Family::V6, 41_000)] {
        for port in first..first + 10 {
            let (source, destination) = ((CLIENT.of(family), port).into(), cluster(family, HTTP));
            let explanation = explain(&balanced, source, destination);
            assert_eq!(explanation.kernel, explanation.host);
            assert_eq!(explanation.kernel.verdict, "forward");
            let (port, url) = (port.to_string(), format!("http://{destination}/"));
            let body = balanced
                .client()
                .run("curl", &["-sS", "-g", "-m", "5", "--local-port", &port, &url])
                .unwrap();
            assert_eq!(explanation.kernel.server.as_deref(), Some(body.trim()));
        }
    }
    let shut = explain(&balanced, (CLIENT.of(Family::V4), 40_000).into(), cluster(Family::V4, UNEXPOSED));
    assert_eq!((shut.kernel.verdict.as_str(), shut.kernel.reason.as_str()), ("drop", "unexposed"));
}

fn explain(
    balanced: &Balanced,
    source: std::net::SocketAddr,
    destination: std::net::SocketAddr,
) -> Explanation {
    let (source, destination) = (source.to_string(), destination.to_string());
    let said = balanced.balancer.tell(&["explain", "tcp", &source, &destination, "--json"]).unwrap();
    serde_json::from_str(&said).unwrap()
}

#[test]
fn flows_are_listed_with_the_server_that_answers() {
    let balanced = Balanced::start(3).unwrap();
    let keepers = balanced.keep(10).unwrap();
    // A flow is remembered from its second packet on; every keeper has had an answer.
    let flows: Flows = serde_json::from_str(&balanced.balancer.tell(&["flows", "--json"]).unwrap()).unwrap();
    let kept = keepers.stop().unwrap();
    for host in &balanced.site.hosts {
        let listed = flows.flows.iter().filter(|flow| flow.server == host.name).count();
        let there = kept.iter().filter(|one| one.server == host.name).count();
        assert_eq!(listed, there, "{}", host.name);
    }
    let clients: Vec<_> = Family::BOTH.map(|family| CLIENT.of(family)).to_vec();
    assert!(flows.flows.iter().all(|flow| flow.client.is_some_and(|client| clients.contains(&client.ip()))));
}
