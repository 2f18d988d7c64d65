//! Being active is a lease: renewed several times in its length, given up by itself when nobody renews it.

use std::time::Duration;

use super::Instant;

/// Renewals in the length of a lease: four may fail or come late before the data plane yields.
pub(super) const RENEWALS: u32 = 5;

/// What the machine does about its lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Renewal {
    /// In time.
    Routine,
    /// The lease had run out: the data plane owned nothing for this long.
    Lapsed(Duration),
}

/// The lease of one node.
#[derive(Debug)]
pub(super) struct Lease {
    length: Duration,
    /// When it was renewed last; none while the node is standby.
    renewed: Option<Instant>,
    /// Since when it is held, or not.
    since: Instant,
}

impl Lease {
    pub(super) const fn new(length: Duration, now: Instant) -> Self {
        Self { length, renewed: None, since: now }
    }

    /// Since when it is held, or not.
    pub(super) const fn since(&self) -> Instant {
        self.since
    }

    pub(super) const fn length(&self) -> Duration {
        self.length
    }

    pub(super) const fn is_held(&self) -> bool {
        self.renewed.is_some()
    }

    /// Takes or prolongs it now; the caller tells the data plane.
    pub(super) fn take(&mut self, length: Duration, now: Instant) {
        self.length = length;
        if self.renewed.is_none() {
            self.since = now;
        }
        self.renewed = Some(now);
    }

    pub(super) const fn give_up(&mut self, now: Instant) {
        self.renewed = None;
        self.since = now;
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.renewed.map(|renewed| renewed + self.length / RENEWALS)
    }

    /// Renews it if that is due; the caller tells the data plane.
    pub(super) fn handle_timeout(&mut self, now: Instant) -> Option<Renewal> {
        let renewed = self.renewed.filter(|_| self.poll_timeout().is_some_and(|due| due <= now))?;
        self.renewed = Some(now);
        let pause = now.since(renewed);
        Some(match pause.checked_sub(self.length) {
            None => Renewal::Routine,
            Some(over) => Renewal::Lapsed(over),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LENGTH: Duration = Duration::from_secs(5);

    fn at(ms: u64) -> Instant {
        Instant::from_start(Duration::from_millis(ms))
    }

    #[test]
    fn a_lease_is_renewed_several_times_in_its_length() {
        let mut lease = Lease::new(LENGTH, at(0));
        lease.take(LENGTH, at(0));
        let mut renewals = 0;
        while let Some(due) = lease.poll_timeout().filter(|&due| due < at(5_000)) {
            assert_eq!(lease.handle_timeout(due), Some(Renewal::Routine));
            renewals += 1;
        }
        assert_eq!(renewals, RENEWALS - 1);
    }

    #[test]
    fn nobody_renews_a_lease_that_is_not_held() {
        let mut lease = Lease::new(LENGTH, at(0));
        assert_eq!(lease.poll_timeout(), None);
        assert_eq!(lease.handle_timeout(at(60_000)), None);
        lease.take(LENGTH, at(60_000));
        lease.give_up(at(60_000));
        assert_eq!(lease.handle_timeout(at(120_000)), None);
    }

    #[test]
    fn a_pause_longer_than_the_lease_is_told() {
        let mut lease = Lease::new(LENGTH, at(0));
        lease.take(LENGTH, at(0));
        assert_eq!(lease.handle_timeout(at(4_999)), Some(Renewal::Routine));
        assert_eq!(lease.handle_timeout(at(12_000)), Some(Renewal::Lapsed(Duration::from_millis(2_001))));
    }
}
