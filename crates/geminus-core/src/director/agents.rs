//! What agents say of their hosts, and what it means that one says nothing any more.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use super::{Director, Instant, words};
use crate::agent::Report;
use crate::journal::EventKind;

/// Hosts that report and are nobody's: so many are told of; each holds the key, so more is a mistake of the site's.
const UNKNOWN_HOSTS: usize = 64;

#[derive(Debug)]
struct Agent {
    report: Report,
    heard: Instant,
    lost: bool,
    /// It reports too seldom for the site's timeout, and that was told.
    seldom: bool,
}

/// The agents that were heard.
#[derive(Debug, Default)]
pub(super) struct Agents {
    heard: BTreeMap<IpAddr, Agent>,
    /// When each of them is lost.
    due: BTreeSet<(Instant, IpAddr)>,
    unknown: BTreeSet<IpAddr>,
}

impl Agents {
    /// What the agent of a host said last, while it is heard.
    pub(super) fn report(&self, host: IpAddr) -> Option<&Report> {
        self.heard.get(&host).filter(|agent| !agent.lost).map(|agent| &agent.report)
    }

    /// The same, if it was said after a moment.
    pub(super) fn report_since(&self, host: IpAddr, moment: Option<Instant>) -> Option<&Report> {
        let agent = self.heard.get(&host).filter(|agent| !agent.lost)?;
        moment.is_none_or(|moment| agent.heard > moment).then_some(&agent.report)
    }

    /// Whether the agent of a host was heard, and is not any more.
    pub(super) fn is_lost(&self, host: IpAddr) -> bool {
        self.heard.get(&host).is_some_and(|agent| agent.lost)
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.due.first().map(|&(due, _)| due)
    }
}

/// That an agent reports too seldom, and the way out.
pub(super) fn seldom_words(report: &Report, timeout: Duration) -> String {
    format!(
        "reports every {}, and without a report for {} it counts as lost: \
         start it with a shorter --interval, or give [agents] a longer timeout",
        words::time(report.every.unwrap_or_default()),
        words::time(timeout)
    )
}

impl Director {
    pub(super) fn reported(&mut self, report: Report, now: Instant) {
        let host = report.host;
        let name = self.names.get(&host).cloned();
        let Some(name) = name.filter(|_| !self.care.fleet.of_host(host).is_empty()) else {
            let agents = &mut self.care.agents;
            if agents.unknown.len() < UNKNOWN_HOSTS && agents.unknown.insert(host) {
                let message = format!(
                    "an agent reports for {host}, and no server has that address: \
                     start it with --address and the address that the site has for its host"
                );
                self.tell_bounded(EventKind::AgentUnknown, message, now);
            }
            return;
        };
        let timeout = self.site.agents.timeout;
        let leaving = report.leaving;
        let seldom = report.is_seldom(timeout).then(|| seldom_words(&report, timeout));
        let agents = &mut self.care.agents;
        let agent = Agent { report, heard: now, lost: false, seldom: seldom.is_some() };
        let before = agents.heard.insert(host, agent);
        if let Some(before) = &before {
            agents.due.remove(&(before.heard + timeout, host));
        }
        agents.due.insert((now + timeout, host));
        if let Some(words) = seldom.filter(|_| before.as_ref().is_none_or(|before| !before.seldom)) {
            self.tell_bounded(EventKind::AgentSeldom, format!("the agent of {name} ({host}) {words}"), now);
        }
        if before.is_some_and(|before| before.lost) {
            self.tell_bounded(
                EventKind::AgentBack,
                format!("the agent of {name} ({host}) reports again"),
                now,
            );
        }
        if self.care.fleet.set_leaving(host, leaving) {
            let (kind, message) = match leaving {
                true => (EventKind::ServerResting, "is about to stop, its agent says: no new flows"),
                false => (EventKind::ServerRested, "gets new flows again: its agent says that it stays"),
            };
            self.tell_bounded(kind, format!("server {name} ({host}) {message}"), now);
        }
    }

    pub(super) fn agents_timeout(&mut self, now: Instant) {
        while let Some(&(due, host)) = self.care.agents.due.first().filter(|&&(due, _)| due <= now) {
            self.care.agents.due.remove(&(due, host));
            let Some(agent) = self.care.agents.heard.get_mut(&host) else { continue };
            agent.lost = true;
            let silence = words::time(now.since(agent.heard));
            // A host that said it would stop has stopped.
            if agent.report.leaving {
                continue;
            }
            let name = self.names.get(&host).cloned().unwrap_or_else(|| host.to_string());
            let message = format!(
                "the agent of {name} ({host}) has not reported for {silence}: its load counts for nothing until it does"
            );
            self.tell_bounded(EventKind::AgentLost, message, now);
        }
    }

    /// Another site: agents of hosts that it does not have are forgotten, and the time after which they are lost is its own.
    pub(super) fn agents_changed(&mut self, now: Instant) {
        let timeout = self.site.agents.timeout;
        let hosts = self.care.fleet.hosts();
        let agents = &mut self.care.agents;
        let enabled = self.site.agents.enabled;
        agents.heard.retain(|host, _| enabled && hosts.contains_key(host));
        agents.unknown.clear();
        let live = agents.heard.iter().filter(|(_, agent)| !agent.lost);
        agents.due = live.map(|(&host, agent)| ((agent.heard + timeout).max(now), host)).collect();
    }
}
