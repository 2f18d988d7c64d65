//! Counts what cargo's test runs say of themselves.

/// Tests that ran and how they ended.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Tests that passed.
    pub(crate) passed: u64,
    /// Tests that failed.
    pub(crate) failed: u64,
    /// Tests that the run skipped; the project has none, and one that is skipped is not green.
    pub(crate) ignored: u64,
}

impl Tally {
    /// Adds what a line says, when it is one of libtest's closing lines.
    pub(crate) fn read(&mut self, line: &str) {
        let Some((_, counts)) = line.strip_prefix("test result: ").and_then(|rest| rest.split_once(". "))
        else {
            return;
        };
        for part in counts.split(';') {
            let Some((number, what)) = part.trim().split_once(' ') else { continue };
            let Ok(number) = number.parse::<u64>() else { continue };
            match what {
                "passed" => self.passed += number,
                "failed" => self.failed += number,
                "ignored" => self.ignored += number,
                // Measured, filtered out, and the time it took.
                _ => {}
            }
        }
    }

    /// Adds another run's counts.
    pub(crate) fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.ignored += other.ignored;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(output: &str) -> Tally {
        let mut tally = Tally::default();
        output.lines().for_each(|line| tally.read(line));
        tally
    }

    #[test]
    fn the_counts_of_several_test_binaries_add_up() {
        let output = "\
running 2 tests
test a ... ok
test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 5 filtered out; finished in 0.00s
test result: FAILED. 11 passed; 3 failed; 1 ignored; 0 measured; 0 filtered out; finished in 12.31s
";
        assert_eq!(tally(output), Tally { passed: 13, failed: 3, ignored: 1 });
    }

    #[test]
    fn a_line_that_only_looks_like_a_result_counts_nothing() {
        let output = "result: ok. 2 passed\n  test result: ok. 9 passed; 0 failed\ntest result: broken\n";
        assert_eq!(tally(output), Tally::default());
    }
}
