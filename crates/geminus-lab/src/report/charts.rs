//! The charts, drawn by plotters into SVG text.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Result, anyhow};
use plotters::coord::Shift;
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::demo::{Mark, Story};
use crate::site::Family;
use crate::traffic::Answer;

use super::palette::{self, FAINT, INK, QUIET, REPLY, REQUEST};

pub(super) type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

const WIDE: (u32, u32) = (1060, 330);
const HALF: (u32, u32) = (520, 300);
const BIN: Duration = Duration::from_millis(500);

/// New connections a second, by server.
pub(super) fn arrivals(story: &Story) -> Result<String> {
    draw(WIDE, |area| stacked(area, &story.arrivals, &story.marks, "connections a second"))
}

/// Answers a second on connections that stay, by server.
pub(super) fn stayers(story: &Story) -> Result<String> {
    draw((WIDE.0, 230), |area| stacked(area, &story.stayers, &story.marks, "requests a second"))
}

/// What each server got and what its weight promises.
pub(super) fn shares(story: &Story) -> Result<String> {
    draw(HALF, |area| bars(area, story))
}

/// Processor time over the demonstration.
pub(super) fn cost(story: &Story) -> Result<String> {
    draw(HALF, |area| lines(area, story))
}

pub(super) fn draw(size: (u32, u32), picture: impl FnOnce(&Area<'_>) -> Result<()>) -> Result<String> {
    let mut text = String::new();
    {
        let area = SVGBackend::with_string(&mut text, size).into_drawing_area();
        picture(&area)?;
        area.present().map_err(failed)?;
    }
    Ok(text)
}

pub(super) fn words(size: u32, colour: RGBColor, h: HPos, v: VPos) -> TextStyle<'static> {
    ("sans-serif", size).into_font().color(&colour).pos(Pos::new(h, v))
}

pub(super) fn failed<E: std::fmt::Display>(error: E) -> anyhow::Error {
    anyhow!("cannot draw a chart: {error}")
}

/// Answers a second in each bin, one series for each server, lowest server first.
struct Series {
    servers: Vec<String>,
    /// Per bin: the sums up to and including each server.
    sums: Vec<Vec<f64>>,
}

impl Series {
    fn of(answers: &[Answer]) -> Self {
        let servers: BTreeSet<&str> = answers.iter().map(|answer| answer.server.as_str()).collect();
        let servers: Vec<String> = servers.into_iter().map(str::to_owned).collect();
        let bin = |at: Duration| (at.as_secs_f64() / BIN.as_secs_f64()) as usize;
        let bins = answers.iter().map(|answer| bin(answer.at)).max().unwrap_or(0);
        let mut sums = vec![vec![0.0; servers.len()]; bins];
        for answer in answers {
            // The last bin is not whole and would look like a collapse.
            let Some(counts) = sums.get_mut(bin(answer.at)) else { continue };
            let place = servers.iter().position(|server| *server == answer.server).unwrap_or(0);
            for sum in &mut counts[place..] {
                *sum += 1.0 / BIN.as_secs_f64();
            }
        }
        Self { servers, sums }
    }

    fn highest(&self) -> f64 {
        self.sums.iter().filter_map(|bin| bin.last()).copied().fold(1.0, f64::max)
    }

    fn middle_of(bin: usize) -> f64 {
        (bin as f64 + 0.5) * BIN.as_secs_f64()
    }
}

fn stacked(area: &Area<'_>, answers: &[Answer], marks: &[Mark], what: &str) -> Result<()> {
    let series = Series::of(answers);
    // The room above the stack is for the marks.
    let (end, top) = (Series::middle_of(series.sums.len().max(2) - 1), series.highest() * 1.45);
    let mut chart = ChartBuilder::on(area)
        .margin(6)
        .margin_right(14)
        .x_label_area_size(34)
        .y_label_area_size(58)
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
        .x_labels(12)
        .y_labels(5)
        .x_label_formatter(&|second| format!("{second:.0} s"))
        .y_label_formatter(&|rate| format!("{rate:.0}"))
        .y_desc(what)
        .draw()
        .map_err(failed)?;
    for place in (0..series.servers.len()).rev() {
        let points = series.sums.iter().enumerate().map(|(bin, sums)| (Series::middle_of(bin), sums[place]));
        let colour = palette::server(place);
        chart.draw_series(AreaSeries::new(points, 0.0, colour).border_style(WHITE)).map_err(failed)?;
    }
    for (place, mark) in marks.iter().enumerate() {
        let at = mark.at.as_secs_f64();
        // Neighbours in time take turns in height.
        let height = top * [0.98, 0.90, 0.82][place % 3];
        let line = [(at, 0.0), (at, height)];
        chart.draw_series([PathElement::new(line, INK.mix(0.55))]).map_err(failed)?;
        let label =
            Text::new(format!("\u{a0}{}", mark.what), (at, height), words(13, INK, HPos::Left, VPos::Top));
        chart.draw_series([label]).map_err(failed)?;
    }
    Ok(())
}

fn bars(area: &Area<'_>, story: &Story) -> Result<()> {
    let servers: BTreeSet<&str> = story.shares.iter().map(|share| share.server.as_str()).collect();
    let servers: Vec<&str> = servers.into_iter().collect();
    let groups = servers.len().max(1) as f64;
    let highest = story.shares.iter().map(|share| share.measured.max(share.wanted)).fold(0.1, f64::max);
    let mut chart = ChartBuilder::on(area)
        .margin(6)
        .x_label_area_size(30)
        .y_label_area_size(48)
        .build_cartesian_2d(0.0..groups, 0.0..highest * 1.2)
        .map_err(failed)?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .bold_line_style(FAINT)
        .light_line_style(TRANSPARENT)
        .axis_style(QUIET)
        .label_style(("sans-serif", 13, &QUIET))
        .x_labels(0)
        .y_labels(5)
        .y_label_formatter(&|share| format!("{:.0} %", share * 100.0))
        .draw()
        .map_err(failed)?;
    for share in &story.shares {
        let Some(place) = servers.iter().position(|server| *server == share.server) else { continue };
        let (left, colour) = match share.family {
            Family::V4 => (place as f64 + 0.14, palette::server(place).mix(1.0)),
            Family::V6 => (place as f64 + 0.51, palette::server(place).mix(0.7)),
        };
        let (right, middle) = (left + 0.35, left + 0.175);
        let bar = Rectangle::new([(left, 0.0), (right, share.measured)], colour.filled());
        chart.draw_series([bar]).map_err(failed)?;
        let promise = PathElement::new(
            [(left - 0.04, share.wanted), (right + 0.04, share.wanted)],
            INK.stroke_width(2),
        );
        chart.draw_series([promise]).map_err(failed)?;
        let height = share.measured.max(share.wanted) + highest * 0.02;
        let got = format!("{:.1} %", share.measured * 100.0);
        let above = words(13, INK, HPos::Center, VPos::Bottom);
        chart.draw_series([Text::new(got, (middle, height), above)]).map_err(failed)?;
        let within = words(13, WHITE, HPos::Center, VPos::Bottom);
        let family = Text::new(share.family.name(), (middle, highest * 0.012), within);
        chart.draw_series([family]).map_err(failed)?;
    }
    below(&chart, area, &servers)
}

/// Names below the groups; the axis itself knows only numbers.
fn below<'a>(
    chart: &ChartContext<'_, SVGBackend<'a>, Cartesian2d<RangedCoordf64, RangedCoordf64>>,
    area: &Area<'a>,
    names: &[&str],
) -> Result<()> {
    let style = words(14, INK, HPos::Center, VPos::Top);
    for (place, name) in names.iter().enumerate() {
        let (x, y) = chart.backend_coord(&(place as f64 + 0.5, 0.0));
        area.draw(&Text::new((*name).to_owned(), (x, y + 8), style.clone())).map_err(failed)?;
    }
    Ok(())
}

fn lines(area: &Area<'_>, story: &Story) -> Result<()> {
    let samples = &story.cost.samples;
    let end = samples.last().map_or(1.0, |sample| sample.at.as_secs_f64());
    let top =
        samples.iter().map(|sample| sample.program.max(sample.daemon.unwrap_or(0.0))).fold(0.01, f64::max)
            * 1.25;
    let mut chart = ChartBuilder::on(area)
        .margin(6)
        .margin_right(14)
        .x_label_area_size(30)
        .y_label_area_size(48)
        .build_cartesian_2d(0.0..end, 0.0..top)
        .map_err(failed)?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .bold_line_style(FAINT)
        .light_line_style(TRANSPARENT)
        .axis_style(QUIET)
        .label_style(("sans-serif", 13, &QUIET))
        .x_labels(7)
        .y_labels(5)
        .x_label_formatter(&|second| format!("{second:.0} s"))
        .y_label_formatter(&|share| format!("{:.1} %", share * 100.0))
        .draw()
        .map_err(failed)?;
    let program = samples.iter().map(|sample| (sample.at.as_secs_f64(), sample.program));
    let daemon = samples.iter().map(|sample| (sample.at.as_secs_f64(), sample.daemon.unwrap_or(0.0)));
    chart
        .draw_series(AreaSeries::new(program, 0.0, REQUEST.mix(0.25)).border_style(REQUEST.stroke_width(1)))
        .map_err(failed)?;
    chart.draw_series(LineSeries::new(daemon, REPLY.stroke_width(2))).map_err(failed)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_stacked_by_server_and_the_unfinished_bin_is_left_out() {
        let answer = |ms, server: &str| Answer { at: Duration::from_millis(ms), server: server.to_owned() };
        let series =
            Series::of(&[answer(10, "web2"), answer(20, "web1"), answer(30, "web2"), answer(700, "web1")]);
        assert_eq!(series.servers, ["web1", "web2"]);
        assert_eq!(series.sums, [[2.0, 6.0]]);
    }
}
