//! A content host: workers, a queue before them, and an agent that looks at both.

use std::collections::VecDeque;

use super::scene::Power;
use crate::time::{Nanos, SECOND};

/// Looks that an agent averages over, one a second.
const LOOKS: usize = 3;

/// What a host works on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Job {
    /// Whose it is; none: a check.
    pub(super) flow: Option<u32>,
    /// When it came.
    pub(super) came: Nanos,
    /// How long a usual host works on it.
    pub(super) work: Nanos,
}

/// A content host.
#[derive(Debug)]
pub(super) struct Host {
    power: Power,
    busy: u32,
    queue: VecDeque<Job>,
    /// Until when the sums below are right.
    seen: Nanos,
    /// Time that workers worked, together.
    worked: u128,
    /// Time in which somebody had to wait.
    waited: u128,
    looks: VecDeque<(Nanos, u128, u128)>,
}

impl Host {
    pub(super) fn new(power: Power) -> Self {
        Self {
            power,
            busy: 0,
            queue: VecDeque::new(),
            seen: 0,
            worked: 0,
            waited: 0,
            looks: VecDeque::from([(0, 0, 0)]),
        }
    }

    /// A job comes. How long until it is done, if a worker takes it at once.
    pub(super) fn take(&mut self, job: Job, now: Nanos) -> Option<Nanos> {
        self.pass(now);
        if self.busy < self.power.workers {
            self.busy += 1;
            return Some(self.length(job));
        }
        self.queue.push_back(job);
        None
    }

    /// A worker is done. What it does next, and how long.
    pub(super) fn finish(&mut self, now: Nanos) -> Option<(Job, Nanos)> {
        self.pass(now);
        let next = self.queue.pop_front();
        match next {
            Some(job) => Some((job, self.length(job))),
            None => {
                self.busy -= 1;
                None
            }
        }
    }

    /// From now on what it begins takes so many times longer than usual.
    pub(super) const fn turn(&mut self, slowness: u32) {
        self.power.slowness = slowness;
    }

    /// What part of all workers' time was worked, so far.
    pub(super) fn worked(&mut self, now: Nanos) -> f64 {
        self.pass(now);
        self.worked as f64 / f64::from(self.power.workers)
    }

    /// The load, as its agent says it: what part of the last seconds it worked, and more by what part of them somebody waited.
    pub(super) fn look(&mut self, now: Nanos) -> u16 {
        self.pass(now);
        while self.looks.len() > LOOKS {
            self.looks.pop_front();
        }
        let &(then, worked, waited) = self.looks.front().unwrap_or(&(0, 0, 0));
        self.looks.push_back((now, self.worked, self.waited));
        let passed = u128::from((now - then).max(1));
        let busy = (self.worked - worked) * 1000 / (passed * u128::from(self.power.workers));
        let waiting = (self.waited - waited) * 1000 / passed;
        u16::try_from(busy + busy * waiting / 1000).unwrap_or(u16::MAX)
    }

    const fn length(&self, job: Job) -> Nanos {
        job.work * self.power.slowness as u64
    }

    fn pass(&mut self, now: Nanos) {
        let passed = u128::from(now - self.seen);
        self.worked += passed * u128::from(self.busy);
        self.waited += if self.queue.is_empty() { 0 } else { passed };
        self.seen = now;
    }
}

/// Time between two looks of an agent.
pub(super) const LOOK: Nanos = SECOND;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::MS;

    const JOB: Job = Job { flow: None, came: 0, work: 100 * MS };

    #[test]
    fn a_job_waits_until_a_worker_is_free() {
        let mut host = Host::new(Power { workers: 2, slowness: 3 });
        assert_eq!(host.take(JOB, 0), Some(300 * MS));
        assert_eq!(host.take(JOB, 0), Some(300 * MS));
        assert_eq!(host.take(JOB, 0), None);
        assert!(host.finish(300 * MS).is_some(), "the one that waited");
        assert!(host.finish(300 * MS).is_none());
        assert!(host.finish(600 * MS).is_none());
        assert!((host.worked(SECOND) - 450e6).abs() < 1.0, "two for 300 ms and one for 300 of two workers");
    }

    #[test]
    fn a_host_at_which_jobs_wait_is_more_than_fully_loaded() {
        let mut host = Host::new(Power { workers: 1, slowness: 1 });
        assert_eq!(host.look(SECOND), 0);
        for _ in 0..3 {
            host.take(Job { work: 10 * SECOND, ..JOB }, SECOND);
        }
        assert_eq!(host.look(4 * SECOND), 1312, "three of four seconds busy, and somebody waited as long");
        let _ = host.look(5 * SECOND);
        let _ = host.look(6 * SECOND);
        assert_eq!(host.look(7 * SECOND), 2000);
    }
}
