//! Frames, built header by header; every field that a test wants wrong can be set.

use crate::checksum;

/// A hardware address.
pub type Mac = [u8; 6];

/// EtherType of ARP.
pub const ARP: u16 = 0x0806;
/// EtherType of IPv4.
pub const IPV4: u16 = 0x0800;
/// EtherType of IPv6.
pub const IPV6: u16 = 0x86dd;
/// EtherType of an 802.1Q tag.
pub const VLAN: u16 = 0x8100;
/// EtherType of an 802.1ad tag.
pub const SERVICE_VLAN: u16 = 0x88a8;

/// Protocol number of ICMP.
pub const ICMP: u8 = 1;
/// Protocol number of TCP.
pub const TCP: u8 = 6;
/// Protocol number of UDP.
pub const UDP: u8 = 17;
/// Protocol number of ICMPv6.
pub const ICMPV6: u8 = 58;

/// TCP's FIN.
pub const FIN: u8 = 0x01;
/// TCP's SYN.
pub const SYN: u8 = 0x02;
/// TCP's RST.
pub const RST: u8 = 0x04;
/// TCP's ACK.
pub const ACK: u8 = 0x10;

/// An Ethernet frame.
pub fn ethernet(to: Mac, from: Mac, ether_type: u16, payload: &[u8]) -> Vec<u8> {
    [&to[..], &from, &ether_type.to_be_bytes(), payload].concat()
}

/// The frame with VLAN tags put in, the outer first: each its EtherType and identifier.
pub fn tagged(frame: &[u8], tags: &[(u16, u16)]) -> Vec<u8> {
    let mut out = frame[..12].to_vec();
    for (ether_type, identifier) in tags {
        out.extend_from_slice(&ether_type.to_be_bytes());
        out.extend_from_slice(&identifier.to_be_bytes());
    }
    out.extend_from_slice(&frame[12..]);
    out
}

/// ARP for IPv4 over Ethernet.
#[derive(Debug, Clone, Copy)]
pub struct Arp {
    /// 1 request, 2 reply.
    pub operation: u16,
    /// Sender's hardware address.
    pub sender_mac: Mac,
    /// Sender's address.
    pub sender: [u8; 4],
    /// Target's hardware address.
    pub target_mac: Mac,
    /// Target's address.
    pub target: [u8; 4],
}

impl Arp {
    /// Its bytes.
    pub fn bytes(&self) -> Vec<u8> {
        let operation = self.operation.to_be_bytes();
        let fixed = [0, 1, 8, 0, 6, 4];
        [&fixed[..], &operation, &self.sender_mac, &self.sender, &self.target_mac, &self.target].concat()
    }
}

/// An IPv4 header.
#[derive(Debug, Clone)]
pub struct V4 {
    /// Sender.
    pub source: [u8; 4],
    /// Receiver.
    pub destination: [u8; 4],
    /// Options, a multiple of four bytes.
    pub options: Vec<u8>,
    /// Type of service.
    pub tos: u8,
    /// Identification.
    pub identification: u16,
    /// Flags and offset as they stand in the header.
    pub fragment: u16,
    /// Time to live.
    pub ttl: u8,
    /// Version and header length, where they are to be wrong.
    pub version_ihl: Option<u8>,
    /// Total length, where it is to be wrong.
    pub total_length: Option<u16>,
}

impl V4 {
    /// A plain header.
    pub fn new(source: [u8; 4], destination: [u8; 4]) -> Self {
        Self {
            source,
            destination,
            options: Vec::new(),
            tos: 0,
            identification: 0x1234,
            fragment: 0x4000,
            ttl: 61,
            version_ihl: None,
            total_length: None,
        }
    }

    /// The header and what it carries.
    pub fn carry(&self, protocol: u8, payload: &[u8]) -> Vec<u8> {
        let length = 20 + self.options.len();
        let total = self.total_length.unwrap_or((length + payload.len()) as u16);
        let mut header = vec![self.version_ihl.unwrap_or(0x40 | (length / 4) as u8), self.tos];
        header.extend_from_slice(&total.to_be_bytes());
        header.extend_from_slice(&self.identification.to_be_bytes());
        header.extend_from_slice(&self.fragment.to_be_bytes());
        header.extend_from_slice(&[self.ttl, protocol, 0, 0]);
        header.extend_from_slice(&self.source);
        header.extend_from_slice(&self.destination);
        header.extend_from_slice(&self.options);
        let checksum = checksum::of(&header);
        header[10..12].copy_from_slice(&checksum);
        header.extend_from_slice(payload);
        header
    }

    /// With a TCP segment.
    pub fn tcp(&self, segment: &Tcp) -> Vec<u8> {
        self.carry(TCP, &segment.bytes(&self.source, &self.destination))
    }

    /// With a UDP datagram.
    pub fn udp(&self, datagram: &Udp) -> Vec<u8> {
        self.carry(UDP, &datagram.bytes(&self.source, &self.destination))
    }

    /// With an ICMP message: type, code and what follows the checksum.
    pub fn icmp(&self, kind: u8, code: u8, rest: &[u8]) -> Vec<u8> {
        let mut message = [&[kind, code, 0, 0], rest].concat();
        let checksum = checksum::of(&message);
        message[2..4].copy_from_slice(&checksum);
        self.carry(ICMP, &message)
    }
}

/// An IPv6 header and its extension headers.
#[derive(Debug, Clone)]
pub struct V6 {
    /// Sender.
    pub source: [u8; 16],
    /// Receiver.
    pub destination: [u8; 16],
    /// Version, traffic class and flow label.
    pub version_class_label: u32,
    /// Hop limit.
    pub hop_limit: u8,
    /// Extension headers: their type and their bytes, of which the first is filled in here.
    pub extensions: Vec<(u8, Vec<u8>)>,
    /// Payload length, where it is to be wrong.
    pub payload_length: Option<u16>,
}

impl V6 {
    /// A plain header.
    pub fn new(source: [u8; 16], destination: [u8; 16]) -> Self {
        Self {
            source,
            destination,
            version_class_label: 0x6000_0000,
            hop_limit: 61,
            extensions: Vec::new(),
            payload_length: None,
        }
    }

    /// The same with one more extension header.
    pub fn with(mut self, kind: u8, bytes: &[u8]) -> Self {
        self.extensions.push((kind, bytes.to_vec()));
        self
    }

    /// The headers and what they carry.
    pub fn carry(&self, protocol: u8, payload: &[u8]) -> Vec<u8> {
        let mut chain = Vec::new();
        for (at, (_, bytes)) in self.extensions.iter().enumerate() {
            let start = chain.len();
            chain.extend_from_slice(bytes);
            if let Some(next) = chain.get_mut(start) {
                *next = self.extensions.get(at + 1).map_or(protocol, |(kind, _)| *kind);
            }
        }
        let first = self.extensions.first().map_or(protocol, |(kind, _)| *kind);
        let length = self.payload_length.unwrap_or((chain.len() + payload.len()) as u16);
        let mut packet = self.version_class_label.to_be_bytes().to_vec();
        packet.extend_from_slice(&length.to_be_bytes());
        packet.extend_from_slice(&[first, self.hop_limit]);
        packet.extend_from_slice(&self.source);
        packet.extend_from_slice(&self.destination);
        packet.extend_from_slice(&chain);
        packet.extend_from_slice(payload);
        packet
    }

    /// With a TCP segment.
    pub fn tcp(&self, segment: &Tcp) -> Vec<u8> {
        self.carry(TCP, &segment.bytes(&self.source, &self.destination))
    }

    /// With a UDP datagram.
    pub fn udp(&self, datagram: &Udp) -> Vec<u8> {
        self.carry(UDP, &datagram.bytes(&self.source, &self.destination))
    }

    /// With an ICMPv6 message: type, code and what follows the checksum.
    pub fn icmp(&self, kind: u8, code: u8, rest: &[u8]) -> Vec<u8> {
        let mut message = [&[kind, code, 0, 0], rest].concat();
        let pseudo = checksum::pseudo_header(&self.source, &self.destination, ICMPV6, message.len());
        let checksum = checksum::of(&[pseudo, message.clone()].concat());
        message[2..4].copy_from_slice(&checksum);
        self.carry(ICMPV6, &message)
    }
}

/// A TCP segment.
#[derive(Debug, Clone)]
pub struct Tcp {
    /// Source port.
    pub source: u16,
    /// Destination port.
    pub destination: u16,
    /// Sequence number.
    pub sequence: u32,
    /// Acknowledgement number.
    pub acknowledgement: u32,
    /// Control bits.
    pub flags: u8,
    /// Window.
    pub window: u16,
    /// Options, a multiple of four bytes.
    pub options: Vec<u8>,
    /// Header length in words, where it is to be wrong.
    pub data_offset: Option<u8>,
    /// Payload.
    pub payload: Vec<u8>,
}

impl Tcp {
    /// A segment without options and payload.
    pub fn new(source: u16, destination: u16, flags: u8) -> Self {
        Self {
            source,
            destination,
            sequence: 1,
            acknowledgement: 2,
            flags,
            window: 0xfaf0,
            options: Vec::new(),
            data_offset: None,
            payload: Vec::new(),
        }
    }

    fn bytes(&self, from: &[u8], to: &[u8]) -> Vec<u8> {
        let words = self.data_offset.unwrap_or((5 + self.options.len() / 4) as u8);
        let mut segment = [self.source.to_be_bytes(), self.destination.to_be_bytes()].concat();
        segment.extend_from_slice(&self.sequence.to_be_bytes());
        segment.extend_from_slice(&self.acknowledgement.to_be_bytes());
        segment.extend_from_slice(&[words << 4, self.flags]);
        segment.extend_from_slice(&self.window.to_be_bytes());
        segment.extend_from_slice(&[0; 4]);
        segment.extend_from_slice(&self.options);
        segment.extend_from_slice(&self.payload);
        let pseudo = checksum::pseudo_header(from, to, TCP, segment.len());
        let checksum = checksum::of(&[pseudo, segment.clone()].concat());
        segment[16..18].copy_from_slice(&checksum);
        segment
    }
}

/// A UDP datagram.
#[derive(Debug, Clone)]
pub struct Udp {
    /// Source port.
    pub source: u16,
    /// Destination port.
    pub destination: u16,
    /// Length, where it is to be wrong.
    pub length: Option<u16>,
    /// Payload.
    pub payload: Vec<u8>,
}

impl Udp {
    /// A datagram with five bytes of payload.
    pub fn new(source: u16, destination: u16) -> Self {
        Self { source, destination, length: None, payload: b"query".to_vec() }
    }

    fn bytes(&self, from: &[u8], to: &[u8]) -> Vec<u8> {
        let length = self.length.unwrap_or((8 + self.payload.len()) as u16);
        let mut datagram = [self.source, self.destination, length, 0].map(u16::to_be_bytes).concat();
        datagram.extend_from_slice(&self.payload);
        let pseudo = checksum::pseudo_header(from, to, UDP, datagram.len());
        let checksum = checksum::of(&[pseudo, datagram.clone()].concat());
        datagram[6..8].copy_from_slice(&checksum);
        datagram
    }
}
