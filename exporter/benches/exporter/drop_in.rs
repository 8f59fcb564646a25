//! `/pve` beside prometheus-pve-exporter in front of the same cluster: time, calls of PVE, CPU and memory of a scrape.

use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use pve_simulator::{Options, Simulator};

use crate::process::{cpu_seconds, get};

const NODES: usize = 10;
const GUESTS: usize = 1_000;

/// Between two steady scrapes: every figure is then older than its ten seconds.
const INTERVAL: Duration = Duration::from_secs(11);
const STEADY: usize = 5;

/// The variable that names prometheus-pve-exporter; `cargo xtask bench` sets it.
const VARIABLE: &str = "PVE_TEST_PVE_EXPORTER";

/// A started exporter; it ends with this value.
struct Program {
    child: Child,
    address: String,
    _directory: tempfile::TempDir,
}

impl Drop for Program {
    fn drop(&mut self) {
        let group = format!("-{}", self.child.id());
        Command::new("kill")
            .args(["-s", "KILL", "--", &group])
            .status()
            .unwrap();
        self.child.wait().unwrap();
    }
}

/// What the scrapes of one program took.
struct Summary {
    cold: Scrape,
    /// The median.
    steady: Duration,
    /// Of a steady scrape, on average.
    calls: f64,
    /// Of a steady scrape, in seconds, with what goes on between two.
    cpu: f64,
    memory: f64,
}

pub(crate) async fn run() {
    let Some(theirs) = std::env::var_os(VARIABLE) else {
        println!("no {VARIABLE}: `cargo xtask bench` provides prometheus-pve-exporter to compare with");
        return;
    };
    println!("\n== /pve beside prometheus-pve-exporter: {NODES} nodes, {GUESTS} guests");
    let programs = [Path::new(&theirs), Path::new(env!("CARGO_BIN_EXE_pve-exporter"))];
    for (delay, jobs) in [
        (Duration::ZERO, &[Job::Node, Job::Cluster, Job::EveryNode][..]),
        (Duration::from_millis(5), &[Job::Node]),
    ] {
        let options = Options {
            call_delay: delay,
            ..crate::options(NODES, GUESTS)
        };
        let simulator = Simulator::start(options).await.unwrap();
        for job in jobs {
            println!("-- {}, where PVE takes {delay:?} for a call", job.title());
            tokio::task::block_in_place(|| measure(&simulator, programs, job));
        }
    }
}

/// What is scraped.
enum Job {
    /// Both groups of collectors at one node.
    Node,
    /// The cluster alone.
    Cluster,
    /// The cluster, and what each node knows by itself: one scrape of ours, and one for the cluster and each node of theirs.
    EveryNode,
}

impl Job {
    const fn title(&self) -> &'static str {
        match self {
            Self::Node => "cluster=1&node=1",
            Self::Cluster => "cluster=1&node=0",
            Self::EveryNode => "node=all, and for the other cluster=1&node=0 and 10 times cluster=0&node=1",
        }
    }

    /// What is asked of the other program, and of ours.
    fn paths(&self, hosts: &[String]) -> [Vec<String>; 2] {
        let path = |host: &String, query: &str| format!("/pve?target={host}&{query}");
        let first = |query: &str| vec![path(&hosts[0], query)];
        match self {
            Self::Node => [first("cluster=1&node=1"), first("cluster=1&node=1")],
            Self::Cluster => [first("cluster=1&node=0"), first("cluster=1&node=0")],
            Self::EveryNode => {
                let nodes = hosts.iter().map(|host| path(host, "cluster=0&node=1"));
                let theirs = first("cluster=1&node=0").into_iter().chain(nodes);
                [theirs.collect(), first("cluster=1&node=all")]
            }
        }
    }
}

fn measure(simulator: &Simulator, programs: [&Path; 2], job: &Job) {
    let mut paths = job.paths(&hosts(simulator)).into_iter();
    let mut measured = programs.map(|program| {
        let (program, paths) = (start(simulator, program), paths.next().unwrap());
        let cold = scrape(simulator, &program, &paths);
        let cpu_before = cpu_of(&program);
        Measured {
            program,
            paths,
            cold,
            steady: Vec::new(),
            cpu_before,
        }
    });
    for _ in 0..STEADY {
        std::thread::sleep(INTERVAL);
        for one in &mut measured {
            one.steady.push(scrape(simulator, &one.program, &one.paths));
        }
    }
    print(&measured.map(|one| one.summary()));
}

/// A program, and what scrapes of it took.
struct Measured {
    program: Program,
    paths: Vec<String>,
    cold: Scrape,
    steady: Vec<Scrape>,
    cpu_before: f64,
}

#[derive(Clone, Copy)]
struct Scrape {
    took: Duration,
    calls: u64,
    size: usize,
}

fn scrape(simulator: &Simulator, program: &Program, paths: &[String]) -> Scrape {
    simulator.reset_calls();
    let start = Instant::now();
    let size = paths.iter().map(|path| get(&program.address, path, false)).sum();
    Scrape {
        took: start.elapsed(),
        calls: simulator.calls().received(),
        size,
    }
}

impl Measured {
    fn summary(&self) -> Summary {
        let runs = self.steady.len() as f64;
        let calls: u64 = self.steady.iter().map(|scrape| scrape.calls).sum();
        Summary {
            cold: self.cold,
            steady: crate::median(self.steady.iter().map(|scrape| scrape.took).collect()),
            calls: calls as f64 / runs,
            cpu: (cpu_of(&self.program) - self.cpu_before) / runs,
            memory: processes(&self.program).iter().map(|pid| proportional(pid)).sum(),
        }
    }
}

/// The memory of a process in MiB; what it shares with others counts in part.
fn proportional(pid: &str) -> f64 {
    let rollup = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
    let line = rollup.lines().find(|line| line.starts_with("Pss:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
}

fn print([theirs, ours]: &[Summary; 2]) {
    let line = |what: &str, unit: &str, of: fn(&Summary) -> f64| {
        let (theirs, ours) = (of(theirs), of(ours));
        println!(
            "  {what:<15} {ours:9.2} {unit:<3} instead of {theirs:9.2}: ratio {:.1}",
            theirs / ours
        );
    };
    line("cold scrape", "ms", |one| crate::milliseconds(one.cold.took));
    line("cold calls", "", |one| one.cold.calls as f64);
    line("steady scrape", "ms", |one| crate::milliseconds(one.steady));
    line("steady calls", "", |one| one.calls);
    line("CPU per scrape", "ms", |one| one.cpu * 1e3);
    line("memory", "MiB", |one| one.memory);
    line("answer", "kB", |one| one.cold.size as f64 / 1e3);
}

fn hosts(simulator: &Simulator) -> Vec<String> {
    let endpoints = simulator.endpoints();
    let hosts = endpoints
        .iter()
        .map(|url| url.trim_start_matches("https://").trim_end_matches('/'));
    hosts.map(str::to_owned).collect()
}

fn start(simulator: &Simulator, program: &Path) -> Program {
    let directory = tempfile::tempdir().unwrap();
    let (authorities, log) = (directory.path().join("ca.pem"), directory.path().join("log"));
    std::fs::write(&authorities, simulator.ca_pem()).unwrap();
    let file = std::fs::File::create(&log).unwrap();
    let (user, token) = simulator.token_id().split_once('!').unwrap();
    let child = Command::new(program)
        .arg("--web.listen-address=127.0.0.1:0")
        .env("PVE_USER", user)
        .env("PVE_TOKEN_NAME", token)
        .env("PVE_TOKEN_VALUE", simulator.token_secret())
        .env("PVE_ALLOW_TARGETS", hosts(simulator).join(","))
        .env("REQUESTS_CA_BUNDLE", &authorities)
        .stdout(Stdio::null())
        .stderr(file)
        // So that the worker of the other one can be ended with it.
        .process_group(0)
        .spawn()
        .unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    let address = loop {
        let log = std::fs::read_to_string(&log).unwrap();
        let address = ["Listening at: http://", "address="]
            .iter()
            .find_map(|mark| log.split_once(mark)?.1.split_whitespace().next().map(str::to_owned));
        if let Some(address) = address.filter(|_| log.contains("Booting worker") || log.contains("address=")) {
            break address.trim_matches('"').to_owned();
        }
        assert!(Instant::now() < deadline, "{} does not start: {log}", program.display());
        std::thread::sleep(Duration::from_millis(10));
    };
    // Both have loaded what they need, and neither has asked PVE for anything.
    std::thread::sleep(Duration::from_secs(1));
    get(&address, "/metrics", false);
    Program {
        child,
        address,
        _directory: directory,
    }
}

/// Its process and those that it started.
fn processes(program: &Program) -> Vec<String> {
    let pid = program.child.id();
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    let children = children.split_whitespace().map(str::to_owned);
    [pid.to_string()].into_iter().chain(children).collect()
}

fn cpu_of(program: &Program) -> f64 {
    processes(program)
        .iter()
        .map(|pid| cpu_seconds(pid.parse().unwrap()))
        .sum()
}
