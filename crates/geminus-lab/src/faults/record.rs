//! The file of results: one line of JSON for each case that was run, the newest last.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use super::Figure;

/// What came of one case.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// Name in the fault list.
    pub id: String,
    /// What happens in it.
    pub name: String,
    /// Address families that carried traffic.
    pub families: String,
    /// What was measured.
    pub figures: Vec<Shown>,
    /// Whether every figure was within its bound; none: the case does not run here.
    pub passed: Option<bool>,
    /// Why it failed or does not run.
    pub remark: Option<String>,
    /// How long it took.
    pub seconds: f64,
    /// When, in seconds since the Unix epoch.
    pub when: u64,
    /// Whether it was sized as the fault list has it.
    pub full: bool,
}

/// One figure as it is written down.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Shown {
    /// What was measured.
    pub what: String,
    /// The value.
    pub value: f64,
    /// Its unit; none for a figure that is only told.
    pub unit: Option<String>,
    /// What is promised.
    pub target: Option<f64>,
    /// Beyond it the case fails.
    pub bound: Option<f64>,
    /// Whether it did not.
    pub passed: bool,
}

impl From<&Figure> for Shown {
    fn from(figure: &Figure) -> Self {
        Self {
            what: figure.what.clone(),
            value: figure.value,
            unit: figure.bound.map(|bound| bound.unit.to_owned()),
            target: figure.bound.map(|bound| bound.target),
            bound: figure.bound.map(|bound| bound.limit),
            passed: figure.passed(),
        }
    }
}

/// Adds a line to the file.
pub(super) fn append(path: &Path, line: &Line) -> Result<()> {
    let mut file = File::options()
        .create(true)
        .append(true)
        .open(path)
        .with_context(|| format!("cannot write {}", path.display()))?;
    writeln!(file, "{}", serde_json::to_string(line)?)?;
    Ok(())
}

/// The newest line of each case.
pub(super) fn read(path: &Path) -> Result<Vec<Line>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut newest: Vec<Line> = Vec::new();
    for line in text.lines() {
        let line: Line = serde_json::from_str(line).with_context(|| format!("in {}", path.display()))?;
        newest.retain(|known| known.id != line.id);
        newest.push(line);
    }
    Ok(newest)
}

/// Shows a line on the terminal.
#[allow(clippy::print_stdout, reason = "a terminal is what a run talks to")]
pub(super) fn tell(line: &Line) {
    let verdict = match line.passed {
        Some(true) => "ok",
        Some(false) => "FAILED",
        None => "not here",
    };
    println!("{:4} {verdict:8} {} ({:.0} s)", line.id, line.name, line.seconds);
    for figure in &line.figures {
        let unit = figure.unit.as_deref().unwrap_or("");
        let target = figure.target.map_or_else(String::new, |target| format!(", target {target}"));
        let mark = if figure.passed { " " } else { "!" };
        println!("   {mark} {}: {} {unit}{target}", figure.what, figure.value);
    }
    if let Some(remark) = &line.remark {
        println!("     {remark}");
    }
}
