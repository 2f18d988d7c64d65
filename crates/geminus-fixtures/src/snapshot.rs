//! What tables say, so that two of them can be compared; and how to make them say nothing.

use std::fmt;

use geminus_core::plan::Sources;
use geminus_packet::flow::{Bucket, Entry, Found, State, Tag, WAYS};
use geminus_packet::heap::Sizes;
use geminus_packet::tables::{GROUPS, Globals, PATHS, PathEntry, Tables};
use geminus_packet::word::Word;

/// Later than any entry's time, by less than half the clock's range.
const LATER: u32 = 1 << 30;

/// The remembering tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Memory {
    /// The flow table.
    Flows,
    /// The provisional table.
    Provisional,
    /// The affinity table.
    Affinity,
}

impl Memory {
    /// Each of them.
    pub const ALL: [Self; 3] = [Self::Flows, Self::Provisional, Self::Affinity];

    /// Its buckets in tables of these sizes.
    pub fn buckets(self, sizes: &Sizes) -> u32 {
        match self {
            Self::Flows => sizes.flow_buckets,
            Self::Provisional => sizes.provisional_buckets,
            Self::Affinity => sizes.affinity_buckets,
        }
    }

    /// One of its buckets.
    pub fn bucket<T: Tables>(self, tables: &T, number: u32) -> Option<&Bucket> {
        match self {
            Self::Flows => tables.flows(number),
            Self::Provisional => tables.provisional(number),
            Self::Affinity => tables.affinity(number),
        }
    }
}

/// One remembered flow, first packet or client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Way {
    /// The table.
    pub memory: Memory,
    /// Number of the bucket.
    pub bucket: u32,
    /// Number of the way.
    pub way: u32,
    /// What is stored of the hash.
    pub tag: u64,
    /// The server.
    pub server: u32,
    /// Its generation.
    pub generation: u16,
    /// Number of the state.
    pub state: u8,
    /// Whether the ring would have chosen another.
    pub pinned: bool,
    /// When it was last seen, ticks.
    pub seen: u32,
}

/// Everything that tables say.
#[derive(Clone, PartialEq, Eq)]
pub struct Snapshot {
    words: Vec<(&'static str, usize, u64)>,
    /// What is remembered.
    pub ways: Vec<Way>,
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Snapshot({} words, {} ways)", self.words.len(), self.ways.len())
    }
}

impl Snapshot {
    /// What these tables say.
    pub fn of(tables: &impl Tables, sizes: &Sizes, now: u32) -> Self {
        let mut words = Vec::new();
        each_word(tables, sizes, |table, at, word| words.push((table, at, word.load())));
        if let Some(globals) = tables.globals() {
            words.extend(key_probe(globals).into_iter().enumerate().map(|(at, word)| ("key", at, word)));
        }
        Self { words, ways: ways(tables, sizes, now) }
    }

    /// The same without addresses, ports and ranges, which are written to either half.
    pub fn without_halves(mut self) -> Self {
        let halved = ["addresses", "endpoints", "ranges", "settings"];
        self.words.retain(|(table, ..)| !halved.contains(table));
        self
    }

    /// The first thing that the other says differently; times may differ by `slack` ticks.
    pub fn difference(&self, other: &Self, slack: u32) -> Option<String> {
        let word = self.words.iter().zip(&other.words).find(|(one, two)| one != two);
        if let Some(((table, at, one), (.., two))) = word {
            return Some(format!("{table} word {at}: {one:#x} and {two:#x}"));
        }
        if self.words.len() != other.words.len() || self.ways.len() != other.ways.len() {
            let counts = [self.words.len(), other.words.len(), self.ways.len(), other.ways.len()];
            return Some(format!("other numbers of words or ways: {counts:?}"));
        }
        let way = self.ways.iter().zip(&other.ways).find(|(one, two)| {
            let apart = one.seen.wrapping_sub(two.seen);
            Way { seen: 0, ..**one } != Way { seen: 0, ..**two } || apart.min(apart.wrapping_neg()) > slack
        });
        way.map(|(one, two)| format!("{one:?} and {two:?}"))
    }
}

/// Everything that is remembered; `now` is at most `LATER` before the newest.
pub fn ways(tables: &impl Tables, sizes: &Sizes, now: u32) -> Vec<Way> {
    let mut ways = Vec::new();
    each_way(tables, sizes, |memory, number, bucket, found| {
        let note = found.note;
        ways.push(Way {
            memory,
            bucket: number,
            way: found.way,
            tag: bucket.tag(&found, number).0,
            server: found.server,
            generation: note.generation(),
            state: note.state(),
            pinned: note.pinned(),
            seen: seen(&found, now),
        });
    });
    ways
}

/// When an entry was last seen; `now` may be a little earlier.
pub fn seen(found: &Found, now: u32) -> u32 {
    let later = now.wrapping_add(LATER);
    later.wrapping_sub(found.note.age(later))
}

/// Calls back for everything that is remembered.
pub fn each_way<T: Tables>(tables: &T, sizes: &Sizes, mut each: impl FnMut(Memory, u32, &Bucket, Found)) {
    for memory in Memory::ALL {
        for number in 0..memory.buckets(sizes) {
            let Some(bucket) = memory.bucket(tables, number) else { continue };
            for found in (0..WAYS).filter_map(|way| bucket.way(way)) {
                each(memory, number, bucket, found);
            }
        }
    }
}

/// Makes everything that is remembered older.
pub fn age(tables: &impl Tables, sizes: &Sizes, now: u32, by: u32) {
    each_way(tables, sizes, |_, _, bucket, found| {
        bucket.touch(&found, None, seen(&found, now).wrapping_sub(by));
    });
}

/// Makes every way of a table look as if a writer were in it, who is not given up however slow the machine is.
pub fn claim_all(tables: &impl Tables, sizes: &Sizes, memory: Memory, now: u32) {
    if let Some(globals) = tables.globals() {
        globals.timeouts[State::Claimed as usize].store(u64::from(LATER));
    }
    fill(tables, sizes, memory, State::Claimed, now);
}

fn fill(tables: &impl Tables, sizes: &Sizes, memory: Memory, state: State, now: u32) {
    let Some(globals) = tables.globals() else { return };
    for number in 0..memory.buckets(sizes) {
        let Some(bucket) = memory.bucket(tables, number) else { continue };
        for found in (0..WAYS).filter_map(|way| bucket.way(way)) {
            bucket.forget(&found);
        }
        for way in 1..=WAYS as u64 {
            let entry = Entry { tag: Tag(way << 50), server: 1, generation: 0, state, pinned: 0 };
            bucket.remember(&entry, now, globals, false);
        }
    }
}

/// Makes tables as new: nothing is said, nothing remembered.
pub fn wipe(tables: &(impl Tables + Sources), sizes: &Sizes, now: u32) {
    tables.laid_down().into_iter().for_each(|(key, _)| tables.take_up(key));
    if let Some(globals) = tables.globals() {
        // A claimed way is nobody's to forget; once its time is over, a newcomer may have it.
        for timeout in &globals.timeouts {
            timeout.store(0);
        }
    }
    // A tick later: of ways that are equally old every newcomer takes the same one.
    let now = now.wrapping_add(1);
    for memory in Memory::ALL {
        fill(tables, sizes, memory, State::First, now);
    }
    each_way(tables, sizes, |_, _, bucket, found| bucket.forget(&found));
    each_word(tables, sizes, |_, _, word| word.store(0));
}

/// What is written down of a path; the program's own word, which is a time, left out.
fn path_words(path: &PathEntry) -> impl Iterator<Item = &Word> {
    let PathEntry { facts, own, remote, gates, own_session, session, floor, probe_floor, past, .. } = path;
    let sessions = [own_session, session, floor, probe_floor];
    std::iter::once(facts).chain(own).chain(remote).chain(gates.iter().flatten()).chain(sessions).chain(past)
}

/// What the site's key makes of a few words: the key itself is nobody's to read.
fn key_probe(globals: &Globals) -> [u64; 4] {
    let key = &globals.key;
    [key.v4(1, 2), key.v4(3 << 40, 4), key.v6([1, 2, 3, 4], 5), key.client([6, 7], 8)]
}

/// Calls back for every word of every table but the remembering ones and the counters.
fn each_word<T: Tables>(tables: &T, sizes: &Sizes, mut each: impl FnMut(&'static str, usize, &Word)) {
    let mut say = |table: &'static str, index: u32, words: &mut dyn Iterator<Item = &Word>| {
        for (at, word) in words.enumerate() {
            each(table, index as usize * 16 + at, word);
        }
    };
    if let Some(globals) = tables.globals() {
        let Globals { layout, half, index, mac, flow_mask, provisional_mask, affinity_mask, refresh, .. } =
            globals;
        let fixed = [layout, half, mac, flow_mask, provisional_mask, affinity_mask, refresh];
        say("settings", 0, &mut fixed.into_iter());
        let fixed = [&globals.servers, &globals.flags, &globals.nothing, &globals.tick];
        say("settings", 1, &mut fixed.into_iter().chain(&globals.partners));
        say("settings", 2, &mut globals.timeouts.iter().chain(&globals.question));
        for (half, index) in (3..).zip(index) {
            let places =
                [&index.address_seed, &index.address_place, &index.endpoint_seed, &index.endpoint_place];
            say("settings", half, &mut places.into_iter());
        }
    }
    for at in 0..sizes.address_buckets {
        let entries = tables.addresses(at).into_iter().flat_map(|bucket| &bucket.entries);
        say(
            "addresses",
            at,
            &mut entries.flat_map(|entry| [&entry.high, &entry.low, &entry.facts, &entry.ports]),
        );
    }
    for at in 0..sizes.endpoint_buckets {
        let entries = tables.endpoints(at).into_iter().flat_map(|bucket| &bucket.entries);
        say("endpoints", at, &mut entries.flat_map(|entry| [&entry.key, &entry.service]));
    }
    for at in 0..sizes.ranges {
        say("ranges", at, &mut tables.range(at).into_iter().flat_map(|range| [&range.ports, &range.service]));
    }
    for at in 0..sizes.services {
        let words = tables.service(at).into_iter().flat_map(|s| {
            [&s.ring, &s.identity, &s.ring_digest, &s.turn, &s.select, &s.affinity]
                .into_iter()
                .chain([&s.clients, &s.pool])
        });
        say("services", at, &mut { words });
    }
    for at in 0..sizes.ring_lines {
        say("ring", at, &mut tables.ring_line(at).into_iter().flat_map(|line| &line.pairs));
    }
    for at in 0..sizes.servers {
        let words = tables.server(at).into_iter();
        let words = words.flat_map(|s| {
            [&s.link, &s.from, &s.identity, &s.interface].into_iter().chain([&s.active, &s.weight, &s.kin])
        });
        say("servers", at, &mut { words });
    }
    for at in 0..GROUPS {
        say(
            "groups",
            at,
            &mut tables.group(at).into_iter().flat_map(|group| [&group.deadline, &group.state]),
        );
    }
    for at in 0..PATHS {
        let words = tables.path(at).into_iter();
        say("paths", at * 2, &mut words.flat_map(path_words));
    }
    for at in 0..sizes.tuples {
        let words = tables.tuple(at).into_iter();
        say("tuples", at, &mut words.flat_map(|tuple| tuple.addresses.iter().chain([&tuple.ports])));
    }
}

#[cfg(test)]
mod tests {
    use geminus_packet::flow::Timeouts;
    use geminus_packet::tables::Ticks;

    use super::*;
    use crate::ground;
    use crate::stage::{HostHome, Stage};

    #[test]
    fn what_was_claimed_in_the_tick_of_the_wipe_is_free_again() {
        let sizes = ground::sizes(&ground::site(), 1, 1);
        let stage = Stage::new(HostHome::new(&sizes, Ticks(1_000_000)), &sizes);
        let (tables, now) = (&stage.home.tables, 1_000_000);
        for memory in Memory::ALL {
            claim_all(tables, &sizes, memory, now);
        }
        wipe(tables, &sizes, now);
        for memory in Memory::ALL {
            for number in 0..memory.buckets(&sizes) {
                let bucket = memory.bucket(tables, number).expect("the table has it");
                let entry = |way| Entry {
                    tag: Tag(way << 50),
                    server: 1,
                    generation: 0,
                    state: State::First,
                    pinned: 0,
                };
                for way in 1..=WAYS as u64 {
                    bucket.remember(&entry(way), now, &Forever, false);
                }
                assert_eq!((0..WAYS).filter(|&way| bucket.way(way).is_some()).count(), WAYS);
            }
        }
    }

    /// Nothing ever expires.
    struct Forever;

    impl Timeouts for Forever {
        fn timeout(&self, _: u8) -> u32 {
            u32::MAX
        }
    }
}
