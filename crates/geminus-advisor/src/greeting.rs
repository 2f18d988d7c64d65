//! Protocols in which the server speaks first, in lines: SMTP (RFC 5321), FTP (RFC 959), POP3 (RFC 1939), IMAP (RFC 9051)
//! and SSH (RFC 4253).

use geminus_core::health::FaultKind;

use crate::Step;
use crate::lines::Lined;
use crate::words::fault;

/// RFC 5321 section 4.1.4: who has no name gives an address. It is ours only in the sense that everybody has it.
const EHLO: &[u8] = b"EHLO [127.0.0.1]\r\n";
const QUIT: &[u8] = b"QUIT\r\n";

/// Greeting, `EHLO`, and its answer.
#[derive(Default)]
pub(crate) struct Smtp {
    greeted: bool,
}

impl Lined for Smtp {
    fn awaits(&self) -> &'static str {
        if self.greeted { "250 to EHLO" } else { "a greeting of 220" }
    }

    fn line(&mut self, line: &[u8], out: &mut Vec<u8>) -> Step {
        let Some(reply) = Reply::read(line) else {
            return fault(FaultKind::Garbage, self.awaits(), line).into();
        };
        let wanted = if self.greeted { 250 } else { 220 };
        if reply.code != wanted {
            out.extend_from_slice(QUIT);
            return fault(FaultKind::Unexpected, self.awaits(), line).into();
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

/// A greeting, of which only the first and the last line begin with a number.
#[derive(Default)]
pub(crate) struct Ftp {
    begun: bool,
}

impl Lined for Ftp {
    fn awaits(&self) -> &'static str {
        if self.begun { "the end of a greeting of 220" } else { "a greeting of 220" }
    }

    fn line(&mut self, line: &[u8], out: &mut Vec<u8>) -> Step {
        match Reply::read(line) {
            Some(Reply { code: 220, last: true }) => {
                out.extend_from_slice(QUIT);
                Step::GOOD
            }
            _ if self.begun => Step::More,
            Some(Reply { code: 220, last: false }) => {
                self.begun = true;
                Step::More
            }
            Some(_) => fault(FaultKind::Unexpected, self.awaits(), line).into(),
            None => fault(FaultKind::Garbage, self.awaits(), line).into(),
        }
    }
}

/// One line.
pub(crate) struct Pop3;

impl Lined for Pop3 {
    fn awaits(&self) -> &'static str {
        "a greeting of +OK"
    }

    fn line(&mut self, line: &[u8], out: &mut Vec<u8>) -> Step {
        match word(line) {
            b"+OK" => {
                out.extend_from_slice(QUIT);
                Step::GOOD
            }
            b"-ERR" => fault(FaultKind::Unexpected, self.awaits(), line).into(),
            _ => fault(FaultKind::Garbage, self.awaits(), line).into(),
        }
    }
}

/// One line, untagged.
pub(crate) struct Imap;

impl Lined for Imap {
    fn awaits(&self) -> &'static str {
        "a greeting of OK or PREAUTH"
    }

    fn line(&mut self, line: &[u8], out: &mut Vec<u8>) -> Step {
        let Some(rest) = line.strip_prefix(b"* ") else {
            return fault(FaultKind::Garbage, self.awaits(), line).into();
        };
        match word(rest).to_ascii_uppercase().as_slice() {
            b"OK" | b"PREAUTH" => {
                out.extend_from_slice(b"a LOGOUT\r\n");
                Step::GOOD
            }
            b"BYE" => fault(FaultKind::Unexpected, self.awaits(), line).into(),
            _ => fault(FaultKind::Garbage, self.awaits(), line).into(),
        }
    }
}

/// One line of at most 255 bytes with its end, and any others before it (RFC 4253 section 4.2). Nothing is said: a server
/// that is told our version sends keys that nobody reads.
pub(crate) struct Ssh;

/// Without carriage return and line feed.
const IDENTIFICATION: usize = 253;

impl Lined for Ssh {
    fn awaits(&self) -> &'static str {
        "an identification of SSH-2.0"
    }

    fn line(&mut self, line: &[u8], _: &mut Vec<u8>) -> Step {
        if !line.starts_with(b"SSH-") {
            return Step::More;
        }
        if line.len() > IDENTIFICATION {
            return fault(FaultKind::Garbage, self.awaits(), line).into();
        }
        if line.starts_with(b"SSH-2.0-") || line.starts_with(b"SSH-1.99-") {
            return Step::GOOD;
        }
        fault(FaultKind::Unexpected, self.awaits(), line).into()
    }
}

/// Up to the first blank.
fn word(line: &[u8]) -> &[u8] {
    line.split(|byte| *byte == b' ').next().unwrap_or_default()
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
        if !code.iter().all(u8::is_ascii_digit) {
            return None;
        }
        let last = match rest.first() {
            None | Some(b' ') => true,
            Some(b'-') => false,
            Some(_) => return None,
        };
        Some(Self { code: code.iter().fold(0, |sum, digit| sum * 10 + u16::from(digit - b'0')), last })
    }
}
