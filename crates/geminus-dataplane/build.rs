//! Builds the BPF program beside the crate that carries it.
//!
//! The program needs another target and its own `core`, so it is built by a cargo of its own into `<target>/bpf`. Set
//! `GEMINUS_BPF_OBJECT` to the path of a ready-made object to skip all of it.

use std::env;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const TARGET: &str = "bpfel-unknown-none";
/// v3 has compare-and-swap and 32-bit arithmetic; packets are read at odd addresses, which the kernel allows where the
/// machine does (x86-64 and arm64 do).
const FLAGS: &str = "-Ctarget-cpu=v3 -Ctarget-feature=+allows-misaligned-mem-access -Cdebuginfo=0";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-env-changed=GEMINUS_BPF_OBJECT");
    println!("cargo::rerun-if-env-changed=GEMINUS_BPF_RUSTC");
    let out = PathBuf::from(env::var("OUT_DIR")?).join("geminus.bpf.o");
    if let Some(ready) = env::var_os("GEMINUS_BPF_OBJECT") {
        let ready = PathBuf::from(ready);
        println!("cargo::rerun-if-changed={}", ready.display());
        fs::copy(&ready, &out).map_err(|e| format!("GEMINUS_BPF_OBJECT={}: {e}", ready.display()))?;
        return Ok(());
    }
    let crates = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?).join("..");
    let program = crates.join("geminus-ebpf");
    for watched in
        ["geminus-ebpf/src", "geminus-ebpf/Cargo.toml", "geminus-ebpf/Cargo.lock", "geminus-packet/src"]
    {
        println!("cargo::rerun-if-changed={}", crates.join(watched).display());
    }
    let target = target_dir()?;
    let linker = linker(&target)?;
    let build_dir = target.join("bpf");
    let mut cargo = Command::new(env::var("CARGO")?);
    // Where the compiler's own source is not beside it, `cargo xtask setup` names one that has it.
    if let Some(rustc) = env::var_os("GEMINUS_BPF_RUSTC") {
        cargo.env("RUSTC", rustc);
    }
    let status = cargo
        .current_dir(&program)
        .args(["build", "--release", "--locked", "-Z", "build-std=core", "--target", TARGET, "--target-dir"])
        .arg(&build_dir)
        .env("RUSTC_BOOTSTRAP", "1")
        .env("RUSTFLAGS", FLAGS)
        .env("CARGO_TARGET_BPFEL_UNKNOWN_NONE_LINKER", linker)
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env_remove("RUSTC_WRAPPER")
        .env_remove("RUSTC_WORKSPACE_WRAPPER")
        .env_remove("CARGO_BUILD_TARGET")
        .status()?;
    if !status.success() {
        return Err("the BPF program did not build: `cargo xtask setup` installs its tool chain".into());
    }
    fs::copy(build_dir.join(TARGET).join("release/geminus-ebpf"), out)?;
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
    Ok(found.ok_or(
        "bpf-linker is missing: run `cargo xtask setup`, or set GEMINUS_BPF_OBJECT to a ready-made object",
    )?)
}
