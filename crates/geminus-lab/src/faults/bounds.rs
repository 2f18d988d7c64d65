//! Every figure's target and the bound at which a run fails, in one place.
//!
//! The target is what the product promises on a machine of its own. The bound leaves room for a noisy one: the whole
//! site, its clients and its servers share its cores. What a bound guards is that a law holds at all (nothing lost, nobody
//! twice active, no takeover without a cause), and that a time is of the right order.

use serde::Serialize;

/// What a figure is held to.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Bound {
    /// `ms`, `packets`, `connections`, ….
    pub unit: &'static str,
    /// Promised.
    pub target: f64,
    /// A run fails beyond it.
    pub limit: f64,
}

const fn ms(target: f64, limit: f64) -> Bound {
    Bound { unit: "ms", target, limit }
}

const fn none_of(unit: &'static str) -> Bound {
    Bound { unit, target: 0.0, limit: 0.0 }
}

const fn at_most(unit: &'static str, target: f64, limit: f64) -> Bound {
    Bound { unit, target, limit }
}

/// Established connections reset or stalled for more than 3 s.
pub const LOST: Bound = none_of("connections");
/// Packets of a stream without an answer where none may be lost.
pub const LOST_PACKETS: Bound = none_of("packets");
/// Takeovers that should not be.
pub const FALSE_TAKEOVERS: Bound = none_of("takeovers");
/// Frames that passed for a partner's and were not.
pub const ACCEPTED: Bound = none_of("frames");
/// Flows answered by more than one server.
pub const MOVED: Bound = none_of("flows");

/// Silent death, profile `default`.
pub const SILENCE_DEFAULT_P50: Bound = ms(200.0, 400.0);
/// The same.
pub const SILENCE_DEFAULT_P99: Bound = ms(250.0, 800.0);
/// Silent death, profile `fast`.
pub const SILENCE_FAST_P50: Bound = ms(45.0, 150.0);
/// The same.
pub const SILENCE_FAST_P99: Bound = ms(60.0, 400.0);
/// Carrier loss while a second way stands.
pub const CARRIER_P50: Bound = ms(20.0, 150.0);
/// The same.
pub const CARRIER_P99: Bound = ms(60.0, 500.0);
/// From a lost carrier to the daemon's own event.
pub const CARRIER_NOTICED: Bound = ms(20.0, 300.0);
/// A takeover at the end of a lease: the old data plane forwards until the new one does.
pub const LEASE_GAP: Bound = ms(1.0, 200.0);
/// From the standby's first answer on the LAN to the router's changed neighbour entry.
pub const NEIGHBOUR: Bound = ms(100.0, 600.0);
/// Two holders after a pause, where the one that was paused must ask before it claims.
pub const BOTH_AFTER_PAUSE: Bound = ms(50.0, 200.0);
/// Two holders around the end of a dead daemon's lease: the standby announces itself 40 ms before the program of the dead
/// one closes, so that no packet is lost between the two.
pub const BOTH_AT_LEASE_END: Bound = ms(0.0, 150.0);
/// Two holders where there may never be two.
pub const BOTH_NEVER: Bound = ms(0.0, 0.0);
/// Claims sent by a node that was away before it has heard its partner.
pub const CLAIMS: Bound = none_of("claims");
/// From a cut to what says so.
pub const ALARM: Bound = ms(1000.0, 3000.0);
/// From a foreign claim, or from another configuration, to what says so.
pub const ALARM_SLOW: Bound = ms(2000.0, 5000.0);
/// Two holders after a cut between them has healed.
pub const HEALED: Bound = ms(100.0, 1000.0);
/// Frames that a dispatcher got from its partner to balance and would have sent back.
pub const LOOPS: Bound = none_of("frames");
/// Role changes under a cut in one direction.
pub const ONE_CHANGE: Bound = at_most("takeovers", 1.0, 1.0);
/// Role changes of a flapping link.
pub const FLAP_CHANGES: Bound = at_most("takeovers", 2.0, 3.0);
/// All gaps of a flapping link together.
pub const FLAP_GAPS: Bound = ms(1000.0, 5000.0);
/// Share of one core, user and kernel, of the whole daemon under a flood.
pub const FLOOD_CPU: Bound = at_most("% of a core", 5.0, 40.0);
/// From the start of both daemons, loading their programs included, to one holder.
pub const BOOT: Bound = ms(1000.0, 12_000.0);
/// Two holders after both were started at once.
pub const BOTH_AT_BOOT: Bound = ms(100.0, 300.0);
/// Time that a node that hears nobody was active before it may be.
pub const ALONE_TOO_EARLY: Bound = ms(0.0, 0.0);
/// From the loss of a reach target to the takeover.
pub const REACH: Bound = ms(1000.0, 4000.0);
/// Looks at which a node was active again before replication was complete.
pub const EARLY_FAILBACK: Bound = none_of("looks");
/// From a join to complete replication.
pub const RESYNC: Bound = ms(5000.0, 15_000.0);
/// From the end of a cut to equal tables.
pub const EQUAL_TABLES: Bound = ms(5000.0, 15_000.0);
/// Flows that one table has and the other has not.
pub const TABLE_DIFFERENCE: Bound = at_most("flows", 0.0, 0.0);
/// Growth of a daemon's own memory while replication is cut.
pub const QUEUE_MEMORY: Bound = at_most("MiB", 64.0, 64.0);
/// All neighbour entries of a hundred addresses are right although claims are lost.
pub const HUNDRED_ADDRESSES: Bound = ms(3000.0, 6000.0);
/// The last of a thousand addresses is announced.
pub const THOUSAND_ADDRESSES: Bound = ms(150.0, 1500.0);
/// Heartbeats that came late to their own deadline meanwhile.
pub const LATE: Bound = at_most("heartbeats", 0.0, 50.0);
/// Addresses in a failed duplicate address detection.
pub const DAD_FAILED: Bound = none_of("addresses");

/// From a server's death to the last client that still meets it, with the default check.
pub const OUT_DEFAULT: Bound = ms(1600.0, 3200.0);
/// The same with `profile = "fast"`.
pub const OUT_FAST: Bound = ms(350.0, 1500.0);
/// New flows that go to another server when one of three is out: its own, and one of a hundred. What was asked for is a
/// sample of a thousand, whose share of one server is off by three of a hundred now and then.
pub const REMAPPED_OF_THREE: Bound = at_most("%", 34.33, 39.0);
/// The same when a fourth joins.
pub const REMAPPED_OF_FOUR: Bound = at_most("%", 26.0, 31.0);
/// New flows that change between servers that neither came nor went.
pub const REMAPPED_NEEDLESSLY: Bound = at_most("%", 1.0, 2.0);
/// New connections to a server that is drained.
pub const TO_DRAINED: Bound = none_of("connections");
/// From the end of the last connection of a drained server to the event: flows are counted once a second.
pub const EMPTY_TOLD: Bound = ms(2000.0, 6000.0);
/// From a drain's deadline to the event.
pub const RELEASED: Bound = ms(100.0, 1000.0);
/// Changes of a server that comes and goes, in half a minute after its third.
pub const CALM_CHANGES: Bound = at_most("changes", 1.0, 1.0);
/// From the moment when no check has an answer any more to what says so.
pub const ALARM_OF_CHECKS: Bound = ms(3000.0, 8000.0);
/// Servers that are told of, or change, although nothing happened to them.
pub const TOLD_SINGLY: Bound = none_of("servers");
/// Programs of checks that nobody ended.
pub const LEFT_OVER: Bound = none_of("programs");
/// How far from its time limit a check ends.
pub const DEADLINE: Bound = ms(10.0, 300.0);
/// Memory that a server can make the dispatcher hold.
pub const MEMORY_OF_TARGET: Bound = at_most("KiB", 64.0, 1024.0);
/// Checks of a good server that were not made in time because of others.
pub const LEFT_OUT: Bound = at_most("checks", 0.0, 2.0);
/// From a server's new hardware address to its use.
pub const NEW_CARD: Bound = ms(1000.0, 5000.0);
/// From a content host's claim of the cluster address to the alarm.
pub const CLAIM_TOLD: Bound = ms(2000.0, 8000.0);
/// From a wrong set-up to its name.
pub const NAMED: Bound = ms(5000.0, 12_000.0);
