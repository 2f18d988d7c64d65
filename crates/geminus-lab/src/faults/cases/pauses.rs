//! Daemons that do not run for a while, and machines that do not.

use std::thread::sleep;
use std::time::Duration;

use anyhow::Result;

use crate::faults::cut::{HEARTBEATS, Way};
use crate::faults::ground::{Ground, Scene};
use crate::faults::strain::Group;
use crate::faults::{Figure, bounds, figure, told};
use crate::frames;
use crate::pair::{SHOP, Topology};
use crate::twins::{SETTLED, Twin};
use crate::wire::{FRAME, Wire};

pub(super) fn active_stopped(ground: &Ground) -> Result<Vec<Figure>> {
    // The lease decides between a pause that nobody may notice and one that ends in a takeover.
    let lease = ground.seconds(2, 5);
    let scene = ground.scene(Topology::Pair, |file| {
        file.set("lease", format!("\"{}s\"", lease.as_secs())).set("recovery", "\"manual\"");
    })?;
    let mut figures = Vec::new();
    for pause in [Duration::from_millis(150), lease / 2] {
        let (load, epoch) = (scene.usual_load(ground)?, scene.epoch(SHOP));
        stop_for(&scene, Twin::Alpha, pause)?;
        sleep(Duration::from_millis(500));
        let (changes, toll) = (scene.epoch(SHOP) - epoch, load.stop()?);
        let name = format!("{pause:?}");
        figures.extend([
            figure(format!("{name}: takeovers"), changes, bounds::FALSE_TAKEOVERS),
            figure(format!("{name}: packets lost"), toll.lost_packets(), bounds::LOST_PACKETS),
            figure(format!("{name}: connections lost"), toll.crowd.lost.len(), bounds::LOST),
        ]);
    }
    let pause = lease * 2;
    let (load, epoch) = (scene.usual_load(ground)?, scene.epoch(SHOP));
    stop_for(&scene, Twin::Alpha, pause)?;
    scene.wait_ready()?;
    let (changes, toll) = (scene.epoch(SHOP) - epoch, load.stop()?);
    figures.extend([
        told(format!("{pause:?}: takeovers"), changes),
        figure(
            format!("{pause:?}: takeovers beyond the one"),
            changes.saturating_sub(1),
            bounds::FALSE_TAKEOVERS,
        ),
        figure(format!("{pause:?}: gap"), toll.gap(), bounds::LEASE_GAP),
        figure(format!("{pause:?}: both"), toll.holders.more_than_one(), bounds::BOTH_AFTER_PAUSE),
        figure(format!("{pause:?}: connections lost"), toll.crowd.lost.len(), bounds::LOST),
    ]);
    Ok(figures)
}

pub(super) fn standby_stopped(ground: &Ground) -> Result<Vec<Figure>> {
    let scene = ground.scene(Topology::Pair, |_| {})?;
    let (load, epoch) = (scene.usual_load(ground)?, scene.epoch(SHOP));
    stop_for(&scene, Twin::Beta, ground.seconds(7, 10))?;
    sleep(Duration::from_secs(1));
    let (changes, toll) = (scene.epoch(SHOP) - epoch, load.stop()?);
    scene.wait_ready()?;
    Ok(vec![
        figure("takeovers", changes, bounds::FALSE_TAKEOVERS),
        figure("packets lost", toll.lost_packets(), bounds::LOST_PACKETS),
        figure("connections lost", toll.crowd.lost.len(), bounds::LOST),
    ])
}

pub(super) fn frozen(ground: &Ground) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    let long = ground.seconds(8, 30);
    for pause in [Duration::from_millis(300), Duration::from_secs(2), long] {
        let scene = ground.scene(Topology::Pair, |file| {
            file.set("recovery", "\"manual\"");
        })?;
        let load = scene.usual_load(ground)?;
        // The machine's program would still answer: its ports are dead for as long as it does not run.
        let freezer = Group::around(&scene.twins, Twin::Alpha, "freezer")?;
        freezer.set("freezer.state", "FROZEN")?;
        scene.cuts.isolate(Twin::Alpha)?;
        sleep(pause);
        let claims = scene.claims_after(Twin::Alpha, || {
            freezer.set("freezer.state", "THAWED")?;
            scene.cuts.rejoin(Twin::Alpha)
        })?;
        scene.wait_ready()?;
        let toll = load.stop()?;
        figures.extend([
            told(format!("{pause:?}: gap, ms"), toll.gap()),
            figure(format!("{pause:?}: claims before a heartbeat"), claims, bounds::CLAIMS),
            figure(format!("{pause:?}: both"), toll.holders.more_than_one(), bounds::BOTH_AFTER_PAUSE),
            figure(format!("{pause:?}: connections lost"), toll.crowd.lost.len(), bounds::LOST),
        ]);
    }
    Ok(figures)
}

fn stop_for(scene: &Scene, twin: Twin, pause: Duration) -> Result<()> {
    scene.twins.pause(twin)?;
    sleep(pause);
    scene.twins.resume(twin)?;
    // It may take over or be taken from meanwhile; either way both answer again.
    scene.twins.wait_until("both answer", SETTLED, |twins| {
        Twin::BOTH.into_iter().all(|twin| twins.status(twin).is_ok())
    })
}

impl Scene {
    /// Does something and counts the claims to an address that a dispatcher sends on the LAN before it has sent its
    /// partner anything there, and before it was answered.
    fn claims_after(&self, twin: Twin, action: impl FnOnce() -> Result<()>) -> Result<usize> {
        let switch = self.cuts.place(Way::Lan);
        let (own, other) = (Wire::at(switch, twin.name())?, Wire::at(switch, twin.other().name())?);
        own.wait_at_most(Duration::from_millis(20))?;
        other.wait_at_most(Duration::from_millis(1))?;
        let mut buffer = [0; FRAME];
        // What was waiting in the queue belongs to the time before.
        while own.receive(&mut buffer)?.is_some() {}
        while other.receive(&mut buffer)?.is_some() {}
        action()?;
        let (begun, mut claims, mut answered) = (std::time::Instant::now(), 0, false);
        while !answered && begun.elapsed() < Duration::from_secs(2) {
            if let Some(frame) = own.receive(&mut buffer)? {
                claims += usize::from(frames::is_claim(frame));
            }
            if let Some(frame) = other.receive(&mut buffer)? {
                answered = frames::udp_port(frame) == Some(HEARTBEATS);
            }
        }
        Ok(claims)
    }
}
