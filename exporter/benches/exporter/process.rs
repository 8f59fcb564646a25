//! The program as a process of its own: a warm scrape, CPU time per scrape, and resident memory.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use pve_simulator::Simulator;

/// A started exporter; it ends with this value.
struct Program {
    child: Child,
    address: String,
    _directory: tempfile::TempDir,
}

impl Drop for Program {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

pub(crate) async fn run(simulator: &Simulator, long: bool) {
    let endpoints = simulator.endpoints();
    let fingerprints: Vec<_> = simulator
        .nodes()
        .iter()
        .map(|node| simulator.fingerprint(node).unwrap())
        .collect();
    let (id, secret) = (simulator.token_id().to_owned(), simulator.token_secret());
    tokio::task::spawn_blocking(move || measure(&endpoints, &fingerprints, &id, &secret, long))
        .await
        .unwrap();
}

fn measure(endpoints: &[String], fingerprints: &[String], id: &str, secret: &str, long: bool) {
    let program = start(endpoints, fingerprints, id, secret, "10s");
    let size = get(&program.address, "/metrics", false);
    let warm = warm(&program, false);
    let compressed = self::warm(&program, true);
    println!(
        "warm scrape          {:9.2} ms for {} kB; {:.2} ms compressed: ratio {:.2}",
        crate::milliseconds(warm),
        size / 1000,
        crate::milliseconds(compressed),
        compressed.as_secs_f64() / warm.as_secs_f64()
    );
    let before = cpu_seconds(program.child.id());
    for _ in 0..100 {
        get(&program.address, "/metrics", false);
    }
    let cpu = (cpu_seconds(program.child.id()) - before) / 100.0;
    println!("CPU per warm scrape  {:9.2} ms", cpu * 1e3);
    drop(program);
    memory(endpoints, fingerprints, id, secret, long);
}

/// Resident memory under scrapes ten at a time, with everything read anew every second.
fn memory(endpoints: &[String], fingerprints: &[String], id: &str, secret: &str, long: bool) {
    let program = start(endpoints, fingerprints, id, secret, "1s");
    let mut first = 0.0;
    for round in 1..=if long { 100 } else { 10 } {
        std::thread::scope(|scope| {
            for _ in 0..10 {
                scope.spawn(|| get(&program.address, "/metrics", round % 2 == 0));
            }
        });
        if round == 10 {
            first = resident_of(&program, "VmHWM");
            let now = resident_of(&program, "VmRSS");
            println!("resident memory      {now:9.1} MiB after 100 scrapes, ten at once; peak {first:.1} MiB");
        }
        std::thread::sleep(Duration::from_millis(300));
    }
    if long {
        let (now, peak) = (resident_of(&program, "VmRSS"), resident_of(&program, "VmHWM"));
        println!(
            "                     {now:9.1} MiB after 1,000 scrapes; peak {peak:.1} MiB: ratio of the peaks {:.2}",
            peak / first
        );
    }
}

fn warm(program: &Program, gzip: bool) -> Duration {
    crate::timed(21, || {
        get(&program.address, "/metrics", gzip);
    })
}

fn start(endpoints: &[String], fingerprints: &[String], id: &str, secret: &str, max_age: &str) -> Program {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("config.toml");
    std::fs::write(
        &file,
        format!("[clusters.bench]\nendpoints = {endpoints:?}\ntoken_id = \"{id}\"\nfingerprints = {fingerprints:?}\n\n[web]\nlisten_address = \"127.0.0.1:0\"\nmax_concurrent_scrapes = 100\n\n[sources.resources]\nmax_age = \"{max_age}\"\n\n[sources.metrics_export]\nmax_age = \"{max_age}\"\n"),
    )
    .unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_pve-exporter"))
        .arg(format!("--config.file={}", file.display()))
        .env("PVE_EXPORTER_CLUSTERS__BENCH__TOKEN", secret)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let address = loop {
        let line = lines.next().unwrap().unwrap();
        if let Some((_, rest)) = line.split_once("address=") {
            break rest.split_whitespace().next().unwrap().trim_matches('"').to_owned();
        }
    };
    std::thread::spawn(move || lines.for_each(drop));
    let program = Program {
        child,
        address,
        _directory: directory,
    };
    let start = Instant::now();
    while get(&program.address, "/-/ready", false) != "ready\n".len() {
        assert!(
            start.elapsed() < Duration::from_secs(60),
            "the exporter does not get ready"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    program
}

/// The length of an answer's body as it came over the wire, chunk marks included.
pub(crate) fn get(address: &str, path: &str, gzip: bool) -> usize {
    let mut stream = TcpStream::connect(address).unwrap();
    let encoding = if gzip { "Accept-Encoding: gzip\r\n" } else { "" };
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{encoding}\r\n"
    )
    .unwrap();
    let (mut buffer, mut length, mut head) = (vec![0; 64 * 1024], 0, None);
    let mut beginning = Vec::new();
    loop {
        let read = stream.read(&mut buffer).unwrap();
        if read == 0 {
            return length - head.unwrap_or(0);
        }
        length += read;
        if head.is_none() {
            beginning.extend_from_slice(&buffer[..read]);
            head = beginning
                .windows(4)
                .position(|bytes| bytes == b"\r\n\r\n")
                .map(|at| at + 4);
        }
    }
}

/// The CPU time of a process so far.
pub(crate) fn cpu_seconds(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
    let ticks: f64 = fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap();
    ticks / 100.0
}

fn resident_of(program: &Program, field: &str) -> f64 {
    resident(&program.child.id().to_string(), field)
}

/// A field of /proc/PID/status in MiB.
pub(crate) fn resident(pid: &str, field: &str) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with(field)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
}
