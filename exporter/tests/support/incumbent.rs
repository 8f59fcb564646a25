//! A real prometheus-pve-exporter on a loopback port, for as long as a test holds it.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test crate includes this module and uses its own part of it"
)]
#![expect(clippy::unwrap_used, reason = "a fault of the set-up fails the test")]

use std::fs::{self, File};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// It takes a second on an idle machine.
const DEADLINE: Duration = Duration::from_secs(60);

/// A running one; killed when dropped, with its worker.
pub struct Incumbent {
    child: Child,
    directory: TempDir,
}

impl Incumbent {
    /// The program, with nothing of this process's environment but PATH.
    pub fn command() -> Command {
        let program: PathBuf = std::env::var_os("PVE_TEST_PVE_EXPORTER")
            .expect("no PVE_TEST_PVE_EXPORTER: run `cargo xtask test`, which provides it")
            .into();
        let mut command = Command::new(program);
        command.env_clear().stdin(Stdio::null());
        if let Some(path) = std::env::var_os("PATH") {
            command.env("PATH", path);
        }
        command
    }

    /// Starts a command of [`Self::command`].
    pub fn start(mut command: Command) -> Self {
        let directory = TempDir::new().unwrap();
        let log = File::create(directory.path().join("log")).unwrap();
        command
            .arg("--web.listen-address=127.0.0.1:0")
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            // So that its worker can be ended with it.
            .process_group(0);
        let child = command.spawn().unwrap();
        Self { child, directory }
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("log")).unwrap()
    }

    /// Where it serves, once it does.
    pub fn address(&mut self) -> SocketAddr {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let log = self.log();
            let listening = log.split_once("Listening at: http://");
            let address = listening.and_then(|(_, rest)| rest.split(' ').next()?.parse().ok());
            if let Some(address) = address.filter(|_| log.contains("Booting worker")) {
                return address;
            }
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none() && Instant::now() < deadline, "ended: {ended:?}\n{log}");
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Its processes: the one that starts the others, and the one that works.
    pub fn processes(&self) -> Vec<u32> {
        let parent = self.child.id();
        let children = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).unwrap();
        let children = children.split_whitespace().map(|pid| pid.parse().unwrap());
        [parent].into_iter().chain(children).collect()
    }
}

impl Drop for Incumbent {
    fn drop(&mut self) {
        let group = format!("-{}", self.child.id());
        let killed = Command::new("kill").args(["-s", "KILL", "--", &group]).status();
        drop((killed, self.child.wait()));
    }
}
