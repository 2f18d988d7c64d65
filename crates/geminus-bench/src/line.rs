//! Packets a second and CPU per packet on a line of veth pairs: source, balancer and sink on one pinned CPU.
//!
//! ```text
//!   source ──a0  b0── balancer ──b1  c0── sink
//! ```
//!
//! Frames come from a live test-run, which redirects them into `a0`; what sends by `XDP_TX` sends them back there, what
//! routes sends them on to `c0`. Everything happens on the CPU that runs the test-run: there is no sender's socket, and
//! one CPU's time is the time of the whole line. The line with a balancer that drops is what the others are net of.

use std::fs;
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use aya::programs::xdp::XdpLink;
use geminus_lab::namespace::{Namespace, index_of};
use geminus_lab::undo::Ledger;
use geminus_packet::verdict::Path as Chosen;
use rustix::thread::sched_getcpu;
use serde::Serialize;

use crate::feeder::{Feeder, Flows, Traffic};
use crate::figure::{Spread, spread};
use crate::frame::{self, ACK, Family};
use crate::stage::{Stage, WEB, server_mac};

/// Frames of one measurement.
const FRAMES: u32 = 1 << 17;
/// What the driver hands over at once; a veth's ring holds 256.
const BURST: u32 = 64;

/// What the balancer on the line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Balancer {
    /// It drops: what the line costs without one.
    Dropping,
    /// The least that can be called MAC forwarding.
    Rewriting,
    /// Geminus.
    Geminus,
    /// The kernel's routing.
    Routing,
    /// nftables with destination NAT to ten servers.
    Nat,
}

/// One row of the table.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Row {
    pub(crate) balancer: String,
    pub(crate) flows: u64,
    /// Nanoseconds of CPU a packet for the whole line.
    pub(crate) line: Spread,
    /// The balancer's share: less the line whose balancer drops.
    pub(crate) share: Spread,
    pub(crate) packets_per_second: f64,
    /// Packets sent in measurements, and how many of them did not arrive.
    pub(crate) packets: u64,
    pub(crate) lost: u64,
}

struct Line {
    source: Namespace,
    balancer: Namespace,
    sink: Namespace,
    /// Index of `a0` where it is.
    out: u32,
    /// Index of `b0` where it is.
    front: u32,
    _ledger: Arc<Ledger>,
}

struct Series {
    balancer: Balancer,
    traffic: Traffic,
    stage: Option<Stage>,
    next: u64,
    times: Vec<f64>,
    lost: u64,
}

/// Measures every balancer, `passes` times in turn.
pub(crate) fn measure(passes: u32, each: u32, say: impl Fn(&str)) -> Result<Vec<Row>> {
    let line = Line::build()?;
    let mut feeder = Feeder::load()?;
    let sink = line.source.inside(|| feeder.attach("sink", index_of("a0")?))?;
    let mut series = line.series(&mut feeder)?;
    for pass in 1..=passes {
        for one in &mut series {
            one.measure(&line, &mut feeder, each).with_context(|| format!("{:?}", one.balancer))?;
        }
        say(&format!("line: pass {pass} of {passes}"));
    }
    drop(sink);
    let base = series.iter().find(|one| one.balancer == Balancer::Dropping).map(|one| spread(&one.times));
    let base = base.context("the line without a balancer was not measured")?;
    Ok(series.iter().map(|one| one.row(base)).collect())
}

impl Line {
    fn build() -> Result<Self> {
        let ledger = Ledger::open()?;
        let namespace = |name: &str| Namespace::new(name, &ledger);
        let (source, balancer, sink) = (namespace("source")?, namespace("balancer")?, namespace("sink")?);
        let mac = |mac: [u8; 6]| mac.map(|byte| format!("{byte:02x}")).join(":");
        source.ip(&format!(
            "link add a0 address {} type veth peer name b0 address {} netns {}\nlink set a0 up\n",
            mac(frame::ROUTER),
            mac(frame::NODE),
            balancer.name()
        ))?;
        balancer.ip(&format!("link add b1 type veth peer name c0 netns {}\n", sink.name()))?;
        for (key, value) in
            [("ipv4/ip_forward", "1"), ("ipv4/conf/all/rp_filter", "0"), ("ipv4/conf/default/rp_filter", "0")]
        {
            balancer.sysctl(key, value)?;
        }
        for namespace in [&source, &balancer, &sink] {
            namespace.sysctl("ipv6/conf/all/disable_ipv6", "1")?;
            namespace.sysctl("ipv6/conf/default/disable_ipv6", "1")?;
        }
        sink.ip("link set c0 up\n")?;
        let mut wires = String::from("link set b0 up\nlink set b1 up\naddr add 203.0.113.1/24 dev b0\n");
        wires += "addr add 198.51.100.1/24 dev b1\nroute add 198.18.0.0/15 via 203.0.113.2 dev b0\n";
        wires += &format!("neigh add 203.0.113.2 lladdr {} dev b0 nud permanent\n", mac(frame::ROUTER));
        // Hardware addresses that are not the sink's: it counts such a frame and drops it as early as a kernel can.
        wires += &format!("neigh add 198.51.100.80 lladdr {} dev b1 nud permanent\n", mac(server_mac(0)));
        for number in 1..=10 {
            let to = mac(server_mac(number));
            wires += &format!("neigh add 198.51.100.{} lladdr {to} dev b1 nud permanent\n", 20 + number);
        }
        balancer.ip(&wires)?;
        // As on a network card; without it, and without a program, a veth takes no frames from a redirect.
        balancer.run("ethtool", &["-K", "b0", "gro", "on"])?;
        let out = source.inside(|| index_of("a0"))?;
        let front = balancer.inside(|| index_of("b0"))?;
        Ok(Self { source, balancer, sink, out, front, _ledger: ledger })
    }

    fn series(&self, feeder: &mut Feeder) -> Result<Vec<Series>> {
        let mut series = vec![
            Series::new(Balancer::Dropping, Family::V4, 1 << 10),
            Series::new(Balancer::Rewriting, Family::V4, 1 << 10),
        ];
        for (family, flows, slots) in [
            (Family::V4, 1 << 10, "1Mi"),
            (Family::V6, 1 << 10, "1Mi"),
            (Family::V4, 1 << 16, "1Mi"),
            (Family::V4, 1 << 20, "2Mi"),
        ] {
            let mut one = Series::new(Balancer::Geminus, family, flows);
            one.stage = Some(self.stage(feeder, slots, &one.traffic)?);
            series.push(one);
        }
        for balancer in [Balancer::Routing, Balancer::Nat] {
            series.push(Series::new(balancer, Family::V4, 1 << 10));
            series.push(Series::new(balancer, Family::V4, 1 << 16));
        }
        Ok(series)
    }

    /// Geminus on the line's front, knowing the flows of this stream.
    fn stage(&self, feeder: &mut Feeder, slots: &str, traffic: &Traffic) -> Result<Stage> {
        let stage = Stage::new(slots, true, self.front)?;
        stage.open(feeder, traffic)?;
        Ok(stage)
    }

    fn nat(&self) -> Result<()> {
        let servers: Vec<_> = (0..10).map(|slot| format!("{slot} : 198.51.100.{}", 21 + slot)).collect();
        let rules = format!(
            "table ip bench {{\n chain pre {{\n type nat hook prerouting priority dstnat;\n ip daddr 198.51.100.80 \
             tcp dport 80 dnat to jhash ip saddr . tcp sport mod 10 map {{ {} }}\n }}\n}}\n",
            servers.join(", ")
        );
        self.balancer.feed("nft", &["-f", "-"], &rules).map(drop)
    }

    /// Takes the rules away again; every flow has to have met them.
    fn end_nat(&self, flows: u64) -> Result<()> {
        self.balancer.run("nft", &["delete", "table", "ip", "bench"])?;
        let tracked =
            self.balancer.inside(|| Ok(fs::read_to_string("/proc/sys/net/netfilter/nf_conntrack_count")?))?;
        let tracked: u64 = tracked.trim().parse()?;
        ensure!(tracked >= flows, "only {tracked} of {flows} flows were translated");
        Ok(())
    }

    fn arrived_at_sink(&self) -> Result<u64> {
        let counters = self.sink.inside(|| Ok(fs::read_to_string("/proc/thread-self/net/dev")?))?;
        let line =
            counters.lines().find_map(|line| line.trim().strip_prefix("c0:")).context("no c0 at the sink")?;
        let packets = line.split_whitespace().nth(1).context("/proc/net/dev has another shape")?;
        Ok(packets.parse()?)
    }
}

impl Series {
    fn new(balancer: Balancer, family: Family, count: u64) -> Self {
        let frame = frame::tcp(family, WEB, ACK);
        let flows = Flows { family, count, address_bits: 16 };
        // A frame comes back to the source as the last balancer left it, so all of it is written afresh.
        let traffic = Traffic { frame, flows: Some(flows), opening: false, rewritten: true };
        Self { balancer, traffic, stage: None, next: 0, times: Vec::new(), lost: 0 }
    }

    fn measure(&mut self, line: &Line, feeder: &mut Feeder, each: u32) -> Result<()> {
        let _attached = self.put_in_place(line, feeder)?;
        let known = self.established();
        for round in 0..=each {
            let before = self.arrived(line, feeder)?;
            let time = line.source.inside(|| {
                let time = CpuTime::now()?;
                feeder.send(&self.traffic, self.next, FRAMES, BURST, line.out)?;
                time.elapsed()
            })?;
            self.next += u64::from(FRAMES);
            let lost = u64::from(FRAMES).saturating_sub(self.arrived(line, feeder)? - before);
            if round > 0 {
                self.lost += lost;
                self.times.push(time as f64 / f64::from(FRAMES));
            }
        }
        let sent = u64::from(FRAMES) * u64::from(each + 1);
        match self.balancer {
            Balancer::Nat => line.end_nat(self.traffic.flows.map_or(1, |flows| flows.count)),
            Balancer::Geminus => {
                let known = self.established() - known;
                ensure!(known > sent * 9 / 10, "only {known} of {sent} packets belonged to remembered flows");
                Ok(())
            }
            Balancer::Dropping | Balancer::Rewriting | Balancer::Routing => Ok(()),
        }
    }

    /// Packets that Geminus has counted for remembered flows.
    fn established(&self) -> u64 {
        let counter = usize::from(Chosen::Established.counter().0);
        self.stage.as_ref().map_or(0, |stage| stage.reasons()[counter])
    }

    /// Puts the balancer on the line; it leaves when the link is dropped.
    fn put_in_place(&mut self, line: &Line, feeder: &mut Feeder) -> Result<Option<XdpLink>> {
        let front = line.front;
        match self.balancer {
            Balancer::Dropping => line.balancer.inside(|| feeder.attach("sink", front)).map(Some),
            Balancer::Rewriting => line.balancer.inside(|| feeder.attach("rewrite", front)).map(Some),
            Balancer::Geminus => {
                let stage = self.stage.as_mut().context("Geminus has no tables")?;
                line.balancer.inside(|| stage.attach(front)).map(Some)
            }
            Balancer::Routing => Ok(None),
            Balancer::Nat => line.nat().map(|()| None),
        }
    }

    /// Frames that came to where this balancer sends them.
    fn arrived(&self, line: &Line, feeder: &Feeder) -> Result<u64> {
        match self.balancer {
            Balancer::Routing | Balancer::Nat => line.arrived_at_sink(),
            Balancer::Dropping | Balancer::Rewriting | Balancer::Geminus => feeder.arrived(),
        }
    }

    fn row(&self, base: Spread) -> Row {
        let line = spread(&self.times);
        Row {
            balancer: self.name(),
            flows: self.traffic.flows.map_or(1, |flows| flows.count),
            line,
            share: line.less(base),
            packets_per_second: 1e9 / line.min,
            packets: self.times.len() as u64 * u64::from(FRAMES),
            lost: self.lost,
        }
    }

    fn name(&self) -> String {
        match self.balancer {
            Balancer::Dropping => "drops (the line itself)".into(),
            Balancer::Rewriting => "yardstick: swaps hardware addresses, `XDP_TX`".into(),
            Balancer::Geminus => {
                let family = self.traffic.flows.map_or(Family::V4, |flows| flows.family);
                format!("Geminus, {family}")
            }
            Balancer::Routing => "kernel routing, IPv4".into(),
            Balancer::Nat => "nftables DNAT, IPv4".into(),
        }
    }
}

/// CPU time of the calling thread and of its CPU's softirq thread.
struct CpuTime {
    nanoseconds: u64,
    softirq_thread: String,
}

impl CpuTime {
    fn now() -> Result<Self> {
        let cpu = sched_getcpu();
        let name = format!("ksoftirqd/{cpu}\n");
        let softirq_thread = fs::read_dir("/proc")?
            .flatten()
            .map(|entry| entry.path())
            .find(|path| fs::read_to_string(path.join("comm")).is_ok_and(|comm| comm == name))
            .with_context(|| format!("no ksoftirqd/{cpu}: CPU time cannot be told"))?;
        let softirq_thread = softirq_thread.join("schedstat").display().to_string();
        Ok(Self { nanoseconds: on_cpu(&softirq_thread)? + on_cpu(OWN)?, softirq_thread })
    }

    fn elapsed(&self) -> Result<u64> {
        Ok(on_cpu(OWN)? + on_cpu(&self.softirq_thread)? - self.nanoseconds)
    }
}

const OWN: &str = "/proc/thread-self/schedstat";

fn on_cpu(file: &str) -> Result<u64> {
    let text = fs::read_to_string(file).with_context(|| format!("cannot read {file}"))?;
    let nanoseconds = text.split_whitespace().next().with_context(|| format!("{file} has another shape"))?;
    Ok(nanoseconds.parse()?)
}
