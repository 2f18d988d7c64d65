//! A site that Geminus balances: the ground on which the laws of floor 4 stand.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use geminus_api::{ServerState, ServerStatus};

use crate::HTTP;
use crate::balancer::{Balancer, Wanted, servers_of};
use crate::measure;
use crate::namespace::Namespace;
use crate::site::{CLUSTER, Family, Machine, Site};
use crate::traffic::echo::{ECHO, EchoServers, PacketProbe};
use crate::traffic::keepers::{Keepers, Kept, losses};
use crate::traffic::visitors;
use crate::traffic::{Recorder, Tally, cluster};

/// Visitors that come at once when a law counts them.
const AT_ONCE: usize = 16;

/// Site, servers and daemon.
#[derive(Debug)]
pub struct Balanced {
    // The daemon ends before the site.
    _echo: EchoServers,
    /// The daemon.
    pub balancer: Balancer,
    /// What its configuration says.
    pub wanted: Wanted,
    /// The site.
    pub site: Site,
}

impl Balanced {
    /// A site whose content hosts are ready and whose daemon has not been started.
    ///
    /// # Errors
    /// When the site cannot be built or there is no binary.
    pub fn prepare(content_hosts: u8) -> Result<Self> {
        Self::prepare_with(&binary_under_test()?, content_hosts)
    }

    /// The same with this binary.
    ///
    /// # Errors
    /// As for [`Self::prepare`].
    pub fn prepare_with(binary: &Path, content_hosts: u8) -> Result<Self> {
        let mut site = Site::builder().content_hosts(content_hosts).build()?;
        // Another program on the dispatcher's machine, there before Geminus is.
        let dispatcher = site.dispatchers[0].clone();
        site.serve_http(&dispatcher)?;
        measure::count_in_switch(&site)?;
        let wanted = Wanted::of(&site);
        let balancer = Balancer::prepare(&site, binary, &wanted)?;
        for host in &site.hosts {
            balancer.set_up_host(host)?;
        }
        let echo = EchoServers::start(&site.hosts, &Family::BOTH.map(|family| CLUSTER.of(family)))?;
        Ok(Self { _echo: echo, balancer, wanted, site })
    }

    /// The same with a daemon that forwards to every content host with weight 1.
    ///
    /// # Errors
    /// As for [`Self::prepare`], and when the daemon does not start.
    pub fn start(content_hosts: u8) -> Result<Self> {
        let mut balanced = Self::prepare(content_hosts)?;
        balanced.balancer.start()?;
        Ok(balanced)
    }

    /// Where clients are.
    pub fn client(&self) -> &Namespace {
        &self.site.client
    }

    /// The dispatcher.
    pub fn dispatcher(&self) -> &Machine {
        &self.site.dispatchers[0]
    }

    /// A content host by its name.
    ///
    /// # Errors
    /// When the site has none.
    pub fn host(&self, name: &str) -> Result<Machine> {
        let found = self.site.hosts.iter().find(|host| host.name == name);
        found.cloned().with_context(|| format!("the site has no {name}"))
    }

    /// A server as the daemon sees it, behind the first service that checks it.
    ///
    /// # Errors
    /// When no service does.
    pub fn checked(&self, name: &str) -> Result<ServerStatus> {
        let status = self.balancer.status()?;
        let mut found = servers_of(&status).filter(|server| server.name == name && server.check.is_some());
        found.next().cloned().with_context(|| format!("{name} is not checked"))
    }

    /// Waits until a server is as it is wanted behind the first service that checks it.
    ///
    /// # Errors
    /// When it is not in time.
    pub fn wait_for(
        &self,
        name: &str,
        what: &str,
        patience: Duration,
        is_so: impl Fn(&ServerStatus) -> bool,
    ) -> Result<ServerStatus> {
        let begun = Instant::now();
        loop {
            let seen = self.checked(name)?;
            if is_so(&seen) {
                return Ok(seen);
            }
            if begun.elapsed() > patience {
                bail!("{name} is not {what}: {seen:?}: {}", self.balancer.last_words());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Lets `count` visitors come to the cluster in one family.
    ///
    /// # Errors
    /// When the client's namespace is gone.
    pub fn come(&self, family: Family, count: u64) -> Result<Tally> {
        visitors::count(&self.site.client, cluster(family, HTTP), count, AT_ONCE)
    }

    /// Lets `count` visitors come in each family; an error if one of them has no answer.
    ///
    /// # Errors
    /// When a request was lost.
    pub fn come_all(&self, count: u64) -> Result<Tally> {
        let mut tally = self.come(Family::V4, count)?;
        tally.add(self.come(Family::V6, count)?);
        if let Some(first) = tally.lost.first() {
            let lost = tally.lost.len();
            bail!(
                "{lost} of {} visitors had no answer, the first: {first}; the daemon's log:\n{}",
                2 * count,
                self.balancer.log()
            );
        }
        Ok(tally)
    }

    /// Opens `count` connections in each family that stay.
    ///
    /// # Errors
    /// When one has no first answer.
    pub fn keep(&self, count: usize) -> Result<Keepers> {
        let targets = Family::BOTH.map(|family| cluster(family, HTTP));
        Keepers::start(&self.site.client, &targets, count, &Arc::new(Recorder::begin()))
    }

    /// Sends numbered packets in both families, `per_second` in each.
    ///
    /// # Errors
    /// When the sockets cannot be opened.
    pub fn probe(&self, per_second: u32) -> Result<PacketProbe> {
        let targets = Family::BOTH.map(|family| cluster(family, ECHO));
        PacketProbe::start(&self.site.client, &targets, 16, per_second)
    }

    /// Writes the configuration as wanted now, reloads and waits until every server in it has new flows or is meant
    /// to have none.
    ///
    /// # Errors
    /// When the daemon refuses it or a server does not come up.
    pub fn apply(&self) -> Result<()> {
        self.balancer.configure(&self.wanted)?;
        self.balancer.tell(&["reload"])?;
        let begun = Instant::now();
        loop {
            let status = self.balancer.status()?;
            let Some(unknown) = servers_of(&status).find(|server| server.state == ServerState::Unresolved)
            else {
                return Ok(());
            };
            if begun.elapsed() > Duration::from_secs(5) {
                bail!("server {} stays unresolved", unknown.name);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Says whether the daemons have logged nothing that is worth a page.
    ///
    /// # Errors
    /// With the first line that is.
    pub fn expect_quiet_log(&self) -> Result<()> {
        match self.balancer.warnings().first() {
            None => Ok(()),
            Some(line) => bail!("the daemon's log has an unexpected line: {line}"),
        }
    }
}

/// Whether a server's checks and set-up are well.
pub fn is_well(server: &ServerStatus) -> bool {
    server.state == ServerState::Up && server.findings.is_empty()
}

/// Connections that stayed open and have gone on: none lost, every one with more answers than before.
///
/// # Errors
/// With the first that was lost or stuck.
pub fn expect_progress(before: &[Kept], after: &[Kept]) -> Result<()> {
    if let Some(first) = losses(after).first() {
        bail!("lost {first}");
    }
    let stuck = before.iter().zip(after).filter(|(old, new)| new.answered <= old.answered).count();
    if stuck > 0 {
        bail!("{stuck} of {} connections made no progress", before.len());
    }
    Ok(())
}

/// The binary named by `GEMINUS_BIN`, else the release build of the workspace around the current folder.
///
/// # Errors
/// When there is none.
pub fn binary_under_test() -> Result<PathBuf> {
    if let Some(named) = std::env::var_os("GEMINUS_BIN") {
        let named = PathBuf::from(named);
        return named
            .canonicalize()
            .with_context(|| format!("GEMINUS_BIN names {}, which is not there", named.display()));
    }
    let here = std::env::current_dir()?;
    let candidates = here.ancestors().map(|folder| folder.join("target/release/geminus"));
    candidates.into_iter().find(|path| path.exists()).with_context(|| {
        format!(
            "no target/release/geminus above {}: build it with `cargo build --release -p geminus`",
            here.display()
        )
    })
}
