//! What is read one by one, behind the scrapes: configurations, snapshots, the logs of backups and the archives of tasks.

use std::collections::BTreeSet;
use std::time::Duration;

use pve_simulator::{BackupResult, NewBackup, Options};

use crate::belongs::{of, of_any, of_guest_on};
use crate::support::simulated::{Simulated, differences, failures, options, samples, series, source_up, sources_down};
use crate::support::strict::{Exposition, Sample};

const LOGS: &str = "/nodes/*/tasks/*/log";
const ARCHIVES: &str = "/nodes/*/tasks";

/// The sources that are read guest by guest.
const SURVEYS: [&str; 2] = ["guest_config", "snapshots"];

impl Simulated {
    /// One whose time-outs are short.
    async fn impatient() -> Self {
        Self::with(options(), |config| {
            let cluster = config.clusters.get_mut("main").unwrap();
            (cluster.connect_timeout, cluster.request_timeout) = (Duration::from_secs(1), Duration::from_millis(1500));
        })
        .await
    }

    /// Reads on for so long.
    async fn read_on(&self, seconds: usize) -> Exposition {
        self.scrape().await;
        for second in 1..=seconds {
            self.tick().await;
            if second % 60 == 0 {
                self.scrape().await;
            }
        }
        self.scrape().await
    }

    /// Has a guest backed up, and lets the exporter know.
    async fn back_up(&self, vmid: u32) {
        let guest = self.simulator.guest(vmid).unwrap();
        let backup = NewBackup {
            node: guest.node,
            storage: "nas".to_owned(),
            guests: vec![(vmid, BackupResult::Done)],
            each: Duration::from_secs(20),
        };
        self.advance(40);
        self.simulator.run_backup(&backup).unwrap();
        self.scrape_after(40).await;
        self.idle().await;
        self.scrape().await;
    }
}

fn last_success(seen: &Exposition, id: &str) -> Option<f64> {
    seen.value("pve_backup_last_success_timestamp_seconds", &[("id", id)])
}

fn count(seen: &Exposition, name: &str) -> usize {
    seen.samples(name).count()
}

#[tokio::test]
async fn a_node_that_cannot_be_asked_holds_up_no_survey_and_no_log_of_others() {
    let whole = Simulated::start().await.settle().await;
    for (fault, reason) in [
        ("offline:pve2", ""),
        ("proxy-down:pve2", "status"),
        ("hang:pve2", "timeout"),
    ] {
        let pve = Simulated::impatient().await;
        pve.inject(fault).await;
        let seen = pve.read_on(150).await;
        let from_here = |sample: &&Sample| of_any(&SURVEYS, sample) && !of("resources", sample);
        let expected: Vec<_> = samples(&whole).into_values().filter(from_here).map(series).collect();
        let there: Vec<_> = samples(&seen).into_values().filter(from_here).map(series).collect();
        let missing: Vec<_> = samples(&whole)
            .into_values()
            .filter(|sample| from_here(sample) && !there.contains(&series(sample)))
            .collect();
        assert!(
            there.iter().all(|one| expected.contains(one)) && !missing.is_empty(),
            "{fault}"
        );
        for sample in missing {
            assert!(of_guest_on(&whole, sample, "pve2"), "{fault}: {}", series(sample));
        }
        for source in SURVEYS {
            assert_eq!(source_up(&seen, source, "pve1"), Some(1.0), "{fault}: {source}");
            assert_eq!(source_up(&seen, source, "pve2"), Some(0.0), "{fault}: {source}");
            let failed = failures(&seen, source, "pve2", reason);
            assert!(
                reason.is_empty() || (1.0..5.0).contains(&failed),
                "{fault}: {source} {failed}"
            );
        }
        assert_eq!(
            seen.value("pve_backup_logs_unreadable_total", &[]),
            Some(0.0),
            "{fault}"
        );
        // A run of a job backs up the guests of its own node.
        for sample in whole.samples("pve_backup_info") {
            let id = sample.label("id").unwrap();
            assert!(
                last_success(&seen, id).is_some() || of_guest_on(&whole, sample, "pve2"),
                "{fault}: {id}"
            );
        }

        pve.clear().await;
        pve.age(3600);
        let seen = pve.read_on(200).await;
        let differ = differences(&whole, &seen);
        assert!(differ.is_empty(), "{fault}: {}", series(differ[0]));
        assert_eq!(sources_down(&seen), [], "{fault}");
    }
}

#[tokio::test]
async fn a_log_that_cannot_be_read_costs_no_history_and_is_read_later() {
    for (fault, reason) in [
        ("status=500", "status"),
        ("garbage", "decode"),
        ("hang", "timeout"),
        ("status=403", "forbidden"),
    ] {
        let pve = Simulated::impatient().await;
        let before = pve.settle().await;
        pve.inject(&format!("{fault}:{LOGS}")).await;
        pve.back_up(100).await;
        pve.tick().await;
        let seen = pve
            .until(fault, |seen| failures(seen, "backup_logs", "pve1", reason) == 1.0)
            .await;
        assert_eq!(
            sources_down(&seen),
            [("backup_logs".to_owned(), "pve1".to_owned())],
            "{fault}"
        );
        for sample in differences(&before, &seen) {
            let waits = sample.name == "pve_backup_logs_waiting";
            assert!(waits || !of("backup_logs", sample), "{fault}: {}", series(sample));
        }
        pve.clear().await;
        let seen = pve.read_on(130).await;
        assert!(
            last_success(&seen, "qemu/100") > last_success(&before, "qemu/100"),
            "{fault}"
        );
        assert_eq!(sources_down(&seen), [], "{fault}");
        assert_eq!(
            seen.value("pve_backup_logs_unreadable_total", &[]),
            Some(0.0),
            "{fault}"
        );
    }
}

#[tokio::test]
async fn only_a_log_that_is_broken_itself_is_given_up() {
    for (fault, unreadable) in [
        ("status=500", 1.0),
        ("garbage", 1.0),
        ("proxy-down:pve1", 0.0),
        ("status=596", 0.0),
    ] {
        let pve = Simulated::start().await;
        let before = pve.settle().await;
        let path = if fault.contains(':') {
            String::new()
        } else {
            format!(":{LOGS}")
        };
        pve.inject(&format!("{fault}{path}")).await;
        pve.back_up(100).await;
        let seen = pve.read_on(500).await;
        assert_eq!(
            seen.value("pve_backup_logs_unreadable_total", &[]),
            Some(unreadable),
            "{fault}"
        );
        pve.clear().await;
        let seen = pve.read_on(130).await;
        let read = last_success(&seen, "qemu/100") > last_success(&before, "qemu/100");
        assert_eq!(read, unreadable == 0.0, "{fault}");
        assert_eq!(last_success(&seen, "qemu/103"), last_success(&before, "qemu/103"));
    }
}

#[tokio::test]
async fn without_archives_tasks_are_counted_all_the_same_and_older_times_come_later() {
    for (fault, reason) in [("status=500", "status"), ("garbage", "decode")] {
        let pve = Simulated::start().await;
        let whole = Simulated::start().await.settle().await;
        pve.inject(&format!("{fault}:{ARCHIVES}")).await;
        let seen = pve.scrape().await;
        for node in ["pve1", "pve2", "pve3"] {
            assert_eq!(source_up(&seen, "task_archive", node), Some(0.0), "{fault}: {node}");
            assert_eq!(failures(&seen, "task_archive", node, reason), 1.0, "{fault}: {node}");
        }
        pve.simulator
            .run_task("pve2", "qmstart", "101", "OK", Duration::from_secs(3))
            .unwrap();
        pve.scrape_after(40).await;
        pve.idle().await;
        let seen = pve.scrape().await;
        let started = [("node", "pve2"), ("type", "qmstart"), ("result", "ok")];
        assert_eq!(seen.value("pve_task_finished_total", &started), Some(1.0), "{fault}");

        pve.clear().await;
        let seen = pve.read_on(20).await;
        assert_eq!(sources_down(&seen), [], "{fault}");
        assert_eq!(seen.value("pve_task_finished_total", &started), Some(1.0), "{fault}");
        let times = |seen: &Exposition| -> BTreeSet<String> {
            seen.samples("pve_task_last_success_timestamp_seconds")
                .map(series)
                .collect()
        };
        assert!(times(&seen).is_superset(&times(&whole)), "{fault}: of before the start");
        assert!(
            seen.samples("pve_task_history_gaps_total")
                .all(|sample| sample.value == 0.0)
        );
    }
}

#[tokio::test]
async fn a_storage_that_is_slow_to_list_its_backups_holds_up_nobody() {
    let seeing = Options {
        sees_backups: true,
        ..options()
    };
    let pve = Simulated::with(seeing, |_| {}).await;
    pve.inject("hang:/nodes/*/storage/backup/content").await;
    let seen = pve.scrape().await;
    assert_eq!(count(&seen, "pve_guest_info"), 24);
    let up = |source| source_up(&seen, source, "pve1");
    assert!(
        ["qemu", "lxc", "replication", "netstat"]
            .into_iter()
            .all(|source| up(source) == Some(1.0))
    );
    assert_eq!(count(&seen, "pve_backup_volumes"), 0);
    pve.clear().await;
    pve.until_aging(5, "all are listed", |seen| {
        let listed = |storage| {
            seen.samples("pve_backup_volumes")
                .any(|sample| sample.label("storage") == Some(storage))
        };
        listed("nas") && listed("backup")
    })
    .await;
}
