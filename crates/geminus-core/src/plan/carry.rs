//! From tables that became too small to new ones: flows, clients, leases and what partners said move along.

use std::collections::HashMap;

use geminus_packet::flow::{Bucket, Entry, Found, Remembered, State, Tag, WAYS};
use geminus_packet::heap::Sizes;
use geminus_packet::tables::{GROUPS, Globals, Server, Tables};

use super::{Ruling, paths};

/// What was carried over.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Carried {
    /// Flows that the new tables remember.
    pub flows: u64,
    /// Flows whose server is no longer wanted, or that found no slot; the ring decides for them.
    pub left: u64,
}

/// Carries flows, half-open flows, clients and leases from one installation to another that was made for the same site
/// and key. Flows that the new one knows already are left alone, so it may run again for those that came meanwhile.
pub fn carry(from: (&impl Tables, &Sizes), to: (&impl Tables, &Sizes), now: u32) -> Carried {
    let (old, old_sizes) = from;
    let (new, new_sizes) = to;
    let mut carried = Carried::default();
    let Some(globals) = new.globals() else { return carried };
    for group in 0..GROUPS {
        if let (Some(old), Some(new)) = (old.group(group), new.group(group)) {
            new.deadline.store(old.deadline.load());
            new.state.store(old.state.load());
        }
    }
    paths::carry(old, new);
    let servers = renumbered((old, old_sizes), (new, new_sizes));
    for number in 0..old_sizes.flow_buckets {
        let Some(bucket) = old.flows(number) else { continue };
        for found in ways(bucket) {
            let tag = bucket.tag(&found, number);
            let place = tag.bucket(globals.flow_mask.load());
            match new.flows(place).and_then(|bucket| give(bucket, tag, &found, &servers, globals, now)) {
                Some(way) => {
                    carried.flows += 1;
                    count_active(new, &servers, &found);
                    copy_tuple(old, new, slot(number, found.way), slot(place, way));
                }
                None => carried.left += 1,
            }
        }
    }
    for number in 0..old_sizes.provisional_buckets {
        let Some(bucket) = old.provisional(number) else { continue };
        for found in ways(bucket) {
            let tag = bucket.tag(&found, number);
            let place = new.provisional(tag.bucket(globals.provisional_mask.load()));
            place.and_then(|place| give(place, tag, &found, &servers, globals, now));
        }
    }
    for number in 0..old_sizes.affinity_buckets {
        let Some(bucket) = old.affinity(number) else { continue };
        for found in ways(bucket) {
            let tag = bucket.tag(&found, number);
            let place = new.affinity(tag.bucket(globals.affinity_mask.load()));
            place.and_then(|place| give(place, tag, &found, &servers, globals, now));
        }
    }
    carried
}

/// Slot of the flow table, as the cold side counts them.
const fn slot(bucket: u32, way: u32) -> u32 {
    bucket * WAYS as u32 + way
}

fn ways(bucket: &Bucket) -> impl Iterator<Item = Found> {
    (0..WAYS).filter_map(|way| bucket.way(way))
}

/// Number and generation of each old server in the new tables, by its old number and generation.
fn renumbered(from: (&impl Tables, &Sizes), to: (&impl Tables, &Sizes)) -> HashMap<(u32, u16), (u32, u16)> {
    let mut by_identity = HashMap::new();
    for number in 1..to.1.servers {
        if let Some(entry) = to.0.server(number)
            && entry.identity.load() != 0
            // What went down with this very move is not to have its flows again.
            && !Ruling::from_word(entry.ruling.load()).releases()
        {
            by_identity.insert(entry.identity.load(), (number, Server::generation(entry.link.load())));
        }
    }
    let mut servers = HashMap::new();
    for number in 1..from.1.servers {
        if let Some(entry) = from.0.server(number)
            && let Some(&place) = by_identity.get(&entry.identity.load())
        {
            servers.insert((number, Server::generation(entry.link.load())), place);
        }
    }
    servers
}

fn give(
    bucket: &Bucket,
    tag: Tag,
    found: &Found,
    servers: &HashMap<(u32, u16), (u32, u16)>,
    globals: &Globals,
    now: u32,
) -> Option<u32> {
    if bucket.find(tag).is_some() {
        return None;
    }
    let &(server, generation) = servers.get(&(found.server, found.note.generation()))?;
    let state = State::ALL[usize::from(found.note.state())];
    let entry = Entry { tag, server, generation, state, pinned: u64::from(found.note.pinned()) };
    let seen = now.wrapping_sub(found.note.age(now));
    match bucket.remember(&entry, seen, globals, false) {
        Remembered::In(way) | Remembered::Evicting(way) => Some(way),
        Remembered::Not => None,
    }
}

/// A flow that is neither ended nor begun only is one more that its server has.
fn count_active(new: &impl Tables, servers: &HashMap<(u32, u16), (u32, u16)>, found: &Found) {
    let state = found.note.state();
    let is_active = state == State::Established as u8 || state == State::Datagrams as u8;
    let place = servers.get(&(found.server, found.note.generation())).filter(|_| is_active);
    if let Some(entry) = place.and_then(|&(number, _)| new.server(number)) {
        entry.active.fetch_add(1);
    }
}

fn copy_tuple(old: &impl Tables, new: &impl Tables, from: u32, to: u32) {
    if let (Some(from), Some(to)) = (old.tuple(from), new.tuple(to)) {
        for (from, to) in from.addresses.iter().zip(&to.addresses) {
            to.store(from.load());
        }
        to.ports.store(from.ports.load());
    }
}
