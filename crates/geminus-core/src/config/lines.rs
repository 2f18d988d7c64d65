//! What a configuration says, one fact a line: for partners that are to mean the same, and for people who want to know
//! where they do not.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::time::Duration;

use super::quantity::{duration_text, size_text};
use super::words;
use crate::limits;
use crate::model::{
    Affinity, Agents, Announce, Cluster, Ha, Health, Manager, Method, Node, Path, Protocol, Recovery, Select,
    Server, Service, Site, Tables, Timeouts, Timers, Unexposed,
};

/// Every fact that must be the same on every dispatcher, a line each, sorted.
///
/// Hooks and the files of keys may differ from node to node and are not in it. No name holds a blank and every other text
/// is in quotes, so no two sites share their lines.
pub fn lines(site: &Site) -> Vec<String> {
    let Site { key_file: _, nodes, ha, health, manager, agents, tables, timeouts, clusters } = site;
    let mut facts = Facts::default();
    facts.ha(ha);
    facts.paths(&ha.paths);
    facts.health(health);
    facts.manager(manager);
    facts.agents(agents);
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

    fn health(&mut self, health: &Health) {
        let Health { panic_below, slow_start, damping, certificate_days } = *health;
        self.say(format!("health: panic_below {panic_below}"));
        self.durations("health", [("slow_start", slow_start), ("damping", damping)]);
        self.say(format!("health: certificate_days {certificate_days}"));
    }

    fn manager(&mut self, manager: &Manager) {
        let Manager { interval, proportions: [active, new, latency, load], sensitivity, smoothing, bound } =
            *manager;
        self.durations("manager", [("interval", interval)]);
        self.say(format!("manager: proportions active {active}, new {new}, latency {latency}, load {load}"));
        self.say(format!("manager: sensitivity {sensitivity}"));
        self.say(format!("manager: smoothing {smoothing}"));
        self.say(format!("manager: bound {bound}"));
    }

    fn agents(&mut self, agents: &Agents) {
        let Agents { enabled, port, timeout, key_file: _ } = agents;
        self.say(format!("agents: enabled {enabled}"));
        self.say(format!("agents: port {port}"));
        self.durations("agents", [("timeout", *timeout)]);
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
        let Service {
            protocol,
            ports,
            method,
            select,
            affinity,
            ring_slots,
            servers,
            check,
            on_down,
            managed,
            pools,
            rules,
            sorry,
            allow,
            deny,
        } = service;
        let protocol = match protocol {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
        };
        let place = format!("cluster {cluster}: service {protocol} {ports}");
        self.say(format!("{place}: method {}", method_word(*method)));
        self.say(format!("{place}: select {}", select_word(*select)));
        self.say(format!("{place}: ring {ring_slots}"));
        self.say(format!("{place}: check {}", words::check(check.as_ref())));
        self.say(format!("{place}: on_down {}", on_down.word()));
        self.say(format!("{place}: weights {}", if *managed { "managed" } else { "fixed" }));
        if let Some(Affinity { prefix4, prefix6, timeout, group }) = affinity {
            let timeout = duration_text(*timeout);
            let group = group.iter().map(|group| format!(", group {group}")).collect::<String>();
            self.say(format!(
                "{place}: affinity by source, prefix {prefix4}, prefix6 {prefix6}, timeout {timeout}{group}"
            ));
        }
        pools.iter().for_each(|pool| self.say(format!("{place}: pool {pool}")));
        for (number, rule) in rules.iter().enumerate() {
            self.say(format!("{place}: rule {number}: {}", words::rule(service, rule)));
        }
        sorry.iter().for_each(|sorry| self.say(format!("{place}: sorry {}", words::pool(service, *sorry))));
        allow.iter().for_each(|client| self.say(format!("{place}: allow {client}")));
        deny.iter().for_each(|client| self.say(format!("{place}: deny {client}")));
        for server in servers {
            self.server(&place, service, server);
        }
    }

    fn server(&mut self, place: &str, service: &Service, server: &Server) {
        let Server { name, address, weight, pool, fixed, sticky, maintenance } = server;
        let mut line = format!("{place}: server {name} at {address}, weight {weight}");
        if *pool != 0 {
            line += &format!(", pool {}", words::pool(service, *pool));
        }
        if *fixed {
            line += ", fixed";
        }
        if !*sticky {
            line += ", not sticky";
        }
        if !maintenance.is_empty() {
            line += &format!(", maintenance {}", words::windows(maintenance));
        }
        self.say(line);
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
