//! What programs of `[hooks]` are called for, and what they are told.

use super::*;

impl World {
    /// The calls of one hook.
    fn calls(&self, hook: &str) -> Vec<About> {
        let about = |(_, effect): &(u64, Effect)| match effect {
            Effect::Hook { kind, about, .. } if kind.hook() == Some(hook) => Some(about.clone()),
            _ => None,
        };
        self.seen.iter().filter_map(about).collect()
    }
}

fn web2(reason: Option<&'static str>) -> About {
    About {
        server: Some(("web2".into(), web(2))),
        services: vec![("shop".into(), "tcp/80".into())],
        pool: None,
        reason,
    }
}

#[test]
fn a_server_that_dies_and_comes_back_calls_a_program_once_each_way_however_many_ways_it_is_seen() {
    let mut world = well(checked(3));
    world.mute = vec![web(2)];
    world.fall([2]).later(60_000);
    assert!(world.events().contains(&EventKind::ServerSilent), "ARP has seen it too");
    assert!(world.events().contains(&EventKind::ServerDown));
    assert_eq!(world.calls("server-down"), [web2(Some("refused"))]);
    world.mute = Vec::new();
    world.fall([]).later(60_000);
    assert!(world.events().contains(&EventKind::ServerBack));
    assert_eq!(world.calls("server-up"), [web2(None)]);
    assert_eq!(world.calls("server-down").len(), 1);
}

#[test]
fn the_silence_of_a_server_that_nobody_checks_calls_a_program_and_its_return_another() {
    let mut plain = checked(3);
    plain.services[0].check = None;
    let mut world = well(plain);
    world.mute = vec![web(2)];
    world.later(60_000);
    assert_eq!(world.calls("server-down"), [web2(Some("silent"))]);
    world.mute = Vec::new();
    world.later(60_000);
    assert_eq!(world.calls("server-up"), [web2(None)]);
}

#[test]
fn of_a_host_with_two_services_silence_is_about_the_one_that_nobody_checks() {
    let mut cluster = checked(3);
    let mut other = cluster.services[0].clone();
    (other.ports, other.check) = (crate::model::Ports::Exact(25), None);
    cluster.services.push(other);
    let mut world = well(cluster);
    world.mute = vec![web(2)];
    world.fall([2]).later(60_000);
    let calls = world.calls("server-down");
    let services = |reason| {
        let call = calls.iter().find(|call| call.reason == Some(reason));
        call.map(|call| call.services.iter().map(|(_, service)| service.as_str()).collect::<Vec<_>>())
    };
    assert_eq!(calls.len(), 2);
    assert_eq!(services("refused"), Some(vec!["tcp/80"]));
    assert_eq!(services("silent"), Some(vec!["tcp/25"]));
}

#[test]
fn a_pool_that_is_empty_or_full_is_named_with_its_service() {
    let mut cluster = with_spare();
    cluster.services[0].sorry = Some(1);
    cluster.services[0].rules = vec![Rule { when: Condition::Active(100), pool: 1 }];
    let mut world = well(cluster);
    world.counts(&[(1, 200, 0)]).later(12_000);
    let main = |reason| About {
        server: None,
        services: vec![("shop".into(), "tcp/80".into())],
        pool: Some("main".into()),
        reason: Some(reason),
    };
    assert_eq!(world.calls("pool-full"), [main("active")]);
    world.counts(&[(1, 0, 0)]).fall([1, 2, 3]).later(5_000);
    assert_eq!(world.calls("pool-empty"), [main("stand-in")]);
}
