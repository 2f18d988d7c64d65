//! Throws forged, garbled and replayed frames at a channel while its partner goes on speaking.
//!
//! `cargo run --release -p geminus-core --example forged_frames [FRAMES]`, ten million unless told otherwise. Prints what
//! was refused and why, and ends with an error if one frame was taken for the partner's or one of the partner's was not.
#![allow(clippy::print_stdout, reason = "its output is what it is for")]

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use geminus_core::ha::{Beat, ReachScore, SyncView};
use geminus_core::key::{HaKey, HaKeys};
use geminus_core::wire::{Channel, Opened};

/// The partner speaks once in so many frames.
const OWN_SHARE: u64 = 1_000;

/// SplitMix64 (Steele, Lea, Flood, OOPSLA 2014): enough to garble with.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }
}

fn keys(secret: u8) -> HaKeys {
    HaKeys::new(HaKey::new([secret; 32]), None).expect("there is one key")
}

fn beat(sequence: u64) -> Beat {
    Beat {
        sequence,
        interval: Duration::from_millis(50),
        heard: Vec::new(),
        groups: Vec::new(),
        reach: ReachScore::default(),
        fit: true,
        asks: false,
        sync: SyncView::Complete,
        digest: 1,
    }
}

/// A frame that is not the partner's newest, and what it is.
fn bad(random: &mut Random, recorded: &[Vec<u8>], stranger: &mut Channel) -> (&'static str, Vec<u8>) {
    let mut frame = recorded[random.below(recorded.len())].clone();
    match random.below(4) {
        0 => ("replayed", frame),
        1 => {
            // Anywhere but in the stamp, which the receiver's own program writes.
            let places = frame.len() - 8;
            let at = random.below(places);
            let at = if at < 32 { at } else { at + 8 };
            frame[at] ^= 1 << random.below(8);
            ("one bit changed", frame)
        }
        2 => {
            let length = random.below(frame.len() + 1);
            frame.truncate(length);
            frame.iter_mut().skip(32).for_each(|byte| *byte = random.next() as u8);
            ("random behind the head", frame)
        }
        _ => ("another key", stranger.seal(0, &beat(random.next()))),
    }
}

fn main() -> ExitCode {
    let frames = std::env::args().nth(1).and_then(|number| number.parse().ok()).unwrap_or(10_000_000_u64);
    let mut random = Random(1);
    let (mut alpha, mut beta) =
        (Channel::new(&keys(1), "alpha", "beta", 11), Channel::new(&keys(1), "beta", "alpha", 22));
    let mut stranger = Channel::new(&keys(2), "alpha", "beta", 11);
    let mut recorded = Vec::new();
    for sequence in 1..=512 {
        let said = alpha.seal(0, &beat(sequence));
        let _ = beta.open(&said);
        let answer = beta.seal(0, &beat(sequence));
        let _ = alpha.open(&answer);
        recorded.push(said);
    }
    let (mut refused, mut accepted, mut missed) = (BTreeMap::<(&str, String), u64>::new(), 0_u64, 0_u64);
    let began = Instant::now();
    for number in 0..frames {
        let (what, frame) = bad(&mut random, &recorded, &mut stranger);
        match beta.open(&frame) {
            Ok(Opened::Beat { .. } | Opened::Answer { .. }) => accepted += 1,
            Ok(Opened::Hello) => *refused.entry((what, "asked to prove itself".to_owned())).or_default() += 1,
            Err(why) => *refused.entry((what, family(why))).or_default() += 1,
        }
        if number.is_multiple_of(OWN_SHARE) {
            let said = alpha.seal(0, &beat(number + 1_000));
            missed += u64::from(!matches!(beta.open(&said), Ok(Opened::Beat { .. })));
        }
    }
    let seconds = began.elapsed().as_secs_f64();
    for ((what, why), count) in &refused {
        println!("{count:>10}  {what}: {why}");
    }
    println!(
        "{frames} bad frames in {seconds:.1} s: {accepted} accepted; {missed} of the partner's own refused"
    );
    if accepted + missed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The refusal without its figures.
fn family(why: geminus_core::wire::Refused) -> String {
    use geminus_core::wire::Refused;
    match why {
        Refused::OtherKey(_) => "of a key that this node does not have".to_owned(),
        Refused::OtherVersion(_) => "of another version".to_owned(),
        other => other.to_string(),
    }
}
