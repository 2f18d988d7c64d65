//! One connection to one partner.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use geminus_packet::hash::ports_word;
use geminus_packet::journal::Slot;
use geminus_packet::tables::Tables;

use super::bindings::Servers;
use super::incoming::{Incoming, Nonsense};
use super::limits::{LINES, SILENCE};
use super::outgoing::Outgoing;
use super::wire::{self, Hello, Message, Unreadable, VERSION};
use super::{Ground, Shared};
use crate::ha::{Instant, SyncView};

/// What a session is made for.
#[derive(Debug, Clone)]
pub struct Setup {
    /// Name of this node.
    pub node: String,
    /// Name of the partner.
    pub partner: String,
    /// Digest of this node's configuration ([`crate::config::digest`]).
    pub digest: [u8; 32],
    /// This node's configuration line by line, for a partner that has another.
    pub lines: Arc<Vec<String>>,
    /// What the two have in common.
    pub shared: Arc<Shared>,
}

/// Why a session ended. What was replicated stays.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// It says what no partner says.
    #[error("{partner} sent what no partner sends")]
    Garbled {
        /// The partner.
        partner: String,
    },
    /// It speaks another version.
    #[error("{partner} replicates in version {theirs}, this node in version {VERSION}")]
    Version {
        /// The partner.
        partner: String,
        /// Its version.
        theirs: u16,
    },
    /// It is another node than its address says.
    #[error("the node at {partner}'s address says that it is {theirs}")]
    Name {
        /// Who is expected there.
        partner: String,
        /// Who it says it is.
        theirs: String,
    },
    /// It hashes flows with another key.
    #[error("{partner} has another site key")]
    SiteKey {
        /// The partner.
        partner: String,
    },
    /// It says nothing any more.
    #[error("{partner} has said nothing for {} s", SILENCE.as_secs())]
    Silent {
        /// The partner.
        partner: String,
    },
}

impl Broken {
    /// The way out, where a person has to find it; none: the next connection may do better.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Garbled { .. } | Self::Silent { .. } => None,
            Self::Version { .. } => Some("run the same geminus on both, the standby first"),
            Self::Name { .. } => Some("give each dispatcher a name of its own with geminus run --node"),
            Self::SiteKey { .. } => Some("give both dispatchers the same site.key_file"),
        }
    }
}

/// Something to tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The partner is who it should be; copies begin.
    Met,
    /// The partner has the same configuration.
    SameConfig,
    /// The partner has another configuration: its lines, none if they are too many.
    OtherConfig(Option<Vec<String>>),
}

/// What was counted in one session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Numbers {
    /// Flows and clients sent.
    pub sent: u64,
    /// Of these, known to have arrived.
    pub acknowledged: u64,
    /// Waiting or under way.
    pub pending: u64,
    /// Of those sent, not taken by the partner: other configuration, a server given up, no room.
    pub refused: u64,
    /// Flows and clients received.
    pub received: u64,
    /// Of these, written into the table.
    pub written: u64,
    /// Of these, not taken because the table knew as much or more.
    pub kept: u64,
    /// Of these, not taken because this node's configuration does not have the server.
    pub unknown: u64,
    /// Of these, not taken because their server was given up since.
    pub gone: u64,
    /// Of these, not taken for want of room.
    pub full: u64,
    /// Whole copies beyond the first.
    pub resyncs: u64,
    /// From the journal to the partner's acknowledgement, the last time.
    pub lag: Duration,
    /// The same, 99 of the last 100 were quicker.
    pub lag_p99: Duration,
}

/// One connection to one partner.
#[derive(Debug)]
pub struct Session {
    setup: Setup,
    hello_sent: bool,
    met: bool,
    out: Outgoing,
    coming: Incoming,
    heard: Instant,
    refused: u64,
    ask_again: bool,
    digest_to_send: bool,
    theirs: Option<[u8; 32]>,
    /// The line of this node's configuration to be sent next.
    next_line: Option<usize>,
    their_lines: Vec<String>,
    their_bytes: usize,
    too_many: bool,
    events: VecDeque<Event>,
}

impl Session {
    /// A session that has just been connected, and authenticated by the driver.
    pub fn new(setup: Setup, now: Instant) -> Self {
        Self {
            setup,
            hello_sent: false,
            met: false,
            out: Outgoing::new(now),
            coming: Incoming::default(),
            heard: now,
            refused: 0,
            ask_again: false,
            digest_to_send: false,
            theirs: None,
            next_line: None,
            their_lines: Vec::new(),
            their_bytes: 0,
            too_many: false,
            events: VecDeque::new(),
        }
    }

    /// Hears one message; flows go into the tables at once:
    ///
    /// | this node forwards for the group | the partner has it | here | taken |
    /// |---|---|---|---|
    /// | no | either way | nothing | yes |
    /// | no | first hand | something | yes |
    /// | no | from others | something | if its last packet is later |
    /// | yes | first hand | nothing | yes |
    /// | yes | from others | nothing | in a whole copy, unless it is ending |
    /// | yes | either way | something | no: what forwards knows best |
    ///
    /// # Errors
    /// See [`Broken`]; the session is over then.
    pub fn receive(
        &mut self,
        message: &[u8],
        ground: &Ground<'_, impl Tables>,
        servers: &mut Servers,
        now: Instant,
    ) -> Result<(), Broken> {
        let message = match Message::read(message) {
            Ok(message) => message,
            Err(Unreadable::Version(theirs)) if !self.met => {
                return Err(Broken::Version { partner: self.setup.partner.clone(), theirs });
            }
            Err(_) => return Err(self.garbled()),
        };
        self.heard = now;
        if self.met { self.hear(message, ground, servers, now) } else { self.meet(message, ground) }
    }

    fn meet(&mut self, message: Message<'_>, ground: &Ground<'_, impl Tables>) -> Result<(), Broken> {
        let Message::Hello(hello) = message else { return Err(self.garbled()) };
        let partner = self.setup.partner.clone();
        if hello.name != partner {
            return Err(Broken::Name { partner, theirs: hello.name });
        }
        if hello.hash_check != hash_check(ground) {
            return Err(Broken::SiteKey { partner });
        }
        self.met = true;
        self.events.push_back(Event::Met);
        self.compare(hello.digest);
        Ok(())
    }

    fn hear(
        &mut self,
        message: Message<'_>,
        ground: &Ground<'_, impl Tables>,
        servers: &mut Servers,
        now: Instant,
    ) -> Result<(), Broken> {
        let heard = match message {
            Message::Hello(_) => Err(Nonsense),
            Message::Names(names) => self.coming.names(names),
            Message::Flows { batch, progress, records } => {
                self.coming.flows((batch, progress), records, ground, servers, &self.setup.shared)
            }
            Message::Ack { batch, not_taken } => {
                self.refused = not_taken;
                self.out.acknowledge(batch, now).then_some(()).ok_or(Nonsense)
            }
            Message::Begin => {
                self.coming.begin();
                Ok(())
            }
            Message::End { batch } => self.coming.end(batch),
            Message::Again => {
                self.out.copy_again();
                Ok(())
            }
            Message::Digest(digest) => {
                self.compare(digest);
                Ok(())
            }
            Message::Lines { last, lines } => self.hear_lines(last, lines),
        };
        heard.map_err(|Nonsense| self.garbled())
    }

    fn garbled(&self) -> Broken {
        Broken::Garbled { partner: self.setup.partner.clone() }
    }

    /// The partner's configuration has this digest.
    fn compare(&mut self, theirs: [u8; 32]) {
        self.theirs = Some(theirs);
        (self.their_lines, self.their_bytes, self.too_many) = (Vec::new(), 0, false);
        if theirs == self.setup.digest {
            self.next_line = None;
            self.events.push_back(Event::SameConfig);
        } else {
            self.next_line = Some(0);
        }
    }

    fn hear_lines(&mut self, last: bool, bytes: &[u8]) -> Result<(), Nonsense> {
        let lines = wire::read_lines(bytes).ok_or(Nonsense)?;
        self.their_bytes += lines.iter().map(|line| line.len() + size_of::<String>()).sum::<usize>();
        self.too_many |= self.their_bytes > LINES;
        if self.too_many {
            self.their_lines = Vec::new();
        } else {
            self.their_lines.extend(lines);
        }
        if last {
            self.their_bytes = 0;
            let lines = std::mem::take(&mut self.their_lines);
            let lines = (!std::mem::take(&mut self.too_many)).then_some(lines);
            if self.theirs.is_some_and(|theirs| theirs != self.setup.digest) {
                self.events.push_back(Event::OtherConfig(lines));
            }
        }
        Ok(())
    }

    /// Writes the next message; false, and nothing written, if there is none now. Only to be asked while the stream takes
    /// more: what waits, waits here, where it is bounded.
    pub fn send(&mut self, ground: &Ground<'_, impl Tables>, now: Instant, into: &mut Vec<u8>) -> bool {
        if !self.hello_sent {
            self.hello_sent = true;
            let (digest, name) = (self.setup.digest, self.setup.node.clone());
            Hello { digest, hash_check: hash_check(ground), name }.write(into);
            return true;
        }
        if !self.met {
            return false;
        }
        if let Some(batch) = self.coming.to_acknowledge.take() {
            wire::write_ack(batch, self.coming.not_taken(), into);
            return true;
        }
        if std::mem::take(&mut self.ask_again) {
            wire::write_again(into);
            return true;
        }
        if std::mem::take(&mut self.digest_to_send) {
            wire::write_digest(&self.setup.digest, into);
            return true;
        }
        if let Some(from) = self.next_line {
            let next = wire::write_lines(&self.setup.lines, from, into);
            self.next_line = (next < self.setup.lines.len()).then_some(next);
            return true;
        }
        self.out.write(ground, &self.setup.shared, now, into)
    }

    /// A slot of the tables was written by the packet path.
    pub fn promoted(&mut self, slot: Slot, ground: &Ground<'_, impl Tables>, now: Instant) {
        // Before the partners have met nothing needs to be remembered: the whole copy begins later.
        if self.met {
            self.out.promoted(slot, ground, &self.setup.shared, now);
        }
    }

    /// Promotions were missed: the whole table is copied again.
    pub fn lost_track(&mut self) {
        if self.met {
            self.out.copy_again();
        }
    }

    /// Other tables are in force: both sides copy again.
    pub fn tables_replaced(&mut self) {
        self.out.forget_names();
        self.coming.unresolve();
        if self.met {
            self.coming.asked_again();
            self.ask_again = true;
        }
    }

    /// The configuration changed.
    pub fn configure(&mut self, setup: Setup) {
        let other_servers = setup.shared != self.setup.shared;
        let other_digest = setup.digest != self.setup.digest;
        self.setup = setup;
        self.coming.unresolve();
        if other_servers {
            // What the partner did not know may be its own now, both ways.
            self.tables_replaced();
        }
        if other_digest && let Some(theirs) = self.theirs {
            self.digest_to_send = true;
            self.compare(theirs);
        }
    }

    /// Whether the partner still says something.
    ///
    /// # Errors
    /// [`Broken::Silent`].
    pub fn check(&self, now: Instant) -> Result<(), Broken> {
        if now.since(self.heard) > SILENCE {
            return Err(Broken::Silent { partner: self.setup.partner.clone() });
        }
        Ok(())
    }

    /// What is to be told, oldest first.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// How far both copies are.
    pub fn view(&self, ground: &Ground<'_, impl Tables>) -> SyncView {
        if !self.met {
            return SyncView::Down;
        }
        match (self.out.percent(ground), self.coming.percent()) {
            (None, None) => SyncView::Complete,
            (Some(ours), Some(theirs)) => SyncView::Copying(ours.min(theirs)),
            (Some(percent), None) | (None, Some(percent)) => SyncView::Copying(percent),
        }
    }

    /// What was counted.
    pub fn numbers(&self) -> Numbers {
        let (lag, lag_p99) = self.out.lag();
        Numbers {
            sent: self.out.sent,
            acknowledged: self.out.acknowledged,
            pending: self.out.pending() as u64,
            refused: self.refused,
            received: self.coming.received,
            written: self.coming.written,
            kept: self.coming.kept,
            unknown: self.coming.unknown,
            gone: self.coming.gone,
            full: self.coming.full,
            resyncs: self.out.resyncs,
            lag,
            lag_p99,
        }
    }
}

/// The hash of a flow that nobody has: both say it, and know whether they hash alike.
fn hash_check(ground: &Ground<'_, impl Tables>) -> u64 {
    ground.globals.key.v4(0, ports_word(0, 0))
}
