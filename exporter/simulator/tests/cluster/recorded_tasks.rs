//! Tasks, their logs, backup jobs and storage content agree with recorded bodies.

use std::{collections::BTreeSet, time::Duration};

use pve_simulator::{BackupResult, GuestKind, NewBackup, Options, Simulator};
use serde_json::Value;

use crate::{
    client::{get, quick, rows},
    recorded::{assert_rows_agree, recorded, recorded_rows},
    shape::Shape,
};

/// A lively cluster with everything there is: what runs, what failed, and tasks of a token.
async fn busy() -> Simulator {
    let options = Options {
        events: true,
        sees_backups: true,
        ..quick()
    };
    let simulator = Simulator::start(options).await.unwrap();
    simulator.advance(Duration::from_secs(1_230));
    simulator.start_task("pve1", "qmigrate", "100").unwrap();
    simulator
}

fn state(row: &Value) -> String {
    let finished = if row.get("endtime").is_some() { "ended" } else { "runs" };
    let user = if row.get("tokenid").is_some() { "token" } else { "user" };
    format!("{finished} {user}")
}

#[tokio::test]
async fn tasks_agree() {
    let simulator = busy().await;
    // What a task of a token has more stands in the constructed body only.
    let mut known = recorded_rows("cluster__tasks");
    known.extend(recorded_rows("from-source/cluster-tasks"));
    let simulated = rows(&simulator, "pve1", "/cluster/tasks").await;
    assert_rows_agree("cluster tasks", &known, &simulated, state);
    let states: BTreeSet<String> = simulated.iter().map(state).collect();
    assert_eq!(states.len(), 3, "{states:?}");

    let mut known = recorded_rows("nodes__pve1__tasks");
    known.extend(recorded_rows("nodes__pve1__tasks@source=active"));
    let simulated = rows(
        &simulator,
        "pve1",
        "/nodes/pve1/tasks?source=all&limit=500&typefilter=vzdump",
    )
    .await;
    assert_rows_agree("node tasks", &known, &simulated, state);
    let running = rows(
        &simulator,
        "pve1",
        "/nodes/pve1/tasks?source=active&typefilter=qmigrate",
    )
    .await;
    assert_rows_agree("running tasks", &known, &running, state);
    assert_eq!(running.last().unwrap()["status"], "RUNNING");
    for name in ["nodes__pve1__tasks", "nodes__pve1__tasks@source=active"] {
        assert!(recorded(name)["total"].is_u64());
    }
    let answer = get(&simulator, "pve1", "/nodes/pve2/tasks").await.json();
    assert!(answer["total"].as_u64().unwrap() > 20);
}

/// A line without what differs from run to run: digits and quoted names.
fn form(line: &str) -> String {
    let mut form = String::new();
    let mut quoted = false;
    for character in line.chars() {
        if character == '\'' {
            quoted = !quoted;
        }
        let character = if character.is_ascii_digit() { '0' } else { character };
        if (!quoted || character == '\'') && !(character == '0' && form.ends_with('0')) {
            form.push(character);
        }
    }
    // The arguments of a run, and the name of its guest.
    for open in ["INFO: starting new backup job: vzdump ", "INFO: CT Name: "] {
        if form.starts_with(open) {
            open.clone_into(&mut form);
        }
    }
    form
}

fn forms(log: &Value) -> Vec<String> {
    let lines = log["data"].as_array().unwrap().iter();
    let lines = lines.map(|line| form(line["t"].as_str().unwrap()));
    // The node that was recorded lived in a container of its own.
    let lines = lines.filter(|line| !line.contains("filesystem type on dumpdir"));
    lines.map(|line| line.replace("MiB, 0.0MiB/s", "MiB, 0MiB/s")).collect()
}

#[tokio::test]
async fn logs_of_backups_agree_line_by_line() {
    let simulator = Simulator::start(quick()).await.unwrap();
    let guests = simulator.guests();
    let find = |kind| guests.iter().find(|guest| guest.kind == kind).unwrap();
    let (container, machine) = (find(GuestKind::Lxc), find(GuestKind::Qemu));
    assert!(simulator.stop(container.vmid) && simulator.stop(machine.vmid));
    let locked = BackupResult::Failed("VM is locked (backup)".to_owned());
    for (guest, result, name) in [
        (container, BackupResult::Done, "0000024E:000488B4:6AFFD186:vzdump:201"),
        (machine, locked, "0000027F:00048A4A:6AFFD18A:vzdump:104"),
    ] {
        let backup = NewBackup {
            node: guest.node.clone(),
            storage: "local".to_owned(),
            guests: vec![(guest.vmid, result)],
            each: Duration::from_secs(1),
        };
        let upid = simulator.run_backup(&backup).unwrap();
        let path = format!("/nodes/{}/tasks/{upid}/log", guest.node);
        let log = get(&simulator, "pve1", &path).await.json();
        let known = recorded(&format!("nodes__pve1__tasks__UPID:pve1:{name}:root@pam:__log"));
        Shape::of([&known]).assert_covers("log", &Shape::of([&log]));
        let strip = |forms: Vec<String>| -> Vec<String> {
            let written = |line: String| line.split(" (0").next().unwrap().to_owned();
            forms
                .into_iter()
                .map(written)
                .map(|line| line.replace("KB", "MB"))
                .collect()
        };
        assert_eq!(strip(forms(&log)), strip(forms(&known)), "{name}");
        assert_eq!(
            log["total"].as_u64().unwrap(),
            log["data"].as_array().unwrap().len() as u64
        );
    }
}

#[tokio::test]
async fn backup_jobs_agree() {
    let simulator = busy().await;
    let mut known = recorded_rows("cluster__backup");
    known.extend(recorded_rows("from-source/cluster-backup"));
    let simulated = rows(&simulator, "pve1", "/cluster/backup").await;
    let kind = |_: &Value| String::new();
    assert_rows_agree("backup jobs", &known, &simulated, kind);
    let known = recorded_rows("cluster__backup-info__not-backed-up");
    let simulated = rows(&simulator, "pve1", "/cluster/backup-info/not-backed-up").await;
    assert_rows_agree("not backed up", &known, &simulated, kind);
}

#[tokio::test]
async fn storage_content_agrees() {
    let simulator = busy().await;
    let kind = |row: &Value| row["content"].to_string();
    let known = recorded_rows("from-source/storage-content-backup");
    for storage in ["backup", "nas"] {
        let path = format!("/nodes/pve1/storage/{storage}/content?content=backup");
        let simulated = rows(&simulator, "pve1", &path).await;
        assert!(simulated.len() > 10);
        assert_rows_agree(storage, &known, &simulated, kind);
    }
    let quiet = Simulator::start(quick()).await.unwrap();
    let simulated = rows(&quiet, "pve1", "/nodes/pve1/storage/local/content").await;
    assert_rows_agree(
        "local",
        &recorded_rows("nodes__pve1__storage__local__content"),
        &simulated,
        kind,
    );
    let as_auditor = get(&quiet, "pve1", "/nodes/pve1/storage/local/content?content=backup").await;
    assert_eq!(
        as_auditor.json(),
        recorded("nodes__pve1__storage__local__content@content=backup")
    );

    quiet.inject("storage-unavailable=nas".parse::<pve_simulator::Fault>().unwrap());
    for storage in ["nosuch", "nas"] {
        let name = format!("nodes__pve1__storage__{storage}__content");
        let answer = get(&quiet, "pve1", &format!("/nodes/pve1/storage/{storage}/content")).await;
        let meta = recorded(&format!("{name}.meta"));
        let reason = meta["reason"].as_str().unwrap();
        assert_eq!(answer.status_line, format!("HTTP/1.1 {} {reason}", meta["status"]));
        assert_eq!(answer.json(), recorded(&name));
    }
}
