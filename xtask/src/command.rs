//! Other programs: found, started, and named in full when they fail.

use std::env;
use std::ffi::OsString;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use anyhow::{Context, Result, bail};

/// Where administration programs live on systems that keep them out of an ordinary user's `PATH`.
const SYSTEM_DIRECTORIES: [&str; 3] = ["/usr/local/sbin", "/usr/sbin", "/sbin"];

/// Where distributions keep servers that nobody starts by hand, and a star for any version.
const SERVERS_APART: [&str; 3] = ["/usr/lib/dovecot", "/usr/libexec/dovecot", "/usr/lib/postgresql/*/bin"];

/// How many of a silent program's last lines an error repeats.
const LAST_LINES: usize = 15;

/// Runs a command whose output people watch.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let shown = shown(command);
    let status =
        command.stdin(Stdio::null()).status().with_context(|| format!("`{shown}` could not be started"))?;
    if !status.success() {
        bail!("`{shown}` ended with {}, its last lines are above", ending(status));
    }
    Ok(())
}

/// Runs a command in silence and returns what it wrote to its standard output; an error repeats its last lines.
pub(crate) fn capture(command: &mut Command) -> Result<String> {
    let shown = shown(command);
    let output =
        command.stdin(Stdio::null()).output().with_context(|| format!("`{shown}` could not be started"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = if output.stderr.is_empty() { &output.stdout } else { &output.stderr };
    bail!("`{shown}` ended with {}:\n{}", ending(output.status), last_lines(&String::from_utf8_lossy(said)));
}

/// Runs a command and hands over each line of its standard output as it comes; returns how it ended.
pub(crate) fn watch(command: &mut Command, mut line_came: impl FnMut(&str)) -> Result<ExitStatus> {
    let shown = shown(command);
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("`{shown}` could not be started"))?;
    let mut output =
        BufReader::new(child.stdout.take().expect("the standard output was asked for as a pipe"));
    let mut line = Vec::new();
    while output.read_until(b'\n', &mut line).with_context(|| format!("the output of `{shown}`"))? > 0 {
        line_came(String::from_utf8_lossy(&line).trim_end_matches('\n'));
        line.clear();
    }
    child.wait().with_context(|| format!("the end of `{shown}`"))
}

/// How a program ended, in words.
pub(crate) fn ending(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => "an unknown status".to_owned(),
    }
}

/// The command as a person would type it.
pub(crate) fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

/// The program of this name in [`search_path`].
pub(crate) fn find_program(name: &str) -> Option<PathBuf> {
    env::split_paths(&search_path()).map(|directory| directory.join(name)).find(|path| is_executable(path))
}

/// `PATH` with the system directories behind it, and those of servers behind these.
pub(crate) fn search_path() -> OsString {
    let path = env::var_os("PATH").unwrap_or_default();
    let mut directories: Vec<PathBuf> = env::split_paths(&path).collect();
    let apart = SERVERS_APART.into_iter().flat_map(versions);
    for directory in SYSTEM_DIRECTORIES.into_iter().map(PathBuf::from).chain(apart) {
        if !directories.contains(&directory) {
            directories.push(directory);
        }
    }
    // A directory with a colon in its name cannot come out of a split at colons.
    env::join_paths(directories).unwrap_or(path)
}

/// The directories that a path with a star names; the path itself if it has none.
fn versions(path: &str) -> Vec<PathBuf> {
    let Some((above, below)) = path.split_once("/*/") else { return vec![path.into()] };
    let found = std::fs::read_dir(above).into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = found.map(|version| version.path().join(below)).collect();
    found.sort();
    found
}

fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata().is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(LAST_LINES)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_names_the_command_its_exit_code_and_its_last_words() {
        let error = capture(Command::new("sh").args(["-c", "echo the reason >&2; exit 7"])).unwrap_err();
        assert_eq!(
            error.to_string(),
            "`sh -c echo the reason >&2; exit 7` ended with exit code 7:\nthe reason"
        );
    }

    #[test]
    fn a_program_that_is_not_there_is_named() {
        let error = run(&mut Command::new("geminus-no-such-program")).unwrap_err();
        assert_eq!(error.to_string(), "`geminus-no-such-program` could not be started");
    }

    #[test]
    fn only_the_end_of_a_long_output_is_repeated() {
        let text = (1..=40).map(|n| format!("line {n}\n\n")).collect::<String>();
        let kept = last_lines(&text);
        assert_eq!(kept.lines().count(), LAST_LINES);
        assert!(kept.starts_with("line 26\n") && kept.ends_with("line 40"));
    }

    #[test]
    fn every_line_is_handed_over_also_one_without_an_end() {
        let mut lines = Vec::new();
        let status = watch(Command::new("sh").args(["-c", "printf 'one\\ntwo'; exit 3"]), |line| {
            lines.push(line.to_owned());
        });
        assert_eq!(lines, ["one", "two"]);
        assert_eq!(ending(status.unwrap()), "exit code 3");
    }

    #[test]
    fn a_program_killed_by_a_signal_is_told_from_one_that_exited() {
        let status = watch(Command::new("sh").args(["-c", "kill -9 $$"]), |_| ()).unwrap();
        assert_eq!(ending(status), "signal 9");
    }

    #[test]
    fn administration_programs_are_searched_for_where_path_leaves_them_out() {
        let directories: Vec<PathBuf> = env::split_paths(&search_path()).collect();
        for directory in SYSTEM_DIRECTORIES {
            assert!(directories.contains(&directory.into()), "{directory} is not searched");
        }
    }
}
