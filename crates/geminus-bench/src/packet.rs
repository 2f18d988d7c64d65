//! Nanoseconds a packet, path by path: gross less what the empty program in the same slot takes, batch by batch in turn.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use aya::programs::ProgramFd;
use geminus_packet::verdict::{Class, REASONS, Reason, reasons};
use serde::Serialize;

use crate::feeder::Feeder;
use crate::figure::{Spread, spread};
use crate::frame::NODE;
use crate::path::{self, Before, Output, Path, TX, Tables};
use crate::stage::{LOOPBACK, Memory, SERVERS, Stage, server_mac};

/// How much is measured.
#[derive(Debug, Clone)]
pub(crate) struct Effort {
    /// Only paths whose name has this in it.
    pub(crate) only: String,
    /// Only the paths of the quick set.
    pub(crate) quick: bool,
    /// How often the whole list is gone through.
    pub(crate) passes: u32,
    /// Batches of a path before the next one has its turn; one more warms up.
    pub(crate) batches: u32,
}

/// What one path came to.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Row {
    pub(crate) path: String,
    pub(crate) net: Spread,
    pub(crate) gross: Spread,
    /// The empty program in the same slot, fed the same; its least is that of all paths fed alike.
    pub(crate) empty: Spread,
    /// Nanoseconds that are promised.
    pub(crate) target: Option<u64>,
    /// How the packets were counted, most first, in per cent.
    pub(crate) reasons: Vec<(String, f64)>,
    pub(crate) batches: usize,
    /// How many of the batches were quiet: the empty program was at its fastest just before and just after.
    pub(crate) quiet: usize,
}

/// More than any cache holds.
const CACHES: usize = 64 << 20;
/// So many quiet batches are enough for a path, and no more than so long is waited for them. A processor that somebody else
/// shares takes twice as long for everything as long as the other one works, for seconds at a time.
const QUIET: usize = 3;
const PATIENCE: Duration = Duration::from_secs(240);
/// Between two looks whether it is quiet now.
const PAUSE: Duration = Duration::from_millis(10);
/// The empty program is at its fastest up to so many times its least: the kernel gives whole nanoseconds.
const AT_ITS_FASTEST: f64 = 1.1;

impl Row {
    /// How its packets were counted, for people; shares below a tenth of a per cent are left out.
    pub(crate) fn reasons(&self) -> String {
        let shown = self.reasons.iter().filter(|(_, share)| *share >= 0.05);
        shown.map(|(name, share)| format!("{name} {share:.1}")).collect::<Vec<_>>().join(", ")
    }
}

struct Series {
    path: Path,
    next: u64,
    gross: Vec<f64>,
    empty: Vec<f64>,
    /// The slower of the empty program's runs around each batch.
    around: Vec<f64>,
    reasons: [u64; REASONS],
}

/// Measures every path; the yardsticks come first.
pub(crate) fn measure(effort: &Effort, say: impl Fn(&str)) -> Result<(Vec<Row>, Option<Memory>)> {
    let start = Instant::now();
    let mut feeder = Feeder::load()?;
    let empty = feeder.yardstick("empty")?;
    let mut yardsticks = yardsticks(&feeder)?;
    let mut series = wanted(effort);
    let stages = stages(&mut feeder, &series)?;
    for one in &mut series {
        let stage = &stages[&one.path.tables];
        one.check(&mut feeder, stage).with_context(|| format!("checking {}", one.path.name))?;
    }
    say(&format!("flows are open after {:.1} s", start.elapsed().as_secs_f64()));
    for pass in 1..=effort.passes {
        for (yardstick, program) in &mut yardsticks {
            yardstick.measure_bare(&mut feeder, program, &empty, effort.batches)?;
        }
        for one in &mut series {
            let stage = &stages[&one.path.tables];
            one.measure(&mut feeder, stage, &empty, effort.batches).with_context(|| one.path.name)?;
        }
        say(&format!("pass {pass} of {} after {:.1} s", effort.passes, start.elapsed().as_secs_f64()));
    }
    let patient = Instant::now();
    while patient.elapsed() < PATIENCE && !effort.quick {
        let least = quiet(yardsticks.iter().map(|(yardstick, _)| yardstick).chain(&series));
        let mut wanting = series.iter_mut().filter(|one| one.quiet(&least) < QUIET).peekable();
        if wanting.peek().is_none() {
            break;
        }
        for one in wanting {
            let stage = &stages[&one.path.tables];
            if one.is_quiet_now(&mut feeder, &empty, &least)? {
                one.measure(&mut feeder, stage, &empty, 1).with_context(|| one.path.name)?;
            } else {
                std::thread::sleep(PAUSE);
            }
        }
    }
    say(&format!("waited {:.1} s for quiet moments", patient.elapsed().as_secs_f64()));
    for (tables, stage) in &stages {
        say(&format!("{tables:?}: {:.1} % of the flow slots taken", stage.fill() * 100.0));
    }
    let memory = stages.get(&Tables::Default).map(Stage::memory).transpose()?;
    series.splice(0..0, yardsticks.into_iter().map(|(yardstick, _)| yardstick));
    Ok((rows(&series), memory))
}

fn wanted(effort: &Effort) -> Vec<Series> {
    let wanted = |path: &Path| (path.quick || !effort.quick) && path.name.contains(&effort.only);
    // Each path has flow numbers of its own, or one would find another's flows.
    let paths = path::paths().into_iter().filter(wanted).zip(0_u64..);
    paths.map(|(path, at)| Series::new(path, at << 24)).collect()
}

/// The tables that the paths are measured in, with the flows that live there.
fn stages(feeder: &mut Feeder, series: &[Series]) -> Result<BTreeMap<Tables, Stage>> {
    let mut stages = BTreeMap::new();
    for tables in series.iter().map(|one| one.path.tables) {
        if let Entry::Vacant(vacant) = stages.entry(tables) {
            vacant.insert(prepare(feeder, tables).with_context(|| format!("preparing {tables:?}"))?);
        }
    }
    Ok(stages)
}

/// What the empty program's time depends on.
type Shape = (bool, usize, bool);

/// The empty program's least, shape by shape.
fn quiet<'a>(series: impl IntoIterator<Item = &'a Series>) -> BTreeMap<Shape, f64> {
    let mut quiet = BTreeMap::new();
    for one in series {
        let least = quiet.entry(one.shape()).or_insert(f64::INFINITY);
        *least = one.empty.iter().copied().fold(*least, f64::min);
    }
    quiet
}

fn rows(series: &[Series]) -> Vec<Row> {
    let least = quiet(series);
    series.iter().map(|one| one.row(&least)).collect()
}

/// The programs that the paths are held against, fed like an established flow; the first is the one for ratios.
fn yardsticks(feeder: &Feeder) -> Result<Vec<(Series, ProgramFd)>> {
    let named = [
        ("rewrite", "yardstick: parse IP, swap hardware addresses, send", 1),
        ("recall", "yardstick: read one of 32 MiB of cache lines", 1 << 20),
    ];
    let of = |(program, name, flows)| {
        Ok((Series::new(path::yardstick(name, flows), 0), feeder.yardstick(program)?))
    };
    named.into_iter().map(of).collect()
}

fn prepare(feeder: &mut Feeder, tables: Tables) -> Result<Stage> {
    let (size, tuples) = match tables {
        Tables::Bare => ("1Mi", false),
        Tables::Default | Tables::Fresh | Tables::Tight | Tables::Full => ("1Mi", true),
        Tables::Wide4 | Tables::Wide6 | Tables::WideUdp => ("2Mi", true),
    };
    let stage = Stage::new(size, tuples, LOOPBACK)?;
    for resident in path::residents(tables) {
        stage.open(feeder, &resident)?;
    }
    Ok(stage)
}

impl Series {
    fn new(path: Path, next: u64) -> Self {
        Self { path, next, gross: Vec::new(), empty: Vec::new(), around: Vec::new(), reasons: [0; REASONS] }
    }

    /// One frame of the path, byte for byte.
    fn check(&mut self, feeder: &mut Feeder, stage: &Stage) -> Result<()> {
        self.make_ready(feeder, stage, 1)?;
        let given = self.path.traffic.frame_of(self.next);
        let got = feeder.feed(stage.program(), &self.path.traffic, self.next, 1)?;
        ensure!(got.actions[self.path.action] == 1, "came back with {:?}", got.actions);
        match &self.path.output {
            Output::Same => {
                ensure!(got.frame == given, "the frame changed: {:02x?} became {:02x?}", given, got.frame)
            }
            Output::Exactly(wanted) => {
                ensure!(got.frame == *wanted, "{:02x?}, not {:02x?}", got.frame, wanted)
            }
            Output::ToServer => {
                let to_server = (1..=SERVERS).any(|number| got.frame[..6] == server_mac(number));
                ensure!(to_server && got.frame[6..12] == NODE, "goes to {:02x?}", &got.frame[..12]);
                ensure!(got.frame[12..] == given[12..], "more than hardware addresses changed");
            }
        }
        self.advance(1);
        Ok(())
    }

    fn measure(&mut self, feeder: &mut Feeder, stage: &Stage, empty: &ProgramFd, batches: u32) -> Result<()> {
        let runs = self.path.batch;
        for round in 0..=batches {
            let bare = feeder.feed(empty, &self.path.traffic, self.next, runs)?;
            self.make_ready(feeder, stage, runs)?;
            let before = stage.reasons();
            let batch = feeder.feed(stage.program(), &self.path.traffic, self.next, runs)?;
            let counted = batch.actions[self.path.action];
            ensure!(counted == u64::from(runs), "came back with {:?}", batch.actions);
            self.count(&before, &stage.reasons(), runs)?;
            let after = feeder.feed(empty, &self.path.traffic, self.next, runs)?;
            self.advance(runs);
            if round > 0 {
                self.note(bare.nanoseconds, batch.nanoseconds, after.nanoseconds);
            }
        }
        Ok(())
    }

    /// A program without tables.
    fn measure_bare(
        &mut self,
        feeder: &mut Feeder,
        program: &ProgramFd,
        empty: &ProgramFd,
        batches: u32,
    ) -> Result<()> {
        for round in 0..=batches {
            let bare = feeder.feed(empty, &self.path.traffic, self.next, self.path.batch)?;
            let batch = feeder.feed(program, &self.path.traffic, self.next, self.path.batch)?;
            let after = feeder.feed(empty, &self.path.traffic, self.next, self.path.batch)?;
            self.advance(self.path.batch);
            ensure!(
                batch.actions[TX] == u64::from(self.path.batch),
                "the yardstick answered {:?}",
                batch.actions
            );
            if round > 0 {
                self.note(bare.nanoseconds, batch.nanoseconds, after.nanoseconds);
            }
        }
        Ok(())
    }

    fn note(&mut self, before: u64, batch: u64, after: u64) {
        self.empty.push(before as f64);
        self.gross.push(batch as f64);
        self.around.push(before.max(after) as f64);
    }

    fn quiet(&self, least: &BTreeMap<Shape, f64>) -> usize {
        let fast = least[&self.shape()] * AT_ITS_FASTEST;
        self.around.iter().filter(|empty| **empty <= fast).count()
    }

    fn is_quiet_now(
        &self,
        feeder: &mut Feeder,
        empty: &ProgramFd,
        least: &BTreeMap<Shape, f64>,
    ) -> Result<bool> {
        let now = feeder.feed(empty, &self.path.traffic, self.next, self.path.batch)?;
        Ok(now.nanoseconds as f64 <= least[&self.shape()] * AT_ITS_FASTEST)
    }

    fn make_ready(&self, feeder: &mut Feeder, stage: &Stage, runs: u32) -> Result<()> {
        match &self.path.before {
            Before::Nothing => {}
            Before::Forgotten => {
                stage.forget_provisional();
                self.flush();
            }
            Before::EachBatch(first) => {
                stage.forget_provisional();
                if matches!(self.path.tables, Tables::Fresh | Tables::Bare) {
                    stage.forget_flows();
                }
                self.flush();
                feeder.feed(stage.program(), first, self.next, runs)?;
            }
        }
        Ok(())
    }

    /// Scanning the tables brought them into the caches; this brings them out again.
    fn flush(&self) {
        std::hint::black_box(vec![1_u8; CACHES]);
    }

    fn count(&mut self, before: &[u64; REASONS], after: &[u64; REASONS], runs: u32) -> Result<()> {
        let mut notes = String::new();
        for reason in reasons() {
            let at = usize::from(reason.counter.0);
            let packets = after[at] - before[at];
            self.reasons[at] += packets;
            if packets > 0 {
                notes += &format!(" {} {packets}", reason.name);
            }
        }
        let at = usize::from(self.path.reason.0);
        let share = (after[at] - before[at]) as f64 / f64::from(runs);
        ensure!(share >= self.path.share, "the packets took other paths:{notes}");
        Ok(())
    }

    fn advance(&mut self, runs: u32) {
        if self.path.goes_on {
            self.next += u64::from(runs);
        }
    }

    /// Paths of one shape share the empty program's least: one of them may have had no quiet moment, and would be flattered by
    /// it.
    fn shape(&self) -> Shape {
        let traffic = &self.path.traffic;
        (traffic.rewritten, traffic.frame.len(), traffic.flows.is_some())
    }

    fn row(&self, least: &BTreeMap<Shape, f64>) -> Row {
        let gross = spread(&self.gross);
        let empty = Spread { min: least[&self.shape()], ..spread(&self.empty) };
        Row {
            path: self.path.name.to_owned(),
            net: gross.less(empty),
            gross,
            empty,
            target: self.path.target,
            reasons: self.shares(),
            batches: self.gross.len(),
            quiet: self.quiet(least),
        }
    }

    fn shares(&self) -> Vec<(String, f64)> {
        let verdicts = reasons().filter(|reason| reason.class != Class::Note);
        let packets: u64 = verdicts.map(|reason| self.reasons[usize::from(reason.counter.0)]).sum();
        let share = |reason: &Reason| {
            let counted = self.reasons[usize::from(reason.counter.0)];
            (reason.name.to_owned(), counted as f64 * 100.0 / packets as f64)
        };
        let mut shares: Vec<_> = reasons().map(share).filter(|(_, share)| *share > 0.0).collect();
        shares.sort_by(|a, b| b.1.total_cmp(&a.1));
        shares
    }
}
