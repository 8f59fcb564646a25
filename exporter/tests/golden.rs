//! Bodies in, exposition out. `UPDATE=1 cargo test` rewrites the goldens; they are reviewed as a diff.
//!
//! `pve-9.2` was recorded from a real cluster of three nodes, one of them offline; only the log of the backup of lxc/200 had to be
//! added. `pve-9`, `pve-8`, `pve-7` and `no-rights` were constructed from PVE's source. All tokens but the last are those of an
//! auditor; that of `pve-9` may list the backups on one storage as well.
#![expect(clippy::unwrap_used, reason = "a fault of the set-up fails the test")]

mod support;

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use pve_exporter::clock::Clock;
use pve_exporter::config::{Config, Metrics};
use pve_exporter::metrics::exposition::Format;
use pve_exporter::scrape::Exporter;
use support::exporters::{checked, text, with_config};
use support::fixture_server::FixtureServer;
use support::simulated::until;

/// What differs from run to run.
const VOLATILE: [&str; 4] = [
    "process_*",
    "pve_exporter_*",
    "pve_source_duration_*",
    "pve_source_last_success_*",
];

/// Backups after which the same guest had a newer one: nobody reads their logs.
const NEEDLESS: [&str; 2] = ["0000024E:000488B4", "00000269:00048981"];

/// Compares what the bodies of `folder` give, with the configuration changed, with the golden `name`.
async fn golden(name: &str, folder: &str, change: impl FnOnce(&mut Metrics)) {
    let server = FixtureServer::with_folder(folder).await;
    let configure = |config: &mut Config| {
        change(&mut config.metrics);
        config.metrics.drop = VOLATILE.map(str::to_owned).to_vec();
    };
    let (exporter, clock) = with_config(&[("main", server.cluster())], configure);
    read_everything(&exporter, &clock, &server).await;
    for (format, extension) in [(Format::OpenMetrics, "om"), (Format::Classic, "prom")] {
        let text = text(&exporter, format).await;
        checked(&text, format);
        let text = settled(&text).replace(server.url.as_str().trim_end_matches('/'), "https://pve1:8006");
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/{name}.{extension}"));
        if std::env::var_os("UPDATE").is_some() {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, &text).unwrap();
        }
        let expected = std::fs::read_to_string(&path).unwrap_or_default();
        let difference = text.lines().zip(expected.lines()).find(|(new, old)| new != old);
        assert!(
            text == expected,
            "{} differs, first in {difference:?}; UPDATE=1 rewrites it",
            path.display()
        );
    }
}

/// Scrapes, and then lets what is read bit by bit be read.
async fn read_everything(exporter: &Exporter, clock: &Clock, server: &FixtureServer) {
    text(exporter, Format::OpenMetrics).await;
    let bit_by_bit = |path: &String| ["/pending", "/snapshot", "/log"].iter().any(|end| path.ends_with(end));
    let needed = |path: &String| !NEEDLESS.iter().any(|task| path.contains(task));
    let mut unread: BTreeSet<_> = server.paths().into_iter().filter(bit_by_bit).filter(needed).collect();
    until("everything is read", || {
        clock.advance(Duration::from_millis(200));
        exporter.retry();
        for call in server.calls() {
            unread.remove(call.split('?').next().unwrap());
        }
        unread.is_empty() && answers(exporter) == server.calls().len()
    })
    .await;
    let asked = server.calls();
    assert!(!NEEDLESS.iter().any(|task| asked.iter().any(|path| path.contains(task))));
}

/// How many answers the exporter has got.
fn answers(exporter: &Exporter) -> usize {
    let text = exporter.own().text(
        Format::Classic,
        |name| name == "pve_exporter_api_requests_total",
        &["main"],
    );
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    samples
        .map(|line| line.rsplit(' ').next().unwrap().parse::<usize>().unwrap())
        .sum()
}

/// That a source has failed is shown, but not how often: that depends on how long the run takes.
fn settled(text: &str) -> String {
    let settle = |line: &str| match line.rsplit_once(' ') {
        Some((series, _)) if line.starts_with("pve_source_failures_total") => format!("{series} 1\n"),
        _ => format!("{line}\n"),
    };
    text.lines().map(settle).collect()
}

#[tokio::test]
async fn recorded_pve_9_2() {
    golden("pve-9.2", "pve-9.2", |_| {}).await;
}

#[tokio::test]
async fn constructed_pve_9() {
    golden("pve-9", "pve-9", |_| {}).await;
}

#[tokio::test]
async fn constructed_pve_9_with_everything() {
    golden("pve-9-everything", "pve-9", |metrics| {
        metrics.guest_drives = true;
        metrics.guest_interfaces = true;
        metrics.guest_pressure_full = true;
        metrics.guest_balloon = true;
        metrics.snapshot_names = true;
        metrics.failed_tasks = 10;
    })
    .await;
}

#[tokio::test]
async fn constructed_pve_8() {
    golden("pve-8", "pve-8", |_| {}).await;
}

#[tokio::test]
async fn constructed_pve_7() {
    golden("pve-7", "pve-7", |_| {}).await;
}

#[tokio::test]
async fn constructed_token_without_rights() {
    golden("no-rights", "no-rights", |_| {}).await;
}
