//! The one loop: what is heard goes to the director, and what it wants is done.

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use geminus_api::{ApiError, Changed, Event, Outcome, Request, TakeoverQuery};
use geminus_core::director::{
    About, Director, Effect, Input, Instant, KernelStart, Order, Refusal, Ticket, Wish,
};
use geminus_core::ha::HaEvent;
use geminus_core::journal::{self, EventKind, Severity};
use geminus_core::key::{AgentsKey, HaKeys, SiteKey};
use geminus_core::model::Site;
use geminus_core::neighbour::{Mac, Route};
use geminus_core::plan::Link;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{broadcast, mpsc, oneshot};
use tokio::time::{MissedTickBehavior, interval, sleep_until};

use crate::advisors::{Advisors, Place, Way};
use crate::agents::{self, Agents, AgentsSite};
use crate::control::{Answer, EVENTS_BEHIND, Question};
use crate::error::RunError;
use crate::explain::explain;
use crate::hooks::{Hooks, Occasion};
use crate::kernel::{Heard, LinkSocket, Lookups, Netlink, Wall, give_memory_back, time_of_day};
use crate::pair::{self, Pair};
use crate::plane::Plane;
use crate::status::{self, Process};
use crate::supervisor::Supervisor;
use crate::twin::Command;
use crate::{site_file, site_key};

/// How often it is looked at again which interfaces have the addresses of paths, while routes or addresses change.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// A configuration file that was read, with the keys of partners and agents, and who waits for it.
type Read = (Option<Ticket>, Result<(Site, HaKeys, Vec<AgentsKey>), RunError>);

/// The site's key, which does not change, and those of partners and agents.
pub(crate) struct Secrets {
    pub(crate) site: SiteKey,
    pub(crate) ha: HaKeys,
    pub(crate) agents: Vec<AgentsKey>,
}

/// What the loop works with.
pub(crate) struct Parts {
    pub(crate) config: PathBuf,
    pub(crate) detach: bool,
    pub(crate) started: Clock,
    pub(crate) director: Director,
    pub(crate) plane: Plane,
    pub(crate) pair: Option<Pair>,
    pub(crate) agents: Agents,
    pub(crate) secrets: Secrets,
    pub(crate) netlink: Netlink,
    pub(crate) lookups: Lookups,
    pub(crate) link_socket: LinkSocket,
}

/// The loop.
pub(crate) struct Driver {
    parts: Parts,
    supervisor: Supervisor,
    config_digest: String,
    /// What was read last, with the keys that are its: they are in force with it, and not before.
    read: Option<(Arc<Site>, HaKeys, Vec<AgentsKey>)>,
    events: broadcast::Sender<Event>,
    waiting: HashMap<Ticket, oneshot::Sender<Answer>>,
    tickets: u64,
    reads: (mpsc::Sender<Read>, mpsc::Receiver<Read>),
    /// When to look again at the interfaces of paths.
    look_again: Option<Instant>,
    leaving: Option<bool>,
    hooks: Hooks,
    advisors: Advisors,
    /// Clusters of the group that the partners' news at hand is about.
    about: Vec<String>,
}

/// The director's clock, and the time of day for people.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    monotonic: std::time::Instant,
    unix: Duration,
    kernel: KernelStart,
}

impl Clock {
    pub(crate) fn start() -> Self {
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let kernel = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        let kernel = Duration::try_from(kernel).unwrap_or_default();
        Self { monotonic: std::time::Instant::now(), unix, kernel: KernelStart(kernel) }
    }

    /// What the kernel's clock said when this one began.
    pub(crate) const fn kernel_start(&self) -> KernelStart {
        self.kernel
    }

    pub(crate) fn now(&self) -> Instant {
        Instant::from_start(self.monotonic.elapsed())
    }

    /// The moment of this clock that another thread's look at the same one means.
    pub(crate) fn moment(&self, then: std::time::Instant) -> Instant {
        Instant::from_start(then.saturating_duration_since(self.monotonic))
    }

    fn at(&self, when: Instant) -> tokio::time::Instant {
        (self.monotonic + when.elapsed()).into()
    }

    fn event(&self, event: &journal::Event) -> Event {
        let unix = self.unix + event.at.elapsed();
        Event {
            number: event.number,
            unix_ms: u64::try_from(unix.as_millis()).unwrap_or(u64::MAX),
            kind: event.kind.word().to_owned(),
            message: event.message.clone(),
        }
    }
}

/// The signals that mean something.
struct Signals {
    hang_up: Signal,
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn listen() -> Result<Self, RunError> {
        let listen = |kind| signal(kind).map_err(|error| RunError::Kernel { what: "signals", error });
        Ok(Self {
            hang_up: listen(SignalKind::hangup())?,
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
        })
    }
}

impl Driver {
    pub(crate) fn new(parts: Parts) -> Self {
        Self {
            config_digest: site_file::digest(parts.director.site()),
            supervisor: Supervisor::new(),
            read: None,
            events: broadcast::channel(EVENTS_BEHIND).0,
            waiting: HashMap::new(),
            tickets: 0,
            reads: mpsc::channel(8),
            look_again: None,
            leaving: None,
            hooks: Hooks::new(&parts.director.site().ha.hooks, &parts.director.node().name),
            advisors: Advisors::new(),
            about: Vec::new(),
            parts,
        }
    }

    /// Runs until it is told to leave; returns the data plane and whether it is to stay.
    pub(crate) async fn run(
        mut self,
        mut questions: mpsc::Receiver<Question>,
    ) -> Result<(Plane, bool), RunError> {
        let mut signals = Signals::listen()?;
        let mut wall =
            Wall::new().map_err(|error| RunError::Kernel { what: "the clock on the wall", error })?;
        self.hear(Input::TimeOfDay(time_of_day()));
        let beat = self.supervisor.watchdog();
        let mut watchdog = interval(beat.unwrap_or(Duration::from_secs(3600)));
        watchdog.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            self.do_what_is_due();
            self.carry_out();
            if let Some(keep) = self.leaving {
                self.hooks.finish().await;
                return Ok((self.parts.plane, keep));
            }
            let wake = [self.parts.director.poll_timeout(), self.look_again].into_iter().flatten().min();
            let wake = wake.map(|due| self.parts.started.at(due));
            tokio::select! {
                () = sleep(wake) => {}
                () = self.parts.link_socket.readable() => self.hear_frames(),
                () = self.parts.netlink.readable() => self.hear_netlink(),
                heard = pair::heard(&mut self.parts.pair) => self.hear_pair(heard)?,
                time = wall.next() => self.hear(Input::TimeOfDay(time)),
                input = self.parts.agents.heard() => self.hear(input),
                input = self.advisors.heard() => self.hear_advisors(input),
                failure = self.hooks.ended() => {
                    failure.into_iter().for_each(|failure| self.hear(Input::HookFailed(failure)));
                }
                Some(question) = questions.recv() => self.question(question),
                Some(read) = self.reads.1.recv() => self.site_was_read(read),
                _ = signals.hang_up.recv() => self.begin_reload(None),
                _ = signals.terminate.recv() => self.hear(Input::Stop { detach: self.parts.detach }),
                // Whoever presses ^C, or sends what it sends, wants the end of all of it.
                _ = signals.interrupt.recv() => self.hear(Input::Stop { detach: false }),
                _ = watchdog.tick(), if beat.is_some() => self.supervisor.alive(),
            }
        }
    }

    fn now(&self) -> Instant {
        self.parts.started.now()
    }

    /// Whatever else is waiting, the lease is renewed in time. What was heard by now goes first: a late look must not
    /// count as a silence.
    fn do_what_is_due(&mut self) {
        if self.parts.director.poll_timeout().is_some_and(|due| due <= self.now()) {
            self.hear_frames();
            self.hear_netlink();
            self.hear_agents();
            if let Some(first) = self.advisors.heard_by_now() {
                self.hear_advisors(first);
            }
            let now = self.now();
            self.parts.director.handle_timeout(now);
        }
        if self.look_again.is_some_and(|due| due <= self.now()) {
            self.look_again = None;
            self.refresh_pair();
        }
    }

    /// What the heartbeat thread works with may be another thing now.
    fn refresh_pair(&mut self) {
        let Parts { pair, director, plane, secrets, started, .. } = &mut self.parts;
        if let Some(pair) = pair {
            pair.refresh(director, plane, &secrets.ha, *started);
        }
    }

    fn hear_pair(&mut self, heard: pair::Heard) -> Result<(), RunError> {
        match heard {
            pair::Heard::Input(input) => {
                self.about = self.clusters_of(&input);
                self.hear(input);
            }
            pair::Heard::Lost(count) => tracing::info!("{count} news of heartbeats had no room"),
            // Whoever starts the daemon anew finds the data plane running, and so do the clients.
            pair::Heard::Ended => {
                let error = std::io::Error::other("it ended");
                return Err(RunError::Kernel { what: "the thread of heartbeats", error });
            }
        }
        Ok(())
    }

    fn hear(&mut self, input: Input) {
        let now = self.now();
        if self.parts.pair.is_some() && self.look_again.is_none() && matches!(input, Input::RoutesChanged) {
            self.look_again = Some(now + LOOK_AGAIN);
        }
        self.parts.director.handle(input, now);
    }

    fn hear_all(&mut self, what: &str, inputs: std::io::Result<Vec<Input>>) {
        match inputs {
            Ok(inputs) => inputs.into_iter().for_each(|input| self.hear(input)),
            Err(error) => tracing::warn!(%error, "the kernel's {what} could not be read"),
        }
    }

    fn hear_frames(&mut self) {
        self.parts.link_socket.heard().into_iter().for_each(|input| self.hear(input));
    }

    fn hear_agents(&mut self) {
        while let Some(input) = self.parts.agents.heard_by_now() {
            self.hear(input);
        }
    }

    fn hear_advisors(&mut self, first: Input) {
        let now = self.now();
        let more = std::iter::from_fn(|| self.advisors.heard_by_now());
        self.parts.director.handle_all(std::iter::once(first).chain(more), now);
    }

    /// Agents are heard as the site in force says.
    fn refresh_agents(&mut self) {
        let Parts { agents, director, secrets, .. } = &mut self.parts;
        agents.configure(AgentsSite::of(director.site(), director.node(), &secrets.agents));
    }

    fn hear_netlink(&mut self) {
        let mut overrun = false;
        for heard in self.parts.netlink.heard() {
            match heard {
                Heard::Input(input) => self.hear(input),
                Heard::Overrun => overrun = true,
            }
        }
        if overrun {
            let interfaces = Netlink::interfaces().map(|all| vec![Input::Interfaces(all)]);
            self.hear_all("interfaces", interfaces);
            let link_locals = self.parts.netlink.link_locals();
            self.hear_all("addresses", link_locals);
            self.hear_all("neighbours", Netlink::neighbours());
            self.hear(Input::Resynced);
        }
    }

    fn carry_out(&mut self) {
        self.carry_out_effects();
        self.about.clear();
    }

    fn carry_out_effects(&mut self) {
        while let Some(effect) = self.parts.director.poll_effect() {
            match effect {
                Effect::AskRoute(server) => {
                    let route = self.parts.lookups.route(server);
                    self.hear(Input::Route { server, route });
                }
                Effect::ReadNeighbours => self.hear_all("neighbours", Netlink::neighbours()),
                Effect::Send { interface, frame } => self.parts.link_socket.send(interface, &frame),
                Effect::SetLink { server, link } => self.parts.plane.set_link(server, link),
                Effect::Renew(lease) => self.parts.plane.renew(lease),
                Effect::Release => self.parts.plane.release(),
                Effect::Apply { site, overrides, rulings } => {
                    let read = self.read.take_if(|(read, ..)| Arc::ptr_eq(read, &site));
                    let keys = read.as_ref().map_or(&self.parts.secrets.ha, |(_, keys, _)| keys);
                    self.parts.plane.set_ha_keys(keys);
                    let outcome = self.parts.plane.apply(&site, &overrides, &rulings);
                    if let (Ok(_), Some((_, ha, agents))) = (&outcome, read) {
                        (self.parts.secrets.ha, self.parts.secrets.agents) = (ha, agents);
                    }
                    if outcome.is_ok() && !Arc::ptr_eq(&site, self.parts.director.site()) {
                        self.config_digest = site_file::digest(&site);
                        self.hooks.configure(&site.ha.hooks);
                    }
                    self.hear(Input::Applied(outcome));
                    self.refresh_agents();
                }
                Effect::Attach { mac } => {
                    let outcome = self.parts.plane.attach(mac);
                    self.hear(Input::Attached(outcome));
                }
                Effect::Twin(input) => self.command(Command::Ha(input)),
                Effect::TwinSite => self.refresh_pair(),
                Effect::TwinAgain { address } => self.command(Command::Again { address }),
                Effect::Count(servers) => {
                    let counts = self.parts.plane.data().count(&servers);
                    self.hear(Input::Counted(counts));
                }
                Effect::Probe(probe) => {
                    let way = self.way(probe.target.server);
                    self.advisors.probe(probe, way);
                }
                Effect::Diagnose(question) => {
                    let way = self.way(question.target.server);
                    self.advisors.look(question, way);
                }
                Effect::Answer { ticket, outcome } => self.answer(ticket, outcome),
                Effect::Tell(event) => self.tell(&event),
                Effect::Hook { kind, about, message } => self.call_hook(kind, about, message),
                Effect::Ready => self.supervisor.ready(self.parts.director.summary()),
                Effect::Leave { keep } => self.leaving = Some(keep),
            }
        }
    }

    /// Where a server is, as far as anybody knows.
    fn way(&self, server: IpAddr) -> Way {
        let Parts { director, plane, .. } = &self.parts;
        let is_dispatcher = director.site().nodes.iter().any(|node| node.address == server);
        let on_link = |index: u32, macs| match director.interface_name(index) {
            Some(name) => Place::Link { index, name: name.to_owned(), macs },
            None => Place::Link { index, name: director.node().interface.clone(), macs },
        };
        let place = match (director.route(server), plane.link(server)) {
            (Some(Route::Via { gateway, .. }), _) => Place::Behind(gateway),
            (Some(Route::Local), _) | (_, Some(Link::Local)) => Place::Here,
            (_, Some(Link::Remote { mac, source, interface })) => {
                on_link(interface, Some([Mac(source), Mac(mac)]))
            }
            (Some(Route::OnLink { interface, .. }), None) => on_link(interface, None),
            (Some(Route::Unreachable) | None, None) => {
                on_link(director.own_interface().map_or(0, |own| own.index), None)
            }
        };
        Way { place, is_dispatcher }
    }

    fn command(&self, command: Command) {
        if let Some(pair) = &self.parts.pair {
            pair.command(command);
        }
    }

    /// The clusters that partners' news is about.
    fn clusters_of(&self, input: &Input) -> Vec<String> {
        let Input::Twin(HaEvent::Changed { group, .. } | HaEvent::Duel { group, .. }) = input else {
            return Vec::new();
        };
        let site = self.parts.director.site();
        let groups = site.groups();
        let group = groups.iter().filter(|of| of.number == *group);
        group.flat_map(|of| of.clusters.iter().map(|&at| site.clusters[at].name.clone())).collect()
    }

    /// The clusters that the node has for itself alone.
    fn clusters_alone(&self) -> Vec<String> {
        let (site, node) = (self.parts.director.site(), &self.parts.director.node().name);
        let alone = site.clusters.iter().filter(|of| of.backup.is_none() && of.primary == *node);
        alone.map(|cluster| cluster.name.clone()).collect()
    }

    /// Has the program of an event started.
    fn call_hook(&mut self, kind: EventKind, about: About, message: String) {
        let Some(event) = kind.hook() else { return };
        let clusters = match kind {
            EventKind::Active | EventKind::Standby => self.clusters_alone(),
            _ => self.about.clone(),
        };
        let occasion = Occasion { event, clusters, about, message };
        if let Err(failure) = self.hooks.call(occasion) {
            self.hear(Input::HookFailed(failure));
        }
    }

    fn tell(&mut self, event: &journal::Event) {
        let kind = event.kind.word();
        match event.kind.severity() {
            Severity::Info => tracing::info!(kind, number = event.number, "{}", event.message),
            Severity::Warn => tracing::warn!(kind, number = event.number, "{}", event.message),
        }
        // Nobody follows: nobody misses it.
        drop(self.events.send(self.parts.started.event(event)));
        match event.kind {
            EventKind::Stopping | EventKind::Detached => self.supervisor.stopping(&event.message),
            EventKind::Reloaded | EventKind::ReloadRefused | EventKind::ApplyFailed => {
                self.supervisor.ready(self.parts.director.summary());
            }
            _ => self.supervisor.status(|| self.parts.director.summary()),
        }
    }

    fn answer(&mut self, ticket: Ticket, outcome: Result<Vec<String>, Refusal>) {
        let Some(waiting) = self.waiting.remove(&ticket) else { return };
        let outcome = match outcome {
            Ok(changes) => Outcome::Changed(Changed { changes }),
            Err(Refusal { message, hint, details }) => Outcome::Error(ApiError { message, hint, details }),
        };
        // Whoever asked may have left.
        drop(waiting.send(Answer::One(Box::new(outcome))));
    }

    fn question(&mut self, Question { request, answer }: Question) {
        let now = self.now();
        let Parts { director, plane, pair, agents, config, started, .. } = &mut self.parts;
        let outcome = match request {
            Request::Status => {
                let process =
                    Process { config, config_digest: &self.config_digest, now, pair: pair.as_ref(), agents };
                Outcome::Status(status::status(director, plane, &process))
            }
            Request::Servers => Outcome::Servers(status::servers(director, plane, now)),
            Request::Flows(query) => Outcome::Flows(status::flows(director, plane, &query)),
            Request::Explain(query) => {
                explain(director, plane, &query).map_or_else(Outcome::Error, Outcome::Explanation)
            }
            Request::Drain(query) => {
                let within = query.release_after_seconds.map(Duration::from_secs);
                let wish = within.map_or(Wish::Drain, Wish::DrainWithin);
                return self.order(answer, query.server, query.cluster, wish);
            }
            Request::Undrain(query) => return self.order(answer, query.server, query.cluster, Wish::Undrain),
            Request::Weight(query) => {
                return self.order(answer, query.server, query.cluster, Wish::Weight(query.weight));
            }
            Request::Takeover(query) => {
                let ticket = self.ticket(answer);
                let TakeoverQuery { cluster, force } = query;
                return self.hear(Input::Takeover { ticket, cluster, force });
            }
            Request::Reload => {
                let ticket = self.ticket(answer);
                return self.begin_reload(Some(ticket));
            }
            Request::Events(query) => {
                let after = query.after.unwrap_or(0);
                let past = director.journal().after(after).map(|event| started.event(event)).collect();
                let next = query.follow.then(|| self.events.subscribe());
                drop(answer.send(Answer::Events { past, next }));
                return;
            }
        };
        drop(answer.send(Answer::One(Box::new(outcome))));
    }

    fn order(
        &mut self,
        answer: oneshot::Sender<Answer>,
        server: String,
        cluster: Option<String>,
        wish: Wish,
    ) {
        let ticket = self.ticket(answer);
        self.hear(Input::Order { ticket, order: Order { server, cluster, wish } });
    }

    fn ticket(&mut self, answer: oneshot::Sender<Answer>) -> Ticket {
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        self.waiting.insert(ticket, answer);
        ticket
    }

    /// Reads the file on another thread: a slow disk must not keep the lease from being renewed.
    fn begin_reload(&mut self, ticket: Option<Ticket>) {
        self.supervisor.reloading();
        let (config, read) = (self.parts.config.clone(), self.reads.0.clone());
        let key = self.parts.secrets.site.clone();
        tokio::task::spawn_blocking(move || {
            let site = site_file::read(&config).and_then(|site| {
                let partners = site_key::of_partners(&site.ha, &key)?;
                let agents = agents::of_site(&site.agents, &key)?;
                Ok((site, partners, agents))
            });
            // The loop may have ended meanwhile.
            drop(read.blocking_send((ticket, site)));
        });
    }

    fn site_was_read(&mut self, (ticket, site): Read) {
        give_memory_back();
        let outcome = match site {
            Ok((site, partners, agents)) => {
                let site = Arc::new(site);
                self.read = Some((Arc::clone(&site), partners, agents));
                Ok(site)
            }
            Err(error) => {
                error.details().iter().for_each(|line| tracing::info!("{line}"));
                let ApiError { message, hint, details } = (&error).into();
                Err(Refusal { message, hint, details })
            }
        };
        self.hear(Input::Reload { ticket, outcome });
    }
}

/// Sleeps until then, or for ever.
async fn sleep(until: Option<tokio::time::Instant>) {
    match until {
        Some(until) => sleep_until(until).await,
        None => std::future::pending().await,
    }
}
