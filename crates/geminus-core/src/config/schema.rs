//! The JSON Schema of the file, for editors and for whoever writes the file by program.

use super::json::Json;
use super::keys::{self, Key, Kind, Literal, Presence, Table};
use super::{prefix, status, window};
use crate::limits;

const NAME: &str = "^[A-Za-z0-9._-]{1,64}$";
const INTERFACE: &str = "^[^\\s/:]{1,15}$";
const DURATION: &str = "^([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?$";
const SIZE: &str = "^[0-9]+(Ki|Mi|Gi)?$";
const RANGE: &str = "^(any|[0-9]{1,5}-[0-9]{1,5})$";

/// The JSON Schema (draft 2020-12) of the configuration, as JSON text with a final line break.
///
/// It holds what a schema can say: keys, types, ranges, words, defaults. What spans several keys, such as an address
/// used twice, only the parser knows.
pub fn schema_json() -> String {
    let mut members = vec![
        ("$schema", "https://json-schema.org/draft/2020-12/schema".into()),
        ("title", "Geminus site".into()),
        ("description", "One file for the whole site, the same on every dispatcher.".into()),
    ];
    members.extend(object(&keys::FILE));
    format!("{}\n", Json::Object(members))
}

fn object(table: &'static Table) -> Vec<(&'static str, Json)> {
    let properties = table.keys.iter().map(|key| (key.name, property(key))).collect();
    let required: Vec<Json> = table
        .keys
        .iter()
        .filter(|key| matches!(key.presence, Presence::Required))
        .map(|key| key.name.into())
        .collect();
    vec![
        ("type", "object".into()),
        ("properties", Json::Object(properties)),
        ("required", Json::List(required)),
        ("additionalProperties", Json::Flag(false)),
    ]
}

fn property(key: &'static Key) -> Json {
    let mut members = vec![("description", key.doc.into())];
    members.extend(shape(&key.kind));
    if let Presence::Default(literal) = key.presence {
        members.push(("default", default(literal)));
    }
    Json::Object(members)
}

fn default(literal: Literal) -> Json {
    match literal {
        Literal::Text(text) => text.into(),
        Literal::Integer(number) => Json::Number(number.into()),
        Literal::Flag(flag) => Json::Flag(flag),
    }
}

fn shape(kind: &'static Kind) -> Vec<(&'static str, Json)> {
    match kind {
        Kind::Name | Kind::NodeName => pattern(NAME),
        Kind::Interface => pattern(INTERFACE),
        Kind::Path => pattern("^/"),
        Kind::Address => address(),
        Kind::Addresses => some(Json::Object(address()), limits::ADDRESSES),
        Kind::Pairs => {
            let pair =
                [("type", "array".into()), ("minItems", Json::Number(2)), ("maxItems", Json::Number(2))];
            let mut pair = Vec::from(pair);
            pair.push(("items", Json::Object(address())));
            some(Json::Object(pair), limits::PATHS)
        }
        Kind::Command => some(Json::Object(vec![("type", "string".into())]), limits::COMMAND_WORDS),
        Kind::Duration { .. } => pattern(DURATION),
        Kind::Size { min, max } => either(range(*min, *max), pattern(SIZE)),
        Kind::Prime { min, max } | Kind::Integer { min, max } => range(*min, *max),
        Kind::Flag => vec![("type", "boolean".into())],
        Kind::Word { words, .. } => {
            vec![("enum", Json::List(words.iter().map(|word| word.word.into()).collect()))]
        }
        Kind::Ports => either(range(1, u16::MAX.into()), pattern(RANGE)),
        Kind::Yes => vec![("enum", Json::List(vec![Json::Flag(true)]))],
        Kind::Text(text) => pattern(text.pattern()),
        Kind::Texts(text) => some(Json::Object(pattern(text.pattern())), limits::CHECK_HEADERS),
        Kind::Statuses => {
            let code =
                either(range(status::CODES.0.into(), status::CODES.1.into()), pattern(status::PATTERN));
            let list = some(Json::Object(code.clone()), status::MOST);
            either(code, list)
        }
        Kind::Prefixes => some(Json::Object(pattern(prefix::PATTERN)), limits::PREFIXES),
        Kind::Window => pattern(window::PATTERN),
        Kind::Windows => some(Json::Object(pattern(window::PATTERN)), limits::WINDOWS),
        Kind::Table(table) => object(table),
        Kind::Named(table) => named(table),
        Kind::List(table) => some(Json::Object(object(table)), limits::SERVERS_PER_SERVICE),
    }
}

fn pattern(pattern: &str) -> Vec<(&'static str, Json)> {
    vec![("type", "string".into()), ("pattern", pattern.into())]
}

fn address() -> Vec<(&'static str, Json)> {
    let formats = ["ipv4", "ipv6"].map(|format| Json::Object(vec![("format", format.into())]));
    vec![("type", "string".into()), ("anyOf", Json::List(formats.into()))]
}

fn range(min: u32, max: u32) -> Vec<(&'static str, Json)> {
    vec![
        ("type", "integer".into()),
        ("minimum", Json::Number(min.into())),
        ("maximum", Json::Number(max.into())),
    ]
}

fn either(one: Vec<(&'static str, Json)>, other: Vec<(&'static str, Json)>) -> Vec<(&'static str, Json)> {
    vec![("anyOf", Json::List(vec![Json::Object(one), Json::Object(other)]))]
}

fn some(items: Json, most: usize) -> Vec<(&'static str, Json)> {
    vec![
        ("type", "array".into()),
        ("minItems", Json::Number(1)),
        ("maxItems", Json::Number(most as u64)),
        ("items", items),
    ]
}

fn named(table: &'static Table) -> Vec<(&'static str, Json)> {
    vec![
        ("type", "object".into()),
        ("minProperties", Json::Number(1)),
        ("propertyNames", Json::Object(vec![("pattern", NAME.into())])),
        ("additionalProperties", Json::Object(object(table))),
    ]
}
