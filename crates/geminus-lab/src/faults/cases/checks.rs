//! Checks that fail although the servers are well: the dispatcher cannot reach them, or whoever asks does not go on.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, Result};

use crate::faults::ground::Ground;
use crate::faults::strain::Group;
use crate::faults::ward::{Met, Ward, since};
use crate::faults::{Figure, bounds, figure, told};

/// What is told of single servers.
const OF_ONE: [&str; 2] = ["server-down", "server-up"];

pub(super) fn all_fail(ground: &Ground) -> Result<Vec<Figure>> {
    let ward = ground.ward(4, |_| {})?;
    let clients = ward.clients(ground)?;
    let seen = ward.balanced.balancer.newest_event()?;
    let when = SystemTime::now();
    ward.lose_own_packets(true)?;
    let alarm = since(&ward.event(seen, "servers-all-silent", "")?, when)?;
    sleep(ground.seconds(5, 60));
    let met_silence = clients.stop()?;
    let clients = ward.clients(ground)?;
    let single = ward.count_events(seen, &OF_ONE)?;
    ward.lose_own_packets(false)?;
    let healed = SystemTime::now();
    let heard = since(&ward.event(seen, "servers-heard", "")?, healed)?;
    for host in &ward.balanced.site.hosts {
        ward.wait_up(&host.name)?;
    }
    sleep(Duration::from_secs(1));
    let met_return = clients.stop()?;
    let mut figures = vec![
        figure("alarm after the cut", alarm, bounds::ALARM_OF_CHECKS),
        figure("servers told of one by one", single, bounds::TOLD_SINGLY),
        told("heard again after the cut has healed, ms", heard),
    ];
    figures.extend(unharmed("cut: ", &met_silence));
    figures.extend(unharmed("healed: ", &met_return));
    Ok(figures)
}

pub(super) fn hung(ground: &Ground) -> Result<Vec<Figure>> {
    let mut figures = thread_stopped(ground)?;
    figures.extend(programs_stopped(ground)?);
    Ok(figures)
}

/// The thread that makes the checks is frozen alone; the rest of the daemon goes on.
fn thread_stopped(ground: &Ground) -> Result<Vec<Figure>> {
    let mut ward = ground.ward(3, |_| {})?;
    let clients = ward.clients(ground)?;
    let daemon = &ward.balanced.balancer;
    let seen = daemon.newest_event()?;
    let freezer = Group::around_thread(&ward.balanced.site, daemon.process()?, "advisors")?;
    let when = SystemTime::now();
    freezer.set("freezer.state", "FROZEN")?;
    let alarm = since(&ward.event(seen, "advisors-silent", "")?, when)?;
    sleep(ground.seconds(8, 60));
    let changes = ward.count_events(seen, &OF_ONE)?;
    let thawed = SystemTime::now();
    drop(freezer);
    let back = since(&ward.event(seen, "advisors-back", "")?, thawed)?;
    let met = clients.stop()?;
    let (died, seen) = (SystemTime::now(), ward.balanced.balancer.newest_event()?);
    ward.serve("web2", false)?;
    let found = since(&ward.event(seen, "server-down", "web2")?, died)?;
    let mut figures = vec![
        figure("thread frozen: alarm", alarm, bounds::ALARM_OF_CHECKS),
        figure("thread frozen: states that changed", changes, bounds::TOLD_SINGLY),
        told("thread frozen: heard again after it goes on, ms", back),
        figure("thread frozen: a server that is killed afterwards is found down", found, bounds::OUT_DEFAULT),
    ];
    figures.extend(unharmed("thread frozen: ", &met));
    Ok(figures)
}

/// Every program of a check stops itself: as a hang, it is ended and counts as failed.
fn programs_stopped(ground: &Ground) -> Result<Vec<Figure>> {
    let mut ward = ground.ward(3, |_| {})?;
    let folder = ward.balanced.site.folder();
    let (program, flag) = (folder.join("check.sh"), folder.join("stop"));
    std::fs::write(&program, format!("#!/bin/sh\nif [ -e {} ]; then kill -STOP $$; fi\n", flag.display()))?;
    std::fs::set_permissions(&program, Permissions::from_mode(0o755))?;
    let program = program.display().to_string();
    ward.balanced.wanted.keys = format!("check = {{ exec = [\"{program}\"] }}");
    ward.balanced.apply()?;
    let is_asked = |server: &geminus_api::ServerStatus| {
        server.check.as_ref().is_some_and(|check| check.latency_ms.is_some() && check.advisor == "exec")
    };
    for host in &ward.balanced.site.hosts {
        ward.wait_for(&host.name, "asked by the program", is_asked)?;
    }
    let clients = ward.clients(ground)?;
    let (seen, when) = (ward.balanced.balancer.newest_event()?, SystemTime::now());
    std::fs::write(&flag, "")?;
    let alarm = since(&ward.event(seen, "servers-all-silent", "")?, when)?;
    sleep(ground.seconds(5, 60));
    let most = (0..20).try_fold(0, |most, _| {
        sleep(Duration::from_millis(20));
        Ok::<_, anyhow::Error>(most.max(running(&program)?))
    })?;
    std::fs::remove_file(&flag)?;
    for host in &ward.balanced.site.hosts {
        ward.wait_up(&host.name)?;
    }
    let met = clients.stop()?;
    let left = left_over(&ward, &program)?;
    let mut figures = vec![
        figure("programs stopped: alarm", alarm, bounds::ALARM_OF_CHECKS),
        told("programs stopped: at once, of three servers", most),
        figure("programs stopped: left over", left, bounds::LEFT_OVER),
    ];
    figures.extend(unharmed("programs stopped: ", &met));
    Ok(figures)
}

/// Those that are still there once no check is asked any more.
fn left_over(ward: &Ward, program: &str) -> Result<usize> {
    let mut wanted = ward.balanced.wanted.clone();
    wanted.keys.clear();
    ward.balanced.balancer.configure(&wanted)?;
    ward.balanced.balancer.tell(&["reload"])?;
    let begun = Instant::now();
    loop {
        let left = running(program)?;
        if left == 0 || begun.elapsed() > Duration::from_secs(3) {
            return Ok(left);
        }
        sleep(Duration::from_millis(50));
    }
}

/// How many processes run a program.
fn running(program: &str) -> Result<usize> {
    let processes = std::fs::read_dir("/proc").context("/proc cannot be read")?.flatten();
    let runs = |entry: &std::fs::DirEntry| {
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        line.split(|byte| *byte == 0).any(|word| word == program.as_bytes())
    };
    Ok(processes.filter(runs).count())
}

/// Clients meet nothing of it.
fn unharmed(name: &str, met: &Met) -> [Figure; 3] {
    let visits = met.visits.answered() + met.visits.lost.len() as u64;
    [
        figure(
            format!("{name}connections lost of {}", met.crowd.connections),
            met.crowd.lost.len(),
            bounds::LOST,
        ),
        figure(format!("{name}new connections failed of {visits}"), met.visits.lost.len(), bounds::LOST),
        figure(format!("{name}packets lost of {}", met.packets()), met.lost_packets(), bounds::LOST_PACKETS),
    ]
}
