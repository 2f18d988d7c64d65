//! What a configuration says of nodes that take over from each other. Pure.

use std::net::IpAddr;
use std::time::Duration;

use geminus_core::model::{Announce, Recovery, Site};
use serde::Serialize;

use crate::figures::span;

/// What a supervisor and the daemon may need until the daemon that was started again renews the lease.
const RESTART: Duration = Duration::from_secs(2);

/// How and when nodes take over from each other.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Availability {
    /// Each two nodes that share clusters.
    pub(crate) pairs: Vec<Pair>,
    pub(crate) groups: Vec<Group>,
    pub(crate) timers: Timers,
    pub(crate) port: u16,
    pub(crate) reach: Vec<IpAddr>,
    pub(crate) recovery: &'static str,
    pub(crate) announce: &'static str,
    /// What is allowed and makes takeovers worse.
    pub(crate) doubts: Vec<String>,
}

/// Two nodes that share clusters.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Pair {
    pub(crate) nodes: [String; 2],
    /// The addresses of each path, in the order of the nodes.
    pub(crate) paths: Vec<[IpAddr; 2]>,
}

/// Clusters that fail over together.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Group {
    pub(crate) number: u8,
    pub(crate) primary: String,
    pub(crate) backup: String,
    pub(crate) clusters: Vec<String>,
}

/// When silence is noticed and believed, seconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Timers {
    pub(crate) heartbeat: f64,
    pub(crate) suspect: u32,
    pub(crate) probes: u32,
    pub(crate) confirm: f64,
    /// From the last sign of life to the takeover.
    pub(crate) detection: f64,
    pub(crate) lease: f64,
    pub(crate) stable: f64,
    pub(crate) alone_after: f64,
}

/// None where no cluster has a backup.
pub(crate) fn availability(site: &Site) -> Option<Availability> {
    let group = |group: geminus_core::model::Group| Group {
        number: group.number,
        primary: group.primary,
        backup: group.backup,
        clusters: group.clusters.iter().map(|&cluster| site.clusters[cluster].name.clone()).collect(),
    };
    let groups: Vec<_> = site.groups().into_iter().map(group).collect();
    let pairs = pairs(site);
    (!groups.is_empty()).then(|| Availability {
        doubts: doubts(site, &pairs),
        pairs,
        groups,
        timers: timers(site),
        port: site.ha.port,
        reach: site.ha.reach.clone(),
        recovery: match site.ha.recovery {
            Recovery::Auto => "auto",
            Recovery::Manual => "manual",
        },
        announce: match site.ha.announce {
            Announce::Gratuitous => "gratuitous",
            Announce::VirtualMac => "virtual-mac",
        },
    })
}

/// Every two partners have a path, by the rules of the file.
fn pairs(site: &Site) -> Vec<Pair> {
    let mut pairs: Vec<Pair> = Vec::new();
    for path in &site.ha.paths {
        match pairs.iter_mut().find(|pair| pair.nodes == path.nodes) {
            Some(pair) => pair.paths.push(path.addresses),
            None => pairs.push(Pair { nodes: path.nodes.clone(), paths: vec![path.addresses] }),
        }
    }
    pairs
}

fn timers(site: &Site) -> Timers {
    let ha = &site.ha;
    Timers {
        heartbeat: ha.timers.heartbeat.as_secs_f64(),
        suspect: ha.timers.suspect,
        probes: ha.timers.probes,
        confirm: ha.timers.confirm.as_secs_f64(),
        detection: ha.timers.detection().as_secs_f64(),
        lease: ha.lease.as_secs_f64(),
        stable: ha.stable.as_secs_f64(),
        alone_after: ha.alone_after.as_secs_f64(),
    }
}

fn doubts(site: &Site, pairs: &[Pair]) -> Vec<String> {
    let mut doubts = Vec::new();
    for Pair { nodes: [one, other], .. } in pairs.iter().filter(|pair| pair.paths.len() == 1) {
        doubts.push(format!(
            "one path joins {one} and {other}, and a cut cable looks like a dead partner: give [ha] a second in `paths`"
        ));
    }
    if site.ha.reach.is_empty() {
        doubts.push(
            "no node can tell whether itself or its partner is off the network: give [ha] the routers as `reach`"
                .to_owned(),
        );
    }
    if site.ha.lease < RESTART {
        let (lease, restart) = (span(site.ha.lease.as_secs_f64()), span(RESTART.as_secs_f64()));
        doubts.push(format!(
            "a lease of {lease} may run out while the daemon restarts, and the partner takes over: at least {restart}"
        ));
    }
    doubts
}

#[cfg(test)]
mod tests {
    use geminus_core::config;

    use super::*;

    const PAIR: &str = include_str!("../../../../../examples/pair.toml");

    fn of(text: &str) -> Availability {
        let site = config::parse(text, "geminus.toml").unwrap_or_else(|errors| panic!("{errors}"));
        availability(&site).expect("a cluster has a backup")
    }

    #[test]
    fn a_site_without_a_backup_says_nothing_of_partners() {
        let minimal = include_str!("../../../../../examples/minimal.toml");
        assert_eq!(availability(&config::parse(minimal, "geminus.toml").expect("a sound file")), None);
    }

    #[test]
    fn the_examples_leave_no_doubt() {
        let mutual = of(include_str!("../../../../../examples/mutual.toml"));
        assert_eq!((of(PAIR).doubts, mutual.doubts), (Vec::new(), Vec::new()));
        let groups: Vec<_> = mutual.groups.iter().map(|group| (group.number, &group.primary[..])).collect();
        assert_eq!(groups, [(1, "alpha"), (2, "beta")]);
        assert_eq!((mutual.pairs.len(), mutual.pairs[0].paths.len()), (1, 2));
    }

    #[test]
    fn each_weakness_is_one_doubt() {
        let of = |from: &str, to: &str| {
            assert_eq!(PAIR.matches(from).count(), 1, "{from}");
            of(&PAIR.replace(from, to)).doubts
        };
        for (from, to, part) in [
            ("  [\"203.0.113.1\", \"203.0.113.2\"],", "", "one path joins alpha and beta"),
            ("reach = [\"198.51.100.1\"]", "", "`reach`"),
            ("[ha]", "[ha]\nlease = \"1s\"", "a lease of 1.0s"),
        ] {
            let doubts = of(from, to);
            assert_eq!(doubts.len(), 1, "{doubts:?}");
            assert!(doubts[0].contains(part), "{doubts:?}");
        }
    }
}
