//! Licences, bans and sources of the dependencies, by the rules of `deny.toml`.

use std::fs;

use crate::workspace::{Workspace, run};

/// Pinned, since what a release accepts in `deny.toml` changes.
///
/// Compiled from source without optimisation or debug information: two minutes once, on two busy cores. The prebuilt
/// binaries in package registries are years old and know neither `Unicode-3.0` nor today's configuration; a check of our
/// own over `cargo metadata` would be a reader of licence expressions that nobody else tests.
const VERSION: &str = "0.20.2";

/// Checks the whole dependency graph, installing cargo-deny below `target/tools` first if it is not there.
///
/// Advisories are left out: their database is a Git repository that a machine without general network cannot reach.
pub(crate) fn check(workspace: &Workspace) -> Result<(), String> {
    let root = workspace.tools().join(format!("cargo-deny-{VERSION}"));
    let program = root.join("bin").join("cargo-deny");
    if !program.is_file() {
        eprintln!("installing cargo-deny {VERSION} below {}", workspace.tools().display());
        let build = workspace.tools().join("cargo-deny-build");
        let mut install = workspace.cargo(&["install", "--quiet", "--locked", "--debug", "--no-track", "--version"]);
        install
            .args([VERSION, "cargo-deny"])
            .arg("--root")
            .arg(&root)
            .arg("--target-dir")
            .arg(&build);
        install.env("CARGO_PROFILE_DEV_DEBUG", "0");
        run(install)?;
        fs::remove_dir_all(&build).map_err(|error| format!("cannot remove {}: {error}", build.display()))?;
    }
    let mut command = workspace.command(program);
    command.args(["--locked", "--workspace", "check", "licenses", "bans", "sources"]);
    run(command)
}
