//! The prometheus-pve-exporter that tests compare with: named by the environment, or fetched below `target/tools`.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use crate::workspace::{Workspace, on_path, output, run};

/// What is documented is a comparison with this release.
const RELEASE: &str = "3.10.2";

const VARIABLE: &str = "PVE_TEST_PVE_EXPORTER";

/// A `pve_exporter` that runs on this machine.
#[derive(Debug)]
pub(crate) struct PveExporter(PathBuf);

/// Finds it: where the environment says, fetched earlier, else fetched now.
pub(crate) fn provide(workspace: &Workspace) -> Result<PveExporter, String> {
    if let Some(chosen) = env::var_os(VARIABLE) {
        let chosen = PveExporter(chosen.into());
        chosen.check(workspace)?;
        return Ok(chosen);
    }
    let directory = workspace.tools().join(format!("prometheus-pve-exporter-{RELEASE}"));
    let fetched = PveExporter(directory.join("bin").join("pve_exporter"));
    if fetched.check(workspace).is_err() {
        fetch(workspace, &directory)?;
        fetched.check(workspace)?;
    }
    Ok(fetched)
}

impl PveExporter {
    /// Tells the command's tests where the program is.
    pub(crate) fn given_to(&self, mut command: Command) -> Command {
        command.env(VARIABLE, &self.0);
        command
    }

    /// It starts, which needs all that it depends on, and has the flags of the release.
    fn check(&self, workspace: &Workspace) -> Result<(), String> {
        let mut command = workspace.command(&self.0);
        command.arg("--help");
        let said = output(command)?;
        if said.contains("--collector.qdevice") {
            Ok(())
        } else {
            Err(format!(
                "{} is no prometheus-pve-exporter {RELEASE}: {said}",
                self.0.display()
            ))
        }
    }
}

fn fetch(workspace: &Workspace, directory: &Path) -> Result<(), String> {
    let python = on_path("python3").ok_or_else(|| {
        format!(
            "the tests need prometheus-pve-exporter {RELEASE}, and there is no python3 here to install it with. Install \
             python3 and its venv module, or let {VARIABLE} name the program."
        )
    })?;
    eprintln!(
        "fetching prometheus-pve-exporter {RELEASE} from PyPI below {}",
        workspace.tools().display()
    );
    if directory.exists() {
        fs::remove_dir_all(directory).map_err(|error| format!("cannot remove {}: {error}", directory.display()))?;
    }
    let mut environment = workspace.command(python);
    environment.args(["-m", "venv"]).arg(directory);
    run(environment)?;
    let mut install = workspace.command(directory.join("bin").join("python3"));
    install.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
    install.arg(format!("prometheus-pve-exporter=={RELEASE}"));
    run(install)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_is_another_one_is_refused() {
        let wrong = PveExporter("/bin/true".into());
        let error = wrong.check(&Workspace::from_environment()).unwrap_err();
        assert!(error.contains("is no prometheus-pve-exporter"), "{error}");
    }
}
