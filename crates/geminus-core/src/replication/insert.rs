//! From a partner's record to an entry of these tables.

use geminus_packet::flow::{Bucket, Entry, Found, Remembered, Tag, Timeouts, WAYS};
use geminus_packet::tables::{Server, Tables};

use super::bindings::Local;
use super::{Ground, Record};

/// What became of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Taken {
    /// Remembered: new here, or otherwise than before.
    Written,
    /// What stands here is as good or better.
    Kept,
    /// Its server was given up here since its last packet.
    Gone,
    /// Its bucket is full of flows that had a packet since.
    Full,
}

/// Takes a record, or does not. `copying`: it is part of a whole copy.
pub(super) fn take(ground: &Ground<'_, impl Tables>, record: &Record, local: Local, copying: bool) -> Taken {
    let here = local.here;
    let seen = ground.now.0.saturating_sub(u64::from(ground.ticks(record.age)));
    if here.since.is_some_and(|since| seen < since.0) {
        return Taken::Gone;
    }
    let tag = Tag(record.hash);
    let Some(bucket) = ground.bucket(record.kind, ground.bucket_of(record.kind, record.hash)) else {
        return Taken::Full;
    };
    let standing = bucket.find(tag);
    let living = standing.filter(|found| is_living(ground, found));
    let forwards = ground.forwards(local.group);
    let wanted = match (living, forwards, record.first_hand) {
        (None, true, false) => copying && !record.is_ending(),
        (None, _, _) => true,
        (Some(_), true, _) => false,
        (Some(_), false, true) => true,
        (Some(found), false, false) => record.age < ground.age(found.note),
    };
    if !wanted {
        return Taken::Kept;
    }
    if let Some(found) = living
        && found.server == here.number
        && found.note.pinned() == record.pinned
    {
        return renew(ground, bucket, &found, record);
    }
    if standing.is_none() && !has_room(ground, bucket, record) {
        return Taken::Full;
    }
    write(ground, bucket, record, local)
}

/// Whether an entry's server is still the one that it was given to.
pub(super) fn is_living(ground: &Ground<'_, impl Tables>, found: &Found) -> bool {
    let generation = ground.tables.server(found.server).map(|server| Server::generation(server.link.load()));
    generation == Some(found.note.generation())
}

/// State and time of an entry that stands here already.
fn renew(ground: &Ground<'_, impl Tables>, bucket: &Bucket, found: &Found, record: &Record) -> Taken {
    let differs = found.note.state() != record.state as u8;
    if !differs && ground.age(found.note) <= record.age {
        return Taken::Kept;
    }
    bucket.touch(found, differs.then_some(record.state), ground.seen(record.age));
    Taken::Written
}

/// Whether a way is free, has expired or has been idle for longer than the record's flow.
fn has_room(ground: &Ground<'_, impl Tables>, bucket: &Bucket, record: &Record) -> bool {
    let now = ground.now.0 as u32;
    let age = ground.ticks(record.age);
    (0..WAYS).any(|way| {
        bucket.way(way).is_none_or(|found| {
            let idle = found.note.age(now);
            idle > age || idle >= ground.globals.timeout(found.note.state())
        })
    })
}

fn write(ground: &Ground<'_, impl Tables>, bucket: &Bucket, record: &Record, local: Local) -> Taken {
    let entry = Entry {
        tag: Tag(record.hash),
        server: local.here.number,
        generation: local.here.generation,
        state: record.state,
        pinned: u64::from(record.pinned),
    };
    // Ranked by today's clock, dated by the record's.
    match bucket.remember(&entry, ground.now.0 as u32, ground.globals, false) {
        Remembered::In(_) | Remembered::Evicting(_) => {
            if let Some(found) = bucket.find(entry.tag) {
                bucket.touch(&found, None, ground.seen(record.age));
            }
            Taken::Written
        }
        Remembered::Not => Taken::Full,
    }
}
