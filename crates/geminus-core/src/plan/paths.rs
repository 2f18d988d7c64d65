//! Paths to partners: an entry for each in the table of paths, and their ends at this node in that of addresses.
//!
//! A path that stays keeps its entry, and what the heartbeat thread and the program wrote there: sessions, floors and
//! tokens.

use std::net::IpAddr;

use geminus_packet::tables::{Address, AddressFacts, PATHS, PathEntry, PathFacts, Tables};
use geminus_packet::word::Word;

use super::{PlanError, Wanted};
use crate::model::Site;

/// A path as one of its two nodes sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodePath {
    /// Name of the node at the other end.
    pub partner: String,
    /// Number of the path among those to this partner, from 0 in the order of the file: the same at both ends.
    pub number: u8,
    /// Address of this node.
    pub own: IpAddr,
    /// Address of the other one, of the same family.
    pub remote: IpAddr,
    /// The groups that the two share; 0: none.
    pub groups: [u8; 2],
}

/// The paths that end at a node, in the order of the file.
pub fn paths_of(site: &Site, node: &str) -> Vec<NodePath> {
    let groups = site.groups();
    let mut paths: Vec<NodePath> = Vec::new();
    for path in &site.ha.paths {
        let Some(end) = path.nodes.iter().position(|name| name == node) else { continue };
        let partner = &path.nodes[1 - end];
        let is_shared =
            |names: [&String; 2]| names.contains(&partner) && names.iter().any(|name| *name == node);
        let mut shared = groups.iter().filter(|group| is_shared([&group.primary, &group.backup]));
        let mut next = || shared.next().map_or(0, |group| group.number);
        paths.push(NodePath {
            partner: partner.clone(),
            number: paths.iter().filter(|path| path.partner == *partner).count() as u8,
            own: path.addresses[end],
            remote: path.addresses[1 - end],
            groups: [next(), next()],
        });
    }
    paths
}

/// Where a path stands in the table of paths, if it is installed.
pub fn path_entry(tables: &impl Tables, own: IpAddr, remote: IpAddr) -> Option<u32> {
    let is_it = |entry: &PathEntry| entry.facts.load() != 0 && ends(entry) == [address(own), address(remote)];
    (0..PATHS).find(|&index| tables.path(index).is_some_and(is_it))
}

/// Which entry each path of the node has or is to get; nothing is written.
pub(super) fn places(tables: &impl Tables, paths: &[NodePath]) -> Result<Vec<u32>, PlanError> {
    let mut places: Vec<_> = paths.iter().map(|path| path_entry(tables, path.own, path.remote)).collect();
    let taken = places.clone();
    let mut free = (0..PATHS).filter(|index| !taken.contains(&Some(*index)));
    places.iter_mut().filter(|place| place.is_none()).for_each(|place| *place = free.next());
    places.into_iter().collect::<Option<_>>().ok_or(PlanError::Full("path"))
}

/// The node's own ends of these paths, and its own address, for the table of addresses.
pub(super) fn own_ends(
    wanted: &Wanted<'_>,
    paths: &[NodePath],
    places: &[u32],
) -> Vec<(Address, AddressFacts)> {
    let node = wanted.site.nodes.iter().find(|node| node.name == wanted.node);
    let mut ends: Vec<(Address, u16)> = node.map(|node| (address(node.address), 0)).into_iter().collect();
    for (path, place) in paths.iter().zip(places) {
        let own = address(path.own);
        match ends.iter_mut().find(|(known, _)| *known == own) {
            Some((_, bits)) => *bits |= 1 << place,
            None => ends.push((own, 1 << place)),
        }
    }
    ends.into_iter().map(|(own, bits)| (own, AddressFacts::node(bits, wanted.site.ha.port))).collect()
}

/// Writes the paths to their places and clears every other entry. A frame that meets an entry half written is dropped:
/// its gate does not fit.
pub(super) fn write(tables: &impl Tables, wanted: &Wanted<'_>, paths: &[NodePath], places: &[u32]) {
    for index in (0..PATHS).filter(|index| !places.contains(index)) {
        if let Some(entry) = tables.path(index) {
            entry.facts.store(0);
        }
    }
    for (path, &place) in paths.iter().zip(places) {
        if let Some(entry) = tables.path(place) {
            write_entry(entry, wanted, path);
        }
    }
}

fn write_entry(entry: &PathEntry, wanted: &Wanted<'_>, path: &NodePath) {
    let own_key = wanted.ha_keys.own();
    let other_key = wanted.ha_keys.accepted().unwrap_or(own_key);
    let ids = [own_key, other_key].map(|key| key.short_id());
    let gates = [own_key, other_key].map(|key| key.between(wanted.node, &path.partner).gate_key());
    let facts = PathFacts::new(wanted.site.ha.port, path.number, ids, path.groups);
    let new_ends = [address(path.own), address(path.remote)];
    let stays = entry.facts.load() != 0 && ends(entry) == new_ends;
    let written = entry.gates.each_ref().map(|gate| gate.each_ref().map(|word| word.load()));
    if stays && entry.facts.load() == facts.0 && written == gates {
        return;
    }
    entry.facts.store(0);
    if !stays {
        heard(entry).for_each(|word| word.store(0));
    }
    for (words, address) in [&entry.own, &entry.remote].into_iter().zip(new_ends) {
        words[0].store(address.high);
        words[1].store(address.low);
    }
    for (word, gate) in entry.gates.iter().flatten().zip(gates.iter().flatten()) {
        word.store(*gate);
    }
    entry.facts.store(facts.0);
}

/// What was heard by a path, and said.
fn heard(entry: &PathEntry) -> impl Iterator<Item = &Word> {
    let PathEntry { own_session, session, floor, probe_floor, tokens, past, .. } = entry;
    [own_session, session, floor, probe_floor, tokens].into_iter().chain(past)
}

/// Takes over what was heard by the same paths in other tables, and where the partners are.
pub(super) fn carry(old: &impl Tables, new: &impl Tables) {
    if let (Some(old), Some(new)) = (old.globals(), new.globals()) {
        new.partners.iter().zip(&old.partners).for_each(|(word, before)| word.store(before.load()));
    }
    let used = |entry: &&PathEntry| entry.facts.load() != 0;
    for entry in (0..PATHS).filter_map(|index| new.path(index)).filter(used) {
        let mut before = (0..PATHS).filter_map(|index| old.path(index)).filter(used);
        if let Some(before) = before.find(|before| ends(before) == ends(entry)) {
            heard(entry).zip(heard(before)).for_each(|(word, before)| word.store(before.load()));
        }
    }
}

fn ends(entry: &PathEntry) -> [Address; 2] {
    [&entry.own, &entry.remote].map(|words| Address { high: words[0].load(), low: words[1].load() })
}

/// An address as it stands in the tables.
pub(super) fn address(address: IpAddr) -> Address {
    match address {
        IpAddr::V4(address) => Address::v4(address.octets()),
        IpAddr::V6(address) => Address::v6(address.octets()),
    }
}
