//! Debian's packages, unpacked below `target/tools`. Never installed: that needs root, and would start a server on every
//! contributor's machine.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use crate::workspace::{Workspace, on_path, output, run};

/// What everything depends on: that of this machine is used, with its loader.
const LIBC: &str = "libc6";

/// What they depend on as well, for programs that are to run.
pub(crate) const LIBRARIES: &[&str] = &["lib"];

/// What is fetched.
pub(crate) struct Fetch<'a> {
    pub(crate) packages: &'a [&'a str],
    /// How the names begin of what comes with these, of all that they depend on.
    pub(crate) dependencies: &'a [&'a str],
    /// Packages that come without what they depend on.
    pub(crate) alone: &'a [&'a str],
    /// What to say where there is no apt.
    pub(crate) otherwise: &'a str,
}

/// Unpacks packages into `directory`.
pub(crate) fn fetch(workspace: &Workspace, directory: &Path, wanted: &Fetch<'_>) -> Result<(), String> {
    let (Some(apt_get), Some(dpkg_deb)) = (on_path("apt-get"), on_path("dpkg-deb")) else {
        return Err(wanted.otherwise.to_owned());
    };
    let names = [wanted.packages, wanted.alone].concat().join("`, `");
    eprintln!("fetching Debian's `{names}` below {}", workspace.tools().display());
    let name = directory.file_name().unwrap_or_default().display();
    let partial = workspace.tools().join(format!("{name}-partial"));
    remove_if_there(&partial)?;
    // Lists and cache of our own, so that it works without root and when apt's own lists are old or were never fetched.
    let (lists, cache) = (partial.join("lists"), partial.join("cache"));
    for folder in [lists.join("partial"), cache.join("archives").join("partial")] {
        create(&folder)?;
    }
    let apt = |directory: &Path, action: &str| {
        let mut command = workspace.command(&apt_get);
        command
            .current_dir(directory)
            .args(["-qq", "-o", "Acquire::Retries=3", "-o", "Acquire::Languages=none"]);
        command.arg("-o").arg(format!("Dir::State::Lists={}", lists.display()));
        command.arg("-o").arg(format!("Dir::Cache={}", cache.display()));
        // apt's own user may not be able to enter the checkout.
        command.args(["-o", "APT::Sandbox::User=root", action]);
        command
    };
    // Not fatal: one unreachable repository fails the whole update, and a Proxmox VE host without a subscription has one.
    let updated = run(apt(&partial, "update"));
    let unpacked = partial.join("unpacked");
    // In as few calls as there are levels of dependencies: each has to read the lists.
    let get = |packages: &BTreeSet<String>, archives: &Path| -> Result<_, String> {
        create(archives)?;
        let mut download = apt(archives, "download");
        download.args(packages);
        run(download).map_err(|error| match &updated {
            Ok(()) => error,
            Err(earlier) => format!("{earlier}, then {error}"),
        })?;
        let archives = entries(archives)?;
        for archive in &archives {
            let mut unpack = workspace.command(&dpkg_deb);
            unpack.arg("-x").arg(archive).arg(&unpacked);
            run(unpack)?;
        }
        Ok(archives)
    };
    let alone = named(wanted.alone);
    if !alone.is_empty() {
        get(&alone, &partial.join("alone"))?;
    }
    let (mut level, mut seen) = (named(wanted.packages), named(&[LIBC]));
    while !level.is_empty() {
        let archives = get(&level, &partial.join(format!("level-{}", seen.len())))?;
        seen.append(&mut level);
        for archive in archives {
            let mut depends = workspace.command(&dpkg_deb);
            depends.arg("-f").arg(&archive).arg("Depends");
            level.extend(needed(&output(depends)?, wanted.dependencies));
        }
        level.retain(|package| !seen.contains(package));
    }
    remove_if_there(directory)?;
    // The last act, so that an interrupted fetch leaves nothing that looks complete.
    fs::rename(&unpacked, directory).map_err(|error| format!("cannot create {}: {error}", directory.display()))?;
    remove_if_there(&partial)
}

fn named(packages: &[&str]) -> BTreeSet<String> {
    packages.iter().map(|package| (*package).to_owned()).collect()
}

/// Those with these beginnings out of `libc6 (>= 2.34), libglib2.0-0 (>= 2.63.3) | x, init-system-helpers`.
fn needed(depends: &str, beginnings: &[&str]) -> Vec<String> {
    let first = |dependency: &str| {
        dependency
            .split(['(', '|', ':'])
            .next()
            .unwrap_or_default()
            .trim()
            .to_owned()
    };
    let names = depends.split(',').map(first);
    names
        .filter(|name| beginnings.iter().any(|beginning| name.starts_with(beginning)))
        .collect()
}

/// Writes a script `name` into the directory of an unpacked package that starts a program of it with its own libraries and with
/// these arguments before those that come; its process becomes that of the program.
pub(crate) fn write_starter(directory: &Path, name: &str, program: &str, arguments: &[String]) -> Result<(), String> {
    let libraries = library_directories(directory)?;
    let libraries: Vec<_> = libraries.iter().map(|path| path.display().to_string()).collect();
    let mut script = format!(
        "#!/bin/sh\nLD_LIBRARY_PATH='{}' exec '{}'",
        libraries.join(":"),
        directory.join(program).display()
    );
    for argument in arguments {
        script += &format!(" '{argument}'");
    }
    script += " \"$@\"\n";
    let starter = directory.join(name);
    fs::write(&starter, script)
        .and_then(|()| fs::set_permissions(&starter, fs::Permissions::from_mode(0o755)))
        .map_err(|error| format!("cannot write {}: {error}", starter.display()))
}

/// Where the libraries of an unpacked package are.
fn library_directories(directory: &Path) -> Result<Vec<PathBuf>, String> {
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
            needed(
                "libc6 (>= 2.34), libglib2.0-0 (>= 2.63.3) | libx, init-system-helpers, liburing2:any (>= 2.3)\n",
                LIBRARIES
            ),
            ["libc6", "libglib2.0-0", "liburing2"]
        );
        assert_eq!(needed("", LIBRARIES), [""; 0]);
    }
}
