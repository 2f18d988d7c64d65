//! What happens between partners, in words: what, why, by which evidence, and how long it took.

use super::twin::Twin;
use super::words::{count, time};
use crate::ha::{Cause, HaEvent, Standing};
use crate::journal::EventKind;

impl Twin {
    /// An event as the journal has it; none: it has an entry of its own.
    pub(super) fn told(&self, event: &HaEvent) -> Option<(EventKind, String)> {
        Some(match event {
            HaEvent::Changed { .. } => return self.changed(event),
            HaEvent::Duel { group, won, lasted } => {
                let (partner, name) = (self.partner_of(*group), self.group(*group));
                let lasted = match lasted.is_zero() {
                    true => "while they did not hear each other".to_owned(),
                    false => format!("for {}", time(*lasted)),
                };
                let end = match won {
                    true => format!("{partner} gave way, and every address is announced again"),
                    false => format!("this node gives way to {partner}"),
                };
                let message = format!("{partner} and this node were both active for {name} {lasted}; {end}");
                (EventKind::Duel, message)
            }
            HaEvent::PeerUp { peer } => {
                (EventKind::PartnerUp, format!("{} is heard{}", self.name(*peer), self.by_paths(*peer)))
            }
            HaEvent::PeerDown { peer, mute: true } => {
                let name = self.name(*peer);
                let message =
                    format!("the daemon of {name} is silent, but the program in its kernel answers");
                (EventKind::PartnerDown, message)
            }
            HaEvent::PeerDown { peer, mute: false } => {
                let paths = self.partners.get(*peer).map_or(0, |partner| partner.paths.len());
                let on = count(paths, "path", "paths");
                (EventKind::PartnerDown, format!("{} is not heard any more on {on}", self.name(*peer)))
            }
            HaEvent::PathUp { peer, path } => (
                EventKind::PathUp,
                format!("{} is heard by path {}", self.name(*peer), self.path(*peer, *path)),
            ),
            HaEvent::PathDown { peer, path } => {
                let path = self.path(*peer, *path);
                (EventKind::PathDown, format!("{} is not heard any more by path {path}", self.name(*peer)))
            }
            HaEvent::ConfigDiffers { peer } => {
                let name = self.name(*peer);
                let hint = "put the same file on both and reload";
                (EventKind::ConfigDiffers, format!("{name} has another configuration than this node; {hint}"))
            }
            HaEvent::ConfigAgrees { peer } => {
                let message = format!("{} has the same configuration as this node", self.name(*peer));
                (EventKind::ConfigAgrees, message)
            }
            HaEvent::Reach { from, to } => {
                let targets = count(to.total as usize, "reach target", "reach targets");
                let message = format!("{} of {targets} answer, {} did before", to.up, from.up);
                (EventKind::ReachChanged, message)
            }
            HaEvent::Isolated { group } => {
                let (partner, name) = (self.partner_of(*group), self.group(*group));
                let message = format!(
                    "{partner} is silent, but so is every reach target: this node may be off the network itself and \
                     does not take {name} over yet"
                );
                (EventKind::Isolated, message)
            }
            HaEvent::Paused(pause) => {
                let what = "it accuses nobody and asks before it claims";
                (EventKind::Paused, format!("this node did not run for {}; {what}", time(*pause)))
            }
            HaEvent::Refused { group, why, hint } => {
                let message = format!("{} is not taken over: {why}; {hint}", self.group(*group));
                (EventKind::TakeoverRefused, message)
            }
        })
    }

    fn changed(&self, event: &HaEvent) -> Option<(EventKind, String)> {
        let HaEvent::Changed { group, name, from, to, cause, lasted, epoch } = event else { return None };
        let partner = self.partner_of(*group);
        let because = self.because(*group, cause, *to);
        let before = format!("{} for {} before", from.word(), time(*lasted));
        let (kind, message) = match to {
            Standing::Active => {
                let how = match from {
                    Standing::Suspecting => format!("decided {} after the first suspicion", time(*lasted)),
                    _ => before,
                };
                (EventKind::WentActive, format!("active for {name}: {because}; {how}, epoch {epoch}"))
            }
            Standing::Suspecting => (
                EventKind::Suspecting,
                format!("{partner}, which is active for {name}, is suspected: {because}"),
            ),
            Standing::Yielding => (
                EventKind::Yielded,
                format!("{name} given up: {because}; {before}; what still comes is forwarded"),
            ),
            Standing::Standby if *from == Standing::Suspecting => {
                let message = format!("{partner} answers again after {}: it keeps {name}", time(*lasted));
                (EventKind::Unsuspected, message)
            }
            Standing::Standby => (EventKind::WentStandby, format!("standby for {name}: {because}; {before}")),
            Standing::Starting => {
                (EventKind::WentStandby, format!("listening before {name} is claimed: {because}; {before}"))
            }
        };
        Some((kind, message))
    }

    fn because(&self, group: u8, cause: &Cause, to: Standing) -> String {
        let partner = self.partner_of(group);
        match cause {
            Cause::Silence { silent, probes } => {
                let paths = self.paths_of(group);
                let on = count(paths, "path", "paths");
                let asked = match probes {
                    0 => String::new(),
                    probes => format!(", {} unanswered", count(*probes as usize, "probe", "probes")),
                };
                format!("{partner} silent for {} on {on}{asked}", time(*silent))
            }
            Cause::LeaseOver => format!("the daemon of {partner} does not run and its lease is over"),
            Cause::Goodbye => format!("{partner} gave it up"),
            Cause::Reach { ours, theirs } => {
                format!("this node reaches {ours} targets, {partner} {theirs}")
            }
            Cause::Order => "an operator ordered it".to_owned(),
            Cause::Recovery => "this node is the primary and has been well for long enough".to_owned(),
            Cause::Boot if to == Standing::Active => "nobody was active".to_owned(),
            Cause::Boot => format!("{partner} is not heard"),
            Cause::Alone => format!("{partner} is not heard, and nobody else has it"),
            Cause::Resumed => "the lease of the daemon before was still running".to_owned(),
            Cause::PartnerClaims => format!("{partner} has it"),
            Cause::Unfit => "this node cannot forward".to_owned(),
            Cause::Stopping => "this node leaves".to_owned(),
            Cause::Paused(pause) => format!("this node did not run for {}", time(*pause)),
        }
    }

    fn group(&self, number: u8) -> &str {
        self.config.groups.iter().find(|group| group.number == number).map_or("a group", |group| &group.name)
    }

    fn partner_of(&self, number: u8) -> &str {
        let group = self.config.groups.iter().find(|group| group.number == number);
        group.map_or("a partner", |group| self.name(group.peer))
    }

    fn paths_of(&self, number: u8) -> usize {
        let group = self.config.groups.iter().find(|group| group.number == number);
        let partner = group.and_then(|group| self.partners.get(group.peer));
        partner.map_or(0, |partner| partner.paths.len())
    }

    fn by_paths(&self, peer: usize) -> String {
        match self.partners.get(peer).map(|partner| partner.paths.as_slice()) {
            Some([[ours, theirs]]) => format!(" by path {ours} - {theirs}"),
            _ => String::new(),
        }
    }

    fn path(&self, peer: usize, path: usize) -> String {
        let ends = self.partners.get(peer).and_then(|partner| partner.paths.get(path));
        ends.map_or_else(|| format!("number {path}"), |[ours, theirs]| format!("{ours} - {theirs}"))
    }
}
