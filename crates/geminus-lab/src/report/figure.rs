//! How two dispatchers stand to each other: one small drawing for each layout.

use maud::{Markup, html};
use plotters::style::RGBColor;

use crate::pair::Topology;

use super::palette;

/// Where the boxes stand, in the drawing's own units.
const DISPATCHERS_X: f64 = 96.0;
const SERVERS_X: f64 = 214.0;

/// One dispatcher: its name and what it is.
struct Node {
    name: &'static str,
    role: &'static str,
    /// Whether it is a server of the cluster too.
    serves: bool,
}

pub(super) fn picture(topology: Topology) -> Markup {
    let [upper, lower] = nodes(topology);
    html! {
        figure.small {
            svg viewBox="0 0 300 168" role="img" aria-label="The layout of the site" {
                // The client's ways, the heartbeats, the servers' ways.
                path.line d="M60 84 H78 V40 H96 M78 84 V128 H96" {}
                path.beat d="M144 64 V104" {}
                (server_ways(&upper, 40.0))
                (server_ways(&lower, 128.0))
                (small_box(6.0, 84.0, 54.0, "clients", "", None))
                (node(&upper, 40.0))
                (node(&lower, 128.0))
                @for (y, name) in [(26.0, "web1"), (84.0, "web2"), (142.0, "web3")] {
                    (small_box(SERVERS_X + 26.0, y, 54.0, name, "", None))
                }
            }
        }
    }
}

const fn nodes(topology: Topology) -> [Node; 2] {
    let (roles, serve) = match topology {
        Topology::Pair | Topology::PairAcrossRouter => (["primary", "backup"], [false, false]),
        Topology::Collocated => (["primary", "backup, server"], [false, true]),
        Topology::Mutual => (["shop, then mail", "mail, then shop"], [false, false]),
        Topology::TwoBoxes => (["shop, and server", "mail, and server"], [true, true]),
    };
    [
        Node { name: "alpha", role: roles[0], serves: serve[0] },
        Node { name: "beta", role: roles[1], serves: serve[1] },
    ]
}

fn node(node: &Node, y: f64) -> Markup {
    small_box(DISPATCHERS_X, y, 96.0, node.name, node.role, Some((palette::node(node.name), node.serves)))
}

fn server_ways(node: &Node, y: f64) -> Markup {
    let from = DISPATCHERS_X + 96.0;
    html! {
        @for to in [26.0, 84.0, 142.0] {
            path.line d=(format!("M{from} {y} C{mid} {y} {mid} {to} {end} {to}", mid = from + 24.0, end = SERVERS_X + 26.0))
                opacity=(if node.serves { "0.9" } else { "0.6" }) {}
        }
    }
}

/// A box around its middle line; a dispatcher has its colour, one that serves a second border.
fn small_box(x: f64, y: f64, width: f64, name: &str, role: &str, colour: Option<(RGBColor, bool)>) -> Markup {
    let (height, middle) = (if role.is_empty() { 34.0 } else { 48.0 }, x + width / 2.0);
    let top = y - height / 2.0;
    html! {
        @if let Some((_, true)) = colour {
            rect.box x=(x - 5.0) y=(top - 5.0) width=(width + 10.0) height=(height + 10.0) rx="11" {}
        }
        rect.box x=(x) y=(top) width=(width) height=(height) rx="8" {}
        @if let Some((colour, _)) = colour {
            rect x=(x) y=(top) width="7" height=(height) rx="3.5" fill=(palette::css(colour)) {}
        }
        text.title x=(middle) y=(if role.is_empty() { y + 4.5 } else { y - 1.0 }) { (name) }
        @if !role.is_empty() { text.role x=(middle + 2.0) y=(y + 14.0) { (role) } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backup_that_serves_is_drawn_as_one() {
        let page = picture(Topology::Collocated).into_string();
        assert!(page.contains("backup, server") && page.contains(r#"rx="11""#));
        assert!(!picture(Topology::Pair).into_string().contains(r#"rx="11""#));
    }
}
