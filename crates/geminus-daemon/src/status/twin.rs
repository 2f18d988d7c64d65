//! Partners, reach targets and heartbeats, as the API tells them.

use std::time::Duration;

use geminus_api::{
    HeartbeatStatus, PartnerStatus, PathStatus, ReachScore, ReachStatus, Replicated, SyncStatus,
};
use geminus_core::director::{Director, Instant, Partner};
use geminus_core::ha::{self, HaView, PathView, PeerView, SyncView};
use geminus_core::replication::Numbers;

use super::Process;
use crate::pair::Counted;

/// Every partner; before the heartbeats begin, with what the configuration says of it.
pub(super) fn partners(director: &Director, process: &Process<'_>) -> Vec<PartnerStatus> {
    let (view, viewed) = (director.twin_view(), director.twin_viewed());
    let status = |(index, partner): (usize, &Partner)| {
        let peer = view.and_then(|view| view.peers.iter().find(|peer| peer.name == partner.name));
        PartnerStatus {
            name: partner.name.clone(),
            address: partner.address,
            state: peer.map_or("unheard", |peer| peer.state).to_owned(),
            paths: paths(partner, peer, viewed),
            reach: score(peer.map(|peer| peer.reach).unwrap_or_default()),
            fit: peer.is_some_and(|peer| peer.fit),
            sync: sync(
                peer.map(|peer| peer.sync).unwrap_or_default(),
                process.pair.and_then(|pair| pair.counted(&partner.name)),
            ),
            same_config: peer.and_then(|peer| peer.same_config),
            differences: director.differences(index).to_vec(),
        }
    };
    director.partners().iter().enumerate().map(status).collect()
}

/// This node's reach targets.
pub(super) fn reach(director: &Director) -> Option<ReachStatus> {
    director.twin_config()?;
    let targets = director.site().ha.reach.clone();
    let score = director.twin_view().map(|view| view.reach).unwrap_or_default();
    let total = u32::try_from(targets.len()).unwrap_or(u32::MAX);
    Some(ReachStatus { up: score.up, total, targets })
}

/// How punctual the heartbeat thread is.
pub(super) fn heartbeats(director: &Director) -> Option<HeartbeatStatus> {
    director
        .twin_view()
        .map(|HaView { late, latest, .. }| HeartbeatStatus { late: *late, latest_ms: milliseconds(*latest) })
}

/// `viewed`: when that was seen of the peer.
fn paths(partner: &Partner, peer: Option<&PeerView>, viewed: Instant) -> Vec<PathStatus> {
    // Of a partner that is not heard at all, no path is told to be down for itself.
    let gone = peer.is_none_or(|peer| matches!(peer.state, "gone" | "unheard"));
    let silent = PathView { heard: None, up: false, heard_by_peer: false, loss: 0.0, round_trip: None };
    let status = |(number, &[local, remote]): (usize, &[std::net::IpAddr; 2])| {
        let seen = peer.and_then(|peer| peer.paths.get(number)).copied().unwrap_or(silent);
        PathStatus {
            number: u32::try_from(number).unwrap_or(u32::MAX),
            local,
            remote,
            up: seen.up && !gone,
            heard_seconds: seen.heard.map(|heard| viewed.since(heard).as_secs_f64()),
            heard_by_peer: seen.heard_by_peer && !gone,
            loss: seen.loss,
            round_trip_ms: seen.round_trip.map(milliseconds),
        }
    };
    partner.paths.iter().enumerate().map(status).collect()
}

const fn score(score: ha::ReachScore) -> ReachScore {
    ReachScore { up: score.up, total: score.total }
}

fn sync(sync: SyncView, counted: Option<&Counted>) -> SyncStatus {
    let (state, percent) = match sync {
        SyncView::Down => ("down", 0),
        SyncView::Copying(percent) => ("copying", percent),
        SyncView::Complete => ("complete", 100),
    };
    SyncStatus {
        state: state.to_owned(),
        percent,
        path: counted.and_then(|counted| counted.path),
        counted: counted.map(|counted| replicated(&counted.numbers)).unwrap_or_default(),
    }
}

fn replicated(numbers: &Numbers) -> Replicated {
    Replicated {
        sent: numbers.sent,
        acknowledged: numbers.acknowledged,
        pending: numbers.pending,
        refused: numbers.refused,
        received: numbers.received,
        written: numbers.written,
        kept: numbers.kept,
        unknown: numbers.unknown,
        gone: numbers.gone,
        full: numbers.full,
        copies: numbers.resyncs,
        lag_ms: milliseconds(numbers.lag),
        lag_p99_ms: milliseconds(numbers.lag_p99),
    }
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}
