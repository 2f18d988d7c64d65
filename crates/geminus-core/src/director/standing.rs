//! What a node is for a cluster, and whether it matters who dies.

use super::{Director, Instant};
use crate::ha::{self, GroupView, PeerView, Role, SyncView};
use crate::model::Cluster;

/// What the node is for one cluster, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// Whether it owns the cluster's addresses.
    pub active: bool,
    /// Why, in words.
    pub because: String,
    /// What it is in normal times; none: the cluster is of other nodes.
    pub role: Option<Role>,
    /// What it is now, in full.
    pub standing: ha::Standing,
    /// Since when; none: it has no role.
    pub since: Option<Instant>,
    /// Number of the cluster's group.
    pub group: u8,
    /// Raised at every takeover.
    pub epoch: u64,
    /// The other node of its group; none: it has no backup, or the node no role.
    pub partner: Option<String>,
    /// What that one says it is.
    pub partner_standing: Option<ha::Standing>,
    /// Why the node has not taken it over yet, where it will by itself.
    pub waiting: Option<String>,
    /// Whether the other node could take over now; none: there is no other, or the node has no role.
    pub failover: Option<Failover>,
}

/// Whether the clusters of a group would go on if the node that is active for them died now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failover {
    /// Whether they would, and no connection would be lost.
    pub ready: bool,
    /// Why not; or, although they would, what is not as it should be.
    pub because: Option<String>,
}

impl Director {
    /// What the node is for a cluster.
    pub fn standing(&self, cluster: &Cluster) -> Standing {
        let node = &self.node.name;
        if !cluster.is_of(node) {
            return Standing::of_others(cluster);
        }
        match cluster.backup {
            None => self.standing_alone(),
            Some(_) => self.standing_in_group(cluster),
        }
    }

    /// A cluster without a backup.
    fn standing_alone(&self) -> Standing {
        let node = &self.node.name;
        let active = self.lease.is_held();
        let because = match (active, self.unfit()) {
            (false, _) => "waiting for the servers' hardware addresses".to_owned(),
            (true, None) => format!("node {node} is the primary"),
            (true, Some(why)) => format!("node {node} is the primary, but {why}"),
        };
        Standing {
            active,
            because,
            role: Some(Role::Primary),
            standing: if active { ha::Standing::Active } else { ha::Standing::Starting },
            since: Some(self.lease.since()),
            ..Standing::none()
        }
    }

    fn standing_in_group(&self, cluster: &Cluster) -> Standing {
        let none = Standing::none();
        let Some(twin) = &self.twin else { return none };
        let Some((group, partner)) = twin.group_of(cluster) else { return none };
        let blank = Standing {
            role: Some(group.role),
            standing: ha::Standing::Starting,
            group: group.number,
            partner: Some(partner.name.clone()),
            ..none
        };
        let Some((view, peer)) = twin.views(group) else {
            return Standing { because: "the heartbeats begin".to_owned(), ..blank };
        };
        let why = view.because.replace("the partner", &partner.name);
        let because = match self.unfit() {
            Some(unfit) if view.standing == ha::Standing::Active => format!("{why}, but {unfit}"),
            _ => why,
        };
        let waiting = view.waiting.as_ref().map(|why| why.replace("the partner", &partner.name));
        Standing {
            active: view.standing == ha::Standing::Active,
            because,
            standing: view.standing,
            since: Some(view.since),
            epoch: view.epoch,
            partner_standing: view.partner,
            waiting,
            failover: Some(failover(view, peer, self.unfit())),
            ..blank
        }
    }

    /// Why the node cannot forward, if it cannot.
    pub(super) fn unfit(&self) -> Option<String> {
        match self.ports.own() {
            None => Some(format!("interface {} is gone", self.node.interface)),
            Some(port) if !port.up => Some(format!("interface {} is down", port.name)),
            Some(_) if !self.attached => {
                Some(format!("the program is not attached to {}", self.node.interface))
            }
            Some(_) => None,
        }
    }
}

impl Standing {
    fn none() -> Self {
        Self {
            active: false,
            because: String::new(),
            role: None,
            standing: ha::Standing::Standby,
            since: None,
            group: 0,
            epoch: 0,
            partner: None,
            partner_standing: None,
            waiting: None,
            failover: None,
        }
    }

    fn of_others(cluster: &Cluster) -> Self {
        let because = match &cluster.backup {
            None => format!("node {} is the primary", cluster.primary),
            Some(backup) => format!("nodes {} and {backup} have it", cluster.primary),
        };
        Self { because, ..Self::none() }
    }
}

/// Whether the other node of a group could take over, the worst first.
pub(super) fn failover(group: &GroupView, peer: &PeerView, unfit: Option<String>) -> Failover {
    let name = &peer.name;
    let not = |because: String| Failover { ready: false, because: Some(because) };
    match peer.state {
        "alive" => {}
        "unheard" => return not(format!("{name} has not been heard")),
        "suspect" => return not(format!("{name} is silent")),
        "mute" => return not(format!("the daemon of {name} does not run")),
        _ => return not(format!("{name} is not heard")),
    }
    let ours = group.standing == ha::Standing::Active;
    let theirs = group.partner == Some(ha::Standing::Active);
    if !ours && !theirs {
        return not("nobody is active".to_owned());
    }
    if ours && theirs {
        return not(format!("{name} and this node are both active"));
    }
    if ours && !peer.fit {
        return not(format!("{name} cannot forward"));
    }
    if let Some(unfit) = unfit.filter(|_| theirs) {
        return not(unfit);
    }
    if ours && group.partner == Some(ha::Standing::Starting) {
        return not(format!("{name} is starting"));
    }
    if !peer.paths.iter().any(|path| path.up && path.heard_by_peer) {
        return not(format!("no path to {name} works in both directions"));
    }
    match peer.sync {
        SyncView::Down => return not("replication is not connected".to_owned()),
        SyncView::Copying(percent) => return not(format!("replication at {percent} %")),
        SyncView::Complete => {}
    }
    if peer.same_config == Some(false) {
        return not(format!("the configuration of {name} differs"));
    }
    let up = peer.paths.iter().filter(|path| path.up && path.heard_by_peer).count();
    let amiss =
        (up < peer.paths.len()).then(|| format!("{up} of {} paths to {name} works", peer.paths.len()));
    Failover { ready: true, because: amiss }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::ha::{PathView, ReachScore};

    fn group(standing: ha::Standing, partner: Option<ha::Standing>) -> GroupView {
        GroupView {
            number: 1,
            role: Role::Primary,
            standing,
            since: Instant::START,
            because: "nobody was active".into(),
            epoch: 1,
            lease: Duration::from_secs(5),
            partner,
            waiting: None,
        }
    }

    const UP: PathView = PathView { heard: None, up: true, heard_by_peer: true, loss: 0.0, round_trip: None };

    fn peer() -> PeerView {
        PeerView {
            name: "beta".into(),
            state: "alive",
            paths: vec![UP, UP],
            reach: ReachScore::default(),
            fit: true,
            sync: SyncView::Complete,
            same_config: Some(true),
        }
    }

    fn ours() -> GroupView {
        group(ha::Standing::Active, Some(ha::Standing::Standby))
    }

    #[test]
    fn a_pair_in_good_health_is_ready() {
        assert_eq!(failover(&ours(), &peer(), None), Failover { ready: true, because: None });
        let theirs = group(ha::Standing::Standby, Some(ha::Standing::Active));
        assert!(failover(&theirs, &peer(), None).ready);
    }

    #[test]
    fn one_path_of_two_is_enough_and_is_said() {
        let one = PeerView { paths: vec![UP, PathView { up: false, ..UP }], ..peer() };
        let found = failover(&ours(), &one, None);
        assert_eq!((found.ready, found.because.as_deref()), (true, Some("1 of 2 paths to beta works")));
    }

    #[test]
    fn whatever_would_hurt_a_takeover_is_named() {
        let theirs = group(ha::Standing::Standby, Some(ha::Standing::Active));
        let (both, nobody) = (
            group(ha::Standing::Active, Some(ha::Standing::Active)),
            group(ha::Standing::Standby, Some(ha::Standing::Standby)),
        );
        let starting = group(ha::Standing::Active, Some(ha::Standing::Starting));
        let down = || Some("interface eth0 is down".to_owned());
        let cases = [
            (ours(), PeerView { state: "unheard", ..peer() }, None, "beta has not been heard"),
            (ours(), PeerView { state: "suspect", ..peer() }, None, "beta is silent"),
            (ours(), PeerView { state: "mute", ..peer() }, None, "the daemon of beta does not run"),
            (ours(), PeerView { state: "gone", ..peer() }, None, "beta is not heard"),
            (both, peer(), None, "beta and this node are both active"),
            (nobody, peer(), None, "nobody is active"),
            (starting, peer(), None, "beta is starting"),
            (ours(), PeerView { fit: false, ..peer() }, None, "beta cannot forward"),
            (theirs, peer(), down(), "interface eth0 is down"),
            (ours(), PeerView { paths: vec![], ..peer() }, None, "no path to beta works in both directions"),
            (ours(), PeerView { sync: SyncView::Down, ..peer() }, None, "replication is not connected"),
            (ours(), PeerView { sync: SyncView::Copying(43), ..peer() }, None, "replication at 43 %"),
            (
                ours(),
                PeerView { same_config: Some(false), ..peer() },
                None,
                "the configuration of beta differs",
            ),
        ];
        for (group, peer, unfit, because) in cases {
            let found = failover(&group, &peer, unfit);
            assert_eq!((found.ready, found.because.as_deref()), (false, Some(because)));
        }
    }
}
