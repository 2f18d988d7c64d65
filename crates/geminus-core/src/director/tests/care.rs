//! What becomes of servers and pools.

mod drains;
mod hooks;

use super::*;
use crate::agent::Report;
use crate::model::{Advisor, Check, Condition, OnDown, Prefix, Rule, Window};
use crate::plan::{Ruling, service_identity};

fn checked(servers: usize) -> Cluster {
    let servers: Vec<_> = (1..=servers).map(|one| (format!("web{one}"), web(one))).collect();
    let named: Vec<_> = servers.iter().map(|(name, address)| (name.as_str(), *address)).collect();
    let mut cluster = cluster("shop", NODE, &[v4(80)], &named);
    cluster.services[0].check = Some(Check::new(Advisor::Tcp));
    cluster
}

/// The main pool has three servers, the pool `spare` one.
fn with_spare() -> Cluster {
    let mut cluster = checked(4);
    cluster.services[0].pools = vec!["spare".into()];
    cluster.services[0].servers[3].pool = 1;
    cluster
}

fn web(number: usize) -> IpAddr {
    v4(20 + u8::try_from(number).expect("few servers"))
}

fn well(cluster: Cluster) -> World {
    let mut world = Setting::new(vec![cluster]).start();
    world.run(5_000).forget();
    world
}

impl World {
    fn identity(&self, server: usize) -> u64 {
        let cluster = &self.director.site().clusters[0];
        let service = &cluster.services[0];
        server_identity(cluster, service, &service.servers[server - 1])
    }

    fn service(&self) -> u64 {
        let cluster = &self.director.site().clusters[0];
        service_identity(cluster, &cluster.services[0])
    }

    fn ruling(&self, server: usize) -> Ruling {
        self.ruled.server(self.identity(server))
    }

    fn pool(&self) -> u8 {
        self.ruled.pool(self.service())
    }

    fn view(&self, server: usize) -> ServerView {
        self.director.server_view(self.identity(server)).expect("it is in the site")
    }

    fn fall(&mut self, servers: impl IntoIterator<Item = usize>) -> &mut Self {
        self.ill = servers.into_iter().map(web).collect();
        self
    }

    fn later(&mut self, ms: u64) -> &mut Self {
        let until = self.now.elapsed().as_millis() as u64 + ms;
        self.run(until)
    }

    fn at_hour(&mut self, weekday: u8, hour: u16) -> &mut Self {
        self.hear(Input::TimeOfDay(TimeOfDay { weekday, minute: hour * 60 }))
    }

    fn counts(&mut self, counts: &[(usize, u64, u64)]) -> &mut Self {
        self.passes += 1;
        let passes = self.passes;
        let count =
            |&(server, active, total)| ServerCount { identity: self.identity(server), active, total, passes };
        let counts = counts.iter().map(count).collect();
        self.hear(Input::Counted(counts))
    }

    fn report(&mut self, server: usize, leaving: bool) -> &mut Self {
        let (parts, findings) = (vec![("cpu".into(), 400)], vec!["rp_filter is 1".into()]);
        let every = Some(Duration::from_secs(1));
        self.hear(Input::Reported(Report { host: web(server), load: 500, leaving, every, parts, findings }))
    }

    fn applies(&self) -> usize {
        self.times(is_apply).len()
    }

    fn told_of(&self, kind: EventKind) -> Vec<String> {
        let message = |(_, effect): &(u64, Effect)| match effect {
            Effect::Tell(event) if event.kind == kind => Some(event.message.clone()),
            _ => None,
        };
        self.seen.iter().filter_map(message).collect()
    }
}

const NOTHING: Ruling =
    Ruling { weight: None, down: None, maintenance: false, leaving: false, slowed: false, emptied: false };
const DOWN: Ruling = Ruling { down: Some(OnDown::Rehash), ..NOTHING };
const REST: Ruling = Ruling { maintenance: true, ..NOTHING };
const LEAVES: Ruling = Ruling { leaving: true, ..NOTHING };

#[test]
fn a_server_that_dies_is_taken_out_within_the_promised_time_and_put_back_when_it_recovers() {
    let mut world = well(checked(4));
    world.fall([2]).later(1_600);
    assert_eq!(world.ruling(2), DOWN);
    assert_eq!([1, 3, 4].map(|server| world.ruling(server)), [Ruling::default(); 3]);
    assert_eq!(world.applies(), 1);
    assert_eq!(
        world.told_of(EventKind::ServerDown),
        ["server web2 of cluster shop tcp 80 is down: refused: connection refused"]
    );
    assert_eq!(world.view(2).state, ServerState::Down);
    assert!(world.view(2).reason.contains("refused"), "{}", world.view(2).reason);
    world.fall([]).later(2_000);
    assert_eq!(world.ruling(2), Ruling::default());
    assert_eq!(world.applies(), 2);
    assert_eq!(world.told_of(EventKind::ServerUp).len(), 1);
    assert_eq!(world.view(2).state, ServerState::Up);
}

#[test]
fn a_server_whose_first_check_is_good_is_up_and_shown_so() {
    let world = well(checked(2));
    assert_eq!([1, 2].map(|server| world.view(server).state), [ServerState::Up; 2]);
}

#[test]
fn what_becomes_of_flows_is_as_the_service_says() {
    for on_down in [OnDown::Rehash, OnDown::Keep, OnDown::Reset] {
        let mut cluster = checked(4);
        cluster.services[0].on_down = on_down;
        let mut world = well(cluster);
        world.fall([1]).later(1_600);
        assert_eq!(world.ruling(1).down, Some(on_down));
    }
}

#[test]
fn flows_stay_where_they_are_when_every_server_is_silent_and_comes_back() {
    let mut world = well(checked(4));
    world.fall(1..=4);
    let (mut kept, until) = (false, world.now + Duration::from_secs(20));
    while world.now < until {
        world.later(50);
        let down = (1..=4).filter_map(|server| world.ruling(server).down).collect::<Vec<_>>();
        assert!(down.iter().all(|&down| down == OnDown::Keep), "{down:?}");
        kept |= !down.is_empty();
    }
    assert!(kept, "the first ones get no new flows until the pool panics");
    world.fall([]).later(5_000);
    assert_eq!((1..=4).map(|server| world.ruling(server)).collect::<Vec<_>>(), [Ruling::default(); 4]);
    assert!(world.told_of(EventKind::ServerDown).is_empty());
}

#[test]
fn whoever_stays_away_when_the_others_are_back_loses_its_flows() {
    let mut world = well(checked(4));
    world.fall(1..=4).later(10_000);
    world.fall([3]).later(5_000);
    assert_eq!(world.ruling(3).down, Some(OnDown::Keep), "it may be about to come back");
    world.later(15_000);
    assert_eq!(world.ruling(3), DOWN);
}

#[test]
fn without_a_change_nothing_is_applied() {
    let mut world = well(checked(20));
    world.later(60_000);
    assert_eq!(world.applies(), 0);
    assert_eq!(world.events(), []);
}

#[test]
fn servers_that_fall_together_are_applied_together() {
    let mut cluster = checked(90);
    cluster.services[0].servers.iter_mut().for_each(|server| server.weight = 1);
    let mut world = well(cluster);
    world.fall(1..=40).later(1_600);
    assert_eq!((1..=40).filter(|&server| world.ruling(server) == DOWN).count(), 40);
    assert!(world.applies() <= 40, "{}", world.applies());
    let times = world.times(is_apply);
    assert!(times.windows(2).all(|pair| pair[1] - pair[0] >= 20), "{times:?}");
}

#[test]
fn a_pool_that_is_mostly_down_is_served_as_if_it_were_well_and_says_so_once() {
    let mut world = well(checked(3));
    world.fall([1]).later(2_000);
    assert_eq!(world.ruling(1), DOWN);
    world.fall([1, 2]).later(10_000);
    assert_eq!([1, 2, 3].map(|server| world.ruling(server)), [Ruling::default(); 3]);
    assert_eq!(world.told_of(EventKind::PoolPanic).len(), 1);
    assert_eq!(world.view(2).state, ServerState::Panic);
    world.fall([1]).later(60_000);
    assert_eq!([1, 2, 3].map(|server| world.ruling(server)), [DOWN, Ruling::default(), Ruling::default()]);
    assert_eq!(world.told_of(EventKind::PoolCalm).len(), 1);
}

#[test]
fn a_drained_server_does_not_count_for_the_health_of_its_pool() {
    let mut world = well(checked(4));
    world.order("web1", Wish::Drain).order("web2", Wish::Drain);
    world.fall([3]).later(2_000);
    assert_eq!(world.ruling(3), DOWN, "one of two is well, which is not less than half");
    world.fall([3, 4]).later(3_000);
    assert_eq!(world.told_of(EventKind::PoolEmpty).len(), 1);
}

#[test]
fn where_panic_is_off_a_dead_pool_gets_nothing() {
    let mut site = site(vec![checked(2)]);
    site.health.panic_below = 0;
    let mut world = Setting { site, ..Setting::new(vec![]) }.start();
    world.run(5_000).fall([1, 2]).later(5_000);
    let dead = Ruling { down: Some(OnDown::Keep), ..DOWN };
    assert_eq!([1, 2].map(|server| world.ruling(server)), [dead; 2], "nothing new, and nowhere else to go");
    assert!(world.told_of(EventKind::PoolEmpty)[0].ends_with("dropped"));
}

#[test]
fn all_servers_silent_at_once_are_one_event_and_no_pool_is_emptied() {
    let mut world = well(checked(30));
    world.fall(1..=30).later(10_000);
    assert!((1..=30).all(|server| world.ruling(server) == Ruling::default()));
    assert_eq!(world.told_of(EventKind::ServersAllSilent).len(), 1);
    assert_eq!(world.told_of(EventKind::ServerDown), [""; 0]);
    world.fall([]).later(60_000);
    assert_eq!(world.told_of(EventKind::ServersHeard).len(), 1);
    assert_eq!(world.told_of(EventKind::ServerUp), [""; 0]);
}

#[test]
fn a_pool_without_a_server_goes_to_the_sorry_pool_and_back() {
    let mut cluster = with_spare();
    cluster.services[0].sorry = Some(1);
    let mut world = well(cluster);
    world.fall([1, 2, 3]).later(4_000);
    assert_eq!(world.pool(), 1);
    assert_eq!([1, 2, 3].map(|server| world.ruling(server)), [DOWN; 3]);
    assert_eq!(
        world.told_of(EventKind::PoolSwitched),
        ["cluster shop tcp 80: new flows go to pool spare: no server of the main pool is up"]
    );
    assert_eq!(world.told_of(EventKind::PoolEmpty).len(), 1);
    world.fall([2, 3]).later(10_000);
    assert_eq!(world.pool(), 0);
    assert_eq!(world.told_of(EventKind::PoolSwitched).len(), 2);
    assert_eq!(world.told_of(EventKind::PoolFilled).len(), 1);
}

#[test]
fn a_rule_of_hours_does_not_keep_the_sorry_pool_away_before_the_time_is_known() {
    let mut cluster = with_spare();
    cluster.services[0].sorry = Some(1);
    let never = Window { days: 1 << 2, from: 600, to: 660 };
    cluster.services[0].rules = vec![Rule { when: Condition::During(never), pool: 1 }];
    let mut world = well(cluster);
    world.fall([1, 2, 3]).later(4_000);
    assert_eq!(world.pool(), 1);
    world.fall([]).later(10_000).at_hour(0, 0).later(100);
    assert_eq!(world.pool(), 0);
}

#[test]
fn where_the_sorry_pool_is_dead_too_nothing_is_switched() {
    let mut cluster = with_spare();
    cluster.services[0].sorry = Some(1);
    let mut world = well(cluster);
    world.fall([4]).later(4_000).fall([1, 2, 3, 4]).later(4_000);
    assert_eq!(world.pool(), 0);
    assert_eq!([1, 2, 3].map(|server| world.ruling(server)), [Ruling::default(); 3]);
}

#[test]
fn a_pool_of_clients_without_a_server_is_stood_in_for_and_does_not_panic() {
    let mut cluster = with_spare();
    let from = Prefix { address: v4(0), bits: 24 };
    cluster.services[0].rules = vec![Rule { when: Condition::From(vec![from]), pool: 1 }];
    let mut world = well(cluster);
    world.fall([4]).later(4_000);
    let spare =
        |world: &World| world.director.pool_view(world.service()).expect("it is there").pools[1].clone();
    assert_eq!((spare(&world).stand_in, spare(&world).panic, world.ruling(4)), (Some(0), false, DOWN));
    assert_eq!(
        world.told_of(EventKind::PoolEmpty),
        ["no server of pool spare of cluster shop tcp 80 is up; the main pool takes its flows"]
    );
    // Where nobody can stand in, it is a pool like any other.
    world.fall([1, 2, 3, 4]).later(4_000);
    assert_eq!((spare(&world).stand_in, spare(&world).panic), (None, true));
    assert_eq!(world.ruling(4), Ruling::default());
    world.fall([]).later(60_000);
    assert_eq!((spare(&world).stand_in, world.ruling(4)), (None, Ruling::default()));
}

#[test]
fn a_rule_about_flows_holds_until_there_are_a_tenth_fewer() {
    let mut cluster = with_spare();
    cluster.services[0].rules = vec![Rule { when: Condition::Active(100), pool: 1 }];
    let mut world = well(cluster);
    let mut in_force = Vec::new();
    for active in [50, 50, 51, 46, 45, 44, 46, 50] {
        world.counts(&[(1, active, 0), (2, active, 0), (4, 1_000, 0)]).later(12_000);
        in_force.push(world.pool());
    }
    assert_eq!(in_force, [0, 0, 1, 1, 1, 0, 0, 0]);
    assert_eq!(world.told_of(EventKind::PoolFull).len(), 1);
    assert_eq!(world.told_of(EventKind::PoolRelieved).len(), 1);
}

#[test]
fn a_rule_about_flows_holds_for_a_while_where_flows_are_over_at_once() {
    let mut cluster = with_spare();
    cluster.services[0].rules = vec![Rule { when: Condition::Active(100), pool: 1 }];
    let mut world = well(cluster);
    for _ in 0..60 {
        let active = if world.pool() == 0 { 200 } else { 0 };
        world.counts(&[(1, active, 0)]).later(1_000);
    }
    let told = world.told_of(EventKind::PoolFull).len();
    assert!((4..=7).contains(&told), "{told} times in a minute");
}

#[test]
fn a_rule_about_new_flows_goes_by_their_rate() {
    let mut cluster = with_spare();
    cluster.services[0].rules = vec![Rule { when: Condition::Rate(100), pool: 1 }];
    let mut world = well(cluster);
    let (mut main, mut spare) = (1_000_000, 0);
    let mut in_force = Vec::new();
    // Whichever pool is in force gets what comes.
    for per_second in [0, 100, 101, 500, 500, 91, 91, 500, 100, 100, 100, 95, 91, 89, 89, 89, 100, 101] {
        if world.pool() == 0 {
            main += per_second
        } else {
            spare += per_second
        }
        world.counts(&[(1, 0, main), (4, 0, spare)]).later(1_000);
        in_force.push(world.pool());
    }
    assert_eq!(in_force, [0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 1]);
    assert_eq!(world.told_of(EventKind::PoolFull).len(), 2);
}

#[test]
fn another_rule_at_the_place_of_one_that_holds_begins_anew() {
    let mut cluster = with_spare();
    cluster.services[0].rules = vec![Rule { when: Condition::Active(100), pool: 1 }];
    let mut world = well(cluster.clone());
    world.counts(&[(1, 200, 0)]).later(1_000);
    assert_eq!(world.pool(), 1);
    cluster.services[0].rules = vec![Rule { when: Condition::Active(1_000), pool: 1 }];
    world.reload(vec![cluster]).later(1_000);
    assert_eq!(world.pool(), 0);
}

#[test]
fn the_first_rule_that_holds_decides_and_clients_have_their_own() {
    let mut cluster = with_spare();
    cluster.services[0].pools.push("night".into());
    cluster.services[0].servers.push(Server { pool: 2, ..Server::new("web5", web(5)) });
    let night = Window { days: 0x7f, from: 22 * 60, to: 6 * 60 };
    cluster.services[0].rules = vec![
        Rule { when: Condition::From(vec![]), pool: 1 },
        Rule { when: Condition::During(night), pool: 2 },
        Rule { when: Condition::Active(10), pool: 1 },
    ];
    let mut world = well(cluster);
    assert_eq!(world.pool(), 0);
    assert_eq!(world.at_hour(0, 23).later(100).pool(), 2);
    assert_eq!(world.counts(&[(1, 11, 0)]).later(12_000).pool(), 2);
    assert_eq!(world.at_hour(1, 6).later(100).pool(), 1);
    assert_eq!(world.counts(&[(1, 5, 0)]).later(100).pool(), 0);
    let view = world.director.pool_view(world.service()).expect("it is in the site");
    assert_eq!((view.in_force, view.pools[0].up, view.pools[0].active), (0, 3, Some(5)));
}

#[test]
fn a_server_in_maintenance_rests_and_its_flows_stay() {
    let mut cluster = checked(3);
    cluster.services[0].servers[0].maintenance = vec![Window { days: 1 << 6, from: 120, to: 240 }];
    let mut world = well(cluster);
    world.at_hour(6, 2).later(100);
    assert_eq!(world.ruling(1), REST);
    assert_eq!(world.view(1).state, ServerState::Resting);
    world.at_hour(6, 4).later(100);
    assert_eq!(world.ruling(1), Ruling::default());
    assert_eq!(
        world.told_of(EventKind::ServerResting).len() + world.told_of(EventKind::ServerRested).len(),
        2
    );
}

#[test]
fn a_host_that_leaves_rests_until_its_agent_says_otherwise_or_an_operator_does() {
    let mut world = well(checked(3));
    world.report(1, false).later(1_000);
    assert_eq!(world.ruling(1), Ruling::default());
    world.report(1, true).later(20_000);
    assert_eq!(world.ruling(1), LEAVES);
    assert_eq!(world.told_of(EventKind::AgentLost), [""; 0], "who says goodbye is not lost");
    world.report(1, false).later(100);
    assert_eq!(world.ruling(1), Ruling::default());
    world.report(1, true).later(100);
    world.order("web1", Wish::Undrain).later(100);
    assert_eq!(world.ruling(1), Ruling::default());
}

#[test]
fn an_agent_that_says_nothing_is_lost_once_and_its_load_counts_no_more() {
    let mut world = well(checked(3));
    world.report(1, false);
    let view = world.view(1);
    assert_eq!((view.load, view.findings), (Some(500), vec!["rp_filter is 1".to_owned()]));
    world.later(4_000).report(1, false).later(4_900);
    assert_eq!(world.told_of(EventKind::AgentLost), [""; 0]);
    world.later(30_000);
    assert_eq!(world.told_of(EventKind::AgentLost).len(), 1);
    assert_eq!(world.view(1).load, None);
    world.report(1, false).later(100);
    assert_eq!(world.told_of(EventKind::AgentBack).len(), 1);
    assert_eq!(world.applies(), 0);
}

#[test]
fn agents_that_nobody_listens_to_any_more_are_not_missed() {
    let mut world = well(checked(2));
    world.report(1, false);
    let mut site = Site::clone(world.director.site());
    site.agents.enabled = false;
    world.hear(Input::Reload { ticket: None, outcome: Ok(Arc::new(site)) }).later(60_000);
    assert_eq!(world.told_of(EventKind::AgentLost), [""; 0]);
    assert_eq!(world.view(1).load, None);
}

#[test]
fn an_agent_that_reports_too_seldom_for_the_timeout_is_told_of_once_and_shown() {
    let mut world = well(checked(2));
    let every = |world: &mut World, ms| {
        let every = Some(Duration::from_millis(ms));
        let (host, parts, findings) = (web(1), Vec::new(), Vec::new());
        world
            .hear(Input::Reported(Report { host, load: 1, leaving: false, every, parts, findings }))
            .later(100);
    };
    every(&mut world, 2_500);
    assert_eq!(world.told_of(EventKind::AgentSeldom), [""; 0], "of two reports one may be lost");
    for _ in 0..5 {
        every(&mut world, 5_000);
    }
    assert_eq!(
        world.told_of(EventKind::AgentSeldom),
        [
            "the agent of web1 (198.51.100.21) reports every 5000 ms, and without a report for 5000 ms it counts as lost: \
          start it with a shorter --interval, or give [agents] a longer timeout"
        ]
    );
    assert!(world.view(1).findings.iter().any(|line| line.starts_with("its agent reports every 5000 ms")));
    every(&mut world, 1_000);
    assert_eq!(world.view(1).findings, [""; 0]);
    every(&mut world, 4_000);
    assert_eq!(world.told_of(EventKind::AgentSeldom).len(), 2);
}

#[test]
fn an_agent_of_nobody_is_told_of_once() {
    let mut world = well(checked(1));
    for _ in 0..10 {
        world.report(99, false).later(1_000);
    }
    assert_eq!(world.told_of(EventKind::AgentUnknown).len(), 1);
}

#[test]
fn flows_are_counted_only_where_something_needs_them() {
    let asked = |world: &World| -> Vec<Vec<u64>> {
        let count = |(_, effect): &(u64, Effect)| match effect {
            Effect::Count(servers) => Some(servers.clone()),
            _ => None,
        };
        world.seen.iter().filter_map(count).collect()
    };
    let mut world = well(checked(3));
    assert_eq!(asked(world.later(10_000)).len(), 0);
    world.order("web2", Wish::Drain).later(3_000);
    assert_eq!(asked(&world)[0], [world.identity(2)]);
    let mut cluster = with_spare();
    cluster.services[0].rules = vec![Rule { when: Condition::Active(100), pool: 1 }];
    let mut world = well(cluster.clone());
    world.later(10_000);
    let counts = asked(&world);
    assert!((9..=11).contains(&counts.len()), "{}", counts.len());
    assert_eq!(counts[0], [1, 2, 3].map(|server| world.identity(server)));
    cluster.services[0].rules.clear();
    cluster.services[0].select = Select::LeastConnections;
    assert_eq!(asked(well(cluster).later(2_000))[0].len(), 4);
}

#[test]
fn a_recovered_server_starts_slowly_in_ten_steps() {
    let mut site = site(vec![checked(4)]);
    site.health.slow_start = Duration::from_secs(9);
    let mut world = Setting { site, ..Setting::new(vec![]) }.start();
    world.run(5_000).fall([1]).later(3_000).fall([]).later(1_000);
    world.forget();
    let mut shares = Vec::new();
    for _ in 0..100 {
        let (one, other) = (world.ruling(1).weight, world.ruling(2).weight);
        shares.push((one.unwrap_or(1), other.unwrap_or(1)));
        world.later(100);
    }
    shares.dedup();
    let tenths: Vec<_> = (1..=9).map(|tenth| (tenth, 10)).chain([(1, 1)]).collect();
    assert_eq!(shares, tenths);
    assert_eq!(world.view(1).weight.slow_start, None);
}

#[test]
fn what_was_down_in_the_last_run_is_down_and_is_told_to_nobody() {
    let setting = Setting::new(vec![checked(4)]);
    let cluster = &setting.site.clusters[0];
    let first = server_identity(cluster, &cluster.services[0], &cluster.services[0].servers[0]);
    let mut rulings = Rulings::default();
    rulings.rule(first, DOWN);
    let mut world = Setting { rulings, ..setting }.start();
    world.fall([1]).run(20_000);
    assert_eq!(world.applies(), 0);
    assert_eq!(world.ruling(1), DOWN);
    assert_eq!(world.told_of(EventKind::ServerDown), [""; 0]);
    world.fall([]).later(2_000);
    assert_eq!((world.applies(), world.ruling(1)), (1, Ruling::default()));
}

#[test]
fn a_reload_that_changes_nothing_changes_nothing_of_servers() {
    let mut world = well(with_spare());
    world.fall([1]).later(3_000);
    world.order("web2", Wish::DrainWithin(Duration::from_secs(60)));
    let before: Vec<_> = (1..=4).map(|server| world.view(server)).collect();
    let ruled = Arc::clone(&world.ruled);
    world.forget();
    world.reload(vec![with_spare()]).later(1);
    assert_eq!((1..=4).map(|server| world.view(server)).collect::<Vec<_>>(), before);
    assert_eq!(*world.ruled, *ruled);
    assert_eq!(world.applies(), 1, "the reload itself");
    assert_eq!(world.later(5_000).events(), [EventKind::Reloaded]);
    assert_eq!(world.applies(), 1);
}

#[test]
fn a_pool_in_force_is_known_by_its_name_when_the_site_changes() {
    let mut cluster = with_spare();
    cluster.services[0].sorry = Some(1);
    let mut world = well(cluster.clone());
    world.fall([1, 2, 3]).later(4_000);
    assert_eq!(world.pool(), 1);
    let service = &mut cluster.services[0];
    service.pools = vec!["new".into(), "spare".into()];
    service.sorry = Some(2);
    service.servers[3].pool = 2;
    service.servers.push(Server { pool: 1, ..Server::new("web5", web(5)) });
    world.forget();
    world.reload(vec![cluster]).later(5_000);
    let first = world.seen.iter().find_map(|(_, effect)| match effect {
        Effect::Apply { rulings, .. } => Some(rulings.pool(world.service())),
        _ => None,
    });
    assert_eq!((first, world.pool()), (Some(2), 2));
    assert_eq!(world.told_of(EventKind::PoolSwitched), [""; 0]);
}

#[test]
fn a_refused_ruling_is_told_once_and_tried_until_it_works() {
    let mut world = well(checked(4));
    world.plane_says = Err("no memory".into());
    world.fall([1]).later(5_000);
    assert_eq!(world.ruling(1), Ruling::default());
    assert_eq!(world.told_of(EventKind::ApplyFailed).len(), 1);
    world.plane_says = Ok(vec![]);
    world.later(1_100);
    assert_eq!(world.ruling(1), DOWN);
}

#[test]
fn an_order_and_a_reload_take_along_what_was_found_meanwhile() {
    let mut world = well(checked(4));
    world.fall([1]).later(3_000).order("web2", Wish::Weight(Some(3))).later(100);
    assert_eq!(world.ruling(1), DOWN);
    assert_eq!(world.view(2).weight.in_force, 3);
    let mut wider = checked(4);
    wider.services[0].servers[3].weight = 9;
    world.reload(vec![wider]).later(3_000);
    assert_eq!(world.ruling(1), DOWN);
    assert_eq!(world.view(1).state, ServerState::Down);
}

#[test]
fn silence_of_the_advisors_changes_nothing_and_is_told_once() {
    let mut world = well(checked(2));
    for _ in 0..5 {
        world.hear(Input::AdvisorsSilent(Duration::from_secs(3)));
    }
    assert_eq!(world.told_of(EventKind::AdvisorsSilent).len(), 1);
    assert_eq!(world.applies(), 0);
    world.later(1_000);
    assert_eq!(world.told_of(EventKind::AdvisorsBack).len(), 1);
}

#[test]
fn what_is_wrong_with_a_host_is_told_with_the_way_out() {
    let mut world = well(checked(4));
    world.fall([1]);
    while !world.seen.iter().any(|(_, one)| matches!(one, Effect::Diagnose(question) if question.failed)) {
        world.later(10);
    }
    world.hear(Input::Diagnosed { server: web(1), by: v4(80), found: Diagnosis::NoAddress });
    world.later(3_000);
    let told = world.told_of(EventKind::SetupFault);
    assert!(
        told[0].contains("web1") && told[0].contains("geminus host setup --address 198.51.100.80"),
        "{told:?}"
    );
    let told = world.told_of(EventKind::ServerDown);
    assert!(told[0].contains("no-address"), "{told:?}");
    assert_eq!(world.view(1).findings.len(), 1);
    world.fall([]).later(3_000);
    assert_eq!(world.told_of(EventKind::SetupMended).len(), 1);
}

#[test]
fn a_managed_server_that_is_slow_gets_less_and_an_unmanaged_service_is_left_alone() {
    let mut cluster = checked(4);
    cluster.services[0].managed = true;
    cluster.services[0].servers[3].fixed = true;
    let mut world = well(cluster);
    for cycle in 0..60_u64 {
        let counts: Vec<_> =
            (1..=4).map(|server| (server, if server == 1 { 400 } else { 100 }, cycle * 100)).collect();
        world.counts(&counts).later(2_000);
    }
    let weights: Vec<_> = (1..=4).map(|server| world.view(server).weight).collect();
    assert!(weights[0].in_force * 3 < weights[1].in_force * 2, "{weights:?}");
    assert_eq!(weights[3].in_force, weights[3].unit, "one with a fixed weight keeps it");
    assert_eq!(world.ruling(1).weight, Some(weights[0].in_force));
    let before = world.applies();
    world.reload(vec![checked(4)]).later(1_000);
    assert_eq!((1..=4).map(|server| world.ruling(server)).collect::<Vec<_>>(), [Ruling::default(); 4]);
    assert!(world.applies() <= before + 2);
}

#[test]
fn managed_weights_go_on_from_those_of_the_last_run() {
    let mut cluster = checked(2);
    cluster.services[0].managed = true;
    let setting = Setting::new(vec![cluster]);
    let shop = &setting.site.clusters[0];
    let service = &shop.services[0];
    let mut rulings = Rulings::default();
    for (server, weight) in service.servers.iter().zip([150, 50]) {
        rulings.rule(
            server_identity(shop, service, server),
            Ruling { weight: Some(weight), ..Ruling::default() },
        );
    }
    let mut world = Setting { rulings, ..setting }.start();
    world.run(1_500);
    assert_eq!(world.applies(), 0);
    assert_eq!([1, 2].map(|server| world.view(server).weight.managed), [Some(150), Some(50)]);
}

#[test]
fn a_weight_that_was_not_whole_is_no_finding_of_the_last_run() {
    let mut cluster = checked(4);
    let service = &mut cluster.services[0];
    service.managed = true;
    service.servers[1].fixed = true;
    let setting = Setting::new(vec![cluster]);
    let shop = &setting.site.clusters[0];
    let servers = &shop.services[0].servers;
    let mut rulings = Rulings::default();
    let mut rule = |server: usize, ruling| {
        rulings.rule(server_identity(shop, &shop.services[0], &servers[server - 1]), ruling)
    };
    rule(1, Ruling { weight: Some(10), slowed: true, ..NOTHING });
    rule(2, Ruling { weight: Some(30), ..NOTHING });
    rule(3, Ruling { weight: Some(150), maintenance: true, ..NOTHING });
    rule(4, Ruling { weight: Some(50), ..NOTHING });
    let mut world = Setting { rulings, ..setting }.start();
    world.run(1_500);
    assert_eq!(
        [1, 2, 3, 4].map(|server| world.view(server).weight.managed),
        [None, None, Some(150), Some(50)]
    );
    assert_eq!([1, 2].map(|server| world.ruling(server).weight), [Some(100); 2], "all of it");
}

#[test]
fn a_managed_server_that_is_drained_keeps_its_weight_for_its_return() {
    let mut cluster = checked(2);
    cluster.services[0].managed = true;
    let mut world = well(cluster);
    for cycle in 0..30_u64 {
        world.counts(&[(1, 400, cycle * 100), (2, 100, cycle * 100)]).later(2_000);
    }
    let managed = world.ruling(1).weight;
    assert!(managed < world.ruling(2).weight, "{managed:?}");
    world.order("web1", Wish::Drain).later(100);
    assert_eq!((world.ruling(1).weight, world.view(1).weight.in_force), (managed, 0));
    world.order("web1", Wish::Undrain).later(100);
    assert_eq!(world.ruling(1).weight, managed);
}

#[test]
fn who_is_down_gets_no_more_for_looking_idle_in_a_panic() {
    let mut cluster = checked(3);
    cluster.services[0].managed = true;
    let mut world = well(cluster);
    world.fall([1, 2]).later(10_000);
    assert_eq!(world.view(1).state, ServerState::Panic);
    let before = [1, 2, 3].map(|server| world.ruling(server).weight);
    for cycle in 0..30_u64 {
        world.counts(&[(1, 0, 0), (2, 0, 0), (3, 400, cycle * 100)]).later(2_000);
    }
    assert_eq!([1, 2, 3].map(|server| world.ruling(server).weight), before);
}

#[test]
fn a_managed_weight_is_shown_with_what_each_input_wished() {
    let mut cluster = checked(2);
    cluster.services[0].managed = true;
    let mut world = well(cluster);
    for cycle in 0..30_u64 {
        world.counts(&[(1, 400, cycle * 100), (2, 100, cycle * 100)]).later(2_000);
    }
    let [one, two] = [1, 2].map(|server| world.view(server).weight.wishes);
    assert!(one.active < two.active, "{one:?} {two:?}");
    assert!(one.active.is_some() && one.new.is_some() && one.load.is_none(), "{one:?}");
    world.reload(vec![checked(2)]).later(2_000);
    assert_eq!(world.view(1).weight.wishes, WishesView::default(), "nobody manages it");
}

#[test]
fn an_ordered_weight_is_in_force_at_once_also_where_the_manager_had_another() {
    let mut cluster = checked(2);
    cluster.services[0].managed = true;
    let mut world = well(cluster);
    for cycle in 0..30_u64 {
        world.counts(&[(1, 400, cycle * 100), (2, 100, cycle * 100)]).later(2_000);
    }
    assert!(world.view(1).weight.managed.is_some());
    world.order("web1", Wish::Weight(Some(5))).later(100);
    let WeightView { in_force, unit, .. } = world.view(1).weight;
    assert_eq!(in_force, 5 * unit);
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig { cases: 16, ..Default::default() })]

    #[test]
    fn whoever_fails_is_down_or_in_panic_and_whoever_is_well_comes_back(
        fates in proptest::collection::vec(proptest::collection::vec(1_usize..=6, 0..6), 1..12)
    ) {
        let mut world = well(checked(6));
        for ill in fates {
            world.fall(ill.iter().copied()).later(3_100);
            let panic = world.director.pool_view(world.service()).is_some_and(|view| view.pools[0].panic);
            for server in 1..=6 {
                let (state, ruling) = (world.view(server).state, world.ruling(server));
                let failing = ill.contains(&server);
                proptest::prop_assert_eq!(ruling.down.is_some(), state == ServerState::Down);
                proptest::prop_assert!(!failing || state != ServerState::Up);
                proptest::prop_assert!(!panic || ruling == Ruling::default());
            }
        }
        world.fall([]).later(32_000);
        for server in 1..=6 {
            proptest::prop_assert_eq!(world.view(server).state, ServerState::Up);
            proptest::prop_assert_eq!(world.ruling(server), Ruling::default());
        }
    }
}
