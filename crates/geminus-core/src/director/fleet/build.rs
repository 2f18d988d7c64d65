//! From a site to its fleet; what is known of servers and pools that stay is kept.

use std::collections::HashMap;

use super::{Drain, Facts, Fleet, Hold, Member, Pool, Roster};
use crate::director::Instant;
use crate::director::view::{ServerState, WishesView};
use crate::model::{Cluster, Condition, Rule, Service, Site};
use crate::plan::{Rulings, server_identity, service_identity};

impl Fleet {
    /// The fleet of a node. `last`: what was found in the last run, at a start.
    pub(in crate::director) fn of(facts: &Facts<'_>, node: &str, last: &Rulings, now: Instant) -> Self {
        let mut fleet = Self { rulings: last.clone(), ..Self::default() };
        fleet.fill(facts, node, now, |_| None, |_| None);
        for roster in &mut fleet.rosters {
            let pool = last.pool(roster.identity);
            roster.in_force = if usize::from(pool) < roster.pools.len() { pool } else { 0 };
            for member in &mut roster.members {
                let ruling = last.server(member.identity);
                (member.maintenance, member.leaving) = (ruling.maintenance, ruling.leaving);
            }
        }
        fleet
    }

    /// Changes to another site.
    pub(in crate::director) fn change(&mut self, facts: &Facts<'_>, node: &str, now: Instant) {
        let before = std::mem::take(self);
        let mut members: HashMap<_, _> = HashMap::new();
        let mut rosters: HashMap<_, _> = HashMap::new();
        for roster in before.rosters {
            let Roster { identity, members: of_roster, .. } = roster;
            members.extend(of_roster.into_iter().map(|member| (member.identity, member)));
            let kept = Kept {
                pools: roster.pools,
                holds: roster.holds,
                in_force: roster.in_force,
                since: roster.since,
                because: roster.because,
            };
            rosters.insert(identity, kept);
        }
        self.fill(
            facts,
            node,
            now,
            |identity| members.remove(&identity),
            |identity| rosters.remove(&identity),
        );
        self.changed = true;
    }

    fn fill(
        &mut self,
        facts: &Facts<'_>,
        node: &str,
        now: Instant,
        mut member_before: impl FnMut(u64) -> Option<Member>,
        mut roster_before: impl FnMut(u64) -> Option<Kept>,
    ) {
        for (place, cluster, service) in services(facts, node) {
            let number = self.rosters.len();
            let identity = service_identity(cluster, service);
            let mut members = Vec::with_capacity(service.servers.len());
            for server in &service.servers {
                let identity = server_identity(cluster, service, server);
                let target = facts.health.target_of(identity);
                let mut member = member_before(identity).unwrap_or_else(|| Member::new(identity, now));
                member.target = target;
                member.managed = member.managed.filter(|_| service.managed);
                if !service.managed {
                    member.wishes = WishesView::default();
                }
                let at = (number, members.len());
                self.places.insert(identity, at);
                self.by_host.entry(server.address).or_default().push(at);
                if let Some(target) = target {
                    self.by_target.entry(target).or_default().push(at);
                }
                members.push(member);
            }
            let mut roster = Roster::new(identity, place, name_of(cluster, service), members, service, now);
            if let Some(kept) = roster_before(identity) {
                roster.keep(kept);
            }
            if is_timed(service) {
                self.timed.push(number);
            }
            self.by_service.insert(identity, number);
            self.rosters.push(roster);
        }
        self.all_changed();
    }
}

/// What stays of a roster when the site changes.
struct Kept {
    pools: Vec<Pool>,
    holds: Vec<Hold>,
    in_force: u8,
    since: Instant,
    because: String,
}

fn services<'a>(
    facts: &Facts<'a>,
    node: &'a str,
) -> impl Iterator<Item = ((usize, usize), &'a Cluster, &'a Service)> {
    let clusters = facts.site.clusters.iter().enumerate();
    clusters.filter(move |(_, cluster)| cluster.is_of(node)).flat_map(|(at, cluster)| {
        cluster.services.iter().enumerate().map(move |(place, service)| ((at, place), cluster, service))
    })
}

fn is_timed(service: &Service) -> bool {
    service.rules.iter().any(|rule| matches!(rule.when, Condition::During(_)))
        || service.servers.iter().any(|server| !server.maintenance.is_empty())
}

impl Roster {
    fn new(
        identity: u64,
        place: (usize, usize),
        name: String,
        members: Vec<Member>,
        service: &Service,
        now: Instant,
    ) -> Self {
        let names = std::iter::once("").chain(service.pools.iter().map(String::as_str));
        let pool = |name: &str| Pool { name: name.to_owned(), unit: 1, managed_unit: 1, ..Pool::default() };
        Self {
            identity,
            place,
            name,
            members,
            pools: names.map(pool).collect(),
            holds: service.rules.iter().map(|rule| Hold::new(rule, now)).collect(),
            in_force: 0,
            since: now,
            because: String::new(),
            step: None,
        }
    }

    /// Pools are known by their names.
    fn keep(&mut self, kept: Kept) {
        for pool in &mut self.pools {
            if let Some(before) = kept.pools.iter().find(|before| before.name == pool.name) {
                *pool = before.clone();
            }
        }
        let in_force = kept.pools.get(usize::from(kept.in_force));
        let now = in_force.and_then(|before| self.pools.iter().position(|pool| pool.name == before.name));
        if let Some(now) = now.and_then(|now| u8::try_from(now).ok()) {
            self.in_force = now;
            self.since = kept.since;
            self.because = kept.because;
        }
        for hold in &mut self.holds {
            if let Some(before) = kept.holds.iter().find(|before| before.rule == hold.rule) {
                *hold = before.clone();
            }
        }
    }
}

impl Hold {
    fn new(rule: &Rule, now: Instant) -> Self {
        Self { rule: rule.clone(), holds: false, since: now }
    }
}

impl Member {
    fn new(identity: u64, now: Instant) -> Self {
        Self {
            identity,
            target: None,
            state: ServerState::Unchecked,
            since: now,
            risen: None,
            tenths: 10,
            maintenance: false,
            leaving: false,
            drain: Drain::default(),
            tally: None,
            managed: None,
            wishes: WishesView::default(),
            weight: 0,
        }
    }
}

/// As a service is called in what is told.
fn name_of(cluster: &Cluster, service: &Service) -> String {
    format!("cluster {} {} {}", cluster.name, service.protocol.word(), service.ports)
}

/// What is found, as it reads once the site is another: pools have other numbers then, and the same names.
pub(in crate::director) fn translated(rulings: &Rulings, fleet: &Fleet, site: &Site, node: &str) -> Rulings {
    let mut translated = rulings.clone();
    let ours = site.clusters.iter().filter(|cluster| cluster.is_of(node));
    for (cluster, service) in ours.flat_map(|one| one.services.iter().map(move |service| (one, service))) {
        let identity = service_identity(cluster, service);
        let pool = usize::from(rulings.pool(identity));
        let name = fleet.roster(identity).and_then(|roster| roster.pools.get(pool)).map(|pool| &pool.name);
        let same = service.pools.iter().position(|other| Some(other) == name);
        let number = same.and_then(|place| u8::try_from(place + 1).ok());
        translated.use_pool(identity, number.unwrap_or_default());
    }
    translated
}
