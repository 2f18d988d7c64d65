//! The site with everything that runs on it while the scenes are played.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use crate::HTTP;
use crate::balanced::Balanced;
use crate::measure::Carried;
use crate::site::{Family, Machine};
use crate::traffic::keepers::{self, Keepers, Kept};
use crate::traffic::visitors::Visitors;
use crate::traffic::{Recorder, Tally, cluster};

use super::Options;
use super::promise::Promise;
use super::sampler::Sampler;
use super::story::{About, Mark, Restart, Share, Story};

/// Weights of web1, web2 and web3; web4 waits outside.
const WEIGHTS: [u16; 3] = [10, 20, 30];
/// New connections a second and family, all the time.
const VISITORS: u32 = 100;
/// Connections in each family that stay open all the time.
const KEEPERS: usize = 20;
/// Requests a second and family to the plain server on the node's own address.
const NEIGHBOURS: u32 = 20;

pub(super) struct Stage {
    // Clients end before the daemon, the daemon before the site.
    visitors: Option<Visitors>,
    keepers: Option<Keepers>,
    neighbours: Option<Visitors>,
    pub(super) sampler: Sampler,
    pub(super) ground: Balanced,
    /// The content host that is in no service yet.
    pub(super) spare: Machine,
    pub(super) fast: bool,
    arrivals: Arc<Recorder>,
    stayers: Arc<Recorder>,
    begun: Instant,
    about: About,
    marks: Vec<Mark>,
    pub(super) shares: Vec<Share>,
    pub(super) carried: Vec<(Family, Carried)>,
    pub(super) restart: Restart,
    /// Requests answered and lost by clients that came for one scene only.
    pub(super) requests: (u64, u64),
}

impl Stage {
    /// Builds the site, starts the daemon and lets the clients in.
    pub(super) fn build(options: &Options) -> Result<Self> {
        let begun = Instant::now();
        let mut ground = Balanced::prepare_with(&options.geminus, 4)?;
        let (spare, _) = ground.wanted.servers.pop().context("four content hosts were built")?;
        for ((_, weight), wish) in ground.wanted.servers.iter_mut().zip(WEIGHTS) {
            *weight = wish;
        }
        ground.balancer.configure(&ground.wanted)?;
        let own = Family::BOTH.map(|family| (ground.dispatcher().addresses.of(family), HTTP).into());
        let neighbours = Visitors::start(ground.client(), &own, NEIGHBOURS, &Arc::new(Recorder::begin()))?;
        ground.balancer.start()?;
        let (arrivals, stayers) = (Arc::new(Recorder::begin()), Arc::new(Recorder::begin()));
        let sampler = Sampler::start(Instant::now());
        let targets = Family::BOTH.map(|family| cluster(family, HTTP));
        let mut stage = Self {
            keepers: Some(Keepers::start(ground.client(), &targets, KEEPERS, &stayers)?),
            visitors: Some(Visitors::start(ground.client(), &targets, VISITORS, &arrivals)?),
            neighbours: Some(neighbours),
            sampler,
            ground,
            spare,
            fast: options.fast,
            arrivals,
            stayers,
            begun,
            about: About::default(),
            marks: Vec::new(),
            shares: Vec::new(),
            carried: Vec::new(),
            restart: Restart::default(),
            requests: (0, 0),
        };
        stage.watch_daemon()?;
        stage.about = stage.ask_about()?;
        Ok(stage)
    }

    /// A time that `--fast` makes shorter.
    pub(super) fn time(&self, seconds: f64) -> Duration {
        Duration::from_secs_f64(if self.fast { seconds / 2.0 } else { seconds })
    }

    /// A number that `--fast` makes smaller.
    pub(super) fn number(&self, count: u64) -> u64 {
        if self.fast { count / 4 } else { count }
    }

    /// Leaves the clients alone for a moment, so that the charts show one thing after the other.
    pub(super) fn rest(&self) {
        if self.keepers.is_some() && !self.fast {
            std::thread::sleep(Duration::from_millis(1500));
        }
    }

    /// Writes down that something happened now.
    pub(super) fn mark(&mut self, what: &'static str) {
        self.marks.push(Mark { at: self.arrivals.now(), what });
    }

    /// The connections that stay, so far.
    pub(super) fn kept(&self) -> Vec<Kept> {
        self.keepers.as_ref().map(Keepers::look).unwrap_or_default()
    }

    /// Counts what clients of one scene met.
    pub(super) fn count(&mut self, tally: &Tally) {
        self.requests.0 += tally.answered();
        self.requests.1 += tally.lost.len() as u64;
    }

    /// Points the sampler at the daemon that runs now.
    pub(super) fn watch_daemon(&self) -> Result<()> {
        let status = self.ground.balancer.status()?;
        self.sampler.look_at(status.pid, status.data_plane.program_id);
        Ok(())
    }

    pub(super) fn about(&self) -> About {
        self.about.clone()
    }

    /// Sends the visitors of the cluster home and counts them.
    pub(super) fn end_visitors(&mut self) -> Result<Tally> {
        let tally = self.visitors.take().context("visitors are still there")?.stop()?;
        self.count(&tally);
        Ok(tally)
    }

    /// Closes the connections that stayed and counts them.
    pub(super) fn end_keepers(&mut self) -> Result<Vec<Kept>> {
        let kept = self.keepers.take().context("keepers are still there")?.stop()?;
        self.requests.0 += keepers::answered(&kept);
        self.requests.1 += keepers::losses(&kept).len() as u64;
        Ok(kept)
    }

    /// Sends the visitors of the node's own address home.
    pub(super) fn end_neighbours(&mut self) -> Result<Tally> {
        self.neighbours.take().context("the neighbours are still there")?.stop()
    }

    /// The story so far; the site is taken down.
    pub(super) fn end(mut self, promises: Vec<Promise>) -> Result<Story> {
        // A scene that failed may have left them.
        if self.visitors.is_some() {
            self.end_visitors()?;
        }
        if self.keepers.is_some() {
            self.end_keepers()?;
        }
        self.about.took = self.begun.elapsed();
        Ok(Story {
            about: self.about.clone(),
            promises,
            arrivals: self.arrivals.answers(),
            stayers: self.stayers.answers(),
            marks: std::mem::take(&mut self.marks),
            shares: std::mem::take(&mut self.shares),
            carried: std::mem::take(&mut self.carried),
            restart: self.restart.clone(),
            requests: self.requests,
            cost: self.sampler.samples(),
            takeovers: Vec::new(),
        })
    }

    fn ask_about(&self) -> Result<About> {
        let status = self.ground.balancer.status()?;
        let system = rustix::system::uname();
        let date = std::process::Command::new("date").args(["-u", "+%Y-%m-%d %H:%M UTC"]).output()?;
        Ok(About {
            version: status.daemon_version,
            kernel: system.release().to_string_lossy().into_owned(),
            processors: std::thread::available_parallelism()?.get(),
            mode: status.data_plane.mode,
            node: status.node,
            date: String::from_utf8_lossy(&date.stdout).trim().to_owned(),
            took: Duration::ZERO,
            tables: status.data_plane.memory_bytes,
            servers: self
                .ground
                .wanted
                .servers
                .iter()
                .map(|(host, weight)| (host.name.clone(), *weight))
                .collect(),
        })
    }
}
