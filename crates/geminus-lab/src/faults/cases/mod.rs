//! The cases, in the order of the fault list.

mod boot;
mod checks;
mod claims;
mod copies;
mod crash;
mod deaths;
mod hostiles;
mod intruders;
mod members;
mod mutual;
mod orders;
mod paths;
mod pauses;
mod reach;
mod setups;
mod silence;
mod strained;
mod versions;

use super::{Case, Figure, Kind};
use anyhow::Result;

use super::ground::Ground;

const fn runs(
    id: &'static str,
    name: &'static str,
    how: &'static str,
    run: fn(&Ground) -> Result<Vec<Figure>>,
) -> Case {
    Case { id, name, how, kind: Kind::Runs(run) }
}

const fn not_here(
    id: &'static str,
    name: &'static str,
    how: &'static str,
    why: &'static str,
    instead: &'static str,
) -> Case {
    Case { id, name, how, kind: Kind::NotHere { why, instead } }
}

/// All of them, and the figure that no case has.
pub const ALL: &[Case] = &[
    runs("A1", "silent death of the active", "both bridge ports dead, carrier stays", silence::silent_death),
    runs("A2", "carrier loss of the active", "the switch's end of its cable down", silence::carrier_loss),
    runs("A3", "daemon killed, started again", "SIGKILL, start before the lease ends", crash::restarted),
    runs("A4", "daemon killed, never returns", "SIGKILL", crash::never_returns),
    runs("A5", "active daemon stopped for a while", "SIGSTOP, SIGCONT", pauses::active_stopped),
    runs("A6", "standby daemon stopped for a while", "SIGSTOP, SIGCONT", pauses::standby_stopped),
    runs(
        "A7",
        "whole node frozen and resumed",
        "cgroup freezer, bridge ports dead meanwhile",
        pauses::frozen,
    ),
    runs("A8", "one of two heartbeat paths cut", "nftables in the switch, in the cable", paths::one_of_two),
    runs("A9", "all heartbeat paths cut, clients fine", "nftables on both ways", paths::all),
    runs("A10", "cuts in one direction", "nftables by sender, each way and both", paths::one_direction),
    runs("A11", "random loss", "nftables numgen on one or both ways", paths::random_loss),
    runs(
        "A12",
        "bursts of loss",
        "a relay on both ways loses everything for half the detection time",
        paths::bursts,
    ),
    runs(
        "A13",
        "duplicated, reordered, late heartbeats",
        "a relay with a queue on both ways",
        paths::bad_wire,
    ),
    runs(
        "A14",
        "replay of recorded heartbeats",
        "packet socket, to both, as fast as it goes",
        intruders::replay,
    ),
    runs("A15", "forged heartbeats", "packet socket: right ends and form, no key", intruders::forged),
    runs(
        "A16",
        "another pair, another holder",
        "heartbeats of a pair with another key; foreign ARP and NA claims",
        intruders::foreign,
    ),
    runs("A17", "starved of CPU", "8 hogs; CFS quota of 10 % for the standby daemon", strained::starved),
    runs("A18", "memory pressure", "memory control group at what the daemon has", strained::squeezed),
    not_here(
        "A19",
        "clock jumps",
        "guest machine",
        "this machine's clock is not for a test to turn, and it runs no guests",
        "no part of the decision reads a wall clock: `geminus-core` and `geminus-packet` get time as an argument, from \
         CLOCK_MONOTONIC and `bpf_ktime_get_ns`, and the simulator turns each node's clock as it likes",
    ),
    not_here(
        "A20",
        "clocks of different rate",
        "simulator",
        "both dispatchers have this machine's one clock",
        "the simulator gives each node a clock of its own rate, up to 2 % apart, under all of its laws",
    ),
    runs("A21", "both start at once", "both daemons started together", boot::at_once),
    runs(
        "A22",
        "start on a port that passes nothing",
        "bridge port dead while the daemon starts",
        boot::mute_port,
    ),
    runs(
        "A23",
        "flapping link",
        "bridge end of the active's cable down and up, 1 Hz and 10 Hz",
        boot::flapping,
    ),
    runs(
        "A24",
        "the active loses its gateway",
        "echo requests to the reach target lost, for one, for both",
        reach::gateway,
    ),
    runs(
        "A25",
        "planned switch-over",
        "`geminus takeover` and SIGTERM under 10 000 packets/s",
        orders::planned,
    ),
    runs("A26", "automatic failback", "daemon stopped, started again, tables full", orders::failback),
    runs("A27", "mutual, either dies", "isolated in turn", mutual::either_dies),
    runs(
        "A28",
        "two boxes that are all there is",
        "mutual, both are the only servers; one dies",
        mutual::two_boxes,
    ),
    runs(
        "A29",
        "replication under loss, cut, healed",
        "30 % of TCP segments lost, then all, then none",
        copies::disturbed,
    ),
    runs(
        "A30",
        "takeover in the middle of a whole copy",
        "active isolated at a random moment of the join",
        copies::cut_short,
    ),
    runs(
        "A31",
        "claims lost by the switch",
        "half of them, then all beyond 10 a second; 100 addresses",
        claims::lost,
    ),
    runs("A33", "a thousand addresses", "their announcements recorded at the switch", claims::thousand),
    runs("A34", "IPv6 with duplicate address detection", "DAD on everywhere", claims::with_detection),
    not_here(
        "A35",
        "two protocol versions",
        "two builds",
        "there is one version of the protocol so far",
        "a frame of another version is dropped under its own counter (`twin-version`), which the packet fixtures prove to move",
    ),
    runs(
        "A36",
        "partners with different configurations",
        "one of them reloads another weight",
        versions::different_files,
    ),
    runs(
        "T-HA-4",
        "takeover with many connections",
        "idle connections used before and after it, three of ten opened while a server was drained",
        silence::twenty_thousand,
    ),
    runs(
        "C1",
        "server's process killed",
        "SIGKILL of nginx, under new connections in both families",
        deaths::killed,
    ),
    runs("C2", "server's host silent", "nftables in the switch: no frame from or to it", deaths::silent),
    runs("C3", "server drained", "`geminus drain`, with and without a deadline", members::drained),
    runs("C4", "server added", "`geminus reload` with a fourth server", members::joined),
    runs(
        "C5",
        "hostile servers",
        "of five servers four send garbage (also for TLS), a byte a second, endless headers, a gigabyte",
        hostiles::four,
    ),
    runs(
        "C6",
        "flapping server",
        "nginx killed and started, a second each, seen by `profile = \"fast\"`",
        members::flapping,
    ),
    runs(
        "C7",
        "all checks fail at once",
        "nftables in the switch: all that the dispatcher sends in its own name is lost",
        checks::all_fail,
    ),
    runs(
        "C8",
        "whoever checks hangs",
        "freezer around the thread of the advisors alone; `exec` programs that SIGSTOP themselves",
        checks::hung,
    ),
    runs(
        "C9",
        "hardware addresses",
        "a server's changes without a word; a host has the cluster address on its card and announces it",
        setups::moved,
    ),
    runs("C11", "content host set up wrong", "each way, at a server that was well", setups::wrong),
];
