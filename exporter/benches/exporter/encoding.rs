//! The encoder: time and allocations per sample, in both formats, beside copying the finished bytes.

use std::time::Duration;

use pve_exporter::clock::Clock;
use pve_exporter::metrics::exposition::{Exposition, Format};
use pve_exporter::scrape::{Exporter, ScrapeRequest, all_sources};
use pve_simulator::Simulator;

pub(crate) async fn run(simulator: &Simulator) {
    let exporter = Exporter::new(crate::config(simulator), Clock::default()).unwrap();
    for format in [Format::OpenMetrics, Format::Classic] {
        let wait = Duration::from_secs(60);
        let request = ScrapeRequest {
            clusters: Vec::new(),
            selection: all_sources(),
            format,
            wait,
        };
        let text = exporter.scrape(&request).await.unwrap().into_text();
        let samples = text.lines().filter(|line| !line.starts_with('#')).count();
        let mut chunk = Vec::with_capacity(256 * 1024);
        let mut times = Vec::new();
        let mut allocations = 0;
        for _ in 0..31 {
            let mut exposition = exporter.scrape(&request).await.unwrap();
            let measured =
                allocation_counter::measure(|| times.push(crate::timed(1, || drain(&mut exposition, &mut chunk))));
            allocations = measured.count_total;
        }
        let mut copied = Vec::with_capacity(text.len());
        let copy = crate::timed(15, || {
            copied.clear();
            copied.extend_from_slice(std::hint::black_box(text.as_bytes()));
        });
        let time = crate::shortest(times);
        println!(
            "encoder, {format:?}{:pad$} {:9.1} ns and {:.4} allocations a sample, of {samples} samples; copying the bytes takes 1/{:.1} of it",
            "",
            time.as_secs_f64() * 1e9 / samples as f64,
            allocations as f64 / samples as f64,
            time.as_secs_f64() / copy.as_secs_f64(),
            pad = 11 - format!("{format:?}").len(),
        );
    }
}

fn drain(exposition: &mut Exposition, chunk: &mut Vec<u8>) {
    while exposition.next_chunk(chunk) {
        std::hint::black_box(chunk.len());
        chunk.clear();
    }
}
