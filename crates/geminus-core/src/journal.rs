//! What happened, in words and in order: the last events of this daemon's life.

use std::collections::VecDeque;

use crate::director::Instant;

/// How many events are kept; older ones are in the log. At about 200 bytes each they stay below a mebibyte.
pub const EVENTS_KEPT: usize = 4096;

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Counts up from 1 without a gap.
    pub number: u64,
    /// When, on the director's clock.
    pub at: Instant,
    /// What kind.
    pub kind: EventKind,
    /// One line in words.
    pub message: String,
}

/// Whether somebody should be woken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// A change of state, for the record.
    Info,
    /// Worth a page.
    Warn,
}

macro_rules! event_kinds {
    ($($(#[doc = $doc:literal])+ $variant:ident = $word:literal, $severity:ident;)+) => {
        /// What kind of thing happened. `docs/operations.md` says what to do about each.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum EventKind {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl EventKind {
            /// Every kind there is.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The word used in output and documentation.
            pub const fn word(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }

            /// Whether somebody should be woken.
            pub const fn severity(self) -> Severity {
                match self { $(Self::$variant => Severity::$severity,)+ }
            }
        }
    };
}

event_kinds! {
    /// The daemon runs and the data plane is open.
    Started = "started", Info;
    /// The data plane was found running and was taken over without a pause.
    Adopted = "adopted", Info;
    /// The node owns its cluster addresses.
    Active = "active", Info;
    /// The node does not own its cluster addresses.
    Standby = "standby", Info;
    /// The lease ran out because the daemon did not run in time.
    LeaseLapsed = "lease-lapsed", Warn;
    /// A new configuration is in force.
    Reloaded = "reloaded", Info;
    /// A new configuration was refused; the old one is in force.
    ReloadRefused = "reload-refused", Warn;
    /// The data plane refused a change.
    ApplyFailed = "apply-failed", Warn;
    /// A server's hardware address became known.
    ServerResolved = "server-resolved", Info;
    /// A server's hardware address changed.
    ServerMoved = "server-moved", Info;
    /// A server does not answer ARP or neighbour solicitation; its last hardware address stays in use.
    ServerSilent = "server-silent", Warn;
    /// A silent server answers again.
    ServerBack = "server-back", Info;
    /// A server is behind a router or has no route; its forwarding method cannot reach it.
    ServerUnreachable = "server-unreachable", Warn;
    /// An operator stopped new flows to a server.
    ServerDrained = "server-drained", Info;
    /// An operator allowed new flows to a server again.
    ServerUndrained = "server-undrained", Info;
    /// An operator changed a server's weight.
    ServerWeighted = "server-weighted", Info;
    /// A server's checks fail: it gets nothing.
    ServerDown = "server-down", Warn;
    /// A server's checks are good again.
    ServerUp = "server-up", Info;
    /// Every check that was good fails at once: this node's own network is the likely reason.
    ServersAllSilent = "servers-all-silent", Warn;
    /// After that, checks are good again.
    ServersHeard = "servers-heard", Info;
    /// A server gets no new flows for now: maintenance, or its agent says that it is about to stop.
    ServerResting = "server-resting", Info;
    /// A server that rested gets new flows again.
    ServerRested = "server-rested", Info;
    /// A drained server has no flow left.
    ServerDrainedEmpty = "server-drained-empty", Info;
    /// A drained server's time is over: its flows go to others.
    ServerReleased = "server-released", Info;
    /// A content host is not set up for direct return.
    SetupFault = "setup-fault", Warn;
    /// What was wrong with a content host's set-up is not any more.
    SetupMended = "setup-mended", Info;
    /// A server's certificate expires soon, or has.
    CertificateExpires = "certificate-expires", Warn;
    /// A server cannot be checked for a reason of this machine's own.
    CheckImpossible = "check-impossible", Warn;
    /// No check has a result any more: what is known of servers stays, and says nothing of now.
    AdvisorsSilent = "advisors-silent", Warn;
    /// Checks have results again.
    AdvisorsBack = "advisors-back", Info;
    /// Too little of a pool is well: health is ignored in it.
    PoolPanic = "pool-panic", Warn;
    /// Enough of a pool is well again.
    PoolCalm = "pool-calm", Info;
    /// No server of a pool is up.
    PoolEmpty = "pool-empty", Warn;
    /// A server of an empty pool is up again.
    PoolFilled = "pool-filled", Info;
    /// The main pool has more flows than a rule allows.
    PoolFull = "pool-full", Warn;
    /// It has fewer again.
    PoolRelieved = "pool-relieved", Info;
    /// New flows of a service go to another pool.
    PoolSwitched = "pool-switched", Info;
    /// A content host's agent does not report any more.
    AgentLost = "agent-lost", Warn;
    /// It does again.
    AgentBack = "agent-back", Info;
    /// An agent reports for an address that no server has.
    AgentUnknown = "agent-unknown", Warn;
    /// An agent's reports are so far apart that one that is lost makes it count as lost.
    AgentSeldom = "agent-seldom", Warn;
    /// Agents' frames were not authentic, or came before.
    AgentSecurity = "agent-security", Warn;
    /// The node's interface has a carrier.
    LinkUp = "link-up", Info;
    /// The node's interface has no carrier or was set down.
    LinkDown = "link-down", Warn;
    /// The node's interface is gone.
    LinkLost = "link-lost", Warn;
    /// The program is attached to the node's interface again.
    LinkBack = "link-back", Info;
    /// The hardware address of the node's interface changed.
    LinkMoved = "link-moved", Info;
    /// The program cannot be attached to the node's interface.
    AttachFailed = "attach-failed", Warn;
    /// Another machine announces a cluster address.
    AddressClaimed = "address-claimed", Warn;
    /// The node has become active for a group of clusters.
    WentActive = "went-active", Info;
    /// The node is no longer active for a group of clusters, or not yet.
    WentStandby = "went-standby", Info;
    /// A partner is silent, and it is being found out whether it is dead.
    Suspecting = "suspecting", Info;
    /// The suspicion was wrong.
    Unsuspected = "unsuspected", Info;
    /// The node has given a group of clusters up and forwards what still comes.
    Yielded = "yielded", Info;
    /// Both partners were active for a group; one has yielded.
    Duel = "duel", Warn;
    /// A partner is heard: for the first time, or again.
    PartnerUp = "partner-up", Info;
    /// A partner is not heard any more.
    PartnerDown = "partner-down", Warn;
    /// Something comes by a path again.
    PathUp = "path-up", Info;
    /// Nothing comes by a path any more.
    PathDown = "path-down", Warn;
    /// Another number of reach targets answers.
    ReachChanged = "reach-changed", Info;
    /// A partner has another configuration.
    ConfigDiffers = "config-differs", Warn;
    /// In what a partner's configuration differs.
    ConfigDifference = "config-difference", Info;
    /// A partner has the same configuration again.
    ConfigAgrees = "config-agrees", Info;
    /// The node cannot tell whether its partner is dead or itself is off the network, and holds back.
    Isolated = "isolated", Warn;
    /// The node did not run for a while; it asks before it claims.
    Paused = "paused", Warn;
    /// An operator's takeover cannot be carried out.
    TakeoverRefused = "takeover-refused", Info;
    /// Frames between partners were not authentic, or not of a partner.
    TwinSecurity = "twin-security", Warn;
    /// Something between partners does not work as it should.
    TwinWarning = "twin-warning", Warn;
    /// Both partners remember the same flows.
    SyncComplete = "sync-complete", Info;
    /// They no longer do: a takeover may lose connections.
    SyncLost = "sync-lost", Warn;
    /// A program of `[hooks]` could not be started, failed, or took too long.
    HookFailed = "hook-failed", Warn;
    /// The kernel dropped netlink messages; everything was read anew.
    Resynced = "resynced", Info;
    /// The daemon leaves.
    Stopping = "stopping", Info;
    /// The daemon leaves and the data plane goes on for a while.
    Detached = "detached", Info;
}

impl EventKind {
    /// The event of `[hooks]` that a kind is, if it is one.
    pub const fn hook(self) -> Option<&'static str> {
        match self {
            Self::Active | Self::WentActive => Some("go-active"),
            Self::Standby | Self::WentStandby => Some("go-standby"),
            Self::PartnerUp => Some("partner-up"),
            Self::PartnerDown => Some("partner-down"),
            Self::PathUp => Some("path-up"),
            Self::PathDown => Some("path-down"),
            Self::ServerUp | Self::ServerBack => Some("server-up"),
            Self::ServerDown | Self::ServerSilent => Some("server-down"),
            Self::PoolEmpty => Some("pool-empty"),
            Self::PoolFull => Some("pool-full"),
            Self::ConfigDiffers => Some("config-differs"),
            Self::AddressClaimed => Some("address-claimed"),
            Self::Duel => Some("duel"),
            _ => None,
        }
    }
}

/// The last [`EVENTS_KEPT`] events.
#[derive(Debug, Default)]
pub struct Journal {
    events: VecDeque<Event>,
    last: u64,
}

impl Journal {
    /// Writes one down and returns it.
    pub fn record(&mut self, at: Instant, kind: EventKind, message: impl Into<String>) -> Event {
        self.last += 1;
        let event = Event { number: self.last, at, kind, message: message.into() };
        if self.events.len() == EVENTS_KEPT {
            self.events.pop_front();
        }
        self.events.push_back(event.clone());
        event
    }

    /// Those kept with a number above `after`, oldest first.
    pub fn after(&self, after: u64) -> impl Iterator<Item = &Event> {
        self.events.iter().filter(move |event| event.number > after)
    }

    /// Number of the newest event, 0 before the first.
    pub const fn last(&self) -> u64 {
        self.last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_numbered_from_one_without_a_gap() {
        let mut journal = Journal::default();
        for _ in 0..3 {
            journal.record(Instant::START, EventKind::Active, "active");
        }
        assert_eq!(journal.after(0).map(|event| event.number).collect::<Vec<_>>(), [1, 2, 3]);
        assert_eq!(journal.after(2).map(|event| event.number).collect::<Vec<_>>(), [3]);
    }

    #[test]
    fn the_oldest_event_makes_room_for_the_newest() {
        let mut journal = Journal::default();
        for _ in 0..EVENTS_KEPT + 5 {
            journal.record(Instant::START, EventKind::Active, "active");
        }
        assert_eq!(journal.after(0).count(), EVENTS_KEPT);
        assert_eq!(journal.after(0).next().map(|event| event.number), Some(6));
        assert_eq!(journal.last(), EVENTS_KEPT as u64 + 5);
    }

    #[test]
    fn every_hook_is_run_by_some_kind_and_no_kind_runs_another() {
        let run: std::collections::BTreeSet<_> =
            EventKind::ALL.iter().filter_map(|kind| kind.hook()).collect();
        assert_eq!(run, crate::model::HOOK_EVENTS.into_iter().collect());
    }

    #[test]
    fn no_two_kinds_share_a_word() {
        let words: std::collections::BTreeSet<_> = EventKind::ALL.iter().map(|kind| kind.word()).collect();
        assert_eq!(words.len(), EventKind::ALL.len());
    }
}
