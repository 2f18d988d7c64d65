//! `geminus host agent`: tells the dispatchers how loaded this host is, what is wrong with its set-up, and that it is
//! about to stop.
//!
//! [`machine`] and [`numbers`] read, [`checkup`] looks as `geminus host check` does, [`conversation`] talks to one
//! dispatcher, [`told`] says what happened. What the frames are and what makes a load is [`geminus_core::agent`]'s.

pub(crate) mod args;
mod checkup;
mod conversation;
mod machine;
mod numbers;
mod told;

use std::net::IpAddr;
use std::time::Duration;

use geminus_core::agent::key_file::Key;
use geminus_core::agent::{Gauge, Report};
use geminus_core::director::Instant;
use rustix::rand::{GetRandomFlags, getrandom};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{sleep, sleep_until};

use crate::failure::{Exit, Failure};
use crate::verbs::run::failure;

use self::args::AgentArgs;
use self::checkup::Checkup;
use self::conversation::{Conversation, Heard, hear};
use self::numbers::Numbers;
use self::told::Teller;

/// How often the set-up is looked at.
const CHECKUP: Duration = Duration::from_secs(5);

/// How long the dispatchers have to say that they know of the leaving.
const LEAVE: Duration = Duration::from_secs(1);

/// The same for `--leave`, which they have not heard of before.
const LEAVE_ONCE: Duration = Duration::from_secs(3);

/// How often it is said until they do.
const LEAVE_AGAIN: Duration = Duration::from_millis(100);

/// Does what the arguments say.
pub(crate) fn run(args: &AgentArgs) -> Result<Exit, Failure> {
    args.check()?;
    let key = key(args)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(16)
        .build()
        .map_err(|error| Failure::no(format!("the kernel gives no event loop: {error}")))?;
    let outcome = runtime.block_on(async {
        let agent = Agent::new(args, &key)?;
        if args.leave { agent.leave_once().await } else { agent.stay().await }
    });
    // A file that hangs keeps nobody.
    runtime.shutdown_background();
    outcome
}

/// The first key of the file: whoever changes keys puts the new one before the old.
fn key(args: &AgentArgs) -> Result<Key, Failure> {
    let keys = geminus_daemon::read_agent_keys(&args.key_file).map_err(|error| failure(&error))?;
    let key = keys.into_iter().next().expect("a file of keys has one");
    if let Key::Host(host, _) = &key
        && args.address.is_some_and(|address| address.to_canonical() != host.to_canonical())
    {
        let file = args.key_file.display();
        return Err(Failure::wrong(format!("{file} holds the key of {host}, not of --address"))
            .hint("name the file of this host, or leave --address out"));
    }
    Ok(key)
}

struct Agent<'a> {
    args: &'a AgentArgs,
    teller: Teller,
    started: std::time::Instant,
    conversations: Vec<Conversation>,
    gauge: Gauge,
    numbers: Numbers,
    checkup: Checkup,
    random: u64,
}

struct Ends {
    terminate: Signal,
    interrupt: Signal,
}

impl Ends {
    fn listen() -> Result<Self, Failure> {
        let listen =
            |kind| signal(kind).map_err(|error| Failure::no(format!("the kernel gives no signals: {error}")));
        Ok(Self { terminate: listen(SignalKind::terminate())?, interrupt: listen(SignalKind::interrupt())? })
    }

    async fn told(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

impl<'a> Agent<'a> {
    fn new(args: &'a AgentArgs, key: &Key) -> Result<Self, Failure> {
        let teller = Teller { json: args.json };
        if let Key::Made(_) = key {
            let file = args.key_file.display();
            teller.warn(&format!(
                "{file} holds a secret that can do more than report: \
                 put what geminus key agent makes of it on this host instead"
            ));
        }
        // A host's own key says which host it is.
        let own = match key {
            Key::Host(host, _) => Some(*host),
            _ => args.address,
        };
        let conversations = args
            .dispatchers
            .iter()
            .map(|at| Ok(Conversation::new(at.0, own, key.clone(), random()?)))
            .collect::<Result<_, Failure>>()?;
        Ok(Self {
            args,
            teller,
            started: std::time::Instant::now(),
            conversations,
            gauge: Gauge::default(),
            numbers: Numbers::start(&args.custom, &args.exec, args.interval.0),
            checkup: Checkup::new(args),
            random: random()?,
        })
    }

    fn now(&self) -> Instant {
        Instant::from_start(self.started.elapsed())
    }

    /// What is to be said of this host now.
    fn look(&mut self, leaving: bool) -> Report {
        let (custom, mut findings) = self.numbers.now();
        findings.extend(self.checkup.found());
        let now = self.now();
        let load = self.gauge.look(&machine::seen(custom), now);
        // The host is named by each conversation: it may be known by an address of either family.
        let host = IpAddr::from([0, 0, 0, 0]);
        let every = Some(self.args.interval.0);
        Report { host, load: load.load, leaving, every, parts: load.parts, findings }
    }

    fn say(&mut self, report: &Report) {
        let now = self.now();
        for conversation in &mut self.conversations {
            conversation.say(report, now, &self.teller);
        }
    }

    /// Tells the dispatchers until a signal ends it.
    async fn stay(mut self) -> Result<Exit, Failure> {
        let mut ends = Ends::listen()?;
        let dispatchers: Vec<String> =
            self.conversations.iter().map(|one| one.dispatcher().to_string()).collect();
        let every = self.args.interval.0.as_secs_f64();
        self.teller.tell("started", &format!("reporting every {every} s to {}", dispatchers.join(" and ")));
        self.tell_until(&mut ends, None, false).await;
        self.teller.tell("leaving", "asked to stop: telling the dispatchers to send no new flows");
        self.say_leaving(LEAVE).await;
        self.tell_who_knows();
        let until = tokio::time::Instant::now() + self.args.drain.0;
        if !self.args.drain.0.is_zero() {
            self.tell_until(&mut ends, Some(until), true).await;
        }
        Ok(Exit::Done)
    }

    /// Reports in its rhythm until then, or a signal.
    async fn tell_until(&mut self, ends: &mut Ends, until: Option<tokio::time::Instant>, leaving: bool) {
        let mut next = tokio::time::Instant::now();
        let mut report = self.look(leaving);
        loop {
            tokio::select! {
                () = ends.told() => return,
                () = ended(until) => return,
                () = sleep_until(next) => {
                    report = self.look(leaving);
                    self.say(&report);
                    next = tokio::time::Instant::now() + self.pause();
                }
                heard = hear(&mut self.conversations) => self.heard(&heard, &report),
            }
        }
    }

    fn heard(&mut self, heard: &Heard, report: &Report) {
        let now = self.now();
        let conversation = &mut self.conversations[heard.which];
        // Who asks for proof gets it at once: a started dispatcher knows this host after one exchange.
        if conversation.hear(heard, now, &self.teller) {
            conversation.say(report, now, &self.teller);
        }
    }

    /// The interval, a tenth more or less: a thousand hosts that were started at once do not speak at once for ever.
    fn pause(&mut self) -> Duration {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        let tenth = self.args.interval.0 / 10;
        self.args.interval.0 - tenth + tenth.mul_f64(2.0 * (self.random % 1000) as f64 / 1000.0)
    }

    /// Says that no new flows are wanted until every dispatcher that ever answered knows, or the time is over.
    async fn say_leaving(&mut self, patience: Duration) {
        for conversation in &mut self.conversations {
            conversation.begin_leaving();
        }
        let until = tokio::time::Instant::now() + patience;
        let mut next = tokio::time::Instant::now();
        let report = self.look(true);
        while !self.conversations.iter().all(Conversation::knows_of_leaving) {
            tokio::select! {
                () = sleep_until(until) => return,
                () = sleep_until(next) => {
                    self.say(&report);
                    next = tokio::time::Instant::now() + LEAVE_AGAIN;
                }
                heard = hear(&mut self.conversations) => self.heard(&heard, &report),
            }
            if self.args.leave && self.conversations.iter().any(Conversation::has_rival) {
                return;
            }
        }
    }

    fn tell_who_knows(&self) {
        for conversation in &self.conversations {
            let (word, what) = if conversation.knows_of_leaving() {
                ("left", "sends no new flows")
            } else {
                ("unheard", "did not say that it knows")
            };
            self.teller.tell(word, &format!("{} {what}", conversation.dispatcher()));
        }
    }

    /// Says it once, for scripts.
    async fn leave_once(mut self) -> Result<Exit, Failure> {
        // One look at the processors says nothing; of two there is a load.
        self.look(true);
        sleep(LEAVE_AGAIN).await;
        self.say_leaving(LEAVE_ONCE).await;
        if let Some(rival) = self.conversations.iter().find(|one| one.has_rival()) {
            let host = rival.host().map_or_else(|| "this host".to_owned(), |host| host.to_string());
            return Err(Failure::no(format!("an agent reports for {host} and would take it back"))
                .hint("stop it, which says the same: systemctl stop geminus-agent"));
        }
        self.tell_who_knows();
        let all = self.conversations.iter().all(Conversation::knows_of_leaving);
        Ok(if all { Exit::Done } else { Exit::No })
    }
}

async fn ended(until: Option<tokio::time::Instant>) {
    match until {
        Some(until) => sleep_until(until).await,
        None => std::future::pending().await,
    }
}

/// Random, and not 0.
fn random() -> Result<u64, Failure> {
    let mut bytes = [0; 8];
    match getrandom(&mut bytes, GetRandomFlags::empty()) {
        Ok(_) => Ok(u64::from_le_bytes(bytes).max(1)),
        Err(error) => Err(Failure::no(format!("the kernel gives no random bytes: {error}"))),
    }
}
