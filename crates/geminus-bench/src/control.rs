//! What the real binary takes: a large site checked, brought into force and changed; a small one left alone.

use std::fmt::Write as _;
use std::fs;
use std::net::IpAddr;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use geminus_lab::balanced::Balanced;
use geminus_lab::balancer::{Balancer, Wanted};
use geminus_lab::measure::Usage;
use geminus_lab::site::Site;
use geminus_lab::traffic::probe;
use serde::Serialize;

use crate::checks::Taken;
use crate::figure::{Spread, spread};

/// Clusters and servers of the large site.
const CLUSTERS: u32 = 1000;
const SERVERS: u32 = 100;
/// How often each step is measured.
const TIMES: u32 = 5;
/// Restarts under load, each followed by two reloads, and packets a second meanwhile in each family.
const RESTARTS: u16 = 50;
const PROBES_PER_SECOND: u32 = 1000;
/// How long the daemon of the large site may take to answer.
const PATIENCE: Duration = Duration::from_secs(120);
/// An echo that takes longer has no answer.
const UNANSWERED: Duration = Duration::from_millis(200);
/// How long an idle daemon is watched, and how long it may settle before.
const IDLE: Duration = Duration::from_secs(20);
const SETTLE: Duration = Duration::from_secs(5);

/// What the control plane takes.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Figures {
    /// Bytes of the large site's file.
    pub(crate) file: u64,
    /// `geminus check` of it, milliseconds.
    pub(crate) check: Spread,
    /// From the start of `geminus run` to an echo answered for the last cluster, milliseconds.
    pub(crate) first_answer: Spread,
    /// CPU time of the daemon up to there, milliseconds.
    pub(crate) first_answer_cpu: Spread,
    /// `geminus weight` of one server of one cluster, milliseconds.
    pub(crate) weight: Spread,
    /// `geminus reload` after one server's weight was changed in the file, milliseconds.
    pub(crate) reload: Spread,
    /// Resident memory of the large site's daemon besides tables, bytes.
    pub(crate) large_resident: u64,
    /// The small site's daemon while nothing is asked of it and it checks nobody.
    pub(crate) idle: Taken,
    /// The same while it checks its three servers twice a second, as it does by default.
    pub(crate) checking: Taken,
    pub(crate) upheaval: Upheaval,
}

/// A daemon that comes and goes under load.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Upheaval {
    pub(crate) restarts: u16,
    pub(crate) reloads: u16,
    /// Packets sent meanwhile, and how many of them had no answer.
    pub(crate) sent: u64,
    pub(crate) lost: u64,
}

/// Measures the binary.
pub(crate) fn measure(binary: &Path, say: impl Fn(&str)) -> Result<Figures> {
    let large = Large::build(binary)?;
    let check = times(TIMES, || large.check(binary)).context("geminus check")?;
    say("control plane: checked");
    let mut starts = Vec::new();
    let mut start_cpu = Vec::new();
    for _ in 0..TIMES {
        let daemon = large.start()?;
        starts.push(daemon.took);
        start_cpu.push(daemon.cpu);
        daemon.process.kill()?;
        large.forget()?;
    }
    let (first_answer, first_answer_cpu) = (spread(&starts), spread(&start_cpu));
    say("control plane: started");
    let daemon = large.start()?;
    let mut weight = 0;
    let weights = times(TIMES * 2, || {
        weight += 1;
        large.balancer.tell(&["weight", "s7", &weight.to_string(), "--cluster", "c500"]).map(drop)
    })
    .context("geminus weight")?;
    let mut weight = 10;
    let reload = times_after(
        TIMES,
        || {
            weight += 1;
            large.balancer.write(&large_site(weight))
        },
        || large.balancer.tell(&["reload"]).map(drop),
    )
    .context("geminus reload")?;
    say("control plane: changed");
    let large_resident = resident_besides_tables(daemon.process.pid())?;
    let file = large_site(1).len() as u64;
    drop(daemon);
    drop(large);
    let idle = |keys| watched(binary, keys).context("an idle daemon");
    let (idle, checking) = (idle("check = { none = true }")?, idle("")?);
    say("control plane: idle");
    let upheaval = upheaval(binary).context("restarts and reloads under load")?;
    let weight = weights;
    Ok(Figures {
        file,
        check,
        first_answer,
        first_answer_cpu,
        weight,
        reload,
        large_resident,
        idle,
        checking,
        upheaval,
    })
}

struct Large {
    balancer: Balancer,
    site: Site,
}

struct Daemon {
    process: geminus_lab::process::Process,
    /// Milliseconds until the last cluster's answer, by the clock and of CPU.
    took: f64,
    cpu: f64,
}

impl Large {
    fn build(binary: &Path) -> Result<Self> {
        let site = Site::builder().content_hosts(1).build()?;
        let addresses: String =
            (0..SERVERS).map(|server| format!("addr add {}/24 dev eth0\n", server_address(server))).collect();
        site.hosts[0].namespace.ip(&addresses)?;
        let balancer = Balancer::prepare(&site, binary, &Wanted::of(&site))?;
        balancer.write(&large_site(1))?;
        let large = Self { balancer, site };
        // The router need not ask first whether the last cluster is there.
        let mac = large.dispatcher_mac()?;
        large
            .site
            .router
            .ip(&format!("neigh add {} lladdr {mac} dev lan nud permanent\n", last_cluster()))?;
        Ok(large)
    }

    fn check(&self, binary: &Path) -> Result<()> {
        let binary = binary.canonicalize()?.display().to_string();
        let file = self.site.folder().join("alpha.toml").display().to_string();
        self.site.dispatchers[0].namespace.run(&binary, &["check", &file, "--node", "alpha"]).map(drop)
    }

    /// Starts a daemon and waits until the last cluster answers an echo.
    fn start(&self) -> Result<Daemon> {
        let begun = Instant::now();
        let process = self.balancer.launch(&[])?;
        loop {
            if probe::echo(&self.site.router, last_cluster(), Duration::from_millis(10))? {
                let took = milliseconds(begun);
                let cpu = Usage::of(process.pid())?.cpu.as_secs_f64() * 1000.0;
                return Ok(Daemon { process, took, cpu });
            }
            if let Some(status) = process.ended()? {
                bail!("geminus run ended ({status}): {}", self.balancer.log());
            }
            ensure!(
                begun.elapsed() < PATIENCE,
                "no cluster answers after {PATIENCE:?}: {}",
                self.balancer.log()
            );
        }
    }

    /// Takes away what a killed daemon left in the kernel, so that the next one starts from nothing, and waits until the
    /// kernel has let go of it.
    fn forget(&self) -> Result<()> {
        // The kernel's own files stand beside the folders of pins.
        let folders =
            fs::read_dir(self.site.bpffs())?.flatten().map(|entry| entry.path()).filter(|path| path.is_dir());
        for folder in folders {
            fs::remove_dir_all(&folder).with_context(|| format!("cannot remove {}", folder.display()))?;
        }
        let begun = Instant::now();
        while probe::echo(&self.site.router, last_cluster(), UNANSWERED)? {
            ensure!(begun.elapsed() < PATIENCE, "a program without pins still answers");
        }
        Ok(())
    }

    fn dispatcher_mac(&self) -> Result<String> {
        let shown = self.site.dispatchers[0].namespace.run("ip", &["-o", "link", "show", "dev", "eth0"])?;
        let mac = shown.split_once("link/ether ").and_then(|(_, rest)| rest.split_whitespace().next());
        mac.map(str::to_owned).context("eth0 has no hardware address")
    }
}

/// The small site with such keys of its services, left alone.
fn watched(binary: &Path, keys: &str) -> Result<Taken> {
    let mut balanced = Balanced::prepare_with(binary, 3)?;
    balanced.wanted.keys = keys.to_owned();
    balanced.wanted.udp_keys = keys.to_owned();
    balanced.balancer.configure(&balanced.wanted)?;
    balanced.balancer.start()?;
    let pid = balanced.balancer.process()?.pid();
    sleep(SETTLE);
    let (before, begun) = (Usage::of(pid)?, Instant::now());
    sleep(IDLE);
    let used = Usage::of(pid)?.cpu.saturating_sub(before.cpu);
    let cpu = used.as_secs_f64() / begun.elapsed().as_secs_f64() * 100.0;
    Ok(Taken { cpu, resident: resident_besides_tables(pid)? })
}

/// Restarts and reloads while numbered packets pass.
fn upheaval(binary: &Path) -> Result<Upheaval> {
    let mut balanced = Balanced::prepare_with(binary, 3)?;
    balanced.balancer.start_with(&["--detach"])?;
    let probe = balanced.probe(PROBES_PER_SECOND)?;
    for restart in 0..RESTARTS {
        if restart % 2 == 0 {
            balanced.balancer.kill()?
        } else {
            balanced.balancer.stop()?
        }
        balanced.balancer.start_with(&["--detach"])?;
        balanced.wanted.servers[0].1 = 1 + restart % 3;
        balanced.apply()?;
        balanced.wanted.servers[1].1 = 1 + restart % 2;
        balanced.balancer.configure(&balanced.wanted)?;
        balanced.balancer.hang_up()?;
    }
    let packets = probe.stop()?;
    Ok(Upheaval { restarts: RESTARTS, reloads: RESTARTS * 2, sent: packets.sent, lost: packets.lost() })
}

/// Resident bytes of a process in every mapping that is not a BPF table.
pub(crate) fn resident_besides_tables(pid: u32) -> Result<u64> {
    let maps = fs::read_to_string(format!("/proc/{pid}/smaps")).context("the daemon is gone")?;
    let mut table = false;
    let mut kibibytes = 0;
    for line in maps.lines() {
        match line.strip_prefix("Rss:") {
            Some(rest) if !table => {
                let number = rest.split_whitespace().next().context("smaps has another shape")?;
                kibibytes += number.parse::<u64>()?;
            }
            Some(_) => {}
            // Only the line that begins a mapping has an address range.
            None if line.split_whitespace().next().is_some_and(|first| first.contains('-')) => {
                table = line.contains("bpf-map");
            }
            None => {}
        }
    }
    Ok(kibibytes * 1024)
}

fn server_address(server: u32) -> String {
    format!("198.51.100.{}", 101 + server)
}

/// Cluster number `cluster`, in the LAN's network.
fn cluster_address(cluster: u32) -> String {
    format!("2001:db8:1::c:{cluster:x}")
}

fn last_cluster() -> IpAddr {
    cluster_address(CLUSTERS - 1).parse().expect("made of digits")
}

/// A thousand clusters, each of a hundred servers on the same hundred hosts; one server's weight is given. Nobody checks
/// them: what a check costs is measured by itself.
fn large_site(weight: u32) -> String {
    let mut text = "[node.alpha]\naddress = \"198.51.100.11\"\ninterface = \"eth0\"\n".to_owned();
    for cluster in 0..CLUSTERS {
        let address = cluster_address(cluster);
        let _ = write!(
            text,
            "\n[cluster.c{cluster}]\naddresses = [\"{address}\"]\n\n[[cluster.c{cluster}.service]]\nport = 80\ncheck = {{ none = true }}\nservers = [\n"
        );
        for server in 0..SERVERS {
            let own = if (cluster, server) == (CLUSTERS / 2, 7) { weight } else { 1 + server % 10 };
            let address = server_address(server);
            let _ = writeln!(text, "  {{ name = \"s{server}\", address = \"{address}\", weight = {own} }},");
        }
        text += "]\n";
    }
    text
}

fn times(count: u32, action: impl FnMut() -> Result<()>) -> Result<Spread> {
    times_after(count, || Ok(()), action)
}

/// Milliseconds of an action, each time after a preparation that does not count.
fn times_after(
    count: u32,
    mut prepare: impl FnMut() -> Result<()>,
    mut action: impl FnMut() -> Result<()>,
) -> Result<Spread> {
    let mut figures = Vec::new();
    for _ in 0..count {
        prepare()?;
        let begun = Instant::now();
        action()?;
        figures.push(milliseconds(begun));
    }
    Ok(spread(&figures))
}

fn milliseconds(begun: Instant) -> f64 {
    begun.elapsed().as_secs_f64() * 1000.0
}
