//! HTTP/1.1: one request, and as much of the answer as it takes to know.

use std::net::IpAddr;

use geminus_core::health::{Fault, FaultKind, Good};
use geminus_core::model::Http;

use super::body::{Chunks, Framing, Part};
use super::judge::Judge;
use super::request::Request;
use crate::words::{fault, told};
use crate::{Conversation, KEPT, Step};

/// A head has at most so many lines.
const LINES: usize = 128;
/// So many heads of 1xx are skipped.
const INTERIM: u32 = 8;
/// What every answer begins with.
const VERSION: &[u8] = b"HTTP/1.";

/// One request and its answer.
pub struct Exchange {
    request: Request,
    judge: Judge,
    /// The head as far as it came, at most [`KEPT`] bytes; given up when it is read.
    head: Vec<u8>,
    /// Heads of 1xx seen so far.
    interim: u32,
    /// How the body is framed; none while the head is not complete.
    framing: Option<Framing>,
}

impl Exchange {
    /// Asks what `check` says, of the address `by`.
    pub fn new(check: &Http, by: IpAddr, port: u16) -> Self {
        Self {
            request: Request::new(check, by, port),
            judge: Judge::new(check),
            head: Vec::new(),
            interim: 0,
            framing: None,
        }
    }

    /// Takes what belongs to the head from the front of `bytes`.
    fn head(&mut self, bytes: &mut &[u8]) -> Step {
        while let Some((&byte, rest)) = bytes.split_first() {
            *bytes = rest;
            self.head.push(byte);
            let at = self.head.len() - 1;
            if VERSION.get(at).is_some_and(|expected| *expected != byte) {
                return fault(FaultKind::Garbage, "an HTTP answer", &self.head).into();
            }
            if byte == b'\n' && (self.head.ends_with(b"\n\r\n") || self.head.ends_with(b"\n\n")) {
                let head = std::mem::take(&mut self.head);
                match self.read(&head) {
                    Step::More if self.framing.is_none() => {}
                    step => return step,
                }
            } else if self.head.len() == KEPT {
                return told(FaultKind::Garbage, "a head of at most 16 KiB", "more").into();
            }
        }
        Step::More
    }

    /// A complete head.
    fn read(&mut self, head: &[u8]) -> Step {
        let mut lines = [httparse::EMPTY_HEADER; LINES];
        let mut answer = httparse::Response::new(&mut lines);
        let status = match answer.parse(head) {
            Ok(httparse::Status::Complete(_)) => answer.code.unwrap_or_default(),
            Ok(httparse::Status::Partial) => return fault(FaultKind::Garbage, "an HTTP head", head).into(),
            Err(error) => {
                return told(FaultKind::Garbage, "an HTTP head", &broken(error, head)).into();
            }
        };
        // 101 is an answer to what nobody asked for.
        if (100..200).contains(&status) && status != 101 {
            self.interim += 1;
            if self.interim > INTERIM {
                return told(FaultKind::Garbage, "an answer", "one interim answer after the other").into();
            }
            return Step::More;
        }
        let framing = match framing(&self.request.method, status, answer.headers) {
            Ok(framing) => framing,
            Err(fault) => return fault.into(),
        };
        self.framing = Some(framing);
        self.judge.status(status)
    }

    fn body(&mut self, mut bytes: &[u8]) -> Step {
        let Some(framing) = &mut self.framing else { return Step::More };
        loop {
            match framing.next(&mut bytes) {
                Part::Data(data) => match self.judge.body(data) {
                    Step::More => {}
                    step => return step,
                },
                Part::More => return Step::More,
                Part::End => return Step::Done(self.judge.ended()),
                Part::Broken(expected, byte) => return fault(FaultKind::Garbage, expected, &[byte]).into(),
            }
        }
    }
}

impl Conversation for Exchange {
    fn begin(&mut self, out: &mut Vec<u8>) {
        self.request.write(out);
    }

    fn hear(&mut self, mut bytes: &[u8], _: &mut Vec<u8>) -> Step {
        if self.framing.is_none() {
            match self.head(&mut bytes) {
                Step::More => {}
                step => return step,
            }
        }
        self.body(bytes)
    }

    fn closed(&mut self) -> Result<Good, Fault> {
        match &self.framing {
            Some(framing) if framing.ends_with_close() => self.judge.ended(),
            Some(_) => Err(told(FaultKind::Closed, "the whole body", "its beginning and the end")),
            None if self.head.is_empty() => {
                Err(told(FaultKind::Closed, "an HTTP answer", "nothing and the end"))
            }
            None => Err(fault(FaultKind::Closed, "a whole HTTP head", &self.head)),
        }
    }

    fn awaits(&self) -> String {
        self.judge.awaits()
    }
}

/// RFC 9112 section 6.3, for answers.
fn framing(method: &str, status: u16, headers: &[httparse::Header<'_>]) -> Result<Framing, Fault> {
    if method == "HEAD" || status == 204 || status == 304 {
        return Ok(Framing::Empty);
    }
    let values = |name: &'static str| {
        headers.iter().filter(move |header| header.name.eq_ignore_ascii_case(name)).map(|header| header.value)
    };
    if let Some(coding) = values("Transfer-Encoding").next_back() {
        let last = coding.rsplit(|byte| *byte == b',').next().unwrap_or_default().trim_ascii();
        let chunked = last.eq_ignore_ascii_case(b"chunked");
        return Ok(if chunked { Framing::Chunked(Chunks::default()) } else { Framing::UntilClosed });
    }
    let mut length = None;
    for value in values("Content-Length").flat_map(|value| value.split(|byte| *byte == b',')) {
        let value = value.trim_ascii();
        let digits = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
        let parsed = std::str::from_utf8(value).ok().and_then(|text| text.parse::<u64>().ok());
        match parsed.filter(|parsed| digits && length.is_none_or(|length| length == *parsed)) {
            Some(parsed) => length = Some(parsed),
            None => return Err(fault(FaultKind::Garbage, "one Content-Length", value)),
        }
    }
    Ok(length.map_or(Framing::UntilClosed, Framing::Length))
}

/// What is wrong with a head, with the line that it begins with.
fn broken(error: httparse::Error, head: &[u8]) -> String {
    let first = head.split(|byte| *byte == b'\n').next().unwrap_or_default();
    format!("{} ({error})", crate::words::quoted(first, 80))
}
