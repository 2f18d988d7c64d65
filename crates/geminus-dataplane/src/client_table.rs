//! What is laid down of clients: the one table that is not an array. A trie of longest prefixes cannot be mapped, so each
//! look-up and each change is a system call; there are few.

use std::io;
use std::os::fd::BorrowedFd;
use std::sync::{Mutex, MutexGuard, PoisonError};

use aya::maps::lpm_trie::{Key, LpmTrie};
use aya::maps::{Map, MapData};
use geminus_core::plan::PlanError;
use geminus_packet::tables::{Address, SourceKey};

type Trie = LpmTrie<MapData, [u8; SourceKey::DATA], u64>;

/// The trie in the kernel.
#[derive(Debug)]
pub(crate) struct ClientTable(Mutex<Trie>);

impl ClientTable {
    /// The trie behind this descriptor.
    pub(crate) fn new(map: BorrowedFd<'_>) -> io::Result<Self> {
        let data = MapData::from_fd(map.try_clone_to_owned()?).map_err(io::Error::other)?;
        let map = Map::from_map_data(data).map_err(io::Error::other)?;
        Ok(Self(Mutex::new(Trie::try_from(map).map_err(io::Error::other)?)))
    }

    /// What the packet path finds of a client; 0: nothing.
    pub(crate) fn find(&self, service: u32, client: Address) -> u64 {
        let whole = SourceKey { service, address: SourceKey::bytes(client), bits: 128 };
        self.trie().get(&kernel_key(whole), 0).unwrap_or(0)
    }

    pub(crate) fn set(&self, key: SourceKey, value: u64) -> Result<(), PlanError> {
        self.trie().insert(&kernel_key(key), value, 0).map_err(|_| PlanError::Full("source"))
    }

    pub(crate) fn remove(&self, key: SourceKey) {
        // What is not there need not go.
        drop(self.trie().remove(&kernel_key(key)));
    }

    pub(crate) fn list(&self) -> Vec<(SourceKey, u64)> {
        self.trie().iter().flatten().map(|(key, value)| (own_key(&key), value)).collect()
    }

    /// Nothing between locking and unlocking can panic.
    fn trie(&self) -> MutexGuard<'_, Trie> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn kernel_key(key: SourceKey) -> Key<[u8; SourceKey::DATA]> {
    let bits = SourceKey::SERVICE_BITS + u32::from(key.bits);
    Key::new(bits, SourceKey::data(key.service, key.address))
}

fn own_key(key: &Key<[u8; SourceKey::DATA]>) -> SourceKey {
    let [s0, s1, s2, s3, address @ ..] = key.data();
    let bits = key.prefix_len().saturating_sub(SourceKey::SERVICE_BITS);
    SourceKey { service: u32::from_be_bytes([s0, s1, s2, s3]), address, bits: bits.min(128) as u8 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_comes_back_from_the_kernels_form_as_it_was() {
        for (service, bits) in [(0, 0), (1, 96), (u32::MAX, 128), (77, 101)] {
            let address = std::array::from_fn(|at| at as u8 * 7);
            let key = SourceKey { service, address, bits };
            assert_eq!(own_key(&kernel_key(key)), key);
        }
    }
}
