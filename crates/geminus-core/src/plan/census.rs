//! Active flows by server, counted in the flow table.

use geminus_packet::flow::{State, Timeouts as _};
use geminus_packet::tables::{Server, Tables, Ticks};

use super::TicksPerSecond;
use crate::replication::{Ground, Scan};

/// A count that goes over the flow table a part at a time, so that no call of it takes long: the packet path adds and
/// subtracts as flows begin and end, but not what is forgotten, evicted or replicated. When all of the table was seen, what
/// was counted is written to the servers' entries, and the next count begins.
#[derive(Debug, Default)]
pub struct Census {
    scan: Scan,
    passes: u64,
    /// So far, by the number of the server.
    counted: Vec<u64>,
}

impl Census {
    /// Looks at so many buckets of the table, to its end at most; true when it came to the end and the entries of the first
    /// `servers` servers say what was counted. Other tables want another census.
    pub fn go_on(
        &mut self,
        tables: &impl Tables,
        rate: TicksPerSecond,
        now: Ticks,
        buckets: u64,
        servers: u32,
    ) -> bool {
        let (Some(ground), Some(globals)) = (Ground::new(tables, rate, now), tables.globals()) else {
            return false;
        };
        self.counted.resize(servers as usize, 0);
        let counted = &mut self.counted;
        let goes_on = self.scan.walk_flows(&ground, buckets, |found| {
            let state = found.note.state();
            let counts = state == State::Established as u8 || state == State::Datagrams as u8;
            if !counts || found.note.age(now.0 as u32) >= globals.timeout(state) {
                return;
            }
            if let (Some(count), Some(entry)) =
                (counted.get_mut(found.server as usize), tables.server(found.server))
            {
                *count += u64::from(Server::generation(entry.link.load()) == found.note.generation());
            }
        });
        if goes_on {
            return false;
        }
        for (number, &count) in (1..).zip(self.counted.iter().skip(1)) {
            if let Some(entry) = tables.server(number)
                && entry.active.load() != count
            {
                entry.active.store(count);
            }
        }
        *self = Self { passes: self.passes + 1, ..Self::default() };
        true
    }

    /// How often it came to the end.
    pub const fn passes(&self) -> u64 {
        self.passes
    }
}
