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
        self.words("geminus 2026-01 flow hash of the data plane")
    }

    /// The words that mark a frame which the program is only asked about.
    pub fn question_mark(&self) -> [u64; 2] {
        self.words("geminus 2026-01 mark of a frame that is only asked about")
    }

    fn words<const N: usize>(&self, context: &str) -> [u64; N] {
        let mut hasher = blake3::Hasher::new_derive_key(context);
        hasher.update(&self.0);
        let mut stream = hasher.finalize_xof();
        let mut words = [0; N];
        for word in &mut words {
            let mut bytes = [0; 8];
            stream.fill(&mut bytes);
            *word = u64::from_le_bytes(bytes);
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
