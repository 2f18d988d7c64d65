//! The servers' own accidents: one dies, one is set up wrong. Played on a site of their own, where something may be lost.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::Options;
use super::promise::{Promise, grouped, milliseconds};
use crate::HTTP;
use crate::balanced::Balanced;
use crate::site::{CLUSTER, Family};
use crate::traffic::keepers::Kept;
use crate::traffic::visitors::Visitors;
use crate::traffic::{Recorder, cluster};

/// New connections a second and family.
const VISITORS: u32 = 200;
/// Connections in each family that stay open.
const KEEPERS: usize = 20;
/// How long new connections may fail after a server's death, with the default check, on a machine at work.
const OUT: Duration = Duration::from_millis(1600);
/// How long until a wrong set-up has a name.
const NAMED: Duration = Duration::from_secs(5);
/// How long is waited for what must come.
const PATIENCE: Duration = Duration::from_secs(15);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ward {
    /// A server's program is killed.
    Dead,
    /// A server has lost the cluster address.
    WithoutAddress,
}

impl Ward {
    pub(super) const ALL: [Self; 2] = [Self::Dead, Self::WithoutAddress];

    pub(super) const fn title(self) -> &'static str {
        match self {
            Self::Dead => "A server dies: it is out of the choice, and the others' clients notice nothing",
            Self::WithoutAddress => "A server that is set up wrong is named, with what is wrong",
        }
    }

    /// Plays it; what goes wrong on the way breaks the promise and not the demonstration.
    pub(super) fn play(self, options: &Options) -> Promise {
        let begun = Instant::now();
        let mut promise = Promise::new(self.title());
        let result = match self {
            Self::Dead => dead(options, &mut promise),
            Self::WithoutAddress => without_address(options, &mut promise),
        };
        if let Err(error) = result {
            promise.must(false, || format!("{error:#}"));
        }
        promise.took = begun.elapsed();
        promise
    }
}

fn dead(options: &Options, promise: &mut Promise) -> Result<()> {
    const VICTIM: &str = "web2";
    let mut ground = Balanced::prepare_with(&options.geminus, 3)?;
    ground.balancer.start()?;
    let keepers = ground.keep(KEEPERS)?;
    let targets = Family::BOTH.map(|family| cluster(family, HTTP));
    let visitors = Visitors::start(ground.client(), &targets, VISITORS, &Arc::new(Recorder::begin()))?;
    std::thread::sleep(Duration::from_secs(2));
    let before = keepers.look();
    let seen = ground.balancer.newest_event()?;
    let killed = Instant::now();
    ground.site.kill_http(VICTIM)?;
    let told = told_of(&ground, seen, "server-down", VICTIM)?;
    std::thread::sleep(Duration::from_secs(2));
    let tally = visitors.stop()?;
    let host = ground.host(VICTIM)?;
    ground.site.serve_http(&host)?;
    told_of(&ground, seen, "server-up", VICTIM)?;
    let again = ground.come_all(300)?;
    let kept = keepers.stop()?;

    let window = tally.lost_at.iter().map(|at| at.saturating_duration_since(killed)).max();
    let window = window.unwrap_or_default();
    promise.must(window <= OUT, || {
        format!("new connections failed until {} after the death", milliseconds(window))
    });
    let early = tally.lost_at.iter().filter(|at| **at < killed).count();
    // A request that was being served when its server died is that server's.
    promise.must(early <= 4, || format!("{early} requests failed before the death"));
    promise.must(again.of(VICTIM) > 0, || format!("{VICTIM} got no new connection after it was back"));
    let others = others_went_on(promise, &before, &kept, VICTIM);
    promise.say(format!(
        "{VICTIM} killed under {} new connections a second: the last one that failed began {} later, {} of {} failed",
        4 * VISITORS / 2,
        milliseconds(window),
        tally.lost.len(),
        grouped(tally.answered() + tally.lost.len() as u64),
    ));
    promise.say(format!("{others} open connections to the others: all went on"));
    promise.say(format!("told: {told}"));
    promise.say(format!("back, {VICTIM} took {} of {} new connections", again.of(VICTIM), again.answered()));
    Ok(())
}

fn without_address(options: &Options, promise: &mut Promise) -> Result<()> {
    const VICTIM: &str = "web3";
    let ground = {
        let mut ground = Balanced::prepare_with(&options.geminus, 3)?;
        ground.balancer.start()?;
        ground
    };
    let host = ground.host(VICTIM)?;
    std::thread::sleep(Duration::from_secs(2));
    let seen = ground.balancer.newest_event()?;
    let broken = Instant::now();
    host.namespace.ip(&format!("addr del {}/32 dev lo\n", CLUSTER.v4))?;
    let told = told_of(&ground, seen, "setup-fault", VICTIM)?;
    let named = broken.elapsed();
    promise.must(named <= NAMED, || format!("it had a name only {} later", milliseconds(named)));
    host.namespace.ip(&format!("addr add {}/32 dev lo\n", CLUSTER.v4))?;
    told_of(&ground, seen, "server-up", VICTIM)?;
    let tally = ground.come_all(300)?;
    promise.must(tally.of(VICTIM) > 0, || format!("{VICTIM} got no new connection after it was mended"));
    promise.say(format!("{} taken off {VICTIM}'s lo; {} later: {told}", CLUSTER.v4, milliseconds(named)));
    promise.say(format!("mended, it took {} of {} new connections", tally.of(VICTIM), tally.answered()));
    Ok(())
}

/// Connections to other servers than the victim; each must have gone on.
fn others_went_on(promise: &mut Promise, before: &[Kept], after: &[Kept], victim: &str) -> usize {
    let others: Vec<_> = before.iter().zip(after).filter(|(old, _)| old.server != victim).collect();
    let lost: Vec<String> = others.iter().filter_map(|(_, new)| new.lost.clone()).collect();
    promise.must_lose_nothing("open connections to other servers", &lost);
    let stuck = others.iter().filter(|(old, new)| new.answered <= old.answered).count();
    promise.must(stuck == 0, || format!("{stuck} open connections to other servers made no progress"));
    others.len()
}

/// The message of an event of a kind about a server, once there is one after this number.
fn told_of(ground: &Balanced, after: u64, kind: &str, server: &str) -> Result<String> {
    Ok(ground.balancer.wait_for_event(after, kind, server, PATIENCE)?.message)
}
