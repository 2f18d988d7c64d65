//! Frames made by hand: questions about an address, claims to it, datagrams with any content.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A hardware address.
pub type Mac = [u8; 6];

/// To everybody on the link.
pub const EVERYBODY: Mac = [0xff; 6];

const ARP: u16 = 0x0806;
const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;
const UDP: u8 = 17;
const ICMPV6: u8 = 58;

/// Who has `address`? ARP (RFC 826) or a neighbour solicitation (RFC 4861, 4.3), by its family.
pub fn question(asker: Mac, from: IpAddr, address: IpAddr) -> Option<Vec<u8>> {
    match (from, address) {
        (IpAddr::V4(from), IpAddr::V4(to)) => Some(arp(1, asker, from, [0; 6], to, EVERYBODY)),
        (IpAddr::V6(from), IpAddr::V6(to)) => Some(solicitation(asker, from, to)),
        _ => None,
    }
}

/// `address` is at `mac`: a gratuitous ARP reply, or an unsolicited advertisement that overrides.
pub fn claim(mac: Mac, address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => arp(2, mac, address, mac, address, EVERYBODY),
        IpAddr::V6(address) => {
            let everybody = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
            let mut body = vec![136, 0, 0, 0, 0x20, 0, 0, 0];
            body.extend(address.octets());
            body.extend([2, 1]);
            body.extend(mac);
            icmpv6(mac, [0x33, 0x33, 0, 0, 0, 1], address, everybody, body)
        }
    }
}

/// Who says that it has which address, asked or not; none for every other frame.
pub fn answer(frame: &[u8]) -> Option<(IpAddr, Mac)> {
    match u16::from_be_bytes(frame.get(12..14)?.try_into().ok()?) {
        ARP if frame.get(20..22)? == [0, 2] || is_claim(frame) => {
            let mac = frame.get(22..28)?.try_into().ok()?;
            let address: [u8; 4] = frame.get(28..32)?.try_into().ok()?;
            Some((Ipv4Addr::from(address).into(), mac))
        }
        IPV6 if frame.get(20)? == &ICMPV6 && frame.get(54)? == &136 => {
            let address: [u8; 16] = frame.get(62..78)?.try_into().ok()?;
            // The option carries the same address in every implementation seen here.
            let mac = frame.get(6..12)?.try_into().ok()?;
            Some((Ipv6Addr::from(address).into(), mac))
        }
        _ => None,
    }
}

/// Whether a frame says unasked that an address is at its sender: a gratuitous ARP request or reply, an advertisement to
/// everybody.
pub fn is_claim(frame: &[u8]) -> bool {
    match frame.get(12..14) {
        Some([0x08, 0x06]) => frame.len() >= 42 && frame[28..32] == frame[38..42],
        Some([0x86, 0xdd]) => {
            frame.len() >= 78 && frame[20] == ICMPV6 && frame[54] == 136 && frame[38] == 0xff
        }
        _ => false,
    }
}

/// Ends of a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ends {
    /// Sender and receiver on the link.
    pub macs: (Mac, Mac),
    /// Sender and receiver.
    pub addresses: (IpAddr, IpAddr),
    /// Source and destination port.
    pub ports: (u16, u16),
}

/// A UDP datagram; IPv4 without a checksum, IPv6 with one. None if the addresses are of two families.
pub fn datagram(ends: &Ends, payload: &[u8]) -> Option<Vec<u8>> {
    let length = (payload.len() + 8) as u16;
    let mut udp = Vec::with_capacity(payload.len() + 8);
    udp.extend(ends.ports.0.to_be_bytes());
    udp.extend(ends.ports.1.to_be_bytes());
    udp.extend(length.to_be_bytes());
    udp.extend([0, 0]);
    udp.extend(payload);
    let (from, to) = ends.macs;
    match ends.addresses {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let mut frame = ethernet(from, to, IPV4);
            let mut header = vec![0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, UDP, 0, 0];
            header[2..4].copy_from_slice(&(length + 20).to_be_bytes());
            header.extend(source.octets());
            header.extend(destination.octets());
            let sum = checksum(&[&header]);
            header[10..12].copy_from_slice(&sum.to_be_bytes());
            frame.extend(header);
            frame.extend(udp);
            Some(frame)
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            let sum = checksum6(source, destination, UDP, &udp);
            // RFC 8200, 8.1: a sum of zero is sent as all ones.
            udp[6..8].copy_from_slice(&(if sum == 0 { 0xffff } else { sum }).to_be_bytes());
            let mut frame = ethernet(from, to, IPV6);
            frame.extend(ipv6(source, destination, UDP, 64, udp.len()));
            frame.extend(udp);
            Some(frame)
        }
        _ => None,
    }
}

/// The destination port of a UDP datagram without VLAN tag, options or extension headers.
pub fn udp_port(frame: &[u8]) -> Option<u16> {
    let at = match u16::from_be_bytes(frame.get(12..14)?.try_into().ok()?) {
        IPV4 if frame.get(14)? == &0x45 && frame.get(23)? == &UDP => 34,
        IPV6 if frame.get(20)? == &UDP => 54,
        _ => return None,
    };
    Some(u16::from_be_bytes(frame.get(at + 2..at + 4)?.try_into().ok()?))
}

fn ethernet(from: Mac, to: Mac, kind: u16) -> Vec<u8> {
    let mut frame = Vec::with_capacity(128);
    frame.extend(to);
    frame.extend(from);
    frame.extend(kind.to_be_bytes());
    frame
}

fn arp(operation: u8, mac: Mac, from: Ipv4Addr, target: Mac, to: Ipv4Addr, receiver: Mac) -> Vec<u8> {
    let mut frame = ethernet(mac, receiver, ARP);
    frame.extend([0, 1, 8, 0, 6, 4, 0, operation]);
    frame.extend(mac);
    frame.extend(from.octets());
    frame.extend(target);
    frame.extend(to.octets());
    frame
}

fn solicitation(asker: Mac, from: Ipv6Addr, to: Ipv6Addr) -> Vec<u8> {
    let [.., a, b, c] = to.octets();
    let group = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00 | u16::from(a), u16::from_be_bytes([b, c]));
    let mut body = vec![135, 0, 0, 0, 0, 0, 0, 0];
    body.extend(to.octets());
    body.extend([1, 1]);
    body.extend(asker);
    icmpv6(asker, [0x33, 0x33, 0xff, a, b, c], from, group, body)
}

fn icmpv6(mac: Mac, receiver: Mac, from: Ipv6Addr, to: Ipv6Addr, mut body: Vec<u8>) -> Vec<u8> {
    let sum = checksum6(from, to, ICMPV6, &body);
    body[2..4].copy_from_slice(&sum.to_be_bytes());
    let mut frame = ethernet(mac, receiver, IPV6);
    frame.extend(ipv6(from, to, ICMPV6, 255, body.len()));
    frame.extend(body);
    frame
}

fn ipv6(from: Ipv6Addr, to: Ipv6Addr, next: u8, hops: u8, length: usize) -> Vec<u8> {
    let mut header = vec![0x60, 0, 0, 0];
    header.extend((length as u16).to_be_bytes());
    header.extend([next, hops]);
    header.extend(from.octets());
    header.extend(to.octets());
    header
}

/// RFC 8200, 8.1: over a pseudo header too.
fn checksum6(from: Ipv6Addr, to: Ipv6Addr, next: u8, body: &[u8]) -> u16 {
    let length = (body.len() as u32).to_be_bytes();
    checksum(&[&from.octets(), &to.octets(), &length, &[0, 0, 0, next], body])
}

/// RFC 1071; every part but the last has an even length.
fn checksum(parts: &[&[u8]]) -> u16 {
    let pair = |two: &[u8]| u32::from(two[0]) << 8 | u32::from(two.get(1).copied().unwrap_or(0));
    let sum: u32 = parts.iter().flat_map(|part| part.chunks(2)).map(pair).sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    !((folded & 0xffff) + (folded >> 16)) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAC: Mac = [2, 0, 0, 0, 0, 7];

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_claim_is_read_as_the_answer_of_its_sender() {
        for address in ["198.51.100.80", "2001:db8:1::80"] {
            assert_eq!(answer(&claim(MAC, ip(address))), Some((ip(address), MAC)));
            assert!(is_claim(&claim(MAC, ip(address))));
        }
    }

    #[test]
    fn a_question_is_no_answer() {
        for (from, to) in [("198.51.100.250", "198.51.100.80"), ("2001:db8:1::250", "2001:db8:1::80")] {
            let question = question(MAC, ip(from), ip(to)).unwrap();
            assert!(answer(&question).is_none() && !is_claim(&question));
        }
        assert_eq!(question(MAC, ip("198.51.100.250"), ip("2001:db8:1::80")), None);
    }

    #[test]
    fn a_checksum_over_a_whole_datagram_is_zero() {
        let ends = Ends {
            macs: (MAC, EVERYBODY),
            addresses: (ip("2001:db8:1::1"), ip("2001:db8:1::2")),
            ports: (4870, 4870),
        };
        let frame = datagram(&ends, b"odd").unwrap();
        let (IpAddr::V6(from), IpAddr::V6(to)) = ends.addresses else { unreachable!("both are IPv6") };
        assert_eq!(checksum6(from, to, UDP, &frame[54..]), 0);
        assert_eq!(udp_port(&frame), Some(4870));
        let v4 = Ends { addresses: (ip("192.0.2.1"), ip("192.0.2.2")), ..ends };
        let frame = datagram(&v4, b"odd").unwrap();
        assert_eq!((checksum(&[&frame[14..34]]), udp_port(&frame)), (0, Some(4870)));
    }
}
