//! What has to hold of a conversation, whatever is said in it.

use std::net::{IpAddr, Ipv4Addr};

use geminus_advisor::{Step, dialogue};
use geminus_core::health::{Fault, Good};
use geminus_core::model::{Advisor, Http, Protocol};

type Played = (Result<Good, Fault>, Vec<u8>);

/// The same bytes, whole and in pieces of the sizes that their first byte says, end the same and are told safely.
pub fn holds(advisor: &Advisor, protocol: Protocol, data: &[u8]) {
    let Some((size, server)) = data.split_first() else { return };
    let whole = play(advisor, protocol, server, server.len().max(1));
    safe(&whole);
    if protocol == Protocol::Tcp {
        let pieces = play(advisor, protocol, server, usize::from(*size).max(1));
        assert_eq!(pieces, whole);
    }
}

/// What is looked for in bodies.
pub fn http(method: &str, body: Option<&str>) -> Advisor {
    Advisor::Http(Http {
        tls: false,
        h2: false,
        method: method.to_owned(),
        path: "/".to_owned(),
        host: None,
        headers: Vec::new(),
        expect: vec![(200, 399)],
        body: body.map(str::to_owned),
    })
}

fn play(advisor: &Advisor, protocol: Protocol, server: &[u8], size: usize) -> Played {
    let by = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
    let dialogue = dialogue(advisor, protocol, by, 80, 0x1234);
    let mut conversation = dialogue.conversation.expect("a protocol that talks");
    let mut said = Vec::new();
    conversation.begin(&mut said);
    for piece in server.chunks(size) {
        if let Step::Done(outcome) = conversation.hear(piece, &mut said) {
            return (outcome, said);
        }
    }
    (conversation.closed(), said)
}

fn safe((outcome, said): &Played) {
    assert!(said.len() < 1_024, "{} bytes said", said.len());
    if let Err(Fault { words, .. }) = outcome {
        let printable = |byte: u8| byte == b' ' || byte.is_ascii_graphic();
        assert!((1..=200).contains(&words.len()) && words.bytes().all(printable), "{words:?}");
    }
}
