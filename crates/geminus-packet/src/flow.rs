//! The flow table: set-associative, in shared memory, atomics only.
//!
//! A bucket has eight ways in two cache lines, all *tags* in the first, all *notes* in the second; a miss reads one line.
//!
//! ```text
//! tag   63..20 upper 44 bits of the flow's hash | 19..0 server
//! note  63..48 generation of the server | 47..40 state | 39..32 eight more bits of the hash | 31..0 last seen, ticks
//! ```
//!
//! Tag and server lie in one word, so a reader never sees one flow's tag with another's server. A writer first claims the
//! note by compare-and-swap, then stores the tag, then the note; while the note says [`State::Claimed`] the way is a miss.
//! A reader's only write is a compare-and-swap of the note it has just read. Whoever loses a race decides by the ring,
//! which gives the same server almost always.

use crate::word::{Word, is_less, is_zero, opaque};

/// Ways of a bucket.
pub const WAYS: usize = 8;
/// Servers a tag can name, number 0 not counted.
pub const MAX_SERVERS: u32 = (1 << SERVER_BITS) - 1;

const SERVER_BITS: u32 = 20;
const SERVER_MASK: u64 = (1 << SERVER_BITS) - 1;
const PINNED_SHIFT: u32 = 47;
const PINNED: u64 = 1 << PINNED_SHIFT;
/// Bits of a slot number that are its way; above them is its bucket.
pub(crate) const WAY_BITS: u32 = 3;
/// Rank from which on a way's flow has expired or was nobody's.
const EXPIRED: u64 = 1 << 32;
const STATE_SHIFT: u32 = 40;
const MORE_SHIFT: u32 = 32;
const GENERATION_SHIFT: u32 = 48;

/// How readily a way is taken for a newcomer: its own before a free one, before one expired (the oldest first),
/// before one alive (the oldest first); 0: not at all. Without a branch.
#[inline(always)]
fn rank(word: u64, note: Note, tag: Tag, now: u32, timeouts: &impl Timeouts, spare_pinned: bool) -> u64 {
    let state = u64::from(note.state());
    let age = opaque(u64::from(note.age(now)));
    let alive = is_less(age, opaque(u64::from(timeouts.timeout(note.state()))));
    let claimed = is_zero(opaque(state ^ State::Claimed as u64));
    let free = is_zero(opaque(state));
    let differs = opaque((word ^ tag.0) >> SERVER_BITS | note.more() ^ tag.more());
    let own = is_zero(differs) & (claimed ^ 1);
    let spared = opaque(u64::from(spare_pinned)) & note.0 >> PINNED_SHIFT & 1 & (own ^ 1);
    let taken = alive & (claimed | spared);
    let rank = (own << 41) + (free << 40) + ((alive ^ 1) * EXPIRED) + 1 + age;
    rank * (taken ^ 1)
}

/// The greater of two words below 2^63.
#[inline(always)]
fn greater(a: u64, b: u64) -> u64 {
    let (a, b) = (opaque(a), opaque(b));
    a ^ (a ^ b) & opaque(is_less(a, b)).wrapping_neg()
}

/// Number of the lowest set bit of eight.
#[inline(always)]
fn first_way(ways: u64) -> usize {
    let lowest = opaque(ways & ways.wrapping_neg());
    let bit = |mask: u64| opaque(lowest & mask).wrapping_neg() >> 63;
    (bit(0xaa) | bit(0xcc) << 1 | bit(0xf0) << 2) as usize
}

/// One bucket: 128 bytes.
#[repr(C, align(64))]
#[derive(Debug, Default)]
pub struct Bucket {
    tags: [Word; WAYS],
    notes: [Word; WAYS],
}

/// What a way is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum State {
    /// Nobody's.
    Free = 0,
    /// First packet seen.
    First = 1,
    /// TCP, later segments seen.
    Established = 2,
    /// TCP, the client sent FIN.
    Closing = 3,
    /// TCP, the client sent RST.
    Reset = 4,
    /// UDP, later datagrams seen.
    Datagrams = 5,
    /// A client's server.
    Client = 6,
    /// Being written.
    Claimed = 7,
}

impl State {
    /// Every state, by number.
    pub const ALL: [Self; 8] = [
        Self::Free,
        Self::First,
        Self::Established,
        Self::Closing,
        Self::Reset,
        Self::Datagrams,
        Self::Client,
        Self::Claimed,
    ];
}

/// A flow as the table knows it: its whole hash. 52 bits of it are stored, the rest is the bucket's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Tag(pub u64);

impl Tag {
    /// Bucket of a table of `mask + 1` buckets.
    #[inline(always)]
    pub const fn bucket(self, mask: u64) -> u32 {
        (self.0 & mask) as u32
    }

    #[inline(always)]
    const fn with(self, server: u32) -> u64 {
        self.0 & !SERVER_MASK | server as u64 & SERVER_MASK
    }

    #[inline(always)]
    const fn more(self) -> u64 {
        (self.0 >> 12) & 0xff
    }

    #[inline(always)]
    const fn is(self, tag: u64) -> bool {
        (tag ^ self.0) >> SERVER_BITS == 0
    }
}

/// The note of a way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Note(u64);

impl Note {
    #[inline(always)]
    const fn new(tag: Tag, generation: u16, state: State, pinned: u64, now: u32) -> Self {
        Self(
            (generation as u64) << GENERATION_SHIFT
                | (pinned & 1) << PINNED_SHIFT
                | (state as u64) << STATE_SHIFT
                | tag.more() << MORE_SHIFT
                | now as u64,
        )
    }

    /// Generation of the server when the flow was given to it.
    #[inline(always)]
    pub const fn generation(self) -> u16 {
        (self.0 >> GENERATION_SHIFT) as u16
    }

    /// Number of the [`State`].
    #[inline(always)]
    pub const fn state(self) -> u8 {
        (self.0 >> STATE_SHIFT) as u8 & 7
    }

    /// Whether the server differed from the ring's choice when the flow began.
    #[inline(always)]
    pub const fn pinned(self) -> bool {
        self.0 & PINNED != 0
    }

    /// Ticks since the flow's last packet; one that lies ahead (another CPU's clock) counts as none.
    #[inline(always)]
    pub fn age(self, now: u32) -> u32 {
        let age = now.wrapping_sub(self.0 as u32);
        let ahead = opaque(u64::from(age >> 31)) as u32;
        age & ahead.wrapping_sub(1)
    }

    #[inline(always)]
    const fn has(self, state: State) -> bool {
        self.state() == state as u8
    }

    #[inline(always)]
    const fn more(self) -> u64 {
        (self.0 >> MORE_SHIFT) & 0xff
    }
}

/// A flow that was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    /// Way of the bucket.
    pub way: u32,
    /// The server it was given to.
    pub server: u32,
    /// The rest.
    pub note: Note,
}

/// What a flow is to be remembered with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// The flow.
    pub tag: Tag,
    /// Its server.
    pub server: u32,
    /// The server's generation.
    pub generation: u16,
    /// What it is in.
    pub state: State,
    /// 1 if the server differs from the ring's choice, else 0.
    pub pinned: u64,
}

/// What became of an attempt to remember.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remembered {
    /// In this way, which was free, expired or the flow's own.
    In(u32),
    /// In this way, from which a living flow was evicted.
    Evicting(u32),
    /// Not at all: others were quicker, or every way is held by what may not be evicted.
    Not,
}

/// How a newcomer finds its way into a full bucket.
pub trait Timeouts {
    /// Idle ticks after which a way in this state gives way.
    fn timeout(&self, state: u8) -> u32;
}

impl Bucket {
    /// Asks for both lines of the bucket, which are wanted a little later.
    #[inline(always)]
    pub fn prefetch(&self) {
        let _ = self.tags[0].load();
        let _ = self.notes[0].load();
    }

    /// Looks a flow up: all ways side by side, without a branch.
    #[inline(always)]
    pub fn find(&self, tag: Tag) -> Option<Found> {
        let mut ways = 0;
        let mut way = 0;
        while way < WAYS {
            let differs = opaque((self.tags[way].load() ^ tag.0) >> SERVER_BITS);
            ways |= is_zero(differs) << way;
            way += 1;
        }
        if ways == 0 {
            return None;
        }
        let way = first_way(ways);
        let word = self.tags[way & (WAYS - 1)].load();
        let note = Note(self.notes[way & (WAYS - 1)].load());
        // Read twice: between the two, the way may have become another flow's.
        if !tag.is(word) || note.more() != tag.more() || note.has(State::Claimed) || note.has(State::Free) {
            return None;
        }
        Some(Found { way: way as u32, server: (word & SERVER_MASK) as u32, note })
    }

    /// Writes the time of a flow that was just found, and its new state if it has one. A lost race changes nothing, and is
    /// told by false.
    #[inline(always)]
    pub fn touch(&self, found: &Found, state: Option<State>, now: u32) -> bool {
        let mut word = found.note.0 & !u64::from(u32::MAX) | u64::from(now);
        if let Some(state) = state {
            word = word & !(7 << STATE_SHIFT) | (state as u64) << STATE_SHIFT;
        }
        self.notes[found.way as usize & (WAYS - 1)].replace(found.note.0, word)
    }

    /// Frees the way of a flow that was just found, and wipes its tag, which would hide the flow if it came back in another
    /// way. A lost race changes nothing.
    #[inline(always)]
    pub fn forget(&self, found: &Found) {
        let way = found.way as usize & (WAYS - 1);
        let claimed = found.note.0 | (State::Claimed as u64) << STATE_SHIFT;
        if self.notes[way].replace(found.note.0, claimed) {
            self.tags[way].store(0);
            self.notes[way].store(0);
        }
    }

    /// Remembers a flow: in its own way if it has one, else in a free one, else in the one idle the longest of those
    /// expired, else in the one idle the longest. With `spare_pinned`, a pinned flow that has not expired keeps its way.
    #[inline(always)]
    pub fn remember(
        &self,
        entry: &Entry,
        now: u32,
        timeouts: &impl Timeouts,
        spare_pinned: bool,
    ) -> Remembered {
        match self.claim(entry.tag, now, timeouts, spare_pinned) {
            Some((way, evicting)) => {
                let way_index = way as usize & (WAYS - 1);
                self.tags[way_index].store(entry.tag.with(entry.server));
                let note = Note::new(entry.tag, entry.generation, entry.state, entry.pinned, now);
                self.notes[way_index].store(note.0);
                if evicting { Remembered::Evicting(way) } else { Remembered::In(way) }
            }
            None => Remembered::Not,
        }
    }

    /// Claims a way for a newcomer: its number and whether a living flow was evicted. A lost race is lost.
    #[inline(always)]
    fn claim(&self, tag: Tag, now: u32, timeouts: &impl Timeouts, spare_pinned: bool) -> Option<(u32, bool)> {
        let mut best = 0;
        let mut way = 0;
        while way < WAYS {
            let (word, note) = (self.tags[way].load(), Note(self.notes[way].load()));
            let rank = rank(word, note, tag, now, timeouts, spare_pinned);
            best = greater(best, rank << WAY_BITS | way as u64);
            way += 1;
        }
        if best < WAYS as u64 {
            return None;
        }
        let way = best as usize & (WAYS - 1);
        let (word, note) = (self.tags[way].load(), Note(self.notes[way].load()));
        // Another writer may have come since the way was ranked.
        if rank(word, note, tag, now, timeouts, spare_pinned) != best >> WAY_BITS {
            return None;
        }
        let claimed = Note::new(tag, 0, State::Claimed, 0, now).0;
        self.notes[way].replace(note.0, claimed).then_some((way as u32, best >> WAY_BITS < EXPIRED))
    }

    /// The flow in a way, for scans: the stored bits of its tag, its server and its note; none if the way is free.
    pub fn way(&self, way: usize) -> Option<Found> {
        let word = self.tags[way & (WAYS - 1)].load();
        let note = Note(self.notes[way & (WAYS - 1)].load());
        let live = word != 0 && !note.has(State::Free) && !note.has(State::Claimed);
        live.then_some(Found { way: way as u32, server: (word & SERVER_MASK) as u32, note })
    }

    /// The whole hash of the flow in a way of bucket number `bucket`: the tag holds bits 63 to 12 of it, the bucket's number
    /// the rest, in a table of at least 2^12 buckets.
    pub fn tag(&self, found: &Found, bucket: u32) -> Tag {
        let word = self.tags[found.way as usize & (WAYS - 1)].load();
        Tag(word & !SERVER_MASK | found.note.more() << 12 | u64::from(bucket) & 0xfff)
    }

    /// Whether a way holds the flow of this tag, as far as the stored bits tell.
    pub fn holds(&self, way: usize, tag: Tag) -> bool {
        let note = Note(self.notes[way & (WAYS - 1)].load());
        tag.is(self.tags[way & (WAYS - 1)].load()) && note.more() == tag.more()
    }
}
