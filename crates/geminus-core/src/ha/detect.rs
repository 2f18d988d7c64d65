//! Whether a partner lives: suspect, then confirm, then act.
//!
//! ```text
//!            beat                      beat                   beat
//!          ┌──────────────── Alive ◄──────────────────────────────────────────┐
//!          │                   │ silent for `suspect` heartbeats              │
//!          │                   ▼                                              │
//!   Unheard│               Suspect ── no answer within `confirm` ──► Gone ────┤
//!          │ answer            │ answer                    answer │            │
//!          └────────────────►  ▼  ◄──────────────────────────────┘            │
//!                            Mute ── no answer for `suspect` heartbeats ─► Suspect
//!                              └──────────────────────────────────────────────┘
//! ```
//!
//! A beat proves the daemon, an answered probe proves interface, kernel and program. What counts is when a frame came,
//! not when it was looked at; a time in which this node did not run counts for nothing ([`Detector::excuse`]).

use std::collections::VecDeque;
use std::time::Duration;

use super::Instant;
use crate::model::Timers;

/// While all is well one probe a second shows how long the way is.
const CALM: Duration = Duration::from_secs(1);

/// Part of the time to confirm in which the probes leave; the rest is for the last answers.
const LEAVING: (u32, u32) = (4, 5);

/// A path is down after so many silent heartbeats, but not before [`PATH_LEAST`].
const PATH_BEATS: u32 = 8;

/// See [`PATH_BEATS`].
const PATH_LEAST: Duration = Duration::from_millis(400);

/// Probes of which it is remembered when they left.
const REMEMBERED: usize = 256;

/// Whether a partner lives, as far as is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Life {
    /// Nothing ever came.
    Unheard,
    /// Its daemon speaks.
    Alive,
    /// It is silent, and asked.
    Suspect {
        /// Since when it is asked.
        since: Instant,
    },
    /// Its program answers, its daemon does not speak.
    Mute {
        /// When the newest answer came.
        answered: Instant,
    },
    /// Neither.
    Gone {
        /// When the asking began that stayed without an answer.
        asked: Instant,
    },
}

impl Life {
    /// The word used in output.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Unheard => "unheard",
            Self::Alive => "alive",
            Self::Suspect { .. } => "suspect",
            Self::Mute { .. } => "mute",
            Self::Gone { .. } => "gone",
        }
    }
}

/// What one path shows.
#[derive(Debug, Clone, Default)]
struct Watch {
    /// When the newest beat came.
    heard: Option<Instant>,
    /// Sequence of the newest beat.
    sequence: u64,
    /// Which of the 64 beats up to it came, the newest in the lowest bit.
    came: u64,
    up: bool,
    round_trip: Option<Duration>,
}

/// A burst of probes.
#[derive(Debug, Clone, Copy)]
struct Burst {
    sent: u32,
    next: Instant,
    until: Instant,
}

/// What is known of one partner's life.
#[derive(Debug, Clone)]
pub struct Detector {
    timers: Timers,
    watches: Vec<Watch>,
    life: Life,
    burst: Option<Burst>,
    /// Before this nothing is held against the partner.
    excused: Instant,
    /// Where no burst is under way: when the next probe leaves.
    calm: Instant,
    next_probe: u64,
    /// First probe of the newest burst.
    burst_first: u64,
    left: VecDeque<(u64, Instant)>,
    probes_unanswered: u32,
    wanted: VecDeque<(usize, u64)>,
}

/// What became of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PathChange {
    /// Number of the path.
    pub path: usize,
    /// Whether frames come by it now.
    pub up: bool,
}

impl Detector {
    /// A partner that was never heard, with so many paths to it.
    pub fn new(timers: Timers, paths: usize, now: Instant) -> Self {
        Self {
            timers,
            watches: vec![Watch::default(); paths],
            life: Life::Unheard,
            burst: None,
            excused: now,
            calm: now,
            next_probe: 1,
            burst_first: 1,
            left: VecDeque::new(),
            probes_unanswered: 0,
            wanted: VecDeque::new(),
        }
    }

    /// Other timers, or another number of paths.
    pub fn configure(&mut self, timers: Timers, paths: usize) {
        self.timers = timers;
        self.watches.resize(paths, Watch::default());
        self.wanted.retain(|&(path, _)| path < paths);
    }

    /// Whether it lives.
    pub const fn life(&self) -> Life {
        self.life
    }

    /// When the newest beat came by any path.
    pub fn heard(&self) -> Option<Instant> {
        self.watches.iter().filter_map(|watch| watch.heard).max()
    }

    /// Probes of the last burst that were not answered, over all paths.
    pub const fn unanswered(&self) -> u32 {
        self.probes_unanswered
    }

    /// Whether frames come by a path.
    pub fn is_up(&self, path: usize) -> bool {
        self.watches.get(path).is_some_and(|watch| watch.up)
    }

    /// When the newest beat came by a path.
    pub fn heard_by(&self, path: usize) -> Option<Instant> {
        self.watches.get(path)?.heard
    }

    /// Sequence of the newest beat that came by a path; 0: none.
    pub fn sequence(&self, path: usize) -> u64 {
        self.watches.get(path).map_or(0, |watch| watch.sequence)
    }

    /// Part of the last 64 beats that did not come by a path, 0 to 1.
    pub fn loss(&self, path: usize) -> f64 {
        let Some(watch) = self.watches.get(path) else { return 1.0 };
        let seen = watch.sequence.min(64) as u32;
        if seen == 0 || !watch.up {
            return 1.0;
        }
        f64::from(seen - watch.came.count_ones().min(seen)) / f64::from(seen)
    }

    /// Round trip of the newest answered probe of a path.
    pub fn round_trip(&self, path: usize) -> Option<Duration> {
        self.watches.get(path)?.round_trip
    }

    /// A beat came. A partner that was started anew counts from 1 again (`fresh`).
    pub fn beat(&mut self, path: usize, sequence: u64, fresh: bool, arrived: Instant) -> Option<PathChange> {
        if fresh {
            for watch in &mut self.watches {
                (watch.sequence, watch.came) = (0, 0);
            }
        }
        let watch = self.watches.get_mut(path)?;
        watch.note(sequence);
        watch.heard = Some(watch.heard.map_or(arrived, |heard| heard.max(arrived)));
        let silent = self.timers.heartbeat * self.timers.suspect;
        let is_news = match self.life {
            // One that was on its way when the asking began says nothing about now, unless it is recent.
            Life::Suspect { since } | Life::Gone { asked: since } => arrived + silent > since,
            Life::Unheard | Life::Alive | Life::Mute { .. } => true,
        };
        if is_news {
            self.life = Life::Alive;
            self.burst = None;
        }
        let came_up = !std::mem::replace(&mut watch.up, true);
        came_up.then_some(PathChange { path, up: true })
    }

    /// A probe was answered: when it had left; none if nobody sent it.
    pub fn answer(&mut self, path: usize, probe: u64, arrived: Instant) -> Option<Instant> {
        let left = self.left.iter().find(|&&(number, _)| number == probe).map(|&(_, left)| left)?;
        if let Some(watch) = self.watches.get_mut(path) {
            watch.round_trip = Some(arrived.since(left));
        }
        match self.life {
            Life::Alive => {}
            Life::Suspect { .. } if probe < self.burst_first => {}
            Life::Mute { answered } => self.life = Life::Mute { answered: answered.max(arrived) },
            Life::Unheard | Life::Suspect { .. } | Life::Gone { .. } => {
                self.life = Life::Mute { answered: arrived };
                self.burst = None;
                self.calm = arrived + self.timers.heartbeat;
            }
        }
        Some(left)
    }

    /// This node did not run until now: nothing of that time is held against the partner.
    pub fn excuse(&mut self, now: Instant) {
        self.excused = now;
        match self.life {
            Life::Suspect { .. } => {
                self.life = if self.heard().is_some() { Life::Alive } else { Life::Unheard };
                self.burst = None;
            }
            Life::Mute { .. } => self.life = Life::Mute { answered: now },
            Life::Unheard | Life::Alive | Life::Gone { .. } => {}
        }
    }

    /// This node did not run for long: who was gone before is asked again before anything is built on that.
    pub fn doubt(&mut self, now: Instant) {
        if let Life::Gone { asked } = self.life {
            self.suspect(now);
            // What came since the first asking is news, also if it came while this node did not run.
            self.life = Life::Suspect { since: asked };
        }
    }

    /// When [`Self::handle_timeout`] wants to be called.
    pub fn poll_timeout(&self) -> Instant {
        let silence = match self.life {
            Life::Alive => Some(self.believed_until()),
            Life::Mute { answered } => Some(answered + self.timers.heartbeat * self.timers.suspect),
            Life::Unheard | Life::Suspect { .. } | Life::Gone { .. } => None,
        };
        let probe = match self.burst {
            Some(burst) if burst.sent < self.timers.probes => burst.next.min(burst.until),
            Some(burst) => burst.until,
            None => self.calm,
        };
        let path = self.path_due().unwrap_or(probe);
        silence.map_or(probe, |silence| silence.min(probe)).min(path)
    }

    /// Does what is due: suspects, confirms, probes. Every frame that came by now was passed on before.
    pub fn handle_timeout(&mut self, now: Instant) -> Vec<PathChange> {
        match self.life {
            Life::Alive if self.believed_until() <= now => self.suspect(now),
            Life::Mute { answered } if answered + self.timers.heartbeat * self.timers.suspect <= now => {
                self.suspect(now);
            }
            _ => {}
        }
        match self.burst {
            Some(_) => self.burst(now),
            None if self.calm <= now => self.probe_calmly(now),
            None => {}
        }
        let silent = self.path_patience();
        let mut changes = Vec::new();
        if self.life == Life::Alive {
            for (path, watch) in self.watches.iter_mut().enumerate() {
                let last = watch.heard.unwrap_or(Instant::START).max(self.excused);
                if watch.up && last + silent <= now {
                    watch.up = false;
                    changes.push(PathChange { path, up: false });
                }
            }
        }
        changes
    }

    /// A probe to send: by which path, and its number.
    pub fn poll_probe(&mut self, now: Instant) -> Option<(usize, u64)> {
        let (path, probe) = self.wanted.pop_front()?;
        if self.left.len() == REMEMBERED {
            self.left.pop_front();
        }
        self.left.push_back((probe, now));
        Some((path, probe))
    }

    /// Until when a partner that spoke is believed to live.
    fn believed_until(&self) -> Instant {
        self.heard().unwrap_or(Instant::START).max(self.excused) + self.timers.heartbeat * self.timers.suspect
    }

    /// How long a path may be silent and still count as up.
    pub(super) fn path_patience(&self) -> Duration {
        (self.timers.heartbeat * PATH_BEATS.max(self.timers.suspect + 1)).max(PATH_LEAST)
    }

    fn path_due(&self) -> Option<Instant> {
        if self.life != Life::Alive {
            return None;
        }
        let silent = self.path_patience();
        let last = |watch: &Watch| watch.heard.unwrap_or(Instant::START).max(self.excused) + silent;
        self.watches.iter().filter(|watch| watch.up).map(last).min()
    }

    fn suspect(&mut self, now: Instant) {
        self.life = Life::Suspect { since: now };
        self.burst = Some(Burst { sent: 0, next: now, until: now + self.timers.confirm });
        self.burst_first = self.next_probe;
        self.probes_unanswered = 0;
    }

    fn burst(&mut self, now: Instant) {
        let Some(mut burst) = self.burst else { return };
        let gap = self.timers.confirm * LEAVING.0 / LEAVING.1 / self.timers.probes.max(1);
        while burst.sent < self.timers.probes && burst.next <= now {
            self.probe_everywhere();
            self.probes_unanswered += self.watches.len() as u32;
            burst.sent += 1;
            burst.next += gap;
        }
        if burst.sent == self.timers.probes {
            // The last ones have time to be answered, however late they left.
            let last_left = if burst.next <= now { now } else { burst.next };
            burst.until = burst.until.max(last_left);
        }
        if burst.sent == self.timers.probes && burst.until <= now {
            if let Life::Suspect { since } = self.life {
                self.life = Life::Gone { asked: since };
            }
            self.burst = None;
            self.calm = now + self.timers.heartbeat;
        } else {
            self.burst = Some(burst);
        }
    }

    fn probe_calmly(&mut self, now: Instant) {
        self.probe_everywhere();
        self.calm = now
            + match self.life {
                Life::Alive => CALM,
                Life::Mute { .. } | Life::Unheard | Life::Suspect { .. } => self.timers.heartbeat,
                Life::Gone { .. } => self.timers.heartbeat * 4,
            };
    }

    fn probe_everywhere(&mut self) {
        for path in 0..self.watches.len() {
            self.wanted.push_back((path, self.next_probe));
            self.next_probe += 1;
        }
    }
}

impl Watch {
    /// Notes that a beat came.
    fn note(&mut self, sequence: u64) {
        if sequence > self.sequence {
            let ahead = sequence - self.sequence;
            self.came = if ahead < 64 { self.came << ahead | 1 } else { 1 };
            self.sequence = sequence;
        } else if self.sequence - sequence < 64 {
            self.came |= 1 << (self.sequence - sequence);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATHS: usize = 2;

    fn at(ms: u64) -> Instant {
        Instant::from_start(Duration::from_millis(ms))
    }

    fn heard_once() -> Detector {
        let mut detector = Detector::new(Timers::DEFAULT, PATHS, at(0));
        detector.beat(0, 1, true, at(0));
        detector
    }

    /// Runs to `end`; returns the probes that left, with when.
    fn run(detector: &mut Detector, end: Instant) -> Vec<(Instant, usize, u64)> {
        let mut left = Vec::new();
        while detector.poll_timeout() <= end {
            let now = detector.poll_timeout();
            detector.handle_timeout(now);
            while let Some((path, probe)) = detector.poll_probe(now) {
                left.push((now, path, probe));
            }
        }
        left
    }

    #[test]
    fn silence_is_suspected_then_asked_about_then_believed() {
        let mut detector = heard_once();
        run(&mut detector, at(149));
        assert_eq!(detector.life(), Life::Alive);
        let probes = run(&mut detector, at(199));
        assert_eq!(detector.life(), Life::Suspect { since: at(150) });
        assert_eq!(probes.len(), PATHS * 10, "ten on every path");
        assert!(probes.iter().all(|&(when, ..)| when <= at(190)), "the last ones have time to be answered");
        run(&mut detector, at(200));
        assert_eq!(detector.life(), Life::Gone { asked: at(150) });
        assert_eq!(detector.unanswered(), 20);
    }

    #[test]
    fn one_answer_to_one_probe_is_proof_of_the_program() {
        let mut detector = heard_once();
        let probes = run(&mut detector, at(190));
        let &(_, path, probe) = probes.last().expect("there are probes");
        detector.answer(path, probe, at(195));
        run(&mut detector, at(340));
        assert_eq!(detector.life(), Life::Mute { answered: at(195) });
        run(&mut detector, at(395));
        assert!(matches!(detector.life(), Life::Gone { .. }), "{:?}", detector.life());
    }

    #[test]
    fn an_answer_to_a_probe_from_before_the_silence_proves_nothing() {
        let mut detector = heard_once();
        let early = run(&mut detector, at(100));
        let &(_, path, probe) = early.first().expect("all is well, and asked about");
        run(&mut detector, at(160));
        detector.answer(path, probe, at(161));
        assert!(matches!(detector.life(), Life::Suspect { .. }));
        detector.answer(path, 1 << 40, at(162));
        assert!(matches!(detector.life(), Life::Suspect { .. }), "nobody sent that one");
    }

    #[test]
    fn a_node_that_did_not_run_accuses_nobody() {
        let mut detector = heard_once();
        detector.excuse(at(10_000));
        detector.handle_timeout(at(10_000));
        assert_eq!(detector.life(), Life::Alive);
        run(&mut detector, at(10_149));
        assert_eq!(detector.life(), Life::Alive);
        run(&mut detector, at(10_200));
        assert!(matches!(detector.life(), Life::Gone { .. }));
    }

    #[test]
    fn probes_that_leave_late_are_waited_for() {
        let mut detector = heard_once();
        detector.handle_timeout(at(150));
        detector.handle_timeout(at(199));
        while detector.poll_probe(at(199)).is_some() {}
        detector.handle_timeout(at(200));
        assert!(
            detector.poll_timeout() <= at(200)
                || matches!(detector.life(), Life::Suspect { .. } | Life::Gone { .. })
        );
    }

    #[test]
    fn a_cut_path_is_noticed_while_the_other_one_lives() {
        let mut detector = heard_once();
        detector.beat(1, 1, false, at(0));
        let mut changes = Vec::new();
        for beat in 1..20 {
            let now = at(beat * 50);
            detector.beat(1, beat + 1, false, now);
            changes.extend(detector.handle_timeout(now));
        }
        assert_eq!(changes, [PathChange { path: 0, up: false }]);
        assert!(!detector.is_up(0) && detector.is_up(1));
        assert!((detector.loss(0) - 1.0).abs() < f64::EPSILON);
        assert!(detector.loss(1) < f64::EPSILON);
        assert_eq!(detector.beat(0, 21, false, at(1_000)), Some(PathChange { path: 0, up: true }));
    }

    #[test]
    fn loss_is_counted_over_the_last_beats() {
        let mut detector = Detector::new(Timers::DEFAULT, 1, at(0));
        for sequence in (1..=64).filter(|sequence| sequence % 4 != 0) {
            detector.beat(0, sequence, false, at(sequence * 50));
        }
        assert!((detector.loss(0) - 15.0 / 63.0).abs() < 0.01, "{}", detector.loss(0));
    }
}
