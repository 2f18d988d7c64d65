//! Balancing criteria that nobody wrote: made, and written down.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use geminus_core::model::{
    Advisor, Agents, Check, Condition, DnsRecord, Health, Http, Manager, Ports, Prefix, Protocol, Rule,
    Service, Site, Via, Window,
};

use super::Choices;

const MILLISECOND: Duration = Duration::from_millis(1);

/// Things as a list of texts.
pub(crate) fn strings<T: ToString>(all: &[T]) -> Vec<String> {
    all.iter().map(ToString::to_string).collect()
}

impl Choices {
    pub(crate) fn health(&mut self) -> Health {
        Health {
            panic_below: self.below(101) as u8,
            slow_start: self.span(0, 3_600_000),
            damping: self.span(0, 3_600_000),
            certificate_days: self.below(3651) as u16,
        }
    }

    pub(crate) fn manager(&mut self) -> Manager {
        let active = self.below(101) as u8;
        let new = self.below(101 - u64::from(active)) as u8;
        let latency = self.below(101 - u64::from(active + new)) as u8;
        Manager {
            interval: self.span(500, 300_000),
            proportions: [active, new, latency, 100 - active - new - latency],
            sensitivity: self.below(101) as u8,
            smoothing: 100 + self.below(901) as u16,
            bound: 1 + self.below(100) as u16,
        }
    }

    pub(crate) fn agents(&mut self, site_has_key: bool) -> Agents {
        let key_file = self.flip().then(|| "/agents.key".into());
        Agents {
            enabled: (site_has_key || key_file.is_some()) && self.flip(),
            port: 4870 + self.below(60_666) as u16,
            timeout: self.span(1000, 300_000),
            key_file,
        }
    }

    pub(crate) fn window(&mut self) -> Window {
        Window { days: 1 + self.below(127) as u8, from: self.below(1440) as u16, to: self.below(1441) as u16 }
    }

    /// Different ones.
    pub(crate) fn clients(&mut self) -> Vec<Prefix> {
        let prefix = |number: u64, choices: &mut Self| {
            if choices.flip() {
                let bits = choices.below(33) as u8;
                // Two of one length differ in their leading bits, or are no two.
                let address = u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0) & choices.next() as u32;
                Prefix { address: IpAddr::V4(Ipv4Addr::from_bits(address)), bits }
            } else {
                Prefix {
                    address: IpAddr::V6(Ipv6Addr::from_bits((0x2001_0db8_0000 + u128::from(number)) << 80)),
                    bits: 48 + choices.below(81) as u8,
                }
            }
        };
        let mut all = Vec::new();
        for number in 0..self.below(5) {
            let new = prefix(number, self);
            if !all.contains(&new) {
                all.push(new);
            }
        }
        all
    }

    pub(crate) fn rules(&mut self, pools: usize) -> Vec<Rule> {
        let mut from: Vec<_> =
            self.clients().into_iter().map(|client| Condition::From(vec![client])).collect();
        from.truncate(2);
        let further = pools as u64;
        let mut rules: Vec<_> =
            from.into_iter().map(|when| Rule { when, pool: self.below(1 + further) as u8 }).collect();
        for _ in 0..self.below(4) {
            let when = match self.below(3) {
                0 => Condition::During(self.window()),
                1 if pools > 0 => Condition::Active(1 + self.below(1_000_000_000)),
                2 if pools > 0 => Condition::Rate(1 + self.below(1_000_000_000)),
                _ => continue,
            };
            let least = u64::from(!matches!(when, Condition::During(_)));
            rules.push(Rule { when, pool: (least + self.below(1 + further - least)) as u8 });
        }
        rules
    }

    pub(crate) fn check(&mut self, ports: Ports) -> Option<Check> {
        if self.below(4) == 0 {
            return None;
        }
        let advisor = self.advisor();
        let profile = if self.flip() { Check::new(advisor) } else { Check::fast(advisor) };
        let portless = matches!(profile.advisor, Advisor::Ping);
        let optional = matches!(profile.advisor, Advisor::Exec { .. }) || matches!(ports, Ports::Exact(_));
        let port = (!portless && (!optional || self.flip())).then(|| 1 + self.below(65_535) as u16);
        let via = match profile.advisor {
            Advisor::Exec { .. } => Via::Server,
            _ => self.of(&[Via::Path, Via::Server]),
        };
        let check = Check { port, via, ..profile };
        if self.flip() {
            return Some(check);
        }
        let interval = self.span(50, 3_600_000);
        let fast = u64::try_from(interval.as_millis()).unwrap_or(50);
        let connect = match check.advisor {
            Advisor::Udp { .. } | Advisor::Ping | Advisor::Exec { .. } => {
                check.connect.max(Duration::from_millis(300))
            }
            _ => self.span(10, 60_000),
        };
        Some(Check {
            interval,
            fast_interval: self.span(50, fast),
            connect,
            timeout: connect + MILLISECOND * self.below(60_001 - connect.as_millis() as u64) as u32,
            fall: 1 + self.below(100) as u32,
            rise: 1 + self.below(100) as u32,
            ..check
        })
    }

    fn advisor(&mut self) -> Advisor {
        let plain = [
            Advisor::Tcp,
            Advisor::Smtp,
            Advisor::Imap,
            Advisor::Pop3,
            Advisor::Ftp,
            Advisor::Ldap,
            Advisor::Ssh,
            Advisor::Redis,
            Advisor::Postgres,
            Advisor::Mysql,
            Advisor::Ping,
        ];
        let host = ["shop.example.org:8080", "[2001:db8::1]", "a_b"];
        let records =
            [DnsRecord::A, DnsRecord::Aaaa, DnsRecord::Mx, DnsRecord::Txt, DnsRecord::Ns, DnsRecord::Soa];
        match self.below(8) {
            0 => Advisor::Tls { name: self.flip().then(|| self.of(&host).to_owned()) },
            1 | 2 => Advisor::Http(Http {
                tls: self.flip(),
                h2: self.flip(),
                method: self.of(&["GET", "OPTIONS", "X"]).to_owned(),
                path: self.of(&["/", "/a%20b?c=\"d'\\"]).to_owned(),
                host: self.flip().then(|| self.of(&host).to_owned()),
                headers: (0..self.below(3))
                    .map(|number| (format!("X-{number}"), "a: \"b\" \\c".to_owned()))
                    .collect(),
                expect: (0..1 + self.below(3))
                    .map(|_| {
                        let first = 100 + self.below(500) as u16;
                        (first, first + self.below(600 - u64::from(first)) as u16)
                    })
                    .collect(),
                body: self.flip().then(|| self.of(&["ready", "é \"'\\", ", h2"]).to_owned()),
            }),
            3 => Advisor::Dns {
                name: self.of(&[".", "example.org", "_x.y."]).to_owned(),
                record: self.of(&records),
            },
            4 => Advisor::Udp {
                send: self.bytes(),
                expect: Some(self.bytes()).filter(|bytes| !bytes.is_empty()),
            },
            5 => Advisor::Exec { command: vec!["/é \"'".to_owned(), String::new(), "$(x)".to_owned()] },
            _ => plain[self.below(plain.len() as u64) as usize].clone(),
        }
    }

    fn bytes(&mut self) -> Vec<u8> {
        (0..self.below(20)).map(|_| self.next() as u8).collect()
    }

    pub(crate) fn write_balance(&mut self, site: &Site, text: &mut String) {
        let Health { panic_below, slow_start, damping, certificate_days } = site.health;
        let (slow_start, damping) = (self.duration(slow_start), self.duration(damping));
        let _ =
            writeln!(text, "[health]\npanic_below = {panic_below}\ncertificate_days = {certificate_days}");
        let _ = writeln!(text, "slow_start = \"{slow_start}\"\ndamping = \"{damping}\"");
        let Manager { interval, proportions: [active, new, latency, load], sensitivity, smoothing, bound } =
            site.manager;
        let _ = writeln!(
            text,
            "[manager]\ninterval = \"{}\"\nsensitivity = {sensitivity}",
            self.duration(interval)
        );
        let _ = writeln!(text, "smoothing = {smoothing}\nbound = {bound}");
        let _ = writeln!(
            text,
            "proportions = {{ load = {load}, latency = {latency}, new = {new}, active = {active} }}"
        );
        let Agents { enabled, port, timeout, key_file } = &site.agents;
        let _ = writeln!(text, "[agents]\nport = {port}\ntimeout = \"{}\"", self.duration(*timeout));
        if !*enabled || self.flip() {
            let _ = writeln!(text, "enabled = {enabled}");
        }
        if let Some(path) = key_file {
            let _ = writeln!(text, "key_file = {path:?}");
        }
    }

    /// What a service says besides ports, servers and affinity.
    pub(crate) fn write_criteria(&mut self, service: &Service, text: &mut String) {
        let is_usual = service.protocol == Protocol::Tcp && matches!(service.ports, Ports::Exact(_));
        match &service.check {
            None if !is_usual && self.flip() => {}
            None => *text += "check = { none = true }\n",
            Some(check) if is_usual && *check == Check::new(Advisor::Tcp) && self.flip() => {}
            Some(check) => {
                let _ = writeln!(text, "check = {{ {} }}", self.written(check).join(", "));
            }
        }
        let _ = writeln!(text, "on_down = '{}'", service.on_down.word());
        let _ = writeln!(text, "weights = '{}'", if service.managed { "managed" } else { "fixed" });
        if let Some(sorry) = service.sorry {
            let _ = writeln!(text, "sorry = '{}'", pool_name(service, sorry));
        }
        for (key, clients) in [("allow", &service.allow), ("deny", &service.deny)] {
            if !clients.is_empty() {
                let _ = writeln!(text, "{key} = {:?}", self.prefixes(clients));
            }
        }
    }

    /// A whole address may go without its length.
    fn prefixes(&mut self, all: &[Prefix]) -> Vec<String> {
        let mut text = |prefix: &Prefix| {
            let whole = prefix.bits == if prefix.address.is_ipv4() { 32 } else { 128 };
            if whole && self.flip() { prefix.address.to_string() } else { prefix.to_string() }
        };
        all.iter().map(&mut text).collect()
    }

    fn written(&mut self, check: &Check) -> Vec<String> {
        let mut keys = self.advisor_keys(&check.advisor);
        let is_default_road = (check.via == Via::Server) == matches!(check.advisor, Advisor::Exec { .. });
        if !is_default_road || self.flip() {
            keys.push(format!("via = '{}'", check.via.word()));
        }
        keys.extend(check.port.map(|port| format!("port = {port}")));
        let (slow, fast) = (Check::new(Advisor::Tcp), Check::fast(Advisor::Tcp));
        let timed = |other: &Check| Check {
            advisor: check.advisor.clone(),
            via: check.via,
            port: check.port,
            ..other.clone()
        };
        if *check == timed(&fast) {
            keys.push("profile = 'fast'".to_owned());
        } else if *check != timed(&slow) || self.flip() {
            let over_tcp =
                !matches!(check.advisor, Advisor::Udp { .. } | Advisor::Ping | Advisor::Exec { .. });
            for (key, time) in [
                ("interval", check.interval),
                ("fast_interval", check.fast_interval),
                ("connect", check.connect),
                ("timeout", check.timeout),
            ] {
                if key != "connect" || over_tcp {
                    keys.push(format!("{key} = '{}'", self.duration(time)));
                }
            }
            keys.push(format!("fall = {}", check.fall));
            keys.push(format!("rise = {}", check.rise));
        }
        keys.reverse();
        keys
    }

    fn advisor_keys(&mut self, advisor: &Advisor) -> Vec<String> {
        let word = advisor.word();
        match advisor {
            Advisor::Tls { name } => {
                let host = name.iter().map(|name| format!("host = '{name}'"));
                ["tls = true".to_owned()].into_iter().chain(host).collect()
            }
            Advisor::Http(http) => self.http_keys(word, http),
            Advisor::Dns { name, record } => {
                vec![format!("dns = '{name}'"), format!("record = '{}'", record.word())]
            }
            Advisor::Udp { send, expect } => {
                let answer = expect.iter().map(|answer| format!("answer = \"{}\"", escapes(answer)));
                [format!("udp = \"{}\"", escapes(send))].into_iter().chain(answer).collect()
            }
            Advisor::Exec { command } => vec![format!("exec = {command:?}")],
            _ => vec![format!("{word} = true")],
        }
    }

    fn http_keys(&mut self, word: &str, http: &Http) -> Vec<String> {
        let Http { tls: _, h2, method, path, host, headers, expect, body } = http;
        let mut keys = vec![format!("{word} = {path:?}")];
        if *h2 || self.flip() {
            keys.push(format!("h2 = {h2}"));
        }
        if method != "GET" || self.flip() {
            keys.push(format!("method = '{method}'"));
        }
        keys.extend(host.iter().map(|host| format!("host = '{host}'")));
        if !headers.is_empty() {
            let headers: Vec<_> = headers.iter().map(|(name, value)| format!("{name}: {value}")).collect();
            keys.push(format!("headers = {headers:?}"));
        }
        let range = |(first, last): &(u16, u16)| {
            if first == last { first.to_string() } else { format!("'{first}-{last}'") }
        };
        let ranges: Vec<_> = expect.iter().map(range).collect();
        match &ranges[..] {
            [one] if self.flip() => keys.push(format!("expect = {one}")),
            all => keys.push(format!("expect = [{}]", all.join(", "))),
        }
        keys.extend(body.iter().map(|body| format!("body = {body:?}")));
        keys
    }

    pub(crate) fn write_rules(&mut self, cluster: &str, service: &Service, text: &mut String) {
        for Rule { when, pool } in &service.rules {
            let _ = writeln!(text, "[[cluster.'{cluster}'.service.rule]]");
            let _ = match when {
                Condition::From(clients) => writeln!(text, "from = {:?}", self.prefixes(clients)),
                Condition::During(window) => writeln!(text, "during = '{window}'"),
                Condition::Active(bound) => writeln!(text, "active = {bound}"),
                Condition::Rate(bound) => writeln!(text, "rate = {bound}"),
            };
            let _ = writeln!(text, "pool = '{}'", pool_name(service, *pool));
        }
    }
}

fn pool_name(service: &Service, number: u8) -> &str {
    usize::from(number).checked_sub(1).map_or("main", |further| &service.pools[further])
}

/// Every byte by its escape, in a text whose backslashes are escaped themselves.
fn escapes(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("\\\\x{byte:02X}")).collect()
}
