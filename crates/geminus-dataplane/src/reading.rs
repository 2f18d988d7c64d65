//! What the tables have to tell: counters, servers, flows. No system call a row.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use geminus_core::plan::Place;
use geminus_packet::flow::{Bucket, Found, State, Tag, Timeouts as _, WAYS};
use geminus_packet::tables::{Address, Server, Tables as _, Tuple, word_mac};
use geminus_packet::verdict::{Reason, reasons};

use crate::plane::DataPlane;

/// Packets counted for one reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CounterReading {
    /// The reason.
    pub reason: &'static Reason,
    /// Packets, over all CPUs.
    pub packets: u64,
}

/// What was sent to one server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// Which server of the site.
    pub place: Place,
    /// Hardware address; none while unresolved or local.
    pub mac: Option<[u8; 6]>,
    /// Whether it is this machine.
    pub local: bool,
    /// Whether it may get new flows.
    pub draining: bool,
    /// Packets.
    pub packets: u64,
    /// Bytes, frame headers included.
    pub bytes: u64,
    /// Flows begun.
    pub flows_begun: u64,
    /// Flows remembered that have not expired.
    pub flows: u64,
}

/// One remembered flow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlowReading {
    /// Sender, cluster address and protocol number; none where 5-tuples are not kept.
    pub tuple: Option<(SocketAddr, SocketAddr, u8)>,
    /// Which server of the site has it.
    pub place: Place,
    /// What it is in.
    pub state: State,
    /// Whether its server differs from the ring's choice when it began.
    pub pinned: bool,
    /// Since its last packet, coarse.
    pub idle: Duration,
}

/// How full a table is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Fill {
    /// Slots whose entry has not expired.
    pub used: u64,
    /// All slots.
    pub slots: u64,
}

impl DataPlane {
    /// Which server of the site a server number of a verdict stands for.
    pub fn place(&self, server: u32) -> Option<&Place> {
        self.opened.planner.place(server)
    }

    /// Every counter, in the order of classes.
    pub fn counters(&self) -> Vec<CounterReading> {
        let tables = &self.opened.tables;
        reasons()
            .map(|reason| {
                let number = usize::from(reason.counter.0);
                let seen = (0..tables.sizes().cpus).filter_map(|cpu| tables.reasons(cpu));
                CounterReading { reason, packets: seen.map(|seen| seen.packets[number].load()).sum() }
            })
            .collect()
    }

    /// Every server, in the order of their numbers.
    pub fn servers(&self) -> Vec<Sent> {
        let tables = &self.opened.tables;
        let mut flows = vec![0; tables.sizes().servers as usize];
        self.each_flow(|_, found| {
            if let Some(count) = flows.get_mut(found.server as usize) {
                *count += 1;
            }
        });
        let rows = self.opened.planner.places().filter_map(|(number, place)| {
            let entry = tables.server(number)?;
            let from = entry.from.load();
            let mut sent = Sent {
                place: place.clone(),
                mac: (from & Server::RESOLVED != 0).then(|| word_mac(entry.link.load())),
                local: from & Server::LOCAL != 0,
                draining: from & Server::DRAINING != 0,
                packets: 0,
                bytes: 0,
                flows_begun: 0,
                flows: flows[number as usize],
            };
            for counters in (0..tables.sizes().cpus).filter_map(|cpu| tables.sent(cpu, number)) {
                sent.packets += counters.packets.load();
                sent.bytes += counters.bytes.load();
                sent.flows_begun += counters.flows.load();
            }
            Some(sent)
        });
        rows.collect()
    }

    /// Remembered flows that `wanted` says yes to: how many there are, and the `limit` that had a packet last.
    pub fn flows(&self, limit: usize, wanted: impl Fn(&FlowReading) -> bool) -> (u64, Vec<FlowReading>) {
        let now = self.now();
        let mut matched = 0;
        let mut rows: Vec<FlowReading> = Vec::new();
        self.each_flow(|slot, found| {
            let Some(row) = self.flow(slot, found, now) else { return };
            if !wanted(&row) {
                return;
            }
            matched += 1;
            rows.push(row);
            // Sorting twice the limit now and then keeps memory bounded and the cost per row constant.
            if rows.len() >= limit.saturating_mul(2).max(1024) {
                rows.sort_by_key(|row| row.idle);
                rows.truncate(limit);
            }
        });
        rows.sort_by_key(|row| row.idle);
        rows.truncate(limit);
        (matched, rows)
    }

    /// How full the flow table, the provisional table and the affinity table are.
    pub fn fills(&self) -> [Fill; 3] {
        let tables = &self.opened.tables;
        let sizes = tables.sizes();
        [
            self.fill(sizes.flow_buckets, &|number| tables.flows(number)),
            self.fill(sizes.provisional_buckets, &|number| tables.provisional(number)),
            self.fill(sizes.affinity_buckets, &|number| tables.affinity(number)),
        ]
    }

    fn fill<'t>(&'t self, buckets: u32, bucket: &dyn Fn(u32) -> Option<&'t Bucket>) -> Fill {
        let mut fill = Fill { used: 0, slots: u64::from(buckets) * WAYS as u64 };
        self.each(buckets, bucket, |_, _| fill.used += 1);
        fill
    }

    fn each_flow(&self, visit: impl FnMut(u32, &Found)) {
        let tables = &self.opened.tables;
        self.each(tables.sizes().flow_buckets, &|number| tables.flows(number), visit);
    }

    /// Visits every entry that has not expired and whose server is still the one it was given to.
    fn each<'t>(
        &'t self,
        buckets: u32,
        bucket: &dyn Fn(u32) -> Option<&'t Bucket>,
        mut visit: impl FnMut(u32, &Found),
    ) {
        let now = self.now();
        let tables = &self.opened.tables;
        let Some(globals) = tables.globals() else { return };
        for number in 0..buckets {
            let Some(bucket) = bucket(number) else { return };
            for found in (0..WAYS).filter_map(|way| bucket.way(way)) {
                let alive = found.note.age(now) < globals.timeout(found.note.state());
                let generation =
                    tables.server(found.server).map(|server| Server::generation(server.link.load()));
                if alive && generation == Some(found.note.generation()) {
                    visit(number * WAYS as u32 + found.way, &found);
                }
            }
        }
    }

    fn flow(&self, slot: u32, found: &Found, now: u32) -> Option<FlowReading> {
        let place = self.opened.planner.place(found.server)?.clone();
        let tuple = self.tuple(slot);
        let idle = Duration::from_millis(u64::from(found.note.age(now)) * 1000 / u64::from(self.ticks.0));
        let state = State::ALL[usize::from(found.note.state())];
        Some(FlowReading { tuple, place, state, pinned: found.note.pinned(), idle })
    }
}

impl DataPlane {
    /// The 5-tuple of a slot, if it is kept and is still that of the flow in it: hot and cold side are not written at once.
    fn tuple(&self, slot: u32) -> Option<(SocketAddr, SocketAddr, u8)> {
        let tables = &self.opened.tables;
        let tuple = tables.tuple(slot).filter(|_| self.site.tables.tuples)?;
        let [a, b, c, d] = [0, 1, 2, 3].map(|at: usize| tuple.addresses[at].load());
        let ports = tuple.ports.load();
        let key = &tables.globals()?.key;
        let hash = if a == Address::V4 { key.v4(b | d << 32, ports) } else { key.v6([a, b, c, d], ports) };
        let bucket = tables.flows(slot / WAYS as u32)?;
        if bucket.holds(slot as usize % WAYS, Tag(hash)) { tuple_of(tuple) } else { None }
    }
}

fn tuple_of(tuple: &Tuple) -> Option<(SocketAddr, SocketAddr, u8)> {
    let words: Vec<u64> = tuple.addresses.iter().map(geminus_packet::word::Word::load).collect();
    let ports = tuple.ports.load();
    let bytes = (ports as u32).to_le_bytes();
    let source = Address { high: words[0], low: words[1] };
    let destination = Address { high: words[2], low: words[3] };
    let socket = |address, a, b| SocketAddr::new(ip_of(address), u16::from_be_bytes([a, b]));
    (ports != 0).then(|| {
        (socket(source, bytes[0], bytes[1]), socket(destination, bytes[2], bytes[3]), (ports >> 32) as u8)
    })
}

fn ip_of(address: Address) -> IpAddr {
    if address.is_v4() {
        return IpAddr::V4(Ipv4Addr::from((address.low as u32).to_le_bytes()));
    }
    let whole = u128::from(address.low) << 64 | u128::from(address.high);
    IpAddr::V6(Ipv6Addr::from(whole.to_le_bytes()))
}
