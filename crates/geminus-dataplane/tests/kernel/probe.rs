//! The way of checks in the kernel: what leaves is to the byte what a client would send, what comes back is what the server
//! would have sent from its own address.

use std::net::IpAddr;

use geminus_dataplane::{Probes, Slot};
use geminus_fixtures::checksum;
use geminus_fixtures::frame::{ACK, IPV4, IPV6, SYN, Tcp, Udp, V4, V6, VLAN, ethernet, tagged};
use geminus_packet::probe::{Asked, Note, Over, SLOTS};

const NODE_MAC: [u8; 6] = [2, 0, 0, 0, 0, 11];
const KERNELS_MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
const TABLES_MAC: [u8; 6] = [2, 0, 0, 0, 0, 21];

const NODE4: [u8; 4] = [198, 51, 100, 11];
const SERVER4: [u8; 4] = [198, 51, 100, 21];
const SHOP4: [u8; 4] = [198, 51, 100, 80];
const NODE6: [u8; 16] = [0x20, 1, 0x0d, 0xb8, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x11];
const SERVER6: [u8; 16] = [0x20, 1, 0x0d, 0xb8, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x21];
const SHOP6: [u8; 16] = [0x20, 1, 0x0d, 0xb8, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0x80];

/// What a check says, in both families.
#[derive(Clone, Copy)]
enum Says {
    Tcp,
    Udp,
    UdpWithoutChecksum,
    Echo,
}

const ALL: [Says; 4] = [Says::Tcp, Says::Udp, Says::UdpWithoutChecksum, Says::Echo];
const OWN: u16 = 40_123;
const PORT: u16 = 443;

impl Says {
    const fn over(self) -> Over {
        match self {
            Self::Tcp => Over::Tcp(PORT),
            Self::Udp | Self::UdpWithoutChecksum => Over::Udp(PORT),
            Self::Echo => Over::Echo,
        }
    }

    /// Our packet to `host`, or its answer.
    fn packet(self, host: IpAddr, is_answer: bool) -> (u16, Vec<u8>) {
        let (source, destination) = if is_answer { (PORT, OWN) } else { (OWN, PORT) };
        let tcp = Tcp::new(source, destination, if is_answer { SYN | ACK } else { SYN });
        let udp = Udp { payload: b"odd".to_vec(), ..Udp::new(source, destination) };
        let echo = [&OWN.to_be_bytes()[..], &[0, 7, 1, 2, 3]].concat();
        match host {
            IpAddr::V4(host) => {
                let (from, to) = if is_answer { (host.octets(), NODE4) } else { (NODE4, host.octets()) };
                let ip = V4::new(from, to);
                let packet = match self {
                    Self::Tcp => ip.tcp(&tcp),
                    Self::Udp => ip.udp(&udp),
                    Self::UdpWithoutChecksum => {
                        let mut packet = ip.udp(&udp);
                        packet[26..28].fill(0);
                        packet
                    }
                    Self::Echo => ip.icmp(if is_answer { 0 } else { 8 }, 0, &echo),
                };
                (IPV4, packet)
            }
            IpAddr::V6(host) => {
                let (from, to) = if is_answer { (host.octets(), NODE6) } else { (NODE6, host.octets()) };
                let ip = V6::new(from, to);
                let packet = match self {
                    Self::Tcp => ip.tcp(&tcp),
                    // A checksum of 0 is not allowed over IPv6.
                    Self::Udp | Self::UdpWithoutChecksum => ip.udp(&udp),
                    Self::Echo => ip.icmp(if is_answer { 129 } else { 128 }, 0, &echo),
                };
                (IPV6, packet)
            }
        }
    }

    fn leaving(self, host: IpAddr, mac: [u8; 6]) -> Vec<u8> {
        let (kind, packet) = self.packet(host, false);
        ethernet(mac, NODE_MAC, kind, &packet)
    }

    fn coming(self, host: IpAddr) -> Vec<u8> {
        let (kind, packet) = self.packet(host, true);
        ethernet(NODE_MAC, TABLES_MAC, kind, &packet)
    }
}

fn families() -> [(IpAddr, IpAddr); 2] {
    [(SERVER4.into(), SHOP4.into()), (SERVER6.into(), SHOP6.into())]
}

fn probes() -> Probes {
    Probes::load().unwrap_or_else(|error| panic!("{error}"))
}

fn slot(probes: &Probes, says: Says, server: IpAddr, cluster: IpAddr, mac: Option<[u8; 6]>) -> Slot {
    let source: IpAddr = if cluster.is_ipv4() { NODE4.into() } else { NODE6.into() };
    let source = (server.is_ipv4() != cluster.is_ipv4()).then_some(source);
    let asked = Asked { server, cluster, source, over: says.over(), mac };
    probes.slots().take(&asked).expect("a slot is free")
}

/// Servers with cluster addresses of the other family.
fn crossed() -> [(IpAddr, IpAddr); 2] {
    [(SERVER4.into(), SHOP6.into()), (SERVER6.into(), SHOP4.into())]
}

/// The same frame as one that was never one of IPv4, where it is one of IPv4 now: without a number of its own.
fn unnumbered(mut frame: Vec<u8>) -> Vec<u8> {
    if frame[12..14] == IPV4.to_be_bytes() {
        frame[18..20].fill(0);
        frame[24..26].fill(0);
        let checksum = checksum::of(&frame[14..34]);
        frame[24..26].copy_from_slice(&checksum);
    }
    frame
}

/// `TC_ACT_UNSPEC`: to whoever is next.
const NEXT: u32 = u32::MAX;
/// `TC_ACT_SHOT`: to nobody.
const DROP: u32 = 2;

fn out(probes: &Probes, frame: &[u8], mark: u32) -> Vec<u8> {
    let ran = probes.run_out(frame, mark).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(ran.action, NEXT);
    ran.frame
}

fn back(probes: &Probes, frame: &[u8]) -> Vec<u8> {
    let ran = probes.run_in(frame).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(ran.action, NEXT);
    ran.frame
}

#[test]
fn a_check_leaves_as_a_clients_packet_and_its_answer_comes_back_as_the_servers() {
    let probes = probes();
    for (server, cluster) in families() {
        for says in ALL {
            let slot = slot(&probes, says, server, cluster, Some(TABLES_MAC));
            let left = out(&probes, &says.leaving(server, KERNELS_MAC), slot.mark());
            assert_eq!(left, says.leaving(cluster, TABLES_MAC), "{cluster} {:?}", says.over());
            let came = back(&probes, &says.coming(cluster));
            assert_eq!(came, says.coming(server), "{server} {:?}", says.over());
            assert_eq!(slot.counted(), [1, 1]);
        }
    }
}

#[test]
fn a_late_packet_of_the_check_before_goes_nowhere_and_changes_nothing() {
    let probes = probes();
    for (server, cluster) in families().into_iter().chain(crossed()) {
        let slot = slot(&probes, Says::Tcp, server, cluster, Some(TABLES_MAC));
        out(&probes, &Says::Tcp.leaving(server, KERNELS_MAC), slot.mark());
        let mut late = Says::Tcp.leaving(server, KERNELS_MAC);
        let port_at = if server.is_ipv4() { 34 } else { 54 };
        late[port_at + 1] ^= 1;
        let ran = probes.run_out(&late, slot.mark()).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(ran.action, DROP, "{server} by {cluster}");
        let came = back(&probes, &Says::Tcp.coming(cluster));
        assert_ne!(came, Says::Tcp.coming(cluster), "the check's answer is known yet");
        assert_eq!(slot.counted(), [1, 1]);
    }
}

#[test]
fn a_check_leaves_in_the_clusters_family_and_its_answer_comes_back_in_the_servers() {
    let probes = probes();
    for (server, cluster) in crossed() {
        for says in [Says::Tcp, Says::Udp, Says::Echo] {
            let slot = slot(&probes, says, server, cluster, Some(TABLES_MAC));
            let left = out(&probes, &says.leaving(server, KERNELS_MAC), slot.mark());
            assert_eq!(left, unnumbered(says.leaving(cluster, TABLES_MAC)), "{cluster} {:?}", says.over());
            let came = back(&probes, &says.coming(cluster));
            assert_eq!(came, unnumbered(says.coming(server)), "{server} {:?}", says.over());
            assert_eq!(slot.counted(), [1, 1]);
        }
    }
}

#[test]
fn a_datagram_without_a_checksum_does_not_leave_in_a_family_that_demands_one() {
    let probes = probes();
    let [(server, cluster), _] = crossed();
    let slot = slot(&probes, Says::Udp, server, cluster, None);
    let frame = Says::UdpWithoutChecksum.leaving(server, KERNELS_MAC);
    let ran = probes.run_out(&frame, slot.mark()).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(ran.action, DROP);
}

#[test]
fn an_answer_in_the_other_family_that_is_none_passes_as_it_is() {
    let probes = probes();
    for (server, cluster) in crossed() {
        for says in [Says::Tcp, Says::Udp, Says::Echo] {
            let slot = slot(&probes, says, server, cluster, Some(TABLES_MAC));
            let unasked = says.coming(cluster);
            assert_eq!(back(&probes, &unasked), unasked, "nothing was asked yet");
            out(&probes, &says.leaving(server, KERNELS_MAC), slot.mark());
            let own = says.coming(server);
            assert_eq!(back(&probes, &own), own, "a packet of the socket's own family");
            let mut elsewhere = says.coming(cluster);
            let last = if cluster.is_ipv4() { 33 } else { 53 };
            elsewhere[last] += 1;
            assert_eq!(back(&probes, &elsewhere), elsewhere, "to another address of ours");
            assert_eq!((slot.counted(), slot.has(Note::OwnName)), ([1, 0], false));
        }
    }
}

#[test]
fn an_answer_of_the_servers_host_in_another_name_reaches_nobody_and_is_noted() {
    let probes = probes();
    for (server, cluster) in crossed() {
        let own = if cluster.is_ipv4() { SERVER4.into() } else { IpAddr::from(SERVER6) };
        for says in [Says::Tcp, Says::Udp, Says::Echo] {
            let slot = slot(&probes, says, server, cluster, Some(TABLES_MAC));
            out(&probes, &says.leaving(server, KERNELS_MAC), slot.mark());
            let mut strangers = says.coming(own);
            strangers[11] += 1;
            assert_eq!(back(&probes, &strangers), strangers, "of another host");
            assert!(!slot.has(Note::OwnName));
            let ran = probes.run_in(&says.coming(own)).unwrap_or_else(|error| panic!("{error}"));
            assert_eq!((ran.action, slot.has(Note::OwnName)), (DROP, true), "{:?}", says.over());
        }
    }
}

#[test]
fn without_a_known_hardware_address_the_kernels_own_stays() {
    let probes = probes();
    for (server, cluster) in families() {
        let slot = slot(&probes, Says::Tcp, server, cluster, None);
        let left = out(&probes, &Says::Tcp.leaving(server, KERNELS_MAC), slot.mark());
        assert_eq!(left, Says::Tcp.leaving(cluster, KERNELS_MAC));
    }
}

#[test]
fn what_is_no_check_is_not_touched() {
    let probes = probes();
    for (server, cluster) in families() {
        for says in ALL {
            let frame = says.leaving(server, KERNELS_MAC);
            let slot = slot(&probes, says, server, cluster, Some(TABLES_MAC));
            for mark in [0, 1, slot.mark() & 0xffff, slot.mark() + 1, 0x4745_ffff] {
                assert_eq!(out(&probes, &frame, mark), frame, "mark {mark:#x}");
            }
            let elsewhere = says.leaving(cluster, KERNELS_MAC);
            assert_eq!(out(&probes, &elsewhere, slot.mark()), elsewhere, "to another than the server");
            let in_vlan = tagged(&frame, &[(VLAN, 7)]);
            assert_eq!(out(&probes, &in_vlan, slot.mark()), in_vlan);
            let unasked = says.coming(cluster);
            assert_eq!(back(&probes, &unasked), unasked, "nothing was asked yet");
            out(&probes, &frame, slot.mark());
            drop(slot);
            assert_eq!(out(&probes, &frame, 0x4745_0000), frame, "the slot was given back");
            assert_eq!(back(&probes, &unasked), unasked, "an answer that comes too late");
        }
    }
}

#[test]
fn fragments_options_and_frames_cut_short_pass_as_they_are() {
    let probes = probes();
    let (server, cluster) = families()[0];
    let slot = slot(&probes, Says::Tcp, server, cluster, Some(TABLES_MAC));
    let whole = Says::Tcp.leaving(server, KERNELS_MAC);
    for end in [34, 36, 37] {
        assert_eq!(out(&probes, &whole[..end], slot.mark()), whole[..end], "cut at {end}");
    }
    let segment = Tcp::new(OWN, PORT, SYN);
    for strange in [
        V4 { fragment: 0x2000, ..V4::new(NODE4, SERVER4) }.tcp(&segment),
        V4 { fragment: 0x0010, ..V4::new(NODE4, SERVER4) }.tcp(&segment),
        V4 { options: vec![0x94, 4, 0, 0], ..V4::new(NODE4, SERVER4) }.tcp(&segment),
    ] {
        let frame = ethernet(KERNELS_MAC, NODE_MAC, IPV4, &strange);
        assert_eq!(out(&probes, &frame, slot.mark()), frame);
    }
}

#[test]
fn an_answer_in_the_servers_own_name_reaches_nobody_and_is_noted() {
    let probes = probes();
    for (server, cluster) in families() {
        for says in ALL {
            let slot = slot(&probes, says, server, cluster, None);
            out(&probes, &says.leaving(server, KERNELS_MAC), slot.mark());
            let ran = probes.run_in(&says.coming(server)).unwrap_or_else(|error| panic!("{error}"));
            assert_eq!((ran.action, slot.has(Note::OwnName)), (DROP, true), "{:?}", says.over());
        }
    }
}

#[test]
fn a_report_of_what_became_of_a_packet_is_noted_and_passes_as_it_is() {
    let probes = probes();
    let reports = [
        (Note::Refused, [3, 3], [1, 4]),
        (Note::Unreachable, [3, 10], [1, 1]),
        (Note::ForwardedOn, [11, 0], [3, 0]),
    ];
    for (server, cluster) in families().into_iter().chain(crossed()) {
        for (note, [kind4, code4], [kind6, code6]) in reports {
            for says in [Says::Tcp, Says::Udp, Says::Echo] {
                let slot = slot(&probes, says, server, cluster, None);
                out(&probes, &says.leaving(server, KERNELS_MAC), slot.mark());
                let (_, sent) = says.packet(cluster, false);
                let quoted = [&[0; 4][..], &sent].concat();
                let (ip, packet) = match cluster {
                    IpAddr::V4(_) => (IPV4, V4::new(SERVER4, NODE4).icmp(kind4, code4, &quoted)),
                    IpAddr::V6(_) => (IPV6, V6::new(SERVER6, NODE6).icmp(kind6, code6, &quoted)),
                };
                let frame = ethernet(NODE_MAC, TABLES_MAC, ip, &packet);
                assert_eq!(back(&probes, &frame), frame);
                assert!(slot.has(note), "{note:?} of {:?} to {cluster}", says.over());
                let others = reports.iter().filter(|(other, ..)| *other != note && slot.has(*other));
                assert_eq!(others.count(), 0);
            }
        }
    }
}

#[test]
fn slots_are_as_many_as_there_are_and_come_back() {
    let probes = probes();
    let (server, cluster) = families()[0];
    let asked = Asked { server, cluster, source: None, over: Over::Echo, mac: None };
    let mut taken: Vec<_> = std::iter::from_fn(|| probes.slots().take(&asked)).collect();
    assert_eq!(taken.len(), SLOTS as usize);
    let given_back = taken.pop().map(|slot| slot.mark());
    assert_eq!(probes.slots().take(&asked).map(|slot| slot.mark()), given_back);
}

#[test]
fn a_slot_is_taken_again_after_all_that_were_given_back_before() {
    let probes = probes();
    let (server, cluster) = families()[0];
    let asked = Asked { server, cluster, source: None, over: Over::Echo, mac: None };
    let take = || probes.slots().take(&asked).map(|slot| slot.mark());
    let marks: Vec<_> = (0..SLOTS).map(|_| take()).collect();
    assert!(marks.iter().all(Option::is_some));
    assert_eq!((0..SLOTS).map(|_| take()).collect::<Vec<_>>(), marks);
    assert_eq!(marks.iter().collect::<std::collections::HashSet<_>>().len(), SLOTS as usize);
}
