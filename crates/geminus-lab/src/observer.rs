//! Asks the LAN again and again who has an address: the one question that shows two holders at once.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow};

use crate::frames::{self, Mac};
use crate::site::{Addresses, Family, OBSERVER, Site};
use crate::traffic::Stop;
use crate::wire::{FRAME, Wire, mac_of};

/// How often it asks.
pub const EVERY: Duration = Duration::from_millis(5);
/// Two answers to questions so far apart are about the same moment.
const SAME_MOMENT: Duration = Duration::from_millis(20);

/// Asks until it is stopped.
#[derive(Debug)]
pub struct Observer {
    stop: Arc<Stop>,
    thread: JoinHandle<Result<Vec<Answer>>>,
}

/// Somebody said that an address is at its hardware address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    /// When it came.
    pub at: Instant,
    /// The address.
    pub address: IpAddr,
    /// Who says so.
    pub mac: Mac,
}

/// Everything that was answered, in the order in which it came.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Holders {
    /// The answers.
    pub answers: Vec<Answer>,
}

impl Observer {
    /// Begins to ask for both addresses of a cluster.
    ///
    /// # Errors
    /// When the site has no observer.
    pub fn start(site: &Site, cluster: Addresses) -> Result<Self> {
        let addresses = Family::BOTH.map(|family| cluster.of(family)).to_vec();
        let (wire, mac) = open(site)?;
        wire.wait_at_most(Duration::from_millis(1))?;
        let stop = Arc::new(Stop::default());
        let told = Arc::clone(&stop);
        let thread = std::thread::spawn(move || watch(&wire, mac, &addresses, &told));
        Ok(Self { stop, thread })
    }

    /// Stops asking.
    ///
    /// # Errors
    /// When the wire failed or the thread panicked.
    pub fn stop(self) -> Result<Holders> {
        self.stop.tell();
        let answers = self.thread.join().map_err(|_| anyhow!("the observer panicked"))??;
        Ok(Holders { answers })
    }
}

/// Asks once for both addresses of a cluster and returns who answered within `patience`.
///
/// # Errors
/// When the site has no observer.
pub fn holders(site: &Site, cluster: Addresses, patience: Duration) -> Result<BTreeSet<(Family, Mac)>> {
    let (wire, mac) = open(site)?;
    wire.wait_at_most(Duration::from_millis(5))?;
    let addresses = Family::BOTH.map(|family| cluster.of(family));
    ask(&wire, mac, &addresses)?;
    let (begun, mut found) = (Instant::now(), BTreeSet::new());
    let mut buffer = [0; FRAME];
    while begun.elapsed() < patience {
        let Some((address, mac)) = wire.receive(&mut buffer)?.and_then(frames::answer) else { continue };
        if addresses.contains(&address) {
            found.insert((Family::of(address), mac));
        }
    }
    Ok(found)
}

impl Holders {
    /// For how long more than one hardware address answered for the same address.
    pub fn more_than_one(&self) -> Duration {
        let mut by_address = BTreeMap::<IpAddr, Vec<(Instant, Mac)>>::new();
        for answer in &self.answers {
            by_address.entry(answer.address).or_default().push((answer.at, answer.mac));
        }
        by_address.values().map(|answers| overlap(answers)).max().unwrap_or_default()
    }

    /// When two hardware addresses last answered for the same address at the same time.
    pub fn both_until(&self) -> Option<Instant> {
        let all = 0..self.answers.len();
        let with_the_next = |place: usize| {
            let rest = Self { answers: self.answers[place..].to_vec() };
            (rest.more_than_one() > Duration::ZERO).then_some(rest)
        };
        // The later half of the answers is searched for the last overlap; without one, the earlier half.
        let (mut from, mut until) = (all.start, all.end);
        with_the_next(from)?;
        while from + 1 < until {
            let middle = from.midpoint(until);
            if with_the_next(middle).is_some() {
                from = middle;
            } else {
                until = middle;
            }
        }
        self.answers.get(from).map(|answer| answer.at)
    }

    /// When a hardware address first answered after a moment, for the last of the addresses to do so.
    pub fn first_after(&self, moment: Instant, mac: Mac) -> Option<Duration> {
        let addresses: BTreeSet<IpAddr> = self.answers.iter().map(|answer| answer.address).collect();
        let first = |address: &IpAddr| {
            let mine =
                |answer: &&Answer| answer.address == *address && answer.mac == mac && answer.at >= moment;
            self.answers.iter().find(mine).map(|answer| answer.at - moment)
        };
        addresses.iter().map(first).collect::<Option<Vec<_>>>()?.into_iter().max()
    }

    /// How often the answers for an address came from another hardware address than the ones before.
    pub fn changes(&self) -> usize {
        let mut last = BTreeMap::<IpAddr, Mac>::new();
        let changed = |answer: &&Answer| {
            last.insert(answer.address, answer.mac).is_some_and(|before| before != answer.mac)
        };
        self.answers.iter().filter(changed).count()
    }
}

/// The times between answers of different holders that are too close together for a hand-over, added up.
fn overlap(answers: &[(Instant, Mac)]) -> Duration {
    // A hand-over is one change from one holder to another; only where the first is heard again were there two.
    let mut last = BTreeMap::<Mac, Instant>::new();
    let (mut sum, mut counted) = (Duration::ZERO, None::<Instant>);
    for &(at, mac) in answers {
        let returned = last.get(&mac).copied();
        let between = last
            .iter()
            .filter(|(other, _)| **other != mac)
            .map(|(_, when)| *when)
            .filter(|when| returned.is_some_and(|own| *when > own && at - own < SAME_MOMENT))
            .max();
        if between.is_some() {
            let from = returned.into_iter().chain(counted).max().unwrap_or(at);
            sum += at.saturating_duration_since(from);
            counted = Some(at);
        }
        last.insert(mac, at);
    }
    sum
}

fn open(site: &Site) -> Result<(Wire, Mac)> {
    let machine = site.observer.as_ref().context("the site has no observer")?;
    Ok((Wire::at(&machine.namespace, "eth0")?, mac_of(&machine.namespace, "eth0")?))
}

fn ask(wire: &Wire, mac: Mac, addresses: &[IpAddr]) -> Result<()> {
    for &address in addresses {
        let from = OBSERVER.of(Family::of(address));
        let frame = frames::question(mac, from, address).expect("asked in the family of the address");
        wire.send(&frame)?;
    }
    Ok(())
}

fn watch(wire: &Wire, mac: Mac, addresses: &[IpAddr], stop: &Stop) -> Result<Vec<Answer>> {
    let mut answers = Vec::new();
    let mut buffer = [0; FRAME];
    let mut next = Instant::now();
    while !stop.told() {
        if Instant::now() >= next {
            ask(wire, mac, addresses)?;
            next = Instant::now() + EVERY;
        }
        let Some((address, mac)) = wire.receive(&mut buffer)?.and_then(frames::answer) else { continue };
        if addresses.contains(&address) {
            answers.push(Answer { at: Instant::now(), address, mac });
        }
    }
    Ok(answers)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Mac = [2, 0, 0, 0, 0, 1];
    const TWO: Mac = [2, 0, 0, 0, 0, 2];

    fn holders(answers: &[(u64, Mac)]) -> Holders {
        let begun = Instant::now();
        let address = OBSERVER.of(Family::V4);
        let answer = |&(at, mac): &(u64, Mac)| Answer { at: begun + Duration::from_millis(at), address, mac };
        Holders { answers: answers.iter().map(answer).collect() }
    }

    #[test]
    fn a_hand_over_has_one_holder_at_a_time() {
        let seen = holders(&[(0, ONE), (5, ONE), (10, TWO), (15, TWO)]);
        assert_eq!((seen.more_than_one(), seen.changes()), (Duration::ZERO, 1));
        assert_eq!(seen.both_until(), None);
    }

    #[test]
    fn two_that_answer_the_same_questions_are_two() {
        let seen = holders(&[(0, ONE), (1, TWO), (5, ONE), (6, TWO), (10, ONE), (15, ONE)]);
        let both = seen.more_than_one();
        assert!((5..=10).contains(&both.as_millis()), "{both:?}");
        let until = seen.both_until().unwrap() - seen.answers[0].at;
        assert!(until <= Duration::from_millis(10), "{until:?}");
    }

    #[test]
    fn an_address_that_comes_back_later_was_not_held_twice() {
        let seen = holders(&[(0, ONE), (5, TWO), (500, TWO), (505, ONE)]);
        assert_eq!((seen.more_than_one(), seen.changes()), (Duration::ZERO, 2));
        let begun = seen.answers[0].at;
        assert_eq!(seen.first_after(begun, TWO), Some(Duration::from_millis(5)));
    }
}
