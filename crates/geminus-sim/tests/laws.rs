//! Each law can be broken: machines that are wrong on purpose, each caught by its law.

use std::time::Duration;

use geminus_core::ha::{Adopted, Cause, Config, Effect, Ha, HaEvent, Input, Instant, Standing};
use geminus_sim::clients::Clients;
use geminus_sim::{Machine, Schedule};

/// How a machine is wrong.
trait Wrong {
    /// What it makes of what it hears; none: it is deaf to it.
    fn hear(input: Input, now: Instant) -> Option<Input> {
        let _ = now;
        Some(input)
    }
    /// What it makes of what it should do.
    fn act(effect: Effect) -> Option<Effect> {
        Some(effect)
    }
    /// What it makes of its configuration.
    fn configure(config: &mut Config) {
        let _ = config;
    }
}

/// The real machine, made wrong.
struct Mutant<W> {
    ha: Ha,
    wrong: std::marker::PhantomData<W>,
}

impl<W: Wrong> Machine for Mutant<W> {
    fn start(mut config: Config, adopted: &[Adopted], now: Instant) -> Self {
        W::configure(&mut config);
        Self { ha: Ha::new(config, adopted, now), wrong: std::marker::PhantomData }
    }

    fn handle(&mut self, mut input: Input, now: Instant) {
        if let Input::Config(config) = &mut input {
            W::configure(config);
        }
        if let Some(input) = W::hear(input, now) {
            self.ha.handle(input, now);
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.ha.handle_timeout(now);
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.ha.poll_timeout()
    }

    fn poll_effect(&mut self) -> Option<Effect> {
        std::iter::from_fn(|| self.ha.poll_effect()).find_map(W::act)
    }
}

/// Whether that law is the first to be broken by one of the first schedules.
fn breaks<W: Wrong>(law: &str) {
    let mut clients = Clients::new();
    let mut others = std::collections::BTreeSet::new();
    for seed in 0..400 {
        match Schedule::of(seed).play::<Mutant<W>>(&mut clients, false).broken {
            Some(broken) if broken.law == law => return,
            Some(broken) => drop(others.insert(broken.law)),
            None => {}
        }
    }
    panic!("nothing breaks {law}, only {others:?}");
}

/// It never hears that its partner is active.
struct Deaf;

impl Wrong for Deaf {
    fn hear(input: Input, _: Instant) -> Option<Input> {
        match input {
            Input::Beat { session, path, arrived, mut beat } => {
                beat.groups.retain(|report| report.standing != Standing::Active);
                Some(Input::Beat { session, path, arrived, beat })
            }
            other => Some(other),
        }
    }
}

#[test]
fn a_machine_that_ignores_claims_breaks_at_most_one_active_while_a_path_works() {
    breaks::<Deaf>("at_most_one_active_while_a_path_works");
}

/// It is told of no probe's answer.
struct Unanswered;

impl Wrong for Unanswered {
    fn hear(input: Input, _: Instant) -> Option<Input> {
        (!matches!(input, Input::Answer { .. })).then_some(input)
    }
}

#[test]
fn a_machine_that_hears_no_answer_breaks_a_standby_waits_for_the_lease_while_the_program_answers() {
    breaks::<Unanswered>("a_standby_waits_for_the_lease_while_the_program_answers");
}

/// It takes leases of an hour.
struct Greedy;

impl Wrong for Greedy {
    fn act(effect: Effect) -> Option<Effect> {
        Some(match effect {
            Effect::Set { group, lease, owns: true, standing, epoch } => {
                Effect::Set { group, lease: lease * 100, owns: true, standing, epoch }
            }
            other => other,
        })
    }
}

#[test]
fn a_machine_that_takes_long_leases_breaks_a_dead_daemon_s_plane_yields_by_itself() {
    breaks::<Greedy>("a_dead_daemon_s_plane_yields_by_itself");
}

/// It forgets its epochs.
struct Forgetful;

impl Wrong for Forgetful {
    fn act(effect: Effect) -> Option<Effect> {
        Some(match effect {
            Effect::Set { group, lease, owns, standing, epoch } => {
                Effect::Set { group, lease, owns, standing, epoch: epoch % 2 }
            }
            other => other,
        })
    }
}

#[test]
fn a_machine_that_forgets_its_epochs_breaks_an_epoch_never_goes_back() {
    breaks::<Forgetful>("an_epoch_never_goes_back");
}

/// It never owns anything.
struct Modest;

impl Wrong for Modest {
    fn act(effect: Effect) -> Option<Effect> {
        Some(match effect {
            Effect::Set { group, lease, standing, epoch, .. } => {
                Effect::Set { group, lease, owns: false, standing, epoch }
            }
            other => other,
        })
    }
}

#[test]
fn a_machine_that_owns_nothing_breaks_boot_together_ends_in_one_active() {
    breaks::<Modest>("boot_together_ends_in_one_active");
}

#[test]
fn a_machine_that_owns_nothing_breaks_exactly_one_active_after_faults_end() {
    breaks::<Modest>("exactly_one_active_after_faults_end");
}

/// It waits for nobody at its start.
struct Lonely;

impl Wrong for Lonely {
    fn configure(config: &mut Config) {
        config.alone_after = Duration::ZERO;
    }
}

#[test]
fn a_machine_without_patience_breaks_nobody_claims_at_boot_having_heard_nobody() {
    breaks::<Lonely>("nobody_claims_at_boot_having_heard_nobody");
}

/// It believes that replication is complete at once, and itself stable.
struct Hasty;

impl Wrong for Hasty {
    fn configure(config: &mut Config) {
        config.stable = Duration::ZERO;
    }
}

#[test]
fn a_hasty_machine_breaks_a_returned_primary_takes_back_only_when_synchronised_and_stable() {
    breaks::<Hasty>("a_returned_primary_takes_back_only_when_synchronised_and_stable");
}

/// It takes the time at which it looks for the time at which nothing came.
struct Accuser;

impl Wrong for Accuser {
    fn configure(config: &mut Config) {
        config.timers.suspect = 2;
        config.timers.confirm /= 4;
    }
}

#[test]
fn an_accusing_machine_breaks_a_node_that_did_not_run_accuses_nobody() {
    breaks::<Accuser>("a_node_that_did_not_run_accuses_nobody");
}

/// It says that it reaches more whenever it takes over.
struct Boaster;

impl Wrong for Boaster {
    fn act(effect: Effect) -> Option<Effect> {
        Some(match effect {
            Effect::Tell(HaEvent::Changed { group, name, from, to, lasted, epoch, .. }) => {
                let cause = Cause::Reach { ours: 1, theirs: 0 };
                Effect::Tell(HaEvent::Changed { group, name, from, to, cause, lasted, epoch })
            }
            other => other,
        })
    }
}

#[test]
fn a_boasting_machine_breaks_equal_reach_changes_nothing() {
    breaks::<Boaster>("equal_reach_changes_nothing");
}

/// It asks nobody and hears nothing said unasked.
struct Silent;

impl Wrong for Silent {
    fn hear(input: Input, _: Instant) -> Option<Input> {
        (!matches!(input, Input::Beat { .. } | Input::Answer { .. })).then_some(input)
    }

    fn act(effect: Effect) -> Option<Effect> {
        match effect {
            Effect::Probe { .. } | Effect::Send { .. } => None,
            other => Some(other),
        }
    }
}

#[test]
fn a_machine_that_asks_nobody_breaks_no_announcement_before_the_partner_was_asked() {
    breaks::<Silent>("no_announcement_before_the_partner_was_asked");
}

/// It says that the group changed hands where it should ask.
struct Restless;

impl Wrong for Restless {
    fn act(effect: Effect) -> Option<Effect> {
        Some(match effect {
            Effect::Probe { .. } => Effect::Tell(HaEvent::Changed {
                group: 1,
                name: String::new(),
                from: Standing::Standby,
                to: Standing::Active,
                cause: Cause::Goodbye,
                lasted: Duration::ZERO,
                epoch: 1 << 40,
            }),
            other => other,
        })
    }
}

#[test]
fn a_restless_machine_breaks_one_role_change_per_fault() {
    breaks::<Restless>("one_role_change_per_fault");
}
