//! What partners tell each other: the format of their frames, and what the program does with them.
//!
//! A frame is a UDP datagram between the two addresses of a path, both ports the partners' own. Every word is
//! little-endian:
//!
//! ```text
//!  0 first    magic (32 bits) | version (8) | kind (8) | number of the path (8) | id of the key (8)
//!  8 session  random, of the daemon that beats or probes
//! 16 counter  of a heartbeat: frames of the session; of a probe: its number
//! 24 gate     SipHash-2-4 of the three words before; of an answer: and of its body
//! 32 stamp    0 on the wire, outside every check: the receiver's program leaves here when a frame came
//! 40 body     of a heartbeat: what it says, and a tag of it; of a probe: zeros; of an answer: two words a shared group
//! ```
//!
//! The program answers a probe with no help of user space, from the tables: that the answer comes says that the partner's
//! machine, link and program live, and its words say what they will do. Heartbeats are user space's; the program keeps
//! away from it what is not worth its time. The gate is no more than that: user space checks the tag of a heartbeat.

mod received;

pub(crate) use received::{received, v4, v6};

/// What every frame begins with.
pub const MAGIC: u32 = 0x4745_4d32;
/// Version of the format.
pub const VERSION: u8 = 1;
/// Where a heartbeat's body begins, and an answer's.
pub const BODY_AT: usize = 40;
/// Where the stamp is.
pub const STAMP_AT: usize = 32;
/// Bytes of a heartbeat's tag, its last.
pub const TAG_BYTES: usize = 16;
/// Bytes of a probe and of an answer.
pub const EXCHANGE_BYTES: usize = 72;
/// Bytes of the longest heartbeat.
pub const LONGEST: usize = 1024;
/// Bytes of the shortest heartbeat.
pub const SHORTEST_BEAT: usize = BODY_AT + TAG_BYTES;

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Kind {
    /// A heartbeat of the partner's daemon.
    Beat = 1,
    /// A question to the partner's program.
    Probe = 2,
    /// Its answer.
    Answer = 3,
}

impl Kind {
    /// The kind with this number.
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::Beat),
            2 => Some(Self::Probe),
            3 => Some(Self::Answer),
            _ => None,
        }
    }
}

/// The first word of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct First(pub u64);

impl First {
    /// Of this version.
    pub const fn new(kind: Kind, path: u8, key: u8) -> Self {
        let number = (VERSION as u64) << 32 | (kind as u64) << 40 | (path as u64) << 48 | (key as u64) << 56;
        Self(MAGIC as u64 | number)
    }

    /// Whether it begins a partner's frame, of whatever version.
    #[inline(always)]
    pub const fn is_twin(self) -> bool {
        self.0 as u32 == MAGIC
    }

    /// Version of the format.
    #[inline(always)]
    pub const fn version(self) -> u8 {
        (self.0 >> 32) as u8
    }

    /// Number of the [`Kind`].
    #[inline(always)]
    pub const fn kind(self) -> u8 {
        (self.0 >> 40) as u8
    }

    /// Number of the path to the sender's partner.
    #[inline(always)]
    pub const fn path(self) -> u8 {
        (self.0 >> 48) as u8
    }

    /// Id of the key of its gate.
    #[inline(always)]
    pub const fn key(self) -> u8 {
        (self.0 >> 56) as u8
    }

    /// The first word of the answer to the probe that this begins.
    #[inline(always)]
    pub(crate) const fn answered(self) -> Self {
        Self(self.0 ^ ((Kind::Probe as u64 ^ Kind::Answer as u64) << 40))
    }
}

/// A frame up to its body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Its first word.
    pub first: First,
    /// Session of the daemon that beats or probes; never 0.
    pub session: u64,
    /// Of a heartbeat: counts the frames of the session; of a probe and its answer: number of the probe.
    pub counter: u64,
    /// See [`gate`] and [`answer_gate`].
    pub gate: u64,
    /// When it came, in nanoseconds of the receiver's monotonic clock; 0: no program saw it.
    pub stamp: u64,
}

impl Head {
    /// Of the first bytes of a payload, whatever they say; none if there are too few.
    pub fn from_bytes(payload: &[u8]) -> Option<Self> {
        let (head, _) = payload.split_first_chunk::<BODY_AT>()?;
        let word = |at: usize| {
            let mut bytes = [0; 8];
            bytes.copy_from_slice(&head[at..at + 8]);
            u64::from_le_bytes(bytes)
        };
        let [first, session, counter, gate, stamp] = [0, 8, 16, 24, 32].map(word);
        Some(Self { first: First(first), session, counter, gate, stamp })
    }

    /// Its bytes.
    pub fn bytes(&self) -> [u8; BODY_AT] {
        let mut bytes = [0; BODY_AT];
        let words = [self.first.0, self.session, self.counter, self.gate, self.stamp];
        for (place, word) in bytes.chunks_exact_mut(8).zip(words) {
            place.copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }
}

/// What an answer says of one group, in two words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct GroupTold {
    /// Number of the group; 0: nothing is said.
    pub number: u8,
    /// Number of the sender's standing.
    pub standing: u8,
    /// Epoch of the group; 48 bits.
    pub epoch: u64,
    /// What is left of the sender's lease: so long does its program go on by itself. Milliseconds.
    pub lease: u64,
}

impl GroupTold {
    /// The two words.
    #[inline(always)]
    pub const fn words(self) -> [u64; 2] {
        [self.number as u64 | (self.standing as u64) << 8 | self.epoch << 16, self.lease]
    }

    /// What two words say.
    pub const fn from_words(words: [u64; 2]) -> Self {
        Self {
            number: words[0] as u8,
            standing: (words[0] >> 8) as u8,
            epoch: words[0] >> 16,
            lease: words[1],
        }
    }
}

/// The gate of a heartbeat or probe.
#[inline(always)]
pub const fn gate(key: [u64; 2], first: First, session: u64, counter: u64) -> u64 {
    siphash(key, [first.0, session, counter])
}

/// The gate of an answer. Its length keeps it apart from that of other frames.
#[inline(always)]
pub const fn answer_gate(key: [u64; 2], first: First, session: u64, counter: u64, body: [u64; 4]) -> u64 {
    siphash(key, [first.0, session, counter, body[0], body[1], body[2], body[3]])
}

/// SipHash-2-4 (Aumasson, Bernstein: "SipHash: a fast short-input PRF", 2012) of whole little-endian words, without a
/// branch.
#[inline(always)]
pub const fn siphash<const N: usize>(key: [u64; 2], words: [u64; N]) -> u64 {
    let mut v = [
        key[0] ^ 0x736f_6d65_7073_6575,
        key[1] ^ 0x646f_7261_6e64_6f6d,
        key[0] ^ 0x6c79_6765_6e65_7261,
        key[1] ^ 0x7465_6462_7974_6573,
    ];
    let mut at = 0;
    while at < N {
        v = absorbed(v, words[at]);
        at += 1;
    }
    v = absorbed(v, (N as u64 * 8) << 56);
    v[2] ^= 0xff;
    v = round(round(round(round(v))));
    v[0] ^ v[1] ^ v[2] ^ v[3]
}

#[inline(always)]
const fn absorbed(mut v: [u64; 4], word: u64) -> [u64; 4] {
    v[3] ^= word;
    v = round(round(v));
    v[0] ^= word;
    v
}

#[inline(always)]
const fn round(v: [u64; 4]) -> [u64; 4] {
    let [mut a, mut b, mut c, mut d] = v;
    a = a.wrapping_add(b);
    b = b.rotate_left(13) ^ a;
    a = a.rotate_left(32);
    c = c.wrapping_add(d);
    d = d.rotate_left(16) ^ c;
    a = a.wrapping_add(d);
    d = d.rotate_left(21) ^ a;
    c = c.wrapping_add(b);
    b = b.rotate_left(17) ^ c;
    c = c.rotate_left(32);
    [a, b, c, d]
}
