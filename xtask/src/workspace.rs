//! Where the repository and its build directory are, and how commands are run there.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, io};

/// The checkout that the task works on.
pub(crate) struct Workspace {
    root: PathBuf,
    target: PathBuf,
    tools: PathBuf,
    cargo: PathBuf,
}

impl Workspace {
    /// The checkout that `cargo xtask` was called in.
    pub(crate) fn from_environment() -> Self {
        // Cargo says at run time where the package is; the place at compile time is wrong once the checkout has moved.
        let package =
            env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
        let root = package.parent().map_or_else(|| package.clone(), Path::to_path_buf);
        // If relative, then to where cargo was called, as cargo reads it.
        let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
        let target = std::path::absolute(&target).unwrap_or(target);
        let cargo = env::var_os("CARGO").map_or_else(|| "cargo".into(), PathBuf::from);
        Self {
            root,
            tools: target.join("tools"),
            target,
            cargo,
        }
    }

    /// The build directory.
    pub(crate) fn target(&self) -> &Path {
        &self.target
    }

    /// The directory for outside tools: below the build directory, so that `cargo clean` removes them.
    pub(crate) fn tools(&self) -> &Path {
        &self.tools
    }

    /// `cargo` with these arguments, as if typed in the root of the checkout.
    pub(crate) fn cargo(&self, arguments: &[&str]) -> Command {
        let mut command = self.command(&self.cargo);
        command.args(arguments);
        command
    }

    /// A program started in the root of the checkout.
    pub(crate) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.root);
        if env::var_os("CARGO_TARGET_DIR").is_some() {
            command.env("CARGO_TARGET_DIR", &self.target);
        }
        // What `cargo run` tells this program about itself: build scripts that watch these would compile their crates
        // again each time a contributor changes between `cargo xtask` and plain cargo.
        for (key, _) in env::vars_os() {
            if key
                .to_str()
                .is_some_and(|key| key.starts_with("CARGO_PKG_") || key.starts_with("CARGO_MANIFEST_"))
            {
                command.env_remove(key);
            }
        }
        command
    }
}

/// Runs a command to its end, its output going where ours goes.
pub(crate) fn run(mut command: Command) -> Result<(), String> {
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("`{}` ended with {status}", typed(&command))),
        Err(error) => Err(not_started(&command, &error)),
    }
}

/// Runs a command to its end and returns what it printed, on both streams.
pub(crate) fn output(mut command: Command) -> Result<String, String> {
    let output = command.output().map_err(|error| not_started(&command, &error))?;
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    if output.status.success() {
        Ok(text.into_owned())
    } else {
        Err(format!(
            "`{}` ended with {}: {}",
            typed(&command),
            output.status,
            text.trim_end()
        ))
    }
}

/// The first executable of this name on PATH.
pub(crate) fn on_path(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path)
        .map(|directory| directory.join(program))
        .find(|candidate| candidate.is_file())
}

fn not_started(command: &Command, error: &io::Error) -> String {
    format!("`{}` could not be started: {error}", typed(command))
}

/// The command as a person would type it: the program's name without its directory.
fn typed(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let mut text = program
        .file_name()
        .unwrap_or(program.as_os_str())
        .to_string_lossy()
        .into_owned();
    for argument in command.get_args() {
        text.push(' ');
        text += &argument.to_string_lossy();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_is_the_directory_above_this_package() {
        assert!(Workspace::from_environment().root.join("xtask/Cargo.toml").is_file());
    }

    #[test]
    fn a_failure_names_the_command_and_its_status() {
        let workspace = Workspace::from_environment();
        let mut command = workspace.command("/bin/sh");
        command.args(["-c", "exit 3"]);
        assert_eq!(run(command), Err("`sh -c exit 3` ended with exit status: 3".to_owned()));
    }

    #[test]
    fn a_missing_program_is_named() {
        let error = run(Workspace::from_environment().command("no-such-program")).unwrap_err();
        assert!(error.starts_with("`no-such-program` could not be started: "), "{error}");
    }

    #[test]
    fn output_holds_both_streams() {
        let mut command = Workspace::from_environment().command("/bin/sh");
        command.args(["-c", "echo out; echo err >&2"]);
        assert_eq!(output(command), Ok("out\nerr\n".to_owned()));
    }

    #[test]
    fn programs_are_found_on_the_path() {
        assert!(on_path("sh").is_some_and(|path| path.is_absolute()));
        assert_eq!(on_path("no-such-program"), None);
    }
}
