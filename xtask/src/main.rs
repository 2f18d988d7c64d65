//! Every automation of the project, so that there is one way to do each thing and CI only calls it.
//!
//! `cargo xtask setup` finds or installs what a build, the tests and the demo need; the other commands call it
//! first. What to install is decided in `setup::plan` from facts alone; everything else here starts programs.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a terminal is what this program talks to")]

mod bench;
mod ci;
mod command;
mod demo;
mod faults;
mod floors;
mod fuzz;
mod setup;
mod sim;
mod stolen;
mod tally;
mod workspace;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::floors::Floor;
use crate::setup::Scope;
use crate::workspace::Workspace;

/// Set up, test, check and show Geminus.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Find or install what the build, the tests and the demo need.
    Setup {
        /// Only tell what is missing; exit code 1 when something is.
        #[arg(long)]
        check: bool,
    },
    /// Run every test floor in order, or one of them.
    Test {
        /// Only this floor: 1 units and laws, 2 simulation, 3 kernel, 4 lab (3 and 4 need root).
        #[arg(long, value_name = "N")]
        floor: Option<Floor>,
    },
    /// Let whole sites go wrong on a virtual clock; a broken law is told with its seed and its shortest story.
    Sim(sim::Wanted),
    /// Let libFuzzer look for answers of servers that break a parser of theirs.
    Fuzz(fuzz::Wanted),
    /// What CI runs: format, lints, documentation, then every test floor.
    Ci,
    /// Balance a site of real content hosts inside network namespaces and write a report (needs root).
    Demo {
        /// Where the HTML report goes [default: demo.html in the target directory]
        #[arg(long, value_name = "PATH")]
        report: Option<PathBuf>,
        /// Shorter measurements.
        #[arg(long)]
        fast: bool,
    },
    /// Let two dispatchers meet the cases of the fault list and write docs/faults.md (needs root).
    Faults {
        /// Which cases, such as `A5` [default: all]
        #[arg(value_name = "ID")]
        only: Vec<String>,
        /// Runs and times as the fault list has them: hours instead of minutes.
        #[arg(long)]
        full: bool,
    },
    /// Measure what Geminus costs: a packet, a line of packets, the control plane (needs root).
    #[command(args_conflicts_with_subcommands = true)]
    Bench {
        #[command(subcommand)]
        beside: Option<Beside>,
        /// Only the packet paths that figures were promised for; a minute instead of several.
        #[arg(long, conflicts_with = "write")]
        quick: bool,
        /// Write docs/benchmarks.md.
        #[arg(long)]
        write: bool,
        /// Write the figures as JSON to this file.
        #[arg(long, value_name = "PATH")]
        json: Option<PathBuf>,
    },
    /// Check licences, advisories, bans and sources with cargo-deny, installing it first if it is missing.
    Deny {
        /// Which checks to run [default: all]; `advisories` needs the network.
        #[arg(value_name = "CHECK")]
        checks: Vec<String>,
    },
}

/// What is measured beside something else.
#[derive(Subcommand)]
enum Beside {
    /// Let the same faults happen to Geminus and to keepalived and write docs/failover.md (needs root).
    Failover {
        /// Trials of each fault and product; those that take long get fewer [default: 6, about ten minutes in all]
        #[arg(long, value_name = "N")]
        runs: Option<u32>,
        /// Two trials of each and little loss, and docs/failover.md stays as it is.
        #[arg(long, conflicts_with = "runs")]
        quick: bool,
    },
}

fn main() -> ExitCode {
    match perform(Arguments::parse().task) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn perform(task: Task) -> Result<()> {
    let mut workspace = Workspace::find()?;
    match task {
        Task::Setup { check: true } => setup::check(&workspace),
        Task::Setup { check: false } => setup::ensure(&mut workspace, Scope::Everything),
        Task::Test { floor } => floors::test(&mut workspace, floor),
        Task::Sim(wanted) => sim::sim(&workspace, &wanted),
        Task::Fuzz(wanted) => fuzz::fuzz(&workspace, &wanted),
        Task::Ci => ci::check_and_test(&mut workspace),
        Task::Demo { report, fast } => demo::demo(&mut workspace, report, fast),
        Task::Faults { only, full } => faults::faults(&mut workspace, &only, full),
        Task::Bench { beside: Some(Beside::Failover { runs, quick }), .. } => {
            bench::failover(&mut workspace, runs, quick)
        }
        Task::Bench { beside: None, quick, write, json } => {
            bench::bench(&mut workspace, &bench::Wanted { quick, write, json })
        }
        Task::Deny { checks } => ci::deny(&workspace, &checks),
    }
}
