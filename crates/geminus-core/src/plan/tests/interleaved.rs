//! A packet that comes while the tables change is treated as before or as after, never by a mixture.
//!
//! Both sides reach the tables through [`Watched`], which calls back at every access: so the whole switch is put between
//! any two accesses of a packet, and whole packets between any two accesses of an apply.
//!
//! What changes in one step is the ring of a service, and all addresses and ports together. A site whose clusters swap
//! addresses *and* servers at once goes through a moment with the new servers behind the old addresses.

use std::cell::{Cell, RefCell};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;

use geminus_packet::flow::Bucket;
use geminus_packet::heap::HeapTables;
use geminus_packet::journal::Journal;
use geminus_packet::tables::{
    AddressBucket, EndpointBucket, Globals, Group, PathEntry, Range, RingLine, Server as Entry,
    Service as Row, Tables, Tuple,
};
use geminus_packet::verdict::Counter;

use super::ground::{self, Flow, Node, cluster, flow, service, site};
use super::*;
use crate::model::{Affinity, Condition, Prefix, Rule};

/// Tables that tell of each access before it happens.
pub(super) struct Watched<'t, F: Fn(u64)> {
    tables: &'t HeapTables,
    accesses: Cell<u64>,
    before: F,
    pub(super) dry: bool,
}

impl<'t, F: Fn(u64)> Watched<'t, F> {
    /// `before` gets the number of the access, from 0.
    pub(super) fn new(tables: &'t HeapTables, before: F) -> Self {
        Self { tables, accesses: Cell::new(0), before, dry: false }
    }

    /// How many accesses there were.
    pub(super) fn accesses(&self) -> u64 {
        self.accesses.get()
    }

    fn next(&self) -> &'t HeapTables {
        let access = self.accesses.get();
        self.accesses.set(access + 1);
        (self.before)(access);
        self.tables
    }
}

impl<F: Fn(u64)> Tables for Watched<'_, F> {
    fn globals(&self) -> Option<&Globals> {
        self.next().globals()
    }
    fn addresses(&self, bucket: u32) -> Option<&AddressBucket> {
        self.next().addresses(bucket)
    }
    fn endpoints(&self, bucket: u32) -> Option<&EndpointBucket> {
        self.next().endpoints(bucket)
    }
    fn range(&self, index: u32) -> Option<&Range> {
        self.next().range(index)
    }
    fn service(&self, index: u32) -> Option<&Row> {
        self.next().service(index)
    }
    fn ring_line(&self, index: u32) -> Option<&RingLine> {
        self.next().ring_line(index)
    }
    fn server(&self, index: u32) -> Option<&Entry> {
        self.next().server(index)
    }
    fn source(&self, service: u32, client: Address) -> u64 {
        self.next().source(service, client)
    }
    fn group(&self, index: u32) -> Option<&Group> {
        self.next().group(index)
    }
    fn path(&self, index: u32) -> Option<&PathEntry> {
        self.next().path(index)
    }
    fn flows(&self, bucket: u32) -> Option<&Bucket> {
        self.next().flows(bucket)
    }
    fn provisional(&self, bucket: u32) -> Option<&Bucket> {
        self.next().provisional(bucket)
    }
    fn affinity(&self, bucket: u32) -> Option<&Bucket> {
        self.next().affinity(bucket)
    }
    fn tuple(&self, slot: u32) -> Option<&Tuple> {
        self.next().tuple(slot)
    }
    fn journal(&self) -> Option<&Journal> {
        if self.dry { None } else { self.tables.journal() }
    }
    fn stamp(&self) -> u64 {
        self.tables.stamp()
    }
    fn count(&self, counter: Counter) {
        if !self.dry {
            self.tables.count(counter);
        }
    }
    fn count_server(&self, server: u32, bytes: u64, begins: bool) {
        if !self.dry {
            self.tables.count_server(server, bytes, begins);
        }
    }
    fn dry(&self) -> bool {
        self.dry
    }
}

impl<F: Fn(u64)> Sources for Watched<'_, F> {
    fn lay_down(&self, key: SourceKey, value: u64) -> Result<(), PlanError> {
        self.next().lay_down(key, value)
    }
    fn take_up(&self, key: SourceKey) {
        self.next().take_up(key);
    }
    fn laid_down(&self) -> Vec<(SourceKey, u64)> {
        self.next().laid_down()
    }
}

/// A site that changes into the next one, and the flows that are looked at.
fn changes() -> Vec<(&'static str, Site, Site)> {
    let clusters = || {
        vec![
            cluster(
                "shop",
                80,
                vec![service(80, &["web1", "web2", "web3"]), service(443, &["tls1", "tls2"])],
            ),
            cluster(
                "mail",
                81,
                vec![
                    service(80, &["mx1", "mx2"]),
                    Service { ports: Ports::Range(400, 500), ..service(0, &["imap"]) },
                ],
            ),
            cluster("media", 82, vec![Service { ports: Ports::Any, ..service(0, &["video1", "video2"]) }]),
        ]
    };
    let base = site(clusters());
    let changed = |change: fn(&mut Site)| {
        let mut site = base.clone();
        change(&mut site);
        site
    };
    vec![
        ("clusters change places", base.clone(), changed(|site| site.clusters.reverse())),
        ("clusters rotate", base.clone(), changed(|site| site.clusters.rotate_left(1))),
        (
            "services change places",
            base.clone(),
            changed(|site| site.clusters.iter_mut().for_each(|c| c.services.reverse())),
        ),
        ("a cluster goes", base.clone(), changed(|site| drop(site.clusters.remove(0)))),
        ("a cluster comes", changed(|site| drop(site.clusters.remove(1))), base.clone()),
        ("a server goes", base.clone(), changed(|site| drop(site.clusters[0].services[0].servers.remove(1)))),
        (
            "a server comes",
            changed(|site| drop(site.clusters[0].services[0].servers.remove(1))),
            base.clone(),
        ),
        (
            "every server goes and others come",
            base.clone(),
            changed(|site| site.clusters[0].services[0] = service(80, &["new1", "new2"])),
        ),
        (
            "weights change",
            base.clone(),
            changed(|site| site.clusters[0].services[0].servers[0].weight = 100),
        ),
        (
            "a service becomes a range",
            base.clone(),
            changed(|site| site.clusters[0].services[0].ports = Ports::Range(79, 81)),
        ),
        (
            "a range becomes a service",
            changed(|site| site.clusters[0].services[0].ports = Ports::Range(79, 81)),
            base.clone(),
        ),
        (
            "clusters swap their addresses",
            base.clone(),
            changed(|site| {
                let addresses = site.clusters[0].addresses.clone();
                site.clusters[0].addresses = std::mem::replace(&mut site.clusters[1].addresses, addresses);
            }),
        ),
        ("the ring gets larger", base.clone(), changed(|site| site.clusters[0].services[0].ring_slots = 509)),
        (
            "a list denies some clients",
            base.clone(),
            changed(|site| site.clusters[0].services[0].deny = some()),
        ),
        (
            "a list denies nobody any more",
            changed(|site| site.clusters[0].services[0].deny = some()),
            base.clone(),
        ),
        (
            "who is allowed is denied, and the other way round",
            changed(|site| site.clusters[0].services[0].allow = some()),
            changed(|site| site.clusters[0].services[0].deny = some()),
        ),
        ("some clients get a pool", base.clone(), changed(pooled)),
        ("some clients' pool goes", changed(pooled), base.clone()),
        (
            "a service with a list goes and another comes",
            changed(|site| site.clusters[0].services[1].deny = some()),
            changed(|site| {
                site.clusters[0].services[1] = Service { allow: some(), ..service(444, &["tls1", "tls3"]) };
            }),
        ),
        (
            "all at once",
            base.clone(),
            site(vec![
                cluster("media", 82, vec![Service { ports: Ports::Any, ..service(0, &["video2"]) }]),
                cluster("mail", 81, vec![service(80, &["mx2", "mx3"])]),
                cluster("shop", 80, vec![service(443, &["web1", "tls1"]), service(80, &["web3", "web9"])]),
            ]),
        ),
    ]
}

/// Every second client of the frames that come.
fn some() -> Vec<Prefix> {
    [1, 101, 200].map(|last| Prefix { address: IpAddr::from([203, 0, 0, last]), bits: 32 }).to_vec()
}

/// The shop's third server is for these clients alone.
fn pooled(site: &mut Site) {
    let service = &mut site.clusters[0].services[0];
    service.pools = vec!["guests".into()];
    service.servers[2].pool = 1;
    service.rules = vec![Rule { when: Condition::From(some()), pool: 1 }];
}

/// Frames that come meanwhile: first packets, packets of established flows, packets that nobody remembers.
fn frames() -> (Vec<Flow>, Vec<Vec<u8>>) {
    let mut established = Vec::new();
    let mut frames = Vec::new();
    for address in [80, 81, 82] {
        for port in [80, 443, 79] {
            for n in 0..2 {
                established.push(flow(address, n, port));
                frames.push(flow(address, n, port).segment());
                frames.push(flow(address, 100 + n, port).syn());
            }
            frames.push(flow(address, 200, port).segment());
        }
    }
    (established, frames)
}

/// A node that says a site and remembers flows.
fn node(site: &Site, established: &[Flow]) -> Node {
    let sizes =
        Sizes { flow_buckets: 16, provisional_buckets: 16, affinity_buckets: 16, tuples: 128, ..small(site) };
    let node = Node::with(site.clone(), &sizes);
    for flow in established {
        node.send(&flow.syn());
        node.send(&flow.segment());
    }
    node
}

fn small(site: &Site) -> Sizes {
    Sizes { services: 16, servers: 64, ring_lines: 400, ranges: 32, ..sizes(site, 1) }
}

/// What becomes of a frame: kind, and bytes.
fn outcome(tables: &impl Tables, frame: &[u8]) -> (String, Vec<u8>) {
    let (verdict, bytes) = ground::run(tables, frame);
    (format!("{:?}", verdict.kind()), bytes)
}

/// What becomes of a frame on tables that say the one site and were made to say the other, without being touched.
fn asked(node: &Node, frame: &[u8]) -> (String, Vec<u8>) {
    let mut watched = Watched::new(&node.tables, |_| ());
    watched.dry = true;
    outcome(&watched, frame)
}

#[test]
fn a_switch_between_any_two_looks_of_a_packet_is_as_if_before_or_after() {
    let (established, frames) = frames();
    for (name, before, after) in changes() {
        for frame in &frames {
            let plain = node(&before, &established);
            let counting = Watched::new(&plain.tables, |_| ());
            let old = outcome(&counting, frame);
            let accesses = counting.accesses();
            let mut changed = node(&before, &established);
            changed.apply(after.clone()).unwrap();
            let new = outcome(&changed.tables, frame);
            for at in 0..accesses {
                let met = met_by_switch(node(&before, &established), &after, frame, at);
                assert!(
                    met == old || met == new,
                    "{name}, switch before look {at} of {accesses}: {met:x?} is neither {old:x?} nor {new:x?}"
                );
            }
        }
    }
}

/// Runs a frame and, before its access number `at`, applies a site up to where it waits for packets under way.
fn met_by_switch(node: Node, after: &Site, frame: &[u8], at: u64) -> (String, Vec<u8>) {
    let Node { tables, mut planner, overrides, rulings, mut links, .. } = node;
    links.extend(ground::links(after));
    let wanted = ground::wanted(after, &overrides, &rulings, &links);
    let (start, started) = mpsc::channel::<()>();
    let (switched, is_switched) = mpsc::channel::<()>();
    let (leave, left) = mpsc::channel::<()>();
    let tables = &tables;
    thread::scope(|scope| {
        scope.spawn(move || {
            started.recv().expect("the packet reaches the access");
            let at_grace = switched.clone();
            let grace = || {
                at_grace.send(()).expect("the packet waits");
                left.recv().expect("the packet ends");
            };
            planner.apply(tables, &wanted, grace).expect("the site fits");
            // Without anything to wait for, apply never comes to its grace.
            let _ = switched.send(());
        });
        let start = start;
        let watched = Watched::new(tables, |access| {
            if access == at {
                start.send(()).expect("the writer waits");
                is_switched.recv().expect("the writer comes to its grace");
            }
        });
        let outcome = outcome(&watched, frame);
        // The writer is gone already where there was nothing to wait for.
        let _ = leave.send(());
        drop(start);
        outcome
    })
}

#[test]
fn a_packet_between_any_two_writes_of_an_apply_is_as_if_before_or_after() {
    let (established, frames) = frames();
    for (name, before, after) in changes() {
        let old_node = node(&before, &established);
        let mut new_node = node(&before, &established);
        new_node.apply(after.clone()).unwrap();
        let expected: Vec<_> =
            frames.iter().map(|frame| [asked(&old_node, frame), asked(&new_node, frame)]).collect();
        let Node { tables, mut planner, overrides, rulings, mut links, .. } = node(&before, &established);
        links.extend(ground::links(&after));
        let wanted = ground::wanted(&after, &overrides, &rulings, &links);
        let seen = RefCell::new([0_u32; 2]);
        let watched = Watched::new(&tables, |access| {
            let at = access as usize % frames.len();
            // Every frame in turn, so that each access meets one; the first accesses and the last meet all of them.
            for (frame, expected) in frames.iter().zip(&expected).skip(at).take(3) {
                let mut asked = Watched::new(&tables, |_| ());
                asked.dry = true;
                let now = outcome(&asked, frame);
                assert!(
                    expected.contains(&now),
                    "{name}, access {access}: {now:x?} is none of {expected:x?}"
                );
                if expected[0] != expected[1] {
                    seen.borrow_mut()[usize::from(now == expected[1])] += 1;
                }
            }
        });
        planner.apply(&watched, &wanted, || ()).unwrap();
        assert!(watched.accesses() > 10, "{name}");
        for (frame, [_, new]) in frames.iter().zip(&expected) {
            let mut asked = Watched::new(&tables, |_| ());
            asked.dry = true;
            assert_eq!(outcome(&asked, frame), *new, "{name}, when all is done");
        }
    }
}

/// Readers whose packets a writer can wait for.
#[derive(Default)]
struct Readers {
    /// Odd while a packet is under way.
    packets: [AtomicU64; 2],
    is_over: AtomicBool,
}

/// Ends it all, also by a panic.
struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

impl Readers {
    fn packet<T>(&self, reader: usize, run: impl FnOnce() -> T) -> T {
        self.packets[reader].fetch_add(1, Ordering::SeqCst);
        let result = run();
        self.packets[reader].fetch_add(1, Ordering::SeqCst);
        result
    }

    /// Returns when no packet is under way that began before.
    fn wait(&self) {
        for packets in &self.packets {
            let seen = packets.load(Ordering::SeqCst);
            while seen % 2 == 1 && packets.load(Ordering::SeqCst) == seen && !self.are_over() {
                thread::yield_now();
            }
        }
    }

    fn are_over(&self) -> bool {
        self.is_over.load(Ordering::SeqCst)
    }
}

/// Servers by the cluster address that they serve in any of the sites: nobody else may have its packets.
fn allowed(sites: &[Site]) -> HashMap<u8, HashSet<String>> {
    let mut allowed: HashMap<u8, HashSet<String>> = HashMap::new();
    for cluster in sites.iter().flat_map(|site| &site.clusters) {
        let IpAddr::V4(address) = cluster.addresses[0] else { panic!("an IPv4 address") };
        let servers = cluster.services.iter().flat_map(|service| &service.servers);
        allowed.entry(address.octets()[3]).or_default().extend(servers.map(|server| server.name.clone()));
    }
    allowed
}

/// Sites that change from one to the next while every cluster keeps its address and the first service gets affinity.
fn sites() -> Vec<Site> {
    let keeps_addresses = |(name, _, _): &(&str, Site, Site)| *name != "clusters swap their addresses";
    let mut sites: Vec<_> = changes()
        .into_iter()
        .filter(keeps_addresses)
        .flat_map(|(_, before, after)| [before, after])
        .collect();
    let affinity =
        Affinity { prefix4: 24, prefix6: 48, timeout: std::time::Duration::from_secs(60), group: None };
    sites
        .iter_mut()
        .step_by(3)
        .for_each(|site| site.clusters[0].services[0].affinity = Some(affinity.clone()));
    sites
}

#[test]
fn packets_on_other_cpus_never_reach_another_clusters_server() {
    const APPLIES: usize = 300;
    let sites = sites();
    let allowed = allowed(&sites);
    let everyone =
        Site { clusters: sites.iter().flat_map(|site| site.clusters.clone()).collect(), ..sites[0].clone() };
    let Node { tables, mut planner, overrides, rulings, mut links, .. } = node(&sites[0], &[]);
    links.extend(ground::links(&everyone));
    let (readers, forwarded) = (Readers::default(), AtomicU64::new(0));
    let read = |reader: usize| {
        let _end = End(&readers.is_over);
        let mut random = geminus_fixtures::random::Random::new(reader as u64);
        while !readers.are_over() {
            let address = random.one(&[80, 81, 82]);
            let flow = flow(address, random.below(40) as u16, random.one(&[80, 443, 79]));
            let frame = if random.below(3) == 0 { flow.syn() } else { flow.segment() };
            if let Sent::To(name, path) = readers.packet(reader, || ground::send(&tables, &everyone, &frame))
            {
                assert!(allowed[&address].contains(&name), "a packet for .{address} went to {name}, {path}");
                forwarded.fetch_add(1, Ordering::Relaxed);
            }
        }
    };
    thread::scope(|scope| {
        let (one, two) = (scope.spawn(|| read(0)), scope.spawn(|| read(1)));
        let _end = End(&readers.is_over);
        for at in 0..APPLIES {
            let wanted = ground::wanted(&sites[at % sites.len()], &overrides, &rulings, &links);
            planner.apply(&tables, &wanted, || readers.wait()).unwrap();
            if one.is_finished() || two.is_finished() {
                break;
            }
        }
    });
    assert!(forwarded.into_inner() > APPLIES as u64, "packets and changes meet");
}
