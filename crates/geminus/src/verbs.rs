//! One module for each verb: what it asks, and how the answer looks.

pub(crate) mod change;
pub(crate) mod check;
pub(crate) mod events;
pub(crate) mod explain;
pub(crate) mod flows;
pub(crate) mod key;
pub(crate) mod manual;
pub(crate) mod run;
pub(crate) mod servers;
pub(crate) mod status;

#[cfg(test)]
mod sample;

use geminus_api::{Outcome, Request};
use serde::Serialize;

use crate::args::DaemonArgs;
use crate::client::Client;
use crate::failure::{Exit, Failure, cannot_print};
use crate::screen::show;

/// The client for the daemon that the arguments name.
fn client(daemon: &DaemonArgs) -> Client {
    Client::new(&daemon.runtime_dir, daemon.socket.as_deref())
}

/// Asks for one thing; under `--json` a refusal is printed as JSON as well.
fn ask(daemon: &DaemonArgs, request: Request) -> Result<Outcome, Failure> {
    client(daemon).ask(request).map_err(|failure| in_json(daemon.json, failure))
}

/// Prints a failure on standard output where programs read it; the line for people follows on standard error.
fn in_json(json: bool, failure: Failure) -> Failure {
    if json {
        let outcome = Outcome::Error(failure.error.clone());
        // The failure itself is the more important news than one of printing it.
        let _ = show(&json_text(&outcome));
    }
    failure
}

/// The object as indented JSON.
pub(crate) fn json_text<T: Serialize>(object: &T) -> String {
    serde_json::to_string_pretty(object).expect("published types are plain data") + "\n"
}

/// Prints the text and is done.
pub(crate) fn print(text: &str) -> Result<Exit, Failure> {
    show(text).map(|_| Exit::Done).map_err(|error| cannot_print(&error))
}

/// The daemon answered, but something else.
fn another_answer(outcome: &Outcome) -> Failure {
    let kind = match outcome {
        Outcome::Status(_) => "a status",
        Outcome::Servers(_) => "servers",
        Outcome::Flows(_) => "flows",
        Outcome::Explanation(_) => "an explanation",
        Outcome::Changed(_) => "a change",
        Outcome::Event(_) => "an event",
        Outcome::Error(_) => "an error",
    };
    Failure::no(format!("the daemon answered another question, with {kind}"))
        .hint("restart the daemon with this release of geminus")
}
