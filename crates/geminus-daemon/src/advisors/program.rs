//! Programs of `exec` checks: without a shell, as nobody, with little of everything, and with an end.

mod confine;

use std::net::IpAddr;
use std::process::{ExitStatus, Stdio};

use geminus_core::health::{Fault, FaultKind, Good, Target};
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe;
use tokio::process::{Child, Command};
use tokio::time::{Instant, timeout_at};

use super::bounds::{READ, SAID, SAID_MOST};
use super::road::Means;
use super::words::{fault, own};

/// Where programs that a program starts are found.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Everything that a check started, ended when this is dropped.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // Nobody of it is left.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

/// Runs a check's program until it ends or its time is over.
pub(super) async fn run(
    means: &Means,
    command: &[String],
    target: &Target,
    by: Option<IpAddr>,
    until: Instant,
) -> Result<Good, Fault> {
    let Ok(turn) = timeout_at(until, means.programs.acquire()).await else {
        return Err(own("too many programs run"));
    };
    let _turn = turn.map_err(own)?;
    let (mut child, mut output) = start(command, target, by)?;
    let _group = Group(child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?)));
    let mut said = Vec::new();
    let ended = timeout_at(until, end(&mut child, &mut output, &mut said)).await;
    let ended = match ended {
        Ok(ended) => ended?,
        Err(_) => return Err(told("it did not end in time", &said)),
    };
    match ended {
        Ended::Well => Ok(Good::default()),
        Ended::Otherwise(status) => Err(told(&words(status), &said)),
        Ended::Flood => Err(told("it says more than anybody has to read", &said)),
    }
}

enum Ended {
    Well,
    Otherwise(ExitStatus),
    Flood,
}

fn start(command: &[String], target: &Target, by: Option<IpAddr>) -> Result<(Child, pipe::Receiver), Fault> {
    let [program, arguments @ ..] = command else { return Err(own("it names no program")) };
    let (sender, output) = pipe::pipe().map_err(own)?;
    let output_end = sender.into_blocking_fd().map_err(own)?;
    let errors_end = output_end.try_clone().map_err(own)?;
    let mut run = Command::new(program);
    run.args(arguments)
        .env_clear()
        .env("PATH", PATH)
        .env("GEMINUS_SERVER", target.server.to_string())
        .env("GEMINUS_ADDRESS", by.unwrap_or(target.server).to_string())
        .env("GEMINUS_PORT", target.port.to_string())
        .env("GEMINUS_PROTOCOL", target.protocol.word())
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(output_end)
        .stderr(errors_end)
        .process_group(0)
        .kill_on_drop(true);
    confine::confine(&mut run);
    let started = run.spawn();
    // The command holds this side's ends of the pipe: with them the end of what is said would never come.
    drop(run);
    let child =
        started.map_err(|error| fault(FaultKind::Exec, format!("{program} cannot be started: {error}")))?;
    Ok((child, output))
}

/// Listens until the program itself ends; what it leaves behind in its group is ended then too.
async fn end(child: &mut Child, output: &mut pipe::Receiver, said: &mut Vec<u8>) -> Result<Ended, Fault> {
    let mut buffer = [0; READ];
    let mut heard = 0;
    let mut is_open = true;
    loop {
        tokio::select! {
            biased;
            status = child.wait() => {
                let status = status.map_err(own)?;
                // What it said last may be waiting yet.
                while let Ok(length) = output.try_read(&mut buffer) {
                    if length == 0 || said.len() >= SAID {
                        break;
                    }
                    keep(said, &buffer[..length]);
                }
                return Ok(if status.success() { Ended::Well } else { Ended::Otherwise(status) });
            }
            read = output.read(&mut buffer), if is_open => match read {
                Ok(0) | Err(_) => is_open = false,
                Ok(length) => {
                    keep(said, &buffer[..length]);
                    heard += length;
                    if heard > SAID_MOST {
                        return Ok(Ended::Flood);
                    }
                }
            },
        }
    }
}

fn keep(said: &mut Vec<u8>, more: &[u8]) {
    let room = SAID - said.len();
    said.extend_from_slice(&more[..more.len().min(room)]);
}

fn words(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt as _;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("it ended with {code}"),
        (None, Some(signal)) => format!("it was ended by signal {signal}"),
        (None, None) => "it ended".to_owned(),
    }
}

/// What became of it, and its last words that are any.
fn told(what: &str, said: &[u8]) -> Fault {
    let said = String::from_utf8_lossy(said);
    let last = said.lines().map(str::trim).rfind(|line| !line.is_empty());
    let words = last.map_or_else(|| what.to_owned(), |line| format!("{what}: {line}"));
    fault(FaultKind::Exec, words)
}
