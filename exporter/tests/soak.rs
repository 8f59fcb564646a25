//! What takes minutes: memory over many refreshes, and faults at PVE's own delays. `cargo xtask soak` runs it.
#![expect(clippy::unwrap_used, reason = "a fault of the set-up fails the test")]

mod support;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use pve_simulator::{Clock, Fault, Options, Simulator};
use support::exporters::checked;
use support::http::get;
use support::program::{Program, command, write};
use support::strict::Exposition;

const MEBIBYTE: u64 = 1024 * 1024;

/// An exporter over `simulator`, as a program of its own.
async fn program(simulator: &Simulator, settings: &str) -> (Program, SocketAddr, tempfile::TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let nodes = simulator.nodes();
    let fingerprints: Vec<_> = nodes.iter().map(|node| simulator.fingerprint(node).unwrap()).collect();
    let (config, token) = (directory.path().join("config.toml"), directory.path().join("token"));
    write(&token, &simulator.token_secret(), 0o600);
    let text = format!(
        "[clusters.main]\nendpoints = {:?}\ntoken_id = {:?}\ntoken_file = {token:?}\nfingerprints = {fingerprints:?}\n\n[web]\nlisten_address = \"127.0.0.1:0\"\n\n{settings}",
        simulator.endpoints(),
        simulator.token_id(),
    );
    write(&config, &text, 0o644);
    let mut program = Program::start(command(&[&format!("--config.file={}", config.display())]));
    let address = program.address();
    (program, address, directory)
}

async fn scrape(address: SocketAddr) -> Exposition {
    let accept = "Accept: application/openmetrics-text; version=1.0.0";
    let answer = get(
        address,
        "/metrics",
        &[accept, "X-Prometheus-Scrape-Timeout-Seconds: 10"],
    )
    .await;
    assert_eq!(answer.status, 200);
    checked(answer.text(), pve_exporter::metrics::exposition::Format::OpenMetrics)
}

fn resident(program: &Program) -> u64 {
    let status = std::fs::read_to_string(program.proc_file("status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

/// 30 nodes and 10,000 guests, all of which are read anew every second while they are scraped, ten at a time. All other sources
/// run beside that, and the surveys get what that leaves of the requests of a minute, which logs need.
#[tokio::test(flavor = "multi_thread")]
async fn memory_is_small_and_stays_flat() {
    let options = Options {
        nodes: 30,
        guests: 10_000,
        requests_per_connection: 1_000_000,
        sees_backups: true,
        ..Options::default()
    };
    let simulator = Simulator::start(options).await.unwrap();
    let settings = "[metrics]\nguest_drives = true\nguest_interfaces = true\n\n[sources.resources]\nmax_age = \"1s\"\n[sources.metrics_export]\nmax_age = \"1s\"\n";
    let (program, address, _directory) = program(&simulator, settings).await;
    // The most in each tenth of the time: within one, it goes up and down with the refreshes.
    let mut peaks = [0; 10];
    for round in 0..100 {
        let scrapes = (0..10).map(|_| get(address, "/metrics", &[]));
        let answers = futures_util::future::join_all(scrapes).await;
        assert!(
            answers
                .iter()
                .all(|answer| answer.status == 200 && answer.body.len() > 5_000_000)
        );
        drop(answers);
        let peak: &mut u64 = &mut peaks[round / 10];
        *peak = (*peak).max(resident(&program) / MEBIBYTE);
        // The next round reads everything anew.
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let refreshes = simulator.calls().received_for("/cluster/resources");
    println!("{refreshes} refreshes; the most MiB in each tenth of the time: {peaks:?}");
    assert!(refreshes >= 80, "{refreshes}");
    assert!(peaks.iter().all(|peak| *peak < 160), "{peaks:?}");
    let (early, late) = (peaks[..5].iter().max().unwrap(), peaks[5..].iter().max().unwrap());
    assert!(*late <= early * 5 / 4, "{peaks:?}");
    let seen = scrape(address).await;
    for (family, least) in [
        ("pve_backup_last_attempt_timestamp_seconds", 5),
        ("pve_task_last_success_timestamp_seconds", 30),
        ("pve_backup_volumes", 1_000),
        ("pve_guest_drive_read_bytes_total", 1_000),
    ] {
        let number = seen.samples(family).count();
        assert!(number >= least, "{family}: {number}");
    }
}

/// Nodes and endpoints fail one after the other with the delays of a real cluster, under a scrape every five seconds.
#[tokio::test(flavor = "multi_thread")]
async fn every_scrape_ends_in_time_whatever_fails() {
    let options = Options {
        nodes: 4,
        guests: 100,
        clock: Clock::Real,
        events: true,
        sees_backups: true,
        ..Options::default()
    };
    let simulator = Simulator::start(options).await.unwrap();
    let (_program, address, _directory) = program(&simulator, "").await;
    let mut tasks = finished_tasks(&scrape(address).await);
    let faults = [
        "hang:pve1",
        "hang:pve2",
        "black-hole:pve1",
        "offline:pve3",
        "hang:/cluster/metrics/export",
        "hang:pve2:/nodes/*/disks/zfs",
        "partition:pve1",
        "revoked",
    ];
    for fault in faults {
        let id = simulator.inject(fault.parse::<Fault>().unwrap());
        let mut longest = Duration::ZERO;
        for _ in 0..8 {
            let started = Instant::now();
            let seen = scrape(address).await;
            // Whatever fails, the figures of the node that has nothing to do with it are never absent.
            let whole = fault == "revoked" || seen.value("pve_node_cpu_usage_ratio", &[("node", "pve4")]).is_some();
            assert!(whole, "{fault}: pve4 is gone");
            longest = longest.max(started.elapsed());
            tokio::time::sleep(Duration::from_secs(5).saturating_sub(started.elapsed())).await;
        }
        println!("{fault}: the longest scrape took {longest:?}");
        assert!(longest < Duration::from_secs(10), "{fault}: {longest:?}");
        simulator.clear(id);
        simulator.settled().await;
        let cleared = Instant::now();
        loop {
            let seen = scrape(address).await;
            // A tool of storages that hung is left alone for ten minutes, whatever made it hang.
            let of_storages = |name: &str| name.starts_with("zfs") || name.starts_with("lvm");
            let rests = |sample: &support::strict::Sample| sample.label("source").is_some_and(of_storages);
            let up = |sample: &support::strict::Sample| sample.value == 1.0 || rests(sample);
            if seen.samples("pve_source_up").all(up) && seen.samples("pve_node_up").all(up) {
                break;
            }
            // A node's own status is read every five minutes, and a token that was refused twice rests for a minute or two.
            assert!(
                cleared.elapsed() < Duration::from_secs(360),
                "{fault} is not over:\n{:?}",
                sources_down(&seen)
            );
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        // A node that was gone has told of the rest by now, and nothing counts twice or is taken back.
        let now = finished_tasks(&scrape(address).await);
        let lost: Vec<_> = tasks
            .iter()
            .filter(|(task, count)| now.get(*task).is_none_or(|now| now < count))
            .collect();
        assert!(lost.is_empty(), "{fault}: {lost:?} became {now:?}");
        tasks = now;
        println!("{fault}: all is well again after {:?}", cleared.elapsed());
    }
}

/// The counters of tasks, by their labels.
fn finished_tasks(seen: &Exposition) -> BTreeMap<String, f64> {
    let counters = seen.samples("pve_task_finished_total");
    counters
        .map(|sample| (format!("{:?}", sample.labels), sample.value))
        .collect()
}

fn sources_down(seen: &Exposition) -> Vec<String> {
    let down = seen.samples("pve_source_up").filter(|sample| sample.value != 1.0);
    down.map(|sample| format!("{:?}", sample.labels)).collect()
}
