//! `geminus-bench`: what Geminus costs.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "figures are for the terminal")]

#[path = "../../geminus-ebpf-bench/src/case.rs"]
mod case;
mod feeder;
mod frame;
mod packet;
mod path;
mod stage;

use anyhow::{Context as _, Result};
use clap::Parser;
use rustix::thread::{CpuSet, sched_setaffinity};

use crate::packet::{Effort, Row};

/// Measures what one packet costs, path by path.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// Only the paths that figures were promised for, in a few seconds.
    #[arg(long)]
    quick: bool,
    /// Only paths whose name has this in it.
    #[arg(long, default_value = "")]
    only: String,
    /// The CPU to measure on.
    #[arg(long, default_value_t = 1)]
    cpu: usize,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let mut cpus = CpuSet::new();
    cpus.set(arguments.cpu);
    sched_setaffinity(None, &cpus).with_context(|| format!("cannot run on CPU {}", arguments.cpu))?;
    // Without the privilege the figures are noisier, not wrong.
    let _ = rustix::process::nice(-20);
    let only = arguments.only;
    let effort = match arguments.quick {
        true => Effort { only, quick: true, passes: 2, batches: 6 },
        false => Effort { only, quick: false, passes: 6, batches: 10 },
    };
    let rows = packet::measure(&effort, |line| eprintln!("{line}"))?;
    print(&rows);
    Ok(())
}

fn print(rows: &[Row]) {
    println!("{:<50} {:>5} {:>6} | {:>5} {:>6} | {:>5} {:>6} | target", "ns a packet", "net", "median", "gross", "median", "empty", "median");
    for row in rows {
        let target = row.target.map_or(String::new(), |target| {
            format!("{target} {}", if row.net.min <= target as f64 { "met" } else { "MISSED" })
        });
        let reasons: Vec<_> = row.reasons.iter().map(|(name, share)| format!("{name} {share:.1}")).collect();
        println!(
            "{:<50} {:>5} {:>6} | {:>5} {:>6} | {:>5} {:>6} | {target:<10} {}",
            row.path, row.net.min, row.net.median, row.gross.min, row.gross.median, row.empty.min, row.empty.median, reasons.join(", ")
        );
    }
}
