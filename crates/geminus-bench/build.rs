//! Builds the feeding program and the yardsticks, as `geminus-dataplane` builds the packet program.

use std::env;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const TARGET: &str = "bpfel-unknown-none";
/// As the packet program is built, and with type information: a function that makes a tail call needs it.
const FLAGS: &str = "-Ctarget-cpu=v3 -Ctarget-feature=+allows-misaligned-mem-access -Clink-arg=--btf";

fn main() -> Result<(), Box<dyn Error>> {
    let out = PathBuf::from(env::var("OUT_DIR")?).join("bench.bpf.o");
    let program = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?).join("../geminus-ebpf-bench");
    for watched in ["src", "Cargo.toml", "Cargo.lock"] {
        println!("cargo::rerun-if-changed={}", program.join(watched).display());
    }
    let target = target_dir()?;
    let build_dir = target.join("bpf-bench");
    let mut cargo = Command::new(env::var("CARGO")?);
    cargo
        .current_dir(&program)
        .args(["build", "--release", "--locked", "-Z", "build-std=core", "--target", TARGET, "--target-dir"])
        .arg(&build_dir)
        .env("RUSTC_BOOTSTRAP", "1")
        .env("RUSTFLAGS", FLAGS)
        .env("CARGO_TARGET_BPFEL_UNKNOWN_NONE_LINKER", linker(&target)?)
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env_remove("RUSTC_WRAPPER")
        .env_remove("RUSTC_WORKSPACE_WRAPPER")
        .env_remove("CARGO_BUILD_TARGET");
    println!("cargo::rerun-if-env-changed=GEMINUS_BPF_RUSTC");
    if let Some(compiler) = env::var_os("GEMINUS_BPF_RUSTC") {
        cargo.env("RUSTC", compiler);
    }
    if !cargo.status()?.success() {
        return Err("the feeding program did not build: `cargo xtask setup` installs its tool chain".into());
    }
    fs::copy(build_dir.join(TARGET).join("release/geminus-ebpf-bench"), out)?;
    Ok(())
}

/// The workspace's target directory: `OUT_DIR` is `<target>/[<triple>/]<profile>/build/<package>/out`.
fn target_dir() -> Result<PathBuf, Box<dyn Error>> {
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let cargo_made = out.ancestors().skip(4).find(|dir| dir.join("CACHEDIR.TAG").exists());
    Ok(cargo_made.or(out.ancestors().nth(4)).ok_or("OUT_DIR is not below a target directory")?.to_path_buf())
}

/// `bpf-linker` where `cargo xtask setup` puts it, else on the path.
fn linker(target: &Path) -> Result<PathBuf, Box<dyn Error>> {
    let own = target.join("tools/bin/bpf-linker");
    println!("cargo::rerun-if-changed={}", own.display());
    if own.exists() {
        return Ok(own);
    }
    let path = env::var_os("PATH").unwrap_or_default();
    let found = env::split_paths(&path).map(|dir| dir.join("bpf-linker")).find(|tool| tool.exists());
    Ok(found.ok_or("bpf-linker is missing: run `cargo xtask setup`")?)
}
