//! Protocols of binary messages: what is common to them, bounded in length and in sum.

use geminus_core::health::{Fault, FaultKind, Good};

use crate::lines::ended;
use crate::words::{quoted, told};
use crate::{Conversation, KEPT, Step};

/// What one protocol makes of messages.
pub(crate) trait Framed: Send {
    /// What is said first.
    fn begin(&mut self, out: &mut Vec<u8>);

    /// What is waited for.
    fn awaits(&self) -> String;

    /// The first bytes of a message: one at first, and then as many as were asked for. What is answered is appended to
    /// `out`.
    fn message(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Read;
}

/// What the first bytes of a message say.
pub(crate) enum Read {
    /// So many are needed, counted from the first byte of the message; more than there are.
    Need(usize),
    /// That was all of this message, and another is needed.
    Next,
    /// It is over.
    Done(Result<Good, Fault>),
}

impl Read {
    /// All is well.
    pub(crate) const GOOD: Self = Self::Done(Ok(Good { certificate: None }));
}

impl From<Fault> for Read {
    fn from(fault: Fault) -> Self {
        Self::Done(Err(fault))
    }
}

/// A conversation in messages.
pub(crate) struct ByMessage<F> {
    protocol: F,
    /// What came of this message; never more than `need`.
    kept: Vec<u8>,
    /// Bytes of it that are needed to go on.
    need: usize,
    /// Bytes that messages may yet have.
    left: usize,
}

impl<F: Framed> ByMessage<F> {
    pub(crate) const fn new(protocol: F) -> Self {
        Self { protocol, kept: Vec::new(), need: 1, left: KEPT }
    }
}

impl<F: Framed> ByMessage<F> {
    fn too_many(&self) -> Fault {
        told(FaultKind::Garbage, &self.protocol.awaits(), "more than 16 KiB of something else")
    }
}

impl<F: Framed> Conversation for ByMessage<F> {
    fn begin(&mut self, out: &mut Vec<u8>) {
        self.protocol.begin(out);
    }

    fn hear(&mut self, mut bytes: &[u8], out: &mut Vec<u8>) -> Step {
        loop {
            let (taken, rest) = bytes.split_at(bytes.len().min(self.need - self.kept.len()));
            self.kept.extend_from_slice(taken);
            bytes = rest;
            if self.kept.len() < self.need {
                return Step::More;
            }
            match self.protocol.message(&self.kept, out) {
                Read::Need(need) if need > KEPT => {
                    let got = format!("a message of {need} bytes: {}", quoted(&self.kept, 60));
                    return told(FaultKind::Garbage, &self.protocol.awaits(), &got).into();
                }
                Read::Need(need) if need > self.left => return self.too_many().into(),
                Read::Need(need) => self.need = need.max(self.kept.len() + 1),
                Read::Next => {
                    self.left = self.left.saturating_sub(self.kept.len());
                    self.kept.clear();
                    self.need = 1;
                }
                Read::Done(outcome) => return Step::Done(outcome),
            }
        }
    }

    fn closed(&mut self) -> Result<Good, Fault> {
        Err(ended(&self.protocol.awaits(), &self.kept))
    }

    fn awaits(&self) -> String {
        self.protocol.awaits()
    }
}
