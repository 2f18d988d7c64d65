//! Keeps true which crate may depend on what. The table is the architecture: a crate that reaches for something new
//! has to say why here, next to what every other crate does without.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// One crate's row. Each dependency is a name and the reason for it.
struct Row {
    name: &'static str,
    /// Members of this project, in any kind of dependency but for tests.
    members: &'static [(&'static str, &'static str)],
    /// Crates from elsewhere, direct, also optional ones and those of a build script.
    others: &'static [(&'static str, &'static str)],
    /// What only tests and benchmarks use.
    tests: &'static [(&'static str, &'static str)],
}

const TABLE: &[Row] = &[
    Row {
        name: "geminus-packet",
        members: &[],
        others: &[("aya", "feature `user` only: marks the table types as plain data for the kernel's maps")],
        tests: &[(
            "geminus-fixtures",
            "packets and the verdicts they must get, the same list as in the kernel",
        )],
    },
    Row {
        name: "geminus-ebpf",
        members: &[("geminus-packet", "the packet path that it wraps")],
        others: &[("aya-ebpf", "maps, helpers and the entry point on the kernel's side")],
        tests: &[],
    },
    Row {
        name: "geminus-ebpf-bench",
        members: &[],
        others: &[(
            "aya-ebpf",
            "the yardsticks that the packet path is measured against run in the same kernel",
        )],
        tests: &[],
    },
    Row {
        name: "geminus-core",
        members: &[("geminus-packet", "the layout of the tables that its plans fill")],
        others: &[
            ("blake3", "the digest of a configuration and the keyed hash of the ring"),
            ("serde", "the mirror of the configuration file"),
            ("strsim", "the nearest known key in an error"),
            ("thiserror", "errors that name the failed thing"),
            ("toml", "the configuration file, with the place of each value"),
        ],
        tests: &[
            ("geminus-fixtures", "packets for the laws of the plan"),
            ("proptest", "laws over rings and configurations"),
            ("serde_json", "golden rings and the schema, read back"),
        ],
    },
    Row {
        name: "geminus-advisor",
        members: &[("geminus-core", "what is asked and expected of a server, and what came of it")],
        others: &[
            ("domain", "DNS messages, read by those who know every way a name can be wrong"),
            ("httparse", "the head of an HTTP answer"),
            ("x509-parser", "when a certificate expires"),
        ],
        tests: &[("proptest", "laws over answers of every kind, in pieces of every size")],
    },
    Row {
        name: "geminus-fixtures",
        members: &[
            ("geminus-core", "the site that the packets are played on, and the plan that installs it"),
            ("geminus-packet", "the host's home of the packet path, and the tables of both"),
        ],
        others: &[],
        tests: &[],
    },
    Row {
        name: "geminus-sim",
        members: &[
            ("geminus-core", "the machine under test, and the plan of the tables"),
            ("geminus-packet", "the packet path that clients' packets take"),
        ],
        others: &[],
        tests: &[],
    },
    Row {
        name: "geminus-api",
        members: &[],
        others: &[
            ("schemars", "the published JSON Schema"),
            ("serde", "the types of API, status and events on the wire"),
        ],
        tests: &[],
    },
    Row {
        name: "geminus-dataplane",
        members: &[
            ("geminus-core", "the table plans that it applies"),
            ("geminus-packet", "the layout of the maps"),
        ],
        others: &[
            ("aya", "loads, pins and attaches the program"),
            ("aya-obj", "the kernel's bpf(2) structures, as aya has them"),
            ("libc", "maps the flow table and numbers the CPUs"),
            ("thiserror", "errors that name the failed thing"),
        ],
        tests: &[(
            "geminus-fixtures",
            "packets and the verdicts they must get, the same list as on the host",
        )],
    },
    Row {
        name: "geminus-daemon",
        members: &[
            ("geminus-advisor", "what is said to servers, and what they have to answer"),
            ("geminus-api", "what it answers"),
            ("geminus-core", "every decision"),
            ("geminus-dataplane", "the kernel"),
            ("geminus-packet", "the host build that `explain` compares with"),
        ],
        others: &[
            ("blake3", "the digest that names the running configuration"),
            ("h2", "HTTP/2, with every bound that a hostile server makes necessary"),
            ("http", "the request that `h2` takes"),
            ("jiff", "the time of day where the machine stands"),
            ("libc", "constants of packet sockets and netlink"),
            ("netlink-packet-core", "netlink's message framing"),
            (
                "netlink-packet-route",
                "links, neighbours and routes, encoded by those who know every attribute",
            ),
            ("netlink-sys", "netlink's socket, also as a stream of events"),
            ("rustix", "system calls without unsafe code of our own"),
            ("sd-notify", "readiness and watchdog, said to systemd"),
            ("serde_json", "the control API's lines"),
            ("snow", "the Noise handshake and stream that replication goes through"),
            ("socket2", "marks, lingering and bounds of the sockets of checks"),
            ("thiserror", "errors that name the failed thing"),
            ("tokio-rustls", "TLS of checks, over *ring*"),
            ("tokio", "one thread's sockets, timers and signals"),
            ("tracing", "structured log records"),
            ("tracing-subscriber", "their way to the terminal and to JSON"),
        ],
        tests: &[("tempfile", "runtime directories that vanish with the test")],
    },
    Row {
        name: "geminus",
        members: &[
            ("geminus-api", "the answers it prints"),
            ("geminus-core", "`check` reads a configuration without a daemon"),
            ("geminus-daemon", "`run`, in the same binary"),
        ],
        others: &[
            ("clap", "the command line"),
            ("clap_complete", "`completions`, from the same definition"),
            ("clap_mangen", "`man`, from the same definition"),
            ("netlink-packet-core", "`host`: netlink's message framing"),
            ("netlink-packet-route", "`host`: addresses on `lo`"),
            ("netlink-sys", "`host`: netlink's socket"),
            ("rustix", "`host agent`: random sessions, and the end of programs and what they started"),
            ("serde", "`--json` of the verbs that ask no daemon"),
            ("serde_json", "`--json`"),
            ("socket2", "the control socket with its time limits"),
            ("tokio", "`host agent`: several dispatchers, programs and signals at once"),
            ("unicode-width", "tables that line up whatever the names are written in"),
        ],
        tests: &[
            ("insta", "snapshots of what people read"),
            ("tempfile", "configuration files that vanish with the test"),
        ],
    },
    Row {
        name: "geminus-lab",
        members: &[(
            "geminus-api",
            "what the binary under test says; the daemon itself is run, never linked",
        )],
        others: &[
            ("anyhow", "errors that tell the story of a failed step"),
            ("clap", "its own few verbs"),
            ("libc", "constants of namespaces and sockets"),
            ("maud", "the report's page, checked when it is compiled"),
            ("plotters", "the report's charts"),
            ("rustix", "network namespaces and mounts without unsafe code of our own"),
            ("serde", "the figures that a run writes"),
            ("serde_json", "the answers of `--json`"),
            ("signal-hook", "an interrupted run cleans up after itself"),
            ("socket2", "probes of a port, with their time limits"),
        ],
        tests: &[
            ("geminus-advisor", "conversations with real servers, before there is a daemon around them"),
            ("geminus-core", "what those conversations ask"),
            ("tempfile", "reports and runtime directories that vanish with the test"),
        ],
    },
    Row {
        name: "geminus-fixtures",
        members: &[
            ("geminus-core", "the plan of the one site that every fixture meets"),
            ("geminus-packet", "the verdicts that the fixtures must get"),
        ],
        others: &[],
        tests: &[],
    },
    Row {
        name: "geminus-bench",
        members: &[
            ("geminus-api", "the answers that it reads"),
            ("geminus-core", "rings and plans of the sizes that it measures"),
            ("geminus-dataplane", "the program that it measures"),
            ("geminus-lab", "the namespaces and the traffic of the pipeline"),
            ("geminus-packet", "the tables that it fills"),
        ],
        others: &[
            ("anyhow", "errors that tell the story of a failed step"),
            ("aya", "loads the feeding program and the yardsticks"),
            ("clap", "its own few flags"),
            ("rustix", "holds to one CPU and reads its own times"),
            ("serde", "the figures that a run writes"),
            ("serde_json", "their file"),
        ],
        tests: &[],
    },
    Row {
        name: "xtask",
        members: &[],
        others: &[
            ("anyhow", "errors that keep their cause"),
            ("clap", "the command line"),
            ("serde_json", "what cargo says of the workspace"),
        ],
        tests: &[],
    },
];

#[test]
fn each_crate_depends_on_what_its_row_lists_and_on_nothing_else() {
    let mut complaints = Vec::new();
    for package in &packages() {
        let name = text(package, "name");
        let Some(row) = TABLE.iter().find(|row| row.name == name) else {
            complaints.push(format!("{name} has no row: add one that says what it may depend on and why"));
            continue;
        };
        let declared = |wanted: fn(&Value) -> bool| -> BTreeSet<String> {
            let dependencies = list(package, "dependencies");
            dependencies
                .iter()
                .filter(|found| wanted(found))
                .map(|found| text(found, "name").to_owned())
                .collect()
        };
        complain(
            row,
            "members",
            row.members,
            &declared(|d| is_member(d) && !is_for_tests(d)),
            &mut complaints,
        );
        complain(
            row,
            "others",
            row.others,
            &declared(|d| !is_member(d) && !is_for_tests(d)),
            &mut complaints,
        );
        complain(row, "tests", row.tests, &declared(is_for_tests), &mut complaints);
    }
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

#[test]
fn each_row_is_a_crate_and_each_dependency_has_its_reason() {
    let names: BTreeSet<String> = packages().iter().map(|package| text(package, "name").to_owned()).collect();
    for row in TABLE {
        assert!(
            names.contains(row.name),
            "{} has a row but is no crate of this project: remove the row",
            row.name
        );
        for (dependency, reason) in row.members.iter().chain(row.others).chain(row.tests) {
            assert!(reason.len() > 5, "{} gives no reason for {dependency}", row.name);
        }
    }
}

#[test]
fn the_lab_reaches_the_daemon_by_no_way() {
    let packages = packages();
    let mut seen = BTreeSet::from(["geminus-lab".to_owned()]);
    let mut to_visit = vec!["geminus-lab".to_owned()];
    while let Some(name) = to_visit.pop() {
        let package =
            packages.iter().find(|package| text(package, "name") == name).expect("a member of the project");
        for dependency in list(package, "dependencies").iter().filter(|found| is_member(found)) {
            let next = text(dependency, "name").to_owned();
            assert_ne!(
                next, "geminus-daemon",
                "{name} links the daemon: the lab runs the binary and links nothing of it"
            );
            if seen.insert(next.clone()) {
                to_visit.push(next);
            }
        }
    }
}

#[test]
fn the_packet_path_alone_depends_on_nothing() {
    let packages = packages();
    let packet =
        packages.iter().find(|package| text(package, "name") == "geminus-packet").expect("geminus-packet");
    let always = list(packet, "dependencies")
        .iter()
        .filter(|found| found["optional"] == false && !is_for_tests(found));
    let names: Vec<_> = always.map(|found| text(found, "name")).collect();
    assert!(names.is_empty(), "the kernel's packet path must need nothing, make these optional: {names:?}");
    let default = &packet["features"]["default"];
    assert!(
        default.as_array().is_none_or(Vec::is_empty),
        "a default feature would reach the kernel build: {default}"
    );
}

#[test]
fn every_dependency_from_elsewhere_says_which_versions_will_do() {
    for package in packages() {
        for dependency in list(&package, "dependencies").iter().filter(|found| !is_member(found)) {
            let (name, wanted) = (text(dependency, "name"), text(dependency, "req"));
            assert!(!wanted.contains('*'), "{} takes any version of {name}", text(&package, "name"));
        }
    }
}

#[test]
fn only_the_data_plane_and_its_benchmark_need_the_bpf_tool_chain() {
    for package in packages() {
        let builds = list(&package, "targets").iter().any(|target| target["kind"][0] == "custom-build");
        let name = text(&package, "name");
        assert!(
            !builds || ["geminus-dataplane", "geminus-bench"].contains(&name),
            "{name} has a build script: everything but the data plane compiles with plain cargo"
        );
    }
}

fn complain(
    row: &Row,
    part: &str,
    listed: &[(&str, &str)],
    declared: &BTreeSet<String>,
    complaints: &mut Vec<String>,
) {
    let name = row.name;
    for dependency in declared {
        if !listed.iter().any(|(known, _)| known == dependency) {
            complaints.push(format!(
                "{name} depends on {dependency}: add it with its reason to `{part}` in {name}'s row of \
                 xtask/tests/dependency_table.rs, or do without it"
            ));
        }
    }
    for (dependency, _) in listed {
        if !declared.contains(*dependency) {
            complaints.push(format!(
                "{name} no longer depends on {dependency}: remove it from `{part}` in {name}'s row of \
                 xtask/tests/dependency_table.rs"
            ));
        }
    }
}

/// The manifests of all members and of the BPF programs, which build for another target and so are none.
fn packages() -> Vec<Value> {
    let mut packages = list(&metadata(&root().join("Cargo.toml")), "packages").to_vec();
    for folder in std::fs::read_dir(root().join("crates")).expect("the directory of crates") {
        let folder = folder.expect("an entry of the directory of crates");
        let manifest = folder.path().join("Cargo.toml");
        if folder.file_name().to_string_lossy().starts_with("geminus-ebpf") && manifest.exists() {
            packages.extend_from_slice(list(&metadata(&manifest), "packages"));
        }
    }
    packages
}

fn metadata(manifest: &Path) -> Value {
    let mut cargo = Command::new(std::env::var_os("CARGO").expect("cargo test says which cargo it is"));
    cargo.args(["metadata", "--no-deps", "--offline", "--format-version=1", "--manifest-path"]).arg(manifest);
    let output = cargo.output().expect("cargo can be started");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("cargo metadata prints JSON")
}

fn root() -> PathBuf {
    // Asked at run time: checkouts that share a target directory share this binary too.
    let own = std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo test says where the package is");
    Path::new(&own).parent().expect("xtask is a directory of the workspace").to_owned()
}

/// A dependency by path is one of ours.
fn is_member(dependency: &Value) -> bool {
    dependency["path"].is_string()
}

fn is_for_tests(dependency: &Value) -> bool {
    dependency["kind"] == "dev"
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_else(|| panic!("cargo metadata has no {key}"))
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().unwrap_or_else(|| panic!("cargo metadata has no {key}"))
}
