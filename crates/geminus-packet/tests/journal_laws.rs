//! Laws of the journal of what was remembered.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use geminus_packet::journal::{JOURNAL_ENTRIES, Journal, Reading, Slot};

const RING: u64 = JOURNAL_ENTRIES as u64;

fn read(journal: &Journal, since: u64) -> (Vec<Slot>, Reading) {
    let mut slots = Vec::new();
    let reading = journal.read(since, |slot| slots.push(slot));
    (slots, reading)
}

/// Writes so many flows, the number of each its slot.
fn write(journal: &Journal, from: u64, count: u64) {
    (from..from + count).for_each(|at| journal.note(Slot::Flow(at as u32)));
}

#[test]
fn nothing_is_read_where_nothing_was_written() {
    assert_eq!(read(&Journal::default(), 0), (vec![], Reading { next: 0, missed: 0 }));
}

#[test]
fn what_was_written_is_read_once_and_in_order() {
    let journal = Journal::default();
    let slots = [Slot::Flow(0), Slot::Client(0), Slot::Flow(u32::MAX), Slot::Client(u32::MAX), Slot::Flow(7)];
    slots.iter().for_each(|slot| journal.note(*slot));
    assert_eq!(read(&journal, 0), (slots.to_vec(), Reading { next: 5, missed: 0 }));
    assert_eq!(read(&journal, 5), (vec![], Reading { next: 5, missed: 0 }));
    journal.note(Slot::Flow(8));
    assert_eq!(read(&journal, journal.written() - 1).0, [Slot::Flow(8)]);
}

#[test]
fn a_ring_that_ran_over_tells_how_much_was_missed() {
    for over in [0, 1, 2, RING - 1, RING, 3 * RING + 5] {
        let journal = Journal::default();
        write(&journal, 0, RING + over);
        let (slots, reading) = read(&journal, 0);
        assert_eq!(reading, Reading { next: RING + over, missed: over });
        let kept: Vec<_> = (over..RING + over).map(|at| Slot::Flow(at as u32)).collect();
        assert_eq!(slots, kept);
    }
}

#[test]
fn a_reader_of_the_tables_before_begins_again() {
    let journal = Journal::default();
    write(&journal, 0, 3);
    assert_eq!(read(&journal, 1000).1, Reading { next: 3, missed: 0 });
}

#[test]
fn whatever_is_written_meanwhile_every_entry_is_read_or_missed() {
    const ENTRIES: u64 = 2_000_000;
    let journal = Journal::default();
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            write(&journal, 0, ENTRIES);
            over.store(true, Ordering::Release);
        });
        let (mut at, mut seen, mut missed, mut newest) = (0, 0, 0, None);
        loop {
            let last = over.load(Ordering::Acquire);
            let reading = journal.read(at, |slot| {
                let Slot::Flow(slot) = slot else { panic!("{slot:?}") };
                assert!(newest.is_none_or(|newest| newest < slot), "{newest:?}, then {slot}");
                newest = Some(slot);
                seen += 1;
            });
            (at, missed) = (reading.next, missed + reading.missed);
            if last && at == ENTRIES {
                break;
            }
        }
        assert_eq!(seen + missed, ENTRIES);
        assert!(seen > 0);
    });
}
