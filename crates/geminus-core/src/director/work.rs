//! Being active, reloading, obeying, leaving: what the director does with its lease and its data plane.

use std::sync::Arc;
use std::time::Duration;

use super::lease::Renewal;
use super::orders::{self, Order, Refusal, Wish};
use super::twin::{self, LEAVE_PATIENCE, Leaving};
use super::{
    ATTACH_RETRY, DETACH_LEASE, Director, Effect, Instant, STAGE_PATIENCE, Ticket, changes, fleet, reload,
    words,
};
use crate::ha;
use crate::journal::EventKind;
use crate::model::Site;
use crate::plan::{Overrides, Rulings};

/// Time between two changes of what the data plane holds of servers, at least: what comes together goes together, and a
/// thousand servers that fall one by one do not make a thousand rings.
const RULINGS_SPACING: Duration = Duration::from_millis(20);

/// How often the data plane is told again what it refused.
const RULINGS_RETRY: Duration = Duration::from_secs(1);

/// What is asked of the data plane.
#[derive(Debug)]
pub(super) enum Request {
    Order {
        ticket: Ticket,
        order: Order,
    },
    Reload {
        ticket: Option<Ticket>,
        site: Arc<Site>,
    },
    /// What was found of servers and pools.
    Rulings,
}

impl Request {
    const fn ticket(&self) -> Option<Ticket> {
        match self {
            Self::Order { ticket, .. } => Some(*ticket),
            Self::Reload { ticket, .. } => *ticket,
            Self::Rulings => None,
        }
    }
}

/// What the data plane is doing; one at a time.
#[derive(Debug)]
pub(super) struct Job {
    request: Request,
    /// What is wanted of the servers once it is done.
    overrides: Overrides,
    /// What is found of servers and pools, likewise.
    rulings: Arc<Rulings>,
}

/// What the data plane was told of servers and pools, and what it is still to be told.
#[derive(Debug)]
pub(super) struct Ruled {
    applied: Arc<Rulings>,
    wanted: Arc<Rulings>,
    /// No sooner than then.
    not_before: Option<Instant>,
    /// Whether it was told that the data plane refuses.
    refused: bool,
}

impl Ruled {
    pub(super) fn new(applied: Arc<Rulings>) -> Self {
        Self { wanted: Arc::clone(&applied), applied, not_before: None, refused: false }
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.not_before.filter(|_| !Arc::ptr_eq(&self.applied, &self.wanted))
    }
}

/// A configuration that waits for the hardware addresses of its new servers.
#[derive(Debug)]
pub(super) struct Staged {
    pub(super) ticket: Option<Ticket>,
    pub(super) site: Arc<Site>,
    pub(super) until: Instant,
}

impl Director {
    /// `leases`: what is left of that of the clusters without a backup, and of the longest of those with one.
    pub(super) fn begin(&mut self, adopted: bool, leases: [Duration; 2], now: Instant) {
        let started = format!("node {} runs on {}", self.node.name, self.node.interface);
        self.tell(EventKind::Started, started, now);
        if adopted {
            let left = leases.into_iter().max().unwrap_or_default().as_millis();
            let message = format!("the data plane was found running with {left} ms of its lease left");
            self.tell(EventKind::Adopted, message, now);
        }
        if adopted && leases.iter().any(|left| !left.is_zero()) {
            // Its tables already hold every hardware address, and clients are being served: no pause for warming up.
            self.go_active(now);
        }
        if self.ports.own().is_none() {
            self.lost(now);
        }
    }

    /// After every input: what follows from it.
    pub(super) fn turn(&mut self, now: Instant) {
        self.pass_on(now);
        let warm = self.neighbours.is_warm();
        if self.cold_until.is_some_and(|until| warm || until <= now) {
            self.go_active(now);
        }
        if let Some(staged) = self.staged.take_if(|staged| warm || staged.until <= now) {
            self.waiting.push_back(Request::Reload { ticket: staged.ticket, site: staged.site });
        }
        self.turn_care(now);
        self.next_job(now);
        self.announcer.handle_timeout(now);
        self.pass_on(now);
        self.tell_fit();
    }

    /// Takes the lease if any cluster is ours, gives it up if none is.
    fn go_active(&mut self, now: Instant) {
        if self.cold_until.take().is_some() {
            self.effects.push_back(Effect::Ready);
        }
        let length = self.site.ha.lease;
        match (self.ours().count(), self.lease.is_held()) {
            (0, true) => {
                self.lease.give_up(now);
                self.effects.push_back(Effect::Release);
                let message = format!("no cluster has node {} as its primary any more", self.node.name);
                self.tell(EventKind::Standby, message, now);
            }
            // What the node is for the others, the heartbeat thread says.
            (0, false) if self.twin.is_some() => {}
            (0, false) => {
                let message = format!("no cluster has node {} as its primary", self.node.name);
                self.tell(EventKind::Standby, message, now);
            }
            (clusters, held) => {
                self.lease.take(length, now);
                self.effects.push_back(Effect::Renew(length));
                if !held {
                    let message =
                        format!("active for {clusters} clusters, {} ms at a time", length.as_millis());
                    self.tell(EventKind::Active, message, now);
                }
            }
        }
        self.own_addresses(now);
    }

    pub(super) fn renewed(&mut self, renewal: Renewal, now: Instant) {
        self.effects.push_back(Effect::Renew(self.lease.length()));
        match renewal {
            Renewal::Routine => {}
            Renewal::Lapsed(over) => {
                let message = format!("the daemon did not run in time: no lease for {} ms", over.as_millis());
                self.tell(EventKind::LeaseLapsed, message, now);
                self.announcer.again(now);
            }
        }
    }

    pub(super) fn reload(
        &mut self,
        ticket: Option<Ticket>,
        outcome: Result<Arc<Site>, Refusal>,
        now: Instant,
    ) {
        let checked = outcome.and_then(|site| {
            reload::check(&self.site, &site, &self.node)?;
            twin::check_reload(&self.site, &site, &self.node.name)?;
            Ok(site)
        });
        match checked {
            Err(refusal) => {
                let details = refusal.details.len();
                let more = if details > 1 { format!(" ({details} errors)") } else { String::new() };
                self.tell(EventKind::ReloadRefused, format!("{}{more}", refusal.message), now);
                self.answer(ticket, Err(refusal));
            }
            Ok(site) => {
                let until = now + STAGE_PATIENCE;
                if let Some(older) = self.staged.replace(Staged { ticket, site, until }) {
                    let refusal = Refusal::new("a later reload took the place of this one", "nothing to do");
                    self.answer(older.ticket, Err(refusal));
                }
                self.want_servers();
                self.effects.push_back(Effect::ReadNeighbours);
                self.neighbours.handle_timeout(now);
            }
        }
    }

    fn next_job(&mut self, now: Instant) {
        self.rule(now);
        while self.applying.is_none()
            && let Some(request) = self.waiting.pop_front()
        {
            let node = &self.node.name;
            let wanted = match &request {
                Request::Rulings => Ok((Arc::clone(&self.site), self.overrides.clone())),
                Request::Order { order, .. } => order
                    .apply(&self.site, node, &self.overrides, self.kernel_start.at(now))
                    .map(|after| (Arc::clone(&self.site), after)),
                Request::Reload { site, .. } => {
                    Ok((Arc::clone(site), orders::surviving(site, node, &self.overrides)))
                }
            };
            match wanted {
                Err(refusal) => self.answer(request.ticket(), Err(refusal)),
                Ok((site, overrides)) => {
                    let same = Arc::ptr_eq(&site, &self.site);
                    let rulings = match same {
                        true => Arc::clone(&self.ruled.wanted),
                        false => {
                            Arc::new(fleet::translated(&self.ruled.wanted, &self.care.fleet, &site, node))
                        }
                    };
                    self.effects.push_back(Effect::Apply {
                        site,
                        overrides: overrides.clone(),
                        rulings: Arc::clone(&rulings),
                    });
                    self.applying = Some(Job { request, overrides, rulings });
                }
            }
        }
    }

    /// What was found since comes before everything that waits: a server that is down must get nothing more.
    fn rule(&mut self, now: Instant) {
        if let Some(rulings) = self.care.fleet.take_rulings()
            && *rulings != *self.ruled.wanted
        {
            let same = *rulings == *self.ruled.applied;
            self.ruled.wanted =
                if same { Arc::clone(&self.ruled.applied) } else { Arc::new(rulings.clone()) };
        }
        let news = !Arc::ptr_eq(&self.ruled.wanted, &self.ruled.applied);
        let may = self.ruled.not_before.is_none_or(|not_before| not_before <= now);
        if news && may && self.applying.is_none() {
            self.ruled.not_before = Some(now + RULINGS_SPACING);
            self.waiting.push_front(Request::Rulings);
        }
    }

    pub(super) fn applied(&mut self, outcome: Result<Vec<String>, String>, now: Instant) {
        let Some(Job { request, overrides, rulings }) = self.applying.take() else { return };
        let ticket = request.ticket();
        let answer = match outcome {
            Ok(notes) => {
                if *rulings == *self.ruled.wanted {
                    self.ruled.wanted = Arc::clone(&rulings);
                }
                self.ruled.applied = rulings;
                self.ruled.refused = false;
                Ok(match request {
                    Request::Rulings => return,
                    Request::Order { order, .. } => self.obeyed(&order, overrides, notes, now),
                    Request::Reload { site, .. } => self.reloaded(site, overrides, notes, now),
                })
            }
            Err(because) => {
                if matches!(request, Request::Rulings) {
                    return self.rulings_refused(&because, now);
                }
                self.want_servers();
                self.tell(EventKind::ApplyFailed, format!("the data plane refused a change: {because}"), now);
                Err(Refusal::new(because, "nothing has changed; geminus check says what fits"))
            }
        };
        self.answer(ticket, answer);
    }

    /// Told once, and tried again until it works.
    fn rulings_refused(&mut self, because: &str, now: Instant) {
        self.ruled.not_before = Some(now + RULINGS_RETRY);
        if !std::mem::replace(&mut self.ruled.refused, true) {
            let message = format!(
                "the data plane refused what was found of servers: {because}; it is told again every second"
            );
            self.tell(EventKind::ApplyFailed, message, now);
        }
    }

    fn obeyed(
        &mut self,
        order: &Order,
        overrides: Overrides,
        notes: Vec<String>,
        now: Instant,
    ) -> Vec<String> {
        let before = std::mem::replace(&mut self.overrides, overrides);
        self.wishes_changed(order, &before, now);
        let mut changes =
            changes::of_overrides(&self.site, &self.node.name, &order.server, &before, &self.overrides);
        if let Wish::DrainWithin(time) = order.wish {
            let time = words::time(time);
            changes.push(format!("server {}: flows that are left go to others in {time}", order.server));
        }
        if !changes.is_empty() {
            self.tell(order.kind(), order.told(), now);
            let partners = order.partners(&self.site, &self.node.name);
            changes.extend(partners.map(|partner| {
                format!("{partner} is not told, and does as before when it takes over: the same order there")
            }));
        }
        changes.extend(notes);
        changes
    }

    fn reloaded(
        &mut self,
        site: Arc<Site>,
        overrides: Overrides,
        notes: Vec<String>,
        now: Instant,
    ) -> Vec<String> {
        let before = std::mem::replace(&mut self.site, site);
        self.overrides = overrides;
        if let Some(node) = self.site.nodes.iter().find(|node| node.name == self.node.name) {
            self.node = node.clone();
        }
        self.want_servers();
        self.change_care(now);
        self.change_twin();
        if self.cold_until.is_none() && (self.lease.is_held() || self.ours().next().is_some()) {
            self.go_active(now);
        }
        let mut changes = changes::of_sites(&before, &self.site, &self.node.name);
        changes.extend(notes);
        let what = match changes.as_slice() {
            [] => "no change".to_owned(),
            [only] => only.clone(),
            [first, rest @ ..] => format!("{first} and {} more changes", rest.len()),
        };
        self.tell(EventKind::Reloaded, format!("the configuration was read again: {what}"), now);
        changes
    }

    pub(super) fn attach(&mut self, now: Instant) {
        self.attached = false;
        self.attach_retry = None;
        match self.ports.own().and_then(|port| port.mac) {
            Some(mac) => self.effects.push_back(Effect::Attach { mac }),
            None => self.attach_retry = self.ports.own().map(|_| now + ATTACH_RETRY),
        }
    }

    pub(super) fn attach_ended(&mut self, outcome: Result<(), String>, now: Instant) {
        let interface = self.node.interface.clone();
        match outcome {
            Ok(()) => {
                self.attached = true;
                self.attach_told = false;
                self.tell(EventKind::LinkBack, format!("the program is attached to {interface}"), now);
                self.announce_again(now);
            }
            Err(because) => {
                self.attach_retry = self.ports.own().map(|_| now + ATTACH_RETRY);
                if !std::mem::replace(&mut self.attach_told, true) {
                    self.tell(
                        EventKind::AttachFailed,
                        format!("cannot attach to {interface}: {because}"),
                        now,
                    );
                }
            }
        }
    }

    /// Leaves; where there is a partner, once the heartbeat thread has handed over or let go.
    pub(super) fn stop(&mut self, detach: bool, now: Instant) {
        match (self.twin.is_some(), self.leaving) {
            (false, _) => self.leave(detach, now),
            (true, None) => {
                self.effects.push_back(Effect::Twin(ha::Input::Stop { keep: detach }));
                self.leaving = Some(Leaving { detach, until: now + LEAVE_PATIENCE });
            }
            // Said twice: whoever says it does not want to wait.
            (true, Some(_)) => {
                self.leaving = None;
                self.leave(detach, now);
            }
        }
    }

    pub(super) fn leave(&mut self, detach: bool, now: Instant) {
        let forwards = self.lease.is_held() || self.site.clusters.iter().any(|one| self.standing(one).active);
        let held = self.lease.is_held();
        self.effects.push_back(if detach && held { Effect::Renew(DETACH_LEASE) } else { Effect::Release });
        if detach && forwards {
            let minutes = DETACH_LEASE.as_secs() / 60;
            let message = format!("the data plane goes on without the daemon for {minutes} min");
            self.tell(EventKind::Detached, message, now);
        } else if detach {
            self.tell(
                EventKind::Stopping,
                "the daemon leaves a data plane behind that forwards nothing",
                now,
            );
        } else {
            self.tell(EventKind::Stopping, "the daemon leaves and the data plane with it", now);
        }
        self.effects.push_back(Effect::Leave { keep: detach });
        self.stopping = true;
    }

    pub(super) fn answer(&mut self, ticket: Option<Ticket>, outcome: Result<Vec<String>, Refusal>) {
        self.effects.extend(ticket.map(|ticket| Effect::Answer { ticket, outcome }));
    }
}
