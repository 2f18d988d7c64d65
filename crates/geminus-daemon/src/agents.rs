//! The agents of content hosts, as this node hears them: a thread of its own on the agents' port.
//!
//! Neither the loop nor the thread of heartbeats ever waits for it, and what strangers send to the port costs nobody's time
//! but its own. What is believed is decided by [`geminus_core::agent::Hearing`].

mod keys;
mod refusals;
#[cfg(test)]
mod tests;
mod thread;

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use geminus_core::agent::Counts;
use geminus_core::director::Input;
use geminus_core::key::AgentsKey;
use geminus_core::model::{Node, Site};
use rustix::event::{EventfdFlags, eventfd};
use tokio::sync::mpsc;

use crate::driver::Clock;

use self::thread::Thread;

pub(crate) use self::keys::of_site;
pub use self::keys::{AgentKeyFile, check as check_agent_keys, read as read_agent_keys};

/// Reports that may wait for the loop: it is busy for seconds while large tables are written, and agents repeat themselves.
const NEWS: usize = 4096;

/// What the thread needs to know of the site.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct AgentsSite {
    /// Where agents are heard.
    pub(crate) at: SocketAddr,
    /// What they may be made with.
    pub(crate) keys: Vec<AgentsKey>,
    /// Whose word counts: every address that a server of the node's clusters has.
    pub(crate) hosts: BTreeSet<IpAddr>,
    /// After which time without a report an agent is lost.
    pub(crate) timeout: Duration,
}

impl AgentsSite {
    /// None: agents are not heard.
    pub(crate) fn of(site: &Site, node: &Node, keys: &[AgentsKey]) -> Option<Self> {
        let clusters = site.clusters.iter().filter(|cluster| cluster.is_of(&node.name));
        let servers = clusters.flat_map(|cluster| &cluster.services).flat_map(|one| &one.servers);
        site.agents.enabled.then(|| Self {
            at: SocketAddr::new(node.address, site.agents.port),
            keys: keys.to_vec(),
            hosts: servers.map(|server| server.address).collect(),
            timeout: site.agents.timeout,
        })
    }
}

/// The thread, as the loop has it; none while agents are not heard.
#[derive(Debug)]
pub(crate) struct Agents {
    clock: Clock,
    running: Option<Running>,
    site: Option<AgentsSite>,
    sender: mpsc::Sender<Input>,
    news: mpsc::Receiver<Input>,
}

#[derive(Debug)]
struct Running {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// What loop and thread say to each other.
#[derive(Debug)]
struct Shared {
    wake: OwnedFd,
    told: Mutex<Told>,
}

#[derive(Debug, Default)]
struct Told {
    /// To the thread: another site.
    site: Option<AgentsSite>,
    /// To the thread: end.
    end: bool,
    /// To the loop.
    counts: Counts,
}

impl Shared {
    fn told<T>(&self, with: impl FnOnce(&mut Told) -> T) -> T {
        // What is in it is whole after every statement.
        with(&mut self.told.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A counter that is full wakes as well.
    fn wake(&self) {
        let _ = rustix::io::write(&self.wake, &1_u64.to_ne_bytes());
    }
}

impl Agents {
    /// Hears agents, if the site wants it.
    pub(crate) fn start(clock: Clock, site: Option<AgentsSite>) -> Self {
        let (sender, news) = mpsc::channel(NEWS);
        let mut agents = Self { clock, running: None, site: None, sender, news };
        agents.configure(site);
        agents
    }

    /// The site is this from now on.
    pub(crate) fn configure(&mut self, site: Option<AgentsSite>) {
        if site == self.site {
            return;
        }
        self.site.clone_from(&site);
        match (&self.running, site) {
            (_, None) => self.running = None,
            (Some(running), Some(site)) => {
                running.shared.told(|told| told.site = Some(site));
                running.shared.wake();
            }
            (None, Some(site)) => match Running::start(self.clock, site, self.sender.clone()) {
                Ok(running) => self.running = Some(running),
                Err(error) => {
                    self.site = None;
                    tracing::warn!(%error, "agents are not heard: the kernel gives no thread");
                }
            },
        }
    }

    /// Waits for what an agent says, or somebody who poses as one.
    pub(crate) async fn heard(&mut self) -> Input {
        match self.news.recv().await {
            Some(input) => input,
            None => unreachable!("the sender is kept"),
        }
    }

    /// What was said by now.
    pub(crate) fn heard_by_now(&mut self) -> Option<Input> {
        self.news.try_recv().ok()
    }

    /// Where agents are heard, and what was counted; none while they are not.
    pub(crate) fn counts(&self) -> Option<(SocketAddr, Counts)> {
        let counts = self.running.as_ref()?.shared.told(|told| told.counts);
        Some((self.site.as_ref()?.at, counts))
    }
}

impl Running {
    fn start(clock: Clock, site: AgentsSite, news: mpsc::Sender<Input>) -> io::Result<Self> {
        let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let shared = Arc::new(Shared { wake, told: Mutex::default() });
        let inner = Thread::new(clock, site, Arc::clone(&shared), news, secret()?);
        let thread = std::thread::Builder::new().name("agents".to_owned()).spawn(move || inner.run())?;
        Ok(Self { shared, thread: Some(thread) })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.shared.told(|told| told.end = true);
        self.shared.wake();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::warn!("the thread of agents had failed");
        }
    }
}

fn secret() -> io::Result<[u8; 32]> {
    let mut bytes = [0; 32];
    let mut filled = 0;
    while filled < bytes.len() {
        filled += rustix::rand::getrandom(&mut bytes[filled..], rustix::rand::GetRandomFlags::empty())?;
    }
    Ok(bytes)
}
