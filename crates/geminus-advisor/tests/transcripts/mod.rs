//! What servers say, and what has to come of it: shared by the tests of answers and those of laws.

use std::net::{IpAddr, Ipv4Addr};

use geminus_advisor::{Conversation, Dialogue, Step, dialogue};
use geminus_core::health::{Fault, FaultKind, Good};
use geminus_core::model::{Advisor, DnsRecord, Http, Protocol};

/// Low 16 bits 0x1234.
pub const NONCE: u64 = 0xfeed_1234;

pub fn talk(advisor: &Advisor, protocol: Protocol) -> Dialogue {
    dialogue(advisor, protocol, IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 80, NONCE)
}

/// What came of a conversation, and all that was said to the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Played {
    pub outcome: Result<Good, Fault>,
    pub said: Vec<u8>,
}

/// The server says all pieces and closes.
pub fn play<'a>(advisor: &Advisor, protocol: Protocol, pieces: impl IntoIterator<Item = &'a [u8]>) -> Played {
    let mut conversation = talk(advisor, protocol).conversation.expect("a protocol that talks");
    let mut said = Vec::new();
    conversation.begin(&mut said);
    let outcome = hear(conversation.as_mut(), pieces, &mut said);
    Played { outcome, said }
}

fn hear<'a>(
    conversation: &mut dyn Conversation,
    pieces: impl IntoIterator<Item = &'a [u8]>,
    said: &mut Vec<u8>,
) -> Result<Good, Fault> {
    for piece in pieces {
        if let Step::Done(outcome) = conversation.hear(piece, said) {
            return outcome;
        }
    }
    conversation.closed()
}

/// Nothing wrong, or a kind of fault and a part of its words.
pub type Outcome = Result<(), (FaultKind, &'static str)>;

/// What a server says until it closes, and what comes of it.
pub struct Case {
    pub advisor: Advisor,
    pub server: Vec<u8>,
    pub outcome: Outcome,
}

pub const GOOD: Outcome = Ok(());

pub const fn garbage(words: &'static str) -> Outcome {
    Err((FaultKind::Garbage, words))
}

pub const fn unexpected(words: &'static str) -> Outcome {
    Err((FaultKind::Unexpected, words))
}

pub const fn closed(words: &'static str) -> Outcome {
    Err((FaultKind::Closed, words))
}

pub fn get() -> Http {
    Http {
        tls: false,
        h2: false,
        method: "GET".to_owned(),
        path: "/".to_owned(),
        host: None,
        headers: Vec::new(),
        expect: vec![(200, 399)],
        body: None,
    }
}

pub fn looking_for(text: &str) -> Advisor {
    Advisor::Http(Http { body: Some(text.to_owned()), ..get() })
}

pub fn dns() -> Advisor {
    Advisor::Dns { name: "www.example.org".to_owned(), record: DnsRecord::A }
}

/// Every advisor that talks over a stream.
pub fn streams() -> Vec<Advisor> {
    vec![
        Advisor::Http(get()),
        looking_for("well"),
        Advisor::Http(Http { method: "HEAD".to_owned(), ..get() }),
        dns(),
        Advisor::Smtp,
        Advisor::Imap,
        Advisor::Pop3,
        Advisor::Ftp,
        Advisor::Ldap,
        Advisor::Ssh,
        Advisor::Redis,
        Advisor::Postgres,
        Advisor::Mysql,
    ]
}

/// Every case of every protocol.
pub fn all() -> Vec<Case> {
    [http(), http_bodies(), text(), names(), postgres(), mysql(), ldap()].into_iter().flatten().collect()
}

fn cases<const N: usize>(advisor: &Advisor, list: [(&[u8], Outcome); N]) -> Vec<Case> {
    let case =
        |(server, outcome): (&[u8], _)| Case { advisor: advisor.clone(), server: server.to_vec(), outcome };
    list.into_iter().map(case).collect()
}

pub fn http() -> Vec<Case> {
    let many = [&b"HTTP/1.1 200 OK\r\n"[..], &b"A: b\r\n".repeat(200), b"\r\n"].concat();
    let endless = [&b"HTTP/1.1 200 OK\r\nA: "[..], &[b'x'; 20_000]].concat();
    let interim = b"HTTP/1.1 100 Continue\r\n\r\n".repeat(20);
    cases(
        &Advisor::Http(get()),
        [
            (b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\nbegin", GOOD),
            (b"HTTP/1.0 302 Found\nLocation: /x\n\n", GOOD),
            (b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n", GOOD),
            (b"HTTP/1.1 503 Gone\x1b[2J\r\n\r\n", garbage("got \"HTTP/1.1 503 Gone\\x1b[2J\\r\"")),
            (b"HTTP/1.1 503 Down\r\n\r\n", unexpected("expected status 200-399, got status 503")),
            (b"HTTP/1.1 101 Switching Protocols\r\n\r\n", unexpected("got status 101")),
            (b"HTTP/1.1 20x OK\r\n\r\n", garbage("an HTTP head")),
            (b"HTTP/1.1 200 OK\r\nbroken\r\n\r\n", garbage("an HTTP head")),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 3, 4\r\n\r\n", garbage("one Content-Length")),
            (b"HTTP/1.1 200 OK\r\nContent-Length: -3\r\n\r\n", garbage("one Content-Length, got \"-3\"")),
            (b"HTTP/2 200\r\n\r\n", garbage("an HTTP answer, got \"HTTP/2\"")),
            (b"SSH-2.0-OpenSSH\r\n", garbage("an HTTP answer, got \"S\"")),
            (&many, garbage("an HTTP head")),
            (&endless, garbage("a head of at most 16 KiB")),
            (&interim, garbage("interim")),
            (b"HTTP/1.1 200 OK\r\nA: b\r\n", closed("a whole HTTP head")),
            (b"", closed("nothing and the end")),
        ],
    )
}

pub fn http_bodies() -> Vec<Case> {
    let far = [&b"HTTP/1.0 200 OK\r\n\r\n"[..], &[b'.'; 16_384], b"well"].concat();
    let chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n";
    let in_chunks = [&chunked[..], b"3;x=y\r\nswe\r\n2\r\nll\r\n0\r\n\r\n"].concat();
    let broken_chunks = [&chunked[..], b"3\r\nwellwell"].concat();
    let empty_chunks = [&chunked[..], b"0\r\n\r\n"].concat();
    let mut list = cases(
        &looking_for("well"),
        [
            (b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\nall is well", GOOD),
            (b"HTTP/1.1 200 OK\r\n\r\nall is well", GOOD),
            (&in_chunks, GOOD),
            (
                b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nall is well",
                unexpected("a body with \"well\", got 6 bytes without it in the body: \"all is\""),
            ),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nwell", unexpected("0 bytes without it")),
            (b"HTTP/1.1 304 Not Modified\r\n\r\nwell", unexpected("0 bytes without it")),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 60\r\n\r\nall is", closed("the whole body")),
            (b"HTTP/1.0 200 OK\r\n\r\nnothing", unexpected("7 bytes without it")),
            (b"HTTP/1.1 500 Oops\r\n\r\nwell", unexpected("status 500")),
            (&broken_chunks, garbage("the end of a chunk")),
            (&empty_chunks, unexpected("0 bytes without it")),
            (&far, unexpected("16384 bytes without it in its first 16 KiB")),
        ],
    );
    let head = Advisor::Http(Http { method: "HEAD".to_owned(), body: Some("x".to_owned()), ..get() });
    list.extend(cases(&head, [(b"HTTP/1.1 200 OK\r\nContent-Length: 60\r\n\r\n", GOOD)]));
    list
}

pub fn text() -> Vec<Case> {
    let long = [b'x'; 9_000];
    let endless = b"250-more\r\n".repeat(2_000);
    let smtp_endless = [&b"220 mx\r\n"[..], &endless].concat();
    let ssh_long = [&b"SSH-2.0-"[..], &[b'x'; 246], b"\r\n"].concat();
    let ssh_longest = [&b"SSH-2.0-"[..], &[b'x'; 245], b"\r\n"].concat();
    let mut list = cases(
        &Advisor::Smtp,
        [
            (b"220 mx.example.org ESMTP\r\n250-mx\r\n250-PIPELINING\r\n250 SIZE\r\n", GOOD),
            (b"220-mx.example.org\r\n220-be patient\r\n220 ESMTP\r\n250 mx\r\n", GOOD),
            (b"220\r\n250\r\n", GOOD),
            (b"421 too busy\r\n", unexpected("a greeting of 220, got \"421 too busy\"")),
            (b"554 no service\r\n", unexpected("554 no service")),
            (b"220 mx\r\n502 what\r\n", unexpected("250 to EHLO, got \"502 what\"")),
            (b"220 mx\r\n", closed("250 to EHLO, got the end of the connection")),
            (b"220 mx\r\n250-half", closed("after \"250-half\"")),
            (b"\x1b]0;owned\x07\r\n", garbage("\\x1b]0;owned\\x07")),
            (&long, garbage("xxxx\"...")),
            (&smtp_endless, garbage("250 to EHLO")),
        ],
    );
    list.extend(cases(
        &Advisor::Imap,
        [
            (b"* OK [CAPABILITY IMAP4rev1] ready\r\n", GOOD),
            (b"* preauth welcome\r\n", GOOD),
            (b"* BYE overloaded\r\n", unexpected("* BYE overloaded")),
            (b"+OK pop\r\n", garbage("+OK pop")),
            (b"* WHAT\r\n", garbage("* WHAT")),
        ],
    ));
    list.extend(cases(
        &Advisor::Pop3,
        [
            (b"+OK <1896.697170952@dbc.mtview.ca.us>\r\n", GOOD),
            (b"-ERR [SYS/TEMP] later\r\n", unexpected("-ERR [SYS/TEMP] later")),
            (b"+OKAY\r\n", garbage("+OKAY")),
        ],
    ));
    list.extend(cases(
        &Advisor::Ftp,
        [
            (b"220 (vsFTPd 3.0.3)\r\n", GOOD),
            (b"220-Welcome\r\n 220 is not the end\r\nanything\r\n220 Ready\r\n", GOOD),
            (b"421 There are too many connected users\r\n", unexpected("421 There")),
            (b"120 in 5 minutes\r\n", unexpected("120 in")),
            (b"Welcome\r\n", garbage("Welcome")),
            (b"220-Welcome\r\n", closed("the end of a greeting")),
        ],
    ));
    list.extend(cases(
        &Advisor::Ssh,
        [
            (b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n", GOOD),
            (b"Authorised only.\r\n\r\nSSH-1.99-old\n", GOOD),
            (b"SSH-1.5-older\r\n", unexpected("SSH-1.5-older")),
            (&ssh_longest, GOOD),
            (&ssh_long, garbage("SSH-2.0-xxx")),
            (b"Not allowed at this time\r\n", closed("an identification of SSH-2.0")),
        ],
    ));
    list.extend(cases(
        &Advisor::Redis,
        [
            (b"+PONG\r\n", GOOD),
            (b"-NOAUTH Authentication required.\r\n", GOOD),
            (b"-DENIED Redis is running in protected mode\r\n", GOOD),
            (b"-LOADING Redis is loading the dataset in memory\r\n", unexpected("got \"-LOADING")),
            (b"-MASTERDOWN Link with MASTER is down\r\n", unexpected("got \"-MASTERDOWN")),
            (b"-ERR max number of clients reached\r\n", unexpected("max number of clients")),
            (b"HTTP/1.1 400 Bad Request\r\n", garbage("HTTP/1.1 400")),
        ],
    ));
    list
}

/// An answer with this many records, each an alias or an address.
pub fn answer(flags: u16, question: &[u8], records: &[(u16, &[u8])]) -> Vec<u8> {
    let mut bytes = vec![0x12, 0x34];
    bytes.extend(flags.to_be_bytes());
    for number in [usize::from(!question.is_empty()), records.len(), 0, 0] {
        bytes.extend(short(number));
    }
    bytes.extend(question);
    for (kind, data) in records {
        bytes.extend(b"\xc0\x0c");
        bytes.extend(kind.to_be_bytes());
        bytes.extend(b"\x00\x01\x00\x00\x0e\x10");
        bytes.extend(short(data.len()));
        bytes.extend(*data);
    }
    bytes
}

pub const QUESTION: &[u8] = b"\x03WwW\x07example\x03org\x00\x00\x01\x00\x01";
pub const ADDRESS: (u16, &[u8]) = (1, &[192, 0, 2, 7]);

/// In the order of the network.
fn short(number: usize) -> [u8; 2] {
    u16::try_from(number).expect("what a test writes is short").to_be_bytes()
}

fn over_tcp(message: &[u8]) -> Vec<u8> {
    [&short(message.len())[..], message].concat()
}

/// Messages with what comes of them, in either transport.
pub fn messages() -> Vec<(Vec<u8>, Outcome)> {
    let other = b"\x03www\x07example\x03net\x00\x00\x01\x00\x01";
    vec![
        (answer(0x8180, QUESTION, &[ADDRESS]), GOOD),
        (answer(0x8580, QUESTION, &[(5, b"\xc0\x10"), ADDRESS]), GOOD),
        (answer(0x8380, QUESTION, &[]), GOOD),
        (answer(0x8180, QUESTION, &[]), unexpected("A of www.example.org, got 0 other records")),
        (answer(0x8180, QUESTION, &[(16, b"\x01x")]), unexpected("1 other records")),
        (answer(0x8183, QUESTION, &[]), unexpected("NXDOMAIN")),
        (answer(0x8182, QUESTION, &[]), unexpected("SERVFAIL")),
        (answer(0x8185, b"", &[]), unexpected("REFUSED")),
        (answer(0x0100, QUESTION, &[]), garbage("a question")),
        (answer(0x8180, other, &[ADDRESS]), garbage("the answer to another question")),
        (answer(0x8180, b"", &[]), garbage("no question in the answer")),
        (answer(0x8180, b"\xc0\x0c\x00\x01\x00\x01", &[ADDRESS]), garbage("no question in the answer")),
    ]
}

pub fn names() -> Vec<Case> {
    let case =
        |(message, outcome): (Vec<u8>, _)| Case { advisor: dns(), server: over_tcp(&message), outcome };
    let mut list: Vec<Case> = messages().into_iter().map(case).collect();
    list.extend(cases(
        &dns(),
        [
            (b"\x00\x05\x12\x34", garbage("A of www.example.org")),
            (b"\x00\x0c\x43\x21\x81\x80\x00\x00\x00\x00\x00\x00\x00\x00", garbage("A of")),
            (b"\xff\xff\x12\x34", closed("the end of the connection after")),
        ],
    ));
    list
}

fn refused(fields: &[u8]) -> Vec<u8> {
    [b"E\x00\x00", &short(fields.len() + 4)[..], fields].concat()
}

pub fn postgres() -> Vec<Case> {
    let starting = refused(b"SFATAL\0C57P03\0Mthe database system is starting up\0\0");
    let full = refused(b"SFATAL\0C53300\0Msorry, too many \x1bclients already\0\0");
    let stranger = refused(b"SFATAL\0VFATAL\0C28000\0Mrole \"geminus\" does not exist\0\0");
    let nowhere = refused(b"SFATAL\0C3D000\0Mdatabase \"geminus\" does not exist\0\0");
    let notices = b"N\x00\x00\x00\x08\0\0\0\0".repeat(4_000);
    cases(
        &Advisor::Postgres,
        [
            (b"R\x00\x00\x00\x17\x00\x00\x00\x0aSCRAM-SHA-256\0\0", GOOD),
            (b"N\x00\x00\x00\x06\0\0R\x00\x00\x00\x08\x00\x00\x00\x00", GOOD),
            (&stranger, GOOD),
            (&nowhere, GOOD),
            (&starting, unexpected("error \"57P03\" \"the database system is starting up\"")),
            (&full, unexpected("error \"53300\" \"sorry, too many \\x1bclients already\"")),
            (&refused(b"Sx\0\0"), garbage("a demand for authentication")),
            (b"E\x00\x00\x00\x03", garbage("a demand")),
            (b"E\x7f\xff\xff\xff", garbage("a message of 2147483648 bytes")),
            (b"R\x00\x00\x00\x04", garbage("a demand")),
            (b"HTTP/1.1", garbage("got \"H\"")),
            (&notices, garbage("16 KiB")),
            (b"R\x00\x00\x00\x08\x00", closed("after \"R\\x00")),
        ],
    )
}

const GREETING: &[u8] =
    b"\x2c\x00\x00\x00\x0a10.11.6-MariaDB\0\x07\x00\x00\x00abcdefgh\0\xfe\xf7\x21\x02\x00\xff\x81\
    \x15\0\0\0\0\0\0";

/// What MariaDB 10.11.19 said.
const MARIADB: &[u8] = b"d\x00\x00\x00\n5.5.5-10.11.19-MariaDB-0+deb12u1\x00\x03\x00\x00\x005C4vwvg%\x00\xfe\xf7\x08\x02\x00\xff\x81\x15\
    \x00\x00\x00\x00\x00\x00\x1d\x00\x00\x00~o/=$932B7-y\x00mysql_native_password\x00J\x00\x00\x02\xff\x15\x04#28000\
    Access denied for user 'geminus'@'localhost' (using password: NO)";

pub fn mysql() -> Vec<Case> {
    let denied = [GREETING, b"\x11\x00\x00\x02\xff\x15\x04#28000Access!!"].concat();
    let switched = [GREETING, b"\x04\x00\x00\x02\xfeabc\x09\x00\x00\x04\xff\x15\x04#28000"].concat();
    let let_in = [GREETING, b"\x07\x00\x00\x02\x00\x00\x00\x02\x00\x00\x00"].concat();
    let full = [GREETING, b"\x09\x00\x00\x02\xff\x10\x04#08004"].concat();
    let nonsense = [GREETING, b"\x02\x00\x00\x02zz"].concat();
    cases(
        &Advisor::Mysql,
        [
            (&denied, GOOD),
            (&switched, GOOD),
            (&let_in, GOOD),
            (&full, unexpected("an answer to a login, got error 1040")),
            (&nonsense, garbage("an answer to a login")),
            (GREETING, closed("an answer to a login")),
            (
                b"\x17\x00\x00\x00\xff\x10\x04Too many connections",
                unexpected("a handshake of protocol 10, got error 1040 \"Too many connections\""),
            ),
            (b"\x10\x00\x00\x00\xff\x69\x04#HY000blocked", unexpected("error 1129")),
            (b"\x05\x00\x00\x00\xff\x6a\x04no", GOOD),
            (b"\x05\x00\x00\x00\x09old\0", garbage("a handshake of protocol 10")),
            (b"\x05\x00\x00\x00\x0a8.0\0", garbage("a handshake of protocol 10")),
            (b"\xff\xff\xff\x00\x0a", garbage("a handshake of protocol 10, got a message of 16777219 bytes")),
            (b"\x00\x00\x00\x00", garbage("a handshake of protocol 10")),
            (b"\x01\x00\x00\x00\xff", garbage("a handshake of protocol 10")),
            (MARIADB, GOOD),
        ],
    )
}

pub fn ldap() -> Vec<Case> {
    cases(
        &Advisor::Ldap,
        [
            (b"\x30\x0c\x02\x01\x01\x61\x07\x0a\x01\x00\x04\x00\x04\x00", GOOD),
            (
                b"\x30\x84\x00\x00\x00\x10\x02\x01\x01\x61\x84\x00\x00\x00\x07\x0a\x01\x31\x04\x00\x04\x00",
                GOOD,
            ),
            (
                b"\x30\x10\x02\x01\x01\x61\x0b\x0a\x01\x33\x04\x00\x04\x04busy",
                unexpected("an answer to an anonymous bind, got result 51 \"busy\""),
            ),
            (b"\x30\x0c\x02\x01\x00\x78\x07\x0a\x01\x34\x04\x00\x04\x00", unexpected("result 52")),
            (b"\x30\x0c\x02\x01\x02\x61\x07\x0a\x01\x00\x04\x00\x04\x00", garbage("an answer")),
            (b"\x30\x80\x02\x01\x01", garbage("an answer")),
            (b"\x30\x84\x7f\xff\xff\xff", garbage("an answer")),
            (b"\x30\x05\x02\x01\x01\x61\x70", garbage("an answer")),
            (b"\x30\x00", garbage("an answer")),
            (b"HTTP", garbage("got \"H\"")),
            (b"\x30\x0c\x02\x01", closed("after \"0\\x0c")),
        ],
    )
}
