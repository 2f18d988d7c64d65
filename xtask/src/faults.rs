//! The fault list: every case is in `geminus-lab`; this builds it, starts it, and says where the results go.

use std::process::Command;

use anyhow::Result;

use crate::command;
use crate::floors::{build_binaries, heading};
use crate::setup::{self, Scope};
use crate::workspace::Workspace;

/// Builds the binary and the lab, and lets the one meet the faults of the other.
pub(crate) fn faults(workspace: &mut Workspace, only: &[String], full: bool) -> Result<()> {
    setup::require_privileges("the faults' network namespaces and BPF programs")?;
    setup::ensure(workspace, Scope::Everything)?;

    heading("building the release binary and the lab");
    build_binaries(workspace)?;

    heading("faults");
    let mut lab = Command::new(workspace.release_binary("geminus-lab"));
    lab.env("PATH", command::search_path()).arg("faults");
    lab.arg("--geminus").arg(workspace.release_binary("geminus"));
    lab.arg("--results").arg(workspace.target.join("faults.jsonl"));
    lab.arg("--page").arg(workspace.root.join("docs/faults.md"));
    if full {
        lab.arg("--full");
    }
    command::run(lab.args(only))
}
