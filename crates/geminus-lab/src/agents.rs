//! Agents on content hosts, started and stopped as systemd would.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use rustix::process::Signal;

use crate::pair::SiteFile;
use crate::process::Process;
use crate::site::{Machine, Site};
use crate::twins::{Twin, Twins, write_key};

/// UDP port that agents are heard at.
pub const PORT: u16 = 4871;

/// Both dispatchers hear agents, with this `timeout`.
pub fn heard(file: &mut SiteFile, timeout: &str) {
    file.further.push_str(&format!("\n[agents]\nenabled = true\ntimeout = \"{timeout}\"\n"));
}

/// An agent on a content host.
#[derive(Debug)]
pub struct Agent {
    process: Process,
}

impl Agent {
    /// Starts one that reports to both dispatchers of a pair.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(twins: &Twins, host: &Machine, key: &Path, arguments: &[&str]) -> Result<Self> {
        let binary = twins.of(Twin::Alpha).binary();
        let mut command = Command::new(binary);
        let dispatchers = Twin::BOTH.map(|twin| twins.machine(twin).addresses.v4.to_string()).join(",");
        command.args(["host", "agent", "--dispatcher", &dispatchers, "--key-file"]).arg(key).args(arguments);
        let log = log(&twins.site, host);
        let process = Process::start(&host.namespace, &mut command, &log, &twins.site.ledger())?;
        Ok(Self { process })
    }

    /// What it has said, agents before it on the same host included.
    pub fn said(&self) -> String {
        self.process.log()
    }

    /// Kills it as `kill -9` does.
    ///
    /// # Errors
    /// When it cannot be killed.
    pub fn kill(&self) -> Result<()> {
        self.process.kill()
    }

    /// Asks it to end and does not wait.
    ///
    /// # Errors
    /// When it has ended already.
    pub fn terminate(&self) -> Result<()> {
        self.process.signal(Signal::TERM)
    }

    /// Whether it still runs.
    ///
    /// # Errors
    /// When the kernel does not know it.
    pub fn runs(&self) -> Result<bool> {
        Ok(self.process.ended()?.is_none())
    }

    /// Waits for its end, which must be a good one.
    ///
    /// # Errors
    /// When it does not end, or not well.
    pub fn wait(&self, limit: Duration) -> Result<()> {
        let status = self.process.wait(limit)?;
        if !status.success() {
            bail!("the agent left with {status}: {}", self.said());
        }
        Ok(())
    }
}

/// The key of one host, made as an operator would; of another site's key with `strange`.
///
/// # Errors
/// When it cannot be made.
pub fn key_of(twins: &Twins, host: &Machine, strange: bool) -> Result<PathBuf> {
    let folder = twins.site.folder();
    let site_key =
        if strange { write_key(folder.join("strange.key"), 99)? } else { twins.file.key_file.clone() };
    let path = folder.join(format!("{}-{}.key", host.name, if strange { "strange" } else { "agent" }));
    let address = IpAddr::from(host.addresses.v4).to_string();
    let output = Command::new(twins.of(Twin::Alpha).binary())
        .args(["key", "agent", "--site-key"])
        .arg(site_key)
        .args(["--host", &address, "--out"])
        .arg(&path)
        .output()
        .context("geminus key agent cannot be started")?;
    if !output.status.success() {
        bail!("geminus key agent: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(path)
}

fn log(site: &Site, host: &Machine) -> PathBuf {
    site.folder().join(format!("{}-agent.log", host.name))
}
