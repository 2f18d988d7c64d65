//! A node with tables on the heap, and packets for it.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::sync::LazyLock;
use std::time::Duration;

use geminus_fixtures::frame::{ACK, IPV4, SYN, Tcp, V4, ethernet};
use geminus_fixtures::snapshot::Snapshot;
use geminus_packet::frame::SliceFrame;
use geminus_packet::heap::{HeapTables, Sizes};
use geminus_packet::tables::{Tables, Ticks};
use geminus_packet::verdict::{Kind, Verdict};

use super::super::*;
use crate::model::{
    Ha, Method, Ports, Protocol, Select, Server, Service, Tables as TableSizes, Timeouts, Unexposed,
};

/// The node.
pub(super) const NODE: &str = "alpha";
/// Its hardware address.
const NODE_MAC: Mac = [2, 0, 0, 0, 1, 1];
/// Where packets come from.
const ROUTER_MAC: Mac = [2, 0, 0, 0, 2, 1];
/// When everything happens.
pub(super) const NOW: Ticks = Ticks(1 << 33);

/// A server; its address and hardware address come from its name.
pub(super) fn server(name: &str) -> Server {
    let hash = blake3::hash(name.as_bytes());
    let [a, b, ..] = *hash.as_bytes();
    Server::new(name, Ipv4Addr::new(198, 18, a, b).into())
}

/// A TCP service.
pub(super) fn service(port: u16, servers: &[&str]) -> Service {
    Service {
        protocol: Protocol::Tcp,
        ports: Ports::Exact(port),
        method: Method::Mac,
        select: Select::Hash,
        affinity: None,
        ring_slots: 251,
        ..Service::new(Protocol::Tcp, Ports::Any, servers.iter().map(|name| server(name)).collect())
    }
}

/// A cluster with an address that ends in `address`.
pub(super) fn cluster(name: &str, address: u8, services: Vec<Service>) -> Cluster {
    Cluster {
        name: name.into(),
        addresses: vec![Ipv4Addr::new(198, 51, 100, address).into()],
        primary: NODE.into(),
        backup: None,
        unexposed: Unexposed::Drop,
        ping: true,
        services,
    }
}

/// A site of these clusters.
pub(super) fn site(clusters: Vec<Cluster>) -> Site {
    let hours = |hours: u64| Duration::from_secs(3600 * hours);
    Site {
        key_file: None::<PathBuf>,
        nodes: Vec::new(),
        ha: Ha::default(),
        health: crate::model::Health::default(),
        manager: crate::model::Manager::default(),
        agents: crate::model::Agents::default(),
        tables: TableSizes { flows: 1 << 13, provisional: 1 << 13, affinity: 1 << 10, tuples: true },
        timeouts: Timeouts {
            tcp: hours(1),
            tcp_fin: hours(1),
            tcp_rst: hours(1),
            udp: hours(1),
            first: hours(1),
        },
        clusters,
    }
}

/// A TCP flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Flow {
    pub(super) source: [u8; 4],
    pub(super) source_port: u16,
    pub(super) destination: [u8; 4],
    pub(super) port: u16,
}

/// The n-th flow to a cluster address that ends in `address`.
pub(super) fn flow(address: u8, n: u16, port: u16) -> Flow {
    let [high, low] = n.to_be_bytes();
    Flow { source: [203, 0, high, low], source_port: 40_000, destination: [198, 51, 100, address], port }
}

impl Flow {
    fn frame(self, flags: u8) -> Vec<u8> {
        let ip = V4::new(self.source, self.destination);
        ethernet(NODE_MAC, ROUTER_MAC, IPV4, &ip.tcp(&Tcp::new(self.source_port, self.port, flags)))
    }

    pub(super) fn syn(self) -> Vec<u8> {
        self.frame(SYN)
    }

    pub(super) fn segment(self) -> Vec<u8> {
        self.frame(ACK)
    }
}

/// What became of a frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Sent {
    /// In a frame to the server of this name, by this path.
    To(String, &'static str),
    Dropped(&'static str),
    Passed(&'static str),
}

impl Sent {
    /// The server that it was sent to.
    #[track_caller]
    pub(super) fn server(&self) -> &str {
        match self {
            Self::To(server, _) => server,
            other => panic!("{other:?}"),
        }
    }
}

/// A node.
pub(super) struct Node {
    pub(super) tables: HeapTables,
    pub(super) sizes: Sizes,
    pub(super) planner: Planner,
    pub(super) site: Site,
    pub(super) overrides: Overrides,
    pub(super) rulings: Rulings,
    pub(super) links: HashMap<IpAddr, Link>,
}

impl Node {
    /// A node whose tables are made for a site and say it; it is active.
    pub(super) fn new(site: Site) -> Self {
        let mut sizes = sizes(&site, 1);
        (sizes.services, sizes.ring_lines) = (16, sizes.ring_lines.max(2000));
        Self::with(site, &sizes)
    }

    /// A node with tables of these sizes.
    pub(super) fn with(site: Site, sizes: &Sizes) -> Self {
        let mut node = Self::empty(sizes);
        node.apply(site).expect("the site fits its tables");
        node
    }

    /// A node that knows the way to no server.
    pub(super) fn without_links(site: Site) -> Self {
        let mut node = Self::empty(&sizes(&site, 1));
        node.site = site;
        node.reload().expect("the site fits its tables");
        node
    }

    /// An active node with empty tables.
    pub(super) fn empty(sizes: &Sizes) -> Self {
        let tables = HeapTables::new(sizes);
        tables.group(0).expect("there is a group").deadline.store(u64::MAX);
        Self {
            planner: Planner::adopt(&tables, sizes),
            tables,
            sizes: *sizes,
            site: site(Vec::new()),
            overrides: Overrides::default(),
            rulings: Rulings::default(),
            links: HashMap::new(),
        }
    }

    /// Makes the tables say another site, whose servers can all be reached; how many graces it took.
    pub(super) fn apply(&mut self, site: Site) -> Result<u32, PlanError> {
        let before = std::mem::replace(&mut self.site, site);
        self.links.extend(links(&self.site));
        let applied = self.reload();
        if applied.is_err() {
            self.site = before;
        }
        applied
    }

    /// Makes the tables say what the node says; how many graces it took.
    pub(super) fn reload(&mut self) -> Result<u32, PlanError> {
        let mut graces = 0;
        let wanted = wanted(&self.site, &self.overrides, &self.rulings, &self.links);
        self.planner.apply(&self.tables, &wanted, || graces += 1)?;
        Ok(graces)
    }

    /// Makes the tables say what is wanted of these servers.
    pub(super) fn adjust(&mut self, servers: Vec<u64>) -> Result<(), PlanError> {
        self.change(&Changed { servers, services: Vec::new() })
    }

    /// Makes the tables say what is wanted of these servers and services.
    pub(super) fn change(&mut self, changed: &Changed) -> Result<(), PlanError> {
        let wanted = wanted(&self.site, &self.overrides, &self.rulings, &self.links);
        self.planner.adjust(&self.tables, &wanted, changed, || ())
    }

    /// Wants something of a server wherever it serves; its identities.
    pub(super) fn wish(&mut self, name: &str, wish: Override) -> Vec<u64> {
        let identities = self.identities(name);
        identities.iter().for_each(|&identity| self.overrides.insert(identity, wish));
        identities
    }

    /// Finds something of a server wherever it serves; its identities.
    pub(super) fn rule(&mut self, name: &str, ruling: Ruling) -> Vec<u64> {
        let identities = self.identities(name);
        identities.iter().for_each(|&identity| self.rulings.rule(identity, ruling));
        identities
    }

    /// What a server is called wherever it serves.
    pub(super) fn identities(&self, name: &str) -> Vec<u64> {
        let mut identities = Vec::new();
        for cluster in &self.site.clusters {
            for service in &cluster.services {
                let named = service.servers.iter().filter(|server| server.name == name);
                identities.extend(named.map(|server| server_identity(cluster, service, server)));
            }
        }
        identities
    }

    /// Finds the way to a server.
    pub(super) fn find(&mut self, name: &str) {
        let address = server(name).address;
        self.links.insert(address, link(address));
        let wanted = wanted(&self.site, &self.overrides, &self.rulings, &self.links);
        self.planner.set_link(&self.tables, &wanted, address);
    }

    /// Makes the tables larger, but for one of them, and installs everything anew.
    pub(super) fn grow_all_but(&mut self, table: &str) {
        let small = self.sizes;
        let sizes = Sizes {
            services: if table == "service" { small.services } else { 256 },
            servers: if table == "server" { small.servers } else { 1024 },
            ring_lines: if table == "ring" { small.ring_lines } else { 40_000 },
            ranges: if table == "range" { small.ranges } else { 256 },
            address_buckets: if table == "address" { small.address_buckets } else { 1 << 12 },
            endpoint_buckets: 1 << 10,
            ..small
        };
        let next = Self::with(self.site.clone(), &sizes);
        carry((&self.tables, &self.sizes), (&next.tables, &next.sizes), NOW.0 as u32);
        *self = next;
    }

    /// Runs a frame through the packet path.
    pub(super) fn send(&self, frame: &[u8]) -> Sent {
        send(&self.tables, &self.site, frame)
    }

    /// Sends a SYN and a first segment; where they went.
    #[track_caller]
    pub(super) fn establish(&self, flow: Flow) -> String {
        let first = self.send(&flow.syn());
        let second = self.send(&flow.segment());
        assert_eq!(first.server(), second.server(), "{first:?}, {second:?}");
        second.server().into()
    }

    /// The name of a server entry.
    pub(super) fn name(&self, number: u32) -> &str {
        let place = self.planner.place(number).expect("a server of the site");
        &self.site.clusters[place.cluster].services[place.service].servers[place.server].name
    }

    /// The entry of a server in the first service that has it.
    pub(super) fn entry(&self, name: &str) -> &geminus_packet::tables::Server {
        let number = self.planner.server_number(self.identities(name)[0]).expect("it is installed");
        self.tables.server(number).expect("numbers come from the table itself")
    }

    /// Everything the tables say.
    pub(super) fn snapshot(&self) -> Snapshot {
        Snapshot::of(&self.tables, &self.sizes, NOW.0 as u32)
    }
}

/// How every server of a site is reached.
pub(super) fn links(site: &Site) -> HashMap<IpAddr, Link> {
    let services = site.clusters.iter().flat_map(|cluster| &cluster.services);
    services
        .flat_map(|service| &service.servers)
        .map(|server| (server.address, link(server.address)))
        .collect()
}

fn link(address: IpAddr) -> Link {
    Link::Remote { mac: mac(address), source: NODE_MAC, interface: 2 }
}

fn mac(address: IpAddr) -> Mac {
    let IpAddr::V4(address) = address else { panic!("these servers have IPv4 addresses") };
    let [a, b, c, d] = address.octets();
    [2, 3, a, b, c, d]
}

/// What the tables are to say.
pub(super) fn wanted<'a>(
    site: &'a Site,
    overrides: &'a Overrides,
    rulings: &'a Rulings,
    links: &'a HashMap<IpAddr, Link>,
) -> Wanted<'a> {
    static KEY: SiteKey = SiteKey::new([7; 32]);
    static HA_KEYS: LazyLock<HaKeys> = LazyLock::new(|| HaKeys::from_site(&KEY));
    Wanted {
        site,
        node: NODE,
        key: &KEY,
        ha_keys: &HA_KEYS,
        overrides,
        rulings,
        links,
        mac: NODE_MAC,
        ticks: TicksPerSecond(250),
    }
}

/// Runs a frame through the packet path over any tables.
pub(super) fn send(tables: &impl Tables, site: &Site, frame: &[u8]) -> Sent {
    let (verdict, bytes) = run(tables, frame);
    let reason = verdict.reason().expect("every verdict has a reason").name;
    match verdict.kind() {
        Kind::Forward => Sent::To(name_of(site, &bytes), reason),
        Kind::Drop => Sent::Dropped(reason),
        _ => Sent::Passed(reason),
    }
}

/// Runs a frame through the packet path: verdict and bytes.
pub(super) fn run(tables: &impl Tables, frame: &[u8]) -> (Verdict, Vec<u8>) {
    let mut frame = SliceFrame::new(frame);
    let verdict = geminus_packet::dispatch(&mut frame, tables, NOW);
    (verdict, frame.bytes().to_vec())
}

/// Whose hardware address a frame is sent to, by this node.
fn name_of(site: &Site, frame: &[u8]) -> String {
    let services = site.clusters.iter().flat_map(|cluster| &cluster.services);
    let mut servers = services.flat_map(|service| &service.servers);
    let found = servers.find(|server| mac(server.address)[..] == frame[..6]);
    match found {
        Some(server) if frame[6..12] == NODE_MAC => server.name.clone(),
        Some(server) => format!("{} in a frame of {:02x?}", server.name, &frame[6..12]),
        None => format!("nobody of the site, {:02x?}", &frame[..6]),
    }
}

/// What a planner believes to be where, in an order of its own.
pub(super) type Inventory = (BTreeMap<u64, u32>, BTreeMap<u64, u32>, Vec<u32>, Vec<u32>, String);

/// What a planner believes to be where.
pub(super) fn inventory(planner: &Planner) -> Inventory {
    let sorted = |numbers: &[u32]| {
        let mut sorted = numbers.to_vec();
        sorted.sort_unstable();
        sorted
    };
    (
        planner.services.iter().map(|(&identity, &index)| (identity, index)).collect(),
        planner.servers.iter().map(|(&identity, &index)| (identity, index)).collect(),
        sorted(&planner.free_services),
        sorted(&planner.free_servers),
        format!("{:?}", planner.room),
    )
}
