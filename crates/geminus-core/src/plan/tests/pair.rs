//! Laws of two nodes that share clusters: they choose alike, and their tables know of each other's paths.

use std::collections::HashMap;
use std::net::IpAddr;

use geminus_fixtures::frame::{IPV4, SYN, Tcp, Udp, V4, ethernet};
use geminus_packet::heap::{HeapTables, Sizes};
use geminus_packet::tables::{PATHS, PathFacts, Tables as _, mac_word};

use super::ground::{self, Flow, Sent, cluster, flow, server, service, site};
use super::*;
use crate::key::HaKey;
use crate::model::{Node as Dispatcher, Path};

/// One of the two.
struct Twin {
    name: &'static str,
    tables: HeapTables,
    sizes: Sizes,
    planner: Planner,
    keys: HaKeys,
}

fn site_keys() -> HaKeys {
    HaKeys::from_site(&SiteKey::new([7; 32]))
}

impl Twin {
    fn new(name: &'static str, site: &Site) -> Self {
        let sizes = sizes(site, 1);
        let tables = HeapTables::new(&sizes);
        let planner = Planner::adopt(&tables, &sizes);
        let mut twin = Self { name, tables, sizes, planner, keys: site_keys() };
        twin.apply(site);
        twin
    }

    fn apply(&mut self, site: &Site) {
        let mut links = ground::links(site);
        // The kernel's routes say which server is the node itself.
        let own = site.nodes.iter().find(|node| node.name == self.name).expect("a node of the site");
        links.insert(own.address, Link::Local);
        let (overrides, rulings) = (Overrides::default(), Rulings::default());
        let wanted = Wanted {
            node: self.name,
            ha_keys: &self.keys,
            ..ground::wanted(site, &overrides, &rulings, &links)
        };
        self.planner.apply(&self.tables, &wanted, || ()).expect("the site fits its tables");
    }

    fn activate(&self, group: u32) {
        self.tables.group(group).expect("there is a group").deadline.store(u64::MAX);
    }

    /// The server of a flow's first packet; the node's own by its name in this file.
    fn chosen(&self, site: &Site, flow: Flow) -> String {
        match ground::send(&self.tables, site, &flow.syn()) {
            Sent::To(server, _) => server,
            Sent::Passed("collocated") => self.name.to_owned(),
            other => panic!("{other:?}"),
        }
    }

    /// The words of a path that user space writes as it hears.
    fn heard(&self, own: &str, remote: &str) -> [&geminus_packet::word::Word; 3] {
        let entry = self.entry(own, remote).expect("the path is installed");
        let entry = self.tables.path(entry).expect("an entry of the table");
        [&entry.session, &entry.floor, &entry.past[3]]
    }

    fn entry(&self, own: &str, remote: &str) -> Option<u32> {
        path_entry(&self.tables, ip(own), ip(remote))
    }

    fn facts(&self, own: &str, remote: &str) -> PathFacts {
        let entry = self.entry(own, remote).expect("the path is installed");
        PathFacts(self.tables.path(entry).expect("an entry of the table").facts.load())
    }

    /// Paths of a node address, and the port, as the table of addresses has them.
    fn end(&self, own: &str) -> Option<(u16, u16)> {
        let own = paths::address(ip(own));
        let globals = self.tables.globals()?;
        let index = &globals.index[globals.half.load() as usize & 1];
        let place = index.address_place.load();
        let bucket = place as u32 + own.bucket(index.address_seed.load(), (place >> 32) as u32);
        let mut entries = self.tables.addresses(bucket)?.entries.iter();
        let entry = entries.find(|entry| {
            entry.facts.load() != 0 && (entry.high.load(), entry.low.load()) == (own.high, own.low)
        })?;
        let facts = AddressFacts(entry.facts.load());
        assert!(facts.has(AddressFacts::NODE));
        Some((facts.paths(), facts.port()))
    }
}

fn ip(address: &str) -> IpAddr {
    address.parse().expect("an address")
}

fn node(name: &str, address: IpAddr) -> Dispatcher {
    Dispatcher { name: name.into(), address, interface: "eth0".into() }
}

fn path(one: &str, other: &str) -> Path {
    Path { nodes: ["alpha".into(), "beta".into()], addresses: [ip(one), ip(other)] }
}

/// Shop is alpha's, mail is beta's, each backs up the other; chat is alpha's alone, and both serve shop as well.
fn mutual() -> Site {
    let mut site = site(vec![
        cluster("chat", 82, vec![service(5222, &["chat"])]),
        cluster("shop", 80, vec![service(80, &["web1", "web2", "alpha", "beta"])]),
        cluster("mail", 81, vec![service(25, &["mx1", "mx2"])]),
    ]);
    site.nodes = vec![node("alpha", server("alpha").address), node("beta", server("beta").address)];
    site.clusters[1].backup = Some("beta".into());
    (site.clusters[2].primary, site.clusters[2].backup) = ("beta".into(), Some("alpha".into()));
    site.ha.paths = vec![path("198.51.100.11", "198.51.100.12"), path("2001:db8:2::1", "2001:db8:2::2")];
    site
}

#[test]
fn partners_choose_the_same_server_for_every_flow_and_themselves_each_for_its_own() {
    let site = mutual();
    let twins = ["alpha", "beta"].map(|name| Twin::new(name, &site));
    twins.iter().for_each(|twin| (1..3).for_each(|group| twin.activate(group)));
    let mut own = HashMap::new();
    for n in 0..2000 {
        for (address, port) in [(80, 80), (81, 25)] {
            let [one, other] = twins.each_ref().map(|twin| twin.chosen(&site, flow(address, n, port)));
            assert_eq!(one, other, "flow {n} to {address}");
            *own.entry(one).or_insert(0) += 1;
        }
    }
    assert!(own["alpha"] > 100 && own["beta"] > 100, "{own:?}");
}

#[test]
fn a_cluster_has_the_lease_of_its_group() {
    let site = mutual();
    let numbers: Vec<_> = site.groups().iter().map(|group| (group.primary.clone(), group.number)).collect();
    assert_eq!(numbers, [("alpha".to_owned(), 1), ("beta".to_owned(), 2)]);
    for (group, served) in [(0, [true, false, false]), (1, [false, true, false]), (2, [false, false, true])] {
        let twin = Twin::new("alpha", &site);
        twin.activate(group);
        let sent = [(82, 5222), (80, 80), (81, 25)]
            .map(|(address, port)| ground::send(&twin.tables, &site, &flow(address, 1, port).syn()));
        let is_served = |sent: &Sent| !matches!(sent, Sent::Passed(reason) if *reason != "collocated");
        assert_eq!(sent.each_ref().map(is_served), served, "group {group}: {sent:?}");
    }
}

#[test]
fn a_cluster_without_a_backup_is_on_no_other_node() {
    let site = mutual();
    let twin = Twin::new("beta", &site);
    (0..3).for_each(|group| twin.activate(group));
    let sent = ground::send(&twin.tables, &site, &flow(82, 1, 5222).syn());
    assert_eq!(sent, Sent::Passed("not-cluster"));
}

#[test]
fn each_end_of_a_path_is_known_to_both_and_the_gate_is_the_same() {
    let site = mutual();
    let [alpha, beta] = ["alpha", "beta"].map(|name| Twin::new(name, &site));
    for (number, own, remote) in
        [(0, "198.51.100.11", "198.51.100.12"), (1, "2001:db8:2::1", "2001:db8:2::2")]
    {
        assert_eq!(alpha.end(own), Some((1 << number, 4870)));
        assert_eq!(beta.end(remote), Some((1 << number, 4870)));
        assert_eq!(
            (alpha.end(remote), beta.end(own)),
            (None, None),
            "the other one's end is no address of ours"
        );
        let facts = [alpha.facts(own, remote), beta.facts(remote, own)];
        assert_eq!(facts[0], facts[1]);
        assert_eq!((facts[0].port(), facts[0].number(), facts[0].groups()), (4870, number, [1, 2]));
        assert_eq!(facts[0].keys(), [site_keys().own().short_id(); 2], "one key is there twice");
        let gates = [
            alpha.tables.path(alpha.entry(own, remote).unwrap()),
            beta.tables.path(beta.entry(remote, own).unwrap()),
        ]
        .map(|entry| entry.unwrap().gates.each_ref().map(|gate| gate.each_ref().map(|word| word.load())));
        assert_eq!(gates[0], gates[1]);
        assert_eq!(gates[0][0], site_keys().own().between("beta", "alpha").gate_key());
    }
}

#[test]
fn a_path_that_stays_keeps_what_was_heard_by_it_and_a_new_one_has_heard_nothing() {
    let mut site = mutual();
    let mut twin = Twin::new("alpha", &site);
    for (own, remote) in [("198.51.100.11", "198.51.100.12"), ("2001:db8:2::1", "2001:db8:2::2")] {
        twin.heard(own, remote).iter().zip(7..).for_each(|(word, value)| word.store(value));
    }
    let before = twin.entry("2001:db8:2::1", "2001:db8:2::2");
    // The first path goes, a new one comes before it, and the other one becomes the second to the partner still.
    site.ha.paths[0] = path("203.0.113.1", "203.0.113.2");
    twin.apply(&site);
    assert_eq!(twin.entry("2001:db8:2::1", "2001:db8:2::2"), before);
    assert_eq!(twin.heard("2001:db8:2::1", "2001:db8:2::2").map(|word| word.load()), [7, 8, 9]);
    assert_eq!(twin.heard("203.0.113.1", "203.0.113.2").map(|word| word.load()), [0, 0, 0]);
    assert_eq!((twin.entry("198.51.100.11", "198.51.100.12"), twin.end("198.51.100.11")), (None, None));
    // A planner that finds the tables says the same of them.
    twin.planner = Planner::adopt(&twin.tables, &twin.sizes);
    twin.apply(&site);
    assert_eq!(twin.entry("2001:db8:2::1", "2001:db8:2::2"), before);
    assert_eq!(twin.heard("2001:db8:2::1", "2001:db8:2::2").map(|word| word.load()), [7, 8, 9]);
}

#[test]
fn what_was_heard_moves_along_to_larger_tables() {
    let mut site = mutual();
    let twin = Twin::new("alpha", &site);
    twin.heard("2001:db8:2::1", "2001:db8:2::2").iter().zip(7..).for_each(|(word, value)| word.store(value));
    twin.tables.group(2).unwrap().state.store(42);
    twin.tables.globals().unwrap().partners[1].store(43);
    site.ha.paths.reverse();
    let next = Twin::new("alpha", &site);
    carry((&twin.tables, &twin.sizes), (&next.tables, &next.sizes), ground::NOW.0 as u32);
    assert_eq!(next.heard("2001:db8:2::1", "2001:db8:2::2").map(|word| word.load()), [7, 8, 9]);
    assert_eq!(next.heard("198.51.100.11", "198.51.100.12").map(|word| word.load()), [0, 0, 0]);
    assert_eq!(next.tables.group(2).unwrap().state.load(), 42);
    assert_eq!(next.tables.globals().unwrap().partners[1].load(), 43);
}

#[test]
fn while_keys_change_both_are_there_and_what_was_heard_stays() {
    let site = mutual();
    let mut twin = Twin::new("alpha", &site);
    let (own, remote) = ("198.51.100.11", "198.51.100.12");
    twin.heard(own, remote)[0].store(7);
    let [old, new] = [site_keys().own().clone(), HaKey::new([9; 32])];
    for (first, second) in [(&old, &new), (&new, &old)] {
        twin.keys = HaKeys::new(first.clone(), Some(second.clone())).unwrap();
        twin.apply(&site);
        assert_eq!(twin.facts(own, remote).keys(), [first.short_id(), second.short_id()]);
        let entry = twin.tables.path(twin.entry(own, remote).unwrap()).unwrap();
        let gates = entry.gates.each_ref().map(|gate| gate.each_ref().map(|word| word.load()));
        assert_eq!(gates, [first, second].map(|key| key.between("alpha", "beta").gate_key()));
        assert_eq!(twin.heard(own, remote)[0].load(), 7);
    }
}

#[test]
fn a_node_with_many_partners_has_every_path_at_its_one_address() {
    let mut site = mutual();
    let names: Vec<_> = (0..PATHS).map(|n| format!("n{n}")).collect();
    site.ha.paths.clear();
    for (name, last) in names.iter().zip(100..) {
        let address = ip(&format!("203.0.113.{last}"));
        site.nodes.push(node(name, address));
        let mut shared = cluster(name, last, vec![service(80, &["web1"])]);
        shared.backup = Some(name.clone());
        site.clusters.push(shared);
        site.ha
            .paths
            .push(Path { nodes: [name.clone(), "alpha".into()], addresses: [address, ip("198.51.100.11")] });
    }
    let mut twin = Twin::new("alpha", &site);
    assert_eq!(twin.end("198.51.100.11"), Some((u16::MAX, 4870)));
    let groups =
        (100..100 + PATHS).map(|last| twin.facts("198.51.100.11", &format!("203.0.113.{last}")).groups());
    let numbers: Vec<_> = groups.map(|[one, other]| (one, other)).collect();
    assert!(numbers.iter().all(|&(one, other)| one > 0 && other == 0), "{numbers:?}");
    // All of them give way to others at once.
    for path in &mut site.ha.paths {
        path.addresses[1] = ip("198.51.100.13");
    }
    twin.apply(&site);
    assert_eq!((twin.end("198.51.100.11"), twin.end("198.51.100.13")), (None, Some((u16::MAX, 4870))));
}

#[test]
fn a_group_has_a_hardware_address_of_its_own_only_where_the_site_says_so() {
    let mut site = mutual();
    let group = site.groups()[0].clone();
    let mac = |twin: &Twin, group: u8| twin.tables.group(group.into()).expect("there is a group").mac.load();
    let mut twins = ["alpha", "beta"].map(|name| Twin::new(name, &site));
    assert!(twins.iter().all(|twin| mac(twin, group.number) == 0));
    site.ha.announce = crate::model::Announce::VirtualMac;
    twins.iter_mut().for_each(|twin| twin.apply(&site));
    let own = mac_word(SiteKey::new([7; 32]).virtual_mac(&group.primary, &group.backup));
    assert!(twins.iter().all(|twin| mac(twin, group.number) == own && mac(twin, 0) == 0), "the same on both");
    site.ha.announce = crate::model::Announce::Gratuitous;
    twins.iter_mut().for_each(|twin| twin.apply(&site));
    assert!(twins.iter().all(|twin| mac(twin, group.number) == 0));
}

#[test]
fn a_node_is_quiet_before_its_partner_takes_over_from_a_lease_nobody_renews() {
    let site = mutual();
    let twin = Twin::new("alpha", &site);
    let globals = twin.tables.globals().expect("there are settings");
    let tick = std::time::Duration::from_secs(1) / 250;
    let quiet = tick * globals.hand_over.load() as u32;
    // The partner may read the lease a tick late, and the node its clock.
    assert!(quiet >= crate::ha::TAKEOVER_MARGIN + tick, "{quiet:?}");
}

#[test]
fn a_nodes_own_address_is_known_without_a_path_and_what_comes_for_it_passes_untouched() {
    let mut site = mutual();
    let own = ip("192.0.2.77");
    site.nodes[0].address = own;
    let mut twin = Twin::new("alpha", &site);
    assert_eq!(twin.end("192.0.2.77"), Some((0, site.ha.port)));
    let to = V4::new([203, 0, 113, 9], [192, 0, 2, 77]);
    let payloads = [
        to.tcp(&Tcp::new(1234, 80, SYN)),
        to.udp(&Udp::new(4870, 4870)),
        to.udp(&Udp::new(9, 4870)),
        to.icmp(8, 0, b"echo"),
    ];
    for payload in payloads {
        let frame = ethernet([2, 0, 0, 0, 1, 1], [2, 0, 0, 0, 2, 1], IPV4, &payload);
        let (verdict, bytes) = ground::run(&twin.tables, &frame);
        assert_eq!(verdict.kind(), geminus_packet::verdict::Kind::Pass, "{:?}", verdict.reason());
        assert_eq!(bytes, frame);
    }
    // A path that ends there is found there.
    site.ha.paths.push(Path { nodes: ["alpha".into(), "beta".into()], addresses: [own, ip("192.0.2.78")] });
    twin.apply(&site);
    assert!(twin.end("192.0.2.77").is_some_and(|(paths, _)| paths != 0));
}
