//! Programs of `exec` checks: without a shell, as nobody, with little of everything, and with an end.

mod confine;
mod users;

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::process::{ExitStatus, Stdio};
use std::rc::Rc;
use std::time::Duration;

use geminus_core::health::{Fault, FaultKind, Good, Target};
use geminus_core::model::{Advisor, Protocol};
use rustix::process::Pid;
use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe;
use tokio::process::{Child, Command};
use tokio::task::{LocalSet, spawn_local};
use tokio::time::{Instant, timeout_at};

pub(super) use self::users::Users;
use super::bounds::{READ, SAID, SAID_MOST};
use super::words::{fault, own, plain};

/// Where programs that a program starts are found.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Runs a check's program until it ends or its time is over.
pub(super) async fn run(
    users: &Users,
    command: &[String],
    target: &Target,
    by: Option<IpAddr>,
    until: Instant,
) -> Result<Good, Fault> {
    let user = users.take(until).await?;
    let (child, mut output) = start(command, target, by, user.number())?;
    user.leads(child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?)));
    // The user is dropped, and everything of it ended, before the program is.
    let (mut child, _user) = (child, user);
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

/// Runs programs as `exec` checks do, all at once, each for `time` at most, and says what came of each. For tests of what
/// programs may where the daemon itself may little: such a test needs root, and a process that it can take rights from.
#[doc(hidden)]
pub fn run_programs(programs: Vec<Vec<String>>, time: Duration) -> io::Result<Vec<Result<(), Fault>>> {
    let here = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, async {
        let users = Rc::new(Users::new());
        let begin = |command: Vec<String>| {
            let users = Rc::clone(&users);
            let advisor = Advisor::Exec { command: command.clone() };
            let addresses = Vec::new();
            let (protocol, port) = (Protocol::Tcp, 0);
            let target =
                Target { server: here, addresses, port, protocol, advisor, connect: time, timeout: time };
            spawn_local(async move {
                run(&users, &command, &target, None, Instant::now() + time).await.map(|_| ())
            })
        };
        let mut outcomes = Vec::new();
        for task in programs.into_iter().map(begin).collect::<Vec<_>>() {
            outcomes.push(task.await?);
        }
        Ok(outcomes)
    })
}

enum Ended {
    Well,
    Otherwise(ExitStatus),
    Flood,
}

fn start(
    command: &[String],
    target: &Target,
    by: Option<IpAddr>,
    user: Option<u32>,
) -> Result<(Child, pipe::Receiver), Fault> {
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
    confine::confine(&mut run, user);
    let started = run.spawn();
    // The command holds this side's ends of the pipe: with them the end of what is said would never come.
    drop(run);
    let child = started.map_err(|error| not_started(program, &error))?;
    Ok((child, output))
}

/// A program that does not start says nothing of the server, whatever the reason: it is this machine that lacks something.
fn not_started(program: &str, error: &io::Error) -> Fault {
    let way_out = match error.raw_os_error() {
        Some(libc::ENOENT | libc::ENOTDIR | libc::ELOOP) => "install it, or correct `exec`",
        Some(libc::EACCES) => "let everybody execute it, and enter its folders",
        Some(libc::ENOEXEC) => "it needs a first line of `#!` and an interpreter",
        Some(libc::EPERM) => "the daemon needs CAP_SETUID and CAP_SETGID to run it as nobody",
        Some(libc::EINVAL) => "the daemon's user namespace lacks the users of programs",
        Some(libc::EAGAIN) => "too many processes: see TasksMax of the unit, and kernel.pid_max",
        Some(libc::ENOMEM) => "memory is short",
        Some(libc::EMFILE | libc::ENFILE) => "raise LimitNOFILE of the unit, or fs.file-max",
        _ => "try it by hand as a user without rights",
    };
    own(format!("{program} does not start: {}; {way_out}", plain(error)))
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
