//! Hosts whose link address changes, hosts that claim the cluster's address, hosts that are set up wrong.

use std::net::TcpListener;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime};

use anyhow::Result;

use crate::HTTP;
use crate::amiss;
use crate::balanced::is_well;
use crate::faults::ground::{Ground, quantile};
use crate::faults::ward::{PATIENCE, Ward, since};
use crate::faults::{Figure, bounds, figure, told};
use crate::site::{CLUSTER, Family, Machine};

/// The host that it happens to.
const ONE: &str = "web2";

pub(super) fn moved(ground: &Ground) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for by in Family::BOTH {
        figures.extend(new_cards(ground, by)?);
    }
    figures.extend(claims(ground)?);
    Ok(figures)
}

/// A host gets another hardware address, again and again, and says nothing of it.
fn new_cards(ground: &Ground, by: Family) -> Result<Vec<Figure>> {
    let ward = ground.ward(3, |wanted| wanted.known_by = by)?;
    let host = ward.host(ONE)?;
    let (mut used, mut seen_by, mut lost, mut hiccup) = (Vec::new(), Vec::new(), 0, Duration::ZERO);
    for run in 0..ground.times(6, 50) {
        let clients = ward.clients(ground)?;
        sleep(Duration::from_millis(u64::from(run * 137 % 500)));
        let (seen, when) = (ward.balanced.balancer.newest_event()?, SystemTime::now());
        let changed = Instant::now();
        host.namespace.ip(&format!("link set dev eth0 address 02:00:5e:10:01:{run:02x}\n"))?;
        seen_by.push(since(&ward.event(seen, "server-moved", ONE)?, when)?);
        sleep(Duration::from_millis(700));
        let met = clients.stop()?;
        used.push(met.unanswered_until(changed));
        lost += met.crowd.lost.len();
        hiccup = hiccup.max(met.hiccup());
    }
    let name = |what: &str| format!("known by {}: {what}", by.name());
    Ok(vec![
        told(
            name(&format!("last packet to the old address, p50 of {}, ms", used.len())),
            quantile(&used, 0.5)?,
        ),
        figure(name("last packet to the old address, longest"), quantile(&used, 1.0)?, bounds::NEW_CARD),
        told(name("told after the change, longest, ms"), quantile(&seen_by, 1.0)?),
        figure(name("connections lost"), lost, bounds::LOST),
        told(name("longest pause of the lab itself, ms"), hiccup),
    ])
}

/// A host has the cluster address on its card instead of on `lo`, and tells everybody when the card changes.
fn claims(ground: &Ground) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for (family, key, length) in
        [(Family::V4, "ipv4/conf/eth0/arp_notify", 32), (Family::V6, "ipv6/conf/eth0/ndisc_notify", 128)]
    {
        let ward = ground.ward(3, |wanted| wanted.known_by = family)?;
        let host = ward.host(ONE)?;
        let address = CLUSTER.of(family);
        host.namespace.sysctl(key, "1")?;
        let lines = [
            format!("addr del {address}/{length} dev lo\n"),
            format!("addr add {address}/{length} dev eth0\n"),
            "link set dev eth0 address 02:00:5e:10:02:01\n".to_owned(),
        ];
        let (seen, when) = (ward.balanced.balancer.newest_event()?, SystemTime::now());
        host.namespace.ip(&lines.concat())?;
        let alarm = ward.event(seen, "address-claimed", &address.to_string())?;
        let named = ward.event(seen, "setup-fault", "answers-arp")?;
        figures.extend([
            figure(
                format!("{} address claimed: alarm", family.name()),
                since(&alarm, when)?,
                bounds::CLAIM_TOLD,
            ),
            told(format!("{} address claimed: host named, ms", family.name()), since(&named, when)?),
        ]);
    }
    Ok(figures)
}

pub(super) fn wrong(ground: &Ground) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for family in Family::BOTH {
        let mut ward = ground.ward(3, |wanted| {
            wanted.known_by = family;
            wanted.further = "[health]\ndamping = \"0s\"\n".to_owned();
        })?;
        for way in amiss::ways(family) {
            let host = ward.host(ONE)?;
            let named = named(&ward, way.finding, || way.make(&host))?;
            way.mend(&host)?;
            ward.wait_for(ONE, "well again", is_well)?;
            figures.push(figure(
                format!("{}, {}: named {}", family.name(), way.what, way.finding),
                named,
                bounds::NAMED,
            ));
        }
        let elsewhere = bound_elsewhere(&mut ward, family)?;
        figures.push(figure(
            format!("{}, serves its own address only: named not-bound", family.name()),
            elsewhere,
            bounds::NAMED,
        ));
    }
    figures.push(reverse_path(ground)?);
    Ok(figures)
}

/// From the beginning of something to the event that names it.
fn named(ward: &Ward, finding: &str, happen: impl FnOnce() -> Result<()>) -> Result<Duration> {
    let (seen, when) = (ward.balanced.balancer.newest_event()?, SystemTime::now());
    happen()?;
    let words = |event: &geminus_api::Event| event.message.contains(ONE) && event.message.contains(finding);
    let event = ward.event(seen, "setup-fault", finding)?;
    anyhow::ensure!(words(&event), "{finding} was told of another server: {}", event.message);
    since(&event, when)
}

/// The service runs and is bound to the host's own address.
fn bound_elsewhere(ward: &mut Ward, family: Family) -> Result<Duration> {
    let host = ward.host(ONE)?;
    ward.serve(ONE, false)?;
    let mut listener = None;
    let took = named(ward, "not-bound", || {
        let own = host.addresses.of(family);
        listener = Some(host.namespace.inside(|| Ok(TcpListener::bind((own, HTTP))?))?);
        Ok(())
    })?;
    drop(listener);
    ward.serve(ONE, true)?;
    ward.wait_for(ONE, "well again", is_well)?;
    Ok(took)
}

/// What only the host can see: the clients' way back leads through another interface, and the filter is strict. The
/// dispatcher is on the link and gets its answers, so it is the verb on the host that names it.
fn reverse_path(ground: &Ground) -> Result<Figure> {
    let ward = ground.ward(1, |_| {})?;
    let host = ward.host("web1")?;
    host.namespace
        .ip("link add eth1 type veth peer name nowhere\nlink set eth1 up\nlink set nowhere up\n\
         addr add 192.0.2.21/24 dev eth1\nroute replace default via 192.0.2.1 dev eth1 onlink\n")?;
    host.namespace.sysctl("ipv4/conf/eth0/rp_filter", "1")?;
    let begun = Instant::now();
    let took = loop {
        if says_reverse_path(&ward, &host)? {
            break begun.elapsed();
        }
        anyhow::ensure!(begun.elapsed() < PATIENCE, "geminus host check does not name rp-filter");
    };
    Ok(figure(
        "IPv4, strict rp_filter and the way back elsewhere: named rp-filter by `geminus host check`",
        took,
        bounds::NAMED,
    ))
}

fn says_reverse_path(ward: &Ward, host: &Machine) -> Result<bool> {
    let address = CLUSTER.v4.to_string();
    let mut command = Command::new(ward.balanced.balancer.binary());
    command.args(["host", "check", "--address", &address, "--interface", "eth0"]);
    // It says no, and what it finds is what it prints.
    let output = host.namespace.inside(|| Ok(command.output()?))?;
    Ok(String::from_utf8_lossy(&output.stdout).contains("strict rp_filter on eth0"))
}
