//! One thing that Geminus promises, and whether it was so.

use std::time::Duration;

/// The verdict on one promise.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Promise {
    /// What is promised.
    pub title: &'static str,
    /// What was measured, one line each.
    pub figures: Vec<String>,
    /// What was not so, one line each; empty: kept.
    pub broken: Vec<String>,
    /// How long it took to show.
    pub took: Duration,
}

impl Promise {
    pub(super) fn new(title: &'static str) -> Self {
        Self { title, ..Self::default() }
    }

    /// Whether everything was so.
    pub fn kept(&self) -> bool {
        self.broken.is_empty()
    }

    /// Adds a line of figures.
    pub(super) fn say(&mut self, figures: String) {
        self.figures.push(figures);
    }

    /// Judges: `so` must be true, `otherwise` says what was the case.
    pub(super) fn must(&mut self, so: bool, otherwise: impl FnOnce() -> String) {
        if !so {
            self.broken.push(otherwise());
        }
    }

    /// Judges that nothing was lost; names the first few.
    pub(super) fn must_lose_nothing(&mut self, what: &str, lost: &[String]) {
        self.must(lost.is_empty(), || {
            let first: Vec<&str> = lost.iter().take(3).map(String::as_str).collect();
            format!("{} {what} lost, such as: {}", lost.len(), first.join("; "))
        });
    }
}

/// 12345678 as `12 345 678`: narrow groups read at a glance.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 2);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

/// Bytes in the unit that leaves at most three digits before the point.
pub(crate) fn bytes(count: u64) -> String {
    let count = count as f64;
    match count {
        _ if count < 1024.0 => format!("{count:.0} B"),
        _ if count < 1024.0 * 1024.0 => format!("{:.1} KiB", count / 1024.0),
        _ if count < 1024.0 * 1024.0 * 1024.0 => format!("{:.1} MiB", count / 1024.0 / 1024.0),
        _ => format!("{:.2} GiB", count / 1024.0 / 1024.0 / 1024.0),
    }
}

/// Milliseconds with one digit after the point.
pub(crate) fn milliseconds(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_promise_is_kept_until_something_is_not_so() {
        let mut promise = Promise::new("nothing is lost");
        promise.must(true, || unreachable!("kept"));
        assert!(promise.kept());
        promise.must_lose_nothing("requests", &["a".to_owned(), "b".to_owned()]);
        assert_eq!(promise.broken, ["2 requests lost, such as: a; b"]);
    }

    #[test]
    fn figures_are_for_eyes() {
        assert_eq!(grouped(7), "7");
        assert_eq!(grouped(1_234_567), "1\u{202f}234\u{202f}567");
        assert_eq!(bytes(512), "512 B");
        assert_eq!(bytes(3 << 20), "3.0 MiB");
        assert_eq!(milliseconds(Duration::from_micros(1250)), "1.2 ms");
    }
}
