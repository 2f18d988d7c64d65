//! The secrets of the site and of its heartbeats, and what is derived from them.

use std::fmt;
use std::net::IpAddr;

use geminus_packet::hash::KEY_WORDS;

use crate::ring::RingKey;

/// What every hardware address of a group begins with: locally administered, and to be recognised in a switch's table.
pub const VIRTUAL_MAC_PREFIX: [u8; 3] = [0x02, 0x47, 0x4d];

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

    /// The hardware address that moves with the clusters of a primary and its backup: locally administered, the same on
    /// both, and another on each site of a link.
    pub fn virtual_mac(&self, primary: &str, backup: &str) -> [u8; 6] {
        let mut hasher = blake3::Hasher::new_derive_key("geminus 2026-11 hardware address of a group");
        hasher.update(&self.0);
        for name in [primary, backup] {
            hasher.update(&(name.len() as u64).to_le_bytes());
            hasher.update(name.as_bytes());
        }
        let [a, b, c, ..] = *hasher.finalize().as_bytes();
        let [first, second, third] = VIRTUAL_MAC_PREFIX;
        [first, second, third, a, b, c]
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

    /// The key of these two partners: what one says to another says nothing to a third.
    pub fn between(&self, one: &str, other: &str) -> PairKey {
        let mut hasher = blake3::Hasher::new_derive_key("geminus 2026-11 secret of two partners");
        hasher.update(&self.0);
        for name in [one.min(other), one.max(other)] {
            hasher.update(&(name.len() as u64).to_le_bytes());
            hasher.update(name.as_bytes());
        }
        PairKey(*hasher.finalize().as_bytes())
    }

    /// What the key is called on the wire and in messages; it tells nothing of the key.
    pub fn id(&self) -> u64 {
        let [id] = words(&self.0, "geminus 2026-11 name of a key");
        id
    }

    /// As much of [`id`](Self::id) as every frame carries.
    pub fn short_id(&self) -> u8 {
        self.id() as u8
    }
}

impl fmt::Debug for HaKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HaKey(..)")
    }
}

/// The keys of heartbeats and replication that a node has: its own, and one that it accepts besides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HaKeys {
    own: HaKey,
    accepted: Option<HaKey>,
}

/// Two keys cannot be told apart on the wire. One pair in 256 is like that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the two keys of heartbeats have the same short name {0:02x}: make another key")]
pub struct SameName(pub u8);

impl HaKeys {
    /// A node's own key, and another that it accepts while keys are changed.
    ///
    /// # Errors
    ///
    /// The two are different and have the same [`HaKey::short_id`].
    pub fn new(own: HaKey, accepted: Option<HaKey>) -> Result<Self, SameName> {
        let accepted = accepted.filter(|accepted| *accepted != own);
        match accepted.as_ref().map(HaKey::short_id) {
            Some(id) if id == own.short_id() => Err(SameName(id)),
            _ => Ok(Self { own, accepted }),
        }
    }

    /// The key of a node whose site has no other.
    pub fn from_site(key: &SiteKey) -> Self {
        Self { own: HaKey::from_site(key), accepted: None }
    }

    /// What the node itself speaks with.
    pub const fn own(&self) -> &HaKey {
        &self.own
    }

    /// What it accepts besides, if anything.
    pub const fn accepted(&self) -> Option<&HaKey> {
        self.accepted.as_ref()
    }
}

/// What is derived from the secret of heartbeats and replication for two partners.
#[derive(Clone, PartialEq, Eq)]
pub struct PairKey([u8; 32]);

impl PairKey {
    /// The words that key the gate of every frame between them: what the program checks.
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
}

impl fmt::Debug for PairKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PairKey(..)")
    }
}

/// The secret of the agents of a site: 32 bytes. Whoever has it can report for every content host, and nothing else.
#[derive(Clone, PartialEq, Eq)]
pub struct AgentsKey([u8; 32]);

impl AgentsKey {
    /// The key of these bytes.
    pub const fn new(secret: [u8; 32]) -> Self {
        Self(secret)
    }

    /// The key that is made of another secret: the site's, or one that was drawn for agents alone.
    pub fn from_secret(secret: &[u8; 32]) -> Self {
        Self(blake3::derive_key("geminus 2026-11 secret of the agents of a site", secret))
    }

    /// The key of a site that has no other for its agents.
    pub fn from_site(key: &SiteKey) -> Self {
        Self::from_secret(&key.0)
    }

    /// The key of one content host: who has it can report for that host alone.
    pub fn of_host(&self, host: IpAddr) -> HostKey {
        let mut hasher = blake3::Hasher::new_derive_key("geminus 2026-11 secret of the agent of a host");
        hasher.update(&self.0);
        hasher.update(&host_octets(host));
        HostKey(*hasher.finalize().as_bytes())
    }

    /// The bytes, for the file that a content host gets.
    pub const fn secret(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for AgentsKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AgentsKey(..)")
    }
}

/// The secret of the agent of one content host: 32 bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct HostKey([u8; 32]);

impl HostKey {
    /// The key of these bytes.
    pub const fn new(secret: [u8; 32]) -> Self {
        Self(secret)
    }

    /// What the key is called on the wire and in messages; it tells nothing of the key.
    pub fn id(&self) -> u32 {
        let [id] = words(&self.0, "geminus 2026-11 name of the key of an agent");
        id as u32
    }

    /// The key of the tag of every frame between agent and dispatchers.
    pub fn tag_key(&self) -> [u8; 32] {
        blake3::derive_key("geminus 2026-11 tag of a frame of an agent", &self.0)
    }

    /// The bytes, for the file that the host gets.
    pub const fn secret(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for HostKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HostKey(..)")
    }
}

/// An address as 16 bytes; IPv4 as the IPv6 address that maps it (RFC 4291, 2.5.5.2).
pub(crate) fn host_octets(host: IpAddr) -> [u8; 16] {
    match host {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => address.octets(),
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

    /// Every key of a secret for two partners, by its first eight bytes.
    fn starts(key: &HaKey, one: &str, other: &str) -> Vec<u64> {
        let first =
            |bytes: [u8; 32]| bytes.iter().take(8).rev().fold(0, |word, byte| word << 8 | u64::from(*byte));
        let pair = key.between(one, other);
        let [word, next] = pair.gate_key();
        vec![word, next, first(pair.beat_key()), first(pair.replication_psk())]
    }

    #[test]
    fn each_group_of_each_site_has_a_hardware_address_of_its_own() {
        let other = SiteKey::new([8; 32]);
        let macs: BTreeSet<_> = [SITE, other]
            .iter()
            .flat_map(|site| [site.virtual_mac("alpha", "beta"), site.virtual_mac("beta", "alpha")])
            .collect();
        assert_eq!(macs.len(), 4);
        assert!(macs.iter().all(|mac| mac[0] & 3 == 2), "of one host, and nobody's by number");
        assert_eq!(SITE.virtual_mac("alpha", "beta"), SITE.virtual_mac("alpha", "beta"));
    }

    #[test]
    fn no_two_purposes_pairs_or_secrets_share_a_key() {
        let mut all = Vec::new();
        for key in [HaKey::from_site(&SITE), HaKey::new([7; 32]), HaKey::new([8; 32])] {
            all.push(key.id());
            for (one, other) in [("alpha", "beta"), ("alpha", "gamma"), ("alphab", "eta"), ("", "alphabeta")]
            {
                all.extend(starts(&key, one, other));
            }
        }
        for agents in [AgentsKey::from_site(&SITE), AgentsKey::new([7; 32])] {
            for host in ["198.51.100.21", "198.51.100.22", "2001:db8::21"] {
                let key = agents.of_host(host.parse().expect("an address"));
                all.extend([u64::from(key.id()), words::<1>(&key.tag_key(), "first")[0]]);
            }
        }
        all.extend(SITE.flow_hash_words().into_iter().chain(SITE.question_mark()));
        let distinct: BTreeSet<_> = all.iter().collect();
        assert_eq!(distinct.len(), all.len(), "{all:x?}");
    }

    #[test]
    fn both_partners_have_the_same_keys_in_every_version() {
        let key = HaKey::from_site(&SITE);
        assert_eq!(starts(&key, "alpha", "beta"), starts(&key, "beta", "alpha"));
        let mut words = starts(&key, "alpha", "beta");
        words.push(key.id());
        let expected = [
            0x407d_5b88_3d6f_6480,
            0x6e2a_a424_5627_24d7,
            0xa033_abcf_093f_c9ae,
            0xf3a7_9fc4_83e4_e1ac,
            0x18d7_5441_a548_56b9,
        ];
        assert_eq!(words, expected);
    }

    #[test]
    fn agents_and_dispatchers_of_every_version_have_the_same_keys() {
        let host = AgentsKey::from_site(&SITE).of_host("198.51.100.21".parse().expect("an address"));
        let mapped = AgentsKey::from_site(&SITE).of_host("::ffff:198.51.100.21".parse().expect("an address"));
        assert!(host == mapped, "one host by both ways of writing its address");
        assert_eq!(
            (host.id(), words::<1>(&host.tag_key(), "first")),
            (1_420_818_860, [6_050_065_615_205_234_510])
        );
    }

    #[test]
    fn keys_that_look_alike_on_the_wire_are_refused_and_one_twice_is_one() {
        let key = |first: u8| HaKey::new([first; 32]);
        let alike = (1..=u8::MAX).find(|&first| key(first).short_id() == key(0).short_id());
        let alike = key(alike.expect("of 255 keys one has this short name"));
        assert_eq!(HaKeys::new(key(0), Some(alike)), Err(SameName(key(0).short_id())));
        let other = (1..=u8::MAX).find(|&first| key(first).short_id() != key(0).short_id());
        let other = key(other.expect("of 255 keys one has another short name"));
        let keys = HaKeys::new(key(0), Some(other.clone()));
        assert_eq!(keys.map(|keys| keys.accepted().cloned()), Ok(Some(other)));
        assert_eq!(HaKeys::new(key(0), Some(key(0))).map(|keys| keys.accepted().cloned()), Ok(None));
    }

    #[test]
    fn a_secret_is_never_printed() {
        let key = HaKey::new([7; 32]);
        let agents = AgentsKey::from_site(&SITE);
        let host = agents.of_host("198.51.100.21".parse().expect("an address"));
        let shown = format!("{SITE:?} {key:?} {:?} {agents:?} {host:?}", key.between("alpha", "beta"));
        assert_eq!(shown, "SiteKey(..) HaKey(..) PairKey(..) AgentsKey(..) HostKey(..)");
    }
}
