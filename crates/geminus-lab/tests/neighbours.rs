//! The link around a dispatcher: hardware addresses that change, an interface that goes and comes, a server on the
//! dispatcher itself, and a router that learns without asking.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::time::{Duration, Instant};

use geminus_api::Event;
use geminus_lab::balanced::{Balanced, expect_progress};
use geminus_lab::kernel::{Attached, PassProgram};
use geminus_lab::namespace::{Namespace, index_of};
use geminus_lab::site::{CLUSTER, Family};
use geminus_lab::traffic::echo::EchoServers;
use geminus_lab::traffic::keepers::by_server;
use serde_json::Value;

/// Nothing here takes longer than a few seconds; a machine with other things to do may need more.
const BOUND: Duration = Duration::from_secs(20);
/// Long enough for every keeper to ask several times.
const A_WHILE: Duration = Duration::from_millis(1200);

/// Waits until a question has the answer that is wanted; what the last one was is the failure.
fn wait_until<T: std::fmt::Debug>(what: &str, mut ask: impl FnMut() -> T, wanted: impl Fn(&T) -> bool) -> T {
    let begun = Instant::now();
    loop {
        let answer = ask();
        if wanted(&answer) {
            return answer;
        }
        assert!(begun.elapsed() < BOUND, "{what} did not come to be in {BOUND:?}: {answer:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// What `ip -j` printed about one thing.
fn first_of(namespace: &Namespace, arguments: &[&str]) -> Option<Value> {
    let out = namespace.run("ip", &[&["-j"], arguments].concat()).unwrap();
    // A table without entries may be printed as nothing at all.
    let all: Vec<Value> =
        if out.trim().is_empty() { Vec::new() } else { serde_json::from_str(&out).unwrap() };
    all.into_iter().next()
}

fn hardware_address(namespace: &Namespace, device: &str) -> String {
    let link = first_of(namespace, &["link", "show", "dev", device]).unwrap();
    link["address"].as_str().unwrap().to_owned()
}

fn event_kinds(balanced: &Balanced) -> Vec<String> {
    let out = balanced.balancer.tell(&["events", "--json"]).unwrap();
    out.lines().map(|line| serde_json::from_str::<Event>(line).unwrap().kind).collect()
}

#[test]
fn a_server_whose_hardware_address_changes_keeps_its_flows() {
    const NEW: &str = "02:00:5e:10:00:02";
    let balanced = Balanced::start(3).unwrap();
    let keepers = balanced.keep(15).unwrap();
    let before = keepers.look();
    assert!(by_server(&before).contains_key("web2"), "thirty connections and none on web2");
    let server = &balanced.site.hosts[1].namespace;
    assert_ne!(hardware_address(server, "eth0"), NEW);
    server.ip(&format!("link set dev eth0 address {NEW}\n")).unwrap();
    let shown = || {
        let rows = balanced.balancer.servers().unwrap().servers;
        rows.into_iter().filter(|row| row.server.name == "web2").map(|row| row.server.mac).collect::<Vec<_>>()
    };
    let macs = wait_until("the new hardware address", shown, |macs| {
        macs.iter().all(|mac| mac.as_deref() == Some(NEW))
    });
    assert_eq!(macs.len(), 2, "behind TCP and UDP");
    wait_until(
        "the event",
        || event_kinds(&balanced),
        |kinds| kinds.iter().any(|kind| kind == "server-moved"),
    );
    // Every connection goes on after the change, those that met it too.
    let changed = keepers.look();
    wait_until("an answer on every connection", || expect_progress(&changed, &keepers.look()), Result::is_ok)
        .unwrap();
    assert!(balanced.come_all(100).unwrap().of("web2") > 0);
    // A stall of a client's patience, a reset and an answer by another server all count as lost.
    expect_progress(&before, &keepers.stop().unwrap()).unwrap();
    balanced.expect_quiet_log().unwrap();
}

/// Whether visitors of both families are answered now; only a whole round without a loss counts.
fn answered(balanced: &Balanced) -> anyhow::Result<()> {
    balanced.come_all(10).map(drop)
}

/// The daemon warns of the link alone, and says with these events what became of it.
fn expect_link_events(balanced: &Balanced, gone: &str, back: &str) {
    let kinds = wait_until(
        "the events of the link",
        || event_kinds(balanced),
        |kinds| {
            let last = |wanted: &str| kinds.iter().rposition(|kind| kind == wanted);
            last(gone).is_some() && last(back) > last(gone)
        },
    );
    assert_eq!(kinds.iter().filter(|kind| *kind == gone).count(), 1, "{kinds:?}");
    let warnings = balanced.balancer.warnings();
    assert!(
        warnings.iter().all(|line| line.contains("link-down") || line.contains("link-lost")),
        "{warnings:?}"
    );
}

#[test]
fn an_interface_that_goes_down_and_comes_back_forwards_again() {
    let balanced = Balanced::start(2).unwrap();
    balanced.come_all(20).unwrap();
    let dispatcher = &balanced.dispatcher().namespace;
    dispatcher.ip("link set eth0 down\n").unwrap();
    wait_until("link-down", || event_kinds(&balanced), |kinds| kinds.iter().any(|kind| kind == "link-down"));
    for family in Family::BOTH {
        assert_eq!(balanced.come(family, 2).unwrap().answered(), 0, "{} while down", family.name());
    }
    dispatcher.ip("link set eth0 up\n").unwrap();
    wait_until("an answer after the pause", || answered(&balanced), Result::is_ok).unwrap();
    balanced.come_all(100).unwrap();
    expect_link_events(&balanced, "link-down", "link-up");
}

/// Another cable from the switch to the dispatcher, with the names and addresses of the one that is gone.
fn plug_dispatcher_in_again(balanced: &Balanced) -> Attached {
    let (machine, switch) = (balanced.dispatcher(), &balanced.site.switch);
    let port = &machine.name;
    let cable = format!(
        "link add {port} type veth peer name eth0 netns {}\nlink set {port} master lan\nlink set {port} up\n",
        machine.namespace.name()
    );
    switch.ip(&cable).unwrap();
    let program = PassProgram::load().unwrap();
    let attached = switch.inside(|| program.attach(index_of(port)?)).unwrap();
    let (v4, v6) = (machine.addresses.v4, machine.addresses.v6);
    let addresses = format!("link set eth0 up\naddr add {v4}/24 dev eth0\naddr add {v6}/64 dev eth0 nodad\n");
    machine.namespace.ip(&addresses).unwrap();
    for (namespace, device) in [(switch, port.as_str()), (&machine.namespace, "eth0")] {
        let features = ["-K", device, "tx", "off", "tso", "off", "gso", "off", "gro", "off"];
        namespace.run("ethtool", &features).unwrap();
    }
    attached
}

#[test]
fn an_interface_that_is_deleted_and_made_again_forwards_again() {
    let balanced = Balanced::start(2).unwrap();
    balanced.come_all(20).unwrap();
    balanced.dispatcher().namespace.ip("link del eth0\n").unwrap();
    wait_until("link-lost", || event_kinds(&balanced), |kinds| kinds.iter().any(|kind| kind == "link-lost"));
    let _port_program = plug_dispatcher_in_again(&balanced);
    wait_until("an answer after the pause", || answered(&balanced), Result::is_ok).unwrap();
    balanced.come_all(100).unwrap();
    expect_link_events(&balanced, "link-lost", "link-back");
}

#[test]
fn a_collocated_server_answers_on_the_dispatcher() {
    let mut balanced = Balanced::prepare(1).unwrap();
    let dispatcher = balanced.dispatcher().clone();
    balanced.balancer.set_up_host(&dispatcher).unwrap();
    let addresses = Family::BOTH.map(|family| CLUSTER.of(family));
    let _echo = EchoServers::start(std::slice::from_ref(&dispatcher), &addresses).unwrap();
    balanced.wanted.servers.push((dispatcher, 3));
    balanced.balancer.configure(&balanced.wanted).unwrap();
    balanced.balancer.start().unwrap();
    let (keepers, probe) = (balanced.keep(20).unwrap(), balanced.probe(200).unwrap());
    let before = keepers.look();
    assert_eq!(by_server(&before).keys().collect::<Vec<_>>(), ["alpha", "web1"]);
    for family in Family::BOTH {
        let tally = balanced.come(family, 400).unwrap();
        assert_eq!(tally.lost, Vec::<String>::new());
        let (here, there) = (tally.of("alpha"), tally.of("web1"));
        assert_eq!(here + there, 400, "{tally:?}");
        assert!((230..370).contains(&here), "{} with weights 3 and 1: {tally:?}", family.name());
    }
    // A drained server on the dispatcher is drained like any other: old connections stay.
    balanced.balancer.tell(&["drain", "alpha"]).unwrap();
    assert_eq!(balanced.come_all(100).unwrap().of("alpha"), 0);
    std::thread::sleep(A_WHILE);
    expect_progress(&before, &keepers.stop().unwrap()).unwrap();
    let packets = probe.stop().unwrap();
    assert_eq!((packets.lost(), packets.moved_flows), (0, 0), "{packets:?}");
    balanced.expect_quiet_log().unwrap();
}

/// What the router believes: hardware address and state of its entry.
fn router_entry(balanced: &Balanced, family: Family) -> (String, String) {
    let address = CLUSTER.of(family).to_string();
    let Some(entry) = first_of(&balanced.site.router, &["neigh", "show", "to", &address, "dev", "lan"])
    else {
        return ("nothing".to_owned(), "none".to_owned());
    };
    (
        entry["lladdr"].as_str().unwrap_or("nothing").to_owned(),
        entry["state"][0].as_str().unwrap_or("none").to_owned(),
    )
}

#[test]
fn announcements_reach_the_router_when_the_node_goes_active() {
    /// Where the cluster was before, as far as the router knows; nobody on the link has it.
    const ELSEWHERE: &str = "02:00:5e:10:00:99";
    let mut balanced = Balanced::prepare(1).unwrap();
    for family in Family::BOTH {
        let entry = format!("neigh replace {} lladdr {ELSEWHERE} dev lan nud stale\n", CLUSTER.of(family));
        balanced.site.router.ip(&entry).unwrap();
        assert_eq!(router_entry(&balanced, family), (ELSEWHERE.to_owned(), "STALE".to_owned()));
    }
    balanced.balancer.start().unwrap();
    let dispatcher = hardware_address(&balanced.dispatcher().namespace, "eth0");
    for family in Family::BOTH {
        let (_, state) = wait_until(
            family.name(),
            || router_entry(&balanced, family),
            |(address, _)| *address == dispatcher,
        );
        // A router that had asked would know the address as reachable.
        assert_eq!(state, "STALE", "{}", family.name());
    }
    balanced.come_all(20).unwrap();
    balanced.expect_quiet_log().unwrap();
}
