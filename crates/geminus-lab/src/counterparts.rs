//! Real servers of every protocol on one machine, as a distribution ships them: what advisors are tried on.
//!
//! Each has a configuration and a folder of its own below the site's, listens where its protocol does, in both families, and
//! holds nothing anybody wants. Where a second of a kind runs, it is one that must be found unwell.

use std::net::{Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use rustix::process::Signal;

use crate::namespace::run;
use crate::process::Process;
use crate::site::{Machine, Site};
use crate::traffic::probe::{self, PortState};
use crate::undo::Ledger;

/// A name that the DNS server knows.
pub const KNOWN_NAME: &str = "www.example.org";
/// HTTP over TLS, 1.1 and 2, with a certificate that lasts three days.
pub const HTTPS: u16 = 443;
/// HTTP/2 with prior knowledge.
pub const HTTP2: u16 = 8_081;
/// What the body of either is.
pub const BODY: &str = "all is well";
/// A Redis that answers nobody without a password: alive.
pub const REDIS_LOCKED: u16 = 6_380;
/// A Redis whose master is gone, and which says so: unwell.
pub const REDIS_ORPHAN: u16 = 6_381;

/// Databases are made before they run.
const READY: Duration = Duration::from_secs(30);
/// How long a server that is asked to leave may take.
const LEAVING: Duration = Duration::from_secs(5);

/// Every server, running.
#[derive(Debug)]
pub struct Counterparts {
    servers: Vec<Server>,
}

#[derive(Debug)]
struct Server {
    name: &'static str,
    port: u16,
    process: Process,
}

/// Where servers are started.
struct Place<'a> {
    machine: &'a Machine,
    folder: PathBuf,
    ledger: &'a Ledger,
}

impl Counterparts {
    /// Starts all of them on `machine` and waits until each port is open.
    ///
    /// # Errors
    /// A program is missing, or one of them ends or does not open its port; the error carries the end of its log.
    pub fn start(site: &Site, machine: &Machine) -> Result<Self> {
        let folder = site.folder().join(format!("{}-counterparts", machine.name));
        let ledger = site.ledger();
        let place = Place { machine, folder, ledger: &ledger };
        let mut servers = vec![
            place.server("unbound", 53, Place::unbound)?,
            place.server("exim4", 25, Place::exim)?,
            place.server("redis", 6_379, |place, folder| place.redis(folder, 6_379, &[]))?,
            place.server("redis-locked", REDIS_LOCKED, |place, folder| {
                place.redis(folder, REDIS_LOCKED, &["--requirepass", "secret"])
            })?,
            place.server("redis-orphan", REDIS_ORPHAN, |place, folder| {
                let orphan = ["--replicaof", "127.0.0.1 1", "--replica-serve-stale-data", "no"];
                place.redis(folder, REDIS_ORPHAN, &orphan)
            })?,
            place.server("nginx", HTTPS, Place::nginx)?,
            place.server("dovecot", 143, Place::dovecot)?,
            place.server("vsftpd", 21, Place::vsftpd)?,
            place.server("slapd", 389, Place::slapd)?,
            place.server("sshd", 22, Place::sshd)?,
        ];
        servers.push(place.server("postgres", 5_432, Place::postgres)?);
        let counterparts = Self { servers };
        counterparts.wait_until_open(machine)?;
        Ok(counterparts)
    }

    /// Stops one as its service manager does.
    ///
    /// # Errors
    /// There is none of this name, or it does not leave.
    pub fn stop(&mut self, name: &str) -> Result<()> {
        let at = self.servers.iter().position(|server| server.name == name);
        self.servers.remove(at.with_context(|| format!("no counterpart {name}"))?).leave()
    }

    fn wait_until_open(&self, machine: &Machine) -> Result<()> {
        let begun = Instant::now();
        for Server { name, port, process } in &self.servers {
            let here = SocketAddr::from((Ipv6Addr::LOCALHOST, *port));
            while probe::tcp(&machine.namespace, here, Duration::from_secs(1))? != PortState::Open {
                if let Some(status) = process.ended()? {
                    bail!("{name} ended ({status}): {}", process.log().trim());
                }
                if begun.elapsed() > READY {
                    bail!("{name} does not open port {port}: {}", process.log().trim());
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        Ok(())
    }
}

impl Drop for Counterparts {
    fn drop(&mut self) {
        // Those with children take them along when they are asked, and not when they are killed. What does not leave is
        // ended with its namespace.
        for server in &self.servers {
            let _ = server.process.signal(Signal::TERM);
        }
        for server in &self.servers {
            let _ = server.process.wait(LEAVING);
        }
    }
}

impl Server {
    fn leave(self) -> Result<()> {
        self.process.signal(Signal::TERM)?;
        self.process.wait(LEAVING).map(drop)
    }
}

impl Place<'_> {
    fn server(
        &self,
        name: &'static str,
        port: u16,
        command: impl FnOnce(&Self, &Path) -> Result<Command>,
    ) -> Result<Server> {
        let folder = self.folder.join(name);
        std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let mut command = command(self, &folder).with_context(|| format!("{name} cannot be set up"))?;
        let log = folder.join("log");
        let process = Process::start(&self.machine.namespace, &mut command, &log, self.ledger)?;
        Ok(Server { name, port, process })
    }

    fn unbound(&self, folder: &Path) -> Result<Command> {
        let at = folder.display();
        let text = format!(
            "server:\n  directory: \"{at}\"\n  username: \"\"\n  chroot: \"\"\n  pidfile: \"{at}/pid\"\n  \
             use-syslog: no\n  interface: 0.0.0.0\n  interface: ::0\n  interface-automatic: yes\n  \
             access-control: 0.0.0.0/0 allow\n  access-control: ::/0 allow\n  \
             local-zone: \"example.org.\" static\n  local-data: \"{KNOWN_NAME}. A 192.0.2.7\"\n\
             remote-control:\n  control-enable: no\n"
        );
        Ok(command("unbound", &["-d", "-c"], &written(folder, &text)?))
    }

    fn exim(&self, folder: &Path) -> Result<Command> {
        let spool = folder.join("spool");
        std::fs::create_dir_all(&spool)?;
        run(Command::new("chown").arg("Debian-exim:Debian-exim").arg(&spool))?;
        let text = format!(
            "primary_hostname = mx.example.org\nspool_directory = {spool}\nlog_file_path = {spool}/%slog\n\
             keep_environment =\nhost_lookup =\nrfc1413_query_timeout = 0s\nacl_smtp_rcpt = deny\n\
             tls_advertise_hosts =\nbegin routers\nbegin transports\n",
            spool = spool.display()
        );
        let mut exim = command("exim4", &["-C"], &written(folder, &text)?);
        exim.args(["-bdf", "-oX", "25", "-oP"]).arg(folder.join("pid"));
        Ok(exim)
    }

    fn redis(&self, folder: &Path, port: u16, arguments: &[&str]) -> Result<Command> {
        let mut redis = command("redis-server", &["--dir"], folder);
        redis.args(["--bind", "*", "-::*", "--protected-mode", "no", "--save", ""]);
        redis.arg("--port").arg(port.to_string()).args(arguments);
        Ok(redis)
    }

    fn nginx(&self, folder: &Path) -> Result<Command> {
        let (key, certificate) = (folder.join("key"), folder.join("certificate"));
        let mut made = Command::new("openssl");
        made.args([
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "3",
            "-subj",
            "/CN=www.example.org",
        ]);
        run(made.arg("-keyout").arg(&key).arg("-out").arg(&certificate))?;
        let at = folder.display();
        let kinds = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
        let folders: String = kinds.iter().map(|kind| format!("  {kind}_temp_path {at}/{kind};\n")).collect();
        let text = format!(
            "daemon off;\nmaster_process off;\nworker_processes 1;\npid {at}/pid;\nevents {{ }}\nhttp {{\n  access_log off;\n\
             {folders}  server {{\n    listen [::]:{HTTPS} ssl http2 ipv6only=off;\n    listen [::]:{HTTP2} http2 ipv6only=off;\n    \
             ssl_certificate {certificate};\n    ssl_certificate_key {key};\n    \
             location / {{ return 200 \"{BODY}\\n\"; }}\n  }}\n}}\n",
            certificate = certificate.display(),
            key = key.display(),
        );
        let mut nginx = command("nginx", &["-c"], &written(folder, &text)?);
        nginx.arg("-e").arg(folder.join("log"));
        Ok(nginx)
    }

    fn dovecot(&self, folder: &Path) -> Result<Command> {
        let text = format!(
            "base_dir = {at}/run\nstate_dir = {at}/state\nlog_path = /dev/stderr\nprotocols = imap pop3\nssl = no\n\
             mail_location = maildir:{at}/mail\npassdb {{\n  driver = passwd-file\n  args = /dev/null\n}}\n",
            at = folder.display()
        );
        Ok(command("dovecot", &["-F", "-c"], &written(folder, &text)?))
    }

    fn vsftpd(&self, folder: &Path) -> Result<Command> {
        let empty = folder.join("empty");
        std::fs::create_dir_all(&empty)?;
        let text = format!(
            "listen=NO\nlisten_ipv6=YES\nbackground=NO\nlocal_enable=YES\nanonymous_enable=NO\nsecure_chroot_dir={}\n",
            empty.display()
        );
        Ok(command("vsftpd", &[], &written(folder, &text)?))
    }

    fn slapd(&self, folder: &Path) -> Result<Command> {
        let data = folder.join("data");
        std::fs::create_dir_all(&data)?;
        let text = format!(
            "include /etc/ldap/schema/core.schema\nmodulepath /usr/lib/ldap\nmoduleload back_mdb\npidfile {}/pid\n\
             database mdb\nsuffix \"dc=example,dc=org\"\ndirectory {}\n",
            folder.display(),
            data.display()
        );
        let mut slapd = command("slapd", &["-f"], &written(folder, &text)?);
        slapd.args(["-h", "ldap://:389/", "-d", "0"]);
        Ok(slapd)
    }

    fn sshd(&self, folder: &Path) -> Result<Command> {
        let key = folder.join("key");
        run(Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&key))?;
        // Compiled in; a service manager makes it at boot, and leaves it.
        std::fs::create_dir_all("/run/sshd")?;
        // It starts itself again for each connection and so asks for its own absolute path.
        let mut sshd = command("/usr/sbin/sshd", &["-D", "-e", "-f", "/dev/null", "-h"], &key);
        sshd.args(["-o", "PidFile=none", "-p", "22"]);
        Ok(sshd)
    }

    /// Refuses to be root, so it is Debian's own user.
    fn postgres(&self, folder: &Path) -> Result<Command> {
        let programs = postgres_programs()?;
        run(Command::new("chown").arg("postgres").arg(folder))?;
        let data = folder.join("data");
        let own = ["--reuid=postgres", "--regid=postgres", "--clear-groups"];
        let mut make = command("setpriv", &own, &programs.join("initdb"));
        run(make.args(["-A", "trust", "-N", "-D"]).arg(&data).current_dir(folder))?;
        let mut postgres = command("setpriv", &own, &programs.join("postgres"));
        postgres.arg("-D").arg(&data).current_dir(folder);
        postgres.args(["-c", "listen_addresses=*", "-c", "unix_socket_directories=", "-c", "fsync=off"]);
        Ok(postgres)
    }
}

fn command(program: &str, arguments: &[&str], last: &Path) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).arg(last);
    command
}

fn written(folder: &Path, text: &str) -> Result<PathBuf> {
    let file = folder.join("conf");
    std::fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
    Ok(file)
}

/// Debian has a folder for each version, and none of them in `PATH`.
fn postgres_programs() -> Result<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = versions.map(|version| version.path().join("bin")).collect();
    found.retain(|folder| folder.join("postgres").exists());
    found.sort();
    found.pop().context("no postgres below /usr/lib/postgresql: `cargo xtask setup` installs it")
}
