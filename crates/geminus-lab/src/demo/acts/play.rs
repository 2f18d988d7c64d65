//! What every act has: two dispatchers, clients of every kind, and everybody who watches.

use std::net::SocketAddr;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use geminus_api::ClusterState;

use crate::HTTP;
use crate::demo::Options;
use crate::demo::promise::{Promise, grouped, milliseconds};
use crate::demo::story::{Felt, Held, Mark, Takeover};
use crate::faults::cut::Cuts;
use crate::observer::{Holders, Observer};
use crate::pair::{SiteFile, Topology};
use crate::site::{Addresses, Family};
use crate::traffic::crowd::{Crowd, Toll};
use crate::traffic::rate::{self, Rate};
use crate::traffic::steady::{Course, Steady};
use crate::twins::{SETTLED, Twin, Twins};
use crate::wire::mac_of;

use super::meter::Meter;

/// Content hosts of every act.
const CONTENT_HOSTS: u8 = 3;
/// Numbered packets a second, family and cluster.
const PROBES: u32 = 500;
/// Two answers of one holder that are closer together than this have no gap between them: on a busy machine the observer
/// itself pauses.
const HELD: Duration = Duration::from_millis(120);
/// A holder that answers for less than this was on its way out.
const SETTLED_HOLD: Duration = Duration::from_millis(100);
/// How long the chart goes on after the last thing that happened.
const AFTERMATH: Duration = Duration::from_millis(700);

/// An act while it is played.
pub(super) struct Play {
    load: Vec<JoinHandle<Result<Rate>>>,
    probes: Vec<(&'static str, [Steady; 2])>,
    observers: Vec<(&'static str, Observer)>,
    meter: Option<Meter>,
    cuts: Cuts,
    pub(super) twins: Twins,
    clock: Instant,
    marks: Vec<Mark>,
    /// Marks that belong where a dispatcher first answers for a cluster: place in `marks`, who, for which.
    claims: Vec<(usize, Twin, &'static str)>,
    /// When `wrk` ends.
    loaded: Duration,
    /// When something began that may be felt, and what it is called.
    phases: Vec<(Instant, &'static str)>,
}

impl Play {
    /// Builds the site, starts both daemons and lets the watchers begin.
    pub(super) fn begin(
        options: &Options,
        topology: Topology,
        tune: impl FnOnce(&mut SiteFile),
    ) -> Result<Self> {
        let mut twins = Twins::prepare_with(&options.geminus, topology, CONTENT_HOSTS, tune)?;
        twins.start_both()?;
        twins.wait_until("both ready for a takeover", SETTLED, is_ready)?;
        let cuts = Cuts::of(&twins)?;
        let clusters = topology.clusters();
        let clock = Instant::now();
        let meter = Some(Meter::start(&twins.site.switch, &clusters, clock)?);
        let observe = |&(name, addresses): &(&'static str, Addresses)| {
            Ok((name, Observer::start(&twins.site, addresses)?))
        };
        let observers = clusters.iter().map(observe).collect::<Result<Vec<_>>>()?;
        let probe =
            |&(name, addresses): &(&'static str, Addresses)| Ok((name, twins.probe(addresses, PROBES)?));
        let probes = clusters.iter().map(probe).collect::<Result<Vec<_>>>()?;
        Ok(Self {
            load: Vec::new(),
            probes,
            observers,
            meter,
            cuts,
            twins,
            clock,
            marks: Vec::new(),
            claims: Vec::new(),
            loaded: Duration::ZERO,
            phases: Vec::new(),
        })
    }

    /// Where clients of a cluster go, in both families.
    fn targets(addresses: Addresses) -> [SocketAddr; 2] {
        Family::BOTH.map(|family| (addresses.of(family), HTTP).into())
    }

    /// Opens so many connections in each family to every cluster.
    pub(super) fn open_crowd(&self, count: usize) -> Result<Crowd> {
        let targets: Vec<SocketAddr> = self
            .twins
            .topology
            .clusters()
            .iter()
            .flat_map(|&(_, addresses)| Self::targets(addresses))
            .collect();
        Crowd::open(&self.twins.site.client, &targets, count)
    }

    /// Lets `wrk` ask every cluster in every family, with so many connections each, from now on for so long.
    pub(super) fn load(&mut self, connections: u32, time: Duration) {
        self.loaded = self.clock.elapsed() + time;
        for (_, addresses) in self.twins.topology.clusters() {
            for target in Self::targets(addresses) {
                let client = self.twins.site.client.clone();
                self.load.push(std::thread::spawn(move || {
                    rate::measure(&client, target, "/page", connections, time)
                }));
            }
        }
    }

    /// Writes down that something happened now; with `phase`, what is felt from now on belongs to it.
    pub(super) fn mark(&mut self, what: &'static str, phase: Option<&'static str>) {
        let now = Instant::now();
        self.marks.push(Mark { at: now - self.clock, what });
        self.phases.extend(phase.map(|phase| (now, phase)));
    }

    /// A dispatcher falls silent on every way.
    pub(super) fn cut(&mut self, twin: Twin, what: &'static str) -> Result<()> {
        self.mark(what, Some("takeover"));
        self.cuts.isolate(twin)
    }

    /// It is back.
    pub(super) fn rejoin(&mut self, twin: Twin, what: &'static str) -> Result<()> {
        self.mark(what, Some("hand-back"));
        self.cuts.rejoin(twin)
    }

    /// Writes down that a dispatcher has a cluster now; the mark goes where it first answered.
    pub(super) fn mark_claim(&mut self, what: &'static str, twin: Twin, cluster: &'static str) {
        self.claims.push((self.marks.len(), twin, cluster));
        self.mark(what, None);
    }

    /// Waits until one says that it is active for a cluster, whatever the other says.
    pub(super) fn wait_active(&self, twin: Twin, cluster: &str) -> Result<()> {
        let active = |twins: &Twins| twins.state(twin, cluster) == Some(ClusterState::Active);
        self.twins.wait_until(&format!("{} active for {cluster}", twin.name()), SETTLED, active)
    }

    /// Waits until every cluster is with its primary alone.
    pub(super) fn wait_home(&self) -> Result<()> {
        self.twins.settle()
    }

    /// Ends everything and says what was seen and felt.
    pub(super) fn end(mut self, promise: &mut Promise) -> Result<Takeover> {
        let load = std::mem::take(&mut self.load)
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        let load = load.collect::<Result<Vec<Rate>>>()?;
        let mut felt = Vec::new();
        let (mut sent, mut lost) = (0, 0);
        for (cluster, probes) in std::mem::take(&mut self.probes) {
            for (probe, family) in probes.into_iter().zip(Family::BOTH) {
                let course = probe.stop()?;
                sent += course.sent.len();
                lost += course.lost();
                felt.extend(self.felt(cluster, family, &course));
            }
        }
        let mut held = Vec::new();
        for (cluster, observer) in std::mem::take(&mut self.observers) {
            held.extend(self.held(cluster, &observer.stop()?)?);
        }
        let served = self.meter.take().context("the meter runs")?.stop();
        let requests: u64 = load.iter().map(|rate| rate.requests).sum();
        let errors: u64 = load.iter().map(|rate| rate.errors).sum();
        promise.must(errors == 0, || format!("{errors} of {requests} requests of wrk failed"));
        let per_second: f64 = load.iter().map(|rate| rate.per_second).sum();
        promise.say(format!(
            "under {} requests/s of wrk, {} in all, {errors} failed; {} numbered packets, {lost} lost",
            grouped(per_second as u64),
            grouped(requests),
            grouped(sent as u64),
        ));
        self.date_claims(&held);
        let last = self.marks.last().map_or(Duration::ZERO, |mark| mark.at + AFTERMATH);
        let length = self.loaded.max(last).min(self.clock.elapsed());
        let (marks, topology) = (std::mem::take(&mut self.marks), Some(self.twins.topology));
        Ok(Takeover {
            topology,
            served,
            held,
            felt,
            marks,
            length,
            requests: (requests, errors),
            ..Takeover::default()
        })
    }

    /// Dates marks of claims by what the observer saw: asking the daemons takes longer than a takeover.
    fn date_claims(&mut self, held: &[Held]) {
        for &(place, twin, cluster) in &self.claims {
            let before = place.checked_sub(1).map_or(Duration::ZERO, |before| self.marks[before].at);
            let mine = |held: &&Held| {
                let settled = held.until.saturating_sub(held.from) >= SETTLED_HOLD;
                held.node == twin.name() && held.cluster == cluster && held.from >= before && settled
            };
            if let Some(first) = held.iter().filter(mine).map(|held| held.from).min() {
                self.marks[place].at = first;
            }
        }
    }

    /// The longest gap of each phase.
    fn felt(&self, cluster: &'static str, family: Family, course: &Course) -> Vec<Felt> {
        let gaps = course.gaps();
        let of = |(number, &(begun, phase)): (usize, &(Instant, &'static str))| {
            // A gap begins with the last answer before the fault.
            let slack = Duration::from_millis(20);
            let from = begun - slack;
            let until = self.phases.get(number + 1).map(|(next, _)| *next - slack);
            let mine: Vec<_> = gaps
                .iter()
                .filter(|gap| gap.from >= from && until.is_none_or(|until| gap.from < until))
                .collect();
            Felt {
                cluster,
                family,
                phase,
                gap: mine.iter().map(|gap| gap.length).max().unwrap_or_default(),
                lost: mine.iter().map(|gap| gap.lost).sum(),
            }
        };
        self.phases.iter().enumerate().map(of).collect()
    }

    /// Who answered for the addresses, from when to when.
    fn held(&self, cluster: &'static str, holders: &Holders) -> Result<Vec<Held>> {
        let mut held = Vec::new();
        for twin in Twin::BOTH {
            let mac = mac_of(&self.twins.machine(twin).namespace, "eth0")?;
            let mut last: Option<Held> = None;
            for answer in holders.answers.iter().filter(|answer| answer.mac == mac) {
                let at = answer.at.saturating_duration_since(self.clock);
                match &mut last {
                    Some(open) if at - open.until < HELD => open.until = at,
                    _ => {
                        let begun = Held { cluster, node: twin.name(), from: at, until: at };
                        held.extend(last.replace(begun));
                    }
                }
            }
            held.extend(last);
        }
        Ok(held)
    }
}

/// Whether each could lose the other this moment and lose no connection.
fn is_ready(twins: &Twins) -> bool {
    Twin::BOTH.into_iter().all(|twin| {
        let Ok(status) = twins.status(twin) else { return false };
        status.clusters.iter().all(|cluster| cluster.failover.as_ref().is_some_and(|failover| failover.ready))
    })
}

/// Judges and tells what was felt in one phase of a takeover.
pub(super) fn tell_gaps(promise: &mut Promise, takeover: &Takeover, phase: &str, who: &str, bound: Duration) {
    let mut words = Vec::new();
    for felt in takeover.felt.iter().filter(|felt| felt.phase == phase && felt.cluster == who) {
        let family = felt.family.name();
        promise.must(felt.gap <= bound, || {
            format!("{family}: nobody answered for {} ({phase} of {who})", milliseconds(felt.gap))
        });
        words.push(match felt.lost {
            0 => format!("{family} 0 lost"),
            lost => format!("{family} {} ({lost} lost)", milliseconds(felt.gap)),
        });
    }
    promise.say(format!("{phase} of {who}: {}", words.join(", ")));
}

/// Judges connections that were used after a phase.
pub(super) fn tell_crowd(promise: &mut Promise, toll: &Toll, when: &str) -> Result<()> {
    ensure!(toll.connections > 0, "no connection was open");
    promise.must_lose_nothing("idle connections", &toll.lost);
    promise.say(format!(
        "{} idle connections used again {when}: {} lost, slowest answer {}",
        grouped(toll.connections as u64),
        toll.lost.len(),
        milliseconds(toll.slowest)
    ));
    Ok(())
}
