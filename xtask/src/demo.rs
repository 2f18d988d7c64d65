//! The demonstration: everything it shows is in `geminus-lab`; this builds it and starts it.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use crate::command;
use crate::floors::{build_binaries, heading};
use crate::setup::{self, Scope};
use crate::workspace::Workspace;

/// Builds the binary and the lab, and lets the lab demonstrate the one with the other.
pub(crate) fn demo(workspace: &mut Workspace, report: Option<PathBuf>, fast: bool) -> Result<()> {
    setup::require_privileges("the demo's network namespaces and BPF programs")?;
    setup::ensure(workspace, Scope::Everything)?;

    heading("building the release binary and the lab");
    build_binaries(workspace)?;

    heading("demo");
    let mut lab = Command::new(workspace.release_binary("geminus-lab"));
    lab.env("PATH", command::search_path()).arg("demo");
    lab.arg("--geminus").arg(workspace.release_binary("geminus"));
    lab.arg("--report").arg(report.unwrap_or_else(|| workspace.target.join("demo.html")));
    if fast {
        lab.arg("--fast");
    }
    command::run(&mut lab)
}
