//! As much JSON as a schema needs, so that this crate needs no JSON library.

/// A JSON value; objects keep their order.
#[derive(Clone)]
pub(super) enum Json {
    Text(String),
    Number(u64),
    Flag(bool),
    List(Vec<Json>),
    Object(Vec<(&'static str, Json)>),
}

impl From<&str> for Json {
    fn from(text: &str) -> Self {
        Self::Text(text.to_string())
    }
}

impl std::fmt::Display for Json {
    /// Two spaces for each level, as `jq` writes it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.write(f, 0)
    }
}

impl Json {
    fn write(&self, f: &mut std::fmt::Formatter<'_>, depth: usize) -> std::fmt::Result {
        match self {
            Self::Text(text) => write_text(f, text),
            Self::Number(number) => write!(f, "{number}"),
            Self::Flag(flag) => write!(f, "{flag}"),
            Self::List(items) => write_all(f, depth, ['[', ']'], items, |f, item| item.write(f, depth + 1)),
            Self::Object(members) => write_all(f, depth, ['{', '}'], members, |f, (name, value)| {
                write_text(f, name)?;
                f.write_str(": ")?;
                value.write(f, depth + 1)
            }),
        }
    }
}

fn write_all<T>(
    f: &mut std::fmt::Formatter<'_>,
    depth: usize,
    [open, close]: [char; 2],
    items: &[T],
    each: impl Fn(&mut std::fmt::Formatter<'_>, &T) -> std::fmt::Result,
) -> std::fmt::Result {
    if items.is_empty() {
        return write!(f, "{open}{close}");
    }
    for (index, item) in items.iter().enumerate() {
        let before = if index == 0 { open } else { ',' };
        write!(f, "{before}\n{:1$}", "", 2 * (depth + 1))?;
        each(f, item)?;
    }
    write!(f, "\n{:1$}{close}", "", 2 * depth)
}

/// RFC 8259 section 7.
fn write_text(f: &mut std::fmt::Formatter<'_>, text: &str) -> std::fmt::Result {
    f.write_str("\"")?;
    for character in text.chars() {
        match character {
            '"' | '\\' => write!(f, "\\{character}")?,
            '\u{0}'..='\u{1f}' => write!(f, "\\u{:04x}", u32::from(character))?,
            _ => write!(f, "{character}")?,
        }
    }
    f.write_str("\"")
}
