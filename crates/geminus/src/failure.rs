//! How a verb fails: what was wrong, the way out, and the exit code.

use std::io;

use geminus_api::ApiError;

use crate::screen::{Look, Tone, clean};

/// A verb that did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    /// What it says.
    pub(crate) error: ApiError,
    /// Whose fault it is.
    pub(crate) exit: Exit,
}

/// How the process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// 0: done.
    Done,
    /// 1: the answer is no.
    No,
    /// 2: wrong use.
    Wrong,
}

impl Exit {
    /// The number the shell sees.
    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::No => 1,
            Self::Wrong => 2,
        }
    }
}

impl Failure {
    /// The answer is no.
    pub(crate) fn no(message: impl Into<String>) -> Self {
        let error = ApiError { message: message.into(), hint: None, details: Vec::new() };
        Self { error, exit: Exit::No }
    }

    /// The verb was used wrongly.
    pub(crate) fn wrong(message: impl Into<String>) -> Self {
        Self { exit: Exit::Wrong, ..Self::no(message) }
    }

    /// Adds the way out.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.error.hint = Some(hint.into());
        self
    }

    /// Adds further lines.
    pub(crate) fn details(mut self, details: Vec<String>) -> Self {
        self.error.details = details;
        self
    }

    /// The text for standard error: one line, then the details, each from the first column as editors expect a place.
    pub(crate) fn text(&self, look: Look) -> String {
        let mut text = format!("{} {}", look.paint(Tone::Bad, "geminus:"), clean(&self.error.message));
        if let Some(hint) = &self.error.hint {
            text.push_str(": ");
            text.push_str(&clean(hint));
        }
        text.push('\n');
        for line in &self.error.details {
            text.push_str(&clean(line));
            text.push('\n');
        }
        text
    }
}

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Self {
        Self { error, exit: Exit::No }
    }
}

/// Standard output failed for another reason than a closed pipe.
pub(crate) fn cannot_print(error: &io::Error) -> Failure {
    Failure::no(format!("cannot write to standard output: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_one_line_and_its_details() {
        let failure =
            Failure::no("no server \u{1b}[2J").hint("see `geminus servers`").details(vec!["a\nb".into()]);
        let text = failure.text(Look { colour: false, eyes: true });
        assert_eq!(text, "geminus: no server \\u{1b}[2J: see `geminus servers`\na\\nb\n");
    }
}
