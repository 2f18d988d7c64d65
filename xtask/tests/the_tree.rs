//! Laws of the checkout itself: what its pages promise, what its scripts call and what its files must not contain.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

#[test]
fn the_readme_names_the_two_commands() {
    let readme = read("README.md");
    for command in ["cargo xtask demo", "cargo xtask test"] {
        assert!(readme.contains(command), "README.md does not name `{command}`");
    }
}

#[test]
fn every_design_page_is_linked_from_the_architecture() {
    let architecture = read("ARCHITECTURE.md");
    for page in tracked().iter().filter(|path| path.starts_with("docs/design/") && path.ends_with(".md")) {
        assert!(
            architecture.contains(&format!("({page}")),
            "ARCHITECTURE.md does not link {page}: nobody will find it"
        );
    }
}

/// A decision that waits for something nobody ever says has tests, and no effect.
#[test]
fn the_daemon_says_whatever_the_director_can_hear() {
    let director = read("crates/geminus-core/src/director.rs");
    let (_, rest) = director.split_once("pub enum Input {").expect("the director hears inputs");
    let (inputs, _) = rest.split_once("\n}\n").expect("an enum has an end");
    let names = inputs.lines().filter_map(|line| {
        let name = line.strip_prefix("    ")?.split(['(', ' ', ',']).next()?;
        name.starts_with(|first: char| first.is_ascii_uppercase()).then_some(name)
    });
    let names: Vec<_> = names.collect();
    assert!(names.len() > 20, "{names:?}");
    let daemon = tracked().into_iter().filter(|path| path.starts_with("crates/geminus-daemon/src/"));
    let daemon: String = daemon.map(|path| read(&path)).collect();
    for name in names {
        assert!(
            daemon.contains(&format!("Input::{name}")),
            "nobody ever says `Input::{name}` to the director"
        );
    }
}

#[test]
fn every_link_between_pages_leads_somewhere() {
    let tracked = tracked();
    for page in tracked.iter().filter(|path| path.ends_with(".md")) {
        let text = read(page);
        let folder = Path::new(page).parent().expect("a file has a folder");
        for target in relative_links(&text) {
            assert!(root().join(folder).join(target).exists(), "{page} links {target}, which does not exist");
        }
    }
}

/// The targets of `](target)` that are neither a web address nor a place in the same page.
fn relative_links(page: &str) -> impl Iterator<Item = &str> {
    let targets = page.split("](").skip(1).filter_map(|rest| rest.split([')', '#', ' ']).next());
    targets.filter(|target| !target.is_empty() && !target.contains("://") && !target.starts_with("mailto:"))
}

#[test]
fn ci_calls_xtask_and_nothing_else() {
    let script = read(".ci/run");
    let lines: Vec<&str> = script.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
    let wanted = ["set -euo pipefail", "cd \"$(dirname \"$0\")/..\"", "exec cargo xtask ci </dev/null"];
    assert_eq!(lines, wanted, "what CI does belongs in xtask, where people can run it too");
}

#[test]
fn ci_can_be_started() {
    use std::os::unix::fs::PermissionsExt;
    let mode = root().join(".ci/run").metadata().expect(".ci/run").permissions().mode();
    assert_ne!(mode & 0o111, 0, ".ci/run is not executable");
}

#[test]
fn no_tracked_file_names_a_place_on_one_machine() {
    // In two parts, so that this file does not name them.
    let places =
        [("/wo", "rk/"), ("/ro", "ot/"), ("/ho", "me/"), ("/Us", "ers/")].map(|(a, b)| [a, b].concat());
    let mut complaints = Vec::new();
    for (path, text) in tracked_texts(|path| path != "Cargo.lock") {
        for (number, line) in text.lines().enumerate() {
            if places.iter().any(|place| mentions(line, place)) {
                complaints.push(format!("{path}:{}: {}", number + 1, line.trim()));
            }
        }
    }
    assert!(
        complaints.is_empty(),
        "these lines name a place that only one machine has:\n{}\n",
        complaints.join("\n")
    );
}

/// Whether the place stands by itself; after a letter, a dot or a variable it is part of a longer path.
fn mentions(line: &str, place: &str) -> bool {
    line.match_indices(place).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || matches!(c, '.' | '}' | '_' | '-' | '*'))
    })
}

#[test]
fn no_test_is_switched_off() {
    let attribute = ["#[", "ignore"].concat();
    for (path, text) in tracked_texts(|path| path.ends_with(".rs")) {
        let found = text.lines().position(|line| line.trim_start().starts_with(&attribute));
        assert_eq!(
            found.map(|line| line + 1),
            None,
            "{path} switches a test off: privileged tests are targets that require the feature `privileged`"
        );
    }
}

/// The binary that the privileged floors run is built with the feature, so it must be the one that people get.
#[test]
fn every_test_of_the_lab_asks_for_the_privilege_that_it_needs() {
    let manifest = read("crates/geminus-lab/Cargo.toml");
    for file in tracked() {
        let Some(name) =
            file.strip_prefix("crates/geminus-lab/tests/").and_then(|file| file.strip_suffix(".rs"))
        else {
            continue;
        };
        let entry = format!("[[test]]\nname = \"{name}\"\nrequired-features = [\"privileged\"]");
        assert!(
            manifest.contains(&entry),
            "{file} would run on floor 1, without root and beside everything else"
        );
    }
}

#[test]
fn the_feature_for_privileged_tests_changes_no_code() {
    let condition = ["feature = \"", "privileged\""].concat();
    for (path, text) in tracked_texts(|path| path.ends_with(".rs")) {
        assert!(!text.contains(&condition), "{path} compiles other code for the feature `privileged`");
    }
}

#[test]
fn the_oldest_compiler_is_the_same_everywhere() {
    let wanted = env!("CARGO_PKG_RUST_VERSION");
    for manifest in tracked().iter().filter(|path| path.ends_with("Cargo.toml")) {
        let text = read(manifest);
        let named = text.lines().filter(|line| line.trim_start().starts_with("rust-version"));
        let versions: Vec<&str> = named.filter_map(|line| line.split('"').nth(1)).collect();
        assert!(
            versions.iter().all(|version| *version == wanted),
            "{manifest} says {versions:?}, not {wanted}"
        );
        let inherited = text.contains("rust-version.workspace = true");
        assert!(inherited || !versions.is_empty(), "{manifest} names no rust-version");
    }
    let readme = read("README.md");
    assert!(
        readme.contains(&format!("Rust {wanted}")),
        "README.md does not say that Rust {wanted} is needed"
    );
}

#[test]
fn both_licences_are_shipped() {
    assert!(read("LICENSE-MIT").contains("Permission is hereby granted"));
    assert!(read("LICENSE-APACHE").contains("Version 2.0, January 2004"));
}

/// The files that git tracks, relative to the root.
fn tracked() -> Vec<String> {
    let mut git = Command::new("git");
    git.args(["ls-files", "--cached"]).current_dir(root());
    let output = git.output().expect("git can be started");
    assert!(output.status.success(), "git ls-files: {}", String::from_utf8_lossy(&output.stderr));
    let paths = String::from_utf8(output.stdout).expect("paths are UTF-8");
    // A file that is deleted but not yet committed as such is still listed.
    paths.lines().filter(|path| root().join(path).is_file()).map(str::to_owned).collect()
}

/// The tracked files that are text and that the filter keeps.
fn tracked_texts(keep: impl Fn(&str) -> bool) -> Vec<(String, String)> {
    let kept = tracked().into_iter().filter(|path| keep(path));
    kept.filter_map(|path| fs::read_to_string(root().join(&path)).ok().map(|text| (path, text))).collect()
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path} cannot be read: {error}"))
}

fn root() -> PathBuf {
    // Asked at run time: checkouts that share a target directory share this binary too.
    let own = std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo test says where the package is");
    Path::new(&own).parent().expect("xtask is a directory of the workspace").to_owned()
}
