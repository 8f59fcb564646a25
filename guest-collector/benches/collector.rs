//! What a sample costs, beside node_exporter where there is one: CPU time as the kernel accounts it, memory, and system calls.
//!
//! `cargo xtask bench` prints it, of the program as guests get it; nothing here fails for being slow. All run side by side, one sample a second,
//! for as long as 200 samples take.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark prints, and ends where its set-up fails"
)]

#[path = "../tests/support/terminal.rs"]
mod terminal;

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, thread};

use rustix::process::{Pid, Signal, kill_process};

const SAMPLES: u32 = 200;

/// What comes before is not measured: files are opened, memory is filled.
const WARM_UP: u32 = 5;

/// CPU, memory, disk I/O, network, load and file systems.
const SIX: &[&str] = &["--only", "kernel,cpus,memory,disks,network,load,file_systems"];

fn main() {
    // `cargo bench` passes it; whoever runs this otherwise wants it compiled only.
    if !env::args().any(|argument| argument == "--bench") {
        return;
    }
    let program =
        env::var_os("PVE_TEST_GUEST_COLLECTOR").unwrap_or_else(|| env!("CARGO_BIN_EXE_pve-guest-collector").into());
    println!("{}: {} bytes", program.display(), fs::metadata(&program).unwrap().len());
    println!(
        "{:<32}{:>14}{:>14}{:>14}{:>12}",
        "", "CPU ms/sample", "resident kB", "calls/sample", "bytes"
    );
    thread::scope(|scope| {
        scope.spawn(|| collector("collector, six areas", &program, SIX));
        scope.spawn(|| collector("collector, all areas", &program, &[]));
        if let Some(other) = env::var_os("PVE_TEST_NODE_EXPORTER") {
            scope.spawn(move || node_exporter(&other));
        }
    });
}

fn collector(name: &str, program: &OsString, areas: &[&str]) {
    let mut running = Collector::start(Command::new(program), areas);
    for _ in 0..WARM_UP {
        running.sample();
    }
    let before = cpu(&running.child);
    let bytes = (0..SAMPLES).map(|_| running.sample()).last().unwrap();
    let cpu = cpu(&running.child) - before;
    let resident = resident(&running.child);
    drop(running);
    print(name, cpu, resident, calls(program, areas), bytes);
}

/// System calls of one sample, where there is strace. A terminal's own edges are among them.
fn calls(program: &OsString, areas: &[&str]) -> Option<f64> {
    let log = tempfile::NamedTempFile::new().unwrap();
    let mut strace = Command::new("strace");
    strace.arg("-f").arg("-o").arg(log.path()).arg(program);
    let exists = Command::new("strace").arg("-V").stdout(Stdio::null()).status().is_ok();
    if !exists {
        return None;
    }
    let mut running = Collector::start(strace, areas);
    // As many as a minute holds would show what is sampled now and then as well.
    for _ in 0..WARM_UP + 20 {
        running.sample();
    }
    drop(running);
    let text = fs::read_to_string(log.path()).unwrap();
    let sent: Vec<usize> = text
        .lines()
        .enumerate()
        .filter(|(_, line)| line.contains(" write(") && line.contains("jsonrpc"))
        .map(|(index, _)| index)
        .collect();
    let (first, last) = (sent.get(4)?, sent.get(24)?);
    Some((last - first) as f64 / 20.0)
}

fn node_exporter(program: &OsString) {
    let collectors = ["cpu", "diskstats", "filesystem", "loadavg", "meminfo", "netdev", "stat"];
    let log = tempfile::NamedTempFile::new().unwrap();
    let mut command = Command::new(program);
    command.args(["--web.listen-address=127.0.0.1:0", "--collector.disable-defaults"]);
    command.args(collectors.map(|name| format!("--collector.{name}")));
    let mut child = command.stderr(File::create(log.path()).unwrap()).spawn().unwrap();
    let address = loop {
        let said = fs::read_to_string(log.path()).unwrap();
        let found = said.split("127.0.0.1:").nth(1).and_then(|rest| {
            rest.split(|letter: char| !letter.is_ascii_digit())
                .next()
                .filter(|port| !port.is_empty() && *port != "0")
        });
        match found {
            Some(port) => break format!("127.0.0.1:{port}"),
            None => thread::sleep(Duration::from_millis(50)),
        }
    };
    let mut before = 0.0;
    let mut bytes = 0;
    let start = Instant::now();
    for sample in 0..WARM_UP + SAMPLES {
        thread::sleep((start + Duration::from_secs(1) * sample).saturating_duration_since(Instant::now()));
        if sample == WARM_UP {
            before = cpu(&child);
        }
        let mut connection = TcpStream::connect(&address).unwrap();
        connection.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").unwrap();
        let mut answer = Vec::new();
        connection.read_to_end(&mut answer).unwrap();
        bytes = answer.len();
    }
    let cpu = cpu(&child) - before;
    print("node_exporter, the same", cpu, resident(&child), None, bytes);
    child.kill().unwrap();
    child.wait().unwrap();
}

fn print(name: &str, cpu: f64, resident: u64, calls: Option<f64>, bytes: usize) {
    let cpu = cpu / f64::from(SAMPLES);
    let calls = calls.map_or_else(|| "-".to_owned(), |calls| format!("{calls:.1}"));
    println!("{name:<32}{cpu:>14.3}{resident:>14}{calls:>14}{bytes:>12}");
}

/// A collector that publishes every second, and its host.
struct Collector {
    child: Child,
    host: BufReader<File>,
    unread: usize,
}

impl Collector {
    fn start(mut command: Command, areas: &[&str]) -> Self {
        let (mut host, port) = terminal::terminal();
        command.args([
            "--config",
            "/dev/null",
            "--interval",
            "1s",
            "--log-level",
            "error",
            "--port",
        ]);
        command.arg(port.to_str().unwrap()).args(areas);
        host.write_all(b"\n").unwrap();
        let child = command.spawn().unwrap();
        Self {
            child,
            host: BufReader::new(host),
            unread: 0,
        }
    }

    /// The length of the next sample.
    fn sample(&mut self) -> usize {
        let mut line = Vec::new();
        while line.len() <= 1 {
            line.clear();
            self.host.read_until(b'\n', &mut line).unwrap();
        }
        self.unread += line.len();
        if self.unread > 16_384 {
            self.host.get_mut().write_all(b"\n").unwrap();
            self.unread = 0;
        }
        line.len()
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        // strace ends with the program that it runs, and not before.
        let id = self.child.id();
        let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap_or_default();
        let traced = children.trim().parse().ok().and_then(Pid::from_raw);
        let process = traced.unwrap_or_else(|| Pid::from_child(&self.child));
        kill_process(process, Signal::TERM).unwrap();
        self.child.wait().unwrap();
    }
}

/// Milliseconds on a CPU, of all threads.
fn cpu(child: &Child) -> f64 {
    let tasks = fs::read_dir(format!("/proc/{}/task", child.id())).unwrap();
    let nanoseconds = tasks.map(|task| {
        let text = fs::read_to_string(task.unwrap().path().join("schedstat")).unwrap_or_default();
        text.split(' ')
            .next()
            .and_then(|number| number.parse::<f64>().ok())
            .unwrap_or(0.0)
    });
    nanoseconds.sum::<f64>() / 1e6
}

fn resident(child: &Child) -> u64 {
    let status = fs::read_to_string(Path::new("/proc").join(child.id().to_string()).join("status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}
