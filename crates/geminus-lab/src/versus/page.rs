//! The figures as a page of documentation.

use std::fmt::Write as _;

use super::fault::Fault;
use super::figures::{FaultFigures, Figures, Measured, Spread};
use super::trial::Silence;

/// Writes the page; everything in it was measured in one run.
pub(super) fn page(figures: &Figures) -> String {
    let mut text = INTRODUCTION.to_owned();
    table(&mut text, figures, "How long nobody answered", GAPS, |cell| silence(&cell.during()));
    table(&mut text, figures, "And when it passed?", AFTER, |cell| silence(&cell.after()));
    table(&mut text, figures, "Did two answer at once?", DOUBLES, |cell| match cell.doubled() {
        0 => format!("no, 0 of {}", cell.outcomes.len()),
        doubled => format!("**yes, {doubled} of {}**, {:.0} ms", cell.outcomes.len(), cell.longest_double()),
    });
    steadiness(&mut text, figures);
    promises(&mut text, figures);
    method(&mut text, figures);
    text
}

const INTRODUCTION: &str = "# Failover, measured beside keepalived

Written by `cargo xtask bench failover`: the same two nodes, the same switch, the same client and the same faults, one product after the other.
";

const GAPS: &str = "Milliseconds without an answer while the fault was on: median / 99th percentile / longest. `0`: no question was lost in any trial. For Geminus the worse of two: echo requests, answered by the data plane, and UDP echo, answered by content hosts behind it.";

const AFTER: &str = "The same from the moment when the blocked ports forward again, the cable is in, the processes go on, the cut is mended. `> N`: still silent at the end of the trial.";

const DOUBLES: &str = "A third machine asks by ARP (and by neighbour solicitation, where the address has an IPv6 twin) who has the address, two hundred times a second, from the fault on: in how many trials two nodes answered within 20 ms of each other with the first still answering, and for how long at most. A node whose ports are blocked cannot be asked; it counts once it is back.";

fn table(
    text: &mut String,
    figures: &Figures,
    title: &str,
    words: &str,
    cell: impl Fn(&FaultFigures) -> String,
) {
    let _ = writeln!(text, "\n## {title}\n\n{words}\n");
    let names: Vec<&str> = figures.products.iter().map(|product| product.name.as_str()).collect();
    let _ = writeln!(text, "| fault of the active | {} |", names.join(" | "));
    let _ = writeln!(text, "|---|{}", "---:|".repeat(names.len()));
    for fault in Fault::ALL {
        let of = |product: &Measured| {
            let found = product.faults.iter().find(|figures| figures.fault == fault);
            found.map_or_else(|| "–".to_owned(), &cell)
        };
        let cells: Vec<String> = figures.products.iter().map(of).collect();
        let _ = writeln!(text, "| {} | {} |", fault.name(), cells.join(" | "));
    }
}

fn silence(silences: &[Silence]) -> String {
    let gaps = Spread::of(silences.iter().map(|silence| silence.gap_ms).collect());
    let stuck = silences.iter().filter(|silence| !silence.over).count();
    match (silences.len(), stuck) {
        (0, _) => "–".to_owned(),
        (_, 0) if gaps.max == 0.0 => "0".to_owned(),
        (_, 0) => format!("{:.0} / {:.0} / {:.0}", gaps.median, gaps.p99, gaps.max),
        (all, stuck) => format!("{:.0}, **> {:.0} in {stuck} of {all}**", gaps.median, gaps.max),
    }
}

fn steadiness(text: &mut String, figures: &Figures) {
    let _ = writeln!(
        text,
        "\n## False failovers\n\nThe active is well; the switch loses frames between the nodes at random, in each direction and on every path. How often the backup became active nevertheless.\n"
    );
    let _ =
        writeln!(text, "| product | loss | time | false failovers | an hour |\n|---|---:|---:|---:|---:|");
    for product in &figures.products {
        for loss in &product.steadiness {
            let hourly = loss.false_failovers as f64 * 3600.0 / loss.seconds.max(1.0);
            let _ = writeln!(
                text,
                "| {} | {} % | {:.0} s | {} | {hourly:.0} |",
                product.name, loss.percent, loss.seconds, loss.false_failovers
            );
        }
    }
}

fn promises(text: &mut String, figures: &Figures) {
    if figures.products.iter().all(|product| product.promise.is_none()) {
        return;
    }
    let _ = writeln!(text, "\n## What was promised and missed\n");
    let missed: Vec<String> = figures.products.iter().flat_map(Measured::missed).collect();
    if missed.is_empty() {
        let _ = writeln!(text, "Nothing in this run.");
    }
    for line in missed {
        let _ = writeln!(text, "- {line}");
    }
}

fn method(text: &mut String, figures: &Figures) {
    let setting = &figures.setting;
    let _ = writeln!(
        text,
        "\n## Method\n\n{}, Linux {}, {} processors ({}), shared virtual machine; {} of Geminus; {:.0} minutes in all.\n",
        setting.date,
        setting.kernel,
        setting.processors,
        setting.processor,
        if setting.optimised { "release build" } else { "debug build" },
        setting.took / 60.0
    );
    text.push_str(METHOD);
    for product in &figures.products {
        let runs: Vec<String> =
            product.faults.iter().map(|figures| figures.outcomes.len().to_string()).collect();
        let _ = writeln!(
            text,
            "- **{}**: {}. Trials for each fault: {}; spoiled and repeated: {}.",
            product.name,
            product.method,
            runs.join(", "),
            product.spoiled.len()
        );
    }
    let blind = figures.products.iter().flat_map(|product| &product.faults).flat_map(|fault| &fault.outcomes);
    let blind = blind.map(|outcome| outcome.blind_ms).fold(0.0, f64::max);
    let _ = writeln!(
        text,
        "\nThe client's own longest pause in any trial was {blind:.0} ms: no figure is finer than that by itself."
    );
}

const METHOD: &str = "Network namespaces joined by veth pairs; the switch is a bridge, the client is behind a router. Every trial starts both nodes anew and waits until the first is active and the second ready. \
A client asks a thousand numbered questions a second; a gap reaches from the last answered before to the first answered after the longest run without an answer, so a pause of the client itself is no gap; a trial in which the client paused within the gap for more than a tenth of it (and 8 ms) is done again. \
With fewer than a hundred trials the 99th percentile is the longest. \
Faults are made outside the product: `bridge link set … state 0`, the switch's end of the cable down, signals to all processes of the product, and nftables in the switch for cuts and loss. The moment of the fault moves through the interval of the timers from trial to trial.\n\n";

#[cfg(test)]
mod tests {
    use super::super::figures::tests::outcome;
    use super::super::trial::Steadiness;
    use super::*;

    #[test]
    fn the_page_shows_every_product_and_says_who_answered_twice() {
        let faults = vec![
            FaultFigures { fault: Fault::Silence, outcomes: vec![outcome(44.4, 0.0), outcome(54.0, 0.0)] },
            FaultFigures { fault: Fault::Kill, outcomes: vec![outcome(0.0, 900.0)] },
        ];
        let steadiness = vec![Steadiness { percent: 30, seconds: 30.0, false_failovers: 52 }];
        let product = Measured { name: "one".to_owned(), faults, steadiness, ..Measured::default() };
        let page = page(&Figures { products: vec![product], ..Figures::default() });
        assert!(page.contains("| 44 / 54 / 54 |"), "{page}");
        assert!(page.contains("**yes, 1 of 1**, 900 ms"), "{page}");
        assert!(page.contains("| one | 30 % | 30 s | 52 | 6240 |"), "{page}");
        assert!(page.contains("| – |"), "a fault that was not tried is no figure: {page}");
    }
}
