//! The agent's end of the talk with one dispatcher.

use std::net::IpAddr;

use super::Report;
use super::frame::{self, Head, Kind};
use crate::key::HostKey;

/// What a dispatcher answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    /// Number of the report.
    pub counter: u64,
    /// It counts. Else the dispatcher has asked for proof, which the next report brings.
    pub accepted: bool,
    /// Somebody else was heard for this host within the last seconds.
    pub other: bool,
    /// Its reports are too far apart for the dispatcher's timeout.
    pub seldom: bool,
}

/// Makes the frames for one dispatcher. Each dispatcher has one of its own: what one says means nothing to another.
#[derive(Debug, Clone)]
pub struct Speaker {
    id: u32,
    tag_key: [u8; 32],
    host: IpAddr,
    session: u64,
    counter: u64,
    challenge: u64,
    answered: u64,
}

impl Speaker {
    /// For the agent of this host. `session` is random, not 0, and another for each dispatcher and at each start.
    pub fn new(key: &HostKey, host: IpAddr, session: u64) -> Self {
        let host = host.to_canonical();
        let (id, tag_key) = (key.id(), key.tag_key());
        Self { id, tag_key, host, session, counter: 0, challenge: 0, answered: 0 }
    }

    /// The next report as a frame, and its number. The host is the speaker's, whatever the report says.
    pub fn seal(&mut self, report: &Report) -> (u64, Vec<u8>) {
        self.counter += 1;
        let head = Head {
            kind: Kind::Report,
            key: self.id,
            session: self.session,
            counter: self.counter,
            challenge: self.challenge,
            host: self.host,
        };
        (self.counter, frame::report(&head, report, &self.tag_key))
    }

    /// What a dispatcher's frame says; none: it is not the dispatcher's, not for this agent, or came before.
    pub fn open(&mut self, frame: &[u8]) -> Option<Answer> {
        let head = Head::read(frame).ok().filter(|head| head.kind == Kind::Answer)?;
        let ours = head.session == self.session && head.host == self.host && head.key == self.id;
        let expected = head.counter > self.answered && head.counter <= self.counter;
        if !ours || !expected || !frame::is_authentic(frame, &self.tag_key) {
            return None;
        }
        self.answered = head.counter;
        self.challenge = head.challenge;
        let told = frame::read_answer(frame);
        let frame::Told { accepted, other, seldom } = told;
        Some(Answer { counter: head.counter, accepted, other, seldom })
    }
}
