//! The hardware address of every server, kept fresh.
//!
//! The kernel resolves a neighbour when a packet of its own needs it; the XDP program sends past the kernel, so nobody
//! would ask. This machine asks itself: fast until the first answer, then calmly by unicast, fast again by broadcast as
//! soon as one answer is missing. A check by the clients' road goes where the program sends: while such checks are
//! answered nobody is asked, and the first that is not has the server asked at once. What was learned stays in use until
//! something better is heard: a server that does not answer ARP for a while may still answer its clients, and whether it
//! is alive is another machine's question.
//!
//! Sans-IO: the driver looks routes up, sends probes, passes on what it hears and the time.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use crate::director::{Instant, Pace};

/// First wait for an answer; doubles with each miss up to [`RETRY_MOST`].
pub const RETRY_FIRST: Duration = Duration::from_millis(50);

/// Longest wait for an answer while a server has been silent for less than [`PATIENCE`] probes.
pub const RETRY_MOST: Duration = Duration::from_secs(1);

/// After this many probes without an answer, one every [`RETRY_PATIENT`] will do.
pub const PATIENCE: u32 = 30;

/// See [`PATIENCE`].
pub const RETRY_PATIENT: Duration = Duration::from_secs(5);

/// A known server is asked this often at most: a changed hardware address is in use within a second.
pub const REFRESH: Duration = Duration::from_millis(700);

/// Each known server stretches everyone's refresh by this much, so that all of them together cause 250 probes a second
/// at most.
pub const REFRESH_EACH: Duration = Duration::from_millis(4);

/// A first answer may take this long before a known server is asked by broadcast.
pub const ANSWER: Duration = Duration::from_millis(100);

/// Probes without an answer until a server counts as silent, and until a new one no longer holds up the start.
pub const MISSES: u32 = 3;

/// A hardware address that was just learned stands for this long against others (the kernel's `locktime`).
pub const LOCK: Duration = Duration::from_secs(1);

/// A probe looked at this much later than it was due tells about us, not about the server.
const LATE: Duration = Duration::from_millis(250);

/// Route changes are gathered for this long, and looked at no more often than once in [`ROUTES_PAUSE`].
const ROUTES_GATHER: Duration = Duration::from_millis(50);

/// See [`ROUTES_GATHER`].
const ROUTES_PAUSE: Duration = Duration::from_secs(1);

/// 2 000 probes a second, 20 at once.
const PROBES: Pace = Pace::new(20, Duration::from_millis(10));

/// 20 000 route look-ups a second, 200 at once; each is a system call of a few microseconds.
const ROUTES: Pace = Pace::new(200, Duration::from_millis(10));

/// An Ethernet address, first byte on the wire first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mac(pub [u8; 6]);

impl Mac {
    /// To every host of the link.
    pub const BROADCAST: Self = Self([0xff; 6]);

    /// Whether it can be the address of one host.
    pub const fn is_host(self) -> bool {
        self.0[0] & 1 == 0 && !matches!(self.0, [0, 0, 0, 0, 0, 0])
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// How the kernel would send to a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    /// Straight, over the interface with this index, from this address of ours if the kernel has a preference.
    OnLink {
        /// Index of the interface.
        interface: u32,
        /// Our preferred address there.
        source: Option<IpAddr>,
    },
    /// Through a router.
    Via {
        /// Index of the interface.
        interface: u32,
        /// The router.
        gateway: IpAddr,
    },
    /// It is an address of this machine: the server is collocated.
    Local,
    /// Not at all.
    Unreachable,
}

/// Where frames for a server go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// To this machine's own stack.
    Local,
    /// To a neighbour.
    Neighbour {
        /// Index of the interface.
        interface: u32,
        /// The server's hardware address there.
        mac: Mac,
    },
}

/// How well a hardware address is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Evidence {
    /// The kernel remembers it, but has not checked it lately.
    Stale,
    /// A neighbour advertisement without the override flag (RFC 4861, 7.2.5): good if nothing else is known.
    Advice,
    /// The kernel checked it.
    Confirmed,
    /// An ARP reply or an advertisement with the override flag.
    Reply,
    /// An operator's static entry in the kernel's table.
    Static,
}

/// What the driver does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Look the route to this server up and answer with [`Neighbours::learn_route`].
    AskRoute(IpAddr),
    /// Send an ARP request or a neighbour solicitation.
    Probe(Probe),
    /// From now on frames for this server go there.
    Reach(IpAddr, Reach),
    /// Something to write down.
    Notice(IpAddr, Notice),
}

/// One question to a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Probe {
    /// Who is asked.
    pub server: IpAddr,
    /// Over which interface.
    pub interface: u32,
    /// Our address there, as the route prefers it.
    pub source: Option<IpAddr>,
    /// Only to this hardware address; none: to all.
    pub mac: Option<Mac>,
}

/// What an operator may want to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notice {
    /// The first hardware address was learned.
    Resolved(Mac),
    /// The server has another hardware address.
    Moved {
        /// Until now.
        from: Mac,
        /// From now on.
        to: Mac,
    },
    /// It is this machine.
    Collocated,
    /// No answer to [`MISSES`] probes in a row.
    Silent,
    /// An answer after silence.
    Back,
    /// It is behind a router.
    NotOnLink {
        /// The router.
        gateway: IpAddr,
    },
    /// There is no route to it.
    NoRoute,
}

#[derive(Debug, Clone, Copy, Default)]
struct Neighbour {
    route: Option<Route>,
    reach: Option<Reach>,
    /// When `reach` last changed to another hardware address.
    moved: Option<Instant>,
    /// The operator's static entry, as long as the kernel has one.
    fixed: Option<(u32, Mac)>,
    unanswered: u32,
    silent: bool,
    /// Whether it no longer holds up the start.
    settled: bool,
    due: Option<Instant>,
}

impl Neighbour {
    /// The hardware address in use, if it is on the interface that the route takes.
    fn known(&self) -> Option<Mac> {
        match (self.reach, self.route) {
            (Some(Reach::Neighbour { interface, mac }), Some(Route::OnLink { interface: on, .. }))
                if on == interface =>
            {
                Some(mac)
            }
            _ => None,
        }
    }
}

/// All servers' hardware addresses.
#[derive(Debug)]
pub struct Neighbours {
    servers: BTreeMap<IpAddr, Neighbour>,
    due: BTreeSet<(Instant, IpAddr)>,
    unasked: BTreeSet<IpAddr>,
    unsettled: usize,
    routes_due: Option<Instant>,
    routes_asked: Option<Instant>,
    actions: VecDeque<Action>,
    probes: Pace,
    routes: Pace,
    jitter: u64,
}

impl Neighbours {
    /// Nobody yet. `seed` spreads the probes; any number will do.
    pub fn new(seed: u64) -> Self {
        Self {
            servers: BTreeMap::new(),
            due: BTreeSet::new(),
            unasked: BTreeSet::new(),
            unsettled: 0,
            routes_due: None,
            routes_asked: None,
            actions: VecDeque::new(),
            probes: PROBES,
            routes: ROUTES,
            jitter: seed,
        }
    }

    /// Exactly these servers matter from now on; what is known about those that stay is kept.
    pub fn want(&mut self, servers: impl IntoIterator<Item = IpAddr>) {
        let wanted: BTreeSet<_> = servers.into_iter().collect();
        let gone: Vec<_> = self.servers.keys().filter(|server| !wanted.contains(server)).copied().collect();
        for server in gone {
            self.forget(server);
        }
        for server in wanted {
            if let std::collections::btree_map::Entry::Vacant(place) = self.servers.entry(server) {
                place.insert(Neighbour::default());
                self.unasked.insert(server);
                self.unsettled += 1;
            }
        }
    }

    /// Whether every server has a hardware address, or has been given its chance.
    pub const fn is_warm(&self) -> bool {
        self.unsettled == 0
    }

    /// Where frames for a server go, if that is known.
    pub fn reach(&self, server: IpAddr) -> Option<Reach> {
        self.servers.get(&server)?.reach
    }

    /// The route to a server, if it was looked up.
    pub fn route(&self, server: IpAddr) -> Option<Route> {
        self.servers.get(&server)?.route
    }

    /// Every server with where its frames go, in the order of the addresses.
    pub fn reaches(&self) -> impl Iterator<Item = (IpAddr, Reach)> + '_ {
        self.servers.iter().filter_map(|(&server, neighbour)| Some((server, neighbour.reach?)))
    }

    /// Routes, addresses or links changed: every route is looked up again soon.
    pub fn routes_changed(&mut self, now: Instant) {
        if self.routes_due.is_none() {
            let pause = self.routes_asked.map_or(now, |asked| asked + ROUTES_PAUSE);
            self.routes_due = Some(pause.max(now + ROUTES_GATHER));
        }
    }

    /// The answer to [`Action::AskRoute`].
    pub fn learn_route(&mut self, server: IpAddr, route: Route, now: Instant) {
        self.unasked.remove(&server);
        let Some(neighbour) = self.servers.get_mut(&server) else { return };
        let before = neighbour.route.replace(route);
        if before.map(kind) == Some(kind(route)) {
            return;
        }
        match route {
            Route::OnLink { interface, .. } => {
                let fixed = neighbour.fixed.filter(|&(on, _)| on == interface);
                neighbour.unanswered = 0;
                self.schedule(server, Some(now));
                if let Some((interface, mac)) = fixed {
                    self.hear(server, interface, mac, Evidence::Static, now);
                }
            }
            Route::Via { gateway, .. } => {
                self.unreachable(server, Notice::NotOnLink { gateway });
            }
            Route::Unreachable => self.unreachable(server, Notice::NoRoute),
            Route::Local => {
                neighbour.reach = Some(Reach::Local);
                neighbour.silent = false;
                self.schedule(server, None);
                self.settle(server);
                self.actions.push_back(Action::Reach(server, Reach::Local));
                self.actions.push_back(Action::Notice(server, Notice::Collocated));
            }
        }
    }

    /// Somebody says that `server` has this hardware address.
    pub fn hear(&mut self, server: IpAddr, interface: u32, mac: Mac, evidence: Evidence, now: Instant) {
        let Some(neighbour) = self.servers.get_mut(&server) else { return };
        if !mac.is_host() {
            return;
        }
        if evidence == Evidence::Static {
            neighbour.fixed = Some((interface, mac));
        }
        let on_link = matches!(neighbour.route, Some(Route::OnLink { interface: on, .. }) if on == interface);
        let overruled = neighbour.fixed.is_some_and(|fixed| fixed != (interface, mac));
        if !on_link || overruled {
            return;
        }
        let reach = Reach::Neighbour { interface, mac };
        match neighbour.reach {
            Some(known) if known == reach => self.confirm(server, evidence, now),
            Some(Reach::Neighbour { interface: on, mac: from }) if on == interface => {
                let locked = neighbour.moved.is_some_and(|moved| now.since(moved) < LOCK);
                if evidence < Evidence::Confirmed || (locked && evidence != Evidence::Static) {
                    return;
                }
                neighbour.moved = Some(now);
                self.adopt(server, reach, Notice::Moved { from, to: mac });
                self.confirm(server, evidence, now);
            }
            Some(Reach::Local | Reach::Neighbour { .. }) | None => {
                self.adopt(server, reach, Notice::Resolved(mac));
                self.confirm(server, evidence, now);
            }
        }
    }

    /// The kernel's entry for `server` is no longer static.
    pub fn unfix(&mut self, server: IpAddr, interface: u32, now: Instant) {
        let Some(neighbour) = self.servers.get_mut(&server) else { return };
        if neighbour.fixed.take_if(|(on, _)| *on == interface).is_some() {
            let on_link = matches!(neighbour.route, Some(Route::OnLink { .. }));
            self.schedule(server, on_link.then_some(now));
        }
    }

    /// What was sent at `tried` to where frames for `server` go was answered: as good as an answer to a probe.
    pub fn proven(&mut self, server: IpAddr, tried: Instant, now: Instant) {
        let Some(neighbour) = self.servers.get(&server) else { return };
        let in_use = neighbour.known().is_some() && neighbour.moved.is_none_or(|moved| moved < tried);
        if in_use && neighbour.fixed.is_none() {
            self.confirm(server, Evidence::Confirmed, now);
        }
    }

    /// What was sent to where frames for `server` go was not answered: it is asked now whether it is still there.
    pub fn doubt(&mut self, server: IpAddr, now: Instant) {
        let Some(neighbour) = self.servers.get(&server) else { return };
        let calm = neighbour.unanswered == 0 && neighbour.due.is_some_and(|due| due > now);
        if calm && neighbour.known().is_some() {
            self.schedule(server, Some(now));
        }
    }

    /// Does what is due, as far as the pace allows.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.routes_due.is_some_and(|due| due <= now) {
            self.routes_due = None;
            self.routes_asked = Some(now);
            self.unasked.extend(self.servers.keys());
        }
        while !self.unasked.is_empty() && self.routes.take(now) {
            self.actions.extend(self.unasked.pop_first().map(Action::AskRoute));
        }
        while let Some(&(due, server)) = self.due.first() {
            if due > now || !self.probes.take(now) {
                break;
            }
            self.probe(server, due, now);
        }
    }

    /// When [`Self::handle_timeout`] wants to be called, if ever.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let routes = (!self.unasked.is_empty()).then(|| self.routes.open_at());
        let probe = self.due.first().map(|&(due, _)| due.max(self.probes.open_at()));
        [routes, probe, self.routes_due].into_iter().flatten().min()
    }

    /// The next thing to do.
    pub fn poll(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    fn forget(&mut self, server: IpAddr) {
        self.schedule(server, None);
        self.settle(server);
        self.unasked.remove(&server);
        self.servers.remove(&server);
    }

    fn settle(&mut self, server: IpAddr) {
        if let Some(neighbour) = self.servers.get_mut(&server)
            && !std::mem::replace(&mut neighbour.settled, true)
        {
            self.unsettled -= 1;
        }
    }

    fn schedule(&mut self, server: IpAddr, due: Option<Instant>) {
        let Some(neighbour) = self.servers.get_mut(&server) else { return };
        if let Some(old) = std::mem::replace(&mut neighbour.due, due) {
            self.due.remove(&(old, server));
        }
        self.due.extend(due.map(|due| (due, server)));
    }

    fn unreachable(&mut self, server: IpAddr, notice: Notice) {
        self.schedule(server, None);
        self.settle(server);
        self.actions.push_back(Action::Notice(server, notice));
    }

    fn adopt(&mut self, server: IpAddr, reach: Reach, notice: Notice) {
        let Some(neighbour) = self.servers.get_mut(&server) else { return };
        neighbour.reach = Some(reach);
        self.settle(server);
        self.actions.push_back(Action::Reach(server, reach));
        self.actions.push_back(Action::Notice(server, notice));
    }

    /// What is in use was heard again.
    fn confirm(&mut self, server: IpAddr, evidence: Evidence, now: Instant) {
        let refresh = self.refresh();
        let Some(neighbour) = self.servers.get_mut(&server) else { return };
        match evidence {
            Evidence::Stale | Evidence::Advice => {}
            Evidence::Static => self.schedule(server, None),
            Evidence::Confirmed | Evidence::Reply => {
                neighbour.unanswered = 0;
                if std::mem::take(&mut neighbour.silent) {
                    self.actions.push_back(Action::Notice(server, Notice::Back));
                }
                self.schedule(server, Some(now + refresh));
            }
        }
    }

    fn probe(&mut self, server: IpAddr, due: Instant, now: Instant) {
        let Some(neighbour) = self.servers.get_mut(&server) else { return };
        let Some(Route::OnLink { interface, source }) = neighbour.route else {
            return self.schedule(server, None);
        };
        let known = neighbour.known();
        if neighbour.unanswered >= MISSES && !neighbour.silent && now.since(due) < LATE {
            neighbour.silent = true;
            self.actions.push_back(Action::Notice(server, Notice::Silent));
            self.settle(server);
        }
        let Some(neighbour) = self.servers.get_mut(&server) else { return };
        let first = neighbour.unanswered == 0;
        if now.since(due) < LATE || first {
            neighbour.unanswered = neighbour.unanswered.saturating_add(1);
        }
        let wait = if first && known.is_some() { ANSWER } else { retry(neighbour.unanswered) };
        let mac = known.filter(|_| first);
        self.schedule(server, Some(now + wait));
        self.actions.push_back(Action::Probe(Probe { server, interface, source, mac }));
    }

    /// The pause until a known server is asked again: between 70 and 100 % of the nominal one, so that those
    /// learned together drift apart.
    fn refresh(&mut self) -> Duration {
        self.jitter = self.jitter.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        let servers = u32::try_from(self.servers.len()).unwrap_or(u32::MAX);
        let nominal = REFRESH.max(REFRESH_EACH.saturating_mul(servers));
        let percent = 70 + u32::try_from((self.jitter >> 33) % 31).unwrap_or(0);
        nominal / 100 * percent
    }
}

/// The wait after so many probes without an answer.
fn retry(unanswered: u32) -> Duration {
    if unanswered > PATIENCE {
        return RETRY_PATIENT;
    }
    let doubled = 1u32.checked_shl(unanswered.saturating_sub(1)).unwrap_or(u32::MAX);
    RETRY_FIRST.saturating_mul(doubled).min(RETRY_MOST)
}

/// A route without what may change in it without consequence for the server's hardware address.
const fn kind(route: Route) -> Route {
    match route {
        Route::OnLink { interface, .. } => Route::OnLink { interface, source: None },
        Route::Via { .. } | Route::Local | Route::Unreachable => route,
    }
}

#[cfg(test)]
mod tests;
