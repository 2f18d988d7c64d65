//! How servers and pools are: what checks, the manager, agents and rules made of them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What the checks of one server say.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CheckStatus {
    /// The advisor: `tcp`, `http`, …
    pub advisor: String,
    /// `path`: by the clients' road; `server`: straight to its own address.
    pub via: String,
    /// Seconds since the state is what it is.
    pub since_seconds: f64,
    /// Checks that agreed since the last that did not.
    pub readings: u32,
    /// How long its checks take, smoothed, milliseconds; none: none was good so far.
    pub latency_ms: Option<f64>,
    /// Days until the certificate that it shows expires, negative if it has; none: it shows none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_days: Option<f64>,
}

/// A weight, and what made it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct WeightStatus {
    /// In force, in units that are the same for all servers of the pool. 0: no new flows.
    pub in_force: u16,
    /// How many of these units make one of the configuration's.
    pub unit: u16,
    /// As an operator ordered; none: nobody did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ordered: Option<u16>,
    /// As the manager finds right, in the units of `in_force`; none: it does not care for this server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub managed: Option<u16>,
    /// What the manager's inputs said of it; none: they said nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wishes: Option<WishesStatus>,
    /// Percent of it in force while a recovered server starts slowly; none: it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slow_start_percent: Option<u8>,
}

/// What each input of the manager alone would have made of a weight in its last cycle, in the configuration's weights. None:
/// the input said nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct WishesStatus {
    /// The flows that it holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active: Option<f64>,
    /// The flows that it got.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new: Option<f64>,
    /// How long its checks take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency: Option<f64>,
    /// The load that its agent reports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub load: Option<f64>,
}

/// How loaded a host is, as its agent says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LoadStatus {
    /// 0 idle, 1 000 all it has to give; above: more than that is asked of it.
    pub load: u16,
    /// What it is made of, by name.
    pub parts: std::collections::BTreeMap<String, u32>,
}

/// Which pool of a service gets its new flows, and how its pools are.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PoolsStatus {
    /// Name of the pool in force; `main` unless a rule says otherwise.
    pub in_force: String,
    /// Why, in words; empty where it is the main one.
    pub because: String,
    /// Seconds since it is.
    pub since_seconds: f64,
    /// Every pool, the main one first.
    pub pools: Vec<PoolStatus>,
}

/// How one pool is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PoolStatus {
    /// Its name.
    pub name: String,
    /// Servers that are up and get new flows.
    pub up: u64,
    /// All of its servers.
    pub servers: u64,
    /// Percent of its weight that is healthy; drained and resting servers do not count.
    pub healthy_percent: u8,
    /// Whether health is ignored in it, because too little of it is well.
    pub panic: bool,
    /// The pool whose servers its clients get while none of its own is up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stand_in: Option<String>,
    /// Active flows of all its servers, where they are counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active: Option<u64>,
    /// New flows a second to all its servers, where they are counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_second: Option<u64>,
}
