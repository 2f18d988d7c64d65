//! What the TOML parser found, in the words of the other findings.

use std::collections::HashSet;
use std::net::IpAddr;

use super::finding::{FindingKind, Problem, Quoted, Report};

/// Reports the first error of each line: the later ones of a line mostly follow from it.
pub(super) fn report(text: &str, errors: &[toml::de::Error], report: &mut Report<'_>) {
    let mut lines = HashSet::new();
    let mut lost_until = 0;
    let mut repeated_until = 0;
    for error in errors {
        let span = error.span().unwrap_or(text.len()..text.len());
        let at = span.start;
        let is_duplicate = error.message() == DUPLICATE;
        if is_duplicate && at < repeated_until || !lines.insert(report.position(at).line) {
            continue;
        }
        if is_duplicate && line_before(text, at).starts_with('[') {
            // Each key of a repeated table is one error with its header.
            repeated_until = end_of_block(text, at);
        }
        if at >= lost_until && loses_the_rest(error.message()) {
            lost_until = end_of_block(text, at);
            report.distrust(at..lost_until);
        }
        if report.is_full() {
            report.omit();
            continue;
        }
        let spelled = text.get(span).unwrap_or_default();
        let (at, problem) = if is_duplicate {
            (at, duplicate(text, at, spelled, report))
        } else {
            unquoted(text, at, error.message()).unwrap_or_else(|| (at, problem(error.message())))
        };
        report.error(at, FindingKind::Syntax, problem);
    }
}

fn problem(message: &str) -> Problem {
    match message.split_once(", expected ") {
        None => Problem::new(message),
        Some((what, "nothing")) => Problem::new(what),
        Some((what, expected)) => Problem::new(what).hint(format!("expected {expected}")),
    }
}

fn duplicate(text: &str, at: usize, spelled: &str, report: &Report<'_>) -> Problem {
    let problem = Problem::new(format!("{} is given a second time", Quoted(spelled)));
    match first_of(text, at, spelled) {
        Some(first) => {
            problem.hint(format!("first at {}: join the two or remove one", report.position(first)))
        }
        None => problem.hint("join the two or remove one"),
    }
}

/// Bytes that are searched for the first of two keys: the parser does not tell where it is.
const SEARCHED: usize = 64 << 10;

/// Where the first of two equal headers, or of two equal keys of one block, is.
fn first_of(text: &str, at: usize, spelled: &str) -> Option<usize> {
    let before = text.get(text.floor_char_boundary(at.saturating_sub(SEARCHED))..at)?;
    let start = at - before.len();
    let line = line_before(text, at);
    if line.starts_with('[') {
        let header = format!("{line}{spelled}]");
        let found = before.lines().find(|earlier| earlier.starts_with(&header))?;
        return Some(found.as_ptr().addr() - text.as_ptr().addr() + line.len());
    }
    let block = before.rfind("\n[").map_or(0, |header| header + 1);
    let is_key = |found: &usize| {
        let word =
            |character: char| character.is_ascii_alphanumeric() || matches!(character, '_' | '-' | '.' | '"');
        !before[..*found].ends_with(word)
            && before[found + spelled.len()..].trim_start_matches([' ', '\t']).starts_with('=')
    };
    let mut found =
        before.rmatch_indices(spelled).map(|(found, _)| found).take_while(|found| *found >= block);
    found.find(is_key).map(|found| start + found)
}

/// The part of the line that is before `at`.
fn line_before(text: &str, at: usize) -> &str {
    let before = text.get(..at).unwrap_or_default();
    &before[before.rfind('\n').map_or(0, |end| end + 1)..]
}

const DUPLICATE: &str = "duplicate key";
const UNQUOTED: &str = "string values must be quoted";

/// Longest word that is taken for a string without its quotes.
const WORD: usize = 64;

/// A string whose quotes are missing, an address above all: where it starts, and what it should be.
fn unquoted(text: &str, at: usize, message: &str) -> Option<(usize, Problem)> {
    let belongs =
        |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b':' | b'-' | b'_' | b'/');
    let (before, after) = text.as_bytes().split_at_checked(at)?;
    let before = before.iter().rev().take(WORD).take_while(|byte| belongs(byte)).count();
    let after = after.iter().take(WORD).take_while(|byte| belongs(byte)).count();
    let word = text.get(at - before..at + after).filter(|word| !word.is_empty())?;
    let is_address = message.starts_with("invalid") && word.parse::<IpAddr>().is_ok();
    (is_address || message.starts_with(UNQUOTED)).then(|| {
        let problem = Problem::new(format!("{} is no value", Quoted(word)));
        (at - before, problem.hint(format!("a string needs quotes: \"{word}\"")))
    })
}

/// Whether the parser may have lost its place, not only one value.
fn loses_the_rest(message: &str) -> bool {
    let one_value =
        message.starts_with("invalid") && !message.contains("inline table") && !message.contains("key");
    !(one_value || message == DUPLICATE || message.starts_with(UNQUOTED))
}

/// Where the next header starts, from which on the parser knows its place again.
fn end_of_block(text: &str, at: usize) -> usize {
    text.as_bytes()[at..].windows(2).position(|pair| pair == b"\n[").map_or(text.len(), |next| at + next + 1)
}
