//! The gate's keyed hash, against its authors' vectors and the standard library's.
#![allow(
    deprecated,
    reason = "the standard library's SipHash-2-4 is deprecated as a hasher, and right as a reference"
)]

use std::hash::{Hasher as _, SipHasher};

use geminus_fixtures::random::Random;
use geminus_packet::twin::{First, Kind, answer_gate, gate, siphash};

/// Key 00..0f and message 00.., of Appendix A of the paper and the authors' `vectors.h`.
const KEY: [u64; 2] = [0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908];

fn reference(key: [u64; 2], words: &[u64]) -> u64 {
    let mut hasher = SipHasher::new_with_keys(key[0], key[1]);
    for word in words {
        hasher.write(&word.to_le_bytes());
    }
    hasher.finish()
}

#[test]
fn the_hash_is_that_of_the_authors_vectors() {
    assert_eq!(siphash(KEY, []), 0x726f_db47_dd0e_0e31);
    assert_eq!(siphash(KEY, [0x0706_0504_0302_0100]), 0x93f5_f579_9a93_2462);
    assert_eq!(siphash(KEY, [0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908]), 0x3f2a_cc7f_57c2_9bdb);
}

#[test]
fn the_hash_is_the_standard_librarys_for_any_key_and_words() {
    let mut random = Random::new(1);
    for _ in 0..2000 {
        let key = [random.next(), random.next()];
        let words: [u64; 7] = [(); 7].map(|()| random.next());
        assert_eq!(siphash(key, words), reference(key, &words));
        assert_eq!(siphash(key, [words[0]]), reference(key, &words[..1]));
        let first = First::new(random.one(&[Kind::Beat, Kind::Probe]), words[0] as u8, words[1] as u8);
        let [_, session, counter, a, b, c, d] = words;
        assert_eq!(gate(key, first, session, counter), reference(key, &[first.0, session, counter]));
        assert_eq!(
            answer_gate(key, first, session, counter, [a, b, c, d]),
            reference(key, &[first.0, session, counter, a, b, c, d])
        );
    }
}
