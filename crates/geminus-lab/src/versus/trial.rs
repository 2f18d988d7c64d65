//! One fault, once: both nodes fresh, a client that asks all the time, somebody who watches, and what they saw.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde::Serialize;

use crate::observer::{Holders, Observer};
use crate::site::CLUSTER;
use crate::twins::Twin;

use super::contender::Contender;
use super::fault::Fault;
use super::ground::Ground;
use super::pulse::{Beats, Gap, Pulse, Question};

/// What one fault did.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Outcome {
    /// While the fault was on.
    pub(super) fault: Silence,
    /// After it had passed; none for a fault that does not.
    pub(super) after: Option<Silence>,
    /// Questions in the whole trial.
    pub(super) asked: u64,
    /// For how long two nodes answered for the address, milliseconds.
    pub(super) both_ms: f64,
    /// Whether the backup answered at last.
    pub(super) moved: bool,
    /// The longest time in which the method itself was blind, milliseconds.
    pub(super) blind_ms: f64,
}

/// What a client missed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub(super) struct Silence {
    /// The longest time without an answer, milliseconds.
    pub(super) gap_ms: f64,
    /// Questions without an answer.
    pub(super) lost: u64,
    /// Whether answers came again before the end.
    pub(super) over: bool,
    /// The longest pause of the client within the longest gap, milliseconds.
    pub(super) unasked_ms: f64,
}

/// So long a pause of the client within a gap is no reason to do the trial again, milliseconds.
const ASKING: f64 = 8.0;

/// Faults taken in a row under loss that needs none.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Steadiness {
    /// Share of frames lost between the nodes, in each direction.
    pub(super) percent: u32,
    /// For how long, seconds.
    pub(super) seconds: f64,
    /// How often the backup became active although the active was well.
    pub(super) false_failovers: u64,
}

/// How long everything is left alone before the fault, so that what follows has something to be compared with.
const BEFORE: Duration = Duration::from_millis(300);
/// After a fault that passes: long enough for two holders to come to terms, and for clients to notice if they do not.
const AFTER: Duration = Duration::from_millis(2500);

/// Lets one fault happen. `turn` spreads the moments over an interval of the contender's timers.
pub(super) fn fault(contender: &mut dyn Contender, fault: Fault, turn: u32) -> Result<Outcome> {
    contender.start().with_context(|| format!("{} does not start", contender.name()))?;
    let observed = watch(contender, fault, turn);
    let reset = contender.reset();
    let outcome = observed?;
    reset?;
    Ok(outcome)
}

fn watch(contender: &mut dyn Contender, fault: Fault, turn: u32) -> Result<Outcome> {
    let (ground, clock) = (Ground::of(contender.site())?, Instant::now());
    let questions: &[Question] =
        if contender.has_servers() { &[Question::Ping, Question::Echo] } else { &[Question::Ping] };
    let pulses = questions
        .iter()
        .map(|&question| Pulse::start(&ground.client, CLUSTER.v4, question, clock))
        .collect::<Result<Vec<_>>>()?;
    let observer = Observer::start(contender.site(), CLUSTER)?;
    std::thread::sleep(BEFORE + offset(contender.detection(), turn));

    let happened = clock.elapsed();
    fault.happen(&ground, contender)?;
    std::thread::sleep(observation(contender, fault));
    let passed = clock.elapsed();
    fault.pass(&ground, contender)?;
    if fault.passes() {
        std::thread::sleep(AFTER + contender.detection());
    }
    let moments = Moments { happened, passed, passes: fault.passes() };

    let mut seen = observer.stop()?;
    seen.answers.retain(|answer| answer.at >= clock + happened);
    let beats = pulses.into_iter().map(Pulse::stop).collect::<Result<Vec<_>>>()?;
    let outcome = judge(&ground, moments, &beats, &seen)?;
    // What counts false failovers must have counted this one.
    let counted = contender.promotions(Twin::Beta)?;
    ensure!(!outcome.moved || counted > 0, "the backup answers for the address and has not said so");
    Ok(outcome)
}

/// Until the slowest reaction that the configuration allows is over, and some more.
fn observation(contender: &dyn Contender, fault: Fault) -> Duration {
    let grace = if fault.leaves_the_kernel() { contender.grace() } else { Duration::ZERO };
    grace + contender.detection() * 3 / 2 + Duration::from_millis(700)
}

/// The golden ratio spreads any number of turns evenly.
fn offset(interval: Duration, turn: u32) -> Duration {
    interval.mul_f64((f64::from(turn) * 0.618_033_988_75).fract())
}

#[derive(Debug, Clone, Copy)]
struct Moments {
    happened: Duration,
    passed: Duration,
    passes: bool,
}

fn judge(ground: &Ground, moments: Moments, beats: &[Beats], seen: &Holders) -> Result<Outcome> {
    let Moments { happened, passed, passes } = moments;
    let before = Silence::worst(beats, Duration::ZERO, happened.saturating_sub(Duration::from_millis(5)));
    ensure!(before.lost <= 2, "{} questions had no answer before anything happened", before.lost);
    let fault = Silence::worst(beats, happened, if passes { passed } else { Duration::MAX });
    // A figure that is mostly the client's own pause is none.
    ensure!(
        fault.unasked_ms <= ASKING.max(fault.gap_ms / 10.0),
        "the client did not ask for {:.0} of the {:.0} ms without an answer",
        fault.unasked_ms,
        fault.gap_ms
    );
    let last = seen.answers.last();
    Ok(Outcome {
        fault,
        after: passes.then(|| Silence::worst(beats, passed, Duration::MAX)),
        asked: beats.iter().map(Beats::sent).sum(),
        both_ms: milliseconds(seen.more_than_one()),
        moved: last.is_some_and(|answer| answer.mac == ground.mac(Twin::Beta)),
        blind_ms: beats.iter().map(|beats| milliseconds(beats.longest_pause())).fold(0.0, f64::max),
    })
}

impl Silence {
    /// The longest of any client, and what all of them missed.
    fn worst(beats: &[Beats], then: Duration, end: Duration) -> Self {
        let gaps: Vec<Gap> = beats.iter().map(|beats| beats.gap_between(then, end)).collect();
        Self {
            gap_ms: gaps.iter().map(|gap| milliseconds(gap.length)).fold(0.0, f64::max),
            lost: gaps.iter().map(|gap| gap.lost).sum(),
            over: gaps.iter().all(|gap| gap.over),
            unasked_ms: gaps.iter().max_by_key(|gap| gap.length).map_or(0.0, |gap| milliseconds(gap.unasked)),
        }
    }
}

/// Loses frames for a while and counts what the backup makes of it.
pub(super) fn loss(contender: &mut dyn Contender, percent: u32, time: Duration) -> Result<Steadiness> {
    contender.start().with_context(|| format!("{} does not start", contender.name()))?;
    let ground = Ground::of(contender.site())?;
    let before = contender.promotions(Twin::Beta)?;
    ground.lose(percent)?;
    std::thread::sleep(time);
    ground.mend()?;
    let false_failovers = contender.promotions(Twin::Beta)? - before;
    contender.reset()?;
    Ok(Steadiness { percent, seconds: time.as_secs_f64(), false_failovers })
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_are_spread_over_the_interval() {
        let interval = Duration::from_millis(100);
        let mut offsets: Vec<_> = (0..20).map(|turn| offset(interval, turn)).collect();
        offsets.sort();
        assert!(offsets.iter().all(|offset| *offset < interval));
        let widest = offsets.windows(2).map(|two| two[1] - two[0]).max();
        assert!(widest < Some(Duration::from_millis(12)), "{widest:?}");
    }
}
