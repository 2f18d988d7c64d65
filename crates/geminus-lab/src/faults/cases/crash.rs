//! The daemon dies and its data plane does not.

use std::net::IpAddr;
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow};

use crate::faults::ground::Ground;
use crate::faults::{Figure, bounds, figure, told};
use crate::namespace::Namespace;
use crate::pair::{SHOP, Topology};
use crate::site::Family;
use crate::traffic::Stop;
use crate::twins::Twin;
use crate::wire::mac_of;

pub(super) fn restarted(ground: &Ground) -> Result<Vec<Figure>> {
    let mut scene = ground.scene(Topology::Pair, |_| {})?;
    let load = scene.usual_load(ground)?;
    let (times, epoch) = (ground.times(5, 50), scene.epoch(SHOP));
    for _ in 0..times {
        let daemon = scene.twins.of_mut(Twin::Alpha);
        daemon.kill()?;
        daemon.start_beside()?;
        sleep(Duration::from_millis(300));
    }
    scene.twins.wait_active(Twin::Alpha, SHOP)?;
    let changes = scene.epoch(SHOP) - epoch;
    let toll = load.stop()?;
    Ok(vec![
        told("restarts", u64::from(times)),
        figure("takeovers", changes, bounds::FALSE_TAKEOVERS),
        figure(format!("packets lost of {}", toll.packets()), toll.lost_packets(), bounds::LOST_PACKETS),
        figure("connections lost", toll.crowd.lost.len(), bounds::LOST),
        figure("both", toll.holders.more_than_one(), bounds::BOTH_NEVER),
    ])
}

pub(super) fn never_returns(ground: &Ground) -> Result<Vec<Figure>> {
    let lease = ground.seconds(1, 5);
    let mut scene = ground.scene(Topology::Pair, |file| {
        file.set("lease", format!("\"{}s\"", lease.as_secs()));
    })?;
    let load = scene.usual_load(ground)?;
    let beta = mac_of(&scene.twins.machine(Twin::Beta).namespace, "eth0")?;
    let router = RouterEntry::watch(&scene.twins.site.router, scene.twins.shop().v4.into(), &beta)?;
    let killed = Instant::now();
    scene.twins.of_mut(Twin::Alpha).kill()?;
    scene.wait_taken_over(Twin::Alpha, SHOP)?;
    sleep(Duration::from_secs(1));
    let toll = load.stop()?;
    let taken = toll.holders.first_after(killed, beta).context("beta never answered on the LAN")?;
    let learnt = router.stop()?.context("the router never learnt of beta")?;
    Ok(vec![
        told("lease, ms", lease),
        told("takeover after the kill, ms", taken),
        figure("gap", toll.gap(), bounds::LEASE_GAP),
        figure(
            "router has the new address, after the takeover",
            learnt.saturating_duration_since(killed + taken),
            bounds::NEIGHBOUR,
        ),
        figure("connections lost", toll.crowd.lost.len(), bounds::LOST),
        figure("both", toll.holders.more_than_one(), bounds::BOTH_AT_LEASE_END),
    ])
}

/// Looks at the router's neighbour entry until it names a hardware address.
struct RouterEntry {
    stop: Arc<Stop>,
    thread: std::thread::JoinHandle<Result<Option<Instant>>>,
}

impl RouterEntry {
    fn watch(router: &Namespace, address: IpAddr, mac: &[u8; 6]) -> Result<Self> {
        let stop = Arc::new(Stop::default());
        let (told, router) = (Arc::clone(&stop), router.clone());
        let mac = mac.map(|byte| format!("{byte:02x}")).join(":");
        let family = if Family::of(address) == Family::V4 { "-4" } else { "-6" };
        let thread = std::thread::spawn(move || {
            while !told.told() {
                let to = address.to_string();
                if router.run("ip", &[family, "neigh", "show", "to", &to, "dev", "lan"])?.contains(&mac) {
                    return Ok(Some(Instant::now()));
                }
                sleep(Duration::from_millis(10));
            }
            Ok(None)
        });
        Ok(Self { stop, thread })
    }

    fn stop(self) -> Result<Option<Instant>> {
        self.stop.tell();
        self.thread.join().map_err(|_| anyhow!("the watch of the router panicked"))?
    }
}
