//! Death without a word, and the loss of a carrier.

use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime};

use anyhow::Result;

use crate::HTTP;
use crate::faults::cut::Way;
use crate::faults::ground::{Ground, Scene, Toll, quantile};
use crate::faults::{Figure, bounds, figure, told};
use crate::pair::{SHOP, SiteFile, Topology};
use crate::process::allow_files;
use crate::site::Family;
use crate::traffic::crowd::Crowd;
use crate::twins::Twin;

/// Within so long of a fault a gap belongs to it.
pub(super) const ITS_OWN: Duration = Duration::from_secs(5);

pub(super) fn silent_death(ground: &Ground) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for (profile, p50, p99) in [
        ("default", bounds::SILENCE_DEFAULT_P50, bounds::SILENCE_DEFAULT_P99),
        ("fast", bounds::SILENCE_FAST_P50, bounds::SILENCE_FAST_P99),
    ] {
        let series = series(ground, profile, Scene::die, Scene::come_back)?;
        figures.extend([
            figure(format!("{profile}: gap p50 of {}", series.gaps.len()), quantile(&series.gaps, 0.5)?, p50),
            figure(format!("{profile}: gap p99"), quantile(&series.gaps, 0.99)?, p99),
            told(format!("{profile}: longest gap after the return, ms"), longest(&series.returns)),
            figure(format!("{profile}: connections lost"), series.toll.crowd.lost.len(), bounds::LOST),
            figure(format!("{profile}: flows moved"), series.toll.moved(), bounds::MOVED),
            told(format!("{profile}: longest pause of the lab itself, ms"), series.toll.hiccup()),
        ]);
    }
    Ok(figures)
}

pub(super) fn carrier_loss(ground: &Ground) -> Result<Vec<Figure>> {
    let mut noticed = Vec::new();
    let pull = |scene: &Scene, twin: Twin| {
        let when = SystemTime::now();
        scene.cuts.pull(twin, Way::Lan)?;
        noticed.push(scene.wait_event(twin, &["link-down"], when)?);
        Ok(())
    };
    let series = series(ground, "default", pull, |scene, twin| scene.cuts.plug(twin, Way::Lan))?;
    Ok(vec![
        figure(
            format!("gap p50 of {}", series.gaps.len()),
            quantile(&series.gaps, 0.5)?,
            bounds::CARRIER_P50,
        ),
        figure("gap p99", quantile(&series.gaps, 0.99)?, bounds::CARRIER_P99),
        figure("noticed by the daemon, median", quantile(&noticed, 0.5)?, bounds::CARRIER_NOTICED),
        figure("connections lost", series.toll.crowd.lost.len(), bounds::LOST),
        told("longest pause of the lab itself, ms", series.toll.hiccup()),
    ])
}

/// A takeover with as many connections as were promised, a part of them where the hash would not send them.
pub(super) fn twenty_thousand(ground: &Ground) -> Result<Vec<Figure>> {
    let scene = ground.scene(Topology::Pair, |file| manual(file, "default"))?;
    let targets = Family::BOTH.map(|family| (scene.twins.shop().of(family), HTTP).into());
    let open = |count| Crowd::open(&scene.twins.site.client, &targets, count);
    // A process that may open fewer files has as many connections as it may.
    let most = (allow_files()? as usize).saturating_sub(OTHER_FILES);
    let all = ground.times(6_000, 20_000) as usize;
    let all = all.min(most);
    // While web1 is drained, the third of the newcomers that is meant for it goes elsewhere and stays there.
    let newcomers = all * 3 / 10;
    let mut crowd = open((all - newcomers) / 2)?;
    drain_everywhere(&scene, "drain")?;
    let pinned = open(newcomers / 2)?;
    drain_everywhere(&scene, "undrain")?;
    let on_web1 = pinned.servers().get("web1").copied().unwrap_or(0);
    crowd.join(pinned);
    let before = crowd.use_all(SPREAD);
    scene.wait_ready()?;
    scene.die(Twin::Alpha)?;
    scene.wait_taken_over(Twin::Alpha, SHOP)?;
    let after = crowd.use_all(SPREAD);
    Ok(vec![
        told("connections", after.connections),
        told("opened while web1 was drained, a third of them against the hash", newcomers - on_web1),
        figure("connections lost before the takeover", before.lost.len(), bounds::LOST),
        figure("connections lost in the takeover", after.lost.len(), bounds::LOST),
    ])
}

/// Files that the lab has open beside its connections.
const OTHER_FILES: usize = 600;
/// Over this time thousands of idle connections are used.
const SPREAD: Duration = Duration::from_secs(5);

/// The order goes to both: a drain is of the node that gets it.
fn drain_everywhere(scene: &Scene, verb: &str) -> Result<()> {
    for twin in Twin::BOTH {
        scene.twins.of(twin).tell(&[verb, "web1"])?;
    }
    Ok(())
}

/// Takeovers, one after the other.
struct Series {
    /// Gap of each.
    gaps: Vec<Duration>,
    /// Gap of each return of the one that was cut off.
    returns: Vec<Duration>,
    toll: Toll,
}

/// Lets the active die and come back again and again; each time the other one is the active.
fn series(
    ground: &Ground,
    profile: &str,
    mut fault: impl FnMut(&Scene, Twin) -> Result<()>,
    heal: impl Fn(&Scene, Twin) -> Result<()>,
) -> Result<Series> {
    let scene = ground.scene(Topology::Pair, |file| manual(file, profile))?;
    let load = scene.usual_load(ground)?;
    let (mut faults, mut returns) = (Vec::new(), Vec::new());
    for _ in 0..ground.times(6, 200) {
        let active = scene.active(SHOP)?;
        faults.push(Instant::now());
        fault(&scene, active)?;
        scene.wait_taken_over(active, SHOP)?;
        sleep(Duration::from_millis(300));
        returns.push(Instant::now());
        heal(&scene, active)?;
        scene.wait_ready()?;
    }
    let toll = load.stop()?;
    // A gap of the return begins after it; one of the fault is over before.
    let own = |(fault, back): (&Instant, &Instant)| toll.gap_at(*fault, ITS_OWN.min(*back - *fault));
    let gaps = faults.iter().zip(&returns).map(own).collect();
    let returns = returns.iter().map(|at| toll.gap_at(*at, Duration::from_millis(500))).collect();
    Ok(Series { gaps, returns, toll })
}

/// Roles stay where a fault has put them.
pub(super) fn manual(file: &mut SiteFile, profile: &str) {
    file.set("profile", format!("\"{profile}\"")).set("recovery", "\"manual\"");
}

fn longest(times: &[Duration]) -> Duration {
    times.iter().max().copied().unwrap_or_default()
}

impl Scene {
    /// A dispatcher dies without a word.
    pub(super) fn die(&self, twin: Twin) -> Result<()> {
        self.cuts.isolate(twin)
    }

    /// It is there again, as it was.
    pub(super) fn come_back(&self, twin: Twin) -> Result<()> {
        self.cuts.rejoin(twin)
    }
}
