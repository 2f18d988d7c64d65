//! The dispatcher before the hosts: the real packet path over tables that the real plan fills, and the real manager.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::net::IpAddr;

use geminus_core::config;
use geminus_core::key::{HaKeys, SiteKey};
use geminus_core::manager::{Manager, Readings};
use geminus_core::model::Site;
use geminus_core::plan::{
    Census, Link, Overrides, Planner, Ruling, Rulings, TicksPerSecond, Wanted, server_identity, sizes,
};
use geminus_packet::frame::SliceFrame;
use geminus_packet::heap::{HeapTables, Sizes};
use geminus_packet::tables::{GROUPS, Server, Tables, Ticks};
use geminus_packet::verdict::Kind;

use super::scene::{Scene, Way};
use crate::time::{MS, Nanos};

const NODE: &str = "alpha";
const MAC: [u8; 6] = [2, 0, 0, 0, 1, 1];
const RATE: TicksPerSecond = TicksPerSecond(250);
/// Buckets of the flow table: room for more requests at once than any scene has.
const BUCKETS: u32 = 4096;
/// Ports of one client address.
const PORTS: u32 = 60_000;

pub(super) const SYN: u8 = 2;
pub(super) const ACK: u8 = 16;
pub(super) const FIN: u8 = 17;

/// What is known of a host besides its flows.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Heard {
    /// How long checks take.
    pub(super) latency: Option<Nanos>,
    /// What its agent said since the last cycle.
    pub(super) load: Option<u16>,
}

pub(super) struct Dispatcher {
    site: Site,
    key: SiteKey,
    ha_keys: HaKeys,
    links: HashMap<IpAddr, Link>,
    tables: HeapTables,
    planner: Planner,
    rulings: Rulings,
    manager: Option<Manager>,
    /// Identity and number in the tables, by host.
    servers: Vec<(u64, u32)>,
    /// Host, by number in the tables.
    hosts: HashMap<u32, usize>,
    /// All flows of each host at the last cycle.
    totals: Vec<u64>,
}

impl Dispatcher {
    pub(super) fn new(scene: &Scene, way: Way) -> Self {
        let site = match config::parse(&configuration(scene, way), "site.toml") {
            Ok(site) => site,
            Err(errors) => panic!("{errors}"),
        };
        let few = Sizes {
            flow_buckets: BUCKETS,
            provisional_buckets: BUCKETS,
            affinity_buckets: 1,
            tuples: 1,
            ..sizes(&site, 1)
        };
        let tables = HeapTables::new(&few);
        let key = SiteKey::new(*b"the simulator's secret, 32 bytes");
        let link = |address: IpAddr| {
            let last = if let IpAddr::V4(v4) = address { v4.octets()[3] } else { 0 };
            Link::Remote { mac: [2, 0, 0, 0, 3, last], source: MAC, interface: 1 }
        };
        let service = &site.clusters[0].services[0];
        let links = service.servers.iter().map(|server| (server.address, link(server.address))).collect();
        let mut dispatcher = Self {
            ha_keys: HaKeys::from_site(&key),
            planner: Planner::adopt(&tables, &few),
            key,
            links,
            tables,
            rulings: Rulings::default(),
            manager: way.is_managed().then(|| Manager::new(scene.manager)),
            servers: Vec::new(),
            hosts: HashMap::new(),
            totals: vec![0; scene.hosts.len()],
            site,
        };
        dispatcher.apply();
        dispatcher.own();
        dispatcher.know();
        dispatcher
    }

    /// Makes the tables say what is wanted.
    fn apply(&mut self) {
        let wanted = Wanted {
            site: &self.site,
            node: NODE,
            key: &self.key,
            ha_keys: &self.ha_keys,
            overrides: &Overrides::default(),
            rulings: &self.rulings,
            links: &self.links,
            mac: MAC,
            ticks: RATE,
        };
        if let Err(error) = self.planner.apply(&self.tables, &wanted, || ()) {
            panic!("{error}");
        }
    }

    /// The node is active for ever.
    fn own(&self) {
        for group in (0..GROUPS).filter_map(|number| self.tables.group(number)) {
            group.deadline.store(u64::MAX);
        }
    }

    /// Who is who in the tables.
    fn know(&mut self) {
        let cluster = &self.site.clusters[0];
        let service = &cluster.services[0];
        let number = |identity| self.planner.server_number(identity).expect("the plan placed every server");
        self.servers = (service.servers.iter())
            .map(|server| server_identity(cluster, service, server))
            .map(|identity| (identity, number(identity)))
            .collect();
        self.hosts = (0..).zip(&self.servers).map(|(host, &(_, number))| (number, host)).collect();
    }

    /// A segment of a client's comes: which host gets it.
    pub(super) fn forward(&self, flow: u32, flags: u8, now: Nanos) -> Option<usize> {
        let mut frame = SliceFrame::new(segment(flow, flags));
        let verdict = geminus_packet::dispatch(&mut frame, &self.tables, ticks(now));
        let is_forwarded = verdict.kind() == Kind::Forward;
        is_forwarded.then(|| self.hosts.get(&verdict.target().server).copied()).flatten()
    }

    /// Flows are counted, the manager looks at them and at what was heard, and what it finds right is put in force. The
    /// weights in force; none: nothing is managed.
    pub(super) fn cycle(&mut self, heard: &[Heard], now: Nanos) -> Option<Vec<f64>> {
        let servers = u32::try_from(self.servers.len()).expect("a scene has few hosts") + 1;
        let buckets = u64::from(BUCKETS);
        let mut census = Census::default();
        while !census.go_on(&self.tables, RATE, ticks(now), buckets, servers) {}
        let mut manager = self.manager.take()?;
        let readings: Vec<Readings> =
            heard.iter().enumerate().map(|(host, heard)| self.reading(host, heard)).collect();
        let found = manager.cycle(&readings);
        self.manager = Some(manager);
        if found.changed {
            for weight in &found.weights {
                let ruling = Ruling { weight: Some(weight.weight), ..Ruling::default() };
                self.rulings.rule(weight.identity, ruling);
            }
            self.apply();
        }
        let unit = f64::from(found.unit);
        Some(found.weights.iter().map(|weight| f64::from(weight.weight) / unit).collect())
    }

    fn reading(&mut self, host: usize, heard: &Heard) -> Readings {
        let (identity, number) = self.servers[host];
        let active = self.tables.server(number).map(|entry| Server::flows(entry.active.load()));
        let [_, _, total] = self.tables.sent(number);
        let new = total - std::mem::replace(&mut self.totals[host], total);
        Readings {
            identity,
            configured: self.site.clusters[0].services[0].servers[host].weight,
            fixed: false,
            serving: true,
            active,
            new: Some(new),
            latency: heard.latency.map(|latency| latency / 1000),
            load: heard.load,
        }
    }
}

fn configuration(scene: &Scene, way: Way) -> String {
    let mut text = format!(
        "[site]\nkey_file = \"/etc/geminus/site.key\"\n[node.{NODE}]\naddress = \"198.51.100.11\"\n\
         interface = \"eth0\"\n[tables]\ntuples = false\n[cluster.shop]\naddresses = [\"198.51.100.80\"]\n\
         primary = \"{NODE}\"\n[[cluster.shop.service]]\nport = 80\nring = 8191\nselect = \"{}\"\nservers = [\n",
        if way.is_least() { "least-connections" } else { "hash" }
    );
    let most = scene.hosts.iter().map(|power| power.thousandths()).max().unwrap_or(1);
    for (at, power) in scene.hosts.iter().enumerate() {
        let weight = if way == Way::Right { power.thousandths() * 300 / most } else { 10 };
        let _ = writeln!(text, "{{ address = \"198.51.100.{}\", weight = {weight} }},", 21 + at);
    }
    text.push_str("]\n");
    text
}

/// The kernel's coarse clock.
const fn ticks(now: Nanos) -> Ticks {
    Ticks(1000 + now / (4 * MS))
}

/// A TCP segment of a client: each flow has an address and a port of its own, for some millions of flows.
fn segment(flow: u32, flags: u8) -> Vec<u8> {
    let [_, _, high, low] = (flow / PORTS).to_be_bytes();
    let port = u16::try_from(1024 + flow % PORTS).unwrap_or(u16::MAX);
    let mut bytes = vec![2, 0, 0, 0, 1, 1, 2, 0, 0, 0, 2, 1, 8, 0];
    bytes.extend_from_slice(&[0x45, 0, 0, 40, 0, 1, 0x40, 0, 64, 6, 0, 0]);
    // 198.18.0.0/15, for benchmarks (RFC 2544).
    bytes.extend_from_slice(&[198, 18 + (high & 1), low, 9]);
    bytes.extend_from_slice(&[198, 51, 100, 80]);
    bytes.extend_from_slice(&port.to_be_bytes());
    bytes.extend_from_slice(&80_u16.to_be_bytes());
    bytes.extend_from_slice(&[0, 0, 0, 1, 0, 0, 0, 1, 0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
    bytes
}
