//! Protocols in which the server speaks first, in lines that begin with a number: SMTP (RFC 5321).

use geminus_core::health::{Fault, FaultKind, Good};

use crate::lines::{LINE, Line, Lines};
use crate::words::{fault, told};
use crate::{Conversation, Step};

/// RFC 5321 section 4.1.4: who has no name gives an address. It is ours only in the sense that everybody has it.
const EHLO: &[u8] = b"EHLO [127.0.0.1]\r\n";
const QUIT: &[u8] = b"QUIT\r\n";

/// Greeting, `EHLO`, and its answer.
pub(crate) struct Smtp {
    lines: Lines,
    greeted: bool,
}

impl Smtp {
    pub(crate) const fn new() -> Self {
        Self { lines: Lines::new(LINE), greeted: false }
    }

    const fn expected(&self) -> &'static str {
        if self.greeted { "250 to EHLO" } else { "a greeting of 220" }
    }

    fn reply(&mut self, line: &[u8], out: &mut Vec<u8>) -> Step {
        let Some(reply) = Reply::read(line) else {
            return fault(FaultKind::Garbage, self.expected(), line).into();
        };
        let wanted = if self.greeted { 250 } else { 220 };
        if reply.code != wanted {
            out.extend_from_slice(QUIT);
            return fault(FaultKind::Unexpected, self.expected(), line).into();
        }
        match (reply.last, self.greeted) {
            (false, _) => Step::More,
            (true, false) => {
                self.greeted = true;
                out.extend_from_slice(EHLO);
                Step::More
            }
            (true, true) => {
                out.extend_from_slice(QUIT);
                Step::GOOD
            }
        }
    }
}

impl Conversation for Smtp {
    fn begin(&mut self, _: &mut Vec<u8>) {}

    fn hear(&mut self, mut bytes: &[u8], out: &mut Vec<u8>) -> Step {
        loop {
            match self.lines.next(&mut bytes) {
                Line::Part => return Step::More,
                Line::TooLong(line) => return fault(FaultKind::Garbage, self.expected(), &line).into(),
                Line::Whole(line) => match self.reply(&line, out) {
                    Step::More => {}
                    step => return step,
                },
            }
        }
    }

    fn closed(&mut self) -> Result<Good, Fault> {
        Err(ended(self.expected(), &self.lines))
    }

    fn awaits(&self) -> String {
        self.expected().to_owned()
    }
}

/// The server closed where a line was expected.
fn ended(expected: &str, lines: &Lines) -> Fault {
    match lines.rest() {
        [] => told(FaultKind::Closed, expected, "the end of the connection"),
        rest => fault(FaultKind::Closed, expected, rest),
    }
}

/// A line of a reply: RFC 5321 section 4.2, RFC 959 section 4.2.
struct Reply {
    code: u16,
    /// No further line of this reply follows.
    last: bool,
}

impl Reply {
    fn read(line: &[u8]) -> Option<Self> {
        let (code, rest) = line.split_at_checked(3)?;
        let digits = code.iter().all(u8::is_ascii_digit);
        let last = match rest.first() {
            None | Some(b' ') => true,
            Some(b'-') => false,
            Some(_) => return None,
        };
        let code = code.iter().fold(0, |sum, digit| sum * 10 + u16::from(digit.wrapping_sub(b'0')));
        digits.then_some(Self { code, last })
    }
}
