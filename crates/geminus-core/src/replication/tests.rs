//! What two dispatchers owe each other.

mod ground;
mod hostile;

use std::time::Duration;

use geminus_packet::flow::State;

use self::ground::{Flow, Node, Pair, cluster, flow, roomy_shop, service, shop, site, sticky};
use super::limits::{KEEP_ALIVE, PENDING, SILENCE, SWEEP};
use super::*;
use crate::ha::SyncView;

const ALPHA: usize = 0;
const BETA: usize = 1;

/// Flows that alpha gave to servers, in the order of their numbers.
fn established(pair: &Pair, flows: impl Iterator<Item = Flow>) -> Vec<(Flow, String)> {
    flows.map(|flow| (flow, pair.establish(ALPHA, flow))).collect()
}

fn assert_same_server_after_takeover(pair: &Pair, flows: &[(Flow, String)]) {
    pair.take_over(BETA);
    for (flow, server) in flows {
        assert_eq!(pair.segment(BETA, *flow).as_ref(), Some(server), "{flow:?}");
    }
}

#[test]
fn a_copied_table_gives_every_flow_the_same_server() {
    let mut pair = Pair::new(&roomy_shop());
    let flows = established(&pair, (0..20_000).map(flow));
    pair.connect();
    pair.until_complete();
    pair.assert_equal_tables();
    assert_eq!(pair.numbers(ALPHA).acknowledged, 20_000);
    assert_same_server_after_takeover(&pair, &flows);
}

#[test]
fn a_client_stays_with_its_server_on_the_other_dispatcher() {
    let mut pair = Pair::complete(&shop());
    let clients = established(&pair, (0..500).map(sticky));
    pair.steps(3);
    pair.take_over(BETA);
    for (flow, server) in clients {
        let next = Flow { source_port: 50_000, ..flow };
        assert_eq!(pair.syn(BETA, next), Some(server), "{flow:?}");
    }
}

#[test]
fn a_new_flow_is_known_on_the_other_dispatcher_two_steps_later() {
    let mut pair = Pair::complete(&shop());
    for n in 0..50 {
        let server = pair.establish(ALPHA, flow(n));
        pair.steps(2);
        assert_eq!(pair.remembers(BETA, flow(n)).expect("known").0, format!("{server}:80"));
    }
    let numbers = pair.numbers(ALPHA);
    assert!(numbers.lag_p99 <= Duration::from_millis(20), "{numbers:?}");
    assert_eq!((numbers.pending, numbers.refused), (0, 0));
}

#[test]
fn a_flow_promoted_during_the_copy_is_not_lost() {
    let mut pair = Pair::new(&roomy_shop());
    let mut flows = established(&pair, (0..20_000).map(flow));
    pair.connect();
    pair.speed = 2;
    let mut next = 20_000;
    while pair.view(BETA) != SyncView::Complete || pair.view(ALPHA) != SyncView::Complete {
        flows.extend(established(&pair, (next..next + 50).map(flow)));
        next += 50;
        pair.step();
        assert!(next < 100_000, "the copy ends");
    }
    assert!(next > 20_500, "the copy took a while: {next}");
    pair.steps(3);
    pair.assert_equal_tables();
    assert_same_server_after_takeover(&pair, &flows);
}

#[test]
fn a_copy_tells_how_far_it_is() {
    let mut pair = Pair::new(&roomy_shop());
    established(&pair, (0..20_000).map(flow));
    assert_eq!(pair.view(BETA), SyncView::Down);
    pair.connect();
    pair.speed = 2;
    let mut seen = Vec::new();
    while pair.view(BETA) != SyncView::Complete {
        pair.step();
        if let SyncView::Copying(percent) = pair.view(BETA) {
            seen.push(percent);
        }
    }
    assert!(seen.is_sorted() && seen.iter().any(|percent| (20..80).contains(percent)), "{seen:?}");
}

#[test]
fn a_removed_server_s_flow_is_not_resurrected() {
    let all = shop();
    let mut without = all.clone();
    without.clusters[0].services[0].servers.remove(0);
    let mut pair = Pair::complete(&all);
    let flows = established(&pair, (0..300).map(flow));
    let of_web1 = |flow: &&(Flow, String)| flow.1 == "web1";
    assert!(flows.iter().filter(of_web1).count() > 50);

    // Beta has given the server up and has it back, while what alpha says of it is still on its way.
    pair.nodes[BETA].apply(without.clone());
    pair.steps(3);
    assert!(pair.numbers(BETA).unknown >= 100, "{:?}", pair.numbers(BETA));
    pair.steps(200);
    pair.reconfigure(BETA, all.clone());
    pair.steps(2);
    for (flow, _) in flows.iter().filter(of_web1) {
        assert_eq!(pair.remembers(BETA, *flow), None);
    }
    // Alpha follows: its own flows to that server are gone, and stay so.
    pair.reconfigure(ALPHA, without);
    pair.reconfigure(ALPHA, all);
    pair.until_complete();
    pair.disconnect();
    pair.connect();
    pair.until_complete();
    for at in [ALPHA, BETA] {
        for (flow, _) in flows.iter().filter(of_web1) {
            assert_eq!(pair.remembers(at, *flow), None);
        }
    }
    // The others never left, and new ones come.
    pair.assert_equal_tables();
    established(&pair, (1000..1100).map(flow));
    pair.steps(3);
    pair.assert_equal_tables();
}

#[test]
fn a_server_that_came_back_gets_the_flows_that_still_have_packets() {
    let all = shop();
    let mut without = all.clone();
    without.clusters[0].services[0].servers.remove(0);
    let mut pair = Pair::complete(&all);
    let flows = established(&pair, (0..30).map(flow));
    pair.steps(3);
    pair.nodes[BETA].apply(without);
    // A flow of the removed server comes, so that beta looks, and sees that the server is gone.
    established(&pair, (100..130).map(flow));
    pair.steps(100);
    pair.nodes[BETA].apply(all);
    established(&pair, (200..230).map(flow));
    pair.steps(100);
    for _ in 0..SWEEP.as_secs() + 2 {
        for (flow, server) in &flows {
            assert_eq!(pair.segment(ALPHA, *flow).as_ref(), Some(server));
        }
        pair.steps(100);
    }
    assert_same_server_after_takeover(&pair, &flows);
}

#[test]
fn an_overflown_queue_ends_in_equal_tables() {
    let mut pair = Pair::complete(&shop());
    pair.speed = 0;
    established(&pair, (0..3000).map(flow));
    // Noted more often than may wait, while the wire stands still.
    let ground = Ground::new(&pair.nodes[ALPHA].tables, ground::RATE, pair.ticks()).expect("filled");
    let session = pair.sessions[ALPHA].as_mut().expect("connected");
    for _ in 0..PENDING / 3000 + 1 {
        let journal = pair.nodes[ALPHA].tables.journals().next().expect("one");
        journal.read(0, |slot| session.promoted(slot, &ground, pair.now));
        assert!(session.numbers().pending <= PENDING as u64);
    }
    assert!(pair.numbers(ALPHA).resyncs > 0);
    assert_ne!(pair.view(ALPHA), SyncView::Complete);
    pair.speed = usize::MAX;
    pair.until_complete();
    pair.assert_equal_tables();
}

#[test]
fn an_overwritten_journal_ends_in_equal_tables() {
    let mut pair = Pair::complete(&shop());
    established(&pair, (0..9000).map(flow));
    pair.step();
    assert_eq!(pair.numbers(ALPHA).resyncs, 1);
    pair.until_complete();
    pair.assert_equal_tables();
}

#[test]
fn a_pinned_flow_stays_pinned() {
    let mut pair = Pair::complete(&shop());
    let flows = established(&pair, (0..400).map(flow));
    pair.steps(3);
    let pinned = |pair: &Pair, at: usize| -> Vec<_> {
        flows.iter().map(|(flow, _)| pair.remembers(at, *flow).expect("known").1).collect()
    };
    let (here, there) = (pinned(&pair, ALPHA), pinned(&pair, BETA));
    assert!(here.iter().filter(|pinned| **pinned).count() > 100);
    assert_eq!(here, there);
}

#[test]
fn what_the_partner_learned_while_it_was_active_comes_back() {
    let mut pair = Pair::complete(&shop());
    let before = established(&pair, (0..200).map(flow));
    pair.steps(3);
    // Alpha dies with its tables; beta goes on alone, and then alpha is back with nothing.
    pair.disconnect();
    pair.take_over(BETA);
    let during: Vec<_> = (200..400).map(|n| (flow(n), pair.establish(BETA, flow(n)))).collect();
    pair.nodes[ALPHA] = Node::new("alpha", shop());
    pair.connect();
    pair.until_complete();
    pair.take_over(ALPHA);
    for (flow, server) in before.iter().chain(&during) {
        assert_eq!(pair.segment(ALPHA, *flow).as_ref(), Some(server));
    }
}

#[test]
fn a_flow_that_the_yielding_one_learns_last_goes_on_at_the_new_one() {
    let mut pair = Pair::complete(&shop());
    let first = pair.syn(ALPHA, flow(1)).expect("forwarded");
    // Make before break: both forward for a moment.
    pair.nodes[BETA].set_active(1, true);
    assert_eq!(pair.segment(ALPHA, flow(1)), Some(first.clone()));
    pair.steps(2);
    pair.nodes[ALPHA].set_active(1, false);
    assert_eq!(pair.segment(BETA, flow(1)), Some(first));
}

#[test]
fn what_forwards_is_not_told_what_it_knows_better() {
    let mut pair = Pair::complete(&shop());
    let first = pair.establish(ALPHA, flow(1));
    pair.steps(3);
    // The client ends it and connects again from the same port: another server.
    pair.fin(ALPHA, flow(1));
    let second = pair.establish(ALPHA, flow(1));
    assert_ne!(first, second);
    pair.disconnect();
    // Beta has heard nothing of that, and copies its whole table to alpha.
    pair.connect();
    pair.until_complete();
    assert_eq!(pair.segment(ALPHA, flow(1)).as_ref(), Some(&second));
    assert_eq!(pair.remembers(BETA, flow(1)).expect("known").0, format!("{second}:80"));
}

#[test]
fn in_mutual_mode_each_is_told_of_the_other_s_flows() {
    let site = site(vec![
        cluster("shop", 80, "alpha", vec![service(80, &["web1", "web2", "web3"])]),
        cluster("mail", 25, "beta", vec![service(25, &["mx1", "mx2", "mx3"])]),
    ]);
    let mut pair = Pair::complete(&site);
    let mails = |n| Flow { address: 25, port: 25, ..flow(n) };
    let shops: Vec<_> = (0..200).map(|n| (flow(n), pair.establish(ALPHA, flow(n)))).collect();
    let mailed: Vec<_> = (0..200).map(|n| (mails(n), pair.establish(BETA, mails(n)))).collect();
    pair.steps(3);
    pair.assert_equal_tables();
    for group in [1, 2] {
        pair.nodes[ALPHA].set_active(group, true);
        pair.nodes[BETA].set_active(group, false);
    }
    for (flow, server) in shops.iter().chain(&mailed) {
        assert_eq!(pair.segment(ALPHA, *flow).as_ref(), Some(server));
    }
}

#[test]
fn what_the_partner_does_not_share_is_not_its_business() {
    let mut alone = cluster("alone", 90, "alpha", vec![service(80, &["own1", "own2"])]);
    alone.backup = None;
    let mut site = shop();
    site.clusters.push(alone);
    let mut pair = Pair::complete(&site);
    pair.nodes[ALPHA].set_active(0, true);
    for n in 0..50 {
        pair.establish(ALPHA, Flow { address: 90, ..flow(n) });
        pair.establish(ALPHA, flow(n));
    }
    pair.steps(3);
    assert_eq!(pair.numbers(ALPHA).sent, 50);
    assert_eq!(pair.nodes[BETA].flows().len(), 50);
}

#[test]
fn a_long_lived_flow_does_not_age_on_the_standby() {
    let mut pair = Pair::complete(&shop());
    let flows = established(&pair, (0..20).map(flow));
    let idle = pair.establish(ALPHA, flow(1000));
    for _ in 0..3 * SWEEP.as_secs() {
        pair.steps(100);
        flows.iter().for_each(|(flow, _)| drop(pair.segment(ALPHA, *flow)));
    }
    let ground = Ground::new(&pair.nodes[BETA].tables, ground::RATE, pair.ticks()).expect("filled");
    let mut ages = Vec::new();
    Scan::default().walk(&ground, u64::MAX, || true, |_, _, found| ages.push(ground.age(found.note)));
    ages.sort_unstable();
    assert_eq!(ages.len(), 21);
    let limit = SWEEP + SWEEP / 10;
    assert!(ages[..20].iter().all(|age| *age <= limit), "{ages:?}");
    assert!(ages[20] > 2 * SWEEP, "{ages:?}");
    assert_eq!(pair.remembers(BETA, flow(1000)).expect("kept").0, format!("{idle}:80"));
}

#[test]
fn an_ended_flow_is_known_to_have_ended() {
    let mut pair = Pair::complete(&shop());
    pair.establish(ALPHA, flow(1));
    pair.steps(3);
    pair.fin(ALPHA, flow(1));
    pair.steps((SWEEP.as_millis() / 10) as usize + 100);
    let ground = Ground::new(&pair.nodes[BETA].tables, ground::RATE, pair.ticks()).expect("filled");
    let mut states = Vec::new();
    Scan::default().walk(&ground, u64::MAX, || true, |_, _, found| states.push(found.note.state()));
    assert_eq!(states, [State::Closing as u8]);
}

#[test]
fn moving_to_other_tables_ends_in_equal_tables() {
    let mut pair = Pair::complete(&shop());
    let flows = established(&pair, (0..500).map(flow));
    pair.steps(3);
    let mut larger = shop();
    larger.tables.flows *= 4;
    larger.clusters.insert(0, cluster("first", 70, "alpha", vec![service(1, &["x", "y"])]));
    pair.nodes[BETA] = Node::new("beta", larger);
    pair.sessions[BETA].as_mut().expect("connected").tables_replaced();
    pair.speed = 1;
    pair.steps(2);
    assert_ne!(pair.view(BETA), SyncView::Complete);
    pair.speed = usize::MAX;
    pair.until_complete();
    assert_same_server_after_takeover(&pair, &flows);
}

#[test]
fn another_configuration_is_told_line_by_line_and_what_is_common_is_replicated() {
    let mut pair = Pair::complete(&shop());
    assert_eq!(pair.events[BETA], [Event::Met, Event::SameConfig]);
    let mut other = shop();
    other.clusters[0].services[0].servers[0] = service(80, &["web9"]).servers.remove(0);
    pair.reconfigure(BETA, other);
    pair.until_complete();
    pair.steps(3);
    let lines = |of: &str| Some(vec![format!("this is {of}"), "node.alpha".to_owned()]);
    assert_eq!(pair.events[BETA].last(), Some(&Event::OtherConfig(lines("alpha"))));
    assert_eq!(pair.events[ALPHA].last(), Some(&Event::OtherConfig(lines("beta"))));
    let flows = established(&pair, (0..300).map(flow));
    pair.steps(3);
    let common: Vec<_> = flows.into_iter().filter(|(_, server)| server != "web1").collect();
    assert_eq!(pair.numbers(BETA).unknown + common.len() as u64, 300);
    assert_eq!(pair.numbers(ALPHA).refused, pair.numbers(BETA).unknown);
    assert_same_server_after_takeover(&pair, &common);
    pair.reconfigure(BETA, shop());
    pair.until_complete();
    assert_eq!(pair.events[BETA].last(), Some(&Event::SameConfig));
    assert_eq!(pair.events[ALPHA].last(), Some(&Event::SameConfig));
}

#[test]
fn a_partner_that_says_nothing_is_gone() {
    let mut pair = Pair::complete(&shop());
    pair.steps((2 * SILENCE.as_millis() / 10) as usize);
    let session = pair.sessions[ALPHA].as_ref().expect("connected");
    assert_eq!(session.check(pair.now), Ok(()), "keep-alives came");
    let later = pair.now + SILENCE + KEEP_ALIVE;
    assert_eq!(session.check(later), Err(Broken::Silent { partner: "beta".into() }));
}

#[test]
fn an_idle_pair_says_little() {
    let mut pair = Pair::complete(&shop());
    let flows = established(&pair, (0..100).map(flow));
    pair.steps(3);
    let before = pair.numbers(ALPHA).sent;
    for _ in 0..3 {
        flows.iter().for_each(|(flow, _)| drop(pair.segment(ALPHA, *flow)));
        pair.steps((SWEEP.as_millis() / 10) as usize);
    }
    let sent = pair.numbers(ALPHA).sent - before;
    assert!((100..=600).contains(&sent), "each flow about once a sweep: {sent}");
}

#[test]
fn who_is_not_whom_it_should_be_is_refused() {
    let refused = |change: &dyn Fn(&mut Pair)| {
        let mut pair = Pair::new(&shop());
        established(&pair, (0..10).map(flow));
        change(&mut pair);
        pair.connect();
        pair.steps(3);
        assert!(pair.nodes[BETA].flows().is_empty());
        pair.broken.first().cloned().expect("refused")
    };
    let named = refused(&|pair| pair.nodes[ALPHA].name = "gamma");
    assert_eq!(named, Broken::Name { partner: "alpha".into(), theirs: "gamma".into() });
    let keyed = refused(&|pair| {
        pair.nodes[ALPHA] = Node::with_key("alpha", shop(), [9; 32]);
    });
    assert!(matches!(&keyed, Broken::SiteKey { .. }), "{keyed:?}");
    assert!(named.hint().is_some() && keyed.hint().is_some());
}
