//! What the two programs of checks share with whoever makes the checks: how a packet to a server becomes a client's packet,
//! and its answer again one from the server.
//!
//! A socket that checks a server by the clients' road is connected to the server's own address and carries a mark
//! ([`mark`]) with the number of a slot. On the way out its packets get the cluster address ([`ProbeEntry::leaves`]), on the
//! way in the server's own comes back ([`ProbeEntry::returns`]). What belongs to no slot is touched by neither.
//!
//! Where the two addresses are of different families, the packets *cross*: they leave as packets of the cluster address'
//! family, from an address of ours that the slot names, and their answers become again packets of the socket's own.

use core::net::IpAddr;

use crate::word::Word;

/// The upper half of the marks of checks.
pub const MARK: u32 = 0x4745_0000;

/// Slots, and so checks by the clients' road that can be under way at once. Fits the lower half of a mark.
pub const SLOTS: u32 = 4096;

/// Entries of the table that finds the slot of an answer: one for each protocol and port of our own.
pub const RETURNS: u32 = 3 << 16;

/// IP protocol numbers.
const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMP: u8 = 1;
const ICMP6: u8 = 58;

const LIVE: u64 = 1;
/// The server's own address, and so the socket's, is one of IPv6.
const SERVER6: u64 = 2;
/// The cluster address, and so what is on the wire, is one of IPv6.
const CLUSTER6: u64 = 4;

/// The mark of the socket of a slot.
pub const fn mark(slot: u16) -> u32 {
    MARK | slot as u32
}

/// The slot that a mark names, if it is one of ours.
#[inline(always)]
pub const fn slot(mark: u32) -> Option<u32> {
    if mark >> 16 == MARK >> 16 { Some(mark & 0xffff) } else { None }
}

/// An address as two words, in the order of its bytes on the wire.
pub fn words(address: IpAddr) -> [u64; 2] {
    match address {
        IpAddr::V4(address) => [u64::from(u32::from_ne_bytes(address.octets())), 0],
        IpAddr::V6(address) => {
            let [a, b, c, d, e, f, g, h, rest @ ..] = address.octets();
            [u64::from_ne_bytes([a, b, c, d, e, f, g, h]), u64::from_ne_bytes(rest)]
        }
    }
}

/// One check under way, as the programs see it.
#[derive(Debug, Default)]
#[repr(C)]
pub struct ProbeEntry {
    /// Families, protocol and port, as [`Asked::word`] says; 0: nobody has the slot. Stored last, and 0 first.
    pub state: Word,
    /// The server's hardware address as [`crate::tables::mac_word`] says; 0: the kernel's own resolution stays.
    pub mac: Word,
    /// The server's own address ([`words`]).
    pub server: [Word; 2],
    /// The cluster address.
    pub cluster: [Word; 2],
    /// Our port, or identifier of an echo, with bit 16 set once a packet has left; 0: none has. Set once for each check.
    pub own: Word,
    /// Packets that left, from bit 32 those that came back, and from bit 56 [`Note`]s.
    pub packets: Word,
    /// Of packets that cross: the address of ours that they leave from.
    pub source: [Word; 2],
    /// Of packets that cross: the socket's own address, once one has left.
    pub socket: [Word; 2],
}

const _: () = assert!(size_of::<ProbeEntry>() == 96);

/// What came beside answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Note {
    /// An answer in the server's own name, or another of its host, where one from the cluster address was due.
    OwnName,
    /// Word that nobody has the port.
    Refused,
    /// Word that the packet was forwarded on, by somebody who does not have the cluster address.
    ForwardedOn,
    /// Word that the packet may not pass, or finds no way.
    Unreachable,
}

impl Note {
    /// Two bits each: two CPUs that note the same at once do not touch another note.
    const fn bit(self) -> u64 {
        1 << (56 + 2 * self as u64)
    }
}

/// What a packet with the mark of a slot is to its check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leave {
    /// Its own: it goes to the cluster address.
    Clients,
    /// One of the check before, which had the same mark, by another port: it goes nowhere.
    Late,
    /// Something else.
    Other,
}

/// What an incoming packet is to a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Return {
    /// Its answer: the server's own address is put in the place of the cluster address.
    Answer,
    /// An answer in the server's own name, or another of its host, which no client would take: nor does the check.
    OwnName,
    /// Nothing.
    Other,
}

/// What a check is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asked {
    /// The server's own address.
    pub server: IpAddr,
    /// The cluster address.
    pub cluster: IpAddr,
    /// Where the cluster address is of another family than the server's: the address of ours, of that family, that packets
    /// leave from.
    pub source: Option<IpAddr>,
    /// Over what.
    pub over: Over,
    /// Where the server is on the link, if that is known.
    pub mac: Option<[u8; 6]>,
}

/// Transport of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Over {
    /// TCP to this port.
    Tcp(u16),
    /// UDP to this port.
    Udp(u16),
    /// Echo requests.
    Echo,
}

impl Asked {
    /// [`ProbeEntry::state`].
    pub const fn word(&self) -> u64 {
        let (kind, port) = match self.over {
            Over::Tcp(port) => (0, port),
            Over::Udp(port) => (1, port),
            Over::Echo => (2, 0),
        };
        let server = if self.server.is_ipv6() { SERVER6 } else { 0 };
        let cluster = if self.cluster.is_ipv6() { CLUSTER6 } else { 0 };
        LIVE | server | cluster | (kind as u64) << 8 | (port as u64) << 16
    }
}

/// A packet as far as it matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// Whether it is one of IPv6.
    pub is_ipv6: bool,
    /// IP protocol number.
    pub protocol: u8,
    /// Address of the other host ([`words`]).
    pub address: [u64; 2],
    /// Our own port, or the identifier of an echo.
    pub own: u16,
    /// The other host's port; 0 of an echo.
    pub port: u16,
}

impl Seen {
    /// Where the slot of its check is found; none: of no check.
    #[inline(always)]
    pub const fn index(&self) -> Option<u32> {
        match self.kind() {
            Some(kind) => Some(kind << 16 | self.own as u32),
            None => None,
        }
    }

    /// What it goes over, as a number that is the same in both families.
    #[inline(always)]
    const fn kind(&self) -> Option<u32> {
        match self.protocol {
            TCP => Some(0),
            UDP => Some(1),
            ICMP | ICMP6 => Some(2),
            _ => None,
        }
    }

    /// [`ProbeEntry::state`] of its check, but for the other family; `is_ipv6` is the flag of its own.
    #[inline(always)]
    const fn state(&self, is_ipv6: u64) -> Option<u64> {
        let family = if self.is_ipv6 { is_ipv6 } else { 0 };
        match self.kind() {
            Some(kind) => Some(LIVE | family | (kind as u64) << 8 | (self.port as u64) << 16),
            None => None,
        }
    }
}

impl ProbeEntry {
    /// Gives the slot to a check.
    pub fn begin(&self, asked: &Asked) {
        self.state.store(0);
        store(&self.server, words(asked.server));
        store(&self.cluster, words(asked.cluster));
        store(&self.source, asked.source.map_or([0; 2], words));
        store(&self.socket, [0; 2]);
        self.mac.store(asked.mac.map_or(0, crate::tables::mac_word));
        self.own.store(0);
        self.packets.store(0);
        self.state.store(asked.word());
    }

    /// Takes the slot back.
    pub fn end(&self) {
        self.state.store(0);
    }

    /// Packets that left, and that came back.
    pub fn counted(&self) -> [u32; 2] {
        let packets = self.packets.load();
        [packets as u32, (packets >> 32) as u32 & 0xff_ffff]
    }

    /// A packet with this slot's mark leaves: whether it goes to the server that is checked, and so is to go to the cluster
    /// address. Remembers by which port the first one left.
    ///
    /// A check has one socket. What leaves by another port is a late word of whoever had the slot before: if it were
    /// remembered, the answers to this check would not be known any more. Nor may it pass as it is: where the late one was
    /// faster, this check's own packets would pass so too, and find a server well that is so at its own address alone.
    #[inline(always)]
    pub fn leaves(&self, seen: &Seen) -> Leave {
        let is_its =
            Some(self.state.load() & !CLUSTER6) == seen.state(SERVER6) && is(&self.server, seen.address);
        if !is_its {
            return Leave::Other;
        }
        let own = 1 << 16 | seen.own as u64;
        let known = self.own.load();
        if known == 0 {
            self.own.store(own);
        } else if known != own {
            return Leave::Late;
        }
        self.packets.fetch_add(1);
        Leave::Clients
    }

    /// Whether the cluster address is of another family than the server's.
    #[inline(always)]
    pub fn crosses(&self) -> bool {
        let state = self.state.load();
        state & SERVER6 != (state & CLUSTER6) >> 1
    }

    /// A packet that [`leaves`](Self::leaves) and crosses comes from this address of the socket.
    #[inline(always)]
    pub fn crossed(&self, socket: [u64; 2]) {
        store(&self.socket, socket);
    }

    /// A packet comes in to this address of ours, from this hardware address, and would have to cross.
    #[inline(always)]
    pub fn returns_across(&self, seen: &Seen, to: [u64; 2], mac: u64) -> Return {
        if !is(&self.source, to) {
            return Return::Other;
        }
        match self.returns(seen) {
            // What else the server's host is called in that family nobody knows; that it is the host, its frames say.
            Return::Other if self.is_under_way(seen) && mac != 0 && mac == self.mac.load() => {
                self.note(Note::OwnName);
                Return::OwnName
            }
            other => other,
        }
    }

    /// A packet comes in.
    #[inline(always)]
    pub fn returns(&self, seen: &Seen) -> Return {
        if !self.is_under_way(seen) {
            return Return::Other;
        }
        if is(&self.cluster, seen.address) {
            self.packets.fetch_add(1 << 32);
            Return::Answer
        } else if is(&self.server, seen.address) {
            self.note(Note::OwnName);
            Return::OwnName
        } else {
            Return::Other
        }
    }

    /// Somebody reports what became of a packet, of which this is known.
    #[inline(always)]
    pub fn reported(&self, sent: &Seen, note: Note) {
        if self.is_under_way(sent) && is(&self.cluster, sent.address) {
            self.note(note);
        }
    }

    /// Whether this came beside answers.
    pub fn has(&self, note: Note) -> bool {
        self.packets.load() & note.bit() != 0
    }

    #[inline(always)]
    fn is_under_way(&self, seen: &Seen) -> bool {
        Some(self.state.load() & !SERVER6) == seen.state(CLUSTER6)
            && self.own.load() == 1 << 16 | seen.own as u64
    }

    #[inline(always)]
    fn note(&self, note: Note) {
        if self.packets.load() & note.bit() == 0 {
            self.packets.fetch_add(note.bit());
        }
    }
}

#[inline(always)]
fn is(words: &[Word; 2], address: [u64; 2]) -> bool {
    words[0].load() == address[0] && words[1].load() == address[1]
}

#[inline(always)]
fn store(words: &[Word; 2], address: [u64; 2]) {
    words[0].store(address[0]);
    words[1].store(address[1]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(server: &str, cluster: &str, over: Over) -> Asked {
        let ip = |text: &str| text.parse().expect("an address");
        Asked { server: ip(server), cluster: ip(cluster), source: None, over, mac: None }
    }

    fn seen(address: &str, protocol: u8, own: u16, port: u16) -> Seen {
        let address: IpAddr = address.parse().expect("an address");
        Seen { is_ipv6: address.is_ipv6(), protocol, address: words(address), own, port }
    }

    #[test]
    fn only_a_packet_to_the_server_that_is_checked_leaves_as_a_clients() {
        let entry = ProbeEntry::default();
        let good = seen("192.0.2.21", TCP, 40_000, 80);
        assert_eq!(entry.leaves(&good), Leave::Other, "nobody has the slot");
        entry.begin(&asked("192.0.2.21", "192.0.2.80", Over::Tcp(80)));
        assert_eq!(entry.leaves(&good), Leave::Clients);
        for other in [
            seen("192.0.2.22", TCP, 40_000, 80),
            seen("192.0.2.21", TCP, 40_000, 81),
            seen("192.0.2.21", UDP, 40_000, 80),
            Seen { is_ipv6: true, ..good },
        ] {
            assert_eq!(entry.leaves(&other), Leave::Other, "{other:?}");
        }
        assert_eq!(entry.counted(), [1, 0]);
        entry.end();
        assert_eq!(entry.leaves(&good), Leave::Other);
    }

    #[test]
    fn a_late_word_of_the_check_before_takes_no_answer_from_the_next_one() {
        let entry = ProbeEntry::default();
        let from = |own| seen("192.0.2.21", TCP, own, 80);
        let answer = |own| seen("192.0.2.80", TCP, own, 80);
        for [before, own] in [[40_000, 40_001], [40_001, 40_000]] {
            entry.begin(&asked("192.0.2.21", "192.0.2.80", Over::Tcp(80)));
            assert_eq!(entry.leaves(&from(own)), Leave::Clients, "a new check has a new port");
            assert_eq!(entry.leaves(&from(before)), Leave::Late);
            assert_eq!(entry.leaves(&from(own)), Leave::Clients);
            assert_eq!(entry.counted(), [2, 0], "what does not leave is not counted");
            assert_eq!(entry.returns(&answer(before)), Return::Other);
            assert_eq!(entry.returns(&answer(own)), Return::Answer);
        }
    }

    #[test]
    fn only_an_answer_from_the_cluster_address_to_the_port_that_asked_comes_back() {
        let entry = ProbeEntry::default();
        entry.begin(&asked("2001:db8::21", "2001:db8::80", Over::Udp(53)));
        let answer = seen("2001:db8::80", UDP, 40_000, 53);
        assert_eq!(entry.returns(&answer), Return::Other, "nothing was asked yet");
        assert_eq!(entry.leaves(&seen("2001:db8::21", UDP, 40_000, 53)), Leave::Clients);
        for other in [
            seen("2001:db8::80", UDP, 40_001, 53),
            seen("2001:db8::80", UDP, 40_000, 54),
            seen("2001:db8::80", TCP, 40_000, 53),
            seen("2001:db8::22", UDP, 40_000, 53),
        ] {
            assert_eq!(entry.returns(&other), Return::Other, "{other:?}");
        }
        assert_eq!(entry.returns(&answer), Return::Answer);
        assert_eq!(entry.counted(), [1, 1]);
        entry.begin(&asked("2001:db8::21", "2001:db8::80", Over::Udp(53)));
        assert_eq!(
            entry.returns(&answer),
            Return::Other,
            "an answer to the check before is none to this one"
        );
    }

    #[test]
    fn between_the_families_a_packet_leaves_by_the_servers_and_comes_back_by_the_clusters() {
        const MAC: [u8; 6] = [2, 0, 0, 0, 0, 21];
        for (server, cluster, source, stranger) in [
            ("192.0.2.21", "2001:db8::80", "fe80::11", "2001:db8::21"),
            ("2001:db8::21", "192.0.2.80", "192.0.2.11", "192.0.2.21"),
        ] {
            let ip = |text: &str| -> IpAddr { text.parse().expect("an address") };
            let (entry, mac) = (ProbeEntry::default(), crate::tables::mac_word(MAC));
            let echo = |address: &str| {
                let protocol = if ip(address).is_ipv6() { ICMP6 } else { ICMP };
                seen(address, protocol, 7, 0)
            };
            entry.begin(&Asked {
                source: Some(ip(source)),
                mac: Some(MAC),
                ..asked(server, cluster, Over::Echo)
            });
            assert!(entry.crosses());
            assert_eq!(entry.leaves(&echo(cluster)), Leave::Other);
            assert_eq!(entry.leaves(&echo(server)), Leave::Clients);
            let to = words(ip(source));
            assert_eq!(entry.returns_across(&echo(cluster), words(ip(stranger)), mac), Return::Other);
            assert_eq!(entry.returns_across(&echo(stranger), to, mac + 1), Return::Other);
            assert!(!entry.has(Note::OwnName));
            assert_eq!(entry.returns_across(&echo(cluster), to, mac), Return::Answer);
            assert_eq!(entry.counted(), [1, 1]);
            assert_eq!(entry.returns_across(&echo(stranger), to, mac), Return::OwnName);
            assert!(entry.has(Note::OwnName));
            entry.reported(&echo(cluster), Note::Refused);
            assert!(entry.has(Note::Refused));
            entry.begin(&asked(server, server, Over::Echo));
            assert!(!entry.crosses());
        }
    }

    #[test]
    fn an_answer_in_the_servers_own_name_is_none_and_is_noted() {
        let entry = ProbeEntry::default();
        entry.begin(&asked("192.0.2.21", "192.0.2.80", Over::Udp(53)));
        let sent = seen("192.0.2.21", UDP, 40_000, 53);
        assert_eq!(entry.leaves(&sent), Leave::Clients);
        assert!(!entry.has(Note::OwnName));
        assert_eq!([entry.returns(&sent), entry.returns(&sent)], [Return::OwnName; 2]);
        assert!(entry.has(Note::OwnName) && !entry.has(Note::Refused));
        assert_eq!(entry.counted(), [1, 0]);
    }

    #[test]
    fn what_became_of_a_packet_is_noted_if_the_packet_was_of_the_check() {
        let notes = [Note::OwnName, Note::Refused, Note::ForwardedOn, Note::Unreachable];
        let entry = ProbeEntry::default();
        entry.begin(&asked("192.0.2.21", "192.0.2.80", Over::Tcp(80)));
        entry.leaves(&seen("192.0.2.21", TCP, 40_000, 80));
        entry.reported(&seen("192.0.2.80", TCP, 40_001, 80), Note::Refused);
        entry.reported(&seen("192.0.2.81", TCP, 40_000, 80), Note::Refused);
        assert!(notes.iter().all(|&note| !entry.has(note)));
        for (at, note) in notes.into_iter().enumerate() {
            entry.reported(&seen("192.0.2.80", TCP, 40_000, 80), note);
            assert_eq!(notes.iter().filter(|&&note| entry.has(note)).count(), at + 1);
        }
        entry.begin(&asked("192.0.2.21", "192.0.2.80", Over::Tcp(80)));
        assert!(notes.iter().all(|&note| !entry.has(note)));
    }

    #[test]
    fn each_protocol_and_port_of_our_own_has_a_place_of_its_own() {
        let places = [TCP, UDP, ICMP].map(|protocol| seen("192.0.2.1", protocol, 0xffff, 0).index());
        assert_eq!(places, [Some(0xffff), Some(0x1_ffff), Some(0x2_ffff)]);
        assert!(places.iter().flatten().all(|&place| place < RETURNS));
        assert_eq!(seen("192.0.2.1", 132, 1, 1).index(), None);
        assert_eq!(slot(mark(4095)), Some(4095));
        assert_eq!([slot(0), slot(0x4746_0001)], [None, None]);
    }
}
