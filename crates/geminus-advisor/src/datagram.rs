//! A datagram for a datagram.

use geminus_core::health::{Fault, FaultKind, Good};

use crate::words::{fault, quoted, told};
use crate::{Conversation, Step};

/// What is sent, and what the answer must contain.
pub(crate) struct Datagram {
    send: Vec<u8>,
    expect: Vec<u8>,
}

impl Datagram {
    pub(crate) fn new(send: &[u8], expect: Option<&[u8]>) -> Self {
        Self { send: send.to_vec(), expect: expect.unwrap_or_default().to_vec() }
    }
}

impl Conversation for Datagram {
    fn begin(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.send);
    }

    fn hear(&mut self, bytes: &[u8], _: &mut Vec<u8>) -> Step {
        let expect = &self.expect;
        if expect.is_empty() || bytes.windows(expect.len()).any(|window| window == expect) {
            return Step::GOOD;
        }
        fault(FaultKind::Unexpected, &self.awaits(), bytes).into()
    }

    fn closed(&mut self) -> Result<Good, Fault> {
        Err(told(FaultKind::Closed, &self.awaits(), "nothing"))
    }

    fn awaits(&self) -> String {
        if self.expect.is_empty() {
            return "a datagram".to_owned();
        }
        format!("a datagram with {}", quoted(&self.expect, 60))
    }
}
