//! What is written into the entries of servers and services.

use geminus_packet::tables::{MAC_BITS, Server as ServerEntry, Service as ServiceEntry, mac_word, word_mac};

use super::part::Part;
use super::{Link, Override, Ruling, TicksPerSecond, fixed, sources};
use crate::model::{Select, Server};

/// Flags that follow from the site, the operator's wishes and the rulings, and not from the way to the server.
const RULED: u64 = ServerEntry::DRAINING | ServerEntry::DOWN | ServerEntry::RESETS | ServerEntry::LOOSE;

/// What is wanted of one server.
#[derive(Debug, Clone, Copy)]
pub(super) struct WantedServer<'a> {
    pub(super) server: &'a Server,
    /// Whether clients come back to it.
    pub(super) sticky: bool,
    pub(super) wish: Override,
    pub(super) ruling: Ruling,
    /// In force.
    pub(super) weight: u16,
    pub(super) link: Option<&'a Link>,
}

impl WantedServer<'_> {
    fn flags(&self) -> u64 {
        let but_for_its_health = Ruling { down: None, ..self.ruling };
        let flag = |is_set: bool, flag: u64| if is_set { flag } else { 0 };
        flag(but_for_its_health.weight_of(self.server, self.wish) == 0, ServerEntry::DRAINING)
            | flag(self.ruling.down.is_some(), ServerEntry::DOWN)
            | flag(self.ruling.down == Some(crate::model::OnDown::Reset), ServerEntry::RESETS)
            | flag(!self.sticky, ServerEntry::LOOSE)
    }
}

/// Makes an entry that nobody has a server's.
pub(super) fn begin_server(entry: &ServerEntry, identity: u64) {
    let generation = next_generation(entry);
    entry.interface.store(u64::from(generation) << 48);
    entry.from.store(0);
    for word in [&entry.active, &entry.weight, &entry.kin, &entry.ruling] {
        word.store(0);
    }
    entry.link.store(u64::from(generation) << 48);
    entry.identity.store(identity);
}

/// Brings a server's entry up to date. One that is down gets no new flow from here on; its flows are another matter, for
/// [`release`].
pub(super) fn write_server(entry: &ServerEntry, wanted: &WantedServer<'_>) {
    let flags = wanted.flags();
    let found = match is_to_release(entry, wanted.ruling) {
        true => entry.ruling.load() & !Override::UNTIL,
        false => wanted.ruling.to_word(),
    };
    entry.ruling.store(found | wanted.wish.until_word());
    let kept = entry.interface.load() & !(0xffff << 32);
    entry.interface.store(kept | wanted.wish.to_word());
    entry.weight.store(u64::from(wanted.weight));
    write_link(entry, wanted.link, flags);
}

/// Gives the flows of a server that went down up, by another generation, and remembers that it was done: once for each time
/// that it goes down. It is done when the ring stands that is built without it, for they go where that ring says. Whoever is
/// killed before the last word is followed by one who does it once more.
pub(super) fn release(entry: &ServerEntry, ruling: Ruling) {
    if !is_to_release(entry, ruling) {
        return;
    }
    let generation = u64::from(next_generation(entry)) << 48;
    entry.interface.store(entry.interface.load() & !(0xffff << 48) | generation);
    entry.link.store(entry.link.load() & MAC_BITS | generation);
    entry.active.store(0);
    entry.ruling.store(ruling.to_word() | entry.ruling.load() & Override::UNTIL);
}

fn is_to_release(entry: &ServerEntry, ruling: Ruling) -> bool {
    ruling.releases() && !Ruling::from_word(entry.ruling.load()).releases()
}

/// Gives an entry up. Without a generation none of its flows is found any more; the last one is kept for the next tenant.
pub(super) fn retire_server(entry: &ServerEntry) {
    entry.link.store(0);
    for word in [&entry.from, &entry.identity, &entry.active, &entry.weight, &entry.kin, &entry.ruling] {
        word.store(0);
    }
    entry.interface.store(entry.interface.load() & 0xffff << 48);
}

/// Another way to a server.
pub(super) fn change_link(entry: &ServerEntry, link: &Link) {
    write_link(entry, Some(link), entry.from.load() & RULED);
}

fn next_generation(entry: &ServerEntry) -> u16 {
    let last = (entry.interface.load() >> 48) as u16;
    if last == u16::MAX { 1 } else { last + 1 }
}

fn write_link(entry: &ServerEntry, link: Option<&Link>, flags: u64) {
    let generation = entry.link.load() & !MAC_BITS;
    match link {
        Some(Link::Remote { mac, source, interface }) => {
            let others = entry.interface.load() & !0xffff_ffff;
            entry.interface.store(others | u64::from(*interface));
            entry.link.store(generation | mac_word(*mac));
            entry.from.store(mac_word(*source) | ServerEntry::RESOLVED | flags);
        }
        Some(Link::Local) => entry.from.store(ServerEntry::LOCAL | flags),
        None => {
            let kept = entry.from.load() & (MAC_BITS | ServerEntry::RESOLVED | ServerEntry::LOCAL);
            entry.from.store(kept | flags);
        }
    }
}

pub(super) fn read_link(entry: &ServerEntry) -> Option<Link> {
    let from = entry.from.load();
    if from & ServerEntry::LOCAL != 0 {
        return Some(Link::Local);
    }
    (from & ServerEntry::RESOLVED != 0).then(|| Link::Remote {
        mac: word_mac(entry.link.load()),
        source: word_mac(from),
        interface: entry.interface.load() as u32,
    })
}

/// Makes an entry that nobody has a service's or a further pool's.
pub(super) fn begin_service(entry: &ServiceEntry, identity: u64) {
    clear_service(entry);
    entry.turn.store(0);
    entry.identity.store(identity);
}

/// Gives an entry up; returns its ring.
pub(super) fn retire_service(entry: &ServiceEntry) -> u64 {
    let ring = entry.ring.load();
    clear_service(entry);
    entry.identity.store(0);
    ring
}

fn clear_service(entry: &ServiceEntry) {
    let ServiceEntry { ring, ring_digest, select, affinity, clients, pool, .. } = entry;
    [ring, ring_digest, select, affinity, clients, pool].into_iter().for_each(|word| word.store(0));
}

/// How servers are chosen for the service with this number. What is laid down of its clients is there already.
pub(super) fn write_select(entry: &ServiceEntry, part: &Part<'_>, number: u32, ticks: TicksPerSecond) {
    let mut select = u64::from(number) << 32;
    if let Some(affinity) = &part.service.affinity {
        select |= ServiceEntry::AFFINITY;
        let kept = fixed::ticks(affinity.timeout, ticks);
        let prefixes = u64::from(affinity.prefix4) << 32 | u64::from(affinity.prefix6) << 40;
        entry.affinity.store(kept | prefixes);
    }
    entry.clients.store(part.clients);
    select |= match part.service.select {
        Select::Hash => 0,
        Select::RoundRobin => ServiceEntry::TURN,
        Select::LeastConnections => ServiceEntry::LEAST,
    };
    if sources::any(part.service) {
        select |= ServiceEntry::SOURCES;
    }
    entry.select.store(select);
}
