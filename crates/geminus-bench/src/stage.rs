//! A loaded packet program over tables of its own, filled from a site, attached to nothing.

use std::collections::HashMap;

use anyhow::{Context as _, Result, anyhow};
use aya::programs::ProgramFd;
use geminus_core::config;
use geminus_core::key::SiteKey;
use geminus_core::plan::{Link, Overrides, Planner, Wanted, sizes};
use geminus_dataplane::mapped::MappedTables;
use geminus_dataplane::program::Loaded;
use geminus_packet::flow::{Bucket, WAYS};
use geminus_packet::tables::{KEEP_TUPLES, Tables as _};
use geminus_packet::verdict::REASONS;

use crate::frame::NODE;

/// Servers of every service.
pub(crate) const SERVERS: u8 = 10;
/// The ports of the cluster's services.
pub(crate) const WEB: u16 = 80;
pub(crate) const STICKY: u16 = 81;
pub(crate) const IN_TURN: u16 = 82;
pub(crate) const DNS: u16 = 53;
/// A port without a service.
pub(crate) const SHUT: u16 = 9999;
/// Index of the loopback interface, which test-runs come in by.
const INTERFACE: u32 = 1;

/// The packet program, its tables, and what they were filled with.
pub(crate) struct Stage {
    tables: MappedTables,
    program: ProgramFd,
    _loaded: Loaded,
}

impl Stage {
    /// Tables for so many flows; `tuples`: with the cold side.
    pub(crate) fn new(flows: &str, tuples: bool) -> Result<Self> {
        let site = config::parse(&site(flows, tuples), "bench.toml").map_err(|errors| anyhow!("{errors}"))?;
        let cpus = aya::util::nr_cpus().map_err(|(_, error)| error).context("cannot count CPUs")?;
        let sizes = sizes(&site, cpus as u32);
        let mut loaded = Loaded::new(&sizes, None)?;
        let tables = loaded.tables(&sizes)?;
        let key = SiteKey::new(std::array::from_fn(|byte| byte as u8));
        let links: HashMap<_, _> = (1..=SERVERS)
            .map(|number| {
                let link = Link::Remote { mac: server_mac(number), source: NODE, interface: INTERFACE };
                (server_address(number).into(), link)
            })
            .collect();
        let wanted = Wanted {
            site: &site,
            node: "alpha",
            key: &key,
            overrides: &Overrides::default(),
            links: &links,
            mac: NODE,
            ticks: loaded.tick_rate()?,
        };
        Planner::adopt(&tables, &sizes).apply(&tables, &wanted, || ())?;
        tables.group(0).context("no group 0")?.deadline.store(u64::MAX);
        let program = loaded.program()?.fd()?.try_clone()?;
        Ok(Self { tables, program, _loaded: loaded })
    }

    pub(crate) fn program(&self) -> &ProgramFd {
        &self.program
    }

    /// Packets by reason so far.
    pub(crate) fn reasons(&self) -> [u64; REASONS] {
        let mut sum = [0; REASONS];
        for cpu in 0..self.tables.sizes().cpus {
            if let Some(counters) = self.tables.reasons(cpu) {
                for (sum, word) in sum.iter_mut().zip(&counters.packets) {
                    *sum += word.load();
                }
            }
        }
        sum
    }

    /// Share of the flow table's slots that are taken.
    pub(crate) fn fill(&self) -> f64 {
        let buckets = self.tables.sizes().flow_buckets;
        let taken = (0..buckets).filter_map(|bucket| self.tables.flows(bucket)).map(|bucket| taken(bucket)).sum::<u64>();
        taken as f64 / (f64::from(buckets) * WAYS as f64)
    }

    /// Forgets every half-open flow.
    pub(crate) fn forget_provisional(&self) {
        let buckets = self.tables.sizes().provisional_buckets;
        (0..buckets).filter_map(|bucket| self.tables.provisional(bucket)).for_each(empty);
    }

    /// Forgets every flow.
    pub(crate) fn forget_flows(&self) {
        let buckets = self.tables.sizes().flow_buckets;
        (0..buckets).filter_map(|bucket| self.tables.flows(bucket)).for_each(empty);
    }

    /// Whether the cold side is kept.
    pub(crate) fn keeps_tuples(&self) -> bool {
        self.tables.globals().is_some_and(|globals| globals.flags.load() & KEEP_TUPLES != 0)
    }
}

fn empty(bucket: &Bucket) {
    for found in (0..WAYS).filter_map(|way| bucket.way(way)) {
        bucket.forget(&found);
    }
}

fn taken(bucket: &Bucket) -> u64 {
    (0..WAYS).filter(|way| bucket.way(*way).is_some()).count() as u64
}

/// Hardware address of a server.
pub(crate) const fn server_mac(number: u8) -> [u8; 6] {
    [0x02, 0, 0x5e, 0x10, 1, number]
}

const fn server_address(number: u8) -> [u8; 4] {
    [198, 51, 100, 20 + number]
}

/// One cluster of both families with a service of every kind that is measured.
fn site(flows: &str, tuples: bool) -> String {
    let servers: Vec<_> = (1..=SERVERS)
        .map(|number| {
            let [a, b, c, d] = server_address(number);
            format!("{{ name = \"web{number}\", address = \"{a}.{b}.{c}.{d}\" }}")
        })
        .collect();
    let servers = servers.join(", ");
    let service = |port: u16, more: &str| {
        format!("[[cluster.shop.service]]\nport = {port}\n{more}\nservers = [{servers}]\n")
    };
    [
        format!("[tables]\nflows = \"{flows}\"\ntuples = {tuples}\n"),
        "[node.alpha]\naddress = \"198.51.100.11\"\ninterface = \"eth0\"\n".into(),
        "[cluster.shop]\naddresses = [\"198.51.100.80\", \"2001:db8:1::80\"]\n".into(),
        service(WEB, ""),
        service(DNS, "protocol = \"udp\""),
        service(STICKY, "affinity = { by = \"source\" }"),
        service(IN_TURN, "select = \"round-robin\""),
    ]
    .concat()
}
