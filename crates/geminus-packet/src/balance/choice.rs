//! Which server a flow goes to that nobody remembers: whether its client is served at all, the client's own server, the next
//! in turn or the one with fewer flows, the ring's.

use crate::flow::{Bucket, Entry, Remembered, State, Tag};
use crate::packet::{Packet, Step};
use crate::tables::{Globals, Hop, KIN, MAC_BITS, RING_LINE_SLOTS, Server, Service, Source, Tables};
use crate::verdict::{Drop, Note, Path};
use crate::word::{blurred, is_less, is_zero, opaque};

/// Slots looked at after the flow's own while the server there cannot be had.
const STEPS_ASIDE: u32 = 8;

/// A server that may have the packet, and how it was found. Server 0: none; every field is set all the same, because the
/// verifier forbids to save what is undefined.
#[derive(Clone, Copy)]
pub(super) struct Choice {
    pub(super) server: u32,
    generation: u16,
    /// Counter of the [`Path`]; of none, of the [`Drop`].
    pub(super) path: u8,
    /// 1 if it differs from the ring's choice, else 0.
    pinned: u64,
}

impl Choice {
    const NONE: Self = Self::refused(Drop::NoServer);

    #[inline(always)]
    const fn refused(why: Drop) -> Self {
        Self { server: 0, generation: 0, path: why.counter().0, pinned: 0 }
    }

    /// The same choice, of which the verifier no longer knows how it was made ([`blurred`]).
    #[inline(always)]
    fn blurred(self, nothing: u64) -> Self {
        let values = [u64::from(self.server), u64::from(self.generation), u64::from(self.path), self.pinned];
        let [server, generation, path, pinned] = blurred(values, nothing);
        Self { server: server as u32, generation: generation as u16, path: path as u8, pinned }
    }

    #[inline(always)]
    pub(super) const fn is_none(&self) -> bool {
        self.server == 0
    }

    /// Where frames to the chosen server go; if it was given up since it was chosen, nothing is known of that.
    #[inline(always)]
    pub(super) fn hop(&self, server: &Server) -> Hop {
        let hop = server.hop();
        // Without a branch: there is one exit for what is not known.
        let is_chosen = is_zero(opaque(u64::from(Server::generation(hop.link) ^ self.generation)));
        Hop { from: hop.from & is_chosen.wrapping_neg(), ..hop }
    }
}

/// Chooses a server for a packet of a flow nobody remembers, and remembers the choice until the next packet.
#[inline(always)]
pub(super) fn choose<T: Tables>(
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
    let source =
        if select & Service::SOURCES != 0 { tables.source(number_of(select), packet.source) } else { 0 };
    if source >> 32 == Source::DENY >> 32 {
        return Choice::refused(Drop::Denied);
    }
    let begins = matches!(packet.step, Step::SYN | Step::DATAGRAM);
    let mut point = tag.0;
    let mut choice = Choice::NONE;
    if select & Service::AFFINITY != 0 {
        point = client_hash(globals, service, packet);
        choice = returning(tables, globals, service, Tag(point), now).blurred(nothing);
    }
    let [point, ring] = blurred([point, ring_in_force(tables, service, source)], nothing);
    let mut own = settled(tables, ring, scaled(point, ring)).blurred(nothing);
    if !own.is_none() {
        own.path = if begins { Path::Ring.counter().0 } else { Path::Unknown.counter().0 };
    }
    if choice.is_none() && begins && select & (Service::TURN | Service::LEAST) != 0 {
        choice = other(tables, globals, service, ring, point, &own);
    }
    if choice.is_none() {
        choice = own;
        if own.pinned != 0 {
            tables.count(Note::SteppedAside.counter());
        }
    } else {
        // Without a branch: of two candidates it is either, and no CPU foresees which.
        choice.pinned = own.pinned | 1 ^ is_zero(opaque(u64::from(choice.server ^ own.server)));
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
            if choice.path != Path::Affinity.counter().0 && !own.is_none() {
                return own;
            }
        }
    }
    choice
}

/// The number of a service, in its `select` word.
#[inline(always)]
const fn number_of(select: u64) -> u32 {
    (select >> 32) as u32
}

/// The ring that new flows are chosen from: that of the pool laid down for the client, of the pool in force, or the service's
/// own.
#[inline(always)]
fn ring_in_force<T: Tables>(tables: &T, service: &Service, source: u64) -> u64 {
    let laid_down = source >> 32 == Source::POOL >> 32;
    let pool = if laid_down { (source & u64::from(u32::MAX)) + 1 } else { service.pool.load() };
    if pool == 0 {
        return service.ring.load();
    }
    tables.service(pool.wrapping_sub(1) as u32).map_or(0, |pool| pool.ring.load())
}

/// The server of a client that came before, if it may still have new flows. Where services share their clients, it may be the
/// server of another service that the client came to.
#[inline(always)]
fn returning<T: Tables>(tables: &T, globals: &Globals, service: &Service, client: Tag, now: u32) -> Choice {
    let Some(bucket) = tables.affinity(client.bucket(globals.affinity_mask.load())) else {
        return Choice::NONE;
    };
    let Some(found) = bucket.find(client) else { return Choice::NONE };
    let Some(server) = tables.server(found.server) else { return Choice::NONE };
    let is_stale = Server::generation(server.link.load()) != found.note.generation()
        || found.note.age(now) >= service.affinity.load() as u32;
    if is_stale {
        return Choice::NONE;
    }
    let of_kin = kin(tables, found.server, number_of(service.select.load()));
    let (number, generation) = (of_kin as u32, (of_kin >> 48) as u16);
    let Some(server) = tables.server(number) else { return Choice::NONE };
    let is_closed = server.from.load() & (Server::DRAINING | Server::DOWN | Server::LOOSE) != 0;
    if is_closed || number == 0 || generation == 0 {
        return Choice::NONE;
    }
    if !tables.dry() && found.note.age(now) >= globals.refresh.load() as u32 {
        bucket.touch(&found, None, now);
    }
    Choice { server: number, generation, path: Path::Affinity.counter().0, pinned: 0 }
}

/// The one of the servers that share a server's clients that belongs to this service, and its generation in the upper 16
/// bits; 0: none. The generation is read before it is known whose it is: an entry given to somebody else says so then.
#[inline(always)]
fn kin<T: Tables>(tables: &T, of: u32, service: u32) -> u64 {
    let mut number = of;
    let mut step = 0;
    while step < KIN {
        let Some(server) = tables.server(number) else { return 0 };
        let generation = server.link.load() & !MAC_BITS;
        let kin = server.kin.load();
        if kin as u32 == service {
            return generation | u64::from(number);
        }
        number = (kin >> 32) as u32;
        step += 1;
    }
    0
}

/// Whom the service would rather have than the ring's own: the next in turn, whose ring is laid out in the order of turns; or
/// of two candidates the one with fewer active flows for its weight. None: the ring's own.
#[inline(always)]
fn other<T: Tables>(
    tables: &T,
    globals: &Globals,
    service: &Service,
    ring: u64,
    point: u64,
    own: &Choice,
) -> Choice {
    let slots = ring >> 32;
    let in_turn = service.select.load() & Service::TURN != 0;
    // A turn is not taken by asking.
    if slots == 0 || in_turn && tables.dry() {
        return Choice::NONE;
    }
    let slot = if in_turn {
        (service.turn.fetch_add(1) % slots) as u32
    } else {
        scaled(globals.key.again(point), ring)
    };
    let found = at_slot(tables, ring, slot);
    if found.is_none() || in_turn {
        return Choice { path: Path::Turn.counter().0, ..found };
    }
    // As above: both are at hand, and bits pick one.
    let is_found = opaque(is_busier(tables, own.server, found.server)).wrapping_neg();
    let either = |own: u64, found: u64| own ^ (own ^ found) & is_found;
    Choice {
        server: either(own.server.into(), found.server.into()) as u32,
        generation: either(own.generation.into(), found.generation.into()) as u16,
        path: Path::Least.counter().0,
        pinned: 0,
    }
}

/// 1 if a server has more active flows for its weight than another, else 0. Nobody has more than anyone.
#[inline(always)]
fn is_busier<T: Tables>(tables: &T, server: u32, than: u32) -> u64 {
    let (Some(one), Some(two)) = (tables.server(server), tables.server(than)) else { return 1 };
    let (of_one, of_two) = (Server::flows(one.active.load()), Server::flows(two.active.load()));
    let [weight_one, weight_two] =
        [one.weight.load(), two.weight.load()].map(|weight| weight + is_zero(weight));
    is_less(of_two.wrapping_mul(weight_one), of_one.wrapping_mul(weight_two)) | is_zero(u64::from(server))
}

/// The slot that a hash falls on.
#[inline(always)]
const fn scaled(point: u64, ring: u64) -> u32 {
    (((point >> 32) * (ring >> 32)) >> 32) as u32
}

/// The server of a slot, or of one of the next while it cannot be had; pinned if it is not the slot's own. Of none, the path
/// is why the slot's own cannot.
#[inline(always)]
fn settled<T: Tables>(tables: &T, ring: u64, slot: u32) -> Choice {
    let slots = (ring >> 32) as u32;
    if slots == 0 {
        return Choice::NONE;
    }
    let mut why = Choice::NONE.path;
    let mut at = slot;
    let mut step = 0;
    while step < STEPS_ASIDE {
        let choice = at_slot(tables, ring, at);
        if !choice.is_none() {
            return Choice { pinned: u64::from(at != slot), ..choice };
        }
        if step == 0 {
            why = choice.path;
        }
        at += 1;
        if at >= slots {
            at = 0;
        }
        step += 1;
    }
    Choice { path: why, ..Choice::NONE }
}

/// The server of a slot; none if it is unresolved or down.
#[inline(always)]
fn at_slot<T: Tables>(tables: &T, ring: u64, slot: u32) -> Choice {
    let Some(line) = tables.ring_line((ring as u32).wrapping_add(slot / RING_LINE_SLOTS)) else {
        return Choice::NONE;
    };
    let pair = line.pairs[(slot as usize >> 1) & 7].load();
    let number = (pair >> ((slot & 1) * 32)) as u32;
    let Some(server) = tables.server(number) else { return Choice::NONE };
    let generation = Server::generation(server.link.load());
    let from = server.from.load();
    let is_known = generation != 0 && from & (Server::RESOLVED | Server::LOCAL) != 0;
    if !is_known || from & Server::DOWN != 0 {
        // One more than for an unresolved server is the counter for one that is down.
        let is_down = (from & Server::DOWN) >> Server::DOWN.trailing_zeros();
        return Choice { path: Drop::Unresolved.counter().0 + is_down as u8, ..Choice::NONE };
    }
    Choice { server: number, generation, path: 0, pinned: 0 }
}
const _: () = assert!(Drop::ServersDown.counter().0 == Drop::Unresolved.counter().0 + 1);

/// Hash of the client that a packet belongs to.
#[inline(always)]
pub(super) fn client_hash(globals: &Globals, service: &Service, packet: &Packet) -> u64 {
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
    globals.key.client(prefix, service.clients.load())
}

/// A mask of the `kept` leading bits of 64, as the bytes of a header read as a little-endian word.
#[inline(always)]
const fn leading(kept: u32) -> u64 {
    if kept == 0 { 0 } else { (u64::MAX << ((64 - kept) & 63)).swap_bytes() }
}
