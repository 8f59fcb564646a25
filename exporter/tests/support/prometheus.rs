//! A real Prometheus on a loopback port, for as long as a test holds it; and `promtool`.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test crate includes this module and uses its own part of it"
)]

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, thread};

use serde_json::Value;
use tempfile::TempDir;

/// It is ready within a second on an idle machine.
const START_DEADLINE: Duration = Duration::from_secs(60);
/// Longer than any query here takes, so that a hung server fails its test.
const REQUEST_DEADLINE: Duration = Duration::from_secs(30);
const POLL_INTERVAL: Duration = Duration::from_millis(50);
/// Between the choice of a port and its use, another process may take it.
const PORT_ATTEMPTS: u32 = 5;

/// A running server, stopped when dropped.
///
/// Its first sample of any target comes some 5 seconds after its start: that is how long it gathers discovered targets
/// before it looks at them, even those of the configuration.
pub struct Prometheus {
    server: Server,
    address: SocketAddr,
    directory: TempDir,
}

impl Prometheus {
    /// Starts a server that scrapes `http://TARGET/metrics` of each `host:port` every half second, as the job `test`.
    pub fn scraping(targets: &[&str]) -> Self {
        let targets = Value::from(targets);
        Self::with_config(&format!(
            "global: {{scrape_interval: 500ms, scrape_timeout: 500ms, evaluation_interval: 500ms}}\n\
             scrape_configs: [{{job_name: test, static_configs: [{{targets: {targets}}}]}}]\n"
        ))
    }

    /// Starts a server with a configuration of the test's own. Its relative paths start in [`Self::directory`].
    pub fn with_config(yaml: &str) -> Self {
        Self::with_files(yaml, &[])
    }

    /// Like [`Self::with_config`], with files beside the configuration, such as rules.
    pub fn with_files(yaml: &str, files: &[(&str, &str)]) -> Self {
        let directory = TempDir::new().expect("a temporary directory");
        for (name, content) in files.iter().chain(&[("prometheus.yml", yaml)]) {
            fs::write(directory.path().join(name), content).expect("a file in the temporary directory");
        }
        Self::below(directory)
    }

    /// Starts a server that scrapes nothing, on the blocks that the test has made in `data` of the directory.
    pub fn with_blocks(directory: TempDir) -> Self {
        fs::write(directory.path().join("prometheus.yml"), "").expect("a file in the temporary directory");
        Self::below(directory)
    }

    fn below(mut directory: TempDir) -> Self {
        let program = program("prometheus", "PVE_TEST_PROMETHEUS");
        for _ in 0..PORT_ATTEMPTS {
            let address = free_port();
            let server = Server::start(&program, directory.path(), address);
            let mut prometheus = Self {
                server,
                address,
                directory,
            };
            if prometheus.is_ready() {
                return prometheus;
            }
            let log = prometheus.log();
            assert!(
                log.contains("address already in use"),
                "Prometheus did not start:\n{log}"
            );
            directory = prometheus.directory;
        }
        panic!("{PORT_ATTEMPTS} free ports in a row were taken by others before Prometheus could bind them");
    }

    /// Where its API listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The directory of its configuration.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }

    /// The `result` of an instant query: for a vector, an array of `{"metric": {...}, "value": [time, "text"]}`.
    pub fn query(&self, promql: &str) -> Value {
        self.data(&format!("/api/v1/query?query={}", percent_encoded(promql)))["result"].take()
    }

    /// Asks until the result satisfies the test, and returns it.
    ///
    /// # Panics
    ///
    /// If that takes longer than the deadline; then says what came last.
    pub fn wait_for(&self, promql: &str, satisfies: impl Fn(&Value) -> bool, deadline: Duration) -> Value {
        let end = Instant::now() + deadline;
        loop {
            let result = self.query(promql);
            if satisfies(&result) {
                return result;
            }
            assert!(
                Instant::now() < end,
                "`{promql}` still gives {result} after {deadline:?}\n{}",
                self.log()
            );
            thread::sleep(POLL_INTERVAL);
        }
    }

    /// What it knows of each metric of each target: an array of `{"target", "metric", "type", "help", "unit"}`.
    pub fn metadata(&self) -> Value {
        self.data("/api/v1/targets/metadata")
    }

    /// The `data` of an API answer.
    pub fn data(&self, path_and_query: &str) -> Value {
        let (status, body) = get(self.address, path_and_query)
            .unwrap_or_else(|error| panic!("GET {path_and_query}: {error}\n{}", self.log()));
        let mut answer: Value =
            serde_json::from_str(&body).unwrap_or_else(|error| panic!("GET {path_and_query}: {error}: {body}"));
        assert_eq!(
            (status, answer["status"].as_str()),
            (200, Some("success")),
            "GET {path_and_query}: {body}"
        );
        answer["data"].take()
    }

    /// Waits until it answers requests. False if it ended instead.
    fn is_ready(&mut self) -> bool {
        let end = Instant::now() + START_DEADLINE;
        loop {
            if matches!(get(self.address, "/-/ready"), Ok((200, _))) && self.is_ours() {
                return true;
            }
            if !self.server.lives() {
                return false;
            }
            assert!(
                Instant::now() < end,
                "Prometheus was not ready after {START_DEADLINE:?}:\n{}",
                self.log()
            );
            thread::sleep(POLL_INTERVAL);
        }
    }

    /// Whether who answers is our process, and not one that took the port before it: the temporary directory tells.
    fn is_ours(&self) -> bool {
        let name = self.directory.path().file_name().and_then(|name| name.to_str());
        get(self.address, "/api/v1/status/runtimeinfo")
            .is_ok_and(|(_, body)| name.is_some_and(|name| body.contains(name)))
    }
}

/// Lints an exposition in the classic text format, the only one that promtool reads.
pub fn promtool_check_metrics(text: &str) -> Result<(), String> {
    promtool(&["check", "metrics"], Path::new("."), text)
}

/// Where promtool is.
pub fn promtool_path() -> PathBuf {
    program("promtool", "PVE_TEST_PROMTOOL")
}

/// Runs promtool in a directory. The error is all that it printed.
pub fn promtool(arguments: &[&str], directory: &Path, input: &str) -> Result<(), String> {
    let mut child = Command::new(promtool_path())
        .args(arguments)
        .current_dir(directory)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("promtool could not be started: {error}"))?;
    let mut stdin = child.stdin.take().ok_or("promtool has no standard input")?;
    // On a thread of its own: it may print more than a pipe holds before it has read everything.
    let input = input.to_owned();
    let writer = thread::spawn(move || stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output().map_err(|error| format!("promtool: {error}"))?;
    let written = writer.join().map_err(|_| "writing to promtool panicked")?;
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        return Err(format!(
            "promtool {} ended with {}:\n{said}",
            arguments.join(" "),
            output.status
        ));
    }
    written.map_err(|error| format!("promtool did not read its input: {error}"))
}

/// The process, ended when dropped.
struct Server {
    child: Child,
}

impl Server {
    fn start(program: &Path, directory: &Path, address: SocketAddr) -> Self {
        let log = File::create(directory.join("log")).expect("a log in the temporary directory");
        let child = Command::new(program)
            .current_dir(directory)
            .arg("--config.file=prometheus.yml")
            .arg("--storage.tsdb.path=data")
            // Blocks of the past are there to stay.
            .arg("--storage.tsdb.retention.time=10y")
            .arg(format!("--web.listen-address={address}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap_or_else(|error| panic!("{} could not be started: {error}", program.display()));
        Self { child }
    }

    fn lives(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It fails only if the process has ended, and there is no data to keep: no need for a graceful end.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn program(name: &str, variable: &str) -> PathBuf {
    if let Some(path) = env::var_os(variable) {
        return path.into();
    }
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .map(|directory| directory.join(name))
        .find(|candidate| candidate.is_file())
        .unwrap_or_else(|| panic!("no `{name}` on PATH and no {variable}: run `cargo xtask test`, which provides it"))
}

/// A loopback port that was free a moment ago.
fn free_port() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a loopback port");
    listener.local_addr().expect("the port just bound")
}

/// One request in HTTP/1.0: the answer ends where the connection does, so there is nothing to decode.
fn get(address: SocketAddr, path_and_query: &str) -> io::Result<(u16, String)> {
    let mut stream = TcpStream::connect_timeout(&address, REQUEST_DEADLINE)?;
    stream.set_read_timeout(Some(REQUEST_DEADLINE))?;
    write!(stream, "GET {path_and_query} HTTP/1.0\r\nHost: {address}\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let malformed = || io::Error::new(io::ErrorKind::InvalidData, format!("no HTTP answer: {answer}"));
    let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(malformed)?;
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok())
        .ok_or_else(malformed)?;
    Ok((status, body.to_owned()))
}

fn percent_encoded(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() {
            encoded.push(char::from(byte));
        } else {
            write!(encoded, "%{byte:02X}").expect("a String takes everything");
        }
    }
    encoded
}
