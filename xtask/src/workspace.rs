//! The checkout this program belongs to, and how cargo is called in it.

use std::collections::BTreeSet;
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
    /// The test targets that require the feature `privileged`, as their manifests declare them.
    pub(crate) privileged_tests: Vec<PrivilegedTest>,
    /// The compiler for the BPF program where the active one has no `rust-src` beside it; set by the set-up.
    pub(crate) bpf_compiler: Option<PathBuf>,
}

/// The packages whose binaries the lab and the demo run.
const RELEASE_PACKAGES: [&str; 2] = ["geminus", "geminus-lab"];

/// A test target that needs root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PrivilegedTest {
    /// The member it belongs to.
    pub(crate) package: String,
    /// Its name, for `cargo test --test`.
    pub(crate) name: String,
}

/// The feature that privileged test targets require, so that a plain `cargo test` builds none of them.
pub(crate) const PRIVILEGED: &str = "privileged";

impl Workspace {
    /// Asks cargo, which knows `CARGO_TARGET_DIR` and every configuration file.
    pub(crate) fn find() -> Result<Self> {
        // What cargo says at run time comes first: checkouts that share a target directory share this binary too.
        let own = env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
        let manifest = Path::new(&own).join("Cargo.toml");
        let mut ask = Command::new(cargo_program());
        ask.args(["metadata", "--no-deps", "--offline", "--format-version=1", "--manifest-path"])
            .arg(&manifest);
        let metadata: Value =
            serde_json::from_str(&command::capture(&mut ask)?).context("what cargo metadata printed")?;
        let path = |name: &str| {
            let text = metadata[name].as_str();
            text.map(PathBuf::from).with_context(|| format!("cargo metadata names no {name}"))
        };
        Ok(Self {
            root: path("workspace_root")?,
            target: path("target_directory")?,
            privileged_tests: privileged_tests(&metadata),
            bpf_compiler: None,
        })
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

    /// Cargo for the release profile, always with the same packages and features, so that the binary, the lab and the
    /// privileged tests share every artefact. [`PRIVILEGED`] only admits test targets, it changes no code.
    pub(crate) fn release_cargo(&self, verb: &str) -> Command {
        let with_tests = self.privileged_tests.iter().map(|test| test.package.as_str());
        let packages: BTreeSet<&str> = RELEASE_PACKAGES.into_iter().chain(with_tests).collect();
        let mut cargo = self.cargo();
        cargo.args([verb, "--release", "--features", PRIVILEGED]);
        cargo.args(packages.into_iter().flat_map(|package| ["--package", package]));
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

/// Every target of kind `test` whose `required-features` name [`PRIVILEGED`].
fn privileged_tests(metadata: &Value) -> Vec<PrivilegedTest> {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let names = |value: &Value, name: &str| list(value).iter().any(|one| one == name);
    let mut tests = Vec::new();
    for package in list(&metadata["packages"]) {
        for target in list(&package["targets"]) {
            let wanted = names(&target["kind"], "test") && names(&target["required-features"], PRIVILEGED);
            if let (true, Some(name), Some(package)) =
                (wanted, target["name"].as_str(), package["name"].as_str())
            {
                tests.push(PrivilegedTest { package: package.to_owned(), name: name.to_owned() });
            }
        }
    }
    tests
}

fn cargo_program() -> std::ffi::OsString {
    env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_target_is_privileged_when_its_manifest_says_so() {
        let metadata = serde_json::json!({ "packages": [
            { "name": "kernel", "targets": [
                { "name": "kernel", "kind": ["lib"] },
                { "name": "differential", "kind": ["test"], "required-features": ["privileged"] },
                { "name": "layout", "kind": ["test"] },
            ]},
            { "name": "pure", "targets": [{ "name": "laws", "kind": ["test"], "required-features": ["std"] }] },
        ]});
        let wanted = PrivilegedTest { package: "kernel".into(), name: "differential".into() };
        assert_eq!(privileged_tests(&metadata), [wanted]);
    }
}
