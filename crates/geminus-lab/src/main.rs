//! `geminus-lab`: the demonstration, the faults, and failover measured beside keepalived.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use clap::{Parser, Subcommand};
use geminus_lab::faults::{self, ground::Ground};
use geminus_lab::{demo, undo, versus};

/// Geminus in a real kernel: network namespaces, real clients, real servers.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Show every promise with figures, on the terminal and in a report; exit code 1 if one was not kept.
    Demo {
        /// The binary to demonstrate.
        #[arg(long, value_name = "PATH", default_value = "target/release/geminus")]
        geminus: PathBuf,
        /// Where the report goes.
        #[arg(long, value_name = "PATH", default_value = "demo.html")]
        report: PathBuf,
        /// Half the time, a quarter of the traffic.
        #[arg(long)]
        fast: bool,
    },
    /// Let a pair of dispatchers meet faults and write down what it did; exit code 1 if a figure is beyond its bound.
    Faults {
        /// Which cases of the fault list, such as `A5` [default: all].
        #[arg(value_name = "ID")]
        only: Vec<String>,
        /// The binary under test.
        #[arg(long, value_name = "PATH", default_value = "target/release/geminus")]
        geminus: PathBuf,
        /// The file that gets a line of JSON for each case.
        #[arg(long, value_name = "PATH", default_value = "target/faults.jsonl")]
        results: PathBuf,
        /// The page to make from all lines in it [default: none].
        #[arg(long, value_name = "PATH")]
        page: Option<PathBuf>,
        /// Runs and times as the fault list has them: hours instead of minutes.
        #[arg(long)]
        full: bool,
    },
    /// Let the same faults happen to Geminus and to keepalived, and write what clients felt.
    Versus {
        /// The binary to measure.
        #[arg(long, value_name = "PATH", default_value = "target/release/geminus")]
        geminus: PathBuf,
        /// Trials of each fault and product; those that take long get fewer.
        #[arg(long, value_name = "N", default_value_t = 6, value_parser = clap::value_parser!(u32).range(1..=1000))]
        runs: u32,
        /// How long frames are lost, for each share of them.
        #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=3600))]
        loss: u64,
        /// Only products whose name contains this: geminus-fast, geminus-default, keepalived-10ms, -100ms, -1s.
        #[arg(long, value_name = "WORD")]
        only: Option<String>,
        /// Where the page goes.
        #[arg(long, value_name = "PATH")]
        page: Option<PathBuf>,
        /// Where the figures go.
        #[arg(long, value_name = "PATH")]
        json: Option<PathBuf>,
    },
}

fn main() -> ExitCode {
    let result = play(Arguments::parse().verb);
    undo::leave_to_signal();
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => fail(&error),
    }
}

fn play(verb: Verb) -> Result<bool> {
    match verb {
        Verb::Demo { geminus, report, fast } => demo::run(&demo::Options { geminus, report, fast }),
        Verb::Faults { only, geminus, results, page, full } => {
            let ground = Ground { binary: geminus, full, quick: false };
            faults::run(&faults::Options { ground, only, results, page })
        }
        Verb::Versus { geminus, runs, loss, only, page, json } => {
            let loss = Duration::from_secs(loss);
            versus::run(&versus::Options { geminus, runs, loss, only, page, json }).map(|()| true)
        }
    }
}

#[allow(clippy::print_stderr, reason = "the last word of a program that failed")]
fn fail(error: &anyhow::Error) -> ExitCode {
    eprintln!("geminus-lab: {error:#}");
    ExitCode::FAILURE
}
