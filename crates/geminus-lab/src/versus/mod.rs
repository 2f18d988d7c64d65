//! Side by side with keepalived: the same faults on the same ground in the same run.

mod contender;
mod fault;
mod figures;
mod geminus;
mod ground;
mod keepalived;
mod page;
mod pulse;
mod trial;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use contender::Contender;
use fault::Fault;
use figures::{FaultFigures, Figures, Measured, Promised, Setting, Spread};
use geminus::{Geminus, Profile};
use ground::Ground;
use keepalived::{Adverts, Keepalived};
use trial::Steadiness;

/// What to measure and where it goes.
#[derive(Debug, Clone)]
pub struct Options {
    /// The binary under test.
    pub geminus: PathBuf,
    /// Trials of each fault and product; those that take long get fewer.
    pub runs: u32,
    /// How long loss lasts, for each share of it.
    pub loss: Duration,
    /// Only products whose name contains this.
    pub only: Option<String>,
    /// The page of documentation.
    pub page: Option<PathBuf>,
    /// The figures for programs.
    pub json: Option<PathBuf>,
}

/// A trial may be spoiled by the machine's other work so many times before it counts as a failure.
const PATIENCE: usize = 25;
/// Shares of frames lost.
const LOSSES: [u32; 2] = [10, 30];

/// Who is measured, in this order.
#[derive(Debug, Clone, Copy)]
enum Product {
    Geminus(Profile),
    Keepalived(Adverts),
}

impl Product {
    const ALL: [Self; 5] = [
        Self::Geminus(Profile::Fast),
        Self::Geminus(Profile::Default),
        Self::Keepalived(Adverts::Shortest),
        Self::Keepalived(Adverts::Short),
        Self::Keepalived(Adverts::Default),
    ];

    fn make(self, options: &Options) -> Result<Box<dyn Contender>> {
        Ok(match self {
            Self::Geminus(profile) => Box::new(Geminus::new(&options.geminus, profile)?),
            Self::Keepalived(adverts) => Box::new(Keepalived::new(adverts)?),
        })
    }

    /// Those whose names contain the word that was given.
    fn chosen(options: &Options) -> Vec<Self> {
        let wanted = |product: &Self| options.only.as_ref().is_none_or(|only| product.word().contains(only));
        Self::ALL.into_iter().filter(wanted).collect()
    }

    /// What `--only` is compared with.
    const fn word(self) -> &'static str {
        match self {
            Self::Geminus(Profile::Fast) => "geminus-fast",
            Self::Geminus(Profile::Default) => "geminus-default",
            Self::Keepalived(Adverts::Shortest) => "keepalived-10ms",
            Self::Keepalived(Adverts::Short) => "keepalived-100ms",
            Self::Keepalived(Adverts::Default) => "keepalived-1s",
        }
    }

    const fn promise(self) -> Option<Promised> {
        match self {
            Self::Geminus(profile) => Some(profile.promised()),
            Self::Keepalived(_) => None,
        }
    }
}

/// Measures everybody.
///
/// # Errors
/// When the ground cannot be built, a product does not start, or a file cannot be written.
pub fn run(options: &Options) -> Result<()> {
    let begun = Instant::now();
    let mut figures = Figures { setting: setting(&options.geminus)?, ..Figures::default() };
    let chosen = Product::chosen(options);
    for &product in &chosen {
        figures.products.push(faults(product, options)?);
    }
    for percent in LOSSES {
        let losses = loss(&chosen, options, percent)?;
        for (measured, steadiness) in figures.products.iter_mut().zip(losses) {
            say(&format!(
                "{:32} {percent} % loss for {:.0} s: {} false failovers",
                measured.name, steadiness.seconds, steadiness.false_failovers
            ));
            measured.steadiness.push(steadiness);
        }
    }
    figures.setting.took = begun.elapsed().as_secs_f64();
    for line in figures.products.iter().flat_map(Measured::missed) {
        say(&format!("missed: {line}"));
    }
    write(options.page.as_deref(), || Ok(page::page(&figures)))?;
    write(options.json.as_deref(), || Ok(serde_json::to_string_pretty(&figures)?))
}

/// Lets every fault happen to one product as often as wanted.
fn faults(product: Product, options: &Options) -> Result<Measured> {
    let mut contender = product.make(options)?;
    let (name, method) = (contender.name(), contender.method());
    let mut measured = Measured { name, method, promise: product.promise(), ..Measured::default() };
    for fault in Fault::ALL {
        let mut outcomes = Vec::new();
        let (mut turn, wanted) = (0, runs(options.runs, contender.as_ref(), fault));
        while outcomes.len() < wanted {
            match trial::fault(contender.as_mut(), fault, turn) {
                Ok(outcome) => outcomes.push(outcome),
                Err(error) if measured.spoiled.len() < PATIENCE => {
                    say(&format!("{} {} spoiled: {error:#}", measured.name, fault.name()));
                    measured.spoiled.push(format!("{}: {error:#}", fault.name()));
                    clear_away(contender.as_mut(), fault)?;
                }
                Err(error) => return Err(error).with_context(|| measured.name.clone()),
            }
            turn += 1;
        }
        let figures = FaultFigures { fault, outcomes };
        tell(&measured.name, &figures);
        measured.faults.push(figures);
    }
    Ok(measured)
}

/// A fault that was on when its trial was spoiled must not be on in the next.
fn clear_away(contender: &mut dyn Contender, fault: Fault) -> Result<()> {
    let ground = Ground::of(contender.site())?;
    // A process that is gone cannot be thawed, and need not be.
    let _ = fault.pass(&ground, contender);
    contender.reset()
}

/// Fewer where one takes long: nobody learns more from the tenth time that a second is a second.
fn runs(wanted: u32, contender: &dyn Contender, fault: Fault) -> usize {
    let slow = contender.detection() > Duration::from_secs(1);
    let patient = fault.leaves_the_kernel() && contender.grace() > Duration::from_secs(1);
    let share = match (slow, patient || fault == Fault::OneWay) {
        (true, _) => 3,
        (false, true) => 2,
        (false, false) => 1,
    };
    (wanted / share).max(1) as usize
}

/// Everybody at once, each on ground of its own: nearly all of it is waiting.
fn loss(products: &[Product], options: &Options, percent: u32) -> Result<Vec<Steadiness>> {
    std::thread::scope(|scope| {
        let start = |&product: &Product| {
            scope.spawn(move || -> Result<Steadiness> {
                let mut contender = product.make(options)?;
                trial::loss(contender.as_mut(), percent, options.loss)
            })
        };
        let threads: Vec<_> = products.iter().map(start).collect();
        let join = |thread: std::thread::ScopedJoinHandle<'_, _>| {
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        };
        threads.into_iter().map(join).collect()
    })
}

fn tell(name: &str, figures: &FaultFigures) {
    let Spread { median, max, .. } = figures.gaps();
    let (runs, doubled) = (figures.outcomes.len(), figures.doubled());
    say(&format!(
        "{name:32} {:44} {runs:3} trials: median {median:7.1} ms, max {max:7.1} ms, two answered in {doubled}",
        figures.fault.name()
    ));
}

fn setting(binary: &Path) -> Result<Setting> {
    let system = rustix::system::uname();
    let date = std::process::Command::new("date").args(["-u", "+%Y-%m-%d"]).output()?;
    let processors = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = processors.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    Ok(Setting {
        date: String::from_utf8_lossy(&date.stdout).trim().to_owned(),
        kernel: system.release().to_string_lossy().into_owned(),
        processor: model.map_or("unknown", |(_, name)| name).to_owned(),
        processors: std::thread::available_parallelism()?.get(),
        // Cargo names the folder after the profile.
        optimised: binary.components().any(|part| part.as_os_str() == "release"),
        took: 0.0,
    })
}

fn write(path: Option<&Path>, text: impl FnOnce() -> Result<String>) -> Result<()> {
    let Some(path) = path else { return Ok(()) };
    std::fs::write(path, text()?).with_context(|| format!("cannot write {}", path.display()))?;
    say(&format!("written: {}", path.display()));
    Ok(())
}

#[allow(clippy::print_stdout, reason = "a measurement of many minutes says how far it is")]
fn say(line: &str) {
    println!("  {line}");
}
