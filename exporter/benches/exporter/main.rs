//! What the exporter costs, beside what the same work costs at least. Figures depend on the machine; ratios hardly do.
//!
//! `cargo bench -p pve-exporter` prints all of it, and with `--bench exporter -- drop_in` only what `/pve` costs. Nothing here fails
//! for being slow.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark prints, and ends where its set-up fails"
)]

mod collecting;
mod decoding;
mod drop_in;
mod encoding;
mod losing;
mod process;
mod surveyed;
mod telemetry;

use std::time::{Duration, Instant};

use pve_exporter::config::{Cluster, Config, Secret, SecretSource, parse_endpoint};
use pve_simulator::{Options, Simulator};

/// The argument that leaves everything else out.
const ONLY_DROP_IN: &str = "drop_in";

/// Nodes and guests.
const SIZES: [(usize, usize); 3] = [(3, 50), (20, 1_000), (30, 10_000)];

/// What this program is told when it plays another part.
const MODES: [&str; 2] = [surveyed::AS_EXPORTER, telemetry::AS_COLLECTORS];

fn main() {
    // `cargo bench` passes the first; whoever runs this otherwise, as `cargo test --all-targets` does, wants it compiled only.
    if !std::env::args().any(|argument| argument == "--bench" || MODES.contains(&&*argument)) {
        return;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, mode, file, guests] = &*arguments
        && mode == surveyed::AS_EXPORTER
    {
        return runtime.block_on(surveyed::exporter(file.as_ref(), guests.parse().unwrap()));
    }
    if let [_, mode, directory] = &*arguments
        && mode == telemetry::AS_COLLECTORS
    {
        return telemetry::collectors(directory.as_ref());
    }
    let only_telemetry = arguments.iter().any(|argument| argument == "telemetry");
    runtime.block_on(async {
        if arguments.iter().any(|argument| argument == ONLY_DROP_IN) {
            return drop_in::run().await;
        }
        telemetry::run().await;
        if only_telemetry {
            return;
        }
        for (nodes, guests) in SIZES {
            println!("\n== {nodes} nodes, {guests} guests");
            let simulator = Simulator::start(options(nodes, guests)).await.unwrap();
            collecting::run(&simulator).await;
            decoding::run(&simulator).await;
            encoding::run(&simulator).await;
            losing::run(&simulator).await;
            process::run(&simulator, guests >= 10_000).await;
            surveyed::run(&simulator, guests).await;
        }
        drop_in::run().await;
    });
}

fn options(nodes: usize, guests: usize) -> Options {
    Options {
        nodes,
        guests,
        requests_per_connection: 1_000_000,
        sees_backups: true,
        ..Options::default()
    }
}

/// A configuration for `simulator`.
fn config(simulator: &Simulator) -> Config {
    let endpoints = simulator
        .endpoints()
        .iter()
        .map(|url| parse_endpoint(url).unwrap())
        .collect();
    let token = SecretSource::Environment {
        variable: "bench".to_owned(),
        secret: Secret::new(simulator.token_secret()),
    };
    let mut cluster = Cluster::new(endpoints, simulator.token_id().parse().unwrap(), token);
    let fingerprints = simulator
        .nodes()
        .into_iter()
        .map(|node| simulator.fingerprint(&node).unwrap().parse().unwrap());
    cluster.fingerprints = fingerprints.collect();
    Config {
        clusters: [("bench".to_owned(), cluster)].into(),
        ..Config::default()
    }
}

/// The median of several measurements.
fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

/// The shortest of several measurements, of work that nothing but the machine's noise makes longer.
fn shortest(times: Vec<Duration>) -> Duration {
    times.into_iter().min().unwrap()
}

/// The shortest time of `runs` runs.
fn timed(runs: usize, mut run: impl FnMut()) -> Duration {
    shortest(
        (0..runs)
            .map(|_| {
                let start = Instant::now();
                run();
                start.elapsed()
            })
            .collect(),
    )
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
