//! The secrets of the site and of its heartbeats, and what is derived from them.

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
        words(&self.0, context)
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

/// The secret of heartbeats and replication: 32 bytes, shared by partners.
///
/// Every use has a key of its own, so that none says anything of another, nor of the site's key.
#[derive(Clone, PartialEq, Eq)]
pub struct HaKey([u8; 32]);

impl HaKey {
    /// A key of these uniformly random bytes.
    pub const fn new(secret: [u8; 32]) -> Self {
        Self(secret)
    }

    /// The key of a site that has none for heartbeats and replication alone.
    pub fn from_site(key: &SiteKey) -> Self {
        Self(blake3::derive_key("geminus 2026-11 secret of heartbeats and replication", &key.0))
    }

    /// The words that key the gate of every frame between partners: what the program checks.
    pub fn gate_key(&self) -> [u64; 2] {
        words(&self.0, "geminus 2026-11 gate of a frame between partners")
    }

    /// The key of the tag of every heartbeat: what the daemon checks.
    pub fn beat_key(&self) -> [u8; 32] {
        blake3::derive_key("geminus 2026-11 tag of a heartbeat", &self.0)
    }

    /// The secret that both ends of a replication channel know beforehand.
    pub fn replication_psk(&self) -> [u8; 32] {
        blake3::derive_key("geminus 2026-11 replication between partners", &self.0)
    }

    /// What the key is called on the wire and in messages; it tells nothing of the key.
    pub fn id(&self) -> u64 {
        let [id] = words(&self.0, "geminus 2026-11 name of a key");
        id
    }
}

impl fmt::Debug for HaKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HaKey(..)")
    }
}

/// Words derived from a secret for one purpose.
fn words<const N: usize>(secret: &[u8; 32], context: &str) -> [u64; N] {
    let mut hasher = blake3::Hasher::new_derive_key(context);
    hasher.update(secret);
    let mut stream = hasher.finalize_xof();
    let mut words = [0; N];
    for word in &mut words {
        let mut bytes = [0; 8];
        stream.fill(&mut bytes);
        *word = u64::from_le_bytes(bytes);
    }
    words
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const SITE: SiteKey = SiteKey::new([7; 32]);

    /// Every key of a secret, by its first eight bytes.
    fn starts(key: &HaKey) -> Vec<u64> {
        let first =
            |bytes: [u8; 32]| bytes.iter().take(8).rev().fold(0, |word, byte| word << 8 | u64::from(*byte));
        let [one, other] = key.gate_key();
        vec![one, other, first(key.beat_key()), first(key.replication_psk()), key.id(), first(key.0)]
    }

    #[test]
    fn no_two_purposes_share_a_key() {
        let keys = [HaKey::from_site(&SITE), HaKey::new([7; 32]), HaKey::new([8; 32])];
        let mut all: Vec<_> = keys.iter().flat_map(starts).collect();
        all.extend(SITE.flow_hash_words().into_iter().chain(SITE.question_mark()));
        let distinct: BTreeSet<_> = all.iter().collect();
        assert_eq!(distinct.len(), all.len(), "{all:x?}");
    }

    #[test]
    fn a_key_is_the_same_in_every_version() {
        let starts = starts(&HaKey::from_site(&SITE));
        let expected = [
            0x889f_1128_0529_71d9,
            0x8132_bd54_c8cd_8d2e,
            0x9576_2859_6826_ec7b,
            0x69b8_2b0f_1221_3186,
            0x18d7_5441_a548_56b9,
            0xfa94_68d2_3966_1bf6,
        ];
        assert_eq!(starts, expected);
    }

    #[test]
    fn a_secret_is_never_printed() {
        let shown = format!("{SITE:?} {:?}", HaKey::new([7; 32]));
        assert_eq!(shown, "SiteKey(..) HaKey(..)");
    }
}
