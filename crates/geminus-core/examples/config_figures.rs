//! Measures the configuration parser on a large site, 1 000 clusters of 100 servers unless told otherwise:
//! `cargo run --release -p geminus-core --example config_figures [CLUSTERS SERVERS [--print]]`

#![allow(clippy::print_stdout, reason = "figures are for the terminal")]

use std::time::{Duration, Instant};

#[path = "../tests/config_large/site.rs"]
mod site;

const RUNS: usize = 5;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |index: usize, default: u32| arguments.get(index).map_or(Ok(default), |text| text.parse());
    let text = site::large_site(number(0, 1000)?, number(1, 100)?);
    if arguments.iter().any(|argument| argument == "--print") {
        print!("{text}");
        return Ok(());
    }
    let wrong = text.replace("weight = 10 ", "weigth = 10 ");
    println!("{:.1} MiB", text.len() as f64 / f64::from(1 << 20));
    println!("parse          {:?}", best(|| geminus_core::config::parse(&text, "large.toml").is_ok()));
    println!("all errors     {:?}", best(|| geminus_core::config::parse(&wrong, "large.toml").is_err()));
    let parsed = geminus_core::config::parse(&text, "large.toml")?;
    println!("digest         {:?}", best(|| geminus_core::config::digest(&parsed) != [0; 32]));
    Ok(())
}

/// The shortest of a few runs: the others measure the machine.
fn best(run: impl Fn() -> bool) -> Duration {
    let timed = |_| {
        let start = Instant::now();
        assert!(run());
        start.elapsed()
    };
    (0..RUNS).map(timed).min().unwrap_or_default()
}
