//! `geminus`: the daemon and every client verb.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "the terminal is this crate's job")]

mod ability;
mod args;
mod client;
mod failure;
mod figures;
mod host;
mod netlink;
mod screen;
mod table;
mod verbs;

use std::process::ExitCode;

use clap::Parser;

use crate::args::{Cli, Verb};
use crate::failure::{Exit, Failure};
use crate::screen::Look;
use crate::verbs::{change, check, events, explain, flows, key, manual, run, servers, status};

fn main() -> ExitCode {
    let cli = Cli::parse();
    let exit = perform(&cli).unwrap_or_else(|failure| {
        eprint!("{}", failure.text(Look::of_stderr(cli.color)));
        failure.exit
    });
    ExitCode::from(exit.code())
}

fn perform(cli: &Cli) -> Result<Exit, Failure> {
    let look = Look::of_stdout(cli.color);
    match &cli.verb {
        Verb::Run(args) => run::run(args),
        Verb::Check(args) => check::run(args, look),
        Verb::Status(args) => status::run(args, look),
        Verb::Servers(args) => servers::run(args, look),
        Verb::Flows(args) => flows::run(args, look),
        Verb::Explain(args) => explain::run(args, look),
        Verb::Drain(args) => change::drain(args, look),
        Verb::Undrain(args) => change::undrain(args, look),
        Verb::Weight(args) => change::weight(args, look),
        Verb::Takeover(args) => change::takeover(args, look),
        Verb::Reload(args) => change::reload(args, look),
        Verb::Events(args) => events::run(args, look, Look::of_stderr(cli.color)),
        Verb::Host(args) => host::run(args, look),
        Verb::Key(args) => key::run(args),
        Verb::Completions { shell } => manual::completions(*shell),
        Verb::Man { dir } => manual::man(dir.as_deref()),
    }
}
