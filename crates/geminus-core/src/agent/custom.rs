//! A number that a host's own program or file says, on the scale of the load.

use super::LOAD_MOST;

/// Bytes that are read of a file or a program; more is no number.
pub const READ_BYTES: usize = 256;

/// What was said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Number {
    /// 0 to [`LOAD_MOST`].
    pub value: u16,
    /// What was wrong with it, in words: it counts as `value` all the same.
    pub clamped: Option<String>,
}

/// The number at the beginning of the first line.
///
/// # Errors
/// In words: there is none.
pub fn number(said: &[u8]) -> Result<Number, String> {
    let text = String::from_utf8_lossy(&said[..said.len().min(READ_BYTES)]);
    let word = text.lines().next().and_then(|line| line.split_whitespace().next());
    let word = word.ok_or("said nothing")?;
    let shown: String = word.chars().take(24).flat_map(char::escape_debug).collect();
    let said: f64 = word.parse().map_err(|_| format!("said {shown:?}, which is no number"))?;
    if said.is_nan() {
        return Err(format!("said {shown:?}, which is no number"));
    }
    let most = f64::from(LOAD_MOST);
    let value = said.clamp(0.0, most).round();
    // Within the bounds of the clamp.
    let value = value as u16;
    let clamped = !(0.0..=most).contains(&said);
    let clamped =
        clamped.then(|| format!("said {shown}, which counts as {value}: 1000 is all there is to give"));
    Ok(Number { value, clamped })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_word_is_the_number() {
        for (said, value) in
            [("420\n", 420), ("0", 0), ("  17.6 of 100\n9", 18), ("1e3", 1000), ("2000", 2000)]
        {
            assert_eq!(number(said.as_bytes()), Ok(Number { value, clamped: None }), "{said:?}");
        }
    }

    #[test]
    fn an_absurd_number_is_clamped_and_named() {
        for (said, value) in [("99999999", LOAD_MOST), ("-5", 0), ("inf", LOAD_MOST), ("1e300", LOAD_MOST)] {
            let number = number(said.as_bytes()).expect("a number");
            assert_eq!(number.value, value, "{said}");
            assert!(number.clamped.expect("named").contains(said), "{said}");
        }
    }

    #[test]
    fn what_is_no_number_is_named() {
        for said in [&b""[..], b"\n5", b"load: 5", b"nan", b"\xff\xfe", b"\x1b[2J", &[b'9'; 4096][..]] {
            match number(said) {
                Err(why) => assert!(!why.contains('\u{1b}') && why.len() < 200, "{why}"),
                Ok(number) => assert_eq!(number.value, LOAD_MOST, "256 nines are a number"),
            }
        }
    }
}
