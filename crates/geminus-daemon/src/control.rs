//! The control API: a Unix socket on which each line is a call or a reply, as in `geminus-api`.

mod peer;
mod server;
mod session;

#[cfg(test)]
mod tests;

use geminus_api::{Event, Outcome, Request};
use tokio::sync::{broadcast, oneshot};

pub(crate) use server::ControlServer;

/// One call, on its way to who can answer it.
#[derive(Debug)]
pub(crate) struct Question {
    /// What is asked.
    pub(crate) request: Request,
    /// Where the answer goes.
    pub(crate) answer: oneshot::Sender<Answer>,
}

/// What comes back.
#[derive(Debug)]
pub(crate) enum Answer {
    /// One reply.
    One(Box<Outcome>),
    /// Past events, and where further ones come from if they are wanted.
    Events { past: Vec<Event>, next: Option<broadcast::Receiver<Event>> },
}

/// Longest line a client may send. A call has a few hundred bytes.
const LINE_BYTES: usize = 64 << 10;

/// Clients at once; one more is told so and let go.
const CLIENTS: usize = 64;

/// Calls under way at once: every client has at most one.
pub(crate) const QUESTIONS: usize = CLIENTS;

/// Events a follower may be behind; what it misses is counted for it.
pub(crate) const EVENTS_BEHIND: usize = 1024;
