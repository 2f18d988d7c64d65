//! What is generated from the description of the keys is up to date and agrees with the parser.
//!
//! `UPDATE_DOCS=1 cargo test -p geminus-core --test config_docs` writes the files.

use std::path::PathBuf;

use geminus_core::config;
use serde_json::Value;

fn file(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

#[track_caller]
fn is_up_to_date(path: &str, expected: &str) {
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(file(path), expected).expect("docs/ can be written");
    }
    let found = std::fs::read_to_string(file(path)).unwrap_or_default();
    assert!(
        found == expected,
        "{path} is out of date: UPDATE_DOCS=1 cargo test -p geminus-core --test config_docs"
    );
}

fn schema() -> Value {
    serde_json::from_str(&config::schema_json()).expect("the schema is JSON")
}

fn example(name: &str) -> String {
    std::fs::read_to_string(file("examples").join(name)).expect("the example is there")
}

#[test]
fn the_reference_is_up_to_date() {
    is_up_to_date("docs/config.md", &config::reference_markdown());
}

#[test]
fn the_schema_is_up_to_date() {
    is_up_to_date("docs/config.schema.json", &config::schema_json());
}

#[test]
fn every_example_is_a_site() {
    let mut found = 0;
    for entry in std::fs::read_dir(file("examples")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            let text = std::fs::read_to_string(&path).unwrap();
            let parsed = config::parse_with_warnings(&text, &path.to_string_lossy());
            let parsed = parsed.unwrap_or_else(|errors| panic!("{errors}"));
            assert_eq!(parsed.warnings, [], "{}", path.display());
            found += 1;
        }
    }
    assert!(found >= 6);
}

/// Every name under `properties`, at any depth.
fn properties(schema: &Value, names: &mut Vec<String>) {
    match schema {
        Value::Object(members) => {
            if let Some(Value::Object(keys)) = members.get("properties") {
                names.extend(keys.keys().cloned());
            }
            members.values().for_each(|value| properties(value, names));
        }
        Value::Array(items) => items.iter().for_each(|item| properties(item, names)),
        _ => {}
    }
}

/// Every key of a file, at any depth; the names of nodes and clusters too.
fn keys(value: &Value, names: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            names.extend(members.keys().cloned());
            members.values().for_each(|value| keys(value, names));
        }
        Value::Array(items) => items.iter().for_each(|item| keys(item, names)),
        _ => {}
    }
}

#[test]
fn the_full_example_and_the_reference_show_every_key() {
    let (mut known, mut shown) = (Vec::new(), Vec::new());
    properties(&schema(), &mut known);
    for name in ["site.toml", "checks.toml"] {
        keys(&toml::from_str(&example(name)).unwrap(), &mut shown);
    }
    let reference = config::reference_markdown();
    assert!(known.len() > 30, "{known:?}");
    for key in known {
        assert!(shown.contains(&key), "`{key}` is in neither examples/site.toml nor examples/checks.toml");
        assert!(
            reference.contains(&format!("| `{key}` |")) || reference.contains(&format!("`[{key}")),
            "`{key}` is not in the reference"
        );
    }
}

/// As much of JSON Schema as the schema uses, less `pattern` and `format`: where a value does not fit, and why.
fn misfit(value: &Value, schema: &Value, path: &str) -> Option<String> {
    let fails = |why: &str| Some(format!("{path}: {why}"));
    if let Some(choices) = schema["anyOf"].as_array()
        && choices.iter().all(|choice| misfit(value, choice, path).is_some())
    {
        return fails("none of anyOf");
    }
    if let Some(words) = schema["enum"].as_array()
        && !words.contains(value)
    {
        return fails("no word of enum");
    }
    let fits_type = match schema["type"].as_str() {
        None => true,
        Some("object") => value.is_object(),
        Some("array") => value.is_array(),
        Some("string") => value.is_string(),
        Some("integer") => value.is_i64() || value.is_u64(),
        Some("boolean") => value.is_boolean(),
        Some(other) => return fails(other),
    };
    if !fits_type {
        return fails("type");
    }
    if let Some(number) = value.as_i64()
        && (schema["minimum"].as_i64().is_some_and(|min| number < min)
            || schema["maximum"].as_i64().is_some_and(|max| number > max))
    {
        return fails("range");
    }
    match value {
        Value::Object(members) => misfit_members(members, schema, path),
        Value::Array(items) => {
            let too_few = schema["minItems"].as_u64().is_some_and(|min| (items.len() as u64) < min);
            if too_few {
                fails("minItems")
            } else {
                items.iter().find_map(|item| misfit(item, &schema["items"], path))
            }
        }
        _ => None,
    }
}

fn misfit_members(members: &serde_json::Map<String, Value>, schema: &Value, path: &str) -> Option<String> {
    let required = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
    for key in required {
        if !members.contains_key(key) {
            return Some(format!("{path}: no {key}"));
        }
    }
    members.iter().find_map(|(key, value)| {
        let path = format!("{path}.{key}");
        match (schema["properties"].get(key), &schema["additionalProperties"]) {
            (Some(property), _) => misfit(value, property, &path),
            (None, Value::Bool(false)) => Some(format!("{path}: unknown")),
            (None, other) => misfit(value, other, &path),
        }
    })
}

#[test]
fn the_schema_takes_the_examples() {
    for name in ["minimal.toml", "site.toml", "pair.toml", "mutual.toml", "collocated.toml", "checks.toml"] {
        let value: Value = toml::from_str(&example(name)).unwrap();
        assert_eq!(misfit(&value, &schema(), ""), None, "{name}");
    }
}

#[test]
fn the_schema_and_the_parser_refuse_the_same() {
    let full = example("site.toml");
    for (right, wrong) in [
        ("port = 80\n", "port = 0\n"),
        ("port = 80\n", "port = 65536\n"),
        ("port = 80\n", "port = true\n"),
        ("port = 80\n", ""),
        ("protocol = \"tcp\"", "protocol = \"sctp\""),
        ("method = \"mac\"", "method = \"ipip\""),
        ("ring = 65537", "ring = 17"),
        ("ring = 65537", "ring = 1048583"),
        ("weight = 10 },   #", "weight = 1001 },   #"),
        ("weight = 10 },   #", "weigth = 10 },   #"),
        ("prefix6 = 64", "prefix6 = 129"),
        ("tuples = true", "tuples = \"true\""),
        ("lease = \"5s\"", "lease = 5"),
        ("profile = \"default\"   ", "profile = \"faster\"   "),
        ("suspect = 3", "suspect = 1"),
        ("port = 4870", "port = 65536"),
        ("[\"203.0.113.1\", \"203.0.113.2\"]", "[\"203.0.113.1\"]"),
        ("reach = [\"198.51.100.1\"]", "reach = []"),
        ("duel = [", "duell = ["),
        ("duel = [\"/etc/geminus/page\", \"both were active\"]", "duel = []"),
        ("[tables]\n", "[tabels]\n"),
        ("panic_below = 50", "panic_below = 101"),
        ("smoothing = 200", "smoothing = 99"),
        ("latency = 40,", "latencies = 40,"),
        ("enabled = true ", "enabled = \"yes\" "),
        ("tcp = true", "tcp = false"),
        ("via = \"path\"", "via = \"wire\""),
        ("fall = 3", "fall = 0"),
        ("https = \"/health\"", "https = 443"),
        ("on_down = \"reset\"", "on_down = \"drop\""),
        ("weights = \"managed\" ", "weights = true "),
        ("deny = [\"203.0.113.66\"]", "deny = \"203.0.113.66\""),
        ("sticky = true", "sticky = 1"),
        ("maintenance = [\"sun 03:00-05:00\", \"daily 02:00-02:30\"]", "maintenance = []"),
        ("name = \"away\"\n", ""),
        ("rate = 500", "rate = 0"),
        ("during = \"mon-fri 22:00-06:00\"", "during = 22"),
        ("addresses = [\"198.51.100.81\"]", "addresses = []"),
        ("servers = [{ name = \"media1\", address = \"198.51.100.31\" }]", "servers = []"),
    ] {
        assert_eq!(full.matches(right).count(), 1, "{right}");
        let text = full.replace(right, wrong);
        let value: Value = toml::from_str(&text).unwrap();
        assert!(misfit(&value, &schema(), "").is_some(), "the schema takes {wrong}");
        assert!(config::parse(&text, "f").is_err(), "the parser takes {wrong}");
    }
}
