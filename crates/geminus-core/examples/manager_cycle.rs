//! How long a cycle of the manager takes: `cargo run --release -p geminus-core --example manager_cycle [SERVERS]`.
#![allow(clippy::print_stdout, reason = "a terminal is what this program talks to")]

use std::time::Instant;

use geminus_core::manager::{Manager, Readings};
use geminus_core::model;

const CYCLES: u64 = 1000;

fn main() {
    let servers = std::env::args().nth(1).and_then(|word| word.parse().ok()).unwrap_or(1000);
    let mut manager = Manager::new(model::Manager::default());
    let mut times = Vec::new();
    for cycle in 0..CYCLES {
        let pool: Vec<Readings> = (0..servers).map(|server| reading(server, cycle)).collect();
        let begun = Instant::now();
        let found = manager.cycle(&pool);
        times.push(begun.elapsed());
        assert_eq!(found.weights.len(), pool.len());
    }
    times.sort_unstable();
    let at = |part: usize| times[(times.len() - 1) * part / 100];
    println!("{servers} servers, {CYCLES} cycles: median {:?}, p90 {:?}, most {:?}", at(50), at(90), at(100));
}

/// All four inputs, other ones each cycle.
fn reading(server: u64, cycle: u64) -> Readings {
    Readings {
        identity: (server + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15),
        configured: 10,
        fixed: false,
        serving: true,
        active: Some((server + cycle) % 90),
        new: Some((server + cycle * 3) % 50),
        latency: Some(2_000 + (server * 7 + cycle * 13) % 40_000),
        load: u16::try_from((server * 31 + cycle * 17) % 1000).ok(),
    }
}
