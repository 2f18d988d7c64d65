//! Debian's keepalived: one instance on each node, in the node's namespace, with all its files in the site's folder.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::pair::Topology;
use crate::process::Process;
use crate::site::{CLUSTER, Machine, Site};
use crate::twins::Twin;

use super::contender::Contender;
use super::ground::Ground;

/// How often the active says that it is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Adverts {
    /// VRRPv3, every 10 ms: the shortest that the protocol can say.
    Shortest,
    /// VRRPv3, every 100 ms.
    Short,
    /// VRRPv2, every second: what keepalived does unless it is told otherwise.
    Default,
}

/// keepalived on both nodes.
#[derive(Debug)]
pub(super) struct Keepalived {
    adverts: Adverts,
    version: String,
    nodes: [Option<Process>; 2],
    starts: u32,
    ground: Ground,
    site: Site,
}

/// Of the primary and of the backup.
const PRIORITIES: [u32; 2] = [150, 100];
const READY: Duration = Duration::from_secs(15);

impl Adverts {
    const fn interval(self) -> Duration {
        match self {
            Self::Shortest => Duration::from_millis(10),
            Self::Short => Duration::from_millis(100),
            Self::Default => Duration::from_secs(1),
        }
    }

    const fn version(self) -> u32 {
        match self {
            Self::Shortest | Self::Short => 3,
            Self::Default => 2,
        }
    }
}

impl Keepalived {
    pub(super) fn new(adverts: Adverts) -> Result<Self> {
        // It says its version where others say their errors.
        let said = Command::new("keepalived").arg("--version").output().context("keepalived is missing")?;
        let said = [said.stdout, said.stderr].concat();
        let words = String::from_utf8_lossy(&said);
        let version = words.split_whitespace().nth(1).unwrap_or("of an unknown version").to_owned();
        // The same site as everybody's; content hosts it has no use for.
        let site = Topology::Pair.builder(0).build()?;
        let ground = Ground::of(&site)?;
        Ok(Self { adverts, version, nodes: [None, None], starts: 0, ground, site })
    }

    fn machine(&self, node: Twin) -> &Machine {
        &self.site.dispatchers[node.place()]
    }

    fn file(&self, node: Twin, ending: &str) -> PathBuf {
        let name = &self.machine(node).name;
        let (every, start) = (self.adverts.interval().as_millis(), self.starts);
        self.site.folder().join(format!("keepalived-{name}-{every}ms-{start}.{ending}"))
    }

    /// No instance pre-empts the other, and `vrrp_strict`, which would add firewall rules, stays off.
    fn configuration(&self, node: Twin) -> String {
        format!(
            "global_defs {{\n  router_id {name}\n  vrrp_version {version}\n}}\n\
             vrrp_instance shop {{\n  state BACKUP\n  interface eth0\n  virtual_router_id 51\n  \
             priority {priority}\n  advert_int {interval}\n  nopreempt\n  \
             virtual_ipaddress {{\n    {address}/32 dev eth0\n  }}\n}}\n",
            name = self.machine(node).name,
            version = self.adverts.version(),
            priority = PRIORITIES[node.place()],
            interval = self.adverts.interval().as_secs_f64(),
            address = CLUSTER.v4,
        )
    }

    fn launch(&mut self, node: Twin) -> Result<()> {
        let config = self.file(node, "conf");
        std::fs::write(&config, self.configuration(node))
            .with_context(|| format!("cannot write {}", config.display()))?;
        let mut command = Command::new("keepalived");
        command.args(["--dont-fork", "--log-console", "--log-detail", "--vrrp"]);
        command.arg("--use-file").arg(&config);
        command.arg("--pid").arg(self.file(node, "pid"));
        command.arg("--vrrp_pid").arg(self.file(node, "vrrp-pid"));
        let log = self.file(node, "log");
        let ledger = self.site.ledger();
        let process = Process::start(&self.machine(node).namespace, &mut command, &log, &ledger)?;
        self.nodes[node.place()] = Some(process);
        Ok(())
    }

    fn process(&self, node: Twin) -> Result<&Process> {
        self.nodes[node.place()].as_ref().context("keepalived was not started")
    }

    fn wait_for(&self, node: Twin, words: &str) -> Result<()> {
        let begun = Instant::now();
        while !self.process(node)?.log().contains(words) {
            if let Some(status) = self.process(node)?.ended()? {
                bail!("keepalived ended ({status}): {}", self.last_words(node)?);
            }
            if begun.elapsed() > READY {
                bail!("keepalived never said {words:?}: {}", self.last_words(node)?);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    fn last_words(&self, node: Twin) -> Result<String> {
        let log = self.process(node)?.log();
        let lines: Vec<&str> = log.lines().collect();
        Ok(lines[lines.len().saturating_sub(4)..].join(" | "))
    }

    /// The instance and its children, children first.
    fn pids(&self, node: Twin) -> Result<Vec<Pid>> {
        let parent = self.process(node)?.pid();
        let children = std::fs::read_to_string(format!("/proc/{parent}/task/{parent}/children"))
            .context("cannot list keepalived's children")?;
        let pids = children.split_whitespace().filter_map(|pid| pid.parse().ok());
        Ok(pids.chain([parent as i32]).filter_map(Pid::from_raw).collect())
    }

    fn signal(&self, node: Twin, signal: Signal) -> Result<()> {
        for pid in self.pids(node)? {
            kill_process(pid, signal).with_context(|| format!("cannot signal keepalived, process {pid}"))?;
        }
        Ok(())
    }
}

const MASTER: &str = "Entering MASTER STATE";

impl Contender for Keepalived {
    fn site(&self) -> &Site {
        &self.site
    }

    fn name(&self) -> String {
        match self.adverts {
            Adverts::Shortest => "keepalived, 10 ms adverts".to_owned(),
            Adverts::Short => "keepalived, 100 ms adverts".to_owned(),
            Adverts::Default => "keepalived, default (1 s)".to_owned(),
        }
    }

    fn method(&self) -> String {
        format!(
            "keepalived {}, VRRPv{}, advert every {:?}, priorities {} and {}, `nopreempt`, `vrrp_strict` off, the address on the active's LAN interface",
            self.version,
            self.adverts.version(),
            self.adverts.interval(),
            PRIORITIES[0],
            PRIORITIES[1],
        )
    }

    fn detection(&self) -> Duration {
        // RFC 5798 section 6.1: three intervals and the skew.
        let interval = self.adverts.interval();
        interval * 3 + interval * (256 - PRIORITIES[1]) / 256
    }

    fn grace(&self) -> Duration {
        Duration::ZERO
    }

    fn has_servers(&self) -> bool {
        false
    }

    fn start(&mut self) -> Result<()> {
        self.starts += 1;
        self.launch(Twin::Alpha)?;
        self.wait_for(Twin::Alpha, MASTER)?;
        self.launch(Twin::Beta)?;
        self.wait_for(Twin::Beta, "Entering BACKUP STATE")?;
        self.ground.wait_for_answer(READY)?;
        // Both have settled when the second announcements of the start are over or would disturb nobody.
        std::thread::sleep(self.adverts.interval() * 2 + Duration::from_millis(300));
        if self.promotions(Twin::Beta)? > 0 {
            bail!("the backup did not stay backup: {}", self.last_words(Twin::Beta)?);
        }
        Ok(())
    }

    fn reset(&mut self) -> Result<()> {
        for node in Twin::BOTH {
            let running = self.nodes[node.place()].as_ref().map(Process::ended).transpose()?;
            if let Some(None) = running {
                self.kill(node)?;
            }
            self.nodes[node.place()] = None;
            let namespace = &self.machine(node).namespace;
            let address = format!("{}/32", CLUSTER.v4);
            namespace.run("ip", &["addr", "flush", "dev", "eth0", "to", &address])?;
        }
        Ok(())
    }

    fn leave(&mut self, node: Twin) -> Result<()> {
        self.process(node)?.signal(Signal::TERM)
    }

    fn kill(&mut self, node: Twin) -> Result<()> {
        // Stopped first, so that none of them can say goodbye for another that has just died.
        self.signal(node, Signal::STOP)?;
        self.signal(node, Signal::KILL)
    }

    fn freeze(&mut self, node: Twin) -> Result<()> {
        self.signal(node, Signal::STOP)
    }

    fn thaw(&mut self, node: Twin) -> Result<()> {
        self.signal(node, Signal::CONT)
    }

    fn promotions(&self, node: Twin) -> Result<u64> {
        Ok(self.process(node)?.log().matches(MASTER).count() as u64)
    }
}

impl Drop for Keepalived {
    fn drop(&mut self) {
        // Its own children would outlive a parent that is only killed; what fails here ends with the namespace.
        let _ = self.reset();
    }
}
