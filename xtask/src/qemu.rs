//! The emulator that tests boot a guest in: found on this machine, or fetched below `target/tools`.

use std::env;
use std::path::PathBuf;
use std::process::Command;

use crate::debian::{self, Fetch};
use crate::workspace::{Workspace, on_path, output};

const VARIABLE: &str = "PVE_TEST_QEMU";
const PROGRAM: &str = "qemu-system-x86_64";

/// A `qemu-system-x86_64` that runs on this machine and needs no virtualisation of it.
#[derive(Debug)]
pub(crate) struct Qemu(PathBuf);

/// Finds QEMU: where the environment says, on PATH, fetched earlier, else fetched now.
pub(crate) fn provide(workspace: &Workspace) -> Result<Qemu, String> {
    if let Some(chosen) = env::var_os(VARIABLE) {
        let chosen = Qemu(chosen.into());
        chosen.check(workspace)?;
        return Ok(chosen);
    }
    if let Some(installed) = on_path(PROGRAM).map(Qemu) {
        match installed.check(workspace) {
            Ok(()) => return Ok(installed),
            Err(reason) => eprintln!("not using the installed QEMU: {reason}"),
        }
    }
    let directory = workspace.tools().join("qemu");
    let fetched = Qemu(directory.join(PROGRAM));
    if fetched.check(workspace).is_err() {
        let fetch = Fetch {
            packages: &["qemu-system-x86"],
            dependencies: debian::LIBRARIES,
            // Of these only files are needed, not what their programs depend on: the emulation of processors, which is a
            // module, and what firmware there is.
            alone: &["qemu-system-common", "qemu-system-data", "seabios"],
            otherwise: &format!(
                "the tests need {PROGRAM}. It is not on PATH, and there is no apt-get here to fetch Debian's package \
                 `qemu-system-x86` with. Install it, or let {VARIABLE} name it."
            ),
        };
        debian::fetch(workspace, &directory, &fetch)?;
        let firmware = |place| directory.join("usr/share").join(place).display().to_string();
        let places = ["-L".to_owned(), firmware("qemu"), "-L".to_owned(), firmware("seabios")];
        debian::write_starter(&directory, PROGRAM, &format!("usr/bin/{PROGRAM}"), &places)?;
        fetched.check(workspace)?;
    }
    Ok(fetched)
}

impl Qemu {
    /// Tells the command's tests where the program is.
    pub(crate) fn given_to(&self, mut command: Command) -> Command {
        command.env(VARIABLE, &self.0);
        command
    }

    fn check(&self, workspace: &Workspace) -> Result<(), String> {
        let mut command = workspace.command(&self.0);
        command.args(["-accel", "help"]);
        let said = output(command)?;
        if said.lines().any(|line| line == "tcg") {
            Ok(())
        } else {
            Err(format!(
                "{} does not emulate processors (tcg): {said}",
                self.0.display()
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_is_no_emulator_is_refused() {
        let wrong = Qemu("/bin/true".into());
        let error = wrong.check(&Workspace::from_environment()).unwrap_err();
        assert!(error.contains("does not emulate"), "{error}");
    }
}
