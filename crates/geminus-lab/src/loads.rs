//! Content hosts of which one is slow, and how long clients wait for them.
//!
//! A host has so many workers; each takes a connection, works on its request for a while (it sleeps, so that all hosts fit
//! on one machine), answers and closes. Whoever comes while all work waits in the listening socket's queue, checks like
//! clients. Clients come as they like: the next does not wait for the one before.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::{Ipv6Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use socket2::{Domain, Socket, Type};

use crate::balancer::Balancer;
use crate::namespace::Namespace;
use crate::site::{CLIENTS, CLUSTER, Family, Machine, Site, client_address};
use crate::traffic::http::Connection;
use crate::traffic::{Stop, cluster};

/// The port of the hosts whose speed differs.
pub const WORK: u16 = 9100;
/// Requests that a host works on at once.
pub const WORKERS: u32 = 4;
/// What a usual host works on a request on average; how long is exponentially distributed.
pub const SERVICE: Duration = Duration::from_millis(40);
/// What it works on a check.
const CHECK: Duration = Duration::from_millis(4);
/// A client that has no answer for so long gives up, and counts as one that waited so long.
const PATIENCE: Duration = Duration::from_secs(10);
/// More than wait at once at any time of a run.
const MOST_WAITING: u64 = 2000;
/// Connections that wait at one host at most, clients' and checks'.
const BACKLOG: i32 = 1024;

/// How a client's connection finds its host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// By the hash, all weights alike for ever.
    Equal,
    /// The lighter of two candidates, all weights alike for ever.
    Least,
    /// By the hash, weights by the manager.
    Managed,
}

impl Way {
    const fn keys(self) -> &'static str {
        match self {
            Self::Equal => "weights = \"fixed\"",
            Self::Least => "weights = \"fixed\"\nselect = \"least-connections\"",
            Self::Managed => "weights = \"managed\"",
        }
    }
}

/// A site of such hosts with a daemon.
#[derive(Debug)]
pub struct Loads {
    // In the order in which they end.
    /// The daemon.
    pub balancer: Balancer,
    _hosts: WorkHosts,
    /// The site.
    pub site: Site,
}

impl Loads {
    /// Hosts of these slownesses, 1 is usual, and a daemon that balances them by equal weights.
    ///
    /// # Errors
    /// When the site cannot be built or the daemon does not start.
    pub fn start(binary: &Path, slowness: &[u32]) -> Result<Self> {
        let count = u8::try_from(slowness.len()).context("too many hosts")?;
        let site = Site::builder().content_hosts(count).build()?;
        let text = configuration(&site, Way::Equal);
        let mut balancer = Balancer::on(&site, binary, &site.dispatchers[0], &text)?;
        for host in &site.hosts {
            balancer.set_up_host(host)?;
        }
        let hosts = WorkHosts::start(&site.hosts, slowness)?;
        balancer.start()?;
        Ok(Self { balancer, _hosts: hosts, site })
    }

    /// Balances another way from now on.
    ///
    /// # Errors
    /// When the daemon refuses it.
    pub fn go(&self, way: Way) -> Result<()> {
        self.balancer.write(&configuration(&self.site, way))?;
        self.balancer.tell(&["reload"]).map(drop)
    }

    /// Lets clients come for a while, so many a second on average, and waits for the last of them.
    ///
    /// # Errors
    /// When the client's namespace is gone.
    pub fn come(&self, per_second: u32, length: Duration) -> Result<Waits> {
        come(&self.site.client, cluster(Family::V4, WORK), per_second, length)
    }
}

/// One service with an HTTP check that waits as clients do; a cycle of the manager each second, so that a run is short.
fn configuration(site: &Site, way: Way) -> String {
    let node = &site.dispatchers[0];
    let mut text = format!(
        "[node.{name}]\naddress = \"{address}\"\ninterface = \"eth0\"\n\n[manager]\ninterval = \"1s\"\n\n\
         [cluster.shop]\naddresses = [\"{v4}\", \"{v6}\"]\nprimary = \"{name}\"\n\n\
         [[cluster.shop.service]]\nport = {WORK}\n{keys}\n\
         check = {{ http = \"/health\", timeout = \"3s\" }}\nservers = [\n",
        name = node.name,
        address = node.addresses.v4,
        v4 = CLUSTER.v4,
        v6 = CLUSTER.v6,
        keys = way.keys(),
    );
    for host in &site.hosts {
        let address = host.addresses.v4;
        let _ = writeln!(text, "  {{ name = \"{}\", address = \"{address}\", weight = 10 }},", host.name);
    }
    text.push_str("]\n");
    text
}

/// Hosts that work until they are dropped.
#[derive(Debug)]
struct WorkHosts {
    stop: Arc<Stop>,
    threads: Vec<JoinHandle<()>>,
}

impl WorkHosts {
    fn start(hosts: &[Machine], slowness: &[u32]) -> Result<Self> {
        let mut all = Self { stop: Arc::new(Stop::default()), threads: Vec::new() };
        for (host, &slowness) in hosts.iter().zip(slowness) {
            host.namespace.inside(|| {
                let listener = Arc::new(listen().with_context(|| format!("cannot listen on {}", host.name))?);
                for worker in 0..WORKERS {
                    let (stop, name) = (Arc::clone(&all.stop), host.name.clone());
                    let listener = Arc::clone(&listener);
                    let mut lots = Lots::new(u64::from(worker) << 32 | u64::from(slowness));
                    all.threads
                        .push(std::thread::spawn(move || work(&listener, &name, slowness, &mut lots, &stop)));
                }
                Ok(())
            })?;
        }
        Ok(all)
    }
}

impl Drop for WorkHosts {
    fn drop(&mut self) {
        self.stop.tell();
        for thread in self.threads.drain(..) {
            // A panic there has already been printed, and dropping has nobody to tell.
            let _ = thread.join();
        }
    }
}

/// A socket with room for everybody who waits; who accepts looks up now and then, so that it can be stopped.
fn listen() -> std::io::Result<Socket> {
    let socket = Socket::new(Domain::IPV6, Type::STREAM, None)?;
    socket.set_only_v6(false)?;
    socket.set_reuse_address(true)?;
    socket.bind(&SocketAddr::from((Ipv6Addr::UNSPECIFIED, WORK)).into())?;
    socket.listen(BACKLOG)?;
    socket.set_read_timeout(Some(Duration::from_millis(200)))?;
    Ok(socket)
}

fn work(listener: &Socket, name: &str, slowness: u32, lots: &mut Lots, stop: &Stop) {
    while !stop.told() {
        if let Ok((stream, _)) = listener.accept() {
            // A client that has gone away is no concern of the next one.
            let _ = answer(stream.into(), name, slowness, lots);
        }
    }
}

fn answer(mut stream: TcpStream, name: &str, slowness: u32, lots: &mut Lots) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(1)))?;
    let mut request = Vec::new();
    let mut part = [0; 1024];
    while !request.windows(4).any(|bytes| bytes == b"\r\n\r\n") && request.len() < 8192 {
        match stream.read(&mut part)? {
            0 => return Ok(()),
            length => request.extend_from_slice(part.get(..length).unwrap_or_default()),
        }
    }
    let is_check = request.starts_with(b"GET /health");
    let length = if is_check { CHECK } else { lots.exponential(SERVICE) };
    std::thread::sleep(length * slowness);
    write!(
        stream,
        "HTTP/1.1 200 OK\r\nX-Server: {name}\r\nContent-Length: 3\r\nConnection: close\r\n\r\nok\n"
    )
}

/// How long clients waited, and for whom.
#[derive(Debug, Clone, Default)]
pub struct Waits {
    /// In order.
    waits: Vec<Duration>,
    /// Answers, by host.
    pub by_host: BTreeMap<String, u64>,
    /// Clients without an answer; they are among the waits, with all their patience.
    pub lost: u64,
}

impl Waits {
    /// How many came.
    pub const fn count(&self) -> usize {
        self.waits.len()
    }

    /// So many of a hundred waited no longer.
    pub fn percentile(&self, hundredths: usize) -> Duration {
        let at = (self.waits.len() * hundredths).div_ceil(100).saturating_sub(1);
        self.waits.get(at).copied().unwrap_or_default()
    }
}

type Outcome = (Duration, Option<String>);

fn come(from: &Namespace, target: SocketAddr, per_second: u32, length: Duration) -> Result<Waits> {
    let (told, outcomes) = channel();
    let sent = from.inside(|| Ok(send(target, per_second, length, &told)))?;
    drop(told);
    let mut waits = Waits::default();
    for (wait, host) in outcomes {
        waits.waits.push(wait);
        match host {
            Some(host) => *waits.by_host.entry(host).or_default() += 1,
            None => waits.lost += 1,
        }
    }
    waits.waits.sort_unstable();
    if waits.count() as u64 != sent {
        bail!("{sent} clients came and {} said how long they waited", waits.count());
    }
    Ok(waits)
}

/// Sends clients and does not wait for them; each tells what became of it.
fn send(target: SocketAddr, per_second: u32, length: Duration, told: &Sender<Outcome>) -> u64 {
    let mut lots = Lots::new(u64::from(per_second));
    let waiting = Arc::new(AtomicU64::new(0));
    let apart = Duration::from_secs(1) / per_second.max(1);
    let (begun, mut at, mut sent) = (Instant::now(), Duration::ZERO, 0);
    loop {
        at += lots.exponential(apart);
        if at > length {
            return sent;
        }
        std::thread::sleep(at.saturating_sub(begun.elapsed()));
        if waiting.load(Ordering::Relaxed) >= MOST_WAITING {
            continue;
        }
        waiting.fetch_add(1, Ordering::Relaxed);
        let client = client_address((sent % u64::from(CLIENTS)) as u8).of(Family::of(target.ip()));
        let (told, waiting) = (told.clone(), Arc::clone(&waiting));
        std::thread::spawn(move || {
            let come = Instant::now();
            let answer =
                Connection::open_from(client, target, PATIENCE).and_then(|mut opened| opened.get("/", true));
            let outcome = match answer {
                Ok(answer) if answer.status == 200 => (come.elapsed(), Some(answer.server)),
                _ => (PATIENCE, None),
            };
            waiting.fetch_sub(1, Ordering::Relaxed);
            // Whoever counts may have given up.
            let _ = told.send(outcome);
        });
        sent += 1;
    }
}

/// Numbers from a seed: SplitMix64.
#[derive(Debug)]
struct Lots(u64);

impl Lots {
    const fn new(seed: u64) -> Self {
        Self(seed)
    }

    const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A time of this mean, as between things that have nothing to do with each other.
    fn exponential(&mut self, mean: Duration) -> Duration {
        // Above 0 and at most 1, 53 bits of it.
        let part = ((self.next() >> 11) + 1) as f64 / (1_u64 << 53) as f64;
        mean.mul_f64(-part.ln())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lots_have_their_mean() {
        let mut lots = Lots::new(3);
        let sum: Duration = (0..10_000).map(|_| lots.exponential(SERVICE)).sum();
        let mean = sum / 10_000;
        assert!(mean > SERVICE.mul_f64(0.95) && mean < SERVICE.mul_f64(1.05), "{mean:?}");
    }

    #[test]
    fn a_percentile_is_one_of_the_waits() {
        let waits = Waits { waits: (1..=200).map(Duration::from_millis).collect(), ..Waits::default() };
        assert_eq!(waits.percentile(50), Duration::from_millis(100));
        assert_eq!(waits.percentile(99), Duration::from_millis(198));
    }
}
