use super::*;

const ETH: u32 = 7;

fn at(ms: u64) -> Instant {
    Instant::from_start(Duration::from_millis(ms))
}

fn server(last: u32) -> IpAddr {
    std::net::Ipv4Addr::from(0xc633_6400 + last).into()
}

fn mac(last: u8) -> Mac {
    Mac([2, 0, 0, 0, 0, last])
}

fn on_link() -> Route {
    Route::OnLink { interface: ETH, source: None }
}

/// A small world around the machine: servers that answer or not, and a record of all that it did.
struct World {
    neighbours: Neighbours,
    now: Instant,
    route: Route,
    answers: BTreeMap<IpAddr, Mac>,
    seen: Vec<(u64, Action)>,
}

impl World {
    fn new(servers: impl IntoIterator<Item = IpAddr>) -> Self {
        let mut neighbours = Neighbours::new(1);
        neighbours.want(servers);
        Self { neighbours, now: at(0), route: on_link(), answers: BTreeMap::new(), seen: Vec::new() }
    }

    fn answering(mut self, server: IpAddr, mac: Mac) -> Self {
        self.answers.insert(server, mac);
        self
    }

    fn run(&mut self, until: u64) {
        loop {
            while let Some(action) = self.neighbours.poll() {
                self.seen.push((self.now.elapsed().as_millis() as u64, action));
                self.act(action);
            }
            match self.neighbours.poll_timeout() {
                Some(due) if due <= at(until) => {
                    self.now = self.now.max(due);
                    self.neighbours.handle_timeout(self.now);
                }
                _ => break,
            }
        }
        self.now = at(until);
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::AskRoute(server) => self.neighbours.learn_route(server, self.route, self.now),
            Action::Probe(probe) => {
                let Some(&mac) = self.answers.get(&probe.server) else { return };
                if probe.mac.is_none_or(|to| to == mac) {
                    self.neighbours.hear(probe.server, ETH, mac, Evidence::Reply, self.now);
                }
            }
            Action::Reach(..) | Action::Notice(..) => {}
        }
    }

    fn probes(&self) -> Vec<(u64, Probe)> {
        let probe = |&(when, action): &(u64, Action)| match action {
            Action::Probe(probe) => Some((when, probe)),
            _ => None,
        };
        self.seen.iter().filter_map(probe).collect()
    }

    fn notices(&self) -> Vec<Notice> {
        let notice = |&(_, action): &(u64, Action)| match action {
            Action::Notice(_, notice) => Some(notice),
            _ => None,
        };
        self.seen.iter().filter_map(notice).collect()
    }

    fn reach(&self, server: IpAddr) -> Option<Reach> {
        self.neighbours.reach(server)
    }
}

fn reach(mac: Mac) -> Option<Reach> {
    Some(Reach::Neighbour { interface: ETH, mac })
}

#[test]
fn a_new_server_is_asked_at_once_by_broadcast() {
    let mut world = World::new([server(1)]).answering(server(1), mac(1));
    world.run(0);
    let expected = Probe { server: server(1), interface: ETH, source: None, mac: None };
    assert_eq!(world.probes(), [(0, expected)]);
    assert_eq!(world.reach(server(1)), reach(mac(1)));
    assert!(world.neighbours.is_warm());
}

#[test]
fn a_silent_new_server_is_asked_fast_and_then_ever_more_calmly() {
    let mut world = World::new([server(1)]);
    world.run(40_000);
    let times: Vec<_> = world.probes().into_iter().map(|(when, _)| when).collect();
    assert_eq!(times[..8], [0, 50, 150, 350, 750, 1550, 2550, 3550]);
    let last = times[times.len() - 2..].to_vec();
    assert_eq!(last[1] - last[0], RETRY_PATIENT.as_millis() as u64);
}

#[test]
fn a_dead_server_does_not_hold_up_the_start_for_long() {
    let mut world = World::new([server(1), server(2)]).answering(server(2), mac(2));
    world.run(100);
    assert!(!world.neighbours.is_warm());
    world.run(500);
    assert!(world.neighbours.is_warm());
}

#[test]
fn a_known_server_is_refreshed_by_unicast_only() {
    let mut world = World::new([server(1)]).answering(server(1), mac(1));
    world.run(20_000);
    let probes = world.probes();
    assert!(probes[1..].iter().all(|(_, probe)| probe.mac == Some(mac(1))));
    for pair in probes.windows(2) {
        let pause = pair[1].0 - pair[0].0;
        assert!((490..=700).contains(&pause), "{pause} ms");
    }
}

#[test]
fn a_server_whose_checks_are_answered_is_not_asked() {
    let mut world = World::new([server(1)]).answering(server(1), mac(1));
    for second in 0..20 {
        world.run(second * 400);
        let now = world.now;
        world.neighbours.proven(server(1), now, now);
    }
    assert_eq!(world.probes().len(), 1);
    world.run(20 * 400 + 1_000);
    assert!(world.probes().len() > 1, "checks have ended: it is asked again");
}

#[test]
fn a_check_without_an_answer_has_the_server_asked_at_once_and_once() {
    let mut world = World::new((1..=1_000).map(server)).answering(server(1), mac(1));
    world.answers.extend((2..=1_000).map(|one| (server(one), mac(2))));
    world.run(10_000);
    world.answers.insert(server(1), mac(9));
    world.seen.clear();
    for _ in 0..3 {
        world.neighbours.doubt(server(1), world.now);
    }
    world.run(10_300);
    assert_eq!(world.reach(server(1)), reach(mac(9)));
    let asked: Vec<_> = world.probes().into_iter().filter(|(_, probe)| probe.server == server(1)).collect();
    assert_eq!(asked.iter().map(|(_, probe)| probe.mac).collect::<Vec<_>>(), [Some(mac(1)), None]);
}

#[test]
fn a_check_that_began_before_the_hardware_address_changed_proves_nothing_of_the_new_one() {
    let mut world = World::new([server(1)]).answering(server(1), mac(1));
    world.run(5_000);
    world.answers.clear();
    world.neighbours.hear(server(1), ETH, mac(9), Evidence::Reply, at(5_000));
    world.run(8_000);
    assert_eq!(world.notices().last(), Some(&Notice::Silent));
    world.neighbours.proven(server(1), at(4_900), at(8_000));
    world.run(8_000);
    assert_eq!(world.notices().last(), Some(&Notice::Silent));
    world.neighbours.proven(server(1), at(7_900), at(8_000));
    world.run(8_000);
    assert_eq!(world.notices().last(), Some(&Notice::Back));
}

#[test]
fn a_changed_hardware_address_is_in_use_within_a_second() {
    let mut world = World::new([server(1)]).answering(server(1), mac(1));
    world.run(10_000);
    world.answers.insert(server(1), mac(9));
    world.run(11_000);
    assert_eq!(world.reach(server(1)), reach(mac(9)));
    assert!(world.notices().contains(&Notice::Moved { from: mac(1), to: mac(9) }));
}

#[test]
fn the_last_known_hardware_address_is_never_thrown_away() {
    let mut world = World::new([server(1)]).answering(server(1), mac(1));
    world.run(5_000);
    world.answers.clear();
    world.run(100_000);
    assert_eq!(world.reach(server(1)), reach(mac(1)));
    assert_eq!(world.notices().iter().filter(|&&notice| notice == Notice::Silent).count(), 1);
    for route in [Route::Unreachable, Route::Via { interface: ETH, gateway: server(250) }] {
        world.neighbours.learn_route(server(1), route, at(100_001));
        assert_eq!(world.reach(server(1)), reach(mac(1)));
    }
}

#[test]
fn an_answer_after_silence_is_told_once() {
    let mut world = World::new([server(1)]).answering(server(1), mac(1));
    world.run(5_000);
    world.answers.clear();
    world.run(10_000);
    world.answers.insert(server(1), mac(1));
    world.run(20_000);
    assert_eq!(world.notices(), [Notice::Resolved(mac(1)), Notice::Silent, Notice::Back]);
}

#[test]
fn a_server_behind_a_router_is_told_and_never_asked() {
    let mut world = World::new([server(1)]);
    world.route = Route::Via { interface: ETH, gateway: server(254) };
    world.run(10_000);
    assert_eq!(world.probes(), []);
    assert_eq!(world.notices(), [Notice::NotOnLink { gateway: server(254) }]);
    assert_eq!(world.reach(server(1)), None);
    assert!(world.neighbours.is_warm());
}

#[test]
fn a_collocated_server_needs_no_hardware_address() {
    let mut world = World::new([server(1)]);
    world.route = Route::Local;
    world.run(10_000);
    assert_eq!(world.probes(), []);
    assert_eq!(world.reach(server(1)), Some(Reach::Local));
}

#[test]
fn a_server_that_comes_back_onto_the_link_is_asked_again() {
    let mut world = World::new([server(1)]).answering(server(1), mac(1));
    world.route = Route::Unreachable;
    world.run(3_000);
    world.route = on_link();
    world.neighbours.routes_changed(world.now);
    world.run(3_100);
    assert_eq!(world.reach(server(1)), reach(mac(1)));
}

#[test]
fn route_changes_without_end_cause_one_look_a_second() {
    let mut world = World::new([server(1)]).answering(server(1), mac(1));
    world.run(1_000);
    for ms in (1_000..11_000).step_by(5) {
        world.neighbours.routes_changed(world.now);
        world.run(ms);
    }
    let asked = world.seen.iter().filter(|(_, action)| matches!(action, Action::AskRoute(_))).count();
    assert!((10..=13).contains(&asked), "{asked}");
}

#[test]
fn thousands_of_servers_are_asked_at_a_bounded_pace() {
    let mut world = World::new((0..5_000).map(server));
    (0..5_000).for_each(|n| {
        world.answers.insert(server(n), Mac([2, 0, 0, 0, (n >> 8) as u8, n as u8]));
    });
    world.run(30_000);
    assert!(world.neighbours.is_warm());
    let probes = world.probes();
    for tick in 0..3_000 {
        let within = probes.iter().filter(|(when, _)| when / 10 == tick).count();
        assert!(within <= 40, "{within} in 10 ms");
    }
    let calm = probes.iter().filter(|&&(when, _)| when >= 5_000).count();
    assert!(calm <= 25 * 400, "{calm} in 25 s");
}

#[test]
fn a_stale_entry_of_the_kernel_serves_until_something_better_is_heard() {
    let mut world = World::new([server(1)]).answering(server(1), mac(1));
    world.neighbours.learn_route(server(1), on_link(), at(0));
    world.neighbours.hear(server(1), ETH, mac(8), Evidence::Stale, at(0));
    assert_eq!(world.reach(server(1)), reach(mac(8)));
    world.run(150);
    assert_eq!(world.reach(server(1)), reach(mac(1)));
    world.neighbours.hear(server(1), ETH, mac(8), Evidence::Stale, at(60_000));
    world.neighbours.hear(server(1), ETH, mac(8), Evidence::Advice, at(60_000));
    assert_eq!(world.reach(server(1)), reach(mac(1)));
}

#[test]
fn an_operators_static_entry_wins_until_it_is_removed() {
    let mut world = World::new([server(1)]).answering(server(1), mac(1));
    world.neighbours.learn_route(server(1), on_link(), at(0));
    world.neighbours.hear(server(1), ETH, mac(5), Evidence::Static, at(0));
    world.run(10_000);
    world.neighbours.hear(server(1), ETH, mac(1), Evidence::Reply, at(10_000));
    assert_eq!(world.reach(server(1)), reach(mac(5)));
    world.neighbours.unfix(server(1), ETH, at(10_000));
    world.run(12_000);
    assert_eq!(world.reach(server(1)), reach(mac(1)));
}

#[test]
fn a_static_entry_heard_before_the_route_is_not_forgotten() {
    let mut world = World::new([server(1)]);
    world.neighbours.hear(server(1), ETH, mac(5), Evidence::Static, at(0));
    world.run(1_000);
    assert_eq!(world.reach(server(1)), reach(mac(5)));
    assert_eq!(world.probes(), []);
}

#[test]
fn two_hosts_that_claim_one_address_do_not_make_it_flap() {
    let mut world = World::new([server(1)]);
    world.neighbours.learn_route(server(1), on_link(), at(0));
    for ms in 0..3_000 {
        let claim = mac(1 + (ms % 2) as u8);
        world.neighbours.hear(server(1), ETH, claim, Evidence::Reply, at(ms));
    }
    world.run(3_000);
    let moves = world.notices().iter().filter(|notice| matches!(notice, Notice::Moved { .. })).count();
    assert!(moves <= 3, "{moves}");
}

#[test]
fn a_multicast_or_empty_hardware_address_is_never_believed() {
    let mut world = World::new([server(1)]);
    world.neighbours.learn_route(server(1), on_link(), at(0));
    for nonsense in [Mac([0; 6]), Mac::BROADCAST, Mac([0x33, 0x33, 0, 0, 0, 1])] {
        world.neighbours.hear(server(1), ETH, nonsense, Evidence::Reply, at(0));
    }
    assert_eq!(world.reach(server(1)), None);
}

#[test]
fn what_is_heard_on_another_interface_is_not_believed() {
    let mut world = World::new([server(1)]);
    world.neighbours.learn_route(server(1), on_link(), at(0));
    world.neighbours.hear(server(1), ETH + 1, mac(1), Evidence::Reply, at(0));
    assert_eq!(world.reach(server(1)), None);
}

#[test]
fn a_pause_of_our_own_accuses_nobody() {
    let mut world = World::new([server(1)]).answering(server(1), mac(1));
    world.run(5_000);
    world.answers.clear();
    for minute in 1..20 {
        world.now = at(5_000 + minute * 60_000);
        world.neighbours.handle_timeout(world.now);
        while world.neighbours.poll().is_some_and(|action| {
            assert_ne!(action, Action::Notice(server(1), Notice::Silent));
            true
        }) {}
    }
}

#[test]
fn a_removed_server_is_forgotten_and_costs_nothing() {
    let mut world = World::new([server(1), server(2)]);
    world.run(0);
    world.neighbours.want([]);
    assert!(world.neighbours.is_warm());
    assert_eq!(world.neighbours.poll_timeout(), None);
}
