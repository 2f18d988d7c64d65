//! Texts that a check says, or looks for.

use super::finding::Quoted;
use super::keys::Key;
use super::scalar::{Refusal, Scalar, character_noun, refuse};
use crate::limits;

/// What sort of text a key holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Text {
    /// The path of an HTTP request, with its query.
    Path,
    /// A host name or address, with a port or without.
    Host,
    /// A name that is looked up.
    DnsName,
    /// An HTTP method.
    Method,
    /// A header: name, colon, value.
    Header,
    /// Bytes of a datagram, with escapes.
    Payload,
    /// Bytes that are looked for, with escapes.
    Answer,
    /// Words that are looked for.
    Phrase,
}

impl Text {
    /// What it is, in words.
    pub(super) const fn noun(self) -> &'static str {
        match self {
            Self::Path => "a path such as \"/health\"",
            Self::Host => "a host name",
            Self::DnsName => "a name to look up",
            Self::Method => "a method such as \"HEAD\"",
            Self::Header => "a header such as \"Accept: text/plain\"",
            Self::Payload | Self::Answer => "bytes",
            Self::Phrase => "a text",
        }
    }

    /// How the reference calls it.
    pub(super) const fn value(self) -> &'static str {
        match self {
            Self::Path => "path and query",
            Self::Host => "host name or address, with or without port",
            Self::DnsName => "name to look up",
            Self::Method => "method, capital letters",
            Self::Header => "`\"Name: value\"`",
            Self::Payload | Self::Answer => "bytes",
            Self::Phrase => "text",
        }
    }

    /// What a JSON Schema can say of it.
    pub(super) const fn pattern(self) -> &'static str {
        match self {
            Self::Path => "^/[!-~]*$",
            Self::Host => "^[A-Za-z0-9._:\\[\\]-]{1,255}$",
            Self::DnsName => "^[A-Za-z0-9._-]{1,254}$",
            Self::Method => "^[A-Z]{1,16}$",
            Self::Header => "^[!-9;-~]+:",
            Self::Payload => "^[ -~]*$",
            Self::Answer => "^[ -~]+$",
            Self::Phrase => "^.+$",
        }
    }
}

/// Reads a text of a check.
pub(super) fn read(key: &Key, kind: Text, text: &str) -> Result<Scalar, Refusal> {
    match kind {
        Text::Path => path(key, text).map(Scalar::Text),
        Text::Host => host(key, text).map(Scalar::Text),
        Text::DnsName => dns_name(key, text).map(Scalar::Text),
        Text::Method => method(key, text).map(Scalar::Text),
        Text::Header => header(key, text).map(|(name, value)| Scalar::Header(name, value)),
        Text::Payload => bytes(key, text, limits::CHECK_TEXT).map(Scalar::Bytes),
        Text::Answer => answer(key, text).map(Scalar::Bytes),
        Text::Phrase => phrase(key, text).map(Scalar::Text),
    }
}

/// No longer than this, or refused.
fn short(key: &Key, length: usize, most: usize) -> Result<(), Refusal> {
    if length <= most {
        return Ok(());
    }
    Err(refuse(format!("`{}` has {length} bytes", key.name), format!("at most {most}")))
}

fn odd(key: &Key, character: char, hint: impl Into<String>) -> Refusal {
    refuse(format!("`{}` has {}", key.name, character_noun(character)), hint)
}

fn empty(key: &Key, text: &str, hint: &str) -> Result<(), Refusal> {
    if text.is_empty() { Err(refuse(format!("`{}` is empty", key.name), hint)) } else { Ok(()) }
}

/// RFC 9112 section 3.2.1, the origin form: what is no visible ASCII stands there percent-encoded.
fn path(key: &Key, text: &str) -> Result<String, Refusal> {
    if !text.starts_with('/') {
        let hint = match text.split_once("://").map(|(_, rest)| rest) {
            Some(rest) => {
                let path = rest.find('/').map_or("/", |start| &rest[start..]);
                format!("the path alone: {} = {:?}", key.name, clipped(path))
            }
            None => format!("it begins with a slash: {}", key.example),
        };
        return Err(refuse(format!("`{}` is {}, no path", key.name, Quoted(text)), hint));
    }
    match text.chars().find(|character| !character.is_ascii_graphic() || *character == '#') {
        Some('#') => Err(odd(key, '#', "a fragment is never sent: leave it out")),
        Some(character) => Err(odd(key, character, format!("percent-encoded: {}", encoded(character)))),
        None => short(key, text.len(), limits::CHECK_TEXT).map(|()| text.to_string()),
    }
}

fn encoded(character: char) -> String {
    character.encode_utf8(&mut [0; 4]).bytes().map(|byte| format!("%{byte:02X}")).collect()
}

fn clipped(text: &str) -> &str {
    &text[..text.floor_char_boundary(limits::NAME_BYTES)]
}

fn host(key: &Key, text: &str) -> Result<String, Refusal> {
    const RULE: &str = "a name or an address: \"shop.example.org\", \"shop.example.org:8080\"";
    let belongs = |character: char| {
        character.is_ascii_alphanumeric() || matches!(character, '.' | '-' | '_' | ':' | '[' | ']')
    };
    empty(key, text, RULE)?;
    match text.chars().find(|character| !belongs(*character)) {
        Some(character) => Err(odd(key, character, RULE)),
        None => short(key, text.len(), 255).map(|()| text.to_string()),
    }
}

/// RFC 1035 section 2.3.4: 63 bytes a label, 255 for all of it on the wire.
fn dns_name(key: &Key, text: &str) -> Result<String, Refusal> {
    const RULE: &str = "labels of 1 to 63 letters, digits, `-` or `_`, with dots between them";
    let plain = text.strip_suffix('.').unwrap_or(text);
    let belongs = |character: char| character.is_ascii_alphanumeric() || matches!(character, '-' | '_' | '.');
    empty(key, text, key.example)?;
    if let Some(character) = text.chars().find(|character| !belongs(*character)) {
        return Err(odd(key, character, RULE));
    }
    let bad = plain.split('.').any(|label| label.is_empty() || label.len() > 63);
    if bad && text != "." || plain.len() > 253 {
        return Err(refuse(format!("`{}` is {}, no name", key.name, Quoted(text)), RULE));
    }
    Ok(text.to_string())
}

fn method(key: &Key, text: &str) -> Result<String, Refusal> {
    let capitals = text.to_ascii_uppercase();
    let good = (1..=16).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphabetic());
    match text {
        _ if !good => {
            Err(refuse(format!("`{}` is {}, no method", key.name, Quoted(text)), "1 to 16 capital letters"))
        }
        "CONNECT" => Err(refuse("CONNECT asks for a tunnel, no answer", "such as \"GET\" or \"HEAD\"")),
        _ if text != capitals => {
            let hint = format!("in capital letters: {} = \"{capitals}\"", key.name);
            Err(refuse(format!("`{}` is {}, no method", key.name, Quoted(text)), hint))
        }
        _ => Ok(text.to_string()),
    }
}

/// RFC 9110 sections 5.1 and 5.5; what the conversation says itself is refused.
fn header(key: &Key, text: &str) -> Result<(String, String), Refusal> {
    let bad = || refuse(format!("{} is no header", Quoted(text)), key.example);
    let (name, value) = text.split_once(':').ok_or_else(bad)?;
    let value = value.trim_matches([' ', '\t']);
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if name.is_empty() || !name.bytes().all(is_token) {
        return Err(bad());
    }
    if let Some(character) = value.chars().find(|character| !matches!(character, ' '..='~' | '\t')) {
        return Err(refuse(
            format!("the header {} has {}", Quoted(name), character_noun(character)),
            "visible ASCII only",
        ));
    }
    let own = ["host", "connection", "content-length", "transfer-encoding", "upgrade", "te", "trailer"];
    if let Some(own) = own.into_iter().find(|own| name.eq_ignore_ascii_case(own)) {
        let hint = match own {
            "host" => format!("host = {:?}", clipped(value)),
            _ => "leave it out: the check says it itself, where it is needed".to_string(),
        };
        return Err(refuse(format!("the header {} is not for `{}`", Quoted(name), key.name), hint));
    }
    short(key, name.len() + value.len(), limits::CHECK_TEXT)?;
    Ok((name.to_string(), value.to_string()))
}

const ESCAPES: &str = "`\\n`, `\\r`, `\\t`, `\\\\`, and `\\x` with two hexadecimal digits, in single quotes";

/// Visible ASCII and blanks as they are; everything else by an escape.
fn bytes(key: &Key, text: &str, most: usize) -> Result<Vec<u8>, Refusal> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(character) = rest.next() {
        bytes.push(match character {
            '\\' => escape(&mut rest).ok_or_else(|| {
                let message = format!("`{}` has a backslash that begins no escape", key.name);
                refuse(message, format!("the escapes are {ESCAPES}"))
            })?,
            ' '..='~' => character as u8,
            _ => return Err(odd(key, character, format!("by an escape: {}", escaped(character)))),
        });
    }
    short(key, bytes.len(), most).map(|()| bytes)
}

fn escape(rest: &mut std::str::Chars<'_>) -> Option<u8> {
    match rest.next()? {
        'n' => Some(b'\n'),
        'r' => Some(b'\r'),
        't' => Some(b'\t'),
        '\\' => Some(b'\\'),
        'x' => {
            let digits = [rest.next()?, rest.next()?].map(|digit| digit.to_digit(16));
            let [Some(high), Some(low)] = digits else { return None };
            u8::try_from(high << 4 | low).ok()
        }
        _ => None,
    }
}

fn escaped(character: char) -> String {
    bytes_text(character.encode_utf8(&mut [0; 4]).as_bytes())
}

/// Writes bytes as a key of a check reads them.
pub(super) fn bytes_text(bytes: &[u8]) -> String {
    let mut text = String::new();
    for byte in bytes {
        match byte {
            b'\\' => text += "\\\\",
            b' '..=b'~' => text.push(char::from(*byte)),
            _ => text += &format!("\\x{byte:02x}"),
        }
    }
    text
}

fn answer(key: &Key, text: &str) -> Result<Vec<u8>, Refusal> {
    empty(key, text, "leave it out: any answer is good")?;
    bytes(key, text, limits::CHECK_PHRASE)
}

fn phrase(key: &Key, text: &str) -> Result<String, Refusal> {
    empty(key, text, "leave it out: the body is not looked at")?;
    match text.chars().find(|character| character.is_control()) {
        Some(character) => Err(odd(key, character, "a part of one line")),
        None => short(key, text.len(), limits::CHECK_PHRASE).map(|()| text.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::keys;

    #[test]
    fn bytes_are_read_as_they_are_written() {
        let key = keys::ALL.iter().flat_map(|table| table.keys).find(|key| key.name == "udp").unwrap();
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(bytes(key, &bytes_text(&all), 256).unwrap(), all);
        assert_eq!(bytes(key, "a\\r\\n\\t\\x0A\\xff\\\\", 256).unwrap(), b"a\r\n\t\n\xff\\");
        for wrong in ["\\", "\\x", "\\x0", "\\xg0", "\\q", "é", "\n"] {
            assert!(bytes(key, wrong, 256).is_err(), "{wrong}");
        }
    }
}
