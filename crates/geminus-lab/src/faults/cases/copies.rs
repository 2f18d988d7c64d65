//! Replication that is disturbed.

use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::silence::manual;
use crate::faults::ground::{Ground, Scene};
use crate::faults::intruder::Chance;
use crate::faults::{Figure, bounds, figure, told};
use crate::measure::Usage;
use crate::pair::{SHOP, Topology};
use crate::traffic::crowd::Crowd;
use crate::twins::{SETTLED, Twin};
use crate::{HTTP, site::Family};

pub(super) fn disturbed(ground: &Ground) -> Result<Vec<Figure>> {
    let scene = ground.scene(Topology::Pair, |file| manual(file, "default"))?;
    let (load, epoch) = (scene.usual_load(ground)?, scene.epoch(SHOP));
    let pid = scene.twins.of(Twin::Alpha).process()?.pid();
    let before = Usage::of(pid)?.own_memory;
    scene.cuts.lose_replication(30)?;
    let lossy = scene.newcomers(ground.times(300, 2000) as usize)?;
    sleep(ground.seconds(5, 60));
    scene.cuts.lose_replication(100)?;
    let cut = scene.newcomers(ground.times(300, 2000) as usize)?;
    sleep(ground.seconds(10, 60));
    let grown = Usage::of(pid)?.own_memory.saturating_sub(before);
    scene.cuts.lose_replication(0)?;
    let healed = Instant::now();
    scene.wait_ready()?;
    let difference = scene.wait_equal_tables()?;
    let took = healed.elapsed();
    let (changes, toll) = (scene.epoch(SHOP) - epoch, load.stop()?);
    // What came while nothing was replicated goes on with the other one too.
    scene.die(Twin::Alpha)?;
    scene.wait_taken_over(Twin::Alpha, SHOP)?;
    let mut survivors = lossy;
    survivors.join(cut);
    let survivors = survivors.use_all(Duration::from_secs(1));
    Ok(vec![
        figure("takeovers", changes, bounds::FALSE_TAKEOVERS),
        figure("packets lost", toll.lost_packets(), bounds::LOST_PACKETS),
        figure("tables equal after the cut has healed", took, bounds::EQUAL_TABLES),
        figure("difference that stays", difference, bounds::TABLE_DIFFERENCE),
        figure("memory grown while cut", grown as f64 / 1_048_576.0, bounds::QUEUE_MEMORY),
        figure(
            format!("connections lost of {} in a takeover afterwards", survivors.connections),
            survivors.lost.len(),
            bounds::LOST,
        ),
    ])
}

pub(super) fn cut_short(ground: &Ground) -> Result<Vec<Figure>> {
    let mut scene = ground.scene(Topology::Pair, |file| manual(file, "default"))?;
    let mut chance = Chance(31);
    let (mut lost, mut connections, times) = (0, 0, ground.times(3, 10));
    for _ in 0..times {
        let active = scene.active(SHOP)?;
        scene.twins.of_mut(active.other()).stop()?;
        let mut crowd = scene.newcomers(ground.times(1000, 8000) as usize)?;
        scene.twins.of_mut(active.other()).start_beside()?;
        sleep(Duration::from_millis(chance.below(600) as u64));
        scene.die(active)?;
        scene.wait_taken_over(active, SHOP)?;
        let toll = crowd.use_all(Duration::from_secs(1));
        lost += toll.lost.len();
        connections += toll.connections;
        scene.come_back(active)?;
        scene.wait_ready()?;
    }
    Ok(vec![
        told("joins cut short", u64::from(times)),
        figure(format!("connections lost of {connections}"), lost, bounds::LOST),
    ])
}

impl Scene {
    /// So many connections in each family, opened now.
    fn newcomers(&self, count: usize) -> Result<Crowd> {
        let targets = Family::BOTH.map(|family| (self.twins.shop().of(family), HTTP).into());
        Crowd::open(&self.twins.site.client, &targets, count)
    }

    /// Waits until both remember equally many flows; returns by how many they differ in the end.
    fn wait_equal_tables(&self) -> Result<u64> {
        let used = |twin| Ok::<_, anyhow::Error>(self.twins.status(twin)?.data_plane.flows.used);
        let begun = Instant::now();
        loop {
            let difference = used(Twin::Alpha)?.abs_diff(used(Twin::Beta)?);
            if difference == 0 || begun.elapsed() > SETTLED {
                return Ok(difference);
            }
            sleep(Duration::from_millis(100));
        }
    }
}
