//! The heartbeat thread: partners' frames, leases and announcements, apart from everything slow.
//!
//! One thread of the operating system drives [`geminus_core::ha::Ha`]. It reads partners' frames, renews leases by a
//! store into shared memory, and announces addresses. It touches no disk, resolves no name, writes no log, and waits for
//! nobody: the driver hands it [`Command`]s and takes its [`News`] when it has time to.

mod answers;
mod datagram;
mod net;
mod reach;
mod realtime;
mod refusals;
mod thread;

use std::io;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;

use geminus_core::ha::{self, HaEvent, HaView, PathId};
use geminus_core::key::HaKeys;
use geminus_core::neighbour::Mac;
use geminus_dataplane::{Leases, Paths};
use rustix::event::{EventfdFlags, eventfd};
use tokio::sync::mpsc;

use self::thread::Thread;
use crate::driver::Clock;

/// What the thread is told.
#[derive(Debug)]
pub(crate) enum Command {
    /// Something for the machine: fitness, replication, orders, the end. A new configuration comes as a site.
    Ha(ha::Input),
    /// The site is this from now on.
    Site(Box<TwinSite>),
    /// Neighbours may have heard somebody else, or the link came back.
    Again {
        /// One address; none: all that are ours.
        address: Option<IpAddr>,
    },
}

/// What the thread tells.
#[derive(Debug)]
pub(crate) enum News {
    /// Something happened.
    Event(HaEvent),
    /// How things are: after every change of a standing, and several times a second besides.
    View(HaView),
    /// Frames that were refused, at most once a minute of a kind.
    Security {
        /// What is wrong with them.
        what: SecurityNote,
        /// By which path they came, where that is known.
        path: Option<PathId>,
        /// How many since it was told last.
        count: u64,
    },
    /// Something does not work as it should, and what follows from that. Told once.
    Warning(String),
    /// [`ha::Input::Stop`] is done; the thread has ended.
    Left,
    /// So many news had no room; the next view makes up for what can be made up for.
    Lost(u64),
}

/// What is wrong with a partner's frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum SecurityNote {
    /// Made without the key.
    Forged,
    /// Made with a key that this node does not have.
    OtherKey,
    /// Said before.
    Replayed,
    /// This node's own, sent back to it.
    Reflected,
    /// From an address that no path has.
    Foreign,
    /// Of a version that is not understood.
    OtherVersion,
    /// From a node of this node's name.
    SameName,
    /// More than can be looked at.
    Flood,
    /// Not to be understood though the key is right.
    Malformed,
}

impl SecurityNote {
    /// What happened, in words that fit behind a number of heartbeats.
    pub(crate) const fn words(self) -> &'static str {
        match self {
            Self::Forged => "made without the key",
            Self::OtherKey => "made with a key that this node does not have",
            Self::Replayed => "sent again by somebody",
            Self::Reflected => "this node's own, sent back to it",
            Self::Foreign => "from an address that no path has",
            Self::OtherVersion => "of a version that is not understood",
            Self::SameName => "from a node that calls itself by this node's name",
            Self::Flood => "of unknown sessions, more than can be looked at",
            Self::Malformed => "of the partner's key, but not to be understood",
        }
    }
}

/// What the thread needs to know of the site.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct TwinSite {
    /// What the machine needs; its reach targets are as many as `reach`.
    pub(crate) config: ha::Config,
    /// The paths of this node.
    pub(crate) paths: Vec<TwinPath>,
    /// UDP port of partners' frames.
    pub(crate) port: u16,
    /// Addresses to ask whether this node is on the network.
    pub(crate) reach: Vec<IpAddr>,
    /// Cluster addresses by the number of their group.
    pub(crate) addresses: Vec<(u8, Vec<IpAddr>)>,
    /// Index of the node's own interface, which announcements leave by.
    pub(crate) interface: u32,
    /// Its hardware address.
    pub(crate) mac: Mac,
    /// By index of the partner: whether this node is a server of clusters that the partner may be active for.
    pub(crate) serves: Vec<bool>,
    /// The secrets shared with partners.
    pub(crate) keys: HaKeys,
}

/// A path of this node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TwinPath {
    /// Which partner, and its number there.
    pub(crate) id: PathId,
    /// Address of this node.
    pub(crate) own: IpAddr,
    /// Address of the partner.
    pub(crate) remote: IpAddr,
    /// Index of the interface that has `own`; 0: none has it now.
    pub(crate) interface: u32,
}

/// What the thread starts with.
#[derive(Debug)]
pub(crate) struct TwinParts {
    /// The driver's clock: instants of events and views are of it.
    pub(crate) clock: Clock,
    /// The site.
    pub(crate) site: TwinSite,
    /// Groups of the data plane; what they say now is what the daemon before left.
    pub(crate) leases: Leases,
    /// Paths of the data plane.
    pub(crate) paths: Paths,
}

/// Commands that may wait for the thread: it takes them within microseconds, unless it is stopped.
const COMMANDS: usize = 1024;

/// News that may wait for the driver: it is busy for seconds while large tables are written, and a bad hour has a few
/// hundred events.
const NEWS: usize = 1024;

/// The thread, as the driver has it. Dropped, it ends without handing over: leases run out by themselves.
#[derive(Debug)]
pub(crate) struct Twin {
    commands: Option<SyncSender<Command>>,
    wake: Arc<OwnedFd>,
    thread: Option<JoinHandle<()>>,
}

impl Twin {
    /// Starts the thread.
    ///
    /// # Errors
    /// If the kernel gives no thread or no socket.
    pub(crate) fn start(parts: TwinParts) -> io::Result<(Self, mpsc::Receiver<News>)> {
        let (commands, orders) = sync_channel(COMMANDS);
        let (news, heard) = mpsc::channel(NEWS);
        let wake = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
        let inner = Thread::new(parts, session()?, orders, Arc::clone(&wake), news)?;
        let thread = std::thread::Builder::new().name("twin".to_owned()).spawn(move || inner.run())?;
        Ok((Self { commands: Some(commands), wake, thread: Some(thread) }, heard))
    }

    /// Tells it something; never waits.
    pub(crate) fn command(&self, command: Command) {
        let Some(commands) = &self.commands else { return };
        if let Err(TrySendError::Full(command)) = commands.try_send(command) {
            tracing::warn!(?command, "the heartbeat thread does not listen; this was not told to it");
        }
        self.call();
    }

    /// A counter that is full wakes as well.
    fn call(&self) {
        let _ = rustix::io::write(&*self.wake, &1_u64.to_ne_bytes());
    }
}

impl Drop for Twin {
    fn drop(&mut self) {
        self.commands = None;
        self.call();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::warn!("the heartbeat thread had failed");
        }
    }
}

/// Random, and not 0.
fn session() -> io::Result<u64> {
    let mut bytes = [0; 8];
    let mut filled = 0;
    while filled < bytes.len() {
        filled += rustix::rand::getrandom(&mut bytes[filled..], rustix::rand::GetRandomFlags::empty())?;
    }
    Ok(u64::from_le_bytes(bytes).max(1))
}
