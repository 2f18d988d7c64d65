//! Laws of two nodes on one wire.

mod found;
mod world;

use std::time::Duration;

use self::world::*;
use super::*;

#[test]
fn started_together_exactly_one_is_active_and_it_is_the_primary() {
    let mut world = World::new(|_| ());
    world.start(0);
    world.start(1);
    for _ in 0..5_000 {
        world.run(1);
        assert_ne!(world.active(), [true, true]);
    }
    assert_eq!(world.active(), [true, false]);
    assert_eq!(world.changes(1), [(Standing::Starting, Standing::Standby)]);
}

#[test]
fn the_standby_takes_over_from_a_dead_machine_within_the_detection_time() {
    let mut world = World::settled();
    world.power_off(0);
    let took = world.until_active(1, 300);
    assert!((140..=205).contains(&took), "{took} ms");
    assert_eq!(
        world.changes(1),
        [(Standing::Standby, Standing::Suspecting), (Standing::Suspecting, Standing::Active)]
    );
}

#[test]
fn a_killed_daemon_that_comes_back_costs_nothing() {
    let mut world = World::settled();
    world.kill(0);
    for _ in 0..4_000 {
        world.run(1);
        assert_eq!(world.active(), [true, false]);
    }
    world.start(0);
    for _ in 0..10_000 {
        world.run(1);
        assert_eq!(world.active(), [true, false]);
    }
    assert_eq!(world.nodes[0].plane.epoch, 1, "it went on where it was");
}

#[test]
fn a_killed_daemon_that_stays_away_is_waited_for_to_the_end_of_its_lease() {
    let mut world = World::settled();
    world.kill(0);
    let took = world.until_active(1, 6_000);
    assert!((4_850..5_000).contains(&took), "{took} ms");
    assert_eq!(world.active(), [true, true], "a moment before, so that nobody finds the door closed");
    world.run(60);
    assert_eq!(world.active(), [false, true]);
}

#[test]
fn a_stopped_daemon_wakes_up_and_gives_way() {
    let mut world = World::settled();
    world.nodes[0].stopped = true;
    world.run(10_000);
    assert_eq!(world.active(), [false, true]);
    world.nodes[0].stopped = false;
    world.nodes[0].announced.clear();
    for _ in 0..1_500 {
        world.run(1);
        assert_eq!(world.active(), [false, true]);
    }
    assert!(world.nodes[0].announced.is_empty(), "it asked before it claimed");
}

#[test]
fn a_short_pause_of_either_changes_nothing() {
    for node in [0, 1] {
        let mut world = World::settled();
        world.nodes[node].stopped = true;
        world.run(1_000);
        world.nodes[node].stopped = false;
        world.run(1_000);
        assert_eq!(world.active(), [true, false]);
        let active_changes = world.changes(0);
        assert!(active_changes.is_empty(), "{active_changes:?}");
    }
}

#[test]
fn one_cut_path_of_two_changes_nothing_but_is_told() {
    let mut world = World::settled();
    world.cut = [[false, true]; 2];
    world.run(2_000);
    assert_eq!(world.active(), [true, false]);
    assert!(world.nodes[1].told.iter().any(|(_, event)| *event == HaEvent::PathDown { peer: 0, path: 1 }));
    assert!(world.changes(1).is_empty());
}

#[test]
fn after_a_split_one_yields_and_forwards_what_is_on_its_way() {
    let mut world = World::settled_with(|config| config.recovery = Recovery::Manual);
    world.cut_all(true);
    world.run(1_000);
    assert_eq!(world.active(), [true, true], "a pair cannot know better");
    world.cut_all(false);
    world.run(100);
    assert_eq!(world.active(), [false, true]);
    assert!(world.now < world.nodes[0].plane.until, "the loser still forwards");
    world.run(5_000);
    assert_eq!(world.active(), [false, true]);
    assert!(world.nodes[1].told.iter().any(|(_, event)| matches!(event, HaEvent::Duel { won: true, .. })));
    assert!(world.nodes[0].told.iter().any(|(_, event)| matches!(event, HaEvent::Duel { won: false, .. })));
}

#[test]
fn a_one_way_cut_moves_the_group_once_at_most() {
    for from in [0, 1] {
        let mut world = World::settled_with(|config| config.recovery = Recovery::Manual);
        world.cut[from] = [true; 2];
        world.run(60_000);
        let active = world.active();
        assert_eq!(active.iter().filter(|active| **active).count(), 1, "cut from {from}: {active:?}");
        let moved = world.changes(1).iter().filter(|(_, to)| *to == Standing::Active).count();
        assert!(moved <= 1);
        world.cut_all(false);
        world.run(10_000);
        assert_eq!(world.active(), active);
    }
}

#[test]
fn a_planned_exit_is_taken_over_at_once_and_lingers() {
    let mut world = World::settled();
    world.tell(0, Input::Stop { keep: false });
    let took = world.until_active(1, 100);
    assert!(took <= 5, "{took} ms");
    assert!(world.now < world.nodes[0].plane.until && !world.nodes[0].left);
    world.run(400);
    assert!(world.nodes[0].left);
}

#[test]
fn a_detached_node_is_waited_for() {
    let mut world = World::settled();
    world.tell(0, Input::Stop { keep: true });
    assert!(world.nodes[0].left);
    world.kill(0);
    world.run(60_000);
    assert_eq!(world.active(), [true, false]);
}

#[test]
fn a_node_that_loses_its_carrier_says_so_by_the_other_path() {
    let mut world = World::settled();
    world.tell(0, Input::Fit { link: false, warm: true });
    let took = world.until_active(1, 100);
    assert!(took <= 5, "{took} ms");
    assert_eq!(world.active(), [false, true]);
}

#[test]
fn a_returned_primary_takes_back_when_replication_is_complete_and_it_has_been_well() {
    let mut world = World::settled();
    world.power_off(0);
    world.run(5_000);
    world.start(0);
    world.run(20_000);
    assert_eq!(world.active(), [false, true], "its tables are empty");
    world.tell(0, Input::Sync { peer: 0, sync: SyncView::Complete });
    world.run(1_900);
    assert_eq!(world.active(), [false, true], "not well for long enough");
    world.run(300);
    assert_eq!(world.active(), [true, false]);
}

#[test]
fn with_manual_recovery_only_an_order_takes_back() {
    let mut world = World::settled_with(|config| config.recovery = Recovery::Manual);
    world.power_off(0);
    world.run(1_000);
    world.start(0);
    world.run(60_000);
    assert_eq!(world.active(), [false, true]);
    world.tell(0, Input::Takeover { group: 1, force: false });
    let refused = |(_, event): &(u64, HaEvent)| matches!(event, HaEvent::Refused { .. });
    assert!(world.nodes[0].told.iter().any(refused), "replication is not complete");
    world.tell(0, Input::Sync { peer: 0, sync: SyncView::Complete });
    world.run(200);
    world.tell(0, Input::Takeover { group: 1, force: false });
    world.run(5);
    assert_eq!(world.active(), [true, false]);
    assert!(world.now < world.nodes[1].plane.until, "both forward for a moment");
}

#[test]
fn a_lone_node_that_reaches_nobody_waits() {
    let mut world = World::new(|config| config.reach_targets = 1);
    world.power_off(0);
    world.start(1);
    world.run(39_000);
    assert_eq!(world.active(), [false, false]);
    world.run(2_000);
    assert_eq!(world.active(), [false, true]);
}

#[test]
fn a_lone_node_that_reaches_a_target_is_active_soon() {
    let mut world = World::new(|config| config.reach_targets = 1);
    world.power_off(0);
    world.start(1);
    let arrived = world.now;
    world.tell(1, Input::Reached { target: 0, arrived });
    world.until_active(1, 400);
}

#[test]
fn the_standby_that_reaches_more_takes_over_and_equal_reach_changes_nothing() {
    let mut world = World::settled_with(|config| {
        config.reach_targets = 1;
        config.recovery = Recovery::Manual;
    });
    world.nodes.iter_mut().for_each(|node| node.told.clear());
    let answered = |world: &mut World, node: usize| {
        let arrived = world.now;
        world.tell(node, Input::Reached { target: 0, arrived });
    };
    for _ in 0..20 {
        answered(&mut world, 0);
        answered(&mut world, 1);
        world.run(100);
    }
    assert!(world.changes(0).is_empty() && world.changes(1).is_empty());
    for _ in 0..20 {
        answered(&mut world, 1);
        world.run(100);
    }
    assert_eq!(world.active(), [false, true]);
    world.run(10_000);
    assert_eq!(world.active(), [false, true], "all silent on both sides changes nothing");
}

#[test]
fn a_standby_that_is_off_the_network_itself_holds_back() {
    let mut world = World::settled_with(|config| config.reach_targets = 1);
    for _ in 0..20 {
        for node in [0, 1] {
            let arrived = world.now;
            world.tell(node, Input::Reached { target: 0, arrived });
        }
        world.run(100);
    }
    world.cut_all(true);
    for _ in 0..50 {
        let arrived = world.now;
        world.tell(0, Input::Reached { target: 0, arrived });
        world.run(100);
        assert_eq!(world.active(), [true, false]);
    }
    assert!(world.nodes[1].told.iter().any(|(_, event)| *event == HaEvent::Isolated { group: 1 }));
    world.cut_all(false);
    world.run(1_000);
    assert_eq!(world.active(), [true, false]);
}

#[test]
fn another_configuration_is_told_and_not_taken_back_over() {
    let mut world = World::settled();
    let mut other = world.config[0].clone();
    other.digest = 8;
    world.tell(0, Input::Config(other));
    world.run(200);
    let differs = |(_, event): &(u64, HaEvent)| *event == HaEvent::ConfigDiffers { peer: 0 };
    assert!(world.nodes[0].told.iter().any(differs) && world.nodes[1].told.iter().any(differs));
    assert_eq!(world.active(), [true, false]);
    assert!(world.changes(0).is_empty() && world.changes(1).is_empty());
}

#[test]
fn a_partner_whose_program_answers_before_its_daemon_is_known_is_not_reported_missing() {
    let mut ha = Ha::new(config(0), &[], Instant::START);
    let mut told = None;
    for ms in 0..400 {
        let now = Instant::START + TICK * ms;
        ha.handle_timeout(now);
        while let Some(effect) = ha.poll_effect() {
            match effect {
                Effect::Probe { path, probe } => {
                    let arrived = now + DELAY;
                    ha.handle(Input::Answer { path, arrived, probe, reports: Vec::new() }, arrived);
                }
                Effect::Tell(HaEvent::PeerDown { mute: true, .. }) => told = told.or(Some(TICK * ms)),
                _ => {}
            }
        }
    }
    let told = told.expect("its daemon never speaks");
    assert!(told >= Timers::DEFAULT.detection(), "its heartbeat was on the way: told after {told:?}");
}

#[test]
fn a_node_with_the_wrong_key_does_not_claim_what_its_partner_has() {
    let mut world = World::settled_with(|config| config.reach_targets = 1);
    world.kill(1);
    // Its keys fit no more: it hears nothing it understands, and its router answers.
    world.cut_all(true);
    world.start(1);
    for _ in 0..1_000 {
        let arrived = world.now;
        world.tell(1, Input::Reached { target: 0, arrived });
        world.tell(1, Input::Stranger);
        world.run(100);
        assert!(!world.active()[1]);
    }
    let view = world.nodes[1].ha.as_ref().expect("it runs").view(world.now);
    assert!(view.groups[0].waiting.as_ref().is_some_and(|why| why.contains("key")));
    world.run(4_000);
    let arrived = world.now;
    world.tell(1, Input::Reached { target: 0, arrived });
    world.until_active(1, 100);
}
