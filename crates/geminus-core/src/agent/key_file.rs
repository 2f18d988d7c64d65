//! The text of a file with keys of agents: one a line, with its kind before it.
//!
//! ```text
//! agents 64 hexadecimal digits            speaks for every content host of a site
//! host 198.51.100.21 64 digits            speaks for one
//! 64 digits                               another secret, such as the site's, that the first is made of
//! ```
//!
//! Lines that are empty or begin with `#` say nothing.

use std::net::IpAddr;

use super::hearing::KEYS;
use crate::key::{AgentsKey, HostKey};

/// A key, by its kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Key {
    /// Of every host.
    Agents(AgentsKey),
    /// Of one.
    Host(IpAddr, HostKey),
    /// Of every host, made of a secret that can do more.
    Made(AgentsKey),
}

impl Key {
    /// The key of this host; none: it is another's.
    pub fn of_host(&self, host: IpAddr) -> Option<HostKey> {
        match self {
            Self::Agents(key) | Self::Made(key) => Some(key.of_host(host)),
            Self::Host(of, key) => (of.to_canonical() == host.to_canonical()).then(|| key.clone()),
        }
    }
}

/// Why a text holds no keys.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// Nothing in it.
    #[error("it holds no key")]
    Empty,
    /// More than are accepted at once.
    #[error("it holds more than {KEYS} keys")]
    TooMany,
    /// A line is none of the kinds. The line itself may be half a secret and is not shown.
    #[error(
        "line {0} is none of `agents DIGITS`, `host ADDRESS DIGITS` and `DIGITS`, with 64 hexadecimal digits"
    )]
    Line(usize),
}

/// The keys of a text.
///
/// # Errors
/// What is wrong with it.
pub fn parse(text: &str) -> Result<Vec<Key>, Unfit> {
    let mut keys = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let key = match words[..] {
            [] => continue,
            [first, ..] if first.starts_with('#') => continue,
            ["agents", digits] => secret(digits).map(|secret| Key::Agents(AgentsKey::new(secret))),
            ["host", address, digits] => {
                secret(digits).and_then(|secret| Some(Key::Host(address.parse().ok()?, HostKey::new(secret))))
            }
            [digits] => secret(digits).map(|secret| Key::Made(AgentsKey::from_secret(&secret))),
            _ => None,
        };
        keys.push(key.ok_or(Unfit::Line(at + 1))?);
        if keys.len() > KEYS {
            return Err(Unfit::TooMany);
        }
    }
    if keys.is_empty() { Err(Unfit::Empty) } else { Ok(keys) }
}

/// The line of a key that speaks for every host.
pub fn agents_line(key: &AgentsKey) -> String {
    format!("agents {}\n", digits(key.secret()))
}

/// The line of a key that speaks for one.
pub fn host_line(host: IpAddr, key: &HostKey) -> String {
    format!("host {host} {}\n", digits(key.secret()))
}

fn digits(secret: &[u8; 32]) -> String {
    secret.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn secret(digits: &str) -> Option<[u8; 32]> {
    let mut secret = [0; 32];
    let digit = |letter: u8| char::from(letter).to_digit(16);
    if digits.len() != 64 {
        return None;
    }
    for (byte, pair) in secret.iter_mut().zip(digits.as_bytes().chunks_exact(2)) {
        *byte = u8::try_from((digit(pair[0])? << 4) | digit(pair[1])?).ok()?;
    }
    Some(secret)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn what_is_written_is_read_and_each_kind_makes_the_same_key_of_a_host() {
        let (agents, host) = (AgentsKey::from_secret(&[7; 32]), ip("198.51.100.21"));
        let text = format!(
            "# of the shop\n\n{}{}  {}\n",
            agents_line(&agents),
            host_line(host, &agents.of_host(host)),
            "07".repeat(32)
        );
        let keys = parse(&text).expect("sound");
        assert!(matches!(keys[..], [Key::Agents(_), Key::Host(..), Key::Made(_)]), "{keys:?}");
        for key in &keys {
            assert!(key.of_host(host) == Some(agents.of_host(host)), "{key:?}");
        }
        assert_eq!(keys[1].of_host(ip("198.51.100.22")), None, "a host's key is no other's");
        assert!(keys[0].of_host(ip("198.51.100.22")).is_some());
    }

    #[test]
    fn what_is_no_key_is_refused_by_its_line_and_never_shown() {
        let digits = "ab".repeat(32);
        let bad = [
            format!("agents {}", &digits[1..]),
            format!("{digits}0"),
            format!("host {digits}"),
            format!("host web1 {digits}"),
            format!("agent {digits}"),
            digits.replace('a', "g"),
            "é".repeat(32),
        ];
        for line in bad {
            let error = parse(&format!("# first\n{line}\n")).expect_err("unfit");
            assert_eq!(error, Unfit::Line(2), "{line}");
            assert!(!error.to_string().contains("abab"));
        }
        assert_eq!(parse("# nothing\n\n"), Err(Unfit::Empty));
        assert_eq!(parse(&format!("{digits}\n").repeat(KEYS + 1)), Err(Unfit::TooMany));
    }
}
