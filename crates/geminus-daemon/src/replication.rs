//! Replication of flows and clients with partners: a thread of its own around [`geminus_core::replication`].
//!
//! One TCP connection to each partner, between the two addresses of a path; the node whose name is the smaller connects
//! and tries the paths in turn, the other listens on its path addresses. What goes through is encrypted and
//! authenticated by Noise with a secret derived for the two ([`noise`]). The thread reads the journals of the packet
//! path every 10 ms while a partner is connected, and sleeps otherwise.

mod link;
mod noise;
mod partner;
mod worker;

#[cfg(test)]
mod tests;

use std::io;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;

use geminus_core::ha::SyncView;
use geminus_core::key::HaKeys;
use geminus_core::model::Site;
use geminus_core::replication::Numbers;
use geminus_dataplane::LiveTables;
use rustix::event::{EventfdFlags, eventfd};

use self::worker::Worker;

/// News that wait for the driver: what does not fit is said again, or superseded, a second later.
const NEWS: usize = 256;

/// What the thread works with.
#[derive(Debug)]
pub(crate) struct Parts {
    /// Name of this node.
    pub(crate) node: String,
    /// The site.
    pub(crate) site: Arc<Site>,
    /// The secrets of heartbeats and replication.
    pub(crate) keys: HaKeys,
    /// The tables.
    pub(crate) live: Arc<LiveTables>,
}

/// What the driver wants.
#[derive(Debug)]
pub(crate) enum SyncCommand {
    /// The site or the secrets changed, and the tables say so already.
    Configure {
        /// The site.
        site: Arc<Site>,
        /// The secrets.
        keys: HaKeys,
    },
}

/// What the driver learns. Partners are called by their names.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum SyncNews {
    /// How far replication with a partner is: at every change, and once a second while anything is counted.
    Progress {
        /// The partner.
        peer: String,
        /// How far.
        sync: SyncView,
        /// What was counted since it was connected.
        numbers: Numbers,
        /// This node's and the partner's address that it goes between; none: not connected.
        path: Option<[IpAddr; 2]>,
    },
    /// What a partner's configuration says otherwise; empty: nothing any more.
    Difference {
        /// The partner.
        peer: String,
        /// One line for each difference.
        lines: Vec<String>,
    },
    /// A partner cannot be replicated with until somebody does something. Said once for each reason.
    Refused {
        /// The partner.
        peer: String,
        /// The thing and the cause.
        because: String,
        /// The way out.
        hint: String,
    },
}

/// The replication thread, from outside. It ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Replication {
    commands: Option<mpsc::Sender<SyncCommand>>,
    wake: Arc<OwnedFd>,
    thread: Option<JoinHandle<()>>,
}

impl Replication {
    /// Starts the thread.
    ///
    /// # Errors
    /// If the kernel gives no thread or no event descriptor.
    pub(crate) fn start(parts: Parts) -> io::Result<(Self, tokio::sync::mpsc::Receiver<SyncNews>)> {
        let wake = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
        let (commands, to_do) = mpsc::channel();
        let (news, told) = tokio::sync::mpsc::channel(NEWS);
        let woken = Arc::clone(&wake);
        let thread = std::thread::Builder::new()
            .name("replication".to_owned())
            .spawn(move || Worker::new(parts, news, to_do).run(&woken))?;
        Ok((Self { commands: Some(commands), wake, thread: Some(thread) }, told))
    }

    /// Lets the thread know. Never waits.
    pub(crate) fn command(&self, command: SyncCommand) {
        if let Some(commands) = &self.commands {
            // A thread that has ended needs no command.
            drop(commands.send(command));
            self.wake();
        }
    }

    fn wake(&self) {
        // Full only if the thread has been woken 2^64 - 1 times and has not looked.
        let _ = rustix::io::write(&self.wake, &1_u64.to_ne_bytes());
    }
}

impl Drop for Replication {
    fn drop(&mut self) {
        self.commands = None;
        self.wake();
        if let Some(thread) = self.thread.take() {
            // It has nothing to undo; a panic in it was printed already.
            drop(thread.join());
        }
    }
}
