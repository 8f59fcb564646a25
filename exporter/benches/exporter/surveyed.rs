//! All sources, when every guest's configuration and snapshots have been read: what a steady scrape takes beside one of the
//! main job alone, what it asks PVE for, and the memory.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pve_exporter::clock::Clock;
use pve_exporter::config::{Config, LoadOptions};
use pve_exporter::metrics::exposition::Format;
use pve_exporter::scrape::{Exporter, ScrapeRequest, all_sources};
use pve_exporter::sources::name::SourceName;
use pve_simulator::Simulator;

/// The argument that makes this program the exporter whose memory is measured.
pub(crate) const AS_EXPORTER: &str = "--as-exporter";

const MAIN_JOB: [SourceName; 6] = [
    SourceName::Resources,
    SourceName::MetricsExport,
    SourceName::ClusterStatus,
    SourceName::NodeStatus,
    SourceName::Version,
    SourceName::Permissions,
];

const SECOND: Duration = Duration::from_secs(1);
const INTERVAL: u32 = 15;

/// An exporter whose time passes by hand.
struct Driven {
    exporter: Arc<Exporter>,
    clock: Clock,
}

/// What one scrape took.
#[derive(Clone, Copy)]
struct Took {
    collecting: Duration,
    writing: Duration,
    samples: usize,
}

impl Driven {
    fn new(config: Config) -> Self {
        let clock = Clock::default();
        let exporter = Exporter::new(config, clock.clone()).unwrap();
        Self { exporter, clock }
    }

    async fn pass(&self, seconds: u32) {
        for _ in 0..seconds {
            self.clock.advance(SECOND);
            self.exporter.retry();
            // A read takes about as long.
            tokio::time::sleep(Duration::from_micros(500)).await;
        }
    }

    async fn scrape(&self) -> Took {
        let request = ScrapeRequest {
            clusters: Vec::new(),
            selection: all_sources(),
            format: Format::OpenMetrics,
            wait: Duration::from_secs(60),
        };
        let start = Instant::now();
        let mut exposition = self.exporter.scrape(&request).await.unwrap();
        let collecting = start.elapsed();
        let (mut chunk, mut samples, mut writing) = (Vec::with_capacity(256 * 1024), 0, Duration::ZERO);
        loop {
            let start = Instant::now();
            let more = exposition.next_chunk(&mut chunk);
            writing += start.elapsed();
            if !more {
                break;
            }
            let lines = chunk.split(|byte| *byte == b'\n');
            samples += lines.filter(|line| !line.is_empty() && line[0] != b'#').count();
            chunk.clear();
        }
        Took {
            collecting,
            writing,
            samples,
        }
    }

    /// Lets the surveys read every guest, at one read a second.
    async fn survey(&self, guests: usize) {
        self.scrape().await;
        for _ in 0..guests / 100 {
            self.pass(220).await;
            self.scrape().await;
        }
    }

    /// Medians of steady scrapes.
    async fn steady(&self, runs: u32) -> Took {
        let (mut collecting, mut writing, mut samples) = (Vec::new(), Vec::new(), 0);
        for _ in 0..runs {
            self.pass(INTERVAL).await;
            let took = self.scrape().await;
            // What goes on behind a scrape must not slow the next one.
            tokio::time::sleep(Duration::from_millis(50)).await;
            collecting.push(took.collecting);
            writing.push(took.writing);
            samples = took.samples;
        }
        Took {
            collecting: crate::median(collecting),
            writing: crate::median(writing),
            samples,
        }
    }
}

pub(crate) async fn run(simulator: &Simulator, guests: usize) {
    let mut main_job = crate::config(simulator);
    for source in SourceName::ALL {
        main_job.sources.entry(source).or_default().enabled = Some(MAIN_JOB.contains(&source));
    }
    let main_job = Driven::new(main_job);
    main_job.scrape().await;
    let all = Driven::new(crate::config(simulator));
    all.survey(guests).await;
    let (main, with_all) = (main_job.steady(20).await, all.steady(40).await);
    for (title, took) in [("main job alone", main), ("all sources", with_all)] {
        println!(
            "steady, {title:14} {:7.2} ms until collected, {:.2} ms until written: {:.1} ns a sample, of {}",
            crate::milliseconds(took.collecting),
            crate::milliseconds(took.collecting + took.writing),
            took.writing.as_secs_f64() * 1e9 / took.samples as f64,
            took.samples
        );
    }
    let whole = |took: Took| (took.collecting + took.writing).as_secs_f64();
    println!(
        "                     all sources / main job alone: ratio {:.2} until collected, {:.2} until written",
        with_all.collecting.as_secs_f64() / main.collecting.as_secs_f64(),
        whole(with_all) / whole(main)
    );
    warm(&all).await;
    calls(simulator, &all).await;
    memory(simulator, guests);
}

/// Scrapes right after one another, which read nothing.
async fn warm(all: &Driven) {
    let mut times = (Vec::new(), Vec::new());
    let mut samples = 0;
    for _ in 0..21 {
        let took = all.scrape().await;
        times.0.push(took.collecting);
        times.1.push(took.writing);
        samples = took.samples;
    }
    let (rows, writing) = (crate::shortest(times.0), crate::shortest(times.1));
    let each = |time: Duration| time.as_secs_f64() * 1e9 / samples as f64;
    println!(
        "warm, all sources    {:9.2} ms: {:.1} ns a sample for the rows and {:.1} ns for the text",
        crate::milliseconds(rows + writing),
        each(rows),
        each(writing)
    );
}

/// The requests of ten minutes under one Prometheus.
async fn calls(simulator: &Simulator, all: &Driven) {
    const MINUTES: u32 = 10;
    simulator.reset_calls();
    for _ in 0..MINUTES * 60 / INTERVAL {
        all.pass(INTERVAL).await;
        all.scrape().await;
    }
    let calls = simulator.calls();
    let a_minute = |count: u64| count as f64 / f64::from(MINUTES);
    println!(
        "steady, all sources  {:9.2} calls a minute:",
        a_minute(calls.received())
    );
    for (template, count) in calls.received_by_template() {
        println!("                     {:9.2} {template}", a_minute(count));
    }
}

/// Runs this program once more as an exporter that has all sources and surveys every guest.
fn memory(simulator: &Simulator, guests: usize) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("config.toml");
    let nodes = simulator.nodes();
    let fingerprints: Vec<_> = nodes.iter().map(|node| simulator.fingerprint(node).unwrap()).collect();
    let text = format!(
        "[clusters.bench]\nendpoints = {:?}\ntoken_id = \"{}\"\nfingerprints = {fingerprints:?}\n",
        simulator.endpoints(),
        simulator.token_id()
    );
    std::fs::write(&file, text).unwrap();
    let program = std::env::current_exe().unwrap();
    let status = Command::new(program)
        .arg(AS_EXPORTER)
        .arg(&file)
        .arg(guests.to_string())
        .env("PVE_EXPORTER_CLUSTERS__BENCH__TOKEN", simulator.token_secret())
        .status();
    assert!(status.unwrap().success());
}

/// That exporter.
pub(crate) async fn exporter(file: &Path, guests: usize) {
    let config = Config::load(&LoadOptions {
        file: Some(file.to_owned()),
        environment: std::env::vars().collect(),
        ..LoadOptions::default()
    });
    let driven = Driven::new(config.unwrap());
    driven.survey(guests).await;
    let before = crate::process::resident("self", "VmRSS");
    let steady = driven.steady(100).await;
    let now = crate::process::resident("self", "VmRSS");
    let peak = crate::process::resident("self", "VmHWM");
    println!(
        "resident memory      {before:9.1} MiB when every guest has been surveyed, {now:.1} MiB after 100 more scrapes of {} samples; peak {peak:.1} MiB",
        steady.samples
    );
}
