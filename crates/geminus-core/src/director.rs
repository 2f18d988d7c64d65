//! The control plane of one node as one machine: what is heard goes in, what is to be done comes out.
//!
//! The driver calls [`Director::handle`] for each input and [`Director::handle_timeout`] when [`Director::poll_timeout`]
//! says so, and after either carries out what [`Director::poll_effect`] gives until it gives nothing. Before it calls
//! `handle_timeout` it passes on everything that was already heard: a late look must not count as a missing answer.

mod agents;
mod changes;
mod checks;
mod counts;
mod fleet;
mod flood;
pub mod frame;
mod ha_config;
mod heard;
mod hours;
mod instant;
mod lease;
mod orders;
mod pace;
mod port;
mod reload;
mod standing;
mod told;
mod twin;
mod twin_told;
mod view;
mod weights;
mod words;
mod work;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use crate::agent::Report;
use crate::announce::Announcer;
use crate::ha;
use crate::health::{Diagnosis, Probe, Question, Reading};
use crate::journal::{Event, EventKind, Journal};
use crate::model::{Cluster, Node, Site};
use crate::neighbour::{Evidence, Mac, Neighbours, Reach, Route};
use crate::plan::{Link, Overrides, Rulings};

use self::checks::Care;
use self::flood::Flood;
use self::lease::Lease;
use self::port::Ports;
use self::twin::{Leaving, Twin};
use self::work::{Job, Request, Ruled, Staged};

pub use self::counts::COUNT_INTERVAL;
pub use self::frame::Claim;
pub use self::ha_config::{Partner, group_addresses, ha_config, partners};
pub use self::instant::{Instant, KernelStart};
pub use self::orders::{Order, Refusal, Wish};
pub(crate) use self::pace::Pace;
pub use self::port::Interface;
pub use self::standing::{Failover, Standing};
pub use self::told::About;
pub use self::twin::{LEAVE_PATIENCE, TAKEOVER_PATIENCE};
pub use self::view::{PoolView, ServerState, ServerView, ServiceView, WeightView, WishesView};

/// How long a node that finds nobody forwarding waits for its servers' hardware addresses before it goes active anyway.
pub const WARM_PATIENCE: Duration = Duration::from_secs(2);

/// How long a new configuration waits for the hardware addresses of its new servers before it is applied anyway.
pub const STAGE_PATIENCE: Duration = Duration::from_secs(1);

/// How long the data plane goes on by itself after `--detach`: enough for an upgrade by hand.
pub const DETACH_LEASE: Duration = Duration::from_secs(600);

/// How often attaching is tried again while it fails.
pub const ATTACH_RETRY: Duration = Duration::from_millis(250);

/// How often the defence of one address against one that claims it is told and answered (RFC 5227, `DEFEND_INTERVAL`).
pub const DEFEND_INTERVAL: Duration = Duration::from_secs(10);

/// Which caller waits for an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ticket(pub u64);

/// Flows of one server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServerCount {
    /// [`crate::plan::server_identity`].
    pub identity: u64,
    /// Remembered and neither ended nor idle for longer than its timeout.
    pub active: u64,
    /// All that were ever given to it, counting on.
    pub total: u64,
    /// How many passes over the whole flow table have ended: `active` is exact only after one.
    pub passes: u64,
}

/// What the clock on the wall says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TimeOfDay {
    /// 0 is Monday.
    pub weekday: u8,
    /// Minute of the day, 0 to 1 439.
    pub minute: u16,
}

/// What the machine hears.
#[derive(Debug, Clone)]
pub enum Input {
    /// Exactly these interfaces exist.
    Interfaces(Vec<Interface>),
    /// One interface is new or changed.
    Interface(Interface),
    /// The interface with this index is gone.
    InterfaceGone(u32),
    /// The usable link-local address of an interface.
    LinkLocal {
        /// Index of the interface.
        interface: u32,
        /// None: it has none any more.
        address: Option<Ipv6Addr>,
    },
    /// Routes, rules or addresses changed.
    RoutesChanged,
    /// The answer to [`Effect::AskRoute`].
    Route {
        /// To whom.
        server: IpAddr,
        /// How.
        route: Route,
    },
    /// The kernel's neighbour table says something about an address.
    KernelNeighbour {
        /// Index of the interface.
        interface: u32,
        /// Whose hardware address.
        address: IpAddr,
        /// The hardware address and how well the kernel knows it; none: it does not.
        known: Option<(Mac, Evidence)>,
    },
    /// A frame that claims an address.
    Claim {
        /// Index of the interface it came in by.
        interface: u32,
        /// What it claims.
        claim: Claim,
    },
    /// The kernel dropped messages; everything has been read anew and passed on.
    Resynced,
    /// An operator's order.
    Order {
        /// Who waits.
        ticket: Ticket,
        /// What is wanted.
        order: Order,
    },
    /// An operator wants this node to be active for what its partner is active for.
    Takeover {
        /// Who waits.
        ticket: Ticket,
        /// Only for the group of this cluster; none: for every group that the node has a role in.
        cluster: Option<String>,
        /// Also where connections may be lost because replication is not complete.
        force: bool,
    },
    /// Something happened at the heartbeat thread.
    Twin(ha::HaEvent),
    /// How things are at the heartbeat thread: every now and then, and after each change.
    TwinView(ha::HaView),
    /// The heartbeat thread has done [`ha::Input::Stop`].
    TwinLeft,
    /// A frame between partners was not authentic, or not of a partner: in words.
    TwinSecurity(String),
    /// Something between partners does not work as it should, and what follows from that: in words.
    TwinWarning(String),
    /// In what the configuration of a partner differs, one line each.
    ConfigDifference {
        /// Index of the partner.
        peer: usize,
        /// The lines.
        lines: Vec<String>,
    },
    /// A program of `[hooks]` could not be started, failed, or took too long: in words.
    HookFailed(String),
    /// A configuration was read, or could not be.
    Reload {
        /// Who waits; none: a signal asked.
        ticket: Option<Ticket>,
        /// The site, or why there is none.
        outcome: Result<Arc<Site>, Refusal>,
    },
    /// The outcome of [`Effect::Apply`]: what else is to be told, or why nothing changed.
    Applied(Result<Vec<String>, String>),
    /// The outcome of [`Effect::Attach`].
    Attached(Result<(), String>),
    /// What came of [`Effect::Probe`].
    Probed(Reading),
    /// What came of [`Effect::Diagnose`].
    Diagnosed {
        /// The server's own address.
        server: IpAddr,
        /// The cluster address in question.
        by: IpAddr,
        /// What was found.
        found: Diagnosis,
    },
    /// Whoever makes the checks has not been heard of for so long: what is known stays, and says nothing of now.
    AdvisorsSilent(Duration),
    /// What an agent says of its host.
    Reported(Report),
    /// Agents' frames that were not authentic, or came before: in words.
    AgentSecurity(String),
    /// Active flows and all flows so far, by server: what [`Effect::Count`] asked for.
    Counted(Vec<ServerCount>),
    /// What the clock on the wall says; at least once a minute, and at once when it is set.
    TimeOfDay(TimeOfDay),
    /// Leave; with `detach` the data plane goes on for [`DETACH_LEASE`].
    Stop {
        /// Whether it goes on.
        detach: bool,
    },
}

/// What the driver does.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Look up the route to a server and answer with [`Input::Route`].
    AskRoute(IpAddr),
    /// Read the kernel's neighbour table and pass it on as [`Input::KernelNeighbour`].
    ReadNeighbours,
    /// Send a frame out of an interface.
    Send {
        /// Index of the interface.
        interface: u32,
        /// The whole frame, Ethernet header first.
        frame: Vec<u8>,
    },
    /// From now on frames for this server go there.
    SetLink {
        /// Every server with this address.
        server: IpAddr,
        /// Where.
        link: Link,
    },
    /// The data plane is active for this long from now on.
    Renew(Duration),
    /// The data plane is no longer active.
    Release,
    /// Make the data plane say this and answer with [`Input::Applied`] before any other input.
    Apply {
        /// The site.
        site: Arc<Site>,
        /// What the operator wants otherwise.
        overrides: Overrides,
        /// What health, the manager, rules and the clock make of it.
        rulings: Arc<Rulings>,
    },
    /// Attach the program to the node's interface, which has this hardware address, and answer with [`Input::Attached`].
    Attach {
        /// Hardware address of the interface.
        mac: Mac,
    },
    /// The heartbeat thread hears this.
    Twin(ha::Input),
    /// The heartbeat thread works with what [`Director::twin_config`] and its fellows say now.
    TwinSite,
    /// The heartbeat thread announces this address again, or every one it owns.
    TwinAgain {
        /// None: every one.
        address: Option<IpAddr>,
    },
    /// Make this check and answer with [`Input::Probed`] within its time.
    Probe(Probe),
    /// Look why, and answer with [`Input::Diagnosed`].
    Diagnose(Question),
    /// Count the flows of these servers, by their identities, and answer with [`Input::Counted`].
    Count(Vec<u64>),
    /// Tell a waiting caller what is different now, or why nothing is.
    Answer {
        /// Who waits.
        ticket: Ticket,
        /// What came of it.
        outcome: Result<Vec<String>, Refusal>,
    },
    /// Something happened; it is already in the journal.
    Tell(Event),
    /// The program of [`EventKind::hook`] is started.
    Hook {
        /// What happened.
        kind: EventKind,
        /// To whom.
        about: About,
        /// In words.
        message: String,
    },
    /// The node does what it is for: tell whoever supervises it.
    Ready,
    /// End the process.
    Leave {
        /// Whether the data plane stays.
        keep: bool,
    },
}

/// What a node begins with.
#[derive(Debug, Clone)]
pub struct Start {
    /// Which node it is.
    pub node: Node,
    /// The site, already applied to the data plane.
    pub site: Arc<Site>,
    /// What the operator wants otherwise, as the data plane remembers it.
    pub overrides: Overrides,
    /// What was last found of servers and pools, as the data plane remembers it and acts by.
    pub rulings: Arc<Rulings>,
    /// Every interface of the machine.
    pub interfaces: Vec<Interface>,
    /// What was left of the lease when the data plane was opened; zero: nobody forwarded.
    pub lease_remaining: Duration,
    /// The longest of the leases of groups with a backup, likewise.
    pub group_lease_remaining: Duration,
    /// Whether the data plane was found running.
    pub adopted: bool,
    /// What the kernel's clock said when the director's began.
    pub kernel_start: KernelStart,
    /// Spreads the probes; any number will do.
    pub seed: u64,
}

/// The machine.
#[derive(Debug)]
pub struct Director {
    node: Node,
    site: Arc<Site>,
    overrides: Overrides,
    kernel_start: KernelStart,
    ports: Ports,
    neighbours: Neighbours,
    announcer: Announcer,
    lease: Lease,
    /// Until when the first start waits for hardware addresses; none once it has gone active.
    cold_until: Option<Instant>,
    staged: Option<Staged>,
    waiting: VecDeque<Request>,
    applying: Option<Job>,
    attached: bool,
    attach_told: bool,
    attach_retry: Option<Instant>,
    /// What is known of partners; none where no cluster has a backup.
    twin: Option<Twin>,
    /// What is found of servers and pools, and how.
    care: Care,
    /// What of that the data plane holds.
    ruled: Ruled,
    leaving: Option<Leaving>,
    stopping: bool,
    /// What each server address is called.
    names: BTreeMap<IpAddr, String>,
    /// The silent hosts that a program was started for.
    hooked_silent: BTreeSet<IpAddr>,
    /// When each claim to an address of ours was last answered.
    defended: BTreeMap<IpAddr, Instant>,
    journal: Journal,
    flood: Flood,
    effects: VecDeque<Effect>,
}

impl Director {
    /// A node whose data plane is open and holds `start.site`.
    pub fn new(start: Start, now: Instant) -> Self {
        let mut director = Self {
            ports: Ports::new(&start.node.interface, start.interfaces),
            lease: Lease::new(start.site.ha.lease, now),
            twin: Twin::of(&start.site, &start.node.name),
            care: Care::new(start.seed),
            ruled: Ruled::new(Arc::clone(&start.rulings)),
            leaving: None,
            node: start.node,
            site: start.site,
            overrides: start.overrides,
            kernel_start: start.kernel_start,
            neighbours: Neighbours::new(start.seed),
            announcer: Announcer::default(),
            cold_until: Some(now + WARM_PATIENCE),
            staged: None,
            waiting: VecDeque::new(),
            applying: None,
            attached: true,
            attach_told: false,
            attach_retry: None,
            stopping: false,
            names: BTreeMap::new(),
            hooked_silent: BTreeSet::new(),
            defended: BTreeMap::new(),
            journal: Journal::default(),
            flood: Flood::default(),
            effects: VecDeque::new(),
        };
        director.want_servers();
        director.begin_care(&start.rulings, now);
        director.effects.push_back(Effect::ReadNeighbours);
        let leases = [start.lease_remaining, start.group_lease_remaining];
        director.begin(start.adopted, leases, now);
        director.tell_fit();
        director
    }

    /// Takes one input in.
    pub fn handle(&mut self, input: Input, now: Instant) {
        self.handle_all([input], now);
    }

    /// Hears what came at one moment, and makes of all of it together what it makes of one.
    pub fn handle_all(&mut self, inputs: impl IntoIterator<Item = Input>, now: Instant) {
        for input in inputs {
            if self.stopping {
                return;
            }
            let is_end = matches!(input, Input::Stop { .. });
            self.take_in(input, now);
            if is_end {
                return;
            }
        }
        self.turn(now);
    }

    fn take_in(&mut self, input: Input, now: Instant) {
        match input {
            Input::Interfaces(all) => {
                let changes = self.ports.replace(all);
                self.ports_changed(changes, now);
            }
            Input::Interface(interface) => self.interface(interface, now),
            Input::InterfaceGone(index) => {
                let changes = self.ports.remove(index);
                self.ports_changed(changes, now);
            }
            Input::LinkLocal { interface, address } => self.ports.set_link_local(interface, address),
            Input::RoutesChanged => self.neighbours.routes_changed(now),
            Input::Route { server, route } => self.neighbours.learn_route(server, route, now),
            Input::KernelNeighbour { interface, address, known } => {
                self.kernel_neighbour(interface, address, known, now);
            }
            Input::Claim { interface, claim } => self.claim(interface, claim, now),
            Input::Resynced => {
                let message =
                    "the kernel dropped netlink messages; links, routes and neighbours were read anew";
                self.tell(EventKind::Resynced, message, now);
                self.neighbours.routes_changed(now);
            }
            Input::Takeover { ticket, cluster, force } => {
                self.takeover(ticket, cluster.as_deref(), force, now);
            }
            Input::Twin(event) => self.twin_event(event, now),
            Input::TwinView(view) => self.twin_view_came(view, now),
            Input::TwinLeft => self.twin_left(now),
            Input::TwinSecurity(what) => self.tell_bounded(EventKind::TwinSecurity, what, now),
            Input::TwinWarning(what) => self.tell_bounded(EventKind::TwinWarning, what, now),
            Input::ConfigDifference { peer, lines } => self.config_difference(peer, lines, now),
            Input::HookFailed(what) => self.tell_bounded(EventKind::HookFailed, what, now),
            Input::Order { ticket, order } => self.waiting.push_back(Request::Order { ticket, order }),
            Input::Reload { ticket, outcome } => self.reload(ticket, outcome, now),
            Input::Applied(outcome) => self.applied(outcome, now),
            Input::Attached(outcome) => self.attach_ended(outcome, now),
            Input::Probed(reading) => self.probed(reading, now),
            Input::Diagnosed { server, by, found } => self.diagnosed(server, by, found, now),
            Input::AdvisorsSilent(silence) => self.care.health.advisors_silent(silence),
            Input::Reported(report) => self.reported(report, now),
            Input::AgentSecurity(what) => self.tell_bounded(EventKind::AgentSecurity, what, now),
            Input::Counted(counts) => self.counted(&counts, now),
            Input::TimeOfDay(time) => self.time_of_day(time),
            Input::Stop { detach } => self.stop(detach, now),
        }
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.stopping {
            return;
        }
        if let Some(renewal) = self.lease.handle_timeout(now) {
            self.renewed(renewal, now);
        }
        if self.attach_retry.is_some_and(|due| due <= now) {
            self.attach(now);
        }
        self.end_takeovers(Some(now));
        self.tell_unheard(now);
        if self.leaving.is_some_and(|leaving| leaving.until <= now) {
            return self.twin_left(now);
        }
        self.care_timeout(now);
        self.neighbours.handle_timeout(now);
        self.announcer.handle_timeout(now);
        for (kind, untold) in self.flood.handle_timeout(now) {
            self.tell(kind, format!("and {untold} more {} events like the last ones", kind.word()), now);
        }
        self.turn(now);
    }

    /// When [`Self::handle_timeout`] wants to be called, if ever.
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.stopping {
            return None;
        }
        let staged = self.staged.as_ref().map(|staged| staged.until);
        [
            self.lease.poll_timeout(),
            self.neighbours.poll_timeout(),
            self.announcer.poll_timeout(),
            self.flood.poll_timeout(),
            self.care.poll_timeout(),
            self.ruled.poll_timeout(),
            self.cold_until,
            self.attach_retry,
            self.twin_timeout(),
            self.leaving.map(|leaving| leaving.until),
            staged,
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// The next thing to do.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// The site in force.
    pub const fn site(&self) -> &Arc<Site> {
        &self.site
    }

    /// The node this is.
    pub const fn node(&self) -> &Node {
        &self.node
    }

    /// What the operator wants otherwise than the site.
    pub const fn overrides(&self) -> &Overrides {
        &self.overrides
    }

    /// What happened.
    pub const fn journal(&self) -> &Journal {
        &self.journal
    }

    /// Where frames for a server go, if that is known.
    pub fn reach(&self, server: IpAddr) -> Option<Reach> {
        self.neighbours.reach(server)
    }

    /// How the kernel would send to a server, if that was looked up.
    pub fn route(&self, server: IpAddr) -> Option<Route> {
        self.neighbours.route(server)
    }

    /// What the interface with this index is called.
    pub fn interface_name(&self, index: u32) -> Option<&str> {
        self.ports.name(index)
    }

    /// The interface that the node works on, if it is there.
    pub fn own_interface(&self) -> Option<&Interface> {
        self.ports.own()
    }

    /// The state of the node in one line, for a supervisor.
    pub fn summary(&self) -> String {
        let of_node = || self.site.clusters.iter().filter(|cluster| cluster.is_of(&self.node.name));
        let (clusters, active) =
            (of_node().count(), of_node().filter(|one| self.standing(one).active).count());
        let servers = self.names.len();
        let resolved = self.neighbours.reaches().count();
        let partners = self.twin_view().map_or(&[][..], |view| &view.peers);
        let partners: String =
            partners.iter().map(|peer| format!(", {} {}", peer.name, peer.state)).collect();
        format!(
            "active for {active} of {clusters} clusters, {resolved} of {servers} servers resolved{partners}"
        )
    }

    /// The clusters that no other node takes over.
    fn ours(&self) -> impl Iterator<Item = &Cluster> {
        let alone = |cluster: &&Cluster| cluster.primary == self.node.name && cluster.backup.is_none();
        self.site.clusters.iter().filter(alone)
    }
}
