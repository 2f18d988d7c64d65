//! Single values: what a file may write for each kind of key, and what it means.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::address;
use super::finding::{FindingKind, Problem, Quoted};
use super::keys::{Key, Kind, Literal, Reserved, Word};
use super::nearest::{nearest, powers_of_two_around};
use super::quantity::{duration, duration_text, size, size_text};
use super::{prefix, status, text, window};
use crate::limits;
use crate::model::{Ports, Prefix, Window};
use crate::ring::{is_prime, nearest_primes};

/// A value as the TOML parser hands it over.
#[derive(Clone, Copy)]
pub(super) enum Raw<'i> {
    Text(&'i str),
    /// None: beyond 128 bits.
    Integer(Option<i128>),
    Flag(bool),
    /// Anything else, by the word TOML has for it.
    Other(&'static str),
}

impl Raw<'_> {
    /// The type in words, with its article.
    pub(super) fn noun(self) -> &'static str {
        match self {
            Self::Text(_) => "a string",
            Self::Integer(_) => "an integer",
            Self::Flag(_) => "a boolean",
            Self::Other("array") => "an array",
            Self::Other("table") => "a table",
            Self::Other("float") => "a float",
            Self::Other(_) => "a date",
        }
    }
}

impl From<Literal> for Raw<'static> {
    fn from(literal: Literal) -> Self {
        match literal {
            Literal::Text(text) => Self::Text(text),
            Literal::Integer(number) => Self::Integer(Some(number.into())),
            Literal::Flag(flag) => Self::Flag(flag),
        }
    }
}

/// A value that cannot be wrong in itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Scalar {
    Text(String),
    Path(PathBuf),
    Address(IpAddr),
    Duration(Duration),
    Number(u32),
    Flag(bool),
    Word(&'static str),
    Ports(Ports),
    /// A program and its arguments.
    Command(Vec<String>),
    Bytes(Vec<u8>),
    /// Name and value.
    Header(String, String),
    /// First and last of each range.
    Statuses(Vec<(u16, u16)>),
    Prefix(Prefix),
    Window(Window),
}

/// Why a value is refused.
pub(super) type Refusal = (FindingKind, Problem);

pub(super) fn refuse(message: impl Into<String>, hint: impl Into<String>) -> Refusal {
    (FindingKind::Value, Problem::new(message).hint(hint))
}

/// Reads the value of a key that is no table.
pub(super) fn interpret(key: &Key, raw: Raw<'_>) -> Result<Scalar, Refusal> {
    match (&key.kind, raw) {
        (Kind::Name | Kind::NodeName, Raw::Text(text)) => name(text).map(Scalar::Text),
        (Kind::Interface, Raw::Text(text)) => interface(text).map(Scalar::Text),
        (Kind::Path, Raw::Text(text)) => path(key, text).map(Scalar::Path),
        (Kind::Address | Kind::Addresses | Kind::Pairs, Raw::Text(text)) => {
            address::usable(text).map(Scalar::Address)
        }
        (Kind::Duration { min, max }, Raw::Text(text)) => timed(key, text, *min, *max).map(Scalar::Duration),
        (Kind::Size { min, max }, Raw::Text(text)) => sized(key, text, *min, *max).map(Scalar::Number),
        (Kind::Size { min, max }, Raw::Integer(number)) => power(key, number, *min, *max).map(Scalar::Number),
        (Kind::Prime { min, max }, Raw::Integer(number)) => {
            prime(key, number, *min, *max).map(Scalar::Number)
        }
        (Kind::Integer { min, max }, Raw::Integer(number)) => {
            within(key, number, *min, *max, u32::to_string).map(Scalar::Number)
        }
        (Kind::Flag, Raw::Flag(flag)) => Ok(Scalar::Flag(flag)),
        (Kind::Word { words, reserved }, Raw::Text(text)) => {
            word(key, text, words, reserved).map(Scalar::Word)
        }
        (Kind::Ports, Raw::Text(text)) => ports(text).map(Scalar::Ports),
        (Kind::Ports, Raw::Integer(number)) => port(number).map(|port| Scalar::Ports(Ports::Exact(port))),
        (Kind::Yes, Raw::Flag(flag)) => yes(key, flag).map(Scalar::Flag),
        (Kind::Text(kind) | Kind::Texts(kind), Raw::Text(text)) => text::read(key, *kind, text),
        (Kind::Statuses, raw) => match status::read(key, raw) {
            Some(range) => range.map(|range| Scalar::Statuses(vec![range])),
            None => Err(mistyped(key, raw)),
        },
        (Kind::Prefixes, Raw::Text(text)) => prefix::read(text).map(Scalar::Prefix),
        (Kind::Window | Kind::Windows, Raw::Text(text)) => window::read(key, text).map(Scalar::Window),
        _ => Err(mistyped(key, raw)),
    }
}

fn yes(key: &Key, flag: bool) -> Result<bool, Refusal> {
    let hint = || format!("leave it out, or {}", key.example);
    if flag { Ok(true) } else { Err(refuse(format!("`{}` is false", key.name), hint())) }
}

/// A value of another type than the key has; where the right one can be told, the hint spells it.
pub(super) fn mistyped(key: &Key, raw: Raw<'_>) -> Refusal {
    let hint = match (&key.kind, raw) {
        (Kind::Duration { .. }, Raw::Integer(Some(number))) => {
            format!("it needs a unit: {} = \"{number}s\"", key.name)
        }
        (Kind::Integer { .. } | Kind::Prime { .. }, Raw::Text(text)) if text.parse::<u32>().is_ok() => {
            format!("without quotes: {} = {text}", key.name)
        }
        (Kind::Flag | Kind::Yes, Raw::Text(text @ ("true" | "false"))) => {
            format!("without quotes: {} = {text}", key.name)
        }
        (Kind::Addresses, Raw::Text(text)) if text.parse::<IpAddr>().is_ok() => {
            format!("in brackets: {} = [\"{text}\"]", key.name)
        }
        (Kind::Prefixes | Kind::Windows | Kind::Texts(_), Raw::Text(text)) if interpret(key, raw).is_ok() => {
            format!("in brackets: {} = [{text:?}]", key.name)
        }
        (Kind::Command, Raw::Text(text)) if text.starts_with('/') && command(key, [text]).is_ok() => {
            let words: Vec<_> = text.split_whitespace().map(|word| format!("\"{word}\"")).collect();
            format!("each word for itself: {} = [{}]", key.name, words.join(", "))
        }
        _ => key.example.to_string(),
    };
    let message = format!("`{}` is {}, expected {}", key.name, raw.noun(), wanted(&key.kind));
    (FindingKind::Type, Problem::new(message).hint(hint))
}

/// What a kind of key holds, in words.
pub(super) fn wanted(kind: &Kind) -> String {
    match kind {
        Kind::Name => "a name".to_string(),
        Kind::NodeName => "the name of a node".to_string(),
        Kind::Interface => "the name of an interface".to_string(),
        Kind::Path => "an absolute path".to_string(),
        Kind::Address => "an address".to_string(),
        Kind::Addresses => "a list of addresses".to_string(),
        Kind::Pairs => "a list of pairs of addresses".to_string(),
        Kind::Command => "a list of a program and its arguments".to_string(),
        Kind::Duration { .. } => "a duration".to_string(),
        Kind::Size { .. } => "a power of two".to_string(),
        Kind::Prime { .. } => "a prime".to_string(),
        Kind::Integer { .. } => "an integer".to_string(),
        Kind::Flag => "true or false".to_string(),
        Kind::Word { words, .. } => {
            let words: Vec<_> = words.iter().map(|word| format!("\"{}\"", word.word)).collect();
            words.join(" or ")
        }
        Kind::Ports => "a port, a range or \"any\"".to_string(),
        Kind::Yes => "true".to_string(),
        Kind::Text(text) => text.noun().to_string(),
        Kind::Texts(_) => "a list of texts".to_string(),
        Kind::Statuses => "a status code, a range or a list of them".to_string(),
        Kind::Prefixes => "a list of prefixes".to_string(),
        Kind::Window => "days and times".to_string(),
        Kind::Windows => "a list of days and times".to_string(),
        Kind::Table(_) => "a table".to_string(),
        Kind::Named(_) => "tables with names".to_string(),
        Kind::List(_) => "a list of tables".to_string(),
    }
}

/// What one entry of a kind that is a list of values holds, in words.
pub(super) fn entry_wanted(kind: &Kind) -> &'static str {
    match kind {
        Kind::Addresses | Kind::Pairs => "an address",
        Kind::Prefixes => "a prefix or an address",
        Kind::Windows => "days and times",
        Kind::Texts(text) => text.noun(),
        Kind::Statuses => "a status code or a range",
        _ => "a string",
    }
}

/// Checks the name of a node, cluster or server.
pub(super) fn name(text: &str) -> Result<String, Refusal> {
    const RULE: &str = "1 to 64 letters, digits, `-`, `_` or `.`";
    let odd = |character: &char| !(character.is_ascii_alphanumeric() || matches!(character, '-' | '_' | '.'));
    if text.is_empty() {
        return Err(refuse("a name is empty", RULE));
    }
    if let Some(character) = text.chars().find(odd) {
        return Err(refuse(format!("the name {} has {}", Quoted(text), character_noun(character)), RULE));
    }
    if text.len() > limits::NAME_BYTES {
        return Err(refuse(format!("the name {} has {} bytes", Quoted(text), text.len()), RULE));
    }
    Ok(text.to_string())
}

pub(super) fn character_noun(character: char) -> String {
    match character {
        ' ' => "a space".to_string(),
        '\t' => "a tab".to_string(),
        '\n' => "a line break".to_string(),
        _ if character.is_control() => format!("the control character {}", character.escape_unicode()),
        _ => format!("the character {}", Quoted(character.encode_utf8(&mut [0; 4]))),
    }
}

/// The kernel's own rule, `dev_valid_name` in `net/core/dev.c`.
fn interface(text: &str) -> Result<String, Refusal> {
    const RULE: &str = "1 to 15 bytes as `ip link` shows it";
    let odd = |character: &char| {
        character.is_whitespace() || character.is_control() || matches!(character, '/' | ':')
    };
    if matches!(text, "" | "." | "..") {
        return Err(refuse(format!("{} is no interface name", Quoted(text)), RULE));
    }
    if let Some(character) = text.chars().find(odd) {
        let message = format!("the interface name {} has {}", Quoted(text), character_noun(character));
        return Err(refuse(message, RULE));
    }
    if text.len() > limits::INTERFACE_BYTES {
        let message = format!("the interface name {} has {} bytes", Quoted(text), text.len());
        return Err(refuse(message, RULE));
    }
    Ok(text.to_string())
}

fn path(key: &Key, text: &str) -> Result<PathBuf, Refusal> {
    if let Some(character) = text.chars().find(|character| character.is_control()) {
        return Err(refuse(format!("`{}` has {}", key.name, character_noun(character)), key.example));
    }
    if !text.starts_with('/') {
        let message = format!("`{}` is {}, no absolute path", key.name, Quoted(text));
        return Err(refuse(message, key.example));
    }
    Ok(PathBuf::from(text))
}

/// Checks a program and its arguments.
pub(super) fn command<'a>(
    key: &Key,
    words: impl IntoIterator<Item = &'a str>,
) -> Result<Vec<String>, Refusal> {
    let words: Vec<_> = words.into_iter().collect();
    let odd = |word: &&str| word.chars().find(|character| character.is_control());
    if let Some(character) = words.iter().find_map(odd) {
        return Err(refuse(format!("`{}` has {}", key.name, character_noun(character)), key.example));
    }
    match words.first() {
        Some(program) if !program.starts_with('/') => {
            let message = format!("the program of `{}` is {}, no absolute path", key.name, Quoted(program));
            Err(refuse(message, key.example))
        }
        _ if words.len() > limits::COMMAND_WORDS => {
            let message = format!("`{}` has {} words", key.name, words.len());
            Err((
                FindingKind::Limit,
                Problem::new(message).hint(format!("at most {}", limits::COMMAND_WORDS)),
            ))
        }
        _ => Ok(words.into_iter().map(str::to_string).collect()),
    }
}

fn timed(key: &Key, text: &str, min: Duration, max: Duration) -> Result<Duration, Refusal> {
    let value = duration(text).map_err(|problem| (FindingKind::Value, problem))?;
    if value < min || value > max {
        let (min, max) = (duration_text(min), duration_text(max));
        return Err(refuse(
            format!("`{}` is {}", key.name, duration_text(value)),
            format!("from {min} to {max}"),
        ));
    }
    Ok(value)
}

fn sized(key: &Key, text: &str, min: u32, max: u32) -> Result<u32, Refusal> {
    let number = size(text).map_err(|problem| (FindingKind::Value, problem))?;
    power(key, Some(number.into()), min, max)
}

fn power(key: &Key, number: Option<i128>, min: u32, max: u32) -> Result<u32, Refusal> {
    let number = within(key, number, min, max, |number| size_text(u64::from(*number)))?;
    if !number.is_power_of_two() {
        let (below, above) = powers_of_two_around(number.into());
        let hint = format!("{} = \"{}\" or \"{}\"", key.name, size_text(below), size_text(above));
        return Err(refuse(format!("`{}` is {number}, no power of two", key.name), hint));
    }
    Ok(number)
}

fn prime(key: &Key, number: Option<i128>, min: u32, max: u32) -> Result<u32, Refusal> {
    let number = within(key, number, min, max, u32::to_string)?;
    if !is_prime(number) {
        let (below, above) = nearest_primes(number);
        let hint = format!("{} = {below} or {above}", key.name);
        return Err(refuse(format!("`{}` is {number}, no prime", key.name), hint));
    }
    Ok(number)
}

fn within(
    key: &Key,
    number: Option<i128>,
    min: u32,
    max: u32,
    show: impl Fn(&u32) -> String,
) -> Result<u32, Refusal> {
    let fitting =
        number.and_then(|number| u32::try_from(number).ok()).filter(|number| (min..=max).contains(number));
    fitting.ok_or_else(|| {
        let number = number.map_or("too large".to_string(), |number| number.to_string());
        refuse(format!("`{}` is {number}", key.name), format!("from {} to {}", show(&min), show(&max)))
    })
}

fn word(key: &Key, text: &str, words: &[Word], reserved: &[Reserved]) -> Result<&'static str, Refusal> {
    if let Some(known) = known_word(key, text) {
        return Ok(known);
    }
    if let Some(later) = reserved.iter().find(|later| later.name == text) {
        return Err(later_version(&format!("{} \"{}\"", key.name, later.name), later, &wanted(&key.kind)));
    }
    let message = format!("`{}` cannot be {}", key.name, Quoted(text));
    let all = words.iter().map(|word| word.word).chain(reserved.iter().map(|later| later.name));
    let hint = match nearest(text, all) {
        Some(meant) => format!("did you mean \"{meant}\""),
        None => wanted(&key.kind),
    };
    Err(refuse(message, hint))
}

fn known_word(key: &Key, text: &str) -> Option<&'static str> {
    let Kind::Word { words, .. } = key.kind else { return None };
    words.iter().map(|word| word.word).find(|word| *word == text)
}

/// The one sentence for everything that is reserved.
pub(super) fn later_version(what: &str, reserved: &Reserved, instead: &str) -> Refusal {
    let message = format!("{what} is not in this version: {}", reserved.doc);
    (FindingKind::NotInThisVersion, Problem::new(message).hint(instead))
}

const PORTS: &str = "1 to 65535, a range such as \"8000-8099\", or \"any\"";

fn port(number: Option<i128>) -> Result<u16, Refusal> {
    match number {
        Some(0) => Err(refuse("`port` is 0, which no packet has", "port = \"any\" is every port")),
        Some(number) => u16::try_from(number).map_err(|_| refuse(format!("`port` is {number}"), PORTS)),
        None => Err(refuse("`port` is too large", PORTS)),
    }
}

fn ports(text: &str) -> Result<Ports, Refusal> {
    if text == "any" {
        return Ok(Ports::Any);
    }
    if let Ok(number) = text.parse::<u16>() {
        let message = format!("`port` is the string {}, no range", Quoted(text));
        return Err(refuse(message, format!("without quotes: port = {number}")));
    }
    let bad = || refuse(format!("`port` is {}, no range of ports", Quoted(text)), PORTS);
    let (first, last) = text.split_once('-').ok_or_else(bad)?;
    let decimal = |end: &str| {
        let digits = !end.is_empty() && end.len() <= 5 && end.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| end.parse::<i128>().ok()).flatten()
    };
    let (first, last) = (decimal(first).ok_or_else(bad)?, decimal(last).ok_or_else(bad)?);
    let (first, last) = (port(Some(first))?, port(Some(last))?);
    match first.cmp(&last) {
        std::cmp::Ordering::Less => Ok(Ports::Range(first, last)),
        std::cmp::Ordering::Equal => {
            Err(refuse(format!("the range \"{text}\" is one port"), format!("port = {first}")))
        }
        std::cmp::Ordering::Greater => {
            Err(refuse(format!("the range \"{text}\" runs backwards"), format!("port = \"{last}-{first}\"")))
        }
    }
}
