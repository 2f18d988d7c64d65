//! Bad input: each wrong file gives exactly these findings, each at its place.

use geminus_core::config::{self, FindingKind};

/// The file that every case of `one_change.txt` is one change away from.
const BASE: &str = r#"[site]
key_file = "/etc/geminus/site.key"

[node.alpha]
address = "198.51.100.11"
interface = "eth0"

[cluster.shop]
addresses = ["198.51.100.80", "2001:db8:1::80"]
primary = "alpha"

[[cluster.shop.service]]
port = 80
servers = [
  { name = "web1", address = "198.51.100.21", weight = 10 },
  { name = "web2", address = "198.51.100.22" },
]
"#;

/// The file that every case of `pair.txt` is one change away from.
const PAIR: &str = r#"[site]
key_file = "/etc/geminus/site.key"

[node.alpha]
address = "198.51.100.11"
interface = "eth0"

[node.beta]
address = "198.51.100.12"
interface = "eth0"

[ha]
lease = "5s"
paths = [
  ["198.51.100.11", "198.51.100.12"],
  ["2001:db8:2::1", "2001:db8:2::2"],
]
reach = ["198.51.100.1"]

[cluster.shop]
addresses = ["198.51.100.80", "2001:db8:1::80"]
primary = "alpha"
backup = "beta"

[[cluster.shop.service]]
port = 80
servers = [{ name = "web1", address = "198.51.100.21" }]
"#;

/// Each base with the cases that are one change away from it, and at least how many there are.
const CASES: [(&str, &str, usize); 2] = [(BASE, "one_change.txt", 180), (PAIR, "pair.txt", 40)];

/// One paragraph of `one_change.txt`.
struct Case {
    removed: String,
    added: Vec<String>,
    said: Vec<String>,
}

impl Case {
    fn read(paragraph: &str) -> Option<Self> {
        let lines = |prefix: &str| -> Vec<String> {
            paragraph.lines().filter_map(|line| line.strip_prefix(prefix)).map(str::to_string).collect()
        };
        let [removed] = <[String; 1]>::try_from(lines("- ")).ok()?;
        let said = paragraph.lines().filter(|line| line.starts_with("f:")).map(str::to_string).collect();
        Some(Self { removed, added: lines("+ "), said })
    }

    fn text(&self, base: &str) -> String {
        assert_eq!(base.matches(&self.removed).count(), 1, "`{}` is once in the base", self.removed);
        base.replace(&self.removed, &self.added.join("\n"))
    }

    fn write(&self, said: &[String]) -> String {
        let added: String = self.added.iter().map(|line| format!("+ {line}\n")).collect();
        let said: String = said.iter().map(|line| format!("{line}\n")).collect();
        format!("- {}\n{added}{said}", self.removed)
    }
}

fn findings(text: &str) -> Vec<String> {
    match config::parse(text, "f") {
        Ok(_) => Vec::new(),
        Err(errors) => errors.errors().iter().map(ToString::to_string).collect(),
    }
}

/// Findings of `text`, which must be these.
#[track_caller]
fn says(text: &str, expected: &[&str]) {
    assert_eq!(findings(text), expected, "{text}");
}

#[test]
fn the_base_of_all_cases_is_sound() {
    says(BASE, &[]);
    says(PAIR, &[]);
}

#[test]
fn every_change_for_the_worse_is_found_where_it_is() {
    for (base, name, at_least) in CASES {
        let path = format!("{}/tests/config_bad_input/{name}", env!("CARGO_MANIFEST_DIR"));
        let file = std::fs::read_to_string(&path).unwrap();
        let (head, cases) = file.split_once("\n\n").unwrap();
        let cases: Vec<Case> = cases.split("\n\n").filter_map(Case::read).collect();
        assert!(cases.len() >= at_least, "only {} cases of {name} were read", cases.len());
        if std::env::var_os("UPDATE_CASES").is_some() {
            let cases: Vec<_> = cases.iter().map(|case| case.write(&findings(&case.text(base)))).collect();
            std::fs::write(path, format!("{head}\n\n{}", cases.join("\n"))).unwrap();
            continue;
        }
        for case in &cases {
            assert!(!case.said.is_empty(), "a case without a finding: {:?}", case.added);
            assert_eq!(findings(&case.text(base)), case.said, "\n{}", case.text(base));
        }
    }
}

#[test]
fn partners_of_two_families_need_a_path() {
    let (start, end) = (PAIR.find("paths").unwrap(), PAIR.find("reach").unwrap());
    let text = PAIR.replace(&PAIR[start..end], "").replace("\"198.51.100.12\"", "\"2001:db8:2::2\"");
    says(
        &text,
        &[
            "f:19:10: nodes `alpha` and `beta` have addresses of two families, so no path joins them (add `paths` to \
           [ha], or give the nodes addresses of one family)",
        ],
    );
    let with_path = text.replace("[ha]", "[ha]\npaths = [[\"203.0.113.1\", \"203.0.113.2\"]]");
    says(&with_path, &[]);
}

#[test]
fn a_node_with_more_partners_than_the_data_plane_has_paths_is_refused() {
    let mut text = PAIR[..PAIR.find("[ha]").unwrap()].to_string() + &PAIR[PAIR.find("[cluster").unwrap()..];
    for node in 1..=16 {
        text += &format!("[node.n{node}]\naddress = \"203.0.113.{node}\"\ninterface = \"eth0\"\n");
        text += &format!(
            "[cluster.c{node}]\naddresses = [\"192.0.2.{node}\"]\nprimary = \"n{node}\"\nbackup = \"alpha\"\n"
        );
        text += &format!(
            "[[cluster.c{node}.service]]\nport = 80\nservers = [{{ address = \"198.51.100.21\" }}]\n"
        );
    }
    says(
        &text,
        &["f:176:10: node `alpha` has more than 16 partners (let fewer nodes share clusters with it)"],
    );
}

#[test]
fn an_empty_file_lacks_a_node_and_a_cluster() {
    let expected = [
        "f:1:1: the file has no `node` (add [node.alpha])",
        "f:1:1: the file has no `cluster` (add [cluster.shop])",
    ];
    for text in ["", "\n", "# nothing here\n", "\u{feff}"] {
        says(text, &expected);
    }
}

#[test]
fn a_mark_of_order_and_foreign_line_ends_change_nothing() {
    says(&format!("\u{feff}{BASE}"), &[]);
    says(&BASE.replace('\n', "\r\n"), &[]);
    let wrong = BASE.replace("port = 80", "port = 0").replace('\n', "\r\n");
    says(&wrong, &["f:13:8: `port` is 0, which no packet has (port = \"any\" is every port)"]);
}

#[test]
fn columns_count_characters() {
    let text = BASE
        .replace("[site]", "site = { \"ключ\" = 1, port = 2 }")
        .replace("key_file = \"/etc/geminus/site.key\"", "");
    says(
        &text,
        &[
            "f:1:10: unknown key `ключ` in [site] (it has `key_file`)",
            "f:1:22: unknown key `port` in [site] (it has `key_file`)",
        ],
    );
}

#[test]
fn a_file_that_is_no_text_is_refused_where_the_text_ends() {
    let mut bytes = BASE.as_bytes().to_vec();
    bytes[10] = 0xff;
    let errors = config::parse_bytes(&bytes, "f").unwrap_err();
    assert_eq!(errors.to_string(), "f:2:4: the byte 0xff is not UTF-8 (save the file as UTF-8 text)");
    assert_eq!(config::parse_bytes(BASE.as_bytes(), "f").unwrap().site, config::parse(BASE, "f").unwrap());
}

#[test]
fn broken_syntax_and_wrong_values_are_found_in_one_pass() {
    let text = BASE
        .replace("interface = \"eth0\"", "interface = eth0")
        .replace("primary", "primry")
        .replace("port = 80", "port = 0")
        .replace("weight = 10", "weight = \"10\"");
    says(
        &text,
        &[
            "f:6:13: `eth0` is no value (a string needs quotes: \"eth0\")",
            "f:10:1: unknown key `primry` in cluster `shop` (did you mean `primary`)",
            "f:13:8: `port` is 0, which no packet has (port = \"any\" is every port)",
            "f:15:56: `weight` is a string, expected an integer (without quotes: weight = 10)",
        ],
    );
}

#[test]
fn every_cause_has_its_kind() {
    let kinds = |text: &str| -> Vec<FindingKind> {
        config::parse(text, "f").unwrap_err().errors().iter().map(|error| error.kind).collect()
    };
    for (removed, added, kind) in [
        ("[site]", "[site", FindingKind::Syntax),
        ("key_file", "keyfile", FindingKind::UnknownKey),
        ("port = 80", "port = 80\nmethod = \"nat\"", FindingKind::NotInThisVersion),
        ("port = 80", "port = true", FindingKind::Type),
        ("port = 80", "port = 0", FindingKind::Value),
        ("port = 80", "", FindingKind::Missing),
        ("primary = \"alpha\"", "primary = \"beta\"", FindingKind::UnknownName),
        ("198.51.100.22", "198.51.100.21", FindingKind::Conflict),
    ] {
        assert_eq!(kinds(&BASE.replace(removed, added)), [kind], "{added}");
    }
    let long = format!("{BASE}#{}", " ".repeat(geminus_core::limits::CONFIG_BYTES));
    assert_eq!(kinds(&long), [FindingKind::Limit]);
}

#[test]
fn no_finding_carries_a_character_that_a_terminal_obeys() {
    let hostile = "\u{1b}[2J\u{7}\r\u{9b}31m\u{202e}\u{200b}";
    let escapes: String =
        hostile.chars().map(|character| format!("\\U{:08x}", u32::from(character))).collect();
    for text in [
        hostile.to_string(),
        BASE.replace("alpha", hostile),
        BASE.replace("[node.alpha]", &format!("[node.\"{escapes}\"]")),
        BASE.replace("primary = \"alpha\"", &format!("primary = \"{escapes}\"")),
        BASE.replace("key_file", &format!("\"{escapes}\"")),
        BASE.replace("[cluster.shop]", &format!("[cluster.\"{escapes}\"]")),
        BASE.replace("port = 80", &format!("port = \"{escapes}\"")),
        BASE.replace("port = 80", &format!("port = 80\nprotocol = \"{escapes}\"")),
        BASE.replace("port = 80", &format!("port = 80\naffinity = {{ timeout = \"{escapes}\" }}")),
        BASE.replace("name = \"web2\"", &format!("name = \"{escapes}\"")),
        BASE.replace("198.51.100.22", &escapes),
        BASE.replace("eth0", &escapes),
        BASE.replace("/etc/geminus/site.key", &escapes),
    ] {
        let said = config::parse(&text, hostile).unwrap_err().to_string();
        let obeyed = |character: char| {
            character != '\n'
                && (character.is_control() || hostile.contains(character) && !character.is_ascii())
        };
        assert!(!said.contains(obeyed), "{said:?}");
        assert!(said.lines().all(|line| line.starts_with("\\u{1b}[2J")), "one line each: {said:?}");
    }
}

#[test]
fn a_file_of_nothing_but_errors_gives_the_first_thousand_and_the_rest_as_a_number() {
    let text: String = (0..5000).map(|number| format!("x{number} = 1\n")).collect();
    let errors = config::parse(&text, "f").unwrap_err();
    assert_eq!(errors.errors().len(), geminus_core::limits::FINDINGS);
    assert_eq!(errors.omitted(), 5002 - geminus_core::limits::FINDINGS);
    assert!(errors.to_string().ends_with("\n4002 further errors are not shown (mend these first)"));
}
