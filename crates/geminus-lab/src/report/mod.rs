//! The report: one page that needs nothing but a browser.

mod charts;
mod figure;
mod palette;
mod takeover;
mod topology;

use anyhow::Result;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use plotters::style::RGBColor;

use crate::demo::{Promise, Story};
use crate::demo::{bytes, grouped};

const STYLE: &str = include_str!("style.css");

/// Writes the page.
///
/// # Errors
/// When a chart cannot be drawn.
pub fn page(story: &Story) -> Result<String> {
    let arrivals = charts::arrivals(story)?;
    let stayers = charts::stayers(story)?;
    let cost = charts::cost(story)?;
    let shares = charts::shares(story)?;
    let takeovers = story.takeovers.iter().map(takeover::section).collect::<Result<Vec<_>>>()?;
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { "Geminus: " (verdict(story)) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                (masthead(story))
                main {
                    (tiles(story))
                    section {
                        h2 { "The short way home" }
                        p.lead {
                            "A request goes through the dispatcher, which changes nothing but the hardware address on the frame. "
                            "The server owns the cluster's address too and answers the client itself."
                        }
                        (topology::picture(story))
                    }
                    section {
                        h2 { "Everything that happened, as the clients saw it" }
                        p.lead { "New connections answered each second, by the server that answered. Nobody was told to retry." }
                        (legend(&topology::names(story)))
                        (chart(&arrivals))
                        p.lead { "The same minute on " b { "connections that were open from the first second to the last" }
                            ": drained, joined by a server or without a daemon, they stay where they are." }
                        (chart(&stayers))
                    }
                    @for takeover in &takeovers { (takeover) }
                    section {
                        h2 { "The promises" }
                        div.promises { @for promise in &story.promises { (card(promise)) } }
                    }
                    section.pair {
                        div {
                            h2 { "Weights, promised and measured" }
                            p.lead { "Bars are what each server got of the new connections; the line is what its weight promises." }
                            (chart(&shares))
                        }
                        div {
                            h2 { "What it costs" }
                            p.lead { "Share of one processor: the program in the kernel, which sees every packet, and the daemon, which sees none." }
                            p.legend {
                                (key(palette::REQUEST, "program"))
                                (key(palette::REPLY, "daemon"))
                            }
                            (chart(&cost))
                        }
                    }
                }
                footer {
                    p { "See it yourself: " code { "cargo xtask demo" } ". Everything ran in network namespaces of one machine, on documentation addresses." }
                }
            }
        }
    };
    Ok(page.into_string())
}

fn verdict(story: &Story) -> String {
    format!("{} of {} promises kept", story.kept_count(), story.promises.len())
}

fn masthead(story: &Story) -> Markup {
    let about = &story.about;
    html! {
        header {
            div.inner {
                (gate())
                div.name {
                    h1 { "Geminus" }
                    p { "One address, many servers, and replies that take the short way." }
                }
                div.verdict.(if story.kept() { "kept" } else { "broken" }) {
                    strong { (verdict(story)) }
                    span { (about.date) " · " (format!("{:.0}", about.took.as_secs_f64())) " s" }
                    span { "geminus " (about.version) " · Linux " (about.kernel) " · " (about.processors) " processors · XDP " (about.mode) }
                }
            }
        }
    }
}

/// The gate with twin doors.
fn gate() -> Markup {
    html! {
        svg.gate viewBox="0 0 64 64" aria-hidden="true" {
            path d="M4 60V22L32 6l28 16v38" fill="none" stroke="currentColor" stroke-width="4" stroke-linejoin="round" {}
            path d="M14 60V36a8 8 0 0 1 16 0v24z" fill="currentColor" {}
            path d="M34 60V36a8 8 0 0 1 16 0v24z" fill="currentColor" opacity=".55" {}
        }
    }
}

fn tiles(story: &Story) -> Markup {
    let (answered, lost) = story.requests;
    let tile = |value: String, unit: &str, what: String| {
        html! { div.tile { p.value { (value) @if !unit.is_empty() { small { " " (unit) } } } p { (what) } } }
    };
    html! {
        div.tiles {
            (tile(grouped(answered), "", format!("requests answered, {} lost", grouped(lost))))
            @if let Some((gap, lost)) = takeover::longest(&story.takeovers) {
                (tile(format!("{:.0}", gap.as_secs_f64() * 1000.0), "ms", format!(
                    "without an answer at most when the active was cut off; {} connections lost", grouped(lost))))
            }
            (tile(grouped(story.restart.lost), "", format!(
                "of {} numbered packets lost over kill -9 and {:.1} s without a daemon",
                grouped(story.restart.sent), story.restart.away.as_secs_f64())))
            (tile(grouped(crossed(story)), "", "replies crossed the dispatcher".to_owned()))
            (tile(format!("{:.0}", story.cost.nanoseconds_per_packet()), "ns", format!(
                "per packet in the kernel, cold caches and interrupts included, over {} packets", grouped(story.cost.program.count))))
            (tile(format!("{:.2}", story.cost.daemon_share() * 100.0), "%", format!(
                "of one processor and {} for the daemon", bytes(story.cost.peak_memory()))))
        }
    }
}

fn crossed(story: &Story) -> u64 {
    story.carried.iter().map(|(_, carried)| carried.replies_in.packets + carried.replies_out.packets).sum()
}

fn card(promise: &Promise) -> Markup {
    html! {
        article.(if promise.kept() { "kept" } else { "broken" }) {
            h3 { span.sign { @if promise.kept() { "✓" } @else { "✗" } } (promise.title) }
            ul {
                @for line in &promise.broken { li.wrong { (line) } }
                @for line in &promise.figures { li { (line) } }
            }
        }
    }
}

fn chart(svg: &str) -> Markup {
    html! { figure { (PreEscaped(svg)) } }
}

fn legend(servers: &[String]) -> Markup {
    html! {
        p.legend { @for (place, name) in servers.iter().enumerate() { (key(palette::server(place), name)) } }
    }
}

fn key(colour: RGBColor, name: &str) -> Markup {
    html! { span { i style=(format!("background:{}", palette::css(colour))) {} (name) } }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::demo::Mark;
    use crate::traffic::Answer;

    fn story() -> Story {
        let answer = |at| Answer { at: Duration::from_millis(at), server: "web1".to_owned() };
        Story {
            promises: vec![Promise {
                title: "a < b",
                broken: vec!["<script>".to_owned()],
                ..Promise::default()
            }],
            arrivals: (0..3000).step_by(10).map(answer).collect(),
            marks: vec![Mark { at: Duration::from_secs(1), what: "kill -9" }],
            ..Story::default()
        }
    }

    #[test]
    fn a_broken_promise_is_said_and_its_words_are_no_markup() {
        let page = page(&story()).unwrap();
        assert!(
            page.contains("0 of 1 promises kept")
                && page.contains("&lt;script&gt;")
                && page.contains("a &lt; b")
        );
        assert!(!page.contains("<script"));
    }

    #[test]
    fn the_page_needs_nothing_from_elsewhere() {
        let page = page(&story()).unwrap();
        let elsewhere = ["src=", "href=", "@import", "url("];
        assert!(elsewhere.iter().all(|word| !page.contains(word)));
    }

    #[test]
    fn a_story_without_any_traffic_still_makes_a_page() {
        assert!(page(&Story::default()).unwrap().contains("0 of 0 promises kept"));
    }
}
