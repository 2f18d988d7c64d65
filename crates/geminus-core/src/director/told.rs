//! What the director tells people.

use std::net::IpAddr;

use super::fleet::Roster;
use super::{Director, Effect, Instant};
use crate::health::TargetNumber;
use crate::journal::EventKind;
use crate::model::{MAIN_POOL, Server, Site};
use crate::neighbour::Notice;

/// What an event is about, by its names: what a program of `[hooks]` is told beside the words.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct About {
    /// Name and address of the server.
    pub server: Option<(String, IpAddr)>,
    /// The services, each with its cluster first: `shop` and `tcp/443`.
    pub services: Vec<(String, String)>,
    /// The pool of the service.
    pub pool: Option<String>,
    /// Why, in one word.
    pub reason: Option<&'static str>,
}

impl About {
    /// A server as these services have it.
    fn server(server: &Server, rosters: impl Iterator<Item = (String, String)>) -> Self {
        let services = rosters.collect();
        Self { server: Some((server.name.clone(), server.address)), services, ..Self::default() }
    }
}

/// Something to be told.
#[derive(Debug, Clone)]
pub(super) struct News {
    pub(super) kind: EventKind,
    pub(super) message: String,
    pub(super) about: About,
}

impl News {
    pub(super) fn new(kind: EventKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), about: About::default() }
    }

    pub(super) fn about(self, about: About) -> Self {
        Self { about, ..self }
    }
}

impl Roster {
    /// The service by its names: its cluster's and its own.
    pub(super) fn called(&self, site: &Site) -> (String, String) {
        let service = self.service(site);
        let cluster = &site.clusters[self.place.0];
        (cluster.name.clone(), format!("{}/{}", service.protocol.word(), service.ports))
    }

    /// One of its pools, and why.
    pub(super) fn about_pool(&self, site: &Site, pool: u8, reason: &'static str) -> About {
        let name = self.pools.get(usize::from(pool)).map_or("", |pool| pool.name.as_str());
        let name = if name.is_empty() { MAIN_POOL } else { name };
        About {
            services: vec![self.called(site)],
            pool: Some(name.to_owned()),
            reason: Some(reason),
            ..About::default()
        }
    }
}

impl Director {
    pub(super) fn tell(&mut self, kind: EventKind, message: impl Into<String>, now: Instant) {
        self.tell_news(News::new(kind, message), now);
    }

    fn tell_news(&mut self, news: News, now: Instant) {
        let News { kind, message, about } = news;
        if kind.hook().is_some() {
            self.effects.push_back(Effect::Hook { kind, about, message: message.clone() });
        }
        self.tell_alone(kind, message, now);
    }

    /// Tells what no program is started for.
    fn tell_alone(&mut self, kind: EventKind, message: String, now: Instant) {
        let event = self.journal.record(now, kind, message);
        self.effects.push_back(Effect::Tell(event));
    }

    /// Tells what somebody else can cause as often as they like.
    pub(super) fn tell_bounded(&mut self, kind: EventKind, message: impl Into<String>, now: Instant) {
        self.tell_news_bounded(News::new(kind, message), now);
    }

    /// The same of what has names.
    pub(super) fn tell_news_bounded(&mut self, news: News, now: Instant) {
        if self.flood.admits(news.kind, now) {
            self.tell_news(news, now);
        }
    }

    /// The servers that a check is made for.
    pub(super) fn about_target(&self, target: TargetNumber, reason: Option<&'static str>) -> About {
        let places = self.care.fleet.of_target(target);
        let Some(&first) = places.first() else { return About::default() };
        let server = &self.care.fleet.at(first).0.service(&self.site).servers[first.1];
        let services = places.iter().map(|&at| self.care.fleet.at(at).0.called(&self.site));
        About { reason, ..About::server(server, services) }
    }

    /// What nobody checks of a host: of that alone its silence is the first word.
    fn about_unchecked(&self, host: IpAddr) -> Option<About> {
        let fleet = &self.care.fleet;
        let unchecked: Vec<_> =
            fleet.of_host(host).iter().filter(|&&at| fleet.at(at).1.target.is_none()).collect();
        let &&first = unchecked.first()?;
        let server = &fleet.at(first).0.service(&self.site).servers[first.1];
        Some(About::server(server, unchecked.into_iter().map(|&at| fleet.at(at).0.called(&self.site))))
    }

    /// Of a host that is silent or answers again programs are told where nothing but that tells whether it is there: a
    /// check says the same once more, and better. They are told of an end where they were told of a beginning.
    fn tell_of_silence(&mut self, server: IpAddr, kind: EventKind, message: String, now: Instant) {
        let was_told = self.hooked_silent.remove(&server);
        if !self.flood.admits(kind, now) {
            return;
        }
        let silent = kind == EventKind::ServerSilent;
        match self.about_unchecked(server) {
            Some(about) if silent != was_told => {
                if silent {
                    self.hooked_silent.insert(server);
                }
                let about = About { reason: silent.then_some("silent"), ..about };
                self.tell_news(News::new(kind, message).about(about), now);
            }
            _ => self.tell_alone(kind, message, now),
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
        match kind {
            EventKind::ServerSilent | EventKind::ServerBack => {
                self.tell_of_silence(server, kind, message, now)
            }
            _ => self.tell_bounded(kind, message, now),
        }
    }
}
