//! Faults in words that are safe to print: a hostile server writes into no terminal and no log.

use geminus_core::health::{Fault, FaultKind};

/// [`Fault::words`] has at most so many bytes: a line on a terminal and a field of an event.
pub(crate) const WORDS: usize = 200;
/// So much of what was expected is told; the rest of the line is for what came.
const EXPECTED: usize = 100;

/// A fault that names what was expected and, in quotes, what came.
pub(crate) fn fault(kind: FaultKind, expected: &str, got: &[u8]) -> Fault {
    told(kind, expected, &quoted(got, WORDS))
}

/// A fault that names what was expected and tells in our own words what came.
pub(crate) fn told(kind: FaultKind, expected: &str, got: &str) -> Fault {
    let mut words = format!("expected {}, got ", plain(expected, EXPECTED));
    words.push_str(&plain(got, WORDS - words.len()));
    Fault { kind, words }
}

/// Bytes in double quotes, everything but printable ASCII escaped, shortened to `room` bytes with an ellipsis of three
/// dots behind the closing quote.
pub(crate) fn quoted(bytes: &[u8], room: usize) -> String {
    let mut text = String::from("\"");
    for byte in bytes {
        let escaped = std::ascii::escape_default(*byte);
        // Closing quote and dots have their place too.
        if text.len() + escaped.len() + 4 > room {
            text.push_str("\"...");
            return text;
        }
        text.extend(escaped.map(char::from));
    }
    text.push('"');
    text
}

/// Text of one line, without what is not printable ASCII, of at most `room` bytes.
fn plain(text: &str, room: usize) -> String {
    let printable = |c: char| if c == ' ' || c.is_ascii_graphic() { c } else { '?' };
    let mut line: String = text.chars().map(printable).collect();
    if line.len() > room {
        let quotes = line.ends_with('"') || line.ends_with("\"...");
        let end = if quotes { "\"..." } else { "..." };
        line.truncate(room.saturating_sub(end.len()));
        // Half an escape sequence would read as something else.
        while quotes && line.rfind('\\').is_some_and(|at| line.len() - at < 4) {
            line.truncate(line.rfind('\\').unwrap_or(0));
        }
        line.push_str(end);
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_came_is_quoted_and_escaped() {
        let fault = fault(FaultKind::Garbage, "a greeting", b"\x1b[2J\"\\\r\n\xff ok");
        assert_eq!(fault.words, r#"expected a greeting, got "\x1b[2J\"\\\r\n\xff ok""#);
    }

    #[test]
    fn what_is_too_long_ends_in_dots_and_not_within_an_escape() {
        let fault = fault(FaultKind::Garbage, "less", &[0; 4_096]);
        assert!(fault.words.ends_with("\\x00\"..."), "{}", fault.words);
        assert!(fault.words.len() <= WORDS && fault.words.len() > WORDS - 4, "{}", fault.words.len());
    }

    proptest! {
        #[test]
        fn words_are_one_short_line_of_printable_ascii(
            expected in ".{0,300}",
            got in prop::collection::vec(any::<u8>(), 0..600),
        ) {
            let words = fault(FaultKind::Unexpected, &expected, &got).words;
            prop_assert!(words.len() <= WORDS);
            prop_assert!(words.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()), "{words}");
        }
    }
}
