//! The picture of the site, with what was carried on it while replies were heavy.

use maud::{Markup, html};

use crate::demo::{Story, bytes, grouped};
use crate::measure::Volume;
use crate::site::{CLIENTS, CLUSTER, ROUTER};

use super::palette::{self, REPLY, REQUEST};

/// Where things stand, in the picture's own units.
const SERVERS_X: f64 = 860.0;
const TOP: f64 = 40.0;
const STEP: f64 = 84.0;

pub(super) fn picture(story: &Story) -> Markup {
    let servers = names(story);
    let height = TOP * 2.0 + STEP * servers.len().max(3) as f64 + 40.0;
    let middle = TOP + STEP * (servers.len().max(3) as f64 - 1.0) / 2.0 + 30.0;
    let dispatcher = height - 66.0;
    let (requests, replies, crossed) = sums(story);
    html! {
        figure.site {
            svg viewBox=(format!("0 0 1060 {height}")) role="img" aria-label="The way of requests and replies" {
                // Requests go down to the dispatcher and back to the switch; replies do not.
                (way("request", &format!("M120 {up} H500 V{d} M540 {d} V{up}", up = middle - 9.0, d = dispatcher - 26.0)))
                (way("reply", &format!("M560 {down} H120", down = middle + 9.0)))
                @for (place, _) in servers.iter().enumerate() {
                    @let y = row(place);
                    (way("request", &format!("M580 {m} C700 {m} 720 {y} {SERVERS_X} {y}", m = middle - 9.0, y = y - 7.0)))
                    (way("reply", &format!("M{SERVERS_X} {y} C720 {y} 700 {m} 580 {m}", m = middle + 9.0, y = y + 7.0)))
                }
                (machine(30.0, middle, 120.0, "clients", &format!("{CLIENTS} addresses"), "box"))
                (machine(230.0, middle, 120.0, "router", &ROUTER.v4.to_string(), "box"))
                (machine(460.0, middle, 120.0, "switch", "", "box"))
                (machine(430.0, dispatcher, 180.0, &story.about.node, &format!("owns {}", CLUSTER.v4), "box dispatcher"))
                @for (place, name) in servers.iter().enumerate() {
                    (server(place, name, story))
                }
                (note(640.0, dispatcher - 8.0, &format!("requests {}", volume(requests)), &palette::css(REQUEST)))
                text.zero x="640" y=(dispatcher + 18.0) fill=(palette::css(REPLY)) { "replies " (grouped(crossed)) }
                (note(160.0, middle + 62.0, &format!("replies {}", volume(replies)), &palette::css(REPLY)))
                (note(160.0, middle - 46.0, &format!("requests {}", volume(requests)), &palette::css(REQUEST)))
            }
            figcaption { "Frames counted in the switch during the full load, IPv4 and IPv6 together." }
        }
    }
}

/// Every server that ever answered, so that one that joined is in the picture.
pub(super) fn names(story: &Story) -> Vec<String> {
    let mut names: Vec<String> = story.arrivals.iter().map(|answer| answer.server.clone()).collect();
    names.sort_unstable();
    names.dedup();
    names
}

fn sums(story: &Story) -> (Volume, Volume, u64) {
    let mut sums = (Volume::default(), Volume::default(), 0);
    for (_, carried) in &story.carried {
        sums.0 = sums.0.plus(carried.requests_in);
        sums.1 = sums.1.plus(carried.replies_direct);
        sums.2 += carried.replies_in.packets + carried.replies_out.packets;
    }
    sums
}

fn volume(volume: Volume) -> String {
    format!("{} packets, {}", grouped(volume.packets), bytes(volume.bytes))
}

fn row(place: usize) -> f64 {
    TOP + STEP * place as f64 + 30.0
}

fn machine(x: f64, y: f64, width: f64, name: &str, below: &str, class: &str) -> Markup {
    let middle = x + width / 2.0;
    html! {
        rect class=(class) x=(x) y=(y - 26.0) width=(width) height="52" rx="10" {}
        @if below.is_empty() {
            text.title x=(middle) y=(y + 5.0) { (name) }
        } @else {
            text.title x=(middle) y=(y - 2.0) { (name) }
            text.address x=(middle) y=(y + 15.0) { (below) }
        }
    }
}

fn server(place: usize, name: &str, story: &Story) -> Markup {
    let y = row(place);
    let weight = story.about.servers.iter().find(|(server, _)| server == name).map(|(_, weight)| *weight);
    let words = weight.map_or_else(|| "joined later".to_owned(), |weight| format!("nginx, weight {weight}"));
    html! {
        rect.box x=(SERVERS_X) y=(y - 26.0) width="170" height="52" rx="10" {}
        rect x=(SERVERS_X) y=(y - 26.0) width="8" height="52" rx="4" fill=(palette::css(palette::server(place))) {}
        text.title x=(SERVERS_X + 88.0) y=(y - 2.0) { (name) }
        text.address x=(SERVERS_X + 88.0) y=(y + 15.0) { (words) }
    }
}

fn way(kind: &str, path: &str) -> Markup {
    let colour = if kind == "reply" { REPLY } else { REQUEST };
    html! { path class=(format!("way {kind}")) d=(path) stroke=(palette::css(colour)) {} }
}

fn note(x: f64, y: f64, words: &str, colour: &str) -> Markup {
    html! { text.note x=(x) y=(y) fill=(colour) { (words) } }
}
