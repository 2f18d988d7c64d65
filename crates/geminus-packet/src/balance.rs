//! Which server has a packet: flow table, provisional table, affinity, ring, in this order.

use crate::flow::{Bucket, Entry, Found, Remembered, State, Tag, Timeouts};
use crate::packet::{Kind, Packet};
use crate::tables::{
    AddressFacts, Endpoint, Globals, KEEP_TUPLES, RANGES_PER_CLUSTER, RING_LINE_SLOTS, Server, Service, Tables,
    Ticks,
};
use crate::verdict::{Drop, Forward, Note, Pass, Path, Verdict};

/// Slots looked at after the flow's own while the server there is unresolved.
const STEPS_ASIDE: u32 = 8;

impl Timeouts for Globals {
    #[inline(always)]
    fn timeout(&self, state: u8) -> u32 {
        self.timeouts[state as usize & 7].load() as u32
    }
}

/// A server that may have the packet, and how it was found.
#[derive(Clone, Copy)]
struct Choice {
    server: u32,
    link: u64,
    path: Path,
    pinned: bool,
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
    if let Some(bucket) = tables.flows(tag.bucket(globals.flow_mask.load()))
        && let Some(found) = bucket.find(tag)
    {
        if let Some(server) = tables.server(found.server) {
            let link = server.link.load();
            if Server::generation(link) == found.note.generation() {
                let from = server.from.load();
                if !begins_anew(packet.kind, &found, from) {
                    if !tables.dry() {
                        keep(bucket, &found, packet.kind, globals, ticks);
                    }
                    return forward(tables, server, found.server, Path::Established, bytes, false);
                }
            } else {
                tables.count(Note::ServerGone.counter());
            }
        }
        if !tables.dry() {
            bucket.forget(&found);
        }
    }
    newcomer(tables, globals, packet, tag, bytes, ticks)
}

/// Whether a SYN that meets its old flow is a new connection that must not go where the old one went.
#[inline(always)]
fn begins_anew(kind: Kind, found: &Found, from: u64) -> bool {
    let over = found.note.state() == State::Closing as u8 || found.note.state() == State::Reset as u8;
    matches!(kind, Kind::Syn) && over && from & Server::DRAINING != 0
}

/// Keeps a found flow's state and time. Its note is written only when one of them moves.
#[inline(always)]
fn keep(bucket: &Bucket, found: &Found, kind: Kind, globals: &Globals, now: u32) {
    let state = match kind {
        Kind::Fin if found.note.state() == State::Established as u8 => Some(State::Closing),
        Kind::Rst if found.note.state() != State::Reset as u8 => Some(State::Reset),
        Kind::Syn if found.note.state() != State::Established as u8 => Some(State::Established),
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
    if let Some(drop) = refused_source(tables, globals, packet) {
        return Verdict::Drop(drop);
    }
    let Some(service) = service_of(tables, globals, packet) else {
        return if packet.facts.has(AddressFacts::PASS_UNEXPOSED) {
            Verdict::Pass(Pass::Unexposed)
        } else {
            Verdict::Drop(Drop::Unexposed)
        };
    };
    let Some(provisional) = tables.provisional(tag.bucket(globals.provisional_mask.load())) else {
        return Verdict::Pass(Pass::NotConfigured);
    };
    if let Some(found) = provisional.find(tag)
        && let Some(server) = tables.server(found.server)
        && Server::generation(server.link.load()) == found.note.generation()
    {
        match packet.kind {
            Kind::Syn if server.from.load() & Server::DRAINING != 0 => {}
            Kind::Syn => {
                if !tables.dry() {
                    provisional.touch(&found, None, now);
                }
                return forward(tables, server, found.server, Path::Repeated, bytes, false);
            }
            Kind::Rst => {
                if !tables.dry() {
                    provisional.forget(&found);
                }
                return forward(tables, server, found.server, Path::Repeated, bytes, false);
            }
            Kind::Segment | Kind::Fin | Kind::Datagram => {
                if !tables.dry() {
                    promote(tables, globals, service, packet, tag, &found, now);
                    provisional.forget(&found);
                }
                return forward(tables, server, found.server, Path::Promoted, bytes, true);
            }
        }
    }
    let choice = match choose(tables, globals, service, packet, tag, provisional, now) {
        Ok(choice) => choice,
        Err(drop) => return Verdict::Drop(drop),
    };
    match tables.server(choice.server) {
        Some(server) => forward(tables, server, choice.server, choice.path, bytes, false),
        None => Verdict::Drop(Drop::NoServer),
    }
}

/// Whether a packet's source is one that no client has.
#[inline(always)]
fn refused_source<T: Tables>(tables: &T, globals: &Globals, packet: &Packet) -> Option<Drop> {
    let source = packet.source;
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
fn service_of<'t, T: Tables>(
    tables: &'t T,
    globals: &Globals,
    packet: &Packet,
) -> Option<&'t Service> {
    let facts = packet.facts;
    let half = globals.half.load() as usize & 1;
    let index = &globals.index[half];
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
        let range = tables.range(packet.ranges.wrapping_add(at))?;
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
    let state = match packet.kind {
        Kind::Datagram => State::Datagrams,
        Kind::Fin => State::Closing,
        _ => State::Established,
    };
    let generation = first.note.generation();
    let entry = Entry { tag, server: first.server, generation, state, pinned: first.note.pinned() };
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
    if globals.flags.load() & KEEP_TUPLES != 0
        && let Some(tuple) = tables.tuple(number << 3 | way)
    {
        tuple.addresses[0].store(packet.source.high);
        tuple.addresses[1].store(packet.source.low);
        tuple.addresses[2].store(packet.destination.high);
        tuple.addresses[3].store(packet.destination.low);
        tuple.ports.store(packet.ports_word());
    }
    if service.select.load() & Service::AFFINITY != 0 {
        let client = Tag(client_hash(globals, service, packet));
        if let Some(bucket) = tables.affinity(client.bucket(globals.affinity_mask.load())) {
            let entry = Entry { tag: client, state: State::Client, ..entry };
            bucket.remember(&entry, now, globals, false);
        }
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
) -> Result<Choice, Drop> {
    let select = service.select.load();
    let begins = matches!(packet.kind, Kind::Syn | Kind::Datagram);
    let mut point = tag.0;
    let mut client = None;
    if select & Service::AFFINITY != 0 {
        point = client_hash(globals, service, packet);
        client = returning(tables, globals, service, Tag(point), now);
    }
    let ring = service.ring.load();
    let own_slot = scaled(point, ring);
    let own = settled(tables, ring, own_slot, if begins { Path::Ring } else { Path::Unknown });
    let mut choice = match (client, own) {
        (Some(client), Ok(own)) => Choice { pinned: client.server != own.server, ..client },
        (Some(client), Err(_)) => Choice { pinned: true, ..client },
        (None, Ok(own)) if begins && select & Service::TURN != 0 && !tables.dry() => {
            turn(tables, service, ring, select as u32, own)
        }
        (None, Ok(own)) => own,
        (None, Err(drop)) => return Err(drop),
    };
    if matches!(packet.kind, Kind::Rst) || tables.dry() {
        return Ok(choice);
    }
    let generation = Server::generation(choice.link);
    let entry = Entry { tag, server: choice.server, generation, state: State::First, pinned: choice.pinned };
    match provisional.remember(&entry, now, globals, true) {
        Remembered::In(_) => {}
        Remembered::Evicting(_) => tables.count(Note::FirstEvicted.counter()),
        Remembered::Not => {
            tables.count(Note::FirstNotRemembered.counter());
            // What cannot be remembered must be what the next packet finds without memory.
            if matches!(choice.path, Path::Turn)
                && let Ok(own) = own
            {
                choice = own;
            }
        }
    }
    Ok(choice)
}

/// The server of a client that came before, if it may still have new flows.
#[inline(always)]
fn returning<T: Tables>(
    tables: &T,
    globals: &Globals,
    service: &Service,
    client: Tag,
    now: u32,
) -> Option<Choice> {
    let bucket = tables.affinity(client.bucket(globals.affinity_mask.load()))?;
    let found = bucket.find(client)?;
    let server = tables.server(found.server)?;
    let link = server.link.load();
    let from = server.from.load();
    let usable = Server::generation(link) == found.note.generation() && from & Server::DRAINING == 0;
    if !usable || found.note.age(now) >= service.affinity.load() as u32 {
        return None;
    }
    if !tables.dry() && found.note.age(now) >= globals.refresh.load() as u32 {
        bucket.touch(&found, None, now);
    }
    Some(Choice { server: found.server, link, path: Path::Affinity, pinned: false })
}

/// The next server in turn.
#[inline(always)]
fn turn<T: Tables>(tables: &T, service: &Service, ring: u64, stride: u32, own: Choice) -> Choice {
    let slots = ring >> 32;
    if slots == 0 {
        return own;
    }
    let turn = service.turn.fetch_add(1);
    let slot = ((turn % slots) * u64::from(stride) % slots) as u32;
    match settled(tables, ring, slot, Path::Turn) {
        Ok(next) => Choice { pinned: next.server != own.server, ..next },
        Err(_) => own,
    }
}

/// The slot that a hash falls on.
#[inline(always)]
const fn scaled(point: u64, ring: u64) -> u32 {
    (((point >> 32) * (ring >> 32)) >> 32) as u32
}

/// The server of a slot, or of one of the next while it is unresolved.
#[inline(always)]
fn settled<T: Tables>(tables: &T, ring: u64, slot: u32, path: Path) -> Result<Choice, Drop> {
    let slots = (ring >> 32) as u32;
    if slots == 0 {
        return Err(Drop::NoServer);
    }
    let mut at = slot;
    let mut step = 0;
    while step < STEPS_ASIDE {
        let Some(line) = tables.ring_line((ring as u32).wrapping_add(at / RING_LINE_SLOTS)) else {
            return Err(Drop::NoServer);
        };
        let pair = line.pairs[(at as usize >> 1) & 7].load();
        let number = (pair >> ((at & 1) * 32)) as u32;
        let Some(server) = tables.server(number) else { return Err(Drop::NoServer) };
        let link = server.link.load();
        if Server::generation(link) == 0 {
            return Err(Drop::NoServer);
        }
        if server.from.load() & (Server::RESOLVED | Server::LOCAL) != 0 {
            if step > 0 {
                tables.count(Note::SteppedAside.counter());
            }
            return Ok(Choice { server: number, link, path, pinned: step > 0 });
        }
        at += 1;
        if at >= slots {
            at = 0;
        }
        step += 1;
    }
    Err(Drop::Unresolved)
}

/// Sends a packet to a server that is known to be of the right generation.
#[inline(always)]
fn forward<T: Tables>(
    tables: &T,
    server: &Server,
    number: u32,
    path: Path,
    bytes: u64,
    begins: bool,
) -> Verdict {
    let from = server.from.load();
    let forward = Forward { path, server: number, interface: server.interface.load() as u32 };
    if from & Server::LOCAL != 0 {
        tables.count_server(number, bytes, begins);
        return Verdict::Local(forward);
    }
    if from & Server::RESOLVED == 0 {
        return Verdict::Drop(Drop::Unresolved);
    }
    tables.count_server(number, bytes, begins);
    Verdict::Forward(forward)
}
