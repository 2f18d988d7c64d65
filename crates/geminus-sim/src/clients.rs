//! Clients and servers: a handful of connections whose packets take the real packet path on whichever node owns the
//! addresses, over tables that the real plan filled.
//!
//! Every failover group of the schedule is served by the same cluster here; whether a node forwards for a group is asked of
//! the schedule, packet by packet.

use std::collections::HashMap;
use std::net::IpAddr;

use geminus_core::config;
use geminus_core::ha::{Cause, SyncView};
use geminus_core::key::{HaKeys, SiteKey};
use geminus_core::plan::{Link, Overrides, Planner, TicksPerSecond, Wanted, sizes};
use geminus_packet::flow::{Entry, State, Tag, WAYS};
use geminus_packet::frame::SliceFrame;
use geminus_packet::hash::ports_word;
use geminus_packet::heap::{HeapTables, Sizes};
use geminus_packet::tables::{Tables, Ticks};
use geminus_packet::verdict::Kind;

use crate::machine::Machine;
use crate::shape::name;
use crate::time::{MS, Nanos};
use crate::world::{TICK, World};

/// Two services: one is balanced by the hash, the other in turn, so that its flows are where the hash would not put them.
const SITE: &str = r#"
[site]
key_file = "/etc/geminus/site.key"
[node.alpha]
address = "198.51.100.11"
interface = "eth0"
[node.beta]
address = "198.51.100.12"
interface = "eth0"
[tables]
tuples = false
[cluster.shop]
addresses = ["198.51.100.80"]
primary = "alpha"
backup = "beta"
[[cluster.shop.service]]
port = 80
ring = 251
servers = [{ address = "198.51.100.21" }, { address = "198.51.100.22" }, { address = "198.51.100.23" }, { address = "198.51.100.24" }]
[[cluster.shop.service]]
port = 81
ring = 251
select = "round-robin"
servers = [{ address = "198.51.100.21" }, { address = "198.51.100.22" }, { address = "198.51.100.23" }, { address = "198.51.100.24" }]
"#;

/// Connections of each group and service.
const FLOWS: u16 = 2;
/// A client sends a packet so often.
const PACE: Nanos = 4 * TICK;
/// Buckets of each flow table: room for every flow of a schedule.
const BUCKETS: u32 = 16;
const NODES: usize = 3;
const CLIENT: [u8; 4] = [203, 0, 113, 9];
const CLUSTER: [u8; 4] = [198, 51, 100, 80];
const SYN: u8 = 2;
const ACK: u8 = 16;

/// Clients, and the tables of every node.
#[derive(Debug, Default)]
pub struct Clients {
    tables: Vec<HeapTables>,
    flows: Vec<Flow>,
    next_port: u16,
    /// Packets that were forwarded.
    pub forwarded: u64,
}

/// One connection.
#[derive(Debug, Clone)]
struct Flow {
    group: usize,
    source: u16,
    port: u16,
    tag: Tag,
    /// The server that it talks to, once it has one.
    server: Option<u32>,
    /// When its second packet was forwarded: from then on it is remembered.
    established: Option<Nanos>,
}

impl Clients {
    /// Tables for every node that a site may have, filled by the real plan. Made once for many schedules.
    ///
    /// # Panics
    /// Where the site that is written above is not one.
    pub fn new() -> Self {
        let tables = (0..NODES).map(|node| tables(if node == 0 { "alpha" } else { "beta" })).collect();
        Self { tables, flows: Vec::new(), next_port: 0, forwarded: 0 }
    }

    /// New connections for a new schedule; nothing is remembered of the one before.
    pub(crate) fn begin(&mut self, groups: usize) {
        (0..NODES).for_each(|node| self.forget(node));
        for tables in &self.tables {
            (0..2).filter_map(|service| tables.service(service)).for_each(|service| service.turn.store(0));
        }
        self.flows.clear();
        self.next_port = 1024;
        self.forwarded = 0;
        for group in 0..groups {
            for number in 0..FLOWS * 2 {
                let flow = self.connect(group, 80 + number % 2);
                self.flows.push(flow);
            }
        }
    }

    fn connect(&mut self, group: usize, port: u16) -> Flow {
        self.next_port += 1;
        let source = self.next_port;
        let key = &self.tables[0].globals().expect("tables have settings").key;
        let addresses = u64::from(u32::from_le_bytes(CLIENT)) | u64::from(u32::from_le_bytes(CLUSTER)) << 32;
        let ports = u32::from(source.swap_bytes()) | u32::from(port.swap_bytes()) << 16;
        let tag = Tag(key.v4(addresses, ports_word(ports, 6)));
        Flow { group, source, port, tag, server: None, established: None }
    }

    /// The tables of a node are gone, and with them what it remembered.
    pub(crate) fn forget(&mut self, node: usize) {
        let tables = &self.tables[node];
        for bucket in 0..BUCKETS {
            for bucket in [tables.flows(bucket), tables.provisional(bucket)].into_iter().flatten() {
                (0..WAYS).filter_map(|way| bucket.way(way)).for_each(|found| bucket.forget(&found));
            }
        }
    }

    /// What either of two partners remembers, the other remembers too.
    pub(crate) fn replicate(&mut self, nodes: [usize; 2], now: Nanos) {
        for flow in &self.flows {
            if flow.established.is_some_and(|at| now > at) {
                for [from, to] in [nodes, [nodes[1], nodes[0]]] {
                    copy(&self.tables[from], &self.tables[to], flow.tag, ticks(now));
                }
            }
        }
    }
}

impl<M: Machine> World<M> {
    /// Every client sends a packet now and then.
    pub(crate) fn talk_to_servers(&mut self) {
        if !self.now.is_multiple_of(PACE) {
            return;
        }
        for at in 0..self.clients.flows.len() {
            let flow = &self.clients.flows[at];
            let group = flow.group;
            let owners = self.ends(group).map(|node| self.nodes[node].owns(group, self.now).then_some(node));
            // Where two own the addresses, neighbours disagree about whose they are.
            let turn = (self.now / PACE).is_multiple_of(2);
            let to = if turn { owners[0].or(owners[1]) } else { owners[1].or(owners[0]) };
            if let Some(node) = to {
                self.forward(at, node);
            }
        }
    }

    fn forward(&mut self, at: usize, node: usize) {
        let now = self.now;
        let flow = &self.clients.flows[at];
        let step = if flow.server.is_none() { SYN } else { ACK };
        let mut frame = SliceFrame::new(segment(flow.source, flow.port, step, node));
        let verdict = geminus_packet::dispatch(&mut frame, &self.clients.tables[node], ticks(now));
        let group = flow.group;
        if verdict.kind() != Kind::Forward {
            return self.violate("a_flow_stays_with_its_server_through_a_takeover", || {
                let reason = verdict.reason().map_or("nothing", |reason| reason.name);
                format!("{} does not forward for group {}: {reason}", name(node), group + 1)
            });
        }
        self.clients.forwarded += 1;
        let server = verdict.target().server;
        let flow = &mut self.clients.flows[at];
        match flow.server {
            None => flow.server = Some(server),
            Some(before) if before == server => drop(flow.established.get_or_insert(now)),
            Some(before) => {
                self.a_flow_stays_with_its_server_through_a_takeover(at, node, [before, server]);
                let (group, port) = (self.clients.flows[at].group, self.clients.flows[at].port);
                self.clients.flows[at] = self.clients.connect(group, port);
            }
        }
    }

    /// A flow goes to another server only where its server was chosen in turn, and nobody could know of it: its node died,
    /// or was cut off, before 40 ms had passed in which it could tell its partner. By the hash it never does; and a
    /// takeover that was not forced upon anybody (a primary that takes back) moves none.
    fn a_flow_stays_with_its_server_through_a_takeover(
        &mut self,
        at: usize,
        node: usize,
        [before, server]: [u32; 2],
    ) {
        let Flow { group, port, established, tag, .. } = self.clients.flows[at];
        let by_hash = port == 80;
        let known = remembers(&self.clients.tables[node], tag);
        let planned = self.became_active_by(node, group).is_some_and(|(cause, when)| {
            cause == Cause::Recovery && established.is_some_and(|since| since + 40 * MS < when)
        });
        let complete = self.replicas[self.shape.groups[group].pair].sync == SyncView::Complete;
        if by_hash || known.is_some_and(|known| known != server) || planned && complete {
            self.violate("a_flow_stays_with_its_server_through_a_takeover", || {
                format!("{} sends a flow of group {} to {server}, not to {before}", name(node), group + 1)
            });
        }
    }
}

fn remembers(tables: &HeapTables, tag: Tag) -> Option<u32> {
    let bucket = tables.flows(tag.bucket(tables.globals()?.flow_mask.load()))?;
    Some(bucket.find(tag)?.server)
}

/// The kernel's coarse clock.
const fn ticks(now: Nanos) -> Ticks {
    Ticks(1000 + now / (4 * MS))
}

fn copy(from: &HeapTables, to: &HeapTables, tag: Tag, now: Ticks) {
    let Some(globals) = to.globals() else { return };
    let number = tag.bucket(globals.flow_mask.load());
    let (Some(from), Some(to)) = (from.flows(number), to.flows(number)) else { return };
    if let Some(found) = from.find(tag)
        && to.find(tag).is_none()
    {
        let state = State::ALL[usize::from(found.note.state())];
        let (generation, pinned) = (found.note.generation(), u64::from(found.note.pinned()));
        to.remember(
            &Entry { tag, server: found.server, generation, state, pinned },
            now.0 as u32,
            globals,
            false,
        );
    }
}

/// The tables of a node, as its daemon fills them.
fn tables(node: &str) -> HeapTables {
    let site = match config::parse(SITE, "site.toml") {
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
    let last = if node == "alpha" { 1 } else { 2 };
    let mac = [2, 0, 0, 0, 1, last];
    let addresses = site.clusters.iter().flat_map(|cluster| &cluster.services).flat_map(|of| &of.servers);
    let link = |address: IpAddr| match address {
        IpAddr::V4(v4) => Link::Remote { mac: [2, 0, 0, 0, 3, v4.octets()[3]], source: mac, interface: 1 },
        IpAddr::V6(_) => Link::Local,
    };
    let links: HashMap<_, _> = addresses.map(|server| (server.address, link(server.address))).collect();
    let key = SiteKey::new(*b"the simulator's secret, 32 bytes");
    let wanted = Wanted {
        site: &site,
        node,
        key: &key,
        ha_keys: &HaKeys::from_site(&key),
        overrides: &Overrides::default(),
        rulings: &geminus_core::plan::Rulings::default(),
        links: &links,
        mac,
        ticks: TicksPerSecond(250),
    };
    if let Err(error) = Planner::adopt(&tables, &few).apply(&tables, &wanted, || ()) {
        panic!("{error}");
    }
    for number in 0..geminus_packet::tables::GROUPS {
        if let Some(group) = tables.group(number) {
            group.deadline.store(u64::MAX);
        }
    }
    tables
}

/// A TCP segment of a client, in a frame to a node.
fn segment(source: u16, port: u16, flags: u8, node: usize) -> Vec<u8> {
    let last = if node == 0 { 1 } else { 2 };
    let mut bytes = vec![2, 0, 0, 0, 1, last, 2, 0, 0, 0, 2, 1, 8, 0];
    bytes.extend_from_slice(&[0x45, 0, 0, 40, 0, 1, 0x40, 0, 64, 6, 0, 0]);
    bytes.extend_from_slice(&CLIENT);
    bytes.extend_from_slice(&CLUSTER);
    bytes.extend_from_slice(&source.to_be_bytes());
    bytes.extend_from_slice(&port.to_be_bytes());
    bytes.extend_from_slice(&[0, 0, 0, 1, 0, 0, 0, 1, 0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(clients: &Clients, flow: &Flow, node: usize, flags: u8) -> u32 {
        let mut frame = SliceFrame::new(segment(flow.source, flow.port, flags, node));
        let verdict = geminus_packet::dispatch(&mut frame, &clients.tables[node], ticks(0));
        assert_eq!(verdict.kind(), Kind::Forward, "{:?}", verdict.reason());
        verdict.target().server
    }

    #[test]
    fn both_nodes_send_a_flow_to_the_same_server_by_the_hash() {
        let mut clients = Clients::new();
        clients.begin(1);
        for _ in 0..50 {
            let flow = clients.connect(0, 80);
            assert_eq!(server(&clients, &flow, 0, SYN), server(&clients, &flow, 1, ACK));
        }
    }

    #[test]
    fn a_flow_that_the_hash_would_put_elsewhere_stays_where_it_is_once_it_is_replicated() {
        let mut clients = Clients::new();
        clients.begin(1);
        let mut differ = 0;
        for _ in 0..20 {
            let flow = Flow { established: Some(0), ..clients.connect(0, 81) };
            let chosen = server(&clients, &flow, 0, SYN);
            assert_eq!(server(&clients, &flow, 0, ACK), chosen);
            clients.flows = vec![flow.clone()];
            clients.replicate([0, 1], TICK);
            assert_eq!(server(&clients, &flow, 1, ACK), chosen);
            clients.forget(1);
            differ += u32::from(server(&clients, &flow, 1, ACK) != chosen);
        }
        assert!(differ > 5, "the test shows something only where the two differ: {differ}");
    }
}
