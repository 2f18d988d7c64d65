//! One service of the site, as the tables are to have it: its pools, its servers' weights in force, its rings.

use super::identity::{self, Names};
use super::{Wanted, lines};
use crate::model::{Cluster, Select, Server, Service};
use crate::ring::{self, Member, RingKey};

/// One service of the site, with what it and its servers are called in the tables.
pub(super) struct Part<'a> {
    /// Index of the cluster in the site, and of the service in the cluster.
    pub(super) place: (usize, usize),
    pub(super) service: &'a Service,
    /// What its clients are remembered under.
    pub(super) clients: u64,
    /// In the order of the service's servers.
    pub(super) servers: Vec<u64>,
    /// In the same order, with the weights in force.
    pub(super) members: Vec<Member<'a>>,
    /// The main one, then the further ones in their order.
    pub(super) pools: Vec<Pool>,
}

/// The servers of a service that share a ring.
pub(super) struct Pool {
    /// What its service entry is called: of the main pool, as the service.
    pub(super) identity: u64,
    /// Indices of its servers in the service, or of those that stand in for them ([`Service::stand_in`]): its clients find
    /// them in its ring, and no packet has to ask twice.
    pub(super) servers: Vec<usize>,
}

/// Every service of these clusters.
pub(super) fn parts<'a>(wanted: &Wanted<'a>, clusters: &[(usize, &'a Cluster)]) -> Vec<Part<'a>> {
    let of_cluster = |&(index, cluster): &(usize, &'a Cluster)| {
        (0..cluster.services.len()).map(move |service| part(wanted, (index, service), cluster))
    };
    clusters.iter().flat_map(of_cluster).collect()
}

/// One service of a cluster; names are hashed here and nowhere else in an apply.
pub(super) fn part<'a>(wanted: &Wanted<'a>, place: (usize, usize), cluster: &'a Cluster) -> Part<'a> {
    let service = &cluster.services[place.1];
    let names = Names::of(cluster, service);
    let servers: Vec<_> = service.servers.iter().map(|server| names.server(server)).collect();
    let member = |(server, &identity): (&'a Server, &u64)| Member {
        name: &server.name,
        weight: wanted.rulings.server(identity).weight_of(server, wanted.overrides.get(identity)),
    };
    let members: Vec<_> = service.servers.iter().zip(&servers).map(member).collect();
    let group = service.affinity.as_ref().and_then(|affinity| affinity.group.as_deref());
    let clients = group.map_or(names.service(), |group| identity::clients(cluster, group));
    let identities =
        std::iter::once(names.service()).chain(service.pools.iter().map(|name| names.pool(name)));
    let of_pool =
        |number: u8| (0..service.servers.len()).filter(move |&at| service.servers[at].pool == number);
    let in_force = wanted.rulings.pool(names.service());
    let pool = |(number, identity): (u8, u64)| {
        let members: &[Member<'_>] = &members;
        let stand_in =
            service.stand_in(number, in_force, |pool| of_pool(pool).any(|at| members[at].weight > 0));
        Pool { identity, servers: of_pool(stand_in.unwrap_or(number)).collect() }
    };
    let pools = (0..).zip(identities).map(pool).collect();
    Part { place, service, clients, servers, members, pools }
}

impl<'a> Part<'a> {
    /// What the service is called.
    pub(super) fn identity(&self) -> u64 {
        self.pools[0].identity
    }

    fn members_of(&self, pool: &Pool) -> Vec<Member<'a>> {
        pool.servers.iter().map(|&at| self.members[at]).collect()
    }

    /// Lines of a pool's ring: none if no server may get new flows.
    pub(super) fn ring_lines(&self, pool: &Pool) -> u32 {
        let anybody = pool.servers.iter().any(|&at| self.members[at].weight > 0);
        if anybody { lines(self.service.ring_slots) } else { 0 }
    }

    /// Slot → index of the server in the pool.
    pub(super) fn ring(&self, key: &RingKey, pool: &Pool) -> Vec<u16> {
        let (slots, members) = (self.service.ring_slots, self.members_of(pool));
        match self.service.select {
            // Two candidates are two points of the same ring.
            Select::Hash | Select::LeastConnections => ring::build(key, slots, &members).slots,
            Select::RoundRobin => ring::build_in_turn(slots, &members).slots,
        }
    }

    /// Everything a ring's slots depend on: its members, its kind, and the numbers of its servers, in the order of the pool.
    pub(super) fn ring_digest(&self, key: &RingKey, pool: &Pool, numbers: &[u32]) -> u64 {
        let members = self.members_of(pool);
        let weighty = members.iter().zip(numbers).filter(|(member, _)| member.weight > 0);
        let mut takers: Vec<_> = weighty.map(|(member, &number)| (member.name, number)).collect();
        takers.sort_unstable();
        let mut bytes = vec![match self.service.select {
            Select::Hash | Select::LeastConnections => 0,
            Select::RoundRobin => 1,
        }];
        bytes.extend(takers.iter().flat_map(|(_, number)| number.to_le_bytes()));
        bytes.extend(ring::digest(key, self.service.ring_slots, &members).to_le_bytes());
        // 0 says that there is no ring.
        identity::leading_word(&blake3::hash(&bytes)) | 1
    }
}
