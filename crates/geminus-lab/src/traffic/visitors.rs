//! Clients that come once: a new connection, one request, gone.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};

use super::http::{Connection, Lost};
use super::{PATIENCE, Pace, Recorder, Stop, Tally};
use crate::namespace::Namespace;
use crate::site::{CLIENTS, Family, client_address};

/// Visitors that come at a steady rate until they are stopped.
#[derive(Debug)]
pub struct Visitors {
    stop: Arc<Stop>,
    threads: Vec<JoinHandle<Tally>>,
}

impl Visitors {
    /// Lets `per_second` visitors come to each target.
    ///
    /// # Errors
    /// When the namespace cannot be entered.
    pub fn start(
        from: &Namespace,
        targets: &[SocketAddr],
        per_second: u32,
        recorder: &Arc<Recorder>,
    ) -> Result<Self> {
        /// One lost SYN must not stop the others.
        const DOORS: u32 = 2;
        let stop = Arc::new(Stop::default());
        let mut threads = Vec::new();
        from.inside(|| {
            for &target in targets {
                for _ in 0..DOORS {
                    let (stop, recorder) = (Arc::clone(&stop), Arc::clone(recorder));
                    let pace = Pace::every(Duration::from_secs(1) * DOORS / per_second.max(1));
                    threads.push(std::thread::spawn(move || keep_visiting(target, pace, &stop, &recorder)));
                }
            }
            Ok(())
        })?;
        Ok(Self { stop, threads })
    }

    /// Ends them and returns what they met.
    ///
    /// # Errors
    /// When a visitor's thread panicked.
    pub fn stop(self) -> Result<Tally> {
        self.stop.tell();
        join(self.threads)
    }
}

/// Lets `count` visitors come as fast as `at_once` of them can.
///
/// # Errors
/// When the namespace cannot be entered.
pub fn count(from: &Namespace, target: SocketAddr, count: u64, at_once: usize) -> Result<Tally> {
    let left = Arc::new(AtomicU64::new(count));
    let threads = from.inside(|| {
        let visitor = || {
            let left = Arc::clone(&left);
            std::thread::spawn(move || {
                let mut tally = Tally::default();
                while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1)).is_ok() {
                    visit(target, &mut tally);
                }
                tally
            })
        };
        Ok((0..at_once).map(|_| visitor()).collect::<Vec<_>>())
    })?;
    join(threads)
}

fn keep_visiting(target: SocketAddr, mut pace: Pace, stop: &Stop, recorder: &Recorder) -> Tally {
    let mut tally = Tally::default();
    while !stop.told() {
        pace.wait();
        if let Some(server) = visit(target, &mut tally) {
            recorder.record(&server);
        }
    }
    tally
}

/// One visit; the name of the server that answered.
fn visit(target: SocketAddr, tally: &mut Tally) -> Option<String> {
    let begun = Instant::now();
    match ask(target) {
        Ok(server) => {
            tally.answer(&server, begun.elapsed());
            Some(server)
        }
        Err(lost) => {
            tally.lost.push(format!("a new connection to {target}: {lost}"));
            tally.lost_at.push(begun);
            None
        }
    }
}

fn ask(target: SocketAddr) -> Result<String, Lost> {
    let response = Connection::open_from(next_client(target), target, PATIENCE)?.get("/", true)?;
    if response.status == 200 {
        Ok(response.server)
    } else {
        Err(Lost::Other(format!("status {}", response.status)))
    }
}

/// Visitors take turns over the client's addresses: a visitor that came with the address and port of an earlier one
/// would be taken for it and sent to the same server.
fn next_client(target: SocketAddr) -> IpAddr {
    static TURN: AtomicU64 = AtomicU64::new(0);
    let turn = TURN.fetch_add(1, Ordering::Relaxed) % u64::from(CLIENTS);
    client_address(turn as u8).of(Family::of(target.ip()))
}

fn join(threads: Vec<JoinHandle<Tally>>) -> Result<Tally> {
    let mut sum = Tally::default();
    for thread in threads {
        sum.add(thread.join().map_err(|_| anyhow!("a visitor panicked"))?);
    }
    Ok(sum)
}
