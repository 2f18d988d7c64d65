//! The simulator: everything that it does is in `geminus-sim`; this builds it and starts it.

use std::process::Command;

use anyhow::Result;
use clap::Args;

use crate::command;
use crate::workspace::Workspace;

/// Schedules of floor 2: under two minutes on two cores that have nothing else to do.
pub(crate) const SCHEDULES: &str = "100000";

/// What to play.
#[derive(Debug, Args)]
pub(crate) struct Wanted {
    /// The first seed.
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
    /// How many schedules, each of the seed after.
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    schedules: u64,
    /// Tell the story of the first seed alone.
    #[arg(long)]
    trace: bool,
    /// Instead: compare ways to balance content hosts that are not alike.
    #[arg(long)]
    loads: bool,
    /// Stop after so many minutes.
    #[arg(long, value_name = "M")]
    minutes: Option<u64>,
    /// Instead: count takeovers for nothing in so many days of loss.
    #[arg(long, value_name = "D")]
    days: Option<u64>,
    /// Loss on each path and in each direction, in percent.
    #[arg(long, value_name = "PERCENT", default_value_t = 30)]
    loss: u64,
    /// Paths.
    #[arg(long, value_name = "N", default_value_t = 2)]
    paths: u64,
    /// `default` or `fast`.
    #[arg(long, value_name = "PROFILE", default_value = "default")]
    profile: String,
}

/// Builds the simulator with the optimiser and hands it its words.
pub(crate) fn sim(workspace: &Workspace, wanted: &Wanted) -> Result<()> {
    command::run(workspace.cargo().args(["build", "--release", "--package", "geminus-sim"]))?;
    let mut sim = Command::new(workspace.release_binary("geminus-sim"));
    sim.arg(format!("--seed={}", wanted.seed));
    if let Some(days) = wanted.days {
        sim.arg(format!("--days={days}"));
        sim.arg(format!("--loss={}", wanted.loss)).arg(format!("--paths={}", wanted.paths));
        sim.arg(format!("--profile={}", wanted.profile));
    } else {
        sim.arg(format!("--schedules={}", wanted.schedules));
    }
    if wanted.loads {
        sim.arg("--loads");
    }
    if wanted.trace {
        sim.arg("--trace");
    }
    if let Some(minutes) = wanted.minutes {
        sim.arg(format!("--minutes={minutes}"));
    }
    command::run(&mut sim)
}
