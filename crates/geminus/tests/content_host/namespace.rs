//! Network namespaces that live as long as the test: each is held by a process that reads from the test, so that the
//! kernel removes it however the test ends.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Output, Stdio};

/// A network namespace.
pub(crate) struct Namespace {
    holder: Child,
}

impl Namespace {
    /// A fresh one, with nothing but `lo`, which is down.
    pub(crate) fn new() -> Self {
        let mut holder = Command::new("unshare")
            .args(["--net", "sh", "-c", "echo ready; exec cat"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("unshare (util-linux) runs");
        let mut line = String::new();
        BufReader::new(holder.stdout.take().expect("piped")).read_line(&mut line).expect("a line");
        assert_eq!(line, "ready\n", "a network namespace needs root");
        Self { holder }
    }

    /// A program inside.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/proc/{}/ns/net", self.holder.id())).arg("--").arg(program);
        command.stdin(Stdio::null());
        command
    }

    /// Runs a line of shell inside that must succeed.
    #[track_caller]
    pub(crate) fn shell(&self, line: &str) -> String {
        let output = self.command("sh").args(["-c", line]).output().expect("sh runs");
        assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text")
    }

    /// Runs `geminus` inside.
    pub(crate) fn geminus(&self, words: &[&str]) -> Output {
        self.command(env!("CARGO_BIN_EXE_geminus")).args(words).output().expect("geminus runs")
    }

    /// A pair of interfaces, one here and one there.
    pub(crate) fn join(&self, name: &str, other: &Self, far: &str) {
        let (here, there) = (self.holder.id(), other.holder.id());
        self.shell(&format!("ip link add {name} netns {here} type veth peer name {far} netns {there}"));
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        drop(self.holder.stdin.take());
        let _ = self.holder.wait();
    }
}
