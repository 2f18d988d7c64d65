//! Plays schedules: `geminus-sim --seed S --schedules N [--trace]`, or counts takeovers for nothing:
//! `geminus-sim --days D --loss PERCENT --paths N --profile default`; or compares ways to balance: `geminus-sim --loads`.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a terminal is what this program talks to")]

use std::process::ExitCode;
use std::time::{Duration, Instant};

use geminus_core::ha::Ha;
use geminus_core::model::Timers;
use geminus_sim::campaign::Campaign;
use geminus_sim::clients::Clients;
use geminus_sim::false_takeovers::{FalseTakeovers, formula};
use geminus_sim::loads;
use geminus_sim::{Outcome, Schedule};

/// Words of the command line.
#[derive(Debug)]
struct Arguments {
    seed: u64,
    schedules: u64,
    trace: bool,
    loads: bool,
    minutes: Option<u64>,
    days: Option<u64>,
    loss: f64,
    paths: usize,
    timers: Timers,
}

fn main() -> ExitCode {
    match arguments(std::env::args().skip(1)) {
        Ok(Arguments { days: Some(days), loss, paths, timers, seed, .. }) => {
            count_false_takeovers(days, loss, paths, timers, seed)
        }
        Ok(arguments) if arguments.loads => compare_ways_to_balance(arguments.seed),
        Ok(arguments) if arguments.trace => trace(arguments.seed),
        Ok(arguments) => play(&arguments),
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}

fn arguments(words: impl Iterator<Item = String>) -> Result<Arguments, String> {
    let mut found = Arguments {
        seed: 1,
        schedules: 1000,
        trace: false,
        loads: false,
        minutes: None,
        days: None,
        loss: 30.0,
        paths: 2,
        timers: Timers::DEFAULT,
    };
    // `--word=value` is two words.
    let split = |word: String| match word.split_once('=') {
        Some((word, value)) => vec![word.to_owned(), value.to_owned()],
        None => vec![word],
    };
    let mut words = words.flat_map(split);
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or_else(|| format!("{word} wants a value"));
        let number =
            |text: String| text.parse::<u64>().map_err(|_| format!("{text} is no number for {word}"));
        match word.as_str() {
            "--trace" => found.trace = true,
            "--loads" => found.loads = true,
            "--seed" => found.seed = number(value()?)?,
            "--schedules" => found.schedules = number(value()?)?,
            "--minutes" => found.minutes = Some(number(value()?)?),
            "--days" => found.days = Some(number(value()?)?),
            "--loss" => found.loss = number(value()?)? as f64,
            "--paths" => found.paths = number(value()?)? as usize,
            "--profile" => {
                found.timers = match value()?.as_str() {
                    "default" => Timers::DEFAULT,
                    "fast" => Timers::FAST,
                    other => return Err(format!("{other} is no profile: default or fast")),
                };
            }
            other => return Err(format!("{other} is no option of the simulator")),
        }
    }
    Ok(found)
}

fn play(arguments: &Arguments) -> ExitCode {
    let begun = Instant::now();
    let until = arguments.minutes.map(|minutes| Duration::from_secs(minutes * 60));
    let told = std::sync::Mutex::new(begun);
    let progress = |done: u64| {
        let mut last = told.lock().expect("nobody panics while telling");
        if last.elapsed() > Duration::from_secs(20) {
            *last = Instant::now();
            println!("{done} of {} schedules after {:.0?}", arguments.schedules, begun.elapsed());
        }
        until.is_none_or(|until| begun.elapsed() < until)
    };
    let played = Campaign::play::<Ha>(arguments.seed, arguments.schedules, progress);
    println!(
        "{} schedules from seed {} in {:.1} s: {} faults, {} events, {} virtual hours, {} changes of hands, \
         {} clients' packets; {} broke a law",
        played.schedules,
        arguments.seed,
        begun.elapsed().as_secs_f64(),
        played.faults,
        played.events,
        played.seconds / 3600,
        played.changes,
        played.forwarded,
        played.broken.len(),
    );
    for (law, seeds) in played.by_law() {
        println!("{law}: {} schedules, the first are {:?}", seeds.len(), &seeds[..seeds.len().min(8)]);
    }
    match played.broken.keys().next() {
        Some(&seed) => trace(seed),
        None => ExitCode::SUCCESS,
    }
}

/// Plays one schedule with as few of its faults as break the same law, and tells the story.
fn trace(seed: u64) -> ExitCode {
    let mut clients = Clients::new();
    let schedule = Schedule::of(seed).shrunk::<Ha>(&mut clients);
    println!("seed {seed}, {:?}: {:#?}", schedule.manner, schedule.shape);
    for fault in &schedule.faults {
        println!("{fault}");
    }
    let Outcome { broken, trace, .. } = schedule.play::<Ha>(&mut clients, true);
    for line in &trace {
        println!("{line}");
    }
    match broken {
        Some(broken) => {
            let at = broken.at as f64 / 1e9;
            println!("{at:10.4}  broken: {}: {}", broken.law, broken.what);
            println!("again: cargo xtask sim --seed {seed} --trace");
            ExitCode::FAILURE
        }
        None => {
            println!("no law is broken");
            ExitCode::SUCCESS
        }
    }
}

fn compare_ways_to_balance(seed: u64) -> ExitCode {
    let begun = Instant::now();
    print!("{}", loads::figures::table(&loads::scene::scenes(), seed));
    println!("seed {seed}, {:.1} s", begun.elapsed().as_secs_f64());
    ExitCode::SUCCESS
}

fn count_false_takeovers(days: u64, loss: f64, paths: usize, timers: Timers, seed: u64) -> ExitCode {
    let begun = Instant::now();
    let counted = FalseTakeovers::count(days, loss / 100.0, paths, timers, seed);
    println!(
        "{days} days, {loss} % loss on each of {paths} paths, heartbeats of {:?}: {} suspicions, {} false takeovers, \
         {:.6} a day ({:.6} by the formula), {:.1} s",
        timers.heartbeat,
        counted.suspicions,
        counted.takeovers,
        counted.takeovers as f64 / days as f64,
        formula(loss / 100.0, paths, timers),
        begun.elapsed().as_secs_f64(),
    );
    ExitCode::SUCCESS
}
