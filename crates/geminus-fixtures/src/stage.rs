//! Plays fixtures on a home of the packet path.

use std::collections::HashMap;
use std::net::IpAddr;

use geminus_core::key::{HaKeys, SiteKey};
use geminus_core::model::{Server, Site};
use geminus_core::plan::{
    Link, Override, Overrides, Planner, Ruling, Rulings, Sources, Wanted, server_identity,
};
use geminus_packet::frame::SliceFrame;
use geminus_packet::heap::{HeapTables, Sizes};
use geminus_packet::tables::{Server as Entry, Service, Source, SourceKey, Tables, Ticks};
use geminus_packet::verdict::{Class, Counter, Kind, Reason, Verdict, reasons};

use crate::entries;
use crate::fixture::{Expected, Fixture, Laid, Outcome, Step};
use crate::ground;
use crate::snapshot;
use crate::twin;

/// What the kernel would do with a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// `XDP_PASS`.
    Pass,
    /// `XDP_DROP`.
    Drop,
    /// `XDP_TX`.
    Transmit,
    /// `XDP_REDIRECT`.
    Redirect,
}

/// What became of a frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ran {
    /// What the kernel would do with it.
    pub action: Action,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// A place where the packet path runs over tables of its own.
pub trait Home {
    /// Its tables.
    type Tables: Tables + Sources;
    /// Its tables.
    fn tables(&self) -> &Self::Tables;
    /// The clock that it reads.
    fn now(&self) -> u32;
    /// Runs one frame.
    fn run(&mut self, frame: &[u8]) -> Ran;
    /// Packets counted for a reason.
    fn counted(&self, counter: Counter) -> u64;
    /// Packets, bytes and flows counted for a server.
    fn sent(&self, server: u32) -> [u64; 3];
}

/// The host build.
#[derive(Debug)]
pub struct HostHome {
    /// Its tables.
    pub tables: HeapTables,
    /// Its clock, which stands still.
    pub now: Ticks,
}

impl HostHome {
    /// Empty tables.
    pub fn new(sizes: &Sizes, now: Ticks) -> Self {
        let tables = HeapTables::new(sizes);
        tables.stamp.store(twin::STAMP);
        Self { tables, now }
    }
}

impl Home for HostHome {
    type Tables = HeapTables;

    fn tables(&self) -> &HeapTables {
        &self.tables
    }

    fn now(&self) -> u32 {
        self.now.0 as u32
    }

    fn run(&mut self, frame: &[u8]) -> Ran {
        let mut frame = SliceFrame::new(frame);
        let verdict = geminus_packet::dispatch(&mut frame, &self.tables, self.now);
        Ran { action: action(verdict), bytes: frame.bytes().to_vec() }
    }

    fn counted(&self, counter: Counter) -> u64 {
        self.tables.counted(counter)
    }

    fn sent(&self, server: u32) -> [u64; 3] {
        self.tables.sent(server)
    }
}

/// What the kernel shell makes of a verdict.
pub fn action(verdict: Verdict) -> Action {
    match verdict.kind() {
        Kind::Pass | Kind::Local => Action::Pass,
        Kind::Drop => Action::Drop,
        Kind::Answer => Action::Transmit,
        Kind::Forward if [0, ground::INTERFACE].contains(&verdict.target().interface) => Action::Transmit,
        Kind::Forward => Action::Redirect,
    }
}

/// A home whose tables say the ground's site.
#[derive(Debug)]
pub struct Stage<H> {
    /// The home.
    pub home: H,
    /// Sizes of its tables.
    pub sizes: Sizes,
    /// What its tables say.
    pub site: Site,
    /// Knows what is installed where.
    pub planner: Planner,
    key: SiteKey,
    overrides: Overrides,
    rulings: Rulings,
    links: HashMap<IpAddr, Link>,
    last: Option<u32>,
}

/// A run and what was counted by it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// What became of the frame.
    pub ran: Ran,
    /// Reasons whose counters moved, and by how much.
    pub moved: Vec<(&'static str, u64)>,
    /// Servers whose counters moved: packets, bytes, flows.
    pub sent: Vec<(u32, [u64; 3])>,
}

impl<H: Home> Stage<H> {
    /// Installs the ground's site, and its paths to a partner; the tables must be empty.
    pub fn new(home: H, sizes: &Sizes) -> Self {
        let site = ground::site();
        let links = ground::links(&site);
        let planner = Planner::adopt(home.tables(), sizes);
        let (key, overrides) = (ground::key(), Overrides::default());
        let rulings = Rulings::default();
        let mut stage =
            Self { home, sizes: *sizes, site, planner, key, overrides, rulings, links, last: None };
        stage.install();
        stage.lease(u64::MAX);
        stage
    }

    /// Plays a fixture; the complaints are all that is not as expected.
    pub fn play(&mut self, fixture: &Fixture) -> (Seen, Vec<String>) {
        self.last = None;
        for step in &fixture.before {
            self.take(step);
        }
        let last = self.last;
        let seen = self.run(&fixture.frame);
        let mut complaints = self.complaints(fixture, &seen, last);
        for complaint in &mut complaints {
            complaint.insert_str(0, &format!("{}: ", fixture.name));
        }
        (seen, complaints)
    }

    /// Lets something happen.
    pub fn take(&mut self, step: &Step) {
        let now = self.home.now();
        match step {
            Step::Frame(frame) => {
                self.run(frame);
            }
            // The same in both homes, whose clocks are not: the first tick of all is over.
            Step::Lapse => self.lease(1),
            Step::Yield => self.lease(0),
            Step::Lead => self.lease(u64::MAX),
            Step::OtherLayout => {
                self.home.tables().globals().expect("tables have settings").layout.store(1);
            }
            Step::Seconds(seconds) => {
                snapshot::age(self.home.tables(), &self.sizes, now, seconds * ground::TICKS.0);
            }
            Step::Claim(memory) => {
                snapshot::claim_all(self.home.tables(), &self.sizes, *memory, now);
            }
            Step::Write(write) => write(self.home.tables()),
            Step::Reload(change) => {
                change(&mut self.site);
                self.links.extend(ground::links(&self.site));
                self.install();
            }
            Step::DeclareLast(down) => {
                let identity = self.last_identity();
                self.rulings.rule(identity, Ruling { down: *down, ..Ruling::default() });
                self.install();
            }
            Step::DrainLast => {
                let identity = self.last_identity();
                self.overrides.insert(identity, Override { drained: true, ..Override::default() });
                self.install();
            }
            Step::RemoveLast => {
                let (cluster, service, server) = self.place(self.last.expect("a frame was forwarded before"));
                self.site.clusters[cluster].services[service].servers.remove(server);
                self.install();
            }
            Step::Load { port, name, active, weight } => {
                entries::load(self.home.tables(), *port, name, *active, *weight);
            }
            Step::LayDown { port, clients: (address, bits), laid } => {
                let tables = self.home.tables();
                let key =
                    SourceKey { service: entries::service(tables, *port), address: *address, bits: *bits };
                let value = match laid {
                    Laid::Deny => Source::DENY,
                    Laid::Allow => Source::ALLOW,
                    Laid::Pool(pool) => Source::POOL | u64::from(entries::service(tables, *pool)),
                };
                tables.lay_down(key, value).expect("there is room for a few");
                entries::select(tables, *port, Service::SOURCES);
            }
            Step::MarkLast(flags) => {
                let server = self.last_server();
                server.from.store(server.from.load() | flags);
            }
            Step::RenewLast => {
                let server = self.last_server();
                server.link.store(server.link.load().wrapping_add(1 << 48));
            }
            Step::FindLost => {
                self.links.insert(ground::LOST, ground::link(ground::LOST));
                self.install();
            }
        }
    }

    /// Runs a frame and tells which counters moved.
    pub fn run(&mut self, frame: &[u8]) -> Seen {
        let before = self.counters();
        let ran = self.home.run(frame);
        let after = self.counters();
        let moved: Vec<_> = reasons()
            .zip(before.0.iter().zip(&after.0))
            .filter(|(_, (before, after))| before != after)
            .map(|(reason, (before, after))| (reason.name, after.wrapping_sub(*before)))
            .collect();
        let sent: Vec<_> = (0..)
            .zip(before.1.iter().zip(&after.1))
            .filter(|(_, (before, after))| before != after)
            .map(|(server, (before, after))| (server, [0, 1, 2].map(|at| after[at].wrapping_sub(before[at]))))
            .collect();
        if let [(server, _)] = sent[..] {
            self.last = Some(server);
        }
        Seen { ran, moved, sent }
    }

    /// The name of a server.
    pub fn server(&self, number: u32) -> &Server {
        let (cluster, service, server) = self.place(number);
        &self.site.clusters[cluster].services[service].servers[server]
    }

    fn last_identity(&self) -> u64 {
        let (cluster, service, server) = self.place(self.last.expect("a frame was forwarded before"));
        let cluster = &self.site.clusters[cluster];
        let service = &cluster.services[service];
        server_identity(cluster, service, &service.servers[server])
    }

    fn last_server(&self) -> &Entry {
        let number = self.last.expect("a frame was forwarded before");
        self.home.tables().server(number).expect("it is in the table")
    }

    fn place(&self, number: u32) -> (usize, usize, usize) {
        let place = self.planner.place(number).expect("a server of the site");
        (place.cluster, place.service, place.server)
    }

    fn install(&mut self) {
        let wanted = Wanted {
            site: &self.site,
            node: ground::NODE,
            key: &self.key,
            ha_keys: &HaKeys::from_site(&self.key),
            overrides: &self.overrides,
            rulings: &self.rulings,
            links: &self.links,
            mac: ground::NODE_MAC,
            ticks: ground::TICKS,
        };
        self.planner.apply(self.home.tables(), &wanted, || ()).expect("the ground's site fits its tables");
        twin::join(self.home.tables(), &self.sizes);
    }

    fn lease(&self, until: u64) {
        self.home.tables().group(0).expect("there is a group").deadline.store(until);
    }

    fn counters(&self) -> (Vec<u64>, Vec<[u64; 3]>) {
        let counted = reasons().map(|reason| self.home.counted(reason.counter)).collect();
        (counted, (0..self.sizes.servers).map(|server| self.home.sent(server)).collect())
    }

    fn complaints(&self, fixture: &Fixture, seen: &Seen, last: Option<u32>) -> Vec<String> {
        let Fixture { frame, expected, .. } = fixture;
        let mut complaints = Vec::new();
        let wanted: Vec<_> =
            reasons().filter(|reason| expected.counts(reason)).map(|r| (r.name, 1)).collect();
        if seen.moved != wanted {
            complaints.push(format!("counted {:?}, not {wanted:?}", seen.moved));
        }
        let action = match expected.class {
            Class::Pass => vec![Action::Pass],
            Class::Drop => vec![Action::Drop],
            Class::Answer => vec![Action::Transmit],
            Class::Forward => vec![Action::Transmit, Action::Redirect],
            Class::Note => vec![],
        };
        if !action.contains(&seen.ran.action) {
            complaints.push(format!("{:?}, not {action:?}", seen.ran.action));
        }
        let server = match seen.sent[..] {
            [] => None,
            [(server, counted)] => {
                let flows = u64::from(seen.moved.contains(&("promoted", 1)));
                if counted != [1, frame.len() as u64, flows] {
                    complaints.push(format!("server {server} is counted {counted:?}"));
                }
                Some(server)
            }
            _ => {
                complaints.push(format!("several servers are counted: {:?}", seen.sent));
                None
            }
        };
        let bytes = self.bytes(frame, expected, server, last, &mut complaints);
        if seen.ran.bytes != bytes {
            complaints.push(format!("the frame became {}, not {}", hex(&seen.ran.bytes), hex(&bytes)));
        }
        complaints
    }

    /// The bytes that a frame must have afterwards; complains of a server that it must not have gone to.
    fn bytes(
        &self,
        frame: &[u8],
        expected: &Expected,
        server: Option<u32>,
        last: Option<u32>,
        complaints: &mut Vec<String>,
    ) -> Vec<u8> {
        let name = server.map(|number| self.server(number).name.as_str());
        let last_name = last.filter(|&number| self.planner.place(number).is_some());
        let last_name = last_name.map(|number| self.server(number).name.as_str());
        let right = match &expected.outcome {
            Outcome::Unchanged | Outcome::Becomes(_) => server.is_none(),
            Outcome::Local(wanted) => name == Some(wanted),
            Outcome::To(wanted) => name.is_some_and(|name| wanted.contains(&name)),
            Outcome::Same => server.is_some() && server == last,
            Outcome::Other => server.is_some() && last.is_some() && server != last,
            Outcome::Namesake => name.is_some() && name == last_name && server != last,
        };
        if !right {
            complaints.push(format!("went to {name:?} after {last_name:?}, not {:?}", expected.outcome));
        }
        let mut bytes = match &expected.outcome {
            Outcome::Becomes(bytes) => bytes.clone(),
            _ => frame.to_vec(),
        };
        if expected.class == Class::Forward
            && let Some(number) = server
            && let Link::Remote { mac, source, .. } = ground::link(self.server(number).address)
        {
            bytes[..6].copy_from_slice(&mac);
            bytes[6..12].copy_from_slice(&source);
        }
        bytes
    }
}

impl Expected {
    /// Whether this counter must move.
    pub fn counts(&self, reason: &Reason) -> bool {
        reason.name == self.reason && reason.class == self.class
            || reason.class == Class::Note && self.notes.contains(&reason.name)
    }
}

/// Bytes as people compare them.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
