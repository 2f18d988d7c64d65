//! What only the kernel can show of partners' frames: its clock, its journal, and the program for interfaces that lead to
//! partners alone.

use geminus_dataplane::program::TestRun;
use geminus_fixtures::fixture::Step;
use geminus_fixtures::list;
use geminus_fixtures::stage::{Home as _, Stage};
use geminus_fixtures::twin::{self, Payload, frame4, frame6};
use geminus_packet::flow::WAYS;
use geminus_packet::frame::SliceFrame;
use geminus_packet::journal::Slot;
use geminus_packet::tables::Tables as _;
use geminus_packet::twin::Head;
use geminus_packet::verdict::{Drop, Kind, reasons};

use crate::home::{self, KernelHome};

const PASS: u32 = 2;

fn stage() -> Stage<KernelHome> {
    let sizes = home::sizes(16);
    home::twins(KernelHome::new(&sizes), &sizes).1
}

#[test]
fn a_frame_that_is_passed_says_when_it_came_on_the_monotonic_clock() {
    let stage = stage();
    let loaded = &stage.home.loaded;
    for (frame, payload_at) in [(frame4(&Payload::beat()), 42), (frame6(&Payload::awaited()), 62)] {
        for program in [true, false] {
            let (_, before) = loaded.clock().expect("the clock program runs");
            let run = if program { loaded.run(&frame, &[]) } else { loaded.run_twin(&frame) };
            let run = run.expect("the program runs");
            let (_, after) = loaded.clock().expect("the clock program runs");
            let head = Head::from_bytes(&run.frame[payload_at..]).expect("a whole head");
            let came = u128::from(head.stamp);
            assert_eq!(run.action, PASS);
            assert!((before.as_nanos()..=after.as_nanos()).contains(&came), "{before:?} {came} {after:?}");
        }
    }
}

#[test]
fn of_sessions_nobody_knows_few_beats_pass_whatever_the_clock_says() {
    const BEATS: u64 = 2000;
    let stage = stage();
    let loaded = &stage.home.loaded;
    let (_, began) = loaded.clock().expect("the clock program runs");
    let passed = (0..BEATS)
        .filter(|at| {
            let unknown = Payload { session: 1 << 40 | at, ..Payload::beat() };
            loaded.run(&frame4(&unknown), &[]).expect("the program runs").action == PASS
        })
        .count() as u64;
    let (_, ended) = loaded.clock().expect("the clock program runs");
    let most = 20 + (ended - began).as_millis() as u64 / 50 + 1;
    assert!((20..=most).contains(&passed), "{passed} passed in {:?}", ended - began);
    assert_eq!(stage.home.counted(Drop::TwinFlood.counter()), BEATS - passed);
}

#[test]
fn a_promotion_is_in_the_journal_of_the_cpu_it_came_by() {
    let mut stage = stage();
    let fixtures = list::all();
    let syn = fixtures.iter().find(|one| one.name == "IPv4: a SYN goes by the ring").expect("it is there");
    let written = |stage: &Stage<KernelHome>| {
        stage.home.tables().journals().map(|journal| journal.written()).collect::<Vec<_>>()
    };
    let before = written(&stage);
    const FLOWS: usize = 40;
    for flow in 0..FLOWS as u16 {
        let mut frame = syn.frame.clone();
        frame[34..36].copy_from_slice(&(2000 + flow).to_be_bytes());
        stage.run(&frame);
        frame[47] = 0x10;
        let seen = stage.run(&frame);
        assert!(seen.moved.contains(&("promoted", 1)), "{seen:?}");
    }
    let mut slots = Vec::new();
    for (journal, since) in stage.home.tables().journals().zip(before) {
        assert_eq!(journal.read(since, |slot| slots.push(slot)).missed, 0);
    }
    assert_eq!(slots.len(), FLOWS);
    for slot in slots {
        let Slot::Flow(slot) = slot else { panic!("{slot:?}") };
        let bucket = stage.home.tables().flows(slot / WAYS as u32).expect("the table has this bucket");
        assert!(bucket.way(slot as usize % WAYS).is_some(), "slot {slot} is empty");
    }
}

#[test]
fn kernel_and_host_agree_on_every_fixture_where_only_partners_are() {
    let sizes = home::sizes(1);
    let mut home = KernelHome::new(&sizes);
    for fixture in list::all().into_iter().filter(|fixture| home::is_taken(&fixture.frame)) {
        if !fixture.before.iter().all(|step| matches!(step, Step::Write(_) | Step::Lapse | Step::Yield)) {
            continue;
        }
        let (mut host, mut kernel) = home::twins(home, &sizes);
        for step in &fixture.before {
            host.take(step);
            kernel.take(step);
        }
        let TestRun { action, frame: mut in_kernel } =
            kernel.home.loaded.run_twin(&fixture.frame).expect("the program runs");
        let mut on_host = SliceFrame::new(fixture.frame.clone());
        let verdict = geminus_packet::dispatch_twin(&mut on_host, &host.home.tables, host.home.now);
        if action == PASS {
            twin::restamp(&fixture.frame, &mut in_kernel);
        }
        let wanted = match verdict.map(|verdict| verdict.kind()) {
            Some(Kind::Drop) => 1,
            Some(Kind::Answer) => 3,
            _ => PASS,
        };
        assert_eq!((action, &in_kernel[..]), (wanted, on_host.bytes()), "{}", fixture.name);
        for reason in reasons() {
            let (host, kernel) = (host.home.counted(reason.counter), kernel.home.counted(reason.counter));
            assert_eq!(host, kernel, "{}: {}", fixture.name, reason.name);
        }
        home = kernel.home;
    }
}
