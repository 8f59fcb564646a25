//! The node_exporter that tests compare with: found on this machine, or fetched below `target/tools`.

use std::env;
use std::path::PathBuf;
use std::process::Command;

use crate::debian::{self, Fetch};
use crate::workspace::{Workspace, on_path, output};

const VARIABLE: &str = "PVE_TEST_NODE_EXPORTER";

/// What Debian calls package and program.
const PACKAGE: &str = "prometheus-node-exporter";

/// A `node_exporter` that runs on this machine.
#[derive(Debug)]
pub(crate) struct NodeExporter(PathBuf);

/// Finds the program: where the environment says, on PATH, fetched earlier, else fetched now.
pub(crate) fn provide(workspace: &Workspace) -> Result<NodeExporter, String> {
    if let Some(chosen) = env::var_os(VARIABLE) {
        let chosen = NodeExporter(chosen.into());
        chosen.check(workspace)?;
        return Ok(chosen);
    }
    if let Some(installed) = on_path(PACKAGE).or_else(|| on_path("node_exporter")) {
        let installed = NodeExporter(installed);
        match installed.check(workspace) {
            Ok(()) => return Ok(installed),
            Err(reason) => eprintln!("not using the installed node_exporter: {reason}"),
        }
    }
    let directory = workspace.tools().join(PACKAGE);
    let fetched = NodeExporter(directory.join("usr").join("bin").join(PACKAGE));
    if fetched.check(workspace).is_err() {
        let fetch = Fetch {
            packages: &[],
            dependencies: &[],
            alone: &[PACKAGE],
            otherwise: &format!(
                "the tests need node_exporter. It is not on PATH, and there is no apt-get here to fetch Debian's package \
                 `{PACKAGE}` with. Install it, or let {VARIABLE} name it."
            ),
        };
        debian::fetch(workspace, &directory, &fetch)?;
        fetched.check(workspace)?;
    }
    Ok(fetched)
}

impl NodeExporter {
    /// Tells the command's tests where the program is.
    pub(crate) fn given_to(&self, mut command: Command) -> Command {
        command.env(VARIABLE, &self.0);
        command
    }

    fn check(&self, workspace: &Workspace) -> Result<(), String> {
        let mut command = workspace.command(&self.0);
        command.arg("--version");
        let said = output(command)?;
        if said.contains("node_exporter, version 1.") {
            Ok(())
        } else {
            Err(format!(
                "{} is no node_exporter of a known version: {said}",
                self.0.display()
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_is_another_is_refused() {
        let wrong = NodeExporter("/bin/true".into());
        let error = wrong.check(&Workspace::from_environment()).unwrap_err();
        assert!(error.contains("is no node_exporter"), "{error}");
    }
}
