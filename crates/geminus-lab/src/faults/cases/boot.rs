//! Starts, and links that come and go.

use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::Result;
use geminus_api::ClusterState;

use super::silence::manual;
use crate::faults::cut::Way;
use crate::faults::ground::Ground;
use crate::faults::{Figure, bounds, figure, told};
use crate::observer::Observer;
use crate::pair::{SHOP, Topology};
use crate::twins::Twin;

pub(super) fn at_once(ground: &Ground) -> Result<Vec<Figure>> {
    let mut scene = ground.prepare(Topology::Pair, |_| {})?;
    let (times, mut slowest, mut both) = (ground.times(3, 50), Duration::ZERO, Duration::ZERO);
    for _ in 0..times {
        let observer = Observer::start(&scene.twins.site, scene.twins.shop())?;
        let begun = Instant::now();
        for twin in Twin::BOTH {
            scene.twins.of_mut(twin).start_at_once()?;
        }
        scene.wait_ready()?;
        let holders = observer.stop()?;
        let first = holders.answers.first().map_or_else(|| begun.elapsed(), |answer| answer.at - begun);
        slowest = slowest.max(first);
        both = both.max(holders.more_than_one());
        for twin in Twin::BOTH {
            scene.twins.of_mut(twin).stop()?;
        }
    }
    Ok(vec![
        told("starts", u64::from(times)),
        figure("until one answers for the address, slowest", slowest, bounds::BOOT),
        figure("both, longest", both, bounds::BOTH_AT_BOOT),
    ])
}

pub(super) fn mute_port(ground: &Ground) -> Result<Vec<Figure>> {
    let alone_after = ground.seconds(8, 40);
    let mut scene = ground.prepare(Topology::Pair, |file| {
        file.set("alone_after", format!("\"{}s\"", alone_after.as_secs()));
    })?;
    scene.cuts.isolate(Twin::Alpha)?;
    let begun = Instant::now();
    scene.twins.of_mut(Twin::Alpha).start_at_once()?;
    // Never active while it hears nobody and reaches nobody, unless it has waited for as long as it was told to.
    let mut early = Duration::ZERO;
    while begun.elapsed() < alone_after / 2 {
        if scene.twins.state(Twin::Alpha, SHOP) == Some(ClusterState::Active) {
            early = alone_after.saturating_sub(begun.elapsed());
            break;
        }
        sleep(Duration::from_millis(50));
    }
    // The port passes frames in time, and the partner is there: nothing is left of the lonely start.
    scene.twins.of_mut(Twin::Beta).start_at_once()?;
    scene.cuts.rejoin(Twin::Alpha)?;
    scene.wait_ready()?;
    scene.twins.wait_active(Twin::Alpha, SHOP)?;
    for twin in Twin::BOTH {
        scene.twins.of_mut(twin).stop()?;
    }
    // And alone for good, it serves in the end.
    scene.cuts.isolate(Twin::Alpha)?;
    let begun = Instant::now();
    scene.twins.of_mut(Twin::Alpha).start_at_once()?;
    scene.twins.wait_until("alpha active alone", alone_after * 3, |twins| {
        twins.state(Twin::Alpha, SHOP) == Some(ClusterState::Active)
    })?;
    let waited = begun.elapsed();
    let alone_early = alone_after.saturating_sub(waited);
    Ok(vec![
        told("alone_after, ms", alone_after),
        figure("active too early, before the port passed frames", early, bounds::ALONE_TOO_EARLY),
        told("active alone after, ms", waited),
        figure("active too early, alone", alone_early, bounds::ALONE_TOO_EARLY),
    ])
}

pub(super) fn flapping(ground: &Ground) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for (name, half, time) in [
        ("1 Hz", Duration::from_millis(500), ground.seconds(12, 60)),
        ("10 Hz", Duration::from_millis(50), ground.seconds(6, 10)),
    ] {
        let scene = ground.scene(Topology::Pair, |file| manual(file, "default"))?;
        let (load, epoch, begun) = (scene.usual_load(ground)?, scene.epoch(SHOP), Instant::now());
        while begun.elapsed() < time {
            scene.cuts.pull(Twin::Alpha, Way::Lan)?;
            sleep(half);
            scene.cuts.plug(Twin::Alpha, Way::Lan)?;
            sleep(half);
        }
        scene.wait_ready()?;
        let (changes, toll) = (scene.epoch(SHOP) - epoch, load.stop()?);
        figures.extend([
            figure(format!("{name}, {} s: takeovers", time.as_secs()), changes, bounds::FLAP_CHANGES),
            figure(format!("{name}: all gaps together"), toll.gap_sum(), bounds::FLAP_GAPS),
            figure(format!("{name}: connections lost"), toll.crowd.lost.len(), bounds::LOST),
        ]);
    }
    Ok(figures)
}
