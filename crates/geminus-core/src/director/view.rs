//! What is shown of servers and pools.

use std::time::Duration;

use super::{Director, Instant, orders};
use crate::model::Condition;
use crate::plan::{server_identity, service_identity};

/// What a server is at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ServerState {
    /// Its checks are good.
    Up,
    /// Its checks fail; it gets nothing.
    Down,
    /// It gets flows, and its checks have not said anything yet.
    Checking,
    /// It is not checked, and gets flows.
    Unchecked,
    /// Its checks fail, and it gets flows all the same: too little of its pool is well.
    Panic,
    /// No new flows for now: maintenance, or its agent said that it is about to stop.
    Resting,
    /// No new flows: an operator said so.
    Drained,
    /// Drained, and its time is over: its flows have gone to others.
    Released,
}

impl ServerState {
    /// The word used in output.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
            Self::Checking => "checking",
            Self::Unchecked => "unchecked",
            Self::Panic => "panic",
            Self::Resting => "resting",
            Self::Drained => "drained",
            Self::Released => "released",
        }
    }
}

/// Everything that is known of one server behind one service.
#[derive(Debug, Clone, PartialEq)]
pub struct ServerView {
    /// What it is.
    pub state: ServerState,
    /// Since when.
    pub since: Instant,
    /// Why, in words; empty: there is nothing to say.
    pub reason: String,
    /// How long its checks take, smoothed; none: not checked, or no check was good so far.
    pub latency: Option<Duration>,
    /// Its weight, and what made it.
    pub weight: WeightView,
    /// Flows of it that are remembered and live, when they are counted.
    pub active: Option<u64>,
    /// New flows a second, when they are counted.
    pub rate: Option<u64>,
    /// How loaded its host is, 0 to 1 000 and above, while its agent reports.
    pub load: Option<u16>,
    /// What the load is made of, as its agent says.
    pub load_parts: Vec<(String, u32)>,
    /// What is wrong with its set-up, and the way out: one line each.
    pub findings: Vec<String>,
    /// Seconds until the certificate that it shows expires, negative if it has; none: it showed none.
    pub certificate: Option<i64>,
    /// How many of its checks failed, or were good, since it was last otherwise.
    pub readings: u32,
    /// When a drained server's flows go to others; none: never.
    pub deadline: Option<Instant>,
}

/// A weight, and what made it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WeightView {
    /// In force, in units that are the same for all servers of its pool. 0: no new flows.
    pub in_force: u16,
    /// How many of these units make one of the configuration's; more than 1 while weights are finer than those.
    pub unit: u16,
    /// As the configuration says.
    pub configured: u16,
    /// As an operator ordered.
    pub ordered: Option<u16>,
    /// As the manager finds right, in the units of `in_force`; none: it does not care for this server.
    pub managed: Option<u16>,
    /// Percent of it in force while a recovered server starts slowly; none: it does not.
    pub slow_start: Option<u8>,
}

/// Which pool of a service gets its new flows, and how its pools are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceView {
    /// Index of the pool in force: 0 the main one.
    pub in_force: u8,
    /// Since when.
    pub since: Instant,
    /// Why, in words: the rule that holds, or the sorry pool.
    pub because: String,
    /// Its pools, the main one first.
    pub pools: Vec<PoolView>,
    /// The first rule that holds, those about clients left out; none: none does.
    pub rule: Option<Condition>,
}

/// How one pool is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolView {
    /// Its name; empty: the main one.
    pub name: String,
    /// Servers that are up and get new flows.
    pub up: usize,
    /// All of its servers.
    pub servers: usize,
    /// Percent of its weight that is healthy; drained and resting servers do not count.
    pub healthy: u8,
    /// Whether health is ignored in it, because too little of it is well.
    pub panic: bool,
    /// Active flows of all its servers, when they are counted.
    pub active: Option<u64>,
    /// New flows a second to all its servers, when they are counted.
    pub rate: Option<u64>,
}

impl Director {
    /// What is known of a server, by [`crate::plan::server_identity`]; none: it is not one of this node's.
    pub fn server_view(&self, identity: u64) -> Option<ServerView> {
        let (_, _, server) = orders::servers(&self.site, &self.node.name)
            .find(|&(cluster, service, server)| server_identity(cluster, service, server) == identity)?;
        let wish = self.overrides.get(identity);
        Some(ServerView {
            state: if wish.drained { ServerState::Drained } else { ServerState::Unchecked },
            since: Instant::START,
            reason: String::new(),
            latency: None,
            weight: WeightView {
                in_force: wish.weight_of(server),
                unit: 1,
                configured: server.weight,
                ordered: wish.weight,
                managed: None,
                slow_start: None,
            },
            active: None,
            rate: None,
            load: None,
            load_parts: Vec::new(),
            findings: Vec::new(),
            certificate: None,
            readings: 0,
            deadline: None,
        })
    }

    /// How the pools of a service are, by [`crate::plan::service_identity`]; none: it is not one of this node's.
    pub fn pool_view(&self, service: u64) -> Option<ServiceView> {
        let ours = self.site.clusters.iter().filter(|cluster| cluster.is_of(&self.node.name));
        let (_, found) = ours
            .flat_map(|cluster| cluster.services.iter().map(move |service| (cluster, service)))
            .find(|&(cluster, one)| service_identity(cluster, one) == service)?;
        let pool = |number: u8, name: &str| {
            let of_pool = || found.servers.iter().filter(move |server| server.pool == number);
            let up = of_pool().filter(|server| server.weight > 0).count();
            PoolView {
                name: name.to_owned(),
                up,
                servers: of_pool().count(),
                healthy: 100,
                panic: false,
                active: None,
                rate: None,
            }
        };
        let further = (1..).zip(&found.pools).map(|(number, name)| pool(number, name));
        Some(ServiceView {
            in_force: 0,
            since: Instant::START,
            because: String::new(),
            pools: std::iter::once(pool(0, "")).chain(further).collect(),
            rule: None,
        })
    }
}
