//! When each cluster address is announced: a quick series when it becomes ours, then a calm refresh.
//!
//! Switches drop or throttle gratuitous ARP and hosts may hold an entry locked for a second, so the series repeats past
//! that second; the refresh heals what was lost nevertheless.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;
use std::time::Duration;

use crate::director::{Instant, Pace};

/// When an address is announced after it became ours.
pub const SERIES: [Duration; 6] = [
    Duration::ZERO,
    Duration::from_millis(50),
    Duration::from_millis(200),
    Duration::from_millis(600),
    Duration::from_millis(1200),
    Duration::from_millis(2500),
];

/// How often it is announced after the series.
pub const REFRESH: Duration = Duration::from_secs(30);

/// Addresses announced in one go; the next go comes [`WINDOW`] later. 10 000 a second: a thousand addresses take 100 ms.
const BURST: u32 = 100;

/// See [`BURST`].
const WINDOW: Duration = Duration::from_millis(10);

/// Announces the addresses that are ours.
#[derive(Debug)]
pub struct Announcer {
    /// For each address that is ours, when its series began and how many announcements of it are done.
    ours: BTreeMap<IpAddr, Progress>,
    due: BTreeSet<(Instant, IpAddr)>,
    ready: VecDeque<IpAddr>,
    pace: Pace,
}

#[derive(Debug, Clone, Copy)]
struct Progress {
    began: Instant,
    done: usize,
    due: Instant,
}

impl Default for Announcer {
    fn default() -> Self {
        Self {
            ours: BTreeMap::new(),
            due: BTreeSet::new(),
            ready: VecDeque::new(),
            pace: Pace::new(BURST, WINDOW),
        }
    }
}

impl Announcer {
    /// Exactly these addresses are ours from now on: new ones begin their series, others go on where they are.
    pub fn own(&mut self, addresses: impl IntoIterator<Item = IpAddr>, now: Instant) {
        let wanted: BTreeSet<_> = addresses.into_iter().collect();
        self.ours.retain(|address, progress| {
            let keep = wanted.contains(address);
            if !keep {
                self.due.remove(&(progress.due, *address));
            }
            keep
        });
        self.ready.retain(|address| wanted.contains(address));
        for address in wanted {
            if !self.ours.contains_key(&address) {
                self.begin(address, now);
            }
        }
    }

    /// Whether an address is ours.
    pub fn owns(&self, address: IpAddr) -> bool {
        self.ours.contains_key(&address)
    }

    /// Begins every series again: the neighbours may have forgotten or missed us.
    pub fn again(&mut self, now: Instant) {
        let ours: Vec<_> = self.ours.keys().copied().collect();
        ours.into_iter().for_each(|address| self.begin(address, now));
    }

    /// Begins the series of one address again, if it is ours: somebody else claims it.
    pub fn defend(&mut self, address: IpAddr, now: Instant) {
        if self.owns(address) {
            self.begin(address, now);
        }
    }

    /// Moves what is due, as far as the pace allows, to [`Self::poll`].
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(&(due, address)) = self.due.first() {
            if due > now || !self.pace.take(now) {
                break;
            }
            self.due.pop_first();
            self.ready.push_back(address);
            self.schedule_next(address, now);
        }
    }

    /// When [`Self::handle_timeout`] wants to be called, if ever.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.due.first().map(|&(due, _)| due.max(self.pace.open_at()))
    }

    /// An address to announce now.
    pub fn poll(&mut self) -> Option<IpAddr> {
        self.ready.pop_front()
    }

    fn begin(&mut self, address: IpAddr, now: Instant) {
        let progress = Progress { began: now, done: 0, due: now + SERIES[0] };
        if let Some(old) = self.ours.insert(address, progress) {
            self.due.remove(&(old.due, address));
        }
        self.due.insert((progress.due, address));
    }

    fn schedule_next(&mut self, address: IpAddr, now: Instant) {
        let Some(progress) = self.ours.get_mut(&address) else { return };
        progress.done += 1;
        progress.due = match SERIES.get(progress.done) {
            // A late start of a long queue must not make the rest of the series come in one lump.
            Some(&offset) => (progress.began + offset).max(now + SERIES[1]),
            None => now + REFRESH,
        };
        self.due.insert((progress.due, address));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Instant {
        Instant::from_start(Duration::from_millis(ms))
    }

    fn address(last: u32) -> IpAddr {
        std::net::Ipv4Addr::from(0xc633_6400 + last).into()
    }

    /// Runs until `end` and returns (milliseconds, address) of every announcement.
    fn run(announcer: &mut Announcer, end: Instant) -> Vec<(u64, IpAddr)> {
        let mut heard = Vec::new();
        while let Some(now) = announcer.poll_timeout().filter(|&when| when <= end) {
            announcer.handle_timeout(now);
            while let Some(address) = announcer.poll() {
                heard.push((now.elapsed().as_millis() as u64, address));
            }
        }
        heard
    }

    #[test]
    fn an_address_is_announced_in_a_quick_series_and_then_calmly() {
        let mut announcer = Announcer::default();
        announcer.own([address(1)], at(0));
        let times: Vec<_> = run(&mut announcer, at(70_000)).into_iter().map(|(when, _)| when).collect();
        assert_eq!(times, [0, 50, 200, 600, 1200, 2500, 32_500, 62_500]);
    }

    #[test]
    fn a_thousand_addresses_are_announced_within_150_ms_and_never_in_one_lump() {
        let mut announcer = Announcer::default();
        announcer.own((0..1000).map(address), at(0));
        let heard = run(&mut announcer, at(150));
        let first: BTreeSet<_> = heard.iter().map(|&(_, address)| address).collect();
        assert_eq!(first.len(), 1000);
        for (when, _) in &heard {
            let together = heard.iter().filter(|(other, _)| other == when).count();
            assert!(together <= BURST as usize, "{together} at {when} ms");
        }
    }

    #[test]
    fn an_address_that_is_no_longer_ours_is_not_announced() {
        let mut announcer = Announcer::default();
        announcer.own([address(1), address(2)], at(0));
        announcer.handle_timeout(at(0));
        announcer.own([address(2)], at(0));
        let heard = run(&mut announcer, at(5_000));
        assert!(heard.iter().all(|&(_, heard)| heard == address(2)));
        assert!(announcer.poll().is_none_or(|heard| heard == address(2)));
    }

    #[test]
    fn an_address_that_stays_ours_does_not_begin_again() {
        let mut announcer = Announcer::default();
        announcer.own([address(1)], at(0));
        run(&mut announcer, at(2_500));
        announcer.own([address(1), address(2)], at(3_000));
        let heard = run(&mut announcer, at(6_000));
        assert_eq!(heard.iter().filter(|&&(_, heard)| heard == address(1)).count(), 0);
        assert_eq!(heard.iter().filter(|&&(_, heard)| heard == address(2)).count(), SERIES.len());
    }

    #[test]
    fn a_claimed_address_is_defended_by_a_new_series() {
        let mut announcer = Announcer::default();
        announcer.own([address(1)], at(0));
        run(&mut announcer, at(10_000));
        announcer.defend(address(1), at(10_000));
        announcer.defend(address(9), at(10_000));
        let heard = run(&mut announcer, at(13_000));
        assert_eq!(heard.len(), SERIES.len());
    }

    #[test]
    fn nobody_owns_nothing_and_waits_for_nothing() {
        let mut announcer = Announcer::default();
        announcer.own([address(1)], at(0));
        announcer.own([], at(1));
        assert_eq!(announcer.poll_timeout(), None);
        assert_eq!(announcer.poll(), None);
    }
}
