//! How neighbours learn where the addresses are.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use super::silence::manual;
use crate::faults::cut::Way;
use crate::faults::ground::{Ground, Scene};
use crate::faults::{Figure, bounds, figure, told};
use crate::frames;
use crate::pair::{SHOP, SiteFile, Topology};
use crate::twins::Twin;
use crate::wire::{FRAME, Wire, mac_of};

/// Addresses of the cluster whose claims are lost.
const HUNDRED: u8 = 100;
/// The schedule of announcements is over before.
const ANNOUNCED: Duration = Duration::from_secs(10);
/// Addresses of the cluster whose claims are counted.
const THOUSAND: u16 = 1000;

pub(super) fn lost(ground: &Ground) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    let addresses: Vec<IpAddr> =
        (0..HUNDRED).map(|place| Ipv4Addr::new(198, 51, 100, 100 + place).into()).collect();
    for (name, percent, per_second) in
        [("half of the claims lost", 50, None), ("at most 10 claims a second", 0, Some(10))]
    {
        let scene = ground.scene(Topology::Pair, |file| with_addresses(file, &addresses))?;
        let entries = |of: Twin| scene.router_entries(&addresses, of);
        scene.let_router_ask(&addresses)?;
        if entries(Twin::Alpha)? < addresses.len() {
            bail!("the router does not know all addresses before the takeover");
        }
        scene.cuts.lose_announcements(percent, per_second)?;
        scene.die(Twin::Alpha)?;
        scene.wait_taken_over(Twin::Alpha, SHOP)?;
        let begun = Instant::now();
        while entries(Twin::Beta)? < addresses.len() && begun.elapsed() < ANNOUNCED {
            sleep(Duration::from_millis(20));
        }
        let (took, right) = (begun.elapsed(), entries(Twin::Beta)?);
        // Ten a second cannot tell a hundred addresses in the seconds that the schedule lasts: told, held to nothing.
        figures.extend(match per_second {
            None => [
                figure(format!("{name}: all entries right"), took, bounds::HUNDRED_ADDRESSES),
                figure(format!("{name}: entries wrong"), addresses.len() - right, bounds::CLAIMS),
            ],
            Some(_) => [
                told(format!("{name}: time given, ms"), took),
                told(format!("{name}: entries right of {HUNDRED} without a question"), right),
            ],
        });
    }
    Ok(figures)
}

pub(super) fn thousand(ground: &Ground) -> Result<Vec<Figure>> {
    let addresses: Vec<IpAddr> =
        (0..THOUSAND).map(|place| Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 1, place).into()).collect();
    let scene = ground.scene(Topology::Pair, |file| with_addresses(file, &addresses))?;
    let load = scene.usual_load(ground)?;
    let late = |twin| Ok::<_, anyhow::Error>(scene.twins.status(twin)?.heartbeats.map_or(0, |own| own.late));
    let before = late(Twin::Beta)?;
    let wire = Wire::at(scene.cuts.place(Way::Lan), Twin::Beta.name())?;
    wire.wait_at_most(Duration::from_millis(50))?;
    let recorder = std::thread::spawn(move || first_claims(&wire));
    scene.die(Twin::Alpha)?;
    scene.wait_taken_over(Twin::Alpha, SHOP)?;
    let claims = recorder.join().ok().context("the recorder panicked")??;
    let mine: BTreeSet<IpAddr> = addresses.iter().copied().collect();
    let times: Vec<Instant> =
        claims.iter().filter(|(address, _)| mine.contains(address)).map(|(_, at)| *at).collect();
    let first = claims.iter().map(|(_, at)| *at).min().context("nothing was announced")?;
    let last = times.iter().max().copied().context("none of the thousand was announced")?;
    let toll = load.stop()?;
    Ok(vec![
        told("addresses announced", times.len()),
        figure("last one announced after the first", last - first, bounds::THOUSAND_ADDRESSES),
        figure("addresses never announced", addresses.len() - times.len(), bounds::CLAIMS),
        figure("own deadlines missed meanwhile", late(Twin::Beta)? - before, bounds::LATE),
        figure("gap", toll.gap(), bounds::SILENCE_DEFAULT_P99),
        figure("connections lost", toll.crowd.lost.len(), bounds::LOST),
    ])
}

pub(super) fn with_detection(ground: &Ground) -> Result<Vec<Figure>> {
    let scene = ground.scene(Topology::Collocated, |file| manual(file, "default"))?;
    let site = &scene.twins.site;
    let machines: Vec<_> = site.dispatchers.iter().chain(&site.hosts).collect();
    for machine in &machines {
        for key in ["all", "default", "eth0"] {
            machine.namespace.sysctl(&format!("ipv6/conf/{key}/accept_dad"), "1")?;
            machine.namespace.sysctl(&format!("ipv6/conf/{key}/dad_transmits"), "1")?;
        }
    }
    let load = scene.usual_load(ground)?;
    scene.die(Twin::Alpha)?;
    scene.wait_taken_over(Twin::Alpha, SHOP)?;
    sleep(Duration::from_secs(1));
    scene.come_back(Twin::Alpha)?;
    scene.wait_ready()?;
    let toll = load.stop()?;
    let mut failed = 0;
    for machine in machines {
        failed += machine.namespace.run("ip", &["-6", "-o", "addr", "show", "dadfailed"])?.lines().count();
    }
    let [_, v6] = &toll.courses;
    Ok(vec![
        figure("gap, IPv6", v6.longest_gap(), bounds::SILENCE_DEFAULT_P99),
        figure("addresses with a failed detection", failed, bounds::DAD_FAILED),
        figure("connections lost", toll.crowd.lost.len(), bounds::LOST),
    ])
}

fn with_addresses(file: &mut SiteFile, addresses: &[IpAddr]) {
    manual(file, "default");
    file.clusters[0].addresses.extend(addresses);
}

/// When each address was first claimed, until nothing new has come for a while.
fn first_claims(wire: &Wire) -> Result<Vec<(IpAddr, Instant)>> {
    let (mut seen, mut claims) = (BTreeSet::new(), Vec::<(IpAddr, Instant)>::new());
    let (begun, mut buffer) = (Instant::now(), [0; FRAME]);
    loop {
        if let Some((address, _)) =
            wire.receive(&mut buffer)?.filter(|frame| frames::is_claim(frame)).and_then(frames::answer)
            && seen.insert(address)
        {
            claims.push((address, Instant::now()));
        }
        let quiet = claims.last().map_or(begun, |(_, at)| *at).elapsed();
        if quiet > Duration::from_secs(if claims.is_empty() { 20 } else { 2 }) {
            return Ok(claims);
        }
    }
}

impl Scene {
    /// One packet to each address from outside, so that the router asks for all of them.
    fn let_router_ask(&self, addresses: &[IpAddr]) -> Result<()> {
        let socket = self.twins.site.client.inside(|| Ok(std::net::UdpSocket::bind("0.0.0.0:0")?))?;
        for &address in addresses {
            socket.send_to(b"anybody there", (address, crate::traffic::echo::ECHO))?;
            sleep(Duration::from_millis(2));
        }
        sleep(Duration::from_millis(300));
        Ok(())
    }

    /// How many of these addresses the router has at a dispatcher's hardware address.
    fn router_entries(&self, addresses: &[IpAddr], of: Twin) -> Result<usize> {
        let mac =
            mac_of(&self.twins.machine(of).namespace, "eth0")?.map(|byte| format!("{byte:02x}")).join(":");
        let table = self.twins.site.router.run("ip", &["-4", "neigh", "show", "dev", "lan"])?;
        let wanted: BTreeSet<String> = addresses.iter().map(ToString::to_string).collect();
        let right = |line: &&str| {
            line.contains(&mac) && line.split_whitespace().next().is_some_and(|first| wanted.contains(first))
        };
        Ok(table.lines().filter(right).count())
    }
}
