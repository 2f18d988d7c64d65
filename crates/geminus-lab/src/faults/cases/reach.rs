//! What a dispatcher reaches beside its partner.

use std::thread::sleep;
use std::time::Instant;

use anyhow::Result;

use super::silence::manual;
use crate::faults::ground::Ground;
use crate::faults::{Figure, bounds, figure, told};
use crate::pair::{SHOP, Topology};
use crate::site::ROUTER;
use crate::twins::Twin;

pub(super) fn gateway(ground: &Ground) -> Result<Vec<Figure>> {
    let scene = ground.scene(Topology::Pair, |file| manual(file, "default"))?;
    let load = scene.usual_load(ground)?;
    let lost = |twin: Twin| {
        let name = twin.name();
        vec![
            format!("iifname \"{name}\" ip daddr {} icmp type echo-request", ROUTER.v4),
            format!("iifname \"{name}\" ip6 daddr {} icmpv6 type echo-request", ROUTER.v6),
        ]
    };
    let (epoch, begun) = (scene.epoch(SHOP), Instant::now());
    scene.cuts.lose_in_switch(&lost(Twin::Alpha))?;
    scene.wait_taken_over(Twin::Alpha, SHOP)?;
    let took = begun.elapsed();
    // Now the other one loses it as well: neither is better off, and nothing changes.
    scene.cuts.lose_in_switch(&[lost(Twin::Alpha), lost(Twin::Beta)].concat())?;
    sleep(ground.seconds(8, 60));
    let changes = scene.epoch(SHOP) - epoch;
    scene.cuts.lose_in_switch(&[])?;
    scene.wait_ready()?;
    let toll = load.stop()?;
    Ok(vec![
        figure("takeover by the one that still reaches it", took, bounds::REACH),
        figure("takeovers beyond the one", changes.saturating_sub(1), bounds::FALSE_TAKEOVERS),
        told("packets lost", toll.lost_packets()),
        figure("connections lost", toll.crowd.lost.len(), bounds::LOST),
    ])
}
