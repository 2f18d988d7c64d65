//! What the TOML parser found, in the words of the other findings.

use std::collections::HashSet;

use super::finding::{FindingKind, Problem, Quoted, Report};

/// Reports the first error of each line: the later ones of a line mostly follow from it.
pub(super) fn report(text: &str, errors: &[toml::de::Error], report: &mut Report<'_>) {
    let mut lines = HashSet::new();
    for error in errors {
        let span = error.span().unwrap_or(text.len()..text.len());
        if lines.insert(report.position(span.start).line) {
            let spelled = text.get(span.clone()).unwrap_or_default();
            report.error(span.start, FindingKind::Syntax, problem(error.message(), spelled));
        }
    }
}

fn problem(message: &str, spelled: &str) -> Problem {
    if message == "duplicate key" {
        let message = format!("{} is given a second time", Quoted(spelled));
        return Problem::new(message).hint("a key or table is given once: join the two or remove one");
    }
    match message.split_once(", expected ") {
        Some((what, expected)) => Problem::new(what).hint(format!("expected {expected}")),
        None => Problem::new(message),
    }
}
