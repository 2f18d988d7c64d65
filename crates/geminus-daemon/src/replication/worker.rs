//! The thread's loop.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use geminus_core::ha::Instant;
use geminus_core::replication::{Ground, Servers};
use geminus_dataplane::{JournalReader, LiveTables};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::sync::mpsc::Sender;

use super::link::listen;
use super::partner::{Partner, Scene};
use super::{Parts, SyncCommand, SyncNews};

/// The journals are read this often while a partner is connected: half of what replication may be late.
const TICK: Duration = Duration::from_millis(10);
/// Connections that are being made are looked at this often.
const MEETING: Duration = Duration::from_millis(50);
/// Addresses that cannot be listened on are tried again this often, and a node without a partner looks around.
const IDLE: Duration = Duration::from_secs(1);
/// What was only counted is told this often.
const NUMBERS: Duration = Duration::from_secs(1);

/// The thread.
pub(super) struct Worker {
    scene: Scene,
    live: Arc<LiveTables>,
    news: Sender<SyncNews>,
    to_do: mpsc::Receiver<SyncCommand>,
    started: std::time::Instant,
    partners: Vec<Partner>,
    listeners: HashMap<IpAddr, TcpListener>,
    /// Of the listeners.
    port: u16,
    next_listen: Instant,
    journals: JournalReader,
    next_tick: Instant,
    next_numbers: Instant,
    servers: Servers,
}

impl Worker {
    pub(super) fn new(parts: Parts, news: Sender<SyncNews>, to_do: mpsc::Receiver<SyncCommand>) -> Self {
        let scene = Scene::new(parts.node, parts.site, parts.keys);
        let journals = JournalReader::begin(&parts.live.current());
        let partners = scene.partners().into_iter().map(|name| Partner::new(&scene, name)).collect();
        Self {
            port: scene.site.ha.port,
            scene,
            live: parts.live,
            news,
            to_do,
            started: std::time::Instant::now(),
            partners,
            listeners: HashMap::new(),
            next_listen: Instant::START,
            journals,
            next_tick: Instant::START,
            next_numbers: Instant::START,
            servers: Servers::default(),
        }
    }

    fn now(&self) -> Instant {
        Instant::from_start(self.started.elapsed())
    }

    /// Until the other end of the commands is dropped.
    pub(super) fn run(mut self, wake: &OwnedFd) {
        let mut busy = false;
        loop {
            let wait = if busy { Duration::ZERO } else { self.wait() };
            self.sleep(wake, wait);
            loop {
                match self.to_do.try_recv() {
                    Ok(SyncCommand::Configure { site, keys }) => self.configure(site, keys),
                    Err(mpsc::TryRecvError::Empty) => break,
                    Err(mpsc::TryRecvError::Disconnected) => return,
                }
            }
            let now = self.now();
            self.listen(now);
            self.accept(now);
            self.partners.iter_mut().for_each(|partner| partner.connect(now));
            busy = self.replicate(now);
        }
    }

    fn wait(&self) -> Duration {
        let now = self.now();
        let mut until = now + IDLE;
        if self.partners.iter().any(Partner::is_connected) {
            until = until.min(self.next_tick);
        }
        if self.partners.iter().any(Partner::is_meeting) {
            until = until.min(now + MEETING);
        }
        for due in self.partners.iter().filter_map(Partner::due) {
            until = until.min(due);
        }
        until.since(now)
    }

    /// Until something comes, or for so long.
    fn sleep(&self, wake: &OwnedFd, wait: Duration) {
        let mut fds = vec![PollFd::new(wake, PollFlags::IN)];
        fds.extend(self.listeners.values().map(|listener| PollFd::new(listener, PollFlags::IN)));
        for (link, writes) in self.partners.iter().flat_map(Partner::links) {
            let flags = if writes { PollFlags::IN | PollFlags::OUT } else { PollFlags::IN };
            fds.push(PollFd::from_borrowed_fd(link.as_fd(), flags));
        }
        let wait = Timespec { tv_sec: wait.as_secs() as i64, tv_nsec: i64::from(wait.subsec_nanos()) };
        // Interrupted or not: everything is looked at afterwards.
        let _ = poll(&mut fds, Some(&wait));
        let _ = rustix::io::read(wake, &mut [0; 8]);
    }

    fn configure(&mut self, site: Arc<geminus_core::model::Site>, keys: geminus_core::key::HaKeys) {
        let node = self.scene.node.clone();
        self.scene = Scene::new(node, site, keys);
        self.servers.site_changed();
        let names = self.scene.partners();
        self.partners.retain(|partner| names.contains(&partner.name));
        for name in names {
            match self.partners.iter_mut().find(|partner| partner.name == name) {
                Some(partner) => partner.configure(&self.scene),
                None => self.partners.push(Partner::new(&self.scene, name)),
            }
        }
        self.next_listen = Instant::START;
    }

    /// Listens on every address of a path at whose other end a partner connects, and on no other.
    fn listen(&mut self, now: Instant) {
        if now < self.next_listen {
            return;
        }
        self.next_listen = now + IDLE;
        let listening = self.partners.iter().filter(|partner| !partner.connects);
        let wanted: Vec<IpAddr> = listening.flat_map(|partner| &partner.paths).map(|[own, _]| *own).collect();
        let port = self.scene.site.ha.port;
        if std::mem::replace(&mut self.port, port) != port {
            self.listeners.clear();
        }
        self.listeners.retain(|address, _| wanted.contains(address));
        for address in wanted {
            if self.listeners.contains_key(&address) {
                continue;
            }
            match listen(SocketAddr::new(address, port)) {
                Ok(listener) => drop(self.listeners.insert(address, listener)),
                Err(error) => tracing::debug!(%address, port, %error, "replication cannot listen yet"),
            }
        }
    }

    fn accept(&mut self, now: Instant) {
        for (&own, listener) in &self.listeners {
            while let Ok((stream, from)) = listener.accept() {
                let path = [own, from.ip()];
                // Whoever calls from elsewhere is no partner.
                if let Some(partner) = self.partners.iter_mut().find(|partner| partner.paths.contains(&path))
                {
                    partner.accept(stream, path, now);
                }
            }
        }
    }

    /// Reads the journals if it is time, and lets every partner work; true if there is more to do at once.
    fn replicate(&mut self, now: Instant) -> bool {
        let tables = self.live.current();
        if !Arc::ptr_eq(&tables, self.journals.tables()) {
            // Read from now on; what was written before now is in the copy that begins after now.
            self.journals = JournalReader::begin(&tables);
            self.servers.tables_replaced();
            self.partners.iter_mut().for_each(Partner::tables_replaced);
        }
        let ground = Ground::new(&*tables, self.live.rate(), self.live.now());
        let mut busy = false;
        if let Some(ground) = &ground {
            if now >= self.next_tick {
                self.next_tick = now + TICK;
                let partners = &mut self.partners;
                let missed = self.journals.read(|slot| {
                    partners.iter_mut().for_each(|partner| partner.promoted(slot, ground, now));
                });
                if missed > 0 {
                    partners.iter_mut().for_each(Partner::lost_track);
                }
            }
            for partner in &mut self.partners {
                busy |= partner.work(ground, &mut self.servers, now);
            }
        } else {
            // The tables are being filled. What has come is left where it is.
            std::thread::sleep(TICK);
        }
        let numbers = now >= self.next_numbers;
        if numbers {
            self.next_numbers = now + NUMBERS;
        }
        for partner in &mut self.partners {
            for news in partner.news(ground.as_ref(), numbers) {
                // What does not fit is said at another time.
                if self.news.try_send(news.clone()).is_ok() {
                    partner.was_told(&news);
                }
            }
        }
        busy
    }
}
