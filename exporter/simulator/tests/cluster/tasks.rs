//! What tasks do as time goes on, and how they are asked for.

use std::time::Duration;

use pve_simulator::{Options, Simulator};
use serde_json::Value;

use crate::client::{get, quick, rows};

async fn quiet() -> Simulator {
    Simulator::start(quick()).await.unwrap()
}

fn started(row: &Value) -> u64 {
    row["starttime"].as_u64().unwrap()
}

fn of_node<'a>(rows: &'a [Value], node: &str) -> Vec<&'a Value> {
    rows.iter().filter(|row| row["node"] == node).collect()
}

fn has(rows: &[Value], upid: &str) -> bool {
    rows.iter().any(|row| row["upid"] == upid)
}

#[tokio::test]
async fn a_new_cluster_has_a_past() {
    let simulator = quiet().await;
    let archive = rows(&simulator, "pve1", "/nodes/pve2/tasks?limit=500").await;
    let ends: Vec<u64> = archive.iter().map(|row| row["endtime"].as_u64().unwrap()).collect();
    assert!(ends.is_sorted_by(|newer, older| newer >= older));
    let now = 1_786_800_000;
    let oldest = archive.iter().map(started).min().unwrap();
    assert!((now - 14 * 86_400..now - 13 * 86_400).contains(&oldest), "{oldest}");
    assert!(ends[0] < now);
    let nightly = rows(&simulator, "pve1", "/nodes/pve2/tasks?limit=500&typefilter=vzdump").await;
    // Every night, and on two Sundays.
    assert_eq!(nightly.len(), 14 + 2);
    assert!(nightly.iter().all(|row| row["status"] == "OK"));
}

#[tokio::test]
async fn nodes_tell_each_other_of_25_tasks() {
    let simulator = quiet().await;
    for number in 0..30 {
        simulator.advance(Duration::from_secs(10));
        simulator
            .run_task("pve1", "qmstart", &number.to_string(), "OK", Duration::from_secs(2))
            .unwrap();
    }
    let upids: Vec<String> = (0..3)
        .map(|_| simulator.start_task("pve1", "vncproxy", "100").unwrap())
        .collect();
    let all = rows(&simulator, "pve2", "/cluster/tasks").await;
    let own = of_node(&all, "pve1");
    assert_eq!(own.len(), 25);
    assert!(own.is_sorted_by(|newer, older| started(newer) >= started(older)));
    assert!(upids.iter().all(|upid| has(&all, upid)));
    assert_eq!(own.iter().filter(|row| row["saved"] == "0").count(), 3);
    assert_eq!(of_node(&all, "pve2").len(), 25);
}

#[tokio::test]
async fn a_task_runs_until_it_is_ended() {
    let simulator = quiet().await;
    let upid = simulator.start_task("pve2", "qmclone", "100").unwrap();
    assert!(
        upid.starts_with("UPID:pve2:") && upid.ends_with(":6A806780:qmclone:100:root@pam:"),
        "{upid}"
    );
    let archive = "/nodes/pve2/tasks?typefilter=qmclone";
    assert!(rows(&simulator, "pve1", archive).await.is_empty());
    assert_eq!(
        rows(&simulator, "pve1", &format!("{archive}&source=active")).await[0]["status"],
        "RUNNING"
    );
    simulator.advance(Duration::from_secs(60));
    assert!(simulator.end_task(&upid, "received interrupt") && !simulator.end_task(&upid, "OK"));
    assert!(!simulator.end_task("UPID:pve1", "OK") && simulator.start_task("pve9", "x", "").is_none());
    let ended = rows(&simulator, "pve1", archive).await;
    assert_eq!(
        (
            ended[0]["endtime"].as_u64().unwrap() - started(&ended[0]),
            &ended[0]["status"]
        ),
        (60, &"received interrupt".into())
    );
    assert!(
        rows(&simulator, "pve1", "/nodes/pve2/tasks?source=active")
            .await
            .is_empty()
    );
    let log = rows(
        &simulator,
        "pve1",
        &format!("/nodes/pve2/tasks/{}/log", upid.replace('@', "%40")),
    )
    .await;
    assert_eq!(log.last().unwrap()["t"], "TASK ERROR: received interrupt");
}

#[tokio::test]
async fn the_archive_is_filtered() {
    let simulator = quiet().await;
    let now = 1_786_800_000;
    let minute = Duration::from_secs(60);
    simulator.advance(minute * 10);
    for status in ["OK", "WARNINGS: 2", "disk full", "unexpected status"] {
        simulator
            .run_task("pve1", "imgcopy", "104", status, minute * 5)
            .unwrap();
    }
    simulator.start_task("pve1", "imgcopy", "105").unwrap();
    let asked = async |query: &str| {
        let path = format!("/nodes/pve1/tasks?typefilter=imgcopy&source=all&{query}");
        let answer = get(&simulator, "pve1", &path).await.json();
        let rows: Vec<String> = answer["data"]
            .as_array()
            .unwrap()
            .iter()
            .map(|row| row["status"].as_str().unwrap().to_owned())
            .collect();
        (rows, answer["total"].as_u64().unwrap())
    };
    let all = ["RUNNING", "unexpected status", "disk full", "WARNINGS: 2", "OK"].map(str::to_owned);
    assert_eq!(asked("").await, (all.to_vec(), 5));
    assert_eq!(asked("errors=1").await, (all[..4].to_vec(), 4));
    assert_eq!(asked("statusfilter=error,warning").await.0, all[2..4]);
    assert_eq!(asked("statusfilter=unknown").await.0, all[..2]);
    assert_eq!(asked("start=1&limit=2").await, (all[1..3].to_vec(), 5));
    assert_eq!(asked("vmid=105").await.0, all[..1]);
    assert_eq!(asked("userfilter=ROOT").await.1, 5);
    assert_eq!(asked("userfilter=nobody").await, (Vec::new(), 0));
    // Both ends are about the start: these ended within the time but began before it.
    assert_eq!(asked(&format!("since={}", now + 301)).await.0, all[..1]);
    assert_eq!(asked(&format!("until={}", now + 300)).await.0, all[1..]);
    let refused = get(&simulator, "pve1", "/nodes/pve1/tasks?since=yesterday").await;
    assert_eq!(refused.status(), 400);
    assert_eq!(
        get(&simulator, "pve1", "/nodes/pve1/tasks").await.json()["data"]
            .as_array()
            .unwrap()
            .len(),
        50
    );
}

#[tokio::test]
async fn the_archive_rotates() {
    let options = Options {
        archived_tasks: 10,
        ..quick()
    };
    let simulator = Simulator::start(options).await.unwrap();
    let run = || {
        let second = Duration::from_secs(1);
        simulator.run_task("pve1", "qmstart", "100", "OK", second).unwrap()
    };
    let archive = async || rows(&simulator, "pve1", "/nodes/pve1/tasks?limit=100").await;
    assert!(simulator.rotate_archive("pve1") && simulator.rotate_archive("pve1"));
    assert!(archive().await.is_empty());
    let first = run();
    for _ in 0..19 {
        run();
    }
    assert!(
        archive().await.len() == 20 && has(&archive().await, &first),
        "one old file is kept"
    );
    run();
    assert!(archive().await.len() == 11 && !has(&archive().await, &first));
    assert!(!simulator.rotate_archive("pve9"));
    let log = get(&simulator, "pve1", &format!("/nodes/pve1/tasks/{first}/log"))
        .await
        .json();
    assert_eq!(log["data"][0]["t"], "unable to open file - No such file or directory");
}

#[tokio::test]
async fn logs_come_in_pieces() {
    let simulator = quiet().await;
    let nightly = rows(&simulator, "pve1", "/nodes/pve1/tasks?typefilter=vzdump&limit=500").await;
    let longest = nightly.iter().find(|row| row["id"] == "").unwrap()["upid"]
        .as_str()
        .unwrap();
    let part = async |query: &str| {
        let log = get(&simulator, "pve1", &format!("/nodes/pve1/tasks/{longest}/log{query}"))
            .await
            .json();
        let lines = log["data"].as_array().unwrap();
        let numbers: Vec<u64> = lines.iter().map(|line| line["n"].as_u64().unwrap()).collect();
        (numbers, log["total"].as_u64().unwrap())
    };
    let (all, total) = part("?limit=0").await;
    assert!(total > 50, "{total} lines");
    assert_eq!(all, (1..=total).collect::<Vec<_>>());
    assert_eq!(part("").await, ((1..=50).collect(), total));
    assert_eq!(part("?start=3&limit=2").await, (vec![4, 5], total));
    let unknown = get(&simulator, "pve1", "/nodes/pve1/tasks/nonsense/log").await;
    assert_eq!(
        (unknown.status(), &unknown.json()["errors"]["upid"]),
        (400, &"unable to parse worker upid".into())
    );
}

#[tokio::test]
async fn an_offline_node_keeps_its_history() {
    let simulator = quiet().await;
    let upid = simulator
        .run_task("pve2", "qmstart", "101", "OK", Duration::from_secs(1))
        .unwrap();
    let running = simulator.start_task("pve2", "qmclone", "101").unwrap();
    let offline = simulator.inject("offline:pve2".parse::<pve_simulator::Fault>().unwrap());
    assert!(of_node(&rows(&simulator, "pve1", "/cluster/tasks").await, "pve2").is_empty());
    assert_eq!(get(&simulator, "pve1", "/nodes/pve2/tasks").await.status(), 595);
    simulator.advance(Duration::from_secs(2 * 86_400));
    simulator.clear(offline);
    simulator.settled().await;
    let day = |node: &str| format!("/nodes/{node}/tasks?typefilter=vzdump&since=1786800001");
    assert_eq!(
        rows(&simulator, "pve1", &day("pve2")).await.len(),
        0,
        "no backup ran on a dead node"
    );
    assert!(rows(&simulator, "pve1", &day("pve1")).await.len() >= 2);
    let archive = rows(&simulator, "pve1", "/nodes/pve2/tasks").await;
    assert!(has(&archive, &upid));
    let killed = archive.iter().find(|row| row["upid"] == running).unwrap();
    assert_eq!(killed["status"], "unexpected status");
}

#[tokio::test]
async fn a_token_without_rights_sees_no_tasks() {
    let simulator = quiet().await;
    let upid = simulator
        .run_task("pve1", "qmstart", "101", "OK", Duration::from_secs(1))
        .unwrap();
    simulator.inject(pve_simulator::FaultKind::NoPermission);
    assert!(rows(&simulator, "pve1", "/cluster/tasks").await.is_empty());
    assert_eq!(
        get(&simulator, "pve1", "/nodes/pve1/tasks").await.json(),
        serde_json::json!({"data": [], "total": 0})
    );
    for (path, problem) in [
        (format!("/nodes/pve1/tasks/{upid}/log"), "/nodes/pve1, Sys.Audit"),
        ("/cluster/backup".to_owned(), "/, Sys.Audit"),
        ("/cluster/backup-info/not-backed-up".to_owned(), "/, Sys.Audit"),
        (
            "/nodes/pve1/storage/nas/content".to_owned(),
            "/storage/nas, Datastore.Audit|Datastore.AllocateSpace",
        ),
    ] {
        let answer = get(&simulator, "pve1", &path).await;
        assert_eq!(
            answer.status_line,
            format!("HTTP/1.1 403 Permission check failed ({problem})")
        );
    }
}

#[tokio::test]
async fn a_lively_cluster_leaves_tasks() {
    let simulator = Simulator::start(Options {
        events: true,
        ..quick()
    })
    .await
    .unwrap();
    simulator.advance(Duration::from_secs(3_600));
    let mut found = std::collections::BTreeSet::new();
    for node in simulator.nodes() {
        for row in rows(
            &simulator,
            "pve1",
            &format!("/nodes/{node}/tasks?limit=1000&since=1786800000"),
        )
        .await
        {
            found.insert(format!(
                "{} {}",
                row["type"].as_str().unwrap(),
                row["status"].as_str().unwrap()
            ));
        }
    }
    for expected in [
        "qmstop OK",
        "qmstart OK",
        "qmreboot OK",
        "qmigrate OK",
        "vzdump OK",
        "vzdump unexpected status",
        "qmsnapshot OK",
        "qmsnapshot snapshot feature is not available",
        "vzstop OK",
    ] {
        assert!(found.contains(expected), "no {expected} in {found:?}");
    }
}
