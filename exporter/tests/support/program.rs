//! The program itself, as a child process with its output in files.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test crate includes this module and uses its own part of it"
)]
#![expect(clippy::unwrap_used, reason = "a fault of the set-up fails the test")]

use std::fs::{self, File, Permissions};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

const DEADLINE: Duration = Duration::from_secs(60);

/// The program with these arguments and nothing of this process's environment.
pub fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pve-exporter"));
    command.env_clear().args(arguments).stdin(Stdio::null());
    command
}

/// Runs the program to its end.
pub fn run(arguments: &[&str]) -> Output {
    command(arguments).output().unwrap()
}

/// Writes a file with this mode.
pub fn write(path: &Path, text: &str, mode: u32) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// A running program; killed when dropped.
pub struct Program {
    child: Child,
    output: TempDir,
}

impl Program {
    /// Starts a command of [`command`].
    pub fn start(mut command: Command) -> Self {
        let output = TempDir::new().unwrap();
        let file = |name: &str| File::create(output.path().join(name)).unwrap();
        // Killed, it takes nothing away.
        command.env("TMPDIR", output.path());
        let child = command.stdout(file("stdout")).stderr(file("stderr")).spawn().unwrap();
        Self { child, output }
    }

    /// Starts the demo on a port that the kernel chooses.
    pub fn demo(arguments: &[&str]) -> Self {
        let mut command = command(&["demo", "--web.listen-address", "127.0.0.1:0"]);
        command.args(arguments);
        Self::start(command)
    }

    /// How many temporary directories it has.
    pub fn directories(&self) -> usize {
        let entries = fs::read_dir(self.output.path()).unwrap();
        entries.filter(|entry| entry.as_ref().unwrap().path().is_dir()).count()
    }

    /// What it printed.
    pub fn stdout(&self) -> String {
        fs::read_to_string(self.output.path().join("stdout")).unwrap()
    }

    /// What it logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.output.path().join("stderr")).unwrap()
    }

    /// Where it serves, as the demo's text or the log says.
    pub fn address(&mut self) -> SocketAddr {
        self.wait_for("its address", |program| {
            let (printed, log) = (program.stdout(), program.log());
            let after = |text: &str, mark: &str| {
                let (_, rest) = text.split_once(mark)?;
                rest.split(|c: char| !(c.is_ascii_digit() || matches!(c, '.' | ':')))
                    .next()?
                    .parse()
                    .ok()
            };
            after(&printed, "http://")
                .or_else(|| after(&log, "address="))
                .or_else(|| after(&log, "\"address\":\""))
        })
    }

    /// Waits until its log has this text.
    pub fn wait_for_log(&mut self, text: &str) {
        self.wait_for(text, |program| program.log().contains(text).then_some(()));
    }

    /// Waits until `found` finds something; fails the test when the program ends first or it takes too long.
    pub fn wait_for<T>(&mut self, what: &str, found: impl Fn(&Self) -> Option<T>) -> T {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let ended = self.child.try_wait().unwrap();
            if let Some(found) = found(self) {
                return found;
            }
            assert!(
                ended.is_none() && Instant::now() < deadline,
                "no {what}; ended: {ended:?}\n{}\n{}",
                self.stdout(),
                self.log()
            );
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Sends a signal, such as `TERM`.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill")
            .args(["-s", name, &self.child.id().to_string()])
            .status()
            .unwrap();
        assert!(sent.success());
    }

    /// Waits for its end.
    pub fn ended(&mut self) -> ExitStatus {
        let deadline = Instant::now() + DEADLINE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "it does not end\n{}", self.log());
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// A file of /proc about it.
    pub fn proc_file(&self, name: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/{name}", self.child.id()))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It fails only if the process has ended.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
