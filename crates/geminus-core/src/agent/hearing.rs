//! The dispatcher's end: whose frames count, and that each is new.
//!
//! No clock says whether a report is new. Each answer carries a *challenge*: a keyed hash of the host, the agent's session,
//! how often the host had a new session, and a span of [`EPOCH`] of this dispatcher's own clock. A report counts only if
//! it carries one of the two newest challenges of its session and its counter is above every one that counted. So a
//! recording never counts twice, one of a session that is over or of another dispatcher never at all, and one that was
//! held back no longer than two spans. Nothing is kept of who asks: a session takes no room before it has answered.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use super::Report;
use super::bucket::Bucket;
use super::frame::{self, Head, Kind, Told, Unread};
use crate::director::Instant;
use crate::key::{AgentsKey, host_octets};

/// Each challenge is good in the span of this length that it was made in, and in the next.
pub const EPOCH: Duration = Duration::from_secs(10);

/// How long after a session was heard another one is told of it.
const OTHER_HEARD: Duration = Duration::from_secs(5);

/// Reports a second of one host that carry a good challenge, and at once: the shortest interval is a tenth of a second.
const PROVED: (u32, u32) = (20, 40);

/// Those that do not: a start takes one, a restart of the dispatcher another.
const UNPROVED: (u32, u32) = (4, 8);

/// Those of all hosts together, so that senders that pose as many hosts cost 2 % of a core.
const UNPROVED_TOTAL: (u32, u32) = (10_000, 20_000);

/// Those of addresses that no server has whose key is looked at, of all together: enough to name who was set up wrongly.
const STRANGERS: (u32, u32) = (4, 16);

/// Keys that are accepted at once: one, and another while they are changed, of a site and of its agents alone.
pub(super) const KEYS: usize = 4;

/// Why a frame is not listened to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, thiserror::Error)]
pub enum Refused {
    /// Its sender is no server of the site.
    #[error("from an address that is no server of the site")]
    Unknown,
    /// It is no report, or says nothing sensible.
    #[error("not a report")]
    Malformed,
    /// Of another version.
    #[error("of version {0}, which this version does not understand")]
    OtherVersion(u8),
    /// It names another host than the one it comes from.
    #[error("naming {0}, which is not where it came from")]
    OtherHost(IpAddr),
    /// More than is listened to.
    #[error("more than are listened to")]
    Flood,
    /// Made with a key that this dispatcher does not have.
    #[error("made with key {0:08x}, which this dispatcher does not have")]
    OtherKey(u32),
    /// Its tag is wrong.
    #[error("made without the key")]
    Forged,
    /// It, or a newer one, came before.
    #[error("sent again, or overtaken by a newer one")]
    Replayed,
}

/// What came of a frame.
#[derive(Debug, Clone, PartialEq)]
pub enum Heard {
    /// Authentic and new.
    Report {
        /// What it says.
        report: Report,
        /// To be sent back.
        answer: Vec<u8>,
    },
    /// Authentic; whether it is new its sender has yet to show.
    Challenged {
        /// To be sent back.
        answer: Vec<u8>,
    },
    /// Made with a key of the site for its own address, which no server has; whether it is new was not asked.
    Stranger {
        /// What it says.
        report: Report,
    },
    /// Not listened to.
    Refused(Refused),
}

/// What was counted so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Reports that counted.
    pub accepted: u64,
    /// Reports whose sender was asked to show that it speaks now.
    pub challenged: u64,
    /// [`Heard::Stranger`] and [`Refused::Unknown`].
    pub unknown: u64,
    /// [`Refused::Malformed`], [`Refused::OtherVersion`] and [`Refused::OtherHost`].
    pub malformed: u64,
    /// [`Refused::Flood`].
    pub flood: u64,
    /// [`Refused::OtherKey`] and [`Refused::Forged`].
    pub wrong_key: u64,
    /// [`Refused::Replayed`].
    pub replayed: u64,
}

impl Counts {
    fn note(&mut self, heard: &Heard) {
        *match heard {
            Heard::Report { .. } => &mut self.accepted,
            Heard::Challenged { .. } => &mut self.challenged,
            Heard::Stranger { .. } | Heard::Refused(Refused::Unknown) => &mut self.unknown,
            Heard::Refused(Refused::Malformed | Refused::OtherVersion(_) | Refused::OtherHost(_)) => {
                &mut self.malformed
            }
            Heard::Refused(Refused::Flood) => &mut self.flood,
            Heard::Refused(Refused::OtherKey(_) | Refused::Forged) => &mut self.wrong_key,
            Heard::Refused(Refused::Replayed) => &mut self.replayed,
        } += 1;
    }
}

/// A key of one host: its name and that of tags.
#[derive(Clone)]
struct Key {
    id: u32,
    tag_key: [u8; 32],
}

/// The session that counts.
#[derive(Debug, Clone, Copy)]
struct Adopted {
    session: u64,
    newest: u64,
    heard: Instant,
}

struct Host {
    /// Made of the site's when the host is first heard.
    keys: Vec<Key>,
    /// How many sessions were adopted.
    sessions: u64,
    adopted: Option<Adopted>,
    proved: Bucket,
    unproved: Bucket,
}

/// All agents of a site, as one dispatcher hears them.
pub struct Hearing {
    secret: [u8; 32],
    keys: Vec<AgentsKey>,
    hosts: BTreeMap<IpAddr, Host>,
    timeout: Duration,
    unproved: Bucket,
    strangers: Bucket,
    counts: Counts,
}

impl std::fmt::Debug for Hearing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { hosts, counts, .. } = self;
        f.debug_struct("Hearing").field("hosts", &hosts.len()).field("counts", counts).finish_non_exhaustive()
    }
}

impl Hearing {
    /// Nobody is known yet. `secret` is random, and another at each start.
    pub fn new(secret: [u8; 32]) -> Self {
        let unproved = Bucket::new(UNPROVED_TOTAL.0, UNPROVED_TOTAL.1);
        Self {
            secret,
            keys: Vec::new(),
            hosts: BTreeMap::new(),
            timeout: Duration::MAX,
            unproved,
            strangers: Bucket::new(STRANGERS.0, STRANGERS.1),
            counts: Counts::default(),
        }
    }

    /// These keys are accepted, the first [`KEYS`] of them, these hosts are known, and an agent is lost after `timeout`;
    /// sessions of hosts that stay go on.
    pub fn configure(&mut self, keys: &[AgentsKey], hosts: &BTreeSet<IpAddr>, timeout: Duration) {
        self.timeout = timeout;
        let keys = &keys[..keys.len().min(KEYS)];
        let others = self.keys != keys;
        self.keys = keys.to_vec();
        let hosts: BTreeSet<IpAddr> = hosts.iter().map(IpAddr::to_canonical).collect();
        self.hosts.retain(|host, _| hosts.contains(host));
        for host in hosts {
            let host = self.hosts.entry(host).or_insert_with(Host::new);
            if others {
                host.keys.clear();
            }
        }
    }

    /// What was counted so far.
    pub const fn counts(&self) -> Counts {
        self.counts
    }

    /// Judges a frame from this address.
    pub fn hear(&mut self, source: IpAddr, frame: &[u8], now: Instant) -> Heard {
        let heard = self.judge(source.to_canonical(), frame, now).unwrap_or_else(Heard::Refused);
        self.counts.note(&heard);
        heard
    }

    fn judge(&mut self, source: IpAddr, frame: &[u8], now: Instant) -> Result<Heard, Refused> {
        let Some(host) = self.hosts.get_mut(&source) else {
            let report = self.stranger(source, frame, now).ok_or(Refused::Unknown)?;
            return Ok(Heard::Stranger { report });
        };
        let head = Head::read(frame).map_err(unread)?;
        if head.kind != Kind::Report {
            return Err(Refused::Malformed);
        }
        if head.host != source {
            return Err(Refused::OtherHost(head.host));
        }
        let secret = &self.secret;
        let challenge =
            |host: &Host, ago| challenge(secret, &head, host.turn(head.session), epoch(now) - ago);
        let proved = [0, 1].map(|ago| challenge(host, ago)).contains(&head.challenge);
        // Nobody off the way between the two knows the challenge, so a flood from outside leaves a known agent's share alone.
        let admitted =
            if proved { host.proved.take(now) } else { host.unproved.take(now) && self.unproved.take(now) };
        if !admitted {
            return Err(Refused::Flood);
        }
        let key = host.key(&self.keys, source, head.key).ok_or(Refused::OtherKey(head.key))?;
        if !frame::is_authentic(frame, &key.tag_key) {
            return Err(Refused::Forged);
        }
        let report = frame::read_report(&head, frame).map_err(unread)?;
        let other = host
            .adopted
            .is_some_and(|adopted| adopted.session != head.session && now.since(adopted.heard) < OTHER_HEARD);
        let accepted = host.adopt(&head, proved, now)?;
        let back = Head { kind: Kind::Answer, challenge: challenge(host, 0), ..head };
        let seldom = report.is_seldom(self.timeout);
        let answer = frame::answer(&back, Told { accepted, other, seldom }, &key.tag_key);
        Ok(if accepted { Heard::Report { report, answer } } else { Heard::Challenged { answer } })
    }
}

impl Hearing {
    /// What somebody says who has a key of the site and an address that no server has. Whoever has none costs a look at the
    /// head, or one of a few hashes a second.
    fn stranger(&mut self, source: IpAddr, frame: &[u8], now: Instant) -> Option<Report> {
        let head = Head::read(frame).ok().filter(|head| head.kind == Kind::Report && head.host == source)?;
        if !self.strangers.take(now) {
            return None;
        }
        let mut keys = self.keys.iter().map(|key| key.of_host(source));
        let key = keys.find(|key| key.id() == head.key)?;
        if !frame::is_authentic(frame, &key.tag_key()) {
            return None;
        }
        frame::read_report(&head, frame).ok()
    }
}

impl Host {
    const fn new() -> Self {
        Self {
            keys: Vec::new(),
            sessions: 0,
            adopted: None,
            proved: Bucket::new(PROVED.0, PROVED.1),
            unproved: Bucket::new(UNPROVED.0, UNPROVED.1),
        }
    }

    fn key(&mut self, keys: &[AgentsKey], address: IpAddr, id: u32) -> Option<Key> {
        if self.keys.is_empty() {
            let key = |of: &AgentsKey| {
                let key = of.of_host(address);
                Key { id: key.id(), tag_key: key.tag_key() }
            };
            self.keys = keys.iter().map(key).collect();
        }
        self.keys.iter().find(|key| key.id == id).cloned()
    }

    /// How many sessions were adopted before this one is, or was.
    fn turn(&self, session: u64) -> u64 {
        let adopted = self.adopted.is_some_and(|adopted| adopted.session == session);
        self.sessions - u64::from(adopted)
    }

    /// Whether an authentic report counts.
    fn adopt(&mut self, head: &Head, proved: bool, now: Instant) -> Result<bool, Refused> {
        match &mut self.adopted {
            Some(adopted) if adopted.session == head.session => {
                if head.counter <= adopted.newest {
                    return Err(Refused::Replayed);
                }
                if proved {
                    adopted.newest = head.counter;
                    adopted.heard = now;
                }
            }
            _ if proved => {
                // Challenges of every session before this are worth nothing from now on.
                self.sessions += 1;
                self.adopted = Some(Adopted { session: head.session, newest: head.counter, heard: now });
            }
            _ => {}
        }
        Ok(proved)
    }
}

fn unread(unread: Unread) -> Refused {
    match unread {
        Unread::Malformed => Refused::Malformed,
        Unread::Version(version) => Refused::OtherVersion(version),
    }
}

fn epoch(now: Instant) -> u64 {
    // The first span is the second one, so that the one before it is a number too.
    1 + now.elapsed().as_secs() / EPOCH.as_secs()
}

fn challenge(secret: &[u8; 32], head: &Head, sessions: u64, epoch: u64) -> u64 {
    let mut hasher = blake3::Hasher::new_keyed(secret);
    hasher.update(&host_octets(head.host));
    for word in [head.session, sessions, epoch] {
        hasher.update(&word.to_le_bytes());
    }
    let word = u64::from_le_bytes(*hasher.finalize().as_bytes().first_chunk().expect("a hash is longer"));
    // 0 says that no challenge was heard.
    word.max(1)
}
