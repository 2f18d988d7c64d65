//! libFuzzer over every parser of what servers answer: the harness in `fuzz/` is built with coverage and run, and what it
//! finds is named.
//!
//! The compiler is the project's own: it knows the needed flags and wants to be asked for them by name.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::command;
use crate::workspace::Workspace;

/// What to fuzz.
#[derive(Debug, Args)]
pub(crate) struct Wanted {
    /// Which parsers, such as `http` [default: all]
    #[arg(value_name = "PARSER")]
    only: Vec<String>,
    /// How long each.
    #[arg(long, value_name = "N", default_value_t = 60)]
    seconds: u64,
}

/// Coverage as libFuzzer reads it, and memory watched by AddressSanitizer.
const FLAGS: &str = "--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares -Zsanitizer=address";

/// Longer than the 16 KiB that are kept of any answer.
const LONGEST: &str = "-max_len=20000";

/// Builds the harness and runs each parser's; what was learnt stays in the target directory for the next run.
pub(crate) fn fuzz(workspace: &Workspace, wanted: &Wanted) -> Result<()> {
    let target = workspace.target.join("fuzz");
    let host = host()?;
    let mut cargo = workspace.cargo();
    cargo.args(["build", "--release", "--manifest-path", "fuzz/Cargo.toml", "--target", &host]);
    // With a target named, build scripts and macros are built without these flags.
    cargo.env("CARGO_TARGET_DIR", &target).env("RUSTFLAGS", FLAGS).env("RUSTC_BOOTSTRAP", "1");
    command::run(&mut cargo)?;
    let mut broken = Vec::new();
    for parser in parsers(&workspace.root, &wanted.only)? {
        crate::floors::heading(&format!("fuzz: {parser}"));
        let learnt = target.join("corpus").join(&parser);
        fs::create_dir_all(&learnt).with_context(|| format!("cannot make {}", learnt.display()))?;
        let mut fuzzer = Command::new(target.join(&host).join("release").join(&parser));
        fuzzer.arg(&learnt).arg(workspace.root.join("fuzz/corpus").join(&parser));
        fuzzer.arg(format!("-max_total_time={}", wanted.seconds)).args([LONGEST, "-print_final_stats=1"]);
        fuzzer.arg(format!("-artifact_prefix={}/{parser}-", target.display()));
        if let Err(error) = command::run(&mut fuzzer) {
            println!("{error:#}");
            broken.push(parser);
        }
    }
    if !broken.is_empty() {
        bail!("broken: {}; what broke them is in {}", broken.join(", "), target.display());
    }
    Ok(())
}

/// Every parser with a harness, or those asked for.
fn parsers(root: &Path, only: &[String]) -> Result<Vec<String>> {
    let folder = root.join("fuzz/fuzz_targets");
    let files = fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let mut all: Vec<String> =
        files.flatten().filter_map(|file| Some(file.path().file_stem()?.to_str()?.to_owned())).collect();
    all.sort();
    if let Some(unknown) = only.iter().find(|name| !all.contains(name)) {
        bail!("no parser {unknown}: there are {}", all.join(", "));
    }
    all.retain(|name| only.is_empty() || only.contains(name));
    Ok(all)
}

/// What the compiler builds for when nothing is said.
fn host() -> Result<String> {
    let said = command::capture(Command::new("rustc").arg("-vV"))?;
    let line = said.lines().find_map(|line| line.strip_prefix("host: "));
    line.map(str::to_owned).context("`rustc -vV` names no host")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root() -> &'static Path {
        Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask is a directory of the workspace")
    }

    #[test]
    fn every_harness_has_a_corpus_and_is_built() {
        let manifest = fs::read_to_string(root().join("fuzz/Cargo.toml")).unwrap();
        let all = parsers(root(), &[]).unwrap();
        assert!(all.len() > 10, "{all:?}");
        for parser in all {
            assert!(
                manifest.contains(&format!("path = \"fuzz_targets/{parser}.rs\"")),
                "{parser} is not built"
            );
            let corpus = root().join("fuzz/corpus").join(&parser);
            assert!(
                fs::read_dir(corpus).is_ok_and(|mut files| files.next().is_some()),
                "{parser} begins with nothing"
            );
        }
    }

    #[test]
    fn a_parser_without_a_harness_is_named_with_those_that_have_one() {
        let error = parsers(root(), &["gopher".to_owned()]).unwrap_err().to_string();
        assert!(error.starts_with("no parser gopher: there are certificate, dns"), "{error}");
    }
}
