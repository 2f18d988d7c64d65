//! Which probes wait for their answer.

/// Probes whose answers are waited for, counted back from the newest.
const WAITED_FOR: u64 = 64;

/// Which probes were answered: an answer counts once.
#[derive(Debug, Default)]
pub(super) struct Answers {
    newest: u64,
    /// Bit n: the probe n before the newest was not answered yet.
    open: u64,
}

impl Answers {
    pub(super) fn asked(&mut self, probe: u64) {
        let ahead = probe.saturating_sub(self.newest);
        self.open = if ahead < WAITED_FOR { self.open << ahead | 1 } else { 1 };
        self.newest = self.newest.max(probe);
    }

    /// Whether it is the first answer to a probe that is waited for.
    pub(super) fn answered(&mut self, probe: u64) -> bool {
        let Some(behind) = self.newest.checked_sub(probe).filter(|behind| *behind < WAITED_FOR) else {
            return false;
        };
        let first = self.open >> behind & 1 != 0;
        self.open &= !(1 << behind);
        first
    }

    pub(super) const fn floor(&self) -> u64 {
        self.newest.saturating_sub(WAITED_FOR)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_counts_once() {
        let mut answers = Answers::default();
        (1..=10).for_each(|probe| answers.asked(probe));
        assert!(answers.answered(7));
        assert!(!answers.answered(7), "sent again by somebody");
        assert!(answers.answered(10) && answers.answered(1));
        assert!(!answers.answered(11), "never asked");
        assert!(!answers.answered(0), "never asked");
    }

    #[test]
    fn an_answer_that_comes_too_late_does_not_count() {
        let mut answers = Answers::default();
        (1..=100).for_each(|probe| answers.asked(probe));
        assert_eq!(answers.floor(), 36);
        assert!(!answers.answered(36) && answers.answered(37));
        answers.asked(1_000);
        assert!(!answers.answered(100), "numbers in between were never asked");
        assert!(answers.answered(1_000));
    }
}
