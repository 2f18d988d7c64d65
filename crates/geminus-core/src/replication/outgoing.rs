//! What is said: new flows first, then the whole table, then what had a packet lately.

use std::collections::VecDeque;
use std::time::Duration;

use geminus_packet::flow::{Found, State, WAYS};
use geminus_packet::journal::Slot;
use geminus_packet::tables::{Server, Tables};

use super::limits::{COPY_WINDOW, KEEP_ALIVE, LAGS, PENDING, RECORDS, SWEEP, WINDOW};
use super::record::RECORD_BYTES;
use super::scan::Scan;
use super::wire::{self, NO_COPY, Name};
use super::{Ground, Kind, Record, Shared};
use crate::ha::Instant;

/// Buckets that one message looks at: empty tables are walked in steps too.
const BUCKETS_PER_MESSAGE: u64 = 1 << 14;
/// The sweep goes on this often.
const SWEEP_STEP: Duration = Duration::from_millis(100);

/// What a server number of these tables is to the partner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Standing {
    #[default]
    Unknown,
    /// None of the partner's business.
    Other,
    /// It was named, or is about to be.
    Named { group: u8 },
}

/// What the partner was told about server numbers.
#[derive(Debug, Default)]
struct Names {
    by_number: Vec<(u16, Standing)>,
    /// Said before the next record.
    to_say: Vec<Name>,
}

impl Names {
    /// Group of a server of a generation, if the partner shares it; from then on it is named.
    fn group(
        &mut self,
        ground: &Ground<'_, impl Tables>,
        shared: &Shared,
        number: u32,
        generation: u16,
    ) -> Option<u8> {
        let index = number as usize;
        if let Some(&(known, standing)) = self.by_number.get(index)
            && known == generation
            && standing != Standing::Unknown
        {
            return match standing {
                Standing::Named { group } => Some(group),
                _ => None,
            };
        }
        let entry = ground.tables.server(number)?;
        let identity = entry.identity.load();
        // A server that is being given up or made is named when it has settled.
        if identity == 0 || Server::generation(entry.link.load()) != generation {
            return None;
        }
        let group = shared.group(identity);
        if self.by_number.len() <= index {
            self.by_number.resize(index + 1, (0, Standing::Unknown));
        }
        self.by_number[index] =
            (generation, group.map_or(Standing::Other, |group| Standing::Named { group }));
        if group.is_some() {
            self.to_say.push(Name { number, generation, identity });
        }
        group
    }

    /// The record of an entry, if its server lives and the partner shares it.
    fn record(
        &mut self,
        ground: &Ground<'_, impl Tables>,
        shared: &Shared,
        (kind, hash, found): (Kind, u64, &Found),
        journalled: bool,
    ) -> Option<Record> {
        let generation = found.note.generation();
        let living = ground.tables.server(found.server).map(|entry| Server::generation(entry.link.load()));
        if living != Some(generation) || generation == 0 {
            return None;
        }
        let group = self.group(ground, shared, found.server, generation)?;
        let state = State::ALL[usize::from(found.note.state())];
        let fits = match kind {
            Kind::Flow => !matches!(state, State::Free | State::First | State::Client | State::Claimed),
            Kind::Client => state == State::Client,
        };
        fits.then(|| Record {
            hash,
            server: found.server,
            state,
            pinned: found.note.pinned(),
            kind,
            first_hand: journalled || ground.forwards(group),
            age: ground.age(found.note),
        })
    }
}

/// How far the whole copy is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Copying {
    /// To be begun.
    Wanted,
    Running(Scan),
    /// Said to have ended by this batch.
    Ending(u64),
    Done,
}

/// What was sent and is not acknowledged.
#[derive(Debug)]
struct Batch {
    number: u64,
    records: usize,
    /// When its first flow became known, if it is of new flows.
    born: Option<Instant>,
}

/// What is said to one partner.
#[derive(Debug)]
pub(super) struct Outgoing {
    names: Names,
    pending: VecDeque<(Record, Instant)>,
    /// Collected already; what its servers are called goes first.
    ready: Vec<Record>,
    ready_progress: u16,
    copying: Copying,
    /// What was copied may have been too early.
    again: bool,
    sweep: Scan,
    swept: Instant,
    last_sent: Instant,
    in_flight: VecDeque<Batch>,
    records_in_flight: usize,
    next_batch: u64,
    lags: VecDeque<Duration>,
    pub(super) sent: u64,
    pub(super) acknowledged: u64,
    pub(super) resyncs: u64,
}

impl Outgoing {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            names: Names::default(),
            pending: VecDeque::new(),
            ready: Vec::new(),
            ready_progress: NO_COPY,
            copying: Copying::Wanted,
            again: false,
            sweep: Scan::default(),
            swept: now,
            last_sent: now,
            in_flight: VecDeque::new(),
            records_in_flight: 0,
            next_batch: 1,
            lags: VecDeque::new(),
            sent: 0,
            acknowledged: 0,
            resyncs: 0,
        }
    }

    /// A slot of the tables was written.
    pub(super) fn promoted(
        &mut self,
        slot: Slot,
        ground: &Ground<'_, impl Tables>,
        shared: &Shared,
        now: Instant,
    ) {
        let (kind, slot) = match slot {
            Slot::Flow(slot) => (Kind::Flow, slot),
            Slot::Client(slot) => (Kind::Client, slot),
        };
        let number = slot / WAYS as u32;
        let Some(bucket) = ground.bucket(kind, number) else { return };
        // Being written again: then it is noted again.
        let Some(found) = bucket.way(slot as usize % WAYS) else { return };
        let hash = bucket.tag(&found, number).0;
        let Some(record) = self.names.record(ground, shared, (kind, hash, &found), true) else { return };
        if self.pending.len() < PENDING {
            self.pending.push_back((record, now));
        } else {
            self.pending.clear();
            self.copy_again();
        }
    }

    /// Something may have been missed: the whole table is copied again.
    pub(super) fn copy_again(&mut self) {
        self.resyncs += 1;
        match self.copying {
            // Once round, so that an end is reached however often this happens.
            Copying::Running(_) => self.again = true,
            Copying::Wanted | Copying::Ending(_) | Copying::Done => self.copying = Copying::Wanted,
        }
    }

    /// Other tables, or another site: numbers stand for something else.
    pub(super) fn forget_names(&mut self) {
        self.names = Names::default();
        self.pending.clear();
        self.ready.clear();
        self.resyncs += 1;
        (self.copying, self.again) = (Copying::Wanted, false);
    }

    /// The partner has taken everything up to this batch; false: it was never sent.
    pub(super) fn acknowledge(&mut self, batch: u64, now: Instant) -> bool {
        while let Some(first) = self.in_flight.front()
            && first.number <= batch
        {
            self.records_in_flight -= first.records;
            self.acknowledged += first.records as u64;
            if let Some(born) = first.born {
                if self.lags.len() == LAGS {
                    self.lags.pop_front();
                }
                self.lags.push_back(now.since(born));
            }
            if self.copying == Copying::Ending(first.number) {
                self.copying = Copying::Done;
                self.swept = now;
            }
            self.in_flight.pop_front();
        }
        batch < self.next_batch
    }

    /// The next message, if there is one; nothing is written otherwise.
    pub(super) fn write(
        &mut self,
        ground: &Ground<'_, impl Tables>,
        shared: &Shared,
        now: Instant,
        into: &mut Vec<u8>,
    ) -> bool {
        let written = self.write_waiting(into)
            || self.write_copy(ground, shared, into)
            || self.write_sweep(ground, shared, now, into)
            || self.write_keep_alive(now, into);
        if written {
            self.last_sent = now;
        }
        written
    }

    /// Names, what was collected, what is new.
    fn write_waiting(&mut self, into: &mut Vec<u8>) -> bool {
        if !self.names.to_say.is_empty() {
            let rest = self.names.to_say.len().saturating_sub(RECORDS);
            wire::write_names(&self.names.to_say.split_off(rest), into);
            return true;
        }
        if !self.ready.is_empty() {
            let records = std::mem::take(&mut self.ready);
            self.write_flows(&records, self.ready_progress, None, into);
            self.ready = records;
            self.ready.clear();
            return true;
        }
        if self.pending.is_empty() || self.bytes_in_flight() >= WINDOW {
            return false;
        }
        let born = self.pending.front().map(|&(_, born)| born);
        let count = self.pending.len().min(RECORDS);
        let records: Vec<_> = self.pending.drain(..count).map(|(record, _)| record).collect();
        self.write_flows(&records, NO_COPY, born, into);
        true
    }

    fn write_copy(&mut self, ground: &Ground<'_, impl Tables>, shared: &Shared, into: &mut Vec<u8>) -> bool {
        match self.copying {
            Copying::Wanted => {
                wire::write_begin(into);
                self.copying = Copying::Running(Scan::default());
            }
            Copying::Running(_) if self.bytes_in_flight() >= COPY_WINDOW => return false,
            Copying::Running(mut scan) => {
                let goes_on = self.collect(&mut scan, ground, shared, BUCKETS_PER_MESSAGE, |_| true);
                self.ready_progress = scan.progress(ground);
                self.copying = Copying::Running(scan);
                if !self.ready.is_empty() {
                    return self.write_waiting(into);
                }
                if goes_on {
                    // Nothing found: the partner sees how far it is all the same.
                    self.write_flows(&[], self.ready_progress, None, into);
                } else if std::mem::take(&mut self.again) {
                    wire::write_begin(into);
                    self.copying = Copying::Running(Scan::default());
                } else {
                    let number = self.begin_batch(0, None);
                    wire::write_end(number, into);
                    self.copying = Copying::Ending(number);
                }
            }
            Copying::Ending(_) | Copying::Done => return false,
        }
        true
    }

    /// What this node forwards and what had a packet since the sweep was here before.
    fn write_sweep(
        &mut self,
        ground: &Ground<'_, impl Tables>,
        shared: &Shared,
        now: Instant,
        into: &mut Vec<u8>,
    ) -> bool {
        let since = now.since(self.swept);
        if self.copying != Copying::Done || since < SWEEP_STEP || self.bytes_in_flight() >= COPY_WINDOW {
            return false;
        }
        let share = (since.as_millis() * u128::from(Scan::all(ground))).div_ceil(SWEEP.as_millis());
        let share = (share as u64).clamp(1, BUCKETS_PER_MESSAGE);
        let mut scan = self.sweep;
        let moved = |record: &Record| record.first_hand && record.age < SWEEP + SWEEP / 10;
        let before = scan;
        let goes_on = self.collect(&mut scan, ground, shared, share, moved);
        // A full message ends before the share does: the rest is due at once.
        if scan.steps_from(before) >= share || !goes_on {
            self.swept = now;
        }
        self.sweep = if goes_on { scan } else { Scan::default() };
        self.ready_progress = NO_COPY;
        !self.ready.is_empty() && self.write_waiting(into)
    }

    fn write_keep_alive(&mut self, now: Instant, into: &mut Vec<u8>) -> bool {
        if now.since(self.last_sent) < KEEP_ALIVE {
            return false;
        }
        self.write_flows(&[], NO_COPY, None, into);
        true
    }

    /// Walks on and collects what the partner shares; false at the end of the tables.
    fn collect(
        &mut self,
        scan: &mut Scan,
        ground: &Ground<'_, impl Tables>,
        shared: &Shared,
        buckets: u64,
        wanted: impl Fn(&Record) -> bool,
    ) -> bool {
        let (names, ready) = (&mut self.names, std::cell::RefCell::new(&mut self.ready));
        let more = || ready.borrow().len() + WAYS <= RECORDS;
        scan.walk(ground, buckets, more, |kind, hash, found| {
            let record = names.record(ground, shared, (kind, hash, &found), false);
            ready.borrow_mut().extend(record.filter(&wanted));
        })
    }

    fn write_flows(&mut self, records: &[Record], progress: u16, born: Option<Instant>, into: &mut Vec<u8>) {
        let number = self.begin_batch(records.len(), born);
        wire::write_flows(number, progress, records.iter(), into);
    }

    fn begin_batch(&mut self, records: usize, born: Option<Instant>) -> u64 {
        let number = self.next_batch;
        self.next_batch += 1;
        self.sent += records as u64;
        self.records_in_flight += records;
        self.in_flight.push_back(Batch { number, records, born });
        number
    }

    fn bytes_in_flight(&self) -> usize {
        // A batch without a record takes room in the queue all the same.
        self.records_in_flight * RECORD_BYTES + self.in_flight.len() * 64
    }

    /// Percent of the whole copy that is done; none: all of it.
    pub(super) fn percent(&self, ground: &Ground<'_, impl Tables>) -> Option<u8> {
        match self.copying {
            Copying::Wanted => Some(0),
            Copying::Running(scan) => Some((scan.progress(ground) / 10).min(99) as u8),
            Copying::Ending(_) => Some(99),
            Copying::Done => None,
        }
    }

    /// New flows that the partner is not known to have.
    pub(super) fn pending(&self) -> usize {
        self.pending.len() + self.records_in_flight
    }

    /// From when a new flow was read to its acknowledgement: the last batch, and the 99th of a hundred.
    pub(super) fn lag(&self) -> (Duration, Duration) {
        let mut sorted: Vec<_> = self.lags.iter().copied().collect();
        sorted.sort_unstable();
        let last = self.lags.back().copied().unwrap_or_default();
        (last, sorted.get((sorted.len() * 99).div_ceil(100).saturating_sub(1)).copied().unwrap_or_default())
    }
}
