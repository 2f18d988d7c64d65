//! Frames that were refused, in the program or here: counted, and told once a minute of a kind.

use std::collections::BTreeMap;
use std::time::Duration;

use geminus_core::ha::{Instant, PathId};
use geminus_core::wire::Refused;
use geminus_dataplane::Paths;
use geminus_packet::verdict::Drop;

use super::SecurityNote;

/// How long nothing more is told of a kind.
const QUIET: Duration = Duration::from_secs(60);

/// What the program refuses, and what that means.
const PROGRAM: [(Drop, SecurityNote); 8] = [
    (Drop::TwinShape, SecurityNote::Malformed),
    (Drop::TwinStranger, SecurityNote::Foreign),
    (Drop::TwinVersion, SecurityNote::OtherVersion),
    (Drop::TwinKey, SecurityNote::OtherKey),
    (Drop::TwinForged, SecurityNote::Forged),
    (Drop::TwinReflected, SecurityNote::Reflected),
    (Drop::TwinReplayed, SecurityNote::Replayed),
    (Drop::TwinFlood, SecurityNote::Flood),
];

/// Counts.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    kinds: BTreeMap<SecurityNote, Kind>,
    /// What the program had counted when it was looked last.
    program: Option<[u64; PROGRAM.len()]>,
}

#[derive(Debug, Default)]
struct Kind {
    count: u64,
    path: Option<PathId>,
    told: Option<Instant>,
}

/// What there is to tell of a kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) what: SecurityNote,
    pub(super) path: Option<PathId>,
    pub(super) count: u64,
}

impl Refusals {
    /// A frame was refused here.
    pub(super) fn note(&mut self, refused: Refused, path: PathId) {
        self.add(note_of(refused), 1, Some(path));
    }

    /// Frames came from an address that no path has.
    pub(super) fn foreign(&mut self, count: u64) {
        self.add(SecurityNote::Foreign, count, None);
    }

    /// Looks at what the program refused since it was looked last; what it refused before this daemon was, counts not. Says
    /// whether somebody spoke from a partner's address without the key.
    pub(super) fn look(&mut self, paths: &Paths) -> bool {
        let counts = PROGRAM.map(|(reason, _)| paths.seen(reason.counter()));
        let before = self.program.replace(counts).unwrap_or(counts);
        for (at, (_, what)) in PROGRAM.into_iter().enumerate() {
            self.add(what, counts[at].saturating_sub(before[at]), None);
        }
        let strange =
            |(_, what): &(Drop, SecurityNote)| matches!(what, SecurityNote::OtherKey | SecurityNote::Forged);
        PROGRAM.iter().enumerate().any(|(at, kind)| strange(kind) && counts[at] > before[at])
    }

    fn add(&mut self, what: SecurityNote, count: u64, path: Option<PathId>) {
        if count > 0 {
            let kind = self.kinds.entry(what).or_default();
            kind.count += count;
            kind.path = path.or(kind.path);
        }
    }

    /// What is to be told now. To be asked once a second: some kinds are worth a word only in numbers that no sound network
    /// makes by itself.
    pub(super) fn tell(&mut self, now: Instant) -> Vec<Refusal> {
        let mut told = Vec::new();
        for (&what, kind) in &mut self.kinds {
            let rested = kind.told.is_none_or(|last| now.since(last) >= QUIET);
            if kind.count < usual(what) {
                kind.count = 0;
            } else if rested {
                told.push(Refusal { what, path: kind.path, count: kind.count });
                *kind = Kind { told: Some(now), ..Kind::default() };
            }
        }
        told
    }
}

/// So many in a second are nobody's attack: networks repeat frames, and a partner that does not hear this node goes on
/// saying hello.
const fn usual(what: SecurityNote) -> u64 {
    match what {
        SecurityNote::Replayed => 100,
        SecurityNote::Flood => 500,
        _ => 1,
    }
}

const fn note_of(refused: Refused) -> SecurityNote {
    match refused {
        Refused::Malformed => SecurityNote::Malformed,
        Refused::OtherVersion(_) => SecurityNote::OtherVersion,
        Refused::OtherKey(_) => SecurityNote::OtherKey,
        Refused::Forged => SecurityNote::Forged,
        Refused::Replayed => SecurityNote::Replayed,
        Refused::Reflected => SecurityNote::Reflected,
        Refused::SameName => SecurityNote::SameName,
        Refused::OtherNode => SecurityNote::Foreign,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATH: PathId = PathId { peer: 0, path: 1 };

    fn at(seconds: u64) -> Instant {
        Instant::from_start(Duration::from_secs(seconds))
    }

    #[test]
    fn a_kind_is_told_at_once_and_then_once_a_minute_with_how_many() {
        let mut refusals = Refusals::default();
        refusals.note(Refused::Forged, PATH);
        let first = Refusal { what: SecurityNote::Forged, path: Some(PATH), count: 1 };
        assert_eq!(refusals.tell(at(1)), [first]);
        for second in 2..61 {
            refusals.note(Refused::Forged, PATH);
            assert_eq!(refusals.tell(at(second)), [], "second {second}");
        }
        assert_eq!(refusals.tell(at(61)), [Refusal { count: 59, ..first }]);
        assert_eq!(refusals.tell(at(200)), [], "nothing more came");
    }

    #[test]
    fn kinds_do_not_wait_for_each_other() {
        let mut refusals = Refusals::default();
        refusals.note(Refused::Forged, PATH);
        refusals.tell(at(1));
        refusals.foreign(3);
        assert_eq!(refusals.tell(at(2)), [Refusal { what: SecurityNote::Foreign, path: None, count: 3 }]);
    }

    #[test]
    fn frames_that_a_network_repeats_are_no_attack_and_a_flood_of_them_is() {
        let mut refusals = Refusals::default();
        for second in 1..100 {
            (0..20).for_each(|_| refusals.note(Refused::Replayed, PATH));
            assert_eq!(refusals.tell(at(second)), []);
        }
        (0..1000).for_each(|_| refusals.note(Refused::Replayed, PATH));
        assert_eq!(refusals.tell(at(100)).len(), 1);
    }
}
