//! A daemon that has one thing to say, on a socket of its own.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::mpsc::{Receiver, channel};

use geminus_api::{Call, Outcome, Reply, VERSION};
use tempfile::TempDir;

/// A runtime directory with a socket in it.
pub(crate) struct Fake {
    directory: TempDir,
    calls: Receiver<String>,
}

impl Fake {
    /// Answers one call with these outcomes, then closes.
    pub(crate) fn answering(outcomes: Vec<Outcome>) -> Self {
        let line =
            |outcome| serde_json::to_string(&Reply { version: VERSION, outcome }).expect("a reply") + "\n";
        Self::saying(outcomes.into_iter().map(line).collect())
    }

    /// Answers one call with this text, whatever it is, then closes.
    pub(crate) fn saying(text: String) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let listener = UnixListener::bind(directory.path().join("geminus.sock")).expect("a socket");
        let (heard, calls) = channel();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a client");
            let mut line = String::new();
            BufReader::new(stream.try_clone().expect("a clone")).read_line(&mut line).expect("a call");
            heard.send(line).expect("the test waits");
            // A client that refuses the first line need not read the rest.
            let _ = stream.write_all(text.as_bytes());
        });
        Self { directory, calls }
    }

    /// Runs `geminus` against it.
    pub(crate) fn run(&self, words: &[&str]) -> Output {
        geminus().args(words).arg("--runtime-dir").arg(self.directory.path()).output().expect("geminus runs")
    }

    /// Where the socket is.
    pub(crate) fn socket(&self) -> PathBuf {
        self.directory.path().join("geminus.sock")
    }

    /// What the client asked. The call was heard before it was answered.
    pub(crate) fn heard(&self) -> Call {
        let line = self.calls.try_recv().expect("the client called");
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{line}: {error}"))
    }
}

/// The binary, away from the terminal and the environment of whoever tests.
pub(crate) fn geminus() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_geminus"));
    command.env_remove("NO_COLOR").env_remove("CLICOLOR_FORCE").stdin(std::process::Stdio::null());
    command
}

/// What it printed.
pub(crate) fn stdout(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).expect("text")
}

/// What it complained.
pub(crate) fn stderr(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).expect("text")
}
