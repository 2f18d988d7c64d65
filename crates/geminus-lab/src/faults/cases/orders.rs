//! What is asked for: hand over, leave, come back.

use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::Result;
use geminus_api::ClusterState;

use super::silence::manual;
use crate::faults::ground::Ground;
use crate::faults::{Figure, bounds, figure, told};
use crate::pair::{SHOP, Topology};
use crate::traffic::crowd::Crowd;
use crate::twins::{SETTLED, Twin};
use crate::{HTTP, site::Family};

/// Packets a second in each family: 10 000 in both.
const PER_SECOND: u32 = 5000;

pub(super) fn planned(ground: &Ground) -> Result<Vec<Figure>> {
    let mut scene = ground.scene(Topology::Pair, |file| manual(file, "default"))?;
    let load = scene.load(scene.twins.shop(), ground.connections(), PER_SECOND)?;
    let orders = ground.times(6, 50);
    for _ in 0..orders {
        let to = scene.active(SHOP)?.other();
        scene.twins.of(to).tell(&["takeover"])?;
        scene.twins.wait_active(to, SHOP)?;
        scene.wait_ready()?;
        sleep(Duration::from_millis(300));
    }
    let by_order = load.stop()?;
    let load = scene.load(scene.twins.shop(), ground.connections(), PER_SECOND)?;
    for _ in 0..ground.times(2, 20) {
        let leaving = scene.active(SHOP)?;
        scene.twins.of_mut(leaving).stop()?;
        scene.twins.wait_active(leaving.other(), SHOP)?;
        scene.twins.of_mut(leaving).start_beside()?;
        scene.wait_ready()?;
    }
    let by_leaving = load.stop()?;
    let mut figures = vec![told("switch-overs by order", u64::from(orders))];
    for (name, toll) in [("takeover", by_order), ("SIGTERM", by_leaving)] {
        figures.extend([
            figure(
                format!("{name}: packets lost of {}", toll.packets()),
                toll.lost_packets(),
                bounds::LOST_PACKETS,
            ),
            figure(format!("{name}: flows moved"), toll.moved(), bounds::MOVED),
            figure(format!("{name}: connections lost"), toll.crowd.lost.len(), bounds::LOST),
        ]);
    }
    Ok(figures)
}

pub(super) fn failback(ground: &Ground) -> Result<Vec<Figure>> {
    let mut scene = ground.scene(Topology::Pair, |file| {
        file.set("recovery", "\"auto\"").set("stable", "\"1s\"");
    })?;
    // Connections that the returned node can know only from its partner: it was not there when they began.
    let targets = Family::BOTH.map(|family| (scene.twins.shop().of(family), HTTP).into());
    let load = scene.usual_load(ground)?;
    scene.twins.of_mut(Twin::Alpha).stop()?;
    scene.twins.wait_active(Twin::Beta, SHOP)?;
    let crowd = Crowd::open(&scene.twins.site.client, &targets, ground.times(1000, 8000) as usize)?;
    let live = crowd.live(Duration::from_secs(2));
    scene.twins.of_mut(Twin::Alpha).start_at_once()?;
    let (begun, mut early, mut synced) = (Instant::now(), 0_usize, None);
    scene.twins.wait_until("alpha active again", SETTLED, |twins| {
        let Ok(status) = twins.status(Twin::Alpha) else { return false };
        let complete = status.partners.iter().all(|partner| partner.sync.state == "complete");
        if complete && synced.is_none() {
            synced = Some(begun.elapsed());
        }
        let active = status.clusters.iter().any(|cluster| cluster.state == ClusterState::Active);
        early += usize::from(active && synced.is_none());
        active && twins.who_is_active(SHOP) == [Twin::Alpha]
    })?;
    let back = begun.elapsed();
    sleep(Duration::from_secs(3));
    let (toll, came_meanwhile) = (load.stop()?, live.stop()?);
    Ok(vec![
        figure("looks at which it was active before its copy was complete", early, bounds::EARLY_FAILBACK),
        figure("copy complete after the start", synced.unwrap_or(back), bounds::RESYNC),
        told("active again after the start, ms", back),
        figure("packets lost", toll.lost_packets(), bounds::LOST_PACKETS),
        figure("connections lost", toll.crowd.lost.len(), bounds::LOST),
        figure(
            format!("connections lost of {} begun meanwhile", came_meanwhile.connections),
            came_meanwhile.lost.len(),
            bounds::LOST,
        ),
    ])
}
