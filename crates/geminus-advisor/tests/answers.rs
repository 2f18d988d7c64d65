//! What each protocol makes of what servers say.
#![allow(missing_docs, unreachable_pub, dead_code, reason = "a test")]

mod transcripts;

use geminus_advisor::{Transport, dialogue, expires_in};
use geminus_core::health::FaultKind;
use geminus_core::model::{Advisor, Http, Protocol};
use transcripts::{Case, play, talk};

/// Said at once.
fn comes_out(cases: Vec<Case>) {
    assert!(!cases.is_empty());
    for Case { advisor, server, outcome } in cases {
        let played = play(&advisor, Protocol::Tcp, [server.as_slice()]);
        let shown = String::from_utf8_lossy(&server[..server.len().min(80)]).into_owned();
        match (played.outcome, outcome) {
            (Ok(_), Ok(())) => {}
            (Err(fault), Err((kind, words))) => {
                assert_eq!(fault.kind, kind, "{} said {shown:?}: {}", advisor.word(), fault.words);
                assert!(fault.words.contains(words), "{} said {shown:?}: {}", advisor.word(), fault.words);
            }
            (found, _) => panic!("{} said {shown:?}: {found:?}", advisor.word()),
        }
    }
}

#[test]
fn an_http_answer_is_as_good_as_its_status() {
    comes_out(transcripts::http());
}

#[test]
fn an_http_body_is_looked_into_where_it_is_and_only_there() {
    comes_out(transcripts::http_bodies());
}

#[test]
fn a_greeting_is_good_bad_or_not_of_the_protocol() {
    comes_out(transcripts::text());
}

#[test]
fn a_name_is_resolved_or_the_server_says_why_not() {
    comes_out(transcripts::names());
    for (message, outcome) in transcripts::messages() {
        let found = play(&transcripts::dns(), Protocol::Udp, [message.as_slice()]).outcome;
        assert_eq!(found.as_ref().err().map(|fault| fault.kind), outcome.err().map(|(kind, _)| kind));
    }
}

#[test]
fn a_datagram_that_answers_an_earlier_question_is_waited_past() {
    let mut late = transcripts::answer(0x8183, transcripts::QUESTION, &[]);
    late[0] ^= 1;
    let ours = transcripts::answer(0x8180, transcripts::QUESTION, &[transcripts::ADDRESS]);
    let played = play(&transcripts::dns(), Protocol::Udp, [late.as_slice(), &ours]);
    assert!(played.outcome.is_ok(), "{:?}", played.outcome);
    assert_eq!(
        played.said,
        b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x03www\x07example\x03org\x00\x00\x01\x00\x01"
    );
}

#[test]
fn a_postgres_that_serves_is_good_whomever_it_refuses() {
    comes_out(transcripts::postgres());
}

#[test]
fn a_mysql_that_serves_is_good_whomever_it_refuses() {
    comes_out(transcripts::mysql());
}

#[test]
fn a_directory_that_serves_is_good_whomever_it_refuses() {
    comes_out(transcripts::ldap());
}

#[test]
fn a_datagram_must_contain_what_is_expected() {
    let advisor =
        |expect: Option<&[u8]>| Advisor::Udp { send: b"ping".to_vec(), expect: expect.map(<[u8]>::to_vec) };
    let any = play(&advisor(None), Protocol::Udp, [&b""[..]]);
    assert!(any.outcome.is_ok());
    assert_eq!(any.said, b"ping");
    assert!(play(&advisor(Some(b"pong")), Protocol::Udp, [&b"a pong!"[..]]).outcome.is_ok());
    let fault = play(&advisor(Some(b"pong")), Protocol::Udp, [&b"gone\n"[..]]).outcome.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Unexpected);
    assert_eq!(fault.words, "expected a datagram with \"pong\", got \"gone\\n\"");
}

#[test]
fn who_is_well_hears_a_farewell() {
    let said = |advisor: &Advisor, server: &[u8]| {
        String::from_utf8_lossy(&play(advisor, Protocol::Tcp, [server]).said).into_owned()
    };
    assert_eq!(said(&Advisor::Smtp, b"220 mx\r\n250 mx\r\n"), "EHLO [127.0.0.1]\r\nQUIT\r\n");
    assert_eq!(said(&Advisor::Imap, b"* OK\r\n"), "a LOGOUT\r\n");
    assert_eq!(said(&Advisor::Pop3, b"+OK\r\n"), "QUIT\r\n");
    assert_eq!(said(&Advisor::Ftp, b"220 x\r\n"), "QUIT\r\n");
    assert!(said(&Advisor::Postgres, b"R\x00\x00\x00\x08\x00\x00\x00\x00").ends_with("X\0\0\0\u{4}"));
    assert!(
        said(&Advisor::Ldap, b"\x30\x0c\x02\x01\x01\x61\x07\x0a\x01\x00\x04\x00\x04\x00").ends_with("B\0")
    );
}

#[test]
fn each_advisor_goes_over_what_it_is_for() {
    let transport = |advisor: &Advisor| talk(advisor, Protocol::Tcp).transport;
    assert_eq!(transport(&Advisor::Tcp), Transport::ConnectOnly);
    assert_eq!(transport(&Advisor::Ping), Transport::Echo);
    assert_eq!(transport(&Advisor::Exec { command: vec!["/bin/true".to_owned()] }), Transport::Program);
    assert_eq!(transport(&Advisor::Smtp), Transport::Tcp);
    assert_eq!(talk(&transcripts::dns(), Protocol::Udp).transport, Transport::Datagram);
    let named = |tls, h2| {
        let host = Some("www.example.org:8443".to_owned());
        transport(&Advisor::Http(Http { tls, h2, host, ..transcripts::get() }))
    };
    let name = || Some("www.example.org".to_owned());
    assert_eq!(named(true, false), Transport::Tls { name: name(), alpn: &[b"http/1.1"] });
    assert_eq!(named(true, true), Transport::H2 { tls: true, name: name() });
    assert_eq!(named(false, false), Transport::Tcp);
    let tls = Advisor::Tls { name: None };
    assert_eq!(transport(&tls), Transport::Tls { name: None, alpn: &[] });
    for bare in [Advisor::Tcp, Advisor::Ping, tls] {
        assert!(talk(&bare, Protocol::Tcp).conversation.is_none(), "{}", bare.word());
    }
}

#[test]
fn the_cluster_address_is_the_host_where_none_is_configured() {
    let http = Advisor::Http(transcripts::get());
    let asked = dialogue(&http, Protocol::Tcp, "2001:db8::1".parse().unwrap(), 8_080, 0);
    let mut said = Vec::new();
    asked.conversation.unwrap().begin(&mut said);
    assert!(String::from_utf8(said).unwrap().contains("Host: [2001:db8::1]:8080\r\n"));
}

/// Self-signed by `openssl ca -startdate 20260101000000Z -enddate 20260201000000Z`.
const CERTIFICATE: &[u8] = include_bytes!("certificate.der");
/// 2026-02-01T00:00:00Z.
const END: i64 = 1_769_904_000;

#[test]
fn a_certificate_expires_when_it_says() {
    assert_eq!(expires_in(CERTIFICATE, END - 86_400), Ok(86_400));
    assert_eq!(expires_in(CERTIFICATE, END + 1), Ok(-1));
    for end in 0..CERTIFICATE.len() {
        assert_eq!(expires_in(&CERTIFICATE[..end], END).unwrap_err().kind, FaultKind::Tls);
    }
}
