//! The guest agent that tests start: found on this machine, or fetched below `target/tools`.

use std::env;
use std::path::PathBuf;
use std::process::Command;

use crate::debian::{self, Fetch};
use crate::workspace::{Workspace, on_path, output};

const VARIABLE: &str = "PVE_TEST_QEMU_GA";

/// A `qemu-ga` that runs on this machine.
#[derive(Debug)]
pub(crate) struct QemuGa(PathBuf);

/// Finds the agent: where the environment says, on PATH, fetched earlier, else fetched now.
pub(crate) fn provide(workspace: &Workspace) -> Result<QemuGa, String> {
    if let Some(chosen) = env::var_os(VARIABLE) {
        let chosen = QemuGa(chosen.into());
        chosen.check(workspace)?;
        return Ok(chosen);
    }
    if let Some(installed) = on_path("qemu-ga").map(QemuGa) {
        match installed.check(workspace) {
            Ok(()) => return Ok(installed),
            Err(reason) => eprintln!("not using the installed qemu-ga: {reason}"),
        }
    }
    let directory = workspace.tools().join("qemu-guest-agent");
    let fetched = QemuGa(directory.join("qemu-ga"));
    if fetched.check(workspace).is_err() {
        let fetch = Fetch {
            packages: &["qemu-guest-agent"],
            dependencies: debian::LIBRARIES,
            alone: &[],
            otherwise: &format!(
                "the tests need qemu-ga. It is not on PATH, and there is no apt-get here to fetch Debian's package \
                 `qemu-guest-agent` with. Install it, or let {VARIABLE} name it."
            ),
        };
        debian::fetch(workspace, &directory, &fetch)?;
        debian::write_starter(&directory, "qemu-ga", "usr/sbin/qemu-ga", &[])?;
        fetched.check(workspace)?;
    }
    Ok(fetched)
}

impl QemuGa {
    /// Tells the command's tests where the program is.
    pub(crate) fn given_to(&self, mut command: Command) -> Command {
        command.env(VARIABLE, &self.0);
        command
    }

    fn check(&self, workspace: &Workspace) -> Result<(), String> {
        let mut command = workspace.command(&self.0);
        command.arg("--version");
        let said = output(command)?;
        if said.contains("QEMU Guest Agent") {
            Ok(())
        } else {
            Err(format!("{} is no guest agent: {said}", self.0.display()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_is_no_agent_is_refused() {
        let wrong = QemuGa("/bin/true".into());
        let error = wrong.check(&Workspace::from_environment()).unwrap_err();
        assert!(error.contains("is no guest agent"), "{error}");
    }
}
