//! What the director makes of interfaces, neighbours and claims.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::port::{Interface, PortChange};
use super::twin::Claimed;
use super::{Claim, Director, Effect, Instant, frame, orders};
use crate::journal::EventKind;
use crate::model::Announce;
use crate::neighbour::{Action, Evidence, Mac, Probe, Reach};
use crate::plan::Link;

impl Director {
    pub(super) fn interface(&mut self, interface: Interface, now: Instant) {
        let index = interface.index;
        let mac = self.ports.mac(index);
        let changes = self.ports.update(interface);
        self.ports_changed(changes, now);
        if self.ports.mac(index) != mac {
            self.send_links_over(index);
        }
    }

    pub(super) fn ports_changed(&mut self, changes: Vec<PortChange>, now: Instant) {
        if !changes.is_empty() {
            self.neighbours.routes_changed(now);
        }
        self.care.health.link(self.ports.own().is_some_and(|port| port.up), now);
        let name = self.node.interface.clone();
        for change in changes {
            match change {
                PortChange::Up => {
                    self.tell(EventKind::LinkUp, format!("interface {name} is up"), now);
                    self.own_addresses(now);
                    if self.twin.is_some() {
                        self.effects.push_back(Effect::TwinAgain { address: None });
                    }
                }
                PortChange::Down => {
                    self.tell(EventKind::LinkDown, format!("interface {name} is down"), now);
                    self.own_addresses(now);
                }
                PortChange::Lost => self.lost(now),
                PortChange::Found => {
                    self.attach(now);
                    self.own_addresses(now);
                    self.tell_site();
                }
                PortChange::Moved { from, to } => {
                    let word =
                        |mac: Option<Mac>| mac.map_or_else(|| "none".to_owned(), |mac| mac.to_string());
                    let message =
                        format!("the hardware address of {name} changed from {} to {}", word(from), word(to));
                    self.tell(EventKind::LinkMoved, message, now);
                    self.attach(now);
                    self.tell_site();
                    self.announce_again(now);
                }
            }
        }
    }

    pub(super) fn lost(&mut self, now: Instant) {
        self.attached = false;
        self.attach_retry = None;
        let message =
            format!("interface {} is gone; the program is attached when it returns", self.node.interface);
        self.tell(EventKind::LinkLost, message, now);
        self.own_addresses(now);
    }

    pub(super) fn kernel_neighbour(
        &mut self,
        interface: u32,
        address: IpAddr,
        known: Option<(Mac, Evidence)>,
        now: Instant,
    ) {
        let fixed = known.is_some_and(|(_, evidence)| evidence == Evidence::Static);
        if !fixed {
            self.neighbours.unfix(address, interface, now);
        }
        if let (Some((mac, _)), Some(twin)) = (known, &mut self.twin) {
            twin.meet(address, mac);
        }
        if let Some((mac, evidence)) = known
            && !self.ports.is_ours(mac)
        {
            self.neighbours.hear(address, interface, mac, evidence, now);
        }
    }

    pub(super) fn claim(&mut self, interface: u32, claim: Claim, now: Instant) {
        // A group's own hardware address is no stranger's: this node or its partner announced by it.
        let of_a_group = self.site.ha.announce == Announce::VirtualMac
            && claim.mac.0.starts_with(&crate::key::VIRTUAL_MAC_PREFIX);
        if self.ports.is_ours(claim.mac) || of_a_group {
            return;
        }
        let Claim { address, mac, evidence } = claim;
        let on_our_link = self.ports.own().is_some_and(|port| port.index == interface);
        if !on_our_link {
            return self.neighbours.hear(address, interface, mac, evidence, now);
        }
        let of_group = match &mut self.twin {
            None => Claimed::Unknown,
            Some(twin) => {
                twin.meet(address, mac);
                twin.claimed(address, mac, now)
            }
        };
        match of_group {
            Claimed::Expected => {}
            Claimed::Foreign => self.defend_group(address, mac, now),
            Claimed::Unknown if !self.announcer.owns(address) => {
                self.neighbours.hear(address, interface, mac, evidence, now);
            }
            Claimed::Unknown => {
                if self.defends(address, mac, now) {
                    self.announcer.defend(address, now);
                }
            }
        }
    }

    /// The addresses to announce are those of our clusters, while there is somebody to hear it.
    pub(super) fn own_addresses(&mut self, now: Instant) {
        let heard = self.lease.is_held() && self.ports.own().is_some_and(|port| port.up);
        let addresses: Vec<_> = match heard {
            true => self.ours().flat_map(|cluster| cluster.addresses.iter().copied()).collect(),
            false => Vec::new(),
        };
        self.announcer.own(addresses, now);
    }

    /// Every server of the site in force and of the one that is staged is looked after.
    pub(super) fn want_servers(&mut self) {
        self.names.clear();
        let mut seen = BTreeSet::new();
        let sites = [Some(&self.site), self.staged.as_ref().map(|staged| &staged.site)];
        for site in sites.into_iter().flatten() {
            for (_, _, server) in orders::servers(site, &self.node.name) {
                if seen.insert((server.address, server.name.as_str())) {
                    let names = self.names.entry(server.address).or_default();
                    let comma = if names.is_empty() { "" } else { ", " };
                    names.push_str(comma);
                    names.push_str(&server.name);
                }
            }
        }
        self.neighbours.want(self.names.keys().copied());
    }

    /// Turns what the smaller machines want into effects.
    pub(super) fn pass_on(&mut self, now: Instant) {
        while let Some(action) = self.neighbours.poll() {
            match action {
                Action::AskRoute(server) => self.effects.push_back(Effect::AskRoute(server)),
                Action::Probe(probe) => self.effects.extend(self.probe(probe)),
                Action::Reach(server, reach) => self.effects.extend(self.link(server, reach)),
                Action::Notice(server, notice) => self.tell_notice(server, notice, now),
            }
        }
        while let Some(address) = self.announcer.poll() {
            let Some((interface, mac)) = self.ports.own().and_then(|port| Some((port.index, port.mac?)))
            else {
                continue;
            };
            let frames = frame::announcement(address, mac).into_iter();
            self.effects.extend(frames.map(|frame| Effect::Send { interface, frame }));
        }
    }

    fn probe(&self, probe: Probe) -> Option<Effect> {
        let Probe { server, interface, source, mac: to } = probe;
        let on_our_link = self.ports.own().is_some_and(|port| port.index == interface);
        let node = Some(self.node.address).filter(|node| on_our_link && node.is_ipv4() == server.is_ipv4());
        let source = match server {
            IpAddr::V4(_) => node.or(source),
            IpAddr::V6(_) => self.ports.link_local(interface).map(IpAddr::from).or(source).or(node),
        }?;
        let frame = frame::question(source, self.ports.mac(interface)?, server, to)?;
        Some(Effect::Send { interface, frame })
    }

    fn link(&self, server: IpAddr, reach: Reach) -> Option<Effect> {
        let link = match reach {
            Reach::Local => Link::Local,
            Reach::Neighbour { interface, mac } => {
                Link::Remote { mac: mac.0, source: self.ports.mac(interface)?.0, interface }
            }
        };
        Some(Effect::SetLink { server, link })
    }

    /// The hardware address of an interface changed: every server reached over it is sent to from the new one.
    fn send_links_over(&mut self, index: u32) {
        let over = |reach: &Reach| matches!(reach, Reach::Neighbour { interface, .. } if *interface == index);
        let links: Vec<_> = self
            .neighbours
            .reaches()
            .filter(|(_, reach)| over(reach))
            .filter_map(|(server, reach)| self.link(server, reach))
            .collect();
        self.effects.extend(links);
    }
}
