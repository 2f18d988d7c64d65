//! Each client verb against a daemon that is not there, or has one thing to say.

mod fake;

use std::os::unix::fs::PermissionsExt;

use geminus_api::{
    ApiError, Changed, ClusterState, ClusterStatus, DataPlane, Event, EventsQuery, ExplainQuery, Explanation,
    Fill, FlowRow, Flows, FlowsQuery, Outcome, Path, PoolsStatus, Request, Role, ServerQuery, ServerRow,
    ServerState, ServerStatus, Servers, ServiceStatus, Standing, Status, TakeoverQuery, VERSION, WeightQuery,
    WeightStatus,
};

use crate::fake::{Fake, geminus, stderr, stdout};

fn status() -> Status {
    Status {
        node: "alpha".into(),
        address: "198.51.100.11".parse().expect("an address"),
        daemon_version: "0.1.0".into(),
        pid: 42,
        uptime_seconds: 61.0,
        config: "/etc/geminus/geminus.toml".into(),
        config_digest: "0123456789abcdef".into(),
        data_plane: DataPlane {
            interface: "eth0".into(),
            mode: "native".into(),
            program_id: 7,
            program_digest: "fedcba9876543210".into(),
            adopted: false,
            memory_bytes: 1 << 20,
            flows: Fill { used: 1, slots: 1 << 20 },
            provisional: Fill { used: 0, slots: 1 << 16 },
            affinity: Fill { used: 0, slots: 1 << 16 },
        },
        clusters: vec![ClusterStatus {
            name: "shop".into(),
            addresses: vec!["198.51.100.80".parse().expect("an address")],
            state: ClusterState::Active,
            because: "primary".into(),
            role: Role::Primary,
            standing: Standing::Active,
            since_seconds: Some(60.5),
            group: 0,
            epoch: 0,
            partner: None,
            partner_standing: None,
            waiting: None,
            failover: None,
            lease_remaining_ms: 4_900,
            services: vec![ServiceStatus {
                protocol: "tcp".into(),
                ports: "80".into(),
                select: "hash".into(),
                method: "mac".into(),
                pools: PoolsStatus::default(),
                servers: vec![server("web1")],
            }],
        }],
        partners: vec![],
        reach: None,
        heartbeats: None,
        agents: None,
        counters: vec![],
    }
}

fn server(name: &str) -> ServerStatus {
    ServerStatus {
        name: name.into(),
        address: "198.51.100.21".parse().expect("an address"),
        state: ServerState::Up,
        because: None,
        findings: vec![],
        pool: None,
        check: None,
        weight: 1,
        weights: WeightStatus { in_force: 1, unit: 1, ..WeightStatus::default() },
        configured_weight: 1,
        mac: Some("02:00:00:00:00:15".into()),
        load: None,
        active: None,
        per_second: None,
        release_in_seconds: None,
        flows: 3,
        flows_begun: 5,
        packets: 70,
        bytes: 9_000,
    }
}

fn servers() -> Servers {
    let row = ServerRow {
        cluster: "shop".into(),
        protocol: "tcp".into(),
        ports: "80".into(),
        server: server("web1"),
    };
    Servers { servers: vec![row.clone(), ServerRow { cluster: "mail".into(), ..row }] }
}

fn flows() -> Flows {
    let row = FlowRow {
        protocol: "tcp".into(),
        client: Some("203.0.113.9:40000".parse().expect("an endpoint")),
        destination: Some("198.51.100.80:80".parse().expect("an endpoint")),
        cluster: "shop".into(),
        server: "web1".into(),
        state: "established".into(),
        pinned: false,
        idle_seconds: 2.0,
    };
    Flows { flows: vec![row], matched: 9 }
}

fn explanation() -> Explanation {
    let path = Path { verdict: "drop".into(), reason: "no-service".into(), server: None };
    Explanation { kernel: path.clone(), host: path, steps: vec!["shop has no service tcp/81".into()] }
}

fn event(number: u64) -> Event {
    Event { number, unix_ms: 1_735_689_600_123, kind: "active".into(), message: "cluster shop".into() }
}

fn changed() -> Outcome {
    Outcome::Changed(Changed { changes: vec!["web1 of shop tcp/80: draining".into()] })
}

fn refusal() -> ApiError {
    ApiError {
        message: "there is no server wbe1".into(),
        hint: Some("did you mean web1?".into()),
        details: vec!["shop has web1, web2".into()],
    }
}

/// Runs the words, expects this request and exit code 0, and returns what was printed.
#[track_caller]
fn done(words: &[&str], answer: Outcome, request: &Request) -> String {
    let fake = Fake::answering(vec![answer]);
    let output = fake.run(words);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let call = fake.heard();
    assert_eq!((call.version, &call.request), (VERSION, request));
    stdout(&output).to_owned()
}

#[test]
fn status_asks_for_the_node_and_shows_it() {
    let text = done(&["status"], Outcome::Status(status()), &Request::Status);
    assert!(text.starts_with("node       alpha 198.51.100.11\n"), "{text}");
    assert!(!text.contains('\u{1b}'), "a pipe is no terminal: {text}");
}

#[test]
fn json_is_the_published_object() {
    let text = done(&["status", "--json"], Outcome::Status(status()), &Request::Status);
    assert_eq!(serde_json::from_str::<Status>(&text).expect("a status"), status());
    let text = done(&["servers", "--json"], Outcome::Servers(servers()), &Request::Servers);
    assert_eq!(serde_json::from_str::<Servers>(&text).expect("servers"), servers());
}

#[test]
fn colour_comes_when_it_is_wanted() {
    let text = done(&["status", "--color", "always"], Outcome::Status(status()), &Request::Status);
    assert!(text.contains("\u{1b}[32mactive\u{1b}[0m"), "{text}");
}

#[test]
fn servers_of_one_cluster_are_shown_alone() {
    let text = done(&["servers", "--cluster", "mail"], Outcome::Servers(servers()), &Request::Servers);
    assert_eq!(text.lines().count(), 2, "{text}");
    assert!(text.lines().nth(1).is_some_and(|line| line.starts_with("mail ")), "{text}");
}

#[test]
fn flows_asks_for_what_was_named() {
    let words = ["flows", "--server", "web1", "--cluster", "shop", "--client", "203.0.113.9", "--limit", "5"];
    let query = FlowsQuery {
        limit: Some(5),
        server: Some("web1".into()),
        cluster: Some("shop".into()),
        client: Some("203.0.113.9".parse().expect("an address")),
    };
    let text = done(&words, Outcome::Flows(flows()), &Request::Flows(query));
    assert!(text.contains("203.0.113.9:40000"), "{text}");
}

#[test]
fn flows_says_apart_from_the_table_what_it_left_out() {
    let fake = Fake::answering(vec![Outcome::Flows(flows())]);
    let output = fake.run(&["flows"]);
    assert_eq!(stdout(&output).lines().count(), 2);
    assert_eq!(stderr(&output), "1 of 9 flows shown, see --limit\n");
}

#[test]
fn explain_asks_for_the_first_packet_unless_told_otherwise() {
    for (words, first) in [
        (&["explain", "tcp", "[2001:db8::9]:40000", "[2001:db8:1::80]:81"][..], true),
        (&["explain", "tcp", "[2001:db8::9]:40000", "[2001:db8:1::80]:81", "--later"][..], false),
    ] {
        let query = ExplainQuery {
            protocol: "tcp".into(),
            source: "[2001:db8::9]:40000".parse().expect("an endpoint"),
            destination: "[2001:db8:1::80]:81".parse().expect("an endpoint"),
            first,
        };
        let text = done(words, Outcome::Explanation(explanation()), &Request::Explain(query));
        assert!(text.contains("  1. shop has no service tcp/81\n"), "{text}");
    }
}

#[test]
fn a_kernel_that_disagrees_with_the_daemon_is_a_no() {
    let mut explanation = explanation();
    explanation.host.verdict = "forward".into();
    let fake = Fake::answering(vec![Outcome::Explanation(explanation)]);
    let output = fake.run(&["explain", "icmp", "203.0.113.9", "198.51.100.80"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stdout(&output).contains("daemon      forward"), "the paths are shown all the same");
    assert!(stderr(&output).contains("disagree"), "{}", stderr(&output));
}

#[test]
fn changes_are_asked_for_and_told() {
    let server = |cluster: Option<&str>| ServerQuery {
        server: "web1".into(),
        cluster: cluster.map(str::to_owned),
        release_after_seconds: None,
    };
    let weight = |weight| WeightQuery { server: "web1".into(), cluster: None, weight };
    let takeover =
        |cluster: Option<&str>, force| TakeoverQuery { cluster: cluster.map(str::to_owned), force };
    let cases: [(&[&str], Request); 8] = [
        (&["drain", "web1"], Request::Drain(server(None))),
        (&["drain", "web1", "--cluster", "shop"], Request::Drain(server(Some("shop")))),
        (&["undrain", "web1"], Request::Undrain(server(None))),
        (&["weight", "web1", "20"], Request::Weight(weight(Some(20)))),
        (&["weight", "web1", "default"], Request::Weight(weight(None))),
        (&["takeover"], Request::Takeover(takeover(None, false))),
        (&["takeover", "shop", "--force"], Request::Takeover(takeover(Some("shop"), true))),
        (&["reload"], Request::Reload),
    ];
    for (words, request) in cases {
        assert_eq!(done(words, changed(), &request), "web1 of shop tcp/80: draining\n", "{words:?}");
    }
}

#[test]
fn events_are_a_line_each() {
    let fake = Fake::answering(vec![Outcome::Event(event(8)), Outcome::Event(event(9))]);
    let output = fake.run(&["events", "--after", "7", "--json"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let events: Vec<Event> =
        stdout(&output).lines().map(|line| serde_json::from_str(line).expect("an event")).collect();
    assert_eq!(events, [event(8), event(9)]);
    assert_eq!(fake.heard().request, Request::Events(EventsQuery { follow: false, after: Some(7) }));
}

#[test]
fn following_a_daemon_that_stops_is_a_no() {
    let fake = Fake::answering(vec![Outcome::Event(event(1))]);
    let output = fake.run(&["events", "--follow"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(stdout(&output).lines().count(), 1);
    assert_eq!(stderr(&output), "geminus: the daemon stopped: its log says why\n");
}

#[test]
fn a_slow_follower_is_told_what_it_missed_and_goes_on() {
    let missed = ApiError { message: "3 events were not sent".into(), hint: None, details: vec![] };
    let fake = Fake::answering(vec![
        Outcome::Event(event(1)),
        Outcome::Error(missed.clone()),
        Outcome::Event(event(5)),
    ]);
    let output = fake.run(&["events", "--follow"]);
    assert_eq!(stdout(&output).lines().count(), 2);
    assert!(stderr(&output).starts_with("geminus: 3 events were not sent\n"), "{}", stderr(&output));
    let refused = Fake::answering(vec![Outcome::Error(missed)]).run(&["events", "--follow"]);
    assert_eq!((refused.status.code(), stderr(&refused)), (Some(1), "geminus: 3 events were not sent\n"));
}

#[test]
fn a_refusal_is_one_line_with_the_way_out_and_its_details() {
    let fake = Fake::answering(vec![Outcome::Error(refusal())]);
    let output = fake.run(&["drain", "wbe1"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(stdout(&output), "");
    assert_eq!(
        stderr(&output),
        "geminus: there is no server wbe1: did you mean web1?\nshop has web1, web2\n"
    );
}

#[test]
fn a_refusal_is_json_where_json_is_asked_for() {
    let fake = Fake::answering(vec![Outcome::Error(refusal())]);
    let output = fake.run(&["drain", "wbe1", "--json"]);
    assert_eq!(output.status.code(), Some(1));
    let outcome: Outcome = serde_json::from_str(stdout(&output)).expect("an outcome");
    assert_eq!(outcome, Outcome::Error(refusal()));
}

#[test]
fn an_answer_to_another_question_is_named() {
    let fake = Fake::answering(vec![changed()]);
    let output = fake.run(&["status"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("answered another question, with a change"), "{}", stderr(&output));
}

#[test]
fn another_version_is_named_with_the_way_out() {
    let fake = Fake::saying("{\"version\":99,\"novel\":{}}\n".into());
    let output = fake.run(&["status"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        stderr(&output),
        "geminus: the daemon speaks API version 99, this geminus 1: use the geminus of the daemon's release, or restart \
         the daemon with this one\n"
    );
}

#[test]
fn what_is_no_daemon_is_said_to_be_none() {
    for text in ["HTTP/1.1 400 Bad Request\r\n\r\n", "{}\n", "\u{1b}[2J\n"] {
        let output = Fake::saying(text.into()).run(&["status"]);
        assert_eq!(output.status.code(), Some(1));
        assert!(stderr(&output).contains("is no geminus daemon"), "{}", stderr(&output));
        assert!(!stderr(&output).contains('\u{1b}'));
    }
}

#[test]
fn a_daemon_that_says_nothing_is_said_to() {
    let output = Fake::saying(String::new()).run(&["status"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("closed the connection without an answer"), "{}", stderr(&output));
}

#[test]
fn no_daemon_is_one_line_with_the_way_out() {
    let directory = tempfile::tempdir().expect("a directory");
    for words in [&["status"][..], &["events", "--follow"], &["reload"]] {
        let output =
            geminus().args(words).arg("--runtime-dir").arg(directory.path()).output().expect("geminus runs");
        assert_eq!(output.status.code(), Some(1), "{words:?}");
        let said = stderr(&output);
        assert!(
            said.contains("geminus.sock does not exist") && said.contains("geminus run --config"),
            "{said}"
        );
        assert_eq!(said.lines().count(), 1, "{said}");
    }
}

#[test]
fn a_socket_without_a_daemon_is_told_from_none() {
    let directory = tempfile::tempdir().expect("a directory");
    let socket = directory.path().join("geminus.sock");
    drop(std::os::unix::net::UnixListener::bind(&socket).expect("a socket"));
    let output = geminus().args(["status", "--socket"]).arg(&socket).output().expect("geminus runs");
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("the daemon died"), "{}", stderr(&output));
}

#[test]
fn a_socket_of_somebody_else_is_permission_denied() {
    use std::os::unix::process::CommandExt;

    let fake = Fake::answering(vec![Outcome::Status(status())]);
    let socket = fake.socket();
    let set = |path: &std::path::Path, mode| {
        std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).expect("permissions");
    };
    set(&socket, 0o600);
    let mut command = geminus();
    command.args(["status", "--socket"]).arg(&socket);
    // Root may do everything, so as root the client is nobody; anybody else refuses itself.
    let root =
        std::fs::metadata("/proc/self").is_ok_and(|meta| std::os::unix::fs::MetadataExt::uid(&meta) == 0);
    if root {
        set(socket.parent().expect("a directory"), 0o755);
        let binary = socket.with_file_name("geminus");
        std::fs::copy(env!("CARGO_BIN_EXE_geminus"), &binary).expect("a copy that nobody may run");
        command = std::process::Command::new(binary);
        command.args(["status", "--socket"]).arg(&socket).uid(65_534).gid(65_534);
    } else {
        set(&socket, 0o000);
    }
    let output = loop {
        match command.output() {
            // Another test may have forked while the copy was open for writing.
            Err(error) if error.kind() == std::io::ErrorKind::ExecutableFileBusy => {}
            other => break other.expect("geminus runs"),
        }
    };
    assert_eq!(output.status.code(), Some(1));
    let said = stderr(&output);
    assert!(said.contains("permission denied on") && said.contains("join the group"), "{said}");
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    use std::process::Stdio;

    let many: Vec<Outcome> = (0..50_000).map(|number| Outcome::Event(event(number))).collect();
    let fake = Fake::answering(many);
    let mut child = geminus()
        .args(["events", "--socket"])
        .arg(fake.socket())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("geminus runs");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("it ends");
    assert_eq!((output.status.code(), stderr(&output)), (Some(0), ""));
}
