//! Debian's packages, unpacked below `target/tools`. Never installed: that needs root, and would start a server on every
//! contributor's machine.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::workspace::{Workspace, on_path, output, run};

/// What everything depends on: that of this machine is used, with its loader.
const LIBC: &str = "libc6";

/// What is fetched.
pub(crate) struct Fetch<'a> {
    pub(crate) package: &'a str,
    /// Whether the libraries that it depends on come with it.
    pub(crate) with_libraries: bool,
    /// What to say where there is no apt.
    pub(crate) otherwise: &'a str,
}

/// Unpacks a package into `directory`.
pub(crate) fn fetch(workspace: &Workspace, directory: &Path, wanted: &Fetch<'_>) -> Result<(), String> {
    let (Some(apt_get), Some(dpkg_deb)) = (on_path("apt-get"), on_path("dpkg-deb")) else {
        return Err(wanted.otherwise.to_owned());
    };
    let package = wanted.package;
    eprintln!(
        "fetching Debian's package `{package}` below {}",
        workspace.tools().display()
    );
    let partial = workspace.tools().join(format!("{package}-partial"));
    remove_if_there(&partial)?;
    // Lists and cache of our own, so that it works without root and when apt's own lists are old or were never fetched.
    let (lists, cache) = (partial.join("lists"), partial.join("cache"));
    for needed in [lists.join("partial"), cache.join("archives").join("partial")] {
        create(&needed)?;
    }
    let apt = |directory: &Path, arguments: &[&str]| {
        let mut command = workspace.command(&apt_get);
        command
            .current_dir(directory)
            .args(["-qq", "-o", "Acquire::Retries=3", "-o", "Acquire::Languages=none"]);
        command.arg("-o").arg(format!("Dir::State::Lists={}", lists.display()));
        command.arg("-o").arg(format!("Dir::Cache={}", cache.display()));
        // apt's own user may not be able to enter the checkout.
        command.args(["-o", "APT::Sandbox::User=root"]).args(arguments);
        command
    };
    // Not fatal: one unreachable repository fails the whole update, and a Proxmox VE host without a subscription has one.
    let updated = run(apt(&partial, &["update"]));
    let unpacked = partial.join("unpacked");
    let (mut wait, mut seen) = (vec![package.to_owned()], BTreeSet::new());
    while let Some(package) = wait.pop() {
        if !seen.insert(package.clone()) {
            continue;
        }
        let own = partial.join(&package);
        create(&own)?;
        run(apt(&own, &["download", &package])).map_err(|error| match &updated {
            Ok(()) => error,
            Err(earlier) => format!("{earlier}, then {error}"),
        })?;
        let archive = downloaded(&own)?;
        let mut unpack = workspace.command(&dpkg_deb);
        unpack.arg("-x").arg(&archive).arg(&unpacked);
        run(unpack)?;
        if wanted.with_libraries {
            let mut depends = workspace.command(&dpkg_deb);
            depends.arg("-f").arg(&archive).arg("Depends");
            wait.extend(libraries(&output(depends)?));
        }
    }
    remove_if_there(directory)?;
    // The last act, so that an interrupted fetch leaves nothing that looks complete.
    fs::rename(&unpacked, directory).map_err(|error| format!("cannot create {}: {error}", directory.display()))?;
    remove_if_there(&partial)
}

/// The libraries out of `libc6 (>= 2.34), libglib2.0-0 (>= 2.63.3) | x, init-system-helpers`.
fn libraries(depends: &str) -> Vec<String> {
    let first = |dependency: &str| {
        dependency
            .split(['(', '|', ':'])
            .next()
            .unwrap_or_default()
            .trim()
            .to_owned()
    };
    let names = depends.split(',').map(first);
    names.filter(|name| name.starts_with("lib") && name != LIBC).collect()
}

/// Where the libraries of an unpacked package are.
pub(crate) fn library_directories(directory: &Path) -> Result<Vec<PathBuf>, String> {
    let mut found = Vec::new();
    for parent in [directory.join("lib"), directory.join("usr").join("lib")] {
        if parent.is_dir() {
            let below = entries(&parent)?;
            found.extend(below.into_iter().filter(|path| path.is_dir()));
        }
    }
    Ok(found)
}

fn entries(directory: &Path) -> Result<Vec<PathBuf>, String> {
    let unreadable = |error| format!("cannot read {}: {error}", directory.display());
    let entries = fs::read_dir(directory).map_err(unreadable)?;
    entries
        .map(|entry| entry.map(|entry| entry.path()).map_err(unreadable))
        .collect()
}

fn downloaded(directory: &Path) -> Result<PathBuf, String> {
    let mut entries = entries(directory)?.into_iter();
    entries
        .find(|path| path.extension().is_some_and(|extension| extension == "deb"))
        .ok_or_else(|| format!("apt-get left no package in {}", directory.display()))
}

fn create(directory: &Path) -> Result<(), String> {
    fs::create_dir_all(directory).map_err(|error| format!("cannot create {}: {error}", directory.display()))
}

fn remove_if_there(directory: &Path) -> Result<(), String> {
    if directory.exists() {
        fs::remove_dir_all(directory).map_err(|error| format!("cannot remove {}: {error}", directory.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_read_from_dependencies() {
        assert_eq!(
            libraries(
                "libc6 (>= 2.34), libglib2.0-0 (>= 2.63.3) | libx, init-system-helpers, liburing2:any (>= 2.3)\n"
            ),
            ["libglib2.0-0", "liburing2"]
        );
        assert_eq!(libraries(""), [""; 0]);
    }
}
