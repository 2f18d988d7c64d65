//! The page in `docs/`: what each case gave, what was promised, and what cannot be tried here.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result};

use super::record::{Line, Shown};
use super::{Case, Kind, cases};

/// The head of every table.
const HEAD: &str = "
| case | what happens | how | figure | measured | target | bound | |
|---|---|---|---|---|---|---|---|
";

/// Writes the page from the newest line of each case. A case without one keeps the rows that the page has.
///
/// # Errors
/// When the file cannot be written.
pub fn write(path: &Path, lines: &[Line]) -> Result<()> {
    let before = std::fs::read_to_string(path).unwrap_or_default();
    std::fs::write(path, text(lines, &before)).with_context(|| format!("cannot write {}", path.display()))
}

fn text(lines: &[Line], before: &str) -> String {
    let mut text = "\
# Faults

What Geminus does when something breaks. `cargo xtask faults [ID...]` makes every row: the real binary in network namespaces
on this machine, clients in both families. Nothing here is simulated; what cannot be tried says so.

*Lost* connections were reset, answered by another server or stalled for more than 3 s. The target is what is promised on a
machine of its own; a run fails beyond the bound, which leaves room for clients, servers and dispatchers that share a few
cores. The p99 of fewer than a hundred runs is the longest of them.
"
    .to_owned();
    let mut verdicts = Verdicts::default();
    for section in SECTIONS {
        let _ = write!(text, "\n## {}\n\n{}\n{HEAD}", section.title, section.about);
        for case in
            cases::ALL.iter().filter(|case| case.id.starts_with(section.letter) == section.is_of_letter)
        {
            let line = lines.iter().find(|line| line.id == case.id);
            let block = line
                .map(|line| rows(case, line))
                .or_else(|| kept(before, case))
                .unwrap_or_else(|| none(case));
            verdicts.count(&block);
            text.push_str(&block);
        }
    }
    let Verdicts { run, failed, missed } = verdicts;
    let _ = writeln!(
        text,
        "\n{run} of {} cases were run; {failed} failed, {missed} figures miss their target. The lines behind the rows, one \
         JSON object for each case, are in `target/faults.jsonl` of the checkout that ran them; a case that it did not run \
         keeps its rows.",
        cases::ALL.len()
    );
    text
}

/// A part of the page.
struct Section {
    title: &'static str,
    about: &'static str,
    letter: char,
    /// Whether its cases are those of the letter, or all others.
    is_of_letter: bool,
}

const SECTIONS: [Section; 2] = [
    Section {
        title: "Dispatchers",
        about: "Two dispatchers with two ways between them, clients with long connections and a stream of 1 000 numbered \
                packets a second in\neach family. *Gap* is the time from the last packet that was answered to the next one, \
                at the client. *Both* is how long two\nmachines answered for the same address at the same time, as an \
                observer on the LAN sees it that asks every 5 ms.",
        letter: 'C',
        is_of_letter: false,
    },
    Section {
        title: "Servers",
        about: "One dispatcher and three to five content hosts; unless the row says otherwise with the defaults of `check` \
                and `[health]`, except\nthat `damping` is off where one server dies again and again. Clients are long \
                connections that ask once a second, 200 new\nconnections a second and 1 000 numbered packets a second, in \
                each family.",
        letter: 'C',
        is_of_letter: true,
    },
];

/// What the rows say in sum.
#[derive(Default)]
struct Verdicts {
    run: usize,
    failed: usize,
    missed: usize,
}

impl Verdicts {
    fn count(&mut self, block: &str) {
        self.run += usize::from(!block.contains("| not run |") && !block.contains("| not here |"));
        self.failed += usize::from(block.contains("| **"));
        self.missed += block.matches("| misses the target |").count();
    }
}

/// The rows that a page has of a case: the one with its name and those below it without one.
fn kept(before: &str, case: &Case) -> Option<String> {
    let first = format!("| {} |", case.id);
    let mut lines = before.lines().skip_while(|line| !line.starts_with(&first));
    let own = lines.next()?;
    let rest = lines.take_while(|line| line.starts_with("|  |"));
    Some(std::iter::once(own).chain(rest).fold(String::new(), |block, line| block + line + "\n"))
}

/// The row of a case that says why it has no figures.
fn none(case: &Case) -> String {
    let Case { id, name, how, kind } = case;
    match kind {
        Kind::NotHere { why, instead } => {
            format!("| {id} | {name} | {how} | {why}; {instead} | | | | not here |\n")
        }
        Kind::Runs(_) => format!("| {id} | {name} | {how} | | | | | not run |\n"),
    }
}

fn rows(case: &Case, line: &Line) -> String {
    let Case { id, name, how, kind } = case;
    if matches!(kind, Kind::NotHere { .. }) {
        return none(case);
    }
    if line.figures.is_empty() {
        let remark = line.remark.as_deref().unwrap_or("no figure").replace(['|', '\n'], " ");
        let remark: String = remark.chars().take(300).collect();
        return format!("| {id} | {name} | {how} | {remark} | | | | **failed** |\n");
    }
    let mut text = String::new();
    for (place, figure) in line.figures.iter().enumerate() {
        let (id, name, how) = if place == 0 { (*id, *name, *how) } else { ("", "", "") };
        let _ = writeln!(text, "| {id} | {name} | {how} | {}", row(figure));
    }
    text
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
        let text = text(&[], "");
        assert!(text.contains("| A1 |") && text.contains("| not run |") && text.contains("| not here |"));
    }

    #[test]
    fn a_case_that_was_not_run_again_keeps_its_rows() {
        let before = "| A1 | death | how | gap | 7 ms | 60 | 400 | ok |\n|  |  |  | lost | 0 | 0 | 0 | ok |\n| A2 | x |\n";
        let text = text(&[], before);
        assert!(
            text.contains("| 7 ms | 60 | 400 | ok |\n|  |  |  | lost | 0 | 0 | 0 | ok |\n| A2 |"),
            "{text}"
        );
        assert_eq!(text.matches("| lost |").count(), 1);
    }
}
