//! The loop of the heartbeat thread.
//!
//! Each turn: commands, everything that came, what is due, what the machine wants done, then what can wait. A heartbeat
//! never waits for what can wait: of that, a turn does only so much.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::Duration;

use geminus_core::announce::Announcer;
use geminus_core::director::frame::announcement;
use geminus_core::ha::{Adopted, Effect, Ha, HaEvent, Input, Instant, PathId, Standing};
use geminus_core::neighbour::Mac;
use geminus_core::wire::{Channel, Opened};
use geminus_dataplane::{Conversation, Leases, Paths};
use geminus_packet::twin::Head;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::sync::mpsc;

use super::answers::Answers;
use super::datagram::Datagram;
use super::net::Net;
use super::reach::Reach;
use super::refusals::Refusals;
use super::{Command, News, TwinParts, TwinSite, realtime};
use crate::driver::Clock;
use crate::kernel::calls;

/// How often the driver sees how things are, where nothing changes.
const VIEW: Duration = Duration::from_millis(250);

/// How often what rarely changes is looked after: sockets that could not be opened, frames that were refused.
const CARE: Duration = Duration::from_secs(1);

/// Commands taken in one turn.
const COMMANDS: usize = 64;

/// Announcements sent in one turn: less than a tenth of a millisecond, so that no heartbeat is late for them.
const ANNOUNCEMENTS: usize = 16;

/// A partner that says hello is answered at once, but not more often: what it needs is in every heartbeat anyway.
const HELLO: Duration = Duration::from_millis(20);

/// How long the last word waits for room.
const LAST_WORD: Duration = Duration::from_secs(1);

/// The thread's state.
pub(super) struct Thread {
    clock: Clock,
    site: TwinSite,
    ha: Ha,
    session: u64,
    /// By partner, as [`geminus_core::ha::Config::peers`].
    partners: Vec<Partner>,
    net: Net,
    reach: Reach,
    announcer: Announcer,
    /// Groups whose addresses are ours.
    owned: Vec<u8>,
    frames: OwnedFd,
    leases: Leases,
    paths: Paths,
    refusals: Refusals,
    commands: Receiver<Command>,
    wake: Arc<OwnedFd>,
    news: mpsc::Sender<News>,
    lost: u64,
    next_view: Instant,
    next_care: Instant,
    left: bool,
}

/// One partner, as the thread knows it.
struct Partner {
    name: String,
    channel: Channel,
    probes: Answers,
    /// The last heartbeat by each path, and when a hello was answered with it.
    said: BTreeMap<usize, geminus_core::ha::Beat>,
    greeted: Instant,
    /// What the program knows of the paths to it.
    told: Conversation,
}

impl Thread {
    pub(super) fn new(
        parts: TwinParts,
        session: u64,
        commands: Receiver<Command>,
        wake: Arc<OwnedFd>,
        news: mpsc::Sender<News>,
    ) -> io::Result<Self> {
        let TwinParts { clock, site, leases, paths } = parts;
        let now = clock.now();
        let adopted: Vec<_> = site.config.groups.iter().map(|group| adopted(&leases, group.number)).collect();
        let mut thread = Self {
            ha: Ha::new(site.config.clone(), &adopted, now),
            clock,
            session,
            partners: Vec::new(),
            net: Net::new()?,
            reach: Reach::new(session),
            announcer: Announcer::default(),
            owned: Vec::new(),
            frames: calls::socket(libc::AF_PACKET, libc::SOCK_RAW, 0)?,
            leases,
            paths,
            refusals: Refusals::default(),
            commands,
            wake,
            news,
            lost: 0,
            next_view: now,
            next_care: now,
            left: false,
            site,
        };
        thread.furnish(now);
        Ok(thread)
    }

    /// Runs until the machine has left or nobody commands any more.
    pub(super) fn run(mut self) {
        realtime::prepare().into_iter().for_each(|line| self.warn(line));
        self.care(self.clock.now());
        while !self.left && self.take_commands() {
            self.drain();
            let now = self.clock.now();
            if self.ha.poll_timeout().is_some_and(|due| due <= now) {
                self.ha.handle_timeout(now);
            }
            self.carry_out();
            let more = self.do_what_can_wait();
            if !self.left {
                self.wait(more);
            }
        }
        if self.left {
            self.say_last_word();
        }
    }

    /// Channels, sockets and targets as the site has them.
    fn furnish(&mut self, now: Instant) {
        let mut before = std::mem::take(&mut self.partners);
        for peer in &self.site.config.peers {
            let known = before.iter().position(|partner| partner.name == peer.name);
            let partner = match known.map(|at| before.swap_remove(at)) {
                Some(mut partner) => {
                    partner.channel.set_keys(&self.site.keys);
                    partner
                }
                None => Partner {
                    name: peer.name.clone(),
                    channel: Channel::new(&self.site.keys, &self.site.config.node, &peer.name, self.session),
                    probes: Answers::default(),
                    said: BTreeMap::new(),
                    greeted: now,
                    told: Conversation::default(),
                },
            };
            self.partners.push(partner);
        }
        self.net.configure(&self.site.paths, self.site.port);
        self.reach.configure(&self.site.reach, now);
        self.tell_program(true);
        self.own_addresses(now);
        self.care(now);
    }

    /// Takes what is commanded; false if nobody will command any more.
    fn take_commands(&mut self) -> bool {
        // Not ready: nobody called, and the channel is empty or soon to be announced.
        let _ = rustix::io::read(&*self.wake, &mut [0; 8]);
        for _ in 0..COMMANDS {
            match self.commands.try_recv() {
                Ok(command) => self.obey(command),
                Err(TryRecvError::Empty) => return true,
                Err(TryRecvError::Disconnected) => return false,
            }
        }
        // There may be more: the next turn comes at once.
        let _ = rustix::io::write(&*self.wake, &1_u64.to_ne_bytes());
        true
    }

    fn obey(&mut self, command: Command) {
        let now = self.clock.now();
        match command {
            Command::Ha(input) => self.ha.handle(input, now),
            Command::Site(site) => {
                self.site = *site;
                self.ha.handle(Input::Config(self.site.config.clone()), now);
                self.furnish(now);
            }
            Command::Again { address: Some(address) } => self.announcer.defend(address, now),
            Command::Again { address: None } => self.announcer.again(now),
        }
        self.carry_out();
    }

    /// Everything that came goes to the machine before it is asked what is due: a late look is no silence.
    fn drain(&mut self) {
        let looked = std::time::Instant::now();
        let now = self.clock.moment(looked);
        let Self { net, partners, ha, refusals, site, paths, clock, .. } = self;
        let mut met = Vec::new();
        let mut hellos = Vec::new();
        let foreign = net.drain(|at, datagram| {
            let path = site.paths[at].id;
            let Some(partner) = partners.get_mut(path.peer) else { return };
            let stamp = Head::from_bytes(datagram.payload).map_or(0, |head| head.stamp);
            let arrived = paths.arrival(stamp, looked).map_or(now, |at| clock.moment(at));
            match partner.channel.open(datagram.payload) {
                Ok(Opened::Beat { session, beat, .. }) => {
                    met.push((at, source(datagram)));
                    ha.handle(Input::Beat { session, path, arrived, beat }, now);
                }
                Ok(Opened::Answer { probe, reports, .. }) => {
                    if partner.probes.answered(probe) {
                        ha.handle(Input::Answer { path, arrived, probe, reports }, now);
                    }
                }
                Ok(Opened::Hello) => hellos.push(path),
                Err(refused) => refusals.note(refused, path),
            }
        });
        self.refusals.foreign(foreign);
        if self.refusals.look(&self.paths) {
            ha.handle(Input::Stranger, now);
        }
        self.reach.drain(|target| ha.handle(Input::Reached { target, arrived: now }, now));
        let mut moved = false;
        for (at, (mac, same_link)) in met {
            moved |= self.net.met(at, mac, same_link);
        }
        if moved {
            self.tell_neighbours();
        }
        hellos.into_iter().for_each(|path| self.greet(path, now));
        self.tell_program(false);
    }

    /// Whoever says hello needs a heartbeat of this node to prove that it speaks now.
    fn greet(&mut self, path: PathId, now: Instant) {
        let Some(partner) = self.partners.get_mut(path.peer) else { return };
        if now.since(partner.greeted) < HELLO {
            return;
        }
        partner.greeted = now;
        // The same words in a new frame: who heard them already does not mind.
        if let Some(beat) = partner.said.get(&path.path) {
            let payload = partner.channel.seal(path.path as u8, beat);
            self.send(path, &payload);
        }
    }

    fn carry_out(&mut self) {
        while let Some(effect) = self.ha.poll_effect() {
            match effect {
                Effect::Set { group, lease, owns, standing, epoch } => {
                    self.leases.set(group, lease, owns, standing as u8, epoch);
                }
                Effect::Send { path, beat } => {
                    let Some(partner) = self.partners.get_mut(path.peer) else { continue };
                    let payload = partner.channel.seal(path.path as u8, &beat);
                    partner.said.insert(path.path, beat);
                    self.send(path, &payload);
                }
                Effect::Probe { path, probe } => {
                    let Some(partner) = self.partners.get_mut(path.peer) else { continue };
                    partner.probes.asked(probe);
                    let payload = partner.channel.probe(path.path as u8, probe);
                    self.send(path, &payload);
                }
                Effect::ProbeReach => self.reach.ask_all(),
                Effect::Own { groups, again } => self.own(groups, again),
                Effect::Tell(event) => {
                    if matches!(event, HaEvent::Changed { .. }) {
                        self.next_view = Instant::START;
                    }
                    self.tell(News::Event(event));
                }
                Effect::Left => self.left = true,
            }
        }
    }

    fn send(&mut self, path: PathId, payload: &[u8]) {
        let Some(at) = self.site.paths.iter().position(|of| of.id == path) else { return };
        if let Some(line) = self.net.send(at, payload) {
            self.warn(line);
        }
    }

    fn own(&mut self, groups: Vec<u8>, again: Option<u8>) {
        let now = self.clock.now();
        self.owned = groups;
        self.own_addresses(now);
        if let Some(group) = again {
            self.addresses_of(&[group]).into_iter().for_each(|address| self.announcer.defend(address, now));
        }
    }

    fn own_addresses(&mut self, now: Instant) {
        self.announcer.own(self.addresses_of(&self.owned), now);
    }

    fn addresses_of(&self, groups: &[u8]) -> Vec<std::net::IpAddr> {
        let ours = self.site.addresses.iter().filter(|(group, _)| groups.contains(group));
        ours.flat_map(|(_, addresses)| addresses.iter().copied()).collect()
    }

    /// Announcements, targets, views, care; whether there is more of it to be done at once.
    fn do_what_can_wait(&mut self) -> bool {
        let now = self.clock.now();
        if self.reach.poll_timeout().is_some_and(|due| due <= now) {
            self.reach.handle_timeout(now);
        }
        if self.next_view <= now {
            self.next_view = now + VIEW;
            let view = self.ha.view(now);
            self.tell(News::View(view));
        }
        if self.next_care <= now {
            self.care(now);
        }
        self.announce(now)
    }

    fn announce(&mut self, now: Instant) -> bool {
        if self.announcer.poll_timeout().is_some_and(|due| due <= now) {
            self.announcer.handle_timeout(now);
        }
        for _ in 0..ANNOUNCEMENTS {
            let Some(address) = self.announcer.poll() else { return false };
            for frame in announcement(address, self.mac_of(address)) {
                // A full queue or an interface that just went away loses it, as the wire may.
                drop(calls::send_frame(self.frames.as_fd(), self.site.interface, &frame));
            }
        }
        true
    }

    /// The hardware address that neighbours are to know for a cluster address.
    fn mac_of(&self, address: std::net::IpAddr) -> Mac {
        let group = self.site.addresses.iter().find(|(_, addresses)| addresses.contains(&address));
        group.and_then(|(group, _)| self.leases.mac(*group)).map_or(self.site.mac, Mac)
    }

    fn care(&mut self, now: Instant) {
        self.next_care = now + CARE;
        self.net.mend().into_iter().for_each(|line| self.warn(line));
        if let Some(line) = self.reach.mend() {
            self.warn(line);
        }
        for refusal in self.refusals.tell(now) {
            self.tell(News::Security { what: refusal.what, path: refusal.path, count: refusal.count });
        }
        // Tables may have been made anew meanwhile.
        self.tell_program(true);
        self.tell_neighbours();
    }

    /// Lets the program know the sessions, so that it keeps away what is not worth a look.
    fn tell_program(&mut self, all: bool) {
        for (peer, partner) in self.partners.iter_mut().enumerate() {
            let (session, floor) = partner.channel.adopted().unwrap_or_default();
            let mut past = [0; 4];
            past.iter_mut().zip(partner.channel.over()).for_each(|(place, over)| *place = over);
            let probe_floor = partner.probes.floor();
            let known = Conversation { own_session: self.session, session, floor, probe_floor, past };
            if known == partner.told && !all {
                continue;
            }
            partner.told = known;
            for path in self.site.paths.iter().filter(|path| path.id.peer == peer) {
                self.paths.set(path.own, path.remote, &known);
            }
        }
    }

    /// Lets the program know whose frames are not to be balanced again. Nothing is unlearnt by silence.
    fn tell_neighbours(&self) {
        let neighbour = |peer: usize| {
            let serves = self.site.serves.get(peer).copied().unwrap_or(false);
            self.net.neighbour(peer, self.site.interface).map(|mac| (mac.0, serves))
        };
        let mut known = (0..self.partners.len()).filter_map(neighbour);
        let partners = [known.next(), known.next()];
        if partners[0].is_some() {
            self.paths.set_partners(partners);
        }
    }

    fn warn(&mut self, line: String) {
        self.tell(News::Warning(line));
    }

    /// Never waits: what has no room is counted.
    fn tell(&mut self, news: News) {
        if self.lost > 0 && self.news.try_send(News::Lost(self.lost)).is_ok() {
            self.lost = 0;
        }
        if self.news.try_send(news).is_err() {
            self.lost += 1;
        }
    }

    /// The driver waits for it, and nothing else is left to do.
    fn say_last_word(&mut self) {
        let view = self.ha.view(self.clock.now());
        self.tell(News::View(view));
        let until = std::time::Instant::now() + LAST_WORD;
        while matches!(self.news.try_send(News::Left), Err(mpsc::error::TrySendError::Full(_)))
            && std::time::Instant::now() < until
        {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Sleeps until something comes or is due.
    fn wait(&self, more: bool) {
        let dues = [
            self.ha.poll_timeout(),
            self.reach.poll_timeout(),
            self.announcer.poll_timeout(),
            Some(self.next_view),
            Some(self.next_care),
        ];
        let due = dues.into_iter().flatten().min().unwrap_or(self.next_care);
        let rest = if more { Duration::ZERO } else { due.since(self.clock.now()) };
        let wake = PollFd::new(&*self.wake, PollFlags::IN);
        let sockets = self.net.descriptors().chain(self.reach.descriptors());
        let sockets = sockets.map(|socket| PollFd::from_borrowed_fd(socket, PollFlags::IN));
        let mut watched: Vec<_> = std::iter::once(wake).chain(sockets).collect();
        let rest = Timespec { tv_sec: rest.as_secs() as i64, tv_nsec: rest.subsec_nanos().into() };
        // A signal or an error ends the sleep, and the next turn looks at everything anyway.
        let _ = poll(&mut watched, Some(&rest));
    }
}

fn source(datagram: &Datagram<'_>) -> (Mac, bool) {
    (datagram.mac, datagram.same_link)
}

/// What the data plane says of a group before this daemon says anything.
fn adopted(leases: &Leases, group: u8) -> Adopted {
    let reading = leases.read(group);
    Adopted {
        group,
        lease: reading.lease,
        epoch: reading.epoch,
        standing: Standing::from_number(reading.standing).unwrap_or(Standing::Standby),
    }
}
