//! What `geminus host setup` has to do. Pure.

use std::fmt;
use std::net::IpAddr;

use crate::host::seen::{LOOPBACK, Seen};
use crate::host::sysctl::Sysctl;
use crate::host::wanted::Wanted;
use crate::netlink::width;

/// One change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// A kernel setting.
    Set {
        /// Which.
        setting: Sysctl,
        /// Its value until now.
        from: String,
        /// Its value from now on.
        to: &'static str,
    },
    /// The loopback interface of a fresh network namespace is down.
    RaiseLoopback,
    /// A cluster address on `lo`.
    Add(IpAddr),
}

/// The changes that are missing, in an order in which the host never answers for the address on the way: silence first.
pub(crate) fn steps(wanted: &Wanted, seen: &Seen) -> Vec<Step> {
    let mut steps = Vec::new();
    if wanted.addresses.iter().any(IpAddr::is_ipv4) {
        steps.extend(silence(&wanted.interface, seen));
    }
    if !seen.network.link(LOOPBACK).is_some_and(|link| link.up) {
        steps.push(Step::RaiseLoopback);
    }
    let missing = wanted.addresses.iter().filter(|address| !seen.has(LOOPBACK, **address));
    steps.extend(missing.map(|address| Step::Add(*address)));
    steps
}

/// The settings that keep the host silent: in `all` for every interface there will be, and in the interface's own.
pub(crate) fn silence(interface: &str, seen: &Seen) -> Vec<Step> {
    let mut steps = Vec::new();
    // arp_ignore 2 is stricter than 1 in one point only, the asker's network: whoever set it meant it.
    for (name, to, fine) in [("arp_ignore", "1", &["1", "2"][..]), ("arp_announce", "2", &["2"][..])] {
        for setting in ["all", interface].map(|scope| Sysctl::v4(scope, name)) {
            let from = seen.settings.get(&setting).cloned().unwrap_or_default();
            if !fine.contains(&from.as_str()) {
                steps.push(Step::Set { setting, from, to });
            }
        }
    }
    steps
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Set { setting, from, to } => write!(f, "set {setting} to {to} (was {from})"),
            Self::RaiseLoopback => f.write_str("switched lo on"),
            Self::Add(address) => write!(f, "added {address}/{} to lo", width(*address)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::findings::sample::{ip, seen, wanted};
    use crate::host::findings::{Grade, findings};

    fn bare() -> Seen {
        let mut seen = seen();
        seen.network.addresses.retain(|placed| placed.link != 1);
        seen.network.links[0].up = false;
        for value in seen.settings.values_mut() {
            *value = "0".into();
        }
        seen
    }

    /// The machine after the steps, as far as the model goes.
    fn after(steps: &[Step], mut seen: Seen) -> Seen {
        for step in steps {
            match step {
                Step::Set { setting, to, .. } => {
                    drop(seen.settings.insert(setting.clone(), (*to).to_owned()))
                }
                Step::RaiseLoopback => seen.network.links[0].up = true,
                Step::Add(address) => seen.network.addresses.push(crate::netlink::Placed {
                    link: 1,
                    address: *address,
                    prefix: width(*address),
                    blocked: false,
                }),
            }
        }
        seen
    }

    #[test]
    fn after_the_steps_nothing_is_wrong_and_nothing_is_left_to_do() {
        let steps_there = steps(&wanted(), &bare());
        assert_eq!(steps_there.len(), 7, "{steps_there:?}");
        let seen = after(&steps_there, bare());
        assert!(findings(&wanted(), &seen).iter().all(|finding| finding.grade == Grade::Ok));
        assert_eq!(steps(&wanted(), &seen), []);
    }

    #[test]
    fn the_host_is_silent_before_it_has_the_address() {
        let steps = steps(&wanted(), &bare());
        let first_address = steps.iter().position(|step| matches!(step, Step::Add(_)));
        let last_setting = steps.iter().rposition(|step| matches!(step, Step::Set { .. }));
        assert!(last_setting < first_address, "{steps:?}");
    }

    #[test]
    fn a_stricter_arp_ignore_is_kept() {
        let mut seen = seen();
        seen.settings.insert(Sysctl::v4("all", "arp_ignore"), "2".into());
        assert_eq!(steps(&wanted(), &seen), []);
    }

    #[test]
    fn ipv6_alone_needs_no_setting() {
        let only_six = Wanted { addresses: vec![ip("2001:db8:1::80")], ..wanted() };
        assert_eq!(steps(&only_six, &bare()), [Step::RaiseLoopback, Step::Add(ip("2001:db8:1::80"))]);
    }
}
