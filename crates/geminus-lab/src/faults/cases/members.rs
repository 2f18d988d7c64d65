//! Servers that leave and join in good order, and one that comes and goes.

use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime};

use anyhow::Result;

use super::deaths::NEWCOMERS;
use crate::HTTP;
use crate::faults::ground::Ground;
use crate::faults::ward::{moved, since};
use crate::faults::{Figure, bounds, figure, told};
use crate::site::Family;
use crate::traffic::cluster;
use crate::traffic::crowd::Crowd;

/// The server that leaves, or comes and goes.
const ONE: &str = "web2";
/// How long a drained server may keep its flows.
const DEADLINE: Duration = Duration::from_secs(5);
/// How long a server that comes and goes is up, and down.
const TURN: Duration = Duration::from_secs(1);
/// What is promised of it after its third change: one change in so long.
const CALM: Duration = Duration::from_secs(30);

pub(super) fn drained(ground: &Ground) -> Result<Vec<Figure>> {
    let ward = ground.ward(3, |wanted| wanted.udp.clear())?;
    let daemon = &ward.balanced.balancer;
    let targets = Family::BOTH.map(|family| cluster(family, HTTP));
    let open = || Crowd::open(ward.balanced.client(), &targets, ground.connections());
    let seen = daemon.newest_event()?;
    let crowd = open()?;
    let patient = crowd.servers().get(ONE).copied().unwrap_or(0);
    let live = crowd.live(Duration::from_secs(1));
    daemon.tell(&["drain", ONE])?;
    let newcomers = ward.balanced.come_all(u64::from(ground.times(500, 2000)))?;
    sleep(ground.seconds(5, 60));
    let toll = live.stop()?;
    let closed = SystemTime::now();
    let empty = since(&ward.event(seen, "server-drained-empty", ONE)?, closed)?;

    // The same with a deadline, for clients that do not go by themselves.
    daemon.tell(&["undrain", ONE])?;
    let mut crowd = open()?;
    let stubborn = crowd.servers().get(ONE).copied().unwrap_or(0);
    let (ordered, when) = (Instant::now(), SystemTime::now());
    daemon.tell(&["drain", ONE, "--deadline", &format!("{}s", DEADLINE.as_secs())])?;
    sleep(DEADLINE.saturating_sub(ordered.elapsed() + Duration::from_millis(1500)));
    let before = crowd.use_all(Duration::from_millis(500));
    let released = since(&ward.event(seen, "server-released", ONE)?, when)?;
    sleep(Duration::from_millis(200));
    let after = crowd.use_all(Duration::from_millis(500));
    Ok(vec![
        figure(
            format!("connections cut, of {} and {patient} of them to it", toll.connections),
            toll.lost.len(),
            bounds::LOST,
        ),
        figure(
            format!("new connections to it, of {}", newcomers.answered()),
            newcomers.of(ONE),
            bounds::TO_DRAINED,
        ),
        figure("told that it is empty, after the last one closed", empty, bounds::EMPTY_TOLD),
        figure("with a deadline: connections cut before it", before.lost.len(), bounds::LOST),
        figure("with a deadline: released after it", released.saturating_sub(DEADLINE), bounds::RELEASED),
        told("with a deadline: connections that were left to it", stubborn),
        figure("with a deadline: connections to other servers lost", after.lost_beside(ONE), bounds::LOST),
    ])
}

pub(super) fn joined(ground: &Ground) -> Result<Vec<Figure>> {
    const NEW: &str = "web4";
    let mut ward = ground.ward(4, |wanted| drop(wanted.servers.pop()))?;
    let clients = ward.clients(ground)?;
    let before = ward.choices(NEWCOMERS)?;
    let new = ward.host(NEW)?;
    ward.balanced.wanted.servers.push((new, 1));
    let begun = Instant::now();
    ward.balanced.apply()?;
    ward.wait_up(NEW)?;
    let up = begun.elapsed();
    let (all, needless) = moved(&before, &ward.choices(NEWCOMERS)?, NEW);
    sleep(ground.seconds(3, 30));
    let met = clients.stop()?;
    let moved_flows: usize = met.courses.iter().map(|course| course.moved_flows).sum();
    Ok(vec![
        told("known to be well after the order, ms", up),
        told("new connections that it took", met.visits.of(NEW)),
        figure(
            format!("new flows of {} that go to another server", before.len()),
            all,
            bounds::REMAPPED_OF_FOUR,
        ),
        figure("of all, from and to servers that were there before", needless, bounds::REMAPPED_NEEDLESSLY),
        figure(format!("connections lost of {}", met.crowd.connections), met.crowd.lost.len(), bounds::LOST),
        figure(
            format!("new connections failed of {}", met.visits.answered()),
            met.visits.lost.len(),
            bounds::LOST,
        ),
        figure(format!("packets lost of {}", met.packets()), met.lost_packets(), bounds::LOST_PACKETS),
        figure("flows of the streams moved", moved_flows, bounds::MOVED),
    ])
}

pub(super) fn flapping(ground: &Ground) -> Result<Vec<Figure>> {
    // Fast enough to see each turn.
    let mut ward =
        ground.ward(3, |wanted| wanted.keys = "check = { tcp = true, profile = \"fast\" }".to_owned())?;
    let clients = ward.clients(ground)?;
    let seen = ward.balanced.balancer.newest_event()?;
    let begun = Instant::now();
    let mut turns = 0_usize;
    while begun.elapsed() < ground.seconds(40, 300) {
        ward.serve(ONE, false)?;
        sleep(TURN);
        ward.serve(ONE, true)?;
        sleep(TURN);
        turns += 2;
    }
    let met = clients.stop()?;
    let well_since = Instant::now();
    let changes = ward.changes(seen, ONE)?;
    let up = ward
        .balanced
        .wait_for(ONE, "up", CALM * 2, crate::balanced::is_well)
        .map(|_| well_since.elapsed())?;
    Ok(vec![
        told(format!("times it died and came back in {} s", begun.elapsed().as_secs()), turns),
        told("changes that clients felt", changes.len()),
        figure(
            "changes after the third, most in 30 s",
            most_within(changes.get(3..).unwrap_or_default(), CALM),
            bounds::CALM_CHANGES,
        ),
        told("up again after the last turn, ms", up),
        figure("connections to other servers lost", met.crowd.lost_beside(ONE), bounds::LOST),
        told(format!("new connections failed of {}", met.visits.answered()), met.visits.lost.len()),
        figure(
            format!("packets of its other service lost, of {}", met.packets()),
            met.lost_packets(),
            bounds::LOST_PACKETS,
        ),
    ])
}

/// The most moments that lie within one time of each other.
fn most_within(moments: &[Duration], time: Duration) -> usize {
    let from =
        |first: &Duration| moments.iter().filter(|one| *one >= first && **one - *first <= time).count();
    moments.iter().map(from).max().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_counted_over_a_sliding_window() {
        let at = [1, 20, 29, 40, 90].map(Duration::from_secs);
        assert_eq!(most_within(&at, CALM), 3);
        assert_eq!(most_within(&[], CALM), 0);
    }
}
