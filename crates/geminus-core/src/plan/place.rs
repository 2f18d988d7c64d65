//! Where everything goes: rooms checked, entries taken, rings built, and what is gone given back.

use std::collections::{BTreeMap, HashSet};

use geminus_packet::tables::{RING_LINE_SLOTS, Service as ServiceEntry, Tables};

use super::entries::{self, WantedServer};
use super::part::Part;
use super::sources::{self, Sources};
use super::{Place, PlanError, Planner, Wanted, lines};

/// Why an entry of a number is there.
const OF_THE_TABLE: &str = "numbers come from the table itself";

impl Planner {
    /// Whether services, servers and rings fit, and which pools need another ring, of all parts in their order; nothing is
    /// written.
    pub(super) fn check_room(
        &self,
        tables: &impl Tables,
        wanted: &Wanted<'_>,
        parts: &[Part<'_>],
    ) -> Result<Vec<bool>, PlanError> {
        let ring_key = &wanted.key.ring_key();
        let mut new_services = 0;
        let mut new_servers = 0;
        let mut new_lines = Vec::new();
        let mut renewed = Vec::with_capacity(parts.len());
        for part in parts {
            let numbers: Vec<_> = part.servers.iter().map(|id| self.servers.get(id).copied()).collect();
            new_servers += numbers.iter().filter(|number| number.is_none()).count();
            for pool in &part.pools {
                let installed = self.services.get(&pool.identity).and_then(|&number| tables.service(number));
                new_services += usize::from(installed.is_none());
                let known: Option<Vec<_>> = pool.servers.iter().map(|&at| numbers[at]).collect();
                let same = installed.zip(known).is_some_and(|(entry, numbers)| {
                    entry.ring_digest.load() == part.ring_digest(ring_key, pool, &numbers)
                });
                if !same {
                    new_lines.push(part.ring_lines(pool));
                }
                renewed.push(!same);
            }
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
        Ok(renewed)
    }

    /// Whether what is to be laid down of clients fits beside all that is; nothing is written.
    pub(super) fn check_sources(&self, parts: &[Part<'_>]) -> Result<(), PlanError> {
        let wanted: usize = parts.iter().map(|part| sources::flattened(part.service).len()).sum();
        let fits = wanted == 0 || self.sources.len() + wanted <= self.sizes.sources as usize;
        if fits { Ok(()) } else { Err(PlanError::Full("source")) }
    }

    /// Numbers of the servers of each service, in its order; new ones are filled, old ones brought up to date. What is down
    /// gets no new flow from here on, long before the last ring is built.
    pub(super) fn place_all_servers(
        &mut self,
        tables: &impl Tables,
        wanted: &Wanted<'_>,
        parts: &[Part<'_>],
    ) -> Vec<Vec<u32>> {
        parts.iter().map(|part| self.place_servers(tables, wanted, part)).collect()
    }

    pub(super) fn place_servers(
        &mut self,
        tables: &impl Tables,
        wanted: &Wanted<'_>,
        part: &Part<'_>,
    ) -> Vec<u32> {
        let mut numbers = Vec::with_capacity(part.servers.len());
        for ((server, &identity), member) in part.service.servers.iter().zip(&part.servers).zip(&part.members)
        {
            let number = self.servers.get(&identity).copied().unwrap_or_else(|| {
                let number = self.free_servers.pop().expect("room was checked before anything was written");
                self.servers.insert(identity, number);
                entries::begin_server(tables.server(number).expect(OF_THE_TABLE), identity);
                number
            });
            let (wish, ruling) = (wanted.overrides.get(identity), wanted.rulings.server(identity));
            let link = wanted.links.get(&server.address);
            let sticky = server.sticky && part.service.keeps_clients(server.pool);
            let wanted = WantedServer { server, sticky, wish, ruling, weight: member.weight, link };
            entries::write_server(tables.server(number).expect(OF_THE_TABLE), &wanted);
            numbers.push(number);
        }
        numbers
    }

    pub(super) fn remember_places(&mut self, parts: &[Part<'_>], servers: &[Vec<u32>]) {
        self.places.clear();
        self.by_address.clear();
        self.service_places.clear();
        for (part, numbers) in parts.iter().zip(servers) {
            let (cluster, service) = part.place;
            self.service_places.insert(part.identity(), part.place);
            for (server, &number) in numbers.iter().enumerate() {
                self.places.insert(number, Place { cluster, service, server });
                self.by_address.entry(part.service.servers[server].address).or_default().push(number);
            }
        }
    }

    /// Numbers of the entries of each service's pools, the main one's first; new ones are begun.
    pub(super) fn place_all_services(&mut self, tables: &impl Tables, parts: &[Part<'_>]) -> Vec<Vec<u32>> {
        let mut place = |identity: u64| {
            self.services.get(&identity).copied().unwrap_or_else(|| {
                let number = self.free_services.pop().expect("room was checked before anything was written");
                self.services.insert(identity, number);
                entries::begin_service(tables.service(number).expect(OF_THE_TABLE), identity);
                number
            })
        };
        parts.iter().map(|part| part.pools.iter().map(|pool| place(pool.identity)).collect()).collect()
    }

    /// Builds the rings that are to be renewed, service by service, and lets go the flows of each one's servers that went
    /// down; returns the lines of the old rings.
    pub(super) fn place_rings(
        &mut self,
        tables: &impl Tables,
        wanted: &Wanted<'_>,
        parts: &[Part<'_>],
        renewed: Vec<bool>,
        servers: &[Vec<u32>],
        pools: &[Vec<u32>],
    ) -> Vec<(u32, u32)> {
        let ring_key = wanted.key.ring_key();
        let mut renewed = renewed.into_iter();
        let mut old_rings = Vec::new();
        for ((part, servers), numbers) in parts.iter().zip(servers).zip(pools) {
            for ((pool, &number), renewed) in part.pools.iter().zip(numbers).zip(&mut renewed) {
                if renewed {
                    let of_pool: Vec<_> = pool.servers.iter().map(|&at| servers[at]).collect();
                    let digest = part.ring_digest(&ring_key, pool, &of_pool);
                    let slots = part.ring(&ring_key, pool);
                    let entry = tables.service(number).expect(OF_THE_TABLE);
                    old_rings.extend(self.place_ring(tables, entry, &slots, &of_pool, digest));
                }
            }
            for (&identity, &number) in part.servers.iter().zip(servers) {
                entries::release(tables.server(number).expect(OF_THE_TABLE), wanted.rulings.server(identity));
            }
        }
        old_rings
    }

    /// Writes a new ring into free lines and switches to it in one word; returns the lines of the old one.
    pub(super) fn place_ring(
        &mut self,
        tables: &impl Tables,
        entry: &ServiceEntry,
        slots: &[u16],
        numbers: &[u32],
        digest: u64,
    ) -> Option<(u32, u32)> {
        let old = entry.ring.load();
        let count = lines(slots.len() as u32);
        let first = self.room.reserve(count).expect("room was checked before anything was written");
        for (at, chunk) in slots.chunks(RING_LINE_SLOTS as usize).enumerate() {
            let line = tables.ring_line(first + at as u32).expect(OF_THE_TABLE);
            for (pair, two) in line.pairs.iter().zip(chunk.chunks(2)) {
                let number =
                    |slot: Option<&u16>| slot.map_or(0, |&member| u64::from(numbers[usize::from(member)]));
                pair.store(number(two.first()) | number(two.get(1)) << 32);
            }
        }
        // Whoever is killed here leaves a ring that is built anew.
        entry.ring_digest.store(0);
        entry.ring.store(u64::from(first) | (slots.len() as u64) << 32);
        entry.ring_digest.store(digest);
        let old_lines = lines((old >> 32) as u32);
        (old_lines > 0).then_some((old as u32, old_lines))
    }

    /// Lays down what the lists and rules of services say of clients.
    pub(super) fn lay_down(
        &mut self,
        tables: &impl Sources,
        parts: &[Part<'_>],
        pools: &[Vec<u32>],
    ) -> Result<(), PlanError> {
        let mut wanted = BTreeMap::new();
        for (part, pools) in parts.iter().zip(pools) {
            let laid_down = sources::flattened(part.service).into_iter();
            wanted.extend(laid_down.map(|(net, laid)| (net.key(pools[0]), sources::word(laid, pools))));
        }
        let kept: HashSet<_> = pools.iter().flatten().copied().collect();
        sources::write(tables, &mut self.sources, &wanted, |number| kept.contains(&number))
    }

    pub(super) fn retire_service(&mut self, tables: &impl Tables, identity: u64, number: u32) {
        self.services.remove(&identity);
        if let Some(entry) = tables.service(number) {
            let ring = entries::retire_service(entry);
            self.room.give(ring as u32, lines((ring >> 32) as u32));
        }
        self.free_services.push(number);
    }

    pub(super) fn retire_server(&mut self, tables: &impl Tables, identity: u64, number: u32) {
        self.servers.remove(&identity);
        if let Some(entry) = tables.server(number) {
            entries::retire_server(entry);
        }
        self.free_servers.push(number);
    }
}

/// Which pool new flows of each service go to: its ring stands, and is switched to in one word.
pub(super) fn write_pools(tables: &impl Tables, wanted: &Wanted<'_>, parts: &[Part<'_>], pools: &[Vec<u32>]) {
    for (part, numbers) in parts.iter().zip(pools) {
        let in_force = match wanted.rulings.pool(part.identity()) {
            0 => 0,
            pool => numbers.get(usize::from(pool)).map_or(0, |&number| u64::from(number) + 1),
        };
        if let Some(entry) = tables.service(numbers[0]) {
            entry.pool.store(in_force);
        }
    }
}
