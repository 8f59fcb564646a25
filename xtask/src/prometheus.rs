//! The Prometheus that tests start: found on this machine, or fetched below `target/tools`.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::debian::{self, Fetch};
use crate::workspace::{Workspace, on_path, output};

/// The oldest release that the tests must hold with: that of Debian 12, beside which people run Proxmox VE 8.
const OLDEST: (u32, u32) = (2, 42);

const SERVER_VARIABLE: &str = "PVE_TEST_PROMETHEUS";
const PROMTOOL_VARIABLE: &str = "PVE_TEST_PROMTOOL";

/// A server and a promtool that run on this machine.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Prometheus {
    server: PathBuf,
    promtool: PathBuf,
}

/// Finds Prometheus: where the environment says, on PATH, fetched earlier, else fetched now.
pub(crate) fn provide(workspace: &Workspace) -> Result<Prometheus, String> {
    if let Some(chosen) = chosen(
        env::var_os(SERVER_VARIABLE).map(Into::into),
        env::var_os(PROMTOOL_VARIABLE).map(Into::into),
    )? {
        chosen.check(workspace)?;
        return Ok(chosen);
    }
    if let (Some(server), Some(promtool)) = (on_path("prometheus"), on_path("promtool")) {
        let installed = Prometheus { server, promtool };
        match installed.check(workspace) {
            Ok(()) => return Ok(installed),
            Err(reason) => eprintln!("not using the installed Prometheus: {reason}"),
        }
    }
    let directory = workspace.tools().join("prometheus");
    let fetched = Prometheus::below(&directory);
    if fetched.check(workspace).is_err() {
        fetch(workspace, &directory)?;
        fetched.check(workspace)?;
    }
    Ok(fetched)
}

/// What the environment asks for. One variable without the other would mix two releases.
fn chosen(server: Option<PathBuf>, promtool: Option<PathBuf>) -> Result<Option<Prometheus>, String> {
    match (server, promtool) {
        (Some(server), Some(promtool)) => Ok(Some(Prometheus { server, promtool })),
        (None, None) => Ok(None),
        _ => Err(format!(
            "set both {SERVER_VARIABLE} and {PROMTOOL_VARIABLE}, or neither"
        )),
    }
}

impl Prometheus {
    /// Where Debian's package puts its programs.
    fn below(directory: &Path) -> Self {
        let programs = directory.join("usr").join("bin");
        Self {
            server: programs.join("prometheus"),
            promtool: programs.join("promtool"),
        }
    }

    /// Tells the command's tests where the programs are.
    pub(crate) fn given_to(&self, mut command: Command) -> Command {
        command
            .env(SERVER_VARIABLE, &self.server)
            .env(PROMTOOL_VARIABLE, &self.promtool);
        command
    }

    /// Both programs start and are recent enough.
    fn check(&self, workspace: &Workspace) -> Result<(), String> {
        for program in [&self.server, &self.promtool] {
            let mut command = workspace.command(program);
            command.arg("--version");
            let said = output(command)?;
            let version = version(&said).ok_or_else(|| format!("{} names no version: {said}", program.display()))?;
            if version < OLDEST {
                let ((major, minor), (oldest_major, oldest_minor)) = (version, OLDEST);
                return Err(format!(
                    "{} is {major}.{minor}, the tests need {oldest_major}.{oldest_minor} or newer",
                    program.display()
                ));
            }
        }
        Ok(())
    }
}

/// Major and minor out of `prometheus, version 2.42.0+ds (branch: ...`.
fn version(said: &str) -> Option<(u32, u32)> {
    let (_, rest) = said.split_once("version ")?;
    let mut numbers = rest.split('.');
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

fn fetch(workspace: &Workspace, directory: &Path) -> Result<(), String> {
    let (major, minor) = OLDEST;
    let fetch = Fetch {
        packages: &[],
        dependencies: &[],
        alone: &["prometheus"],
        otherwise: &format!(
            "the tests need Prometheus {major}.{minor} or newer and its promtool. They are not on PATH, and there is no \
             apt-get here to fetch Debian's package `prometheus` with. Install them, or let {SERVER_VARIABLE} and \
             {PROMTOOL_VARIABLE} name them."
        ),
    };
    debian::fetch(workspace, directory, &fetch)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_debian_and_upstream_are_read() {
        assert_eq!(
            version("prometheus, version 2.42.0+ds (branch: debian/sid, revision: 2.42.0+ds-5)"),
            Some((2, 42))
        );
        assert_eq!(version("promtool, version 3.5.3 (branch: HEAD)"), Some((3, 5)));
        assert_eq!(version("prometheus: not found"), None);
    }

    #[test]
    fn versions_compare_by_number() {
        assert!((2, 5) < OLDEST && (2, 42) >= OLDEST && (3, 0) > OLDEST);
    }

    #[test]
    fn one_variable_alone_is_refused() {
        assert_eq!(chosen(None, None), Ok(None));
        assert!(chosen(Some("prometheus".into()), None).is_err());
        assert!(chosen(None, Some("promtool".into())).is_err());
        let both = Prometheus {
            server: "prometheus".into(),
            promtool: "promtool".into(),
        };
        assert_eq!(
            chosen(Some("prometheus".into()), Some("promtool".into())),
            Ok(Some(both))
        );
    }

    #[test]
    fn a_program_that_says_no_version_is_refused() {
        let wrong = Prometheus {
            server: "/bin/true".into(),
            promtool: "/bin/true".into(),
        };
        let error = wrong.check(&Workspace::from_environment()).unwrap_err();
        assert!(error.contains("names no version"), "{error}");
    }
}
