//! UDP datagrams as they stand in a frame: read from what a packet socket gives, made for one that takes whole packets.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use geminus_core::neighbour::Mac;

const ETHERNET: usize = 14;
const ETHERTYPE: std::ops::Range<usize> = 12..14;
/// EtherType of IPv4.
pub(super) const IPV4: u16 = 0x0800;
/// EtherType of IPv6.
pub(super) const IPV6: u16 = 0x86dd;
const IPV4_HEADER: usize = 20;
const IPV6_HEADER: usize = 40;
const UDP: u8 = 17;
const UDP_HEADER: usize = 8;
/// What partners send with: whatever comes with it has passed no router.
pub(super) const TTL: u8 = 255;
/// Class selector 6: network control (RFC 4594).
pub(super) const TRAFFIC_CLASS: u8 = 0xc0;

/// A datagram that came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Datagram<'a> {
    /// Hardware address of who sent the frame.
    pub(super) mac: Mac,
    /// Address of the sender.
    pub(super) from: IpAddr,
    /// Address of the receiver.
    pub(super) to: IpAddr,
    /// Whether no router was on its way.
    pub(super) same_link: bool,
    /// What it carries.
    pub(super) payload: &'a [u8],
}

/// Reads a frame with a datagram from and to this port; none if it holds anything else.
pub(super) fn read(frame: &[u8], port: u16) -> Option<Datagram<'_>> {
    let mac = Mac(frame.get(6..12)?.try_into().ok()?);
    let packet = frame.get(ETHERNET..)?;
    let ethertype = u16::from_be_bytes(frame.get(ETHERTYPE)?.try_into().ok()?);
    let (from, to, ttl, udp) = match ethertype {
        IPV4 => ipv4(packet)?,
        IPV6 => ipv6(packet)?,
        _ => return None,
    };
    let word = |at: usize| Some(u16::from_be_bytes(udp.get(at..at + 2)?.try_into().ok()?));
    if word(0)? != port || word(2)? != port {
        return None;
    }
    let payload = udp.get(UDP_HEADER..usize::from(word(4)?))?;
    Some(Datagram { mac, from, to, same_link: ttl == TTL, payload })
}

type Packet<'a> = (IpAddr, IpAddr, u8, &'a [u8]);

fn ipv4(packet: &[u8]) -> Option<Packet<'_>> {
    let header = packet.first_chunk::<IPV4_HEADER>()?;
    let fragment = u16::from_be_bytes([header[6], header[7]]) & 0x3fff;
    if header[0] != 0x45 || header[9] != UDP || fragment != 0 {
        return None;
    }
    let length = usize::from(u16::from_be_bytes([header[2], header[3]]));
    let address = |at: usize| Ipv4Addr::new(header[at], header[at + 1], header[at + 2], header[at + 3]);
    Some((address(12).into(), address(16).into(), header[8], packet.get(IPV4_HEADER..length)?))
}

fn ipv6(packet: &[u8]) -> Option<Packet<'_>> {
    let header = packet.first_chunk::<IPV6_HEADER>()?;
    if header[0] >> 4 != 6 || header[6] != UDP {
        return None;
    }
    let length = IPV6_HEADER + usize::from(u16::from_be_bytes([header[4], header[5]]));
    let address = |at: usize| Some(Ipv6Addr::from(<[u8; 16]>::try_from(header.get(at..at + 16)?).ok()?));
    Some((address(8)?.into(), address(24)?.into(), header[7], packet.get(IPV6_HEADER..length)?))
}

/// The packet with a datagram from and to this port, and its EtherType; none where the families differ.
pub(super) fn packet(from: IpAddr, to: IpAddr, port: u16, payload: &[u8]) -> Option<(u16, Vec<u8>)> {
    let length = u16::try_from(UDP_HEADER + payload.len()).ok()?;
    let mut udp = Vec::with_capacity(usize::from(length));
    for word in [port, port, length, 0] {
        udp.extend(word.to_be_bytes());
    }
    udp.extend(payload);
    match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            let total = u16::try_from(IPV4_HEADER + udp.len()).ok()?;
            let mut packet = vec![0x45, TRAFFIC_CLASS];
            packet.extend(total.to_be_bytes());
            // No identification, and not to be fragmented.
            packet.extend([0, 0, 0x40, 0, TTL, UDP, 0, 0]);
            packet.extend(from.octets());
            packet.extend(to.octets());
            let sum = checksum(&[&packet]).to_be_bytes();
            packet[10..12].copy_from_slice(&sum);
            // The UDP checksum is left out, as RFC 768 allows: the tag says more.
            packet.extend(udp);
            Some((IPV4, packet))
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            let pseudo = u32::from(length).to_be_bytes();
            let sum = checksum(&[&from.octets(), &to.octets(), &pseudo, &[0, 0, 0, UDP], &udp]);
            // 0 would say that there is none (RFC 8200 section 8.1).
            let sum = if sum == 0 { 0xffff } else { sum };
            udp[6..8].copy_from_slice(&sum.to_be_bytes());
            let mut packet = vec![0x60 | TRAFFIC_CLASS >> 4, TRAFFIC_CLASS << 4, 0, 0];
            packet.extend(length.to_be_bytes());
            packet.extend([UDP, TTL]);
            packet.extend(from.octets());
            packet.extend(to.octets());
            packet.extend(udp);
            Some((IPV6, packet))
        }
        _ => None,
    }
}

/// The internet checksum (RFC 1071) of parts that each but the last have an even length.
pub(super) fn checksum(parts: &[&[u8]]) -> u16 {
    let words = parts.iter().flat_map(|part| part.chunks(2));
    let sum: u32 =
        words.map(|pair| u32::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]))).sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    !(((folded & 0xffff) + (folded >> 16)) as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PORT: u16 = 4870;
    const MAC: Mac = Mac([2, 0, 0, 0, 0, 7]);

    fn ends() -> [(IpAddr, IpAddr); 2] {
        let v6 = |last| IpAddr::from(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, last));
        [(Ipv4Addr::new(198, 51, 100, 11).into(), Ipv4Addr::new(198, 51, 100, 12).into()), (v6(1), v6(2))]
    }

    fn frame(from: IpAddr, to: IpAddr, payload: &[u8]) -> Vec<u8> {
        let (ethertype, packet) = packet(from, to, PORT, payload).expect("one family");
        [&[0xff; 6][..], &MAC.0, &ethertype.to_be_bytes(), &packet].concat()
    }

    #[test]
    fn what_is_made_is_read_back_whatever_pads_it() {
        for (from, to) in ends() {
            for payload in [&b"a heartbeat"[..], b"", &[7; 984]] {
                let mut frame = frame(from, to, payload);
                frame.extend([0; 18]);
                let expected = Datagram { mac: MAC, from, to, same_link: true, payload };
                assert_eq!(read(&frame, PORT), Some(expected));
            }
        }
    }

    #[test]
    fn a_frame_cut_anywhere_is_no_datagram() {
        for (from, to) in ends() {
            let frame = frame(from, to, b"a heartbeat");
            for end in 0..frame.len() {
                assert_eq!(read(&frame[..end], PORT), None, "cut at {end}");
            }
        }
    }

    #[test]
    fn another_port_fragments_and_options_are_not_read() {
        let [(from, to), _] = ends();
        let good = frame(from, to, b"a heartbeat");
        assert_eq!(read(&good, PORT + 1), None);
        for (at, value) in [(ETHERNET, 0x46), (ETHERNET + 6, 0x20), (ETHERNET + 7, 1), (ETHERNET + 9, 6)] {
            let mut bad = good.clone();
            bad[at] = value;
            assert_eq!(read(&bad, PORT), None, "byte {at}");
        }
    }

    #[test]
    fn checksums_of_ours_sum_to_zero() {
        let [_, (from, to)] = ends();
        let (_, packet) = packet(from, to, PORT, b"odd").expect("one family");
        let length = [0, 0, packet[4], packet[5]];
        let sum = checksum(&[&packet[8..40], &length, &[0, 0, 0, UDP], &packet[40..]]);
        assert_eq!(sum, 0);
        let [(from, to), _] = ends();
        let (_, packet) = super::packet(from, to, PORT, b"odd").expect("one family");
        assert_eq!(checksum(&[&packet[..20]]), 0);
    }

    #[test]
    fn what_a_router_passed_on_is_told_from_what_it_did_not() {
        let [(from, to), _] = ends();
        let mut frame = frame(from, to, b"far");
        frame[ETHERNET + 8] -= 1;
        assert_eq!(read(&frame, PORT).map(|datagram| datagram.same_link), Some(false));
    }
}
