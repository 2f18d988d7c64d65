//! Random packets through both homes of the packet path, one after the other on tables that fill up: equal action, bytes,
//! counters and tables after every one.
//!
//! `GEMINUS_DIFFERENTIAL` says how many (10^6 by default), `GEMINUS_SEED` where they begin.
//!
//! The kernel's clock runs by itself, the host's does not. So time passes for both by events alone: what the kernel's
//! clock gains is added to every entry in both homes, and an entry that the kernel wrote a tick later than the host is
//! put back by that tick. Every span in the tables is made of whole seconds, so a kernel whose clock is ahead of the
//! host's by less than one decides the same.

use std::env;

use geminus_core::model::Site;
use geminus_core::plan::Sources;
use geminus_fixtures::fixture::Step;
use geminus_fixtures::random::{Frames, Random};
use geminus_fixtures::snapshot::{Memory, each_way, seen};
use geminus_fixtures::stage::{Home, HostHome, Stage, hex};
use geminus_fixtures::{entries, ground, list, twin};
use geminus_packet::flow::{Bucket, Found, WAYS};
use geminus_packet::heap::Sizes;
use geminus_packet::tables::{Address, Server, Service, Source, SourceKey, Tables};
use geminus_packet::verdict::reasons;

use crate::home::{self, KernelHome};

const PACKETS: u64 = 1_000_000;
const SEED: u64 = 20_260_101;
/// Few buckets, so that they are full and flows meet.
const BUCKETS: u32 = 4;
/// Packets between two looks at the kernel's clock.
const LOOK: u64 = 64;
/// Packets between two events, on average.
const EVENT: usize = 1000;
/// Ticks by which the kernel's clock may be ahead: less than a second.
const AHEAD: u32 = 200;
/// Times that the machine may stand still for longer than that before the run is called worthless.
const STALLS: u32 = 200;

#[test]
fn kernel_and_host_agree_on_random_packets() {
    let number = |name, default| env::var(name).map_or(default, |text| text.parse().expect("a number"));
    let (packets, seed) = (number("GEMINUS_DIFFERENTIAL", PACKETS), number("GEMINUS_SEED", SEED));
    let frames = Frames::of(&list::all());
    let mut random = Random::new(seed);
    let sizes = home::sizes(BUCKETS);
    let mut twins = Twins::new(KernelHome::new(&sizes), &sizes);
    let mut seen = [0_u64; geminus_packet::verdict::REASONS];
    let mut stalls = 0;
    for at in 0..packets {
        if at % LOOK == 0 {
            twins.look();
        }
        if random.below(EVENT) == 0 {
            twins.happen(&mut random);
        }
        let frame = frames.next(&mut random);
        let Some(difference) = twins.run(&frame) else { continue };
        if twins.lag() > AHEAD {
            stalls += 1;
            assert!(stalls <= STALLS, "the machine stood still {stalls} times: nothing can be compared");
            twins.sum_up(&mut seen);
            twins = twins.afresh();
            continue;
        }
        let (least, twins) = smallest(&frame, twins.afresh());
        drop(twins);
        panic!(
            "packet {at} of seed {seed}: {difference}\nframe {}\nalone on fresh tables: {}",
            hex(&frame),
            least.map_or("no difference".into(), |(frame, difference)| format!(
                "{difference}\nby {}",
                hex(&frame)
            ))
        );
    }
    twins.sum_up(&mut seen);
    let never: Vec<_> = reasons().filter(|r| seen[usize::from(r.counter.0)] == 0).map(|r| r.name).collect();
    println!("{packets} packets of seed {seed} agree, {stalls} stalls; not among them: {never:?}");
    // What no lone CPU with whole tables does, and what only a frame without room or a foreign layout does.
    let rare = ["not-configured", "no-room", "flow-not-remembered"];
    let missed: Vec<_> = never.iter().filter(|name| !rare.contains(name)).collect();
    assert!(packets < PACKETS || missed.is_empty(), "the packets are not random enough: never {missed:?}");
}

/// One site in both homes.
struct Twins {
    host: Stage<HostHome>,
    kernel: Stage<KernelHome>,
    sizes: Sizes,
}

impl Twins {
    fn new(home: KernelHome, sizes: &Sizes) -> Self {
        let (host, kernel) = home::twins(home, sizes);
        Self { host, kernel, sizes: *sizes }
    }

    fn afresh(self) -> Self {
        Self::new(self.kernel.home, &self.sizes)
    }

    /// Runs a frame in both homes; tells the first difference.
    fn run(&mut self, frame: &[u8]) -> Option<String> {
        let on_host = self.host.home.run(frame);
        let in_kernel = self.kernel.home.run(frame);
        if on_host.action != in_kernel.action {
            return Some(format!("host {:?}, kernel {:?}", on_host.action, in_kernel.action));
        }
        if on_host.bytes != in_kernel.bytes {
            return Some(format!("host made {}, kernel {}", hex(&on_host.bytes), hex(&in_kernel.bytes)));
        }
        self.counters().or_else(|| self.memories()).or_else(|| self.tuples())
    }

    fn counters(&self) -> Option<String> {
        let (host, kernel) = (&self.host.home, &self.kernel.home);
        let reason = reasons().find(|reason| host.counted(reason.counter) != kernel.counted(reason.counter));
        if let Some(reason) = reason {
            let counted = [host.counted(reason.counter), kernel.counted(reason.counter)];
            return Some(format!("host and kernel counted {} {counted:?}", reason.name));
        }
        let counted = |home: &dyn Fn(u32) -> [u64; 3], tables: &dyn Tables, server| {
            (home(server), tables.server(server).map(|entry| entry.active.load()))
        };
        (0..self.sizes.servers).find_map(|server| {
            let on_host = counted(&|server| host.sent(server), host.tables(), server);
            let in_kernel = counted(&|server| kernel.sent(server), kernel.tables(), server);
            let differs = on_host != in_kernel;
            differs.then(|| format!("server {server}: host {on_host:?}, kernel {in_kernel:?}"))
        })
    }

    fn memories(&self) -> Option<String> {
        for memory in Memory::ALL {
            for number in 0..memory.buckets(&self.sizes) {
                let host = memory.bucket(self.host.home.tables(), number)?;
                let kernel = memory.bucket(self.kernel.home.tables(), number)?;
                let differs = (0..WAYS).find_map(|way| self.ways(host, kernel, way));
                if let Some(difference) = differs {
                    return Some(format!("{memory:?}, bucket {number}: {difference}"));
                }
            }
        }
        None
    }

    /// Compares one way, and puts it back by what the kernel's clock was ahead when it wrote it.
    fn ways(&self, host: &Bucket, kernel: &Bucket, way: usize) -> Option<String> {
        let (on_host, in_kernel) = match (host.way(way), kernel.way(way)) {
            (None, None) => return None,
            (Some(host), Some(kernel)) => (host, kernel),
            (host, kernel) => return Some(format!("way {way}: host {host:?}, kernel {kernel:?}")),
        };
        let now = self.host.home.now();
        let said = |found: &Found, bucket: &Bucket| {
            let note = found.note;
            (found.server, bucket.tag(found, 0), note.generation(), note.state(), note.pinned())
        };
        let (host_time, kernel_time) = (seen(&on_host, now), seen(&in_kernel, now));
        if host_time == now && kernel_time.wrapping_sub(now) <= AHEAD {
            kernel.touch(&in_kernel, None, now);
        } else if host_time != kernel_time {
            return Some(format!(
                "way {way}: seen {host_time} by the host, {kernel_time} by the kernel, now {now}"
            ));
        }
        let (one, two) = (said(&on_host, host), said(&in_kernel, kernel));
        (one != two).then(|| format!("way {way}: host {one:x?}, kernel {two:x?}"))
    }

    fn tuples(&self) -> Option<String> {
        let of = |slot| {
            let host = self.host.home.tables().tuple(slot)?;
            let kernel = self.kernel.home.tables().tuple(slot)?;
            let pairs = host.addresses.iter().zip(&kernel.addresses).chain([(&host.ports, &kernel.ports)]);
            let differs = pairs.into_iter().any(|(host, kernel)| host.load() != kernel.load());
            differs.then(|| format!("the tuple of slot {slot} differs"))
        };
        (0..self.sizes.tuples).find_map(of)
    }

    /// How far the kernel's clock is ahead.
    fn lag(&self) -> u32 {
        self.kernel.home.now().wrapping_sub(self.host.home.now())
    }

    /// Takes over the kernel's clock without anything getting older.
    fn look(&mut self) {
        let now = self.kernel.home.ticks();
        let before = self.host.home.now();
        // Tokens come with the kernel's time, and with the host's not at all.
        twin::DRY(self.host.home.tables());
        twin::DRY(self.kernel.home.tables());
        let gained = (now.0 as u32).wrapping_sub(before);
        if gained == 0 {
            return;
        }
        let younger = |_: Memory, _: u32, bucket: &Bucket, found: Found| {
            bucket.touch(&found, None, seen(&found, before).wrapping_add(gained));
        };
        each_way(self.host.home.tables(), &self.sizes, younger);
        each_way(self.kernel.home.tables(), &self.sizes, younger);
        self.host.home.now = now;
    }

    /// Lets something happen to both.
    fn happen(&mut self, random: &mut Random) {
        if random.below(16) == 0 {
            let is_there = random.below(3) > 0;
            lay_down(self.host.home.tables(), is_there);
            lay_down(self.kernel.home.tables(), is_there);
            return;
        }
        let step = event(random);
        if let Step::Seconds(seconds) = step {
            // The host's clock for both: entries are as old as the host says.
            let (now, by) = (self.host.home.now(), seconds * ground::TICKS.0);
            geminus_fixtures::snapshot::age(self.host.home.tables(), &self.sizes, now, by);
            geminus_fixtures::snapshot::age(self.kernel.home.tables(), &self.sizes, now, by);
            return;
        }
        self.host.take(&step);
        self.kernel.take(&step);
    }

    fn sum_up(&self, seen: &mut [u64]) {
        for reason in reasons() {
            seen[usize::from(reason.counter.0)] += self.kernel.home.counted(reason.counter);
        }
    }
}

/// Something that happens to a site.
fn event(random: &mut Random) -> Step {
    const RESTORE: fn(&mut Site) = |site| *site = ground::site();
    let changes = [
        RESTORE,
        RESTORE,
        |site| pop(&mut site.clusters),
        |site| pop(&mut site.clusters[0].services),
        |site| pop(&mut site.clusters[0].services[0].servers),
        |site| site.clusters.reverse(),
        |site| site.clusters.rotate_left(1),
        |site| site.clusters[0].services.reverse(),
        |site| site.clusters[0].services[0].servers.iter_mut().for_each(|server| server.weight = 0),
        |site| site.clusters[0].services[0].servers[0].weight = 9,
        |site| site.clusters[0].ping = !site.clusters[0].ping,
    ];
    let writes =
        [twin::COLLOCATED, twin::APART, twin::APART, twin::QUIET, twin::LOUD, twin::LOUD, twin::FLOODED];
    match random.below(26) {
        20.. => Step::Write(random.one(&BALANCING)),
        0 => Step::Yield,
        1..4 => Step::Lead,
        4 => Step::FindLost,
        16..20 => Step::Write(random.one(&writes)),
        5..9 => Step::Reload(random.one(&changes)),
        _ => Step::Seconds(random.one(&[1, 2, 30, 59, 60, 61, 1800, 3599, 3600, 3601, 20_000])),
    }
}

/// Something is laid down of two of the six clients of every service, or nothing of any.
fn lay_down(tables: &(impl Tables + Sources), is_there: bool) {
    entries::select_all(tables, Service::SOURCES, is_there);
    tables.laid_down().into_iter().for_each(|(key, _)| tables.take_up(key));
    let services = (0..).take_while(|&number| is_there && tables.service(number).is_some());
    for service in services {
        for client in [Address::v4(ground::CLIENT4), Address::v6(ground::CLIENT6)] {
            for (number, value) in [(1, Source::DENY), (2, Source::POOL | u64::from(service ^ 2))] {
                let mut address = SourceKey::bytes(client);
                address[15] += number;
                tables.lay_down(SourceKey { service, address, bits: 128 }, value).expect("there is room");
            }
        }
    }
}

/// What health, rules and the manager say of servers and services.
const BALANCING: [fn(&dyn Tables); 10] = [
    |tables| entries::mark(tables, 0, false),
    |tables| entries::mark(tables, Server::DOWN, false),
    |tables| entries::mark(tables, Server::DOWN, false),
    |tables| entries::mark(tables, Server::DOWN | Server::RESETS, true),
    |tables| entries::mark(tables, Server::LOOSE, true),
    |tables| entries::select_all(tables, Service::LEAST, true),
    |tables| entries::select_all(tables, Service::LEAST, true),
    |tables| entries::select_all(tables, Service::LEAST, false),
    |tables| entries::swap_pools(tables, true),
    |tables| entries::swap_pools(tables, false),
];

/// Takes the last one away, unless it is the only one.
fn pop<T>(list: &mut Vec<T>) {
    list.truncate((list.len() - 1).max(1));
}

/// The least of a frame that still makes a difference on fresh tables, if it does alone.
fn smallest(frame: &[u8], mut twins: Twins) -> (Option<(Vec<u8>, String)>, Twins) {
    let Some(mut difference) = twins.run(frame) else { return (None, twins) };
    let mut least = frame.to_vec();
    for at in (0..frame.len()).rev() {
        let mut candidates = vec![least.clone()];
        if at < least.len() {
            candidates[0][at] = 0;
        }
        if at >= 14 && at < least.len() {
            candidates.insert(0, least[..at].to_vec());
        }
        for candidate in candidates {
            twins = twins.afresh();
            if let Some(now) = twins.run(&candidate) {
                (least, difference) = (candidate, now);
                break;
            }
        }
    }
    (Some((least, difference)), twins)
}
