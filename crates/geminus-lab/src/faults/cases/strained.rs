//! Not enough of something.

use std::thread::sleep;
use std::time::Duration;

use anyhow::Result;

use crate::faults::ground::Ground;
use crate::faults::strain::{Group, Hogs};
use crate::faults::{Figure, bounds, figure, told};
use crate::pair::{SHOP, Topology};
use crate::twins::Twin;

pub(super) fn starved(ground: &Ground) -> Result<Vec<Figure>> {
    let scene = ground.scene(Topology::Pair, |_| {})?;
    let (epoch, time) = (scene.epoch(SHOP), ground.seconds(20, 600));
    let hogs = Hogs::start(&scene.twins, 8)?;
    sleep(time);
    drop(hogs);
    let under_hogs = scene.epoch(SHOP) - epoch;
    let epoch = scene.epoch(SHOP);
    let quota = Group::around(&scene.twins, Twin::Beta, "cpu")?;
    quota.set("cpu.cfs_period_us", "100000")?;
    quota.set("cpu.cfs_quota_us", "10000")?;
    sleep(time);
    drop(quota);
    let under_quota = scene.epoch(SHOP) - epoch;
    let late = |twin| Ok::<_, anyhow::Error>(scene.twins.status(twin)?.heartbeats.map_or(0, |own| own.late));
    Ok(vec![
        figure(format!("8 hogs, {} s: takeovers", time.as_secs()), under_hogs, bounds::FALSE_TAKEOVERS),
        figure(format!("10 % quota, {} s: takeovers", time.as_secs()), under_quota, bounds::FALSE_TAKEOVERS),
        told("own deadlines missed and counted, alpha", late(Twin::Alpha)?),
        told("own deadlines missed and counted, beta", late(Twin::Beta)?),
    ])
}

pub(super) fn squeezed(ground: &Ground) -> Result<Vec<Figure>> {
    let mut scene = ground.scene(Topology::Pair, |_| {})?;
    let (load, epoch) = (scene.usual_load(ground)?, scene.epoch(SHOP));
    let killed = {
        let group = Group::around(&scene.twins, Twin::Alpha, "memory")?;
        // What it has stays charged to where it was; from here on it gets next to nothing.
        group.set("memory.limit_in_bytes", "1048576")?;
        for _ in 0..ground.times(60, 600) {
            // A daemon that gets no memory may answer late, or be killed: what matters is what clients see.
            let _ = scene.twins.events(Twin::Alpha);
            sleep(Duration::from_millis(50));
        }
        scene.twins.of(Twin::Alpha).process()?.ended()?.is_some()
    };
    let squeezed = scene.epoch(SHOP) - epoch;
    // As the kernel's killer would do it, and as a supervisor answers.
    let daemon = scene.twins.of_mut(Twin::Alpha);
    if !killed {
        daemon.kill()?;
    }
    daemon.start_beside()?;
    scene.twins.wait_active(Twin::Alpha, SHOP)?;
    let (changes, toll) = (scene.epoch(SHOP) - epoch, load.stop()?);
    Ok(vec![
        figure("under pressure: takeovers", squeezed, bounds::FALSE_TAKEOVERS),
        told("killed by the kernel while under pressure", u64::from(killed)),
        figure("after the kill: takeovers", changes, bounds::FALSE_TAKEOVERS),
        figure("packets lost", toll.lost_packets(), bounds::LOST_PACKETS),
        figure("connections lost", toll.crowd.lost.len(), bounds::LOST),
    ])
}
