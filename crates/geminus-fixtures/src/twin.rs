//! Frames between partners, made byte by byte, and the paths they travel.
#![allow(
    deprecated,
    reason = "the standard library's SipHash-2-4 is deprecated as a hasher, and right as a reference"
)]

use std::hash::{Hasher as _, SipHasher};

use geminus_packet::heap::Sizes;
use geminus_packet::tables::{
    Address, AddressFacts, GroupState, PathEntry, PathFacts, STATIC_WAYS, Tables, mac_word,
};

use crate::checksum;
use crate::frame::{IPV4, IPV6, Mac, UDP, Udp, V4, V6, ethernet};
use crate::ground::{NODE_MAC, PARTNER_MAC};

/// The partners' port.
pub const PORT: u16 = 4870;
/// This node's address on the first path.
pub const OWN4: [u8; 4] = [198, 51, 100, 11];
/// The partner's.
pub const REMOTE4: [u8; 4] = [198, 51, 100, 12];
/// This node's address on the second path.
pub const OWN6: [u8; 16] = [0x20, 1, 0xd, 0xb8, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x11];
/// The partner's.
pub const REMOTE6: [u8; 16] = [0x20, 1, 0xd, 0xb8, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x12];

/// The key of the gate that both speak with.
pub const KEY: [u64; 2] = [0x1bad_cafe_dead_beef, 0x5117_0bad_900d_f00d];
/// What it is called.
pub const KEY_ID: u8 = 0x4b;
/// Another that this node accepts.
pub const NEXT_KEY: [u64; 2] = [77, 0x8000_0000_0000_0001];
/// What it is called.
pub const NEXT_KEY_ID: u8 = 0xc3;
/// This node's session.
pub const OWN_SESSION: u64 = 0x0123_4567_89ab_cdef;
/// The partner's.
pub const SESSION: u64 = 0xfeed_0000_0000_0001;
/// One that the partner had before.
pub const PAST_SESSION: u64 = 0xfeed_0000_0000_0000;
/// Counter of the last heartbeat that was heard.
pub const FLOOR: u64 = 1000;
/// Number of the last probe that nobody waits for an answer to.
pub const PROBE_FLOOR: u64 = 50;
/// The groups that the two share.
pub const GROUPS: [u8; 2] = [1, 2];
/// What the node is for the first of them, for ever.
pub const FIRST_GROUP: GroupState = GroupState { epoch: 0x0001_0000_0007, standing: 4, quiet: false };
/// What it is for the second of them, of which it has no lease.
pub const SECOND_GROUP: GroupState = GroupState { epoch: 3, standing: 2, quiet: false };
/// What a lease for ever is told as, where a tick is four milliseconds.
pub const FOR_EVER: u64 = u32::MAX as u64 * 4;
/// When frames come in the host's home, nanoseconds.
pub const STAMP: u64 = 0x0051_1aed_ca57_0000;
/// Where a stamp is in a frame's payload.
const STAMP_AT: usize = 32;

/// Kinds of frames.
pub const BEAT: u8 = 1;
/// See [`BEAT`].
pub const PROBE: u8 = 2;
/// See [`BEAT`].
pub const ANSWER: u8 = 3;

/// One frame's payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payload {
    /// What it begins with.
    pub magic: u32,
    /// Version of the format.
    pub version: u8,
    /// What it is.
    pub kind: u8,
    /// Number of the path.
    pub path: u8,
    /// What its key is called.
    pub key_id: u8,
    /// The key of its gate.
    pub key: [u64; 2],
    /// Session.
    pub session: u64,
    /// Counter.
    pub counter: u64,
    /// What follows the stamp.
    pub body: Vec<u8>,
}

impl Payload {
    /// A heartbeat that was not heard yet.
    pub fn beat() -> Self {
        Self {
            magic: 0x4745_4d32,
            version: 1,
            kind: BEAT,
            path: 0,
            key_id: KEY_ID,
            key: KEY,
            session: SESSION,
            counter: FLOOR + 1,
            body: (0..120).collect(),
        }
    }

    /// A probe of the partner's.
    pub fn probe() -> Self {
        Self { kind: PROBE, counter: 7, body: vec![0; 32], ..Self::beat() }
    }

    /// The answer to a probe, telling of these groups.
    pub fn answer(to: &Self, told: [u64; 4]) -> Self {
        let body = told.iter().flat_map(|word| word.to_le_bytes()).collect();
        Self { kind: ANSWER, body, ..to.clone() }
    }

    /// The answer of the partner to a probe of this node's that is waited for.
    pub fn awaited() -> Self {
        let asked = Self { session: OWN_SESSION, counter: PROBE_FLOOR + 1, ..Self::probe() };
        Self::answer(&asked, [0x0203_0000_0000_0401, 5000, 0, 0])
    }

    /// Its bytes.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.magic.to_le_bytes().to_vec();
        bytes.extend_from_slice(&[self.version, self.kind, self.path, self.key_id]);
        bytes.extend_from_slice(&self.session.to_le_bytes());
        bytes.extend_from_slice(&self.counter.to_le_bytes());
        let mut hasher = SipHasher::new_with_keys(self.key[0], self.key[1]);
        hasher.write(&bytes);
        if self.kind == ANSWER {
            hasher.write(&self.body);
        }
        bytes.extend_from_slice(&hasher.finish().to_le_bytes());
        bytes.extend_from_slice(&[0; 8]);
        bytes.extend_from_slice(&self.body);
        bytes
    }
}

/// What the ground's groups are told as.
pub const TOLD: [u64; 4] = [
    FIRST_GROUP.epoch << 16 | (FIRST_GROUP.standing as u64) << 8 | GROUPS[0] as u64,
    FOR_EVER,
    SECOND_GROUP.epoch << 16 | (SECOND_GROUP.standing as u64) << 8 | GROUPS[1] as u64,
    0,
];

/// A datagram on the partners' port.
pub fn datagram(payload: Vec<u8>) -> Udp {
    Udp { payload, ..Udp::new(PORT, PORT) }
}

/// From the partner by IPv4.
pub fn frame4(payload: &Payload) -> Vec<u8> {
    from_partner(IPV4, &V4::new(REMOTE4, OWN4).udp(&datagram(payload.bytes())))
}

/// From the partner by IPv6.
pub fn frame6(payload: &Payload) -> Vec<u8> {
    from_partner(IPV6, &V6::new(REMOTE6, OWN6).udp(&datagram(payload.bytes())))
}

/// A frame from the partner's interface to this node's.
pub fn from_partner(ether_type: u16, packet: &[u8]) -> Vec<u8> {
    ethernet(NODE_MAC, PARTNER_MAC, ether_type, packet)
}

fn to_partner(ether_type: u16, packet: &[u8]) -> Vec<u8> {
    ethernet(PARTNER_MAC, NODE_MAC, ether_type, packet)
}

/// To the partner by IPv4, from the program: without a UDP checksum.
pub fn answer4(payload: &Payload) -> Vec<u8> {
    let payload = payload.bytes();
    let head = [PORT, PORT, 8 + payload.len() as u16, 0].map(u16::to_be_bytes).concat();
    let ip = V4 { ttl: 64, ..V4::new(OWN4, REMOTE4) };
    to_partner(IPV4, &ip.carry(UDP, &[head, payload].concat()))
}

/// To the partner by IPv6, from the program.
pub fn answer6(payload: &Payload) -> Vec<u8> {
    let ip = V6 { hop_limit: 64, ..V6::new(OWN6, REMOTE6) };
    to_partner(IPV6, &ip.udp(&datagram(payload.bytes())))
}

/// A frame as it is passed on: it says when it came.
pub fn stamped(frame: &[u8]) -> Vec<u8> {
    let mut frame = frame.to_vec();
    if let Some(place) = stamp_of(&mut frame) {
        place.copy_from_slice(&STAMP.to_le_bytes());
    }
    frame
}

/// Where a frame says when it came, if it has the beginning of a partner's frame anywhere.
pub fn stamp_of(frame: &mut [u8]) -> Option<&mut [u8]> {
    let magic = 0x4745_4d32_u32.to_le_bytes();
    let at = frame.windows(4).position(|window| window == magic)? + STAMP_AT;
    frame.get_mut(at..at + 8)
}

/// A frame that was passed on, as if it had come when frames come in the host's home.
pub fn restamp(before: &[u8], after: &mut [u8]) {
    let was = stamp_of(&mut before.to_vec()).map(|place| place.to_vec());
    if let Some(place) = stamp_of(after)
        && was.is_some_and(|was| was != place)
    {
        place.copy_from_slice(&STAMP.to_le_bytes());
    }
}

/// The hardware address of the partner in a word of the settings.
pub fn partner_word() -> u64 {
    mac_word(PARTNER_MAC)
}

/// Whether a message has the right UDP checksum, of a packet from its IP header on.
pub fn has_right_checksum6(packet: &[u8]) -> bool {
    let (source, destination, message) = (&packet[8..24], &packet[24..40], &packet[40..]);
    let pseudo = checksum::pseudo_header(source, destination, UDP, message.len());
    checksum::is_right(&[&pseudo, message].concat())
}

/// Makes tables say that there is a partner, by one path over each family; group 0 is nobody's but this node's.
pub fn join(tables: &impl Tables, sizes: &Sizes) {
    let paths = [(Address::v4(OWN4), Address::v4(REMOTE4)), (Address::v6(OWN6), Address::v6(REMOTE6))];
    for (number, (own, remote)) in (0..).zip(paths) {
        let path = tables.path(number).expect("there are sixteen paths");
        write_path(path, number as u8, own, remote);
        enter(tables, sizes, own, AddressFacts::node(1 << number, PORT));
    }
    let groups = [(FIRST_GROUP, u64::MAX), (SECOND_GROUP, 0)];
    for (number, (state, deadline)) in GROUPS.into_iter().zip(groups) {
        let group = tables.group(number.into()).expect("there are 64 groups");
        group.state.store(state.word());
        group.deadline.store(deadline);
    }
}

fn write_path(path: &PathEntry, number: u8, own: Address, remote: Address) {
    for (words, address) in [(&path.own, own), (&path.remote, remote)] {
        words[0].store(address.high);
        words[1].store(address.low);
    }
    for (words, key) in path.gates.iter().zip([KEY, NEXT_KEY]) {
        words[0].store(key[0]);
        words[1].store(key[1]);
    }
    path.own_session.store(OWN_SESSION);
    path.session.store(SESSION);
    path.floor.store(FLOOR);
    path.probe_floor.store(PROBE_FLOOR);
    path.past[2].store(PAST_SESSION);
    path.tokens.store(0);
    path.facts.store(PathFacts::new(PORT, number, [KEY_ID, NEXT_KEY_ID], GROUPS).0);
}

/// Writes an address into the half that is read, unless it is there.
fn enter(tables: &impl Tables, sizes: &Sizes, address: Address, facts: AddressFacts) {
    let globals = tables.globals().expect("tables have settings");
    let half = globals.half.load() as u32 & 1;
    let index = &globals.index[half as usize];
    let place = index.address_place.load();
    let number = place as u32 + address.bucket(index.address_seed.load(), (place >> 32) as u32);
    assert!(number < sizes.address_buckets, "the half that is read is in the table");
    let bucket = tables.addresses(number).expect("it has this bucket");
    let mine = |high, low| (high, low) == (address.high, address.low);
    let ways = &bucket.entries[..STATIC_WAYS];
    let way = ways
        .iter()
        .find(|way| way.facts.load() != 0 && mine(way.high.load(), way.low.load()))
        .or(ways.iter().find(|way| way.facts.load() == 0))
        .expect("there is room for one more in every bucket of the ground");
    way.high.store(address.high);
    way.low.store(address.low);
    way.ports.store(u64::from(half) << 31);
    way.facts.store(facts.0);
}

/// The partner's hardware address is known, and it may choose this node as a server.
pub const COLLOCATED: fn(&dyn Tables) = |tables| {
    use geminus_packet::tables::{PARTNER, PARTNER_FORWARDS};
    if let Some(globals) = tables.globals() {
        globals.partners[0].store(partner_word() | PARTNER | PARTNER_FORWARDS);
    }
};

/// No partner's hardware address is known.
pub const APART: fn(&dyn Tables) = |tables| {
    for word in tables.globals().into_iter().flat_map(|globals| &globals.partners) {
        word.store(0);
    }
};

/// The node hands the ground's clusters over.
pub const QUIET: fn(&dyn Tables) = |tables| quiet(tables, true);

/// It does not any more.
pub const LOUD: fn(&dyn Tables) = |tables| quiet(tables, false);

/// Nobody renews the lease of the ground's clusters, and it is over in a moment.
pub const ENDING: fn(&dyn Tables) = |tables| {
    if let Some(globals) = tables.globals() {
        globals.hand_over.store(u64::MAX);
    }
};

/// The hardware address of the ground's clusters, where they have one of their own.
pub const GROUP_MAC: Mac = [0x02, 0x47, 0x4d, 1, 2, 3];

/// The ground's clusters have a hardware address of their own.
pub const VIRTUAL: fn(&dyn Tables) = |tables| {
    if let Some(group) = tables.group(0) {
        group.mac.store(mac_word(GROUP_MAC));
    }
};

fn quiet(tables: &dyn Tables, quiet: bool) {
    if let Some(group) = tables.group(0) {
        group.state.store(GroupState { epoch: 1, standing: 5, quiet }.word());
    }
}

/// The paths have let through as many heartbeats of unknown sessions as they may, for years.
pub const FLOODED: fn(&dyn Tables) = |tables| tokens(tables, u64::MAX / 2);

/// They have not let through any.
pub const DRY: fn(&dyn Tables) = |tables| tokens(tables, 0);

fn tokens(tables: &dyn Tables, word: u64) {
    for path in (0..2).filter_map(|number| tables.path(number)) {
        path.tokens.store(word);
    }
}

/// The length of a probe and of an answer.
pub const EXCHANGE: usize = 72;

/// A MAC that a frame has as its sender, set.
pub fn sent_by(mac: Mac, frame: &[u8]) -> Vec<u8> {
    let mut frame = frame.to_vec();
    frame[6..12].copy_from_slice(&mac);
    frame
}
