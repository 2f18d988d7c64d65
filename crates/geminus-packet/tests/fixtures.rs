//! Every fixture on the host's home of the packet path.

use std::collections::{BTreeMap, BTreeSet};

use geminus_fixtures::fixture::Fixture;
use geminus_fixtures::stage::{Home as _, HostHome, Ran, Stage, hex};
use geminus_fixtures::{ground, list, sweep};
use geminus_packet::frame::{Frame, SliceFrame};
use geminus_packet::tables::{Tables as _, Ticks};
use geminus_packet::verdict::{Class, Drop, reasons};
use geminus_packet::wire::Header;

/// Reasons that no fixture shows, and the test that does.
const SHOWN_ELSEWHERE: &[(&str, &str)] =
    &[("no-room", "a_solicitation_that_cannot_grow_is_dropped"), ("denied", "a_denied_client_is_not_served")];

/// Somewhere in the clock's range.
const NOW: Ticks = Ticks(5 << 32 | 0x1234_5678);

/// A stage that remembers nothing.
fn stage(now: Ticks) -> Stage<HostHome> {
    let sizes = ground::sizes(&ground::site(), 1, 1);
    Stage::new(HostHome::new(&sizes, now), &sizes)
}

fn complaints(fixtures: &[Fixture], now: Ticks) -> Vec<String> {
    fixtures.iter().flat_map(|fixture| stage(now).play(fixture).1).collect()
}

#[track_caller]
fn assert_none(complaints: &[String]) {
    assert!(complaints.is_empty(), "{} complaints:\n{}", complaints.len(), complaints.join("\n"));
}

#[test]
fn every_fixture_gets_its_verdict_its_bytes_and_its_counters() {
    assert_none(&complaints(&list::all(), NOW));
}

#[test]
fn every_cut_protocol_and_echo_gets_its_verdict_its_bytes_and_its_counters() {
    assert_none(&complaints(&sweep::all(), NOW));
}

#[test]
fn verdicts_do_not_depend_on_where_the_clock_stands() {
    // The 32 bits that are kept of it wrap around; an entry may be older than the clock.
    for now in [1 << 32, (6 << 32) + (1 << 31)] {
        assert_none(&complaints(&list::all(), Ticks(now)));
    }
}

#[test]
fn fixtures_are_many_and_have_names_of_their_own() {
    let fixtures = list::all();
    let mut names = BTreeMap::new();
    for fixture in fixtures.iter().chain(&sweep::all()) {
        *names.entry(fixture.name.clone()).or_insert(0) += 1;
    }
    let twice: Vec<_> = names.iter().filter(|(_, count)| **count > 1).collect();
    assert!(twice.is_empty(), "{twice:?}");
    println!("{} fixtures, {} more by rule", fixtures.len(), sweep::all().len());
    assert!(fixtures.len() >= 120, "{} fixtures", fixtures.len());
}

#[test]
fn every_reason_is_shown_by_a_fixture_or_by_a_test_of_its_own() {
    let fixtures = list::all();
    let shown: BTreeSet<_> = fixtures
        .iter()
        .flat_map(|fixture| {
            assert!(
                reasons()
                    .any(|reason| reason.name == fixture.expected.reason
                        && reason.class == fixture.expected.class),
                "{}: there is no reason {}",
                fixture.name,
                fixture.expected.reason
            );
            reasons().filter(|reason| fixture.expected.counts(reason)).map(|reason| reason.name)
        })
        .chain(SHOWN_ELSEWHERE.iter().map(|(reason, _)| *reason))
        .collect();
    let hidden: Vec<_> =
        reasons().filter(|reason| !shown.contains(reason.name)).map(|reason| reason.name).collect();
    assert!(hidden.is_empty(), "no fixture moves the counters of {hidden:?}");
}

#[test]
fn names_and_counters_of_reasons_are_unique() {
    let names: BTreeSet<_> = reasons().map(|reason| reason.name).collect();
    let counters: BTreeSet<_> = reasons().map(|reason| reason.counter.0).collect();
    assert_eq!((names.len(), counters.len()), (reasons().count(), reasons().count()));
}

/// A frame whose driver has no room behind it.
struct Cramped(SliceFrame);

impl Frame for Cramped {
    fn length(&self) -> usize {
        self.0.length()
    }
    fn get<H: Header>(&self, at: usize) -> Option<&H> {
        self.0.get(at)
    }
    fn get_mut<H: Header>(&mut self, at: usize) -> Option<&mut H> {
        self.0.get_mut(at)
    }
    fn grow_back(&mut self, _by: usize) -> bool {
        false
    }
    fn cut(&mut self, length: usize) {
        self.0.cut(length);
    }
}

#[test]
fn a_solicitation_that_cannot_grow_is_dropped() {
    let fixtures = list::all();
    let name = "a solicitation without an option is answered in a longer frame";
    let asked =
        fixtures.iter().find(|fixture| fixture.name == name).expect("the fixture is there").frame.clone();
    let stage = stage(NOW);
    let mut frame = Cramped(SliceFrame::new(asked.clone()));
    let verdict = geminus_packet::dispatch(&mut frame, &stage.home.tables, NOW);
    assert_eq!(verdict.counter(), Drop::NoRoom.counter());
    assert_eq!(stage.home.counted(Drop::NoRoom.counter()), 1);
    assert_eq!(hex(frame.0.bytes()), hex(&asked), "a dropped frame is left alone");
}

#[test]
fn a_packet_that_is_only_asked_about_is_neither_counted_nor_remembered() {
    for fixture in list::all() {
        let mut stage = stage(NOW);
        fixture.before.iter().for_each(|step| stage.take(step));
        let before =
            geminus_fixtures::snapshot::Snapshot::of(stage.home.tables(), &stage.sizes, NOW.0 as u32);
        stage.home.tables.dry = true;
        let asked = stage.run(&fixture.frame);
        stage.home.tables.dry = false;
        let after = geminus_fixtures::snapshot::Snapshot::of(stage.home.tables(), &stage.sizes, NOW.0 as u32);
        assert_eq!(before.difference(&after, 0), None, "{}", fixture.name);
        assert!(asked.moved.is_empty() && asked.sent.is_empty(), "{}: {asked:?}", fixture.name);
        let told = stage.run(&fixture.frame);
        // A turn is not taken by asking, so the answer is where the flow would go without it.
        // A partner's frame that is only asked about did not come at any time.
        let told = match fixture.expected.reason {
            "turn" => continue,
            // Nor is it tried by asking whether there is room to remember it.
            "ring" if fixture.expected.notes.contains(&"first-not-remembered") => continue,
            "twin-beat" | "twin-answer" => Ran { bytes: fixture.frame.clone(), ..told.ran },
            _ => told.ran,
        };
        assert_eq!(asked.ran, told, "{}", fixture.name);
    }
}

#[test]
fn a_server_that_nobody_knows_the_way_to_has_no_turn() {
    let mut stage = stage(NOW);
    let fixtures = list::all();
    let turn =
        fixtures.iter().find(|fixture| fixture.name == "IPv4: in turn, the first").expect("it is there");
    for flow in 0..40_u16 {
        let mut frame = turn.frame.clone();
        frame[34..36].copy_from_slice(&(1024 + flow).to_be_bytes());
        frame[36..38].copy_from_slice(&88_u16.to_be_bytes());
        let seen = stage.run(&frame);
        let [(server, _)] = seen.sent[..] else { panic!("{seen:?}") };
        assert_eq!(stage.server(server).name, "here");
    }
}

#[test]
fn a_lease_ends_with_its_tick() {
    let fixtures = list::all();
    let syn =
        fixtures.iter().find(|fixture| fixture.name == "IPv4: a SYN goes by the ring").expect("it is there");
    for (deadline, is_active) in
        [(NOW.0 - 1, false), (NOW.0, false), (NOW.0 + 1, true), (u64::MAX, true), (0, false)]
    {
        let mut stage = stage(NOW);
        stage.home.tables.group(0).expect("there is a group").deadline.store(deadline);
        let seen = stage.run(&syn.frame);
        assert_eq!(seen.moved == [("ring", 1)], is_active, "until {deadline} at {}: {seen:?}", NOW.0);
    }
}

#[test]
fn counters_add_up_to_the_packets_that_came() {
    let mut stage = stage(NOW);
    let fixtures = list::all();
    for fixture in &fixtures {
        stage.run(&fixture.frame);
    }
    let counted: u64 = reasons()
        .filter(|reason| reason.class != Class::Note)
        .map(|reason| stage.home.counted(reason.counter))
        .sum();
    assert_eq!(counted, fixtures.len() as u64);
}
