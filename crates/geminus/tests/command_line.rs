//! What needs no daemon: wrong use, `check`, `completions`, `man`, and the refusals of `host`.

use std::path::PathBuf;
use std::process::{Command, Output};

use tempfile::TempDir;

const SITE: &str = r#"
[node.alpha]
address   = "198.51.100.11"
interface = "gemnosuch0"

[cluster.shop]
addresses = ["198.51.100.80", "2001:db8:1::80"]
primary   = "alpha"

[[cluster.shop.service]]
port     = 80
protocol = "tcp"
servers  = [ { name = "web1", address = "198.51.100.21" } ]
"#;

fn geminus(words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_geminus")).args(words).output().expect("geminus runs")
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("text")
}

fn file(text: &str) -> (TempDir, String) {
    let directory = tempfile::tempdir().expect("a directory");
    let path: PathBuf = directory.path().join("geminus.toml");
    std::fs::write(&path, text).expect("written");
    let path = path.to_str().expect("a plain path").to_owned();
    (directory, path)
}

#[test]
fn wrong_use_ends_with_2() {
    let wrong: &[&[&str]] = &[
        &[],
        &["frobnicate"],
        &["run"],
        &["check"],
        &["run", "--config", "x", "--generic", "--native"],
        &["status", "--socket", "/x", "--runtime-dir", "/y"],
        &["flows", "--limit", "0"],
        &["explain", "tcp", "203.0.113.9", "198.51.100.80:80"],
        &["explain", "sctp", "203.0.113.9:1", "198.51.100.80:80"],
        &["weight", "web1", "1001"],
        &["host", "setup"],
        &["host", "check", "--address", "127.0.0.1"],
        &["host", "agent"],
        &["host", "agent", "--dispatcher", "alpha", "--key-file", "k"],
        &["host", "agent", "--dispatcher", "198.51.100.11", "--key-file", "k", "--interval", "10ms"],
        &["host", "agent", "--dispatcher", "198.51.100.11", "--key-file", "k", "--exec", "jobs=sh -c x"],
        &["key"],
        &["key", "agent"],
    ];
    for words in wrong {
        let output = geminus(words);
        assert_eq!(output.status.code(), Some(2), "{words:?}: {}", text(&output.stderr));
        assert!(!output.stderr.is_empty(), "{words:?}");
    }
}

#[test]
fn help_and_version_are_no_errors() {
    for words in [&["--help"][..], &["--version"], &["run", "--help"], &["host", "check", "-h"]] {
        let output = geminus(words);
        assert_eq!(output.status.code(), Some(0), "{words:?}");
        assert!(output.stderr.is_empty() && !output.stdout.is_empty(), "{words:?}");
    }
}

#[test]
fn every_verb_has_help_with_an_example() {
    let verbs = [
        "run", "check", "status", "servers", "flows", "explain", "drain", "weight", "takeover", "reload",
        "events", "man",
    ];
    for verb in verbs {
        let output = geminus(&[verb, "--help"]);
        assert!(text(&output.stdout).contains("Example"), "{verb}");
    }
    for verb in ["setup", "undo", "check"] {
        let output = geminus(&["host", verb, "--help"]);
        assert!(text(&output.stdout).contains("Example"), "host {verb}");
    }
}

#[test]
fn a_sound_file_says_what_it_would_do() {
    let (_directory, path) = file(SITE);
    let output = geminus(&["check", &path]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let page = text(&output.stdout);
    for part in ["sound ", "tcp/80", "KERNEL MEMORY", "this machine has no interface gemnosuch0"] {
        assert!(page.contains(part), "{part}: {page}");
    }
}

#[test]
fn an_interface_that_the_named_node_lacks_is_a_no() {
    let (_directory, path) = file(SITE);
    let output = geminus(&["check", &path, "--node", "alpha", "--json"]);
    assert_eq!(output.status.code(), Some(1));
    let answer: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!((&answer["ok"], &answer["interface"]["found"]), (&false.into(), &serde_json::Value::Null));
    assert_eq!(answer["memory"]["flow_entries"], 1 << 20);
}

#[test]
fn a_node_that_does_not_exist_is_named_with_those_that_do() {
    let (_directory, path) = file(SITE);
    let output = geminus(&["check", &path, "--node", "beta"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(text(&output.stderr), "geminus: the configuration has no node beta: it has alpha\n");
}

#[test]
fn every_error_is_named_in_one_pass() {
    let broken = SITE.replace("port     = 80", "prot     = 80").replace("198.51.100.21", "198.51.100.321");
    let (_directory, path) = file(&broken);
    let output = geminus(&["check", &path]);
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty());
    let said = text(&output.stderr);
    let places = said.lines().filter(|line| line.starts_with(&format!("{path}:"))).count();
    assert!(places >= 2, "{said}");
    let output = geminus(&["check", &path, "--json"]);
    let answer: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(answer["ok"], false);
    assert_eq!(answer["errors"].as_array().map(Vec::len), Some(places));
}

#[test]
fn a_hostile_file_moves_no_cursor() {
    let (_directory, path) = file("[cluster.\"\\u001b[2J\"]\naddresses = [\"\u{202e}\"]\n\u{1b}[31m = 1\n");
    let output = geminus(&["check", &path]);
    assert_eq!(output.status.code(), Some(1));
    let controls = |bytes: &[u8]| bytes.iter().any(|byte| *byte < b' ' && *byte != b'\n');
    assert!(!controls(&output.stdout) && !controls(&output.stderr), "{}", text(&output.stderr));
    assert!(!text(&output.stderr).contains('\u{202e}'));
}

#[test]
fn a_file_that_is_not_there_is_one_line() {
    for verb in [&["check", "/nowhere/geminus.toml"][..], &["check", "/"]] {
        let output = geminus(verb);
        assert_eq!(output.status.code(), Some(1));
        assert_eq!(text(&output.stderr).lines().count(), 1, "{}", text(&output.stderr));
    }
}

#[test]
fn the_schema_is_json() {
    let output = geminus(&["check", "--schema"]);
    assert_eq!(output.status.code(), Some(0));
    let schema: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert!(schema["properties"]["cluster"].is_object());
}

#[test]
fn completions_know_every_verb() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = geminus(&["completions", shell]);
        assert_eq!(output.status.code(), Some(0), "{shell}");
        for verb in ["explain", "undrain", "takeover", "completions"] {
            assert!(text(&output.stdout).contains(verb), "{shell} {verb}");
        }
    }
}

#[test]
fn the_manual_is_one_page_or_one_for_each_verb() {
    let output = geminus(&["man"]);
    assert_eq!(output.status.code(), Some(0));
    assert!(text(&output.stdout).contains(".TH geminus 1"), "{}", text(&output.stdout));
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().to_str().expect("a plain path");
    assert_eq!(geminus(&["man", "--dir", path]).status.code(), Some(0));
    for page in ["geminus.1", "geminus-run.1", "geminus-takeover.1", "geminus-host-check.1"] {
        assert!(directory.path().join(page).exists(), "{page}");
    }
}

#[test]
fn an_interface_that_does_not_exist_stops_host() {
    let words = ["host", "check", "--address", "198.51.100.80", "--interface", "gemnosuch0"];
    let output = geminus(&words);
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stderr);
    assert!(said.starts_with("geminus: there is no interface gemnosuch0"), "{said}");
}
