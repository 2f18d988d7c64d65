//! Random frames that look enough like real ones to get far.

use crate::fixture::Fixture;
use crate::frame::{ACK, FIN, IPV4, IPV6, RST, SYN, Tcp, Udp, V4, V6, VLAN, ethernet, tagged};
use crate::ground::{
    CLIENT4, CLIENT6, MAIL4, MAIL6, MEDIA4, MEDIA6, NODE_MAC, PARTNER_MAC, ROUTER_MAC, SHOP4, SHOP6,
};
use crate::twin::{self, Payload};

/// The shortest frame that a kernel hands to a program.
pub const SHORTEST: usize = 14;
/// The longest frame made here.
pub const LONGEST: usize = 1600;

/// Numbers from a seed: SplitMix64 (Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014).
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// The sequence of a seed.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`, which is not 0.
    pub const fn below(&mut self, bound: usize) -> usize {
        ((self.next() >> 32) as usize * bound) >> 32
    }

    /// One of these.
    pub fn one<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }
}

/// Frames made from fixtures and from few 5-tuples, so that flows go on.
#[derive(Debug)]
pub struct Frames {
    models: Vec<Vec<u8>>,
}

impl Frames {
    /// From these fixtures: every frame of each.
    pub fn of(fixtures: &[Fixture]) -> Self {
        let frames = fixtures.iter().map(|fixture| fixture.frame.clone());
        Self { models: frames.filter(|frame| (SHORTEST..=LONGEST).contains(&frame.len())).collect() }
    }

    /// The next frame.
    pub fn next(&self, random: &mut Random) -> Vec<u8> {
        let mut frame = match random.below(32) {
            0..20 => talk(random),
            20 => partners(random),
            _ => self.model(random).to_vec(),
        };
        match random.below(8) {
            0 | 1 => self.mutate(&mut frame, random),
            2 => {
                self.mutate(&mut frame, random);
                self.mutate(&mut frame, random);
            }
            _ => (),
        }
        frame.truncate(LONGEST);
        frame.resize(frame.len().max(SHORTEST), 0);
        frame
    }

    fn model(&self, random: &mut Random) -> &[u8] {
        &self.models[random.below(self.models.len())]
    }

    fn mutate(&self, frame: &mut Vec<u8>, random: &mut Random) {
        // Most of what is decided is decided by the first bytes.
        let reach = if random.below(4) == 0 { frame.len() } else { frame.len().min(80) };
        let at = random.below(reach);
        match random.below(9) {
            0 => frame[at] ^= 1 << random.below(8),
            1 => frame[at] = random.next() as u8,
            2 => frame[at] = random.one(&[0, 1, 2, 4, 5, 6, 17, 43, 44, 58, 60, 127, 128, 254, 255]),
            3 => frame.truncate(at),
            4 => frame.extend(std::iter::repeat_n(random.next() as u8, random.below(64))),
            5 => {
                let other = self.model(random);
                frame.truncate(at);
                frame.extend_from_slice(&other[at.min(other.len())..]);
            }
            6 => {
                let piece: Vec<_> = frame[at..].iter().copied().take(random.below(24)).collect();
                let to = random.below(frame.len());
                frame.splice(to..to, piece);
            }
            7 => {
                let end = (at + random.below(24)).min(frame.len());
                frame.drain(at..end);
            }
            _ => {
                // Lengths that are nearly right are the ones that get far.
                let field = random.one(&[16, 17, 18, 19, 38, 39]).min(frame.len() - 1);
                frame[field] = frame[field].wrapping_add(random.one(&[1, 255, 8, 248]));
            }
        }
        if frame.len() < SHORTEST {
            frame.resize(SHORTEST, 0);
        }
    }
}

/// A frame of a partner's that gets through the gate, mostly.
fn partners(random: &mut Random) -> Vec<u8> {
    let mut payload = random.one(&[Payload::beat, Payload::beat, Payload::probe, Payload::awaited])();
    payload.session = random.one(&[payload.session, payload.session, twin::SESSION, twin::OWN_SESSION, 5, 6]);
    payload.counter = payload.counter.wrapping_add(random.below(4) as u64).wrapping_sub(2);
    if random.below(4) == 0 {
        (payload.key, payload.key_id) = (twin::NEXT_KEY, twin::NEXT_KEY_ID);
    }
    if random.below(8) == 0 {
        payload.kind = random.below(5) as u8;
    }
    if random.below(8) == 0 {
        payload.body.truncate(random.below(120));
    }
    if random.below(2) == 0 { twin::frame4(&payload) } else { twin::frame6(&payload) }
}

/// A packet of one of few flows.
fn talk(random: &mut Random) -> Vec<u8> {
    let flags = random.one(&[SYN, SYN, ACK, ACK, ACK, ACK | 8, FIN | ACK, RST, SYN | ACK]);
    let from = 40_000 + random.below(24) as u16;
    let port = random.one(&[
        80, 80, 81, 82, 83, 84, 85, 86, 87, 88, 1000, 1024, 1032, 1065, 1128, 8001, 8080, 25, 5001, 99,
    ]);
    let client = random.below(6) as u8;
    let tcp = Tcp::new(from, port, flags);
    let udp = Udp::new(from, random.one(&[53, 53, 6000, 6001, 54]));
    let is_udp = random.below(5) == 0;
    let frame = if random.below(2) == 0 {
        let [a, b, c, d] = CLIENT4;
        let source = if random.below(64) == 0 { twin::OWN4 } else { [a, b, c, d + client] };
        let ip = V4::new(source, random.one(&[SHOP4, SHOP4, SHOP4, MAIL4, MEDIA4]));
        ethernet(NODE_MAC, ROUTER_MAC, IPV4, &if is_udp { ip.udp(&udp) } else { ip.tcp(&tcp) })
    } else {
        let mut source = CLIENT6;
        source[15] += client;
        if random.below(64) == 0 {
            source = twin::OWN6;
        }
        let ip = V6::new(source, random.one(&[SHOP6, SHOP6, SHOP6, MAIL6, MEDIA6]));
        ethernet(NODE_MAC, ROUTER_MAC, IPV6, &if is_udp { ip.udp(&udp) } else { ip.tcp(&tcp) })
    };
    let frame = if random.below(16) == 0 { twin::sent_by(PARTNER_MAC, &frame) } else { frame };
    if random.below(16) == 0 { tagged(&frame, &[(VLAN, 7)]) } else { frame }
}
