use std::net::UdpSocket;
use std::time::Duration;

use geminus_core::agent::{Report, Speaker};
use geminus_core::key::AgentsKey;

use super::*;

const PATIENCE: Duration = Duration::from_secs(20);

fn key() -> AgentsKey {
    AgentsKey::from_secret(&[7; 32])
}

fn loopback(last: u8) -> IpAddr {
    IpAddr::from([127, 0, 0, last])
}

/// A site whose agents are heard at a port that was free a moment ago.
fn site(last: u8) -> AgentsSite {
    let free = UdpSocket::bind((loopback(last), 0)).expect("a port");
    let at = free.local_addr().expect("bound");
    AgentsSite {
        at,
        keys: vec![key()],
        hosts: BTreeSet::from([loopback(21)]),
        timeout: Duration::from_secs(5),
    }
}

fn report() -> Report {
    Report {
        host: loopback(21),
        load: 420,
        leaving: false,
        every: None,
        parts: Vec::new(),
        findings: Vec::new(),
    }
}

/// An agent that says one thing until something comes out of the thread.
fn say_until_told(agents: &mut Agents, to: SocketAddr, speaker: &mut Speaker, from: IpAddr) -> Input {
    let socket = UdpSocket::bind((from, 0)).expect("an address of the loopback");
    socket.set_read_timeout(Some(Duration::from_millis(50))).expect("set");
    let begun = std::time::Instant::now();
    while begun.elapsed() < PATIENCE {
        let (_, frame) = speaker.seal(&report());
        let mut answer = [0; 2000];
        // The port may not be open yet, and then nobody answers.
        let heard = socket.send_to(&frame, to).and_then(|_| socket.recv(&mut answer));
        if let Ok(length) = heard {
            speaker.open(&answer[..length]);
        }
        if let Some(input) = agents.heard_by_now() {
            return input;
        }
    }
    panic!("nothing was told");
}

fn speaker(key: &AgentsKey) -> Speaker {
    Speaker::new(&key.of_host(loopback(21)), loopback(21), 11)
}

#[test]
fn a_report_comes_through_the_socket_and_is_counted() {
    let site = site(1);
    let mut agents = Agents::start(Clock::start(), Some(site.clone()));
    let told = say_until_told(&mut agents, site.at, &mut speaker(&key()), loopback(21));
    assert!(matches!(&told, Input::Reported(heard) if *heard == report()), "{told:?}");
    let (at, _) = agents.counts().expect("heard");
    assert_eq!(at, site.at);
}

#[test]
fn a_wrong_key_and_a_stranger_are_refused_and_named() {
    let site = site(2);
    let mut agents = Agents::start(Clock::start(), Some(site.clone()));
    let mut wrong = speaker(&AgentsKey::from_secret(&[8; 32]));
    let told = say_until_told(&mut agents, site.at, &mut wrong, loopback(21));
    assert!(
        matches!(&told, Input::AgentSecurity(line) if line.contains("127.0.0.21 refused, made with key")),
        "{told:?}"
    );
    let told = say_until_told(&mut agents, site.at, &mut speaker(&key()), loopback(22));
    assert!(
        matches!(&told, Input::AgentSecurity(line) if line.contains("127.0.0.22 refused, from an address")),
        "{told:?}"
    );
}

#[test]
fn a_host_with_a_key_of_the_site_and_without_a_server_comes_to_the_loop_by_its_address() {
    let site = site(6);
    let mut agents = Agents::start(Clock::start(), Some(site.clone()));
    let mut stranger = Speaker::new(&key().of_host(loopback(23)), loopback(23), 9);
    let told = say_until_told(&mut agents, site.at, &mut stranger, loopback(23));
    assert!(matches!(&told, Input::Reported(heard) if heard.host == loopback(23)), "{told:?}");
}

#[test]
fn a_port_that_is_taken_is_named_and_had_once_it_is_free() {
    let holder = UdpSocket::bind((loopback(3), 0)).expect("a port");
    let at = holder.local_addr().expect("bound");
    let site = AgentsSite { at, ..site(3) };
    let mut agents = Agents::start(Clock::start(), Some(site));
    let begun = std::time::Instant::now();
    let told = loop {
        if let Some(told) = agents.heard_by_now() {
            break told;
        }
        assert!(begun.elapsed() < PATIENCE, "nothing was told");
        std::thread::sleep(Duration::from_millis(10));
    };
    assert!(matches!(&told, Input::AgentSecurity(line) if line.contains("another port")), "{told:?}");
    drop(holder);
    let told = say_until_told(&mut agents, at, &mut speaker(&key()), loopback(21));
    assert!(matches!(told, Input::Reported(_)), "{told:?}");
}

#[test]
fn where_agents_are_not_heard_the_port_is_not_open() {
    let site = site(4);
    let mut agents = Agents::start(Clock::start(), None);
    drop(UdpSocket::bind(site.at).expect("nobody has it"));
    assert!(agents.counts().is_none());
    agents.configure(Some(site.clone()));
    let mut speaker = speaker(&key());
    say_until_told(&mut agents, site.at, &mut speaker, loopback(21));
    UdpSocket::bind(site.at).expect_err("the thread has it");
    agents.configure(None);
    drop(UdpSocket::bind(site.at).expect("given back"));
}

#[test]
fn another_port_and_other_hosts_are_taken_over_while_it_runs() {
    let (before, after) = (site(5), site(6));
    let mut agents = Agents::start(Clock::start(), Some(before.clone()));
    let mut speaker = speaker(&key());
    say_until_told(&mut agents, before.at, &mut speaker, loopback(21));
    agents.configure(Some(AgentsSite { hosts: BTreeSet::new(), ..after.clone() }));
    while let Some(_late) = agents.heard_by_now() {}
    let mut unknown = self::speaker(&AgentsKey::from_secret(&[8; 32]));
    let told = say_until_told(&mut agents, after.at, &mut unknown, loopback(21));
    assert!(matches!(&told, Input::AgentSecurity(line) if line.contains("no server")), "{told:?}");
    UdpSocket::bind(before.at).expect("the old one is given back");
}
