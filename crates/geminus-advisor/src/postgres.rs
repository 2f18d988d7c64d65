//! PostgreSQL: the start-up of its protocol, version 3.0 (PostgreSQL documentation, "Message Formats").
//!
//! Two messages are too little for a library that brings the arithmetic of passwords with it.

use geminus_core::health::FaultKind;

use crate::messages::{Framed, Read};
use crate::words::{fault, quoted, told};

/// Version 3.0 and the user that nobody has to create.
const STARTUP: &[u8] = b"\x00\x00\x00\x16\x00\x03\x00\x00user\0geminus\0\0";
const TERMINATE: &[u8] = b"X\x00\x00\x00\x04";
/// Type and length.
const HEAD: usize = 5;

/// A start-up message and the first answer to it.
pub(crate) struct Postgres;

impl Framed for Postgres {
    fn begin(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(STARTUP);
    }

    fn awaits(&self) -> String {
        "a demand for authentication".to_owned()
    }

    fn message(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Read {
        let garbage = || fault(FaultKind::Garbage, &self.awaits(), bytes).into();
        let (kind, rest) = (bytes[0], &bytes[1..]);
        if !b"RENv".contains(&kind) {
            return garbage();
        }
        let Some((length, body)) = rest.split_first_chunk::<4>() else { return Read::Need(HEAD) };
        // The length counts itself.
        let length = u32::from_be_bytes(*length) as usize;
        if length < 4 || kind == b'R' && length < 8 {
            return garbage();
        }
        match kind {
            // Which kind of authentication does not matter; the first four bytes say.
            b'R' if body.len() < 4 => Read::Need(HEAD + 4),
            b'R' => {
                out.extend_from_slice(TERMINATE);
                Read::GOOD
            }
            _ if bytes.len() < length + 1 => Read::Need(length + 1),
            b'E' => self.refused(body),
            // A notice, or the protocol version that the server would rather speak.
            _ => Read::Next,
        }
    }
}

impl Postgres {
    /// An `ErrorResponse`: fields, each a letter and a string that ends with 0.
    fn refused(&self, body: &[u8]) -> Read {
        let field = |letter: u8| {
            body.split(|byte| *byte == 0).find_map(|field| field.strip_prefix(&[letter])).unwrap_or_default()
        };
        let code = field(b'C');
        // Class 28 (invalid authorization) and 3D000 (no such database): it is alive and knows whom it serves.
        if code.starts_with(b"28") || code == b"3D000" {
            return Read::GOOD;
        }
        if code.len() != 5 {
            return fault(FaultKind::Garbage, &self.awaits(), body).into();
        }
        let got = format!("error {} {}", quoted(code, 24), quoted(field(b'M'), 140));
        told(FaultKind::Unexpected, &self.awaits(), &got).into()
    }
}
