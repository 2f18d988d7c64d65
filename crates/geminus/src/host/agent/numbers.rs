//! Numbers of a host's own: from a file, or a program without a shell.
//!
//! Each is read by a task of its own, with a deadline; what hangs, floods or fails is left out and named, and holds up
//! nothing else.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::Read as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use geminus_core::agent::custom::{self, READ_BYTES};
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::AsyncReadExt as _;
use tokio::process::Command;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{sleep, timeout};

use super::args::Number;

/// How long a file or a program may take.
const DEADLINE: Duration = Duration::from_secs(2);

/// Programs are not started more often.
const RESTED: Duration = Duration::from_secs(1);

/// Where programs find others.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

type Known = Arc<Mutex<BTreeMap<String, Result<custom::Number, String>>>>;

/// What each said last.
#[derive(Debug)]
pub(super) struct Numbers {
    known: Known,
}

impl Numbers {
    /// Reads each every interval. To be called within the runtime.
    pub(super) fn start(files: &[Number], programs: &[Number], interval: Duration) -> Self {
        let known = Known::default();
        for Number { name, words } in files {
            tokio::spawn(watch_file(name.clone(), PathBuf::from(&words[0]), interval, Arc::clone(&known)));
        }
        for Number { name, words } in programs {
            tokio::spawn(watch_program(
                name.clone(),
                words.clone(),
                interval.max(RESTED),
                Arc::clone(&known),
            ));
        }
        Self { known }
    }

    /// The numbers that there are, and what is wrong with those and others.
    pub(super) fn now(&self) -> (Vec<(String, u16)>, Vec<String>) {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut numbers, mut findings) = (Vec::new(), Vec::new());
        for (name, said) in known.iter() {
            let wrong = match said {
                Ok(number) => {
                    numbers.push((name.clone(), number.value));
                    number.clamped.as_ref()
                }
                Err(why) => Some(why),
            };
            findings.extend(wrong.map(|wrong| format!("number {name}: {wrong}")));
        }
        (numbers, findings)
    }
}

fn note(known: &Known, name: &str, said: Result<custom::Number, String>) {
    known.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), said);
}

async fn watch_file(name: String, path: PathBuf, interval: Duration, known: Known) {
    let mut reading: Option<JoinHandle<Result<Vec<u8>, String>>> = None;
    loop {
        // One that hangs is waited for, not joined by another.
        let of = path.clone();
        let mut current = reading.take().unwrap_or_else(|| spawn_blocking(move || read(&of)));
        let said = match timeout(DEADLINE, &mut current).await {
            Ok(Ok(bytes)) => bytes.and_then(|bytes| custom::number(&bytes)),
            Ok(Err(_)) => Err("its reading failed".to_owned()),
            Err(_) => {
                reading = Some(current);
                Err(format!("{} cannot be read within {} s", path.display(), DEADLINE.as_secs()))
            }
        };
        note(&known, &name, said);
        sleep(interval).await;
    }
}

fn read(path: &std::path::Path) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    // A pipe without a writer is empty and holds nobody up.
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(rustix::fs::OFlags::NONBLOCK.bits().cast_signed())
        .open(path);
    let read = file.and_then(|file| file.take(READ_BYTES as u64).read_to_end(&mut bytes));
    read.map(|_| bytes).map_err(|error| format!("{} cannot be read: {error}", path.display()))
}

async fn watch_program(name: String, words: Vec<String>, interval: Duration, known: Known) {
    loop {
        let said = ask(&words, DEADLINE).await;
        note(&known, &name, said);
        sleep(interval).await;
    }
}

/// Runs a program to the end of its first words, or ends it.
async fn ask(words: &[String], deadline: Duration) -> Result<custom::Number, String> {
    let (program, arguments) = words.split_first().ok_or("no program")?;
    let mut child = Command::new(program)
        .args(arguments)
        .env_clear()
        .env("PATH", PATH)
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        // A group of its own, so that what it starts ends with it.
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| format!("{program} cannot be started: {error}"))?;
    let group = Group(child.id().and_then(|id| Pid::from_raw(id.cast_signed())));
    let pipe = child.stdout.take();
    let said = async {
        let mut said = Vec::new();
        if let Some(pipe) = pipe {
            // What cannot be read was not said.
            drop(pipe.take(READ_BYTES as u64).read_to_end(&mut said).await);
        }
        (said, child.wait().await)
    };
    let ended = timeout(deadline, said).await;
    drop(group);
    match ended {
        Err(_) => Err(format!("{program} ran longer than {} s and was ended", deadline.as_secs_f64())),
        Ok((_, Err(error))) => Err(format!("{program} was lost sight of: {error}")),
        Ok((said, Ok(status))) if status.success() => custom::number(&said),
        Ok((_, Ok(status))) => Err(format!("{program} failed: {status}")),
    }
}

/// The processes of a program, which end with it, however it ends.
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
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    const PATIENT: Duration = Duration::from_secs(20);

    fn on_runtime<T>(work: impl Future<Output = T>) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let done = runtime.block_on(work);
        runtime.shutdown_background();
        done
    }

    fn asked(script: &str, deadline: Duration) -> Result<custom::Number, String> {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("program");
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).expect("written");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700)).expect("set");
        let words = [path.display().to_string(), "$(touch /x)".to_owned()];
        on_runtime(ask(&words, deadline))
    }

    #[test]
    fn a_program_says_its_number_without_a_shell_of_ours() {
        assert_eq!(asked("echo 420", PATIENT).map(|number| number.value), Ok(420));
        assert_eq!(asked("[ \"$1\" = '$(touch /x)' ] && echo 7", PATIENT).map(|number| number.value), Ok(7));
        assert_eq!(asked("echo ${HOME:-17}", PATIENT).map(|number| number.value), Ok(17), "nothing of ours");
    }

    #[test]
    fn a_program_that_hangs_floods_or_fails_is_ended_and_named() {
        let told = asked("sleep 600 & sleep 600", Duration::from_millis(300)).expect_err("hangs");
        assert!(told.contains("longer than 0.3 s"), "{told}");
        let told = asked("exec yes 999999999999", PATIENT);
        assert!(told.is_err() || told.is_ok_and(|number| number.clamped.is_some()), "a flood is cut off");
        assert!(asked("exit 3", PATIENT).expect_err("fails").contains("exit status: 3"));
        assert!(asked("echo load", PATIENT).expect_err("no number").contains("no number"));
        let none = on_runtime(ask(&["/nonexistent/program".to_owned()], PATIENT));
        assert!(none.expect_err("there is none").contains("/nonexistent/program cannot be started"));
    }

    #[test]
    fn files_are_read_and_what_is_wrong_with_them_is_named() {
        let dir = tempfile::tempdir().expect("a directory");
        let number = |name: &str, text: &str| {
            let path = dir.path().join(name);
            std::fs::write(&path, text).expect("written");
            Number { name: name.to_owned(), words: vec![path.display().to_string()] }
        };
        let files = [
            number("good", "420\n"),
            number("absurd", "99999999"),
            number("words", "much"),
            Number { name: "missing".to_owned(), words: vec![dir.path().join("none").display().to_string()] },
        ];
        let (numbers, findings) = on_runtime(async {
            let numbers = Numbers::start(&files, &[], Duration::from_millis(50));
            let begun = std::time::Instant::now();
            while numbers.now().1.len() < 3 || numbers.now().0.len() < 2 {
                assert!(begun.elapsed() < PATIENT, "{:?}", numbers.now());
                sleep(Duration::from_millis(5)).await;
            }
            numbers.now()
        });
        assert_eq!(numbers, [("absurd".to_owned(), 2000), ("good".to_owned(), 420)]);
        assert!(findings.iter().any(|line| line.starts_with("number missing: ")), "{findings:?}");
        assert!(findings.iter().any(|line| line.contains("99999999")), "{findings:?}");
    }
}
