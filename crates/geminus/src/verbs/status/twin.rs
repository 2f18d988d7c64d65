//! The part of the page that says who is active, whether the other one could take over, and how the two hear each other.

use geminus_api::{ClusterStatus, Failover, PartnerStatus, PathStatus, Role, Standing, Status, SyncStatus};

use crate::figures::span;
use crate::screen::Tone;
use crate::table::{Align, Cell, Page, Table};

/// Paths that lose more than this part of the heartbeats are worth a look.
const LOSS_DOUBTFUL: f64 = 0.02;

/// Whether the node has a partner.
pub(super) fn is_of_a_pair(status: &Status) -> bool {
    !status.partners.is_empty()
}

/// Who is active, and whether that may change at any moment.
pub(super) fn failover(status: &Status) -> Table {
    let columns = ["CLUSTER", "ACTIVE", "SINCE", "FAILOVER", "WAITS FOR"];
    let mut table = Table::new(&columns.map(|name| (name, Align::Left)));
    let shared = status.clusters.iter().filter_map(|cluster| Some((cluster, cluster.failover.as_ref()?)));
    for (cluster, failover) in shared {
        table.row(vec![
            Cell::new(Tone::Strong, cluster.name.as_str()),
            active(&status.node, cluster),
            cluster.since_seconds.map(span).unwrap_or_default().into(),
            readiness(failover),
            cluster.waiting.as_deref().unwrap_or_default().into(),
        ]);
    }
    table
}

/// The partners, the paths to them, and in what their configuration differs.
pub(super) fn partners(status: &Status, page: &mut Page) {
    page.table(&partner_table(&status.partners));
    page.gap();
    page.table(&path_table(&status.partners));
    for partner in status.partners.iter().filter(|partner| !partner.differences.is_empty()) {
        page.gap();
        page.line(&[Cell::new(Tone::Bad, format!("the configuration of {} differs:", partner.name))]);
        for line in &partner.differences {
            page.line(&["  ".into(), line.as_str().into()]);
        }
    }
}

/// Reach targets and punctuality, as lines of the node.
pub(super) fn node_lines(status: &Status) -> Vec<(&'static str, Cell)> {
    let reach = status.reach.iter().map(|reach| {
        let targets: Vec<String> = reach.targets.iter().map(ToString::to_string).collect();
        let tone = if reach.up < reach.total { Tone::Doubtful } else { Tone::Plain };
        let text = match reach.total {
            0 => "no targets".to_owned(),
            total => format!("{} of {total} targets answer: {}", reach.up, targets.join(", ")),
        };
        ("reach", Cell::new(tone, text))
    });
    let heartbeats = status.heartbeats.iter().map(|heartbeats| {
        let text = match heartbeats.late {
            0 => "never late".to_owned(),
            late => format!("late {late} times, {} at most", span(heartbeats.latest_ms / 1000.0)),
        };
        ("heartbeats", text.into())
    });
    reach.chain(heartbeats).collect()
}

/// What a cluster is for this node in normal times.
pub(super) const fn role(role: Role) -> &'static str {
    match role {
        Role::Primary => "primary",
        Role::Backup => "backup",
        Role::None => "none",
    }
}

fn active(node: &str, cluster: &ClusterStatus) -> Cell {
    let theirs = cluster.partner_standing == Some(Standing::Active);
    let partner = cluster.partner.as_deref().unwrap_or("the partner");
    match (cluster.standing, theirs) {
        (Standing::Active, false) => Cell::new(Tone::Good, format!("{node} (this node)")),
        (Standing::Active, true) => Cell::new(Tone::Bad, format!("BOTH {node} and {partner}")),
        (_, true) => Cell::new(Tone::Good, partner),
        (Standing::Suspecting | Standing::Yielding, false) => {
            Cell::new(Tone::Doubtful, format!("{partner}, which is silent"))
        }
        (_, false) => Cell::new(Tone::Bad, "NOBODY, as far as is known"),
    }
}

fn readiness(failover: &Failover) -> Cell {
    match (failover.ready, &failover.because) {
        (true, None) => Cell::new(Tone::Good, "ready"),
        (true, Some(but)) => Cell::new(Tone::Doubtful, format!("ready, but {but}")),
        (false, None) => Cell::new(Tone::Bad, "NOT ready"),
        (false, Some(because)) => Cell::new(Tone::Bad, format!("NOT ready: {because}")),
    }
}

fn partner_table(partners: &[PartnerStatus]) -> Table {
    let columns = ["PARTNER", "ADDRESS", "STATE", "FORWARDS", "REACHES", "REPLICATION", "CONFIG"];
    let mut table = Table::new(&columns.map(|name| (name, Align::Left)));
    for partner in partners {
        table.row(vec![
            Cell::new(Tone::Strong, partner.name.as_str()),
            partner.address.to_string().into(),
            Cell::new(if partner.state == "alive" { Tone::Good } else { Tone::Bad }, partner.state.as_str()),
            yes(partner.fit),
            format!("{}/{}", partner.reach.up, partner.reach.total).into(),
            replication(&partner.sync),
            match partner.same_config {
                Some(true) => Cell::new(Tone::Good, "the same"),
                Some(false) => Cell::new(Tone::Bad, "DIFFERS"),
                None => Cell::plain("not heard"),
            },
        ]);
    }
    table
}

fn replication(sync: &SyncStatus) -> Cell {
    match sync.state.as_str() {
        "complete" => Cell::new(Tone::Good, format!("complete, {:.0}ms behind", sync.counted.lag_ms)),
        "copying" => Cell::new(Tone::Doubtful, format!("{} %", sync.percent)),
        other => Cell::new(Tone::Bad, other),
    }
}

fn path_table(partners: &[PartnerStatus]) -> Table {
    let mut table = Table::new(&[
        ("PARTNER", Align::Left),
        ("PATH", Align::Left),
        ("TO", Align::Left),
        ("UP", Align::Left),
        ("HEARS US", Align::Left),
        ("LOSS", Align::Right),
        ("DELAY", Align::Right),
        ("HEARD", Align::Left),
    ]);
    for (partner, path) in
        partners.iter().flat_map(|partner| partner.paths.iter().map(move |path| (partner, path)))
    {
        table.row(vec![
            partner.name.as_str().into(),
            path.local.to_string().into(),
            path.remote.to_string().into(),
            yes(path.up),
            yes(path.heard_by_peer),
            loss(path),
            path.round_trip_ms.map(|delay| format!("{delay:.2}ms")).unwrap_or_default().into(),
            path.heard_seconds.map_or_else(|| "never".to_owned(), |ago| format!("{} ago", span(ago))).into(),
        ]);
    }
    table
}

fn loss(path: &PathStatus) -> Cell {
    let tone = if path.loss > LOSS_DOUBTFUL { Tone::Doubtful } else { Tone::Plain };
    Cell::new(tone, format!("{:.1}%", path.loss * 100.0))
}

fn yes(is: bool) -> Cell {
    if is { Cell::new(Tone::Good, "yes") } else { Cell::new(Tone::Bad, "NO") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verbs::sample;

    fn shop(standing: Standing, partner_standing: Option<Standing>) -> ClusterStatus {
        let mut shop = sample::pair().clusters.swap_remove(0);
        (shop.standing, shop.partner_standing) = (standing, partner_standing);
        shop
    }

    #[test]
    fn who_is_active_is_one_word_even_when_it_is_nobody_or_both() {
        use Standing::{Active, Standby, Suspecting, Yielding};
        let cases = [
            (Active, Some(Standby), "alpha (this node)"),
            (Active, None, "alpha (this node)"),
            (Standby, Some(Active), "beta"),
            (Suspecting, None, "beta, which is silent"),
            (Yielding, None, "beta, which is silent"),
            (Standby, Some(Standby), "NOBODY, as far as is known"),
            (Active, Some(Active), "BOTH alpha and beta"),
        ];
        for (ours, theirs, words) in cases {
            let cell = active("alpha", &shop(ours, theirs));
            let expected = [Tone::Good, Tone::Doubtful, Tone::Bad].map(|tone| Cell::new(tone, words));
            assert!(expected.contains(&cell), "{cell:?}");
        }
    }

    #[test]
    fn what_is_not_ready_is_loud() {
        let of = |ready, because: Option<&str>| {
            readiness(&Failover { ready, because: because.map(str::to_owned) })
        };
        assert_eq!(of(true, None), Cell::new(Tone::Good, "ready"));
        assert_eq!(of(true, Some("x")), Cell::new(Tone::Doubtful, "ready, but x"));
        assert_eq!(
            of(false, Some("replication at 43 %")),
            Cell::new(Tone::Bad, "NOT ready: replication at 43 %")
        );
    }
}
