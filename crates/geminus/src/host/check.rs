//! `geminus host check`: what is wrong with a content host, and what mends it.

use std::net::IpAddr;

use serde::Serialize;

use crate::failure::{Exit, Failure};
use crate::host::args::CheckArgs;
use crate::host::findings::{Finding, Grade, findings};
use crate::host::seen::Seen;
use crate::host::setup::{open, survey};
use crate::host::wanted::Wanted;
use crate::screen::{Look, Tone};
use crate::table::{Cell, Page};
use crate::verbs::{json_text, print};

/// The answer for programs.
#[derive(Debug, Serialize)]
struct Answer<'a> {
    /// Whether nothing is wrong.
    ok: bool,
    addresses: &'a [IpAddr],
    interface: &'a str,
    findings: &'a [Finding],
}

/// Looks, judges, prints; the answer is no if anything is wrong.
pub(crate) fn run(args: &CheckArgs, look: Look) -> Result<Exit, Failure> {
    let mut netlink = open()?;
    let (network, wanted) = survey(&mut netlink, &args.site)?;
    let wanted = Wanted { ports: args.ports.clone(), clients: args.clients.clone(), ..wanted };
    let seen = Seen::read(&mut netlink, network, &wanted)?;
    let findings = findings(&wanted, &seen);
    let wrong = findings.iter().any(|finding| finding.grade == Grade::Wrong);
    print(&if args.json {
        let (addresses, interface) = (&wanted.addresses, &wanted.interface);
        json_text(&Answer { ok: !wrong, addresses, interface, findings: &findings })
    } else {
        render(&wanted, &findings, look)
    })?;
    Ok(if wrong { Exit::No } else { Exit::Done })
}

/// The lines for people: each finding, and under it what mends it.
fn render(wanted: &Wanted, findings: &[Finding], look: Look) -> String {
    let mut page = Page::new(look);
    for finding in findings {
        page.line(&[grade(finding.grade), Cell::plain(&finding.message)]);
        if let Some(mend) = &finding.mend {
            page.line(&[Cell::new(Tone::Faint, "         mend:"), Cell::new(Tone::Strong, mend)]);
        }
    }
    if wanted.ports.is_empty() {
        let note = "no --port was given: whether the service is bound to the address was not looked at";
        page.line(&[Cell::new(Tone::Faint, note)]);
    }
    page.into_text()
}

fn grade(grade: Grade) -> Cell {
    match grade {
        Grade::Ok => Cell::new(Tone::Good, "ok      "),
        Grade::Doubtful => Cell::new(Tone::Doubtful, "doubtful"),
        Grade::Wrong => Cell::new(Tone::Bad, "wrong   "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::findings::sample::{ip, placed, seen, wanted};
    use crate::host::sysctl::Sysctl;

    const PLAIN: Look = Look { colour: false, eyes: true };

    #[test]
    fn each_fault_stands_over_what_mends_it() {
        let mut seen = seen();
        seen.network.addresses.retain(|placed| placed.address != ip("2001:db8:1::80"));
        seen.network.addresses.push(placed(2, "198.51.100.80", 24));
        seen.settings.insert(Sysctl::v4("all", "arp_announce"), "0".into());
        seen.settings.insert(Sysctl::v4("eth0", "arp_announce"), "0".into());
        seen.network.links[1].mtu = 1400;
        insta::assert_snapshot!(render(&wanted(), &findings(&wanted(), &seen), PLAIN));
    }

    #[test]
    fn what_was_not_looked_at_is_said() {
        let without = Wanted { ports: vec![], ..wanted() };
        assert!(render(&without, &findings(&without, &seen()), PLAIN).contains("no --port was given"));
    }
}
