//! From the site as it is wanted to the tables as they are read: wanted minus installed.
//!
//! A [`Planner`] writes into any [`Tables`]: those on the heap in tests, those mapped from the kernel in the daemon. It
//! writes what nobody points at, then the one word that points at it, then waits a grace period (an argument: nobody
//! reads the old any more after it) and only then gives the old up. What is installed is read back from the tables
//! themselves ([`Planner::adopt`]), so a daemon that was killed forgets nothing.

mod carry;
mod census;
mod entries;
mod fixed;
mod identity;
mod kin;
mod part;
mod paths;
mod place;
mod ring_room;
mod rulings;
mod size;
mod sources;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::net::IpAddr;

use geminus_packet::heap::Sizes;
use geminus_packet::tables::{Address, AddressFacts, MAC_BITS, RING_LINE_SLOTS, SourceKey, Tables};
use geminus_packet::wire::Mac;

pub use self::carry::{Carried, carry};
pub use self::census::Census;
pub use self::identity::{KernelMs, Override, Overrides, server_identity, service_identity};
use self::part::Part;
pub use self::paths::{NodePath, path_entry, paths_of};
use self::ring_room::RingRoom;
pub use self::rulings::{Ruling, Rulings};
pub use self::size::{Memory, memory, sizes};
pub use self::sources::Sources;
use crate::key::{HaKeys, SiteKey};
use crate::model::{Cluster, Site};

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

/// Why the tables cannot take the site. Nothing has been written, unless the kernel has no memory for what is laid down of
/// clients: then what was written is right, but not all.
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
    /// Where each service of the site is, by its identity.
    service_places: HashMap<u64, (usize, usize)>,
    room: RingRoom,
    /// What is laid down of clients.
    sources: BTreeMap<SourceKey, u64>,
    fixed: Option<fixed::Fixed>,
}

impl Planner {
    /// Reads back what is installed in tables of these sizes; empty tables are an empty installation.
    pub fn adopt(tables: &(impl Tables + Sources), sizes: &Sizes) -> Self {
        let mut planner = Self {
            sizes: *sizes,
            services: HashMap::new(),
            servers: HashMap::new(),
            free_services: Vec::new(),
            free_servers: Vec::new(),
            places: BTreeMap::new(),
            by_address: HashMap::new(),
            service_places: HashMap::new(),
            room: RingRoom::new(sizes.ring_lines),
            sources: tables.laid_down().into_iter().collect(),
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
                let wish = Override::from_words(entry.interface.load(), entry.ruling.load());
                overrides.insert(identity, wish);
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
                let in_force = base.and_then(|entry| entry.pool.load().checked_sub(1));
                let number = |name: &String| self.services.get(&names.pool(name)).copied().map(u64::from);
                let is_it = |name: &String| number(name) == in_force;
                if in_force.is_some()
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
                    if let Some(link) =
                        number.and_then(|&number| tables.server(number)).and_then(entries::read_link)
                    {
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

    /// The entry of a server, by [`server_identity`].
    pub fn server_number(&self, identity: u64) -> Option<u32> {
        self.servers.get(&identity).copied()
    }

    /// Every installed server and its entry.
    pub fn places(&self) -> impl Iterator<Item = (u32, &Place)> {
        self.places.iter().map(|(&index, place)| (index, place))
    }

    /// Makes the tables say what is wanted. `grace` returns when no packet is under way that read the tables before.
    ///
    /// # Errors
    /// See [`PlanError`].
    pub fn apply(
        &mut self,
        tables: &(impl Tables + Sources),
        wanted: &Wanted<'_>,
        grace: impl FnOnce(),
    ) -> Result<(), PlanError> {
        let paths = paths_of(wanted.site, wanted.node);
        let path_places = paths::places(tables, &paths)?;
        let ours = Ours::of(wanted, paths::own_ends(wanted, &paths, &path_places));
        let parts = part::parts(wanted, &ours.clusters);
        let renewed = self.check_room(tables, wanted, &parts)?;
        fixed::check_room(&ours, &self.sizes)?;
        self.check_sources(&parts)?;
        fixed::write_settings(tables, wanted, &self.sizes);
        paths::write(tables, wanted, &paths, &path_places);

        let servers = self.place_all_servers(tables, wanted, &parts);
        self.remember_places(&parts, &servers);
        let pools = self.place_all_services(tables, &parts);
        let old_rings = self.place_rings(tables, wanted, &parts, renewed, &servers, &pools);
        place::write_pools(tables, wanted, &parts, &pools);
        kin::write(tables, &parts, &servers, &pools);
        self.lay_down(tables, &parts, &pools)?;
        for (part, pools) in parts.iter().zip(&pools) {
            if let Some(entry) = tables.service(pools[0]) {
                entries::write_select(entry, part, pools[0], wanted.ticks);
            }
        }
        let numbers = parts.iter().zip(&pools).map(|(part, pools)| (part.place, pools[0])).collect();
        let fixed = fixed::publish(tables, &ours, &numbers, &self.sizes, self.fixed.as_ref())?;
        let switched = self.fixed.as_ref() != Some(&fixed);
        self.fixed = Some(fixed);
        let kept_services: HashSet<_> = pools.iter().flatten().copied().collect();
        let kept_servers: HashSet<_> = servers.iter().flatten().copied().collect();
        let gone_services = missing(&self.services, |number| kept_services.contains(&number));
        let gone_servers = missing(&self.servers, |number| kept_servers.contains(&number));
        // The half that was left is written again by the next apply, so it too is given up here.
        if switched || !old_rings.is_empty() || !gone_services.is_empty() || !gone_servers.is_empty() {
            grace();
        }
        for (first, count) in old_rings {
            self.room.give(first, count);
        }
        // Whatever is laid down for nobody's number was left by somebody who was killed.
        let nobody = BTreeMap::new();
        sources::write(tables, &mut self.sources, &nobody, |number| !kept_services.contains(&number))?;
        for (identity, number) in gone_services {
            self.retire_service(tables, identity, number);
        }
        for (identity, number) in gone_servers {
            self.retire_server(tables, identity, number);
        }
        Ok(())
    }

    /// Makes the tables say what is wanted of a few servers and services of the site that is installed, by their identities:
    /// what [`apply`](Self::apply) would do, without a look at every other server.
    ///
    /// # Errors
    /// As [`apply`](Self::apply), but what can be done without a new ring is done: a server that is down gets no new flow.
    pub fn adjust(
        &mut self,
        tables: &impl Tables,
        wanted: &Wanted<'_>,
        changed: &Changed,
        mut grace: impl FnMut(),
    ) -> Result<(), PlanError> {
        let of_servers = changed.servers.iter().filter_map(|identity| {
            let at = self.places.get(self.servers.get(identity)?)?;
            Some((at.cluster, at.service))
        });
        let of_services =
            changed.services.iter().filter_map(|identity| self.service_places.get(identity).copied());
        let places: BTreeSet<_> = of_servers.chain(of_services).collect();
        let part = |&(cluster, service): &(usize, usize)| {
            part::part(wanted, (cluster, service), &wanted.site.clusters[cluster])
        };
        let parts: Vec<_> = places.iter().map(part).collect();
        let servers = self.place_all_servers(tables, wanted, &parts);
        match self.renew(tables, wanted, &parts, &servers, &mut grace) {
            // Free lines are scattered: one service after the other, each gives its old ring up before the next is built.
            Err(PlanError::Full("ring")) => {
                let mut each = parts.chunks(1).zip(servers.chunks(1));
                each.try_for_each(|(part, servers)| self.renew(tables, wanted, part, servers, &mut grace))
            }
            other => other,
        }
    }

    /// Builds the rings that are to be other ones, of services that are installed, and gives the old ones up.
    fn renew(
        &mut self,
        tables: &impl Tables,
        wanted: &Wanted<'_>,
        parts: &[Part<'_>],
        servers: &[Vec<u32>],
        grace: &mut impl FnMut(),
    ) -> Result<(), PlanError> {
        let renewed = self.check_room(tables, wanted, parts)?;
        let pools = self.place_all_services(tables, parts);
        let old_rings = self.place_rings(tables, wanted, parts, renewed, servers, &pools);
        place::write_pools(tables, wanted, parts, &pools);
        if !old_rings.is_empty() {
            grace();
        }
        old_rings.into_iter().for_each(|(first, count)| self.room.give(first, count));
        Ok(())
    }

    /// Another way to a server, or none known: every entry of the address at once, each atomically. A way that was known
    /// is kept when none is known any more, since a stale hardware address loses less than none.
    pub fn set_link(&self, tables: &impl Tables, wanted: &Wanted<'_>, address: IpAddr) {
        let Some(link) = wanted.links.get(&address) else { return };
        let numbers = self.by_address.get(&address).into_iter().flatten();
        numbers
            .filter_map(|&number| tables.server(number))
            .for_each(|entry| entries::change_link(entry, link));
    }
}

/// What is wanted otherwise than before, of the site that is installed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changed {
    /// Identities of the servers of which the operator wants, or health found, something else.
    pub servers: Vec<u64>,
    /// Identities of the services whose pool in force is another.
    pub services: Vec<u64>,
}

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
