//! What the API tells about the node: the director's view and the data plane's readings side by side.

mod health;
mod twin;

use std::collections::HashMap;
use std::net::SocketAddr;

use geminus_api::{
    AgentsStatus, ClusterState, ClusterStatus, Counter, DataPlane, Failover, Fill, FlowRow, Flows,
    FlowsQuery, Role, ServerRow, ServerStatus, Servers, ServiceStatus, Standing, Status,
};
use geminus_core::agent::Counts;
use geminus_core::director::{Director, Instant};
use geminus_core::ha;
use geminus_core::model::{Cluster, Method, Select, Server, Service, Site};
use geminus_core::neighbour::{Mac, Reach, Route};
use geminus_core::plan::Place;
use geminus_dataplane::{FlowReading, Sent};
use geminus_packet::flow::State;
use geminus_packet::wire::number;

pub(crate) use self::health::pool_name;
use crate::agents::Agents;
use crate::pair::Pair;
use crate::plane::Plane;

/// Most flows that are sent in one answer.
const FLOWS_MOST: u32 = 100_000;

/// Flows sent where the client names no limit.
const FLOWS_USUAL: u32 = 1_000;

/// What does not change while the process lives, and what the clock says.
#[derive(Debug)]
pub(crate) struct Process<'a> {
    pub(crate) config: &'a std::path::Path,
    pub(crate) config_digest: &'a str,
    pub(crate) now: Instant,
    pub(crate) pair: Option<&'a Pair>,
    pub(crate) agents: &'a Agents,
}

/// The whole node.
pub(crate) fn status(director: &Director, plane: &mut Plane, process: &Process<'_>) -> Status {
    let node = director.node();
    Status {
        node: node.name.clone(),
        address: node.address,
        daemon_version: env!("CARGO_PKG_VERSION").to_owned(),
        pid: std::process::id(),
        uptime_seconds: process.now.elapsed().as_secs_f64(),
        config: process.config.display().to_string(),
        config_digest: process.config_digest.to_owned(),
        data_plane: data_plane(director, plane),
        clusters: clusters(director, plane, process.now),
        partners: twin::partners(director, process),
        reach: twin::reach(director),
        heartbeats: twin::heartbeats(director),
        agents: process.agents.counts().map(agents),
        counters: counters(plane),
    }
}

const fn agents((at, counts): (SocketAddr, Counts)) -> AgentsStatus {
    let Counts { accepted, challenged, unknown, malformed, flood, wrong_key, replayed } = counts;
    AgentsStatus { at, accepted, challenged, unknown, malformed, flood, wrong_key, replayed }
}

/// Every server of every service.
pub(crate) fn servers(director: &Director, plane: &mut Plane, now: Instant) -> Servers {
    let readings = readings(plane);
    let mut rows = Vec::new();
    for (cluster_index, cluster) in director.site().clusters.iter().enumerate() {
        for (service_index, service) in cluster.services.iter().enumerate() {
            for (server_index, server) in service.servers.iter().enumerate() {
                let place = Place { cluster: cluster_index, service: service_index, server: server_index };
                rows.push(ServerRow {
                    cluster: cluster.name.clone(),
                    protocol: service.protocol.word().to_owned(),
                    ports: service.ports.to_string(),
                    server: server_status(director, (cluster, service, server), readings.get(&place), now),
                });
            }
        }
    }
    Servers { servers: rows }
}

/// Remembered flows, the one with the newest packet first.
pub(crate) fn flows(director: &Director, plane: &mut Plane, query: &FlowsQuery) -> Flows {
    let site = director.site();
    let limit = query.limit.unwrap_or(FLOWS_USUAL).min(FLOWS_MOST) as usize;
    let (matched, readings) = plane.data().flows(limit, |flow| is_wanted(site, flow, query));
    Flows { flows: readings.iter().map(|flow| flow_row(site, flow)).collect(), matched }
}

fn is_wanted(site: &Site, flow: &FlowReading, query: &FlowsQuery) -> bool {
    let Some((cluster, _, server)) = at(site, &flow.place) else { return false };
    let client = flow.tuple.map(|(client, ..)| client.ip());
    query.cluster.as_ref().is_none_or(|name| *name == cluster.name)
        && query.server.as_ref().is_none_or(|name| *name == server.name)
        && query.client.is_none_or(|wanted| client == Some(wanted))
}

fn flow_row(site: &Site, flow: &FlowReading) -> FlowRow {
    let (cluster, server) = match at(site, &flow.place) {
        Some((cluster, _, server)) => (cluster.name.clone(), server.name.clone()),
        None => (String::new(), String::new()),
    };
    let protocol = flow.tuple.map_or("", |(.., protocol)| match protocol {
        number::TCP => "tcp",
        number::UDP => "udp",
        _ => "other",
    });
    FlowRow {
        protocol: protocol.to_owned(),
        client: flow.tuple.map(|(client, ..)| client),
        destination: flow.tuple.map(|(_, destination, _)| destination),
        cluster,
        server,
        state: state_word(flow.state).to_owned(),
        pinned: flow.pinned,
        idle_seconds: flow.idle.as_secs_f64(),
    }
}

const fn state_word(state: State) -> &'static str {
    match state {
        State::Closing => "closing",
        State::Reset => "reset",
        _ => "established",
    }
}

/// Where a place of the tables is in the site.
pub(crate) fn at<'a>(site: &'a Site, place: &Place) -> Option<(&'a Cluster, &'a Service, &'a Server)> {
    let cluster = site.clusters.get(place.cluster)?;
    let service = cluster.services.get(place.service)?;
    Some((cluster, service, service.servers.get(place.server)?))
}

fn data_plane(director: &Director, plane: &mut Plane) -> DataPlane {
    let info = plane.data().info();
    let [flows, provisional, affinity] =
        plane.data().fills().map(|fill| Fill { used: fill.used, slots: fill.slots });
    DataPlane {
        interface: director.node().interface.clone(),
        mode: info.attached.map_or("detached", |(_, mode)| mode.word()).to_owned(),
        program_id: info.program_id,
        program_digest: format!("{:016x}", info.program_tag),
        adopted: info.adopted,
        memory_bytes: info.memory_bytes,
        flows,
        provisional,
        affinity,
    }
}

fn clusters(director: &Director, plane: &mut Plane, now: Instant) -> Vec<ClusterStatus> {
    let readings = readings(plane);
    let cluster_status = |(index, cluster): (usize, &Cluster)| {
        let standing = director.standing(cluster);
        let lease = match standing.role {
            Some(_) => plane.lease_of(standing.group),
            None => std::time::Duration::ZERO,
        };
        ClusterStatus {
            name: cluster.name.clone(),
            addresses: cluster.addresses.clone(),
            state: if standing.active { ClusterState::Active } else { ClusterState::Standby },
            because: standing.because,
            role: match standing.role {
                Some(ha::Role::Primary) => Role::Primary,
                Some(ha::Role::Backup) => Role::Backup,
                None => Role::None,
            },
            standing: word(standing.standing),
            since_seconds: standing.since.map(|since| now.since(since).as_secs_f64()),
            group: standing.group,
            epoch: standing.epoch,
            partner: standing.partner,
            partner_standing: standing.partner_standing.map(word),
            waiting: standing.waiting,
            failover: standing
                .failover
                .map(|failover| Failover { ready: failover.ready, because: failover.because }),
            lease_remaining_ms: u64::try_from(lease.as_millis()).unwrap_or(u64::MAX),
            services: services(director, cluster, index, &readings, now),
        }
    };
    director.site().clusters.iter().enumerate().map(cluster_status).collect()
}

const fn word(standing: ha::Standing) -> Standing {
    match standing {
        ha::Standing::Starting => Standing::Starting,
        ha::Standing::Standby => Standing::Standby,
        ha::Standing::Suspecting => Standing::Suspecting,
        ha::Standing::Active => Standing::Active,
        ha::Standing::Yielding => Standing::Yielding,
    }
}

fn services(
    director: &Director,
    cluster: &Cluster,
    cluster_index: usize,
    readings: &HashMap<Place, Sent>,
    now: Instant,
) -> Vec<ServiceStatus> {
    let service_status = |(service_index, service): (usize, &Service)| ServiceStatus {
        protocol: service.protocol.word().to_owned(),
        ports: service.ports.to_string(),
        select: match service.select {
            Select::Hash => "hash",
            Select::RoundRobin => "round-robin",
            Select::LeastConnections => "least-connections",
        }
        .to_owned(),
        method: match service.method {
            Method::Mac => "mac",
        }
        .to_owned(),
        pools: health::pools(director, cluster, service, now),
        servers: (service.servers.iter().enumerate())
            .map(|(server, of)| {
                let place = Place { cluster: cluster_index, service: service_index, server };
                server_status(director, (cluster, service, of), readings.get(&place), now)
            })
            .collect(),
    };
    cluster.services.iter().enumerate().map(service_status).collect()
}

fn server_status(
    director: &Director,
    (cluster, service, server): (&Cluster, &Service, &Server),
    sent: Option<&Sent>,
    now: Instant,
) -> ServerStatus {
    let known = sent.is_some_and(|sent| sent.local || sent.mac.is_some());
    let health = health::Health::of(director, (cluster, service, server), known, now);
    ServerStatus {
        name: server.name.clone(),
        address: server.address,
        state: health.state,
        because: health.because.or_else(|| because(director, server, known)),
        findings: health.findings,
        pool: (server.pool > 0).then(|| pool_name(service, server.pool).to_owned()),
        check: health.check,
        weight: health.weight,
        weights: health.weights,
        configured_weight: server.weight,
        mac: sent.and_then(|sent| sent.mac).map(|mac| Mac(mac).to_string()),
        load: health.load,
        active: health.active,
        per_second: health.per_second,
        release_in_seconds: health.release_in_seconds,
        flows: sent.map_or(0, |sent| sent.flows),
        flows_begun: sent.map_or(0, |sent| sent.flows_begun),
        packets: sent.map_or(0, |sent| sent.packets),
        bytes: sent.map_or(0, |sent| sent.bytes),
    }
}

/// Why a server is reached in an odd way, or not at all.
fn because(director: &Director, server: &Server, known: bool) -> Option<String> {
    match (director.reach(server.address), director.route(server.address)) {
        (_, Some(Route::Via { gateway, .. })) => {
            Some(format!("not on the link but behind {gateway}, which method mac cannot cross"))
        }
        (_, Some(Route::Unreachable)) => Some("no route".to_owned()),
        (Some(Reach::Local), _) => Some("this machine".to_owned()),
        (None, Some(_)) if !known => Some("does not answer for its address".to_owned()),
        (Some(_) | None, _) => None,
    }
}

fn readings(plane: &mut Plane) -> HashMap<Place, Sent> {
    plane.data().servers().into_iter().map(|sent| (sent.place.clone(), sent)).collect()
}

fn counters(plane: &mut Plane) -> Vec<Counter> {
    let moved = plane.data().counters().into_iter().filter(|counter| counter.packets > 0);
    moved
        .map(|counter| Counter {
            class: counter.reason.class.word().to_owned(),
            reason: counter.reason.name.to_owned(),
            meaning: counter.reason.meaning.to_owned(),
            packets: counter.packets,
        })
        .collect()
}
