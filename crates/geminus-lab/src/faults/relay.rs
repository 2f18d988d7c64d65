//! A bad wire: what goes from one dispatcher to the other on one way is late, out of order, and there twice.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};

use super::cut::{Cuts, HEARTBEATS, Loss, Way};
use super::intruder::Chance;
use crate::frames;
use crate::traffic::Stop;
use crate::twins::Twin;
use crate::wire::{FRAME, Wire};

/// Frames that may wait at once; beyond that the wire loses them.
const QUEUE: usize = 100_000;

/// What the wire does to a frame.
#[derive(Debug, Clone, Copy)]
pub struct Manners {
    /// Every frame is at least so late.
    pub delay: Duration,
    /// And by chance up to so much later, which is what puts frames out of order.
    pub jitter: Duration,
    /// So many of a hundred come twice.
    pub twice: u8,
    /// All frames are lost for a while, again and again, on all ways at once.
    pub bursts: Option<Bursts>,
}

/// When a wire loses everything.
#[derive(Debug, Clone, Copy)]
pub struct Bursts {
    /// So long.
    pub length: Duration,
    /// From the beginning of one to that of the next.
    pub every: Duration,
}

impl Bursts {
    fn has(&self, since: Duration) -> bool {
        since.as_micros() % self.every.as_micros().max(1) < self.length.as_micros()
    }
}

/// Relays in place of the bridge, which loses the heartbeats meanwhile.
#[derive(Debug)]
pub struct Relay {
    cuts: Cuts,
    stop: Arc<Stop>,
    threads: Vec<JoinHandle<Result<u64>>>,
}

impl Relay {
    /// Takes over the heartbeats of both directions on these ways.
    ///
    /// # Errors
    /// When a port cannot be listened to.
    pub fn start(cuts: &Cuts, ways: &[Way], manners: Manners) -> Result<Self> {
        let (stop, begun) = (Arc::new(Stop::default()), Instant::now());
        let mut relay = Self { cuts: cuts.clone(), stop, threads: Vec::new() };
        for (seed, (way, from)) in (7..).zip(ways.iter().flat_map(|&way| Twin::BOTH.map(|from| (way, from))))
        {
            let place = cuts.place(way);
            let (into, out) = (Wire::at(place, from.name())?, Wire::at(place, from.other().name())?);
            into.wait_at_most(Duration::from_millis(1))?;
            let stop = Arc::clone(&relay.stop);
            relay
                .threads
                .push(std::thread::spawn(move || pass_on(&into, &out, manners, (seed, begun), &stop)));
        }
        cuts.lose(&Loss::all(ways))?;
        Ok(relay)
    }

    /// Gives the heartbeats back to the bridge; returns how many were relayed.
    ///
    /// # Errors
    /// When a wire failed or a thread panicked.
    pub fn stop(self) -> Result<u64> {
        self.cuts.lose(&[])?;
        self.stop.tell();
        let join = |thread: JoinHandle<Result<u64>>| {
            thread.join().map_err(|_| anyhow!("a relay's thread panicked"))?
        };
        self.threads.into_iter().map(join).sum()
    }
}

fn pass_on(
    into: &Wire,
    out: &Wire,
    manners: Manners,
    (seed, begun): (u64, Instant),
    stop: &Stop,
) -> Result<u64> {
    let mut chance = Chance(seed);
    let mut waiting = BinaryHeap::<Reverse<(Instant, u64, Vec<u8>)>>::new();
    let (mut buffer, mut number, mut relayed) = ([0; FRAME], 0, 0);
    while !stop.told() {
        if let Some(frame) = into.receive(&mut buffer)?
            && frames::udp_port(frame) == Some(HEARTBEATS)
            && !manners.bursts.is_some_and(|bursts| bursts.has(begun.elapsed()))
        {
            let copies = if chance.below(100) < usize::from(manners.twice) { 2 } else { 1 };
            for _ in 0..copies {
                let later =
                    Duration::from_micros(chance.below(manners.jitter.as_micros() as usize + 1) as u64);
                if waiting.len() < QUEUE {
                    waiting.push(Reverse((Instant::now() + manners.delay + later, number, frame.to_vec())));
                    number += 1;
                }
            }
        }
        while waiting.peek().is_some_and(|Reverse((due, ..))| *due <= Instant::now()) {
            if let Some(Reverse((_, _, frame))) = waiting.pop() {
                out.send(&frame)?;
                relayed += 1;
            }
        }
    }
    Ok(relayed)
}
