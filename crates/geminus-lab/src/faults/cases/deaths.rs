//! Servers that die: with a word, and without one.

use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime};

use anyhow::Result;

use crate::HTTP;
use crate::faults::bounds::{self, Bound};
use crate::faults::ground::{Ground, quantile};
use crate::faults::ward::{Met, Ward, moved, since};
use crate::faults::{Figure, figure, told};

/// How long the clients of a dead server's neighbours are watched after its death is known.
const AFTERWARDS: Duration = Duration::from_millis(700);
/// Of each family, new flows whose server is asked for.
pub(super) const NEWCOMERS: u16 = 500;

/// How a server ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// Its process is killed: the host resets its connections and refuses new ones.
    Killed,
    /// Nothing passes from or to its host.
    Silent,
}

/// What many deaths came to.
#[derive(Debug, Default)]
struct Series {
    /// From each death to the last client that still met the dead server.
    out: Vec<Duration>,
    /// From each death to the daemon's event.
    told: Vec<Duration>,
    lost_beside: usize,
    lost_packets: usize,
    failed: usize,
    failed_after: usize,
    visits: u64,
    bereft: usize,
    never_told: usize,
    hiccup: Duration,
}

pub(super) fn killed(ground: &Ground) -> Result<Vec<Figure>> {
    let mut figures = both_profiles(ground, End::Killed)?;
    figures.extend(remapped(ground)?);
    Ok(figures)
}

pub(super) fn silent(ground: &Ground) -> Result<Vec<Figure>> {
    both_profiles(ground, End::Silent)
}

fn both_profiles(ground: &Ground, end: End) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for (profile, p99) in [("default", bounds::OUT_DEFAULT), ("fast", bounds::OUT_FAST)] {
        figures.extend(series(ground, end, profile)?.figures(end, profile, p99)?);
    }
    Ok(figures)
}

impl Series {
    fn figures(self, end: End, profile: &str, p99: Bound) -> Result<Vec<Figure>> {
        let name = |what: &str| format!("{profile}: {what}");
        let runs = self.out.len();
        let met = match end {
            End::Killed => "last new connection that it refused, after its death",
            End::Silent => "last packet that went to it, after its silence",
        };
        let mut figures = vec![
            told(name(&format!("{met}, p50 of {runs}, ms")), quantile(&self.out, 0.5)?),
            figure(name(&format!("{met}, p99")), quantile(&self.out, 0.99)?, p99),
            told(name("told by the daemon after the death, longest, ms"), quantile(&self.told, 1.0)?),
            figure(name("connections to other servers lost"), self.lost_beside, bounds::LOST),
            told(name("connections to the dead one"), self.bereft),
        ];
        figures.extend(match end {
            End::Killed => [
                told(name(&format!("new connections refused of {}", self.visits)), self.failed),
                figure(name("packets of its other service lost"), self.lost_packets, bounds::LOST_PACKETS),
            ],
            End::Silent => [
                figure(
                    name(&format!("new connections begun after the silence that failed, of {}", self.visits)),
                    self.failed_after,
                    bounds::LOST,
                ),
                told(name("of those to the dead one: still without a word after 3 s"), self.never_told),
            ],
        });
        figures.push(told(name("longest pause of the lab itself, ms"), self.hiccup));
        Ok(figures)
    }

    fn add(&mut self, end: End, victim: &str, [died, dead]: [Instant; 2], met: &Met) {
        self.out.push(match end {
            End::Killed => met.failed_until(died),
            End::Silent => met.unanswered_until(died),
        });
        self.lost_beside += met.crowd.lost_beside(victim);
        self.lost_packets += met.lost_packets();
        self.failed += met.visits.lost.len();
        self.failed_after += met.failed_after(dead);
        self.visits += met.visits.answered() + met.visits.lost.len() as u64;
        self.never_told += met.crowd.lost.iter().filter(|line| line.contains("no answer in time")).count();
        self.hiccup = self.hiccup.max(met.hiccup());
    }
}

fn series(ground: &Ground, end: End, profile: &str) -> Result<Series> {
    let mut ward = mortal(ground, end, profile)?;
    let mut series = Series::default();
    for run in 0..ground.times(9, 100) {
        let victim = format!("web{}", 1 + run % 3);
        let clients = ward.clients(ground)?;
        // A death may come at any moment between two checks.
        sleep(Duration::from_millis(u64::from(run * 137 % 500)));
        let seen = ward.balanced.balancer.newest_event()?;
        series.bereft += clients.by_server.get(&victim).copied().unwrap_or(0);
        let (died, when) = (Instant::now(), SystemTime::now());
        match end {
            End::Killed => ward.serve(&victim, false)?,
            End::Silent => ward.silence(&[&victim])?,
        }
        // What began before this may have come through yet.
        let dead = Instant::now();
        let event = ward.event(seen, "server-down", &victim)?;
        series.told.push(since(&event, when)?);
        sleep(AFTERWARDS);
        series.add(end, &victim, [died, dead], &clients.stop()?);
        match end {
            End::Killed => ward.serve(&victim, true)?,
            End::Silent => ward.silence(&[])?,
        }
        ward.wait_up(&victim)?;
    }
    Ok(series)
}

/// Three servers that may die again and again: what comes back is up at once.
fn mortal(ground: &Ground, end: End, profile: &str) -> Result<Ward> {
    ground.ward(3, |wanted| {
        wanted.keys = format!("check = {{ tcp = true, profile = \"{profile}\" }}");
        if end == End::Silent {
            // A silent host takes its datagrams with it, and a stream of them shows the moment to a millisecond.
            wanted.udp_keys = format!("check = {{ tcp = true, port = {HTTP}, profile = \"{profile}\" }}");
        }
        wanted.further = "[health]\ndamping = \"0s\"\n".to_owned();
    })
}

/// How many new flows go elsewhere when a server is out.
fn remapped(ground: &Ground) -> Result<Vec<Figure>> {
    let mut ward = mortal(ground, End::Killed, "default")?;
    let before = ward.choices(NEWCOMERS)?;
    let seen = ward.balanced.balancer.newest_event()?;
    ward.serve("web2", false)?;
    ward.event(seen, "server-down", "web2")?;
    sleep(AFTERWARDS);
    let (all, needless) = moved(&before, &ward.choices(NEWCOMERS)?, "web2");
    Ok(vec![
        figure(
            format!("new flows of {} that go to another server, one of three out", before.len()),
            all,
            bounds::REMAPPED_OF_THREE,
        ),
        figure("of them, from and to servers that stayed", needless, bounds::REMAPPED_NEEDLESSLY),
    ])
}
