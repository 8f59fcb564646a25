//! A cold scrape beside a bare client that fetches and parses the same bodies, and what a steady scrape asks PVE for.

use std::sync::Arc;
use std::time::{Duration, Instant};

use pve_exporter::clock::Clock;
use pve_exporter::metrics::exposition::Format;
use pve_exporter::pve::api;
use pve_exporter::pve::trust::{Authorities, Learned, Trust, tls_config};
use pve_exporter::scrape::{Exporter, ScrapeRequest, all_sources};
use pve_simulator::Simulator;

const RUNS: usize = 9;

pub(crate) async fn run(simulator: &Simulator) {
    let (mut cold, mut bare) = (Vec::new(), Vec::new());
    let mut calls = 0;
    for _ in 0..RUNS {
        let exporter = Exporter::new(crate::config(simulator), Clock::default()).unwrap();
        simulator.reset_calls();
        let start = Instant::now();
        scrape(&exporter).await;
        cold.push(start.elapsed());
        calls = simulator.calls().received();
        let start = Instant::now();
        bare_client(simulator).await;
        bare.push(start.elapsed());
    }
    let (cold, bare) = (crate::median(cold), crate::median(bare));
    println!(
        "cold scrape          {:9.2} ms, {calls} calls; a bare client fetches and parses the same in {:.2} ms: ratio {:.2}",
        crate::milliseconds(cold),
        crate::milliseconds(bare),
        cold.as_secs_f64() / bare.as_secs_f64()
    );
    steady(simulator).await;
}

/// Every 15 s for a while, first one Prometheus, then two of them.
async fn steady(simulator: &Simulator) {
    for scrapers in [1, 2] {
        let clock = Clock::default();
        let exporter = Exporter::new(crate::config(simulator), clock.clone()).unwrap();
        scrape(&exporter).await;
        simulator.reset_calls();
        let rounds = 20;
        for _ in 0..rounds {
            for _ in 0..scrapers {
                clock.advance(Duration::from_secs(15) / scrapers);
                scrape(&exporter).await;
            }
        }
        let calls = simulator.calls();
        let fast = calls.received_for("/cluster/resources") + calls.received_for("/cluster/metrics/export");
        println!(
            "steady, {scrapers} Prometheus  {:9.2} calls per 15 s, of which {:.2} of the fast sources",
            calls.received() as f64 / f64::from(rounds),
            fast as f64 / f64::from(rounds)
        );
    }
}

async fn scrape(exporter: &Arc<Exporter>) -> usize {
    let wait = Duration::from_secs(60);
    let request = ScrapeRequest {
        clusters: Vec::new(),
        selection: all_sources(),
        format: Format::OpenMetrics,
        wait,
    };
    let mut exposition = exporter.scrape(&request).await.unwrap();
    let (mut chunk, mut bytes) = (Vec::new(), 0);
    while exposition.next_chunk(&mut chunk) {
        bytes += chunk.len();
        chunk.clear();
    }
    bytes
}

/// The same requests through the same library, all at once and with nothing around them.
async fn bare_client(simulator: &Simulator) {
    let fingerprints = simulator
        .nodes()
        .iter()
        .map(|node| simulator.fingerprint(node).unwrap().parse().unwrap())
        .collect();
    let trust = Trust {
        authorities: Authorities::Nobody,
        fingerprints,
    };
    let tls = tls_config(&trust, &Learned::default()).unwrap();
    let http = reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .http1_only()
        .no_proxy()
        .build()
        .unwrap();
    let endpoint = simulator.endpoints()[0].clone();
    let authorization = format!("PVEAPIToken={}={}", simulator.token_id(), simulator.token_secret());
    let get = async |path: &str| {
        let request = http
            .get(format!("{endpoint}/api2/json{path}"))
            .header("authorization", &authorization);
        request.send().await.unwrap().bytes().await.unwrap()
    };
    let whole = async {
        tokio::join!(
            async {
                let body = get("/cluster/resources").await;
                let mut rows = Vec::new();
                api::cluster_resources::decode(&body, |row| rows.push(row)).unwrap();
                std::hint::black_box(rows.len());
            },
            async {
                let body = get("/cluster/metrics/export").await;
                let mut rows = Vec::new();
                api::cluster_metrics_export::decode(&body, |row| rows.push(row)).unwrap();
                std::hint::black_box(rows.len());
            },
            async {
                let body = get("/cluster/status").await;
                let mut rows = Vec::new();
                api::cluster_status::decode(&body, |row| rows.push(row)).unwrap();
                std::hint::black_box(rows.len());
            },
            async {
                let body = get("/version").await;
                std::hint::black_box(api::version::decode(&body).unwrap());
            },
            async { api::nodes::fingerprints(&get("/nodes").await).unwrap() },
            async { api::access_permissions::decode(&get("/access/permissions").await).unwrap() },
        );
    };
    whole.await;
    let nodes = simulator.nodes();
    futures_util::future::join_all(nodes.iter().map(async |node| {
        let body = get(&format!("/nodes/{node}/status")).await;
        std::hint::black_box(api::node_status::decode(&body).unwrap().memory.total);
    }))
    .await;
}
