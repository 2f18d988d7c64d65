//! A guide for readers, done by the letter: every file it shows is written, every command it shows is typed, on the machine
//! that its fence names, and what it says they answer is looked for.
//!
//! A fence's words after the language: the machine, and how. ` ```toml alpha /etc/geminus/geminus.toml ` is a file.
//! ` ```sh alpha ` is typed and has to succeed; with `stays` it goes on beside everything that follows; with `look` it is
//! typed again until its answer has every line of the ` ```text ` below it, for a little while. In such a line `…` is
//! anything, and blanks are as many as one likes.
//!
//! The machines are those of a [`Site`], each with a host name, a `/etc` and a `/run` of its own. Two programs of a real
//! site are stood in for: `ssh`, which here enters the other machine, and `systemctl`, which here knows nginx only.

use std::collections::BTreeMap;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use crate::process::Process;
use crate::site::{Machine, Site};

/// How long a machine may take to be ready.
const PATIENCE: Duration = Duration::from_secs(20);

/// How long an answer may take to become what the guide says: a server that changed often is well for `damping`, 30 s, before
/// it is up.
const ANSWER: Duration = Duration::from_secs(60);

/// One fence of the guide.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The line of the guide it begins at.
    pub line: usize,
    /// Where.
    pub machine: String,
    /// What.
    pub deed: Deed,
}

/// What is done there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Deed {
    /// A file is written.
    Write(PathBuf, String),
    /// Commands that succeed.
    Type(String),
    /// A command that goes on.
    Stay(String),
    /// Commands whose answer comes to have these lines.
    Look(String, Vec<String>),
}

/// The steps of a guide, in its order.
///
/// # Errors
/// When a fence is not closed or says something unknown.
pub fn steps(guide: &str) -> Result<Vec<Step>> {
    let mut steps: Vec<Step> = Vec::new();
    let mut lines = guide.lines().zip(1..);
    while let Some((head, line)) = lines.next() {
        let Some(words) = head.strip_prefix("```").map(|words| words.split_whitespace().collect::<Vec<_>>())
        else {
            continue;
        };
        let mut body = String::new();
        loop {
            let (inside, _) =
                lines.next().with_context(|| format!("the fence of line {line} does not end"))?;
            if inside == "```" {
                break;
            }
            body += inside;
            body.push('\n');
        }
        let step = |machine: &str, deed| Step { line, machine: machine.to_owned(), deed };
        match words[..] {
            ["toml", machine, path] => steps.push(step(machine, Deed::Write(path.into(), body))),
            ["sh", machine] => steps.push(step(machine, Deed::Type(body))),
            ["sh", machine, "stays"] => steps.push(step(machine, Deed::Stay(body))),
            ["sh", machine, "look"] => steps.push(step(machine, Deed::Look(body, Vec::new()))),
            ["text"] => {
                if let Some(Step { deed: Deed::Look(_, wanted), .. }) = steps.last_mut() {
                    wanted.extend(body.lines().filter(|line| !line.trim().is_empty()).map(str::to_owned));
                }
            }
            _ => bail!("line {line}: nobody knows the fence {head}"),
        }
    }
    Ok(steps)
}

/// The machines of a guide, ready to be used.
#[derive(Debug)]
pub struct Stage {
    stays: Vec<Process>,
    machines: BTreeMap<String, Desk>,
    path: String,
    folder: PathBuf,
    site: Site,
}

/// One machine, and the process that keeps its view of the files.
#[derive(Debug)]
struct Desk {
    machine: Machine,
    keeper: Process,
    /// The first process of its own process namespace, as seen from outside.
    first: u32,
}

impl Stage {
    /// Dispatcher `alpha`, content hosts `web1` and `web2` whose nginx is not started, and a client.
    ///
    /// # Errors
    /// When the kernel lacks something, a program is missing or the process is not root; nothing is left behind.
    pub fn build(binary: &Path) -> Result<Self> {
        let mut site = Site::builder().content_hosts(2).build()?;
        let names: Vec<_> = site.hosts.iter().map(|host| host.name.clone()).collect();
        names.iter().try_for_each(|host| site.kill_http(host))?;
        let folder = site.folder().to_owned();
        let programs = folder.join("programs");
        std::fs::create_dir_all(&programs)?;
        symlink(
            binary.canonicalize().context("build it with `cargo build --release -p geminus`")?,
            programs.join("geminus"),
        )?;
        let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap_or_default());
        let mut stage = Self { stays: Vec::new(), machines: BTreeMap::new(), path, folder, site };
        let client = Machine {
            name: "client".to_owned(),
            addresses: crate::site::CLIENT,
            namespace: stage.site.client.clone(),
        };
        let machines: Vec<_> =
            stage.site.dispatchers.iter().chain(&stage.site.hosts).cloned().chain([client]).collect();
        for machine in machines {
            let desk = stage.desk(machine)?;
            stage.machines.insert(desk.machine.name.clone(), desk);
        }
        stage.stand_ins(&programs)?;
        Ok(stage)
    }

    /// A view of the files of its own: changes of `/etc` are this machine's, `/run` is empty, and so is the BPF file
    /// system.
    fn desk(&self, machine: Machine) -> Result<Desk> {
        let scratch = self.folder.join(format!("desk-{}", machine.name));
        std::fs::create_dir_all(&scratch)?;
        let ready = self.folder.join(format!("{}.ready", machine.name));
        let script = format!(
            "set -e\nhostname {name}\nmount -t tmpfs tmpfs {scratch}\nmkdir {scratch}/up {scratch}/work\n\
             mount -t overlay overlay -o lowerdir=/etc,upperdir={scratch}/up,workdir={scratch}/work /etc\n\
             mount -t tmpfs tmpfs /run\nmount -t bpf bpf /sys/fs/bpf\ntouch {ready}\nexec sleep 1800\n",
            name = machine.name,
            scratch = scratch.display(),
            ready = ready.display(),
        );
        let mut command = Command::new("unshare");
        command.args(["--mount", "--uts", "--pid", "--fork", "--kill-child", "sh", "-c", &script]);
        let log = self.folder.join(format!("{}.desk.log", machine.name));
        let keeper = Process::start(&machine.namespace, &mut command, &log, &self.site.ledger())?;
        let begun = Instant::now();
        while !ready.exists() {
            ensure!(
                keeper.ended()?.is_none(),
                "no view of the files for {}: {}",
                machine.name,
                keeper.log().trim()
            );
            ensure!(begun.elapsed() < PATIENCE, "no view of the files for {} in time", machine.name);
            std::thread::sleep(Duration::from_millis(10));
        }
        let pid = keeper.pid();
        let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))?;
        let first = children.split_whitespace().next().and_then(|first| first.parse().ok());
        Ok(Desk { first: first.context("unshare has no child")?, machine, keeper })
    }

    /// `ssh HOST COMMAND` and `systemctl start|stop nginx`.
    fn stand_ins(&self, programs: &Path) -> Result<()> {
        let mut ssh = "#!/bin/sh\ncase \"$1\" in\n".to_owned();
        for (name, desk) in &self.machines {
            ssh += &format!("  {name}) first={} ;;\n", desk.first);
        }
        ssh += "  *) echo \"no host $1\" >&2; exit 1 ;;\nesac\nshift\n\
                exec nsenter --mount=/proc/$first/ns/mnt --uts=/proc/$first/ns/uts --net=/proc/$first/ns/net sh -c \"$*\"\n";
        let nginx = format!("{}/$(hostname)", self.folder.display());
        // As with systemd's forking kind of service: `start` returns once nginx listens, which its pid file says.
        let systemctl = format!(
            "#!/bin/sh\npid={nginx}/nginx.pid\ncase \"$1 $2\" in\n  'start nginx') rm -f $pid\n    \
             setsid nginx -c {nginx}/nginx.conf -e {nginx}/nginx.log </dev/null >/dev/null 2>&1 &\n    \
             until [ -s $pid ]; do kill -0 $! || exit 1; sleep 0.02; done ;;\n  'stop nginx') kill $(cat $pid) ;;\n  \
             *) echo \"cannot $1 $2\" >&2; exit 1 ;;\nesac\n"
        );
        for (name, text) in [("ssh", ssh), ("systemctl", systemctl)] {
            let file = programs.join(name);
            std::fs::write(&file, text)?;
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755))?;
        }
        Ok(())
    }

    /// Does one step.
    ///
    /// # Errors
    /// When a command fails or the answer is another; the error says what came.
    pub fn perform(&mut self, step: &Step) -> Result<String> {
        let said = match &step.deed {
            Deed::Write(path, text) => {
                let script = format!(
                    "mkdir -p $(dirname {0}) && cat > {0} <<'THE END OF IT'\n{text}THE END OF IT\n",
                    path.display()
                );
                self.typed(&step.machine, &script)
            }
            Deed::Type(script) => self.typed(&step.machine, script),
            Deed::Stay(script) => self.stay(&step.machine, script),
            Deed::Look(script, wanted) => self.look(&step.machine, script, wanted),
        };
        said.with_context(|| format!("line {} of the guide, on {}", step.line, step.machine))
    }

    fn command(&self, machine: &str, script: &str) -> Result<(Command, &Desk)> {
        let desk = self.machines.get(machine).with_context(|| format!("there is no machine {machine}"))?;
        let spaces = format!("/proc/{}/ns", desk.first);
        let mut command = Command::new("nsenter");
        for (space, file) in [("mount", "mnt"), ("uts", "uts"), ("pid", "pid")] {
            command.arg(format!("--{space}={spaces}/{file}"));
        }
        command.args(["sh", "-e", "-c", script]).env("PATH", &self.path);
        Ok((command, desk))
    }

    fn typed(&self, machine: &str, script: &str) -> Result<String> {
        let (mut command, desk) = self.command(machine, script)?;
        let output = desk.machine.namespace.inside(|| Ok(command.output()?))?;
        let said =
            format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        ensure!(output.status.success(), "`{}` ended with {}: {}", script.trim(), output.status, said.trim());
        Ok(said)
    }

    fn stay(&mut self, machine: &str, script: &str) -> Result<String> {
        let log = self.folder.join(format!("{machine}-{}.log", self.stays.len()));
        let (mut command, desk) = self.command(machine, script)?;
        let process = Process::start(&desk.machine.namespace, &mut command, &log, &self.site.ledger())?;
        std::thread::sleep(Duration::from_millis(500));
        ensure!(process.ended()?.is_none(), "`{}` does not stay: {}", script.trim(), process.log().trim());
        self.stays.push(process);
        Ok(String::new())
    }

    fn look(&self, machine: &str, script: &str, wanted: &[String]) -> Result<String> {
        let begun = Instant::now();
        loop {
            let said = self.typed(machine, script);
            let missing = match &said {
                Ok(said) => wanted.iter().find(|line| !said.lines().any(|came| matches(line, came))),
                Err(_) => wanted.first(),
            };
            match missing {
                None => return said,
                Some(line) if begun.elapsed() > ANSWER => {
                    let said = said.unwrap_or_else(|error| format!("{error:#}"));
                    bail!("`{}` did not come to say `{line}`; it says:\n{said}", script.trim());
                }
                Some(_) => std::thread::sleep(Duration::from_millis(200)),
            }
        }
    }

    /// What the processes that stay have said, and those that keep the machines.
    pub fn said(&self) -> String {
        let keepers = self.machines.values().map(|desk| &desk.keeper);
        self.stays.iter().chain(keepers).map(Process::log).collect::<Vec<_>>().join("\n")
    }
}

/// Whether a line that came is the one that was wanted.
fn matches(wanted: &str, came: &str) -> bool {
    let plain = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    let (wanted, came) = (plain(wanted), plain(came));
    let mut parts = wanted.split('…').map(str::trim);
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = came.strip_prefix(first) else { return false };
    let mut last = first;
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
        last = part;
    }
    last.is_empty() || rest.trim().is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dots_are_anything_and_blanks_are_as_many_as_one_likes() {
        for (wanted, came, so) in [
            ("a b", "a   b", true),
            ("a b", "a b c", false),
            ("a …", "a b c", true),
            ("a … c", "a b b c", true),
            ("a … c", "a b c d", false),
            ("… c", "a b c", true),
            ("a", "b a", false),
        ] {
            assert_eq!(matches(wanted, came), so, "{wanted} | {came}");
        }
    }

    #[test]
    fn a_guide_is_files_commands_and_what_they_answer() {
        let guide = "x\n```toml alpha /a\nk = 1\n```\n```sh web1\nls\n```\n```sh web1 stays\nrun\n```\n```sh client look\ncurl\n```\nsays\n\
                     ```text\nhello …\n\n```\n";
        let deeds: Vec<_> = steps(guide).unwrap().into_iter().map(|step| (step.machine, step.deed)).collect();
        let expected = [
            ("alpha", Deed::Write("/a".into(), "k = 1\n".into())),
            ("web1", Deed::Type("ls\n".into())),
            ("web1", Deed::Stay("run\n".into())),
            ("client", Deed::Look("curl\n".into(), vec!["hello …".into()])),
        ];
        assert_eq!(deeds, expected.map(|(machine, deed)| (machine.to_owned(), deed)));
        assert!(steps("```sh\nls\n").is_err() && steps("```sh alpha quickly\n```\n").is_err());
    }
}
