//! The tasks of this repository, each a list of steps. `cargo xtask help` names them.
//!
//! A step is one command that a contributor could type by hand. Steps run in order and the first failure ends the task.

mod cargo_deny;
mod debian;
mod guest;
mod guest_collector;
mod node_exporter;
mod prometheus;
mod pve_exporter;
mod qemu;
mod qemu_ga;
mod steps;
mod workspace;

use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;
use std::{env, io};

use steps::Step;
use workspace::{Workspace, run};

const HELP: &str = "\
Usage: cargo xtask <task>

Tasks:
  test   Everything a change must pass: format, lints, tests, documentation, licences.
         Fetches what it needs below target/tools and changes nothing else on the machine.
  soak   The tests that wait for minutes, in release mode.
  bench  The benchmarks.
  guest-collector
         The collector as guests get it: static programs for x86-64 and aarch64 below target/*-linux-musl/guest.
  help   This text.

Environment:
  PVE_TEST_PROMETHEUS, PVE_TEST_PROMTOOL
         The Prometheus that tests start, and its promtool. Without them: those on PATH, else Debian's package.
  PVE_TEST_NODE_EXPORTER
         The node_exporter whose values tests compare with. Without it: the one on PATH, else Debian's package.
  PVE_TEST_GUEST_COLLECTOR
         The static collector that runs in the guests of tests. Without it: one that is built.
  PVE_TEST_QEMU
         The qemu-system-x86_64 that tests boot a guest with. Without it: the one on PATH, else Debian's package.
  PVE_TEST_GUEST
         A directory with the kernel, the busybox and the guest agent of that guest, as Debian's packages unpack.
         Without it: Debian's packages.
  PVE_TEST_QEMU_GA
         The QEMU guest agent that tests start. Without it: the one on PATH, else Debian's package.
  PVE_TEST_PVE_EXPORTER
         The prometheus-pve-exporter that tests and benchmarks compare with. Without it: the one of PyPI.
";

const TEST: &[Step] = &[
    Step {
        name: "format",
        run: format,
    },
    Step {
        name: "lints",
        run: lints,
    },
    Step {
        name: "lints of the packaged features",
        run: lints_of_packaged_features,
    },
    Step {
        name: "tests",
        run: tests,
    },
    Step {
        name: "documentation",
        run: documentation,
    },
    Step {
        name: "licences and sources",
        run: licences_and_sources,
    },
];
const SOAK: &[Step] = &[Step {
    name: "soak",
    run: soak,
}];
const BENCH: &[Step] = &[Step {
    name: "bench",
    run: bench,
}];
const GUEST_COLLECTOR: &[Step] = &[Step {
    name: "static guest collector",
    run: guest_collector::build,
}];

#[derive(Debug, PartialEq, Eq)]
enum Task {
    Test,
    Soak,
    Bench,
    GuestCollector,
    Help,
}

fn main() -> ExitCode {
    let steps = match task(env::args_os().skip(1)) {
        Ok(Task::Test) => TEST,
        Ok(Task::Soak) => SOAK,
        Ok(Task::Bench) => BENCH,
        Ok(Task::GuestCollector) => GUEST_COLLECTOR,
        Ok(Task::Help) => {
            return match io::stdout().write_all(HELP.as_bytes()) {
                Ok(()) => ExitCode::SUCCESS,
                Err(_) => ExitCode::FAILURE,
            };
        }
        Err(message) => {
            eprintln!("xtask: {message}\n\n{HELP}");
            return ExitCode::from(2);
        }
    };
    match steps::run(steps, &Workspace::from_environment()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(()) => ExitCode::FAILURE,
    }
}

fn task(arguments: impl Iterator<Item = OsString>) -> Result<Task, String> {
    let arguments: Vec<OsString> = arguments.collect();
    match arguments.as_slice() {
        [] => Err("no task given".to_owned()),
        [name] => match name.to_str() {
            Some("test") => Ok(Task::Test),
            Some("soak") => Ok(Task::Soak),
            Some("bench") => Ok(Task::Bench),
            Some("guest-collector") => Ok(Task::GuestCollector),
            Some("help" | "--help" | "-h") => Ok(Task::Help),
            _ => Err(format!("no task is called `{}`", name.display())),
        },
        [_, extra, ..] => Err(format!("a task takes no arguments, but `{}` came", extra.display())),
    }
}

fn format(workspace: &Workspace) -> Result<(), String> {
    run(workspace.cargo(&["fmt", "--all", "--check"]))
}

/// All features: what only the soak tests compile must not rot between soaks.
fn lints(workspace: &Workspace) -> Result<(), String> {
    let arguments = [
        "clippy",
        "--locked",
        "--workspace",
        "--all-targets",
        "--all-features",
        "--",
        "-D",
        "warnings",
    ];
    run(workspace.cargo(&arguments))
}

/// Packages leave the `demo` feature out, so no other step compiles what they hold.
fn lints_of_packaged_features(workspace: &Workspace) -> Result<(), String> {
    let arguments = [
        "clippy",
        "--locked",
        "--package",
        "pve-exporter",
        "--no-default-features",
        "--",
        "-D",
        "warnings",
    ];
    run(workspace.cargo(&arguments))
}

fn tests(workspace: &Workspace) -> Result<(), String> {
    let command = workspace.cargo(&["test", "--locked", "--workspace"]);
    let command = prometheus::provide(workspace)?.given_to(command);
    let command = node_exporter::provide(workspace)?.given_to(command);
    let command = guest_collector::provide(workspace)?.given_to(command);
    let command = qemu::provide(workspace)?.given_to(command);
    let command = guest::provide(workspace)?.given_to(command);
    let command = qemu_ga::provide(workspace)?.given_to(command);
    run(pve_exporter::provide(workspace)?.given_to(command))
}

fn documentation(workspace: &Workspace) -> Result<(), String> {
    let mut command = workspace.cargo(&["doc", "--locked", "--workspace", "--all-features", "--no-deps"]);
    command.env("RUSTDOCFLAGS", "-D warnings");
    run(command)
}

fn licences_and_sources(workspace: &Workspace) -> Result<(), String> {
    cargo_deny::check(workspace)
}

fn soak(workspace: &Workspace) -> Result<(), String> {
    let arguments = [
        "test",
        "--locked",
        "--release",
        "--package",
        "pve-exporter",
        "--features",
        "soak",
        "--test",
        "soak",
        "--",
        "--nocapture",
    ];
    run(prometheus::provide(workspace)?.given_to(workspace.cargo(&arguments)))
}

fn bench(workspace: &Workspace) -> Result<(), String> {
    let command = workspace.cargo(&["bench", "--locked", "--package", "pve-exporter"]);
    run(pve_exporter::provide(workspace)?.given_to(command))?;
    let collector = workspace.cargo(&["bench", "--locked", "--package", "pve-guest-collector"]);
    let collector = node_exporter::provide(workspace)?.given_to(collector);
    run(guest_collector::provide(workspace)?.given_to(collector))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task_of(arguments: &[&str]) -> Result<Task, String> {
        task(arguments.iter().map(OsString::from))
    }

    #[test]
    fn every_task_of_the_help_is_known() {
        for (name, expected) in [
            ("test", Task::Test),
            ("soak", Task::Soak),
            ("bench", Task::Bench),
            ("guest-collector", Task::GuestCollector),
            ("help", Task::Help),
        ] {
            assert!(
                HELP.lines().any(|line| line.split_whitespace().next() == Some(name)),
                "{name} is missing from the help"
            );
            assert_eq!(task_of(&[name]), Ok(expected));
        }
    }

    #[test]
    fn a_wrong_call_is_named() {
        assert_eq!(task_of(&[]), Err("no task given".to_owned()));
        assert_eq!(task_of(&["tset"]), Err("no task is called `tset`".to_owned()));
        assert_eq!(
            task_of(&["test", "--fast"]),
            Err("a task takes no arguments, but `--fast` came".to_owned())
        );
    }
}
