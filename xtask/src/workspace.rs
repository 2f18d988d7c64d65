//! The checkout this program belongs to, and how cargo is called in it.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::command;

/// The checkout and its build output.
pub(crate) struct Workspace {
    /// The directory of the workspace's `Cargo.toml`.
    pub(crate) root: PathBuf,
    /// Cargo's target directory, wherever the environment or the configuration puts it.
    pub(crate) target: PathBuf,
    /// The compiler for the BPF program where the active one has no `rust-src` beside it; set by the set-up.
    pub(crate) bpf_compiler: Option<PathBuf>,
}

impl Workspace {
    /// Asks cargo, which knows `CARGO_TARGET_DIR` and every configuration file.
    pub(crate) fn find() -> Result<Self> {
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
        let mut ask = Command::new(cargo_program());
        ask.args(["metadata", "--no-deps", "--offline", "--format-version=1", "--manifest-path"])
            .arg(&manifest);
        let metadata: Value =
            serde_json::from_str(&command::capture(&mut ask)?).context("what cargo metadata printed")?;
        let path = |name: &str| {
            let text = metadata[name].as_str();
            text.map(PathBuf::from).with_context(|| format!("cargo metadata names no {name}"))
        };
        Ok(Self { root: path("workspace_root")?, target: path("target_directory")?, bpf_compiler: None })
    }

    /// Cargo in this checkout, with administration programs in reach.
    pub(crate) fn cargo(&self) -> Command {
        let mut cargo = Command::new(cargo_program());
        cargo.current_dir(&self.root).env("PATH", command::search_path());
        if let Some(compiler) = &self.bpf_compiler {
            cargo.env("GEMINUS_BPF_RUSTC", compiler);
        }
        cargo
    }

    /// Where programs that only the project needs are installed; the data plane's build script looks here first.
    pub(crate) fn tools(&self) -> PathBuf {
        self.target.join("tools")
    }

    /// A binary of the release profile, which the lab and the demo run.
    pub(crate) fn release_binary(&self, name: &str) -> PathBuf {
        self.target.join("release").join(name)
    }
}

fn cargo_program() -> std::ffi::OsString {
    env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}
