//! The sources of tasks and backups as a whole, against a simulated cluster and constructed bodies.
#![expect(clippy::unwrap_used, reason = "a fault of the set-up fails the test")]

mod support;

use std::time::Duration;

use pve_exporter::clock::Clock;
use pve_exporter::scrape::Exporter;
use serde_json::Value;
use support::exporters::{scrape, with_config};
use support::fixture_server::FixtureServer;
use support::simulated::{Simulated, source_up};
use support::strict::Exposition;

fn backups_known(seen: &Exposition) -> usize {
    seen.samples("pve_backup_last_success_timestamp_seconds").count()
}

#[tokio::test]
async fn a_node_whose_logs_hang_holds_up_no_other() {
    let pve = Simulated::start().await;
    pve.inject("hang:/nodes/pve2/tasks/*/log").await;
    let waiting = |seen: &Exposition| seen.value("pve_backup_logs_waiting", &[]).unwrap_or_default();
    let hangs = |_: &Exposition| pve.simulator.running_calls("pve2") > 0;
    let before = pve.until_aging(1, "a read hangs", hangs).await;
    let configurations = |seen: &Exposition| seen.samples("pve_guest_config_info").count();
    let go_on = |seen: &Exposition| {
        waiting(seen) + 3.0 <= waiting(&before) && configurations(seen) >= configurations(&before) + 3
    };
    let seen = pve.until_aging(1, "other logs and surveys go on", go_on).await;
    assert_eq!(source_up(&seen, "backup_logs", "pve1"), Some(1.0));
    assert_eq!(source_up(&seen, "backup_logs", "pve2"), None);
}

#[tokio::test]
async fn logs_wait_for_a_node_that_is_offline() {
    let pve = Simulated::start().await;
    // The lists are known when the node is lost.
    pve.scrape().await;
    pve.inject("offline:pve2").await;
    let done =
        |seen: &Exposition| seen.value("pve_node_up", &[("node", "pve2")]) == Some(0.0) && backups_known(seen) > 0;
    let seen = pve.until_aging(15, "backups of the others are known", done).await;
    assert_eq!(seen.value("pve_backup_logs_unreadable_total", &[]), Some(0.0));
    pve.clear().await;
    let known = |seen: &Exposition| {
        source_up(seen, "backup_logs", "pve2") == Some(1.0) && seen.value("pve_backup_logs_waiting", &[]) == Some(0.0)
    };
    pve.until_aging(15, "all logs are read", known).await;
}

/// The constructed PVE 9, with `change` made to the body of `path`.
fn change(server: &FixtureServer, path: &str, change: impl FnOnce(&mut Value)) {
    let file = format!(
        "tests/fixtures/pve-9/{}.json",
        path.trim_start_matches('/').replace('/', "__")
    );
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    let mut body: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    change(&mut body["data"]);
    server.reply(path, 200, "OK", body.to_string());
}

async fn until(exporter: &Exporter, clock: &Clock, what: &str, holds: impl Fn(&Exposition) -> bool) {
    for _ in 0..1000 {
        if holds(&scrape(exporter).await) {
            return;
        }
        clock.advance(Duration::from_secs(1));
        exporter.retry();
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("never: {what}");
}

#[tokio::test]
async fn no_backup_is_called_orphaned_where_guests_may_be_hidden() {
    let is_listed = |seen: &Exposition| seen.samples("pve_backup_volumes").count() > 0;
    let has_orphans = |seen: &Exposition| seen.samples("pve_backup_orphaned_volumes").count() > 0;
    for audits in [true, false] {
        let server = FixtureServer::with_folder("pve-9").await;
        change(&server, "/access/permissions", |all| {
            let here = all["/"].as_object().unwrap().clone();
            all["/vms"] = here.into();
            if !audits {
                all["/vms"].as_object_mut().unwrap().remove("VM.Audit");
            }
        });
        let (exporter, clock) = with_config(&[("main", server.cluster())], |_| {});
        let holds = |seen: &Exposition| is_listed(seen) && has_orphans(seen) == audits;
        until(&exporter, &clock, "volumes are listed", holds).await;
    }
}

#[tokio::test]
async fn the_archive_of_a_node_that_left_has_no_record() {
    let server = FixtureServer::with_folder("pve-9").await;
    let (exporter, clock) = with_config(&[("main", server.cluster())], |_| {});
    until(&exporter, &clock, "the archive is read", |seen| {
        source_up(seen, "task_archive", "pve2").is_some()
    })
    .await;
    for path in ["/cluster/resources", "/cluster/status", "/cluster/tasks"] {
        change(&server, path, |rows| {
            let rows = rows.as_array_mut().unwrap();
            rows.retain(|row| row["node"] != "pve2" && row["name"] != "pve2");
        });
    }
    clock.advance(Duration::from_secs(60));
    scrape(&exporter).await;
    clock.advance(Duration::from_secs(86_500));
    until(&exporter, &clock, "its record is gone", |seen| {
        source_up(seen, "task_archive", "pve2").is_none() && source_up(seen, "task_archive", "pve1").is_some()
    })
    .await;
}
