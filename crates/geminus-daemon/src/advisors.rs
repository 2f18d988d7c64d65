//! Who asks servers how they are: a thread of its own beside the loop, with sockets of its own.
//!
//! The driver hands it checks and second looks and takes what came of them. It shares no lock with anybody, runs at the
//! priority of everything else, and a server can take nothing from it but the time that its own check may take. See
//! `docs/design/advisors.md`.

mod bounds;
mod check;
mod conversation;
mod echo;
mod http2;
mod look;
mod program;
mod road;
mod source;
#[cfg(test)]
mod tests;
mod thread;
mod tls;
mod words;

use std::future::pending;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use geminus_core::director::Input;
use geminus_core::health::{Probe, Question};
use geminus_core::neighbour::Mac;
use tokio::sync::mpsc;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval};

use self::bounds::{NEWS, ORDERS, SIGN_EVERY, SIGNS};
pub use self::program::run_programs;
use self::thread::Thread;

/// Where a server is, as the driver knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Way {
    /// By which road packets reach it.
    pub(crate) place: Place,
    /// Whether it is a dispatcher of the site: its own program answers ARP and echo for what it is active for.
    pub(crate) is_dispatcher: bool,
}

/// See [`Way::place`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// It is this very machine.
    Here,
    /// On the link of an interface.
    Link {
        /// The kernel's index of the interface.
        index: u32,
        /// Its name.
        name: String,
        /// Its hardware address and the server's; none: nobody knows it yet.
        macs: Option<[Mac; 2]>,
    },
    /// Behind a router.
    Behind(IpAddr),
}

/// What the thread is told.
#[derive(Debug)]
enum Order {
    /// Make this check.
    Probe(Probe, Way),
    /// Look why, or whether.
    Look(Question, Way),
}

/// The thread, as the driver has it. It begins with the first thing there is to do.
#[derive(Debug)]
pub(crate) struct Advisors {
    running: Option<Running>,
    /// What ends at once must not be begun anew for ever without a breath.
    not_before: Instant,
    watch: Interval,
}

#[derive(Debug)]
struct Running {
    orders: mpsc::Sender<Order>,
    news: mpsc::Receiver<Input>,
    /// Goes on while the thread does.
    beat: Arc<AtomicU64>,
    seen_beat: u64,
    /// How often in a row it was looked at and had not gone on.
    still: u32,
}

impl Advisors {
    /// No thread yet.
    pub(crate) fn new() -> Self {
        let mut watch = interval(SIGN_EVERY);
        watch.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { running: None, not_before: Instant::now(), watch }
    }

    /// Makes a check; what comes of it is heard.
    pub(crate) fn probe(&mut self, probe: Probe, way: Way) {
        self.order(Order::Probe(probe, way));
    }

    /// Looks a second time; what comes of it is heard.
    pub(crate) fn look(&mut self, question: Question, way: Way) {
        self.order(Order::Look(question, way));
    }

    fn order(&mut self, order: Order) {
        if self.running.is_none() {
            if Instant::now() < self.not_before {
                return;
            }
            match Running::start() {
                Ok(running) => self.running = Some(running),
                Err(error) => return tracing::warn!(%error, "the advisors' thread cannot be started"),
            }
        }
        if let Some(running) = &self.running {
            // Full: it is silent, and whoever watches says so. Closed: its end is heard, and it begins anew.
            drop(running.orders.try_send(order));
        }
    }

    /// What else has come by now.
    pub(crate) fn heard_by_now(&mut self) -> Option<Input> {
        self.running.as_mut()?.news.try_recv().ok()
    }

    /// The next thing that came of anything, or that nothing does.
    pub(crate) async fn heard(&mut self) -> Input {
        loop {
            let Some(running) = &mut self.running else { return pending().await };
            tokio::select! {
                news = running.news.recv() => match news {
                    Some(input) => return input,
                    None => {
                        tracing::warn!("the advisors' thread has ended; it begins anew");
                        self.running = None;
                        self.not_before = Instant::now() + SIGN_EVERY;
                        return Input::AdvisorsSilent(SIGN_EVERY);
                    }
                },
                _ = self.watch.tick() => {
                    if let Some(silence) = running.silence() {
                        return Input::AdvisorsSilent(silence);
                    }
                }
            }
        }
    }
}

impl Running {
    fn start() -> io::Result<Self> {
        let (orders, ordered) = mpsc::channel(ORDERS);
        let (told, news) = mpsc::channel(NEWS);
        let beat = Arc::new(AtomicU64::new(0));
        let thread = Thread::new(ordered, told, Arc::clone(&beat));
        // It ends when nobody has the sender any more; whoever drops this does not wait for it.
        std::thread::Builder::new().name("advisors".to_owned()).spawn(move || thread.run())?;
        Ok(Self { orders, news, beat, seen_beat: 0, still: 0 })
    }

    /// How long the thread has not gone on, once that is too long. Counted in looks, not in time: while this process did not
    /// run, nobody's silence means anything.
    fn silence(&mut self) -> Option<Duration> {
        let beat = self.beat.load(Ordering::Relaxed);
        self.still = if beat == self.seen_beat { self.still + 1 } else { 0 };
        self.seen_beat = beat;
        (self.still >= SIGNS && self.still.is_multiple_of(SIGNS)).then(|| SIGN_EVERY * self.still)
    }
}
