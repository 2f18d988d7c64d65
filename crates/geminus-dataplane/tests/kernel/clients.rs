//! What is laid down of clients: the kernel's trie and the heap's say the same.

use std::collections::BTreeMap;

use geminus_core::plan::Sources as _;
use geminus_fixtures::random::Random;
use geminus_packet::heap::HeapTables;
use geminus_packet::tables::{Address, Source, SourceKey, Tables as _};

use crate::home::{KernelHome, sizes};
use geminus_fixtures::stage::Home as _;

/// Addresses of which few bits differ, so that prefixes lie within each other.
fn address(random: &mut Random) -> Address {
    let low = random.below(256) as u8;
    let end = random.one(&[0, low, low, 255]);
    match random.below(2) {
        0 => Address::v4([198, 51, random.below(4) as u8, end]),
        _ => {
            let mut bytes = [0; 16];
            bytes[..4].copy_from_slice(&[0x20, 0x01, 0x0d, 0xb8]);
            (bytes[7], bytes[15]) = (random.below(4) as u8, end);
            Address::v6(bytes)
        }
    }
}

fn key(random: &mut Random) -> SourceKey {
    let address = address(random);
    let least = if address.is_v4() { 96 } else { 0 };
    let bits = least + random.below(129 - least);
    let mask = u128::MAX.checked_shl(128 - bits as u32).unwrap_or(0);
    let masked = u128::from_be_bytes(SourceKey::bytes(address)) & mask;
    SourceKey { service: random.below(3) as u32, address: masked.to_be_bytes(), bits: bits as u8 }
}

#[test]
fn the_kernels_trie_says_what_the_heap_says() {
    let sizes = sizes(1 << 12);
    let home = KernelHome::new(&sizes);
    let (kernel, heap) = (home.tables(), HeapTables::new(&sizes));
    let mut random = Random::new(4);
    for round in 0..2000 {
        let key = key(&mut random);
        if random.below(3) == 0 {
            kernel.take_up(key);
            heap.take_up(key);
        } else {
            let value = random.one(&[Source::DENY, Source::ALLOW, Source::POOL | 7]);
            kernel.lay_down(key, value).expect("there is room");
            heap.lay_down(key, value).expect("there is room");
        }
        let (service, client) = (random.below(3) as u32, address(&mut random));
        assert_eq!(
            kernel.source(service, client),
            heap.source(service, client),
            "round {round}, {client:x?}"
        );
    }
    let all: BTreeMap<_, _> = kernel.laid_down().into_iter().collect();
    assert!(all.len() > 100 && all == heap.laid_down().into_iter().collect());
    all.keys().for_each(|&key| kernel.take_up(key));
    assert_eq!(kernel.laid_down(), []);
}
