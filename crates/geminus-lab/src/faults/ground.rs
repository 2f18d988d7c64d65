//! What a case stands on: a pair of dispatchers under load, and the sum of what its clients met.

use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, Result, bail};
use geminus_api::ClusterState;

use super::cut::Cuts;
use crate::HTTP;
use crate::balanced::binary_under_test;
use crate::observer::{Holders, Observer};
use crate::pair::{SiteFile, Topology};
use crate::site::{Addresses, Family};
use crate::traffic::crowd::{self, Crowd, LiveCrowd};
use crate::traffic::steady::{Course, Gap, Steady};
use crate::twins::{SETTLED, Twin, Twins};

/// How a run is sized.
#[derive(Debug, Clone)]
pub struct Ground {
    /// The binary under test.
    pub binary: PathBuf,
    /// Sizes as the fault list has them, instead of those that fit into minutes.
    pub full: bool,
    /// As few and as short as still tells something: for the test floor.
    pub quick: bool,
}

impl Ground {
    /// The ground of the test floor.
    ///
    /// # Errors
    /// When there is no binary to test.
    pub fn quick() -> Result<Self> {
        Ok(Self { binary: binary_under_test()?, full: false, quick: true })
    }

    /// How often something is done.
    pub fn times(&self, short: u32, full: u32) -> u32 {
        match self {
            Self { full: true, .. } => full,
            Self { quick: true, .. } => short.div_ceil(3),
            _ => short,
        }
    }

    /// How long something goes on, in seconds.
    pub fn seconds(&self, short: u64, full: u64) -> Duration {
        Duration::from_secs(if self.full { full } else { short })
    }

    /// A pair in its normal state, with complete replication.
    ///
    /// # Errors
    /// When it does not come to its normal state.
    pub fn scene(&self, topology: Topology, tune: impl FnOnce(&mut SiteFile)) -> Result<Scene> {
        let mut scene = self.prepare(topology, tune)?;
        scene.twins.start_both()?;
        Ok(scene)
    }

    /// A pair whose daemons have not been started.
    ///
    /// # Errors
    /// When the site cannot be built.
    pub fn prepare(&self, topology: Topology, tune: impl FnOnce(&mut SiteFile)) -> Result<Scene> {
        let twins = Twins::prepare_with(&self.binary, topology, 3, tune)?;
        let cuts = Cuts::of(&twins)?;
        Ok(Scene { cuts, twins })
    }

    /// Connections that are open during a case.
    pub fn connections(&self) -> usize {
        match self {
            Self { full: true, .. } => 1000,
            Self { quick: true, .. } => 100,
            _ => 250,
        }
    }
}

/// A pair, and what can be done to it.
#[derive(Debug)]
pub struct Scene {
    /// Cuts.
    pub cuts: Cuts,
    /// The pair.
    pub twins: Twins,
}

/// Clients of one cluster.
#[derive(Debug)]
pub struct Load {
    crowd: LiveCrowd,
    probes: [Steady; 2],
    observer: Observer,
}

/// What the clients of one cluster met.
#[derive(Debug)]
pub struct Toll {
    /// Long-lived connections.
    pub crowd: crowd::Toll,
    /// The stream of each family, IPv4 first.
    pub courses: [Course; 2],
    /// Who answered on the LAN.
    pub holders: Holders,
}

impl Scene {
    /// Waits until every cluster has one active node whose partner could take over without a loss.
    ///
    /// # Errors
    /// When that does not come to be.
    pub fn wait_ready(&self) -> Result<()> {
        self.twins.wait_ready()
    }

    /// Who is active for a cluster.
    ///
    /// # Errors
    /// When it is not exactly one.
    pub fn active(&self, cluster: &str) -> Result<Twin> {
        match self.twins.who_is_active(cluster)[..] {
            [one] => Ok(one),
            _ => bail!("not one is active for {cluster}: {}", self.twins.account()),
        }
    }

    /// How often a cluster's group has been taken over, as far as anyone knows.
    pub fn epoch(&self, cluster: &str) -> u64 {
        let of = |twin| {
            let status = self.twins.status(twin).ok()?;
            status.clusters.iter().find(|known| known.name == cluster).map(|known| known.epoch)
        };
        Twin::BOTH.into_iter().filter_map(of).max().unwrap_or_default()
    }

    /// Clients of a cluster: long connections and a stream of so many packets a second in each family.
    ///
    /// # Errors
    /// When they are not answered.
    pub fn load(&self, cluster: Addresses, connections: usize, per_second: u32) -> Result<Load> {
        let targets = Family::BOTH.map(|family| (cluster.of(family), HTTP).into());
        let crowd = Crowd::open(&self.twins.site.client, &targets, connections)?;
        // What was just opened must be replicated before anything is cut: 20 ms, and a busy machine's share.
        std::thread::sleep(Duration::from_millis(300));
        Ok(Load {
            crowd: crowd.live(Duration::from_secs(1)),
            probes: self.twins.probe(cluster, per_second)?,
            observer: Observer::start(&self.twins.site, cluster)?,
        })
    }

    /// The same for `shop`, sized by the ground.
    ///
    /// # Errors
    /// When they are not answered.
    pub fn usual_load(&self, ground: &Ground) -> Result<Load> {
        self.load(self.twins.shop(), ground.connections(), 1000)
    }

    /// Waits until a node's partner is active, whatever the node itself says, and returns it.
    ///
    /// # Errors
    /// When it does not come to be.
    pub fn wait_taken_over(&self, from: Twin, cluster: &str) -> Result<Twin> {
        let to = from.other();
        self.twins.wait_until(&format!("{} takes {cluster} over", to.name()), SETTLED, |twins| {
            twins.state(to, cluster) == Some(ClusterState::Active)
        })?;
        Ok(to)
    }

    /// Waits for an event of one of these kinds that is newer than `after`, and returns how long after the moment
    /// `since` it happened.
    ///
    /// # Errors
    /// When none comes.
    pub fn wait_event(&self, twin: Twin, kinds: &[&str], since: SystemTime) -> Result<Duration> {
        let since_ms = since.duration_since(SystemTime::UNIX_EPOCH)?.as_millis() as u64;
        let begun = Instant::now();
        loop {
            let events = self.twins.events(twin);
            let found =
                events.iter().find(|event| event.unix_ms >= since_ms && kinds.contains(&&*event.kind));
            if let Some(event) = found {
                return Ok(Duration::from_millis(event.unix_ms - since_ms));
            }
            if begun.elapsed() > SETTLED {
                let told: Vec<_> = events.iter().map(|event| event.kind.as_str()).collect();
                bail!("{} told no {} but {told:?}", twin.name(), kinds.join(" or "));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Packets of a counter in a node's data plane, over all classes.
    ///
    /// # Errors
    /// When the daemon does not answer.
    pub fn counter(&self, twin: Twin, reason: &str) -> Result<u64> {
        let status = self.twins.status(twin)?;
        let of = status.counters.iter().filter(|counter| counter.reason == reason);
        Ok(of.map(|counter| counter.packets).sum())
    }
}

impl Load {
    /// Lets the clients finish.
    ///
    /// # Errors
    /// When one of them failed in itself.
    pub fn stop(self) -> Result<Toll> {
        let [v4, v6] = self.probes.map(Steady::stop);
        Ok(Toll { courses: [v4?, v6?], holders: self.observer.stop()?, crowd: self.crowd.stop()? })
    }
}

impl Toll {
    /// The longest gap of each family that began after a moment or spans it, and ended within `window` of it.
    pub fn gap_at(&self, moment: Instant, window: Duration) -> Duration {
        let near = |gap: &&Gap| gap.from + gap.length >= moment && gap.from <= moment + window;
        let longest = |course: &Course| course.gaps().iter().filter(near).map(|gap| gap.length).max();
        self.courses.iter().filter_map(longest).max().unwrap_or_default()
    }

    /// The longest gap of either family.
    pub fn gap(&self) -> Duration {
        self.courses.iter().map(Course::longest_gap).max().unwrap_or_default()
    }

    /// All gaps of the worse family together.
    pub fn gap_sum(&self) -> Duration {
        let sum = |course: &Course| course.gaps().iter().map(|gap| gap.length).sum::<Duration>();
        self.courses.iter().map(sum).max().unwrap_or_default()
    }

    /// Packets lost in both families.
    pub fn lost_packets(&self) -> usize {
        self.courses.iter().map(Course::lost).sum()
    }

    /// Packets sent in both families.
    pub fn packets(&self) -> usize {
        self.courses.iter().map(|course| course.sent.len()).sum()
    }

    /// Flows answered by more than one server.
    pub fn moved(&self) -> usize {
        self.courses.iter().map(|course| course.moved_flows).sum()
    }

    /// The longest time in which the lab itself sent nothing.
    pub fn hiccup(&self) -> Duration {
        self.courses.iter().map(Course::longest_hiccup).max().unwrap_or_default()
    }
}

/// The value below which this part of all values lies (nearest rank).
///
/// # Errors
/// When there is none.
pub fn quantile(values: &[Duration], part: f64) -> Result<Duration> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    let rank = (part * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied().context("no values")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_one_of_the_values() {
        let values: Vec<Duration> = (1..=10).rev().map(Duration::from_millis).collect();
        assert_eq!(quantile(&values, 0.5).unwrap(), Duration::from_millis(5));
        assert_eq!(quantile(&values, 0.99).unwrap(), Duration::from_millis(10));
        assert!(quantile(&[], 0.5).is_err());
    }
}
