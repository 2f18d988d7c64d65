//! One packet for a cluster address, as far as balancing needs it.

use crate::hash::{HashKey, ports_word};
use crate::tables::{Address, AddressFacts};

/// What a packet does to its flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// TCP with SYN alone: may begin a flow.
    Syn,
    /// TCP that goes on with a flow.
    Segment,
    /// TCP with FIN: the client has no more to say.
    Fin,
    /// TCP with RST.
    Rst,
    /// UDP.
    Datagram,
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
    /// First port range of the cluster.
    pub ranges: u32,
    /// Source and destination port as they stand in the header, read as one little-endian word.
    pub ports: u32,
    /// Protocol number of the IP header.
    pub protocol: u8,
    /// What it does.
    pub kind: Kind,
}

impl Packet {
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
            let addresses =
                [self.source.high, self.source.low, self.destination.high, self.destination.low];
            key.v6(addresses, self.ports_word())
        }
    }
}
