//! A node with a partner: the heartbeat thread is played by the test.

use super::*;
use crate::ha::{
    Cause, GroupView, HaEvent, HaView, Input as Said, PathView, PeerView, ReachScore, Role, Standing as Word,
    SyncView,
};
use crate::model::Path;

const STRANGER: Mac = Mac([2, 9, 9, 9, 9, 9]);
const PARTNERS: Mac = Mac([2, 0, 0, 0, 0, 0xbb]);

fn with_backup(cluster: Cluster, backup: &str) -> Cluster {
    Cluster { backup: Some(backup.into()), ..cluster }
}

fn shared() -> Cluster {
    with_backup(shop(), "beta")
}

fn pair(clusters: Vec<Cluster>) -> Setting {
    let mut setting = Setting::new(clusters);
    setting.site.ha.paths = vec![path(v4(11), v4(12)), path(v6(11), v6(12))];
    setting
}

fn path(one: IpAddr, other: IpAddr) -> Path {
    Path { nodes: [NODE.into(), "beta".into()], addresses: [one, other] }
}

fn view(standing: Word, since: u64, sync: SyncView) -> HaView {
    let partner = if standing == Word::Active { Word::Standby } else { Word::Active };
    let path = PathView { heard: None, up: true, heard_by_peer: true, loss: 0.0, round_trip: None };
    HaView {
        groups: vec![GroupView {
            number: 1,
            role: Role::Primary,
            standing,
            since: at(since),
            because: "the partner gave it up".into(),
            epoch: 7,
            lease: LEASE,
            partner: Some(partner),
            waiting: None,
        }],
        peers: vec![PeerView {
            name: "beta".into(),
            state: "alive",
            paths: vec![path, path],
            reach: ReachScore::default(),
            fit: true,
            sync,
            same_config: Some(true),
        }],
        reach: ReachScore::default(),
        late: 0,
        latest: Duration::ZERO,
    }
}

fn changed(from: Word, to: Word, cause: Cause) -> Input {
    Input::Twin(HaEvent::Changed {
        group: 1,
        name: "shop".into(),
        from,
        to,
        cause,
        lasted: Duration::from_millis(51),
        epoch: 8,
    })
}

impl World {
    fn told(&self) -> Vec<Said> {
        let said = |(_, effect): &(u64, Effect)| match effect {
            Effect::Twin(said) => Some(said.clone()),
            _ => None,
        };
        self.seen.iter().filter_map(said).collect()
    }

    fn messages(&self) -> Vec<String> {
        let message = |(_, effect): &(u64, Effect)| match effect {
            Effect::Tell(event) => Some(event.message.clone()),
            _ => None,
        };
        self.seen.iter().filter_map(message).collect()
    }

    fn shows(&mut self, standing: Word, since: u64) -> &mut Self {
        self.hear(Input::TwinView(view(standing, since, SyncView::Complete)))
    }

    fn take_over(&mut self, cluster: Option<&str>) -> &mut Self {
        let cluster = cluster.map(str::to_owned);
        self.hear(Input::Takeover { ticket: Ticket(3), cluster, force: false })
    }

    fn again(&self, wanted: Option<IpAddr>) -> usize {
        self.times(|effect| matches!(effect, Effect::TwinAgain { address } if *address == wanted)).len()
    }
}

fn is_site(effect: &Effect) -> bool {
    *effect == Effect::TwinSite
}

#[test]
fn an_order_names_the_partner_that_does_not_know_of_it() {
    let mut world = pair(vec![shared()]).start();
    world.run(2_000).order("web1", Wish::Drain).run(2_100);
    let answer = world.answers()[0].clone().expect("web1 is a server");
    assert!(answer.iter().any(|line| line.starts_with("beta is not told")), "{answer:?}");
    let mut world = Setting::new(vec![shop()]).start();
    world.run(2_000).order("web1", Wish::Drain).run(2_100);
    assert_eq!(world.answers()[0].as_ref().map(Vec::len), Ok(1), "nobody else serves it");
}

#[test]
fn a_node_without_a_partner_has_nothing_to_do_with_the_thread() {
    let mut world = Setting::new(vec![shop()]).start();
    world.run(10_000).reload(vec![shop()]).run(12_000);
    let to_thread =
        |effect: &Effect| matches!(effect, Effect::Twin(_) | Effect::TwinSite | Effect::TwinAgain { .. });
    assert_eq!(world.times(to_thread), []);
    assert!(world.director.twin_config().is_none());
}

#[test]
fn a_shared_cluster_is_leased_and_announced_by_the_thread_alone() {
    let mut world = pair(vec![shared()]).start();
    world.run(10_000).shows(Word::Active, 10_000).run(40_000);
    assert_eq!(world.times(is_renewal), []);
    assert_eq!(world.announced(v4(80)), []);
    assert_eq!(world.times(|effect| *effect == Effect::Ready).len(), 1);
    assert!(world.active());
}

#[test]
fn a_cluster_of_our_own_beside_a_shared_one_is_still_ours() {
    let own = cluster("own", NODE, &[v4(90)], &[("web9", v4(29))]);
    let mut world = pair(vec![shared(), own]).start();
    world.run(1_000);
    assert!(!world.times(is_renewal).is_empty());
    assert!(!world.announced(v4(90)).is_empty());
    assert_eq!(world.announced(v4(80)), []);
    let own = &world.director.site().clusters[1];
    assert!(world.director.standing(own).active);
}

#[test]
fn the_standby_knows_its_servers_before_it_needs_them() {
    let theirs = with_backup(cluster("shop", "beta", &[v4(80)], &[("web1", v4(21))]), NODE);
    let mut world = pair(vec![theirs]).start();
    world.run(1_000);
    assert_eq!(world.director.reach(v4(21)), Some(Reach::Neighbour { interface: ETH, mac: mac_of(v4(21)) }));
    assert_eq!(world.director.standing(&world.director.site().clusters[0]).role, Some(Role::Backup));
}

#[test]
fn the_thread_learns_what_the_node_is_able_to() {
    let mut world = pair(vec![shared()]).start();
    world.run(5_000);
    let fit = |link, warm| Said::Fit { link, warm };
    assert_eq!(world.told(), [fit(true, false), fit(true, true)]);
    world.forget();
    world.hear(Input::Interface(interface(OUR_MAC, false))).run(6_000);
    world.hear(Input::Interface(interface(OUR_MAC, true))).run(7_000);
    assert_eq!(world.told(), [fit(false, true), fit(true, true)]);
    assert_eq!(world.again(None), 1);
    world.forget();
    world.hear(Input::InterfaceGone(ETH)).run(8_000);
    world.hear(Input::Interface(Interface { index: 9, ..interface(OUR_MAC, true) })).run(9_000);
    assert_eq!(world.told(), [fit(false, true), fit(true, true)]);
    assert!(!world.times(is_site).is_empty());
}

#[test]
fn a_data_plane_that_forwards_for_a_group_is_warm_from_the_first_moment() {
    let mut setting = pair(vec![shared()]).mute(&[v4(21)]).adopted(Duration::ZERO);
    setting.group_lease_remaining = Duration::from_secs(3);
    let mut world = setting.start();
    world.act();
    assert_eq!(world.told(), [Said::Fit { link: true, warm: true }]);
}

#[test]
fn the_standing_is_what_the_thread_shows() {
    let mut world = pair(vec![shared()]).start();
    world.run(1_000);
    let shop = world.director.site().clusters[0].clone();
    assert_eq!(world.director.standing(&shop).standing, Word::Starting);
    world.shows(Word::Standby, 400);
    let standing = world.director.standing(&shop);
    assert_eq!(
        (standing.active, standing.standing, standing.because.as_str()),
        (false, Word::Standby, "beta gave it up")
    );
    assert_eq!((standing.partner_standing, standing.epoch, standing.group), (Some(Word::Active), 7, 1));
    assert_eq!(standing.partner.as_deref(), Some("beta"));
    assert!(standing.failover.is_some_and(|failover| failover.ready));
}

#[test]
fn every_change_of_hands_says_what_why_and_how_long() {
    let mut world = pair(vec![shared()]).start();
    world.run(1_000).forget();
    let silence = Cause::Silence { silent: Duration::from_millis(203), probes: 20 };
    world.hear(changed(Word::Standby, Word::Suspecting, silence.clone()));
    world.hear(changed(Word::Suspecting, Word::Active, silence));
    world.hear(changed(Word::Suspecting, Word::Standby, Cause::PartnerClaims));
    world.hear(changed(Word::Active, Word::Yielding, Cause::Stopping));
    world.hear(Input::Twin(HaEvent::Duel { group: 1, won: true, lasted: Duration::from_millis(60) }));
    assert_eq!(
        world.messages(),
        [
            "beta, which is active for shop, is suspected: beta silent for 203 ms on 2 paths, 20 probes unanswered",
            "active for shop: beta silent for 203 ms on 2 paths, 20 probes unanswered; decided 51 ms after the first \
             suspicion, epoch 8",
            "beta answers again after 51 ms: it keeps shop",
            "shop given up: this node leaves; active for 51 ms before; what still comes is forwarded",
            "beta and this node were both active for shop for 60 ms; beta gave way, and every address is announced again",
        ]
    );
    use EventKind::{Duel, Suspecting, Unsuspected, WentActive, Yielded};
    assert_eq!(world.events(), [Suspecting, WentActive, Unsuspected, Yielded, Duel]);
}

#[test]
fn a_hand_over_that_was_ordered_is_no_duel_but_one_after_a_silence_is() {
    let duel = || Input::Twin(HaEvent::Duel { group: 1, won: false, lasted: Duration::ZERO });
    let mut world = pair(vec![shared()]).start();
    world.run(1_000).hear(Input::Twin(HaEvent::PeerUp { peer: 0 })).run(1_010).forget();
    world.hear(duel());
    assert_eq!(world.events(), []);
    world.hear(Input::Twin(HaEvent::PeerDown { peer: 0, mute: false })).run(9_000);
    world.hear(Input::Twin(HaEvent::PeerUp { peer: 0 })).forget();
    world.hear(duel());
    assert_eq!(
        world.messages(),
        [
            "beta and this node were both active for shop while they did not hear each other; this node gives way to beta"
        ]
    );
}

#[test]
fn a_partner_that_starts_at_the_same_time_is_not_told_to_be_silent() {
    let mute = || Input::Twin(HaEvent::PeerDown { peer: 0, mute: true });
    let mut world = pair(vec![shared()]).start();
    world.run(1_000).hear(mute()).run(1_100).hear(Input::Twin(HaEvent::PeerUp { peer: 0 })).run(5_000);
    assert!(!world.events().contains(&EventKind::PartnerDown));
    world.hear(mute());
    assert_eq!(world.events().last(), Some(&EventKind::PartnerDown));
    let mut world = pair(vec![shared()]).start();
    world.run(1_000).hear(mute()).run(5_000);
    assert_eq!(world.events().iter().filter(|&&kind| kind == EventKind::PartnerDown).count(), 1);
}

#[test]
fn an_event_of_a_partner_that_is_no_more_is_told_all_the_same() {
    let mut world = pair(vec![shared()]).start();
    world.run(1_000).forget();
    world.hear(Input::Twin(HaEvent::PathDown { peer: 9, path: 9 }));
    world.hear(Input::Twin(HaEvent::Isolated { group: 99 }));
    assert_eq!(world.events(), [EventKind::PathDown, EventKind::Isolated]);
}

#[test]
fn forgeries_cannot_fill_the_journal() {
    let mut world = pair(vec![shared()]).start();
    world.run(1_000).forget();
    for _ in 0..10_000 {
        world.hear(Input::TwinSecurity("a heartbeat from 198.51.100.12 has a wrong tag".into()));
    }
    assert!(world.events().len() <= 20, "{}", world.events().len());
    world.run(20_000);
    assert!(world.messages().last().is_some_and(|last| last.starts_with("and 9980 more twin-security")));
}

#[test]
fn replication_that_is_complete_or_no_longer_is_told_once() {
    let mut world = pair(vec![shared()]).start();
    world.run(1_000).forget();
    for sync in
        [SyncView::Down, SyncView::Copying(43), SyncView::Complete, SyncView::Complete, SyncView::Down]
    {
        world.hear(Input::TwinView(view(Word::Active, 400, sync)));
    }
    assert_eq!(world.events(), [EventKind::SyncComplete, EventKind::SyncLost]);
}

#[test]
fn a_difference_of_configurations_is_told_with_its_lines_and_forgotten_when_it_ends() {
    let mut world = pair(vec![shared()]).start();
    world.run(1_000).forget();
    let lines = vec!["cluster shop: ping true -> false".to_owned(), "lease 5000 ms -> 2000 ms".to_owned()];
    for _ in 0..3 {
        world.hear(Input::ConfigDifference { peer: 0, lines: lines.clone() });
    }
    assert_eq!(
        world.messages(),
        ["the configuration of beta differs: cluster shop: ping true -> false and 1 more"]
    );
    assert_eq!(world.director.differences(0), lines);
    world.hear(Input::Twin(HaEvent::ConfigAgrees { peer: 0 }));
    assert!(world.director.differences(0).is_empty());
}

#[test]
fn a_takeover_is_answered_when_the_node_is_active() {
    let mut world = pair(vec![shared()]).start();
    world.run(1_000).shows(Word::Standby, 400).forget();
    world.take_over(Some("shop"));
    assert_eq!(world.told(), [Said::Takeover { group: 1, force: false }]);
    assert_eq!(world.answers(), []);
    world.hear(changed(Word::Standby, Word::Active, Cause::Order));
    assert_eq!(world.answers(), [Ok(vec!["this node is active for shop".to_owned()])]);
}

#[test]
fn a_takeover_that_is_refused_says_why_and_the_way_out() {
    let mut world = pair(vec![shared()]).start();
    world.run(1_000).shows(Word::Standby, 400).forget();
    world.take_over(None);
    let (why, hint) = ("replication is not complete".to_owned(), "wait for it".to_owned());
    world.hear(Input::Twin(HaEvent::Refused { group: 1, why, hint }));
    let Some(Err(refusal)) = world.answers().pop() else { panic!("refused") };
    assert_eq!(refusal.message, "cannot take shop over: replication is not complete");
    assert_eq!(refusal.hint.as_deref(), Some("wait for it"));
}

#[test]
fn a_takeover_that_nothing_comes_of_is_answered_nevertheless() {
    let mut world = pair(vec![shared()]).start();
    world.run(1_000).shows(Word::Standby, 400).take_over(None).run(10_000);
    let answers = world.answers();
    assert!(
        matches!(&answers[..], [Err(refusal)] if refusal.message == "no takeover within 3 s"),
        "{answers:?}"
    );
}

#[test]
fn a_takeover_of_what_the_node_has_already_changes_nothing() {
    let mut world = pair(vec![shared()]).start();
    world.run(1_000).shows(Word::Active, 400).forget();
    world.take_over(None);
    assert_eq!((world.answers(), world.told()), (vec![Ok(vec![])], vec![]));
}

#[test]
fn a_takeover_of_nothing_names_what_is_wrong() {
    let own = cluster("own", NODE, &[v4(90)], &[("web9", v4(29))]);
    let mut world = pair(vec![shared(), own]).start();
    world.run(1_000);
    world.take_over(Some("shpo")).take_over(Some("own"));
    let messages: Vec<_> = world.answers().into_iter().map(|answer| answer.expect_err("refused")).collect();
    assert_eq!(messages[0].message, "no cluster shpo on this node");
    assert_eq!(messages[0].hint.as_deref(), Some("did you mean shop?"));
    assert_eq!(messages[1].message, "cluster own has no backup, so this node alone is active for it");
    let mut alone = Setting::new(vec![shop()]).start();
    alone.run(1_000).take_over(None);
    assert!(alone.answers()[0].is_err());
}

#[test]
fn a_claim_to_what_the_partner_has_is_no_news() {
    let mut world = pair(vec![shared()]).start();
    world.run(10_000).shows(Word::Standby, 400).forget();
    let claim = Claim { address: v4(80), mac: PARTNERS, evidence: Evidence::Reply };
    world.hear(Input::Claim { interface: ETH, claim });
    assert_eq!((world.events(), world.again(Some(v4(80)))), (vec![], 0));
}

#[test]
fn a_claim_by_the_partner_to_what_this_node_has_is_the_machines_matter() {
    let mut world = pair(vec![shared()]).start();
    world.run(10_000).shows(Word::Active, 400).forget();
    let own = Claim { address: v4(12), mac: PARTNERS, evidence: Evidence::Reply };
    let claim = Claim { address: v4(80), ..own };
    world.hear(Input::Claim { interface: ETH, claim: own }).hear(Input::Claim { interface: ETH, claim });
    assert_eq!((world.events(), world.again(Some(v4(80)))), (vec![], 0));
}

#[test]
fn the_partners_last_word_after_a_takeover_is_no_foreign_claim() {
    let mut world = pair(vec![shared()]).start();
    world.run(10_000).shows(Word::Active, 9_900).forget();
    let claim = Claim { address: v4(80), mac: PARTNERS, evidence: Evidence::Reply };
    world.hear(Input::Claim { interface: ETH, claim });
    assert_eq!(world.events(), []);
}

#[test]
fn a_stranger_that_claims_what_this_node_has_is_told_and_answered_but_not_without_end() {
    let mut world = pair(vec![shared()]).start();
    world.run(10_000).shows(Word::Active, 400).forget();
    let claim = Claim { address: v4(80), mac: STRANGER, evidence: Evidence::Reply };
    for _ in 0..1000 {
        world.hear(Input::Claim { interface: ETH, claim });
    }
    assert_eq!(world.events(), [EventKind::AddressClaimed]);
    assert_eq!(world.again(Some(v4(80))), 1);
    world.run(20_000).hear(Input::Claim { interface: ETH, claim });
    assert_eq!(world.again(Some(v4(80))), 2);
}

#[test]
fn leaving_waits_until_the_partner_has_taken_over() {
    let mut world = pair(vec![shared()]).start();
    world.run(5_000).shows(Word::Active, 400).forget();
    world.hear(Input::Stop { detach: false }).run(5_900);
    assert_eq!(world.told(), [Said::Stop { keep: false }]);
    let is_leave = |effect: &Effect| matches!(effect, Effect::Leave { .. });
    assert_eq!(world.times(is_leave), []);
    world.hear(Input::TwinLeft);
    assert_eq!(world.seen.last(), Some(&(5_900, Effect::Leave { keep: false })));
}

#[test]
fn leaving_does_not_wait_for_ever() {
    let mut world = pair(vec![shared()]).start();
    world.run(5_000).forget();
    world.hear(Input::Stop { detach: false }).run(60_000);
    assert_eq!(world.seen.last(), Some(&(8_000, Effect::Leave { keep: false })));
}

#[test]
fn whoever_says_it_twice_does_not_want_to_wait() {
    let mut world = pair(vec![shared()]).start();
    world.run(5_000).forget();
    world.hear(Input::Stop { detach: true }).hear(Input::Stop { detach: false });
    assert_eq!(world.seen.last(), Some(&(5_000, Effect::Leave { keep: false })));
}

#[test]
fn detaching_keeps_the_data_plane_of_a_node_that_is_active_for_a_group() {
    let mut world = pair(vec![shared()]).start();
    world.run(5_000).shows(Word::Active, 400).forget();
    world.hear(Input::Stop { detach: true }).hear(Input::TwinLeft);
    assert_eq!(world.told(), [Said::Stop { keep: true }]);
    assert_eq!(world.events(), [EventKind::Detached]);
    assert_eq!(world.seen.last(), Some(&(5_000, Effect::Leave { keep: true })));
}

#[test]
fn a_reload_tells_the_thread_the_new_site_and_the_operator_what_changed() {
    let mut world = pair(vec![shared()]).start();
    world.run(5_000).forget();
    let mut other = site(vec![shared()]);
    other.ha.paths = vec![path(v4(11), v4(12))];
    other.ha.timers.heartbeat = Duration::from_millis(20);
    world.reload_site(other).run(7_000);
    assert_eq!(world.times(is_site).len(), 1);
    let expected = ["heartbeat 50 ms -> 20 ms", "path 2001:db8:1::b - 2001:db8:1::c removed"];
    assert_eq!(world.answers(), [Ok(expected.map(str::to_owned).to_vec())]);
    assert_eq!(world.director.partners()[0].paths.len(), 1);
    assert_eq!(world.director.twin_config().map(|config| config.peers[0].paths), Some(1));
}

#[test]
fn the_first_partner_comes_and_the_last_one_goes_with_a_restart_only() {
    let mut alone = Setting::new(vec![shop()]).start();
    alone.run(5_000).reload(vec![shared()]);
    let mut world = pair(vec![shared()]).start();
    world.run(5_000).reload(vec![shop()]);
    for (answers, what) in [(alone.answers(), "first"), (world.answers(), "last")] {
        let [Err(refusal)] = &answers[..] else { panic!("{answers:?}") };
        assert!(refusal.message.contains(what), "{}", refusal.message);
    }
}
