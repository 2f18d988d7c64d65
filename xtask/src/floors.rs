//! The test floors: what each needs, what cargo runs for it, and one honest sum at the end.

use std::process::Command;

use anyhow::{Result, bail};
use clap::ValueEnum;

use crate::command;
use crate::setup::{self, Scope};
use crate::sim;
use crate::stolen::Ticks;
use crate::tally::Tally;
use crate::workspace::{PRIVILEGED, PrivilegedTest, Workspace};

/// From this share on that the host took of the processors' time, per cent, a failed test of the lab is run again.
const STOLEN: f64 = 2.0;

/// How often.
const AGAIN: u32 = 2;

/// A kind of test, by what it needs to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Floor {
    /// Units, laws and snapshots; needs no privilege.
    #[value(name = "1")]
    Units,
    /// Whole sites on a virtual clock; needs no privilege.
    #[value(name = "2")]
    Simulation,
    /// The program, and programs of checks, in this machine's kernel; needs root.
    #[value(name = "3")]
    Kernel,
    /// The real binary in network namespaces; needs root.
    #[value(name = "4")]
    Lab,
}

impl Floor {
    const ALL: [Self; 4] = [Self::Units, Self::Simulation, Self::Kernel, Self::Lab];

    fn heading(self) -> &'static str {
        match self {
            Self::Units => "floor 1: units and laws, every crate",
            Self::Simulation => "floor 2: whole sites on a virtual clock",
            Self::Kernel => "floor 3: the packet path, and programs of checks, in this machine's kernel",
            Self::Lab => "floor 4: the real binary in network namespaces",
        }
    }

    fn is_privileged(self) -> bool {
        matches!(self, Self::Kernel | Self::Lab)
    }

    /// The privileged test targets of this floor: those of the data plane and the daemon talk to the kernel alone, all
    /// others to a whole site.
    fn privileged_tests(self, workspace: &Workspace) -> Vec<&PrivilegedTest> {
        let is_kernel =
            |test: &PrivilegedTest| ["geminus-dataplane", "geminus-daemon"].contains(&test.package.as_str());
        let belongs = |test: &&PrivilegedTest| match self {
            Self::Units | Self::Simulation => false,
            Self::Kernel => is_kernel(test),
            Self::Lab => !is_kernel(test),
        };
        workspace.privileged_tests.iter().filter(belongs).collect()
    }

    fn tests(self, workspace: &Workspace) -> Command {
        if self == Self::Units {
            let mut cargo = workspace.cargo();
            cargo.args(["test", "--no-fail-fast", "--workspace"]);
            return cargo;
        }
        if self == Self::Simulation {
            // With the packages of the floors that follow: what they share is built once.
            let mut cargo = workspace.release_cargo("test");
            cargo.args(["--package", "geminus-sim", "--test", "campaign"]);
            cargo.env("GEMINUS_SCHEDULES", sim::SCHEDULES);
            return cargo;
        }
        let mut cargo = workspace.release_cargo("test");
        cargo.arg("--no-fail-fast");
        for PrivilegedTest { name, .. } in self.privileged_tests(workspace) {
            cargo.args(["--test", name]);
        }
        if self == Self::Lab {
            cargo.env("GEMINUS_BIN", workspace.release_binary("geminus"));
            // One site at a time: a second one on the same cores would show as the first one's delay.
            cargo.args(["--", "--test-threads=1"]);
        }
        cargo
    }
}

/// Runs one floor, or all in order; every floor runs even when an earlier one failed.
pub(crate) fn test(workspace: &mut Workspace, only: Option<Floor>) -> Result<()> {
    let floors = only.map_or(Floor::ALL.to_vec(), |floor| vec![floor]);
    let privileged = floors.iter().any(|floor| floor.is_privileged());
    if privileged {
        setup::require_privileges("the kernel and lab floors (not `cargo xtask test --floor 1`)")?;
    }
    setup::ensure(workspace, if privileged { Scope::Everything } else { Scope::BpfToolChain })?;

    let mut sum = Tally::default();
    let mut complaints = Vec::new();
    for floor in floors {
        heading(floor.heading());
        let tally = run(workspace, floor, &mut complaints)?;
        sum.add(tally);
    }
    heading("all floors asked for have run");
    for complaint in &complaints {
        println!("{complaint}");
    }
    println!("{} passed, {} failed", sum.passed, sum.failed);
    if !complaints.is_empty() {
        bail!("the tests are not green: {}", complaints.join("; "));
    }
    Ok(())
}

fn run(workspace: &Workspace, floor: Floor, complaints: &mut Vec<String>) -> Result<Tally> {
    let mut tally = Tally::default();
    if floor.is_privileged() && floor.privileged_tests(workspace).is_empty() {
        complaints.push(format!(
            "{}: there is no test target that requires the feature `{PRIVILEGED}`",
            floor.heading()
        ));
        return Ok(tally);
    }
    if floor == Floor::Lab
        && let Err(error) = build_binaries(workspace)
    {
        complaints.push(format!("{}: {error}", floor.heading()));
        return Ok(tally);
    }
    let begun = Ticks::now();
    let mut failed = Failed::default();
    let status = command::watch(&mut floor.tests(workspace), |line| {
        println!("{line}");
        tally.read(line);
        failed.read(line);
    })?;
    let mut succeeded = status.success();
    if floor == Floor::Lab && failed.are_all(tally) {
        let once_more = again(workspace, &failed.names, stolen_since(begun))?;
        tally.passed += once_more;
        tally.failed -= once_more;
        succeeded = tally.failed == 0;
    }
    if let Some(complaint) = complaint(tally, succeeded, &command::ending(status)) {
        complaints.push(format!("{}: {complaint}", floor.heading()));
    }
    Ok(tally)
}

/// Tests of a run that failed, by name.
#[derive(Debug, Default)]
struct Failed {
    names: Vec<String>,
    begun: usize,
    ended: usize,
}

impl Failed {
    fn read(&mut self, line: &str) {
        let test = line.strip_prefix("test ").and_then(|rest| rest.strip_suffix(" ... FAILED"));
        self.names.extend(test.map(str::to_owned));
        self.begun += usize::from(line.starts_with("running ") && line.contains(" test"));
        self.ended += usize::from(line.starts_with("test result: "));
    }

    /// Whether they are all that was wrong with the run: nothing was skipped and no test binary ended before its end.
    fn are_all(&self, tally: Tally) -> bool {
        !self.names.is_empty()
            && self.names.len() as u64 == tally.failed
            && self.begun == self.ended
            && tally.ignored == 0
    }
}

/// Runs failed tests of the lab again, each by itself, as long as the machine was not its own when they failed: a site in
/// real time whose machine stands still proves nothing. Returns how many then passed. On a machine whose host takes nothing
/// away a test that failed has failed.
fn again(workspace: &Workspace, names: &[String], stolen: f64) -> Result<u64> {
    let mut passed = 0;
    for name in names {
        let mut stolen = stolen;
        for _ in 0..AGAIN {
            if stolen < STOLEN {
                break;
            }
            heading(&format!(
                "{name} failed while the machine's host took {stolen:.1} % of its processors; once more"
            ));
            let begun = Ticks::now();
            let mut tests = Floor::Lab.tests(workspace);
            tests.args(["--exact", name]);
            let mut tally = Tally::default();
            let status = command::watch(&mut tests, |line| {
                println!("{line}");
                tally.read(line);
            })?;
            if status.success() && tally == (Tally { passed: 1, failed: 0, ignored: 0 }) {
                passed += 1;
                break;
            }
            stolen = stolen_since(begun);
        }
    }
    Ok(passed)
}

fn stolen_since(begun: Option<Ticks>) -> f64 {
    begun.zip(Ticks::now()).map_or(0.0, |(begun, now)| now.stolen_since(begun))
}

/// What is wrong with a floor that ran; a floor in which nothing ran is wrong as well.
fn complaint(tally: Tally, succeeded: bool, ending: &str) -> Option<String> {
    match tally {
        Tally { failed: 1.., .. } => Some(format!("{} failed", tally.failed)),
        _ if !succeeded => Some(format!("cargo test ended with {ending} although no test is told as failed")),
        Tally { ignored: 1.., .. } => {
            Some(format!("{} skipped, and a test that does not run is not green", tally.ignored))
        }
        Tally { passed: 0, .. } => Some("no test ran".to_owned()),
        _ => None,
    }
}

/// Builds what the lab and the demo run, and the lab.
pub(crate) fn build_binaries(workspace: &Workspace) -> Result<()> {
    command::run(workspace.release_cargo("build").args(["--bin", "geminus", "--bin", "geminus-lab"]))
}

/// Separates the parts of a long run.
pub(crate) fn heading(text: &str) {
    println!("\n==== {text} ====");
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn workspace(privileged: &[(&str, &str)]) -> Workspace {
        let test = |(package, name): &(&str, &str)| PrivilegedTest {
            package: (*package).into(),
            name: (*name).into(),
        };
        Workspace {
            root: PathBuf::from("."),
            target: PathBuf::from("target"),
            privileged_tests: privileged.iter().map(test).collect(),
            bpf_compiler: None,
        }
    }

    #[test]
    fn failed_tests_are_known_by_name_unless_something_else_was_wrong() {
        let output = "running 3 tests\ntest a ... ok\ntest b::c ... FAILED\ntest result: FAILED. 2 passed; 1 failed; 0 ignored; 0 measured\n";
        let read = |output: &str| {
            let (mut failed, mut tally) = (Failed::default(), Tally::default());
            for line in output.lines() {
                failed.read(line);
                tally.read(line);
            }
            (failed.are_all(tally), failed.names)
        };
        assert_eq!(read(output), (true, vec!["b::c".to_owned()]));
        assert!(!read(&format!("{output}running 2 tests\ntest d ... ok\n")).0, "a binary that died");
        assert!(!read("test b ... FAILED\n").0, "no result");
        assert!(!read(&output.replace("0 ignored", "1 ignored")).0, "one was skipped");
        assert!(!read("running 1 test\ntest a ... ok\ntest result: ok. 1 passed; 0 failed; 0 ignored\n").0);
    }

    #[test]
    fn every_privileged_test_runs_on_exactly_one_floor() {
        let all =
            [("geminus-dataplane", "differential"), ("geminus", "content_host"), ("geminus-lab", "site")];
        let workspace = workspace(&all);
        let runs = |name: &str| {
            let named =
                |floor: &Floor| command::shown(&floor.tests(&workspace)).contains(&format!("--test {name}"));
            Floor::ALL.into_iter().filter(named).collect::<Vec<_>>()
        };
        assert_eq!(runs("differential"), [Floor::Kernel]);
        assert_eq!(runs("content_host"), [Floor::Lab]);
        assert_eq!(runs("site"), [Floor::Lab]);
    }

    #[test]
    fn the_first_floor_asks_for_no_privileged_test() {
        let shown = command::shown(&Floor::Units.tests(&workspace(&[("geminus-lab", "site")])));
        assert!(!shown.contains(PRIVILEGED), "{shown}");
    }

    const GREEN: Tally = Tally { passed: 5, failed: 0, ignored: 0 };

    #[test]
    fn only_a_run_in_which_something_passed_and_nothing_else_happened_is_green() {
        assert_eq!(complaint(GREEN, true, "exit code 0"), None);
        assert!(complaint(Tally::default(), true, "exit code 0").is_some());
    }

    #[test]
    fn a_failed_test_is_told_by_its_count() {
        let tally = Tally { failed: 2, ..GREEN };
        assert_eq!(complaint(tally, false, "exit code 101").as_deref(), Some("2 failed"));
    }

    #[test]
    fn a_build_that_breaks_is_not_green_although_no_test_failed() {
        assert!(complaint(GREEN, false, "exit code 101").is_some_and(|text| text.contains("exit code 101")));
    }

    #[test]
    fn a_skipped_test_is_not_green() {
        assert!(complaint(Tally { ignored: 1, ..GREEN }, true, "exit code 0").is_some());
    }
}
