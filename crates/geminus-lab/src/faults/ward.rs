//! What a case about servers stands on: one dispatcher with its content hosts, under load, and what can happen to a host.

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, Result};
use geminus_api::{Event, Explanation, ServerState, ServerStatus};

use super::cut::lose_in_switch;
use super::ground::Ground;
use crate::HTTP;
use crate::balanced::{Balanced, is_well};
use crate::balancer::Wanted;
use crate::site::{CLIENTS, Family, Machine, client_address};
use crate::traffic::crowd::{self, Crowd, LiveCrowd};
use crate::traffic::echo::ECHO;
use crate::traffic::steady::{Course, Steady};
use crate::traffic::visitors::Visitors;
use crate::traffic::{Recorder, Tally, cluster};
use crate::wire::mac_of;

/// How long is waited for what must come.
pub const PATIENCE: Duration = Duration::from_secs(20);
/// New connections a second in each family.
const VISITORS: u32 = 200;
/// Flows of the stream of each family.
const FLOWS: usize = 32;
/// Threads that ask where new flows would go.
const ASKERS: usize = 4;

/// One dispatcher and its servers, all of them well.
#[derive(Debug)]
pub struct Ward {
    /// Site, servers and daemon.
    pub balanced: Balanced,
}

/// Clients of the cluster.
#[derive(Debug)]
pub struct Clients {
    crowd: LiveCrowd,
    visitors: Visitors,
    streams: [Steady; 2],
    /// Connections that stay, by server.
    pub by_server: std::collections::BTreeMap<String, usize>,
}

/// What they met.
#[derive(Debug)]
pub struct Met {
    /// Connections that stay.
    pub crowd: crowd::Toll,
    /// Connections that come and go.
    pub visits: Tally,
    /// The stream of each family, IPv4 first.
    pub courses: [Course; 2],
}

impl Ground {
    /// A site of one dispatcher and so many content hosts, every server found well.
    ///
    /// # Errors
    /// When it does not come to that.
    pub fn ward(&self, content_hosts: u8, tune: impl FnOnce(&mut Wanted)) -> Result<Ward> {
        let mut balanced = Balanced::prepare_with(&self.binary, content_hosts)?;
        tune(&mut balanced.wanted);
        balanced.balancer.configure(&balanced.wanted)?;
        balanced.balancer.start()?;
        let ward = Ward { balanced };
        for (server, _) in &ward.balanced.wanted.servers {
            ward.wait_for(&server.name, "well", is_well)?;
        }
        Ok(ward)
    }
}

impl Ward {
    /// Lets clients in: long connections, new ones, and a stream of 1 000 packets a second in each family.
    ///
    /// # Errors
    /// When they are not answered.
    pub fn clients(&self, ground: &Ground) -> Result<Clients> {
        let client = self.balanced.client();
        let targets = Family::BOTH.map(|family| cluster(family, HTTP));
        let crowd = Crowd::open(client, &targets, ground.connections())?;
        let by_server = crowd.servers();
        let visitors = Visitors::start(client, &targets, VISITORS, &Arc::new(Recorder::begin()))?;
        let stream = |family| Steady::start(client, cluster(family, ECHO), FLOWS, 1000);
        let streams = [stream(Family::V4)?, stream(Family::V6)?];
        let clients = Clients { crowd: crowd.live(Duration::from_secs(1)), visitors, streams, by_server };
        // A request on each, and checks on their way.
        sleep(Duration::from_secs(1));
        Ok(clients)
    }

    /// A content host by its name.
    ///
    /// # Errors
    /// When there is none.
    pub fn host(&self, name: &str) -> Result<Machine> {
        self.balanced.host(name)
    }

    /// Waits until a server is as it is wanted.
    ///
    /// # Errors
    /// When it is not in time.
    pub fn wait_for(
        &self,
        name: &str,
        what: &str,
        is_so: impl Fn(&ServerStatus) -> bool,
    ) -> Result<ServerStatus> {
        self.balanced.wait_for(name, what, PATIENCE, is_so)
    }

    /// Waits until a server is up, whatever else is found of it.
    ///
    /// # Errors
    /// When it is not in time.
    pub fn wait_up(&self, name: &str) -> Result<()> {
        self.wait_for(name, "up", |server| server.state == ServerState::Up).map(drop)
    }

    /// Waits for an event of this kind with these words that is newer than `after`.
    ///
    /// # Errors
    /// When none comes.
    pub fn event(&self, after: u64, kind: &str, words: &str) -> Result<Event> {
        self.balanced.balancer.wait_for_event(after, kind, words, PATIENCE)
    }

    /// How many events of these kinds are newer than `after`.
    ///
    /// # Errors
    /// When the daemon does not answer.
    pub fn count_events(&self, after: u64, kinds: &[&str]) -> Result<usize> {
        let events = self.balanced.balancer.events()?;
        let wanted = |event: &&Event| event.number > after && kinds.contains(&event.kind.as_str());
        Ok(events.iter().filter(wanted).count())
    }

    /// When a server went down or came up after the event `after`, since the Unix epoch.
    ///
    /// # Errors
    /// When the daemon does not answer.
    pub fn changes(&self, after: u64, name: &str) -> Result<Vec<Duration>> {
        let events = self.balanced.balancer.events()?;
        let is_change = |event: &&Event| {
            event.number > after
                && ["server-down", "server-up"].contains(&event.kind.as_str())
                && event.message.contains(name)
        };
        Ok(events.iter().filter(is_change).map(|event| Duration::from_millis(event.unix_ms)).collect())
    }

    /// Kills a host's web server, or starts it again.
    ///
    /// # Errors
    /// When it does not run, or does not start.
    pub fn serve(&mut self, name: &str, serves: bool) -> Result<()> {
        let host = self.host(name)?;
        let site = &mut self.balanced.site;
        if serves { site.serve_http(&host) } else { site.kill_http(name) }
    }

    /// Nothing passes from and to these hosts from now on; none: everything does again.
    ///
    /// # Errors
    /// When nftables refuses.
    pub fn silence(&self, names: &[&str]) -> Result<()> {
        let mut filters = Vec::new();
        for name in names {
            let mac =
                mac_of(&self.host(name)?.namespace, "eth0")?.map(|byte| format!("{byte:02x}")).join(":");
            filters.extend([format!("iifname \"{name}\""), format!("ether daddr {mac}")]);
        }
        lose_in_switch(&self.balanced.site.switch, &filters)
    }

    /// Loses in the switch what the dispatcher says in its own name over IP: checks, not what it forwards.
    ///
    /// # Errors
    /// When nftables refuses.
    pub fn lose_own_packets(&self, lost: bool) -> Result<()> {
        let own = self.balanced.dispatcher();
        let from = |word: &str, family| {
            format!("iifname \"{}\" {word} saddr {}", own.name, own.addresses.of(family))
        };
        let filters = vec![from("ip", Family::V4), from("ip6", Family::V6)];
        lose_in_switch(&self.balanced.site.switch, if lost { &filters } else { &[] })
    }

    /// The server that each of so many new connections of each family would go to now.
    ///
    /// # Errors
    /// When the daemon cannot be asked.
    pub fn choices(&self, count: u16) -> Result<Vec<Option<String>>> {
        let flows: Vec<_> =
            Family::BOTH.into_iter().flat_map(|family| (0..count).map(move |i| flow(family, i))).collect();
        let ask = |flows: &[(SocketAddr, SocketAddr)]| flows.iter().map(|flow| self.choice(*flow)).collect();
        std::thread::scope(|scope| {
            let part = flows.len().div_ceil(ASKERS).max(1);
            let threads: Vec<_> = flows.chunks(part).map(|part| scope.spawn(move || ask(part))).collect();
            let join = |thread: std::thread::ScopedJoinHandle<'_, Result<Vec<_>>>| {
                thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            };
            let parts = threads.into_iter().map(join).collect::<Result<Vec<_>>>()?;
            Ok(parts.into_iter().flatten().collect())
        })
    }

    fn choice(&self, (from, to): (SocketAddr, SocketAddr)) -> Result<Option<String>> {
        let words = ["explain", "tcp", &from.to_string(), &to.to_string(), "--json"];
        let out = self.balanced.balancer.tell(&words)?;
        let found: Explanation =
            serde_json::from_str(&out).with_context(|| format!("geminus explain --json printed {out:?}"))?;
        Ok(found.kernel.server)
    }
}

/// A flow that no client of the lab has: their ports begin at 1024.
fn flow(family: Family, number: u16) -> (SocketAddr, SocketAddr) {
    let place = number % u16::from(CLIENTS);
    let port = 100 + number / u16::from(CLIENTS);
    (SocketAddr::new(client_address(place as u8).of(family), port), cluster(family, HTTP))
}

/// Of a hundred new flows, how many go to another server than before, and how many of these although neither server is
/// `changed`.
pub fn moved(before: &[Option<String>], after: &[Option<String>], changed: &str) -> (f64, f64) {
    let is_changed = |server: &Option<String>| server.as_deref() == Some(changed);
    let moved = || before.iter().zip(after).filter(|(before, after)| before != after);
    let needless = moved().filter(|(before, after)| !is_changed(before) && !is_changed(after));
    let percent = |count: usize| (count as f64 * 1e4 / before.len().max(1) as f64).round() / 100.0;
    (percent(moved().count()), percent(needless.count()))
}

/// How long after a moment something happened.
///
/// # Errors
/// When a clock reads before 1970.
pub fn since(event: &Event, moment: SystemTime) -> Result<Duration> {
    let moment = moment.duration_since(SystemTime::UNIX_EPOCH)?;
    Ok(Duration::from_millis(event.unix_ms).saturating_sub(moment))
}

impl Clients {
    /// Lets them finish.
    ///
    /// # Errors
    /// When one of them failed in itself.
    pub fn stop(self) -> Result<Met> {
        let [v4, v6] = self.streams.map(Steady::stop);
        Ok(Met { courses: [v4?, v6?], visits: self.visitors.stop()?, crowd: self.crowd.stop()? })
    }
}

impl Met {
    /// Packets of both streams without an answer.
    pub fn lost_packets(&self) -> usize {
        self.courses.iter().map(Course::lost).sum()
    }

    /// Packets of both streams.
    pub fn packets(&self) -> usize {
        self.courses.iter().map(|course| course.sent.len()).sum()
    }

    /// How long after a moment the last packet was sent that had no answer.
    pub fn unanswered_until(&self, moment: Instant) -> Duration {
        let lost = |course: &Course| {
            let packets = course.sent.iter().zip(&course.answered);
            packets.filter(|(_, answered)| !**answered).map(|(sent, _)| *sent).max()
        };
        let last = self.courses.iter().filter_map(lost).max();
        last.map_or(Duration::ZERO, |last| last.saturating_duration_since(moment))
    }

    /// How long after a moment the last new connection began that failed.
    pub fn failed_until(&self, moment: Instant) -> Duration {
        let last = self.visits.lost_at.iter().max();
        last.map_or(Duration::ZERO, |last| last.saturating_duration_since(moment))
    }

    /// New connections that began after a moment and failed.
    pub fn failed_after(&self, moment: Instant) -> usize {
        self.visits.lost_at.iter().filter(|began| **began > moment).count()
    }

    /// The longest time in which the lab itself sent nothing.
    pub fn hiccup(&self) -> Duration {
        self.courses.iter().map(Course::longest_hiccup).max().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flows_that_neither_left_nor_joined_the_changed_server_moved_needlessly() {
        let of = |names: [&str; 4]| names.map(|name| Some(name.to_owned()));
        let (before, after) = (of(["a", "b", "c", "c"]), of(["a", "a", "b", "c"]));
        assert_eq!(moved(&before, &after, "b"), (50.0, 0.0));
        assert_eq!(moved(&before, &after, "a"), (50.0, 25.0));
    }
}
