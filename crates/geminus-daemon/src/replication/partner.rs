//! One partner: how it is reached, and what is said to it.

use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use geminus_core::config;
use geminus_core::ha::{Instant, SyncView};
use geminus_core::key::HaKeys;
use geminus_core::model::Site;
use geminus_core::replication::{Broken, Event, Ground, Numbers, Servers, Session, Setup, Shared};
use geminus_packet::journal::Slot;
use geminus_packet::tables::Tables;

use super::SyncNews;
use super::link::{Ended, HANDSHAKE, Link};
use super::noise::Secret;

/// Connections that have not shown yet that they know the secret: more come from nobody who does.
const CANDIDATES: usize = 4;
/// The kernel's attempt to connect is given up after so long: the next path may do better.
const CONNECT: Duration = Duration::from_secs(1);
/// Between attempts.
const PAUSE: Duration = Duration::from_millis(200);
/// Between attempts after a refusal that only a person can mend.
const PAUSE_REFUSED: Duration = Duration::from_secs(5);
/// Messages written to one partner before the others have their turn.
const MESSAGES_AT_ONCE: usize = 16;

/// A site as replication sees it.
#[derive(Debug)]
pub(super) struct Scene {
    pub(super) node: String,
    pub(super) site: Arc<Site>,
    pub(super) keys: HaKeys,
    digest: [u8; 32],
    lines: Arc<Vec<String>>,
}

impl Scene {
    pub(super) fn new(node: String, site: Arc<Site>, keys: HaKeys) -> Self {
        let (digest, lines) = (config::digest(&site), Arc::new(config::lines(&site)));
        Self { node, site, keys, digest, lines }
    }

    /// Every partner's name, in the order of names.
    pub(super) fn partners(&self) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for group in self.site.groups() {
            if group.primary == self.node {
                names.push(group.backup);
            } else if group.backup == self.node {
                names.push(group.primary);
            }
        }
        names.sort_unstable();
        names.dedup();
        names
    }

    fn setup(&self, partner: &str) -> Setup {
        Setup {
            node: self.node.clone(),
            partner: partner.to_owned(),
            digest: self.digest,
            lines: Arc::clone(&self.lines),
            shared: Arc::new(Shared::of(&self.site, &self.node, partner)),
        }
    }

    fn secrets(&self, partner: &str) -> Vec<Secret> {
        let keys = std::iter::once(self.keys.own()).chain(self.keys.accepted());
        keys.map(|key| key.between(&self.node, partner).replication_psk()).collect()
    }

    /// This node's and the partner's address of each path between them.
    fn paths(&self, partner: &str) -> Vec<[IpAddr; 2]> {
        let ours = |path: &geminus_core::model::Path| {
            let [one, other] = &path.nodes;
            let [one_address, other_address] = path.addresses;
            if *one == self.node && other == partner {
                Some([one_address, other_address])
            } else if *other == self.node && one == partner {
                Some([other_address, one_address])
            } else {
                None
            }
        };
        self.site.ha.paths.iter().filter_map(ours).collect()
    }
}

/// A connection and the session over it.
#[derive(Debug)]
struct Connection {
    link: Link,
    session: Session,
    path: [IpAddr; 2],
    since: Instant,
    /// It was opened by this node.
    ours: bool,
    /// The other side has said something that only a partner can say.
    proven: bool,
    /// There may be more to read at once.
    more: bool,
}

/// Why a connection ends.
#[derive(Debug)]
enum Failure {
    Ended(Ended),
    Broken(Broken),
    /// It took too long to show that it knows the secret.
    Slow,
}

impl From<Ended> for Failure {
    fn from(ended: Ended) -> Self {
        Self::Ended(ended)
    }
}

impl From<Broken> for Failure {
    fn from(broken: Broken) -> Self {
        Self::Broken(broken)
    }
}

/// One partner.
#[derive(Debug)]
pub(super) struct Partner {
    pub(super) name: String,
    setup: Setup,
    secrets: Vec<Secret>,
    pub(super) paths: Vec<[IpAddr; 2]>,
    port: u16,
    /// Whether this node connects, rather than listens.
    pub(super) connects: bool,
    attempt: usize,
    next_attempt: Instant,
    /// Attempts in a row that the other side ended before it showed that it knows the secret.
    turned_away: usize,
    current: Option<Connection>,
    candidates: Vec<Connection>,
    /// What was last said of it.
    told: Option<(SyncView, Numbers)>,
    told_refusal: Option<String>,
    told_difference: bool,
    difference: Option<Vec<String>>,
    refusal: Option<(String, String)>,
}

impl Partner {
    pub(super) fn new(scene: &Scene, name: String) -> Self {
        Self {
            setup: scene.setup(&name),
            secrets: scene.secrets(&name),
            paths: scene.paths(&name),
            port: scene.site.ha.port,
            connects: scene.node < name,
            name,
            attempt: 0,
            next_attempt: Instant::START,
            turned_away: 0,
            current: None,
            candidates: Vec::new(),
            told: None,
            told_refusal: None,
            told_difference: false,
            difference: None,
            refusal: None,
        }
    }

    /// The site or the secrets changed. A connection stays where its path and its secret do.
    pub(super) fn configure(&mut self, scene: &Scene) {
        self.setup = scene.setup(&self.name);
        self.paths = scene.paths(&self.name);
        self.port = scene.site.ha.port;
        let secrets = scene.secrets(&self.name);
        // What was opened with a secret that is no longer accepted was opened by whoever knew it then.
        let withdrawn = self.secrets.iter().any(|secret| !secrets.contains(secret));
        self.secrets = secrets;
        self.candidates.clear();
        self.told_refusal = None;
        self.next_attempt = Instant::START;
        if let Some(current) = &mut self.current {
            if withdrawn || !self.paths.contains(&current.path) {
                self.current = None;
            } else {
                current.session.configure(self.setup.clone());
            }
        }
    }

    /// Other tables are in force.
    pub(super) fn tables_replaced(&mut self) {
        for connection in self.current.iter_mut().chain(&mut self.candidates) {
            connection.session.tables_replaced();
        }
    }

    /// Somebody connected from one of the partner's addresses.
    pub(super) fn accept(&mut self, stream: TcpStream, path: [IpAddr; 2], now: Instant) {
        if self.connects || self.candidates.len() >= CANDIDATES {
            return;
        }
        if let Ok(link) = Link::accepted(stream, self.secrets.clone()) {
            self.add(link, path, false, now);
        }
    }

    fn add(&mut self, link: Link, path: [IpAddr; 2], ours: bool, now: Instant) {
        let session = Session::new(self.setup.clone(), now);
        self.candidates.push(Connection {
            link,
            session,
            path,
            since: now,
            ours,
            proven: false,
            more: false,
        });
    }

    /// Begins another attempt if one is due.
    pub(super) fn connect(&mut self, now: Instant) {
        let idle = self.current.is_none() && self.candidates.is_empty();
        if !self.connects || !idle || now < self.next_attempt || self.paths.is_empty() {
            return;
        }
        let path @ [from, to] = self.paths[self.attempt % self.paths.len()];
        let secret = self.secrets[self.attempt / self.paths.len() % self.secrets.len()];
        self.attempt += 1;
        self.next_attempt = now + PAUSE;
        match Link::connect(from, SocketAddr::new(to, self.port), secret) {
            Ok(link) => self.add(link, path, true, now),
            Err(error) => {
                tracing::debug!(partner = self.name, %from, %to, %error, "replication not connected")
            }
        }
    }

    /// When this partner wants to be looked at again without anything having come.
    pub(super) fn due(&self) -> Option<Instant> {
        let wants = self.connects && self.current.is_none() && self.candidates.is_empty();
        (wants && !self.paths.is_empty()).then_some(self.next_attempt)
    }

    /// Whether a partner is connected: then promotions are of interest.
    pub(super) const fn is_connected(&self) -> bool {
        self.current.is_some()
    }

    /// Whether connections are being made.
    pub(super) fn is_meeting(&self) -> bool {
        !self.candidates.is_empty()
    }

    /// Every connection's socket, and whether it is to be asked when it takes more.
    pub(super) fn links(&self) -> impl Iterator<Item = (&Link, bool)> {
        self.current.iter().chain(&self.candidates).map(|one| (&one.link, one.link.wants_to_write()))
    }

    /// The packet path wrote a slot.
    pub(super) fn promoted(&mut self, slot: Slot, ground: &Ground<'_, impl Tables>, now: Instant) {
        if let Some(current) = &mut self.current {
            current.session.promoted(slot, ground, now);
        }
    }

    /// The packet path wrote more than was read.
    pub(super) fn lost_track(&mut self) {
        if let Some(current) = &mut self.current {
            current.session.lost_track();
        }
    }

    /// Reads, hears, writes what may be written; true if there is more to do at once.
    pub(super) fn work(
        &mut self,
        ground: &Ground<'_, impl Tables>,
        servers: &mut Servers,
        now: Instant,
    ) -> bool {
        let mut busy = false;
        for mut candidate in std::mem::take(&mut self.candidates) {
            match candidate.work(ground, servers, now) {
                Ok(more) if candidate.proven => {
                    busy |= more;
                    self.turned_away = 0;
                    self.told_refusal = None;
                    // The partner speaks here now: an older connection is one that it has given up.
                    self.current = Some(candidate);
                }
                Ok(more) => {
                    busy |= more;
                    self.candidates.push(candidate);
                }
                Err(failure) => self.failed(failure, &candidate, now),
            }
        }
        if let Some(mut current) = self.current.take() {
            match current.work(ground, servers, now) {
                Ok(more) => {
                    busy |= more;
                    while let Some(event) = current.session.poll_event() {
                        self.heard(event);
                    }
                    self.current = Some(current);
                }
                Err(failure) => self.failed(failure, &current, now),
            }
        }
        busy
    }

    fn heard(&mut self, event: Event) {
        match event {
            Event::Met => {}
            Event::SameConfig => self.difference = self.told_difference.then(Vec::new),
            Event::OtherConfig(Some(theirs)) => {
                self.difference = Some(config::difference(&self.setup.lines, &theirs));
            }
            Event::OtherConfig(None) => {
                self.difference = Some(vec!["too much to be compared line by line".to_owned()]);
            }
        }
    }

    fn failed(&mut self, failure: Failure, connection: &Connection, now: Instant) {
        let mut pause = PAUSE;
        match failure {
            Failure::Broken(broken) => match broken.hint() {
                Some(hint) => {
                    self.refusal = Some((broken.to_string(), hint.to_owned()));
                    pause = PAUSE_REFUSED;
                }
                None => tracing::info!(partner = self.name, because = %broken, "replication broken off"),
            },
            Failure::Ended(Ended::Untrusted) if !connection.proven => self.distrusted(),
            Failure::Ended(Ended::Closed(_)) if connection.ours && connection.was_turned_away() => {
                self.turned_away += 1;
                // Once round with every secret on every path.
                if self.turned_away >= self.paths.len() * self.secrets.len() {
                    self.distrusted();
                    pause = PAUSE * 5;
                }
            }
            Failure::Ended(Ended::Closed(error)) => {
                tracing::debug!(partner = self.name, %error, "replication connection closed");
            }
            Failure::Ended(Ended::Untrusted) => {
                tracing::info!(partner = self.name, "replication broken off: somebody touched the stream");
            }
            Failure::Slow => tracing::debug!(partner = self.name, "replication connection given up"),
        }
        self.next_attempt = now + pause;
    }

    fn distrusted(&mut self) {
        let name = &self.name;
        let because = format!("{name} and this node do not have the same secret for replication");
        let hint = "give both the same key file, or name the other one in ha.also_accept".to_owned();
        self.refusal = Some((because, hint));
    }

    /// What is to be told of this partner, if anything is new. `numbers`: also what was only counted.
    pub(super) fn news(&mut self, ground: Option<&Ground<'_, impl Tables>>, numbers: bool) -> Vec<SyncNews> {
        let mut news = Vec::new();
        let current = self.current.as_ref().zip(ground);
        let sync = current.map_or(SyncView::Down, |(current, ground)| current.session.view(ground));
        let changed = self.told.is_none_or(|(told, _)| told != sync);
        if changed || numbers {
            let counted = self.current.as_ref().map(|current| current.session.numbers()).unwrap_or_default();
            if changed || self.told.is_none_or(|(_, before)| before != counted) {
                let path = self.current.as_ref().map(|current| current.path);
                news.push(SyncNews::Progress { peer: self.name.clone(), sync, numbers: counted, path });
            }
        }
        if let Some(lines) = &self.difference {
            news.push(SyncNews::Difference { peer: self.name.clone(), lines: lines.clone() });
        }
        if let Some((because, hint)) = &self.refusal
            && self.told_refusal.as_ref() != Some(because)
        {
            let (because, hint) = (because.clone(), hint.clone());
            news.push(SyncNews::Refused { peer: self.name.clone(), because, hint });
        }
        news
    }

    /// The driver was told.
    pub(super) fn was_told(&mut self, news: &SyncNews) {
        match news {
            SyncNews::Progress { sync, numbers, .. } => self.told = Some((*sync, *numbers)),
            SyncNews::Difference { lines, .. } => {
                self.told_difference = !lines.is_empty();
                self.difference = None;
            }
            SyncNews::Refused { because, .. } => {
                self.told_refusal = Some(because.clone());
                self.refusal = None;
            }
        }
    }
}

impl Connection {
    fn work(
        &mut self,
        ground: &Ground<'_, impl Tables>,
        servers: &mut Servers,
        now: Instant,
    ) -> Result<bool, Failure> {
        let (session, proven) = (&mut self.session, &mut self.proven);
        self.more = self.link.read::<Failure>(|message| {
            session.receive(message, ground, servers, now)?;
            *proven = true;
            Ok(())
        })?;
        // Only now: what came while this thread did not run counts as heard.
        self.check(now)?;
        let mut written = 0;
        let mut message = Vec::new();
        while written < MESSAGES_AT_ONCE && self.link.has_room() {
            message.clear();
            if !self.session.send(ground, now, &mut message) {
                break;
            }
            self.link.say(&message)?;
            written += 1;
        }
        if self.link.wants_to_write() {
            self.link.write()?;
        }
        Ok(self.more || written == MESSAGES_AT_ONCE)
    }

    fn check(&self, now: Instant) -> Result<(), Failure> {
        if self.proven {
            return Ok(self.session.check(now)?);
        }
        let limit = if self.link.is_connecting() { CONNECT } else { HANDSHAKE };
        if now.since(self.since) > limit { Err(Failure::Slow) } else { Ok(()) }
    }

    /// Whether the other side heard this side's secret and ended the connection.
    const fn was_turned_away(&self) -> bool {
        !self.proven && !self.link.is_connecting() && !self.link.is_open()
    }
}
