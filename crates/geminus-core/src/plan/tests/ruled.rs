//! Laws of what is found of servers: down, resting, another weight.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use geminus_packet::tables::Tables as _;

use super::ground::{self, Flow, Node, Sent, cluster, flow, service, site};
use super::interleaved::Watched;
use super::*;
use crate::model::{Condition, OnDown, Prefix, Rule};

const DOWN: [OnDown; 3] = [OnDown::Rehash, OnDown::Keep, OnDown::Reset];

fn down(on_down: OnDown) -> Ruling {
    Ruling { down: Some(on_down), ..Ruling::default() }
}

/// Finds something of a server and has it written, without a look at the others.
fn adjust(node: &mut Node, name: &str, ruling: Ruling) {
    let servers = node.rule(name, ruling);
    node.adjust(servers).unwrap();
}

fn generation(node: &Node, name: &str) -> u16 {
    let entry = node.entry(name);
    ServerEntry::generation(entry.link.load())
}

/// What every slot of the first service's ring says, in its order.
fn ring(node: &Node) -> Vec<u32> {
    let cluster = &node.site.clusters[0];
    let number = node.planner.services[&service_identity(cluster, &cluster.services[0])];
    let ring = node.tables.service(number).expect("it is there").ring.load();
    let slot = |slot: u32| {
        let line = node.tables.ring_line(ring as u32 + slot / RING_LINE_SLOTS).expect("it is there");
        (line.pairs[(slot as usize >> 1) & 7].load() >> ((slot & 1) * 32)) as u32
    };
    (0..(ring >> 32) as u32).map(slot).collect()
}

#[test]
fn a_server_that_is_down_gets_no_new_flow_and_only_its_own_flows_move() {
    let (mut node, flows) = busy(shop(&["web1", "web2", "web3", "web4"]));
    adjust(&mut node, "web3", down(OnDown::Rehash));
    assert_only_these_moved(&node, &flows, &["web3"]);
    assert!((0..FLOWS).all(|n| node.send(&flow(80, 10_000 + n, 80).syn()).server() != "web3"));
}

#[test]
fn flows_stay_with_a_server_that_keeps_them_while_it_is_down() {
    let (mut node, flows) = busy(shop(&["web1", "web2", "web3"]));
    adjust(&mut node, "web2", down(OnDown::Keep));
    assert_only_these_moved(&node, &flows, &[]);
    assert!((0..FLOWS).all(|n| node.send(&flow(80, 10_000 + n, 80).syn()).server() != "web2"));
    // Whoever thinks better of it gives them up now.
    adjust(&mut node, "web2", down(OnDown::Rehash));
    assert_only_these_moved(&node, &flows, &["web2"]);
}

#[test]
fn clients_of_a_server_that_resets_are_told_and_nobody_else_is() {
    let (mut node, flows) = busy(shop(&["web1", "web2", "web3"]));
    adjust(&mut node, "web2", down(OnDown::Reset));
    for (n, server) in flows {
        let told = if server == "web2" { Sent::Passed("reset") } else { Sent::To(server, "established") };
        assert_eq!(node.send(&flow(80, n, 80).segment()), told, "flow {n}");
    }
}

#[test]
fn a_resting_server_keeps_its_flows_and_gets_no_new_one() {
    let (mut node, flows) = busy(shop(&["web1", "web2", "web3"]));
    adjust(&mut node, "web2", Ruling { leaving: true, ..Ruling::default() });
    assert_only_these_moved(&node, &flows, &[]);
    assert!((0..FLOWS).all(|n| node.send(&flow(80, 10_000 + n, 80).syn()).server() != "web2"));
}

#[test]
fn a_managed_weight_moves_no_flow_and_changes_the_share_of_new_ones() {
    let (mut node, flows) = busy(shop(&["web1", "web2", "web3"]));
    for (name, weight) in [("web1", 52_000), ("web2", 6500), ("web3", 6500)] {
        adjust(&mut node, name, Ruling { weight: Some(weight), ..Ruling::default() });
    }
    assert_only_these_moved(&node, &flows, &[]);
    assert_eq!(node.entry("web1").weight.load(), 52_000);
    let new = (0..2000).filter(|n| node.send(&flow(80, 10_000 + n, 80).syn()).server() == "web1").count();
    assert!((1500..1700).contains(&new), "{new} of 2000 new flows for 8 of 10 shares");
}

#[test]
fn down_and_up_again_is_the_old_ring_exactly() {
    for on_down in DOWN {
        let (mut node, flows) = busy(shop(&["web1", "web2", "web3", "web4"]));
        let before = ring(&node);
        adjust(&mut node, "web3", down(on_down));
        assert_ne!(ring(&node), before);
        adjust(&mut node, "web3", Ruling::default());
        assert_eq!(ring(&node), before, "{on_down:?}");
        let from = node.entry("web3").from.load();
        assert_eq!(
            from & (ServerEntry::DOWN | ServerEntry::RESETS | ServerEntry::DRAINING),
            0,
            "{on_down:?}"
        );
        // By the ring, those that were given up come back to it; all others never left.
        for (n, server) in flows {
            let sent = node.send(&flow(80, n, 80).segment());
            assert_eq!(sent.server(), server, "flow {n}, {on_down:?}: {sent:?}");
        }
    }
}

#[test]
fn a_server_that_goes_down_moves_hardly_anybody_elses_new_flows() {
    let names: Vec<_> = (1..=10).map(|n| format!("web{n}")).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let mut large = shop(&names);
    large.clusters[0].services[0].ring_slots = 65_537;
    let node = Node::new(large);
    let choice = |node: &Node, n: u16| node.send(&flow(80, n, 80).syn()).server().to_owned();
    let flows = 20_000;
    let before: Vec<_> = (0..flows).map(|n| choice(&node, n)).collect();
    // Flows of which only the first packet came are remembered for a moment: another table of them says what the ring says.
    let mut other = Node::new(node.site.clone());
    adjust(&mut other, "web5", down(OnDown::Rehash));
    let moved = (0..flows).filter(|&n| choice(&other, n) != before[usize::from(n)]).count();
    let own = before.iter().filter(|server| *server == "web5").count();
    assert!(
        moved >= own && (moved - own) * 100 <= usize::from(flows),
        "{moved} moved, {own} of them its own"
    );
    assert!(moved * 100 <= usize::from(flows) * 11, "{moved} of {flows}: more than 1/10 and 1 %");
}

#[test]
fn a_service_whose_every_server_is_down_takes_no_flow() {
    let (mut node, _) = busy(shop(&["web1", "web2"]));
    for name in ["web1", "web2"] {
        adjust(&mut node, name, down(OnDown::Rehash));
    }
    assert_eq!(node.send(&flow(80, 10_000, 80).syn()), Sent::Dropped("no-server"));
    assert_eq!(node.send(&flow(80, 1, 80).segment()), Sent::Dropped("no-server"));
}

#[test]
fn flows_are_given_up_once_for_each_time_that_a_server_goes_down() {
    let (mut node, _) = busy(shop(&["web1", "web2", "web3"]));
    let first = generation(&node, "web2");
    for round in 1..=3 {
        adjust(&mut node, "web2", down(OnDown::Rehash));
        assert_eq!(generation(&node, "web2"), first + round);
        node.reload().unwrap();
        node.planner = Planner::adopt(&node.tables, &node.sizes);
        node.reload().unwrap();
        adjust(&mut node, "web2", down(OnDown::Reset));
        assert_eq!(generation(&node, "web2"), first + round, "it is down already, whoever looks");
        adjust(&mut node, "web2", Ruling::default());
        assert_eq!(generation(&node, "web2"), first + round, "nobody is given up by coming back");
    }
    adjust(&mut node, "web2", down(OnDown::Keep));
    assert_eq!(generation(&node, "web2"), first + 3);
    node.planner = Planner::adopt(&node.tables, &node.sizes);
    assert!(node.planner.servers.len() == 3);
}

#[test]
fn what_was_found_is_done_alike_alone_and_with_everything() {
    let mut site = shop(&["web1", "web2", "web3"]);
    site.clusters.push(cluster("mail", 81, vec![service(80, &["web1", "mx"])]));
    let (mut whole, _) = busy(site.clone());
    let (mut alone, _) = busy(site);
    for (name, ruling) in [
        ("web1", down(OnDown::Rehash)),
        ("web2", Ruling { weight: Some(50), ..Ruling::default() }),
        ("mx", Ruling { leaving: true, ..Ruling::default() }),
        ("web3", down(OnDown::Reset)),
        ("web1", Ruling::default()),
    ] {
        whole.rule(name, ruling);
        whole.reload().unwrap();
        adjust(&mut alone, name, ruling);
        assert_eq!(whole.snapshot().difference(&alone.snapshot(), 0), None, "{name}: {ruling:?}");
    }
}

#[test]
fn the_next_daemon_reads_what_was_found() {
    let (mut node, _) = busy(shop(&["web1", "web2", "web3", "web4"]));
    adjust(&mut node, "web1", down(OnDown::Keep));
    adjust(
        &mut node,
        "web2",
        Ruling {
            weight: Some(65_535),
            maintenance: true,
            leaving: true,
            slowed: true,
            down: Some(OnDown::Reset),
            emptied: true,
        },
    );
    adjust(&mut node, "web3", Ruling { weight: Some(0), ..Ruling::default() });
    let adopted = Planner::adopt(&node.tables, &node.sizes);
    assert_eq!(adopted.rulings(&node.tables, &node.site), node.rulings);
    // And begins with it: nothing changes.
    let before = node.snapshot().without_halves();
    node.planner = adopted;
    node.reload().unwrap();
    assert_eq!(before.difference(&node.snapshot().without_halves(), 0), None);
}

#[test]
fn another_way_to_a_server_leaves_it_down() {
    let (mut node, _) = busy(shop(&["web1", "web2"]));
    adjust(&mut node, "web1", down(OnDown::Reset));
    let before = node.entry("web1").from.load();
    node.find("web1");
    assert_eq!(node.entry("web1").from.load(), before);
    assert!(before & ServerEntry::DOWN != 0 && before & ServerEntry::RESETS != 0);
}

#[test]
fn a_server_whose_clients_do_not_come_back_is_marked_so() {
    let mut site = shop(&["web1", "web2"]);
    site.clusters[0].services[0].servers[1].sticky = false;
    let node = Node::new(site);
    let loose = |name: &str| node.entry(name).from.load() & ServerEntry::LOOSE != 0;
    assert!(!loose("web1") && loose("web2"));
}

#[test]
fn clients_come_back_to_no_pool_that_only_stands_in() {
    let mut site = shop(&["web1", "web2", "web3", "web4"]);
    let service = &mut site.clusters[0].services[0];
    service.pools = vec!["sorry".into(), "busy".into(), "near".into()];
    for (server, pool) in service.servers.iter_mut().zip(0..) {
        server.pool = pool;
    }
    service.sorry = Some(1);
    let rule = |when, pool| Rule { when, pool };
    let near = Condition::From(vec![Prefix { address: [203, 0, 113, 0].into(), bits: 24 }]);
    service.rules = vec![rule(near, 3), rule(Condition::Rate(9), 2), rule(Condition::Active(9), 3)];
    let node = Node::new(site);
    let loose = |name: &str| node.entry(name).from.load() & ServerEntry::LOOSE != 0;
    assert_eq!(["web1", "web2", "web3", "web4"].map(loose), [false, true, true, false]);
}

#[test]
fn a_server_that_goes_down_while_tables_move_loses_its_flows_and_no_other_does() {
    let mut large = shop(&["web1", "web2", "web3"]);
    large.tables.flows = 1 << 15;
    let (node, flows) = busy(large);
    let mut next = Node::empty(&Sizes { flow_buckets: node.sizes.flow_buckets * 2, ..node.sizes });
    next.rulings.rule(node.identities("web2")[0], down(OnDown::Rehash));
    next.apply(node.site.clone()).unwrap();
    carry((&node.tables, &node.sizes), (&next.tables, &next.sizes), ground::NOW.0 as u32);
    assert_only_these_moved(&next, &flows, &["web2"]);
    let kept = flows.values().filter(|server| *server == "web1").count() as u64;
    assert_eq!(next.entry("web1").active.load(), kept);
}

/// Two services that lose servers at once.
fn farm() -> (Node, Vec<(Flow, String)>) {
    let site = site(vec![
        cluster("shop", 80, vec![service(80, &["web1", "web2", "web3"]), service(443, &["web1", "web2"])]),
        cluster("mail", 81, vec![service(25, &["web1", "mx1", "mx2"])]),
    ]);
    let node = Node::new(site);
    let keys = (0..40).flat_map(|n| [flow(80, n, 80), flow(80, n, 443), flow(81, n, 25)]);
    let flows = keys.map(|flow| (flow, node.establish(flow))).collect();
    (node, flows)
}

/// Writes what was found, with a look before each access.
fn watched(node: &mut Node, servers: Vec<u64>, look: impl Fn(&geminus_packet::heap::HeapTables, u64)) -> u64 {
    let Node { tables, planner, site, overrides, rulings, links, .. } = node;
    let wanted = ground::wanted(site, overrides, rulings, links);
    let watched = Watched::new(tables, |access| look(tables, access));
    let changed = Changed { servers, services: Vec::new() };
    planner.adjust(&watched, &wanted, &changed, || ()).unwrap();
    watched.accesses()
}

#[test]
fn whatever_is_down_is_marked_before_the_first_ring_is_switched() {
    let (mut node, _) = farm();
    let servers = node.rule("web1", down(OnDown::Rehash));
    let numbers: Vec<_> =
        servers.iter().map(|&identity| node.planner.server_number(identity).unwrap()).collect();
    let services: Vec<_> = node.planner.services.values().copied().collect();
    let rings = |tables: &geminus_packet::heap::HeapTables| -> Vec<u64> {
        services.iter().map(|&number| tables.service(number).unwrap().ring.load()).collect()
    };
    let before = rings(&node.tables);
    let accesses = watched(&mut node, servers, |tables, access| {
        let marked = numbers
            .iter()
            .filter(|&&number| tables.server(number).unwrap().from.load() & ServerEntry::DOWN != 0);
        assert!(rings(tables) == before || marked.count() == 3, "access {access}");
    });
    assert!(accesses > 10);
    assert_ne!(rings(&node.tables), before);
}

#[test]
fn between_any_two_writes_nobody_elses_flow_moves() {
    for on_down in DOWN {
        for (name, ruling) in
            [("web1", down(on_down)), ("web1", Ruling { weight: Some(500), ..Ruling::default() })]
        {
            let (mut node, flows) = farm();
            let site = node.site.clone();
            let servers = node.rule(name, ruling);
            watched(&mut node, servers, |tables, access| {
                for (flow, server) in flows.iter().skip(access as usize % 7).step_by(11) {
                    let mut asked = Watched::new(tables, |_| ());
                    asked.dry = true;
                    let sent = ground::send(&asked, &site, &flow.segment());
                    let stays = sent == Sent::To(server.clone(), "established");
                    let moves = matches!(&sent, Sent::To(now, "unknown") if now != name);
                    let told = on_down == OnDown::Reset && sent == Sent::Passed("reset");
                    let own = server == name && ruling.down.is_some();
                    assert!(
                        stays || own && (moves || told),
                        "{ruling:?}, access {access}: {sent:?} of {server}"
                    );
                    let new = Flow { source_port: 7, ..*flow };
                    let sent = ground::send(&asked, &site, &new.syn());
                    // Where more slots in a row than a packet looks at are those of who is down, for a moment.
                    let for_a_moment = sent == Sent::Dropped("servers-down");
                    assert!(
                        matches!(&sent, Sent::To(now, _) if ruling.down.is_none() || now != name || stays)
                            || for_a_moment,
                        "{ruling:?}, access {access}: {sent:?}"
                    );
                }
            });
        }
    }
}

#[test]
fn whoever_is_killed_while_a_server_goes_down_leaves_it_to_the_next_to_give_its_flows_up() {
    let mut at = 0;
    loop {
        let (mut node, flows) = farm();
        let first = generation(&node, "mx1");
        let servers = node.rule("mx1", down(OnDown::Rehash));
        let killed = catch_unwind(AssertUnwindSafe(|| {
            watched(&mut node, servers, |_, access| {
                if access == at {
                    resume_unwind(Box::new("killed"));
                }
            })
        }))
        .is_err();
        node.planner = Planner::adopt(&node.tables, &node.sizes);
        node.reload().unwrap();
        for (flow, server) in flows {
            let sent = node.send(&flow.segment());
            if server == "mx1" {
                assert!(
                    matches!(&sent, Sent::To(now, "unknown") if now != "mx1"),
                    "killed at {at}: {sent:?}"
                );
            } else {
                assert_eq!(sent, Sent::To(server, "established"), "killed at {at}");
            }
        }
        assert!((1..=2).contains(&(generation(&node, "mx1") - first)), "killed at {at}");
        if !killed {
            break;
        }
        at += 1;
    }
    assert!(at > 10, "{at} accesses");
}

#[test]
fn a_thousand_weights_at_once_are_one_ring_for_each_service() {
    let names: Vec<_> = (0..1000).map(|n| format!("web{n}")).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let mut site = shop(&names);
    site.clusters[0].services[0].ring_slots = 4093;
    site.clusters[0].services.push(service(443, &["tls1", "tls2"]));
    let mut node = Node::new(site);
    let servers: Vec<_> = (0..1000_u16)
        .flat_map(|n| node.rule(&format!("web{n}"), Ruling { weight: Some(100 + n), ..Ruling::default() }))
        .collect();
    let slots = |node: &Node| {
        let cluster = &node.site.clusters[0];
        let of = |service| node.planner.services[&service_identity(cluster, service)];
        let mut rings =
            cluster.services.iter().map(of).map(|number| node.tables.service(number).unwrap().ring.load());
        [rings.next().unwrap(), rings.next().unwrap()]
    };
    let before = slots(&node);
    let wanted = ground::wanted(&node.site, &node.overrides, &node.rulings, &node.links);
    let mut graces = 0;
    let changed = Changed { servers, services: Vec::new() };
    node.planner.adjust(&node.tables, &wanted, &changed, || graces += 1).unwrap();
    assert_eq!(graces, 1, "one ring was given up, all at once");
    let after = slots(&node);
    assert!(before[0] != after[0] && before[1] == after[1]);
}
