//! What reaches the terminal: tones, clean text, and the two audiences.
//!
//! Everything that is data goes through [`clean`], so that a name or a message can never move the cursor, ring the bell
//! or forge another line.

use std::borrow::Cow;
use std::io::{self, IsTerminal, Write};

/// Whom the output is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Look {
    /// Whether tones become colours.
    pub(crate) colour: bool,
    /// Whether figures are rounded and grouped for eyes; programs behind a pipe get them whole.
    pub(crate) eyes: bool,
}

/// When to use colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Colour {
    /// On a terminal, unless `NO_COLOR` is set or the terminal is dumb.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// What a piece of text means to the reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Tone {
    /// Nothing special.
    #[default]
    Plain,
    /// A heading or a name.
    Strong,
    /// As it should be.
    Good,
    /// Worth a look.
    Doubtful,
    /// Not as it should be.
    Bad,
    /// Beside the point.
    Faint,
}

impl Look {
    /// What standard output calls for.
    pub(crate) fn of_stdout(colour: Colour) -> Self {
        Self::of(colour, io::stdout().is_terminal())
    }

    /// What standard error calls for.
    pub(crate) fn of_stderr(colour: Colour) -> Self {
        Self::of(colour, io::stderr().is_terminal())
    }

    fn of(colour: Colour, terminal: bool) -> Self {
        let wanted = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        let dumb = wanted("TERM").is_some_and(|term| term == "dumb");
        Self { colour: decide(colour, terminal, wanted("NO_COLOR").is_some() || dumb), eyes: terminal }
    }

    /// The text in its tone, cleaned.
    pub(crate) fn paint(self, tone: Tone, text: &str) -> String {
        let text = clean(text);
        match tone.code().filter(|_| self.colour) {
            Some(code) => format!("\u{1b}[{code}m{text}\u{1b}[0m"),
            None => text.into_owned(),
        }
    }
}

/// `--color` wins over the environment (<https://no-color.org>), the environment over the terminal.
fn decide(colour: Colour, terminal: bool, refused: bool) -> bool {
    match colour {
        Colour::Always => true,
        Colour::Never => false,
        Colour::Auto => terminal && !refused,
    }
}

impl Tone {
    /// The SGR parameter (ECMA-48) of the tone.
    const fn code(self) -> Option<&'static str> {
        match self {
            Self::Plain => None,
            Self::Strong => Some("1"),
            Self::Good => Some("32"),
            Self::Doubtful => Some("33"),
            Self::Bad => Some("31"),
            Self::Faint => Some("2"),
        }
    }
}

/// The text with everything that does not print written as an escape: control characters, line ends, direction marks.
pub(crate) fn clean(text: &str) -> Cow<'_, str> {
    if text.chars().all(prints) {
        return Cow::Borrowed(text);
    }
    let mut cleaned = String::with_capacity(text.len() + 8);
    for letter in text.chars() {
        if prints(letter) {
            cleaned.push(letter);
        } else {
            cleaned.extend(letter.escape_debug());
        }
    }
    Cow::Owned(cleaned)
}

fn prints(letter: char) -> bool {
    // `escape_debug` leaves exactly the printable characters alone, besides quotes and the backslash, which are harmless.
    matches!(letter, '"' | '\'' | '\\') || letter.escape_debug().len() == 1
}

/// Writes to standard output at once. A reader that went away (`| head`) is no error.
pub(crate) fn show(text: &str) -> io::Result<Delivered> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(Delivered::Yes),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Delivered::NobodyReads),
        Err(error) => Err(error),
    }
}

/// Whether somebody still reads standard output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Delivered {
    /// It was written.
    Yes,
    /// The reading end is closed; more output is pointless.
    NobodyReads,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_never_reaches_the_terminal_as_a_control_sequence() {
        assert_eq!(clean("web\u{1b}[31m1\r\n\u{7}"), "web\\u{1b}[31m1\\r\\n\\u{7}");
        assert_eq!(clean("a\u{202e}b\u{9b}c\u{200b}"), "a\\u{202e}b\\u{9b}c\\u{200b}");
    }

    #[test]
    fn printable_text_is_left_alone() {
        let text = "Straße \"eins\" \\ 'zwei' 東京";
        assert_eq!(clean(text), text);
    }

    #[test]
    fn colour_is_for_terminals_that_want_it() {
        assert!(decide(Colour::Auto, true, false));
        assert!(!decide(Colour::Auto, false, false));
        assert!(!decide(Colour::Auto, true, true));
        assert!(decide(Colour::Always, false, true));
        assert!(!decide(Colour::Never, true, false));
    }

    #[test]
    fn a_tone_is_colour_only_where_colour_is_wanted() {
        let plain = Look { colour: false, eyes: true };
        let colour = Look { colour: true, eyes: true };
        assert_eq!(plain.paint(Tone::Bad, "no"), "no");
        assert_eq!(colour.paint(Tone::Bad, "no"), "\u{1b}[31mno\u{1b}[0m");
        assert_eq!(colour.paint(Tone::Plain, "no"), "no");
    }
}
