//! Figures as people read them, and as programs behind a pipe do.

use crate::screen::Look;

impl Look {
    /// A count: `1,048,576` for eyes, `1048576` for programs.
    pub(crate) fn count(self, value: u64) -> String {
        if self.eyes { grouped(value) } else { value.to_string() }
    }

    /// Bytes: `17.2MiB` for eyes, the number for programs.
    pub(crate) fn bytes(self, value: u64) -> String {
        if self.eyes { binary(value) } else { value.to_string() }
    }
}

/// Digits in threes.
pub(crate) fn grouped(value: u64) -> String {
    let digits = value.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Bytes in the largest binary unit that leaves at least one whole (IEC 80000-13).
pub(crate) fn binary(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1024 {
        return format!("{bytes}B");
    }
    let power = ((bytes.ilog2() / 10) as usize).min(UNITS.len());
    let tenths = (u128::from(bytes) * 10) >> (10 * power);
    format!("{}.{}{}", tenths / 10, tenths % 10, UNITS[power - 1])
}

/// A span of time in its two largest units: `350ms`, `4.8s`, `3min12s`, `2h05min`, `12d03h`.
pub(crate) fn span(seconds: f64) -> String {
    // The API may carry anything; a negative or absurd value is no reason to fail.
    let milliseconds = (seconds.clamp(0.0, 1e12) * 1000.0).round() as u64;
    let whole = milliseconds / 1000;
    match milliseconds {
        0 => "0s".to_owned(),
        1..1_000 => format!("{milliseconds}ms"),
        1_000..60_000 => format!("{whole}.{}s", milliseconds % 1000 / 100),
        60_000..3_600_000 => format!("{}min{:02}s", whole / 60, whole % 60),
        3_600_000..86_400_000 => format!("{}h{:02}min", whole / 3600, whole % 3600 / 60),
        _ => format!("{}d{:02}h", whole / 86_400, whole % 86_400 / 3600),
    }
}

/// A share in per cent with one decimal; of nothing it is 0.
pub(crate) fn share(part: u64, whole: u64) -> String {
    let tenths = (u128::from(part) * 1000).checked_div(u128::from(whole)).unwrap_or(0);
    format!("{}.{}%", tenths / 10, tenths % 10)
}

/// A moment as RFC 3339 in UTC with milliseconds, from milliseconds since the Unix epoch.
pub(crate) fn moment(unix_ms: u64) -> String {
    let (days, of_day) = (unix_ms / 86_400_000, unix_ms % 86_400_000);
    let (year, month, day) = civil(days);
    let (hour, minute) = (of_day / 3_600_000, of_day / 60_000 % 60);
    let (second, millisecond) = (of_day / 1000 % 60, of_day % 1000);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millisecond:03}Z")
}

/// Year, month and day of a count of days since 1970-01-01 in the proleptic Gregorian calendar, by eras of 400 years
/// that begin in March (Hinnant, "chrono-compatible low-level date algorithms").
fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_grouped_in_threes() {
        let expected = [(0, "0"), (999, "999"), (1_000, "1,000"), (1_048_576, "1,048,576")];
        for (value, text) in expected {
            assert_eq!(grouped(value), text);
        }
        assert_eq!(grouped(u64::MAX), "18,446,744,073,709,551,615");
    }

    #[test]
    fn bytes_keep_one_decimal_and_never_reach_1024() {
        let expected =
            [(0, "0B"), (1023, "1023B"), (1024, "1.0KiB"), (1_048_575, "1023.9KiB"), (1 << 20, "1.0MiB")];
        for (value, text) in expected {
            assert_eq!(binary(value), text);
        }
        assert_eq!(binary(u64::MAX), "15.9EiB");
    }

    #[test]
    fn programs_get_whole_numbers() {
        let pipe = Look { colour: false, eyes: false };
        assert_eq!((pipe.count(1_048_576), pipe.bytes(4096)), ("1048576".to_owned(), "4096".to_owned()));
    }

    #[test]
    fn spans_show_their_two_largest_units() {
        let expected = [
            (0.0, "0s"),
            (0.35, "350ms"),
            (4.84, "4.8s"),
            (192.0, "3min12s"),
            (7500.0, "2h05min"),
            (1_047_600.0, "12d03h"),
            (-3.0, "0s"),
            (f64::NAN, "0s"),
        ];
        for (seconds, text) in expected {
            assert_eq!(span(seconds), text);
        }
    }

    #[test]
    fn a_share_of_nothing_is_nothing() {
        assert_eq!(
            (share(1, 0).as_str(), share(1, 3).as_str(), share(5, 5).as_str()),
            ("0.0%", "33.3%", "100.0%")
        );
    }

    #[test]
    fn moments_are_calendar_dates() {
        let expected = [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_709_251_199_999, "2024-02-29T23:59:59.999Z"),
            (1_735_689_600_123, "2025-01-01T00:00:00.123Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
        ];
        for (unix_ms, text) in expected {
            assert_eq!(moment(unix_ms), text);
        }
    }
}
