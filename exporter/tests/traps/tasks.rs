//! A task that ends is counted once, whatever PVE leaves out of its lists.

use std::time::Duration;

use crate::support::exporters::scrape;
use crate::support::simulated::{Simulated, options};
use crate::support::strict::Exposition;

const SECONDS: Duration = Duration::from_secs(3);

fn finished(seen: &Exposition, node: &str, kind: &str, result: &str) -> Option<f64> {
    let labels = [("node", node), ("type", kind), ("result", result)];
    seen.value("pve_task_finished_total", &labels)
}

fn no_gaps(seen: &Exposition) -> bool {
    let mut gaps = seen.samples("pve_task_history_gaps_total");
    gaps.all(|sample| sample.value == 0.0)
}

#[tokio::test]
async fn a_task_is_counted_once_however_many_scrape_however_often() {
    let pve = Simulated::start().await;
    pve.settle().await;
    pve.simulator.run_task("pve1", "qmstart", "100", "OK", SECONDS).unwrap();
    pve.simulator
        .run_task("pve1", "qmstart", "103", "start failed", SECONDS)
        .unwrap();
    let long = pve.simulator.start_task("pve2", "qmclone", "101").unwrap();
    for _ in 0..6 {
        pve.advance(20);
        let (one, other) = tokio::join!(scrape(&pve.exporter), scrape(&pve.exporter));
        let counted = |seen: &Exposition| finished(seen, "pve1", "qmstart", "ok");
        assert!(counted(&one) <= Some(1.0) && counted(&other) <= Some(1.0));
        pve.idle().await;
    }
    let seen = pve.scrape().await;
    assert_eq!(finished(&seen, "pve1", "qmstart", "ok"), Some(1.0));
    assert_eq!(finished(&seen, "pve1", "qmstart", "error"), Some(1.0));
    assert_eq!(
        seen.value("pve_task_running", &[("node", "pve2"), ("type", "qmclone")]),
        Some(1.0)
    );
    assert_eq!(finished(&seen, "pve2", "qmclone", "ok"), Some(0.0));

    assert!(pve.simulator.end_task(&long, "WARNINGS: 1"));
    let seen = pve.later(40).await;
    assert_eq!(
        seen.value("pve_task_running", &[("node", "pve2"), ("type", "qmclone")]),
        Some(0.0)
    );
    assert_eq!(finished(&seen, "pve2", "qmclone", "warning"), Some(1.0));
    let labels = [("node", "pve2"), ("type", "qmclone"), ("result", "warning")];
    assert!(seen.value("pve_task_duration_seconds_total", &labels) >= Some(120.0));
    assert!(no_gaps(&seen));
}

#[tokio::test]
async fn more_tasks_than_pve_lists_are_counted_from_the_archive() {
    let pve = Simulated::start().await;
    pve.settle().await;
    for round in 1..=3 {
        for _ in 0..60 {
            pve.simulator
                .run_task("pve2", "qmsnapshot", "101", "OK", SECONDS)
                .unwrap();
        }
        let seen = pve.later(40).await;
        assert_eq!(
            finished(&seen, "pve2", "qmsnapshot", "ok"),
            Some(60.0 * f64::from(round))
        );
        assert!(no_gaps(&seen));
    }
    // What PVE itself has thrown away is counted nowhere, and that is told.
    for _ in 0..60 {
        pve.simulator
            .run_task("pve2", "qmsnapshot", "101", "OK", SECONDS)
            .unwrap();
    }
    assert!(pve.simulator.rotate_archive("pve2") && pve.simulator.rotate_archive("pve2"));
    for _ in 0..30 {
        pve.simulator
            .run_task("pve2", "qmsnapshot", "101", "OK", SECONDS)
            .unwrap();
    }
    let seen = pve.later(40).await;
    assert_eq!(finished(&seen, "pve2", "qmsnapshot", "ok"), Some(210.0));
    assert_eq!(
        seen.value("pve_task_history_gaps_total", &[("node", "pve2")]),
        Some(1.0)
    );
}

#[tokio::test]
async fn an_outage_of_the_node_loses_no_task() {
    let pve = Simulated::start().await;
    pve.settle().await;
    pve.simulator.start_task("pve3", "qmigrate", "104").unwrap();
    let running = [("node", "pve3"), ("type", "qmigrate")];
    let seen = pve.later(40).await;
    assert_eq!(seen.value("pve_task_running", &running), Some(1.0));
    pve.inject("offline:pve3").await;
    for _ in 0..4 {
        let seen = pve.later(40).await;
        assert_eq!(seen.value("pve_task_running", &running), None, "nobody knows");
        assert_eq!(finished(&seen, "pve3", "qmigrate", "unknown"), Some(0.0));
    }
    pve.clear().await;
    for _ in 0..30 {
        pve.simulator.run_task("pve3", "qmstart", "104", "OK", SECONDS).unwrap();
    }
    pve.later(40).await;
    let seen = pve.later(40).await;
    assert_eq!(finished(&seen, "pve3", "qmstart", "ok"), Some(30.0));
    assert_eq!(
        finished(&seen, "pve3", "qmigrate", "unknown"),
        Some(1.0),
        "it died with its node"
    );
    assert_eq!(seen.value("pve_task_running", &running), Some(0.0));
    assert!(no_gaps(&seen));
}

#[tokio::test]
async fn a_new_exporter_knows_the_times_and_counts_from_the_start() {
    let mut pve = Simulated::start().await;
    pve.settle().await;
    for _ in 0..40 {
        pve.simulator.run_task("pve1", "qmstart", "100", "OK", SECONDS).unwrap();
    }
    pve.simulator.run_task("pve1", "qmstop", "100", "no", SECONDS).unwrap();
    let before = pve.later(40).await;
    assert_eq!(finished(&before, "pve1", "qmstart", "ok"), Some(40.0));
    pve.restart_exporter();
    let after = pve.settle().await;
    assert!(
        after
            .samples("pve_task_finished_total")
            .all(|sample| sample.value == 0.0)
    );
    assert_eq!(
        finished(&after, "pve1", "qmstart", "ok"),
        Some(0.0),
        "so that the first one is an increase"
    );
    for name in [
        "pve_task_last_success_timestamp_seconds",
        "pve_task_last_failure_timestamp_seconds",
        "pve_task_last_duration_seconds",
    ] {
        for sample in before.samples(name) {
            let labels = ["node", "type"].map(|label| (label, sample.label(label).unwrap()));
            assert_eq!(after.value(name, &labels), Some(sample.value), "{name} {labels:?}");
        }
    }
}

#[tokio::test]
async fn failed_tasks_are_named_on_demand_and_without_their_users() {
    for asked in [0, 2] {
        let pve = Simulated::with(options(), |config| config.metrics.failed_tasks = asked).await;
        pve.settle().await;
        for vmid in ["100", "103", "104"] {
            pve.simulator
                .run_task("pve1", "qmstart", vmid, "start failed: secret", SECONDS)
                .unwrap();
            pve.advance(5);
        }
        let seen = pve.later(40).await;
        let named: Vec<_> = seen.samples("pve_task_failed_info").collect();
        let ids: Vec<_> = named.iter().filter_map(|sample| sample.label("task_id")).collect();
        assert_eq!(ids.len(), asked, "{ids:?}");
        assert!(ids.iter().all(|id| ["103", "104"].contains(id)), "the newest: {ids:?}");
        for sample in named {
            let upid = sample.label("upid").unwrap();
            assert!(upid.starts_with("UPID:pve1:") && !upid.contains('@'), "{upid}");
            let text = format!("{:?}", sample.labels);
            assert!(!text.contains("root") && !text.contains("secret"), "{text}");
        }
    }
}
