//! The static tables (addresses, exact ports, ranges) and the settings: written into the half that nobody reads, then
//! switched to in one word.

use std::collections::HashMap;
use std::time::Duration;

use geminus_packet::flow::State;
use geminus_packet::heap::Sizes;
use geminus_packet::tables::{
    Address, AddressFacts, Endpoint, GROUPS, KEEP_TUPLES, LAYOUT, RANGES_PER_CLUSTER, Range, STATIC_WAYS,
    Tables, mac_word,
};

use super::{Ours, PlanError, TicksPerSecond, Wanted, paths};
use crate::model::{Announce, Ports, Unexposed};

/// So long before the end of its lease a node stops to answer for the addresses: the partner begins
/// [`crate::ha::TAKEOVER_MARGIN`] before it, and a tick may last 10 ms.
const HAND_OVER: Duration = Duration::from_millis(60);

/// Seeds tried before a table is called too small; at an eighth of fill the first handful fits.
const SEEDS: u64 = 4096;

/// What stands in the half that is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fixed {
    addresses: Vec<(Address, AddressFacts, u32)>,
    endpoints: Vec<(Endpoint, u32)>,
    ranges: Vec<(u64, u32)>,
}

/// A span of time on the kernel's coarse clock, at least one tick.
pub(super) fn ticks(span: Duration, rate: TicksPerSecond) -> u64 {
    (span.as_millis() as u64 * u64::from(rate.0) / 1000).clamp(1, u64::from(u32::MAX / 2))
}

/// Whether the ranges and buckets of a site fit.
pub(super) fn check_room(ours: &Ours<'_>, sizes: &Sizes) -> Result<(), PlanError> {
    let fixed = gather(ours, &HashMap::new());
    if fixed.ranges.len() > sizes.ranges as usize / 2 {
        return Err(PlanError::Full("range"));
    }
    address_seed(&fixed.addresses, sizes)?;
    endpoint_seed(&fixed.endpoints, sizes)?;
    Ok(())
}

/// Writes the settings; every one is a word of its own and right in any mixture.
pub(super) fn write_settings(tables: &impl Tables, wanted: &Wanted<'_>, sizes: &Sizes) {
    let Some(globals) = tables.globals() else { return };
    let timeouts = &wanted.site.timeouts;
    let longest_client = wanted
        .site
        .clusters
        .iter()
        .flat_map(|cluster| &cluster.services)
        .filter_map(|service| service.affinity.as_ref().map(|affinity| affinity.timeout))
        .max()
        .unwrap_or_default();
    for state in State::ALL {
        let span = match state {
            State::Free => Duration::ZERO,
            State::First => timeouts.first,
            State::Established => timeouts.tcp,
            State::Closing => timeouts.tcp_fin,
            State::Reset => timeouts.tcp_rst,
            State::Datagrams => timeouts.udp,
            State::Client => longest_client,
            // A writer is done in microseconds; one that was stopped for longer has lost its way.
            State::Claimed => Duration::from_secs(2),
        };
        globals.timeouts[state as usize].store(ticks(span, wanted.ticks));
    }
    if globals.layout.load() != LAYOUT {
        globals.key.set(&wanted.key.flow_hash_words());
        for (word, mark) in globals.question.iter().zip(wanted.key.question_mark()) {
            word.store(mark);
        }
    }
    globals.mac.store(mac_word(wanted.mac));
    globals.flow_mask.store(u64::from(sizes.flow_buckets - 1));
    globals.provisional_mask.store(u64::from(sizes.provisional_buckets - 1));
    globals.affinity_mask.store(u64::from(sizes.affinity_buckets - 1));
    globals.refresh.store(ticks(Duration::from_secs(1), wanted.ticks));
    globals.servers.store(u64::from(sizes.servers));
    globals.hand_over.store(ticks(HAND_OVER, wanted.ticks));
    globals.tick.store((1000_u64 << 16).div_ceil(u64::from(wanted.ticks.0).max(1)));
    globals.flags.store(if wanted.site.tables.tuples { KEEP_TUPLES } else { 0 });
    write_group_macs(tables, wanted);
}

/// The hardware addresses that groups answer by.
fn write_group_macs(tables: &impl Tables, wanted: &Wanted<'_>) {
    let mut macs = [0; GROUPS as usize];
    if wanted.site.ha.announce == Announce::VirtualMac {
        for group in wanted.site.groups() {
            if let Some(mac) = macs.get_mut(usize::from(group.number)) {
                *mac = mac_word(wanted.key.virtual_mac(&group.primary, &group.backup));
            }
        }
    }
    for (number, mac) in (0..).zip(macs) {
        if let Some(group) = tables.group(number) {
            group.mac.store(mac);
        }
    }
}

/// Writes the half that nobody reads and switches to it, unless what is read says the same already.
pub(super) fn publish(
    tables: &impl Tables,
    ours: &Ours<'_>,
    services: &HashMap<(usize, usize), u32>,
    sizes: &Sizes,
    installed: Option<&Fixed>,
) -> Result<Fixed, PlanError> {
    let fixed = gather(ours, services);
    if installed == Some(&fixed) {
        return Ok(fixed);
    }
    let Some(globals) = tables.globals() else { return Ok(fixed) };
    let half = 1 - (globals.half.load() & 1) as u32;
    let index = &globals.index[half as usize];
    let (seed, shift) = address_seed(&fixed.addresses, sizes)?;
    let base = half * (sizes.address_buckets / 2);
    write_addresses(tables, &fixed, base, seed, shift, sizes, half);
    index.address_seed.store(seed);
    index.address_place.store(u64::from(base) | u64::from(shift) << 32);
    let (seed, shift) = endpoint_seed(&fixed.endpoints, sizes)?;
    let base = half * (sizes.endpoint_buckets / 2);
    write_endpoints(tables, &fixed, base, seed, shift, sizes);
    index.endpoint_seed.store(seed);
    index.endpoint_place.store(u64::from(base) | u64::from(shift) << 32);
    for (at, &(ports, service)) in (half * (sizes.ranges / 2)..).zip(&fixed.ranges) {
        if let Some(entry) = tables.range(at) {
            entry.ports.store(ports);
            entry.service.store(u64::from(service));
        }
    }
    globals.half.store(u64::from(half));
    globals.layout.store(LAYOUT);
    Ok(fixed)
}

fn gather(ours: &Ours<'_>, services: &HashMap<(usize, usize), u32>) -> Fixed {
    let mut fixed = Fixed { addresses: Vec::new(), endpoints: Vec::new(), ranges: Vec::new() };
    for (number, &(cluster_index, cluster)) in (0..).zip(&ours.clusters) {
        let first_range = fixed.ranges.len() as u32;
        let mut any = Vec::new();
        for (service_index, service) in cluster.services.iter().enumerate() {
            let index = services.get(&(cluster_index, service_index)).copied().unwrap_or(0);
            let protocol = service.protocol.number();
            match service.ports {
                Ports::Exact(port) => {
                    fixed.endpoints.push((Endpoint { cluster: number, protocol, port }, index))
                }
                Ports::Range(first, last) => fixed.ranges.push((Range::word(protocol, first, last), index)),
                Ports::Any => any.push((Range::word(protocol, 0, u16::MAX), index)),
            }
        }
        // Any port comes last: a range wins over it.
        fixed.ranges.append(&mut any);
        let ranges = (fixed.ranges.len() as u32 - first_range).min(RANGES_PER_CLUSTER as u32) as u8;
        let pass = if cluster.unexposed == Unexposed::Pass { AddressFacts::PASS_UNEXPOSED } else { 0 };
        let ping = if cluster.ping { AddressFacts::PING } else { 0 };
        let facts = AddressFacts::new(number, ours.groups[cluster_index], pass | ping, ranges);
        let addresses =
            cluster.addresses.iter().map(|&address| (paths::address(address), facts, first_range));
        fixed.addresses.extend(addresses);
    }
    fixed.addresses.extend(ours.ends.iter().map(|&(address, facts)| (address, facts, 0)));
    fixed
}

fn address_seed(addresses: &[(Address, AddressFacts, u32)], sizes: &Sizes) -> Result<(u64, u32), PlanError> {
    seed(addresses.iter().map(|(address, ..)| address), sizes.address_buckets / 2, |address, seed, shift| {
        address.bucket(seed, shift)
    })
    .ok_or(PlanError::Full("address"))
}

fn endpoint_seed(endpoints: &[(Endpoint, u32)], sizes: &Sizes) -> Result<(u64, u32), PlanError> {
    seed(
        endpoints.iter().map(|(endpoint, _)| endpoint),
        sizes.endpoint_buckets / 2,
        |endpoint, seed, shift| endpoint.bucket(seed, shift),
    )
    .ok_or(PlanError::Full("port"))
}

/// The first seed by which no bucket gets more than it holds, and the shift that belongs to so many buckets.
fn seed<'a, K: 'a>(
    keys: impl Iterator<Item = &'a K> + Clone,
    buckets: u32,
    bucket: impl Fn(&K, u64, u32) -> u32,
) -> Option<(u64, u32)> {
    let shift = 64 - buckets.ilog2();
    let mut held = vec![0_u8; buckets as usize];
    (0..SEEDS).map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15)).find_map(|seed| {
        held.fill(0);
        let fits = keys.clone().all(|key| {
            let held = &mut held[bucket(key, seed, shift) as usize];
            *held += 1;
            usize::from(*held) <= STATIC_WAYS
        });
        fits.then_some((seed, shift))
    })
}

fn write_addresses(
    tables: &impl Tables,
    fixed: &Fixed,
    base: u32,
    seed: u64,
    shift: u32,
    sizes: &Sizes,
    half: u32,
) {
    for bucket in base..base + sizes.address_buckets / 2 {
        for entry in tables.addresses(bucket).into_iter().flat_map(|bucket| &bucket.entries) {
            entry.facts.store(0);
        }
    }
    let ranges = half * (sizes.ranges / 2);
    for (address, facts, first_range) in &fixed.addresses {
        let bucket = tables.addresses(base + address.bucket(seed, shift));
        let free = bucket.and_then(|bucket| bucket.entries.iter().find(|entry| entry.facts.load() == 0));
        let entry = free.expect("the seed leaves room in every bucket");
        entry.high.store(address.high);
        entry.low.store(address.low);
        entry.ports.store(u64::from(ranges + first_range) | u64::from(half) << 31);
        entry.facts.store(facts.0);
    }
}

fn write_endpoints(tables: &impl Tables, fixed: &Fixed, base: u32, seed: u64, shift: u32, sizes: &Sizes) {
    for bucket in base..base + sizes.endpoint_buckets / 2 {
        for entry in tables.endpoints(bucket).into_iter().flat_map(|bucket| &bucket.entries) {
            entry.key.store(0);
        }
    }
    for (endpoint, service) in &fixed.endpoints {
        let bucket = tables.endpoints(base + endpoint.bucket(seed, shift));
        let free = bucket.and_then(|bucket| bucket.entries.iter().find(|entry| entry.key.load() == 0));
        let entry = free.expect("the seed leaves room in every bucket");
        entry.service.store(u64::from(*service));
        entry.key.store(endpoint.key());
    }
}
