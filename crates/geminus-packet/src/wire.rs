//! Headers as they stand in a frame: byte arrays, so that any offset is fine, in network byte order.

/// A type that any bytes of its size are a valid value of, at any address.
///
/// # Safety
/// Implementers are `repr(C)`, of alignment 1, without padding, and valid for every bit pattern.
#[allow(unsafe_code, reason = "marks the types that frames may hand out")]
pub unsafe trait Header: Copy {}

macro_rules! header {
    ($(#[$doc:meta])* $name:ident { $($(#[$fdoc:meta])* $field:ident: $type:ty),* $(,)? }) => {
        $(#[$doc])*
        #[repr(C)]
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub struct $name { $($(#[$fdoc])* pub $field: $type),* }
        #[allow(unsafe_code, reason = "byte arrays only: checked by the assertion beside it")]
        // SAFETY: `repr(C)` over byte arrays: alignment 1, no padding, every bit pattern valid.
        unsafe impl Header for $name {}
        const _: () = assert!(core::mem::align_of::<$name>() == 1);
    };
}

/// A hardware address.
pub type Mac = [u8; 6];
/// Every station.
pub const BROADCAST: Mac = [0xff; 6];

header! {
    /// Ethernet, IEEE 802.3 clause 3.
    Ethernet {
        /// Receiver.
        destination: Mac,
        /// Sender.
        source: Mac,
        /// EtherType.
        ether_type: [u8; 2],
    }
}
header! {
    /// VLAN tag after its EtherType, IEEE 802.1Q clause 9.
    Vlan {
        /// Priority, drop eligibility, identifier.
        control: [u8; 2],
        /// EtherType of what follows.
        ether_type: [u8; 2],
    }
}
header! {
    /// ARP for IPv4 over Ethernet, RFC 826.
    Arp {
        /// Hardware type, 1 is Ethernet.
        hardware: [u8; 2],
        /// Protocol type, 0x0800 is IPv4.
        protocol: [u8; 2],
        /// Length of hardware and of protocol addresses: 6 and 4.
        lengths: [u8; 2],
        /// 1 request, 2 reply.
        operation: [u8; 2],
        /// Sender's hardware address.
        sender_mac: Mac,
        /// Sender's address.
        sender: [u8; 4],
        /// Target's hardware address.
        target_mac: Mac,
        /// Target's address.
        target: [u8; 4],
    }
}
header! {
    /// IPv4 without options, RFC 791 section 3.1.
    Ipv4 {
        /// Version and header length in 32-bit words.
        version_ihl: u8,
        /// Type of service.
        tos: u8,
        /// Length of header and payload.
        total_length: [u8; 2],
        /// Identification.
        identification: [u8; 2],
        /// Flags and fragment offset in 8-byte units.
        fragment: [u8; 2],
        /// Time to live.
        ttl: u8,
        /// Protocol of the payload.
        protocol: u8,
        /// Header checksum.
        checksum: [u8; 2],
        /// Source, then destination.
        addresses: [u8; 8],
    }
}
header! {
    /// IPv6, RFC 8200 section 3.
    Ipv6 {
        /// Version, traffic class, flow label.
        version_class_label: [u8; 4],
        /// Length of what follows this header.
        payload_length: [u8; 2],
        /// Type of the next header.
        next_header: u8,
        /// Hop limit.
        hop_limit: u8,
        /// Source.
        source: [u8; 16],
        /// Destination.
        destination: [u8; 16],
    }
}
header! {
    /// The common start of the IPv6 extension headers, RFC 8200 section 4.
    Extension {
        /// Type of the next header.
        next_header: u8,
        /// Length in 8-byte units, the first not counted.
        length: u8,
        /// Of a routing header: its type. Of a fragment header: upper bits of the offset.
        third: u8,
        /// Of a routing header: segments left. Of a fragment header: rest of the offset and the flags.
        fourth: u8,
    }
}
header! {
    /// TCP without options, RFC 9293 section 3.1.
    Tcp {
        /// Source port, then destination port.
        ports: [u8; 4],
        /// Sequence number.
        sequence: [u8; 4],
        /// Acknowledgement number.
        acknowledgement: [u8; 4],
        /// Header length in 32-bit words, in the upper half.
        data_offset: u8,
        /// Control bits.
        flags: u8,
        /// Window.
        window: [u8; 2],
        /// Checksum.
        checksum: [u8; 2],
        /// Urgent pointer.
        urgent: [u8; 2],
    }
}
header! {
    /// UDP, RFC 768.
    Udp {
        /// Source port, then destination port.
        ports: [u8; 4],
        /// Length of header and payload.
        length: [u8; 2],
        /// Checksum.
        checksum: [u8; 2],
    }
}
header! {
    /// The start of ICMP (RFC 792) and ICMPv6 (RFC 4443), with the four bytes that an echo uses for id and sequence.
    Icmp {
        /// Type.
        kind: u8,
        /// Code.
        code: u8,
        /// Checksum.
        checksum: [u8; 2],
        /// Depends on the type.
        rest: [u8; 4],
    }
}
header! {
    /// Neighbour solicitation and advertisement after the ICMPv6 header, RFC 4861 sections 4.3 and 4.4.
    NeighbourTarget {
        /// Who is asked for, or who answers.
        target: [u8; 16],
    }
}
header! {
    /// A link-layer address option for Ethernet, RFC 4861 section 4.6.1.
    LinkLayerOption {
        /// 1 source, 2 target.
        kind: u8,
        /// In 8-byte units: 1.
        length: u8,
        /// The address.
        mac: Mac,
    }
}
header! {
    /// What fills a frame up to the least that Ethernet carries, behind the shortest of packets: IPv4 and TCP without
    /// options.
    Filling {
        /// 0.
        bytes: [u8; 6],
    }
}

header! {
    /// The start of a partner's frame ([`crate::twin`]), whose body depends on its kind.
    TwinHead {
        /// Words, the first byte lowest.
        words: [[u8; 8]; 5],
    }
}
header! {
    /// A whole probe or answer to one ([`crate::twin`]).
    TwinExchange {
        /// Words, the first byte lowest.
        words: [[u8; 8]; 9],
    }
}
header! {
    /// One word of a partner's frame.
    TwinWord {
        /// The first byte lowest.
        word: [u8; 8],
    }
}

/// Numbers of the protocols that the packet path knows.
pub mod number {
    /// EtherType of ARP.
    pub const ETHER_ARP: u16 = 0x0806;
    /// EtherType of IPv4.
    pub const ETHER_IPV4: u16 = 0x0800;
    /// EtherType of IPv6.
    pub const ETHER_IPV6: u16 = 0x86dd;
    /// EtherType of an 802.1Q tag.
    pub const ETHER_VLAN: u16 = 0x8100;
    /// EtherType of an 802.1ad service tag.
    pub const ETHER_SERVICE_VLAN: u16 = 0x88a8;
    /// IPv6 hop-by-hop options.
    pub const HOP_BY_HOP: u8 = 0;
    /// ICMP.
    pub const ICMP: u8 = 1;
    /// TCP.
    pub const TCP: u8 = 6;
    /// UDP.
    pub const UDP: u8 = 17;
    /// IPv6 routing header.
    pub const ROUTING: u8 = 43;
    /// IPv6 fragment header.
    pub const FRAGMENT: u8 = 44;
    /// ICMPv6.
    pub const ICMPV6: u8 = 58;
    /// IPv6 destination options.
    pub const DESTINATION_OPTIONS: u8 = 60;
}

impl Ethernet {
    /// Bytes on the wire.
    pub const LENGTH: usize = 14;
}
