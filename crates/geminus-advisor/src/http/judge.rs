//! Whether an answer is as expected, of any version of HTTP.

use std::fmt::Write as _;

use geminus_core::health::{Fault, FaultKind, Good};
use geminus_core::model::Http;

use crate::words::{quoted, told};
use crate::{KEPT, Step};

/// What is shown of a body that has not what was expected.
const SHOWN: usize = 60;

/// Judges an answer as it comes: first its status, then its body, without chunks or frames.
///
/// For HTTP/2: give the status of the final head (1xx are skipped) to [`Judge::status`], the data of each frame to
/// [`Judge::body`], and say [`Judge::ended`] with the end of the stream (with the head already, if that ends it).
#[derive(Debug, Clone)]
pub struct Judge {
    expect: Vec<(u16, u16)>,
    wanted: Option<Vec<u8>>,
    /// What came of the body; at most [`KEPT`] bytes.
    body: Vec<u8>,
}

impl Judge {
    /// Expects what `check` says.
    pub fn new(check: &Http) -> Self {
        // A HEAD has no body to look into (RFC 9110 section 9.3.2).
        let wanted = check.body.as_ref().filter(|text| !text.is_empty() && check.method != "HEAD");
        Self {
            expect: check.expect.clone(),
            wanted: wanted.map(|text| text.as_bytes().to_vec()),
            body: Vec::new(),
        }
    }

    /// The status of the answer; not 1xx, of which any number may come before it.
    pub fn status(&mut self, status: u16) -> Step {
        if !self.expect.iter().any(|(first, last)| (*first..=*last).contains(&status)) {
            return told(FaultKind::Unexpected, &self.statuses(), &format!("status {status}")).into();
        }
        if self.wanted.is_some() { Step::More } else { Step::GOOD }
    }

    /// What came of the body; called only after [`Self::status`] asked for more.
    pub fn body(&mut self, bytes: &[u8]) -> Step {
        let Some(wanted) = &self.wanted else { return Step::GOOD };
        let room = KEPT - self.body.len();
        // A match may have begun in what came before.
        let from = self.body.len().saturating_sub(wanted.len() - 1);
        self.body.extend_from_slice(&bytes[..bytes.len().min(room)]);
        if self.body[from..].windows(wanted.len()).any(|window| window == wanted) {
            return Step::GOOD;
        }
        if self.body.len() == KEPT {
            Step::Done(Err(self.missing("in its first 16 KiB")))
        } else {
            Step::More
        }
    }

    /// The body is complete.
    ///
    /// # Errors
    /// It has not what was expected.
    pub fn ended(&mut self) -> Result<Good, Fault> {
        if self.wanted.is_some() { Err(self.missing("in the body")) } else { Ok(Good::default()) }
    }

    /// What is waited for, in words.
    pub fn awaits(&self) -> String {
        self.wanted.as_ref().map_or_else(|| self.statuses(), |wanted| body_with(wanted))
    }

    fn missing(&self, place: &str) -> Fault {
        let expected = body_with(self.wanted.as_deref().unwrap_or_default());
        let got = format!("{} bytes without it {place}: {}", self.body.len(), quoted(&self.body, SHOWN));
        told(FaultKind::Unexpected, &expected, &got)
    }

    fn statuses(&self) -> String {
        let mut text = "status ".to_owned();
        for (at, (first, last)) in self.expect.iter().enumerate() {
            let comma = if at == 0 { "" } else { ", " };
            let range = if first == last { format!("{first}") } else { format!("{first}-{last}") };
            // Writing to a string cannot fail.
            let _ = write!(text, "{comma}{range}");
        }
        text
    }
}

fn body_with(wanted: &[u8]) -> String {
    format!("a body with {}", quoted(wanted, SHOWN))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::tests::check;

    fn looking_for(text: &str) -> Judge {
        Judge::new(&Http { body: Some(text.to_owned()), ..check() })
    }

    #[test]
    fn a_status_is_good_in_any_of_the_ranges() {
        let judge = Judge::new(&Http { expect: vec![(200, 204), (401, 401)], ..check() });
        for (status, good) in
            [(199, false), (200, true), (204, true), (205, false), (401, true), (402, false)]
        {
            let step = judge.clone().status(status);
            assert_eq!(step == Step::GOOD, good, "{status}");
        }
        let Step::Done(Err(fault)) = judge.clone().status(503) else { panic!("503 is a fault") };
        assert_eq!(fault.words, "expected status 200-204, 401, got status 503");
        assert_eq!(fault.kind, FaultKind::Unexpected);
    }

    #[test]
    fn a_match_may_lie_across_pieces() {
        let mut judge = looking_for("all is well");
        assert_eq!(judge.status(200), Step::More);
        assert_eq!(judge.body(b"so far all is "), Step::More);
        assert_eq!(judge.body(b"well here"), Step::GOOD);
    }

    #[test]
    fn only_the_first_16_kib_are_looked_into() {
        let mut judge = looking_for("needle");
        let mut body = vec![b'.'; KEPT - 6];
        body.extend_from_slice(b"needle");
        assert_eq!(judge.clone().body(&body), Step::GOOD);
        body.insert(0, b'.');
        let Step::Done(Err(fault)) = judge.body(&body) else { panic!("the needle is behind the bound") };
        assert!(fault.words.contains("16384 bytes without it in its first 16 KiB"), "{}", fault.words);
    }

    #[test]
    fn a_head_has_no_body_that_could_be_wrong() {
        let check = Http { method: "HEAD".to_owned(), body: Some("x".to_owned()), ..check() };
        assert_eq!(Judge::new(&check).status(200), Step::GOOD);
    }
}
