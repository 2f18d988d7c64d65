//! Good status codes of an HTTP check.

use super::finding::Quoted;
use super::keys::Key;
use super::scalar::{Raw, Refusal, refuse};

/// What a JSON Schema can say of a range.
pub(super) const PATTERN: &str = "^[1-5][0-9]{2}-[1-5][0-9]{2}$";

/// The least and the largest status code (RFC 9110 section 15).
pub(super) const CODES: (u16, u16) = (100, 599);

/// Ranges that one check may have.
pub(super) const MOST: usize = 32;

const FORM: &str = "codes from 100 to 599: 200, \"200-299\" or [200, \"301-302\"]";

/// Reads `200` or `"200-299"`; none where it is of another type.
pub(super) fn read(key: &Key, raw: Raw<'_>) -> Option<Result<(u16, u16), Refusal>> {
    match raw {
        Raw::Integer(number) => {
            let code = number.and_then(|number| u16::try_from(number).ok());
            let code = code.filter(|code| (CODES.0..=CODES.1).contains(code));
            let shown = || number.map_or("too large".to_string(), |number| number.to_string());
            Some(
                code.map(|code| (code, code))
                    .ok_or_else(|| refuse(format!("`{}` is {}", key.name, shown()), FORM)),
            )
        }
        Raw::Text(text) => Some(range(key, text)),
        Raw::Flag(_) | Raw::Other(_) => None,
    }
}

fn range(key: &Key, text: &str) -> Result<(u16, u16), Refusal> {
    let bad = |hint: String| refuse(format!("`{}` is {}, no range of codes", key.name, Quoted(text)), hint);
    let code = |text: &str| -> Option<u16> {
        let digits = text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| text.parse().ok()).flatten().filter(|code| (CODES.0..=CODES.1).contains(code))
    };
    if let Some(code) = code(text) {
        return Err(bad(format!("without quotes: {} = {code}", key.name)));
    }
    if let Some(class) = text.strip_suffix("xx").filter(|class| matches!(*class, "1" | "2" | "3" | "4" | "5"))
    {
        return Err(bad(format!("{} = \"{class}00-{class}99\"", key.name)));
    }
    let (first, last) = text.split_once('-').ok_or_else(|| bad(FORM.to_string()))?;
    let (first, last) =
        (code(first).ok_or_else(|| bad(FORM.to_string()))?, code(last).ok_or_else(|| bad(FORM.to_string()))?);
    if first > last {
        return Err(bad(format!("the other way round: \"{last}-{first}\"")));
    }
    Ok((first, last))
}
