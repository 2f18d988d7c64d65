//! Agents on content hosts: heard by both dispatchers, believed only with the key, and asked nothing while they leave.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test that cannot go on fails, and figures are told"
)]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use geminus_api::{AgentsStatus, ServerState, ServerStatus};
use geminus_lab::HTTP;
use geminus_lab::agents::{Agent, PORT, heard, key_of};
use geminus_lab::faults::cut::Cuts;
use geminus_lab::faults::intruder::{Chance, Flood};
use geminus_lab::frames::{self, Ends};
use geminus_lab::pair::{SHOP, Topology};
use geminus_lab::site::{Family, Machine};
use geminus_lab::traffic::Recorder;
use geminus_lab::traffic::visitors::Visitors;
use geminus_lab::twins::{SETTLED, Twin, Twins};
use geminus_lab::wire::mac_of;

fn start() -> Twins {
    Twins::start(Topology::Pair, |file| heard(file, "5s")).unwrap()
}

fn web1(twins: &Twins) -> Machine {
    twins.site.hosts[0].clone()
}

/// What one dispatcher says of the TCP service's entry of a server.
fn server(twins: &Twins, twin: Twin, name: &str) -> ServerStatus {
    let servers = twins.of(twin).servers().unwrap().servers;
    servers.into_iter().find(|row| row.server.name == name && row.protocol == "tcp").unwrap().server
}

fn agents(twins: &Twins, twin: Twin) -> AgentsStatus {
    twins.status(twin).unwrap().agents.unwrap()
}

fn wait(twins: &Twins, what: &str, mut is_so: impl FnMut(Twin) -> bool) {
    twins.wait_until(what, SETTLED, |_| Twin::BOTH.into_iter().all(&mut is_so)).unwrap();
}

fn told(twins: &Twins, twin: Twin, kind: &str, part: &str) -> bool {
    twins.events(twin).iter().any(|event| event.kind == kind && event.message.contains(part))
}

#[test]
fn both_dispatchers_hear_an_agent_its_load_and_what_is_wrong_with_its_host() {
    let twins = start();
    let host = web1(&twins);
    let number = twins.site.folder().join("jobs");
    std::fs::write(&number, "640\n").unwrap();
    let custom = format!("jobs={}", number.display());
    // The host can be as busy as it likes with other tests: its own number is not what is loaded most, but it is told.
    let key = key_of(&twins, &host, false).unwrap();
    let agent = Agent::start(&twins, &host, &key, &["--custom", &custom, "--port", "80"]).unwrap();
    wait(&twins, "web1's load known", |twin| {
        server(&twins, twin, "web1")
            .load
            .is_some_and(|load| load.parts.get("jobs") == Some(&640) && load.load >= 640)
    });
    for twin in Twin::BOTH {
        assert_eq!(server(&twins, twin, "web2").load, None, "nobody speaks for another");
        let parts = server(&twins, twin, "web1").load.unwrap().parts;
        assert!(["cpu", "memory"].iter().all(|name| parts.contains_key(*name)), "{parts:?}");
    }
    // A host that answers for the cluster address on the network, as one that was set up wrongly does.
    host.namespace.sysctl("ipv4/conf/all/arp_ignore", "0").unwrap();
    host.namespace.sysctl("ipv4/conf/eth0/arp_ignore", "0").unwrap();
    wait(&twins, "the fault named", |twin| {
        server(&twins, twin, "web1").findings.iter().any(|line| line.contains("arp_ignore"))
    });
    let said = agent.said();
    assert_eq!(said.matches(" hears ").count(), 2, "{said}");
}

#[test]
fn an_agent_with_another_key_is_refused_and_named() {
    let twins = start();
    let host = web1(&twins);
    let _agent = Agent::start(&twins, &host, &key_of(&twins, &host, true).unwrap(), &[]).unwrap();
    let address = host.addresses.v4.to_string();
    wait(&twins, "the wrong key named", |twin| told(&twins, twin, "agent-security", &address));
    for twin in Twin::BOTH {
        let counts = agents(&twins, twin);
        assert!(counts.wrong_key > 0 && counts.accepted == 0, "{counts:?}");
        assert_eq!(server(&twins, twin, "web1").load, None);
    }
}

#[test]
fn an_agent_that_is_killed_is_missed_and_its_host_goes_on() {
    let twins = start();
    let host = web1(&twins);
    let key = key_of(&twins, &host, false).unwrap();
    let agent = Agent::start(&twins, &host, &key, &[]).unwrap();
    wait(&twins, "web1's load known", |twin| server(&twins, twin, "web1").load.is_some());
    agent.kill().unwrap();
    wait(&twins, "the agent missed", |twin| {
        server(&twins, twin, "web1").load.is_none() && told(&twins, twin, "agent-lost", "web1")
    });
    for twin in Twin::BOTH {
        assert!(server(&twins, twin, "web1").state.takes_new_flows());
    }
    let _again = Agent::start(&twins, &host, &key, &[]).unwrap();
    wait(&twins, "the agent back", |twin| {
        server(&twins, twin, "web1").load.is_some() && told(&twins, twin, "agent-back", "web1")
    });
}

#[test]
fn a_restarted_dispatcher_hears_a_running_agent_again() {
    let mut twins = start();
    let host = web1(&twins);
    let _agent = Agent::start(&twins, &host, &key_of(&twins, &host, false).unwrap(), &[]).unwrap();
    wait(&twins, "web1's load known", |twin| server(&twins, twin, "web1").load.is_some());
    twins.of_mut(Twin::Beta).kill().unwrap();
    twins.of_mut(Twin::Beta).start_beside().unwrap();
    wait(&twins, "web1's load known again", |twin| server(&twins, twin, "web1").load.is_some());
}

#[test]
fn a_host_that_stops_gets_no_new_flow_before_its_agent_ends() {
    let twins = start();
    let host = web1(&twins);
    let key = key_of(&twins, &host, false).unwrap();
    let agent = Agent::start(&twins, &host, &key, &["--drain", "20s"]).unwrap();
    wait(&twins, "web1's load known", |twin| server(&twins, twin, "web1").load.is_some());
    let targets: Vec<SocketAddr> = Family::BOTH.map(|family| (twins.shop().of(family), HTTP).into()).to_vec();
    let recorder = Arc::new(Recorder::begin());
    let visitors = Visitors::start(&twins.site.client, &targets, 200, &recorder).unwrap();
    let begun = |name: &str| server(&twins, Twin::Alpha, name).flows_begun;
    let before = begun("web1");
    twins.wait_until("web1 has new flows", SETTLED, |_| begun("web1") > before + 20).unwrap();
    agent.terminate().unwrap();
    twins
        .wait_until("both dispatchers know", SETTLED, |_| {
            agent.said().matches("sends no new flows").count() >= 2
        })
        .unwrap();
    wait(&twins, "web1 rests", |twin| server(&twins, twin, "web1").state == ServerState::Resting);
    // Handshakes that were under way when it was said may still end.
    std::thread::sleep(Duration::from_millis(500));
    let (left, others) = (begun("web1"), begun("web2"));
    twins.wait_until("others have new flows", SETTLED, |_| begun("web2") > others + 100).unwrap();
    assert_eq!(begun("web1"), left, "no new flow");
    assert!(agent.runs().unwrap(), "and all of it before it ends");
    let tally = visitors.stop().unwrap();
    println!("{tally:?}");
    // Asked once more, it ends at once; the host stays away until an agent says otherwise.
    agent.terminate().unwrap();
    agent.wait(Duration::from_secs(10)).unwrap();
    std::thread::sleep(Duration::from_secs(6));
    wait(&twins, "web1 still rests", |twin| server(&twins, twin, "web1").state == ServerState::Resting);
    let _again = Agent::start(&twins, &host, &key, &[]).unwrap();
    wait(&twins, "web1 back", |twin| server(&twins, twin, "web1").state.takes_new_flows());
}

/// Frames for the agents' port that nobody with the key made, from every server's address and from strangers'.
fn noise(twins: &Twins, to: Twin, count: usize) -> Vec<Vec<u8>> {
    let mut chance = Chance(0x9e37_79b9);
    let machine = twins.machine(to);
    let mac = |machine: &Machine| mac_of(&machine.namespace, "eth0").unwrap();
    let sources: Vec<&Machine> = twins.site.hosts.iter().chain([twins.machine(to.other())]).collect();
    let one = |at: usize| {
        let from = sources[at % sources.len()];
        let ends = Ends {
            macs: (mac(from), mac(machine)),
            addresses: (from.addresses.v4.into(), machine.addresses.v4.into()),
            ports: (40_000 + at as u16, PORT),
        };
        let mut payload: Vec<u8> =
            (0..120 + chance.below(800)).map(|_| (chance.number() >> 32) as u8).collect();
        // Two of three have a good head: the name of the host, a session, a counter.
        if !at.is_multiple_of(3) {
            payload[..8].copy_from_slice(b"GEMA\x01\x01\0\0");
            payload[36..52].copy_from_slice(&from.addresses.v4.to_ipv6_mapped().octets());
        }
        frames::datagram(&ends, &payload).unwrap()
    };
    (0..count).map(one).collect()
}

#[test]
fn a_flood_at_the_agents_port_changes_no_role_and_hides_no_agent() {
    let twins = start();
    let host = web1(&twins);
    let _agent = Agent::start(&twins, &host, &key_of(&twins, &host, false).unwrap(), &[]).unwrap();
    wait(&twins, "web1's load known", |twin| server(&twins, twin, "web1").load.is_some());
    let cuts = Cuts::of(&twins).unwrap();
    let place = cuts.place(geminus_lab::faults::cut::Way::Lan);
    let before = Twin::BOTH.map(|twin| agents(&twins, twin));
    let newest = Twin::BOTH.map(|twin| twins.events(twin).last().map_or(0, |event| event.number));
    let cpu = Twin::BOTH.map(|twin| ticks(twins.of(twin).process().unwrap().pid()));
    let floods = Twin::BOTH.map(|twin| Flood::start(place, twin, noise(&twins, twin, 600), 100_000).unwrap());
    std::thread::sleep(Duration::from_secs(5));
    assert_eq!(twins.who_is_active(SHOP), [Twin::Alpha]);
    for (at, flood) in floods.into_iter().enumerate() {
        let (twin, flooded) = (Twin::BOTH[at], flood.stop().unwrap());
        let spent = ticks(twins.of(twin).process().unwrap().pid()) - cpu[at];
        let (was, now) = (before[at].clone(), agents(&twins, twin));
        let refused = now.unknown + now.malformed + now.flood + now.wrong_key;
        println!(
            "{}: {:.0} frames/s, {refused} refused ({now:?}), {} believed meanwhile, {:.2} µs of the daemon for each",
            twin.name(),
            flooded.per_second,
            now.accepted - was.accepted,
            spent as f64 * 10_000.0 / refused as f64,
        );
        assert!(refused > 10_000, "{now:?}");
        assert!(now.accepted - was.accepted >= 2, "{was:?} {now:?}");
        let security = twins.events(twin).iter().filter(|event| event.kind == "agent-security").count();
        assert!(security <= 30, "{security} events");
        assert!(!told(&twins, twin, "agent-lost", ""), "web1's agent was heard all the time");
    }
    assert_eq!(twins.who_is_active(SHOP), [Twin::Alpha]);
    for (twin, before) in Twin::BOTH.into_iter().zip(newest) {
        let events = twins.events(twin);
        let roles = ["went-active", "went-standby", "duel"];
        let changed =
            |event: &&geminus_api::Event| event.number > before && roles.contains(&event.kind.as_str());
        assert_eq!(events.iter().find(changed), None, "a role changed under the flood: {events:?}");
    }
}

/// Processor time of a process, in ticks of a hundredth of a second.
fn ticks(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let words: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    words[11].parse::<u64>().unwrap() + words[12].parse::<u64>().unwrap()
}
