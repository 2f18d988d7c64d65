use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use geminus_api::{Changed, Event, Outcome, Reply, Request};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::sync::{broadcast, mpsc};

use super::*;

const RELOAD: &[u8] = b"{\"version\":1,\"verb\":\"reload\"}\n";

/// A server in a directory of its own whose questions are answered by `answer`.
struct Site {
    _dir: tempfile::TempDir,
    socket: PathBuf,
    events: broadcast::Sender<Event>,
}

fn event(number: u64) -> Event {
    Event { number, unix_ms: 0, kind: "active".into(), message: "active".into() }
}

impl Site {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let socket = dir.path().join("geminus.sock");
        let server = ControlServer::bind(&socket).expect("bound");
        let (sender, mut questions) = mpsc::channel::<Question>(QUESTIONS);
        let (events, _) = broadcast::channel(4);
        let further = events.clone();
        tokio::spawn(async move { server.serve(sender).await });
        tokio::spawn(async move {
            while let Some(Question { request, answer }) = questions.recv().await {
                let reply = match request {
                    Request::Events(query) => {
                        let next = query.follow.then(|| further.subscribe());
                        Answer::Events { past: vec![event(1)], next }
                    }
                    Request::Status => continue,
                    _ => Answer::One(Box::new(Outcome::Changed(Changed { changes: vec!["done".into()] }))),
                };
                drop(answer.send(reply));
            }
        });
        Self { _dir: dir, socket, events }
    }

    async fn connect(&self) -> BufReader<UnixStream> {
        BufReader::new(UnixStream::connect(&self.socket).await.expect("connected"))
    }

    async fn say(&self, line: &[u8]) -> Option<Outcome> {
        let mut client = self.connect().await;
        client.write_all(line).await.expect("sent");
        reply(&mut client).await
    }
}

async fn reply(client: &mut BufReader<UnixStream>) -> Option<Outcome> {
    let mut line = String::new();
    client.read_line(&mut line).await.expect("read");
    let reply: Option<Reply> = (!line.is_empty()).then(|| serde_json::from_str(&line).expect("a reply"));
    reply.map(|reply| reply.outcome)
}

fn message(outcome: Option<Outcome>) -> String {
    match outcome {
        Some(Outcome::Error(error)) => error.message,
        other => panic!("no error but {other:?}"),
    }
}

#[tokio::test]
async fn the_socket_is_for_its_owner_and_its_group_only() {
    let site = Site::new();
    let mode = std::fs::metadata(&site.socket).expect("there").permissions().mode();
    assert_eq!(mode & 0o777, 0o660);
}

#[tokio::test]
async fn one_connection_serves_several_calls() {
    let site = Site::new();
    let mut client = site.connect().await;
    for _ in 0..3 {
        client.write_all(RELOAD).await.expect("sent");
        assert!(matches!(reply(&mut client).await, Some(Outcome::Changed(_))));
    }
}

#[tokio::test]
async fn a_line_that_is_no_call_is_answered_with_why() {
    let site = Site::new();
    assert!(message(site.say(b"GET / HTTP/1.1\r\n").await).contains("not understood"));
    assert!(message(site.say(b"{\"version\":1,\"verb\":\"dance\"}\n").await).contains("dance"));
    assert!(message(site.say(b"{\"verb\":\"reload\"}\n").await).contains("no version"));
    assert!(message(site.say(b"{\"version\":2,\"verb\":\"reload\"}\n").await).contains("version 2"));
    assert!(message(site.say(b"\xff\xfe\n").await).contains("not understood"));
}

#[tokio::test]
async fn an_endless_line_ends_at_its_bound() {
    let site = Site::new();
    let line = vec![b'a'; LINE_BYTES + 1];
    assert!(message(site.say(&line).await).contains("longer than"));
}

#[tokio::test]
async fn a_call_that_nobody_answers_any_more_says_so() {
    let site = Site::new();
    assert!(message(site.say(b"{\"version\":1,\"verb\":\"status\"}\n").await).contains("stopping"));
}

#[tokio::test]
async fn one_client_too_many_is_told_and_a_free_place_is_given_again() {
    let site = Site::new();
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        let mut client = site.connect().await;
        client.write_all(RELOAD).await.expect("sent");
        assert!(reply(&mut client).await.is_some());
        clients.push(client);
    }
    let mut refused = site.connect().await;
    assert!(message(reply(&mut refused).await).contains("clients are connected already"));
    let mut gone = clients.pop().expect("there are some");
    gone.shutdown().await.expect("closed");
    assert_eq!(gone.read_to_end(&mut Vec::new()).await.expect("the server closes too"), 0);
    let mut client = site.connect().await;
    client.write_all(RELOAD).await.expect("sent");
    assert!(matches!(reply(&mut client).await, Some(Outcome::Changed(_))));
}

#[tokio::test]
async fn past_events_come_first_and_then_each_new_one() {
    let site = Site::new();
    let mut client = site.connect().await;
    client
        .write_all(b"{\"version\":1,\"verb\":\"events\",\"follow\":true,\"after\":null}\n")
        .await
        .expect("sent");
    assert!(matches!(reply(&mut client).await, Some(Outcome::Event(event)) if event.number == 1));
    site.events.send(event(2)).expect("somebody follows");
    assert!(matches!(reply(&mut client).await, Some(Outcome::Event(event)) if event.number == 2));
}

#[tokio::test]
async fn past_events_alone_end_the_connection() {
    let site = Site::new();
    let mut client = site.connect().await;
    client
        .write_all(b"{\"version\":1,\"verb\":\"events\",\"follow\":false,\"after\":null}\n")
        .await
        .expect("sent");
    assert!(matches!(reply(&mut client).await, Some(Outcome::Event(_))));
    assert!(reply(&mut client).await.is_none());
}

#[tokio::test]
async fn a_follower_that_is_too_slow_is_told_what_it_missed() {
    let site = Site::new();
    let mut client = site.connect().await;
    client
        .write_all(b"{\"version\":1,\"verb\":\"events\",\"follow\":true,\"after\":null}\n")
        .await
        .expect("sent");
    assert!(reply(&mut client).await.is_some());
    for number in 2..12 {
        site.events.send(event(number)).expect("somebody follows");
    }
    assert!(message(reply(&mut client).await).contains("6 events were not sent"));
    assert!(matches!(reply(&mut client).await, Some(Outcome::Event(event)) if event.number == 8));
}

#[tokio::test]
async fn a_dead_daemons_socket_is_replaced() {
    let dir = tempfile::tempdir().expect("a directory");
    let socket = dir.path().join("geminus.sock");
    drop(std::os::unix::net::UnixListener::bind(&socket).expect("bound"));
    assert!(socket.exists());
    let server = ControlServer::bind(&socket).expect("replaced");
    drop(server);
    assert!(!socket.exists());
}
