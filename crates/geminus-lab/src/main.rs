//! `geminus-lab`: the demonstration.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use geminus_lab::demo::{self, Options};
use geminus_lab::undo;

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
    let Verb::Demo { geminus, report, fast } = verb;
    demo::run(&Options { geminus, report, fast })
}

#[allow(clippy::print_stderr, reason = "the last word of a program that failed")]
fn fail(error: &anyhow::Error) -> ExitCode {
    eprintln!("geminus-lab: {error:#}");
    ExitCode::FAILURE
}
