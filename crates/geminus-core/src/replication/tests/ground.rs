//! Two dispatchers with tables on the heap, and the wire between them.

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use geminus_fixtures::frame::{ACK, FIN, IPV4, SYN, Tcp, V4, ethernet};
use geminus_packet::flow::{Tag, WAYS};
use geminus_packet::frame::SliceFrame;
use geminus_packet::hash::ports_word;
use geminus_packet::heap::HeapTables;
use geminus_packet::tables::{Tables as _, Ticks};
use geminus_packet::verdict::Kind as Verdict;

use super::super::*;
use crate::ha::{Instant, SyncView};
use crate::key::{HaKeys, SiteKey};
use crate::model::{
    Affinity, Cluster, Ha, Method, Node as NodeConfig, Ports, Protocol, Select, Server, Service, Site,
    Tables as TableSizes, Timeouts, Unexposed,
};
use crate::plan::{Link, Overrides, Planner, TicksPerSecond, Wanted, sizes};

/// Time between two looks at the journals.
const STEP: Duration = Duration::from_millis(10);
pub(super) const RATE: TicksPerSecond = TicksPerSecond(1000);
const MAC: [u8; 6] = [2, 0, 0, 0, 1, 1];

fn server(name: &str) -> Server {
    let [a, b, ..] = *blake3::hash(name.as_bytes()).as_bytes();
    Server::new(name, Ipv4Addr::new(198, 18, a, b).into())
}

/// A TCP service whose flows are given out in turn, so that the ring does not know their servers.
pub(super) fn service(port: u16, servers: &[&str]) -> Service {
    Service {
        protocol: Protocol::Tcp,
        ports: Ports::Exact(port),
        method: Method::Mac,
        select: Select::RoundRobin,
        affinity: None,
        ring_slots: 251,
        ..Service::new(Protocol::Tcp, Ports::Any, servers.iter().map(|name| server(name)).collect())
    }
}

/// A cluster at 198.51.100.`address`.
pub(super) fn cluster(name: &str, address: u8, primary: &str, services: Vec<Service>) -> Cluster {
    let backup = if primary == "alpha" { "beta" } else { "alpha" };
    Cluster {
        name: name.into(),
        addresses: vec![Ipv4Addr::new(198, 51, 100, address).into()],
        primary: primary.into(),
        backup: Some(backup.into()),
        unexposed: Unexposed::Drop,
        ping: true,
        services,
    }
}

/// A site of these clusters.
pub(super) fn site(clusters: Vec<Cluster>) -> Site {
    let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
    let node = |name: &str, last| NodeConfig {
        name: name.into(),
        address: Ipv4Addr::new(198, 51, 100, last).into(),
        interface: "eth0".into(),
    };
    Site {
        key_file: None,
        nodes: vec![node("alpha", 11), node("beta", 12)],
        ha: Ha::default(),
        health: crate::model::Health::default(),
        manager: crate::model::Manager::default(),
        agents: crate::model::Agents::default(),
        tables: TableSizes { flows: 1 << 16, provisional: 1 << 15, affinity: 1 << 15, tuples: false },
        timeouts: Timeouts {
            tcp: minutes(15),
            tcp_fin: minutes(5),
            tcp_rst: minutes(1),
            udp: minutes(5),
            first: minutes(1),
        },
        clusters,
    }
}

/// One cluster, active on alpha, whose clients stay with their server on port 443.
pub(super) fn shop() -> Site {
    let sticky = Affinity { prefix4: 32, prefix6: 64, timeout: Duration::from_secs(600), group: None };
    let services = vec![
        service(80, &["web1", "web2", "web3"]),
        Service { affinity: Some(sticky), ..service(443, &["web1", "web2", "web3"]) },
    ];
    site(vec![cluster("shop", 80, "alpha", services)])
}

/// The same with a table in which so many flows find room that none is evicted.
pub(super) fn roomy_shop() -> Site {
    let mut site = shop();
    site.tables.flows = 1 << 18;
    site
}

/// A flow to port `port` of 198.51.100.`address`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Flow {
    pub(super) source: [u8; 4],
    pub(super) source_port: u16,
    pub(super) address: u8,
    pub(super) port: u16,
}

/// The n-th flow of many.
pub(super) fn flow(n: u32) -> Flow {
    let [_, b, c, d] = n.to_be_bytes();
    Flow { source: [20, b, c, d], source_port: 40_000, address: 80, port: 80 }
}

/// The n-th flow of many whose clients stay with their server.
pub(super) fn sticky(n: u32) -> Flow {
    Flow { port: 443, ..flow(n) }
}

impl Flow {
    fn frame(self, flags: u8) -> Vec<u8> {
        let ip = V4::new(self.source, [198, 51, 100, self.address]);
        ethernet(MAC, [2, 0, 0, 0, 2, 1], IPV4, &ip.tcp(&Tcp::new(self.source_port, self.port, flags)))
    }

    fn hash(self, node: &Node) -> u64 {
        let address = |bytes: [u8; 4]| u64::from(u32::from_le_bytes(bytes));
        let addresses = address(self.source) | address([198, 51, 100, self.address]) << 32;
        let ports = u32::from(self.source_port.to_be()) | u32::from(self.port.to_be()) << 16;
        node.tables.globals().expect("filled").key.v4(addresses, ports_word(ports, 6))
    }
}

/// One dispatcher.
pub(super) struct Node {
    pub(super) name: &'static str,
    pub(super) site: Site,
    key: SiteKey,
    pub(super) tables: HeapTables,
    planner: Planner,
    pub(super) servers: Servers,
    read: u64,
}

impl Node {
    pub(super) fn new(name: &'static str, site: Site) -> Self {
        Self::with_key(name, site, [7; 32])
    }

    pub(super) fn with_key(name: &'static str, site: Site, key: [u8; 32]) -> Self {
        let mut sizes = sizes(&site, 1);
        (sizes.servers, sizes.services) = (256, 64);
        let tables = HeapTables::new(&sizes);
        let planner = Planner::adopt(&tables, &sizes);
        let key = SiteKey::new(key);
        let mut node =
            Self { name, site: site.clone(), key, tables, planner, servers: Servers::default(), read: 0 };
        node.apply(site);
        node
    }

    /// The configuration changes.
    pub(super) fn apply(&mut self, site: Site) {
        static HA_KEYS: LazyLock<HaKeys> = LazyLock::new(|| HaKeys::from_site(&SiteKey::new([7; 32])));
        let services = site.clusters.iter().flat_map(|cluster| &cluster.services);
        let links: HashMap<_, _> = services
            .flat_map(|service| &service.servers)
            .map(|server| {
                let link = Link::Remote { mac: mac(server.address), source: MAC, interface: 2 };
                (server.address, link)
            })
            .collect();
        let wanted = Wanted {
            site: &site,
            node: self.name,
            key: &self.key,
            ha_keys: &HA_KEYS,
            overrides: &Overrides::default(),
            rulings: &crate::plan::Rulings::default(),
            links: &links,
            mac: MAC,
            ticks: RATE,
        };
        self.planner.apply(&self.tables, &wanted, || ()).expect("the site fits");
        self.servers.site_changed();
        self.site = site;
    }

    /// Whether the node forwards for a group.
    pub(super) fn set_active(&self, group: u32, active: bool) {
        let deadline = if active { u64::MAX } else { 0 };
        self.tables.group(group).expect("a group").deadline.store(deadline);
    }

    pub(super) fn setup(&self, partner: &str) -> Setup {
        Setup {
            node: self.name.into(),
            partner: partner.into(),
            digest: crate::config::digest(&self.site),
            lines: Arc::new(vec![format!("this is {}", self.name), "node.alpha".into()]),
            shared: Arc::new(Shared::of(&self.site, self.name, partner)),
        }
    }

    /// Flows in the table whose servers live: hash, name of the server, pinned.
    pub(super) fn flows(&self) -> HashMap<(Kind, u64), (String, bool)> {
        let ground = Ground::new(&self.tables, RATE, Ticks(u64::from(u32::MAX))).expect("filled");
        let mut flows = HashMap::new();
        for kind in [Kind::Flow, Kind::Client] {
            for number in 0..ground.buckets(kind) as u32 {
                let bucket = ground.bucket(kind, number).expect("in range");
                for found in (0..WAYS).filter_map(|way| bucket.way(way)) {
                    if insert::is_living(&ground, &found) {
                        let server = (self.server_name(found.server), found.note.pinned());
                        flows.insert((kind, bucket.tag(&found, number).0), server);
                    }
                }
            }
        }
        flows
    }

    fn server_name(&self, number: u32) -> String {
        let place = self.planner.place(number).expect("a server of the site");
        let service = &self.site.clusters[place.cluster].services[place.service];
        format!("{}:{}", service.servers[place.server].name, service.ports)
    }
}

fn mac(address: IpAddr) -> [u8; 6] {
    let IpAddr::V4(address) = address else { panic!("these servers have IPv4 addresses") };
    let [a, b, c, d] = address.octets();
    [2, 3, a, b, c, d]
}

/// Two dispatchers.
pub(super) struct Pair {
    pub(super) nodes: [Node; 2],
    pub(super) sessions: [Option<Session>; 2],
    /// What is on its way to each.
    pub(super) wires: [VecDeque<Vec<u8>>; 2],
    /// Messages that the wire carries to each in a step.
    pub(super) speed: usize,
    pub(super) now: Instant,
    pub(super) broken: Vec<Broken>,
    pub(super) events: [Vec<Event>; 2],
    /// What alpha said.
    pub(super) said: Vec<Vec<u8>>,
}

impl Pair {
    /// Alpha and beta with this site; the primaries are active. Not connected.
    pub(super) fn new(site: &Site) -> Self {
        let nodes = [Node::new("alpha", site.clone()), Node::new("beta", site.clone())];
        for group in site.groups() {
            for node in &nodes {
                node.set_active(group.number.into(), group.primary == node.name);
            }
        }
        Self {
            nodes,
            sessions: [None, None],
            wires: Default::default(),
            speed: usize::MAX,
            now: Instant::START + Duration::from_secs(1000),
            broken: Vec::new(),
            events: Default::default(),
            said: Vec::new(),
        }
    }

    /// Connected, and both know the same.
    pub(super) fn complete(site: &Site) -> Self {
        let mut pair = Self::new(site);
        pair.connect();
        pair.until_complete();
        pair
    }

    pub(super) fn connect(&mut self) {
        self.wires = Default::default();
        for (at, partner) in [(0, "beta"), (1, "alpha")] {
            self.sessions[at] = Some(Session::new(self.nodes[at].setup(partner), self.now));
        }
    }

    pub(super) fn disconnect(&mut self) {
        self.sessions = [None, None];
        self.wires = Default::default();
    }

    pub(super) const fn ticks(&self) -> Ticks {
        Ticks(self.now.elapsed().as_millis() as u64 + (1 << 40))
    }

    /// Ten milliseconds: each reads its journal, says what it may, hears what the wire carries.
    pub(super) fn step(&mut self) {
        self.now += STEP;
        let (now, ticks) = (self.now, self.ticks());
        for at in 0..2 {
            let node = &mut self.nodes[at];
            let ground = Ground::new(&node.tables, RATE, ticks).expect("filled");
            let session = &mut self.sessions[at];
            let mut slots = Vec::new();
            let journal = node.tables.journals().next().expect("one");
            let reading = journal.read(node.read, |slot| slots.push(slot));
            node.read = reading.next;
            let Some(session) = session else { continue };
            slots.into_iter().for_each(|slot| session.promoted(slot, &ground, now));
            if reading.missed > 0 {
                session.lost_track();
            }
        }
        let mut carried = [0, 0];
        let mut moved = true;
        while moved {
            moved = false;
            for (at, carried) in carried.iter_mut().enumerate() {
                moved |= self.speak(at);
                moved |= self.carry(at, carried);
            }
        }
    }

    fn speak(&mut self, at: usize) -> bool {
        let Some(session) = &mut self.sessions[at] else { return false };
        let ticks = Ticks(self.now.elapsed().as_millis() as u64 + (1 << 40));
        let ground = Ground::new(&self.nodes[at].tables, RATE, ticks).expect("filled");
        let mut message = Vec::new();
        // A stream takes a few messages ahead of the other side's reading.
        if self.wires[1 - at].len() >= 4 || !session.send(&ground, self.now, &mut message) {
            assert!(message.is_empty());
            return false;
        }
        assert!(message.len() <= MESSAGE_BYTES);
        if at == 0 && self.said.len() < 20 {
            self.said.push(message.clone());
        }
        self.wires[1 - at].push_back(message);
        true
    }

    fn carry(&mut self, to: usize, carried: &mut usize) -> bool {
        if *carried >= self.speed {
            return false;
        }
        let Some(message) = self.wires[to].pop_front() else { return false };
        *carried += 1;
        self.hear(to, &message);
        true
    }

    /// One of the two hears a message.
    pub(super) fn hear(&mut self, to: usize, message: &[u8]) {
        let ticks = self.ticks();
        let node = &mut self.nodes[to];
        let Some(session) = &mut self.sessions[to] else { return };
        let ground = Ground::new(&node.tables, RATE, ticks).expect("filled");
        if let Err(broken) = session.receive(message, &ground, &mut node.servers, self.now) {
            self.broken.push(broken);
            self.disconnect();
            return;
        }
        while let Some(event) = session.poll_event() {
            self.events[to].push(event);
        }
    }

    pub(super) fn steps(&mut self, steps: usize) {
        (0..steps).for_each(|_| self.step());
    }

    pub(super) fn until_complete(&mut self) {
        for _ in 0..10_000 {
            self.step();
            if (0..2).all(|at| self.view(at) == SyncView::Complete) {
                return;
            }
        }
        panic!("not complete: {:?} {:?}, {:?}", self.view(0), self.view(1), self.broken);
    }

    pub(super) fn view(&self, at: usize) -> SyncView {
        let ground = Ground::new(&self.nodes[at].tables, RATE, self.ticks()).expect("filled");
        self.sessions[at].as_ref().map_or(SyncView::Down, |session| session.view(&ground))
    }

    pub(super) fn numbers(&self, at: usize) -> Numbers {
        self.sessions[at].as_ref().expect("connected").numbers()
    }

    /// The configuration of one of the two changes.
    pub(super) fn reconfigure(&mut self, at: usize, site: Site) {
        self.nodes[at].apply(site);
        let partner = self.nodes[1 - at].name;
        let setup = self.nodes[at].setup(partner);
        if let Some(session) = &mut self.sessions[at] {
            session.configure(setup);
        }
    }

    /// The server that a segment of a flow goes to.
    pub(super) fn segment(&self, at: usize, flow: Flow) -> Option<String> {
        self.packet(at, &flow.frame(ACK))
    }

    pub(super) fn fin(&self, at: usize, flow: Flow) -> Option<String> {
        self.packet(at, &flow.frame(FIN | ACK))
    }

    /// The server that the first packet of a flow goes to.
    pub(super) fn syn(&self, at: usize, flow: Flow) -> Option<String> {
        self.packet(at, &flow.frame(SYN))
    }

    fn packet(&self, at: usize, frame: &[u8]) -> Option<String> {
        let node = &self.nodes[at];
        let mut frame = SliceFrame::new(frame);
        let verdict = geminus_packet::dispatch(&mut frame, &node.tables, self.ticks());
        let services = node.site.clusters.iter().flat_map(|cluster| &cluster.services);
        let mut servers = services.flat_map(|service| &service.servers);
        let to = &frame.bytes()[..6];
        (verdict.kind() == Verdict::Forward)
            .then(|| servers.find(|server| mac(server.address) == to).expect("a server").name.clone())
    }

    /// A client connects: its first two packets. The server that has it.
    pub(super) fn establish(&self, at: usize, flow: Flow) -> String {
        let first = self.syn(at, flow).expect("forwarded");
        assert_eq!(self.segment(at, flow).as_ref(), Some(&first));
        first
    }

    /// Whether a node remembers a flow: the server, and whether it is pinned.
    pub(super) fn remembers(&self, at: usize, flow: Flow) -> Option<(String, bool)> {
        let node = &self.nodes[at];
        let ground = Ground::new(&node.tables, RATE, self.ticks()).expect("filled");
        let hash = flow.hash(node);
        let bucket = ground.bucket(Kind::Flow, ground.bucket_of(Kind::Flow, hash)).expect("in range");
        let found = bucket.find(Tag(hash)).filter(|found| insert::is_living(&ground, found))?;
        Some((node.server_name(found.server), found.note.pinned()))
    }

    pub(super) fn assert_equal_tables(&self) {
        let [alpha, beta] = self.nodes.each_ref().map(Node::flows);
        let differing = alpha.iter().filter(|(flow, server)| beta.get(flow) != Some(server)).count();
        assert_eq!((alpha.len(), differing), (beta.len(), 0));
    }

    /// The other one takes over group 1.
    pub(super) fn take_over(&self, to: usize) {
        self.nodes[to].set_active(1, true);
        self.nodes[1 - to].set_active(1, false);
    }
}
