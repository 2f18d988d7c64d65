//! What the daemon does about its partners: the threads of heartbeats and of replication beside the loop, and what passes
//! between the three.

use std::collections::HashMap;
use std::future::pending;
use std::net::IpAddr;
use std::sync::Arc;

use geminus_core::director::{Director, Input, Partner, group_addresses};
use geminus_core::ha::{self, PathId};
use geminus_core::key::HaKeys;
use geminus_core::model::{Cluster, Site};
use geminus_core::neighbour::{Mac, Reach};
use geminus_core::replication::Numbers;
use tokio::sync::mpsc::Receiver;

use crate::driver::Clock;
use crate::error::RunError;
use crate::kernel::Netlink;
use crate::plane::Plane;
use crate::replication::{self, Replication, SyncCommand, SyncNews};
use crate::twin::{Command, News, Twin, TwinParts, TwinPath, TwinSite};

/// The threads that partners are talked to by.
#[derive(Debug)]
pub(crate) struct Pair {
    twin: Twin,
    news: Receiver<News>,
    /// What the thread works with.
    site: TwinSite,
    /// What could not be done about the paths, and was told.
    told: Vec<String>,
    left: bool,
    replication: Replication,
    sync_news: Receiver<SyncNews>,
    /// What the replication thread works with.
    replicated: (Arc<Site>, HaKeys),
    /// By name of the partner: what was counted, and by which path.
    counted: HashMap<String, Counted>,
}

/// What replication with a partner has done since it was connected.
#[derive(Debug)]
pub(crate) struct Counted {
    pub(crate) numbers: Numbers,
    /// This node's address and the partner's; none: not connected.
    pub(crate) path: Option<[IpAddr; 2]>,
}

/// What came of waiting for a thread.
#[derive(Debug)]
pub(crate) enum Heard {
    /// For the director.
    Input(Input),
    /// So many news had no room.
    Lost(u64),
    /// The thread is not there any more, and nobody renews the leases of the groups.
    Ended,
}

impl Pair {
    /// Starts the threads; none where the node has no partner. The data plane is open and says what the site says.
    pub(crate) fn start(
        director: &mut Director,
        plane: &mut Plane,
        keys: &HaKeys,
        clock: Clock,
    ) -> Result<Option<Self>, RunError> {
        let Some((site, warnings)) = site(director, plane, keys) else { return Ok(None) };
        let (leases, paths) = (plane.data().leases(), plane.data().paths());
        let parts = TwinParts { clock, site: site.clone(), leases, paths };
        let (twin, news) = Twin::start(parts)
            .map_err(|error| RunError::Kernel { what: "the thread of heartbeats", error })?;
        let parts = replication::Parts {
            node: director.node().name.clone(),
            site: Arc::clone(director.site()),
            keys: keys.clone(),
            live: Arc::clone(plane.data().live()),
        };
        let (replication, sync_news) = Replication::start(parts)
            .map_err(|error| RunError::Kernel { what: "the thread of replication", error })?;
        let mut pair = Self {
            twin,
            news,
            site,
            told: Vec::new(),
            left: false,
            replication,
            sync_news,
            replicated: (Arc::clone(director.site()), keys.clone()),
            counted: HashMap::new(),
        };
        pair.warn(director, warnings, clock);
        Ok(Some(pair))
    }

    /// Tells the heartbeat thread something.
    pub(crate) fn command(&self, command: Command) {
        self.twin.command(command);
    }

    /// Looks again at what the threads work with, and tells them if it changed.
    pub(crate) fn refresh(
        &mut self,
        director: &mut Director,
        plane: &mut Plane,
        keys: &HaKeys,
        clock: Clock,
    ) {
        let Some((site, warnings)) = site(director, plane, keys) else { return };
        if site != self.site {
            self.site = site;
            self.twin.command(Command::Site(Box::new(self.site.clone())));
        }
        let same = Arc::ptr_eq(director.site(), &self.replicated.0) && *keys == self.replicated.1;
        if !same {
            self.replicated = (Arc::clone(director.site()), keys.clone());
            let (site, keys) = self.replicated.clone();
            self.replication.command(SyncCommand::Configure { site, keys });
        }
        self.warn(director, warnings, clock);
    }

    /// What replication with a partner has done.
    pub(crate) fn counted(&self, partner: &str) -> Option<&Counted> {
        self.counted.get(partner)
    }

    /// The next thing that a thread says which somebody else must hear.
    pub(crate) async fn heard(&mut self) -> Heard {
        loop {
            tokio::select! {
                news = self.news.recv(), if !self.left => return self.news_came(news),
                Some(news) = self.sync_news.recv() => {
                    if let Some(heard) = self.sync_news_came(news) {
                        return heard;
                    }
                }
                else => return pending().await,
            }
        }
    }

    fn sync_news_came(&mut self, news: SyncNews) -> Option<Heard> {
        let index = |partner: &str| self.site.config.peers.iter().position(|peer| peer.name == partner);
        match news {
            SyncNews::Progress { peer: name, sync, numbers, path } => {
                if let Some(peer) = index(&name) {
                    self.twin.command(Command::Ha(ha::Input::Sync { peer, sync }));
                    self.counted.insert(name, Counted { numbers, path });
                }
                None
            }
            SyncNews::Difference { peer, lines } => {
                Some(Heard::Input(Input::ConfigDifference { peer: index(&peer)?, lines }))
            }
            SyncNews::Refused { peer, because, hint } => {
                let message = format!("flows are not replicated with {peer}: {because}; {hint}");
                Some(Heard::Input(Input::TwinWarning(message)))
            }
        }
    }

    fn news_came(&mut self, news: Option<News>) -> Heard {
        let Some(news) = news else {
            self.left = true;
            return Heard::Ended;
        };
        Heard::Input(match news {
            News::Event(event) => Input::Twin(event),
            News::View(view) => Input::TwinView(view),
            News::Security { what, path, count } => {
                let by = path
                    .and_then(|path| self.path(path))
                    .map_or_else(String::new, |path| format!(" by path {} - {}", path.own, path.remote));
                let frames = if count == 1 { "frame" } else { "frames" };
                Input::TwinSecurity(format!("refused{by}: {count} {frames} {}", what.words()))
            }
            News::Warning(what) => Input::TwinWarning(what),
            News::Left => {
                self.left = true;
                Input::TwinLeft
            }
            News::Lost(count) => return Heard::Lost(count),
        })
    }

    fn path(&self, id: PathId) -> Option<&TwinPath> {
        self.site.paths.iter().find(|path| path.id == id)
    }

    /// Tells each trouble once while it lasts.
    fn warn(&mut self, director: &mut Director, warnings: Vec<String>, clock: Clock) {
        for warning in warnings.iter().filter(|warning| !self.told.contains(warning)) {
            director.handle(Input::TwinWarning(warning.clone()), clock.now());
        }
        self.told = warnings;
    }
}

/// Waits for the heartbeat thread; for ever where there is none.
pub(crate) async fn heard(pair: &mut Option<Pair>) -> Heard {
    match pair {
        Some(pair) => pair.heard().await,
        None => pending().await,
    }
}

/// What the thread is to work with, and what does not work about it; none without a partner or without an interface.
fn site(director: &Director, plane: &mut Plane, keys: &HaKeys) -> Option<(TwinSite, Vec<String>)> {
    let config = director.twin_config()?.clone();
    let own = director.own_interface()?;
    let (interface, mac) = (own.index, own.mac?);
    let mut warnings = Vec::new();
    let addresses: HashMap<IpAddr, u32> = match Netlink::addresses() {
        Ok(addresses) => addresses.into_iter().collect(),
        Err(error) => {
            warnings.push(format!("the addresses of this machine cannot be read: {error}"));
            HashMap::new()
        }
    };
    let (site, node) = (director.site(), director.node());
    let paths = paths(director.partners(), &addresses);
    for path in paths.iter().filter(|path| path.interface == 0) {
        let (own, remote) = (path.own, path.remote);
        let message = format!("path {own} - {remote} is of no use: {own} is not an address of this machine");
        warnings.push(message);
    }
    let mut names: Vec<String> = Vec::new();
    for index in paths.iter().map(|path| path.interface).filter(|&index| index != 0 && index != interface) {
        names.extend(director.interface_name(index).map(str::to_owned));
    }
    warnings.extend(plane.attach_paths(&names));
    warnings.extend(accept_group_macs(plane, &config, interface));
    let is_ours =
        |server: IpAddr| addresses.contains_key(&server) || director.reach(server) == Some(Reach::Local);
    let serves = |partner: &Partner| {
        let shared = |cluster: &&Cluster| cluster.is_of(&node.name) && cluster.is_of(&partner.name);
        let mut servers = (site.clusters.iter().filter(shared))
            .flat_map(|cluster| cluster.services.iter().flat_map(|service| &service.servers));
        servers.any(|server| is_ours(server.address))
    };
    let site = TwinSite {
        serves: director.partners().iter().map(serves).collect(),
        config,
        paths,
        port: site.ha.port,
        reach: site.ha.reach.clone(),
        addresses: group_addresses(site, &node.name),
        interface,
        mac,
        keys: keys.clone(),
    };
    Some((site, warnings))
}

/// Makes the node's interface take frames to the hardware addresses of groups that have one, whoever is active: a takeover
/// then has nothing to wait for.
fn accept_group_macs(plane: &mut Plane, config: &ha::Config, interface: u32) -> Vec<String> {
    let leases = plane.data().leases();
    let macs = config.groups.iter().filter_map(|group| leases.mac(group.number)).map(Mac);
    let refused = |mac: Mac| {
        let error = Netlink::accept_mac(interface, mac).err()?;
        Some(format!(
            "the interface does not take frames to {mac}, the hardware address of a group: {error}; \
             set `announce = \"gratuitous\"`, or put the interface into promiscuous mode"
        ))
    };
    macs.filter_map(refused).collect()
}

fn paths(partners: &[Partner], addresses: &HashMap<IpAddr, u32>) -> Vec<TwinPath> {
    let of_partner = |(peer, partner): (usize, &Partner)| -> Vec<TwinPath> {
        let path = |(path, &[own, remote]): (usize, &[IpAddr; 2])| TwinPath {
            id: PathId { peer, path },
            own,
            remote,
            interface: addresses.get(&own).copied().unwrap_or(0),
        };
        partner.paths.iter().enumerate().map(path).collect()
    };
    partners.iter().enumerate().flat_map(of_partner).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn a_path_is_of_the_interface_that_has_its_address_or_of_none() {
        let partner = Partner {
            name: "beta".into(),
            address: ip("198.51.100.12"),
            paths: vec![
                [ip("198.51.100.11"), ip("198.51.100.12")],
                [ip("2001:db8:2::1"), ip("2001:db8:2::2")],
            ],
        };
        let addresses = HashMap::from([(ip("198.51.100.11"), 7)]);
        let paths = paths(&[partner], &addresses);
        let found: Vec<_> = paths.iter().map(|path| (path.id.peer, path.id.path, path.interface)).collect();
        assert_eq!(found, [(0, 0, 7), (0, 1, 0)]);
    }
}
