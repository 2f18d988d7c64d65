//! LDAP: an anonymous bind (RFC 4511 section 4.2), and as much of BER as that takes (section 5.1: definite lengths only).

use geminus_core::health::FaultKind;

use crate::messages::{Framed, Read};
use crate::words::{fault, quoted, told};

/// Message 1: version 3, no name, no password.
const BIND: &[u8] = b"\x30\x0c\x02\x01\x01\x60\x07\x02\x01\x03\x04\x00\x80\x00";
/// Message 2.
const UNBIND: &[u8] = b"\x30\x05\x02\x01\x02\x42\x00";

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
const ENUMERATED: u8 = 0x0a;
const OCTETS: u8 = 0x04;
const BIND_RESPONSE: u8 = 0x61;
const EXTENDED_RESPONSE: u8 = 0x78;

/// Results of a server that is not well: an error of its own, a protocol that it does not speak, busy, unavailable, other.
/// All others are about whom it serves.
const UNWELL: [u8; 5] = [1, 2, 51, 52, 80];

/// An anonymous bind and its answer.
pub(crate) struct Ldap;

impl Framed for Ldap {
    fn begin(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(BIND);
    }

    fn awaits(&self) -> String {
        "an answer to an anonymous bind".to_owned()
    }

    fn message(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Read {
        let garbage = || fault(FaultKind::Garbage, &self.awaits(), bytes).into();
        if bytes[0] != SEQUENCE {
            return garbage();
        }
        let whole = match Length::read(&bytes[1..]) {
            Length::Known { length, size } => 1 + size + length,
            Length::Need(size) => return Read::Need(1 + size),
            Length::Broken => return garbage(),
        };
        if bytes.len() < whole {
            return Read::Need(whole);
        }
        let Some(answer) = answer(bytes) else { return garbage() };
        if answer.tag == EXTENDED_RESPONSE || UNWELL.contains(&answer.result) {
            let got = format!("result {} {}", answer.result, quoted(answer.diagnostic, 140));
            return told(FaultKind::Unexpected, &self.awaits(), &got).into();
        }
        if answer.tag != BIND_RESPONSE || answer.message != 1 {
            return garbage();
        }
        out.extend_from_slice(UNBIND);
        Read::GOOD
    }
}

/// An `LDAPResult` with the message that it came in. A server that ends the connection says so in an extended one.
struct Answer<'a> {
    message: u8,
    tag: u8,
    result: u8,
    diagnostic: &'a [u8],
}

fn answer(mut bytes: &[u8]) -> Option<Answer<'_>> {
    let mut envelope = take(&mut bytes)?;
    let message = envelope.number(INTEGER)?;
    let mut operation = take(&mut envelope.contents)?;
    let tag = operation.tag;
    let result = operation.number(ENUMERATED)?;
    let matched = take(&mut operation.contents)?;
    let diagnostic = take(&mut operation.contents)?;
    let strings = matched.tag == OCTETS && diagnostic.tag == OCTETS;
    strings.then_some(Answer { message, tag, result, diagnostic: diagnostic.contents })
}

/// A value of BER.
struct Value<'a> {
    tag: u8,
    contents: &'a [u8],
}

impl Value<'_> {
    /// A number of one byte, taken from the front of the contents.
    fn number(&mut self, tag: u8) -> Option<u8> {
        let value = take(&mut self.contents)?;
        match value.contents {
            [number] if value.tag == tag => Some(*number),
            _ => None,
        }
    }
}

/// Takes a value from the front.
fn take<'a>(bytes: &mut &'a [u8]) -> Option<Value<'a>> {
    let (tag, rest) = bytes.split_first()?;
    let Length::Known { length, size } = Length::read(rest) else { return None };
    let (contents, behind) = rest[size..].split_at_checked(length)?;
    *bytes = behind;
    Some(Value { tag: *tag, contents })
}

/// The length of a value (ITU-T X.690 section 8.1.3), in up to four bytes behind the first.
enum Length {
    Known {
        length: usize,
        /// Bytes that it is written in.
        size: usize,
    },
    /// So many bytes are needed to read it.
    Need(usize),
    /// Indefinite, or longer than anybody's answer.
    Broken,
}

impl Length {
    fn read(bytes: &[u8]) -> Self {
        let Some((first, rest)) = bytes.split_first() else { return Self::Need(1) };
        let count = usize::from(first & 0x7f);
        if first & 0x80 == 0 {
            return Self::Known { length: count, size: 1 };
        }
        if count == 0 || count > 4 {
            return Self::Broken;
        }
        let Some(digits) = rest.get(..count) else { return Self::Need(1 + count) };
        let length = digits.iter().fold(0_u32, |sum, digit| sum << 8 | u32::from(*digit));
        Self::Known { length: length as usize, size: 1 + count }
    }
}
