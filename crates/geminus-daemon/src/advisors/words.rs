//! Faults of this side of a conversation.

use std::io;

use geminus_core::health::{Fault, FaultKind};

use super::tls::TooMuch;

/// [`Fault::words`] has at most so many bytes.
const WORDS: usize = 200;

/// A fault in these words, as far as they are printable.
pub(super) fn fault(kind: FaultKind, words: impl AsRef<str>) -> Fault {
    let printable = |c: char| if c == ' ' || c.is_ascii_graphic() { c } else { '?' };
    let mut words: String = words.as_ref().chars().map(printable).collect();
    if words.len() > WORDS {
        words.truncate(WORDS - 3);
        words.push_str("...");
    }
    Fault { kind, words }
}

/// What an error of a socket says of the server, while `what` was expected of it.
pub(super) fn of_socket(error: &io::Error, what: &str) -> Fault {
    let said = |kind, got: &str| fault(kind, format!("expected {what}, got {got}"));
    match error.raw_os_error() {
        Some(libc::ECONNREFUSED) => said(FaultKind::Refused, "a refusal: the port is closed"),
        Some(libc::ECONNRESET | libc::EPIPE) => said(FaultKind::Closed, "a reset"),
        Some(libc::EHOSTUNREACH | libc::ENETUNREACH | libc::EHOSTDOWN | libc::ENETDOWN | libc::ENONET) => {
            said(FaultKind::Unreachable, &format!("nothing: {}", plain(error)))
        }
        Some(libc::ETIMEDOUT) => said(FaultKind::ConnectTimeout, "nothing in time"),
        _ if error.kind() == io::ErrorKind::UnexpectedEof => {
            said(FaultKind::Closed, "the end of the connection")
        }
        _ => match error.get_ref().and_then(|cause| cause.downcast_ref::<TooMuch>()) {
            Some(much) => said(FaultKind::Garbage, &much.to_string()),
            None => own(error),
        },
    }
}

/// A check that this machine could not make.
pub(super) fn own(cause: impl std::fmt::Display) -> Fault {
    fault(FaultKind::Own, format!("this machine cannot make the check: {cause}"))
}

/// Without the number that the standard library puts behind it.
pub(super) fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_one_short_printable_line() {
        let fault = fault(FaultKind::Exec, "\x1b[2J\n".repeat(100));
        assert_eq!(fault.words.len(), WORDS);
        assert!(fault.words.starts_with("?[2J??[2J?") && fault.words.ends_with("..."), "{}", fault.words);
    }

    #[test]
    fn what_the_kernel_lacks_says_nothing_of_the_server() {
        for (number, kind) in [
            (libc::ECONNREFUSED, FaultKind::Refused),
            (libc::ECONNRESET, FaultKind::Closed),
            (libc::EHOSTUNREACH, FaultKind::Unreachable),
            (libc::EMFILE, FaultKind::Own),
            (libc::ENOBUFS, FaultKind::Own),
            (libc::EADDRNOTAVAIL, FaultKind::Own),
            (libc::EPERM, FaultKind::Own),
        ] {
            assert_eq!(of_socket(&io::Error::from_raw_os_error(number), "anything").kind, kind);
        }
    }
}
