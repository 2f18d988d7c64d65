mod chance;

use std::collections::VecDeque;

use super::*;

/// A server of the model: how many requests a second it can do, and how long one takes it alone, in seconds.
#[derive(Clone, Copy)]
struct Host {
    capacity: f64,
    service: f64,
}

const FAST: Host = Host { capacity: 1000.0, service: 0.01 };
const SLOW: Host = Host { capacity: 333.0, service: 0.03 };

impl Host {
    fn utilisation(self, rate: f64) -> f64 {
        (rate / self.capacity).min(0.99)
    }

    /// Time in a processor-sharing queue.
    fn time(self, rate: f64) -> f64 {
        self.service / (1.0 - self.utilisation(rate))
    }
}

/// What reaches the manager, and when.
#[derive(Clone, Copy)]
struct Road {
    /// Cycles that a report is late.
    late: usize,
    /// Every so many reports gets through; 1: all.
    every: usize,
    /// Servers without an agent.
    mute: usize,
}

const CLEAR: Road = Road { late: 0, every: 1, mute: 0 };

/// Runs the loop for so many cycles at a rate; the weights of each cycle.
fn run(settings: model::Manager, hosts: &[Host], rate: f64, road: Road, cycles: usize) -> Vec<Vec<u16>> {
    let mut manager = Manager::new(settings);
    let mut weights = vec![1.0; hosts.len()];
    let mut past: VecDeque<Vec<(f64, f64)>> = VecDeque::new();
    let mut seen = Vec::new();
    for cycle in 0..cycles {
        let sum: f64 = weights.iter().sum();
        let rates: Vec<f64> = weights.iter().map(|weight| rate * weight / sum).collect();
        past.push_front(
            hosts.iter().zip(&rates).map(|(host, &rate)| (host.utilisation(rate), host.time(rate))).collect(),
        );
        past.truncate(road.late + 1);
        let then = past.back().expect("there is at least this cycle");
        let readings: Vec<Readings> = (0..hosts.len())
            .map(|at| Readings {
                identity: at as u64 + 1,
                configured: 1,
                fixed: false,
                serving: true,
                active: Some((rates[at] * hosts[at].time(rates[at])) as u64),
                new: Some((rates[at] * 2.0) as u64),
                latency: Some((then[at].1 * 1e6) as u64),
                load: (at >= road.mute && (cycle + at) % road.every == 0)
                    .then_some((then[at].0 * 1000.0) as u16),
            })
            .collect();
        let pool = manager.cycle(&readings);
        weights = pool.weights.iter().map(|weight| f64::from(weight.weight)).collect();
        seen.push(pool.weights.iter().map(|weight| weight.weight).collect());
    }
    seen
}

fn defaults() -> model::Manager {
    model::Manager::default()
}

/// The largest difference of one server's weights among the last so many cycles, as a part of their mean.
fn swing(seen: &[Vec<u16>], last: usize) -> f64 {
    let tail = &seen[seen.len() - last..];
    let of = |server: usize| {
        let all = || tail.iter().map(move |weights| f64::from(weights[server]));
        let (most, least) = (all().fold(0.0, f64::max), all().fold(f64::MAX, f64::min));
        (most - least) / (all().sum::<f64>() / last as f64)
    };
    (0..tail[0].len()).map(of).fold(0.0, f64::max)
}

#[test]
fn a_server_three_times_slower_gets_about_a_third() {
    let hosts = [FAST, FAST, FAST, SLOW];
    let seen = run(defaults(), &hosts, 2300.0, CLEAR, 200);
    let last = seen.last().expect("cycles were run");
    let share = f64::from(last[3]) / f64::from(last[0]);
    assert!((0.2..=0.45).contains(&share), "{last:?}");
    // And soon: most of the way within half a minute at the default interval.
    let soon = &seen[20];
    assert!(f64::from(soon[3]) / f64::from(soon[0]) < 0.6, "{soon:?}");
}

#[test]
fn late_lost_and_missing_reports_make_no_oscillation() {
    let hosts = [FAST, FAST, FAST, SLOW];
    for rate in [500.0, 1500.0, 2300.0, 2700.0] {
        for road in [
            CLEAR,
            Road { late: 3, ..CLEAR },
            Road { late: 5, every: 2, mute: 0 },
            Road { late: 3, every: 2, mute: 1 },
            Road { late: 0, every: 1, mute: 4 },
        ] {
            let seen = run(defaults(), &hosts, rate, road, 400);
            let swing = swing(&seen, 100);
            assert!(swing <= 0.15, "{swing} at {rate}, late by {}, every {}", road.late, road.every);
        }
    }
}

#[test]
fn on_a_balanced_site_nothing_changes() {
    let seen = run(defaults(), &[FAST; 5], 3000.0, CLEAR, 50);
    assert!(seen.iter().all(|weights| weights == &[UNIT; 5]), "{:?}", seen.last());
}

#[test]
fn an_absurd_load_stays_within_bounds_and_starves_nobody_else() {
    let mut manager = Manager::new(defaults());
    let server = |identity, load| Readings {
        identity,
        configured: 10,
        fixed: false,
        serving: true,
        active: None,
        new: None,
        latency: Some(2_000),
        load: Some(load),
    };
    let mut pool = Pool::default();
    for _ in 0..200 {
        pool = manager.cycle(&[server(1, 500), server(2, 500), server(3, u16::MAX)]);
    }
    let [one, two, liar] = pool.weights[..] else { panic!("three servers") };
    assert_eq!(one.weight, two.weight);
    let least = 10 * pool.unit / defaults().bound;
    assert!((least..10 * pool.unit).contains(&liar.weight), "{liar:?}");
    assert!(one.weight <= 2 * 10 * pool.unit, "{one:?}");
    // And one that says it has nothing to do gets more, but not everything.
    let mut manager = Manager::new(defaults());
    for _ in 0..200 {
        pool = manager.cycle(&[server(1, 500), server(2, 500), server(3, 0)]);
    }
    let share =
        f64::from(pool.weights[2].weight) / pool.weights.iter().map(|of| f64::from(of.weight)).sum::<f64>();
    assert!(share < 0.8, "{share}");
}

#[test]
fn a_fixed_weight_and_a_weight_of_nothing_stay() {
    let server = |identity, configured, fixed, latency| Readings {
        identity,
        configured,
        fixed,
        serving: true,
        active: None,
        new: None,
        latency: Some(latency),
        load: None,
    };
    let mut manager = Manager::new(defaults());
    for _ in 0..50 {
        let pool = manager.cycle(&[
            server(1, 20, true, 90_000),
            server(2, 10, false, 10_000),
            server(3, 10, false, 30_000),
            server(4, 0, false, 1),
        ]);
        assert_eq!(pool.weights[0].weight, 20 * pool.unit, "fixed");
        assert_eq!(pool.weights[3].weight, 0, "nothing");
        assert_eq!(pool.weights[0].wishes, [None; 4]);
    }
}

#[test]
fn without_any_reading_the_configuration_rules() {
    let server = |identity, configured| Readings {
        identity,
        configured,
        fixed: false,
        serving: true,
        active: None,
        new: None,
        latency: None,
        load: None,
    };
    let pool = Manager::new(defaults()).cycle(&[server(1, 10), server(2, 1000)]);
    assert!(!pool.changed);
    let weights: Vec<_> = pool.weights.iter().map(|weight| weight.weight).collect();
    assert_eq!(weights, [10 * pool.unit, 1000 * pool.unit]);
    assert_eq!(pool.unit, 6, "1000 times the bound of 10 times 6 is what 16 bits hold");
}

#[test]
fn another_largest_weight_changes_the_unit_and_no_share() {
    let server = |identity, configured, latency| Readings {
        identity,
        configured,
        fixed: false,
        serving: true,
        active: None,
        new: None,
        latency: Some(latency),
        load: None,
    };
    let mut manager = Manager::new(defaults());
    for _ in 0..50 {
        manager.cycle(&[server(1, 1, 9_000), server(2, 1, 30_000)]);
    }
    let before = manager.cycle(&[server(1, 1, 9_000), server(2, 1, 30_000)]);
    let mut after = manager.cycle(&[server(1, 1, 9_000), server(2, 1, 30_000), server(3, 1000, 9_000)]);
    assert!(after.changed && after.unit < before.unit);
    after.weights.truncate(2);
    let share = |pool: &Pool| f64::from(pool.weights[1].weight) / f64::from(pool.weights[0].weight);
    assert!((share(&before) - share(&after)).abs() < 0.1, "{before:?} {after:?}");
}

#[test]
fn a_weight_of_an_earlier_life_is_gone_on_from() {
    let server = |identity, latency| Readings {
        identity,
        configured: 1,
        fixed: false,
        serving: true,
        active: None,
        new: None,
        latency: Some(latency),
        load: None,
    };
    let pool = [server(1, 10_000), server(2, 30_000)];
    let mut manager = Manager::new(defaults());
    let mut last = Pool::default();
    for _ in 0..100 {
        last = manager.cycle(&pool);
    }
    let mut heir = Manager::new(defaults());
    for weight in &last.weights {
        heir.remember(weight.identity, 1, weight.weight, last.unit);
    }
    assert_eq!(
        heir.cycle(&pool).weights.iter().map(|of| of.weight).collect::<Vec<_>>(),
        last.weights.iter().map(|of| of.weight).collect::<Vec<_>>()
    );
}

#[test]
fn a_file_that_says_nothing_of_the_manager_has_the_defaults_that_these_laws_are_proved_with() {
    let text = "[node.alpha]\naddress = \"198.51.100.11\"\ninterface = \"eth0\"\n[cluster.shop]\n\
                addresses = [\"198.51.100.80\"]\n[[cluster.shop.service]]\nport = 80\n\
                servers = [{ address = \"198.51.100.21\" }]\n";
    let site = crate::config::parse(text, "site.toml").expect("the smallest useful file");
    assert_eq!(site.manager, defaults());
}
