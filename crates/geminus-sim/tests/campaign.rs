//! Floor 2: many schedules of the real machine. `cargo xtask test` asks for 100 000 of them; `cargo test` plays a few.

use geminus_core::ha::Ha;
use geminus_sim::campaign::Campaign;
use geminus_sim::clients::Clients;
use geminus_sim::{Outcome, Schedule};

/// How many schedules a plain `cargo test` plays, with the optimiser off.
const FEW: u64 = 150;

#[test]
fn no_schedule_breaks_a_law() {
    let wanted = std::env::var("GEMINUS_SCHEDULES").ok();
    let count = wanted.map_or(FEW, |count| count.parse().expect("GEMINUS_SCHEDULES is a number"));
    let played = Campaign::play::<Ha>(1, count, |_| true);
    assert_eq!(played.schedules, count);
    assert!(played.changes > count && played.forwarded > count, "something happens in them");
    let stories: Vec<_> =
        played.broken.iter().take(5).map(|(seed, broken)| format!("{seed}: {broken:?}")).collect();
    assert!(stories.is_empty(), "`cargo xtask sim --seed N --trace` tells the story of {stories:#?}");
}

#[test]
fn a_seed_always_tells_the_same_story() {
    let mut clients = Clients::new();
    for seed in [3, 40, 433] {
        let story = |clients: &mut Clients| {
            let Outcome { trace, events, .. } = Schedule::of(seed).play::<Ha>(clients, true);
            (trace, events)
        };
        let first = story(&mut clients);
        assert!(first.0.len() > 10);
        assert_eq!(first, story(&mut clients));
        assert_eq!(first, story(&mut Clients::new()), "nothing is left of the schedule before");
    }
}
