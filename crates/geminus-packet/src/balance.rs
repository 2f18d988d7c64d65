//! Which server has a packet: flow table, provisional table, then a choice, in this order.

mod choice;

use self::choice::{choose, client_hash};
use crate::flow::{Bucket, Entry, Found, Remembered, State, Tag, Timeouts, WAY_BITS};
use crate::journal::Slot;
use crate::packet::{Packet, Step};
use crate::tables::{
    Address, AddressFacts, Endpoint, Globals, Hop, KEEP_TUPLES, RANGES_PER_CLUSTER, Server, Service, Tables,
    Ticks,
};
use crate::verdict::{Answer, Counter, Drop, Note, Pass, Path, Verdict};

impl Timeouts for Globals {
    #[inline(always)]
    fn timeout(&self, state: u8) -> u32 {
        self.timeouts[state as usize & 7].load() as u32
    }
}

/// Decides for a packet of `bytes` bytes whose destination is a cluster address that this node is active for; `hop` becomes
/// where it is forwarded to.
#[inline(always)]
pub(crate) fn balance<T: Tables>(
    tables: &T,
    globals: &Globals,
    packet: &Packet,
    bytes: u64,
    now: Ticks,
    hop: &mut Hop,
) -> Verdict {
    let tag = Tag(packet.hash(&globals.key));
    let ticks = now.0 as u32;
    // A SYN is a newcomer almost always; where memory is slow, both tables' lines then travel together.
    if matches!(packet.step, Step::SYN)
        && let Some(provisional) = tables.provisional(tag.bucket(globals.provisional_mask.load()))
    {
        provisional.prefetch();
    }
    if let Some(bucket) = tables.flows(tag.bucket(globals.flow_mask.load()))
        && let Some(found) = bucket.find(tag)
    {
        if let Some(server) = tables.server(found.server) {
            *hop = server.hop();
            if hop.is_of(found.note.generation()) {
                if is_released(hop, &found) {
                    tables.count(Note::Released.counter());
                } else if !begins_anew(packet.step, &found) {
                    if !tables.dry() {
                        keep(bucket, &found, packet.step, server, globals, ticks);
                    }
                    return forward(tables, hop, found.server, Path::Established.counter(), bytes, false);
                }
            } else if is_reset(hop, packet.step) {
                if !tables.dry() {
                    bucket.forget(&found);
                }
                return Verdict::answer(Answer::Reset);
            } else {
                tables.count(Note::ServerGone.counter());
            }
        }
        if !tables.dry() {
            bucket.forget(&found);
        }
    }
    newcomer(tables, globals, &packet.blurred(globals.nothing.load()), tag, bytes, ticks, hop)
}

/// Whether a packet is the first of a new connection on the 5-tuple of one whose client has ended it. It is a newcomer
/// like any other: clients behind one address that use ports up quickly would otherwise stay where they once were.
#[inline(always)]
fn begins_anew(step: Step, found: &Found) -> bool {
    let state = found.note.state();
    matches!(step, Step::SYN) && (state == State::Closing as u8 || state == State::Reset as u8)
}

/// Whether a flow does not stay with its server, which is down: one without an end of its own would stay for ever.
#[inline(always)]
fn is_released(hop: &Hop, found: &Found) -> bool {
    found.note.state() == State::Datagrams as u8 && hop.from & Server::DOWN != 0
}

/// Whether a packet of a flow that an older generation of the server had is answered by a reset. One that may begin a flow
/// does begin one, and a reset is never answered (RFC 9293, section 3.5.2).
#[inline(always)]
fn is_reset(hop: &Hop, step: Step) -> bool {
    matches!(step, Step::SEGMENT | Step::FIN) && hop.from & Server::RESETS != 0
}

/// Keeps a found flow's state and time. Its note is written only when one of them moves, its server's count of active flows
/// only by the packet that ends it.
#[inline(always)]
fn keep(bucket: &Bucket, found: &Found, step: Step, server: &Server, globals: &Globals, now: u32) {
    let state = match step {
        Step::FIN if found.note.state() == State::Established as u8 => Some(State::Closing),
        Step::RST if found.note.state() != State::Reset as u8 => Some(State::Reset),
        _ => None,
    };
    if state.is_some() || found.note.age(now) >= globals.refresh.load() as u32 {
        let written = bucket.touch(found, state, now);
        if written && state.is_some() && found.note.state() == State::Established as u8 {
            server.active.fetch_add(u64::MAX);
        }
    }
}

/// A packet whose flow is not in the flow table.
#[inline(always)]
fn newcomer<T: Tables>(
    tables: &T,
    globals: &Globals,
    packet: &Packet,
    tag: Tag,
    bytes: u64,
    now: u32,
    hop: &mut Hop,
) -> Verdict {
    let Some(provisional) = tables.provisional(tag.bucket(globals.provisional_mask.load())) else {
        return Verdict::pass(Pass::NotConfigured);
    };
    provisional.prefetch();
    if let Some(drop) = refused_source(tables, globals, packet.source) {
        return Verdict::drop(drop);
    }
    let Some(service) = service_of(tables, globals, packet) else {
        return if packet.facts.has(AddressFacts::PASS_UNEXPOSED) {
            Verdict::pass(Pass::Unexposed)
        } else {
            Verdict::drop(Drop::Unexposed)
        };
    };
    if let Some(found) = provisional.find(tag)
        && let Some(server) = tables.server(found.server)
        && let remembered = server.hop()
        && remembered.is_of(found.note.generation())
    {
        *hop = remembered;
        match packet.step {
            Step::SYN if hop.from & (Server::DRAINING | Server::DOWN) != 0 => {}
            Step::DATAGRAM if hop.from & Server::DOWN != 0 => {}
            Step::SYN => {
                if !tables.dry() {
                    provisional.touch(&found, None, now);
                }
                return forward(tables, hop, found.server, Path::Repeated.counter(), bytes, false);
            }
            Step::RST => {
                if !tables.dry() {
                    provisional.forget(&found);
                }
                return forward(tables, hop, found.server, Path::Repeated.counter(), bytes, false);
            }
            _ => {
                if !tables.dry() {
                    provisional.forget(&found);
                    promote(tables, globals, service, packet, tag, &found, server, now);
                }
                return forward(tables, hop, found.server, Path::Promoted.counter(), bytes, true);
            }
        }
    }
    let choice = choose(tables, globals, service, packet, tag, provisional, now);
    if choice.is_none() {
        return Verdict::dropped(Counter(choice.path));
    }
    match tables.server(choice.server) {
        Some(server) => {
            *hop = choice.hop(server);
            forward(tables, hop, choice.server, Counter(choice.path), bytes, false)
        }
        None => Verdict::drop(Drop::NoServer),
    }
}

/// Whether a packet's source is one that no client has.
#[inline(always)]
pub(crate) fn refused_source<T: Tables>(tables: &T, globals: &Globals, source: Address) -> Option<Drop> {
    let martian = if source.is_v4() {
        let first = source.low as u8;
        first == 0 || first == 127 || first >= 224
    } else {
        let first = source.high as u8;
        let nobody_or_loopback = source.high == 0 && (source.low == 0 || source.low == 1 << 56);
        first == 0xff || nobody_or_loopback
    };
    if martian {
        return Some(Drop::Martian);
    }
    let (facts, _) = crate::dispatch::known_address(tables, globals, source)?;
    Some(if facts.has(AddressFacts::NODE) { Drop::LoopedBack } else { Drop::SourceIsCluster })
}

/// The service of a packet: exact port, then ranges in their order.
#[inline(always)]
fn service_of<'t, T: Tables>(tables: &'t T, globals: &Globals, packet: &Packet) -> Option<&'t Service> {
    let facts = packet.facts;
    let index = &globals.index[packet.place as usize >> 31];
    let endpoint = Endpoint { cluster: facts.cluster(), protocol: packet.protocol, port: packet.port() };
    let place = index.endpoint_place.load();
    let bucket = endpoint.bucket(index.endpoint_seed.load(), (place >> 32) as u32);
    let entries = &tables.endpoints((place as u32).wrapping_add(bucket))?.entries;
    for entry in entries {
        if entry.key.load() == endpoint.key() {
            return tables.service(entry.service.load() as u32);
        }
    }
    let mut at = 0;
    while at < RANGES_PER_CLUSTER as u32 {
        if at >= facts.ranges() as u32 {
            return None;
        }
        let range = tables.range((packet.place & (u32::MAX >> 1)).wrapping_add(at))?;
        if range.has(packet.protocol, endpoint.port) {
            return tables.service(range.service.load() as u32);
        }
        at += 1;
    }
    None
}

/// Remembers a flow whose second packet came, and its client where service and server want it.
#[inline(always)]
#[allow(
    clippy::too_many_arguments,
    reason = "inlined into the program; a struct would live on its 512-byte stack"
)]
fn promote<T: Tables>(
    tables: &T,
    globals: &Globals,
    service: &Service,
    packet: &Packet,
    tag: Tag,
    first: &Found,
    server: &Server,
    now: u32,
) {
    let number = tag.bucket(globals.flow_mask.load());
    let Some(bucket) = tables.flows(number) else { return };
    let state = match packet.step {
        Step::DATAGRAM => State::Datagrams,
        Step::FIN => State::Closing,
        _ => State::Established,
    };
    let generation = first.note.generation();
    let entry =
        Entry { tag, server: first.server, generation, state, pinned: u64::from(first.note.pinned()) };
    let way = match bucket.remember(&entry, now, globals, false) {
        Remembered::In(way) => way,
        Remembered::Evicting(way) => {
            tables.count(Note::FlowEvicted.counter());
            way
        }
        Remembered::Not => {
            tables.count(Note::FlowNotRemembered.counter());
            return;
        }
    };
    if !matches!(packet.step, Step::FIN) {
        server.active.fetch_add(1);
    }
    if let Some(journal) = tables.journal() {
        journal.note(Slot::Flow(number << WAY_BITS | way));
    }
    if service.select.load() & Service::AFFINITY != 0 && server.from.load() & Server::LOOSE == 0 {
        let client = Tag(client_hash(globals, service, packet));
        let number = client.bucket(globals.affinity_mask.load());
        if let Some(bucket) = tables.affinity(number) {
            let entry = Entry { tag: client, state: State::Client, ..entry };
            if let Remembered::In(way) | Remembered::Evicting(way) =
                bucket.remember(&entry, now, globals, false)
                && let Some(journal) = tables.journal()
            {
                journal.note(Slot::Client(number << WAY_BITS | way));
            }
        }
    }
    // Last, because the line is cold and the next locked instruction waits for it.
    if globals.flags.load() & KEEP_TUPLES != 0
        && let Some(tuple) = tables.tuple(number << WAY_BITS | way)
    {
        tuple.addresses[0].store(packet.source.high);
        tuple.addresses[1].store(packet.source.low);
        tuple.addresses[2].store(packet.destination.high);
        tuple.addresses[3].store(packet.destination.low);
        tuple.ports.store(packet.ports_word());
    }
}

/// Sends a packet to a server, by a hop that is known to be of the right generation.
#[inline(always)]
fn forward<T: Tables>(
    tables: &T,
    hop: &Hop,
    number: u32,
    path: Counter,
    bytes: u64,
    begins: bool,
) -> Verdict {
    if hop.from & Server::LOCAL != 0 {
        tables.count_server(number, bytes, begins);
        return Verdict::local(number);
    }
    if hop.from & Server::RESOLVED == 0 {
        return Verdict::drop(Drop::Unresolved);
    }
    tables.count_server(number, bytes, begins);
    Verdict::forward(path, number, hop.interface)
}
