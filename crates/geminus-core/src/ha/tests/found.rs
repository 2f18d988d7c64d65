//! What the simulator found: each was a schedule of faults that broke a law.

use super::*;

/// Alpha is stopped for so long, then goes on; what came meanwhile waits for it.
fn stopped_for(world: &mut World, node: usize, ms: u64) {
    world.nodes[node].stopped = true;
    world.run(ms);
    world.nodes[node].stopped = false;
}

#[test]
fn what_is_left_of_a_lease_that_was_given_up_is_nobody_s_claim() {
    let mut world = World::settled();
    world.power_off(1);
    world.run(500);
    world.tell(0, Input::Stop { keep: false });
    world.nodes[0].plane.standing = Standing::Yielding;
    world.nodes[0].plane.owns = false;
    world.nodes[0].plane.until = world.now + Duration::from_millis(2_500);
    world.start(0);
    let ha = world.nodes[0].ha.as_ref().expect("it runs");
    assert_eq!(ha.view(world.now).groups[0].lease, Duration::ZERO);
    world.start(1);
    world.run(400);
    assert!(world.active()[0] || world.active()[1], "nobody waits for a lease that nobody has");
}

#[test]
fn an_answer_from_before_a_claim_does_not_refute_it() {
    let mut partner = partner::Partner::new(config(0).peers[0].clone(), Timers::DEFAULT, at(0));
    let report = |standing, epoch, lease| GroupReport {
        number: 1,
        role: Role::Backup,
        standing,
        epoch,
        lease: Duration::from_millis(lease),
        leaving: false,
    };
    partner.see(report(Standing::Active, 1, 5_000), at(10), at(12));
    partner.see(report(Standing::Starting, 0, 0), at(10), at(13));
    assert!(partner.shown[&1].0.owns(), "it left before the claim came, and took the longer way");
    partner.see(report(Standing::Standby, 1, 0), at(20), at(21));
    assert!(!partner.shown[&1].0.owns(), "it was asked for after the claim");
}

#[test]
fn a_standby_that_did_not_run_does_not_act_on_what_the_partner_said_before() {
    let mut world = World::settled();
    world.cut_all(true);
    stopped_for(&mut world, 1, 5_000);
    // The partner was active when it last spoke; while this node slept it wanted to be rid of it for a moment.
    let now = world.now;
    let arrived = Instant::from_start(now.elapsed() - Duration::from_secs(3));
    let report = GroupReport {
        number: 1,
        role: Role::Primary,
        standing: Standing::Yielding,
        epoch: 1,
        lease: Duration::from_secs(2),
        leaving: false,
    };
    let beat = Beat {
        sequence: 1 << 20,
        interval: Timers::DEFAULT.heartbeat,
        heard: Vec::new(),
        groups: vec![report],
        reach: ReachScore::default(),
        fit: true,
        asks: false,
        sync: SyncView::Complete,
        digest: 7,
    };
    let session = world.nodes[0].session;
    let path = PathId { peer: 0, path: 0 };
    let ha = world.nodes[1].ha.as_mut().expect("it runs");
    ha.handle(Input::Beat { session, path, arrived, beat }, now);
    ha.handle_timeout(now);
    assert_eq!(ha.standing(1), Some(Standing::Standby));
    world.cut_all(false);
    world.run(1_000);
    assert_eq!(world.active(), [true, false]);
}

#[test]
fn a_returned_primary_that_did_not_run_begins_to_be_stable_anew() {
    let mut world = World::settled();
    world.power_off(0);
    world.until_active(1, 300);
    world.start(0);
    world.run(100);
    for node in 0..2 {
        world.tell(node, Input::Sync { peer: 0, sync: SyncView::Complete });
    }
    world.run(1_000);
    assert_eq!(world.active(), [false, true]);
    stopped_for(&mut world, 0, 3_000);
    world.run(1_000);
    assert_eq!(world.active(), [false, true], "what it was before the pause has not lasted through it");
    world.until_active(0, 30_000);
}

#[test]
fn a_daemon_that_is_told_to_leave_before_it_knows_of_its_lease_gives_it_up() {
    let mut world = World::settled();
    world.cut_all(true);
    world.kill(0);
    world.until_active(1, 6_000);
    world.nodes[0].plane =
        Plane { until: world.now + Duration::from_secs(5), owns: true, standing: Standing::Active, epoch: 1 };
    world.start(0);
    world.tell(0, Input::Stop { keep: false });
    world.run(10);
    assert_eq!(world.active(), [false, true]);
}

#[test]
fn a_node_that_cannot_forward_hands_over_also_for_an_upgrade() {
    let mut world = World::settled();
    world.tell(0, Input::Fit { link: false, warm: true });
    world.tell(0, Input::Stop { keep: true });
    world.run(100);
    assert_eq!(world.active(), [false, true]);
}

#[test]
fn who_was_gone_before_a_pause_is_asked_again_after_it() {
    let mut detector = detect::Detector::new(Timers::DEFAULT, 1, at(0));
    detector.beat(0, 1, true, at(0));
    while detector.poll_timeout() <= at(400) {
        let now = detector.poll_timeout();
        detector.handle_timeout(now);
    }
    assert!(matches!(detector.life(), detect::Life::Gone { .. }));
    detector.doubt(at(5_000));
    assert!(matches!(detector.life(), detect::Life::Suspect { .. }));
    detector.beat(0, 2, false, at(3_000));
    assert_eq!(detector.life(), detect::Life::Alive, "it spoke while this node did not run");
}

fn at(ms: u64) -> Instant {
    Instant::from_start(Duration::from_millis(ms))
}
