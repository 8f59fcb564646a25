//! node_exporter with its default collectors, on a loopback port of the kernel's choice.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, thread};

use tempfile::TempDir;

use crate::page::Page;

/// It listens within a tenth of a second on an idle machine.
const DEADLINE: Duration = Duration::from_secs(60);

/// A running node_exporter, stopped when dropped.
pub(crate) struct NodeExporter {
    child: Child,
    pub(crate) address: SocketAddr,
    _record: Option<TempDir>,
}

impl NodeExporter {
    /// Of this machine.
    pub(crate) fn start() -> Self {
        Self::with(&[], None)
    }

    /// Of a recorded one: what /proc and /sys below `tree` say. What it asks the kernel itself is still of this machine; that it
    /// asks for interfaces and neighbours can be switched off, and file systems are not in the record at all.
    pub(crate) fn of_record(tree: &Path) -> Self {
        let directory = TempDir::new().unwrap();
        let (sys, recorded) = (directory.path().join("sys"), tree.join("sys"));
        let (system, of_record) = (sys.join("devices/system"), recorded.join("devices/system"));
        // It does not expect a machine without CPUs there.
        fs::create_dir_all(system.join("cpu/cpu0")).unwrap();
        symlink(recorded.join("class"), sys.join("class")).unwrap();
        symlink(of_record.join("clocksource"), system.join("clocksource")).unwrap();
        let known = Command::new(path()).arg("--help").output().unwrap();
        let known = String::from_utf8_lossy(&known.stdout) + String::from_utf8_lossy(&known.stderr);
        let mut arguments = vec!["--no-collector.filesystem".to_owned()];
        for asked in ["arp", "netdev"] {
            if known.contains(&format!("collector.{asked}.netlink")) {
                arguments.push(format!("--no-collector.{asked}.netlink"));
            }
        }
        for (name, path) in [
            ("procfs", tree.join("proc")),
            ("sysfs", sys),
            ("rootfs", tree.to_owned()),
        ] {
            arguments.push(format!("--path.{name}={}", path.display()));
        }
        Self::with(&arguments, Some(directory))
    }

    fn with(arguments: &[String], record: Option<TempDir>) -> Self {
        let directory = TempDir::new().unwrap();
        let log = directory.path().join("log");
        let mut child = Command::new(path())
            .arg("--web.listen-address=127.0.0.1:0")
            .args(arguments)
            // The zone of this shell is not that of the machine.
            .env_remove("TZ")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let end = Instant::now() + DEADLINE;
        let address = loop {
            let said = fs::read_to_string(&log).unwrap();
            if let Some(address) = address(&said) {
                break address;
            }
            let ended = child.try_wait().unwrap();
            assert!(ended.is_none() && Instant::now() < end, "it does not listen:\n{said}");
            thread::sleep(Duration::from_millis(10));
        };
        Self {
            child,
            address,
            _record: record,
        }
    }

    /// What it shows now.
    pub(crate) fn scrape(&self) -> Page {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(" 200 "), "{answer}");
        Page::read(body)
    }
}

impl Drop for NodeExporter {
    fn drop(&mut self) {
        // It fails only if the process has ended.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Where its log says that it listens.
fn address(log: &str) -> Option<SocketAddr> {
    let (_, said) = log.split_once("msg=\"Listening on\" address=")?;
    let (address, _) = said.split_once([' ', '\n'])?;
    address.parse().ok()
}

fn path() -> PathBuf {
    if let Some(path) = env::var_os("PVE_TEST_NODE_EXPORTER") {
        return path.into();
    }
    let directories: Vec<PathBuf> = env::split_paths(&env::var_os("PATH").unwrap_or_default()).collect();
    let mut candidates = ["prometheus-node-exporter", "node_exporter"]
        .iter()
        .flat_map(|name| directories.iter().map(move |directory| directory.join(name)));
    candidates.find(|candidate| candidate.is_file()).unwrap_or_else(|| {
        panic!("no node_exporter on PATH and no PVE_TEST_NODE_EXPORTER: run `cargo xtask test`, which provides it")
    })
}
