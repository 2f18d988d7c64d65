//! The loop of the thread that hears agents.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use geminus_core::agent::frame::LONGEST;
use geminus_core::agent::{Heard, Hearing};
use geminus_core::director::{Input, Instant};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::sockopt::set_socket_recv_buffer_size_force;
use tokio::sync::mpsc;

use super::refusals::Refusals;
use super::{AgentsSite, Shared};
use crate::driver::Clock;

/// How often refusals are told, and a port that could not be had is tried again.
const CARE: Duration = Duration::from_secs(1);

/// Bytes of frames that wait while the thread does not run: at a hundred thousand frames a second of noise, the tenth of a
/// second that a busy machine may keep it waiting.
const ROOM: usize = 16 << 20;

/// Frames taken before the loop is looked at again.
const TURN: usize = 256;

/// The thread's state.
pub(super) struct Thread {
    clock: Clock,
    site: AgentsSite,
    shared: Arc<Shared>,
    news: mpsc::Sender<Input>,
    hearing: Hearing,
    refusals: Refusals,
    socket: Option<UdpSocket>,
    /// Why there is no socket, as it was told.
    told: Option<String>,
    care: Instant,
}

impl Thread {
    pub(super) fn new(
        clock: Clock,
        site: AgentsSite,
        shared: Arc<Shared>,
        news: mpsc::Sender<Input>,
        secret: [u8; 32],
    ) -> Self {
        let mut hearing = Hearing::new(secret);
        hearing.configure(&site.keys, &site.hosts, site.timeout);
        let refusals = Refusals::default();
        Self { clock, site, shared, news, hearing, refusals, socket: None, told: None, care: Instant::START }
    }

    pub(super) fn run(mut self) {
        loop {
            let now = self.clock.now();
            if now >= self.care {
                self.care = now + CARE;
                self.look_after(now);
            }
            self.wait();
            let (site, end) = self.shared.told(|told| (told.site.take(), told.end));
            if end {
                return;
            }
            if let Some(site) = site {
                self.configure(site);
            }
            self.hear();
            let counts = self.hearing.counts();
            self.shared.told(|told| told.counts = counts);
        }
    }

    /// Until somebody sends, the loop says something, or a second has passed.
    fn wait(&self) {
        let mut ends = vec![PollFd::new(&self.shared.wake, PollFlags::IN)];
        ends.extend(self.socket.as_ref().map(|socket| PollFd::new(socket, PollFlags::IN)));
        let wait = Timespec { tv_sec: 1, tv_nsec: 0 };
        // Interrupted or not, the next turn looks at everything.
        let _ = poll(&mut ends, Some(&wait));
        let _ = rustix::io::read(&self.shared.wake, &mut [0_u8; 8]);
    }

    fn configure(&mut self, site: AgentsSite) {
        self.hearing.configure(&site.keys, &site.hosts, site.timeout);
        if site.at != self.site.at {
            self.socket = None;
            self.told = None;
        }
        self.site = site;
        self.care = Instant::START;
    }

    fn look_after(&mut self, now: Instant) {
        if self.socket.is_none() {
            match open(self.site.at) {
                Ok(socket) => {
                    tracing::info!(at = %self.site.at, hosts = self.site.hosts.len(), "agents are heard");
                    self.socket = Some(socket);
                    self.told = None;
                }
                Err(error) => self.tell_no_socket(&error),
            }
        }
        for line in self.refusals.tell(now) {
            self.tell(Input::AgentSecurity(line));
        }
    }

    fn tell_no_socket(&mut self, error: &io::Error) {
        let at = self.site.at;
        let why = format!("agents are not heard: cannot have UDP {at}: {error}: give [agents] another port");
        if self.told.as_ref() != Some(&why) {
            self.told = Some(why.clone());
            self.tell(Input::AgentSecurity(why));
        }
    }

    fn hear(&mut self) {
        let Some(socket) = self.socket.take() else { return };
        let mut buffer = [0; LONGEST + 1];
        for _ in 0..TURN {
            match socket.recv_from(&mut buffer) {
                Ok((length, from)) => self.hear_frame(&socket, from, &buffer[..length]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                // Of an answer that nobody took; the next frame is another matter.
                Err(_) => {}
            }
        }
        self.socket = Some(socket);
    }

    fn hear_frame(&mut self, socket: &UdpSocket, from: SocketAddr, frame: &[u8]) {
        match self.hearing.hear(from.ip(), frame, self.clock.now()) {
            // What found no room with the loop was not heard: the agent says it again.
            Heard::Report { report, answer } => {
                if self.tell(Input::Reported(report)) {
                    send(socket, &answer, from);
                }
            }
            Heard::Challenged { answer } => send(socket, &answer, from),
            // Told of once, and not answered: it is not heard here.
            Heard::Stranger { report } => drop(self.tell(Input::Reported(report))),
            Heard::Refused(refused) => self.refusals.note(refused, from.ip().to_canonical()),
        }
    }

    fn tell(&self, input: Input) -> bool {
        self.news.try_send(input).is_ok()
    }
}

fn open(at: SocketAddr) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind(at)?;
    // What the system allows is enough where nobody floods the port.
    let _ = set_socket_recv_buffer_size_force(&socket, ROOM);
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// An answer that has no room is said again to the next report.
fn send(socket: &UdpSocket, answer: &[u8], to: SocketAddr) {
    let _ = socket.send_to(answer, to);
}
