//! Parts of the week, as people write them.

use super::finding::Quoted;
use super::keys::Key;
use super::nearest::nearest;
use super::scalar::{Refusal, refuse};
use crate::model::{DAYS, Window};

/// What a JSON Schema can say of one.
pub(super) const PATTERN: &str = "^[a-z,-]+ [0-9]{2}:[0-9]{2}-[0-9]{2}:[0-9]{2}$";

/// How one is written, for a hint.
const FORM: &str = "days and times: \"sun 03:00-05:00\", \"mon-fri 22:00-06:00\", \"daily 02:00-02:30\"";

/// Minutes of a day.
const DAY: u16 = 24 * 60;

/// Reads `sun 03:00-05:00`, `mon-fri 22:00-06:00`, `sat,sun 00:00-24:00` or `daily 02:00-02:30`.
pub(super) fn read(key: &Key, text: &str) -> Result<Window, Refusal> {
    let bad = || refuse(format!("`{}` has {}, no time", key.name, Quoted(text)), FORM);
    let (days, times) = text.split_once(' ').ok_or_else(bad)?;
    let (from, to) = times.split_once('-').ok_or_else(bad)?;
    let days = days_of(days)?;
    let (from, to) = (minute(from)?, minute(to)?);
    if from == DAY {
        return Err(refuse(format!("{} begins at 24:00", Quoted(text)), "a day begins at 00:00"));
    }
    Ok(Window { days, from, to })
}

fn days_of(text: &str) -> Result<u8, Refusal> {
    if text == "daily" {
        return Ok(0x7f);
    }
    let mut days = 0;
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (day(first)?, day(last)?);
        let span = (last + 7 - first) % 7;
        days |= (0..=span).fold(0, |days, after| days | 1 << ((first + after) % 7));
    }
    Ok(days)
}

fn day(text: &str) -> Result<u8, Refusal> {
    if let Some(number) = DAYS.iter().position(|day| *day == text) {
        return Ok(number as u8);
    }
    let folded = text.to_ascii_lowercase();
    let meant = DAYS.into_iter().find(|day| folded.starts_with(day)).or_else(|| nearest(&folded, DAYS));
    let hint = match meant {
        Some(meant) => format!("did you mean \"{meant}\""),
        None => "mon, tue, wed, thu, fri, sat, sun or daily".to_string(),
    };
    Err(refuse(format!("{} is no day", Quoted(text)), hint))
}

/// Minutes since midnight; 24:00 is the end of the day.
fn minute(text: &str) -> Result<u16, Refusal> {
    let two = |digits: &str| -> Option<u16> {
        let sound = digits.len() == 2 && digits.bytes().all(|byte| byte.is_ascii_digit());
        sound.then(|| digits.parse().ok()).flatten()
    };
    let read = || {
        let (hours, minutes) = text.split_once(':')?;
        let (hours, minutes) = (two(hours)?, two(minutes)?);
        let total = hours * 60 + minutes;
        (minutes < 60 && total <= DAY).then_some(total)
    };
    read().ok_or_else(|| {
        refuse(format!("{} is no time of day", Quoted(text)), "from 00:00 to 24:00: \"03:00\"")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::keys;

    fn during() -> &'static Key {
        keys::ALL.iter().flat_map(|table| table.keys).find(|key| key.name == "during").unwrap()
    }

    #[test]
    fn a_window_is_read_as_it_is_written() {
        for days in 1..=0x7f {
            for (from, to) in [(0, 1440), (0, 0), (180, 300), (1439, 1), (1320, 360)] {
                let window = Window { days, from, to };
                assert_eq!(read(during(), &window.to_string()).unwrap(), window, "{window}");
            }
        }
    }

    #[test]
    fn days_are_one_a_few_a_span_or_all() {
        for (text, days) in
            [("mon", 1), ("sun", 64), ("sat,sun", 96), ("mon-fri", 31), ("sat-mon", 97), ("daily", 127)]
        {
            assert_eq!(read(during(), &format!("{text} 00:00-24:00")).unwrap().days, days, "{text}");
        }
    }
}
