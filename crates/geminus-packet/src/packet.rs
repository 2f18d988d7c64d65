//! One packet for a cluster address, as far as balancing needs it.

use crate::hash::{HashKey, ports_word};
use crate::tables::{Address, AddressFacts};
use crate::word::blurred;

/// What a packet does to its flow. A number rather than an enum, so that it can be blurred.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step(u64);

impl Step {
    /// TCP with SYN alone: may begin a flow.
    pub const SYN: Self = Self(1);
    /// TCP that goes on with a flow.
    pub const SEGMENT: Self = Self(2);
    /// TCP with FIN: the client has no more to say.
    pub const FIN: Self = Self(3);
    /// TCP with RST.
    pub const RST: Self = Self(4);
    /// UDP.
    pub const DATAGRAM: Self = Self(5);
    /// A partner's frame, which belongs to no flow.
    pub const TWIN: Self = Self(6);
}

/// One packet of a flow.
#[derive(Debug, Clone, Copy)]
pub struct Packet {
    /// Sender.
    pub source: Address,
    /// Cluster address.
    pub destination: Address,
    /// What is known of the cluster address.
    pub facts: AddressFacts,
    /// Where its cluster's ports are: [`crate::tables::AddressEntry::ports`]. Of a partner's frame: where its UDP header
    /// starts.
    pub place: u32,
    /// Source and destination port as they stand in the header, read as one little-endian word. Of a partner's frame: how
    /// long its payload is.
    pub ports: u32,
    /// Protocol number of the IP header.
    pub protocol: u8,
    /// Where its IP header starts (lower 16 bits) and the header behind it (upper 16). Of a partner's frame: 0.
    pub at: u32,
    /// What it does to its flow.
    pub step: Step,
}

impl Packet {
    /// No packet: where one is going to be written.
    pub const NONE: Self = Self {
        source: Address { high: 0, low: 0 },
        destination: Address { high: 0, low: 0 },
        facts: AddressFacts(0),
        place: 0,
        ports: 0,
        protocol: 0,
        at: 0,
        step: Step::SEGMENT,
    };

    /// The same packet, of which the verifier no longer knows how it was parsed ([`blurred`]).
    #[inline(always)]
    pub fn blurred(self, nothing: u64) -> Self {
        let ports = u64::from(self.ports) | u64::from(self.place) << 32;
        let values = [
            self.source.high,
            self.source.low,
            self.destination.high,
            self.destination.low,
            self.facts.0,
            ports,
            u64::from(self.protocol) | u64::from(self.at) << 32,
            self.step.0,
        ];
        let [source_high, source_low, destination_high, destination_low, facts, ports, protocol, step] =
            blurred(values, nothing);
        Self {
            source: Address { high: source_high, low: source_low },
            destination: Address { high: destination_high, low: destination_low },
            facts: AddressFacts(facts),
            place: (ports >> 32) as u32,
            ports: ports as u32,
            protocol: protocol as u8,
            at: (protocol >> 32) as u32,
            step: Step(step),
        }
    }

    /// Destination port, host byte order.
    #[inline(always)]
    pub const fn port(&self) -> u16 {
        ((self.ports >> 16) as u16).swap_bytes()
    }

    /// The word that holds ports and protocol.
    #[inline(always)]
    pub const fn ports_word(&self) -> u64 {
        ports_word(self.ports, self.protocol)
    }

    /// The keyed hash of its 5-tuple.
    #[inline(always)]
    pub fn hash(&self, key: &HashKey) -> u64 {
        if self.source.is_v4() {
            key.v4(self.source.low | self.destination.low << 32, self.ports_word())
        } else {
            let addresses = [self.source.high, self.source.low, self.destination.high, self.destination.low];
            key.v6(addresses, self.ports_word())
        }
    }
}
