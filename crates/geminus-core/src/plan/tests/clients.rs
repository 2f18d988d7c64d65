//! Laws of what is laid down of clients: lists and rules as one look-up of the longest prefix.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use geminus_packet::heap::HeapTables;
use geminus_packet::tables::Source;
use proptest::prelude::*;
use proptest::sample::select;

use super::super::sources::{self, Laid, flattened};
use super::ground::{Flow, Node, Sent, cluster, flow, service, site};
use super::*;
use crate::model::{Condition, Prefix, Rule};

/// Few bits differ, so that prefixes lie within each other and clients within prefixes.
fn address() -> impl Strategy<Value = IpAddr> {
    let v4 = prop_oneof![0..=255_u32, Just(0), Just(u32::MAX), any::<u32>()]
        .prop_map(|low| IpAddr::V4(Ipv4Addr::from(0x0a00_0000 | low)));
    let v6 = prop_oneof![0..=255_u128, any::<u128>()]
        .prop_map(|low| IpAddr::V6(Ipv6Addr::from(0x2001_0db8 << 96 | low & u128::from(u64::MAX))));
    prop_oneof![v4, v6, around_v4()]
}

/// Addresses of IPv6 whose beginning is that of the place where the table has IPv4: 80 bits of 0 and then nearly 16 of 1.
fn around_v4() -> impl Strategy<Value = IpAddr> {
    let beginnings = select(vec![0, 0xfff0_u128 << 32, 0xfffe_u128 << 32, 1 << 48, 1 << 64, 1 << 127]);
    (beginnings, 0..=255_u128).prop_map(|(beginning, low)| IpAddr::V6(Ipv6Addr::from(beginning | low)))
}

fn prefix() -> impl Strategy<Value = Prefix> {
    (address(), 0..=128_u8).prop_map(|(address, bits)| match address {
        IpAddr::V4(address) => {
            let bits = if bits > 96 { bits - 96 } else { 24 + bits % 9 };
            let mask = u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0);
            Prefix { address: Ipv4Addr::from(u32::from(address) & mask).into(), bits }
        }
        IpAddr::V6(address) => {
            let near_v4 = u128::from(address) >> 64 == 0;
            let bits = if bits > 64 || near_v4 { bits } else { bits / 8 };
            let mask = u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0);
            Prefix { address: Ipv6Addr::from(u128::from(address) & mask).into(), bits }
        }
    })
}

fn prefixes() -> impl Strategy<Value = Vec<Prefix>> {
    proptest::collection::vec(prefix(), 0..5)
}

prop_compose! {
    fn listed()(
        allow in prop_oneof![Just(Vec::new()), prefixes()],
        deny in prefixes(),
        rules in proptest::collection::vec((prefixes(), 0..3_u8), 0..4),
    ) -> Service {
        let mut made = service(80, &["web1"]);
        (made.allow, made.deny) = (allow, deny);
        made.pools = vec!["one".into(), "two".into()];
        made.rules = rules.into_iter().map(|(from, pool)| Rule { when: Condition::From(from), pool }).collect();
        made
    }
}

fn has(prefix: &Prefix, client: IpAddr) -> bool {
    let bits = u32::from(prefix.bits);
    match (prefix.address, client) {
        (IpAddr::V4(one), IpAddr::V4(other)) => {
            bits == 0 || (u32::from(one) ^ u32::from(other)).leading_zeros() >= bits
        }
        (IpAddr::V6(one), IpAddr::V6(other)) => {
            bits == 0 || (u128::from(one) ^ u128::from(other)).leading_zeros() >= bits
        }
        _ => false,
    }
}

/// What the documentation says, word for word.
fn judged(service: &Service, client: IpAddr) -> Laid {
    let within = |list: &[Prefix]| list.iter().any(|prefix| has(prefix, client));
    if within(&service.deny) || !service.allow.is_empty() && !within(&service.allow) {
        return Laid::Deny;
    }
    let mut best: Option<(u8, u8)> = None;
    for rule in &service.rules {
        let Condition::From(from) = &rule.when else { continue };
        for prefix in from.iter().filter(|prefix| has(prefix, client)) {
            if best.is_none_or(|(bits, _)| prefix.bits > bits) {
                best = Some((prefix.bits, rule.pool));
            }
        }
    }
    best.map_or(Laid::Allow, |(_, pool)| Laid::Pool(pool))
}

/// What the packet path reads of a client.
fn read(tables: &HeapTables, client: IpAddr) -> u64 {
    match Tables::source(tables, 3, paths::address(client)) {
        0 => Source::ALLOW,
        word => word,
    }
}

fn table_of(service: &Service) -> BTreeMap<SourceKey, u64> {
    let pools = [3, 8, 9];
    flattened(service).into_iter().map(|(net, laid)| (net.key(3), sources::word(laid, &pools))).collect()
}

fn tables() -> HeapTables {
    HeapTables::new(&sizes(&site(Vec::new()), 1))
}

/// Clients at the edges of every prefix there is, and others.
fn clients(services: &[&Service], more: Vec<IpAddr>) -> Vec<IpAddr> {
    let mut clients = more;
    for service in services {
        let of_rules = service.rules.iter().flat_map(|rule| match &rule.when {
            Condition::From(from) => from.clone(),
            _ => Vec::new(),
        });
        for prefix in service.allow.iter().chain(&service.deny).copied().chain(of_rules) {
            match prefix.address {
                IpAddr::V4(address) => {
                    let first = u32::from(address);
                    let last = first | u32::MAX.checked_shr(prefix.bits.into()).unwrap_or(0);
                    let edges = [first, last, first.wrapping_sub(1), last.wrapping_add(1)];
                    clients.extend(edges.map(|edge| IpAddr::V4(edge.into())));
                }
                IpAddr::V6(address) => {
                    let first = u128::from(address);
                    let last = first | u128::MAX.checked_shr(prefix.bits.into()).unwrap_or(0);
                    let edges = [first, last, first.wrapping_sub(1), last.wrapping_add(1)];
                    let edges = edges.map(Ipv6Addr::from).into_iter();
                    // An IPv4 address in the clothes of the other family is nobody's, and so is a group's.
                    let somebodys = |edge: &Ipv6Addr| edge.to_ipv4_mapped().is_none() && !edge.is_multicast();
                    clients.extend(edges.filter(somebodys).map(IpAddr::V6));
                }
            }
        }
    }
    clients
}

/// Tables that are looked at before each change.
struct Looked<'t, F: Fn()>(&'t HeapTables, F);

impl<F: Fn()> Sources for Looked<'_, F> {
    fn lay_down(&self, key: SourceKey, value: u64) -> Result<(), PlanError> {
        (self.1)();
        self.0.lay_down(key, value)
    }
    fn take_up(&self, key: SourceKey) {
        (self.1)();
        self.0.take_up(key);
    }
    fn laid_down(&self) -> Vec<(SourceKey, u64)> {
        self.0.laid_down()
    }
}

proptest! {
    #[test]
    fn one_look_up_says_what_the_lists_and_rules_say(
        service in listed(), more in proptest::collection::vec(address(), 0..20)
    ) {
        let tables = tables();
        for (key, value) in table_of(&service) {
            tables.lay_down(key, value).unwrap();
        }
        for client in clients(&[&service], more) {
            let wanted = sources::word(judged(&service, client), &[3, 8, 9]);
            prop_assert_eq!(read(&tables, client), wanted, "{}", client);
        }
    }

    #[test]
    fn while_lists_change_each_client_meets_the_old_or_the_new(
        before in listed(), after in listed(), more in proptest::collection::vec(address(), 0..20)
    ) {
        let tables = tables();
        let mut installed = BTreeMap::new();
        sources::write(&tables, &mut installed, &table_of(&before), |_| true).unwrap();
        let clients = clients(&[&before, &after], more);
        let expected: Vec<_> = clients
            .iter()
            .map(|&client| [&before, &after].map(|service| sources::word(judged(service, client), &[3, 8, 9])))
            .collect();
        let wrong = RefCell::new(None);
        let looked = Looked(&tables, || {
            for (client, expected) in clients.iter().zip(&expected) {
                let met = read(&tables, *client);
                if !expected.contains(&met) {
                    *wrong.borrow_mut() = Some((*client, met, *expected));
                }
            }
        });
        sources::write(&looked, &mut installed, &table_of(&after), |_| true).unwrap();
        prop_assert_eq!(wrong.into_inner(), None);
        prop_assert_eq!(installed, table_of(&after));
        prop_assert_eq!(tables.laid_down().into_iter().collect::<BTreeMap<_, _>>(), table_of(&after));
    }

    #[test]
    fn a_change_writes_only_what_differs(service in listed(), kind in select(vec![0, 1])) {
        let tables = tables();
        let mut installed = BTreeMap::new();
        sources::write(&tables, &mut installed, &table_of(&service), |_| true).unwrap();
        let writes = RefCell::new(0);
        let looked = Looked(&tables, || *writes.borrow_mut() += 1);
        // Of others' numbers nothing is touched.
        let (wanted, concerned) = if kind == 0 { (table_of(&service), 3) } else { (BTreeMap::new(), 4) };
        sources::write(&looked, &mut installed, &wanted, |number| number == concerned).unwrap();
        prop_assert_eq!(writes.into_inner(), 0);
    }
}

#[test]
fn nothing_is_laid_down_that_says_nothing() {
    let prefix = |text: &str, bits| Prefix { address: text.parse().unwrap(), bits };
    let from = |pool, prefixes: Vec<Prefix>| Rule { when: Condition::From(prefixes), pool };
    let mut made = service(80, &["web1"]);
    assert_eq!((flattened(&made), sources::any(&made)), (Vec::new(), false));
    made.rules = vec![
        from(1, vec![prefix("198.51.0.0", 16), prefix("198.51.100.0", 24), prefix("2001:db8::", 32)]),
        from(2, vec![prefix("198.51.100.0", 24), prefix("198.51.100.128", 25)]),
    ];
    let laid: Vec<_> = flattened(&made).into_iter().map(|(net, laid)| (net.bits, laid)).collect();
    assert_eq!(laid, [(32, Laid::Pool(1)), (96 + 16, Laid::Pool(1)), (96 + 25, Laid::Pool(2))]);
    // A family is denied as a whole where the other alone is allowed anything.
    made.allow = vec![prefix("198.51.100.0", 24)];
    let laid: Vec<_> = flattened(&made).into_iter().map(|(net, laid)| (net.bits, laid)).collect();
    let wanted = [(0, Laid::Deny), (96, Laid::Deny), (96 + 24, Laid::Pool(1)), (96 + 25, Laid::Pool(2))];
    assert_eq!(laid, wanted);
}

fn denying(denied: &[&str]) -> Site {
    let mut made = service(80, &["web1", "web2"]);
    made.deny = denied.iter().map(|text| Prefix { address: text.parse().unwrap(), bits: 24 }).collect();
    site(vec![cluster("shop", 80, vec![made, service(443, &["web1"])])])
}

#[test]
fn whom_a_list_denies_begins_no_flow_and_keeps_those_it_has() {
    let (mut node, flows) = busy(denying(&[]));
    node.apply(denying(&["203.0.1.0"])).unwrap();
    assert_only_these_moved(&node, &flows, &[]);
    let syn = |n: u16, port: u16| node.send(&Flow { source_port: 9, ..flow(80, n, port) }.syn());
    assert_eq!(syn(256, 80), Sent::Dropped("denied"));
    assert!(matches!(syn(512, 80), Sent::To(..)) && matches!(syn(256, 443), Sent::To(..)));
}

#[test]
fn lists_leave_nothing_behind_and_what_a_killed_daemon_left_goes() {
    let mut node = Node::new(denying(&["203.0.1.0", "203.0.2.0"]));
    let laid_down = |node: &Node| node.tables.laid_down();
    assert_eq!(laid_down(&node).len(), 2);
    node.tables.lay_down(SourceKey { service: 9, address: [1; 16], bits: 128 }, Source::DENY).unwrap();
    node.planner = Planner::adopt(&node.tables, &node.sizes);
    node.reload().unwrap();
    assert_eq!(laid_down(&node).len(), 2, "nobody has number 9");
    let graces = node.reload().unwrap();
    assert_eq!(graces, 0);
    node.apply(denying(&["203.0.2.0"])).unwrap();
    assert_eq!(laid_down(&node).len(), 1);
    node.apply(site(Vec::new())).unwrap();
    assert_eq!(laid_down(&node), []);
}

#[test]
fn a_list_that_does_not_fit_is_refused_and_nothing_is_written() {
    let mut node = Node::with(denying(&[]), &Sizes { sources: 3, ..sizes(&denying(&[]), 1) });
    node.apply(denying(&["203.0.1.0", "203.0.2.0"])).unwrap();
    let before = node.snapshot();
    let more = denying(&["203.0.1.0", "203.0.2.0", "203.0.3.0"]);
    assert_eq!(node.apply(more), Err(PlanError::Full("source")));
    assert_eq!(before.difference(&node.snapshot(), 0), None);
    assert_eq!(node.tables.laid_down().len(), 2);
}
