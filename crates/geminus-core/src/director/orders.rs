//! What an operator orders: which servers are meant, and what is wanted of them from then on.

use std::collections::BTreeSet;
use std::time::Duration;

use super::{Director, Instant, words};
use crate::journal::EventKind;
use crate::limits;
use crate::model::{Cluster, Server, Service, Site};
use crate::plan::{KernelMs, Override, Overrides, server_identity};

/// One order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// Name of the server.
    pub server: String,
    /// Only in this cluster; none: wherever the name occurs.
    pub cluster: Option<String>,
    /// What is wanted.
    pub wish: Wish,
}

/// What is wanted of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// No new flows.
    Drain,
    /// No new flows, and none at all after this time: those that are left go to other servers then.
    DrainWithin(Duration),
    /// New flows again.
    Undrain,
    /// This weight; none: the configured one.
    Weight(Option<u16>),
}

/// Why an order or a reload cannot be carried out. Nothing has changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// The thing and the cause.
    pub message: String,
    /// The way out.
    pub hint: Option<String>,
    /// Further lines.
    pub details: Vec<String>,
}

impl Refusal {
    pub(super) fn new(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { message: message.into(), hint: Some(hint.into()), details: Vec::new() }
    }
}

impl Order {
    /// What is wanted of all servers once this is carried out.
    pub(super) fn apply(
        &self,
        site: &Site,
        node: &str,
        before: &Overrides,
        now: KernelMs,
    ) -> Result<Overrides, Refusal> {
        if let Wish::Weight(Some(weight)) = self.wish
            && weight > limits::WEIGHT_MAX
        {
            let message = format!("weight {weight} is out of range");
            return Err(Refusal::new(message, format!("0 to {}", limits::WEIGHT_MAX)));
        }
        let mut after = before.clone();
        let mut found = false;
        for (cluster, service, server) in servers(site, node) {
            if self.means(cluster, server) {
                found = true;
                let identity = server_identity(cluster, service, server);
                after.insert(identity, self.wish.on(before.get(identity), now));
            }
        }
        if found { Ok(after) } else { Err(self.unknown(site, node)) }
    }

    fn means(&self, cluster: &Cluster, server: &Server) -> bool {
        server.name == self.server && self.cluster.as_ref().is_none_or(|name| *name == cluster.name)
    }

    /// The other nodes that serve what the order is about: it holds on the node that has it.
    pub(super) fn partners<'a>(&self, site: &'a Site, node: &'a str) -> impl Iterator<Item = &'a str> {
        let meant = servers(site, node).filter(|(cluster, _, server)| self.means(cluster, server));
        let partners: BTreeSet<_> = meant
            .flat_map(|(cluster, ..)| [Some(cluster.primary.as_str()), cluster.backup.as_deref()])
            .flatten()
            .filter(|&name| name != node)
            .collect();
        partners.into_iter()
    }

    pub(super) const fn kind(&self) -> EventKind {
        match self.wish {
            Wish::Drain | Wish::DrainWithin(_) => EventKind::ServerDrained,
            Wish::Undrain => EventKind::ServerUndrained,
            Wish::Weight(_) => EventKind::ServerWeighted,
        }
    }

    /// The order in words, as done.
    pub(super) fn told(&self) -> String {
        let place = self.cluster.as_ref().map_or(String::new(), |cluster| format!(" in cluster {cluster}"));
        match self.wish {
            Wish::Drain => format!("server {}{place} gets no new flows", self.server),
            Wish::DrainWithin(time) => format!(
                "server {}{place} gets no new flows, and those it has go to others in {}",
                self.server,
                words::time(time)
            ),
            Wish::Undrain => format!("server {}{place} gets new flows again", self.server),
            Wish::Weight(Some(weight)) => format!("server {}{place} has weight {weight}", self.server),
            Wish::Weight(None) => format!("server {}{place} has its configured weight", self.server),
        }
    }

    fn unknown(&self, site: &Site, node: &str) -> Refusal {
        let clusters: Vec<_> = site.clusters.iter().filter(|cluster| cluster.is_of(node)).collect();
        if let Some(name) = &self.cluster
            && !clusters.iter().any(|cluster| cluster.name == *name)
        {
            let names = clusters.iter().map(|cluster| cluster.name.as_str());
            return nearest(
                format!("no cluster {name} on this node"),
                name,
                names,
                "geminus status lists them",
            );
        }
        let place = self.cluster.as_ref().map_or(String::new(), |cluster| format!(" in cluster {cluster}"));
        let names = servers(site, node)
            .filter(|(cluster, ..)| self.cluster.as_ref().is_none_or(|name| *name == cluster.name))
            .map(|(_, _, server)| server.name.as_str());
        nearest(
            format!("no server {}{place}", self.server),
            &self.server,
            names,
            "geminus servers lists them",
        )
    }
}

impl Wish {
    fn on(self, before: Override, now: KernelMs) -> Override {
        match self {
            Self::Drain => Override { drained: true, until: None, weight: before.weight },
            Self::DrainWithin(time) => {
                Override { drained: true, until: Some(now + time), weight: before.weight }
            }
            Self::Undrain => Override { drained: false, until: None, weight: before.weight },
            Self::Weight(weight) => Override { weight, ..before },
        }
    }
}

impl Director {
    /// An order was carried out: what it means for servers beyond their entries.
    pub(super) fn wishes_changed(&mut self, order: &Order, before: &Overrides, now: Instant) {
        let differing: Vec<_> = self.overrides.differing(before).collect();
        self.care.fleet.wishes_changed(differing.iter().copied());
        let meant = match order.wish {
            Wish::Weight(_) => return,
            // Whoever was drained before may have another time now.
            Wish::Drain | Wish::DrainWithin(_) | Wish::Undrain => servers(&self.site, &self.node.name)
                .filter(|(cluster, _, server)| order.means(cluster, server))
                .map(|(cluster, service, server)| server_identity(cluster, service, server))
                .collect::<Vec<_>>(),
        };
        self.drains_changed(&meant, now);
    }
}

/// Every server of the node's clusters, with where it stands.
pub(super) fn servers<'a>(
    site: &'a Site,
    node: &'a str,
) -> impl Iterator<Item = (&'a Cluster, &'a Service, &'a Server)> {
    site.clusters.iter().filter(move |cluster| cluster.is_of(node)).flat_map(|cluster| {
        let of_service =
            move |service: &'a Service| service.servers.iter().map(move |server| (cluster, service, server));
        cluster.services.iter().flat_map(of_service)
    })
}

/// The overrides that still mean a server of this site.
pub(super) fn surviving(site: &Site, node: &str, before: &Overrides) -> Overrides {
    let mut after = Overrides::default();
    if before.is_empty() {
        // The usual case, and naming every server of a large site takes its time.
        return after;
    }
    for (cluster, service, server) in servers(site, node) {
        let identity = server_identity(cluster, service, server);
        after.insert(identity, before.get(identity));
    }
    after
}

/// A refusal that names the nearest right thing if one is near.
pub(super) fn nearest<'a>(
    message: String,
    wrong: &str,
    right: impl Iterator<Item = &'a str>,
    otherwise: &str,
) -> Refusal {
    let near = right
        .map(|name| (strsim::damerau_levenshtein(wrong, name), name))
        .filter(|&(distance, _)| distance <= 2)
        .min();
    let hint = near.map_or_else(|| otherwise.to_owned(), |(_, name)| format!("did you mean {name}?"));
    Refusal::new(message, hint)
}
