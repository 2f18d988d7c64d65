//! Whoever has no key.

use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, Result};

use crate::faults::cut::Way;
use crate::faults::ground::{Ground, Scene};
use crate::faults::intruder::{Claimant, Flood, forged as forge, record};
use crate::faults::{Figure, bounds, figure, told};
use crate::measure::Usage;
use crate::pair::{SHOP, Topology};
use crate::site::Family;
use crate::twins::{Twin, write_key};
use crate::wire::mac_of;

/// More than a machine that also carries the site can send.
const AS_FAST_AS_IT_GOES: u32 = 500_000;
/// Counters of frames that were told from a partner's by the program.
const REFUSED: [&str; 8] = [
    "twin-shape",
    "twin-stranger",
    "twin-version",
    "twin-key",
    "twin-forged",
    "twin-reflected",
    "twin-replayed",
    "twin-unasked",
];

pub(super) fn replay(ground: &Ground) -> Result<Vec<Figure>> {
    let scene = ground.scene(Topology::Pair, |_| {})?;
    let time = ground.seconds(5, 60);
    let switch = scene.cuts.place(Way::Lan);
    let recorded = [record(switch, Twin::Alpha, time)?, record(switch, Twin::Beta, time)?];
    let [from_alpha, from_beta] = recorded;
    let count = from_alpha.len() + from_beta.len();
    let floods = [(Twin::Beta, from_alpha), (Twin::Alpha, from_beta)];
    let mut figures = vec![told("frames recorded", count)];
    figures.extend(scene.flooded(ground, floods, |_| {})?);
    Ok(figures)
}

pub(super) fn forged(ground: &Ground) -> Result<Vec<Figure>> {
    let scene = ground.scene(Topology::Pair, |_| {})?;
    let frames = |to| forge(&scene.twins, to, Way::Lan, 3000, 5);
    let floods = [(Twin::Beta, frames(Twin::Beta)?), (Twin::Alpha, frames(Twin::Alpha)?)];
    scene.flooded(ground, floods, |_| {})
}

pub(super) fn foreign(ground: &Ground) -> Result<Vec<Figure>> {
    // Another pair with the same names and addresses, and a key of its own: what it says is recorded and said here.
    let theirs = {
        let other = ground.scene(Topology::Pair, |file| {
            let _ = write_key(file.key_file.clone(), 0x5a);
        })?;
        let switch = other.cuts.place(Way::Lan);
        [
            record(switch, Twin::Alpha, ground.seconds(3, 30))?,
            record(switch, Twin::Beta, ground.seconds(3, 30))?,
        ]
    };
    let scene = ground.scene(Topology::Pair, |_| {})?;
    let [mut from_alpha, mut from_beta] = theirs;
    for (to, frames) in [(Twin::Beta, &mut from_alpha), (Twin::Alpha, &mut from_beta)] {
        let mac = mac_of(&scene.twins.machine(to).namespace, "eth0")?;
        frames.iter_mut().for_each(|frame| frame[..6].copy_from_slice(&mac));
    }
    let mut figures = scene.flooded(ground, [(Twin::Beta, from_alpha), (Twin::Alpha, from_beta)], |_| {})?;
    figures.push(figure("until a foreign claim is told", scene.claimed()?, bounds::ALARM_SLOW));
    Ok(figures)
}

impl Scene {
    /// Pours frames over both dispatchers and looks at what they make of it.
    fn flooded(
        &self,
        ground: &Ground,
        floods: [(Twin, Vec<Vec<u8>>); 2],
        during: impl FnOnce(&Self),
    ) -> Result<Vec<Figure>> {
        let (load, epoch, refused) = (self.usual_load(ground)?, self.epoch(SHOP), self.refused()?);
        let pids = [self.twins.of(Twin::Alpha).process()?.pid(), self.twins.of(Twin::Beta).process()?.pid()];
        let cpu = |pid| Usage::of(pid).map(|usage| usage.cpu);
        let (before, begun) = ([cpu(pids[0])?, cpu(pids[1])?], Instant::now());
        let switch = self.cuts.place(Way::Lan);
        let running = floods
            .into_iter()
            .map(|(to, frames)| Flood::start(switch, to, frames, AS_FAST_AS_IT_GOES))
            .collect::<Result<Vec<_>>>()?;
        during(self);
        sleep(ground.seconds(8, 60));
        let took = begun.elapsed().as_secs_f64();
        let used = [cpu(pids[0])?.saturating_sub(before[0]), cpu(pids[1])?.saturating_sub(before[1])];
        let share = used.iter().map(|used| used.as_secs_f64() / took * 100.0).fold(0.0, f64::max);
        let sent = running.into_iter().map(Flood::stop).collect::<Result<Vec<_>>>()?;
        let (frames, rate) = (
            sent.iter().map(|flood| flood.frames).sum::<u64>(),
            sent.iter().map(|flood| flood.per_second).sum::<f64>(),
        );
        sleep(Duration::from_millis(300));
        let (changes, toll) = (self.epoch(SHOP) - epoch, load.stop()?);
        Ok(vec![
            told("frames sent", frames),
            told("frames a second", rate.round()),
            told("refused by the program", self.refused()? - refused),
            figure("takeovers", changes, bounds::FALSE_TAKEOVERS),
            figure("connections lost", toll.crowd.lost.len(), bounds::LOST),
            figure("daemon, the busier one", (share * 10.0).round() / 10.0, bounds::FLOOD_CPU),
        ])
    }

    /// Frames that the programs of both told from a partner's.
    fn refused(&self) -> Result<u64> {
        let mut sum = 0;
        for (twin, reason) in Twin::BOTH.into_iter().flat_map(|twin| REFUSED.map(|reason| (twin, reason))) {
            sum += self.counter(twin, reason)?;
        }
        Ok(sum)
    }

    /// How long it takes the active to say that somebody else claims its addresses.
    fn claimed(&self) -> Result<Duration> {
        let addresses = Family::BOTH.map(|family| self.twins.shop().of(family)).to_vec();
        let when = SystemTime::now();
        let claimant = Claimant::start(&self.twins, addresses, Duration::from_millis(500))?;
        let told = self.wait_event(Twin::Alpha, &["address-claimed"], when);
        claimant.stop()?;
        told.context("a foreign claim")
    }
}
