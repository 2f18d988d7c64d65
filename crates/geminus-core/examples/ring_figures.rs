//! The figures of `docs/design/ring.md`: `cargo run --release -p geminus-core --example ring_figures`.

#![allow(clippy::print_stdout, reason = "a table on the terminal is all it is for")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use geminus_core::ring::{Member, Ring, RingKey, build, build_in_turn};

const SLOTS: u32 = 65_537;

fn main() {
    let names: Vec<String> = (0..1000).map(|number| format!("web{number}")).collect();
    build_times(&names);
    site();
    disruption(&names);
    weight_changes(&names);
    unlucky_keys(&names);
    sizes(&names);
    turns(&names);
}

fn key(number: u64) -> RingKey {
    let mut secret = [0; 32];
    secret[..8].copy_from_slice(&number.to_le_bytes());
    RingKey::from_site_key(&secret)
}

fn members<'a>(names: &'a [String], weight: impl Fn(usize) -> u16) -> Vec<Member<'a>> {
    names.iter().enumerate().map(|(at, name)| Member { name, weight: weight(at) }).collect()
}

/// 1 to 1000 without a pattern.
fn mixed(at: usize) -> u16 {
    1 + (at * at * 7919 % 1000) as u16
}

fn build_times(names: &[String]) {
    println!("microseconds per build, least and median of 100, {SLOTS} slots, one core");
    println!("| members | hash, equal | hash, mixed | round robin, equal | round robin, mixed |");
    for count in [1, 3, 10, 100, 1000] {
        let names = &names[..count];
        let (equal, mixed) = (members(names, |_| 10), members(names, mixed));
        let cells = [
            timed(|turn| build(&key(turn), SLOTS, &equal)),
            timed(|turn| build(&key(turn), SLOTS, &mixed)),
            timed(|_| build_in_turn(SLOTS, black_box(&equal))),
            timed(|_| build_in_turn(SLOTS, black_box(&mixed))),
        ];
        println!("| {count} | {} |", cells.join(" | "));
    }
}

fn timed(build: impl Fn(u64) -> Ring) -> String {
    let mut times: Vec<Duration> = (0..100)
        .map(|turn| {
            let start = Instant::now();
            black_box(build(turn));
            start.elapsed()
        })
        .collect();
    times.sort_unstable();
    format!("{} / {}", times[0].as_micros(), times[50].as_micros())
}

fn site() {
    let servers = |service: usize| (0..100).map(move |number| format!("web{number}-{service}"));
    let services: Vec<Vec<String>> = (0..1000).map(|service| servers(service).collect()).collect();
    let start = Instant::now();
    for names in &services {
        black_box(build(&key(1), SLOTS, &members(names, |_| 1)));
    }
    println!("\n1000 services of 100 servers, hash, equal: {:.2} s", start.elapsed().as_secs_f64());
}

/// Per cent of the slots whose member has another name in the other ring.
fn moved(key: &RingKey, slots: u32, old: &[Member<'_>], new: &[Member<'_>]) -> f64 {
    let (before, after) = (build(key, slots, old), build(key, slots, new));
    let pairs = before.slots.iter().zip(&after.slots);
    let moved = pairs.filter(|(o, n)| old[usize::from(**o)].name != new[usize::from(**n)].name).count();
    100.0 * moved as f64 / f64::from(slots)
}

fn summary(mut figures: Vec<f64>) -> String {
    figures.sort_unstable_by(f64::total_cmp);
    let mean = figures.iter().sum::<f64>() / figures.len() as f64;
    format!("{mean:.2} | {:.2} | {:.2}", figures[figures.len() * 99 / 100], figures[figures.len() - 1])
}

fn disruption(names: &[String]) {
    println!("\nper cent of the slots moved beyond 1/N when one of N equal members leaves or joins");
    println!("| N | 1/N | mean | 99 of 100 below | most |");
    let mut over_all: (f64, usize) = (0.0, 0);
    for count in 2..=100 {
        let all = members(&names[..count], |_| 1);
        let keys = if ROWS.contains(&count) { 100 } else { 10 };
        let figures: Vec<f64> = (0..keys)
            .map(|number| {
                let mut fewer = all.clone();
                fewer.remove(number as usize * 7 % count);
                moved(&key(number), SLOTS, &all, &fewer) - 100.0 / count as f64
            })
            .collect();
        let most = figures.iter().copied().fold(0.0, f64::max);
        over_all = if most > over_all.0 { (most, count) } else { over_all };
        if ROWS.contains(&count) {
            println!("| {count} | {:.2} | {} |", 100.0 / count as f64, summary(figures));
        }
    }
    println!("most of all N in 2..=100: {:.2} at N = {}", over_all.0, over_all.1);
}

const ROWS: [usize; 13] = [2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 50, 75, 100];

fn weight_changes(names: &[String]) {
    println!(
        "\nper cent of the slots moved when one of N members of weight 10 gets another weight, mean of 20 keys"
    );
    println!("| N | weight | must move | moved |");
    for count in [3, 10, 100] {
        for weight in [0, 5, 9, 11, 20] {
            let old = members(&names[..count], |_| 10);
            let new = members(&names[..count], |at| if at == count / 2 { weight } else { 10 });
            let share = |weight: f64| 100.0 * weight / (10.0 * (count as f64 - 1.0) + weight);
            let must = (share(f64::from(weight)) - share(10.0)).abs();
            let sum: f64 = (0..20).map(|number| moved(&key(number), SLOTS, &old, &new)).sum();
            println!("| {count} | {weight} | {must:.2} | {:.2} |", sum / 20.0);
        }
    }
}

fn unlucky_keys(names: &[String]) {
    println!("\nthe same for few members and 2000 keys");
    println!("| N | mean | 99 of 100 below | most | keys above 1 % |");
    for count in [2, 3, 4, 5, 6, 8, 10] {
        let all = members(&names[..count], |_| 1);
        let figures: Vec<f64> = (1000..3000)
            .map(|number| moved(&key(number), SLOTS, &all, &all[..count - 1]) - 100.0 / count as f64)
            .collect();
        let above = figures.iter().filter(|figure| **figure > 1.0).count();
        println!("| {count} | {} | {above} |", summary(figures));
    }
}

fn sizes(names: &[String]) {
    println!("\nthe same for rings of other sizes, 20 keys");
    println!("| slots | N | mean | 99 of 100 below | most |");
    for slots in [251, 1021, 4093, 16_381, SLOTS, 262_139, 1_048_573] {
        for count in [3, 10, 100] {
            let all = members(&names[..count], |_| 1);
            let figures: Vec<f64> = (0..20)
                .map(|number| moved(&key(number), slots, &all, &all[1..]) - 100.0 / count as f64)
                .collect();
            println!("| {slots} | {count} | {} |", summary(figures));
        }
    }
}

/// Greatest distance of a member's count from its due over all runs of that many turns.
fn unevenness(ring: &Ring, stride: usize, run: usize, members: &[Member<'_>]) -> f64 {
    let at = |turn: usize| usize::from(ring.slots[turn * stride % ring.slots.len()]);
    let sum: f64 = members.iter().map(|member| f64::from(member.weight)).sum();
    let mut counts = vec![0; members.len()];
    (0..run).for_each(|turn| counts[at(turn)] += 1);
    let mut worst: f64 = 0.0;
    for turn in 0..ring.slots.len() {
        counts[at(turn)] -= 1;
        counts[at(turn + run)] += 1;
        for member in [at(turn), at(turn + run)] {
            let due = run as f64 * f64::from(members[member].weight) / sum;
            worst = worst.max((f64::from(counts[member]) - due).abs());
        }
    }
    worst
}

fn turns(names: &[String]) {
    println!(
        "\ngreatest distance of a member's count from its due in any run of 100 and of 1000 turns, 10 members"
    );
    println!("| ring | stride | equal, 100 | equal, 1000 | mixed, 100 | mixed, 1000 |");
    let names = &names[..10];
    let weights = [members(names, |_| 1), members(names, mixed)];
    for (word, in_turn) in [("hash", false), ("round robin", true)] {
        for stride in [1, 2, 257, 25_033, 40_504, 65_536] {
            let cells = weights.each_ref().map(|members| {
                let hashed = || build(&key(1), SLOTS, members);
                let ring = if in_turn { build_in_turn(SLOTS, members) } else { hashed() };
                [100, 1000].map(|run| format!("{:.1}", unevenness(&ring, stride, run, members))).join(" | ")
            });
            println!("| {word} | {stride} | {} |", cells.join(" | "));
        }
    }
}
