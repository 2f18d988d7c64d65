//! What becomes of a packet, and why: every reason has one counter.

use core::num::NonZeroU64;

/// How many counters there are per CPU; reasons are numbered below it.
pub const REASONS: usize = 128;

macro_rules! reasons {
    ($(#[$doc:meta])* $name:ident, $class:ident, $word:literal, from $base:literal { $($variant:ident = $text:literal, $meaning:literal;)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum $name { $(#[doc = $meaning] $variant),* }

        impl $name {
            /// Every reason of this class, in the order of their counters.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// Number of its counter.
            #[inline(always)]
            pub const fn counter(self) -> Counter { Counter($base + self as u8) }
        }

        impl $name {
            const TABLE: &'static [Reason] = &[
                $(Reason { counter: Self::$variant.counter(), class: Class::$class, name: $text, meaning: $meaning }),*
            ];
        }
        const _: () = assert!($base + $name::ALL.len() <= REASONS);
    };
}

/// Number of a counter, below [`REASONS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Counter(pub u8);

/// What kind of reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// Given to the machine's own stack, untouched.
    Pass,
    /// Dropped.
    Drop,
    /// Answered in place.
    Answer,
    /// Sent to a server.
    Forward,
    /// Beside the verdict: something worth counting happened on the way.
    Note,
}

impl Class {
    /// The word used in output.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Drop => "drop",
            Self::Answer => "answer",
            Self::Forward => "forward",
            Self::Note => "note",
        }
    }
}

/// A reason as people read it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reason {
    /// Its counter.
    pub counter: Counter,
    /// Its class.
    pub class: Class,
    /// Its name, unique over all classes.
    pub name: &'static str,
    /// What it means, one line.
    pub meaning: &'static str,
}

reasons! {
    /// Why a packet is left to the machine's own stack.
    Pass, Pass, "pass", from 0 {
        NotConfigured = "not-configured", "the tables are not filled yet";
        Truncated = "too-short", "too short for the headers that would tell whether it is ours";
        OtherProtocol = "other-protocol", "neither IPv4, IPv6 nor ARP";
        NotCluster = "not-cluster", "its destination is not a cluster address";
        NotActive = "not-active", "this node is not active for the cluster, or its lease has lapsed";
        OtherHost = "other-host", "for a cluster address, but the frame is addressed to another machine";
        ArpOther = "arp-other", "ARP that asks for something else, or an answer";
        NeighbourOther = "neighbour-other", "neighbour discovery that asks for something else";
        Collocated = "collocated", "the chosen server is this machine";
        Unexposed = "unexposed-pass", "no service on this port, and the cluster passes such packets";
        Quiet = "quiet", "this node hands the cluster over: it forwards, and leaves ARP, neighbour solicitations and echo to its partner";
        FromPartner = "from-partner", "a packet that the partner sent to this machine as its server";
        TwinBeat = "twin-beat", "a partner's heartbeat";
        TwinAnswer = "twin-answer", "a partner's answer to a probe";
    }
}

reasons! {
    /// Why a packet for a cluster address, or a frame on the partners' port, is dropped.
    Drop, Drop, "drop", from 24 {
        Unexposed = "unexposed", "no service on this port";
        NoServer = "no-server", "no server of the service may get new flows";
        Unresolved = "unresolved", "the hardware address of the server is not known";
        ServersDown = "servers-down", "the servers at its place in the ring are down, and the ring is not built without them yet";
        Denied = "denied", "its source is one that the service does not serve";
        TtlExpired = "ttl-expired", "time to live or hop limit 1 or 0";
        SourceIsCluster = "source-is-cluster", "its source is a cluster address";
        LoopedBack = "looped-back", "its source is an address of this node: a content host sends on what it should take itself";
        Martian = "martian", "its source is a multicast, broadcast, loopback or unspecified address";
        GroupMac = "group-mac", "a cluster address in a frame to a multicast or broadcast hardware address";
        BadHeader = "bad-header", "IP version or header length is wrong";
        BadLength = "bad-length", "the IP length does not fit the frame or the headers";
        TruncatedTransport = "truncated-transport", "too short for its TCP, UDP or ICMP header";
        BadTransport = "bad-transport", "TCP header length or UDP length is wrong";
        Fragment = "fragment", "a fragment; not handled in this version";
        IcmpError = "icmp-error", "an ICMP error about a flow; not handled in this version";
        IcmpOther = "icmp-other", "ICMP that is neither an echo request nor an error";
        EchoRefused = "echo-refused", "an echo request, and the cluster does not answer them";
        OtherTransport = "other-transport", "neither TCP, UDP nor ICMP";
        BadExtension = "bad-extension", "an IPv6 extension header that does not fit or stands where it may not";
        TooManyExtensions = "too-many-extensions", "more than four IPv6 extension headers";
        SourceRouted = "source-routed", "an IPv6 routing header with segments left";
        BadNeighbour = "bad-neighbour", "a neighbour solicitation for a cluster address that breaks RFC 4861 section 7.1.1";
        NoRoom = "no-room", "no room behind the frame to answer it";
        TwinShape = "twin-shape", "on the partners' port, but too long, too short, in fragments, or something else altogether";
        TwinStranger = "twin-stranger", "on the partners' port, from an address that no path to a partner has";
        TwinVersion = "twin-version", "a partner's frame of another version of the format";
        TwinKey = "twin-key", "a partner's frame made with a key that is not ours, as its id tells";
        TwinForged = "twin-forged", "a partner's frame whose gate is wrong: made without the key";
        TwinReflected = "twin-reflected", "a heartbeat or probe of this node's own that was sent back to it";
        TwinReplayed = "twin-replayed", "a partner's heartbeat that came before";
        TwinFlood = "twin-flood", "a heartbeat of a session not known yet, more than 20 of which came in a second";
        TwinUnasked = "twin-unasked", "an answer to a probe that nobody waits for";
    }
}

reasons! {
    /// What a packet was answered as, in place.
    Answer, Answer, "answer", from 64 {
        Arp = "arp", "who-has for a cluster address";
        Neighbour = "neighbour", "neighbour solicitation for a cluster address";
        Echo = "echo", "IPv4 echo request to a cluster address";
        Echo6 = "echo6", "IPv6 echo request to a cluster address";
        Reset = "reset", "a segment of a TCP flow whose server is down and whose clients are told so by a reset";
        Probe = "twin-probe", "a partner's probe, answered with what this node is for the shared groups";
    }
}

reasons! {
    /// How the server of a packet was found.
    Path, Forward, "forward", from 72 {
        Established = "established", "a remembered flow";
        Promoted = "promoted", "second packet of a flow, which is remembered from now on";
        Repeated = "repeated", "first packet of a flow, again";
        Affinity = "affinity", "first packet of a flow of a client that has a server";
        Ring = "ring", "first packet of a flow, by the ring";
        Turn = "turn", "first packet of a flow, in turn";
        Least = "least", "first packet of a flow, to the one of two candidates that has fewer active flows for its weight";
        Unknown = "unknown", "later packet of a flow that is not remembered, by the ring";
    }
}

reasons! {
    /// What else happened on the way.
    Note, Note, "note", from 96 {
        FlowEvicted = "flow-evicted", "an older flow lost its slot in the flow table";
        FlowNotRemembered = "flow-not-remembered", "a flow found no slot in the flow table; the ring decides for it";
        FirstEvicted = "first-evicted", "an older first packet lost its slot in the provisional table";
        FirstNotRemembered = "first-not-remembered", "a first packet found no slot in the provisional table; the ring decides";
        ServerGone = "server-gone", "a remembered flow's server was removed, replaced or declared down";
        Released = "released", "a remembered UDP flow's server is down, and the flow goes elsewhere";
        SteppedAside = "stepped-aside", "the ring's server is unresolved or down, so another was taken";
        ClaimedByOther = "claimed-by-other", "ARP from another machine that claims a cluster address as its own";
        AdvertisedByOther = "advertised-by-other", "a neighbour advertisement from another machine that claims a cluster address as its own";
    }
}

/// Every reason there is, in the order of classes.
pub fn reasons() -> impl Iterator<Item = &'static Reason> {
    [Pass::TABLE, Drop::TABLE, Answer::TABLE, Path::TABLE, Note::TABLE].into_iter().flatten()
}

/// Where a packet goes that is forwarded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Forward {
    /// The server.
    pub server: u32,
    /// The interface it is reached by, as the kernel counts them.
    pub interface: u32,
}

/// What the packet path decides, in one word: a verdict whose unused parts are zeros, not undefined. An enum with a
/// payload would do for the host; in the kernel its undefined parts end up in registers that the verifier forbids to
/// save.
///
/// Reason (8 bits), kind (4), server (20), interface (32).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict(NonZeroU64);

/// What becomes of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// The machine's own stack has it, untouched.
    Pass = 1,
    /// The machine's own stack has it, untouched, as the server of its flow.
    Local = 2,
    /// It ends here.
    Drop = 3,
    /// It goes back where it came from, as an answer.
    Answer = 4,
    /// It goes to a server.
    Forward = 5,
}

impl Verdict {
    #[inline(always)]
    const fn new(kind: Kind, counter: Counter, server: u32, interface: u32) -> Self {
        let word = counter.0 as u64
            | (kind as u64) << 8
            | (server as u64 & 0xf_ffff) << 12
            | (interface as u64) << 32;
        match NonZeroU64::new(word) {
            Some(word) => Self(word),
            // No kind is 0.
            None => Self(NonZeroU64::MIN),
        }
    }

    /// Given to the machine's own stack.
    #[inline(always)]
    pub const fn pass(reason: Pass) -> Self {
        Self::new(Kind::Pass, reason.counter(), 0, 0)
    }

    /// Dropped.
    #[inline(always)]
    pub const fn drop(reason: Drop) -> Self {
        Self::new(Kind::Drop, reason.counter(), 0, 0)
    }

    /// Dropped. `reason` is the counter of a [`Drop`].
    #[inline(always)]
    pub const fn dropped(reason: Counter) -> Self {
        Self::new(Kind::Drop, reason, 0, 0)
    }

    /// Answered in place.
    #[inline(always)]
    pub const fn answer(reason: Answer) -> Self {
        Self::new(Kind::Answer, reason.counter(), 0, 0)
    }

    /// Given to the machine's own stack, which is server number `server`.
    #[inline(always)]
    pub const fn local(server: u32) -> Self {
        Self::new(Kind::Local, Pass::Collocated.counter(), server, 0)
    }

    /// Sent to a server. `path` is the counter of a [`Path`].
    #[inline(always)]
    pub const fn forward(path: Counter, server: u32, interface: u32) -> Self {
        Self::new(Kind::Forward, path, server, interface)
    }

    /// What becomes of the packet.
    #[inline(always)]
    pub const fn kind(self) -> Kind {
        match (self.0.get() >> 8) & 15 {
            2 => Kind::Local,
            3 => Kind::Drop,
            4 => Kind::Answer,
            5 => Kind::Forward,
            _ => Kind::Pass,
        }
    }

    /// Why.
    #[inline(always)]
    pub const fn counter(self) -> Counter {
        Counter(self.0.get() as u8)
    }

    /// Where it goes, if [`Kind::Forward`]; if [`Kind::Local`], as which server.
    #[inline(always)]
    pub const fn target(self) -> Forward {
        Forward { server: (self.0.get() >> 12) as u32 & 0xf_ffff, interface: (self.0.get() >> 32) as u32 }
    }

    /// All of it in one word.
    #[inline(always)]
    pub const fn word(self) -> u64 {
        self.0.get()
    }

    /// The verdict of a word that [`word`](Self::word) made.
    pub fn from_word(word: u64) -> Option<Self> {
        NonZeroU64::new(word).map(Self)
    }

    /// The reason as people read it.
    pub fn reason(self) -> Option<&'static Reason> {
        reasons().find(|reason| reason.counter == self.counter())
    }
}
