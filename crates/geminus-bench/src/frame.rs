//! The frames that are fed: the first of each kind, from which the feeding program makes those of the other flows.

use std::fmt;

/// Hardware address of the node's interface.
pub(crate) const NODE: [u8; 6] = [0x02, 0, 0x5e, 0x10, 0, 0x01];
/// Hardware address of whoever sends: the clients' router.
pub(crate) const ROUTER: [u8; 6] = [0x02, 0, 0x5e, 0x10, 0, 0x02];
/// The cluster's addresses.
pub(crate) const CLUSTER4: [u8; 4] = [198, 51, 100, 80];
pub(crate) const CLUSTER6: [u8; 16] = [0x20, 0x01, 0x0d, 0xb8, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x80];
/// An address of nobody.
pub(crate) const OTHER4: [u8; 4] = [198, 51, 100, 99];
pub(crate) const OTHER6: [u8; 16] = [0x20, 0x01, 0x0d, 0xb8, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x99];
/// Clients come from the networks set aside for benchmarks: RFC 2544 and RFC 5180. The last two bytes are the flow's.
const CLIENT4: [u8; 4] = [198, 18, 0, 0];
const CLIENT6: [u8; 16] = [0x20, 0x01, 0, 2, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0];

/// TCP flags of a first segment.
pub(crate) const SYN: u8 = 2;
/// TCP flags of a later segment.
pub(crate) const ACK: u8 = 16;

/// Which IP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    V4,
    V6,
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        })
    }
}

/// A TCP segment with these flags to a port of the cluster.
pub(crate) fn tcp(family: Family, port: u16, flags: u8) -> Vec<u8> {
    let mut segment = [0; 20];
    segment[2..4].copy_from_slice(&port.to_be_bytes());
    segment[12] = 5 << 4;
    segment[13] = flags;
    segment[14] = 0xff;
    // Of the flow's port and address, as of every flow's, the sequence number is the complement.
    segment[4..8].copy_from_slice(&[0xff; 4]);
    let sum = match family {
        Family::V4 => {
            let rest = [0, 6, 0, segment.len() as u8];
            checksum(&[&CLIENT4[..], &CLUSTER4, &rest, &segment].concat())
        }
        Family::V6 => checksum6(CLIENT6, CLUSTER6, 6, &segment),
    };
    segment[16..18].copy_from_slice(&sum);
    to_cluster(family, 6, &segment)
}

/// A UDP datagram to a port of the cluster.
pub(crate) fn udp(family: Family, port: u16) -> Vec<u8> {
    let mut datagram = [0; 20];
    datagram[2..4].copy_from_slice(&port.to_be_bytes());
    datagram[4..6].copy_from_slice(&20_u16.to_be_bytes());
    to_cluster(family, 17, &datagram)
}

/// An echo request to the cluster.
pub(crate) fn echo(family: Family) -> Vec<u8> {
    let mut message = [0_u8; 20];
    message[4..8].copy_from_slice(&[0x12, 0x34, 0, 1]);
    match family {
        Family::V4 => {
            message[0] = 8;
            let sum = checksum(&message);
            message[2..4].copy_from_slice(&sum);
            to_cluster(family, 1, &message)
        }
        Family::V6 => {
            message[0] = 128;
            let sum = checksum6(CLIENT6, CLUSTER6, 58, &message);
            message[2..4].copy_from_slice(&sum);
            to_cluster(family, 58, &message)
        }
    }
}

/// The cluster's answer to [`echo`].
pub(crate) fn echo_reply(family: Family) -> Vec<u8> {
    let mut message = [0_u8; 20];
    message[4..8].copy_from_slice(&[0x12, 0x34, 0, 1]);
    match family {
        Family::V4 => {
            let sum = checksum(&message);
            message[2..4].copy_from_slice(&sum);
            framed(ROUTER, NODE, [8, 0], &ipv4(CLUSTER4, CLIENT4, 1, &message))
        }
        Family::V6 => {
            message[0] = 129;
            let sum = checksum6(CLUSTER6, CLIENT6, 58, &message);
            message[2..4].copy_from_slice(&sum);
            framed(ROUTER, NODE, [0x86, 0xdd], &ipv6(CLUSTER6, CLIENT6, 58, &message))
        }
    }
}

/// Who has the cluster's address?
pub(crate) fn arp_request() -> Vec<u8> {
    arp([0xff; 6], ROUTER, 1, (ROUTER, [198, 51, 100, 1]), ([0; 6], CLUSTER4))
}

/// The node has.
pub(crate) fn arp_reply() -> Vec<u8> {
    arp(ROUTER, NODE, 2, (NODE, CLUSTER4), (ROUTER, [198, 51, 100, 1]))
}

/// Neighbour solicitation for the cluster's address: RFC 4861 section 4.3.
pub(crate) fn solicitation() -> Vec<u8> {
    let group = [0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, 0, 0, 0x80];
    neighbour(([0x33, 0x33, 0xff, 0, 0, 0x80], group), (ROUTER, CLIENT6), 135, 0, (1, ROUTER))
}

/// The node's answer: RFC 4861 section 4.4.
pub(crate) fn advertisement() -> Vec<u8> {
    neighbour((ROUTER, CLIENT6), (NODE, CLUSTER6), 136, 0x60, (2, NODE))
}

/// The same frame, to somebody else.
pub(crate) fn to_other(mut frame: Vec<u8>, family: Family) -> Vec<u8> {
    match family {
        Family::V4 => {
            let packet = ipv4(CLIENT4, OTHER4, frame[23], &frame[34..54]);
            frame[14..54].copy_from_slice(&packet);
        }
        Family::V6 => frame[38..54].copy_from_slice(&OTHER6),
    }
    frame
}

fn neighbour(
    to: ([u8; 6], [u8; 16]),
    from: ([u8; 6], [u8; 16]),
    kind: u8,
    flags: u8,
    option: (u8, [u8; 6]),
) -> Vec<u8> {
    let mut message = [0_u8; 32];
    message[0] = kind;
    message[4] = flags;
    message[8..24].copy_from_slice(&CLUSTER6);
    message[24] = option.0;
    message[25] = 1;
    message[26..32].copy_from_slice(&option.1);
    let sum = checksum6(from.1, to.1, 58, &message);
    message[2..4].copy_from_slice(&sum);
    let mut packet = ipv6(from.1, to.1, 58, &message);
    packet[7] = 255;
    framed(to.0, from.0, [0x86, 0xdd], &packet)
}

fn arp(
    to: [u8; 6],
    from: [u8; 6],
    operation: u8,
    sender: ([u8; 6], [u8; 4]),
    target: ([u8; 6], [u8; 4]),
) -> Vec<u8> {
    let mut message = vec![0, 1, 8, 0, 6, 4, 0, operation];
    for (mac, address) in [sender, target] {
        message.extend_from_slice(&mac);
        message.extend_from_slice(&address);
    }
    framed(to, from, [8, 6], &message)
}

fn to_cluster(family: Family, protocol: u8, payload: &[u8]) -> Vec<u8> {
    match family {
        Family::V4 => framed(NODE, ROUTER, [8, 0], &ipv4(CLIENT4, CLUSTER4, protocol, payload)),
        Family::V6 => framed(NODE, ROUTER, [0x86, 0xdd], &ipv6(CLIENT6, CLUSTER6, protocol, payload)),
    }
}

/// Padded to whole words, and to the 60 bytes (here 64) of the shortest frame.
fn framed(to: [u8; 6], from: [u8; 6], ether_type: [u8; 2], packet: &[u8]) -> Vec<u8> {
    let mut frame = [&to[..], &from, &ether_type, packet].concat();
    frame.resize(frame.len().next_multiple_of(8).max(64), 0);
    frame
}

/// The identification makes up for the lower half of the client's address, so that the checksum holds for every flow.
fn ipv4(source: [u8; 4], destination: [u8; 4], protocol: u8, payload: &[u8]) -> Vec<u8> {
    let mut header = vec![0x45, 0, 0, (20 + payload.len()) as u8, 0xff, 0xff, 0x40, 0, 64, protocol, 0, 0];
    header.extend_from_slice(&source);
    header.extend_from_slice(&destination);
    let sum = checksum(&header);
    header[10..12].copy_from_slice(&sum);
    [&header[..], payload].concat()
}

fn ipv6(source: [u8; 16], destination: [u8; 16], next_header: u8, payload: &[u8]) -> Vec<u8> {
    let header = [0x60, 0, 0, 0, 0, payload.len() as u8, next_header, 64];
    [&header[..], &source, &destination, payload].concat()
}

/// RFC 1071.
fn checksum(bytes: &[u8]) -> [u8; 2] {
    let words =
        bytes.chunks(2).map(|pair| u32::from(pair[0]) << 8 | pair.get(1).copied().map_or(0, u32::from));
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    (!(sum as u16)).to_be_bytes()
}

/// RFC 8200 section 8.1.
fn checksum6(source: [u8; 16], destination: [u8; 16], next_header: u8, message: &[u8]) -> [u8; 2] {
    let rest = [0, 0, 0, message.len() as u8, 0, 0, 0, next_header];
    checksum(&[&source[..], &destination, &rest, message].concat())
}
