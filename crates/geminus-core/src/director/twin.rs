//! The director's side of high availability: what the heartbeat thread is told, what it says, and what operators want.
//!
//! The thread decides and acts by itself; nothing here is on the way of a takeover.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::ha_config::{self, Partner};
use super::orders::{Refusal, nearest};
use super::{DEFEND_INTERVAL, Director, Effect, Instant, Ticket, words};
use crate::ha::{Config, GroupConfig, GroupView, HaEvent, HaView, Input, PeerView, Standing, SyncView};
use crate::journal::EventKind;
use crate::model::{Cluster, Group, Site};
use crate::neighbour::Mac;

/// How long an operator waits for a takeover; one that is possible takes milliseconds.
pub const TAKEOVER_PATIENCE: Duration = Duration::from_secs(3);

/// How long the end waits for the partner to take over.
pub const LEAVE_PATIENCE: Duration = Duration::from_secs(3);

/// So long after a change of hands a claim to an address is taken for the partner's last word.
const LAST_WORD: Duration = Duration::from_secs(1);

/// A daemon that is silent when this one starts may be starting itself: it is told so much later.
const FIRST_WORD: Duration = Duration::from_secs(2);

/// Hardware addresses of partners that are remembered: a few network cards each.
const MACS: usize = 16;

/// What the director knows of its partners.
#[derive(Debug)]
pub(super) struct Twin {
    pub(super) config: Config,
    groups: Vec<Group>,
    pub(super) partners: Vec<Partner>,
    /// The group of each of its addresses.
    addresses: BTreeMap<IpAddr, u8>,
    pub(super) view: Option<HaView>,
    /// When that was.
    pub(super) viewed: Instant,
    /// By partner that has been heard: since when, and whether it had been lost before.
    heard: BTreeMap<usize, (Instant, bool)>,
    /// Partners whose daemon has not been heard yet, though their program answers, and when that is told.
    unheard: BTreeMap<usize, Instant>,
    /// What the thread was told last of this node: that it can forward, and that it knows where to.
    fit: Option<(bool, bool)>,
    orders: Vec<Waiting>,
    /// By partner: in what its configuration differs.
    pub(super) differences: BTreeMap<usize, Vec<String>>,
    macs: BTreeSet<Mac>,
}

/// An operator who waits for a takeover.
#[derive(Debug)]
struct Waiting {
    ticket: Ticket,
    until: Instant,
    /// Groups of which nothing was heard yet.
    open: BTreeSet<u8>,
    done: Vec<String>,
    refused: Option<Refusal>,
}

/// What a frame that claims an address means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Claimed {
    /// The address is not of a group.
    Unknown,
    /// It is the partner's, or this node does not own the address: the machine sees to that.
    Expected,
    /// A stranger claims what this node owns.
    Foreign,
}

impl Twin {
    /// None where no cluster of the node has a backup.
    pub(super) fn of(site: &Site, node: &str) -> Option<Self> {
        let mut addresses = BTreeMap::new();
        for (group, of_group) in ha_config::group_addresses(site, node) {
            addresses.extend(of_group.into_iter().map(|address| (address, group)));
        }
        Some(Self {
            config: ha_config::ha_config(site, node)?,
            groups: ha_config::groups(site, node),
            partners: ha_config::partners(site, node),
            addresses,
            view: None,
            viewed: Instant::START,
            heard: BTreeMap::new(),
            unheard: BTreeMap::new(),
            fit: None,
            orders: Vec::new(),
            differences: BTreeMap::new(),
            macs: BTreeSet::new(),
        })
    }

    /// The site changed; what is known of partners that stay is kept.
    fn change(&mut self, site: &Site, node: &str) {
        let Some(next) = Self::of(site, node) else { return };
        if next.partners != self.partners {
            self.macs.clear();
            self.heard.clear();
            self.unheard.clear();
            self.differences.clear();
        }
        self.config = next.config;
        self.groups = next.groups;
        self.partners = next.partners;
        self.addresses = next.addresses;
    }

    /// The group of a cluster, and the other node of it.
    pub(super) fn group_of(&self, cluster: &Cluster) -> Option<(&GroupConfig, &Partner)> {
        let same = |group: &&Group| {
            group.primary == cluster.primary && Some(&group.backup) == cluster.backup.as_ref()
        };
        let number = self.groups.iter().find(same)?.number;
        let config = self.config.groups.iter().find(|group| group.number == number)?;
        Some((config, self.partners.get(config.peer)?))
    }

    /// What is seen of a group and of its other node.
    pub(super) fn views(&self, group: &GroupConfig) -> Option<(&GroupView, &PeerView)> {
        let view = self.view.as_ref()?;
        let name = &self.partners.get(group.peer)?.name;
        let of_group = view.groups.iter().find(|of| of.number == group.number)?;
        Some((of_group, view.peers.iter().find(|peer| peer.name == *name)?))
    }

    /// What a partner is called.
    pub(super) fn name(&self, peer: usize) -> &str {
        self.partners.get(peer).map_or("a partner", |partner| &partner.name)
    }

    /// Remembers the hardware address of whoever has an address of a partner.
    pub(super) fn meet(&mut self, address: IpAddr, mac: Mac) {
        let is_partners = |partner: &Partner| {
            partner.address == address || partner.paths.iter().any(|&[_, theirs]| theirs == address)
        };
        if self.macs.len() < MACS && self.partners.iter().any(is_partners) {
            self.macs.insert(mac);
        }
    }

    pub(super) fn claimed(&self, address: IpAddr, mac: Mac, now: Instant) -> Claimed {
        let Some(number) = self.addresses.get(&address) else { return Claimed::Unknown };
        let view = self.view.iter().flat_map(|view| &view.groups).find(|group| group.number == *number);
        let ours = view
            .is_some_and(|group| group.standing == Standing::Active && now.since(group.since) >= LAST_WORD);
        if ours && !self.macs.contains(&mac) { Claimed::Foreign } else { Claimed::Expected }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.orders.iter().map(|order| order.until).chain(self.unheard.values().copied()).min()
    }

    /// Whether an event is to be told now. What is only a matter of the first moments is told later, and what looks like a
    /// duel because an operator moved a group is none.
    fn is_news(&mut self, event: &HaEvent, now: Instant) -> bool {
        match *event {
            HaEvent::PeerUp { peer } => {
                let lost = self.heard.contains_key(&peer);
                self.heard.insert(peer, (now, lost));
                self.unheard.remove(&peer);
                true
            }
            HaEvent::PeerDown { peer, mute: true } if !self.heard.contains_key(&peer) => {
                self.unheard.insert(peer, now + FIRST_WORD);
                false
            }
            HaEvent::PeerDown { peer, .. } => {
                self.unheard.remove(&peer);
                true
            }
            HaEvent::Duel { group, won: false, lasted } if lasted.is_zero() => {
                let peer = self.config.groups.iter().find(|of| of.number == group).map(|of| of.peer);
                let heard = peer.and_then(|peer| self.heard.get(&peer));
                heard.is_some_and(|&(since, lost)| lost && now.since(since) < LAST_WORD)
            }
            _ => true,
        }
    }
}

impl Director {
    /// Partners, in the order of [`Config::peers`]; none where no cluster has a backup.
    pub fn partners(&self) -> &[Partner] {
        self.twin.as_ref().map_or(&[], |twin| &twin.partners)
    }

    /// What the heartbeat thread last showed.
    pub fn twin_view(&self) -> Option<&HaView> {
        self.twin.as_ref()?.view.as_ref()
    }

    /// When it showed that.
    pub fn twin_viewed(&self) -> Instant {
        self.twin.as_ref().map_or(Instant::START, |twin| twin.viewed)
    }

    /// What the heartbeat thread works with; none where no cluster has a backup.
    pub fn twin_config(&self) -> Option<&Config> {
        self.twin.as_ref().map(|twin| &twin.config)
    }

    /// In what the configuration of a partner differs, as far as that is known.
    pub fn differences(&self, peer: usize) -> &[String] {
        self.twin.as_ref().and_then(|twin| twin.differences.get(&peer)).map_or(&[], Vec::as_slice)
    }

    pub(super) fn twin_timeout(&self) -> Option<Instant> {
        self.twin.as_ref().and_then(Twin::poll_timeout)
    }

    /// Tells the thread what this node is able to, if that changed.
    pub(super) fn tell_fit(&mut self) {
        let fit = (self.unfit().is_none(), self.cold_until.is_none());
        if let Some(twin) = &mut self.twin
            && twin.fit.replace(fit) != Some(fit)
        {
            self.effects.push_back(Effect::Twin(Input::Fit { link: fit.0, warm: fit.1 }));
        }
    }

    /// The neighbours may have forgotten or missed this node: every address it owns is announced again.
    pub(super) fn announce_again(&mut self, now: Instant) {
        self.announcer.again(now);
        if self.twin.is_some() {
            self.effects.push_back(Effect::TwinAgain { address: None });
        }
    }

    /// What the thread works with is told anew: the site changed, or the interface.
    pub(super) fn tell_site(&mut self) {
        if self.twin.is_some() {
            self.effects.push_back(Effect::TwinSite);
        }
    }

    /// The configuration in force is another one.
    pub(super) fn change_twin(&mut self) {
        if let Some(twin) = &mut self.twin {
            twin.change(&self.site, &self.node.name);
        }
        self.tell_site();
    }

    /// A stranger claims an address of a group that this node is active for.
    pub(super) fn defend_group(&mut self, address: IpAddr, mac: Mac, now: Instant) {
        if self.defends(address, mac, now) {
            self.effects.push_back(Effect::TwinAgain { address: Some(address) });
        }
    }

    /// Whether a claim is to be answered now; it is told then.
    pub(super) fn defends(&mut self, address: IpAddr, mac: Mac, now: Instant) -> bool {
        let answered = self.defended.get(&address);
        if answered.is_some_and(|&answered| now.since(answered) < DEFEND_INTERVAL) {
            return false;
        }
        self.defended.insert(address, now);
        let message = format!("cluster address {address} is announced by {mac}, which is not this node");
        self.tell(EventKind::AddressClaimed, message, now);
        true
    }

    /// The thread shows how things are.
    pub(super) fn twin_view_came(&mut self, view: HaView, now: Instant) {
        let Some(twin) = &mut self.twin else { return };
        let sync = |view: Option<&HaView>, name: &str| {
            let peer = view?.peers.iter().find(|peer| peer.name == name)?;
            Some(peer.sync)
        };
        let mut news = Vec::new();
        for partner in &twin.partners {
            let name = &partner.name;
            let before = sync(twin.view.as_ref(), name).unwrap_or_default();
            let after = sync(Some(&view), name).unwrap_or_default();
            match (before == SyncView::Complete, after) {
                (false, SyncView::Complete) => {
                    let message = format!("{name} and this node remember the same flows");
                    news.push((EventKind::SyncComplete, message));
                }
                (true, SyncView::Down) => {
                    let message =
                        format!("replication with {name} is interrupted: a takeover may lose connections");
                    news.push((EventKind::SyncLost, message));
                }
                (true, SyncView::Copying(percent)) => {
                    let message = format!(
                        "replication with {name} begins anew, at {percent} %: a takeover may lose connections"
                    );
                    news.push((EventKind::SyncLost, message));
                }
                _ => {}
            }
        }
        twin.view = Some(view);
        twin.viewed = now;
        for (kind, message) in news {
            self.tell(kind, message, now);
        }
    }

    /// Something happened at the thread.
    pub(super) fn twin_event(&mut self, event: HaEvent, now: Instant) {
        let Some(twin) = &mut self.twin else { return };
        if let HaEvent::ConfigAgrees { peer } = event {
            twin.differences.remove(&peer);
        }
        let told = if twin.is_news(&event, now) { twin.told(&event) } else { None };
        if let Some((kind, message)) = told {
            self.tell_bounded(kind, message, now);
        }
        self.answer_takeovers(&event);
    }

    /// In what a partner's configuration differs.
    pub(super) fn config_difference(&mut self, peer: usize, lines: Vec<String>, now: Instant) {
        let Some(twin) = &mut self.twin else { return };
        if lines.is_empty() {
            twin.differences.remove(&peer);
            return;
        }
        if twin.differences.get(&peer).is_some_and(|known| *known == lines) {
            return;
        }
        let what = words::first_of(&lines);
        let message = format!("the configuration of {} differs: {what}", twin.name(peer));
        twin.differences.insert(peer, lines);
        self.tell(EventKind::ConfigDifference, message, now);
    }

    /// An operator wants this node to be active.
    pub(super) fn takeover(&mut self, ticket: Ticket, cluster: Option<&str>, force: bool, now: Instant) {
        match self.wanted_groups(cluster) {
            Err(refusal) => self.answer(Some(ticket), Err(refusal)),
            Ok(groups) if groups.is_empty() => self.answer(Some(ticket), Ok(Vec::new())),
            Ok(groups) => {
                let orders = groups.iter().map(|&group| Effect::Twin(Input::Takeover { group, force }));
                self.effects.extend(orders);
                let until = now + TAKEOVER_PATIENCE;
                let open = groups.into_iter().collect();
                if let Some(twin) = &mut self.twin {
                    twin.orders.push(Waiting { ticket, until, open, done: Vec::new(), refused: None });
                }
            }
        }
    }

    /// The groups that a takeover means and that this node is not active for.
    fn wanted_groups(&self, cluster: Option<&str>) -> Result<Vec<u8>, Refusal> {
        let name_one = "name a backup for a cluster, and restart geminus";
        let Some(twin) = &self.twin else {
            return Err(Refusal::new("this node has no partner to take anything over from", name_one));
        };
        let active = |number: u8| {
            let view = twin.view.iter().flat_map(|view| &view.groups).find(|group| group.number == number);
            view.is_some_and(|group| group.standing == Standing::Active)
        };
        let numbers: Vec<u8> = match cluster {
            None => twin.config.groups.iter().map(|group| group.number).collect(),
            Some(name) => {
                let ours = || self.site.clusters.iter().filter(|cluster| cluster.is_of(&self.node.name));
                let Some(cluster) = ours().find(|cluster| cluster.name == *name) else {
                    let names = ours().map(|cluster| cluster.name.as_str());
                    let message = format!("no cluster {name} on this node");
                    return Err(nearest(message, name, names, "geminus status lists them"));
                };
                let Some((group, _)) = twin.group_of(cluster) else {
                    let message =
                        format!("cluster {name} has no backup, so this node alone is active for it");
                    return Err(Refusal::new(message, name_one));
                };
                vec![group.number]
            }
        };
        Ok(numbers.into_iter().filter(|&number| !active(number)).collect())
    }

    fn answer_takeovers(&mut self, event: &HaEvent) {
        let Some(twin) = &mut self.twin else { return };
        for order in &mut twin.orders {
            match event {
                HaEvent::Changed { group, name, to: Standing::Active, .. } if order.open.remove(group) => {
                    order.done.push(format!("this node is active for {name}"));
                }
                HaEvent::Refused { group, why, hint } if order.open.remove(group) => {
                    let name = twin.config.groups.iter().find(|of| of.number == *group);
                    let name = name.map_or("a group", |group| group.name.as_str());
                    order
                        .refused
                        .get_or_insert(Refusal::new(format!("cannot take {name} over: {why}"), hint));
                }
                _ => {}
            }
        }
        self.end_takeovers(None);
    }

    /// Tells what is silent for longer than it takes to start.
    pub(super) fn tell_unheard(&mut self, now: Instant) {
        let Some(twin) = &mut self.twin else { return };
        let due: Vec<_> = twin.unheard.extract_if(.., |_, due| *due <= now).collect();
        let told: Vec<_> =
            due.iter().filter_map(|&(peer, _)| twin.told(&HaEvent::PeerDown { peer, mute: true })).collect();
        for (kind, message) in told {
            self.tell(kind, message, now);
        }
    }

    /// Answers every operator whose takeover has ended, or has waited long enough by `now`.
    pub(super) fn end_takeovers(&mut self, now: Option<Instant>) {
        let Some(twin) = &mut self.twin else { return };
        let over = |order: &mut Waiting| order.open.is_empty() || now.is_some_and(|now| order.until <= now);
        let ended: Vec<_> = twin.orders.extract_if(.., over).collect();
        for order in ended {
            let late = || {
                let seconds = TAKEOVER_PATIENCE.as_secs();
                Refusal::new(
                    format!("no takeover within {seconds} s"),
                    "geminus status says what this node waits for",
                )
            };
            let outcome = match order.refused {
                Some(refusal) => Err(Refusal { details: order.done, ..refusal }),
                None if !order.open.is_empty() => Err(Refusal { details: order.done, ..late() }),
                None => Ok(order.done),
            };
            self.answer(Some(order.ticket), outcome);
        }
    }

    /// The thread has let go: the rest of the end.
    pub(super) fn twin_left(&mut self, now: Instant) {
        if let Some(leaving) = self.leaving.take() {
            self.leave(leaving.detach, now);
        }
    }
}

/// An end that waits for the thread.
#[derive(Debug, Clone, Copy)]
pub(super) struct Leaving {
    pub(super) detach: bool,
    pub(super) until: Instant,
}

/// What a reload may not change about high availability while everything runs.
pub(super) fn check_reload(running: &Site, wanted: &Arc<Site>, node: &str) -> Result<(), Refusal> {
    let has_partner = |site: &Site| !ha_config::groups(site, node).is_empty();
    let what = match (has_partner(running), has_partner(wanted)) {
        (false, true) => "a first partner cannot be added",
        (true, false) => "the last partner cannot be removed",
        _ => return Ok(()),
    };
    let message = format!("{what} while geminus runs");
    Err(Refusal::new(message, "restart geminus to change it; nothing has changed"))
}
