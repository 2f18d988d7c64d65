//! Which dispatcher the clients' packets go to, counted in the switch ten times a second.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::demo::story::Served;
use crate::namespace::Namespace;
use crate::site::Addresses;
use crate::traffic::Stop;
use crate::twins::Twin;
use crate::undo::lock;

const EVERY: Duration = Duration::from_millis(100);
const TABLE: &str = "acts";

/// Counts until stopped.
#[derive(Debug)]
pub(super) struct Meter {
    stop: Arc<Stop>,
    readings: Arc<Mutex<Vec<Reading>>>,
    thread: JoinHandle<()>,
    lanes: Vec<Lane>,
}

/// What one dispatcher gets for one cluster.
#[derive(Debug, Clone, Copy)]
struct Lane {
    twin: Twin,
    cluster: &'static str,
}

#[derive(Debug)]
struct Reading {
    at: Duration,
    packets: BTreeMap<String, u64>,
}

impl Meter {
    /// Begins; times count from `clock`.
    pub(super) fn start(
        switch: &Namespace,
        clusters: &[(&'static str, Addresses)],
        clock: Instant,
    ) -> Result<Self> {
        switch.feed("nft", &["-f", "-"], &table(clusters))?;
        let (stop, readings) = <(Arc<Stop>, Arc<Mutex<Vec<Reading>>>)>::default();
        let (told, into, switch) = (Arc::clone(&stop), Arc::clone(&readings), switch.clone());
        let thread = std::thread::spawn(move || {
            while !told.told() {
                // One reading that fails is a wider step in the chart.
                if let Ok(packets) = read(&switch) {
                    lock(&into).push(Reading { at: clock.elapsed(), packets });
                }
                std::thread::sleep(EVERY);
            }
        });
        let lanes = lanes(clusters);
        Ok(Self { stop, readings, thread, lanes })
    }

    /// Packets a second of each dispatcher and cluster.
    pub(super) fn stop(self) -> Vec<Served> {
        self.stop.tell();
        // A panic there has already been printed; what was read until then is still true.
        let _ = self.thread.join();
        let readings = lock(&self.readings);
        self.lanes.iter().map(|lane| lane.served(&readings)).collect()
    }
}

impl Lane {
    fn counter(self) -> String {
        format!("{}_{}", self.twin.name(), self.cluster)
    }

    fn served(self, readings: &[Reading]) -> Served {
        let name = self.counter();
        let of = |reading: &Reading| reading.packets.get(&name).copied().unwrap_or(0);
        let rate = |two: &[Reading]| {
            let seconds = (two[1].at - two[0].at).as_secs_f64().max(1e-3);
            (two[1].at, of(&two[1]).saturating_sub(of(&two[0])) as f64 / seconds)
        };
        Served {
            node: self.twin.name(),
            cluster: self.cluster,
            packets_per_second: readings.windows(2).map(rate).collect(),
        }
    }
}

fn lanes(clusters: &[(&'static str, Addresses)]) -> Vec<Lane> {
    let of = |twin: Twin| clusters.iter().map(move |&(cluster, _)| Lane { twin, cluster });
    Twin::BOTH.into_iter().flat_map(of).collect()
}

/// Only what comes from the router: what one dispatcher sends to the other as a server is no client's choice.
fn table(clusters: &[(&'static str, Addresses)]) -> String {
    let mut text = format!("table bridge {TABLE} {{\n");
    for lane in lanes(clusters) {
        let _ = writeln!(text, "  counter {} {{}}", lane.counter());
    }
    text.push_str("  chain ports {\n    type filter hook forward priority 0; policy accept;\n");
    for &(cluster, addresses) in clusters {
        for twin in Twin::BOTH {
            let name = Lane { twin, cluster }.counter();
            for to in [format!("ip daddr {}", addresses.v4), format!("ip6 daddr {}", addresses.v6)] {
                let port = twin.name();
                let _ = writeln!(text, "    iifname \"router\" oifname \"{port}\" {to} counter name {name}");
            }
        }
    }
    text.push_str("  }\n}\n");
    text
}

fn read(switch: &Namespace) -> Result<BTreeMap<String, u64>> {
    let listing = switch.run("nft", &["-j", "list", "counters", "table", "bridge", TABLE])?;
    let listing: Value = serde_json::from_str(&listing).context("nft printed something that is no JSON")?;
    let entries = listing.get("nftables").and_then(Value::as_array).context("nft listed nothing")?;
    let one = |entry: &Value| {
        let counter = entry.get("counter")?;
        Some((counter.get("name")?.as_str()?.to_owned(), counter.get("packets")?.as_u64()?))
    };
    Ok(entries.iter().filter_map(one).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_counted_between_two_readings_is_a_rate() {
        let reading = |at, packets| Reading {
            at: Duration::from_millis(at),
            packets: BTreeMap::from([("alpha_shop".to_owned(), packets)]),
        };
        let lane = Lane { twin: Twin::Alpha, cluster: "shop" };
        let served = lane.served(&[reading(0, 100), reading(100, 150), reading(300, 150)]);
        let wanted = [(Duration::from_millis(100), 500.0), (Duration::from_millis(300), 0.0)];
        assert_eq!(served.packets_per_second, wanted);
    }
}
