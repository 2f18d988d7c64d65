//! What services and servers are called in the tables, and what the operator wants of them.

use std::collections::HashMap;
use std::net::IpAddr;
use std::ops::Add;
use std::time::Duration;

use crate::model::{Cluster, Server, Service};

/// What a service is called in the tables: the same on every dispatcher, never 0.
pub fn service_identity(cluster: &Cluster, service: &Service) -> u64 {
    Names::of(cluster, service).service()
}

/// What a server is called in the tables: the same on every dispatcher, never 0. Another address is another server.
pub fn server_identity(cluster: &Cluster, service: &Service, server: &Server) -> u64 {
    Names::of(cluster, service).server(server)
}

/// What a service and its servers are called in the tables.
#[derive(Debug, Clone, Copy)]
pub(super) struct Names {
    service: u64,
}

impl Names {
    pub(super) fn of(cluster: &Cluster, service: &Service) -> Self {
        let mut bytes = cluster.name.as_bytes().to_vec();
        bytes.extend([0, service.protocol.number()]);
        bytes.extend(service.ports.to_string().as_bytes());
        Self { service: leading_word(&blake3::hash(&bytes)) | 1 }
    }

    pub(super) const fn service(&self) -> u64 {
        self.service
    }

    /// What a further pool of the service is called.
    pub(super) fn pool(&self, name: &str) -> u64 {
        let mut bytes = b"pool\0".to_vec();
        bytes.extend(self.service.to_le_bytes());
        bytes.extend(name.as_bytes());
        leading_word(&blake3::hash(&bytes)) | 1
    }

    pub(super) fn server(&self, server: &Server) -> u64 {
        let mut bytes = self.service.to_le_bytes().to_vec();
        match server.address {
            IpAddr::V4(address) => bytes.extend(address.octets()),
            IpAddr::V6(address) => bytes.extend(address.octets()),
        }
        bytes.push(0);
        bytes.extend(server.name.as_bytes());
        leading_word(&blake3::hash(&bytes)) | 1
    }
}

/// What the clients of the services of a cluster that share them are remembered under.
pub(super) fn clients(cluster: &Cluster, group: &str) -> u64 {
    let mut bytes = b"clients\0".to_vec();
    bytes.extend(cluster.name.as_bytes());
    bytes.push(0);
    bytes.extend(group.as_bytes());
    leading_word(&blake3::hash(&bytes)) | 1
}

pub(super) fn leading_word(hash: &blake3::Hash) -> u64 {
    hash.as_bytes().iter().take(8).fold(0, |word, byte| word << 8 | u64::from(*byte))
}

/// A moment of the kernel's monotonic clock in milliseconds. That clock begins anew with the machine, and so do pinned
/// tables: it means the same to every daemon that finds it there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KernelMs(pub u64);

impl Add<Duration> for KernelMs {
    type Output = Self;

    fn add(self, later: Duration) -> Self {
        Self(self.0.saturating_add(later.as_millis().try_into().unwrap_or(u64::MAX)))
    }
}

/// What the operator wants of one server, otherwise than the configuration.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Override {
    /// No new flows.
    pub drained: bool,
    /// Of a drained one: when the flows that are left are given up; none: never.
    pub until: Option<KernelMs>,
    /// This weight.
    pub weight: Option<u16>,
}

impl Override {
    const DRAINED: u64 = 1 << 32;
    const WEIGHTED: u64 = 1 << 33;
    const WEIGHT_SHIFT: u32 = 34;
    /// Forty bits of milliseconds are 34 years.
    const UNTIL_SHIFT: u32 = 24;

    /// The bits of a server entry's `ruling` word in which the end of a drain stands.
    pub(super) const UNTIL: u64 = u64::MAX << Self::UNTIL_SHIFT;

    /// The end of a drain, as it stands in a server entry's `ruling` word.
    pub(super) fn until_word(self) -> u64 {
        let latest = Self::UNTIL >> Self::UNTIL_SHIFT;
        self.until.map_or(0, |KernelMs(ms)| ms.clamp(1, latest) << Self::UNTIL_SHIFT)
    }

    /// All but the end of a drain, as it stands in a server entry's `interface` word.
    pub(super) fn to_word(self) -> u64 {
        let drained = if self.drained { Self::DRAINED } else { 0 };
        let weight =
            self.weight.map_or(0, |weight| Self::WEIGHTED | u64::from(weight & 0x3ff) << Self::WEIGHT_SHIFT);
        drained | weight
    }

    /// From a server entry's `interface` and `ruling` words.
    pub(super) fn from_words(interface: u64, ruling: u64) -> Self {
        let weight = (interface >> Self::WEIGHT_SHIFT) as u16 & 0x3ff;
        let until = ruling >> Self::UNTIL_SHIFT;
        Self {
            drained: interface & Self::DRAINED != 0,
            until: (until != 0).then_some(KernelMs(until)),
            weight: (interface & Self::WEIGHTED != 0).then_some(weight),
        }
    }

    /// The weight in force.
    pub fn weight_of(&self, server: &Server) -> u16 {
        if self.drained { 0 } else { self.weight.unwrap_or(server.weight) }
    }
}

/// What the operator wants of every server, by [`server_identity`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Overrides(HashMap<u64, Override>);

impl Overrides {
    /// What is wanted of a server.
    pub fn get(&self, identity: u64) -> Override {
        self.0.get(&identity).copied().unwrap_or_default()
    }

    /// Wants something else of a server.
    pub fn insert(&mut self, identity: u64, wish: Override) {
        if wish == Override::default() {
            self.0.remove(&identity);
        } else {
            self.0.insert(identity, wish);
        }
    }

    /// The servers of which these and those want different things.
    pub fn differing<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = u64> + 'a {
        let ours = self.0.iter().filter(|&(&identity, &wish)| other.get(identity) != wish);
        let theirs = other.0.keys().filter(|identity| !self.0.contains_key(identity));
        ours.map(|(&identity, _)| identity).chain(theirs.copied())
    }

    /// How many servers something is wanted of.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether the configuration is all that is wanted.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
