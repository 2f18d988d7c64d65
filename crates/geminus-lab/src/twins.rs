//! Two daemons that are each other's twin, on a site that stands around them.

use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use geminus_api::{ClusterState, Event, Standing, Status};
use rustix::process::Signal;

use crate::balanced::binary_under_test;
use crate::balancer::Balancer;
use crate::pair::{SHOP, SiteFile, Topology};
use crate::process::Process;
use crate::site::{Addresses, Family, Machine, Site};
use crate::traffic::Recorder;
use crate::traffic::echo::{ECHO, EchoServers};
use crate::traffic::keepers::Keepers;
use crate::traffic::steady::Steady;
use crate::{HTTP, measure};

/// How long a role may take to be where it belongs; a machine with other things to do may need most of it.
pub const SETTLED: Duration = Duration::from_secs(30);
/// How often a status is asked for while waiting.
const LOOK: Duration = Duration::from_millis(20);

/// One of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Twin {
    /// Primary of `shop`.
    Alpha,
    /// Its backup, and primary of `mail`.
    Beta,
}

impl Twin {
    /// Both.
    pub const BOTH: [Self; 2] = [Self::Alpha, Self::Beta];

    /// Its partner.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Alpha => Self::Beta,
            Self::Beta => Self::Alpha,
        }
    }

    /// Its name, also that of its ports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Alpha => "alpha",
            Self::Beta => "beta",
        }
    }

    /// Its place among the site's dispatchers.
    pub const fn place(self) -> usize {
        self as usize
    }
}

/// Site, servers and both daemons.
#[derive(Debug)]
pub struct Twins {
    // The daemons end before the site, the servers before their namespaces.
    _echo: EchoServers,
    balancers: [Balancer; 2],
    /// What both read.
    pub file: SiteFile,
    /// How the site is laid out.
    pub topology: Topology,
    /// The site.
    pub site: Site,
}

impl Twins {
    /// A site whose content hosts are ready and whose daemons have not been started.
    ///
    /// # Errors
    /// When the site cannot be built or there is no binary.
    pub fn prepare(topology: Topology, tune: impl FnOnce(&mut SiteFile)) -> Result<Self> {
        Self::prepare_with(&binary_under_test()?, topology, 3, tune)
    }

    /// The same with this binary and so many content hosts.
    ///
    /// # Errors
    /// As for [`Self::prepare`].
    pub fn prepare_with(
        binary: &Path,
        topology: Topology,
        content_hosts: u8,
        tune: impl FnOnce(&mut SiteFile),
    ) -> Result<Self> {
        let mut site = topology.builder(content_hosts).build()?;
        let collocated: Vec<Machine> =
            topology.collocated().iter().map(|&place| site.dispatchers[place].clone()).collect();
        for machine in &collocated {
            site.serve_http(machine)?;
        }
        measure::count_in_switch(&site)?;
        let key_file = write_key(site.folder().join("site.key"), 1)?;
        let mut file = topology.file(&site.dispatchers, &site.hosts, key_file);
        tune(&mut file);
        let text = file.text();
        let balancer = |place: usize| Balancer::on(&site, binary, &site.dispatchers[place], &text);
        let balancers = [balancer(0)?, balancer(1)?];
        let servers: Vec<Machine> = site.hosts.iter().chain(&collocated).cloned().collect();
        let clusters: Vec<Addresses> = topology.clusters().iter().map(|(_, addresses)| *addresses).collect();
        for host in &servers {
            balancers[0].set_up_host_for(host, &clusters)?;
        }
        let addresses: Vec<_> =
            clusters.iter().flat_map(|cluster| Family::BOTH.map(|family| cluster.of(family))).collect();
        let echo = EchoServers::start(&servers, &addresses)?;
        Ok(Self { _echo: echo, balancers, file, topology, site })
    }

    /// Both daemons run, every cluster is with its primary, and both know every server.
    ///
    /// # Errors
    /// When a daemon does not start or a cluster does not come to its primary.
    pub fn start(topology: Topology, tune: impl FnOnce(&mut SiteFile)) -> Result<Self> {
        let mut twins = Self::prepare(topology, tune)?;
        twins.start_both()?;
        Ok(twins)
    }

    /// Starts both and waits until every cluster is with its primary.
    ///
    /// # Errors
    /// As for [`Self::start`].
    pub fn start_both(&mut self) -> Result<()> {
        for balancer in &mut self.balancers {
            balancer.start_at_once()?;
        }
        self.settle()
    }

    /// Waits until every cluster has an active and a standby, and moves those to their primary that are not there: whoever
    /// was up first may have taken them.
    ///
    /// # Errors
    /// When that does not come to be.
    pub fn settle(&self) -> Result<()> {
        self.wait_ready()?;
        for cluster in &self.file.clusters {
            let primary = Twin::BOTH.into_iter().find(|twin| twin.name() == cluster.primary);
            let primary = primary.with_context(|| format!("nobody is called {}", cluster.primary))?;
            if self.state(primary, cluster.name) != Some(ClusterState::Active) {
                self.of(primary).tell(&["takeover", cluster.name])?;
            }
            self.wait_active(primary, cluster.name)?;
        }
        self.wait_ready()
    }

    /// Waits until every cluster has one active node whose partner could take over without a loss.
    ///
    /// # Errors
    /// When that does not come to be.
    pub fn wait_ready(&self) -> Result<()> {
        self.wait_until("every cluster ready for a takeover", SETTLED, |twins| {
            twins.topology.clusters().iter().all(|(name, _)| twins.is_ready(name))
        })
    }

    /// Whether a cluster has one active node, and a standby that could take over now.
    fn is_ready(&self, cluster: &str) -> bool {
        let look = |twin| {
            let status = self.status(twin).ok()?;
            let found = status.clusters.into_iter().find(|known| known.name == cluster)?;
            Some((found.standing, found.failover.is_some_and(|failover| failover.ready)))
        };
        let both = Twin::BOTH.map(look);
        let count = |standing| both.iter().flatten().filter(|(known, _)| *known == standing).count();
        let ready = both.iter().flatten().any(|(standing, ready)| *standing == Standing::Active && *ready);
        count(Standing::Active) == 1 && count(Standing::Standby) == 1 && ready
    }

    /// One of the daemons.
    pub fn of(&self, twin: Twin) -> &Balancer {
        &self.balancers[twin.place()]
    }

    /// One of the daemons, to start and stop.
    pub fn of_mut(&mut self, twin: Twin) -> &mut Balancer {
        &mut self.balancers[twin.place()]
    }

    /// The machine of one of the daemons.
    pub fn machine(&self, twin: Twin) -> &Machine {
        &self.site.dispatchers[twin.place()]
    }

    /// `geminus status --json` of one.
    ///
    /// # Errors
    /// When the daemon does not answer.
    pub fn status(&self, twin: Twin) -> Result<Status> {
        self.of(twin).status()
    }

    /// What one says it is for a cluster; none: it does not answer.
    pub fn state(&self, twin: Twin, cluster: &str) -> Option<ClusterState> {
        let status = self.status(twin).ok()?;
        status.clusters.iter().find(|known| known.name == cluster).map(|known| known.state)
    }

    /// Who says that it is active for a cluster.
    pub fn who_is_active(&self, cluster: &str) -> Vec<Twin> {
        let says = |twin: &Twin| self.state(*twin, cluster) == Some(ClusterState::Active);
        Twin::BOTH.into_iter().filter(says).collect()
    }

    /// Waits until exactly this one is active for a cluster.
    ///
    /// # Errors
    /// When that does not come to be.
    pub fn wait_active(&self, twin: Twin, cluster: &str) -> Result<()> {
        self.wait_until(&format!("{} active for {cluster}", twin.name()), SETTLED, |twins| {
            twins.who_is_active(cluster) == [twin]
        })
    }

    /// Waits until something is so.
    ///
    /// # Errors
    /// When it is not within `limit`; the error carries what both say.
    pub fn wait_until(
        &self,
        what: &str,
        limit: Duration,
        mut is_so: impl FnMut(&Self) -> bool,
    ) -> Result<()> {
        let begun = Instant::now();
        while !is_so(self) {
            if begun.elapsed() > limit {
                bail!("not in {limit:?}: {what}; {}", self.account());
            }
            std::thread::sleep(LOOK);
        }
        Ok(())
    }

    /// Everything that happened in one daemon's life; nothing if it does not answer.
    pub fn events(&self, twin: Twin) -> Vec<Event> {
        self.of(twin).events().unwrap_or_default()
    }

    /// What both say and have last logged, for an error.
    pub fn account(&self) -> String {
        let one = |twin: Twin| {
            let clusters = self.status(twin).map_or_else(
                |error| error.to_string(),
                |status| {
                    let line = |cluster: &geminus_api::ClusterStatus| {
                        format!("{} {:?} because {}", cluster.name, cluster.state, cluster.because)
                    };
                    status.clusters.iter().map(line).collect::<Vec<_>>().join(", ")
                },
            );
            format!("{}: {clusters} [{}]", twin.name(), self.of(twin).last_words())
        };
        Twin::BOTH.map(one).join("; ")
    }

    /// Stops one where it stands, as `kill -STOP` does.
    ///
    /// # Errors
    /// When it does not run.
    pub fn pause(&self, twin: Twin) -> Result<()> {
        self.of(twin).process()?.signal(Signal::STOP)
    }

    /// Lets one go on.
    ///
    /// # Errors
    /// When it does not run.
    pub fn resume(&self, twin: Twin) -> Result<()> {
        self.of(twin).process()?.signal(Signal::CONT)
    }

    /// Starts a daemon beside the pair's own, with another file, for what a partner may be told wrong.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn launch(&self, twin: Twin, text: &str) -> Result<Process> {
        self.of(twin).write(text)?;
        self.of(twin).launch(&[])
    }

    /// Writes the file as it is now for both and tells both to read it.
    ///
    /// # Errors
    /// When one refuses it.
    pub fn apply(&self) -> Result<()> {
        for balancer in &self.balancers {
            balancer.write(&self.file.text())?;
            balancer.tell(&["reload"])?;
        }
        Ok(())
    }

    /// Opens `count` connections in each family to a cluster, that stay.
    ///
    /// # Errors
    /// When one has no first answer.
    pub fn keep(&self, cluster: Addresses, count: usize) -> Result<Keepers> {
        let targets = Family::BOTH.map(|family| (cluster.of(family), HTTP).into());
        Keepers::start(&self.site.client, &targets, count, &Arc::new(Recorder::begin()))
    }

    /// Sends `per_second` numbered packets in each family to a cluster.
    ///
    /// # Errors
    /// When the sockets cannot be opened.
    pub fn probe(&self, cluster: Addresses, per_second: u32) -> Result<[Steady; 2]> {
        let [v4, v6] = Family::BOTH
            .map(|family| Steady::start(&self.site.client, (cluster.of(family), ECHO).into(), 8, per_second));
        Ok([v4?, v6?])
    }

    /// The addresses of a cluster.
    ///
    /// # Errors
    /// When the site has none of that name.
    pub fn cluster(&self, name: &str) -> Result<Addresses> {
        let clusters = self.topology.clusters();
        let found = clusters.iter().find(|(known, _)| *known == name).map(|(_, addresses)| *addresses);
        found.with_context(|| format!("the site has no cluster {name}"))
    }

    /// The address of the cluster that every topology has.
    pub fn shop(&self) -> Addresses {
        self.cluster(SHOP).expect("every topology has it")
    }
}

/// Writes a key that only its owner reads; different seeds give different keys.
///
/// # Errors
/// When the file cannot be written.
pub fn write_key(path: PathBuf, seed: u8) -> Result<PathBuf> {
    use std::io::Write as _;
    let digits: String = (0..32_u8).map(|i| format!("{:02x}", i.wrapping_mul(7) ^ seed)).collect();
    let mut file = std::fs::File::options()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&path)
        .with_context(|| format!("cannot write {}", path.display()))?;
    file.write_all(digits.as_bytes())?;
    Ok(path)
}
