//! What the daemon and its program use, four times a second.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::kernel::{RunStatistics, Runs, runs_of};
use crate::measure::{Machine, Usage};
use crate::traffic::Stop;
use crate::undo::lock;

const EVERY: Duration = Duration::from_millis(250);

/// One interval.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Sample {
    /// Its end, on the clock of the answers.
    pub at: Duration,
    /// Share of one processor that the daemon used; none while there is none.
    pub daemon: Option<f64>,
    /// Share of one processor that the program in the kernel used.
    pub program: f64,
    /// Share of the whole machine that was busy.
    pub machine: f64,
    /// Resident memory of the daemon's own, bytes.
    pub memory: u64,
    /// Packets a second that the program saw.
    pub packets: f64,
}

/// All intervals and their sums.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Samples {
    /// The intervals.
    pub samples: Vec<Sample>,
    /// Processor time of all daemons.
    pub daemon: Duration,
    /// Time over which a daemon was watched.
    pub watched: Duration,
    /// The program's runs and time.
    pub program: Runs,
}

/// Watches until stopped.
#[derive(Debug)]
pub(super) struct Sampler {
    subject: Arc<Subject>,
    stop: Arc<Stop>,
    samples: Arc<Mutex<Samples>>,
    thread: Option<JoinHandle<()>>,
    _statistics: Option<RunStatistics>,
}

/// What is watched; 0: nothing.
#[derive(Debug, Default)]
struct Subject {
    pid: AtomicU32,
    program: AtomicU32,
}

impl Samples {
    /// Mean share of one processor that the daemon used.
    pub fn daemon_share(&self) -> f64 {
        ratio(self.daemon, self.watched)
    }

    /// Mean nanoseconds of the program per packet.
    pub fn nanoseconds_per_packet(&self) -> f64 {
        if self.program.count == 0 {
            0.0
        } else {
            self.program.nanoseconds as f64 / self.program.count as f64
        }
    }

    /// The most memory of its own that a daemon had.
    pub fn peak_memory(&self) -> u64 {
        self.samples.iter().map(|sample| sample.memory).max().unwrap_or(0)
    }
}

impl Sampler {
    /// Begins; the times of the samples count from `clock`.
    pub(super) fn start(clock: Instant) -> Self {
        let (subject, stop, samples) = <(Arc<Subject>, Arc<Stop>, Arc<Mutex<Samples>>)>::default();
        let worker = (Arc::clone(&subject), Arc::clone(&stop), Arc::clone(&samples));
        let thread = std::thread::spawn(move || watch(clock, &worker.0, &worker.1, &worker.2));
        // An old kernel without the statistics costs the report one figure, not the demonstration.
        Self { subject, stop, samples, thread: Some(thread), _statistics: RunStatistics::enable().ok() }
    }

    /// Says which daemon and which program to watch from now on.
    pub(super) fn look_at(&self, pid: u32, program: u32) {
        self.subject.pid.store(pid, Ordering::Relaxed);
        self.subject.program.store(program, Ordering::Relaxed);
    }

    /// Says that there is no daemon now.
    pub(super) fn no_daemon(&self) {
        self.subject.pid.store(0, Ordering::Relaxed);
    }

    /// Everything so far.
    pub(super) fn samples(&self) -> Samples {
        lock(&self.samples).clone()
    }
}

impl Drop for Sampler {
    fn drop(&mut self) {
        self.stop.tell();
        if let Some(thread) = self.thread.take() {
            // Dropping has nobody to tell about a panic that was printed already.
            let _ = thread.join();
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Reading {
    taken: Instant,
    pid: u32,
    program_id: u32,
    usage: Option<Usage>,
    runs: Option<Runs>,
    machine: Machine,
}

fn watch(clock: Instant, subject: &Subject, stop: &Stop, samples: &Mutex<Samples>) {
    let mut before = Reading::take(subject);
    while !stop.told() {
        std::thread::sleep(EVERY);
        let now = Reading::take(subject);
        lock(samples).add(clock, before, now);
        before = now;
    }
}

impl Reading {
    fn take(subject: &Subject) -> Self {
        let (pid, program_id) =
            (subject.pid.load(Ordering::Relaxed), subject.program.load(Ordering::Relaxed));
        Self {
            taken: Instant::now(),
            pid,
            program_id,
            usage: (pid != 0).then(|| Usage::of(pid).ok()).flatten(),
            runs: (program_id != 0).then(|| runs_of(program_id).ok()).flatten(),
            machine: Machine::read().unwrap_or_default(),
        }
    }
}

impl Samples {
    fn add(&mut self, clock: Instant, before: Reading, now: Reading) {
        let passed = now.taken - before.taken;
        let mut sample = Sample {
            at: now.taken - clock,
            machine: now.machine.busy_since(before.machine),
            memory: now.usage.map_or(0, |usage| usage.own_memory),
            ..Sample::default()
        };
        if let (Some(old), Some(new)) = (before.usage, now.usage) {
            // A daemon that has just been started is charged with its start.
            let used = if before.pid == now.pid { new.cpu.saturating_sub(old.cpu) } else { new.cpu };
            sample.daemon = Some(ratio(used, passed));
            self.daemon += used;
            self.watched += passed;
        }
        if let (Some(old), Some(new), true) = (before.runs, now.runs, before.program_id == now.program_id) {
            let runs = Runs {
                count: new.count.saturating_sub(old.count),
                nanoseconds: new.nanoseconds.saturating_sub(old.nanoseconds),
            };
            sample.program = ratio(Duration::from_nanos(runs.nanoseconds), passed);
            sample.packets = runs.count as f64 / passed.as_secs_f64();
            self.program.count += runs.count;
            self.program.nanoseconds += runs.nanoseconds;
        }
        self.samples.push(sample);
    }
}

fn ratio(part: Duration, whole: Duration) -> f64 {
    if whole.is_zero() { 0.0 } else { part.as_secs_f64() / whole.as_secs_f64() }
}
