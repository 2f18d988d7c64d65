//! What checks take: a thousand servers, each asked once a second by the clients' road.

use std::fmt::Write as _;
use std::net::{Ipv6Addr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{JoinHandle, sleep};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use geminus_api::ServerState;
use geminus_lab::balancer::{Balancer, Wanted};
use geminus_lab::measure::Usage;
use geminus_lab::site::{CLUSTER, Machine, Site};
use rustix::net::sockopt::set_socket_linger;
use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;

use crate::control::resident_besides_tables;

/// Servers, each an address of one content host, in services of a hundred.
const SERVERS: u32 = 1000;
const PER_SERVICE: u32 = 100;
const FIRST_PORT: u32 = 9000;
/// How long the daemon is watched, and how long it may settle before.
const WATCHED: Duration = Duration::from_secs(20);
const SETTLE: Duration = Duration::from_secs(6);
/// Bare connections to each server.
const BARE: u32 = 10;
/// How long every server may take to be up.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long whoever watches sleeps at a time.
const NAP: Duration = Duration::from_millis(20);
/// Checks of so short a time stand beside each other.
const SLOT: Duration = Duration::from_millis(100);

/// What checks of a thousand servers take.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Figures {
    pub(crate) checked: Taken,
    /// The same site, nobody checks.
    pub(crate) unchecked: Taken,
    /// Share of one core, per cent, of a loop that does no more than connect to each server once a second and reset.
    pub(crate) bare: f64,
    /// Checks that came to the servers each second.
    pub(crate) per_second: f64,
    /// Checks that were to come and did not, per cent.
    pub(crate) missing: f64,
    /// The most that came within 100 ms, as a multiple of their mean.
    pub(crate) busiest: f64,
    /// The longest that a thread which only sleeps overslept meanwhile: so long the machine itself stood still, milliseconds.
    pub(crate) stood_still: f64,
}

/// What a daemon takes that has nothing else to do.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Taken {
    /// Share of one core, per cent.
    pub(crate) cpu: f64,
    /// Resident memory besides tables, bytes.
    pub(crate) resident: u64,
}

/// Measures the binary.
pub(crate) fn measure(binary: &Path, say: impl Fn(&str)) -> Result<Figures> {
    let site = Site::builder().content_hosts(1).build()?;
    let host = &site.hosts[0];
    let addresses: String = (0..SERVERS)
        .map(|server| format!("addr add {}/64 dev eth0 nodad\n", server_address(server)))
        .collect();
    host.namespace.ip(&addresses)?;
    let mut balancer = Balancer::prepare(&site, binary, &Wanted::of(&site))?;
    balancer.set_up_host(host)?;
    let doors = Doors::open(host)?;

    balancer.write(&configuration(&site, "{ none = true }"))?;
    balancer.start()?;
    let (unchecked, _) = watch(&balancer)?;
    balancer.stop()?;
    say("checks: without");

    balancer.write(&configuration(&site, "{ tcp = true, interval = \"1s\" }"))?;
    balancer.start()?;
    all_up(&balancer)?;
    sleep(SETTLE);
    doors.forget();
    let (checked, stood_still) = watch(&balancer)?;
    let arrivals = doors.seen();
    balancer.stop()?;
    say("checks: a thousand each second");
    let bare = bare(&site.dispatchers[0])?;
    doors.close();
    say("checks: bare connections");
    let per_second = arrivals.len() as f64 / WATCHED.as_secs_f64();
    let missing = (1.0 - per_second / f64::from(SERVERS)).max(0.0) * 100.0;
    let stood_still = stood_still.as_secs_f64() * 1e3;
    Ok(Figures { checked, unchecked, bare, per_second, missing, busiest: busiest(&arrivals), stood_still })
}

/// What the running daemon takes, and the longest that the machine itself stood still meanwhile.
fn watch(balancer: &Balancer) -> Result<(Taken, Duration)> {
    let pid = balancer.process()?.pid();
    let (before, begun) = (Usage::of(pid)?, Instant::now());
    let mut stood_still = Duration::ZERO;
    while begun.elapsed() < WATCHED {
        let asleep = Instant::now();
        sleep(NAP);
        stood_still = stood_still.max(asleep.elapsed().saturating_sub(NAP));
    }
    let used = Usage::of(pid)?.cpu.saturating_sub(before.cpu);
    let cpu = used.as_secs_f64() / begun.elapsed().as_secs_f64() * 100.0;
    Ok((Taken { cpu, resident: resident_besides_tables(pid)? }, stood_still))
}

/// What the same connections take of a thread that makes one after the other and has nothing to find out.
fn bare(node: &Machine) -> Result<f64> {
    node.namespace.inside(|| {
        let spent = || Duration::try_from(clock_gettime(ClockId::ThreadCPUTime));
        let (before, begun) = (spent()?, Instant::now());
        for number in 0..BARE * SERVERS {
            let due = Duration::from_secs(1) / SERVERS * number;
            sleep(due.saturating_sub(begun.elapsed()));
            let server = number % SERVERS;
            let port = u16::try_from(FIRST_PORT + server / PER_SERVICE)?;
            let to: Ipv6Addr = server_address(server).parse()?;
            let stream = TcpStream::connect((to, port)).context("a bare connection cannot be had")?;
            set_socket_linger(&stream, Some(Duration::ZERO))?;
        }
        let used = spent()?.saturating_sub(before);
        Ok(used.as_secs_f64() / begun.elapsed().as_secs_f64() * 100.0)
    })
}

/// Waits until every server has answered a check.
fn all_up(balancer: &Balancer) -> Result<()> {
    let begun = Instant::now();
    loop {
        let shown = balancer.servers()?;
        let up = shown.servers.iter().filter(|row| row.server.state == ServerState::Up).count();
        if up == SERVERS as usize {
            return Ok(());
        }
        ensure!(
            begun.elapsed() < PATIENCE,
            "{up} of {SERVERS} servers are up after {PATIENCE:?}: {}",
            balancer.log()
        );
        sleep(Duration::from_millis(200));
    }
}

/// The ports of all services on the content host, and when somebody came.
struct Doors {
    shut: Arc<AtomicBool>,
    since: Arc<Mutex<Vec<Instant>>>,
    keepers: Vec<JoinHandle<()>>,
}

impl Doors {
    fn open(host: &Machine) -> Result<Self> {
        let shut = Arc::new(AtomicBool::new(false));
        let since = Arc::default();
        let mut doors = Self { shut, since, keepers: Vec::new() };
        for service in 0..SERVERS / PER_SERVICE {
            let port = u16::try_from(FIRST_PORT + service)?;
            let listener = host.namespace.inside(|| {
                TcpListener::bind((Ipv6Addr::UNSPECIFIED, port)).context("the content host cannot listen")
            })?;
            listener.set_nonblocking(true)?;
            let (shut, since) = (Arc::clone(&doors.shut), Arc::clone(&doors.since));
            doors.keepers.push(std::thread::spawn(move || {
                while !shut.load(Ordering::Relaxed) {
                    match listener.accept() {
                        Ok(_) => {
                            since.lock().expect("nobody panics with it").push(Instant::now());
                        }
                        Err(_) => sleep(Duration::from_millis(1)),
                    }
                }
            }));
        }
        Ok(doors)
    }

    /// Forgets who came so far.
    fn forget(&self) {
        self.since.lock().expect("nobody panics with it").clear();
    }

    /// When somebody came, in order.
    fn seen(&self) -> Vec<Instant> {
        let mut since = self.since.lock().expect("nobody panics with it").clone();
        since.sort_unstable();
        since
    }

    fn close(self) {
        self.shut.store(true, Ordering::Relaxed);
        for keeper in self.keepers {
            // A panic there has already been printed.
            let _ = keeper.join();
        }
    }
}

/// The most arrivals of a slot over their mean.
fn busiest(arrivals: &[Instant]) -> f64 {
    let (Some(first), Some(last)) = (arrivals.first(), arrivals.last()) else { return f64::NAN };
    let slot = |at: &Instant| (at.duration_since(*first).as_micros() / SLOT.as_micros()) as usize;
    let mut slots = vec![0_u32; slot(last) + 1];
    for at in arrivals {
        slots[slot(at)] += 1;
    }
    let most = slots.iter().copied().max().unwrap_or_default();
    f64::from(most) * slots.len() as f64 / arrivals.len() as f64
}

fn server_address(server: u32) -> String {
    format!("2001:db8:1::d:{server:x}")
}

fn configuration(site: &Site, check: &str) -> String {
    let node = &site.dispatchers[0];
    let mut text = format!(
        "[node.{name}]\naddress = \"{address}\"\ninterface = \"eth0\"\n\n[cluster.shop]\naddresses = [\"{v6}\"]\nprimary = \"{name}\"\n",
        name = node.name,
        address = node.addresses.v4,
        v6 = CLUSTER.v6,
    );
    for server in 0..SERVERS {
        if server % PER_SERVICE == 0 {
            let port = FIRST_PORT + server / PER_SERVICE;
            let _ = writeln!(text, "\n[[cluster.shop.service]]\nport = {port}\ncheck = {check}\nservers = [");
        }
        let address = server_address(server);
        let _ = writeln!(text, "  {{ name = \"s{server}\", address = \"{address}\" }},");
        if server % PER_SERVICE == PER_SERVICE - 1 {
            text += "]\n";
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_even_stream_has_no_busy_slot_and_a_herd_has_one() {
        let begun = Instant::now();
        let even: Vec<_> = (0..1000).map(|at| begun + Duration::from_millis(at)).collect();
        assert!((busiest(&even) - 1.0).abs() < 1e-9, "{}", busiest(&even));
        let herd: Vec<_> = (0..1000).map(|at| begun + Duration::from_secs(at / 100)).collect();
        assert!(busiest(&herd) > 5.0, "{}", busiest(&herd));
    }
}
