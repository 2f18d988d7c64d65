//! `geminus events`: what happened, and what happens.

use geminus_api::{Event, EventsQuery, Outcome, Request};

use crate::args::EventsArgs;
use crate::client::PATIENCE;
use crate::failure::{Exit, Failure, cannot_print};
use crate::figures::moment;
use crate::screen::{Delivered, Look, Tone, show};
use crate::table::{Cell, Page};
use crate::verbs::{another_answer, client, in_json};

/// Asks and prints each event when it comes; `complaints` is how standard error looks.
pub(crate) fn run(args: &EventsArgs, look: Look, complaints: Look) -> Result<Exit, Failure> {
    follow(args, look, complaints).map_err(|failure| in_json(args.daemon.json, failure))
}

fn follow(args: &EventsArgs, look: Look, complaints: Look) -> Result<Exit, Failure> {
    let query = EventsQuery { follow: args.follow, after: args.after };
    let mut replies = client(&args.daemon).call(Request::Events(query))?;
    let mut begun = false;
    let patience = if args.follow { None } else { Some(PATIENCE) };
    while let Some(outcome) = replies.next(patience)? {
        let event = match outcome {
            Outcome::Event(event) => event,
            // A follower that reads too slowly is told what it missed, and goes on.
            Outcome::Error(error) if begun => {
                eprint!("{}", Failure::from(error).text(complaints));
                continue;
            }
            Outcome::Error(error) => return Err(error.into()),
            other => return Err(another_answer(&other)),
        };
        begun = true;
        let line = if args.daemon.json { json_line(&event) } else { render(&event, look) };
        if show(&line).map_err(|error| cannot_print(&error))? == Delivered::NobodyReads {
            return Ok(Exit::Done);
        }
    }
    if args.follow { Err(Failure::no("the daemon stopped").hint("its log says why")) } else { Ok(Exit::Done) }
}

fn json_line(event: &Event) -> String {
    serde_json::to_string(event).expect("published types are plain data") + "\n"
}

/// The line for people. The widths are those of usual events: a stream cannot be measured in advance.
pub(crate) fn render(event: &Event, look: Look) -> String {
    let mut page = Page::new(look);
    page.line(&[
        Cell::new(Tone::Faint, moment(event.unix_ms)),
        Cell::new(Tone::Faint, format!("{:>6}", event.number)),
        Cell::new(Tone::Strong, format!("{:<18}", event.kind)),
        Cell::plain(&event.message),
    ]);
    page.into_text()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verbs::sample;

    #[test]
    fn every_event_is_one_line() {
        let text: String = sample::events().iter().map(|event| render(event, sample::EYES)).collect();
        insta::assert_snapshot!(text);
    }

    #[test]
    fn an_event_in_json_is_one_line() {
        for event in sample::events() {
            let line = json_line(&event);
            assert_eq!(line.matches('\n').count(), 1, "{line}");
            assert_eq!(serde_json::from_str::<Event>(&line).expect("an event"), event);
        }
    }
}
