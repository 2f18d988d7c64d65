//! Many schedules, on every processor.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::clients::Clients;
use crate::laws::Violation;
use crate::machine::Machine;
use crate::schedule::Schedule;
use crate::time::SECOND;

/// Schedules that a thread takes at a time.
const BATCH: u64 = 64;

/// Broken laws that are remembered: a campaign that breaks more is looked at from the first.
const REMEMBERED: usize = 1000;

/// What came of many schedules.
#[derive(Debug, Default)]
pub struct Campaign {
    /// Schedules that were played.
    pub schedules: u64,
    /// Events in all of them.
    pub events: u64,
    /// Virtual seconds.
    pub seconds: u64,
    /// Faults.
    pub faults: u64,
    /// Changes of hands.
    pub changes: u64,
    /// Clients' packets that reached a server.
    pub forwarded: u64,
    /// The seeds that broke a law.
    pub broken: BTreeMap<u64, Violation>,
}

impl Campaign {
    /// Plays the schedules of `count` seeds from `first` on. `progress` is told how many are done from time to time; it says
    /// whether to go on.
    pub fn play<M: Machine>(first: u64, count: u64, progress: impl Fn(u64) -> bool + Sync) -> Self {
        let (next, done) = (AtomicU64::new(0), AtomicU64::new(0));
        let (sum, stop) = (Mutex::new(Self::default()), AtomicBool::new(false));
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let work = || {
            let (mut clients, mut own) = (Clients::new(), Self::default());
            while !stop.load(Ordering::Relaxed) {
                let from = next.fetch_add(BATCH, Ordering::Relaxed);
                if from >= count {
                    break;
                }
                let until = (from + BATCH).min(count);
                for seed in from..until {
                    own.add::<M>(first.wrapping_add(seed), &mut clients);
                }
                if !progress(done.fetch_add(until - from, Ordering::Relaxed) + until - from) {
                    stop.store(true, Ordering::Relaxed);
                }
            }
            sum.lock().expect("no thread panics while it adds").join(own);
        };
        std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));
        sum.into_inner().expect("no thread panics while it adds")
    }

    fn add<M: Machine>(&mut self, seed: u64, clients: &mut Clients) {
        let schedule = Schedule::of(seed);
        let outcome = schedule.play::<M>(clients, false);
        self.schedules += 1;
        self.events += outcome.events;
        self.seconds += outcome.lasted / SECOND;
        self.faults += schedule.faults.len() as u64;
        self.changes += outcome.changes;
        self.forwarded += outcome.forwarded;
        if let Some(broken) = outcome.broken
            && self.broken.len() < REMEMBERED
        {
            self.broken.insert(seed, broken);
        }
    }

    fn join(&mut self, other: Self) {
        self.schedules += other.schedules;
        self.events += other.events;
        self.seconds += other.seconds;
        self.faults += other.faults;
        self.changes += other.changes;
        self.forwarded += other.forwarded;
        self.broken.extend(other.broken);
    }

    /// The seeds that broke each law.
    pub fn by_law(&self) -> BTreeMap<&'static str, Vec<u64>> {
        let mut by_law: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for (seed, broken) in &self.broken {
            by_law.entry(broken.law).or_default().push(*seed);
        }
        by_law
    }
}
