//! Clients that stay: one connection each, a request every so often, and a grudge against every hiccup.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, bail};

use super::http::{Connection, Lost, Response};
use super::{PATIENCE, Pace, Recorder, Stop};
use crate::namespace::Namespace;
use crate::undo::lock;

/// How often a keeper asks.
pub const EVERY: Duration = Duration::from_millis(100);

/// Long-lived keep-alive connections.
#[derive(Debug)]
pub struct Keepers {
    stop: Arc<Stop>,
    states: Vec<Arc<Mutex<Kept>>>,
    threads: Vec<JoinHandle<()>>,
}

/// One connection's life.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Kept {
    /// The server at its other end.
    pub server: String,
    /// Requests answered.
    pub answered: u64,
    /// How it was lost, if it was.
    pub lost: Option<String>,
    /// The longest wait for an answer.
    pub slowest: Duration,
}

impl Keepers {
    /// Opens `count` connections to each target and waits until each has had its first answer.
    ///
    /// # Errors
    /// When a connection has no answer within twice the patience of a client.
    pub fn start(
        from: &Namespace,
        targets: &[SocketAddr],
        count: usize,
        recorder: &Arc<Recorder>,
    ) -> Result<Self> {
        let stop = Arc::new(Stop::default());
        let (mut states, mut threads) = (Vec::new(), Vec::new());
        from.inside(|| {
            for target in targets.iter().flat_map(|&target| std::iter::repeat_n(target, count)) {
                let state = Arc::new(Mutex::new(Kept::default()));
                states.push(Arc::clone(&state));
                let (stop, recorder) = (Arc::clone(&stop), Arc::clone(recorder));
                threads.push(std::thread::spawn(move || keep(target, &state, &stop, &recorder)));
            }
            Ok(())
        })?;
        let keepers = Self { stop, states, threads };
        keepers.wait_for_first_answers()?;
        Ok(keepers)
    }

    /// Every connection's life so far.
    pub fn look(&self) -> Vec<Kept> {
        self.states.iter().map(|state| lock(state).clone()).collect()
    }

    /// Closes them all.
    ///
    /// # Errors
    /// When a keeper's thread panicked.
    pub fn stop(self) -> Result<Vec<Kept>> {
        self.stop.tell();
        for thread in self.threads {
            thread.join().map_err(|_| anyhow!("a keeper panicked"))?;
        }
        Ok(self.states.iter().map(|state| lock(state).clone()).collect())
    }

    fn wait_for_first_answers(&self) -> Result<()> {
        let begun = Instant::now();
        while self.look().iter().any(|kept| kept.answered == 0 && kept.lost.is_none()) {
            if begun.elapsed() > PATIENCE * 2 {
                bail!("a long-lived connection had no first answer in {:?}", PATIENCE * 2);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }
}

/// Requests answered over all connections.
pub fn answered(kept: &[Kept]) -> u64 {
    kept.iter().map(|one| one.answered).sum()
}

/// One line for each connection that was lost.
pub fn losses(kept: &[Kept]) -> Vec<String> {
    kept.iter().filter_map(|one| one.lost.clone()).collect()
}

/// The longest wait for an answer.
pub fn slowest(kept: &[Kept]) -> Duration {
    kept.iter().map(|one| one.slowest).max().unwrap_or_default()
}

/// Connections by server.
pub fn by_server(kept: &[Kept]) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for one in kept {
        *counts.entry(one.server.clone()).or_default() += 1;
    }
    counts
}

fn keep(target: SocketAddr, state: &Mutex<Kept>, stop: &Stop, recorder: &Recorder) {
    if let Err(lost) = keep_asking(target, state, stop, recorder) {
        let mut kept = lock(state);
        kept.lost = Some(format!(
            "a connection to {target} on {} after {} answers: {lost}",
            if kept.server.is_empty() { "no server" } else { &kept.server },
            kept.answered
        ));
    }
}

fn keep_asking(
    target: SocketAddr,
    state: &Mutex<Kept>,
    stop: &Stop,
    recorder: &Recorder,
) -> Result<(), Lost> {
    let mut connection = Connection::open(target, PATIENCE)?;
    let mut pace = Pace::every(EVERY);
    while !stop.told() {
        let begun = Instant::now();
        let response = connection.get("/", false)?;
        note(&response, begun.elapsed(), state)?;
        recorder.record(&response.server);
        pace.wait();
    }
    Ok(())
}

fn note(response: &Response, waited: Duration, state: &Mutex<Kept>) -> Result<(), Lost> {
    let mut kept = lock(state);
    if kept.answered > 0 && kept.server != response.server {
        return Err(Lost::Other(format!("answered by {}", response.server)));
    }
    kept.server.clone_from(&response.server);
    kept.answered += 1;
    kept.slowest = kept.slowest.max(waited);
    Ok(())
}

/// A slow download on a connection of its own.
#[derive(Debug)]
pub struct Download {
    thread: JoinHandle<Result<Response, Lost>>,
}

impl Download {
    /// Starts it; the server is known when it ends.
    ///
    /// # Errors
    /// When the namespace cannot be entered.
    pub fn start(from: &Namespace, target: SocketAddr, path: &'static str) -> Result<Self> {
        let thread = from
            .inside(|| Ok(std::thread::spawn(move || Connection::open(target, PATIENCE)?.get(path, true))))?;
        Ok(Self { thread })
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// When it was cut or its thread panicked.
    pub fn finish(self) -> Result<Response> {
        Ok(self.thread.join().map_err(|_| anyhow!("a download panicked"))??)
    }
}
