//! What a guest that tests boot is made of: a kernel with its modules, busybox, and QEMU's guest agent with its libraries. A test
//! packs it into an initial RAM disk itself.

use std::env;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::debian::{self, Fetch};
use crate::workspace::Workspace;

const VARIABLE: &str = "PVE_TEST_GUEST";

/// The directory that the packages are unpacked in.
#[derive(Debug)]
pub(crate) struct Guest(PathBuf);

/// Finds the parts: where the environment says, fetched earlier, else fetched now.
pub(crate) fn provide(workspace: &Workspace) -> Result<Guest, String> {
    if let Some(chosen) = env::var_os(VARIABLE) {
        let chosen = Guest(chosen.into());
        chosen.check()?;
        return Ok(chosen);
    }
    let fetched = Guest(workspace.tools().join("guest"));
    if fetched.check().is_err() {
        let fetch = Fetch {
            // The kernel for clouds boots fastest. This name stands for its newest release, which it depends on.
            packages: &["linux-image-cloud-amd64", "qemu-guest-agent"],
            dependencies: &["linux-image-", "lib"],
            alone: &["busybox-static", "libc6"],
            otherwise: &format!(
                "the tests boot a guest, and there is no apt-get here to fetch Debian's packages `linux-image-cloud-amd64`, \
                 `busybox-static` and `qemu-guest-agent` with. Unpack them with the libraries of the last into one \
                 directory, and let {VARIABLE} name it."
            ),
        };
        debian::fetch(workspace, &fetched.0, &fetch)?;
        fetched.check()?;
    }
    Ok(fetched)
}

impl Guest {
    /// Tells the command's tests where the parts are.
    pub(crate) fn given_to(&self, mut command: Command) -> Command {
        command.env(VARIABLE, &self.0);
        command
    }

    fn check(&self) -> Result<(), String> {
        let missing = |what: &str| format!("{} holds no {what}", self.0.display());
        let kernels = fs::read_dir(self.0.join("boot")).map_err(|_| missing("boot"))?;
        let is_kernel = |name: &str| name.starts_with("vmlinuz-");
        let mut names = kernels.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        if !names.any(|name| is_kernel(&name)) {
            return Err(missing("kernel boot/vmlinuz-*"));
        }
        for program in ["busybox", "qemu-ga"] {
            let places = ["bin", "usr/bin", "usr/sbin"];
            if !places.iter().any(|place| self.0.join(place).join(program).is_file()) {
                return Err(missing(program));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_without_the_parts_is_refused() {
        let error = Guest("/proc".into()).check().unwrap_err();
        assert_eq!(error, "/proc holds no boot");
    }
}
