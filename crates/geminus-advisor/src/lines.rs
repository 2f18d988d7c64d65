//! Protocols of lines: what is common to them, bounded in length and in sum.

use geminus_core::health::{Fault, FaultKind, Good};

use crate::words::{fault, quoted, told};
use crate::{Conversation, KEPT, Step};

/// The longest line that anybody has to read, with its end: RFC 5321 and RFC 2449 have 512, RFC 9051 asks for 8 KiB.
const LINE: usize = 8 * 1_024;
/// So much is read of one conversation: a polite server says a few hundred bytes.
const SUM: usize = KEPT;

/// What one protocol makes of lines.
pub(crate) trait Lined: Send {
    /// What is said first.
    const OPENING: &'static [u8] = b"";

    /// What is waited for.
    fn awaits(&self) -> &'static str;

    /// A line without its end; what is answered is appended to `out`.
    fn line(&mut self, line: &[u8], out: &mut Vec<u8>) -> Step;
}

/// A conversation in lines.
pub(crate) struct ByLine<L> {
    lines: Lines,
    protocol: L,
}

impl<L: Lined> ByLine<L> {
    pub(crate) const fn new(protocol: L) -> Self {
        Self { lines: Lines::new(LINE), protocol }
    }
}

impl<L: Lined> Conversation for ByLine<L> {
    fn begin(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(L::OPENING);
    }

    fn hear(&mut self, mut bytes: &[u8], out: &mut Vec<u8>) -> Step {
        loop {
            match self.lines.next(&mut bytes) {
                Line::Part => return Step::More,
                Line::TooLong(line) => {
                    return fault(FaultKind::Garbage, self.protocol.awaits(), &line).into();
                }
                Line::Whole(line) => match self.protocol.line(&line, out) {
                    Step::More => {}
                    step => return step,
                },
            }
        }
    }

    fn closed(&mut self) -> Result<Good, Fault> {
        Err(ended(self.protocol.awaits(), &self.lines.line))
    }

    fn awaits(&self) -> String {
        self.protocol.awaits().to_owned()
    }
}

/// The server closed where something was expected; `rest` is the beginning of it.
pub(crate) fn ended(expected: &str, rest: &[u8]) -> Fault {
    if rest.is_empty() {
        return told(FaultKind::Closed, expected, "the end of the connection");
    }
    told(FaultKind::Closed, expected, &format!("the end of the connection after {}", quoted(rest, 100)))
}

/// What arrives in pieces, cut into lines.
struct Lines {
    line: Vec<u8>,
    /// Longest line, with its line feed.
    longest: usize,
    /// Bytes that may yet come.
    left: usize,
}

/// What the next bytes make.
enum Line {
    /// A line, without its end (line feed, or carriage return and line feed).
    Whole(Vec<u8>),
    /// Nothing yet; all bytes are taken.
    Part,
    /// More than anybody has to read; its beginning.
    TooLong(Vec<u8>),
}

impl Lines {
    const fn new(longest: usize) -> Self {
        Self { line: Vec::new(), longest, left: SUM }
    }

    /// Takes the next line from the front of `bytes`.
    fn next(&mut self, bytes: &mut &[u8]) -> Line {
        let room = self.left.min(self.longest - self.line.len());
        let window = &bytes[..room.min(bytes.len())];
        let end = window.iter().position(|byte| *byte == b'\n');
        let taken = end.map_or(window.len(), |at| at + 1);
        self.line.extend_from_slice(&window[..taken]);
        self.left -= taken;
        *bytes = &bytes[taken..];
        if end.is_some() {
            let mut line = std::mem::take(&mut self.line);
            line.pop();
            if line.last() == Some(&b'\r') {
                line.pop();
            }
            return Line::Whole(line);
        }
        if self.left == 0 || self.line.len() == self.longest {
            return Line::TooLong(std::mem::take(&mut self.line));
        }
        Line::Part
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_ends_with_a_line_feed_with_or_without_a_carriage_return() {
        let mut lines = Lines::new(LINE);
        let mut bytes: &[u8] = b"one\r\ntwo\nthr";
        assert!(matches!(lines.next(&mut bytes), Line::Whole(line) if line == b"one"));
        assert!(matches!(lines.next(&mut bytes), Line::Whole(line) if line == b"two"));
        assert!(matches!(lines.next(&mut bytes), Line::Part));
        assert_eq!(lines.line, b"thr");
        let mut more: &[u8] = b"ee\n";
        assert!(matches!(lines.next(&mut more), Line::Whole(line) if line == b"three"));
    }

    #[test]
    fn a_line_without_an_end_and_lines_without_an_end_are_too_long() {
        let mut lines = Lines::new(8);
        assert!(matches!(lines.next(&mut &b"1234567\n"[..]), Line::Whole(line) if line == b"1234567"));
        assert!(matches!(lines.next(&mut &b"12345678\n"[..]), Line::TooLong(_)));

        let mut endless = Lines::new(LINE);
        let mut taken = 0;
        while let Line::Whole(_) = endless.next(&mut &b"250-x\r\n"[..]) {
            taken += 7;
            assert!(taken <= SUM);
        }
        assert!(taken > SUM - 14);
    }
}
