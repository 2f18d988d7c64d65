//! How much of its time the machine did not have: what its host gave to others.
//!
//! A test of the lab that lost a race on a machine which stood still for a third of a second has shown nothing.

use std::fs::read_to_string;

/// Processor time since the machine began, in ticks of all its processors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ticks {
    all: u64,
    stolen: u64,
}

impl Ticks {
    /// By now; none: the kernel does not say.
    pub(crate) fn now() -> Option<Self> {
        Self::parse(&read_to_string("/proc/stat").ok()?)
    }

    /// The first line of `/proc/stat`: user, nice, system, idle, iowait, irq, softirq, steal (proc(5)).
    fn parse(text: &str) -> Option<Self> {
        let ticks = text.lines().next()?.strip_prefix("cpu ")?;
        let ticks = ticks.split_whitespace().take(8).map(|word| word.parse().ok());
        let ticks: Vec<u64> = ticks.collect::<Option<_>>()?;
        (ticks.len() == 8).then(|| Self { all: ticks.iter().sum(), stolen: ticks[7] })
    }

    /// The share that was stolen from then until now, per cent.
    pub(crate) fn stolen_since(self, then: Self) -> f64 {
        let all = self.all.saturating_sub(then.all);
        if all == 0 { 0.0 } else { self.stolen.saturating_sub(then.stolen) as f64 / all as f64 * 100.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_eighth_figure_is_what_was_stolen() {
        let then = Ticks::parse("cpu  100 0 50 800 0 0 10 40 7 0\ncpu0 1 2 3\n").expect("a line");
        let now = Ticks::parse("cpu  150 0 50 840 0 0 10 50 9 0\n").expect("a line");
        assert_eq!(then, Ticks { all: 1000, stolen: 40 });
        assert!((now.stolen_since(then) - 10.0).abs() < 1e-9);
        assert!(then.stolen_since(then).abs() < 1e-9);
    }

    #[test]
    fn what_is_not_that_line_says_nothing() {
        for text in ["", "cpu  1 2 3\n", "cpu  1 2 3 4 5 6 7 x\n", "intr 5\n"] {
            assert_eq!(Ticks::parse(text), None, "{text}");
        }
    }
}
