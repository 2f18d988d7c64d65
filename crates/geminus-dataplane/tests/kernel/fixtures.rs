//! Every fixture in both homes of the packet path: equal verdict, bytes, counters and tables.

use geminus_fixtures::fixture::Fixture;
use geminus_fixtures::snapshot::Snapshot;
use geminus_fixtures::stage::Home as _;
use geminus_fixtures::{list, sweep};
use geminus_packet::frame::SliceFrame;
use geminus_packet::tables::Tables as _;
use geminus_packet::verdict::Verdict;

use crate::home::{self, KernelHome};

/// Ticks that a fixture may take on a busy machine; what it is about are hours.
const SLACK: u32 = 60 * 1000;

fn every_fixture() -> Vec<Fixture> {
    let fixtures = [list::all(), sweep::all()].concat();
    fixtures.into_iter().filter(|fixture| home::is_taken(&fixture.frame)).collect()
}

#[track_caller]
fn assert_none(complaints: &[String]) {
    assert!(complaints.is_empty(), "{} complaints:\n{}", complaints.len(), complaints.join("\n"));
}

#[test]
fn kernel_and_host_agree_on_every_fixture_and_both_are_right() {
    let sizes = home::sizes(1);
    let mut home = KernelHome::new(&sizes);
    let mut complaints = Vec::new();
    for fixture in every_fixture() {
        let (mut host, mut kernel) = home::twins(home, &sizes);
        let (on_host, host_complaints) = host.play(&fixture);
        let (in_kernel, kernel_complaints) = kernel.play(&fixture);
        complaints.extend(host_complaints.into_iter().map(|complaint| format!("host: {complaint}")));
        complaints.extend(kernel_complaints.into_iter().map(|complaint| format!("kernel: {complaint}")));
        if on_host != in_kernel {
            complaints.push(format!("{}: host {on_host:?}, kernel {in_kernel:?}", fixture.name));
        }
        let host = Snapshot::of(host.home.tables(), &sizes, host.home.now());
        let kernel_says = Snapshot::of(kernel.home.tables(), &sizes, kernel.home.now());
        if let Some(difference) = host.difference(&kernel_says, SLACK) {
            complaints.push(format!("{}: tables differ, host and kernel: {difference}", fixture.name));
        }
        home = kernel.home;
    }
    assert_none(&complaints);
}

#[test]
fn kernel_and_host_give_one_verdict_on_a_question_and_write_nothing() {
    let sizes = home::sizes(1);
    let mut home = KernelHome::new(&sizes);
    let mut complaints = Vec::new();
    for fixture in list::all().into_iter().filter(|fixture| home::is_taken(&fixture.frame)) {
        let (mut host, mut kernel) = home::twins(home, &sizes);
        for step in &fixture.before {
            host.take(step);
            kernel.take(step);
        }
        let question = &kernel.home.tables().globals().expect("tables have settings").question;
        let mark = [question[0].load().to_ne_bytes(), question[1].load().to_ne_bytes()].concat();
        let before = Snapshot::of(kernel.home.tables(), &sizes, host.home.now());
        let counted = |kernel: &KernelHome| {
            let reasons = geminus_packet::verdict::reasons().map(|reason| kernel.counted(reason.counter));
            let sent = (0..sizes.servers).flat_map(|server| kernel.sent(server));
            reasons.chain(sent).collect::<Vec<_>>()
        };
        let counters = counted(&kernel.home);
        let run = kernel.home.loaded.run(&fixture.frame, &mark).unwrap_or_else(|error| panic!("{error}"));
        let after = Snapshot::of(kernel.home.tables(), &sizes, host.home.now());
        if before.difference(&after, 0).is_some() || counters != counted(&kernel.home) {
            complaints.push(format!("{}: asking wrote {:?}", fixture.name, before.difference(&after, 0)));
        }
        host.home.tables.dry = true;
        let mut frame = SliceFrame::new(fixture.frame.clone());
        let verdict = geminus_packet::dispatch(&mut frame, &host.home.tables, host.home.now);
        let (answer, bytes) = run.frame.split_at(mark.len());
        let word = u64::from_le_bytes(answer[..8].try_into().expect("eight bytes"));
        let told = Verdict::from_word(word);
        if told != Some(verdict) {
            complaints.push(format!("{}: host {:?}, kernel {told:?}", fixture.name, verdict.reason()));
        }
        if bytes != frame.bytes() {
            complaints.push(format!("{}: bytes differ", fixture.name));
        }
        home = kernel.home;
    }
    assert_none(&complaints);
}

#[test]
fn a_frame_shorter_than_its_ethernet_header_reaches_no_program() {
    let sizes = home::sizes(1);
    let home = KernelHome::new(&sizes);
    for length in 0..14 {
        assert!(home.loaded.run(&vec![0; length], &[]).is_err(), "a frame of {length} bytes was run");
    }
}
