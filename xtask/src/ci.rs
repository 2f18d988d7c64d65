//! What must hold before a change lands.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::command;
use crate::floors::{self, heading};
use crate::setup::{self, Scope};
use crate::workspace::Workspace;

/// Format, lints and documentation, then every test floor.
pub(crate) fn check_and_test(workspace: &mut Workspace) -> Result<()> {
    setup::require_privileges("the kernel and lab floors, which CI runs,")?;
    setup::ensure(workspace, Scope::Everything)?;
    let programs = bpf_manifests(workspace)?;

    heading("format");
    command::run(workspace.cargo().args(["fmt", "--all", "--check"]))?;
    for manifest in &programs {
        command::run(workspace.cargo().args(["fmt", "--check", "--manifest-path"]).arg(manifest))?;
    }

    heading("lints");
    command::run(workspace.cargo().args(LINTS))?;
    if workspace.bpf_compiler.is_some() {
        bail!(
            "the BPF program's lints need rust-src beside the active compiler: `rustup component add rust-src`"
        );
    }
    for manifest in &programs {
        command::run(&mut bpf_lints(workspace, manifest))?;
    }

    heading("documentation");
    command::run(workspace.cargo().env("RUSTDOCFLAGS", "-D warnings").args(DOCUMENTATION))?;

    floors::test(workspace, None)
}

const LINTS: [&str; 7] = ["clippy", "--workspace", "--all-targets", "--all-features", "--", "-D", "warnings"];

/// The manifests of the BPF programs; they are no members of the workspace because they build for another target.
fn bpf_manifests(workspace: &Workspace) -> Result<Vec<PathBuf>> {
    let crates = workspace.root.join("crates");
    let mut manifests = Vec::new();
    for entry in fs::read_dir(&crates).with_context(|| format!("the directory {}", crates.display()))? {
        let entry = entry.with_context(|| format!("the directory {}", crates.display()))?;
        let manifest = entry.path().join("Cargo.toml");
        if entry.file_name().to_string_lossy().starts_with("geminus-ebpf") && manifest.exists() {
            manifests.push(manifest);
        }
    }
    manifests.sort();
    if manifests.is_empty() {
        bail!("no BPF program below {}", crates.display());
    }
    Ok(manifests)
}

/// A BPF program's lints, with the `core` that is built for it; `build-std` is why a stable compiler is told that it
/// may.
fn bpf_lints(workspace: &Workspace, manifest: &Path) -> Command {
    let mut cargo = workspace.cargo();
    cargo.env("RUSTC_BOOTSTRAP", "1").env("CARGO_TARGET_DIR", workspace.target.join("bpf-lints"));
    cargo
        .args(["clippy", "-Z", "build-std=core", "--target", "bpfel-unknown-none", "--manifest-path"])
        .arg(manifest);
    cargo.args(["--", "-D", "warnings"]);
    cargo
}

/// Every library; a binary of the same name as its library would overwrite the library's pages.
const DOCUMENTATION: [&str; 4] = ["doc", "--workspace", "--no-deps", "--all-features"];

/// cargo-deny over `deny.toml`. Not a part of CI: its advisories come from the network, and a check that cannot run
/// is not green.
pub(crate) fn deny(workspace: &Workspace, checks: &[String]) -> Result<()> {
    let installed = workspace.tools().join("bin/cargo-deny");
    let program = command::find_program("cargo-deny").unwrap_or(installed);
    if !program.exists() {
        println!(
            "deny: installing cargo-deny from crates.io into {} (some minutes)",
            workspace.tools().display()
        );
        let mut install = workspace.cargo();
        install.args(["install", "cargo-deny", "--locked", "--root"]).arg(workspace.tools());
        command::run(install.env("CARGO_TARGET_DIR", workspace.tools().join("build")))?;
    }
    let mut check = Command::new(program);
    command::run(check.current_dir(&workspace.root).arg("check").args(checks))
}
