//! The page in `docs/`: what each case gave, what was promised, and what cannot be tried here.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result};

use super::record::{Line, Shown};
use super::{Case, Kind, cases};

/// Writes the page from the newest line of each case.
///
/// # Errors
/// When the file cannot be written.
pub fn write(path: &Path, lines: &[Line]) -> Result<()> {
    std::fs::write(path, text(lines)).with_context(|| format!("cannot write {}", path.display()))
}

fn text(lines: &[Line]) -> String {
    let mut text = "\
# Faults

What a pair of dispatchers does when something breaks. `cargo xtask faults [ID...]` makes every row: the real binary in
network namespaces on this machine, two dispatchers with two ways between them, clients with long connections and a stream
of 1 000 numbered packets a second in each family. Nothing here is simulated; what cannot be tried says so.

*Gap* is the time from the last packet that was answered to the next one, at the client. *Lost* connections were reset,
answered by another server or stalled for more than 3 s. *Both* is how long two machines answered for the same address at the
same time, as an observer on the LAN sees it that asks every 5 ms. The target is what is promised on a machine of its own;
a run fails beyond the bound, which leaves room for clients, servers and dispatchers that share a few cores. The p99
of fewer than a hundred runs is the longest of them.

| case | what happens | how | figure | measured | target | bound | |
|---|---|---|---|---|---|---|---|
"
    .to_owned();
    for case in cases::ALL {
        let line = lines.iter().find(|line| line.id == case.id);
        rows(&mut text, case, line);
    }
    let ran = lines.iter().filter(|line| line.passed.is_some());
    let (count, full) = (ran.clone().count(), ran.clone().filter(|line| line.full).count());
    let failed = ran.clone().filter(|line| line.passed == Some(false)).count();
    let _ = writeln!(
        text,
        "\n{count} of {} cases were run, {full} of them in full length; {failed} failed. The lines behind the rows, one \
         JSON object for each case, are in `target/faults.jsonl` of the checkout that ran them.",
        cases::ALL.len()
    );
    text
}

fn rows(text: &mut String, case: &Case, line: Option<&Line>) {
    if let Kind::NotHere { why, instead } = case.kind {
        let _ = writeln!(
            text,
            "| {} | {} | {} | {why}; {instead} | | | | not here |",
            case.id, case.name, case.how
        );
        return;
    }
    let Some(line) = line else {
        let _ = writeln!(text, "| {} | {} | {} | | | | | not run |", case.id, case.name, case.how);
        return;
    };
    if line.figures.is_empty() {
        let remark = line.remark.as_deref().unwrap_or("no figure").replace(['|', '\n'], " ");
        let remark: String = remark.chars().take(300).collect();
        let _ =
            writeln!(text, "| {} | {} | {} | {remark} | | | | **failed** |", case.id, case.name, case.how);
    }
    for (place, figure) in line.figures.iter().enumerate() {
        let (id, name, how) = if place == 0 { (case.id, case.name, case.how) } else { ("", "", "") };
        let _ = writeln!(text, "| {id} | {name} | {how} | {}", row(figure));
    }
}

fn row(figure: &Shown) -> String {
    let unit = figure.unit.as_deref().unwrap_or("");
    let number = |value: Option<f64>| value.map_or_else(String::new, |value| format!("{value}"));
    let verdict = match (figure.passed, figure.target) {
        (false, _) => "**beyond the bound**",
        (true, Some(target)) if figure.value > target => "misses the target",
        (true, Some(_)) => "ok",
        (true, None) => "",
    };
    format!(
        "{} | {} {unit} | {} | {} | {verdict} |",
        figure.what,
        number(Some(figure.value)),
        number(figure.target),
        number(figure.bound)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(value: f64) -> String {
        row(&Shown {
            what: "gap".to_owned(),
            value,
            unit: Some("ms".to_owned()),
            target: Some(60.0),
            bound: Some(400.0),
            passed: value <= 400.0,
        })
    }

    #[test]
    fn a_missed_target_is_said_plainly() {
        assert!(shown(59.0).ends_with("| ok |"));
        assert!(shown(61.0).ends_with("| misses the target |"));
        assert!(shown(401.0).ends_with("| **beyond the bound** |"));
    }

    #[test]
    fn a_case_that_was_not_run_has_a_row_that_says_so() {
        let text = text(&[]);
        assert!(text.contains("| A1 |") && text.contains("| not run |") && text.contains("| not here |"));
    }
}
