//! What the manager and the agents need.

use super::{conflict, number};
use crate::config::build;
use crate::config::finding::{FindingKind, Problem, Report};
use crate::config::read::{Node, Slot};

pub(super) fn check(root: &Node, report: &mut Report<'_>) {
    if let Some(proportions) = root.table("manager").and_then(|manager| manager.table("proportions")) {
        sum(proportions, report);
    }
    let (Some(agents), Some(ha), Some(true)) =
        (root.table("agents"), root.table("ha"), build::agents_are_heard(root))
    else {
        return;
    };
    let has_key =
        |node: Option<&Node>| node.is_some_and(|node| !matches!(node.slot("key_file"), Slot::Absent));
    if !has_key(Some(agents)) && !has_key(root.table("site")) {
        let at = agents.one("enabled").map_or(agents.at, |enabled| enabled.at);
        let problem = Problem::new("agents are heard, and no `key_file` to know them by is there");
        let hint = "add key_file = \"/etc/geminus/agents.key\", or one to [site]";
        report.error(at, FindingKind::Missing, problem.hint(hint));
    }
    if let (Some(own), Some(partners)) = (number(agents, "port"), number(ha, "port"))
        && own.value == partners.value
    {
        let at = if own.at == agents.at { partners.at } else { own.at };
        let message = format!("agents and partners are both heard on port {}", own.value);
        conflict(
            report,
            at,
            message,
            "another `port` in [agents] or in [ha], or enabled = false in [agents]".to_string(),
        );
    }
}

fn sum(proportions: &Node, report: &mut Report<'_>) {
    let shares =
        ["active", "new", "latency", "load"].map(|input| number(proportions, input).map(|share| share.value));
    let [Some(active), Some(new), Some(latency), Some(load)] = shares else { return };
    let total = active + new + latency + load;
    if total != 100 {
        let message = format!("the `proportions` are {total} together");
        let hint = format!(
            "100 in all: active = {active}, new = {new}, latency = {latency}, load = {load} where the file says nothing else"
        );
        conflict(report, proportions.at, message, hint);
    }
}
