//! Active flows and all flows so far, by server.

use geminus_core::director::ServerCount;
use geminus_packet::flow::WAYS;
use geminus_packet::tables::Tables as _;

use crate::plane::DataPlane;

/// Entries of the flow table looked at by one call: 64 MiB of memory, which takes tens of milliseconds.
const ENTRIES_PER_CALL: u64 = 4 << 20;

impl DataPlane {
    /// Active flows and all flows so far of these servers, by their identities; one that is not installed is left out.
    ///
    /// Each call looks at up to 4 Mi entries of the flow table, so at all of a table of the default size, and goes on where the
    /// last one ended. When the whole table was seen, the servers' entries are set to what was counted; between that the
    /// program keeps them by itself. What is returned is what the entries say.
    pub fn count(&mut self, identities: &[u64]) -> Vec<ServerCount> {
        let (tables, planner) = (&*self.opened.tables, &self.opened.planner);
        let (buckets, servers) = (ENTRIES_PER_CALL / WAYS as u64, tables.sizes().servers);
        self.census.go_on(tables, self.ticks, self.live.now(), buckets, servers);
        let passes = self.census.passes();
        let count = |&identity: &u64| {
            let number = planner.server_number(identity)?;
            let counters = (0..tables.sizes().cpus).filter_map(|cpu| tables.sent(cpu, number));
            Some(ServerCount {
                identity,
                // The program's own sums may for a moment be less than nothing.
                active: (tables.server(number)?.active.load() as i64).max(0) as u64,
                total: counters.map(|counters| counters.flows.load()).sum(),
                passes,
            })
        };
        identities.iter().filter_map(count).collect()
    }
}
