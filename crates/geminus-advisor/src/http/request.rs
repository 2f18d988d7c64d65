//! What is asked, the same for HTTP/1.1 and HTTP/2.

use std::net::IpAddr;

use geminus_core::model::Http;

/// What is asked of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The method.
    pub method: String,
    /// `http` or `https`.
    pub scheme: &'static str,
    /// `Host`, or `:authority` in HTTP/2.
    pub authority: String,
    /// The path with its query.
    pub path: String,
    /// All further headers that both versions have; names as they were configured, in HTTP/2 they are written in lower
    /// case.
    pub headers: Vec<(String, String)>,
}

impl Request {
    /// What `check` asks of the address `by`.
    pub fn new(check: &Http, by: IpAddr, port: u16) -> Self {
        let mut headers: Vec<(String, String)> = Vec::new();
        let configured =
            |name: &str| check.headers.iter().find(|(given, _)| given.eq_ignore_ascii_case(name));
        for (name, value) in [("User-Agent", "geminus"), ("Accept", "*/*")] {
            if configured(name).is_none() {
                headers.push((name.to_owned(), value.to_owned()));
            }
        }
        // RFC 9110 section 8.6: these are expected to have a body, and ours is empty.
        if ["POST", "PUT", "PATCH"].contains(&check.method.as_str()) && configured("Content-Length").is_none()
        {
            headers.push(("Content-Length".to_owned(), "0".to_owned()));
        }
        let further = check.headers.iter().filter(|(name, _)| !name.eq_ignore_ascii_case("Host"));
        headers.extend(further.cloned());
        let host = check.host.as_ref().or_else(|| configured("Host").map(|(_, value)| value));
        Self {
            method: check.method.clone(),
            scheme: if check.tls { "https" } else { "http" },
            authority: host.cloned().unwrap_or_else(|| authority(check.tls, by, port)),
            path: check.path.clone(),
            headers,
        }
    }

    /// As it is written in HTTP/1.1. The answer is to be the last of its connection.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let mut put = |parts: [&str; 4]| parts.iter().for_each(|part| out.extend_from_slice(part.as_bytes()));
        put([&self.method, " ", &self.path, " HTTP/1.1\r\n"]);
        put(["Host: ", &self.authority, "\r\n", ""]);
        for (name, value) in &self.headers {
            put([name, ": ", value, "\r\n"]);
        }
        if !self.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("Connection")) {
            put(["Connection: close", "\r\n", "", ""]);
        }
        put(["\r\n", "", "", ""]);
    }
}

/// The address and, where it is not the scheme's own, the port (RFC 3986 section 3.2).
fn authority(tls: bool, by: IpAddr, port: u16) -> String {
    let host = match by {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("[{address}]"),
    };
    let usual = if tls { 443 } else { 80 };
    if port == usual { host } else { format!("{host}:{port}") }
}

/// The server name that is asked for in TLS: the host, unless it is an address (RFC 6066 section 3).
pub fn server_name(check: &Http) -> Option<String> {
    let host = check.host.as_deref()?;
    if host.starts_with('[') || host.parse::<IpAddr>().is_ok() {
        return None;
    }
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    (name.parse::<IpAddr>().is_err() && !name.is_empty()).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::tests::check;

    fn written(check: &Http, by: &str, port: u16) -> String {
        let mut out = Vec::new();
        Request::new(check, by.parse().unwrap(), port).write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_host_is_the_configured_one_or_the_address_with_a_port_that_is_not_usual() {
        assert!(written(&check(), "192.0.2.1", 80).contains("\r\nHost: 192.0.2.1\r\n"));
        assert!(written(&check(), "192.0.2.1", 8_080).contains("\r\nHost: 192.0.2.1:8080\r\n"));
        assert!(written(&check(), "2001:db8::1", 443).contains("\r\nHost: [2001:db8::1]:443\r\n"));
        let tls = Http { tls: true, ..check() };
        assert!(written(&tls, "2001:db8::1", 443).contains("\r\nHost: [2001:db8::1]\r\n"));
        let named = Http { host: Some("www.example.org".to_owned()), ..check() };
        assert!(written(&named, "192.0.2.1", 8_080).contains("\r\nHost: www.example.org\r\n"));
    }

    #[test]
    fn a_configured_header_takes_the_place_of_ours() {
        let headers = [("user-agent", "probe/1"), ("HOST", "one.example"), ("connection", "keep-alive")];
        let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        let text = written(&Http { headers, method: "POST".to_owned(), ..check() }, "192.0.2.1", 80);
        assert_eq!(
            text,
            "POST / HTTP/1.1\r\nHost: one.example\r\nAccept: */*\r\nContent-Length: 0\r\nuser-agent: probe/1\r\n\
             connection: keep-alive\r\n\r\n"
        );
    }

    #[test]
    fn a_request_ends_with_an_empty_line_and_asks_for_no_second() {
        let text = written(&check(), "192.0.2.1", 80);
        assert!(text.starts_with("GET / HTTP/1.1\r\n") && text.ends_with("\r\nConnection: close\r\n\r\n"));
    }

    #[test]
    fn only_a_name_is_asked_for_in_tls() {
        let name = |host: &str| server_name(&Http { host: Some(host.to_owned()), ..check() });
        assert_eq!(name("www.example.org").as_deref(), Some("www.example.org"));
        assert_eq!(name("www.example.org:8443").as_deref(), Some("www.example.org"));
        for address in ["192.0.2.1", "192.0.2.1:443", "2001:db8::1", "[2001:db8::1]", "[2001:db8::1]:443"] {
            assert_eq!(name(address), None, "{address}");
        }
        assert_eq!(server_name(&check()), None);
    }
}
