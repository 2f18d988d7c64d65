//! Figures and lists as people read them.

use std::time::Duration;

/// A time in the unit that fits it.
pub(super) fn time(time: Duration) -> String {
    let seconds = time.as_secs();
    match time.as_millis() {
        0 => format!("{:.1} ms", time.as_secs_f64() * 1000.0),
        ms if ms < 10_000 => format!("{ms} ms"),
        _ if seconds < 120 => format!("{seconds} s"),
        _ if seconds < 7_200 => format!("{} min", seconds / 60),
        _ => format!("{} h", seconds / 3_600),
    }
}

/// The first line, and how many more there are.
pub(super) fn first_of(lines: &[String]) -> String {
    match lines {
        [] => String::new(),
        [only] => only.clone(),
        [first, rest @ ..] => format!("{first} and {} more", rest.len()),
    }
}

/// A number and what it counts.
pub(super) fn count(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_the_unit_that_fits_it() {
        let of = |ms| time(Duration::from_millis(ms));
        assert_eq!(time(Duration::from_micros(340)), "0.3 ms");
        assert_eq!([of(203), of(9_999), of(10_000), of(119_999)], ["203 ms", "9999 ms", "10 s", "119 s"]);
        assert_eq!([of(120_000), of(7_199_000), of(7_200_000)], ["2 min", "119 min", "2 h"]);
    }
}
