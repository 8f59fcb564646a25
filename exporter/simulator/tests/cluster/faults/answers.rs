//! Answers that are late, refused, damaged or wrong.

use std::time::{Duration, Instant};

use pve_simulator::{Fault, FaultKind};
use serde_json::Value;

use super::{ALL, RESOURCES, STATUS, cluster, ids, inject};
use crate::client::{Answer, Connection, get, row, rows};

#[tokio::test]
async fn slow() {
    let simulator = cluster().await;
    inject(&simulator, "slow=60ms:pve2:/nodes/*/status").await;
    let started = Instant::now();
    assert_eq!(get(&simulator, "pve1", "/nodes/pve2/status").await.status(), 200);
    assert!(started.elapsed() >= Duration::from_millis(60));
}

#[tokio::test]
async fn status() {
    let simulator = cluster().await;
    inject(&simulator, "status=500 got no worker upid:/cluster/resources").await;
    inject(&simulator, "status=595:/version").await;
    let answer = get(&simulator, "pve1", RESOURCES).await;
    assert_eq!(answer.status_line, "HTTP/1.1 500 got no worker upid");
    assert_eq!(answer.json()["message"], "got no worker upid\n");
    let bare = get(&simulator, "pve1", "/version").await;
    assert_eq!(
        (bare.status_line.as_str(), bare.body.len()),
        ("HTTP/1.1 595 No route to host", 0)
    );
    assert_eq!(get(&simulator, "pve1", STATUS).await.status(), 200);
    simulator.clear_all();
    assert_eq!(get(&simulator, "pve1", RESOURCES).await.status(), 200);
}

#[tokio::test]
async fn truncated() {
    let simulator = cluster().await;
    inject(&simulator, "truncated:/cluster/resources").await;
    let mut connection = Connection::open(&simulator, "pve1").await.unwrap();
    let (status_line, length, body) = connection.get_truncated(RESOURCES).await.unwrap();
    assert_eq!(status_line, "HTTP/1.1 200 OK");
    assert_eq!(body.len(), length / 2);
    assert!(body.starts_with(b"{\"data\":["));
}

fn numbers(row: &Value) -> Vec<&Value> {
    ["uptime", "cpu", "mem", "maxmem"]
        .iter()
        .filter_map(|key| row.get(key))
        .collect()
}

#[tokio::test]
async fn wrong_types() {
    let simulator = cluster().await;
    let id = inject(&simulator, "string-numbers:/cluster/resources").await;
    let resources = rows(&simulator, "pve1", RESOURCES).await;
    assert!(resources.iter().flat_map(numbers).all(Value::is_string));
    simulator.clear(id);
    inject(&simulator, "wrong-types").await;
    let resources = rows(&simulator, "pve1", RESOURCES).await;
    let bad = resources
        .iter()
        .filter(|row| numbers(row).iter().any(|value| value.is_object()))
        .count();
    let good = resources.iter().filter(|row| !numbers(row).is_empty()).count() - bad;
    assert!(bad > 0 && good > bad, "{bad} bad rows, {good} good ones");
    let status = get(&simulator, "pve1", "/nodes/pve1/status").await.json();
    assert!(status["data"]["uptime"].is_object());
}

#[tokio::test]
async fn garbage_rows() {
    let simulator = cluster().await;
    let good = rows(&simulator, "pve1", RESOURCES).await;
    inject(&simulator, "garbage-rows").await;
    let mixed = rows(&simulator, "pve1", RESOURCES).await;
    assert!(
        good.iter().all(|row| mixed.contains(row)),
        "the good rows are all there"
    );
    assert!(mixed.iter().any(Value::is_null) && mixed.iter().any(Value::is_array));
}

#[tokio::test]
async fn huge_and_garbage() {
    let simulator = cluster().await;
    inject(&simulator, "huge=3000000:/version").await;
    let answer = get(&simulator, "pve1", "/version").await;
    assert_eq!(
        (answer.body.len(), &answer.json()["data"]["release"]),
        (3_000_000, &"9.2".into())
    );
    simulator.clear_all();
    inject(&simulator, "garbage:/version").await;
    let answer = get(&simulator, "pve1", "/version").await;
    assert_eq!(
        (answer.status(), answer.header("content-type")),
        (200, Some("application/json;charset=UTF-8"))
    );
    assert!(serde_json::from_slice::<Value>(&answer.body).is_err());
}

#[tokio::test]
async fn no_permission_for_one_endpoint() {
    let simulator = cluster().await;
    inject(&simulator, "no-permission:/cluster/status").await;
    assert_eq!(get(&simulator, "pve1", STATUS).await.status(), 403);
    assert_eq!(get(&simulator, "pve1", ALL).await.status(), 200);
}

#[tokio::test]
async fn revoked() {
    let simulator = cluster().await;
    let mut connection = Connection::open(&simulator, "pve1").await.unwrap();
    assert_eq!(connection.get("/version").await.unwrap().status(), 200);
    inject(&simulator, "revoked").await;
    let Answer { status_line, body, .. } = connection.get("/version").await.unwrap();
    assert_eq!(
        (status_line.as_str(), body.len()),
        ("HTTP/1.1 401 Authentication failed!", 0)
    );
}

#[tokio::test]
async fn qmp_timeout() {
    let simulator = cluster().await;
    let disks = async || -> Vec<(String, u64)> {
        let resources = rows(&simulator, "pve1", RESOURCES).await;
        let running = resources.iter().filter(|row| row["status"] == "running");
        let disk = |row: &Value| row["diskread"].as_u64().unwrap() + row["diskwrite"].as_u64().unwrap();
        running
            .map(|row| (row["id"].as_str().unwrap().to_owned(), disk(row)))
            .collect()
    };
    let id = inject(&simulator, "qmp-timeout=100").await;
    assert!(disks().await.iter().all(|(id, sum)| (*sum == 0) == (id == "qemu/100")));
    simulator.clear(id);
    inject(&simulator, "qmp-timeout").await;
    assert!(
        disks()
            .await
            .iter()
            .all(|(id, sum)| (*sum == 0) == id.starts_with("qemu/"))
    );
    let metrics = rows(&simulator, "pve1", ALL).await;
    let disk = |row: &&Value| row["id"] == "qemu/100" && row["metric"] == "disk_write";
    assert_eq!(metrics.iter().find(disk).unwrap()["value"], 0);
}

#[tokio::test]
async fn vanished() {
    let simulator = cluster().await;
    inject(&simulator, "vanished=100").await;
    for path in [RESOURCES, ALL] {
        assert!(
            !ids(&rows(&simulator, "pve1", path).await).contains(&"qemu/100"),
            "{path}"
        );
    }
}

#[tokio::test]
async fn storage_unavailable() {
    let simulator = cluster().await;
    inject(&simulator, "storage-unavailable=nas:pve2").await;
    let resources = rows(&simulator, "pve1", RESOURCES).await;
    assert_eq!(row(&resources, "storage/pve1/nas")["status"], "available");
    let lost = row(&resources, "storage/pve2/nas");
    assert_eq!((&lost["status"], lost.get("maxdisk")), (&"unknown".into(), None));
    let metrics = rows(&simulator, "pve1", ALL).await;
    let sizes = metrics
        .iter()
        .filter(|row| row["id"] == "storage/pve2/nas")
        .map(|row| row["value"].clone());
    assert_eq!(sizes.collect::<Vec<_>>(), [Value::from(0), Value::from(0)]);
}

#[tokio::test]
async fn zero_timestamp() {
    let simulator = cluster().await;
    inject(&simulator, "zero-timestamp:pve2").await;
    let metrics = rows(&simulator, "pve1", ALL).await;
    for row in &metrics {
        let broken = row["id"] == "node/pve2";
        assert_eq!(row["timestamp"] == 0, broken, "{row}");
        assert!(!broken || row["value"] == 0, "{row}");
    }
    assert!(ids(&metrics).contains(&"node/pve2"));
}

#[tokio::test]
async fn close_idle() {
    let simulator = cluster().await;
    inject(&simulator, "close-idle").await;
    let mut connection = Connection::open(&simulator, "pve1").await.unwrap();
    let answer = connection.get("/version").await.unwrap();
    assert_eq!((answer.status(), answer.header("connection")), (200, None));
    assert!(connection.is_closed().await);
}

#[tokio::test]
async fn faults_of_a_kind_add_up_and_are_cleared_one_by_one() {
    let simulator = cluster().await;
    let first = simulator.inject(Fault::new(FaultKind::Vanished(100)));
    simulator.inject(FaultKind::Vanished(101));
    simulator.clear(first);
    let resources = rows(&simulator, "pve1", RESOURCES).await;
    assert!(ids(&resources).contains(&"qemu/100") && !ids(&resources).contains(&"qemu/101"));
}
