//! Faults, and what becomes of a site that meets them: the cases A of the fault list, each a function that gives figures.
//!
//! Every case builds its own site, does its damage and hands back figures with their bounds ([`bounds`]); a figure beyond
//! its bound fails the case. [`run`] adds a line of JSON for each case to a file and [`page`] makes the table in `docs/` from it.

pub mod bounds;
pub mod cases;
pub mod cut;
pub mod ground;
pub mod hostile;
pub mod intruder;
pub mod page;
pub mod record;
pub mod relay;
pub mod strain;
pub mod ward;

use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Result, bail};

use self::bounds::Bound;
use self::ground::Ground;
use self::record::{Line, Shown};

/// One case.
#[derive(Debug, Clone, Copy)]
pub struct Case {
    /// Its name in the fault list.
    pub id: &'static str,
    /// What happens.
    pub name: &'static str,
    /// How it is made to happen here.
    pub how: &'static str,
    /// What it does.
    pub kind: Kind,
}

/// What a case does.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// It runs.
    Runs(fn(&Ground) -> Result<Vec<Figure>>),
    /// It cannot run here.
    NotHere {
        /// Why.
        why: &'static str,
        /// What guards the same promise instead.
        instead: &'static str,
    },
}

/// One measured figure.
#[derive(Debug, Clone, PartialEq)]
pub struct Figure {
    /// What was measured.
    pub what: String,
    /// The value, in the bound's unit.
    pub value: f64,
    /// What it is held to; none: it is told for the reader only.
    pub bound: Option<Bound>,
}

/// A figure that is held to a bound.
pub fn figure(what: impl Into<String>, value: impl Measure, bound: Bound) -> Figure {
    Figure { what: what.into(), value: value.measure(), bound: Some(bound) }
}

/// A figure that is only told; its unit is part of what it is.
pub fn told(what: impl Into<String>, value: impl Measure) -> Figure {
    Figure { what: what.into(), value: value.measure(), bound: None }
}

/// What can be a figure: counts, and times in milliseconds.
pub trait Measure {
    /// The number.
    fn measure(self) -> f64;
}

impl Measure for Duration {
    fn measure(self) -> f64 {
        (self.as_secs_f64() * 100_000.0).round() / 100.0
    }
}

impl Measure for f64 {
    fn measure(self) -> f64 {
        self
    }
}

impl Measure for usize {
    fn measure(self) -> f64 {
        self as f64
    }
}

impl Measure for u64 {
    fn measure(self) -> f64 {
        self as f64
    }
}

impl Figure {
    /// Whether it is within its bound.
    pub fn passed(&self) -> bool {
        self.bound.is_none_or(|bound| self.value <= bound.limit)
    }
}

/// What a run is told.
#[derive(Debug, Clone)]
pub struct Options {
    /// Sizes, and the binary under test.
    pub ground: Ground,
    /// Which cases; empty: all.
    pub only: Vec<String>,
    /// The file of lines.
    pub results: PathBuf,
    /// The page made from it; none: not made.
    pub page: Option<PathBuf>,
}

/// Runs cases and writes down what they gave; says whether all of them passed.
///
/// # Errors
/// When a case is unknown or a file cannot be written; a case that fails is no error here.
pub fn run(options: &Options) -> Result<bool> {
    let wanted = choose(&options.only)?;
    let mut all_passed = true;
    for case in wanted {
        let line = play(case, &options.ground);
        all_passed &= line.passed != Some(false);
        record::tell(&line);
        record::append(&options.results, &line)?;
    }
    if let Some(page) = &options.page {
        page::write(page, &record::read(&options.results)?)?;
    }
    Ok(all_passed)
}

/// Runs one case by its name and returns its figures; an error if one is beyond its bound.
///
/// # Errors
/// As said, and when the case itself fails.
pub fn expect(id: &str, ground: &Ground) -> Result<Vec<Figure>> {
    let wanted = choose(&[id.to_owned()])?;
    let Some(Case { kind: Kind::Runs(run), .. }) = wanted.first() else {
        bail!("{id} does not run here");
    };
    let figures = run(ground)?;
    match figures.iter().find(|figure| !figure.passed()) {
        Some(worst) => bail!("{id}: {worst:?} is beyond its bound; all: {figures:?}"),
        None => Ok(figures),
    }
}

fn choose(only: &[String]) -> Result<Vec<&'static Case>> {
    let known = |id: &String| cases::ALL.iter().find(|case| case.id.eq_ignore_ascii_case(id));
    if let Some(unknown) = only.iter().find(|id| known(id).is_none()) {
        bail!("no case is called {unknown}");
    }
    let wanted = |case: &&Case| only.is_empty() || only.iter().any(|id| case.id.eq_ignore_ascii_case(id));
    Ok(cases::ALL.iter().filter(wanted).collect())
}

fn play(case: &Case, ground: &Ground) -> Line {
    let begun = Instant::now();
    let when = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let line = Line {
        id: case.id.to_owned(),
        name: case.name.to_owned(),
        families: "IPv4, IPv6".to_owned(),
        figures: Vec::new(),
        passed: None,
        remark: None,
        seconds: 0.0,
        when,
        full: ground.full,
    };
    match case.kind {
        Kind::NotHere { why, instead } => Line { remark: Some(format!("{why}; {instead}")), ..line },
        Kind::Runs(run) => match run(ground) {
            Ok(figures) => Line {
                passed: Some(figures.iter().all(Figure::passed)),
                figures: figures.iter().map(Shown::from).collect(),
                seconds: begun.elapsed().as_secs_f64(),
                ..line
            },
            Err(error) => Line {
                passed: Some(false),
                remark: Some(format!("{error:#}")),
                seconds: begun.elapsed().as_secs_f64(),
                ..line
            },
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_case_of_the_list_is_there_once_and_in_order() {
        let mut wanted: Vec<String> =
            (1..=36).filter(|number| *number != 32).map(|number| format!("A{number}")).collect();
        wanted.push("T-HA-4".to_owned());
        wanted.extend((1..=11).filter(|number| *number != 10).map(|number| format!("C{number}")));
        let ids: Vec<&str> = cases::ALL.iter().map(|case| case.id).collect();
        assert_eq!(ids, wanted);
    }

    #[test]
    fn a_figure_fails_beyond_its_limit_and_not_beyond_its_target() {
        let at = |value: f64| figure("a time", value, bounds::SILENCE_FAST_P99).passed();
        let Bound { target, limit, .. } = bounds::SILENCE_FAST_P99;
        assert_eq!([at(target), at(target + 1.0), at(limit + 1.0)], [true, true, false]);
        assert!(told("anything", 1e9).passed());
    }

    #[test]
    fn an_unknown_case_is_refused() {
        assert!(choose(&["A99".to_owned()]).is_err());
        assert_eq!(choose(&["a5".to_owned()]).unwrap().len(), 1);
    }
}
