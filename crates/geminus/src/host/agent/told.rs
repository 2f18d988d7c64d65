//! What the agent says of itself.

use serde::Serialize;

use crate::screen::{clean, show};

/// Says it on standard output, a line each.
#[derive(Debug, Clone, Copy)]
pub(super) struct Teller {
    /// For programs.
    pub(super) json: bool,
}

#[derive(Debug, Serialize)]
struct Line<'a> {
    event: &'a str,
    message: &'a str,
}

impl Teller {
    /// Something happened.
    pub(super) fn tell(self, event: &str, message: &str) {
        let line = if self.json {
            serde_json::to_string(&Line { event, message }).expect("plain data") + "\n"
        } else {
            format!("{}\n", clean(message))
        };
        // Nobody reads: the work goes on.
        let _ = show(&line);
    }

    /// Something is not as it should be.
    pub(super) fn warn(self, message: &str) {
        self.tell("warning", message);
    }
}
