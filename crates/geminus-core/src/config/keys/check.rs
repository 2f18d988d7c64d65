//! The table of a check.

use super::{HOUR, Key, Kind, MINUTE, Presence, Table, Word, milliseconds};
use crate::config::text::Text;

/// The keys of which a check has exactly one: what asks the server.
pub(in crate::config) const ADVISORS: [&str; 18] = [
    "tcp", "tls", "http", "https", "dns", "smtp", "imap", "pop3", "ftp", "ldap", "ssh", "redis", "postgres",
    "mysql", "udp", "ping", "exec", "none",
];

const ONE_ADVISOR: Presence = Presence::Otherwise("–");

/// An advisor that needs nothing but its name.
macro_rules! advisor {
    ($name:literal, $doc:literal, $also:expr) => {
        Key {
            name: $name,
            kind: Kind::Yes,
            presence: ONE_ADVISOR,
            doc: $doc,
            example: concat!($name, " = true"),
            also: $also,
        }
    };
}

pub(super) static CHECK: Table = Table {
    noun: "`check`",
    header: "check",
    doc: "How the servers of a service are checked: `check = { http = \"/health\", interval = \"1s\" }`. It has exactly one \
          advisor, one of the keys from `tcp` to `none`, and of the others those that belong to it.",
    keys: &[
        advisor!("tcp", "A TCP connection comes about.", &["tcp_check", "tcp_connect"]),
        advisor!(
            "tls",
            "A TLS handshake comes about; the certificate is not judged, but one about to expire is warned of.",
            &["ssl", "ssl_hello"]
        ),
        Key {
            name: "http",
            kind: Kind::Text(Text::Path),
            presence: ONE_ADVISOR,
            doc: "The answer for this path is as expected.",
            example: "http = \"/health\"",
            also: &["path", "url", "uri", "http_get", "httpchk"],
        },
        Key {
            name: "https",
            kind: Kind::Text(Text::Path),
            presence: ONE_ADVISOR,
            doc: "The same over TLS; the certificate is not judged, but one about to expire is warned of.",
            example: "https = \"/health\"",
            also: &["ssl_get"],
        },
        Key {
            name: "dns",
            kind: Kind::Text(Text::DnsName),
            presence: ONE_ADVISOR,
            doc: "This name is resolved, over the protocol of the service.",
            example: "dns = \"www.example.org\"",
            also: &["query", "dns_check"],
        },
        advisor!("smtp", "A greeting of 220, and `EHLO` is answered.", &["mail", "smtpchk"]),
        advisor!("imap", "A greeting of `OK` or `PREAUTH`.", &["imap4"]),
        advisor!("pop3", "A greeting of `+OK`.", &["pop"]),
        advisor!("ftp", "A greeting of 220.", &[]),
        advisor!("ldap", "An anonymous bind is answered, also by a refusal.", &["ldap_check"]),
        advisor!("ssh", "An identification string of protocol 2.0 or 1.99.", &["sshd"]),
        advisor!(
            "redis",
            "`PING` is answered, also by the demand to authenticate; not while data is loaded.",
            &["valkey", "redis_check"]
        ),
        advisor!(
            "postgres",
            "A start-up message is answered by the demand to authenticate, or by an error of a living server.",
            &["postgresql", "pgsql", "pgsql_check"]
        ),
        advisor!(
            "mysql",
            "A handshake of protocol 10, and an answer to the login of the user `geminus` without a password, also a \
             refusal; a server may log each refusal. Where it should not, make that user, without rights: \
             `CREATE USER geminus@'ADDRESS'` for the address of each dispatcher.",
            &["mariadb", "mysql_check"]
        ),
        Key {
            name: "udp",
            kind: Kind::Text(Text::Payload),
            presence: ONE_ADVISOR,
            doc: "This datagram is answered.",
            example: "udp = 'status\\x00'",
            also: &["send", "datagram", "udp_check"],
        },
        advisor!("ping", "An echo request is answered.", &["icmp", "echo", "ping_check"]),
        Key {
            name: "exec",
            kind: Kind::Command,
            presence: ONE_ADVISOR,
            doc: "This program ends with 0: started without a shell, as a user without a name and without rights, its time, \
                  output and processes limited; whatever it started is ended with it. One that does not start says \
                  nothing of the server. It finds whom to ask in `GEMINUS_SERVER`, `GEMINUS_ADDRESS`, `GEMINUS_PROTOCOL` and `GEMINUS_PORT`; the last is 0 \
                  where the service has not exactly one port and the check names none.",
            example: "exec = [\"/usr/local/bin/check-shop\", \"--quick\"]",
            also: &["script", "command", "misc_check", "external"],
        },
        advisor!("none", "The servers are not checked.", &["off", "disabled"]),
        Key {
            name: "via",
            kind: Kind::Word {
                words: &[
                    Word {
                        word: "path",
                        doc: "the clients': addressed to the cluster address and sent to the one server as a client's \
                              packet is, so that the address on `lo`, the service's binding and an answer from the \
                              cluster address to a host of its own link are proved; the way back to clients elsewhere \
                              is not (`geminus host check` there, or an agent, looks at it)",
                    },
                    Word { word: "server", doc: "straight to the server's own address" },
                ],
                reserved: &[],
            },
            presence: Presence::Otherwise("`\"path\"`; `\"server\"` for `exec`"),
            doc: "By which road.",
            example: "via = \"server\"",
            also: &["road", "mode"],
        },
        Key {
            name: "port",
            kind: Kind::Integer { min: 1, max: u16::MAX as u32 },
            presence: Presence::Otherwise("the service's, if it is one port"),
            doc: "The port that is asked.",
            example: "port = 8080",
            also: &["connect_port"],
        },
        Key {
            name: "profile",
            kind: Kind::Word {
                words: &[
                    Word {
                        word: "default",
                        doc: "`interval` 500 ms, `connect` 300 ms, `timeout` 1 s: dead within 1.6 s",
                    },
                    Word {
                        word: "fast",
                        doc: "`interval` 100 ms, `connect` 75 ms, `timeout` 300 ms: dead within 350 ms",
                    },
                ],
                reserved: &[],
            },
            presence: Presence::Otherwise("`\"default\"`"),
            doc: "How often, and how long is waited.",
            example: "profile = \"fast\"",
            also: &["preset"],
        },
        Key {
            name: "interval",
            kind: milliseconds(50, 1000 * HOUR),
            presence: Presence::Otherwise("that of the profile"),
            doc: "Time between checks while nothing changes. The next begins no sooner than the last is over.",
            example: "interval = \"500ms\"",
            also: &["inter", "period", "every", "delay_loop"],
        },
        Key {
            name: "fast_interval",
            kind: milliseconds(50, 1000 * HOUR),
            presence: Presence::Otherwise("half of `interval`, at least 50 ms"),
            doc: "Time between checks while a change is under way.",
            example: "fast_interval = \"250ms\"",
            also: &["fastinter", "retry_interval", "delay_before_retry"],
        },
        Key {
            name: "connect",
            kind: milliseconds(10, 1000 * MINUTE),
            presence: Presence::Otherwise("that of the profile, at most `timeout`"),
            doc: "How long a TCP handshake may take.",
            example: "connect = \"300ms\"",
            also: &["connect_timeout"],
        },
        Key {
            name: "timeout",
            kind: milliseconds(10, 1000 * MINUTE),
            presence: Presence::Otherwise("that of the profile, at least `connect`"),
            doc: "How long the whole check may take.",
            example: "timeout = \"1s\"",
            also: &["deadline", "timeout_check"],
        },
        Key {
            name: "fall",
            kind: Kind::Integer { min: 1, max: 100 },
            presence: Presence::Otherwise("`3`"),
            doc: "Failed checks after which a server is down.",
            example: "fall = 3",
            also: &["retry", "retries", "failures", "max_fails", "unhealthy_threshold"],
        },
        Key {
            name: "rise",
            kind: Kind::Integer { min: 1, max: 100 },
            presence: Presence::Otherwise("`2`"),
            doc: "Good checks after which it is up again.",
            example: "rise = 2",
            also: &["passes", "successes", "healthy_threshold"],
        },
        Key {
            name: "host",
            kind: Kind::Text(Text::Host),
            presence: Presence::Otherwise("the cluster address; no name in TLS"),
            doc: "For `http` and `https`: the `Host` that is asked for. For `https` and `tls`: the name in TLS.",
            example: "host = \"shop.example.org\"",
            also: &["sni", "server_name", "virtualhost", "vhost", "hostname"],
        },
        Key {
            name: "method",
            kind: Kind::Text(Text::Method),
            presence: Presence::Otherwise("`\"GET\"`"),
            doc: "For `http` and `https`: the method.",
            example: "method = \"HEAD\"",
            also: &["verb"],
        },
        Key {
            name: "headers",
            kind: Kind::Texts(Text::Header),
            presence: Presence::Otherwise("no further ones"),
            doc: "For `http` and `https`: further headers.",
            example: "headers = [\"Accept: text/plain\"]",
            also: &["header"],
        },
        Key {
            name: "h2",
            kind: Kind::Flag,
            presence: Presence::Otherwise("`false`"),
            doc: "For `http` and `https`: whether HTTP/2 is spoken, with prior knowledge or chosen by ALPN.",
            example: "h2 = true",
            also: &["http2"],
        },
        Key {
            name: "expect",
            kind: Kind::Statuses,
            presence: Presence::Otherwise("`\"200-399\"`"),
            doc: "For `http` and `https`: the good status codes, such as `200`, `\"200-299\"` or `[200, \"301-302\"]`.",
            example: "expect = 200",
            also: &["status", "status_code", "code", "codes"],
        },
        Key {
            name: "body",
            kind: Kind::Text(Text::Phrase),
            presence: Presence::Otherwise("not looked at"),
            doc: "For `http` and `https`: what the first 16 KiB of the body must contain.",
            example: "body = \"ready\"",
            also: &["match", "contains", "string", "receive"],
        },
        Key {
            name: "record",
            kind: Kind::Word {
                words: &[
                    Word { word: "A", doc: "IPv4 address" },
                    Word { word: "AAAA", doc: "IPv6 address" },
                    Word { word: "MX", doc: "mail exchange" },
                    Word { word: "TXT", doc: "text" },
                    Word { word: "NS", doc: "name server" },
                    Word { word: "SOA", doc: "start of authority" },
                ],
                reserved: &[],
            },
            presence: Presence::Otherwise("`\"A\"`"),
            doc: "For `dns`: the type of record.",
            example: "record = \"SOA\"",
            also: &["type", "rrtype"],
        },
        Key {
            name: "answer",
            kind: Kind::Text(Text::Answer),
            presence: Presence::Otherwise("any answer is good"),
            doc: "For `udp`: what the answer must contain.",
            example: "answer = 'ok'",
            also: &["response", "reply", "expect_body"],
        },
    ],
    reserved: &[],
};
