//! What many measurements of one thing come to.

use serde::Serialize;

/// Least and median. The least is the quiet machine, the median the machine as found.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Spread {
    pub(crate) min: f64,
    pub(crate) median: f64,
}

impl Spread {
    /// Least less least, median less median.
    pub(crate) fn less(self, other: Self) -> Self {
        Self { min: self.min - other.min, median: self.median - other.median }
    }
}

/// Of no measurement at all, neither is a number.
pub(crate) fn spread(figures: &[f64]) -> Spread {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = |index: usize| sorted.get(index).copied().unwrap_or(f64::NAN);
    Spread { min: at(0), median: at(sorted.len() / 2) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_is_the_least_and_the_middle_in_whatever_order() {
        let Spread { min, median } = spread(&[5.0, 1.0, 9.0, 3.0, 7.0]);
        assert_eq!((min, median), (1.0, 5.0));
    }

    #[test]
    fn nothing_measured_is_no_figure() {
        assert!(spread(&[]).min.is_nan());
    }
}
