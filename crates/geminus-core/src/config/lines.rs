//! What a configuration says, one fact a line: for partners that are to mean the same, and for people who want to know
//! where they do not.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::time::Duration;

use super::quantity::{duration_text, size_text};
use crate::limits;
use crate::model::{
    Affinity, Announce, Cluster, Ha, Method, Node, Path, Protocol, Recovery, Select, Server, Service, Site,
    Tables, Timeouts, Timers, Unexposed,
};

/// Every fact that must be the same on every dispatcher, a line each, sorted.
///
/// Hooks and the files of keys may differ from node to node and are not in it. No name holds a blank, so no two sites
/// share their lines.
pub fn lines(site: &Site) -> Vec<String> {
    let Site { key_file: _, nodes, ha, tables, timeouts, clusters, .. } = site;
    let mut facts = Facts::default();
    facts.ha(ha);
    facts.paths(&ha.paths);
    facts.tables(tables);
    facts.timeouts(timeouts);
    nodes.iter().for_each(|node| facts.node(node));
    clusters.iter().for_each(|cluster| facts.cluster(cluster));
    facts.0.sort_unstable();
    facts.0
}

/// What only one of two configurations says, of their [`lines`]; at most [`limits::DIFFERENCES`] and how many more.
pub fn difference(ours: &[String], theirs: &[String]) -> Vec<String> {
    let (mut here, mut there) = (ours.iter().peekable(), theirs.iter().peekable());
    let mut told = Vec::new();
    let mut more = 0_usize;
    let mut tell = |place: &str, line: &String| {
        if told.len() < limits::DIFFERENCES {
            told.push(format!("only {place}: {line}"));
        } else {
            more += 1;
        }
    };
    loop {
        let order = match (here.peek(), there.peek()) {
            (None, None) => break,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(one), Some(other)) => one.cmp(other),
        };
        if order == Ordering::Equal {
            here.next();
            there.next();
        } else if order == Ordering::Less {
            here.next().into_iter().for_each(|line| tell("here", line));
        } else {
            there.next().into_iter().for_each(|line| tell("there", line));
        }
    }
    if more > 0 {
        told.push(format!("{more} more differences"));
    }
    told
}

#[derive(Default)]
struct Facts(Vec<String>);

impl Facts {
    fn say(&mut self, line: String) {
        self.0.push(line);
    }

    fn durations<const N: usize>(&mut self, place: &str, durations: [(&str, Duration); N]) {
        for (name, duration) in durations {
            self.say(format!("{place}: {name} {}", duration_text(duration)));
        }
    }

    fn ha(&mut self, ha: &Ha) {
        let Ha {
            lease,
            timers: Timers { heartbeat, suspect, probes, confirm },
            port,
            paths: _,
            reach,
            recovery,
            stable,
            alone_after,
            announce,
            key_file: _,
            also_accept: _,
            hooks: _,
        } = ha;
        self.durations(
            "ha",
            [
                ("lease", *lease),
                ("heartbeat", *heartbeat),
                ("confirm", *confirm),
                ("stable", *stable),
                ("alone_after", *alone_after),
            ],
        );
        self.say(format!("ha: suspect {suspect}"));
        self.say(format!("ha: probes {probes}"));
        self.say(format!("ha: port {port}"));
        self.say(format!("ha: recovery {}", recovery_word(*recovery)));
        self.say(format!("ha: announce {}", announce_word(*announce)));
        reach.iter().for_each(|target| self.say(format!("ha: reach {target}")));
    }

    /// Paths are numbered for each two partners: that number is in their frames.
    fn paths(&mut self, paths: &[Path]) {
        let mut numbers = HashMap::new();
        for Path { nodes: [one, other], addresses: [first, second] } in paths {
            let [(one, first), (other, second)] =
                if one < other { [(one, first), (other, second)] } else { [(other, second), (one, first)] };
            let number = numbers.entry((one, other)).or_insert(0);
            self.say(format!("path {number} of {one} and {other}: {first} {second}"));
            *number += 1;
        }
    }

    fn tables(&mut self, tables: &Tables) {
        let Tables { flows, provisional, affinity, tuples } = *tables;
        for (name, size) in [("flows", flows), ("provisional", provisional), ("affinity", affinity)] {
            self.say(format!("tables: {name} {}", size_text(size.into())));
        }
        self.say(format!("tables: tuples {tuples}"));
    }

    fn timeouts(&mut self, timeouts: &Timeouts) {
        let Timeouts { tcp, tcp_fin, tcp_rst, udp, first } = *timeouts;
        let all = [("tcp", tcp), ("tcp_fin", tcp_fin), ("tcp_rst", tcp_rst), ("udp", udp), ("first", first)];
        self.durations("timeouts", all);
    }

    fn node(&mut self, node: &Node) {
        let Node { name, address, interface } = node;
        self.say(format!("node {name}: address {address}"));
        self.say(format!("node {name}: interface {interface}"));
    }

    fn cluster(&mut self, cluster: &Cluster) {
        let Cluster { name, addresses, primary, backup, unexposed, ping, services } = cluster;
        let unexposed = match unexposed {
            Unexposed::Drop => "drop",
            Unexposed::Pass => "pass",
        };
        addresses.iter().for_each(|address| self.say(format!("cluster {name}: address {address}")));
        self.say(format!("cluster {name}: primary {primary}"));
        backup.iter().for_each(|backup| self.say(format!("cluster {name}: backup {backup}")));
        self.say(format!("cluster {name}: unexposed {unexposed}"));
        self.say(format!("cluster {name}: ping {ping}"));
        services.iter().for_each(|service| self.service(name, service));
    }

    fn service(&mut self, cluster: &str, service: &Service) {
        let Service { protocol, ports, method, select, affinity, ring_slots, servers, .. } = service;
        let protocol = match protocol {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
        };
        let place = format!("cluster {cluster}: service {protocol} {ports}");
        self.say(format!("{place}: method {}", method_word(*method)));
        self.say(format!("{place}: select {}", select_word(*select)));
        self.say(format!("{place}: ring {ring_slots}"));
        if let Some(Affinity { prefix4, prefix6, timeout, .. }) = affinity {
            let timeout = duration_text(*timeout);
            self.say(format!(
                "{place}: affinity by source, prefix {prefix4}, prefix6 {prefix6}, timeout {timeout}"
            ));
        }
        for Server { name, address, weight, .. } in servers {
            self.say(format!("{place}: server {name} at {address}, weight {weight}"));
        }
    }
}

const fn recovery_word(recovery: Recovery) -> &'static str {
    match recovery {
        Recovery::Auto => "auto",
        Recovery::Manual => "manual",
    }
}

const fn announce_word(announce: Announce) -> &'static str {
    match announce {
        Announce::Gratuitous => "gratuitous",
        Announce::VirtualMac => "virtual-mac",
    }
}

const fn method_word(method: Method) -> &'static str {
    match method {
        Method::Mac => "mac",
    }
}

const fn select_word(select: Select) -> &'static str {
    match select {
        Select::Hash => "hash",
        Select::RoundRobin => "round-robin",
        Select::LeastConnections => "least-connections",
    }
}
