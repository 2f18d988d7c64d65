//! Laws of the parser over files that nobody wrote.

#[path = "config_laws/balance.rs"]
mod balance;

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use std::time::Duration;

use geminus_core::config;
use geminus_core::model::{
    Advisor, Affinity, Announce, Check, Cluster, Condition, HOOK_EVENTS, Ha, Hooks, Method, Node, OnDown,
    Path, Ports, Prefix, Protocol, Recovery, Rule, Select, Server, Service, Site, Tables, Timeouts, Timers,
    Unexposed, Window,
};
use proptest::prelude::*;

use self::balance::strings;

const SEEDS: [&str; 4] = [
    include_str!("../../../examples/minimal.toml"),
    include_str!("../../../examples/site.toml"),
    include_str!("../../../examples/mutual.toml"),
    include_str!("../../../examples/checks.toml"),
];

/// What is put into a file to break it: pieces that mean something to TOML, to the parser or to a terminal.
const PIECES: [&str; 44] = [
    "[",
    "]",
    "[[",
    "]]",
    "{",
    "}",
    "\"",
    "'",
    "\"\"\"",
    "'''",
    "=",
    ",",
    ".",
    "#",
    "\n",
    "\r",
    "\0",
    "\u{1b}[31m",
    "\u{202e}",
    "é",
    "𝄞",
    "\\u0000",
    "\\",
    "-",
    "0",
    "-1",
    "99999999999999999999999",
    "1e999",
    "nan",
    "true",
    "1979-05-27",
    "any",
    "1-2",
    "65536",
    "\n[node.alpha]\n",
    "\n[[cluster.shop.service]]\n",
    "\n[cluster.shop]\n",
    "\nservers = [{}]\n",
    "servers.x = 1\n",
    "address = \"::\"\n",
    "backup = 1\n",
    "198.51.100.80",
    "2001:db8:1::80",
    "\"5m\"",
];

/// One way to break a text.
#[derive(Debug, Clone)]
enum Break {
    Insert(prop::sample::Index, &'static str),
    Remove(prop::sample::Index, usize),
    Cut(prop::sample::Index),
    Repeat(prop::sample::Index, prop::sample::Index),
    Swap(prop::sample::Index, prop::sample::Index),
    Byte(prop::sample::Index, u8),
}

fn a_break() -> impl Strategy<Value = Break> {
    let place = any::<prop::sample::Index>;
    prop_oneof![
        4 => (place(), prop::sample::select(&PIECES[..])).prop_map(|(at, piece)| Break::Insert(at, piece)),
        4 => (place(), 1..40_usize).prop_map(|(at, length)| Break::Remove(at, length)),
        1 => place().prop_map(Break::Cut),
        2 => (place(), place()).prop_map(|(line, to)| Break::Repeat(line, to)),
        2 => (place(), place()).prop_map(|(one, other)| Break::Swap(one, other)),
        4 => (place(), any::<u8>()).prop_map(|(at, byte)| Break::Byte(at, byte)),
    ]
}

fn broken(bytes: &mut Vec<u8>, how: &Break) {
    let lines = |bytes: &[u8]| -> Vec<Vec<u8>> {
        bytes.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect()
    };
    let length = bytes.len();
    match how {
        _ if length == 0 => bytes.extend(b"x"),
        Break::Insert(at, piece) => drop(bytes.splice(at.index(length)..at.index(length), piece.bytes())),
        Break::Remove(at, many) => drop(bytes.drain(at.index(length)..(at.index(length) + many).min(length))),
        Break::Cut(at) => bytes.truncate(at.index(length)),
        Break::Repeat(line, to) => {
            let mut all = lines(bytes);
            let line = all[line.index(all.len())].clone();
            all.insert(to.index(all.len()), line);
            *bytes = all.concat();
        }
        Break::Swap(one, other) => {
            let mut all = lines(bytes);
            let (one, other) = (one.index(all.len()), other.index(all.len()));
            all.swap(one, other);
            *bytes = all.concat();
        }
        Break::Byte(at, byte) => bytes[at.index(length)] = *byte,
    }
}

/// Whatever the bytes, there is a site or there are errors that a person can find.
fn is_answered(bytes: &[u8]) -> Result<(), TestCaseError> {
    let Err(errors) = config::parse_bytes(bytes, "f") else { return Ok(()) };
    let text = String::from_utf8_lossy(bytes);
    let lines: Vec<&str> = text.split('\n').collect();
    prop_assert!(!errors.errors().is_empty());
    for error in errors.errors().iter().chain(errors.warnings()) {
        let line = lines.get(error.line.wrapping_sub(1));
        prop_assert!(line.is_some(), "no such line: {error}");
        let characters = line.map_or(0, |line| line.chars().count());
        prop_assert!((1..=characters + 1).contains(&error.column), "no such column: {error}");
        prop_assert!(!error.to_string().contains(char::is_control), "{error:?}");
        prop_assert!(!error.message.is_empty());
    }
    let places: Vec<_> = errors.errors().iter().map(|error| (error.line, error.column)).collect();
    prop_assert!(places.is_sorted(), "{errors}");
    Ok(())
}

/// A small reproducible stream of choices, so that a whole site shrinks with one number.
struct Choices(u64);

impl Choices {
    /// SplitMix64 (Steele and others, 2014).
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn flip(&mut self) -> bool {
        self.below(2) == 0
    }

    fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u64) as usize]
    }

    fn span(&mut self, from: u64, to: u64) -> Duration {
        Duration::from_millis(from + self.below(to - from + 1))
    }

    fn site(&mut self) -> Site {
        let mut nodes: Vec<_> = (0..1 + self.below(3)).map(|number| self.node(number)).collect();
        let mut clusters: Vec<_> =
            (0..1 + self.below(3)).map(|number| self.cluster(number, &nodes)).collect();
        let key_file: Option<PathBuf> = self.flip().then(|| "/etc/geminus/site \"key\".é".into());
        if key_file.is_some() && nodes.len() > 1 {
            // Partners hear each other by addresses of one family.
            let family = self.flip();
            nodes.iter_mut().zip(0..).for_each(|(node, number)| node.address = of_family(1, number, family));
            clusters.iter_mut().for_each(|cluster| cluster.backup = self.backup(cluster, &nodes));
        }
        let tables = Tables {
            flows: 1 << (16 + self.below(11)),
            provisional: 1 << (14 + self.below(13)),
            affinity: 1 << (10 + self.below(15)),
            tuples: self.flip(),
        };
        let timeouts = Timeouts {
            tcp: self.span(1000, 43_200_000),
            tcp_fin: self.span(1000, 43_200_000),
            tcp_rst: self.span(1000, 3_600_000),
            udp: self.span(1000, 43_200_000),
            first: self.span(1000, 60_000),
        };
        Site {
            ha: self.ha(&nodes, &clusters),
            health: self.health(),
            manager: self.manager(),
            agents: self.agents(key_file.is_some()),
            key_file,
            tables,
            timeouts,
            clusters,
            nodes,
        }
    }

    /// Another node than the primary, or none.
    fn backup(&mut self, cluster: &Cluster, nodes: &[Node]) -> Option<String> {
        let others: Vec<_> = nodes.iter().filter(|node| node.name != cluster.primary).collect();
        self.flip().then(|| others[self.below(others.len() as u64) as usize].name.clone())
    }

    fn ha(&mut self, nodes: &[Node], clusters: &[Cluster]) -> Ha {
        let probes = 3 + self.below(48) as u32;
        let odd = Timers {
            heartbeat: self.span(5, 150),
            suspect: 2 + self.below(19) as u32,
            probes,
            confirm: self.span(u64::from(probes).max(5), 1000),
        };
        let timers = self.of(&[Timers::DEFAULT, Timers::FAST, odd]);
        let hooks = HOOK_EVENTS.iter().filter(|_| self.flip()).map(|event| {
            let words = [
                vec!["/bin/true".to_string()],
                vec!["/é \"'".to_string(), String::new(), "$(x)".to_string()],
            ];
            (event.to_string(), words[event.len() % 2].clone())
        });
        let commands = hooks.collect();
        Ha {
            lease: self.span((timers.detection().as_millis() as u64 + 1).max(1000), 60_000),
            timers,
            port: 1 + self.below(4869) as u16,
            paths: self.paths(nodes, clusters),
            reach: (0..self.below(3)).map(|number| self.address(5, number)).collect(),
            recovery: self.of(&[Recovery::Auto, Recovery::Manual]),
            stable: self.span(100, 3_600_000),
            alone_after: self.span(1000, 3_600_000),
            announce: self.of(&[Announce::Gratuitous, Announce::VirtualMac]),
            key_file: self.flip().then(|| "/ha.key".into()),
            also_accept: self.flip().then(|| "/ha.key.old".into()),
            hooks: Hooks { timeout: self.span(1000, 300_000), commands },
        }
    }

    /// What is meant where the file says nothing, or a few paths where it may.
    fn paths(&mut self, nodes: &[Node], clusters: &[Cluster]) -> Vec<Path> {
        let share = |one: &Node, other: &Node| {
            clusters.iter().any(|cluster| {
                cluster.backup.is_some() && cluster.is_of(&one.name) && cluster.is_of(&other.name)
            })
        };
        let mut paths = Vec::new();
        for (number, one) in nodes.iter().enumerate() {
            for other in nodes.iter().skip(number + 1).filter(|other| share(one, other)) {
                let names = [one.name.clone(), other.name.clone()];
                paths.push(Path { nodes: names, addresses: [one.address, other.address] });
            }
        }
        let members: Vec<_> =
            nodes.iter().filter(|one| nodes.iter().any(|other| one != &other && share(one, other))).collect();
        if let ([one, other], true) = (&members[..], self.flip()) {
            let mut path = |number: u64| {
                let family = self.flip();
                let addresses = [2 * number, 2 * number + 1].map(|number| of_family(4, number, family));
                Path { nodes: [one.name.clone(), other.name.clone()], addresses }
            };
            paths = (0..2).map(&mut path).collect();
        }
        paths
    }

    fn node(&mut self, number: u64) -> Node {
        Node {
            name: format!("{}{number}", self.of(&["alpha", "b", "n-1.x_", "1"])),
            address: self.address(1, number),
            interface: self.of(&["eth0", "enp3s0f1", "bond0.100", "wlanü"]).to_string(),
        }
    }

    /// Addresses of different kinds or numbers differ.
    fn address(&mut self, kind: u8, number: u64) -> IpAddr {
        of_family(kind, number, self.flip())
    }

    fn cluster(&mut self, number: u64, nodes: &[Node]) -> Cluster {
        let services = (0..1 + self.below(4)).map(|service| self.service(service)).collect();
        Cluster {
            name: format!("{}{number}", self.of(&["shop", "mail.example", "_", "2024"])),
            addresses: (0..1 + self.below(3)).map(|address| self.address(2, 16 * number + address)).collect(),
            primary: nodes[self.below(nodes.len() as u64) as usize].name.clone(),
            backup: None,
            unexposed: self.of(&[Unexposed::Drop, Unexposed::Pass]),
            ping: self.flip(),
            services,
        }
    }

    fn service(&mut self, number: u64) -> Service {
        let port = 1 + 100 * number as u16;
        let affinity = Affinity {
            prefix4: self.below(33) as u8,
            prefix6: self.below(129) as u8,
            timeout: self.span(1000, 43_200_000),
            group: self.flip().then(|| format!("group{number}")),
        };
        let protocol = self.of(&[Protocol::Tcp, Protocol::Udp]);
        let ports = match number {
            0 => Ports::Any,
            _ => self.of(&[Ports::Exact(port), Ports::Range(port, port + 99)]),
        };
        let pools: Vec<_> = (0..self.below(3)).map(|pool| format!("pool-{pool}")).collect();
        let mut servers: Vec<_> = (0..1 + self.below(5)).map(|server| self.server(server)).collect();
        for pool in 1..=pools.len() as u8 {
            let further = Server { pool, ..self.server(100 + u64::from(pool)) };
            servers.push(further);
        }
        let clients = self.clients();
        Service {
            protocol,
            ports,
            method: Method::Mac,
            select: self.of(&[Select::Hash, Select::RoundRobin, Select::LeastConnections]),
            affinity: self.flip().then_some(affinity),
            ring_slots: self.of(&[251, 4093, 65_537, 1_048_573]),
            servers,
            check: self.check(ports),
            on_down: self.of(&[OnDown::Rehash, OnDown::Keep, OnDown::Reset]),
            managed: self.flip(),
            rules: self.rules(pools.len()),
            sorry: self.flip().then(|| self.below(1 + pools.len() as u64) as u8),
            pools,
            allow: clients.iter().copied().step_by(2).collect(),
            deny: clients.into_iter().skip(1).step_by(2).collect(),
        }
    }

    fn server(&mut self, number: u64) -> Server {
        let address = self.address(3, number);
        let name = if self.flip() { address.to_string() } else { format!("web{number}") };
        Server {
            name,
            address,
            weight: self.below(1001) as u16,
            pool: 0,
            fixed: self.flip(),
            sticky: self.flip(),
            maintenance: (0..self.below(3)).map(|_| self.window()).collect(),
        }
    }

    /// Changes one thing; whether partners must agree on it.
    fn change(&mut self, site: &mut Site) -> bool {
        let second = Duration::from_secs(1);
        let service = &mut site.clusters[0].services[0];
        let number = self.below(31);
        match number {
            0 => site.ha.lease += second,
            1 => site.ha.timers.heartbeat += second,
            2 => site.ha.timers.suspect += 1,
            3 => site.ha.port ^= 1,
            4 => site.ha.reach.push("192.0.2.7".parse().expect("an address")),
            5 => site.ha.stable += second,
            6 => site.ha.alone_after += second,
            7 => site.clusters[0].ping ^= true,
            8 => service.servers[0].weight ^= 1,
            9 => site.nodes[0].interface += "x",
            10 => site.timeouts.udp += second,
            11 => site.health.damping += second,
            12 => site.health.panic_below ^= 1,
            13 => {
                let [first, second, ..] = &mut site.manager.proportions;
                let (from, to) = if *first > 0 { (first, second) } else { (second, first) };
                (*from, *to) = (from.saturating_sub(1), *to + 1);
            }
            14 => site.manager.bound ^= 128,
            15 => site.agents.enabled ^= true,
            16 => site.agents.timeout += second,
            17 => service.managed ^= true,
            18 => service.pools.push("another".into()),
            19 => service.deny.push(Prefix { address: "192.0.2.0".parse().expect("an address"), bits: 24 }),
            20 => service.rules.push(Rule { when: Condition::Rate(77), pool: 0 }),
            21 => service.servers[0].sticky ^= true,
            22 => service.servers[0].fixed ^= true,
            23 => service.servers[0].maintenance.push(Window { days: 1, from: 2, to: 3 }),
            24 => {
                service.check = match service.check.take() {
                    None => Some(Check::new(Advisor::Ping)),
                    Some(check) => Some(Check { rise: check.rise ^ 128, ..check }),
                };
            }
            25 => site.clusters.reverse(),
            26 => site.ha.hooks = Hooks::default(),
            27 => site.key_file = Some("/another".into()),
            28 => site.ha.key_file = Some("/another".into()),
            29 => site.agents.key_file = Some("/another".into()),
            _ => site.nodes.reverse(),
        }
        number < 25
    }

    /// Writes the site in one of the many ways it can be written.
    fn write(&mut self, site: &Site) -> String {
        let mut text = String::new();
        if let Some(path) = &site.key_file {
            let _ = writeln!(text, "[site]\nkey_file = {path:?}");
        }
        for node in &site.nodes {
            let Node { name, address, interface } = node;
            let _ = writeln!(text, "[node.{name:?}]\naddress = \"{address}\"\ninterface = \"{interface}\"");
        }
        self.write_ha(site, &mut text);
        self.write_balance(site, &mut text);
        let Tables { flows, provisional, affinity, tuples } = site.tables;
        let _ = writeln!(text, "[tables]\ntuples = {tuples}\nflows = {}", self.size(flows));
        let _ =
            writeln!(text, "provisional = {}\naffinity = {}", self.size(provisional), self.size(affinity));
        let Timeouts { tcp, tcp_fin, tcp_rst, udp, first } = site.timeouts;
        text += "[timeouts]\n";
        for (key, timeout) in
            [("udp", udp), ("tcp", tcp), ("first", first), ("tcp_rst", tcp_rst), ("tcp_fin", tcp_fin)]
        {
            let _ = writeln!(text, "{key} = \"{}\"", self.duration(timeout));
        }
        for cluster in &site.clusters {
            self.write_cluster(cluster, site.nodes.len() == 1, &mut text);
        }
        text
    }

    fn duration(&mut self, duration: Duration) -> String {
        let milliseconds = duration.as_millis();
        if self.flip() {
            return format!("{milliseconds}ms");
        }
        let (minutes, rest) = (milliseconds / 60_000, milliseconds % 60_000);
        format!("{}h{}m{}s{}ms", minutes / 60, minutes % 60, rest / 1000, rest % 1000)
    }

    fn write_ha(&mut self, site: &Site, text: &mut String) {
        let ha = &site.ha;
        let quoted = |addresses: &[IpAddr]| -> Vec<String> {
            addresses.iter().map(|address| format!("\"{address}\"")).collect()
        };
        let _ = writeln!(text, "[hooks]\ntimeout = \"{}\"", self.duration(ha.hooks.timeout));
        for (event, words) in &ha.hooks.commands {
            let _ = writeln!(text, "{event} = {words:?}");
        }
        let _ = writeln!(text, "[ha]\nlease = \"{}\"\nport = {}", self.duration(ha.lease), ha.port);
        match ha.timers {
            Timers::DEFAULT if self.flip() => {}
            Timers::FAST if self.flip() => *text += "profile = \"fast\"\n",
            Timers { heartbeat, suspect, probes, confirm } => {
                let (heartbeat, confirm) = (self.duration(heartbeat), self.duration(confirm));
                let _ = writeln!(text, "heartbeat = \"{heartbeat}\"\nconfirm = \"{confirm}\"");
                let _ = writeln!(text, "probes = {probes}\nsuspect = {suspect}");
            }
        }
        let is_default = |path: &Path| site.nodes.iter().any(|node| node.address == path.addresses[0]);
        if !ha.paths.iter().all(is_default) {
            let pairs: Vec<_> =
                ha.paths.iter().map(|path| format!("[{}]", quoted(&path.addresses).join(", "))).collect();
            let _ = writeln!(text, "paths = [{}]", pairs.join(", "));
        }
        if !ha.reach.is_empty() {
            let _ = writeln!(text, "reach = [{}]", quoted(&ha.reach).join(","));
        }
        if ha.recovery == Recovery::Manual {
            *text += "recovery = \"manual\"\n";
        }
        if ha.announce == Announce::VirtualMac {
            *text += "announce = \"virtual-mac\"\n";
        }
        let (stable, alone_after) = (self.duration(ha.stable), self.duration(ha.alone_after));
        let _ = writeln!(text, "stable = \"{stable}\"\nalone_after = \"{alone_after}\"");
        for (key, path) in [("key_file", &ha.key_file), ("also_accept", &ha.also_accept)] {
            if let Some(path) = path {
                let _ = writeln!(text, "{key} = {path:?}");
            }
        }
    }

    fn size(&mut self, size: u32) -> String {
        match self.below(4) {
            0 if size.is_multiple_of(1 << 20) => format!("\"{}Mi\"", size >> 20),
            0 | 1 => format!("\"{}Ki\"", size >> 10),
            2 => format!("0x{size:x}"),
            _ => format!("{size}"),
        }
    }

    fn write_cluster(&mut self, cluster: &Cluster, lone: bool, text: &mut String) {
        let name = &cluster.name;
        let addresses: Vec<_> = cluster.addresses.iter().map(|address| format!("'{address}'")).collect();
        let _ = writeln!(text, "[cluster.'{name}']\naddresses = [{}]", addresses.join(", "));
        if !lone || self.flip() {
            let _ = writeln!(text, "primary = \"{}\"", cluster.primary);
        }
        if let Some(backup) = &cluster.backup {
            let _ = writeln!(text, "backup = \"{backup}\"");
        }
        if cluster.unexposed == Unexposed::Pass || self.flip() {
            let word = if cluster.unexposed == Unexposed::Pass { "pass" } else { "drop" };
            let _ = writeln!(text, "unexposed = \"{word}\"");
        }
        if !cluster.ping || self.flip() {
            let _ = writeln!(text, "ping = {}", cluster.ping);
        }
        for service in &cluster.services {
            let _ = writeln!(text, "[[cluster.'{name}'.service]]");
            self.write_service(service, text);
            for server in service.servers.iter().filter(|server| server.pool == 0) {
                let _ = writeln!(text, "[[cluster.'{name}'.service.servers]]");
                self.write_server(server, text);
            }
            for (pool, number) in service.pools.iter().zip(1..) {
                let _ = writeln!(text, "[[cluster.'{name}'.service.pool]]\nname = '{pool}'");
                for server in service.servers.iter().filter(|server| server.pool == number) {
                    let _ = writeln!(text, "[[cluster.'{name}'.service.pool.servers]]");
                    self.write_server(server, text);
                }
            }
            self.write_rules(name, service, text);
        }
    }

    fn write_service(&mut self, service: &Service, text: &mut String) {
        let _ = match service.ports {
            Ports::Exact(port) => writeln!(text, "port = {port}"),
            ports => writeln!(text, "port = \"{ports}\""),
        };
        if service.protocol != Protocol::Tcp || self.flip() {
            let _ = writeln!(text, "protocol = \"{}\"", service.protocol.word());
        }
        if service.select != Select::Hash || self.flip() {
            let word = match service.select {
                Select::Hash => "hash",
                Select::RoundRobin => "round-robin",
                Select::LeastConnections => "least-connections",
            };
            let _ = writeln!(text, "select = '{word}'");
        }
        if service.ring_slots != 65_537 || self.flip() {
            let _ = writeln!(text, "ring = {}", service.ring_slots);
        }
        self.write_criteria(service, text);
        if let Some(Affinity { prefix4, prefix6, timeout, group }) = &service.affinity {
            let _ = writeln!(text, "affinity.prefix = {prefix4}\naffinity.prefix6 = {prefix6}");
            let _ = writeln!(text, "affinity.timeout = '{}'", self.duration(*timeout));
            group.iter().for_each(|group| *text += &format!("affinity.group = '{group}'\n"));
        }
    }

    fn write_server(&mut self, server: &Server, text: &mut String) {
        let Server { name, address, weight, pool: _, fixed, sticky, maintenance } = server;
        let _ = writeln!(text, "address = '{address}'");
        // The only way to have an IPv6 address as the name is not to give one.
        if *name != address.to_string() || address.is_ipv4() && self.flip() {
            let _ = writeln!(text, "name = '{name}'");
        }
        if *weight != 1 || self.flip() {
            let _ = writeln!(text, "weight = {weight}");
        }
        if *fixed || self.flip() {
            let _ = writeln!(text, "fixed = {fixed}");
        }
        if !*sticky || self.flip() {
            let _ = writeln!(text, "sticky = {sticky}");
        }
        if !maintenance.is_empty() {
            let _ = writeln!(text, "maintenance = {:?}", strings(maintenance));
        }
    }
}

/// Addresses of different kinds or numbers differ.
fn of_family(kind: u8, number: u64, four: bool) -> IpAddr {
    let number = number as u8;
    if four {
        Ipv4Addr::new(203, 0, kind, number).into()
    } else {
        Ipv6Addr::new(0x2001, 0xdb8, kind.into(), 0, 0, 0, 0, number.into()).into()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn a_broken_file_is_a_site_or_errors_with_a_place(
        seed in 0..SEEDS.len(),
        breaks in prop::collection::vec(a_break(), 1..6),
    ) {
        let mut bytes = SEEDS[seed].as_bytes().to_vec();
        breaks.iter().for_each(|how| broken(&mut bytes, how));
        is_answered(&bytes)?;
    }

    #[test]
    fn a_heap_of_pieces_is_a_site_or_errors_with_a_place(pieces in prop::collection::vec(prop::sample::select(&PIECES[..]), 0..60)) {
        is_answered(pieces.concat().as_bytes())?;
    }

    #[test]
    fn any_text_is_a_site_or_errors_with_a_place(text in any::<String>()) {
        is_answered(text.as_bytes())?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn a_site_written_is_the_site_read(seed: u64) {
        let mut choices = Choices(seed);
        let site = choices.site();
        let text = choices.write(&site);
        let read = config::parse(&text, "f").map_err(|errors| TestCaseError::fail(format!("{errors}\n{text}")))?;
        prop_assert_eq!(config::digest(&read), config::digest(&site));
        prop_assert_eq!(read, site, "{}", text);
    }

    #[test]
    fn two_sites_have_one_digest_if_and_only_if_they_have_the_same_lines(seed: u64, other: u64, change: u64) {
        let (site, other) = (Choices(seed).site(), Choices(other).site());
        let mut changed = site.clone();
        let is_other = Choices(change).change(&mut changed);
        prop_assert_eq!(config::digest(&site) != config::digest(&changed), is_other, "{:?}", changed);
        for (one, two) in [(&site, &changed), (&changed, &site), (&site, &other)] {
            let (ours, theirs) = (config::lines(one), config::lines(two));
            prop_assert!(ours.is_sorted());
            prop_assert_eq!(config::digest(one) == config::digest(two), ours == theirs);
            prop_assert_eq!(config::difference(&ours, &theirs).is_empty(), ours == theirs);
        }
    }
}
