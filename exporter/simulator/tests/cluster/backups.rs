//! What is backed up, what not, and what runs of backups leave behind.

use std::{collections::BTreeSet, time::Duration};

use pve_simulator::{BackupResult, NewBackup, Options, Simulator};
use serde_json::Value;

use crate::client::{get, quick, rows};

const NOW: u64 = 1_786_800_000;
const DAY: u64 = 86_400;

async fn cluster(events: bool) -> Simulator {
    let options = Options {
        events,
        sees_backups: true,
        ..quick()
    };
    Simulator::start(options).await.unwrap()
}

async fn log(simulator: &Simulator, upid: &str) -> Vec<String> {
    let node = upid.split(':').nth(1).unwrap();
    let lines = rows(simulator, "pve1", &format!("/nodes/{node}/tasks/{upid}/log?limit=0")).await;
    lines
        .iter()
        .map(|line| line["t"].as_str().unwrap().to_owned())
        .collect()
}

/// Every log of `vzdump` since a time, by its status.
async fn logs(simulator: &Simulator, since: u64) -> Vec<(String, Vec<String>)> {
    let mut logs = Vec::new();
    for node in simulator.nodes() {
        let path = format!("/nodes/{node}/tasks?typefilter=vzdump&limit=1000&since={since}");
        for task in rows(simulator, "pve1", &path).await {
            let lines = log(simulator, task["upid"].as_str().unwrap()).await;
            logs.push((task["status"].as_str().unwrap().to_owned(), lines));
        }
    }
    logs
}

/// The ids of guests whose backup finished in these logs.
fn finished(logs: &[(String, Vec<String>)]) -> BTreeSet<u32> {
    let lines = logs.iter().flat_map(|(_, lines)| lines);
    let rest = lines.filter_map(|line| line.strip_prefix("INFO: Finished Backup of VM "));
    rest.map(|rest| rest.split(' ').next().unwrap().parse().unwrap())
        .collect()
}

async fn ids(simulator: &Simulator, path: &str) -> BTreeSet<u64> {
    rows(simulator, "pve1", path)
        .await
        .iter()
        .map(|row| row["vmid"].as_u64().unwrap())
        .collect()
}

#[tokio::test]
async fn jobs_run_by_local_time() {
    let simulator = cluster(false).await;
    let jobs = rows(&simulator, "pve1", "/cluster/backup").await;
    let next: Vec<u64> = jobs.iter().map(|job| job["next-run"].as_u64().unwrap()).collect();
    // 13:20 UTC on a Saturday is 15:20 at the nodes; one in the morning there is 23:00 UTC.
    assert_eq!(next, [NOW + 34_800, NOW + 49_200, NOW + 45_600]);
    simulator.advance(Duration::from_secs(34_800));
    let jobs = rows(&simulator, "pve1", "/cluster/backup").await;
    assert_eq!(jobs[0]["next-run"], NOW + 34_800 + DAY);
    assert_eq!(
        (&jobs[2]["enabled"], &jobs[0]["prune-backups"]["keep-last"]),
        (&0.into(), &"7".into())
    );

    simulator.advance(Duration::from_secs(10));
    let running = rows(&simulator, "pve1", "/nodes/pve1/tasks?source=active").await;
    let upid = running[0]["upid"].as_str().unwrap();
    let begun = log(&simulator, upid).await;
    let local = "INFO: Backup started at 2026-08-16 01:00:0";
    assert!(begun.iter().any(|line| line.starts_with(local)), "{begun:?}");
    simulator.advance(Duration::from_secs(3_600));
    let done = log(&simulator, upid).await;
    assert_eq!(done[..begun.len()], begun);
    assert_eq!(
        done[done.len() - 2..],
        ["INFO: Backup job finished successfully", "TASK OK"]
    );
}

#[tokio::test]
async fn a_quiet_cluster_is_backed_up_but_for_one_guest() {
    let simulator = cluster(false).await;
    let uncovered = ids(&simulator, "/cluster/backup-info/not-backed-up").await;
    assert_eq!(uncovered.len(), 1);
    let logs = logs(&simulator, NOW - 8 * DAY).await;
    assert!(logs.iter().all(|(status, _)| status == "OK"));
    let mut all: BTreeSet<u64> = finished(&logs).into_iter().map(u64::from).collect();
    assert!(all.is_disjoint(&uncovered));
    all.extend(uncovered);
    let guests: BTreeSet<u64> = simulator.guests().iter().map(|guest| guest.vmid.into()).collect();
    assert_eq!(all, guests);
}

#[tokio::test]
async fn something_is_always_wrong_in_a_lively_cluster() {
    let simulator = cluster(true).await;
    let last_night = logs(&simulator, NOW - DAY).await;
    let lines: Vec<&String> = last_night.iter().flat_map(|(_, lines)| lines).collect();
    let count = |text: &str| lines.iter().filter(|line| line.contains(text)).count();
    assert_eq!(count(" failed - job failed with err -5"), 1);
    assert_eq!(
        count("skipping guest filesystem freeze - agent configured but not running?"),
        1
    );
    assert_eq!(
        last_night.iter().filter(|(status, _)| status == "job errors").count(),
        1
    );
    let all = logs(&simulator, NOW - 15 * DAY).await;
    let mut failed: Vec<&str> = all.iter().map(|(status, _)| &**status).collect();
    failed.retain(|status| *status != "OK");
    failed.sort_unstable();
    assert_eq!(
        failed,
        [
            "could not activate storage 'nas': storage 'nas' is not online",
            "job errors"
        ]
    );

    let missed = rows(&simulator, "pve1", "/cluster/backup").await[2]["vmid"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    assert!(finished(&logs(&simulator, NOW - 9 * DAY).await).contains(&missed));
    assert!(!finished(&logs(&simulator, NOW - 7 * DAY).await).contains(&missed));
    simulator.advance(Duration::from_secs(3 * 3_600));
    let since_start = finished(&logs(&simulator, NOW).await);
    assert!(
        since_start.len() > 10 && !since_start.contains(&missed),
        "{since_start:?}"
    );
    let uncovered = ids(&simulator, "/cluster/backup-info/not-backed-up").await;
    assert!(uncovered.len() == 1 && !uncovered.contains(&u64::from(missed)));
}

#[tokio::test]
async fn runs_end_as_they_are_told() {
    let simulator = cluster(false).await;
    let guests: Vec<u32> = simulator
        .guests()
        .iter()
        .filter(|guest| guest.running)
        .map(|guest| guest.vmid)
        .collect();
    let run = |storage: &str, results: Vec<(u32, BackupResult)>| NewBackup {
        node: "pve1".to_owned(),
        storage: storage.to_owned(),
        guests: results,
        each: Duration::from_secs(20),
    };
    let (first, second) = (guests[0], guests[1]);
    let failed = BackupResult::Failed("VM is locked (snapshot)".to_owned());
    let warned = BackupResult::Warned("unable to add notes".to_owned());
    let two = |one, other| vec![(first, one), (second, other)];
    for (results, status, present, absent) in [
        (
            two(BackupResult::Done, BackupResult::NotFrozen),
            "OK",
            format!("INFO: Finished Backup of VM {second} (00:00:20)"),
            "skip external",
        ),
        (
            two(failed, BackupResult::Done),
            "job errors",
            format!("ERROR: Backup of VM {first} failed - VM is locked (snapshot)"),
            "finished successfully",
        ),
        (
            vec![(second, warned)],
            "WARNINGS: 1",
            "TASK WARNINGS: 1".to_owned(),
            "TASK OK",
        ),
        (
            two(BackupResult::Interrupted, BackupResult::Done),
            "interrupted by signal",
            "ERROR: Backup job failed - interrupted by signal".to_owned(),
            "Finished Backup",
        ),
        (
            two(BackupResult::Killed, BackupResult::Done),
            "unexpected status",
            "INFO: status = running".to_owned(),
            "TASK",
        ),
        (
            vec![(9_999, BackupResult::Done)],
            "job errors",
            "ERROR: Backup of VM 9999 failed - unable to find VM '9999'".to_owned(),
            "Starting Backup",
        ),
    ] {
        let upid = simulator.run_backup(&run("backup", results)).unwrap();
        let lines = log(&simulator, &upid).await;
        assert!(lines.contains(&present), "{status}: no {present} in {lines:#?}");
        assert!(
            !lines.iter().any(|line| line.contains(absent)),
            "{status}: {absent} in {lines:#?}"
        );
        let archive = rows(&simulator, "pve1", "/nodes/pve1/tasks").await;
        assert_eq!(
            archive.iter().find(|row| row["upid"] == upid).unwrap()["status"],
            status
        );
    }
    let upid = simulator
        .start_backup(&run("nas", two(BackupResult::Done, BackupResult::Done)))
        .unwrap();
    simulator.advance(Duration::from_secs(30));
    let half = log(&simulator, &upid).await;
    assert!(half.iter().any(|line| line.contains("Finished Backup")) && half.iter().any(|line| line.contains("% (")));
    assert!(simulator.end_task(&upid, "unexpected status"));
    assert!(!log(&simulator, &upid).await.iter().any(|line| line.contains("TASK")));
    assert!(simulator.run_backup(&run("nas", Vec::new())).is_none());
}

/// What agrees between a volume and the log of the run that stored it.
#[tokio::test]
async fn volumes_are_those_of_the_successful_runs() {
    let simulator = cluster(true).await;
    let content = rows(&simulator, "pve1", "/nodes/pve2/storage/backup/content?content=backup").await;
    let logs = logs(&simulator, NOW - 14 * DAY).await;
    let lines: BTreeSet<&String> = logs.iter().flat_map(|(_, lines)| lines).collect();
    let guests: BTreeSet<u64> = simulator.guests().iter().map(|guest| guest.vmid.into()).collect();
    let vmid = |row: &Value| row["vmid"].as_u64().unwrap();
    for row in content.iter().filter(|row| guests.contains(&vmid(row))) {
        let target = row["volid"].as_str().unwrap().strip_prefix("backup:backup/").unwrap();
        let line = format!("INFO: creating Proxmox Backup Server archive '{target}'");
        assert!(lines.contains(&line), "{line}");
    }
    let gone: Vec<&Value> = content.iter().filter(|row| !guests.contains(&vmid(row))).collect();
    assert_eq!(gone.len(), 1);
    assert!(
        content.iter().any(|row| row["protected"] == 1)
            && content.iter().any(|row| row["verification"]["state"] == "ok")
    );
    let of_first = content.iter().filter(|row| row["vmid"] == 100);
    assert_eq!(of_first.count(), 7 + 1, "retention keeps seven and what is protected");

    let backup = NewBackup {
        node: "pve2".to_owned(),
        storage: "local".to_owned(),
        guests: vec![(100, BackupResult::Done), (101, BackupResult::Failed("no".to_owned()))],
        each: Duration::from_secs(5),
    };
    simulator.run_backup(&backup).unwrap();
    let local = async |node: &str| {
        ids(
            &simulator,
            &format!("/nodes/{node}/storage/local/content?content=backup"),
        )
        .await
    };
    assert_eq!(
        (local("pve2").await, local("pve1").await),
        (BTreeSet::from([100]), BTreeSet::new())
    );
}

#[tokio::test]
async fn backup_volumes_need_more_than_an_auditor_has() {
    let path = "/nodes/pve1/storage/backup/content?content=backup";
    let auditor = Simulator::start(quick()).await.unwrap();
    assert_eq!(
        get(&auditor, "pve1", path).await.json(),
        serde_json::json!({"data": []})
    );
    let permissions = "/access/permissions?path=%2Fstorage%2Fbackup";
    let privileges = get(&auditor, "pve1", permissions).await.json()["data"]["/storage/backup"].take();
    assert!(privileges.get("Datastore.AllocateSpace").is_none() && privileges.get("VM.Backup").is_none());
    let more = cluster(false).await;
    let privileges = get(&more, "pve1", permissions).await.json()["data"]["/storage/backup"].take();
    assert_eq!(
        (&privileges["Datastore.Allocate"], &privileges["VM.Backup"]),
        (&1.into(), &1.into())
    );
    assert!(!rows(&more, "pve1", path).await.is_empty());
}
