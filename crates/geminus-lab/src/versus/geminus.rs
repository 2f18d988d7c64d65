//! The binary under test: two daemons, two paths between them, content hosts behind the address.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use rustix::process::Signal;

use crate::pair::{SHOP, Topology};
use crate::site::Site;
use crate::twins::{SETTLED, Twin, Twins};

use super::contender::Contender;
use super::figures::Promised;
use super::ground::Ground;

/// Which timers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Profile {
    /// Heartbeats every 10 ms.
    Fast,
    /// Heartbeats every 50 ms.
    Default,
}

/// Geminus on both nodes.
#[derive(Debug)]
pub(super) struct Geminus {
    profile: Profile,
    ground: Ground,
    twins: Twins,
}

/// The lease that a node has unless it is told otherwise.
const LEASE: Duration = Duration::from_secs(5);
/// Content hosts behind the address.
const CONTENT_HOSTS: u8 = 2;

impl Profile {
    const fn word(self) -> &'static str {
        match self {
            Self::Fast => "fast",
            Self::Default => "default",
        }
    }

    /// What the profile promises for a silent death.
    pub(super) const fn promised(self) -> Promised {
        match self {
            Self::Fast => Promised { median: 45.0, p99: 60.0 },
            Self::Default => Promised { median: 200.0, p99: 250.0 },
        }
    }
}

impl Geminus {
    pub(super) fn new(binary: &Path, profile: Profile) -> Result<Self> {
        let twins = Twins::prepare_with(binary, Topology::Pair, CONTENT_HOSTS, |file| {
            file.set("profile", format!("\"{}\"", profile.word()));
            // As `nopreempt`: a node that comes back waits until it is told.
            file.set("recovery", "\"manual\"");
        })?;
        Ok(Self { profile, ground: Ground::of(&twins.site)?, twins })
    }

    /// Whether the second could take over this moment and lose nothing.
    fn is_ready(twins: &Twins) -> bool {
        let ready = |twin: Twin| {
            let status = twins.status(twin).ok()?;
            let cluster = status.clusters.into_iter().find(|cluster| cluster.name == SHOP)?;
            Some(cluster.failover?.ready)
        };
        Twin::BOTH.into_iter().all(|twin| ready(twin) == Some(true))
    }
}

impl Contender for Geminus {
    fn site(&self) -> &Site {
        &self.twins.site
    }

    fn name(&self) -> String {
        match self.profile {
            Profile::Fast => "Geminus, profile fast (10 ms)".to_owned(),
            Profile::Default => "Geminus, profile default (50 ms)".to_owned(),
        }
    }

    fn method(&self) -> String {
        format!(
            "profile `{}`, two paths (LAN and cable), lease {LEASE:?}, `recovery = \"manual\"`, {CONTENT_HOSTS} content hosts behind the address, direct return",
            self.profile.word()
        )
    }

    fn detection(&self) -> Duration {
        // `Timers::detection` of the profile, and the interval that a death falls into.
        match self.profile {
            Profile::Fast => Duration::from_millis(47 + 10),
            Profile::Default => Duration::from_millis(200 + 50),
        }
    }

    fn grace(&self) -> Duration {
        LEASE
    }

    fn has_servers(&self) -> bool {
        true
    }

    fn start(&mut self) -> Result<()> {
        for twin in Twin::BOTH {
            self.twins.of_mut(twin).start_at_once()?;
        }
        self.twins.wait_until("both ready for a takeover", SETTLED, Self::is_ready)?;
        // With `recovery = "manual"` the backup keeps what it was the first to hear nobody about.
        if self.twins.who_is_active(SHOP) == [Twin::Beta] {
            self.twins.of(Twin::Alpha).tell(&["takeover"])?;
        }
        self.twins.settle()?;
        self.twins.wait_until("both ready for a takeover", SETTLED, Self::is_ready)?;
        self.ground.wait_for_answer(SETTLED)
    }

    fn reset(&mut self) -> Result<()> {
        for twin in Twin::BOTH {
            // One that was left, killed or stopped is gone or deaf; what is left of the others leaves in order.
            let Ok(process) = self.twins.of(twin).process() else { continue };
            if process.ended()?.is_none() {
                process.signal(Signal::CONT)?;
                process.signal(Signal::TERM)?;
            }
        }
        for twin in Twin::BOTH {
            let Ok(process) = self.twins.of(twin).process() else { continue };
            process.wait(SETTLED).with_context(|| format!("{} does not leave", twin.name()))?;
        }
        Ok(())
    }

    fn leave(&mut self, node: Twin) -> Result<()> {
        self.twins.of(node).process()?.signal(Signal::TERM)
    }

    fn kill(&mut self, node: Twin) -> Result<()> {
        self.twins.of_mut(node).kill()
    }

    fn freeze(&mut self, node: Twin) -> Result<()> {
        self.twins.pause(node)
    }

    fn thaw(&mut self, node: Twin) -> Result<()> {
        self.twins.resume(node)
    }

    fn promotions(&self, node: Twin) -> Result<u64> {
        let events = self.twins.of(node).events()?;
        Ok(events.iter().filter(|event| event.kind == "went-active").count() as u64)
    }
}
