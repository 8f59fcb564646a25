//! What encoding a scrape allocates: nothing per sample.
//!
//! The allocator that counts comes from the crate `allocation-counter`, since this workspace forbids unsafe code of its own. It
//! counts for each thread, so these tests may run beside others.

mod support;

use std::sync::Arc;

use pve_exporter::config::{Config, GuestKind};
use pve_exporter::metrics::exposition::{CHUNK_BYTES, Exposition, Format, Rows, Section};
use pve_exporter::metrics::labels::Identity;
use pve_exporter::subjects::guest::{Figures, Guest, GuestText};
use pve_exporter::telemetry::exposition::{Filter, Guest as Sample, exposition};
use pve_simulator::Options;
use support::collector;
use support::exporters::everything;
use support::simulated::{Simulated, options};

fn guests(number: u32) -> Arc<[Guest]> {
    let guest = |vmid: u32| Guest {
        identity: Identity::new(&[("pve_cluster", "main"), ("id", &format!("qemu/{vmid}"))]),
        kind: GuestKind::Qemu,
        vmid,
        node: "pve1".into(),
        text: GuestText {
            name: format!("a \"quoted\" guest {vmid}").into(),
            tags: "one;two".into(),
            pool: "prod".into(),
            template: Some(false),
        },
        state: "running",
        lock: Some("backup".into()),
        ha_state: Some("started".into()),
        figures: Figures {
            uptime: Some(u64::from(vmid)),
            cpu_usage: Some(f64::from(vmid) / 7.0),
            cpus: Some(2.5),
            memory_size: Some(1 << 34),
            memory_usage: Some(1 << 33),
            memory_host_usage: Some(1 << 33),
            disk_size: Some(1 << 40),
            disk_usage: Some(1 << 39),
            network_receive: Some(u64::MAX),
            network_transmit: Some(1),
            disk_read: Some(1),
            disk_written: Some(1),
            monitor_responding: Some(true),
        },
    };
    (100..100 + number).map(guest).collect()
}

/// Bytes written and allocations made by an encoding into one buffer that is used again for each chunk.
fn encode(number: u32, format: Format) -> (usize, u64) {
    let section: Box<dyn Section> = Box::new(Rows::new(vec![guests(number)]));
    write(Exposition::new(format, vec![section], String::new(), |_| true))
}

fn write(mut exposition: Exposition) -> (usize, u64) {
    let mut buffer = Vec::with_capacity(2 * CHUNK_BYTES);
    let mut bytes = 0;
    let measured = allocation_counter::measure(|| {
        loop {
            buffer.clear();
            if !exposition.next_chunk(&mut buffer) {
                break;
            }
            bytes += buffer.len();
        }
    });
    (bytes, measured.count_total)
}

#[test]
fn encoding_allocates_nothing_per_sample() {
    for format in [Format::OpenMetrics, Format::Classic] {
        let (few_bytes, few) = encode(1_000, format);
        let (many_bytes, many) = encode(10_000, format);
        assert!(
            many_bytes > 9 * few_bytes && few_bytes > 1_000_000,
            "{few_bytes} {many_bytes}"
        );
        assert_eq!((few, many), (0, 0), "{format:?}");
    }
}

#[test]
fn encoding_a_guest_allocates_little() {
    let areas = collector::areas();
    let guest = Sample {
        name: "web",
        time: 1_786_800_000.25,
        areas: &areas,
    };
    for format in [Format::OpenMetrics, Format::Classic] {
        let (bytes, allocations) = write(exposition(guest, Filter::default(), format));
        assert!(bytes > 30_000, "{bytes}");
        // The day on which support ends becomes a number.
        assert!(allocations <= 2, "{format:?}: {allocations}");
    }
}

/// Every subject that a lively cluster has, with all that can be switched on.
#[tokio::test]
async fn encoding_what_all_sources_bring_allocates_nothing() {
    let options = Options {
        guests: 200,
        events: true,
        sees_backups: true,
        ..options()
    };
    let everything_on = |config: &mut Config| {
        let metrics = &mut config.metrics;
        (metrics.guest_balloon, metrics.snapshot_names) = (true, true);
        metrics.failed_tasks = 100;
    };
    let simulated = Simulated::with(options, everything_on).await;
    let read = |family: &'static str, least: usize| {
        simulated.until_aging(1, family, move |seen| seen.samples(family).count() >= least)
    };
    for (family, least) in [
        ("pve_guest_config_info", 8),
        ("pve_snapshot_timestamp_seconds", 1),
        ("pve_backup_last_attempt_timestamp_seconds", 1),
        ("pve_backup_volumes", 1),
        ("pve_task_failed_info", 1),
        ("pve_guest_drive_read_bytes_total", 50),
    ] {
        read(family, least).await;
    }
    for format in [Format::OpenMetrics, Format::Classic] {
        let exposition = simulated.exporter.scrape(&everything(format)).await.unwrap();
        let (bytes, allocations) = write(exposition);
        assert!(bytes > 500_000, "{bytes}");
        // The cluster's own id is put together as it is written.
        assert!(allocations <= 2, "{format:?}: {allocations}");
    }
}

#[test]
fn the_counter_counts() {
    let measured = allocation_counter::measure(|| drop(std::hint::black_box(vec![1])));
    assert_eq!(measured.count_total, 1);
}
