//! Servers that are up and mean harm to whoever checks them.

use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use crate::HTTP;
use crate::faults::ground::{Ground, quantile};
use crate::faults::hostile::{Hostile, Manner};
use crate::faults::ward::Ward;
use crate::faults::{Figure, bounds, figure, told};
use crate::site::Machine;

/// The good one among them.
const GOOD: &str = "web1";
/// Where the one that speaks garbage is asked for TLS.
const TLS: u16 = 443;
/// `timeout` of the default profile.
const TIMEOUT: Duration = Duration::from_secs(1);
/// How often the good one is asked at least: its interval and the most that it is put off.
const INTERVAL: Duration = Duration::from_millis(550);

pub(super) fn four(ground: &Ground) -> Result<Vec<Figure>> {
    let mut ward = ground.ward(5, |wanted| {
        wanted.keys = "check = { http = \"/\", body = \"web\" }".to_owned();
        wanted.udp.clear();
        wanted.further = further(&wanted.servers[1].0);
    })?;
    let (calm, rest) = (memory(&ward)?, ward.balanced.checked(GOOD)?);
    let mut hostile = Vec::new();
    let manners = [Manner::Garbage, Manner::Dribble, Manner::Headers, Manner::Body];
    let seen = ward.balanced.balancer.newest_event()?;
    for (manner, host) in manners.into_iter().zip(ward.balanced.site.hosts[1..].to_vec()) {
        ward.serve(&host.name, false)?;
        hostile.push((manner, Hostile::start(&host, HTTP, manner)?));
        if manner == Manner::Garbage {
            hostile.push((manner, Hostile::start(&host, TLS, manner)?));
        }
        ward.event(seen, "server-down", &host.name)?;
    }
    let first = memory(&ward)?;
    let seen = ward.balanced.balancer.newest_event()?;
    let asked = Asked::count(&ward)?;
    let (begun, mut most) = (Instant::now(), first);
    let mut tally = crate::traffic::Tally::default();
    while begun.elapsed() < ground.seconds(15, 300) {
        tally.add(ward.balanced.come_all(20)?);
        most = most.max(memory(&ward)?);
        sleep(Duration::from_millis(50));
    }
    let (checks, time) = (asked.read(&ward)?, begun.elapsed());
    let changes = ward.count_events(seen, &["server-down", "server-up", "advisors-silent"])?;
    let latency =
        |server: &geminus_api::ServerStatus| server.check.as_ref().and_then(|check| check.latency_ms);
    let now = ward.balanced.checked(GOOD)?;
    let wanted = (time.as_secs_f64() / INTERVAL.as_secs_f64()) as usize;
    let lives: Vec<Duration> = hostile
        .iter()
        .filter(|(manner, _)| *manner == Manner::Dribble)
        .flat_map(|(_, hostile)| hostile.lives())
        .collect();
    let late: Vec<Duration> = lives.iter().map(|life| life.abs_diff(TIMEOUT)).collect();
    let connections: usize = hostile.iter().map(|(_, hostile)| hostile.lives().len()).sum();
    Ok(vec![
        told("checks that the hostile ones had, TLS among them", connections),
        figure(
            format!("a byte a second: farthest from its time limit, of {}", lives.len()),
            quantile(&late, 1.0)?,
            bounds::DEADLINE,
        ),
        told("memory that their first checks took for good, all of them, KiB", first.saturating_sub(calm)),
        figure(
            "memory beyond that for each of five hostile targets, at most",
            most.saturating_sub(first) as f64 / 5.0,
            bounds::MEMORY_OF_TARGET,
        ),
        figure(
            format!("checks of the good one that were left out, of {wanted}"),
            wanted.saturating_sub(checks),
            bounds::LEFT_OUT,
        ),
        figure("servers whose state changed meanwhile", changes, bounds::TOLD_SINGLY),
        told("latency of the good one before, ms", latency(&rest).unwrap_or_default()),
        told("latency of the good one among them, ms", latency(&now).unwrap_or_default()),
        figure(
            format!("new connections of {} that went to a hostile one", tally.answered()),
            tally.answered() - tally.of(GOOD),
            bounds::LOST,
        ),
    ])
}

/// A second service, which asks for TLS; what is left of a pool that has one good server in five is not overrun here.
fn further(garbage: &Machine) -> String {
    format!(
        "[[cluster.shop.service]]\nport = {TLS}\ncheck = {{ tls = true }}\n\
         servers = [{{ name = \"{}\", address = \"{}\" }}]\n\n[health]\npanic_below = 0\n",
        garbage.name, garbage.addresses.v4
    )
}

/// Resident memory of the daemon, in KiB.
fn memory(ward: &Ward) -> Result<u64> {
    let pid = ward.balanced.balancer.process()?.pid();
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("a process has memory")?;
    let number = line.split_whitespace().next().context("VmRSS has a number")?;
    Ok(number.parse()?)
}

/// Counts the checks that the good one gets.
struct Asked;

impl Asked {
    fn count(ward: &Ward) -> Result<Self> {
        let own = ward.balanced.dispatcher().addresses;
        // Its checks come by the cluster addresses of both families in turn.
        let rule = |from: String| {
            format!("    {from} tcp dport {HTTP} tcp flags & (syn | ack) == syn counter name checks\n")
        };
        let rules = format!(
            "table inet asked {{\n  counter checks {{ }}\n  chain input {{\n    type filter hook input priority 0\n{}{}  }}\n}}\n",
            rule(format!("ip saddr {}", own.v4)),
            rule(format!("ip6 saddr {}", own.v6)),
        );
        ward.host(GOOD)?.namespace.feed("nft", &["-f", "-"], &rules)?;
        Ok(Self)
    }

    fn read(&self, ward: &Ward) -> Result<usize> {
        let text = ward.host(GOOD)?.namespace.run("nft", &["list", "counter", "inet", "asked", "checks"])?;
        let number = text.split("packets ").nth(1).and_then(|rest| rest.split_whitespace().next());
        Ok(number.context("nft counts packets")?.parse()?)
    }
}
