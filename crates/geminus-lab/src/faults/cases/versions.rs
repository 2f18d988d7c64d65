//! Partners that are not alike.

use std::thread::sleep;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result};

use crate::faults::ground::Ground;
use crate::faults::{Figure, bounds, figure, told};
use crate::pair::{SHOP, Topology};
use crate::twins::Twin;

pub(super) fn different_files(ground: &Ground) -> Result<Vec<Figure>> {
    let scene = ground.scene(Topology::Pair, |_| {})?;
    let (load, epoch) = (scene.usual_load(ground)?, scene.epoch(SHOP));
    let mut other = scene.twins.file.clone();
    other.clusters[0].servers[0].1 = 5;
    let when = SystemTime::now();
    let beta = scene.twins.of(Twin::Beta);
    beta.write(&other.text())?;
    beta.tell(&["reload"])?;
    let alarm = scene.wait_event(Twin::Alpha, &["config-differs"], when)?;
    let shown = |same: bool| {
        move |twins: &crate::twins::Twins| {
            let told = |twin| twins.status(twin).ok()?.partners.first()?.same_config;
            Twin::BOTH.into_iter().all(|twin| told(twin) == Some(same))
        }
    };
    scene.twins.wait_until("the difference shown by both", crate::twins::SETTLED, shown(false))?;
    sleep(Duration::from_secs(1));
    let status = scene.twins.status(Twin::Alpha)?;
    let partner = status.partners.first().context("alpha has no partner")?;
    let differences = partner.differences.len();
    beta.write(&scene.twins.file.text())?;
    beta.tell(&["reload"])?;
    scene.twins.wait_until("the agreement shown by both", crate::twins::SETTLED, shown(true))?;
    let (changes, toll) = (scene.epoch(SHOP) - epoch, load.stop()?);
    Ok(vec![
        figure("until it is told", alarm, bounds::ALARM_SLOW),
        told("differences named", differences),
        figure("takeovers", changes, bounds::FALSE_TAKEOVERS),
        figure("packets lost", toll.lost_packets(), bounds::LOST_PACKETS),
        figure("connections lost", toll.crowd.lost.len(), bounds::LOST),
    ])
}
