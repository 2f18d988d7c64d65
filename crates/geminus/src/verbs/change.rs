//! `geminus drain`, `undrain`, `weight`, `takeover` and `reload`: everything that changes a running dispatcher.

use geminus_api::{Changed, Outcome, Request, ServerQuery, TakeoverQuery, WeightQuery};

use crate::args::{DaemonArgs, DrainArgs, ReloadArgs, TakeoverArgs, UndrainArgs, Weight, WeightArgs};
use crate::failure::{Exit, Failure};
use crate::screen::Look;
use crate::table::{Cell, Page};
use crate::verbs::{another_answer, ask, json_text, print};

/// No new flows to a server.
pub(crate) fn drain(args: &DrainArgs, look: Look) -> Result<Exit, Failure> {
    let query = ServerQuery {
        server: args.server.clone(),
        cluster: args.cluster.clone(),
        release_after_seconds: args.deadline.map(|deadline| deadline.as_secs()),
    };
    change(&args.daemon, Request::Drain(query), look)
}

/// New flows to a server again.
pub(crate) fn undrain(args: &UndrainArgs, look: Look) -> Result<Exit, Failure> {
    let (server, cluster) = (args.server.clone(), args.cluster.clone());
    change(&args.daemon, Request::Undrain(ServerQuery { server, cluster, release_after_seconds: None }), look)
}

/// Another weight for a server.
pub(crate) fn weight(args: &WeightArgs, look: Look) -> Result<Exit, Failure> {
    let weight = match args.weight {
        Weight::Fixed(weight) => Some(weight),
        Weight::Configured => None,
    };
    let query = WeightQuery { server: args.server.clone(), cluster: args.cluster.clone(), weight };
    change(&args.daemon, Request::Weight(query), look)
}

/// Active for what the partner is active for.
pub(crate) fn takeover(args: &TakeoverArgs, look: Look) -> Result<Exit, Failure> {
    let query = TakeoverQuery { cluster: args.cluster.clone(), force: args.force };
    change(&args.daemon, Request::Takeover(query), look)
}

/// The configuration again.
pub(crate) fn reload(args: &ReloadArgs, look: Look) -> Result<Exit, Failure> {
    change(&args.daemon, Request::Reload, look)
}

fn change(daemon: &DaemonArgs, request: Request, look: Look) -> Result<Exit, Failure> {
    match ask(daemon, request)? {
        Outcome::Changed(changed) if daemon.json => print(&json_text(&changed)),
        Outcome::Changed(changed) => print(&render(&changed, look)),
        other => Err(another_answer(&other)),
    }
}

/// A line for each change.
pub(crate) fn render(changed: &Changed, look: Look) -> String {
    let mut page = Page::new(look);
    for change in &changed.changes {
        page.line(&[Cell::plain(change)]);
    }
    if changed.changes.is_empty() {
        page.line(&["nothing changed".into()]);
    }
    page.into_text()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verbs::sample;

    #[test]
    fn every_change_is_one_line() {
        let changed = Changed { changes: vec!["web1 of shop tcp/80: draining".into(), "a\nb".into()] };
        assert_eq!(render(&changed, sample::EYES), "web1 of shop tcp/80: draining\na\\nb\n");
    }

    #[test]
    fn no_change_is_said() {
        assert_eq!(render(&Changed { changes: vec![] }, sample::EYES), "nothing changed\n");
    }
}
