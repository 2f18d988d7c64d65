//! Services that share their clients: which server of the one is which of the other.

use std::collections::BTreeMap;
use std::net::IpAddr;

use geminus_packet::tables::Tables;

use super::part::Part;

/// One host within the services of one cluster that share their clients.
type Host<'a> = (usize, &'a str, &'a str, IpAddr);

/// Says of each server which service it belongs to, and links those of each host into a circle, word by word. Every word
/// names servers of one and the same host before and after, so a walk that meets both never comes to another.
pub(super) fn write(tables: &impl Tables, parts: &[Part<'_>], servers: &[Vec<u32>], pools: &[Vec<u32>]) {
    let mut circles = BTreeMap::<Host<'_>, Vec<(u32, u32)>>::new();
    let write = |service: u32, number: u32, next: u32| {
        if let Some(entry) = tables.server(number) {
            entry.kin.store(u64::from(service) | u64::from(next) << 32);
        }
    };
    for ((part, numbers), pools) in parts.iter().zip(servers).zip(pools) {
        let group = part.service.affinity.as_ref().and_then(|affinity| affinity.group.as_deref());
        for (server, &number) in part.service.servers.iter().zip(numbers) {
            match group {
                Some(group) => {
                    let host = (part.place.0, group, server.name.as_str(), server.address);
                    circles.entry(host).or_default().push((pools[0], number));
                }
                None => write(pools[0], number, 0),
            }
        }
    }
    for circle in circles.values() {
        let next = circle.iter().cycle().skip(1);
        for (&(service, number), &(_, next)) in circle.iter().zip(next) {
            write(service, number, if next == number { 0 } else { next });
        }
    }
}
