//! A takeover as a chart: where the clients' packets went, and who answered for the addresses.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::Result;
use maud::{Markup, PreEscaped, html};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, VPos};

use crate::demo::{Felt, Held, Takeover, grouped, milliseconds};
use crate::pair::Topology;
use crate::site::Family;

use super::charts::{Area, draw, failed, words};
use super::figure;
use super::palette::{self, FAINT, INK, QUIET};

const WIDTH: u32 = 1060;
/// Of the packets.
const PACKETS: u32 = 220;
/// Of each line of the ribbon.
const LINE: u32 = 24;
/// Left of the charts, where names and numbers stand.
const LEFT: u32 = 96;

/// The section of one takeover.
pub(super) fn section(takeover: &Takeover) -> Result<Markup> {
    let chart = chart(takeover)?;
    Ok(html! {
        section.takeover {
            h2 { (takeover.figure) }
            div.act {
                (figure::picture(takeover.topology.unwrap_or(Topology::Pair)))
                div {
                    p.lead { (takeover.lead) }
                    div.felt { @for felt in worst(&takeover.felt) { (badge(&felt)) } }
                }
            }
            p.legend {
                @for (node, cluster, place) in lanes(takeover) {
                    span {
                        i style=(format!("background:{}", palette::css(palette::lighter(palette::node(node), place)))) {}
                        (node) @if clusters(takeover).len() > 1 { " for " (cluster) }
                    }
                }
            }
            figure { (PreEscaped(chart)) }
            figcaption { "Above: packets from clients a second, counted in the switch by the dispatcher they went to. Below: who answered when a third machine asked for the address, two hundred times a second." }
        }
    })
}

/// The longest gap of any takeover, and connections lost in all of them; none where there was no takeover.
pub(super) fn longest(takeovers: &[Takeover]) -> Option<(Duration, u64)> {
    let felt = takeovers.iter().flat_map(|takeover| &takeover.felt);
    let gap = felt.filter(|felt| felt.phase == "takeover").map(|felt| felt.gap).max()?;
    Some((gap, takeovers.iter().map(|takeover| takeover.connections_lost).sum()))
}

/// Of both families the one that felt more.
fn worst(felt: &[Felt]) -> Vec<Felt> {
    let mut worst: Vec<Felt> = Vec::new();
    for felt in felt {
        match worst.iter_mut().find(|known| known.phase == felt.phase && known.cluster == felt.cluster) {
            Some(known) => {
                known.lost += felt.lost;
                known.gap = known.gap.max(felt.gap);
            }
            None => worst.push(*felt),
        }
    }
    worst
}

fn badge(felt: &Felt) -> Markup {
    let families = format!("{} and {}", Family::V4.name(), Family::V6.name());
    html! {
        div.badge.(if felt.lost == 0 { "none" } else { "some" }) {
            strong { @if felt.lost == 0 { "0 lost" } @else { (milliseconds(felt.gap)) } }
            span { (felt.phase) " of " (felt.cluster) }
            small { (grouped(felt.lost as u64)) " numbered packets lost, " (families) }
        }
    }
}

fn clusters(takeover: &Takeover) -> Vec<&'static str> {
    let names: BTreeSet<&str> = takeover.served.iter().map(|served| served.cluster).collect();
    // The first cluster is the one whose primary is the first node.
    names.into_iter().rev().collect()
}

/// Node, cluster, place of the cluster.
fn lanes(takeover: &Takeover) -> Vec<(&'static str, &'static str, usize)> {
    let clusters = clusters(takeover);
    let place = |cluster: &str| clusters.iter().position(|known| *known == cluster).unwrap_or(0);
    takeover.served.iter().map(|served| (served.node, served.cluster, place(served.cluster))).collect()
}

fn chart(takeover: &Takeover) -> Result<String> {
    let lines = LINE * takeover.served.len().max(1) as u32 + 34;
    draw((WIDTH, PACKETS + lines), |area| {
        let (above, below) = area.split_vertically(PACKETS);
        packets(&above, takeover)?;
        ribbon(&below, takeover)
    })
}

/// Sums of the lanes up to and including each, at the end of each interval.
fn stacked(takeover: &Takeover) -> Vec<Vec<(f64, f64)>> {
    let mut sums: Vec<Vec<(f64, f64)>> = Vec::new();
    for served in &takeover.served {
        let below = sums.last();
        let point = |(place, &(at, rate)): (usize, &(Duration, f64))| {
            let under = below.and_then(|line| line.get(place)).map_or(0.0, |point| point.1);
            (at.as_secs_f64(), under + rate)
        };
        let shown = served.packets_per_second.iter().take_while(|(at, _)| *at <= takeover.length);
        let line = shown.enumerate().map(point).collect();
        sums.push(line);
    }
    sums
}

fn packets(area: &Area<'_>, takeover: &Takeover) -> Result<()> {
    let sums = stacked(takeover);
    let end = takeover.length.as_secs_f64().max(1.0);
    let highest = sums.last().into_iter().flatten().map(|point| point.1).fold(1.0, f64::max);
    // The room above the stack is for the marks.
    let top = highest * 1.5;
    let mut chart = ChartBuilder::on(area)
        .margin_top(6)
        .margin_right(14)
        .x_label_area_size(0)
        .y_label_area_size(LEFT)
        .build_cartesian_2d(0.0..end, 0.0..top)
        .map_err(failed)?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .bold_line_style(FAINT)
        .light_line_style(TRANSPARENT)
        .axis_style(QUIET)
        .label_style(("sans-serif", 13, &QUIET))
        .axis_desc_style(("sans-serif", 13, &QUIET))
        .y_labels(4)
        .y_label_formatter(&|rate| grouped(*rate as u64))
        .y_desc("packets a second")
        .draw()
        .map_err(failed)?;
    for (points, (node, _, place)) in sums.iter().zip(lanes(takeover)).rev() {
        let colour = palette::lighter(palette::node(node), place);
        let filled = AreaSeries::new(points.iter().copied(), 0.0, colour).border_style(WHITE);
        chart.draw_series(filled).map_err(failed)?;
    }
    for (place, mark) in takeover.marks.iter().enumerate() {
        let (at, height) = (mark.at.as_secs_f64(), top * [0.99, 0.88][place % 2]);
        let line = PathElement::new([(at, 0.0), (at, height)], INK.mix(0.55));
        chart.draw_series([line]).map_err(failed)?;
        let late = at > end * 0.85;
        let (text, side) = if late {
            (format!("{}\u{a0}", mark.what), HPos::Right)
        } else {
            (format!("\u{a0}{}", mark.what), HPos::Left)
        };
        let label = Text::new(text, (at, height), words(13, INK, side, VPos::Top));
        chart.draw_series([label]).map_err(failed)?;
    }
    Ok(())
}

fn ribbon(area: &Area<'_>, takeover: &Takeover) -> Result<()> {
    let lanes = lanes(takeover);
    let (end, rows) = (takeover.length.as_secs_f64().max(1.0), lanes.len().max(1) as f64);
    let mut chart = ChartBuilder::on(area)
        .margin_top(4)
        .margin_right(14)
        .x_label_area_size(30)
        .y_label_area_size(LEFT)
        .build_cartesian_2d(0.0..end, 0.0..rows)
        .map_err(failed)?;
    chart
        .configure_mesh()
        .disable_mesh()
        .axis_style(QUIET)
        .label_style(("sans-serif", 13, &QUIET))
        .x_labels(12)
        .y_labels(0)
        .x_label_formatter(&|second| format!("{second:.0} s"))
        .draw()
        .map_err(failed)?;
    for (row, &(node, cluster, place)) in lanes.iter().enumerate() {
        // The first lane is the uppermost.
        let bottom = rows - row as f64 - 0.85;
        let colour = palette::lighter(palette::node(node), place);
        let mine = |held: &&Held| held.node == node && held.cluster == cluster && held.from < takeover.length;
        for held in takeover.held.iter().filter(mine) {
            let corners =
                [(held.from.as_secs_f64(), bottom), (held.until.as_secs_f64().min(end), bottom + 0.7)];
            chart.draw_series([Rectangle::new(corners, colour.filled())]).map_err(failed)?;
        }
        // Left of the axis, in the area's own pixels: the plot is exactly as high as its lines.
        let place = ((LEFT - 8) as i32, 4 + (LINE * row as u32 + LINE / 2) as i32);
        let name = format!("{node}: {cluster}");
        area.draw(&Text::new(name, place, words(13, INK, HPos::Right, VPos::Center))).map_err(failed)?;
    }
    for mark in &takeover.marks {
        let at = mark.at.as_secs_f64();
        chart.draw_series([PathElement::new([(at, 0.0), (at, rows)], INK.mix(0.55))]).map_err(failed)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::{Mark, Served};

    fn takeover() -> Takeover {
        let served = |node, rates: [f64; 2]| Served {
            node,
            cluster: "shop",
            packets_per_second: (1..).map(Duration::from_secs).zip(rates).collect(),
        };
        let felt = |family, lost| Felt {
            cluster: "shop",
            family,
            phase: "takeover",
            gap: Duration::from_millis(40 + lost as u64),
            lost,
        };
        Takeover {
            figure: "Figure 10",
            served: vec![served("alpha", [900.0, 0.0]), served("beta", [0.0, 800.0])],
            held: vec![Held {
                cluster: "shop",
                node: "alpha",
                from: Duration::ZERO,
                until: Duration::from_secs(1),
            }],
            felt: vec![felt(Family::V4, 3), felt(Family::V6, 4)],
            marks: vec![Mark { at: Duration::from_secs(1), what: "alpha is cut off" }],
            length: Duration::from_secs(2),
            ..Takeover::default()
        }
    }

    #[test]
    fn lanes_are_stacked_in_their_order() {
        assert_eq!(stacked(&takeover()), [[(1.0, 900.0), (2.0, 0.0)], [(1.0, 900.0), (2.0, 800.0)]]);
    }

    #[test]
    fn of_two_families_the_longer_gap_and_all_losses_are_shown() {
        let page = section(&takeover()).unwrap().into_string();
        assert!(page.contains("44.0 ms") && page.contains("7 numbered packets lost"), "{page}");
        assert!(page.contains("alpha is cut off") && page.contains("alpha: shop"));
    }

    #[test]
    fn a_takeover_of_which_nothing_was_seen_still_makes_a_section() {
        assert!(section(&Takeover::default()).is_ok());
    }
}
