//! What is laid down of clients: deny and allow lists and the rules about prefixes, as one look-up of the longest prefix.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::PoisonError;

use geminus_packet::heap::HeapTables;
use geminus_packet::tables::{Source, SourceKey};

use super::PlanError;
use crate::model::{Condition, Prefix, Service};

/// Tables in which something can be laid down of clients. The table is a trie in the kernel, so that it is the only one that
/// is not written word by word: each entry is there at once or not at all.
pub trait Sources {
    /// Lays something down, also in the place of what was laid down before.
    ///
    /// # Errors
    /// If there is no room for it.
    fn lay_down(&self, key: SourceKey, value: u64) -> Result<(), PlanError>;
    /// Takes it up again; nothing if there is nothing.
    fn take_up(&self, key: SourceKey);
    /// All that is laid down.
    fn laid_down(&self) -> Vec<(SourceKey, u64)>;
}

impl Sources for HeapTables {
    fn lay_down(&self, key: SourceKey, value: u64) -> Result<(), PlanError> {
        self.sources.write().unwrap_or_else(PoisonError::into_inner).insert(key, value);
        Ok(())
    }
    fn take_up(&self, key: SourceKey) {
        self.sources.write().unwrap_or_else(PoisonError::into_inner).remove(&key);
    }
    fn laid_down(&self) -> Vec<(SourceKey, u64)> {
        let sources = self.sources.read().unwrap_or_else(PoisonError::into_inner);
        sources.iter().map(|(&key, &value)| (key, value)).collect()
    }
}

/// What becomes of clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Laid {
    /// They are not served.
    Deny,
    /// They are served, from the pool in force.
    Allow,
    /// They are served from this pool.
    Pool(u8),
}

/// Addresses with a common beginning, of either family: as [`SourceKey`] has them, as a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Net {
    pub(super) address: u128,
    pub(super) bits: u8,
}

impl Net {
    const ALL: Self = Self { address: 0, bits: 0 };
    /// Where IPv4 addresses are (RFC 4291, 2.5.5.2).
    const ALL_V4: Self = Self { address: 0xffff << 32, bits: 96 };

    fn of(prefix: &Prefix) -> Self {
        match prefix.address {
            IpAddr::V4(address) => {
                let bits = prefix.bits.min(32) + Self::ALL_V4.bits;
                Self { address: Self::ALL_V4.address | u128::from(u32::from(address)), bits }
            }
            IpAddr::V6(address) => Self { address: address.into(), bits: prefix.bits.min(128) },
        }
    }

    fn has(self, other: Self) -> bool {
        let difference = self.address ^ other.address;
        self.bits <= other.bits && (self.bits == 0 || difference.leading_zeros() >= u32::from(self.bits))
    }

    /// In the table of the service with this number.
    pub(super) fn key(self, service: u32) -> SourceKey {
        SourceKey { service, address: self.address.to_be_bytes(), bits: self.bits }
    }
}

/// What the lists and rules of a service say of the clients with one prefix and of nobody else.
#[derive(Debug, Clone, Copy, Default)]
struct Marks {
    denied: bool,
    allowed: bool,
    pool: Option<u8>,
}

/// Whether anything is laid down of a service's clients.
pub(super) fn any(service: &Service) -> bool {
    let by_client =
        |condition: &Condition| matches!(condition, Condition::From(prefixes) if !prefixes.is_empty());
    !service.allow.is_empty()
        || !service.deny.is_empty()
        || service.rules.iter().any(|rule| by_client(&rule.when))
}

/// The lists and rules of a service, so that the longest prefix that has a client decides: deny wins; then, where anybody is
/// allowed, nobody else is; then the longest prefix of a rule, of equal ones the first. What has no prefix is allowed.
pub(super) fn flattened(service: &Service) -> Vec<(Net, Laid)> {
    let mut v4 = of_family(service, Net::ALL_V4);
    let mut v6 = of_family(service, Net::ALL);
    // In the table IPv4 is a part of IPv6: a wide prefix of that family says nothing of this one.
    let is_said = v4.first().is_some_and(|(net, _)| *net == Net::ALL_V4);
    if !is_said && v6.iter().any(|(net, _)| net.has(Net::ALL_V4)) {
        v4.insert(0, (Net::ALL_V4, Laid::Allow));
    }
    v6.append(&mut v4);
    v6
}

fn of_family(service: &Service, all: Net) -> Vec<(Net, Laid)> {
    let mut marks = BTreeMap::from([(all, Marks::default())]);
    let mut mark = |prefix: &Prefix, set: &dyn Fn(&mut Marks)| {
        let net = Net::of(prefix);
        let is_v4 = Net::ALL_V4.has(net);
        // An IPv6 prefix in the place of IPv4 addresses has no client.
        if is_v4 == (all == Net::ALL_V4) && is_v4 == prefix.address.is_ipv4() {
            set(marks.entry(net).or_default());
        }
    };
    service.deny.iter().for_each(|prefix| mark(prefix, &|marks| marks.denied = true));
    service.allow.iter().for_each(|prefix| mark(prefix, &|marks| marks.allowed = true));
    for rule in &service.rules {
        if let Condition::From(prefixes) = &rule.when {
            prefixes
                .iter()
                .for_each(|prefix| mark(prefix, &|marks| marks.pool = marks.pool.or(Some(rule.pool))));
        }
    }
    nested(marks, !service.allow.is_empty())
}

/// From what is said of each prefix to what becomes of its clients, with what holds for the prefixes around it. Only what
/// differs from those is kept. A prefix comes before those within it.
fn nested(marks: BTreeMap<Net, Marks>, only_allowed: bool) -> Vec<(Net, Laid)> {
    let mut around: Vec<(Net, Marks, Laid)> = Vec::new();
    let mut laid_down = Vec::new();
    for (net, own) in marks {
        while around.last().is_some_and(|(outer, ..)| !outer.has(net)) {
            around.pop();
        }
        let (outer, before) =
            around.last().map_or((Marks::default(), Laid::Allow), |&(_, marks, laid)| (marks, laid));
        let marks = Marks {
            denied: outer.denied || own.denied,
            allowed: outer.allowed || own.allowed,
            pool: own.pool.or(outer.pool),
        };
        let laid = if marks.denied || only_allowed && !marks.allowed {
            Laid::Deny
        } else {
            marks.pool.map_or(Laid::Allow, Laid::Pool)
        };
        if laid != before {
            laid_down.push((net, laid));
        }
        around.push((net, marks, laid));
    }
    laid_down
}

/// As it stands in the table; `pools` are the numbers of the service's entries, the main one's first.
pub(super) fn word(laid: Laid, pools: &[u32]) -> u64 {
    match laid {
        Laid::Deny => Source::DENY,
        Laid::Allow => Source::ALLOW,
        Laid::Pool(pool) => {
            pools.get(usize::from(pool)).map_or(Source::ALLOW, |&number| Source::POOL | u64::from(number))
        }
    }
}

/// Makes the table say what is wanted of the services whose numbers `concerned` says yes to, by the differences only:
/// first what is new or other, long prefixes before short ones; then what is no longer wanted goes, short ones first. So at
/// every moment each client meets what held for it before or what is to hold: what decides for it comes before all
/// shorter ones, and what decided goes after them.
///
/// # Errors
/// If there is no room; what was written until then stays.
pub(super) fn write(
    tables: &impl Sources,
    installed: &mut BTreeMap<SourceKey, u64>,
    wanted: &BTreeMap<SourceKey, u64>,
    concerned: impl Fn(u32) -> bool,
) -> Result<(), PlanError> {
    let differs = |(key, value): &(&SourceKey, &u64)| installed.get(*key) != Some(*value);
    let mut new: Vec<_> = wanted.iter().filter(differs).map(|(&key, &value)| (key, value)).collect();
    new.sort_by_key(|(key, _)| std::cmp::Reverse(key.bits));
    for (key, value) in new {
        tables.lay_down(key, value)?;
        installed.insert(key, value);
    }
    let mut old: Vec<_> =
        installed.keys().filter(|key| concerned(key.service) && !wanted.contains_key(key)).copied().collect();
    old.sort_by_key(|key| key.bits);
    for key in old {
        tables.take_up(key);
        installed.remove(&key);
    }
    Ok(())
}
