//! The parts of the week.

use super::TimeOfDay;
use crate::model::Window;

/// Whether a moment is in a window.
pub(super) fn holds(window: &Window, now: TimeOfDay) -> bool {
    let begins = |day: u8| window.days & (1 << (day % 7)) != 0;
    let over_midnight = window.to <= window.from;
    let today = begins(now.weekday) && now.minute >= window.from && (over_midnight || now.minute < window.to);
    let since_yesterday = over_midnight && begins(now.weekday + 6) && now.minute < window.to;
    today || since_yesterday
}

/// A minute of the day as people read it.
pub(super) fn clock(minute: u16) -> String {
    format!("{:02}:{:02}", minute / 60, minute % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SATURDAY: u8 = 5;
    const SUNDAY: u8 = 6;
    const MONDAY: u8 = 0;

    fn at(weekday: u8, hour: u16, minute: u16) -> TimeOfDay {
        TimeOfDay { weekday, minute: hour * 60 + minute }
    }

    #[test]
    fn a_window_begins_with_its_first_minute_and_ends_before_its_last() {
        let window = Window { days: 1 << SATURDAY, from: 60, to: 120 };
        let held = [at(SATURDAY, 0, 59), at(SATURDAY, 1, 0), at(SATURDAY, 1, 59), at(SATURDAY, 2, 0)]
            .map(|now| holds(&window, now));
        assert_eq!(held, [false, true, true, false]);
        assert!(!holds(&window, at(SUNDAY, 1, 30)));
    }

    #[test]
    fn a_window_over_midnight_belongs_to_the_day_it_begins_on() {
        let window = Window { days: 1 << SUNDAY, from: 22 * 60, to: 4 * 60 };
        let held =
            [at(SUNDAY, 3, 0), at(SUNDAY, 21, 59), at(SUNDAY, 22, 0), at(MONDAY, 3, 59), at(MONDAY, 4, 0)]
                .map(|now| holds(&window, now));
        assert_eq!(held, [false, false, true, true, false]);
        assert!(!holds(&window, at(MONDAY, 23, 0)));
    }

    #[test]
    fn a_window_of_a_whole_day_ends_where_the_next_one_begins() {
        let window = Window { days: 0x7f, from: 0, to: 1440 };
        assert!((0..7).all(|day| {
            [0, 719, 1439].into_iter().all(|minute| holds(&window, TimeOfDay { weekday: day, minute }))
        }));
    }
}
