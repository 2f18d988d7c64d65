//! The site's secret and what is derived from it.

use std::fmt;

use geminus_packet::hash::KEY_WORDS;

use crate::ring::RingKey;

/// The site's secret: 32 bytes, shared by its dispatchers.
#[derive(Clone, PartialEq, Eq)]
pub struct SiteKey([u8; 32]);

impl SiteKey {
    /// A key of these uniformly random bytes.
    pub const fn new(secret: [u8; 32]) -> Self {
        Self(secret)
    }

    /// The words that key the flow hash of the data plane.
    pub fn flow_hash_words(&self) -> [u64; KEY_WORDS] {
        let mut hasher = blake3::Hasher::new_derive_key("geminus 2026-01 flow hash of the data plane");
        hasher.update(&self.0);
        let mut bytes = [0; KEY_WORDS * 8];
        hasher.finalize_xof().fill(&mut bytes);
        let mut words = [0; KEY_WORDS];
        for (word, bytes) in words.iter_mut().zip(bytes.chunks_exact(8)) {
            *word = bytes.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte));
        }
        words
    }

    /// The key that places servers on rings.
    pub fn ring_key(&self) -> RingKey {
        RingKey::from_site_key(&self.0)
    }
}

impl fmt::Debug for SiteKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SiteKey(..)")
    }
}
