//! Laws of checks that come late: because this machine looks too late, or because they wait for each other.

use super::*;

/// A handshake of 300 ms at whose end nobody looked for so long.
fn looked_at_after(ms_late: u64) -> Answer {
    Some((ms(300 + ms_late), Err(Fault { kind: FaultKind::ConnectTimeout, words: String::new() })))
}

/// Connected, and nothing until the time was over.
fn hung() -> Answer {
    Some((ms(1_000), Err(Fault { kind: FaultKind::Timeout, words: String::new() })))
}

fn crowds(world: &World) -> Vec<(u64, usize, Duration)> {
    let crowd = |(ms, notice): &(u64, Notice)| match notice {
        Notice::Crowd(targets, waited) => Some((*ms, *targets, *waited)),
        _ => None,
    };
    world.notices.iter().filter_map(crowd).collect()
}

#[test]
fn late_readings_are_told_after_as_many_in_a_row_as_would_be_a_fall_and_a_timely_one_begins_anew() {
    let mut world = World::new(&shop(2));
    world.run(5_000);
    let mut until = 5_000;
    for round in 0..5 {
        for (answer, times) in [((|_| looked_at_after(101)) as Answers, 2), (|_| looked_at_after(100), 1)] {
            world.set(1, answer);
            for _ in 0..times {
                let heard = world.failures.len();
                while world.failures.len() == heard {
                    until += 5;
                    world.run(until);
                }
            }
        }
        assert_eq!(world.blind(), 0, "round {round}");
        world.set(1, |_| well());
        until += 2_000;
        world.run(until);
    }
    world.set(1, |_| looked_at_after(101));
    world.run(until + 10_000);
    assert_eq!(world.blind(), 1);
    let number = *world.health.watches.keys().next().expect("two targets");
    let view = world.health.view(number).expect("it is watched");
    let fault = view.fault.expect("why is told");
    assert_eq!((view.state, fault.kind), (State::Up, FaultKind::Own));
    assert!(fault.words.len() <= 200 && fault.words.contains("too late"), "{fault:?}");
}

#[test]
fn checks_that_are_given_up_while_others_are_heard_are_told() {
    let mut world = World::new(&shop(2));
    world.run(5_000);
    world.set(1, |_| None);
    world.run(30_000);
    assert_eq!(world.blind(), 1);
    assert_eq!((world.states(), world.changes.len()), (vec![State::Up; 2], 0));
    assert!(!world.notices.iter().any(|(_, one)| matches!(one, Notice::AdvisorsSilent(_))));
}

#[test]
fn who_answers_late_is_heard_but_only_a_timely_reading_ends_a_silence() {
    let mut world = World::new(&shop(50));
    world.run(5_000);
    world.otherwise = |_| looked_at_after(200);
    world.run(15_000);
    let told = |world: &World, what: fn(&Notice) -> bool| {
        world.notices.iter().filter(|(_, notice)| what(notice)).count()
    };
    let silent: fn(&Notice) -> bool = |notice| matches!(notice, Notice::AdvisorsSilent(_));
    let back: fn(&Notice) -> bool = |notice| matches!(notice, Notice::AdvisorsBack);
    assert_eq!((told(&world, silent), world.blind()), (0, 50));
    world.otherwise = |_| None;
    world.run(25_000);
    assert_eq!((told(&world, silent), told(&world, back)), (1, 0));
    world.otherwise = |_| looked_at_after(200);
    world.run(35_000);
    assert_eq!((told(&world, silent), told(&world, back)), (1, 0));
    world.otherwise = |_| well();
    world.run(40_000);
    assert_eq!((told(&world, silent), told(&world, back)), (1, 1));
    assert_eq!(world.changes, []);
}

#[test]
fn nothing_is_told_of_what_was_asked_while_this_nodes_own_link_was_down() {
    let mut world = World::new(&shop(3));
    world.run(5_000);
    world.set(1, |_| None);
    for step in 0..20 {
        let now = 5_000 + step * 2_000;
        world.run(now + 1_000);
        world.health.link(false, world.now);
        world.run(now + 2_000);
        world.health.link(true, world.now);
    }
    assert_eq!(world.blind(), 0);
}

#[test]
fn thousands_that_hang_are_found_down_each_in_its_turn_and_their_waiting_is_told_once_a_minute() {
    let many = 3 * CHECKS;
    let check = Check { interval: ms(500), ..Check::new(Advisor::Tcp) };
    let mut world = World::new(&site(&[v4(113, 80)], vec![service(80, many + 1, check)]));
    world.run(3_000);
    assert_eq!(crowds(&world), []);
    for server in 1..=many {
        world.set(server, |_| hung());
    }
    let (mut from, mut until) = (0, 3_000);
    let mut under_way = BinaryHeap::new();
    while until < 20_000 {
        until += 100;
        world.run(until);
        for (begun, probe) in &world.probes[std::mem::replace(&mut from, world.probes.len())..] {
            while under_way.peek().is_some_and(|Reverse(ends)| ends <= begun) {
                under_way.pop();
            }
            let took = world.answer_to(probe).map_or(1_500, |(took, _)| took.as_millis() as u64);
            under_way.push(Reverse(begun + took));
            // What was begun before it changed its mind is counted for longer than it was.
            assert!(until < 4_500 || under_way.len() <= CHECKS, "{} at {begun}", under_way.len());
        }
    }
    let down = world.states().into_iter().filter(|state| *state == State::Down).count();
    assert_eq!(down, many);
    assert_eq!(world.health.state(*world.health.watches.keys().last().expect("many")), Some(State::Up));
    assert_eq!(world.blind(), 0, "what waits is not given up");
    let told = crowds(&world);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].1 > 100 && told[0].2 > ms(500), "{told:?}");
    world.answers.clear();
    let asked = world.probes.len();
    world.run(24_000);
    let again: HashSet<_> = world.probes[asked..].iter().map(|(_, probe)| probe.target.server).collect();
    assert_eq!(again.len(), many + 1, "everybody is asked again");
    assert!(world.health.line.is_empty());
}

#[test]
fn a_reload_while_checks_wait_for_their_turn_forgets_who_is_gone_and_asks_who_stays_once() {
    let mut world = World::new(&shop(CHECKS + 500));
    world.otherwise = |_| None;
    world.run(1_200);
    assert!(!world.health.line.is_empty());
    let often = Check { interval: ms(300), ..Check::new(Advisor::Tcp) };
    let faster = site(&[v4(113, 80)], vec![service(80, CHECKS + 500, often.clone())]);
    world.health.configure(&faster, NODE, |_| false, world.now);
    let smaller = site(&[v4(113, 80)], vec![service(80, 100, often)]);
    world.health.configure(&smaller, NODE, |_| false, world.now);
    assert!(world.health.asked.len() + world.health.line.len() <= 100);
    world.otherwise = |_| well();
    let before = world.probes.len();
    world.run(6_000);
    let times = |server| {
        let asked = world.probes[before..].iter().filter(|(_, probe)| probe.target.server == host(server));
        asked.map(|(ms, _)| *ms).collect::<Vec<_>>()
    };
    for server in 1..=100 {
        let times = times(server);
        assert!(times.len() > 8, "{server}: {times:?}");
        assert!(times.windows(2).all(|pair| pair[1] - pair[0] >= 250), "{server}: {times:?}");
    }
}
