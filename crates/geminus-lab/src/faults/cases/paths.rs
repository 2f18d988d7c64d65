//! Paths that fail: one, all, one direction of one, some of the frames.

use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime};

use anyhow::Result;

use crate::faults::cut::{Loss, Way};
use crate::faults::ground::Ground;
use crate::faults::relay::{Bursts, Manners, Relay};
use crate::faults::{Figure, bounds, figure, told};
use crate::pair::{SHOP, Topology};
use crate::twins::Twin;

pub(super) fn one_of_two(ground: &Ground) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    let topologies = [Topology::Pair, Topology::PairAcrossRouter];
    for topology in topologies.into_iter().take(if ground.quick { 1 } else { 2 }) {
        let scene = ground.scene(topology, |_| {})?;
        let (load, epoch) = (scene.usual_load(ground)?, scene.epoch(SHOP));
        for way in Way::BOTH {
            let when = SystemTime::now();
            scene.cuts.lose(&Loss::all(&[way]))?;
            let alarms = Twin::BOTH.map(|twin| scene.wait_event(twin, &["path-down"], when));
            let [alpha, beta] = alarms;
            figures.push(figure(
                format!("{topology:?}, {way:?} cut: alarm on both"),
                alpha?.max(beta?),
                bounds::ALARM,
            ));
            sleep(ground.seconds(2, 30));
            scene.cuts.lose(&[])?;
            scene.wait_ready()?;
        }
        let (changes, toll) = (scene.epoch(SHOP) - epoch, load.stop()?);
        figures.extend([
            figure(format!("{topology:?}: takeovers"), changes, bounds::FALSE_TAKEOVERS),
            figure(format!("{topology:?}: packets lost"), toll.lost_packets(), bounds::LOST_PACKETS),
        ]);
    }
    Ok(figures)
}

pub(super) fn all(ground: &Ground) -> Result<Vec<Figure>> {
    let scene = ground.scene(Topology::Pair, |file| {
        file.set("recovery", "\"manual\"");
    })?;
    let load = scene.usual_load(ground)?;
    scene.cuts.lose(&Loss::all(&Way::BOTH))?;
    sleep(ground.seconds(4, 30));
    let healed = Instant::now();
    scene.cuts.lose(&[])?;
    scene.wait_ready()?;
    sleep(Duration::from_secs(1));
    let toll = load.stop()?;
    let after =
        toll.holders.both_until().map_or(Duration::ZERO, |last| last.saturating_duration_since(healed));
    Ok(vec![
        told("both, ms (allowed while nothing connects the two)", toll.holders.more_than_one()),
        figure("both after the cut has healed", after, bounds::HEALED),
        figure("connections lost", toll.crowd.lost.len(), bounds::LOST),
        figure("flows moved", toll.moved(), bounds::MOVED),
    ])
}

pub(super) fn one_direction(ground: &Ground) -> Result<Vec<Figure>> {
    let scene = ground.scene(Topology::Pair, |file| {
        file.set("recovery", "\"manual\"");
    })?;
    let load = scene.usual_load(ground)?;
    let (mut worst, mut all) = (0, 0);
    for from in Twin::BOTH {
        for ways in [&[Way::Lan][..], &[Way::Second], &Way::BOTH] {
            let epoch = scene.epoch(SHOP);
            scene.cuts.lose(&Loss::one_way(ways, from))?;
            sleep(ground.seconds(4, 100));
            scene.cuts.lose(&[])?;
            scene.wait_ready()?;
            let changes = scene.epoch(SHOP) - epoch;
            worst = worst.max(changes);
            all += changes;
        }
    }
    let toll = load.stop()?;
    Ok(vec![
        figure("most takeovers of one cut", worst, bounds::ONE_CHANGE),
        told("takeovers of six cuts", all),
        figure("both", toll.holders.more_than_one(), bounds::BOTH_AFTER_PAUSE),
        figure("connections lost", toll.crowd.lost.len(), bounds::LOST),
    ])
}

pub(super) fn random_loss(ground: &Ground) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for profile in ["default", "fast"] {
        let scene = ground.scene(Topology::Pair, |file| {
            file.set("profile", format!("\"{profile}\""));
        })?;
        for (ways, percent) in
            [(&Way::BOTH[..], 10), (&Way::BOTH[..], 30), (&[Way::Lan][..], 50), (&[Way::Second][..], 50)]
        {
            let epoch = scene.epoch(SHOP);
            scene.cuts.lose(&Loss::random(ways, percent))?;
            let time = ground.seconds(20, 600);
            sleep(time);
            scene.cuts.lose(&[])?;
            let where_ = if ways.len() == 2 { "both ways".to_owned() } else { format!("{:?}", ways[0]) };
            figures.push(figure(
                format!("{profile}, {percent} % on {where_}, {} s: takeovers", time.as_secs()),
                scene.epoch(SHOP) - epoch,
                bounds::FALSE_TAKEOVERS,
            ));
        }
    }
    Ok(figures)
}

pub(super) fn bursts(ground: &Ground) -> Result<Vec<Figure>> {
    /// Half the time that the profile takes to find a partner dead, in each half second.
    const BURSTS: Bursts = Bursts { length: Duration::from_millis(100), every: Duration::from_millis(500) };
    let scene = ground.scene(Topology::Pair, |_| {})?;
    let (epoch, time) = (scene.epoch(SHOP), ground.seconds(20, 300));
    let manners = Manners { delay: Duration::ZERO, jitter: Duration::ZERO, twice: 0, bursts: Some(BURSTS) };
    let relay = Relay::start(&scene.cuts, &Way::BOTH, manners)?;
    sleep(time);
    relay.stop()?;
    Ok(vec![
        told("bursts of 100 ms", time.as_millis() as u64 / BURSTS.every.as_millis() as u64),
        figure("takeovers", scene.epoch(SHOP) - epoch, bounds::FALSE_TAKEOVERS),
    ])
}

pub(super) fn bad_wire(ground: &Ground) -> Result<Vec<Figure>> {
    let scene = ground.scene(Topology::Pair, |_| {})?;
    let (load, epoch) = (scene.usual_load(ground)?, scene.epoch(SHOP));
    // The reordering is more than a heartbeat; the delay alone must not look like silence.
    let (delay, jitter) = (Duration::from_millis(20), Duration::from_millis(70));
    let manners = Manners { delay, jitter, twice: 30, bursts: None };
    let relay = Relay::start(&scene.cuts, &Way::BOTH, manners)?;
    sleep(ground.seconds(15, 300));
    let relayed = relay.stop()?;
    sleep(Duration::from_secs(1));
    let (changes, toll) = (scene.epoch(SHOP) - epoch, load.stop()?);
    Ok(vec![
        told("frames relayed", relayed),
        figure("takeovers", changes, bounds::FALSE_TAKEOVERS),
        figure("connections lost", toll.crowd.lost.len(), bounds::LOST),
    ])
}
