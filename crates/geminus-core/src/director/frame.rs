//! The few frames that a dispatcher speaks and hears for itself: ARP and neighbour discovery.
//!
//! All frames are untagged Ethernet. Fields are in network byte order.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::neighbour::{Evidence, Mac};

/// Who claims which address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim {
    /// The address.
    pub address: IpAddr,
    /// The hardware address that goes with it.
    pub mac: Mac,
    /// How good the claim is.
    pub evidence: Evidence,
}

const ETHERTYPE_ARP: [u8; 2] = [0x08, 0x06];
const ETHERTYPE_IPV6: [u8; 2] = [0x86, 0xdd];
/// Ethernet, IPv4, 6-byte and 4-byte addresses (RFC 826).
const ARP_FIXED: [u8; 6] = [0x00, 0x01, 0x08, 0x00, 6, 4];
const ARP_REQUEST: u8 = 1;
const ARP_REPLY: u8 = 2;
const ICMPV6: u8 = 58;
const SOLICITATION: u8 = 135;
const ADVERTISEMENT: u8 = 136;
const OPTION_SOURCE_LINK: u8 = 1;
const OPTION_TARGET_LINK: u8 = 2;
/// The override flag of an advertisement (RFC 4861, 4.4).
const OVERRIDE: u8 = 0x20;
/// The flag of an answer to a question (likewise).
const SOLICITED: u8 = 0x40;
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
const ALL_NODES_MAC: Mac = Mac([0x33, 0x33, 0, 0, 0, 1]);
const ETHERNET: usize = 14;
const IPV6: usize = 40;
/// Type, code, checksum, flags, target and one link-layer address option.
const ND: usize = 32;

/// Asks `target` for its hardware address: an ARP request, or a neighbour solicitation with a source link-layer option.
///
/// `to` asks one host only (to see whether it is still there); none asks all. None if `source` is of another family.
pub fn question(source: IpAddr, source_mac: Mac, target: IpAddr, to: Option<Mac>) -> Option<Vec<u8>> {
    match (source, target) {
        (IpAddr::V4(source), IpAddr::V4(target)) => {
            let sender = (source_mac, source);
            Some(arp(ARP_REQUEST, to.unwrap_or(Mac::BROADCAST), sender, (Mac([0; 6]), target)))
        }
        (IpAddr::V6(source), IpAddr::V6(target)) => {
            let (mac, destination) = match to {
                Some(mac) => (mac, target),
                None => solicited_node(target),
            };
            let ip = (source, destination);
            Some(nd(SOLICITATION, 0, (mac, source_mac), ip, target, OPTION_SOURCE_LINK))
        }
        _ => None,
    }
}

/// Tells the link that `address` is at `mac`: gratuitous ARP in both its forms (some hosts heed only one), or an
/// unsolicited advertisement with the override flag to all nodes (RFC 4861, 7.2.6).
pub fn announcement(address: IpAddr, mac: Mac) -> Vec<Vec<u8>> {
    match address {
        IpAddr::V4(address) => {
            let sender = (mac, address);
            vec![
                arp(ARP_REQUEST, Mac::BROADCAST, sender, (Mac([0; 6]), address)),
                arp(ARP_REPLY, Mac::BROADCAST, sender, (Mac::BROADCAST, address)),
            ]
        }
        IpAddr::V6(address) => {
            let ip = (address, ALL_NODES);
            vec![nd(ADVERTISEMENT, OVERRIDE, (ALL_NODES_MAC, mac), ip, address, OPTION_TARGET_LINK)]
        }
    }
}

/// What a received frame claims, if it is an ARP packet or a sound neighbour advertisement.
pub fn claim(frame: &[u8]) -> Option<Claim> {
    match frame.get(12..ETHERNET)? {
        kind if kind == ETHERTYPE_ARP => arp_claim(frame.get(ETHERNET..)?),
        kind if kind == ETHERTYPE_IPV6 => {
            let sender = Mac(frame.get(6..12)?.try_into().ok()?);
            advertisement_claim(frame.get(ETHERNET..)?, sender)
        }
        _ => None,
    }
}

fn arp(operation: u8, to: Mac, sender: (Mac, Ipv4Addr), target: (Mac, Ipv4Addr)) -> Vec<u8> {
    let mut frame = Vec::with_capacity(42);
    frame.extend(to.0);
    frame.extend(sender.0.0);
    frame.extend(ETHERTYPE_ARP);
    frame.extend(ARP_FIXED);
    frame.extend([0, operation]);
    for (mac, address) in [sender, target] {
        frame.extend(mac.0);
        frame.extend(address.octets());
    }
    frame
}

fn nd(
    kind: u8,
    flags: u8,
    (to, from): (Mac, Mac),
    (source, destination): (Ipv6Addr, Ipv6Addr),
    target: Ipv6Addr,
    option: u8,
) -> Vec<u8> {
    let mut message = vec![kind, 0, 0, 0, flags, 0, 0, 0];
    message.extend(target.octets());
    message.extend([option, 1]);
    message.extend(from.0);
    let sum = icmpv6_checksum(source, destination, &message).to_be_bytes();
    message[2..4].copy_from_slice(&sum);

    let mut frame = Vec::with_capacity(ETHERNET + IPV6 + ND);
    frame.extend(to.0);
    frame.extend(from.0);
    frame.extend(ETHERTYPE_IPV6);
    // Version 6, payload length, next header, hop limit 255 (a router on the way would have lowered it).
    frame.extend([0x60, 0, 0, 0, 0, ND as u8, ICMPV6, 255]);
    frame.extend(source.octets());
    frame.extend(destination.octets());
    frame.extend(message);
    frame
}

/// The solicited-node multicast group of an address and its Ethernet address (RFC 4291, 2.7.1; RFC 2464, 7).
fn solicited_node(target: Ipv6Addr) -> (Mac, Ipv6Addr) {
    let [.., a, b, c] = target.octets();
    let low = u16::from_be_bytes([b, c]);
    let group = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00 | u16::from(a), low);
    (Mac([0x33, 0x33, 0xff, a, b, c]), group)
}

/// RFC 4443, 2.3: the one's complement sum over the pseudo-header and the message.
fn icmpv6_checksum(source: Ipv6Addr, destination: Ipv6Addr, message: &[u8]) -> u16 {
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX).to_be_bytes();
    let pseudo = [&source.octets()[..], &destination.octets(), &length, &[0, 0, 0, ICMPV6]];
    let words = pseudo.into_iter().chain([message]).flat_map(|part| part.chunks(2));
    let sum: u32 =
        words.map(|pair| u32::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]))).sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    !(((folded & 0xffff) + (folded >> 16)) as u16)
}

fn arp_claim(packet: &[u8]) -> Option<Claim> {
    let packet = packet.get(..28)?;
    let operation = packet[7];
    if packet[..6] != ARP_FIXED || packet[6] != 0 || !matches!(operation, ARP_REQUEST | ARP_REPLY) {
        return None;
    }
    let mac = Mac(packet[8..14].try_into().ok()?);
    let address = Ipv4Addr::from(<[u8; 4]>::try_from(&packet[14..18]).ok()?);
    let usable = !address.is_unspecified() && mac.is_host();
    usable.then_some(Claim { address: address.into(), mac, evidence: Evidence::Reply })
}

/// The checks are those of RFC 4861, 7.1.2. Whoever was asked alone may leave the option away (7.2.4, Linux does): the
/// question has reached it, so the frame's `sender` is who has the address.
fn advertisement_claim(packet: &[u8], sender: Mac) -> Option<Claim> {
    let header = packet.get(..IPV6)?;
    let length = usize::from(u16::from_be_bytes([header[4], header[5]]));
    let message = packet.get(IPV6..IPV6 + length)?;
    if header[0] >> 4 != 6 || header[6] != ICMPV6 || header[7] != 255 || message.len() < 24 {
        return None;
    }
    let address = |at: usize| Some(Ipv6Addr::from(<[u8; 16]>::try_from(header.get(at..at + 16)?).ok()?));
    let sound = icmpv6_checksum(address(8)?, address(24)?, message) == 0;
    if message[0] != ADVERTISEMENT || message[1] != 0 || !sound {
        return None;
    }
    let target = Ipv6Addr::from(<[u8; 16]>::try_from(&message[8..24]).ok()?);
    let answers_us = message[4] & SOLICITED != 0 && !address(24)?.is_multicast();
    let (mac, evidence) = match link_layer_option(&message[24..])? {
        Some(mac) if message[4] & OVERRIDE != 0 => (mac, Evidence::Reply),
        Some(mac) => (mac, Evidence::Advice),
        None if answers_us => (sender, Evidence::Confirmed),
        None => return None,
    };
    let usable = !target.is_multicast() && mac.is_host();
    usable.then_some(Claim { address: target.into(), mac, evidence })
}

/// The target link-layer address option, if there is one; options count their length in units of 8 bytes, and 0 is
/// malformed, which makes none of the whole.
fn link_layer_option(mut options: &[u8]) -> Option<Option<Mac>> {
    let mut found = None;
    while !options.is_empty() {
        let length = usize::from(*options.get(1)?) * 8;
        let option = options.get(..length).filter(|option| !option.is_empty())?;
        if option[0] == OPTION_TARGET_LINK && length == 8 {
            found = Some(Mac(option[2..8].try_into().ok()?));
        }
        options = &options[length..];
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: Mac = Mac([2, 0, 0, 0, 0, 1]);
    const THEIRS: Mac = Mac([2, 0, 0, 0, 0, 2]);

    fn v4(last: u8) -> IpAddr {
        Ipv4Addr::new(198, 51, 100, last).into()
    }

    fn v6(last: u16) -> IpAddr {
        Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0x12, last).into()
    }

    #[test]
    fn an_arp_request_has_the_bytes_of_rfc_826() {
        let frame = question(v4(11), OURS, v4(21), None).expect("same family");
        let expected = [
            &[0xff; 6][..],
            &OURS.0,
            &[8, 6, 0, 1, 8, 0, 6, 4, 0, 1],
            &OURS.0,
            &[198, 51, 100, 11],
            &[0; 6],
            &[198, 51, 100, 21],
        ];
        assert_eq!(frame, expected.concat());
    }

    #[test]
    fn a_solicitation_goes_to_the_solicited_node_group_with_hop_limit_255() {
        let frame = question(v6(1), OURS, v6(0x3456), None).expect("same family");
        assert_eq!(frame[..6], [0x33, 0x33, 0xff, 0x12, 0x34, 0x56]);
        assert_eq!(frame[21], 255);
        assert_eq!(frame[38..54], Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff12, 0x3456).octets());
        assert_eq!(frame[54], SOLICITATION);
        assert_eq!(frame.len(), 86);
    }

    #[test]
    fn a_checksum_of_ours_sums_to_zero() {
        let frame = question(v6(1), OURS, v6(2), Some(THEIRS)).expect("same family");
        let (Ok(source), Ok(destination)) =
            (<[u8; 16]>::try_from(&frame[22..38]), <[u8; 16]>::try_from(&frame[38..54]))
        else {
            panic!("addresses are 16 bytes")
        };
        assert_eq!(icmpv6_checksum(source.into(), destination.into(), &frame[54..]), 0);
        assert_eq!(frame[..6], THEIRS.0);
    }

    #[test]
    fn a_known_neighbour_checksum_is_reproduced() {
        // A solicitation captured from Linux: fe80::1 asks for fe80::2, source link-layer option 02:00:00:00:00:01.
        let source: Ipv6Addr = "fe80::1".parse().expect("an address");
        let target: Ipv6Addr = "fe80::2".parse().expect("an address");
        let frame = question(source.into(), OURS, target.into(), None).expect("same family");
        let sum: u32 =
            0xfe80 + 1 + 0xff02 + 1 + 0xff00 + 2 + 32 + 58 + 0x8700 + 0xfe80 + 2 + 0x0101 + 0x0200 + 1;
        let folded = (sum & 0xffff) + (sum >> 16);
        assert_eq!(u16::from_be_bytes([frame[56], frame[57]]), !(folded as u16));
    }

    #[test]
    fn families_are_not_mixed() {
        assert_eq!(question(v4(1), OURS, v6(1), None), None);
        assert_eq!(question(v6(1), OURS, v4(1), None), None);
    }

    #[test]
    fn an_announcement_is_heard_as_a_claim_of_the_address() {
        for address in [v4(80), v6(80)] {
            for frame in announcement(address, THEIRS) {
                let expected = Claim { address, mac: THEIRS, evidence: Evidence::Reply };
                assert_eq!(claim(&frame), Some(expected));
            }
        }
        assert_eq!(announcement(v4(80), OURS).len(), 2);
        assert_eq!(announcement(v6(80), OURS)[0][58], OVERRIDE);
    }

    #[test]
    fn an_advertisement_without_override_is_only_advice() {
        let IpAddr::V6(address) = v6(80) else { panic!("v6") };
        let ip = (address, ALL_NODES);
        let frame = nd(ADVERTISEMENT, 0, (ALL_NODES_MAC, THEIRS), ip, address, OPTION_TARGET_LINK);
        assert_eq!(claim(&frame).map(|claim| claim.evidence), Some(Evidence::Advice));
    }

    /// An advertisement without options, as Linux answers a question to it alone.
    fn bare(flags: u8, destination: Ipv6Addr) -> Vec<u8> {
        let IpAddr::V6(address) = v6(80) else { panic!("v6") };
        let mut message = vec![ADVERTISEMENT, 0, 0, 0, flags, 0, 0, 0];
        message.extend(address.octets());
        let sum = icmpv6_checksum(address, destination, &message).to_be_bytes();
        message[2..4].copy_from_slice(&sum);
        let header = [0x60, 0, 0, 0, 0, 24, ICMPV6, 255];
        let ethernet = [&OURS.0[..], &THEIRS.0, &ETHERTYPE_IPV6].concat();
        [&ethernet[..], &header, &address.octets(), &destination.octets(), &message].concat()
    }

    #[test]
    fn an_answer_to_us_alone_needs_no_option_and_says_that_its_sender_has_the_address() {
        let IpAddr::V6(us) = v6(1) else { panic!("v6") };
        let expected = Claim { address: v6(80), mac: THEIRS, evidence: Evidence::Confirmed };
        assert_eq!(claim(&bare(SOLICITED, us)), Some(expected));
        assert_eq!(claim(&bare(0, us)), None, "nobody asked");
        assert_eq!(claim(&bare(SOLICITED, ALL_NODES)), None, "an answer to everybody has the option");
    }

    #[test]
    fn a_frame_cut_anywhere_claims_nothing() {
        for address in [v4(80), v6(80)] {
            for frame in announcement(address, THEIRS) {
                for end in 0..frame.len() {
                    assert_eq!(claim(&frame[..end]), None, "cut at {end}");
                }
            }
        }
    }

    #[test]
    fn an_advertisement_with_any_bit_flipped_in_its_message_claims_nothing() {
        let frame = &announcement(v6(80), THEIRS)[0];
        for bit in ETHERNET * 8 + 32..frame.len() * 8 {
            let mut bad = frame.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(claim(&bad), None, "bit {bit}");
        }
    }

    #[test]
    fn an_option_of_length_zero_ends_the_reading() {
        assert_eq!(link_layer_option(&[OPTION_TARGET_LINK, 0, 2, 0, 0, 0, 0, 1]), None);
    }
}
