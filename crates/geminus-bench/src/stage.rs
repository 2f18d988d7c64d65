//! A loaded packet program over tables of its own, filled from a site, attached to nothing.

use std::collections::HashMap;
use std::fs;
use std::net::Ipv4Addr;

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use aya::programs::ProgramFd;
use aya::programs::xdp::XdpLink;
use geminus_core::config;
use geminus_core::key::{HaKeys, SiteKey};
use geminus_core::model::{Ports, Prefix, Select};
use geminus_core::plan::{Link, Overrides, Planner, Wanted, sizes};
use geminus_dataplane::mapped::MappedTables;
use geminus_dataplane::program::Loaded;
use geminus_packet::flow::{Bucket, WAYS};
use geminus_packet::tables::{Tables as _, Tuple};
use geminus_packet::verdict::REASONS;
use serde::Serialize;

use crate::feeder::{self, Feeder, Traffic};
use crate::frame::NODE;
use crate::path::{REDIRECT, TX};

/// Servers of every service.
pub(crate) const SERVERS: u8 = 10;
/// The ports of the cluster's services.
pub(crate) const WEB: u16 = 80;
pub(crate) const STICKY: u16 = 81;
pub(crate) const IN_TURN: u16 = 82;
pub(crate) const LIGHTEST: u16 = 83;
pub(crate) const LISTED: u16 = 84;
pub(crate) const DNS: u16 = 53;
/// A port without a service.
pub(crate) const SHUT: u16 = 9999;
/// Index of the loopback interface, which test-runs come in by.
pub(crate) const LOOPBACK: u32 = 1;

/// What the kernel charges for the flow table, bytes.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Memory {
    /// Flows that it has room for.
    pub(crate) slots: u64,
    /// The table.
    pub(crate) flows: u64,
    /// Its cold side.
    pub(crate) tuples: u64,
}

/// The packet program, its tables, and what they were filled with.
pub(crate) struct Stage {
    tables: MappedTables,
    program: ProgramFd,
    loaded: Loaded,
}

impl Stage {
    /// Tables for so many flows; `tuples`: with the cold side. The servers are behind the interface with this index.
    pub(crate) fn new(flows: &str, tuples: bool, interface: u32) -> Result<Self> {
        let mut site =
            config::parse(&site(flows, tuples), "bench.toml").map_err(|errors| anyhow!("{errors}"))?;
        for service in &mut site.clusters[0].services {
            match service.ports {
                Ports::Exact(LIGHTEST) => service.select = Select::LeastConnections,
                Ports::Exact(LISTED) => {
                    service.allow = vec![Prefix { address: Ipv4Addr::UNSPECIFIED.into(), bits: 0 }];
                }
                _ => {}
            }
        }
        let cpus = aya::util::nr_cpus().map_err(|(_, error)| error).context("cannot count CPUs")?;
        let sizes = sizes(&site, cpus as u32);
        let mut loaded = Loaded::new(&sizes, None)?;
        let tables = loaded.tables(&sizes)?;
        let key = SiteKey::new(std::array::from_fn(|byte| byte as u8));
        let links: HashMap<_, _> = (1..=SERVERS)
            .map(|number| {
                let link = Link::Remote { mac: server_mac(number), source: NODE, interface };
                (server_address(number).into(), link)
            })
            .collect();
        let wanted = Wanted {
            site: &site,
            node: "alpha",
            key: &key,
            ha_keys: &HaKeys::from_site(&key),
            overrides: &Overrides::default(),
            rulings: &geminus_core::plan::Rulings::default(),
            links: &links,
            mac: NODE,
            ticks: loaded.tick_rate()?,
        };
        Planner::adopt(&tables, &sizes).apply(&tables, &wanted, || ())?;
        tables.group(0).context("no group 0")?.deadline.store(u64::MAX);
        let program = loaded.program()?.fd()?.try_clone()?;
        Ok(Self { tables, program, loaded })
    }

    /// Makes every flow of a stream established: first and second packet.
    pub(crate) fn open(&self, feeder: &mut Feeder, traffic: &Traffic) -> Result<()> {
        let packets = traffic.flows.map_or(1, |flows| flows.count) * 2;
        let opening = Traffic { opening: true, ..traffic.clone() };
        let batch = feeder.feed(&self.program, &opening, 0, u32::try_from(packets)?)?;
        let sent = batch.actions[TX] + batch.actions[REDIRECT];
        ensure!(sent == packets, "flows cannot be opened: {:?}", batch.actions);
        Ok(())
    }

    /// Attaches the program to an interface of the calling thread's namespace, natively.
    pub(crate) fn attach(&mut self, interface: u32) -> Result<XdpLink> {
        feeder::attach(self.loaded.program()?, interface)
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
        let taken = (0..buckets).filter_map(|bucket| self.tables.flows(bucket)).map(taken).sum::<u64>();
        taken as f64 / (f64::from(buckets) * WAYS as f64)
    }

    /// What the kernel charges for the flow table and its cold side.
    pub(crate) fn memory(&self) -> Result<Memory> {
        let sizes = self.tables.sizes();
        Ok(Memory {
            slots: u64::from(sizes.flow_buckets) * WAYS as u64,
            flows: charged(size_of::<Bucket>(), sizes.flow_buckets)?,
            tuples: charged(size_of::<Tuple>(), sizes.tuples)?,
        })
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
}

/// What the kernel charges for a map of this process with such entries, bytes.
fn charged(entry: usize, entries: u32) -> Result<u64> {
    for file in fs::read_dir("/proc/self/fdinfo")?.flatten() {
        let Ok(text) = fs::read_to_string(file.path()) else { continue };
        let field = |key: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(key))?;
            line.trim().parse::<u64>().ok()
        };
        if field("value_size:") == Some(entry as u64) && field("max_entries:") == Some(entries.into()) {
            return field("memlock:").context("the kernel does not say what a map takes");
        }
    }
    bail!("no map of {entries} entries of {entry} bytes is open")
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
        service(LIGHTEST, ""),
        service(LISTED, ""),
    ]
    .concat()
}
