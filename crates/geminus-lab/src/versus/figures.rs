//! What all trials together say.

use serde::Serialize;

use super::fault::Fault;
use super::trial::{Outcome, Silence, Steadiness};

/// Everything that was measured.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct Figures {
    /// Where and when.
    pub(super) setting: Setting,
    /// Each product with everything that was done to it.
    pub(super) products: Vec<Measured>,
}

/// Where and when it was measured.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct Setting {
    /// When, for people.
    pub(super) date: String,
    /// Release of the kernel.
    pub(super) kernel: String,
    /// Name of the processors.
    pub(super) processor: String,
    /// How many there are.
    pub(super) processors: usize,
    /// Whether the binary is one that an operator would run.
    pub(super) optimised: bool,
    /// How long all of it took, seconds.
    pub(super) took: f64,
}

/// One product.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct Measured {
    /// Its name with its timers.
    pub(super) name: String,
    /// How it was set up.
    pub(super) method: String,
    /// Whether it is ours, so that the figures that were promised are asked of it.
    #[serde(skip)]
    pub(super) promise: Option<Promised>,
    /// What each fault did, in the order of the faults.
    pub(super) faults: Vec<FaultFigures>,
    /// What loss did.
    pub(super) steadiness: Vec<Steadiness>,
    /// Trials that were spoiled and repeated, with the reason.
    pub(super) spoiled: Vec<String>,
}

/// What one fault did in all its trials.
#[derive(Debug, Clone, Serialize)]
pub(super) struct FaultFigures {
    /// The fault.
    pub(super) fault: Fault,
    /// One for each trial.
    pub(super) outcomes: Vec<Outcome>,
}

/// What was promised for a silent death, milliseconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Promised {
    /// In half of all cases at most.
    pub(super) median: f64,
    /// In 99 of 100 cases at most.
    pub(super) p99: f64,
}

/// A distribution in three figures, milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Spread {
    pub(super) median: f64,
    pub(super) p99: f64,
    pub(super) max: f64,
}

impl FaultFigures {
    /// Times without an answer while the fault was on.
    pub(super) fn gaps(&self) -> Spread {
        Spread::of(self.outcomes.iter().map(|outcome| outcome.fault.gap_ms).collect())
    }

    /// What clients missed while the fault was on.
    pub(super) fn during(&self) -> Vec<Silence> {
        self.outcomes.iter().map(|outcome| outcome.fault).collect()
    }

    /// What clients missed after it had passed; empty for a fault that does not.
    pub(super) fn after(&self) -> Vec<Silence> {
        self.outcomes.iter().filter_map(|outcome| outcome.after).collect()
    }

    /// In how many trials two nodes answered for the address.
    pub(super) fn doubled(&self) -> usize {
        self.outcomes.iter().filter(|outcome| outcome.both_ms > 0.0).count()
    }

    /// The longest time for which they did, milliseconds.
    pub(super) fn longest_double(&self) -> f64 {
        self.outcomes.iter().map(|outcome| outcome.both_ms).fold(0.0, f64::max)
    }

    /// Questions without an answer in all trials.
    pub(super) fn lost(&self) -> u64 {
        self.outcomes.iter().map(|outcome| outcome.fault.lost).sum()
    }

    /// Trials after which nobody answered.
    pub(super) fn never_recovered(&self) -> usize {
        self.outcomes.iter().filter(|outcome| !outcome.after.unwrap_or(outcome.fault).over).count()
    }
}

impl Spread {
    /// By nearest rank: with fewer than a hundred values the 99th percentile is the largest.
    pub(super) fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        let rank = |share: f64| {
            let place = (share * values.len() as f64).ceil() as usize;
            values.get(place.max(1) - 1).copied().unwrap_or(0.0)
        };
        Self { median: rank(0.5), p99: rank(0.99), max: rank(1.0) }
    }
}

impl Measured {
    /// Figures that were promised and not reached, one line each; none for a product that promised nothing.
    pub(super) fn missed(&self) -> Vec<String> {
        let Some(promised) = self.promise else { return Vec::new() };
        let mut missed = Vec::new();
        let mut must = |so: bool, otherwise: String| {
            if !so {
                missed.push(format!("{}: {otherwise}", self.name));
            }
        };
        for figures in &self.faults {
            let (gaps, name) = (figures.gaps(), figures.fault.name());
            match figures.fault {
                Fault::Silence => {
                    must(
                        gaps.median <= promised.median,
                        too_long(name, "median", gaps.median, promised.median),
                    );
                    must(gaps.p99 <= promised.p99, too_long(name, "p99", gaps.p99, promised.p99));
                }
                Fault::Carrier => must(gaps.max <= 20.0, too_long(name, "longest", gaps.max, 20.0)),
                Fault::Goodbye => {
                    must(
                        figures.lost() == 0,
                        format!("{name}: {} questions lost, 0 was promised", figures.lost()),
                    );
                }
                Fault::Kill | Fault::Freeze | Fault::OneWay => {}
            }
            let doubled = figures.doubled();
            must(
                doubled == 0 || matches!(figures.fault, Fault::Goodbye | Fault::Silence),
                format!(
                    "{name}: two answered in {doubled} of {} trials, for {:.0} ms at most",
                    figures.outcomes.len(),
                    figures.longest_double()
                ),
            );
            let never = figures.never_recovered();
            must(never == 0, format!("{name}: in {never} trials nobody answered any more"));
        }
        for steadiness in &self.steadiness {
            let (count, percent) = (steadiness.false_failovers, steadiness.percent);
            must(
                count == 0,
                format!("{count} false failovers in {:.0} s at {percent} % loss", steadiness.seconds),
            );
        }
        missed
    }
}

fn too_long(fault: &str, which: &str, measured: f64, promised: f64) -> String {
    format!("{fault}: {which} {measured:.0} ms, {promised:.0} ms was promised")
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A trial with this gap, of a fault that does not pass.
    pub(crate) fn outcome(gap_ms: f64, both_ms: f64) -> Outcome {
        let fault = Silence { gap_ms, lost: gap_ms as u64, over: true, unasked_ms: 1.0 };
        Outcome { fault, after: None, asked: 1000, both_ms, moved: true, blind_ms: 1.0 }
    }

    #[test]
    fn with_few_values_the_99th_percentile_is_the_largest() {
        let spread = Spread::of(vec![5.0, 1.0, 3.0, 2.0]);
        assert_eq!(spread, Spread { median: 2.0, p99: 5.0, max: 5.0 });
        let many = Spread::of((1..=200).map(f64::from).collect());
        assert_eq!(many, Spread { median: 100.0, p99: 198.0, max: 200.0 });
        assert_eq!(Spread::of(Vec::new()), Spread::default());
    }

    #[test]
    fn what_was_promised_and_not_reached_is_said() {
        let faults = vec![
            FaultFigures { fault: Fault::Silence, outcomes: vec![outcome(44.0, 0.0), outcome(70.0, 0.0)] },
            FaultFigures { fault: Fault::Kill, outcomes: vec![outcome(0.0, 20.0)] },
        ];
        let promise = Some(Promised { median: 45.0, p99: 60.0 });
        let steadiness = vec![Steadiness { percent: 30, seconds: 60.0, false_failovers: 2 }];
        let ours = Measured { promise, faults, steadiness, ..Measured::default() };
        assert_eq!(ours.missed().len(), 3, "{:?}", ours.missed());
        assert!(Measured { promise: None, ..ours }.missed().is_empty());
    }
}
