//! What the API tells of checks, weights, loads and pools.

use geminus_api::{
    CheckStatus, LoadStatus, PoolStatus, PoolsStatus, ServerState, WeightStatus, WishesStatus,
};
use geminus_core::director::{Director, Instant, ServerState as Found, ServerView, WishesView};
use geminus_core::model::{Cluster, MAIN_POOL, Server, Service, Via};
use geminus_core::plan::{server_identity, service_identity};

/// How one server is.
pub(super) struct Health {
    pub(super) state: ServerState,
    pub(super) because: Option<String>,
    pub(super) findings: Vec<String>,
    pub(super) check: Option<CheckStatus>,
    pub(super) weight: u16,
    pub(super) weights: WeightStatus,
    pub(super) load: Option<LoadStatus>,
    pub(super) active: Option<u64>,
    pub(super) per_second: Option<u64>,
    pub(super) release_in_seconds: Option<f64>,
}

impl Health {
    /// `known`: its hardware address is.
    pub(super) fn of(
        director: &Director,
        (cluster, service, server): (&Cluster, &Service, &Server),
        known: bool,
        now: Instant,
    ) -> Self {
        match director.server_view(server_identity(cluster, service, server)) {
            Some(view) => Self::from_view(view, service, known, now),
            None => Self::elsewhere(server, known),
        }
    }

    fn from_view(view: ServerView, service: &Service, known: bool, now: Instant) -> Self {
        let weight = view.weight.in_force.div_ceil(view.weight.unit.max(1));
        let state = match view.state {
            Found::Drained => ServerState::Draining,
            Found::Released => ServerState::Released,
            Found::Resting => ServerState::Resting,
            Found::Down => ServerState::Down,
            _ if !known => ServerState::Unresolved,
            _ if weight == 0 => ServerState::Draining,
            Found::Up | Found::Unchecked => ServerState::Up,
            Found::Checking => ServerState::Checking,
            Found::Panic => ServerState::Panic,
        };
        let check = service.check.as_ref().map(|check| CheckStatus {
            advisor: check.advisor.word().to_owned(),
            via: match check.via {
                Via::Path => "path",
                Via::Server => "server",
            }
            .to_owned(),
            since_seconds: now.since(view.since).as_secs_f64(),
            readings: view.readings,
            latency_ms: view.latency.map(|latency| latency.as_secs_f64() * 1000.0),
            certificate_days: view.certificate.map(|seconds| seconds as f64 / 86_400.0),
        });
        Self {
            state,
            because: (!view.reason.is_empty()).then_some(view.reason),
            findings: view.findings,
            check,
            weight,
            weights: WeightStatus {
                in_force: view.weight.in_force,
                unit: view.weight.unit,
                ordered: view.weight.ordered,
                managed: view.weight.managed,
                wishes: wishes(view.weight.wishes),
                slow_start_percent: view.weight.slow_start,
            },
            load: view.load.map(|load| LoadStatus { load, parts: view.load_parts.into_iter().collect() }),
            active: view.active,
            per_second: view.rate,
            release_in_seconds: view.deadline.map(|deadline| deadline.since(now).as_secs_f64()),
        }
    }

    /// A server of a cluster that this node has no role in.
    fn elsewhere(server: &Server, known: bool) -> Self {
        Self {
            state: if known { ServerState::Up } else { ServerState::Unresolved },
            because: Some("this node is no node of the cluster".to_owned()),
            findings: Vec::new(),
            check: None,
            weight: server.weight,
            weights: WeightStatus { in_force: server.weight, unit: 1, ..WeightStatus::default() },
            load: None,
            active: None,
            per_second: None,
            release_in_seconds: None,
        }
    }
}

/// What the manager's inputs said, if any of them said something.
fn wishes(view: WishesView) -> Option<WishesStatus> {
    let WishesView { active, new, latency, load } = view;
    (view != WishesView::default()).then_some(WishesStatus { active, new, latency, load })
}

/// What a pool is called.
pub(crate) fn pool_name(service: &Service, pool: u8) -> &str {
    let further = usize::from(pool).checked_sub(1);
    further.and_then(|at| service.pools.get(at)).map_or(MAIN_POOL, String::as_str)
}

/// Which pool of a service is in force, and how each is.
pub(super) fn pools(director: &Director, cluster: &Cluster, service: &Service, now: Instant) -> PoolsStatus {
    let Some(view) = director.pool_view(service_identity(cluster, service)) else {
        return PoolsStatus { in_force: MAIN_POOL.to_owned(), ..PoolsStatus::default() };
    };
    let pool = |pool: geminus_core::director::PoolView| PoolStatus {
        name: if pool.name.is_empty() { MAIN_POOL.to_owned() } else { pool.name },
        up: pool.up as u64,
        servers: pool.servers as u64,
        healthy_percent: pool.healthy,
        panic: pool.panic,
        stand_in: pool.stand_in.map(|pool| pool_name(service, pool).to_owned()),
        active: pool.active,
        per_second: pool.rate,
    };
    PoolsStatus {
        in_force: pool_name(service, view.in_force).to_owned(),
        because: view.because,
        since_seconds: now.since(view.since).as_secs_f64(),
        pools: view.pools.into_iter().map(pool).collect(),
    }
}
