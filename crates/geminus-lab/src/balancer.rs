//! The binary under test on a dispatcher: started, asked, killed and started again as an operator would.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use geminus_api::{ClusterState, Event, ServerState, ServerStatus, Servers, Status};
use rustix::process::Signal;
use serde::de::DeserializeOwned;

use crate::process::Process;
use crate::site::{Addresses, CLUSTER, Family, Machine, Site};
use crate::undo::Ledger;

/// How long a daemon may take to forward, and to leave.
const READY: Duration = Duration::from_secs(15);

/// What the site's configuration says; the file is written from it.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// The dispatcher.
    pub node: Machine,
    /// Servers of every service with their weights.
    pub servers: Vec<(Machine, u16)>,
    /// The family of the address that a server is known by.
    pub known_by: Family,
    /// TCP ports with a service.
    pub tcp: Vec<u16>,
    /// UDP ports with a service.
    pub udp: Vec<u16>,
    /// Further keys of every TCP service, as TOML: `check = { http = "/" }`. Empty: the defaults.
    pub keys: String,
    /// The same of every UDP service.
    pub udp_keys: String,
    /// Any other sections, as TOML.
    pub further: String,
}

/// The daemon of one dispatcher, running or not.
#[derive(Debug)]
pub struct Balancer {
    binary: PathBuf,
    machine: Machine,
    config: PathBuf,
    runtime: PathBuf,
    bpffs: PathBuf,
    log: PathBuf,
    ledger: Arc<Ledger>,
    process: Option<Process>,
}

/// What a verb said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// Exit code: 0 done, 1 the answer is no, 2 wrong use; none if a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub error: String,
}

impl Wanted {
    /// Every content host of the site with weight 1 behind TCP 80.
    pub fn of(site: &Site) -> Self {
        Self {
            node: site.dispatchers[0].clone(),
            servers: site.hosts.iter().map(|host| (host.clone(), 1)).collect(),
            known_by: Family::V4,
            tcp: vec![crate::HTTP],
            udp: vec![crate::traffic::echo::ECHO],
            keys: String::new(),
            udp_keys: String::new(),
            further: String::new(),
        }
    }

    /// The configuration file.
    pub fn text(&self) -> String {
        let servers: String = self
            .servers
            .iter()
            .map(|(host, weight)| {
                format!(
                    "  {{ name = \"{}\", address = \"{}\", weight = {weight} }},\n",
                    host.name,
                    host.addresses.of(self.known_by)
                )
            })
            .collect();
        let ports =
            self.tcp.iter().map(|port| (port, "tcp")).chain(self.udp.iter().map(|port| (port, "udp")));
        let services: String = ports
            .map(|(port, protocol)| {
                let keys = if protocol == "tcp" { &self.keys } else { &self.udp_keys };
                format!(
                    "\n[[cluster.shop.service]]\nport = {port}\nprotocol = \"{protocol}\"\nmethod = \"mac\"\n\
                     {keys}\nservers = [\n{servers}]\n"
                )
            })
            .collect();
        format!(
            "[node.{name}]\naddress = \"{address}\"\ninterface = \"eth0\"\n\n\
             [cluster.shop]\naddresses = [\"{v4}\", \"{v6}\"]\nprimary = \"{name}\"\n{services}\n{further}\n",
            further = self.further,
            name = self.node.name,
            address = self.node.addresses.v4,
            v4 = CLUSTER.v4,
            v6 = CLUSTER.v6,
        )
    }
}

impl Balancer {
    /// Writes the configuration; nothing runs yet.
    ///
    /// # Errors
    /// When the binary or the site's folder is missing.
    pub fn prepare(site: &Site, binary: &Path, wanted: &Wanted) -> Result<Self> {
        Self::on(site, binary, &wanted.node, &wanted.text())
    }

    /// The same for any dispatcher and with any text as its configuration.
    ///
    /// # Errors
    /// When the binary or the site's folder is missing.
    pub fn on(site: &Site, binary: &Path, machine: &Machine, text: &str) -> Result<Self> {
        let binary = binary.canonicalize().with_context(|| {
            format!(
                "no geminus binary at {}: build it with `cargo build --release -p geminus`",
                binary.display()
            )
        })?;
        let file = |suffix: &str| site.folder().join(format!("{}{suffix}", machine.name));
        let balancer = Self {
            binary,
            machine: machine.clone(),
            config: file(".toml"),
            runtime: file(".run"),
            bpffs: site.bpffs(),
            log: file(".log"),
            ledger: site.ledger(),
            process: None,
        };
        balancer.write(text)?;
        Ok(balancer)
    }

    /// Writes another configuration; it is in force after a reload.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn configure(&self, wanted: &Wanted) -> Result<()> {
        self.write(&wanted.text())
    }

    /// Writes any text as the configuration.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, text: &str) -> Result<()> {
        std::fs::write(&self.config, text).with_context(|| format!("cannot write {}", self.config.display()))
    }

    /// Starts the daemon and waits until it is active and knows every server.
    ///
    /// # Errors
    /// When it ends or is not ready in time; the error carries the end of its log.
    pub fn start(&mut self) -> Result<()> {
        self.start_with(&[])
    }

    /// The same with more arguments for `geminus run`.
    ///
    /// # Errors
    /// As for [`Self::start`].
    pub fn start_with(&mut self, arguments: &[&str]) -> Result<()> {
        self.start_until(arguments, Self::not_active)
    }

    /// Starts the daemon and waits until it knows every server, whatever it is for its clusters.
    ///
    /// # Errors
    /// As for [`Self::start`].
    pub fn start_beside(&mut self) -> Result<()> {
        self.start_until(&[], Self::unready)
    }

    /// Starts the daemon and waits until nothing is missing.
    fn start_until(&mut self, arguments: &[&str], missing: fn(&Self) -> Option<String>) -> Result<()> {
        self.process = Some(self.launch(arguments)?);
        let begun = Instant::now();
        loop {
            if let Some(status) = self.process()?.ended()? {
                bail!("geminus run ended ({status}): {}", self.last_words());
            }
            match missing(self) {
                None => return Ok(()),
                Some(why) if begun.elapsed() > READY => bail!("not ready: {why}: {}", self.last_words()),
                Some(_) => std::thread::sleep(Duration::from_millis(10)),
            }
        }
    }

    /// Starts the daemon and waits for nothing; a process supervisor does the same.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start_at_once(&mut self) -> Result<()> {
        self.process = Some(self.launch(&[])?);
        Ok(())
    }

    /// Starts a daemon and does not wait for it.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn launch(&self, arguments: &[&str]) -> Result<Process> {
        let mut command = Command::new(&self.binary);
        command.arg("run").arg("--config").arg(&self.config).args(["--node", &self.machine.name]);
        command.arg("--runtime-dir").arg(&self.runtime).args(["--log-format", "json"]);
        if !arguments.contains(&"--bpffs") {
            command.arg("--bpffs").arg(&self.bpffs);
        }
        command.args(arguments);
        Process::start(&self.machine.namespace, &mut command, &self.log, &self.ledger)
    }

    /// The running daemon.
    ///
    /// # Errors
    /// When none was started.
    pub fn process(&self) -> Result<&Process> {
        self.process.as_ref().context("no daemon was started")
    }

    /// Kills the daemon as `kill -9` does.
    ///
    /// # Errors
    /// When none runs.
    pub fn kill(&mut self) -> Result<()> {
        self.process.take().context("no daemon was started")?.kill()
    }

    /// Asks the daemon to leave and waits for it.
    ///
    /// # Errors
    /// When it does not leave in time or says that it failed.
    pub fn stop(&mut self) -> Result<()> {
        let process = self.process.take().context("no daemon was started")?;
        process.signal(Signal::TERM)?;
        let status = process.wait(READY)?;
        if !status.success() {
            bail!("geminus run left with {status}: {}", self.last_words());
        }
        Ok(())
    }

    /// Reloads by signal.
    ///
    /// # Errors
    /// When none runs.
    pub fn hang_up(&self) -> Result<()> {
        self.process()?.signal(Signal::HUP)
    }

    /// Runs a client verb.
    ///
    /// # Errors
    /// When the binary cannot be started; what the verb says is no error here.
    pub fn ask(&self, arguments: &[&str]) -> Result<Said> {
        let mut command = Command::new(&self.binary);
        command.args(arguments).arg("--runtime-dir").arg(&self.runtime);
        let output = command.output().with_context(|| format!("cannot start {}", self.binary.display()))?;
        Ok(Said {
            code: output.status.code(),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            error: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }

    /// Runs a client verb that must succeed.
    ///
    /// # Errors
    /// When it says no; the error is its own words.
    pub fn tell(&self, arguments: &[&str]) -> Result<String> {
        let said = self.ask(arguments)?;
        if said.code != Some(0) {
            bail!("geminus {} said no ({:?}): {}", arguments.join(" "), said.code, said.error.trim());
        }
        Ok(said.out)
    }

    /// `geminus status --json`.
    ///
    /// # Errors
    /// When the daemon does not answer as the API says.
    pub fn status(&self) -> Result<Status> {
        self.read("status")
    }

    /// `geminus servers --json`.
    ///
    /// # Errors
    /// When the daemon does not answer as the API says.
    pub fn servers(&self) -> Result<Servers> {
        self.read("servers")
    }

    /// Everything that has happened in the running daemon's life.
    ///
    /// # Errors
    /// When the daemon does not answer as the API says.
    pub fn events(&self) -> Result<Vec<Event>> {
        let out = self.tell(&["events", "--json"])?;
        let parse = |line: &str| {
            serde_json::from_str(line).with_context(|| format!("geminus events --json printed {line:?}"))
        };
        out.lines().map(parse).collect()
    }

    /// Number of the newest event.
    ///
    /// # Errors
    /// When the daemon does not answer as the API says.
    pub fn newest_event(&self) -> Result<u64> {
        Ok(self.events()?.last().map_or(0, |event| event.number))
    }

    /// The first event after this number that is of this kind and has these words, once there is one.
    ///
    /// # Errors
    /// When there is none in time.
    pub fn wait_for_event(&self, after: u64, kind: &str, words: &str, patience: Duration) -> Result<Event> {
        let begun = Instant::now();
        loop {
            let wanted =
                |event: &Event| event.number > after && event.kind == kind && event.message.contains(words);
            if let Some(event) = self.events()?.into_iter().find(wanted) {
                return Ok(event);
            }
            if begun.elapsed() > patience {
                bail!("no {kind} event about {words} within {patience:?}: {}", self.last_words());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The dispatcher it runs on.
    pub fn machine(&self) -> &Machine {
        &self.machine
    }

    /// The binary under test.
    pub fn binary(&self) -> &Path {
        &self.binary
    }

    /// Everything the daemons of this dispatcher have logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Log lines of level WARN and above.
    pub fn warnings(&self) -> Vec<String> {
        let log = self.log();
        let loud = |line: &&str| {
            let parsed: Option<serde_json::Value> = serde_json::from_str(line).ok();
            let level =
                parsed.as_ref().and_then(|line| line.get("level")).and_then(serde_json::Value::as_str);
            // A line that is no JSON is a panic or a library that prints.
            !line.trim().is_empty() && !matches!(level, Some("INFO" | "DEBUG" | "TRACE"))
        };
        log.lines().filter(loud).map(str::to_owned).collect()
    }

    /// Makes a content host ready for direct return with `geminus host setup`.
    ///
    /// # Errors
    /// When the verb says no.
    pub fn set_up_host(&self, host: &Machine) -> Result<String> {
        self.set_up_host_for(host, &[CLUSTER])
    }

    /// The same for several clusters.
    ///
    /// # Errors
    /// When the verb says no.
    pub fn set_up_host_for(&self, host: &Machine, clusters: &[Addresses]) -> Result<String> {
        let mut arguments = vec!["setup".to_owned()];
        for address in clusters.iter().flat_map(|cluster| [cluster.v4.to_string(), cluster.v6.to_string()]) {
            arguments.extend(["--address".to_owned(), address]);
        }
        // A dispatcher with two interfaces must be told which one faces the clients.
        arguments.extend(["--interface".to_owned(), "eth0".to_owned()]);
        arguments.extend(["--state".to_owned(), self.host_state(host)]);
        self.on_host(host, &arguments.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// Asks `geminus host check` whether a content host is ready.
    ///
    /// # Errors
    /// When the verb says no; the error is its own words.
    pub fn check_host(&self, host: &Machine) -> Result<String> {
        let (v4, v6) = (CLUSTER.v4.to_string(), CLUSTER.v6.to_string());
        self.on_host(host, &["check", "--address", &v4, "--address", &v6, "--port", "80"])
    }

    /// Restores a content host with `geminus host undo`.
    ///
    /// # Errors
    /// When the verb says no.
    pub fn undo_host(&self, host: &Machine) -> Result<String> {
        self.on_host(host, &["undo", "--state", &self.host_state(host)])
    }

    fn on_host(&self, host: &Machine, arguments: &[&str]) -> Result<String> {
        let binary = self.binary.display().to_string();
        let arguments = [&["host"], arguments].concat();
        host.namespace.run(&binary, &arguments).with_context(|| format!("on content host {}", host.name))
    }

    fn host_state(&self, host: &Machine) -> String {
        self.config.with_file_name(format!("{}.host.json", host.name)).display().to_string()
    }

    fn read<T: DeserializeOwned>(&self, verb: &str) -> Result<T> {
        let out = self.tell(&[verb, "--json"])?;
        serde_json::from_str(&out).with_context(|| format!("geminus {verb} --json printed {out:?}"))
    }

    /// Why the daemon does not forward yet, none if it does.
    fn not_active(&self) -> Option<String> {
        let status = match self.status() {
            Ok(status) => status,
            Err(error) => return Some(error.to_string()),
        };
        let idle = status.clusters.iter().find(|cluster| cluster.state != ClusterState::Active);
        match idle {
            Some(cluster) => Some(format!("cluster {} is not active", cluster.name)),
            None => self.unready_by(&status),
        }
    }

    /// Why the daemon could not forward if it had to, none if it could.
    fn unready(&self) -> Option<String> {
        match self.status() {
            Ok(status) => self.unready_by(&status),
            Err(error) => Some(error.to_string()),
        }
    }

    fn unready_by(&self, status: &Status) -> Option<String> {
        if Ok(status.pid) != self.process().map(Process::pid).map_err(drop) {
            return Some(format!("pid {} answers", status.pid));
        }
        let unknown = servers_of(status).find(|server| server.state == ServerState::Unresolved)?;
        Some(format!("server {} is unresolved", unknown.name))
    }

    /// The end of what the daemons of this dispatcher have logged.
    pub fn last_words(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(5)..].join(" | ")
    }
}

/// Every server of every service.
pub fn servers_of(status: &Status) -> impl Iterator<Item = &ServerStatus> {
    status.clusters.iter().flat_map(|cluster| &cluster.services).flat_map(|service| &service.servers)
}

/// Packets of one class of counters, or of one reason in it.
pub fn counted(status: &Status, class: &str, reason: Option<&str>) -> u64 {
    let mine = status.counters.iter().filter(|counter| counter.class == class);
    mine.filter(|counter| reason.is_none_or(|reason| counter.reason == reason))
        .map(|counter| counter.packets)
        .sum()
}
