//! Which server of these tables a partner means.

use std::collections::HashMap;

use geminus_packet::flow::MAX_SERVERS;
use geminus_packet::tables::{Server, Tables, Ticks};

use super::limits::LOOK_AGAIN;
use super::{Ground, Shared};

/// The servers of these tables by identity, for every partner. Outlives sessions: it knows which servers were given up
/// and came back.
#[derive(Debug, Default)]
pub struct Servers {
    by_identity: HashMap<u64, Here>,
    looked: Option<Ticks>,
    /// Raised at every look that found something else.
    look: u64,
}

/// One server of these tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Here {
    pub(super) number: u32,
    /// 0: given up.
    pub(super) generation: u16,
    /// It was given up and came back: what had its last packet before this tick went with it.
    pub(super) since: Option<Ticks>,
}

impl Servers {
    /// Other tables are in force: numbers and generations mean something else.
    pub fn tables_replaced(&mut self) {
        self.by_identity.clear();
        self.looked = None;
        self.look += 1;
    }

    /// The site changed, and with it the tables: they are looked at anew before the next record.
    pub fn site_changed(&mut self) {
        self.looked = None;
        self.look += 1;
    }

    /// The server of an identity, if these tables have it.
    pub(super) fn find(&self, identity: u64) -> Option<Here> {
        self.by_identity.get(&identity).copied().filter(|here| here.generation != 0)
    }

    /// Looks at the tables unless that was just done. Returns the number of the last look that found something else.
    pub(super) fn refresh(&mut self, ground: &Ground<'_, impl Tables>) -> u64 {
        let wait = ground.ticks(LOOK_AGAIN);
        if self.looked.is_none_or(|looked| ground.now.0.saturating_sub(looked.0) >= u64::from(wait)) {
            self.read(ground);
        }
        self.look
    }

    /// Number of the last look that found something else.
    pub(super) const fn look(&self) -> u64 {
        self.look
    }

    /// Looks at the tables now: an entry is not what it was.
    pub(super) fn read(&mut self, ground: &Ground<'_, impl Tables>) {
        let first = self.by_identity.is_empty();
        self.looked = Some(ground.now);
        let mut found = HashMap::with_capacity(self.by_identity.len());
        for number in 1..=(ground.globals.servers.load().saturating_sub(1)).min(u64::from(MAX_SERVERS)) as u32
        {
            let Some(entry) = ground.tables.server(number) else { break };
            let (generation, identity) = (Server::generation(entry.link.load()), entry.identity.load());
            if generation == 0 || identity == 0 {
                continue;
            }
            let since = match self.by_identity.get(&identity) {
                Some(before) if before.number == number && before.generation == generation => before.since,
                Some(_) => Some(ground.now),
                None => None,
            };
            found.insert(identity, Here { number, generation, since });
        }
        let mut changed = first && !found.is_empty() || found.len() != self.by_identity.len();
        for (identity, before) in &self.by_identity {
            match found.get(identity) {
                Some(here) => changed |= here != before,
                // Remembered as given up, so that it is known again when it comes back.
                None => {
                    changed |= before.generation != 0;
                    found.insert(*identity, Here { generation: 0, ..*before });
                }
            }
        }
        if found.len() > 2 * crate::limits::SERVERS {
            found.retain(|_, here| here.generation != 0);
        }
        self.by_identity = found;
        self.look += u64::from(changed);
    }
}

/// What a partner's numbers stand for.
#[derive(Debug, Default)]
pub(super) struct Bindings(Vec<Option<Binding>>);

#[derive(Debug, Clone, Copy)]
pub(super) struct Binding {
    identity: u64,
    /// Number of the look at which it was last resolved.
    look: u64,
    local: Option<Local>,
}

/// A server of these tables that a record may name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Local {
    pub(super) here: Here,
    pub(super) group: u8,
}

impl Bindings {
    /// The partner says what a number stands for.
    pub(super) fn name(&mut self, number: u32, identity: u64) {
        let index = number as usize;
        if self.0.len() <= index {
            self.0.resize(index + 1, None);
        }
        self.0[index] = Some(Binding { identity, look: u64::MAX, local: None });
    }

    /// Everything is to be resolved anew.
    pub(super) fn unresolve(&mut self) {
        self.0.iter_mut().flatten().for_each(|binding| binding.look = u64::MAX);
    }

    /// The server that a number stands for; `Err`: the partner never said. `Ok(None)`: these tables do not have it.
    pub(super) fn find(
        &mut self,
        number: u32,
        servers: &mut Servers,
        shared: &Shared,
        ground: &Ground<'_, impl Tables>,
    ) -> Result<Option<Local>, ()> {
        let Some(Some(binding)) = self.0.get_mut(number as usize) else { return Err(()) };
        if let Some(local) = binding.local
            && binding.look == servers.look()
        {
            let entry = ground.tables.server(local.here.number);
            if entry.is_some_and(|entry| {
                Server::generation(entry.link.load()) == local.here.generation
                    && entry.identity.load() == binding.identity
            }) {
                return Ok(Some(local));
            }
            servers.read(ground);
        } else if binding.look != servers.look() || binding.local.is_none() {
            servers.refresh(ground);
        }
        binding.look = servers.look();
        binding.local = shared
            .group(binding.identity)
            .and_then(|group| servers.find(binding.identity).map(|here| Local { here, group }));
        Ok(binding.local)
    }
}
