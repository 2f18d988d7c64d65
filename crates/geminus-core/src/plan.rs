//! From the site as it is wanted to the tables as they are read: wanted minus installed.
//!
//! A [`Planner`] writes into any [`Tables`]: those on the heap in tests, those mapped from the kernel in the daemon. It
//! writes what nobody points at, then the one word that points at it, then waits a grace period (an argument: nobody
//! reads the old any more after it) and only then gives the old up. What is installed is read back from the tables
//! themselves ([`Planner::adopt`]), so a daemon that was killed forgets nothing.

mod carry;
mod fixed;
mod identity;
mod paths;
mod ring_room;
mod rulings;
mod size;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::net::IpAddr;

use geminus_packet::heap::Sizes;
use geminus_packet::tables::{
    Address, AddressFacts, MAC_BITS, RING_LINE_SLOTS, Server as ServerEntry, Service as ServiceEntry, Tables,
    mac_word, word_mac,
};
use geminus_packet::wire::Mac;

pub use self::carry::{Carried, carry};
pub use self::identity::{Override, Overrides, server_identity, service_identity};
pub use self::paths::{NodePath, path_entry, paths_of};
use self::ring_room::RingRoom;
pub use self::rulings::{Ruling, Rulings};
pub use self::size::{Memory, memory, sizes};
use crate::key::{HaKeys, SiteKey};
use crate::model::{Cluster, Select, Server, Service, Site};
use crate::ring::{self, Member, RingKey};

/// How a server is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link {
    /// In a frame to this hardware address, out of this interface.
    Remote {
        /// The server's hardware address.
        mac: Mac,
        /// The interface's hardware address.
        source: Mac,
        /// The interface, as the kernel counts them.
        interface: u32,
    },
    /// It is this machine.
    Local,
}

/// Why the tables cannot take the site. Nothing has been written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// The tables were made for a smaller site: they have to be made anew.
    #[error("the {0} table is too small for the site")]
    Full(&'static str),
}

/// The clock's ratio: how many ticks make a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TicksPerSecond(pub u32);

/// What a server entry of the tables stands for.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place {
    /// Index of the cluster in the site.
    pub cluster: usize,
    /// Index of the service in the cluster.
    pub service: usize,
    /// Index of the server in the service.
    pub server: usize,
}

/// Everything the tables are to say.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// The site.
    pub site: &'a Site,
    /// The node whose tables they are: only clusters it may be active for are installed.
    pub node: &'a str,
    /// The site's secret.
    pub key: &'a SiteKey,
    /// The secrets it shares with its partners.
    pub ha_keys: &'a HaKeys,
    /// What the operator wants otherwise.
    pub overrides: &'a Overrides,
    /// What health, the manager, rules and the clock make of servers and pools.
    pub rulings: &'a Rulings,
    /// How each server address is reached; absent: not known.
    pub links: &'a HashMap<IpAddr, Link>,
    /// Hardware address of the node's interface.
    pub mac: Mac,
    /// The kernel's clock.
    pub ticks: TicksPerSecond,
}

/// Knows what is installed where, and installs what is wanted instead.
#[derive(Debug)]
pub struct Planner {
    sizes: Sizes,
    services: HashMap<u64, u32>,
    servers: HashMap<u64, u32>,
    free_services: Vec<u32>,
    free_servers: Vec<u32>,
    places: BTreeMap<u32, Place>,
    /// The entries of each server address, so that one more known address does not cost a look at every server.
    by_address: HashMap<IpAddr, Vec<u32>>,
    room: RingRoom,
    fixed: Option<fixed::Fixed>,
}

impl Planner {
    /// Reads back what is installed in tables of these sizes; empty tables are an empty installation.
    pub fn adopt(tables: &impl Tables, sizes: &Sizes) -> Self {
        let mut planner = Self {
            sizes: *sizes,
            services: HashMap::new(),
            servers: HashMap::new(),
            free_services: Vec::new(),
            free_servers: Vec::new(),
            places: BTreeMap::new(),
            by_address: HashMap::new(),
            room: RingRoom::new(sizes.ring_lines),
            fixed: None,
        };
        for index in (0..sizes.services).rev() {
            let Some(entry) = tables.service(index) else { continue };
            match entry.identity.load() {
                0 => planner.free_services.push(index),
                identity => {
                    let ring = entry.ring.load();
                    planner.room.take(ring as u32, lines((ring >> 32) as u32));
                    planner.services.insert(identity, index);
                }
            }
        }
        // Number 0 is nobody.
        for index in (1..sizes.servers).rev() {
            let Some(entry) = tables.server(index) else { continue };
            match (entry.link.load() & !MAC_BITS, entry.identity.load()) {
                (0, _) | (_, 0) => planner.free_servers.push(index),
                (_, identity) => drop(planner.servers.insert(identity, index)),
            }
        }
        planner
    }

    /// What the operator wants, as the tables remember it.
    pub fn overrides(&self, tables: &impl Tables) -> Overrides {
        let mut overrides = Overrides::default();
        for (&identity, &index) in &self.servers {
            if let Some(entry) = tables.server(index) {
                overrides.insert(identity, Override::from_word(entry.interface.load()));
            }
        }
        overrides
    }

    /// What was last found of servers and pools, as the tables remember it.
    pub fn rulings(&self, tables: &impl Tables, site: &Site) -> Rulings {
        let mut rulings = Rulings::default();
        for (&identity, &index) in &self.servers {
            if let Some(entry) = tables.server(index) {
                rulings.rule(identity, Ruling::from_word(entry.ruling.load()));
            }
        }
        for cluster in &site.clusters {
            for service in cluster.services.iter().filter(|service| !service.pools.is_empty()) {
                let names = identity::Names::of(cluster, service);
                let base = self.services.get(&names.service()).and_then(|&index| tables.service(index));
                let in_force = base.map_or(0, |entry| entry.pool.load() as u32);
                let is_it = |name: &String| self.services.get(&names.pool(name)) == Some(&in_force);
                if in_force != 0
                    && let Some(at) = service.pools.iter().position(is_it)
                {
                    rulings.use_pool(names.service(), at as u8 + 1);
                }
            }
        }
        rulings
    }

    /// How server addresses are reached, as the tables remember it.
    pub fn links(&self, tables: &impl Tables, site: &Site) -> HashMap<IpAddr, Link> {
        let mut links = HashMap::new();
        for cluster in &site.clusters {
            for service in &cluster.services {
                let names = identity::Names::of(cluster, service);
                for server in &service.servers {
                    let number = self.servers.get(&names.server(server));
                    if let Some(link) = number.and_then(|&number| tables.server(number)).and_then(read_link) {
                        links.insert(server.address, link);
                    }
                }
            }
        }
        links
    }

    /// Whether tables of these sizes can take the site without being made anew.
    pub fn same_kind(have: &Sizes, wanted: &Sizes) -> bool {
        have.flow_buckets == wanted.flow_buckets
            && have.provisional_buckets == wanted.provisional_buckets
            && have.affinity_buckets == wanted.affinity_buckets
            && have.tuples == wanted.tuples
            && have.cpus == wanted.cpus
    }

    /// What a server entry stands for in the site that was installed last.
    pub fn place(&self, server: u32) -> Option<&Place> {
        self.places.get(&server)
    }

    /// Every installed server and its entry.
    pub fn places(&self) -> impl Iterator<Item = (u32, &Place)> {
        self.places.iter().map(|(&index, place)| (index, place))
    }

    /// Makes the tables say what is wanted. `grace` returns when no packet is under way that read the tables before.
    pub fn apply(
        &mut self,
        tables: &impl Tables,
        wanted: &Wanted<'_>,
        grace: impl FnOnce(),
    ) -> Result<(), PlanError> {
        let paths = paths_of(wanted.site, wanted.node);
        let places = paths::places(tables, &paths)?;
        let ours = Ours::of(wanted, paths::own_ends(&paths, &places, wanted.site.ha.port));
        let ring_key = wanted.key.ring_key();
        let parts = parts(wanted, &ours.clusters);
        let renewed = self.check_room(tables, &ring_key, &parts, Some(&ours))?;
        fixed::write_settings(tables, wanted, &self.sizes);
        paths::write(tables, wanted, &paths, &places);

        let mut kept_services = HashSet::new();
        let mut kept_servers = vec![false; self.sizes.servers as usize];
        let mut old_rings = Vec::new();
        let mut service_numbers = HashMap::new();
        self.places.clear();
        self.by_address.clear();
        for (part, renewed) in parts.iter().zip(renewed) {
            let numbers = self.place_servers(tables, wanted, part);
            for (server, &number) in numbers.iter().enumerate() {
                kept_servers[number as usize] = true;
                self.places.insert(number, Place { cluster: part.place.0, service: part.place.1, server });
                self.by_address.entry(part.service.servers[server].address).or_default().push(number);
            }
            let index = self.place_service(tables, wanted, part);
            kept_services.insert(index);
            service_numbers.insert(part.place, index);
            if renewed && let Some(old) = self.place_ring(tables, &ring_key, part, index, &numbers) {
                old_rings.push(old);
            }
        }
        let fixed = fixed::publish(tables, &ours, &service_numbers, &self.sizes, self.fixed.as_ref())?;
        let switched = self.fixed.as_ref() != Some(&fixed);
        self.fixed = Some(fixed);
        let gone_services = missing(&self.services, |index| kept_services.contains(&index));
        let gone_servers = missing(&self.servers, |number| kept_servers[number as usize]);
        // The half that was left is written again by the next apply, so it too is given up here.
        if switched || !old_rings.is_empty() || !gone_services.is_empty() || !gone_servers.is_empty() {
            grace();
        }
        for (first, count) in old_rings {
            self.room.give(first, count);
        }
        for (identity, index) in gone_services {
            self.retire_service(tables, identity, index);
        }
        for (identity, index) in gone_servers {
            self.retire_server(tables, identity, index);
        }
        Ok(())
    }

    /// Makes the tables say what the operator wants of a few servers of the site that is installed, by their identities:
    /// what [`apply`](Self::apply) would do, without a look at every other server.
    ///
    /// # Errors
    /// As [`apply`](Self::apply).
    pub fn adjust(
        &mut self,
        tables: &impl Tables,
        wanted: &Wanted<'_>,
        servers: impl IntoIterator<Item = u64>,
        grace: impl FnOnce(),
    ) -> Result<(), PlanError> {
        let numbers = servers.into_iter().filter_map(|identity| self.servers.get(&identity));
        let services: BTreeSet<_> =
            numbers.filter_map(|number| self.places.get(number)).map(|at| (at.cluster, at.service)).collect();
        let part = |&(cluster, service): &(usize, usize)| {
            part(wanted, (cluster, service), &wanted.site.clusters[cluster])
        };
        let parts: Vec<_> = services.iter().map(part).collect();
        let ring_key = wanted.key.ring_key();
        let renewed = self.check_room(tables, &ring_key, &parts, None)?;
        let mut old_rings = Vec::new();
        for (part, renewed) in parts.iter().zip(renewed) {
            let numbers = self.place_servers(tables, wanted, part);
            let index = self.place_service(tables, wanted, part);
            if renewed {
                old_rings.extend(self.place_ring(tables, &ring_key, part, index, &numbers));
            }
        }
        if !old_rings.is_empty() {
            grace();
        }
        for (first, count) in old_rings {
            self.room.give(first, count);
        }
        Ok(())
    }

    /// Another way to a server, or none known: every entry of the address at once, each atomically. A way that was known
    /// is kept when none is known any more, since a stale hardware address loses less than none.
    pub fn set_link(&self, tables: &impl Tables, wanted: &Wanted<'_>, address: IpAddr) {
        let Some(link) = wanted.links.get(&address) else { return };
        for &number in self.by_address.get(&address).into_iter().flatten() {
            if let Some(entry) = tables.server(number) {
                write_link(entry, Some(link), entry.from.load() & ServerEntry::DRAINING != 0);
            }
        }
    }

    /// Whether everything fits, and which services need another ring; nothing is written.
    fn check_room(
        &self,
        tables: &impl Tables,
        ring_key: &RingKey,
        parts: &[Part<'_>],
        ours: Option<&Ours<'_>>,
    ) -> Result<Vec<bool>, PlanError> {
        let mut new_services = 0;
        let mut new_servers = 0;
        let mut new_lines = Vec::new();
        let mut renewed = Vec::with_capacity(parts.len());
        for part in parts {
            let installed = self.services.get(&part.identity).and_then(|&index| tables.service(index));
            new_services += usize::from(installed.is_none());
            let numbers: Vec<_> =
                part.servers.iter().filter_map(|id| self.servers.get(id).copied()).collect();
            let unknown = part.servers.len() - numbers.len();
            new_servers += unknown;
            let same = unknown == 0
                && installed
                    .is_some_and(|entry| entry.ring_digest.load() == part.ring_digest(ring_key, &numbers));
            if !same {
                new_lines.push(lines(part.ring_slots()));
            }
            renewed.push(!same);
        }
        if new_services > self.free_services.len() {
            return Err(PlanError::Full("service"));
        }
        if new_servers > self.free_servers.len() {
            return Err(PlanError::Full("server"));
        }
        if !self.room.fits(&new_lines) {
            return Err(PlanError::Full("ring"));
        }
        if let Some(ours) = ours {
            fixed::check_room(ours, &self.sizes)?;
        }
        Ok(renewed)
    }

    /// Numbers of a service's servers, in the order of the service; new ones are filled, old ones brought up to date.
    fn place_servers(&mut self, tables: &impl Tables, wanted: &Wanted<'_>, part: &Part<'_>) -> Vec<u32> {
        let mut numbers = Vec::with_capacity(part.servers.len());
        for ((server, &identity), member) in part.service.servers.iter().zip(&part.servers).zip(&part.members)
        {
            let (number, is_new) = match self.servers.get(&identity) {
                Some(&number) => (number, false),
                None => {
                    let number =
                        self.free_servers.pop().expect("room was checked before anything was written");
                    self.servers.insert(identity, number);
                    (number, true)
                }
            };
            let entry = tables.server(number).expect("numbers come from the table itself");
            if is_new {
                let last = (entry.interface.load() >> 48) as u16;
                let generation = if last == u16::MAX { 1 } else { last + 1 };
                entry.interface.store(u64::from(generation) << 48);
                entry.from.store(0);
                entry.link.store(u64::from(generation) << 48);
                entry.identity.store(identity);
            }
            let kept = entry.interface.load() & !(0xffff << 32);
            entry.interface.store(kept | wanted.overrides.get(identity).to_word());
            write_link(entry, wanted.links.get(&server.address), member.weight == 0);
            numbers.push(number);
        }
        numbers
    }

    fn place_service(&mut self, tables: &impl Tables, wanted: &Wanted<'_>, part: &Part<'_>) -> u32 {
        let index = match self.services.get(&part.identity) {
            Some(&index) => index,
            None => {
                let index = self.free_services.pop().expect("room was checked before anything was written");
                self.services.insert(part.identity, index);
                let entry = tables.service(index).expect("numbers come from the table itself");
                entry.ring.store(0);
                entry.ring_digest.store(0);
                entry.turn.store(0);
                entry.identity.store(part.identity);
                index
            }
        };
        let entry = tables.service(index).expect("numbers come from the table itself");
        let mut select = 0;
        if let Some(affinity) = &part.service.affinity {
            select |= ServiceEntry::AFFINITY;
            let ticks = fixed::ticks(affinity.timeout, wanted.ticks);
            entry
                .affinity
                .store(ticks | u64::from(affinity.prefix4) << 32 | u64::from(affinity.prefix6) << 40);
        }
        if part.service.select == Select::RoundRobin {
            select |= ServiceEntry::TURN;
        }
        entry.clients.store(part.identity);
        entry.select.store(select);
        index
    }

    /// Writes a service's new ring into free lines and switches to it in one word; returns the lines of the old one.
    fn place_ring(
        &mut self,
        tables: &impl Tables,
        ring_key: &RingKey,
        part: &Part<'_>,
        index: u32,
        numbers: &[u32],
    ) -> Option<(u32, u32)> {
        let slots = part.ring(ring_key);
        let entry = tables.service(index)?;
        let old = entry.ring.load();
        let first = self
            .room
            .reserve(lines(slots.len() as u32))
            .expect("room was checked before anything was written");
        for (at, chunk) in slots.chunks(RING_LINE_SLOTS as usize).enumerate() {
            let line = tables.ring_line(first + at as u32).expect("lines come from the table itself");
            for (pair, two) in line.pairs.iter().zip(chunk.chunks(2)) {
                let number =
                    |slot: Option<&u16>| slot.map_or(0, |&member| u64::from(numbers[usize::from(member)]));
                pair.store(number(two.first()) | number(two.get(1)) << 32);
            }
        }
        // Whoever is killed here leaves a ring that is built anew.
        entry.ring_digest.store(0);
        entry.ring.store(u64::from(first) | (slots.len() as u64) << 32);
        entry.ring_digest.store(part.ring_digest(ring_key, numbers));
        let old_lines = lines((old >> 32) as u32);
        (old_lines > 0).then_some((old as u32, old_lines))
    }

    fn retire_service(&mut self, tables: &impl Tables, identity: u64, index: u32) {
        self.services.remove(&identity);
        if let Some(entry) = tables.service(index) {
            let ring = entry.ring.load();
            entry.ring.store(0);
            entry.ring_digest.store(0);
            entry.identity.store(0);
            self.room.give(ring as u32, lines((ring >> 32) as u32));
        }
        self.free_services.push(index);
    }

    fn retire_server(&mut self, tables: &impl Tables, identity: u64, index: u32) {
        self.servers.remove(&identity);
        if let Some(entry) = tables.server(index) {
            // Without a generation none of its flows is found any more; the last one is kept for the next tenant.
            entry.link.store(0);
            entry.from.store(0);
            entry.identity.store(0);
            entry.interface.store(entry.interface.load() & 0xffff << 48);
        }
        self.free_servers.push(index);
    }
}

/// What is installed and not kept, in the order of numbers: the same changes give the same numbers in any process.
/// What is installed and not kept, in the order of numbers, so that equal histories give equal tables.
fn missing(installed: &HashMap<u64, u32>, kept: impl Fn(u32) -> bool) -> Vec<(u64, u32)> {
    let mut gone: Vec<_> = installed
        .iter()
        .filter(|&(_, &number)| !kept(number))
        .map(|(&identity, &number)| (identity, number))
        .collect();
    gone.sort_unstable_by_key(|&(_, number)| number);
    gone
}

/// Ring lines that so many slots take.
const fn lines(slots: u32) -> u32 {
    slots.div_ceil(RING_LINE_SLOTS)
}

/// What of the site concerns one node.
struct Ours<'a> {
    /// The clusters it may be active for, with their indices in the site.
    clusters: Vec<(usize, &'a Cluster)>,
    /// Number of the group of each cluster of the site.
    groups: Vec<u8>,
    /// Where paths to its partners end.
    ends: Vec<(Address, AddressFacts)>,
}

impl<'a> Ours<'a> {
    fn of(wanted: &Wanted<'a>, ends: Vec<(Address, AddressFacts)>) -> Self {
        let mut groups = vec![0; wanted.site.clusters.len()];
        for group in wanted.site.groups() {
            group.clusters.iter().for_each(|&cluster| groups[cluster] = group.number);
        }
        let clusters = wanted.site.clusters.iter().enumerate();
        Self { clusters: clusters.filter(|(_, cluster)| cluster.is_of(wanted.node)).collect(), groups, ends }
    }
}

/// One service of the site, with what it and its servers are called in the tables.
struct Part<'a> {
    /// Index of the cluster in the site, and of the service in the cluster.
    place: (usize, usize),
    service: &'a Service,
    identity: u64,
    /// In the order of the service's servers.
    servers: Vec<u64>,
    /// In the same order, with the weights in force.
    members: Vec<Member<'a>>,
}

/// Every service of these clusters.
fn parts<'a>(wanted: &Wanted<'a>, clusters: &[(usize, &'a Cluster)]) -> Vec<Part<'a>> {
    let of_cluster = |&(index, cluster): &(usize, &'a Cluster)| {
        (0..cluster.services.len()).map(move |service| part(wanted, (index, service), cluster))
    };
    clusters.iter().flat_map(of_cluster).collect()
}

/// One service of a cluster; names are hashed here and nowhere else in an apply.
fn part<'a>(wanted: &Wanted<'a>, place: (usize, usize), cluster: &'a Cluster) -> Part<'a> {
    let service = &cluster.services[place.1];
    let names = identity::Names::of(cluster, service);
    let servers: Vec<_> = service.servers.iter().map(|server| names.server(server)).collect();
    let weight = |(server, &identity): (&'a Server, &u64)| Member {
        name: &server.name,
        weight: wanted.overrides.get(identity).weight_of(server),
    };
    let members = service.servers.iter().zip(&servers).map(weight).collect();
    Part { place, service, identity: names.service(), servers, members }
}

impl Part<'_> {
    /// Slots of its ring: none if no server may get new flows.
    fn ring_slots(&self) -> u32 {
        if self.members.iter().any(|member| member.weight > 0) { self.service.ring_slots } else { 0 }
    }

    fn ring(&self, key: &RingKey) -> Vec<u16> {
        match self.service.select {
            Select::Hash | Select::LeastConnections => {
                ring::build(key, self.service.ring_slots, &self.members).slots
            }
            Select::RoundRobin => ring::build_in_turn(self.service.ring_slots, &self.members).slots,
        }
    }

    /// Everything the ring's slots depend on: its members, its kind, and the numbers of its servers.
    fn ring_digest(&self, key: &RingKey, numbers: &[u32]) -> u64 {
        let mut takers: Vec<_> = self
            .members
            .iter()
            .zip(numbers)
            .filter(|(m, _)| m.weight > 0)
            .map(|(m, &n)| (m.name, n))
            .collect();
        takers.sort_unstable();
        let mut bytes = vec![match self.service.select {
            Select::Hash => 0,
            Select::RoundRobin => 1,
            // Two candidates are two points of the same ring.
            Select::LeastConnections => 0,
        }];
        bytes.extend(takers.iter().flat_map(|(_, number)| number.to_le_bytes()));
        bytes.extend(ring::digest(key, self.service.ring_slots, &self.members).to_le_bytes());
        // 0 says that there is no ring.
        identity::leading_word(&blake3::hash(&bytes)) | 1
    }
}

fn write_link(entry: &ServerEntry, link: Option<&Link>, draining: bool) {
    let drain = if draining { ServerEntry::DRAINING } else { 0 };
    let generation = entry.link.load() & !MAC_BITS;
    match link {
        Some(Link::Remote { mac, source, interface }) => {
            let others = entry.interface.load() & !0xffff_ffff;
            entry.interface.store(others | u64::from(*interface));
            entry.link.store(generation | mac_word(*mac));
            entry.from.store(mac_word(*source) | ServerEntry::RESOLVED | drain);
        }
        Some(Link::Local) => entry.from.store(ServerEntry::LOCAL | drain),
        None => {
            let kept = entry.from.load() & (MAC_BITS | ServerEntry::RESOLVED | ServerEntry::LOCAL);
            entry.from.store(kept | drain);
        }
    }
}

fn read_link(entry: &ServerEntry) -> Option<Link> {
    let from = entry.from.load();
    if from & ServerEntry::LOCAL != 0 {
        return Some(Link::Local);
    }
    (from & ServerEntry::RESOLVED != 0).then(|| Link::Remote {
        mac: word_mac(entry.link.load()),
        source: word_mac(from),
        interface: entry.interface.load() as u32,
    })
}
