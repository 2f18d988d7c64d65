//! The site's keyed hash: where a flow lives in the flow table and which ring slot is its own.
//!
//! Each 64-bit word of the input goes through a lane of its own (xor, odd multiply, fold, odd multiply, all keyed), the
//! lanes run side by side and are added, one finish spreads every bit. A lane is a bijection, so two inputs that differ
//! in one word only never meet; inputs that differ in several meet with the odds of a 64-bit hash. Multipliers are
//! secret and differ between lanes, because with public ones the difference of one word can be undone by another
//! without knowing the key. BPF multiplies 64 × 64 → 64 bits and has no rotate, which rules SipHash out at this budget
//! (`docs/design/flow-table.md`).

use crate::word::Word;

/// Lanes: five for an IPv6 flow, two for an IPv4 flow.
pub const LANES: usize = 7;
const V6_PORTS: usize = 4;
const V4_ADDRESSES: usize = 5;
const V4_PORTS: usize = 6;

/// The secret of one lane. Multipliers are odd.
#[repr(C)]
#[derive(Debug, Default)]
pub struct Lane {
    xor: Word,
    first: Word,
    second: Word,
}

/// The site's secret, expanded: 22 words, the same on both dispatchers.
#[repr(C)]
#[derive(Debug, Default)]
pub struct HashKey {
    lanes: [Lane; LANES],
    finish: Word,
}

/// Words of secret a [`HashKey`] is made of.
pub const KEY_WORDS: usize = LANES * 3 + 1;

impl Lane {
    #[inline(always)]
    fn mix(&self, word: u64) -> u64 {
        let x = (word ^ self.xor.load()).wrapping_mul(self.first.load());
        (x ^ (x >> 32)).wrapping_mul(self.second.load())
    }
}

impl HashKey {
    /// Takes [`KEY_WORDS`] uniformly random words; multipliers are made odd here.
    pub fn set(&self, secret: &[u64; KEY_WORDS]) {
        for (lane, words) in self.lanes.iter().zip(secret.chunks_exact(3)) {
            lane.xor.store(words[0]);
            lane.first.store(words[1] | 1);
            lane.second.store(words[2] | 1);
        }
        self.finish.store(secret[KEY_WORDS - 1] | 1);
    }

    #[inline(always)]
    fn spread(&self, sum: u64) -> u64 {
        let x = (sum ^ (sum >> 32)).wrapping_mul(self.finish.load());
        x ^ (x >> 32)
    }

    /// Hash of an IPv4 flow. `addresses`: source and destination as they stand in the header, read as one little-endian
    /// word. `ports`: see [`ports_word`].
    #[inline(always)]
    pub fn v4(&self, addresses: u64, ports: u64) -> u64 {
        self.spread(self.lanes[V4_ADDRESSES].mix(addresses).wrapping_add(self.lanes[V4_PORTS].mix(ports)))
    }

    /// Hash of an IPv6 flow. `addresses`: source and destination as they stand in the header, read as four
    /// little-endian words.
    #[inline(always)]
    pub fn v6(&self, addresses: [u64; 4], ports: u64) -> u64 {
        let mut sum = self.lanes[V6_PORTS].mix(ports);
        sum = sum.wrapping_add(self.lanes[0].mix(addresses[0]));
        sum = sum.wrapping_add(self.lanes[1].mix(addresses[1]));
        sum = sum.wrapping_add(self.lanes[2].mix(addresses[2]));
        sum = sum.wrapping_add(self.lanes[3].mix(addresses[3]));
        self.spread(sum)
    }

    /// Hash of a client of a service: its source prefix (the rest of the address zero) and the service's identity.
    #[inline(always)]
    pub fn client(&self, prefix: [u64; 2], service: u64) -> u64 {
        let sum = self.lanes[0].mix(prefix[0]).wrapping_add(self.lanes[1].mix(prefix[1]));
        self.spread(sum.wrapping_add(self.lanes[V6_PORTS].mix(service)))
    }

    /// Another hash of what has this hash: of two candidates in a ring, the place of the second. A place is made of the upper
    /// half; that of the product depends on the lower half of the hash, of which the first place says nothing.
    #[inline(always)]
    pub fn again(&self, hash: u64) -> u64 {
        self.spread(hash)
    }
}

/// The word that holds a flow's ports and protocol. `ports`: source and destination port as they stand in the header,
/// read as one little-endian word.
#[inline(always)]
pub const fn ports_word(ports: u32, protocol: u8) -> u64 {
    ports as u64 | (protocol as u64) << 32
}
