//! The channel to one partner.

use std::collections::VecDeque;
use std::time::Duration;

use geminus_packet::twin::{
    BODY_AT, EXCHANGE_BYTES, First, GroupTold, Head, Kind, LONGEST, SHORTEST_BEAT, TAG_BYTES, VERSION,
    answer_gate, gate,
};

use super::body::{self, Proof, Unread};
use crate::ha::{Beat, GroupReport, Role, Standing};
use crate::key::{HaKeys, PairKey};

/// A proof names one of so many of the newest frames: those of a few seconds. Older ones may have been recorded.
const RECENT: u64 = 4096;

/// Sessions of the partner that are over, and never adopted again.
const OVER: usize = 16;

/// Sessions that asked to be adopted and wait for their proof: several, so that a flood of recordings does not hide the
/// one that can give it.
const ASKING: usize = 4;

/// What a good frame is.
#[derive(Debug, Clone, PartialEq)]
pub enum Opened {
    /// The partner's daemon speaks.
    Beat {
        /// Its session.
        session: u64,
        /// What it says.
        beat: Beat,
        /// When its frame came, in nanoseconds of the monotonic clock; 0: no program saw it.
        stamp: u64,
    },
    /// A daemon with the key speaks that has not proved yet to speak now. Its next frame but one will.
    Hello,
    /// The partner's program answers a probe.
    Answer {
        /// Number of the probe.
        probe: u64,
        /// What it says of the groups that the two share.
        reports: Vec<GroupReport>,
        /// As of a beat.
        stamp: u64,
    },
}

/// Why a frame is not listened to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Refused {
    /// Too short, too long, or not a partner's frame at all.
    #[error("not a frame of a partner")]
    Malformed,
    /// Its format, or what it says, is of a version that this one does not understand.
    #[error("of version {0}, which this version does not understand")]
    OtherVersion(u8),
    /// Its key is none of this node's.
    #[error("made with key {0:02x}, which this node does not have")]
    OtherKey(u8),
    /// Its gate or its tag is wrong.
    #[error("made without the key")]
    Forged,
    /// It came before, or is of a session that is over.
    #[error("sent again by somebody")]
    Replayed,
    /// It is this node's own.
    #[error("this node's own, sent back to it")]
    Reflected,
    /// Its sender has this node's name.
    #[error("from a node that calls itself by this node's name")]
    SameName,
    /// Its sender is not the partner of this path.
    #[error("from another node than the partner of this path")]
    OtherNode,
}

/// One key, as this channel uses it.
#[derive(Clone)]
struct Key {
    id: u8,
    gate: [u64; 2],
    tag: [u8; 32],
}

/// What was adopted.
#[derive(Debug, Clone, Copy)]
struct Adopted {
    session: u64,
    newest: u64,
    /// Which of the 64 counters up to the newest came, the newest in the lowest bit.
    came: u64,
}

/// The channel to one partner, over all paths to it.
#[derive(Clone)]
pub struct Channel {
    own: String,
    partner: String,
    keys: Vec<Key>,
    session: u64,
    /// Frames sent in it.
    counter: u64,
    adopted: Option<Adopted>,
    over: VecDeque<u64>,
    asking: VecDeque<Proof>,
    /// The newest of them, if no frame was sent since.
    asked: Option<Proof>,
}

impl std::fmt::Debug for Channel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { partner, session, counter, adopted, .. } = self;
        f.debug_struct("Channel")
            .field("partner", partner)
            .field("session", session)
            .field("counter", counter)
            .field("adopted", adopted)
            .finish_non_exhaustive()
    }
}

impl Channel {
    /// The channel from node `own` to node `partner`. `session` is random, not 0, and another at each start.
    pub fn new(keys: &HaKeys, own: &str, partner: &str, session: u64) -> Self {
        let mut channel = Self {
            own: own.to_owned(),
            partner: partner.to_owned(),
            keys: Vec::new(),
            session,
            counter: 0,
            adopted: None,
            over: VecDeque::new(),
            asking: VecDeque::new(),
            asked: None,
        };
        channel.set_keys(keys);
        channel
    }

    /// Other keys; what was adopted stays.
    pub fn set_keys(&mut self, keys: &HaKeys) {
        let all = std::iter::once(keys.own()).chain(keys.accepted());
        let key = |pair: &PairKey, id| Key { id, gate: pair.gate_key(), tag: pair.beat_key() };
        self.keys = all.map(|of| key(&of.between(&self.own, &self.partner), of.short_id())).collect();
    }

    /// This daemon's session.
    pub const fn session(&self) -> u64 {
        self.session
    }

    /// The partner's session and the counter up to which nothing of it is listened to any more; none: not adopted.
    pub fn adopted(&self) -> Option<(u64, u64)> {
        self.adopted.map(|adopted| (adopted.session, adopted.newest.saturating_sub(64)))
    }

    /// Sessions of the partner that are over, the newest first.
    pub fn over(&self) -> impl Iterator<Item = u64> {
        self.over.iter().copied()
    }

    /// The payload of a heartbeat by the path of this number.
    pub fn seal(&mut self, path: u8, beat: &Beat) -> Vec<u8> {
        self.counter += 1;
        let proof = self.proof();
        let key = &self.keys[0];
        let first = First::new(Kind::Beat, path, key.id);
        let gate = gate(key.gate, first, self.session, self.counter);
        let head = Head { first, session: self.session, counter: self.counter, gate, stamp: 0 };
        let mut payload = head.bytes().to_vec();
        body::write(&mut payload, proof, &self.own, beat);
        let tag = tag(&key.tag, &payload);
        payload.extend(tag);
        payload
    }

    /// The payload of a probe by the path of this number.
    pub fn probe(&self, path: u8, probe: u64) -> [u8; EXCHANGE_BYTES] {
        let key = &self.keys[0];
        let first = First::new(Kind::Probe, path, key.id);
        let gate = gate(key.gate, first, self.session, probe);
        let head = Head { first, session: self.session, counter: probe, gate, stamp: 0 };
        let mut payload = [0; EXCHANGE_BYTES];
        payload[..BODY_AT].copy_from_slice(&head.bytes());
        payload
    }

    /// Reads a frame of the partner.
    ///
    /// # Errors
    /// Why it is not listened to.
    pub fn open(&mut self, payload: &[u8]) -> Result<Opened, Refused> {
        let head = Head::from_bytes(payload).filter(|head| head.first.is_twin() && head.session != 0);
        let head = head.ok_or(Refused::Malformed)?;
        if head.first.version() != VERSION {
            return Err(Refused::OtherVersion(head.first.version()));
        }
        let id = head.first.key();
        let key = self.keys.iter().find(|key| key.id == id).ok_or(Refused::OtherKey(id))?.clone();
        match Kind::from_number(head.first.kind()) {
            Some(Kind::Beat) => self.beat(&head, &key, payload),
            Some(Kind::Answer) => self.answer(&head, &key, payload),
            // The program answers probes; one that comes here met none.
            Some(Kind::Probe) | None => Err(Refused::Malformed),
        }
    }

    fn beat(&mut self, head: &Head, key: &Key, payload: &[u8]) -> Result<Opened, Refused> {
        if !(SHORTEST_BEAT..=LONGEST).contains(&payload.len()) {
            return Err(Refused::Malformed);
        }
        if gate(key.gate, head.first, head.session, head.counter) != head.gate {
            return Err(Refused::Forged);
        }
        let (sealed, told) = payload.split_at(payload.len() - TAG_BYTES);
        if !is_same(&tag(&key.tag, sealed), told) {
            return Err(Refused::Forged);
        }
        if head.session == self.session {
            return Err(Refused::Reflected);
        }
        let body = body::read(&sealed[BODY_AT..]).map_err(|unread| match unread {
            Unread::Version(version) => Refused::OtherVersion(version),
            Unread::Malformed => Refused::Malformed,
        })?;
        if body.name == self.own {
            return Err(Refused::SameName);
        }
        if body.name != self.partner {
            return Err(Refused::OtherNode);
        }
        let opened = Opened::Beat { session: head.session, beat: body.beat, stamp: head.stamp };
        if let Some(adopted) = self.adopted.as_mut().filter(|adopted| adopted.session == head.session) {
            return if adopted.note(head.counter) { Ok(opened) } else { Err(Refused::Replayed) };
        }
        if self.over.contains(&head.session) {
            return Err(Refused::Replayed);
        }
        let recent = self.counter.saturating_sub(RECENT)..=self.counter;
        let proved = body.proof.session == self.session
            && body.proof.counter > 0
            && recent.contains(&body.proof.counter);
        if !proved {
            self.hello(Proof { session: head.session, counter: head.counter });
            return Ok(Opened::Hello);
        }
        if let Some(before) = self.adopted.replace(Adopted::new(head)) {
            self.over.push_front(before.session);
            self.over.truncate(OVER);
        }
        // Whoever else asks is a session before this one, or asks again.
        self.asking.clear();
        self.asked = None;
        Ok(opened)
    }

    fn answer(&self, head: &Head, key: &Key, payload: &[u8]) -> Result<Opened, Refused> {
        if payload.len() != EXCHANGE_BYTES {
            return Err(Refused::Malformed);
        }
        let mut words = [0; 4];
        for (word, bytes) in words.iter_mut().zip(payload[BODY_AT..].chunks_exact(8)) {
            *word = u64::from_le_bytes(bytes.try_into().map_err(|_| Refused::Malformed)?);
        }
        if answer_gate(key.gate, head.first, head.session, head.counter, words) != head.gate {
            return Err(Refused::Forged);
        }
        if head.session != self.session {
            return Err(Refused::Replayed);
        }
        let told = [[words[0], words[1]], [words[2], words[3]]].map(GroupTold::from_words);
        let reports = told.into_iter().filter(|told| told.number != 0).map(report).collect();
        Ok(Opened::Answer { probe: head.counter, reports, stamp: head.stamp })
    }

    /// A session asks to be adopted.
    fn hello(&mut self, asks: Proof) {
        self.asking.retain(|asking| asking.session != asks.session);
        self.asking.push_back(asks);
        if self.asking.len() > ASKING {
            self.asking.pop_front();
        }
        self.asked = Some(asks);
    }

    /// What a frame names: whoever asked since the frame before; else those that ask and what was adopted, in an order that
    /// no number of paths is in step with.
    fn proof(&mut self) -> Proof {
        if let Some(asked) = self.asked.take() {
            return asked;
        }
        let adopted = self.adopted.map(|adopted| Proof { session: adopted.session, counter: adopted.newest });
        let candidates = self.asking.len() + usize::from(adopted.is_some());
        let order = self.counter.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        let turn = order as usize % candidates.max(1);
        self.asking.get(turn).copied().or(adopted).unwrap_or_default()
    }
}

impl Adopted {
    const fn new(head: &Head) -> Self {
        Self { session: head.session, newest: head.counter, came: 1 }
    }

    /// Notes a counter; false if it came before or is too old to tell.
    const fn note(&mut self, counter: u64) -> bool {
        if counter > self.newest {
            let ahead = counter - self.newest;
            self.came = if ahead < 64 { self.came << ahead | 1 } else { 1 };
            self.newest = counter;
            return true;
        }
        let behind = self.newest - counter;
        if behind >= 64 || self.came >> behind & 1 != 0 {
            return false;
        }
        self.came |= 1 << behind;
        true
    }
}

/// What the partner's data plane says of a group. The role is not on the wire: the machine knows the partner's.
fn report(told: GroupTold) -> GroupReport {
    GroupReport {
        number: told.number,
        role: Role::Backup,
        standing: Standing::from_number(told.standing).unwrap_or(Standing::Standby),
        epoch: told.epoch,
        lease: Duration::from_millis(told.lease.min(u64::from(u32::MAX))),
        leaving: false,
    }
}

/// The tag of a frame: all of it but the stamp, which is not yet known, and the gate, which follows from the rest.
fn tag(key: &[u8; 32], sealed: &[u8]) -> [u8; TAG_BYTES] {
    let mut hasher = blake3::Hasher::new_keyed(key);
    hasher.update(&sealed[..24]);
    hasher.update(&sealed[BODY_AT..]);
    let mut tag = [0; TAG_BYTES];
    tag.copy_from_slice(&hasher.finalize().as_bytes()[..TAG_BYTES]);
    tag
}

/// Whether two tags are the same, in a time that does not tell where they differ.
fn is_same(one: &[u8; TAG_BYTES], other: &[u8]) -> bool {
    other.len() == TAG_BYTES && one.iter().zip(other).fold(0, |differs, (a, b)| differs | (a ^ b)) == 0
}
