//! Up or down: what a row of readings makes of one target.

use std::time::Duration;

use crate::director::Instant;

/// What is held of a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// Nothing was read yet; it is taken for well.
    Checking,
    /// Well.
    Up,
    /// Not.
    Down,
}

/// When a row of readings is enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bounds {
    pub(super) rise: u32,
    pub(super) fall: u32,
    /// See [`crate::model::Health::damping`].
    pub(super) damping: Duration,
}

/// What is held of one target, and what speaks against it.
#[derive(Debug, Clone)]
pub(super) struct Judge {
    state: State,
    since: Instant,
    /// How many readings in a row say otherwise.
    contrary: u32,
    /// When the first of those came.
    contrary_since: Instant,
    /// The last three changes, oldest first.
    changes: [Option<Instant>; 3],
    damped: bool,
}

impl Judge {
    pub(super) const fn new(state: State, now: Instant) -> Self {
        Self {
            state,
            since: now,
            contrary: 0,
            contrary_since: Instant::START,
            changes: [None; 3],
            damped: false,
        }
    }

    pub(super) const fn state(&self) -> State {
        self.state
    }

    pub(super) const fn since(&self) -> Instant {
        self.since
    }

    pub(super) const fn contrary(&self) -> u32 {
        self.contrary
    }

    /// Whether it has to be well for long before it counts as up, because it changed too often.
    pub(super) fn is_damped(&self) -> bool {
        self.damped && self.state == State::Down
    }

    /// Nothing speaks against its being well.
    pub(super) fn is_well(&self) -> bool {
        self.state == State::Up && self.contrary == 0
    }

    /// Whether the next few readings decide, so that they are wanted soon.
    pub(super) const fn is_moving(&self, bounds: &Bounds) -> bool {
        self.contrary > 0 && (!matches!(self.state, State::Down) || self.contrary < bounds.rise)
    }

    /// Takes one reading in; returns what is held from now on if that is something else.
    pub(super) fn hear(&mut self, good: bool, bounds: &Bounds, now: Instant) -> Option<State> {
        let agrees = good == (self.state != State::Down);
        if agrees {
            self.contrary = 0;
            if self.state == State::Checking {
                // It was served all along: nothing changes but that it is known now.
                self.state = State::Up;
                self.since = now;
            }
            return None;
        }
        if self.contrary == 0 {
            self.contrary_since = now;
        }
        self.contrary = self.contrary.saturating_add(1);
        let next = match self.state {
            State::Down => {
                let proven = !self.damped || now.since(self.contrary_since) >= bounds.damping;
                (self.contrary >= bounds.rise && proven).then_some(State::Up)
            }
            State::Up | State::Checking => (self.contrary >= bounds.fall).then_some(State::Down),
        }?;
        self.change(next, bounds, now);
        Some(next)
    }

    fn change(&mut self, next: State, bounds: &Bounds, now: Instant) {
        let [_, second, last] = self.changes;
        self.changes = [second, last, Some(now)];
        let within = |then: Option<Instant>, time| then.is_some_and(|then| now.since(then) < time);
        self.damped = match self.damped {
            false => within(second, bounds.damping),
            true => within(last, bounds.damping * 2),
        };
        self.state = next;
        self.since = now;
        self.contrary = 0;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DAMPING: Duration = Duration::from_secs(30);
    const BOUNDS: Bounds = Bounds { rise: 2, fall: 3, damping: DAMPING };

    fn at(ms: u64) -> Instant {
        Instant::from_start(Duration::from_millis(ms))
    }

    /// What changed, by the number of the reading, half a second apart.
    fn changes(judge: &mut Judge, readings: impl IntoIterator<Item = bool>) -> Vec<(u64, State)> {
        let hear = |(number, good)| Some((number, judge.hear(good, &BOUNDS, at(number * 500))?));
        (1..).zip(readings).filter_map(hear).collect()
    }

    #[test]
    fn a_target_falls_with_its_last_allowed_failure_and_rises_with_its_last_needed_success() {
        let mut judge = Judge::new(State::Up, at(0));
        let readings = [false, false, true, false, false, false, true, false, true, true];
        assert_eq!(changes(&mut judge, readings), [(6, State::Down), (10, State::Up)]);
    }

    #[test]
    fn one_good_reading_proves_a_target_that_was_taken_for_well_and_changes_nothing() {
        let mut judge = Judge::new(State::Checking, at(0));
        assert_eq!(changes(&mut judge, [true]), []);
        assert_eq!(judge.state(), State::Up);
    }

    #[test]
    fn a_target_known_down_stays_down_until_it_has_risen() {
        let mut judge = Judge::new(State::Down, at(0));
        assert_eq!(changes(&mut judge, [false, true, true]), [(3, State::Up)]);
    }

    #[test]
    fn a_target_that_flaps_each_second_changes_three_times_and_then_stays_down() {
        let mut judge = Judge::new(State::Up, at(0));
        let flapping = (0..1_200).map(|reading| reading / 3 % 2 == 1);
        let changes = changes(&mut judge, flapping);
        assert_eq!(
            changes.iter().map(|&(_, state)| state).collect::<Vec<_>>(),
            [State::Down, State::Up, State::Down]
        );
    }

    #[test]
    fn a_damped_target_is_up_once_it_was_well_for_long_enough_without_a_break() {
        let mut judge = Judge::new(State::Up, at(0));
        let flapping = [false, false, false, true, true, false, false, false];
        let well = std::iter::repeat_n(true, 100);
        let changes = changes(&mut judge, flapping.into_iter().chain(well));
        let &(up, state) = changes.last().expect("it changed");
        assert_eq!(state, State::Up);
        assert_eq!(at(up * 500).since(at(9 * 500)), DAMPING);
    }

    #[test]
    fn who_was_well_for_long_is_not_damped_any_more() {
        let mut judge = Judge::new(State::Up, at(0));
        let flapping = [false, false, false, true, true, false, false, false];
        let well = std::iter::repeat_n(true, 200);
        let again = [false, false, false, true, true];
        let readings = flapping.into_iter().chain(well).chain(again);
        let changes = changes(&mut judge, readings);
        assert_eq!(changes.last(), Some(&(8 + 200 + 5, State::Up)));
    }

    proptest! {
        #[test]
        fn only_readings_in_a_row_change_anything(readings in prop::collection::vec(any::<bool>(), 0..400)) {
            let mut judge = Judge::new(State::Up, at(0));
            let (mut row, mut last) = (0, true);
            for (number, &good) in (1..).zip(&readings) {
                row = if good == last { row + 1 } else { 1 };
                last = good;
                match judge.hear(good, &BOUNDS, at(number * 500)) {
                    Some(State::Down) => prop_assert!(!good && row == BOUNDS.fall),
                    Some(State::Up) => prop_assert!(good && row >= BOUNDS.rise),
                    Some(State::Checking) => prop_assert!(false, "nothing becomes unknown"),
                    None => {}
                }
            }
        }

        #[test]
        fn down_is_never_put_off(readings in prop::collection::vec(any::<bool>(), 0..400)) {
            let mut judge = Judge::new(State::Up, at(0));
            let mut failed = 0;
            for (number, &good) in (1..).zip(&readings) {
                judge.hear(good, &BOUNDS, at(number * 500));
                failed = if good { 0 } else { failed + 1 };
                prop_assert!(failed < BOUNDS.fall || judge.state() == State::Down);
            }
        }

        #[test]
        fn after_the_third_change_in_the_time_no_rise_is_nearer_to_the_last_change_than_the_time(
            readings in prop::collection::vec(any::<bool>(), 0..2_000)
        ) {
            let mut judge = Judge::new(State::Up, at(0));
            let changes = changes(&mut judge, readings);
            for window in changes.windows(4) {
                let [(first, _), _, (third, _), (fourth, state)] = *window else { unreachable!() };
                if at(third * 500).since(at(first * 500)) < DAMPING && state == State::Up {
                    prop_assert!(at(fourth * 500).since(at(third * 500)) >= DAMPING);
                }
            }
        }
    }
}
