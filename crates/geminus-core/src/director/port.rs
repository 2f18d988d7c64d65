//! The machine's interfaces as the kernel reports them, and the one that the node works on.

use std::collections::BTreeMap;
use std::net::Ipv6Addr;

use crate::neighbour::Mac;

/// One interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    /// The kernel's index of it.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// Its hardware address; none where it has no Ethernet address.
    pub mac: Option<Mac>,
    /// Whether it is set up and has a carrier.
    pub up: bool,
}

/// What became of the node's interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PortChange {
    Up,
    Down,
    /// It is gone, or has another name now.
    Lost,
    /// There is one of its name again, perhaps another.
    Found,
    Moved {
        from: Option<Mac>,
        to: Option<Mac>,
    },
}

/// All interfaces.
#[derive(Debug)]
pub(super) struct Ports {
    node: String,
    interfaces: BTreeMap<u32, Interface>,
    link_local: BTreeMap<u32, Ipv6Addr>,
}

impl Ports {
    /// `node`: name of the interface that the node works on.
    pub(super) fn new(node: &str, interfaces: impl IntoIterator<Item = Interface>) -> Self {
        let interfaces = interfaces.into_iter().map(|interface| (interface.index, interface)).collect();
        Self { node: node.to_owned(), interfaces, link_local: BTreeMap::new() }
    }

    pub(super) fn own(&self) -> Option<&Interface> {
        self.interfaces.values().find(|interface| interface.name == self.node)
    }

    pub(super) fn name(&self, index: u32) -> Option<&str> {
        self.interfaces.get(&index).map(|interface| interface.name.as_str())
    }

    pub(super) fn mac(&self, index: u32) -> Option<Mac> {
        self.interfaces.get(&index)?.mac
    }

    pub(super) fn is_ours(&self, mac: Mac) -> bool {
        self.interfaces.values().any(|interface| interface.mac == Some(mac))
    }

    pub(super) fn link_local(&self, index: u32) -> Option<Ipv6Addr> {
        self.link_local.get(&index).copied()
    }

    pub(super) fn set_link_local(&mut self, index: u32, address: Option<Ipv6Addr>) {
        match address {
            Some(address) => drop(self.link_local.insert(index, address)),
            None => drop(self.link_local.remove(&index)),
        }
    }

    /// Exactly these interfaces exist.
    pub(super) fn replace(&mut self, all: Vec<Interface>) -> Vec<PortChange> {
        let before = self.own().cloned();
        self.interfaces = all.into_iter().map(|interface| (interface.index, interface)).collect();
        self.link_local.retain(|index, _| self.interfaces.contains_key(index));
        self.changes(before)
    }

    /// This interface is new or changed.
    pub(super) fn update(&mut self, interface: Interface) -> Vec<PortChange> {
        let before = self.own().cloned();
        self.interfaces.insert(interface.index, interface);
        self.changes(before)
    }

    /// This interface is gone.
    pub(super) fn remove(&mut self, index: u32) -> Vec<PortChange> {
        let before = self.own().cloned();
        self.interfaces.remove(&index);
        self.link_local.remove(&index);
        self.changes(before)
    }

    fn changes(&self, before: Option<Interface>) -> Vec<PortChange> {
        match (before, self.own()) {
            (None, None) => vec![],
            (Some(_), None) => vec![PortChange::Lost],
            (None, Some(_)) => vec![PortChange::Found],
            (Some(before), Some(now)) if before.index != now.index => {
                vec![PortChange::Lost, PortChange::Found]
            }
            (Some(before), Some(now)) => {
                let moved = PortChange::Moved { from: before.mac, to: now.mac };
                let carrier = if now.up { PortChange::Up } else { PortChange::Down };
                [(before.mac != now.mac, moved), (before.up != now.up, carrier)]
                    .into_iter()
                    .filter_map(|(changed, change)| changed.then_some(change))
                    .collect()
            }
        }
    }
}
