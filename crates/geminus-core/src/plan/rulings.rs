//! What health, the manager, rules and the clock make of servers and pools: wanted of the tables beside the site and the
//! operator's orders.

use std::collections::HashMap;

use super::Override;
use crate::model::{OnDown, Server};

/// What is found of one server, otherwise than the site says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ruling {
    /// The weight, in units that are the same for all servers of its pool; none: the configured one.
    pub weight: Option<u16>,
    /// It is down, and this becomes of its flows.
    pub down: Option<OnDown>,
    /// No new flows for now: it is in maintenance.
    pub maintenance: bool,
    /// No new flows for now: its agent said that it is about to stop.
    pub leaving: bool,
    /// The weight is not yet all that it is to have: it starts slowly.
    pub slowed: bool,
    /// It is drained, and that it has no flow left was told.
    pub emptied: bool,
}

impl Ruling {
    const WEIGHTED: u64 = 1 << 16;
    const DOWN_SHIFT: u32 = 17;
    const MAINTENANCE: u64 = 1 << 19;
    const EMPTIED: u64 = 1 << 20;
    const LEAVING: u64 = 1 << 21;
    const SLOWED: u64 = 1 << 22;

    /// As it stands in a server entry's `ruling` word, below the end of a drain ([`Override::UNTIL`]).
    pub(super) fn to_word(self) -> u64 {
        let weight = self.weight.map_or(0, |weight| Self::WEIGHTED | u64::from(weight));
        let down = match self.down {
            None => 0,
            Some(OnDown::Rehash) => 1,
            Some(OnDown::Keep) => 2,
            Some(OnDown::Reset) => 3,
        };
        let marks = [
            (self.maintenance, Self::MAINTENANCE),
            (self.leaving, Self::LEAVING),
            (self.slowed, Self::SLOWED),
            (self.emptied, Self::EMPTIED),
        ];
        let marks: u64 = marks.into_iter().filter(|(is_set, _)| *is_set).map(|(_, mark)| mark).sum();
        weight | down << Self::DOWN_SHIFT | marks
    }

    pub(super) fn from_word(word: u64) -> Self {
        let down = match word >> Self::DOWN_SHIFT & 3 {
            0 => None,
            1 => Some(OnDown::Rehash),
            2 => Some(OnDown::Keep),
            _ => Some(OnDown::Reset),
        };
        let weight = (word & Self::WEIGHTED != 0).then_some(word as u16);
        let has = |mark| word & mark != 0;
        Self {
            weight,
            down,
            maintenance: has(Self::MAINTENANCE),
            leaving: has(Self::LEAVING),
            slowed: has(Self::SLOWED),
            emptied: has(Self::EMPTIED),
        }
    }

    /// Whether it gets no new flows for now, though it is well.
    pub fn is_resting(self) -> bool {
        self.maintenance || self.leaving
    }

    /// Whether the flows that the server had are given up.
    pub(super) fn releases(self) -> bool {
        self.down.is_some_and(|down| down != OnDown::Keep)
    }

    /// The weight in force, with what the operator wants. 0: no new flows.
    pub fn weight_of(&self, server: &Server, wish: Override) -> u16 {
        if self.down.is_some() || self.is_resting() || wish.drained {
            return 0;
        }
        self.weight.unwrap_or_else(|| wish.weight_of(server))
    }
}

/// What is found of every server, and which pools are in force.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rulings {
    servers: HashMap<u64, Ruling>,
    pools: HashMap<u64, u8>,
}

impl Rulings {
    /// What is found of a server, by [`super::server_identity`].
    pub fn server(&self, identity: u64) -> Ruling {
        self.servers.get(&identity).copied().unwrap_or_default()
    }

    /// Finds something else of a server.
    pub fn rule(&mut self, identity: u64, ruling: Ruling) {
        if ruling == Ruling::default() {
            self.servers.remove(&identity);
        } else {
            self.servers.insert(identity, ruling);
        }
    }

    /// The pool that new flows of a service go to, by [`super::service_identity`].
    pub fn pool(&self, service: u64) -> u8 {
        self.pools.get(&service).copied().unwrap_or_default()
    }

    /// New flows of a service go to another pool.
    pub fn use_pool(&mut self, service: u64, pool: u8) {
        if pool == 0 {
            self.pools.remove(&service);
        } else {
            self.pools.insert(service, pool);
        }
    }

    /// The servers of which these and those differ.
    pub fn differing<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = u64> + 'a {
        let ours = self.servers.iter().filter(|&(&identity, &ruling)| other.server(identity) != ruling);
        let theirs = other.servers.keys().filter(|identity| !self.servers.contains_key(identity));
        ours.map(|(&identity, _)| identity).chain(theirs.copied())
    }

    /// The services whose pool is another in these than in those.
    pub fn switched<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = u64> + 'a {
        let ours = self.pools.iter().filter(|&(&service, &pool)| other.pool(service) != pool);
        let theirs = other.pools.keys().filter(|service| !self.pools.contains_key(service));
        ours.map(|(&service, _)| service).chain(theirs.copied())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ruling_comes_out_of_its_word_as_it_went_in() {
        for weight in [None, Some(0), Some(1), Some(1000), Some(u16::MAX)] {
            for down in [None, Some(OnDown::Rehash), Some(OnDown::Keep), Some(OnDown::Reset)] {
                for marks in 0..16 {
                    let [maintenance, leaving, slowed, emptied] = [1, 2, 4, 8].map(|mark| marks & mark != 0);
                    let ruling = Ruling { weight, down, maintenance, leaving, slowed, emptied };
                    assert_eq!(Ruling::from_word(ruling.to_word()), ruling);
                    assert_eq!(ruling.to_word() & Override::UNTIL, 0, "the end of a drain has its own bits");
                }
            }
        }
        assert_eq!(Ruling::default().to_word(), 0, "an entry of which nothing was ever found");
    }
}
