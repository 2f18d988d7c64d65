//! The scenes: each does what an operator or an accident does and judges what the clients met.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use crate::balancer::counted;
use crate::measure::{self, Usage};
use crate::site::Family;
use crate::traffic::keepers::{self, Download, Kept};
use crate::traffic::probe::{self, PortState};
use crate::traffic::{Tally, cluster, rate};
use crate::{HTTP, SLOW_BYTES, UNEXPOSED};

use super::promise::{Promise, bytes, grouped, milliseconds};
use super::stage::Stage;
use super::story::{Restart, Share};

/// The server that is drained.
const DRAINED: &str = "web2";
/// Resident memory that a daemon may have besides tables.
const MEMORY: u64 = 32 << 20;
/// Share of a processor that an idle daemon may use, its checks included: two a second of each server.
const IDLE: f64 = 0.01;

#[derive(Debug, Clone, Copy)]
pub(super) enum Scene {
    Weights,
    DirectReturn,
    Drain,
    Join,
    Shut,
    Restart,
    Neighbour,
    Everybody,
    Cost,
}

impl Scene {
    pub(super) const ALL: [Self; 9] = [
        Self::Weights,
        Self::DirectReturn,
        Self::Drain,
        Self::Join,
        Self::Shut,
        Self::Restart,
        Self::Neighbour,
        Self::Everybody,
        Self::Cost,
    ];

    pub(super) const fn title(self) -> &'static str {
        match self {
            Self::Weights => "New flows follow the weights",
            Self::DirectReturn => "Replies bypass the dispatcher",
            Self::Drain => "A drained server gets no new flow and finishes its old ones",
            Self::Join => "A server joins under load and no open connection notices",
            Self::Shut => "A port that is not exposed is shut, and the drop is counted",
            Self::Restart => "Killed with -9 and restarted under load, nothing is lost",
            Self::Neighbour => "Another program on the dispatcher's machine is undisturbed",
            Self::Everybody => "Through all of it, every request was answered",
            Self::Cost => "It costs little",
        }
    }

    /// Plays it; what goes wrong on the way breaks the promise and not the demonstration.
    pub(super) fn play(self, stage: &mut Stage) -> Promise {
        let begun = Instant::now();
        let mut promise = Promise::new(self.title());
        let result = match self {
            Self::Weights => weights(stage, &mut promise),
            Self::DirectReturn => direct_return(stage, &mut promise),
            Self::Drain => drain(stage, &mut promise),
            Self::Join => join(stage, &mut promise),
            Self::Shut => shut(stage, &mut promise),
            Self::Restart => restart(stage, &mut promise),
            Self::Neighbour => neighbour(stage, &mut promise),
            Self::Everybody => everybody(stage, &mut promise),
            Self::Cost => cost(stage, &mut promise),
        };
        if let Err(error) = result {
            promise.must(false, || format!("{error:#}"));
        }
        promise.took = begun.elapsed();
        promise
    }
}

fn weights(stage: &mut Stage, promise: &mut Promise) -> Result<()> {
    let count = stage.number(3000);
    let sum: u16 = stage.ground.wanted.servers.iter().map(|(_, weight)| weight).sum();
    for family in Family::BOTH {
        let tally = come(stage, family, count)?;
        promise.must_lose_nothing("requests", &tally.lost);
        let shares = shares_of(&tally, family, stage, sum);
        let words: Vec<String> =
            shares.iter().map(|share| format!("{} {:.1} %", share.server, share.measured * 100.0)).collect();
        promise.say(format!(
            "{}  {}  of {} new connections",
            family.name(),
            words.join("  "),
            grouped(count)
        ));
        for share in &shares {
            // Four standard deviations of the draw and the 1 % that the ring may be off.
            let allowed = 4.0 * (share.wanted * (1.0 - share.wanted) / count as f64).sqrt() + 0.01;
            promise.must((share.measured - share.wanted).abs() <= allowed, || {
                let (measured, wanted) = (share.measured * 100.0, share.wanted * 100.0);
                format!(
                    "{} got {measured:.1} % of {}, its weight promises {wanted:.1} %",
                    share.server,
                    family.name()
                )
            });
        }
        stage.shares.extend(shares);
    }
    let words: Vec<String> =
        stage.ground.wanted.servers.iter().map(|(_, weight)| weight.to_string()).collect();
    promise.say(format!("the weights are {}", words.join(" : ")));
    Ok(())
}

fn shares_of(tally: &Tally, family: Family, stage: &Stage, sum: u16) -> Vec<Share> {
    let share = |(host, weight): &(crate::site::Machine, u16)| Share {
        family,
        server: host.name.clone(),
        wanted: f64::from(*weight) / f64::from(sum),
        measured: tally.of(&host.name) as f64 / tally.answered().max(1) as f64,
    };
    stage.ground.wanted.servers.iter().map(share).collect()
}

fn direct_return(stage: &mut Stage, promise: &mut Promise) -> Result<()> {
    stage.mark("full load");
    for family in Family::BOTH {
        let before = measure::carried(&stage.ground.site, family)?;
        let to = cluster(family, HTTP);
        let rate = rate::measure(stage.ground.client(), to, "/page", 16, stage.time(4.0))?;
        let carried = measure::carried(&stage.ground.site, family)?.since(before);
        stage.requests.0 += rate.requests;
        stage.requests.1 += rate.errors;
        promise.must(rate.errors == 0, || format!("{} of {} requests failed", rate.errors, rate.requests));
        let seen = carried.replies_in.packets + carried.replies_out.packets;
        promise.must(seen == 0, || format!("{seen} {} replies crossed the dispatcher", family.name()));
        promise.must(carried.requests_in.packets > 0 && carried.replies_direct.packets > 0, || {
            format!("no {} traffic crossed the switch", family.name())
        });
        promise.say(format!(
            "{}  {} requests/s: {} went through the dispatcher, {} came back past it, {seen} replies crossed it",
            family.name(),
            grouped(rate.per_second as u64),
            bytes(carried.requests_in.bytes),
            bytes(carried.replies_direct.bytes),
        ));
        stage.carried.push((family, carried));
    }
    let looped = counted(&stage.ground.balancer.status()?, "drop", Some("source-is-cluster"));
    promise.must(looped == 0, || format!("the program itself saw {looped} packets from a cluster address"));
    stage.mark("steady again");
    Ok(())
}

fn drain(stage: &mut Stage, promise: &mut Promise) -> Result<()> {
    let downloads = (0..6)
        .flat_map(|_| Family::BOTH)
        .map(|family| Download::start(stage.ground.client(), cluster(family, HTTP), "/slow"))
        .collect::<Result<Vec<_>>>()?;
    // Every download has its server before there is one less to have.
    std::thread::sleep(Duration::from_millis(300));
    let before = stage.kept();
    stage.ground.balancer.tell(&["drain", DRAINED])?;
    stage.mark("web2 drained");
    let count = stage.number(600);
    let mut new = come(stage, Family::V4, count)?;
    new.add(come(stage, Family::V6, count)?);
    promise.must_lose_nothing("requests", &new.lost);
    promise.must(new.of(DRAINED) == 0, || format!("{DRAINED} got {} new connections", new.of(DRAINED)));
    let (mut whole, mut on_drained) = (0_u64, 0_u64);
    for download in downloads {
        let response = download.finish().context("a slow download was cut")?;
        promise
            .must(response.body == SLOW_BYTES, || format!("a download ended after {} bytes", response.body));
        whole += 1;
        on_drained += u64::from(response.server == DRAINED);
    }
    stage.requests.0 += whole;
    std::thread::sleep(stage.time(1.0));
    let old = old_flows(promise, &before, &stage.kept(), |kept| kept.server == DRAINED);
    promise.must(old.0 > 0, || format!("{DRAINED} had no open connection to keep"));
    promise.say(format!(
        "{} new connections while drained, {} of them to {DRAINED}",
        grouped(2 * count),
        new.of(DRAINED)
    ));
    promise.say(format!(
        "its {} open connections answered {} more requests, {on_drained} of {whole} slow downloads were its own and whole",
        old.0,
        grouped(old.1)
    ));
    stage.ground.balancer.tell(&["undrain", DRAINED])?;
    stage.mark("web2 back");
    let again = come(stage, Family::V4, count)?;
    promise.must(again.of(DRAINED) > 0, || format!("{DRAINED} got no new connection after undrain"));
    Ok(())
}

fn join(stage: &mut Stage, promise: &mut Promise) -> Result<()> {
    let before = stage.kept();
    let probe = stage.ground.probe(1000)?;
    let spare = stage.spare.clone();
    stage.ground.wanted.servers.push((spare.clone(), 30));
    stage.mark("web4 joins");
    stage.ground.apply()?;
    let count = stage.number(1200);
    let mut new = come(stage, Family::V4, count)?;
    new.add(come(stage, Family::V6, count)?);
    std::thread::sleep(stage.time(2.0));
    let packets = probe.stop()?;
    promise.must_lose_nothing("requests", &new.lost);
    let share = new.of(&spare.name) as f64 / new.answered().max(1) as f64;
    promise.must((0.28..0.39).contains(&share), || {
        format!("{} got {:.1} % of new connections", spare.name, share * 100.0)
    });
    let old = old_flows(promise, &before, &stage.kept(), |_| true);
    promise.must(packets.lost() == 0, || format!("{} of {} packets lost", packets.lost(), packets.sent));
    promise.must(packets.moved_flows == 0, || {
        format!("{} UDP flows moved to another server", packets.moved_flows)
    });
    promise.say(format!(
        "{} took {:.1} % of {} new connections, its weight promises 33.3 %",
        spare.name,
        share * 100.0,
        grouped(new.answered())
    ));
    promise.say(format!(
        "{} open connections stayed where they were, {} numbered packets, {} lost",
        old.0,
        grouped(packets.sent),
        packets.lost()
    ));
    Ok(())
}

fn shut(stage: &mut Stage, promise: &mut Promise) -> Result<()> {
    const PORTS: [u16; 5] = [22, 443, 3306, 6379, UNEXPOSED];
    let patience = Duration::from_millis(400);
    let web1 = (stage.ground.site.hosts[0].addresses.v4, UNEXPOSED).into();
    let direct = probe::tcp(stage.ground.client(), web1, patience)?;
    promise.must(direct == PortState::Open, || format!("port {UNEXPOSED} of web1 itself is {direct:?}"));
    let before = counted(&stage.ground.balancer.status()?, "drop", Some("unexposed"));
    let client = stage.ground.client();
    let states = std::thread::scope(|scope| {
        let ports = Family::BOTH.into_iter().flat_map(|family| PORTS.map(|port| cluster(family, port)));
        let attempts: Vec<_> = ports
            .flat_map(|to| {
                [
                    scope.spawn(move || probe::tcp(client, to, patience)),
                    scope.spawn(move || probe::udp(client, to, patience)),
                ]
            })
            .collect();
        attempts
            .into_iter()
            .map(|attempt| attempt.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect::<Result<Vec<_>>>()
    })?;
    let dropped = counted(&stage.ground.balancer.status()?, "drop", Some("unexposed")) - before;
    let tried = states.len() as u64;
    let silent = states.iter().filter(|state| **state == PortState::Silent).count() as u64;
    promise.must(silent == tried, || {
        format!("{} of {tried} attempts were not met with silence", tried - silent)
    });
    promise.must(dropped == tried, || {
        format!("{tried} packets were sent, the counter of drops moved by {dropped}")
    });
    promise.say(format!(
        "{tried} attempts at ports {PORTS:?}, TCP and UDP, IPv4 and IPv6: all silent, {dropped} drops counted"
    ));
    promise.say(format!("port {UNEXPOSED} is open on every server; asked directly, web1 answers there"));
    Ok(())
}

fn restart(stage: &mut Stage, promise: &mut Promise) -> Result<()> {
    let before = stage.kept();
    let probe = stage.ground.probe(1000)?;
    let client = stage.ground.client().clone();
    // Closed-loop clients keep both processors busy from before the kill until well past the first daemon's lease.
    let load = std::thread::spawn(move || {
        rate::measure(&client, cluster(Family::V4, HTTP), "/page", 4, Duration::from_secs(8))
    });
    std::thread::sleep(stage.time(0.5));
    let away = kill_and_start(stage)?;
    let adopted = stage.ground.balancer.status()?.data_plane.adopted;
    let load = load.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
    let packets = probe.stop()?;
    stage.requests.0 += load.requests;
    stage.requests.1 += load.errors;
    promise.must(adopted, || "the new daemon did not adopt the tables".to_owned());
    promise.must(load.errors == 0, || format!("{} of {} requests failed", load.errors, load.requests));
    promise.must(packets.lost() == 0, || {
        let first = milliseconds(packets.lost_at.first().copied().unwrap_or_default());
        format!("{} of {} packets lost, the first {first} after the beginning", packets.lost(), packets.sent)
    });
    promise.must(packets.moved_flows == 0, || {
        format!("{} UDP flows moved to another server", packets.moved_flows)
    });
    let old = old_flows(promise, &before, &stage.kept(), |_| true);
    promise.say(format!(
        "{:.2} s without a daemon, then one that took over tables, flows and counters; {} requests meanwhile, {} failed",
        away.as_secs_f64(),
        grouped(load.requests + old.1),
        load.errors
    ));
    promise.say(format!(
        "{} numbered packets sent, {} lost; all {} open connections went on",
        grouped(packets.sent),
        packets.lost(),
        old.0
    ));
    stage.restart = Restart { away, sent: packets.sent, lost: packets.lost() };
    Ok(())
}

/// The accident and its repair; how long there was no daemon.
fn kill_and_start(stage: &mut Stage) -> Result<Duration> {
    stage.sampler.no_daemon();
    stage.ground.balancer.kill()?;
    stage.mark("kill -9");
    let gone = Instant::now();
    std::thread::sleep(Duration::from_millis(1000));
    stage.ground.balancer.start()?;
    let away = gone.elapsed();
    stage.mark("restarted");
    stage.watch_daemon()?;
    Ok(away)
}

fn neighbour(stage: &mut Stage, promise: &mut Promise) -> Result<()> {
    let tally = stage.end_neighbours()?;
    promise.must_lose_nothing("requests", &tally.lost);
    let name = stage.ground.dispatcher().name.clone();
    promise.must(tally.of(&name) == tally.answered() && tally.answered() > 0, || {
        format!("{} of {} answers came from {name}", tally.of(&name), tally.answered())
    });
    promise.say(format!(
        "its own web server on {} and {} answered {} requests since before Geminus was there, {} lost",
        stage.ground.dispatcher().addresses.v4,
        stage.ground.dispatcher().addresses.v6,
        grouped(tally.answered()),
        tally.lost.len()
    ));
    Ok(())
}

fn everybody(stage: &mut Stage, promise: &mut Promise) -> Result<()> {
    let visitors = stage.end_visitors()?;
    let kept = stage.end_keepers()?;
    promise.must_lose_nothing("new connections", &visitors.lost);
    promise.must_lose_nothing("open connections", &keepers::losses(&kept));
    promise.say(format!(
        "{} visitors with a connection each, slowest answer {}",
        grouped(visitors.answered()),
        milliseconds(visitors.slowest)
    ));
    promise.say(format!(
        "{} connections open from the beginning to the end, {} requests, slowest answer {}",
        kept.len(),
        grouped(keepers::answered(&kept)),
        milliseconds(keepers::slowest(&kept))
    ));
    let warnings = stage.ground.balancer.warnings();
    promise.must(warnings.is_empty(), || {
        let first = warnings.first().map(String::as_str).unwrap_or_default();
        format!("the daemon warned {} times, first: {first}", warnings.len())
    });
    Ok(())
}

fn cost(stage: &mut Stage, promise: &mut Promise) -> Result<()> {
    let samples = stage.sampler.samples();
    let pid = stage.ground.balancer.process()?.pid();
    // What the last clients left behind is not idleness.
    std::thread::sleep(Duration::from_millis(500));
    let (before, begun) = (Usage::of(pid)?, Instant::now());
    std::thread::sleep(stage.time(4.0));
    let after = Usage::of(pid)?;
    let idle = (after.cpu - before.cpu).as_secs_f64() / begun.elapsed().as_secs_f64();
    let status = stage.ground.balancer.status()?;
    promise.must(after.own_memory <= MEMORY, || {
        format!("the daemon has {} of its own", bytes(after.own_memory))
    });
    promise.must(idle <= IDLE, || format!("the idle daemon uses {:.2} % of a processor", idle * 100.0));
    promise.say(format!(
        "daemon: {:.2} % of one processor under load, {:.2} % idle, {} resident besides tables",
        samples.daemon_share() * 100.0,
        idle * 100.0,
        bytes(after.own_memory)
    ));
    promise.say(format!(
        "program: {} packets, {:.0} ns each in the kernel; tables {} of kernel memory",
        grouped(samples.program.count),
        samples.nanoseconds_per_packet(),
        bytes(status.data_plane.memory_bytes)
    ));
    Ok(())
}

/// Lets visitors come to the cluster and counts them.
fn come(stage: &mut Stage, family: Family, count: u64) -> Result<Tally> {
    let tally = stage.ground.come(family, count)?;
    stage.count(&tally);
    Ok(tally)
}

/// Judges the connections that were open before; how many they are and what they have answered since.
fn old_flows(
    promise: &mut Promise,
    before: &[Kept],
    after: &[Kept],
    which: impl Fn(&Kept) -> bool,
) -> (u64, u64) {
    let mine: Vec<_> = before.iter().zip(after).filter(|(old, _)| which(old)).collect();
    let lost: Vec<String> = mine.iter().filter_map(|(_, new)| new.lost.clone()).collect();
    promise.must_lose_nothing("open connections", &lost);
    let stuck = mine.iter().filter(|(old, new)| new.answered <= old.answered).count();
    promise.must(stuck == 0, || format!("{stuck} open connections made no progress"));
    (mine.len() as u64, mine.iter().map(|(old, new)| new.answered.saturating_sub(old.answered)).sum())
}
