//! Laws of the checks as a whole, on a virtual clock.

mod late;
mod looks;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use proptest::prelude::*;

use super::*;
use crate::model::{Advisor, Check, Cluster, Ports, Protocol, Server, Service, Unexposed, Via};
use crate::plan::server_identity;

const NODE: &str = "alpha";

fn at(ms: u64) -> Instant {
    Instant::from_start(Duration::from_millis(ms))
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn v4(third: u8, last: u8) -> IpAddr {
    [203, 0, third, last].into()
}

fn host(number: usize) -> IpAddr {
    let number = u32::try_from(number).expect("small");
    std::net::Ipv4Addr::from(0xc633_6400 + number).into()
}

fn service(port: u16, servers: usize, check: Check) -> Service {
    let servers = (1..=servers).map(|one| Server::new(format!("web{one}"), host(one))).collect();
    Service { check: Some(check), ..Service::new(Protocol::Tcp, Ports::Exact(port), servers) }
}

fn site(addresses: &[IpAddr], services: Vec<Service>) -> Site {
    let cluster = Cluster {
        name: "shop".into(),
        addresses: addresses.to_vec(),
        primary: NODE.into(),
        backup: None,
        unexposed: Unexposed::Drop,
        ping: true,
        services,
    };
    let file = "[node.alpha]\naddress = \"203.0.113.250\"\ninterface = \"eth0\"\n\
                [cluster.x]\naddresses = [\"203.0.113.80\"]\n\
                [[cluster.x.service]]\nport = 80\nservers = [{ address = \"198.51.100.1\" }]\n";
    let mut site = crate::config::parse(file, "file").expect("the file is sound");
    site.clusters = vec![cluster];
    site
}

/// What a check comes to: how long it takes and what it says, or that nobody ever says anything.
type Answer = Option<(Duration, Result<Good, Fault>)>;

/// By the cluster address that is asked by.
type Answers = fn(Option<IpAddr>) -> Answer;

fn well() -> Answer {
    Some((ms(1), Ok(Good::default())))
}

fn refused() -> Answer {
    Some((ms(1), Err(Fault { kind: FaultKind::Refused, words: "connection refused".into() })))
}

fn silent() -> Answer {
    Some((
        ms(300),
        Err(Fault { kind: FaultKind::ConnectTimeout, words: "no answer to SYN in 300 ms".into() }),
    ))
}

struct World {
    health: Health,
    now: Instant,
    answers: BTreeMap<IpAddr, Answers>,
    otherwise: Answers,
    under_way: BinaryHeap<Reverse<(Instant, u64)>>,
    probes: Vec<(u64, Probe)>,
    questions: Vec<(u64, Question)>,
    changes: Vec<(u64, TargetNumber, State)>,
    notices: Vec<(u64, Notice)>,
    failures: Vec<u64>,
    /// By server: how often the clients' road was tried and answered, and not.
    roads: BTreeMap<IpAddr, [usize; 2]>,
}

impl World {
    /// What looks found, change by change.
    fn findings(&self) -> Vec<Option<Diagnosis>> {
        let finding = |(_, notice): &(u64, Notice)| match notice {
            Notice::Finding(finding) => Some(finding.now),
            _ => None,
        };
        self.notices.iter().filter_map(finding).collect()
    }

    /// How often it was told of a target that its checks cannot be made.
    fn blind(&self) -> usize {
        self.notices.iter().filter(|(_, notice)| matches!(notice, Notice::Blind(_))).count()
    }

    fn new(site: &Site) -> Self {
        Self::known(site, |_| false)
    }

    fn known(site: &Site, down: impl Fn(u64) -> bool) -> Self {
        let mut health = Health::new(7);
        health.configure(site, NODE, down, at(0));
        Self {
            health,
            now: at(0),
            answers: BTreeMap::new(),
            otherwise: |_| well(),
            under_way: BinaryHeap::new(),
            probes: Vec::new(),
            questions: Vec::new(),
            changes: Vec::new(),
            notices: Vec::new(),
            failures: Vec::new(),
            roads: BTreeMap::new(),
        }
    }

    fn act(&mut self) {
        let ms = self.now.elapsed().as_millis() as u64;
        while let Some(action) = self.health.poll() {
            match action {
                Action::Probe(probe) => {
                    if let Some((took, _)) = self.answer_to(&probe) {
                        self.under_way.push(Reverse((self.now + took, self.probes.len() as u64)));
                    }
                    self.probes.push((ms, probe));
                }
                Action::Diagnose(question) => self.questions.push((ms, question)),
                Action::Changed { target, state } => self.changes.push((ms, target, state)),
                Action::Notice(notice) => self.notices.push((ms, notice)),
                Action::Proven(_) => {}
                Action::Road { server, answered, .. } => {
                    self.roads.entry(server).or_default()[usize::from(!answered)] += 1;
                }
            }
        }
    }

    fn answer_to(&self, probe: &Probe) -> Answer {
        self.answers.get(&probe.target.server).unwrap_or(&self.otherwise)(probe.by)
    }

    fn run(&mut self, until: u64) -> &mut Self {
        loop {
            self.act();
            let answer = self.under_way.peek().map(|&Reverse((when, _))| when);
            let next = [answer, self.health.poll_timeout()].into_iter().flatten().min();
            let Some(next) = next.filter(|&next| next <= at(until)) else { break };
            self.now = self.now.max(next);
            if answer == Some(next) {
                let Some(Reverse((_, place))) = self.under_way.pop() else { continue };
                let probe = self.probes[place as usize].1.clone();
                if let Some((took, outcome)) = self.answer_to(&probe) {
                    self.failures.extend(outcome.is_err().then_some(next.elapsed().as_millis() as u64));
                    self.health.probed(Reading { number: probe.number, took, outcome }, self.now);
                }
            } else {
                self.health.handle_timeout(self.now);
            }
        }
        self.now = at(until);
        self
    }

    fn set(&mut self, server: usize, answer: Answers) {
        self.answers.insert(host(server), answer);
    }

    fn states(&self) -> Vec<State> {
        self.health.watches.values().map(|watch| watch.judge.state()).collect()
    }

    /// When each target was asked.
    fn asked(&self) -> BTreeMap<IpAddr, Vec<u64>> {
        let mut asked = BTreeMap::<_, Vec<u64>>::new();
        for (ms, probe) in &self.probes {
            asked.entry(probe.target.server).or_default().push(*ms);
        }
        asked
    }
}

fn shop(servers: usize) -> Site {
    site(&[v4(113, 80)], vec![service(80, servers, Check::new(Advisor::Tcp))])
}

#[test]
fn checks_by_the_clients_road_tell_whether_anybody_is_at_its_end() {
    let roads = |via| {
        let mut world = World::new(&site(
            &[v4(113, 80)],
            vec![service(80, 4, Check { via, ..Check::new(Advisor::Tcp) })],
        ));
        let answers: [Answers; 4] = [|_| well(), |_| refused(), |_| silent(), |_| None];
        world.answers.extend((1..).map(host).zip(answers));
        world.run(10_000);
        let tried = |one: usize| world.roads.get(&host(one)).map(|of| of.map(|times| times > 0));
        (1..=4).map(tried).collect::<Vec<_>>()
    };
    assert_eq!(roads(Via::Path), [Some([true, false]), None, Some([false, true]), None]);
    assert_eq!(roads(Via::Server), [None; 4], "checks of the plain kind go another way");
}

#[test]
fn a_dead_server_is_down_within_the_promised_time_whether_it_refuses_or_is_silent() {
    let cases: [(Answers, bool); 3] = [(|_| refused(), false), (|_| silent(), false), (|_| refused(), true)];
    for (answer, fast) in cases {
        let check = if fast { Check::fast(Advisor::Tcp) } else { Check::new(Advisor::Tcp) };
        let bound = if fast { 350 } else { 1_600 };
        for dies in (5_000..5_600).step_by(7) {
            let mut world = World::new(&site(&[v4(113, 80)], vec![service(80, 4, check.clone())]));
            world.run(dies);
            assert_eq!(world.changes, []);
            world.set(2, answer);
            world.run(dies + 3_000);
            let [(when, _, State::Down)] = world.changes[..] else { panic!("{:?}", world.changes) };
            assert!(when - dies <= bound, "{} ms", when - dies);
            let failed = world.failures.iter().filter(|ms| **ms <= when).count();
            assert_eq!(failed, 3, "exactly as many failed checks as it takes");
        }
    }
}

#[test]
fn the_fate_of_one_target_changes_nothing_of_another() {
    let mut well = World::new(&shop(6));
    let mut ill = World::new(&shop(6));
    ill.set(3, |_| silent());
    ill.set(5, |_| None);
    well.run(60_000);
    ill.run(60_000);
    for server in [1, 2, 4, 6] {
        let (calm, busy) = (well.asked()[&host(server)].len(), ill.asked()[&host(server)].len());
        assert!(calm.abs_diff(busy) <= 3, "{calm} and {busy}");
    }
    assert_eq!(ill.changes.len(), 1);
    assert_eq!(ill.health.watches.values().filter(|watch| watch.judge.is_well()).count(), 4);
}

#[test]
fn a_thousand_targets_are_asked_evenly_from_the_first_second_on() {
    let check = Check { interval: ms(1_000), ..Check::new(Advisor::Tcp) };
    let mut world = World::new(&site(&[v4(113, 80)], vec![service(80, 1_000, check)]));
    world.run(60_000);
    let mut windows = BTreeMap::<u64, u64>::new();
    for (ms, _) in &world.probes {
        *windows.entry(ms / 100).or_default() += 1;
    }
    // 1 000 targets, each within nine tenths of a second to a second: 105 in a tenth of a second.
    let most = windows.values().max().copied().unwrap_or_default();
    let mean = world.probes.len() as u64 / 600;
    assert!((100..=112).contains(&mean), "{mean}");
    assert!(most <= mean * 106 / 100, "{most} of {mean}");
    for times in world.asked().values() {
        for pair in times.windows(2) {
            assert!((890..=1_010).contains(&(pair[1] - pair[0])), "{pair:?}");
        }
    }
}

#[test]
fn equal_targets_are_checked_once_however_many_services_have_them() {
    let check = |port| Check { port: Some(port), ..Check::new(Advisor::Tcp) };
    let often = Check { interval: ms(200), fall: 2, ..check(80) };
    let services = vec![service(80, 2, check(80)), service(443, 2, check(80)), service(8080, 2, often)];
    let site = site(&[v4(113, 80)], services);
    let mut world = World::new(&site);
    assert_eq!(world.health.targets(), 2);
    world.run(1_000);
    for times in world.asked().values() {
        assert!((5..=7).contains(&times.len()), "{times:?}");
    }
    for cluster in &site.clusters {
        for service in &cluster.services {
            for server in &service.servers {
                assert!(world.health.target_of(server_identity(cluster, service, server)).is_some());
            }
        }
    }
}

#[test]
fn no_two_checks_of_one_target_are_under_way_at_once() {
    let mut world = World::new(&shop(3));
    world.set(1, |_| Some((ms(900), Ok(Good::default()))));
    world.set(2, |_| Some((ms(1_000), Err(Fault { kind: FaultKind::Timeout, words: String::new() }))));
    world.set(3, |_| None);
    world.run(20_000);
    for (server, least) in [(1, 900), (2, 1_000), (3, 1_500)] {
        let times = world.asked().remove(&host(server)).expect("it is asked");
        assert!(times.len() > 5);
        assert!(times.windows(2).all(|pair| pair[1] - pair[0] >= least), "{times:?}");
    }
}

#[test]
fn the_addresses_of_both_families_are_asked_in_turn_and_the_failing_one_again() {
    let v6 = "2001:db8::80".parse().expect("an address");
    let services = vec![service(80, 1, Check::new(Advisor::Tcp))];
    let mut world = World::new(&site(&[v4(113, 80), v6, v4(113, 81)], services));
    world.run(2_000);
    let by: Vec<_> = world.probes.iter().filter_map(|(_, probe)| probe.by).collect();
    assert!(by.len() >= 3, "{by:?}");
    let in_turn = [v4(113, 80), v6, v4(113, 81)].into_iter().cycle();
    assert!(by.iter().zip(in_turn).all(|(&by, turn)| by == turn), "{by:?}");
    let without_one: [(IpAddr, Answers); 2] = [
        (v4(113, 81), |by| if by == Some(v4(113, 81)) { refused() } else { well() }),
        (v6, |by| if by.is_some_and(|by| by.is_ipv6()) { refused() } else { well() }),
    ];
    let mut until = 2_000;
    for (lacked, answers) in without_one {
        let before = world.probes.len();
        world.set(1, answers);
        until += 10_000;
        world.run(until);
        assert_eq!(world.states(), [State::Down]);
        let by: Vec<_> = world.probes[before + 3..].iter().filter_map(|(_, probe)| probe.by).collect();
        assert!(by.iter().all(|&by| by == lacked), "{by:?}");
        world.set(1, |_| well());
        until += 30_000;
        world.run(until);
        assert_eq!(world.states(), [State::Up]);
    }
}

#[test]
fn a_server_that_is_checked_plainly_is_asked_by_its_own_address() {
    let plain = Check { via: Via::Server, ..Check::new(Advisor::Tcp) };
    let mut world = World::new(&site(&[v4(113, 80)], vec![service(80, 1, plain)]));
    assert!(world.run(1_000).probes.iter().all(|(_, probe)| probe.by.is_none()));
    assert_eq!(world.questions, []);
}

#[test]
fn without_readings_nothing_changes() {
    let mut world = World::new(&shop(3));
    world.run(5_000);
    world.otherwise = |_| None;
    world.run(60_000);
    assert_eq!(world.changes, []);
    assert_eq!(world.states(), [State::Up; 3]);
    let silent: Vec<_> = world
        .notices
        .iter()
        .filter(|(_, notice)| matches!(notice, Notice::AdvisorsSilent(_)))
        .map(|&(ms, _)| ms)
        .collect();
    let &[told] = &silent[..] else { panic!("told once: {silent:?}") };
    assert!(told <= 8_000, "{told}");
    world.otherwise = |_| well();
    world.run(70_000);
    assert!(matches!(world.notices.last(), Some((_, Notice::AdvisorsBack))));
}

#[test]
fn a_check_that_was_looked_at_too_late_or_could_not_be_made_says_nothing() {
    let mut world = World::new(&shop(2));
    world.run(5_000);
    world.set(1, |_| Some((ms(1_501), Err(Fault { kind: FaultKind::Timeout, words: String::new() }))));
    world.set(2, |_| {
        let words = "no buffer space".to_owned();
        Some((ms(1), Err(Fault { kind: FaultKind::Own, words })))
    });
    world.run(60_000);
    assert_eq!(world.changes, []);
    assert_eq!(world.blind(), 2, "and it is told, once of each");
}

#[test]
fn a_handshake_whose_end_was_looked_at_too_late_says_nothing() {
    fn silent_for(took: u64) -> Answer {
        Some((ms(took), Err(Fault { kind: FaultKind::ConnectTimeout, words: String::new() })))
    }
    // A handshake has 300 ms, and whoever looks 100 ms more.
    let mut world = World::new(&shop(2));
    world.run(5_000);
    world.set(1, |_| silent_for(401));
    world.set(2, |_| silent_for(400));
    world.run(60_000);
    assert_eq!(world.states(), [State::Up, State::Down]);
    assert_eq!(world.blind(), 1, "and it is told");
}

#[test]
fn a_server_that_was_down_in_the_last_run_begins_down_and_is_asked_at_once() {
    let site = shop(2);
    let cluster = &site.clusters[0];
    let first = server_identity(cluster, &cluster.services[0], &cluster.services[0].servers[0]);
    let mut world = World::known(&site, |identity| identity == first);
    assert_eq!(world.states(), [State::Down, State::Checking]);
    world.run(1_000);
    assert_eq!(world.states(), [State::Up, State::Up]);
    let [(when, _, State::Up)] = world.changes[..] else { panic!("{:?}", world.changes) };
    assert!(when <= 600, "{when}");
}

#[test]
fn a_reload_that_changes_nothing_changes_nothing() {
    let site = shop(20);
    let mut reloaded = World::new(&site);
    let mut left = World::new(&site);
    for world in [&mut reloaded, &mut left] {
        world.set(3, |_| silent());
        world.run(7_000);
    }
    reloaded.health.configure(&site, NODE, |_| false, at(7_000));
    for world in [&mut reloaded, &mut left] {
        world.run(20_000);
    }
    assert_eq!(reloaded.probes, left.probes);
    assert_eq!(reloaded.changes, left.changes);
    assert_eq!(reloaded.notices, left.notices);
}

#[test]
fn a_reload_keeps_what_is_held_of_targets_that_stay_and_forgets_the_others() {
    let mut world = World::new(&shop(4));
    world.set(2, |_| refused());
    world.set(4, |_| refused());
    world.run(5_000);
    let smaller = shop(3);
    world.health.configure(&smaller, NODE, |_| false, at(5_000));
    assert_eq!(world.states(), [State::Up, State::Down, State::Up]);
    let patient = Check { timeout: ms(2_000), ..Check::new(Advisor::Tcp) };
    let other = site(&[v4(113, 80)], vec![service(80, 3, patient)]);
    world.health.configure(&other, NODE, |_| false, at(5_000));
    assert_eq!(world.states(), [State::Checking, State::Down, State::Checking]);
    let asked = world.probes.len();
    world.run(10_000);
    assert!(world.probes[asked..].iter().all(|(_, probe)| probe.target.server != host(4)));
}

#[test]
fn one_of_several_that_dies_is_told_of_at_once() {
    let mut world = World::new(&shop(3));
    world.run(5_000);
    world.set(1, |_| silent());
    world.run(9_000);
    let (down, _, _) = world.changes[0];
    let told = world.notices.iter().find(|(_, notice)| matches!(notice, Notice::Story(Story::Down(_))));
    assert_eq!(told.map(|&(ms, _)| ms), Some(down));
    world.set(1, |_| well());
    world.run(12_000);
    assert!(matches!(world.notices.last(), Some((_, Notice::Up(..)))));
}

#[test]
fn all_servers_silent_at_once_are_one_story() {
    let mut world = World::new(&shop(50));
    world.run(5_000);
    world.otherwise = |_| silent();
    world.run(20_000);
    assert_eq!(world.states(), [State::Down; 50]);
    let stories = |world: &World| {
        let mut stories = Vec::new();
        for (_, notice) in &world.notices {
            match notice {
                Notice::Story(story) => stories.push(format!("{story:?}")),
                Notice::Up(..) => stories.push("Up".into()),
                _ => {}
            }
        }
        stories
    };
    assert_eq!(stories(&world), ["AllSilent(50)"]);
    world.otherwise = |_| well();
    world.set(9, |_| silent());
    world.run(40_000);
    let told = stories(&world);
    assert_eq!(told[1], "HeardAgain");
    assert_eq!(told[2..].len(), 1, "the one that stayed away: {told:?}");
    assert!(told[2].starts_with("Down"));
}

fn told(world: &World) -> Vec<String> {
    let story = |(_, notice): &(u64, Notice)| match notice {
        Notice::Story(story) => Some(format!("{story:?}")),
        _ => None,
    };
    world.notices.iter().filter_map(story).collect()
}

#[test]
fn a_server_on_the_node_itself_says_nothing_of_the_network() {
    let mut site = shop(4);
    site.nodes[0].address = host(1);
    let mut world = World::new(&site);
    world.run(5_000);
    world.otherwise = |_| silent();
    world.set(1, |_| well());
    world.run(20_000);
    assert_eq!(told(&world), ["AllSilent(3)"]);
    world.otherwise = |_| well();
    world.run(40_000);
    assert_eq!(told(&world), ["AllSilent(3)", "HeardAgain"]);
    // And it is told of for itself.
    world.set(1, |_| refused());
    world.run(50_000);
    assert!(told(&world)[2].starts_with("Down"), "{:?}", told(&world));
}

#[test]
fn one_answer_in_the_middle_of_an_outage_does_not_end_it() {
    let mut world = World::new(&shop(5));
    world.run(5_000);
    world.otherwise = |_| silent();
    world.run(20_000);
    world.set(2, |_| well());
    world.run(20_600);
    world.set(2, |_| silent());
    world.run(40_000);
    assert_eq!(told(&world), ["AllSilent(5)", "HeardAgain", "AllSilent(5)"]);
    world.otherwise = |_| well();
    world.set(2, |_| well());
    world.run(60_000);
    // The one that came and went is damped, and down for itself.
    assert_eq!(told(&world)[3..], ["HeardAgain".to_owned(), told(&world)[4].clone()]);
    assert!(told(&world)[4].starts_with("Down"));
}

#[test]
fn the_only_server_is_told_of_at_once() {
    let mut world = World::new(&shop(1));
    world.run(5_000);
    world.set(1, |_| refused());
    world.run(9_000);
    let (down, _, _) = world.changes[0];
    let told = world.notices.iter().find(|(_, notice)| matches!(notice, Notice::Story(Story::Down(_))));
    assert_eq!(told.map(|&(ms, _)| ms), Some(down));
}

#[test]
fn two_servers_that_die_while_a_third_lives_are_two_stories() {
    let mut world = World::new(&shop(3));
    world.run(5_000);
    world.set(1, |_| silent());
    world.set(2, |_| silent());
    world.run(9_000);
    let down = world.notices.iter().filter(|(_, one)| matches!(one, Notice::Story(Story::Down(_)))).count();
    assert_eq!(down, 2);
    assert!(!world.notices.iter().any(|(_, one)| matches!(one, Notice::Story(Story::AllSilent(_)))));
}

#[test]
fn a_failing_target_gets_a_second_look_at_once_and_every_five_seconds() {
    let mut world = World::new(&shop(2));
    world.run(3_000);
    for server in [1, 2] {
        let spot = Spot { server: host(server), by: v4(113, 80) };
        world.health.diagnosed(spot, Diagnosis::Nothing, world.now);
    }
    world.set(1, |_| refused());
    world.run(3_600);
    let first = world.probes.iter().find(|(ms, probe)| *ms >= 3_000 && probe.target.server == host(1));
    let &(failed, _) = first.expect("it is asked");
    let spot = Spot { server: host(1), by: v4(113, 80) };
    let mut looks = Vec::new();
    for step in 0..200 {
        world.run(3_600 + step * 100);
        looks = world.questions.iter().filter(|(_, one)| one.failed).map(|&(ms, _)| ms).collect();
        world.health.diagnosed(spot, Diagnosis::NotBound, world.now);
        world.act();
    }
    assert!(looks[0] - failed <= 100, "{looks:?}");
    assert!(looks.windows(2).all(|pair| (4_900..=5_100).contains(&(pair[1] - pair[0]))), "{looks:?}");
    assert_eq!(world.findings(), [Some(Diagnosis::NotBound)]);
    world.set(1, |_| well());
    world.run(40_000);
    assert_eq!(world.findings(), [Some(Diagnosis::NotBound), None]);
}

#[test]
fn silence_on_arp_is_looked_at_every_few_seconds_and_spread() {
    let mut world = World::new(&shop(100));
    for step in 1..=300 {
        world.run(step * 100);
        let asked: Vec<_> = world.questions.iter().map(|(_, one)| one.clone()).collect();
        let from = asked.len().saturating_sub(20);
        for question in &asked[from..] {
            let spot = Spot { server: question.target.server, by: question.by };
            let found = if spot.server == host(7) { Diagnosis::AnswersArp } else { Diagnosis::Nothing };
            world.health.diagnosed(spot, found, world.now);
        }
        world.act();
    }
    assert!(world.questions.iter().all(|(_, one)| !one.failed));
    let (looks, busiest) = (world.questions.len(), {
        let mut seconds = BTreeMap::<u64, usize>::new();
        for (ms, _) in &world.questions {
            *seconds.entry(ms / 1_000).or_default() += 1;
        }
        seconds.into_values().max().unwrap_or_default()
    });
    assert!((700..=850).contains(&looks), "{looks}");
    assert!(busiest <= 40, "{busiest}");
    let found: Vec<_> =
        world.notices.iter().filter(|(_, notice)| matches!(notice, Notice::Finding(_))).collect();
    assert_eq!(found.len(), 1);
    let number = *world.health.watches.keys().nth(6).expect("seven targets");
    assert_eq!(world.health.findings(number), [(v4(113, 80), Diagnosis::AnswersArp)]);
}

#[test]
fn looks_at_very_many_servers_come_no_more_often_and_reach_each_of_them() {
    let mut world = World::new(&shop(1_500));
    for step in 1..=120 {
        let asked = world.questions.len();
        world.run(step * 200);
        for question in world.questions.split_off(asked) {
            let spot = Spot { server: question.1.target.server, by: question.1.by };
            world.health.diagnosed(spot, Diagnosis::Nothing, world.now);
            world.questions.push(question);
        }
    }
    let of_each = world.questions.iter().fold(BTreeMap::new(), |mut of_each, (_, question)| {
        *of_each.entry(question.target.server).or_insert(0) += 1;
        of_each
    });
    assert_eq!(of_each.len(), 1_500);
    assert!((2_000..=24 * 125 + 1_500).contains(&world.questions.len()), "{}", world.questions.len());
}

#[test]
fn a_certificate_is_warned_of_once_a_day() {
    let mut world = World::new(&shop(1));
    world.otherwise = |_| Some((ms(1), Ok(Good { certificate: Some(13 * 24 * 3600) })));
    world.run(25 * 3600 * 1000);
    let warned = world.notices.iter().filter(|(_, one)| matches!(one, Notice::Certificate(..))).count();
    assert_eq!(warned, 2);
}

#[test]
fn after_a_pause_of_the_daemon_the_checks_are_spread_again() {
    let mut world = World::new(&shop(500));
    world.run(5_000);
    let before = world.probes.len();
    world.now = at(30_000);
    while let Some(Reverse(_)) = world.under_way.pop() {}
    world.health.handle_timeout(world.now);
    world.act();
    assert!(world.probes.len() - before < 25, "{}", world.probes.len() - before);
    world.run(32_000);
    assert!(world.probes.len() - before > 1_500);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn whatever_servers_do_every_target_goes_on_being_asked_and_states_follow_readings(
        fates in prop::collection::vec((1_usize..6, 0_u8..5, 200_u64..4_000), 1..20)
    ) {
        let mut world = World::new(&shop(5));
        let mut until = 0;
        for (server, fate, time) in fates {
            let answers: [Answers; 5] =
                [|_| well(), |_| refused(), |_| silent(), |_| None, |_| Some((ms(2_000), Ok(Good::default())))];
            world.set(server, answers[usize::from(fate)]);
            until += time;
            world.run(until);
        }
        for times in world.asked().values() {
            // An interval, or a check that nobody answers and the interval after it.
            prop_assert!(times.windows(2).all(|pair| pair[1] - pair[0] <= 2_100), "{times:?}");
            prop_assert!(until - times.last().expect("it was asked") <= 2_100);
        }
        let down = world.states().iter().filter(|state| **state == State::Down).count();
        prop_assert_eq!(down, 5 - world.health.served);
    }
}

#[test]
fn a_host_that_answered_for_the_address_is_believed_when_it_keeps_silent_twice() {
    let mut world = World::new(&shop(1));
    let spot = Spot { server: host(1), by: v4(113, 80) };
    let mut answers = [Diagnosis::AnswersArp, Diagnosis::Nothing, Diagnosis::AnswersArp].into_iter();
    let mut heard = 0;
    for step in 1..=400 {
        world.run(step * 100);
        for _ in std::mem::replace(&mut heard, world.questions.len())..world.questions.len() {
            world.health.diagnosed(spot, answers.next().unwrap_or(Diagnosis::Nothing), world.now);
        }
        world.act();
        if heard == 3 {
            assert_eq!(world.findings(), [Some(Diagnosis::AnswersArp)], "one lost answer changes nothing");
        }
    }
    assert_eq!(world.findings(), [Some(Diagnosis::AnswersArp), None]);
}

#[test]
fn while_this_nodes_own_link_is_down_nobody_is_asked_and_nobody_is_judged() {
    let mut world = World::new(&shop(3));
    world.run(5_000);
    for server in 1..=3 {
        world.set(server, |_| refused());
    }
    world.health.link(false, world.now);
    let asked = (world.probes.len(), world.questions.len());
    world.run(60_000);
    assert_eq!((world.probes.len(), world.questions.len()), asked);
    for server in 1..=3 {
        world.set(server, |_| well());
    }
    world.health.link(true, world.now);
    world.run(65_000);
    assert!(world.probes.len() >= asked.0 + 3 * 8, "they are asked again, as often as before");
    assert_eq!((world.changes.as_slice(), world.notices.as_slice()), (&[][..], &[][..]));
}

#[test]
fn an_answer_to_what_was_asked_before_the_link_came_back_says_nothing() {
    let contrary = |is_cut: bool| {
        let mut world = World::new(&shop(1));
        world.run(5_000);
        world.set(1, |_| silent());
        let (before, mut until) = (world.probes.len(), 5_000);
        while world.probes.len() == before {
            until += 1;
            world.run(until);
        }
        if is_cut {
            world.health.link(false, at(until + 1));
            world.health.link(true, at(until + 2));
        }
        world.run(until + 310);
        assert_eq!(world.failures.len(), 1, "its answer came");
        let number = *world.health.watches.keys().next().expect("one target");
        world.health.view(number).expect("it is watched").contrary
    };
    assert_eq!((contrary(false), contrary(true)), (1, 0));
}
