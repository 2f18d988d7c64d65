//! Redis and its kin: RESP, the serialization protocol.

use geminus_core::health::FaultKind;

use crate::Step;
use crate::lines::Lined;
use crate::words::fault;

/// `PING`, and one line.
pub(crate) struct Redis;

/// Errors of a server that is alive and would answer whoever may ask.
const ALIVE: [&[u8]; 3] = [b"-NOAUTH", b"-DENIED", b"-NOPERM"];

impl Lined for Redis {
    const OPENING: &'static [u8] = b"*1\r\n$4\r\nPING\r\n";

    fn awaits(&self) -> &'static str {
        "PONG"
    }

    fn line(&mut self, line: &[u8], _: &mut Vec<u8>) -> Step {
        if line == b"+PONG" {
            return Step::GOOD;
        }
        if line.first() != Some(&b'-') {
            return fault(FaultKind::Garbage, self.awaits(), line).into();
        }
        let word = line.split(|byte| *byte == b' ').next().unwrap_or_default();
        if ALIVE.contains(&word) {
            return Step::GOOD;
        }
        fault(FaultKind::Unexpected, self.awaits(), line).into()
    }
}
