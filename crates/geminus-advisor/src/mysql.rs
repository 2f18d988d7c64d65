//! MySQL and MariaDB: the connection phase (MySQL documentation, "Protocol::Handshake").
//!
//! A server counts connections that end before the login against the host they came from, and after a hundred of them shuts
//! that host out (`max_connect_errors`). So the advisor logs in, as `geminus` without a password: where there is no such user,
//! that is an honest failure, which is not counted.

use geminus_core::health::FaultKind;

use crate::messages::{Framed, Read};
use crate::words::{fault, quoted, told};

/// Length (three bytes, little-endian) and sequence number.
const HEAD: usize = 4;
const PROTOCOL: u8 = 10;
const ERROR: u8 = 0xff;
const OTHER_METHOD: u8 = 0xfe;
/// The host may not connect. As with a password that is asked for: it is alive, and clients are other hosts.
const HOST_NOT_PRIVILEGED: u16 = 1_130;
/// Errors of a server that serves nobody at the moment: too many connections, shutting down, host shut out, too many of one
/// user's connections.
const UNWELL: [u16; 4] = [1_040, 1_053, 1_129, 1_203];
/// Capabilities: the protocol since 4.1, secure connections, and the name of an authentication method.
const CAPABILITIES: u32 = 0x200 | 0x8000 | 0x8_0000;
const QUIT: &[u8] = b"\x01\x00\x00\x00\x01";

/// A handshake packet, and what comes of a login.
#[derive(Default)]
pub(crate) struct Mysql {
    greeted: bool,
    /// Another authentication method has been agreed to.
    switched: bool,
}

impl Framed for Mysql {
    fn begin(&mut self, _: &mut Vec<u8>) {}

    fn awaits(&self) -> String {
        let text = if self.greeted { "an answer to a login" } else { "a handshake of protocol 10" };
        text.to_owned()
    }

    fn message(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Read {
        let Some((head, body)) = bytes.split_first_chunk::<HEAD>() else { return Read::Need(HEAD) };
        let length = u32::from_le_bytes([head[0], head[1], head[2], 0]) as usize;
        let sequence = head[3];
        if length == 0 {
            return fault(FaultKind::Garbage, &self.awaits(), bytes).into();
        }
        if body.is_empty() {
            return Read::Need(HEAD + 1);
        }
        let first = body[0];
        if !self.greeted && ![PROTOCOL, ERROR].contains(&first) {
            return fault(FaultKind::Garbage, &self.awaits(), bytes).into();
        }
        if body.len() < length {
            return Read::Need(HEAD + length);
        }
        match (first, self.greeted) {
            (ERROR, _) => self.error(body),
            (_, false) => self.greeting(body, sequence, out),
            (OTHER_METHOD, true) if !self.switched => {
                self.switched = true;
                // Nothing to prove by this method either.
                out.extend_from_slice(&[0, 0, 0, sequence.wrapping_add(1)]);
                Read::Next
            }
            (0 | 1 | OTHER_METHOD, true) => {
                out.extend_from_slice(QUIT);
                Read::GOOD
            }
            _ => fault(FaultKind::Garbage, &self.awaits(), body).into(),
        }
    }
}

impl Mysql {
    /// Version as a string that ends with 0, connection number, first half of the challenge and a 0.
    fn greeting(&mut self, body: &[u8], sequence: u8, out: &mut Vec<u8>) -> Read {
        let version = body[1..].iter().position(|byte| *byte == 0);
        if version.is_none_or(|end| body.len() < 1 + end + 1 + 4 + 8 + 1) {
            return fault(FaultKind::Garbage, &self.awaits(), body).into();
        }
        self.greeted = true;
        login(sequence.wrapping_add(1), out);
        Read::Next
    }

    /// Number, since 4.1 a state of `#` and five letters, and a message.
    fn error(&self, body: &[u8]) -> Read {
        let Some((code, text)) = body[1..].split_first_chunk::<2>() else {
            return fault(FaultKind::Garbage, &self.awaits(), body).into();
        };
        let code = u16::from_le_bytes(*code);
        let alive = if self.greeted { !UNWELL.contains(&code) } else { code == HOST_NOT_PRIVILEGED };
        if alive {
            return Read::GOOD;
        }
        let text = if text.first() == Some(&b'#') { text.get(6..).unwrap_or_default() } else { text };
        told(FaultKind::Unexpected, &self.awaits(), &format!("error {code} {}", quoted(text, 140))).into()
    }
}

/// `HandshakeResponse41` of a user without a password.
fn login(sequence: u8, out: &mut Vec<u8>) {
    let mut body = CAPABILITIES.to_le_bytes().to_vec();
    body.extend_from_slice(&0x00ff_ffff_u32.to_le_bytes());
    // utf8, and 23 bytes kept for later.
    body.push(33);
    body.extend_from_slice(&[0; 23]);
    body.extend_from_slice(b"geminus\0\0mysql_native_password\0");
    let length = u8::try_from(body.len()).expect("a login is short");
    out.extend_from_slice(&[length, 0, 0, sequence]);
    out.extend_from_slice(&body);
}
