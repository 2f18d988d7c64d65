//! Each is the other's backup.

use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::silence::manual;
use crate::faults::ground::{Ground, Scene};
use crate::faults::{Figure, bounds, figure, told};
use crate::pair::{MAIL_NAME, SHOP, Topology};
use crate::site::MAIL;
use crate::traffic::echo::ECHO;
use crate::twins::Twin;

pub(super) fn either_dies(ground: &Ground) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    let deaths = [(Twin::Alpha, SHOP, MAIL_NAME), (Twin::Beta, MAIL_NAME, SHOP)];
    for (dies, moves, stays) in deaths.into_iter().take(if ground.quick { 1 } else { 2 }) {
        let scene = ground.scene(Topology::Mutual, |file| manual(file, "default"))?;
        let load = |name| scene.load(scene.twins.cluster(name)?, ground.connections() / 2, 1000);
        let (moving, staying) = (load(moves)?, load(stays)?);
        scene.die(dies)?;
        scene.wait_taken_over(dies, moves)?;
        sleep(Duration::from_secs(1));
        scene.come_back(dies)?;
        scene.wait_ready()?;
        let (moved, stayed) = (moving.stop()?, staying.stop()?);
        let name = dies.name();
        figures.extend([
            figure(format!("{name} dies: gap of its cluster"), moved.gap(), bounds::SILENCE_DEFAULT_P99),
            figure(
                format!("{name} dies: packets lost of the other"),
                stayed.lost_packets(),
                bounds::LOST_PACKETS,
            ),
            figure(
                format!("{name} dies: connections lost"),
                moved.crowd.lost.len() + stayed.crowd.lost.len(),
                bounds::LOST,
            ),
        ]);
    }
    Ok(figures)
}

pub(super) fn two_boxes(ground: &Ground) -> Result<Vec<Figure>> {
    let scene = ground.scene(Topology::TwoBoxes, |file| manual(file, "default"))?;
    scene.count_crossings()?;
    let (shop, mail) = (
        scene.load(scene.twins.shop(), ground.connections() / 2, 500)?,
        scene.load(MAIL, ground.connections() / 2, 500)?,
    );
    sleep(Duration::from_secs(2));
    let by_order = scene.back_and_forth()?;
    let (shop, mail) = (shop.stop()?, mail.stop()?);
    let (sent, crossed) = (shop.packets() + mail.packets(), scene.crossings()?);
    let mut figures = vec![
        told("switch-overs by order", by_order),
        told("packets of the streams", sent),
        told("of them over the link between the two", crossed),
        figure("crossed more than once", crossed.saturating_sub(sent as u64), bounds::LOOPS),
        figure("packets lost", shop.lost_packets() + mail.lost_packets(), bounds::LOST_PACKETS),
        figure("connections lost", shop.crowd.lost.len() + mail.crowd.lost.len(), bounds::LOST),
    ];
    figures.extend(collocated(ground)?);
    Ok(figures)
}

/// The backup is a server: what it serves itself goes on when it takes over, and when it hands back.
fn collocated(ground: &Ground) -> Result<Vec<Figure>> {
    let scene = ground.scene(Topology::Collocated, |file| manual(file, "default"))?;
    let load = scene.usual_load(ground)?;
    scene.die(Twin::Alpha)?;
    scene.wait_taken_over(Twin::Alpha, SHOP)?;
    sleep(Duration::from_secs(1));
    scene.come_back(Twin::Alpha)?;
    scene.wait_ready()?;
    scene.twins.of(Twin::Alpha).tell(&["takeover"])?;
    scene.twins.wait_active(Twin::Alpha, SHOP)?;
    sleep(Duration::from_secs(1));
    let toll = load.stop()?;
    Ok(vec![
        figure("backup is a server: gap", toll.gap(), bounds::SILENCE_DEFAULT_P99),
        figure("backup is a server: flows moved", toll.moved(), bounds::MOVED),
        figure("backup is a server: connections lost", toll.crowd.lost.len(), bounds::LOST),
    ])
}

impl Scene {
    /// Each takes the other's cluster over and gives it back; returns how often something moved.
    fn back_and_forth(&self) -> Result<u64> {
        let mut moves = 0;
        for (to, cluster) in
            [(Twin::Beta, SHOP), (Twin::Alpha, SHOP), (Twin::Alpha, MAIL_NAME), (Twin::Beta, MAIL_NAME)]
        {
            self.twins.of(to).tell(&["takeover", cluster])?;
            self.twins.wait_active(to, cluster)?;
            self.wait_ready()?;
            moves += 1;
        }
        Ok(moves)
    }

    /// Counts the packets of the streams on their way from one dispatcher to the other.
    fn count_crossings(&self) -> Result<()> {
        let rule = |from: Twin| {
            format!(
                "    iifname \"{}\" oifname \"{}\" udp dport {ECHO} counter name crossed\n",
                from.name(),
                from.other().name()
            )
        };
        let text = format!(
            "table bridge crossings {{\n  counter crossed {{}}\n  chain between {{\n    type filter hook forward \
             priority 10; policy accept;\n{}{}  }}\n}}\n",
            rule(Twin::Alpha),
            rule(Twin::Beta)
        );
        self.twins.site.switch.feed("nft", &["-f", "-"], &text).map(drop)
    }

    fn crossings(&self) -> Result<u64> {
        let out =
            self.twins.site.switch.run("nft", &["list", "counter", "bridge", "crossings", "crossed"])?;
        let mut words = out.split_whitespace().skip_while(|word| *word != "packets");
        words.nth(1).and_then(|count| count.parse().ok()).context("the switch has no counter crossed")
    }
}
