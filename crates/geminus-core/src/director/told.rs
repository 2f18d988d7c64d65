//! What the director tells people.

use std::net::IpAddr;

use super::{Director, Effect, Instant};
use crate::journal::EventKind;
use crate::neighbour::Notice;

impl Director {
    pub(super) fn tell(&mut self, kind: EventKind, message: impl Into<String>, now: Instant) {
        let event = self.journal.record(now, kind, message);
        self.effects.push_back(Effect::Tell(event));
    }

    /// Tells what somebody else can cause as often as they like.
    pub(super) fn tell_bounded(&mut self, kind: EventKind, message: String, now: Instant) {
        if self.flood.admits(kind, now) {
            self.tell(kind, message, now);
        }
    }

    pub(super) fn tell_notice(&mut self, server: IpAddr, notice: Notice, now: Instant) {
        let link_down = self.ports.own().is_none_or(|port| !port.up);
        let follows_from_link = matches!(notice, Notice::Silent | Notice::NoRoute);
        if link_down && follows_from_link {
            // The link's own event has said it all.
            return;
        }
        let name =
            self.names.get(&server).map_or_else(|| server.to_string(), |name| format!("{name} ({server})"));
        let known = self.neighbours.reach(server).is_some();
        let (kind, message) = match notice {
            Notice::Resolved(mac) => (EventKind::ServerResolved, format!("server {name} is at {mac}")),
            Notice::Moved { from, to } => {
                (EventKind::ServerMoved, format!("server {name} moved from {from} to {to}"))
            }
            Notice::Collocated => (EventKind::ServerResolved, format!("server {name} is this machine")),
            Notice::Silent if known => {
                let what = "does not answer for its address; its last hardware address stays in use";
                (EventKind::ServerSilent, format!("server {name} {what}"))
            }
            Notice::Silent => {
                let what = "does not answer for its address and gets nothing until it does";
                (EventKind::ServerSilent, format!("server {name} {what}"))
            }
            Notice::Back => (EventKind::ServerBack, format!("server {name} answers again")),
            Notice::NotOnLink { gateway } => {
                let what = format!("is not on the link but behind {gateway}; method mac cannot reach it");
                (EventKind::ServerUnreachable, format!("server {name} {what}"))
            }
            Notice::NoRoute => (EventKind::ServerUnreachable, format!("there is no route to server {name}")),
        };
        self.tell_bounded(kind, message, now);
    }
}
