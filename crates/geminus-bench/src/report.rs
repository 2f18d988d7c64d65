//! The figures weighed against what was promised, for the terminal, for people and for programs.

use std::fmt::Write as _;

use serde::Serialize;

use crate::control::Figures;
use crate::machine::Machine;
use crate::stage::Memory;
use crate::{checks, line, packet, path};

/// Everything that was measured.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) machine: Machine,
    pub(crate) packet: Vec<packet::Row>,
    pub(crate) memory: Option<Memory>,
    pub(crate) line: Vec<line::Row>,
    pub(crate) control: Option<Figures>,
    pub(crate) checks: Option<checks::Figures>,
}

/// A promised figure.
#[derive(Debug, Clone)]
struct Promise {
    what: String,
    most: f64,
    measured: f64,
    unit: &'static str,
    /// How it came out where it was measured otherwise: the median, as a rule.
    beside: String,
}

impl Report {
    pub(crate) fn new(machine: Machine) -> Self {
        Self { machine, packet: Vec::new(), memory: None, line: Vec::new(), control: None, checks: None }
    }

    /// What a terminal shows.
    pub(crate) fn for_terminal(&self) -> String {
        let mut text = String::new();
        if !self.packet.is_empty() {
            text += &self.packet_columns();
        }
        if !self.line.is_empty() {
            text += &format!(
                "\n{:<50} {:>9} | {:>5} {:>6} | {:>5} {:>6} | lost\n",
                "ns of CPU a packet", "flows", "line", "median", "share", "median"
            );
            for row in &self.line {
                let _ = writeln!(
                    text,
                    "{:<50} {:>9} | {:>5.0} {:>6.0} | {:>5.0} {:>6.0} | {}",
                    row.balancer,
                    row.flows,
                    row.line.min,
                    row.line.median,
                    row.share.min,
                    row.share.median,
                    row.lost
                );
            }
        }
        text.push('\n');
        for promise in self.promises() {
            let verdict = if promise.is_kept() { "met   " } else { "MISSED" };
            let _ = writeln!(
                text,
                "{verdict} {}: {} {unit} of at most {} {unit} ({})",
                promise.what,
                short(promise.measured),
                short(promise.most),
                promise.beside,
                unit = promise.unit
            );
        }
        text
    }

    fn packet_columns(&self) -> String {
        let mut text = format!(
            "{:<50} {:>5} {:>6} | {:>5} {:>6} | {:>5} {:>6} | per cent of the packets\n",
            "ns a packet", "net", "median", "gross", "median", "empty", "median"
        );
        for row in &self.packet {
            let _ = writeln!(
                text,
                "{:<50} {:>5} {:>6} | {:>5} {:>6} | {:>5} {:>6} | {}",
                row.path,
                row.net.min,
                row.net.median,
                row.gross.min,
                row.gross.median,
                row.empty.min,
                row.empty.median,
                row.reasons()
            );
        }
        text
    }

    fn promises(&self) -> Vec<Promise> {
        let mut promises: Vec<_> = self.packet.iter().filter_map(of_packet).collect();
        promises.extend(of_least(&self.packet));
        if let Some(memory) = self.memory {
            promises.push(of_memory("kernel memory per flow", 16.0, memory.flows, memory.slots));
            promises.push(of_memory("with the cold side", 56.0, memory.flows + memory.tuples, memory.slots));
        }
        if !self.line.is_empty() {
            promises.push(of_line(&self.line));
        }
        if let Some(control) = &self.control {
            promises.extend(of_control(control));
        }
        if let Some(checks) = &self.checks {
            promises.extend(of_checks(checks));
        }
        promises
    }

    /// `docs/benchmarks.md`.
    pub(crate) fn page(&self) -> String {
        let mut page = String::from(HEAD);
        page += &self.promise_table();
        page += &self.packet_table();
        page += &self.line_table();
        page += &self.control_list();
        page += METHOD;
        page += &self.machine_list();
        page
    }

    fn promise_table(&self) -> String {
        let promises = self.promises();
        let missed = promises.iter().filter(|promise| !promise.is_kept()).count();
        let verdict = match missed {
            0 => "Every figure was reached.".to_owned(),
            1 => "One figure was missed.".to_owned(),
            _ => format!("{missed} figures were missed."),
        };
        let mut text = format!(
            "## What was promised\n\n{verdict} {ORIGIN}\n\n| figure | at most | measured | as found | |\n|---|---:|---:|---:|---|\n"
        );
        for promise in promises {
            let verdict = if promise.is_kept() { "reached" } else { "**missed**" };
            let _ = writeln!(
                text,
                "| {} | {} {unit} | {} {unit} | {} | {verdict} |",
                promise.what,
                short(promise.most),
                short(promise.measured),
                promise.beside,
                unit = promise.unit
            );
        }
        text.push('\n');
        text
    }

    fn packet_table(&self) -> String {
        let yardstick = self.packet.first().map_or(f64::NAN, |row| row.gross.min);
        let mut text = String::from(PACKET);
        for row in &self.packet {
            let _ = writeln!(
                text,
                "| {} | {} | {} | {:.1} | {:.1} | {} |",
                row.path,
                short(row.net.min),
                short(row.net.median),
                row.gross.min / row.empty.min,
                row.gross.min / yardstick,
                row.reasons()
            );
        }
        text.push('\n');
        text
    }

    fn line_table(&self) -> String {
        let mut text = String::from(LINE);
        for row in &self.line {
            let _ = writeln!(
                text,
                "| {} | {} | {:.0} | {:.0} | {:.0} | {:.0} | {:.2} | {} |",
                row.balancer,
                flows(row.flows),
                row.line.min,
                row.line.median,
                row.share.min,
                row.share.median,
                row.packets_per_second / 1e6,
                row.lost
            );
        }
        let share = |name: &str, flows: u64| {
            let row = self.line.iter().find(|row| row.balancer.starts_with(name) && row.flows == flows);
            row.map_or(f64::NAN, |row| row.share.min)
        };
        let geminus = share("Geminus, IPv4", 1 << 10);
        let _ = writeln!(
            text,
            "\nAt 1 Ki flows kernel routing takes {:.1} times the share of Geminus, nftables DNAT {:.1} times.\n",
            share("kernel routing", 1 << 10) / geminus,
            share("nftables", 1 << 10) / geminus
        );
        text
    }

    fn control_list(&self) -> String {
        let Some(control) = &self.control else { return String::new() };
        format!(
            "## The control plane\n\nThe real binary in a network namespace; a file of {:.1} MiB with 1 000 clusters of 100 servers on \
             100 hosts. The figures that were promised are above; beside them, `geminus reload` after one server's weight was \
             changed in that file takes {} ms (median {}), most of it reading the file again, and its daemon keeps {} MiB \
             resident besides the tables.\n\n",
            control.file as f64 / f64::from(1 << 20),
            short(control.reload.min),
            short(control.reload.median),
            short(mebibytes(control.large_resident)),
        )
    }

    fn machine_list(&self) -> String {
        let machine = &self.machine;
        format!(
            "## Machine\n\n- {}, {} CPUs, {}; {}; {:.0} GiB of memory{}\n- Linux {}, BPF JIT {}\n- branch prediction: {}\n\
             - {}, commit {}; load average {} when the measurement began: other work shared the machine\n",
            machine.processor,
            machine.cpus,
            if machine.virtual_machine { "a virtual machine" } else { "bare metal" },
            machine.caches.join(", "),
            machine.memory_gib,
            if machine.virtual_machine { " (of the guest)" } else { "" },
            machine.kernel,
            if machine.jit { "on" } else { "off" },
            machine.branch_mitigations,
            machine.date,
            machine.commit,
            machine.load,
        )
    }
}

impl Promise {
    fn is_kept(&self) -> bool {
        self.measured <= self.most
    }
}

fn of_packet(row: &packet::Row) -> Option<Promise> {
    Some(Promise {
        what: row.path.clone(),
        most: row.target? as f64,
        measured: row.net.min,
        unit: "ns",
        beside: format!("{} ns{}", short(row.net.median), unquiet(row)),
    })
}

/// A least that no quiet moment gave is not one.
fn unquiet(row: &packet::Row) -> &'static str {
    if row.quiet == 0 { "; never quiet" } else { "" }
}

/// Nanoseconds that a service pays for the lighter of two candidates.
const CHOICE: f64 = 15.0;

fn of_least(rows: &[packet::Row]) -> Option<Promise> {
    let row = |name: &str| rows.iter().find(|row| row.path == name);
    let (least, hash) = (row(path::LEAST)?, row(path::HASH)?);
    let over = least.net.less(hash.net);
    Some(Promise {
        what: "first packet, least-connections, over hash".into(),
        most: CHOICE,
        measured: over.min,
        unit: "ns",
        beside: format!(
            "{} ns; {:.2} times hash{}",
            short(over.median),
            least.net.min / hash.net.min,
            if hash.quiet == 0 { unquiet(hash) } else { unquiet(least) }
        ),
    })
}

fn of_memory(what: &str, most: f64, bytes: u64, slots: u64) -> Promise {
    let measured = bytes as f64 / slots as f64;
    // A table has one page more for the kernel's own description of it.
    let measured = (measured * 100.0).floor() / 100.0;
    Promise {
        what: what.into(),
        most,
        measured,
        unit: "bytes",
        beside: format!("{bytes} bytes for {slots} flows"),
    }
}

/// A line that loses packets measures something else.
fn of_line(rows: &[line::Row]) -> Promise {
    let sum = |of: fn(&line::Row) -> u64| rows.iter().map(of).sum::<u64>();
    Promise {
        what: "packets lost on the line, every balancer together".into(),
        most: 0.0,
        measured: sum(|row| row.lost) as f64,
        unit: "packets",
        beside: format!("of {}", sum(|row| row.packets)),
    }
}

fn of_control(control: &Figures) -> [Promise; 8] {
    let of = |what: &str, most: f64, measured: crate::figure::Spread| Promise {
        what: what.into(),
        most,
        measured: measured.min,
        unit: "ms",
        beside: format!("{} ms", short(measured.median)),
    };
    [
        of("`geminus check`, 1 000 clusters of 100 servers", 2000.0, control.check),
        Promise {
            beside: format!(
                "{} ms; {} ms of CPU",
                short(control.first_answer.median),
                short(control.first_answer_cpu.median)
            ),
            ..of(
                "first apply: from the start of the daemon to the last cluster's answer",
                5000.0,
                control.first_answer,
            )
        },
        of("a one-server change (`geminus weight`)", 100.0, control.weight),
        cpu("the daemon, idle, without checks", 0.3, control.idle),
        resident("the daemon, idle, without checks", 20.0, control.idle),
        cpu("the daemon while it checks three servers twice a second", 1.0, control.checking),
        resident("the daemon while it checks three servers twice a second", 32.0, control.checking),
        Promise {
            what: format!(
                "packets lost in {} restarts and {} reloads",
                control.upheaval.restarts, control.upheaval.reloads
            ),
            most: 0.0,
            measured: control.upheaval.lost as f64,
            unit: "packets",
            beside: format!("of {}", control.upheaval.sent),
        },
    ]
}

fn cpu(what: &str, most: f64, daemon: checks::Taken) -> Promise {
    Promise {
        what: format!("{what}: CPU"),
        most,
        measured: daemon.cpu,
        unit: "% of a core",
        beside: "of 20 s".into(),
    }
}

fn resident(what: &str, most: f64, daemon: checks::Taken) -> Promise {
    Promise {
        what: format!("{what}: resident besides tables"),
        most,
        measured: mebibytes(daemon.resident),
        unit: "MiB",
        beside: "after 25 s".into(),
    }
}

fn of_checks(figures: &checks::Figures) -> [Promise; 4] {
    let of = |what: &str, most, measured, unit, beside| Promise {
        what: format!("1 000 servers checked each second: {what}"),
        most,
        measured,
        unit,
        beside,
    };
    let without = figures.unchecked;
    [
        of(
            "CPU",
            15.0,
            figures.checked.cpu,
            "% of a core",
            format!(
                "{} without checks, {} of a loop that only connects and resets",
                short(without.cpu),
                short(figures.bare)
            ),
        ),
        of(
            "resident besides tables",
            64.0,
            mebibytes(figures.checked.resident),
            "MiB",
            format!("{} without checks", short(mebibytes(without.resident))),
        ),
        of(
            "the busiest tenth of a second",
            1.5,
            figures.busiest,
            "times the mean",
            format!("the machine itself stood still for {} ms at most", short(figures.stood_still)),
        ),
        of(
            "checks left out",
            0.0,
            figures.missing,
            "% of them",
            format!("{} a second were made", short(figures.per_second)),
        ),
    ]
}

fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

fn flows(count: u64) -> String {
    match count {
        0..1024 => count.to_string(),
        1024..1_048_576 => format!("{} Ki", count >> 10),
        _ => format!("{} Mi", count >> 20),
    }
}

/// No more digits than the measurement has.
fn short(figure: f64) -> String {
    if figure.fract() == 0.0 || figure >= 100.0 {
        format!("{figure:.0}")
    } else if figure >= 10.0 {
        format!("{figure:.1}")
    } else {
        format!("{figure:.2}")
    }
}

const HEAD: &str = "# Benchmarks

Written by `cargo xtask bench --write`; do not edit. Every figure is from one run on one machine, described at the end, that
other work shared: *least* is the quiet machine, *median* the machine as found. Compare least with least and median with
median, and figures of one run only; on another machine compare ratios.

";

const ORIGIN: &str =
    "The promises for one packet were made with figures of another processor in mind (AMD Zen 3); the second
yardstick below says what one cache line that is in no cache costs on this one.";

const PACKET: &str = "## One packet

Nanoseconds for the packet program alone, by repeated test-run, net of a program that returns at once in the same place. The
last columns are gross figures as ratios: to that empty program, and to the yardstick, the least program that can be called
MAC forwarding; and how the packets were counted, by reason, in per cent.

| path | net, least | net, median | × empty | × yardstick | counted as |
|---|---:|---:|---:|---:|---|
";

const LINE: &str = "## Packets on a line

Nanoseconds of CPU a packet for a line of veth pairs, source, balancer and sink on one CPU; *share* is the balancer's own,
less the line whose balancer drops. Packets per second are what that one CPU carries, source and sink included.

| balancer | flows | line, least | line, median | share, least | share, median | Mpackets/s | lost |
|---|---:|---:|---:|---:|---:|---:|---:|
";

const METHOD: &str = "## Method

**One packet.** A repeated test-run gives a program its own output back, so what is repeated is a small program that writes
the header bytes afresh (source address and port from a flow counter), enters the packet program by a tail call from a
function of its own, so that control returns, and counts what came back. The empty program stands in the same slot and is
fed the same frames, batch by batch in turn: net is gross less empty, least less least, median less median. Batches are of
65 536 packets (16 384 where flows begin in an emptied table), 60 per path, spread over six passes through all paths; the
first batch of each pass warms up and does not count. A batch is *quiet* when the empty program is at its fastest (10 %) just
before and just after it; paths that have fewer than three such batches after the passes have single ones more, for four
minutes at most, and a path without any is marked *never quiet*. Flows come in an order that has nothing to do with the table's: at 1 Mi
flows a packet's bucket was last touched a million packets ago. Before anything is timed, one output of each path is compared
byte for byte with what it has to be; while it is timed, every XDP action and every reason counter is. The kernel gives whole
nanoseconds. The second yardstick reads one cache line out of as many as a flow table of 2 Mi slots has, another for each
packet: on this machine no flow that is not in a cache can be remembered, or found again, for less. 1 Mi flows stand in tables of 2 Mi slots, since as many flows as slots overfill some buckets of eight; that case
has its own row. *Free slot* and *empty table*: tables were emptied before each batch and swept out of the caches. Tables keep
the cold side unless the row says otherwise.

**The line.** Frames come from a live test-run (`BPF_F_TEST_XDP_LIVE_FRAMES`), which redirects them into a veth, 64 at a time;
what the balancer sends by `XDP_TX` comes back to the source's end and is counted there, what the kernel routes goes on to a
third namespace, whose kernel counts it and drops it at once. CPU time is that of the thread and of its CPU's softirq thread by
the scheduler's clock, over 131 072 frames, 30 times per row in six passes. Every row must lose nothing. Destination NAT is one
nftables rule, a map of ten servers; routing has permanent neighbour entries; both have GRO as on a network card. No socket
and no network card is part of it.

**The control plane.** The release binary in the namespaces of `geminus-lab`, at the highest priority, since other work on
the machine is not its cost. *First apply* is a whole start: reading the
file, loading and verifying the program, making the tables, building a thousand rings, attaching; it ends when the last
cluster answers an echo. Five times each, the daemon killed and its tables removed in between; ten times for `weight`.
Restarts are half `kill -9`, half SIGTERM under `--detach`; each is followed by a reload by verb and one by signal, each with
another weight, while numbered UDP packets go through the dispatcher in both families and come back from the content hosts.

**Checks.** A thousand IPv6 addresses of one content host are the servers of ten services, each checked by a TCP handshake each
second by the clients' road, and looked at every few seconds for who answers for the cluster address; nothing else happens. The
host notes when each check comes. The same site without checks stands beside it, and what a thousand connections a second take of
a loop that connects, resets and does nothing else: most of it is the kernel's, the content host's share of each handshake included,
for both ends are on one machine.

";
