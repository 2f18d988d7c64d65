//! What becomes of drained servers, also over a restart.

use super::*;

const HALF_A_MINUTE: Wish = Wish::DrainWithin(Duration::from_secs(30));

impl World {
    /// The daemon ends, and so long after that another one finds what this one left in the tables.
    fn again_after(&self, gap: Duration) -> Self {
        let before = self.director.kernel_start.0 + self.now.elapsed();
        let setting = Setting {
            site: Site::clone(self.director.site()),
            overrides: self.director.overrides().clone(),
            rulings: Rulings::clone(&self.ruled),
            kernel_start: KernelStart(before + gap),
            ..Setting::new(Vec::new())
        };
        setting.start()
    }
}

#[test]
fn a_drain_with_a_deadline_gives_its_flows_up_then_and_an_undrain_ends_it() {
    let mut world = well(checked(3));
    world.order("web1", Wish::DrainWithin(Duration::from_secs(30))).counts(&[(1, 7, 9)]);
    assert_eq!(world.view(1).deadline, Some(world.now + Duration::from_secs(30)));
    world.later(29_900);
    assert_eq!(world.ruling(1), Ruling::default());
    world.later(200);
    assert_eq!(world.ruling(1), DOWN);
    assert_eq!(world.view(1).state, ServerState::Released);
    assert!(world.told_of(EventKind::ServerReleased)[0].contains("(7 were left)"));
    world.order("web1", Wish::Undrain).later(100);
    assert_eq!(world.ruling(1), Ruling::default());
    assert_eq!(world.view(1).state, ServerState::Up);
}

#[test]
fn a_drained_server_without_a_flow_is_told_of_once() {
    let mut world = well(checked(3));
    world.order("web1", Wish::Drain).counts(&[(1, 2, 9)]).later(1_000);
    assert_eq!(world.told_of(EventKind::ServerDrainedEmpty), [""; 0]);
    for _ in 0..5 {
        world.counts(&[(1, 0, 9)]).later(1_000);
    }
    assert_eq!(world.told_of(EventKind::ServerDrainedEmpty).len(), 1);
    world.forget();
    world.later(10_000);
    assert_eq!(
        world.times(|effect| matches!(effect, Effect::Count(_))),
        [0; 0],
        "nobody waits for it any more"
    );
}

#[test]
fn a_drain_ends_when_it_was_to_end_however_often_the_daemon_is_restarted() {
    let mut world = well(checked(3));
    world.order("web1", HALF_A_MINUTE).later(5_000);
    let mut world = world.again_after(Duration::from_secs(5));
    world.later(5_000);
    let mut world = world.again_after(Duration::ZERO);
    assert_eq!(world.view(1).deadline, Some(world.now + Duration::from_secs(15)));
    world.later(14_900);
    assert_eq!((world.view(1).state, world.ruling(1)), (ServerState::Drained, Ruling::default()));
    world.later(200);
    assert_eq!((world.view(1).state, world.ruling(1)), (ServerState::Released, DOWN));
    let told = world.told_of(EventKind::ServerReleased);
    assert_eq!(told.len(), 1);
    assert!(!told[0].contains("were left"), "nobody has counted them yet: {}", told[0]);
}

#[test]
fn a_drain_that_ended_while_no_daemon_ran_ends_at_its_start_and_is_told_of_once() {
    let mut world = well(checked(3));
    world.order("web1", HALF_A_MINUTE).later(5_000);
    let mut world = world.again_after(Duration::from_secs(3_600));
    world.later(100);
    assert_eq!((world.view(1).state, world.ruling(1)), (ServerState::Released, DOWN));
    assert_eq!(world.told_of(EventKind::ServerReleased).len(), 1);
    let mut world = world.again_after(Duration::from_secs(1));
    world.later(100);
    assert_eq!((world.view(1).state, world.ruling(1)), (ServerState::Released, DOWN));
    assert_eq!(world.told_of(EventKind::ServerReleased), [""; 0]);
    world.order("web1", Wish::Undrain).later(100);
    assert_eq!((world.view(1).deadline, world.ruling(1)), (None, Ruling::default()));
}

#[test]
fn a_drained_server_that_is_down_in_the_last_run_is_not_taken_for_released() {
    let mut cluster = checked(4);
    cluster.services[0].on_down = OnDown::Keep;
    let mut world = well(cluster);
    world.order("web1", HALF_A_MINUTE).fall([1]).later(5_000);
    let mut world = world.again_after(Duration::ZERO);
    world.fall([1]).later(1_000);
    assert_eq!(world.view(1).state, ServerState::Drained);
    assert_eq!(world.ruling(1).down, Some(OnDown::Keep), "its flows stay until the drain ends");
}

#[test]
fn that_a_drained_server_is_empty_is_told_once_also_over_a_restart() {
    let mut world = well(checked(3));
    world.order("web1", Wish::Drain).order("web2", Wish::Drain);
    for _ in 0..3 {
        assert_eq!(
            world.told_of(EventKind::ServerDrainedEmpty),
            [""; 0],
            "no whole pass was begun meanwhile"
        );
        world.counts(&[(1, 0, 9), (2, 3, 9)]).later(1_000);
    }
    assert_eq!(world.told_of(EventKind::ServerDrainedEmpty).len(), 1);
    let mut world = world.again_after(Duration::from_secs(5));
    world.counts(&[(1, 0, 9), (2, 3, 9)]).later(1_000);
    assert_eq!(world.told_of(EventKind::ServerDrainedEmpty), [""; 0]);
    for _ in 0..2 {
        world.counts(&[(1, 0, 9), (2, 0, 9)]).later(1_000);
    }
    let told = world.told_of(EventKind::ServerDrainedEmpty);
    assert!(told.len() == 1 && told[0].contains("web2"), "{told:?}");
    world.order("web1", Wish::Undrain).order("web1", Wish::Drain).later(100);
    for _ in 0..3 {
        world.counts(&[(1, 0, 9)]).later(1_000);
    }
    assert_eq!(world.told_of(EventKind::ServerDrainedEmpty).len(), 2, "another drain is another story");
}
