//! Which server has a packet: flow table, provisional table, affinity, ring, in this order.

use crate::flow::{Bucket, Entry, Found, Remembered, State, Tag, Timeouts, WAY_BITS};
use crate::journal::Slot;
use crate::packet::{Packet, Step};
use crate::tables::{
    Address, AddressFacts, Endpoint, Globals, KEEP_TUPLES, RANGES_PER_CLUSTER, RING_LINE_SLOTS, Server,
    Service, Tables, Ticks,
};
use crate::verdict::{Counter, Drop, Note, Pass, Path, Verdict};
use crate::word::blurred;

/// Slots looked at after the flow's own while the server there is unresolved.
const STEPS_ASIDE: u32 = 8;

impl Timeouts for Globals {
    #[inline(always)]
    fn timeout(&self, state: u8) -> u32 {
        self.timeouts[state as usize & 7].load() as u32
    }
}

/// A server that may have the packet, and how it was found. Server 0: none; every field is set all the same, because the
/// verifier forbids to save what is undefined.
#[derive(Clone, Copy)]
struct Choice {
    server: u32,
    generation: u16,
    path: u8,
    /// 1 if it differs from the ring's choice, else 0.
    pinned: u64,
}

impl Choice {
    const NONE: Self = Self { server: 0, generation: 0, path: 0, pinned: 0 };

    /// The same choice, of which the verifier no longer knows how it was made ([`blurred`]).
    #[inline(always)]
    fn blurred(self, nothing: u64) -> Self {
        let values = [u64::from(self.server), u64::from(self.generation), u64::from(self.path), self.pinned];
        let [server, generation, path, pinned] = blurred(values, nothing);
        Self { server: server as u32, generation: generation as u16, path: path as u8, pinned }
    }

    #[inline(always)]
    const fn is_none(&self) -> bool {
        self.server == 0
    }
}

/// Decides for a packet of `bytes` bytes whose destination is a cluster address that this node is active for.
#[inline(always)]
pub(crate) fn balance<T: Tables>(
    tables: &T,
    globals: &Globals,
    packet: &Packet,
    bytes: u64,
    now: Ticks,
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
            let link = server.link.load();
            if Server::generation(link) == found.note.generation() {
                if !begins_anew(packet.step, &found) {
                    if !tables.dry() {
                        keep(bucket, &found, packet.step, globals, ticks);
                    }
                    return forward(tables, server, found.server, Path::Established.counter(), bytes, false);
                }
            } else {
                tables.count(Note::ServerGone.counter());
            }
        }
        if !tables.dry() {
            bucket.forget(&found);
        }
    }
    newcomer(tables, globals, &packet.blurred(globals.nothing.load()), tag, bytes, ticks)
}

/// Whether a packet is the first of a new connection on the 5-tuple of one whose client has ended it. It is a newcomer
/// like any other: clients behind one address that use ports up quickly would otherwise stay where they once were.
#[inline(always)]
fn begins_anew(step: Step, found: &Found) -> bool {
    let state = found.note.state();
    matches!(step, Step::SYN) && (state == State::Closing as u8 || state == State::Reset as u8)
}

/// Keeps a found flow's state and time. Its note is written only when one of them moves.
#[inline(always)]
fn keep(bucket: &Bucket, found: &Found, step: Step, globals: &Globals, now: u32) {
    let state = match step {
        Step::FIN if found.note.state() == State::Established as u8 => Some(State::Closing),
        Step::RST if found.note.state() != State::Reset as u8 => Some(State::Reset),
        _ => None,
    };
    if state.is_some() || found.note.age(now) >= globals.refresh.load() as u32 {
        bucket.touch(found, state, now);
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
        && Server::generation(server.link.load()) == found.note.generation()
    {
        match packet.step {
            Step::SYN if server.from.load() & Server::DRAINING != 0 => {}
            Step::SYN => {
                if !tables.dry() {
                    provisional.touch(&found, None, now);
                }
                return forward(tables, server, found.server, Path::Repeated.counter(), bytes, false);
            }
            Step::RST => {
                if !tables.dry() {
                    provisional.forget(&found);
                }
                return forward(tables, server, found.server, Path::Repeated.counter(), bytes, false);
            }
            _ => {
                if !tables.dry() {
                    provisional.forget(&found);
                    promote(tables, globals, service, packet, tag, &found, now);
                }
                return forward(tables, server, found.server, Path::Promoted.counter(), bytes, true);
            }
        }
    }
    let choice = choose(tables, globals, service, packet, tag, provisional, now);
    if choice.is_none() {
        let nobody = service.ring.load() >> 32 == 0;
        return Verdict::drop(if nobody { Drop::NoServer } else { Drop::Unresolved });
    }
    match tables.server(choice.server) {
        Some(server) => forward(tables, server, choice.server, Counter(choice.path), bytes, false),
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
    crate::dispatch::cluster_address(tables, globals, source).map(|_| Drop::SourceIsCluster)
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

/// Remembers a flow whose second packet came, and its client where the service wants it.
#[inline(always)]
fn promote<T: Tables>(
    tables: &T,
    globals: &Globals,
    service: &Service,
    packet: &Packet,
    tag: Tag,
    first: &Found,
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
    if let Some(journal) = tables.journal() {
        journal.note(Slot::Flow(number << WAY_BITS | way));
    }
    if service.select.load() & Service::AFFINITY != 0 {
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

/// Hash of the client that a packet belongs to.
#[inline(always)]
fn client_hash(globals: &Globals, service: &Service, packet: &Packet) -> u64 {
    let affinity = service.affinity.load();
    let source = packet.source;
    let prefix = if source.is_v4() {
        let kept = (affinity >> 32) as u32 & 0xff;
        [source.high, source.low & leading(kept)]
    } else {
        let kept = (affinity >> 40) as u32 & 0xff;
        let (high, low) = if kept > 64 { (64, kept - 64) } else { (kept, 0) };
        [source.high & leading(high), source.low & leading(low)]
    };
    globals.key.client(prefix, service.identity.load())
}

/// A mask of the `kept` leading bits of 64, as the bytes of a header read as a little-endian word.
#[inline(always)]
const fn leading(kept: u32) -> u64 {
    if kept == 0 { 0 } else { (u64::MAX << ((64 - kept) & 63)).swap_bytes() }
}

/// Chooses a server for a packet of a flow nobody remembers, and remembers the choice until the next packet.
#[inline(always)]
fn choose<T: Tables>(
    tables: &T,
    globals: &Globals,
    service: &Service,
    packet: &Packet,
    tag: Tag,
    provisional: &Bucket,
    now: u32,
) -> Choice {
    let nothing = globals.nothing.load();
    let select = service.select.load();
    let begins = matches!(packet.step, Step::SYN | Step::DATAGRAM);
    let mut point = tag.0;
    let mut choice = Choice::NONE;
    if select & Service::AFFINITY != 0 {
        point = client_hash(globals, service, packet);
        choice = returning(tables, globals, service, Tag(point), now).blurred(nothing);
    }
    let ring = service.ring.load();
    let mut own = settled(tables, ring, scaled(point, ring)).blurred(nothing);
    own.path = if begins { Path::Ring.counter().0 } else { Path::Unknown.counter().0 };
    if choice.is_none() && begins && select & Service::TURN != 0 && !tables.dry() {
        choice = turn(tables, service, ring).blurred(nothing);
    }
    if choice.is_none() {
        choice = own;
        if own.pinned != 0 {
            tables.count(Note::SteppedAside.counter());
        }
    } else {
        choice.pinned = u64::from(choice.server != own.server);
    }
    if choice.is_none() || matches!(packet.step, Step::RST) || tables.dry() {
        return choice;
    }
    choice = choice.blurred(nothing);
    let Choice { server, generation, pinned, .. } = choice;
    let entry = Entry { tag, server, generation, state: State::First, pinned };
    match provisional.remember(&entry, now, globals, true) {
        Remembered::In(_) => {}
        Remembered::Evicting(_) => tables.count(Note::FirstEvicted.counter()),
        Remembered::Not => {
            tables.count(Note::FirstNotRemembered.counter());
            // What cannot be remembered must be what the next packet finds without memory.
            if choice.path == Path::Turn.counter().0 && !own.is_none() {
                return own;
            }
        }
    }
    choice
}

/// The server of a client that came before, if it may still have new flows.
#[inline(always)]
fn returning<T: Tables>(tables: &T, globals: &Globals, service: &Service, client: Tag, now: u32) -> Choice {
    let Some(bucket) = tables.affinity(client.bucket(globals.affinity_mask.load())) else {
        return Choice::NONE;
    };
    let Some(found) = bucket.find(client) else { return Choice::NONE };
    let Some(server) = tables.server(found.server) else { return Choice::NONE };
    let generation = Server::generation(server.link.load());
    let usable = generation == found.note.generation() && server.from.load() & Server::DRAINING == 0;
    if !usable || found.note.age(now) >= service.affinity.load() as u32 {
        return Choice::NONE;
    }
    if !tables.dry() && found.note.age(now) >= globals.refresh.load() as u32 {
        bucket.touch(&found, None, now);
    }
    Choice { server: found.server, generation, path: Path::Affinity.counter().0, pinned: 0 }
}

/// The next server in turn, if it is resolved: the ring of such a service is laid out in the order of turns.
#[inline(always)]
fn turn<T: Tables>(tables: &T, service: &Service, ring: u64) -> Choice {
    let slots = ring >> 32;
    if slots == 0 {
        return Choice::NONE;
    }
    let slot = (service.turn.fetch_add(1) % slots) as u32;
    let choice = at_slot(tables, ring, slot);
    Choice { path: Path::Turn.counter().0, ..choice }
}

/// The slot that a hash falls on.
#[inline(always)]
const fn scaled(point: u64, ring: u64) -> u32 {
    (((point >> 32) * (ring >> 32)) >> 32) as u32
}

/// The server of a slot, or of one of the next while it is unresolved; pinned if it is not the slot's own.
#[inline(always)]
fn settled<T: Tables>(tables: &T, ring: u64, slot: u32) -> Choice {
    let slots = (ring >> 32) as u32;
    if slots == 0 {
        return Choice::NONE;
    }
    let mut at = slot;
    let mut step = 0;
    while step < STEPS_ASIDE {
        let choice = at_slot(tables, ring, at);
        if !choice.is_none() {
            return Choice { pinned: u64::from(at != slot), ..choice };
        }
        at += 1;
        if at >= slots {
            at = 0;
        }
        step += 1;
    }
    Choice::NONE
}

/// The server of a slot; none if it is unresolved.
#[inline(always)]
fn at_slot<T: Tables>(tables: &T, ring: u64, slot: u32) -> Choice {
    let Some(line) = tables.ring_line((ring as u32).wrapping_add(slot / RING_LINE_SLOTS)) else {
        return Choice::NONE;
    };
    let pair = line.pairs[(slot as usize >> 1) & 7].load();
    let number = (pair >> ((slot & 1) * 32)) as u32;
    let Some(server) = tables.server(number) else { return Choice::NONE };
    let generation = Server::generation(server.link.load());
    if generation == 0 || server.from.load() & (Server::RESOLVED | Server::LOCAL) == 0 {
        return Choice::NONE;
    }
    Choice { server: number, generation, path: 0, pinned: 0 }
}

/// Sends a packet to a server that is known to be of the right generation.
#[inline(always)]
fn forward<T: Tables>(
    tables: &T,
    server: &Server,
    number: u32,
    path: Counter,
    bytes: u64,
    begins: bool,
) -> Verdict {
    let from = server.from.load();
    if from & Server::LOCAL != 0 {
        tables.count_server(number, bytes, begins);
        return Verdict::local(number);
    }
    if from & Server::RESOLVED == 0 {
        return Verdict::drop(Drop::Unresolved);
    }
    tables.count_server(number, bytes, begins);
    Verdict::forward(path, number, server.interface.load() as u32)
}
