//! What Geminus costs and what its takeovers are like: everything that is measured is in `geminus-bench` and
//! `geminus-lab`; this builds them and starts them.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use crate::command;
use crate::floors::{build_binaries, heading};
use crate::setup::{self, Scope};
use crate::workspace::Workspace;

/// What to measure, and where the figures go besides the terminal.
pub(crate) struct Wanted {
    /// Only the packet paths that figures were promised for.
    pub(crate) quick: bool,
    /// Rewrite `docs/benchmarks.md`.
    pub(crate) write: bool,
    /// A file for programs.
    pub(crate) json: Option<PathBuf>,
}

/// Builds the binary and the benchmark, and lets the one measure the other.
pub(crate) fn bench(workspace: &mut Workspace, wanted: &Wanted) -> Result<()> {
    setup::require_privileges("the benchmark's network namespaces and BPF programs")?;
    setup::ensure(workspace, Scope::Everything)?;

    heading("building the release binary and the benchmark");
    command::run(workspace.release_cargo("build").args(["--package", "geminus-bench"]))?;

    heading("bench");
    let mut bench = Command::new(workspace.release_binary("geminus-bench"));
    bench.env("PATH", command::search_path());
    bench.arg("--geminus").arg(workspace.release_binary("geminus"));
    if wanted.quick {
        bench.arg("--quick");
    }
    if wanted.write {
        bench.arg("--write").arg(workspace.root.join("docs/benchmarks.md"));
    }
    if let Some(json) = &wanted.json {
        bench.arg("--json").arg(json);
    }
    command::run(&mut bench)
}

/// Builds the binary and the lab, and lets the lab do the same to the one and to keepalived.
pub(crate) fn failover(workspace: &mut Workspace, runs: Option<u32>, quick: bool) -> Result<()> {
    setup::require_privileges("the measurement's network namespaces and BPF programs")?;
    setup::ensure(workspace, Scope::Everything)?;

    heading("building the release binary and the lab");
    build_binaries(workspace)?;

    heading("bench failover");
    let mut lab = Command::new(workspace.release_binary("geminus-lab"));
    lab.env("PATH", command::search_path()).arg("versus");
    lab.arg("--geminus").arg(workspace.release_binary("geminus"));
    lab.arg("--json").arg(workspace.target.join("failover.json"));
    if quick {
        lab.args(["--runs", "2", "--loss", "10"]);
    } else {
        lab.arg("--page").arg(workspace.root.join("docs/failover.md"));
        lab.args(runs.map(|runs| format!("--runs={runs}")));
    }
    command::run(&mut lab)
}
