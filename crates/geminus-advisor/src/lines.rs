//! Lines of a text protocol, bounded in length and in sum.

/// The longest line that anybody has to read, with its end: RFC 5321 and RFC 2449 have 512, RFC 9051 asks for 8 KiB.
pub(crate) const LINE: usize = 8 * 1_024;
/// So much is read of one conversation: a polite server says a few hundred bytes.
const SUM: usize = 16 * 1_024;

/// What arrives in pieces, cut into lines.
pub(crate) struct Lines {
    line: Vec<u8>,
    /// Longest line, with its line feed.
    longest: usize,
    /// Bytes that may yet come.
    left: usize,
}

/// What the next bytes make.
pub(crate) enum Line {
    /// A line, without its end (line feed, or carriage return and line feed).
    Whole(Vec<u8>),
    /// Nothing yet; all bytes are taken.
    Part,
    /// More than anybody has to read; its beginning.
    TooLong(Vec<u8>),
}

impl Lines {
    pub(crate) const fn new(longest: usize) -> Self {
        Self { line: Vec::new(), longest, left: SUM }
    }

    /// Takes the next line from the front of `bytes`.
    pub(crate) fn next(&mut self, bytes: &mut &[u8]) -> Line {
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

    /// What came of a line that has no end yet.
    pub(crate) fn rest(&self) -> &[u8] {
        &self.line
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
        assert_eq!(lines.rest(), b"thr");
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
