use std::time::Duration;

use proptest::prelude::*;

use super::super::proc_text::{Cpu, Memory, cpu, memory, overflows, pressure};
use super::super::{Gauge, HELD, LOAD_MOST, Load, Seen};
use crate::director::Instant;

const STAT: &str = include_str!("proc/stat");
const MEMINFO: &str = include_str!("proc/meminfo");
const NETSTAT: &str = include_str!("proc/netstat");
const PRESSURE: &str = include_str!("proc/pressure-cpu");

fn at(ms: u64) -> Instant {
    Instant::from_start(Duration::from_millis(ms))
}

fn ticks(busy: u64, total: u64) -> Seen {
    Seen { cpu: Some(Cpu { busy, total }), ..Seen::default() }
}

fn load(seen: &Seen) -> u16 {
    Gauge::default().look(seen, at(0)).load
}

#[test]
fn the_files_of_a_running_kernel_are_read() {
    let work = cpu(STAT).expect("a sound file");
    let first: Vec<u64> = STAT
        .lines()
        .next()
        .expect("a line")
        .split_whitespace()
        .skip(1)
        .map(|n| n.parse().expect("a number"))
        .collect();
    assert_eq!(work.total, first[..8].iter().sum::<u64>());
    assert_eq!(work.busy, work.total - first[3] - first[4], "idle and waiting for a disk is not working");
    let of = memory(MEMINFO).expect("a sound file");
    assert!(of.available <= of.total && of.total > 1 << 20, "{of:?}");
    assert!(overflows(NETSTAT).is_some());
    assert!(pressure(PRESSURE).is_some_and(|share| share <= 1000));
}

#[test]
fn shares_and_counts_are_the_kernels() {
    let text =
        "some avg10=12.34 avg60=0.33 avg300=6.06 total=14226532178\nfull avg10=99.00 avg60=0.00 total=0\n";
    assert_eq!(pressure(text), Some(123));
    assert_eq!(pressure("some avg10=100.00 avg60=0.00\n"), Some(1000));
    let netstat = "TcpExt: SyncookiesSent ListenOverflows ListenDrops TCPPureAcks\nTcpExt: 1 22 23 4\nIpExt: InNoRoutes\nIpExt: 0\n";
    assert_eq!(overflows(netstat), Some(23));
    assert_eq!(overflows("TcpExt: ListenOverflows\nTcpExt: 7\n"), Some(7));
}

#[test]
fn a_file_that_is_not_what_it_should_be_says_nothing() {
    for text in ["", "cpu", "cpu a b c d", "cpu 1 2 3", "intr 1 2 3 4 5", "cpu 1 2 3 99999999999999999999 5"]
    {
        assert_eq!(cpu(text), None, "{text}");
    }
    for text in ["", "MemTotal: 5 kB", "MemTotal: 0 kB\nMemAvailable: 0 kB", "MemTotal: x\nMemAvailable: 1"] {
        assert_eq!(memory(text), None, "{text}");
    }
    for text in ["", "some", "some avg10=", "some avg10=x.1", "full avg10=1.00", "some avg10=1.x"] {
        assert_eq!(pressure(text), None, "{text}");
    }
    for text in ["", "TcpExt: ListenDrops", "TcpExt: A\nTcpExt: 1", "TcpExt: A ListenDrops\nTcpExt: 1"] {
        assert_eq!(overflows(text), None, "{text}");
    }
}

#[test]
fn an_idle_host_has_no_load_and_a_busy_one_its_share() {
    let mut gauge = Gauge::default();
    assert_eq!(gauge.look(&ticks(100, 1000), at(0)), Load::default(), "of one look nothing follows");
    assert_eq!(gauge.look(&ticks(100, 1200), at(1000)).load, 0);
    assert_eq!(gauge.look(&ticks(200, 1300), at(2000)).load, 333, "100 of 300 ticks");
    assert_eq!(gauge.look(&ticks(300, 1400), at(3000)).load, 500);
    assert_eq!(gauge.look(&ticks(400, 1500), at(4000)).load, 1000, "of the last three seconds alone");
}

#[test]
fn pressure_tells_a_full_processor_from_one_that_is_asked_for_twice_as_much() {
    let of = |psi_cpu, busy| {
        let mut gauge = Gauge::default();
        gauge.look(&ticks(0, 0), at(0));
        gauge.look(&Seen { psi_cpu, ..ticks(busy, 1000) }, at(1000)).load
    };
    assert_eq!(of(None, 1000), 1000);
    assert_eq!(of(Some(0), 1000), 1000);
    assert_eq!(of(Some(1000), 1000), 2000);
    assert_eq!(of(Some(500), 100), 150, "short bursts on an idle host are little");
}

#[test]
fn memory_is_no_load_until_it_is_scarce() {
    let of = |available| load(&Seen { memory: Some(Memory { total: 1000, available }), ..Seen::default() });
    assert_eq!([of(1000), of(500), of(200), of(100), of(50), of(0)], [0, 0, 0, 500, 750, 1000]);
    assert_eq!(of(5000), 0, "more available than there is");
}

#[test]
fn a_stall_for_memory_is_worse_than_one_for_a_disk() {
    let memory = load(&Seen { psi_memory: Some(200), ..Seen::default() });
    let disk = load(&Seen { psi_io: Some(200), ..Seen::default() });
    assert_eq!((memory, disk), (1000, 200));
    assert_eq!(load(&Seen { psi_memory: Some(1000), ..Seen::default() }), LOAD_MOST);
    assert_eq!(load(&Seen { psi_cpu: Some(1000), ..Seen::default() }), 0, "without work there is no demand");
}

#[test]
fn a_queue_that_overflowed_is_saturation_for_a_while() {
    let mut gauge = Gauge::default();
    let mut look =
        |overflows, ms| gauge.look(&Seen { overflows: Some(overflows), ..Seen::default() }, at(ms));
    assert_eq!(look(500, 0).load, 0, "what was before the agent is not its business");
    let load = look(503, 1000);
    assert_eq!((load.load, &load.parts[..]), (1000, &[("listen-overflows".to_owned(), 3)][..]));
    let held = HELD.as_millis() as u64;
    assert_eq!((look(503, held).load, look(503, held + 1000).load), (1000, 0));
    assert_eq!((look(2, held + 2000).load, look(3, held + 3000).load), (0, 1000), "counted anew");
}

#[test]
fn the_scarcest_part_is_the_load_and_every_part_is_told() {
    let mut gauge = Gauge::default();
    let seen = |busy, total| Seen {
        cpu: Some(Cpu { busy, total }),
        memory: Some(Memory { total: 100, available: 40 }),
        psi_cpu: Some(10),
        psi_memory: Some(0),
        psi_io: Some(120),
        overflows: Some(0),
        custom: vec![("jobs".to_owned(), 640), ("licences".to_owned(), 20)],
    };
    gauge.look(&seen(0, 0), at(0));
    let load = gauge.look(&seen(300, 1000), at(1000));
    assert_eq!(load.load, 640);
    let told: Vec<_> = load.parts.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    let expected = [
        ("cpu", 300),
        ("memory", 600),
        ("psi-cpu", 10),
        ("psi-memory", 0),
        ("psi-io", 120),
        ("listen-overflows", 0),
        ("jobs", 640),
        ("licences", 20),
    ];
    assert_eq!(told, expected);
}

proptest! {
    #[test]
    fn no_text_makes_a_reader_stumble(bytes in proptest::collection::vec(any::<u8>(), 0..400), cut in 0_usize..4000) {
        let text = String::from_utf8_lossy(&bytes);
        cpu(&format!("cpu {text}"));
        memory(&format!("MemTotal: {text}\nMemAvailable: {text}"));
        pressure(&format!("some avg10={text}"));
        overflows(&format!("TcpExt: ListenDrops {text}\nTcpExt: {text}"));
        for whole in [STAT, MEMINFO, NETSTAT, PRESSURE] {
            let part = &whole[..cut.min(whole.len())];
            cpu(part);
            memory(part);
            pressure(part);
            overflows(part);
        }
    }

    #[test]
    fn whatever_a_kernel_says_the_load_is_bounded(
        looks in proptest::collection::vec((any::<u64>(), any::<u64>(), any::<u64>(), any::<u16>(), 0_u64..5000), 1..20),
    ) {
        let (mut gauge, mut now) = (Gauge::default(), 0);
        for (one, other, count, psi, passed) in looks {
            now += passed;
            let seen = Seen {
                cpu: Some(Cpu { busy: one.min(other), total: other }),
                memory: Some(Memory { total: other, available: one }),
                psi_cpu: Some(psi.min(1000)),
                psi_memory: Some(psi.min(1000)),
                psi_io: Some(psi.min(1000)),
                overflows: Some(count),
                custom: Vec::new(),
            };
            prop_assert!(gauge.look(&seen, at(now)).load <= LOAD_MOST);
        }
    }
}
