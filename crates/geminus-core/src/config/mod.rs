//! The configuration file: one for the whole site, the same on every dispatcher.
//!
//! A file becomes a [`Site`] in four steps. `syntax`: the TOML parser makes a tree with positions, also of a broken
//! text. `read`: the tree is compared with the one description of all keys (`keys`), and every value typed. `check`:
//! things that are sound alone are compared with each other. `build`: what is left without an error becomes the model.
//! Each step reports all it finds, so that one pass names every error.
//!
//! `docs/config.md` and the JSON Schema come from the same description, see [`reference_markdown`] and [`schema_json`].

mod address;
mod build;
mod check;
mod digest;
mod finding;
mod json;
mod keys;
mod lines;
mod nearest;
mod position;
mod prefix;
mod quantity;
mod read;
mod reference;
mod scalar;
mod schema;
mod status;
mod syntax;
mod text;
mod window;
pub(crate) mod words;

use toml::de::DeTable;

pub use self::digest::digest;
pub use self::finding::{ConfigErrors, Finding, FindingKind};
pub use self::lines::{difference, lines};
pub use self::reference::reference_markdown;
pub use self::schema::schema_json;

use self::finding::{Problem, Report};
use self::position::{Position, Positions};
use crate::limits;
use crate::model::Site;

/// A sound configuration and what is odd about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parsed {
    /// The site as it is wanted.
    pub site: Site,
    /// What is allowed but hardly meant, sorted by position.
    pub warnings: Vec<Finding>,
}

/// A time as the configuration writes it, such as `500ms`; none: it is no such thing.
pub fn duration(text: &str) -> Option<std::time::Duration> {
    quantity::duration(text).ok()
}

/// Reads a configuration; `file` is how findings name it.
///
/// # Errors
///
/// Every error of the text, each with its position.
pub fn parse(text: &str, file: &str) -> Result<Site, ConfigErrors> {
    parse_with_warnings(text, file).map(|parsed| parsed.site)
}

/// As [`parse`], and keeps the warnings.
///
/// # Errors
///
/// As [`parse`]; the errors carry the warnings too.
pub fn parse_with_warnings(text: &str, file: &str) -> Result<Parsed, ConfigErrors> {
    if text.len() > limits::CONFIG_BYTES {
        return Err(too_long(text.len(), file));
    }
    let (root, broken) = DeTable::parse_recoverable(text);
    let mut report = Report::new(file, text);
    syntax::report(text, &broken, &mut report);
    let root = read::document(root.get_ref(), &mut report);
    check::site(&root, &mut report);
    let report = report.without_echoes_of_syntax();
    let site = report.is_clean().then(|| build::site(&root)).flatten();
    let warnings = report.finish()?;
    Ok(Parsed { site: site.expect("a file without an error is a whole site"), warnings })
}

/// As [`parse_with_warnings`], for bytes as a file system gives them.
///
/// # Errors
///
/// As [`parse_with_warnings`], and where the bytes are not UTF-8.
pub fn parse_bytes(bytes: &[u8], file: &str) -> Result<Parsed, ConfigErrors> {
    if bytes.len() > limits::CONFIG_BYTES {
        return Err(too_long(bytes.len(), file));
    }
    match std::str::from_utf8(bytes) {
        Ok(text) => parse_with_warnings(text, file),
        Err(error) => Err(not_text(bytes, error.valid_up_to(), file)),
    }
}

fn too_long(bytes: usize, file: &str) -> ConfigErrors {
    let problem = Problem::new(format!("the file has {bytes} bytes"))
        .hint(format!("at most {} MiB", limits::CONFIG_BYTES >> 20));
    ConfigErrors::one(file, Position { line: 1, column: 1 }, FindingKind::Limit, problem)
}

fn not_text(bytes: &[u8], valid: usize, file: &str) -> ConfigErrors {
    let text = std::str::from_utf8(&bytes[..valid]).expect("the bytes before the first bad one are UTF-8");
    let problem = Problem::new(format!("the byte 0x{:02x} is not UTF-8", bytes[valid]))
        .hint("save the file as UTF-8 text");
    ConfigErrors::one(file, Positions::new(text).of(valid), FindingKind::Syntax, problem)
}
