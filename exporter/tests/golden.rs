//! Bodies in, exposition out. `UPDATE=1 cargo test` rewrites the goldens; they are reviewed as a diff.
//!
//! `pve-9.2` was recorded from a real cluster of three nodes, one of them offline, without ZFS and Ceph and on virtual disks; only
//! the log of the backup of lxc/200, the firewall options of pve2 and what PVE says of agents other than that of qemu/100 had to
//! be added. `pve-9`, `pve-8`, `pve-7` and `no-rights` were constructed from PVE's source. All tokens but the last are those of an
//! auditor; that of `pve-9` may list the backups on one storage as well. At its pve1 a backup runs, so that no agent is asked.
//!
//! The bodies stand still: with time every node that is up counts as one whose samples have stalled.
#![expect(clippy::unwrap_used, reason = "a fault of the set-up fails the test")]

mod support;

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use pve_exporter::clock::Clock;
use pve_exporter::config::{Config, SourceSettings};
use pve_exporter::metrics::exposition::Format;
use pve_exporter::scrape::Exporter;
use pve_exporter::sources::name::SourceName;
use support::exporters::{checked, text, with_clock};
use support::fixture_server::FixtureServer;
use support::simulated::until;

/// When the bodies of `pve-9.2` were recorded, in Unix seconds.
const RECORDED: u64 = 1_795_151_680;

/// When the others would have been.
const CONSTRUCTED: u64 = 1_786_800_020;

/// What differs from run to run.
const VOLATILE: [&str; 7] = [
    "process_*",
    "pve_exporter_*",
    "pve_source_duration_*",
    "pve_source_last_success_*",
    "pve_guest_agent_call_duration_*",
    "pve_guest_agent_last_answer_*",
    "pve_guest_agent_retry_*",
];

/// Backups after which the same guest had a newer one: nobody reads their logs.
const NEEDLESS: [&str; 2] = ["0000024E:000488B4", "00000269:00048981"];

/// After so many seconds in which nothing new was asked everything has been read: no source waits longer for its turn.
const QUIET: u64 = 60;

/// The seconds between scrapes.
const INTERVAL: u64 = 15;

/// Compares what the bodies of `folder` give at the time `now`, with the configuration changed, with the golden `name`. Gives the
/// paths for whose bodies nobody has asked.
async fn golden(name: &str, folder: &str, now: u64, change: impl FnOnce(&mut Config)) -> Vec<String> {
    let server = FixtureServer::with_folder(folder).await;
    let clock = Clock::standing_at(now);
    let exporter = with_clock(&[("main", server.cluster())], &clock, |config| {
        change(config);
        config.metrics.drop = VOLATILE.map(str::to_owned).to_vec();
    });
    let unread = read_everything(&exporter, &clock, &server).await;
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
    unread
}

/// Lets the clock run, and scrapes now and then, until nothing is asked any more that was not asked before. Gives the
/// paths for which that did not happen.
async fn read_everything(exporter: &Exporter, clock: &Clock, server: &FixtureServer) -> Vec<String> {
    let (mut asked, mut quiet) = (BTreeSet::new(), 0);
    for second in 0.. {
        if second % INTERVAL == 0 {
            text(exporter, Format::OpenMetrics).await;
        }
        clock.advance(Duration::from_secs(1));
        exporter.retry();
        // What that has started gets its requests out.
        for _ in 0..64 {
            tokio::task::yield_now().await;
        }
        until("each call has been answered", || {
            answers(exporter) == server.calls().len()
        })
        .await;
        let before = std::mem::replace(&mut asked, server.asked());
        quiet = if asked == before { quiet + 1 } else { 0 };
        if quiet == QUIET {
            break;
        }
    }
    let there = server.paths();
    let unanswered: Vec<_> = asked.difference(&there).collect();
    assert!(unanswered.is_empty(), "nothing answers {unanswered:?}");
    there.difference(&asked).cloned().collect()
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

/// Leaves out what depends on how long the run takes: how often a source has failed, and how far the clocks have run apart since
/// a body was given, but for ten minutes and more.
fn settled(text: &str) -> String {
    let settle = |line: &str| match line.rsplit_once(' ') {
        Some((series, _)) if line.starts_with("pve_source_failures_total") => format!("{series} 1\n"),
        Some((series, value))
            if line.starts_with("pve_node_clock_offset_seconds")
                || line.starts_with("pve_guest_clock_offset_seconds") =>
        {
            let ten_minutes = (value.parse::<f64>().unwrap() / 600.0).round();
            // Not -0.
            format!("{series} {}\n", ten_minutes * 600.0 + 0.0)
        }
        _ => format!("{line}\n"),
    };
    text.lines().map(settle).collect()
}

/// Demands that only paths with such an end, or with such a query, are unread: their bodies are there for other tests, or for what
/// is switched off.
fn only(unread: &[String], expected: &[&str]) {
    let is_missed = |path: &&String| {
        let is_one = |end: &&str| path.ends_with(*end) || end.ends_with('?') && path.contains(*end);
        !expected.iter().any(is_one)
    };
    let unread: Vec<_> = unread.iter().filter(is_missed).collect();
    assert!(unread.is_empty(), "nobody reads {unread:?}");
}

#[tokio::test]
async fn recorded_pve_9_2() {
    let unread = golden("pve-9.2", "pve-9.2", RECORDED, |_| {}).await;
    for task in NEEDLESS {
        assert!(unread.iter().any(|path| path.contains(task)), "{task}");
    }
}

#[tokio::test]
async fn constructed_pve_9() {
    let unread = golden("pve-9", "pve-9", CONSTRUCTED, |_| {}).await;
    only(&unread, &["/disks/list", "/disks/smart?", "/qemu", "/netstat"]);
}

#[tokio::test]
async fn constructed_pve_9_with_everything() {
    let unread = golden("pve-9-everything", "pve-9", CONSTRUCTED, |config| {
        let metrics = &mut config.metrics;
        metrics.guest_drives = true;
        metrics.guest_interfaces = true;
        metrics.guest_pressure_full = true;
        metrics.guest_balloon = true;
        metrics.snapshot_names = true;
        metrics.failed_tasks = 10;
        let with_smart = SourceSettings {
            enabled: Some(true),
            ..SourceSettings::default()
        };
        config.sources.insert(SourceName::DiskSmart, with_smart);
    })
    .await;
    only(&unread, &["/disks/list", "/qemu"]);
}

#[tokio::test]
async fn constructed_pve_8() {
    let unread = golden("pve-8", "pve-8", CONSTRUCTED, |_| {}).await;
    only(&unread, &["/netstat"]);
}

#[tokio::test]
async fn constructed_pve_7() {
    let unread = golden("pve-7", "pve-7", CONSTRUCTED, |_| {}).await;
    only(&unread, &["/netstat"]);
}

#[tokio::test]
async fn constructed_token_without_rights() {
    let unread = golden("no-rights", "no-rights", CONSTRUCTED, |_| {}).await;
    // Without the nodes there are no votes.
    only(&unread, &["/netstat", "/cluster/config/qdevice"]);
}
