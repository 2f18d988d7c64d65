//! Programs that operators have started when something happens.
//!
//! They run beside the loop, few at a time, without a shell, with nothing of the daemon's but what they are told, and not
//! for ever. None of it is on the way of a heartbeat: that has a thread of its own.

use std::collections::{BTreeMap, VecDeque};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use geminus_core::director::About;
use geminus_core::model;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::{Child, Command};
use tokio::task::JoinSet;
use tokio::time::timeout;

/// Programs that run at once: a burst of events is no burst of processes.
const AT_ONCE: usize = 4;

/// Programs that wait for their turn. Whoever has more events than that waiting has other worries than the next one.
const WAITING: usize = 64;

/// What is kept of a program's output and of its complaints: enough for a reason, too little to fill a log.
const OUTPUT: u64 = 2048;

/// How long programs that still run are waited for when the daemon leaves.
const LAST: Duration = Duration::from_secs(2);

/// Where programs that a hook starts by name are looked for.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What happened, as a hook is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Occasion {
    /// One of [`model::HOOK_EVENTS`].
    pub(crate) event: &'static str,
    /// Names of the clusters it is about, where nothing below names them; none: of no cluster in particular.
    pub(crate) clusters: Vec<String>,
    /// The server, services and pool it is about.
    pub(crate) about: About,
    /// The event in words.
    pub(crate) message: String,
}

impl Occasion {
    /// What the program finds in its environment. Every variable is there, so that a shell's `set -u` holds.
    fn variables(&self) -> [(&'static str, String); 8] {
        let About { server, services, pool, reason } = &self.about;
        let mut clusters: Vec<_> = services.iter().map(|(cluster, _)| cluster.as_str()).collect();
        clusters.dedup();
        if clusters.is_empty() {
            clusters = self.clusters.iter().map(String::as_str).collect();
        }
        let services: Vec<_> =
            services.iter().map(|(cluster, service)| format!("{cluster}/{service}")).collect();
        let (server, address) =
            server.as_ref().map(|(name, address)| (name.clone(), address.to_string())).unwrap_or_default();
        [
            ("GEMINUS_EVENT", self.event.to_owned()),
            ("GEMINUS_MESSAGE", self.message.clone()),
            ("GEMINUS_CLUSTERS", clusters.join(" ")),
            ("GEMINUS_SERVICES", services.join(" ")),
            ("GEMINUS_SERVER", server),
            ("GEMINUS_ADDRESS", address),
            ("GEMINUS_POOL", pool.clone().unwrap_or_default()),
            ("GEMINUS_REASON", reason.unwrap_or_default().to_owned()),
        ]
    }
}

/// The programs of the configuration, and those that run.
#[derive(Debug)]
pub(crate) struct Hooks {
    node: String,
    limit: Duration,
    commands: BTreeMap<String, Vec<String>>,
    waiting: VecDeque<Job>,
    running: JoinSet<Result<(), String>>,
}

/// A program that is to run.
#[derive(Debug)]
struct Job {
    node: String,
    limit: Duration,
    words: Vec<String>,
    occasion: Occasion,
}

impl Hooks {
    /// As the configuration of this node has them.
    pub(crate) fn new(hooks: &model::Hooks, node: &str) -> Self {
        Self {
            node: node.to_owned(),
            limit: hooks.timeout,
            commands: hooks.commands.clone(),
            waiting: VecDeque::new(),
            running: JoinSet::new(),
        }
    }

    /// The configuration is this from now on; what runs and waits goes on as it was meant.
    pub(crate) fn configure(&mut self, hooks: &model::Hooks) {
        self.limit = hooks.timeout;
        self.commands.clone_from(&hooks.commands);
    }

    /// Has the program of an event started, if there is one. To be called within the loop's runtime.
    ///
    /// # Errors
    /// In words: too many wait already.
    pub(crate) fn call(&mut self, occasion: Occasion) -> Result<(), String> {
        let Some(words) = self.commands.get(occasion.event) else { return Ok(()) };
        if self.waiting.len() == WAITING {
            return Err(format!("hook {}: not started, because {WAITING} wait already", occasion.event));
        }
        let (node, limit, words) = (self.node.clone(), self.limit, words.clone());
        self.waiting.push_back(Job { node, limit, words, occasion });
        self.begin();
        Ok(())
    }

    /// Waits until a program ends; what went wrong with it, in words. For ever where none runs.
    pub(crate) async fn ended(&mut self) -> Option<String> {
        let Some(ended) = self.running.join_next().await else { return std::future::pending().await };
        self.begin();
        match ended {
            Ok(outcome) => outcome.err(),
            Err(error) => Some(format!("a hook failed within geminus: {error}")),
        }
    }

    /// The daemon leaves: what runs and waits has a little time left.
    pub(crate) async fn finish(&mut self) {
        let all = async {
            while !self.running.is_empty() {
                if let Some(failure) = self.ended().await {
                    tracing::warn!("{failure}");
                }
            }
        };
        if timeout(LAST, all).await.is_err() {
            tracing::warn!("hooks still ran when the daemon left, and were ended");
        }
    }

    fn begin(&mut self) {
        while self.running.len() < AT_ONCE
            && let Some(job) = self.waiting.pop_front()
        {
            self.running.spawn(run(job));
        }
    }
}

/// Runs one program to its end, or ends it.
async fn run(job: Job) -> Result<(), String> {
    let Some((program, arguments)) = job.words.split_first() else { return Ok(()) };
    let event = job.occasion.event;
    let mut command = Command::new(program);
    command
        .args(arguments)
        .env_clear()
        .env("PATH", PATH)
        .env("GEMINUS_NODE", &job.node)
        .envs(job.occasion.variables())
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // A group of its own, so that what it starts ends with it.
        .process_group(0)
        .kill_on_drop(true);
    let mut child =
        command.spawn().map_err(|error| format!("hook {event}: {program} cannot be started: {error}"))?;
    let group = Group(child.id().and_then(|id| Pid::from_raw(id.cast_signed())));
    let ended = timeout(job.limit, outcome(&mut child)).await;
    drop(group);
    let Ok((status, said)) = ended else {
        let limit = job.limit.as_secs_f64();
        return Err(format!("hook {event}: {program} ran longer than {limit} s and was ended"));
    };
    if !said.is_empty() {
        tracing::info!(hook = event, "{program} said: {said}");
    }
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("hook {event}: {program} failed: {status}{}", because(&said))),
        Err(error) => Err(format!("hook {event}: {program} was lost sight of: {error}")),
    }
}

/// What a program says and how it ends.
async fn outcome(child: &mut Child) -> (std::io::Result<ExitStatus>, String) {
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let (out, err, status) = tokio::join!(beginning(out), beginning(err), child.wait());
    let said = String::from_utf8_lossy(&[out, err].concat()).trim().replace('\n', " | ");
    (status, said)
}

/// The beginning of what is said; the rest is read too, so that nobody is stopped by a full pipe.
async fn beginning(pipe: Option<impl AsyncRead + Unpin>) -> Vec<u8> {
    let mut kept = Vec::new();
    if let Some(mut pipe) = pipe {
        // What cannot be read was not said.
        drop((&mut pipe).take(OUTPUT).read_to_end(&mut kept).await);
        drop(tokio::io::copy(&mut pipe, &mut tokio::io::sink()).await);
    }
    kept
}

fn because(said: &str) -> String {
    if said.is_empty() { String::new() } else { format!(": {said}") }
}

/// The processes of a hook, which end with it, however it ends.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // Most often nobody is left.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Instant;

    use super::*;

    fn hooks(words: &[&str], limit: Duration) -> Hooks {
        let words = words.iter().map(|word| (*word).to_owned()).collect();
        let commands = BTreeMap::from([("go-active".to_owned(), words)]);
        Hooks::new(&model::Hooks { timeout: limit, commands }, "alpha")
    }

    fn occasion(event: &'static str) -> Occasion {
        let clusters = vec!["shop".to_owned(), "mail".to_owned()];
        let about = About::default();
        Occasion { event, clusters, about, message: "active for shop: $(reboot)".to_owned() }
    }

    fn script(dir: &Path, text: &str) -> String {
        use std::os::unix::fs::PermissionsExt as _;
        let path = dir.join("hook");
        std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).expect("written");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700)).expect("set");
        path.to_string_lossy().into_owned()
    }

    fn within<T>(work: impl Future<Output = T>) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let bounded = async { timeout(Duration::from_secs(60), work).await.expect("it ends") };
        runtime.block_on(bounded)
    }

    const LONG: Duration = Duration::from_secs(50);

    #[test]
    fn a_program_is_told_what_happened_and_nothing_else() {
        let dir = tempfile::tempdir().expect("a directory");
        let told = dir.path().join("told");
        let program = script(dir.path(), &format!("env > {0}; echo \"$@\" >> {0}", told.display()));
        within(async {
            let mut hooks = hooks(&[&program, "two words", "$HOME"], LONG);
            hooks.call(occasion("go-active")).expect("there is room");
            assert_eq!(hooks.ended().await, None);
        });
        let told = std::fs::read_to_string(told).expect("it ran");
        for line in [
            "GEMINUS_EVENT=go-active",
            "GEMINUS_CLUSTERS=shop mail",
            "GEMINUS_NODE=alpha",
            "GEMINUS_MESSAGE=active for shop: $(reboot)",
            "two words $HOME",
        ] {
            assert!(told.lines().any(|told| told == line), "{line}: {told}");
        }
        let foreign = told.lines().filter_map(|line| line.split_once('=')).map(|(name, _)| name);
        let known = ["PATH", "PWD", "OLDPWD", "SHLVL", "_"];
        let foreign: Vec<_> =
            foreign.filter(|name| !name.starts_with("GEMINUS_") && !known.contains(name)).collect();
        assert_eq!(foreign, Vec::<&str>::new(), "nothing of the daemon's own environment");
    }

    #[test]
    fn a_program_is_told_of_what_by_names_and_finds_every_variable_there() {
        let variables = |about: About| Occasion { about, ..occasion("server-down") }.variables();
        let service = |cluster: &str, service: &str| (cluster.to_owned(), service.to_owned());
        let about = About {
            server: Some(("web1".to_owned(), "198.51.100.21".parse().expect("an address"))),
            services: vec![service("shop", "tcp/80"), service("shop", "tcp/443"), service("wiki", "tcp/80")],
            pool: Some("main".to_owned()),
            reason: Some("refused"),
        };
        assert_eq!(
            variables(about)[2..].iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>(),
            [
                "GEMINUS_CLUSTERS=shop wiki",
                "GEMINUS_SERVICES=shop/tcp/80 shop/tcp/443 wiki/tcp/80",
                "GEMINUS_SERVER=web1",
                "GEMINUS_ADDRESS=198.51.100.21",
                "GEMINUS_POOL=main",
                "GEMINUS_REASON=refused",
            ]
        );
        let of_a_node = variables(About::default());
        assert_eq!(of_a_node[2], ("GEMINUS_CLUSTERS", "shop mail".to_owned()));
        assert!(of_a_node[3..].iter().all(|(_, value)| value.is_empty()));
    }

    #[test]
    fn an_event_without_a_program_starts_none() {
        within(async {
            let mut hooks = hooks(&["/nonexistent"], LONG);
            hooks.call(occasion("duel")).expect("nothing to do");
            assert!(hooks.running.is_empty() && hooks.waiting.is_empty());
        });
    }

    #[test]
    fn a_program_that_fails_or_cannot_be_started_is_told_with_its_own_words() {
        let dir = tempfile::tempdir().expect("a directory");
        let program = script(dir.path(), "echo no such pager >&2; exit 3");
        within(async {
            let mut failing = hooks(&[&program], LONG);
            failing.call(occasion("go-active")).expect("there is room");
            let said = failing.ended().await.expect("it failed");
            assert!(said.contains("exit status: 3: no such pager"), "{said}");
            let mut missing = hooks(&["/nonexistent/program"], LONG);
            missing.call(occasion("go-active")).expect("there is room");
            let said = missing.ended().await.expect("it failed");
            assert!(said.contains("/nonexistent/program cannot be started"), "{said}");
        });
    }

    #[test]
    fn a_program_that_does_not_end_is_ended_with_all_it_started() {
        let dir = tempfile::tempdir().expect("a directory");
        let child = dir.path().join("child");
        let program = script(dir.path(), &format!("sleep 55 & echo $! > {}; wait", child.display()));
        within(async {
            let mut hooks = hooks(&[&program], Duration::from_millis(500));
            hooks.call(occasion("go-active")).expect("there is room");
            let said = hooks.ended().await.expect("it was ended");
            assert!(said.contains("ran longer than 0.5 s"), "{said}");
        });
        let child: i32 = std::fs::read_to_string(child).expect("it ran").trim().parse().expect("a number");
        let gone = || {
            let status = std::fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_default();
            status.is_empty() || status.contains(") Z ")
        };
        let until = Instant::now() + Duration::from_secs(20);
        while !gone() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(10));
        }
        assert!(gone(), "what the program started outlived it");
    }

    #[test]
    fn a_program_that_never_stops_talking_neither_fills_the_log_nor_stands_still() {
        let dir = tempfile::tempdir().expect("a directory");
        let program = script(dir.path(), "head -c 1000000 /dev/zero | tr '\\0' x; exit 1");
        within(async {
            let mut hooks = hooks(&[&program], LONG);
            hooks.call(occasion("go-active")).expect("there is room");
            let said = hooks.ended().await.expect("it failed");
            assert!(said.len() < 2 * OUTPUT as usize, "{} bytes", said.len());
        });
    }

    #[test]
    fn few_run_at_once_some_wait_and_the_rest_is_refused() {
        within(async {
            let mut hooks = hooks(&["/bin/sleep", "0.01"], LONG);
            for _ in 0..AT_ONCE + WAITING {
                hooks.call(occasion("go-active")).expect("there is room");
            }
            assert_eq!(hooks.running.len(), AT_ONCE);
            let refused = hooks.call(occasion("go-active")).expect_err("there is none");
            assert!(refused.contains("64 wait already"), "{refused}");
            for _ in 0..AT_ONCE + WAITING {
                assert_eq!(hooks.ended().await, None);
            }
            assert!(hooks.running.is_empty() && hooks.waiting.is_empty());
        });
    }
}
