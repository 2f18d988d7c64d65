//! `geminus-bench`: what Geminus costs.
//!
//! Four parts: one packet by test-run ([`packet`]), packets on a line of veth pairs ([`mod@line`]), the real binary
//! ([`control`]), and what its checks take ([`checks`]). Each gives figures; [`report`] weighs them against what was promised and writes them down.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "figures are for the terminal")]

#[path = "../../geminus-ebpf-bench/src/case.rs"]
mod case;
mod checks;
mod control;
mod feeder;
mod figure;
mod frame;
mod line;
mod machine;
mod packet;
mod path;
mod report;
mod stage;

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::{Parser, ValueEnum};
use rustix::thread::{CpuSet, sched_setaffinity};

use crate::machine::Machine;
use crate::packet::Effort;
use crate::report::Report;

/// Measure what Geminus costs.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// Only this part; may be given several times [default: all]
    #[arg(long, value_enum, value_name = "PART")]
    part: Vec<Part>,
    /// Only the packet paths that figures were promised for, in a few seconds.
    #[arg(long, conflicts_with_all = ["part", "write"])]
    quick: bool,
    /// Only packet paths whose name has this in it.
    #[arg(long, value_name = "TEXT", default_value = "")]
    only: String,
    /// The CPU that packets are measured on [default: the last]
    #[arg(long, value_name = "N")]
    cpu: Option<usize>,
    /// The binary whose control plane is measured.
    #[arg(long, value_name = "PATH", default_value = "target/release/geminus")]
    geminus: PathBuf,
    /// Write the page for people to this file.
    #[arg(long, value_name = "PATH", conflicts_with_all = ["part", "only"])]
    write: Option<PathBuf>,
    /// Write the figures for programs to this file.
    #[arg(long, value_name = "PATH")]
    json: Option<PathBuf>,
}

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// One packet, path by path.
    Packet,
    /// Packets a second and CPU per packet against routing and nftables.
    Line,
    /// The daemon and `check`.
    Control,
    /// A thousand servers checked each second.
    Checks,
}

fn main() -> ExitCode {
    let result = measure(&Arguments::parse());
    geminus_lab::undo::leave_to_signal();
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("geminus-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn measure(arguments: &Arguments) -> Result<()> {
    let mut report = Report::new(Machine::look()?);
    let measured = each_part(arguments, &mut report);
    // What was measured before a part failed took minutes.
    print!("{}", report.for_terminal());
    if let Some(file) = &arguments.json {
        let text = serde_json::to_string_pretty(&report)?;
        fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))?;
    }
    measured?;
    if let Some(file) = &arguments.write {
        fs::write(file, report.page()).with_context(|| format!("cannot write {}", file.display()))?;
    }
    Ok(())
}

fn each_part(arguments: &Arguments, report: &mut Report) -> Result<()> {
    let wanted = |part| match (arguments.quick || !arguments.only.is_empty(), arguments.part.as_slice()) {
        (true, _) => part == Part::Packet,
        (false, []) => true,
        (false, parts) => parts.contains(&part),
    };
    let cpu = arguments.cpu.unwrap_or(report.machine.cpus.saturating_sub(1));
    if wanted(Part::Packet) {
        let effort = effort(arguments);
        let (rows, memory) = first(Some(cpu), || packet::measure(&effort, tell))?;
        report.packet = rows;
        report.memory = memory;
    }
    if wanted(Part::Line) {
        report.line = first(Some(cpu), || line::measure(LINE_PASSES, LINE_MEASUREMENTS, tell))?;
    }
    if wanted(Part::Control) {
        report.control = Some(first(None, || control::measure(&arguments.geminus, tell))?);
    }
    if wanted(Part::Checks) {
        report.checks = Some(first(None, || checks::measure(&arguments.geminus, tell))?);
    }
    Ok(())
}

/// How often the line is measured with each balancer: so often in a row, so many times in turn.
const LINE_MEASUREMENTS: u32 = 5;
const LINE_PASSES: u32 = 6;

fn effort(arguments: &Arguments) -> Effort {
    let (passes, batches) = if arguments.quick { (2, 6) } else { (6, 10) };
    Effort { only: arguments.only.clone(), quick: arguments.quick, passes, batches }
}

/// Does something on a thread of its own that yields to nobody and, where a CPU is given, stays on it; what it starts
/// does so too.
fn first<T: Send>(cpu: Option<usize>, action: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            if let Some(cpu) = cpu {
                let mut cpus = CpuSet::new();
                cpus.set(cpu);
                sched_setaffinity(None, &cpus).with_context(|| format!("cannot run on CPU {cpu}"))?;
            }
            // Without the privilege the figures are noisier, not wrong.
            let _ = rustix::process::nice(-20);
            action()
        });
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

fn tell(line: &str) {
    eprintln!("{line}");
}
