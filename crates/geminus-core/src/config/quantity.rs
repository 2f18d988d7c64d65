//! Durations and sizes as people write them.

use std::time::Duration;

use super::finding::{Problem, Quoted};
use super::nearest::nearest;

/// Units of a duration in milliseconds, from large to small: the order they are written in.
const UNITS: [(&str, u64); 4] = [("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];

/// Units of a size.
const SUFFIXES: [(&str, u64); 3] = [("Gi", 1 << 30), ("Mi", 1 << 20), ("Ki", 1 << 10)];

/// Reads `5m`, `500ms` or `1h30m`.
pub(super) fn duration(text: &str) -> Result<Duration, Problem> {
    let bad = || Problem::new(format!("{} is no duration", Quoted(text)));
    let mut rest = text;
    let mut total: u64 = 0;
    let mut next_unit = 0;
    while !rest.is_empty() || next_unit == 0 {
        let (number, after) = split(rest, |character| character.is_ascii_digit());
        let (unit, after) = split(after, |character| character.is_ascii_alphabetic() || character == 'µ');
        if number.is_empty() {
            return Err(bad().hint(stranger_in_duration(rest)));
        }
        if after.starts_with(['.', ',']) && unit.is_empty() {
            return Err(bad().hint("without a fraction: 1.5s is \"1s500ms\""));
        }
        let Some(index) = UNITS.iter().position(|(name, _)| *name == unit) else {
            return Err(bad().hint(unknown_unit(number, unit)));
        };
        if index < next_unit {
            return Err(bad().hint("each unit once, from large to small: \"1h30m\""));
        }
        let milliseconds = number.parse::<u64>().ok().and_then(|number| number.checked_mul(UNITS[index].1));
        total =
            milliseconds.and_then(|added| total.checked_add(added)).ok_or_else(|| bad().hint("too long"))?;
        next_unit = index + 1;
        rest = after;
    }
    Ok(Duration::from_millis(total))
}

fn stranger_in_duration(rest: &str) -> &'static str {
    match rest.chars().next() {
        Some(character) if character.is_whitespace() => "without blanks: \"1h30m\"",
        Some('-' | '+') => "without a sign: \"5m\"",
        _ => "a number and h, m, s or ms: \"5m\", \"1h30m\"",
    }
}

fn unknown_unit(number: &str, unit: &str) -> String {
    let spelled = [
        ("sec", "s"),
        ("secs", "s"),
        ("second", "s"),
        ("seconds", "s"),
        ("min", "m"),
        ("mins", "m"),
        ("minute", "m"),
        ("minutes", "m"),
        ("hour", "h"),
        ("hours", "h"),
        ("hr", "h"),
        ("msec", "ms"),
        ("millis", "ms"),
        ("milliseconds", "ms"),
    ];
    let unit_folded = unit.to_ascii_lowercase();
    let known = spelled.iter().find(|(long, _)| *long == unit_folded).map(|(_, short)| *short);
    let known = known.or_else(|| UNITS.iter().map(|(name, _)| *name).find(|name| *name == unit_folded));
    match (known, unit_folded.as_str()) {
        (Some(short), _) => format!("\"{}{short}\"", clipped(number)),
        (None, "") => format!("it needs a unit: \"{}s\"", clipped(number)),
        (None, "d" | "day" | "days") => "in hours: a day is \"24h\"".to_string(),
        _ => "the units are h, m, s and ms".to_string(),
    }
}

/// A number that somebody may have leant on the keyboard for.
fn clipped(number: &str) -> &str {
    &number[..number.len().min(20)]
}

fn split(text: &str, belongs: impl Fn(char) -> bool) -> (&str, &str) {
    let end = text.find(|character| !belongs(character)).unwrap_or(text.len());
    text.split_at(end)
}

/// Writes a duration as [`duration`] reads it, to the millisecond.
pub(super) fn duration_text(duration: Duration) -> String {
    let mut rest = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let mut text = String::new();
    for (unit, milliseconds) in UNITS {
        if rest >= milliseconds {
            text += &format!("{}{unit}", rest / milliseconds);
            rest %= milliseconds;
        }
    }
    if text.is_empty() { "0s".to_string() } else { text }
}

/// Reads `65536`, `64Ki` or `1Mi`.
pub(super) fn size(text: &str) -> Result<u64, Problem> {
    let bad = || Problem::new(format!("{} is no size", Quoted(text)));
    let (number, suffix) = split(text, |character| character.is_ascii_digit());
    if number.is_empty() {
        return Err(bad().hint("a number, or one with Ki or Mi: \"64Ki\""));
    }
    let factor = match SUFFIXES.iter().find(|(name, _)| *name == suffix) {
        Some((_, factor)) => *factor,
        None if suffix.is_empty() => 1,
        None => {
            let meant = nearest(suffix.trim_end_matches(['b', 'B']).trim(), SUFFIXES.map(|(name, _)| name));
            let meant = meant.unwrap_or("Ki");
            return Err(bad().hint(format!("such as \"{}{meant}\"", clipped(number))));
        }
    };
    let value = number.parse::<u64>().ok().and_then(|number| number.checked_mul(factor));
    value.ok_or_else(|| bad().hint("too large"))
}

/// Writes a size as [`size`] reads it, in the largest unit that keeps it whole.
pub(super) fn size_text(size: u64) -> String {
    let unit = SUFFIXES.iter().find(|(_, factor)| size >= *factor && size.is_multiple_of(*factor));
    unit.map_or(size.to_string(), |(name, factor)| format!("{}{name}", size / factor))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_reads_what_it_writes() {
        for milliseconds in (0..100_000_u64).step_by(7).chain([3_600_000, 5_400_000, 86_400_000, 43_200_001])
        {
            let value = Duration::from_millis(milliseconds);
            assert_eq!(duration(&duration_text(value)), Ok(value));
        }
        assert_eq!(duration_text(Duration::from_millis(5_400_500)), "1h30m500ms");
    }

    #[test]
    fn a_size_reads_what_it_writes() {
        for value in (0..40).map(|bits| 1_u64 << bits).chain([0, 3, 1025, 1_000_000, 3 << 20]) {
            assert_eq!(size(&size_text(value)), Ok(value));
        }
        assert_eq!(
            (size_text(65_536), size_text(1 << 20), size_text(1000)),
            ("64Ki".into(), "1Mi".into(), "1000".into())
        );
    }

    #[test]
    fn what_is_no_duration_says_what_it_should_be() {
        for (text, hint) in [
            ("", "a number and h, m, s or ms: \"5m\", \"1h30m\""),
            ("m", "a number and h, m, s or ms: \"5m\", \"1h30m\""),
            ("5", "it needs a unit: \"5s\""),
            ("5 m", "it needs a unit: \"5s\""),
            ("1h 30m", "without blanks: \"1h30m\""),
            ("-5s", "without a sign: \"5m\""),
            ("1.5s", "without a fraction: 1.5s is \"1s500ms\""),
            ("5min", "\"5m\""),
            ("5S", "\"5s\""),
            ("1d", "in hours: a day is \"24h\""),
            ("1fortnight", "the units are h, m, s and ms"),
            ("30m1h", "each unit once, from large to small: \"1h30m\""),
            ("1m1m", "each unit once, from large to small: \"1h30m\""),
            ("99999999999999999999h", "too long"),
            ("9999999999999999h", "too long"),
            ("5m\u{1b}", "a number and h, m, s or ms: \"5m\", \"1h30m\""),
        ] {
            assert_eq!(duration(text).unwrap_err().hint.as_deref(), Some(hint), "{text:?}");
        }
    }

    #[test]
    fn what_is_no_size_says_what_it_should_be() {
        for (text, hint) in [
            ("", "a number, or one with Ki or Mi: \"64Ki\""),
            ("Mi", "a number, or one with Ki or Mi: \"64Ki\""),
            ("64k", "such as \"64Ki\""),
            ("64 KiB", "such as \"64Ki\""),
            ("1M", "such as \"1Mi\""),
            ("1MB", "such as \"1Mi\""),
            ("99999999999999999999", "too large"),
            ("99999999999999Gi", "too large"),
        ] {
            assert_eq!(size(text).unwrap_err().hint.as_deref(), Some(hint), "{text:?}");
        }
    }
}
