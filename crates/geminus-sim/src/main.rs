//! Plays schedules.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a terminal is what this program talks to")]

use geminus_core::ha::Ha;
use geminus_sim::Schedule;
use std::collections::BTreeMap;

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let seed: u64 = args[1].parse().expect("seed");
    let count: u64 = args[2].parse().expect("count");
    if count == 1 {
        let schedule = Schedule::of(seed).shrunk::<Ha>();
        println!("{:#?}", schedule.shape);
        for fault in &schedule.faults {
            println!("{fault}");
        }
        let outcome = schedule.play::<Ha>(true);
        for line in &outcome.trace {
            println!("{line}");
        }
        println!("peace {} {:?}", schedule.peace, outcome.broken);
        return;
    }
    let begun = std::time::Instant::now();
    let mut events = 0;
    let mut lasted = 0;
    let mut by_law: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
    for seed in seed..seed + count {
        let outcome = Schedule::of(seed).play::<Ha>(false);
        events += outcome.events;
        lasted += outcome.lasted;
        if let Some(broken) = outcome.broken {
            by_law.entry(broken.law).or_default().push(seed);
        }
    }
    println!(
        "{count} schedules, {events} events, {} virtual s, {:?}",
        lasted / 1_000_000_000,
        begun.elapsed()
    );
    for (law, seeds) in by_law {
        println!("{law}: {} {:?}", seeds.len(), &seeds[..seeds.len().min(8)]);
    }
}
