//! What the ways to balance make of hosts that are not alike, as clients feel it.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test that cannot go on fails, and figures are told"
)]

use std::time::Duration;

use geminus_lab::balanced::binary_under_test;
use geminus_lab::loads::{Loads, Waits, Way};

/// Three usual hosts and one that takes three times as long: 333 requests a second keep them all busy.
const SLOWNESS: [u32; 4] = [1, 1, 1, 3];
/// With equal weights the slow one is asked for 36 where it can do 33.
const PER_SECOND: u32 = 145;
const COUNTED: Duration = Duration::from_secs(18);
/// Until queues are what they stay.
const BEGINNING: Duration = Duration::from_secs(5);
/// So many cycles, a second each, take the weights to where they belong.
const SETTLING: Duration = Duration::from_secs(20);

fn measure(loads: &Loads, what: &str, settling: Duration) -> Waits {
    loads.come(PER_SECOND, settling).unwrap();
    let waits = loads.come(PER_SECOND, COUNTED).unwrap();
    println!(
        "{what}: {} clients, p50 {:.0?}, p99 {:.0?}, {} lost, {:?}",
        waits.count(),
        waits.percentile(50),
        waits.percentile(99),
        waits.lost,
        waits.by_host
    );
    waits
}

#[test]
fn with_one_server_three_times_slower_the_manager_halves_the_p99_of_equal_weights() {
    let loads = Loads::start(&binary_under_test().unwrap(), &SLOWNESS).unwrap();
    let equal = measure(&loads, "equal weights", BEGINNING);
    loads.go(Way::Least).unwrap();
    measure(&loads, "least connections", BEGINNING);
    loads.go(Way::Managed).unwrap();
    let managed = measure(&loads, "manager", SETTLING);
    println!("{}", loads.balancer.tell(&["servers", "--wide"]).unwrap());
    assert_eq!(managed.lost, 0, "nobody is without an answer");
    let (equal, managed) = (equal.percentile(99), managed.percentile(99));
    assert!(managed * 2 <= equal, "p99 {managed:?} with the manager, {equal:?} with equal weights");
}
