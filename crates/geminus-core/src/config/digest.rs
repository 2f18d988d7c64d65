//! One number for what a configuration says, however it is written.

use std::net::IpAddr;
use std::time::Duration;

use crate::model::{
    Affinity, Cluster, Ha, Method, Node, Ports, Protocol, Select, Server, Service, Site, Tables, Timeouts,
    Unexposed,
};

/// Changed whenever the canonical form is: two forms must never be taken for one.
const FORM: &str = "geminus site 1";

/// BLAKE3 over a canonical form of the site.
///
/// Equal for files that differ in order, spacing, comments or spelled-out defaults only, so that two dispatchers, or a
/// person and a dispatcher, can tell whether they mean the same. It is no secret and proves no origin.
pub fn digest(site: &Site) -> [u8; 32] {
    let mut form = Form(blake3::Hasher::new());
    form.text(FORM);
    form.site(site);
    *form.0.finalize().as_bytes()
}

/// Every value goes in with its length or in a fixed width, every list with its count: no two sites share a form.
struct Form(blake3::Hasher);

impl Form {
    fn number(&mut self, number: u64) {
        self.0.update(&number.to_le_bytes());
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.0.update(bytes);
    }

    fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    fn duration(&mut self, duration: Duration) {
        self.number(duration.as_secs());
        self.number(duration.subsec_nanos().into());
    }

    fn address(&mut self, address: IpAddr) {
        match address {
            IpAddr::V4(v4) => self.bytes(&v4.octets()),
            IpAddr::V6(v6) => self.bytes(&v6.octets()),
        }
    }

    /// A list whose order says nothing.
    fn set<'a, T, K: Ord>(
        &mut self,
        items: &'a [T],
        key: impl Fn(&'a T) -> K,
        each: impl Fn(&mut Self, &'a T),
    ) {
        let mut sorted: Vec<_> = items.iter().collect();
        sorted.sort_by_key(|item| key(item));
        self.number(sorted.len() as u64);
        for item in sorted {
            each(self, item);
        }
    }

    fn site(&mut self, site: &Site) {
        let Site { key_file, nodes, ha: Ha { lease, .. }, tables, timeouts, clusters } = site;
        match key_file {
            None => self.number(0),
            Some(path) => {
                self.number(1);
                self.bytes(path.as_os_str().as_encoded_bytes());
            }
        }
        self.duration(*lease);
        self.tables(tables);
        self.timeouts(timeouts);
        self.set(nodes, |node| &node.name, Self::node);
        self.set(clusters, |cluster| &cluster.name, Self::cluster);
    }

    fn tables(&mut self, tables: &Tables) {
        let Tables { flows, provisional, affinity, tuples } = *tables;
        for size in [flows, provisional, affinity] {
            self.number(size.into());
        }
        self.number(tuples.into());
    }

    fn timeouts(&mut self, timeouts: &Timeouts) {
        let Timeouts { tcp, tcp_fin, tcp_rst, udp, first } = *timeouts;
        for timeout in [tcp, tcp_fin, tcp_rst, udp, first] {
            self.duration(timeout);
        }
    }

    fn node(&mut self, node: &Node) {
        let Node { name, address, interface } = node;
        self.text(name);
        self.address(*address);
        self.text(interface);
    }

    fn cluster(&mut self, cluster: &Cluster) {
        let Cluster { name, addresses, primary, unexposed, ping, services, .. } = cluster;
        self.text(name);
        self.set(addresses, |address| *address, |form, address| form.address(*address));
        self.text(primary);
        self.text(match unexposed {
            Unexposed::Drop => "drop",
            Unexposed::Pass => "pass",
        });
        self.number((*ping).into());
        self.set(services, |service| (service.protocol, service.ports), Self::service);
    }

    fn service(&mut self, service: &Service) {
        let Service { protocol, ports, method, select, affinity, ring_slots, servers } = service;
        self.text(match protocol {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
        });
        let (kind, first, last) = match *ports {
            Ports::Exact(port) => (0, port, port),
            Ports::Range(first, last) => (1, first, last),
            Ports::Any => (2, 0, 0),
        };
        for number in [kind, first, last] {
            self.number(number.into());
        }
        self.text(match method {
            Method::Mac => "mac",
        });
        self.text(match select {
            Select::Hash => "hash",
            Select::RoundRobin => "round-robin",
        });
        self.affinity(affinity.as_ref());
        self.number((*ring_slots).into());
        self.set(servers, |server| &server.name, Self::server);
    }

    fn affinity(&mut self, affinity: Option<&Affinity>) {
        match affinity {
            None => self.number(0),
            Some(Affinity { prefix4, prefix6, timeout }) => {
                self.number(1);
                self.number((*prefix4).into());
                self.number((*prefix6).into());
                self.duration(*timeout);
            }
        }
    }

    fn server(&mut self, server: &Server) {
        let Server { name, address, weight } = server;
        self.text(name);
        self.address(*address);
        self.number((*weight).into());
    }
}
